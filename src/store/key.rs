//! The keys of every keyspace. Numbers are big-endian, so that keys sort as their numbers do.

use super::engine::{Key, Keyspace};
use crate::mail::{AccountId, BlobId, MailboxId, ModSeq, Timestamp, Uid};

/// Where this store's format version stands.
pub fn format() -> Key {
    (Keyspace::Directory, vec![0, b'f'])
}

/// Where the directory's version stands.
pub fn directory_version() -> Key {
    (Keyspace::Directory, vec![0, b'v'])
}

/// A directory record. Kinds start at 1.
pub fn directory(kind: u8, id: u32) -> Key {
    (Keyspace::Directory, join(&[&[kind], &id.to_be_bytes()]))
}

/// Bounds of all directory records.
pub fn directory_range() -> (Vec<u8>, Vec<u8>) {
    (vec![1], vec![255])
}

/// Kind and id of a directory record's key.
pub fn parse_directory(key: &[u8]) -> Option<(u8, u32)> {
    let (kind, id) = key.split_first()?;
    Some((*kind, u32::from_be_bytes(id.try_into().ok()?)))
}

/// One record of the audit log.
pub fn audit(now: Timestamp, directory_version: u64) -> Key {
    (Keyspace::Log, join(&[b"a", &now.millis().to_be_bytes(), &directory_version.to_be_bytes()]))
}

/// A chunk of content.
pub fn chunk(blob: BlobId, number: u32) -> Key {
    (Keyspace::Blob, join(&[blob.octets(), &number.to_be_bytes()]))
}

/// Blob and number of a chunk's key.
pub fn parse_chunk(key: &[u8]) -> Option<(BlobId, u32)> {
    let (blob, number) = key.split_first_chunk::<12>()?;
    Some((BlobId::from_octets(*blob), u32::from_be_bytes(number.try_into().ok()?)))
}

/// What is kept for a message.
pub fn message(blob: BlobId) -> Key {
    (Keyspace::Message, blob.octets().to_vec())
}

/// The blob of a message's key.
pub fn parse_message(key: &[u8]) -> Option<BlobId> {
    key.try_into().ok().map(BlobId::from_octets)
}

/// How many entries refer to a message.
pub fn reference(blob: BlobId) -> Key {
    (Keyspace::Reference, join(&[b"r", blob.octets()]))
}

/// Bounds of all reference counts.
pub fn reference_range() -> (Vec<u8>, Vec<u8>) {
    (b"r".to_vec(), b"s".to_vec())
}

/// The blob of a reference count's key.
pub fn parse_reference(key: &[u8]) -> Option<BlobId> {
    parse_message(key.strip_prefix(b"r")?)
}

/// A message that nothing refers to since `since`.
pub fn garbage(since: Timestamp, blob: BlobId) -> Key {
    (Keyspace::Reference, join(&[b"g", &since.millis().to_be_bytes(), blob.octets()]))
}

/// Bounds of the garbage from before `now`.
pub fn garbage_range(now: Timestamp) -> (Vec<u8>, Vec<u8>) {
    (b"g".to_vec(), join(&[b"g", &now.millis().to_be_bytes()]))
}

/// The blob of a garbage key.
pub fn parse_garbage(key: &[u8]) -> Option<BlobId> {
    parse_message(key.strip_prefix(b"g")?.get(8..)?)
}

/// The account's list of mailboxes.
pub fn folders(account: AccountId) -> Key {
    (Keyspace::Mailbox, join(&[&account.number().to_be_bytes(), b"f"]))
}

/// The account's usage.
pub fn usage(account: AccountId) -> Key {
    (Keyspace::Mailbox, join(&[&account.number().to_be_bytes(), b"u"]))
}

/// A mailbox.
pub fn mailbox(account: AccountId, mailbox: MailboxId) -> Key {
    (Keyspace::Mailbox, join(&[&account.number().to_be_bytes(), b"m", &mailbox.number().to_be_bytes()]))
}

/// What a key of the mailbox keyspace names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MailboxKey {
    /// See [`folders`].
    Folders(AccountId),
    /// See [`usage`].
    Usage(AccountId),
    /// See [`mailbox`].
    Mailbox(AccountId, MailboxId),
}

/// Reads a key of the mailbox keyspace.
pub fn parse_mailbox(key: &[u8]) -> Option<MailboxKey> {
    let (account, rest) = key.split_first_chunk::<4>()?;
    let account = AccountId::new(u32::from_be_bytes(*account))?;
    match rest {
        b"f" => Some(MailboxKey::Folders(account)),
        b"u" => Some(MailboxKey::Usage(account)),
        [b'm', id @ ..] => Some(MailboxKey::Mailbox(account, MailboxId::new(u32::from_be_bytes(id.try_into().ok()?))?)),
        _ => None,
    }
}

/// A message in a mailbox.
pub fn entry(account: AccountId, mailbox: MailboxId, uid: Uid) -> Key {
    (Keyspace::Entry, within(account, mailbox, &uid.number().to_be_bytes()))
}

/// Bounds of the entries `first..=last`.
pub fn entry_range(account: AccountId, mailbox: MailboxId, first: Uid, last: Uid) -> (Vec<u8>, Vec<u8>) {
    let mut to = within(account, mailbox, &last.number().to_be_bytes());
    to.push(0);
    (within(account, mailbox, &first.number().to_be_bytes()), to)
}

/// Account, mailbox and UID of an entry's key.
pub fn parse_entry(key: &[u8]) -> Option<(AccountId, MailboxId, Uid)> {
    let number = |at: usize| Some(u32::from_be_bytes(key.get(at..at + 4)?.try_into().ok()?));
    if key.len() != 12 {
        return None;
    }
    Some((AccountId::new(number(0)?)?, MailboxId::new(number(4)?)?, Uid::new(number(8)?)?))
}

/// A row of a mailbox's change log.
pub fn change(account: AccountId, mailbox: MailboxId, modseq: ModSeq) -> Key {
    (Keyspace::Change, within(account, mailbox, &modseq.number().to_be_bytes()))
}

/// Bounds of the changes after `since`.
pub fn change_range(account: AccountId, mailbox: MailboxId, since: u64) -> (Vec<u8>, Vec<u8>) {
    let after = since.saturating_add(1).to_be_bytes();
    (within(account, mailbox, &after), within(account, mailbox, &[255; 9]))
}

/// Content that is being received: its value is the number of chunks written.
pub fn staging(blob: BlobId) -> Key {
    (Keyspace::Task, join(&[b"s", blob.octets()]))
}

/// Bounds of all content that is being received.
pub fn staging_range() -> (Vec<u8>, Vec<u8>) {
    (b"s".to_vec(), b"t".to_vec())
}

/// The blob of a staging key.
pub fn parse_staging(key: &[u8]) -> Option<BlobId> {
    parse_message(key.strip_prefix(b"s")?)
}

/// A deleted mailbox whose messages have still to go.
pub fn purge(account: AccountId, mailbox: MailboxId) -> Key {
    (Keyspace::Task, join(&[b"p", &within(account, mailbox, &[])]))
}

/// Bounds of all deleted mailboxes.
pub fn purge_range() -> (Vec<u8>, Vec<u8>) {
    (b"p".to_vec(), b"q".to_vec())
}

/// Account and mailbox of a purge key.
pub fn parse_purge(key: &[u8]) -> Option<(AccountId, MailboxId)> {
    let (account, mailbox) = key.strip_prefix(b"p")?.split_first_chunk::<4>()?;
    let account = AccountId::new(u32::from_be_bytes(*account))?;
    Some((account, MailboxId::new(u32::from_be_bytes(mailbox.try_into().ok()?))?))
}

fn within(account: AccountId, mailbox: MailboxId, rest: &[u8]) -> Vec<u8> {
    join(&[&account.number().to_be_bytes(), &mailbox.number().to_be_bytes(), rest])
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}
