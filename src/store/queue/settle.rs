//! What becomes of items: after an attempt, and when an administrator says so.

use super::{HeldBy, LastAttempt, QueueItem, deletes, write_item};
use crate::mail::{BlobId, OrganisationId, QueueId, Timestamp};
use crate::store::engine::{Durability, Key, Write};
use crate::store::references::References;
use crate::store::trace::TracePlace;
use crate::store::{AuditEntry, Error, FollowUp, FollowUpKey, Store, TraceWrite, audit, follow_up, key, record};

/// What came of an attempt with some items of one message.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The message as accepted.
    pub transaction: BlobId,
    /// The form that the items deliver.
    pub blob: BlobId,
    /// The items, at most 1,000.
    pub items: Vec<(QueueId, Fate)>,
    /// Messages that tell of it: each the data of a [`FollowUp`].
    pub tell: Vec<Vec<u8>>,
    /// What the trace of the message says of it.
    pub event: Option<TraceWrite>,
    /// What the audit log says of it, if somebody wanted it so.
    pub audit: Vec<AuditEntry>,
}

/// What becomes of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It leaves the queue: delivered, given up, or removed.
    Ends,
    /// It is tried again.
    Waits {
        /// When.
        due: Timestamp,
        /// What came of the attempt.
        last: LastAttempt,
        /// The sender is told by this commit that it takes longer.
        is_announced: bool,
    },
}

/// What an administrator does with items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueChange {
    /// Stops them. What somebody else has stopped stays stopped by them.
    Hold(HeldBy),
    /// Lets them go on at once; `Some` only those that are stopped by this.
    Release(Option<HeldBy>),
    /// Tries them at once, unless they are held.
    Retry,
}

impl Store {
    /// Writes down what came of an attempt, in one commit: the items, the trace, and what is still to be told, of which
    /// it gives the rows. An item that has been removed meanwhile stays removed, a held one held; if all have been,
    /// nothing is left to be told of. Durable.
    pub async fn queue_settle(&self, settlement: Settlement) -> Result<Vec<FollowUp>, Error> {
        let Settlement { transaction, blob, items, tell, event, audit } = settlement;
        if items.len() > MOST || tell.iter().any(|data| data.len() > follow_up::MAX_DATA) {
            return Err(Error::Limit);
        }
        let now = self.inner.clock.now();
        let row = |data| {
            let key = FollowUpKey { transaction, id: self.inner.blob_ids.next(now) };
            FollowUp { key, blob, hold: None, created: now, data }
        };
        let rows: Vec<FollowUp> = tell.into_iter().map(row).collect();
        let more = u32::try_from(rows.len()).map_err(|_| Error::Limit)?;
        let event = match event {
            Some(event) => {
                let place = TracePlace::event(transaction, self.inner.blob_ids.next(now));
                self.trace_writes(place, event, &[])?
            }
            None => Vec::new(),
        };
        let told = rows.clone();
        let mut reads = vec![key::reference(blob)];
        reads.extend(items.iter().map(|(id, _)| key::queue_item(*id)));
        reads.extend(audit::reads(&audit));
        let again = self
            .transact(reads, event, Durability::Synced, move |values| {
                let Some((count, values)) = values.split_first() else { return Err(Error::Corrupt) };
                let (stored, heads) = values.split_at_checked(items.len()).ok_or(Error::Corrupt)?;
                if stored.iter().all(Option::is_none) {
                    return Ok((vec![], None));
                }
                let mut references = References::default();
                references.read(blob, count).map_err(|_| Error::Corrupt)?;
                references.add(blob, more)?;
                let (mut writes, mut again): (Vec<Write>, _) = (told.iter().map(follow_up::put).collect(), Vec::new());
                for ((id, fate), value) in items.iter().zip(stored) {
                    let Some(value) = value else { continue };
                    let old = record::decode_queue_item(*id, value)?;
                    match fate {
                        Fate::Ends => {
                            references.subtract(blob)?;
                            writes.extend(deletes(&old));
                        }
                        Fate::Waits { due, last, is_announced } => {
                            let new = QueueItem {
                                due: *due,
                                attempts: old.attempts.saturating_add(1),
                                last: Some(last.clone()),
                                is_announced: old.is_announced || *is_announced,
                                ..old.clone()
                            };
                            writes.extend(write_item(&old, &new));
                            again.push(new);
                        }
                    }
                }
                writes.extend(references.writes(now));
                writes.extend(audit::appends(&audit, heads, now)?);
                Ok((writes, Some(again)))
            })
            .await?;
        let Some(again) = again else { return Ok(vec![]) };
        self.inner.news.queue.tell(&again);
        Ok(rows)
    }

    /// Changes these items, at most 1,000, in one commit; those that are gone or not concerned are passed over. Gives
    /// how many it has changed. Durable.
    pub async fn queue_change(&self, ids: Vec<QueueId>, change: QueueChange) -> Result<usize, Error> {
        self.queue_change_audited(ids, change, (Vec::new(), |_| Vec::new())).await
    }

    /// The same, and the audit logs of these organisations say so in the same commit, unless nothing changes: in the
    /// words that `record` has for the number of items.
    pub async fn queue_change_audited(
        &self,
        ids: Vec<QueueId>,
        change: QueueChange,
        (organisations, record): (Vec<OrganisationId>, impl Fn(usize) -> Vec<u8> + Send + 'static),
    ) -> Result<usize, Error> {
        if ids.len() > MOST {
            return Err(Error::Limit);
        }
        let now = self.inner.clock.now();
        let entries = move |count| -> Vec<AuditEntry> {
            let record = record(count);
            let entry =
                |organisation: &OrganisationId| AuditEntry { organisation: *organisation, record: record.clone() };
            organisations.iter().map(entry).collect()
        };
        let mut reads: Vec<Key> = ids.iter().map(|id| key::queue_item(*id)).collect();
        reads.extend(audit::reads(&entries(0)));
        let changed = self
            .transact(reads, vec![], Durability::Synced, move |values| {
                let (values, heads) = values.split_at_checked(ids.len()).ok_or(Error::Corrupt)?;
                let (mut writes, mut changed) = (Vec::new(), Vec::new());
                for (id, value) in ids.iter().zip(values) {
                    let Some(value) = value else { continue };
                    let old = record::decode_queue_item(*id, value)?;
                    if let Some(new) = change.of(&old, now) {
                        writes.extend(write_item(&old, &new));
                        changed.push(new);
                    }
                }
                if !changed.is_empty() {
                    writes.extend(audit::appends(&entries(changed.len()), heads, now)?);
                }
                Ok((writes, changed))
            })
            .await?;
        if !matches!(change, QueueChange::Hold(_)) {
            self.inner.news.queue.want(&changed);
        }
        self.inner.news.queue.tell(&changed);
        Ok(changed.len())
    }
}

impl QueueChange {
    /// The item as it becomes; `None` if it stays as it is.
    fn of(self, item: &QueueItem, now: Timestamp) -> Option<QueueItem> {
        match self {
            QueueChange::Hold(by) if item.held.is_none() => Some(QueueItem { held: Some(by), ..item.clone() }),
            QueueChange::Release(by) if item.held.is_some() && by.is_none_or(|by| item.held == Some(by)) => {
                Some(QueueItem { held: None, due: now, ..item.clone() })
            }
            QueueChange::Retry if item.held.is_none() => Some(QueueItem { due: now, ..item.clone() }),
            QueueChange::Hold(_) | QueueChange::Release(_) | QueueChange::Retry => None,
        }
    }
}

const MOST: usize = 1_000;
