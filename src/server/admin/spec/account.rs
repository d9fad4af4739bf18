//! Accounts and aliases (policy semantics §5, §10 to §12).

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::entry::{GrantSpec, Resolver, account_text, grant_texts, pattern_text, target_text};
use super::lists::BlockedSpec;
use super::{Octets, Problem, is_default, is_true, yes};
use crate::directory::{
    Account, AccountKind, AccountSettings, AccountState, AdminForward, Alias, AutoReply, Directory, Forward,
    ForwardTarget, Incoming, Scope, Target,
};
use crate::mail::{AccountId, AliasId};
use crate::server::admin::view::rfc3339;

/// An account or shared account.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountSpec {
    /// Primary address.
    pub address: String,
    /// Whether somebody logs in to it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub kind: AccountKind,
    /// `active`, `send-blocked`, `frozen` or `binned`.
    #[serde(default = "active")]
    pub state: AccountState,
    /// Domain admin.
    #[serde(default, skip_serializing_if = "is_default")]
    pub admin: bool,
    /// Paths of its departments, the main one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub departments: Vec<String>,
    /// To whom it may send.
    #[serde(default, skip_serializing_if = "is_default")]
    pub send_scope: ScopeSpec,
    /// From whom it receives.
    #[serde(default, skip_serializing_if = "is_default")]
    pub receive_scope: ScopeSpec,
    /// Octets of all its mail; 0 for no limit.
    #[serde(default, skip_serializing_if = "is_default")]
    pub quota: Octets,
    /// Octets of one message; 0 for the server's limit.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_message: Octets,
    /// What becomes of its mail while it is frozen.
    #[serde(default, skip_serializing_if = "is_default")]
    pub incoming: Incoming,
    /// What a sender reads when mail is refused because the account is frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal_text: Option<String>,
    /// The owner's forward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward: Option<ForwardSpec>,
    /// An admin's forward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_forward: Option<AdminForwardSpec>,
    /// The owner's auto reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vacation: Option<AutoReplySpec>,
    /// An admin's auto reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_reply: Option<AutoReplySpec>,
    /// Senders whom the owner does not want to hear.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<BlockedSpec>,
    /// Senders whose mail the owner does not want to find in Junk: addresses or domains.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<String>,
    /// Rights of others on this account.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<GrantSpec>,
    /// Messages that it may send within a minute, 0 for no limit; without it the server's limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages_per_minute: Option<u32>,
    /// Recipients to whom it may send within a day, 0 for no limit; without it the server's limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipients_per_day: Option<u32>,
    /// For a new account in a file, for tests and demonstrations. Never shown, and ignored once the account exists.
    #[serde(default, skip_serializing)]
    pub password: Option<String>,
}

fn active() -> AccountState {
    AccountState::Active
}

/// Without the password.
impl fmt::Debug for AccountSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountSpec").field("address", &self.address).finish_non_exhaustive()
    }
}

/// With whom an account may correspond: `"any"`, `"internal"`, `"none"`, or a list of addresses and domains besides the
/// organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged, expecting = "\"any\", \"internal\", \"none\" or a list of addresses and domains")]
pub enum ScopeSpec {
    /// One of three words.
    Word(ScopeWord),
    /// The organisation and these.
    List(Vec<String>),
}

/// A scope without a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ScopeWord {
    /// Everybody.
    Any,
    /// The organisation.
    Internal,
    /// Nobody.
    None,
}

impl Default for ScopeSpec {
    fn default() -> Self {
        Self::Word(ScopeWord::Any)
    }
}

/// The owner's forward.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForwardSpec {
    /// At most 5.
    pub targets: Vec<ForwardTargetSpec>,
    /// A copy stays.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub keep: bool,
}

/// Where an owner forwards to: an address, or an external address that has confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged, expecting = "an address or { to = ADDRESS, confirmed = true }")]
pub enum ForwardTargetSpec {
    /// A target here, or one outside that has not confirmed.
    Address(String),
    /// With what is known of its consent.
    Confirmed(ConfirmedTarget),
}

/// An external target and whether it has confirmed that it wants the mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmedTarget {
    /// Its address.
    pub to: String,
    /// Without it no mail goes there (policy semantics §11.1).
    pub confirmed: bool,
}

impl ForwardTargetSpec {
    fn parts(&self) -> (&str, bool) {
        match self {
            Self::Address(to) => (to, false),
            Self::Confirmed(target) => (&target.to, target.confirmed),
        }
    }
}

/// An admin's forward of somebody's mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminForwardSpec {
    /// At most 5.
    pub targets: Vec<String>,
    /// A copy stays.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub keep: bool,
    /// The owner does not see it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub concealed: bool,
}

/// An automatic reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AutoReplySpec {
    /// To everybody, or to internal senders if there is another text for the others.
    pub text: String,
    /// To external senders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_text: Option<String>,
    /// Goes in front of the original's subject.
    #[serde(default = "prefix")]
    pub subject_prefix: String,
    /// Hours before the same sender is answered again, 1 to 720.
    #[serde(default = "day")]
    pub interval_hours: u32,
    /// Active from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Active until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// If given, only these are answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contacts: Option<Vec<String>>,
}

fn prefix() -> String {
    "Auto: ".to_owned()
}

fn day() -> u32 {
    24
}

impl AccountSpec {
    /// An active account with default settings.
    pub fn new(address: String) -> Self {
        Self {
            address,
            kind: AccountKind::Person,
            state: AccountState::Active,
            admin: false,
            departments: Vec::new(),
            send_scope: ScopeSpec::default(),
            receive_scope: ScopeSpec::default(),
            quota: Octets(0),
            max_message: Octets(0),
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
            password: None,
        }
    }

    /// The record: `old` with everything that the shape says, so that id, credentials and date stay.
    pub fn resolve(&self, directory: &Directory, old: &Account) -> Result<Account, Vec<Problem>> {
        let mut resolver = Resolver::new(directory, None);
        let address = resolver.address(format_args!("address"), &self.address);
        resolver.organisation = address.as_ref().and_then(|a| a.domain()).and_then(|d| directory.organisation_of(d));
        if self.state == AccountState::Removing {
            resolver.refuse::<()>(format_args!("state"), "removing", "active, send-blocked, frozen or binned");
        }
        let departments = resolver.list("departments", &self.departments, Resolver::department);
        let settings = AccountSettings {
            is_admin: self.admin,
            send_scope: scope(&mut resolver, "send_scope", &self.send_scope),
            receive_scope: scope(&mut resolver, "receive_scope", &self.receive_scope),
            quota: self.quota.0,
            max_message: self.max_message.0,
            incoming: self.incoming,
            refusal_text: self.refusal_text.clone(),
            forward: self.forward.as_ref().map(|f| f.resolve(&mut resolver)),
            admin_forward: self.admin_forward.as_ref().map(|f| f.resolve(&mut resolver)),
            vacation: self.vacation.as_ref().map(|r| r.resolve("vacation", &mut resolver)),
            admin_reply: self.admin_reply.as_ref().map(|r| r.resolve("admin_reply", &mut resolver)),
            blocked: self.blocked.iter().enumerate().filter_map(|(n, b)| b.resolve(n, &mut resolver)).collect(),
            allowed: resolver.list("allowed", &self.allowed, Resolver::pattern),
            grants: resolver.grants(&self.grants),
            messages_per_minute: self.messages_per_minute,
            recipients_per_day: self.recipients_per_day,
            // Not for a shape to say: a file that is applied every night must not lift it.
            suspended: old.settings().suspended,
        };
        let account = address.map(|address| {
            let (kind, state) = (self.kind, self.state);
            Account { address, kind, state, departments, settings: None, ..old.clone() }.with_settings(settings)
        });
        resolver.finish(account)?.ok_or_else(Vec::new)
    }

    /// How the record is written.
    pub fn describe(account: &Account, directory: &Directory) -> Self {
        let settings = account.settings();
        Self {
            address: account.address.to_string(),
            kind: account.kind,
            state: account.state,
            admin: settings.is_admin,
            departments: account.departments.iter().filter_map(|id| directory.department_path(*id)).collect(),
            send_scope: scope_text(directory, &settings.send_scope),
            receive_scope: scope_text(directory, &settings.receive_scope),
            quota: Octets(settings.quota),
            max_message: Octets(settings.max_message),
            incoming: settings.incoming,
            refusal_text: settings.refusal_text.clone(),
            forward: settings.forward.as_ref().and_then(|f| ForwardSpec::describe(f, directory)),
            admin_forward: settings.admin_forward.as_ref().and_then(|f| AdminForwardSpec::describe(f, directory)),
            vacation: settings.vacation.as_ref().map(|r| AutoReplySpec::describe(r, directory)),
            admin_reply: settings.admin_reply.as_ref().map(|r| AutoReplySpec::describe(r, directory)),
            blocked: settings.blocked.iter().filter_map(|b| BlockedSpec::describe(b, directory)).collect(),
            allowed: settings.allowed.iter().filter_map(|p| pattern_text(directory, p)).collect(),
            grants: grant_texts(directory, &settings.grants),
            messages_per_minute: settings.messages_per_minute,
            recipients_per_day: settings.recipients_per_day,
            password: None,
        }
    }
}

fn scope(resolver: &mut Resolver<'_>, field: &str, scope: &ScopeSpec) -> Scope {
    match scope {
        ScopeSpec::Word(ScopeWord::Any) => Scope::Any,
        ScopeSpec::Word(ScopeWord::Internal) => Scope::Internal,
        ScopeSpec::Word(ScopeWord::None) => Scope::None,
        ScopeSpec::List(texts) => Scope::List(resolver.list(field, texts, Resolver::pattern)),
    }
}

fn scope_text(directory: &Directory, scope: &Scope) -> ScopeSpec {
    match scope {
        Scope::Any => ScopeSpec::Word(ScopeWord::Any),
        Scope::Internal => ScopeSpec::Word(ScopeWord::Internal),
        Scope::None => ScopeSpec::Word(ScopeWord::None),
        Scope::List(list) => ScopeSpec::List(list.iter().filter_map(|p| pattern_text(directory, p)).collect()),
    }
}

impl ForwardSpec {
    fn resolve(&self, resolver: &mut Resolver<'_>) -> Forward {
        let mut targets: Vec<ForwardTarget> = Vec::new();
        for (n, target) in self.targets.iter().enumerate() {
            let (to, confirmed) = target.parts();
            let Some(to) = resolver.target(format_args!("forward.targets[{n}]"), to) else { continue };
            // Who is hosted here has nothing to confirm.
            let confirmed = confirmed || !matches!(to, Target::External(_));
            if !targets.iter().any(|t| t.to == to) {
                targets.push(ForwardTarget { to, confirmed });
            }
        }
        Forward { targets, keep: self.keep }
    }

    /// `None` if nobody of the targets is left.
    fn describe(forward: &Forward, directory: &Directory) -> Option<Self> {
        let target = |t: &ForwardTarget| {
            let to = target_text(directory, &t.to)?;
            Some(match t.confirmed && matches!(t.to, Target::External(_)) {
                true => ForwardTargetSpec::Confirmed(ConfirmedTarget { to, confirmed: true }),
                false => ForwardTargetSpec::Address(to),
            })
        };
        let targets: Vec<_> = forward.targets.iter().filter_map(target).collect();
        (!targets.is_empty()).then_some(Self { targets, keep: forward.keep })
    }
}

impl AdminForwardSpec {
    fn resolve(&self, resolver: &mut Resolver<'_>) -> AdminForward {
        let targets = resolver.list("admin_forward.targets", &self.targets, Resolver::target);
        AdminForward { targets, keep: self.keep, concealed: self.concealed }
    }

    fn describe(forward: &AdminForward, directory: &Directory) -> Option<Self> {
        let targets: Vec<_> = forward.targets.iter().filter_map(|t| target_text(directory, t)).collect();
        (!targets.is_empty()).then_some(Self { targets, keep: forward.keep, concealed: forward.concealed })
    }
}

impl AutoReplySpec {
    fn resolve(&self, field: &str, resolver: &mut Resolver<'_>) -> AutoReply {
        let contacts = self.contacts.as_ref();
        AutoReply {
            subject_prefix: self.subject_prefix.clone(),
            text: self.text.clone(),
            external_text: self.external_text.clone(),
            interval_hours: self.interval_hours,
            from: resolver.moment(format_args!("{field}.from"), self.from.as_deref()),
            until: resolver.moment(format_args!("{field}.until"), self.until.as_deref()),
            contacts: contacts.map(|c| resolver.list(&format!("{field}.contacts"), c, Resolver::pattern)),
        }
    }

    fn describe(reply: &AutoReply, directory: &Directory) -> Self {
        let contacts = reply.contacts.as_ref();
        Self {
            text: reply.text.clone(),
            external_text: reply.external_text.clone(),
            subject_prefix: reply.subject_prefix.clone(),
            interval_hours: reply.interval_hours,
            from: reply.from.map(rfc3339),
            until: reply.until.map(rfc3339),
            contacts: contacts.map(|c| c.iter().filter_map(|p| pattern_text(directory, p)).collect()),
        }
    }
}

/// A further address of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AliasSpec {
    /// The address.
    pub address: String,
    /// Whose.
    pub account: String,
    /// False: as if it did not exist, but reserved.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub enabled: bool,
}

impl AliasSpec {
    /// The record.
    pub fn resolve(&self, directory: &Directory, id: AliasId) -> Result<Alias, Vec<Problem>> {
        let mut resolver = Resolver::new(directory, None);
        let address = resolver.address(format_args!("address"), &self.address);
        let organisation = address.as_ref().and_then(|a| a.domain()).and_then(|d| directory.organisation_of(d));
        resolver.organisation = organisation;
        let account: Option<AccountId> = resolver.account(format_args!("account"), &self.account);
        let alias =
            address.zip(account).map(|(address, account)| Alias { id, address, account, enabled: self.enabled });
        resolver.finish(alias)?.ok_or_else(Vec::new)
    }

    /// How the record is written; `None` if its account is gone.
    pub fn describe(alias: &Alias, directory: &Directory) -> Option<Self> {
        let account = account_text(directory, alias.account)?;
        Some(Self { address: alias.address.to_string(), account, enabled: alias.enabled })
    }
}
