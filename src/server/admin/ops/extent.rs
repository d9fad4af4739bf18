//! What of the trace an actor may know (policy semantics §13.5, §16): operators everything, a domain admin the messages
//! of its organisation, an account what it sent or received.
//!
//! A record tells of rules, monitors, other recipients and other organisations. What is shown of it to who may not know
//! all of that is picked out field by field, so that a field that is added to records is not shown by itself.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::super::Actor;
use super::super::permission::Reach;
use crate::accept::record::BY_HOOKS;
use crate::directory::Directory;
use crate::mail::{AccountId, Address, BlobId, OrganisationId};
use crate::store::{DeliveryRow, Origin, TraceDelivery, TraceParty, TraceQuery, TraceRow};

/// How far an actor sees in the trace.
pub(super) enum Extent {
    /// Everything.
    Everything,
    /// Messages from and to one organisation.
    Organisation(Ours),
    /// Messages from and to one account.
    Person(Person),
    /// Nothing.
    Nothing,
}

impl Extent {
    /// The actor's.
    pub fn of(directory: &Arc<Directory>, actor: Actor) -> Self {
        match Reach::of(directory, actor) {
            Reach::Everything => Self::Everything,
            Reach::Organisation(id) => Self::Organisation(Ours { directory: directory.clone(), id }),
            Reach::Person(_, account) => Self::Person(Person::new(directory, account)),
            Reach::Nothing => Self::Nothing,
        }
    }

    /// Narrows what is looked for to what may be found.
    pub fn narrow(&self, query: &mut TraceQuery) {
        match self {
            Self::Everything | Self::Nothing => {}
            Self::Organisation(ours) => query.account = query.account.filter(|id| ours.has(*id)),
            Self::Person(person) => {
                query.party = Some(person.party());
                query.account = query.account.filter(|id| *id == person.account);
                query.deliveries = 0;
            }
        }
    }

    /// What is shown of a message; `None` if it turns out to be none of theirs.
    pub fn shown(&self, row: TraceRow) -> Option<TraceRow> {
        match self {
            Self::Everything => Some(row),
            Self::Organisation(ours) => Some(ours.shown(row)),
            Self::Person(person) => person.shown(row),
            Self::Nothing => None,
        }
    }
}

/// An organisation.
#[derive(Clone)]
pub(super) struct Ours {
    directory: Arc<Directory>,
    id: OrganisationId,
}

impl Ours {
    /// True for one of our accounts.
    pub fn has(&self, account: AccountId) -> bool {
        self.directory.account_organisation(account) == Some(self.id)
    }

    /// True if one who is named in the record is one of ours.
    pub fn concerns(&self, record: &[u8]) -> bool {
        let Ok(record) = serde_json::from_slice::<Value>(record) else { return false };
        self.owners(&record).contains(&self.id)
    }

    /// The organisations of those who are named in the record.
    fn owners(&self, record: &Value) -> Vec<OrganisationId> {
        let named = [&record["login"], &record["reverse_path"]].into_iter();
        let recipients = ["recipients", BY_HOOKS].into_iter().flat_map(|list| listed(record, list));
        let texts = named.filter_map(Value::as_str).chain(recipients);
        texts.filter_map(|text| self.owner(text)).collect()
    }

    fn owner(&self, text: &str) -> Option<OrganisationId> {
        self.directory.organisation_of(address(text)?.domain()?)
    }

    /// All of it, if nobody else's is in it; otherwise our deliveries, and what was on the envelope of our sender or
    /// for our recipients.
    fn shown(&self, mut row: TraceRow) -> TraceRow {
        let record: Value = serde_json::from_slice(&row.record).unwrap_or_default();
        let is_ours = |delivery: &TraceDelivery| self.has(delivery.account);
        let all_named = self.owners(&record).iter().all(|owner| *owner == self.id);
        // Of some that are not listed nothing is known.
        if all_named && row.deliveries.iter().all(is_ours) && row.total == row.deliveries.len() as u64 {
            return row;
        }
        let sender = record["login"].as_str().or(record["reverse_path"].as_str());
        let is_sender = sender.and_then(|text| self.owner(text)) == Some(self.id);
        let is_known = |text: &str| is_sender || self.owner(text) == Some(self.id);
        row.record = reduced(&record, is_known, is_known);
        row.events.clear();
        row.has_more_events = false;
        row.deliveries.retain(is_ours);
        row.total = row.deliveries.len() as u64;
        row
    }
}

/// An account and the messages that it received.
pub(super) struct Person {
    pub account: AccountId,
    addresses: HashSet<String>,
    received: HashMap<BlobId, DeliveryRow>,
    directory: Arc<Directory>,
}

impl Person {
    fn new(directory: &Arc<Directory>, account: AccountId) -> Self {
        let addresses = addresses(directory, account).into_iter().map(|a| a.key().as_str().to_owned()).collect();
        Self { account, addresses, received: HashMap::new(), directory: directory.clone() }
    }

    /// For the query.
    pub fn party(&self) -> TraceParty {
        let senders = addresses(&self.directory, self.account).iter().map(Address::to_string).collect();
        TraceParty { account: self.account, senders }
    }

    /// What has become of a message in the account, if it has come there.
    pub fn note(&mut self, id: BlobId, delivery: Option<DeliveryRow>) {
        self.received.extend(delivery.map(|row| (id, row)));
    }

    fn is_mine(&self, text: &Value) -> bool {
        text.as_str().and_then(address).is_some_and(|a| self.addresses.contains(a.key().as_str()))
    }

    /// True if the account sent it: a claim of somebody else is none of its messages.
    fn sent(&self, record: &Value) -> bool {
        match record["login"] {
            Value::Null => {
                matches!(record["class"].as_str(), Some("O2" | "O3")) && self.is_mine(&record["reverse_path"])
            }
            ref login => self.is_mine(login),
        }
    }

    /// What was on the envelope if it is the sender's, or for itself; its own delivery; nothing that came later, and
    /// nobody whom a hook has named but itself.
    fn shown(&self, mut row: TraceRow) -> Option<TraceRow> {
        let record: Value = serde_json::from_slice(&row.record).unwrap_or_default();
        let received = self.received.get(&row.id);
        let is_sender = self.sent(&record);
        if received.is_none() && !is_sender {
            return None;
        }
        let is_own = |text: &str| address(text).is_some_and(|a| self.addresses.contains(a.key().as_str()));
        row.record = reduced(&record, |text| is_sender || is_own(text), is_own);
        row.events.clear();
        row.has_more_events = false;
        let delivery = |row: &DeliveryRow| {
            let is_hidden = row.via.and_then(|id| self.directory.group(id)).is_some_and(|group| group.hidden);
            let row = DeliveryRow { via: row.via.filter(|_| !is_hidden), ..*row };
            TraceDelivery { account: self.account, origin: Origin::Ordinary, row }
        };
        row.deliveries = received.map(delivery).into_iter().collect();
        row.total = row.deliveries.len() as u64;
        Some(row)
    }
}

/// Every address under which an account writes: its own and its aliases, under each name of their domains.
fn addresses(directory: &Directory, account: AccountId) -> Vec<Address> {
    let primary = directory.account(account).map(|a| a.address.clone());
    let aliases = directory.aliases_of(account).filter(|a| a.enabled).map(|a| a.address.clone());
    let own: Vec<Address> = primary.into_iter().chain(aliases).collect();
    let second = own.iter().flat_map(|address| {
        let principal = address.domain().and_then(|d| directory.domain(d)).map(|d| d.id);
        let names = directory.domains().filter(move |d| principal.is_some() && d.alias_of == principal);
        names.filter_map(|d| Address::parse(&format!("{}@{}", address.local_part(), d.name)).ok())
    });
    second.chain(own.iter().cloned()).collect()
}

/// What everybody may know who is a party to the message; of its recipients those that are `known`, and of those that
/// hooks have named those that are `known_by_hooks`.
fn reduced(record: &Value, known: impl Fn(&str) -> bool, known_by_hooks: impl Fn(&str) -> bool) -> Vec<u8> {
    let mut shown = Map::new();
    for name in PUBLIC {
        if let Some(value) = record.get(name).filter(|value| !value.is_null()) {
            shown.insert(name.to_owned(), value.clone());
        }
    }
    let recipients = listed(record, "recipients").filter(|text| known(text)).map(Value::from).collect();
    shown.insert("recipients".to_owned(), Value::Array(recipients));
    let by_hooks: Vec<Value> = listed(record, BY_HOOKS).filter(|text| known_by_hooks(text)).map(Value::from).collect();
    if !by_hooks.is_empty() {
        shown.insert(BY_HOOKS.to_owned(), Value::Array(by_hooks));
    }
    // Values with string keys: writing to memory cannot fail.
    serde_json::to_vec(&shown).unwrap_or_default()
}

/// True if what is shown of a message names this recipient: as addressed, or where it went elsewhere.
pub(super) fn names(row: &TraceRow, asked: &str) -> bool {
    let record: Value = serde_json::from_slice(&row.record).unwrap_or_default();
    let remote = record["remote"].as_array().into_iter().flatten().filter_map(|to| to["to"].as_str());
    let mut named = listed(&record, "recipients").chain(listed(&record, BY_HOOKS)).chain(remote);
    // As the index compares.
    named.any(|text| text.to_lowercase() == asked.to_lowercase())
}

/// The recipients in a list of the record, as they were addressed.
fn listed<'a>(record: &'a Value, list: &str) -> impl Iterator<Item = &'a str> {
    let recipients = record[list].as_array().into_iter().flatten();
    recipients.filter_map(|value| value.as_str().or_else(|| value["address"].as_str()))
}

fn address(text: &str) -> Option<Address> {
    Address::parse(text.trim_start_matches('<').trim_end_matches('>')).ok()
}

/// What both ends of a message see of it, or were told.
const PUBLIC: [&str; 10] =
    ["time", "result", "reverse_path", "header_from", "subject", "message_id", "size", "spf", "dmarc", "reply"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_named_is_not_shown() {
        let record = json!({
            "time": 1, "subject": "hello", "recipients": [{ "address": "a@corp.test", "to": "x" }, "b@corp.test"],
            "recipients_by_hooks": [{ "address": "archive@corp.test", "to": "x" }], "rules": ["watch"], "copies": [{ "monitor": "erin@corp.test" }], "login": "c@corp.test", "anything": "new",
        });
        let reduced = |by_hooks: bool| -> Value {
            serde_json::from_slice(&reduced(&record, |text| text.starts_with('a'), |_| by_hooks)).unwrap()
        };
        assert_eq!(reduced(false), json!({ "time": 1, "subject": "hello", "recipients": ["a@corp.test"] }));
        assert_eq!(reduced(true)[BY_HOOKS], json!(["archive@corp.test"]));
    }
}
