//! The outbox: what subscribers have still to be told of. An event is a reference to the row of a trace that tells of it,
//! written by the same commit; nothing of a message is stored twice. Each subscriber has rows of its own, under ids that
//! sort by time.
//!
//! Rows are for whoever subscribes when they are written. An id is drawn shortly before its commit, so that for a moment
//! one may appear that is older than what a reader has seen.

use std::sync::OnceLock;

use tokio::sync::watch;

use super::engine::{Durability, Keyspace, Write};
use super::record::TraceEntry;
use super::trace::TracePlace;
use super::{Error, Origin, Store, TraceDelivery, key, record};
use crate::mail::{AccountId, BlobId, EventId, EventKind, EventKinds, Timestamp};

/// Who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriberId([u8; 8]);

impl SubscriberId {
    /// Of this name: the beginning of its SHA-256.
    pub fn of(name: &str) -> Self {
        use sha2::{Digest, Sha256};
        let mut octets = [0; 8];
        octets.iter_mut().zip(Sha256::digest(name.as_bytes())).for_each(|(place, octet)| *place = octet);
        Self(octets)
    }

    /// From its stored octets.
    pub const fn from_octets(octets: [u8; 8]) -> Self {
        Self(octets)
    }

    /// As it is stored.
    pub const fn octets(&self) -> &[u8; 8] {
        &self.0
    }
}

/// An event that a subscriber has still to be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its id; the time in it is when it happened.
    pub id: EventId,
    /// What has happened.
    pub kind: EventKind,
    /// To which message.
    pub transaction: BlobId,
    /// What tells of it.
    pub source: OutboxSource,
}

/// What tells of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutboxSource {
    /// The trace of the message.
    Message,
    /// A later event in it.
    Event(BlobId),
    /// The delivery to this account, which had no room at first.
    Delivery(AccountId),
}

/// What the trace says of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEvent {
    /// The record of the message.
    pub message: Vec<u8>,
    /// The record of the later event.
    pub event: Option<Vec<u8>>,
    /// What this commit has delivered, monitors' copies apart; at most 1,000.
    pub deliveries: Vec<TraceDelivery>,
    /// How many there are.
    pub total: usize,
}

/// How much a subscriber has still to be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxCount {
    /// Events.
    pub waiting: usize,
    /// When the oldest has happened.
    pub oldest: Option<Timestamp>,
}

/// Who is told of what, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    known: OnceLock<Vec<(SubscriberId, EventKinds)>>,
    news: watch::Sender<()>,
}

impl Subscribers {
    fn known(&self) -> &[(SubscriberId, EventKinds)] {
        self.known.get().map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether somebody is to be woken once these are committed.
    pub fn concern(&self, writes: &[Write]) -> bool {
        !self.known().is_empty() && writes.iter().any(|write| key::is_outbox(&write.key))
    }

    /// Wakes who waits.
    pub fn tell(&self) {
        self.news.send_replace(());
    }
}

impl Store {
    /// Says who is told of what from now on. Only the first call counts. What waits for others is dropped; gives how
    /// much that was.
    pub async fn subscribe_to_events(&self, subscribers: Vec<(SubscriberId, EventKinds)>) -> Result<usize, Error> {
        let _ = self.inner.subscribers.known.set(subscribers);
        let mut dropped = 0usize;
        loop {
            let known: Vec<SubscriberId> = self.inner.subscribers.known().iter().map(|(id, _)| *id).collect();
            let gone = self.read(move |reader| {
                let mut gone = Vec::new();
                let (from, to) = key::outboxes_range();
                reader.snapshot.range(Keyspace::Task, &from, &to, &mut |octets, _| {
                    let is_known = key::parse_outbox(octets).is_some_and(|(id, _)| known.contains(&id));
                    gone.extend((!is_known).then(|| Write::delete(Keyspace::Task, octets.to_vec())));
                    gone.len() < BATCH
                })?;
                Ok(gone)
            });
            let gone = gone.await?;
            if gone.is_empty() {
                return Ok(dropped);
            }
            dropped = dropped.saturating_add(gone.len());
            self.transact(vec![], gone, Durability::Buffered, |_| Ok((vec![], ()))).await?;
        }
    }

    /// Tells of commits that leave events.
    pub fn outbox_news(&self) -> watch::Receiver<()> {
        self.inner.subscribers.news.subscribe()
    }

    /// A subscriber's events in order of their ids, from the one after `after`.
    pub async fn outbox(
        &self,
        subscriber: SubscriberId,
        after: Option<EventId>,
        limit: usize,
    ) -> Result<Vec<OutboxRow>, Error> {
        self.read(move |reader| {
            let (mut rows, mut end) = (Vec::new(), Ok(()));
            let (from, to) = key::outbox_range(subscriber, after);
            reader.snapshot.range(Keyspace::Task, &from, &to, &mut |octets, value| {
                let row = key::parse_outbox(octets).ok_or(Error::Corrupt);
                match row.and_then(|(_, id)| record::decode_outbox(id, value)) {
                    Ok(row) => rows.push(row),
                    Err(error) => end = Err(error),
                }
                end.is_ok() && rows.len() < limit
            })?;
            end.map(|()| rows)
        })
        .await
    }

    /// What the trace says of an event; `None` if it is so old that the trace is gone.
    pub async fn outbox_event(&self, row: OutboxRow) -> Result<Option<OutboxEvent>, Error> {
        self.read(move |reader| {
            let entry = |place: TracePlace| {
                let (keyspace, key) = place.key();
                let value = reader.snapshot.get(keyspace, &key)?;
                value.map(|value| record::decode_trace(&value)).transpose()
            };
            let Some(TraceEntry { record: message, mut ordinary, .. }) = entry(TracePlace::first(row.transaction))?
            else {
                return Ok(None);
            };
            let event = match row.source {
                OutboxSource::Message => None,
                OutboxSource::Event(id) => {
                    let Some(later) = entry(TracePlace::event(row.transaction, id))? else { return Ok(None) };
                    ordinary = later.ordinary;
                    Some(later.record)
                }
                OutboxSource::Delivery(account) => {
                    ordinary = vec![account];
                    None
                }
            };
            let mut deliveries = Vec::new();
            for account in ordinary.iter().copied().take(MAX_DELIVERIES) {
                let row = reader.delivery(account, row.transaction, Origin::Ordinary)?;
                deliveries.extend(row.map(|row| TraceDelivery { account, origin: Origin::Ordinary, row }));
            }
            Ok(Some(OutboxEvent { message, event, deliveries, total: ordinary.len() }))
        })
        .await
    }

    /// Takes events out. Not durable: after a loss of power some may be there again.
    pub async fn outbox_done(&self, subscriber: SubscriberId, events: Vec<EventId>) -> Result<(), Error> {
        let gone = |event| Write { key: key::outbox(subscriber, event), value: None };
        let writes = events.into_iter().map(gone).collect();
        self.transact(vec![], writes, Durability::Buffered, |_| Ok((vec![], ()))).await
    }

    /// How much a subscriber has still to be told. Reads all of it.
    pub async fn outbox_count(&self, subscriber: SubscriberId) -> Result<OutboxCount, Error> {
        self.read(move |reader| {
            let mut count = OutboxCount::default();
            let (from, to) = key::outbox_range(subscriber, None);
            reader.snapshot.range(Keyspace::Task, &from, &to, &mut |octets, _| {
                let at = || key::parse_outbox(octets).map(|(_, id)| id.timestamp());
                count.oldest = count.oldest.or_else(at);
                count.waiting = count.waiting.saturating_add(1);
                true
            })?;
            Ok(count)
        })
        .await
    }

    /// The rows for all who want to be told of these events.
    pub(super) fn outbox_writes(&self, transaction: BlobId, source: OutboxSource, kinds: EventKinds) -> Vec<Write> {
        let now = self.inner.clock.now();
        let known = self.inner.subscribers.known();
        let wanted = known.iter().fold(EventKinds::NONE, |all, (_, wanted)| all.or(*wanted)).both(kinds);
        let mut writes = Vec::new();
        for kind in wanted.iter() {
            let id = self.inner.blob_ids.next_event(now);
            let row = OutboxRow { id, kind, transaction, source };
            let value = record::encode_outbox(&row);
            let told = known.iter().filter(|(_, wanted)| wanted.has(kind));
            writes.extend(
                told.map(|(subscriber, _)| Write { key: key::outbox(*subscriber, id), value: Some(value.clone()) }),
            );
        }
        writes
    }
}

const MAX_DELIVERIES: usize = 1_000;
/// Rows dropped in one commit.
const BATCH: usize = 2_000;
