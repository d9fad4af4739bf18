//! FETCH and UID FETCH (RFC 3501 §6.4.5, §7.4.2).
//!
//! Messages are read and written in batches: one trip to a blocking thread and one write for many small answers.
//! What is larger than a batch streams in pieces, so that memory stays bounded whatever the size of a message.
//!
//! A batch ends before a monitor's copy of which no first look is recorded; the record is written, then the batch goes
//! on. So nobody else's mail pays for it.

use std::sync::Arc;

use super::context::Context;
use super::monitored::Recorder;
use super::section::{self, Octets, Range, Stored};
use super::selected::Selected;
use super::status::{Done, Failure, Outcome, Reason};
use super::view::numbers;
use crate::mail::{AccountId, Flags, MailboxId, SystemFlag, SystemFlags, Uid, UidSet};
use crate::proto::imap::response::FetchResponse;
use crate::proto::imap::{Fetch, FetchItem, Numbering};
use crate::store::{Entry, Error, FlagChange, FlagUpdate, Reader, Rest};

/// What is asked of each message, and what the session knows for it.
struct Plan {
    account: AccountId,
    mailbox: MailboxId,
    items: Vec<FetchItem>,
    changed_since: Option<u64>,
    /// `\Recent` in this session.
    recent: UidSet,
    /// Got `\Seen` by this command: FLAGS is part of the answer.
    newly_seen: UidSet,
    /// Something beside the entry is needed.
    reads_message: bool,
    /// First looks at monitors' copies are recorded before there is an answer.
    records_looks: bool,
}

/// A message asked for: its number and UID.
type Numbered = (u32, Uid);

/// Answers for the first messages of those asked for.
struct Batch {
    /// Octets to send.
    out: Vec<u8>,
    /// What comes after them, too large to be held.
    rest: Vec<Piece>,
    /// How many of the messages asked for are done.
    taken: usize,
    /// How many of these do not exist.
    gone: usize,
    /// Copies that must be opened before there is more.
    unopened: UidSet,
    /// Why others of these have no answer.
    failed: Option<Error>,
}

/// A part of an answer.
enum Piece {
    Octets(Vec<u8>),
    Content(Range),
}

/// Sends what is asked for.
pub async fn fetch(context: &mut Context, selected: &mut Selected, command: Fetch) -> Outcome {
    let wanted = selected.resolve(command.numbering, &command.set)?;
    let sets_seen = !selected.read_only && command.items.iter().any(FetchItem::sets_seen);
    let newly_seen = if sets_seen { mark_seen(context, selected, &wanted).await? } else { UidSet::new() };
    let mut plan = plan(selected, &command, newly_seen);
    let recorder = if plan.reads_message { Recorder::new(context, selected) } else { None };
    plan.records_looks = recorder.is_some();
    let plan = Arc::new(plan);

    let store = context.services.store.clone();
    let read = |asked: Vec<Numbered>| {
        let (store, plan) = (store.clone(), plan.clone());
        async move { store.read(move |r| Ok((batch(r, &plan, &asked)?, asked))).await }
    };
    let (mut gone, mut failed) = (0, None);
    let mut numbers = numbers(selected.view.uids());
    let mut left = wanted.iter().filter_map(|uid| Some((numbers.of(uid)?, uid)));
    let first: Vec<Numbered> = left.by_ref().take(MESSAGES_AT_ONCE).collect();
    let mut ready = if first.is_empty() { None } else { Some(read(first).await?) };
    while let Some((batch, mut asked)) = ready.take() {
        gone += batch.gone;
        failed = failed.or(batch.failed);
        let unopened = batch.unopened;
        asked.drain(..batch.taken.min(asked.len()));
        asked.extend(left.by_ref().take(MESSAGES_AT_ONCE.saturating_sub(asked.len())));
        let send = async {
            context.connection.write_owned(batch.out);
            context.relieve().await?;
            stream(context, batch.rest).await
        };
        if asked.is_empty() {
            send.await?;
        } else {
            // The next answers are read while these are sent: twice the octets a second on two processors.
            let next = async {
                if let (Some(recorder), false) = (&recorder, unopened.is_empty()) {
                    recorder.open(unopened).await?;
                }
                read(asked).await
            };
            let (sent, next) = tokio::join!(send, next);
            sent?;
            ready = Some(next?);
        }
    }
    match failed {
        Some(error) => Err(error.into()),
        None if gone > 0 && command.numbering == Numbering::Sequence => Err(Reason::ExpungeIssued.into()),
        None => Ok(Done::Plain),
    }
}

/// The items in the order asked; UID first for UID FETCH (RFC 3501 §6.4.8).
fn plan(selected: &Selected, command: &Fetch, newly_seen: UidSet) -> Plan {
    let mut items = command.items.clone();
    if command.numbering == Numbering::Uid {
        items.retain(|item| *item != FetchItem::Uid);
        items.insert(0, FetchItem::Uid);
    }
    let of_entry = |item: &FetchItem| {
        matches!(
            item,
            FetchItem::Uid | FetchItem::Flags | FetchItem::InternalDate | FetchItem::Rfc822Size | FetchItem::ModSeq
        )
    };
    Plan {
        account: selected.account,
        mailbox: selected.mailbox,
        reads_message: !items.iter().all(of_entry),
        items,
        changed_since: command.changed_since,
        recent: selected.view.recent_uids().clone(),
        newly_seen,
        records_looks: false,
    }
}

/// Sets `\Seen` where it is not set; gives the messages that got it (RFC 3501 §6.4.5). A store that takes no writes
/// leaves the flag as it is and the mail readable.
async fn mark_seen(context: &mut Context, selected: &mut Selected, wanted: &UidSet) -> Result<UidSet, Failure> {
    let (account, mailbox, asked) = (selected.account, selected.mailbox, wanted.clone());
    let find = move |reader: &Reader<'_>| {
        let mut unseen = UidSet::new();
        reader.entries(account, mailbox, &asked, &mut |entry| {
            if !entry.flags.contains(SystemFlag::Seen) {
                unseen.insert(entry.uid);
            }
            true
        })?;
        Ok(unseen)
    };
    let unseen = context.services.store.read(find).await?;
    if unseen.is_empty() {
        return Ok(unseen);
    }
    let flags = Flags { system: SystemFlags::default().with(SystemFlag::Seen), keywords: Vec::new() };
    let update = FlagUpdate { change: FlagChange::Add, flags };
    let updated = match context.services.store.update_flags(account, mailbox, unseen, update).await {
        Ok(updated) => updated,
        Err(error) => {
            tracing::warn!(%account, %error, "cannot mark messages as seen");
            return Ok(UidSet::new());
        }
    };
    updated.entries.iter().for_each(|entry| selected.known.add(entry));
    Ok(updated.entries.iter().map(|entry| entry.uid).collect())
}

/// Sends what was too large for a batch.
async fn stream(context: &mut Context, pieces: Vec<Piece>) -> Result<(), Failure> {
    for piece in pieces {
        match piece {
            Piece::Octets(octets) => context.connection.write(&octets),
            Piece::Content(range) => {
                context.connection.write(&range.prefix);
                let mut from = range.from;
                while from < range.to {
                    let (rest, to) = (range.rest, range.to.min(from.saturating_add(STREAM)));
                    let read = context.services.store.read(move |r| exactly(r, rest, from, to));
                    // The length of the literal has been sent: with less than that the session cannot go on.
                    let octets = read.await.map_err(|_| Failure::Lost)?;
                    context.connection.write_owned(octets);
                    context.relieve().await?;
                    from = to;
                }
            }
        }
    }
    context.relieve().await
}

/// Exactly the octets `from..to`.
fn exactly(reader: &Reader<'_>, rest: Rest, from: u64, to: u64) -> Result<Vec<u8>, Error> {
    let size = usize::try_from(to.saturating_sub(from)).map_err(|_| Error::Corrupt)?;
    let mut octets = Vec::with_capacity(size);
    reader.rest(rest, from, to, &mut octets)?;
    if octets.len() == size { Ok(octets) } else { Err(Error::Corrupt) }
}

/// Answers for as many of the messages as fit.
fn batch(reader: &Reader<'_>, plan: &Plan, asked: &[Numbered]) -> Result<Batch, Error> {
    let uids: UidSet = asked.iter().map(|(_, uid)| *uid).collect();
    let mut writer = Writer::default();
    let mut batch =
        Batch { out: Vec::new(), rest: Vec::new(), taken: 0, gone: 0, unopened: UidSet::new(), failed: None };
    let mut left = asked.iter();
    let mut full = false;
    reader.entries(plan.account, plan.mailbox, &uids, &mut |entry| {
        if plan.records_looks && entry.is_unopened() {
            batch.unopened.insert(entry.uid);
        }
        // Nothing behind an unopened copy is answered before it; what else is unopened is recorded with it.
        if !batch.unopened.is_empty() {
            return true;
        }
        for (number, uid) in left.by_ref() {
            batch.taken += 1;
            if *uid == entry.uid {
                // One damaged message does not keep the others from being read.
                let start = writer.out.len();
                if let Err(error) = answer(reader, plan, *number, &entry, &mut writer) {
                    tracing::error!(account = %plan.account, uid = %entry.uid, %error, "cannot read a message");
                    writer.out.truncate(start);
                    writer.rest.clear();
                    batch.failed = Some(error);
                }
                break;
            }
            batch.gone += 1;
        }
        full = writer.is_full();
        !full
    })?;
    if !full && batch.unopened.is_empty() {
        batch.gone += left.len();
        batch.taken = asked.len();
    }
    (batch.out, batch.rest) = (writer.out, writer.rest);
    Ok(batch)
}

/// Writes the FETCH response of one message.
fn answer(reader: &Reader<'_>, plan: &Plan, number: u32, entry: &Entry, writer: &mut Writer) -> Result<(), Error> {
    if plan.changed_since.is_some_and(|since| entry.modseq.number() <= since) {
        return Ok(());
    }
    let mut stored = if plan.reads_message { Some(Stored::read(reader, entry.blob)?) } else { None };
    let mut fetch = FetchResponse::begin(writer.octets(), number);
    for item in &plan.items {
        match (item, &mut stored) {
            (FetchItem::Uid, _) => fetch.uid(writer.octets(), entry.uid),
            (FetchItem::Flags, _) => {
                fetch.flags(writer.octets(), &entry.flags, plan.recent.contains(entry.uid));
            }
            (FetchItem::InternalDate, _) => fetch.internal_date(writer.octets(), entry.internal_date),
            (FetchItem::Rfc822Size, _) => fetch.size(writer.octets(), entry.size),
            (FetchItem::ModSeq, _) => fetch.modseq(writer.octets(), entry.modseq),
            (item, Some(stored)) => of_message(reader, stored, item, &mut fetch, writer)?,
            (_, None) => {}
        }
    }
    if plan.newly_seen.contains(entry.uid) && !plan.items.contains(&FetchItem::Flags) {
        fetch.flags(writer.octets(), &entry.flags, plan.recent.contains(entry.uid));
    }
    fetch.end(writer.octets());
    Ok(())
}

/// Writes an item for which more than the entry is needed.
fn of_message(
    reader: &Reader<'_>,
    stored: &mut Stored,
    item: &FetchItem,
    fetch: &mut FetchResponse,
    writer: &mut Writer,
) -> Result<(), Error> {
    match item {
        FetchItem::Envelope => fetch.ready(writer.octets(), item, &stored.summary()?.envelope),
        FetchItem::Body => fetch.ready(writer.octets(), item, &stored.summary()?.body),
        FetchItem::BodyStructure => fetch.ready(writer.octets(), item, &stored.summary()?.body_structure),
        item => match section::octets(reader, stored, item)? {
            None => fetch.nil(writer.octets(), item),
            Some(Octets::Ready(octets)) => {
                literal(fetch, writer.octets(), item, octets.len() as u64);
                writer.octets().extend_from_slice(&octets);
            }
            Some(Octets::Range(range)) => {
                literal(fetch, writer.octets(), item, range.size());
                writer.content(reader, range)?;
            }
        },
    }
    // Many sections of one message, each of which is in memory.
    if writer.octets().len() > ANSWER { Err(Error::Limit) } else { Ok(()) }
}

/// Announces the octets of an item. None are an empty string: some clients fail on a literal of size 0.
fn literal(fetch: &mut FetchResponse, out: &mut Vec<u8>, item: &FetchItem, size: u64) {
    if size == 0 {
        fetch.ready(out, item, b"\"\"");
    } else {
        fetch.literal(out, item, size);
    }
}

/// Collects answers: in memory up to a limit, as pieces still to be read beyond it.
#[derive(Default)]
struct Writer {
    out: Vec<u8>,
    rest: Vec<Piece>,
}

impl Writer {
    /// Where to write next.
    fn octets(&mut self) -> &mut Vec<u8> {
        if self.rest.is_empty() {
            return &mut self.out;
        }
        if !matches!(self.rest.last(), Some(Piece::Octets(_))) {
            self.rest.push(Piece::Octets(Vec::new()));
        }
        match self.rest.last_mut() {
            Some(Piece::Octets(octets)) => octets,
            _ => &mut self.out,
        }
    }

    /// Adds content: reads it if it is small, keeps it for later if not.
    fn content(&mut self, reader: &Reader<'_>, range: Range) -> Result<(), Error> {
        if !self.rest.is_empty() || range.size() > STREAM || self.out.len() >= BATCH {
            self.rest.push(Piece::Content(range));
            return Ok(());
        }
        let before = self.out.len();
        let size = usize::try_from(range.size()).map_err(|_| Error::Corrupt)?;
        self.out.extend_from_slice(&range.prefix);
        reader.rest(range.rest, range.from, range.to, &mut self.out)?;
        if self.out.len().checked_sub(before) == Some(size) { Ok(()) } else { Err(Error::Corrupt) }
    }

    fn is_full(&self) -> bool {
        !self.rest.is_empty() || self.out.len() >= BATCH
    }
}

/// Octets of answers made at once.
const BATCH: usize = 256 << 10;
/// Content above this is not made at once but in pieces of this size.
const STREAM: u64 = 256 << 10;
/// Octets of one message's answer, without what streams.
const ANSWER: usize = 16 << 20;
/// Messages looked at at once.
const MESSAGES_AT_ONCE: usize = 1000;
