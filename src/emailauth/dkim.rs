//! DKIM (RFC 6376): do the signatures of a message hold?
//!
//! Each signature is judged first by what it says of itself, then its key is looked up, then `mail-auth` verifies it
//! with that key and the body hash made while the message arrived. A signature that cannot be read, or does not name
//! a domain, has no result: it vouches for nobody.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mail_auth::common::cache::NoCache;
use mail_auth::common::crypto::{Algorithm, HashAlgorithm};
use mail_auth::common::headers::Header;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::{DomainKey, VerifySignature};
use mail_auth::dkim::{DkimError, Signature};
use mail_auth::{AuthenticatedMessage, Error, MX, MessageAuthenticator, Parameters, RecordSet, ResolverCache, Txt};
use tokio::time::timeout;

use super::content::{DkimContent, signature_fields};
use crate::mail::Domain;
use crate::net::dns::{Dns, DnsError};
use crate::proto::authres::{DkimResult, DkimSignature};
use crate::proto::message::header::{Field, fields};

/// Results in the order of the fields.
pub(super) async fn verify(
    verifier: &MessageAuthenticator,
    dns: &Dns,
    content: &DkimContent,
    time: Duration,
) -> Vec<DkimSignature> {
    let candidates: Vec<Candidate<'_>> =
        signature_fields(&content.header).filter_map(|field| Candidate::new(field, content)).collect();
    let mut results: Vec<DkimSignature> = candidates.iter().map(Candidate::undecided).collect();
    let waiting: Vec<usize> = (0..).zip(&candidates).filter(|(_, c)| c.decided.is_none()).map(|(at, _)| at).collect();
    // Until the keys are there, the answer is that they are not.
    let _ = timeout(time, async {
        for at in waiting {
            let (Some(candidate), Some(result)) = (candidates.get(at), results.get_mut(at)) else { continue };
            result.result = match key(dns, &candidate.signature).await {
                Ok(key) => with_key(verifier, content, candidate, key).await,
                Err(result) => result,
            };
        }
    })
    .await;
    results
}

/// A signature that names a domain and a selector.
struct Candidate<'a> {
    field: Field<'a>,
    signature: Signature,
    domain: Domain,
    selector: Domain,
    /// If no key is needed to say so.
    decided: Option<DkimResult>,
}

impl<'a> Candidate<'a> {
    fn new(field: Field<'a>, content: &DkimContent) -> Option<Self> {
        let mut signature = Signature::parse(field.raw_value()).ok()?;
        let domain = Domain::parse(&signature.d).ok()?;
        let selector = Domain::parse(&signature.s).ok()?;
        let decided = judge(&signature, content);
        // Reports (RFC 6651) and third parties (RFC 6541) would be questions to the DNS that nothing here rests on;
        // a length, if it is taken, is that of the whole body.
        signature.r = false;
        signature.atps = None;
        signature.l = 0;
        signature.d = domain.as_str().to_owned();
        signature.s = selector.as_str().to_owned();
        Some(Self { field, signature, domain, selector, decided })
    }

    fn undecided(&self) -> DkimSignature {
        let result = self.decided.unwrap_or(DkimResult::TempError);
        DkimSignature { domain: self.domain.clone(), selector: self.selector.clone(), result }
    }
}

/// What a signature says of itself may be enough.
fn judge(signature: &Signature, content: &DkimContent) -> Option<DkimResult> {
    let signs_from = signature.h.iter().any(|name| name.eq_ignore_ascii_case("from"));
    // RFC 6376 §6.1.1: version, and the From field must be signed. Nobody signs so many fields in good faith.
    if signature.v != 1 || !signs_from || signature.h.len() > MAX_SIGNED {
        return Some(DkimResult::PermError);
    }
    // RFC 8301 §3.1
    if signature.a == Algorithm::RsaSha1 {
        return Some(DkimResult::Policy);
    }
    let Some(body) = content.body_hash(signature.cb) else { return Some(DkimResult::PermError) };
    if signature.l != 0 && signature.l < body.octets {
        return Some(DkimResult::Policy);
    }
    None
}

/// The key of a signature (RFC 6376 §3.6.2), or of a seal.
pub(super) async fn key(dns: &Dns, signature: &impl VerifySignature) -> Result<DomainKey, DkimResult> {
    let records = dns.txt(&signature.domain_key()).await.map_err(|error| match error {
        DnsError::NotFound => DkimResult::PermError,
        DnsError::Temporary => DkimResult::TempError,
    })?;
    let key = records.iter().find_map(|record| DomainKey::parse(record).ok()).ok_or(DkimResult::PermError)?;
    // RFC 8301 §3.2; the keys of Ed25519 have no such choice.
    let is_weak = signature.algorithm() == Algorithm::RsaSha256 && key.p.public_key_bits() < MIN_RSA_BITS;
    if is_weak { Err(DkimResult::Policy) } else { Ok(key) }
}

async fn with_key(
    verifier: &MessageAuthenticator,
    content: &DkimContent,
    candidate: &Candidate<'_>,
    key: DomainKey,
) -> DkimResult {
    let signature = &candidate.signature;
    let Some(body) = content.body_hash(signature.cb) else { return DkimResult::PermError };
    let (name, value) = name_and_value(candidate.field);
    let message = AuthenticatedMessage {
        headers: fields(&content.header).map(name_and_value).collect(),
        body_hashes: vec![(signature.cb, HashAlgorithm::Sha256, 0, body.sha256.clone())],
        dkim_headers: vec![Header::new(name, value, signature.clone())],
        ..AuthenticatedMessage::default()
    };
    let keys = Keys::from_iter([(signature.domain_key(), key)]);
    let outputs = verifier.verify_dkim(keys.parameters(&message)).await;
    outputs.first().map_or(DkimResult::PermError, |output| outcome(output.result()))
}

fn outcome(result: &mail_auth::DkimResult) -> DkimResult {
    use mail_auth::DkimResult as Found;
    match result {
        Found::Pass => DkimResult::Pass,
        Found::Fail(_) | Found::Neutral(Error::Dkim(DkimError::FailedBodyHashMatch)) => DkimResult::Fail,
        Found::TempError(_) => DkimResult::TempError,
        Found::PermError(_) | Found::Neutral(Error::Dkim(DkimError::SignatureExpired)) => DkimResult::PermError,
        Found::Neutral(_) | Found::None => DkimResult::Neutral,
    }
}

/// As they stand, for the canonicalizations: the name with white space before the colon, the value with its line end.
pub(super) fn name_and_value(field: Field<'_>) -> (&[u8], &[u8]) {
    if field.name.is_empty() {
        return (field.raw, b"");
    }
    let value = field.raw_value();
    let name = field.raw.len().saturating_sub(value.len() + 1);
    (field.raw.get(..name).unwrap_or_default(), value)
}

/// The key that was looked up, where `mail-auth` looks first, so that it asks nobody itself.
pub(super) struct Keys(HashMap<Box<str>, Txt>);

/// What `mail-auth` works with, if it caches nothing itself.
type OneMessage<'x> = Parameters<
    'x,
    &'x AuthenticatedMessage<'x>,
    Keys,
    NoCache<Box<str>, RecordSet<MX>>,
    NoCache<Box<str>, RecordSet<Ipv4Addr>>,
    NoCache<Box<str>, RecordSet<Ipv6Addr>>,
    NoCache<IpAddr, RecordSet<Box<str>>>,
>;

impl Keys {
    pub(super) fn parameters<'x>(&'x self, message: &'x AuthenticatedMessage<'x>) -> OneMessage<'x> {
        Parameters {
            params: message,
            cache_txt: Some(self),
            cache_mx: None,
            cache_ptr: None,
            cache_ipv4: None,
            cache_ipv6: None,
        }
    }
}

impl FromIterator<(String, DomainKey)> for Keys {
    fn from_iter<T: IntoIterator<Item = (String, DomainKey)>>(keys: T) -> Self {
        Self(keys.into_iter().map(|(name, key)| (name.into(), Txt::DomainKey(Arc::new(key)))).collect())
    }
}

impl ResolverCache<Box<str>, Txt> for Keys {
    fn get<Q: Hash + Eq + ?Sized>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
    {
        self.0.get(name).cloned()
    }

    fn remove<Q: Hash + Eq + ?Sized>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}

/// RFC 8301 §3.2
const MIN_RSA_BITS: usize = 1_024;
const MAX_SIGNED: usize = 200;
