//! An event as others are told of it: what the trace says of it that they may know.
//!
//! Nothing of a message's content is told, not even its Subject; nor which rules matched it, who has a copy as a monitor,
//! and where it was put.

use serde_json::{Map, Value, json};

use crate::directory::Directory;
use crate::mail::{AccountId, EventKind, Timestamp};
use crate::store::{DeliveryState, OutboxEvent, OutboxRow, OutboxSource, TraceDelivery};

/// The event as a JSON object; `None` if in the end there is nothing to tell: the mailbox had no room after all.
pub fn told(directory: &Directory, row: &OutboxRow, event: &OutboxEvent) -> Option<Value> {
    let record = parsed(&event.message);
    let later = event.event.as_deref().map(parsed);
    let mut told = Map::new();
    told.insert("id".to_owned(), json!(row.id.to_string()));
    told.insert("event".to_owned(), json!(row.kind.name()));
    told.insert("time".to_owned(), json!(row.id.timestamp().rfc3339()));
    told.insert("message".to_owned(), message(row, &record));
    let more = match (row.kind, row.source) {
        (EventKind::Accepted, _) => json!({ "recipients": addressed(&record) }),
        (EventKind::Held, _) => json!({ "recipients": addressed(&record) }),
        (EventKind::Delivered, _) => delivered(directory, event)?,
        (EventKind::Refused | EventKind::Deferred, OutboxSource::Message) => {
            let mut more = picked(&record, &["at", "reply"]);
            more.insert("recipients".to_owned(), addressed(&record));
            Value::Object(more)
        }
        (EventKind::Refused, _) => Value::Object(picked(later.as_ref()?, &["by", "text"])),
        (EventKind::Released, _) => Value::Object(picked(later.as_ref()?, &["by", "accounts", "remote"])),
        (EventKind::Bounced, OutboxSource::Delivery(_)) => full(directory, event)?,
        (EventKind::Relayed, _) => attempted(later.as_ref()?, "relayed"),
        (EventKind::Deferred, _) => attempted(later.as_ref()?, "deferred"),
        (EventKind::Bounced, _) => attempted(later.as_ref()?, "failed"),
    };
    if let Value::Object(more) = more {
        told.extend(more);
    }
    Some(Value::Object(told))
}

fn parsed(octets: &[u8]) -> Value {
    serde_json::from_slice(octets).unwrap_or_default()
}

/// What is told of the message with each of its events.
fn message(row: &OutboxRow, record: &Value) -> Value {
    let mut message = picked(record, &MESSAGE);
    message.insert("id".to_owned(), json!(row.transaction.to_string()));
    let received = record.get("time").and_then(Value::as_i64).map(Timestamp::from_millis);
    message.insert("received".to_owned(), json!(received.map(Timestamp::rfc3339)));
    Value::Object(message)
}

fn picked(record: &Value, names: &[&str]) -> Map<String, Value> {
    let present = |name: &&str| Some(((*name).to_owned(), record.get(*name).filter(|v| !v.is_null())?.clone()));
    names.iter().filter_map(present).collect()
}

/// The recipients as given, whatever form the record has them in.
fn addressed(record: &Value) -> Value {
    let recipients = record.get("recipients").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let address = |recipient: &Value| recipient.get("address").unwrap_or(recipient).clone();
    recipients.iter().map(|recipient| json!({ "address": address(recipient) })).collect()
}

fn delivered(directory: &Directory, event: &OutboxEvent) -> Option<Value> {
    let one = |delivery: &TraceDelivery| {
        let group = delivery.row.via.and_then(|id| directory.group(id)).map(|group| group.address.to_string());
        let mut one = Map::new();
        one.insert("address".to_owned(), json!(account(directory, delivery.account)));
        one.extend(group.map(|group| ("group".to_owned(), json!(group))));
        Value::Object(one)
    };
    let reached = event.deliveries.iter().filter(|delivery| delivery.row.state == DeliveryState::Delivered);
    let reached: Vec<Value> = reached.map(one).collect();
    let unlisted = event.total.saturating_sub(event.deliveries.len());
    (!reached.is_empty()).then(|| json!({ "recipients": reached, "unlisted": unlisted }))
}

/// Whom the message did not reach because the account had no room for as long as it was tried.
fn full(directory: &Directory, event: &OutboxEvent) -> Option<Value> {
    let failed = event.deliveries.iter().filter(|delivery| delivery.row.state == DeliveryState::Failed);
    let one = |delivery: &TraceDelivery| json!({ "address": account(directory, delivery.account), "status": "5.2.2", "text": "the mailbox is full" });
    let failed: Vec<Value> = failed.map(one).collect();
    (!failed.is_empty()).then(|| json!({ "recipients": failed }))
}

/// Of an attempt at another host, those recipients with whom it ended so.
fn attempted(event: &Value, result: &str) -> Value {
    let recipients = event.get("recipients").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let of_result = recipients.iter().filter(|one| one.get("result").and_then(Value::as_str) == Some(result));
    let one = |recipient: &Value| {
        let mut one = picked(recipient, &["status", "text", "host", "tls", "attempt"]);
        one.insert("address".to_owned(), recipient.get("to").cloned().unwrap_or_default());
        let due = recipient.get("due").and_then(Value::as_i64).map(Timestamp::from_millis);
        one.extend(due.map(|due| ("next_attempt".to_owned(), json!(due.rfc3339()))));
        Value::Object(one)
    };
    json!({ "recipients": of_result.map(one).collect::<Vec<_>>() })
}

fn account(directory: &Directory, id: AccountId) -> String {
    directory.account(id).map_or_else(|| format!("account {id}"), |account| account.address.to_string())
}

/// What is told of a message, as the trace calls it.
const MESSAGE: [&str; 11] =
    ["class", "reverse_path", "header_from", "message_id", "size", "client", "helo", "login", "spf", "dkim", "dmarc"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{BlobId, EventId};

    fn row(kind: EventKind, source: OutboxSource) -> OutboxRow {
        OutboxRow { id: EventId::from_octets([1; 12]), kind, transaction: BlobId::from_octets([2; 12]), source }
    }

    fn event(message: Value, later: Option<Value>) -> OutboxEvent {
        let octets = |value: Value| value.to_string().into_bytes();
        OutboxEvent { message: octets(message), event: later.map(octets), deliveries: vec![], total: 0 }
    }

    #[test]
    fn attempts_name_those_they_ended_so_for() {
        let later = json!({ "recipients": [
            { "to": "a@x.test", "result": "relayed", "status": "2.0.0", "text": "ok", "host": "mx", "tls": null, "due": null },
            { "to": "b@x.test", "result": "failed", "status": "5.1.1", "text": "no", "due": null },
            { "to": "c@x.test", "result": "deferred", "status": "4.0.0", "text": "later", "due": 1000 },
        ]});
        let event = event(json!({ "time": 0, "subject": "secret", "reverse_path": "<s@y.test>" }), Some(later));
        let source = OutboxSource::Event(BlobId::from_octets([3; 12]));
        for (kind, expected) in [
            (EventKind::Relayed, json!([{ "address": "a@x.test", "status": "2.0.0", "text": "ok", "host": "mx" }])),
            (EventKind::Bounced, json!([{ "address": "b@x.test", "status": "5.1.1", "text": "no" }])),
            (
                EventKind::Deferred,
                json!([{
                    "address": "c@x.test", "status": "4.0.0", "text": "later", "next_attempt": "1970-01-01T00:00:01Z"
                }]),
            ),
        ] {
            let told = told(&Directory::default(), &row(kind, source), &event).unwrap();
            assert_eq!(told["recipients"], expected, "{kind}");
            assert_eq!((&told["event"], &told["message"]["reverse_path"]), (&json!(kind.name()), &json!("<s@y.test>")));
            assert!(!told.to_string().contains("secret"), "{told}");
        }
    }

    #[test]
    fn recipients_are_named_as_given() {
        for recipients in [json!([{ "address": "a@x.test", "to": "b@x.test" }]), json!(["a@x.test"])] {
            let event = event(json!({ "time": 0, "recipients": recipients, "at": "RCPT", "reply": "550 no" }), None);
            for kind in [EventKind::Accepted, EventKind::Held, EventKind::Refused, EventKind::Deferred] {
                let told = told(&Directory::default(), &row(kind, OutboxSource::Message), &event).unwrap();
                assert_eq!(told["recipients"], json!([{ "address": "a@x.test" }]), "{kind}");
                let is_refusal = matches!(kind, EventKind::Refused | EventKind::Deferred);
                assert_eq!(told.get("reply").is_some(), is_refusal, "{kind}");
            }
        }
    }

    #[test]
    fn nothing_is_told_of_what_did_not_happen() {
        let event = event(json!({ "time": 0 }), None);
        let account = AccountId::new(1).unwrap();
        for (kind, source) in [
            (EventKind::Delivered, OutboxSource::Message),
            (EventKind::Delivered, OutboxSource::Delivery(account)),
            (EventKind::Bounced, OutboxSource::Delivery(account)),
            (EventKind::Released, OutboxSource::Message),
        ] {
            assert_eq!(told(&Directory::default(), &row(kind, source), &event), None, "{kind}");
        }
    }
}
