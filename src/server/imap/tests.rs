//! Whole sessions over loopback, on the engine in memory: what dialogs cannot show.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{Port, serve};
use crate::directory::{Directory, fixture};
use crate::emailauth::EmailAuth;
use crate::login::{Authenticator, hash_password};
use crate::mail::{AccountId, Clock, Timestamp};
use crate::net::Connection;
use crate::net::dns::Dns;
use crate::server::{LiveDirectory, Services, SessionLimits, Shutdown};
use crate::store::Store;
use crate::store::engine::faulty::Faulty;
use crate::store::engine::memory::Memory;

#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000)
    }
}

/// A server with alice in corp.test.
struct World {
    services: Arc<Services>,
    engine: Arc<Faulty>,
    stop: watch::Sender<bool>,
}

impl World {
    async fn new(limits: SessionLimits) -> Self {
        let engine = Arc::new(Faulty::new(Arc::new(Memory::default())));
        let store = Store::open(engine.clone(), Arc::new(Noon), [1, 2, 3]).await.unwrap();
        store.create_account_folders(AccountId::new(1).unwrap()).await.unwrap();
        let services = Services {
            hostname: crate::mail::Domain::parse("mail.corp.test").unwrap(),
            store,
            directory: LiveDirectory::new(directory()),
            authenticator: Authenticator::new().unwrap(),
            // Nobody listens there: no test asks the network.
            email_auth: EmailAuth::new(Dns::new(&[([127, 0, 0, 1], 9).into()], Duration::from_millis(100)).unwrap()),
            srs: crate::mail::srs::SrsKey::new([7; 32]),
            clock: Arc::new(Noon),
            tls: None,
            limits,
            rates: crate::server::Rates::new(crate::server::RateLimits::default()),
            blocklists: Arc::default(),
            turns: crate::accept::Turns::default(),
            publish: crate::server::Publish::default(),
            hooks: Arc::default(),
            metrics: crate::metrics::Metrics::default(),
            webhooks: Vec::new(),
        };
        Self { services: Arc::new(services), engine, stop: watch::Sender::new(false) }
    }

    /// A client that has read the greeting.
    async fn client(&self) -> Client {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let port = Port { starttls: false, allow_plaintext_auth: true };
        let shutdown = Shutdown::new(self.stop.subscribe());
        tokio::spawn(serve(Connection::plain(accepted).unwrap(), port, self.services.clone(), shutdown));
        let mut client = Client { stream: BufReader::new(stream), mailbox: Vec::new() };
        assert!(client.response().await.unwrap().starts_with("* OK [CAPABILITY IMAP4rev1 "));
        client
    }

    /// A client with INBOX selected.
    async fn selected(&self) -> Client {
        let mut client = self.client().await;
        client.ok("LOGIN alice@corp.test secret").await;
        client.ok("SELECT INBOX").await;
        client
    }
}

fn directory() -> Directory {
    fixture::corp(&["alice@corp.test"], &[], Some(&hash_password("secret").unwrap()))
}

/// A client that keeps its picture of the mailbox by what it is told: flags by number, `None` where it was told none.
struct Client {
    stream: BufReader<TcpStream>,
    mailbox: Vec<Option<String>>,
}

impl Client {
    async fn send(&mut self, octets: &[u8]) {
        self.stream.get_mut().write_all(octets).await.unwrap();
    }

    /// A response with its literals; nothing if the server has closed.
    async fn response(&mut self) -> Option<String> {
        let mut all = Vec::new();
        loop {
            let start = all.len();
            let read = self.stream.read_until(b'\n', &mut all);
            let read = tokio::time::timeout(Duration::from_secs(20), read).await.expect("an answer in time");
            if read.unwrap_or(0) == 0 {
                return None;
            }
            let line = std::str::from_utf8(&all[start..]).unwrap().trim_end();
            let size = line.strip_suffix('}').and_then(|l| l.rsplit_once('{')).and_then(|(_, n)| n.parse().ok());
            let Some(size) = size else { break };
            let mut literal = vec![0; size];
            self.stream.read_exact(&mut literal).await.unwrap();
            all.extend_from_slice(&literal);
        }
        let text = String::from_utf8(all).unwrap().trim_end().to_owned();
        self.learn(&text);
        Some(text)
    }

    fn learn(&mut self, response: &str) {
        let words: Vec<&str> = response.splitn(4, ' ').collect();
        let (Some(number), Some(what)) = (words.get(1).and_then(|n| n.parse::<usize>().ok()), words.get(2)) else {
            return;
        };
        match *what {
            "EXISTS" => {
                assert!(number >= self.mailbox.len(), "EXISTS shrinks the mailbox");
                self.mailbox.resize(number, None);
            }
            "EXPUNGE" => drop(self.mailbox.remove(number - 1)),
            "FETCH" => {
                let flags = words.get(3).and_then(|t| t.split_once("FLAGS (")?.1.split_once(')'));
                if let Some((flags, _)) = flags {
                    let flags: Vec<&str> = flags.split(' ').filter(|f| *f != "\\Recent").collect();
                    self.mailbox[number - 1] = Some(flags.join(" "));
                }
            }
            _ => {}
        }
    }

    /// Sends a command; gives what came before its tagged response, and that.
    async fn command(&mut self, command: &str) -> (Vec<String>, String) {
        self.send(format!("a {command}\r\n").as_bytes()).await;
        let mut untagged = Vec::new();
        loop {
            let response = self.response().await.expect("a response");
            if response.starts_with("a ") {
                return (untagged, response);
            }
            untagged.push(response);
        }
    }

    async fn ok(&mut self, command: &str) -> Vec<String> {
        let (untagged, tagged) = self.command(command).await;
        assert!(tagged.starts_with("a OK"), "{command}: {tagged}");
        untagged
    }

    async fn append(&mut self, message: &str) -> String {
        self.command(&format!("APPEND INBOX {{{}+}}\r\n{message}", message.len())).await.1
    }
}

fn limits() -> SessionLimits {
    SessionLimits { message_size: 4 << 20, ..SessionLimits::default() }
}

#[tokio::test]
async fn a_store_that_takes_no_writes_is_told_and_stays_readable() {
    let world = World::new(limits()).await;
    let mut client = world.selected().await;
    assert!(client.append("Subject: 1\r\n\r\none\r\n").await.starts_with("a OK [APPENDUID "));
    world.engine.fail_after(0);
    for command in [
        "STORE 1 +FLAGS (\\Flagged)",
        "COPY 1 Archive",
        "MOVE 1 Archive",
        "CREATE new",
        "DELETE Archive",
        "RENAME Archive old",
        "SUBSCRIBE new",
        "APPEND INBOX {10+}\r\nSubject: x",
    ] {
        let (_, tagged) = client.command(command).await;
        assert!(tagged.starts_with("a NO [UNAVAILABLE]"), "{command}: {tagged}");
    }
    let fetched = client.ok("FETCH 1 (FLAGS BODY[TEXT])").await;
    assert_eq!(fetched, ["* 1 FETCH (FLAGS (\\Recent) BODY[TEXT] {5}\r\none\r\n)"], "seen is not set");
    let mut second = world.selected().await;
    assert_eq!(second.mailbox.len(), 1);

    world.engine.heal();
    let status = client.ok("STATUS Archive (MESSAGES)").await;
    assert_eq!(status, ["* STATUS Archive (MESSAGES 0)"]);
    client.ok("STORE 1 +FLAGS (\\Flagged)").await;
    second.ok("NOOP").await;
    assert_eq!(second.mailbox, [Some("\\Flagged".to_owned())]);
}

/// U05: without its record nothing of a monitor's copy is shown; what stands before it is.
#[tokio::test]
async fn a_copy_whose_first_look_cannot_be_recorded_is_not_shown() {
    use crate::accept::{Acceptance, Incoming};
    use crate::mail::{Flags, MailboxId};
    use crate::store::{AuditOrder, Origin, Target};
    let world = World::new(SessionLimits::default()).await;
    let store = &world.services.store;
    for (origin, subject) in [(Origin::Ordinary, "own"), (Origin::Monitor, "watched"), (Origin::Ordinary, "later")] {
        let mut incoming = Incoming::new(store);
        incoming.push(format!("Subject: {subject}\r\n\r\ntext\r\n").as_bytes()).await.unwrap();
        let target = Target::new(AccountId::new(1).unwrap(), MailboxId::INBOX, Flags::default());
        let acceptance = Acceptance::append(Noon.now(), vec![Target { origin, ..target }]);
        incoming.commit(store, acceptance).await.unwrap();
    }
    let mut client = world.selected().await;
    world.engine.fail_after(0);
    for item in ["ENVELOPE", "BODY.PEEK[]", "BODY.PEEK[HEADER.FIELDS (SUBJECT)]", "RFC822.HEADER"] {
        let (lines, tagged) = client.command(&format!("FETCH 1:3 ({item})")).await;
        assert!(tagged.contains("NO [UNAVAILABLE]"), "{item}: {tagged}");
        assert!(lines.len() == 1 && lines[0].contains("own"), "{item}: {lines:?}");
    }
    assert!(client.command("COPY 2 Drafts").await.1.contains("NO [UNAVAILABLE]"));
    assert_eq!(client.ok("FETCH 1:3 (FLAGS UID RFC822.SIZE INTERNALDATE)").await.len(), 3);
    world.engine.heal();
    let lines = client.ok("FETCH 1:3 (ENVELOPE)").await;
    assert!(lines.len() == 3 && lines[1].contains("watched"), "{lines:?}");
    let organisation = fixture::organisation().id;
    let records = store.audit(organisation, AuditOrder::OldestFirst(0), 10).await.unwrap();
    assert_eq!(records.len(), 1);
}

#[tokio::test]
async fn two_sessions_agree_whatever_they_do() {
    let world = World::new(limits()).await;
    let mut clients = [world.selected().await, world.selected().await];
    let mut seed = 7u64;
    let mut draw = |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % n
    };
    for _ in 0..400 {
        let client = &mut clients[draw(2) as usize];
        let number = draw(client.mailbox.len() as u64 + 1);
        let command = match draw(9) {
            0 | 1 => "APPEND INBOX (\\Draft) {4+}\r\nA: b".to_owned(),
            2 => format!("STORE {number} +FLAGS (\\Deleted)"),
            3 => format!("STORE {number} FLAGS (\\Seen word{})", draw(4)),
            4 => format!("UID STORE 1:{} -FLAGS (\\Deleted)", draw(40) + 1),
            5 => "EXPUNGE".to_owned(),
            6 => format!("MOVE {number} INBOX"),
            7 => "SEARCH ALL".to_owned(),
            _ => "NOOP".to_owned(),
        };
        let (untagged, tagged) = client.command(&command).await;
        let held = command.starts_with("STORE") || command.starts_with("SEARCH");
        assert!(!held || !untagged.iter().any(|u| u.ends_with(" EXPUNGE")), "{command}: {untagged:?}");
        assert!(
            tagged.starts_with("a OK") || tagged.starts_with("a NO [EXPUNGE") || number == 0,
            "{command}: {tagged}"
        );
    }
    for client in &mut clients {
        client.ok("NOOP").await;
    }
    let told: Vec<_> = clients.iter().map(|c| c.mailbox.clone()).collect();
    for (client, told) in clients.iter_mut().zip(told) {
        client.ok("FETCH 1:* FLAGS").await;
        for (told, now) in told.iter().zip(&client.mailbox) {
            assert!(told.is_none() || told == now, "told {told:?}, is {now:?}");
        }
        assert_eq!(told.len(), client.mailbox.len());
    }
    assert_eq!(clients[0].mailbox, clients[1].mailbox);
    assert!(clients[0].mailbox.len() > 10);
}

#[tokio::test]
async fn large_messages_stream_whole_and_in_parts() {
    let world = World::new(limits()).await;
    let mut client = world.selected().await;
    let body: String = (0..60_000).map(|n| format!("line {n}\r\n")).collect();
    let message = format!("Subject: large\r\n\r\n{body}");
    assert!(client.append(&message).await.starts_with("a OK"));
    client.append("Subject: small\r\n\r\n").await;

    let fetched = client.ok("FETCH 1:2 (BODY.PEEK[] UID)").await;
    let whole = format!("* 1 FETCH (BODY[] {{{}}}\r\n{message} UID 1)", message.len());
    assert!(fetched[0] == whole, "the whole message, then its UID");
    assert_eq!(fetched[1], "* 2 FETCH (BODY[] {18}\r\nSubject: small\r\n\r\n UID 2)");

    let part = client.ok("UID FETCH 1 BODY.PEEK[TEXT]<300000.300000>").await;
    let want = format!("* 1 FETCH (UID 1 BODY[TEXT]<300000> {{300000}}\r\n{})", &body[300_000..600_000]);
    assert!(part == [want], "octets from the middle");

    let search = client.ok("SEARCH BODY \"line 59999\"").await;
    assert_eq!(search, ["* SEARCH 1"]);
    let (_, tagged) = client.command(&format!("APPEND INBOX {{{}}}", 5 << 20)).await;
    assert!(tagged.starts_with("a NO [TOOBIG]"), "{tagged}");
}

#[tokio::test]
async fn commands_that_come_together_are_answered_in_order() {
    let world = World::new(limits()).await;
    let mut client = world.selected().await;
    client.append("A: b\r\n\r\n").await;
    client
        .send(
            b"1 IDLE\r\nDONE\r\n2 STORE 1 +FLAGS (\\Deleted)\r\n3 EXPUNGE\r\n4 IDLE\r\nDONE\r\n5 NOOP\r\n6 LOGOUT\r\n",
        )
        .await;
    let mut tags = Vec::new();
    while let Some(response) = client.response().await {
        tags.extend(response.split_once(" OK").map(|(tag, _)| tag.to_owned()));
    }
    assert_eq!(tags, ["1", "2", "3", "4", "5", "6"]);
}

#[tokio::test]
async fn sessions_end_with_bye() {
    let short = Duration::from_millis(50);
    for (case, limits, log_in, command, want) in [
        ("nobody logs in", SessionLimits { imap_login: short, ..limits() }, false, "", "* BYE Took too long to log in"),
        ("nothing comes", SessionLimits { imap_idle: short, ..limits() }, true, "", "* BYE Autologout"),
        (
            "nothing comes in IDLE",
            SessionLimits { imap_idle: short, ..limits() },
            true,
            "i IDLE\r\n",
            "* BYE Autologout",
        ),
    ] {
        let world = World::new(limits).await;
        let mut client = if log_in { world.selected().await } else { world.client().await };
        client.send(command.as_bytes()).await;
        let mut last = String::new();
        while let Some(response) = client.response().await {
            last = response;
        }
        assert!(last.starts_with(want), "{case}: {last}");
    }
}

#[tokio::test]
async fn a_stop_ends_sessions_that_wait() {
    let world = World::new(limits()).await;
    let mut waiting = world.selected().await;
    let mut idling = world.selected().await;
    idling.send(b"i IDLE\r\n").await;
    assert_eq!(idling.response().await.as_deref(), Some("+ idling"));
    world.stop.send_replace(true);
    for client in [&mut waiting, &mut idling] {
        assert!(client.response().await.unwrap().starts_with("* BYE "));
        assert_eq!(client.response().await, None);
    }
}
