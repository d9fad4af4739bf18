//! Organisations, their domains and departments, and the hosts they trust (policy semantics §1, §3.2, §16).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AddressPattern, DomainBlocked};
use crate::mail::{AccountId, DepartmentId, Domain, DomainId, Language, Network, OrganisationId, RelayId, Timestamp};

/// The owner of one or more domains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organisation {
    /// Stable id.
    pub id: OrganisationId,
    /// Unique among organisations.
    pub name: String,
    /// Whether accounts may forward to addresses that are not hosted here.
    #[serde(default)]
    pub external_forward: ExternalForward,
    /// Octets that held messages may take together (§9); `None` for the server's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_limit: Option<u64>,
    /// Whether the audit log has the first look at each monitor's copy (§14).
    #[serde(default = "yes")]
    pub record_monitor_reads: bool,
    /// What becomes of mail that fails DMARC.
    #[serde(default, skip_serializing_if = "DmarcHandling::is_none")]
    pub dmarc: DmarcHandling,
    /// Whose seals say more than DMARC: those of domains that pass mail on for its people (RFC 8617 §7.2.1).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted_sealers: Vec<Domain>,
    /// In which its people are told what becomes of their mail.
    #[serde(default, skip_serializing_if = "is_default")]
    pub language: Language,
    /// When it was added.
    pub created: Timestamp,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn yes() -> bool {
    true
}

/// What becomes of mail that fails DMARC and whose author's domain wants that to be noticed (RFC 7489 §6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DmarcHandling {
    /// Nothing: the result is noted.
    #[default]
    None,
    /// It lies in Junk, whether the domain asks for quarantine or for more.
    Junk,
    /// It is refused if the domain asks for that, and lies in Junk if it asks for quarantine.
    Reject,
}

impl DmarcHandling {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// Who may forward outside (policy semantics §11.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExternalForward {
    /// Owners and admins.
    Allow,
    /// Admins alone.
    #[default]
    AdminOnly,
    /// Nobody.
    Deny,
}

/// A hosted domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainRecord {
    /// Stable id.
    pub id: DomainId,
    /// Its name.
    pub name: Domain,
    /// Whose.
    pub organisation: OrganisationId,
    /// The domain of which it is a second name; it then holds no accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias_of: Option<DomainId>,
    /// Who receives mail for addresses that nobody has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_all: Option<AccountId>,
    /// Whom its accounts do not hear, unless they say otherwise themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<DomainBlocked>,
    /// Whose mail is no junk for its accounts, unless they say otherwise themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<AddressPattern>,
    /// When it was added.
    pub created: Timestamp,
}

/// A node in an organisation's tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Department {
    /// Stable id.
    pub id: DepartmentId,
    /// Whose.
    pub organisation: OrganisationId,
    /// Unique among its siblings; without `/`.
    pub name: String,
    /// The node above; `None` at the top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<DepartmentId>,
    /// Who approves for it (§13.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<AccountId>,
}

/// Hosts whose word counts, or who speak for others (policy semantics §3.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relay {
    /// Stable id.
    pub id: RelayId,
    /// Their addresses.
    pub network: Network,
    /// What they are.
    pub kind: RelayKind,
    /// Of a gateway: it puts a Received field before every message, with this name in its `by` clause. `None` for one
    /// that does not, and for records of before there was such a field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_by: Option<Domain>,
}

/// What a listed host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RelayKind {
    /// `assert_sender`: its reverse-path names the sender.
    TrustedRelay,
    /// A filter in front of this server: its mail comes from outside, from the address it hands over.
    Gateway,
}
