//! SEARCH (RFC 3501 §6.4.4): substrings without case, and the text of a message to look for them in.

use std::ops::ControlFlow;

use memchr::memmem::Finder;
use unicode_normalization::UnicodeNormalization as _;

use super::decode::{decode_base64, decode_charset, decode_quoted_printable, decode_text};
use super::header::{Field, fields};
use super::mime::{Encoding, TextCoding};
use super::{Part, PartContent};

/// A string to search for, prepared once. Case and compatibility forms make no difference, as in
/// `i;unicode-casemap` (RFC 5051).
#[derive(Clone, Debug)]
pub struct Needle {
    finder: Finder<'static>,
}

impl Needle {
    /// Prepares `text`. The empty string is in every text.
    pub fn new(text: &str) -> Self {
        Self { finder: Finder::new(folded(text).collect::<String>().as_bytes()).into_owned() }
    }

    /// `text` contains the string.
    pub fn matches(&self, text: &str) -> bool {
        if text.is_ascii() {
            return self.finder.find(text.to_ascii_lowercase().as_bytes()).is_some();
        }
        // A character can become many, so the folded text is never held as a whole.
        let length = self.finder.needle().len();
        let mut window = String::new();
        for c in folded(text) {
            window.push(c);
            if window.len() >= MAX_WINDOW.max(length.saturating_mul(2)) {
                if self.finder.find(window.as_bytes()).is_some() {
                    return true;
                }
                let keep = window.ceil_char_boundary(window.len() - length);
                window.drain(..keep);
            }
        }
        self.finder.find(window.as_bytes()).is_some()
    }

    /// The value of a field with that name contains the string, as with FROM, TO, CC, BCC, SUBJECT and HEADER. The
    /// empty string is in every field, but there must be one.
    pub fn matches_field(&self, block: &[u8], name: &str) -> bool {
        fields(block).filter(|field| field.is(name.as_bytes())).any(|field| self.matches_value(&field))
    }

    fn matches_value(&self, field: &Field<'_>) -> bool {
        self.matches(&decode_text(field.raw_value()))
    }
}

fn folded(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfkd()
}

/// The text of a message, decoded: header fields and `text/*` bodies, those of messages inside it, too.
#[derive(Clone, Copy, Debug)]
pub struct SearchText<'a> {
    /// The header fields that stand before the content.
    pub prefix: &'a [u8],
    /// The content, or the start of it.
    pub content: &'a [u8],
    /// The top-level part of the message's summary.
    pub root: &'a Part,
}

impl SearchText<'_> {
    /// SEARCH BODY: the needle is in the body.
    pub fn body_contains(&self, needle: &Needle) -> bool {
        let mut budget = MAX_TEXT;
        self.part(self.root, &mut budget, &mut |text| found(needle, text)).is_break()
    }

    /// SEARCH TEXT: the needle is in the header or the body.
    pub fn text_contains(&self, needle: &Needle) -> bool {
        let header = [self.prefix, self.slice(self.root.header)].concat();
        header_lines(&header, &mut |text| found(needle, text)).is_break() || self.body_contains(needle)
    }

    /// Shows the text of a part's body to `look`, and of what lies inside it.
    fn part(&self, part: &Part, budget: &mut usize, look: &mut impl FnMut(&str) -> ControlFlow<()>) -> ControlFlow<()> {
        match &part.content {
            PartContent::Multipart(parts) => {
                for part in parts {
                    header_lines(self.slice(part.header), look)?;
                    self.part(part, budget, look)?;
                }
                ControlFlow::Continue(())
            }
            PartContent::Message(top) => {
                header_lines(self.slice(top.header), look)?;
                self.part(top, budget, look)
            }
            PartContent::Leaf => {
                let coding = TextCoding::parse(self.slice(part.header));
                if !coding.is_text {
                    return ControlFlow::Continue(());
                }
                let body = self.slice(part.body);
                let body = body.get(..body.len().min(*budget)).unwrap_or_default();
                *budget -= body.len();
                let decoded;
                let octets = match coding.encoding {
                    Encoding::Identity => body,
                    Encoding::Base64 => {
                        decoded = decode_base64(body);
                        &decoded
                    }
                    Encoding::QuotedPrintable => {
                        decoded = decode_quoted_printable(body);
                        &decoded
                    }
                };
                look(&decode_charset(coding.charset.as_deref(), octets))
            }
        }
    }

    fn slice(&self, (start, end): (u64, u64)) -> &[u8] {
        let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        range.and_then(|(start, end)| self.content.get(start..end.min(self.content.len()))).unwrap_or_default()
    }
}

fn found(needle: &Needle, text: &str) -> ControlFlow<()> {
    if needle.matches(text) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// Each field as one line, name and all.
fn header_lines(block: &[u8], look: &mut impl FnMut(&str) -> ControlFlow<()>) -> ControlFlow<()> {
    fields(block).try_for_each(|field| look(&decode_text(field.raw)))
}

/// Octets of text bodies, before decoding, that one search looks at in a message.
const MAX_TEXT: usize = 16 * 1024 * 1024;

/// Octets of folded text that are looked at together.
const MAX_WINDOW: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::super::Scanner;
    use super::*;

    #[test]
    fn needles_match_without_case() {
        let rows = [
            ("", "", true),
            ("", "x", true),
            ("WORLD", "hello world", true),
            ("x", "", false),
            ("STRASSE", "Straße", true),
            ("straße", "STRASSE", true),
            ("ÄÖ", "xäöx", true),
            ("a\u{308}", "Ä", true),
            ("ς", "ΣΟΦΟΣ", true),
            ("привет", "ПРИВЕТ", true),
            ("ﬁ", "file", true),
            ("b", "a", false),
        ];
        for (needle, text, want) in rows {
            assert_eq!(Needle::new(needle).matches(text), want, "{needle} in {text}");
        }
    }

    #[test]
    fn a_match_is_found_wherever_it_lies_in_a_long_text() {
        let needle = Needle::new("GRÜßE");
        for before in (MAX_WINDOW - 20..MAX_WINDOW + 20).chain([3 * MAX_WINDOW]) {
            let text = format!("ä{}grüsse{}", "x".repeat(before), "y".repeat(10));
            assert!(needle.matches(&text), "{before}");
        }
        let long = "ö".repeat(MAX_WINDOW);
        assert!(Needle::new(&long).matches(&format!("x{}", long.to_uppercase())));
        assert!(!Needle::new(&long).matches(&format!("x{}", &long[2..])));
    }

    #[test]
    fn text_is_decoded_for_search() {
        let content = b"From: =?utf-8?q?J=C3=B6rg?= <j@x>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
            preamble\r\n--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
            Gr=FC=\r\n=DFe\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\nSGVsbG8=\r\n\
            --b\r\nContent-Type: application/x\r\n\r\nhidden\r\n\
            --b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nnested\r\n--b--\r\nepilogue";
        let mut scanner = Scanner::new();
        scanner.push(content);
        let summary = scanner.finish(b"");
        let text = SearchText { prefix: b"Received: here\r\n", content, root: &summary.root };
        for (needle, in_body, in_text) in [
            ("GRÜSSE", true, true),
            ("hello", true, true),
            ("hidden", false, false),
            ("subject: INNER", true, true),
            ("nested", true, true),
            ("epilogue", false, false),
            ("jörg", false, true),
            ("received: here", false, true),
        ] {
            let needle = Needle::new(needle);
            assert_eq!((text.body_contains(&needle), text.text_contains(&needle)), (in_body, in_text), "{needle:?}");
        }
        assert!(Needle::new("").matches_field(content, "from"));
        assert!(Needle::new("JÖRG <J").matches_field(content, "From"));
        assert!(!Needle::new("").matches_field(content, "to"));
    }
}
