//! The records of which a directory is made, and their stored form: a version octet and JSON.
//!
//! `Debug` of a record never shows credentials, so that none can reach a log.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::mail::{AccountId, Address, AliasId, Domain, DomainId, Timestamp};

/// A hosted domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainRecord {
    /// Stable id.
    pub id: DomainId,
    /// Its name.
    pub name: Domain,
    /// When it was added.
    pub created: Timestamp,
}

/// Whether an account is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccountState {
    /// Receives and logs in.
    Active,
    /// Being removed: its address is taken until its mail is gone.
    Removing,
}

/// The SCRAM-SHA-256 verifier of a password (RFC 5802 §3, RFC 7677): not the password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScramVerifier {
    /// Salt, base64.
    pub salt: String,
    /// Iteration count.
    pub iterations: u32,
    /// StoredKey, base64.
    pub stored_key: String,
    /// ServerKey, base64.
    pub server_key: String,
}

impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramVerifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// An owner of addresses, credentials and mailboxes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Stable id.
    pub id: AccountId,
    /// Primary address.
    pub address: Address,
    /// In use or not.
    pub state: AccountState,
    /// Argon2id hash of the password in PHC form.
    pub password: String,
    /// For SCRAM.
    pub scram: ScramVerifier,
    /// When it was added.
    pub created: Timestamp,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("id", &self.id)
            .field("address", &self.address)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// A further address of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// Stable id.
    pub id: AliasId,
    /// The address.
    pub address: Address,
    /// Whose.
    pub account: AccountId,
}

/// The next free number of each kind of object: an id is never given twice, even after its object is gone, because
/// what was stored or logged under it must not become somebody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Counters {
    pub domain: u32,
    pub account: u32,
    pub alias: u32,
}

impl Default for Counters {
    fn default() -> Self {
        Self { domain: 1, account: 1, alias: 1 }
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
/// Kind of record: an [`Account`].
pub const ACCOUNT: u8 = b'a';
/// Kind of record: an [`Alias`].
pub const ALIAS: u8 = b'l';
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

    #[test]
    fn records_round_trip_and_other_forms_are_refused() {
        let alias = Alias {
            id: AliasId::new(7).unwrap(),
            address: Address::parse("\"a b\"@corp.test").unwrap(),
            account: AccountId::new(3).unwrap(),
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

    #[test]
    fn debug_shows_no_credentials() {
        let secret = || "SECRET".to_owned();
        let account = Account {
            id: AccountId::new(1).unwrap(),
            address: Address::parse("alice@corp.test").unwrap(),
            state: AccountState::Active,
            password: secret(),
            scram: ScramVerifier { salt: secret(), iterations: 4096, stored_key: secret(), server_key: secret() },
            created: Timestamp::from_millis(0),
        };
        assert!(!format!("{account:?} {:?}", account.scram).contains("SECRET"));
    }
}
