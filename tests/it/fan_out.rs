//! A message to 100,000 mailboxes while the server is killed again and again: afterwards each has it exactly once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use posthouse::app::SystemClock;
use posthouse::directory::Directory;
use posthouse::mail::MailboxId;
use posthouse::store::Store;
use posthouse::store::engine::rocks::Rocks;
use serde_json::Value;

use super::prng::Prng;
use super::server::Server;
use super::smtp::Smtp;

const ACCOUNTS: usize = 100_000;

/// How often the server is killed while slices wait; the last start is left to finish.
const KILLS: usize = 6;

#[test]
fn each_of_100_000_mailboxes_has_the_message_once_whenever_the_server_is_killed() {
    let mut server = Server::prepared("");
    server.run();
    let mut file = String::from(
        "[[organisation]]\nname = \"all\"\n\n[[domain]]\nname = \"example.test\"\n\n[[department]]\npath = \"/All\"\n\n",
    );
    for n in 0..ACCOUNTS {
        file.push_str(&format!("[[account]]\naddress = \"m{n}@example.test\"\ndepartments = [\"/All\"]\n"));
    }
    file.push_str(
        "[[group]]\naddress = \"all@example.test\"\npermission = \"anyone\"\nmembers = [\"department:/All\"]\n",
    );
    let path = server.path().join("all.toml");
    std::fs::write(&path, file).expect("write");
    server.cli(&["apply", path.to_str().expect("a path")], "");

    let id = send(&server);
    let mut random = Prng(100_000);
    let mut progress = Vec::new();
    for _ in 0..KILLS {
        // The point of the kill is the time itself, so a sleep is what is meant here.
        std::thread::sleep(Duration::from_millis(20 + random.next() % 150));
        server.kill();
        progress.push(delivered(&server).0);
        server.run();
    }
    let deadline = Instant::now() + Duration::from_secs(120);
    while traced(&server, &id) < ACCOUNTS as u64 {
        assert!(Instant::now() < deadline, "{} of {ACCOUNTS} have it", traced(&server, &id));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(
        progress.iter().any(|&copies| copies > 0 && copies < ACCOUNTS as u64),
        "no kill met the fan-out halfway: {progress:?}"
    );
    server.cli(&["check"], "");
    server.assert_no_panic();
    assert_eq!(server.stop(), Some(0), "an orderly end");
    let (copies, most) = delivered(&server);
    println!("copies at each kill: {progress:?}");
    assert_eq!((copies, most), (ACCOUNTS as u64, 1), "copies in all, and in the mailbox that has most");
}

/// Sends one message to everybody; gives its id.
fn send(server: &Server) -> String {
    let mut smtp = Smtp::open(server.address("smtp"));
    smtp.command("MAIL FROM:<a@client.example>", 250);
    smtp.command("RCPT TO:<all@example.test>", 250);
    smtp.command("DATA", 354);
    smtp.wire.send(b"From: a@client.example\r\nSubject: to all\r\n\r\nhello\r\n.\r\n");
    let reply = smtp.expect(250).lines.join(" ");
    reply.strip_prefix("2.0.0 Accepted ").expect("an id").to_owned()
}

/// How many deliveries the trace of the message knows.
fn traced(server: &Server, id: &str) -> u64 {
    let shown: Value = serde_json::from_str(&server.cli(&["trace", "show", id, "--json"], "")).expect("JSON");
    shown["delivery_count"].as_u64().expect("a number")
}

/// Read from the store of a server that does not run: messages in all INBOXes, and the most in one of them.
fn delivered(server: &Server) -> (u64, u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let engine = Rocks::open(&server.data().join("store"), 64 << 20).expect("the store");
    let store = runtime.block_on(Store::open(Arc::new(engine), Arc::new(SystemClock), [7; 3])).expect("the store");
    let (version, records) = store.load_directory().expect("the directory");
    let directory = Directory::from_records(version, records).expect("the directory");
    let counts: Vec<u32> = store
        .read_blocking(|reader| {
            let accounts = directory.accounts();
            accounts.map(|account| Ok(reader.mailbox(account.id, MailboxId::INBOX)?.counts.messages)).collect()
        })
        .expect("mailboxes");
    assert_eq!(counts.len(), ACCOUNTS, "accounts");
    store.close();
    (counts.iter().map(|&n| u64::from(n)).sum(), counts.into_iter().max().unwrap_or(0))
}
