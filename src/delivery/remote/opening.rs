//! From an address to a session: connection, greeting, EHLO, STARTTLS, AUTH.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use super::courier::{Courier, Timeouts};
use super::destination::{Demand, Source};
use super::hosts::{Candidate, Hosts, comes_back};
use super::link::{Broken, Link};
use super::login;
use super::outcome::{End, Outcome, RemoteHost, Scope};
use super::security::{Mode, Secured, Terms, Unusable, explain};
use super::session::Session;
use crate::mail::TlsWish;
use crate::net::Connection;
use crate::proto::smtp::client::{Capabilities, RemoteReply};

/// A session with this host, or why there is none. A handshake that fails where TLS is a courtesy is followed by one
/// new connection without it.
pub(super) async fn open(courier: &Courier, hosts: &mut Hosts, next: &Candidate) -> Result<Session, Outcome> {
    let security = &courier.security;
    let terms = security
        .terms(&hosts.destination, &hosts.published, &next.name, next.is_secure)
        .await
        .map_err(|reason| unusable(reason, Scope::Host))?;
    let mut opening = Opening::new(courier, hosts, next, &terms);
    let opened = match opening.run().await {
        Err(Stop::Handshake(error)) if opening.may_do_without() => {
            tracing::warn!(host = next.name, address = %next.address, %error, "TLS failed, going on without it");
            opening.mode = Mode::Never;
            opening.run().await
        }
        opened => opened,
    };
    match opened {
        Ok(session) => Ok(session),
        Err(Stop::With(outcome)) => Err(outcome),
        Err(Stop::Handshake(error)) => {
            let by = terms.by.map_or_else(String::new, |by| format!("{by}: "));
            Err(opening.failed((7, 5), format!("TLS failed: {by}{}", explain(&error))))
        }
        Err(Stop::Ourselves) => {
            hosts.cut();
            Err(comes_back(&hosts.destination.host))
        }
    }
}

/// A host that must not be used, or cannot be judged.
pub(super) fn unusable(reason: Unusable, scope: Scope) -> Outcome {
    let end = if reason.status.class() == End::Failed.class() { End::Failed } else { End::Deferred };
    Outcome { status: reason.status, ..Outcome::ours(end, scope, (0, 0), reason.text) }
}

struct Opening<'a> {
    courier: &'a Courier,
    hosts: &'a Hosts,
    terms: &'a Terms,
    mode: Mode,
    address: SocketAddr,
    remote: RemoteHost,
    is_implicit: bool,
}

enum Stop {
    With(Outcome),
    Handshake(rustls::Error),
    Ourselves,
}

impl<'a> Opening<'a> {
    fn new(courier: &'a Courier, hosts: &'a Hosts, next: &Candidate, terms: &'a Terms) -> Self {
        let remote = RemoteHost { name: next.name.clone(), address: next.address.ip() };
        let is_implicit = hosts.destination.route.as_ref().is_some_and(|route| route.implicit_tls);
        Self { courier, hosts, terms, mode: terms.mode, address: next.address, remote, is_implicit }
    }

    /// TLS is a courtesy here.
    fn may_do_without(&self) -> bool {
        self.mode == Mode::IfOffered && !self.is_implicit && self.hosts.destination.tls != TlsWish::Required
    }

    async fn run(&self) -> Result<Session, Stop> {
        let timeouts = &self.courier.settings.timeouts;
        let mut link = Link::new(self.connect().await?);
        if link.is_to_ourselves() && self.courier.settings.own.listens_everywhere(self.address.port()) {
            return Err(Stop::Ourselves);
        }
        if self.is_implicit {
            link = self.handshake(link).await?;
        }
        self.greeting(&mut link).await?;
        let mut offered = self.hello(&mut link).await?;
        if !self.is_implicit && self.start_tls(&mut link, &offered).await? {
            link = self.handshake(link).await?;
            // RFC 3207 §4.2: what was offered before counts no more.
            offered = self.hello(&mut link).await?;
        }
        let credentials = self.hosts.destination.route.as_ref().and_then(|route| route.credentials.as_ref());
        if let Some(credentials) = credentials {
            // A password is for who has proven to be the host, unless the route says that anybody will do.
            let is_asked = self.hosts.destination.route.as_ref().is_some_and(|r| r.demand == Demand::Encrypted);
            let is_proven = link.tls().is_some() && (self.terms.by.is_some() || is_asked);
            let is_safe = is_proven || self.address.ip().is_loopback();
            let logged_in = login::login(&mut link, &offered, credentials, is_safe, timeouts.hello).await;
            logged_in.map_err(|outcome| self.with(&link, outcome))?;
        }
        Ok(Session::new(
            link,
            self.remote.clone(),
            offered,
            self.terms.by,
            credentials.is_some(),
            Arc::new(self.courier.settings.timeouts),
        ))
    }

    async fn connect(&self) -> Result<Connection, Stop> {
        let source = self.hosts.destination.route.as_ref().map(|route| route.source).unwrap_or_default();
        let connect = connect(self.address, source, self.courier.settings.source);
        let limit = self.courier.settings.timeouts.connect;
        let why = match timeout(limit, connect).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        Err(Stop::With(self.failed((4, 1), format!("no connection with {}: {why}", self.address))))
    }

    /// RFC 5321 §3.1, RFC 7504 §3.
    async fn greeting(&self, link: &mut Link) -> Result<(), Stop> {
        let until = Instant::now() + self.courier.settings.timeouts.greeting;
        let reply = link.reply(until).await.map_err(|broken| self.broken(link, "greeting", &broken))?;
        if reply.code() == 220 { Ok(()) } else { Err(self.refused(link, &reply)) }
    }

    /// EHLO, or HELO with a host that knows no better (RFC 5321 §3.2).
    async fn hello(&self, link: &mut Link) -> Result<Capabilities, Stop> {
        let Timeouts { hello, .. } = self.courier.settings.timeouts;
        let name = &self.courier.settings.hostname;
        let reply = link.ask(&format!("EHLO {name}\r\n"), Instant::now() + hello).await;
        let reply = reply.map_err(|broken| self.broken(link, "EHLO", &broken))?;
        match reply.class() {
            2 => return Ok(Capabilities::read(&reply)),
            5 if link.tls().is_none() => {}
            _ => return Err(self.refused(link, &reply)),
        }
        let reply = link.ask(&format!("HELO {name}\r\n"), Instant::now() + hello).await;
        let reply = reply.map_err(|broken| self.broken(link, "HELO", &broken))?;
        if reply.class() == 2 { Ok(Capabilities::default()) } else { Err(self.refused(link, &reply)) }
    }

    /// True if the host is ready for TLS.
    async fn start_tls(&self, link: &mut Link, offered: &Capabilities) -> Result<bool, Stop> {
        if self.mode == Mode::Never {
            return Ok(false);
        }
        if !offered.starttls {
            self.note(&Secured::NotOffered);
            return self.without_tls(link, (7, 10), "it offers no TLS, which is required");
        }
        let until = Instant::now() + self.courier.settings.timeouts.hello;
        let reply = link.ask("STARTTLS\r\n", until).await;
        let reply = reply.map_err(|broken| self.broken(link, "STARTTLS", &broken))?;
        if reply.code() == 421 {
            return Err(self.refused(link, &reply));
        }
        if reply.class() != 2 {
            self.note(&Secured::NotOffered);
            let text = format!("it refuses TLS, which is required: {}", reply.text());
            return self.without_tls(link, (7, 10), &text);
        }
        // RFC 3207 §4.2: what came in the clear behind the reply would be read as if it had come by TLS.
        if link.has_input() {
            let text = "it sent more than its reply to STARTTLS in the clear, as somebody in between would".to_owned();
            return Err(Stop::With(self.failed((7, 5), text)));
        }
        Ok(true)
    }

    fn without_tls(&self, link: &Link, detail: (u16, u16), text: &str) -> Result<bool, Stop> {
        if self.mode == Mode::Required {
            return Err(self.with(link, self.failed(detail, text.to_owned())));
        }
        Ok(false)
    }

    async fn handshake(&self, link: Link) -> Result<Link, Stop> {
        let until = Instant::now() + self.courier.settings.timeouts.handshake;
        match link.secure(self.terms, until).await {
            Ok(link) => {
                self.note(&Secured::Yes);
                Ok(link)
            }
            Err(error) => {
                self.note(&Secured::Failed(error.clone()));
                Err(Stop::Handshake(error))
            }
        }
    }

    fn note(&self, secured: &Secured) {
        let Hosts { destination, published, .. } = self.hosts;
        self.courier.security.note(destination, published, &self.remote.name, secured);
    }

    /// The host does not want us, or not now; another one may.
    fn refused(&self, link: &Link, reply: &RemoteReply) -> Stop {
        let outcome = Outcome::of_reply(Scope::Host, reply);
        // 2yz and 3yz are no greetings.
        let outcome = if outcome.end == End::Relayed { outcome.deferred((5, 0)) } else { outcome };
        self.with(link, outcome)
    }

    fn broken(&self, link: &Link, step: &str, broken: &Broken) -> Stop {
        self.with(link, self.failed((4, 2), format!("{broken} while waiting for the reply to {step}")))
    }

    fn failed(&self, detail: (u16, u16), text: String) -> Outcome {
        Outcome::ours(End::Deferred, Scope::Host, detail, text).at(&self.remote, None)
    }

    fn with(&self, link: &Link, outcome: Outcome) -> Stop {
        let tls = super::session::tls_text(link.tls(), self.terms.by);
        Stop::With(outcome.at(&self.remote, tls.as_deref()))
    }
}

/// From the address that the route has, or else the server's, or else one that the system takes.
async fn connect(to: SocketAddr, route: Source, server: Source) -> io::Result<Connection> {
    let (socket, from) = match to {
        SocketAddr::V4(_) => {
            let from = route.ipv4.or(server.ipv4).map(|ip| SocketAddr::from((ip, 0)));
            (TcpSocket::new_v4()?, from)
        }
        SocketAddr::V6(_) => {
            let from = route.ipv6.or(server.ipv6).map(|ip| SocketAddr::from((ip, 0)));
            (TcpSocket::new_v6()?, from)
        }
    };
    if let Some(from) = from {
        socket.bind(from)?;
    }
    let stream: TcpStream = socket.connect(to).await?;
    Connection::plain(stream)
}
