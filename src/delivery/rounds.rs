//! What has to be looked at now and then: held messages, full mailboxes, logs that are old enough to go.

use std::sync::Arc;
use std::time::Duration;

use super::{full, holds};
use crate::accept::{self, Desk};
use crate::directory::Directory;
use crate::mail::{AccountId, Timestamp};
use crate::store::{Error, QueueItem, QueueKind};

/// Works for as long as the server runs. `directory` gives the directory as it is then.
pub async fn run(desk: Desk, directory: impl Fn() -> Arc<Directory>) {
    if let Err(error) = holds::resume(&desk, &directory()).await {
        tracing::error!(%error, "held messages cannot be read");
    }
    loop {
        tokio::time::sleep(EVERY).await;
        if let Err(error) = round(&desk, &directory()).await {
            tracing::warn!(%error, "a round over what waits did not end; the next begins in a minute");
        }
    }
}

/// One round.
pub async fn round(desk: &Desk, directory: &Arc<Directory>) -> Result<(), Error> {
    let now = desk.clock.now();
    holds::time_out(desk, directory).await?;
    let quota = |id: AccountId| directory.account(id).map(|a| a.settings().quota).filter(|quota| *quota > 0);
    for item in full::retry(&desk.store, now, quota).await? {
        give_up(desk, directory, &item).await?;
    }
    desk.store.expire_logs(earlier(now, LOG)).await?;
    desk.store.expire_audit(earlier(now, AUDIT)).await.map(drop)
}

/// A mailbox that stayed full: the managers of the group are told, or the sender if the message was for the account
/// itself (policy semantics §6.5).
async fn give_up(desk: &Desk, directory: &Arc<Directory>, item: &QueueItem) -> Result<(), Error> {
    if let QueueKind::Full(target) = &item.kind {
        accept::tell_undelivered(desk, directory, item, target).await?;
    }
    desk.store.queue_remove(item.id).await.map(drop)
}

fn earlier(now: Timestamp, age: Duration) -> Timestamp {
    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.millis().saturating_sub(age))
}

const EVERY: Duration = Duration::from_secs(60);
/// Mail log retention (policy semantics §23).
const LOG: Duration = Duration::from_hours(180 * 24);
/// Audit retention (policy semantics §23).
const AUDIT: Duration = Duration::from_hours(3 * 365 * 24);
