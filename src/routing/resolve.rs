//! From a forward-path to where it leads (policy semantics §4).

use std::net::IpAddr;
use std::sync::Arc;

use super::expand::{Addressed, Delivery, Receiver, admit, expand};
use crate::directory::{Account, AccountState, Directory, Incoming, Lookup, Step};
use crate::mail::{AccountId, Address, AddressLiteral, ForwardPath, Host};
use crate::policy::lists::{self, Correspondent};
use crate::policy::recipient::Destination;
use crate::policy::sender::Sender;
use crate::policy::{Access, scope};

/// What a forward-path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Somebody here.
    Local(Addressed),
    /// Hosted domain, nobody of that name.
    Unknown,
    /// Another host.
    Foreign(Address),
}

/// Resolves a forward-path. `own_address` is the address at which the client reached us: `postmaster@[it]` is ours
/// (policy semantics §4.1), every other address literal is another host's. Nothing in a local-part means anything:
/// `user%elsewhere@here` is a name to look up, not a route.
pub fn resolve(directory: &Directory, own_address: IpAddr, forward_path: &ForwardPath) -> Resolution {
    match forward_path {
        ForwardPath::Address(address) if !is_own_postmaster(address, own_address) => look_up(directory, address),
        // RFC 5321 §4.5.1
        ForwardPath::Postmaster | ForwardPath::Address(_) => match directory.default_postmaster() {
            Some(account) => local(account, None, Step::Postmaster),
            None => Resolution::Unknown,
        },
    }
}

/// Where an address leads.
pub fn look_up(directory: &Directory, address: &Address) -> Resolution {
    match directory.lookup(address) {
        Lookup::Account { account, detail, step } => local(&account, detail, step),
        Lookup::HandedOver(account) => local(&account, None, Step::Own),
        Lookup::Group(group) => Resolution::Local(Addressed::Group(group.id)),
        Lookup::Unknown => Resolution::Unknown,
        Lookup::Foreign => Resolution::Foreign(address.clone()),
    }
}

fn local(account: &Arc<Account>, detail: Option<String>, step: Step) -> Resolution {
    Resolution::Local(Addressed::Account { account: account.id, detail, step })
}

/// What the permissions say of a recipient for this sender: the fact that policy decides on.
pub fn destination(directory: &Directory, sender: &Sender, resolution: &Resolution) -> Destination {
    match resolution {
        Resolution::Unknown => Destination::Unknown,
        Resolution::Foreign(_) | Resolution::Local(Addressed::External(_)) => Destination::Foreign,
        Resolution::Local(Addressed::Group(id)) => match directory.group(*id) {
            Some(group) => {
                let by_lists = || lists::admits_to_group(directory, group, at_rcpt(sender));
                Destination::Local(admit(directory, sender, group).and(by_lists))
            }
            None => Destination::Unknown,
        },
        Resolution::Local(Addressed::Account { account, step, .. }) => match directory.account(*account) {
            // `postmaster` accepts mail from anyone (policy semantics §4.2).
            Some(_) if *step == Step::Postmaster => Destination::Local(Access::Allowed),
            Some(account) if refuses_all(account) => {
                Destination::Frozen(account.settings().refusal_text.as_deref().map(Arc::from))
            }
            Some(account) => {
                let by_lists = || lists::admits(directory, account, at_rcpt(sender));
                Destination::Local(scope::receive(directory, sender, account).and(by_lists))
            }
            None => Destination::Unknown,
        },
    }
}

/// Who sends, as far as RCPT knows.
fn at_rcpt(sender: &Sender) -> Correspondent<'_> {
    Correspondent { sender, authors: &[] }
}

/// True if lists of domains refuse a message for all its recipients, now that its authors are known: one answer is given
/// for all, so that what only some refuse lies in their Junk folders.
pub fn all_refuse<'a>(
    directory: &Directory,
    from: Correspondent<'_>,
    recipients: impl IntoIterator<Item = &'a Addressed>,
) -> bool {
    let refuses = |addressed: &Addressed| match addressed {
        Addressed::External(_) | Addressed::Account { step: Step::Postmaster, .. } => false,
        Addressed::Account { account, .. } => {
            directory.account(*account).is_some_and(|account| !lists::admits(directory, account, from).is_open())
        }
        Addressed::Group(id) => {
            directory.group(*id).is_some_and(|group| !lists::admits_to_group(directory, group, from).is_open())
        }
    };
    recipients.into_iter().all(refuses)
}

/// True if every account that these recipients lead to allows the sender: then no filter needs to look for junk.
pub fn all_allow(directory: &Directory, from: Correspondent<'_>, recipients: &[Addressed]) -> bool {
    // A large group takes its time.
    if !lists::is_proven(from.sender) {
        return false;
    }
    let expansion = expand(directory, from.sender, recipients);
    let account = |delivery: &Delivery| match delivery.to {
        Receiver::Account(id) => Some(id),
        Receiver::External(_) => None,
    };
    let accounts: Option<Vec<AccountId>> = expansion.deliveries.iter().map(account).collect();
    expansion.held.is_empty() && accounts.is_some_and(|accounts| lists::all_allow(directory, from, accounts))
}

/// True for a sender whose scope does not reach the addressed recipient. Groups are internal (policy semantics §10.2).
pub fn is_beyond_scope(directory: &Directory, sender: &Sender, resolution: &Resolution) -> bool {
    let Some(account) = sender.account().and_then(|id| directory.account(id)) else { return false };
    let Some(own) = directory.account_organisation(account.id) else { return false };
    let outside = |address: &Address| !scope::may_send_outside(account, address);
    match resolution {
        Resolution::Foreign(address) | Resolution::Local(Addressed::External(address)) => outside(address),
        Resolution::Local(Addressed::Account { account: to, .. }) => match directory.account(*to) {
            Some(to) if directory.account_organisation(to.id) == Some(own) => !scope::may_send_inside(account),
            Some(to) => outside(&to.address),
            None => false,
        },
        Resolution::Local(Addressed::Group(id)) => match directory.group(*id) {
            Some(group) if directory.group_organisation(group.id) == Some(own) => !scope::may_send_inside(account),
            Some(group) => outside(&group.address),
            None => false,
        },
        Resolution::Unknown => false,
    }
}

/// How many members elsewhere a group brings to a message; of all else, none (policy semantics §18).
pub fn external_members(directory: &Directory, sender: &Sender, resolution: &Resolution) -> usize {
    let Resolution::Local(group @ Addressed::Group(_)) = resolution else { return 0 };
    let deliveries = expand(directory, sender, std::slice::from_ref(group)).deliveries;
    deliveries.iter().filter(|delivery| matches!(delivery.to, Receiver::External(_))).count()
}

/// Frozen, and its mail is refused (policy semantics §10.1).
pub fn refuses_all(account: &Account) -> bool {
    account.state == AccountState::Frozen && account.settings().incoming == Incoming::Reject
}

fn is_own_postmaster(address: &Address, own_address: IpAddr) -> bool {
    matches!(address.host(), Host::Literal(AddressLiteral::Ip(ip)) if *ip == own_address)
        && address.local_part().is_postmaster()
}
