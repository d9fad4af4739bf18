//! SIGKILL under load, with a remote host that fails at random: what was answered 250 is at the remote host, came back as
//! a report, or is still queued.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::eventually;
use super::remote::Remote;
use crate::crash::kill;
use crate::dns::DnsServer;
use crate::policy::auth_plain;
use crate::server::{PASSWORD, Server};
use crate::smtp::{Smtp, dot_stuffed};

const CLIENTS: u64 = 3;
const KILLS: u64 = 8;
/// Sessions at once with one destination, by default.
const SESSIONS: usize = 8;

#[test]
fn mail_for_others_is_never_lost_by_sigkill() {
    let (dns, remote) = (DnsServer::start(), Remote::start());
    dns.mx("partner.test", 10, "mx.partner.test").address_of("mx.partner.test", "127.0.0.2");
    let port = remote.address.port();
    let patience = "first_retry = \"200 ms\"\nlongest_retry = \"1 s\"\n";
    let outbound = format!("[outbound]\nport = {port}\nallow_loopback = true\n{patience}\n{}", dns.config());
    let mut server = Server::prepared(&outbound);
    server.run();
    server.cli(&["domain", "add", "example.test"], "");
    server.add_account("alice");
    remote.be_moody(2026);
    let number = AtomicU64::new(0);
    let mut answered: BTreeSet<u64> = BTreeSet::new();
    for round in 0..KILLS {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (server_ref, stop_ref, number_ref) = (&server, &stop, &number);
            let sessions: Vec<Smtp> = (0..CLIENTS).map(|_| login(server_ref)).collect();
            let load = |smtp| scope.spawn(move || load(smtp, stop_ref, number_ref));
            let clients: Vec<_> = sessions.into_iter().map(load).collect();
            // The point of the kill is the time itself, so a sleep is what is meant here.
            std::thread::sleep(Duration::from_millis(150 + 40 * round));
            kill(server_ref.pid());
            stop.store(true, Ordering::Relaxed);
            answered.extend(clients.into_iter().flat_map(|client| client.join().expect("a client")));
        });
        server.kill();
        server.run();
    }
    assert!(answered.len() as u64 > 2 * KILLS, "only {} messages: no load", answered.len());
    // What is in reach of a calm host gets there.
    remote.answer_as_usual();
    eventually("the queue is empty", || {
        server.cli(&["queue", "retry", "--all"], "");
        server.cli(&["queue", "list"], "").is_empty()
    });
    let mut copies: BTreeMap<u64, usize> = BTreeMap::new();
    for heard in remote.heard() {
        *copies.entry(number_in(&heard.content).expect("a number")).or_default() += 1;
    }
    let mut imap = server.imap("alice");
    imap.ok("SELECT INBOX");
    let reports = imap.ok("UID FETCH 1:* (BODY.PEEK[])");
    let reported: BTreeSet<u64> = reports
        .untagged
        .iter()
        .filter_map(|response| number_in(&String::from_utf8_lossy(&crate::imap::nstring_after(response, b"BODY[")?)))
        .collect();
    for number in &answered {
        assert!(copies.contains_key(number) || reported.contains(number), "message {number} is nowhere");
    }
    // SMTP cannot exclude a second copy where the reply to the first was lost: on the way, or with the process.
    let doubled: usize = copies.values().map(|n| n - 1).sum();
    let bound = remote.silent() + usize::try_from(KILLS).expect("small") * SESSIONS;
    println!("{} messages, {} reported, {doubled} second copies of at most {bound}", answered.len(), reported.len());
    assert!(doubled <= bound, "{doubled} second copies, and {bound} could not be excluded");
    assert!(server.try_cli(&["check"], "").status.success());
    server.assert_no_panic();
}

fn login(server: &Server) -> Smtp {
    let mut smtp = Smtp::open(server.address("submission"));
    smtp.command(&auth_plain("alice@example.test", PASSWORD), 235);
    smtp
}

/// Submits until the server is gone; gives the numbers of the messages that were answered 250.
fn load(mut smtp: Smtp, stop: &AtomicBool, number: &AtomicU64) -> Vec<u64> {
    let mut answered = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let number = number.fetch_add(1, Ordering::Relaxed);
        let text = format!("From: alice@example.test\r\nSubject: number {number} of many\r\n\r\nbody\r\n");
        let mut lines = b"MAIL FROM:<alice@example.test>\r\nRCPT TO:<pam@partner.test>\r\nDATA\r\n".to_vec();
        let replies = smtp.wire.try_send(&lines).is_ok() && (0..3).all(|_| smtp.try_reply().is_ok());
        lines = dot_stuffed(text.as_bytes());
        if !replies || smtp.wire.try_send(&lines).is_err() {
            break;
        }
        match smtp.try_reply() {
            Ok(reply) if reply.code == 250 => answered.push(number),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    answered
}

fn number_in(text: &str) -> Option<u64> {
    text.split_once("Subject: number ")?.1.split_once(" of many")?.0.parse().ok()
}
