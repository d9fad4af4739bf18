//! Groups (policy semantics §6 to §9).

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::entry::{GROUP, GrantSpec, Resolver, account_text, department_text, grant_texts, group_text, sender_text};
use super::{Octets, Problem, is_default, is_true, yes};
use crate::directory::{Directory, Edge, Group, Listing, Members, Mode, Moderated, Moderation, Nested, SenderEntry};
use crate::mail::{AccountId, GroupId};

/// An address that stands for members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupSpec {
    /// Its address.
    pub address: String,
    /// Further addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Path of the department it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub department: Option<String>,
    /// Who may send.
    #[serde(default)]
    pub permission: Mode,
    /// Of the permissions with a whitelist; at most 1,000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub whitelist: Vec<String>,
    /// Only authenticated senders and trusted relays.
    #[serde(default, skip_serializing_if = "is_default")]
    pub require_auth: bool,
    /// In no list, and unknown to whoever may not send.
    #[serde(default, skip_serializing_if = "is_default")]
    pub hidden: bool,
    /// External members receive.
    #[serde(default, skip_serializing_if = "is_default")]
    pub external_members: bool,
    /// A member who sends gets the message as well.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub deliver_to_sender: bool,
    /// A List-Id field on its copies.
    #[serde(default, skip_serializing_if = "is_default")]
    pub list_id: bool,
    /// Octets of one message; 0 for the server's limit.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_size: Octets,
    /// Accounts, departments, groups and external addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberSpec>,
    /// Accounts that are not in it although a department of it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclusions: Vec<String>,
    /// Who may change it. No right to send.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub managers: Vec<String>,
    /// Who may list its members; by default the organisation, or the managers if it is hidden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing: Option<Listing>,
    /// What is held for approval.
    #[serde(default, skip_serializing_if = "is_default")]
    pub moderation: ModerationSpec,
    /// Who may send as the group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<GrantSpec>,
}

/// A member: text as in the table of entries, or a group with its edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "an address, \"group:ADDRESS\", \"department:/PATH\" or { group = ADDRESS, edge = EDGE }"
)]
pub enum MemberSpec {
    /// An account, a department, an external address, or a group by the edge it has or would get.
    Entry(String),
    /// A group by a certain edge.
    Nested(NestedSpec),
}

/// A group within a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NestedSpec {
    /// The inner group.
    pub group: String,
    /// Whether its own permission still matters; without it as for a plain entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edge: Option<Edge>,
}

/// What is held for approval, and by whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModerationSpec {
    /// Which messages.
    #[serde(default)]
    pub when: Moderated,
    /// Who decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moderators: Vec<String>,
    /// Whose messages are not held.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bypass: Vec<String>,
}

/// Whose consent counts for the inner group of an edge (policy semantics §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// A domain admin: over every group of the organisation.
    Admin,
    /// An account: over the groups that it manages.
    Account(AccountId),
    /// Somebody who is gone: over none.
    Nobody,
}

impl Authority {
    /// True if whoever has it may consent for the group.
    pub fn is_over(self, group: &Group) -> bool {
        match self {
            Self::Admin => true,
            Self::Account(id) => group.managers.contains(&id),
            Self::Nobody => false,
        }
    }
}

impl GroupSpec {
    /// A group with default settings and nobody in it.
    pub fn new(address: String) -> Self {
        Self {
            address,
            aliases: Vec::new(),
            description: String::new(),
            department: None,
            permission: Mode::SameDomain,
            whitelist: Vec::new(),
            require_auth: false,
            hidden: false,
            external_members: false,
            deliver_to_sender: true,
            list_id: false,
            max_size: Octets(0),
            members: Vec::new(),
            exclusions: Vec::new(),
            managers: Vec::new(),
            listing: None,
            moderation: ModerationSpec::default(),
            grants: Vec::new(),
        }
    }

    /// The record, with the id and date of `old`. An inner group without an edge keeps the one that `old` has;
    /// otherwise `authority` decides (policy semantics §8).
    pub fn resolve(&self, directory: &Directory, old: &Group, authority: Authority) -> Result<Group, Vec<Problem>> {
        let mut resolver = Resolver::new(directory, None);
        let address = resolver.address(format_args!("address"), &self.address);
        resolver.organisation = address.as_ref().and_then(|a| a.domain()).and_then(|d| directory.organisation_of(d));
        let department = self.department.as_ref();
        let group = Group {
            id: old.id,
            address: address.unwrap_or_else(|| old.address.clone()),
            aliases: resolver.list("aliases", &self.aliases, Resolver::address),
            description: self.description.clone(),
            department: department.and_then(|path| resolver.department(format_args!("department"), path)),
            mode: self.permission,
            whitelist: resolver.list("whitelist", &self.whitelist, Resolver::sender),
            require_auth: self.require_auth,
            hidden: self.hidden,
            external_members: self.external_members,
            deliver_to_sender: self.deliver_to_sender,
            list_id: self.list_id,
            max_size: self.max_size.0,
            members: members(&mut resolver, &self.members, old, authority),
            exclusions: resolver.list("exclusions", &self.exclusions, Resolver::account),
            managers: resolver.list("managers", &self.managers, Resolver::account),
            listing: self.listing,
            moderation: Moderation {
                when: self.moderation.when,
                moderators: resolver.list("moderation.moderators", &self.moderation.moderators, Resolver::account),
                bypass: resolver.list("moderation.bypass", &self.moderation.bypass, Resolver::sender),
            },
            grants: resolver.grants(&self.grants),
            created: old.created,
        };
        resolver.finish(group)
    }

    /// How the record is written.
    pub fn describe(group: &Group, directory: &Directory) -> Self {
        let accounts = |ids: &[AccountId]| ids.iter().filter_map(|id| account_text(directory, *id)).collect::<Vec<_>>();
        let senders = |list: &[SenderEntry]| list.iter().filter_map(|e| sender_text(directory, e)).collect();
        Self {
            address: group.address.to_string(),
            aliases: group.aliases.iter().map(ToString::to_string).collect(),
            description: group.description.clone(),
            department: group.department.and_then(|id| directory.department_path(id)),
            permission: group.mode,
            whitelist: senders(&group.whitelist),
            require_auth: group.require_auth,
            hidden: group.hidden,
            external_members: group.external_members,
            deliver_to_sender: group.deliver_to_sender,
            list_id: group.list_id,
            max_size: Octets(group.max_size),
            members: member_texts(directory, &group.members),
            exclusions: accounts(&group.exclusions),
            managers: accounts(&group.managers),
            listing: group.listing,
            moderation: ModerationSpec {
                when: group.moderation.when,
                moderators: accounts(&group.moderation.moderators),
                bypass: senders(&group.moderation.bypass),
            },
            grants: grant_texts(directory, &group.grants),
        }
    }
}

fn members(resolver: &mut Resolver<'_>, specs: &[MemberSpec], old: &Group, authority: Authority) -> Members {
    let mut members = Members::default();
    let mut edges: HashMap<GroupId, Edge> = HashMap::new();
    for (n, spec) in specs.iter().enumerate() {
        let (text, edge) = match spec {
            MemberSpec::Entry(text) => (text, None),
            MemberSpec::Nested(nested) => {
                let field = format!("members[{n}].group");
                if let Some(inner) = resolver.group(format_args!("{field}"), &nested.group)
                    && let Some(edge) = edge_to(resolver, n, inner, nested.edge, old, authority)
                {
                    edges.insert(inner, edge);
                }
                continue;
            }
        };
        match resolver.sender(format_args!("members[{n}]"), text) {
            Some(SenderEntry::Account(id)) => members.accounts.push(id),
            Some(SenderEntry::Group(id)) => {
                if let Some(edge) = edge_to(resolver, n, id, edge, old, authority) {
                    edges.entry(id).or_insert(edge);
                }
            }
            Some(SenderEntry::Department(scope)) => members.departments.push(scope),
            Some(SenderEntry::External(address)) => members.external.push(address),
            Some(SenderEntry::Domain(_) | SenderEntry::Subdomains(_)) => {
                resolver.refuse::<()>(format_args!("members[{n}]"), text, "a member, not a whole domain");
            }
            None => {}
        }
    }
    members.groups = edges.into_iter().map(|(group, edge)| Nested { group, edge }).collect();
    members.groups.sort_unstable_by_key(|n| n.group);
    // One order and no repetition: the same members are the same record.
    members.accounts.sort_unstable();
    members.accounts.dedup();
    members.departments.sort_unstable();
    members.departments.dedup();
    members.external.sort_by_cached_key(|a| a.key());
    members.external.dedup();
    members
}

/// The edge to an inner group: what was asked for, if whoever asks may; else the one it has; else the default.
fn edge_to(
    resolver: &mut Resolver<'_>,
    n: usize,
    inner: GroupId,
    wanted: Option<Edge>,
    old: &Group,
    authority: Authority,
) -> Option<Edge> {
    let has = old.members.groups.iter().find(|g| g.group == inner).map(|g| g.edge);
    let may_inherit = resolver.directory.group(inner).is_some_and(|g| authority.is_over(g));
    match (wanted, has) {
        (Some(Edge::Inherit), has) if !may_inherit && has != Some(Edge::Inherit) => resolver.refuse_as(
            "inherit_needs_authority",
            format_args!("members[{n}].edge"),
            "inherit",
            "inherit needs authority over the inner group",
        ),
        (Some(edge), _) | (None, Some(edge)) => Some(edge),
        (None, None) => Some(if may_inherit { Edge::Inherit } else { Edge::Check }),
    }
}

fn member_texts(directory: &Directory, members: &Members) -> Vec<MemberSpec> {
    let accounts = members.accounts.iter().filter_map(|id| account_text(directory, *id));
    let departments = members.departments.iter().filter_map(|scope| department_text(directory, *scope));
    let external = members.external.iter().map(ToString::to_string);
    let groups = members.groups.iter().filter_map(|nested| {
        let group = group_text(directory, nested.group)?;
        let group = group.strip_prefix(GROUP).map(str::to_owned)?;
        Some(MemberSpec::Nested(NestedSpec { group, edge: Some(nested.edge) }))
    });
    accounts.chain(departments).chain(external).map(MemberSpec::Entry).chain(groups).collect()
}
