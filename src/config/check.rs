//! From what was written to what is needed: defaults, paths, and what fits together.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::{
    DkimTable, DnsTable, LimitsTable, ListenerTable, MetricsTable, MtaSts, PublishTable, StoreTable, TimeoutsTable,
    TlsTable,
};
use super::quantity::Time;
use super::{Certificate, Config, ConnectionLimits, File, Listener, Log, Protocol, Resolvers, TlsMode};
use super::{blocklist, hooks, outbound, webhook};
use crate::mail::Domain;
use crate::policy::published::{Service, StsMode};
use crate::server::{Publish, RateLimits, SessionLimits};

/// What does not fit.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Problem {
    /// Not a host name.
    #[error("hostname: {0:?} is not a fully qualified host name")]
    Hostname(String),
    /// A path is empty.
    #[error("{0}: the path is empty")]
    EmptyPath(&'static str),
    /// Nothing to listen on.
    #[error("no [[listener]]: at least one is needed")]
    NoListener,
    /// A protocol that this version does not speak.
    #[error("{0}: protocol {1:?} is not available yet")]
    NotAvailable(Place, &'static str),
    /// TLS that does not fit the protocol.
    #[error("{place}: tls = {written:?} does not fit the protocol; allowed: {allowed}")]
    TlsMode {
        /// Where.
        place: Place,
        /// What was written.
        written: &'static str,
        /// What could have been.
        allowed: &'static str,
    },
    /// The admin API without TLS on an address that others can reach.
    #[error("{0}: the admin API listens on loopback addresses only")]
    AdminAddress(Place),
    /// A key that means nothing for this protocol.
    #[error("{0}: {1} does not apply to this protocol")]
    NotApplicable(Place, &'static str),
    /// Two listeners on one address.
    #[error("{0}: another listener is bound to this address")]
    Twice(Place),
    /// Half of a certificate.
    #[error("tls: certificate and key must be given together")]
    HalfCertificate,
    /// Both kinds of certificate.
    #[error("tls: self_signed = true and a certificate file exclude each other")]
    BothCertificates,
    /// A route that cannot be.
    #[error("outbound.route {number}: {key} = {value:?} cannot be; allowed: {allowed}")]
    Route {
        /// Its place in the file, from 1.
        number: usize,
        /// Which key.
        key: &'static str,
        /// What was written.
        value: String,
        /// What could have been.
        allowed: &'static str,
    },
    /// A block list that cannot be.
    #[error("blocklist {number}: {key} = {value:?} cannot be; allowed: {allowed}")]
    Blocklist {
        /// Its place in the file, from 1.
        number: usize,
        /// Which key.
        key: &'static str,
        /// What was written.
        value: String,
        /// What could have been.
        allowed: &'static str,
    },
    /// A password that cannot be read.
    #[error("outbound.route {number}: password_file {}: {why}", path.display())]
    Password {
        /// The route's place in the file, from 1.
        number: usize,
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A hook that cannot be.
    #[error("hook {number}: {key} = {value:?} cannot be; allowed: {allowed}")]
    Hook {
        /// Its place in the file, from 1.
        number: usize,
        /// Which key.
        key: &'static str,
        /// What was written.
        value: String,
        /// What could have been.
        allowed: Cow<'static, str>,
    },
    /// A webhook that cannot be.
    #[error("webhook {number}: {key} = {value:?} cannot be; allowed: {allowed}")]
    Webhook {
        /// Its place in the file, from 1.
        number: usize,
        /// Which key.
        key: &'static str,
        /// What was written.
        value: String,
        /// What could have been.
        allowed: &'static str,
    },
    /// Secrets that cannot be used.
    #[error("webhook {number}: secret_file {}: {why}", path.display())]
    Secret {
        /// The webhook's place in the file, from 1.
        number: usize,
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// An address for what is counted that cannot be.
    #[error("metrics.bind = {value:?} cannot be; allowed: {allowed}")]
    Metrics {
        /// What was written.
        value: String,
        /// What could have been.
        allowed: &'static str,
    },
    /// Not an address that can be written to.
    #[error("outbound.tls_report_contact: {0:?} is not an address")]
    Contact(String),
    /// A number out of range.
    #[error("{key}: must be {allowed}")]
    Range {
        /// Which.
        key: &'static str,
        /// What it can be.
        allowed: &'static str,
    },
}

/// Which listener.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    number: usize,
    protocol: Protocol,
    bind: SocketAddr,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "listener {} ({} on {})", self.number, self.protocol, self.bind)
    }
}

/// Checks the whole file, whose relative paths are relative to `folder`.
pub(super) fn check(file: File, folder: &Path) -> Result<Config, Problem> {
    let hostname = Domain::parse(&file.hostname).map_err(|_| Problem::Hostname(file.hostname.clone()))?;
    if !hostname.as_str().contains('.') {
        return Err(Problem::Hostname(file.hostname));
    }
    if file.data_dir.as_os_str().is_empty() {
        return Err(Problem::EmptyPath("data_dir"));
    }
    let has_certificate = file.tls.is_some();
    let listeners = listeners(file.listener, has_certificate)?;
    let certificate = certificate(file.tls.unwrap_or_default(), folder, &listeners)?;
    let publish = publish(file.publish, &file.dkim, &listeners)?;
    let metrics = metrics(file.metrics, &listeners)?;
    Ok(Config {
        hostname,
        data_dir: folder.join(file.data_dir),
        certificate,
        listeners,
        store_memory: store_memory(&file.store)?,
        connections: connections(&file.limits)?,
        rates: rates(&file.limits)?,
        sessions: sessions(&file.limits, &file.timeouts)?,
        tls_handshake: time("timeouts.tls_handshake", file.timeouts.tls_handshake, Duration::from_secs(30))?,
        shutdown: file.timeouts.shutdown.map_or(Duration::from_secs(10), |time| time.0),
        dns: dns(file.dns, folder)?,
        blocklists: blocklist::check(file.blocklist)?,
        outbound: outbound::check(file.outbound, folder)?,
        hooks: hooks::check(file.hook, folder)?,
        publish,
        webhooks: webhook::check(file.webhook, folder)?,
        metrics,
        log: Log { format: file.log.format, level: file.log.level },
    })
}

fn listeners(tables: Vec<ListenerTable>, has_certificate: bool) -> Result<Vec<Listener>, Problem> {
    if tables.is_empty() {
        return Err(Problem::NoListener);
    }
    let mut listeners: Vec<Listener> = Vec::with_capacity(tables.len());
    for (at, table) in tables.into_iter().enumerate() {
        let place = Place { number: at.saturating_add(1), protocol: table.protocol, bind: table.bind };
        let listener = listener(table, &place, has_certificate)?;
        // Port 0 is a new port each time.
        if listener.bind.port() != 0 && listeners.iter().any(|other| other.bind == listener.bind) {
            return Err(Problem::Twice(place));
        }
        listeners.push(listener);
    }
    Ok(listeners)
}

fn listener(table: ListenerTable, place: &Place, has_certificate: bool) -> Result<Listener, Problem> {
    let ListenerTable { protocol, bind, tls, allow_plaintext_auth, proxy_protocol } = table;
    let by_default = if has_certificate { TlsMode::Starttls } else { TlsMode::None };
    let (tls, allowed) = match protocol {
        Protocol::Smtp | Protocol::Submission | Protocol::Imap => {
            (tls.unwrap_or(by_default), [TlsMode::None, TlsMode::Starttls].as_slice())
        }
        Protocol::Submissions | Protocol::Imaps => (tls.unwrap_or(TlsMode::Implicit), [TlsMode::Implicit].as_slice()),
        Protocol::Admin => (tls.unwrap_or(TlsMode::None), [TlsMode::None].as_slice()),
        Protocol::Pop3 | Protocol::Pop3s => return Err(Problem::NotAvailable(place.clone(), protocol.name())),
    };
    if !allowed.contains(&tls) {
        let allowed = match allowed {
            [TlsMode::None] => "\"none\"",
            [TlsMode::Implicit] => "\"implicit\"",
            _ => "\"none\", \"starttls\"",
        };
        return Err(Problem::TlsMode { place: place.clone(), written: tls.name(), allowed });
    }
    if protocol == Protocol::Admin {
        if !bind.ip().to_canonical().is_loopback() {
            return Err(Problem::AdminAddress(place.clone()));
        }
        if !proxy_protocol.is_empty() {
            return Err(Problem::NotApplicable(place.clone(), "proxy_protocol"));
        }
        if allow_plaintext_auth.is_some() {
            return Err(Problem::NotApplicable(place.clone(), "allow_plaintext_auth"));
        }
    }
    // Behind a proxy, a loopback address says nothing about where the client is.
    let local_clients = bind.ip().to_canonical().is_loopback() && proxy_protocol.is_empty();
    let allow_plaintext_auth = allow_plaintext_auth.unwrap_or(local_clients);
    Ok(Listener { protocol, bind, tls, allow_plaintext_auth, proxy_protocol })
}

fn certificate(table: TlsTable, folder: &Path, listeners: &[Listener]) -> Result<Option<Certificate>, Problem> {
    let needed = listeners.iter().any(|listener| listener.tls != TlsMode::None);
    let certificate = match (table.certificate, table.key) {
        (Some(_), Some(_)) if table.self_signed => return Err(Problem::BothCertificates),
        (Some(certificate), Some(key)) => {
            Certificate::Files { certificate: folder.join(certificate), key: folder.join(key) }
        }
        (None, None) => Certificate::SelfSigned { intended: table.self_signed },
        (Some(_), None) | (None, Some(_)) => return Err(Problem::HalfCertificate),
    };
    Ok(needed.then_some(certificate))
}

fn store_memory(table: &StoreTable) -> Result<u64, Problem> {
    let allowed = "at least \"32 MiB\"";
    if table.memory.0 < 32 << 20 { Err(Problem::Range { key: "store.memory", allowed }) } else { Ok(table.memory.0) }
}

fn connections(table: &LimitsTable) -> Result<ConnectionLimits, Problem> {
    if table.connections == 0 {
        return Err(Problem::Range { key: "limits.connections", allowed: "at least 1" });
    }
    if table.connections_per_address == 0 {
        return Err(Problem::Range { key: "limits.connections_per_address", allowed: "at least 1" });
    }
    Ok(ConnectionLimits {
        total: table.connections,
        per_address: table.connections_per_address,
        exempt: table.exempt_addresses.clone(),
    })
}

fn rates(table: &LimitsTable) -> Result<RateLimits, Problem> {
    for (key, value) in [
        ("limits.client_connections_per_minute", table.client_connections_per_minute),
        ("limits.client_messages_per_minute", table.client_messages_per_minute),
        ("limits.account_messages_per_minute", table.account_messages_per_minute),
        ("limits.account_recipients_per_day", table.account_recipients_per_day),
    ] {
        if value > 1_000_000 {
            return Err(Problem::Range { key, allowed: "at most 1000000, or 0 for no limit" });
        }
    }
    let mut rates = RateLimits { exempt: table.exempt_addresses.clone(), ..RateLimits::default() };
    rates.client.connections_per_minute = table.client_connections_per_minute;
    rates.client.messages_per_minute = table.client_messages_per_minute;
    rates.account.messages_per_minute = table.account_messages_per_minute;
    rates.account.recipients_per_day = table.account_recipients_per_day;
    Ok(rates)
}

fn sessions(limits: &LimitsTable, timeouts: &TimeoutsTable) -> Result<SessionLimits, Problem> {
    // RFC 5321 §4.5.3.1.7 asks for 64 KiB; IMAP numbers and clients' arithmetic end at 2 GiB.
    if !(64 << 10..=2 << 30).contains(&limits.message_size.0) {
        let allowed = "from \"64 KiB\" to \"2 GiB\"";
        return Err(Problem::Range { key: "limits.message_size", allowed });
    }
    // RFC 5321 §4.5.3.1.8
    if !(100..=100_000).contains(&limits.recipients) {
        return Err(Problem::Range { key: "limits.recipients", allowed: "from 100 to 100000" });
    }
    let default = SessionLimits::default();
    Ok(SessionLimits {
        message_size: limits.message_size.0,
        recipients: limits.recipients,
        smtp_command: time("timeouts.smtp_command", timeouts.smtp_command, default.smtp_command)?,
        smtp_data: time("timeouts.smtp_data", timeouts.smtp_data, default.smtp_data)?,
        imap_idle: time("timeouts.imap_idle", timeouts.imap_idle, default.imap_idle)?,
        imap_login: time("timeouts.imap_login", timeouts.imap_login, default.imap_login)?,
        write: time("timeouts.write", timeouts.write, default.write)?,
    })
}

fn dns(table: DnsTable, folder: &Path) -> Result<Resolvers, Problem> {
    if table.servers.iter().any(|server| server.port() == 0 || server.ip().is_unspecified()) {
        return Err(Problem::Range { key: "dns.servers", allowed: "addresses with a port that can be asked" });
    }
    let timeout = time("dns.timeout", table.timeout, Duration::from_secs(5))?;
    let trust_anchor = table.trust_anchor.map(|path| folder.join(path));
    Ok(Resolvers { servers: table.servers, timeout, dnssec: table.dnssec, trust_anchor })
}

fn publish(table: PublishTable, dkim: &DkimTable, listeners: &[Listener]) -> Result<Publish, Problem> {
    let is_public = |address: &IpAddr| !address.is_unspecified() && !address.is_multicast();
    if !table.addresses.iter().all(is_public) {
        return Err(Problem::Range { key: "publish.addresses", allowed: "addresses of one host" });
    }
    let sts = match table.mta_sts {
        MtaSts::None => StsMode::None,
        MtaSts::Testing => StsMode::Testing,
        MtaSts::Enforce => StsMode::Enforce,
    };
    let services = listeners.iter().filter_map(service).collect();
    Ok(Publish { addresses: table.addresses, services, sts, automatic_keys: dkim.automatic })
}

fn metrics(table: MetricsTable, listeners: &[Listener]) -> Result<Option<SocketAddr>, Problem> {
    let Some(value) = table.bind else { return Ok(None) };
    let Ok(bind) = value.parse::<SocketAddr>() else {
        let allowed = "an IP address and a port, such as \"127.0.0.1:9464\"";
        return Err(Problem::Metrics { value, allowed });
    };
    // Port 0 is a new port each time.
    if bind.port() != 0 && listeners.iter().any(|listener| listener.bind == bind) {
        return Err(Problem::Metrics { value, allowed: "an address to which no listener is bound" });
    }
    Ok(Some(bind))
}

/// What a listener offers to clients elsewhere, and on which port; one whose port is any free one is at the usual port.
fn service(listener: &Listener) -> Option<(Service, u16)> {
    let (service, usual) = match listener.protocol {
        Protocol::Submissions => (Service::Submissions, 465),
        Protocol::Submission => (Service::Submission, 587),
        Protocol::Imaps => (Service::Imaps, 993),
        Protocol::Imap => (Service::Imap, 143),
        Protocol::Pop3s => (Service::Pop3s, 995),
        Protocol::Smtp | Protocol::Pop3 | Protocol::Admin => return None,
    };
    Some((service, if listener.bind.port() == 0 { usual } else { listener.bind.port() }))
}

pub(super) fn time(key: &'static str, written: Option<Time>, default: Duration) -> Result<Duration, Problem> {
    match written {
        None => Ok(default),
        Some(Time(time)) if time >= Duration::from_millis(100) => Ok(time),
        Some(_) => Err(Problem::Range { key, allowed: "at least \"100 ms\"" }),
    }
}
