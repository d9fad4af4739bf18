//! Of the logs: who got a message, what is known of it, and what administrators did.

use sha2::{Digest, Sha256};

use super::codec::{Decoder, Encoder};
use super::{Error, VERSION};
use crate::mail::{AccountId, GroupId, MailboxId, Timestamp, Uid};
use crate::store::Origin;

/// The kind octet of a delivery key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum DeliveryKind {
    /// The account's own.
    Ordinary = b'o',
    /// A monitor's copy.
    Monitor = b'y',
    /// Shown to who decides: never written.
    Approval = b'v',
}

impl DeliveryKind {
    /// Of a delivery of this origin.
    pub fn of(origin: Origin) -> Self {
        match origin {
            Origin::Ordinary => DeliveryKind::Ordinary,
            Origin::Monitor => DeliveryKind::Monitor,
            Origin::Approval => DeliveryKind::Approval,
        }
    }
}

/// What has become of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DeliveryState {
    /// In the mailbox, under the UID.
    Delivered = b'd',
    /// The account is over its quota: it is tried again from the queue.
    Full = b'f',
    /// The mailbox did not exist any more.
    Gone = b'g',
    /// The mailbox cannot take messages: it is damaged, or its UIDs are used up.
    Failed = b'x',
}

/// The row under a delivery key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    /// What has become of it.
    pub state: DeliveryState,
    /// The mailbox in which it was put.
    pub mailbox: MailboxId,
    /// Its UID there at first, if it was delivered.
    pub uid: Option<Uid>,
    /// The group through which it came.
    pub via: Option<GroupId>,
}

/// The value.
pub fn encode_delivery(row: &DeliveryRow) -> Vec<u8> {
    let mut out = Encoder::sized(VERSION, 12);
    out.octets.push(row.state as u8);
    out.number(row.mailbox.number().into());
    out.number(row.uid.map_or(0, |uid| uid.number().into()));
    out.number(row.via.map_or(0, |group| group.number().into()));
    out.octets
}

/// Inverse of [`encode_delivery`].
pub fn decode_delivery(value: &[u8]) -> Result<DeliveryRow, Error> {
    let mut input = Decoder::new(value, VERSION)?;
    let state = match input.octet()? {
        b'd' => DeliveryState::Delivered,
        b'f' => DeliveryState::Full,
        b'g' => DeliveryState::Gone,
        b'x' => DeliveryState::Failed,
        _ => return Err(Error::Corrupt),
    };
    let row = DeliveryRow {
        state,
        mailbox: input.mailbox()?,
        uid: Uid::new(input.small()?),
        via: GroupId::new(input.small()?),
    };
    input.end(row)
}

/// What a trace is found by: a kind octet, and 8 octets of the SHA-256 of the text in lower case.
pub type TraceTerm = [u8; 9];

/// The term of a kind and a text.
pub fn trace_term(kind: u8, text: &str) -> TraceTerm {
    let digest = Sha256::digest(text.to_lowercase().as_bytes());
    let mut term = [kind; 9];
    for (place, octet) in term.iter_mut().skip(1).zip(digest) {
        *place = octet;
    }
    term
}

/// One row of a trace: the first of a message, or a later event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceEntry {
    /// The caller's.
    pub record: Vec<u8>,
    /// By what it is found.
    pub terms: Vec<TraceTerm>,
    /// To whom this commit delivered, in ascending order; what became of it is under their delivery keys.
    pub ordinary: Vec<AccountId>,
    /// The monitors, likewise.
    pub monitors: Vec<AccountId>,
}

/// The value.
pub fn encode_trace(entry: &TraceEntry) -> Vec<u8> {
    let mut out = Encoder::sized(VERSION, 64 + entry.record.len() + 2 * entry.ordinary.len());
    // First, so that who looks for records need not read the rest.
    out.slice(&entry.record);
    out.number(entry.terms.len() as u64);
    entry.terms.iter().for_each(|term| out.octets.extend_from_slice(term));
    for accounts in [&entry.ordinary, &entry.monitors] {
        let numbers: Vec<u32> = accounts.iter().map(|a| a.number()).collect();
        out.ascending(&numbers);
    }
    out.octets
}

/// Inverse of [`encode_trace`].
pub fn decode_trace(value: &[u8]) -> Result<TraceEntry, Error> {
    let mut input = Decoder::new(value, VERSION)?;
    let mut entry = TraceEntry { record: input.slice()?.to_vec(), ..TraceEntry::default() };
    for _ in 0..input.number()? {
        entry.terms.push(input.take(9)?.try_into().map_err(|_| Error::Corrupt)?);
    }
    for accounts in [&mut entry.ordinary, &mut entry.monitors] {
        for number in input.ascending()? {
            accounts.push(AccountId::new(number).ok_or(Error::Corrupt)?);
        }
    }
    input.end(entry)
}

/// The caller's record in a row of a trace, without the rest.
pub fn trace_record(value: &[u8]) -> Result<&[u8], Error> {
    Decoder::new(value, VERSION)?.slice()
}

/// A record of the audit log; its sequence number is in the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// When it was written.
    pub at: Timestamp,
    /// The hash of the record before it.
    pub previous: AuditHash,
    /// The caller's.
    pub record: Vec<u8>,
}

/// SHA-256 over the hash of the record before, sequence number, time and record.
pub type AuditHash = [u8; 32];

/// A place in an audit log: its end, or what was removed from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditHead {
    /// Sequence number of the record there. Records count from 1.
    pub sequence: u64,
    /// Its hash.
    pub hash: AuditHash,
}

impl AuditHead {
    /// The place of the record that follows.
    pub fn next(&self, at: Timestamp, record: &[u8]) -> Result<Self, Error> {
        let sequence = self.sequence.checked_add(1).ok_or(Error::Limit)?;
        let mut hash = Sha256::new();
        hash.update(self.hash);
        hash.update(sequence.to_be_bytes());
        hash.update(at.millis().to_be_bytes());
        hash.update(record);
        Ok(Self { sequence, hash: hash.finalize().into() })
    }
}

/// The value.
pub fn encode_audit(row: &AuditRow) -> Vec<u8> {
    let mut out = Encoder::sized(VERSION, 48 + row.record.len());
    out.time(row.at);
    out.octets.extend_from_slice(&row.previous);
    out.octets.extend_from_slice(&row.record);
    out.octets
}

/// Inverse of [`encode_audit`].
pub fn decode_audit(value: &[u8]) -> Result<AuditRow, Error> {
    let mut input = Decoder::new(value, VERSION)?;
    let at = input.time()?;
    let previous = input.take(32)?.try_into().map_err(|_| Error::Corrupt)?;
    Ok(AuditRow { at, previous, record: input.rest().to_vec() })
}

/// The value.
pub fn encode_audit_head(head: &AuditHead) -> Vec<u8> {
    let mut out = Encoder::new(VERSION);
    out.number(head.sequence);
    out.octets.extend_from_slice(&head.hash);
    out.octets
}

/// Inverse of [`encode_audit_head`].
pub fn decode_audit_head(value: &[u8]) -> Result<AuditHead, Error> {
    let mut input = Decoder::new(value, VERSION)?;
    let head = AuditHead { sequence: input.number()?, hash: input.take(32)?.try_into().map_err(|_| Error::Corrupt)? };
    input.end(head)
}
