//! The operations of administrators, one set for every face (policy semantics §1, §4, §5): check against the
//! directory, write it with its audit record in one commit, then put the new snapshot in place.
//!
//! A change runs to its end once it has begun, even if whoever asked for it has gone: between the commit and the
//! new snapshot nothing may stop. It has either happened whole or not at all, apart from a removal, which is visible
//! at once and takes its time to clear away the mail; [`Admin::finish_removals`] goes on with those after a restart.

mod account;
mod alias;
mod apply;
mod audit_log;
mod dkim;
mod domain;
mod exchange;
mod explain;
mod extent;
mod group;
pub mod hold;
mod hook;
mod list;
mod lock;
mod login;
mod metrics;
mod organisation;
mod permit;
mod published;
mod queue;
mod rule;
mod sending;
mod settings;
mod status;
mod trace;
mod webhook;

pub use account::{AccountFilter, NewAccount};
pub use apply::Applied;
pub use explain::Question;
pub use group::GroupList;
pub use hold::{HoldFilter, Ruling};
pub use hook::HookTest;
pub use list::Listed;
pub use permit::Asked;
pub use queue::{QueueAction, Selection, queue_from, queue_of};
pub use rule::RuleName;
pub use settings::FORWARD;
pub use trace::TraceFilter;

use std::sync::Arc;

use super::Actor;
use super::audit;
use super::error::OpError;
use super::permission;
use super::spec::{Difference, Object};
use crate::directory::change::{self, Change, RecordWrite};
use crate::directory::{Directory, Refusal};
use crate::login::locks::Table;
use crate::mail::{AccountId, Address, GroupId, OrganisationId, Timestamp};
use crate::server::Services;
use crate::store::{self, AuditEntry, DirectoryWrite};
use settings::Unconfirmed;

/// The administrator's hand on the server. As many as there are hands: changes take turns.
#[derive(Debug)]
pub struct Admin {
    services: Arc<Services>,
    started: Timestamp,
    /// Refused requests of accounts.
    refusals: std::sync::Mutex<Table<AccountId>>,
    /// Changes of accounts that administer nothing.
    changes: std::sync::Mutex<Table<AccountId>>,
    /// What waited when it was last asked for.
    waiting: tokio::sync::Mutex<Option<metrics::Waiting>>,
}

impl Admin {
    /// For the process that has these services.
    pub fn new(services: Arc<Services>) -> Arc<Self> {
        let started = services.clock.now();
        let refusals = std::sync::Mutex::new(Table::new(permit::REFUSALS));
        let changes = std::sync::Mutex::new(Table::new(permit::CHANGES));
        Arc::new(Self { services, started, refusals, changes, waiting: tokio::sync::Mutex::default() })
    }

    /// The directory as it is now.
    pub fn current(&self) -> Arc<Directory> {
        self.services.directory.current()
    }

    /// The organisation of an address.
    fn owner(&self, address: &Address) -> Option<OrganisationId> {
        self.services.directory.current().organisation_of(address.domain()?)
    }

    /// Makes the change that `plan` draws up from the directory as it is then; gives the directory after it. `owner`
    /// is whose log has it if it is refused.
    async fn change<P>(
        self: &Arc<Self>,
        actor: Actor,
        action: &'static str,
        owner: Option<OrganisationId>,
        plan: P,
    ) -> Result<Arc<Directory>, OpError>
    where
        P: Fn(&Directory) -> Result<Plan, OpError> + Send + Sync + 'static,
    {
        let admin = self.clone();
        unhurried(async move {
            let (directory, unconfirmed) = admin.change_in_turn(actor, action, owner, Arc::new(plan)).await?;
            admin.ask_targets(&directory, unconfirmed).await;
            Ok(directory)
        })
        .await
    }

    /// The same with the external targets of forwards that have to be asked for their consent.
    async fn change_in_turn<P>(
        &self,
        actor: Actor,
        action: &str,
        owner: Option<OrganisationId>,
        plan: Arc<P>,
    ) -> Result<(Arc<Directory>, Vec<Unconfirmed>), OpError>
    where
        P: Fn(&Directory) -> Result<Plan, OpError> + Send + Sync + 'static,
    {
        self.count_change(actor)?;
        let _turn = self.services.directory.turn().await;
        for _ in 0..ATTEMPTS {
            let before = self.services.directory.current();
            let version = before.version();
            let (planned, now) = (plan.clone(), self.services.clock.now());
            let doing = action.to_owned();
            let drawn = blocking(move || {
                let plan = planned(&before)?;
                permission::fence(&before, actor, &plan.changes)?;
                draft(&before, &plan, now, actor, &doing)
            })
            .await;
            let draft = match drawn {
                Ok(draft) => draft,
                Err(error) => return Err(self.refused(actor, action, owner, error).await),
            };
            // INBOX is there before anyone can find the account.
            self.create_folders(draft.new_accounts).await?;
            let writes = draft.writes.into_iter().map(|(kind, id, value)| DirectoryWrite { kind, id, value }).collect();
            match self.services.store.change_directory(version, writes, draft.audit).await {
                Ok(()) => {
                    self.services.directory.replace(draft.next);
                    let objects = draft.objects;
                    tracing::info!(action, ?actor, ?objects, count = draft.count, "directory changed");
                    return Ok((self.services.directory.current(), draft.unconfirmed));
                }
                Err(store::Error::Conflict) => self.reload().await?,
                Err(e) => return Err(e.into()),
            }
        }
        Err(store::Error::Conflict.into())
    }

    /// Takes the directory from the store, where another process has changed it.
    async fn reload(&self) -> Result<(), OpError> {
        let store = self.services.store.clone();
        let directory = blocking(move || {
            let (version, records) = store.load_directory()?;
            Directory::from_records(version, records).map_err(|e| {
                tracing::error!(error = %e, "directory cannot be read");
                OpError::Store(store::Error::Corrupt)
            })
        })
        .await?;
        self.services.directory.replace(directory);
        Ok(())
    }
}

/// What a change is to do.
#[derive(Debug, Default)]
struct Plan {
    changes: Vec<Change>,
    touched: Vec<Object>,
    new_accounts: Vec<AccountId>,
}

impl Plan {
    fn one(change: Change, object: Object) -> Self {
        Self { changes: vec![change], touched: vec![object], new_accounts: Vec::new() }
    }

    fn nothing() -> Self {
        Self::default()
    }
}

/// A plan that the directory allows.
struct Draft {
    next: Directory,
    writes: Vec<RecordWrite>,
    audit: Vec<AuditEntry>,
    new_accounts: Vec<AccountId>,
    /// Who has to be asked afterwards.
    unconfirmed: Vec<Unconfirmed>,
    /// For the log.
    objects: Vec<String>,
    count: usize,
}

fn draft(before: &Directory, plan: &Plan, now: Timestamp, actor: Actor, action: &str) -> Result<Draft, OpError> {
    let (next, writes) = change::apply_all(before, &plan.changes)?;
    let entries: Vec<Difference> = plan.touched.iter().map(|object| object.difference(before, &next)).collect();
    let owner = |object: &Object| object.organisation(before).or_else(|| object.organisation(&next));
    let owners: Vec<Option<OrganisationId>> = plan.touched.iter().map(owner).collect();
    let everybody: Vec<OrganisationId> = next.organisations().map(|o| o.id).collect();
    let unconfirmed =
        plan.touched.iter().flat_map(|object| settings::unconfirmed(before, &next, object, action)).collect();
    let objects = entries.iter().take(LOGGED).map(|e| e.name.clone()).collect();
    let count = entries.len();
    let audit = audit::records(&audit::Record::change(now, actor, action, entries), &owners, &everybody);
    Ok(Draft { next, writes, audit, new_accounts: plan.new_accounts.clone(), unconfirmed, objects, count })
}

/// Runs `operation` to its end whether or not the caller waits for it.
async fn unhurried<T: Send + 'static>(
    operation: impl Future<Output = Result<T, OpError>> + Send + 'static,
) -> Result<T, OpError> {
    tokio::spawn(operation).await.unwrap_or(Err(OpError::Unavailable))
}

/// Runs `work` on a thread that may block: copying a large directory and hashing take milliseconds.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, OpError> + Send + 'static) -> Result<T, OpError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(OpError::Unavailable))
}

/// Refused because there is no such thing.
fn not_found(object: impl std::fmt::Display) -> OpError {
    Refusal::NotFound(object.to_string()).into()
}

/// Refused because all numbers of a kind have been given out.
fn used_up() -> OpError {
    Refusal::Limit("ids are used up".to_owned()).into()
}

/// The account's address, or its id once it is gone.
fn account_name(directory: &Directory, id: AccountId) -> String {
    directory.account(id).map_or_else(|| format!("account {id}"), |account| account.address.to_string())
}

/// The group's address, or its id once it is gone.
fn group_name(directory: &Directory, id: GroupId) -> String {
    directory.group(id).map_or_else(|| format!("group {id}"), |group| group.address.to_string())
}

/// How often a change starts again when another process was first.
const ATTEMPTS: usize = 5;

/// Objects that the log names of a change of many; the audit record has them all.
const LOGGED: usize = 10;

#[cfg(test)]
mod tests;
