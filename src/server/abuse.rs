//! Accounts that exceed what they may send (policy semantics §18): somebody is told, and who keeps doing it is stopped.

use std::sync::Arc;

use super::Services;
use super::admin::Admin;
use crate::directory::{Account, SuspensionCause};
use crate::mail::AccountId;
use crate::policy::rate::{Hit, OfAccount};

/// A message was refused because of the limit.
pub(super) fn message_refused(services: &Arc<Services>, (account, limits): (AccountId, OfAccount)) {
    let hit = services.rates.message_refused(account, services.clock.now());
    follow(services, account, hit, SuspensionCause::MessageRate, limits.messages_per_minute);
}

/// Recipients were refused because of the limit.
pub(super) fn recipients_refused(services: &Arc<Services>, (account, limits): (AccountId, OfAccount), weight: u32) {
    let hit = services.rates.recipients_refused((account, limits), weight, services.clock.now());
    follow(services, account, hit, SuspensionCause::RecipientRate, limits.recipients_per_day);
}

/// Nobody waits for it: the reply to the refused command is given meanwhile.
fn follow(services: &Arc<Services>, account: AccountId, hit: Hit, cause: SuspensionCause, limit: u32) {
    if !hit.is_first && !hit.suspends {
        return;
    }
    let admin = Admin::new(services.clone());
    tokio::spawn(async move {
        let done = if hit.suspends {
            admin.suspend_sending(account, cause, limit).await
        } else {
            admin.tell_of_excess(account, cause, limit).await
        };
        if let Err(error) = done {
            tracing::error!(%account, ?cause, %error, "what follows from an exceeded limit failed");
        }
    });
}

/// A message of an account was accepted; if its sending has been stopped meanwhile, what of it waits is stopped as well.
pub(super) fn accepted(services: &Arc<Services>, account: AccountId) {
    let is_suspended = |a: &Arc<Account>| a.settings().suspended.is_some();
    if !services.directory.current().account(account).is_some_and(is_suspended) {
        return;
    }
    let admin = Admin::new(services.clone());
    tokio::spawn(async move {
        if let Err(error) = admin.hold_queue_of(account).await {
            tracing::error!(%account, %error, "mail of a suspended account could not be stopped");
        }
    });
}
