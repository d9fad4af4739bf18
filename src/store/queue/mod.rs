//! The queue: one item for each recipient to whom a message has still to be delivered, on another host or in an account
//! that had no room. An item holds one reference on the form that it delivers.
//!
//! Beside the item stand two rows: its *place*, in its destination's lane by the time at which it is due, and its
//! *sender*. A destination's work is so found without passing another's.

mod full;
mod item;
mod list;
mod migrate;
mod news;
mod settle;

pub use item::{HeldBy, Lane, LastAttempt, NewQueueItem, QueueItem, QueueKind, QueueSender, Remote, Returns};
pub use list::{DestinationCount, DestinationDue, DueItems, QueueList, QueuePage};
pub use news::{Arrival, QueueArrivals};
pub use settle::{Fate, QueueChange, Settlement};

pub(super) use full::next_try;
pub(super) use news::QueueNews;

use super::engine::Write;
use super::{key, record};

/// The writes that put an item where it belongs.
pub(super) fn puts(item: &QueueItem) -> Vec<Write> {
    keys(item, Some(record::encode_queue_item(item)), Some(vec![]))
}

fn deletes(item: &QueueItem) -> Vec<Write> {
    keys(item, None, None)
}

/// The writes from an item as it was to what it becomes.
fn write_item(old: &QueueItem, new: &QueueItem) -> Vec<Write> {
    let (from, to) = (place(old), place(new));
    let mut writes = vec![Write { key: key::queue_item(new.id), value: Some(record::encode_queue_item(new)) }];
    if from != to {
        writes.push(Write { key: from, value: None });
        writes.push(Write { key: to, value: Some(vec![]) });
    }
    writes
}

fn keys(item: &QueueItem, value: Option<Vec<u8>>, index: Option<Vec<u8>>) -> Vec<Write> {
    let mut writes = vec![Write { key: key::queue_item(item.id), value }];
    if let QueueKind::Remote(remote) = &item.kind
        && let Some(key) = key::queue_sender(&remote.sender, item.id)
    {
        writes.push(Write { key, value: index.clone() });
    }
    writes.push(Write { key: place(item), value: index });
    writes
}

fn place(item: &QueueItem) -> super::engine::Key {
    key::queue_place(&item.kind.host().unwrap_or_default(), item.lane(), item.due, item.id)
}
