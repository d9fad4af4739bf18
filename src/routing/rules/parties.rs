//! Senders and recipients in the words of conditions and scopes (policy semantics §13.2, §13.3).

use std::collections::{BTreeMap, HashSet};

use rustc_hash::FxHashSet;

use crate::directory::{AddressPattern, Directory, Group, Owner, Principal, Subject, is_subdomain};
use crate::mail::{AccountId, Address, AddressKey, Domain, GroupId};
use crate::policy::group::is_member;
use crate::policy::sender::Identity;

/// One side of a message: who they are, by id and by all their addresses.
#[derive(Debug, Default)]
pub struct Parties {
    accounts: FxHashSet<AccountId>,
    groups: FxHashSet<GroupId>,
    addresses: HashSet<AddressKey>,
    domains: HashSet<Domain>,
}

impl Parties {
    /// An address as it was given, and whoever has it here.
    pub fn add_address(&mut self, directory: &Directory, address: &Address) {
        self.name(address);
        match directory.owner(address) {
            Owner::Account(account) => self.add(directory, Principal::Account(account.id)),
            Owner::Group(group) => self.add(directory, Principal::Group(group.id)),
            Owner::Nobody | Owner::Foreign => {}
        }
    }

    /// An account or group, by each of its addresses.
    pub fn add(&mut self, directory: &Directory, principal: Principal) {
        match principal {
            Principal::Account(id) => {
                if let Some(account) = directory.account(id).filter(|_| self.accounts.insert(id)) {
                    self.name(&account.address);
                    directory.aliases_of(id).filter(|a| a.enabled).for_each(|a| self.name(&a.address));
                }
            }
            Principal::Group(id) => {
                if let Some(group) = directory.group(id).filter(|_| self.groups.insert(id)) {
                    group.aliases.iter().chain([&group.address]).for_each(|a| self.name(a));
                }
            }
        }
    }

    /// An address that is not hosted here.
    pub fn name(&mut self, address: &Address) {
        self.addresses.insert(address.key());
        if let Some(domain) = address.domain()
            && !self.domains.contains(domain)
        {
            self.domains.insert(domain.clone());
        }
    }

    /// All their addresses.
    pub fn addresses(&self) -> impl Iterator<Item = &AddressKey> {
        self.addresses.iter()
    }

    /// The domains of these.
    pub fn domains(&self) -> impl Iterator<Item = &Domain> {
        self.domains.iter()
    }

    /// One of them is whom the pattern names.
    pub fn match_pattern(&self, directory: &Directory, pattern: &AddressPattern) -> bool {
        match pattern {
            AddressPattern::Account(id) => self.accounts.contains(id),
            AddressPattern::Group(id) => {
                self.groups.contains(id) || any_in(directory, Subject::Group(*id), &self.accounts)
            }
            AddressPattern::Department(scope) => any_in(directory, Subject::Department(*scope), &self.accounts),
            AddressPattern::Address(address) => self.addresses.contains(&address.key()),
            AddressPattern::Domain(domain) => self.domains.contains(domain),
            AddressPattern::Subdomains(above) => self.domains.iter().any(|d| is_subdomain(d, above)),
        }
    }
}

/// Which accounts of a message belong to an account, department or group: found out once for each group, and for each
/// department if the accounts are many.
#[derive(Debug)]
pub struct Membership<'a> {
    directory: &'a Directory,
    accounts: Vec<AccountId>,
    known: BTreeMap<Subject, FxHashSet<AccountId>>,
}

impl<'a> Membership<'a> {
    /// Of these accounts.
    pub fn new(directory: &'a Directory, accounts: Vec<AccountId>) -> Self {
        Self { directory, accounts, known: BTreeMap::new() }
    }

    /// True if one of the subjects is the account, or has it.
    pub fn covers(&mut self, subjects: &[Subject], account: AccountId) -> bool {
        subjects.iter().any(|subject| match subject {
            Subject::Account(id) => *id == account,
            Subject::Department(scope) if self.accounts.len() <= FEW => {
                self.directory.is_in_department(account, *scope)
            }
            Subject::Department(_) | Subject::Group(_) => self
                .known
                .entry(*subject)
                .or_insert_with(|| who_of(self.directory, *subject, self.accounts.iter().copied()))
                .contains(&account),
        })
    }
}

fn any_in(directory: &Directory, subject: Subject, accounts: &FxHashSet<AccountId>) -> bool {
    !who_of(directory, subject, accounts.iter().copied()).is_empty()
}

/// Those of the accounts that belong to the subject.
fn who_of(
    directory: &Directory,
    subject: Subject,
    accounts: impl ExactSizeIterator<Item = AccountId>,
) -> FxHashSet<AccountId> {
    match subject {
        Subject::Account(wanted) => accounts.filter(|id| *id == wanted).collect(),
        Subject::Department(scope) => accounts.filter(|id| directory.is_in_department(*id, scope)).collect(),
        Subject::Group(id) => match directory.group(id) {
            None => FxHashSet::default(),
            Some(group) if accounts.len() <= FEW => {
                accounts.filter(|id| is_member(directory, group, &Identity::Account(*id))).collect()
            }
            // Going through the group once beats going through it for each account.
            Some(group) => {
                let members = members(directory, group);
                accounts.filter(|id| members.contains(id)).collect()
            }
        },
    }
}

/// All accounts in a group, directly or through nested groups and departments, whatever their edges.
fn members(directory: &Directory, group: &Group) -> FxHashSet<AccountId> {
    let mut found = FxHashSet::default();
    let mut visited = FxHashSet::from_iter([group.id]);
    let mut work = vec![group];
    while let Some(group) = work.pop() {
        found.extend(&group.members.accounts);
        let staff = group.members.departments.iter().flat_map(|scope| directory.staff(*scope));
        found.extend(staff.filter(|id| !group.exclusions.contains(id)));
        let inner = group.members.groups.iter().filter(|n| visited.insert(n.group));
        work.extend(inner.filter_map(|n| directory.group(n.group)).map(|g| &**g));
    }
    found
}

/// Accounts that are each asked about.
const FEW: usize = 8;
