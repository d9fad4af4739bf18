//! Alerts about accounts: an event in the log under a name that stays, a record in the audit log, and a mail to the domain
//! admins of the account's organisation. They are local, so that no alert waits in the queue that it may be about.

use super::desk::Desk;
use super::generate;
use crate::directory::{Account, Directory};
use crate::mail::TlsWish;
use crate::proto::message::compose;
use crate::store::{self, AuditEntry, StateKey};

/// What is told.
#[derive(Clone, Debug)]
pub struct Alert<'a> {
    /// What has happened, by a name that stays: for whoever watches the log.
    pub event: &'static str,
    /// To which account.
    pub account: &'a Account,
    /// The same in a line, for people.
    pub subject: String,
    /// And in full, with what can be done.
    pub text: String,
    /// How often it is mailed and audited.
    pub repeat: Repeat,
}

/// How often the same is told of the same account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Once in 24 hours.
    Daily,
    /// Each time: what does not happen again by itself.
    Always,
}

/// Raises an alert: it is in the log at once; `audit` and the mails follow unless they have lately.
pub async fn raise(
    desk: &Desk,
    directory: &Directory,
    alert: &Alert<'_>,
    audit: Option<AuditEntry>,
) -> Result<(), store::Error> {
    let organisation = directory.account_organisation(alert.account.id);
    let name = organisation.and_then(|id| directory.organisation(id)).map(|o| o.name.as_str()).unwrap_or_default();
    tracing::error!(alert = alert.event, account = %alert.account.address, organisation = name, "{}", alert.subject);
    if alert.repeat == Repeat::Daily && !remember(desk, alert).await? {
        return Ok(());
    }
    if let Some(entry) = audit {
        desk.store.audit_append(vec![entry]).await?;
    }
    let Some(organisation) = organisation else { return Ok(()) };
    for admin in directory.admins(organisation).filter(|admin| admin.state.is_active()) {
        let to = &admin.address;
        generate::send(desk, directory, (to, TlsWish::AsPublished), |stamp| {
            compose::alert(stamp, to, &alert.subject, &alert.text)
        })
        .await?;
    }
    Ok(())
}

/// Remembers that it is told; false if it was lately.
async fn remember(desk: &Desk, alert: &Alert<'_>) -> Result<bool, store::Error> {
    let name = format!("alert/{}/{}", alert.account.id, alert.event);
    let row = StateKey::new(name).ok_or(store::Error::Limit)?;
    // Two of the same at once are one.
    let _turn = desk.turns.asking.lock().await;
    let now = desk.clock.now().millis();
    let stored = desk.store.state(row.clone()).await?.and_then(|octets| octets.try_into().ok()).map(i64::from_be_bytes);
    if stored.is_some_and(|at| (0..DAY_MILLIS).contains(&now.saturating_sub(at))) {
        return Ok(false);
    }
    desk.store.put_state(row, now.to_be_bytes().to_vec()).await?;
    Ok(true)
}

const DAY_MILLIS: i64 = 24 * 3600 * 1000;
