//! Changes: checked as a whole against a snapshot, giving the next snapshot and the records to write.

use std::collections::BTreeMap;
use std::slice;
use std::sync::Arc;

use super::record::{self, Counters};
use super::snapshot::Bound;
use super::{Account, AccountState, Alias, Directory, DomainRecord};
use crate::mail::{AccountId, Address, AliasId, Domain, DomainId};

/// One change of the directory.
#[derive(Clone, Debug)]
pub enum Change {
    /// Adds a domain, under an id from [`Directory::new_domain_id`].
    AddDomain(DomainRecord),
    /// Removes a domain that has no addresses.
    RemoveDomain(DomainId),
    /// Adds an account, under an id from [`Directory::new_account_id`], or replaces it.
    PutAccount(Account),
    /// Removes an account and its aliases.
    RemoveAccount(AccountId),
    /// Adds an alias, under an id from [`Directory::new_alias_id`].
    AddAlias(Alias),
    /// Removes an alias.
    RemoveAlias(AliasId),
}

/// Why a change is refused: key and text of the admin API's error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Bound to another object (policy semantics §1).
    #[error("address {0} is in use")]
    AddressInUse(Address),
    /// The domain is hosted already.
    #[error("domain {0} exists")]
    DomainExists(Domain),
    /// The address's domain is not hosted here.
    #[error("domain of {0} is not hosted here")]
    ForeignDomain(Address),
    /// Accounts or aliases still use it.
    #[error("domain {0} is in use by {1} addresses")]
    DomainInUse(Domain, usize),
    /// No such object.
    #[error("{0} does not exist")]
    NotFound(String),
    /// A limit of the semantics, e.g. aliases of an account (§5).
    #[error("{0}")]
    Limit(String),
}

/// A record to write: (kind, id, value or `None` to remove).
pub type RecordWrite = (u8, u32, Option<Vec<u8>>);

/// Aliases of one account (policy semantics §5).
pub const ALIASES_PER_ACCOUNT: usize = 5;

/// Checks `change` against `directory` and gives the directory after it with the records to write.
pub fn apply(directory: &Directory, change: &Change) -> Result<(Directory, Vec<RecordWrite>), Refusal> {
    apply_all(directory, slice::from_ref(change))
}

/// The same for several changes, each checked against what those before it made; all or none. They are one step of
/// the version, and copy the snapshot once: adding a thousand accounts costs little more than adding one.
pub fn apply_all(directory: &Directory, changes: &[Change]) -> Result<(Directory, Vec<RecordWrite>), Refusal> {
    let mut draft = Draft { next: directory.clone(), writes: BTreeMap::new() };
    for change in changes {
        draft.apply(change)?;
    }
    let Draft { mut next, mut writes } = draft;
    next.version = directory.version.saturating_add(1);
    if next.counters != directory.counters {
        writes.insert((record::COUNTERS, 0), Some(record::encode(&next.counters)));
    }
    Ok((next, writes.into_iter().map(|((kind, id), value)| (kind, id, value)).collect()))
}

/// The directory to come, and the records in which it differs.
struct Draft {
    next: Directory,
    writes: BTreeMap<(u8, u32), Option<Vec<u8>>>,
}

impl Draft {
    fn apply(&mut self, change: &Change) -> Result<(), Refusal> {
        match change {
            Change::AddDomain(domain) => self.add_domain(domain),
            Change::RemoveDomain(id) => self.remove_domain(*id),
            Change::PutAccount(account) => self.put_account(account),
            Change::RemoveAccount(id) => self.remove_account(*id),
            Change::AddAlias(alias) => self.add_alias(alias),
            Change::RemoveAlias(id) => self.remove_alias(*id),
        }
    }

    fn add_domain(&mut self, domain: &DomainRecord) -> Result<(), Refusal> {
        if self.next.hosts(&domain.name) {
            return Err(Refusal::DomainExists(domain.name.clone()));
        }
        claim(&mut self.next.counters, |c| &mut c.domain, domain.id.number(), "domain")?;
        self.next.domain_names.insert(domain.name.clone(), domain.id);
        self.next.domains.insert(domain.id, Arc::new(domain.clone()));
        self.writes.insert((record::DOMAIN, domain.id.number()), Some(record::encode(domain)));
        Ok(())
    }

    fn remove_domain(&mut self, id: DomainId) -> Result<(), Refusal> {
        let domain = self.next.domains.get(&id).ok_or_else(|| Refusal::NotFound(format!("domain {id}")))?;
        let here = |a: &Address| a.domain() == Some(&domain.name);
        let addresses = self.next.accounts.values().filter(|a| here(&a.address)).count()
            + self.next.aliases.values().filter(|a| here(&a.address)).count();
        if addresses > 0 {
            return Err(Refusal::DomainInUse(domain.name.clone(), addresses));
        }
        if let Some(domain) = self.next.domains.remove(&id) {
            self.next.domain_names.remove(&domain.name);
        }
        self.writes.insert((record::DOMAIN, id.number()), None);
        Ok(())
    }

    fn put_account(&mut self, account: &Account) -> Result<(), Refusal> {
        self.check_free(&account.address, Some(Bound::Account(account.id)))?;
        match self.next.accounts.get(&account.id) {
            Some(old) => {
                self.next.addresses.remove(&old.address.key());
            }
            None => claim(&mut self.next.counters, |c| &mut c.account, account.id.number(), "account")?,
        }
        self.next.addresses.insert(account.address.key(), Bound::Account(account.id));
        self.next.accounts.insert(account.id, Arc::new(account.clone()));
        self.writes.insert((record::ACCOUNT, account.id.number()), Some(record::encode(account)));
        Ok(())
    }

    fn remove_account(&mut self, id: AccountId) -> Result<(), Refusal> {
        let account = self.next.accounts.remove(&id).ok_or_else(|| Refusal::NotFound(format!("account {id}")))?;
        self.next.addresses.remove(&account.address.key());
        self.writes.insert((record::ACCOUNT, id.number()), None);
        let aliases: Vec<AliasId> = self.next.aliases.values().filter(|a| a.account == id).map(|a| a.id).collect();
        aliases.into_iter().try_for_each(|alias| self.remove_alias(alias))
    }

    fn add_alias(&mut self, alias: &Alias) -> Result<(), Refusal> {
        let owner = self.next.accounts.get(&alias.account).filter(|a| a.state == AccountState::Active);
        if owner.is_none() {
            return Err(Refusal::NotFound(format!("account {}", alias.account)));
        }
        self.check_free(&alias.address, None)?;
        if self.next.aliases.values().filter(|a| a.account == alias.account).count() >= ALIASES_PER_ACCOUNT {
            return Err(Refusal::Limit(format!("an account has at most {ALIASES_PER_ACCOUNT} aliases")));
        }
        claim(&mut self.next.counters, |c| &mut c.alias, alias.id.number(), "alias")?;
        self.next.addresses.insert(alias.address.key(), Bound::Alias(alias.id));
        self.next.aliases.insert(alias.id, Arc::new(alias.clone()));
        self.writes.insert((record::ALIAS, alias.id.number()), Some(record::encode(alias)));
        Ok(())
    }

    fn remove_alias(&mut self, id: AliasId) -> Result<(), Refusal> {
        let alias = self.next.aliases.remove(&id).ok_or_else(|| Refusal::NotFound(format!("alias {id}")))?;
        self.next.addresses.remove(&alias.address.key());
        self.writes.insert((record::ALIAS, id.number()), None);
        Ok(())
    }

    /// An address that may be bound: of a hosted domain, and of nobody, or of `holder` already.
    fn check_free(&self, address: &Address, holder: Option<Bound>) -> Result<(), Refusal> {
        if !address.domain().is_some_and(|d| self.next.hosts(d)) {
            return Err(Refusal::ForeignDomain(address.clone()));
        }
        match self.next.addresses.get(&address.key()) {
            Some(bound) if Some(*bound) != holder => Err(Refusal::AddressInUse(address.clone())),
            _ => Ok(()),
        }
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
