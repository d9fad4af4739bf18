//! Octets to [`Command`]: the grammar of RFC 3501 §9.

use super::command::{Append, Command, Fetch, Id, List, ListReturn, ListSelect, Numbering, Password, Select};
use super::command::{StatusItem, StoreChange, StoreFlags, Tag, Tagged};
use super::cursor::{Cursor, Parsed, is_astring_char, is_atom_char};
use super::date::read_date_time;
use super::fetch::FetchItem;
use super::list::ListPattern;
use super::mutf7::decode_mutf7;
use super::response::{Code, Condition};
use super::sasl::SaslResponse;
use super::search::Search;
use super::sequence_set::SequenceSet;
use crate::mail::{DELIMITER, Flags, Keyword, MailboxName, MailboxNameError, SpecialUse, SystemFlag};

/// A command that could not be made out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejected {
    /// The tag, if there is one to read; otherwise the answer is untagged.
    pub tag: Option<Tag>,
    /// What is wrong.
    pub error: ParseError,
}

/// What is wrong with a command. `Display` is the text for the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseError {
    /// No tag.
    #[error("missing or invalid tag")]
    Tag,
    /// No such command.
    #[error("unknown command")]
    UnknownCommand,
    /// Something else was expected here.
    #[error("syntax error: expected {0}")]
    Expected(&'static str),
    /// Octets after the end of the command.
    #[error("syntax error: more than the command takes")]
    Trailing,
    /// A NUL octet (RFC 3501 §9 `CHAR8`).
    #[error("NUL octet")]
    Nul,
    /// The command's lines are longer than allowed.
    #[error("command line too long")]
    LineTooLong,
    /// A literal is larger than allowed.
    #[error("literal too large")]
    LiteralTooLarge,
    /// More of something than is allowed.
    #[error("too many or too long: {0}")]
    Limit(&'static str),
    /// Search keys nested too deep.
    #[error("search keys nested too deep")]
    TooDeep,
    /// Not modified UTF-7.
    #[error("invalid modified UTF-7 in mailbox name")]
    Mutf7,
    /// Well-formed, but no name a mailbox can have here: NO.
    #[error("{0}")]
    MailboxName(MailboxNameError),
    /// A SEARCH CHARSET other than US-ASCII and UTF-8: NO with BADCHARSET.
    #[error("unsupported charset")]
    Charset,
    /// CREATE with a special use that is unknown, or more than one: NO with USEATTR (RFC 6154 §3).
    #[error("special-use attribute not supported")]
    SpecialUse,
}

impl ParseError {
    /// How it is answered: NO or BAD, with which response code.
    pub fn answer(self) -> (Condition, Option<Code<'static>>) {
        match self {
            Self::Tag | Self::UnknownCommand | Self::Expected(_) | Self::Trailing | Self::Nul | Self::Mutf7 => {
                (Condition::Bad, None)
            }
            Self::LineTooLong | Self::LiteralTooLarge => (Condition::Bad, Some(Code::Limit)),
            Self::Limit(_) | Self::TooDeep => (Condition::No, Some(Code::Limit)),
            Self::MailboxName(_) => (Condition::No, Some(Code::Cannot)),
            Self::Charset => (Condition::No, Some(Code::BadCharset)),
            Self::SpecialUse => (Condition::No, Some(Code::UseAttr)),
        }
    }
}

impl Tagged {
    /// From a complete command as [`super::Frame::Command`] gives it.
    pub fn parse(octets: &[u8]) -> Result<Self, Rejected> {
        let (tag, mut cursor) = after_tag(octets)?;
        match read_command(&mut cursor).and_then(|command| cursor.end().map(|()| command)) {
            Ok(command) => Ok(Self { tag, command }),
            Err(error) => Err(Rejected { tag: Some(tag), error }),
        }
    }
}

impl Append {
    /// From what [`super::Frame::Append`] gives.
    pub fn parse(octets: &[u8]) -> Result<(Tag, Self), Rejected> {
        let (tag, mut cursor) = after_tag(octets)?;
        match Self::read(&mut cursor) {
            Ok(append) => Ok((tag, append)),
            Err(error) => Err(Rejected { tag: Some(tag), error }),
        }
    }

    fn read(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.space()?;
        cursor.word(is_atom_char);
        cursor.space()?;
        let mailbox = mailbox(cursor)?;
        cursor.space()?;
        let mut flags = Flags::default();
        if cursor.peek() == Some(b'(') {
            flags = collect_flags(cursor.list_or_none(flag)?)?;
            cursor.space()?;
        }
        let mut internal_date = None;
        if cursor.eat(b'"') {
            internal_date = Some(read_date_time(cursor)?);
            cursor.expect(b'"', "date-time")?;
            cursor.space()?;
        }
        cursor.end().map_err(|_| ParseError::Expected("message literal"))?;
        Ok(Self { mailbox, flags, internal_date })
    }
}

fn after_tag(octets: &[u8]) -> Result<(Tag, Cursor<'_>), Rejected> {
    let tag = Tag::first(octets).ok_or(Rejected { tag: None, error: ParseError::Tag })?;
    let rest = octets.get(tag.as_str().len()..).unwrap_or_default();
    Ok((tag, Cursor::new(rest)))
}

/// The command behind the tag, from the space on.
fn read_command(c: &mut Cursor<'_>) -> Parsed<Command> {
    c.space()?;
    Ok(match &*c.word(is_atom_char) {
        "CAPABILITY" => Command::Capability,
        "NOOP" => Command::Noop,
        "LOGOUT" => Command::Logout,
        "STARTTLS" => Command::StartTls,
        "AUTHENTICATE" => authenticate(c)?,
        "LOGIN" => login(c)?,
        "SELECT" => Command::Select(select(c)?),
        "EXAMINE" => Command::Examine(select(c)?),
        "CREATE" => create(c)?,
        "DELETE" => Command::Delete(mailbox_argument(c)?),
        "RENAME" => Command::Rename { from: mailbox_argument(c)?, to: mailbox_argument(c)? },
        "SUBSCRIBE" => Command::Subscribe(mailbox_argument(c)?),
        "UNSUBSCRIBE" => Command::Unsubscribe(mailbox_argument(c)?),
        "LIST" => Command::List(list(c)?),
        "LSUB" => lsub(c)?,
        "STATUS" => status(c)?,
        // Complete, so without a message literal: `Frame::Append` is how a right one comes.
        "APPEND" => return Err(ParseError::Expected("message literal")),
        "CHECK" => Command::Check,
        "CLOSE" => Command::Close,
        "UNSELECT" => Command::Unselect,
        "EXPUNGE" => Command::Expunge(None),
        "IDLE" => Command::Idle,
        "NAMESPACE" => Command::Namespace,
        "ID" => id(c)?,
        "ENABLE" => enable(c)?,
        "UID" => {
            c.space()?;
            match &*c.word(is_atom_char) {
                "EXPUNGE" => {
                    c.space()?;
                    Command::Expunge(Some(SequenceSet::read(c)?))
                }
                name => on_messages(c, name, Numbering::Uid)?,
            }
        }
        name => on_messages(c, name, Numbering::Sequence)?,
    })
}

/// The commands that come with UID or without.
fn on_messages(c: &mut Cursor<'_>, name: &str, numbering: Numbering) -> Parsed<Command> {
    Ok(match name {
        "SEARCH" => Command::Search(Search::read(c, numbering)?),
        "FETCH" => fetch(c, numbering)?,
        "STORE" => store(c, numbering)?,
        "COPY" => Command::Copy { numbering, set: set_argument(c)?, mailbox: mailbox_argument(c)? },
        "MOVE" => Command::Move { numbering, set: set_argument(c)?, mailbox: mailbox_argument(c)? },
        _ => return Err(ParseError::UnknownCommand),
    })
}

fn authenticate(c: &mut Cursor<'_>) -> Parsed<Command> {
    c.space()?;
    let mechanism = c.atom("mechanism")?.to_ascii_uppercase();
    let initial_response = c.eat(b' ').then(|| SaslResponse::from_initial(c.take_while(|_| true)));
    Ok(Command::Authenticate { mechanism, initial_response })
}

fn login(c: &mut Cursor<'_>) -> Parsed<Command> {
    c.space()?;
    let user = c.text("user name")?;
    c.space()?;
    Ok(Command::Login { user, password: Password::new(c.astring("password")?.into_owned()) })
}

fn select(c: &mut Cursor<'_>) -> Parsed<Select> {
    let mailbox = mailbox_argument(c)?;
    let condstore = c.eat(b' ');
    if condstore {
        c.list(|c| keyword(c, "CONDSTORE"))?;
    }
    Ok(Select { mailbox, condstore })
}

fn create(c: &mut Cursor<'_>) -> Parsed<Command> {
    c.space()?;
    let mut name = decoded(&c.astring(MAILBOX)?)?;
    // RFC 3501 §6.3.3: a trailing delimiter only says that names below will follow.
    if name.ends_with(DELIMITER) {
        name.pop();
    }
    let mailbox = MailboxName::parse(&name).map_err(ParseError::MailboxName)?;
    let special_use = if c.eat(b' ') { create_parameters(c)? } else { None };
    Ok(Command::Create { mailbox, special_use })
}

/// `(USE (\Sent))` (RFC 6154 §3).
fn create_parameters(c: &mut Cursor<'_>) -> Parsed<Option<SpecialUse>> {
    let uses = c.list(|c| {
        keyword(c, "USE")?;
        c.space()?;
        c.list_or_none(|c| {
            c.expect(b'\\', "special-use attribute")?;
            let name = c.atom("special-use attribute")?;
            Ok(SpecialUse::ALL.into_iter().find(|u| u.folder().eq_ignore_ascii_case(name)))
        })
    })?;
    let mut uses = uses.into_iter().flatten();
    match (uses.next(), uses.next()) {
        (None, _) => Ok(None),
        (Some(Some(one)), None) => Ok(Some(one)),
        _ => Err(ParseError::SpecialUse),
    }
}

fn list(c: &mut Cursor<'_>) -> Parsed<List> {
    c.space()?;
    let mut extended = false;
    let mut select = ListSelect::default();
    if c.peek() == Some(b'(') {
        extended = true;
        select = list_select(c)?;
        c.space()?;
    }
    let reference = decoded(&c.astring("reference")?)?;
    c.space()?;
    let names = if c.peek() == Some(b'(') {
        extended = true;
        c.list(pattern)?
    } else {
        vec![pattern(c)?]
    };
    let mut returns = ListReturn::default();
    if c.eat(b' ') {
        extended = true;
        returns = list_return(c)?;
    }
    if names.len() > MAX_PATTERNS {
        return Err(ParseError::Limit("LIST patterns"));
    }
    let asks_delimiter = !extended && names.iter().all(String::is_empty);
    let joined: Option<Vec<_>> = names.iter().map(|name| ListPattern::new(&reference, name)).collect();
    let patterns = joined.ok_or(ParseError::Limit("LIST pattern"))?;
    Ok(List { select, patterns, returns, asks_delimiter, extended })
}

/// Selection options (RFC 5258 §3.1, RFC 6154 §5.1).
fn list_select(c: &mut Cursor<'_>) -> Parsed<ListSelect> {
    let mut select = ListSelect::default();
    c.list_or_none(|c| {
        match &*c.word(is_atom_char) {
            "SUBSCRIBED" => select.subscribed = true,
            "REMOTE" => select.remote = true,
            "RECURSIVEMATCH" => select.recursive_match = true,
            "SPECIAL-USE" => select.special_use = true,
            _ => return Err(ParseError::Expected("LIST selection option")),
        }
        Ok(())
    })?;
    // RFC 5258 §3.1: RECURSIVEMATCH only modifies another option; REMOTE is none that it could.
    if select.recursive_match && !select.subscribed && !select.special_use {
        return Err(ParseError::Expected("a selection option beside RECURSIVEMATCH"));
    }
    Ok(select)
}

/// Return options (RFC 5258 §3.2, RFC 5819 §2).
fn list_return(c: &mut Cursor<'_>) -> Parsed<ListReturn> {
    let mut returns = ListReturn::default();
    keyword(c, "RETURN")?;
    c.space()?;
    c.list_or_none(|c| {
        match &*c.word(is_atom_char) {
            "SUBSCRIBED" => returns.subscribed = true,
            "CHILDREN" => returns.children = true,
            "SPECIAL-USE" => returns.special_use = true,
            "STATUS" => {
                c.space()?;
                returns.status = Some(status_items(c)?);
            }
            _ => return Err(ParseError::Expected("LIST return option")),
        }
        Ok(())
    })?;
    Ok(returns)
}

/// `list-mailbox`
fn pattern(c: &mut Cursor<'_>) -> Parsed<String> {
    if matches!(c.peek(), Some(b'"' | b'{')) {
        return decoded(&c.string("pattern")?);
    }
    match c.take_while(|b| is_astring_char(b) || matches!(b, b'%' | b'*')) {
        [] => Err(ParseError::Expected("pattern")),
        octets => decoded(octets),
    }
}

fn lsub(c: &mut Cursor<'_>) -> Parsed<Command> {
    c.space()?;
    let reference = decoded(&c.astring("reference")?)?;
    c.space()?;
    let name = pattern(c)?;
    ListPattern::new(&reference, &name).map(Command::Lsub).ok_or(ParseError::Limit("LSUB pattern"))
}

fn status(c: &mut Cursor<'_>) -> Parsed<Command> {
    let mailbox = mailbox_argument(c)?;
    c.space()?;
    Ok(Command::Status { mailbox, items: status_items(c)? })
}

fn status_items(c: &mut Cursor<'_>) -> Parsed<Vec<StatusItem>> {
    let mut items = Vec::new();
    c.list(|c| {
        let item = match &*c.word(is_atom_char) {
            "MESSAGES" => StatusItem::Messages,
            "RECENT" => StatusItem::Recent,
            "UIDNEXT" => StatusItem::UidNext,
            "UIDVALIDITY" => StatusItem::UidValidity,
            "UNSEEN" => StatusItem::Unseen,
            "SIZE" => StatusItem::Size,
            "HIGHESTMODSEQ" => StatusItem::HighestModSeq,
            _ => return Err(ParseError::Expected("STATUS item")),
        };
        if !items.contains(&item) {
            items.push(item);
        }
        Ok(())
    })?;
    Ok(items)
}

fn fetch(c: &mut Cursor<'_>, numbering: Numbering) -> Parsed<Command> {
    let set = set_argument(c)?;
    c.space()?;
    let items = FetchItem::read_all(c)?;
    let mut changed_since = None;
    if c.eat(b' ') {
        c.list(|c| {
            changed_since = Some(modseq_modifier(c, "CHANGEDSINCE")?);
            Ok(())
        })?;
    }
    Ok(Command::Fetch(Fetch { numbering, set, items, changed_since }))
}

fn store(c: &mut Cursor<'_>, numbering: Numbering) -> Parsed<Command> {
    let set = set_argument(c)?;
    c.space()?;
    let mut unchanged_since = None;
    if c.peek() == Some(b'(') {
        c.list(|c| {
            unchanged_since = Some(modseq_modifier(c, "UNCHANGEDSINCE")?);
            Ok(())
        })?;
        c.space()?;
    }
    let (change, silent) = match &*c.word(is_atom_char) {
        "FLAGS" => (StoreChange::Replace, false),
        "FLAGS.SILENT" => (StoreChange::Replace, true),
        "+FLAGS" => (StoreChange::Add, false),
        "+FLAGS.SILENT" => (StoreChange::Add, true),
        "-FLAGS" => (StoreChange::Remove, false),
        "-FLAGS.SILENT" => (StoreChange::Remove, true),
        _ => return Err(ParseError::Expected("FLAGS")),
    };
    c.space()?;
    let given = if c.peek() == Some(b'(') {
        c.list_or_none(flag)?
    } else {
        let mut given = vec![flag(c)?];
        while c.eat(b' ') {
            given.push(flag(c)?);
        }
        given
    };
    let flags = collect_flags(given)?;
    Ok(Command::Store(StoreFlags { numbering, set, change, silent, flags, unchanged_since }))
}

fn modseq_modifier(c: &mut Cursor<'_>, name: &'static str) -> Parsed<u64> {
    keyword(c, name)?;
    c.space()?;
    c.number64("MODSEQ")
}

/// One flag as given; `None` if it is one that is passed over.
enum Given {
    System(Option<SystemFlag>),
    Keyword(Keyword),
}

fn flag(c: &mut Cursor<'_>) -> Parsed<Given> {
    if c.eat(b'\\') {
        let name = c.atom("flag")?;
        return Ok(Given::System(SystemFlag::ALL.into_iter().find(|f| f.name()[1..].eq_ignore_ascii_case(name))));
    }
    let keyword = Keyword::parse(c.atom("flag")?).ok_or(ParseError::Limit("keyword"))?;
    Ok(Given::Keyword(keyword))
}

fn collect_flags(given: Vec<Given>) -> Parsed<Flags> {
    let mut flags = Flags::default();
    for flag in given {
        match flag {
            Given::System(flag) => flags.system = flag.map_or(flags.system, |f| flags.system.with(f)),
            Given::Keyword(keyword) if !flags.keywords.contains(&keyword) => flags.keywords.push(keyword),
            Given::Keyword(_) => {}
        }
        if flags.keywords.len() > MAX_KEYWORDS {
            return Err(ParseError::Limit("keywords"));
        }
    }
    Ok(flags)
}

/// Tolerant: what does not fit is left out, as clients write ID in ways of their own.
fn id(c: &mut Cursor<'_>) -> Parsed<Command> {
    c.space()?;
    let mut parameters = c.take_while(|_| true);
    let mut pairs = Vec::new();
    if let Some(inside) = parameters.strip_prefix(b"(") {
        parameters = inside;
    }
    let mut c = Cursor::new(parameters);
    while pairs.len() < MAX_ID_PAIRS {
        let Some((field, value)) = id_pair(&mut c) else { break };
        if field.len().max(value.as_ref().map_or(0, String::len)) <= MAX_ID_VALUE {
            pairs.push((field, value));
        }
    }
    Ok(Command::Id(Id(pairs)))
}

fn id_pair(c: &mut Cursor<'_>) -> Option<(String, Option<String>)> {
    c.take_while(|b| b == b' ');
    let field = c.text("field").ok()?;
    c.take_while(|b| b == b' ');
    let is_nil = c.peek().is_some_and(|b| b.eq_ignore_ascii_case(&b'n'));
    let value = c.text("value").ok()?;
    Some((field, if is_nil && value.eq_ignore_ascii_case("NIL") { None } else { Some(value) }))
}

fn enable(c: &mut Cursor<'_>) -> Parsed<Command> {
    let mut capabilities = Vec::new();
    c.space()?;
    loop {
        if capabilities.len() >= MAX_CAPABILITIES {
            return Err(ParseError::Limit("capabilities"));
        }
        capabilities.push(c.atom("capability")?.to_ascii_uppercase());
        if !c.eat(b' ') {
            return Ok(Command::Enable(capabilities));
        }
    }
}

fn keyword(c: &mut Cursor<'_>, name: &'static str) -> Parsed<()> {
    if c.word(is_atom_char) == name { Ok(()) } else { Err(ParseError::Expected(name)) }
}

fn set_argument(c: &mut Cursor<'_>) -> Parsed<SequenceSet> {
    c.space()?;
    SequenceSet::read(c)
}

fn mailbox_argument(c: &mut Cursor<'_>) -> Parsed<MailboxName> {
    c.space()?;
    mailbox(c)
}

fn mailbox(c: &mut Cursor<'_>) -> Parsed<MailboxName> {
    MailboxName::parse(&decoded(&c.astring(MAILBOX)?)?).map_err(ParseError::MailboxName)
}

fn decoded(octets: &[u8]) -> Parsed<String> {
    decode_mutf7(octets).map_err(|_| ParseError::Mutf7)
}

const MAILBOX: &str = "mailbox";
const MAX_PATTERNS: usize = 32;
const MAX_KEYWORDS: usize = 100;
const MAX_ID_PAIRS: usize = 30;
const MAX_ID_VALUE: usize = 1024;
const MAX_CAPABILITIES: usize = 64;

#[cfg(test)]
mod tests {
    use super::super::command::State;
    use super::*;
    use crate::mail::Timestamp;

    fn parse(text: &str) -> Result<Command, ParseError> {
        Tagged::parse(format!("a1 {text}").as_bytes()).map(|t| t.command).map_err(|r| r.error)
    }

    fn name(text: &str) -> MailboxName {
        MailboxName::parse(text).unwrap()
    }

    #[test]
    fn commands_with_mailboxes() {
        let select = |text, condstore| Select { mailbox: name(text), condstore };
        for (text, want) in [
            ("select inBOX", Command::Select(select("INBOX", false))),
            ("SELECT \"a \\\"b\" (CONDSTORE)", Command::Select(select("a \"b", true))),
            ("EXAMINE {3}\r\nbox", Command::Examine(select("box", false))),
            ("CREATE owatagusiam/", Command::Create { mailbox: name("owatagusiam"), special_use: None }),
            (
                "CREATE Ent (USE (\\drafts))",
                Command::Create { mailbox: name("Ent"), special_use: Some(SpecialUse::Drafts) },
            ),
            ("DELETE &U,BTFw-/&ZeVnLIqe-", Command::Delete(name("台北/日本語"))),
            ("RENAME a b/c", Command::Rename { from: name("a"), to: name("b/c") }),
            ("SUBSCRIBE ]", Command::Subscribe(name("]"))),
            ("UNSUBSCRIBE a", Command::Unsubscribe(name("a"))),
            (
                "STATUS b (UIDNEXT MESSAGES size uidnext)",
                Command::Status {
                    mailbox: name("b"),
                    items: vec![StatusItem::UidNext, StatusItem::Messages, StatusItem::Size],
                },
            ),
            (
                "UID COPY 2:* b",
                Command::Copy {
                    numbering: Numbering::Uid,
                    set: SequenceSet::parse(b"2:*").unwrap(),
                    mailbox: name("b"),
                },
            ),
        ] {
            assert_eq!(parse(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_and_how_it_is_answered() {
        use Condition::{Bad, No};
        for (line, tag, answer) in [
            ("", None, (Bad, None)),
            ("+ NOOP", None, (Bad, None)),
            (" NOOP", None, (Bad, None)),
            ("a(b NOOP", None, (Bad, None)),
            ("a", Some("a"), (Bad, None)),
            ("a ", Some("a"), (Bad, None)),
            ("a FOO", Some("a"), (Bad, None)),
            ("a UID FOO 1", Some("a"), (Bad, None)),
            ("a UID EXPUNGE", Some("a"), (Bad, None)),
            ("a NOOP x", Some("a"), (Bad, None)),
            ("a NOOP ", Some("a"), (Bad, None)),
            ("a LOGIN x", Some("a"), (Bad, None)),
            ("a LOGIN \"x\0\" y", Some("a"), (Bad, None)),
            ("a LOGIN {1}\r\n\0 y", Some("a"), (Bad, None)),
            ("a LOGIN \"x y", Some("a"), (Bad, None)),
            ("a LOGIN \"x\\y\" z", Some("a"), (Bad, None)),
            ("a SELECT a&b", Some("a"), (Bad, None)),
            ("a SELECT \"\u{e4}\"", Some("a"), (Bad, None)),
            ("a SELECT a//b", Some("a"), (No, Some(Code::Cannot))),
            ("a DELETE \"\"", Some("a"), (No, Some(Code::Cannot))),
            ("a CREATE a (USE (\\Foo))", Some("a"), (No, Some(Code::UseAttr))),
            ("a CREATE a (USE (\\Sent \\Junk))", Some("a"), (No, Some(Code::UseAttr))),
            ("a STATUS a ()", Some("a"), (Bad, None)),
            ("a SEARCH CHARSET X ALL", Some("a"), (No, Some(Code::BadCharset))),
            ("a STORE 1 FLAGS \\*", Some("a"), (Bad, None)),
            ("a STORE 1 FLAGS", Some("a"), (Bad, None)),
            ("a STORE 0 FLAGS (\\Seen)", Some("a"), (Bad, None)),
            ("a FETCH 1 BODY[]<0.0>", Some("a"), (Bad, None)),
            ("a APPEND box", Some("a"), (Bad, None)),
            ("a LIST (RECURSIVEMATCH) \"\" *", Some("a"), (Bad, None)),
            ("a LIST \"\" * RETURN (FOO)", Some("a"), (Bad, None)),
            ("a LIST \"\"", Some("a"), (Bad, None)),
        ] {
            let rejected = Tagged::parse(line.as_bytes()).expect_err(line);
            assert_eq!(rejected.tag.as_ref().map(Tag::as_str), tag, "{line}");
            assert_eq!(rejected.error.answer(), answer, "{line}");
        }
        let long = format!("a STORE 1 FLAGS {}", "x".repeat(101));
        assert_eq!(Tagged::parse(long.as_bytes()).unwrap_err().error.answer(), (No, Some(Code::Limit)));
        let many: Vec<_> = (0..101).map(|n| format!("k{n}")).collect();
        let many = format!("a STORE 1 FLAGS ({})", many.join(" "));
        assert_eq!(Tagged::parse(many.as_bytes()).unwrap_err().error, ParseError::Limit("keywords"));
    }

    #[test]
    fn login_and_authenticate() {
        let Ok(Command::Login { user, password }) = parse("LOGIN {5}\r\nal\"ce \"p \\\\ \u{fc}\"") else { panic!() };
        assert_eq!((user.as_str(), password.octets()), ("al\"ce", "p \\ \u{fc}".as_bytes()));
        for (text, response) in [
            ("AUTHENTICATE plain", None),
            ("AUTHENTICATE PLAIN AGEAYg==", Some(SaslResponse::Data(b"\0a\0b".to_vec()))),
            ("AUTHENTICATE PLAIN =", Some(SaslResponse::Data(Vec::new()))),
            ("AUTHENTICATE PLAIN x", Some(SaslResponse::Malformed)),
        ] {
            let want = Command::Authenticate { mechanism: "PLAIN".into(), initial_response: response };
            assert_eq!(parse(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn list_in_its_forms() {
        let list = |text| match parse(text) {
            Ok(Command::List(list)) => list,
            other => panic!("{text}: {other:?}"),
        };
        assert!(list("LIST \"\" \"\"").asks_delimiter);
        let plain = list("LIST a/ %");
        assert!(!plain.extended && !plain.asks_delimiter && plain.patterns[0].matches(&name("a/b")));
        assert!(list("LIST \"\" Entw&APw-%").patterns[0].matches(&name("Entwürfe")));
        let apple = list("LIST \"\" \"*\" RETURN (SPECIAL-USE STATUS (UNSEEN))");
        assert!(apple.returns.special_use && apple.extended);
        assert_eq!(apple.returns.status, Some(vec![StatusItem::Unseen]));
        let full =
            list("LIST (SUBSCRIBED RECURSIVEMATCH REMOTE SPECIAL-USE) \"\" (INBOX a/%) RETURN (CHILDREN SUBSCRIBED)");
        assert!(full.select.subscribed && full.select.recursive_match && full.select.remote && full.select.special_use);
        assert!(full.returns.children && full.returns.subscribed && full.patterns.len() == 2);
        assert_eq!(list("LIST () \"\" % RETURN ()").returns, ListReturn::default());
    }

    #[test]
    fn store_and_fetch() {
        let store = |text| match parse(text) {
            Ok(Command::Store(store)) => (store.change, store.silent, store.flags.to_string(), store.unchanged_since),
            other => panic!("{text}: {other:?}"),
        };
        use StoreChange::{Add, Remove, Replace};
        for (text, change, silent, flags, since) in [
            ("STORE 2:4 +FLAGS (\\Deleted)", Add, false, "\\Deleted", None),
            ("UID STORE 2 -flags.silent \\seen $Junk", Remove, true, "\\Seen $Junk", None),
            ("STORE 1 FLAGS ()", Replace, false, "", None),
            ("STORE 1 FLAGS (\\Recent \\Foo a A b)", Replace, false, "a b", None),
            ("STORE 1 (UNCHANGEDSINCE 12) +FLAGS.SILENT (a)", Add, true, "a", Some(12)),
        ] {
            assert_eq!(store(text), (change, silent, flags.into(), since), "{text}");
        }
        let Ok(Command::Fetch(fetch)) = parse("UID FETCH 1:* (FLAGS) (CHANGEDSINCE 0)") else { panic!() };
        assert_eq!((fetch.numbering, fetch.changed_since), (Numbering::Uid, Some(0)));
    }

    #[test]
    fn id_is_tolerant() {
        let id = |text: &str| match parse(text) {
            Ok(Command::Id(Id(pairs))) => pairs,
            other => panic!("{text}: {other:?}"),
        };
        let pair = |k: &str, v: Option<&str>| (k.to_owned(), v.map(str::to_owned));
        assert_eq!(id("ID NIL"), []);
        assert_eq!(id("ID ()"), []);
        assert_eq!(id("ID (\"name\" \"x\" \"version\" NIL)"), [pair("name", Some("x")), pair("version", None)]);
        assert_eq!(
            id("ID (\"name\" \"x\"  version \"NIL\" junk"),
            [pair("name", Some("x")), pair("version", Some("NIL"))]
        );
        assert_eq!(id("ID x \"unclosed"), []);
        assert_eq!(id(&format!("ID ({})", "a b ".repeat(40))).len(), 30);
    }

    #[test]
    fn append_up_to_its_message() {
        let append = |text: &str| Append::parse(text.as_bytes()).map(|(_, append)| append).map_err(|r| r.error);
        let seen = Flags { system: Default::default(), keywords: vec![Keyword::parse("x").unwrap()] };
        for (text, flags, date) in [
            ("a APPEND b ", Flags::default(), None),
            ("a APPEND b () ", Flags::default(), None),
            (
                "a APPEND b (x \\Recent) \" 2-Nov-2026 04:19:24 +0000\" ",
                seen,
                Some(Timestamp::from_seconds(1_793_593_164)),
            ),
        ] {
            let want = Append { mailbox: name("b"), flags, internal_date: date };
            assert_eq!(append(text), Ok(want), "{text}");
        }
        for text in ["a APPEND b", "a APPEND b x ", "a APPEND b (x", "a APPEND b \"2-Nov-2026\" ", "a APPEND b ~"] {
            assert!(append(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_commands_declare() {
        for (text, states, expunges) in [
            ("NOOP", "nas", true),
            ("LOGIN a b", "n", true),
            ("SELECT a", "as", true),
            ("IDLE", "as", true),
            ("FETCH 1 ALL", "s", false),
            ("UID FETCH 1 ALL", "s", true),
            ("SEARCH ALL", "s", false),
            ("STORE 1 FLAGS ()", "s", false),
            ("UID EXPUNGE 1", "s", true),
            ("MOVE 1 a", "s", true),
        ] {
            let command = parse(text).unwrap();
            let in_states: String =
                [('n', State::NotAuthenticated), ('a', State::Authenticated), ('s', State::Selected)]
                    .into_iter()
                    .filter_map(|(c, state)| command.is_allowed_in(state).then_some(c))
                    .collect();
            assert_eq!((in_states.as_str(), command.may_report_expunges()), (states, expunges), "{text}");
            assert!(text.starts_with(command.name()), "{text}");
        }
    }
}
