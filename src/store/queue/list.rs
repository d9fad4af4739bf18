//! Looking at the queue.

use super::{Lane, QueueItem, QueueSender};
use crate::mail::{QueueId, Timestamp};
use crate::store::engine::Keyspace;
use crate::store::{Error, Reader, Store, key, record, required};

/// What to list of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueList {
    /// All of it, in order of age.
    All,
    /// What is for one host: ordinary mail, then copies to many, then what is held, each in order of when it is due.
    Host(String),
    /// What is from one sender, in order of age.
    Sender(QueueSender),
    /// What waits for room in local accounts, in order of when it is due.
    Local,
}

/// A part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueuePage {
    /// The items.
    pub items: Vec<QueueItem>,
    /// Where the next part begins; `None` if this is the last.
    pub next: Option<Vec<u8>>,
}

/// What is due of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueItems {
    /// Longest due first.
    pub items: Vec<QueueItem>,
    /// When the one after them is due.
    pub next: Option<Timestamp>,
}

/// When the first of a destination's items is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationDue {
    /// The destination.
    pub host: String,
    /// Of its ordinary mail.
    pub ordinary: Option<Timestamp>,
    /// Of copies to many.
    pub bulk: Option<Timestamp>,
}

/// How much waits for a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationCount {
    /// The destination; empty for accounts here.
    pub host: String,
    /// Items that are tried when they are due.
    pub waiting: u64,
    /// Items that are held.
    pub held: u64,
    /// When the oldest of them was queued.
    pub oldest: Timestamp,
    /// When the first that is not held is due.
    pub due: Option<Timestamp>,
}

impl Store {
    /// A part of a list, at most `limit` items of it, from where an earlier part has ended.
    pub async fn queue(&self, list: QueueList, from: Option<Vec<u8>>, limit: usize) -> Result<QueuePage, Error> {
        let Some(prefix) = key::queue_list(&list) else { return Ok(QueuePage::default()) };
        self.read(move |reader| reader.queue_page(&prefix, from.as_deref(), limit)).await
    }

    /// One item. [`Error::NotFound`]
    pub async fn queue_item(&self, id: QueueId) -> Result<QueueItem, Error> {
        let (keyspace, key) = key::queue_item(id);
        self.read(move |reader| record::decode_queue_item(id, required(&reader.snapshot.get(keyspace, &key)?)?)).await
    }

    /// The first items of a lane that are due from `from` to `now`, and when the next one is, but for those that `skip`
    /// names. Of the items that are for accounts here `host` is empty.
    pub async fn queue_due(
        &self,
        host: &str,
        lane: Lane,
        (from, now): (Timestamp, Timestamp),
        limit: usize,
        skip: impl Fn(QueueId) -> bool + Send + 'static,
    ) -> Result<DueItems, Error> {
        let range = key::queue_lane(host, lane, from, Timestamp::from_millis(i64::MAX));
        self.read(move |reader| {
            let (mut ids, mut next) = (Vec::new(), None);
            reader.snapshot.range(Keyspace::Queue, &range.0, &range.1, &mut |key, _| {
                let Some(place) = key::parse_queue_place(key).filter(|place| !skip(place.id)) else { return true };
                if place.due > now || ids.len() >= limit {
                    next = Some(place.due);
                    return false;
                }
                ids.push(place.id);
                true
            })?;
            Ok(DueItems { items: reader.readable(ids), next })
        })
        .await
    }

    /// Destinations in order of their names, from the one after `after`, and when each is to be tried. Those of which
    /// all is held have neither time.
    pub async fn queue_destinations(&self, after: Option<String>, limit: usize) -> Result<Vec<DestinationDue>, Error> {
        self.read(move |reader| reader.queue_destinations(after, limit)).await
    }

    /// How much waits for each destination, in order of their names, from the one after `after`. Reads the place of
    /// every item that it counts.
    pub async fn queue_counts(&self, after: Option<String>, limit: usize) -> Result<Vec<DestinationCount>, Error> {
        self.read(move |reader| {
            let (from, to) = key::queue_places_after(after.as_deref());
            let mut found: Vec<DestinationCount> = Vec::new();
            reader.snapshot.range(Keyspace::Queue, &from, &to, &mut |key, _| {
                let Some(place) = key::parse_queue_place(key) else { return true };
                let queued = place.id.timestamp();
                if found.last().is_none_or(|last| last.host != place.host) {
                    if found.len() >= limit {
                        return false;
                    }
                    let host = place.host.to_owned();
                    found.push(DestinationCount { host, waiting: 0, held: 0, oldest: queued, due: None });
                }
                if let Some(last) = found.last_mut() {
                    last.oldest = last.oldest.min(queued);
                    if place.lane == Lane::Held {
                        last.held += 1;
                    } else {
                        last.waiting += 1;
                        last.due = Some(last.due.map_or(place.due, |due| due.min(place.due)));
                    }
                }
                true
            })?;
            Ok(found)
        })
        .await
    }
}

impl Reader<'_> {
    fn queue_page(&self, prefix: &[u8], from: Option<&[u8]>, limit: usize) -> Result<QueuePage, Error> {
        let (start, end) = key::within_prefix(prefix, from);
        let (mut ids, mut last, mut has_more) = (Vec::new(), Vec::new(), false);
        self.snapshot.range(Keyspace::Queue, &start, &end, &mut |key, _| {
            has_more = ids.len() >= limit;
            if let (false, Some(id)) = (has_more, key::parse_queue_index(key)) {
                ids.push(id);
                last = key.strip_prefix(prefix).unwrap_or_default().to_vec();
            }
            !has_more
        })?;
        Ok(QueuePage { items: self.readable(ids), next: Some(last).filter(|_| has_more) })
    }

    /// The items, but for those that cannot be read: what is damaged stops nothing else, and `check` names it.
    fn readable(&self, ids: Vec<QueueId>) -> Vec<QueueItem> {
        let read = |id| match self.queue_item(id) {
            Ok(item) => Some(item),
            Err(error) => {
                tracing::error!(%id, %error, "an item of the queue cannot be read");
                None
            }
        };
        ids.into_iter().filter_map(read).collect()
    }

    fn queue_item(&self, id: QueueId) -> Result<QueueItem, Error> {
        let (keyspace, key) = key::queue_item(id);
        record::decode_queue_item(id, required(&self.snapshot.get(keyspace, &key)?)?)
    }

    fn queue_destinations(&self, mut after: Option<String>, limit: usize) -> Result<Vec<DestinationDue>, Error> {
        let mut found = Vec::new();
        while found.len() < limit
            && let Some(first) = self.first_place(&key::queue_places_after(after.as_deref()))?
        {
            let (start, end) = (Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX));
            let due = |lane| {
                let first = self.first_place(&key::queue_lane(&first.host, lane, start, end))?;
                Ok::<_, Error>(first.map(|place| place.due))
            };
            let (ordinary, bulk) = (due(Lane::Ordinary)?, due(Lane::Bulk)?);
            after = Some(first.host.clone());
            if !first.host.is_empty() {
                found.push(DestinationDue { host: first.host, ordinary, bulk });
            }
        }
        Ok(found)
    }

    fn first_place(&self, (from, to): &(Vec<u8>, Vec<u8>)) -> Result<Option<key::Place>, Error> {
        let mut found = None;
        self.snapshot.range(Keyspace::Queue, from, to, &mut |key, _| {
            found = key::parse_queue_place(key);
            false
        })?;
        Ok(found)
    }
}
