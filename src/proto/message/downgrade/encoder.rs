//! Bodies in other octets, piece by piece: quoted-printable (RFC 2045 §6.7), Base64 (RFC 2045 §6.8), and what is one of
//! them already but in lines that are too long.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Writes a body that comes in pieces of any size.
#[derive(Clone, Debug)]
pub(super) enum Encoder {
    Base64(Vec<u8>),
    QuotedPrintable(Quoted),
    /// Base64 in lines of another length.
    Rewrap {
        column: usize,
    },
    /// Quoted-printable with lines broken, and octets quoted that should have been.
    Requote {
        column: usize,
        /// The start of what an equals sign quotes.
        quoted: Vec<u8>,
    },
    /// Text that nobody reads: octets beyond ASCII become `?`.
    Mask,
}

/// Quoted-printable in the making.
#[derive(Clone, Debug, Default)]
pub(super) struct Quoted {
    column: usize,
    /// White space that ends the line, unless something follows.
    space: Option<u8>,
    after_cr: bool,
}

impl Encoder {
    pub fn base64() -> Self {
        Self::Base64(Vec::new())
    }

    pub fn quoted_printable() -> Self {
        Self::QuotedPrintable(Quoted::default())
    }

    pub fn rewrap() -> Self {
        Self::Rewrap { column: 0 }
    }

    pub fn requote() -> Self {
        Self::Requote { column: 0, quoted: Vec::new() }
    }

    pub fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Base64(held) => {
                held.extend_from_slice(octets);
                let whole = held.len().saturating_sub(held.len() % LINE_OCTETS);
                // A full line ends when something follows it: what stands behind the body brings its own line end.
                let whole = if whole == held.len() { whole.saturating_sub(LINE_OCTETS) } else { whole };
                for line in held.get(..whole).unwrap_or_default().chunks(LINE_OCTETS) {
                    out.extend_from_slice(STANDARD.encode(line).as_bytes());
                    out.extend_from_slice(b"\r\n");
                }
                held.drain(..whole);
            }
            Self::QuotedPrintable(quoted) => octets.iter().for_each(|octet| quoted.push(*octet, out)),
            Self::Rewrap { column } => {
                for octet in octets.iter().filter(|octet| !octet.is_ascii_whitespace()) {
                    if *column >= LINE {
                        out.extend_from_slice(b"\r\n");
                        *column = 0;
                    }
                    out.push(*octet);
                    *column = column.saturating_add(1);
                }
            }
            Self::Requote { column, quoted } => octets.iter().for_each(|octet| requote(*octet, column, quoted, out)),
            Self::Mask => out.extend(octets.iter().map(|octet| if octet.is_ascii() { *octet } else { b'?' })),
        }
    }

    pub fn finish(self, out: &mut Vec<u8>) {
        match self {
            Self::Base64(held) => out.extend_from_slice(STANDARD.encode(held).as_bytes()),
            Self::QuotedPrintable(quoted) => quoted.finish(out),
            Self::Requote { mut column, mut quoted } => stray(&mut quoted, &mut column, out),
            Self::Rewrap { .. } | Self::Mask => {}
        }
    }
}

impl Quoted {
    fn push(&mut self, octet: u8, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.after_cr) {
            if octet == b'\n' {
                if let Some(space) = self.space.take() {
                    escaped(space, &mut self.column, out);
                }
                out.extend_from_slice(b"\r\n");
                self.column = 0;
                return;
            }
            self.literal_space(out);
            escaped(b'\r', &mut self.column, out);
        }
        match octet {
            b'\r' => self.after_cr = true,
            b' ' | b'\t' => {
                self.literal_space(out);
                self.space = Some(octet);
            }
            b'!'..=b'<' | b'>'..=b'~' => {
                self.literal_space(out);
                unit(&[octet], &mut self.column, out);
            }
            _ => {
                self.literal_space(out);
                escaped(octet, &mut self.column, out);
            }
        }
    }

    fn literal_space(&mut self, out: &mut Vec<u8>) {
        if let Some(space) = self.space.take() {
            unit(&[space], &mut self.column, out);
        }
    }

    fn finish(mut self, out: &mut Vec<u8>) {
        if let Some(space) = self.space {
            escaped(space, &mut self.column, out);
        }
        if self.after_cr {
            escaped(b'\r', &mut self.column, out);
        }
    }
}

fn requote(octet: u8, column: &mut usize, quoted: &mut Vec<u8>, out: &mut Vec<u8>) {
    let goes_on = match (quoted.as_slice(), octet) {
        ([], b'=') | ([_], b'\r') | ([_, b'\r'], b'\n') => true,
        ([], _) | ([_, b'\r'], _) => false,
        (_, octet) => octet.is_ascii_hexdigit(),
    };
    if !goes_on {
        stray(quoted, column, out);
        if octet == b'=' {
            quoted.push(octet);
        } else {
            unquoted(octet, column, out);
        }
        return;
    }
    quoted.push(octet);
    match quoted.as_slice() {
        b"=\r\n" => {
            out.append(quoted);
            *column = 0;
        }
        [_, _, _] => {
            unit(quoted, column, out);
            quoted.clear();
        }
        _ => {}
    }
}

/// An equals sign that starts nothing, and what seemed to belong to it (RFC 2045 §6.7).
fn stray(quoted: &mut Vec<u8>, column: &mut usize, out: &mut Vec<u8>) {
    if let Some((equals, rest)) = quoted.split_first() {
        escaped(*equals, column, out);
        rest.iter().for_each(|octet| unquoted(*octet, column, out));
    }
    quoted.clear();
}

fn unquoted(octet: u8, column: &mut usize, out: &mut Vec<u8>) {
    match octet {
        b'\r' => out.push(octet),
        b'\n' => {
            out.push(octet);
            *column = 0;
        }
        octet if octet.is_ascii() => unit(&[octet], column, out),
        octet => escaped(octet, column, out),
    }
}

fn escaped(octet: u8, column: &mut usize, out: &mut Vec<u8>) {
    let digit = |n: u8| *b"0123456789ABCDEF".get(usize::from(n)).unwrap_or(&b'0');
    unit(&[b'=', digit(octet >> 4), digit(octet & 15)], column, out);
}

/// What may not be divided; one column is for the equals sign that breaks the line.
fn unit(octets: &[u8], column: &mut usize, out: &mut Vec<u8>) {
    if column.saturating_add(octets.len()) > LINE - 1 {
        out.extend_from_slice(b"=\r\n");
        *column = 0;
    }
    out.extend_from_slice(octets);
    *column = column.saturating_add(octets.len());
}

/// RFC 2045 §6.7, §6.8.
const LINE: usize = 76;
/// Of Base64 in a line.
const LINE_OCTETS: usize = LINE / 4 * 3;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::decode::{decode_base64, decode_quoted_printable};
    use super::*;

    fn encoded(mut encoder: Encoder, octets: &[u8], size: usize) -> Vec<u8> {
        let mut out = Vec::new();
        octets.chunks(size).for_each(|piece| encoder.push(piece, &mut out));
        encoder.finish(&mut out);
        out
    }

    fn is_seven_bit(octets: &[u8]) -> bool {
        octets.is_ascii() && octets.split(|b| *b == b'\n').all(|line| line.len() <= LINE + 1)
    }

    #[test]
    fn quoted_printable_by_example() {
        for (text, want) in [
            ("a=b", "a=3Db"),
            ("a \r\nb\t", "a=20\r\nb=09"),
            ("a b", "a b"),
            ("\u{e4}\r\n", "=C3=A4\r\n"),
            ("a\rb\nc", "a=0Db=0Ac"),
        ] {
            assert_eq!(encoded(Encoder::quoted_printable(), text.as_bytes(), 1), want.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn decoded_it_is_the_same(text in "([a-z= \t\r\n.\u{e4}]|\r\n){0,300}", size in 1usize..80) {
            let text = text.as_bytes();
            for (encoder, decode) in [
                (Encoder::base64(), decode_base64 as fn(&[u8]) -> Vec<u8>),
                (Encoder::quoted_printable(), decode_quoted_printable),
            ] {
                let whole = encoded(encoder.clone(), text, usize::MAX);
                prop_assert_eq!(&encoded(encoder, text, size), &whole);
                prop_assert!(is_seven_bit(&whole));
                prop_assert_eq!(decode(&whole), text);
            }
            let long: Vec<u8> = STANDARD.encode(text).into_bytes();
            let rewrapped = encoded(Encoder::rewrap(), &long, size);
            prop_assert!(is_seven_bit(&rewrapped));
            prop_assert_eq!(decode_base64(&rewrapped), text);
            let long = decode_quoted_printable(&encoded(Encoder::quoted_printable(), text, 7)).len();
            prop_assert_eq!(long, text.len());
        }

        #[test]
        fn long_quoted_printable_means_the_same(text in "([a-z.]|=|=C|=C3=A4|=\r\n|=3D|\r\n|\u{e4}){0,300}", size in 1usize..80) {
            let requoted = encoded(Encoder::requote(), text.as_bytes(), size);
            prop_assert!(is_seven_bit(&requoted));
            prop_assert_eq!(decode_quoted_printable(&requoted), decode_quoted_printable(text.as_bytes()));
        }
    }
}
