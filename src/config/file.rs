//! The configuration as it is written. A key's default is that of `conf/posthouse.toml`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;

use super::blocklist::BlocklistTable;
use super::hooks::HookTable;
use super::outbound::OutboundTable;
use super::quantity::{Size, Time};
use super::webhook::WebhookTable;
use crate::mail::Network;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The server's fully qualified host name: in greetings, in trace fields, in the self-signed certificate.
    pub hostname: String,
    /// Where everything lies that lasts. Made if it is missing.
    pub data_dir: PathBuf,
    /// What to listen on.
    #[serde(default)]
    pub listener: Vec<ListenerTable>,
    /// Certificate and key.
    pub tls: Option<TlsTable>,
    /// The store.
    #[serde(default)]
    pub store: StoreTable,
    /// How much.
    #[serde(default)]
    pub limits: LimitsTable,
    /// How long.
    #[serde(default)]
    pub timeouts: TimeoutsTable,
    /// The DNS.
    #[serde(default)]
    pub dns: DnsTable,
    /// Who says that clients send unwanted mail.
    #[serde(default)]
    pub blocklist: Vec<BlocklistTable>,
    /// Mail to other hosts.
    #[serde(default)]
    pub outbound: OutboundTable,
    /// Programs that are asked.
    #[serde(default)]
    pub hook: Vec<HookTable>,
    /// What domains publish.
    #[serde(default)]
    pub publish: PublishTable,
    /// Signatures.
    #[serde(default)]
    pub dkim: DkimTable,
    /// Who is told of what happens to messages.
    #[serde(default)]
    pub webhook: Vec<WebhookTable>,
    /// What is counted.
    #[serde(default)]
    pub metrics: MetricsTable,
    /// The log.
    #[serde(default)]
    pub log: LogTable,
}

/// A `[[listener]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerTable {
    /// What is spoken.
    pub protocol: Protocol,
    /// Address and port; port 0 takes any free one.
    pub bind: SocketAddr,
    /// Whether and when TLS starts.
    pub tls: Option<TlsMode>,
    /// Take passwords without TLS. By default only on loopback addresses without `proxy_protocol`.
    pub allow_plaintext_auth: Option<bool>,
    /// Senders (addresses or networks) that put a PROXY protocol header before each connection.
    #[serde(default)]
    pub proxy_protocol: Vec<Network>,
}

/// What is spoken on a listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Mail from other servers (port 25).
    Smtp,
    /// Mail from users (port 587).
    Submission,
    /// The same over implicit TLS (port 465).
    Submissions,
    /// IMAP (port 143).
    Imap,
    /// The same over implicit TLS (port 993).
    Imaps,
    /// POP3 (port 110): not available yet.
    Pop3,
    /// The same over implicit TLS (port 995): not available yet.
    Pop3s,
    /// The admin API over HTTP.
    Admin,
}

impl Protocol {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Smtp => "smtp",
            Protocol::Submission => "submission",
            Protocol::Submissions => "submissions",
            Protocol::Imap => "imap",
            Protocol::Imaps => "imaps",
            Protocol::Pop3 => "pop3",
            Protocol::Pop3s => "pop3s",
            Protocol::Admin => "admin",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether and when TLS starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// Never.
    None,
    /// When the client asks for it.
    Starttls,
    /// With the first octet.
    Implicit,
}

impl TlsMode {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            TlsMode::None => "none",
            TlsMode::Starttls => "starttls",
            TlsMode::Implicit => "implicit",
        }
    }
}

/// `[tls]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsTable {
    /// PEM file with the chain, the server's certificate first.
    pub certificate: Option<PathBuf>,
    /// PEM file with its key.
    pub key: Option<PathBuf>,
    /// Use a certificate of our own making instead.
    #[serde(default)]
    pub self_signed: bool,
}

/// `[store]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreTable {
    /// Memory for all caches and write buffers of the store together.
    pub memory: Size,
}

impl Default for StoreTable {
    fn default() -> Self {
        Self { memory: Size(256 << 20) }
    }
}

/// `[limits]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsTable {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one IPv4 address or IPv6 /64.
    pub connections_per_address: usize,
    /// Clients to which `connections_per_address`, `client_connections_per_minute` and `client_messages_per_minute` do not
    /// apply.
    pub exempt_addresses: Vec<Network>,
    /// SMTP connections of one client without a login within a minute.
    pub client_connections_per_minute: u32,
    /// Messages of one client without a login within a minute.
    pub client_messages_per_minute: u32,
    /// Messages of one account within a minute.
    pub account_messages_per_minute: u32,
    /// Recipients of one account within a day.
    pub account_recipients_per_day: u32,
    /// Largest message.
    pub message_size: Size,
    /// Recipients of one message (RFC 5321 §4.5.3.1.8: at least 100).
    pub recipients: usize,
}

impl Default for LimitsTable {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_address: 1_000,
            exempt_addresses: ["127.0.0.0/8", "::1"].into_iter().filter_map(|text| text.parse().ok()).collect(),
            client_connections_per_minute: 30,
            client_messages_per_minute: 100,
            account_messages_per_minute: 60,
            account_recipients_per_day: 2000,
            message_size: Size(64 << 20),
            recipients: 500,
        }
    }
}

/// `[timeouts]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutsTable {
    /// Next SMTP command.
    pub smtp_command: Option<Time>,
    /// Next octets of a message.
    pub smtp_data: Option<Time>,
    /// Next IMAP command.
    pub imap_idle: Option<Time>,
    /// IMAP login.
    pub imap_login: Option<Time>,
    /// A peer takes our output.
    pub write: Option<Time>,
    /// A TLS handshake.
    pub tls_handshake: Option<Time>,
    /// Sessions end when the server stops.
    pub shutdown: Option<Time>,
}

/// `[dns]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DnsTable {
    /// Resolvers; none means those of the system.
    pub servers: Vec<SocketAddr>,
    /// An answer.
    pub timeout: Option<Time>,
    /// Whether answers are proven, for DANE.
    pub dnssec: DnssecMode,
    /// DNSKEY records to trust instead of the root's.
    pub trust_anchor: Option<PathBuf>,
}

/// Whether answers of the DNS are proven.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DnssecMode {
    /// By this server, if the resolver hands on signatures.
    #[default]
    Validate,
    /// They are not, and there is no DANE.
    Off,
}

/// `[publish]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PublishTable {
    /// The addresses from which this server sends and where others reach it; without any, those that its host name has.
    pub addresses: Vec<IpAddr>,
    /// The mode of the MTA-STS policy.
    pub mta_sts: MtaSts,
}

/// `mode` of the MTA-STS policy (RFC 8461 §3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MtaSts {
    /// There is no policy.
    None,
    /// Failures are reported.
    #[default]
    Testing,
    /// Without TLS no mail.
    Enforce,
}

/// `[dkim]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DkimTable {
    /// Make keys for each domain that is added.
    pub automatic: bool,
}

impl Default for DkimTable {
    fn default() -> Self {
        Self { automatic: true }
    }
}

/// `[metrics]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsTable {
    /// Address and port where they are read; none means nowhere.
    pub bind: Option<String>,
}

/// `[log]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogTable {
    /// How a line looks.
    pub format: LogFormat,
    /// What is logged.
    pub level: LogLevel,
}

impl Default for LogTable {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: LogLevel::Info }
    }
}

/// How a log line looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object for each line.
    Json,
}

/// What is logged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What needs somebody's attention.
    Error,
    /// And what may.
    Warn,
    /// And one line for each message and each refusal.
    Info,
    /// And what sessions do.
    Debug,
    /// And everything.
    Trace,
}
