//! The snapshot and its lookups.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::record::{self, Counters, place};
use super::{Account, AccountState, Alias, DomainRecord, RecordError};
use crate::mail::{AccountId, Address, AddressKey, AliasId, Domain, DomainId};

/// Everything the directory holds, at one version. Never changed: a change makes a new one.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    pub(super) version: u64,
    pub(super) counters: Counters,
    pub(super) domains: BTreeMap<DomainId, Arc<DomainRecord>>,
    pub(super) accounts: BTreeMap<AccountId, Arc<Account>>,
    pub(super) aliases: BTreeMap<AliasId, Arc<Alias>>,
    pub(super) domain_names: HashMap<Domain, DomainId>,
    pub(super) addresses: HashMap<AddressKey, Bound>,
}

/// What an address is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    Account(AccountId),
    Alias(AliasId),
}

/// What an address stands for (policy semantics §4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// An account, by its primary address, an alias, or either with a plus detail.
    Account {
        /// The account.
        account: Arc<Account>,
        /// What stood behind the first `+`, if it was needed to find the account.
        detail: Option<String>,
    },
    /// The domain is hosted here, the address is not bound.
    Unknown,
    /// The domain is not hosted here.
    Foreign,
}

impl Directory {
    /// The directory that was stored as these records: (kind, id, value).
    pub fn from_records(version: u64, records: Vec<(u8, u32, Vec<u8>)>) -> Result<Self, RecordError> {
        let mut directory = Self { version, ..Self::default() };
        for (kind, id, value) in &records {
            directory.load(*kind, *id, value)?;
        }
        directory.bind()?;
        Ok(directory)
    }

    /// Grows by one with each change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The lookup order of policy semantics §4.2, as far as its objects exist: primary addresses, aliases, the same
    /// without plus detail, postmaster.
    pub fn lookup(&self, address: &Address) -> Lookup {
        let Some(domain) = address.domain().filter(|d| self.hosts(d)) else { return Lookup::Foreign };
        if let Some(account) = self.bound(&address.key()) {
            return Lookup::Account { account: account.clone(), detail: None };
        }
        let local = address.local_part().as_str();
        if let Some((base, detail)) = local.split_once('+')
            && !base.is_empty()
            && let Some(account) = self.bound(&AddressKey::new(base, address.host()))
        {
            return Lookup::Account { account: account.clone(), detail: Some(detail.to_owned()) };
        }
        let is_reserved = self.addresses.contains_key(&address.key());
        match self.postmaster(domain) {
            Some(account) if !is_reserved && local.eq_ignore_ascii_case("postmaster") => {
                Lookup::Account { account: account.clone(), detail: None }
            }
            _ => Lookup::Unknown,
        }
    }

    /// Who receives mail for `postmaster` of a hosted domain when the address is not bound (policy semantics §4.2
    /// step 7). There are no administrators in the directory yet: it is the domain's oldest active account, or else
    /// the oldest of all.
    pub fn postmaster(&self, domain: &Domain) -> Option<&Arc<Account>> {
        let active = || self.accounts.values().filter(|a| a.state == AccountState::Active);
        active().find(|a| a.address.domain() == Some(domain)).or_else(|| active().next())
    }

    /// Who receives mail for `postmaster` without a domain (RFC 5321 §4.5.1): the postmaster of the oldest domain.
    pub fn default_postmaster(&self) -> Option<&Arc<Account>> {
        let domain = &self.domains.values().next()?.name;
        let address = Address::parse(&format!("postmaster@{domain}")).ok()?;
        self.bound(&address.key()).or_else(|| self.postmaster(domain))
    }

    /// The account with this id.
    pub fn account(&self, id: AccountId) -> Option<&Arc<Account>> {
        self.accounts.get(&id)
    }

    /// The account that may log in under this name: primary address or alias, without detail. A name without `@`
    /// is nobody's.
    pub fn login(&self, name: &str) -> Option<&Arc<Account>> {
        self.bound(&Address::parse(name).ok()?.key())
    }

    /// The account whose primary address this is, whatever its state.
    pub fn account_at(&self, address: &Address) -> Option<&Arc<Account>> {
        match self.addresses.get(&address.key())? {
            Bound::Account(id) => self.accounts.get(id),
            Bound::Alias(_) => None,
        }
    }

    /// The alias of this address.
    pub fn alias_at(&self, address: &Address) -> Option<&Arc<Alias>> {
        match self.addresses.get(&address.key())? {
            Bound::Alias(id) => self.aliases.get(id),
            Bound::Account(_) => None,
        }
    }

    /// The domain of this name.
    pub fn domain(&self, name: &Domain) -> Option<&Arc<DomainRecord>> {
        self.domains.get(self.domain_names.get(name)?)
    }

    /// True if the domain is hosted here.
    pub fn hosts(&self, domain: &Domain) -> bool {
        self.domain_names.contains_key(domain)
    }

    /// The domains, by id.
    pub fn domains(&self) -> impl Iterator<Item = &Arc<DomainRecord>> {
        self.domains.values()
    }

    /// The accounts, by id.
    pub fn accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.accounts.values()
    }

    /// The aliases, by id.
    pub fn aliases(&self) -> impl Iterator<Item = &Arc<Alias>> {
        self.aliases.values()
    }

    /// How many accounts there are, those being removed too.
    pub fn account_count(&self) -> usize {
        self.accounts.len()
    }

    /// The `n`th id that the next new accounts get, counted from 0; `None` when ids are used up.
    pub fn new_account_id(&self, n: u32) -> Option<AccountId> {
        AccountId::new(self.counters.account.checked_add(n).filter(|id| *id < u32::MAX)?)
    }

    /// The id that the next new domain gets; `None` when ids are used up.
    pub fn new_domain_id(&self) -> Option<DomainId> {
        DomainId::new(self.counters.domain).filter(|id| id.number() < u32::MAX)
    }

    /// The id that the next new alias gets; `None` when ids are used up.
    pub fn new_alias_id(&self) -> Option<AliasId> {
        AliasId::new(self.counters.alias).filter(|id| id.number() < u32::MAX)
    }

    /// The active account that an address is bound to, itself or by an alias.
    fn bound(&self, key: &AddressKey) -> Option<&Arc<Account>> {
        let id = match self.addresses.get(key)? {
            Bound::Account(id) => *id,
            Bound::Alias(id) => self.aliases.get(id)?.account,
        };
        self.accounts.get(&id).filter(|a| a.state == AccountState::Active)
    }

    fn load(&mut self, kind: u8, id: u32, value: &[u8]) -> Result<(), RecordError> {
        let stored_as = |number: u32| match number == id {
            true => Ok(()),
            false => Err(RecordError::Damaged(place(kind, id))),
        };
        match kind {
            record::DOMAIN => {
                let domain: DomainRecord = record::decode(kind, id, value)?;
                stored_as(domain.id.number())?;
                self.domains.insert(domain.id, Arc::new(domain));
            }
            record::ACCOUNT => {
                let account: Account = record::decode(kind, id, value)?;
                stored_as(account.id.number())?;
                self.accounts.insert(account.id, Arc::new(account));
            }
            record::ALIAS => {
                let alias: Alias = record::decode(kind, id, value)?;
                stored_as(alias.id.number())?;
                self.aliases.insert(alias.id, Arc::new(alias));
            }
            record::COUNTERS => {
                stored_as(0)?;
                self.counters = record::decode(kind, id, value)?;
            }
            _ => return Err(RecordError::Version(place(kind, id))),
        }
        Ok(())
    }

    /// Fills the indexes from the records, and refuses records that contradict each other.
    fn bind(&mut self) -> Result<(), RecordError> {
        let contradiction = |kind: u8, id: u32| RecordError::Contradiction(place(kind, id));
        for (id, domain) in &self.domains {
            let twice = self.domain_names.insert(domain.name.clone(), *id).is_some();
            if twice || id.number() >= self.counters.domain {
                return Err(contradiction(record::DOMAIN, id.number()));
            }
        }
        for (id, account) in &self.accounts {
            let twice = self.addresses.insert(account.address.key(), Bound::Account(*id)).is_some();
            let hosted = account.address.domain().is_some_and(|d| self.domain_names.contains_key(d));
            if twice || !hosted || id.number() >= self.counters.account {
                return Err(contradiction(record::ACCOUNT, id.number()));
            }
        }
        for (id, alias) in &self.aliases {
            let twice = self.addresses.insert(alias.address.key(), Bound::Alias(*id)).is_some();
            let hosted = alias.address.domain().is_some_and(|d| self.domain_names.contains_key(d));
            let owned = self.accounts.contains_key(&alias.account);
            if twice || !hosted || !owned || id.number() >= self.counters.alias {
                return Err(contradiction(record::ALIAS, id.number()));
            }
        }
        Ok(())
    }
}
