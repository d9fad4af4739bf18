//! Where mail goes: to the hosts of the recipient's domain, or where a route leads.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::mail::{Host, TlsWish};

/// Where one session goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// What stands right of the `@` of the recipients.
    pub host: Host,
    /// The route that applies, if one does.
    pub route: Option<Arc<Route>>,
    /// What the message asks of connections (RFC 8689).
    pub tls: TlsWish,
}

impl Destination {
    /// The host and port that a route leads to.
    pub fn smarthost(&self) -> Option<&(Host, u16)> {
        self.route.as_ref().and_then(|route| route.smarthost.as_ref())
    }

    /// One session will do for both: what is for the same hosts, or goes the same way to a smarthost.
    pub fn shares_sessions_with(&self, other: &Self) -> bool {
        let is_same_way = (&self.route, self.tls) == (&other.route, other.tls);
        is_same_way && (self.host == other.host || self.smarthost().is_some())
    }
}

/// An exception from the way that MX records show.
#[derive(Clone, PartialEq, Eq)]
pub struct Route {
    /// As the configuration calls it.
    pub name: String,
    /// The host instead of those of the domain, and its port.
    pub smarthost: Option<(Host, u16)>,
    /// TLS from the first octet (RFC 8314), not by STARTTLS.
    pub implicit_tls: bool,
    /// What the connection must prove.
    pub demand: Demand,
    /// User and password for AUTH (RFC 4954).
    pub credentials: Option<Credentials>,
    /// The address to connect from, instead of the server's.
    pub source: Source,
}

/// What is said at AUTH.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Who.
    pub user: String,
    /// Not shown by `Debug`.
    pub password: String,
}

/// What a connection must prove, at the least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Demand {
    /// What the destination publishes (DANE, MTA-STS), or else TLS if it is offered.
    #[default]
    Published,
    /// TLS, whoever answers.
    Encrypted,
    /// TLS with a certificate of the host's name that is trusted.
    Verified,
    /// No TLS.
    Plain,
}

/// The addresses to connect from; `None` leaves it to the system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// To IPv4 addresses.
    pub ipv4: Option<Ipv4Addr>,
    /// To IPv6 addresses.
    pub ipv6: Option<Ipv6Addr>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").field("name", &self.name).field("smarthost", &self.smarthost).finish_non_exhaustive()
    }
}
