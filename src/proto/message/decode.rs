//! Octets to text: encoded-words (RFC 2047), transfer encodings (RFC 2045 §6.7, §6.8), charsets.
//!
//! Reading is lenient: what cannot be decoded stays as it is or becomes U+FFFD.

use std::borrow::Cow;

use mail_parser::decoders::charsets::map::charset_decoder;

use super::header::unfold;

/// The text of a header field's value: unfolded, encoded-words decoded, other octets taken as UTF-8, else as
/// windows-1252.
pub fn decode_text(value: &[u8]) -> String {
    if let Some(text) = plain_text(value) {
        return text.to_owned();
    }
    let value = unfold(value);
    let mut out = String::with_capacity(value.len());
    // A character may be split between encoded-words that follow each other, so octets of one charset are collected.
    let mut pending: Option<(&[u8], Vec<u8>)> = None;
    let (mut plain_from, mut search_from) = (0, 0);
    while let Some(at) = value.get(search_from..).and_then(word_start) {
        let at = search_from + at;
        let Some(word) = value.get(at..).and_then(EncodedWord::parse) else {
            search_from = at + 2;
            continue;
        };
        let between = value.get(plain_from..at).unwrap_or_default();
        // RFC 2047 §6.2: white space between adjacent encoded-words is not shown.
        let adjacent = pending.is_some() && between.iter().all(u8::is_ascii_whitespace);
        match &mut pending {
            Some((charset, octets)) if adjacent && charset.eq_ignore_ascii_case(word.charset) => {
                octets.extend_from_slice(&word.octets);
            }
            _ => {
                flush(&mut pending, &mut out);
                if !adjacent {
                    plain(between, &mut out);
                }
                pending = Some((word.charset, word.octets));
            }
        }
        plain_from = at + word.length;
        search_from = plain_from;
    }
    flush(&mut pending, &mut out);
    plain(value.get(plain_from..).unwrap_or_default(), &mut out);
    out
}

/// The value, if that is already what it says: one line of ASCII without encoded-words, as most are.
pub fn plain_text(value: &[u8]) -> Option<&str> {
    let value = value.trim_ascii();
    let is_plain = value.is_ascii() && memchr::memchr2(b'\r', b'\n', value).is_none() && word_start(value).is_none();
    std::str::from_utf8(value).ok().filter(|_| is_plain)
}

/// Where an encoded-word may start. Most values are too short for the preparations of a search for two octets.
fn word_start(value: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'=', value).find(|at| value.get(at + 1) == Some(&b'?'))
}

fn flush(pending: &mut Option<(&[u8], Vec<u8>)>, out: &mut String) {
    if let Some((charset, octets)) = pending.take() {
        out.push_str(&decode_charset(Some(charset), &octets));
    }
}

fn plain(octets: &[u8], out: &mut String) {
    out.push_str(&decode_charset(None, octets));
}

/// `=?charset*language?encoding?text?=` (RFC 2047 §2, RFC 2231 §5).
struct EncodedWord<'a> {
    charset: &'a [u8],
    octets: Vec<u8>,
    length: usize,
}

impl<'a> EncodedWord<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        let inner = text.strip_prefix(b"=?")?;
        let charset_end = inner.iter().take(MAX_CHARSET).position(|b| *b == b'?')?;
        let (charset, rest) = inner.split_at_checked(charset_end)?;
        let charset = charset.split(|b| *b == b'*').next()?;
        let [b'?', encoding, b'?', rest @ ..] = rest else { return None };
        let end = memchr::memchr(b'?', rest).filter(|end| rest.get(end + 1) == Some(&b'='))?;
        let encoded = rest.get(..end)?;
        let octets = match encoding {
            b'b' | b'B' => decode_base64(encoded),
            b'q' | b'Q' => {
                let spaced: Vec<u8> = encoded.iter().map(|b| if *b == b'_' { b' ' } else { *b }).collect();
                decode_quoted_printable(&spaced)
            }
            _ => return None,
        };
        Some(Self { charset, octets, length: "=?".len() + charset_end + "?q?".len() + end + "?=".len() })
    }
}

/// Base64 (RFC 2045 §6.8); octets outside the alphabet are skipped, padding ends a run but not the text.
pub(super) fn decode_base64(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut bits, mut held) = (0u32, 0u32);
    for &b in text {
        let value = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                (bits, held) = (0, 0);
                continue;
            }
            _ => continue,
        };
        bits = (bits << 6 | u32::from(value)) & 0xFFFF;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held & 0xFF) as u8);
        }
    }
    out
}

/// Quoted-printable (RFC 2045 §6.7); an equals sign that starts nothing stays.
pub(super) fn decode_quoted_printable(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'=', rest) {
        let (head, tail) = rest.split_at(at);
        out.extend_from_slice(head);
        rest = match tail {
            [b'=', b'\r', b'\n', rest @ ..] | [b'=', b'\n', rest @ ..] => rest,
            [b'=', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(hex(*high) << 4 | hex(*low));
                rest
            }
            [equals, rest @ ..] => {
                out.push(*equals);
                rest
            }
            [] => break,
        };
    }
    out.extend_from_slice(rest);
    out
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => 0,
    }
}

/// Octets of a charset as text. Unknown or missing charset, and `us-ascii`: UTF-8 if it is, else windows-1252.
pub(super) fn decode_charset<'a>(charset: Option<&[u8]>, octets: &'a [u8]) -> Cow<'a, str> {
    let charset = charset.filter(|label| !label.eq_ignore_ascii_case(b"us-ascii"));
    if let Some(label) = charset.filter(|label| label.len() <= MAX_CHARSET) {
        if let Some(encoding) = encoding_rs::Encoding::for_label_no_replacement(label) {
            return encoding.decode_without_bom_handling(octets).0;
        }
        // UTF-7 and others that are no encodings of the web.
        if let Some(decode) = charset_decoder(&label.to_ascii_lowercase()) {
            return Cow::Owned(decode(octets));
        }
    }
    match std::str::from_utf8(octets) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => encoding_rs::WINDOWS_1252.decode_without_bom_handling(octets).0,
    }
}

/// No charset has a longer name.
const MAX_CHARSET: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_words_are_decoded() {
        let rows: &[(&[u8], &str)] = &[
            (b"plain", "plain"),
            (b" a\r\n\tb ", "a\tb"),
            (b"=?ISO-8859-1?Q?a?=", "a"),
            (b"=?ISO-8859-1?Q?a?= b", "a b"),
            (b"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
            (b"=?ISO-8859-1?Q?a?=\r\n    =?ISO-8859-1?Q?b?=", "ab"),
            (b"=?ISO-8859-1?Q?a_b?=", "a b"),
            (b"=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
            (b"x =?utf-8*en?B?R3LDvMOfZQ==?= y", "x Grüße y"),
            (b"=?utf-8?B?4oI=?= =?utf-8?B?rA==?=", "€"),
            (b"=?utf-8?X?abc?=", "=?utf-8?X?abc?="),
            (b"a =? b =?utf-8?q?=C3=A4?= =? c", "a =? b ä =? c"),
            (b"=?utf-8?q?=C3=A4?= =?broken =?utf-8?q?=C3=A4?=", "ä =?broken ä"),
            (b"=?utf-7?Q?+AOQ-?=", "ä"),
            ("süß".as_bytes(), "süß"),
            (b"caf\xe9", "café"),
            (b"=?", "=?"),
            (b"=?utf-8?q?open", "=?utf-8?q?open"),
        ];
        for (value, want) in rows {
            assert_eq!(decode_text(value), *want, "{}", String::from_utf8_lossy(value));
        }
    }

    #[test]
    fn transfer_encodings_are_decoded() {
        assert_eq!(decode_base64(b"R3LD\r\nvMOf ZQ==\r\nR3L="), "GrüßeGr".as_bytes());
        assert_eq!(decode_base64(b"!"), b"");
        assert_eq!(decode_quoted_printable(b"a=3D=\r\nb=\nc=C3=a4=zz="), "a=bcä=zz=".as_bytes());
    }
}
