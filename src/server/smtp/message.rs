//! A message on its way in, and the decision at its end (RFC 5321 §4.1.1.4, policy semantics §19).

use super::session::Session;
use super::state::Transaction;
use super::trace::{self, Origin, Trace, Transport};
use super::{Role, answer, refusal};
use crate::accept::Incoming;
use crate::mail::{Flags, MailboxId, Timestamp};
use crate::policy;
use crate::proto::message::header;
use crate::proto::smtp::{Defect, Reply};
use crate::server::Services;
use crate::store::{self, Target};

/// What has come of a message. Once it is clear that it will not be taken, its octets are only counted.
#[derive(Debug)]
pub(super) struct Receiving {
    state: Progress,
    /// Octets so far.
    size: u64,
    limit: u64,
}

#[derive(Debug)]
enum Progress {
    Storing(Box<Incoming>),
    TooBig,
    Defective,
    Failed(store::Error),
}

impl Receiving {
    /// Nothing yet.
    pub fn new(services: &Services) -> Self {
        let limit = services.limits.message_size;
        Self { state: Progress::Storing(Box::new(Incoming::new(&services.store))), size: 0, limit }
    }

    /// Takes the next octets of the content.
    pub async fn push(&mut self, octets: &[u8]) {
        self.count(octets.len());
        if self.size > self.limit {
            self.state = Progress::TooBig;
        }
        if let Progress::Storing(incoming) = &mut self.state
            && let Err(error) = incoming.push(octets).await
        {
            self.state = Progress::Failed(error);
        }
    }

    /// Counts octets that are not kept.
    pub fn count(&mut self, octets: usize) {
        self.size = self.size.saturating_add(u64::try_from(octets).unwrap_or(u64::MAX));
    }

    /// The content is not acceptable: nothing of it is kept.
    pub fn give_up(&mut self) {
        if let Progress::Storing(_) = self.state {
            self.state = Progress::Defective;
        }
    }

    /// Larger than a message may be.
    pub fn is_too_big(&self) -> bool {
        self.size > self.limit
    }

    /// So much larger that its end is not waited for, if `further` octets are to come.
    pub fn is_flood(&self, further: u64) -> bool {
        is_flood(self.size.saturating_add(further), self.limit)
    }

    /// Why it is lost already, before its end.
    pub fn failure(&self) -> Option<store::Error> {
        match self.state {
            Progress::Failed(error) => Some(error),
            Progress::Storing(_) | Progress::TooBig | Progress::Defective => None,
        }
    }
}

/// Reading on to the end is a courtesy that has limits.
pub(super) fn is_flood(octets: u64, limit: u64) -> bool {
    octets > limit.saturating_mul(2).saturating_add(FLOOD_MARGIN)
}

/// The end of data: the message is committed, or the reply says why not.
pub(super) async fn end_of_data(
    session: &Session,
    transaction: &Transaction,
    receiving: Receiving,
    defect: Option<Defect>,
) -> Reply {
    let reply = match decide_and_commit(session, transaction, receiving, defect).await {
        Ok(reply) => return reply,
        Err(reply) => reply,
    };
    session.log_refusal("DATA", &reply, &transaction.reverse_path, None);
    reply
}

async fn decide_and_commit(
    session: &Session,
    transaction: &Transaction,
    receiving: Receiving,
    defect: Option<Defect>,
) -> Result<Reply, Reply> {
    // Gather.
    let header = match &receiving.state {
        Progress::Storing(incoming) => incoming.header(),
        Progress::TooBig | Progress::Defective | Progress::Failed(_) => &[],
    };
    let facts = policy::message::Facts {
        defect,
        is_too_big: receiving.is_too_big(),
        received_fields: header::count(header, "Received"),
    };

    // Decide.
    let verdict = policy::message::decide(&facts);

    // Act.
    if let Some(reply) = refusal::verdict(verdict) {
        return Err(reply);
    }
    match receiving.state {
        Progress::Storing(incoming) => commit(session, transaction, *incoming).await.map_err(refusal::store),
        Progress::Failed(error) => Err(refusal::store(error)),
        // Refused above; were they not, there would still be nothing to deliver.
        Progress::TooBig | Progress::Defective => Err(refusal::store(store::Error::Unavailable)),
    }
}

/// Commit before reply: a 250 takes responsibility for the message (RFC 5321 §6.1).
async fn commit(session: &Session, transaction: &Transaction, incoming: Incoming) -> Result<Reply, store::Error> {
    let (id, size) = (incoming.id(), incoming.size());
    let now = session.services.clock.now();
    let prefix = trace_of(session, transaction, &incoming, now);
    let targets: Vec<Target> = transaction
        .accounts()
        .into_iter()
        .map(|account| Target { account, mailbox: MailboxId::INBOX, flags: Flags::default() })
        .collect();
    incoming.commit(&session.services.store, prefix, now, targets).await?;
    tracing::info!(
        %id,
        reverse_path = %transaction.reverse_path,
        recipients = transaction.recipients.len(),
        size,
        peer = %session.connection.peer(),
        login = transaction.greeted.login.as_ref().map(|l| tracing::field::display(&l.account.address)),
        "message accepted"
    );
    Ok(answer::accepted(id))
}

fn trace_of(session: &Session, transaction: &Transaction, incoming: &Incoming, now: Timestamp) -> Vec<u8> {
    let origin = match session.port.role {
        Role::Relay => Origin::Host(&transaction.greeted.client, session.connection.peer().ip()),
        Role::Submission => Origin::Submission { header: incoming.header() },
    };
    let recipient = match transaction.recipients.as_slice() {
        [only] => Some(&only.forward_path),
        _ => None,
    };
    trace::prefix(&Trace {
        reverse_path: &transaction.reverse_path,
        origin,
        hostname: &session.services.hostname,
        transport: Transport {
            is_extended: transaction.greeted.is_extended,
            is_utf8: transaction.smtputf8,
            is_encrypted: session.connection.tls().is_some(),
            is_authenticated: transaction.greeted.login.is_some(),
        },
        id: incoming.id(),
        recipient,
        at: now,
    })
}

/// Lets a small limit not turn a slightly larger message into a broken connection.
const FLOOD_MARGIN: u64 = 1 << 20;
