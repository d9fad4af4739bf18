//! The queue: one item for each recipient to whom a message has still to be delivered, on another host or in an account
//! that had no room. An item holds one reference on the form that it delivers.

use super::engine::{Durability, Keyspace, Write};
use super::key::QueueWorker;
use super::placement::{Keys, Placement};
use super::posting::{PostedForm, Posting};
use super::record::{DeliveryRow, DeliveryState, Shape};
use super::references::References;
use super::rule_set::Counting;
use super::{Error, FollowUp, FollowUpKey, Placed, Reader, Store, Target, WhenFull, follow_up, key, record, required};
use crate::mail::{Address, BlobId, QueueId, ReversePath, Timestamp};

/// A copy for another host, to be queued with a delivery.
#[derive(Clone, Debug)]
pub struct NewQueueItem {
    /// Which of the delivery's forms.
    pub form: usize,
    /// MAIL FROM of this copy.
    pub reverse_path: ReversePath,
    /// RCPT TO.
    pub recipient: Address,
}

/// Why an item waits, and for whom it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueKind {
    /// For the host of this recipient.
    Remote(Address),
    /// For an account that had no room.
    Full(Target),
}

impl QueueKind {
    /// The host that the item is for; a local account's has none.
    pub fn host(&self) -> Option<String> {
        match self {
            QueueKind::Remote(recipient) => Some(recipient.host().to_string()),
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
    /// What came of the last attempt, in words.
    pub note: String,
}

/// What to list of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueList {
    /// All of it.
    All,
    /// What is for one host.
    Host(String),
    /// What waits for room in local accounts.
    Local,
}

impl Store {
    /// Items in order of their ids, from the one after `after`.
    pub async fn queue(&self, list: QueueList, after: Option<QueueId>, limit: usize) -> Result<Vec<QueueItem>, Error> {
        let range = match &list {
            QueueList::All => key::queue_item_range(after),
            QueueList::Host(host) => key::queue_destination_range(host, after),
            QueueList::Local => key::queue_destination_range("", after),
        };
        self.read(move |reader| reader.queue_items(range, limit)).await
    }

    /// The items for other hosts that are due at `now`, longest due first.
    pub async fn queue_due(&self, now: Timestamp, limit: usize) -> Result<Vec<QueueItem>, Error> {
        let range = key::queue_due_range(QueueWorker::Remote, now);
        self.read(move |reader| reader.queue_items(range, limit)).await
    }

    /// The items for accounts without room that are due at `now`, longest due first.
    pub async fn queue_full_due(&self, now: Timestamp, limit: usize) -> Result<Vec<QueueItem>, Error> {
        let range = key::queue_due_range(QueueWorker::Full, now);
        self.read(move |reader| reader.queue_items(range, limit)).await
    }

    /// One item. [`Error::NotFound`]
    pub async fn queue_item(&self, id: QueueId) -> Result<QueueItem, Error> {
        let (keyspace, key) = key::queue_item(id);
        self.read(move |reader| record::decode_queue_item(id, required(&reader.snapshot.get(keyspace, &key)?)?)).await
    }

    /// Tries an item again at `due`: one attempt more, with `note` of what came of the last. Durable.
    pub async fn queue_reschedule(&self, id: QueueId, due: Timestamp, note: String) -> Result<QueueItem, Error> {
        self.transact(vec![key::queue_item(id)], vec![], Durability::Synced, move |values| {
            let mut item = record::decode_queue_item(id, values.first().map_or(Err(Error::Corrupt), required)?)?;
            let mut writes = vec![Write { key: key::queue_due(worker(&item), item.due, id), value: None }];
            item.due = due;
            item.attempts = item.attempts.saturating_add(1);
            item.note.clone_from(&note);
            writes.extend(puts(&item));
            Ok((writes, item))
        })
        .await
    }

    /// Takes an item out with its reference: it is delivered, or given up; of one for a local account that is then
    /// said under its delivery key. Durable. [`Error::NotFound`] if it is not in the queue.
    pub async fn queue_remove(&self, id: QueueId) -> Result<QueueItem, Error> {
        self.queue_give_up(id, Vec::new()).await.map(|(item, _)| item)
    }

    /// The same for one whose time is over, with the messages that tell of it: each the data of a [`FollowUp`]. One
    /// commit, so that nobody is told twice or never.
    pub async fn queue_give_up(&self, id: QueueId, tell: Vec<Vec<u8>>) -> Result<(QueueItem, Vec<FollowUp>), Error> {
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
        let puts: Vec<Write> = rows.iter().map(follow_up::put).collect();
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
        let delivered = self.commit_posting(posting, deletes(&item).into()).await?;
        Ok(delivered.placed.first().copied())
    }

    /// Comes back when a commit has queued something since the last call. For one worker.
    pub async fn queue_added(&self) {
        self.inner.news.queue.notified().await;
    }
}

impl Reader<'_> {
    /// The items that the rows of a range name: those of the queue itself, or of one of its indexes.
    fn queue_items(&self, (from, to): (Vec<u8>, Vec<u8>), limit: usize) -> Result<Vec<QueueItem>, Error> {
        let mut ids = Vec::new();
        self.snapshot.range(Keyspace::Queue, &from, &to, &mut |key, _| {
            if ids.len() < limit {
                ids.extend(key::parse_queue_index(key));
            }
            ids.len() < limit
        })?;
        let item = |id| {
            let (keyspace, key) = key::queue_item(id);
            record::decode_queue_item(id, required(&self.snapshot.get(keyspace, &key)?)?)
        };
        ids.into_iter().map(item).collect()
    }
}

/// The writes that put an item where it belongs.
pub(super) fn puts(item: &QueueItem) -> [Write; 3] {
    keys(item, Some(record::encode_queue_item(item)), Some(vec![]))
}

fn deletes(item: &QueueItem) -> [Write; 3] {
    keys(item, None, None)
}

fn keys(item: &QueueItem, value: Option<Vec<u8>>, index: Option<Vec<u8>>) -> [Write; 3] {
    let host = item.kind.host().unwrap_or_default();
    [
        Write { key: key::queue_item(item.id), value },
        Write { key: key::queue_due(worker(item), item.due, item.id), value: index.clone() },
        Write { key: key::queue_destination(&host, item.id), value: index },
    ]
}

fn worker(item: &QueueItem) -> QueueWorker {
    match item.kind {
        QueueKind::Remote(_) => QueueWorker::Remote,
        QueueKind::Full(_) => QueueWorker::Full,
    }
}

/// When an account without room is tried again.
pub(super) fn next_try(now: Timestamp) -> Timestamp {
    Timestamp::from_millis(now.millis().saturating_add(15 * 60 * 1000))
}
