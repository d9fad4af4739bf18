//! One parcel on its way over one session after the other.

use tokio::time::Instant;

use super::content;
use super::courier::Timeouts;
use super::outcome::{End, Outcome, Scope};
use super::outgoing::{Outgoing, OutgoingRecipient};
use super::parcel::Parcel;
use super::session::Session;
use crate::accept::Desk;
use crate::mail::TlsWish;
use crate::proto::message::header;
use crate::store::{QueueItem, QueueKind};

/// A parcel on its way, and what came of each recipient so far.
pub(super) struct Attempt<'a> {
    desk: &'a Desk,
    parcel: &'a Parcel,
    message: crate::store::Message,
    /// All of it, if it is small.
    whole: Option<Vec<u8>>,
    recipients: Vec<OutgoingRecipient>,
    outcomes: Vec<Option<Outcome>>,
    /// When no host is waited for any more.
    until: Instant,
}

impl<'a> Attempt<'a> {
    /// Reads what it takes; the error is what becomes of all items.
    pub async fn new(desk: &'a Desk, parcel: &'a Parcel, timeouts: &Timeouts) -> Result<Self, Outcome> {
        let lost = |text: &str| Outcome::ours(End::Deferred, Scope::Message, (3, 0), text);
        let blob = parcel.items.first().map(|item| item.blob).ok_or_else(|| lost("there is nothing to send"))?;
        let read = desk.store.read(move |reader| {
            let mut message = reader.message(blob)?;
            // RFC 5321 §4.4: whoever delivers writes Return-Path, and nobody sends it on.
            let fields = header::fields(&message.prefix).filter(|field| !field.is(b"Return-Path"));
            message.prefix = fields.flat_map(|field| field.raw.iter().copied()).collect();
            let whole = content::whole(reader, &message)?;
            Ok((message, whole))
        });
        let (message, whole) = read.await.map_err(|error| {
            tracing::error!(%blob, %error, "a queued message cannot be read");
            lost("the message cannot be read from the store")
        })?;
        let recipient = |item: &QueueItem| match &item.kind {
            QueueKind::Remote(remote) => Some(OutgoingRecipient {
                address: remote.recipient.clone(),
                notify: remote.notify,
                original: remote.original.clone(),
            }),
            QueueKind::Full(_) => None,
        };
        let recipients = parcel.items.iter().filter_map(recipient).collect();
        let until = Instant::now() + timeouts.attempt_of(message.size());
        Ok(Self { desk, parcel, message, whole, recipients, outcomes: vec![None; parcel.items.len()], until })
    }

    /// Sends to those for whom it is not decided.
    pub async fn over(&mut self, mut session: Session) -> Session {
        let left: Vec<usize> = (0..self.outcomes.len()).filter(|at| self.is_open(*at)).collect();
        let recipients: Vec<_> = left.iter().filter_map(|at| self.recipients.get(*at).cloned()).collect();
        let Some(QueueItem { kind: QueueKind::Remote(remote), reverse_path, .. }) = self.parcel.items.first() else {
            return session;
        };
        let outgoing = Outgoing {
            reverse_path,
            envelope_id: remote.envelope_id.as_deref(),
            ret: remote.ret,
            requires_tls: remote.tls == TlsWish::Required,
            recipients: &recipients,
            message: &self.message,
            whole: self.whole.as_deref(),
        };
        let got = session.send(&self.desk.store, &outgoing, self.until).await;
        for (at, outcome) in left.into_iter().zip(got) {
            if let Some(place) = self.outcomes.get_mut(at) {
                *place = Some(outcome);
            }
        }
        session
    }

    /// Another host may still take it.
    fn is_open(&self, at: usize) -> bool {
        self.outcomes.get(at).is_some_and(|outcome| {
            outcome.as_ref().is_none_or(|outcome| outcome.end != End::Relayed && outcome.scope == Scope::Host)
        })
    }

    /// Nobody is left for another host.
    pub fn is_done(&self) -> bool {
        (0..self.outcomes.len()).all(|at| !self.is_open(at))
    }

    /// No further host: those that are left come to `outcome`, unless a host has told more.
    pub fn end(mut self, outcome: Outcome) -> Vec<Outcome> {
        for at in 0..self.outcomes.len() {
            if self.is_open(at)
                && let Some(place) = self.outcomes.get_mut(at)
            {
                *place = Some(match place.take() {
                    Some(before) => before.or_more_telling(outcome.clone()),
                    None => outcome.clone(),
                });
            }
        }
        self.outcomes()
    }

    /// When no host is waited for any more.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// It has taken as long as it may.
    pub fn is_late(&self) -> bool {
        Instant::now() >= self.until
    }

    /// One for each item.
    pub fn outcomes(self) -> Vec<Outcome> {
        let none = || Outcome::ours(End::Deferred, Scope::Host, (4, 2), "no host took the message");
        self.outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(none)).collect()
    }
}
