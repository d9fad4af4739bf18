//! What waits in the queue.

use crate::mail::{
    AccountId, Address, BlobId, EnhancedCode, GroupId, Notify, QueueId, Ret, ReversePath, Timestamp, TlsWish,
};
use crate::store::Target;

/// A copy for another host, to be queued with a delivery.
#[derive(Clone, Debug)]
pub struct NewQueueItem {
    /// Which of the delivery's forms.
    pub form: usize,
    /// MAIL FROM of this copy.
    pub reverse_path: ReversePath,
    /// RCPT TO, and what goes with it.
    pub remote: Remote,
}

/// A recipient on another host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// RCPT TO.
    pub recipient: Address,
    /// Whom the message is from, for those who ask for all of a sender's.
    pub sender: QueueSender,
    /// Who is told if it cannot be delivered.
    pub returns: Returns,
    /// It is one of many copies, which let others go first.
    pub is_bulk: bool,
    /// NOTIFY (RFC 3461 §4.1).
    pub notify: Option<Notify>,
    /// ORCPT (RFC 3461 §4.2), decoded.
    pub original: Option<String>,
    /// ENVID (RFC 3461 §4.4), decoded.
    pub envelope_id: Option<String>,
    /// RET (RFC 3461 §4.3).
    pub ret: Option<Ret>,
    /// What it asks of connections (RFC 8689).
    pub tls: TlsWish,
}

impl Remote {
    /// A recipient to whom nothing special applies.
    pub fn new(recipient: Address, sender: QueueSender) -> Self {
        Self {
            recipient,
            sender,
            returns: Returns::Sender,
            is_bulk: false,
            notify: None,
            original: None,
            envelope_id: None,
            ret: None,
            tls: TlsWish::default(),
        }
    }
}

/// Who is told if a copy cannot be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Returns {
    /// Its reverse-path.
    Sender,
    /// It is a forward of which no copy is kept: who sent the message (policy semantics §11.3).
    Original(Address),
    /// It is a forward: the account that forwards.
    Forwarder {
        /// The account.
        account: AccountId,
        /// It has a copy, and hears of failures once a day.
        keeps: bool,
    },
    /// It is for a member of a group: the managers of that (policy semantics §6.5).
    Managers(GroupId),
}

/// Whom a queued message is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueSender {
    /// The account that has submitted it.
    Account(AccountId),
    /// Somebody elsewhere: the reverse-path of the message as it came, in lower case.
    Address(String),
    /// Nobody: this server has made it, or it came from the null reverse-path.
    Nobody,
}

/// Why an item waits, and for whom it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueKind {
    /// For the host of this recipient.
    Remote(Remote),
    /// For an account that had no room.
    Full(Target),
}

impl QueueKind {
    /// The host that the item is for; a local account's has none.
    pub fn host(&self) -> Option<String> {
        match self {
            QueueKind::Remote(remote) => Some(remote.recipient.host().to_string()),
            QueueKind::Full(_) => None,
        }
    }
}

/// An item of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueItem {
    /// Its id.
    pub id: QueueId,
    /// The form of the message that it delivers.
    pub blob: BlobId,
    /// The message as accepted.
    pub transaction: BlobId,
    /// Why it waits, and for whom.
    pub kind: QueueKind,
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// When it was queued.
    pub created: Timestamp,
    /// When it is tried next.
    pub due: Timestamp,
    /// How often it has been tried.
    pub attempts: u32,
    /// What came of the last attempt.
    pub last: Option<LastAttempt>,
    /// Who has stopped it.
    pub held: Option<HeldBy>,
    /// The sender has been told that it takes longer.
    pub is_announced: bool,
}

impl QueueItem {
    /// Among which of its destination it waits.
    pub fn lane(&self) -> Lane {
        match (&self.held, &self.kind) {
            (Some(_), _) => Lane::Held,
            (None, QueueKind::Remote(remote)) if remote.is_bulk => Lane::Bulk,
            (None, _) => Lane::Ordinary,
        }
    }
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastAttempt {
    /// When.
    pub at: Timestamp,
    /// RFC 3463.
    pub status: EnhancedCode,
    /// The reply as it came, or what stopped us.
    pub text: String,
    /// `text` is a reply of the host.
    pub is_reply: bool,
    /// The host that was spoken to.
    pub host: Option<String>,
    /// How the session was secured.
    pub tls: Option<String>,
}

/// Who has stopped an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBy {
    /// An administrator.
    Administrator,
    /// The server, because the account that sent it behaves as if it were abused.
    Abuse,
}

/// The items of a destination wait in lanes, each in order of when they are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Lane {
    /// Mail to few, and what local accounts have no room for.
    Ordinary = 0,
    /// One of many copies.
    Bulk = 1,
    /// Not tried until released.
    Held = 2,
}

impl Lane {
    /// Inverse of `as u8`.
    pub fn from_octet(octet: u8) -> Option<Self> {
        [Lane::Ordinary, Lane::Bulk, Lane::Held].into_iter().find(|lane| *lane as u8 == octet)
    }
}
