//! Organisations, departments and relays (policy semantics §1, §3.2, §16).

use std::sync::Arc;

use super::super::Actor;
use super::super::error::OpError;
use super::super::permission::Reach;
use super::super::spec::{DepartmentSpec, Object, OrganisationSpec, RelaySpec};
use super::super::view::{Listed as Shown, rfc3339};
use super::list::Listed;
use super::{Admin, Plan, not_found, used_up};
use crate::directory::change::Change;
use crate::directory::{Account, Department, Directory, Organisation, Relay};
use crate::mail::{DepartmentId, Network, OrganisationId};
use crate::server::admin::view::Page;

impl Admin {
    /// The organisations.
    pub fn organisations(&self, actor: Actor, listed: Listed) -> Page<Shown<OrganisationSpec>> {
        let directory = self.services.directory.current();
        let reach = Reach::of(&directory, actor);
        let seen = directory.organisations().filter(|o| reach.covers(Some(o.id)));
        listed.page(seen.map(|o| (o.id.number(), show_organisation(o))))
    }

    /// One organisation.
    pub fn organisation(&self, name: &str) -> Result<Shown<OrganisationSpec>, OpError> {
        organisation_in(&self.services.directory.current(), name).map(show_organisation)
    }

    /// Adds an organisation.
    pub async fn add_organisation(
        self: &Arc<Self>,
        actor: Actor,
        spec: OrganisationSpec,
    ) -> Result<Shown<OrganisationSpec>, OpError> {
        let (created, name) = (self.services.clock.now(), spec.name.clone());
        let directory = self
            .change(actor, "organisation.add", None, move |directory| {
                let id = directory.new_organisation_id(0).ok_or_else(used_up)?;
                Ok(Plan::one(Change::PutOrganisation(spec.resolve(id, created)), Object::Organisation(id)))
            })
            .await?;
        organisation_in(&directory, &name).map(show_organisation)
    }

    /// Replaces an organisation's settings, its name included.
    pub async fn put_organisation(
        self: &Arc<Self>,
        actor: Actor,
        name: String,
        spec: OrganisationSpec,
    ) -> Result<Shown<OrganisationSpec>, OpError> {
        let new_name = spec.name.clone();
        let directory = self
            .change(actor, "organisation.put", None, move |directory| {
                let old = organisation_in(directory, &name)?;
                let record = spec.resolve(old.id, old.created);
                Ok(Plan::one(Change::PutOrganisation(record), Object::Organisation(old.id)))
            })
            .await?;
        organisation_in(&directory, &new_name).map(show_organisation)
    }

    /// Removes an organisation that has nothing any more.
    pub async fn remove_organisation(self: &Arc<Self>, actor: Actor, name: String) -> Result<(), OpError> {
        self.change(actor, "organisation.remove", None, move |directory| {
            let id = organisation_in(directory, &name)?.id;
            Ok(Plan::one(Change::RemoveOrganisation(id), Object::Organisation(id)))
        })
        .await?;
        Ok(())
    }

    /// The departments, of all or one organisation.
    pub fn departments(
        &self,
        actor: Actor,
        organisation: Option<&str>,
        listed: Listed,
    ) -> Result<Page<Shown<DepartmentSpec>>, OpError> {
        let directory = self.services.directory.current();
        let wanted = organisation.map(|name| organisation_in(&directory, name).map(|o| o.id)).transpose()?;
        let reach = Reach::of(&directory, actor);
        let departments = directory.departments().filter(|d| wanted.is_none_or(|id| d.organisation == id));
        let departments = departments.filter(|d| reach.covers(Some(d.organisation)));
        Ok(listed.page(departments.map(|d| (d.id.number(), show_department(d, &directory)))))
    }

    /// One department; the organisation need not be named while there is one.
    pub fn department(
        &self,
        actor: Actor,
        organisation: Option<&str>,
        path: &str,
    ) -> Result<Shown<DepartmentSpec>, OpError> {
        let directory = self.services.directory.current();
        department_in(&directory, Reach::of(&directory, actor), organisation, path)
            .map(|d| show_department(d, &directory))
    }

    /// Adds a department.
    pub async fn add_department(
        self: &Arc<Self>,
        actor: Actor,
        spec: DepartmentSpec,
    ) -> Result<Shown<DepartmentSpec>, OpError> {
        let (organisation, path) = (spec.organisation.clone(), spec.path.clone());
        let directory = self
            .change(actor, "department.add", None, move |directory| {
                let mut spec = spec.clone();
                Reach::of(directory, actor).settle(directory, &mut spec.organisation)?;
                let id = directory.new_department_id(0).ok_or_else(used_up)?;
                let record = spec.resolve(directory, id).map_err(OpError::Shape)?;
                Ok(Plan::one(Change::PutDepartment(record), Object::Department(id)))
            })
            .await?;
        let reach = Reach::of(&directory, actor);
        department_in(&directory, reach, organisation.as_deref(), &path).map(|d| show_department(d, &directory))
    }

    /// Replaces a department: another path renames or moves it with everything below it (policy semantics §16).
    pub async fn put_department(
        self: &Arc<Self>,
        actor: Actor,
        organisation: Option<String>,
        path: String,
        spec: DepartmentSpec,
    ) -> Result<Shown<DepartmentSpec>, OpError> {
        let (whose, new_path) = (organisation.clone(), spec.path.clone());
        let directory = self
            .change(actor, "department.put", None, move |directory| {
                let reach = Reach::of(directory, actor);
                let mut spec = spec.clone();
                reach.settle(directory, &mut spec.organisation)?;
                let old = department_in(directory, reach, organisation.as_deref(), &path)?;
                let record = spec.resolve(directory, old.id).map_err(OpError::Shape)?;
                Ok(Plan::one(Change::PutDepartment(record), Object::Department(old.id)))
            })
            .await?;
        let reach = Reach::of(&directory, actor);
        department_in(&directory, reach, whose.as_deref(), &new_path).map(|d| show_department(d, &directory))
    }

    /// Removes a department with nobody in it and none below it; with a target its accounts go there (policy
    /// semantics §16).
    pub async fn remove_department(
        self: &Arc<Self>,
        actor: Actor,
        organisation: Option<String>,
        path: String,
        target: Option<String>,
    ) -> Result<(), OpError> {
        self.change(actor, "department.remove", None, move |directory| {
            let reach = Reach::of(directory, actor);
            let id = department_in(directory, reach, organisation.as_deref(), &path)?.id;
            let target = target.as_deref().map(|t| department_in(directory, reach, organisation.as_deref(), t));
            let mut plan = Plan::nothing();
            if let Some(target) = target.transpose()? {
                for account in directory.accounts().filter(|a| a.departments.contains(&id)) {
                    let departments = moved(&account.departments, id, target.id);
                    plan.changes.push(Change::PutAccount(Account { departments, ..(**account).clone() }));
                    plan.touched.push(Object::Account(account.id));
                }
            }
            plan.changes.push(Change::RemoveDepartment(id));
            plan.touched.push(Object::Department(id));
            Ok(plan)
        })
        .await?;
        Ok(())
    }

    /// The trusted relays and gateways.
    pub fn relays(&self, listed: Listed) -> Page<Shown<RelaySpec>> {
        let directory = self.services.directory.current();
        listed.page(directory.relays().map(|r| (r.id.number(), show_relay(r))))
    }

    /// One relay, by its network.
    pub fn relay(&self, network: &str) -> Result<Shown<RelaySpec>, OpError> {
        relay_in(&self.services.directory.current(), network).map(show_relay)
    }

    async fn check_spec(&self, spec: &RelaySpec, force: bool) -> Result<(), OpError> {
        let directory = self.services.directory.current();
        let id = directory.new_relay_id(0).ok_or_else(used_up)?;
        let relay = spec.resolve(id).map_err(OpError::Shape)?;
        self.check_relays(&directory, &[relay], force).await
    }

    /// Lists a host or network. A trusted relay must be no MX of ours; `force` lists it also if the DNS does not tell.
    pub async fn add_relay(
        self: &Arc<Self>,
        actor: Actor,
        spec: RelaySpec,
        force: bool,
    ) -> Result<Shown<RelaySpec>, OpError> {
        self.check_spec(&spec, force).await?;
        let network = spec.network.clone();
        let directory = self
            .change(actor, "relay.add", None, move |directory| {
                let id = directory.new_relay_id(0).ok_or_else(used_up)?;
                Ok(Plan::one(Change::PutRelay(spec.resolve(id).map_err(OpError::Shape)?), Object::Relay(id)))
            })
            .await?;
        relay_in(&directory, &network).map(show_relay)
    }

    /// Replaces what is listed of a network, under the same condition.
    pub async fn put_relay(
        self: &Arc<Self>,
        actor: Actor,
        network: String,
        spec: RelaySpec,
        force: bool,
    ) -> Result<Shown<RelaySpec>, OpError> {
        relay_in(&self.services.directory.current(), &network)?;
        self.check_spec(&spec, force).await?;
        let new_network = spec.network.clone();
        let directory = self
            .change(actor, "relay.put", None, move |directory| {
                let id = relay_in(directory, &network)?.id;
                Ok(Plan::one(Change::PutRelay(spec.resolve(id).map_err(OpError::Shape)?), Object::Relay(id)))
            })
            .await?;
        relay_in(&directory, &new_network).map(show_relay)
    }

    /// Takes a network off the list.
    pub async fn remove_relay(self: &Arc<Self>, actor: Actor, network: String) -> Result<(), OpError> {
        self.change(actor, "relay.remove", None, move |directory| {
            let id = relay_in(directory, &network)?.id;
            Ok(Plan::one(Change::RemoveRelay(id), Object::Relay(id)))
        })
        .await?;
        Ok(())
    }
}

/// The organisation of this name.
pub(super) fn organisation_in<'a>(directory: &'a Directory, name: &str) -> Result<&'a Organisation, OpError> {
    let found = directory.organisations().find(|o| o.name == name);
    found.map(|o| &**o).ok_or_else(|| not_found(format!("organisation {name}")))
}

/// The organisation of this name; without a name the one that is seen, or the only one.
pub(super) fn one_organisation(
    directory: &Directory,
    reach: Reach,
    name: Option<&str>,
) -> Result<OrganisationId, OpError> {
    if let Some(name) = name {
        let found = organisation_in(directory, name).map(|o| o.id)?;
        return if reach.covers(Some(found)) { Ok(found) } else { Err(OpError::Forbidden) };
    }
    if let Some(own) = reach.organisation() {
        return Ok(own);
    }
    let mut all = directory.organisations();
    match (all.next(), all.next()) {
        (Some(only), None) => Ok(only.id),
        (None, _) => Err(not_found("organisation")),
        (Some(_), Some(_)) => {
            let message = "the organisation must be named since there are several".to_owned();
            Err(OpError::Invalid { field: "organisation", message })
        }
    }
}

/// The department of this path.
pub(super) fn department_in<'a>(
    directory: &'a Directory,
    reach: Reach,
    organisation: Option<&str>,
    path: &str,
) -> Result<&'a Department, OpError> {
    let organisation = one_organisation(directory, reach, organisation)?;
    // In a URL the first slash is easily lost.
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let found = directory.department_at(organisation, &path);
    found.map(|d| &**d).ok_or_else(|| not_found(format!("department {path}")))
}

fn relay_in<'a>(directory: &'a Directory, network: &str) -> Result<&'a Relay, OpError> {
    let wanted = network.parse::<Network>();
    let found = wanted.ok().and_then(|wanted| directory.relays().find(|r| r.network == wanted));
    found.map(|r| &**r).ok_or_else(|| not_found(format!("relay {network}")))
}

/// The departments of an account with one replaced by another that it may have already.
fn moved(departments: &[DepartmentId], from: DepartmentId, to: DepartmentId) -> Vec<DepartmentId> {
    let mut moved: Vec<DepartmentId> = Vec::with_capacity(departments.len());
    for id in departments.iter().map(|id| if *id == from { to } else { *id }) {
        if !moved.contains(&id) {
            moved.push(id);
        }
    }
    moved
}

fn show_organisation(organisation: &Organisation) -> Shown<OrganisationSpec> {
    let created = Some(rfc3339(organisation.created));
    Shown { id: organisation.id.number(), created, shape: OrganisationSpec::describe(organisation) }
}

fn show_department(department: &Department, directory: &Directory) -> Shown<DepartmentSpec> {
    let shape = DepartmentSpec::describe(department, directory);
    Shown { id: department.id.number(), created: None, shape }
}

fn show_relay(relay: &Relay) -> Shown<RelaySpec> {
    Shown { id: relay.id.number(), created: None, shape: RelaySpec::describe(relay) }
}
