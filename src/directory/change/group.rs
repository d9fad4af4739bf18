//! Groups: their addresses, their limits, and that none holds itself (policy semantics §6 to §9, §23).

use std::collections::HashMap;

use super::organisation::check_name;
use super::*;

/// Entries of one whitelist or bypass list (policy semantics §7.1).
pub const WHITELIST_ENTRIES: usize = 1000;
/// Departments of one group (policy semantics §23).
pub const DYNAMIC_DEPARTMENTS: usize = 50;
/// Levels of groups, the addressed one counted (policy semantics §6.2).
pub const NESTING_DEPTH: usize = 10;
/// Further addresses of one group.
const GROUP_ALIASES: usize = 5;
/// Members that a group names one by one.
const MEMBERS: usize = 100_000;

impl Draft {
    pub(super) fn put_group(&mut self, group: &Group) -> Result<(), Refusal> {
        for address in group.aliases.iter().chain([&group.address]) {
            self.check_free(address, Bound::Group(group.id))?;
        }
        check_limits(group)?;
        self.check_nesting(group)?;
        match self.next.groups.get(&group.id).cloned() {
            Some(old) => old.aliases.iter().chain([&old.address]).for_each(|a| self.unbind(a)),
            None => {
                self.check_group_count(group)?;
                claim(&mut self.next.counters, |c| &mut c.group, group.id.number(), "group")?;
            }
        }
        for address in group.aliases.iter().chain([&group.address]) {
            self.bind(address, Bound::Group(group.id));
        }
        Arc::make_mut(&mut self.next.groups).insert(group.id, Arc::new(group.clone()));
        self.write(record::GROUP, group.id.number(), group);
        Ok(())
    }

    pub(super) fn remove_group(&mut self, id: GroupId) -> Result<(), Refusal> {
        let group = Arc::make_mut(&mut self.next.groups).remove(&id);
        let group = group.ok_or_else(|| Refusal::NotFound(format!("group {id}")))?;
        group.aliases.iter().chain([&group.address]).for_each(|a| self.unbind(a));
        self.delete(record::GROUP, id.number());
        Ok(())
    }

    /// No cycle, and no chain of more than [`NESTING_DEPTH`] groups through this one.
    fn check_nesting(&self, group: &Group) -> Result<(), Refusal> {
        for nested in &group.members.groups {
            if !self.next.groups.contains_key(&nested.group) && nested.group != group.id {
                return Err(Refusal::NotFound(format!("group {}", nested.group)));
            }
        }
        let inner = |id: GroupId| -> Vec<GroupId> {
            let found = if id == group.id { Some(group) } else { self.next.groups.get(&id).map(|g| &**g) };
            found.map(|g| g.members.groups.iter().map(|n| n.group).collect()).unwrap_or_default()
        };
        let below = longest(group.id, &inner).map_err(|()| Refusal::GroupCycle(group.address.clone()))?;
        let mut outer: HashMap<GroupId, Vec<GroupId>> = HashMap::new();
        for other in self.next.groups.values().filter(|g| g.id != group.id) {
            other.members.groups.iter().for_each(|n| outer.entry(n.group).or_default().push(other.id));
        }
        let above = longest(group.id, &|id| outer.get(&id).cloned().unwrap_or_default())
            .map_err(|()| Refusal::GroupCycle(group.address.clone()))?;
        // Each counts the group itself.
        if below + above > NESTING_DEPTH + 1 { Err(Refusal::GroupDepth) } else { Ok(()) }
    }

    /// 1,000 groups of an organisation, and one more for every two accounts above 2,000 (policy semantics §23).
    fn check_group_count(&self, group: &Group) -> Result<(), Refusal> {
        let of = |a: &Address| a.domain().and_then(|d| self.next.organisation_of(d));
        let organisation = of(&group.address);
        let groups = self.next.groups.values().filter(|g| of(&g.address) == organisation).count();
        if groups < 1000 {
            return Ok(());
        }
        let accounts = self.next.accounts.values().filter(|a| of(&a.address) == organisation).count();
        let limit = 1000 + accounts.saturating_sub(2000) / 2;
        match groups < limit {
            true => Ok(()),
            false => Err(Refusal::Limit(format!("an organisation of {accounts} accounts has at most {limit} groups"))),
        }
    }
}

fn check_limits(group: &Group) -> Result<(), Refusal> {
    let list = |what: &str, length: usize, limit: usize| match length > limit {
        true => Err(Refusal::ListLimit(format!("{what} has {length} entries, at most {limit} are allowed"))),
        false => Ok(()),
    };
    list("whitelist", group.whitelist.len(), WHITELIST_ENTRIES)?;
    list("bypass", group.moderation.bypass.len(), WHITELIST_ENTRIES)?;
    list("departments", group.members.departments.len(), DYNAMIC_DEPARTMENTS)?;
    list("aliases", group.aliases.len(), GROUP_ALIASES)?;
    list("members", group.members.accounts.len() + group.members.external.len(), MEMBERS)?;
    list("exclusions", group.exclusions.len(), MEMBERS)?;
    let people = group.managers.len().max(group.moderation.moderators.len()).max(group.grants.len());
    list("managers, moderators or grants", people, WHITELIST_ENTRIES)?;
    if group.description.is_empty() { Ok(()) } else { check_name("description", &group.description) }
}

/// The longest chain of groups from `start`, itself counted; `Err` if it comes back to itself or meets a cycle.
fn longest(start: GroupId, next: &impl Fn(GroupId) -> Vec<GroupId>) -> Result<usize, ()> {
    fn visit(
        id: GroupId,
        next: &impl Fn(GroupId) -> Vec<GroupId>,
        known: &mut HashMap<GroupId, Option<usize>>,
        depth: usize,
    ) -> Result<usize, ()> {
        match known.get(&id) {
            Some(Some(length)) => return Ok(*length),
            Some(None) => return Err(()),
            None => {}
        }
        // Deeper than any allowed chain: how much deeper does not matter, and the stack stays small.
        if depth > NESTING_DEPTH + 1 {
            return Ok(1);
        }
        known.insert(id, None);
        let mut length = 1;
        for inner in next(id) {
            length = length.max(1 + visit(inner, next, known, depth + 1)?);
        }
        known.insert(id, Some(length));
        Ok(length)
    }
    visit(start, next, &mut HashMap::new(), 1)
}
