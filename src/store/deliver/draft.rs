//! A commit being drawn up: what a delivery asks for, checked against the limits and turned into writes.

use super::super::engine::Write;
use super::super::fan_out::{self, SliceKey};
use super::super::placement::{Keys, Placement};
use super::super::posting::Posting;
use super::super::record::Shape;
use super::super::rule_set::Counting;
use super::super::{
    Error, FollowUp, FollowUpKey, Held, HoldState, NewFollowUp, NewHold, NewQueueItem, QueueItem, QueueKind, RuleSet,
    RuleSetId, StateKey, Store, follow_up, hold, key, queue, record, state,
};
use super::{Target, WhenFull};
use crate::mail::{BlobId, HoldId, ReversePath, Timestamp};

/// A commit being drawn up.
pub(super) struct Draft {
    base: BlobId,
    shapes: Vec<Shape>,
    now: Timestamp,
    /// The writes that depend on nothing stored.
    pub(super) writes: Vec<Write>,
    /// For each form, how often they refer to it.
    uses: Vec<u32>,
    /// The targets that this commit serves, and how many it leaves to slices.
    pub(super) now_to: Vec<Target>,
    pub(super) pending: usize,
    pub(super) queued: Vec<QueueItem>,
    pub(super) held: Vec<HoldId>,
    charges: Vec<hold::Charge>,
    rules: Counting,
    pub(super) follow_ups: Vec<FollowUp>,
}

impl Draft {
    pub(super) fn new(base: BlobId, shapes: Vec<Shape>, now: Timestamp) -> Self {
        Self {
            base,
            uses: vec![0; shapes.len()],
            shapes,
            now,
            writes: Vec::new(),
            now_to: Vec::new(),
            pending: 0,
            queued: Vec::new(),
            held: Vec::new(),
            charges: Vec::new(),
            rules: Counting::default(),
            follow_ups: Vec::new(),
        }
    }

    pub(super) fn targets(
        &mut self,
        store: &Store,
        mut targets: Vec<Target>,
        keys: Keys,
        (internal_date, reverse_path): (Timestamp, &ReversePath),
    ) -> Result<(), Error> {
        let known = targets.iter().all(|target| target.form < self.shapes.len());
        if self.shapes.is_empty() || self.shapes.len() > MAX_FORMS || targets.len() > MAX_TARGETS || !known {
            return Err(Error::Limit);
        }
        targets.sort_by_key(|target| (target.account, target.mailbox, target.origin));
        if keys != Keys::None {
            // A second write under a delivery key is none (policy semantics §19).
            let mut seen = (None, Vec::new());
            targets.retain(|target| {
                if seen.0.replace(target.account) != Some(target.account) {
                    seen.1.clear();
                }
                let is_first = !seen.1.contains(&target.origin);
                seen.1.push(target.origin);
                is_first
            });
        }
        let later = targets.split_off(targets.len().min(fan_out::SLICE));
        self.pending = later.len();
        for slice in later.chunks(fan_out::SLICE) {
            let slice = fan_out::slice(slice, &self.shapes, internal_date, reverse_path.clone());
            for (uses, shape) in self.uses.iter_mut().zip(&self.shapes) {
                *uses += u32::from(slice.shapes.contains(shape));
            }
            let key = key::slice(SliceKey { transaction: self.base, id: store.inner.blob_ids.next(self.now) });
            self.writes.push(Write { key, value: Some(record::encode_slice(&slice)) });
        }
        self.now_to = targets;
        Ok(())
    }

    pub(super) fn queue(&mut self, store: &Store, items: Vec<NewQueueItem>) -> Result<(), Error> {
        if items.len() > MAX_QUEUE_ITEMS {
            return Err(Error::Limit);
        }
        for new in items {
            let item = QueueItem {
                id: store.inner.blob_ids.next_queue(self.now),
                blob: self.refer(new.form)?,
                transaction: self.base,
                kind: QueueKind::Remote(new.remote),
                reverse_path: new.reverse_path,
                created: self.now,
                due: self.now,
                attempts: 0,
                last: None,
                held: None,
                is_announced: false,
            };
            self.writes.extend(queue::puts(&item));
            self.queued.push(item);
        }
        Ok(())
    }

    pub(super) fn holds(&mut self, store: &Store, holds: Vec<NewHold>, rules: Vec<RuleSet>) -> Result<(), Error> {
        if holds.len() > MAX_HOLDS || holds.iter().any(|hold| hold.data.len() > hold::MAX_DATA) {
            return Err(Error::Limit);
        }
        let names: Vec<RuleSetId> = rules.iter().map(RuleSet::id).collect();
        self.rules = Counting {
            added: rules,
            holds: u32::try_from(holds.len()).map_err(|_| Error::Limit)?,
            dropped: Vec::new(),
        };
        for new in holds {
            let size = self.shapes.get(new.form).map_or(0, |shape| shape.size);
            let held = Held {
                id: store.inner.blob_ids.next_hold(self.now),
                organisation: new.organisation,
                kind: new.kind,
                blob: self.refer(new.form)?,
                transaction: self.base,
                state: HoldState::Pending,
                created: self.now,
                expires: new.expires,
                size,
                data: new.data,
                rules: names.clone(),
            };
            self.held.push(held.id);
            self.charges.push(hold::Charge { organisation: new.organisation, octets: size, limit: new.limit });
            self.writes.extend(hold::puts(&held));
        }
        Ok(())
    }

    pub(super) fn follow_ups(&mut self, store: &Store, new: Vec<NewFollowUp>) -> Result<(), Error> {
        if new.len() > MAX_FOLLOW_UPS || new.iter().any(|row| row.data.len() > follow_up::MAX_DATA) {
            return Err(Error::Limit);
        }
        for new in new {
            let hold = match new.hold {
                Some(place) => Some(*self.held.get(place).ok_or(Error::Limit)?),
                None => None,
            };
            let key = FollowUpKey { transaction: self.base, id: store.inner.blob_ids.next(self.now) };
            let row = FollowUp { key, blob: self.refer(new.form)?, hold, created: self.now, data: new.data };
            self.writes.push(follow_up::put(&row));
            self.follow_ups.push(row);
        }
        Ok(())
    }

    pub(super) fn extra(&mut self, extra: Vec<(StateKey, Vec<u8>)>) -> Result<(), Error> {
        for (name, value) in extra {
            self.writes.push(state::put(&name, value)?);
        }
        Ok(())
    }

    /// Counts one reference to a form.
    fn refer(&mut self, form: usize) -> Result<BlobId, Error> {
        let uses = self.uses.get_mut(form).ok_or(Error::Limit)?;
        *uses = uses.checked_add(1).ok_or(Error::Limit)?;
        Ok(self.shapes.get(form).ok_or(Error::Limit)?.blob)
    }

    pub(super) fn is_referred_to(&self) -> bool {
        !self.now_to.is_empty() || self.uses.iter().any(|uses| *uses > 0)
    }

    pub(super) fn placement(&mut self, internal_date: Timestamp, keys: Keys, when_full: WhenFull) -> Placement {
        Placement {
            transaction: self.base,
            shapes: std::mem::take(&mut self.shapes),
            targets: std::mem::take(&mut self.now_to),
            internal_date,
            keys,
            when_full,
        }
    }

    pub(super) fn posting(&mut self, store: &Store, placement: Placement, reverse_path: ReversePath) -> Posting {
        Posting {
            placement,
            forms: Vec::new(),
            uses: std::mem::take(&mut self.uses),
            charges: std::mem::take(&mut self.charges),
            dropped: Vec::new(),
            guard: None,
            unchanged: Vec::new(),
            at_least: Vec::new(),
            finish: None,
            rules: std::mem::take(&mut self.rules),
            reverse_path,
            now: self.now,
            ids: store.inner.blob_ids.clone(),
        }
    }
}

const MAX_FORMS: usize = 1000;
/// As many as an expansion may give (policy semantics §23).
const MAX_TARGETS: usize = 100_000;
const MAX_QUEUE_ITEMS: usize = 10_000;
const MAX_HOLDS: usize = 1000;
const MAX_FOLLOW_UPS: usize = 10_000;
