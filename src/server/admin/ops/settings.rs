//! What accounts have besides address and password: states, scopes, quotas, forwards, replies, grants (policy semantics
//! §10 to §12).

use std::sync::Arc;

use super::super::Actor;
use super::super::error::OpError;
use super::super::report::AskedView;
use super::super::spec::{AccountSpec, Object, Problem};
use super::super::view::AccountDetail;
use super::account::{account_in, detail};
use super::permit::admit;
use super::{Admin, Plan, not_found};
use crate::accept::confirmation::{self, Repeat};
use crate::directory::change::Change;
use crate::directory::{Account, AdminForward, Directory, ExternalForward, Forward, ForwardTarget, Target};
use crate::mail::{AccountId, Address};

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

/// An external target of an owner's forward that has not confirmed.
pub(super) type Unconfirmed = (AccountId, Address);

impl Admin {
    /// Confirms that an external target wants the mail that an owner forwards to it, as it says itself (policy
    /// semantics §11.1). [`OpError::AlreadyDecided`] if nobody asks any more.
    pub async fn confirm_forward(
        self: &Arc<Self>,
        actor: Actor,
        account: AccountId,
        target: Address,
    ) -> Result<(), OpError> {
        let owner = self.services.directory.current().account_organisation(account);
        let changed = self.change(actor, "account.forward-confirmed", owner, move |directory| {
            let record = directory.account(account).and_then(|old| confirmed(old, &target));
            let record = record.ok_or(OpError::AlreadyDecided)?;
            Ok(Plan::one(Change::PutAccount(record), Object::Account(account)))
        });
        changed.await.map(drop)
    }

    /// Asks the external targets of an owner's forward that have not confirmed once more, or `only` one of them; gives
    /// them with whether they were mailed. For the owner once a day is enough, an administrator may ask at any time.
    pub async fn ask_again(
        &self,
        actor: Actor,
        address: &Address,
        only: Option<&Address>,
    ) -> Result<Vec<AskedView>, OpError> {
        let directory = self.services.directory.current();
        let account = account_in(&directory, address)?;
        let repeat = match actor {
            Actor::Unix { .. } | Actor::Token { .. } => Repeat::AtOnce,
            Actor::Account { .. } | Actor::Answer { .. } | Actor::Server => Repeat::Daily,
        };
        let desk = self.services.desk();
        let mut asked = Vec::new();
        for target in open_targets(account).filter(|target| only.is_none_or(|only| only == *target)) {
            let is_mailed = confirmation::ask(&desk, &directory, account, target, repeat).await?;
            asked.push(AskedView { target: target.to_string(), mailed: is_mailed });
        }
        Ok(asked)
    }

    /// Asks those of whom a change has made something. A failure is logged: the change stands, and they can be asked
    /// again.
    pub(super) async fn ask_targets(&self, directory: &Directory, unconfirmed: Vec<Unconfirmed>) {
        let desk = self.services.desk();
        for (account, target) in unconfirmed {
            let Some(account) = directory.account(account) else { continue };
            if let Err(error) = confirmation::ask(&desk, directory, account, &target, Repeat::Daily).await {
                tracing::error!(account = %account.address, %target, %error, "a forward's target could not be asked");
            }
        }
    }
}

/// The external targets to ask after a change: those that are new, and all of them if it was about the forward. Nobody
/// is asked about what the organisation does not allow anyway.
pub(super) fn unconfirmed(before: &Directory, after: &Directory, object: &Object, action: &str) -> Vec<Unconfirmed> {
    let Object::Account(id) = object else { return Vec::new() };
    let Some(account) = after.account(*id).filter(|account| account.state.is_present()) else { return Vec::new() };
    let organisation = after.account_organisation(*id).and_then(|organisation| after.organisation(organisation));
    if organisation.is_none_or(|o| o.external_forward != ExternalForward::Allow) {
        return Vec::new();
    }
    let old: Vec<&Address> = before.account(*id).map(|old| open_targets(old).collect()).unwrap_or_default();
    let is_asked = |target: &&Address| action == FORWARD || !old.contains(target);
    open_targets(account).filter(is_asked).map(|target| (*id, target.clone())).collect()
}

/// The external targets of the owner's forward that have not confirmed.
fn open_targets(account: &Account) -> impl Iterator<Item = &Address> {
    let targets = account.settings().forward.iter().flat_map(|forward| &forward.targets);
    targets.filter(|target| !target.confirmed).filter_map(|target| match &target.to {
        Target::External(address) => Some(address),
        Target::Account(_) | Target::Group(_) => None,
    })
}

/// The account with this target confirmed; `None` if it is no target, or is confirmed already.
fn confirmed(old: &Account, to: &Address) -> Option<Account> {
    let mut settings = old.settings().clone();
    let targets = &mut settings.forward.as_mut()?.targets;
    let is_it = |target: &&mut ForwardTarget| !target.confirmed && target.to == Target::External(to.clone());
    targets.iter_mut().find(is_it)?.confirmed = true;
    Some(old.clone().with_settings(settings))
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

/// The action that sets an owner's forward, as the audit log names it.
pub const FORWARD: &str = "account.forward";
