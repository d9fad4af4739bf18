//! Putting a message into mailboxes, within a transaction: entries, counters, usage and delivery keys.

use std::collections::HashMap;

use super::engine::{Key, Write};
use super::mailbox::Editor;
use super::record::{DeliveryRow, DeliveryState, Shape};
use super::{Entry, Error, Placed, Target, WhenFull, key, record};
use crate::mail::{AccountId, BlobId, MailboxId, Timestamp, Uid};

/// What is to be put where.
pub(super) struct Placement {
    /// The message that the delivery keys name.
    pub transaction: BlobId,
    /// The forms.
    pub shapes: Vec<Shape>,
    /// At most 1,000, in order of account and mailbox.
    pub targets: Vec<Target>,
    pub internal_date: Timestamp,
    pub keys: Keys,
    pub when_full: WhenFull,
}

/// What is done with delivery keys (policy semantics §19).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Keys {
    /// None are kept.
    None,
    /// Written; a new transaction cannot have any yet.
    Written,
    /// Read, and what has one is passed over.
    Checked,
    /// The same, but for those that say that there was no room.
    Retried,
    /// Read, and one that is there is the end of all: a message made for one target alone, which has it already.
    Claimed,
}

/// What came of it.
#[derive(Default)]
pub(super) struct Outcome {
    pub writes: Vec<Write>,
    pub placed: Vec<Placed>,
    /// For each form, how many entries have it.
    pub uses: Vec<u32>,
    /// Who had no room.
    pub full: Vec<Target>,
}

impl Placement {
    /// The keys whose values [`Placement::place`] needs.
    pub fn reads(&self) -> Vec<Key> {
        let mut reads = Vec::with_capacity(self.targets.len() * 2);
        for target in &self.targets {
            let needs = self.needs(target);
            reads.push(key::mailbox(target.account, target.mailbox));
            reads.extend(needs.usage.then(|| key::usage(target.account)));
            reads.extend(needs.inbox.then(|| key::mailbox(target.account, MailboxId::INBOX)));
            reads.extend(needs.key.then(|| key::delivery(target.account, self.transaction, target.origin)));
        }
        reads.extend(self.is_read().then(|| key::delivery_list(self.transaction)));
        reads
    }

    /// How many those are.
    pub fn reads_count(&self) -> usize {
        let of_targets: usize = self.targets.iter().map(|target| self.needs(target).count()).sum();
        of_targets + usize::from(self.is_read())
    }

    /// What is read for a target beside its mailbox.
    fn needs(&self, target: &Target) -> Needs {
        let is_inbox = target.mailbox == MailboxId::INBOX;
        let is_limited = limit(target).is_some();
        Needs { usage: is_limited || !is_inbox, inbox: is_limited && !is_inbox, key: self.is_read() }
    }

    /// Serves all targets. Where keys are checked a target that cannot be served leaves the others alone, otherwise
    /// it is the end of all.
    pub fn place(&self, values: &[Option<Vec<u8>>]) -> Result<Outcome, Error> {
        let mut outcome = Outcome {
            writes: Vec::new(),
            placed: Vec::with_capacity(self.targets.len()),
            uses: vec![0; self.shapes.len()],
            full: Vec::new(),
        };
        let mut desk = Desk::for_targets(self.targets.len());
        let listed = match values.last() {
            Some(Some(list)) if self.is_read() => record::decode_delivery_list(list)?,
            _ => HashMap::new(),
        };
        let mut list = Vec::new();
        let mut values = values.iter();
        for target in &self.targets {
            let read = Read::take(self.needs(target), &mut values)?;
            if self.is_served(match read.key {
                Some(value) => Some(record::decode_delivery(value)?),
                None => listed.get(&(target.account, target.origin)).copied(),
            })? {
                continue;
            }
            let put = self.put(target, &mut desk, &mut outcome, &read);
            let (state, uid) = match put {
                Ok(placed) => {
                    outcome.placed.push(placed);
                    (DeliveryState::Delivered, Some(placed.uid))
                }
                Err(Error::OverQuota) if self.when_full == WhenFull::Queue => {
                    outcome.full.push(target.clone());
                    (DeliveryState::Full, None)
                }
                Err(Error::NotFound) if self.is_checked() => (DeliveryState::Gone, None),
                Err(error @ (Error::Limit | Error::Corrupt)) if self.is_checked() => {
                    tracing::error!(
                        account = %target.account, mailbox = %target.mailbox, message = %self.transaction, %error,
                        "mailbox cannot take a message"
                    );
                    (DeliveryState::Failed, None)
                }
                Err(error) => return Err(error),
            };
            if self.keys != Keys::None && target.origin != super::Origin::Approval {
                let row = DeliveryRow { state, mailbox: target.mailbox, uid, via: target.via };
                if self.is_listed() {
                    list.push((target.account, target.origin, row));
                    continue;
                }
                let key = key::delivery(target.account, self.transaction, target.origin);
                outcome.writes.push(Write { key, value: Some(record::encode_delivery(&row)) });
            }
        }
        outcome.writes.append(&mut desk.finish());
        if !list.is_empty() {
            let value = Some(record::encode_delivery_list(&list));
            outcome.writes.push(Write { key: key::delivery_list(self.transaction), value });
        }
        Ok(outcome)
    }

    fn put(&self, target: &Target, desk: &mut Desk, outcome: &mut Outcome, read: &Read<'_>) -> Result<Placed, Error> {
        let (Some(shape), Some(uses)) = (self.shapes.get(target.form), outcome.uses.get_mut(target.form)) else {
            return Err(Error::Corrupt);
        };
        let editor = desk.open(target, read)?;
        if limit(target).is_some_and(|quota| editor.used().saturating_add(shape.size) > quota) {
            return Err(Error::OverQuota);
        }
        let modseq = editor.next_modseq()?;
        let uid = editor.add(Entry {
            uid: Uid::MIN,
            blob: shape.blob,
            flags: target.flags.clone(),
            modseq,
            internal_date: self.internal_date,
            size: shape.size,
            origin: target.origin,
            opened: false,
        })?;
        *uses += 1;
        let uid_validity = editor.mailbox.uid_validity;
        Ok(Placed { account: target.account, mailbox: target.mailbox, uid_validity, uid, modseq })
    }

    fn is_served(&self, row: Option<DeliveryRow>) -> Result<bool, Error> {
        let Some(row) = row else { return Ok(false) };
        if self.keys == Keys::Claimed {
            return Err(Error::Exists);
        }
        Ok(self.keys == Keys::Checked || row.state != DeliveryState::Full)
    }

    /// One row tells of all deliveries, where they are many and the first of their message.
    fn is_listed(&self) -> bool {
        self.keys == Keys::Written && self.targets.len() >= LISTED
    }

    fn is_read(&self) -> bool {
        self.is_checked() || self.keys == Keys::Claimed
    }

    fn is_checked(&self) -> bool {
        matches!(self.keys, Keys::Checked | Keys::Retried)
    }
}

/// From so many deliveries on they are listed in one row, because a row for each is a quarter of what a delivery to a
/// thousand costs (8.1 µs of CPU a copy became 6.0). Below it they are found by account without reading lists.
const LISTED: usize = 250;

/// The octets that count for a target's copy: a monitor's, and what shows a held message, look at no quota.
fn limit(target: &Target) -> Option<u64> {
    target.quota.filter(|_| target.origin == super::Origin::Ordinary)
}

/// Which rows are read for a target beside its mailbox.
#[derive(Clone, Copy)]
struct Needs {
    usage: bool,
    inbox: bool,
    key: bool,
}

impl Needs {
    fn count(self) -> usize {
        1 + usize::from(self.usage) + usize::from(self.inbox) + usize::from(self.key)
    }
}

/// The rows read for a target.
struct Read<'a> {
    mailbox: &'a Option<Vec<u8>>,
    usage: Option<&'a [u8]>,
    inbox: Option<&'a Option<Vec<u8>>>,
    key: Option<&'a [u8]>,
}

impl<'a> Read<'a> {
    fn take(needs: Needs, values: &mut impl Iterator<Item = &'a Option<Vec<u8>>>) -> Result<Self, Error> {
        let mailbox = values.next().ok_or(Error::Corrupt)?;
        let mut next = |needed: bool| if needed { values.next() } else { None };
        let (usage, inbox, key) = (next(needs.usage), next(needs.inbox), next(needs.key));
        let octets = |value: Option<&'a Option<Vec<u8>>>| value.and_then(|value| value.as_deref());
        Ok(Self { mailbox, usage: octets(usage), inbox, key: octets(key) })
    }
}

/// The mailbox being worked on. Several targets in a row may be one account's: what was read of its usage is true for
/// the first of them only.
struct Desk {
    editor: Option<Editor>,
    changed: Option<Changed>,
    /// What editors, now closed, have written.
    writes: Vec<Write>,
    /// Rows of the mailbox keyspace: behind all entries, so that the two memtables do not take turns.
    rows: Vec<Write>,
}

/// What editors of an account, now closed, have made of what was read.
struct Changed {
    account: AccountId,
    usage: Option<Vec<u8>>,
    inbox: Option<u64>,
}

impl Desk {
    fn for_targets(count: usize) -> Self {
        let (writes, rows) = (Vec::with_capacity(count), Vec::with_capacity(count));
        Self { editor: None, changed: None, writes, rows }
    }

    fn open(&mut self, target: &Target, read: &Read<'_>) -> Result<&mut Editor, Error> {
        if !self.editor.as_ref().is_some_and(|open| open.is_of(target.account, target.mailbox)) {
            self.close();
            let changed = self.changed.as_ref().filter(|changed| changed.account == target.account);
            let usage = changed.and_then(|changed| changed.usage.as_deref()).or(read.usage);
            let mut editor = Editor::open(target.account, target.mailbox, read.mailbox, usage)?;
            match (changed.and_then(|changed| changed.inbox), read.inbox) {
                (Some(octets), _) => editor.beside(octets),
                (None, Some(inbox)) => editor.beside_inbox(inbox)?,
                (None, None) => {}
            }
            self.editor = Some(editor.behind(std::mem::take(&mut self.writes)));
        }
        self.editor.as_mut().ok_or(Error::Corrupt)
    }

    fn close(&mut self) {
        if let Some(editor) = self.editor.take() {
            let account = editor.account();
            let known = self.changed.take().filter(|changed| changed.account == account);
            let mut changed = known.unwrap_or(Changed { account, usage: None, inbox: None });
            match editor.is_inbox() {
                true => changed.inbox = Some(editor.mailbox.counts.octets),
                false => changed.usage = Some(editor.usage_value()),
            }
            self.changed = Some(changed);
            self.writes = editor.finish_apart(&mut self.rows);
        }
    }

    fn finish(mut self) -> Vec<Write> {
        self.close();
        self.writes.append(&mut self.rows);
        self.writes
    }
}
