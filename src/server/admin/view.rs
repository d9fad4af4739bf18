//! How objects look in the API: what the CLI reads and the audit log keeps. Never credentials.

use serde::{Deserialize, Serialize};

use crate::directory::{Account, AccountState, Alias, Directory, DomainRecord};
use crate::mail::{AccountId, Address, AliasId, Domain, DomainId, Timestamp};
use crate::store::CheckReport;

/// A hosted domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainView {
    /// Stable id.
    pub id: DomainId,
    /// In A-labels.
    pub name: Domain,
    /// RFC 3339, UTC.
    pub created: String,
}

/// A domain with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainDetail {
    /// The domain.
    #[serde(flatten)]
    pub domain: DomainView,
    /// Accounts with a primary address in it.
    pub accounts: usize,
    /// Aliases in it.
    pub aliases: usize,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    /// Stable id.
    pub id: AccountId,
    /// Primary address.
    pub address: Address,
    /// `active` or `removing`.
    pub state: AccountState,
    /// RFC 3339, UTC.
    pub created: String,
}

/// An account with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountDetail {
    /// The account.
    #[serde(flatten)]
    pub account: AccountView,
    /// Its further addresses.
    pub aliases: Vec<Address>,
}

/// A further address of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasView {
    /// Stable id.
    pub id: AliasId,
    /// The address.
    pub address: Address,
    /// The primary address of its account.
    pub account: Address,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// In order of ids.
    pub items: Vec<T>,
    /// `after` of the next page; null on the last.
    pub next: Option<u32>,
}

/// The state of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// What `check` counted and found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingView {
    /// Where.
    pub place: String,
    /// What is wrong with it.
    pub problem: String,
}

impl DomainView {
    /// A domain's view.
    pub fn of(domain: &DomainRecord) -> Self {
        Self { id: domain.id, name: domain.name.clone(), created: rfc3339(domain.created) }
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

impl AliasView {
    /// An alias's view; `None` if it has no account.
    pub fn of(alias: &Alias, directory: &Directory) -> Option<Self> {
        let account = directory.account(alias.account)?.address.clone();
        Some(Self { id: alias.id, address: alias.address.clone(), account })
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

/// As in RFC 3339, in UTC; the epoch for a time beyond what the calendar holds.
pub fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.millis()).unwrap_or_default().to_string()
}
