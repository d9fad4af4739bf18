//! What becomes of held messages with time: those about which nobody decides are refused or released, and a decision
//! that a crash kept from being carried out is carried out (policy semantics §9, §13.4).

use std::sync::Arc;

use crate::accept::{Desk, release};
use crate::directory::Directory;
use crate::store::Error;

/// Carries out decisions that were made and not carried out. For the start, when nobody else does.
pub async fn resume(desk: &Desk, directory: &Arc<Directory>) -> Result<(), Error> {
    for held in desk.store.decided_holds(BATCH).await? {
        if let Err(error) = release::carry_out(desk, directory, &held).await {
            tracing::error!(id = %held.id, %error, "a decision could not be carried out; tried again at the next start");
        }
    }
    Ok(())
}

/// Ends the wait of those whose time is over.
pub async fn time_out(desk: &Desk, directory: &Arc<Directory>) -> Result<(), Error> {
    for held in desk.store.expired_holds(desk.clock.now(), BATCH).await? {
        release::time_out(desk, directory, &held).await?;
    }
    Ok(())
}

/// Held messages that one pass looks at.
const BATCH: usize = 1000;
