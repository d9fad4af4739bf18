//! Accounts whose sending the server stops, and administrators who let it go on (policy semantics §10.1, §18).
//!
//! A suspension is in the directory: it outlives the server, every change of it is audited, and MAIL looks there. It is
//! made before the queue is held, and what is accepted while that happens is held by its own session afterwards
//! (`server::abuse`), so that nothing leaves between the two; a crash in between is made good at the next start.

use std::sync::Arc;

use super::super::Actor;
use super::super::audit::Record;
use super::super::error::OpError;
use super::super::spec::{Difference, Object};
use super::account::account_in;
use super::{Admin, Plan, not_found, unhurried};
use crate::accept::alert::{self, Alert, Repeat};
use crate::directory::change::Change;
use crate::directory::{Account, AccountSettings, Suspension, SuspensionCause};
use crate::mail::{AccountId, Address};
use crate::store::{AuditEntry, HeldBy, QueueChange, QueueList, QueueSender};

impl Admin {
    /// Stops the sending of an account that behaves as if it were abused: it may not submit, its queued mail is held, its
    /// sessions end, and its organisation's admins are told. Nothing happens to one that is stopped already.
    pub(in crate::server) async fn suspend_sending(
        self: &Arc<Self>,
        account: AccountId,
        cause: SuspensionCause,
        limit: u32,
    ) -> Result<(), OpError> {
        let since = self.services.clock.now();
        let owner = self.services.directory.current().account_organisation(account);
        let suspended = self.change(Actor::Server, "account.suspend-sending", owner, move |directory| {
            let old = directory.account(account).ok_or_else(|| not_found(format!("account {account}")))?;
            if old.settings().suspended.is_some() {
                return Err(OpError::AlreadyDecided);
            }
            Ok(put(old, Some(Suspension { since, cause })))
        });
        match suspended.await {
            Ok(_) => {}
            Err(OpError::AlreadyDecided) => return Ok(()),
            Err(error) => return Err(error),
        }
        let admin = self.clone();
        unhurried(async move {
            let held = admin.hold_queue_of(account).await?;
            let directory = admin.services.directory.current();
            let Some(account) = directory.account(account) else { return Ok(()) };
            let alert = Alert {
                event: "abuse.suspended",
                account,
                subject: format!("Sending was stopped for {}", account.address),
                text: suspended_text(account, cause, limit, held),
                repeat: Repeat::Always,
            };
            // The change is in the audit log already.
            alert::raise(&admin.services.desk(), &directory, &alert, None).await?;
            Ok(())
        })
        .await
    }

    /// Tells the admins of an account's organisation that it has exceeded a limit, once a day for each.
    pub(in crate::server) async fn tell_of_excess(
        self: &Arc<Self>,
        account: AccountId,
        cause: SuspensionCause,
        limit: u32,
    ) -> Result<(), OpError> {
        let directory = self.services.directory.current();
        let Some(account) = directory.account(account) else { return Ok(()) };
        let Some(organisation) = directory.account_organisation(account.id) else { return Ok(()) };
        let (event, action, reason) = match cause {
            SuspensionCause::MessageRate => {
                ("abuse.message-rate", "account.message-rate", format!("more than {limit} messages in a minute"))
            }
            SuspensionCause::RecipientRate => {
                ("abuse.recipient-rate", "account.recipient-rate", format!("more than {limit} recipients in a day"))
            }
        };
        let text = format!(
            "{} has tried to send more than it may:\n{reason}.\n\nWhat went beyond was refused for now (450 4.7.1); its \
             mail program may try again later.\n\n{}",
            account.address,
            limits_text(account)
        );
        let subject = format!("{} has exceeded a limit of sending", account.address);
        let entry = Difference {
            kind: "account".to_owned(),
            id: account.id.number(),
            name: account.address.to_string(),
            before: serde_json::Value::Null,
            after: serde_json::json!({ "exceeded": cause, "limit": limit }),
        };
        let record = Record::change(self.services.clock.now(), Actor::Server, action, vec![entry]);
        let record = Record { reason: Some(reason), ..record }.encode();
        let alert = Alert { event, account, subject, text, repeat: Repeat::Daily };
        let audit = Some(AuditEntry { organisation, record });
        Ok(alert::raise(&self.services.desk(), &directory, &alert, audit).await?)
    }

    /// Lets an account send again, and its queued mail go on; gives how much of it was held. An account that is not
    /// stopped may still have mail that is held for it. Nobody does this for their own account.
    pub async fn release_sending(self: &Arc<Self>, actor: Actor, address: Address) -> Result<usize, OpError> {
        let id = account_in(&self.services.directory.current(), &address)?.id;
        if matches!(actor, Actor::Account { account, .. } if account == id) {
            let error = OpError::Forbidden;
            return Err(self.refused(actor, RELEASE, self.owner(&address), error).await);
        }
        let admin = self.clone();
        unhurried(async move {
            // Held mail first: whatever stops this, the account is then still seen to be stopped, and this is done again.
            let mut released = admin.change_queue_of(id, QueueChange::Release(Some(HeldBy::Abuse))).await?;
            let lifted = admin.change(actor, RELEASE, admin.owner(&address), move |directory| {
                let old = directory.account(id).ok_or_else(|| not_found(format!("account {id}")))?;
                if old.settings().suspended.is_none() {
                    return Err(OpError::AlreadyDecided);
                }
                Ok(put(old, None))
            });
            match lifted.await {
                Ok(_) | Err(OpError::AlreadyDecided) => {}
                Err(error) => return Err(error),
            }
            admin.services.rates.forgive(id);
            // What a session has held meanwhile.
            let late = admin.change_queue_of(id, QueueChange::Release(Some(HeldBy::Abuse))).await?;
            released = released.saturating_add(late);
            tracing::info!(account = %address, ?actor, released, "sending goes on");
            Ok(released)
        })
        .await
    }

    /// Holds what waits of accounts that are stopped, in case a crash came between their suspension and that. To be
    /// called once, after the start.
    pub async fn hold_suspended(self: &Arc<Self>) {
        let directory = self.services.directory.current();
        for account in directory.accounts().filter(|account| account.settings().suspended.is_some()) {
            if let Err(error) = self.hold_queue_of(account.id).await {
                tracing::error!(account = %account.address, %error, "mail of a suspended account could not be stopped");
            }
        }
    }

    /// Holds what waits of an account; gives how much.
    pub(in crate::server) async fn hold_queue_of(&self, account: AccountId) -> Result<usize, OpError> {
        self.change_queue_of(account, QueueChange::Hold(HeldBy::Abuse)).await
    }

    async fn change_queue_of(&self, account: AccountId, change: QueueChange) -> Result<usize, OpError> {
        let store = &self.services.store;
        let (mut from, mut changed) = (None, 0_usize);
        loop {
            let page = store.queue(QueueList::Sender(QueueSender::Account(account)), from, AT_ONCE).await?;
            let ids = page.items.iter().map(|item| item.id).collect();
            changed = changed.saturating_add(store.queue_change(ids, change).await?);
            from = page.next;
            if from.is_none() {
                return Ok(changed);
            }
        }
    }
}

fn put(old: &Account, suspended: Option<Suspension>) -> Plan {
    let settings = AccountSettings { suspended, ..old.settings().clone() };
    let account = old.clone().with_settings(settings);
    let id = account.id;
    Plan::one(Change::PutAccount(account), Object::Suspension(id))
}

fn suspended_text(account: &Account, cause: SuspensionCause, limit: u32, held: usize) -> String {
    let address = &account.address;
    let why = match cause {
        SuspensionCause::MessageRate => {
            format!("It tried to send more than {limit} messages in a minute again and again within an hour.")
        }
        SuspensionCause::RecipientRate => {
            format!("It tried to write to more than twice as many recipients today as the {limit} that it may.")
        }
    };
    format!(
        "The server has stopped the sending of {address}, because it looks as if\nsomebody abuses the account.\n\n{why}\n\n\
         It can send nothing any more, its sessions were closed, and {held} of its recipients\nwho wait in the queue are held. \
         Mail for it comes in, and it can still be read.\n\n\
         If somebody has its password, set another one first:\n\n    posthouse account password {address}\n\n\
         What is held is shown by: posthouse queue list\nTo let it send again, and what is held go out:\n\n    \
         posthouse account release-sending {address}\n\n{}",
        limits_text(account)
    )
}

fn limits_text(account: &Account) -> String {
    format!(
        "If it is meant to send that much, give it limits of its own:\n\n    posthouse account send-limits {} \
         --messages-per-minute N --recipients-per-day N\n",
        account.address
    )
}

/// As the audit log names it.
const RELEASE: &str = "account.release-sending";

/// Items of the queue that are changed in one commit.
const AT_ONCE: usize = 500;
