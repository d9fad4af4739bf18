//! The operations of administrators, one set for every face (policy semantics §1, §4, §5): check against the
//! directory, write it with its audit record in one commit, then put the new snapshot in place.
//!
//! A change runs to its end once it has begun, even if whoever asked for it has gone: between the commit and the
//! new snapshot nothing may stop. It has either happened whole or not at all, apart from a removal, which is visible
//! at once and takes its time to clear away the mail; [`Admin::finish_removals`] goes on with those after a restart.

mod account;
mod alias;
mod domain;
mod status;

pub use account::NewAccount;

use std::sync::Arc;

use tokio::sync::Mutex;

use super::Actor;
use super::audit;
use super::error::OpError;
use crate::directory::change::{self, Change, RecordWrite};
use crate::directory::{Directory, Refusal};
use crate::mail::{AccountId, Timestamp};
use crate::server::Services;
use crate::store::{self, DirectoryWrite};

/// The administrator's hand on the server. One for the process.
#[derive(Debug)]
pub struct Admin {
    services: Arc<Services>,
    started: Timestamp,
    /// Held while the directory changes, so that no two changes start from the same version.
    changing: Mutex<()>,
}

impl Admin {
    /// For the process that has these services.
    pub fn new(services: Arc<Services>) -> Arc<Self> {
        let started = services.clock.now();
        Arc::new(Self { services, started, changing: Mutex::new(()) })
    }

    /// Makes the change that `plan` draws up from the directory as it is then; gives the directory after it.
    async fn change<P>(self: &Arc<Self>, actor: Actor, action: &'static str, plan: P) -> Result<Arc<Directory>, OpError>
    where
        P: Fn(&Directory) -> Result<Plan, OpError> + Send + Sync + 'static,
    {
        let admin = self.clone();
        unhurried(async move { admin.change_locked(actor, action, Arc::new(plan)).await }).await
    }

    async fn change_locked<P>(&self, actor: Actor, action: &str, plan: Arc<P>) -> Result<Arc<Directory>, OpError>
    where
        P: Fn(&Directory) -> Result<Plan, OpError> + Send + Sync + 'static,
    {
        let _changing = self.changing.lock().await;
        for _ in 0..ATTEMPTS {
            let before = self.services.directory.current();
            let version = before.version();
            let planned = plan.clone();
            let draft = blocking(move || draft(&before, &planned(&before)?)).await?;
            // INBOX is there before anyone can find the account.
            self.create_folders(draft.new_accounts).await?;
            let audit = audit::record(self.services.clock.now(), actor, action, &draft.audit);
            let writes = draft.writes.into_iter().map(|(kind, id, value)| DirectoryWrite { kind, id, value }).collect();
            match self.services.store.change_directory(version, writes, audit).await {
                Ok(()) => {
                    self.services.directory.replace(draft.next);
                    let objects: Vec<&str> = draft.audit.iter().take(LOGGED).map(|e| e.object.as_str()).collect();
                    tracing::info!(action, ?actor, ?objects, count = draft.audit.len(), "directory changed");
                    return Ok(self.services.directory.current());
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
    audit: Vec<audit::Entry>,
    new_accounts: Vec<AccountId>,
}

impl Plan {
    fn one(change: Change, audit: audit::Entry) -> Self {
        Self { changes: vec![change], audit: vec![audit], new_accounts: Vec::new() }
    }
}

/// A plan that the directory allows.
struct Draft {
    next: Directory,
    writes: Vec<RecordWrite>,
    audit: Vec<audit::Entry>,
    new_accounts: Vec<AccountId>,
}

fn draft(before: &Directory, plan: &Plan) -> Result<Draft, OpError> {
    let (next, writes) = change::apply_all(before, &plan.changes)?;
    Ok(Draft { next, writes, audit: plan.audit.clone(), new_accounts: plan.new_accounts.clone() })
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

/// How often a change starts again when another process was first.
const ATTEMPTS: usize = 5;

/// Objects that the log names of a change of many; the audit record has them all.
const LOGGED: usize = 10;

#[cfg(test)]
mod tests;
