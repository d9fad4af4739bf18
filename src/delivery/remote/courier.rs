//! Goes to the hosts of a destination, one after the other, until one takes mail.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::destination::{Destination, Source};
use super::hosts::{Finder, Hosts, Own};
use super::opening;
use super::outcome::{End, Outcome, Scope};
use super::security::Security;
use super::session::Session;
use crate::mail::Domain;
use crate::net::dns::Dns;

/// Opens sessions with other hosts.
#[derive(Debug)]
pub struct Courier {
    /// Answers which hosts there are.
    pub dns: Dns,
    /// Answers what they must prove.
    pub security: Arc<Security>,
    /// How it goes about it.
    pub settings: Settings,
}

/// How a courier goes about it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is said at EHLO.
    pub hostname: Domain,
    /// What this server is, for loops to be seen.
    pub own: Own,
    /// Where other hosts take mail: 25, but in tests.
    pub port: u16,
    /// The addresses to connect from.
    pub source: Source,
    /// Loopback addresses will do even where the DNS gives them. For tests: what listens there trusts those who come.
    pub may_be_loopback: bool,
    /// How long is waited for what.
    pub timeouts: Timeouts,
}

/// How long is waited for what. Each is for the whole of it, so that a host which gives one octet after the other is
/// waited for no longer.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For the DNS to name a host.
    pub lookup: Duration,
    /// For a connection.
    pub connect: Duration,
    /// For the greeting.
    pub greeting: Duration,
    /// For the replies to EHLO, HELO and STARTTLS, and for each of AUTH.
    pub hello: Duration,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For all hosts that are tried until one answers.
    pub opening: Duration,
    /// For the reply to MAIL, and to RSET.
    pub mail: Duration,
    /// For the reply to each RCPT.
    pub rcpt: Duration,
    /// For the reply to DATA.
    pub data: Duration,
    /// For a piece of the content to be taken.
    pub block: Duration,
    /// For the reply to the whole content.
    pub end: Duration,
    /// For QUIT and the end of the connection.
    pub quit: Duration,
    /// For one transaction, and a second more for each [`Timeouts::octets_per_second`] of the message.
    pub transaction: Duration,
    /// For all that is tried for one message at one destination, host after host, and as much more as a transaction has.
    pub attempt: Duration,
    /// How slow a host may be.
    pub octets_per_second: u64,
    /// After so long an attempt that has relayed nothing, a destination gets one session at a time.
    pub slow: Duration,
}

/// RFC 5321 §4.5.3.2, where it says something.
impl Default for Timeouts {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        Self {
            lookup: minutes(1),
            connect: Duration::from_secs(30),
            greeting: minutes(5),
            hello: minutes(5),
            handshake: minutes(1),
            opening: minutes(15),
            mail: minutes(5),
            rcpt: minutes(5),
            data: minutes(2),
            block: minutes(3),
            end: minutes(10),
            quit: Duration::from_secs(5),
            transaction: minutes(20),
            attempt: minutes(30),
            octets_per_second: 16 << 10,
            slow: minutes(2),
        }
    }
}

impl Timeouts {
    /// For a transaction with so many octets.
    pub(super) fn transaction_of(&self, octets: u64) -> Duration {
        self.transaction.saturating_add(self.content_of(octets))
    }

    /// For all that is tried for a message of so many octets.
    pub fn attempt_of(&self, octets: u64) -> Duration {
        self.attempt.saturating_add(self.content_of(octets))
    }

    fn content_of(&self, octets: u64) -> Duration {
        Duration::from_secs(octets.checked_div(self.octets_per_second).unwrap_or(0))
    }
}

impl Courier {
    /// The hosts of a destination. The error is what becomes of its recipients if there are none.
    pub async fn hosts(&self, destination: &Destination) -> Result<Hosts, Outcome> {
        // It has limits of its own: a policy host may take longer than the DNS.
        let published = self.security.published(destination).await;
        let published = published.map_err(|unusable| opening::unusable(unusable, Scope::Destination))?;
        let finder = self.finder();
        let find = finder.find(destination, published, random());
        let late = || late(format!("the DNS gives no host of {} in time", destination.host), Scope::Destination);
        timeout(self.settings.timeouts.lookup, find).await.unwrap_or_else(|_| Err(late()))
    }

    /// A session with the next host that answers and takes mail, which it must have done by `until`; goes on where the
    /// last call ended. The error says why there is none: the most telling of the reasons that the hosts gave.
    pub async fn next(&self, hosts: &mut Hosts, until: Instant) -> Result<Session, Outcome> {
        let until = until.min(Instant::now() + self.settings.timeouts.opening);
        loop {
            let next = match timeout_at(until, self.finder().next(hosts)).await {
                Ok(Some(candidate)) => candidate,
                Ok(None) => return Err(hosts.exhausted()),
                Err(_) => {
                    hosts.note(late("no host answers in time".to_owned(), Scope::Host));
                    return Err(hosts.exhausted());
                }
            };
            let opened = timeout_at(until, opening::open(self, hosts, &next)).await;
            let failure = match opened {
                Ok(Ok(session)) => return Ok(session),
                Ok(Err(failure)) => failure,
                Err(_) => late(format!("{} does not get ready in time", next.name), Scope::Host),
            };
            tracing::info!(
                destination = %hosts.destination.host, host = next.name, address = %next.address,
                status = %failure.status, text = failure.text, "no session"
            );
            let is_over = failure.scope == Scope::Destination;
            hosts.note(failure.clone());
            if is_over {
                hosts.cut();
                return Err(failure);
            }
        }
    }

    fn finder(&self) -> Finder<'_> {
        let Settings { own, port, may_be_loopback, .. } = &self.settings;
        Finder { dns: &self.dns, own, port: *port, may_be_loopback: *may_be_loopback }
    }
}

fn late(text: String, scope: Scope) -> Outcome {
    Outcome::ours(End::Deferred, scope, (4, 1), text)
}

/// For the order among equals, and for pauses that differ; without randomness some.
pub(in crate::delivery) fn random() -> u64 {
    let mut octets = [0; 8];
    let _ = getrandom::fill(&mut octets);
    u64::from_le_bytes(octets)
}
