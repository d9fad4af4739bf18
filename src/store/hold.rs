//! Messages that wait for somebody's decision: moderation, rule approval, quarantine (policy semantics §9). A held
//! message holds one reference on its form until its decision has been carried out, and counts against its
//! organisation's limit as long; what was decided is kept for 30 days more.

use std::collections::BTreeMap;

use super::engine::{Durability, Keyspace, Write};
use super::key::HoldDue;
use super::{AuditEntry, Continuation, Error, Reader, RuleSetId, Store, audit, key, record, required};
use crate::mail::{BlobId, HoldId, OrganisationId, Timestamp};

/// What a held message waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum HoldKind {
    /// The moderators of a group.
    Moderation = b'm',
    /// The approver that a mail rule names.
    Approval = b'a',
    /// Whoever looks after the quarantine.
    Quarantine = b'q',
}

impl HoldKind {
    /// All of them.
    pub const ALL: [HoldKind; 3] = [HoldKind::Moderation, HoldKind::Approval, HoldKind::Quarantine];

    /// The kind with this number.
    pub fn from_number(n: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == n)
    }
}

/// A part of a delivery that is to be held.
#[derive(Clone, Debug)]
pub struct NewHold {
    /// Which of the delivery's forms.
    pub form: usize,
    /// Whose limit it counts against.
    pub organisation: OrganisationId,
    /// What it waits for.
    pub kind: HoldKind,
    /// When it is too late to decide.
    pub expires: Option<Timestamp>,
    /// The caller's: envelope, group or rule, recipients. At most 1 MiB.
    pub data: Vec<u8>,
    /// The octets that the organisation may hold; `None` is unlimited.
    pub limit: Option<u64>,
}

/// A held message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its id.
    pub id: HoldId,
    /// Whose limit it counts against.
    pub organisation: OrganisationId,
    /// What it waits for.
    pub kind: HoldKind,
    /// The form of the message.
    pub blob: BlobId,
    /// The message as accepted.
    pub transaction: BlobId,
    /// Whether it is decided.
    pub state: HoldState,
    /// Since when it is held.
    pub created: Timestamp,
    /// When it is too late to decide.
    pub expires: Option<Timestamp>,
    /// Octets of the form.
    pub size: u64,
    /// The caller's.
    pub data: Vec<u8>,
    /// The mail rules at its acceptance: kept for as long as its decision has not been carried out. None in messages
    /// that were held before rules were kept.
    pub rules: Vec<RuleSetId>,
}

impl Held {
    /// Its decision has been carried out: it refers to no content any more.
    pub fn is_finished(&self) -> bool {
        matches!(&self.state, HoldState::Decided(decision) if decision.finished.is_some())
    }
}

/// How far a held message has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldState {
    /// Nobody has decided.
    Pending,
    /// Somebody has.
    Decided(Decision),
}

/// A decision on a held message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Let it through.
    pub accepted: bool,
    /// Who decided, as the caller names them.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What they said.
    pub text: String,
    /// When it had been carried out.
    pub finished: Option<Timestamp>,
}

impl Store {
    /// An organisation's held messages of one kind, decided or not, in order of their ids from the one after `after`.
    pub async fn held(
        &self,
        organisation: OrganisationId,
        kind: HoldKind,
        after: Option<HoldId>,
        limit: usize,
    ) -> Result<Vec<Held>, Error> {
        let range = key::hold_listed_range(organisation, kind, after);
        self.read(move |reader| reader.holds(range, limit)).await
    }

    /// One held message. [`Error::NotFound`]
    pub async fn held_by_id(&self, id: HoldId) -> Result<Held, Error> {
        self.read(move |reader| reader.hold(id)).await
    }

    /// Octets that an organisation holds.
    pub async fn held_octets(&self, organisation: OrganisationId) -> Result<u64, Error> {
        let (keyspace, key) = key::hold_usage(organisation);
        self.read(move |reader| octets(&reader.snapshot.get(keyspace, &key)?)).await
    }

    /// Those that nobody has decided in time, at most `limit`.
    pub async fn expired_holds(&self, now: Timestamp, limit: usize) -> Result<Vec<Held>, Error> {
        let range = key::hold_due_range(HoldDue::Expires, now);
        self.read(move |reader| reader.holds(range, limit)).await
    }

    /// Those that are decided and not carried out, oldest decision first: after a restart, what is still to be done.
    pub async fn decided_holds(&self, limit: usize) -> Result<Vec<Held>, Error> {
        let range = key::hold_due_range(HoldDue::Decided, Timestamp::from_millis(i64::MAX));
        self.read(move |reader| reader.holds(range, limit)).await
    }

    /// Records a decision, and `audit` in the same commit; the first one wins. Durable. [`Error::Exists`] if it is
    /// decided already, [`Error::NotFound`].
    pub async fn decide(&self, id: HoldId, decision: Decision, audit: Vec<AuditEntry>) -> Result<Held, Error> {
        let now = self.inner.clock.now();
        let mut reads = vec![key::hold(id)];
        reads.extend(audit::reads(&audit));
        self.transact(reads, vec![], Durability::Synced, move |values| {
            let [row, heads @ ..] = values else { return Err(Error::Corrupt) };
            let mut held = record::decode_hold(id, required(row)?)?;
            if held.state != HoldState::Pending {
                return Err(Error::Exists);
            }
            held.state = HoldState::Decided(decision.clone());
            let mut writes = vec![
                Write { key: key::hold(id), value: Some(record::encode_hold(&held)) },
                Write { key: key::hold_due(HoldDue::Decided, decision.at, id), value: Some(vec![]) },
            ];
            writes.extend(held.expires.map(|at| Write { key: key::hold_due(HoldDue::Expires, at, id), value: None }));
            writes.append(&mut audit::appends(&audit, heads, now)?);
            Ok((writes, held))
        })
        .await
    }

    /// Says that a decision has been carried out without a delivery: the message lets go of its content. Nothing
    /// happens if that has been said already. Durable. [`Error::Conflict`] if it is not decided.
    pub async fn finish_hold(&self, id: HoldId) -> Result<(), Error> {
        let held = self.held_by_id(id).await?;
        if held.is_finished() {
            return Ok(());
        }
        let nothing = Continuation::new(held.transaction, self.inner.clock.now());
        match self.deliver_more(Continuation { finish: Some(id), ..nothing }).await {
            // Said by somebody else meanwhile.
            Err(Error::Exists) => Ok(()),
            finished => finished.map(drop),
        }
    }

    /// Forgets what was carried out 30 days ago.
    pub(super) async fn forget_holds(&self) -> Result<(), Error> {
        let now = self.inner.clock.now();
        loop {
            let range = key::hold_due_range(HoldDue::Forgotten, now);
            let old = self
                .read(move |reader| {
                    let mut writes = Vec::new();
                    for (row, id) in reader.hold_rows(range, BATCH)? {
                        writes.push(Write::delete(Keyspace::Queue, row));
                        if let Ok(held) = reader.hold(id) {
                            let listed = key::hold_listed(held.organisation, held.kind, id);
                            writes.push(Write { key: listed, value: None });
                        }
                        writes.push(Write { key: key::hold(id), value: None });
                    }
                    Ok(writes)
                })
                .await?;
            if old.is_empty() {
                return Ok(());
            }
            self.transact(vec![], old, Durability::Buffered, |_| Ok((vec![], ()))).await?;
        }
    }
}

impl Reader<'_> {
    fn hold(&self, id: HoldId) -> Result<Held, Error> {
        let (keyspace, key) = key::hold(id);
        record::decode_hold(id, required(&self.snapshot.get(keyspace, &key)?)?)
    }

    fn holds(&self, range: (Vec<u8>, Vec<u8>), limit: usize) -> Result<Vec<Held>, Error> {
        self.hold_rows(range, limit)?.into_iter().map(|(_, id)| self.hold(id)).collect()
    }

    /// The rows of an index, and what they name.
    fn hold_rows(&self, (from, to): (Vec<u8>, Vec<u8>), limit: usize) -> Result<Vec<(Vec<u8>, HoldId)>, Error> {
        let mut rows = Vec::new();
        self.snapshot.range(Keyspace::Queue, &from, &to, &mut |key, _| {
            if rows.len() < limit {
                rows.extend(key::parse_hold_index(key).map(|id| (key.to_vec(), id)));
            }
            rows.len() < limit
        })?;
        Ok(rows)
    }
}

/// The writes that put a new held message where it belongs.
pub(super) fn puts(held: &Held) -> Vec<Write> {
    let mut writes = vec![
        Write { key: key::hold(held.id), value: Some(record::encode_hold(held)) },
        Write { key: key::hold_listed(held.organisation, held.kind, held.id), value: Some(vec![]) },
    ];
    let expires = |at| Write { key: key::hold_due(HoldDue::Expires, at, held.id), value: Some(vec![]) };
    writes.extend(held.expires.map(expires));
    writes
}

/// The writes that record that a decision has been carried out. [`Error::Exists`] if it has been before,
/// [`Error::Conflict`] if there is none.
pub(super) fn finish(id: HoldId, row: &Option<Vec<u8>>, now: Timestamp) -> Result<Vec<Write>, Error> {
    let mut held = record::decode_hold(id, required(row)?)?;
    let HoldState::Decided(decision) = &mut held.state else { return Err(Error::Conflict) };
    if decision.finished.replace(now).is_some() {
        return Err(Error::Exists);
    }
    let decided = decision.at;
    Ok(vec![
        Write { key: key::hold(id), value: Some(record::encode_hold(&held)) },
        Write { key: key::hold_due(HoldDue::Decided, decided, id), value: None },
        Write { key: key::hold_due(HoldDue::Forgotten, forget_at(now), id), value: Some(vec![]) },
    ])
}

/// What a new held message adds to its organisation's octets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Charge {
    pub organisation: OrganisationId,
    pub octets: u64,
    pub limit: Option<u64>,
}

/// Octets of organisations being changed within a transaction.
#[derive(Default)]
pub(super) struct Totals {
    octets: BTreeMap<OrganisationId, u64>,
}

impl Totals {
    fn total(&mut self, organisation: OrganisationId, value: &Option<Vec<u8>>) -> Result<&mut u64, Error> {
        use std::collections::btree_map::Entry::{Occupied, Vacant};
        match self.octets.entry(organisation) {
            Occupied(total) => Ok(total.into_mut()),
            Vacant(place) => Ok(place.insert(octets(value)?)),
        }
    }

    /// Adds what is held; [`Error::HoldFull`] if that is too much.
    pub fn charge(&mut self, charge: &Charge, value: &Option<Vec<u8>>) -> Result<(), Error> {
        let total = self.total(charge.organisation, value)?;
        *total = total.saturating_add(charge.octets);
        if charge.limit.is_some_and(|limit| *total > limit) {
            return Err(Error::HoldFull);
        }
        Ok(())
    }

    /// Takes off what is held no longer.
    pub fn release(&mut self, held: &Held, value: &Option<Vec<u8>>) -> Result<(), Error> {
        let total = self.total(held.organisation, value)?;
        *total = total.saturating_sub(held.size);
        Ok(())
    }

    pub fn writes(self) -> Vec<Write> {
        let put = |(organisation, octets)| Write {
            key: key::hold_usage(organisation),
            value: Some(record::encode_number(octets)),
        };
        self.octets.into_iter().map(put).collect()
    }
}

fn octets(value: &Option<Vec<u8>>) -> Result<u64, Error> {
    value.as_deref().map_or(Ok(0), record::decode_number)
}

fn forget_at(now: Timestamp) -> Timestamp {
    Timestamp::from_millis(now.millis().saturating_add(30 * 24 * 3600 * 1000))
}

/// Octets of the caller's data in one held message.
pub(super) const MAX_DATA: usize = 1 << 20;

const BATCH: usize = 1000;
