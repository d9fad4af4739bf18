//! The values of every keyspace. Each starts with a version octet; numbers are LEB128, texts are length-prefixed.
//! A value that this version did not write is [`Error::Corrupt`].

use super::{Counts, Entry, Error, Folder, Folders, Mailbox, Message};
use crate::mail::{
    BlobId, Flags, Keyword, MailboxId, MailboxName, ModSeq, SpecialUse, SystemFlags, Timestamp, Uid, UidSet,
    UidValidity,
};

/// The store's format as a whole; an unknown one is not opened.
pub const FORMAT: u8 = 1;

/// The version octet of every record kind. A kind that changes gets a number of its own.
const VERSION: u8 = 1;

/// An account's folder list with what makes new ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FolderList {
    /// What readers see.
    pub folders: Folders,
    /// The highest mailbox id ever given.
    pub last_id: u32,
    /// The highest UIDVALIDITY ever given.
    pub last_validity: u32,
}

/// What an account stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Sum of RFC822.SIZE over all entries.
    pub octets: u64,
    /// Entries.
    pub messages: u64,
}

/// A row of the change log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeRow {
    /// Flags of these messages changed.
    Flags(UidSet),
    /// These messages are gone.
    Expunged(UidSet),
}

/// Of a mailbox; its id is in the key.
pub fn encode_mailbox(mailbox: &Mailbox) -> Vec<u8> {
    let mut out = Encoder::new(VERSION);
    out.number(mailbox.uid_validity.number().into());
    out.number(mailbox.uid_next.number().into());
    out.number(mailbox.highest_modseq.number());
    out.number(mailbox.first_recent.number().into());
    out.number(mailbox.counts.messages.into());
    out.number(mailbox.counts.unseen.into());
    out.number(mailbox.counts.octets);
    out.number(mailbox.keywords.len() as u64);
    mailbox.keywords.iter().for_each(|k| out.text(k.as_str()));
    out.octets
}

/// Inverse of [`encode_mailbox`].
pub fn decode_mailbox(id: MailboxId, value: &[u8]) -> Result<Mailbox, Error> {
    let mut input = Decoder::new(value, VERSION)?;
    let mailbox = Mailbox {
        id,
        uid_validity: UidValidity::new(input.small()?).ok_or(Error::Corrupt)?,
        uid_next: input.uid()?,
        highest_modseq: input.modseq()?,
        first_recent: input.uid()?,
        counts: Counts { messages: input.small()?, unseen: input.small()?, octets: input.number()? },
        keywords: input.keywords()?,
    };
    input.end(mailbox)
}

/// Of an entry; its UID is in the key.
pub fn encode_entry(entry: &Entry) -> Vec<u8> {
    let mut out = Encoder::new(VERSION);
    out.octets.extend_from_slice(entry.blob.octets());
    out.octets.push(entry.flags.system.bits());
    out.number(entry.modseq.number());
    out.signed(entry.internal_date.millis());
    out.number(entry.size);
    out.number(entry.flags.keywords.len() as u64);
    entry.flags.keywords.iter().for_each(|k| out.text(k.as_str()));
    out.octets
}

/// Inverse of [`encode_entry`].
pub fn decode_entry(uid: Uid, value: &[u8]) -> Result<Entry, Error> {
    let mut input = Decoder::new(value, VERSION)?;
    let blob = BlobId::from_octets(input.take(12)?.try_into().map_err(|_| Error::Corrupt)?);
    let system = SystemFlags::from_bits(input.take(1)?[0]);
    let (modseq, date, size) = (input.modseq()?, input.signed()?, input.number()?);
    let flags = Flags { system, keywords: input.keywords()? };
    input.end(Entry { uid, blob, flags, modseq, internal_date: Timestamp::from_millis(date), size })
}

/// Of a message; its blob is in the key.
pub fn encode_message(prefix: &[u8], content_size: u64, chunks: u32, summary: &[u8]) -> Vec<u8> {
    let mut out = Encoder::new(VERSION);
    out.number(content_size);
    out.number(chunks.into());
    out.slice(prefix);
    out.slice(summary);
    out.octets
}

/// Inverse of [`encode_message`].
pub fn decode_message(blob: BlobId, value: &[u8]) -> Result<Message, Error> {
    let mut input = Decoder::new(value, VERSION)?;
    let content_size = input.number()?;
    let chunks = input.small()?;
    let prefix = input.slice()?.to_vec();
    let summary = input.slice()?.to_vec();
    input.end(Message { blob, prefix, content_size, chunks, summary })
}

/// Of a count of references or of chunks.
pub fn encode_count(count: u32) -> Vec<u8> {
    let mut out = Encoder::new(VERSION);
    out.number(count.into());
    out.octets
}

/// Inverse of [`encode_count`].
pub fn decode_count(value: &[u8]) -> Result<u32, Error> {
    let mut input = Decoder::new(value, VERSION)?;
    let count = input.small()?;
    input.end(count)
}

/// Of an account's usage.
pub fn encode_usage(usage: Usage) -> Vec<u8> {
    let mut out = Encoder::new(VERSION);
    out.number(usage.octets);
    out.number(usage.messages);
    out.octets
}

/// Inverse of [`encode_usage`].
pub fn decode_usage(value: &[u8]) -> Result<Usage, Error> {
    let mut input = Decoder::new(value, VERSION)?;
    let usage = Usage { octets: input.number()?, messages: input.number()? };
    input.end(usage)
}

/// Of a row of the change log.
pub fn encode_change(row: &ChangeRow) -> Vec<u8> {
    let mut out = Encoder::new(VERSION);
    let (kind, uids) = match row {
        ChangeRow::Flags(uids) => (b'f', uids),
        ChangeRow::Expunged(uids) => (b'x', uids),
    };
    out.octets.push(kind);
    out.number(uids.ranges().count() as u64);
    for (first, last) in uids.ranges() {
        out.number(first.number().into());
        out.number((last.number() - first.number()).into());
    }
    out.octets
}

/// Inverse of [`encode_change`].
pub fn decode_change(value: &[u8]) -> Result<ChangeRow, Error> {
    let mut input = Decoder::new(value, VERSION)?;
    let kind = input.take(1)?[0];
    let mut uids = UidSet::new();
    for _ in 0..input.number()? {
        let (first, span) = (input.small()?, input.small()?);
        let last = Uid::new(first.checked_add(span).ok_or(Error::Corrupt)?).ok_or(Error::Corrupt)?;
        uids.insert_range(Uid::new(first).ok_or(Error::Corrupt)?, last);
    }
    input.end(match kind {
        b'f' => ChangeRow::Flags(uids),
        b'x' => ChangeRow::Expunged(uids),
        _ => return Err(Error::Corrupt),
    })
}

/// Of an account's folder list.
pub fn encode_folders(list: &FolderList) -> Vec<u8> {
    let mut out = Encoder::new(VERSION);
    out.number(list.last_id.into());
    out.number(list.last_validity.into());
    out.number(list.folders.folders.len() as u64);
    for folder in &list.folders.folders {
        out.number(folder.id.number().into());
        out.number(folder.uid_validity.number().into());
        out.octets.push(folder.special_use.map_or(0, |u| u as u8));
        out.text(folder.name.as_str());
    }
    out.number(list.folders.subscribed.len() as u64);
    list.folders.subscribed.iter().for_each(|n| out.text(n.as_str()));
    out.octets
}

/// Inverse of [`encode_folders`].
pub fn decode_folders(value: &[u8]) -> Result<FolderList, Error> {
    let mut input = Decoder::new(value, VERSION)?;
    let mut list = FolderList { last_id: input.small()?, last_validity: input.small()?, folders: Folders::default() };
    for _ in 0..input.number()? {
        list.folders.folders.push(Folder {
            id: MailboxId::new(input.small()?).ok_or(Error::Corrupt)?,
            uid_validity: UidValidity::new(input.small()?).ok_or(Error::Corrupt)?,
            special_use: SpecialUse::from_number(input.take(1)?[0]),
            name: input.name()?,
        });
    }
    for _ in 0..input.number()? {
        let name = input.name()?;
        list.folders.subscribed.push(name);
    }
    input.end(list)
}

/// Of the directory's version.
pub fn encode_version(version: u64) -> Vec<u8> {
    let mut out = Encoder::new(VERSION);
    out.number(version);
    out.octets
}

/// Inverse of [`encode_version`].
pub fn decode_version(value: &[u8]) -> Result<u64, Error> {
    let mut input = Decoder::new(value, VERSION)?;
    let version = input.number()?;
    input.end(version)
}

struct Encoder {
    octets: Vec<u8>,
}

impl Encoder {
    fn new(version: u8) -> Self {
        let mut octets = Vec::with_capacity(64);
        octets.push(version);
        Self { octets }
    }

    fn number(&mut self, mut n: u64) {
        while n >= 128 {
            self.octets.push(n as u8 | 128);
            n >>= 7;
        }
        self.octets.push(n as u8);
    }

    /// Zigzag, so that dates before 1970 stay short.
    fn signed(&mut self, n: i64) {
        self.number(((n << 1) ^ (n >> 63)) as u64);
    }

    fn slice(&mut self, octets: &[u8]) {
        self.number(octets.len() as u64);
        self.octets.extend_from_slice(octets);
    }

    fn text(&mut self, text: &str) {
        self.slice(text.as_bytes());
    }
}

struct Decoder<'a> {
    left: &'a [u8],
}

impl<'a> Decoder<'a> {
    fn new(value: &'a [u8], version: u8) -> Result<Self, Error> {
        match value.split_first() {
            Some((v, left)) if *v == version => Ok(Self { left }),
            _ => Err(Error::Corrupt),
        }
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], Error> {
        let (taken, left) = self.left.split_at_checked(n).ok_or(Error::Corrupt)?;
        self.left = left;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, Error> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let octet = self.take(1)?[0];
            n |= u64::from(octet & 127) << shift;
            if octet < 128 {
                return Ok(n);
            }
        }
        Err(Error::Corrupt)
    }

    fn signed(&mut self) -> Result<i64, Error> {
        self.number().map(|n| (n >> 1) as i64 ^ -((n & 1) as i64))
    }

    fn small(&mut self) -> Result<u32, Error> {
        self.number()?.try_into().map_err(|_| Error::Corrupt)
    }

    fn uid(&mut self) -> Result<Uid, Error> {
        Uid::new(self.small()?).ok_or(Error::Corrupt)
    }

    fn modseq(&mut self) -> Result<ModSeq, Error> {
        ModSeq::new(self.number()?).ok_or(Error::Corrupt)
    }

    fn slice(&mut self) -> Result<&'a [u8], Error> {
        let n = self.number()?.try_into().map_err(|_| Error::Corrupt)?;
        self.take(n)
    }

    fn text(&mut self) -> Result<&'a str, Error> {
        std::str::from_utf8(self.slice()?).map_err(|_| Error::Corrupt)
    }

    fn name(&mut self) -> Result<MailboxName, Error> {
        MailboxName::parse(self.text()?).map_err(|_| Error::Corrupt)
    }

    fn keywords(&mut self) -> Result<Vec<Keyword>, Error> {
        (0..self.number()?).map(|_| Keyword::parse(self.text()?).ok_or(Error::Corrupt)).collect()
    }

    fn end<T>(self, value: T) -> Result<T, Error> {
        if self.left.is_empty() { Ok(value) } else { Err(Error::Corrupt) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keywords() -> impl Strategy<Value = Vec<Keyword>> {
        proptest::collection::vec("[a-z$]{1,12}", 0..4)
            .prop_map(|v| v.iter().filter_map(|s| Keyword::parse(s)).collect())
    }

    proptest! {
        #[test]
        fn entries_round_trip(uid in 1u32.., bits in 0u8..32, modseq in 1u64.., date in any::<i64>(), size in any::<u64>(), keywords in keywords()) {
            let entry = Entry {
                uid: Uid::new(uid).unwrap(),
                blob: BlobId::from_octets([7; 12]),
                flags: Flags { system: SystemFlags::from_bits(bits), keywords },
                modseq: ModSeq::new(modseq).unwrap(),
                internal_date: Timestamp::from_millis(date),
                size,
            };
            prop_assert_eq!(decode_entry(entry.uid, &encode_entry(&entry)), Ok(entry));
        }

        #[test]
        fn changes_round_trip(uids in proptest::collection::btree_set(1u32..5000, 0..50), expunged in any::<bool>()) {
            let uids: UidSet = uids.into_iter().filter_map(Uid::new).collect();
            let row = if expunged { ChangeRow::Expunged(uids) } else { ChangeRow::Flags(uids) };
            prop_assert_eq!(decode_change(&encode_change(&row)), Ok(row));
        }

        #[test]
        fn messages_round_trip(prefix: Vec<u8>, size: u64, chunks: u32, summary: Vec<u8>) {
            let blob = BlobId::from_octets([9; 12]);
            let message = Message { blob, prefix: prefix.clone(), content_size: size, chunks, summary: summary.clone() };
            prop_assert_eq!(decode_message(blob, &encode_message(&prefix, size, chunks, &summary)), Ok(message));
        }

        #[test]
        fn damaged_records_are_corrupt_not_fatal(octets: Vec<u8>) {
            let id = MailboxId::INBOX;
            let _ = (decode_mailbox(id, &octets), decode_entry(Uid::MIN, &octets), decode_folders(&octets));
            let _ = (decode_change(&octets), decode_message(BlobId::from_octets([0; 12]), &octets), decode_usage(&octets));
        }
    }

    #[test]
    fn folder_lists_round_trip() {
        let folder = Folder {
            id: MailboxId::INBOX,
            name: MailboxName::inbox(),
            uid_validity: UidValidity::new(77).unwrap(),
            special_use: Some(SpecialUse::Junk),
        };
        let folders = Folders { folders: vec![folder], subscribed: vec![MailboxName::parse("日本/x").unwrap()] };
        let list = FolderList { folders, last_id: 6, last_validity: 78 };
        assert_eq!(decode_folders(&encode_folders(&list)), Ok(list));
    }

    #[test]
    fn mailboxes_round_trip() {
        let mailbox = Mailbox {
            id: MailboxId::INBOX,
            uid_validity: UidValidity::MAX,
            uid_next: Uid::MAX,
            highest_modseq: ModSeq::MAX,
            first_recent: Uid::MIN,
            counts: Counts { messages: 3, unseen: 2, octets: 1 << 40 },
            keywords: vec![Keyword::parse("$Forwarded").unwrap()],
        };
        assert_eq!(decode_mailbox(mailbox.id, &encode_mailbox(&mailbox)), Ok(mailbox));
    }
}
