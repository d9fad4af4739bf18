//! What a message needs of those who carry it: 8-bit transport (RFC 6152), headers beyond ASCII (RFC 6532), lines
//! longer than SMTP has them (RFC 5321 §4.5.3.1.6).

use memchr::memchr;

/// Looks at a message that comes in pieces of any size, prefix and content. Memory does not depend on the message.
#[derive(Debug)]
pub struct Survey {
    found: Surveyed,
    in_header: bool,
    /// How the line of the header begins.
    start: Vec<u8>,
    /// Octets of the line so far, without its end.
    length: u64,
    /// The last octet was CR.
    after_cr: bool,
    /// The start of a character that is not complete.
    character: Vec<u8>,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surveyed {
    /// What the top-level header is written in.
    pub header: HeaderText,
    /// An octet beyond ASCII stands somewhere.
    pub is_eight_bit: bool,
    /// A line behind the top-level header has more than 998 octets.
    pub has_long_line: bool,
    /// The top-level header has a signature over the body (RFC 6376, RFC 8617).
    pub is_signed: bool,
}

/// What a header is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderText {
    /// As RFC 5322 has it.
    Ascii,
    /// As RFC 6532 has it.
    Utf8,
    /// Octets of no known charset, which no standard has.
    Other,
}

impl Default for Survey {
    fn default() -> Self {
        let found = Surveyed { header: HeaderText::Ascii, is_eight_bit: false, has_long_line: false, is_signed: false };
        Self { found, in_header: true, start: Vec::new(), length: 0, after_cr: false, character: Vec::new() }
    }
}

impl Survey {
    /// Looks at the next octets.
    pub fn push(&mut self, mut octets: &[u8]) {
        while let (true, Some(_)) = (self.in_header, octets.first()) {
            let end = memchr(b'\n', octets).map_or(octets.len(), |at| at.saturating_add(1));
            let (line, rest) = octets.split_at(end);
            self.header_text(line);
            self.field_name(line);
            self.line(line);
            octets = rest;
        }
        self.found.is_eight_bit |= !octets.is_ascii();
        while !octets.is_empty() {
            let end = memchr(b'\n', octets).map_or(octets.len(), |at| at.saturating_add(1));
            let (line, rest) = octets.split_at(end);
            self.line(line);
            octets = rest;
        }
    }

    /// What was found in all.
    pub fn finish(mut self) -> Surveyed {
        self.measure();
        if !self.character.is_empty() {
            self.found.header = HeaderText::Other;
        }
        self.found
    }

    /// A line or a piece of one.
    fn line(&mut self, piece: &[u8]) {
        let Some(text) = piece.strip_suffix(b"\n") else {
            self.length = self.length.saturating_add(piece.len() as u64);
            self.after_cr = piece.last() == Some(&b'\r');
            return;
        };
        let has_cr = if text.is_empty() { self.after_cr } else { text.ends_with(b"\r") };
        self.length = self.length.saturating_add(text.len() as u64).saturating_sub(u64::from(has_cr));
        self.measure();
        self.in_header &= self.length > 0;
        self.length = 0;
        self.after_cr = false;
    }

    fn measure(&mut self) {
        self.found.has_long_line |= !self.in_header && self.length > MAX_LINE;
    }

    /// Looks whether a line of the header begins as a signature does.
    fn field_name(&mut self, piece: &[u8]) {
        if self.length == 0 && !self.after_cr {
            self.start.clear();
        }
        let room = LONGEST_NAME.saturating_sub(self.start.len());
        self.start.extend_from_slice(piece.get(..room).unwrap_or(piece));
        let name = self.start.split(|octet| *octet == b':').next().unwrap_or_default();
        let is_field = name.len() < self.start.len();
        self.found.is_signed |= is_field && SIGNATURES.iter().any(|field| field.eq_ignore_ascii_case(name));
    }

    fn header_text(&mut self, piece: &[u8]) {
        if piece.is_ascii() && self.character.is_empty() {
            return;
        }
        self.found.is_eight_bit = true;
        if self.found.header == HeaderText::Other {
            return;
        }
        self.found.header = HeaderText::Utf8;
        let mut octets = std::mem::take(&mut self.character);
        octets.extend_from_slice(piece);
        if let Err(error) = std::str::from_utf8(&octets) {
            if error.error_len().is_some() {
                self.found.header = HeaderText::Other;
            } else {
                self.character = octets.split_off(error.valid_up_to());
            }
        }
    }
}

/// Fields that sign the body.
const SIGNATURES: [&[u8]; 2] = [b"DKIM-Signature", b"ARC-Message-Signature"];
/// Octets of the longest of them with its colon.
const LONGEST_NAME: usize = 22;
/// RFC 5321 §4.5.3.1.6: 1,000 octets with CRLF.
const MAX_LINE: u64 = 998;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn survey(octets: &[u8], size: usize) -> Surveyed {
        let mut survey = Survey::default();
        octets.chunks(size).for_each(|piece| survey.push(piece));
        survey.finish()
    }

    #[test]
    fn what_messages_need() {
        let none = Survey::default().finish();
        let line = |n: usize| "x".repeat(n);
        for (case, message, want) in [
            ("plain", b"A: b\r\n\r\nc\r\n".to_vec(), none),
            ("empty", Vec::new(), none),
            ("8-bit body", "A: b\r\n\r\n\u{e4}\r\n".into(), Surveyed { is_eight_bit: true, ..none }),
            (
                "UTF-8 header",
                "A: \u{e4}\r\n\r\nc\r\n".into(),
                Surveyed { header: HeaderText::Utf8, is_eight_bit: true, ..none },
            ),
            (
                "other header",
                b"A: \xe4\r\n\r\nc\r\n".to_vec(),
                Surveyed { header: HeaderText::Other, is_eight_bit: true, ..none },
            ),
            (
                "half a character",
                b"A: \xe4".to_vec(),
                Surveyed { header: HeaderText::Other, is_eight_bit: true, ..none },
            ),
            ("998 octets", format!("A: {}\r\n\r\n{}\r\n", line(995), line(998)).into(), none),
            ("999 octets", format!("A: b\r\n\r\n{}\r\n", line(999)).into(), Surveyed { has_long_line: true, ..none }),
            (
                "999 octets without end",
                format!("A: b\r\n\r\n{}", line(999)).into(),
                Surveyed { has_long_line: true, ..none },
            ),
            ("999 octets of header", format!("A: {}\r\n\r\nc\r\n", line(996)).into(), none),
            ("signed", b"A: b\r\ndkim-Signature: x\r\n\r\nc\r\n".to_vec(), Surveyed { is_signed: true, ..none }),
            ("sealed", b"ARC-Message-Signature:x\r\n\r\n".to_vec(), Surveyed { is_signed: true, ..none }),
            ("a name in a value", b"A: DKIM-Signature: x\r\n DKIM-Signature: x\r\n\r\n".to_vec(), none),
            ("a name in the body", b"A: b\r\n\r\nDKIM-Signature: x\r\n".to_vec(), none),
        ] {
            assert_eq!(survey(&message, usize::MAX), want, "{case}");
        }
    }

    proptest! {
        #[test]
        fn the_same_however_it_is_split(message in "([A:\u{e4}\r\n]{0,12}|x{990,1002}|\r\n\r\n|\r?\n?DKIM-Signature:){0,6}", size in 1usize..9) {
            prop_assert_eq!(survey(message.as_bytes(), usize::MAX), survey(message.as_bytes(), size));
        }
    }
}
