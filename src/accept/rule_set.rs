//! The mail rules at acceptance, kept with what is held, because a release goes by them and not by those of then (policy
//! semantics §13.5). Kept are the rules in use of each organisation that has to do with the message; organisations whose
//! accounts come in only later, as new members of a group, have their rules of then.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::assemble::Parts;
use super::desk::Desk;
use super::letter::Letter;
use crate::directory::{Directory, Rule};
use crate::mail::OrganisationId;
use crate::routing::{Addressed, Receiver};
use crate::store::{self, RuleSet, RuleSetId};

/// One organisation's rules, to be written.
#[derive(Serialize)]
struct Kept<'a> {
    organisation: OrganisationId,
    rules: Vec<&'a Rule>,
}

/// The same, as read.
#[derive(Deserialize)]
struct Stored {
    organisation: OrganisationId,
    rules: Vec<Rule>,
}

/// The rules for what a letter leaves held; none if nothing is.
pub fn of(letter: &Letter<'_>, parts: &Parts) -> Vec<RuleSet> {
    if parts.holds.is_empty() {
        return Vec::new();
    }
    let directory = letter.directory;
    let mut organisations: BTreeSet<OrganisationId> = parts.holds.iter().map(|hold| hold.organisation).collect();
    organisations.extend(letter.sender.account().and_then(|id| directory.account_organisation(id)));
    organisations.extend(letter.recipients.iter().filter_map(|recipient| match &recipient.addressed {
        Addressed::Account { account, .. } => directory.account_organisation(*account),
        Addressed::Group(group) => directory.group_organisation(*group),
        Addressed::External(_) => None,
    }));
    organisations.extend(parts.expansion.deliveries.iter().filter_map(|delivery| match delivery.to {
        Receiver::Account(account) => directory.account_organisation(account),
        Receiver::External(_) => None,
    }));
    organisations.into_iter().map(|organisation| kept(directory, organisation)).collect()
}

/// What is off now does not come on for messages that are here already.
fn kept(directory: &Directory, organisation: OrganisationId) -> RuleSet {
    let rules = directory.rules().iter().map(AsRef::as_ref);
    let rules = rules.filter(|rule: &&Rule| rule.organisation == organisation && rule.enabled).collect();
    let mut octets = vec![VERSION];
    // Records with string keys: writing to memory cannot fail.
    let _ = serde_json::to_writer(&mut octets, &Kept { organisation, rules });
    RuleSet::new(octets)
}

/// The directory of now with the rules of then, and those for what is held further. A message that was held before
/// rules were kept has those of now.
pub async fn restore(
    desk: &Desk,
    directory: &Directory,
    ids: &[RuleSetId],
) -> Result<(Directory, Vec<RuleSet>), store::Error> {
    let (mut organisations, mut rules, mut sets) = (Vec::new(), Vec::new(), Vec::new());
    for id in ids {
        let set = desk.store.rule_set(*id).await?;
        let mut stored = match set.octets().split_first() {
            Some((&VERSION, json)) => serde_json::from_slice::<Stored>(json).map_err(|_| store::Error::Corrupt)?,
            _ => return Err(store::Error::Corrupt),
        };
        organisations.push(stored.organisation);
        rules.append(&mut stored.rules);
        sets.push(set);
    }
    Ok((directory.with_rules(&organisations, rules), sets))
}

const VERSION: u8 = 1;
