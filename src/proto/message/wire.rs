//! Text as IMAP strings that hold 7-bit octets only (RFC 3501 §4.3), whatever came in.
//!
//! Octets beyond ASCII are written as encoded-words (RFC 2047), word by word, so that encoded-words already there
//! stay what they are. Control characters become spaces.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Writes `text` as a quoted string. Line ends are dropped: this also unfolds (RFC 5322 §2.2.3).
pub(super) fn quoted(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    if text.iter().all(|b| (b' '..=b'~').contains(b) && !matches!(b, b'"' | b'\\')) {
        out.extend_from_slice(text);
    } else if text.is_ascii() {
        ascii(text, out);
    } else {
        words(text, out);
    }
    out.push(b'"');
}

/// Writes `text` as a quoted string, or NIL if there is none.
pub(super) fn nstring(text: Option<&[u8]>, out: &mut Vec<u8>) {
    match text {
        Some(text) => quoted(text, out),
        None => out.extend_from_slice(b"NIL"),
    }
}

fn ascii(text: &[u8], out: &mut Vec<u8>) {
    for &b in text {
        match b {
            b'\r' | b'\n' => {}
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', b]),
            b'\t' | b' '..=b'~' => out.push(b),
            _ => out.push(b' '),
        }
    }
}

/// Copies words of ASCII and encodes each run of words with other octets. White space between two encoded-words
/// vanishes when decoded (RFC 2047 §6.2), so what lies between the words of a run is encoded with them.
fn words(text: &[u8], out: &mut Vec<u8>) {
    let mut written = 0;
    let mut run: Option<(usize, usize)> = None;
    let mut word_start = 0;
    for (at, b) in text.iter().chain(b" ").enumerate() {
        if !is_space(*b) {
            continue;
        }
        let word = text.get(word_start..at).unwrap_or_default();
        if !word.is_ascii() {
            run = Some((run.map_or(word_start, |(start, _)| start), at));
        } else if let (false, Some((start, end))) = (word.is_empty(), run) {
            ascii(text.get(written..start).unwrap_or_default(), out);
            encoded_words(text.get(start..end).unwrap_or_default(), out);
            written = end;
            run = None;
        }
        word_start = at + 1;
    }
    if let Some((start, end)) = run {
        ascii(text.get(written..start).unwrap_or_default(), out);
        encoded_words(text.get(start..end).unwrap_or_default(), out);
        written = end;
    }
    ascii(text.get(written..).unwrap_or_default(), out);
}

fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

/// Writes `text` as encoded-words of at most 75 characters (RFC 2047 §2), none of which splits a character (§5).
pub(super) fn encoded_words(text: &[u8], out: &mut Vec<u8>) {
    let text: Vec<u8> = text.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n' | 0)).collect();
    // RFC 1428 §3: text whose charset nobody knows.
    let (prefix, is_utf8) =
        if std::str::from_utf8(&text).is_ok() { ("=?utf-8?B?", true) } else { ("=?unknown-8bit?B?", false) };
    let mut rest: &[u8] = &text;
    while !rest.is_empty() {
        let mut end = rest.len().min(ENCODED_WORD_OCTETS);
        while is_utf8 && end > 1 && rest.get(end).is_some_and(|b| b & 0xC0 == 0x80) {
            end -= 1;
        }
        let (head, tail) = rest.split_at(end);
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(STANDARD.encode(head).as_bytes());
        out.extend_from_slice(b"?=");
        if !tail.is_empty() {
            out.push(b' ');
        }
        rest = tail;
    }
}

/// 56 characters of Base64, 19 for the rest.
const ENCODED_WORD_OCTETS: usize = 42;

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(text: &[u8]) -> String {
        let mut out = Vec::new();
        quoted(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_becomes_seven_bit() {
        let rows: &[(&[u8], &str)] = &[
            (b"plain", "\"plain\""),
            (b"", "\"\""),
            (b"a \"b\" \\c", "\"a \\\"b\\\" \\\\c\""),
            (b"a\r\n b\0c\x07", "\"a b c \""),
            ("Grüße aus Köln".as_bytes(), "\"=?utf-8?B?R3LDvMOfZQ==?= aus =?utf-8?B?S8O2bG4=?=\""),
            ("=?utf-8?Q?x?= ü ö".as_bytes(), "\"=?utf-8?Q?x?= =?utf-8?B?w7wgw7Y=?=\""),
            (b"caf\xe9", "\"=?unknown-8bit?B?Y2Fm6Q==?=\""),
        ];
        for (text, want) in rows {
            assert_eq!(wire(text), *want);
        }
    }

    #[test]
    fn no_character_is_split() {
        let text = "日本語".repeat(40);
        let wire = wire(text.as_bytes());
        assert!(wire.split(' ').all(|word| word.trim_matches('"').len() <= 75));
        assert_eq!(super::super::decode_text(wire.trim_matches('"').as_bytes()), text);
    }
}
