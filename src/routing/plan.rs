//! The plan: what becomes of a message once expansion and mail rules have spoken: per account its state, the lists of
//! senders that hold for it, forwards, where the copy lies (policy semantics §11, §19). Pure.

use std::collections::{HashMap, HashSet};

use rustc_hash::{FxHashMap, FxHashSet};

use super::expand::{self, Addressed, Delivery, Receiver, Via};
use super::resolve::refuses_all;
use crate::directory::{
    Account, AccountState, Directory, DomainBlockAction, ExternalForward, Forward, Group, Incoming, Target,
};
use crate::mail::{AccountId, Address, AddressKey, Domain, DomainId, GroupId};
use crate::policy::lists::{self, Correspondent, Level, Listed, Says};
use crate::policy::sender::{Origin, Sender};
use crate::policy::{group, scope};

/// Hops of one chain of local forwards (policy semantics §23).
pub const FORWARD_HOPS: usize = 5;

/// What the plan needs to know of a message beside who sends it to whom.
#[derive(Debug, Default)]
pub struct Facts {
    /// The addresses in its Delivered-To fields: where it has been forwarded from (policy semantics §11.2).
    pub delivered_to: Vec<Address>,
    /// The addresses of its From field.
    pub authors: Vec<Address>,
    /// Accounts for which filters take it for junk; what a list allows is none.
    pub junk: Junk,
    /// Accounts for which a mail rule says that it is junk, whatever a list allows.
    pub junk_by_rule: HashSet<AccountId>,
    /// Deliveries that do not take place because a mail rule ended them, by their place in the list. Forwards do not
    /// bring the message to these accounts by a detour.
    pub ended: HashSet<usize>,
    /// Deliveries from this place on come from rules that forward or redirect; what of them leaves does so with a
    /// reverse-path of this domain.
    pub by_rules: Option<(usize, Domain)>,
    /// Recipients elsewhere whom a hook has named.
    pub by_hooks: HashSet<AddressKey>,
}

/// For whom filters take a message for junk.
#[derive(Debug, Default)]
pub enum Junk {
    /// For nobody.
    #[default]
    Nobody,
    /// For these.
    Some(HashSet<AccountId>),
    /// For everybody.
    All,
}

/// Where a copy lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folder {
    /// INBOX.
    Inbox,
    /// The folder with the special use `\Junk`, or INBOX if there is none.
    Junk,
}

/// A copy for an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Whose.
    pub account: AccountId,
    /// Where it lies.
    pub folder: Folder,
    /// How the message got to the account, or to the first account of the chain of forwards.
    pub via: Via,
    /// The plus detail.
    pub detail: Option<String>,
    /// The accounts that forwarded it, in order: each adds a Delivered-To field.
    pub forwarded_by: Vec<AccountId>,
    /// The place in the list of the delivery from which it stems.
    pub delivery: usize,
}

/// A copy that leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// To whom.
    pub to: Address,
    /// With which reverse-path.
    pub reverse_path: Return,
    /// The accounts that forwarded it, in order.
    pub forwarded_by: Vec<AccountId>,
    /// The place in the list of the delivery from which it stems.
    pub delivery: usize,
}

/// The reverse-path of a copy that leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Return {
    /// The sender's own.
    Sender,
    /// Rewritten, so that the domain of the forwarding account vouches for it (policy semantics §11.3).
    Rewritten(Domain),
    /// To the managers of the group (policy semantics §6.5).
    Managers(GroupId),
    /// To an administrator, or to nobody: a hook has named the recipient, of whom the sender knows nothing.
    Administrators,
}

/// Why an account that should have a copy has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Omitted {
    /// The owner, or the domain, does not want to hear this sender.
    Blocked(Level),
    /// Forwarded, and no copy kept.
    Forwarded,
}

/// What becomes of a message.
#[derive(Debug, Default)]
pub struct Plan {
    /// Copies that stay, one for each account.
    pub local: Vec<Local>,
    /// Copies that leave, one for each address.
    pub remote: Vec<Remote>,
    /// Accounts that were reached and have no copy.
    pub omitted: Vec<(AccountId, Omitted)>,
    /// Accounts for which a list of senders decided.
    pub listed: Vec<(AccountId, Listed)>,
    /// Forwards that could not be carried out: whose, and to whom.
    pub failed: Vec<(AccountId, Target)>,
}

/// Makes the plan for deliveries.
pub fn plan(directory: &Directory, sender: &Sender, facts: &Facts, deliveries: &[Delivery]) -> Plan {
    let stands = |place: &usize| !facts.ended.contains(place);
    let by_account = deliveries.iter().enumerate().filter_map(|(place, d)| Some((account_of(&d.to)?, place)));
    let mut planner = Planner {
        directory,
        sender,
        facts,
        deliveries,
        ended: facts.ended.iter().filter_map(|place| account_of(&deliveries.get(*place)?.to)).collect(),
        waiting: by_account.clone().filter(|(_, place)| stands(place)).collect(),
        claimed: by_account.map(|(account, _)| account).collect(),
        visiting: Vec::new(),
        been_at: facts.delivered_to.iter().filter_map(|address| Some(directory.holder(address)?.id)).collect(),
        addresses: HashSet::new(),
        plan: Plan::default(),
        domains: HashMap::new(),
        delivery: 0,
        rewritten: facts.by_rules.clone(),
    };
    planner.plan.local.reserve(deliveries.len());
    for (place, delivery) in deliveries.iter().enumerate().filter(|(place, _)| stands(place)) {
        match &delivery.to {
            Receiver::External(address) => {
                planner.delivery = place;
                let by_rule = planner.rewritten.as_ref().filter(|(first, _)| place >= *first);
                let path = match (by_rule, delivery.via) {
                    (Some((_, domain)), _) => Return::Rewritten(domain.clone()),
                    (None, Via::Direct) if facts.by_hooks.contains(&address.key()) => Return::Administrators,
                    (None, via) => group_return(via),
                };
                planner.remote(address, path, &[]);
            }
            Receiver::Account(id) => planner.arrive(*id),
        }
    }
    planner.plan
}

fn account_of(to: &Receiver) -> Option<AccountId> {
    match to {
        Receiver::Account(id) => Some(*id),
        Receiver::External(_) => None,
    }
}

fn group_return(via: Via) -> Return {
    match via {
        Via::Group(group) => Return::Managers(group),
        Via::Direct | Via::Postmaster | Via::CatchAll => Return::Sender,
    }
}

struct Planner<'a> {
    directory: &'a Directory,
    sender: &'a Sender,
    facts: &'a Facts,
    deliveries: &'a [Delivery],
    /// Accounts that shall not have it.
    ended: FxHashSet<AccountId>,
    /// Accounts that expansion reached and whose turn has not come, with their places.
    waiting: FxHashMap<AccountId, usize>,
    /// Accounts that have this message or are about to get it.
    claimed: FxHashSet<AccountId>,
    /// Accounts whose forwards are being followed: what becomes of their own copies is not known yet.
    visiting: Vec<AccountId>,
    /// Accounts where the message has been before.
    been_at: FxHashSet<AccountId>,
    addresses: HashSet<AddressKey>,
    plan: Plan,
    /// What the lists of domains say, asked once.
    domains: HashMap<DomainId, Option<Listed>>,
    /// The place of the delivery that is being planned.
    delivery: usize,
    /// See [`Facts::by_rules`].
    rewritten: Option<(usize, Domain)>,
}

impl Planner<'_> {
    /// An account that expansion reached, unless somebody's forward has brought its turn forward.
    fn arrive(&mut self, id: AccountId) {
        let (directory, deliveries) = (self.directory, self.deliveries);
        let Some(place) = self.waiting.remove(&id) else { return };
        let (Some(account), Some(Delivery { via, detail, .. })) = (directory.account(id), deliveries.get(place)) else {
            return;
        };
        let before = std::mem::replace(&mut self.delivery, place);
        self.place(account, *via, detail.clone(), &[]);
        self.delivery = before;
    }

    /// Forwards from this account, and stores with it unless the forwards suffice or a list wants none of it. `chain`: the
    /// accounts that forwarded it here.
    fn place(&mut self, account: &Account, via: Via, detail: Option<String>, chain: &[AccountId]) {
        let listed = if via == Via::Postmaster { None } else { self.listed(account) };
        self.plan.listed.extend(listed.map(|listed| (account.id, listed)));
        if let Some(Listed { level, says: Says::Blocked(DomainBlockAction::Drop), .. }) = listed {
            self.plan.omitted.push((account.id, Omitted::Blocked(level)));
            return;
        }
        let junk = via != Via::Postmaster && self.is_junk(account, listed);
        let forwards = Forwards::of(account);
        let is_looping = self.visiting.len() >= FORWARD_HOPS || self.been_at.contains(&account.id);
        let mut stays = true;
        if !junk && !is_looping && !forwards.targets.is_empty() {
            let mut hops = chain.to_vec();
            hops.push(account.id);
            let mut all = true;
            self.visiting.push(account.id);
            for (target, is_owners) in &forwards.targets {
                let done = self.forward(account, target, *is_owners, &hops);
                if !done {
                    self.plan.failed.push((account.id, (*target).clone()));
                }
                all &= done;
            }
            self.visiting.pop();
            // Forwarding never loses a message (policy semantics §11.2).
            stays = forwards.keep || !all;
        }
        if !stays {
            self.plan.omitted.push((account.id, Omitted::Forwarded));
            return;
        }
        let folder = if junk { Folder::Junk } else { Folder::Inbox };
        let forwarded_by = chain.to_vec();
        let delivery = self.delivery;
        self.plan.local.push(Local { account: account.id, folder, via, detail, forwarded_by, delivery });
    }

    /// True if the target has the message, or will have it.
    fn forward(&mut self, from: &Account, target: &Target, is_owners: bool, hops: &[AccountId]) -> bool {
        match target {
            Target::External(address) => {
                if !self.may_forward_outside(from, is_owners) {
                    return false;
                }
                let Some(domain) = from.address.domain() else { return false };
                self.remote(address, Return::Rewritten(domain.clone()), hops);
                true
            }
            Target::Account(id) => self.forward_to_account(*id, hops),
            Target::Group(id) => match self.directory.group(*id) {
                Some(group) => self.forward_to_group(from, group, hops),
                None => false,
            },
        }
    }

    fn forward_to_account(&mut self, id: AccountId, hops: &[AccountId]) -> bool {
        if self.visiting.contains(&id) || self.ended.contains(&id) {
            return false;
        }
        // Two who forward to each other and are both addressed must not each rely on the other's copy.
        self.arrive(id);
        if self.claimed.contains(&id) {
            return true;
        }
        let directory = self.directory;
        let Some(account) = directory.account(id).filter(|a| a.state.is_present() && !refuses_all(a)) else {
            return false;
        };
        if !scope::receive(directory, self.sender, account).is_open() {
            return false;
        }
        self.claimed.insert(id);
        self.place(account, Via::Direct, None, hops);
        true
    }

    /// The forwarding account is the identity (policy semantics §11.2).
    fn forward_to_group(&mut self, from: &Account, target: &Group, hops: &[AccountId]) -> bool {
        let forwarder = Sender {
            reverse_path: self.sender.reverse_path.clone(),
            origin: Origin::Authenticated { account: from.id, acting_as: None },
        };
        if !group::decide(self.directory, &forwarder, target).is_open() {
            return false;
        }
        let expansion = expand::expand(self.directory, &forwarder, &[Addressed::Group(target.id)]);
        // A held part waits like any other; here nothing is held for whoever is not the author.
        let mut all = !expansion.deliveries.is_empty();
        for delivery in expansion.deliveries {
            all &= match delivery.to {
                Receiver::Account(id) => self.forward_to_account(id, hops),
                Receiver::External(address) => {
                    self.remote(&address, group_return(delivery.via), hops);
                    true
                }
            };
        }
        all
    }

    fn remote(&mut self, to: &Address, reverse_path: Return, hops: &[AccountId]) {
        if self.addresses.insert(to.key()) {
            let (forwarded_by, delivery) = (hops.to_vec(), self.delivery);
            self.plan.remote.push(Remote { to: to.clone(), reverse_path, forwarded_by, delivery });
        }
    }

    fn may_forward_outside(&self, account: &Account, is_owners: bool) -> bool {
        let organisation = self.directory.account_organisation(account.id);
        match organisation.and_then(|id| self.directory.organisation(id)).map(|o| o.external_forward) {
            Some(ExternalForward::Allow) => true,
            Some(ExternalForward::AdminOnly) => !is_owners,
            Some(ExternalForward::Deny) | None => false,
        }
    }

    fn is_junk(&self, account: &Account, listed: Option<Listed>) -> bool {
        let by_filter = match &self.facts.junk {
            Junk::Nobody => false,
            Junk::Some(accounts) => accounts.contains(&account.id),
            Junk::All => true,
        };
        let by_list = match listed.map(|listed| listed.says) {
            Some(Says::Blocked(_)) => true,
            Some(Says::Allowed) => false,
            None => by_filter,
        };
        by_list || self.facts.junk_by_rule.contains(&account.id)
    }

    fn listed(&mut self, account: &Account) -> Option<Listed> {
        let directory = self.directory;
        let from = Correspondent { sender: self.sender, authors: &self.facts.authors };
        lists::of_account(directory, account, from).or_else(|| {
            let domain = lists::domain_of(directory, account)?;
            *self.domains.entry(domain.id).or_insert_with(|| lists::of_domain(directory, domain, from))
        })
    }
}

/// The forwards of an account that are in force (policy semantics §10.1, §11.1).
struct Forwards<'a> {
    /// Each with whether the owner set it.
    targets: Vec<(&'a Target, bool)>,
    keep: bool,
}

impl<'a> Forwards<'a> {
    fn of(account: &'a Account) -> Self {
        let settings = account.settings();
        let admin = settings.admin_forward.as_ref();
        let owners = settings.forward.as_ref();
        let of_admin = || admin.into_iter().flat_map(|f| f.targets.iter().map(|t| (t, false)));
        let confirmed = |forward: &'a Forward| {
            let counts = |t: &&crate::directory::ForwardTarget| t.confirmed || !matches!(t.to, Target::External(_));
            (forward.targets.iter().filter(counts).map(|t| (&t.to, true)), forward.targets.iter().all(|t| counts(&t)))
        };
        match account.state {
            AccountState::Binned | AccountState::Removing => Self { targets: of_admin().collect(), keep: false },
            AccountState::Frozen => match settings.incoming {
                Incoming::Reject | Incoming::Store => Self { targets: Vec::new(), keep: true },
                Incoming::Forward => Self { targets: of_admin().collect(), keep: false },
                Incoming::StoreAndForward => Self { targets: of_admin().collect(), keep: true },
            },
            AccountState::Active | AccountState::SendBlocked => {
                let (own, all_confirmed) = match owners.map(confirmed) {
                    Some((targets, all)) => (targets.collect(), all),
                    None => (Vec::new(), true),
                };
                let keep = match (admin, owners) {
                    (Some(forward), _) => forward.keep,
                    // A target that has not confirmed yet is one that cannot be reached.
                    (None, Some(forward)) => forward.keep || !all_confirmed,
                    (None, None) => true,
                };
                Self { targets: of_admin().chain(own).collect(), keep }
            }
        }
    }
}
