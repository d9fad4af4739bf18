//! From a forward-path to who receives it, and from a reverse-path to whose it is (policy semantics §4.2, §5).

use std::net::IpAddr;
use std::sync::Arc;

use crate::directory::{Account, AccountState, Directory, Lookup};
use crate::mail::{AccountId, Address, AddressLiteral, ForwardPath, Host, ReversePath};
use crate::policy::recipient::Destination;

/// What a forward-path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// An account here.
    Account(Arc<Account>),
    /// Hosted domain, nobody of that name.
    Unknown,
    /// Another host.
    Foreign,
}

impl Resolution {
    /// The fact that policy decides on.
    pub fn destination(&self) -> Destination {
        match self {
            Resolution::Account(_) => Destination::Account,
            Resolution::Unknown => Destination::Unknown,
            Resolution::Foreign => Destination::Foreign,
        }
    }
}

/// Resolves a forward-path. `own_address` is the address at which the client reached us: `postmaster@[it]` is ours
/// (policy semantics §4.1), every other address literal is another host's. Nothing in a local-part means anything:
/// `user%elsewhere@here` is a name to look up, not a route.
pub fn resolve(directory: &Directory, own_address: IpAddr, forward_path: &ForwardPath) -> Resolution {
    match forward_path {
        ForwardPath::Address(address) if !is_own_postmaster(address, own_address) => match directory.lookup(address) {
            Lookup::Account { account, .. } => Resolution::Account(account),
            Lookup::Unknown => Resolution::Unknown,
            Lookup::Foreign => Resolution::Foreign,
        },
        // RFC 5321 §4.5.1
        ForwardPath::Postmaster | ForwardPath::Address(_) => {
            directory.default_postmaster().map_or(Resolution::Unknown, |a| Resolution::Account(a.clone()))
        }
    }
}

/// True if the account (which may be gone since it logged in) may use this reverse-path: an address of its own, with
/// or without detail, or none.
pub fn is_own(directory: &Directory, account: AccountId, reverse_path: &ReversePath) -> bool {
    match reverse_path {
        ReversePath::Null => directory.account(account).is_some_and(|a| a.state == AccountState::Active),
        ReversePath::Address(address) => {
            matches!(directory.lookup(address), Lookup::Account { account: owner, .. } if owner.id == account)
        }
    }
}

fn is_own_postmaster(address: &Address, own_address: IpAddr) -> bool {
    matches!(address.host(), Host::Literal(AddressLiteral::Ip(ip)) if *ip == own_address)
        && address.local_part().as_str().eq_ignore_ascii_case("postmaster")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Alias;
    use crate::directory::{AccountState, Change, DomainRecord, ScramVerifier, change};
    use crate::mail::{AliasId, Domain, DomainId, Timestamp};

    const OWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn directory() -> Directory {
        let created = Timestamp::from_seconds(0);
        let account = |id, text| {
            Change::PutAccount(Account {
                id: AccountId::new(id).unwrap(),
                address: address(text),
                state: AccountState::Active,
                password: String::new(),
                scram: ScramVerifier {
                    salt: String::new(),
                    iterations: 1,
                    stored_key: String::new(),
                    server_key: String::new(),
                },
                created,
            })
        };
        let domain = DomainRecord { id: DomainId::new(1).unwrap(), name: Domain::parse("corp.test").unwrap(), created };
        let alias = Alias {
            id: AliasId::new(1).unwrap(),
            address: address("a.liu@corp.test"),
            account: AccountId::new(1).unwrap(),
        };
        [
            Change::AddDomain(domain),
            account(1, "alice@corp.test"),
            account(2, "bob@corp.test"),
            account(3, "alice+vip@corp.test"),
            Change::AddAlias(alias),
        ]
        .iter()
        .fold(Directory::default(), |directory, change| change::apply(&directory, change).unwrap().0)
    }

    #[test]
    fn lookups_of_policy_semantics() {
        let directory = directory();
        for (row, text, want) in [
            ("L01", "alice@corp.test", Ok(1)),
            ("L02", "ALICE@Corp.TEST", Ok(1)),
            ("L03", "\"alice\"@corp.test", Ok(1)),
            ("L04", "a.liu@corp.test", Ok(1)),
            ("L08", "alice+news@corp.test", Ok(1)),
            ("L09", "alice+vip@corp.test", Ok(3)),
            ("L10", "alice+@corp.test", Ok(1)),
            ("L11", "+news@corp.test", Err(Resolution::Unknown)),
            ("L12", "alice+a+b@corp.test", Ok(1)),
            ("L14", "nobody@corp.test", Err(Resolution::Unknown)),
            ("L18", "alice@mail.corp.test", Err(Resolution::Foreign)),
            ("L21", "POSTMASTER@corp.test", Ok(1)),
            ("L28", "alice%ext.test@corp.test", Err(Resolution::Unknown)),
            ("L29", "alic.e@corp.test", Err(Resolution::Unknown)),
            ("L31", "alice@[192.0.2.1]", Err(Resolution::Foreign)),
            ("bang path", "ext.test!user@corp.test", Err(Resolution::Unknown)),
            ("quoted relay", "\"user@ext.test\"@corp.test", Err(Resolution::Unknown)),
            ("postmaster at our address", "postmaster@[192.0.2.1]", Ok(1)),
            ("postmaster at another", "postmaster@[192.0.2.2]", Err(Resolution::Foreign)),
        ] {
            let path = ForwardPath::Address(address(text));
            let got = match resolve(&directory, OWN, &path) {
                Resolution::Account(account) => Ok(account.id.number()),
                other => Err(other),
            };
            assert_eq!(got, want, "{row} {text}");
        }
        let l20 = resolve(&directory, OWN, &ForwardPath::Postmaster);
        assert!(matches!(l20, Resolution::Account(_)), "L20");
    }

    #[test]
    fn reverse_paths_that_are_the_accounts_own() {
        let directory = directory();
        for (text, want) in [
            ("alice@corp.test", true),
            ("a.liu@corp.test", true),
            ("Alice+news@corp.test", true),
            ("alice+vip@corp.test", false),
            ("bob@corp.test", false),
            ("nobody@corp.test", false),
            ("alice@ext.test", false),
        ] {
            let path = ReversePath::Address(address(text));
            assert_eq!(is_own(&directory, AccountId::new(1).unwrap(), &path), want, "{text}");
        }
        assert!(is_own(&directory, AccountId::new(1).unwrap(), &ReversePath::Null));
        assert!(!is_own(&directory, AccountId::new(9).unwrap(), &ReversePath::Null), "gone");
    }
}
