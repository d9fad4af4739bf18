//! The values of every keyspace. Each starts with a version octet; numbers are LEB128, texts are length-prefixed.
//! A value that this version did not write is [`Error::Corrupt`].

mod codec;
mod delivery_list;
mod follow_up;
mod hold;
mod log;
mod outbox;
mod queue;
mod slice;

pub use delivery_list::{Listed, decode_delivery_list, encode_delivery_list, listed};
pub use follow_up::{decode_follow_up, encode_follow_up};
pub use hold::{decode_hold, encode_hold};
pub use log::{
    AuditHash, AuditHead, AuditRow, DeliveryKind, DeliveryRow, DeliveryState, TraceEntry, TraceTerm, decode_audit,
    decode_audit_head, decode_delivery, decode_trace, encode_audit, encode_audit_head, encode_delivery, encode_trace,
    trace_record, trace_term,
};
pub use outbox::{decode_outbox, encode_outbox};
pub use queue::{decode_queue_item, encode_queue_item};
pub use slice::{Shape, Slice, decode_slice, encode_slice};

use super::{Counts, Entry, Error, Folder, Folders, Mailbox, Message, Origin};
use crate::mail::{BlobId, Flags, MailboxId, Span, SpecialUse, SystemFlags, Uid, UidSet, UidValidity};
use codec::{Decoder, Encoder};

/// The store's format as a whole; an unknown one is not opened.
pub const FORMAT: u8 = 2;

/// The one before, in which the usage of an account held its INBOX as well. It is brought into this form when it is
/// opened.
pub const FORMAT_WITH_INBOX_IN_USAGE: u8 = 1;

/// The version octet of every record kind. A kind that changes gets a number of its own.
const VERSION: u8 = 1;

/// Of a message that leaves out a range of its content.
const WITH_OMISSION: u8 = 2;

/// Of an account's usage without INBOX.
const WITHOUT_INBOX: u8 = 2;

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

/// What an account stores, or part of it.
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
    out.blob(entry.blob);
    // System flags more than there are: whose copy this is goes where its flags go (policy semantics §13.5).
    let origin = match entry.origin {
        Origin::Ordinary => 0,
        Origin::Monitor => MONITOR,
        Origin::Approval => APPROVAL,
    };
    let opened = if entry.opened { OPENED } else { 0 };
    out.octets.push(entry.flags.system.bits() | origin | opened);
    out.number(entry.modseq.number());
    out.time(entry.internal_date);
    out.number(entry.size);
    out.number(entry.flags.keywords.len() as u64);
    entry.flags.keywords.iter().for_each(|k| out.text(k.as_str()));
    out.octets
}

/// Inverse of [`encode_entry`].
pub fn decode_entry(uid: Uid, value: &[u8]) -> Result<Entry, Error> {
    let mut input = Decoder::new(value, VERSION)?;
    let (blob, bits) = (input.blob()?, input.octet()?);
    let origin = match bits & (MONITOR | APPROVAL) {
        0 => Origin::Ordinary,
        MONITOR => Origin::Monitor,
        APPROVAL => Origin::Approval,
        _ => return Err(Error::Corrupt),
    };
    let (modseq, internal_date, size) = (input.modseq()?, input.time()?, input.number()?);
    let flags = Flags { system: SystemFlags::from_bits(bits), keywords: input.keywords()? };
    input.end(Entry { uid, blob, flags, modseq, internal_date, size, origin, opened: bits & OPENED != 0 })
}

/// Of a message; its blob is in the key. A form whose content lies under another blob names that one. One that leaves out
/// nothing is written as before there were others.
pub fn encode_message(message: &Message) -> Vec<u8> {
    let mut out = Encoder::new(if message.omitted.is_some() { WITH_OMISSION } else { VERSION });
    match message.content == message.blob {
        true => out.octets.push(0),
        false => {
            out.octets.push(1);
            out.blob(message.content);
        }
    }
    out.number(message.content_size);
    out.number(message.chunks.into());
    out.slice(&message.prefix);
    out.slice(&message.summary);
    if let Some(omitted) = message.omitted {
        out.number(omitted.from());
        out.number(omitted.size());
    }
    out.octets
}

/// Inverse of [`encode_message`].
pub fn decode_message(blob: BlobId, value: &[u8]) -> Result<Message, Error> {
    let has_omission = value.first() == Some(&WITH_OMISSION);
    let mut input = Decoder::new(value, if has_omission { WITH_OMISSION } else { VERSION })?;
    let content = match input.octet()? {
        0 => blob,
        1 => input.blob()?,
        _ => return Err(Error::Corrupt),
    };
    let content_size = input.number()?;
    let chunks = input.small()?;
    let prefix = input.slice()?.to_vec();
    let summary = input.slice()?.to_vec();
    let omitted = if has_omission { Some(omission(&mut input, content_size)?) } else { None };
    input.end(Message { blob, content, prefix, omitted, content_size, chunks, summary })
}

/// A range within the content.
fn omission(input: &mut Decoder<'_>, content_size: u64) -> Result<Span, Error> {
    let (from, size) = (input.number()?, input.number()?);
    let to = from.checked_add(size).filter(|to| *to <= content_size).ok_or(Error::Corrupt)?;
    Span::new(from, to).ok_or(Error::Corrupt)
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

/// Of an account's usage by all mailboxes but INBOX: that one's counts tell the rest, and so a delivery to it, which most
/// are, does not write this row (9.6 µs of CPU a copy in a delivery to a thousand became 8.1).
pub fn encode_usage(usage: Usage) -> Vec<u8> {
    let mut out = Encoder::new(WITHOUT_INBOX);
    out.number(usage.octets);
    out.number(usage.messages);
    out.octets
}

/// Inverse of [`encode_usage`].
pub fn decode_usage(value: &[u8]) -> Result<Usage, Error> {
    usage(Decoder::new(value, WITHOUT_INBOX)?)
}

/// The usage by all mailboxes, as a store of the format before has it; `None` for a row that is in this form already.
pub fn decode_whole_usage(value: &[u8]) -> Result<Option<Usage>, Error> {
    match value.first() {
        Some(&WITHOUT_INBOX) => Ok(None),
        _ => usage(Decoder::new(value, VERSION)?).map(Some),
    }
}

fn usage(mut input: Decoder<'_>) -> Result<Usage, Error> {
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
    let kind = input.octet()?;
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
            special_use: SpecialUse::from_number(input.octet()?),
            name: input.name()?,
        });
    }
    for _ in 0..input.number()? {
        let name = input.name()?;
        list.folders.subscribed.push(name);
    }
    input.end(list)
}

/// Of a number: the directory's version, octets held.
pub fn encode_number(number: u64) -> Vec<u8> {
    let mut out = Encoder::new(VERSION);
    out.number(number);
    out.octets
}

/// Inverse of [`encode_number`].
pub fn decode_number(value: &[u8]) -> Result<u64, Error> {
    let mut input = Decoder::new(value, VERSION)?;
    let number = input.number()?;
    input.end(number)
}

/// The bit of an entry's flags that marks a monitor's copy. No system flag has it.
const MONITOR: u8 = 1 << 7;
/// The bit that marks what shows a held message to who decides.
const APPROVAL: u8 = 1 << 5;

/// The bit that marks one whose first look is recorded, likewise.
const OPENED: u8 = 1 << 6;

#[cfg(test)]
mod tests;
