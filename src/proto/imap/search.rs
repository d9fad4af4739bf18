//! What SEARCH asks for (RFC 3501 §6.4.4).

use super::command::Numbering;
use super::cursor::{Cursor, Parsed, is_atom_char};
use super::date::Date;
use super::parse::ParseError;
use super::sequence_set::SequenceSet;
use crate::mail::{Keyword, SystemFlag};

/// SEARCH or UID SEARCH.
#[derive(Clone, PartialEq, Debug)]
pub struct Search {
    /// What the answer counts.
    pub numbering: Numbering,
    /// `RETURN (...)` (RFC 4731): answered by ESEARCH. `RETURN ()` is `Some` with [`SearchReturn::All`].
    pub returns: Option<Vec<SearchReturn>>,
    /// What matches.
    pub key: SearchKey,
}

/// Result options (RFC 4731 §3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SearchReturn {
    /// MIN
    Min,
    /// MAX
    Max,
    /// ALL
    All,
    /// COUNT
    Count,
}

/// A search key. Keys that say the same are one: UNSEEN is `Not(System(Seen))`, OLD is `Not(Recent)`, NEW is
/// `And([Recent, Not(System(Seen))])`. Nested at most 100 deep. Strings are Unicode, whatever the CHARSET was.
#[derive(Clone, PartialEq, Debug)]
pub enum SearchKey {
    /// ALL
    All,
    /// All of these; not empty.
    And(Vec<SearchKey>),
    /// OR, with nested ones joined: any of these; two or more. Clients nest hundreds of them.
    Or(Vec<SearchKey>),
    /// NOT
    Not(Box<SearchKey>),
    /// ANSWERED, DELETED, DRAFT, FLAGGED, SEEN
    System(SystemFlag),
    /// RECENT
    Recent,
    /// KEYWORD; `None` is one that no message can have (too long).
    Keyword(Option<Keyword>),
    /// BEFORE: INTERNALDATE's day is earlier.
    Before(Date),
    /// ON
    On(Date),
    /// SINCE: that day or later.
    Since(Date),
    /// SENTBEFORE: the Date field's day is earlier.
    SentBefore(Date),
    /// SENTON
    SentOn(Date),
    /// SENTSINCE
    SentSince(Date),
    /// LARGER: RFC822.SIZE is larger.
    Larger(u64),
    /// SMALLER
    Smaller(u64),
    /// BCC, CC, FROM, SUBJECT, TO, HEADER: the field (name without colon, any case) contains the text, without
    /// case. With empty text: the field exists.
    Header {
        /// `Bcc`, `Cc`, `From`, `Subject`, `To`, or as written.
        field: String,
        /// To be found in it.
        text: String,
    },
    /// BODY: the body contains the text.
    Body(String),
    /// TEXT: header or body contains the text.
    Text(String),
    /// By message sequence number; numbers without a message match nothing.
    Sequence(SequenceSet),
    /// UID
    Uid(SequenceSet),
    /// MODSEQ: at least this (RFC 7162 §3.1.5).
    ModSeq(u64),
}

impl Search {
    /// What follows SEARCH, from the space on (RFC 3501 §9 `search`, RFC 4731 §3.1).
    pub(super) fn read(cursor: &mut Cursor<'_>, numbering: Numbering) -> Parsed<Self> {
        cursor.space()?;
        let returns = if eat_word(cursor, b"RETURN ") {
            let mut options = cursor.list_or_none(SearchReturn::read)?;
            cursor.space()?;
            if options.is_empty() {
                options.push(SearchReturn::All);
            }
            Some(options)
        } else {
            None
        };
        if eat_word(cursor, b"CHARSET ") {
            let charset = cursor.astring("charset")?;
            if !CHARSETS.iter().any(|known| known.eq_ignore_ascii_case(&charset)) {
                return Err(ParseError::Charset);
            }
            cursor.space()?;
        }
        Ok(Self { numbering, returns, key: SearchKey::read_all(cursor, 0)? })
    }
}

impl SearchReturn {
    fn read(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        Ok(match &*cursor.word(is_atom_char) {
            "MIN" => Self::Min,
            "MAX" => Self::Max,
            "ALL" => Self::All,
            "COUNT" => Self::Count,
            _ => return Err(ParseError::Expected("SEARCH result option")),
        })
    }
}

impl SearchKey {
    /// One or more keys: all must match.
    fn read_all(cursor: &mut Cursor<'_>, depth: usize) -> Parsed<Self> {
        let first = Self::read(cursor, depth)?;
        let mut keys = vec![first];
        while cursor.eat(b' ') {
            keys.push(Self::read(cursor, depth)?);
        }
        Ok(match keys.pop() {
            Some(only) if keys.is_empty() => only,
            last => {
                keys.extend(last);
                Self::And(keys)
            }
        })
    }

    fn read(cursor: &mut Cursor<'_>, depth: usize) -> Parsed<Self> {
        if depth > MAX_DEPTH {
            return Err(ParseError::TooDeep);
        }
        match cursor.peek() {
            Some(b'0'..=b'9' | b'*') => return SequenceSet::read(cursor).map(Self::Sequence),
            Some(b'(') => {
                cursor.eat(b'(');
                let keys = Self::read_all(cursor, depth + 1)?;
                cursor.expect(b')', "closing parenthesis")?;
                return Ok(keys);
            }
            _ => {}
        }
        match &*cursor.word(is_atom_char) {
            "NOT" => {
                cursor.space()?;
                Self::read(cursor, depth + 1).map(Self::negated)
            }
            "OR" => Self::read_or(cursor, depth),
            name => match Self::without_argument(name) {
                Some(key) => Ok(key),
                None => Self::with_argument(name, cursor),
            },
        }
    }

    /// What follows OR. Operands that are ORs themselves are taken apart here: each asks for one operand more.
    fn read_or(cursor: &mut Cursor<'_>, depth: usize) -> Parsed<Self> {
        let mut keys = Vec::new();
        let mut missing = 2usize;
        while missing > 0 {
            cursor.space()?;
            if starts_with(cursor, b"OR ") {
                cursor.word(|b| b != b' ');
                missing += 1;
            } else {
                keys.push(Self::read(cursor, depth + 1)?);
                missing -= 1;
            }
        }
        Ok(Self::Or(keys))
    }

    fn without_argument(name: &str) -> Option<Self> {
        use SystemFlag::{Answered, Deleted, Draft, Flagged, Seen};
        Some(match name {
            "ALL" => Self::All,
            "ANSWERED" => Self::System(Answered),
            "DELETED" => Self::System(Deleted),
            "DRAFT" => Self::System(Draft),
            "FLAGGED" => Self::System(Flagged),
            "SEEN" => Self::System(Seen),
            "UNANSWERED" => Self::negated(Self::System(Answered)),
            "UNDELETED" => Self::negated(Self::System(Deleted)),
            "UNDRAFT" => Self::negated(Self::System(Draft)),
            "UNFLAGGED" => Self::negated(Self::System(Flagged)),
            "UNSEEN" => Self::negated(Self::System(Seen)),
            "RECENT" => Self::Recent,
            "OLD" => Self::negated(Self::Recent),
            "NEW" => Self::And(vec![Self::Recent, Self::negated(Self::System(Seen))]),
            _ => return None,
        })
    }

    fn with_argument(name: &str, cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let argument: fn(&mut Cursor<'_>) -> Parsed<Self> = match name {
            "BCC" => |c| Self::header("Bcc", c),
            "CC" => |c| Self::header("Cc", c),
            "FROM" => |c| Self::header("From", c),
            "SUBJECT" => |c| Self::header("Subject", c),
            "TO" => |c| Self::header("To", c),
            "HEADER" => |c| {
                let field = c.text(TEXT)?;
                c.space()?;
                Self::header(&field, c)
            },
            "BODY" => |c| c.text(TEXT).map(Self::Body),
            "TEXT" => |c| c.text(TEXT).map(Self::Text),
            "BEFORE" => |c| Date::read(c).map(Self::Before),
            "ON" => |c| Date::read(c).map(Self::On),
            "SINCE" => |c| Date::read(c).map(Self::Since),
            "SENTBEFORE" => |c| Date::read(c).map(Self::SentBefore),
            "SENTON" => |c| Date::read(c).map(Self::SentOn),
            "SENTSINCE" => |c| Date::read(c).map(Self::SentSince),
            "LARGER" => |c| c.number64("size").map(Self::Larger),
            "SMALLER" => |c| c.number64("size").map(Self::Smaller),
            "KEYWORD" => |c| c.atom("keyword").map(|k| Self::Keyword(Keyword::parse(k))),
            "UNKEYWORD" => |c| c.atom("keyword").map(|k| Self::negated(Self::Keyword(Keyword::parse(k)))),
            "UID" => |c| SequenceSet::read(c).map(Self::Uid),
            "MODSEQ" => Self::modseq,
            _ => return Err(ParseError::Expected("search key")),
        };
        cursor.space()?;
        argument(cursor)
    }

    fn header(field: &str, cursor: &mut Cursor<'_>) -> Parsed<Self> {
        Ok(Self::Header { field: field.to_owned(), text: cursor.text(TEXT)? })
    }

    /// `MODSEQ ["/flags/..." all] n`: the entry name is read and makes no difference, as each message has one
    /// MODSEQ only (RFC 7162 §3.1.5).
    fn modseq(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        if cursor.peek() == Some(b'"') {
            cursor.string("entry name")?;
            cursor.space()?;
            if !matches!(&*cursor.word(is_atom_char), "PRIV" | "SHARED" | "ALL") {
                return Err(ParseError::Expected("entry type"));
            }
            cursor.space()?;
        }
        cursor.number64("MODSEQ").map(Self::ModSeq)
    }

    fn negated(key: Self) -> Self {
        Self::Not(Box::new(key))
    }
}

fn starts_with(cursor: &Cursor<'_>, word: &[u8]) -> bool {
    cursor.rest().get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// Takes `word`, which ends with its only space, if it comes next.
fn eat_word(cursor: &mut Cursor<'_>, word: &[u8]) -> bool {
    let found = starts_with(cursor, word);
    if found {
        cursor.word(|b| b != b' ');
        cursor.eat(b' ');
    }
    found
}

const CHARSETS: [&[u8]; 2] = [b"US-ASCII", b"UTF-8"];
/// Of parentheses, NOT, and OR below something else than OR.
const MAX_DEPTH: usize = 100;
const TEXT: &str = "string";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Search, ParseError> {
        let mut cursor = Cursor::new(text.as_bytes());
        let search = Search::read(&mut cursor, Numbering::Sequence)?;
        cursor.end()?;
        Ok(search)
    }

    fn key(text: &str) -> SearchKey {
        read(&format!(" {text}")).unwrap_or_else(|e| panic!("{text}: {e}")).key
    }

    fn not(key: SearchKey) -> SearchKey {
        SearchKey::Not(Box::new(key))
    }

    fn header(field: &str, text: &str) -> SearchKey {
        SearchKey::Header { field: field.into(), text: text.into() }
    }

    #[test]
    fn keys() {
        use SearchKey::*;
        let date = Date::new(1994, 2, 1).unwrap();
        let set = |s: &str| SequenceSet::parse(s.as_bytes()).unwrap();
        for (text, want) in [
            ("ALL", All),
            ("unseen", not(System(SystemFlag::Seen))),
            ("NEW", And(vec![Recent, not(System(SystemFlag::Seen))])),
            ("OLD", not(Recent)),
            // RFC 3501 §6.4.4's example.
            (
                "FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\"",
                And(vec![System(SystemFlag::Flagged), Since(date), not(header("From", "Smith"))]),
            ),
            ("2,4:* UID 7", And(vec![Sequence(set("2,4:*")), Uid(set("7"))])),
            ("*", Sequence(set("*"))),
            ("(SEEN)", System(SystemFlag::Seen)),
            ("(SEEN DRAFT) ALL", And(vec![And(vec![System(SystemFlag::Seen), System(SystemFlag::Draft)]), All])),
            ("OR SEEN DRAFT", Or(vec![System(SystemFlag::Seen), System(SystemFlag::Draft)])),
            (
                "OR OR SEEN DRAFT OR ALL RECENT DELETED",
                And(vec![
                    Or(vec![System(SystemFlag::Seen), System(SystemFlag::Draft), All, Recent]),
                    System(SystemFlag::Deleted),
                ]),
            ),
            ("HEADER Message-ID \"\"", header("Message-ID", "")),
            ("SUBJECT {6}\r\nGr\u{fc}n)", header("Subject", "Gr\u{fc}n)")),
            ("BODY x", Body("x".into())),
            ("TEXT \"a \\\"b\\\"\"", Text("a \"b\"".into())),
            ("SENTON \"1-Feb-1994\"", SentOn(date)),
            ("LARGER 100 SMALLER 5000000000", And(vec![Larger(100), Smaller(5_000_000_000)])),
            ("KEYWORD $Junk", Keyword(crate::mail::Keyword::parse("$junk"))),
            ("UNKEYWORD x", not(Keyword(crate::mail::Keyword::parse("x")))),
            ("MODSEQ 620162338", ModSeq(620_162_338)),
            ("MODSEQ \"/flags/\\\\draft\" all 5", ModSeq(5)),
        ] {
            assert_eq!(key(text), want, "{text}");
        }
        assert_eq!(key(&format!("KEYWORD {}", "x".repeat(101))), Keyword(None));
    }

    #[test]
    fn programs() {
        for (text, returns) in [
            (" ALL", None),
            (" CHARSET utf-8 ALL", None),
            (" CHARSET \"US-ASCII\" ALL", None),
            (" RETURN () ALL", Some(vec![SearchReturn::All])),
            (
                " RETURN (MIN max COUNT) CHARSET UTF-8 ALL",
                Some(vec![SearchReturn::Min, SearchReturn::Max, SearchReturn::Count]),
            ),
        ] {
            let search = read(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!((search.returns, search.key), (returns, SearchKey::All), "{text}");
        }
        assert_eq!(read(" CHARSET KOI8-R nonsense"), Err(ParseError::Charset));
    }

    #[test]
    fn what_is_no_search() {
        for text in [
            "",
            " ",
            " FOO",
            " SEEN ",
            " (SEEN",
            " ()",
            " SEEN)",
            " OR SEEN",
            " OR",
            " OR SEEN ",
            " NOT",
            " BODY",
            " SINCE 30-Feb-1994",
            " SINCE \"1-Feb-1994",
            " LARGER x",
            " 0",
            " UID x",
            " KEYWORD \\Seen",
            " CHARSET UTF-8",
            " RETURN (FOO) ALL",
            " RETURN ALL",
            " HEADER x",
            " SEEN  DRAFT",
            " SUBJECT {9}\r\nx",
        ] {
            assert!(read(text).is_err(), "{text:?}");
        }
        assert!(Search::read(&mut Cursor::new(b" BODY {1}\r\n\xff"), Numbering::Uid).is_err());
    }

    #[test]
    fn depth_is_limited_and_joined_ors_are_not_deep() {
        let nested = |open: &str, n: usize, close: &str| format!(" {}ALL{}", open.repeat(n), close.repeat(n));
        for (open, close) in [("(", ")"), ("NOT ", ""), ("NOT (", ")")] {
            let per = open.split_terminator(' ').count();
            assert!(read(&nested(open, MAX_DEPTH / per, close)).is_ok(), "{open}");
            assert_eq!(read(&nested(open, MAX_DEPTH / per + 1, close)), Err(ParseError::TooDeep), "{open}");
            assert_eq!(read(&nested(open, 100_000, close)), Err(ParseError::TooDeep), "{open}");
        }
        assert!(read(&nested("OR ", 5000, " SEEN")).is_ok());
        assert!(read(&format!(" {}SEEN", "OR ALL ".repeat(5000))).is_ok());
        assert_eq!(read(&nested("OR SEEN (", 101, ")")), Err(ParseError::TooDeep));
    }
}
