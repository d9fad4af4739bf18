//! What becomes of held messages with time: those about which nobody decides are refused or released, and a decision
//! that a crash or an error kept from being carried out is carried out (policy semantics §9, §13.4).

use crate::accept::{Desk, release};
use crate::directory::Directory;
use crate::store::{AuditEntry, Decision, Error, Held};

/// Carries out decisions that were made and not carried out. One that fails does not keep the others waiting.
pub async fn resume(desk: &Desk, directory: &Directory) -> Result<(), Error> {
    for held in desk.store.decided_holds(BATCH).await? {
        if let Err(error) = release::carry_out(desk, directory, &held).await {
            tracing::error!(id = %held.id, %error, "a decision could not be carried out; it is tried again");
        }
    }
    Ok(())
}

/// Ends the wait of those whose time is over; `audit` writes the record of that.
pub async fn time_out(
    desk: &Desk,
    directory: &Directory,
    audit: impl Fn(&Directory, &Held, &Decision) -> AuditEntry,
) -> Result<(), Error> {
    for held in desk.store.expired_holds(desk.clock.now(), BATCH).await? {
        release::time_out(desk, directory, &held, |held, decision| audit(directory, held, decision)).await?;
    }
    Ok(())
}

/// Held messages that one pass looks at.
const BATCH: usize = 1000;
