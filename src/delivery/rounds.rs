//! What has to be looked at now and then: held messages, full mailboxes, logs that are old enough to go.

use std::sync::Arc;
use std::time::Duration;

use super::{follow_ups, full, holds};
use crate::accept::{self, Desk};
use crate::directory::Directory;
use crate::mail::{AccountId, Timestamp};
use crate::store::{AuditEntry, Decision, Error, Held, QueueItem, QueueKind};

/// Works for as long as the server runs. `directory` gives the directory as it is then, `audit` the record of a decision
/// that nobody made in time.
pub async fn run(
    desk: Desk,
    directory: impl Fn() -> Arc<Directory>,
    audit: impl Fn(&Directory, &Held, &Decision) -> AuditEntry,
) {
    if let Err(error) = resume(&desk, &directory()).await {
        tracing::error!(%error, "what the last process left cannot be read");
    }
    loop {
        tokio::time::sleep(EVERY).await;
        if let Err(error) = round(&desk, &directory(), &audit).await {
            tracing::warn!(%error, "a round over what waits did not end; the next begins in a minute");
        }
    }
}

/// One round.
pub async fn round(
    desk: &Desk,
    directory: &Directory,
    audit: impl Fn(&Directory, &Held, &Decision) -> AuditEntry,
) -> Result<(), Error> {
    let now = desk.clock.now();
    resume(desk, directory).await?;
    holds::time_out(desk, directory, audit).await?;
    let quota = |id: AccountId| directory.account(id).map(|a| a.settings().quota).filter(|quota| *quota > 0);
    for item in full::retry(&desk.store, now, quota).await? {
        give_up(desk, directory, &item).await?;
    }
    desk.store.expire_logs(earlier(now, LOG)).await?;
    desk.store.expire_audit(earlier(now, AUDIT)).await.map(drop)
}

/// Goes on with what was begun.
async fn resume(desk: &Desk, directory: &Directory) -> Result<(), Error> {
    holds::resume(desk, directory).await?;
    follow_ups::work(desk, directory).await
}

/// A mailbox that stayed full: the managers of the group are told, or the sender if the message was for the account
/// itself (policy semantics §6.5).
async fn give_up(desk: &Desk, directory: &Directory, item: &QueueItem) -> Result<(), Error> {
    match &item.kind {
        QueueKind::Full(target) => accept::give_up_undelivered(desk, directory, item, target).await,
        // Those have a worker of their own.
        QueueKind::Remote(_) => Ok(()),
    }
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
