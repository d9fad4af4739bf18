//! What the worker hears of commits that queue something.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::{Lane, QueueItem};
use crate::mail::Timestamp;
use crate::store::Store;

/// What has been queued, or queued anew, since the worker last asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueArrivals {
    /// One for each destination and lane.
    pub arrivals: Vec<Arrival>,
    /// Destinations that somebody wants tried, whether they could be reached lately or not.
    pub wanted: HashSet<String>,
    /// There was more than could be kept: the destinations must be read again.
    pub is_incomplete: bool,
}

/// Something for a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The destination.
    pub host: String,
    /// The lane.
    pub lane: Lane,
    /// When the first of it is due.
    pub due: Timestamp,
}

#[derive(Debug, Default)]
pub(in crate::store) struct QueueNews {
    woken: Notify,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    due: HashMap<(String, Lane), Timestamp>,
    wanted: HashSet<String>,
    is_incomplete: bool,
}

impl QueueNews {
    /// Tells of items that somebody wants tried.
    pub fn want<'a>(&self, items: impl IntoIterator<Item = &'a QueueItem>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for host in items.into_iter().filter_map(|item| item.kind.host()) {
            if kept.wanted.len() < MOST {
                kept.wanted.insert(host);
            }
        }
    }

    /// Tells of items that are committed.
    pub fn tell<'a>(&self, items: impl IntoIterator<Item = &'a QueueItem>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut has_news = false;
        for item in items {
            // What waits for room is looked at every minute, what is held not at all.
            let (Some(host), lane) = (item.kind.host(), item.lane()) else { continue };
            if lane == Lane::Held {
                continue;
            }
            has_news = true;
            let is_full = kept.due.len() >= MOST;
            match kept.due.entry((host, lane)) {
                Entry::Occupied(mut known) => {
                    let first = item.due.min(*known.get());
                    known.insert(first);
                }
                Entry::Vacant(_) if is_full => kept.is_incomplete = true,
                Entry::Vacant(place) => {
                    place.insert(item.due);
                }
            }
        }
        drop(kept);
        if has_news {
            self.woken.notify_one();
        }
    }
}

impl Store {
    /// Comes back when a commit has queued something since the last call. For one worker.
    pub async fn queue_arrivals(&self) -> QueueArrivals {
        let news = &self.inner.news.queue;
        loop {
            let kept = std::mem::take(&mut *news.kept.lock().unwrap_or_else(PoisonError::into_inner));
            if kept.is_incomplete || !kept.due.is_empty() {
                let arrivals = kept.due.into_iter().map(|((host, lane), due)| Arrival { host, lane, due }).collect();
                return QueueArrivals { arrivals, wanted: kept.wanted, is_incomplete: kept.is_incomplete };
            }
            news.woken.notified().await;
        }
    }
}

/// Destinations of which news are kept.
const MOST: usize = 20_000;
