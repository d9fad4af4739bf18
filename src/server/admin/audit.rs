//! What the audit log keeps of a change (policy semantics §14): who, when, what, each object before and after. Secrets
//! never appear; shapes have none. Each organisation has its own log; what is nobody's, relays, is in all of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Actor;
use super::spec::Difference;
use crate::mail::{OrganisationId, Timestamp};
use crate::store::AuditEntry;

/// What one record says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// Who.
    pub actor: Actor,
    /// What: `account.add`, `group.members` …
    pub action: String,
    /// What became of the objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<Difference>,
    /// Why nothing became of it: the error's key. Of attempts that the semantics do not allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// What was attempted, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Record {
    /// A change that happened.
    pub fn change(at: Timestamp, actor: Actor, action: &str, entries: Vec<Difference>) -> Self {
        Self { at: at.millis(), actor, action: action.to_owned(), entries, refused: None, reason: None }
    }

    /// An attempt that was refused.
    pub fn refusal(at: Timestamp, actor: Actor, action: &str, key: &str, reason: String) -> Self {
        let (refused, reason) = (Some(key.to_owned()), Some(reason));
        Self { at: at.millis(), actor, action: action.to_owned(), entries: Vec::new(), refused, reason }
    }

    /// The stored form: a version octet and JSON.
    pub fn encode(&self) -> Vec<u8> {
        let mut octets = vec![VERSION];
        // Writing to memory cannot fail, and all keys are strings.
        let _ = serde_json::to_writer(&mut octets, self);
        octets
    }

    /// From the stored form; `None` if it is damaged or of a later version.
    pub fn decode(octets: &[u8]) -> Option<Self> {
        match octets.split_first() {
            Some((&VERSION, json)) => serde_json::from_slice(json).ok(),
            _ => None,
        }
    }
}

/// The records of a change in the logs of the organisations whose objects it touches; `everybody` has those that are
/// nobody's.
pub fn records(record: &Record, owners: &[Option<OrganisationId>], everybody: &[OrganisationId]) -> Vec<AuditEntry> {
    let mut shares: BTreeMap<OrganisationId, Vec<Difference>> = BTreeMap::new();
    for (entry, owner) in record.entries.iter().zip(owners) {
        let owners = owner.as_ref().map_or(everybody, std::slice::from_ref);
        owners.iter().for_each(|id| shares.entry(*id).or_default().push(entry.clone()));
    }
    let share =
        |(organisation, entries)| AuditEntry { organisation, record: Record { entries, ..record.clone() }.encode() };
    shares.into_iter().map(share).collect()
}

const VERSION: u8 = 1;
