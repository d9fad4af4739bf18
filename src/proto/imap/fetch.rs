//! What FETCH asks for (RFC 3501 §6.4.5).

use std::fmt;
use std::num::NonZeroU32;

use super::cursor::{Cursor, Parsed};
use super::parse::ParseError;
use super::response;

/// One data item.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FetchItem {
    /// UID
    Uid,
    /// FLAGS
    Flags,
    /// INTERNALDATE
    InternalDate,
    /// RFC822.SIZE
    Rfc822Size,
    /// ENVELOPE
    Envelope,
    /// BODY without a section: the structure without extension data.
    Body,
    /// BODYSTRUCTURE
    BodyStructure,
    /// MODSEQ (RFC 7162 §3.1.5)
    ModSeq,
    /// RFC822: as `BODY[]`, sets `\Seen`, answered as `RFC822`.
    Rfc822,
    /// RFC822.HEADER: as `BODY.PEEK[HEADER]`, answered as `RFC822.HEADER`.
    Rfc822Header,
    /// RFC822.TEXT: as `BODY[TEXT]`, sets `\Seen`, answered as `RFC822.TEXT`.
    Rfc822Text,
    /// `BODY[section]<partial>` or `BODY.PEEK[section]<partial>`
    Section {
        /// What of the message.
        section: Section,
        /// `.PEEK`: does not set `\Seen`.
        peek: bool,
        /// Which octets of it.
        partial: Option<Partial>,
    },
}

impl FetchItem {
    /// True if fetching it sets `\Seen` (RFC 3501 §6.4.5).
    pub fn sets_seen(&self) -> bool {
        matches!(self, Self::Rfc822 | Self::Rfc822Text | Self::Section { peek: false, .. })
    }

    /// A macro, an item or a list of items (RFC 3501 §9 `fetch`).
    pub(super) fn read_all(cursor: &mut Cursor<'_>) -> Parsed<Vec<Self>> {
        let mut items = Vec::new();
        let mut add = |item: Self| {
            // Each may answer with the whole message: without a limit one line asks for thousands of copies.
            if items.len() >= MAX_ITEMS {
                return Err(ParseError::Limit("FETCH items"));
            }
            if !items.contains(&item) {
                items.push(item);
            }
            Ok(())
        };
        if cursor.peek() == Some(b'(') {
            cursor.list(|cursor| add(Self::read(cursor)?))?;
        } else {
            let mut ahead = *cursor;
            let expanded = match &*ahead.word(is_name_char) {
                "ALL" => &ALL[..],
                "FAST" => &ALL[..3],
                "FULL" => &FULL[..],
                _ => return Ok(vec![Self::read(cursor)?]),
            };
            *cursor = ahead;
            items.extend_from_slice(expanded);
        }
        Ok(items)
    }

    fn read(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let item = match &*cursor.word(is_name_char) {
            "UID" => Self::Uid,
            "FLAGS" => Self::Flags,
            "INTERNALDATE" => Self::InternalDate,
            "RFC822.SIZE" => Self::Rfc822Size,
            "ENVELOPE" => Self::Envelope,
            "BODYSTRUCTURE" => Self::BodyStructure,
            "MODSEQ" => Self::ModSeq,
            "RFC822" => Self::Rfc822,
            "RFC822.HEADER" => Self::Rfc822Header,
            "RFC822.TEXT" => Self::Rfc822Text,
            "BODY" if cursor.peek() != Some(b'[') => Self::Body,
            name @ ("BODY" | "BODY.PEEK") => {
                let section = Section::read(cursor)?;
                Self::Section { section, peek: name != "BODY", partial: Partial::read(cursor)? }
            }
            _ => return Err(ParseError::Expected("FETCH item")),
        };
        Ok(item)
    }
}

/// How the item is named in the FETCH response: `BODY[1.MIME]<0>`, without `.PEEK` and without the length of a
/// partial (RFC 3501 §7.4.2). Header field names that are no atoms are quoted; they hold no CR, LF or 8-bit octets.
impl fmt::Display for FetchItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uid => "UID",
            Self::Flags => "FLAGS",
            Self::InternalDate => "INTERNALDATE",
            Self::Rfc822Size => "RFC822.SIZE",
            Self::Envelope => "ENVELOPE",
            Self::Body => "BODY",
            Self::BodyStructure => "BODYSTRUCTURE",
            Self::ModSeq => "MODSEQ",
            Self::Rfc822 => "RFC822",
            Self::Rfc822Header => "RFC822.HEADER",
            Self::Rfc822Text => "RFC822.TEXT",
            Self::Section { section, partial, .. } => {
                write!(f, "BODY[{section}]")?;
                return partial.map_or(Ok(()), |partial| write!(f, "<{}>", partial.first));
            }
        })
    }
}

/// `<first.count>`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Partial {
    /// The first octet, from 0.
    pub first: u32,
    /// How many octets.
    pub count: NonZeroU32,
}

impl Partial {
    fn read(cursor: &mut Cursor<'_>) -> Parsed<Option<Self>> {
        if !cursor.eat(b'<') {
            return Ok(None);
        }
        let first = cursor.number("partial")?;
        cursor.expect(b'.', "partial")?;
        // RFC 3501 §9 partial: the count is an nz-number.
        let count = NonZeroU32::new(cursor.number("partial")?).ok_or(ParseError::Expected("partial"))?;
        cursor.expect(b'>', "partial")?;
        Ok(Some(Self { first, count }))
    }
}

/// A section specification (RFC 3501 §6.4.5). With both fields empty it is the whole message.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Section {
    /// The part: numbers from the outside in, at most 100. Empty: the message itself.
    pub part: Vec<NonZeroU32>,
    /// What of it; `None` is the part's body, or the whole message if `part` is empty.
    pub text: Option<SectionText>,
}

/// `section-text` (RFC 3501 §9)
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SectionText {
    /// HEADER: of the message, or of the message/rfc822 part.
    Header,
    /// HEADER.FIELDS: only these, any case; printable ASCII, not empty.
    HeaderFields(Vec<String>),
    /// HEADER.FIELDS.NOT: all but these.
    HeaderFieldsNot(Vec<String>),
    /// TEXT: the body, without the header.
    Text,
    /// MIME: the part's own header; only with a part number.
    Mime,
}

impl Section {
    fn read(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.expect(b'[', SECTION)?;
        let mut section = Self::default();
        let mut text_may_follow = true;
        while text_may_follow && cursor.peek().is_some_and(|b| b.is_ascii_digit()) {
            if section.part.len() >= MAX_PART_DEPTH {
                return Err(ParseError::Limit("part number"));
            }
            let number = NonZeroU32::new(cursor.number(SECTION)?).ok_or(ParseError::Expected(SECTION))?;
            section.part.push(number);
            text_may_follow = cursor.eat(b'.');
        }
        // After the dot behind a part number something must follow; after `[` nothing needs to.
        if text_may_follow && (!section.part.is_empty() || cursor.peek() != Some(b']')) {
            section.text = Some(SectionText::read(cursor, !section.part.is_empty())?);
        }
        cursor.expect(b']', SECTION)?;
        Ok(section)
    }
}

impl SectionText {
    fn read(cursor: &mut Cursor<'_>, in_part: bool) -> Parsed<Self> {
        Ok(match &*cursor.word(is_name_char) {
            "HEADER" => Self::Header,
            "HEADER.FIELDS" => Self::HeaderFields(Self::read_fields(cursor)?),
            "HEADER.FIELDS.NOT" => Self::HeaderFieldsNot(Self::read_fields(cursor)?),
            "TEXT" => Self::Text,
            "MIME" if in_part => Self::Mime,
            _ => return Err(ParseError::Expected(SECTION)),
        })
    }

    fn read_fields(cursor: &mut Cursor<'_>) -> Parsed<Vec<String>> {
        cursor.space()?;
        cursor.list(|cursor| {
            let name = cursor.text(FIELD)?;
            // What no header field can be named could not be shown in the answer as a quoted string either.
            let fits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
            if fits { Ok(name) } else { Err(ParseError::Expected(FIELD)) }
        })
    }
}

/// `section-spec`, without the brackets.
impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, number) in self.part.iter().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            write!(f, "{number}")?;
        }
        let Some(text) = &self.text else { return Ok(()) };
        if !self.part.is_empty() {
            f.write_str(".")?;
        }
        match text {
            SectionText::Header => f.write_str("HEADER"),
            SectionText::HeaderFields(fields) => write!(f, "HEADER.FIELDS ({})", fields_text(fields)),
            SectionText::HeaderFieldsNot(fields) => write!(f, "HEADER.FIELDS.NOT ({})", fields_text(fields)),
            SectionText::Text => f.write_str("TEXT"),
            SectionText::Mime => f.write_str("MIME"),
        }
    }
}

fn fields_text(fields: &[String]) -> String {
    let mut out = Vec::new();
    for field in fields {
        if !out.is_empty() {
            out.push(b' ');
        }
        response::astring(&mut out, field.as_bytes());
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn is_name_char(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'.'
}

/// RFC 3501 §6.4.5; FAST is the first three.
const ALL: [FetchItem; 4] = [FetchItem::Flags, FetchItem::InternalDate, FetchItem::Rfc822Size, FetchItem::Envelope];
const FULL: [FetchItem; 5] =
    [FetchItem::Flags, FetchItem::InternalDate, FetchItem::Rfc822Size, FetchItem::Envelope, FetchItem::Body];
const MAX_ITEMS: usize = 500;
const MAX_PART_DEPTH: usize = 100;
const SECTION: &str = "section";
const FIELD: &str = "header field name";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<FetchItem>, ParseError> {
        let mut cursor = Cursor::new(text.as_bytes());
        let items = FetchItem::read_all(&mut cursor)?;
        cursor.end()?;
        Ok(items)
    }

    #[test]
    fn items_and_what_they_are_called_in_the_answer() {
        for (text, want, seen) in [
            ("ALL", "FLAGS INTERNALDATE RFC822.SIZE ENVELOPE", false),
            ("fast", "FLAGS INTERNALDATE RFC822.SIZE", false),
            ("FULL", "FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY", false),
            ("FLAGS", "FLAGS", false),
            ("(uid Flags)", "UID FLAGS", false),
            ("(UID UID)", "UID", false),
            ("(BODY BODYSTRUCTURE MODSEQ)", "BODY BODYSTRUCTURE MODSEQ", false),
            ("(RFC822.HEADER RFC822.SIZE)", "RFC822.HEADER RFC822.SIZE", false),
            ("RFC822", "RFC822", true),
            ("RFC822.TEXT", "RFC822.TEXT", true),
            ("BODY[]", "BODY[]", true),
            ("body.peek[]", "BODY[]", false),
            ("BODY[1.2.HEADER]<0.10>", "BODY[1.2.HEADER]<0>", true),
            ("BODY[TEXT]", "BODY[TEXT]", true),
            ("BODY.PEEK[4.1.MIME]", "BODY[4.1.MIME]", false),
            ("BODY[header.fields (From \"To\" {2}\r\nCC)]", "BODY[HEADER.FIELDS (From To CC)]", true),
            ("BODY.PEEK[2.HEADER.FIELDS.NOT (\"a b\")]", "BODY[2.HEADER.FIELDS.NOT (\"a b\")]", false),
            ("BODY.PEEK[1]<393216.393216>", "BODY[1]<393216>", false),
        ] {
            let items = read(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            let names: Vec<String> = items.iter().map(ToString::to_string).collect();
            assert_eq!(names.join(" "), want, "{text}");
            assert_eq!(items.iter().any(FetchItem::sets_seen), seen, "{text}");
        }
    }

    #[test]
    fn what_is_no_item() {
        for text in [
            "",
            "()",
            "(FLAGS",
            "(FLAGS )",
            "(ALL)",
            "FOO",
            "BODY.PEEK",
            "BODY[",
            "BODY[1.]",
            "BODY[.1]",
            "BODY[0]",
            "BODY[MIME]",
            "BODY[1.FOO]",
            "BODY[HEADER.FIELDS]",
            "BODY[HEADER.FIELDS ()]",
            "BODY[HEADER.FIELDS (\"\")]",
            "BODY[]<0>",
            "BODY[]<0.0>",
            "BODY[]<1.2",
            "BODY[HEADER.1]",
            "BODY[] <0.1>",
            "RFC822.PEEK",
            "FLAGS UID",
            "BODY[HEADER.FIELDS (\"a\\\r\")]",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn items_are_limited() {
        let many = |n: u32| format!("({})", (1..=n).map(|n| format!("BODY[{n}]")).collect::<Vec<_>>().join(" "));
        assert!(read(&many(500)).is_ok());
        assert_eq!(read(&many(501)), Err(ParseError::Limit("FETCH items")));
        let deep = |n: usize| format!("BODY[{}]", vec!["1"; n].join("."));
        assert!(read(&deep(100)).is_ok());
        assert_eq!(read(&deep(101)), Err(ParseError::Limit("part number")));
    }
}
