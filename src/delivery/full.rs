//! Retries what accounts had no room for: every 15 minutes, for 5 days (policy semantics §6.5, §18).

use std::time::Duration;

use crate::mail::{AccountId, Timestamp};
use crate::store::{Error, Lane, QueueItem, QueueKind, Store};

/// Tries every item that is due at `now`, with the limit that `quota` gives for its account then (`None`: unlimited).
/// Gives the items whose time is over: they stay in the queue until whoever tells of them calls
/// [`Store::give_up_full`], so that nobody is left untold by a crash.
pub async fn retry(
    store: &Store,
    now: Timestamp,
    quota: impl Fn(AccountId) -> Option<u64>,
) -> Result<Vec<QueueItem>, Error> {
    let mut given_up = Vec::new();
    let due = store.queue_due("", Lane::Ordinary, (Timestamp::from_millis(0), now), BATCH, |_| false).await?;
    for item in due.items {
        let QueueKind::Full(target) = &item.kind else { continue };
        match store.retry_full(item.id, quota(target.account)).await {
            Ok(placed) => {
                tracing::info!(id = %item.transaction, account = %target.account, placed = placed.is_some(), "retried");
            }
            Err(Error::OverQuota) if is_over(&item, now) => given_up.push(item),
            Err(Error::OverQuota) => {
                store.reschedule_full(item.id, now.after(EVERY)).await?;
            }
            // Removed or changed meanwhile.
            Err(Error::NotFound | Error::Conflict) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(given_up)
}

fn is_over(item: &QueueItem, now: Timestamp) -> bool {
    now.millis().saturating_sub(item.created.millis()) >= millis(GIVE_UP)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

const EVERY: Duration = Duration::from_mins(15);
const GIVE_UP: Duration = Duration::from_hours(5 * 24);
/// Items taken up in one pass; the next begins where this one ended, because each is filed anew.
const BATCH: usize = 1000;
