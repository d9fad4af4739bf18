//! Organisations, domains, departments, relays (policy semantics §1, §3.2, §16).

use super::*;
use crate::directory::record::PAIRS_PER_DOMAIN;
use crate::directory::{KeyState, RelayKind};

impl Draft {
    pub(super) fn put_organisation(&mut self, organisation: &Organisation) -> Result<(), Refusal> {
        check_name("organisation", &organisation.name)?;
        let twin = self.next.organisations.values().find(|o| o.name == organisation.name);
        if twin.is_some_and(|o| o.id != organisation.id) {
            return Err(Refusal::NameInUse(format!("organisation {}", organisation.name)));
        }
        if !self.next.organisations.contains_key(&organisation.id) {
            claim(&mut self.next.counters, |c| &mut c.organisation, organisation.id.number(), "organisation")?;
        }
        self.next.organisations.insert(organisation.id, Arc::new(organisation.clone()));
        self.write(record::ORGANISATION, organisation.id.number(), organisation);
        Ok(())
    }

    pub(super) fn remove_organisation(&mut self, id: OrganisationId) -> Result<(), Refusal> {
        let domains = self.next.domains.values().filter(|d| d.organisation == id).count();
        let departments = self.next.departments.values().filter(|d| d.organisation == id).count();
        let rules = self.next.rules.values().filter(|r| r.organisation == id).count();
        let name = self.organisation(id)?.name.clone();
        if domains + departments + rules > 0 {
            return Err(Refusal::InUse(format!(
                "organisation {name} has {domains} domains, {departments} departments and {rules} mail rules"
            )));
        }
        self.next.organisations.remove(&id);
        self.delete(record::ORGANISATION, id.number());
        Ok(())
    }

    pub(super) fn put_domain(&mut self, domain: &DomainRecord) -> Result<(), Refusal> {
        self.organisation(domain.organisation)?;
        match self.next.domain(&domain.name) {
            Some(other) if other.id != domain.id => {
                return Err(Refusal::NameInUse(format!("domain {}", domain.name)));
            }
            _ => {}
        }
        if let Some(principal) = domain.alias_of {
            self.check_second_name(domain, principal)?;
        }
        if let Some(account) = domain.catch_all {
            self.check_account_of(account, domain.organisation)?;
        }
        lists::check(domain.blocked.iter().map(|b| &b.sender), &domain.allowed)?;
        match self.next.domains.get(&domain.id) {
            Some(old)
                if old.name != domain.name
                    || old.organisation != domain.organisation
                    || old.alias_of != domain.alias_of =>
            {
                let what = "keeps its name, its organisation and what it is a second name of";
                return Err(Refusal::Invalid(format!("domain {} {what}", old.name)));
            }
            Some(_) => {}
            None => claim(&mut self.next.counters, |c| &mut c.domain, domain.id.number(), "domain")?,
        }
        self.next.domain_names.insert(domain.name.clone(), domain.id);
        self.next.domains.insert(domain.id, Arc::new(domain.clone()));
        self.write(record::DOMAIN, domain.id.number(), domain);
        Ok(())
    }

    fn check_second_name(&self, domain: &DomainRecord, principal: DomainId) -> Result<(), Refusal> {
        let found = self.next.domains.get(&principal);
        let found = found.ok_or_else(|| Refusal::NotFound(format!("domain {principal}")))?;
        if found.alias_of.is_some() || found.id == domain.id {
            return Err(Refusal::Invalid(format!("domain {} is a second name itself", found.name)));
        }
        if found.organisation != domain.organisation {
            return Err(Refusal::Invalid(format!("domain {} is another organisation's", found.name)));
        }
        if !domain.blocked.is_empty() || !domain.allowed.is_empty() {
            let what =
                format!("lists of senders are those of {}, of which {} is a second name", found.name, domain.name);
            return Err(Refusal::Invalid(what));
        }
        let others = |d: &&Arc<DomainRecord>| d.alias_of == Some(principal) && d.id != domain.id;
        if self.next.domains.values().filter(others).count() >= DOMAIN_ALIASES {
            return Err(Refusal::Limit(format!("a domain has at most {DOMAIN_ALIASES} second names")));
        }
        Ok(())
    }

    pub(super) fn remove_domain(&mut self, id: DomainId) -> Result<(), Refusal> {
        let domain = self.next.domains.get(&id).ok_or_else(|| Refusal::NotFound(format!("domain {id}")))?.clone();
        let here = |a: &Address| a.domain() == Some(&domain.name);
        let addresses = self.next.accounts.values().filter(|a| here(&a.address)).count()
            + self.next.aliases.values().filter(|a| here(&a.address)).count()
            + self.next.groups.values().flat_map(|g| g.aliases.iter().chain([&g.address])).filter(|a| here(a)).count();
        if addresses > 0 {
            return Err(Refusal::InUse(format!("domain {} is in use by {addresses} addresses", domain.name)));
        }
        if let Some(name) = self.next.domains.values().find(|d| d.alias_of == Some(id)).map(|d| &d.name) {
            return Err(Refusal::InUse(format!("domain {} has the second name {name}", domain.name)));
        }
        self.next.domains.remove(&id);
        self.next.domain_names.remove(&domain.name);
        self.delete(record::DOMAIN, id.number());
        if self.next.keys.remove(&id).is_some() {
            self.delete(record::KEYS, id.number());
        }
        Ok(())
    }

    pub(super) fn put_keys(&mut self, keys: &DomainKeys) -> Result<(), Refusal> {
        let domain = self.next.domains.get(&keys.id);
        let name = &domain.ok_or_else(|| Refusal::NotFound(format!("domain {}", keys.id)))?.name;
        if keys.pairs.len() > PAIRS_PER_DOMAIN {
            return Err(Refusal::Limit(format!("a domain has at most {PAIRS_PER_DOMAIN} pairs of keys")));
        }
        let count = |wanted: fn(&KeyState) -> bool| keys.pairs.iter().filter(|pair| wanted(&pair.state)).count();
        let is_waiting = |state: &KeyState| matches!(state, KeyState::Pending(_));
        if count(|state| *state == KeyState::Active) > 1 || count(is_waiting) > 1 {
            return Err(Refusal::Invalid(format!("domain {name} uses one pair of keys, and one waits at most")));
        }
        let selectors: Vec<_> = keys.pairs.iter().flat_map(|pair| &pair.keys).map(|key| &key.selector).collect();
        if (1..).zip(&selectors).any(|(next, selector)| selectors.iter().skip(next).any(|other| other == selector)) {
            return Err(Refusal::Invalid(format!("domain {name} has a selector twice")));
        }
        self.next.keys.insert(keys.id, Arc::new(keys.clone()));
        self.write(record::KEYS, keys.id.number(), keys);
        Ok(())
    }

    pub(super) fn put_department(&mut self, department: &Department) -> Result<(), Refusal> {
        self.organisation(department.organisation)?;
        check_name("department", &department.name)?;
        if department.name.contains('/') {
            return Err(Refusal::Invalid(format!("department name {:?} has a \"/\"", department.name)));
        }
        let sibling = |d: &&Arc<Department>| {
            d.organisation == department.organisation && d.parent == department.parent && d.name == department.name
        };
        if self.next.departments.values().find(sibling).is_some_and(|d| d.id != department.id) {
            return Err(Refusal::NameInUse(format!("department {}", department.name)));
        }
        if let Some(parent) = department.parent {
            let found = self.next.departments.get(&parent);
            let found = found.ok_or_else(|| Refusal::NotFound(format!("department {parent}")))?;
            if found.organisation != department.organisation {
                return Err(Refusal::Invalid(format!("department {} is another organisation's", found.name)));
            }
            if self.next.department_chain(parent).any(|d| d == department.id) {
                return Err(Refusal::DepartmentCycle(department.name.clone()));
            }
        }
        if let Some(manager) = department.manager {
            self.check_account_of(manager, department.organisation)?;
        }
        match self.next.departments.get(&department.id) {
            Some(old) if old.organisation != department.organisation => {
                return Err(Refusal::Invalid(format!("department {} keeps its organisation", old.name)));
            }
            Some(_) => {}
            None => claim(&mut self.next.counters, |c| &mut c.department, department.id.number(), "department")?,
        }
        self.next.departments.insert(department.id, Arc::new(department.clone()));
        self.write(record::DEPARTMENT, department.id.number(), department);
        Ok(())
    }

    pub(super) fn remove_department(&mut self, id: DepartmentId) -> Result<(), Refusal> {
        let department = self.next.departments.get(&id);
        let name = department.ok_or_else(|| Refusal::NotFound(format!("department {id}")))?.name.clone();
        let accounts = self.next.staff.get(&id).map_or(0, |s| s.len());
        let below = self.next.departments.values().filter(|d| d.parent == Some(id)).count();
        if accounts + below > 0 {
            return Err(Refusal::InUse(format!("department {name} has {accounts} accounts and {below} departments")));
        }
        self.next.departments.remove(&id);
        Arc::make_mut(&mut self.next.staff).remove(&id);
        self.delete(record::DEPARTMENT, id.number());
        Ok(())
    }

    pub(super) fn put_relay(&mut self, relay: &Relay) -> Result<(), Refusal> {
        if relay.kind == RelayKind::TrustedRelay && relay.received_by.is_some() {
            return Err(Refusal::Invalid("received_by is for gateways: a trusted relay speaks for itself".to_owned()));
        }
        let twin = self.next.relays.values().find(|r| r.network == relay.network);
        if twin.is_some_and(|r| r.id != relay.id) {
            return Err(Refusal::NameInUse(format!("relay {}", relay.network)));
        }
        if !self.next.relays.contains_key(&relay.id) {
            claim(&mut self.next.counters, |c| &mut c.relay, relay.id.number(), "relay")?;
        }
        self.next.relays.insert(relay.id, Arc::new(relay.clone()));
        self.write(record::RELAY, relay.id.number(), relay);
        Ok(())
    }

    pub(super) fn remove_relay(&mut self, id: RelayId) -> Result<(), Refusal> {
        self.next.relays.remove(&id).ok_or_else(|| Refusal::NotFound(format!("relay {id}")))?;
        self.delete(record::RELAY, id.number());
        Ok(())
    }

    pub(super) fn organisation(&self, id: OrganisationId) -> Result<&Organisation, Refusal> {
        let found = self.next.organisations.get(&id).map(|o| &**o);
        found.ok_or_else(|| Refusal::NotFound(format!("organisation {id}")))
    }

    /// Data of two organisations never mix (policy semantics §1).
    pub(super) fn check_account_of(&self, account: AccountId, organisation: OrganisationId) -> Result<(), Refusal> {
        let found = self.next.account(account).ok_or_else(|| Refusal::NotFound(format!("account {account}")))?;
        if self.next.account_organisation(account) != Some(organisation) {
            return Err(Refusal::Invalid(format!("account {} is another organisation's", found.address)));
        }
        Ok(())
    }
}

/// A name for people: 1 to 200 octets, no control characters, no space at either end.
pub(super) fn check_name(kind: &str, name: &str) -> Result<(), Refusal> {
    let is_good = !name.is_empty() && name.len() <= 200 && name.trim() == name && !name.chars().any(char::is_control);
    if is_good { Ok(()) } else { Err(Refusal::Invalid(format!("{kind} name {name:?} is not 1 to 200 octets of text"))) }
}
