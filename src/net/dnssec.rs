//! Questions to the DNS whose answers are proven (RFC 4033 to 4035): signatures are verified here, from the root's key
//! down, whatever the resolver says of them.
//!
//! The resolver must hand on what is signed. Whether it does is tried with the root's own records; until it has done so
//! once, nothing is proven and nothing fails for that. From then on an answer that should be signed and is not counts as
//! forged: somebody on the way to the resolver cannot switch the proof off later on.
//!
//! Deviation: the resolver's AD bit is not taken for a proof, not even from loopback.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::net::{DnsError as Failure, NetError, NoRecords};
use hickory_resolver::proto::dnssec::{Proof, TrustAnchors};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, timeout};

use super::dns::{DnsSetupError, Mx, builder};

/// Asks resolvers and verifies what they answer. Clones share their cache.
#[derive(Clone)]
pub struct Dnssec {
    inner: Arc<Inner>,
}

struct Inner {
    resolver: TokioResolver,
    time: Duration,
    places: Semaphore,
    /// The root's records were proven once.
    works: AtomicBool,
    /// When they could not be, and until when that counts.
    failed: Mutex<Option<Instant>>,
    warned: AtomicBool,
}

/// What is believed without proof.
#[derive(Clone, Copy, Debug)]
pub enum Anchor<'a> {
    /// The keys of the root zone, as IANA publishes them.
    Root,
    /// DNSKEY records as text, one a line.
    Keys(&'a str),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven<T> {
    /// The records; none if there are none.
    pub records: Vec<T>,
    /// Where they stand, aliases followed: lower case, without the last dot.
    pub name: String,
    /// All of it is proven: the records and the aliases that lead there, or that there are none. Otherwise it is proven
    /// that the zone is not signed.
    pub is_secure: bool,
    /// The first alias, or without one the records, are proven.
    pub is_start_secure: bool,
}

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DnssecError {
    /// Something that should be signed is not, or wrongly: forged, or a mistake of the zone's.
    #[error("the answer of the DNS is not signed as it should be")]
    Bogus,
    /// No answer, or one of failure.
    #[error("no answer for now")]
    Temporary,
}

/// A TLSA record (RFC 6698 §2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsaRecord {
    /// Certificate usage.
    pub usage: u8,
    /// Selector.
    pub selector: u8,
    /// Matching type.
    pub matching: u8,
    /// Certificate association data.
    pub data: Vec<u8>,
}

impl Dnssec {
    /// Asks these servers, or those of `/etc/resolv.conf` if there are none; a question, with all that it takes to prove
    /// the answer, takes at most `time`.
    pub fn new(servers: &[SocketAddr], time: Duration, anchor: Anchor<'_>) -> Result<Self, DnsSetupError> {
        let anchors = match anchor {
            Anchor::Root => TrustAnchors::default(),
            Anchor::Keys(text) => {
                TrustAnchors::from_str(text).map_err(|error| DnsSetupError(format!("trust anchor: {error}")))?
            }
        };
        let resolver = builder(servers, time).with_trust_anchor(Arc::new(anchors)).build();
        let resolver = resolver.map_err(|error| DnsSetupError(error.to_string()))?;
        let inner = Inner {
            resolver,
            time,
            places: Semaphore::new(AT_ONCE),
            works: AtomicBool::new(false),
            failed: Mutex::new(None),
            warned: AtomicBool::new(false),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// True if the resolver hands on what is signed. Asked once; while it does not, every ten minutes again.
    pub async fn works(&self) -> bool {
        if self.inner.works.load(Ordering::Acquire) {
            return true;
        }
        let mut failed = self.inner.failed.lock().await;
        if self.inner.works.load(Ordering::Acquire) {
            return true;
        }
        if failed.is_some_and(|until| Instant::now() < until) {
            return false;
        }
        let wait = match self.ask(".", RecordType::SOA, |data| matches!(data, RData::SOA(_)).then_some(())).await {
            Ok(proven) if proven.is_secure && !proven.records.is_empty() => {
                self.inner.works.store(true, Ordering::Release);
                tracing::info!("DNSSEC: the resolver hands on signatures, DANE is used");
                return true;
            }
            Ok(_) | Err(DnssecError::Bogus) => ASK_AGAIN,
            // A resolver that is away altogether says nothing about what it does.
            Err(DnssecError::Temporary) => ASK_SOON,
        };
        *failed = Instant::now().checked_add(wait);
        if !self.inner.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!("DNSSEC: the resolver gives no signed answer for the root zone; mail goes out without DANE");
        }
        false
    }

    /// MX records, the preferred first.
    pub async fn mx(&self, name: &str) -> Result<Proven<Mx>, DnssecError> {
        let found = self.ask(name, RecordType::MX, |data| match data {
            RData::MX(mx) => Some(Mx { preference: mx.preference, exchange: mx.exchange.to_ascii() }),
            _ => None,
        });
        let mut found = found.await?;
        found.records.sort_by_key(|mx| mx.preference);
        Ok(found)
    }

    /// Addresses: those of IPv4, or if there are none those of IPv6.
    pub async fn addresses(&self, name: &str) -> Result<Proven<IpAddr>, DnssecError> {
        let ipv4 = self.ask(name, RecordType::A, |data| match data {
            RData::A(a) => Some(IpAddr::V4(a.0)),
            _ => None,
        });
        let ipv4 = ipv4.await?;
        if !ipv4.records.is_empty() {
            return Ok(ipv4);
        }
        self.ask(name, RecordType::AAAA, |data| match data {
            RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
            _ => None,
        })
        .await
    }

    /// TLSA records.
    pub async fn tlsa(&self, name: &str) -> Result<Proven<TlsaRecord>, DnssecError> {
        self.ask(name, RecordType::TLSA, |data| match data {
            RData::TLSA(tlsa) => Some(TlsaRecord {
                usage: tlsa.cert_usage.into(),
                selector: tlsa.selector.into(),
                matching: tlsa.matching.into(),
                data: tlsa.cert_data.clone(),
            }),
            _ => None,
        })
        .await
    }

    async fn ask<T>(
        &self,
        name: &str,
        kind: RecordType,
        pick: fn(&RData) -> Option<T>,
    ) -> Result<Proven<T>, DnssecError> {
        // What is no name has no records, and nobody forged that.
        let Ok(mut name) = Name::from_ascii(name) else {
            return Ok(Proven { records: Vec::new(), name: name.to_owned(), is_secure: false, is_start_secure: false });
        };
        name.set_fqdn(true);
        let asked = async {
            let _place = self.inner.places.acquire().await.map_err(|_| DnssecError::Temporary)?;
            match self.inner.resolver.lookup(name.clone(), kind).await {
                Ok(answer) => found(&name, kind, answer.answers(), pick),
                Err(error) => none(&name, &error),
            }
        };
        timeout(self.inner.time, asked).await.map_err(|_| DnssecError::Temporary)?
    }
}

impl fmt::Debug for Dnssec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dnssec").field("works", &self.inner.works).finish_non_exhaustive()
    }
}

/// What the records say, from `start` along its aliases (RFC 1034 §3.6.2).
fn found<T>(
    start: &Name,
    kind: RecordType,
    records: &[Record],
    pick: fn(&RData) -> Option<T>,
) -> Result<Proven<T>, DnssecError> {
    let (mut name, mut is_secure, mut is_start_secure) = (start.clone(), true, None);
    for _ in 0..MAX_ALIASES {
        let alias = records.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == name => Some((target.0.clone(), proof(record.proof))),
            _ => None,
        });
        let Some((target, proof)) = alias else { break };
        let proof = proof?;
        is_start_secure.get_or_insert(proof);
        is_secure &= proof;
        name = target;
    }
    let mut picked = Vec::new();
    for record in records.iter().filter(|record| record.record_type() == kind && record.name == name) {
        let proof = proof(record.proof)?;
        is_start_secure.get_or_insert(proof);
        is_secure &= proof;
        picked.extend(pick(&record.data));
    }
    let is_secure = is_secure && is_start_secure.is_some();
    Ok(Proven { records: picked, name: plain(&name), is_secure, is_start_secure: is_start_secure.unwrap_or(false) })
}

/// That there are no records, or why it is not known.
fn none<T>(name: &Name, error: &NetError) -> Result<Proven<T>, DnssecError> {
    let is_secure = match error {
        NetError::Dns(Failure::NoRecordsFound(none)) => denied(name, none)?,
        // Proven, but by more rounds of hashing than are worth it: as if the zone were not signed (RFC 9276 §3.2).
        NetError::Dns(Failure::Nsec { proof: Proof::Insecure, .. }) => false,
        NetError::Dns(Failure::Nsec { .. } | Failure::DnssecBogus) => return Err(DnssecError::Bogus),
        _ => return Err(DnssecError::Temporary),
    };
    Ok(Proven { records: Vec::new(), name: plain(name), is_secure, is_start_secure: is_secure })
}

/// Whether it is proven that there are none. An unsigned denial must come from a zone that the name can be in: the
/// validator takes any that is not signed.
fn denied(name: &Name, none: &NoRecords) -> Result<bool, DnssecError> {
    if !matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError) {
        return Err(DnssecError::Temporary);
    }
    let records = none.authorities.as_deref().unwrap_or_default();
    let signed = |record: &&Record| record.record_type() != RecordType::RRSIG;
    let is_secure = records.iter().filter(signed).all(|record| record.proof.is_secure());
    // After an alias the denial is of another name.
    let query = if none.query.name().is_root() { name } else { none.query.name() };
    let fits = |record: &Record| record.proof.is_secure() || record.name.zone_of(query);
    if records.iter().filter(signed).all(fits) { Ok(is_secure && !records.is_empty()) } else { Err(DnssecError::Bogus) }
}

fn proof(proof: Proof) -> Result<bool, DnssecError> {
    match proof {
        Proof::Secure => Ok(true),
        Proof::Insecure => Ok(false),
        Proof::Bogus | Proof::Indeterminate => Err(DnssecError::Bogus),
    }
}

fn plain(name: &Name) -> String {
    name.to_lowercase().to_ascii().trim_end_matches('.').to_owned()
}

const AT_ONCE: usize = 256;
const MAX_ALIASES: usize = 16;
const ASK_AGAIN: Duration = Duration::from_secs(600);
const ASK_SOON: Duration = Duration::from_secs(60);
