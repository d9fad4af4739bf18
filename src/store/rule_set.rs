//! The mail rules of an organisation as they were when a message was held (policy semantics §13.5). Many held messages
//! share one: it is found by its hash, counted by the messages that are not finished, and goes with the last of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::engine::{Key, Write};
use super::{Error, Store, key, record, required};

/// Names a rule set: half of the SHA-256 of its octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleSetId([u8; 16]);

/// A rule set in the caller's form. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSet {
    id: RuleSetId,
    octets: Arc<[u8]>,
}

impl RuleSetId {
    /// From its stored octets.
    pub const fn from_octets(octets: [u8; 16]) -> Self {
        Self(octets)
    }

    /// The octets.
    pub const fn octets(&self) -> &[u8; 16] {
        &self.0
    }
}

impl RuleSet {
    /// The rule set of these octets.
    pub fn new(octets: Vec<u8>) -> Self {
        let mut id = [0; 16];
        for (place, octet) in id.iter_mut().zip(Sha256::digest(&octets)) {
            *place = octet;
        }
        Self { id: RuleSetId(id), octets: octets.into() }
    }

    /// Its name.
    pub fn id(&self) -> RuleSetId {
        self.id
    }

    /// The octets.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }
}

impl Store {
    /// A rule set to which an unfinished held message refers. [`Error::NotFound`]
    pub async fn rule_set(&self, id: RuleSetId) -> Result<RuleSet, Error> {
        let (keyspace, key) = key::rule_set(id);
        let octets =
            self.read(move |reader| required(&reader.snapshot.get(keyspace, &key)?).map(<[u8]>::to_vec)).await?;
        Ok(RuleSet { id, octets: octets.into() })
    }
}

/// How a commit changes the counts of rule sets.
#[derive(Default)]
pub(super) struct Counting {
    /// To which its new held messages refer, …
    pub added: Vec<RuleSet>,
    /// … and how many those are.
    pub holds: u32,
    /// To which those refer that it finishes.
    pub dropped: Vec<RuleSetId>,
}

impl Counting {
    /// The keys whose values [`Counting::writes`] needs.
    pub fn reads(&self) -> Vec<Key> {
        self.ids().into_iter().map(key::rule_set_count).collect()
    }

    fn ids(&self) -> BTreeSet<RuleSetId> {
        let added = self.added.iter().filter(|_| self.holds > 0).map(RuleSet::id);
        added.chain(self.dropped.iter().copied()).collect()
    }

    /// The counts as they will be; what nobody refers to any more goes.
    pub fn writes(&self, values: &[Option<Vec<u8>>]) -> Result<Vec<Write>, Error> {
        let mut writes = Vec::new();
        for (id, value) in self.ids().into_iter().zip(values) {
            let stored = value.as_deref().map_or(Ok(0), record::decode_count)?;
            let set = self.added.iter().find(|set| set.id == id);
            let dropped = self.dropped.iter().filter(|dropped| **dropped == id).count();
            let dropped = u32::try_from(dropped).map_err(|_| Error::Limit)?;
            let more = if set.is_some() { self.holds } else { 0 };
            let count = stored.checked_add(more).ok_or(Error::Limit)?.checked_sub(dropped).ok_or(Error::Corrupt)?;
            let count_value = (count > 0).then(|| record::encode_count(count));
            writes.push(Write { key: key::rule_set_count(id), value: count_value });
            match (set, stored, count) {
                (_, _, 0) => writes.push(Write { key: key::rule_set(id), value: None }),
                (Some(set), 0, _) => {
                    writes.push(Write { key: key::rule_set(id), value: Some(set.octets.to_vec()) });
                }
                _ => {}
            }
        }
        Ok(writes)
    }
}
