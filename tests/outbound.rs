//! Mail to other hosts, as those hosts see it and as they misbehave: a DNS and remotes of the test's own, on loopback
//! addresses that share one port.

#![forbid(unsafe_code)]

#[path = "it/dns.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod dns;

#[path = "outbound/broken.rs"]
mod broken;
#[path = "outbound/hosts.rs"]
mod hosts;
#[path = "outbound/message.rs"]
mod message;
#[path = "outbound/remote.rs"]
mod remote;
#[path = "outbound/sessions.rs"]
mod sessions;
#[path = "outbound/tls.rs"]
mod tls;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use posthouse::delivery::remote::courier::{Courier, Settings, Timeouts};
use posthouse::delivery::remote::destination::{Demand, Destination, Route, Source};
use posthouse::delivery::remote::hosts::Own;
use posthouse::delivery::remote::outcome::{End, Outcome, Scope};
use posthouse::delivery::remote::outgoing::{Outgoing, OutgoingRecipient};
use posthouse::delivery::remote::security::Security;
use posthouse::delivery::remote::session::Session;
use posthouse::mail::{AccountId, Address, Clock, Domain, Flags, Host, MailboxId, ReversePath, Timestamp, TlsWish};
use posthouse::net::dns::Dns;
use posthouse::proto::message::Scanner;
use posthouse::store::engine::memory::Memory;
use posthouse::store::{Delivery, Form, Message, Store, Target};

use tokio::time::Instant;

use dns::DnsServer;
use remote::Remote;

/// Long enough for a busy machine, and nothing waits for it.
const LONG: Duration = Duration::from_secs(20);
/// What a test waits for that must not be waited for.
const SHORT: Duration = Duration::from_millis(300);

#[derive(Debug)]
struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000)
    }
}

/// A DNS, a store, and a courier that asks the one and sends what the other holds.
struct World {
    dns: DnsServer,
    store: Store,
    courier: Courier,
}

impl World {
    /// For remotes on that port.
    async fn new(port: u16) -> Self {
        static STARTS: AtomicU8 = AtomicU8::new(0);
        let dns = DnsServer::start();
        let drawn = [3, 3, STARTS.fetch_add(1, Ordering::Relaxed)];
        let store = Store::open(Arc::new(Memory::default()), Arc::new(Fixed), drawn).await.unwrap();
        store.create_account_folders(account()).await.unwrap();
        let courier = Courier {
            dns: Dns::new(&[dns.address()], Duration::from_secs(5)).unwrap(),
            security: Arc::new(Security::new().unwrap()),
            settings: Settings {
                hostname: domain("mail.corp.test"),
                own: Own {
                    names: vec![domain("mail.corp.test")],
                    listeners: vec![SocketAddr::new(IpAddr::from([127, 0, 0, 77]), port)],
                },
                port,
                source: Source::default(),
                may_be_loopback: true,
                timeouts: Timeouts { lookup: LONG, connect: LONG, ..Timeouts::default() },
            },
        };
        Self { dns, store, courier }
    }

    /// With a remote as the only host of `far.test`.
    async fn with(remote: &Remote) -> Self {
        let world = Self::new(remote.port()).await;
        world.dns.mx("far.test", 10, "mx.far.test").address_of("mx.far.test", &remote.ip());
        world
    }

    /// A stored message, with a prefix.
    async fn message(&self, content: &[u8]) -> Message {
        let mut staging = self.store.stage();
        staging.push(content).await.unwrap();
        let mut scanner = Scanner::new();
        scanner.push(content);
        let prefix = b"Received: from here\r\n".to_vec();
        let summary = scanner.finish(&prefix).encode();
        let form = Form { prefix, omitted: None, summary };
        let target = Target::new(account(), MailboxId::INBOX, Flags::default());
        let delivery = Delivery::new(staging.finish(), 1, form, Fixed.now(), vec![target]);
        let placed = self.store.deliver(delivery).await.unwrap().placed.remove(0);
        let read = self.store.read(move |reader| {
            let entry = reader.entry(account(), MailboxId::INBOX, placed.uid)?;
            reader.message(entry.blob)
        });
        read.await.unwrap()
    }

    async fn session(&self, destination: &Destination) -> Result<Session, Outcome> {
        let mut hosts = self.courier.hosts(destination).await?;
        self.courier.next(&mut hosts, whenever()).await
    }

    /// What becomes of a message for these recipients.
    async fn send(&self, recipients: &[&str], content: &[u8]) -> Vec<Outcome> {
        let message = self.message(content).await;
        let recipients = to(recipients);
        match self.session(&far()).await {
            Err(outcome) => vec![outcome],
            Ok(mut session) => {
                let outcomes = session.send(&self.store, &outgoing(&recipients, &message), whenever()).await;
                session.close().await;
                outcomes
            }
        }
    }
}

/// No deadline.
fn whenever() -> Instant {
    Instant::now() + LONG * 60
}

fn account() -> AccountId {
    AccountId::new(1).unwrap()
}

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn sender() -> &'static ReversePath {
    static SENDER: std::sync::OnceLock<ReversePath> = std::sync::OnceLock::new();
    SENDER.get_or_init(|| ReversePath::Address(Address::parse("alice@corp.test").unwrap()))
}

fn to(recipients: &[&str]) -> Vec<OutgoingRecipient> {
    let recipient =
        |text: &&str| OutgoingRecipient { address: Address::parse(text).unwrap(), notify: None, original: None };
    recipients.iter().map(recipient).collect()
}

fn outgoing<'a>(recipients: &'a [OutgoingRecipient], message: &'a Message) -> Outgoing<'a> {
    Outgoing {
        reverse_path: sender(),
        envelope_id: None,
        ret: None,
        requires_tls: false,
        recipients,
        message,
        whole: None,
    }
}

fn far() -> Destination {
    destination("far.test")
}

fn destination(host: &str) -> Destination {
    Destination { host: Host::parse(host).unwrap(), route: None, tls: TlsWish::AsPublished }
}

fn route(demand: Demand) -> Route {
    Route {
        name: "a route".to_owned(),
        smarthost: None,
        implicit_tls: false,
        demand,
        credentials: None,
        source: Source::default(),
    }
}

/// End, scope and status of an outcome.
fn brief(outcome: &Outcome) -> (End, Scope, String) {
    (outcome.end, outcome.scope, outcome.status.to_string())
}

const MESSAGE: &[u8] = b"From: alice@corp.test\r\nSubject: hello\r\n\r\nHello.\r\n.\r\n..\r\nBye.\r\n";
