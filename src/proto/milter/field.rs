//! Header fields as filters give them, made such that they are one field and nothing else.

/// The value of the field of this name, its lines separated by CRLF. Filters separate them by LF or CRLF. `None` if a
/// line after the first does not begin with white space or has nothing else (RFC 5322 §2.2.3), for a CR or NUL anywhere
/// else, and for a line of more than 998 octets (§2.1.1).
pub fn field_value(name: &str, octets: &[u8]) -> Option<Vec<u8>> {
    let mut value = Vec::with_capacity(octets.len());
    // Of the first line name, colon and space are a part.
    let mut before = name.len().saturating_add(2);
    for (at, line) in octets.split(|octet| *octet == b'\n').enumerate() {
        if at > 0 {
            let is_folded = matches!(line.first(), Some(b' ' | b'\t')) && !line.trim_ascii().is_empty();
            if !is_folded {
                return None;
            }
            value.extend_from_slice(b"\r\n");
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len().saturating_add(before) > MAX_LINE || line.iter().any(|octet| matches!(octet, b'\r' | 0)) {
            return None;
        }
        value.extend_from_slice(line);
        before = 0;
    }
    // A CR at the very end belongs to no line end.
    (!octets.ends_with(b"\r")).then_some(value)
}

const MAX_LINE: usize = 998;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        for (case, value, want) in [
            ("plain", &b"YES"[..], Some(&b"YES"[..])),
            ("empty", b"", Some(b"")),
            ("leading space", b" YES", Some(b" YES")),
            ("folded by LF", b"a;\n\tb", Some(b"a;\r\n\tb")),
            ("folded by CRLF", b"a;\r\n b", Some(b"a;\r\n b")),
            ("first line empty", b"\n\tb", Some(b"\r\n\tb")),
            ("8 bit", b"\xc3\xa4", Some(b"\xc3\xa4")),
            ("another field", b"a\r\nBcc: eve@evil.test", None),
            ("another field by LF", b"a\nBcc: eve@evil.test", None),
            ("the end of the header", b"a\r\n\r\nbody", None),
            ("an empty line at the end", b"a\n", None),
            ("a line of white space", b"a\n \nb", None),
            ("a line of white space at the end", b"a\r\n \r\n", None),
            ("bare CR", b"a\rBcc: eve", None),
            ("CR at the end", b"a\r", None),
            ("two CR", b"a\r\r\n b", None),
            ("NUL", b"a\0", None),
        ] {
            assert_eq!(field_value("X", value).as_deref(), want, "{case}");
        }
        assert!(field_value("X", &[b'a'; 995]).is_some());
        assert!(field_value("X", &[b'a'; 996]).is_none());
        let folded = [b"a\n ", &[b'a'; 997][..]].concat();
        assert!(field_value("X", &folded).is_some());
        assert!(field_value("X", &[&folded[..], b"a"].concat()).is_none());
    }
}
