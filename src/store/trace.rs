//! The trace of messages: for each what is known of it, to whom it was delivered and what came later, found by sender,
//! recipient, Message-ID and time. A row is written by the commit that it tells of; rows of the later commits stand
//! beside it. Local recipients are found by their delivery keys, whatever group or alias brought them the message.

use std::cell::Cell;

use super::engine::{Durability, Key, Keyspace, Write};
use super::record::{DeliveryRow, TraceEntry, TraceTerm};
use super::{Error, Origin, OutboxSource, Reader, Store, Target, key, record};
use crate::mail::{AccountId, BlobId, EventKind, EventKinds, Timestamp};

/// What is known of a message, or of a later event.
#[derive(Clone, Debug, Default)]
pub struct TraceWrite {
    /// The caller's, at most 1 MiB.
    pub record: Vec<u8>,
    /// Whom it says it is from: the text by which it is found, whatever its case. So the others.
    pub sender: Option<String>,
    /// Its Message-ID.
    pub message_id: Option<String>,
    /// Addressed recipients, and those on other hosts: at most 20,000.
    pub recipients: Vec<String>,
    /// What has happened, for those who subscribe to it; that it was delivered is known without.
    pub events: EventKinds,
}

/// Where a row of a trace stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct TracePlace {
    /// The message.
    pub transaction: BlobId,
    /// The later event; `None` for the trace itself.
    pub event: Option<BlobId>,
}

impl TracePlace {
    /// The trace of a message itself.
    pub fn first(transaction: BlobId) -> Self {
        Self { transaction, event: None }
    }

    /// A later event, under a new id.
    pub fn event(transaction: BlobId, event: BlobId) -> Self {
        Self { transaction, event: Some(event) }
    }

    fn source(self) -> OutboxSource {
        self.event.map_or(OutboxSource::Message, OutboxSource::Event)
    }

    /// Its key.
    pub fn key(self) -> Key {
        match self.event {
            None => key::trace(self.transaction),
            Some(event) => key::trace_event(self.transaction, event),
        }
    }
}

/// What to find. All that is given must be so.
#[derive(Clone, Debug)]
pub struct TraceQuery {
    /// This message.
    pub id: Option<BlobId>,
    /// The sender.
    pub sender: Option<String>,
    /// A recipient as addressed; together with `account`, either of the two.
    pub recipient: Option<String>,
    /// An account that it was delivered to, whatever address brought it there.
    pub account: Option<AccountId>,
    /// The Message-ID.
    pub message_id: Option<String>,
    /// Only messages of this party.
    pub party: Option<TraceParty>,
    /// Accepted at this time or later …
    pub from: Timestamp,
    /// … and before this.
    pub to: Timestamp,
    /// Only what is older than this message: the last one of the page before.
    pub after: Option<BlobId>,
    /// At most so many.
    pub limit: usize,
    /// At most so many deliveries of each, and never more than 1,000.
    pub deliveries: usize,
}

/// Whose messages: those that an account has, monitors' copies apart, and those with one of these senders.
#[derive(Clone, Debug)]
pub struct TraceParty {
    /// To whom they were delivered …
    pub account: AccountId,
    /// … or who they say they are from.
    pub senders: Vec<String>,
}

/// A message that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceRow {
    /// Its id.
    pub id: BlobId,
    /// The caller's record.
    pub record: Vec<u8>,
    /// The records of later events, oldest first; at most 1,000, and at most 1 MiB of them.
    pub events: Vec<Vec<u8>>,
    /// There are more events.
    pub has_more_events: bool,
    /// Its deliveries to mailboxes, as many as were asked for, first those of the accepting commit.
    pub deliveries: Vec<TraceDelivery>,
    /// How many there are.
    pub total: u64,
}

/// A delivery to a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceDelivery {
    /// Whose.
    pub account: AccountId,
    /// Whose copy.
    pub origin: Origin,
    /// What has become of it, where and through which group.
    pub row: DeliveryRow,
}

impl Store {
    /// Adds an event to the trace of a message: released, refused, a forward that failed. Durable.
    pub async fn trace_event(&self, transaction: BlobId, event: TraceWrite) -> Result<(), Error> {
        let id = self.inner.blob_ids.next(self.inner.clock.now());
        let writes = self.trace_writes(TracePlace::event(transaction, id), event, &[])?;
        self.transact(vec![], writes, Durability::Synced, |_| Ok((vec![], ()))).await
    }

    /// Keeps a trace of a message that was not accepted. Not durable: it is on disk with the next commit that is.
    pub async fn note_refusal(&self, refusal: TraceWrite) -> Result<BlobId, Error> {
        let id = self.inner.blob_ids.next(self.inner.clock.now());
        let writes = self.trace_writes(TracePlace::first(id), refusal, &[])?;
        self.transact(vec![], writes, Durability::Buffered, |_| Ok((vec![], ()))).await?;
        Ok(id)
    }

    /// Records what became of a message of which nothing else is kept. Durable.
    pub async fn note_end(&self, id: BlobId, trace: TraceWrite) -> Result<(), Error> {
        let writes = self.trace_writes(TracePlace::first(id), trace, &[])?;
        self.transact(vec![], writes, Durability::Synced, |_| Ok((vec![], ()))).await
    }

    /// Messages that answer the query and whose record `matches`, newest first. Reads the shortest index that the query
    /// names, or else every trace of its time.
    pub async fn traces<F>(&self, query: TraceQuery, matches: F) -> Result<Vec<TraceRow>, Error>
    where
        F: Fn(&[u8]) -> bool + Send + 'static,
    {
        self.read(move |reader| Search::new(reader, &query, &matches).run(&query)).await
    }

    /// Whether an account has a message, or a monitor its copy, by its delivery key.
    pub async fn delivery(
        &self,
        account: AccountId,
        transaction: BlobId,
        origin: Origin,
    ) -> Result<Option<DeliveryRow>, Error> {
        self.read(move |reader| reader.delivery(account, transaction, origin)).await
    }

    /// Removes traces, their indexes and delivery keys of messages from before `before`, in bounded commits. Gives how
    /// many rows of traces went.
    pub async fn expire_logs(&self, before: Timestamp) -> Result<u64, Error> {
        let mut expired = 0;
        loop {
            let (writes, rows) = self.read(move |reader| reader.expired_traces(before)).await?;
            if rows == 0 {
                return Ok(expired);
            }
            self.transact(vec![], writes, Durability::Buffered, |_| Ok((vec![], ()))).await?;
            expired += rows;
        }
    }

    /// The writes of a row with its index, and of what subscribers are to be told of it; it tells of the deliveries to
    /// `targets`, which are in order.
    pub(super) fn trace_writes(
        &self,
        place: TracePlace,
        write: TraceWrite,
        targets: &[Target],
    ) -> Result<Vec<Write>, Error> {
        if write.record.len() > MAX_RECORD || write.recipients.len() > MAX_RECIPIENTS {
            return Err(Error::Limit);
        }
        let mut terms: Vec<TraceTerm> = Vec::with_capacity(2 + write.recipients.len());
        terms.extend(write.sender.iter().map(|text| record::trace_term(SENDER, text)));
        terms.extend(write.message_id.iter().map(|text| record::trace_term(MESSAGE_ID, text)));
        terms.extend(write.recipients.iter().map(|text| record::trace_term(RECIPIENT, text)));
        terms.sort_unstable();
        terms.dedup();
        let of = |origin| targets.iter().filter(move |t| t.origin == origin).map(|t| t.account).collect();
        let (ordinary, monitors): (Vec<AccountId>, Vec<AccountId>) = (of(Origin::Ordinary), of(Origin::Monitor));
        let index = |term: &TraceTerm| Write { key: key::trace_index(*term, place.transaction), value: Some(vec![]) };
        let mut writes: Vec<Write> = terms.iter().map(index).collect();
        let events = write.events.with_if(EventKind::Delivered, !ordinary.is_empty());
        writes.append(&mut self.outbox_writes(place.transaction, place.source(), events));
        let entry = TraceEntry { record: write.record, terms, ordinary, monitors };
        writes.push(Write { key: place.key(), value: Some(record::encode_trace(&entry)) });
        Ok(writes)
    }
}

/// A query being answered.
struct Search<'a> {
    reader: &'a Reader<'a>,
    matches: &'a dyn Fn(&[u8]) -> bool,
    /// Each must name the message; the first is read, in the others the message is looked up.
    sources: Vec<Source>,
    /// Octets of events that the answer may still have.
    room: Cell<usize>,
}

/// Rows that name messages.
enum Source {
    One(BlobId),
    Term(TraceTerm),
    Account(AccountId),
    /// Either.
    Recipient(TraceTerm, AccountId),
    /// One of the terms, or the account's own copy.
    Party(Vec<TraceTerm>, AccountId),
    /// All of the time.
    Time,
}

impl<'a> Search<'a> {
    fn new(reader: &'a Reader<'a>, query: &TraceQuery, matches: &'a dyn Fn(&[u8]) -> bool) -> Self {
        let term = |kind, text: &Option<String>| text.as_deref().map(|text| record::trace_term(kind, text));
        let party = query
            .party
            .as_ref()
            .map(|party| party.senders.iter().map(|text| record::trace_term(SENDER, text)).collect::<Vec<_>>());
        let party = || Some(Source::Party(party.clone()?, query.party.as_ref()?.account));
        let mut sources = Vec::new();
        // First, so that a party reads its own rows and no others.
        sources.extend(party());
        sources.extend(query.id.map(Source::One));
        sources.extend(term(MESSAGE_ID, &query.message_id).map(Source::Term));
        sources.extend(match (term(RECIPIENT, &query.recipient), query.account) {
            (Some(term), Some(account)) => Some(Source::Recipient(term, account)),
            (Some(term), None) => Some(Source::Term(term)),
            (None, Some(account)) => Some(Source::Account(account)),
            (None, None) => None,
        });
        sources.extend(term(SENDER, &query.sender).map(Source::Term));
        // Again, to be looked up: its rows are of monitors' copies too.
        sources.extend(party());
        if sources.is_empty() {
            sources.push(Source::Time);
        }
        Self { reader, matches, sources, room: Cell::new(MAX_EVENTS_OCTETS_OF_ALL) }
    }

    fn run(&self, query: &TraceQuery) -> Result<Vec<TraceRow>, Error> {
        let (Some((driver, others)), first) = (self.sources.split_first(), BlobId::first_at(query.from)) else {
            return Ok(Vec::new());
        };
        let mut before = query.after.map_or(BlobId::first_at(query.to), |after| after.min(BlobId::first_at(query.to)));
        let mut found = Vec::new();
        while found.len() < query.limit {
            let page = self.page(driver, (first, before))?;
            let Some(last) = page.last().copied() else { break };
            for id in page {
                if found.len() < query.limit
                    && self.named_by_all(others, id)?
                    && let Some(row) = self.row(id, query.deliveries.min(MAX_DELIVERIES))?
                {
                    found.push(row);
                }
            }
            before = last;
        }
        Ok(found)
    }

    /// The newest messages of a source within the bounds, a page of them.
    fn page(&self, source: &Source, bounds: (BlobId, BlobId)) -> Result<Vec<BlobId>, Error> {
        match source {
            Source::One(id) => Ok(Some(*id).filter(|id| (bounds.0..bounds.1).contains(id)).into_iter().collect()),
            Source::Term(term) => self.keys(key::trace_index_range(*term, bounds), key::parse_trace_index),
            Source::Account(account) => self.deliveries(*account, bounds),
            Source::Recipient(term, account) => {
                let mut both = self.keys(key::trace_index_range(*term, bounds), key::parse_trace_index)?;
                both.extend(self.deliveries(*account, bounds)?);
                both.sort_unstable_by(|a, b| b.cmp(a));
                both.dedup();
                // Beyond the shorter page nothing is known of its source.
                both.truncate(PAGE);
                Ok(both)
            }
            Source::Party(terms, account) => {
                let mut all = self.deliveries(*account, bounds)?;
                for term in terms {
                    all.extend(self.keys(key::trace_index_range(*term, bounds), key::parse_trace_index)?);
                }
                all.sort_unstable_by(|a, b| b.cmp(a));
                all.dedup();
                all.truncate(PAGE);
                Ok(all)
            }
            Source::Time => self.times(bounds),
        }
    }

    fn keys(&self, (from, to): (Vec<u8>, Vec<u8>), parse: fn(&[u8]) -> Option<BlobId>) -> Result<Vec<BlobId>, Error> {
        let mut ids: Vec<BlobId> = Vec::new();
        self.reader.snapshot.range_back(Keyspace::Log, &from, &to, &mut |key, _| {
            // A monitor that is a recipient as well has two rows.
            ids.extend(parse(key).filter(|id| ids.last() != Some(id)));
            ids.len() < PAGE
        })?;
        Ok(ids)
    }

    /// The newest messages that were delivered to an account, by their delivery keys and by the lists of the large ones.
    fn deliveries(&self, account: AccountId, bounds: (BlobId, BlobId)) -> Result<Vec<BlobId>, Error> {
        let mut ids = self.keys(key::delivery_range(account, bounds), key::parse_delivery)?;
        // Behind a full page nobody looks yet.
        let first = ids.last().filter(|_| ids.len() >= PAGE).copied().unwrap_or(bounds.0);
        let (from, to) = key::delivery_list_range((first, bounds.1));
        let (mut listed, mut end) = (Vec::new(), Ok(()));
        self.reader.snapshot.range_back(Keyspace::Log, &from, &to, &mut |key, list| {
            match record::listed(list, account) {
                Ok(rows) if rows.is_empty() => {}
                Ok(_) => listed.extend(key::parse_delivery_list(key)),
                Err(error) => end = Err(error),
            }
            end.is_ok() && listed.len() < PAGE
        })?;
        end?;
        ids.append(&mut listed);
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.dedup();
        ids.truncate(PAGE);
        Ok(ids)
    }

    /// By time alone the records are read on the way, so that one that does not match costs no more than that.
    fn times(&self, bounds: (BlobId, BlobId)) -> Result<Vec<BlobId>, Error> {
        let mut ids = Vec::new();
        let (from, to) = key::trace_range(bounds);
        self.reader.snapshot.range_back(Keyspace::Log, &from, &to, &mut |key, value| {
            if let Some((id, true)) = key::parse_trace(key)
                && record::trace_record(value).is_ok_and(self.matches)
            {
                ids.push(id);
            }
            ids.len() < PAGE
        })?;
        Ok(ids)
    }

    fn named_by_all(&self, sources: &[Source], id: BlobId) -> Result<bool, Error> {
        for source in sources {
            let is_named = match source {
                Source::One(one) => *one == id,
                Source::Term(term) => self.has(key::trace_index(*term, id))?,
                Source::Account(account) => self.is_delivered(*account, id)?,
                Source::Recipient(term, account) => {
                    self.has(key::trace_index(*term, id))? || self.is_delivered(*account, id)?
                }
                Source::Party(terms, account) => {
                    let mut is_theirs = self.reader.delivery(*account, id, Origin::Ordinary)?.is_some();
                    for term in terms {
                        is_theirs = is_theirs || self.has(key::trace_index(*term, id))?;
                    }
                    is_theirs
                }
                Source::Time => true,
            };
            if !is_named {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is_delivered(&self, account: AccountId, id: BlobId) -> Result<bool, Error> {
        let has = |origin| Ok(self.reader.delivery(account, id, origin)?.is_some());
        Ok(has(Origin::Ordinary)? || has(Origin::Monitor)?)
    }

    fn has(&self, (keyspace, key): Key) -> Result<bool, Error> {
        Ok(self.reader.snapshot.get(keyspace, &key)?.is_some())
    }

    /// The message, if its record matches.
    fn row(&self, id: BlobId, deliveries: usize) -> Result<Option<TraceRow>, Error> {
        let (keyspace, key) = key::trace(id);
        let Some(value) = self.reader.snapshot.get(keyspace, &key)? else { return Ok(None) };
        if !(self.matches)(record::trace_record(&value)?) {
            return Ok(None);
        }
        let first = record::decode_trace(&value)?;
        let mut row = TraceRow {
            id,
            record: first.record.clone(),
            events: vec![],
            has_more_events: false,
            deliveries: vec![],
            total: 0,
        };
        let all = self.room.get();
        let mut room = all.min(MAX_EVENTS_OCTETS);
        let before = room;
        self.add(&mut row, &first, deliveries)?;
        let mut end = Ok(());
        let (from, to) = key::trace_event_range(id);
        self.reader.snapshot.range(keyspace, &from, &to, &mut |_, value| {
            end = record::decode_trace(value).and_then(|event| {
                if !event.record.is_empty() && !row.has_more_events {
                    match room.checked_sub(event.record.len()) {
                        Some(left) if row.events.len() < MAX_EVENTS => {
                            room = left;
                            row.events.push(event.record.clone());
                        }
                        _ => row.has_more_events = true,
                    }
                }
                self.add(&mut row, &event, deliveries)
            });
            end.is_ok()
        })?;
        self.room.set(all.saturating_sub(before.saturating_sub(room)));
        end.map(|()| Some(row))
    }

    /// Adds the deliveries of one commit.
    fn add(&self, row: &mut TraceRow, entry: &TraceEntry, most: usize) -> Result<(), Error> {
        row.total += (entry.ordinary.len() + entry.monitors.len()) as u64;
        let (keyspace, list) = key::delivery_list(row.id);
        let list = self.reader.snapshot.get(keyspace, &list)?.map(|list| record::decode_delivery_list(&list));
        let list = list.transpose()?.unwrap_or_default();
        for (account, origin) in recipients(entry) {
            if row.deliveries.len() >= most {
                return Ok(());
            }
            let (keyspace, key) = key::delivery(account, row.id, origin);
            let stored = self.reader.snapshot.get(keyspace, &key)?.map(|value| record::decode_delivery(&value));
            let found = stored.transpose()?.or_else(|| list.get(&(account, origin)).copied());
            row.deliveries.extend(found.map(|row| TraceDelivery { account, origin, row }));
        }
        Ok(())
    }
}

impl Reader<'_> {
    /// What has become of a delivery.
    pub(super) fn delivery(
        &self,
        account: AccountId,
        transaction: BlobId,
        origin: Origin,
    ) -> Result<Option<DeliveryRow>, Error> {
        let (keyspace, key) = key::delivery(account, transaction, origin);
        if let Some(value) = self.snapshot.get(keyspace, &key)? {
            return record::decode_delivery(&value).map(Some);
        }
        let (keyspace, key) = key::delivery_list(transaction);
        let Some(list) = self.snapshot.get(keyspace, &key)? else { return Ok(None) };
        let theirs = record::listed(&list, account)?;
        Ok(theirs.into_iter().find(|(listed, _)| *listed == origin).map(|(_, row)| row))
    }

    /// The writes that remove some of what is too old, and how many rows of traces that is.
    fn expired_traces(&self, before: Timestamp) -> Result<(Vec<Write>, u64), Error> {
        let (mut writes, mut rows) = (Vec::new(), 0);
        let (from, to) = key::trace_range((BlobId::first_at(Timestamp::from_millis(0)), BlobId::first_at(before)));
        self.snapshot.range(Keyspace::Log, &from, &to, &mut |key, value| {
            writes.push(Write::delete(Keyspace::Log, key.to_vec()));
            rows += 1;
            // A damaged row goes; what it would have named stays and is found by nothing.
            let id = key::parse_trace(key).filter(|(_, is_first)| *is_first).map(|(id, _)| id);
            writes.extend(id.map(|id| Write { key: key::delivery_list(id), value: None }));
            if let Some(((id, _), entry)) = key::parse_trace(key).zip(record::decode_trace(value).ok()) {
                writes.extend(entry.terms.iter().map(|term| Write { key: key::trace_index(*term, id), value: None }));
                let key = |(account, origin)| Write { key: key::delivery(account, id, origin), value: None };
                writes.extend(recipients(&entry).map(key));
            }
            writes.len() < BATCH
        })?;
        Ok((writes, rows))
    }
}

fn recipients(entry: &TraceEntry) -> impl Iterator<Item = (AccountId, Origin)> {
    let ordinary = entry.ordinary.iter().map(|account| (*account, Origin::Ordinary));
    ordinary.chain(entry.monitors.iter().map(|account| (*account, Origin::Monitor)))
}

const SENDER: u8 = b's';
const MESSAGE_ID: u8 = b'm';
const RECIPIENT: u8 = b'r';

const MAX_RECORD: usize = 1 << 20;
const MAX_RECIPIENTS: usize = 20_000;
const MAX_DELIVERIES: usize = 1000;
const MAX_EVENTS: usize = 1000;
/// Octets of the events of one message, and of all in an answer.
const MAX_EVENTS_OCTETS: usize = 1 << 20;
const MAX_EVENTS_OCTETS_OF_ALL: usize = 8 << 20;
/// Ids read at once.
const PAGE: usize = 500;
/// Writes after which an expiry is committed.
const BATCH: usize = 2000;
