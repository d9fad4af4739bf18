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

/// Items that a turn has claimed. Dropped, they can go on with others, unless they are kept.
#[derive(Debug)]
pub(super) struct Claim {
    claims: Arc<Claims>,
    lane: Lane,
    items: Vec<(QueueId, Timestamp)>,
    is_kept: bool,
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

    /// Claims items of a lane.
    pub fn take(self: &Arc<Self>, lane: Lane, items: &[QueueItem]) -> Claim {
        let items: Vec<(QueueId, Timestamp)> = items.iter().map(|item| (item.id, item.due)).collect();
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner).extend(items.iter().copied());
        Claim { claims: self.clone(), lane, items, is_kept: false }
    }

    fn let_go(&self, items: &[(QueueId, Timestamp)]) {
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        items.iter().for_each(|(id, _)| {
            claimed.remove(id);
        });
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

impl Claim {
    /// From here on somebody may have what is claimed: whatever becomes of the turn, nobody takes it again unless its
    /// outcome is written.
    pub fn keep(&mut self) {
        self.is_kept = true;
    }

    /// What came of it is written.
    pub fn settled(mut self) {
        self.is_kept = true;
        self.claims.let_go(&self.items);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        self.claims.let_go(&self.items);
        // Others find it where it was.
        self.items.iter().for_each(|(_, due)| self.claims.lower_floor(self.lane, *due));
    }
}

/// Destinations of which is remembered what is claimed.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Address, BlobId, ReversePath};
    use crate::store::{QueueKind, QueueSender, Remote};

    fn item(number: u8, due: i64) -> QueueItem {
        let pam = Address::parse("pam@partner.test").unwrap();
        QueueItem {
            id: QueueId::from_octets([number; 12]),
            blob: BlobId::from_octets([2; 12]),
            transaction: BlobId::from_octets([2; 12]),
            kind: QueueKind::Remote(Remote::new(pam, QueueSender::Nobody)),
            reverse_path: ReversePath::Null,
            created: Timestamp::from_millis(0),
            due: Timestamp::from_millis(due),
            attempts: 0,
            last: None,
            held: None,
            is_announced: false,
        }
    }

    #[test]
    fn a_turn_that_panics_lets_go_of_what_nobody_can_have() {
        let claims = Arc::new(Claims::default());
        claims.raise_floor(Lane::Ordinary, Timestamp::from_millis(9), claims.arrivals());
        let (first, second, third) = (item(1, 3), item(2, 4), item(3, 5));
        let turn = claims.clone();
        let items = (first.clone(), second.clone(), third.clone());
        let panicked = std::thread::spawn(move || {
            let _untouched = turn.take(Lane::Ordinary, &[items.0]);
            let mut sent = turn.take(Lane::Ordinary, &[items.1]);
            turn.take(Lane::Ordinary, &[items.2]).settled();
            sent.keep();
            panic!("as a test wants it");
        });
        assert!(panicked.join().is_err());
        let is_claimed = claims.is_claimed();
        assert_eq!([first.id, second.id, third.id].map(is_claimed), [false, true, false]);
        assert_eq!(claims.floor(Lane::Ordinary), first.due, "it is found again");
        assert!(claims.has_claims());
    }
}
