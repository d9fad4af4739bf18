//! May this sender write to this group? (policy semantics §7) And is the message held? (§9)

use std::collections::BTreeSet;

use super::sender::{Identity, Origin, Sender, Verification};
use super::{Access, Reason};
use crate::directory::{Directory, Group, Mode, Moderated, SenderEntry, is_subdomain};
use crate::mail::{AccountId, Address, AddressKey, GroupId};

/// The decision of policy semantics §7.2, and with a sender whose claim is settled, that of §7.3.
pub fn decide(directory: &Directory, sender: &Sender, group: &Group) -> Access {
    let hidden = |reason| Access::Refused(if group.hidden { Reason::UserUnknown } else { reason });
    if group.mode == Mode::Anyone || sender.origin == Origin::System {
        return Access::Allowed;
    }
    let is_accepted = || sender.identities().iter().any(|identity| accepts(directory, group, identity));
    match &sender.origin {
        Origin::Authenticated { .. } | Origin::TrustedRelay { .. } if is_accepted() => Access::Allowed,
        Origin::Authenticated { .. } | Origin::TrustedRelay { .. } => Access::Refused(Reason::GroupDenied),
        Origin::Null | Origin::System => hidden(Reason::GroupDenied),
        Origin::Unauthenticated { .. } if group.require_auth || !is_accepted() => hidden(Reason::GroupDenied),
        Origin::Unauthenticated { verification, .. } => match verification {
            Verification::Verified => Access::Allowed,
            Verification::Provisional => Access::Provisional,
            // A 250 would reveal that there is such a group.
            Verification::Pending if group.hidden => Access::Refused(Reason::UserUnknown),
            Verification::Pending => Access::Pending,
            Verification::Failed => hidden(Reason::GroupUnverified),
            Verification::Unavailable => hidden(Reason::GroupRetry),
        },
    }
}

/// True if some term of the group's allow set accepts the identity (policy semantics §7.1).
fn accepts(directory: &Directory, group: &Group, identity: &Identity) -> bool {
    let same_domain = || match (identity, group.address.domain()) {
        (Identity::Account(id), Some(domain)) => {
            directory.account(*id).is_some_and(|a| directory.has_address_in(a, domain))
        }
        (Identity::Group(id), Some(domain)) => directory
            .group(*id)
            .and_then(|g| directory.principal_domain(g.address.domain()?))
            .is_some_and(|d| directory.principal_domain(domain).is_some_and(|own| own.id == d.id)),
        (Identity::External(_), _) | (_, None) => false,
    };
    let organisation = || match identity {
        Identity::Account(id) => {
            let ours = group.address.domain().and_then(|d| directory.organisation_of(d));
            ours.is_some() && directory.account_organisation(*id) == ours
        }
        Identity::Group(_) | Identity::External(_) => false,
    };
    let members = || is_member(directory, group, identity);
    let list = || is_listed(directory, &group.whitelist, identity);
    match group.mode {
        Mode::SameDomain => same_domain(),
        Mode::Members => members(),
        Mode::Anyone => true,
        Mode::Whitelist => list(),
        Mode::MembersAndWhitelist => members() || list(),
        Mode::SameDomainAndWhitelist => same_domain() || list(),
        Mode::Organisation => organisation(),
    }
}

/// True if the identity is a member, directly or through nested groups and departments, whatever their edges.
pub fn is_member(directory: &Directory, group: &Group, identity: &Identity) -> bool {
    let key = match identity {
        Identity::External(address) => Some(address.key()),
        Identity::Account(_) | Identity::Group(_) => None,
    };
    let mut visited: BTreeSet<GroupId> = BTreeSet::from([group.id]);
    let mut work = vec![group];
    while let Some(group) = work.pop() {
        let is_direct = match identity {
            Identity::Account(id) => is_direct_member(directory, group, *id),
            Identity::Group(id) => group.members.groups.iter().any(|n| n.group == *id),
            Identity::External(_) => key.as_ref().is_some_and(|key| holds_address(&group.members.external, key)),
        };
        if is_direct {
            return true;
        }
        let inner = group.members.groups.iter().filter(|n| visited.insert(n.group));
        work.extend(inner.filter_map(|n| directory.group(n.group)).map(|g| &**g));
    }
    false
}

/// True if the group names the account itself, or a department that the account is in and is not excluded from.
fn is_direct_member(directory: &Directory, group: &Group, account: AccountId) -> bool {
    group.members.accounts.contains(&account)
        || (!group.exclusions.contains(&account)
            && group.members.departments.iter().any(|scope| directory.is_in_department(account, *scope)))
}

fn holds_address(addresses: &[Address], key: &AddressKey) -> bool {
    addresses.iter().any(|a| a.key() == *key)
}

/// True if an entry of a list matches the identity (LIST of policy semantics §7.1).
pub fn is_listed(directory: &Directory, list: &[SenderEntry], identity: &Identity) -> bool {
    list.iter().any(|entry| match (entry, identity) {
        (SenderEntry::Account(id), Identity::Account(account)) => id == account,
        (SenderEntry::Group(id), Identity::Group(group)) if id == group => true,
        (SenderEntry::Group(id), _) => directory.group(*id).is_some_and(|g| is_member(directory, g, identity)),
        (SenderEntry::Department(scope), Identity::Account(account)) => directory.is_in_department(*account, *scope),
        (SenderEntry::External(address), Identity::External(sender)) => address == sender,
        (SenderEntry::Domain(domain), identity) => domain_of(directory, identity).any(|d| d == domain),
        (SenderEntry::Subdomains(domain), identity) => domain_of(directory, identity).any(|d| is_subdomain(d, domain)),
        (SenderEntry::Account(_), Identity::Group(_) | Identity::External(_))
        | (SenderEntry::Department(_), Identity::Group(_) | Identity::External(_))
        | (SenderEntry::External(_), Identity::Account(_) | Identity::Group(_)) => false,
    })
}

/// The domains of an identity's addresses.
fn domain_of<'a>(directory: &'a Directory, identity: &'a Identity) -> impl Iterator<Item = &'a crate::mail::Domain> {
    let mut domains = Vec::new();
    match identity {
        Identity::Account(id) => {
            domains.extend(directory.account(*id).and_then(|a| a.address.domain()));
            domains.extend(directory.aliases_of(*id).filter(|a| a.enabled).filter_map(|a| a.address.domain()));
        }
        Identity::Group(id) => domains.extend(directory.group(*id).and_then(|g| g.address.domain())),
        Identity::External(address) => domains.extend(address.domain()),
    }
    domains.into_iter()
}

/// True if the group holds this sender's message for approval (policy semantics §9). Permission comes first.
pub fn is_held(directory: &Directory, sender: &Sender, group: &Group) -> bool {
    let is_concerned = match group.moderation.when {
        Moderated::Off => return false,
        Moderated::All => true,
        Moderated::External => !sender.is_internal(),
        Moderated::NonMembers => {
            let is_settled = sender.verification().is_none_or(|v| v == Verification::Verified);
            !(is_settled && sender.identities().iter().any(|identity| is_member(directory, group, identity)))
        }
    };
    is_concerned && sender.origin != Origin::System && !bypasses(directory, sender, group)
}

/// A moderator's message, or one of somebody on the bypass list. A claim does not bypass.
fn bypasses(directory: &Directory, sender: &Sender, group: &Group) -> bool {
    let is_settled = sender.verification().is_none_or(|v| v == Verification::Verified);
    is_settled
        && sender.identities().iter().any(|identity| {
            let is_moderator = matches!(identity, Identity::Account(id) if group.moderation.moderators.contains(id));
            is_moderator || is_listed(directory, &group.moderation.bypass, identity)
        })
}

/// Who decides about a group's held messages: its moderators, or else its managers, or else the domain admin; active
/// accounts alone (policy semantics §9).
pub fn moderators(directory: &Directory, group: &Group) -> Vec<AccountId> {
    let active = |ids: &[AccountId]| -> Vec<AccountId> {
        let is_active = |id: &AccountId| directory.account(*id).is_some_and(|a| a.state.is_active());
        ids.iter().copied().filter(is_active).collect()
    };
    let admins = || -> Vec<AccountId> {
        let organisation = group.address.domain().and_then(|d| directory.organisation_of(d));
        organisation.and_then(|o| directory.active_admin(o)).map(|a| a.id).into_iter().collect()
    };
    [active(&group.moderation.moderators), active(&group.managers)]
        .into_iter()
        .find(|ids| !ids.is_empty())
        .unwrap_or_else(admins)
}
