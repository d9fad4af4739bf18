//! What every session is given.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::{Blocklists, Rates};
use crate::accept::{Desk, Turns};
use crate::directory::{Account, Directory, Suspension};
use crate::emailauth::EmailAuth;
use crate::hooks::Hooks;
use crate::login::Authenticator;
use crate::mail::srs::SrsKey;
use crate::mail::{AccountId, Clock, Domain};
use crate::metrics::Metrics;
use crate::net::tls::Tls;
use crate::policy::published::{Service, Site, StsMode};
use crate::store::Store;
use crate::webhook::Webhook;

/// What sessions work with. One for the process, shared.
#[derive(Debug)]
pub struct Services {
    /// Our host name, for greetings and trace fields.
    pub hostname: Domain,
    /// The store.
    pub store: Store,
    /// The directory as it is now.
    pub directory: LiveDirectory,
    /// Credentials.
    pub authenticator: Authenticator,
    /// SPF, DKIM and DMARC.
    pub email_auth: EmailAuth,
    /// Under which reverse-paths of forwards are rewritten.
    pub srs: SrsKey,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Certificate and key; `None` if no listener offers TLS.
    pub tls: Option<Tls>,
    /// Limits of sessions.
    pub limits: SessionLimits,
    /// What accounts and clients send.
    pub rates: Arc<Rates>,
    /// What others say of clients.
    pub blocklists: Arc<Blocklists>,
    /// Bounds of what accepting does at once.
    pub turns: Turns,
    /// What this server is to the world.
    pub publish: Publish,
    /// Programs that take part in decisions.
    pub hooks: Arc<Hooks>,
    /// What is counted.
    pub metrics: Metrics,
    /// Who is told of what happens to messages.
    pub webhooks: Vec<Arc<Webhook>>,
}

impl Services {
    /// What accepting a message works with.
    pub fn desk(&self) -> Desk {
        Desk {
            store: self.store.clone(),
            clock: self.clock.clone(),
            hostname: self.hostname.clone(),
            srs: self.srs.clone(),
            signers: self.email_auth.signers().clone(),
            turns: self.turns.clone(),
        }
    }
}

/// What domains here publish, as far as the configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// From where this server sends and where it is reached; empty if nobody said so.
    pub addresses: Vec<IpAddr>,
    /// What clients may use.
    pub services: Vec<(Service, u16)>,
    /// How strictly others are to ask for TLS.
    pub sts: StsMode,
    /// Domains get keys to sign with as soon as they are there.
    pub automatic_keys: bool,
}

impl Publish {
    /// For the host of this name.
    pub fn site(&self, hostname: &Domain) -> Site {
        let Self { addresses, services, sts, .. } = self.clone();
        Site { hostname: hostname.clone(), addresses, services, sts }
    }
}

impl Default for Publish {
    fn default() -> Self {
        Self { addresses: Vec::new(), services: Vec::new(), sts: StsMode::default(), automatic_keys: true }
    }
}

/// Limits of sessions, from the configuration.
#[derive(Clone, Debug)]
pub struct SessionLimits {
    /// Largest message, in octets (SIZE, APPEND).
    pub message_size: u64,
    /// Recipients of one transaction, at least 100 (RFC 5321 §4.5.3.1.8).
    pub recipients: usize,
    /// How long an SMTP server waits for the next command (RFC 5321 §4.5.3.2.7: at least 5 minutes).
    pub smtp_command: Duration,
    /// How long it waits for the next octets of a message (RFC 5321 §4.5.3.2.5).
    pub smtp_data: Duration,
    /// How long an IMAP session may be idle (RFC 3501 §5.4: at least 30 minutes).
    pub imap_idle: Duration,
    /// How long an IMAP client may take to log in.
    pub imap_login: Duration,
    /// How long a peer may take to accept output.
    pub write: Duration,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            message_size: 64 << 20,
            recipients: 500,
            smtp_command: Duration::from_secs(300),
            smtp_data: Duration::from_secs(180),
            imap_idle: Duration::from_secs(31 * 60),
            imap_login: Duration::from_secs(60),
            write: Duration::from_secs(120),
        }
    }
}

/// The directory in use: read often, replaced as a whole by `admin::ops`.
#[derive(Debug, Default)]
pub struct LiveDirectory {
    current: RwLock<Arc<Directory>>,
    /// Held while the directory changes.
    changing: tokio::sync::Mutex<()>,
    /// Wakes who waits for a change.
    changes: tokio::sync::watch::Sender<()>,
}

impl LiveDirectory {
    /// Starts with `directory`.
    pub fn new(directory: Directory) -> Self {
        Self { current: RwLock::new(Arc::new(directory)), ..Self::default() }
    }

    /// The snapshot now; a transaction keeps the one it started with.
    pub fn current(&self) -> Arc<Directory> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for its turn to change the directory, so that no two changes start from the same version.
    pub async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.changing.lock().await
    }

    /// Puts the next version in place.
    pub fn replace(&self, directory: Directory) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(directory);
        self.changes.send_replace(());
    }

    /// Tells of every change from now on.
    pub fn changes(&self) -> tokio::sync::watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Why a session may not go on.
    pub fn is_over(&self, owner: SessionOwner) -> Option<Over> {
        match self.current().account(owner.account) {
            Some(account) if !account.state.is_active() => Some(Over::Disabled),
            Some(account) => {
                let suspended = account.settings().suspended;
                (suspended.is_some() && suspended != owner.suspended).then_some(Over::Suspended)
            }
            None => Some(Over::Disabled),
        }
    }

    /// Comes back when the session may not go on (any more). Cancel-safe.
    pub async fn until_over(&self, owner: SessionOwner) -> Over {
        let mut changes = self.changes.subscribe();
        loop {
            if let Some(over) = self.is_over(owner) {
                return over;
            }
            if changes.changed().await.is_err() {
                // The sender lives as long as this; if it ever did not, there would be no change.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Whose session it is, as it was when it began.
///
/// When the server stops the sending of an account, the sessions of before end: one of them may be a thief's. A login
/// after that is let in, because the account may still be read (policy semantics §10.1: `send-blocked` stops sending
/// alone), and so its owner sees what has happened; whoever has the password sees it too until it is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionOwner {
    /// The account.
    account: AccountId,
    /// Whether its sending was stopped already.
    suspended: Option<Suspension>,
}

/// Why a session of an account may not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// The account is frozen, binned or gone (policy semantics §10.1).
    Disabled,
    /// Its sending has been stopped since.
    Suspended,
}

impl SessionOwner {
    /// Of a session that begins.
    pub fn of(account: &Account) -> Self {
        Self { account: account.id, suspended: account.settings().suspended }
    }
}

/// Tells sessions that the server stops: they end at the next command (421, BYE).
#[derive(Clone, Debug)]
pub struct Shutdown {
    stopping: tokio::sync::watch::Receiver<bool>,
}

impl Shutdown {
    /// From the channel that `app` holds the other end of.
    pub fn new(stopping: tokio::sync::watch::Receiver<bool>) -> Self {
        Self { stopping }
    }

    /// True once the server stops.
    pub fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Comes back when the server stops. Cancel-safe.
    pub async fn stopped(&mut self) {
        // An error means that the sender is gone, which is a stop too.
        let _ = self.stopping.wait_for(|s| *s).await;
    }
}
