//! The run over the rules, in the order of their priority (policy semantics §13.4).

use std::rc::Rc;
use std::sync::Arc;

use super::conditions::{Tests, depends_on_content};
use super::copies::Wishes;
use super::events::{Events, Seen};
use super::outcome::{
    End, Ended, Held, Outcome, Part, Position, Quarantined, Redirected, Refused, Rejected, SubjectPrefix, Tag,
};
use super::{Message, Stage};
use crate::directory::{Action, Approvers, Clues, ContentClues, Directory, Hold, Rule, RuleIndex};
use crate::mail::AccountId;
use crate::policy::sender::{Origin, Sender};
use crate::proto::message::header::{Field, fields};
use crate::proto::message::inspect::{self, Inspection};
use crate::routing::expand::{Delivery, Via};

/// The rules that may have something to say of a message: they look at an event of it, and their conditions hold as far
/// as the envelope and the header tell. What later rules find ended is theirs to see.
///
/// They are found by the index of an organisation's rules instead of asking each.
#[derive(Debug, Default)]
pub struct Candidates<'a> {
    rules: Vec<&'a Rule>,
    /// Organisations with further ones, which only the content tells apart.
    waiting: Vec<Waiting<'a>>,
}

/// Rules of an organisation of which some need the content.
#[derive(Debug)]
struct Waiting<'a> {
    rules: &'a [Arc<Rule>],
    index: &'a RuleIndex,
    /// The phrases found in the Subject.
    in_subject: Vec<usize>,
}

impl<'a> Candidates<'a> {
    /// Asks the rules in force of the organisations that the message concerns.
    pub fn of(directory: &'a Directory, message: &Message<'_>, deliveries: &[Delivery]) -> Self {
        // What this server makes itself is under no rule.
        if directory.rules().is_empty() || message.sender.origin == Origin::System {
            return Self::default();
        }
        let mut events = Events::of(directory, message, deliveries);
        let tests = Tests::new(directory, message, deliveries, None);
        let mut candidates = Self::default();
        let organisations = events.organisations();
        let is_alone = organisations.len() == 1;
        for organisation in organisations {
            if let Some(index) = directory.rule_index(organisation) {
                candidates.add(directory.rules_of(organisation), index, is_alone, (message, &mut events, &tests));
            }
        }
        candidates
    }

    /// Those of one organisation, which may be the only one.
    fn add(
        &mut self,
        rules: &'a [Arc<Rule>],
        index: &'a RuleIndex,
        is_alone: bool,
        (message, events, tests): (&Message<'_>, &mut Events<'_>, &Tests<'_>),
    ) {
        let at = |place: &usize| rules.get(*place).map(Arc::as_ref);
        for alike in index.always() {
            if alike.first().and_then(at).is_some_and(|rule| events.is_seen_by(rule)) {
                let passing = alike.iter().filter_map(at).filter(|r| is_due(r, message) && tests.pass_cheap(r));
                self.rules.extend(passing);
            }
        }
        let mut passes = |rule: &&Rule| is_due(rule, message) && events.is_seen_by(rule) && tests.pass_cheap(rule);
        let (mut brought_up, may_be_in_subject) = match is_alone {
            true => by_header(index, fields(message.header)),
            false => by_header(index, tests.fields().iter().copied()),
        };
        let in_subject = if may_be_in_subject { index.phrases().find(tests.subject()) } else { Vec::new() };
        brought_up.extend(index.by(&Clues { size: message.size, in_subject: &in_subject }));
        add_by_senders(index, tests, &mut brought_up);
        brought_up.sort_unstable();
        brought_up.dedup();
        self.rules.extend(brought_up.iter().filter_map(at).filter(&mut passes));
        // What the others are asked depends on the content: it is enough that one may need it.
        if index.content().iter().filter_map(at).any(|rule| passes(&rule)) {
            self.waiting.push(Waiting { rules, index, in_subject });
        }
    }

    /// The same by asking each rule of the directory, for tests to compare.
    #[cfg(test)]
    pub fn one_by_one(directory: &'a Directory, message: &Message<'_>, deliveries: &[Delivery]) -> Self {
        if message.sender.origin == Origin::System {
            return Self::default();
        }
        let mut events = Events::of(directory, message, deliveries);
        let tests = Tests::new(directory, message, deliveries, None);
        let all = directory.rules().iter().map(Arc::as_ref);
        let rules = all.filter(|r| is_due(r, message) && events.is_seen_by(r) && tests.pass_cheap(r)).collect();
        Self { rules, waiting: Vec::new() }
    }

    /// True if some rule depends on what the message contains beyond its header.
    pub fn need_content(&self) -> bool {
        !self.waiting.is_empty() || self.rules.iter().any(|rule| depends_on_content(rule))
    }

    /// All that are to be asked, in order.
    fn in_order(&self, message: &Message<'_>, content: Option<&Inspection<'_>>) -> Vec<&'a Rule> {
        let mut rules = self.rules.clone();
        for waiting in &self.waiting {
            let asked = waiting.places(content);
            let asked = asked.iter().filter_map(|place| waiting.rules.get(*place)).map(Arc::as_ref);
            rules.extend(asked.filter(|rule| is_due(rule, message)));
        }
        rules.sort_unstable_by_key(|rule| position(rule));
        rules.dedup_by_key(|rule| rule.id);
        rules
    }
}

impl Waiting<'_> {
    /// Those that the content brings up; all, if some of it could not be read.
    fn places(&self, content: Option<&Inspection<'_>>) -> Vec<usize> {
        let Some(content) = content.filter(|content| !content.is_incomplete()) else {
            return self.index.content().to_vec();
        };
        let mut phrases = content.find(self.index.phrases());
        phrases.extend(&self.in_subject);
        self.index.by_content(&ContentClues {
            phrases: &phrases,
            has_names: !content.attachment_names().is_empty(),
            has_attachment: content.has_attachment(),
        })
    }
}

/// The places of the rules that fields of the header bring up, and whether a Subject may contain phrases.
pub(super) fn by_header<'a>(index: &RuleIndex, header: impl Iterator<Item = Field<'a>>) -> (Vec<usize>, bool) {
    let mut places = Vec::new();
    let mut is_found = false;
    let (has_phrases, asks_fields) = (!index.phrases().is_empty(), index.asks_fields());
    if !has_phrases && !asks_fields {
        return (places, false);
    }
    for field in header {
        // A rule is filed under one field, so that one tells for all under it. A header may have the same field as often
        // as it has room for.
        let rules = if asks_fields { index.by_field(field.name) } else { &[] };
        if rules.first().is_some_and(|first| !places.contains(first)) {
            places.extend(rules);
        }
        is_found = is_found || (has_phrases && field.is(b"Subject") && !inspect::rules_out(&field, index.phrases()));
    }
    (places, is_found)
}

/// The places of the rules that the senders bring up.
fn add_by_senders(index: &RuleIndex, tests: &Tests<'_>, places: &mut Vec<usize>) {
    if !index.asks_senders() {
        return;
    }
    if tests.are_few_strangers() {
        for address in tests.claims() {
            if index.asks_addresses() {
                places.extend(index.by_address(&address.key()));
            }
            if let Some(domain) = address.domain() {
                index.add_by_domain(domain.as_str(), places);
            }
        }
    } else {
        let senders = tests.senders();
        places.extend(senders.addresses().flat_map(|address| index.by_address(address)));
        senders.domains().for_each(|domain| index.add_by_domain(domain.as_str(), places));
    }
}

/// What the rules make of a message. `content` is `None` if it was not needed, or could not be read.
pub fn evaluate<'a>(
    directory: &'a Directory,
    message: &'a Message<'_>,
    deliveries: &'a [Delivery],
    candidates: &Candidates<'a>,
    content: Option<&'a Inspection<'a>>,
) -> Outcome {
    let rules = candidates.in_order(message, content);
    if rules.is_empty() {
        return Outcome::default();
    }
    let tests = Tests::new(directory, message, deliveries, content);
    let mut run = Run {
        directory,
        message,
        deliveries,
        events: Events::of(directory, message, deliveries),
        wishes: Wishes::new(message),
        sent_ended: None,
        out: Outcome::default(),
    };
    for rule in rules {
        if run.events.is_over() {
            break;
        }
        if run.events.is_seen_by(rule) && tests.pass(rule) && run.apply(rule) == Next::Stop {
            break;
        }
    }
    let mut outcome = run.finish();
    outcome.is_incomplete = tests.met_incomplete();
    outcome
}

/// The rule is in force for the message.
fn is_due(rule: &Rule, message: &Message<'_>) -> bool {
    let has_come = rule.valid_from.is_none_or(|from| from <= message.now);
    let has_passed = rule.valid_until.is_some_and(|until| until <= message.now);
    let is_ahead = match message.stage {
        Stage::Released { after, .. } => position(rule) > after,
        Stage::Arriving | Stage::Cleared { .. } | Stage::Moderated => true,
    };
    rule.enabled && has_come && !has_passed && is_ahead
}

fn position(rule: &Rule) -> Position {
    Position { priority: rule.priority, rule: rule.id }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Rule,
    Stop,
}

struct Run<'a> {
    directory: &'a Directory,
    message: &'a Message<'a>,
    deliveries: &'a [Delivery],
    events: Events<'a>,
    wishes: Wishes<'a>,
    sent_ended: Option<Ended>,
    out: Outcome,
}

impl<'a> Run<'a> {
    /// Carries out the actions of a rule that matches, in order; the first that ends the part counts.
    fn apply(&mut self, rule: &'a Rule) -> Next {
        let seen = Rc::new(self.events.seen_by(rule));
        let part = self.part(&seen);
        let mut ending = None;
        let mut next = if rule.stop { Next::Stop } else { Next::Rule };
        self.out.matched.push(rule.id);
        for action in &rule.actions {
            match action {
                Action::Copy(copy) => self.wishes.copy(rule, copy, &seen),
                Action::Stop => next = Next::Stop,
                Action::SubjectPrefix(text) => {
                    let prefix = |part| SubjectPrefix { rule: rule.id, part, text: text.clone() };
                    self.out.subject_prefixes.extend(part.clone().map(prefix));
                }
                // Not available on a sent event.
                Action::Junk => self.out.junk.extend(seen.received.iter().map(|r| r.account)),
                Action::Forward(targets) if part.is_some() => self.wishes.forward(rule, targets, &seen),
                Action::Forward(_) => {}
                Action::Tag { header, value } => {
                    let tag = |part| Tag { rule: rule.id, part, header: header.clone(), value: value.clone() };
                    self.out.tags.extend(part.clone().map(tag));
                }
                Action::Redirect(_)
                | Action::Quarantine
                | Action::Hold(_)
                | Action::Reject { .. }
                | Action::Discard => {
                    ending.get_or_insert(action);
                }
            }
        }
        if let Some((part, action)) = part.zip(ending) {
            self.end(rule, action, part, &seen);
        }
        next
    }

    /// What actions take hold of: all that is left if the sender's event is seen, the recipients' own parts otherwise.
    /// `None` if only the sender's event is seen, and that has been judged before.
    fn part(&self, seen: &Seen) -> Option<Part> {
        let is_whole = !seen.sent.is_empty() && self.message.stage != Stage::Moderated;
        let deliveries: Vec<usize> = match is_whole {
            true => self.left().collect(),
            false => seen.received.iter().map(|r| r.delivery).collect(),
        };
        (is_whole || !deliveries.is_empty()).then_some(Part { deliveries, is_whole })
    }

    /// The deliveries that rules may concern and none has ended.
    fn left(&self) -> impl Iterator<Item = usize> {
        let is_left = |(n, d): &(usize, &Delivery)| d.via != Via::Postmaster && !self.out.ended.contains_key(n);
        self.deliveries.iter().enumerate().filter(is_left).map(|(n, _)| n)
    }

    fn end(&mut self, rule: &'a Rule, action: &'a Action, part: Part, seen: &Rc<Seen>) {
        let by = match action {
            Action::Redirect(to) => {
                self.out.redirected.push(Redirected { rule: rule.id, part: part.clone(), to: to.clone() });
                End::Redirected
            }
            Action::Quarantine => {
                self.out.quarantined.push(Quarantined { rule: rule.id, part: part.clone() });
                End::Quarantined
            }
            Action::Hold(hold) => {
                self.hold(rule, hold, part.clone());
                End::Held(self.out.held.len() - 1)
            }
            Action::Reject { text, copy } => {
                if let Some(copy) = copy {
                    self.wishes.copy_of_refused(rule, copy, seen);
                }
                self.out.rejected.push(Rejected { rule: rule.id, part: part.clone(), text: text.clone() });
                End::Rejected
            }
            Action::Discard => End::Discarded,
            Action::Copy(_)
            | Action::Forward(_)
            | Action::Tag { .. }
            | Action::SubjectPrefix(_)
            | Action::Junk
            | Action::Stop => return,
        };
        self.mark(&part, Ended { rule: rule.id, by });
    }

    fn hold(&mut self, rule: &Rule, hold: &Hold, part: Part) {
        self.out.held.push(Held {
            position: position(rule),
            part,
            approvers: approvers(self.directory, rule, hold, self.message.sender),
            timeout_hours: hold.timeout_hours,
            outcome: hold.outcome,
            copies: Vec::new(),
            forwards: Vec::new(),
        });
    }

    /// Rules to come do not see the part.
    fn mark(&mut self, part: &Part, ended: Ended) {
        self.out.ended.extend(part.deliveries.iter().map(|n| (*n, ended)));
        if part.is_whole {
            self.sent_ended = Some(ended);
            self.out.moderation_ended = self.message.awaits_moderators.then_some(ended);
        }
        let over = &self.out.ended;
        self.events.end_received(|n| over.contains_key(&n));
        // The sender's event is that of the whole: it is over with the last part of it.
        if part.is_whole || (self.left().next().is_none() && !self.message.awaits_moderators) {
            self.events.end_sent();
        }
    }

    fn finish(self) -> Outcome {
        let mut out = self.out;
        if is_refused(self.message, self.deliveries, &out)
            && let Some(first) = out.rejected.first()
        {
            out.refused = Some(Refused { rule: first.rule, text: first.text.clone() });
        }
        self.wishes.settle(self.directory, self.deliveries, self.sent_ended, &mut out);
        if out.refused.is_some() {
            let Outcome { matched, refused, copies, .. } = out;
            return Outcome { matched, refused, copies, ..Outcome::default() };
        }
        out
    }
}

/// True if nobody is left to accept the message for: all parts are refused, or dropped. Parts that went elsewhere or
/// wait were accepted, and a refusal would take them away again.
fn is_refused(message: &Message<'_>, deliveries: &[Delivery], out: &Outcome) -> bool {
    let is_gone = |ended: &Ended| matches!(ended.by, End::Rejected | End::Discarded);
    let parts_gone = out.ended.len() == deliveries.len() && out.ended.values().all(is_gone);
    parts_gone && (!message.awaits_moderators || out.moderation_ended.as_ref().is_some_and(is_gone))
}

/// Who decides: those active accounts that the rule names, or the manager of the sender's main department or of the
/// next one above. Without any the domain admin takes their place (policy semantics §9, §13.4). The sender does not
/// approve its own message as a manager.
fn approvers(directory: &Directory, rule: &Rule, hold: &Hold, sender: &Sender) -> Vec<AccountId> {
    let is_active = |id: &AccountId| directory.account(*id).is_some_and(|a| a.state.is_active());
    let found: Vec<AccountId> = match &hold.approvers {
        Approvers::Accounts(accounts) => accounts.iter().copied().filter(is_active).collect(),
        Approvers::DepartmentManager => {
            let account = sender.account().and_then(|id| directory.account(id));
            let main = account.and_then(|a| a.departments.first());
            let chain = main.into_iter().flat_map(|id| directory.department_chain(*id));
            let managers = chain.filter_map(|id| directory.department(id)?.manager);
            managers.filter(is_active).find(|id| sender.account() != Some(*id)).into_iter().collect()
        }
    };
    if found.is_empty() {
        return directory.active_admin(rule.organisation).map(|a| a.id).into_iter().collect();
    }
    found
}
