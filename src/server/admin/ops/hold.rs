//! Held messages and the decisions on them (policy semantics §9, §13.4).

use std::sync::Arc;

use super::super::Actor;
use super::super::audit::Record;
use super::super::error::OpError;
use super::super::permission::Reach;
use super::super::report::HoldView;
use super::super::spec::Difference;
use super::super::view::{Page, rfc3339};

use super::{Admin, account_name, group_name, unhurried};
use crate::accept::release::{self, Verdict};
use crate::accept::{HeldPart, HeldReason};
use crate::directory::Directory;
use crate::mail::{Address, HoldId, RuleId};
use crate::store::{self, AuditEntry, Decision, Held, HoldKind, HoldState};

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct HoldFilter {
    /// Whose, by name; the only one there is without it.
    pub organisation: Option<String>,
    /// Of which kind; all of them without it.
    pub kind: Option<HoldKind>,
    /// Also what is decided already.
    pub with_decided: bool,
}

/// A decision of an administrator.
#[derive(Clone, Debug)]
pub struct Ruling {
    /// Let it through.
    pub accepted: bool,
    /// For the sender, if it is refused.
    pub text: String,
}

impl Admin {
    /// Held messages, oldest first, from the one after `after`.
    pub async fn holds(
        &self,
        actor: Actor,
        filter: HoldFilter,
        after: Option<HoldId>,
        limit: usize,
    ) -> Result<Page<HoldView, String>, OpError> {
        let organisation = self.organisation_named(actor, filter.organisation.as_deref())?.id;
        let kinds = filter.kind.map_or_else(|| HoldKind::ALL.to_vec(), |kind| vec![kind]);
        let directory = self.services.directory.current();
        let reach = Reach::of(&directory, actor);
        let (mut items, mut last) = (Vec::new(), after);
        loop {
            let mut page = Vec::new();
            for kind in &kinds {
                page.extend(self.services.store.held(organisation, *kind, last, READ).await?);
            }
            // The kinds are listed apart: the first of each together hold the first of all.
            page.sort_by_key(|held| held.id);
            page.truncate(READ);
            let is_end = page.len() < READ;
            for held in &page {
                last = Some(held.id);
                if (filter.with_decided || held.state == HoldState::Pending) && concerns(reach, held) {
                    items.push(view(&directory, reach, held));
                }
                if items.len() >= limit {
                    return Ok(Page { items, next: last.map(|id| id.to_string()) });
                }
            }
            if is_end {
                return Ok(Page { items, next: None });
            }
        }
    }

    /// One held message.
    pub async fn hold(&self, actor: Actor, id: HoldId) -> Result<HoldView, OpError> {
        let held = self.services.store.held_by_id(id).await?;
        let directory = self.services.directory.current();
        Ok(view(&directory, Reach::of(&directory, actor), &held))
    }

    /// Decides about a held message and carries it out; the first decision counts. Once begun it runs to its end.
    pub async fn decide(self: &Arc<Self>, actor: Actor, id: HoldId, ruling: Ruling) -> Result<HoldView, OpError> {
        let is_text = |c: char| !c.is_control() || c == '\n' || c == '\t';
        if ruling.text.chars().count() > TEXT || !ruling.text.chars().all(is_text) {
            let message = format!("at most {TEXT} characters, no control characters");
            return Err(OpError::Invalid { field: "text", message });
        }
        let admin = self.clone();
        unhurried(async move { admin.decide_and_show(actor, id, ruling).await }).await
    }

    async fn decide_and_show(&self, actor: Actor, id: HoldId, ruling: Ruling) -> Result<HoldView, OpError> {
        let directory = self.services.directory.current();
        let by = name_of(&directory, actor);
        let verdict = Verdict { accepted: ruling.accepted, by, text: ruling.text };
        let audit = |held: &Held, decision: &Decision| decided(&directory, actor, held, decision);
        release::decide(&self.services.desk(), &directory, id, verdict, audit).await.map_err(|error| match error {
            store::Error::Exists => OpError::AlreadyDecided,
            error => error.into(),
        })?;
        Ok(view(&directory, Reach::of(&directory, actor), &self.services.store.held_by_id(id).await?))
    }
}

/// True if it is shown to who sees so far: a person decides about those that ask for it.
fn concerns(reach: Reach, held: &Held) -> bool {
    match reach {
        Reach::Everything | Reach::Organisation(_) => true,
        Reach::Person(_, me) => HeldPart::decode(&held.data).is_some_and(|part| part.approvers.contains(&me)),
        Reach::Nothing => false,
    }
}

/// The record of a decision about a held message, which is as it was before (policy semantics §14).
pub fn decided(directory: &Directory, actor: Actor, before: &Held, decision: &Decision) -> AuditEntry {
    let action = if decision.accepted { "hold.accept" } else { "hold.refuse" };
    let after = Held { state: HoldState::Decided(decision.clone()), ..before.clone() };
    // The organisation reads its log.
    let its = |held| view(directory, Reach::Organisation(before.organisation), held);
    let entry = difference(&its(before), &its(&after));
    let record = Record::change(decision.at, actor, action, vec![entry]).encode();
    AuditEntry { organisation: before.organisation, record }
}

/// What the audit log keeps of a decision. A held message is known by its name alone: it has no number.
fn difference(before: &HoldView, after: &HoldView) -> Difference {
    let value = |view| serde_json::to_value(view).unwrap_or_default();
    let (kind, name) = ("hold".to_owned(), after.id.clone());
    Difference { kind, id: 0, name, before: value(before), after: value(after) }
}

/// Who decided, for those who see the decision later.
fn name_of(directory: &Directory, actor: Actor) -> String {
    match actor {
        Actor::Unix { uid } => format!("administrator (user {uid})"),
        Actor::Token { client } => format!("administrator (token, from {})", client.ip()),
        Actor::Account { account, .. } => account_name(directory, account),
        Actor::Answer { client } => format!("an answer, from {}", client.ip()),
        Actor::Server => "the server".to_owned(),
    }
}

/// Which rule holds a message is told to admins alone (policy semantics §13.5, §20), and recipients elsewhere to operators.
fn view(directory: &Directory, reach: Reach, held: &Held) -> HoldView {
    // A record that cannot be read is shown without what it would tell.
    let part = HeldPart::decode(&held.data);
    let part = part.as_ref();
    let reason = part.map(|p| &p.reason);
    let rule = |id: RuleId| directory.rule(id).map_or_else(|| format!("rule {id}"), |rule| rule.name.clone());
    let decision = match &held.state {
        HoldState::Pending => None,
        HoldState::Decided(decision) => Some(decision),
    };
    let state = decision.map_or("pending", |d| if d.accepted { "accepted" } else { "refused" });
    let organisation = directory.organisation(held.organisation).map(|o| o.name.clone()).unwrap_or_default();
    HoldView {
        id: held.id.to_string(),
        organisation,
        kind: kind_name(held.kind).to_owned(),
        state: state.to_owned(),
        message: held.transaction.to_string(),
        size: held.size,
        created: rfc3339(held.created),
        expires: held.expires.map(rfc3339),
        reverse_path: part.and_then(|p| p.sender.reverse_path.as_ref()).map(Address::to_string).unwrap_or_default(),
        from: part.map(|p| p.from.iter().map(Address::to_string).collect()).unwrap_or_default(),
        recipients: part
            .map(|p| match reach {
                Reach::Everything => p.recipients.clone(),
                // Whom a hook has named is the business of administrators.
                Reach::Person(..) => {
                    let known = p.recipients_for(directory, held.organisation).into_iter();
                    known.filter(|recipient| !p.is_by_hook(recipient)).collect()
                }
                _ => p.recipients_for(directory, held.organisation),
            })
            .unwrap_or_default(),
        subject: part.map(|p| p.subject.clone()).unwrap_or_default(),
        group: match reason {
            Some(HeldReason::Group { group, .. }) => Some(group_name(directory, *group)),
            Some(HeldReason::Rule { .. } | HeldReason::Hook { .. } | HeldReason::Copy { .. }) | None => None,
        },
        rule: match reason {
            _ if matches!(reach, Reach::Person(..) | Reach::Nothing) => None,
            Some(HeldReason::Rule { rule: id, .. }) => Some(rule(*id)),
            Some(HeldReason::Copy { rules, .. }) => rules.first().map(|id| rule(*id)),
            Some(HeldReason::Group { .. } | HeldReason::Hook { .. }) | None => None,
        },
        hook: match reason {
            Some(HeldReason::Hook { hook, .. }) => Some(hook.clone()),
            _ => None,
        },
        why: match reason {
            Some(HeldReason::Hook { why, .. }) => Some(why.clone()),
            _ => None,
        },
        approvers: part.iter().flat_map(|p| &p.approvers).map(|id| account_name(directory, *id)).collect(),
        decided_by: decision.map(|d| d.by.clone()),
        decided: decision.map(|d| rfc3339(d.at)),
        text: decision.map(|d| d.text.clone()),
        finished: decision.and_then(|d| d.finished).map(rfc3339),
    }
}

fn kind_name(kind: HoldKind) -> &'static str {
    match kind {
        HoldKind::Moderation => "moderation",
        HoldKind::Approval => "approval",
        HoldKind::Quarantine => "quarantine",
    }
}

/// Held messages read at once: each may bring 1 MiB of what its release needs.
const READ: usize = 50;

/// Characters of a moderator's text.
const TEXT: usize = 2000;
