//! How a command ends: every reason for NO, BAD and BYE with its response code (RFC 3501 §7.1, RFC 5530).
//!
//! The only place where store errors become replies.

use crate::mail::{Uid, UidValidity};
use crate::net::ReadError;
use crate::proto::imap::response::{self, Code, Condition};
use crate::proto::imap::{ParseError, Tag};
use crate::store;

/// A command that was carried out, with the response code of its OK.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Done {
    /// Nothing to add.
    Plain,
    /// `[READ-WRITE]`
    ReadWrite,
    /// `[READ-ONLY]`
    ReadOnly,
    /// `[CAPABILITY ...]` after logging in.
    Capability(String),
    /// `[APPENDUID ...]`
    Appended(UidValidity, Uid),
    /// `[COPYUID ...]`, not empty.
    Copied(UidValidity, Vec<(Uid, Uid)>),
}

/// Why a command was not carried out, or not to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The store says so.
    Store(store::Error),
    /// The command does not belong into this state (RFC 3501 §3).
    WrongState,
    /// It does not fit the grammar.
    Syntax(ParseError),
    /// Too many commands of that kind, one after the other.
    TooManyErrors,
    /// A message sequence number without a message (RFC 3501 §9 `seq-number`).
    NoSuchNumber,
    /// Some of the messages are gone, which the client has not been told yet (RFC 2180 §4.1.2, RFC 5530).
    ExpungeIssued,
    /// The mailbox is open for reading only.
    ReadOnly,
    /// The target mailbox does not exist; CREATE would help (RFC 3501 §7.1).
    TryCreate,
    /// INBOX always exists (RFC 3501 §6.3.4).
    KeepsInbox,
    /// A mailbox cannot be renamed to a name below its own.
    BelowItself,
    /// The message is larger than the limit.
    TooBig,
    /// A message of no octets.
    EmptyMessage,
    /// A NUL octet in a message (RFC 3501 §4.3: `literal` is CHAR8).
    Nul,
    /// Not an extension that we offer.
    NotOffered,
    /// TLS first (LOGINDISABLED).
    PrivacyRequired,
    /// TLS is not to be had, or in use already.
    NoStartTls,
    /// No such SASL mechanism here.
    NoMechanism,
    /// The client cancelled the exchange or its answer is no base64.
    SaslCancelled,
    /// Name or password is wrong.
    BadCredentials,
    /// The account is frozen (policy semantics §17).
    AccountDisabled,
    /// The server has stopped the account's sending, and ends the sessions of before (policy semantics §18).
    SendingStopped,
    /// Too many failed logins of this account lately (policy semantics §17).
    LoginLocked,
    /// Too many attempts in this session.
    TooManyLogins,
    /// It took too long to log in.
    LoginTimeout,
    /// Nothing came for too long.
    Autologout,
    /// The server stops.
    Stopping,
    /// Another session deleted the selected mailbox (RFC 2180 §3.3).
    MailboxDeleted,
    /// Octets behind STARTTLS came before the handshake (RFC 3501 §6.2.1).
    PlaintextAfterStartTls,
    /// Anything but DONE in IDLE.
    ExpectedDone,
}

/// What ends a handler before its command is done.
#[derive(Debug)]
pub enum Failure {
    /// The command is answered with this, and the session goes on.
    Refused(Reason),
    /// The session ends with BYE.
    Bye(Reason),
    /// The connection is of no use any more.
    Lost,
}

/// What a handler gives.
pub type Outcome = Result<Done, Failure>;

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason)
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Self::Refused(Reason::Store(error))
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TimedOut => Self::Bye(Reason::Autologout),
            ReadError::Closed | ReadError::LineTooLong => Self::Lost,
        }
    }
}

/// Condition, response code and text of a refusal.
fn refusal(reason: Reason) -> (Condition, Option<Code<'static>>, &'static str) {
    use Condition::{Bad, No};
    match reason {
        Reason::Store(store::Error::NotFound) => (No, Some(Code::NonExistent), "No such mailbox"),
        Reason::Store(store::Error::Exists) => (No, Some(Code::AlreadyExists), "Mailbox exists"),
        Reason::Store(store::Error::Limit) => (No, Some(Code::Limit), "A limit of this server is reached"),
        Reason::Store(store::Error::OverQuota) => (No, Some(Code::OverQuota), "Mailbox is full"),
        // Nothing that IMAP does is held.
        Reason::Store(store::Error::HoldFull) => (No, Some(Code::Limit), "A limit of this server is reached"),
        Reason::Store(store::Error::Conflict) => (No, Some(Code::InUse), "Changed meanwhile, try again"),
        Reason::Store(store::Error::Unavailable) => (No, Some(Code::Unavailable), "Temporary failure, try later"),
        Reason::Store(store::Error::Corrupt) => (No, Some(Code::Corruption), "Stored data is damaged"),
        Reason::WrongState => (Bad, Some(Code::ClientBug), "Command not allowed in this state"),
        Reason::Syntax(_) => (Bad, None, "Syntax error"),
        Reason::TooManyErrors => (Bad, None, "Too many invalid commands"),
        Reason::NoSuchNumber => (Bad, None, "No message with such a number"),
        Reason::ExpungeIssued => (No, Some(Code::ExpungeIssued), "Some of the messages no longer exist"),
        Reason::ReadOnly => (No, Some(Code::ReadOnly), "Mailbox is open for reading only"),
        Reason::TryCreate => (No, Some(Code::TryCreate), "No such mailbox"),
        Reason::KeepsInbox => (No, Some(Code::Cannot), "INBOX always exists"),
        Reason::BelowItself => (No, Some(Code::Cannot), "New name lies below the old one"),
        Reason::TooBig => (No, Some(Code::TooBig), "Message is too large"),
        Reason::EmptyMessage => (No, Some(Code::Cannot), "Message is empty"),
        Reason::Nul => (No, Some(Code::Cannot), "Message holds a NUL octet"),
        Reason::NotOffered => (Bad, None, "Extension not offered"),
        Reason::PrivacyRequired => (No, Some(Code::PrivacyRequired), "Use TLS to log in"),
        Reason::NoStartTls => (Bad, None, "STARTTLS not available"),
        Reason::NoMechanism => (No, None, "Authentication mechanism not available"),
        Reason::SaslCancelled => (Bad, None, "Authentication cancelled"),
        Reason::BadCredentials => (No, Some(Code::AuthenticationFailed), "Name or password is wrong"),
        Reason::AccountDisabled => (No, Some(Code::ContactAdmin), "Account is disabled"),
        Reason::SendingStopped => {
            (No, Some(Code::ContactAdmin), "The account may be abused: sending was stopped, log in again")
        }
        Reason::LoginLocked => (No, Some(Code::Limit), "Too many failed logins, try again later"),
        Reason::TooManyLogins => (No, None, "Too many failed logins"),
        Reason::LoginTimeout => (No, None, "Took too long to log in"),
        Reason::Autologout => (No, None, "Autologout: idle for too long"),
        Reason::Stopping => (No, Some(Code::Unavailable), "Server is shutting down"),
        Reason::MailboxDeleted => (No, None, "Selected mailbox was deleted"),
        Reason::PlaintextAfterStartTls => (Bad, None, "Unencrypted data after STARTTLS"),
        Reason::ExpectedDone => (Bad, None, "Expected DONE"),
    }
}

/// Writes the tagged refusal; true if it is BAD.
pub fn refused(out: &mut Vec<u8>, tag: Option<&Tag>, reason: Reason) -> bool {
    if let Reason::Syntax(error) = reason {
        let (condition, code) = error.answer();
        response::status(out, tag, condition, code.as_ref(), &capitalized(&error.to_string()));
        return condition == Condition::Bad;
    }
    let (condition, code, text) = refusal(reason);
    response::status(out, tag, condition, code.as_ref(), text);
    condition == Condition::Bad
}

/// Writes `* BYE`.
pub fn bye(out: &mut Vec<u8>, reason: Reason) {
    let (_, code, text) = refusal(reason);
    response::status(out, None, Condition::Bye, code.as_ref(), text);
}

/// Writes the tagged OK of the command called `name`.
pub fn done(out: &mut Vec<u8>, tag: &Tag, name: &str, done: &Done) {
    let code = match done {
        Done::Plain => None,
        Done::ReadWrite => Some(Code::ReadWrite),
        Done::ReadOnly => Some(Code::ReadOnly),
        Done::Capability(list) => Some(Code::Capability(list)),
        Done::Appended(validity, uid) => Some(Code::AppendUid(*validity, *uid)),
        Done::Copied(validity, pairs) => Some(Code::CopyUid(*validity, pairs)),
    };
    response::status(out, Some(tag), Condition::Ok, code.as_ref(), &format!("{name} completed"));
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(chars).collect()
}
