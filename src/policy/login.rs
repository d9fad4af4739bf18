//! When failed logins lock (policy semantics §17): how many failures, within how long, for how long.

use crate::mail::Timestamp;

/// A limit of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// So many of them
    pub failures: usize,
    /// within so many milliseconds
    pub within: i64,
    /// lock for so many milliseconds.
    pub lock: i64,
}

/// One account from one address.
pub const OF_PAIR: Limit = Limit { failures: 10, within: 10 * MINUTE, lock: 60 * MINUTE };

/// One account from all addresses. The semantics give no time within which these count: it is that of a pair.
pub const OF_ACCOUNT: Limit = Limit { failures: 50, within: 10 * MINUTE, lock: 15 * MINUTE };

const MINUTE: i64 = 60_000;

/// Failures that may still count, the oldest first; never more than the limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    times: Vec<Timestamp>,
}

impl Failures {
    /// Adds one; the time until which it locks, if it is one too many.
    pub fn add(&mut self, now: Timestamp, limit: Limit) -> Option<Timestamp> {
        self.times.retain(|time| now.millis().saturating_sub(time.millis()) < limit.within);
        self.times.push(now);
        let is_reached = self.times.len() >= limit.failures;
        is_reached.then(|| Timestamp::from_millis(now.millis().saturating_add(limit.lock)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn the_last_of_so_many_within_the_time_locks() {
        for (limit, failures, lock) in [(OF_PAIR, 10, 3600), (OF_ACCOUNT, 50, 900)] {
            let mut counted = Failures::default();
            for n in 1..failures {
                assert_eq!(counted.add(at(n), limit), None, "{n} of {failures}");
            }
            assert_eq!(counted.add(at(599), limit), Some(at(599 + lock)), "{failures}");
        }
    }

    #[test]
    fn failures_count_for_ten_minutes() {
        let mut counted = Failures::default();
        assert!((0..9).all(|n| counted.add(at(n), OF_PAIR).is_none()));
        // The one of the second 0 counts no longer at 600; that of 1 still does.
        assert_eq!(counted.add(at(600), OF_PAIR), None);
        assert!(counted.add(at(600), OF_PAIR).is_some());
        let mut slow = Failures::default();
        assert!((0..1000).all(|n| slow.add(at(n * 67), OF_PAIR).is_none()), "one in 67 seconds never locks");
        assert!(slow.times.len() < 10);
        let mut back = Failures::default();
        assert!((0..9).all(|n| back.add(at(1000 - n), OF_PAIR).is_none()), "a clock that goes back");
        assert!(back.add(at(0), OF_PAIR).is_some());
    }
}
