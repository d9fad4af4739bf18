//! Applying a file that describes whole organisations (policy semantics §1 to §13 in one go).

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::Actor;
use super::super::error::OpError;
use super::super::spec::{Difference, File, FilePlan, plan};
use super::account::{check_password, hash_all};
use super::{Admin, Plan, blocking};
use crate::directory::change::Change;
use crate::directory::{Account, Credentials, Directory, Relay};
use crate::mail::{AddressKey, Timestamp};

/// What a file changed, or would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Applied {
    /// False for a dry run, and if there was nothing to change.
    pub applied: bool,
    /// Object by object.
    pub differences: Vec<Difference>,
}

impl Admin {
    /// What a file would change. `force` as for [`Admin::apply`].
    pub async fn dry_run(&self, text: String, force: bool) -> Result<Applied, OpError> {
        let (directory, now) = (self.services.directory.current(), self.services.clock.now());
        let drawn = blocking(move || {
            let plan = planned(&text, &directory, now)?;
            Ok((differences(&plan, &directory), relays(&plan), plan.directory))
        });
        let (differences, relays, after) = drawn.await?;
        self.check_relays(&after, &relays, force).await?;
        Ok(Applied { applied: false, differences })
    }

    /// Makes everything as a file says, in one change or not at all. The second time there is nothing to change.
    /// New trusted relays must be no MX of ours; `force` lists them also if the DNS does not tell.
    pub async fn apply(self: &Arc<Self>, actor: Actor, text: String, force: bool) -> Result<Applied, OpError> {
        let text: Arc<str> = text.into();
        let (directory, now) = (self.services.directory.current(), self.services.clock.now());
        let (first, known) = (text.clone(), directory.clone());
        let drawn = blocking(move || {
            let plan = planned(&first, &known, now)?;
            Ok((differences(&plan, &known), passwords(&plan)?, relays(&plan), plan.directory))
        });
        let (differences, passwords, relays, after) = drawn.await?;
        if differences.is_empty() {
            return Ok(Applied { applied: false, differences });
        }
        self.check_relays(&after, &relays, force).await?;
        let (keys, passwords): (Vec<AddressKey>, Vec<String>) = passwords.into_iter().unzip();
        let hashed = hash_all(passwords).await?;
        let credentials: HashMap<AddressKey, Option<Credentials>> = keys.into_iter().zip(hashed).collect();
        let change = move |directory: &Directory| {
            let plan = planned(&text, directory, now)?;
            Ok(with_credentials(plan, &credentials))
        };
        self.change(actor, "apply", None, change).await?;
        Ok(Applied { applied: true, differences })
    }
}

fn planned(text: &str, directory: &Directory, now: Timestamp) -> Result<FilePlan, OpError> {
    let (file, problems) = File::parse(text);
    plan(&file, problems, directory, now).map_err(OpError::File)
}

fn differences(plan: &FilePlan, before: &Directory) -> Vec<Difference> {
    plan.touched.iter().map(|object| object.difference(before, &plan.directory)).collect()
}

/// The relays that a file adds or changes.
fn relays(plan: &FilePlan) -> Vec<Relay> {
    let relay = |change: &Change| match change {
        Change::PutRelay(relay) => Some(relay.clone()),
        _ => None,
    };
    plan.changes.iter().filter_map(relay).collect()
}

/// The passwords of new accounts by address, since ids may have changed when the plan is drawn again.
fn passwords(plan: &FilePlan) -> Result<Vec<(AddressKey, String)>, OpError> {
    plan.passwords.iter().try_for_each(|p| check_password(&p.password))?;
    let keyed = |p: &super::super::spec::NewPassword| {
        Some((plan.directory.account(p.account)?.address.key(), p.password.clone()))
    };
    Ok(plan.passwords.iter().filter_map(keyed).collect())
}

fn with_credentials(plan: FilePlan, credentials: &HashMap<AddressKey, Option<Credentials>>) -> Plan {
    let has_password: std::collections::HashSet<_> = plan.passwords.iter().map(|p| p.account).collect();
    let add = |change| match change {
        Change::PutAccount(account) if has_password.contains(&account.id) => {
            let known = credentials.get(&account.address.key()).cloned().flatten();
            Change::PutAccount(Account { credentials: known.map(Box::new), ..account })
        }
        other => other,
    };
    let FilePlan { changes, touched, new_accounts, .. } = plan;
    Plan { changes: changes.into_iter().map(add).collect(), touched, new_accounts }
}
