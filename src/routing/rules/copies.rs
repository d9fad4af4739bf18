//! Which copies and forwards a message yields, and when (policy semantics §13.4, §13.5): decided once all rules have
//! spoken, because what a later rule refuses yields none.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::Message;
use super::events::Seen;
use super::outcome::{Copy, End, Ended, Event, Forwarding, Outcome};
use crate::directory::{Directory, MonitorCopy, Rule, Target};
use crate::mail::{AccountId, RuleId};
use crate::routing::expand::{Delivery, Receiver, Via};

/// What rules want beside the message itself.
pub struct Wishes<'a> {
    awaits_moderators: bool,
    copies: Vec<CopyWish<'a>>,
    forwards: Vec<ForwardWish<'a>>,
}

struct CopyWish<'a> {
    rule: &'a Rule,
    copy: &'a MonitorCopy,
    seen: Rc<Seen>,
    /// Of what this rule refuses; otherwise of what is accepted.
    is_of_refused: bool,
}

struct ForwardWish<'a> {
    rule: &'a Rule,
    to: &'a Target,
    seen: Rc<Seen>,
}

/// What has become of the event of a wish.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Accepted.
    Now,
    /// Held: a place in [`Outcome::held`].
    AtRelease(usize),
    /// All of it waits for the moderators of groups.
    AtModeration,
    Never,
}

impl<'a> Wishes<'a> {
    /// None yet.
    pub fn new(message: &Message<'_>) -> Self {
        Self { awaits_moderators: message.awaits_moderators, copies: Vec::new(), forwards: Vec::new() }
    }

    /// A copy of what is accepted.
    pub fn copy(&mut self, rule: &'a Rule, copy: &'a MonitorCopy, seen: &Rc<Seen>) {
        self.copies.push(CopyWish { rule, copy, seen: Rc::clone(seen), is_of_refused: false });
    }

    /// A copy of what the rule refuses.
    pub fn copy_of_refused(&mut self, rule: &'a Rule, copy: &'a MonitorCopy, seen: &Rc<Seen>) {
        self.copies.push(CopyWish { rule, copy, seen: Rc::clone(seen), is_of_refused: true });
    }

    /// Further recipients.
    pub fn forward(&mut self, rule: &'a Rule, to: &'a [Target], seen: &Rc<Seen>) {
        self.forwards.extend(to.iter().map(|to| ForwardWish { rule, to, seen: Rc::clone(seen) }));
    }

    /// Fills in copies and forwards. `sent_ended`: what ended the sender's event.
    pub fn settle(
        self,
        directory: &Directory,
        deliveries: &[Delivery],
        sent_ended: Option<Ended>,
        outcome: &mut Outcome,
    ) {
        let fates = Fates {
            ended: &outcome.ended,
            sent: sent_fate(deliveries, sent_ended, self.awaits_moderators, &outcome.ended),
            sent_ended,
        };
        let mut copies: Batches<Copy> = Batches::new(outcome.held.len());
        for wish in self.copies.iter().filter(|wish| outcome.refused.is_none() || wish.is_of_refused) {
            let monitor = Monitor::of(directory, deliveries, wish.copy, fates.ended);
            for (event, fate) in fates.of(&wish.seen, |event| monitor.is_own(event), wish.refused_by()) {
                if let Some(batch) = copies.of(fate) {
                    monitor.add(batch, wish, event);
                }
            }
        }
        let mut forwards: Batches<Forwarding> = Batches::new(outcome.held.len());
        for wish in self.forwards.iter().filter(|_| outcome.refused.is_none()) {
            for (_, fate) in fates.of(&wish.seen, |_| false, None) {
                // Unlike copies these do not wait for the moderators of groups.
                let fate = if fate == Fate::AtModeration { Fate::Now } else { fate };
                if let Some(batch) = forwards.of(fate)
                    && !batch.iter().any(|f| f.to == *wish.to)
                {
                    batch.push(Forwarding { to: wish.to.clone(), rule: wish.rule.id });
                }
            }
        }
        // One for each monitor and message: what is made at once is not made again at a release.
        for (held, mut batch) in outcome.held.iter_mut().zip(copies.at_release) {
            batch.retain(|copy| !copies.now.iter().any(|made| made.receiver() == copy.receiver()));
            held.copies = batch;
        }
        for (held, mut batch) in outcome.held.iter_mut().zip(forwards.at_release) {
            batch.retain(|further| !forwards.now.iter().any(|done| done.to == further.to));
            held.forwards = batch;
        }
        outcome.copies = copies.now;
        outcome.forwards = forwards.now;
    }
}

impl CopyWish<'_> {
    fn refused_by(&self) -> Option<RuleId> {
        self.is_of_refused.then_some(self.rule.id)
    }
}

impl Copy {
    /// Whoever gets it; nobody gets two.
    fn receiver(&self) -> AccountId {
        self.to.unwrap_or(self.monitor)
    }
}

/// What is made at once, and at the release of each held part.
struct Batches<T> {
    now: Vec<T>,
    at_release: Vec<Vec<T>>,
}

impl<T> Batches<T> {
    fn new(held: usize) -> Self {
        Self { now: Vec::new(), at_release: (0..held).map(|_| Vec::new()).collect() }
    }

    fn of(&mut self, fate: Fate) -> Option<&mut Vec<T>> {
        match fate {
            Fate::Now => Some(&mut self.now),
            Fate::AtRelease(n) => self.at_release.get_mut(n),
            Fate::AtModeration | Fate::Never => None,
        }
    }
}

struct Fates<'a> {
    ended: &'a BTreeMap<usize, Ended>,
    sent: Fate,
    sent_ended: Option<Ended>,
}

impl Fates<'_> {
    /// The fates of events, each fate once with the first event that has it.
    fn of(&self, seen: &Seen, skip: impl Fn(Event) -> bool, refused_by: Option<RuleId>) -> Vec<(Event, Fate)> {
        let mut found: Vec<(Event, Fate)> = Vec::new();
        for (event, delivery) in seen.events().filter(|(event, _)| !skip(*event)) {
            let fate = match refused_by {
                Some(rule) => self.refused(delivery, rule),
                None => self.accepted(delivery),
            };
            if !found.iter().any(|(_, known)| *known == fate) {
                found.push((event, fate));
            }
        }
        found
    }

    /// Of the sender's event, or that of a delivery.
    fn accepted(&self, delivery: Option<usize>) -> Fate {
        match delivery {
            None => self.sent,
            Some(n) => self.ended.get(&n).map_or(Fate::Now, |ended| fate_of(*ended)),
        }
    }

    fn refused(&self, delivery: Option<usize>, rule: RuleId) -> Fate {
        let ended = match delivery {
            None => self.sent_ended.as_ref(),
            Some(n) => self.ended.get(&n),
        };
        match ended {
            Some(Ended { rule: by, by: End::Rejected }) if *by == rule => Fate::Now,
            _ => Fate::Never,
        }
    }
}

/// Of the sender's event: that of the message as a whole, or else the best of its parts.
fn sent_fate(
    deliveries: &[Delivery],
    sent_ended: Option<Ended>,
    awaits_moderators: bool,
    ended: &BTreeMap<usize, Ended>,
) -> Fate {
    if let Some(ended) = sent_ended {
        return fate_of(ended);
    }
    let parts = deliveries.iter().enumerate().filter(|(_, d)| d.via != Via::Postmaster);
    let mut best = if awaits_moderators { Fate::AtModeration } else { Fate::Never };
    for (n, _) in parts {
        match ended.get(&n).map_or(Fate::Now, |ended| fate_of(*ended)) {
            Fate::Now => return Fate::Now,
            Fate::AtRelease(held) if !matches!(best, Fate::AtRelease(_)) => best = Fate::AtRelease(held),
            Fate::AtRelease(_) | Fate::AtModeration | Fate::Never => {}
        }
    }
    best
}

fn fate_of(ended: Ended) -> Fate {
    match ended.by {
        End::Redirected | End::Quarantined | End::Discarded => Fate::Now,
        End::Held(n) => Fate::AtRelease(n),
        End::Rejected => Fate::Never,
    }
}

/// The monitor of a rule, or who stands in for it.
struct Monitor {
    named: AccountId,
    /// `None` if both are gone or frozen.
    to: Option<AccountId>,
    is_recipient: bool,
}

impl Monitor {
    fn of(directory: &Directory, deliveries: &[Delivery], copy: &MonitorCopy, ended: &BTreeMap<usize, Ended>) -> Self {
        let is_there = |id: &AccountId| directory.account(*id).is_some_and(|a| a.state.is_active());
        let to = [Some(copy.monitor), copy.fallback].into_iter().flatten().find(is_there);
        let gets =
            |(n, d): (usize, &Delivery)| !ended.contains_key(&n) && to.is_some_and(|id| d.to == Receiver::Account(id));
        Self { named: copy.monitor, to, is_recipient: deliveries.iter().enumerate().any(gets) }
    }

    /// Its own events are not copied to it.
    fn is_own(&self, event: Event) -> bool {
        event.account == self.named || Some(event.account) == self.to
    }

    /// One copy, however many rules want it: the first decides where it lies.
    fn add(&self, batch: &mut Vec<Copy>, wish: &CopyWish<'_>, event: Event) {
        let receiver = self.to.unwrap_or(self.named);
        if let Some(copy) = batch.iter_mut().find(|copy| copy.receiver() == receiver) {
            if copy.rules.last() != Some(&wish.rule.id) {
                copy.rules.push(wish.rule.id);
            }
            copy.is_required |= wish.copy.require;
            return;
        }
        batch.push(Copy {
            monitor: self.named,
            to: self.to,
            folder: wish.copy.folder.clone(),
            form: wish.copy.form,
            rules: vec![wish.rule.id],
            event,
            is_required: wish.copy.require,
            is_spare: self.is_recipient && wish.copy.folder.is_none(),
        });
    }
}
