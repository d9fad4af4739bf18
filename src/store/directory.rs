//! The directory's records: opaque values under kind and id, changed all together under one version.

use super::engine::{Durability, Keyspace, Write};
use super::{AuditEntry, Error, Store, audit, key, record};

/// A change of one directory record.
#[derive(Clone, Debug)]
pub struct DirectoryWrite {
    /// The kind of record, 1 to 254: see `directory::record`.
    pub kind: u8,
    /// Its number within the kind.
    pub id: u32,
    /// The new value, or `None` to remove it.
    pub value: Option<Vec<u8>>,
}

/// A stored directory record: kind, number within the kind, value.
pub type DirectoryRecord = (u8, u32, Vec<u8>);

impl Store {
    /// Every record as (kind, id, value), with the directory's version. For the start: blocks.
    pub fn load_directory(&self) -> Result<(u64, Vec<DirectoryRecord>), Error> {
        self.read_blocking(|reader| {
            let (keyspace, key) = key::directory_version();
            let version = reader.snapshot.get(keyspace, &key)?;
            let version = version.map_or(Ok(0), |value| record::decode_number(&value))?;
            let mut records = Vec::new();
            let (from, to) = key::directory_range();
            reader.snapshot.range(Keyspace::Directory, &from, &to, &mut |key, value| {
                records.extend(key::parse_directory(key).map(|(kind, id)| (kind, id, value.to_vec())));
                true
            })?;
            Ok((version, records))
        })
    }

    /// Applies the writes if the directory is still at `version`, and makes it `version + 1`. `audit` is recorded in
    /// the same commit, each entry in its organisation's log. Durable. [`Error::Conflict`] if somebody else changed it.
    pub async fn change_directory(
        &self,
        version: u64,
        writes: Vec<DirectoryWrite>,
        audit: Vec<AuditEntry>,
    ) -> Result<(), Error> {
        let next = version.checked_add(1).ok_or(Error::Limit)?;
        let now = self.inner.clock.now();
        let mut reads = vec![key::directory_version()];
        reads.extend(audit::reads(&audit));
        self.transact(reads, vec![], Durability::Synced, move |values| {
            let [current, heads @ ..] = values else { return Err(Error::Corrupt) };
            if current.as_deref().map_or(Ok(0), record::decode_number)? != version {
                return Err(Error::Conflict);
            }
            let mut all = audit::appends(&audit, heads, now)?;
            all.extend(writes.iter().map(|w| Write { key: key::directory(w.kind, w.id), value: w.value.clone() }));
            all.push(Write { key: key::directory_version(), value: Some(record::encode_number(next)) });
            Ok((all, ()))
        })
        .await
    }
}
