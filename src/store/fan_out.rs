//! The slices of a very large delivery: targets beyond the first 1,000, which the accepting commit leaves for later.
//!
//! A slice holds one reference on each form that its targets get. It is worked off in one commit, which puts the
//! entries, moves the references over to them and removes the slice: at any moment each target either waits in a slice
//! or is served, and the delivery keys see to it that none is served twice.

use super::engine::{Keyspace, Write};
use super::placement::{Keys, Placement};
use super::posting::{PostedForm, Posting};
use super::record::{Shape, Slice};
use super::rule_set::Counting;
use super::trace::TracePlace;
use super::{Error, Placed, Store, Target, TraceWrite, WhenFull, key, record};
use crate::mail::{BlobId, ReversePath, Timestamp};

/// A slice that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SliceKey {
    /// The message.
    pub transaction: BlobId,
    /// The slice: a new id.
    pub id: BlobId,
}

impl Store {
    /// The slices that wait, oldest message first, from the one after `after`.
    pub async fn next_slices(&self, after: Option<SliceKey>, limit: usize) -> Result<Vec<SliceKey>, Error> {
        self.read(move |reader| {
            let mut found = Vec::new();
            let (from, to) = key::slice_range(after);
            reader.snapshot.range(Keyspace::Task, &from, &to, &mut |key, _| {
                found.extend(key::parse_slice(key));
                found.len() < limit
            })?;
            Ok(found)
        })
        .await
    }

    /// Serves the targets of a slice and removes it, in one commit; gives who has the message by it. Nothing happens
    /// if that has been done already. A target that does not exist any more is passed over, one without room goes to
    /// the queue. Durable.
    pub async fn deliver_slice(&self, slice: SliceKey) -> Result<Vec<Placed>, Error> {
        let SliceKey { transaction, id } = slice;
        let guard = key::slice(slice);
        let (keyspace, octets) = guard.clone();
        let Some(value) = self.read(move |reader| reader.snapshot.get(keyspace, &octets)).await? else {
            return Ok(Vec::new());
        };
        let Slice { internal_date, reverse_path, shapes, mut targets } = record::decode_slice(&value)?;
        targets.sort_by_key(|target| (target.account, target.mailbox, target.origin));
        let mut writes = vec![Write { key: guard.clone(), value: None }];
        let event = TracePlace::event(transaction, id);
        writes.append(&mut self.trace_writes(event, TraceWrite::default(), &targets)?);
        let posting = Posting {
            forms: shapes.iter().map(|_| PostedForm::Stored).collect(),
            uses: Vec::new(),
            charges: Vec::new(),
            dropped: shapes.iter().map(|shape| shape.blob).collect(),
            guard: Some((guard, value)),
            unchanged: Vec::new(),
            at_least: Vec::new(),
            finish: None,
            rules: Counting::default(),
            reverse_path,
            now: self.inner.clock.now(),
            ids: self.inner.blob_ids.clone(),
            placement: Placement {
                transaction,
                shapes,
                targets,
                internal_date,
                keys: Keys::Checked,
                when_full: WhenFull::Queue,
            },
        };
        match self.commit_posting(posting, writes).await {
            Ok(delivered) => Ok(delivered.placed),
            // Done by another worker meanwhile.
            Err(Error::NotFound) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Comes back when a commit has left slices since the last call. For one worker.
    pub async fn slices_added(&self) {
        self.inner.news.slices.notified().await;
    }
}

/// The slice for `targets`, with those of `shapes` that they get.
pub(super) fn slice(
    targets: &[Target],
    shapes: &[Shape],
    internal_date: Timestamp,
    reverse_path: ReversePath,
) -> Slice {
    let mut places = vec![None; shapes.len()];
    let mut used = Vec::new();
    let targets = targets.iter().map(|target| {
        let place = places.get_mut(target.form).and_then(|place| {
            if place.is_none() {
                used.extend(shapes.get(target.form));
                *place = Some(used.len().saturating_sub(1));
            }
            *place
        });
        Target { form: place.unwrap_or(usize::MAX), ..target.clone() }
    });
    let targets = targets.collect();
    Slice { internal_date, reverse_path, shapes: used, targets }
}

/// Targets served in one commit (architecture, "One message through it").
pub(super) const SLICE: usize = 1000;
