//! SPF (RFC 7208): the record of a domain, evaluated for one client.
//!
//! `mail-auth` reads records and expands macros; the evaluation is ours, because its own has no limit of void lookups
//! (RFC 7208 §4.6.4), takes the first of several records (§4.5) and lets a nested include pass in spite of the
//! qualifier of the outer one (§5.2). Deviation: `%{p}` is always `unknown` (§7.3 advises against its use); there are
//! no explanations (§6.2), which would put a stranger's text into our replies.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use mail_auth::common::parse::TxtRecordParser;
use mail_auth::spf::{Macro, Mechanism, Qualifier, Spf, Variables};

use crate::mail::{Address, Domain, Network};
use crate::net::dns::{Dns, DnsError};
use crate::proto::authres::SpfResult;

/// What is asked.
pub(super) struct Query<'a> {
    /// The SMTP client.
    pub client: IpAddr,
    /// What it said in EHLO.
    pub helo: &'a str,
    /// Who asks.
    pub our_hostname: &'a str,
    /// The reverse-path.
    pub address: &'a Address,
    /// Its domain.
    pub domain: &'a Domain,
}

/// `check_host()` (RFC 7208 §4).
pub(super) async fn check(dns: &Dns, query: &Query<'_>) -> SpfResult {
    if !query.domain.as_str().contains('.') {
        return SpfResult::None;
    }
    let mut check = Check {
        dns,
        client: query.client.to_canonical(),
        sender: query.address.to_string(),
        query,
        lookups: 0,
        voids: 0,
    };
    match check.host(query.domain.as_str().to_owned()).await {
        Ok(Some(result)) => result,
        Ok(None) => SpfResult::None,
        Err(Stop::Temporary) => SpfResult::TempError,
        Err(Stop::Permanent) => SpfResult::PermError,
    }
}

struct Check<'a> {
    dns: &'a Dns,
    client: IpAddr,
    sender: String,
    query: &'a Query<'a>,
    /// Terms that asked the DNS.
    lookups: u32,
    /// Of these, how many found nothing.
    voids: u32,
}

/// Ends the whole evaluation.
enum Stop {
    Temporary,
    Permanent,
}

/// The result for a domain; `None` if it has no record.
type HostResult = Result<Option<SpfResult>, Stop>;

impl Check<'_> {
    /// Calls itself for includes and redirects, at most as deep as there are lookups.
    fn host(&mut self, domain: String) -> Pin<Box<dyn Future<Output = HostResult> + Send + '_>> {
        Box::pin(async move {
            let Some(record) = self.record(&domain).await? else { return Ok(None) };
            for directive in &record.directives {
                if self.matches(&directive.mechanism, &domain).await? {
                    return Ok(Some(match directive.qualifier {
                        Qualifier::Pass => SpfResult::Pass,
                        Qualifier::Fail => SpfResult::Fail,
                        Qualifier::SoftFail => SpfResult::SoftFail,
                        Qualifier::Neutral => SpfResult::Neutral,
                    }));
                }
            }
            let Some(redirect) = &record.redirect else { return Ok(Some(SpfResult::Neutral)) };
            // RFC 7208 §6.1
            self.count_lookup()?;
            let target = self.expand(redirect, &domain);
            self.host(target).await?.ok_or(Stop::Permanent).map(Some)
        })
    }

    /// The one record of a domain (RFC 7208 §4.4, §4.5).
    async fn record(&self, domain: &str) -> Result<Option<Spf>, Stop> {
        let records = match self.dns.txt(domain).await {
            Ok(records) => records,
            Err(DnsError::NotFound) => return Ok(None),
            Err(DnsError::Temporary) => return Err(Stop::Temporary),
        };
        let mut of_spf = records.iter().filter(|record| is_spf(record));
        match (of_spf.next(), of_spf.next()) {
            (None, _) => Ok(None),
            (Some(record), None) if has_known_terms(record) => {
                Spf::parse(record).map(Some).map_err(|_| Stop::Permanent)
            }
            (Some(_), None) => Err(Stop::Permanent),
            (Some(_), Some(_)) => Err(Stop::Permanent),
        }
    }

    /// RFC 7208 §5
    async fn matches(&mut self, mechanism: &Mechanism, domain: &str) -> Result<bool, Stop> {
        match mechanism {
            Mechanism::All => Ok(true),
            Mechanism::Ip4 { addr, mask } => Ok(is_within(self.client, (*addr).into(), *mask, 0)),
            Mechanism::Ip6 { addr, mask } => Ok(is_within(self.client, (*addr).into(), 0, *mask)),
            Mechanism::Include { macro_string } => {
                self.count_lookup()?;
                let target = self.expand(macro_string, domain);
                let result = self.host(target).await?;
                result.map(|result| result == SpfResult::Pass).ok_or(Stop::Permanent)
            }
            Mechanism::A { macro_string, ip4_mask, ip6_mask } => {
                self.count_lookup()?;
                let target = self.expand(macro_string, domain);
                let found = self.addresses(&target).await;
                Ok(self.or_void(found)?.iter().any(|address| is_within(self.client, *address, *ip4_mask, *ip6_mask)))
            }
            Mechanism::Mx { macro_string, ip4_mask, ip6_mask } => {
                self.count_lookup()?;
                let target = self.expand(macro_string, domain);
                self.is_exchange(&target, *ip4_mask, *ip6_mask).await
            }
            Mechanism::Ptr { macro_string } => {
                self.count_lookup()?;
                let target = self.expand(macro_string, domain);
                self.is_named(&target).await
            }
            Mechanism::Exists { macro_string } => {
                self.count_lookup()?;
                let target = self.expand(macro_string, domain);
                // IPv4 whatever the client has: RFC 7208 §5.7
                let found = self.dns.ipv4(&target).await;
                Ok(!self.or_void(found)?.is_empty())
            }
        }
    }

    /// RFC 7208 §5.4
    async fn is_exchange(&mut self, domain: &str, ip4_mask: u32, ip6_mask: u128) -> Result<bool, Stop> {
        let found = self.dns.mx(domain).await;
        let exchanges = self.or_void(found)?;
        // RFC 7208 §4.6.4
        if exchanges.len() > MAX_NAMES {
            return Err(Stop::Permanent);
        }
        for mx in exchanges {
            let found = self.addresses(&mx.exchange).await;
            if self.or_void(found)?.iter().any(|address| is_within(self.client, *address, ip4_mask, ip6_mask)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// RFC 7208 §5.5: names of the client that lead back to it. An error of the DNS is no match here.
    async fn is_named(&mut self, domain: &str) -> Result<bool, Stop> {
        let domain = domain.trim_end_matches('.').to_ascii_lowercase();
        let names = match self.dns.ptr(self.client).await {
            Err(DnsError::NotFound) => self.or_void(Err(DnsError::NotFound))?,
            found => found.unwrap_or_default(),
        };
        for name in names.iter().take(MAX_NAMES) {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            let is_below = name.strip_suffix(&domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
            if is_below && self.addresses(&name).await.unwrap_or_default().contains(&self.client) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The addresses of a host, of the client's family (RFC 7208 §5).
    async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, DnsError> {
        match self.client {
            IpAddr::V4(_) => Ok(self.dns.ipv4(name).await?.into_iter().map(IpAddr::V4).collect()),
            IpAddr::V6(_) => Ok(self.dns.ipv6(name).await?.into_iter().map(IpAddr::V6).collect()),
        }
    }

    /// RFC 7208 §4.6.4: at most 10 terms that ask the DNS.
    fn count_lookup(&mut self) -> Result<(), Stop> {
        self.lookups += 1;
        if self.lookups > MAX_LOOKUPS { Err(Stop::Permanent) } else { Ok(()) }
    }

    /// RFC 7208 §4.6.4: at most 2 lookups that find nothing.
    fn or_void<T>(&mut self, found: Result<Vec<T>, DnsError>) -> Result<Vec<T>, Stop> {
        match found {
            Ok(found) => Ok(found),
            Err(DnsError::Temporary) => Err(Stop::Temporary),
            Err(DnsError::NotFound) => {
                self.voids += 1;
                if self.voids > MAX_VOIDS { Err(Stop::Permanent) } else { Ok(Vec::new()) }
            }
        }
    }

    /// A domain-spec with its macros expanded; without one, the domain (RFC 7208 §7).
    fn expand(&self, spec: &Macro, domain: &str) -> String {
        let mut variables = Variables::new();
        variables.set_ip(&self.client);
        variables.set_sender(self.sender.as_bytes());
        variables.set_domain(domain.trim_end_matches('.').as_bytes());
        variables.set_helo_domain(self.query.helo.as_bytes());
        variables.set_host_domain(self.query.our_hostname.as_bytes());
        variables.set_validated_domain(b"unknown".as_slice());
        let name = spec.eval(&variables, domain, false);
        // RFC 7208 §7.3: what is too long loses labels on the left.
        let mut name = name.as_ref();
        while name.len() > MAX_NAME {
            name = name.split_once('.').map_or("", |(_, rest)| rest);
        }
        name.to_owned()
    }
}

/// `v=spf1`, and nothing more or a space (RFC 7208 §4.5).
fn is_spf(record: &[u8]) -> bool {
    let version = record.split(|b| *b == b' ').next().unwrap_or_default();
    version.eq_ignore_ascii_case(b"v=spf1")
}

/// Every term is a mechanism that there is, or a modifier (RFC 7208 §4.6.1, §12); `mail-auth` takes others, too.
fn has_known_terms(record: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(record) else { return false };
    let is = |name: &str, names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    let mut seen = Vec::new();
    text.split(' ').skip(1).filter(|term| !term.is_empty()).all(|term| {
        let at = term.find([':', '=', '/']).unwrap_or(term.len());
        let (name, rest) = term.split_at(at);
        if rest.starts_with('=') {
            // RFC 7208 §6: each of the two at most once.
            let is_single = is(name, &["redirect", "exp"]);
            let is_again = is_single && is(name, &seen);
            seen.extend(is_single.then_some(name));
            return !is_again && name.starts_with(|c: char| c.is_ascii_alphabetic());
        }
        let name = name.strip_prefix(['+', '-', '~', '?']).unwrap_or(name);
        let network = rest.strip_prefix(':').filter(|value| value.parse::<Network>().is_ok());
        match name.to_ascii_lowercase().as_str() {
            "ip4" => network.is_some_and(|value| !value.contains(':')),
            "ip6" => network.is_some_and(|value| value.contains(':')),
            name => is(name, &["all", "include", "a", "mx", "ptr", "exists"]),
        }
    })
}

fn is_within(client: IpAddr, network: IpAddr, ip4_mask: u32, ip6_mask: u128) -> bool {
    match (client, network) {
        (IpAddr::V4(client), IpAddr::V4(network)) => client.to_bits() & ip4_mask == network.to_bits() & ip4_mask,
        (IpAddr::V6(client), IpAddr::V6(network)) => client.to_bits() & ip6_mask == network.to_bits() & ip6_mask,
        _ => false,
    }
}

const MAX_LOOKUPS: u32 = 10;
const MAX_VOIDS: u32 = 2;
const MAX_NAMES: usize = 10;
const MAX_NAME: usize = 253;
