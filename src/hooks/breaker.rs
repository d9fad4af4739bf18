//! Leaves a hook alone that fails again and again, so that nobody waits for what does not answer.

use std::time::{Duration, Instant};

/// How often a hook has failed in a row, and until when it is left alone.
#[derive(Debug, Default)]
pub struct Breaker {
    failures: u32,
    /// Since when, and until when.
    open: Option<(Instant, Instant)>,
}

impl Breaker {
    /// Whether it may be asked. After a pause one question goes through, and the others wait for what comes of it.
    pub fn admits(&mut self, now: Instant) -> bool {
        match self.open {
            None => true,
            Some((_, until)) if now < until => false,
            Some(_) => {
                self.open = Some((now, now + pause(self.failures)));
                true
            }
        }
    }

    /// It has answered.
    pub fn answered(&mut self) {
        *self = Self::default();
    }

    /// A question that began then has failed. Those that were under way when it was left alone say nothing new.
    pub fn failed(&mut self, began: Instant, now: Instant) {
        if self.open.is_some_and(|(since, _)| began < since) {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= TOLERATED {
            self.open = Some((now, now + pause(self.failures)));
        }
    }

    /// It is left alone.
    pub fn is_open(&self, now: Instant) -> bool {
        self.open.is_some_and(|(_, until)| now < until)
    }
}

/// Doubles with each failure beyond those that are tolerated.
fn pause(failures: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(TOLERATED).min(8));
    doubled.min(LONGEST_PAUSE)
}

/// Failures in a row that change nothing.
const TOLERATED: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_again_and_again_is_left_alone_for_longer_and_longer() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for _ in 1..TOLERATED {
            breaker.failed(start, start);
            assert!(breaker.admits(start));
        }
        breaker.failed(start, start);
        assert!(breaker.is_open(start) && !breaker.admits(start));
        assert!(breaker.admits(at(1)), "one question");
        assert!(!breaker.admits(at(1)), "and no second");
        breaker.failed(start, at(1));
        assert!(!breaker.is_open(at(3)), "under way since before");
        breaker.failed(at(1), at(1));
        assert!(!breaker.admits(at(2)) && breaker.admits(at(3)));
        breaker.answered();
        assert!(breaker.admits(at(3)) && breaker.admits(at(3)));
        for _ in 0..100 {
            breaker.failed(at(10), at(10));
        }
        assert!(!breaker.admits(at(69)) && breaker.admits(at(70)));
    }
}
