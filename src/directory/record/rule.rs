//! Mail rules (policy semantics §13).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AddressPattern, DepartmentScope, Target};
use crate::mail::{AccountId, GroupId, MailboxName, NamePattern, OrganisationId, Phrase, RuleId, Timestamp};

/// A mail rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Stable id; ties of priority go by it.
    pub id: RuleId,
    /// Whose.
    pub organisation: OrganisationId,
    /// Unique within the organisation.
    pub name: String,
    /// Whether it applies.
    pub enabled: bool,
    /// 0 first.
    pub priority: u32,
    /// Whose events it looks at.
    pub scope: RuleScope,
    /// Whose it does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scope_except: Vec<Subject>,
    /// Which events.
    #[serde(default)]
    pub direction: Direction,
    /// With whom.
    #[serde(default)]
    pub peer: Peer,
    /// All must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Any that holds cancels the rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<Condition>,
    /// A body that could not be inspected as a whole counts as a match of body conditions.
    #[serde(default)]
    pub match_uninspected: bool,
    /// In order.
    pub actions: Vec<Action>,
    /// Later rules are not evaluated for a message that this one matches.
    #[serde(default)]
    pub stop: bool,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remark: String,
    /// Applies from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Timestamp>,
    /// Applies until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
    /// When it was added.
    pub created: Timestamp,
}

/// Whose events a rule looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleScope {
    /// Every account of the organisation.
    Everyone,
    /// These.
    Of(Vec<Subject>),
}

/// Accounts named by themselves, by a department or by a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// One account.
    Account(AccountId),
    /// Everybody in a department.
    Department(DepartmentScope),
    /// A group's current members.
    Group(GroupId),
}

/// Which events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Messages that the account sends.
    Sent,
    /// Messages that the account receives.
    Received,
    /// Both.
    #[default]
    Both,
}

/// With whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    /// Within the organisation.
    Internal,
    /// Outside.
    External,
    /// Either.
    #[default]
    Any,
}

/// A test of the message (policy semantics §13.3). Of several values any suffices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// Reverse-path or any From address.
    Sender(Vec<AddressPattern>),
    /// Any addressed recipient or final delivery.
    Recipient(Vec<AddressPattern>),
    /// Octets as received; bounds excluded.
    Size {
        /// More than this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<u64>,
        /// Less than this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<u64>,
    },
    /// Substring of decoded text.
    Keyword {
        /// Where to look.
        places: Vec<Place>,
        /// What for.
        values: Vec<Phrase>,
    },
    /// Some part is an attachment.
    HasAttachment,
    /// Patterns with `*` and `?` on the decoded name.
    AttachmentName(Vec<NamePattern>),
    /// A header field.
    Header {
        /// Its name.
        name: String,
        /// It contains one of these; without any it need only be present.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        contains: Vec<Phrase>,
    },
}

/// Where a keyword is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// The Subject field.
    Subject,
    /// Text parts.
    Body,
    /// Names of attachments.
    AttachmentName,
}

/// What a rule does (policy semantics §13.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// A copy for the monitor.
    Copy(MonitorCopy),
    /// A copy to addresses; the original goes on.
    Forward(Vec<Target>),
    /// To addresses instead of the recipients.
    Redirect(Vec<Target>),
    /// A header field in front of the matching copies.
    Tag {
        /// Its name.
        header: String,
        /// Its value.
        value: String,
    },
    /// A text in front of the subject of the matching copies. A DKIM signature over the subject does not survive it.
    SubjectPrefix(String),
    /// To the Junk folder of the matching recipients.
    Junk,
    /// Kept from the recipients until an admin releases it.
    Quarantine,
    /// Kept until somebody approves.
    Hold(Hold),
    /// Refused.
    Reject {
        /// What the sender reads.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// The monitor gets a copy of what was refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        copy: Option<MonitorCopy>,
    },
    /// Accepted and not stored.
    Discard,
    /// Later rules are not evaluated.
    Stop,
}

/// Who gets a monitor copy, and how (policy semantics §13.5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonitorCopy {
    /// The account.
    pub monitor: AccountId,
    /// The folder, made if it is missing; `None` for INBOX.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<MailboxName>,
    /// What the copy looks like.
    #[serde(default)]
    pub form: CopyForm,
    /// Who gets it if the monitor is gone or frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<AccountId>,
    /// No acceptance without the copy.
    #[serde(default)]
    pub require: bool,
}

/// What a monitor copy looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CopyForm {
    /// The message with a block in front of its header.
    #[default]
    Block,
    /// A report with the original attached.
    Report,
}

/// Who approves, and what happens if nobody does (policy semantics §13.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Who decides.
    pub approvers: Approvers,
    /// Hours to wait.
    pub timeout_hours: u32,
    /// What happens then.
    #[serde(default)]
    pub outcome: HoldOutcome,
}

/// Who decides about a held message; any one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Approvers {
    /// These accounts.
    Accounts(Vec<AccountId>),
    /// The manager of the sender's main department.
    DepartmentManager,
}

/// What happens to a held message about which nobody decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HoldOutcome {
    /// As if it had been refused.
    #[default]
    Reject,
    /// As if it had been approved.
    Release,
}
