//! Messages that are still to be made of another: notices, reports, automatic replies. The commit that makes them due
//! writes one row for each, which holds a reference on the form that it needs; the commit that stores the message takes
//! the row away, and the reference with it. So each is made exactly once, whatever ends the process in between.

use super::engine::{Durability, Keyspace, Write};
use super::references::References;
use super::trace::TracePlace;
use super::{Error, StateKey, Store, TraceWrite, key, record};
use crate::mail::{BlobId, HoldId, Timestamp};

/// Which row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FollowUpKey {
    /// The message that it follows.
    pub transaction: BlobId,
    /// A new id.
    pub id: BlobId,
}

/// A message to be made, for the commit that makes it due.
#[derive(Clone, Debug)]
pub struct NewFollowUp {
    /// Which of the delivery's forms it needs.
    pub form: usize,
    /// Which of the delivery's holds it is about.
    pub hold: Option<usize>,
    /// The caller's: what to make, and of which facts. At most 1 MiB.
    pub data: Vec<u8>,
}

/// A message to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowUp {
    /// Which.
    pub key: FollowUpKey,
    /// The form of the message that it follows.
    pub blob: BlobId,
    /// The held message that it is about.
    pub hold: Option<HoldId>,
    /// Since when it is due.
    pub created: Timestamp,
    /// The caller's.
    pub data: Vec<u8>,
}

/// That a delivery is what a follow-up asks for.
#[derive(Clone, Debug)]
pub struct Fulfilment {
    /// The row; it goes with the commit. Without it all has been done before: [`Error::NotFound`].
    pub follow_up: FollowUp,
    /// Its targets are recorded as deliveries of the message that it follows, under the delivery keys of that one. If
    /// one of them has a key already, nothing is stored: [`Error::Exists`].
    pub is_copy: bool,
    /// State that must be as it was read: [`Error::Conflict`] otherwise.
    pub unchanged: Vec<(StateKey, Option<Vec<u8>>)>,
}

impl Store {
    /// The rows that wait, oldest message first, from the one after `after`. One that cannot be read is passed over:
    /// `check` names it.
    pub async fn follow_ups(&self, after: Option<FollowUpKey>, limit: usize) -> Result<Vec<FollowUp>, Error> {
        self.read(move |reader| {
            let mut found = Vec::new();
            let (from, to) = key::follow_up_range(after);
            reader.snapshot.range(Keyspace::Task, &from, &to, &mut |octets, value| {
                match key::parse_follow_up(octets).map(|key| record::decode_follow_up(key, value)) {
                    Some(Ok(row)) => found.push(row),
                    Some(Err(_)) | None => tracing::error!(key = ?octets, "a message to be made is damaged"),
                }
                found.len() < limit
            })?;
            Ok(found)
        })
        .await
    }

    /// True if the row waits.
    pub async fn has_follow_up(&self, which: FollowUpKey) -> Result<bool, Error> {
        let (keyspace, key) = key::follow_up(which);
        self.read(move |reader| Ok(reader.snapshot.get(keyspace, &key)?.is_some())).await
    }

    /// Takes a row away without a message, with an event in the trace of the message that it follows. Nothing happens
    /// if it is gone. Durable.
    pub async fn end_follow_up(&self, row: &FollowUp, event: Option<TraceWrite>) -> Result<(), Error> {
        let (now, blob, guard) = (self.inner.clock.now(), row.blob, key::follow_up(row.key));
        let event = match event {
            Some(event) => {
                let place = TracePlace::event(row.key.transaction, self.inner.blob_ids.next(now));
                self.trace_writes(place, event, &[])?
            }
            None => Vec::new(),
        };
        let reads = vec![guard.clone(), key::reference(blob)];
        self.transact(reads, vec![], Durability::Synced, move |values| {
            let [Some(_), count] = values else { return Ok((vec![], ())) };
            let mut references = References::default();
            references.read(blob, count).map_err(|_| Error::Corrupt)?;
            references.subtract(blob)?;
            let mut writes = references.writes(now);
            writes.push(Write { key: guard.clone(), value: None });
            writes.extend(event.iter().cloned());
            Ok((writes, ()))
        })
        .await
    }
}

/// The write of a row.
pub(super) fn put(row: &FollowUp) -> Write {
    Write { key: key::follow_up(row.key), value: Some(record::encode_follow_up(row)) }
}

/// Octets of the caller's data in one row.
pub(super) const MAX_DATA: usize = 1 << 20;
