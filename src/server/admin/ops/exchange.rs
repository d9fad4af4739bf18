//! No trusted relay may be an MX of a hosted domain: it would pass on what outsiders send and have its word taken for
//! who they are (policy semantics §3.2).
//!
//! The DNS is asked when a trusted relay is added or changed, and every hour about all of them, which only warns: what
//! a domain's MX is can change behind our back. Not seen: a filter on a host of its own behind the MX, or one on this
//! host.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::Admin;
use crate::directory::{Directory, Relay, RelayKind};
use crate::mail::{Domain, Network};
use crate::net::dns::{Dns, DnsError};
use crate::server::admin::error::OpError;

/// What is known of the mail exchangers of the hosted domains.
#[derive(Debug, Default)]
struct Exchanges {
    /// Domain, host and address.
    found: Vec<(Domain, String, IpAddr)>,
    /// Domains of which the DNS did not tell.
    unknown: Vec<Domain>,
}

impl Admin {
    /// Refuses trusted relays that are an MX of a domain of `directory`. If the DNS does not tell, that is a refusal
    /// too, unless `force`: then what is known decides.
    pub(super) async fn check_relays(
        &self,
        directory: &Directory,
        relays: &[Relay],
        force: bool,
    ) -> Result<(), OpError> {
        let trusted: Vec<Network> =
            relays.iter().filter(|r| r.kind == RelayKind::TrustedRelay).map(|r| r.network).collect();
        if trusted.is_empty() {
            return Ok(());
        }
        let exchanges = exchanges(self.services.email_auth.dns(), directory).await;
        if let Some(error) = conflicts(&exchanges, &trusted).into_iter().next() {
            return Err(error);
        }
        match exchanges.unknown.first() {
            Some(domain) if !force => Err(OpError::ExchangesUnknown { domain: domain.clone() }),
            Some(_) | None => Ok(()),
        }
    }

    /// Warns, at the start and every hour, of trusted relays that are an MX of a hosted domain.
    pub async fn watch_relays(self: Arc<Self>) {
        loop {
            let directory = self.services.directory.current();
            let relays = directory.relays().filter(|r| r.kind == RelayKind::TrustedRelay);
            let trusted: Vec<Network> = relays.map(|r| r.network).collect();
            if !trusted.is_empty() {
                let exchanges = exchanges(self.services.email_auth.dns(), &directory).await;
                for conflict in conflicts(&exchanges, &trusted) {
                    tracing::warn!(%conflict, "outsiders pass for insiders: list it as a gateway");
                }
                if let Some(domain) = exchanges.unknown.first() {
                    let count = exchanges.unknown.len();
                    tracing::warn!(%domain, count, "cannot tell whether a trusted relay is an MX: no answer from the DNS");
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

fn conflicts(exchanges: &Exchanges, trusted: &[Network]) -> Vec<OpError> {
    let conflict = |(domain, host, address): &(Domain, String, IpAddr)| {
        let network = *trusted.iter().find(|network| network.contains(*address))?;
        Some(OpError::RelayIsExchange { network, domain: domain.clone(), host: host.clone(), address: *address })
    };
    exchanges.found.iter().filter_map(conflict).collect()
}

/// The mail exchangers of all hosted domains, several domains at once. What the DNS has not told in the time is unknown.
async fn exchanges(dns: &Dns, directory: &Directory) -> Exchanges {
    let deadline = Instant::now() + TIME;
    let mut waiting = directory.domains().map(|record| record.name.clone()).filter(is_in_dns);
    let mut asking = JoinSet::new();
    let mut exchanges = Exchanges::default();
    loop {
        while asking.len() < AT_ONCE
            && let Some(domain) = waiting.next()
        {
            let dns = dns.clone();
            asking.spawn(async move {
                let found = timeout_at(deadline, exchanges_of(&dns, &domain)).await;
                (domain, found.unwrap_or(Err(DnsError::Temporary)))
            });
        }
        match asking.join_next().await {
            None => return exchanges,
            Some(Ok((domain, Ok(found)))) => {
                exchanges.found.extend(found.into_iter().map(|(host, address)| (domain.clone(), host, address)));
            }
            Some(Ok((domain, Err(_)))) => exchanges.unknown.push(domain),
            // A task that was lost has told nothing; there is no such task while nobody aborts or panics.
            Some(Err(error)) => tracing::error!(%error, "question about mail exchangers lost"),
        }
    }
}

/// False for names that are reserved for documentation, which nobody can put into the DNS (RFC 6761 §6.5).
fn is_in_dns(domain: &Domain) -> bool {
    !domain.as_str().ends_with(".example")
}

/// Hosts and addresses that take a domain's mail (RFC 5321 §5.1): those of its MX records, or itself without any.
async fn exchanges_of(dns: &Dns, domain: &Domain) -> Result<Vec<(String, IpAddr)>, DnsError> {
    let hosts = match dns.mx(domain.as_str()).await {
        Ok(found) => found.into_iter().map(|mx| mx.exchange).collect(),
        Err(DnsError::NotFound) => vec![domain.to_string()],
        Err(DnsError::Temporary) => return Err(DnsError::Temporary),
    };
    let mut found = Vec::new();
    // RFC 7505 §3: `.` says that there is none.
    for host in hosts.iter().filter(|host| *host != ".").take(MAX_HOSTS) {
        let name = host.trim_end_matches('.');
        let four = or_none(dns.ipv4(host).await)?.into_iter().map(IpAddr::V4);
        let six = or_none(dns.ipv6(host).await)?.into_iter().map(IpAddr::V6);
        found.extend(four.chain(six).map(|address| (name.to_owned(), address)));
    }
    Ok(found)
}

fn or_none<T>(found: Result<Vec<T>, DnsError>) -> Result<Vec<T>, DnsError> {
    match found {
        Err(DnsError::NotFound) => Ok(Vec::new()),
        found => found,
    }
}

const AGAIN: Duration = Duration::from_secs(3600);
/// For all domains together.
const TIME: Duration = Duration::from_secs(30);
const AT_ONCE: usize = 32;
/// No domain has as many; who has them cannot make us ask for ever.
const MAX_HOSTS: usize = 50;
