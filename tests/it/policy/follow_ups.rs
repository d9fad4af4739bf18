//! What follows an accepted message: notices, reports and replies come exactly once, whenever the server is killed (T15),
//! and for what was held only when it is released (R27, W70).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::prng::Prng;
use super::super::server::{PASSWORD, Server};
use super::super::smtp::Smtp;
use super::super::wire::Wire;
use super::acme::{Acme, auth_plain, full};
use super::nested_groups::accept_only_hold;
use super::replies::OK;
use super::row::{Spf, keep, row};

const CLIENTS: u64 = 3;

/// Bob writes to alice, of whose mail erin gets reports; to g-mod, about which dave decides; to g-out, a part of which is
/// closed to bob. The process is killed at random moments, most of which lie between the commit of a message and those
/// of its notices.
#[test]
fn u08_u09_u10_what_follows_a_message_comes_once_after_sigkill() {
    let rounds: u64 = std::env::var("POSTHOUSE_CRASH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    let mut random = Prng(410);
    let mut acme = Acme::start();
    acme.apply(
        "[[rule]]\nname = \"report\"\nscope = [\"alice@corp.test\"]\nactions = [{ copy = { monitor = \
         \"erin@corp.test\", folder = \"m\", form = \"report\" } }]\n",
    );
    let (number, mut answered) = (AtomicU64::new(0), Vec::new());
    for round in 0..rounds {
        let (stop, logged_in) = (AtomicBool::new(false), AtomicU64::new(0));
        let delay = Duration::from_micros(random.next() % 300_000);
        let server = &acme.server;
        let done = std::thread::scope(|scope| {
            let (stop, number, logged_in) = (&stop, &number, &logged_in);
            let client = |_| scope.spawn(move || load(server, stop, number, logged_in));
            let clients: Vec<_> = (0..CLIENTS).map(client).collect();
            // A login takes its time, and before it nothing is under way.
            let deadline = Instant::now() + Duration::from_secs(30);
            while logged_in.load(Ordering::Relaxed) < CLIENTS && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            // The point of the kill is the time itself, so a sleep is what is meant here.
            std::thread::sleep(delay);
            kill(server.pid());
            stop.store(true, Ordering::Relaxed);
            clients.into_iter().flat_map(|client| client.join().expect("a client")).collect::<Vec<u64>>()
        });
        answered.extend(done);
        acme.server.kill();
        acme.server.run();
        let report = acme.server.try_cli(&["check"], "");
        assert!(report.status.success(), "round {round}: {}", String::from_utf8_lossy(&report.stdout));
    }
    let seen = settled(&mut acme);
    for number in &answered {
        assert!(seen[0].contains_key(number), "U08, U09: message {number} was answered 250 and is lost");
    }
    let names = ["U09: alice's message", "U10: erin's report", "dave's copy", "dave's notice", "bob's partial notice"];
    for (found, name) in seen.iter().zip(names) {
        for number in seen[0].keys() {
            assert_eq!(found.get(number), Some(&1), "{name}, message {number}");
        }
        assert_eq!(found.len(), seen[0].len(), "{name}: of no other message");
    }
    assert!(answered.len() as u64 > rounds, "only {} messages in {rounds} rounds: no load", answered.len());
    let later = acme.server.log().matches("a message that follows was made later").count();
    assert!(later as u64 >= rounds / 2, "only {later} notices were left by {rounds} kills");
    acme.server.assert_no_panic();
}

/// SIGKILL to a process that this test started and still waits for.
fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("a signal");
}

/// Sends until the server is gone; gives the numbers of the messages that were answered 250.
fn load(server: &Server, stop: &AtomicBool, number: &AtomicU64, logged_in: &AtomicU64) -> Vec<u64> {
    let mut done = Vec::new();
    let Ok(wire) = std::panic::catch_unwind(|| Wire::connect(server.address("submission"))) else { return done };
    let mut smtp = Smtp { wire };
    let mut say = |text: &str| -> std::io::Result<u16> {
        smtp.wire.try_send(text.as_bytes())?;
        Ok(smtp.try_reply()?.code)
    };
    let login = format!("{}\r\n", auth_plain(&full("bob"), PASSWORD));
    if ["", "EHLO client.test\r\n", &login].into_iter().any(|line| say(line).is_err()) {
        return done;
    }
    logged_in.fetch_add(1, Ordering::Relaxed);
    while !stop.load(Ordering::Relaxed) {
        let n = number.fetch_add(1, Ordering::Relaxed);
        let message =
            format!("From: bob@corp.test\r\nTo: alice@corp.test\r\nSubject: crash {n} end\r\n\r\nHello.\r\n.\r\n");
        let mut one = || -> std::io::Result<u16> {
            say("MAIL FROM:<bob@corp.test>\r\n")?;
            for to in ["alice", "g-mod", "g-out"] {
                say(&format!("RCPT TO:<{to}@corp.test>\r\n"))?;
            }
            say("DATA\r\n")?;
            say(&message)
        };
        match one() {
            Ok(250) => done.push(n),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    done
}

/// What alice, erin, dave (twice) and bob have of each message, once as much is there as of alice's mail.
fn settled(acme: &mut Acme) -> [BTreeMap<u64, usize>; 5] {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let seen = [
            found(acme, "alice", "INBOX", |_| true),
            found(acme, "erin", "m", |_| true),
            found(acme, "dave", "Approvals", |_| true),
            found(acme, "dave", "INBOX", |message| message.contains("Subject: Approval needed")),
            found(acme, "bob", "INBOX", |message| message.contains("report-type=delivery-status")),
        ];
        if seen.iter().all(|found| found.len() >= seen[0].len()) || Instant::now() > deadline {
            return seen;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// How many messages of a folder speak of each number.
fn found(acme: &mut Acme, user: &str, folder: &str, is_meant: impl Fn(&str) -> bool) -> BTreeMap<u64, usize> {
    let mut found = BTreeMap::new();
    for uid in acme.find(user, folder, "crash ") {
        let message = acme.fetch(user, uid);
        let number = message.split("crash ").nth(1).and_then(|rest| rest.split(" end").next()?.parse().ok());
        if let Some(number) = number.filter(|_| is_meant(&message)) {
            *found.entry(number).or_default() += 1;
        }
    }
    found
}

/// Recipients elsewhere of what the server sends.
fn answered(acme: &Acme) -> Vec<String> {
    let queue = acme.get("/queue");
    let items = queue["items"].as_array().cloned().unwrap_or_default();
    let items = items.iter().filter(|item| item["reverse_path"] == "");
    items.filter_map(|item| item["recipient"].as_str().map(str::to_owned)).collect()
}

fn account(more: &str) -> String {
    format!("[[account]]\naddress = \"alice@corp.test\"\n{more}\n")
}

#[test]
fn r27_what_is_held_is_answered_when_it_is_released() {
    let mut acme = Acme::start();
    acme.apply(&account("vacation = { text = \"I am away.\" }"));
    acme.apply(
        "[[rule]]\nname = \"ask\"\nscope = [\"alice@corp.test\"]\ndirection = \"received\"\nactions = [{ hold = { \
         approvers = [\"dave@corp.test\"] } }]\n",
    );
    let held = |id: &'static str, from: &str| {
        row(id).mail(from).spf(Spf::Pass).rcpt("alice", OK).got(&["dave:Approvals"]).generated(1)
    };
    let first = keep(&mut acme, &held("R27", "r27@partner.test"));
    assert_eq!((first.faults, answered(&acme)), (vec![], vec![]), "R27: nothing before the release");
    accept_only_hold(&acme);
    assert_eq!(acme.find("alice", "INBOX", &first.nonce).len(), 1, "R27");
    assert_eq!(answered(&acme), ["r27@partner.test"], "R27");

    // Alice is back before the second one is released.
    let second = keep(&mut acme, &held("R27 back", "r27b@partner.test"));
    assert_eq!(second.faults, Vec::<String>::new(), "R27");
    let past = "vacation = { text = \"I was away.\", until = \"2020-01-01T00:00:00Z\" }";
    acme.apply(&account(past));
    accept_only_hold(&acme);
    assert_eq!(acme.find("alice", "INBOX", &second.nonce).len(), 1, "R27");
    assert_eq!(answered(&acme), ["r27@partner.test"], "R27: by what alice wants at the release");
}

/// W70, and policy semantics §13.5: the rules are those of acceptance; §14: the decision is recorded.
#[test]
fn w70_the_copy_is_made_at_the_release_by_the_rules_of_acceptance() {
    let copy = |folder: &str| {
        format!(
            "[[rule]]\nname = \"w01\"\nscope = [\"alice@corp.test\"]\nactions = [{{ copy = {{ monitor = \
             \"erin@corp.test\", folder = \"{folder}\" }} }}]\n"
        )
    };
    let mut acme = Acme::start();
    for (case, rule) in [("kept", Some(copy("m"))), ("changed", Some(copy("other"))), ("removed", None)] {
        acme.reset();
        acme.apply(&copy("m"));
        let held = keep(&mut acme, &row("W70").rcpt("g-mod", OK).got(&["dave:Approvals"]).generated(1));
        assert_eq!(held.faults, Vec::<String>::new(), "W70, {case}");
        assert_eq!(acme.find("erin", "m", &held.nonce).len(), 0, "W70, {case}: nothing before the release");
        acme.reset();
        rule.iter().for_each(|rule| acme.apply(rule));
        accept_only_hold(&acme);
        assert_eq!(acme.find("erin", "m", &held.nonce).len(), 1, "W70, {case}");
        assert_eq!(acme.find("erin", "other", &held.nonce).len(), 0, "W70, {case}");
        assert_eq!(acme.find("alice", "INBOX", &held.nonce).len(), 1, "W70, {case}");
    }
    let decided = |acme: &Acme| -> Vec<Value> {
        let items = acme.get("/audit")["items"].as_array().cloned().expect("a list");
        items.into_iter().filter(|record| record["action"] == "hold.accept").collect()
    };
    assert_eq!(decided(&acme).len(), 3, "§14: by the API");
    let held = keep(&mut acme, &row("M18").rcpt("g-mod", OK).got(&["dave:Approvals"]).generated(1));
    let uid = acme.find("dave", "Approvals", &held.nonce)[0];
    acme.imap("dave").ok(&format!("UID MOVE {uid} \"Approvals/Accept\""));
    let records = decided(&acme);
    assert_eq!((records.len(), records[0]["actor"]["kind"].as_str()), (4, Some("account")), "§14: by IMAP {records:?}");
}

/// §13.5: what shows a message to who decides about it is no copy of a monitor's, and takes the place of none.
#[test]
fn a_moderator_who_monitors_gets_both() {
    let mut acme = Acme::start();
    acme.apply("[[rule]]\nname = \"watch\"\nactions = [{ copy = { monitor = \"dave@corp.test\", folder = \"m\" } }]\n");
    let held = keep(&mut acme, &row("moderator watches").rcpt("g-mod", OK).got(&["dave:Approvals"]).generated(1));
    assert_eq!(held.faults, Vec::<String>::new());
    accept_only_hold(&acme);
    assert_eq!(acme.find("dave", "m", &held.nonce).len(), 1, "the copy, at the release");
    let both = keep(
        &mut acme,
        &row("both at once")
            .rcpt("alice", OK)
            .rcpt("g-mod", OK)
            .got(&["alice", "dave:m", "dave:Approvals"])
            .generated(1),
    );
    assert_eq!(both.faults, Vec::<String>::new(), "the copy and the question in one commit");
}
