//! Commands against imap-codec, an independent reader of RFC 3501: what both read means the same.

use imap_codec::CommandCodec;
use imap_codec::decode::Decoder;
use imap_codec::imap_types::command::{Command as Theirs, CommandBody};
use imap_codec::imap_types::fetch::{Macro, MacroOrMessageDataItemNames, MessageDataItemName, Section as TheirSection};
use imap_codec::imap_types::flag::{Flag, StoreResponse, StoreType};
use imap_codec::imap_types::mailbox::{ListMailbox, Mailbox};
use imap_codec::imap_types::search::SearchKey as TheirKey;
use imap_codec::imap_types::sequence::{SeqOrUid, Sequence, SequenceSet as TheirSet};
use imap_codec::imap_types::status::StatusDataItemName;
use proptest::prelude::*;

use super::*;
use crate::mail::{Flags, Keyword, MailboxName, SystemFlag};

fn text(octets: impl AsRef<[u8]>) -> String {
    String::from_utf8(octets.as_ref().to_vec()).unwrap()
}

fn numbering(uid: bool) -> Numbering {
    if uid { Numbering::Uid } else { Numbering::Sequence }
}

fn set(theirs: &TheirSet) -> SequenceSet {
    let number = |n: &SeqOrUid| match n {
        SeqOrUid::Value(n) => n.to_string(),
        SeqOrUid::Asterisk => "*".into(),
    };
    let ranges = theirs.0.as_ref().iter().map(|range| match range {
        Sequence::Single(n) => number(n),
        Sequence::Range(first, last) => format!("{}:{}", number(first), number(last)),
    });
    SequenceSet::parse(ranges.collect::<Vec<_>>().join(",").as_bytes()).unwrap()
}

fn raw(mailbox: &Mailbox<'_>) -> String {
    match mailbox {
        Mailbox::Inbox => "INBOX".into(),
        Mailbox::Other(other) => decode_mutf7(other.as_ref()).unwrap(),
    }
}

fn name(mailbox: &Mailbox<'_>) -> MailboxName {
    // Theirs knows no names: what is none to us is compared with nothing, for then we refuse the command.
    MailboxName::parse(&raw(mailbox)).unwrap_or_else(|_| MailboxName::parse("no name").unwrap())
}

fn pattern(reference: &Mailbox<'_>, pattern: &ListMailbox<'_>) -> ListPattern {
    let pattern = match pattern {
        ListMailbox::Token(token) => text(token),
        ListMailbox::String(string) => text(string),
    };
    ListPattern::new(&raw(reference), &decode_mutf7(pattern.as_bytes()).unwrap()).unwrap()
}

fn status_item(item: &StatusDataItemName) -> StatusItem {
    match item {
        StatusDataItemName::Messages => StatusItem::Messages,
        StatusDataItemName::Recent => StatusItem::Recent,
        StatusDataItemName::UidNext => StatusItem::UidNext,
        StatusDataItemName::UidValidity => StatusItem::UidValidity,
        StatusDataItemName::Unseen => StatusItem::Unseen,
        other => panic!("{other:?}"),
    }
}

fn flags(theirs: &[Flag<'_>]) -> Flags {
    let mut flags = Flags::default();
    for flag in theirs {
        let name = flag.to_string();
        match SystemFlag::parse(&name) {
            Some(flag) => flags.system = flags.system.with(flag),
            None => {
                let one = Flags { keywords: Keyword::parse(&name).into_iter().collect(), ..Flags::default() };
                flags.add(&one);
            }
        }
    }
    flags
}

fn date(theirs: &imap_codec::imap_types::datetime::NaiveDate) -> Date {
    // As chrono writes it: 1994-02-01.
    let iso = theirs.as_ref().to_string();
    let numbers: Vec<u32> = iso.split('-').map(|n| n.parse().unwrap()).collect();
    Date::new(numbers[0] as i32, numbers[1], numbers[2]).unwrap()
}

fn not(key: SearchKey) -> SearchKey {
    SearchKey::Not(Box::new(key))
}

fn key(theirs: &TheirKey<'_>) -> SearchKey {
    use TheirKey as T;
    let system = SearchKey::System;
    let header =
        |field: &str, value: &dyn AsRef<[u8]>| SearchKey::Header { field: field.into(), text: text(value.as_ref()) };
    match theirs {
        T::And(keys) => match keys.as_ref() {
            [one] => key(one),
            keys => SearchKey::And(keys.iter().map(key).collect()),
        },
        T::SequenceSet(numbers) => SearchKey::Sequence(set(numbers)),
        T::All => SearchKey::All,
        T::Answered => system(SystemFlag::Answered),
        T::Bcc(value) => header("Bcc", value),
        T::Before(day) => SearchKey::Before(date(day)),
        T::Body(value) => SearchKey::Body(text(value)),
        T::Cc(value) => header("Cc", value),
        T::Deleted => system(SystemFlag::Deleted),
        T::Draft => system(SystemFlag::Draft),
        T::Flagged => system(SystemFlag::Flagged),
        T::From(value) => header("From", value),
        T::Header(field, value) => header(&text(field), value),
        T::Keyword(keyword) => SearchKey::Keyword(Keyword::parse(keyword.inner())),
        T::Larger(n) => SearchKey::Larger((*n).into()),
        T::New => SearchKey::And(vec![SearchKey::Recent, not(system(SystemFlag::Seen))]),
        T::Not(inner) => not(key(inner)),
        T::Old => not(SearchKey::Recent),
        T::On(day) => SearchKey::On(date(day)),
        T::Or(a, b) => SearchKey::Or(vec![key(a), key(b)]),
        T::Recent => SearchKey::Recent,
        T::Seen => system(SystemFlag::Seen),
        T::SentBefore(day) => SearchKey::SentBefore(date(day)),
        T::SentOn(day) => SearchKey::SentOn(date(day)),
        T::SentSince(day) => SearchKey::SentSince(date(day)),
        T::Since(day) => SearchKey::Since(date(day)),
        T::Smaller(n) => SearchKey::Smaller((*n).into()),
        T::Subject(value) => header("Subject", value),
        T::Text(value) => SearchKey::Text(text(value)),
        T::To(value) => header("To", value),
        T::Uid(uids) => SearchKey::Uid(set(uids)),
        T::Unanswered => not(system(SystemFlag::Answered)),
        T::Undeleted => not(system(SystemFlag::Deleted)),
        T::Undraft => not(system(SystemFlag::Draft)),
        T::Unflagged => not(system(SystemFlag::Flagged)),
        T::Unkeyword(keyword) => not(SearchKey::Keyword(Keyword::parse(keyword.inner()))),
        T::Unseen => not(system(SystemFlag::Seen)),
        #[allow(unreachable_patterns, reason = "variants that features of imap-codec add")]
        other => panic!("{other:?}"),
    }
}

/// ORs within ORs taken apart, those in parentheses too: imap-codec does not tell them from others.
fn flat(key: SearchKey) -> SearchKey {
    match key {
        SearchKey::Or(keys) => {
            let parts = keys.into_iter().map(flat).flat_map(|key| match key {
                SearchKey::Or(keys) => keys,
                key => vec![key],
            });
            SearchKey::Or(parts.collect())
        }
        SearchKey::And(keys) => SearchKey::And(keys.into_iter().map(flat).collect()),
        SearchKey::Not(key) => not(flat(*key)),
        key => key,
    }
}

fn section(theirs: &Option<TheirSection<'_>>) -> Section {
    use TheirSection as T;
    use imap_codec::imap_types::fetch::Part;
    let numbers = |part: Option<&Part>| part.map(|p| p.0.as_ref().to_vec()).unwrap_or_default();
    let fields = |names: &[imap_codec::imap_types::core::AString<'_>]| names.iter().map(text).collect::<Vec<_>>();
    match theirs {
        None => Section::default(),
        Some(T::Part(part)) => Section { part: numbers(Some(part)), text: None },
        Some(T::Header(part)) => Section { part: numbers(part.as_ref()), text: Some(SectionText::Header) },
        Some(T::HeaderFields(part, names)) => {
            Section { part: numbers(part.as_ref()), text: Some(SectionText::HeaderFields(fields(names.as_ref()))) }
        }
        Some(T::HeaderFieldsNot(part, names)) => {
            Section { part: numbers(part.as_ref()), text: Some(SectionText::HeaderFieldsNot(fields(names.as_ref()))) }
        }
        Some(T::Text(part)) => Section { part: numbers(part.as_ref()), text: Some(SectionText::Text) },
        Some(T::Mime(part)) => Section { part: numbers(Some(part)), text: Some(SectionText::Mime) },
    }
}

fn fetch_items(theirs: &MacroOrMessageDataItemNames<'_>) -> Vec<FetchItem> {
    use FetchItem::*;
    use MessageDataItemName as T;
    let names = match theirs {
        MacroOrMessageDataItemNames::Macro(Macro::Fast) => return vec![Flags, InternalDate, Rfc822Size],
        MacroOrMessageDataItemNames::Macro(Macro::All) => return vec![Flags, InternalDate, Rfc822Size, Envelope],
        MacroOrMessageDataItemNames::Macro(_) => return vec![Flags, InternalDate, Rfc822Size, Envelope, Body],
        MacroOrMessageDataItemNames::MessageDataItemNames(names) => names,
    };
    let mut items = Vec::new();
    for theirs in names {
        let item = match theirs {
            T::Body => Body,
            T::BodyExt { section: theirs, partial, peek } => FetchItem::Section {
                section: section(theirs),
                peek: *peek,
                partial: partial.map(|(first, count)| Partial { first, count }),
            },
            T::BodyStructure => BodyStructure,
            T::Envelope => Envelope,
            T::Flags => Flags,
            T::InternalDate => InternalDate,
            T::Rfc822 => Rfc822,
            T::Rfc822Header => Rfc822Header,
            T::Rfc822Size => Rfc822Size,
            T::Rfc822Text => Rfc822Text,
            T::Uid => Uid,
            #[allow(unreachable_patterns, reason = "variants that features of imap-codec add")]
            other => panic!("{other:?}"),
        };
        if !items.contains(&item) {
            items.push(item);
        }
    }
    items
}

/// Their command as ours; `None` for what the test does not compare.
fn command(body: &CommandBody<'_>) -> Option<Command> {
    use CommandBody as T;
    let select = |mailbox| Select { mailbox: name(mailbox), condstore: false };
    Some(match body {
        T::Capability => Command::Capability,
        T::Noop => Command::Noop,
        T::Logout => Command::Logout,
        T::Check => Command::Check,
        T::Close => Command::Close,
        T::Unselect => Command::Unselect,
        T::Expunge => Command::Expunge(None),
        T::Idle => Command::Idle,
        T::Login { username, password } => {
            let password = Password::new(password.declassify().as_ref().to_vec());
            Command::Login { user: text(username), password }
        }
        T::Select { mailbox } => Command::Select(select(mailbox)),
        T::Examine { mailbox } => Command::Examine(select(mailbox)),
        T::Create { mailbox } => Command::Create { mailbox: name(mailbox), special_use: None },
        T::Delete { mailbox } => Command::Delete(name(mailbox)),
        T::Rename { from, to } => Command::Rename { from: name(from), to: name(to) },
        T::Subscribe { mailbox } => Command::Subscribe(name(mailbox)),
        T::Unsubscribe { mailbox } => Command::Unsubscribe(name(mailbox)),
        T::Lsub { reference, mailbox_wildcard } => Command::Lsub(pattern(reference, mailbox_wildcard)),
        T::List { reference, mailbox_wildcard } => Command::List(List {
            select: ListSelect::default(),
            patterns: vec![pattern(reference, mailbox_wildcard)],
            returns: ListReturn::default(),
            asks_delimiter: matches!(mailbox_wildcard, ListMailbox::String(s) if s.as_ref().is_empty()),
            extended: false,
        }),
        T::Status { mailbox, item_names } => {
            let mut items = Vec::new();
            for item in item_names.iter().map(status_item) {
                if !items.contains(&item) {
                    items.push(item);
                }
            }
            Command::Status { mailbox: name(mailbox), items }
        }
        T::Search { criteria, uid, .. } => {
            Command::Search(Search { numbering: numbering(*uid), returns: None, key: flat(key(criteria)) })
        }
        T::Fetch { sequence_set, macro_or_item_names, uid } => Command::Fetch(Fetch {
            numbering: numbering(*uid),
            set: set(sequence_set),
            items: fetch_items(macro_or_item_names),
            changed_since: None,
        }),
        T::Store { sequence_set, kind, response, flags: theirs, uid } => Command::Store(StoreFlags {
            numbering: numbering(*uid),
            set: set(sequence_set),
            change: match kind {
                StoreType::Add => StoreChange::Add,
                StoreType::Remove => StoreChange::Remove,
                StoreType::Replace => StoreChange::Replace,
            },
            silent: *response == StoreResponse::Silent,
            flags: flags(theirs),
            unchanged_since: None,
        }),
        T::Copy { sequence_set, mailbox, uid } => {
            Command::Copy { numbering: numbering(*uid), set: set(sequence_set), mailbox: name(mailbox) }
        }
        T::Move { sequence_set, mailbox, uid } => {
            Command::Move { numbering: numbering(*uid), set: set(sequence_set), mailbox: name(mailbox) }
        }
        _ => return None,
    })
}

/// The tag, and the command if it can be compared.
type TheirCommand = (String, Option<Command>);

/// Both readers' results on a line without CRLF.
fn both(line: &[u8]) -> (Result<Tagged, Rejected>, Option<TheirCommand>) {
    let ours = Tagged::parse(line);
    let with_end = [line, b"\r\n"].concat();
    let theirs = match CommandCodec::default().decode(&with_end) {
        Ok((b"", Theirs { tag, body })) => Some((tag.inner().to_owned(), body)),
        _ => None,
    };
    // Ours first: what it refuses for its meaning (names, limits) has no counterpart.
    let comparable = ours.is_ok();
    (ours, theirs.map(|(tag, body)| (tag, if comparable { command(&body) } else { None })))
}

/// A piece of grammar: any of these texts.
fn any_of(texts: &'static [&'static str]) -> BoxedStrategy<String> {
    proptest::sample::select(texts).prop_map(str::to_owned).boxed()
}

fn astring() -> BoxedStrategy<String> {
    prop_oneof![
        "[a-zA-Z0-9.$#!,:;<=>?@^_`|~}/'+-]{1,8}",
        "[a-zA-Z0-9 (){%*.&-]{0,8}".prop_map(|s| format!("\"{s}\"")),
        "[a-z \\\\\"]{0,6}".prop_map(|s| format!("\"{}\"", s.replace('\\', "\\\\").replace('"', "\\\""))),
        "[a-zA-Z \r\n(){}\"\\\\]{0,8}".prop_map(|s| format!("{{{}}}\r\n{s}", s.len())),
        "[a-z]{0,4}".prop_map(|s| format!("{{{}+}}\r\n{s}", s.len())),
    ]
    .boxed()
}

fn mailbox() -> BoxedStrategy<String> {
    prop_oneof![
        any_of(&["INBOX", "inbox", "\"InBox\"", "{5}\r\ninbox", "inbox/a", "&AOk-", "\"a b\"", "a&-b", "\"%\""]),
        "[a-z.]{1,5}(/[a-z]{1,3}){0,2}",
    ]
    .boxed()
}

fn sequence_set() -> BoxedStrategy<String> {
    proptest::collection::vec("([1-9][0-9]{0,8}|\\*)(:([1-9][0-9]{0,8}|\\*))?", 1..4).prop_map(|v| v.join(",")).boxed()
}

fn search_key() -> BoxedStrategy<String> {
    let day = any_of(&["1-Feb-1994", "\"01-feb-1994\"", "29-Feb-2000", "31-Dec-2026"]);
    let leaf = prop_oneof![
        any_of(&[
            "ALL",
            "answered",
            "DELETED",
            "DRAFT",
            "FLAGGED",
            "NEW",
            "OLD",
            "RECENT",
            "SEEN",
            "UNANSWERED",
            "UNDELETED",
            "UNDRAFT",
            "UNFLAGGED",
            "Unseen",
            "KEYWORD $Junk",
            "UNKEYWORD x",
        ]),
        (any_of(&["BCC", "BODY", "CC", "FROM", "SUBJECT", "text", "TO", "HEADER X-A"]), astring())
            .prop_map(|(k, v)| format!("{k} {v}")),
        (any_of(&["BEFORE", "ON", "SINCE", "SENTBEFORE", "sentOn", "SENTSINCE"]), day)
            .prop_map(|(k, v)| format!("{k} {v}")),
        (any_of(&["LARGER", "SMALLER"]), any::<u32>()).prop_map(|(k, v)| format!("{k} {v}")),
        sequence_set(),
        sequence_set().prop_map(|s| format!("UID {s}")),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("OR {a} {b}")),
            inner.clone().prop_map(|a| format!("NOT {a}")),
            proptest::collection::vec(inner, 1..4).prop_map(|v| format!("({})", v.join(" "))),
        ]
    })
    .boxed()
}

fn fetch_item() -> BoxedStrategy<String> {
    let names = proptest::collection::vec("[A-Za-z-]{1,6}|\"[a-z]{1,3}\"", 1..3).prop_map(|v| v.join(" "));
    let text = prop_oneof![
        any_of(&["", "HEADER", "text", "1", "1.2", "1.2.HEADER", "3.MIME", "1.TEXT"]),
        (any_of(&["HEADER.FIELDS", "header.fields.NOT", "1.HEADER.FIELDS"]), names)
            .prop_map(|(k, n)| format!("{k} ({n})")),
    ];
    prop_oneof![
        any_of(&[
            "UID",
            "FLAGS",
            "INTERNALDATE",
            "RFC822",
            "RFC822.SIZE",
            "rfc822.header",
            "RFC822.TEXT",
            "ENVELOPE",
            "BODY",
            "BODYSTRUCTURE",
        ]),
        (any_of(&["BODY", "BODY.PEEK", "body.peek"]), text, any_of(&["", "<0.1>", "<17.4294967295>"]))
            .prop_map(|(k, t, p)| format!("{k}[{t}]{p}")),
    ]
    .boxed()
}

fn command_line() -> BoxedStrategy<String> {
    let flag = any_of(&["\\Seen", "\\answered", "\\Deleted", "\\Draft", "\\Flagged", "$Junk", "x", "X"]);
    let flags = proptest::collection::vec(flag, 1..4).prop_map(|v| v.join(" "));
    let flags = prop_oneof![flags.clone(), flags.prop_map(|f| format!("({f})")), Just("()".to_owned())];
    let uid = any_of(&["", "UID ", "uid "]);
    let status_items =
        proptest::collection::vec(any_of(&["MESSAGES", "recent", "UIDNEXT", "UIDVALIDITY", "UNSEEN"]), 1..4);
    let items = prop_oneof![
        any_of(&["ALL", "FAST", "full"]),
        fetch_item(),
        proptest::collection::vec(fetch_item(), 1..4).prop_map(|v| format!("({})", v.join(" "))),
    ];
    let change = any_of(&["FLAGS", "+FLAGS", "-FLAGS", "flags.silent", "+FLAGS.SILENT", "-Flags.Silent"]);
    prop_oneof![
        any_of(&["CAPABILITY", "noop", "LOGOUT", "CHECK", "CLOSE", "UNSELECT", "EXPUNGE", "IDLE"]),
        (astring(), astring()).prop_map(|(u, p)| format!("LOGIN {u} {p}")),
        (any_of(&["SELECT", "EXAMINE", "CREATE", "DELETE", "SUBSCRIBE", "unsubscribe"]), mailbox())
            .prop_map(|(k, m)| format!("{k} {m}")),
        (mailbox(), mailbox()).prop_map(|(a, b)| format!("RENAME {a} {b}")),
        (any_of(&["LIST", "LSUB"]), any_of(&["\"\"", "a/", "inbox/"]), "[a-z%*/.]{1,6}|\"[a-z%* ]{0,5}\"")
            .prop_map(|(k, r, p)| format!("{k} {r} {p}")),
        (mailbox(), status_items).prop_map(|(m, i)| format!("STATUS {m} ({})", i.join(" "))),
        (
            uid.clone(),
            any_of(&["", "CHARSET UTF-8 ", "CHARSET us-ascii "]),
            proptest::collection::vec(search_key(), 1..3)
        )
            .prop_map(|(u, c, k)| format!("{u}SEARCH {c}{}", k.join(" "))),
        (uid.clone(), sequence_set(), items).prop_map(|(u, s, i)| format!("{u}FETCH {s} {i}")),
        (uid.clone(), sequence_set(), change, flags).prop_map(|(u, s, c, f)| format!("{u}STORE {s} {c} {f}")),
        (uid, any_of(&["COPY", "MOVE"]), sequence_set(), mailbox()).prop_map(|(u, k, s, m)| format!("{u}{k} {s} {m}")),
    ]
    .prop_map(|command| format!("a.1 {command}"))
    .boxed()
}

fn comparable(ours: Command) -> Command {
    match ours {
        Command::Search(search) => Command::Search(Search { key: flat(search.key), ..search }),
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn both_read_the_same_commands(line in command_line()) {
        let (ours, theirs) = both(line.as_bytes());
        let ours = ours.map_err(|e| TestCaseError::fail(format!("{line:?}: {e:?}")))?;
        let (tag, theirs) = theirs.ok_or_else(|| TestCaseError::fail(format!("imap-codec refuses {line:?}")))?;
        prop_assert_eq!(ours.tag.as_str(), tag);
        prop_assert_eq!(Some(comparable(ours.command)), theirs, "{}", line);
    }

    #[test]
    fn a_damaged_command_that_both_read_means_the_same(
        line in command_line(), at in any::<prop::sample::Index>(), octet in any_of(&["", " ", "(", ")", "\"", "*", "0", "1", "]", "{", "\\", "\r\n", ","]),
        keep in any::<bool>(),
    ) {
        let at = at.index(line.len());
        let damaged = format!("{}{octet}{}", &line[..at], &line[at + usize::from(!keep)..]);
        // Theirs takes a reference that is INBOX for the mailbox, and writes it in capitals.
        let lowered = damaged.to_ascii_lowercase();
        prop_assume!(!["list", "lsub"].iter().any(|command| lowered.starts_with(&format!("a.1 {command} inbox "))));
        let (ours, theirs) = both(damaged.as_bytes());
        match (ours, theirs) {
            (Ok(ours), Some((tag, Some(theirs)))) => {
                prop_assert_eq!(ours.tag.as_str(), tag);
                prop_assert_eq!(comparable(ours.command), theirs, "{}", damaged);
            }
            (Err(rejected), Some(_)) => {
                // Theirs knows no names, no limits, and nothing of what follows from them.
                let semantic = !matches!(rejected.error, ParseError::Trailing | ParseError::UnknownCommand | ParseError::Tag);
                prop_assert!(semantic, "{:?}: {:?}", damaged, rejected);
            }
            _ => {}
        }
    }

    #[test]
    fn garbage_never_panics(octets in proptest::collection::vec(any::<u8>(), 0..60), line in command_line(), at in any::<prop::sample::Index>()) {
        let _ = Tagged::parse(&octets);
        let _ = Append::parse(&octets);
        let mut mixed = line.into_bytes();
        let at = at.index(mixed.len());
        mixed.splice(at..at, octets);
        let _ = Tagged::parse(&mixed);
        let _ = Append::parse(&mixed);
    }
}
