//! Which hosts take mail for a destination, and in which order (RFC 5321 §5.1, RFC 7505).
//!
//! MX records by preference, equal ones shuffled; without any, the name itself. Our own name or address among them
//! cuts it and all that is not preferred to it, so that mail never comes back to where it is (RFC 5321 §5.1). A domain
//! with a thousand records costs what one with [`MAX_MX`] does, and at most [`MAX_ADDRESSES`] addresses are tried.
//! Names are looked up when their turn comes.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::destination::Destination;
use super::outcome::{End, Outcome, Scope};
use super::security::Published;
use crate::mail::{AddressLiteral, Domain, Host};
use crate::net::dns::{Dns, DnsError, Mx};

/// What this server is called and where it listens.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// Names under which it takes mail.
    pub names: Vec<Domain>,
    /// Where it listens for mail.
    pub listeners: Vec<SocketAddr>,
}

/// The hosts of one destination, those that were tried taken off.
#[derive(Debug)]
pub struct Hosts {
    pub(super) destination: Destination,
    pub(super) published: Published,
    /// Why the hosts so far did not do.
    pub(super) failure: Option<Outcome>,
    port: u16,
    /// Names that have not been looked up, those of equal preference together.
    ranks: VecDeque<Vec<Domain>>,
    ready: VecDeque<Candidate>,
    /// How many addresses may still be tried.
    left: usize,
    /// A route leads there: whom we set ourselves may be wrong, and no mail fails for that.
    is_smarthost: bool,
    may_be_loopback: bool,
    /// DNSSEC has proven that these are the destination's hosts, or nobody had to ask who they are.
    is_secure: bool,
}

/// One address of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// The host's name, or its address in brackets.
    pub name: String,
    pub address: SocketAddr,
    /// DNSSEC has proven the records that led to it.
    pub is_secure: bool,
}

/// Where to look, and what to keep away from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finder<'a> {
    pub dns: &'a Dns,
    pub own: &'a Own,
    /// Where hosts take mail.
    pub port: u16,
    /// Loopback addresses will do even where the DNS gives them.
    pub may_be_loopback: bool,
}

impl Own {
    /// This is one of our listeners.
    fn is_listener(&self, address: SocketAddr) -> bool {
        self.listeners.iter().any(|own| own.port() == address.port() && own.ip().to_canonical() == address.ip())
    }

    /// A connection with this address at both ends leads to a listener of ours.
    pub(super) fn listens_everywhere(&self, port: u16) -> bool {
        self.listeners.iter().any(|own| own.port() == port && own.ip().is_unspecified())
    }
}

impl Hosts {
    /// Of this destination; nothing of it is looked up yet.
    fn new(destination: &Destination, published: Published, port: u16, may_be_loopback: bool) -> Self {
        let is_smarthost = destination.route.as_ref().is_some_and(|route| route.smarthost.is_some());
        Self {
            destination: destination.clone(),
            published,
            failure: None,
            port,
            ranks: VecDeque::new(),
            ready: VecDeque::new(),
            left: MAX_ADDRESSES,
            is_smarthost,
            may_be_loopback: may_be_loopback || is_smarthost,
            is_secure: false,
        }
    }

    /// Remembers why a host did not do.
    pub(super) fn note(&mut self, mut failure: Outcome) {
        if self.is_smarthost && failure.end == End::Failed && !failure.is_reply {
            failure = failure.deferred((4, 4));
        }
        self.failure = Some(match self.failure.take() {
            Some(before) => before.or_more_telling(failure),
            None => failure,
        });
    }

    /// Takes off all hosts that are left: the next one is this server.
    pub(super) fn cut(&mut self) {
        self.ranks.clear();
        self.ready.clear();
    }

    /// A host did not do. Until then, what a session came to says more than that no host is left.
    pub(super) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// What there is to say when no host is left.
    pub(super) fn exhausted(&self) -> Outcome {
        let text = format!("no other host of {} is left to try", self.destination.host);
        self.failure.clone().unwrap_or_else(|| Outcome::ours(End::Deferred, Scope::Host, (4, 1), text))
    }
}

impl Finder<'_> {
    /// The hosts of a destination. An error if there is surely none, or none that can be found now. `seed` is random.
    pub async fn find(&self, destination: &Destination, published: Published, seed: u64) -> Result<Hosts, Outcome> {
        let smarthost = destination.route.as_ref().and_then(|route| route.smarthost.as_ref());
        let (host, port) = smarthost.map_or((&destination.host, self.port), |(host, port)| (host, *port));
        let mut hosts = Hosts::new(destination, published, port, self.may_be_loopback);
        match host {
            Host::Literal(AddressLiteral::Ip(ip)) => {
                if let Err(failure) = self.add(&mut hosts, &host.to_string(), &[*ip]) {
                    hosts.note(failure);
                }
            }
            Host::Literal(AddressLiteral::General(_)) => {
                return Err(failed((1, 2), format!("{host} is no address of a host")));
            }
            Host::Name(name) if smarthost.is_some() => {
                hosts.ranks.push_back(vec![name.clone()]);
                hosts.is_secure = true;
            }
            Host::Name(name) => (hosts.ranks, hosts.is_secure) = self.mail_exchangers(name, seed).await?,
        }
        self.look_ahead(&mut hosts).await;
        if hosts.ready.is_empty() { Err(hosts.exhausted()) } else { Ok(hosts) }
    }

    /// The next address to try; `None` if there is none.
    pub async fn next(&self, hosts: &mut Hosts) -> Option<Candidate> {
        self.look_ahead(hosts).await;
        hosts.left = hosts.left.checked_sub(1)?;
        hosts.ready.pop_front()
    }

    /// Looks up names until an address is there to try.
    async fn look_ahead(&self, hosts: &mut Hosts) {
        while hosts.ready.is_empty() {
            let Some(rank) = hosts.ranks.pop_front() else { return };
            let mut found = Vec::new();
            for name in rank {
                match self.addresses(&name).await {
                    Ok(addresses) => found.push((name, addresses)),
                    Err(failure) => hosts.note(failure),
                }
            }
            for (name, addresses) in &found {
                if let Err(failure) = self.add(hosts, name.as_str(), addresses) {
                    hosts.note(failure);
                    return hosts.cut();
                }
            }
        }
    }

    /// MX, or the name itself if it has none (RFC 5321 §5.1); and whether DNSSEC has proven that.
    async fn mail_exchangers(&self, domain: &Domain, seed: u64) -> Result<(VecDeque<Vec<Domain>>, bool), Outcome> {
        match self.dns.proven_mx(domain.as_str()).await {
            Ok((records, is_secure)) => Ok((ranks(domain, records, self.own, seed)?, is_secure)),
            // An error of the DNS is no absence: the domain's own address could be somebody's web server.
            Err(DnsError::Temporary) => Err(unanswered(domain)),
            Err(DnsError::NotFound) => match self.addresses(domain).await {
                Ok(_) => Ok((VecDeque::from([vec![domain.clone()]]), self.dns.dnssec().await.is_some())),
                Err(failure) if failure.end == End::Deferred => Err(failure),
                Err(_) => Err(failed((1, 2), format!("{domain} does not exist, or takes no mail"))),
            },
        }
    }

    async fn addresses(&self, name: &Domain) -> Result<Vec<IpAddr>, Outcome> {
        let (v6, v4) = tokio::join!(self.dns.ipv6(name.as_str()), self.dns.ipv4(name.as_str()));
        if v6.is_err() && v4.is_err() {
            return match (v6, v4) {
                (Err(DnsError::NotFound), Err(DnsError::NotFound)) => {
                    Err(failed((4, 4), format!("{name} has no address")))
                }
                _ => Err(unanswered(name)),
            };
        }
        Ok(alternate(v6.unwrap_or_default(), v4.unwrap_or_default()))
    }

    /// Adds a host's addresses, as far as they will do. An error if one of them is ours.
    fn add(&self, hosts: &mut Hosts, name: &str, addresses: &[IpAddr]) -> Result<(), Outcome> {
        let port = hosts.port;
        let addresses = addresses.iter().map(|ip| SocketAddr::new(ip.to_canonical(), port));
        let addresses: Vec<SocketAddr> = addresses.take(MAX_ADDRESSES).collect();
        if addresses.iter().any(|address| self.own.is_listener(*address)) {
            // Those of the same preference go too: nothing says that they come before us.
            hosts.cut();
            return Err(comes_back(&hosts.destination.host));
        }
        let (good, bad): (Vec<SocketAddr>, Vec<SocketAddr>) =
            addresses.into_iter().partition(|address| is_usable(address.ip(), hosts.may_be_loopback));
        if let (true, Some(bad)) = (good.is_empty(), bad.first()) {
            hosts.note(failed((4, 4), format!("{name} has the address {}, to which no mail is sent", bad.ip())));
        }
        let is_secure = hosts.is_secure;
        let candidate = |address| Candidate { name: name.to_owned(), address, is_secure };
        hosts.ready.extend(good.into_iter().map(candidate));
        Ok(())
    }
}

/// Mail for the destination would come back to this server.
pub(super) fn comes_back(host: &Host) -> Outcome {
    failed((4, 6), format!("mail for {host} would come back to this server, which does not take it"))
}

/// The names to try, in order, those of equal preference together and shuffled.
fn ranks(domain: &Domain, mut records: Vec<Mx>, own: &Own, seed: u64) -> Result<VecDeque<Vec<Domain>>, Outcome> {
    // RFC 7505 §3: a single record for the root says that no mail is taken.
    if matches!(&records[..], [only] if only.exchange == ".") {
        return Err(failed((1, 10), format!("{domain} takes no mail, as its null MX says")));
    }
    shuffle(&mut records, seed);
    records.sort_by_key(|mx| mx.preference);
    let mut ranks: VecDeque<(u16, Vec<Domain>)> = VecDeque::new();
    for mx in records.into_iter().take(MAX_MX) {
        let Some(name) = host_name(&mx.exchange) else { continue };
        if own.names.contains(&name) {
            // RFC 5321 §5.1: those of our own preference and all behind them.
            ranks.retain(|(preference, _)| *preference < mx.preference);
            if ranks.is_empty() {
                return Err(comes_back(&Host::Name(domain.clone())));
            }
            break;
        }
        match ranks.back_mut() {
            Some((preference, names)) if *preference == mx.preference => names.push(name),
            _ => ranks.push_back((mx.preference, vec![name])),
        }
    }
    if ranks.is_empty() {
        return Err(failed((4, 4), format!("the MX records of {domain} name no host")));
    }
    Ok(ranks.into_iter().map(|(_, names)| names).collect())
}

/// An exchange that is a host's name; an address is none (RFC 2181 §10.3, RFC 5321 §5.1).
fn host_name(exchange: &str) -> Option<Domain> {
    let name = Domain::parse(exchange).ok()?;
    name.as_str().parse::<Ipv4Addr>().is_err().then_some(name)
}

/// Fisher and Yates, with numbers from xorshift: fair enough for load, and repeatable.
fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed | 1;
    for at in (1..items.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let bound = (at as u64).saturating_add(1);
        items.swap(at, usize::try_from((state >> 11) % bound).unwrap_or(0));
    }
}

/// IPv6 first, and then by turns: a host whose IPv6 is broken costs one attempt before IPv4 has its turn.
fn alternate(v6: Vec<std::net::Ipv6Addr>, v4: Vec<Ipv4Addr>) -> Vec<IpAddr> {
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    let mut all = Vec::new();
    loop {
        match (v6.next(), v4.next()) {
            (None, None) => return all,
            (six, four) => all.extend(six.map(IpAddr::V6).into_iter().chain(four.map(IpAddr::V4))),
        }
    }
}

/// Nobody's mail is taken at an address that is none of one host, or is this machine's for everybody.
fn is_usable(ip: IpAddr, may_be_loopback: bool) -> bool {
    let is_broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    // 0.0.0.0/8 is this network (RFC 1122 §3.2.1.3); Linux takes 0.0.0.0 for this machine.
    let is_this = matches!(ip, IpAddr::V4(v4) if v4.octets()[0] == 0) || ip.is_unspecified();
    !(is_this || ip.is_multicast() || is_broadcast || ip.is_loopback() && !may_be_loopback)
}

fn unanswered(name: &Domain) -> Outcome {
    Outcome::ours(End::Deferred, Scope::Destination, (4, 3), format!("the DNS gives no answer for {name}"))
}

fn failed(detail: (u16, u16), text: String) -> Outcome {
    Outcome::ours(End::Failed, Scope::Destination, detail, text)
}

const MAX_MX: usize = 20;
const MAX_ADDRESSES: usize = 10;
