//! A server within this process: real sockets, the engine in memory, a clock that the test moves, writes that fail when
//! it says so, and the rounds over what waits when it asks for them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use posthouse::delivery::remote::agenda::Places;
use posthouse::delivery::remote::courier::{self, Courier, Timeouts};
use posthouse::delivery::remote::destination::Source;
use posthouse::delivery::remote::hosts::Own;
use posthouse::delivery::remote::routes::Routes;
use posthouse::delivery::remote::schedule::Patience;
use posthouse::delivery::remote::security::Security;
use posthouse::delivery::remote::worker::{self, Relay};
use posthouse::delivery::rounds;
use posthouse::directory::Directory;
use posthouse::emailauth::EmailAuth;
use posthouse::hooks::Hooks;
use posthouse::login::Authenticator;
use posthouse::mail::{Clock, Timestamp};
use posthouse::net::Connection;
use posthouse::net::dns::Dns;
use posthouse::server::admin::ops::hold;
use posthouse::server::admin::{Actor, Admin};
use posthouse::server::{LiveDirectory, RateLimits, Rates, Services, SessionLimits, Shutdown, imap, smtp};
use posthouse::store::engine::Engine;
use posthouse::store::engine::faulty::Faulty;
use posthouse::store::engine::memory::Memory;
use posthouse::store::{Decision, Held, QueueItem, QueueList, Store};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::dns::DnsServer;
use super::imap::Imap;
use super::server::PASSWORD;
use super::smtp::Smtp;

/// A clock that stands until it is moved.
#[derive(Debug)]
pub struct Moved(AtomicI64);

impl Clock for Moved {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.0.load(Ordering::SeqCst))
    }
}

/// What a listener speaks.
#[derive(Clone, Copy)]
enum Speaks {
    Smtp(smtp::Role),
    Imap,
}

/// The server; it ends when it is dropped.
pub struct Inside {
    pub engine: Arc<Faulty>,
    pub dns: DnsServer,
    pub services: Arc<Services>,
    pub admin: Arc<Admin>,
    pub smtp: SocketAddr,
    pub submission: SocketAddr,
    pub imap: SocketAddr,
    clock: Arc<Moved>,
    limits: RateLimits,
    hooks: Arc<Hooks>,
    _stop: watch::Sender<bool>,
    runtime: Runtime,
}

impl Inside {
    /// With nobody in it.
    pub fn start() -> Self {
        Self::limited(RateLimits::default())
    }

    /// The same with other limits of rates.
    pub fn limited(limits: RateLimits) -> Self {
        Self::new(limits, Arc::default())
    }

    /// The same with hooks.
    pub fn hooked(hooks: Hooks) -> Self {
        Self::new(RateLimits::default(), Arc::new(hooks))
    }

    fn new(limits: RateLimits, hooks: Arc<Hooks>) -> Self {
        let engine = Arc::new(Faulty::new(Arc::new(Memory::default())));
        let clock = Arc::new(Moved(AtomicI64::new(1_800_000_000)));
        Self::over(engine, clock, DnsServer::start(), (limits, hooks))
    }

    /// Ends it as a crash would, and starts another over the same store.
    pub fn restart(&mut self) {
        let dns = std::mem::replace(&mut self.dns, DnsServer::start());
        let settings = (self.limits.clone(), self.hooks.clone());
        let next = Self::over(self.engine.clone(), self.clock.clone(), dns, settings);
        let last = std::mem::replace(self, next);
        last.runtime.shutdown_background();
    }

    fn over(engine: Arc<Faulty>, clock: Arc<Moved>, dns: DnsServer, (limits, hooks): (RateLimits, Arc<Hooks>)) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let (stop, stopping) = watch::channel(false);
        let (say, hear) = mpsc::channel();
        let (as_engine, as_clock, resolver): (Arc<dyn Engine>, Arc<dyn Clock>, _) =
            (engine.clone(), clock.clone(), dns.address());
        let settings = (limits.clone(), hooks.clone());
        runtime.spawn(async move {
            let services = services(as_engine, as_clock, resolver, settings).await;
            let shutdown = Shutdown::new(stopping);
            let listeners = [Speaks::Smtp(smtp::Role::Relay), Speaks::Smtp(smtp::Role::Submission), Speaks::Imap];
            let mut addresses = Vec::new();
            for speaks in listeners {
                addresses.push(listen(services.clone(), shutdown.clone(), speaks).await);
            }
            say.send((services, addresses)).expect("the test waits");
        });
        let (services, addresses) = hear.recv().expect("services");
        let admin = Admin::new(services.clone());
        let [smtp, submission, imap] = addresses[..] else { panic!("three listeners") };
        Self { engine, dns, services, admin, smtp, submission, imap, clock, limits, hooks, _stop: stop, runtime }
    }

    /// Makes the objects that `toml` names as it says.
    pub fn apply(&self, toml: &str) {
        let applied = self.run(self.admin.apply(Actor::Server, toml.to_owned(), false));
        applied.unwrap_or_else(|error| panic!("apply: {error:?}\n{toml}"));
    }

    /// Starts to deliver to other hosts, which take mail at this port of the addresses that the DNS gives.
    pub fn deliver_to(&self, port: u16) {
        self.deliver_with(port, |_| {});
    }

    /// The same with other settings.
    pub fn deliver_with(&self, port: u16, change: impl FnOnce(&mut worker::Settings)) {
        self.deliver_within(port, Timeouts::default(), change);
    }

    /// The same with other patience for hosts.
    pub fn deliver_within(&self, port: u16, timeouts: Timeouts, change: impl FnOnce(&mut worker::Settings)) {
        let mut settings = worker::Settings {
            places: Places { total: 100, per_destination: 8, rate: None },
            patience: Patience::default(),
            messages_per_session: 100,
            routes: Routes::default(),
        };
        change(&mut settings);
        let hostname = self.services.hostname.clone();
        let courier = Courier {
            dns: self.services.email_auth.dns().clone(),
            security: Arc::new(Security::new().expect("TLS")),
            settings: courier::Settings {
                own: Own { names: vec![hostname.clone()], listeners: vec![self.smtp] },
                hostname,
                port,
                source: Source::default(),
                may_be_loopback: true,
                timeouts,
            },
        };
        let live = self.services.clone();
        let (metrics, directory) = (live.metrics.clone(), move || live.directory.current());
        let relay = Relay::new(self.services.desk(), courier, settings, metrics, directory);
        self.runtime.spawn(relay.run(std::future::pending()));
    }

    /// What waits in the queue.
    pub fn queue(&self) -> Vec<QueueItem> {
        self.run(self.services.store.queue(QueueList::All, None, 1000)).expect("the queue").items
    }

    /// Runs a future to its end.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Lets time pass.
    pub fn pass(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds, Ordering::SeqCst);
    }

    /// A round over what waits, as there is one each minute.
    pub fn round(&self) {
        let directory = self.services.directory.current();
        let audit = |directory: &Directory, held: &Held, decision: &Decision| {
            hold::decided(directory, Actor::Server, held, decision)
        };
        self.run(rounds::round(&self.services.desk(), &directory, audit)).expect("a round");
    }

    /// An IMAP session.
    pub fn imap(&self, user: &str) -> Imap {
        Imap::login(self.imap, user, PASSWORD)
    }

    /// A submission session, logged in.
    pub fn login(&self, user: &str) -> Smtp {
        let mut smtp = Smtp::open(self.submission);
        smtp.command(&super::policy::auth_plain(user, PASSWORD), 235);
        smtp
    }

    /// The messages in a folder that contain `text`, as they are.
    pub fn messages(&self, user: &str, folder: &str, text: &str) -> Vec<String> {
        self.imap(user).messages(folder, text)
    }
}

async fn services(
    engine: Arc<dyn Engine>,
    clock: Arc<dyn Clock>,
    resolver: SocketAddr,
    (limits, hooks): (RateLimits, Arc<Hooks>),
) -> Arc<Services> {
    let store = Store::open(engine, clock.clone(), [1, 2, 3]).await.expect("a store");
    let (version, records) = store.load_directory().expect("a directory");
    Arc::new(Services {
        hostname: posthouse::mail::Domain::parse("mail.example.test").expect("a domain"),
        store,
        directory: LiveDirectory::new(Directory::from_records(version, records).expect("a directory")),
        authenticator: Authenticator::new().expect("an authenticator"),
        srs: posthouse::mail::srs::SrsKey::new([7; 32]),
        email_auth: EmailAuth::new(Dns::new(&[resolver], Duration::from_secs(1)).expect("a resolver")),
        clock,
        tls: None,
        limits: SessionLimits::default(),
        rates: Rates::new(limits),
        blocklists: Arc::default(),
        turns: posthouse::accept::Turns::default(),
        publish: posthouse::server::Publish::default(),
        hooks,
        metrics: posthouse::metrics::Metrics::default(),
        webhooks: Vec::new(),
    })
}

async fn listen(services: Arc<Services>, shutdown: Shutdown, speaks: Speaks) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (services, shutdown) = (services.clone(), shutdown.clone());
            let connection = Connection::plain(stream).expect("a connection");
            tokio::spawn(async move {
                match speaks {
                    Speaks::Smtp(role) => {
                        let port = smtp::Port { role, starttls: false, allow_plaintext_auth: true };
                        smtp::serve(connection, port, services, shutdown).await;
                    }
                    Speaks::Imap => {
                        let port = imap::Port { starttls: false, allow_plaintext_auth: true };
                        imap::serve(connection, port, services, shutdown).await;
                    }
                }
            });
        }
    });
    address
}
