//! The configuration: [`File`] is what was written, [`Config`] what the program needs, checked and typed.
//!
//! Unknown keys are refused by name, line and what is allowed; a value that does not fit is refused with its key.
//! Relative paths are relative to the file. Every key is documented in `conf/posthouse.toml`.

mod blocklist;
mod check;
mod file;
mod hooks;
mod outbound;
mod quantity;
mod webhook;

pub use check::Problem;
pub use file::{DnssecMode, File, LogFormat, LogLevel, Protocol, TlsMode};
pub use outbound::Outbound;
pub use quantity::{Size, Time};

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::hooks::Hooks;
use crate::mail::{Domain, Network};
use crate::policy::blocklist::Blocklist;
use crate::server::{Publish, RateLimits, SessionLimits};
use crate::webhook::Settings;

/// What the program needs.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our host name.
    pub hostname: Domain,
    /// Where everything lies that lasts.
    pub data_dir: PathBuf,
    /// What to listen on, in the order of the file.
    pub listeners: Vec<Listener>,
    /// Where certificate and key come from; `None` if no listener offers TLS.
    pub certificate: Option<Certificate>,
    /// Memory for all caches and buffers of the store together, in octets.
    pub store_memory: u64,
    /// Limits of connections.
    pub connections: ConnectionLimits,
    /// Limits of what accounts and clients send.
    pub rates: RateLimits,
    /// Limits of sessions.
    pub sessions: SessionLimits,
    /// How long a TLS handshake may take.
    pub tls_handshake: Duration,
    /// How long sessions are waited for when the server stops.
    pub shutdown: Duration,
    /// The DNS.
    pub dns: Resolvers,
    /// Who says that clients send unwanted mail.
    pub blocklists: Vec<Blocklist>,
    /// Mail to other hosts.
    pub outbound: Outbound,
    /// Programs that are asked about sessions and messages.
    pub hooks: Arc<Hooks>,
    /// What domains publish.
    pub publish: Publish,
    /// Who is told of what happens to messages.
    pub webhooks: Vec<Settings>,
    /// Where what is counted is read; `None` for nowhere but in the admin API.
    pub metrics: Option<SocketAddr>,
    /// The log.
    pub log: Log,
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// What is spoken.
    pub protocol: Protocol,
    /// Where.
    pub bind: SocketAddr,
    /// Whether and when TLS starts.
    pub tls: TlsMode,
    /// Passwords are taken without TLS.
    pub allow_plaintext_auth: bool,
    /// Who sends PROXY protocol headers.
    pub proxy_protocol: Vec<Network>,
}

/// Where certificate and key come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// PEM files.
    Files {
        /// The chain, the server's own first.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
    },
    /// Made by ourselves, kept in the data directory.
    SelfSigned {
        /// The file asks for it; otherwise it is a stopgap to warn about.
        intended: bool,
    },
}

/// Limits of connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// In total.
    pub total: usize,
    /// From one client.
    pub per_address: usize,
    /// Clients without a limit of their own.
    pub exempt: Vec<Network>,
}

/// Whom to ask for names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolvers {
    /// Where; if empty, those of the system.
    pub servers: Vec<SocketAddr>,
    /// How long one question may take.
    pub timeout: Duration,
    /// Answers are proven where DANE needs it.
    pub dnssec: DnssecMode,
    /// The file with the keys to trust instead of the root's.
    pub trust_anchor: Option<PathBuf>,
}

/// The log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// What is logged.
    pub level: LogLevel,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{}: {cause}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong kind.
    #[error("{}: {cause}", path.display())]
    Parse {
        /// Which.
        path: PathBuf,
        /// Where and why.
        cause: Box<toml::de::Error>,
    },
    /// Each value is right, together they are not.
    #[error("{}: {problem}", path.display())]
    Check {
        /// Which.
        path: PathBuf,
        /// Why.
        problem: Problem,
    },
}

impl Config {
    /// From a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Read { path: path.to_owned(), cause })?;
        Self::parse(&text, path)
    }

    /// From the text of the file at `path`, to whose folder relative paths are relative.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let file: File = toml::from_str(text)
            .map_err(|cause| ConfigError::Parse { path: path.to_owned(), cause: Box::new(cause) })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        check::check(file, folder).map_err(|problem| ConfigError::Check { path: path.to_owned(), problem })
    }
}

#[cfg(test)]
mod tests;
