//! Groups (policy semantics §6 to §9).

use std::sync::Arc;

use super::super::Actor;
use super::super::error::OpError;
use super::super::permission::{Reach, may_with_group};
use super::super::spec::{Authority, GroupSpec, MemberSpec, Object};
use super::super::view::{GroupView, Listed as Shown, Page, rfc3339};
use super::list::Listed;
use super::permit::admit;
use super::{Admin, Plan, not_found, used_up};
use crate::directory::change::Change;
use crate::directory::{Directory, Group};
use crate::mail::{Address, Domain, GroupId, Timestamp};
use crate::policy::administration::Operation;

/// Which lists of a group take entries one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupList {
    /// Who is in it.
    Members,
    /// Who may send besides.
    Whitelist,
}

impl Admin {
    /// A part of the groups, by id; all or one domain's. A hidden group is in no list but an admin's (policy semantics
    /// §6.6).
    pub fn groups(&self, actor: Actor, domain: Option<&Domain>, listed: Listed) -> Page<GroupView> {
        let directory = self.services.directory.current();
        let reach = Reach::of(&directory, actor);
        let may = |g: &Group, operation| may_with_group(&directory, actor, g, operation);
        let wanted = directory
            .groups()
            .filter(|g| domain.is_none_or(|d| g.address.domain() == Some(d)))
            .filter(|g| reach.covers_address(&directory, &g.address))
            .filter(|g| !g.hidden || may(g, Operation::Organisation));
        listed.page(wanted.map(|g| (g.id.number(), GroupView::of(g, may(g, Operation::ListMembers)))))
    }

    /// The members of a group. A hidden group among them is shown to who may change the group alone.
    pub fn members(&self, actor: Actor, address: &Address) -> Result<Vec<MemberSpec>, OpError> {
        let directory = self.services.directory.current();
        let group = group_in(&directory, address)?;
        let mut group = group.clone();
        if !may_with_group(&directory, actor, &group, Operation::ManageGroup) {
            let is_hidden = |id| directory.group(id).is_some_and(|inner| inner.hidden);
            group.members.groups.retain(|nested| !is_hidden(nested.group));
        }
        Ok(GroupSpec::describe(&group, &directory).members)
    }

    /// One group, by its address or one of its further ones.
    pub fn group(&self, address: &Address) -> Result<Shown<GroupSpec>, OpError> {
        show(&self.services.directory.current(), address)
    }

    /// Adds a group.
    pub async fn add_group(self: &Arc<Self>, actor: Actor, spec: GroupSpec) -> Result<Shown<GroupSpec>, OpError> {
        let created = self.services.clock.now();
        let address = Address::parse(&spec.address).map_err(|e| OpError::not_an_address("address", e))?;
        let wanted = address.clone();
        let directory = self
            .change(actor, "group.add", self.owner(&address), move |directory| {
                Reach::of(directory, actor).admits(directory, &wanted)?;
                let id = directory.new_group_id(0).ok_or_else(used_up)?;
                let blank = Group::new(id, wanted.clone(), created);
                let record = spec.resolve(directory, &blank, authority(directory, actor)).map_err(OpError::Shape)?;
                Ok(Plan::one(Change::PutGroup(record), Object::Group(id)))
            })
            .await?;
        show(&directory, &address)
    }

    /// Replaces everything of a group but its id; another address renames it.
    pub async fn put_group(
        self: &Arc<Self>,
        actor: Actor,
        address: Address,
        spec: GroupSpec,
    ) -> Result<Shown<GroupSpec>, OpError> {
        self.edit_group(actor, "group.put", address, move |shape| *shape = spec.clone()).await
    }

    /// Changes something of a group. Edges to inner groups inherit by the authority of whoever asks (policy semantics
    /// §8).
    pub async fn edit_group(
        self: &Arc<Self>,
        actor: Actor,
        action: &'static str,
        address: Address,
        edit: impl Fn(&mut GroupSpec) + Send + Sync + 'static,
    ) -> Result<Shown<GroupSpec>, OpError> {
        let wanted = address.clone();
        let id = self.group_id(&address)?;
        let directory = self
            .change(actor, action, self.owner(&address), move |directory| {
                let old = group_in(directory, &wanted)?;
                let mut shape = GroupSpec::describe(old, directory);
                edit(&mut shape);
                admit(directory, actor, &shape.address)?;
                let record = shape.resolve(directory, old, authority(directory, actor)).map_err(OpError::Shape)?;
                Ok(Plan::one(Change::PutGroup(record), Object::Group(old.id)))
            })
            .await?;
        let group = directory.group(id).ok_or_else(|| not_found(format!("group {address}")))?;
        Ok(shown(group, &directory))
    }

    /// Adds members; those that are in it already stay as they are, unless an edge is named.
    pub async fn add_members(
        self: &Arc<Self>,
        actor: Actor,
        address: Address,
        members: Vec<MemberSpec>,
    ) -> Result<Shown<GroupSpec>, OpError> {
        let add = move |shape: &mut GroupSpec| shape.members.extend(members.iter().cloned());
        self.edit_group(actor, "group.members.add", address, add).await
    }

    /// Adds entries to the whitelist.
    pub async fn add_to_whitelist(
        self: &Arc<Self>,
        actor: Actor,
        address: Address,
        entries: Vec<String>,
    ) -> Result<Shown<GroupSpec>, OpError> {
        let add = move |shape: &mut GroupSpec| shape.whitelist.extend(entries.iter().cloned());
        self.edit_group(actor, "group.whitelist.add", address, add).await
    }

    /// Takes an entry off a list, however it is written: an account by any of its addresses.
    pub async fn remove_entry(
        self: &Arc<Self>,
        actor: Actor,
        address: Address,
        list: GroupList,
        entry: String,
    ) -> Result<(), OpError> {
        let action = match list {
            GroupList::Members => "group.members.remove",
            GroupList::Whitelist => "group.whitelist.remove",
        };
        self.change(actor, action, self.owner(&address), move |directory| {
            let old = group_in(directory, &address)?;
            let record = without(directory, old, list, &entry)?;
            if record == *old {
                return Err(not_found(format!("entry {entry} of group {}", old.address)));
            }
            Ok(Plan::one(Change::PutGroup(record), Object::Group(old.id)))
        })
        .await?;
        Ok(())
    }

    /// Removes a group. Whatever names it names it no more.
    pub async fn remove_group(self: &Arc<Self>, actor: Actor, address: Address) -> Result<(), OpError> {
        self.change(actor, "group.remove", self.owner(&address), move |directory| {
            let id = group_in(directory, &address)?.id;
            let mut plan = Plan::nothing();
            // A group that holds it would otherwise be refused at its next change.
            for outer in directory.groups().filter(|g| g.members.groups.iter().any(|n| n.group == id)) {
                let mut outer = (**outer).clone();
                outer.members.groups.retain(|nested| nested.group != id);
                plan.touched.push(Object::Group(outer.id));
                plan.changes.push(Change::PutGroup(outer));
            }
            plan.touched.push(Object::Group(id));
            plan.changes.push(Change::RemoveGroup(id));
            Ok(plan)
        })
        .await?;
        Ok(())
    }

    fn group_id(&self, address: &Address) -> Result<GroupId, OpError> {
        group_in(&self.services.directory.current(), address).map(|g| g.id)
    }
}

/// Over which inner groups the actor may consent (policy semantics §8).
fn authority(directory: &Directory, actor: Actor) -> Authority {
    match Reach::of(directory, actor) {
        Reach::Everything | Reach::Organisation(_) => Authority::Admin,
        Reach::Person(_, account) => Authority::Account(account),
        Reach::Nothing => Authority::Nobody,
    }
}

/// The group without what `entry` stands for.
fn without(directory: &Directory, old: &Group, list: GroupList, entry: &str) -> Result<Group, OpError> {
    let mut shape = GroupSpec::new(old.address.to_string());
    match list {
        GroupList::Members => shape.members.push(MemberSpec::Entry(entry.to_owned())),
        GroupList::Whitelist => shape.whitelist.push(entry.to_owned()),
    }
    let blank = Group::new(old.id, old.address.clone(), Timestamp::from_millis(0));
    let named = shape.resolve(directory, &blank, Authority::Admin).map_err(OpError::Shape)?;
    let mut group = old.clone();
    group.members.accounts.retain(|id| !named.members.accounts.contains(id));
    group.members.departments.retain(|scope| !named.members.departments.contains(scope));
    group.members.groups.retain(|g| !named.members.groups.iter().any(|n| n.group == g.group));
    group.members.external.retain(|address| !named.members.external.contains(address));
    group.whitelist.retain(|entry| !named.whitelist.contains(entry));
    Ok(group)
}

fn group_in<'a>(directory: &'a Directory, address: &Address) -> Result<&'a Group, OpError> {
    directory.group_at(address).map(|g| &**g).ok_or_else(|| not_found(format!("group {address}")))
}

fn show(directory: &Directory, address: &Address) -> Result<Shown<GroupSpec>, OpError> {
    group_in(directory, address).map(|group| shown(group, directory))
}

fn shown(group: &Group, directory: &Directory) -> Shown<GroupSpec> {
    let created = Some(rfc3339(group.created));
    Shown { id: group.id.number(), created, shape: GroupSpec::describe(group, directory) }
}
