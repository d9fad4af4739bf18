//! Commands as values (RFC 3501 §6), and what each declares to the session loop.

use std::fmt;

use super::fetch::FetchItem;
use super::list::ListPattern;
use super::sasl::SaslResponse;
use super::search::Search;
use super::sequence_set::SequenceSet;
use crate::mail::{Flags, MailboxName, SpecialUse, Timestamp};

/// A command's tag: one or more ASTRING-CHARs without `+`, at most 1,000.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tag(Box<str>);

impl Tag {
    /// `None` if `octets` is no tag.
    pub fn parse(octets: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(octets).ok()?;
        let fits = !text.is_empty() && text.len() <= MAX_TAG && octets.iter().all(|b| super::cursor::is_tag_char(*b));
        fits.then(|| Self(text.into()))
    }

    /// The tag at the start of a command, if there is one.
    pub(super) fn first(octets: &[u8]) -> Option<Self> {
        Self::parse(octets.split(|b| *b == b' ').next().unwrap_or_default())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A command with its tag.
#[derive(Clone, PartialEq, Debug)]
pub struct Tagged {
    /// Goes back with the completion response.
    pub tag: Tag,
    /// What is asked.
    pub command: Command,
}

/// What the numbers of a command stand for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Numbering {
    /// Message sequence numbers.
    Sequence,
    /// Unique identifiers: the command came with `UID` before it (RFC 3501 §6.4.8).
    Uid,
}

/// A command. APPEND is not among them: it comes as [`super::Frame::Append`].
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    /// CAPABILITY
    Capability,
    /// NOOP
    Noop,
    /// LOGOUT
    Logout,
    /// STARTTLS
    StartTls,
    /// AUTHENTICATE, with the initial response of RFC 4959 if there is one.
    Authenticate {
        /// In upper case.
        mechanism: String,
        /// Decoded. A single `=` is the empty response. [`SaslResponse::Malformed`] and
        /// [`SaslResponse::Cancel`] are possible.
        initial_response: Option<SaslResponse>,
    },
    /// LOGIN
    Login {
        /// The user name, UTF-8.
        user: String,
        /// The password.
        password: Password,
    },
    /// SELECT
    Select(Select),
    /// EXAMINE
    Examine(Select),
    /// CREATE; one trailing delimiter has been taken off.
    Create {
        /// The new mailbox.
        mailbox: MailboxName,
        /// `USE (\Sent)` (RFC 6154 §3).
        special_use: Option<SpecialUse>,
    },
    /// DELETE
    Delete(MailboxName),
    /// RENAME
    Rename {
        /// The existing name.
        from: MailboxName,
        /// The new name.
        to: MailboxName,
    },
    /// SUBSCRIBE
    Subscribe(MailboxName),
    /// UNSUBSCRIBE
    Unsubscribe(MailboxName),
    /// LIST, extended or not.
    List(List),
    /// LSUB: reference and name are joined in the pattern.
    Lsub(ListPattern),
    /// STATUS
    Status {
        /// Of this mailbox.
        mailbox: MailboxName,
        /// Not empty, without duplicates.
        items: Vec<StatusItem>,
    },
    /// CHECK
    Check,
    /// CLOSE
    Close,
    /// UNSELECT (RFC 3691)
    Unselect,
    /// EXPUNGE, or UID EXPUNGE with the set (RFC 4315 §2.1).
    Expunge(Option<SequenceSet>),
    /// SEARCH or UID SEARCH
    Search(Search),
    /// FETCH or UID FETCH
    Fetch(Fetch),
    /// STORE or UID STORE
    Store(StoreFlags),
    /// COPY or UID COPY
    Copy {
        /// What `set` counts.
        numbering: Numbering,
        /// The messages.
        set: SequenceSet,
        /// The target.
        mailbox: MailboxName,
    },
    /// MOVE or UID MOVE (RFC 6851)
    Move {
        /// What `set` counts.
        numbering: Numbering,
        /// The messages.
        set: SequenceSet,
        /// The target.
        mailbox: MailboxName,
    },
    /// IDLE (RFC 2177); the session then reads a line and asks [`super::is_done`].
    Idle,
    /// NAMESPACE (RFC 2342)
    Namespace,
    /// ID (RFC 2971)
    Id(Id),
    /// ENABLE (RFC 5161): capability names in upper case.
    Enable(Vec<String>),
}

/// SELECT or EXAMINE.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Select {
    /// Which mailbox.
    pub mailbox: MailboxName,
    /// `(CONDSTORE)` (RFC 7162 §3.1.8).
    pub condstore: bool,
}

/// The part of APPEND before the message literal (RFC 3501 §6.3.11).
#[derive(Clone, PartialEq, Debug)]
pub struct Append {
    /// Where to.
    pub mailbox: MailboxName,
    /// The flags; empty if none were given.
    pub flags: Flags,
    /// INTERNALDATE; without it the time of arrival.
    pub internal_date: Option<Timestamp>,
}

/// LIST (RFC 3501 §6.3.8, RFC 5258).
#[derive(Clone, PartialEq, Debug)]
pub struct List {
    /// Which mailboxes to consider.
    pub select: ListSelect,
    /// Reference and name joined, one or more. A mailbox is listed once if any matches.
    pub patterns: Vec<ListPattern>,
    /// What to say about them.
    pub returns: ListReturn,
    /// `LIST reference ""` without any option: asks for the hierarchy delimiter (RFC 3501 §6.3.8).
    pub asks_delimiter: bool,
    /// An option or a list of patterns was given: the rules of RFC 5258 apply.
    pub extended: bool,
}

/// Selection options of LIST (RFC 5258 §3.1).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ListSelect {
    /// SUBSCRIBED: subscribed names, existing or not; implies `\Subscribed` in the answer.
    pub subscribed: bool,
    /// REMOTE: also remote mailboxes (there are none).
    pub remote: bool,
    /// RECURSIVEMATCH: also superiors of what matches; only together with `subscribed` or `special_use`.
    pub recursive_match: bool,
    /// SPECIAL-USE: only mailboxes with a special use (RFC 6154 §5.1).
    pub special_use: bool,
}

/// Return options of LIST (RFC 5258 §3.2, RFC 5819).
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ListReturn {
    /// SUBSCRIBED
    pub subscribed: bool,
    /// CHILDREN
    pub children: bool,
    /// SPECIAL-USE
    pub special_use: bool,
    /// STATUS with these items: a STATUS response after each LIST response of a selectable mailbox.
    pub status: Option<Vec<StatusItem>>,
}

/// What STATUS is asked for (RFC 3501 §6.3.10).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StatusItem {
    /// MESSAGES
    Messages,
    /// RECENT
    Recent,
    /// UIDNEXT
    UidNext,
    /// UIDVALIDITY
    UidValidity,
    /// UNSEEN
    Unseen,
    /// SIZE (RFC 8438)
    Size,
    /// HIGHESTMODSEQ (RFC 7162)
    HighestModSeq,
}

/// FETCH (RFC 3501 §6.4.5).
#[derive(Clone, PartialEq, Debug)]
pub struct Fetch {
    /// What `set` counts.
    pub numbering: Numbering,
    /// The messages.
    pub set: SequenceSet,
    /// In the order asked, macros expanded, without duplicates, not empty, at most 500. UID FETCH does not add
    /// [`FetchItem::Uid`] by itself: the server answers it always (RFC 3501 §6.4.8).
    pub items: Vec<FetchItem>,
    /// `(CHANGEDSINCE n)` (RFC 7162 §3.1.4.1); 0 is accepted.
    pub changed_since: Option<u64>,
}

/// STORE (RFC 3501 §6.4.6).
#[derive(Clone, PartialEq, Debug)]
pub struct StoreFlags {
    /// What `set` counts.
    pub numbering: Numbering,
    /// The messages.
    pub set: SequenceSet,
    /// `+FLAGS`, `-FLAGS` or `FLAGS`.
    pub change: StoreChange,
    /// `.SILENT`: no untagged FETCH for what this command does.
    pub silent: bool,
    /// The flags; `\Recent` and unknown system flags are left out. May be empty.
    pub flags: Flags,
    /// `(UNCHANGEDSINCE n)` (RFC 7162 §3.1.3).
    pub unchanged_since: Option<u64>,
}

/// What STORE does with its flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreChange {
    /// `FLAGS`
    Replace,
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
}

/// The client's parameters in ID (RFC 2971 §3.3): at most 30 pairs, values at most 1,024 octets; what goes beyond,
/// or does not fit the syntax, is left out.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Id(pub Vec<(String, Option<String>)>);

/// A password. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Vec<u8>);

impl Password {
    /// From the octets of an astring.
    pub fn new(octets: Vec<u8>) -> Self {
        Self(octets)
    }

    /// The octets.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// The states of a session in which commands come (RFC 3501 §3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Before LOGIN or AUTHENTICATE.
    NotAuthenticated,
    /// Logged in, no mailbox selected.
    Authenticated,
    /// A mailbox is selected.
    Selected,
}

impl Command {
    /// The command's name for log and completion text, with `UID ` where that was given.
    pub fn name(&self) -> &'static str {
        let by_uid = self.numbering() == Some(Numbering::Uid);
        let pick = |name, uid_name| if by_uid { uid_name } else { name };
        match self {
            Self::Capability => "CAPABILITY",
            Self::Noop => "NOOP",
            Self::Logout => "LOGOUT",
            Self::StartTls => "STARTTLS",
            Self::Authenticate { .. } => "AUTHENTICATE",
            Self::Login { .. } => "LOGIN",
            Self::Select(_) => "SELECT",
            Self::Examine(_) => "EXAMINE",
            Self::Create { .. } => "CREATE",
            Self::Delete(_) => "DELETE",
            Self::Rename { .. } => "RENAME",
            Self::Subscribe(_) => "SUBSCRIBE",
            Self::Unsubscribe(_) => "UNSUBSCRIBE",
            Self::List(_) => "LIST",
            Self::Lsub(_) => "LSUB",
            Self::Status { .. } => "STATUS",
            Self::Check => "CHECK",
            Self::Close => "CLOSE",
            Self::Unselect => "UNSELECT",
            Self::Expunge(_) => pick("EXPUNGE", "UID EXPUNGE"),
            Self::Search(_) => pick("SEARCH", "UID SEARCH"),
            Self::Fetch(_) => pick("FETCH", "UID FETCH"),
            Self::Store(_) => pick("STORE", "UID STORE"),
            Self::Copy { .. } => pick("COPY", "UID COPY"),
            Self::Move { .. } => pick("MOVE", "UID MOVE"),
            Self::Idle => "IDLE",
            Self::Namespace => "NAMESPACE",
            Self::Id(_) => "ID",
            Self::Enable(_) => "ENABLE",
        }
    }

    /// The order table: may this command be given in `state`? If not, the answer is BAD (RFC 3501 §3, §6).
    pub fn is_allowed_in(&self, state: State) -> bool {
        match self {
            // RFC 3501 §6.1, RFC 2971 §3.1: any state.
            Self::Capability | Self::Noop | Self::Logout | Self::Id(_) => true,
            // RFC 3501 §6.2
            Self::StartTls | Self::Authenticate { .. } | Self::Login { .. } => state == State::NotAuthenticated,
            // RFC 3501 §6.3, RFC 2177 §3, RFC 2342 §5. Deviation: ENABLE also with a mailbox selected, where
            // RFC 5161 §3.1 allows a client none; some do, and nothing breaks.
            Self::Select(_)
            | Self::Examine(_)
            | Self::Create { .. }
            | Self::Delete(_)
            | Self::Rename { .. }
            | Self::Subscribe(_)
            | Self::Unsubscribe(_)
            | Self::List(_)
            | Self::Lsub(_)
            | Self::Status { .. }
            | Self::Idle
            | Self::Namespace
            | Self::Enable(_) => state != State::NotAuthenticated,
            // RFC 3501 §6.4, RFC 3691 §2, RFC 4315 §2.1, RFC 6851 §3
            Self::Check
            | Self::Close
            | Self::Unselect
            | Self::Expunge(_)
            | Self::Search(_)
            | Self::Fetch(_)
            | Self::Store(_)
            | Self::Copy { .. }
            | Self::Move { .. } => state == State::Selected,
        }
    }

    /// What this command's message numbers are, if it has any (SEARCH: those of its answer).
    pub fn numbering(&self) -> Option<Numbering> {
        match self {
            Self::Fetch(Fetch { numbering, .. })
            | Self::Store(StoreFlags { numbering, .. })
            | Self::Search(Search { numbering, .. })
            | Self::Copy { numbering, .. }
            | Self::Move { numbering, .. } => Some(*numbering),
            Self::Expunge(Some(_)) => Some(Numbering::Uid),
            _ => None,
        }
    }

    /// False for FETCH, STORE and SEARCH without UID: no EXPUNGE while they run (RFC 3501 §7.4.1).
    pub fn may_report_expunges(&self) -> bool {
        !matches!(self, Self::Fetch(_) | Self::Store(_) | Self::Search(_)) || self.numbering() == Some(Numbering::Uid)
    }
}

const MAX_TAG: usize = 1000;
