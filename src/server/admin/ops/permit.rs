//! Letting a request through, or refusing it and keeping a record of that (policy semantics §14, U06).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::super::permission::{Named, Reach, Touches};
use super::{Actor, Admin, OpError, audit};
use crate::accept::HeldPart;
use crate::directory::Directory;
use crate::login::locks::Table;
use crate::mail::{AccountId, Address, HoldId, OrganisationId, Timestamp};
use crate::policy::login::Limit;
use crate::store::{self, AuditEntry};

/// A request before its handler has it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Method and path as the table of routes has them: `PUT /accounts/{address}/quota`.
    pub route: String,
    /// What path and query name.
    pub named: Named,
}

impl Admin {
    /// Refuses what the actor may not do. Root, the token and the server itself may do everything.
    pub async fn permit(&self, actor: Actor, touches: Touches, mut asked: Asked) -> Result<(), OpError> {
        let account = match actor {
            Actor::Unix { .. } | Actor::Token { .. } | Actor::Server => return Ok(()),
            Actor::Account { account, .. } => account,
            // It has no login, and so no request.
            Actor::Answer { .. } => return Err(OpError::Forbidden),
        };
        if touches == Touches::Hold {
            asked.named.hold = self.held_for(asked.named.object.as_deref()).await?;
        }
        let directory = self.services.directory.current();
        let me = directory.account(account);
        if me.is_some_and(|me| touches.permit(&directory, me, &asked.named).is_ok()) {
            return Ok(());
        }
        let object: String = asked.named.object.unwrap_or_default().chars().take(NAMED).collect();
        let whose = asked.named.organisation.map(|name| format!(" of {name:.NAMED$}")).unwrap_or_default();
        let reason = format!("not permitted: {object}{whose}");
        Err(self.refuse(actor, &asked.route, None, OpError::Forbidden, reason).await)
    }

    /// Whose a held message is and who decides about it; `None` if there is none.
    async fn held_for(&self, id: Option<&str>) -> Result<Option<(OrganisationId, Vec<AccountId>)>, OpError> {
        let Some(id) = id.and_then(|text| text.parse::<HoldId>().ok()) else { return Ok(None) };
        match self.services.store.held_by_id(id).await {
            Ok(held) => {
                let approvers = HeldPart::decode(&held.data).map(|part| part.approvers).unwrap_or_default();
                Ok(Some((held.organisation, approvers)))
            }
            Err(store::Error::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Records an attempt that the semantics want to see recorded (policy semantics §14); gives the error back. `owner`
    /// is whose log has it, unless an account asked: then it is its own organisation's, which is answerable for it.
    pub(super) async fn refused(
        &self,
        actor: Actor,
        action: &str,
        owner: Option<OrganisationId>,
        error: OpError,
    ) -> OpError {
        let reason = error.to_string();
        self.refuse(actor, action, owner, error, reason).await
    }

    /// Counts a change of an account that administers nothing: each leaves a record for years, so that it has to have
    /// an end.
    pub(super) fn count_change(&self, actor: Actor) -> Result<(), OpError> {
        let Actor::Account { account, .. } = actor else { return Ok(()) };
        let directory = self.services.directory.current();
        let is_admin = directory.account(account).is_some_and(|a| a.settings().is_admin);
        if is_admin { Ok(()) } else { count(&self.changes, account, self.services.clock.now()) }
    }

    async fn refuse(
        &self,
        actor: Actor,
        action: &str,
        owner: Option<OrganisationId>,
        error: OpError,
        reason: String,
    ) -> OpError {
        let Some(key) = error.recorded_key() else { return error };
        let now = self.services.clock.now();
        let mut owner = owner;
        if let Actor::Account { account, .. } = actor {
            // What is refused writes, so that it has to have an end.
            if let Err(error) = count(&self.refusals, account, now) {
                return error;
            }
            owner = self.services.directory.current().account_organisation(account);
        }
        let record = audit::Record::refusal(now, actor, action, key, reason).encode();
        let entries: Vec<AuditEntry> =
            owner.into_iter().map(|organisation| AuditEntry { organisation, record: record.clone() }).collect();
        tracing::warn!(action, ?actor, key, "refused");
        if let Err(unrecorded) = self.services.store.audit_append(entries).await {
            return unrecorded.into();
        }
        error
    }
}

fn count(table: &Mutex<Table<AccountId>>, account: AccountId, now: Timestamp) -> Result<(), OpError> {
    let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(until) = table.until(&account, now) {
        let left = u64::try_from(until.millis().saturating_sub(now.millis())).unwrap_or_default();
        return Err(OpError::TooMany(Duration::from_millis(left)));
    }
    table.add(account, now);
    Ok(())
}

/// Refuses an address of another organisation that a body names; what is no address is refused as such later.
pub(super) fn admit(directory: &Directory, actor: Actor, address: &str) -> Result<(), OpError> {
    Address::parse(address).map_or(Ok(()), |address| Reach::of(directory, actor).admits(directory, &address))
}

/// Refusals of an account that are recorded: a person who tries the doors needs fewer, a program that goes through
/// them all is told to wait.
pub(super) const REFUSALS: Limit = Limit { failures: 200, within: HOUR, lock: HOUR };

/// Changes of an account that are made: of its own settings, or of groups that it manages.
pub(super) const CHANGES: Limit = Limit { failures: 300, within: HOUR, lock: HOUR };

const HOUR: i64 = 3_600_000;

/// Characters of a name in the record of a refusal.
const NAMED: usize = 300;
