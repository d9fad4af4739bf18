//! With whom an account may correspond (policy semantics §10.2).

use super::sender::{Claim, Identity, Origin, Sender, Verification};
use super::{Access, Reason};
use crate::directory::{Account, AddressPattern, Directory, Scope, is_subdomain};
use crate::mail::{AccountId, Address, OrganisationId};

/// May this sender reach this account? Asked of the identity, never of the claim.
pub fn receive(directory: &Directory, sender: &Sender, account: &Account) -> Access {
    let scope = &account.settings().receive_scope;
    if *scope == Scope::Any {
        return Access::Allowed;
    }
    let refused = Access::Refused(Reason::ReceiveScope);
    let organisation = organisation_of(directory, account);
    let accepts = |identity: &Identity| match scope {
        Scope::Any => true,
        Scope::None => false,
        Scope::Internal => is_internal(directory, identity, organisation),
        Scope::List(list) => {
            is_internal(directory, identity, organisation)
                || list.iter().any(|pattern| matches_identity(directory, pattern, identity))
        }
    };
    match &sender.origin {
        Origin::System => Access::Allowed,
        Origin::Null => refused,
        Origin::Authenticated { .. } | Origin::TrustedRelay { .. } => {
            if sender.identities().iter().any(accepts) {
                Access::Allowed
            } else {
                refused
            }
        }
        Origin::Unauthenticated { claim: Claim::Nobody, .. } => refused,
        Origin::Unauthenticated { verification, .. } => {
            if !sender.identities().iter().any(accepts) {
                return refused;
            }
            match verification {
                Verification::Verified => Access::Allowed,
                Verification::Provisional => Access::Provisional,
                Verification::Pending => Access::Pending,
                Verification::Failed => Access::Refused(Reason::GroupUnverified),
                Verification::Unavailable => Access::Refused(Reason::GroupRetry),
            }
        }
    }
}

/// May this account send to an address that is not of its organisation?
pub fn may_send_outside(account: &Account, address: &Address) -> bool {
    match &account.settings().send_scope {
        Scope::Any => true,
        Scope::Internal | Scope::None => false,
        Scope::List(list) => list.iter().any(|pattern| matches_address(pattern, address)),
    }
}

/// May this account send to anybody of its organisation?
pub fn may_send_inside(account: &Account) -> bool {
    account.settings().send_scope != Scope::None
}

fn organisation_of(directory: &Directory, account: &Account) -> Option<OrganisationId> {
    account.address.domain().and_then(|d| directory.organisation_of(d))
}

fn is_internal(directory: &Directory, identity: &Identity, organisation: Option<OrganisationId>) -> bool {
    let of = match identity {
        Identity::Account(id) => directory.account_organisation(*id),
        Identity::Group(id) => directory.group_organisation(*id),
        Identity::External(_) => None,
    };
    of.is_some() && of == organisation
}

/// True if the pattern names the identity.
pub fn matches_identity(directory: &Directory, pattern: &AddressPattern, identity: &Identity) -> bool {
    match identity {
        Identity::External(address) => matches_address(pattern, address),
        Identity::Account(id) => matches_account(directory, pattern, *id),
        Identity::Group(id) => {
            *pattern == AddressPattern::Group(*id)
                || directory.group(*id).is_some_and(|g| matches_address(pattern, &g.address))
        }
    }
}

/// True if the pattern names the account: by id, by one of its addresses, by domain, department or group.
pub fn matches_account(directory: &Directory, pattern: &AddressPattern, id: AccountId) -> bool {
    let addresses = || {
        let own = directory.account(id).map(|a| &a.address).into_iter();
        own.chain(directory.aliases_of(id).filter(|a| a.enabled).map(|a| &a.address))
    };
    match pattern {
        AddressPattern::Account(account) => *account == id,
        AddressPattern::Group(group) => {
            directory.group(*group).is_some_and(|g| super::group::is_member(directory, g, &Identity::Account(id)))
        }
        AddressPattern::Department(scope) => directory.is_in_department(id, *scope),
        AddressPattern::Address(_) | AddressPattern::Domain(_) | AddressPattern::Subdomains(_) => {
            addresses().any(|address| matches_address(pattern, address))
        }
    }
}

/// True if the pattern names the address, or its domain.
pub fn matches_address(pattern: &AddressPattern, address: &Address) -> bool {
    match pattern {
        AddressPattern::Address(wanted) => wanted == address,
        AddressPattern::Domain(domain) => address.domain() == Some(domain),
        AddressPattern::Subdomains(above) => address.domain().is_some_and(|d| is_subdomain(d, above)),
        AddressPattern::Account(_) | AddressPattern::Group(_) | AddressPattern::Department(_) => false,
    }
}
