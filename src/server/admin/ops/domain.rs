//! Domains.

use std::sync::Arc;

use super::super::Actor;
use super::super::error::OpError;
use super::super::permission::Reach;
use super::super::spec::{DomainBlockedSpec, DomainSpec, Object};
use super::super::view::{DnsSummary, DomainDetail, DomainView};
use super::dkim::{first, new_pair};
use super::{Admin, Plan, not_found, used_up};
use crate::directory::change::{self, Change};
use crate::directory::{Directory, DomainRecord, ExternalForward, Organisation};
use crate::mail::{Address, Domain};

impl Admin {
    /// Hosts a domain. The first one founds an organisation of its name, if there is none yet.
    pub async fn add_domain(self: &Arc<Self>, actor: Actor, spec: DomainSpec) -> Result<DomainView, OpError> {
        let created = self.services.clock.now();
        let name = Domain::parse(&spec.name).map_err(|e| OpError::not_an_address("name", e))?;
        let wanted = name.clone();
        // Not for a name that will be refused: making keys takes its time.
        let is_new = self.services.publish.automatic_keys && !self.services.directory.current().hosts(&name);
        let pair = if is_new { Some(new_pair(created).await?) } else { None };
        let directory = self
            .change(actor, "domain.add", None, move |directory| {
                let id = directory.new_domain_id(0).ok_or_else(used_up)?;
                let mut plan = Plan::nothing();
                let mut founded = None;
                if directory.organisations().next().is_none() && spec.organisation.is_none() {
                    let id = directory.new_organisation_id(0).ok_or_else(used_up)?;
                    let (name, external_forward) = (wanted.to_string(), ExternalForward::default());
                    let organisation = Organisation {
                        id,
                        name,
                        external_forward,
                        hold_limit: None,
                        record_monitor_reads: true,
                        dmarc: crate::directory::DmarcHandling::None,
                        trusted_sealers: Vec::new(),
                        language: crate::mail::Language::default(),
                        created,
                    };
                    let change = Change::PutOrganisation(organisation);
                    founded = Some(change::apply(directory, &change)?.0);
                    plan.changes.push(change);
                    plan.touched.push(Object::Organisation(id));
                }
                let record =
                    spec.resolve(founded.as_ref().unwrap_or(directory), id, created).map_err(OpError::Shape)?;
                plan.changes.push(Change::PutDomain(record));
                plan.touched.push(Object::Domain(id));
                if let Some(pair) = &pair {
                    plan.changes.push(Change::PutKeys(first(id, pair, created)));
                }
                Ok(plan)
            })
            .await?;
        domain_in(&directory, &name).map(|d| DomainView::of(d, &directory))
    }

    /// The domains, by id.
    pub fn domains(&self, actor: Actor) -> Vec<DomainView> {
        let directory = self.services.directory.current();
        let reach = Reach::of(&directory, actor);
        directory
            .domains()
            .filter(|d| reach.covers(Some(d.organisation)))
            .map(|d| DomainView::of(d, &directory))
            .collect()
    }

    /// One domain.
    pub async fn domain(&self, name: &Domain) -> Result<DomainDetail, OpError> {
        let shown = detail(&self.services.directory.current(), name)?;
        let check = self.last_dns_check(name).await?;
        let dns = check.map(|check| DnsSummary { checked: check.checked, problems: check.problems });
        Ok(DomainDetail { dns, ..shown })
    }

    /// Replaces a domain's settings. Its name, its organisation and what it is a second name of stay.
    pub async fn put_domain(
        self: &Arc<Self>,
        actor: Actor,
        name: Domain,
        spec: DomainSpec,
    ) -> Result<DomainDetail, OpError> {
        self.edit_domain(actor, "domain.put", name, move |shape| *shape = spec.clone()).await
    }

    /// Sets who receives mail for addresses that nobody has; `None` for nobody.
    pub async fn set_catch_all(
        self: &Arc<Self>,
        actor: Actor,
        name: Domain,
        account: Option<String>,
    ) -> Result<DomainDetail, OpError> {
        self.edit_domain(actor, "domain.catch-all", name, move |shape| shape.catch_all.clone_from(&account)).await
    }

    /// Sets whom the accounts of a domain do not hear.
    pub async fn set_blocked(
        self: &Arc<Self>,
        actor: Actor,
        name: Domain,
        blocked: Vec<DomainBlockedSpec>,
    ) -> Result<DomainDetail, OpError> {
        self.edit_domain(actor, "domain.blocked", name, move |shape| shape.blocked.clone_from(&blocked)).await
    }

    /// Sets the senders whose mail is no junk for the accounts of a domain.
    pub async fn set_allowed(
        self: &Arc<Self>,
        actor: Actor,
        name: Domain,
        allowed: Vec<String>,
    ) -> Result<DomainDetail, OpError> {
        self.edit_domain(actor, "domain.allowed", name, move |shape| shape.allowed.clone_from(&allowed)).await
    }

    async fn edit_domain(
        self: &Arc<Self>,
        actor: Actor,
        action: &'static str,
        name: Domain,
        edit: impl Fn(&mut DomainSpec) + Send + Sync + 'static,
    ) -> Result<DomainDetail, OpError> {
        let wanted = name.clone();
        let directory = self
            .change(actor, action, None, move |directory| {
                let old = domain_in(directory, &wanted)?;
                let mut shape = DomainSpec::describe(old, directory);
                edit(&mut shape);
                let record = shape.resolve(directory, old.id, old.created).map_err(OpError::Shape)?;
                Ok(Plan::one(Change::PutDomain(record), Object::Domain(old.id)))
            })
            .await?;
        detail(&directory, &name)
    }

    /// Stops to host a domain that has no addresses.
    pub async fn remove_domain(self: &Arc<Self>, actor: Actor, name: Domain) -> Result<(), OpError> {
        self.change(actor, "domain.remove", None, move |directory| {
            let id = domain_in(directory, &name)?.id;
            Ok(Plan::one(Change::RemoveDomain(id), Object::Domain(id)))
        })
        .await?;
        Ok(())
    }
}

fn detail(directory: &Directory, name: &Domain) -> Result<DomainDetail, OpError> {
    let found = domain_in(directory, name)?;
    let domain = DomainView::of(found, directory);
    let DomainSpec { blocked, allowed, .. } = DomainSpec::describe(found, directory);
    let here = |a: &Address| a.domain() == Some(name);
    Ok(DomainDetail {
        domain,
        accounts: directory.accounts().filter(|a| here(&a.address)).count(),
        aliases: directory.aliases().filter(|a| here(&a.address)).count(),
        blocked,
        allowed,
        dns: None,
    })
}

pub(super) fn domain_in<'a>(directory: &'a Directory, name: &Domain) -> Result<&'a DomainRecord, OpError> {
    directory.domain(name).map(|d| &**d).ok_or_else(|| not_found(format!("domain {name}")))
}
