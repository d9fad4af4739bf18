//! ARC (RFC 8617): does the chain of seals hold that others put on a message, and our own link at its end.
//!
//! A chain is sets of three fields, numbered from 1. Verified are the last message signature and every seal
//! (RFC 8617 §5.2), by `mail-auth` over keys looked up before; a chain that is not whole fails. Sealing is our own, since
//! the results of acceptance and the keys are.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use mail_auth::arc::{ChainValidation, Results, Seal, Signature};
use mail_auth::common::crypto::{Algorithm, HashAlgorithm};
use mail_auth::common::headers::Header;
use mail_auth::common::verify::{DomainKey, VerifySignature};
use mail_auth::dkim::Canonicalization;
use mail_auth::{AuthenticatedMessage, DkimResult as Found, MessageAuthenticator};
use tokio::time::timeout;

use super::content::{ARC_FIELDS, DkimContent, MAX_SEALS, seal_fields};
use super::dkim::{Keys, key, name_and_value};
use super::key::{KeyError, Signer};
use super::sign::{Signed, field};
use crate::mail::{Domain, Timestamp};
use crate::net::dns::Dns;
use crate::proto::authres::{ArcChain, ArcResult, AuthResults, DkimResult, Identities};
use crate::proto::message::header::{Field, contains, fields};

/// Whether the chain of a message holds.
pub(super) async fn verify(
    verifier: &MessageAuthenticator,
    dns: &Dns,
    content: &DkimContent,
    time: Duration,
) -> ArcChain {
    if !ARC_FIELDS.iter().any(|name| contains(&content.header, name)) {
        return ArcChain::default();
    }
    let failed = ArcChain { result: ArcResult::Fail, instances: highest(&content.header), ..ArcChain::default() };
    let Some(chain) = Chain::read(&content.header) else { return failed };
    let instances = u8::try_from(chain.sets.len()).unwrap_or(u8::MAX);
    let sealer = chain.sets.last().and_then(|set| Domain::parse(&set.seal.d).ok());
    let passed_dmarc = chain.sets.last().is_some_and(|set| says_dmarc_passed(&set.results.value()));
    // Until the keys are there, the answer is that they are not.
    let result = timeout(time, chain.verify(verifier, dns, content)).await.unwrap_or(ArcResult::TempError);
    ArcChain { result, instances, sealer, passed_dmarc }
}

/// The three fields that seal a message as it leaves (RFC 8617 §5.1), complete with CRLF. `header` is what stands before
/// the body then; of `content` counts the body; `auth` is what was found when the message came. `None` if nothing is to be
/// sealed: a chain that failed stays as it is, and so does one of which nothing is known now.
pub fn seal(
    signer: &Signer,
    header: &[u8],
    content: &DkimContent,
    (auth, authserv_id, identities): (&AuthResults, &Domain, Identities<'_>),
    now: Timestamp,
) -> Result<Option<Vec<u8>>, KeyError> {
    let chain = Chain::read(header);
    let validation = match (auth.arc.result, &chain) {
        (ArcResult::None, _) if ARC_FIELDS.iter().any(|name| contains(header, name)) => return Ok(None),
        (ArcResult::None, _) => "none",
        (ArcResult::Pass, Some(_)) => "pass",
        // RFC 8617 §5.1.2: somebody has said so before.
        (ArcResult::Fail, Some(chain)) if chain.has_failed() => return Ok(None),
        (ArcResult::Fail, _) => "fail",
        (ArcResult::Pass, None) | (ArcResult::TempError, _) => return Ok(None),
    };
    let instance = usize::from(auth.arc.instances) + 1;
    let (Some(signed), Some(body)) = (Signed::of(header, &["DKIM-Signature"]), content.body()) else {
        return Ok(None);
    };
    if instance > MAX_SEALS {
        return Ok(None);
    }
    let results = format!("{}: i={instance}; {}\r\n", RESULTS, auth.results(authserv_id, identities)).into_bytes();
    let tags = format!("i={instance}; {}", signed.tags(signer, body, now));
    let signature = signed.complete(SIGNATURE, &tags, signer)?;
    // A chain that fails is sealed as if it were not there (RFC 8617 §5.1.2).
    let before = chain.filter(|_| validation == "pass");
    let before: Vec<Field<'_>> = before.iter().flat_map(|chain| &chain.sets).flat_map(|set| set.fields).collect();
    let ours = fields(&results).chain(fields(&signature));
    let mut data = Vec::new();
    Canonicalization::Relaxed.canonicalize_headers(before.into_iter().chain(ours).map(name_and_value), &mut data);
    let Signer { domain, selector, .. } = signer;
    let (algorithm, time) = (signer.algorithm().name(), now.seconds().max(0));
    let tags =
        format!("i={instance}; a={algorithm}; t={time}; cv={validation};\r\n\td={domain}; s={selector};\r\n\tb=");
    let seal = field(SEAL, &tags, data, signer)?;
    Ok(Some([seal, signature, results].concat()))
}

/// A chain that is whole: the sets 1, 2 … with each of the three fields once.
struct Chain<'a> {
    sets: Vec<Set<'a>>,
}

struct Set<'a> {
    /// Results, message signature, seal: the order in which they are sealed (RFC 8617 §5.1.1).
    fields: [Field<'a>; 3],
    results: Field<'a>,
    signature: Signature,
    seal: Seal,
}

impl<'a> Chain<'a> {
    fn read(header: &'a [u8]) -> Option<Self> {
        let results = numbered(header, RESULTS, |value| Results::parse(value).ok().map(|r| (r.i, ())))?;
        let mut signatures = numbered(header, SIGNATURE, |value| {
            Signature::parse(value).ok().map(|signature| (signature.i, signature))
        })?;
        let mut seals = numbered(header, SEAL, |value| Seal::parse(value).ok().map(|seal| (seal.i, seal)))?;
        let mut sets = Vec::new();
        for (instance, (result_field, ())) in (1..).zip(results.into_values()) {
            let (signature_field, signature) = signatures.remove(&instance)?;
            let (seal_field, seal) = seals.remove(&instance)?;
            let fields = [result_field, signature_field, seal_field];
            sets.push(Set { fields, results: result_field, signature, seal });
        }
        let is_whole = !sets.is_empty() && signatures.is_empty() && seals.is_empty();
        is_whole.then_some(Self { sets })
    }

    /// The last seal says that the chain failed before.
    fn has_failed(&self) -> bool {
        self.sets.last().is_some_and(|set| set.seal.cv == ChainValidation::Fail)
    }

    async fn verify(&self, verifier: &MessageAuthenticator, dns: &Dns, content: &DkimContent) -> ArcResult {
        let Some(last) = self.sets.last() else { return ArcResult::None };
        let signature = &last.signature;
        // No other hash is made of a body, and a part that is not signed is not taken (RFC 8617 §4.1.2).
        let is_weak = |algorithm| algorithm == Algorithm::RsaSha1;
        let Some(body) = content.body_hash(signature.cb) else { return ArcResult::Fail };
        if is_weak(signature.a) || signature.l != 0 || self.sets.iter().any(|set| is_weak(set.seal.a)) {
            return ArcResult::Fail;
        }
        let keys = match self.keys(dns).await {
            Ok(keys) => keys,
            Err(result) => return result,
        };
        let pair = |field: Field<'a>| name_and_value(field);
        let message = AuthenticatedMessage {
            headers: fields(&content.header).map(name_and_value).collect(),
            body_hashes: vec![(signature.cb, HashAlgorithm::Sha256, 0, body.sha256.clone())],
            aar_headers: (1..)
                .zip(&self.sets)
                .map(|(i, set)| Header::new(pair(set.fields[0]).0, pair(set.fields[0]).1, Results { i }))
                .collect(),
            ams_headers: self
                .sets
                .iter()
                .map(|set| Header::new(pair(set.fields[1]).0, pair(set.fields[1]).1, set.signature.clone()))
                .collect(),
            as_headers: self
                .sets
                .iter()
                .map(|set| Header::new(pair(set.fields[2]).0, pair(set.fields[2]).1, set.seal.clone()))
                .collect(),
            ..AuthenticatedMessage::default()
        };
        match verifier.verify_arc(keys.parameters(&message)).await.result() {
            Found::Pass => ArcResult::Pass,
            Found::TempError(_) => ArcResult::TempError,
            Found::None | Found::Neutral(_) | Found::Fail(_) | Found::PermError(_) => ArcResult::Fail,
        }
    }

    /// The keys of all seals and of the last message signature.
    async fn keys(&self, dns: &Dns) -> Result<Keys, ArcResult> {
        let mut found: BTreeMap<String, DomainKey> = BTreeMap::new();
        let refused = |result| if result == DkimResult::TempError { ArcResult::TempError } else { ArcResult::Fail };
        for set in &self.sets {
            if let Entry::Vacant(place) = found.entry(set.seal.domain_key()) {
                place.insert(key(dns, &set.seal).await.map_err(refused)?);
            }
        }
        if let Some(Set { signature, .. }) = self.sets.last()
            && let Entry::Vacant(place) = found.entry(signature.domain_key())
        {
            place.insert(key(dns, signature).await.map_err(refused)?);
        }
        Ok(found.into_iter().collect())
    }
}

/// The fields of this name by their number; `None` if one cannot be read or a number is there twice.
fn numbered<'a, T>(
    header: &'a [u8],
    name: &'static str,
    read: impl Fn(&'a [u8]) -> Option<(u32, T)>,
) -> Option<BTreeMap<u32, (Field<'a>, T)>> {
    let mut all = BTreeMap::new();
    let mut count = 0_usize;
    for field in seal_fields(header, name.as_bytes()) {
        let (instance, value) = read(field.raw_value())?;
        all.insert(instance, (field, value));
        count += 1;
    }
    let there = fields(header).filter(|field| field.is(name.as_bytes())).count();
    (all.len() == count && count == there && count <= MAX_SEALS).then_some(all)
}

/// The highest number that a field of a chain gives itself (RFC 8617 §5.1.2).
fn highest(header: &[u8]) -> u8 {
    let seals = seal_fields(header, SEAL.as_bytes()).filter_map(|field| Seal::parse(field.raw_value()).ok());
    let highest = seals.map(|seal| seal.i).max().unwrap_or_default();
    u8::try_from(highest).unwrap_or(u8::MAX)
}

/// Whether results say so, apart from what comments and quoted strings say (RFC 8601 §2.2, RFC 5322 §3.2).
fn says_dmarc_passed(results: &[u8]) -> bool {
    let (mut depth, mut is_quoted) = (0_usize, false);
    let mut text = String::new();
    let results = String::from_utf8_lossy(results);
    let mut chars = results.chars();
    while let Some(c) = chars.next() {
        match c {
            // What follows stands for itself.
            '\\' if is_quoted || depth > 0 => {
                chars.next();
            }
            '"' if depth == 0 => {
                is_quoted = !is_quoted;
                // It is part of a word, whatever is in it.
                text.push('"');
            }
            _ if is_quoted => {}
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            c if depth == 0 => text.push(c.to_ascii_lowercase()),
            _ => {}
        }
    }
    text.split(';').any(|result| result.split_ascii_whitespace().next() == Some("dmarc=pass"))
}

const RESULTS: &str = "ARC-Authentication-Results";
const SIGNATURE: &str = "ARC-Message-Signature";
const SEAL: &str = "ARC-Seal";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_say_what_stands_outside_of_comments_and_quotes() {
        for (results, want) in [
            ("i=1; mx.test; dmarc=pass header.from=a.test", true),
            ("i=1; mx.test; spf=pass; DMARC=Pass", true),
            ("i=1; mx.test; dmarc=fail (dmarc=pass)", false),
            ("i=1; mx.test; spf=fail reason=\"no; dmarc=pass\"", false),
            ("i=1; mx.test; spf=fail reason=\"a \\\"; dmarc=pass\"", false),
            ("i=1; mx.test; spf=fail (a \\) ; dmarc=pass", false),
            ("i=1; mx.test; spf=fail reason=\"(\"; dmarc=pass", true),
            ("i=1; mx.test; spf=fail (\"); dmarc=pass", true),
            ("i=1; mx.test; \"x\"dmarc=pass", false),
        ] {
            assert_eq!(says_dmarc_passed(results.as_bytes()), want, "{results}");
        }
    }
}
