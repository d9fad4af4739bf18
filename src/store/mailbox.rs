//! Mailboxes and their entries: flags, COPY, MOVE, EXPUNGE.

use super::engine::{Durability, Key, Write};
use super::record::{ChangeRow, Usage};
use super::references::References;
use super::{Error, Origin, Store, key, record, required};
use crate::mail::{
    AccountId, BlobId, Flags, Keyword, MailboxId, ModSeq, SystemFlag, Timestamp, Uid, UidSet, UidValidity,
};

/// A message as its mailbox knows it: which content, since when, with which flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key within the mailbox.
    pub uid: Uid,
    /// The message: the form of it that this mailbox has.
    pub blob: BlobId,
    /// System flags and keywords.
    pub flags: Flags,
    /// Of the last change of this entry.
    pub modseq: ModSeq,
    /// INTERNALDATE.
    pub internal_date: Timestamp,
    /// RFC822.SIZE in octets.
    pub size: u64,
    /// Whose copy it is; stays with it through COPY and MOVE.
    pub origin: Origin,
    /// Of a monitor's copy: its first look is recorded, or is none that needs to be. Likewise stays with it.
    pub opened: bool,
}

/// Message counts of a mailbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// EXISTS.
    pub messages: u32,
    /// Without `\Seen`.
    pub unseen: u32,
    /// Sum of RFC822.SIZE, in octets.
    pub octets: u64,
}

/// A mailbox's own record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// Its id within the account.
    pub id: MailboxId,
    /// UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// UIDNEXT.
    pub uid_next: Uid,
    /// HIGHESTMODSEQ.
    pub highest_modseq: ModSeq,
    /// The first UID that no session has been told of: messages from here on are `\Recent` to the one that claims them.
    pub first_recent: Uid,
    /// Counts.
    pub counts: Counts,
    /// Every keyword that a message of this mailbox has had, in order of appearance; at most 1,000.
    pub keywords: Vec<Keyword>,
}

impl Mailbox {
    /// A mailbox that has never held a message.
    pub(super) fn new(id: MailboxId, uid_validity: UidValidity) -> Self {
        Self {
            id,
            uid_validity,
            uid_next: Uid::MIN,
            highest_modseq: ModSeq::MIN,
            first_recent: Uid::MIN,
            counts: Counts::default(),
            keywords: Vec::new(),
        }
    }
}

/// What STORE does with the flags it names (RFC 3501 §6.4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagChange {
    /// `FLAGS`
    Replace,
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
}

/// A request to change flags.
#[derive(Clone, Debug)]
pub struct FlagUpdate {
    /// How.
    pub change: FlagChange,
    /// Which flags.
    pub flags: Flags,
}

impl FlagUpdate {
    fn apply(&self, flags: &Flags) -> Flags {
        let mut flags = flags.clone();
        match self.change {
            FlagChange::Replace => flags = self.flags.clone(),
            FlagChange::Add => flags.add(&self.flags),
            FlagChange::Remove => flags.remove(&self.flags),
        }
        flags
    }
}

/// The outcome of [`Store::update_flags`].
#[derive(Clone, Debug, Default)]
pub struct Updated {
    /// The entries as they are now, ascending; also those on which nothing had to change.
    pub entries: Vec<Entry>,
    /// HIGHESTMODSEQ after the change, if anything changed.
    pub modseq: Option<ModSeq>,
}

/// The outcome of a COPY or MOVE (RFC 4315 COPYUID).
#[derive(Clone, Debug)]
pub struct Copied {
    /// Of the target.
    pub uid_validity: UidValidity,
    /// Source and target UID of each message, in order. UIDs that no longer existed are left out.
    pub pairs: Vec<(Uid, Uid)>,
}

/// Whether messages stay in the mailbox they are copied from. If they do, the account stores more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Stays { quota: Option<u64> },
    Goes,
}

impl Store {
    /// Takes the recent messages of the mailbox for one session (RFC 3501 §2.3.2): gives the UID from which on they
    /// are recent, and moves it to UIDNEXT. Not durable.
    pub async fn claim_recent(&self, account: AccountId, mailbox: MailboxId) -> Result<Uid, Error> {
        let reads = vec![key::mailbox(account, mailbox)];
        self.transact(reads, vec![], Durability::Buffered, move |values| {
            let mut record = record::decode_mailbox(mailbox, required(&values[0])?)?;
            let first = record.first_recent;
            if first == record.uid_next {
                return Ok((vec![], first));
            }
            record.first_recent = record.uid_next;
            let value = Some(record::encode_mailbox(&record));
            Ok((vec![Write { key: key::mailbox(account, mailbox), value }], first))
        })
        .await
    }

    /// Changes flags of the messages in `uids`; those that do not exist are passed over. Slices of 1,000 messages
    /// commit one after the other. Durable. [`Error::Limit`] if the mailbox would get more keywords than it may.
    pub async fn update_flags(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: UidSet,
        update: FlagUpdate,
    ) -> Result<Updated, Error> {
        let present = self.present(account, mailbox, uids).await?;
        let mut updated = Updated::default();
        for slice in present.chunks(SLICE) {
            let part = self.update_slice(account, mailbox, slice, update.clone()).await?;
            updated.entries.extend(part.entries);
            updated.modseq = part.modseq.or(updated.modseq);
        }
        Ok(updated)
    }

    async fn update_slice(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        slice: &[Entry],
        update: FlagUpdate,
    ) -> Result<Updated, Error> {
        let uids: Vec<Uid> = slice.iter().map(|e| e.uid).collect();
        let mut reads = vec![key::mailbox(account, mailbox)];
        reads.extend(uids.iter().map(|uid| key::entry(account, mailbox, *uid)));
        let updated = self
            .transact(reads, vec![], Durability::Synced, move |values| {
                let mut editor = Editor::open(account, mailbox, &values[0], None)?;
                let mut updated = Updated::default();
                let mut changed = UidSet::new();
                for (uid, value) in uids.iter().zip(&values[1..]) {
                    let Some(value) = value else { continue };
                    let mut entry = record::decode_entry(*uid, value)?;
                    let flags = update.apply(&entry.flags);
                    if flags != entry.flags {
                        let modseq = match updated.modseq {
                            Some(modseq) => modseq,
                            None => editor.next_modseq()?,
                        };
                        updated.modseq = Some(modseq);
                        entry.modseq = modseq;
                        editor.replace_flags(&mut entry, flags)?;
                        changed.insert(*uid);
                    }
                    updated.entries.push(entry);
                }
                if updated.modseq.is_none() {
                    return Ok((vec![], updated));
                }
                editor.log(ChangeRow::Flags(changed));
                Ok((editor.finish(), updated))
            })
            .await?;
        if updated.modseq.is_some() {
            self.publish([(account, mailbox)]);
        }
        Ok(updated)
    }

    /// Copies messages to another (or the same) mailbox of the account, with flags and INTERNALDATE: all or none
    /// (RFC 3501 §6.4.7), so all in one commit. Durable. [`Error::NotFound`] if a mailbox does not exist,
    /// [`Error::OverQuota`] if the account would store more than `quota` octets, [`Error::Limit`] for more than 100,000
    /// messages.
    pub async fn copy(
        &self,
        account: AccountId,
        from: MailboxId,
        uids: UidSet,
        to: MailboxId,
        quota: Option<u64>,
    ) -> Result<Copied, Error> {
        let present = self.present(account, from, uids).await?;
        if present.len() > MAX_COPY {
            return Err(Error::Limit);
        }
        self.transfer(account, from, &present, to, Source::Stays { quota }).await
    }

    /// Moves messages (RFC 6851): each is in exactly one of the mailboxes at any time. Durable. To the mailbox they are
    /// in, they get new UIDs.
    pub async fn move_messages(
        &self,
        account: AccountId,
        from: MailboxId,
        uids: UidSet,
        to: MailboxId,
    ) -> Result<Copied, Error> {
        let present = self.present(account, from, uids).await?;
        let mut slices = present.chunks(SLICE);
        let mut moved = self.transfer(account, from, slices.next().unwrap_or_default(), to, Source::Goes).await?;
        for slice in slices {
            moved.pairs.extend(self.transfer(account, from, slice, to, Source::Goes).await?.pairs);
        }
        Ok(moved)
    }

    async fn transfer(
        &self,
        account: AccountId,
        from: MailboxId,
        present: &[Entry],
        to: MailboxId,
        source: Source,
    ) -> Result<Copied, Error> {
        let known: Vec<(Uid, BlobId)> = present.iter().map(|e| (e.uid, e.blob)).collect();
        let now = self.inner.clock.now();
        let mailbox = |id| key::mailbox(account, id);
        let mut reads = vec![key::usage(account), mailbox(MailboxId::INBOX), mailbox(from), mailbox(to)];
        for (uid, blob) in &known {
            reads.extend([key::entry(account, from, *uid), key::reference(*blob)]);
        }
        let copied = self
            .transact(reads, vec![], Durability::Synced, move |values| {
                let [usage, inbox, from_value, to_value, messages @ ..] = values else { return Err(Error::Corrupt) };
                required(from_value)?;
                let mut target = Editor::open(account, to, to_value, usage.as_deref())?;
                target.beside_inbox(inbox)?;
                let uid_validity = target.mailbox.uid_validity;
                let mut present = Vec::with_capacity(known.len());
                let mut counts = References::default();
                for ((uid, blob), values) in known.iter().zip(messages.chunks_exact(2)) {
                    if let Some(value) = &values[0] {
                        present.push(record::decode_entry(*uid, value)?);
                        counts.read(*blob, &values[1]).map_err(|_| Error::Corrupt)?;
                        counts.add(*blob, 1)?;
                    }
                }
                let mut pairs = Vec::with_capacity(present.len());
                if present.is_empty() {
                    return Ok((vec![], Copied { uid_validity, pairs }));
                }
                let modseq = target.next_modseq()?;
                let mut gone = UidSet::new();
                for entry in &present {
                    pairs.push((entry.uid, target.add(Entry { modseq, ..entry.clone() })?));
                    gone.insert(entry.uid);
                }
                let mut writes = Vec::new();
                if let Source::Stays { quota } = source {
                    if quota.is_some_and(|quota| target.used() > quota) {
                        return Err(Error::OverQuota);
                    }
                    writes.append(&mut target.finish());
                    writes.append(&mut counts.writes(now));
                } else if from == to {
                    present.iter().for_each(|entry| target.remove(entry));
                    target.log(ChangeRow::Expunged(gone));
                    writes.append(&mut target.finish());
                } else {
                    let usage = target.usage_value();
                    writes.append(&mut target.finish());
                    let mut left = Editor::open(account, from, from_value, Some(&usage))?;
                    left.next_modseq()?;
                    present.iter().for_each(|entry| left.remove(entry));
                    left.log(ChangeRow::Expunged(gone));
                    writes.append(&mut left.finish());
                }
                Ok((writes, Copied { uid_validity, pairs }))
            })
            .await?;
        self.publish([(account, to), (account, from)]);
        Ok(copied)
    }

    /// Expunges the messages in `uids` that have `\Deleted` when the commit runs; gives their UIDs. Durable.
    pub async fn expunge(&self, account: AccountId, mailbox: MailboxId, uids: UidSet) -> Result<UidSet, Error> {
        let mut present = self.present(account, mailbox, uids).await?;
        present.retain(|e| e.flags.contains(SystemFlag::Deleted));
        let mut expunged = UidSet::new();
        for slice in present.chunks(SLICE) {
            let only = |entry: &Entry| entry.flags.contains(SystemFlag::Deleted);
            let gone = self.remove_slice(account, mailbox, slice, only).await?;
            gone.iter().for_each(|uid| expunged.insert(uid));
        }
        Ok(expunged)
    }

    /// Removes those of `slice` that still exist and pass `only`, with their references; gives their UIDs.
    async fn remove_slice(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        slice: &[Entry],
        only: fn(&Entry) -> bool,
    ) -> Result<UidSet, Error> {
        let known: Vec<(Uid, BlobId)> = slice.iter().map(|e| (e.uid, e.blob)).collect();
        let mut reads = vec![key::mailbox(account, mailbox), key::usage(account)];
        for (uid, blob) in &known {
            reads.extend([key::entry(account, mailbox, *uid), key::reference(*blob)]);
        }
        let now = self.inner.clock.now();
        let gone = self
            .transact(reads, vec![], Durability::Synced, move |values| {
                let mut editor = Editor::open(account, mailbox, &values[0], values[1].as_deref())?;
                let mut gone = UidSet::new();
                let mut counts = References::default();
                for ((uid, blob), values) in known.iter().zip(values[2..].chunks_exact(2)) {
                    let Some(value) = &values[0] else { continue };
                    let entry = record::decode_entry(*uid, value)?;
                    if only(&entry) {
                        editor.remove(&entry);
                        counts.read(*blob, &values[1]).map_err(|_| Error::Corrupt)?;
                        counts.subtract(*blob)?;
                        gone.insert(*uid);
                    }
                }
                if gone.is_empty() {
                    return Ok((vec![], gone));
                }
                editor.next_modseq()?;
                editor.log(ChangeRow::Expunged(gone.clone()));
                let mut writes = editor.finish();
                writes.append(&mut counts.writes(now));
                Ok((writes, gone))
            })
            .await?;
        if !gone.is_empty() {
            self.publish([(account, mailbox)]);
        }
        Ok(gone)
    }

    /// The entries that exist now among `uids`.
    async fn present(&self, account: AccountId, mailbox: MailboxId, uids: UidSet) -> Result<Vec<Entry>, Error> {
        self.read(move |reader| {
            let mut entries = Vec::new();
            reader.entries(account, mailbox, &uids, &mut |entry| {
                entries.push(entry);
                true
            })?;
            Ok(entries)
        })
        .await
    }
}

/// A mailbox being changed within a transaction: collects the writes that keep entries, counters and usage in step.
pub(super) struct Editor {
    account: AccountId,
    pub(super) mailbox: Mailbox,
    /// By all mailboxes but INBOX.
    usage: Usage,
    /// The same as it was read.
    stored: Usage,
    /// Octets in INBOX, if this is another one and somebody asks.
    inbox: u64,
    writes: Vec<Write>,
}

impl Editor {
    /// From the values of [`key::mailbox`] and [`key::usage`]; the latter is needed where messages come into or go from
    /// another mailbox than INBOX, and for [`Editor::used`]. [`Error::NotFound`] if the mailbox does not exist.
    pub(super) fn open(
        account: AccountId,
        mailbox: MailboxId,
        mailbox_value: &Option<Vec<u8>>,
        usage_value: Option<&[u8]>,
    ) -> Result<Self, Error> {
        let mailbox = record::decode_mailbox(mailbox, required(mailbox_value)?)?;
        let usage = usage_value.map_or(Ok(Usage::default()), record::decode_usage)?;
        Ok(Self { account, mailbox, usage, stored: usage, inbox: 0, writes: Vec::new() })
    }

    /// Takes what INBOX holds from its own record, for [`Editor::used`] of another mailbox.
    pub(super) fn beside_inbox(&mut self, inbox_value: &Option<Vec<u8>>) -> Result<(), Error> {
        let inbox = inbox_value.as_ref().map(|value| record::decode_mailbox(MailboxId::INBOX, value)).transpose()?;
        self.inbox = inbox.map_or(0, |inbox| inbox.counts.octets);
        Ok(())
    }

    /// The same from another editor of this commit.
    pub(super) fn beside(&mut self, inbox: u64) {
        self.inbox = inbox;
    }

    /// The mailbox is INBOX.
    pub(super) fn is_inbox(&self) -> bool {
        self.mailbox.id == MailboxId::INBOX
    }

    /// Whether this is the mailbox.
    pub(super) fn is_of(&self, account: AccountId, mailbox: MailboxId) -> bool {
        self.account == account && self.mailbox.id == mailbox
    }

    /// Whose mailbox it is.
    pub(super) fn account(&self) -> AccountId {
        self.account
    }

    /// Octets that the account stores.
    pub(super) fn used(&self) -> u64 {
        let inbox = if self.is_inbox() { self.mailbox.counts.octets } else { self.inbox };
        self.usage.octets.saturating_add(inbox)
    }

    /// Moves HIGHESTMODSEQ on. The row that falls out of the change log goes with it, so that the log stays bounded.
    pub(super) fn next_modseq(&mut self) -> Result<ModSeq, Error> {
        let next = self.mailbox.highest_modseq.next().ok_or(Error::Limit)?;
        self.mailbox.highest_modseq = next;
        if let Some(old) = next.number().checked_sub(CHANGES_KEPT).and_then(ModSeq::new) {
            self.writes.push(Write { key: self.change_key(old), value: None });
        }
        Ok(next)
    }

    /// Adds an entry under the next UID, which replaces the one it has.
    pub(super) fn add(&mut self, mut entry: Entry) -> Result<Uid, Error> {
        entry.uid = self.mailbox.uid_next;
        self.mailbox.uid_next = entry.uid.next().ok_or(Error::Limit)?;
        self.learn_keywords(&entry.flags.keywords)?;
        self.mailbox.counts.messages += 1;
        self.mailbox.counts.unseen += u32::from(!entry.flags.contains(SystemFlag::Seen));
        self.mailbox.counts.octets += entry.size;
        if !self.is_inbox() {
            self.usage.messages += 1;
            self.usage.octets += entry.size;
        }
        self.put(&entry);
        Ok(entry.uid)
    }

    /// Takes an entry out. Counters that would fall below zero stay there; the check reports them.
    pub(super) fn remove(&mut self, entry: &Entry) {
        let counts = &mut self.mailbox.counts;
        counts.messages = counts.messages.saturating_sub(1);
        counts.unseen = counts.unseen.saturating_sub(u32::from(!entry.flags.contains(SystemFlag::Seen)));
        counts.octets = counts.octets.saturating_sub(entry.size);
        if !self.is_inbox() {
            self.usage.messages = self.usage.messages.saturating_sub(1);
            self.usage.octets = self.usage.octets.saturating_sub(entry.size);
        }
        self.writes.push(Write { key: key::entry(self.account, self.mailbox.id, entry.uid), value: None });
    }

    fn replace_flags(&mut self, entry: &mut Entry, flags: Flags) -> Result<(), Error> {
        self.learn_keywords(&flags.keywords)?;
        let unseen = |flags: &Flags| u32::from(!flags.contains(SystemFlag::Seen));
        let counts = &mut self.mailbox.counts;
        counts.unseen = (counts.unseen + unseen(&flags)).saturating_sub(unseen(&entry.flags));
        entry.flags = flags;
        self.put(entry);
        Ok(())
    }

    /// Writes a row of the change log under the current HIGHESTMODSEQ.
    pub(super) fn log(&mut self, row: ChangeRow) {
        let key = self.change_key(self.mailbox.highest_modseq);
        self.writes.push(Write { key, value: Some(record::encode_change(&row)) });
    }

    /// The usage record as it is now.
    pub(super) fn usage_value(&self) -> Vec<u8> {
        record::encode_usage(self.usage)
    }

    /// For an editor that has written nothing yet: goes on behind these writes.
    pub(super) fn behind(self, writes: Vec<Write>) -> Self {
        Self { writes, ..self }
    }

    /// All writes, with the mailbox's own record, and the usage if it has changed.
    pub(super) fn finish(self) -> Vec<Write> {
        let mut rows = Vec::new();
        let mut writes = self.finish_apart(&mut rows);
        writes.append(&mut rows);
        writes
    }

    /// The same, but the mailbox's own record and the usage are put into `rows`.
    pub(super) fn finish_apart(self, rows: &mut Vec<Write>) -> Vec<Write> {
        let value = Some(record::encode_mailbox(&self.mailbox));
        rows.push(Write { key: key::mailbox(self.account, self.mailbox.id), value });
        if self.usage != self.stored {
            rows.push(Write { key: key::usage(self.account), value: Some(self.usage_value()) });
        }
        self.writes
    }

    fn put(&mut self, entry: &Entry) {
        let key = key::entry(self.account, self.mailbox.id, entry.uid);
        self.writes.push(Write { key, value: Some(record::encode_entry(entry)) });
    }

    fn change_key(&self, modseq: ModSeq) -> Key {
        key::change(self.account, self.mailbox.id, modseq)
    }

    fn learn_keywords(&mut self, keywords: &[Keyword]) -> Result<(), Error> {
        for keyword in keywords {
            if !self.mailbox.keywords.contains(keyword) {
                if self.mailbox.keywords.len() >= MAX_KEYWORDS {
                    return Err(Error::Limit);
                }
                self.mailbox.keywords.push(keyword.clone());
            }
        }
        Ok(())
    }
}

impl Store {
    /// Removes every message of a mailbox that may no longer be listed, in slices.
    pub(super) async fn remove_all(&self, account: AccountId, mailbox: MailboxId) -> Result<(), Error> {
        loop {
            let slice = self
                .read(move |reader| {
                    let mut slice = Vec::new();
                    let mut all = UidSet::new();
                    all.insert_range(Uid::MIN, Uid::MAX);
                    reader.entries(account, mailbox, &all, &mut |entry| {
                        slice.push(entry);
                        slice.len() < SLICE
                    })?;
                    Ok(slice)
                })
                .await?;
            if slice.is_empty() {
                return Ok(());
            }
            self.remove_slice(account, mailbox, &slice, |_| true).await?;
        }
    }
}

/// Messages changed in one commit.
const SLICE: usize = 1000;

/// Messages copied in one commit.
const MAX_COPY: usize = 100_000;

/// How many changes back the change log reaches; a session further behind compares all UIDs.
pub(super) const CHANGES_KEPT: u64 = 50_000;

const MAX_KEYWORDS: usize = 1000;
