//! Putting a message into mailboxes, within a transaction: entries, counters, usage and delivery keys.

use super::engine::{Key, Write};
use super::mailbox::Editor;
use super::record::{DeliveryRow, DeliveryState, Shape};
use super::{Entry, Error, Placed, Target, WhenFull, key, record};
use crate::mail::{AccountId, BlobId, Timestamp, Uid};

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
        let mut reads = Vec::with_capacity(self.targets.len() * self.width());
        for target in &self.targets {
            reads.push(key::mailbox(target.account, target.mailbox));
            reads.push(key::usage(target.account));
            if self.is_read() {
                reads.push(key::delivery(target.account, self.transaction, target.origin));
            }
        }
        reads
    }

    /// How many those are.
    pub fn reads_count(&self) -> usize {
        self.targets.len() * self.width()
    }

    /// Serves all targets. Where keys are checked a target that cannot be served leaves the others alone, otherwise
    /// it is the end of all.
    pub fn place(&self, values: &[Option<Vec<u8>>]) -> Result<Outcome, Error> {
        let mut outcome = Outcome {
            writes: Vec::with_capacity(self.targets.len() * 4),
            placed: Vec::with_capacity(self.targets.len()),
            uses: vec![0; self.shapes.len()],
            full: Vec::new(),
        };
        let mut desk = Desk::default();
        for (target, values) in self.targets.iter().zip(values.chunks_exact(self.width())) {
            let [mailbox, usage, key @ ..] = values else { return Err(Error::Corrupt) };
            if self.is_served(key)? {
                continue;
            }
            let put = self.put(target, &mut desk, &mut outcome, (mailbox, usage));
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
                let key = key::delivery(target.account, self.transaction, target.origin);
                outcome.writes.push(Write { key, value: Some(record::encode_delivery(&row)) });
            }
        }
        desk.close(&mut outcome.writes);
        Ok(outcome)
    }

    fn put(
        &self,
        target: &Target,
        desk: &mut Desk,
        outcome: &mut Outcome,
        (mailbox, usage): (&Option<Vec<u8>>, &Option<Vec<u8>>),
    ) -> Result<Placed, Error> {
        let (Some(shape), Some(uses)) = (self.shapes.get(target.form), outcome.uses.get_mut(target.form)) else {
            return Err(Error::Corrupt);
        };
        let editor = desk.open(target, mailbox, usage, &mut outcome.writes)?;
        let takes_quota = target.origin == super::Origin::Ordinary;
        if takes_quota && target.quota.is_some_and(|quota| editor.used().saturating_add(shape.size) > quota) {
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

    fn is_served(&self, key: &[Option<Vec<u8>>]) -> Result<bool, Error> {
        let Some(Some(value)) = key.first() else { return Ok(false) };
        if self.keys == Keys::Claimed {
            return Err(Error::Exists);
        }
        Ok(self.keys == Keys::Checked || record::decode_delivery(value)?.state != DeliveryState::Full)
    }

    fn is_read(&self) -> bool {
        self.is_checked() || self.keys == Keys::Claimed
    }

    fn is_checked(&self) -> bool {
        matches!(self.keys, Keys::Checked | Keys::Retried)
    }

    fn width(&self) -> usize {
        if self.is_read() { 3 } else { 2 }
    }
}

/// The mailbox being worked on. Several targets in a row may be one account's: what was read of its usage is true for
/// the first of them only.
#[derive(Default)]
struct Desk {
    editor: Option<Editor>,
    usage: Option<(AccountId, Vec<u8>)>,
}

impl Desk {
    fn open(
        &mut self,
        target: &Target,
        mailbox: &Option<Vec<u8>>,
        usage: &Option<Vec<u8>>,
        writes: &mut Vec<Write>,
    ) -> Result<&mut Editor, Error> {
        if !self.editor.as_ref().is_some_and(|open| open.is_of(target.account, target.mailbox)) {
            self.close(writes);
            let current = self.usage.take().filter(|(account, _)| *account == target.account);
            let editor = match &current {
                Some((_, usage)) => Editor::open(target.account, target.mailbox, mailbox, Some(usage)),
                None => Editor::open(target.account, target.mailbox, mailbox, usage.as_deref()),
            };
            self.usage = current;
            self.editor = Some(editor?);
        }
        self.editor.as_mut().ok_or(Error::Corrupt)
    }

    fn close(&mut self, writes: &mut Vec<Write>) {
        if let Some(editor) = self.editor.take() {
            self.usage = Some((editor.account(), editor.usage_value()));
            writes.append(&mut editor.finish());
        }
    }
}
