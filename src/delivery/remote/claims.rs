//! Which items turns are at work on, so that no two of them send the same.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;

use crate::mail::{QueueId, Timestamp};
use crate::store::{Lane, QueueItem};

/// The claims of all destinations.
#[derive(Debug)]
pub(super) struct Ledger(Mutex<LruCache<Arc<str>, Arc<Claims>>>);

/// What is being sent to a destination.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Held from looking for items to claiming them.
    pub turn: tokio::sync::Mutex<()>,
    /// Those that are claimed, and when they were due.
    claimed: Mutex<HashMap<QueueId, Timestamp>>,
    floors: Mutex<Floors>,
}

/// Before when nothing is due any more, of each lane. Reading from the start would pass over all that was settled.
#[derive(Debug, Default)]
struct Floors {
    of: [i64; 2],
    /// How often something has come.
    arrivals: u64,
}

impl Default for Ledger {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED)))
    }
}

impl Ledger {
    /// Those of a destination of which something is remembered.
    pub fn known(&self, host: &str) -> Option<Arc<Claims>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).peek(host).cloned()
    }

    /// Those of a destination.
    pub fn of(&self, host: &Arc<str>) -> Arc<Claims> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(host) {
            return known.clone();
        }
        let claims = Arc::new(Claims::default());
        // One that is in use must not be forgotten: others would take what it has claimed.
        if all.len() >= all.cap().get()
            && let Some((host, oldest)) = all.pop_lru()
            && (Arc::strong_count(&oldest) > 1 || oldest.has_claims())
        {
            all.push(host, oldest);
            let more = all.cap().saturating_add(REMEMBERED.get());
            all.resize(more);
        }
        all.push(host.clone(), claims.clone());
        claims
    }
}

impl Claims {
    /// Tells of an item whether it is claimed now, which is before the store is read: what is settled and let go of
    /// after a snapshot was taken is in that as it was, and would be sent again.
    pub fn is_claimed(&self) -> impl Fn(QueueId) -> bool + Send + 'static {
        let claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        let claimed: HashSet<QueueId> = claimed.keys().copied().collect();
        move |id| claimed.contains(&id)
    }

    pub fn take(&self, items: &[QueueItem]) {
        self.claimed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(items.iter().map(|item| (item.id, item.due)));
    }

    pub fn let_go(&self, items: &[QueueItem]) {
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        items.iter().for_each(|item| {
            claimed.remove(&item.id);
        });
    }

    /// The same for what has not been tried: others find it where it was.
    pub fn give_back(&self, lane: Lane, items: &[QueueItem]) {
        self.let_go(items);
        items.iter().for_each(|item| self.lower_floor(lane, item.due));
    }

    fn has_claims(&self) -> bool {
        !self.claimed.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    pub fn floor(&self, lane: Lane) -> Timestamp {
        let floors = self.floors.lock().unwrap_or_else(PoisonError::into_inner);
        Timestamp::from_millis(floors.of.get(lane as usize).copied().unwrap_or(0))
    }

    /// Nothing was due before `due` but for what is claimed, which may come back to its place. What has come since
    /// `arrivals` was not seen by who says so.
    pub fn raise_floor(&self, lane: Lane, due: Timestamp, arrivals: u64) {
        let claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner).values().min().copied();
        let mut floors = self.floors.lock().unwrap_or_else(PoisonError::into_inner);
        if floors.arrivals == arrivals
            && let Some(floor) = floors.of.get_mut(lane as usize)
        {
            *floor = claimed.map_or(due, |first| first.min(due)).millis();
        }
    }

    pub fn arrivals(&self) -> u64 {
        self.floors.lock().unwrap_or_else(PoisonError::into_inner).arrivals
    }

    /// Something has come with this time: the clock may have been set back, or its commit have taken longer than those
    /// that came after it.
    pub fn lower_floor(&self, lane: Lane, due: Timestamp) {
        let mut floors = self.floors.lock().unwrap_or_else(PoisonError::into_inner);
        floors.arrivals = floors.arrivals.wrapping_add(1);
        if let Some(floor) = floors.of.get_mut(lane as usize) {
            *floor = (*floor).min(due.millis());
        }
    }
}

/// Destinations of which is remembered what is claimed.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();
