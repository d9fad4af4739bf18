//! DMARC (RFC 7489): is an authenticated identity aligned with the author's domain, and what does that domain ask for
//! if not?
//!
//! The record of the domain itself counts, else that of its organisational domain by the Public Suffix List
//! (RFC 7489 §6.6.3). A message by authors of several domains gets the worst of their results (§6.6.1). Deviation: `pct`
//! is ignored, as RFC 9989 has it, and `t=y` lowers the policy by one step.

use mail_auth::common::parse::TxtRecordParser;
use mail_auth::dmarc::{Alignment, Dmarc as Record, Policy};

use crate::mail::{Domain, organisational_domain};
use crate::net::dns::{Dns, DnsError};
use crate::proto::authres::{DkimResult, DkimSignature, Dmarc, DmarcPolicy, DmarcResult, SpfResult};
use crate::proto::message::HeaderAddresses;

/// What is known of the message.
pub(super) struct Evidence<'a> {
    /// SPF for `envelope`.
    pub spf: SpfResult,
    /// The domain of the reverse-path.
    pub envelope: Option<&'a Domain>,
    /// The signatures.
    pub dkim: &'a [DkimSignature],
}

/// DMARC for the authors.
pub(super) async fn evaluate(dns: &Dns, header_from: &HeaderAddresses, evidence: &Evidence<'_>) -> Dmarc {
    let domains = header_from.domains();
    if domains.len() > MAX_AUTHOR_DOMAINS {
        return Dmarc { result: DmarcResult::PermError, policy: DmarcPolicy::None };
    }
    let mut all = Vec::with_capacity(domains.len());
    for domain in &domains {
        all.push(author(dns, domain, evidence).await);
    }
    let worst = all.into_iter().max_by_key(severity).unwrap_or_default();
    // An author that could not be read has not passed.
    if worst.result == DmarcResult::Pass && !header_from.is_complete { Dmarc::default() } else { worst }
}

fn severity(dmarc: &Dmarc) -> (u8, u8) {
    let result = match dmarc.result {
        DmarcResult::Pass => 0,
        DmarcResult::None => 1,
        DmarcResult::PermError => 2,
        DmarcResult::TempError => 3,
        DmarcResult::Fail => 4,
    };
    let policy = match dmarc.policy {
        DmarcPolicy::None => 0,
        DmarcPolicy::Quarantine => 1,
        DmarcPolicy::Reject => 2,
    };
    (result, policy)
}

async fn author(dns: &Dns, domain: &Domain, evidence: &Evidence<'_>) -> Dmarc {
    let (record, policy) = match discover(dns, domain).await {
        Ok(Some(found)) => found,
        Ok(None) => return Dmarc::default(),
        Err(result) => return Dmarc { result, policy: DmarcPolicy::None },
    };
    Dmarc { result: result(&record, domain, evidence), policy }
}

/// The record that counts for a domain and what it asks for (RFC 7489 §6.6.3).
async fn discover(dns: &Dns, domain: &Domain) -> Result<Option<(Record, DmarcPolicy)>, DmarcResult> {
    if let Some(record) = record(dns, domain).await? {
        let policy = record.p;
        return Ok(applicable(record, policy));
    }
    let organisation = organisational_domain(domain);
    if organisation == *domain {
        return Ok(None);
    }
    let found = record(dns, &organisation).await?;
    Ok(found.and_then(|record| {
        let policy = record.sp;
        applicable(record, policy)
    }))
}

/// The one record of a domain; several are none.
async fn record(dns: &Dns, domain: &Domain) -> Result<Option<Record>, DmarcResult> {
    let records = match dns.txt(&format!("_dmarc.{domain}")).await {
        Ok(records) => records,
        Err(DnsError::NotFound) => return Ok(None),
        Err(DnsError::Temporary) => return Err(DmarcResult::TempError),
    };
    let mut of_dmarc = records.iter().filter(|record| is_dmarc(record));
    match (of_dmarc.next(), of_dmarc.next()) {
        (Some(record), None) => Record::parse(record).map(Some).map_err(|_| DmarcResult::PermError),
        _ => Ok(None),
    }
}

/// `v=DMARC1` is the first tag (RFC 7489 §6.3).
fn is_dmarc(record: &[u8]) -> bool {
    let mut tag = record.split(|b| *b == b';').next().unwrap_or_default().splitn(2, |b| *b == b'=');
    let mut is = |text: &[u8]| tag.next().is_some_and(|part| part.trim_ascii() == text);
    is(b"v") && is(b"DMARC1")
}

fn applicable(record: Record, policy: Policy) -> Option<(Record, DmarcPolicy)> {
    let policy = match (policy, record.t) {
        (Policy::Reject, false) => DmarcPolicy::Reject,
        (Policy::Reject, true) | (Policy::Quarantine, false) => DmarcPolicy::Quarantine,
        (Policy::Quarantine, true) | (Policy::None, _) => DmarcPolicy::None,
        // RFC 7489 §6.6.3: who wants reports takes part, who says nothing does not.
        (Policy::Unspecified, _) if record.rua.is_empty() => return None,
        (Policy::Unspecified, _) => DmarcPolicy::None,
    };
    Some((record, policy))
}

/// RFC 7489 §4.2, §6.6.2
fn result(record: &Record, domain: &Domain, evidence: &Evidence<'_>) -> DmarcResult {
    let of_spf = evidence.envelope.is_some_and(|envelope| is_aligned(envelope, domain, record.aspf));
    let mut of_dkim = evidence.dkim.iter().filter(|signature| is_aligned(&signature.domain, domain, record.adkim));
    let dkim_gave = |wanted| of_dkim.clone().any(|signature| signature.result == wanted);
    if of_spf && evidence.spf == SpfResult::Pass || dkim_gave(DkimResult::Pass) {
        DmarcResult::Pass
    } else if of_spf && evidence.spf == SpfResult::TempError
        || of_dkim.any(|signature| signature.result == DkimResult::TempError)
    {
        DmarcResult::TempError
    } else {
        DmarcResult::Fail
    }
}

/// RFC 7489 §3.1
fn is_aligned(identity: &Domain, author: &Domain, mode: Alignment) -> bool {
    match mode {
        Alignment::Strict => identity == author,
        Alignment::Relaxed => organisational_domain(identity) == organisational_domain(author),
    }
}

const MAX_AUTHOR_DOMAINS: usize = 5;
