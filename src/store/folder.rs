//! The mailboxes of an account by name: CREATE, DELETE, RENAME, SUBSCRIBE.

use super::engine::{Durability, Write};
use super::record::{self, FolderList};
use super::{Error, Mailbox, Store, key, purge, required};
use crate::mail::{AccountId, MailboxId, MailboxName, SpecialUse, Timestamp, Uid, UidSet, UidValidity};

/// One mailbox in an account's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Stable id.
    pub id: MailboxId,
    /// Its name.
    pub name: MailboxName,
    /// UIDVALIDITY; unique among all mailboxes the account ever had, so a name used again gets another.
    pub uid_validity: UidValidity,
    /// Special use (RFC 6154).
    pub special_use: Option<SpecialUse>,
}

/// All mailboxes of an account and its subscriptions, both sorted by name with INBOX first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folders {
    /// The mailboxes.
    pub folders: Vec<Folder>,
    /// Subscribed names, whether or not a mailbox of that name exists (RFC 3501 §6.3.6).
    pub subscribed: Vec<MailboxName>,
}

impl Folders {
    /// The mailbox of this name.
    pub fn find(&self, name: &MailboxName) -> Option<&Folder> {
        self.folders.iter().find(|f| f.name == *name)
    }
}

impl Store {
    /// Makes INBOX and the default folders of a new account, all subscribed. Nothing happens if they exist. Durable.
    pub async fn create_account_folders(&self, account: AccountId) -> Result<(), Error> {
        let now = self.inner.clock.now();
        self.transact(vec![key::folders(account)], vec![], Durability::Synced, move |values| {
            if values[0].is_some() {
                return Ok((vec![], ()));
            }
            let mut list = FolderList::default();
            let mut writes = Vec::new();
            let defaults = SpecialUse::ALL.map(|u| (u.folder(), Some(u)));
            for (name, special_use) in [("INBOX", None)].into_iter().chain(defaults) {
                let name = MailboxName::parse(name).map_err(|_| Error::Corrupt)?;
                list.folders.subscribed.push(name.clone());
                writes.push(list.add(account, name, special_use, now)?.1);
            }
            Ok((list.finish(account, writes), ()))
        })
        .await
    }

    /// Creates a mailbox and the superiors it needs (RFC 3501 §6.3.3). Durable.
    /// [`Error::Exists`]; [`Error::Limit`] above 10,000 mailboxes.
    pub async fn create_folder(
        &self,
        account: AccountId,
        name: MailboxName,
        special_use: Option<SpecialUse>,
    ) -> Result<Folder, Error> {
        let now = self.inner.clock.now();
        self.transact(vec![key::folders(account)], vec![], Durability::Synced, move |values| {
            let mut list = record::decode_folders(required(&values[0])?)?;
            if list.folders.find(&name).is_some() {
                return Err(Error::Exists);
            }
            let mut writes = list.add_superiors(account, &name, now)?;
            let (folder, write) = list.add(account, name.clone(), special_use, now)?;
            writes.push(write);
            Ok((list.finish(account, writes), folder))
        })
        .await
    }

    /// Deletes a mailbox with its messages; inferiors stay. INBOX: [`Error::Conflict`]. Durable.
    pub async fn delete_folder(&self, account: AccountId, name: MailboxName) -> Result<(), Error> {
        let id = self
            .transact(vec![key::folders(account)], vec![], Durability::Synced, move |values| {
                let mut list = record::decode_folders(required(&values[0])?)?;
                if name.is_inbox() {
                    return Err(Error::Conflict);
                }
                let id = list.folders.find(&name).ok_or(Error::NotFound)?.id;
                list.folders.folders.retain(|f| f.id != id);
                Ok((list.finish(account, vec![purge::mark(account, id)]), id))
            })
            .await?;
        self.publish([(account, id)]);
        self.purge_in_background(account, id);
        Ok(())
    }

    /// Renames a mailbox with its inferiors, making superiors of the new name as needed. INBOX is not renamed: its
    /// messages move into a new mailbox of that name (RFC 3501 §6.3.5). Durable.
    /// [`Error::NotFound`], [`Error::Exists`], [`Error::Conflict`] when `to` lies below `from`, [`Error::Limit`] when an
    /// inferior's new name would be too long.
    pub async fn rename_folder(&self, account: AccountId, from: MailboxName, to: MailboxName) -> Result<(), Error> {
        if from.is_inbox() {
            let target = self.create_folder(account, to, None).await?.id;
            let mut all = UidSet::new();
            all.insert_range(Uid::MIN, Uid::MAX);
            self.move_messages(account, MailboxId::INBOX, all, target).await?;
            return Ok(());
        }
        let now = self.inner.clock.now();
        self.transact(vec![key::folders(account)], vec![], Durability::Synced, move |values| {
            let mut list = record::decode_folders(required(&values[0])?)?;
            // A name without a mailbox can still have inferiors; then it is renamed for them (RFC 3501 §6.3.5).
            let moves = |name: &MailboxName| *name == from || name.is_inferior_of(&from);
            if !list.folders.folders.iter().any(|f| moves(&f.name)) {
                return Err(Error::NotFound);
            }
            if to.is_inferior_of(&from) {
                return Err(Error::Conflict);
            }
            if list.folders.find(&to).is_some() {
                return Err(Error::Exists);
            }
            let mut renamed = Vec::new();
            for folder in list.folders.folders.iter_mut().filter(|f| moves(&f.name)) {
                folder.name = folder.name.moved(&from, &to).map_err(|_| Error::Limit)?;
                renamed.push(folder.name.clone());
            }
            if renamed.iter().any(|n| list.folders.folders.iter().filter(|f| f.name == *n).count() > 1) {
                return Err(Error::Exists);
            }
            let writes = list.add_superiors(account, &to, now)?;
            Ok((list.finish(account, writes), ()))
        })
        .await
    }

    /// Sets or clears a subscription. Durable. [`Error::Limit`] above 10,000 subscriptions.
    pub async fn subscribe(&self, account: AccountId, name: MailboxName, subscribed: bool) -> Result<(), Error> {
        self.transact(vec![key::folders(account)], vec![], Durability::Synced, move |values| {
            let mut list = record::decode_folders(required(&values[0])?)?;
            let names = &mut list.folders.subscribed;
            if names.contains(&name) == subscribed {
                return Ok((vec![], ()));
            }
            if subscribed && names.len() >= MAX_FOLDERS {
                return Err(Error::Limit);
            }
            names.retain(|n| *n != name);
            if subscribed {
                names.push(name.clone());
            }
            Ok((list.finish(account, vec![]), ()))
        })
        .await
    }
}

impl FolderList {
    /// Adds a mailbox; gives it and the write of its own record.
    fn add(
        &mut self,
        account: AccountId,
        name: MailboxName,
        special_use: Option<SpecialUse>,
        now: Timestamp,
    ) -> Result<(Folder, Write), Error> {
        if self.folders.folders.len() >= MAX_FOLDERS {
            return Err(Error::Limit);
        }
        self.last_id = self.last_id.checked_add(1).ok_or(Error::Limit)?;
        // Seconds since 1970 at first, then at least one more each time (RFC 3501 §2.3.1.1).
        let seconds = u32::try_from(now.seconds()).unwrap_or(1);
        self.last_validity = self.last_validity.checked_add(1).ok_or(Error::Limit)?.max(seconds);
        let id = MailboxId::new(self.last_id).ok_or(Error::Limit)?;
        let uid_validity = UidValidity::new(self.last_validity).ok_or(Error::Limit)?;
        let folder = Folder { id, name, uid_validity, special_use };
        self.folders.folders.push(folder.clone());
        let value = Some(record::encode_mailbox(&Mailbox::new(id, uid_validity)));
        Ok((folder, Write { key: key::mailbox(account, id), value }))
    }

    /// Adds the superiors of `name` that do not exist.
    fn add_superiors(&mut self, account: AccountId, name: &MailboxName, now: Timestamp) -> Result<Vec<Write>, Error> {
        let mut writes = Vec::new();
        for superior in name.superiors() {
            if self.folders.find(&superior).is_none() {
                writes.push(self.add(account, superior, None, now)?.1);
            }
        }
        Ok(writes)
    }

    /// `writes` and that of the list itself, sorted.
    fn finish(&mut self, account: AccountId, mut writes: Vec<Write>) -> Vec<Write> {
        self.folders.folders.sort_by(|a, b| (!a.name.is_inbox(), &a.name).cmp(&(!b.name.is_inbox(), &b.name)));
        self.folders.subscribed.sort_by(|a, b| (!a.is_inbox(), a).cmp(&(!b.is_inbox(), b)));
        writes.push(Write { key: key::folders(account), value: Some(record::encode_folders(self)) });
        writes
    }
}

const MAX_FOLDERS: usize = 10_000;
