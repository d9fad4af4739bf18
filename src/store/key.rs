//! The keys of every keyspace. Numbers are big-endian, so that keys sort as their numbers do.

use super::engine::{Key, Keyspace};
use super::record::DeliveryKind;
use super::{FollowUpKey, HoldKind, Lane, Origin, QueueList, QueueSender, RuleSetId, SliceKey, SubscriberId};
use crate::mail::{AccountId, BlobId, EventId, HoldId, MailboxId, ModSeq, OrganisationId, QueueId, Timestamp, Uid};

/// Octets in front of a key of the mailbox keyspace that name the account.
pub const ACCOUNT_OCTETS: usize = 4;
/// Octets in front of the key of an entry that name account and mailbox.
pub const MAILBOX_OCTETS: usize = 8;

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
    let (account, rest) = key.split_first_chunk::<ACCOUNT_OCTETS>()?;
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

/// Targets that wait for their slice of a delivery.
pub fn slice(slice: SliceKey) -> Key {
    (Keyspace::Task, join(&[b"f", slice.transaction.octets(), slice.id.octets()]))
}

/// Bounds of all slices, or of those after one.
pub fn slice_range(after: Option<SliceKey>) -> (Vec<u8>, Vec<u8>) {
    (after.map_or(b"f".to_vec(), |after| following(slice(after).1)), b"g".to_vec())
}

/// The slice of a key.
pub fn parse_slice(key: &[u8]) -> Option<SliceKey> {
    let (transaction, id) = key.strip_prefix(b"f")?.split_first_chunk::<12>()?;
    Some(SliceKey { transaction: BlobId::from_octets(*transaction), id: parse_message(id)? })
}

/// A message that is still to be made.
pub fn follow_up(row: FollowUpKey) -> Key {
    (Keyspace::Task, join(&[b"u", row.transaction.octets(), row.id.octets()]))
}

/// Bounds of all messages that are still to be made, or of those after one.
pub fn follow_up_range(after: Option<FollowUpKey>) -> (Vec<u8>, Vec<u8>) {
    (after.map_or(b"u".to_vec(), |after| following(follow_up(after).1)), b"v".to_vec())
}

/// The row of a key.
pub fn parse_follow_up(key: &[u8]) -> Option<FollowUpKey> {
    let (transaction, id) = key.strip_prefix(b"u")?.split_first_chunk::<12>()?;
    Some(FollowUpKey { transaction: BlobId::from_octets(*transaction), id: parse_message(id)? })
}

/// An event that a subscriber has still to be told.
pub fn outbox(subscriber: SubscriberId, event: EventId) -> Key {
    (Keyspace::Task, join(&[b"o", subscriber.octets(), event.octets()]))
}

/// Bounds of a subscriber's events, or of those after one.
pub fn outbox_range(subscriber: SubscriberId, after: Option<EventId>) -> (Vec<u8>, Vec<u8>) {
    let all = join(&[b"o", subscriber.octets()]);
    let to = successor(&all);
    (after.map_or(all, |after| following(outbox(subscriber, after).1)), to)
}

/// Bounds of the events of all subscribers.
pub fn outboxes_range() -> (Vec<u8>, Vec<u8>) {
    (b"o".to_vec(), b"p".to_vec())
}

/// Subscriber and event of a key.
pub fn parse_outbox(key: &[u8]) -> Option<(SubscriberId, EventId)> {
    let (subscriber, event) = key.strip_prefix(b"o")?.split_first_chunk::<8>()?;
    Some((SubscriberId::from_octets(*subscriber), EventId::from_octets(event.try_into().ok()?)))
}

/// True if it is such a key.
pub fn is_outbox((keyspace, key): &Key) -> bool {
    *keyspace == Keyspace::Task && key.starts_with(b"o")
}

/// A row of the caller's own.
pub fn state(name: &[u8]) -> Key {
    (Keyspace::Task, join(&[b"x", name]))
}

/// Bounds of the caller's rows whose name starts with `prefix`.
pub fn state_range(prefix: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let from = state(prefix).1;
    let to = successor(&from);
    (from, to)
}

/// The name in the key of a caller's row.
pub fn parse_state(key: &[u8]) -> Option<&[u8]> {
    key.strip_prefix(b"x")
}

/// An item of the queue.
pub fn queue_item(id: QueueId) -> Key {
    (Keyspace::Queue, join(&[b"q", id.octets()]))
}

/// Bounds of all items.
pub fn queue_item_range() -> (Vec<u8>, Vec<u8>) {
    (b"q".to_vec(), b"r".to_vec())
}

/// The item of a queue key.
pub fn parse_queue_item(key: &[u8]) -> Option<QueueId> {
    Some(QueueId::from_octets(key.strip_prefix(b"q")?.try_into().ok()?))
}

/// Where an item waits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The host of the recipient; empty for an account here.
    pub host: String,
    /// The lane.
    pub lane: Lane,
    /// When it is due.
    pub due: Timestamp,
    /// The item.
    pub id: QueueId,
}

/// The place of an item in its destination's lane; `host` is empty for an account here.
pub fn queue_place(host: &str, lane: Lane, due: Timestamp, id: QueueId) -> Key {
    (Keyspace::Queue, join(&[b"n", host.as_bytes(), &[0, lane as u8], &moment(due), id.octets()]))
}

/// Bounds of the places of a lane that are due in `from..=to`.
pub fn queue_lane(host: &str, lane: Lane, from: Timestamp, to: Timestamp) -> (Vec<u8>, Vec<u8>) {
    let lane = [&b"n"[..], host.as_bytes(), &[0, lane as u8]].concat();
    (join(&[&lane, &moment(from)]), join(&[&lane, &moment(to), &[255; 13]]))
}

/// Bounds of all places, or of those of the destinations after one.
pub fn queue_places_after(host: Option<&str>) -> (Vec<u8>, Vec<u8>) {
    (host.map_or(b"n".to_vec(), |host| join(&[b"n", host.as_bytes(), &[1]])), b"o".to_vec())
}

/// The place of a key.
pub fn parse_queue_place(key: &[u8]) -> Option<Place> {
    let (rest, id) = key.strip_prefix(b"n")?.split_last_chunk::<12>()?;
    let (rest, due) = rest.split_last_chunk::<8>()?;
    let (host, [0, lane]) = rest.split_last_chunk::<2>()? else { return None };
    Some(Place {
        host: std::str::from_utf8(host).ok()?.to_owned(),
        lane: Lane::from_octet(*lane)?,
        due: Timestamp::from_millis(i64::from_be_bytes(*due)),
        id: QueueId::from_octets(*id),
    })
}

/// An item by its sender; those of nobody are not found that way.
pub fn queue_sender(sender: &QueueSender, id: QueueId) -> Option<Key> {
    Some((Keyspace::Queue, join(&[&sender_prefix(sender)?, id.octets()])))
}

fn sender_prefix(sender: &QueueSender) -> Option<Vec<u8>> {
    match sender {
        QueueSender::Account(account) => Some(join(&[b"ea", &account.number().to_be_bytes()])),
        QueueSender::Address(address) => Some(join(&[b"et", address.as_bytes(), &[0]])),
        QueueSender::Nobody => None,
    }
}

/// What the keys of a list begin with; `None` if it is empty by its nature.
pub fn queue_list(list: &QueueList) -> Option<Vec<u8>> {
    match list {
        QueueList::All => Some(b"q".to_vec()),
        QueueList::Host(host) => Some(join(&[b"n", host.as_bytes(), &[0]])),
        QueueList::Local => Some(vec![b'n', 0]),
        QueueList::Sender(sender) => sender_prefix(sender),
    }
}

/// Bounds of the keys with a prefix, or of those after the one that goes on with `after`.
pub fn within_prefix(prefix: &[u8], after: Option<&[u8]>) -> (Vec<u8>, Vec<u8>) {
    (after.map_or(prefix.to_vec(), |after| following(join(&[prefix, after]))), successor(prefix))
}

/// Bounds of the rows in which earlier versions kept the places of items.
pub fn old_queue_places() -> [(Vec<u8>, Vec<u8>); 3] {
    [(b"d".to_vec(), b"e".to_vec()), (b"l".to_vec(), b"m".to_vec()), (b"t".to_vec(), b"u".to_vec())]
}

/// The item that a row of the queue or of one of its indexes names.
pub fn parse_queue_index(key: &[u8]) -> Option<QueueId> {
    key.last_chunk::<12>().map(|id| QueueId::from_octets(*id))
}

/// A held message.
pub fn hold(id: HoldId) -> Key {
    (Keyspace::Queue, join(&[b"h", id.octets()]))
}

/// Bounds of all held messages.
pub fn hold_range() -> (Vec<u8>, Vec<u8>) {
    (b"h".to_vec(), b"i".to_vec())
}

/// The id of a held message's key.
pub fn parse_hold(key: &[u8]) -> Option<HoldId> {
    Some(HoldId::from_octets(key.strip_prefix(b"h")?.try_into().ok()?))
}

/// A held message by organisation and kind.
pub fn hold_listed(organisation: OrganisationId, kind: HoldKind, id: HoldId) -> Key {
    (Keyspace::Queue, join(&[b"o", &organisation.number().to_be_bytes(), &[kind as u8], id.octets()]))
}

/// Bounds of an organisation's held messages of one kind, or of those after one.
pub fn hold_listed_range(organisation: OrganisationId, kind: HoldKind, after: Option<HoldId>) -> (Vec<u8>, Vec<u8>) {
    let from = join(&[b"o", &organisation.number().to_be_bytes(), &[kind as u8]]);
    let to = successor(&from);
    (after.map_or(from, |id| following(hold_listed(organisation, kind, id).1)), to)
}

/// A held message by what is to become of it, and when.
pub fn hold_due(what: HoldDue, at: Timestamp, id: HoldId) -> Key {
    (Keyspace::Queue, join(&[&[what as u8], &moment(at), id.octets()]))
}

/// Bounds of the held messages with which `what` is to happen by `now`.
pub fn hold_due_range(what: HoldDue, now: Timestamp) -> (Vec<u8>, Vec<u8>) {
    (vec![what as u8], join(&[&[what as u8], &moment(now), &[255; 13]]))
}

/// The held message that a row of an index names.
pub fn parse_hold_index(key: &[u8]) -> Option<HoldId> {
    key.last_chunk::<12>().map(|id| HoldId::from_octets(*id))
}

/// What is to become of a held message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum HoldDue {
    /// Its time to be decided ends.
    Expires = b'x',
    /// It is decided, and that is still to be carried out; filed under the time of the decision.
    Decided = b'w',
    /// What is kept of it goes.
    Forgotten = b'z',
}

/// Octets that an organisation holds.
pub fn hold_usage(organisation: OrganisationId) -> Key {
    (Keyspace::Queue, join(&[b"u", &organisation.number().to_be_bytes()]))
}

/// Bounds of what organisations hold.
pub fn hold_usage_range() -> (Vec<u8>, Vec<u8>) {
    (b"u".to_vec(), b"v".to_vec())
}

/// The organisation of a usage key.
pub fn parse_hold_usage(key: &[u8]) -> Option<OrganisationId> {
    OrganisationId::new(u32::from_be_bytes(key.strip_prefix(b"u")?.try_into().ok()?))
}

/// The rules under which messages were held.
pub fn rule_set(id: RuleSetId) -> Key {
    (Keyspace::Queue, join(&[b"r", id.octets()]))
}

/// Bounds of all rule sets.
pub fn rule_set_range() -> (Vec<u8>, Vec<u8>) {
    (b"r".to_vec(), b"s".to_vec())
}

/// The id of a rule set's key.
pub fn parse_rule_set(key: &[u8]) -> Option<RuleSetId> {
    Some(RuleSetId::from_octets(key.strip_prefix(b"r")?.try_into().ok()?))
}

/// How many held messages refer to a rule set.
pub fn rule_set_count(id: RuleSetId) -> Key {
    (Keyspace::Queue, join(&[b"s", id.octets()]))
}

/// Bounds of those counts.
pub fn rule_set_count_range() -> (Vec<u8>, Vec<u8>) {
    (b"s".to_vec(), b"t".to_vec())
}

/// The id of a count's key.
pub fn parse_rule_set_count(key: &[u8]) -> Option<RuleSetId> {
    Some(RuleSetId::from_octets(key.strip_prefix(b"s")?.try_into().ok()?))
}

/// That an account has a message, or a monitor its copy: the delivery key (policy semantics §19).
pub fn delivery(account: AccountId, transaction: BlobId, origin: Origin) -> Key {
    let kind = [DeliveryKind::of(origin) as u8];
    (Keyspace::Log, join(&[b"d", &account.number().to_be_bytes(), transaction.octets(), &kind]))
}

/// Bounds of an account's deliveries of the transactions `from..to`.
pub fn delivery_range(account: AccountId, (from, to): (BlobId, BlobId)) -> (Vec<u8>, Vec<u8>) {
    let account = account.number().to_be_bytes();
    (join(&[b"d", &account, from.octets()]), join(&[b"d", &account, to.octets()]))
}

/// The transaction of a delivery's key.
pub fn parse_delivery(key: &[u8]) -> Option<BlobId> {
    parse_message(key.strip_prefix(b"d")?.get(4..16)?)
}

/// The deliveries of the commit that accepted a message, if they were many: each stands in it or under its delivery key,
/// and what is under the key is newer.
pub fn delivery_list(transaction: BlobId) -> Key {
    (Keyspace::Log, join(&[b"l", transaction.octets()]))
}

/// Bounds of the lists of the transactions `from..to`.
pub fn delivery_list_range((from, to): (BlobId, BlobId)) -> (Vec<u8>, Vec<u8>) {
    (delivery_list(from).1, delivery_list(to).1)
}

/// The transaction of a list's key.
pub fn parse_delivery_list(key: &[u8]) -> Option<BlobId> {
    parse_message(key.strip_prefix(b"l")?)
}

/// The trace of a message.
pub fn trace(transaction: BlobId) -> Key {
    (Keyspace::Log, join(&[b"t", transaction.octets()]))
}

/// A later event in the trace of a message; `event` is a new id.
pub fn trace_event(transaction: BlobId, event: BlobId) -> Key {
    (Keyspace::Log, join(&[b"t", transaction.octets(), event.octets()]))
}

/// Bounds of the traces of the messages `from..to` with their events.
pub fn trace_range((from, to): (BlobId, BlobId)) -> (Vec<u8>, Vec<u8>) {
    (trace(from).1, trace(to).1)
}

/// Bounds of the events of one message.
pub fn trace_event_range(transaction: BlobId) -> (Vec<u8>, Vec<u8>) {
    let trace = trace(transaction).1;
    let to = successor(&trace);
    (following(trace), to)
}

/// The message of a trace's key, and whether it is the trace itself rather than an event.
pub fn parse_trace(key: &[u8]) -> Option<(BlobId, bool)> {
    let (blob, event) = key.strip_prefix(b"t")?.split_first_chunk::<12>()?;
    Some((BlobId::from_octets(*blob), event.is_empty()))
}

/// By what a trace is found: see [`super::record::TraceTerm`].
pub fn trace_index(term: [u8; 9], transaction: BlobId) -> Key {
    (Keyspace::Log, join(&[b"i", &term, transaction.octets()]))
}

/// Bounds of the messages `from..to` found by a term.
pub fn trace_index_range(term: [u8; 9], (from, to): (BlobId, BlobId)) -> (Vec<u8>, Vec<u8>) {
    (trace_index(term, from).1, trace_index(term, to).1)
}

/// The message of an index row.
pub fn parse_trace_index(key: &[u8]) -> Option<BlobId> {
    parse_message(key.strip_prefix(b"i")?.get(9..)?)
}

/// One record of an organisation's audit log.
pub fn audit(organisation: OrganisationId, sequence: u64) -> Key {
    (Keyspace::Log, join(&[b"a", &organisation.number().to_be_bytes(), &sequence.to_be_bytes()]))
}

/// Bounds of an organisation's audit records from `first` to before `end`.
pub fn audit_range(organisation: OrganisationId, first: u64, end: u64) -> (Vec<u8>, Vec<u8>) {
    (audit(organisation, first).1, audit(organisation, end).1)
}

/// The sequence number of an audit record's key.
pub fn parse_audit(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.strip_prefix(b"a")?.get(4..)?.try_into().ok()?))
}

/// The end of an organisation's audit log.
pub fn audit_head(organisation: OrganisationId) -> Key {
    (Keyspace::Log, join(&[b"h", &organisation.number().to_be_bytes()]))
}

/// Bounds of the ends of all audit logs.
pub fn audit_head_range() -> (Vec<u8>, Vec<u8>) {
    (b"h".to_vec(), b"i".to_vec())
}

/// The organisation of the key of an audit log's end.
pub fn parse_audit_head(key: &[u8]) -> Option<OrganisationId> {
    OrganisationId::new(u32::from_be_bytes(key.strip_prefix(b"h")?.try_into().ok()?))
}

/// The last record that has been removed from an organisation's audit log.
pub fn audit_base(organisation: OrganisationId) -> Key {
    (Keyspace::Log, join(&[b"b", &organisation.number().to_be_bytes()]))
}

fn within(account: AccountId, mailbox: MailboxId, rest: &[u8]) -> Vec<u8> {
    join(&[&account.number().to_be_bytes(), &mailbox.number().to_be_bytes(), rest])
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// The first key after `key`.
fn following(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

/// The first key that does not start with `prefix`.
fn successor(prefix: &[u8]) -> Vec<u8> {
    let mut key = prefix.to_vec();
    while let Some(last) = key.pop() {
        if last < 255 {
            key.push(last + 1);
            return key;
        }
    }
    vec![255; 100]
}

/// Moments before 1970 do not occur in what is due.
fn moment(at: Timestamp) -> [u8; 8] {
    at.millis().max(0).to_be_bytes()
}
