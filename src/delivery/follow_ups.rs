//! Makes the messages that follow from others and that a crash or an error has left: at the start, and with every round,
//! for 5 days.

use std::time::Duration;

use crate::accept::{self, Desk};
use crate::directory::Directory;
use crate::store::{Error, FollowUp};

/// One pass over all that wait. One that fails does not keep the others waiting. A session may be making the same
/// message at this moment: then one of the two commits is in time, and the other is none.
pub async fn work(desk: &Desk, directory: &Directory) -> Result<(), Error> {
    let mut after = None;
    loop {
        let rows = desk.store.follow_ups(after, BATCH).await?;
        let Some(last) = rows.last().map(|row| row.key) else { return Ok(()) };
        for row in &rows {
            make(desk, directory, row).await;
        }
        after = Some(last);
    }
}

async fn make(desk: &Desk, directory: &Directory, row: &FollowUp) {
    let id = row.key.transaction;
    let Err(error) = accept::follow_up(desk, directory, row).await else {
        tracing::info!(%id, "a message that follows was made later");
        return;
    };
    let age = desk.clock.now().millis().saturating_sub(row.created.millis());
    if age < i64::try_from(GIVE_UP.as_millis()).unwrap_or(i64::MAX) {
        tracing::warn!(%id, %error, "a message that follows could not be made; it is tried again");
    } else if let Err(error) = accept::give_up(desk, row).await {
        tracing::error!(%id, %error, "a message that follows could not be given up; it is tried again");
    }
}

/// Rows read at once: each may hold 1 MiB.
const BATCH: usize = 50;

const GIVE_UP: Duration = Duration::from_hours(5 * 24);
