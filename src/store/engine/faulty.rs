//! An engine that fails on command, around any other: for tests of what peers are told when the disk gives up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::oneshot;

use super::{Engine, Snapshot, Transaction};
use crate::store::Error;

/// Passes everything on until its allowance of commits is used up; from then on, like an engine that no longer trusts
/// its disk, it refuses every write and goes on reading.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn Engine>,
    allowance: AtomicU64,
}

impl Faulty {
    /// Around `inner`, with no fault until [`Faulty::fail_after`] is called.
    pub fn new(inner: Arc<dyn Engine>) -> Self {
        Self { inner, allowance: AtomicU64::new(u64::MAX) }
    }

    /// The next `commits` succeed, then all fail.
    pub fn fail_after(&self, commits: u64) {
        self.allowance.store(commits, Ordering::SeqCst);
    }

    /// Writes succeed again, as after a restart.
    pub fn heal(&self) {
        self.fail_after(u64::MAX);
    }
}

impl Engine for Faulty {
    fn snapshot(&self) -> Box<dyn Snapshot + '_> {
        self.inner.snapshot()
    }

    fn snapshot_in_memory(&self) -> Box<dyn Snapshot + '_> {
        self.inner.snapshot_in_memory()
    }

    fn submit(&self, transaction: Transaction) -> oneshot::Receiver<Result<(), Error>> {
        let spend = |left: u64| if left == u64::MAX { Some(left) } else { left.checked_sub(1) };
        match self.allowance.fetch_update(Ordering::SeqCst, Ordering::SeqCst, spend) {
            Ok(_) => self.inner.submit(transaction),
            Err(_) => {
                let (answer, receiver) = oneshot::channel();
                let _ = answer.send(Err(Error::Unavailable));
                receiver
            }
        }
    }

    fn close(&self) {
        self.inner.close();
    }
}
