//! The states of a session, what is true in each, and which command may come in which (RFC 5321 §4.1.4).

use std::sync::Arc;

use crate::directory::Directory;
use crate::login::Login;
use crate::mail::srs::Forwarder;
use crate::mail::{Address, ForwardPath, Ret};
use crate::policy::gateway::Client;
use crate::policy::recipient::Standing;
use crate::policy::sender::Sender;
use crate::proto::authres::SpfResult;
use crate::proto::smtp::{ChunkChecker, Command, Notify};
use crate::routing::Addressed;

use crate::server::rates::Reserved;

use super::message::Receiving;
use super::question::Answer;

/// Where a session stands.
#[derive(Debug)]
pub(super) enum State {
    /// Nothing has been said.
    Connected,
    /// After EHLO or HELO.
    Greeted(Greeted),
    /// After MAIL.
    InTransaction(Box<Transaction>),
    /// After the first BDAT.
    InChunks(Box<Transaction>, Chunks),
}

/// The client has introduced itself.
#[derive(Clone, Debug)]
pub(super) struct Greeted {
    /// The name it gave.
    pub client: Arc<str>,
    /// By EHLO: it speaks ESMTP.
    pub is_extended: bool,
    /// Who it has proved to be.
    pub login: Option<Login>,
}

/// A mail transaction: one envelope under one directory.
#[derive(Debug)]
pub(super) struct Transaction {
    /// What it goes back to.
    pub greeted: Greeted,
    /// As it was at MAIL (policy semantics §19).
    pub directory: Arc<Directory>,
    /// For whom the peer speaks.
    pub client: Client,
    /// Who sends, as far as it is known.
    pub sender: Sender,
    /// What SPF says of the reverse-path; asked at the first RCPT, or at the end of data of a client that is not known
    /// before.
    pub spf: Option<SpfResult>,
    /// MAIL said SMTPUTF8.
    pub smtputf8: bool,
    /// SIZE=, in octets.
    pub declared_size: Option<u64>,
    /// ENVID= (RFC 3461 §4.4), decoded.
    pub envelope_id: Option<Box<str>>,
    /// RET.
    pub ret: Option<Ret>,
    /// REQUIRETLS.
    pub requires_tls: bool,
    /// RCPT TO, as accepted.
    pub recipients: Vec<Recipient>,
    /// What they count for the account that sends.
    pub reserved: Option<Reserved>,
    /// A hook wants it thrown away.
    pub is_discarded: bool,
    /// RCPT named a one-time address: then the message is an answer, and there are no recipients.
    pub answer: Option<Answer>,
    /// RCPT named the reverse-path of a forward, whose bounces are for who forwards: then there are no recipients either.
    pub bounce_for: Option<(Forwarder, Address)>,
}

impl Transaction {
    /// Some RCPT has been accepted.
    pub fn is_addressed(&self) -> bool {
        !self.recipients.is_empty() || self.answer.is_some() || self.bounce_for.is_some()
    }
}

/// One accepted RCPT.
#[derive(Debug)]
pub(super) struct Recipient {
    /// As given.
    pub forward_path: ForwardPath,
    /// Where it leads.
    pub addressed: Addressed,
    /// What its acceptance depends on.
    pub standing: Standing,
    /// NOTIFY (RFC 3461 §4.1).
    pub notify: Option<Notify>,
    /// ORCPT (RFC 3461 §4.2), decoded.
    pub original: Option<String>,
}

/// A message that arrives in chunks.
#[derive(Debug)]
pub(super) struct Chunks {
    /// What has come so far.
    pub receiving: Receiving,
    /// What is wrong with it.
    pub checker: ChunkChecker,
}

impl State {
    /// What the client has said of itself, in whatever state.
    pub fn greeted(&self) -> Option<&Greeted> {
        match self {
            State::Connected => None,
            State::Greeted(greeted) => Some(greeted),
            State::InTransaction(transaction) | State::InChunks(transaction, _) => Some(&transaction.greeted),
        }
    }

    /// MAIL has been accepted.
    pub fn has_transaction(&self) -> bool {
        matches!(self, State::InTransaction(_) | State::InChunks(..))
    }

    /// The state without its transaction.
    pub fn reset(self) -> State {
        match self {
            State::Connected | State::Greeted(_) => self,
            State::InTransaction(transaction) | State::InChunks(transaction, _) => State::Greeted(transaction.greeted),
        }
    }
}

/// Why a command may not come now, or not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OrderError {
    /// Before EHLO or HELO.
    HelloFirst,
    /// Outside a transaction.
    MailFirst,
    /// DATA or BDAT while no RCPT has been accepted.
    RcptFirst,
    /// Within a transaction.
    InTransaction,
    /// A message has been begun with BDAT (RFC 3030 §2).
    InChunks,
    /// STARTTLS within TLS.
    TlsActive,
    /// STARTTLS where it is not offered.
    TlsNotOffered,
    /// AUTH after AUTH (RFC 4954 §4).
    Authenticated,
    /// AUTH where nobody logs in.
    AuthNotOffered,
    /// AUTH before STARTTLS.
    AuthNeedsTls,
    /// A mechanism that is not offered.
    UnknownMechanism,
    /// EXPN reveals nothing (policy semantics §4).
    Expansion,
    /// Longer than a command line may be.
    LineTooLong,
}

/// Why `command` may not come in `state`, which has no arm for it in the table of [`super::session`].
pub(super) fn out_of_order(command: &Command, state: &State) -> OrderError {
    match (command, state) {
        (_, State::Connected) => OrderError::HelloFirst,
        (_, State::Greeted(_)) => OrderError::MailFirst,
        (_, State::InTransaction(_)) => OrderError::InTransaction,
        (Command::StartTls | Command::Auth { .. }, State::InChunks(..)) => OrderError::InTransaction,
        (_, State::InChunks(..)) => OrderError::InChunks,
    }
}
