//! Mail rules (policy semantics §13).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::entry::{Resolver, account_or_id, account_text, pattern_text, subject_text, target_text};
use super::organisation::organisation_text;
use super::{Octets, Problem, is_default, is_true, yes};
use crate::directory::{
    Action, Approvers, Condition, CopyForm, Direction, Directory, Hold, HoldOutcome, MonitorCopy, Peer, Place, Rule,
    RuleScope,
};
use crate::mail::{MailboxName, NamePattern, Phrase, RuleId, Timestamp};
use crate::server::admin::view::rfc3339;

/// A mail rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleSpec {
    /// Unique within the organisation.
    pub name: String,
    /// Whose; may be left out while there is one organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// Whether it applies.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub enabled: bool,
    /// 0 first.
    #[serde(default)]
    pub priority: u32,
    /// Whose events it looks at: `"everyone"`, or accounts, groups and departments.
    #[serde(default)]
    pub scope: RuleScopeSpec,
    /// Whose it does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scope_except: Vec<String>,
    /// Which events.
    #[serde(default, skip_serializing_if = "is_default")]
    pub direction: Direction,
    /// With whom.
    #[serde(default, skip_serializing_if = "is_default")]
    pub peer: Peer,
    /// All must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<ConditionSpec>,
    /// Any that holds cancels the rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<ConditionSpec>,
    /// A body that could not be inspected as a whole counts as a match of body conditions.
    #[serde(default, skip_serializing_if = "is_default")]
    pub match_uninspected: bool,
    /// In order.
    pub actions: Vec<ActionSpec>,
    /// Later rules are not evaluated for a message that this one matches.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stop: bool,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remark: String,
    /// Applies from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<String>,
    /// Applies until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<String>,
}

/// Whose events a rule looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged, expecting = "\"everyone\" or a list of accounts, groups and departments")]
pub enum RuleScopeSpec {
    /// Everybody of the organisation.
    Word(Everyone),
    /// These.
    Of(Vec<String>),
}

/// The word for the whole organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Everyone {
    /// Every account of the organisation.
    Everyone,
}

impl Default for RuleScopeSpec {
    fn default() -> Self {
        Self::Word(Everyone::Everyone)
    }
}

/// A test of the message. Of several values any suffices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ConditionSpec {
    /// Reverse-path or any From address.
    Sender(Vec<String>),
    /// Any addressed recipient or final delivery.
    Recipient(Vec<String>),
    /// Octets as received; bounds excluded.
    Size {
        /// More than this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<Octets>,
        /// Less than this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<Octets>,
    },
    /// Substring of decoded text.
    Keyword {
        /// Where to look; everywhere without it.
        #[serde(default = "everywhere")]
        places: Vec<Place>,
        /// What for.
        values: Vec<String>,
    },
    /// Some part is an attachment.
    HasAttachment,
    /// Patterns with `*` and `?` on the decoded name.
    AttachmentName(Vec<String>),
    /// A header field.
    Header {
        /// Its name.
        name: String,
        /// It contains one of these; without any it need only be present.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        contains: Vec<String>,
    },
}

fn everywhere() -> Vec<Place> {
    vec![Place::Subject, Place::Body, Place::AttachmentName]
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ActionSpec {
    /// A copy for the monitor.
    Copy(MonitorCopySpec),
    /// A copy to addresses; the original goes on.
    Forward(Vec<String>),
    /// To addresses instead of the recipients.
    Redirect(Vec<String>),
    /// A header field in front of the matching copies.
    Tag {
        /// Its name, which starts with `X-`.
        header: String,
        /// Its value.
        value: String,
    },
    /// A text of 1 to 100 characters in front of the subject of the matching copies, unless it stands there already. A
    /// DKIM signature over the subject does not survive it.
    SubjectPrefix(String),
    /// To the Junk folder of the matching recipients.
    Junk,
    /// Kept from the recipients until an admin releases it.
    Quarantine,
    /// Kept until somebody approves.
    Hold(HoldSpec),
    /// Refused.
    Reject {
        /// What the sender reads.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// The monitor gets a copy of what was refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        copy: Option<MonitorCopySpec>,
    },
    /// Accepted and not stored.
    Discard,
    /// Later rules are not evaluated.
    Stop,
}

/// Who gets a monitor copy, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MonitorCopySpec {
    /// The account.
    pub monitor: String,
    /// The folder, made if it is missing; INBOX without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// What the copy looks like.
    #[serde(default, skip_serializing_if = "is_default")]
    pub form: CopyForm,
    /// Who gets it if the monitor is gone or frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// No acceptance without the copy.
    #[serde(default, skip_serializing_if = "is_default")]
    pub require: bool,
}

/// Who approves, and what happens if nobody does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldSpec {
    /// Accounts, or `"department-manager"`.
    pub approvers: ApproversSpec,
    /// Hours to wait, 1 to 720.
    #[serde(default = "three_days")]
    pub timeout_hours: u32,
    /// What happens then.
    #[serde(default, skip_serializing_if = "is_default")]
    pub outcome: HoldOutcome,
}

fn three_days() -> u32 {
    72
}

/// Who decides about a held message; any one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged, expecting = "a list of accounts or \"department-manager\"")]
pub enum ApproversSpec {
    /// The manager of the sender's main department.
    Word(DepartmentManager),
    /// These accounts.
    Accounts(Vec<String>),
}

/// The word for the manager of the sender's main department.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DepartmentManager {
    /// The manager of the sender's main department.
    DepartmentManager,
}

impl RuleSpec {
    /// The record.
    pub fn resolve(&self, directory: &Directory, id: RuleId, created: Timestamp) -> Result<Rule, Vec<Problem>> {
        let mut resolver = Resolver::new(directory, None);
        let organisation = resolver.organisation(format_args!("organisation"), self.organisation.as_deref());
        resolver.organisation = organisation;
        let rule = organisation.map(|organisation| Rule {
            id,
            organisation,
            name: self.name.clone(),
            enabled: self.enabled,
            priority: self.priority,
            scope: match &self.scope {
                RuleScopeSpec::Word(Everyone::Everyone) => RuleScope::Everyone,
                RuleScopeSpec::Of(texts) => RuleScope::Of(resolver.list("scope", texts, Resolver::subject)),
            },
            scope_except: resolver.list("scope_except", &self.scope_except, Resolver::subject),
            direction: self.direction,
            peer: self.peer,
            conditions: conditions(&mut resolver, "conditions", &self.conditions),
            exceptions: conditions(&mut resolver, "exceptions", &self.exceptions),
            match_uninspected: self.match_uninspected,
            actions: actions(&mut resolver, &self.actions),
            stop: self.stop,
            remark: self.remark.clone(),
            valid_from: resolver.moment(format_args!("valid_from"), self.valid_from.as_deref()),
            valid_until: resolver.moment(format_args!("valid_until"), self.valid_until.as_deref()),
            created,
        });
        resolver.finish(rule)?.ok_or_else(Vec::new)
    }

    /// How the record is written.
    pub fn describe(rule: &Rule, directory: &Directory) -> Self {
        let subject = |s| subject_text(directory, s);
        Self {
            name: rule.name.clone(),
            organisation: organisation_text(directory, rule.organisation),
            enabled: rule.enabled,
            priority: rule.priority,
            scope: match &rule.scope {
                RuleScope::Everyone => RuleScopeSpec::Word(Everyone::Everyone),
                RuleScope::Of(list) => RuleScopeSpec::Of(list.iter().copied().filter_map(subject).collect()),
            },
            scope_except: rule.scope_except.iter().copied().filter_map(subject).collect(),
            direction: rule.direction,
            peer: rule.peer,
            conditions: rule.conditions.iter().map(|c| ConditionSpec::describe(c, directory)).collect(),
            exceptions: rule.exceptions.iter().map(|c| ConditionSpec::describe(c, directory)).collect(),
            match_uninspected: rule.match_uninspected,
            actions: rule.actions.iter().map(|a| ActionSpec::describe(a, directory)).collect(),
            stop: rule.stop,
            remark: rule.remark.clone(),
            valid_from: rule.valid_from.map(rfc3339),
            valid_until: rule.valid_until.map(rfc3339),
        }
    }
}

fn phrases(texts: &[String]) -> Vec<Phrase> {
    texts.iter().map(Phrase::new).collect()
}

fn given(phrases: &[Phrase]) -> Vec<String> {
    phrases.iter().map(|phrase| phrase.as_str().to_owned()).collect()
}

fn conditions(resolver: &mut Resolver<'_>, field: &str, specs: &[ConditionSpec]) -> Vec<Condition> {
    let resolve = |(n, spec): (usize, &ConditionSpec)| match spec {
        ConditionSpec::Sender(texts) => {
            Condition::Sender(resolver.list(&format!("{field}[{n}].sender"), texts, Resolver::pattern))
        }
        ConditionSpec::Recipient(texts) => {
            Condition::Recipient(resolver.list(&format!("{field}[{n}].recipient"), texts, Resolver::pattern))
        }
        ConditionSpec::Size { min, max } => Condition::Size { min: min.map(|o| o.0), max: max.map(|o| o.0) },
        ConditionSpec::Keyword { places, values } => {
            Condition::Keyword { places: places.clone(), values: phrases(values) }
        }
        ConditionSpec::HasAttachment => Condition::HasAttachment,
        ConditionSpec::AttachmentName(patterns) => {
            Condition::AttachmentName(patterns.iter().map(NamePattern::new).collect())
        }
        ConditionSpec::Header { name, contains } => {
            Condition::Header { name: name.clone(), contains: phrases(contains) }
        }
    };
    specs.iter().enumerate().map(resolve).collect()
}

fn actions(resolver: &mut Resolver<'_>, specs: &[ActionSpec]) -> Vec<Action> {
    let resolve = |(n, spec): (usize, &ActionSpec)| {
        Some(match spec {
            ActionSpec::Copy(copy) => Action::Copy(copy.resolve(resolver, &format!("actions[{n}].copy"))?),
            ActionSpec::Forward(texts) => {
                Action::Forward(resolver.list(&format!("actions[{n}].forward"), texts, Resolver::target))
            }
            ActionSpec::Redirect(texts) => {
                Action::Redirect(resolver.list(&format!("actions[{n}].redirect"), texts, Resolver::target))
            }
            ActionSpec::Tag { header, value } => Action::Tag { header: header.clone(), value: value.clone() },
            ActionSpec::SubjectPrefix(prefix) => Action::SubjectPrefix(prefix.clone()),
            ActionSpec::Junk => Action::Junk,
            ActionSpec::Quarantine => Action::Quarantine,
            ActionSpec::Hold(hold) => Action::Hold(hold.resolve(resolver, &format!("actions[{n}].hold"))),
            ActionSpec::Reject { text, copy } => Action::Reject {
                text: text.clone(),
                copy: match copy {
                    Some(copy) => Some(copy.resolve(resolver, &format!("actions[{n}].reject.copy"))?),
                    None => None,
                },
            },
            ActionSpec::Discard => Action::Discard,
            ActionSpec::Stop => Action::Stop,
        })
    };
    specs.iter().enumerate().filter_map(resolve).collect()
}

impl MonitorCopySpec {
    fn resolve(&self, resolver: &mut Resolver<'_>, field: &str) -> Option<MonitorCopy> {
        let folder = self.folder.as_deref().and_then(|text| match MailboxName::parse(text) {
            Ok(name) => Some(name),
            Err(e) => resolver.refuse(format_args!("{field}.folder"), text, &format!("the name of a folder ({e})")),
        });
        let fallback = self.fallback.as_ref().and_then(|text| resolver.account(format_args!("{field}.fallback"), text));
        let monitor = resolver.account(format_args!("{field}.monitor"), &self.monitor)?;
        Some(MonitorCopy { monitor, folder, form: self.form, fallback, require: self.require })
    }

    fn describe(copy: &MonitorCopy, directory: &Directory) -> Self {
        Self {
            monitor: account_or_id(directory, copy.monitor),
            folder: copy.folder.as_ref().map(ToString::to_string),
            form: copy.form,
            fallback: copy.fallback.and_then(|id| account_text(directory, id)),
            require: copy.require,
        }
    }
}

impl HoldSpec {
    fn resolve(&self, resolver: &mut Resolver<'_>, field: &str) -> Hold {
        let approvers = match &self.approvers {
            ApproversSpec::Word(DepartmentManager::DepartmentManager) => Approvers::DepartmentManager,
            ApproversSpec::Accounts(texts) => {
                Approvers::Accounts(resolver.list(&format!("{field}.approvers"), texts, Resolver::account))
            }
        };
        Hold { approvers, timeout_hours: self.timeout_hours, outcome: self.outcome }
    }

    fn describe(hold: &Hold, directory: &Directory) -> Self {
        let approvers = match &hold.approvers {
            Approvers::DepartmentManager => ApproversSpec::Word(DepartmentManager::DepartmentManager),
            Approvers::Accounts(ids) => {
                ApproversSpec::Accounts(ids.iter().filter_map(|id| account_text(directory, *id)).collect())
            }
        };
        Self { approvers, timeout_hours: hold.timeout_hours, outcome: hold.outcome }
    }
}

impl ConditionSpec {
    fn describe(condition: &Condition, directory: &Directory) -> Self {
        let texts = |list: &[crate::directory::AddressPattern]| {
            list.iter().filter_map(|p| pattern_text(directory, p)).collect()
        };
        match condition {
            Condition::Sender(patterns) => Self::Sender(texts(patterns)),
            Condition::Recipient(patterns) => Self::Recipient(texts(patterns)),
            Condition::Size { min, max } => Self::Size { min: min.map(Octets), max: max.map(Octets) },
            Condition::Keyword { places, values } => Self::Keyword { places: places.clone(), values: given(values) },
            Condition::HasAttachment => Self::HasAttachment,
            Condition::AttachmentName(patterns) => {
                Self::AttachmentName(patterns.iter().map(|p| p.as_str().to_owned()).collect())
            }
            Condition::Header { name, contains } => Self::Header { name: name.clone(), contains: given(contains) },
        }
    }
}

impl ActionSpec {
    fn describe(action: &Action, directory: &Directory) -> Self {
        let targets =
            |list: &[crate::directory::Target]| list.iter().filter_map(|t| target_text(directory, t)).collect();
        match action {
            Action::Copy(copy) => Self::Copy(MonitorCopySpec::describe(copy, directory)),
            Action::Forward(list) => Self::Forward(targets(list)),
            Action::Redirect(list) => Self::Redirect(targets(list)),
            Action::Tag { header, value } => Self::Tag { header: header.clone(), value: value.clone() },
            Action::SubjectPrefix(prefix) => Self::SubjectPrefix(prefix.clone()),
            Action::Junk => Self::Junk,
            Action::Quarantine => Self::Quarantine,
            Action::Hold(hold) => Self::Hold(HoldSpec::describe(hold, directory)),
            Action::Reject { text, copy } => Self::Reject {
                text: text.clone(),
                copy: copy.as_ref().map(|c| MonitorCopySpec::describe(c, directory)),
            },
            Action::Discard => Self::Discard,
            Action::Stop => Self::Stop,
        }
    }
}
