//! Assembly: from a configuration to a running server, and its end. The only file that knows all modules.
//!
//! The start is all or nothing: data directory, store (whose lock keeps a second server out), directory, certificate,
//! every listener; then `listeners.json` in the data directory names what is bound, and the log says `ready`.
//! SIGHUP reads the certificate again. SIGTERM and SIGINT stop accepting, let sessions end for a bounded time, and
//! close the store; a second one does not wait for sessions.

mod listening;

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::RootCertStore;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{self, JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::config::{Certificate, Config, DnssecMode, Protocol, Resolvers};
use crate::delivery;
use crate::delivery::remote::courier::{self, Courier, Timeouts};
use crate::delivery::remote::hosts::Own;
use crate::delivery::remote::security::{self, Security, Setup};
use crate::delivery::remote::worker::Relay;
use crate::delivery::webhooks::worker::{self as teller, Teller};
use crate::directory::{Directory, RecordError};
use crate::emailauth::EmailAuth;
use crate::hooks::Kind;
use crate::login::{Authenticator, secret_file};
use crate::mail::srs::SrsKey;
use crate::mail::{Clock, Timestamp};
use crate::metrics::Metrics;
use crate::net::dns::{Dns, DnsSetupError};
use crate::net::dnssec::{Anchor, Dnssec};
use crate::net::roots::roots;
use crate::net::tls::{Tls, TlsError};
use crate::server::admin::{self, Actor};
use crate::server::{Blocklists, LiveDirectory, Rates, Services, Shutdown};
use crate::store::engine::rocks::Rocks;
use crate::store::{self, Decision, Held, Store};
use crate::telemetry;
use crate::webhook::{self, Webhook};
use listening::Bound;

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The runtime, or what it needs of the system.
    #[error("starting: {0}")]
    System(io::Error),
    /// Something in the data directory.
    #[error("{}: {cause}", path.display())]
    DataDir {
        /// What.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Another server runs on this data directory.
    #[error("store {}: another server has it open", .0.display())]
    InUse(PathBuf),
    /// The database cannot be opened.
    #[error("store {}: {cause}", path.display())]
    Engine {
        /// Where.
        path: PathBuf,
        /// Why.
        cause: rocksdb::Error,
    },
    /// The database is open, but not what this version writes.
    #[error("store {}: {cause}", path.display())]
    Store {
        /// Where.
        path: PathBuf,
        /// Why.
        cause: store::Error,
    },
    /// A record of the directory cannot be read.
    #[error("directory: {0}")]
    Directory(#[from] RecordError),
    /// Certificate or key.
    #[error("tls: {0}")]
    Tls(#[from] TlsError),
    /// The DNS cannot be asked.
    #[error("dns: {0}")]
    Dns(#[from] DnsSetupError),
    /// The keys that DNSSEC is to trust.
    #[error("dns.trust_anchor {}: {cause}", path.display())]
    TrustAnchor {
        /// Where.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The listener for what is counted cannot be bound.
    #[error("metrics.bind {address}: {cause}")]
    BindMetrics {
        /// Where it should be bound.
        address: SocketAddr,
        /// Why.
        cause: io::Error,
    },
    /// A listener cannot be bound.
    #[error("listener {number} ({protocol} on {address}): {cause}")]
    Bind {
        /// Its place in the file, from 1.
        number: usize,
        /// What it speaks.
        protocol: Protocol,
        /// Where it should be bound.
        address: SocketAddr,
        /// Why.
        cause: io::Error,
    },
}

/// Runs the server until it is told to stop.
pub fn run(config: Config) -> Result<(), StartError> {
    telemetry::init(config.log);
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
        .map_err(StartError::System)?;
    let result = runtime.block_on(serve(config));
    runtime.shutdown_timeout(RUNTIME_END);
    result
}

async fn serve(config: Config) -> Result<(), StartError> {
    // First, so that a signal during the start is not lost.
    let mut signals = Signals::new().map_err(StartError::System)?;
    let services = Arc::new(services(&config).await?);
    let bound = Bound::new(&config)?;
    let (stop, stopping) = watch::channel(false);
    let shutdown = Shutdown::new(stopping);
    let tasks = bound.start(&config, &services, shutdown.clone()).await?;
    tracing::info!(
        hostname = %config.hostname,
        data_dir = %config.data_dir.display(),
        version = env!("CARGO_PKG_VERSION"),
        "ready"
    );

    let mut background = background(&services);
    let relay = outbound(&config, &services, &mut background, shutdown)?;
    signals.until_stop(services.tls.as_ref()).await;
    tracing::info!("stopping");
    // Fails only if no session and no listener is left to be told.
    let _ = stop.send(true);
    end_sessions(tasks, config.shutdown, &mut signals).await;
    // What is being sent would be sent again: nobody could say whether the other host has it.
    if let Some(relay) = relay
        && timeout(config.shutdown, relay).await.is_err()
    {
        tracing::warn!("mail to other hosts did not end in time and was cut off");
    }
    drop(background);
    let store = services.store.clone();
    if task::spawn_blocking(move || store.close()).await.is_err() {
        tracing::error!("store did not close in order");
    }
    // Left behind, they would point scripts to a server that is gone; the next start replaces them.
    let _ = std::fs::remove_file(admin::socket_path(&config.data_dir));
    let _ = std::fs::remove_file(listeners_file(&config.data_dir));
    tracing::info!("stopped");
    Ok(())
}

/// Says what goes to hooks on other machines in the clear: mail, and rspamd's password.
fn warn_of_plain_hooks(config: &Config) {
    for hook in &config.hooks.all {
        let url = match &hook.kind {
            Kind::Http(http) => &http.url,
            Kind::Rspamd(rspamd) => &rspamd.check,
            Kind::Milter(_) | Kind::Clamd(_) => continue,
        };
        if !url.is_https() && !url.is_local() {
            tracing::warn!(hook = hook.settings.name, "a hook is asked without encryption: its URL is not https");
        }
    }
}

async fn services(config: &Config) -> Result<Services, StartError> {
    make_data_dir(&config.data_dir)?;
    warn_of_plain_hooks(config);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let path = config.data_dir.join("store");
    let store = open_store(&path, config.store_memory, clock.clone()).await?;
    // The store is ours from here on, so what an earlier server left is stale.
    let _ = std::fs::remove_file(listeners_file(&config.data_dir));
    let (version, records) = store.load_directory().map_err(|cause| StartError::Store { path, cause })?;
    let directory = Directory::from_records(version, records)?;
    let authenticator = Authenticator::open(&config.data_dir)
        .map_err(|cause| StartError::DataDir { path: config.data_dir.join("login.key"), cause })?;
    let webhooks = webhooks(config, &store).await?;
    Ok(Services {
        hostname: config.hostname.clone(),
        store,
        directory: LiveDirectory::new(directory),
        authenticator,
        srs: SrsKey::new(secret(config, "srs.key")?),
        email_auth: EmailAuth::new(dns(config)?),
        clock,
        tls: tls(config)?,
        limits: config.sessions.clone(),
        rates: Rates::new(config.rates.clone()),
        blocklists: Blocklists::new(config.blocklists.clone()).into(),
        turns: crate::accept::Turns::default(),
        publish: config.publish.clone(),
        metrics: Metrics::default(),
        hooks: config.hooks.clone(),
        webhooks,
    })
}

/// Who is told of what happens to messages. Before anything happens, so that nothing is missed.
async fn webhooks(config: &Config, store: &Store) -> Result<Vec<Arc<Webhook>>, StartError> {
    let one = |settings: &webhook::Settings| -> Result<Arc<Webhook>, StartError> {
        if !settings.url.is_https() && !settings.url.is_local() {
            tracing::warn!(webhook = %settings.name, "events are told without encryption: its URL is not https");
        }
        let is_verified = settings.url.is_https();
        let roots = if is_verified { roots(settings.ca_file.as_deref())? } else { RootCertStore::empty() };
        let webhook = Webhook::new(settings.clone(), roots);
        webhook.map(Arc::new).map_err(|error| StartError::System(io::Error::other(error)))
    };
    let webhooks: Vec<Arc<Webhook>> = config.webhooks.iter().map(one).collect::<Result<_, _>>()?;
    let subscribers = webhooks.iter().map(|webhook| (webhook.subscriber(), webhook.settings.events));
    let path = config.data_dir.join("store");
    let dropped = store.subscribe_to_events(subscribers.collect()).await;
    match dropped.map_err(|cause| StartError::Store { path, cause })? {
        0 => {}
        events => tracing::warn!(events, "events of webhooks that are not configured any more are dropped"),
    }
    Ok(webhooks)
}

fn dns(config: &Config) -> Result<Dns, StartError> {
    let Resolvers { servers, timeout, dnssec, trust_anchor } = &config.dns;
    let dns = Dns::new(servers, *timeout)?;
    if *dnssec == DnssecMode::Off {
        return Ok(dns);
    }
    let keys = match trust_anchor {
        None => None,
        Some(path) => {
            Some(std::fs::read_to_string(path).map_err(|cause| StartError::TrustAnchor { path: path.clone(), cause })?)
        }
    };
    let anchor = keys.as_deref().map_or(Anchor::Root, Anchor::Keys);
    Ok(dns.with_dnssec(Dnssec::new(servers, *timeout, anchor)?))
}

/// A secret of this data directory.
fn secret(config: &Config, name: &str) -> Result<[u8; 32], StartError> {
    let path = config.data_dir.join(name);
    secret_file(&path).map_err(|cause| StartError::DataDir { path, cause })
}

fn make_data_dir(path: &Path) -> Result<(), StartError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|cause| StartError::DataDir { path: path.to_owned(), cause })
}

async fn open_store(path: &Path, memory: u64, clock: Arc<dyn Clock>) -> Result<Store, StartError> {
    let memory = usize::try_from(memory).unwrap_or(usize::MAX);
    let folder = path.to_owned();
    let engine = task::spawn_blocking(move || Rocks::open(&folder, memory))
        .await
        .map_err(|e| StartError::System(e.into()))?
        .map_err(|cause| engine_error(path, cause))?;
    let mut drawn = [0; 3];
    getrandom::fill(&mut drawn).map_err(|e| StartError::System(io::Error::other(e.to_string())))?;
    Store::open(Arc::new(engine), clock, drawn)
        .await
        .map_err(|cause| StartError::Store { path: path.to_owned(), cause })
}

/// RocksDB tells of its lock in words only.
fn engine_error(path: &Path, cause: rocksdb::Error) -> StartError {
    let path = path.to_owned();
    let text = cause.to_string();
    let locked = text.contains("While lock file") || text.contains("lock hold by current process");
    if locked { StartError::InUse(path) } else { StartError::Engine { path, cause } }
}

fn tls(config: &Config) -> Result<Option<Tls>, StartError> {
    let tls = match &config.certificate {
        None => return Ok(None),
        Some(Certificate::Files { certificate, key }) => Tls::from_files(certificate, key)?,
        Some(Certificate::SelfSigned { intended }) => {
            if !intended {
                tracing::warn!("no certificate configured: using a self-signed one, which clients do not trust");
            }
            Tls::self_signed(&config.data_dir, config.hostname.as_str())?
        }
    };
    Ok(Some(tls))
}

fn listeners_file(data_dir: &Path) -> PathBuf {
    data_dir.join("listeners.json")
}

/// What runs beside the sessions; ends when the set is dropped.
fn background(services: &Arc<Services>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let store = services.store.clone();
    tasks.spawn(async move { store.sweep_forever(SWEEP_EVERY, SWEEP_GRACE).await });
    tasks.spawn(delivery::fan_out::run(services.store.clone()));
    let taught = services.clone();
    tasks.spawn(async move { taught.hooks.teacher.run(&taught.store).await });
    let dns = services.email_auth.dns().clone();
    tasks.spawn(services.blocklists.clone().keep_tested(dns, services.clock.clone()));
    let live = services.clone();
    let audit = |directory: &Directory, held: &Held, decision: &Decision| {
        admin::ops::hold::decided(directory, Actor::Server, held, decision)
    };
    tasks.spawn(delivery::rounds::run(services.desk(), move || live.directory.current(), audit));
    for webhook in &services.webhooks {
        let live = services.clone();
        tasks.spawn(teller::run(Teller {
            webhook: webhook.clone(),
            store: services.store.clone(),
            clock: services.clock.clone(),
            directory: Arc::new(move || live.directory.current()),
        }));
    }
    tasks
}

/// What brings mail to other hosts, until the server stops; `None` if it is paused. What goes with it joins `background`.
fn outbound(
    config: &Config,
    services: &Arc<Services>,
    background: &mut JoinSet<()>,
    mut shutdown: Shutdown,
) -> Result<Option<JoinHandle<()>>, StartError> {
    let security = Arc::new(security(config, services)?);
    let (desk, live, rounds) = (services.desk(), services.clone(), security.clone());
    background.spawn(async move { rounds.run(&desk, || live.directory.current()).await });
    if config.outbound.is_paused {
        tracing::warn!("outbound.paused is set: mail for other hosts waits in the queue");
        return Ok(None);
    }
    let relay = relay(config, services, security);
    Ok(Some(task::spawn(async move { relay.run(shutdown.stopped()).await })))
}

/// What brings mail to other hosts.
fn relay(config: &Config, services: &Arc<Services>, security: Arc<Security>) -> Relay {
    let smtp = config.listeners.iter().filter(|listener| listener.protocol == Protocol::Smtp);
    let outbound = &config.outbound;
    let courier = Courier {
        dns: services.email_auth.dns().clone(),
        security,
        settings: courier::Settings {
            hostname: config.hostname.clone(),
            own: Own { names: vec![config.hostname.clone()], listeners: smtp.map(|listener| listener.bind).collect() },
            port: outbound.port,
            source: outbound.source,
            may_be_loopback: outbound.may_be_loopback,
            timeouts: Timeouts::default(),
        },
    };
    let live = services.clone();
    let directory = move || live.directory.current();
    Relay::new(services.desk(), courier, outbound.settings.clone(), services.metrics.clone(), directory)
}

/// What other hosts must prove.
fn security(config: &Config, services: &Services) -> Result<Security, StartError> {
    let outbound = &config.outbound;
    let setup = Setup {
        dns: services.email_auth.dns().clone(),
        store: services.store.clone(),
        clock: services.clock.clone(),
        roots: roots(outbound.ca_file.as_deref())?,
        https_port: outbound.https_port,
        may_be_near: outbound.may_be_loopback,
        fetch_time: security::FETCH_TIME,
        smtp_port: outbound.port,
        reporting: outbound.reporting.clone(),
    };
    Security::with(setup).map_err(|error| StartError::System(io::Error::other(error)))
}

/// Waits for listeners and sessions, which know of the stop; ends those that are left when the time is up.
async fn end_sessions(mut tasks: JoinSet<()>, limit: Duration, signals: &mut Signals) {
    let all = async { while tasks.join_next().await.is_some() {} };
    tokio::select! {
        ended = timeout(limit, all) => {
            if ended.is_err() {
                tracing::warn!("sessions did not end in time and were cut off");
            }
        }
        () = signals.stop() => tracing::warn!("told to stop again: sessions were cut off"),
    }
    tasks.shutdown().await;
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Comes back at SIGTERM or SIGINT. Until then the certificate is read again at SIGHUP and when its files change.
    async fn until_stop(&mut self, tls: Option<&Tls>) {
        let mut look = interval(CERTIFICATE_LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => reload(tls, |tls| tls.reload().map(|()| true)).await,
                _ = look.tick() => reload(tls, Tls::reload_if_changed).await,
            }
        }
    }
}

async fn reload(tls: Option<&Tls>, read: impl FnOnce(&Tls) -> Result<bool, TlsError> + Send + 'static) {
    let Some(tls) = tls.cloned() else { return };
    match task::spawn_blocking(move || read(&tls)).await {
        Ok(Ok(true)) => tracing::info!("certificate reloaded"),
        Ok(Ok(false)) => {}
        Ok(Err(error)) => tracing::error!(%error, "certificate not reloaded, the old one stays in use"),
        Err(error) => tracing::error!(%error, "certificate not reloaded, the old one stays in use"),
    }
}

/// Each connection is a descriptor, and the usual soft limit of 1,024 is for programs that use `select`.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "limit of open files not raised");
    }
}

/// The system's time.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // A clock before 1970 is a machine without one: the epoch is as good as any.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

const BLOCKING_THREADS: usize = 16;
const RUNTIME_END: Duration = Duration::from_secs(5);
const CERTIFICATE_LOOK: Duration = Duration::from_secs(5);
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Sessions may still send content that was expunged under them.
const SWEEP_GRACE: Duration = Duration::from_secs(600);
