//! From accepted recipients to final deliveries: nested groups with provenance, one copy for each person, what is held
//! and what stays closed (policy semantics §6 and §8). A pure function of the directory, the sender and the recipients.

use std::collections::{BTreeMap, HashSet};

use rustc_hash::FxHashSet;

use crate::directory::{Account, AccountState, Directory, Edge, Group, Incoming, Nested, Step};
use crate::mail::{AccountId, Address, AddressKey, GroupId};
use crate::policy::sender::{Origin, Sender, Verification};
use crate::policy::{Access, Reason, group, scope};

/// Levels of groups, the addressed one counted (policy semantics §6.2).
pub const MAX_DEPTH: usize = 10;
/// Deliveries of one addressed group (policy semantics §6.2).
pub const MAX_DELIVERIES: usize = 100_000;

/// An accepted recipient, as far as it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addressed {
    /// An account.
    Account {
        /// Which.
        account: AccountId,
        /// The plus detail.
        detail: Option<String>,
        /// How the lookup found it.
        step: Step,
    },
    /// A group.
    Group(GroupId),
    /// Somebody elsewhere.
    External(Address),
}

/// Who receives: the key of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// An account or shared account.
    Account(AccountId),
    /// Somebody elsewhere.
    External(Address),
}

/// One copy for one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Who receives.
    pub to: Receiver,
    /// By which path; a direct one beats one through groups.
    pub via: Via,
    /// The plus detail of a direct path.
    pub detail: Option<String>,
}

/// How a delivery came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Addressed itself.
    Direct,
    /// Through `postmaster`.
    Postmaster,
    /// Through the catch-all.
    CatchAll,
    /// Through this group; [`Expansion::path`] tells how it was reached.
    Group(GroupId),
}

/// A part of a group that the sender does not reach (policy semantics §6.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The group that was addressed.
    pub addressed: GroupId,
    /// The part, if it is a group.
    pub inner: Option<GroupId>,
    /// Why.
    pub reason: Reason,
}

/// A group whose message waits for approval (policy semantics §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldGroup {
    /// The moderated group.
    pub group: GroupId,
    /// The group that was addressed.
    pub addressed: GroupId,
}

/// What became of the recipients.
#[derive(Clone, Debug, Default)]
pub struct Expansion {
    /// One for each person.
    pub deliveries: Vec<Delivery>,
    /// Groups that wait for approval.
    pub held: Vec<HeldGroup>,
    /// What stays closed, for partial notices.
    pub closed: Vec<Closed>,
    /// Members that were passed over, for the trace.
    pub skipped: Vec<(AccountId, Skipped)>,
    /// External members of groups that do not allow them: an error of the configuration.
    pub misplaced: Vec<(GroupId, Address)>,
    /// Groups that were opened, each with the one through which it was reached.
    pub opened: BTreeMap<GroupId, Option<GroupId>>,
}

/// Why a member gets nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// Frozen, and its mail is refused.
    Frozen,
    /// Its receive scope excludes the sender.
    ReceiveScope,
    /// The sender itself, of whom the group says so.
    IsSender,
}

impl Expansion {
    /// True if nobody gets it, now or after an approval.
    fn is_empty(&self) -> bool {
        self.deliveries.is_empty() && self.held.is_empty()
    }

    /// The groups from the addressed one down to `group`.
    pub fn path(&self, group: GroupId) -> Vec<GroupId> {
        let above = |id: &GroupId| self.opened.get(id).copied().flatten();
        let mut path: Vec<GroupId> = std::iter::successors(Some(group), above).take(MAX_DEPTH + 1).collect();
        path.reverse();
        path
    }
}

/// Expands recipients for a sender. Unverified claims count as [`group::decide`] has them: a pending or provisional
/// claim opens what it would open if it were true.
pub fn expand(directory: &Directory, sender: &Sender, recipients: &[Addressed]) -> Expansion {
    let mut expander = Expander::new(directory, sender);
    // Direct paths first: they beat those through groups.
    for recipient in recipients {
        match recipient {
            Addressed::Account { account, detail, step } => {
                let via = match step {
                    Step::Own => Via::Direct,
                    Step::Postmaster => Via::Postmaster,
                    Step::CatchAll => Via::CatchAll,
                };
                expander.add(Receiver::Account(*account), via, detail.clone());
            }
            Addressed::External(address) => {
                expander.add(Receiver::External(address.clone()), Via::Direct, None);
            }
            Addressed::Group(_) => {}
        }
    }
    for recipient in recipients {
        if let Addressed::Group(id) = recipient
            && let Some(group) = directory.group(*id)
            && group::decide(directory, sender, group).is_open()
        {
            expander.group(group);
        }
    }
    expander.finish()
}

/// Expands a group whose message was approved, now, for the original sender: its own moderation is over, and whoever
/// `has` the message already is left out (policy semantics §9).
pub fn expand_approved(
    directory: &Directory,
    sender: &Sender,
    group: &Group,
    has: impl Fn(&Receiver) -> bool,
) -> Expansion {
    let mut expander = Expander::new(directory, sender);
    expander.approved = Some(group.id);
    expander.group(group);
    expander.out.deliveries.retain(|d| !has(&d.to));
    expander.finish()
}

/// What RCPT needs to know of a group that the sender may write to (policy semantics §6.4, §8).
pub fn admit(directory: &Directory, sender: &Sender, group: &Group) -> Access {
    let access = admit_honestly(directory, sender, group);
    let is_outsider = matches!(sender.origin, Origin::Unauthenticated { .. } | Origin::Null);
    match access {
        // A 250 would reveal that there is such a group (policy semantics §6.6).
        Access::Refused(_) | Access::Pending if group.hidden && is_outsider => Access::Refused(Reason::UserUnknown),
        access => access,
    }
}

fn admit_honestly(directory: &Directory, sender: &Sender, group: &Group) -> Access {
    let access = group::decide(directory, sender, group);
    if !access.is_open() {
        return access;
    }
    if is_too_deep(directory, group) || (may_be_too_large(directory, group) && is_too_large(directory, sender, group)) {
        return Access::Refused(Reason::GroupEmpty);
    }
    let refusal = |sender: &Sender| match usable(directory, sender, group) {
        Usable::Yes => None,
        Usable::Closed => Some(Access::Refused(Reason::GroupDenied)),
        Usable::Empty => Some(Access::Refused(Reason::GroupEmpty)),
    };
    // A claim may also close something once it is true: a member's message is not held, a scope does not reach outside.
    let if_true = || sender.verification().and_then(|_| refusal(&sender.assuming(true)));
    if let Some(refused) = refusal(sender).or_else(if_true) {
        return refused;
    }
    // A group that would be empty without its pending edges is itself pending (policy semantics §8).
    if access == Access::Allowed && sender.verification().is_some() {
        let unverified = sender.assuming(false);
        if usable(directory, &unverified, group) != Usable::Yes {
            return match sender.verification() {
                Some(Verification::Provisional) => Access::Provisional,
                Some(Verification::Pending) => Access::Pending,
                _ => Access::Refused(Reason::GroupDenied),
            };
        }
    }
    access
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Usable {
    Yes,
    /// Every path is closed by permission.
    Closed,
    Empty,
}

fn usable(directory: &Directory, sender: &Sender, group: &Group) -> Usable {
    let mut expander = Expander::new(directory, sender);
    expander.stop_at_first = true;
    expander.group(group);
    let expansion = expander.finish();
    match (expansion.is_empty(), expansion.closed.is_empty()) {
        (false, _) => Usable::Yes,
        (true, false) => Usable::Closed,
        (true, true) => Usable::Empty,
    }
}

/// The least number of levels to some group below is more than may be: policy semantics §6.2 has data that contains such
/// nesting anyway refused as a whole.
fn is_too_deep(directory: &Directory, group: &Group) -> bool {
    let mut seen = HashSet::from([group.id]);
    let mut level = vec![group.id];
    let mut depth = 0;
    while !level.is_empty() {
        depth += 1;
        if depth > MAX_DEPTH {
            return true;
        }
        let inner = level.iter().filter_map(|id| directory.group(*id)).flat_map(|g| &g.members.groups);
        level = inner.map(|n| n.group).filter(|id| directory.group(*id).is_some() && seen.insert(*id)).collect();
    }
    false
}

/// Counts members without looking at them; only a sum above the limit is worth an exact answer.
fn may_be_too_large(directory: &Directory, group: &Group) -> bool {
    let mut seen = HashSet::from([group.id]);
    let mut work = vec![group.id];
    let mut members = 0_usize;
    while let Some(group) = work.pop().and_then(|id| directory.group(id)) {
        let staff: usize = group.members.departments.iter().map(|d| directory.staff(*d).count()).sum();
        members = members.saturating_add(staff + group.members.accounts.len() + group.members.external.len());
        work.extend(group.members.groups.iter().map(|n| n.group).filter(|id| seen.insert(*id)));
    }
    members > MAX_DELIVERIES
}

fn is_too_large(directory: &Directory, sender: &Sender, group: &Group) -> bool {
    let mut expander = Expander::new(directory, sender);
    expander.group(group);
    expander.out.deliveries.len() > MAX_DELIVERIES
}

struct Expander<'a> {
    directory: &'a Directory,
    sender: &'a Sender,
    out: Expansion,
    accounts: FxHashSet<AccountId>,
    externals: HashSet<AddressKey>,
    /// The group whose moderation is over.
    approved: Option<GroupId>,
    stop_at_first: bool,
    /// The sender's own copy, which some group does not want delivered.
    omitted: Option<Delivery>,
    /// There has been such a group.
    has_omitted: bool,
}

impl<'a> Expander<'a> {
    fn new(directory: &'a Directory, sender: &'a Sender) -> Self {
        Self {
            directory,
            sender,
            out: Expansion::default(),
            accounts: FxHashSet::default(),
            externals: HashSet::new(),
            approved: None,
            stop_at_first: false,
            omitted: None,
            has_omitted: false,
        }
    }

    fn add(&mut self, to: Receiver, via: Via, detail: Option<String>) {
        let is_new = match &to {
            Receiver::Account(id) => self.accounts.insert(*id),
            Receiver::External(address) => self.externals.insert(address.key()),
        };
        if is_new {
            self.out.deliveries.push(Delivery { to, via, detail });
        }
    }

    /// A delivery is final; a held group may still be opened by another edge and turn out to be empty.
    fn is_done(&self) -> bool {
        self.stop_at_first && !self.out.deliveries.is_empty()
    }

    /// What was found, once every addressed group has been expanded.
    fn finish(mut self) -> Expansion {
        // A group held or closed on one path and open on another is open: its people have the message.
        let opened = &self.out.opened;
        self.out.held.retain(|h| !opened.contains_key(&h.group));
        self.out.closed.retain(|c| c.inner.is_none_or(|inner| !opened.contains_key(&inner)));
        self.out
    }

    /// Expands an addressed group that is open to the sender.
    fn group(&mut self, addressed: &'a Group) {
        self.walk(addressed);
        // That option never empties the result (policy semantics §6.3): of this group, whatever else is addressed, and
        // whichever of the groups below it another one has opened before.
        if self.has_omitted {
            let mut alone = Self { approved: self.approved, ..Self::new(self.directory, self.sender) };
            alone.walk(addressed);
            if let Some(own) = alone.omitted.take()
                && alone.finish().is_empty()
            {
                self.out.skipped.retain(|(_, why)| *why != Skipped::IsSender);
                self.add(own.to, own.via, None);
            }
        }
    }

    /// Opens the groups below an addressed one, each once, breadth first.
    fn walk(&mut self, addressed: &'a Group) {
        let mut work: Vec<(&'a Group, Option<GroupId>, Edge)> = vec![(addressed, None, Edge::Check)];
        let mut at = 0;
        while let Some((group, from, edge)) = work.get(at).copied() {
            at += 1;
            if self.out.opened.contains_key(&group.id) {
                continue;
            }
            // Moderation is skipped over `inherit` (policy semantics §9).
            let asks = edge == Edge::Check && self.approved != Some(group.id);
            if asks && group::is_held(self.directory, self.sender, group) {
                if !self.out.held.iter().any(|h| h.group == group.id) {
                    self.out.held.push(HeldGroup { group: group.id, addressed: addressed.id });
                }
                continue;
            }
            self.out.opened.insert(group.id, from);
            self.members(group, addressed);
            if self.is_done() {
                return;
            }
            for Nested { group: inner, edge } in &group.members.groups {
                let Some(inner) = self.directory.group(*inner).filter(|g| !self.out.opened.contains_key(&g.id)) else {
                    continue;
                };
                let access = match edge {
                    Edge::Inherit => Access::Allowed,
                    Edge::Check => group::decide(self.directory, self.sender, inner),
                };
                match access {
                    Access::Allowed | Access::Provisional | Access::Pending => {
                        work.push((inner, Some(group.id), *edge))
                    }
                    Access::Refused(reason) => {
                        self.close(Closed { addressed: addressed.id, inner: Some(inner.id), reason });
                    }
                }
            }
        }
    }

    fn close(&mut self, closed: Closed) {
        if !self.out.closed.contains(&closed) {
            self.out.closed.push(closed);
        }
    }

    fn members(&mut self, group: &'a Group, addressed: &'a Group) {
        for id in &group.members.accounts {
            self.account(*id, group);
            if self.is_done() {
                return;
            }
        }
        for scope in &group.members.departments {
            for id in self.directory.staff(*scope) {
                if !group.exclusions.contains(&id) {
                    self.account(id, group);
                }
                if self.is_done() {
                    return;
                }
            }
        }
        for address in &group.members.external {
            self.external(address, group, addressed);
        }
    }

    /// Policy semantics §6.3.
    fn account(&mut self, id: AccountId, group: &Group) {
        let Some(account) = self.directory.account(id) else { return };
        let delivery = || Delivery { to: Receiver::Account(id), via: Via::Group(group.id), detail: None };
        let skipped = match usability(self.directory, self.sender, account) {
            // Deletion removes memberships; whoever is in the bin is not there.
            Usability::Absent => return,
            Usability::Skip(why) => Some(why),
            Usability::Use if !group.deliver_to_sender && self.sender.account() == Some(id) => {
                self.has_omitted = true;
                self.omitted.get_or_insert_with(delivery);
                Some(Skipped::IsSender)
            }
            Usability::Use => None,
        };
        match skipped {
            Some(why) if !self.out.skipped.contains(&(id, why)) => self.out.skipped.push((id, why)),
            Some(_) => {}
            None => self.add(Receiver::Account(id), Via::Group(group.id), None),
        }
    }

    fn external(&mut self, address: &Address, group: &Group, addressed: &Group) {
        if !group.external_members {
            self.out.misplaced.push((group.id, address.clone()));
            return;
        }
        let sender = self.sender.account().and_then(|id| self.directory.account(id));
        if sender.is_some_and(|a| !scope::may_send_outside(a, address)) {
            self.close(Closed { addressed: addressed.id, inner: None, reason: Reason::SendScope });
            return;
        }
        self.add(Receiver::External(address.clone()), Via::Group(group.id), None);
    }
}

enum Usability {
    Use,
    Skip(Skipped),
    Absent,
}

fn usability(directory: &Directory, sender: &Sender, account: &Account) -> Usability {
    match account.state {
        AccountState::Binned | AccountState::Removing => return Usability::Absent,
        AccountState::Frozen if account.settings().incoming == Incoming::Reject => {
            return Usability::Skip(Skipped::Frozen);
        }
        AccountState::Active | AccountState::SendBlocked | AccountState::Frozen => {}
    }
    match scope::receive(directory, sender, account) {
        Access::Refused(_) => Usability::Skip(Skipped::ReceiveScope),
        Access::Allowed | Access::Provisional | Access::Pending => Usability::Use,
    }
}
