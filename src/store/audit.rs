//! The audit log (policy semantics §14): for each organisation a chain of records, each with the hash of the one before,
//! written in the commit of the change that it records. Nothing but age removes a record, and only from the beginning.

use std::collections::BTreeMap;

use super::engine::{Durability, Key, Keyspace, Write};
use super::record::{AuditHead, AuditRow};
use super::{Error, Reader, Store, key, record};
use crate::mail::{OrganisationId, Timestamp};

/// A record to be written.
#[derive(Clone, Debug)]
pub struct AuditEntry {
    /// Whose log.
    pub organisation: OrganisationId,
    /// The caller's.
    pub record: Vec<u8>,
}

/// A record that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audited {
    /// Its number in its organisation's log, from 1.
    pub sequence: u64,
    /// When it was written.
    pub at: Timestamp,
    /// The caller's.
    pub record: Vec<u8>,
}

/// Which records of an organisation to give, and in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditOrder {
    /// From the one after this number on.
    OldestFirst(u64),
    /// From the one before this number back; `u64::MAX` for the last.
    NewestFirst(u64),
}

/// What verification of a log has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditVerdict {
    /// Every record is as it was written; so many.
    Intact(u64),
    /// The first record that is missing or is not as it was written.
    Broken(u64),
}

impl Store {
    /// Records what is no change of the directory: a decision, an attempt refused for lack of permission. Durable.
    pub async fn audit_append(&self, entries: Vec<AuditEntry>) -> Result<(), Error> {
        let now = self.inner.clock.now();
        self.transact(reads(&entries), vec![], Durability::Synced, move |values| {
            Ok((appends(&entries, values, now)?, ()))
        })
        .await
    }

    /// Records of an organisation's log.
    pub async fn audit(
        &self,
        organisation: OrganisationId,
        order: AuditOrder,
        limit: usize,
    ) -> Result<Vec<Audited>, Error> {
        self.read(move |reader| reader.audit(organisation, order, limit)).await
    }

    /// Proves the chain of an organisation's log, from what was removed last to its end.
    pub async fn verify_audit(&self, organisation: OrganisationId) -> Result<AuditVerdict, Error> {
        self.read(move |reader| reader.verify_audit(organisation)).await
    }

    /// Removes the records of all organisations from before `before`, in bounded commits, and keeps the hash of the
    /// last one removed. The last record of a log stays. Gives how many went.
    pub async fn expire_audit(&self, before: Timestamp) -> Result<u64, Error> {
        let organisations = self
            .read(|reader| {
                let mut found = Vec::new();
                let (from, to) = key::audit_head_range();
                reader.snapshot.range(Keyspace::Log, &from, &to, &mut |key, _| {
                    found.extend(key::parse_audit_head(key));
                    true
                })?;
                Ok(found)
            })
            .await?;
        let mut expired = 0;
        for organisation in organisations {
            loop {
                let (writes, count) = self.read(move |reader| reader.expired_audit(organisation, before)).await?;
                if count == 0 {
                    break;
                }
                self.transact(vec![], writes, Durability::Synced, |_| Ok((vec![], ()))).await?;
                expired += count;
            }
        }
        Ok(expired)
    }
}

impl Reader<'_> {
    fn audit(&self, organisation: OrganisationId, order: AuditOrder, limit: usize) -> Result<Vec<Audited>, Error> {
        let mut found = Vec::new();
        let mut damaged = false;
        let mut take = |key: &[u8], value: &[u8]| {
            match key::parse_audit(key).zip(record::decode_audit(value).ok()) {
                Some((sequence, row)) if found.len() < limit => {
                    found.push(Audited { sequence, at: row.at, record: row.record });
                }
                Some(_) => {}
                None => damaged = true,
            }
            found.len() < limit && !damaged
        };
        match order {
            AuditOrder::OldestFirst(after) => {
                let (from, to) = key::audit_range(organisation, after.saturating_add(1), u64::MAX);
                self.snapshot.range(Keyspace::Log, &from, &to, &mut take)?;
            }
            AuditOrder::NewestFirst(before) => {
                let (from, to) = key::audit_range(organisation, 0, before);
                self.snapshot.range_back(Keyspace::Log, &from, &to, &mut take)?;
            }
        }
        if damaged { Err(Error::Corrupt) } else { Ok(found) }
    }

    fn verify_audit(&self, organisation: OrganisationId) -> Result<AuditVerdict, Error> {
        let base = self.audit_head(key::audit_base(organisation))?;
        let head = self.audit_head(key::audit_head(organisation))?;
        let mut chain = Chain { at: base, broken: None };
        let (from, to) = key::audit_range(organisation, 0, u64::MAX);
        self.snapshot.range(Keyspace::Log, &from, &to, &mut |key, value| {
            chain.follow(key::parse_audit(key), record::decode_audit(value).ok());
            !matches!(chain.broken, Some(Break::Certain(_)))
        })?;
        Ok(chain
            .end(head)
            .map_or(AuditVerdict::Intact(head.sequence.saturating_sub(base.sequence)), AuditVerdict::Broken))
    }

    /// The writes that remove a part of what is too old, and how many records that is.
    fn expired_audit(&self, organisation: OrganisationId, before: Timestamp) -> Result<(Vec<Write>, u64), Error> {
        let end = self.audit_head(key::audit_head(organisation))?.sequence;
        let mut base = self.audit_head(key::audit_base(organisation))?;
        let mut writes = Vec::new();
        let mut failed = None;
        let (from, to) = key::audit_range(organisation, 0, end);
        self.snapshot.range(Keyspace::Log, &from, &to, &mut |key, value| {
            let Ok(row) = record::decode_audit(value) else { return false };
            if row.at >= before || writes.len() >= BATCH {
                return false;
            }
            match base.next(row.at, &row.record) {
                Ok(next) => base = next,
                Err(error) => failed = Some(error),
            }
            writes.push(Write::delete(Keyspace::Log, key.to_vec()));
            failed.is_none()
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        let count = writes.len() as u64;
        writes.push(Write { key: key::audit_base(organisation), value: Some(record::encode_audit_head(&base)) });
        Ok((writes, count))
    }

    fn audit_head(&self, (keyspace, key): Key) -> Result<AuditHead, Error> {
        head(&self.snapshot.get(keyspace, &key)?)
    }
}

/// A walk along a log.
struct Chain {
    /// The place of the last record, as it must be.
    at: AuditHead,
    broken: Option<Break>,
}

enum Break {
    /// The record after it will tell: does it follow from what this one should be, only this one's own note of the hash
    /// before it is wrong; otherwise the record before this one has been changed.
    Open(u64),
    Certain(u64),
}

impl Chain {
    fn follow(&mut self, sequence: Option<u64>, row: Option<AuditRow>) {
        let expected = self.at.sequence.saturating_add(1);
        let row = row.filter(|_| sequence == Some(expected));
        if let Some(Break::Open(suspect)) = self.broken {
            let follows = row.is_some_and(|row| row.previous == self.at.hash);
            self.broken = Some(Break::Certain(if follows { suspect } else { suspect.saturating_sub(1) }));
            return;
        }
        let Some(row) = row else {
            self.broken = Some(Break::Certain(expected));
            return;
        };
        if row.previous != self.at.hash {
            self.broken = Some(Break::Open(expected));
        }
        match self.at.next(row.at, &row.record) {
            Ok(next) => self.at = next,
            Err(_) => self.broken = Some(Break::Certain(expected)),
        }
    }

    /// The first bad record, given the end that the log says it has.
    fn end(self, head: AuditHead) -> Option<u64> {
        match self.broken {
            Some(Break::Certain(bad)) => Some(bad),
            Some(Break::Open(suspect)) if head == self.at => Some(suspect),
            Some(Break::Open(suspect)) => Some(suspect.saturating_sub(1)),
            None if head == self.at => None,
            // Records are missing at the end, or the last one has been changed.
            None if head.sequence > self.at.sequence => Some(self.at.sequence.saturating_add(1)),
            None => Some(self.at.sequence),
        }
    }
}

/// The keys whose values [`appends`] needs.
pub(super) fn reads(entries: &[AuditEntry]) -> Vec<Key> {
    entries.iter().map(|entry| key::audit_head(entry.organisation)).collect()
}

/// The writes that append the entries, each to its organisation's log.
pub(super) fn appends(entries: &[AuditEntry], values: &[Option<Vec<u8>>], now: Timestamp) -> Result<Vec<Write>, Error> {
    let mut heads: BTreeMap<OrganisationId, AuditHead> = BTreeMap::new();
    let mut writes = Vec::with_capacity(entries.len() + 1);
    for (entry, value) in entries.iter().zip(values) {
        let place = match heads.get(&entry.organisation) {
            Some(place) => *place,
            None => head(value)?,
        };
        let next = place.next(now, &entry.record)?;
        let row = AuditRow { at: now, previous: place.hash, record: entry.record.clone() };
        let key = key::audit(entry.organisation, next.sequence);
        writes.push(Write { key, value: Some(record::encode_audit(&row)) });
        heads.insert(entry.organisation, next);
    }
    let put = |(organisation, head): (OrganisationId, AuditHead)| Write {
        key: key::audit_head(organisation),
        value: Some(record::encode_audit_head(&head)),
    };
    writes.extend(heads.into_iter().map(put));
    Ok(writes)
}

/// A log without a head is empty.
fn head(value: &Option<Vec<u8>>) -> Result<AuditHead, Error> {
    value.as_deref().map_or(Ok(AuditHead::default()), record::decode_audit_head)
}

const BATCH: usize = 1000;
