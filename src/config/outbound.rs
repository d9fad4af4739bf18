//! `[outbound]`: mail to other hosts.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::check::{Problem, time};
use super::quantity::Time;
use crate::delivery::remote::agenda::Places;
use crate::delivery::remote::destination::{Credentials, Demand, Route, Source};
use crate::delivery::remote::routes::{Pattern, Routes, Rule};
use crate::delivery::remote::schedule::Patience;
use crate::delivery::remote::security::Reporting;
use crate::delivery::remote::worker::Settings;
use crate::mail::{Address, Domain, Host};

/// `[outbound]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutboundTable {
    /// Nothing is sent.
    paused: bool,
    /// Connections at once.
    connections: usize,
    /// Connections at once to one destination: the domain of the recipient, or the host of a route.
    connections_per_destination: usize,
    /// Messages over one connection.
    messages_per_connection: usize,
    /// Messages in a minute to one destination.
    messages_per_minute: Option<u32>,
    /// The pause after the first attempt.
    first_retry: Option<Time>,
    /// The longest pause.
    longest_retry: Option<Time>,
    /// When the sender is told that it takes longer.
    announce_after: Option<Time>,
    /// When a message is given up.
    give_up_after: Option<Time>,
    /// Where other hosts take mail.
    port: u16,
    /// The address to connect from to IPv4 addresses.
    source_ipv4: Option<Ipv4Addr>,
    /// The address to connect from to IPv6 addresses.
    source_ipv6: Option<Ipv6Addr>,
    /// Loopback addresses that the DNS gives will do.
    allow_loopback: bool,
    /// Authorities to trust beside the system's.
    ca_file: Option<PathBuf>,
    /// Where policy hosts of MTA-STS and receivers of reports listen.
    https_port: u16,
    /// Domains that ask for it are sent reports on TLS.
    tls_reports: bool,
    /// Whom they may ask about those.
    tls_report_contact: Option<String>,
    /// Exceptions.
    route: Vec<RouteTable>,
}

impl Default for OutboundTable {
    fn default() -> Self {
        Self {
            paused: false,
            connections: 100,
            connections_per_destination: 8,
            messages_per_connection: 100,
            messages_per_minute: None,
            first_retry: None,
            longest_retry: None,
            announce_after: None,
            give_up_after: None,
            port: 25,
            source_ipv4: None,
            source_ipv6: None,
            allow_loopback: false,
            ca_file: None,
            https_port: 443,
            tls_reports: true,
            tls_report_contact: None,
            route: Vec::new(),
        }
    }
}

/// A `[[outbound.route]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteTable {
    /// For logs.
    name: String,
    /// Recipients' domains; `.example.org` means those below it.
    #[serde(default)]
    to: Vec<String>,
    /// Senders' domains.
    #[serde(default)]
    from: Vec<String>,
    /// The smarthost.
    host: Option<String>,
    /// Its port.
    port: Option<u16>,
    /// What the connection must prove.
    tls: Option<RouteTls>,
    /// Who logs in.
    username: Option<String>,
    /// The file with the password.
    password_file: Option<PathBuf>,
    /// The address to connect from to IPv4 addresses.
    source_ipv4: Option<Ipv4Addr>,
    /// The address to connect from to IPv6 addresses.
    source_ipv6: Option<Ipv6Addr>,
}

/// What the connection of a route must prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RouteTls {
    /// What the destination publishes, else TLS if it is offered.
    Published,
    /// TLS, whoever answers.
    Encrypted,
    /// STARTTLS with a trusted certificate of the host's name.
    Verified,
    /// The same, with TLS from the first octet.
    Implicit,
    /// None.
    None,
}

/// Mail to other hosts.
#[derive(Clone, Debug)]
pub struct Outbound {
    /// Nothing is sent; what is for other hosts waits.
    pub is_paused: bool,
    /// How the queue is worked off.
    pub settings: Settings,
    /// Where other hosts take mail.
    pub port: u16,
    /// The addresses to connect from.
    pub source: Source,
    /// Loopback addresses that the DNS gives will do.
    pub may_be_loopback: bool,
    /// A file of authorities to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Where policy hosts of MTA-STS and receivers of reports listen.
    pub https_port: u16,
    /// How reports on TLS are made; `None` for none.
    pub reporting: Option<Reporting>,
}

/// Checks the table, whose relative paths are relative to `folder`.
pub(super) fn check(table: OutboundTable, folder: &Path) -> Result<Outbound, Problem> {
    let at_least_1 = |key, n: usize| if n == 0 { Err(Problem::Range { key, allowed: "at least 1" }) } else { Ok(n) };
    if table.messages_per_minute == Some(0) {
        return Err(Problem::Range { key: "outbound.messages_per_minute", allowed: "at least 1" });
    }
    if table.port == 0 {
        return Err(Problem::Range { key: "outbound.port", allowed: "from 1 to 65535" });
    }
    if table.https_port == 0 {
        return Err(Problem::Range { key: "outbound.https_port", allowed: "from 1 to 65535" });
    }
    let contact = match table.tls_report_contact {
        None => None,
        Some(text) => Some(Address::parse(&text).map_err(|_| Problem::Contact(text))?),
    };
    let places = Places {
        total: at_least_1("outbound.connections", table.connections)?,
        per_destination: at_least_1("outbound.connections_per_destination", table.connections_per_destination)?,
        rate: table.messages_per_minute,
    };
    let routes = table.route.into_iter().enumerate();
    let routes = routes.map(|(at, table)| route(at.saturating_add(1), table, folder)).collect::<Result<_, _>>()?;
    Ok(Outbound {
        is_paused: table.paused,
        settings: Settings {
            places,
            patience: patience(table.first_retry, table.longest_retry, table.announce_after, table.give_up_after)?,
            messages_per_session: at_least_1("outbound.messages_per_connection", table.messages_per_connection)?,
            routes: Routes(routes),
        },
        port: table.port,
        source: Source { ipv4: table.source_ipv4, ipv6: table.source_ipv6 },
        may_be_loopback: table.allow_loopback,
        ca_file: table.ca_file.map(|path| folder.join(path)),
        https_port: table.https_port,
        reporting: table.tls_reports.then_some(Reporting { contact }),
    })
}

fn patience(
    first: Option<Time>,
    longest: Option<Time>,
    announce: Option<Time>,
    give_up: Option<Time>,
) -> Result<Patience, Problem> {
    let default = Patience::default();
    let patience = Patience {
        first_pause: time("outbound.first_retry", first, default.first_pause)?,
        longest_pause: time("outbound.longest_retry", longest, default.longest_pause)?,
        announce_after: time("outbound.announce_after", announce, default.announce_after)?,
        give_up_after: time("outbound.give_up_after", give_up, default.give_up_after)?,
    };
    if patience.longest_pause < patience.first_pause {
        return Err(Problem::Range { key: "outbound.longest_retry", allowed: "no less than outbound.first_retry" });
    }
    if patience.give_up_after < patience.longest_pause {
        return Err(Problem::Range { key: "outbound.give_up_after", allowed: "no less than outbound.longest_retry" });
    }
    Ok(patience)
}

fn route(number: usize, table: RouteTable, folder: &Path) -> Result<Rule, Problem> {
    let wrong =
        |key: &'static str, value: &str, allowed| Problem::Route { number, key, value: value.to_owned(), allowed };
    let patterns = |key, written: &[String]| -> Result<Vec<Pattern>, Problem> {
        written.iter().map(|text| pattern(text).ok_or_else(|| wrong(key, text, DOMAINS))).collect()
    };
    let (to, from) = (patterns("to", &table.to)?, patterns("from", &table.from)?);
    // A password goes to nobody who has not proven to be the host, unless the file says so.
    let by_default = if table.username.is_some() { RouteTls::Verified } else { RouteTls::Published };
    let tls = table.tls.unwrap_or(by_default);
    let is_implicit = tls == RouteTls::Implicit;
    let smarthost = match (&table.host, table.port) {
        (None, Some(port)) => return Err(wrong("port", &port.to_string(), "a port only with a host")),
        (None, None) => None,
        (Some(_), Some(0)) => return Err(wrong("port", "0", "from 1 to 65535")),
        (Some(host), port) => {
            let parsed =
                Host::parse(host).map_err(|_| wrong("host", host, "a host name, or an address in brackets"))?;
            Some((parsed, port.unwrap_or(if is_implicit { 465 } else { 25 })))
        }
    };
    if is_implicit && smarthost.is_none() {
        return Err(wrong("tls", "implicit", "implicit TLS only with a host"));
    }
    let credentials = match (table.username, table.password_file) {
        (None, None) => None,
        (Some(user), Some(file)) => Some(Credentials { user, password: password(number, &folder.join(file))? }),
        (Some(user), None) => return Err(wrong("username", &user, "a username only with a password_file")),
        (None, Some(file)) => {
            return Err(wrong("password_file", &file.display().to_string(), "a password_file only with a username"));
        }
    };
    if let (Some(credentials), None) = (&credentials, &smarthost) {
        return Err(wrong("username", &credentials.user, "a username only with a host"));
    }
    let demand = match tls {
        RouteTls::Published => Demand::Published,
        RouteTls::Encrypted => Demand::Encrypted,
        RouteTls::Verified | RouteTls::Implicit => Demand::Verified,
        RouteTls::None => Demand::Plain,
    };
    let source = Source { ipv4: table.source_ipv4, ipv6: table.source_ipv6 };
    let route = Route { name: table.name, smarthost, implicit_tls: is_implicit, demand, credentials, source };
    Ok(Rule { to, from, route: Arc::new(route) })
}

fn pattern(text: &str) -> Option<Pattern> {
    match text.strip_prefix('.') {
        Some(above) => Domain::parse(above).ok().map(Pattern::Below),
        None => Domain::parse(text).ok().map(Pattern::Only),
    }
}

/// The first line of the file.
fn password(number: usize, path: &Path) -> Result<String, Problem> {
    let unreadable = |why: String| Problem::Password { number, path: path.to_owned(), why };
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    let password = text.lines().next().unwrap_or_default();
    if password.is_empty() { Err(unreadable("its first line is empty".to_owned())) } else { Ok(password.to_owned()) }
}

const DOMAINS: &str = "a domain, or a domain after a dot for those below it";
