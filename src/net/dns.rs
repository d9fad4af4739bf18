//! Questions to the DNS through the configured resolvers (RFC 1034 §5.3.1: we are a stub).
//!
//! Every question has an end: the time given, after which it counts as not answered; 1,024 are asked at once, the
//! others wait. Answers are cached as long as their TTL allows, at most an hour and at most 1,024 of them. Names are absolute; neither search lists nor
//! `/etc/hosts` come into it, so that an answer is the same wherever the server runs.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as Failure, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{ResolverBuilder, TokioResolver};
use tokio::sync::Semaphore;

use super::dnssec::Dnssec;

/// Asks resolvers. Clones share their cache.
#[derive(Clone)]
pub struct Dns {
    resolver: TokioResolver,
    time: Duration,
    /// A question holds a socket.
    places: Arc<Semaphore>,
    dnssec: Option<Dnssec>,
}

/// Why there are no records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DnsError {
    /// The name does not exist, has no such records, or is no name.
    #[error("no such records")]
    NotFound,
    /// No answer, or one of failure: it may be another one later.
    #[error("no answer for now")]
    Temporary,
}

/// The resolvers cannot be asked at all.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DnsSetupError(pub(super) String);

/// An MX record (RFC 5321 §5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mx {
    /// Lower ones first.
    pub preference: u16,
    /// The host, absolute.
    pub exchange: String,
}

/// An SRV record (RFC 2782); written as a zone file has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Srv {
    /// Lower ones first.
    pub priority: u16,
    /// How often among those of one priority.
    pub weight: u16,
    /// Where it listens.
    pub port: u16,
    /// The host, absolute; `.` if the service is not there.
    pub target: String,
}

impl fmt::Display for Srv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.priority, self.weight, self.port, self.target)
    }
}

impl Dns {
    /// Asks these servers, or those of `/etc/resolv.conf` if there are none; a question takes at most `time`.
    pub fn new(servers: &[SocketAddr], time: Duration) -> Result<Self, DnsSetupError> {
        let resolver = builder(servers, time).build().map_err(|error| DnsSetupError(error.to_string()))?;
        Ok(Self { resolver, time, places: Arc::new(Semaphore::new(AT_ONCE)), dnssec: None })
    }

    /// With somebody who proves answers.
    pub fn with_dnssec(self, dnssec: Dnssec) -> Self {
        Self { dnssec: Some(dnssec), ..self }
    }

    /// Who proves answers, if there is somebody who can.
    pub async fn dnssec(&self) -> Option<&Dnssec> {
        match &self.dnssec {
            Some(dnssec) if dnssec.works().await => Some(dnssec),
            _ => None,
        }
    }

    /// TXT records, the strings of each joined (RFC 7208 §3.3, RFC 6376 §3.6.2.2).
    pub async fn txt(&self, name: &str) -> Result<Vec<Vec<u8>>, DnsError> {
        self.ask(name, RecordType::TXT, |data| match data {
            RData::TXT(txt) => Some(txt.txt_data.concat()),
            _ => None,
        })
        .await
    }

    /// A records.
    pub async fn ipv4(&self, name: &str) -> Result<Vec<Ipv4Addr>, DnsError> {
        self.ask(name, RecordType::A, |data| match data {
            RData::A(a) => Some(a.0),
            _ => None,
        })
        .await
    }

    /// AAAA records.
    pub async fn ipv6(&self, name: &str) -> Result<Vec<Ipv6Addr>, DnsError> {
        self.ask(name, RecordType::AAAA, |data| match data {
            RData::AAAA(aaaa) => Some(aaaa.0),
            _ => None,
        })
        .await
    }

    /// MX records, the preferred first.
    pub async fn mx(&self, name: &str) -> Result<Vec<Mx>, DnsError> {
        let found = self.ask(name, RecordType::MX, |data| match data {
            RData::MX(mx) => Some(Mx { preference: mx.preference, exchange: mx.exchange.to_ascii() }),
            _ => None,
        });
        let mut found = found.await?;
        found.sort_by_key(|mx| mx.preference);
        Ok(found)
    }

    /// MX records, the preferred first, and whether DNSSEC has proven them. That there are none is not told apart: the
    /// host that is then tried (RFC 5321 §5.1) counts as proven where `dnssec` is there, since a forged denial is
    /// [`DnsError::Temporary`] (RFC 7672 §2.2.1).
    pub async fn proven_mx(&self, name: &str) -> Result<(Vec<Mx>, bool), DnsError> {
        let Some(dnssec) = self.dnssec().await else { return Ok((self.mx(name).await?, false)) };
        match dnssec.mx(name).await {
            Ok(found) if found.records.is_empty() => Err(DnsError::NotFound),
            Ok(found) => Ok((found.records, found.is_secure)),
            Err(_) => Err(DnsError::Temporary),
        }
    }

    /// SRV records.
    pub async fn srv(&self, name: &str) -> Result<Vec<Srv>, DnsError> {
        self.ask(name, RecordType::SRV, |data| match data {
            RData::SRV(srv) => {
                Some(Srv { priority: srv.priority, weight: srv.weight, port: srv.port, target: srv.target.to_ascii() })
            }
            _ => None,
        })
        .await
    }

    /// The name of which this one is an alias, absolute.
    pub async fn cname(&self, name: &str) -> Result<Vec<String>, DnsError> {
        self.ask(name, RecordType::CNAME, |data| match data {
            RData::CNAME(cname) => Some(cname.0.to_ascii()),
            _ => None,
        })
        .await
    }

    /// The names of an address (RFC 1035 §3.5), absolute.
    pub async fn ptr(&self, address: IpAddr) -> Result<Vec<String>, DnsError> {
        self.ask_name(Name::from(address), RecordType::PTR, |data| match data {
            RData::PTR(ptr) => Some(ptr.0.to_ascii()),
            _ => None,
        })
        .await
    }

    /// For libraries that bring their own questions.
    pub fn resolver(&self) -> &TokioResolver {
        &self.resolver
    }

    async fn ask<T>(&self, name: &str, kind: RecordType, pick: fn(&RData) -> Option<T>) -> Result<Vec<T>, DnsError> {
        let name = Name::from_ascii(name).map_err(|_| DnsError::NotFound)?;
        self.ask_name(name, kind, pick).await
    }

    async fn ask_name<T>(
        &self,
        mut name: Name,
        kind: RecordType,
        pick: fn(&RData) -> Option<T>,
    ) -> Result<Vec<T>, DnsError> {
        name.set_fqdn(true);
        let asked = async {
            let _place = self.places.acquire().await.map_err(|_| DnsError::Temporary)?;
            self.resolver.lookup(name, kind).await.map_err(|error| reason(&error))
        };
        let answer = tokio::time::timeout(self.time, asked).await.map_err(|_| DnsError::Temporary)??;
        // Aliases on the way are answers too, and alone they are none.
        let found: Vec<T> = answer.answers().iter().filter_map(|record| pick(&record.data)).collect();
        if found.is_empty() { Err(DnsError::NotFound) } else { Ok(found) }
    }
}

impl fmt::Debug for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dns").field("time", &self.time).finish_non_exhaustive()
    }
}

/// A resolver that asks these servers, or those of the system if there are none.
pub(super) fn builder(servers: &[SocketAddr], time: Duration) -> ResolverBuilder<TokioRuntimeProvider> {
    let servers = if servers.is_empty() { system_servers() } else { servers.iter().map(server).collect() };
    let config = ResolverConfig::from_parts(None, Vec::new(), servers);
    let mut options = ResolverOpts::default();
    // Twice within the time: a lost packet is no lost answer.
    options.timeout = time / 2;
    options.attempts = 2;
    options.use_hosts_file = ResolveHosts::Never;
    options.cache_size = CACHED;
    options.positive_max_ttl = Some(LONGEST_TTL);
    options.negative_max_ttl = Some(LONGEST_TTL);
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options)
}

fn server(address: &SocketAddr) -> NameServerConfig {
    let with_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = vec![with_port(ConnectionConfig::udp()), with_port(ConnectionConfig::tcp())];
    NameServerConfig::new(address.ip(), true, connections)
}

/// resolv.conf(5): without any, the name server on this machine.
fn system_servers() -> Vec<NameServerConfig> {
    let servers = read_system_conf().map(|(config, _)| config.into_parts().2).unwrap_or_default();
    if servers.is_empty() { vec![server(&SocketAddr::from((Ipv4Addr::LOCALHOST, 53)))] } else { servers }
}

fn reason(error: &NetError) -> DnsError {
    match error {
        NetError::Dns(Failure::NoRecordsFound(none))
            if matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError) =>
        {
            DnsError::NotFound
        }
        _ => DnsError::Temporary,
    }
}

/// An answer can have 64 KiB.
const CACHED: u64 = 1_024;
const AT_ONCE: usize = 1_024;
const LONGEST_TTL: Duration = Duration::from_secs(3_600);
