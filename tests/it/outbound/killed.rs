//! SIGKILL under load, with a remote host that fails at random: what was answered 250 is at the remote host, came back as
//! a report, or is still queued.

use std::collections::{BTreeMap, BTreeSet};

use super::eventually;
use super::remote::Remote;
use crate::crash::{Load, killed_under_load};
use crate::dns::DnsServer;
use crate::policy::auth_plain;
use crate::server::{PASSWORD, Server};
use crate::smtp::Smtp;

const KILLS: u64 = 8;
/// Sessions at once with one destination, by default.
const SESSIONS: usize = 8;

const LOAD: Load = Load {
    from: "alice@example.test",
    to: "pam@partner.test",
    text: |number| format!("From: alice@example.test\r\nSubject: number {number} of many\r\n\r\nbody\r\n"),
};

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
    let answered = killed_under_load(&mut server, KILLS, login, &LOAD);
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

fn number_in(text: &str) -> Option<u64> {
    text.split_once("Subject: number ")?.1.split_once(" of many")?.0.parse().ok()
}
