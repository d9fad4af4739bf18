//! What the audit log keeps of a change (policy semantics §14): who, when, what, the object before and after. Secrets
//! never appear; views have none.

use serde::Serialize;
use serde_json::Value;

use super::Actor;
use crate::mail::Timestamp;

/// One object of a change.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// The object's name at the time: an address or a domain.
    pub object: String,
    /// Its view before, null if it did not exist.
    pub before: Value,
    /// Its view after, null if it exists no more; "changed" for a password.
    pub after: Value,
}

impl Entry {
    /// The entry for an object seen as `before` and `after`.
    pub fn new<T: Serialize>(object: &impl ToString, before: Option<&T>, after: Option<&T>) -> Self {
        let value = |view: Option<&T>| view.and_then(|v| serde_json::to_value(v).ok()).unwrap_or(Value::Null);
        Self { object: object.to_string(), before: value(before), after: value(after) }
    }

    /// The entry for a changed password.
    pub fn password(object: &impl ToString) -> Self {
        Self { object: object.to_string(), before: Value::Null, after: Value::from("changed") }
    }
}

/// The record's stored form: a version octet and JSON.
pub fn record(at: Timestamp, actor: Actor, action: &str, entries: &[Entry]) -> Vec<u8> {
    let mut octets = vec![VERSION];
    let record = Record { at: at.millis(), actor, action, entries };
    // Writing to memory cannot fail, and all keys are strings.
    let _ = serde_json::to_writer(&mut octets, &record);
    octets
}

#[derive(Serialize)]
struct Record<'a> {
    at: i64,
    actor: Actor,
    action: &'a str,
    entries: &'a [Entry],
}

const VERSION: u8 = 1;
