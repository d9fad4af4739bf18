//! A store whose disk gives up: each write is refused for the time being, and nothing of it is left. The sessions run in
//! this process, over the failing engine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use posthouse::emailauth::EmailAuth;
use posthouse::login::Authenticator;
use posthouse::mail::{Address, Clock, Timestamp};
use posthouse::net::Connection;
use posthouse::net::dns::Dns;
use posthouse::server::admin::ops::NewAccount;
use posthouse::server::admin::spec::DomainSpec;
use posthouse::server::admin::{Actor, Admin};
use posthouse::server::{LiveDirectory, Services, SessionLimits, Shutdown, imap, smtp};
use posthouse::store::Store;
use posthouse::store::engine::Engine;
use posthouse::store::engine::faulty::Faulty;
use posthouse::store::engine::memory::Memory;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::imap::Imap;
use super::server::PASSWORD;
use super::smtp::Smtp;

#[derive(Debug)]
struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000)
    }
}

/// Sessions over a faulty engine, in this process.
struct Bench {
    engine: Arc<Faulty>,
    store: Store,
    smtp: SocketAddr,
    imap: SocketAddr,
    _stop: watch::Sender<bool>,
    _runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn new() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let engine = Arc::new(Faulty::new(Arc::new(Memory::default())));
        let (stop, stopping) = watch::channel(false);
        let (say, hear) = mpsc::channel();
        let as_engine: Arc<dyn Engine> = engine.clone();
        runtime.spawn(async move {
            let services = services(as_engine).await;
            let admin = Admin::new(services.clone());
            admin.add_domain(Actor::Server, DomainSpec::new("example.test".to_owned())).await.expect("a domain");
            let address = |name: &str| Address::parse(&format!("{name}@example.test")).expect("an address");
            let account = |name: &str| NewAccount::new(address(name), PASSWORD.to_owned());
            admin.add_accounts(Actor::Server, vec![account("alice"), account("bob")]).await.expect("accounts");
            let smtp = listen(services.clone(), Shutdown::new(stopping.clone()), true).await;
            let imap = listen(services.clone(), Shutdown::new(stopping), false).await;
            say.send((services.store.clone(), smtp, imap)).expect("the test waits");
        });
        let (store, smtp, imap) = hear.recv().expect("services");
        Self { engine, store, smtp, imap, _stop: stop, _runtime: runtime }
    }

    fn imap(&self, name: &str) -> Imap {
        Imap::login(self.imap, &format!("{name}@example.test"), PASSWORD)
    }

    /// Nothing half: references and entries agree, and each mailbox holds as many as before.
    fn assert_sound(&self, expected: u32) {
        let report = self.store.check().expect("reads go on");
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        for name in ["alice", "bob"] {
            let lines = self.imap(name).ok("STATUS INBOX (MESSAGES)").lines();
            assert_eq!(lines, [format!("* STATUS INBOX (MESSAGES {expected})")], "{name}");
        }
    }
}

async fn services(engine: Arc<dyn Engine>) -> Arc<Services> {
    let store = Store::open(engine, Arc::new(Fixed), [1, 2, 3]).await.expect("a store");
    Arc::new(Services {
        hostname: posthouse::mail::Domain::parse("mail.example.test").expect("a domain"),
        store,
        directory: LiveDirectory::default(),
        authenticator: Authenticator::new().expect("an authenticator"),
        // Nobody listens there: no test asks the network.
        srs: posthouse::mail::srs::SrsKey::new([7; 32]),
        email_auth: EmailAuth::new(
            Dns::new(&[([127, 0, 0, 1], 9).into()], Duration::from_millis(100)).expect("a resolver"),
        ),
        clock: Arc::new(Fixed),
        tls: None,
        limits: SessionLimits::default(),
    })
}

async fn listen(services: Arc<Services>, shutdown: Shutdown, is_smtp: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (services, shutdown) = (services.clone(), shutdown.clone());
            let connection = Connection::plain(stream).expect("a connection");
            tokio::spawn(async move {
                if is_smtp {
                    let port = smtp::Port { role: smtp::Role::Relay, starttls: false, allow_plaintext_auth: false };
                    smtp::serve(connection, port, services, shutdown).await;
                } else {
                    let port = imap::Port { starttls: false, allow_plaintext_auth: true };
                    imap::serve(connection, port, services, shutdown).await;
                }
            });
        }
    });
    address
}

fn deliver(bench: &Bench, size: usize) -> super::smtp::Reply {
    let mut smtp = Smtp::open(bench.smtp);
    let message = format!("Subject: x\r\n\r\n{}", "0123456789 0123456789 0123456789\r\n".repeat(size / 34 + 1));
    smtp.send("a@client.example", &["alice@example.test", "bob@example.test"], message.as_bytes())
}

#[test]
fn each_write_that_fails_defers_the_message_and_leaves_nothing() {
    let bench = Bench::new();
    // Mailboxes are there, with one message each.
    assert_eq!(deliver(&bench, 10).code, 250);
    bench.assert_sound(1);
    let mut delivered = 1;
    // The first write of the delivery fails, then the second, and so on, until all are made.
    for allowance in 0..100 {
        bench.engine.fail_after(allowance);
        // More than three chunks of content.
        let reply = deliver(&bench, 900 * 1024);
        bench.engine.heal();
        match reply.code {
            250 => {
                delivered += 1;
                bench.assert_sound(delivered);
                assert!(allowance > 0, "accepted without a single write");
                return;
            }
            code => {
                // RFC 3463: 4.3.0 or 4.3.1, a fault of the mail system that may pass.
                assert_eq!(code / 100, 4, "{allowance}: {code} {:?}", reply.lines);
                assert!(reply.lines[0].starts_with("4.3."), "{allowance}: {:?}", reply.lines);
                bench.assert_sound(delivered);
            }
        }
    }
    panic!("no number of writes is enough");
}

#[test]
fn imap_commands_that_fail_to_write_say_no_and_change_nothing() {
    let bench = Bench::new();
    for _ in 0..3 {
        assert_eq!(deliver(&bench, 10).code, 250);
    }
    let mut alice = bench.imap("alice");
    alice.ok("SELECT INBOX");
    alice.ok("STORE 3 +FLAGS.SILENT (\\Deleted)");
    let state = |imap: &mut Imap| {
        let flags = imap.ok("UID FETCH 1:* (FLAGS)").lines();
        let folders = imap.ok("LIST \"\" \"*\"").lines();
        let subscribed = imap.ok("LSUB \"\" \"*\"").lines();
        (flags, folders, subscribed)
    };
    let before = state(&mut alice);
    for command in [
        "STORE 1 +FLAGS (\\Seen)",
        "STORE 1:2 FLAGS (\\Flagged keyword)",
        "COPY 1:2 Archive",
        "MOVE 1 Archive",
        "UID MOVE 1:2 Trash",
        "EXPUNGE",
        "UID EXPUNGE 3",
        "CREATE new",
        "DELETE Archive",
        "RENAME Archive Elsewhere",
        "RENAME INBOX Elsewhere",
        "SUBSCRIBE INBOX",
        "UNSUBSCRIBE Sent",
        "APPEND INBOX {3+}\r\nabc",
    ] {
        bench.engine.fail_after(0);
        let answer = alice.command(command);
        bench.engine.heal();
        // SUBSCRIBE of what is subscribed already has nothing to write.
        let nothing_to_do = command.contains("SUBSCRIBE") && answer.is_ok();
        assert!(answer.tagged.starts_with("NO") || nothing_to_do, "{command}: {}", answer.tagged);
        assert_eq!(state(&mut alice), before, "{command}");
        assert!(bench.store.check().expect("reads go on").findings.is_empty(), "{command}");
    }
    let other = state(&mut {
        let mut second = bench.imap("alice");
        second.ok("EXAMINE INBOX");
        second
    });
    let without_recent = |lines: Vec<String>| {
        lines.into_iter().map(|l| l.replace("\\Recent", "").replace(" )", ")")).collect::<Vec<_>>()
    };
    assert_eq!(without_recent(other.0), without_recent(before.0));
    // And it works again.
    alice.ok("EXPUNGE");
    alice.ok("COPY 1:2 Archive");
    assert!(bench.store.check().expect("reads go on").findings.is_empty());
}
