//! Reading: one consistent snapshot, synchronous, for a thread that may block, or for a few rows in memory.

use super::engine::{Key, Keyspace, Snapshot};
use super::mailbox::CHANGES_KEPT;
use super::record::{self, ChangeRow, Usage};
use super::{Counts, Entry, Error, Folders, Mailbox, Store, key};
use crate::mail::{AccountId, BlobId, MailboxId, ModSeq, Span, Uid, UidSet};

/// One consistent view of the store. Made by [`Store::read`] and [`Store::glance`].
pub struct Reader<'a> {
    pub(super) snapshot: &'a dyn Snapshot,
}

/// What is kept for one form of an accepted message, apart from its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub blob: BlobId,
    /// Where its content is: another message's, if this is a further form of that.
    pub content: BlobId,
    /// Header fields added by the server, complete with CRLF; they stand before the content.
    pub prefix: Vec<u8>,
    /// What of the content's header this form leaves out, because its prefix has another instead.
    pub omitted: Option<Span>,
    /// Octets of the content, with what is left out and without the prefix.
    pub(super) content_size: u64,
    /// Chunks that hold the content.
    pub(super) chunks: u32,
    /// What `proto::message::Summary::encode` made; opaque to the store.
    pub summary: Vec<u8>,
}

impl Message {
    /// What stands behind the prefix.
    pub fn rest(&self) -> Rest {
        let size = self.content_size.saturating_sub(self.omitted.map_or(0, Span::size));
        Rest { content: self.content, omitted: self.omitted, size }
    }

    /// RFC822.SIZE: prefix and what stands behind it, in octets.
    pub fn size(&self) -> u64 {
        (self.prefix.len() as u64).saturating_add(self.rest().size)
    }
}

/// What a form has behind its prefix: the content, but for what the form leaves out. The places of its octets are those
/// that the form's summary and its readers know; [`Reader::rest`] reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// Under which id the content is stored.
    pub content: BlobId,
    /// What of it is left out.
    pub omitted: Option<Span>,
    /// Octets without that.
    pub size: u64,
}

/// What happened to a mailbox since a MODSEQ.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// UIDs expunged since, whether or not the asker knew them.
    pub expunged: UidSet,
    /// Entries, ascending by UID, below the asker's UIDNEXT whose flags changed since.
    pub updated: Vec<Entry>,
    /// UIDs at or above the asker's UIDNEXT, as they are now.
    pub arrived: UidSet,
    /// The mailbox now; `None` if it has been deleted.
    pub mailbox: Option<Mailbox>,
}

impl Store {
    /// Runs `f` over a consistent snapshot on a thread that may block, and gives what it returns.
    /// [`Error::Unavailable`] if the thread could not run.
    pub async fn read<T, F>(&self, f: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Reader<'_>) -> Result<T, Error> + Send + 'static,
    {
        let store = self.clone();
        tokio::task::spawn_blocking(move || store.read_blocking(f)).await.unwrap_or(Err(Error::Unavailable))
    }

    /// The same for a few rows: at once if they are in memory, because going to another thread takes longer than reading
    /// them. `f` runs again on a thread that may block if they are not.
    pub async fn glance<T, F>(&self, f: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Fn(&Reader<'_>) -> Result<T, Error> + Send + 'static,
    {
        // Many commands in a row, each answered at once, let other sessions take their turns.
        tokio::task::coop::consume_budget().await;
        let found = {
            let snapshot = self.inner.engine.snapshot_in_memory();
            f(&Reader { snapshot: &*snapshot })
        };
        match found {
            Err(Error::Unavailable) => self.read(f).await,
            found => found,
        }
    }

    /// As [`Store::read`] on the calling thread; not for the runtime's own threads.
    pub fn read_blocking<T>(&self, f: impl FnOnce(&Reader<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let snapshot = self.inner.engine.snapshot();
        f(&Reader { snapshot: &*snapshot })
    }
}

impl Reader<'_> {
    /// The account's mailboxes and subscriptions. [`Error::NotFound`] if the account has none.
    pub fn folders(&self, account: AccountId) -> Result<Folders, Error> {
        let value = self.required(&key::folders(account))?;
        Ok(record::decode_folders(&value)?.folders)
    }

    /// Counters and state of one mailbox. [`Error::NotFound`] if it does not exist.
    pub fn mailbox(&self, account: AccountId, mailbox: MailboxId) -> Result<Mailbox, Error> {
        record::decode_mailbox(mailbox, &self.required(&key::mailbox(account, mailbox))?)
    }

    /// Octets and messages of all the account's mailboxes.
    pub fn usage(&self, account: AccountId) -> Result<Usage, Error> {
        let get = |(keyspace, key): Key| self.snapshot.get(keyspace, &key);
        let others = get(key::usage(account))?.map_or(Ok(Usage::default()), |value| record::decode_usage(&value))?;
        let inbox = get(key::mailbox(account, MailboxId::INBOX))?;
        let inbox = inbox.map(|value| record::decode_mailbox(MailboxId::INBOX, &value)).transpose()?;
        let inbox = inbox.map_or(Counts::default(), |inbox| inbox.counts);
        Ok(Usage {
            octets: others.octets.saturating_add(inbox.octets),
            messages: others.messages.saturating_add(inbox.messages.into()),
        })
    }

    /// One entry. [`Error::NotFound`]
    pub fn entry(&self, account: AccountId, mailbox: MailboxId, uid: Uid) -> Result<Entry, Error> {
        let value = self.required(&key::entry(account, mailbox, uid))?;
        record::decode_entry(uid, &value)
    }

    /// All UIDs of a mailbox.
    pub fn uids(&self, account: AccountId, mailbox: MailboxId) -> Result<UidSet, Error> {
        self.uids_from(account, mailbox, Uid::MIN)
    }

    fn uids_from(&self, account: AccountId, mailbox: MailboxId, first: Uid) -> Result<UidSet, Error> {
        let mut uids = UidSet::new();
        let (from, to) = key::entry_range(account, mailbox, first, Uid::MAX);
        self.snapshot.range(Keyspace::Entry, &from, &to, &mut |key, _| {
            if let Some((_, _, uid)) = key::parse_entry(key) {
                uids.insert(uid);
            }
            true
        })?;
        Ok(uids)
    }

    /// Visits the entries with a UID in `uids`, ascending, until `visit` gives false. UIDs without an entry are
    /// passed over.
    pub fn entries(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: &UidSet,
        visit: &mut dyn FnMut(Entry) -> bool,
    ) -> Result<(), Error> {
        for (first, last) in uids.ranges() {
            let (from, to) = key::entry_range(account, mailbox, first, last);
            let mut end = Ok(true);
            self.snapshot.range(Keyspace::Entry, &from, &to, &mut |key, value| {
                end = key::parse_entry(key)
                    .ok_or(Error::Corrupt)
                    .and_then(|(_, _, uid)| record::decode_entry(uid, value))
                    .map(&mut *visit);
                end == Ok(true)
            })?;
            if !end? {
                break;
            }
        }
        Ok(())
    }

    /// The message behind an entry. [`Error::NotFound`] if it has been swept.
    pub fn message(&self, blob: BlobId) -> Result<Message, Error> {
        record::decode_message(blob, &self.required(&key::message(blob))?)
    }

    /// What happened in the mailbox since `since`, for a session that knows the UIDs below `uid_next`.
    pub fn changes(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        since: ModSeq,
        uid_next: Uid,
    ) -> Result<Changes, Error> {
        let now = match self.mailbox(account, mailbox) {
            Err(Error::NotFound) => return Ok(Changes::default()),
            now => now?,
        };
        let mut changes = Changes::default();
        if now.highest_modseq > since {
            let mut updated = UidSet::new();
            if now.highest_modseq.number() - since.number() > CHANGES_KEPT {
                changes.expunged = self.gaps(account, mailbox, now.uid_next)?;
                updated.insert_range(Uid::MIN, Uid::MAX);
            } else {
                self.read_log(account, mailbox, since, &mut updated, &mut changes.expunged)?;
            }
            self.entries(account, mailbox, &updated, &mut |entry| {
                if entry.uid < uid_next && entry.modseq > since {
                    changes.updated.push(entry);
                }
                true
            })?;
            changes.arrived = self.uids_from(account, mailbox, uid_next)?;
        }
        changes.mailbox = Some(now);
        Ok(changes)
    }

    fn read_log(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        since: ModSeq,
        updated: &mut UidSet,
        expunged: &mut UidSet,
    ) -> Result<(), Error> {
        let mut end = Ok(());
        let (from, to) = key::change_range(account, mailbox, since.number());
        self.snapshot.range(Keyspace::Change, &from, &to, &mut |_, value| {
            end = record::decode_change(value).map(|row| {
                let (set, uids) = match row {
                    ChangeRow::Flags(uids) => (&mut *updated, uids),
                    ChangeRow::Expunged(uids) => (&mut *expunged, uids),
                };
                uids.ranges().for_each(|(first, last)| set.insert_range(first, last));
            });
            end.is_ok()
        })?;
        end
    }

    /// The UIDs below `uid_next` under which there is no message.
    fn gaps(&self, account: AccountId, mailbox: MailboxId, uid_next: Uid) -> Result<UidSet, Error> {
        let mut gaps = UidSet::new();
        let mut expected = 1;
        let end = uid_next.number();
        for (first, last) in
            self.uids(account, mailbox)?.ranges().map(|(f, l)| (f.number(), l.number())).chain([(end, end)])
        {
            if let (Some(from), Some(to)) = (Uid::new(expected), Uid::new(first.saturating_sub(1))) {
                gaps.insert_range(from, to);
            }
            expected = last.saturating_add(1);
        }
        Ok(gaps)
    }

    fn required(&self, key: &Key) -> Result<Vec<u8>, Error> {
        self.snapshot.get(key.0, &key.1)?.ok_or(Error::NotFound)
    }
}
