//! What rules make of a message.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::directory::{CopyForm, HoldOutcome, Target};
use crate::mail::{AccountId, MailboxName, RuleId};
use crate::routing::plan::Plan;

/// What rules make of a message. Without rules that match it is empty, and means nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Rules that matched, in the order of evaluation.
    pub matched: Vec<RuleId>,
    /// Some condition asked for content that could not be read, at least in part (policy semantics §13.3).
    pub is_incomplete: bool,
    /// All of it is refused, in the session; then nothing else happens but the copies of what was refused.
    pub refused: Option<Refused>,
    /// Copies to make at the commit, one for each monitor.
    pub copies: Vec<Copy>,
    /// Further recipients, each target once.
    pub forwards: Vec<Forwarding>,
    /// Parts that go elsewhere instead.
    pub redirected: Vec<Redirected>,
    /// Header fields in front of copies. A part that was ended keeps its own for when it is released.
    pub tags: Vec<Tag>,
    /// Texts in front of the subject of copies, likewise.
    pub subject_prefixes: Vec<SubjectPrefix>,
    /// Accounts in whose Junk folder it lies.
    pub junk: HashSet<AccountId>,
    /// Parts that wait for an admin.
    pub quarantined: Vec<Quarantined>,
    /// Parts that wait for approval.
    pub held: Vec<Held>,
    /// Parts that are refused while others are accepted: a DSN to an answerable sender, silence otherwise.
    pub rejected: Vec<Rejected>,
    /// Deliveries that do not take place, by their place in the list, with what ended them.
    pub ended: BTreeMap<usize, Ended>,
    /// What waits for the moderators of groups was ended as well.
    pub moderation_ended: Option<Ended>,
}

/// Why a delivery does not take place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// By which rule.
    pub rule: RuleId,
    /// By which action.
    pub by: End,
}

/// The actions that end a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It goes elsewhere.
    Redirected,
    /// It waits for an admin.
    Quarantined,
    /// It waits for approval: a place in [`Outcome::held`].
    Held(usize),
    /// It is refused.
    Rejected,
    /// It is dropped.
    Discarded,
}

/// The deliveries that an action takes hold of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Their places in the list of deliveries, ascending.
    pub deliveries: Vec<usize>,
    /// The message as it was sent, with what waits for the moderators of groups, as far as no earlier rule ended it.
    pub is_whole: bool,
}

impl Part {
    fn has(&self, delivery: usize) -> bool {
        self.deliveries.binary_search(&delivery).is_ok()
    }
}

/// The place of a rule in the order of evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The rule's priority.
    pub priority: u32,
    /// Ties go by it.
    pub rule: RuleId,
}

/// What an account has to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The account.
    pub account: AccountId,
    /// What it does.
    pub role: Role,
}

/// Sends or receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Is the identity of the sender.
    Sent,
    /// Is among the final deliveries.
    Received,
}

/// A copy for a monitor (policy semantics §13.5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    /// The monitor that the first rule names.
    pub monitor: AccountId,
    /// Who gets it: the monitor, or its stand-in if it is gone or frozen. Without either it goes to the undelivered
    /// copies.
    pub to: Option<AccountId>,
    /// The folder, as the first rule has it; `None` for INBOX.
    pub folder: Option<MailboxName>,
    /// What it looks like, as the first rule has it.
    pub form: CopyForm,
    /// All rules that want it, in order.
    pub rules: Vec<RuleId>,
    /// The first event for which it is made.
    pub event: Event,
    /// Some rule wants no acceptance without it.
    pub is_required: bool,
    /// The monitor is a recipient and the rule names no folder: its ordinary message is enough, see [`Copy::is_made`].
    pub(super) is_spare: bool,
}

impl Copy {
    /// False if the plan gives the monitor an ordinary message that is enough. One that the monitor's own blacklist
    /// drops, or that its forward takes away, is not.
    pub fn is_made(&self, plan: &Plan) -> bool {
        let has = |id: AccountId| plan.local.iter().any(|l| l.account == id && l.forwarded_by.is_empty());
        !(self.is_spare && self.to.is_some_and(has))
    }
}

/// A further recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forwarding {
    /// To whom.
    pub to: Target,
    /// By which rule.
    pub rule: RuleId,
}

/// A part that goes elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirected {
    /// By which rule.
    pub rule: RuleId,
    /// What.
    pub part: Part,
    /// To whom.
    pub to: Vec<Target>,
}

/// A header field in front of some copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// By which rule.
    pub rule: RuleId,
    /// Of which.
    pub part: Part,
    /// Its name.
    pub header: String,
    /// Its value.
    pub value: String,
}

/// A text in front of the subject of some copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectPrefix {
    /// By which rule.
    pub rule: RuleId,
    /// Of which.
    pub part: Part,
    /// The text.
    pub text: String,
}

/// A part that waits for an admin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// By which rule.
    pub rule: RuleId,
    /// What.
    pub part: Part,
}

/// A part that waits for approval, and what is done when it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// By which rule, and where evaluation goes on: [`Stage::Released`](super::Stage::Released).
    pub position: Position,
    /// What.
    pub part: Part,
    /// Who decides, any one of them: active accounts. Empty only in an organisation without an active admin.
    pub approvers: Vec<AccountId>,
    /// Hours to wait.
    pub timeout_hours: u32,
    /// What happens then.
    pub outcome: HoldOutcome,
    /// Copies to make at the release.
    pub copies: Vec<Copy>,
    /// Further recipients at the release.
    pub forwards: Vec<Forwarding>,
}

/// A part that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// By which rule.
    pub rule: RuleId,
    /// What.
    pub part: Part,
    /// What the sender reads; `None` for the standard text.
    pub text: Option<String>,
}

/// The refusal of all that remained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// By which rule; the first, if there were several.
    pub rule: RuleId,
    /// What the sender reads; `None` for the standard text.
    pub text: Option<String>,
}

impl Outcome {
    /// Adds what an earlier evaluation left for the release of a held part (policy semantics §13.4): one copy for each
    /// monitor, each target once, the earlier ones first.
    pub fn carry(&mut self, copies: &[Copy], forwards: &[Forwarding]) {
        let later = std::mem::take(&mut self.copies);
        self.copies = copies.to_vec();
        for copy in later {
            match self.copies.iter_mut().find(|c| c.monitor == copy.monitor) {
                Some(known) => known.rules.extend(copy.rules),
                None => self.copies.push(copy),
            }
        }
        let later = std::mem::take(&mut self.forwards);
        self.forwards = forwards.to_vec();
        self.forwards.extend(later.into_iter().filter(|f| forwards.iter().all(|known| known.to != f.to)));
    }

    /// The places of deliveries that do not take place: [`Facts::ended`](crate::routing::Facts::ended).
    pub fn ended(&self) -> HashSet<usize> {
        self.ended.keys().copied().collect()
    }

    /// The header fields in front of the copies of one delivery: name and value, in order.
    pub fn tags_of(&self, delivery: usize) -> impl Iterator<Item = (&str, &str)> {
        let tags = self.tags.iter().filter(move |tag| tag.part.has(delivery));
        tags.map(|tag| (&*tag.header, &*tag.value))
    }

    /// The texts in front of the subject of the copies of one delivery, in order.
    pub fn subject_prefixes_of(&self, delivery: usize) -> impl Iterator<Item = &str> {
        self.subject_prefixes.iter().filter(move |prefix| prefix.part.has(delivery)).map(|prefix| &*prefix.text)
    }
}
