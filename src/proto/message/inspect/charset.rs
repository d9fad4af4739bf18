//! Charsets of text bodies: what they say, and whether all of it could be read.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};

use super::super::decode::decode_charset;

/// Octets as text, and whether nothing of it was lost. Without a charset HTML may name its own.
pub(super) fn decode<'a>(charset: Option<&str>, is_html: bool, octets: &'a [u8]) -> (Cow<'a, str>, bool) {
    let inner = if charset.is_none() && is_html { meta_charset(octets) } else { None };
    let label = charset.map(str::trim).or(inner.as_deref()).filter(|label| !label.eq_ignore_ascii_case("us-ascii"));
    if label.is_some_and(|label| label.eq_ignore_ascii_case("utf-8"))
        && !octets.starts_with("\u{feff}".as_bytes())
        && let Ok(text) = std::str::from_utf8(octets)
    {
        return (Cow::Borrowed(text), true);
    }
    if let Some((encoding, length)) = Encoding::for_bom(octets) {
        let (text, had_errors) = encoding.decode_without_bom_handling(octets.get(length..).unwrap_or_default());
        return (text, !had_errors);
    }
    if let Some(label) = label {
        if is_utf16(label) {
            let (text, had_errors) = byte_order(octets).decode_without_bom_handling(octets);
            return (text, !had_errors);
        }
        if let Some(encoding) = Encoding::for_label_no_replacement(label.as_bytes()) {
            let (text, had_errors) = encoding.decode_without_bom_handling(octets);
            return (text, !had_errors);
        }
        let text = decode_charset(Some(label.as_bytes()), octets);
        // Neither known here nor plain ASCII, so that the guess may be wrong.
        let is_complete = !text.contains(char::REPLACEMENT_CHARACTER) && (octets.is_ascii() || is_utf8(octets));
        return (text, is_complete);
    }
    (decode_charset(None, octets), is_utf8(octets))
}

fn is_utf8(octets: &[u8]) -> bool {
    std::str::from_utf8(octets).is_ok()
}

/// A label that leaves the byte order open.
fn is_utf16(label: &str) -> bool {
    ["utf-16", "utf16", "ucs-2", "iso-10646-ucs-2", "unicode"].iter().any(|name| label.eq_ignore_ascii_case(name))
}

/// Without a byte order mark RFC 2781 §4.3 says big-endian and most senders write little-endian: the order in which
/// more characters are ASCII.
fn byte_order(octets: &[u8]) -> &'static Encoding {
    let (mut big, mut little) = (0usize, 0usize);
    for pair in octets.chunks_exact(2).take(4096) {
        match pair {
            [0, low] if *low != 0 => big += 1,
            [high, 0] if *high != 0 => little += 1,
            _ => {}
        }
    }
    if little > big { UTF_16LE } else { UTF_16BE }
}

/// The charset that an HTML text names in its first octets.
fn meta_charset(octets: &[u8]) -> Option<String> {
    let head = octets.get(..octets.len().min(META_OCTETS))?.to_ascii_lowercase();
    let at = memchr::memmem::find(&head, b"charset=")? + b"charset=".len();
    let label = head.get(at..)?.trim_ascii_start();
    let label = label.strip_prefix(b"\"").or_else(|| label.strip_prefix(b"'")).unwrap_or(label);
    let end = label.iter().position(|b| !(b.is_ascii_alphanumeric() || b"-_:.".contains(b))).unwrap_or(label.len());
    String::from_utf8(label.get(..end)?.to_vec()).ok().filter(|label| !label.is_empty())
}

/// HTML looks for its own charset in this many octets.
const META_OCTETS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, big: bool) -> Vec<u8> {
        text.encode_utf16().flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
    }

    #[test]
    fn charsets_are_decoded_and_losses_told() {
        let meta = b"<meta http-equiv=x content=\"text/html; charset=gb2312\">\xd6\xd0";
        let rows = [
            ("UTF-8 without a label", None, false, "é".into(), "é", true),
            ("other octets without a label", None, false, b"caf\xe9".to_vec(), "café", false),
            ("UTF-8 with mark", Some("utf-8"), false, "\u{feff}é".into(), "é", true),
            ("no UTF-8", Some("utf-8"), false, b"caf\xe9".to_vec(), "caf\u{fffd}", false),
            ("labelled", Some("ISO-8859-1"), false, b"caf\xe9".to_vec(), "café", true),
            ("GB18030", Some("GB18030"), false, b"\xd6\xd0\xb9\xfa".to_vec(), "中国", true),
            ("ISO-2022-JP", Some("iso-2022-jp"), false, b"\x1b$BF|K\\\x1b(B".to_vec(), "日本", true),
            ("UTF-16LE", Some("utf-16le"), false, utf16("aé", false), "aé", true),
            ("UTF-16 big", Some("utf-16"), false, utf16("abé", true), "abé", true),
            ("UTF-16 little", Some("UTF-16"), false, utf16("abé", false), "abé", true),
            (
                "UTF-16 with mark",
                Some("utf-16"),
                false,
                [b"\xff\xfe".to_vec(), utf16("中", false)].concat(),
                "中",
                true,
            ),
            ("UTF-7", Some("utf-7"), false, b"+AOQ-".to_vec(), "ä", true),
            ("unknown, ASCII", Some("x-none"), false, b"abc".to_vec(), "abc", true),
            ("unknown", Some("x-none"), false, b"\xe9".to_vec(), "é", false),
            ("broken", Some("utf-8"), false, b"a\xe9b".to_vec(), "a\u{fffd}b", false),
            (
                "HTML says",
                None,
                true,
                meta.to_vec(),
                "<meta http-equiv=x content=\"text/html; charset=gb2312\">中",
                true,
            ),
        ];
        for (case, label, is_html, octets, want, is_complete) in rows {
            assert_eq!(decode(label, is_html, &octets), (Cow::Borrowed(want), is_complete), "{case}");
        }
    }
}
