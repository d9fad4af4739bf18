//! What one commit does with a message: entries, references, queue items for who is full, the hold that it carries out.

use std::sync::Arc;

use super::engine::{Durability, Key, Write};
use super::hold::{self, Charge};
use super::placement::{Outcome, Placement};
use super::references::References;
use super::rule_set::Counting;
use super::{Delivered, Error, Held, Message, QueueItem, QueueKind, Store, Target, key, queue, record, required};
use crate::mail::{BlobId, BlobIds, ReversePath, Timestamp};

/// A commit drawn up. Writes that depend on nothing stored go beside it.
pub(super) struct Posting {
    pub placement: Placement,
    /// The forms, as many as the placement has.
    pub forms: Vec<PostedForm>,
    /// How often the writes beside it refer to each.
    pub uses: Vec<u32>,
    /// What is held by it.
    pub charges: Vec<Charge>,
    /// References that go.
    pub dropped: Vec<BlobId>,
    /// A row that must be as it is here: without it this has been done already ([`Error::NotFound`]), with another it
    /// has to be drawn up anew ([`Error::Conflict`]).
    pub guard: Option<(Key, Vec<u8>)>,
    /// Rows that must be as they were read ([`Error::Conflict`]).
    pub unchanged: Vec<(Key, Option<Vec<u8>>)>,
    /// Rows that only grow: the greater value, in order of octets, stays.
    pub at_least: Vec<(Key, Vec<u8>)>,
    /// The held message that this releases.
    pub finish: Option<Held>,
    /// Rule sets of what is held and released.
    pub rules: Counting,
    pub reverse_path: ReversePath,
    pub now: Timestamp,
    pub ids: Arc<BlobIds>,
}

/// A form, and whether this commit makes it.
pub(super) enum PostedForm {
    New(Message),
    Stored,
}

impl Store {
    /// Runs the commit with `writes` and wakes who watches the mailboxes. Durable.
    pub(super) async fn commit_posting(&self, posting: Posting, writes: Vec<Write>) -> Result<Delivered, Error> {
        let delivered =
            self.transact(posting.reads(), writes, Durability::Synced, move |values| posting.decide(values)).await?;
        self.publish(delivered.placed.iter().map(|placed| (placed.account, placed.mailbox)));
        Ok(delivered)
    }
}

impl Posting {
    fn reads(&self) -> Vec<Key> {
        let mut reads = self.placement.reads();
        reads.extend(self.counted().into_iter().map(key::reference));
        reads.extend(self.charges.iter().map(|charge| key::hold_usage(charge.organisation)));
        reads.extend(self.finish.iter().flat_map(|held| [key::hold(held.id), key::hold_usage(held.organisation)]));
        reads.extend(self.guard.iter().map(|(key, _)| key.clone()));
        reads.extend(self.unchanged.iter().map(|(key, _)| key.clone()));
        reads.extend(self.at_least.iter().map(|(key, _)| key.clone()));
        reads.extend(self.rules.reads());
        reads
    }

    /// The messages whose stored counts change.
    fn counted(&self) -> Vec<BlobId> {
        let stored = |(form, shape): (&PostedForm, &record::Shape)| match form {
            PostedForm::New(message) => (message.content != message.blob).then_some(message.content),
            PostedForm::Stored => Some(shape.blob),
        };
        let mut blobs: Vec<BlobId> = self.forms.iter().zip(&self.placement.shapes).filter_map(stored).collect();
        blobs.extend(&self.dropped);
        blobs.sort_unstable();
        blobs.dedup();
        // A content that is new has no count yet.
        blobs.retain(|blob| !matches!(self.forms.first(), Some(PostedForm::New(first)) if first.blob == *blob));
        blobs
    }

    fn decide(&self, values: &[Option<Vec<u8>>]) -> Result<(Vec<Write>, Delivered), Error> {
        let mut values = values;
        let mut take = |n: usize| {
            let (taken, left) = values.split_at_checked(n).ok_or(Error::Corrupt)?;
            values = left;
            Ok::<_, Error>(taken)
        };
        let places = take(self.placement.reads_count())?;
        let counted = self.counted();
        let counts = take(counted.len())?;
        let charged = take(self.charges.len())?;
        let finished = take(if self.finish.is_some() { 2 } else { 0 })?;
        if let Some((_, wanted)) = &self.guard
            && required(take(1)?.first().ok_or(Error::Corrupt)?)? != wanted
        {
            return Err(Error::Conflict);
        }
        let read_again = take(self.unchanged.len())?;
        if self.unchanged.iter().zip(read_again).any(|((_, read), now)| read != now) {
            return Err(Error::Conflict);
        }
        let stored = take(self.at_least.len())?;
        let grown = self.at_least.iter().zip(stored).filter(|((_, wanted), stored)| stored.as_ref() < Some(wanted));
        let grown = grown.map(|((key, wanted), _)| Write { key: key.clone(), value: Some(wanted.clone()) });
        let rules = self.rules.writes(values)?;
        // Whether it has been carried out is asked before whether there is anything left to carry out.
        let mut finish = match (&self.finish, finished) {
            (Some(held), [row, _]) => hold::finish(held.id, row, self.now)?,
            _ => Vec::new(),
        };

        let Outcome { mut writes, placed, uses, full } = self.placement.place(places)?;
        writes.append(&mut finish);
        writes.extend(grown);
        let mut references = References::default();
        for (blob, value) in counted.iter().zip(counts) {
            // What is guarded holds a reference: without its count something is damaged.
            let missing = |error| if self.guard.is_some() { Error::Corrupt } else { error };
            references.read(*blob, value).map_err(missing)?;
        }
        self.refer(&mut references, &uses, &full, &mut writes)?;
        for blob in &self.dropped {
            references.subtract(*blob)?;
        }
        writes.append(&mut references.writes(self.now));
        let mut totals = hold::Totals::default();
        for (charge, value) in self.charges.iter().zip(charged) {
            totals.charge(charge, value)?;
        }
        if let (Some(held), [_, usage]) = (&self.finish, finished) {
            totals.release(held, usage)?;
        }
        writes.append(&mut totals.writes());
        writes.extend(rules);
        writes.extend(full.iter().flat_map(|target| queue::puts(&self.full_item(target))));
        let full = full.iter().map(|target| target.account).collect();
        Ok((writes, Delivered { placed, full, ..Delivered::default() }))
    }

    /// Counts what the commit refers to, and writes the forms that it makes. A form that nobody gets is not made.
    fn refer(
        &self,
        references: &mut References,
        placed: &[u32],
        full: &[Target],
        writes: &mut Vec<Write>,
    ) -> Result<(), Error> {
        for (number, (form, shape)) in self.forms.iter().zip(&self.placement.shapes).enumerate() {
            let at = |uses: &[u32]| uses.get(number).copied().unwrap_or(0);
            let queued = full.iter().filter(|target| target.form == number).count();
            let queued = u32::try_from(queued).map_err(|_| Error::Limit)?;
            let uses = at(placed).saturating_add(at(&self.uses)).saturating_add(queued);
            match form {
                PostedForm::Stored => references.add(shape.blob, uses)?,
                PostedForm::New(message) if message.blob == message.content => {
                    // Also for the sake of the others, if it has no reader of its own.
                    if self.is_referred_to(placed, full) {
                        references.add(message.blob, uses)?;
                        writes.push(put(message));
                    }
                }
                PostedForm::New(message) if uses > 0 => {
                    references.add(message.blob, uses)?;
                    references.add(message.content, 1)?;
                    writes.push(put(message));
                }
                PostedForm::New(_) => {}
            }
        }
        Ok(())
    }

    fn is_referred_to(&self, placed: &[u32], full: &[Target]) -> bool {
        !full.is_empty() || placed.iter().chain(&self.uses).any(|uses| *uses > 0)
    }

    fn full_item(&self, target: &Target) -> QueueItem {
        let shapes = &self.placement.shapes;
        QueueItem {
            id: self.ids.next_queue(self.now),
            blob: shapes.get(target.form).map_or(self.placement.transaction, |shape| shape.blob),
            transaction: self.placement.transaction,
            kind: QueueKind::Full(Target { form: 0, ..target.clone() }),
            reverse_path: self.reverse_path.clone(),
            created: self.now,
            due: queue::next_try(self.now),
            attempts: 0,
            last: None,
            held: None,
            is_announced: false,
        }
    }
}

fn put(message: &Message) -> Write {
    Write { key: key::message(message.blob), value: Some(record::encode_message(message)) }
}
