//! Mail to other hosts: the queue, sessions with remote hosts of a test's own, reports.

mod killed;
pub mod network;
mod postfix;
mod queue;
pub mod remote;
mod returns;
mod secured;
mod three_hosts;

use std::time::{Duration, Instant};

/// Waits until something is so.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "not so after a minute: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
