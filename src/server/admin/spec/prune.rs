//! `prune = true`: what the organisation has and the file does not name goes; accounts only into the recycle bin.

use std::collections::HashSet;

use super::Object;
use super::plan::{Planner, refused};
use crate::directory::change::Change;
use crate::directory::{Account, AccountState, Refusal};
use crate::mail::{Address, AddressKey, Domain, OrganisationId};

/// First, since the file may give their addresses to others: rules, groups, aliases and accounts.
pub(super) fn addresses(planner: &mut Planner<'_>) {
    let file = planner.file;
    let accounts = keys(file.accounts.iter().map(|(_, spec)| &spec.address));
    let aliases = keys(file.aliases.iter().map(|(_, spec)| &spec.address));
    let groups = keys(file.groups.iter().map(|(_, spec)| &spec.address));
    for organisation in pruned(planner) {
        let before = planner.before;
        let ours = |address: &Address| address.domain().and_then(|d| before.organisation_of(d)) == Some(organisation);
        let goes = |address: &Address, named: &HashSet<AddressKey>| ours(address) && !named.contains(&address.key());
        let rules: HashSet<&str> = planner.file.rules.iter().map(|(_, spec)| spec.name.as_str()).collect();
        for rule in before.rules().iter().filter(|r| r.organisation == organisation && !rules.contains(&*r.name)) {
            remove(planner, Change::RemoveRule(rule.id), Object::Rule(rule.id));
        }
        for group in before.groups().filter(|g| goes(&g.address, &groups)) {
            remove(planner, Change::RemoveGroup(group.id), Object::Group(group.id));
        }
        for alias in before.aliases().filter(|a| goes(&a.address, &aliases)) {
            // Those of an account that goes wait with it in the bin.
            let owner = before.account(alias.account);
            if owner.is_some_and(|a| !goes(&a.address, &accounts) && a.state.is_present()) {
                remove(planner, Change::RemoveAlias(alias.id), Object::Alias(alias.id));
            }
        }
        for account in before.accounts().filter(|a| goes(&a.address, &accounts) && a.state.is_present()) {
            let binned = Account { state: AccountState::Binned, ..(**account).clone() };
            remove(planner, Change::PutAccount(binned), Object::Account(account.id));
        }
    }
}

/// Last, when nothing uses them any more: departments and domains. One that is still in use stays, e.g. by an account
/// in the recycle bin.
pub(super) fn places(planner: &mut Planner<'_>) {
    let domains: HashSet<Domain> =
        planner.file.domains.iter().filter_map(|(_, spec)| Domain::parse(&spec.name).ok()).collect();
    for organisation in pruned(planner) {
        let before = planner.before;
        let paths: HashSet<&str> = planner.file.departments.iter().map(|(_, spec)| spec.path.as_str()).collect();
        let departments = before.departments().filter(|d| d.organisation == organisation);
        let paths_of = departments.filter_map(|d| Some((d.id, before.department_path(d.id)?)));
        let mut departments: Vec<_> = paths_of.filter(|(_, path)| !paths.contains(&**path)).collect();
        // Those below come first.
        departments.sort_by_key(|(_, path)| std::cmp::Reverse(path.matches('/').count()));
        for (id, _) in departments {
            remove(planner, Change::RemoveDepartment(id), Object::Department(id));
        }
        let mut gone: Vec<_> =
            before.domains().filter(|d| d.organisation == organisation && !domains.contains(&d.name)).collect();
        gone.sort_by_key(|d| d.alias_of.is_none());
        for domain in gone {
            remove(planner, Change::RemoveDomain(domain.id), Object::Domain(domain.id));
        }
    }
}

fn remove(planner: &mut Planner<'_>, change: Change, object: Object) {
    match planner.try_change(change) {
        Ok(()) => planner.touch(object),
        Err(Refusal::InUse(_)) => {}
        Err(refusal) => planner.problems.push(refused(&refusal)),
    }
}

/// The organisations that exist already and are to be pruned.
fn pruned(planner: &Planner<'_>) -> Vec<OrganisationId> {
    let wanted = |name: &str| planner.file.prune.iter().any(|p| p == name);
    planner.before.organisations().filter(|o| wanted(&o.name)).map(|o| o.id).collect()
}

fn keys<'a>(texts: impl Iterator<Item = &'a String>) -> HashSet<AddressKey> {
    texts.filter_map(|text| Address::parse(text).ok()).map(|a| a.key()).collect()
}
