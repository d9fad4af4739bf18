//! Accounts, shared accounts and aliases (policy semantics §1, §5, §10 to §12).
//!
//! `Debug` of a record never shows credentials, so that none can reach a log.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AddressPattern, Blocked, Target};
use crate::mail::{AccountId, Address, AliasId, DepartmentId, Timestamp};

/// An owner of addresses, credentials and mailboxes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Stable id.
    pub id: AccountId,
    /// Primary address.
    pub address: Address,
    /// Whether somebody logs in to it.
    #[serde(default)]
    pub kind: AccountKind,
    /// What it may do.
    pub state: AccountState,
    /// The departments it is in, the main one first; none for the root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub departments: Vec<DepartmentId>,
    /// `None` for an account that nobody can log in to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Box<Credentials>>,
    /// What differs from the defaults; most accounts have nothing here, which keeps them small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Box<AccountSettings>>,
    /// When it was added.
    pub created: Timestamp,
}

/// Whether somebody logs in to an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AccountKind {
    /// A person's, or a program's.
    #[default]
    Person,
    /// Used through grants alone.
    Shared,
}

/// What an account may do (policy semantics §10.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AccountState {
    /// Everything.
    Active,
    /// Everything but send.
    SendBlocked,
    /// No login; incoming mail as [`AccountSettings::incoming`] says.
    Frozen,
    /// In the recycle bin: unknown to everybody, its addresses reserved.
    Binned,
    /// Being removed for good: as binned, until its mail is gone.
    Removing,
}

impl AccountState {
    /// True while the account exists for mail: its address can be looked up.
    pub fn is_present(self) -> bool {
        match self {
            Self::Active | Self::SendBlocked | Self::Frozen => true,
            Self::Binned | Self::Removing => false,
        }
    }

    /// True for an account that counts as a sender's identity, moderator or approver.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Active | Self::SendBlocked)
    }
}

/// What proves who somebody is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// Argon2id hash of the password in PHC form.
    pub password: String,
    /// For SCRAM.
    pub scram: ScramVerifier,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// The SCRAM-SHA-256 verifier of a password (RFC 5802 §3, RFC 7677): not the password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScramVerifier {
    /// Salt, base64.
    pub salt: String,
    /// Iteration count.
    pub iterations: u32,
    /// StoredKey, base64.
    pub stored_key: String,
    /// ServerKey, base64.
    pub server_key: String,
}

impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramVerifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// What most accounts leave at its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountSettings {
    /// Domain admin: unrestricted within the organisation.
    pub is_admin: bool,
    /// To whom it may send.
    pub send_scope: Scope,
    /// From whom it receives.
    pub receive_scope: Scope,
    /// Octets; 0 for no limit.
    pub quota: u64,
    /// Octets of one message; 0 for the server's limit.
    pub max_message: u64,
    /// What becomes of its mail while it is frozen.
    pub incoming: Incoming,
    /// What a sender reads when mail is refused because the account is frozen.
    pub refusal_text: Option<String>,
    /// Set by the owner.
    pub forward: Option<Forward>,
    /// Set by an admin.
    pub admin_forward: Option<AdminForward>,
    /// Set by the owner.
    pub vacation: Option<AutoReply>,
    /// Set by an admin.
    pub admin_reply: Option<AutoReply>,
    /// Whom the owner does not want to hear.
    pub blocked: Vec<Blocked>,
    /// Whose mail the owner does not want to find in Junk.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<AddressPattern>,
    /// Rights of others on this account.
    pub grants: Vec<Grant>,
    /// Messages that it may send within a minute, 0 for no limit; without it as many as the server says.
    pub messages_per_minute: Option<u32>,
    /// Recipients to whom it may send within a day, likewise.
    pub recipients_per_day: Option<u32>,
    /// The server has stopped its sending. No state of [`AccountState`], so that neither the server nor an
    /// administrator undoes what the other has done.
    pub suspended: Option<Suspension>,
}

/// Sending stopped because the account behaves as if it were abused (policy semantics §10.1, §18). It lasts until an
/// administrator lifts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub cause: SuspensionCause,
}

/// Why an account is taken for abused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SuspensionCause {
    /// It exceeded the limit of messages again and again.
    MessageRate,
    /// It named many more recipients than it may have in a day.
    RecipientRate,
}

impl Account {
    /// An active account with default settings, to which nobody can log in yet.
    pub fn new(id: AccountId, address: Address, created: Timestamp) -> Self {
        Self {
            id,
            address,
            kind: AccountKind::Person,
            state: AccountState::Active,
            departments: Vec::new(),
            credentials: None,
            settings: None,
            created,
        }
    }

    /// True if it may send: neither an administrator nor the server has stopped it.
    pub fn may_send(&self) -> bool {
        self.state == AccountState::Active && self.settings().suspended.is_none()
    }

    /// The settings, or the defaults.
    pub fn settings(&self) -> &AccountSettings {
        static DEFAULT: AccountSettings = AccountSettings::DEFAULT;
        self.settings.as_deref().unwrap_or(&DEFAULT)
    }

    /// The same account with other settings.
    pub fn with_settings(mut self, settings: AccountSettings) -> Self {
        self.settings = (settings != AccountSettings::DEFAULT).then(|| Box::new(settings));
        self
    }
}

impl AccountSettings {
    const DEFAULT: Self = Self {
        is_admin: false,
        send_scope: Scope::Any,
        receive_scope: Scope::Any,
        quota: 0,
        max_message: 0,
        incoming: Incoming::Reject,
        refusal_text: None,
        forward: None,
        admin_forward: None,
        vacation: None,
        admin_reply: None,
        blocked: Vec::new(),
        allowed: Vec::new(),
        grants: Vec::new(),
        messages_per_minute: None,
        recipients_per_day: None,
        suspended: None,
    };
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("id", &self.id)
            .field("address", &self.address)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// With whom an account may correspond (policy semantics §10.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Everybody.
    #[default]
    Any,
    /// The organisation.
    Internal,
    /// Nobody.
    None,
    /// The organisation and these.
    List(Vec<AddressPattern>),
}

/// What becomes of mail for a frozen account (policy semantics §10.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Incoming {
    /// Refused.
    #[default]
    Reject,
    /// Stored.
    Store,
    /// Goes to the admin forward.
    Forward,
    /// Both.
    #[serde(rename = "store+forward")]
    StoreAndForward,
}

/// The owner's forward (policy semantics §11.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// At most 5.
    pub targets: Vec<ForwardTarget>,
    /// A copy stays.
    pub keep: bool,
}

/// Where an owner forwards to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardTarget {
    /// To whom.
    pub to: Target,
    /// An external target has confirmed that it wants the mail; others need not.
    pub confirmed: bool,
}

/// An admin's forward of somebody's mail (policy semantics §11.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminForward {
    /// At most 5.
    pub targets: Vec<Target>,
    /// A copy stays.
    pub keep: bool,
    /// The owner does not see it.
    pub concealed: bool,
}

/// An automatic reply (policy semantics §12).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoReply {
    /// Goes in front of the original's subject.
    pub subject_prefix: String,
    /// To everybody, or to internal senders if there is another text for the others.
    pub text: String,
    /// To external senders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_text: Option<String>,
    /// Hours before the same sender is answered again, 1 to 720.
    pub interval_hours: u32,
    /// Active from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Active until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// If given, only these are answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contacts: Option<Vec<AddressPattern>>,
}

/// A right of one account on another principal (policy semantics §1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Who has it.
    pub to: AccountId,
    /// What it allows.
    pub right: Right,
}

/// What a grant allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Right {
    /// Read its mail.
    Read,
    /// Send as if it were the sender.
    SendAs,
    /// Send for it, named in Sender.
    SendOnBehalf,
}

/// A further address of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// Stable id.
    pub id: AliasId,
    /// The address.
    pub address: Address,
    /// Whose.
    pub account: AccountId,
    /// False: as if it did not exist, but reserved (policy semantics §4.2).
    #[serde(default = "enabled", skip_serializing_if = "is_enabled")]
    pub enabled: bool,
}

fn enabled() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_enabled(enabled: &bool) -> bool {
    *enabled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_credentials() {
        let secret = || "SECRET".to_owned();
        let scram = ScramVerifier { salt: secret(), iterations: 4096, stored_key: secret(), server_key: secret() };
        let address = Address::parse("alice@corp.test").unwrap();
        let mut account = Account::new(AccountId::new(1).unwrap(), address, Timestamp::from_millis(0));
        account.credentials = Some(Box::new(Credentials { password: secret(), scram }));
        let credentials = account.credentials.clone().unwrap();
        assert!(!format!("{account:?} {credentials:?} {:?}", credentials.scram).contains("SECRET"));
    }

    #[test]
    fn settings_of_before_there_were_suspensions_can_be_read() {
        let stored = r#"{"is_admin":true,"send_scope":"any","receive_scope":"any","quota":0,"max_message":0,
            "incoming":"reject","refusal_text":null,"forward":null,"admin_forward":null,"vacation":null,
            "admin_reply":null,"blocked":[],"grants":[]}"#;
        let read: AccountSettings = serde_json::from_str(stored).unwrap();
        assert_eq!(read, AccountSettings { is_admin: true, ..AccountSettings::default() });
        let suspended = Some(Suspension { since: Timestamp::from_millis(5), cause: SuspensionCause::MessageRate });
        let settings = AccountSettings { suspended, recipients_per_day: Some(0), ..read };
        let text = serde_json::to_string(&settings).unwrap();
        assert!(text.contains(r#""suspended":{"since":5,"cause":"message-rate"}"#), "{text}");
        assert_eq!(serde_json::from_str::<AccountSettings>(&text).unwrap(), settings);
    }

    #[test]
    fn default_settings_are_those_of_an_account_without_any() {
        assert_eq!(AccountSettings::default(), AccountSettings::DEFAULT);
        assert_eq!(serde_json::from_str::<AccountSettings>("{}").unwrap(), AccountSettings::DEFAULT);
    }
}
