//! Works off the slices of very large deliveries, at once and one after the other.

use std::time::Duration;

use crate::store::{SliceKey, Store};

/// Works for as long as the server runs: takes up what the last process left, then what commits leave.
pub async fn run(store: Store) {
    loop {
        let left = work(&store).await;
        tokio::select! {
            () = store.slices_added() => {}
            () = tokio::time::sleep(RETRY), if left => {}
        }
    }
}

/// One pass over all slices that wait; says whether any could not be delivered. One that fails does not keep the others
/// waiting.
pub async fn work(store: &Store) -> bool {
    let mut after = None;
    let mut failed = false;
    loop {
        let slices = match store.next_slices(after, BATCH).await {
            Ok(slices) => slices,
            Err(error) => {
                tracing::warn!(%error, "slices of deliveries cannot be listed");
                return true;
            }
        };
        let Some(last) = slices.last().copied() else { return failed };
        for slice in slices {
            failed |= !deliver(store, slice).await;
        }
        after = Some(last);
    }
}

async fn deliver(store: &Store, slice: SliceKey) -> bool {
    match store.deliver_slice(slice).await {
        Ok(placed) => {
            tracing::info!(id = %slice.transaction, recipients = placed.len(), "slice delivered");
            true
        }
        Err(error) => {
            tracing::warn!(id = %slice.transaction, %error, "slice not delivered, it is tried again");
            false
        }
    }
}

/// Slices listed at once.
const BATCH: usize = 64;

/// How long after a failure the next pass begins.
const RETRY: Duration = Duration::from_secs(30);
