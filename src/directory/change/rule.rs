//! Mail rules (policy semantics §13.1).

use super::organisation::check_name;
use super::*;
use crate::directory::{Action, Condition, Hold, MonitorCopy};
use crate::mail::Phrase;

/// Mail rules of one organisation (policy semantics §13.1).
pub const RULES_PER_ORGANISATION: usize = 200;
/// Conditions, values, targets and actions of one rule.
const LIST: usize = 200;
/// Characters of a subject prefix.
const PREFIX: usize = 100;

impl Draft {
    pub(super) fn put_rule(&mut self, rule: &Rule) -> Result<(), Refusal> {
        self.organisation(rule.organisation)?;
        check_name("rule", &rule.name)?;
        let ours = |r: &&Arc<Rule>| r.organisation == rule.organisation && r.id != rule.id;
        if self.next.rules.values().filter(ours).any(|r| r.name == rule.name) {
            return Err(Refusal::NameInUse(format!("rule {}", rule.name)));
        }
        if self.next.rules.values().filter(ours).count() >= RULES_PER_ORGANISATION {
            return Err(Refusal::RuleLimit(RULES_PER_ORGANISATION));
        }
        check_conditions(rule.conditions.iter().chain(&rule.exceptions))?;
        if rule.actions.is_empty() || rule.actions.len() > LIST {
            return Err(Refusal::Invalid(format!("a rule has 1 to {LIST} actions")));
        }
        for action in &rule.actions {
            self.check_action(rule, action)?;
        }
        match self.next.rules.get(&rule.id) {
            Some(old) if old.organisation != rule.organisation => {
                return Err(Refusal::Invalid(format!("rule {} keeps its organisation", old.name)));
            }
            Some(_) => {}
            None => claim(&mut self.next.counters, |c| &mut c.rule, rule.id.number(), "rule")?,
        }
        self.next.rules.insert(rule.id, Arc::new(rule.clone()));
        self.next.order_rules();
        self.write(record::RULE, rule.id.number(), rule);
        Ok(())
    }

    pub(super) fn remove_rule(&mut self, id: RuleId) -> Result<(), Refusal> {
        self.next.rules.remove(&id).ok_or_else(|| Refusal::NotFound(format!("rule {id}")))?;
        self.next.order_rules();
        self.delete(record::RULE, id.number());
        Ok(())
    }

    fn check_action(&self, rule: &Rule, action: &Action) -> Result<(), Refusal> {
        let invalid = |what: String| Err(Refusal::Invalid(what));
        let monitor = |copy: &MonitorCopy| {
            self.check_account_of(copy.monitor, rule.organisation)?;
            copy.fallback.map_or(Ok(()), |id| self.check_account_of(id, rule.organisation))
        };
        match action {
            Action::Copy(copy) => monitor(copy),
            Action::Reject { text, copy } => {
                let is_bad =
                    |t: &String| t.is_empty() || t.len() > 400 || !t.chars().all(|c| c == ' ' || c.is_ascii_graphic());
                if text.as_ref().is_some_and(is_bad) {
                    return invalid("the text of a refusal is 1 to 400 printable ASCII characters".to_owned());
                }
                copy.as_ref().map_or(Ok(()), monitor)
            }
            Action::Forward(targets) | Action::Redirect(targets) if targets.is_empty() || targets.len() > LIST => {
                invalid(format!("forward and redirect have 1 to {LIST} targets"))
            }
            Action::Tag { header, value } => {
                let is_name = !header.is_empty() && header.len() <= 76 && header.bytes().all(is_ftext);
                if !is_name || !is_text(value) || !header.to_ascii_lowercase().starts_with("x-") {
                    return invalid(
                        "a tag is a header field whose name starts with \"X-\" and a line of text".to_owned(),
                    );
                }
                Ok(())
            }
            Action::SubjectPrefix(text)
                if !is_text(text) || text.trim().is_empty() || text.chars().count() > PREFIX =>
            {
                invalid(format!("a subject prefix is a line of 1 to {PREFIX} characters that can be seen"))
            }
            Action::Hold(Hold { timeout_hours, .. }) if !(1..=720).contains(timeout_hours) => {
                invalid("an approval waits for 1 to 720 hours".to_owned())
            }
            Action::Forward(_)
            | Action::Redirect(_)
            | Action::SubjectPrefix(_)
            | Action::Hold(_)
            | Action::Junk
            | Action::Quarantine
            | Action::Discard
            | Action::Stop => Ok(()),
        }
    }
}

fn check_conditions<'a>(conditions: impl Iterator<Item = &'a Condition>) -> Result<(), Refusal> {
    let invalid = |what: &str| Err(Refusal::Invalid(what.to_owned()));
    let is_text = |text: &str| !text.is_empty() && text.len() <= 1000;
    let is_list = |len: usize| (1..=LIST).contains(&len);
    let phrases = |values: &[Phrase]| is_list(values.len()) && values.iter().all(|v| is_text(v.as_str()));
    for (n, condition) in conditions.enumerate() {
        let is_good = match condition {
            Condition::Sender(patterns) | Condition::Recipient(patterns) => {
                !patterns.is_empty() && patterns.len() <= LIST
            }
            Condition::Size { min, max } => {
                (min.is_some() || max.is_some()) && min.zip(*max).is_none_or(|(min, max)| min < max)
            }
            Condition::Keyword { places, values } => !places.is_empty() && phrases(values),
            Condition::HasAttachment => true,
            Condition::AttachmentName(patterns) => {
                is_list(patterns.len()) && patterns.iter().all(|p| is_text(p.as_str()))
            }
            Condition::Header { name, contains } => {
                !name.is_empty() && name.bytes().all(is_ftext) && (contains.is_empty() || phrases(contains))
            }
        };
        if !is_good {
            return invalid("a condition needs 1 to 200 values of 1 to 1000 octets, or bounds with min below max");
        }
        if n >= LIST {
            return invalid("a rule has at most 200 conditions and exceptions");
        }
    }
    Ok(())
}

/// RFC 5322 §3.6.8
fn is_ftext(octet: u8) -> bool {
    (33..=126).contains(&octet) && octet != b':'
}

fn is_text(text: &str) -> bool {
    !text.is_empty() && text.len() <= 400 && !text.chars().any(char::is_control)
}
