//! Policies of MTA-STS (RFC 8461): found, fetched, kept for as long as they say, and fetched again before that ends.
//!
//! A policy is kept in the store under its domain; what was used lately is in memory too. A fetch that fails changes
//! nothing of what is kept (RFC 8461 §3.3), and is not repeated for five minutes.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use serde::{Deserialize, Serialize};

use crate::mail::{Clock, Domain, Timestamp};
use crate::net::dns::Dns;
use crate::net::http_client::{Excess, HttpClient, HttpError, Limits, Request};
use crate::proto::mta_sts::{MAX_POLICY, Mode, POLICY_PATH, Policy, policy_host, record_id, record_name};
use crate::proto::tls_report::ResultType;
use crate::store::{Error, StateKey, Store, short_hash};

/// The policies of the domains that mail was sent to.
#[derive(Debug)]
pub(super) struct Policies {
    dns: Dns,
    https: HttpClient,
    fetch_time: Duration,
    store: Store,
    clock: Arc<dyn Clock>,
    memory: Mutex<LruCache<Domain, Entry>>,
    /// One fetch at a time for a domain.
    turns: Vec<tokio::sync::Mutex<()>>,
    /// How many are in the store, about.
    stored: AtomicUsize,
}

/// What is known of one domain.
#[derive(Clone, Debug, Default)]
struct Entry {
    kept: Option<Arc<Kept>>,
    failure: Option<Failed>,
    used: Option<Timestamp>,
}

/// A policy as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    domain: Domain,
    id: String,
    pub policy: Policy,
    fetched: Timestamp,
    used: Timestamp,
}

#[derive(Clone, Debug)]
struct Failed {
    id: String,
    at: Timestamp,
    why: FetchFailure,
}

/// Why a policy could not be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FetchFailure {
    pub result: ResultType,
    pub text: String,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// The policy that holds.
    pub policy: Option<Arc<Kept>>,
    /// The domain tells of another one, and it cannot be had.
    pub failure: Option<FetchFailure>,
}

impl Kept {
    fn holds_at(&self, now: Timestamp) -> bool {
        let age = i64::try_from(self.policy.max_age.as_millis()).unwrap_or(i64::MAX);
        now.millis() < self.fetched.millis().saturating_add(age)
    }
}

impl Policies {
    pub fn new(dns: Dns, https: HttpClient, fetch_time: Duration, store: Store, clock: Arc<dyn Clock>) -> Self {
        let memory = Mutex::new(LruCache::new(NonZeroUsize::new(IN_MEMORY).unwrap_or(NonZeroUsize::MIN)));
        let turns = (0..TURNS).map(|_| tokio::sync::Mutex::new(())).collect();
        Self { dns, https, fetch_time, store, clock, memory, turns, stored: AtomicUsize::new(0) }
    }

    /// The policy that holds for a domain now.
    pub async fn find(&self, domain: &Domain) -> Found {
        let told = self.told(domain).await;
        let entry = self.entry(domain).await;
        if let Some(found) = self.settled(&entry, told.as_deref()) {
            return found;
        }
        let _turn = self.turn(domain).lock().await;
        // Somebody may have fetched it meanwhile.
        let entry = self.entry(domain).await;
        if let Some(found) = self.settled(&entry, told.as_deref()) {
            return found;
        }
        let failure = self.renew(domain, told.unwrap_or_default(), None).await.err();
        let now = self.clock.now();
        Found { policy: self.entry(domain).await.kept.filter(|kept| kept.holds_at(now)), failure }
    }

    /// Fetches again what was used lately and is a day old, and forgets what holds no more.
    pub async fn refresh(&self) -> Result<(), Error> {
        let (mut after, mut count) = (None, 0usize);
        loop {
            let rows = self.store.states(PREFIX.to_vec(), after.take(), PAGE).await?;
            for (key, value) in &rows {
                let now = self.clock.now();
                match decode(value).filter(|kept| kept.holds_at(now)) {
                    None => self.store.delete_state(key.clone()).await?,
                    Some(kept) => {
                        count = count.saturating_add(1);
                        self.refresh_one(&kept, now).await;
                    }
                }
            }
            match rows.last() {
                Some((last, _)) if rows.len() == PAGE => after = Some(last.clone()),
                _ => break,
            }
        }
        self.stored.store(count, Ordering::Relaxed);
        Ok(())
    }

    async fn refresh_one(&self, kept: &Kept, now: Timestamp) {
        let used = self.entry(&kept.domain).await.used.unwrap_or(kept.used);
        // What holds for a day only would otherwise end before its time comes.
        let age = REFRESH.min(kept.policy.max_age / 2);
        let is_due = older(kept.fetched, now, age) && !older(used, now, UNUSED) && kept.policy.mode != Mode::None;
        if !is_due {
            return;
        }
        // A domain that tells of none any more lets its policy end.
        let Some(id) = self.told(&kept.domain).await else { return };
        let _turn = self.turn(&kept.domain).lock().await;
        // A failure is remembered, and the next day is soon enough.
        drop(self.renew(&kept.domain, id, Some(used)).await);
    }

    /// What needs no fetch: nothing told, the same as is kept, or a failure of lately.
    fn settled(&self, entry: &Entry, told: Option<&str>) -> Option<Found> {
        let now = self.clock.now();
        let policy = entry.kept.clone().filter(|kept| kept.holds_at(now));
        // RFC 8461 §3.1: without a record the policy that is kept goes on to hold.
        let Some(id) = told else { return Some(Found { policy, failure: None }) };
        if policy.as_ref().is_some_and(|kept| kept.id == id) {
            return Some(Found { policy, failure: None });
        }
        let failure = entry.failure.as_ref().filter(|failed| failed.id == id && !older(failed.at, now, BACK_OFF));
        failure.map(|failed| Found { policy, failure: Some(failed.why.clone()) })
    }

    /// The id of the policy that the domain tells of.
    async fn told(&self, domain: &Domain) -> Option<String> {
        record_id(&self.dns.txt(&record_name(domain)).await.unwrap_or_default())
    }

    /// Fetches a policy, and keeps it; `used` is when the domain was last sent to, if not now.
    async fn renew(&self, domain: &Domain, id: String, used: Option<Timestamp>) -> Result<(), FetchFailure> {
        let fetched = self.fetch(domain).await;
        let now = self.clock.now();
        match fetched {
            Ok(policy) => {
                let used = used.unwrap_or(now);
                let kept = Kept { domain: domain.clone(), id, policy, fetched: now, used };
                self.keep(&kept).await;
                let entry = Entry { kept: Some(Arc::new(kept)), failure: None, used: Some(used) };
                self.memory.lock().unwrap_or_else(PoisonError::into_inner).put(domain.clone(), entry);
                Ok(())
            }
            Err(why) => {
                tracing::warn!(%domain, reason = %why.text, "policy of MTA-STS not fetched");
                let failed = Failed { id, at: now, why: why.clone() };
                self.remember(domain, |entry| entry.failure = Some(failed.clone()));
                Err(why)
            }
        }
    }

    async fn fetch(&self, domain: &Domain) -> Result<Policy, FetchFailure> {
        let failed = |result, text: String| FetchFailure { result, text };
        let host = policy_host(domain);
        let url = format!("https://{host}{POLICY_PATH}").parse();
        let url = url.map_err(|error| failed(ResultType::StsPolicyFetchError, format!("{host}: {error}")))?;
        let limits = Limits { time: self.fetch_time, octets: MAX_POLICY, excess: Excess::Fails };
        let answer = self.https.ask(&Request::get(url), limits).await.map_err(|error| match &error {
            HttpError::Tls(cause @ rustls::Error::InvalidCertificate(_)) => {
                failed(ResultType::StsWebpkiInvalid, format!("{host}: {}", super::explain(cause)))
            }
            HttpError::TooLong => failed(ResultType::StsPolicyInvalid, format!("{host}: {error}")),
            _ => failed(ResultType::StsPolicyFetchError, format!("{host}: {error}")),
        })?;
        // RFC 8461 §3.3: no redirects are followed, and only 200 is an answer.
        if answer.status != 200 {
            return Err(failed(ResultType::StsPolicyFetchError, format!("{host}: answered {}", answer.status)));
        }
        // RFC 8461 §3.2, so that what users may put on a web server is no policy.
        if answer.media_type() != "text/plain" {
            let text = format!("{host}: the policy is {:?}, not text/plain", answer.media_type());
            return Err(failed(ResultType::StsPolicyInvalid, text));
        }
        Policy::parse(&answer.body).map_err(|error| failed(ResultType::StsPolicyInvalid, format!("{host}: {error}")))
    }

    /// What is known, from memory or from the store.
    async fn entry(&self, domain: &Domain) -> Entry {
        let now = self.clock.now();
        {
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(entry) = memory.get_mut(domain) {
                return entry.clone();
            }
        }
        let stored = match key(domain) {
            Some(key) => self.store.state(key).await,
            None => Ok(None),
        };
        let kept = stored.unwrap_or_else(|error| {
            tracing::error!(%domain, %error, "policy of MTA-STS cannot be read");
            None
        });
        // Names are hashed: the row may be another domain's.
        let kept = kept.and_then(|value| decode(&value)).filter(|kept| kept.domain == *domain && kept.holds_at(now));
        let entry = Entry { used: kept.as_ref().map(|kept| kept.used), kept: kept.map(Arc::new), failure: None };
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(domain.clone(), || entry).clone()
    }

    /// Notes that a domain's policy was asked for.
    pub fn use_at(&self, domain: &Domain, now: Timestamp) {
        self.remember(domain, |entry| entry.used = Some(now));
    }

    /// Of a domain that is not in memory any more nothing is remembered: it would hide what the store has.
    fn remember(&self, domain: &Domain, change: impl FnMut(&mut Entry)) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.get_mut(domain).into_iter().for_each(change);
    }

    async fn keep(&self, kept: &Kept) {
        let Some(key) = key(&kept.domain) else { return };
        // Beyond that a policy is in memory only, and fetched again after a start.
        if self.stored.fetch_add(1, Ordering::Relaxed) >= STORED {
            return;
        }
        if let Err(error) = self.store.put_state(key, encode(kept)).await {
            tracing::error!(domain = %kept.domain, %error, "policy of MTA-STS not kept");
        }
    }

    fn turn(&self, domain: &Domain) -> &tokio::sync::Mutex<()> {
        let hash = domain.as_str().bytes().fold(0usize, |hash, octet| hash.wrapping_mul(31).wrapping_add(octet.into()));
        // There is a fixed number of them, above zero.
        &self.turns[hash % self.turns.len()]
    }
}

fn key(domain: &Domain) -> Option<StateKey> {
    StateKey::new([PREFIX, short_hash(domain.as_str()).as_bytes()].concat())
}

fn encode(kept: &Kept) -> Vec<u8> {
    // These types have nothing that JSON cannot hold.
    [&[VERSION][..], &serde_json::to_vec(kept).unwrap_or_default()].concat()
}

fn decode(value: &[u8]) -> Option<Kept> {
    let (version, json) = value.split_first()?;
    if *version == VERSION { serde_json::from_slice(json).ok() } else { None }
}

fn older(then: Timestamp, now: Timestamp, age: Duration) -> bool {
    now.millis().saturating_sub(then.millis()) >= i64::try_from(age.as_millis()).unwrap_or(i64::MAX)
}

const PREFIX: &[u8] = b"mta-sts/";
const VERSION: u8 = 1;
const IN_MEMORY: usize = 2_000;
const STORED: usize = 10_000;
const TURNS: usize = 64;
const PAGE: usize = 100;
/// RFC 8461 §3.3: at most once in five minutes.
const BACK_OFF: Duration = Duration::from_secs(300);
/// RFC 8461 §10.2: daily.
const REFRESH: Duration = Duration::from_hours(24);
/// After that a policy that nobody asks for is left to end.
const UNUSED: Duration = Duration::from_hours(30 * 24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_version_of_a_row_stays_readable() {
        let row = b"\x01{\"domain\":\"example.test\",\"id\":\"1\",\"policy\":{\"mode\":\"enforce\",\"max_age\":\
            {\"secs\":604800,\"nanos\":0},\"mx\":[\"*.example.test\"]},\"fetched\":1000,\"used\":2000}";
        let kept = decode(row).unwrap();
        assert!(kept.policy.matches("mx.example.test") && kept.holds_at(Timestamp::from_millis(604_800_999)));
        assert!(!kept.holds_at(Timestamp::from_millis(604_801_000)));
        assert_eq!(encode(&kept), row);
        assert_eq!(decode(&[&[2], &row[1..]].concat()), None);
    }
}
