//! Mail to other hosts: the queue, sessions with remote hosts of a test's own, reports.

mod killed;
mod queue;
mod remote;
mod returns;

use std::time::{Duration, Instant};

/// Waits until something is so.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "not so after 20 s: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
