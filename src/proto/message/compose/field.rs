//! Header fields that this server writes (RFC 5322 §2.2, RFC 2047): folded, encoded where they go beyond ASCII, never
//! more than one field whatever the text.

use super::super::wire::encoded_words;
use crate::mail::Address;

/// A field with unstructured text, folded and encoded, with its line end; `None` if the name is none.
pub fn header_field(name: &str, text: &str) -> Option<Vec<u8>> {
    is_field_name(name).then(|| {
        let mut header = Header::default();
        header.text(name, text);
        header.out
    })
}

/// RFC 5322 §3.6.8: `field-name`; no longer than leaves room for text.
pub fn is_field_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic() && b != b':')
}

/// Fields of a header in their order.
#[derive(Debug, Default)]
pub(super) struct Header {
    out: Vec<u8>,
}

impl Header {
    /// With the blank line.
    pub fn finish(mut self) -> Vec<u8> {
        self.out.extend_from_slice(b"\r\n");
        self.out
    }

    /// Without the blank line.
    pub fn into_fields(self) -> Vec<u8> {
        self.out
    }

    /// A value that this server made, and that is well-formed and folded as it stands.
    pub fn raw(&mut self, name: &str, value: &str) {
        self.name(name);
        self.out.extend_from_slice(value.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    /// An address; a parsed one holds no control characters.
    pub fn address(&mut self, name: &str, address: &Address) {
        self.raw(name, &format!("<{address}>"));
    }

    /// Unstructured text (RFC 5322 §3.6.5).
    pub fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        let text = cleaned(text);
        let is_plain = text.is_ascii() && !text.contains("=?") && text.split(' ').all(|word| word.len() <= MAX_WORD);
        if is_plain {
            folded(&text, name.len() + 2, &mut self.out);
        } else {
            self.words(&text);
        }
        self.out.extend_from_slice(b"\r\n");
    }

    /// Unstructured text as encoded-words (RFC 2047), spaces at its ends and all; it holds no control characters.
    pub fn encoded(&mut self, name: &str, text: &str) {
        self.name(name);
        self.words(text);
        self.out.extend_from_slice(b"\r\n");
    }

    fn words(&mut self, text: &str) {
        let mut words = Vec::new();
        encoded_words(text.as_bytes(), &mut words);
        let lines: Vec<&[u8]> = words.split(|b| *b == b' ').collect();
        self.out.extend_from_slice(&lines.join(&b"\r\n "[..]));
    }

    fn name(&mut self, name: &str) {
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
    }
}

/// Words separated by single spaces, without controls, cut to a length that any header bears.
pub(super) fn cleaned(text: &str) -> String {
    let visible = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT);
    let visible: String = visible.collect();
    visible.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// RFC 5322 §2.1.1: lines of at most 78 characters, broken at spaces.
fn folded(text: &str, mut column: usize, out: &mut Vec<u8>) {
    for (at, word) in text.split(' ').enumerate() {
        if at > 0 {
            if column + 1 + word.len() > MAX_LINE {
                out.extend_from_slice(b"\r\n");
                column = 0;
            }
            out.push(b' ');
            column += 1;
        }
        out.extend_from_slice(word.as_bytes());
        column += word.len();
    }
}

/// RFC 5322 §2.1.1.
pub(super) const MAX_LINE: usize = 78;

/// Octets of a word that is not encoded; longer ones are, since an encoded text can be broken anywhere.
const MAX_WORD: usize = 76;

/// Characters of one text.
const MAX_TEXT: usize = 2_000;

const MAX_NAME: usize = 76;
