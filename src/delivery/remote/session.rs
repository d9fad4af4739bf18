//! A session with one host, from its EHLO to QUIT: one transaction after the other.
//!
//! Lines of more than 998 octets, which a host need not take (RFC 5321 §4.5.3.1.6), are no reason to fail here: what the
//! host says counts. In a header they go as they are. In a body they become quoted-printable or Base64, unless the host
//! takes CHUNKING, which knows no lines, or the message is signed and the host takes 8BITMIME: then a signature that
//! holds is worth more than lines that are short. Where there is no other form they go as they are.

use std::sync::Arc;

use tokio::time::Instant;

use super::content::{Content, Unchangeable};
use super::courier::Timeouts;
use super::link::Link;
use super::outcome::{End, Outcome, RemoteHost, Scope};
use super::outgoing::Outgoing;
use super::transaction::Transaction;
use crate::mail::ReversePath;
use crate::net::TlsInfo;
use crate::proto::message::HeaderText;
use crate::proto::message::downgrade::NotPossible;
use crate::proto::smtp::Body;
use crate::proto::smtp::client::Capabilities;
use crate::store::Store;

/// A session that takes messages for as long as [`Session::is_open`].
#[derive(Debug)]
pub struct Session {
    pub(super) link: Link,
    pub(super) offered: Capabilities,
    pub(super) timeouts: Arc<Timeouts>,
    pub(super) is_authenticated: bool,
    /// A transaction ended before its content: RSET comes before the next one.
    pub(super) needs_reset: bool,
    pub(super) is_open: bool,
    pub(super) sent: usize,
    remote: RemoteHost,
    tls: Option<String>,
    /// The host has proven its name.
    is_verified: bool,
}

/// What is said of the content, and how it goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub body: Body,
    pub smtputf8: bool,
}

impl Session {
    pub(super) fn new(
        link: Link,
        remote: RemoteHost,
        offered: Capabilities,
        by: Option<&'static str>,
        is_authenticated: bool,
        timeouts: Arc<Timeouts>,
    ) -> Self {
        let tls = tls_text(link.tls(), by);
        let is_verified = tls.is_some() && by.is_some();
        Self {
            link,
            offered,
            timeouts,
            is_authenticated,
            needs_reset: false,
            is_open: true,
            sent: 0,
            remote,
            tls,
            is_verified,
        }
    }

    /// The host.
    pub fn host(&self) -> &RemoteHost {
        &self.remote
    }

    /// How it is secured, as outcomes say it; `None` if it is not.
    pub fn tls(&self) -> Option<&str> {
        self.tls.as_deref()
    }

    /// Another message can be sent. A host may end a session that waits without our seeing it; then the next message
    /// comes to an outcome of [`Scope::Host`] before anything of it is sent.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// How many messages the host has taken or refused after their content.
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// Sends a message; gives the outcome for each of its recipients, in their order. Recipients that the host wants in
    /// another transaction (RFC 5321 §4.5.3.1.10) get one, as long as that brings some of them on. At `until` the host is
    /// waited for no longer: who has no outcome then is deferred, and the others keep theirs.
    pub async fn send(&mut self, store: &Store, outgoing: &Outgoing<'_>, until: Instant) -> Vec<Outcome> {
        let mut outcomes = vec![None; outgoing.recipients.len()];
        if let Err(outcome) = self.send_to(store, outgoing, &mut outcomes, until).await {
            outcomes.iter_mut().filter(|open| open.is_none()).for_each(|open| *open = Some(outcome.clone()));
        }
        let nothing = || Outcome::ours(End::Deferred, Scope::Host, (4, 2), "the session ended before");
        let at = |outcome: Option<Outcome>| {
            let mut outcome = outcome.unwrap_or_else(nothing).at(&self.remote, self.tls.as_deref());
            // RFC 3461 §5.2.2: what NOTIFY asks for is the next host's to do.
            outcome.passed_on = outcome.end == End::Relayed && self.offered.dsn;
            outcome
        };
        outcomes.into_iter().map(at).collect()
    }

    /// Says QUIT and ends the connection, within a bounded time.
    pub async fn close(mut self) {
        let until = Instant::now() + self.timeouts.quit;
        if self.is_open && self.link.ask("QUIT\r\n", until).await.is_err() {
            return;
        }
        self.link.close(until.saturating_duration_since(Instant::now())).await;
    }

    async fn send_to(
        &mut self,
        store: &Store,
        outgoing: &Outgoing<'_>,
        outcomes: &mut [Option<Outcome>],
        until: Instant,
    ) -> Result<(), Outcome> {
        if !self.is_open {
            return Err(Outcome::ours(End::Deferred, Scope::Host, (4, 2), "the session is over"));
        }
        self.check_tls(outgoing)?;
        self.check_size(outgoing.message.size())?;
        let mut content = Content::new(store, outgoing.message, outgoing.whole);
        let manner = self.manner(outgoing, &mut content).await?;
        let mut left: Vec<usize> = Vec::new();
        for (at, (recipient, outcome)) in outgoing.recipients.iter().zip(&mut *outcomes).enumerate() {
            if recipient.address.is_ascii() || self.offered.smtputf8 {
                left.push(at);
            } else {
                *outcome = Some(needs_utf8("the recipient's address"));
            }
        }
        for _ in 0..MAX_TRANSACTIONS {
            let some = |at: &&usize| outgoing.recipients.get(**at).is_some_and(|r| !r.address.is_ascii());
            let manner = Manner { smtputf8: manner.smtputf8 || left.iter().find(some).is_some(), ..manner };
            let transaction = Transaction::new(self, outgoing, (&content, manner), outcomes, until);
            left = transaction.run(left).await;
            if left.is_empty() || !self.is_open || Instant::now() >= until {
                break;
            }
        }
        Ok(())
    }

    /// RFC 8689 §4.2.1. A report is not lost because the host does not pass the wish on (§5).
    fn check_tls(&self, outgoing: &Outgoing<'_>) -> Result<(), Outcome> {
        let is_passed_on = self.offered.requiretls || *outgoing.reverse_path == ReversePath::Null;
        if outgoing.requires_tls && !(self.is_verified && is_passed_on) {
            let text = "the sender requires verified TLS all the way, which this host does not give";
            return Err(Outcome::ours(End::Failed, Scope::Host, (7, 30), text));
        }
        Ok(())
    }

    /// RFC 1870 §6.1: what is known to be too large is not tried.
    fn check_size(&self, size: u64) -> Result<(), Outcome> {
        match self.offered.max_size {
            Some(max) if size > max => {
                let text = format!("the message has {size} octets, and this host takes {max}");
                Err(Outcome::ours(End::Failed, Scope::Message, (3, 4), text))
            }
            _ => Ok(()),
        }
    }

    /// How the content goes to this host, changed if it must be.
    async fn manner(&self, outgoing: &Outgoing<'_>, content: &mut Content<'_>) -> Result<Manner, Outcome> {
        let found = content.survey().await.map_err(unreadable)?;
        let needs_for = match outgoing.reverse_path {
            ReversePath::Address(address) if !address.is_ascii() => Some("the sender's address"),
            _ if found.header == HeaderText::Utf8 => Some("the message's header"),
            _ => None,
        };
        if let (Some(what), false) = (needs_for, self.offered.smtputf8) {
            return Err(needs_utf8(what));
        }
        let takes_eight_bit = self.offered.eight_bit_mime;
        let must_change = found.is_eight_bit && !takes_eight_bit;
        let takes_long_lines = self.offered.chunking || found.is_signed && takes_eight_bit;
        if must_change || found.has_long_line && !takes_long_lines {
            match content.downgrade(takes_eight_bit).await {
                Ok(()) => {}
                Err(Unchangeable::Store(error)) => return Err(unreadable(error)),
                Err(Unchangeable::NotPossible(reason)) if must_change => return Err(unchangeable(reason)),
                // The host may take them all the same.
                Err(Unchangeable::NotPossible(_)) => {}
            }
        }
        let body = if found.is_eight_bit { Body::EightBitMime } else { Body::SevenBit };
        Ok(Manner { body, smtputf8: needs_for.is_some() })
    }
}

/// How a session is secured, for logs and traces.
pub(super) fn tls_text(tls: Option<&TlsInfo>, by: Option<&'static str>) -> Option<String> {
    let TlsInfo { version, cipher, .. } = tls?;
    Some(by.map_or_else(|| format!("{version} {cipher}"), |by| format!("{version} {cipher} ({by})")))
}

pub(super) fn unreadable(error: crate::store::Error) -> Outcome {
    tracing::error!(%error, "a queued message cannot be read");
    Outcome::ours(End::Deferred, Scope::Message, (3, 0), "the message cannot be read from the store now")
}

/// RFC 6531 §3.2.
fn needs_utf8(what: &str) -> Outcome {
    let text = format!("{what} has characters beyond ASCII, which this host does not take");
    Outcome::ours(End::Failed, Scope::Message, (6, 7), text)
}

/// RFC 3463 §3.7. Conversion required and prohibited would be 5.6.2; it is that it cannot be done.
fn unchangeable(reason: NotPossible) -> Outcome {
    let text = format!("this host does not take the message as it is, and {reason}");
    Outcome::ours(End::Failed, Scope::Message, (6, 3), text)
}

/// Each brings some recipients on, so that hosts with a limit of 100 take 2,000.
const MAX_TRANSACTIONS: usize = 20;
