//! Mail rules (policy semantics §13).

use std::sync::Arc;

use super::super::Actor;
use super::super::error::OpError;
use super::super::permission::Reach;
use super::super::spec::{Object, RuleSpec};
use super::super::view::{Listed as Shown, Page, rfc3339};
use super::list::Listed;
use super::organisation::{one_organisation, organisation_in};
use super::{Admin, Plan, not_found, used_up};
use crate::directory::change::Change;
use crate::directory::{Directory, Rule};
use crate::mail::{OrganisationId, RuleId};

/// A rule's name, and whose it is if there are several organisations.
#[derive(Clone, Debug)]
pub struct RuleName {
    /// Unique within the organisation.
    pub name: String,
    /// Need not be given while there is one.
    pub organisation: Option<String>,
}

impl Admin {
    /// The mail rules in the order of their ids, of all or one organisation. They run by priority, then id.
    pub fn rules(
        &self,
        actor: Actor,
        organisation: Option<&str>,
        listed: Listed,
    ) -> Result<Page<Shown<RuleSpec>>, OpError> {
        let directory = self.services.directory.current();
        let reach = Reach::of(&directory, actor);
        let wanted = organisation.map(|name| organisation_in(&directory, name).map(|o| o.id)).transpose()?;
        let mut rules: Vec<&Arc<Rule>> =
            directory.rules().iter().filter(|r| wanted.is_none_or(|id| r.organisation == id)).collect();
        rules.retain(|r| reach.covers(Some(r.organisation)));
        rules.sort_by_key(|r| r.id);
        Ok(listed.page(rules.into_iter().map(|r| (r.id.number(), shown(r, &directory)))))
    }

    /// One rule.
    pub fn rule(&self, actor: Actor, name: &RuleName) -> Result<Shown<RuleSpec>, OpError> {
        let directory = self.services.directory.current();
        rule_in(&directory, Reach::of(&directory, actor), name).map(|r| shown(r, &directory))
    }

    /// Adds a rule. It applies to messages accepted from then on.
    pub async fn add_rule(self: &Arc<Self>, actor: Actor, spec: RuleSpec) -> Result<Shown<RuleSpec>, OpError> {
        let created = self.services.clock.now();
        let name = RuleName { name: spec.name.clone(), organisation: spec.organisation.clone() };
        let current = self.services.directory.current();
        let owner = one_organisation(&current, Reach::of(&current, actor), spec.organisation.as_deref()).ok();
        let directory = self
            .change(actor, "rule.add", owner, move |directory| {
                let mut spec = spec.clone();
                Reach::of(directory, actor).settle(directory, &mut spec.organisation)?;
                let id = directory.new_rule_id(0).ok_or_else(used_up)?;
                let record = spec.resolve(directory, id, created).map_err(OpError::Shape)?;
                Ok(Plan::one(Change::PutRule(record), Object::Rule(id)))
            })
            .await?;
        rule_in(&directory, Reach::of(&directory, actor), &name).map(|r| shown(r, &directory))
    }

    /// Replaces a rule, its name included.
    pub async fn put_rule(
        self: &Arc<Self>,
        actor: Actor,
        name: RuleName,
        spec: RuleSpec,
    ) -> Result<Shown<RuleSpec>, OpError> {
        let id = self.rule_id(actor, &name)?;
        let directory = self
            .change(actor, "rule.put", self.rule_owner(id), move |directory| {
                let old = directory.rule(id).ok_or_else(|| not_found(format!("rule {}", name.name)))?;
                let mut spec = spec.clone();
                Reach::of(directory, actor).settle(directory, &mut spec.organisation)?;
                let record = spec.resolve(directory, old.id, old.created).map_err(OpError::Shape)?;
                Ok(Plan::one(Change::PutRule(record), Object::Rule(id)))
            })
            .await?;
        by_id(&directory, id)
    }

    /// Switches a rule on or off.
    pub async fn set_rule_enabled(
        self: &Arc<Self>,
        actor: Actor,
        name: RuleName,
        enabled: bool,
    ) -> Result<Shown<RuleSpec>, OpError> {
        let id = self.rule_id(actor, &name)?;
        let action = if enabled { "rule.enable" } else { "rule.disable" };
        let directory = self
            .change(actor, action, self.rule_owner(id), move |directory| {
                let old = rule_in(directory, Reach::of(directory, actor), &name)?;
                Ok(Plan::one(Change::PutRule(Rule { enabled, ..old.clone() }), Object::Rule(old.id)))
            })
            .await?;
        by_id(&directory, id)
    }

    /// Removes a rule.
    pub async fn remove_rule(self: &Arc<Self>, actor: Actor, name: RuleName) -> Result<(), OpError> {
        self.change(actor, "rule.remove", None, move |directory| {
            let id = rule_in(directory, Reach::of(directory, actor), &name)?.id;
            Ok(Plan::one(Change::RemoveRule(id), Object::Rule(id)))
        })
        .await?;
        Ok(())
    }

    fn rule_id(&self, actor: Actor, name: &RuleName) -> Result<RuleId, OpError> {
        let directory = self.services.directory.current();
        rule_in(&directory, Reach::of(&directory, actor), name).map(|r| r.id)
    }

    fn rule_owner(&self, id: RuleId) -> Option<OrganisationId> {
        self.services.directory.current().rule(id).map(|r| r.organisation)
    }
}

fn rule_in<'a>(directory: &'a Directory, reach: Reach, name: &RuleName) -> Result<&'a Rule, OpError> {
    let organisation = one_organisation(directory, reach, name.organisation.as_deref())?;
    let found = directory.rules().iter().find(|r| r.organisation == organisation && r.name == name.name);
    found.map(|r| &**r).ok_or_else(|| not_found(format!("rule {}", name.name)))
}

fn by_id(directory: &Directory, id: RuleId) -> Result<Shown<RuleSpec>, OpError> {
    directory.rule(id).map(|r| shown(r, directory)).ok_or_else(|| not_found(format!("rule {id}")))
}

fn shown(rule: &Rule, directory: &Directory) -> Shown<RuleSpec> {
    let created = Some(rfc3339(rule.created));
    Shown { id: rule.id.number(), created, shape: RuleSpec::describe(rule, directory) }
}
