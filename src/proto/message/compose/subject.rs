//! A text in front of a message's subject, for some of its readers (policy semantics §13.4).

use super::super::decode::decode_text;
use super::super::header::fields;
use super::super::scanner::MAX_HEADER;
use super::field::{Header, MAX_LINE, cleaned};
use crate::mail::Span;

/// A Subject field that stands in for the message's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NewSubject {
    /// The field, complete with CRLF.
    pub field: Vec<u8>,
    /// Where the header has the one that it replaces; `None` if it has none.
    pub replaced: Option<Span>,
}

/// The Subject of `header` (which starts with the content) with these texts in front, the first one first. A text with
/// which the subject begins already is not put there again; `None` if that leaves nothing to do. Of several Subject
/// fields the first is meant, which is what readers show. What the field has stays octet by octet as it is.
///
/// A header above 256 KiB, of which nobody knows the end, keeps its subject.
pub fn prefixed_subject(texts: &[&str], header: &[u8]) -> Option<NewSubject> {
    if header.len() >= MAX_HEADER {
        return None;
    }
    let (value, replaced) = subject_field(header);
    let mut shown = cleaned(&decode_text(value));
    let mut added: Vec<String> = Vec::new();
    for text in texts.iter().rev().map(|text| cleaned(text)) {
        if !text.is_empty() && !shown.starts_with(&text) {
            shown = format!("{text} {shown}");
            added.push(text);
        }
    }
    if added.is_empty() {
        return None;
    }
    added.reverse();
    Some(NewSubject { field: field(&added.join(" "), value), replaced })
}

/// The value of the first Subject, foldings and all, and where the field stands.
fn subject_field(header: &[u8]) -> (&[u8], Option<Span>) {
    let mut at = 0;
    for field in fields(header) {
        let end = at + field.raw.len();
        if field.is(b"Subject") {
            return (field.raw_value().trim_ascii(), Span::new(at as u64, end as u64));
        }
        at = end;
    }
    (b"", None)
}

fn field(text: &str, value: &[u8]) -> Vec<u8> {
    let mut header = Header::default();
    header.text("Subject", text);
    let mut out = header.into_fields();
    // RFC 2047 §6.2: white space between encoded-words is not shown, so the space between these has to be in one.
    if out.ends_with(b"?=\r\n") && value.starts_with(b"=?") {
        let mut header = Header::default();
        header.encoded("Subject", &format!("{text} "));
        out = header.into_fields();
    }
    if value.is_empty() {
        return out;
    }
    out.truncate(out.len().saturating_sub(2));
    let column = out.rsplit(|b| *b == b'\n').next().map_or(0, <[u8]>::len);
    let line = value.split(|b| *b == b'\r').next().map_or(0, <[u8]>::len);
    // RFC 5322 §2.1.1
    if column + 1 + line > MAX_LINE {
        out.extend_from_slice(b"\r\n");
    }
    out.push(b' ');
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(texts: &[&str], header: &str) -> Option<(String, String)> {
        let new = prefixed_subject(texts, header.as_bytes())?;
        let without = match new.replaced {
            None => header.to_owned(),
            Some(span) => [&header[..span.from() as usize], &header[span.to() as usize..]].concat(),
        };
        Some((String::from_utf8(new.field).unwrap(), without))
    }

    #[test]
    fn a_text_stands_in_front_of_the_subject() {
        let long = "w".repeat(65);
        type Row<'a> = (&'a str, &'a [&'a str], &'a str, Option<(&'a str, &'a str)>);
        let rows: &[Row<'_>] = &[
            ("plain", &["[EXT]"], "A: 1\r\nSubject: hello\r\nB: 2\r\n", Some(("[EXT] hello", "A: 1\r\nB: 2\r\n"))),
            ("white space of the text", &[" [EXT]  "], "Subject:hello\r\n", Some(("[EXT] hello", ""))),
            ("none", &["[EXT]"], "A: 1\r\n", Some(("[EXT]", "A: 1\r\n"))),
            ("empty", &["[EXT]"], "Subject: \r\nA: 1\r\n", Some(("[EXT]", "A: 1\r\n"))),
            ("there already", &["[EXT]"], "Subject: [EXT] hello\r\n", None),
            ("there already, encoded", &["[EXT]"], "Subject: =?utf-8?Q?=5BEXT=5D_caf=C3=A9?=\r\n", None),
            ("there, but not in front", &["[EXT]"], "Subject: Re: [EXT] a\r\n", Some(("[EXT] Re: [EXT] a", ""))),
            ("two texts", &["[A]", "[B]"], "Subject: x\r\n", Some(("[A] [B] x", ""))),
            ("two, the second is there", &["[A]", "[B]"], "Subject: [B] x\r\n", Some(("[A] [B] x", ""))),
            ("the same twice", &["[A]", "[A]"], "Subject: x\r\n", Some(("[A] x", ""))),
            ("several", &["[A]"], "Subject: x\r\nSubject: y\r\n", Some(("[A] x", "Subject: y\r\n"))),
            ("another case", &["[A]"], "SUBJECT: x\r\n", Some(("[A] x", ""))),
            ("folded", &["[A]"], "Subject: x\r\n y\r\nB: 2\r\n", Some(("[A] x\r\n y", "B: 2\r\n"))),
            ("folded before the text", &["[A]"], "Subject:\r\n x\r\n", Some(("[A] x", ""))),
            ("encoded", &["[A]"], "Subject: =?utf-8?Q?=C3=BC?=\r\n", Some(("[A] =?utf-8?Q?=C3=BC?=", ""))),
            ("beyond ASCII", &["[外部]"], "Subject: x\r\n", Some(("=?utf-8?B?W+WklumDqF0=?= x", ""))),
            ("not this field", &["[A]"], "X-Subject: x\r\n", Some(("[A]", "X-Subject: x\r\n"))),
        ];
        for (case, texts, header, want) in rows {
            let want = want.map(|(value, without)| (format!("Subject: {value}\r\n"), without.to_owned()));
            assert_eq!(subject(texts, header), want, "{case}");
        }
        let (field, _) = subject(&["[EXT]"], &format!("Subject: {long}\r\n")).unwrap();
        assert_eq!(field, format!("Subject: [EXT]\r\n {long}\r\n"));
    }

    #[test]
    fn encoded_words_keep_the_space_between_them() {
        let (field, _) = subject(&["[外部]"], "Subject: =?gb2312?B?xOO6ww==?= x\r\n").unwrap();
        assert_eq!(decode_text(field.trim_start_matches("Subject: ").as_bytes()), "[外部] 你好 x");
        let (field, _) = subject(&[&"外部 ".repeat(30)], "Subject: =?utf-8?Q?=C3=BC?=\r\n").unwrap();
        assert!(field.lines().all(|line| line.len() <= MAX_LINE), "{field}");
        assert!(decode_text(field.trim_start_matches("Subject: ").as_bytes()).ends_with("外部 ü"), "{field}");
    }

    #[test]
    fn no_text_adds_a_field() {
        let (field, _) = subject(&["a\r\nBcc: b@c.test\r\n\r\n"], "Subject: x\r\n").unwrap();
        assert_eq!(field, "Subject: a Bcc: b@c.test x\r\n");
    }

    #[test]
    fn what_is_beyond_the_limit_stays() {
        let header = format!("A: {}\r\nSubject: x\r\n", "x".repeat(MAX_HEADER));
        assert_eq!(prefixed_subject(&["[A]"], header.as_bytes()), None);
    }
}
