//! How records name senders and recipients: by id whoever is hosted here, by address everybody else
//! (policy semantics §1).

use serde::{Deserialize, Serialize};

use super::DepartmentScope;
use crate::mail::{AccountId, Address, Domain, GroupId};

/// To whom something goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// An account here.
    Account(AccountId),
    /// A group here.
    Group(GroupId),
    /// Somebody elsewhere.
    External(Address),
}

/// An entry of a whitelist or bypass list: an identity, never a claim (policy semantics §7.1, §9).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SenderEntry {
    /// The account, whichever of its addresses it uses.
    Account(AccountId),
    /// A group's members.
    Group(GroupId),
    /// Everybody in a department.
    Department(DepartmentScope),
    /// A verified address elsewhere.
    External(Address),
    /// `*@d`: verified senders of exactly this domain.
    Domain(Domain),
    /// `*@*.d`: verified senders of its subdomains.
    Subdomains(Domain),
}

/// A pattern that an address, or whoever has it, may match (policy semantics §13.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddressPattern {
    /// The account, by any of its addresses.
    Account(AccountId),
    /// The group itself as recipient, or its members as senders and recipients.
    Group(GroupId),
    /// Everybody in a department.
    Department(DepartmentScope),
    /// This address.
    Address(Address),
    /// `*@d`
    Domain(Domain),
    /// `*@*.d` and `*.d`
    Subdomains(Domain),
}

/// True if `domain` lies below `above`.
pub fn is_subdomain(domain: &Domain, above: &Domain) -> bool {
    domain.as_str().strip_suffix(above.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subdomains() {
        for (domain, above, want) in [
            ("b.top", "top", true),
            ("a.b.top", "top", true),
            ("top", "top", false),
            ("desktop", "top", false),
            ("sub.trusted.test", "trusted.test", true),
            ("nottrusted.test", "trusted.test", false),
        ] {
            let parse = |d| Domain::parse(d).unwrap();
            assert_eq!(is_subdomain(&parse(domain), &parse(above)), want, "{domain} below {above}");
        }
    }
}
