//! What accounts have besides address and password: states, scopes, quotas, forwards, replies, grants (policy semantics
//! §10 to §12).

use std::sync::Arc;

use super::super::Actor;
use super::super::error::OpError;
use super::super::spec::{AccountSpec, Object, Problem};
use super::super::view::AccountDetail;
use super::account::{account_in, detail};
use super::permit::admit;
use super::{Admin, Plan, not_found};
use crate::directory::change::Change;
use crate::directory::{Account, AdminForward, Directory, ExternalForward, Forward, Target};
use crate::mail::Address;

impl Admin {
    /// Replaces everything of an account but its id and its password; another address renames it, and what names it
    /// goes on to (policy semantics §1).
    pub async fn put_account(
        self: &Arc<Self>,
        actor: Actor,
        address: Address,
        spec: AccountSpec,
    ) -> Result<AccountDetail, OpError> {
        self.edit_account(actor, "account.put", address, move |shape| *shape = spec.clone()).await
    }

    /// Changes something of an account.
    pub async fn edit_account(
        self: &Arc<Self>,
        actor: Actor,
        action: &'static str,
        address: Address,
        edit: impl Fn(&mut AccountSpec) + Send + Sync + 'static,
    ) -> Result<AccountDetail, OpError> {
        let id = account_in(&self.services.directory.current(), &address)?.id;
        let wanted = address.clone();
        let directory = self
            .change(actor, action, self.owner(&address), move |directory| {
                let old = account_in(directory, &wanted)?;
                let mut shape = AccountSpec::describe(old, directory);
                edit(&mut shape);
                admit(directory, actor, &shape.address)?;
                let record = resolved(&shape, directory, old)?;
                Ok(Plan::one(Change::PutAccount(record), Object::Account(old.id)))
            })
            .await?;
        let account = directory.account(id).ok_or_else(|| not_found(format!("account {address}")))?;
        Ok(detail(account, &directory, actor))
    }
}

/// The record for a shape, with what the organisation says of forwards to the outside (policy semantics §11.1).
pub(super) fn resolved(shape: &AccountSpec, directory: &Directory, old: &Account) -> Result<Account, OpError> {
    let record = shape.resolve(directory, old).map_err(OpError::Shape)?;
    let organisation = record.address.domain().and_then(|d| directory.organisation_of(d));
    let policy = organisation.and_then(|id| directory.organisation(id)).map(|o| o.external_forward);
    let policy = policy.unwrap_or_default();
    let mut settings = record.settings().clone();
    let before = old.settings();
    if let Some(forward) = &mut settings.forward {
        consent(forward, before.forward.as_ref());
        if policy != ExternalForward::Allow {
            check("forward", forward_targets(forward), before.forward.as_ref().map(forward_targets))?;
        }
    }
    if let Some(forward) = &settings.admin_forward
        && policy == ExternalForward::Deny
    {
        check("admin_forward", admin_targets(forward), before.admin_forward.as_ref().map(admin_targets))?;
    }
    Ok(record.with_settings(settings))
}

/// What an external target has confirmed, nobody else can: only what was confirmed before still is.
fn consent(forward: &mut Forward, before: Option<&Forward>) {
    for target in forward.targets.iter_mut().filter(|t| matches!(t.to, Target::External(_))) {
        let had = before.and_then(|b| b.targets.iter().find(|t| t.to == target.to));
        target.confirmed = had.is_some_and(|t| t.confirmed);
    }
}

/// No external target may be set that was not set already: the policy may be younger than it, and keeps it from being
/// used (F06).
fn check(field: &str, targets: Vec<&Target>, before: Option<Vec<&Target>>) -> Result<(), OpError> {
    let new = |target: &&&Target| !before.as_ref().is_some_and(|b| b.contains(*target));
    let refused = targets.iter().filter(new).filter_map(|target| match target {
        Target::External(address) => Some(address.to_string()),
        Target::Account(_) | Target::Group(_) => None,
    });
    let allowed = "an address here: the organisation does not allow this forward to the outside";
    let problems: Vec<Problem> = refused
        .map(|address| Problem::keyed("external_forward", format!("{field}.targets"), address, allowed))
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(OpError::Shape(problems)) }
}

fn forward_targets(forward: &Forward) -> Vec<&Target> {
    forward.targets.iter().map(|t| &t.to).collect()
}

fn admin_targets(forward: &AdminForward) -> Vec<&Target> {
    forward.targets.iter().collect()
}
