//! The keys with which a domain signs (RFC 6376, RFC 8463): pairs that come, are used and go, one of them at a time in
//! use, so that no receiver ever meets a signature whose key is not published.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::mail::{Domain, DomainId, KeyAlgorithm, Timestamp};

/// The keys of a domain. A domain without this record never had any; one whose list is empty is to have none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainKeys {
    /// The domain.
    pub id: DomainId,
    /// Pairs of keys, the oldest first.
    pub pairs: Vec<KeyPair>,
}

/// Keys that come and go together: one for each algorithm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPair {
    /// Unique in the domain, never given twice: the start of the selectors.
    pub name: String,
    /// Where it stands.
    pub state: KeyState,
    /// When it was made.
    pub created: Timestamp,
    /// Its keys.
    pub keys: Vec<DkimKey>,
}

/// Where a pair stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// To be published, not used yet. From then on it is, once the DNS has it.
    Pending(Timestamp),
    /// Used. At most one pair.
    Active,
    /// Not used any more; until then to be published for what is still on its way.
    Retired(Timestamp),
}

/// A key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DkimKey {
    /// What it signs with.
    pub algorithm: KeyAlgorithm,
    /// RFC 6376 §3.1: it is published at `selector._domainkey.domain`.
    pub selector: Domain,
    /// What is published (`p=`), base64: for RSA a SubjectPublicKeyInfo, for Ed25519 the key (RFC 8463 §3).
    pub public: String,
    /// What is not.
    pub private: PrivateKey,
}

/// A private key: PKCS#1 in DER for RSA, the seed for Ed25519. It is written to the store and nowhere else.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey(Vec<u8>);

impl PrivateKey {
    /// From its octets.
    pub fn new(octets: Vec<u8>) -> Self {
        Self(octets)
    }

    /// For who signs.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").finish_non_exhaustive()
    }
}

impl Serialize for PrivateKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for PrivateKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // Without the text, which an error would show.
        let octets = BASE64_STANDARD.decode(text).map_err(|_| serde::de::Error::custom("a key that is not base64"))?;
        Ok(Self(octets))
    }
}

impl KeyState {
    /// As it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending(_) => "pending",
            Self::Active => "active",
            Self::Retired(_) => "retired",
        }
    }
}

impl DkimKey {
    /// The text of the record to publish (RFC 6376 §3.6.1).
    pub fn record(&self) -> String {
        format!("v=DKIM1; k={}; p={}", self.algorithm.key_type(), self.public)
    }
}

impl DomainKeys {
    /// The pair in use.
    pub fn active(&self) -> Option<&KeyPair> {
        self.pairs.iter().find(|pair| pair.state == KeyState::Active)
    }

    /// The pair that waits.
    pub fn pending(&self) -> Option<&KeyPair> {
        self.pairs.iter().find(|pair| matches!(pair.state, KeyState::Pending(_)))
    }

    /// With a new pair: it waits until `due`, or is used at once if there is none in use. `None` while one waits
    /// already, or if the name was given before.
    pub fn with_new(&self, name: String, keys: Vec<DkimKey>, now: Timestamp, due: Timestamp) -> Option<Self> {
        if self.pending().is_some() || self.pairs.iter().any(|pair| pair.name == name) {
            return None;
        }
        let state = if self.active().is_some() { KeyState::Pending(due) } else { KeyState::Active };
        let mut next = self.clone();
        next.pairs.push(KeyPair { name, state, created: now, keys });
        Some(next)
    }

    /// With the waiting pair in use; the one before it is retired until `until`. `None` if none waits.
    pub fn with_pending_active(&self, until: Timestamp) -> Option<Self> {
        self.pending()?;
        let mut next = self.clone();
        for pair in &mut next.pairs {
            pair.state = match pair.state {
                KeyState::Pending(_) => KeyState::Active,
                KeyState::Active => KeyState::Retired(until),
                retired @ KeyState::Retired(_) => retired,
            };
        }
        Some(next)
    }

    /// With this pair taken out of use: what is in use is retired until `until`, what is not goes at once. `None` if
    /// there is no such pair.
    pub fn with_retired(&self, name: &str, until: Timestamp) -> Option<Self> {
        let mut next = self.clone();
        let place = next.pairs.iter().position(|pair| pair.name == name)?;
        match next.pairs.get_mut(place) {
            Some(pair) if pair.state == KeyState::Active => pair.state = KeyState::Retired(until),
            _ => drop(next.pairs.remove(place)),
        }
        Some(next)
    }

    /// Without retired pairs whose time is over; `None` if there are none.
    pub fn without_expired(&self, now: Timestamp) -> Option<Self> {
        let mut next = self.clone();
        next.pairs.retain(|pair| !matches!(pair.state, KeyState::Retired(until) if until <= now));
        (next.pairs.len() < self.pairs.len()).then_some(next)
    }
}

/// Pairs of one domain.
pub const PAIRS_PER_DOMAIN: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(algorithm: KeyAlgorithm) -> DkimKey {
        let selector = Domain::parse("p1-rsa").unwrap();
        DkimKey { algorithm, selector, public: "cHVi".to_owned(), private: PrivateKey::new(b"secret".to_vec()) }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn states(keys: &DomainKeys) -> Vec<(&str, KeyState)> {
        keys.pairs.iter().map(|pair| (pair.name.as_str(), pair.state)).collect()
    }

    #[test]
    fn a_pair_waits_is_used_and_goes() {
        use KeyState::{Active, Pending, Retired};
        let none = DomainKeys { id: DomainId::new(1).unwrap(), pairs: Vec::new() };
        let new = |keys: &DomainKeys, name: &str| keys.with_new(name.to_owned(), vec![], at(0), at(10));
        assert_eq!(none.with_pending_active(at(0)), None);
        let first = new(&none, "a").unwrap();
        assert_eq!(states(&first), [("a", Active)], "nothing else could sign");
        let second = new(&first, "b").unwrap();
        assert_eq!(states(&second), [("a", Active), ("b", Pending(at(10)))]);
        assert_eq!(new(&second, "c"), None, "one waits already");
        let third = second.with_pending_active(at(20)).unwrap();
        assert_eq!(states(&third), [("a", Retired(at(20))), ("b", Active)]);
        assert_eq!(new(&third, "a"), None, "a selector is never another key's");
        assert_eq!(third.without_expired(at(19)), None);
        assert_eq!(states(&third.without_expired(at(20)).unwrap()), [("b", Active)]);
        assert_eq!(states(&third.with_retired("b", at(30)).unwrap()), [("a", Retired(at(20))), ("b", Retired(at(30)))]);
        assert_eq!(states(&third.with_retired("a", at(30)).unwrap()), [("b", Active)]);
        assert_eq!(states(&second.with_retired("b", at(30)).unwrap()), [("a", Active)]);
        assert_eq!(third.with_retired("z", at(30)), None);
    }

    #[test]
    fn a_private_key_is_stored_and_not_shown() {
        let key = key(KeyAlgorithm::Rsa);
        assert!(!format!("{key:?}").contains("secret") && !format!("{key:?}").contains("115"), "{key:?}");
        let stored = serde_json::to_string(&key).unwrap();
        assert!(stored.contains("c2VjcmV0"), "{stored}");
        assert_eq!(serde_json::from_str::<DkimKey>(&stored).unwrap(), key);
        let damaged = serde_json::from_str::<DkimKey>(&stored.replace("c2VjcmV0", "c2Vjc!!")).unwrap_err();
        assert!(!damaged.to_string().contains("c2Vjc"), "{damaged}");
        assert_eq!(key.record(), "v=DKIM1; k=rsa; p=cHVi");
    }
}
