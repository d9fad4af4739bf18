//! Whole sessions over loopback, on the engine in memory.

mod questions;

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{Port, Role, serve};
use crate::directory::{Directory, fixture};
use crate::emailauth::EmailAuth;
use crate::login::{Authenticator, hash_password};
use crate::mail::{AccountId, Clock, MailboxId, Timestamp};
use crate::net::Connection;
use crate::net::dns::Dns;
use crate::proto::sasl;
use crate::proto::smtp::Reply;
use crate::server::{LiveDirectory, Services, SessionLimits, Shutdown};
use crate::store::Store;
use crate::store::engine::faulty::Faulty;
use crate::store::engine::memory::Memory;

/// A clock that starts at noon and stands still unless it is moved.
#[derive(Debug)]
struct Noon(AtomicI64);

impl Noon {
    fn forward(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.0.load(Ordering::Relaxed))
    }
}

/// A server with alice (also a.liu) and bob in corp.test.
struct World {
    services: Arc<Services>,
    engine: Arc<Faulty>,
    clock: Arc<Noon>,
    stop: watch::Sender<bool>,
    port: Port,
}

const RELAY: Port = Port { role: Role::Relay, starttls: true, allow_plaintext_auth: false };
const SUBMISSION: Port = Port { role: Role::Submission, starttls: true, allow_plaintext_auth: true };
const PASSWORD: &str = "open sesame";

impl World {
    async fn new(port: Port) -> Self {
        Self::of(port, directory()).await
    }

    async fn of(port: Port, directory: Directory) -> Self {
        let engine = Arc::new(Faulty::new(Arc::new(Memory::default())));
        let clock = Arc::new(Noon(AtomicI64::new(1_800_000_000)));
        let store = Store::open(engine.clone(), clock.clone(), [1, 2, 3]).await.unwrap();
        for id in 1..=12 {
            store.create_account_folders(AccountId::new(id).unwrap()).await.unwrap();
        }
        let services = Services {
            hostname: crate::mail::Domain::parse("mail.corp.test").unwrap(),
            store,
            directory: LiveDirectory::new(directory),
            authenticator: Authenticator::new().unwrap(),
            // Nobody listens there: no test asks the network.
            email_auth: EmailAuth::new(Dns::new(&[([127, 0, 0, 1], 9).into()], Duration::from_millis(100)).unwrap()),
            srs: crate::mail::srs::SrsKey::new([7; 32]),
            clock: clock.clone(),
            tls: None,
            limits: SessionLimits { message_size: 10_000, recipients: 3, ..SessionLimits::default() },
            rates: crate::server::Rates::new(crate::server::RateLimits::default()),
            blocklists: Arc::default(),
            turns: crate::accept::Turns::default(),
            publish: crate::server::Publish::default(),
            hooks: Arc::default(),
            metrics: crate::metrics::Metrics::default(),
            webhooks: Vec::new(),
        };
        Self { services: Arc::new(services), engine, clock, stop: watch::Sender::new(false), port }
    }

    /// A client that has read the greeting.
    async fn client(&self) -> Client {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let connection = Connection::plain(accepted).unwrap();
        let shutdown = Shutdown::new(self.stop.subscribe());
        tokio::spawn(serve(connection, self.port, self.services.clone(), shutdown));
        let mut client = Client { stream, input: Vec::new() };
        client.expect("220 mail.corp.test ESMTP Posthouse").await;
        client
    }

    /// A client that has said EHLO.
    async fn greeted(&self) -> Client {
        let mut client = self.client().await;
        client.send(b"EHLO client.test\r\n").await;
        assert_eq!(client.reply().await.unwrap().code(), 250);
        client
    }

    /// The messages in an account's INBOX, each with its prefix.
    async fn inbox(&self, account: u32) -> Vec<String> {
        let account = AccountId::new(account).unwrap();
        let read = self.services.store.read(move |reader| {
            let mut entries = Vec::new();
            reader.entries(account, MailboxId::INBOX, &reader.uids(account, MailboxId::INBOX)?, &mut |entry| {
                entries.push(entry);
                true
            })?;
            let text = |entry: crate::store::Entry| {
                let message = reader.message(entry.blob)?;
                let mut octets = message.prefix.clone();
                reader.rest(message.rest(), 0, u64::MAX, &mut octets)?;
                Ok(String::from_utf8_lossy(&octets).into_owned())
            };
            entries.into_iter().map(text).collect()
        });
        read.await.unwrap()
    }
}

struct Client {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Client {
    async fn send(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).await.unwrap();
    }

    /// The next reply, or nothing if the server has closed.
    async fn reply(&mut self) -> Option<Reply> {
        loop {
            if let Some(end) = end_of_reply(&self.input) {
                let reply: Vec<u8> = self.input.drain(..end).collect();
                return Some(Reply::parse(&reply).unwrap());
            }
            let read = tokio::time::timeout(Duration::from_secs(20), self.stream.read_buf(&mut self.input));
            match read.await.expect("an answer in time") {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[track_caller]
    fn expect(&mut self, want: &str) -> impl Future<Output = ()> {
        let want = want.to_owned();
        async move {
            let reply = self.reply().await.expect("a reply");
            let status = reply.enhanced().map_or(String::new(), |e| format!("{e} "));
            let got = format!("{} {status}{}", reply.code(), reply.text());
            assert!(got.starts_with(&want), "{got:?} instead of {want:?}");
        }
    }

    /// One line, one reply.
    async fn say(&mut self, line: &str, want: &str) {
        self.send(format!("{line}\r\n").as_bytes()).await;
        self.expect(want).await;
    }

    /// A transaction up to 354.
    async fn begin(&mut self) {
        self.say("MAIL FROM:<a@ext.test>", "250 2.1.0").await;
        self.say("RCPT TO:<alice@corp.test>", "250 2.1.5 OK").await;
        self.say("DATA", "354").await;
    }

    async fn is_closed(&mut self) -> bool {
        self.reply().await.is_none()
    }
}

fn end_of_reply(input: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = input.get(at..)?;
        let end = line.windows(2).position(|w| w == b"\r\n")? + 2;
        at += end;
        if line.get(3) != Some(&b'-') {
            return Some(at);
        }
    }
}

fn directory() -> Directory {
    let credentials = hash_password(PASSWORD).unwrap();
    fixture::corp(&["alice@corp.test", "bob@corp.test"], &[("a.liu@corp.test", 1)], Some(&credentials))
}

#[tokio::test]
async fn a_pipelined_transaction_is_delivered_once_for_each_account() {
    let world = World::new(RELAY).await;
    let mut client = world.greeted().await;
    client
        .send(
            b"MAIL FROM:<a@ext.test> BODY=8BITMIME\r\nRCPT TO:<alice@corp.test>\r\nRCPT TO:<nobody@corp.test>\r\n\
              RCPT TO:<A.Liu+x@corp.test>\r\nRCPT TO:<bob@corp.test>\r\nRCPT TO:<bob@corp.test>\r\nDATA\r\n",
        )
        .await;
    for want in ["250 2.1.0", "250 2.1.5", "550 5.1.1 No such user", "250 2.1.5", "250 2.1.5", "452 4.5.3", "354"] {
        client.expect(want).await;
    }
    client.send(b"Subject: x\r\n\r\n..dot\r\n.\r\nNOOP\r\nQUIT\r\n").await;
    for want in ["250 2.0.0 Accepted ", "250 2.0.0 OK", "221 2.0.0"] {
        client.expect(want).await;
    }
    assert!(client.is_closed().await);
    for account in [1, 2] {
        let inbox = world.inbox(account).await;
        let [message] = inbox.as_slice() else { panic!("{inbox:?}") };
        assert!(
            message.starts_with(
                "Return-Path: <a@ext.test>\r\nReceived: from client.test ([127.0.0.1])\r\n\tby mail.corp.test (Posthouse) with ESMTP id "
            ),
            "{message}"
        );
        assert!(message.ends_with("\r\nSubject: x\r\n\r\n.dot\r\n"), "{message}");
        assert!(!message.contains("\tfor "), "{message}");
    }
}

#[tokio::test]
async fn bare_line_ends_are_refused_and_the_session_stays_in_step() {
    let world = World::new(RELAY).await;
    let mut client = world.greeted().await;
    for content in ["a\n.\r\nMAIL FROM:<x@ext.test>\r\n", "a\r.\rb\r\n", "a\r\n.\nb\r\n", "a\0b\r\n"] {
        client.begin().await;
        client.send(format!("{content}.\r\nNOOP\r\n").as_bytes()).await;
        client.expect("550 5.6.0").await;
        client.expect("250 2.0.0 OK").await;
    }
    assert_eq!(world.inbox(1).await, Vec::<String>::new());
}

#[tokio::test]
async fn chunks_make_a_message() {
    let world = World::new(RELAY).await;
    let mut client = world.greeted().await;
    client.send(b"BDAT 6 LAST\r\nQUIT\r\nMAIL FROM:<>\r\nBDAT 3\r\nabcRCPT TO:<alice@corp.test>\r\nBDAT 5\r\na: b\rBDAT 1\r\n\n").await;
    for want in ["503 5.5.1", "250 2.1.0", "503 5.5.1", "250 2.1.5", "250 2.0.0 5 octets", "250 2.0.0 1 octets"] {
        client.expect(want).await;
    }
    client.say("DATA", "503 5.5.1").await;
    client.say("MAIL FROM:<>", "503 5.5.1").await;
    client.say("BDAT 0 LAST", "250 2.0.0 Accepted ").await;
    client.send(b"MAIL FROM:<>\r\nRCPT TO:<alice@corp.test>\r\nBDAT 3 LAST\r\na\nbNOOP\r\n").await;
    for want in ["250 2.1.0", "250 2.1.5", "550 5.6.0", "250 2.0.0 OK"] {
        client.expect(want).await;
    }
    let inbox = world.inbox(1).await;
    assert!(matches!(inbox.as_slice(), [one] if one.ends_with("+0000\r\na: b\r\n")), "{inbox:?}");
}

#[tokio::test]
async fn messages_over_the_limit_are_refused() {
    let world = World::new(RELAY).await;
    let mut client = world.greeted().await;
    client.say("MAIL FROM:<> SIZE=10001", "552 5.3.4 Message too big").await;
    client.say("MAIL FROM:<> SIZE=10000", "250 2.1.0").await;
    client.say("RSET", "250 2.0.0").await;
    client.begin().await;
    client.send(format!("{}.\r\nNOOP\r\n", "0123456789abcdefghijklmnopqrstuv\r\n".repeat(1000)).as_bytes()).await;
    client.expect("552 5.3.4").await;
    client.expect("250 2.0.0 OK").await;
    client.send(b"MAIL FROM:<>\r\nRCPT TO:<alice@corp.test>\r\nBDAT 10001\r\n").await;
    client.send(&vec![b'a'; 10_001]).await;
    client.send(b"BDAT 1 LAST\r\na").await;
    for want in ["250 2.1.0", "250 2.1.5", "552 5.3.4", "503 5.5.1"] {
        client.expect(want).await;
    }
    client.say("BDAT 99999999", "552 5.3.4").await;
    assert!(client.is_closed().await);
    let mut client = world.greeted().await;
    client.begin().await;
    for _ in 0..100 {
        if client.stream.write_all(&vec![b'a'; 100_000]).await.is_err() {
            break;
        }
    }
    client.expect("552 5.3.4").await;
    assert!(client.is_closed().await);
    assert_eq!(world.inbox(1).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_store_that_fails_defers_and_delivers_nothing() {
    let world = World::new(RELAY).await;
    let mut client = world.greeted().await;
    client.begin().await;
    world.engine.fail_after(0);
    client.send(b"Subject: x\r\n\r\nx\r\n.\r\n").await;
    client.expect("451 4.3.0").await;
    world.engine.heal();
    client.begin().await;
    client.send(b"Subject: x\r\n\r\nx\r\n.\r\n").await;
    client.expect("250 2.0.0 Accepted").await;
    assert_eq!(world.inbox(1).await.len(), 1);
}

#[tokio::test]
async fn submission_needs_a_login_and_an_own_address() {
    let world = World::new(SUBMISSION).await;
    let mut client = world.greeted().await;
    client.say("MAIL FROM:<alice@corp.test>", "530 5.7.0 Authentication required").await;
    client.say("AUTH CRAM-MD5", "504 5.5.4").await;
    client.say("AUTH PLAIN", "334").await;
    client.say("*", "501 5.7.0").await;
    let plain = sasl::encode(format!("\0alice@corp.test\0{PASSWORD}").as_bytes());
    client.say(&format!("AUTH PLAIN {plain}"), "235 2.7.0").await;
    client.say(&format!("AUTH PLAIN {plain}"), "503 5.5.1").await;
    client.say("MAIL FROM:<bob@corp.test>", "553 5.7.1 Sender address not owned by the authenticated user").await;
    client.say("MAIL FROM: a.liu+x@corp.test", "250 2.1.0").await;
    client.say(&format!("AUTH PLAIN {plain}"), "503 5.5.1").await;
    client.say("RCPT TO:<pam@ext.test>", "250 2.1.5 OK").await;
    client.say("RSET", "250 2.0.0").await;
    client.say("MAIL FROM: a.liu+x@corp.test", "250 2.1.0").await;
    client.say("RCPT TO:<bob@corp.test>", "250 2.1.5").await;
    client.say("DATA", "354").await;
    client.send(b"Subject: x\r\n\r\nx\r\n.\r\n").await;
    client.expect("250 2.0.0 Accepted").await;
    let inbox = world.inbox(2).await;
    let [message] = inbox.as_slice() else { panic!("{inbox:?}") };
    assert!(
        message.contains("Received: from submission\r\n\tby mail.corp.test (Posthouse) with ESMTPA id "),
        "{message}"
    );
    assert!(!message.contains("127.0.0.1") && !message.contains("client.test"), "{message}");
    assert!(message.contains("\r\n\tfor <bob@corp.test>;\r\n"), "{message}");
    assert!(message.contains("\r\nDate: Fri, 15 Jan 2027 08:00:00 +0000\r\nMessage-ID: <"), "{message}");
}

#[tokio::test]
async fn wrong_passwords_end_the_session() {
    let world = World::new(SUBMISSION).await;
    let mut client = world.greeted().await;
    let wrong = sasl::encode(b"\0alice@corp.test\0wrong");
    for _ in 0..4 {
        client.say(&format!("AUTH PLAIN {wrong}"), "535 5.7.8 Authentication failed").await;
    }
    client.say(&format!("AUTH PLAIN {wrong}"), "421 4.7.0").await;
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn scram_logs_in() {
    let world = World::new(SUBMISSION).await;
    let mut client = world.greeted().await;
    let bare = "n=alice@corp.test,r=clientnonce";
    client.send(format!("AUTH SCRAM-SHA-256 {}\r\n", sasl::encode(format!("n,,{bare}").as_bytes())).as_bytes()).await;
    let reply = client.reply().await.unwrap();
    assert_eq!(reply.code(), 334);
    let server_first = String::from_utf8(sasl::decode_initial(reply.text().as_bytes()).unwrap()).unwrap();
    let mut attributes = server_first.split(',').skip(1);
    let salt = sasl::decode_initial(attributes.next().unwrap().strip_prefix("s=").unwrap().as_bytes()).unwrap();
    let iterations: u32 = attributes.next().unwrap().strip_prefix("i=").unwrap().parse().unwrap();
    let mut salted = [0; 32];
    pbkdf2::pbkdf2_hmac::<sha2::Sha256>(PASSWORD.as_bytes(), &salt, iterations, &mut salted);
    let proof = sasl::Proof::new(&salted, bare, &server_first, b"n,,");
    client.say(&sasl::encode(&proof.client_final), &format!("334 {}", sasl::encode(&proof.server_final))).await;
    client.say("", "235 2.7.0").await;
}

#[tokio::test]
async fn no_login_is_offered_where_it_could_be_overheard() {
    let world = World::new(Port { allow_plaintext_auth: false, ..SUBMISSION }).await;
    let mut client = world.client().await;
    client.send(b"EHLO x\r\n").await;
    let reply = client.reply().await.unwrap();
    assert!(!reply.text().contains("AUTH"), "{}", reply.text());
    client.say("AUTH PLAIN AGEAYg==", "538 5.7.11 Encryption required").await;
    let relay = World::new(RELAY).await;
    let mut client = relay.greeted().await;
    client.say("AUTH PLAIN AGEAYg==", "502 5.5.1").await;
}

#[tokio::test]
async fn stopping_ends_sessions_between_commands_and_after_a_message() {
    let world = World::new(RELAY).await;
    let mut idle = world.greeted().await;
    let mut busy = world.greeted().await;
    busy.begin().await;
    busy.send(b"Subject: x\r\n").await;
    world.stop.send_replace(true);
    idle.expect("421 4.3.2").await;
    assert!(idle.is_closed().await);
    busy.send(b"\r\nx\r\n.\r\n").await;
    busy.expect("250 2.0.0 Accepted").await;
    busy.expect("421 4.3.2").await;
    assert!(busy.is_closed().await);
    assert_eq!(world.inbox(1).await.len(), 1);
}

#[tokio::test]
async fn lines_and_errors_have_limits() {
    let world = World::new(RELAY).await;
    let mut client = world.greeted().await;
    client.say(&"x".repeat(2049), "500 5.5.2 Line too long").await;
    client.say(&format!("NOOP {}", "x".repeat(2043)), "250 2.0.0").await;
    client.say(&"x".repeat(60_000), "500 5.5.2 Line too long").await;
    client.say("NOOP", "250 2.0.0").await;
    client.send(&vec![b'x'; 100_000]).await;
    client.expect("421 4.7.0").await;
    assert!(client.is_closed().await);
    let mut client = world.client().await;
    for _ in 0..20 {
        client.say("FOO", "500 5.5.2 Command not recognized").await;
    }
    client.say("FOO", "500 5.5.2").await;
    client.expect("421 4.7.0").await;
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_bare_line_feed_ends_no_command() {
    let world = World::new(RELAY).await;
    let mut client = world.greeted().await;
    client.send(b"NOOP\nNOOP\n").await;
    client.say("", "500 5.5.2").await;
    client.say("NOOP", "250").await;
}

#[tokio::test]
async fn the_order_of_commands_is_kept() {
    let world = World::new(RELAY).await;
    let mut client = world.client().await;
    client.say("MAIL FROM:<>", "503 5.5.1 Send EHLO first").await;
    client.say("HELO client.test", "250 mail.corp.test").await;
    client.say("RCPT TO:<alice@corp.test>", "503 5.5.1").await;
    client.say("DATA", "503 5.5.1").await;
    client.say("MAIL FROM:<>", "250 2.1.0").await;
    client.say("DATA", "503 5.5.1").await;
    client.say("MAIL FROM:<>", "503 5.5.1").await;
    client.say("STARTTLS", "503 5.5.1").await;
    client.say("EHLO client.test", "250 mail.corp.test").await;
    client.say("RCPT TO:<alice@corp.test>", "503 5.5.1").await;
    client.say("STARTTLS", "502 5.5.1").await;
    client.say("VRFY alice", "252 2.5.2").await;
    client.say("EXPN alice", "502 5.5.1").await;
    client.say("HELP", "214 2.0.0").await;
}

/// RFC 2919: the copies of external members have the List-Id too, and a copy with another subject leaves in that form.
#[tokio::test]
async fn what_leaves_is_the_form_that_its_recipient_is_to_have() {
    use crate::directory::change::{self, Change};
    use crate::directory::{Action, Direction, Group, Members, Mode, Peer, Rule, RuleScope};
    use crate::mail::{Address, GroupId, RuleId};
    use crate::store::QueueList;
    let world = World::new(RELAY).await;
    let address = |text| Address::parse(text).unwrap();
    let accounts = vec![AccountId::new(1).unwrap()];
    let members = Members { accounts, external: vec![address("pam@far.test")], ..Members::default() };
    let group = Group::new(GroupId::new(1).unwrap(), address("list@corp.test"), world.clock.now());
    let group = Group { mode: Mode::Anyone, external_members: true, list_id: true, members, ..group };
    let rule = Rule {
        id: RuleId::new(1).unwrap(),
        organisation: fixture::organisation().id,
        name: "outside".to_owned(),
        enabled: true,
        priority: 0,
        scope: RuleScope::Everyone,
        scope_except: Vec::new(),
        direction: Direction::Received,
        peer: Peer::Any,
        conditions: Vec::new(),
        exceptions: Vec::new(),
        match_uninspected: false,
        actions: vec![Action::SubjectPrefix("[EXT]".to_owned())],
        stop: false,
        remark: String::new(),
        valid_from: None,
        valid_until: None,
        created: world.clock.now(),
    };
    let (with, _) =
        change::apply_all(&world.services.directory.current(), &[Change::PutGroup(group), Change::PutRule(rule)])
            .unwrap();
    world.services.directory.replace(with);
    let mut client = world.greeted().await;
    client.say("MAIL FROM:<a@ext.test>", "250 2.1.0").await;
    client.say("RCPT TO:<list@corp.test>", "250 2.1.5").await;
    client.say("DATA", "354").await;
    client.send(b"Subject: x\r\nTo: list\r\n\r\nbody\r\n.\r\n").await;
    client.expect("250 2.0.0 Accepted ").await;

    let store = &world.services.store;
    let items = store.queue(QueueList::All, None, 10).await.unwrap().items;
    let blob = items.first().unwrap().blob;
    let read = store.read(move |reader| {
        let message = reader.message(blob)?;
        let mut octets = message.prefix.clone();
        reader.rest(message.rest(), 0, u64::MAX, &mut octets)?;
        Ok(String::from_utf8_lossy(&octets).into_owned())
    });
    let sent = read.await.unwrap();
    let trace = sent.strip_prefix("List-Id: <list.corp.test>\r\n").unwrap_or_else(|| panic!("{sent}"));
    assert!(trace.starts_with("Return-Path: ") && !trace.contains("List-Id"), "{trace}");
    assert!(sent.ends_with("\r\nSubject: x\r\nTo: list\r\n\r\nbody\r\n"), "{sent}");
    let inbox = world.inbox(1).await;
    assert!(inbox[0].starts_with("List-Id: <list.corp.test>\r\nReturn-Path: "), "{inbox:?}");
    assert!(inbox[0].ends_with("\r\nSubject: [EXT] x\r\nTo: list\r\n\r\nbody\r\n"), "{inbox:?}");
    assert_eq!(inbox[0].matches("Subject:").count(), 1, "{inbox:?}");
    assert_eq!(store.check().unwrap().findings, []);
}
