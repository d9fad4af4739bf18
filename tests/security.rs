//! What connections to other hosts must prove: DANE, MTA-STS and the reports on them, against a DNS that signs, policy
//! hosts and mail hosts of the test's own, all on loopback.

#![forbid(unsafe_code)]

#[path = "security/certificates.rs"]
#[allow(dead_code, reason = "shared with the behaviour tests, which need other parts of it")]
mod certificates;
#[path = "security/dane.rs"]
mod dane;
#[path = "it/dns.rs"]
#[allow(dead_code, reason = "shared with the behaviour tests, which need other parts of it")]
mod dns;
#[path = "security/hosts.rs"]
mod hosts;
#[path = "security/mta_sts.rs"]
mod mta_sts;
#[path = "security/reports.rs"]
mod reports;
#[path = "security/requirements.rs"]
mod requirements;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use posthouse::accept::{Desk, Turns};
use posthouse::delivery::remote::courier::{Courier, Settings, Timeouts};
use posthouse::delivery::remote::destination::{Destination, Source};
use posthouse::delivery::remote::hosts::Own;
use posthouse::delivery::remote::security::{Reporting, Security, Setup};
use posthouse::directory::Directory;
use posthouse::mail::srs::SrsKey;
use posthouse::mail::{Clock, Domain, Host, Timestamp, TlsWish};
use posthouse::net::dns::Dns;
use posthouse::net::dnssec::{Anchor, Dnssec};
use posthouse::store::Store;
use posthouse::store::engine::Engine;
use posthouse::store::engine::memory::Memory;

use certificates::Authority;
use dns::DnsServer;

/// A clock that tests move; it starts at noon of a day.
#[derive(Debug, Default)]
pub struct Moving(AtomicI64);

impl Moving {
    pub fn pass(&self, time: Duration) {
        self.0.fetch_add(time.as_millis() as i64, Ordering::Relaxed);
    }
}

impl Clock for Moving {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_800_014_400_000 + self.0.load(Ordering::Relaxed))
    }
}

/// A server that sends, and the world around it.
pub struct World {
    pub dns: DnsServer,
    pub authority: Authority,
    pub security: Arc<Security>,
    pub clock: Arc<Moving>,
    pub store: Store,
    engine: Arc<dyn Engine>,
    resolver: Dns,
    ports: (u16, u16),
}

impl World {
    /// With a DNS that signs. Policy hosts listen at `https`, hosts of domains at `smtp`.
    pub async fn new(https: u16, smtp: u16) -> Self {
        let dns = DnsServer::start();
        let anchor = dns.sign();
        Self::with(dns, Some(&anchor), (https, smtp)).await
    }

    pub async fn with(dns: DnsServer, anchor: Option<&str>, ports: (u16, u16)) -> Self {
        let time = Duration::from_secs(2);
        let mut resolver = Dns::new(&[dns.address()], time).expect("a resolver");
        if let Some(anchor) = anchor {
            let dnssec = Dnssec::new(&[dns.address()], time, Anchor::Keys(anchor)).expect("a validator");
            resolver = resolver.with_dnssec(dnssec);
        }
        let engine: Arc<dyn Engine> = Arc::new(Memory::default());
        let clock = Arc::new(Moving::default());
        let authority = Authority::new("Trusted");
        let store = Store::open(engine.clone(), clock.clone(), [1, 2, 3]).await.expect("a store");
        let security = Self::security(&resolver, &store, &clock, &authority, ports, true);
        Self { dns, authority, security, clock, store, engine, resolver, ports }
    }

    fn security(
        resolver: &Dns,
        store: &Store,
        clock: &Arc<Moving>,
        authority: &Authority,
        ports: (u16, u16),
        may_be_near: bool,
    ) -> Arc<Security> {
        let setup = Setup {
            dns: resolver.clone(),
            store: store.clone(),
            clock: clock.clone(),
            roots: authority.roots(),
            https_port: ports.0,
            may_be_near,
            fetch_time: Duration::from_secs(2),
            smtp_port: ports.1,
            reporting: Some(Reporting { contact: None }),
        };
        Arc::new(Security::with(setup).expect("TLS"))
    }

    /// The next process over the same store.
    pub async fn restart(&mut self) {
        self.store = Store::open(self.engine.clone(), self.clock.clone(), [1, 2, 4]).await.expect("a store");
        self.security = Self::security(&self.resolver, &self.store, &self.clock, &self.authority, self.ports, true);
    }

    /// The same, as outside of tests.
    pub fn asks_nobody_near(&mut self) {
        self.security = Self::security(&self.resolver, &self.store, &self.clock, &self.authority, self.ports, false);
    }

    pub fn desk(&self) -> Desk {
        Desk {
            store: self.store.clone(),
            clock: self.clock.clone(),
            hostname: Domain::parse("mail.sender.test").expect("a name"),
            signers: posthouse::emailauth::Signers::default(),
            srs: SrsKey::new([7; 32]),
            turns: Turns::default(),
        }
    }

    pub async fn round(&self) {
        let directory = Directory::from_records(0, vec![]).expect("a directory");
        self.security.round(&self.desk(), &directory).await.expect("a round");
    }

    pub fn courier(&self) -> Courier {
        Courier {
            dns: self.resolver.clone(),
            security: self.security.clone(),
            settings: Settings {
                hostname: Domain::parse("mail.sender.test").expect("a name"),
                own: Own::default(),
                port: self.ports.1,
                source: Source::default(),
                may_be_loopback: true,
                timeouts: Timeouts::default(),
            },
        }
    }

    /// A session with a host of the domain, by what it is secured; or status and text of why there is none.
    pub async fn send(&self, destination: &Destination) -> Result<String, String> {
        let courier = self.courier();
        let shown =
            |outcome: posthouse::delivery::remote::outcome::Outcome| format!("{} {}", outcome.status, outcome.text);
        let mut hosts = courier.hosts(destination).await.map_err(shown)?;
        let session =
            courier.next(&mut hosts, tokio::time::Instant::now() + Duration::from_secs(60)).await.map_err(shown)?;
        let tls = session.tls().unwrap_or("in the clear").to_owned();
        session.close().await;
        Ok(tls)
    }
}

pub fn to(domain: &str) -> Destination {
    let host = Host::parse(domain).expect("a host");
    Destination { host, route: None, tls: TlsWish::AsPublished }
}
