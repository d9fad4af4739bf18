//! Header fields of a header block (RFC 5322 §2.2): iterate, find, count, select, unfold.
//!
//! A block is what [`Part::header`](super::Part::header) covers, or any octets that start like it; reading ends at the
//! blank line. Line ends may be CRLF or LF. Lines that are no header field are yielded with an empty name, so that
//! nothing of the block is lost.

use memchr::{memchr, memchr2};

/// One header field as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The field name; empty if these lines are no header field.
    pub name: &'a [u8],
    /// All octets: name, colon, value, foldings and line end.
    pub raw: &'a [u8],
    value_start: usize,
}

impl<'a> Field<'a> {
    /// What follows the colon, with foldings and line end.
    pub fn raw_value(&self) -> &'a [u8] {
        self.raw.get(self.value_start..).unwrap_or_default()
    }

    /// The value, unfolded and trimmed (see [`unfold`]).
    pub fn value(&self) -> Vec<u8> {
        unfold(self.raw_value())
    }

    /// This field has that name; without case, as RFC 5322 §1.2.2 has it.
    pub fn is(&self, name: &[u8]) -> bool {
        !self.name.is_empty() && self.name.eq_ignore_ascii_case(name)
    }
}

/// The fields of a header block, in order, up to the blank line.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

/// The fields of `block`, in order, up to the blank line.
pub fn fields(block: &[u8]) -> Fields<'_> {
    Fields { rest: block }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let block = self.rest;
        if block.is_empty() || block.starts_with(b"\n") || block.starts_with(b"\r\n") {
            return None;
        }
        let (raw, rest) = block.split_at(field_length(block));
        self.rest = rest;
        let colon = memchr(b':', raw).unwrap_or(0);
        let name = raw.get(..colon).unwrap_or_default().trim_ascii_end();
        if name.is_empty() || !name.iter().all(|b| (33..=126).contains(b)) {
            return Some(Field { name: b"", raw, value_start: 0 });
        }
        Some(Field { name, raw, value_start: colon + 1 })
    }
}

/// Octets of the first field in `block`, with its continuation lines (RFC 5322 §2.2.3).
fn field_length(block: &[u8]) -> usize {
    let mut end = 0;
    while let Some(at) = block.get(end..).and_then(|rest| memchr(b'\n', rest)) {
        end += at + 1;
        if !matches!(block.get(end), Some(b' ' | b'\t')) {
            return end;
        }
    }
    block.len()
}

/// The first field of that name.
pub fn find<'a>(block: &'a [u8], name: &str) -> Option<Field<'a>> {
    fields(block).find(|field| field.is(name.as_bytes()))
}

/// A field of that name is present.
pub fn contains(block: &[u8], name: &str) -> bool {
    find(block, name).is_some()
}

/// How many fields of that name there are; `count(block, "Received")` tells loops (RFC 5321 §6.3).
pub fn count(block: &[u8], name: &str) -> usize {
    fields(block).filter(|field| field.is(name.as_bytes())).count()
}

/// HEADER.FIELDS (RFC 3501 §6.4.5): the fields with these names, as received and in their order, then a blank line.
pub fn select(block: &[u8], names: &[&[u8]]) -> Vec<u8> {
    keep(block, |field| names.iter().any(|name| field.is(name)))
}

/// HEADER.FIELDS.NOT (RFC 3501 §6.4.5): what [`select`] leaves out, then a blank line.
pub fn select_not(block: &[u8], names: &[&[u8]]) -> Vec<u8> {
    keep(block, |field| !names.iter().any(|name| field.is(name)))
}

fn keep(block: &[u8], wanted: impl Fn(&Field<'_>) -> bool) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields(block).filter(wanted) {
        out.extend_from_slice(field.raw);
        // Only the last line of a message without a body can lack its end; the blank line must stay one.
        if !field.raw.ends_with(b"\n") {
            out.extend_from_slice(b"\r\n");
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// Without line ends (RFC 5322 §2.2.3) and without white space at either end.
pub fn unfold(value: &[u8]) -> Vec<u8> {
    let value = value.trim_ascii();
    if memchr2(b'\r', b'\n', value).is_none() {
        return value.to_vec();
    }
    value.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &[u8] =
        b"From x Thu 10:00\nReceived: a\r\n\tb\r\nSubject : s\r\nreceived:c\nno colon\r\nX: last\r\n\r\nbody: x";

    #[test]
    fn fields_are_yielded_with_foldings_up_to_the_blank_line() {
        let seen: Vec<(&[u8], &[u8])> = fields(BLOCK).map(|f| (f.name, f.raw)).collect();
        let want: Vec<(&[u8], &[u8])> = vec![
            (b"", b"From x Thu 10:00\n"),
            (b"Received", b"Received: a\r\n\tb\r\n"),
            (b"Subject", b"Subject : s\r\n"),
            (b"received", b"received:c\n"),
            (b"", b"no colon\r\n"),
            (b"X", b"X: last\r\n"),
        ];
        assert_eq!(seen, want);
    }

    #[test]
    fn find_and_count_ignore_case() {
        assert_eq!(count(BLOCK, "RECEIVED"), 2);
        assert_eq!(find(BLOCK, "received").unwrap().value(), b"a\tb");
        assert_eq!(find(BLOCK, "subject").unwrap().value(), b"s");
        assert!(!contains(BLOCK, "body"));
        assert!(!contains(BLOCK, ""));
    }

    #[test]
    fn select_keeps_octets_and_ends_with_a_blank_line() {
        assert_eq!(select(BLOCK, &[b"SUBJECT", b"x"]), b"Subject : s\r\nX: last\r\n\r\n");
        assert_eq!(select(BLOCK, &[b"nothing"]), b"\r\n");
        assert_eq!(select_not(BLOCK, &[b"received"]), b"From x Thu 10:00\nSubject : s\r\nno colon\r\nX: last\r\n\r\n");
        assert_eq!(select(b"A: 1\r\nB: 2", &[b"b"]), b"B: 2\r\n\r\n");
        assert_eq!(select_not(b"", &[]), b"\r\n");
    }
}
