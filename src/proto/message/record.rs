//! The stored form of a [`Summary`]: a version octet, the three texts with their lengths, the parts in depth-first
//! order. Numbers are variable-length, offsets count from the one before.

use super::{Part, PartContent, Summary};

impl Summary {
    /// The stored form, with a version octet.
    pub fn encode(&self) -> Vec<u8> {
        let texts = self.envelope.len() + self.body.len() + self.body_structure.len();
        let mut out = Vec::with_capacity(texts + 32);
        out.push(VERSION);
        for text in [&self.envelope, &self.body, &self.body_structure] {
            put(text.len() as u64, &mut out);
            out.extend_from_slice(text);
        }
        put_part(&self.root, &mut 0, &mut out);
        out
    }

    /// From the stored form; `None` if it is damaged.
    pub fn decode(octets: &[u8]) -> Option<Self> {
        let mut input = Input { rest: octets.strip_prefix(&[VERSION])?, last: 0 };
        let (envelope, body, body_structure) = (input.text()?, input.text()?, input.text()?);
        let root = input.part(0)?;
        input.rest.is_empty().then_some(Self { envelope, body, body_structure, root })
    }
}

fn put(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_part(part: &Part, last: &mut u64, out: &mut Vec<u8>) {
    for offset in [part.header.0, part.header.1, part.body.0, part.body.1] {
        // Backwards only where a part follows the one around it; the difference wraps.
        let difference = offset.wrapping_sub(*last) as i64;
        put(((difference << 1) ^ (difference >> 63)) as u64, out);
        *last = offset;
    }
    match &part.content {
        PartContent::Leaf => put(0, out),
        PartContent::Message(top) => {
            put(1, out);
            put_part(top, last, out);
        }
        PartContent::Multipart(parts) => {
            put(parts.len() as u64 + 2, out);
            for part in parts {
                put_part(part, last, out);
            }
        }
    }
}

struct Input<'a> {
    rest: &'a [u8],
    last: u64,
}

impl Input<'_> {
    fn number(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (octet, rest) = self.rest.split_first()?;
            self.rest = rest;
            let bits = u64::from(octet & 0x7F);
            if bits.leading_zeros() < shift {
                return None;
            }
            value |= bits << shift;
            if octet & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn text(&mut self) -> Option<Vec<u8>> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(text.to_vec())
    }

    fn offset(&mut self) -> Option<u64> {
        let zigzag = self.number()?;
        let difference = (zigzag >> 1) ^ (zigzag & 1).wrapping_neg();
        self.last = self.last.wrapping_add(difference);
        Some(self.last)
    }

    fn part(&mut self, depth: usize) -> Option<Part> {
        if depth > MAX_DEPTH {
            return None;
        }
        let header = (self.offset()?, self.offset()?);
        let body = (self.offset()?, self.offset()?);
        if header.0 > header.1 || body.0 > body.1 {
            return None;
        }
        let content = match self.number()? {
            0 => PartContent::Leaf,
            1 => PartContent::Message(Box::new(self.part(depth + 1)?)),
            count => {
                // The octets that are left bound the number of parts, whatever the count says.
                let mut parts = Vec::new();
                for _ in 2..count {
                    parts.push(self.part(depth + 1)?);
                }
                if parts.is_empty() {
                    return None;
                }
                PartContent::Multipart(parts)
            }
        };
        Some(Part { header, body, content })
    }
}

const VERSION: u8 = 1;

/// More than any scanner makes.
const MAX_DEPTH: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_size_are_read_back_and_larger_ones_refused() {
        for value in [0, 1, 0x7F, 0x80, 0x3FFF, 0x4000, u64::MAX - 1, u64::MAX] {
            let mut octets = Vec::new();
            put(value, &mut octets);
            assert_eq!(Input { rest: &octets, last: 0 }.number(), Some(value));
        }
        let mut too_large = [0xFF; 10];
        too_large[9] = 0x03;
        assert_eq!(Input { rest: &too_large, last: 0 }.number(), None);
        assert_eq!(Input { rest: &[0xFF; 11], last: 0 }.number(), None);
    }
}
