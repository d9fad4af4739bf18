//! Groups (policy semantics §6 to §9).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Grant, SenderEntry};
use crate::mail::{AccountId, Address, DepartmentId, GroupId, Timestamp};

/// An address that stands for members. Holds no mail of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Stable id.
    pub id: GroupId,
    /// Its address.
    pub address: Address,
    /// Further addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Address>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The department it belongs to (§16).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub department: Option<DepartmentId>,
    /// Who may send.
    pub mode: Mode,
    /// Of the modes with a whitelist; at most 1,000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub whitelist: Vec<SenderEntry>,
    /// Only authenticated senders and trusted relays (§7.4).
    #[serde(default)]
    pub require_auth: bool,
    /// In no list, and unknown to whoever may not send (§6.6).
    #[serde(default)]
    pub hidden: bool,
    /// External members receive.
    #[serde(default)]
    pub external_members: bool,
    /// A member who sends gets the message as well.
    #[serde(default = "yes")]
    pub deliver_to_sender: bool,
    /// A List-Id field on its copies (§6.5).
    #[serde(default)]
    pub list_id: bool,
    /// Octets of one message; 0 for the server's limit.
    #[serde(default)]
    pub max_size: u64,
    /// Who is in it.
    #[serde(default)]
    pub members: Members,
    /// Accounts that are not in it although a department of it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclusions: Vec<AccountId>,
    /// Who may change it. No right to send.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub managers: Vec<AccountId>,
    /// Who may list its members; `None` for what [`Group::listing`] says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing: Option<Listing>,
    /// What is held for approval.
    #[serde(default)]
    pub moderation: Moderation,
    /// Who may send as the group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
    /// When it was added.
    pub created: Timestamp,
}

fn yes() -> bool {
    true
}

impl Group {
    /// A group with the default settings and nobody in it.
    pub fn new(id: GroupId, address: Address, created: Timestamp) -> Self {
        Self {
            id,
            address,
            aliases: Vec::new(),
            description: String::new(),
            department: None,
            mode: Mode::SameDomain,
            whitelist: Vec::new(),
            require_auth: false,
            hidden: false,
            external_members: false,
            deliver_to_sender: true,
            list_id: false,
            max_size: 0,
            members: Members::default(),
            exclusions: Vec::new(),
            managers: Vec::new(),
            listing: None,
            moderation: Moderation::default(),
            grants: Vec::new(),
            created,
        }
    }

    /// Who may list its members (§6.6).
    pub fn listing(&self) -> Listing {
        self.listing.unwrap_or(if self.hidden { Listing::Managers } else { Listing::Organisation })
    }
}

/// The modes offered to administrators; each stands for terms of the allow set (policy semantics §7.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// SAME_DOMAIN
    #[default]
    SameDomain,
    /// MEMBERS
    Members,
    /// ANYONE
    Anyone,
    /// LIST
    Whitelist,
    /// MEMBERS, LIST
    MembersAndWhitelist,
    /// SAME_DOMAIN, LIST
    SameDomainAndWhitelist,
    /// ORGANISATION
    Organisation,
}

/// The members, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Members {
    /// Accounts and shared accounts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<AccountId>,
    /// Everybody in a department at the time of the message.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub departments: Vec<DepartmentScope>,
    /// Nested groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Nested>,
    /// Addresses that are not hosted here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external: Vec<Address>,
}

/// A department, with or without those below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DepartmentScope {
    /// Which.
    pub department: DepartmentId,
    /// With those below it.
    pub subtree: bool,
}

/// A group within a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Nested {
    /// The inner group.
    pub group: GroupId,
    /// Whether its own permission still matters.
    pub edge: Edge,
}

/// Whether the inner group's permission is asked (policy semantics §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Edge {
    /// It is, against the original sender.
    Check,
    /// It is not: whoever has authority over the inner group has consented.
    Inherit,
}

/// Who may list the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Listing {
    /// Managers.
    Managers,
    /// Members.
    Members,
    /// Everybody of the organisation.
    Organisation,
}

/// What is held for approval, and by whom (policy semantics §9).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Moderation {
    /// Which messages.
    pub when: Moderated,
    /// Who decides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub moderators: Vec<AccountId>,
    /// Whose messages are not held.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bypass: Vec<SenderEntry>,
}

/// Which messages are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Moderated {
    /// None.
    #[default]
    Off,
    /// All.
    All,
    /// Of external origin.
    External,
    /// Of senders who are not members.
    NonMembers,
}
