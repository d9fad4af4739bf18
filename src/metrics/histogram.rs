//! How often something took how long.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often something was no longer than each of some times, and how long all of it took. Without a lock: what is timed
/// does not wait for others that are.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// For each bound, how many were no longer than it and longer than the one before; then those beyond the last.
    counts: Vec<AtomicU64>,
    nanos: AtomicU64,
}

impl Histogram {
    /// Of nothing yet, within these bounds in seconds, which ascend.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(), nanos: AtomicU64::new(0) }
    }

    /// Something took so long.
    pub fn took(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        if let Some(count) = self.counts.get(self.bounds.partition_point(|bound| *bound < seconds)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        // Enough for 584 years.
        self.nanos.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How often.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(count.load(Ordering::Relaxed)))
    }

    /// All of it together.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }

    /// For each bound, and last without one, how many were no longer.
    pub(super) fn cumulated(&self) -> Vec<(Option<f64>, u64)> {
        let bounds = self.bounds.iter().copied().map(Some).chain([None]);
        let mut below = 0u64;
        let upto = |(bound, count): (_, &AtomicU64)| {
            below = below.saturating_add(count.load(Ordering::Relaxed));
            (bound, below)
        };
        bounds.zip(&self.counts).map(upto).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_fall_into_their_buckets() {
        let histogram = Histogram::new(&[0.01, 0.1]);
        for millis in [0, 10, 11, 100, 101, 60_000] {
            histogram.took(Duration::from_millis(millis));
        }
        assert_eq!(histogram.cumulated(), [(Some(0.01), 2), (Some(0.1), 4), (None, 6)]);
        assert_eq!((histogram.count(), histogram.sum()), (6, Duration::from_millis(60_222)));
    }

    #[test]
    fn nothing_is_lost_when_many_count() {
        let histogram = Histogram::new(&[0.01]);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| histogram.took(Duration::from_millis(1))));
            }
        });
        assert_eq!((histogram.count(), histogram.sum()), (40_000, Duration::from_secs(40)));
    }
}
