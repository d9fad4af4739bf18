//! What a connection to another host must prove, and how it went.
//!
//! By default: what the destination publishes. TLSA records of a host (DANE, RFC 7672) come first, then a policy of the
//! domain (MTA-STS, RFC 8461), else TLS if it is offered, whoever answers (RFC 7435). A route can demand something else,
//! and then nothing that is published counts. A message that asks for REQUIRETLS needs a host that has proven itself
//! (RFC 8689 §4.2.1). How sessions went is counted for the domains that ask for it (RFC 8460); [`round`](Security::round)
//! sends the reports.
//!
//! Deviation: certificates must name their host in a subjectAltName; a common name does not count (RFC 7672 §3.2.3 would
//! let it).
//! Deviation: there is no check for revocation.

mod counts;
mod dane;
mod policies;
mod reports;
mod verify;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, RootCertStore};

use super::destination::{Demand, Destination};
use crate::accept::Desk;
use crate::directory::Directory;
use crate::mail::{Clock, Domain, EnhancedCode, Host, Timestamp, TlsWish};
use crate::net::dns::{Dns, DnsError};
use crate::net::http_client::{HttpClient, Names};
use crate::proto::mta_sts::Mode as StsMode;
use crate::proto::tls_report::{self, Judged, PolicyKind, ResultType};
use crate::store::{Error, Store};
use counts::Counts;
use dane::Dane;
use policies::{Found, Kept, Policies};
use verify::{Check, Test};

pub use reports::Reporting;
pub use verify::explain;

/// Answers what a connection must prove.
#[derive(Debug)]
pub struct Security {
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    opportunistic: Arc<ClientConfig>,
    /// `None`: nothing that is published is asked for.
    inquiry: Option<Inquiry>,
}

/// What asking takes.
#[derive(Debug)]
struct Inquiry {
    dns: Dns,
    https: HttpClient,
    store: Store,
    clock: Arc<dyn Clock>,
    smtp_port: u16,
    policies: Policies,
    counts: Counts,
    reporting: Option<Reporting>,
    reports: reports::Reports,
    refreshed: AtomicI64,
}

/// What [`Security::with`] takes.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Who is asked; DANE is used if it can prove answers.
    pub dns: Dns,
    /// Where policies and counts are kept.
    pub store: Store,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The authorities that are trusted.
    pub roots: RootCertStore,
    /// Where policy hosts and receivers of reports listen: 443.
    pub https_port: u16,
    /// They may be on this machine or network. For tests: what is there trusts who comes from there.
    pub may_be_near: bool,
    /// How long fetching a policy may take: a minute (RFC 8461 §3.3).
    pub fetch_time: Duration,
    /// Where hosts of domains take mail, under which their TLSA records stand: 25.
    pub smtp_port: u16,
    /// How reports are made; `None` for none.
    pub reporting: Option<Reporting>,
}

/// What a domain publishes of its hosts, looked up once for a session.
#[derive(Clone, Debug, Default)]
pub struct Published {
    sts: Option<Arc<Kept>>,
    /// The domain that asks for reports.
    reported: Option<Domain>,
    /// What the hosts were judged by so far.
    tried: Arc<Mutex<BTreeMap<String, Tried>>>,
}

/// What one host is judged by.
#[derive(Clone, Debug)]
struct Tried {
    /// Each policy with the number of its check, or what is wrong whatever the certificate is.
    policies: Vec<(Judged, Basis)>,
    checks: Arc<[Check]>,
}

#[derive(Clone, Debug)]
enum Basis {
    /// How TLS itself went.
    Session,
    /// A check of the certificate.
    Check(usize),
    /// It has failed already.
    Flaw(ResultType, String),
}

/// Terms for the session with one host.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Whether TLS is used.
    pub mode: Mode,
    /// How; its verifier decides whether the certificate will do.
    pub config: Arc<ClientConfig>,
    /// The name that is asked for (SNI) and verified.
    pub name: ServerName<'static>,
    /// For logs and traces, such as `DANE`, `MTA-STS`, `verified`; `None` if nothing is proven.
    pub by: Option<&'static str>,
}

/// Whether TLS is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is not.
    Never,
    /// If the host offers it; if it then fails, the session may go on in another one without it.
    IfOffered,
    /// Without it nothing is sent.
    Required,
}

/// Why a host must not be used, or cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// RFC 3463, class 4 if it may be otherwise later.
    pub status: EnhancedCode,
    /// In our words.
    pub text: String,
}

/// How it went with TLS, for the reports of RFC 8460.
#[derive(Clone, Debug, PartialEq)]
pub enum Secured {
    /// As the terms want it.
    Yes,
    /// The host does not offer STARTTLS.
    NotOffered,
    /// The handshake failed, in words.
    Failed(rustls::Error),
}

/// One host, on the way to its terms.
#[derive(Debug)]
struct Judgement {
    base: ServerName<'static>,
    mode: Mode,
    by: Option<&'static str>,
    checks: Vec<Check>,
    policies: Vec<(Judged, Basis)>,
}

impl Security {
    /// Which asks for nothing that is published, and trusts no authority: TLS if it is offered, and what routes demand.
    /// An error means that the TLS library lacks what it should have.
    pub fn new() -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = Arc::new(RootCertStore::empty());
        let opportunistic = verify::config(provider.clone(), roots.clone(), Arc::from([]))?;
        Ok(Self { provider, roots, opportunistic: Arc::new(opportunistic), inquiry: None })
    }

    /// Which asks for everything. Fails as [`Security::new`] does.
    pub fn with(setup: Setup) -> Result<Self, rustls::Error> {
        let Setup { dns, store, clock, roots, https_port, may_be_near, fetch_time, smtp_port, reporting } = setup;
        let mut security = Self::new()?;
        let https = HttpClient::new(Names::Dns(Box::new(dns.clone())), roots.clone(), 0)?.with_https_port(https_port);
        let https = if may_be_near { https } else { https.far_away() };
        let policies = Policies::new(dns.clone(), https.clone(), fetch_time, store.clone(), clock.clone());
        let (counts, reports) = (Counts::default(), reports::Reports::default());
        let refreshed = AtomicI64::new(i64::MIN);
        security.roots = Arc::new(roots);
        security.inquiry =
            Some(Inquiry { dns, https, store, clock, smtp_port, policies, counts, reporting, reports, refreshed });
        Ok(security)
    }

    /// What the destination publishes. A policy that cannot be had is none, and counts for the reports (RFC 8461 §5): no
    /// error as things are.
    pub async fn published(&self, destination: &Destination) -> Result<Published, Unusable> {
        let (Some(inquiry), Some(domain)) = (&self.inquiry, published_by(destination)) else {
            return Ok(Published::default());
        };
        let (found, wanted) = tokio::join!(inquiry.policies.find(domain), inquiry.wants_reports(domain));
        let Found { policy, failure } = found;
        let now = inquiry.clock.now();
        let reported = wanted.then(|| domain.clone());
        if let (Some(domain), Some(failure)) = (&reported, failure) {
            let judged = Judged { kind: PolicyKind::Sts, lines: Vec::new(), mx: Vec::new() };
            inquiry.counts.add(now, domain, &judged, Some((failure.result, None, &failure.text)));
        }
        let sts = policy.filter(|kept| kept.policy.mode != StsMode::None);
        if sts.is_some() {
            inquiry.policies.use_at(domain, now);
        }
        Ok(Published { sts, reported, ..Published::default() })
    }

    /// The terms for one of its hosts: `host` is the name from the MX record, of the smarthost, or an address in
    /// brackets; `is_secure` says that DNSSEC has proven the records that led to it ([`Dns::proven_mx`]). An error, if
    /// the host must not be used: what is published says so, or cannot be told now.
    pub async fn terms(
        &self,
        destination: &Destination,
        published: &Published,
        host: &str,
        is_secure: bool,
    ) -> Result<Terms, Unusable> {
        let route = destination.route.as_ref();
        let base = server_name(host)?;
        let mut judgement =
            Judgement { base, mode: Mode::IfOffered, by: None, checks: Vec::new(), policies: Vec::new() };
        match route.map_or(Demand::Published, |route| route.demand) {
            // RFC 8689 §4.2.2, RFC 8460 §3: nothing that is published stops it.
            Demand::Published if destination.tls == TlsWish::Optional => {}
            Demand::Published => self.published_terms(destination, published, host, is_secure, &mut judgement).await?,
            Demand::Encrypted => judgement.mode = Mode::Required,
            Demand::Verified => judgement.demand_trusted("verified"),
            Demand::Plain => judgement.mode = Mode::Never,
        }
        if destination.tls == TlsWish::Required {
            judgement.require(destination, published, host, is_secure)?;
        }
        if judgement.policies.is_empty() {
            judgement.policies.push((no_policy(), Basis::Session));
        }
        let checks: Arc<[Check]> = judgement.checks.into();
        let tried = Tried { policies: judgement.policies, checks: checks.clone() };
        published.tried.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned(), tried);
        let config = if checks.is_empty() {
            self.opportunistic.clone()
        } else {
            let config = verify::config(self.provider.clone(), self.roots.clone(), checks);
            Arc::new(config.map_err(|error| unusable((4, 3, 5), error.to_string()))?)
        };
        Ok(Terms { mode: judgement.mode, config, name: judgement.base, by: judgement.by })
    }

    /// Remembers how it went, for the reports that the destination asks for.
    pub fn note(&self, _destination: &Destination, published: &Published, host: &str, secured: &Secured) {
        let (Some(inquiry), Some(domain)) = (&self.inquiry, &published.reported) else { return };
        let tried = published.tried.lock().unwrap_or_else(PoisonError::into_inner).get(host).cloned();
        let Some(tried) = tried else { return };
        let now = inquiry.clock.now();
        let any_flaw = tried.checks.iter().any(|check| check.flaw().is_some());
        for (judged, basis) in &tried.policies {
            let failure = match (basis, secured) {
                (Basis::Flaw(result, text), _) => Some((*result, text.clone())),
                (_, Secured::NotOffered) => Some((ResultType::StarttlsNotSupported, String::new())),
                (Basis::Session, Secured::Yes) => None,
                (Basis::Check(at), Secured::Yes) => tried.flaw(*at),
                // It is another check that has failed.
                (Basis::Check(at), Secured::Failed(_)) if any_flaw => tried.flaw(*at),
                (_, Secured::Failed(error)) => Some(classified(error)),
            };
            let failure = failure.as_ref().map(|(result, text)| (*result, Some(host), text.as_str()));
            inquiry.counts.add(now, domain, judged, failure);
        }
    }

    /// Makes a [`round`](Security::round) each minute for as long as the server runs.
    pub async fn run(&self, desk: &Desk, directory: impl Fn() -> Arc<Directory>) {
        loop {
            tokio::time::sleep(EVERY).await;
            if let Err(error) = self.round(desk, &directory()).await {
                tracing::warn!(%error, "a round over policies and reports on TLS did not end; the next begins in a minute");
            }
        }
    }

    /// What is to be done now and then, every minute or so: counts go to the store, policies are fetched again daily, and
    /// reports sent when their day is over.
    pub async fn round(&self, desk: &Desk, directory: &Directory) -> Result<(), Error> {
        let Some(inquiry) = &self.inquiry else { return Ok(()) };
        inquiry.counts.flush(&inquiry.store).await?;
        let now = inquiry.clock.now();
        if now.seconds().saturating_sub(inquiry.refreshed.load(Ordering::Relaxed)) >= REFRESH_LOOK {
            inquiry.refreshed.store(now.seconds(), Ordering::Relaxed);
            inquiry.policies.refresh().await?;
        }
        inquiry.send_reports(desk, directory, now).await
    }

    async fn published_terms(
        &self,
        destination: &Destination,
        published: &Published,
        host: &str,
        is_secure: bool,
        judgement: &mut Judgement,
    ) -> Result<(), Unusable> {
        let Some(inquiry) = &self.inquiry else { return Ok(()) };
        let now = inquiry.clock.now();
        let dane = if is_secure && !host.starts_with('[') {
            let smarthost = destination.route.as_ref().and_then(|route| route.smarthost.as_ref());
            let port = smarthost.map_or(inquiry.smtp_port, |(_, port)| *port);
            dane::look_up(&inquiry.dns, host.trim_end_matches('.'), port).await.map_err(|why| {
                if let Some(domain) = &published.reported {
                    let judged = Judged { kind: PolicyKind::Tlsa, lines: Vec::new(), mx: vec![host.to_owned()] };
                    let failure = (ResultType::DnssecInvalid, Some(host), why.0.as_str());
                    inquiry.counts.add(now, domain, &judged, Some(failure));
                }
                unusable((4, 7, 5), why.0)
            })?
        } else {
            Dane::None
        };
        judgement.dane(dane, destination, host)?;
        let Some(kept) = &published.sts else { return Ok(()) };
        let refused = judgement.sts(kept, host);
        if let Err(refused) = refused {
            if let (Some(domain), Some((judged, _))) = (&published.reported, judgement.policies.last()) {
                inquiry.counts.add(now, domain, judged, Some((ResultType::ValidationFailure, Some(host), MX_MISMATCH)));
            }
            return Err(refused);
        }
        Ok(())
    }
}

impl Inquiry {
    /// Domains that ask for no reports are not counted. Without an answer they are: it may come until the day is over.
    async fn wants_reports(&self, domain: &Domain) -> bool {
        if self.reporting.is_none() {
            return false;
        }
        match self.dns.txt(&tls_report::record_name(domain)).await {
            Ok(records) => !tls_report::places(&records).is_empty(),
            Err(DnsError::NotFound) => false,
            Err(DnsError::Temporary) => true,
        }
    }
}

impl Judgement {
    /// What TLSA records ask for.
    fn dane(&mut self, dane: Dane, destination: &Destination, host: &str) -> Result<(), Unusable> {
        match dane {
            Dane::None => {}
            Dane::Records { base, records } => {
                let lines = records.iter().map(ToString::to_string).collect();
                self.base = server_name(&base)?;
                // RFC 7672 §3.2.3: the domain's own name will do as well as the host's.
                let mut names = vec![self.base.clone(), server_name(host)?];
                if let (Host::Name(domain), None) = (&destination.host, destination.smarthost()) {
                    names.extend(server_name(domain.as_str()));
                }
                let judged = Judged { kind: PolicyKind::Tlsa, lines, mx: vec![host.to_owned()] };
                self.policies.push((judged, Basis::Check(self.checks.len())));
                self.checks.push(Check::new(Test::Dane { records, names }, true));
                (self.mode, self.by) = (Mode::Required, Some("DANE"));
            }
            Dane::Unusable { base } => {
                self.base = server_name(&base)?;
                let judged = Judged { kind: PolicyKind::Tlsa, lines: Vec::new(), mx: vec![host.to_owned()] };
                let text = "no TLSA record can be used".to_owned();
                self.policies.push((judged, Basis::Flaw(ResultType::TlsaInvalid, text)));
                self.mode = Mode::Required;
            }
        }
        Ok(())
    }

    /// What a policy asks for. Where TLSA records decide it is only reported on (RFC 8461 §2).
    fn sts(&mut self, kept: &Kept, host: &str) -> Result<(), Unusable> {
        let policy = &kept.policy;
        let mx = policy.mx.iter().map(ToString::to_string).collect();
        let judged = Judged { kind: PolicyKind::Sts, lines: policy.lines(), mx };
        let decides = policy.mode == StsMode::Enforce && self.by.is_none();
        if !policy.matches(host) {
            let flaw = Basis::Flaw(ResultType::ValidationFailure, MX_MISMATCH.to_owned());
            self.policies.push((judged, flaw));
            return if decides {
                let text = format!("MTA-STS: {host} is not among the hosts of the domain's policy");
                Err(unusable((4, 7, 5), text))
            } else {
                Ok(())
            };
        }
        let name = server_name(host)?;
        self.policies.push((judged, Basis::Check(self.checks.len())));
        self.checks.push(Check::new(Test::Trusted { name: name.clone() }, decides));
        if decides {
            (self.mode, self.by, self.base) = (Mode::Required, Some("MTA-STS"), name);
        }
        Ok(())
    }

    /// A certificate of this name that a trusted authority has made.
    fn demand_trusted(&mut self, by: &'static str) {
        self.checks.push(Check::new(Test::Trusted { name: self.base.clone() }, true));
        (self.mode, self.by) = (Mode::Required, Some(by));
    }

    /// RFC 8689 §4.2.1: the host is proven, and that it is one of the domain's too.
    fn require(
        &mut self,
        destination: &Destination,
        published: &Published,
        host: &str,
        is_secure: bool,
    ) -> Result<(), Unusable> {
        let demand = destination.route.as_ref().map_or(Demand::Published, |route| route.demand);
        if demand == Demand::Plain {
            return Err(unusable((5, 7, 10), "REQUIRETLS: the route to this host is without TLS".to_owned()));
        }
        if self.by.is_some() {
            return Ok(());
        }
        let is_configured = destination.route.as_ref().is_some_and(|route| route.smarthost.is_some());
        let is_listed = published.sts.as_ref().is_some_and(|kept| kept.policy.matches(host));
        if !(is_secure || is_configured || is_listed) {
            let text = format!("REQUIRETLS: neither DNSSEC nor a policy of MTA-STS proves that {host} is the domain's");
            return Err(unusable((5, 7, 10), text));
        }
        self.demand_trusted("verified");
        Ok(())
    }
}

impl Tried {
    /// What is wrong with the certificate by this check.
    fn flaw(&self, at: usize) -> Option<(ResultType, String)> {
        self.checks.get(at).and_then(Check::flaw).map(|error| classified(&error))
    }
}

/// The domain whose policies count for a destination: none, if a route leads elsewhere or demands something else, or the
/// message does without.
fn published_by(destination: &Destination) -> Option<&Domain> {
    let route = destination.route.as_ref();
    if destination.tls == TlsWish::Optional {
        return None;
    }
    if route.is_some_and(|route| route.smarthost.is_some() || route.demand != Demand::Published) {
        return None;
    }
    match &destination.host {
        Host::Name(domain) => Some(domain),
        Host::Literal(_) => None,
    }
}

fn no_policy() -> Judged {
    Judged { kind: PolicyKind::NoPolicyFound, lines: Vec::new(), mx: Vec::new() }
}

/// RFC 8460 §4.3.
fn classified(error: &rustls::Error) -> (ResultType, String) {
    let result = match error {
        rustls::Error::InvalidCertificate(flaw) => match flaw {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => ResultType::CertificateExpired,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                ResultType::CertificateHostMismatch
            }
            _ => ResultType::CertificateNotTrusted,
        },
        _ => ResultType::ValidationFailure,
    };
    (result, explain(error))
}

/// A name for SNI and certificates: of a host, or an address in brackets.
fn server_name(host: &str) -> Result<ServerName<'static>, Unusable> {
    let bare = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    let bare = bare.strip_prefix("IPv6:").unwrap_or(bare).to_owned();
    ServerName::try_from(bare).map_err(|_| unusable((5, 4, 4), format!("{host:?} is not a host name")))
}

fn unusable((class, subject, detail): (u8, u16, u16), text: String) -> Unusable {
    Unusable { status: EnhancedCode::new(class, subject, detail), text }
}

fn seconds_between(from: Timestamp, to: Timestamp) -> i64 {
    to.seconds().saturating_sub(from.seconds())
}

/// How long fetching a policy may take (RFC 8461 §3.3).
pub const FETCH_TIME: Duration = Duration::from_secs(60);
/// Between rounds.
const EVERY: Duration = Duration::from_secs(60);
const MX_MISMATCH: &str = "the host is not among those of the policy";
/// Seconds between looks for policies that are due.
const REFRESH_LOOK: i64 = 3_600;
