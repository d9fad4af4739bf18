//! Milters: filters that follow an SMTP session step by step, as Sendmail and Postfix have them. A [`Milter`] is one that
//! is set, a [`MilterSession`] what it hears of one SMTP session.
//!
//! What a filter may do is agreed on first, and it can do nothing else. Whatever it does, each answer has its time and
//! its size. After a failure the connection is closed, and everything else that is asked over this
//! [`MilterSession`] fails with [`Failure::Unreachable`](super::Failure): it takes another.
//!
//! Deviation: a field whose name and value are longer than a packet may be is told up to there. Recipients that policy has
//! refused and unknown commands are not told.

mod agreement;
mod changes;
mod link;
mod macros;
mod message;
mod session;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use macros::{MacroError, Macros};
pub use session::MilterSession;

/// A filter.
#[derive(Clone, Debug)]
pub struct Milter {
    settings: Arc<Settings>,
}

/// How a filter is reached, and what it may do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name, for logs.
    pub name: String,
    /// Where it listens.
    pub address: Address,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long a reply may take. A message may take ten times as long, and its end as much again.
    pub timeout: Duration,
    /// What it is told at each stage unless it asks for others.
    pub macros: Macros,
    /// Octets of a body that it puts in another's place.
    pub max_body: usize,
}

/// Where a filter listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// TCP: host and port.
    Tcp(String, u16),
    /// A Unix socket.
    Unix(PathBuf),
}

/// A text that is no address of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither host:port nor the path of a Unix socket")]
pub struct AddressError;

impl Milter {
    /// A filter with these settings.
    pub fn new(settings: Settings) -> Self {
        Self { settings: Arc::new(settings) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// For a new SMTP session. Opens nothing yet.
    pub fn session(&self) -> MilterSession {
        MilterSession::new(self.clone())
    }
}

impl Address {
    /// From `host:port`, `[IPv6 address]:port`, or the absolute path of a Unix socket, also with `unix:` in front.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let path = text.strip_prefix("unix:").unwrap_or(text);
        if path.starts_with('/') {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let (host, port) = text.rsplit_once(':').ok_or(AddressError)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_host = host.parse::<std::net::IpAddr>().is_ok() || crate::mail::Domain::parse(host).is_ok();
        let port = port.parse().ok().filter(|port| *port != 0 && is_host).ok_or(AddressError)?;
        Ok(Self::Tcp(host.to_owned(), port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let tcp = |host: &str, port| Ok(Address::Tcp(host.to_owned(), port));
        for (text, want) in [
            ("127.0.0.1:11332", tcp("127.0.0.1", 11332)),
            ("rspamd.corp.test:11332", tcp("rspamd.corp.test", 11332)),
            ("localhost:1", tcp("localhost", 1)),
            ("[::1]:8891", tcp("::1", 8891)),
            ("/run/opendkim/opendkim.sock", Ok(Address::Unix("/run/opendkim/opendkim.sock".into()))),
            ("unix:/run/milter.sock", Ok(Address::Unix("/run/milter.sock".into()))),
            ("unix:milter.sock", Err(AddressError)),
            ("localhost", Err(AddressError)),
            ("localhost:0", Err(AddressError)),
            ("localhost:65536", Err(AddressError)),
            (":25", Err(AddressError)),
            ("a host:25", Err(AddressError)),
            ("inet:8891@localhost", Err(AddressError)),
            ("", Err(AddressError)),
        ] {
            assert_eq!(Address::parse(text), want, "{text}");
        }
    }
}
