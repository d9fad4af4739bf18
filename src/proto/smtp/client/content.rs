//! The octets of a message for DATA (RFC 5321 §4.5.2) and BDAT (RFC 3030).
//!
//! Whatever stands in the store, only CRLF goes out as a line end: a bare CR or LF becomes one, because hosts differ in
//! what they take for a line end and a message could be smuggled through the difference. Content that was taken by SMTP
//! has none and is not changed.

use memchr::memchr2;

/// Writes a message that comes in pieces of any size. Holds no octets.
#[derive(Clone, Debug)]
pub struct ContentWriter {
    stuffs: bool,
    is_line_start: bool,
    /// The last piece ended with CR, whose line end is not written yet.
    after_cr: bool,
}

impl ContentWriter {
    /// For DATA: dots at the start of a line are doubled, and the end is CRLF `.` CRLF.
    pub fn data() -> Self {
        Self { stuffs: true, is_line_start: true, after_cr: false }
    }

    /// For BDAT: neither, but a last line has its CRLF.
    pub fn chunks() -> Self {
        Self { stuffs: false, is_line_start: true, after_cr: false }
    }

    /// Appends the wire form of the next octets to `out`.
    pub fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        let mut rest = octets;
        if self.after_cr && !rest.is_empty() {
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            self.end_line(out);
        }
        out.reserve(rest.len().saturating_add(END));
        while let Some(first) = rest.first() {
            if self.is_line_start && self.stuffs && *first == b'.' {
                out.push(b'.');
            }
            let Some(at) = memchr2(b'\r', b'\n', rest) else {
                out.extend_from_slice(rest);
                self.is_line_start = false;
                return;
            };
            let (line, end) = rest.split_at(at);
            out.extend_from_slice(line);
            rest = match end {
                b"\r" => {
                    self.after_cr = true;
                    return;
                }
                [b'\r', b'\n', after @ ..] | [_, after @ ..] => after,
                [] => end,
            };
            self.end_line(out);
        }
    }

    /// Appends the end of the message.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        if self.after_cr || !self.is_line_start {
            self.end_line(out);
        }
        if self.stuffs {
            out.extend_from_slice(b".\r\n");
        }
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\r\n");
        self.after_cr = false;
        self.is_line_start = true;
    }
}

/// Octets of a line end and of the end.
const END: usize = 5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proto::smtp::DataDecoder;

    fn written(mut writer: ContentWriter, pieces: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        pieces.iter().for_each(|piece| writer.push(piece, &mut out));
        writer.finish(&mut out);
        out
    }

    #[test]
    fn content_on_the_wire() {
        for (case, content, data, chunk) in [
            ("nothing", "", ".\r\n", ""),
            ("line", "a\r\n", "a\r\n.\r\n", "a\r\n"),
            ("no end", "a", "a\r\n.\r\n", "a\r\n"),
            ("dots", ".\r\n..a\r\nb.\r\n.", "..\r\n...a\r\nb.\r\n..\r\n.\r\n", ".\r\n..a\r\nb.\r\n.\r\n"),
            ("smuggling", "a\n.\nMAIL\r.\r\r\n", "a\r\n..\r\nMAIL\r\n..\r\n\r\n.\r\n", "a\r\n.\r\nMAIL\r\n.\r\n\r\n"),
            ("CR at the end", "a\r", "a\r\n.\r\n", "a\r\n"),
        ] {
            let content = content.as_bytes();
            assert_eq!(written(ContentWriter::data(), &[content]), data.as_bytes(), "{case}: DATA");
            assert_eq!(written(ContentWriter::chunks(), &[content]), chunk.as_bytes(), "{case}: BDAT");
        }
    }

    proptest! {
        #[test]
        fn a_server_reads_what_was_written(content in "[a.\r\n]{0,60}", size in 1usize..7) {
            let content = content.as_bytes();
            let whole = written(ContentWriter::data(), &[content]);
            let pieces: Vec<&[u8]> = content.chunks(size).collect();
            prop_assert_eq!(&written(ContentWriter::data(), &pieces), &whole);
            let chunk = written(ContentWriter::chunks(), &pieces);
            let mut read = Vec::new();
            let mut decoder = DataDecoder::new();
            let decoded = decoder.decode(&whole, &mut read);
            prop_assert!(decoded.complete && decoded.consumed == whole.len() && decoder.defect().is_none());
            prop_assert_eq!(&read, &chunk);
            let clean = String::from_utf8_lossy(content).replace("\r\n", "\n").replace('\r', "\n");
            let clean = if clean.is_empty() || clean.ends_with('\n') { clean } else { clean + "\n" };
            prop_assert_eq!(String::from_utf8_lossy(&read), clean.replace('\n', "\r\n"));
        }
    }
}
