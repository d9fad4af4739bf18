//! The snapshot: every record, and the indexes that answer who is who without a search.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::record::{self, Counters, place};
use super::{
    Account, AccountState, Alias, Department, DepartmentScope, DomainKeys, DomainRecord, Group, Organisation,
    RecordError, Relay, RelayKind, Rule, RuleIndex,
};
use crate::mail::{
    AccountId, Address, AddressKey, AliasId, DepartmentId, Domain, DomainId, GroupId, OrganisationId, RelayId, RuleId,
};

/// Everything the directory holds, at one version. Never changed: a change makes a new one, which shares with the old
/// one whatever did not change.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    pub(super) version: u64,
    pub(super) counters: Counters,
    pub(super) organisations: BTreeMap<OrganisationId, Arc<Organisation>>,
    pub(super) domains: BTreeMap<DomainId, Arc<DomainRecord>>,
    pub(super) keys: BTreeMap<DomainId, Arc<DomainKeys>>,
    pub(super) departments: BTreeMap<DepartmentId, Arc<Department>>,
    // Behind one Arc each: a change copies only those that it touches.
    pub(super) accounts: Arc<BTreeMap<AccountId, Arc<Account>>>,
    pub(super) aliases: Arc<BTreeMap<AliasId, Arc<Alias>>>,
    pub(super) groups: Arc<BTreeMap<GroupId, Arc<Group>>>,
    pub(super) rules: BTreeMap<RuleId, Arc<Rule>>,
    pub(super) relays: BTreeMap<RelayId, Arc<Relay>>,
    pub(super) domain_names: HashMap<Domain, DomainId>,
    pub(super) addresses: Arc<HashMap<AddressKey, Bound>>,
    pub(super) account_aliases: Arc<HashMap<AccountId, Vec<AliasId>>>,
    /// Accounts directly in a department.
    pub(super) staff: Arc<HashMap<DepartmentId, BTreeSet<AccountId>>>,
    /// Rules by organisation, priority and id (policy semantics §13.1).
    pub(super) rule_order: Vec<Arc<Rule>>,
    /// Which of these are an organisation's.
    pub(super) rule_sections: Arc<BTreeMap<OrganisationId, RuleSection>>,
}

/// One organisation's rules.
#[derive(Debug, Default)]
pub(super) struct RuleSection {
    /// Where they are in the order of all.
    places: Range<usize>,
    /// Made when the first message asks, kept until a rule changes.
    index: OnceLock<RuleIndex>,
}

/// What an address is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    Account(AccountId),
    Alias(AliasId),
    Group(GroupId),
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

    /// The account with this id, whatever its state.
    pub fn account(&self, id: AccountId) -> Option<&Arc<Account>> {
        self.accounts.get(&id)
    }

    /// The account whose primary address this is, whatever its state.
    pub fn account_at(&self, address: &Address) -> Option<&Arc<Account>> {
        match self.addresses.get(&address.key())? {
            Bound::Account(id) => self.accounts.get(id),
            Bound::Alias(_) | Bound::Group(_) => None,
        }
    }

    /// The alias with this id.
    pub fn alias(&self, id: AliasId) -> Option<&Arc<Alias>> {
        self.aliases.get(&id)
    }

    /// The alias of this address.
    pub fn alias_at(&self, address: &Address) -> Option<&Arc<Alias>> {
        match self.addresses.get(&address.key())? {
            Bound::Alias(id) => self.aliases.get(id),
            Bound::Account(_) | Bound::Group(_) => None,
        }
    }

    /// The account whose primary address or alias this is, whatever its state.
    pub fn holder(&self, address: &Address) -> Option<&Arc<Account>> {
        let of_alias = || self.account(self.alias_at(address)?.account);
        self.account_at(address).or_else(of_alias)
    }

    /// The group of this address or group alias.
    pub fn group_at(&self, address: &Address) -> Option<&Arc<Group>> {
        match self.addresses.get(&address.key())? {
            Bound::Group(id) => self.groups.get(id),
            Bound::Account(_) | Bound::Alias(_) => None,
        }
    }

    /// The group with this id.
    pub fn group(&self, id: GroupId) -> Option<&Arc<Group>> {
        self.groups.get(&id)
    }

    /// The domain of this name.
    pub fn domain(&self, name: &Domain) -> Option<&Arc<DomainRecord>> {
        self.domains.get(self.domain_names.get(name)?)
    }

    /// The domain with this id.
    pub fn domain_by_id(&self, id: DomainId) -> Option<&Arc<DomainRecord>> {
        self.domains.get(&id)
    }

    /// The keys with which a domain signs; `None` if it never had any.
    pub fn keys(&self, id: DomainId) -> Option<&Arc<DomainKeys>> {
        self.keys.get(&id)
    }

    /// The domain of this name, or the one of which it is a second name.
    pub fn principal_domain(&self, name: &Domain) -> Option<&Arc<DomainRecord>> {
        let domain = self.domain(name)?;
        match domain.alias_of {
            Some(principal) => self.domains.get(&principal),
            None => Some(domain),
        }
    }

    /// True if the domain is hosted here, by itself or as a second name.
    pub fn hosts(&self, domain: &Domain) -> bool {
        self.domain_names.contains_key(domain)
    }

    /// The organisation with this id.
    pub fn organisation(&self, id: OrganisationId) -> Option<&Arc<Organisation>> {
        self.organisations.get(&id)
    }

    /// The organisation that hosts a domain.
    pub fn organisation_of(&self, domain: &Domain) -> Option<OrganisationId> {
        self.domain(domain).map(|d| d.organisation)
    }

    /// The organisation of an account, by its primary address.
    pub fn account_organisation(&self, id: AccountId) -> Option<OrganisationId> {
        self.organisation_of(self.account(id)?.address.domain()?)
    }

    /// The organisation of a group, by its address.
    pub fn group_organisation(&self, id: GroupId) -> Option<OrganisationId> {
        self.organisation_of(self.group(id)?.address.domain()?)
    }

    /// The department with this id.
    pub fn department(&self, id: DepartmentId) -> Option<&Arc<Department>> {
        self.departments.get(&id)
    }

    /// The department of this path: `/Sales/East`.
    pub fn department_at(&self, organisation: OrganisationId, path: &str) -> Option<&Arc<Department>> {
        let mut found: Option<&Arc<Department>> = None;
        for name in path.strip_prefix('/')?.split('/') {
            let parent = found.map(|d| d.id);
            found = Some(
                self.departments
                    .values()
                    .find(|d| d.organisation == organisation && d.parent == parent && d.name == name)?,
            );
        }
        found
    }

    /// A department's path: `/Sales/East`.
    pub fn department_path(&self, id: DepartmentId) -> Option<String> {
        let names: Vec<&str> = self.department_chain(id).filter_map(|d| Some(&*self.department(d)?.name)).collect();
        (!names.is_empty()).then(|| names.iter().rev().map(|name| format!("/{name}")).collect())
    }

    /// A department and those above it. Ends even on data that has a cycle.
    pub fn department_chain(&self, id: DepartmentId) -> impl Iterator<Item = DepartmentId> {
        let parent = |id: &DepartmentId| self.department(*id)?.parent;
        std::iter::successors(Some(id), parent).take(self.departments.len())
    }

    /// True if the account is in the department, or in one below it if the scope has a subtree.
    pub fn is_in_department(&self, account: AccountId, scope: DepartmentScope) -> bool {
        let Some(account) = self.account(account) else { return false };
        account.departments.iter().any(|own| match scope.subtree {
            true => self.department_chain(*own).any(|d| d == scope.department),
            false => *own == scope.department,
        })
    }

    /// The departments that a scope covers.
    pub fn departments_in(&self, scope: DepartmentScope) -> Vec<DepartmentId> {
        let below = |d: &DepartmentId| self.department_chain(*d).any(|above| above == scope.department);
        match scope.subtree {
            true => self.departments.keys().copied().filter(below).collect(),
            false => vec![scope.department],
        }
    }

    /// The accounts in a department, and in those below it if the scope has a subtree; one in several comes several
    /// times.
    pub fn staff(&self, scope: DepartmentScope) -> impl Iterator<Item = AccountId> {
        let departments = self.departments_in(scope);
        departments.into_iter().filter_map(|d| self.staff.get(&d)).flatten().copied()
    }

    /// The enabled and disabled aliases of an account.
    pub fn aliases_of(&self, account: AccountId) -> impl Iterator<Item = &Arc<Alias>> {
        self.account_aliases.get(&account).into_iter().flatten().filter_map(|id| self.aliases.get(id))
    }

    /// True if one of the account's addresses, primary or enabled alias, lies in the domain; second names count as the
    /// domain itself (policy semantics §7.1).
    pub fn has_address_in(&self, account: &Account, domain: &Domain) -> bool {
        let Some(wanted) = self.principal_domain(domain) else { return false };
        let lies_in = |address: &Address| {
            address.domain().and_then(|d| self.principal_domain(d)).is_some_and(|d| d.id == wanted.id)
        };
        lies_in(&account.address) || self.aliases_of(account.id).any(|a| a.enabled && lies_in(&a.address))
    }

    /// What the list of hosts says of a client; a trusted relay wins over a gateway.
    pub fn relay(&self, client: std::net::IpAddr) -> Option<RelayKind> {
        let found = |kind| self.relays.values().any(|r| r.kind == kind && r.network.contains(client));
        [RelayKind::TrustedRelay, RelayKind::Gateway].into_iter().find(|kind| found(*kind))
    }

    /// The entries of the list that make a client a gateway.
    pub fn gateways(&self, client: std::net::IpAddr) -> impl Iterator<Item = &Arc<Relay>> {
        self.relays.values().filter(move |r| r.kind == RelayKind::Gateway && r.network.contains(client))
    }

    /// The domain admins of an organisation, by id, in whatever state.
    pub fn admins(&self, organisation: OrganisationId) -> impl Iterator<Item = &Arc<Account>> {
        self.accounts
            .values()
            .filter(move |a| a.settings().is_admin && self.account_organisation(a.id) == Some(organisation))
    }

    /// The organisations, by id.
    pub fn organisations(&self) -> impl Iterator<Item = &Arc<Organisation>> {
        self.organisations.values()
    }

    /// The domains, by id.
    pub fn domains(&self) -> impl Iterator<Item = &Arc<DomainRecord>> {
        self.domains.values()
    }

    /// The departments, by id.
    pub fn departments(&self) -> impl Iterator<Item = &Arc<Department>> {
        self.departments.values()
    }

    /// The accounts, by id.
    pub fn accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.accounts.values()
    }

    /// The aliases, by id.
    pub fn aliases(&self) -> impl Iterator<Item = &Arc<Alias>> {
        self.aliases.values()
    }

    /// The groups, by id.
    pub fn groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.groups.values()
    }

    /// The rules, by organisation, priority and id.
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rule_order
    }

    /// This directory with other rules: those of each organisation named are replaced by these. For a message that was
    /// held: its rules are those of its acceptance, whatever has become of them since (policy semantics §13.5).
    pub fn with_rules(&self, of: &[OrganisationId], rules: Vec<Rule>) -> Self {
        let mut directory = self.clone();
        directory.rules.retain(|_, rule| !of.contains(&rule.organisation));
        directory.rules.extend(rules.into_iter().map(|rule| (rule.id, Arc::new(rule))));
        directory.order_rules();
        directory
    }

    /// An organisation's mail rules in the order of their priority; ties by id.
    pub fn rules_of(&self, organisation: OrganisationId) -> &[Arc<Rule>] {
        let section = self.rule_sections.get(&organisation);
        section.and_then(|section| self.rule_order.get(section.places.clone())).unwrap_or_default()
    }

    /// What finds those of [`Directory::rules_of`] that can match a message; `None` if there are no rules.
    pub fn rule_index(&self, organisation: OrganisationId) -> Option<&RuleIndex> {
        let section = self.rule_sections.get(&organisation)?;
        Some(section.index.get_or_init(|| RuleIndex::of(self.rules_of(organisation))))
    }

    /// The rule with this id.
    pub fn rule(&self, id: RuleId) -> Option<&Arc<Rule>> {
        self.rules.get(&id)
    }

    /// The trusted relays and gateways, by id.
    pub fn relays(&self) -> impl Iterator<Item = &Arc<Relay>> {
        self.relays.values()
    }

    /// How many accounts there are, whatever their states.
    pub fn account_count(&self) -> usize {
        self.accounts.len()
    }

    /// The `n`th id that the next new accounts get, counted from 0; `None` when ids are used up.
    pub fn new_account_id(&self, n: u32) -> Option<AccountId> {
        AccountId::new(new_id(self.counters.account, n)?)
    }

    /// The `n`th id that the next new organisations get.
    pub fn new_organisation_id(&self, n: u32) -> Option<OrganisationId> {
        OrganisationId::new(new_id(self.counters.organisation, n)?)
    }

    /// The `n`th id that the next new domains get.
    pub fn new_domain_id(&self, n: u32) -> Option<DomainId> {
        DomainId::new(new_id(self.counters.domain, n)?)
    }

    /// The `n`th id that the next new departments get.
    pub fn new_department_id(&self, n: u32) -> Option<DepartmentId> {
        DepartmentId::new(new_id(self.counters.department, n)?)
    }

    /// The `n`th id that the next new aliases get.
    pub fn new_alias_id(&self, n: u32) -> Option<AliasId> {
        AliasId::new(new_id(self.counters.alias, n)?)
    }

    /// The `n`th id that the next new groups get.
    pub fn new_group_id(&self, n: u32) -> Option<GroupId> {
        GroupId::new(new_id(self.counters.group, n)?)
    }

    /// The `n`th id that the next new rules get.
    pub fn new_rule_id(&self, n: u32) -> Option<RuleId> {
        RuleId::new(new_id(self.counters.rule, n)?)
    }

    /// The `n`th id that the next new relays get.
    pub fn new_relay_id(&self, n: u32) -> Option<RelayId> {
        RelayId::new(new_id(self.counters.relay, n)?)
    }

    fn load(&mut self, kind: u8, id: u32, value: &[u8]) -> Result<(), RecordError> {
        macro_rules! load {
            ($map:expr, $type:ty) => {{
                let record: $type = record::decode(kind, id, value)?;
                if record.id.number() != id {
                    return Err(RecordError::Damaged(place(kind, id)));
                }
                $map.insert(record.id, Arc::new(record));
            }};
        }
        match kind {
            record::ORGANISATION => load!(self.organisations, Organisation),
            record::DOMAIN => load!(self.domains, DomainRecord),
            record::KEYS => load!(self.keys, DomainKeys),
            record::DEPARTMENT => load!(self.departments, Department),
            record::ACCOUNT => load!(Arc::make_mut(&mut self.accounts), Account),
            record::ALIAS => load!(Arc::make_mut(&mut self.aliases), Alias),
            record::GROUP => load!(Arc::make_mut(&mut self.groups), Group),
            record::RULE => load!(self.rules, Rule),
            record::RELAY => load!(self.relays, Relay),
            record::COUNTERS if id == 0 => self.counters = record::decode(kind, id, value)?,
            record::COUNTERS => return Err(RecordError::Damaged(place(kind, id))),
            _ => return Err(RecordError::Version(place(kind, id))),
        }
        Ok(())
    }

    /// Fills the indexes from the records, and refuses records that contradict each other. What a record refers to by
    /// id and is gone is passed over when it is used, so that a slip in the data costs one member, not the server.
    fn bind(&mut self) -> Result<(), RecordError> {
        let contradiction = |kind: u8, id: u32| RecordError::Contradiction(place(kind, id));
        for (id, domain) in &self.domains {
            let twice = self.domain_names.insert(domain.name.clone(), *id).is_some();
            let owned = self.organisations.contains_key(&domain.organisation);
            if twice || !owned || id.number() >= self.counters.domain {
                return Err(contradiction(record::DOMAIN, id.number()));
            }
        }
        if let Some(id) = self.keys.keys().find(|id| !self.domains.contains_key(id)) {
            return Err(contradiction(record::KEYS, id.number()));
        }
        let names = &self.domain_names;
        let hosted = |a: &Address| a.domain().is_some_and(|d| names.contains_key(d));
        let addresses = Arc::make_mut(&mut self.addresses);
        let staff = Arc::make_mut(&mut self.staff);
        for (id, account) in self.accounts.iter() {
            let twice = addresses.insert(account.address.key(), Bound::Account(*id)).is_some();
            if twice || !hosted(&account.address) || id.number() >= self.counters.account {
                return Err(contradiction(record::ACCOUNT, id.number()));
            }
            account.departments.iter().for_each(|d| {
                staff.entry(*d).or_default().insert(*id);
            });
        }
        let account_aliases = Arc::make_mut(&mut self.account_aliases);
        for (id, alias) in self.aliases.iter() {
            let twice = addresses.insert(alias.address.key(), Bound::Alias(*id)).is_some();
            let owned = self.accounts.contains_key(&alias.account);
            if twice || !hosted(&alias.address) || !owned || id.number() >= self.counters.alias {
                return Err(contradiction(record::ALIAS, id.number()));
            }
            account_aliases.entry(alias.account).or_default().push(*id);
        }
        for (id, group) in self.groups.iter() {
            for address in group.aliases.iter().chain([&group.address]) {
                let twice = addresses.insert(address.key(), Bound::Group(*id)).is_some();
                if twice || !hosted(address) || id.number() >= self.counters.group {
                    return Err(contradiction(record::GROUP, id.number()));
                }
            }
        }
        self.order_rules();
        Ok(())
    }

    pub(super) fn order_rules(&mut self) {
        self.rule_order = self.rules.values().cloned().collect();
        self.rule_order.sort_by_key(|r| (r.organisation, r.priority, r.id));
        let mut sections: BTreeMap<OrganisationId, RuleSection> = BTreeMap::new();
        for (place, rule) in self.rule_order.iter().enumerate() {
            let section = sections.entry(rule.organisation).or_default();
            let first = if section.places.is_empty() { place } else { section.places.start };
            section.places = first..place + 1;
        }
        self.rule_sections = Arc::new(sections);
    }

    /// The account or group that an address is bound to, itself or by an enabled alias.
    pub(super) fn bound(&self, key: &AddressKey) -> Option<Holder<'_>> {
        let account = match self.addresses.get(key)? {
            Bound::Group(id) => return self.groups.get(id).map(Holder::Group),
            Bound::Account(id) => self.accounts.get(id)?,
            Bound::Alias(id) => match self.aliases.get(id)? {
                alias if alias.enabled => self.accounts.get(&alias.account)?,
                _ => return Some(Holder::Reserved),
            },
        };
        match account.state {
            AccountState::Active | AccountState::SendBlocked | AccountState::Frozen => Some(Holder::Account(account)),
            AccountState::Binned | AccountState::Removing => Some(Holder::Binned(account)),
        }
    }
}

/// Who has an address.
pub(super) enum Holder<'a> {
    /// An account that exists for mail.
    Account(&'a Arc<Account>),
    /// A group.
    Group(&'a Arc<Group>),
    /// A disabled alias.
    Reserved,
    /// An account in the recycle bin, or going.
    Binned(&'a Arc<Account>),
}

fn new_id(next: u32, n: u32) -> Option<u32> {
    next.checked_add(n).filter(|id| *id < u32::MAX)
}
