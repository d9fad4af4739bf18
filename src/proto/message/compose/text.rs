//! Text bodies in 7 bits (RFC 2045 §6): as they are, else in quoted-printable, else in Base64, whichever is shortest to
//! read without a mail program.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::field::{Header, MAX_LINE};

/// Writes the fields of a text of this type, and returns its body. Line ends become CRLF, other controls but the tab
/// are dropped.
pub(super) fn body(text: &str, content_type: &str, header: &mut Header) -> Vec<u8> {
    let mut lines: Vec<String> =
        text.lines().map(|line| line.chars().filter(|c| *c == '\t' || !c.is_control()).collect()).collect();
    lines.push(String::new());
    header.raw("Content-Type", content_type);
    encoded(lines.join("\r\n").as_bytes(), header)
}

/// The same for octets whose line ends are right or do not matter, without a Content-Type.
pub(super) fn octets(octets: &[u8], header: &mut Header) -> Vec<u8> {
    encoded(octets, header)
}

/// The same for what is no text.
pub(super) fn binary(octets: &[u8], header: &mut Header) -> Vec<u8> {
    header.raw("Content-Transfer-Encoding", "base64");
    base64(octets)
}

fn encoded(octets: &[u8], header: &mut Header) -> Vec<u8> {
    let is_short = |line: &[u8]| line.len() <= MAX_LINE;
    let is_seven_bit = |b: &u8| matches!(b, b'\t' | b'\r' | b'\n' | b' '..=b'~');
    if octets.iter().all(is_seven_bit) && has_only_crlf(octets) && octets.split(|b| *b == b'\n').all(is_short) {
        header.raw("Content-Transfer-Encoding", "7bit");
        return octets.to_vec();
    }
    let beyond = octets.iter().filter(|b| !b.is_ascii()).count();
    if beyond > octets.len() / 3 {
        header.raw("Content-Transfer-Encoding", "base64");
        return base64(octets);
    }
    header.raw("Content-Transfer-Encoding", "quoted-printable");
    quoted_printable(octets).into_bytes()
}

fn has_only_crlf(octets: &[u8]) -> bool {
    let bare = octets.iter().filter(|b| matches!(b, b'\r' | b'\n')).count();
    bare == 2 * memchr::memmem::find_iter(octets, b"\r\n").count()
}

fn base64(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in STANDARD.encode(octets).as_bytes().chunks(MAX_ENCODED_LINE) {
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// RFC 2045 §6.7: lines of at most 76 characters, no white space at their ends.
fn quoted_printable(octets: &[u8]) -> String {
    let mut out = String::with_capacity(octets.len() * 5 / 4);
    let mut column = 0;
    let mut rest = octets;
    while let Some((octet, tail)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(b"\r\n") {
            out.push_str("\r\n");
            column = 0;
            rest = after;
            continue;
        }
        let ends_line = tail.is_empty() || tail.starts_with(b"\r\n");
        let is_literal = matches!(octet, b'!'..=b'<' | b'>'..=b'~') || (matches!(octet, b' ' | b'\t') && !ends_line);
        let width = if is_literal { 1 } else { 3 };
        // One column is for the equals sign that breaks the line.
        if column + width > MAX_ENCODED_LINE - 1 {
            out.push_str("=\r\n");
            column = 0;
        }
        if is_literal {
            out.push(char::from(*octet));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "={octet:02X}");
        }
        column += width;
        rest = tail;
    }
    out
}

/// RFC 2045 §6.7, §6.8.
const MAX_ENCODED_LINE: usize = 76;

#[cfg(test)]
mod tests {
    use super::super::super::decode::{decode_base64, decode_quoted_printable};
    use super::*;

    fn written(text: &str) -> (String, Vec<u8>) {
        let mut header = Header::default();
        let body = body(text, "text/plain; charset=utf-8", &mut header);
        (String::from_utf8(header.into_fields()).unwrap(), body)
    }

    #[test]
    fn texts_take_the_plainest_encoding() {
        let long = "x".repeat(100);
        for (case, text, encoding, want) in [
            ("plain", "a\nb\r\n", "7bit", "a\r\nb\r\n"),
            ("no line end", "a", "7bit", "a\r\n"),
            ("empty", "", "7bit", ""),
            ("controls", "a\0b\rc\x1b\td", "7bit", "abc\td\r\n"),
            ("some beyond ASCII", "Grüße aus Köln = schön ", "quoted-printable", "Grüße aus Köln = schön \r\n"),
            ("long line", &long, "quoted-printable", &format!("{long}\r\n")),
            ("mostly beyond ASCII", "机密文件\nabc", "base64", "机密文件\r\nabc\r\n"),
        ] {
            let (header, body) = written(text);
            assert!(header.ends_with(&format!("Content-Transfer-Encoding: {encoding}\r\n")), "{case}: {header}");
            assert!(body.is_ascii() && body.split(|b| *b == b'\n').all(|line| line.len() <= 79), "{case}");
            let decoded = match encoding {
                "base64" => decode_base64(&body),
                "quoted-printable" => decode_quoted_printable(&body),
                _ => body,
            };
            assert_eq!(String::from_utf8(decoded).unwrap(), want, "{case}");
        }
    }
}
