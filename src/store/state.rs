//! Small durable state of the caller that changes with a delivery: who got an automatic reply, and when.

use super::engine::{Durability, Keyspace, Write};
use super::{Error, Store, key};

/// The name of a row: 1 to 64 octets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateKey(Vec<u8>);

/// A text as 32 hexadecimal digits, for a name that has to be short: the first half of its SHA-256.
pub fn short_hash(text: &str) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(text.as_bytes()).iter().take(16).map(|octet| format!("{octet:02x}")).collect()
}

impl StateKey {
    /// The row of this name, if it can have it.
    pub fn new(name: impl Into<Vec<u8>>) -> Option<Self> {
        let name = name.into();
        (1..=64).contains(&name.len()).then_some(Self(name))
    }

    /// The name.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

impl Store {
    /// The value of a row.
    pub async fn state(&self, name: StateKey) -> Result<Option<Vec<u8>>, Error> {
        let (keyspace, key) = key::state(name.octets());
        self.read(move |reader| reader.snapshot.get(keyspace, &key)).await
    }

    /// Sets a row. Durable. [`Error::Limit`] above 64 KiB.
    pub async fn put_state(&self, name: StateKey, value: Vec<u8>) -> Result<(), Error> {
        let write = put(&name, value)?;
        self.transact(vec![], vec![write], Durability::Synced, |_| Ok((vec![], ()))).await
    }

    /// Removes a row; that it is not there is no error. Durable.
    pub async fn delete_state(&self, name: StateKey) -> Result<(), Error> {
        let write = Write { key: key::state(name.octets()), value: None };
        self.transact(vec![], vec![write], Durability::Synced, |_| Ok((vec![], ()))).await
    }

    /// The rows whose name starts with `prefix`, in order of their names from the one after `after`.
    pub async fn states(
        &self,
        prefix: Vec<u8>,
        after: Option<StateKey>,
        limit: usize,
    ) -> Result<Vec<(StateKey, Vec<u8>)>, Error> {
        self.read(move |reader| {
            let (mut from, to) = key::state_range(&prefix);
            if let Some(after) = &after {
                from = from.max(key::state(&[after.octets(), &[0]].concat()).1);
            }
            let mut rows = Vec::new();
            reader.snapshot.range(Keyspace::Task, &from, &to, &mut |key, value| {
                if rows.len() < limit {
                    let name = key::parse_state(key).and_then(StateKey::new);
                    rows.extend(name.map(|name| (name, value.to_vec())));
                }
                rows.len() < limit
            })?;
            Ok(rows)
        })
        .await
    }
}

/// The write that sets a row.
pub(super) fn put(name: &StateKey, value: Vec<u8>) -> Result<Write, Error> {
    if value.len() > MAX_VALUE {
        return Err(Error::Limit);
    }
    Ok(Write { key: key::state(name.octets()), value: Some(value) })
}

const MAX_VALUE: usize = 64 << 10;
