//! How keys and DNS records look in the API. Never a private key.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::view::rfc3339;
use crate::directory::{DomainKeys, KeyState};
use crate::mail::{Domain, Timestamp};
use crate::policy::published::{Entry, Finding};

/// The keys with which a domain signs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeysView {
    /// The domain.
    pub domain: String,
    /// Pairs of keys, the oldest first. What is listed here is to be published.
    pub pairs: Vec<PairView>,
}

/// Keys that come and go together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PairView {
    /// What it is called.
    pub name: String,
    /// `pending` (published and not used yet), `active` or `retired` (published and not used any more).
    pub state: String,
    /// RFC 3339, UTC.
    pub created: String,
    /// When a pending pair is used at the earliest, or a retired one goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Its keys.
    pub keys: Vec<KeyView>,
}

/// A key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyView {
    /// `rsa-sha256` or `ed25519-sha256`.
    pub algorithm: String,
    /// Where it is published.
    pub name: String,
    /// What is published there, as a TXT record.
    pub record: String,
}

impl KeysView {
    /// What everybody may see.
    pub fn of(domain: &Domain, keys: &DomainKeys) -> Self {
        let pair = |pair: &crate::directory::KeyPair| PairView {
            name: pair.name.clone(),
            state: pair.state.name().to_owned(),
            created: rfc3339(pair.created),
            until: match pair.state {
                KeyState::Pending(at) | KeyState::Retired(at) => Some(rfc3339(at)),
                KeyState::Active => None,
            },
            keys: pair
                .keys
                .iter()
                .map(|key| KeyView {
                    algorithm: key.algorithm.name().to_owned(),
                    name: format!("{}._domainkey.{domain}", key.selector),
                    record: key.record(),
                })
                .collect(),
        };
        Self { domain: domain.to_string(), pairs: keys.pairs.iter().map(pair).collect() }
    }
}

/// What a domain is to publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DnsView {
    /// The domain.
    pub domain: String,
    /// Each record.
    pub records: Vec<RecordView>,
    /// The same as lines of a zone file.
    pub zone: String,
    /// The policy to serve at `https://mta-sts.DOMAIN/.well-known/mta-sts.txt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mta_sts_policy: Option<String>,
}

/// A record to publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecordView {
    /// Its name, without the last dot.
    pub name: String,
    /// `MX`, `TXT` …
    #[serde(rename = "type")]
    pub record: String,
    /// Its data; empty if only the administrator knows it.
    pub value: String,
    /// What it is for: `mx`, `spf`, `dkim` …
    pub purpose: String,
    /// Mail is lost, refused or taken for forged without it.
    pub needed: bool,
}

impl RecordView {
    /// A record's view.
    pub fn of(entry: &Entry) -> Self {
        Self {
            name: entry.name.clone(),
            record: entry.record.to_owned(),
            value: entry.value.clone(),
            purpose: entry.kind.name().to_owned(),
            needed: entry.kind.is_needed(),
        }
    }
}

/// What the DNS has of what a domain is to publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DnsCheck {
    /// The domain.
    pub domain: String,
    /// RFC 3339, UTC.
    pub checked: String,
    /// How many records somebody has to do something about.
    pub problems: usize,
    /// Each record.
    pub records: Vec<CheckedRecord>,
}

/// How a record stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckedRecord {
    /// The record to publish.
    #[serde(flatten)]
    pub record: RecordView,
    /// `right`, `missing`, `wrong` or `unknown` (the DNS does not answer).
    pub standing: String,
    /// Somebody has to do something.
    pub problem: bool,
    /// What is there.
    pub found: Vec<String>,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl DnsCheck {
    /// What was found at a time.
    pub fn of(domain: &Domain, now: Timestamp, findings: &[Finding]) -> Self {
        let records = findings.iter().map(|finding| CheckedRecord {
            record: RecordView::of(&finding.entry),
            standing: finding.standing.name().to_owned(),
            problem: finding.is_problem(),
            found: finding.found.clone(),
            note: finding.note.clone(),
        });
        let problems = findings.iter().filter(|finding| finding.is_problem()).count();
        Self { domain: domain.to_string(), checked: rfc3339(now), problems, records: records.collect() }
    }
}
