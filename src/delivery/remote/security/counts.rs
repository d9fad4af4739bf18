//! What is counted for the reports of RFC 8460, by day and domain: in memory first, in the store some minutes later. A
//! crash loses what came in between.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::mail::{Domain, Timestamp};
use crate::proto::tls_report::{DAY, Judged, ResultType, Tally};
use crate::store::{Error, StateKey, Store, short_hash};

/// The counts that are not in the store yet.
#[derive(Debug, Default)]
pub(super) struct Counts {
    memory: Mutex<BTreeMap<(u32, Domain), Tally>>,
}

/// A domain's day as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    pub domain: Domain,
    pub tally: Tally,
    /// Where its report has gone already.
    #[serde(default)]
    pub sent: Vec<String>,
}

/// The day of a moment, in UTC, from 1970.
pub(super) fn day_of(at: Timestamp) -> u32 {
    u32::try_from(at.seconds().div_euclid(DAY)).unwrap_or_default()
}

impl Counts {
    /// Counts a session.
    pub fn add(
        &self,
        now: Timestamp,
        domain: &Domain,
        judged: &Judged,
        failure: Option<(ResultType, Option<&str>, &str)>,
    ) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (day_of(now), domain.clone());
        // What is counted of so many domains within minutes is for nobody.
        if memory.len() < IN_MEMORY || memory.contains_key(&key) {
            memory.entry(key).or_default().count(judged, failure);
        }
    }

    /// Writes to the store what was counted since the last time.
    pub async fn flush(&self, store: &Store) -> Result<(), Error> {
        let counted = std::mem::take(&mut *self.memory.lock().unwrap_or_else(PoisonError::into_inner));
        let mut failure = None;
        for ((day, domain), tally) in counted {
            if let Err(error) = add_to(store, day, &domain, tally.clone()).await {
                failure = Some(error);
                let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
                memory.entry((day, domain)).or_default().merge(tally);
            }
        }
        failure.map_or(Ok(()), Err)
    }
}

async fn add_to(store: &Store, day: u32, domain: &Domain, tally: Tally) -> Result<(), Error> {
    let Some(key) = key(day, domain) else { return Ok(()) };
    let kept = store.state(key.clone()).await?.and_then(|value| decode(&value)).filter(|row| row.domain == *domain);
    let mut row = kept.unwrap_or_else(|| Row { domain: domain.clone(), tally: Tally::default(), sent: Vec::new() });
    row.tally.merge(tally);
    match store.put_state(key.clone(), encode(&row)).await {
        Err(Error::Limit) => {
            row.tally = row.tally.shortened();
            store.put_state(key, encode(&row)).await
        }
        result => result,
    }
}

/// The rows of the days before `day`, in order, from the one after `after`.
pub(super) async fn before(
    store: &Store,
    day: u32,
    after: Option<StateKey>,
) -> Result<Vec<(StateKey, u32, Option<Row>)>, Error> {
    let rows = store.states(PREFIX.to_vec(), after, PAGE).await?;
    let of_day = |(key, value): (StateKey, Vec<u8>)| {
        let octets = key.octets().strip_prefix(PREFIX)?.first_chunk::<4>()?;
        Some((u32::from_be_bytes(*octets), key, value))
    };
    let rows = rows.into_iter().map_while(of_day).take_while(|(of, _, _)| *of < day);
    Ok(rows.map(|(of, key, value)| (key, of, decode(&value))).collect())
}

fn key(day: u32, domain: &Domain) -> Option<StateKey> {
    StateKey::new([PREFIX, &day.to_be_bytes(), short_hash(domain.as_str()).as_bytes()].concat())
}

pub(super) fn encode(row: &Row) -> Vec<u8> {
    // These types have nothing that JSON cannot hold.
    [&[VERSION][..], &serde_json::to_vec(row).unwrap_or_default()].concat()
}

fn decode(value: &[u8]) -> Option<Row> {
    let (version, json) = value.split_first()?;
    if *version == VERSION { serde_json::from_slice(json).ok() } else { None }
}

const PREFIX: &[u8] = b"tls-report/";
const VERSION: u8 = 1;
const IN_MEMORY: usize = 10_000;
/// Rows that are read at once.
pub(super) const PAGE: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_version_of_a_row_stays_readable() {
        let octets = b"\x01{\"domain\":\"example.test\",\"tally\":{\"policies\":[{\"kind\":\"no-policy-found\",\"lines\":[],\
            \"mx\":[],\"successes\":2,\"failures\":[{\"result\":\"starttls-not-supported\",\"host\":\"mx.example.test\",\
            \"reason\":\"\",\"count\":1}]}],\"own\":0},\"sent\":[\"mailto:a@b.test\"]}";
        let row = decode(octets).unwrap();
        assert_eq!(row.tally.sessions(), 3);
        assert_eq!(encode(&row), octets);
        assert_eq!(decode(&[&[2], &octets[1..]].concat()), None);
    }
}
