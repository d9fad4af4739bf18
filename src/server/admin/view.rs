//! How objects look in the API: what the CLI reads and the audit log keeps. Never credentials.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::spec::{AccountSpec, DomainBlockedSpec, DomainSpec};
use crate::directory::{
    Account, AccountState, Alias, Directory, DomainRecord, Group, Mode, Moderated, Suspension, SuspensionCause,
};
use crate::login::locks::Lock;
use crate::mail::{AccountId, Address, AliasId, Domain, DomainId, GroupId, Timestamp};
use crate::policy::blocklist::{Action, Standing, Test};
use crate::store::CheckReport;

/// A hosted domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DomainView {
    /// Stable id.
    #[schema(value_type = u32)]
    pub id: DomainId,
    /// In A-labels.
    #[schema(value_type = String)]
    pub name: Domain,
    /// Whose.
    #[serde(default)]
    pub organisation: Option<String>,
    /// The domain of which it is a second name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias_of: Option<String>,
    /// The account that receives mail for addresses nobody has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_all: Option<String>,
    /// RFC 3339, UTC.
    pub created: String,
}

/// A domain with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DomainDetail {
    /// The domain.
    #[serde(flatten)]
    pub domain: DomainView,
    /// Accounts with a primary address in it.
    pub accounts: usize,
    /// Aliases in it.
    pub aliases: usize,
    /// Senders whom its accounts do not hear; left out if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<DomainBlockedSpec>,
    /// Senders whose mail is no junk for its accounts; left out if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<String>,
    /// What the DNS had of its records when it was asked last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsSummary>,
}

/// What the DNS had of a domain's records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DnsSummary {
    /// RFC 3339, UTC.
    pub checked: String,
    /// Records about which somebody has to do something.
    pub problems: usize,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountView {
    /// Stable id.
    #[schema(value_type = u32)]
    pub id: AccountId,
    /// Primary address.
    #[schema(value_type = String)]
    pub address: Address,
    /// `active` or `removing`.
    pub state: AccountState,
    /// RFC 3339, UTC.
    pub created: String,
}

/// An account with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountDetail {
    /// Stable id.
    #[schema(value_type = u32)]
    pub id: AccountId,
    /// RFC 3339, UTC.
    pub created: String,
    /// Its further addresses.
    #[schema(value_type = Vec<String>)]
    pub aliases: Vec<Address>,
    /// The server has stopped its sending; left out if not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<SuspensionView>,
    /// Everything that can be set.
    #[serde(flatten)]
    pub shape: AccountSpec,
}

/// An object in the shape in which it is set, with what only the server says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed<T> {
    /// Stable id.
    pub id: u32,
    /// RFC 3339, UTC; some objects have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Everything that can be set.
    #[serde(flatten)]
    pub shape: T,
}

/// A group in a list, without its members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupView {
    /// Stable id.
    #[schema(value_type = u32)]
    pub id: GroupId,
    /// Its address.
    #[schema(value_type = String)]
    pub address: Address,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Who may send.
    pub permission: Mode,
    /// In no list that users see.
    pub hidden: bool,
    /// What is held for approval.
    pub moderation: Moderated,
    /// Entries, a department or group counted as one; left out for whoever may not list them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<usize>,
    /// RFC 3339, UTC.
    pub created: String,
}

/// A further address of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AliasView {
    /// Stable id.
    #[schema(value_type = u32)]
    pub id: AliasId,
    /// The address.
    #[schema(value_type = String)]
    pub address: Address,
    /// The primary address of its account.
    #[schema(value_type = String)]
    pub account: Address,
    /// False: as if it did not exist, but reserved.
    #[serde(default = "enabled")]
    pub enabled: bool,
}

fn enabled() -> bool {
    true
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T, N = u32> {
    /// In order of ids, unless the list says otherwise.
    pub items: Vec<T>,
    /// `after` of the next page; null on the last.
    pub next: Option<N>,
}

/// The state of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Of the program.
    pub version: String,
    /// As configured.
    pub hostname: String,
    /// RFC 3339, UTC.
    pub started: String,
    /// Since then.
    pub uptime_seconds: u64,
    /// Grows with each change of the directory.
    pub directory_version: u64,
    /// Hosted domains.
    pub domains: usize,
    /// Accounts.
    pub accounts: usize,
    /// Aliases.
    pub aliases: usize,
}

/// A DNS block list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlocklistView {
    /// Below which name it is asked.
    pub zone: String,
    /// What becomes of mail from a client that it lists.
    pub action: Action,
    /// Whether it is asked.
    pub standing: Standing,
    /// When it was tested last (RFC 3339, UTC); left out before its first test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tested: Option<String>,
    /// What that test has shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Test>,
}

/// What `check` counted and found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckView {
    /// Accounts with mailboxes.
    pub accounts: u64,
    /// Mailboxes.
    pub mailboxes: u64,
    /// Messages in mailboxes.
    pub entries: u64,
    /// Messages with content.
    pub messages: u64,
    /// What does not agree.
    pub findings: Vec<FindingView>,
}

/// One disagreement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FindingView {
    /// Where.
    pub place: String,
    /// What is wrong with it.
    pub problem: String,
}

impl DomainView {
    /// A domain's view.
    pub fn of(domain: &DomainRecord, directory: &Directory) -> Self {
        let DomainSpec { organisation, alias_of, catch_all, .. } = DomainSpec::describe(domain, directory);
        let (id, name, created) = (domain.id, domain.name.clone(), rfc3339(domain.created));
        Self { id, name, organisation, alias_of, catch_all, created }
    }
}

impl AccountView {
    /// An account's view.
    pub fn of(account: &Account) -> Self {
        Self {
            id: account.id,
            address: account.address.clone(),
            state: account.state,
            created: rfc3339(account.created),
        }
    }
}

impl AccountDetail {
    /// What the owner may know of it: a concealed forward is not (policy semantics §11.1).
    pub fn for_owner(mut self) -> Self {
        self.shape.admin_forward = self.shape.admin_forward.filter(|forward| !forward.concealed);
        self
    }

    /// An account's view with everything.
    pub fn of(account: &Account, directory: &Directory) -> Self {
        Self {
            id: account.id,
            created: rfc3339(account.created),
            aliases: directory.aliases_of(account.id).map(|a| a.address.clone()).collect(),
            suspended: account.settings().suspended.map(SuspensionView::from),
            shape: AccountSpec::describe(account, directory),
        }
    }
}

/// Sending that the server has stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SuspensionView {
    /// Since when (RFC 3339, UTC).
    #[schema(format = DateTime)]
    pub since: String,
    /// Why.
    pub cause: SuspensionCause,
}

impl From<Suspension> for SuspensionView {
    fn from(suspension: Suspension) -> Self {
        Self { since: rfc3339(suspension.since), cause: suspension.cause }
    }
}

impl GroupView {
    /// A group's view, with or without how many are in it.
    pub fn of(group: &Group, with_members: bool) -> Self {
        let members = &group.members;
        let lists = [members.accounts.len(), members.departments.len(), members.groups.len(), members.external.len()];
        Self {
            id: group.id,
            address: group.address.clone(),
            description: group.description.clone(),
            permission: group.mode,
            hidden: group.hidden,
            moderation: group.moderation.when,
            members: with_members.then(|| lists.iter().sum()),
            created: rfc3339(group.created),
        }
    }
}

impl AliasView {
    /// An alias's view; `None` if it has no account.
    pub fn of(alias: &Alias, directory: &Directory) -> Option<Self> {
        let account = directory.account(alias.account)?.address.clone();
        Some(Self { id: alias.id, address: alias.address.clone(), account, enabled: alias.enabled })
    }
}

impl From<CheckReport> for CheckView {
    fn from(report: CheckReport) -> Self {
        let findings =
            report.findings.into_iter().map(|f| FindingView { place: f.place, problem: f.problem }).collect();
        Self {
            accounts: report.accounts,
            mailboxes: report.mailboxes,
            entries: report.entries,
            messages: report.messages,
            findings,
        }
    }
}

/// A lock on an account after failed logins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LockView {
    /// The address that it is for, or the first of an IPv6 /64; `null` for a lock for all addresses.
    pub client: Option<String>,
    /// When it ends.
    #[schema(format = DateTime)]
    pub until: String,
}

impl From<Lock> for LockView {
    fn from(lock: Lock) -> Self {
        Self { client: lock.client.map(|client| client.to_string()), until: rfc3339(lock.until) }
    }
}

/// As in RFC 3339, in UTC.
pub fn rfc3339(at: Timestamp) -> String {
    at.rfc3339()
}
