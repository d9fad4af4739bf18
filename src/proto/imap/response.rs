//! What the server says (RFC 3501 §7), written into a buffer. No function here fails: what cannot be written as asked
//! is written in a form that can (a literal, `?` for control characters in text).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::command::{StatusItem, Tag};
use super::cursor::is_atom_char;
use super::date::format_date_time;
use super::fetch::FetchItem;
use super::mutf7::encode_mutf7;
use crate::mail::{
    DELIMITER, Flags, Keyword, MailboxName, ModSeq, SpecialUse, SystemFlag, Timestamp, Uid, UidValidity,
};

/// The kind of a status response (RFC 3501 §7.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    /// OK
    Ok,
    /// NO
    No,
    /// BAD
    Bad,
    /// BYE; always untagged
    Bye,
    /// PREAUTH; always untagged
    PreAuth,
}

/// Response codes (RFC 3501 §7.1, RFC 5530 and as named).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Code<'a> {
    /// ALERT
    Alert,
    /// BADCHARSET with the charsets there are.
    BadCharset,
    /// CAPABILITY with this list, separated by spaces.
    Capability(&'a str),
    /// PARSE
    Parse,
    /// PERMANENTFLAGS
    PermanentFlags {
        /// Keywords that can be stored, beside all system flags.
        keywords: &'a [Keyword],
        /// `\*`: new keywords can be made.
        may_create: bool,
    },
    /// PERMANENTFLAGS () of a mailbox opened read-only.
    NoPermanentFlags,
    /// READ-ONLY
    ReadOnly,
    /// READ-WRITE
    ReadWrite,
    /// TRYCREATE
    TryCreate,
    /// UIDNEXT
    UidNext(Uid),
    /// UIDVALIDITY
    UidValidity(UidValidity),
    /// UNSEEN: sequence number of the first message without `\Seen`.
    Unseen(u32),
    /// APPENDUID (RFC 4315 §3)
    AppendUid(UidValidity, Uid),
    /// COPYUID (RFC 4315 §3) with source and target UID of each message, in order; not empty.
    CopyUid(UidValidity, &'a [(Uid, Uid)]),
    /// CLOSED (RFC 7162 §3.2.11)
    Closed,
    /// HIGHESTMODSEQ (RFC 7162 §3.1.2.1)
    HighestModSeq(ModSeq),
    /// MODIFIED with sequence numbers or UIDs, ascending (RFC 7162 §3.1.3).
    Modified(&'a [u32]),
    /// USEATTR (RFC 6154 §3)
    UseAttr,
    /// TOOBIG (RFC 4469 §4.2)
    TooBig,
    /// UNAVAILABLE
    Unavailable,
    /// AUTHENTICATIONFAILED
    AuthenticationFailed,
    /// AUTHORIZATIONFAILED
    AuthorizationFailed,
    /// PRIVACYREQUIRED
    PrivacyRequired,
    /// CONTACTADMIN
    ContactAdmin,
    /// NOPERM
    NoPerm,
    /// INUSE
    InUse,
    /// EXPUNGEISSUED
    ExpungeIssued,
    /// CORRUPTION
    Corruption,
    /// SERVERBUG
    ServerBug,
    /// CLIENTBUG
    ClientBug,
    /// CANNOT
    Cannot,
    /// LIMIT
    Limit,
    /// OVERQUOTA
    OverQuota,
    /// ALREADYEXISTS
    AlreadyExists,
    /// NONEXISTENT
    NonExistent,
}

impl fmt::Display for Code<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Capability(list) => return write!(f, "CAPABILITY {list}"),
            Self::PermanentFlags { keywords, may_create } => {
                let end = if *may_create { " \\*" } else { "" };
                return write!(f, "PERMANENTFLAGS ({}{end})", FlagNames(keywords));
            }
            Self::UidNext(uid) => return write!(f, "UIDNEXT {uid}"),
            Self::UidValidity(validity) => return write!(f, "UIDVALIDITY {validity}"),
            Self::Unseen(number) => return write!(f, "UNSEEN {number}"),
            Self::AppendUid(validity, uid) => return write!(f, "APPENDUID {validity} {uid}"),
            Self::CopyUid(validity, pairs) => {
                let from = Numbers(pairs.iter().map(|(from, _)| from.number()));
                let to = Numbers(pairs.iter().map(|(_, to)| to.number()));
                return write!(f, "COPYUID {validity} {from} {to}");
            }
            Self::HighestModSeq(modseq) => return write!(f, "HIGHESTMODSEQ {modseq}"),
            Self::Modified(numbers) => return write!(f, "MODIFIED {}", Numbers(numbers.iter().copied())),
            Self::Alert => "ALERT",
            Self::BadCharset => "BADCHARSET (US-ASCII UTF-8)",
            Self::Parse => "PARSE",
            Self::NoPermanentFlags => "PERMANENTFLAGS ()",
            Self::ReadOnly => "READ-ONLY",
            Self::ReadWrite => "READ-WRITE",
            Self::TryCreate => "TRYCREATE",
            Self::Closed => "CLOSED",
            Self::UseAttr => "USEATTR",
            Self::TooBig => "TOOBIG",
            Self::Unavailable => "UNAVAILABLE",
            Self::AuthenticationFailed => "AUTHENTICATIONFAILED",
            Self::AuthorizationFailed => "AUTHORIZATIONFAILED",
            Self::PrivacyRequired => "PRIVACYREQUIRED",
            Self::ContactAdmin => "CONTACTADMIN",
            Self::NoPerm => "NOPERM",
            Self::InUse => "INUSE",
            Self::ExpungeIssued => "EXPUNGEISSUED",
            Self::Corruption => "CORRUPTION",
            Self::ServerBug => "SERVERBUG",
            Self::ClientBug => "CLIENTBUG",
            Self::Cannot => "CANNOT",
            Self::Limit => "LIMIT",
            Self::OverQuota => "OVERQUOTA",
            Self::AlreadyExists => "ALREADYEXISTS",
            Self::NonExistent => "NONEXISTENT",
        })
    }
}

/// The system flags and these keywords, separated by spaces.
struct FlagNames<'a>(&'a [Keyword]);

impl fmt::Display for FlagNames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let system: Vec<&str> = SystemFlag::ALL.into_iter().map(SystemFlag::name).collect();
        f.write_str(&system.join(" "))?;
        for keyword in self.0 {
            write!(f, " {}", keyword.as_str())?;
        }
        Ok(())
    }
}

/// Numbers in their order as a sequence set; those that count up by one are a range.
struct Numbers<I>(I);

impl<I: Iterator<Item = u32> + Clone> fmt::Display for Numbers<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut numbers = self.0.clone().peekable();
        let mut comma = "";
        while let Some(first) = numbers.next() {
            let mut last = first;
            while let Some(next) = numbers.next_if(|n| last.checked_add(1) == Some(*n)) {
                last = next;
            }
            write!(f, "{comma}{first}")?;
            if last != first {
                write!(f, ":{last}")?;
            }
            comma = ",";
        }
        Ok(())
    }
}

/// Adds to `out`; writing to memory does not fail.
macro_rules! put {
    ($out:expr, $($format:tt)*) => {
        $out.extend_from_slice(format!($($format)*).as_bytes())
    };
}

/// A status response: `tag OK [CODE] text`, untagged without `tag`. An empty text becomes the condition's name.
pub fn status(out: &mut Vec<u8>, tag: Option<&Tag>, condition: Condition, code: Option<&Code<'_>>, text: &str) {
    let tag = if matches!(condition, Condition::Bye | Condition::PreAuth) { None } else { tag };
    let condition = match condition {
        Condition::Ok => "OK",
        Condition::No => "NO",
        Condition::Bad => "BAD",
        Condition::Bye => "BYE",
        Condition::PreAuth => "PREAUTH",
    };
    put!(out, "{} {condition} ", tag.map_or("*", Tag::as_str));
    if let Some(code) = code {
        put!(out, "[{code}] ");
    }
    text_line(out, if text.is_empty() { condition } else { text });
}

/// A continuation request: `+ text`.
pub fn continuation(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(b"+ ");
    text_line(out, text);
}

/// A continuation request with a SASL challenge in base64: `+ ` and nothing for an empty one.
pub fn challenge(out: &mut Vec<u8>, octets: &[u8]) {
    put!(out, "+ {}\r\n", STANDARD.encode(octets));
}

/// `* CAPABILITY ...` with this list, separated by spaces.
pub fn capability(out: &mut Vec<u8>, list: &str) {
    put!(out, "* CAPABILITY {list}\r\n");
}

/// `* ENABLED ...`; also with nothing enabled (RFC 5161 §3.2).
pub fn enabled(out: &mut Vec<u8>, capabilities: &[&str]) {
    out.extend_from_slice(b"* ENABLED");
    for capability in capabilities {
        put!(out, " {capability}");
    }
    out.extend_from_slice(b"\r\n");
}

/// `* NAMESPACE (("" "/")) NIL NIL`: one personal namespace.
pub fn namespace(out: &mut Vec<u8>) {
    put!(out, "* NAMESPACE ((\"\" \"{DELIMITER}\")) NIL NIL\r\n");
}

/// `* ID ("name" "Posthouse" ...)`; `* ID NIL` without pairs.
pub fn id(out: &mut Vec<u8>, pairs: &[(&str, &str)]) {
    out.extend_from_slice(b"* ID ");
    if pairs.is_empty() {
        out.extend_from_slice(b"NIL");
    } else {
        for (i, (field, value)) in pairs.iter().enumerate() {
            out.push(if i == 0 { b'(' } else { b' ' });
            string(out, field.as_bytes());
            out.push(b' ');
            string(out, value.as_bytes());
        }
        out.push(b')');
    }
    out.extend_from_slice(b"\r\n");
}

/// `* n EXISTS`
pub fn exists(out: &mut Vec<u8>, n: u32) {
    put!(out, "* {n} EXISTS\r\n");
}

/// `* n RECENT`
pub fn recent(out: &mut Vec<u8>, n: u32) {
    put!(out, "* {n} RECENT\r\n");
}

/// `* n EXPUNGE`
pub fn expunge(out: &mut Vec<u8>, n: u32) {
    put!(out, "* {n} EXPUNGE\r\n");
}

/// `* FLAGS (...)`: the system flags and these keywords.
pub fn flags(out: &mut Vec<u8>, keywords: &[Keyword]) {
    put!(out, "* FLAGS ({})\r\n", FlagNames(keywords));
}

/// Mailbox name attributes (RFC 3501 §7.2.2, RFC 3348, RFC 5258, RFC 6154).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attribute {
    /// `\Noselect`
    NoSelect,
    /// `\Noinferiors`
    NoInferiors,
    /// `\HasChildren`
    HasChildren,
    /// `\HasNoChildren`
    HasNoChildren,
    /// `\NonExistent`
    NonExistent,
    /// `\Subscribed`
    Subscribed,
    /// `\Drafts` and so on
    SpecialUse(SpecialUse),
}

/// Which response lists a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listing {
    /// LIST
    List,
    /// LSUB
    Lsub,
    /// LIST with `("CHILDINFO" ("SUBSCRIBED"))`: listed for the sake of a subscribed inferior (RFC 5258 §3.5).
    ListChildInfo,
}

/// `* LIST (attributes) "/" name`
pub fn list(out: &mut Vec<u8>, listing: Listing, attributes: &[Attribute], name: &MailboxName) {
    let response = if listing == Listing::Lsub { "LSUB" } else { "LIST" };
    put!(out, "* {response} (");
    for (i, attribute) in attributes.iter().enumerate() {
        let name = match attribute {
            Attribute::NoSelect => "Noselect",
            Attribute::NoInferiors => "Noinferiors",
            Attribute::HasChildren => "HasChildren",
            Attribute::HasNoChildren => "HasNoChildren",
            Attribute::NonExistent => "NonExistent",
            Attribute::Subscribed => "Subscribed",
            Attribute::SpecialUse(special_use) => special_use.folder(),
        };
        put!(out, "{}\\{name}", if i > 0 { " " } else { "" });
    }
    put!(out, ") \"{DELIMITER}\" ");
    mailbox(out, name);
    if listing == Listing::ListChildInfo {
        out.extend_from_slice(b" (\"CHILDINFO\" (\"SUBSCRIBED\"))");
    }
    out.extend_from_slice(b"\r\n");
}

/// The answer to `LIST "" ""`: `* LIST (\Noselect) "/" ""`.
pub fn list_delimiter(out: &mut Vec<u8>) {
    put!(out, "* LIST (\\Noselect) \"{DELIMITER}\" \"\"\r\n");
}

/// `* STATUS name (ITEM n ...)`
pub fn mailbox_status(out: &mut Vec<u8>, name: &MailboxName, items: &[(StatusItem, u64)]) {
    out.extend_from_slice(b"* STATUS ");
    mailbox(out, name);
    out.extend_from_slice(b" (");
    for (i, (item, value)) in items.iter().enumerate() {
        let item = match item {
            StatusItem::Messages => "MESSAGES",
            StatusItem::Recent => "RECENT",
            StatusItem::UidNext => "UIDNEXT",
            StatusItem::UidValidity => "UIDVALIDITY",
            StatusItem::Unseen => "UNSEEN",
            StatusItem::Size => "SIZE",
            StatusItem::HighestModSeq => "HIGHESTMODSEQ",
        };
        put!(out, "{}{item} {value}", if i > 0 { " " } else { "" });
    }
    out.extend_from_slice(b")\r\n");
}

/// `* SEARCH n n n`, with `(MODSEQ n)` if given (RFC 7162 §3.1.5). Also without any number.
pub fn search(out: &mut Vec<u8>, numbers: &[u32], modseq: Option<ModSeq>) {
    out.extend_from_slice(b"* SEARCH");
    for number in numbers {
        put!(out, " {number}");
    }
    // RFC 7162 §3.1.5: only where something was found.
    if let Some(modseq) = modseq.filter(|_| !numbers.is_empty()) {
        put!(out, " (MODSEQ {modseq})");
    }
    out.extend_from_slice(b"\r\n");
}

/// The result of a SEARCH with RETURN. What is `None` is left out.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SearchResult<'a> {
    /// UID: the numbers are UIDs.
    pub uid: bool,
    /// MIN; none without a match.
    pub min: Option<u32>,
    /// MAX; none without a match.
    pub max: Option<u32>,
    /// ALL, ascending; written only if not empty.
    pub all: Option<&'a [u32]>,
    /// COUNT
    pub count: Option<u32>,
    /// MODSEQ (RFC 7162 §3.1.10)
    pub modseq: Option<ModSeq>,
}

/// `* ESEARCH (TAG "a1") UID COUNT 3 ...` (RFC 4731 §3.1)
pub fn esearch(out: &mut Vec<u8>, tag: &Tag, result: &SearchResult<'_>) {
    // RFC 4731 §3.1: the tag is a string here. A tag holds nothing that would need escaping.
    put!(out, "* ESEARCH (TAG \"{tag}\")");
    if result.uid {
        out.extend_from_slice(b" UID");
    }
    for (name, value) in [("MIN", result.min), ("MAX", result.max), ("COUNT", result.count)] {
        if let Some(value) = value {
            put!(out, " {name} {value}");
        }
    }
    if let Some(all) = result.all.filter(|all| !all.is_empty()) {
        put!(out, " ALL {}", Numbers(all.iter().copied()));
    }
    if let Some(modseq) = result.modseq {
        put!(out, " MODSEQ {modseq}");
    }
    out.extend_from_slice(b"\r\n");
}

/// A FETCH response while it is written: [`FetchResponse::begin`], items, [`FetchResponse::end`]. Between items the
/// buffer may be sent.
#[derive(Debug)]
pub struct FetchResponse {
    empty: bool,
}

impl FetchResponse {
    /// `* n FETCH (`
    pub fn begin(out: &mut Vec<u8>, number: u32) -> Self {
        put!(out, "* {number} FETCH (");
        Self { empty: true }
    }

    /// `UID n`
    pub fn uid(&mut self, out: &mut Vec<u8>, uid: Uid) {
        self.item(out, &FetchItem::Uid);
        put!(out, " {uid}");
    }

    /// `FLAGS (...)`, with `\Recent` if `recent`.
    pub fn flags(&mut self, out: &mut Vec<u8>, flags: &Flags, recent: bool) {
        self.item(out, &FetchItem::Flags);
        let between = if recent && *flags != Flags::default() { " " } else { "" };
        put!(out, " ({flags}{between}{})", if recent { "\\Recent" } else { "" });
    }

    /// `INTERNALDATE "..."`
    pub fn internal_date(&mut self, out: &mut Vec<u8>, time: Timestamp) {
        self.item(out, &FetchItem::InternalDate);
        put!(out, " {}", format_date_time(time));
    }

    /// `RFC822.SIZE n`
    pub fn size(&mut self, out: &mut Vec<u8>, octets: u64) {
        self.item(out, &FetchItem::Rfc822Size);
        put!(out, " {octets}");
    }

    /// `MODSEQ (n)`
    pub fn modseq(&mut self, out: &mut Vec<u8>, modseq: ModSeq) {
        self.item(out, &FetchItem::ModSeq);
        put!(out, " ({modseq})");
    }

    /// ENVELOPE, BODY or BODYSTRUCTURE: `item` and the value as it is, already in wire form.
    pub fn ready(&mut self, out: &mut Vec<u8>, item: &FetchItem, value: &[u8]) {
        self.item(out, item);
        out.push(b' ');
        out.extend_from_slice(value);
    }

    /// `item {size}` and CRLF; exactly `size` octets must follow, written by the caller.
    pub fn literal(&mut self, out: &mut Vec<u8>, item: &FetchItem, size: u64) {
        self.item(out, item);
        put!(out, " {{{size}}}\r\n");
    }

    /// `item NIL`
    pub fn nil(&mut self, out: &mut Vec<u8>, item: &FetchItem) {
        self.item(out, item);
        out.extend_from_slice(b" NIL");
    }

    /// `)`
    pub fn end(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b")\r\n");
    }

    fn item(&mut self, out: &mut Vec<u8>, item: &FetchItem) {
        if !std::mem::replace(&mut self.empty, false) {
            out.push(b' ');
        }
        put!(out, "{item}");
    }
}

/// A `string`: quoted if it can be (no CR, LF, NUL, 8-bit; at most 1,000 octets), a literal otherwise.
pub fn string(out: &mut Vec<u8>, octets: &[u8]) {
    let can_be_quoted = |b: &u8| b.is_ascii() && !matches!(b, b'\r' | b'\n' | 0);
    if octets.len() > MAX_QUOTED || !octets.iter().all(can_be_quoted) {
        put!(out, "{{{}}}\r\n", octets.len());
        out.extend_from_slice(octets);
        return;
    }
    out.push(b'"');
    for octet in octets {
        if matches!(octet, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*octet);
    }
    out.push(b'"');
}

/// An `astring`: as an atom if it is one, otherwise a [`string`].
pub fn astring(out: &mut Vec<u8>, octets: &[u8]) {
    // NIL would be an astring too, but not all readers know.
    if !octets.is_empty() && octets.iter().all(|b| is_atom_char(*b)) && !octets.eq_ignore_ascii_case(b"NIL") {
        out.extend_from_slice(octets);
    } else {
        string(out, octets);
    }
}

/// An `nstring`: NIL or a [`string`].
pub fn nstring(out: &mut Vec<u8>, octets: Option<&[u8]>) {
    match octets {
        Some(octets) => string(out, octets),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// A mailbox name in modified UTF-7 as an `astring`.
pub fn mailbox(out: &mut Vec<u8>, name: &MailboxName) {
    astring(out, encode_mutf7(name.as_str()).as_bytes());
}

/// TEXT-CHARs only (RFC 3501 §9 `text`), and CRLF.
fn text_line(out: &mut Vec<u8>, text: &str) {
    let shown = |c: char| if matches!(c, ' '..='~') { c } else { '?' };
    put!(out, "{}\r\n", text.chars().map(shown).collect::<String>());
}

const MAX_QUOTED: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn uid(n: u32) -> Uid {
        Uid::new(n).unwrap()
    }

    #[test]
    fn status_responses() {
        let tag = Tag::parse(b"a1").unwrap();
        let keywords = [Keyword::parse("$Junk").unwrap()];
        let validity = UidValidity::new(7).unwrap();
        let line = |tag, condition, code: Option<Code<'_>>, text| {
            written(|out| status(out, tag, condition, code.as_ref(), text))
        };
        assert_eq!(line(Some(&tag), Condition::Ok, Some(Code::ReadWrite), "done"), "a1 OK [READ-WRITE] done\r\n");
        assert_eq!(line(None, Condition::Bad, None, ""), "* BAD BAD\r\n");
        assert_eq!(line(Some(&tag), Condition::Bye, None, "x\r\ny\u{e4}"), "* BYE x??y?\r\n");
        for (code, want) in [
            (Code::BadCharset, "BADCHARSET (US-ASCII UTF-8)"),
            (
                Code::PermanentFlags { keywords: &keywords, may_create: true },
                "PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Junk \\*)",
            ),
            (Code::AppendUid(validity, uid(3)), "APPENDUID 7 3"),
            (Code::CopyUid(validity, &[(uid(1), uid(5)), (uid(2), uid(6)), (uid(9), uid(7))]), "COPYUID 7 1:2,9 5:7"),
            (Code::CopyUid(validity, &[(uid(2), uid(5)), (uid(1), uid(6))]), "COPYUID 7 2,1 5:6"),
            (Code::Modified(&[4, 5, 9]), "MODIFIED 4:5,9"),
        ] {
            assert_eq!(code.to_string(), want);
        }
    }

    #[test]
    fn data_responses() {
        let name = MailboxName::parse("Entwürfe & co").unwrap();
        let tag = Tag::parse(b"a1").unwrap();
        let attributes = [Attribute::HasNoChildren, Attribute::SpecialUse(SpecialUse::Drafts)];
        for (got, want) in [
            (
                written(|o| list(o, Listing::List, &attributes, &name)),
                "* LIST (\\HasNoChildren \\Drafts) \"/\" \"Entw&APw-rfe &- co\"\r\n",
            ),
            (written(|o| list(o, Listing::Lsub, &[], &MailboxName::inbox())), "* LSUB () \"/\" INBOX\r\n"),
            (
                written(|o| list(o, Listing::ListChildInfo, &[], &MailboxName::inbox())),
                "* LIST () \"/\" INBOX (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n",
            ),
            (written(list_delimiter), "* LIST (\\Noselect) \"/\" \"\"\r\n"),
            (written(|o| enabled(o, &[])), "* ENABLED\r\n"),
            (written(namespace), "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n"),
            (written(|o| id(o, &[("name", "Post\"house")])), "* ID (\"name\" \"Post\\\"house\")\r\n"),
            (written(|o| id(o, &[])), "* ID NIL\r\n"),
            (
                written(|o| mailbox_status(o, &name, &[(StatusItem::Messages, 2), (StatusItem::UidNext, 44)])),
                "* STATUS \"Entw&APw-rfe &- co\" (MESSAGES 2 UIDNEXT 44)\r\n",
            ),
            (written(|o| search(o, &[], None)), "* SEARCH\r\n"),
            (written(|o| search(o, &[2, 84], ModSeq::new(5))), "* SEARCH 2 84 (MODSEQ 5)\r\n"),
            (
                written(|o| {
                    let all = [2, 3, 4, 9];
                    let result =
                        SearchResult { uid: true, min: Some(2), count: Some(4), all: Some(&all), ..Default::default() };
                    esearch(o, &tag, &result);
                }),
                "* ESEARCH (TAG \"a1\") UID MIN 2 COUNT 4 ALL 2:4,9\r\n",
            ),
            (written(|o| challenge(o, b"")), "+ \r\n"),
            (written(|o| challenge(o, b"User Name")), "+ VXNlciBOYW1l\r\n"),
            (written(|o| flags(o, &[])), "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n"),
        ] {
            assert_eq!(got, want);
        }
    }

    #[test]
    fn fetch_responses() {
        let got = written(|out| {
            let mut fetch = FetchResponse::begin(out, 3);
            let flags = Flags { keywords: vec![Keyword::parse("x").unwrap()], ..Flags::default() };
            fetch.uid(out, uid(9));
            fetch.flags(out, &flags, true);
            fetch.flags(out, &flags, false);
            fetch.flags(out, &Flags::default(), true);
            fetch.flags(out, &Flags::default(), false);
            fetch.size(out, 44);
            fetch.internal_date(out, Timestamp::from_seconds(0));
            fetch.nil(out, &FetchItem::Rfc822Text);
            fetch.literal(out, &FetchItem::Rfc822, 2);
            out.extend_from_slice(b"ab");
            fetch.end(out);
        });
        assert_eq!(
            got,
            "* 3 FETCH (UID 9 FLAGS (x \\Recent) FLAGS (x) FLAGS (\\Recent) FLAGS () RFC822.SIZE 44 \
             INTERNALDATE \" 1-Jan-1970 00:00:00 +0000\" RFC822.TEXT NIL RFC822 {2}\r\nab)\r\n"
        );
    }

    #[test]
    fn strings() {
        for (octets, as_string, as_astring) in [
            (&b"abc"[..], "\"abc\"", "abc"),
            (b"", "\"\"", "\"\""),
            (b"nil", "\"nil\"", "\"nil\""),
            (b"a b\"\\", "\"a b\\\"\\\\\"", "\"a b\\\"\\\\\""),
            (b"a\r\nb", "{4}\r\na\r\nb", "{4}\r\na\r\nb"),
            ("ü".as_bytes(), "{2}\r\nü", "{2}\r\nü"),
        ] {
            assert_eq!(written(|o| string(o, octets)), as_string);
            assert_eq!(written(|o| astring(o, octets)), as_astring);
        }
        assert_eq!(written(|o| nstring(o, None)), "NIL");
        assert!(written(|o| string(o, &[b'x'; 1001])).starts_with("{1001}\r\n"));
    }
}
