//! Domains.

use std::sync::Arc;

use super::super::Actor;
use super::super::audit::Entry;
use super::super::error::OpError;
use super::super::view::{DomainDetail, DomainView};
use super::{Admin, Plan, not_found, used_up};
use crate::directory::change::Change;
use crate::directory::{Directory, DomainRecord};
use crate::mail::{Address, Domain};

impl Admin {
    /// Hosts a domain.
    pub async fn add_domain(self: &Arc<Self>, actor: Actor, name: Domain) -> Result<DomainView, OpError> {
        let (created, wanted) = (self.services.clock.now(), name.clone());
        let directory = self
            .change(actor, "domain.add", move |directory| {
                let id = directory.new_domain_id().ok_or_else(used_up)?;
                let domain = DomainRecord { id, name: wanted.clone(), created };
                let audit = Entry::new(&domain.name, None, Some(&DomainView::of(&domain)));
                Ok(Plan::one(Change::AddDomain(domain), audit))
            })
            .await?;
        domain_in(&directory, &name).map(DomainView::of)
    }

    /// The domains, by id.
    pub fn domains(&self) -> Vec<DomainView> {
        self.services.directory.current().domains().map(|d| DomainView::of(d)).collect()
    }

    /// One domain.
    pub fn domain(&self, name: &Domain) -> Result<DomainDetail, OpError> {
        let directory = self.services.directory.current();
        let domain = DomainView::of(domain_in(&directory, name)?);
        let here = |a: &Address| a.domain() == Some(name);
        Ok(DomainDetail {
            domain,
            accounts: directory.accounts().filter(|a| here(&a.address)).count(),
            aliases: directory.aliases().filter(|a| here(&a.address)).count(),
        })
    }

    /// Stops to host a domain that has no addresses.
    pub async fn remove_domain(self: &Arc<Self>, actor: Actor, name: Domain) -> Result<(), OpError> {
        self.change(actor, "domain.remove", move |directory| {
            let domain = domain_in(directory, &name)?;
            let audit = Entry::new(&domain.name, Some(&DomainView::of(domain)), None);
            Ok(Plan::one(Change::RemoveDomain(domain.id), audit))
        })
        .await?;
        Ok(())
    }
}

fn domain_in<'a>(directory: &'a Directory, name: &Domain) -> Result<&'a DomainRecord, OpError> {
    directory.domain(name).map(|d| &**d).ok_or_else(|| not_found(format!("domain {name}")))
}
