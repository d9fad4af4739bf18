//! Items for local accounts that had no room.

use super::{QueueItem, QueueKind, deletes, write_item};
use crate::mail::{EventKind, QueueId, Timestamp};
use crate::store::engine::{Durability, Write};
use crate::store::placement::{Keys, Placement};
use crate::store::posting::{PostedForm, Posting};
use crate::store::record::{DeliveryRow, DeliveryState, Shape};
use crate::store::references::References;
use crate::store::rule_set::Counting;
use crate::store::{
    Error, FollowUp, FollowUpKey, Origin, OutboxSource, Placed, Store, Target, WhenFull, follow_up, key, record,
    required,
};

impl Store {
    /// Tries an item again at `due`: one attempt more. Durable.
    pub async fn reschedule_full(&self, id: QueueId, due: Timestamp) -> Result<(), Error> {
        self.transact(vec![key::queue_item(id)], vec![], Durability::Synced, move |values| {
            let old = record::decode_queue_item(id, values.first().map_or(Err(Error::Corrupt), required)?)?;
            let new = QueueItem { due, attempts: old.attempts.saturating_add(1), ..old.clone() };
            Ok((write_item(&old, &new), ()))
        })
        .await
    }

    /// Takes an item out with its reference, because its time is over, with the messages that tell of it: each the data
    /// of a [`FollowUp`]. One commit, so that nobody is told twice or never; it is also said under the item's delivery
    /// key. Durable. [`Error::NotFound`] if it is not in the queue.
    pub async fn give_up_full(&self, id: QueueId, tell: Vec<Vec<u8>>) -> Result<(QueueItem, Vec<FollowUp>), Error> {
        let item = self.queue_item(id).await?;
        let now = self.inner.clock.now();
        let row = |data| {
            let key = FollowUpKey { transaction: item.transaction, id: self.inner.blob_ids.next(now) };
            FollowUp { key, blob: item.blob, hold: None, created: now, data }
        };
        let rows: Vec<FollowUp> = tell.into_iter().map(row).collect();
        if rows.iter().any(|row| row.data.len() > follow_up::MAX_DATA) {
            return Err(Error::Limit);
        }
        let more = u32::try_from(rows.len()).map_err(|_| Error::Limit)?;
        let reads = vec![key::queue_item(id), key::reference(item.blob)];
        let mut puts: Vec<Write> = rows.iter().map(follow_up::put).collect();
        puts.append(&mut self.told(&item, EventKind::Bounced));
        let item = self
            .transact(reads, puts, Durability::Synced, move |values| {
                let [stored, count] = values else { return Err(Error::Corrupt) };
                let item = record::decode_queue_item(id, required(stored)?)?;
                let mut references = References::default();
                references.read(item.blob, count).map_err(|_| Error::Corrupt)?;
                references.add(item.blob, more)?;
                references.subtract(item.blob)?;
                let mut writes = references.writes(now);
                writes.extend(deletes(&item));
                if let QueueKind::Full(target) = &item.kind {
                    let state = DeliveryState::Failed;
                    let row = DeliveryRow { state, mailbox: target.mailbox, uid: None, via: target.via };
                    let key = key::delivery(target.account, item.transaction, target.origin);
                    writes.push(Write { key, value: Some(record::encode_delivery(&row)) });
                }
                Ok((writes, item))
            })
            .await?;
        Ok((item, rows))
    }

    /// Tries to deliver an item of [`QueueKind::Full`], with the account's limit as it is now; gives `None` if the
    /// message has become undeliverable because the mailbox is gone. In one commit the message is in the mailbox and
    /// the item out of the queue. [`Error::OverQuota`] if there is still no room, [`Error::NotFound`] if the item is
    /// not in the queue or not of that kind. Durable.
    pub async fn retry_full(&self, id: QueueId, quota: Option<u64>) -> Result<Option<Placed>, Error> {
        let item = self.queue_item(id).await?;
        let blob = item.blob;
        let QueueKind::Full(target) = &item.kind else { return Err(Error::NotFound) };
        let target = Target { quota, ..target.clone() };
        let size = self.read(move |reader| Ok(reader.message(blob)?.size())).await?;
        let posting = Posting {
            forms: vec![PostedForm::Stored],
            uses: Vec::new(),
            charges: Vec::new(),
            dropped: vec![blob],
            guard: Some((key::queue_item(id), record::encode_queue_item(&item))),
            unchanged: Vec::new(),
            at_least: Vec::new(),
            finish: None,
            rules: Counting::default(),
            reverse_path: item.reverse_path.clone(),
            now: self.inner.clock.now(),
            ids: self.inner.blob_ids.clone(),
            placement: Placement {
                transaction: item.transaction,
                shapes: vec![Shape { blob, size }],
                targets: vec![target],
                internal_date: item.created,
                keys: Keys::Retried,
                when_full: WhenFull::Refuse,
            },
        };
        let mut writes = deletes(&item);
        writes.append(&mut self.told(&item, EventKind::Delivered));
        let delivered = self.commit_posting(posting, writes).await?;
        Ok(delivered.placed.first().copied())
    }

    /// What subscribers hear of the end of an item.
    fn told(&self, item: &QueueItem, what: EventKind) -> Vec<Write> {
        match &item.kind {
            QueueKind::Full(target) if target.origin == Origin::Ordinary => {
                self.outbox_writes(item.transaction, OutboxSource::Delivery(target.account), what.into())
            }
            QueueKind::Full(_) | QueueKind::Remote(_) => Vec::new(),
        }
    }
}

/// When an account without room is tried again.
pub(in crate::store) fn next_try(now: Timestamp) -> Timestamp {
    Timestamp::from_millis(now.millis().saturating_add(15 * 60 * 1000))
}
