//! The records of which a directory is made, and their stored form: a version octet and JSON. They refer to each other
//! by id; only addresses that are not hosted here stay addresses (policy semantics §1).

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use account::{
    Account, AccountKind, AccountSettings, AccountState, AdminForward, Alias, AutoReply, Credentials, Forward,
    ForwardTarget, Grant, Incoming, Right, Scope, ScramVerifier, Suspension, SuspensionCause,
};
pub use group::{DepartmentScope, Edge, Group, Listing, Members, Mode, Moderated, Moderation, Nested};
pub use lists::{BlockAction, Blocked, DomainBlockAction, DomainBlocked};
pub use organisation::{Department, DmarcHandling, DomainRecord, ExternalForward, Organisation, Relay, RelayKind};
pub use principal::{AddressPattern, SenderEntry, Target, is_subdomain};
pub use rule::{
    Action, Approvers, Condition, CopyForm, Direction, Hold, HoldOutcome, MonitorCopy, Peer, Place, Rule, RuleScope,
    Subject,
};
pub use signing::{DkimKey, DomainKeys, KeyPair, KeyState, PAIRS_PER_DOMAIN, PrivateKey};

mod account;
mod group;
mod lists;
mod organisation;
mod principal;
mod rule;
mod signing;

/// The next free number of each kind of object: an id is never given twice, even after its object is gone, because
/// what was stored or logged under it must not become somebody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Counters {
    pub organisation: u32,
    pub domain: u32,
    pub department: u32,
    pub account: u32,
    pub alias: u32,
    pub group: u32,
    pub rule: u32,
    pub relay: u32,
}

impl Default for Counters {
    fn default() -> Self {
        Self { organisation: 1, domain: 1, department: 1, account: 1, alias: 1, group: 1, rule: 1, relay: 1 }
    }
}

/// Why stored records make no directory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A version octet that this program does not know, or none.
    #[error("directory record {0} has an unknown form")]
    Version(String),
    /// Not the JSON of its kind, or the id within differs from its key.
    #[error("directory record {0} cannot be read")]
    Damaged(String),
    /// Two objects of one address or name, or an object of one that is gone.
    #[error("directory record {0} contradicts another")]
    Contradiction(String),
}

/// Kind of record: a [`DomainRecord`].
pub const DOMAIN: u8 = b'd';
/// Kind of record: [`DomainKeys`], under the id of the domain.
pub const KEYS: u8 = b'k';
/// Kind of record: an [`Account`].
pub const ACCOUNT: u8 = b'a';
/// Kind of record: an [`Alias`].
pub const ALIAS: u8 = b'l';
/// Kind of record: an [`Organisation`].
pub const ORGANISATION: u8 = b'o';
/// Kind of record: a [`Department`].
pub const DEPARTMENT: u8 = b'p';
/// Kind of record: a [`Group`].
pub const GROUP: u8 = b'g';
/// Kind of record: a [`Rule`].
pub const RULE: u8 = b'r';
/// Kind of record: a [`Relay`].
pub const RELAY: u8 = b't';
/// Kind of record: the next free ids, one record with id 0.
pub const COUNTERS: u8 = b'n';

/// The stored form of a record.
pub fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    let mut octets = vec![VERSION];
    // The records have string keys and no foreign Serialize, so that writing to memory cannot fail; an empty record
    // would be found as damaged.
    let _ = serde_json::to_writer(&mut octets, record);
    octets
}

/// A record from its stored form; `kind` and `id` name it in the error.
pub fn decode<T: DeserializeOwned>(kind: u8, id: u32, octets: &[u8]) -> Result<T, RecordError> {
    match octets.split_first() {
        Some((&VERSION, json)) => serde_json::from_slice(json).map_err(|_| RecordError::Damaged(place(kind, id))),
        _ => Err(RecordError::Version(place(kind, id))),
    }
}

/// A record's name in an error: `a/17`.
pub(super) fn place(kind: u8, id: u32) -> String {
    format!("{}/{id}", char::from(kind).escape_default())
}

const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{AccountId, Address, AliasId, Domain, RelayId};

    #[test]
    fn records_round_trip_and_other_forms_are_refused() {
        let alias = Alias {
            id: AliasId::new(7).unwrap(),
            address: Address::parse("\"a b\"@corp.test").unwrap(),
            account: AccountId::new(3).unwrap(),
            enabled: true,
        };
        let octets = encode(&alias);
        assert_eq!(decode(ALIAS, 7, &octets), Ok(alias));
        for (case, octets, want) in [
            ("empty", Vec::new(), RecordError::Version("l/7".into())),
            ("later version", [&[2u8][..], &octets[1..]].concat(), RecordError::Version("l/7".into())),
            ("cut short", octets[..octets.len() - 1].to_vec(), RecordError::Damaged("l/7".into())),
            ("another kind", encode(&Counters::default()), RecordError::Damaged("l/7".into())),
        ] {
            assert_eq!(decode::<Alias>(ALIAS, 7, &octets), Err(want), "{case}");
        }
    }

    /// A domain as it was stored before it had lists of senders.
    #[test]
    fn domains_of_before_are_read() {
        let octets = b"\x01{\"id\":7,\"name\":\"corp.test\",\"organisation\":1,\"created\":5}";
        let domain: DomainRecord = decode(DOMAIN, 7, octets).unwrap();
        assert!(domain.blocked.is_empty() && domain.allowed.is_empty());
        assert_eq!(encode(&domain), octets, "and written as before, for whoever goes back a version");
        let entry = DomainBlocked {
            sender: AddressPattern::Domain(Domain::parse("evil.test").unwrap()),
            action: DomainBlockAction::Refuse,
        };
        let listed = DomainRecord { blocked: vec![entry], ..domain };
        assert_eq!(decode(DOMAIN, 7, &encode(&listed)), Ok(listed));
    }

    /// A relay as it was stored before gateways had a name in their Received fields.
    #[test]
    fn relays_of_before_are_read() {
        let octets = b"\x01{\"id\":7,\"network\":\"192.0.2.0/24\",\"kind\":\"gateway\"}";
        let network = "192.0.2.0/24".parse().unwrap();
        let relay = Relay { id: RelayId::new(7).unwrap(), network, kind: RelayKind::Gateway, received_by: None };
        assert_eq!(decode(RELAY, 7, octets), Ok(relay.clone()));
        assert_eq!(encode(&relay), octets, "and written as before, for whoever goes back a version");
        let named = Relay { received_by: Some(Domain::parse("gw.corp.test").unwrap()), ..relay };
        assert_eq!(decode(RELAY, 7, &encode(&named)), Ok(named));
    }
}
