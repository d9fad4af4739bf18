//! Changes: checked as a whole against a snapshot, giving the next snapshot and the records to write.

use std::collections::BTreeMap;
use std::fmt;
use std::slice;
use std::sync::Arc;

use super::record::{self, Counters};
use super::snapshot::Bound;
use super::{Account, Alias, Department, Directory, DomainKeys, DomainRecord, Group, Organisation, Relay, Rule};
use crate::mail::one_time;
use crate::mail::{AccountId, Address, AliasId, DepartmentId, DomainId, GroupId, OrganisationId, RelayId, RuleId};

mod account;
mod group;
mod lists;
mod organisation;
mod rule;

pub use group::{DYNAMIC_DEPARTMENTS, NESTING_DEPTH, WHITELIST_ENTRIES};
pub use rule::RULES_PER_ORGANISATION;

/// One change of the directory. `Put` adds an object under a new id (see [`Directory::new_account_id`] and its like) or
/// replaces the one that has the id.
#[derive(Clone, Debug)]
pub enum Change {
    /// Adds or replaces an organisation.
    PutOrganisation(Organisation),
    /// Removes an organisation that has no domains.
    RemoveOrganisation(OrganisationId),
    /// Adds a domain, or replaces it under the same name.
    PutDomain(DomainRecord),
    /// Removes a domain that has no addresses and no second names.
    RemoveDomain(DomainId),
    /// Sets the keys with which a domain signs.
    PutKeys(DomainKeys),
    /// Adds or replaces a department.
    PutDepartment(Department),
    /// Removes a department that has nobody in it and none below it.
    RemoveDepartment(DepartmentId),
    /// Adds or replaces an account.
    PutAccount(Account),
    /// Removes an account and its aliases.
    RemoveAccount(AccountId),
    /// Adds an alias, or replaces it under the same address.
    PutAlias(Alias),
    /// Removes an alias.
    RemoveAlias(AliasId),
    /// Adds or replaces a group.
    PutGroup(Group),
    /// Removes a group.
    RemoveGroup(GroupId),
    /// Adds or replaces a mail rule.
    PutRule(Rule),
    /// Removes a mail rule.
    RemoveRule(RuleId),
    /// Adds or replaces a trusted relay or gateway.
    PutRelay(Relay),
    /// Removes a trusted relay or gateway.
    RemoveRelay(RelayId),
}

/// Why a change is refused: key and text of the admin API's error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Bound to another object (policy semantics §1).
    #[error("address {0} is in use")]
    AddressInUse(Address),
    /// Held by the recycle bin or a disabled alias (policy semantics §1, §4.2), or of the form of one-time addresses.
    #[error("address {0} is reserved")]
    AddressReserved(Address),
    /// Something of this kind has the name.
    #[error("{0} exists")]
    NameInUse(String),
    /// The address's domain is not hosted here.
    #[error("domain of {0} is not hosted here")]
    ForeignDomain(Address),
    /// Other objects still use it.
    #[error("{0}")]
    InUse(String),
    /// No such object.
    #[error("{0} does not exist")]
    NotFound(String),
    /// A limit of the semantics, e.g. aliases of an account (§5).
    #[error("{0}")]
    Limit(String),
    /// More entries than a list may have (§7.1).
    #[error("{0}")]
    ListLimit(String),
    /// More rules than an organisation may have (§13.1).
    #[error("an organisation has at most {0} mail rules")]
    RuleLimit(usize),
    /// A group would hold itself (§6.2).
    #[error("group {0} would hold itself")]
    GroupCycle(Address),
    /// Groups nested too deeply (§6.2).
    #[error("groups nest at most {NESTING_DEPTH} levels deep")]
    GroupDepth,
    /// A department would lie below itself (§16).
    #[error("department {0} would lie below itself")]
    DepartmentCycle(String),
    /// The last active domain admin of an organisation stays (§10.1).
    #[error("{0} is the last active admin of its organisation")]
    LastAdmin(Address),
    /// A value that cannot be.
    #[error("{0}")]
    Invalid(String),
}

/// A record to write: (kind, id, value or `None` to remove).
pub type RecordWrite = (u8, u32, Option<Vec<u8>>);

/// Aliases of one account (policy semantics §5).
pub const ALIASES_PER_ACCOUNT: usize = 5;
/// Targets of one forward (policy semantics §11.1).
pub const FORWARD_TARGETS: usize = 5;
/// Second names of one domain (policy semantics §23).
pub const DOMAIN_ALIASES: usize = 6;

/// Checks `change` against `directory` and gives the directory after it with the records to write.
pub fn apply(directory: &Directory, change: &Change) -> Result<(Directory, Vec<RecordWrite>), Refusal> {
    apply_all(directory, slice::from_ref(change))
}

/// The same for several changes, each checked against what those before it made; all or none. They are one step of
/// the version, and copy the snapshot once: adding a thousand accounts costs little more than adding one.
pub fn apply_all(directory: &Directory, changes: &[Change]) -> Result<(Directory, Vec<RecordWrite>), Refusal> {
    apply_each(directory, changes).map_err(|(_, refusal)| refusal)
}

/// [`apply_all`], saying of which change (counted from 0) the refusal is.
pub fn apply_each(
    directory: &Directory,
    changes: &[Change],
) -> Result<(Directory, Vec<RecordWrite>), (usize, Refusal)> {
    let mut draft = Draft::new(directory);
    for (n, change) in changes.iter().enumerate() {
        draft.apply(change).map_err(|refusal| (n, refusal))?;
    }
    Ok(draft.finish())
}

/// A directory to come, and the records in which it differs: for changes that depend on those before them.
pub struct Draft {
    next: Directory,
    version: u64,
    counters: Counters,
    writes: BTreeMap<(u8, u32), Option<Vec<u8>>>,
}

/// Without the records, which have credentials.
impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft")
            .field("version", &self.version)
            .field("writes", &self.writes.len())
            .finish_non_exhaustive()
    }
}

impl Draft {
    /// Begins with `directory`.
    pub fn new(directory: &Directory) -> Self {
        let (version, counters) = (directory.version, directory.counters);
        Self { next: directory.clone(), version, counters, writes: BTreeMap::new() }
    }

    /// The directory as the changes so far make it.
    pub fn directory(&self) -> &Directory {
        &self.next
    }

    /// The directory and the records to write: one step of the version.
    pub fn finish(mut self) -> (Directory, Vec<RecordWrite>) {
        self.next.version = self.version.saturating_add(1);
        if self.next.counters != self.counters {
            self.writes.insert((record::COUNTERS, 0), Some(record::encode(&self.next.counters)));
        }
        (self.next, self.writes.into_iter().map(|((kind, id), value)| (kind, id, value)).collect())
    }

    /// Checks one change and makes it; a refused one leaves everything as it was.
    pub fn apply(&mut self, change: &Change) -> Result<(), Refusal> {
        match change {
            Change::PutOrganisation(organisation) => self.put_organisation(organisation),
            Change::RemoveOrganisation(id) => self.remove_organisation(*id),
            Change::PutDomain(domain) => self.put_domain(domain),
            Change::RemoveDomain(id) => self.remove_domain(*id),
            Change::PutKeys(keys) => self.put_keys(keys),
            Change::PutDepartment(department) => self.put_department(department),
            Change::RemoveDepartment(id) => self.remove_department(*id),
            Change::PutAccount(account) => self.put_account(account),
            Change::RemoveAccount(id) => self.remove_account(*id),
            Change::PutAlias(alias) => self.put_alias(alias),
            Change::RemoveAlias(id) => self.remove_alias(*id),
            Change::PutGroup(group) => self.put_group(group),
            Change::RemoveGroup(id) => self.remove_group(*id),
            Change::PutRule(rule) => self.put_rule(rule),
            Change::RemoveRule(id) => self.remove_rule(*id),
            Change::PutRelay(relay) => self.put_relay(relay),
            Change::RemoveRelay(id) => self.remove_relay(*id),
        }
    }

    fn write<T: serde::Serialize>(&mut self, kind: u8, id: u32, record: &T) {
        self.writes.insert((kind, id), Some(record::encode(record)));
    }

    fn delete(&mut self, kind: u8, id: u32) {
        self.writes.insert((kind, id), None);
    }

    /// An address that may be bound: of a hosted domain, and of nobody, or of `holder` already.
    fn check_free(&self, address: &Address, holder: Bound) -> Result<(), Refusal> {
        if !address.domain().is_some_and(|d| self.next.hosts(d)) {
            return Err(Refusal::ForeignDomain(address.clone()));
        }
        if one_time::is_reserved(address.local_part().as_str()) {
            return Err(Refusal::AddressReserved(address.clone()));
        }
        match self.next.addresses.get(&address.key()) {
            None => Ok(()),
            Some(bound) if *bound == holder => Ok(()),
            Some(bound) if self.is_reserved(*bound) => Err(Refusal::AddressReserved(address.clone())),
            Some(_) => Err(Refusal::AddressInUse(address.clone())),
        }
    }

    fn is_reserved(&self, bound: Bound) -> bool {
        let present = |id: AccountId| self.next.accounts.get(&id).is_some_and(|a| a.state.is_present());
        match bound {
            Bound::Account(id) => !present(id),
            Bound::Alias(id) => self.next.aliases.get(&id).is_some_and(|a| !present(a.account)),
            Bound::Group(_) => false,
        }
    }

    fn bind(&mut self, address: &Address, bound: Bound) {
        Arc::make_mut(&mut self.next.addresses).insert(address.key(), bound);
    }

    fn unbind(&mut self, address: &Address) {
        Arc::make_mut(&mut self.next.addresses).remove(&address.key());
    }
}

/// Takes a new id out of the counter. An id below it belonged to an object that is gone, and stays with it.
fn claim(
    counters: &mut Counters,
    counter: impl Fn(&mut Counters) -> &mut u32,
    id: u32,
    kind: &str,
) -> Result<(), Refusal> {
    let next = counter(counters);
    if id < *next {
        return Err(Refusal::NotFound(format!("{kind} {id}")));
    }
    *next = id.checked_add(1).ok_or_else(|| Refusal::Limit(format!("no further {kind} ids")))?;
    Ok(())
}

#[cfg(test)]
mod tests;
