//! Counting failures: so many within a window lock whoever caused them for a while (policy semantics §17 "Locking").
//!
//! Bounded: when more are known than are kept, the one not heard of for longest is forgotten. Who needs so many names
//! to be forgotten himself pays for each with a password check.

use std::fmt;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;

use crate::mail::Timestamp;

/// Failures by `K`.
pub struct Attempts<K: Hash + Eq> {
    limit: Limit,
    known: Mutex<LruCache<K, Counted>>,
}

/// How many failures lock, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// So many …
    pub failures: u32,
    /// … within this time …
    pub window: Duration,
    /// … lock for so long.
    pub lock: Duration,
}

/// 10 failures within 10 minutes lock for an hour (policy semantics §17).
pub const LOGIN: Limit = Limit { failures: 10, window: Duration::from_secs(600), lock: Duration::from_secs(3600) };

#[derive(Clone, Copy, Debug)]
struct Counted {
    /// Of the window's first failure.
    since: Timestamp,
    failures: u32,
    /// Locked until then.
    until: Option<Timestamp>,
}

impl<K: Hash + Eq> Attempts<K> {
    /// Nobody has failed yet.
    pub fn new(limit: Limit) -> Self {
        let kept = NonZeroUsize::new(KEPT).unwrap_or(NonZeroUsize::MIN);
        Self { limit, known: Mutex::new(LruCache::new(kept)) }
    }

    /// How long `key` is still locked; `None` if it is not.
    pub fn locked(&self, key: &K, now: Timestamp) -> Option<Duration> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let until = known.get(key)?.until?;
        let left = u64::try_from(until.millis().saturating_sub(now.millis())).unwrap_or(0);
        (left > 0).then(|| Duration::from_millis(left))
    }

    /// Counts a failure.
    pub fn failed(&self, key: K, now: Timestamp) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = Counted { since: now, failures: 0, until: None };
        let is_current = |c: &Counted| c.until.unwrap_or_else(|| after(c.since, self.limit.window)) > now;
        let mut counted = known.get(&key).copied().filter(is_current).unwrap_or(fresh);
        counted.failures = counted.failures.saturating_add(1);
        if counted.failures >= self.limit.failures && counted.until.is_none() {
            counted.until = Some(after(now, self.limit.lock));
        }
        known.put(key, counted);
    }

    /// Forgets the failures of `key`: it has succeeded.
    pub fn succeeded(&self, key: &K) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).pop(key);
    }
}

impl<K: Hash + Eq> fmt::Debug for Attempts<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempts").field("limit", &self.limit).finish_non_exhaustive()
    }
}

fn after(at: Timestamp, time: Duration) -> Timestamp {
    Timestamp::from_millis(at.millis().saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX)))
}

/// Keys that are remembered, some 100 octets each.
const KEPT: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn failures_within_the_window_lock_for_a_while() {
        let attempts = Attempts::new(LOGIN);
        for n in 0..9 {
            attempts.failed("bob", at(n));
        }
        assert_eq!(attempts.locked(&"bob", at(9)), None, "nine");
        attempts.failed("bob", at(599));
        assert_eq!(attempts.locked(&"bob", at(600)), Some(Duration::from_secs(3599)), "ten");
        assert_eq!(attempts.locked(&"alice", at(600)), None, "somebody else");
        assert_eq!(attempts.locked(&"bob", at(599 + 3600)), None, "an hour later");
        attempts.failed("bob", at(599 + 3600));
        assert_eq!(attempts.locked(&"bob", at(599 + 3601)), None, "counted from the start again");
    }

    #[test]
    fn slow_failures_and_successes_do_not_lock() {
        let attempts = Attempts::new(LOGIN);
        for n in 0..40 {
            attempts.failed("bob", at(n * 70));
        }
        assert_eq!(attempts.locked(&"bob", at(40 * 70)), None, "nine in each ten minutes");
        for n in 0..40 {
            attempts.failed("carol", at(n));
            if n % 9 == 8 {
                attempts.succeeded(&"carol");
            }
        }
        assert_eq!(attempts.locked(&"carol", at(40)), None, "a login in between");
    }

    #[test]
    fn failure_while_locked_does_not_lengthen_the_lock() {
        let attempts = Attempts::new(LOGIN);
        (0..10).for_each(|_| attempts.failed("bob", at(0)));
        (1..3599).for_each(|n| attempts.failed("bob", at(n)));
        assert_eq!(attempts.locked(&"bob", at(3600)), None);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let attempts = Attempts::new(LOGIN);
        (0..KEPT + 5).for_each(|n| attempts.failed(n, at(0)));
        assert_eq!(attempts.known.lock().unwrap().len(), KEPT);
    }
}
