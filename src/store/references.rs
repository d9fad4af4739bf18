//! Reference counts being changed within a transaction; one message may be meant several times.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::engine::Write;
use super::{Error, key, record};
use crate::mail::{BlobId, Timestamp};

/// The counts as they will be.
#[derive(Default)]
pub(super) struct References {
    counts: BTreeMap<BlobId, u32>,
}

impl References {
    /// Takes the stored count, unless it is known already.
    pub fn read(&mut self, blob: BlobId, value: &Option<Vec<u8>>) -> Result<(), Error> {
        if let Entry::Vacant(place) = self.counts.entry(blob) {
            place.insert(record::decode_count(value.as_deref().ok_or(Error::NotFound)?)?);
        }
        Ok(())
    }

    /// Counts `n` more. What was not read begins at 0: a new message.
    pub fn add(&mut self, blob: BlobId, n: u32) -> Result<(), Error> {
        let count = self.counts.entry(blob).or_default();
        *count = count.checked_add(n).ok_or(Error::Limit)?;
        Ok(())
    }

    /// Counts one less.
    pub fn subtract(&mut self, blob: BlobId) -> Result<(), Error> {
        let count = self.counts.get_mut(&blob).ok_or(Error::Corrupt)?;
        *count = count.checked_sub(1).ok_or(Error::Corrupt)?;
        Ok(())
    }

    /// What nothing refers to any more waits for the sweep.
    pub fn writes(self, now: Timestamp) -> Vec<Write> {
        let mut writes = Vec::with_capacity(self.counts.len());
        for (blob, count) in self.counts {
            if count == 0 {
                writes.push(Write { key: key::reference(blob), value: None });
                writes.push(Write { key: key::garbage(now, blob), value: Some(vec![]) });
            } else {
                writes.push(Write { key: key::reference(blob), value: Some(record::encode_count(count)) });
            }
        }
        writes
    }
}
