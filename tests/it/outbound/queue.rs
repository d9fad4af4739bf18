//! From submission over the queue to another host, and back as a report.

use std::collections::BTreeSet;
use std::time::Duration;

use posthouse::delivery::remote::courier::Timeouts;
use posthouse::policy::rate::OfAccount;
use posthouse::server::RateLimits;
use posthouse::server::admin::Actor;
use posthouse::store::QueueChange;
use serde_json::{Value, json};

use super::eventually;
use super::remote::{Remote, SILENCE};
use crate::dns::DnsServer;
use crate::inside::Inside;
use crate::policy::auth_plain;
use crate::server::{PASSWORD, Server};
use crate::smtp::Smtp;

/// alice@corp.test and bob, and a host for partner.test.
fn world() -> (Inside, Remote) {
    world_in(Inside::start())
}

fn world_in(inside: Inside) -> (Inside, Remote) {
    inside.apply(&format!(
        "[[organisation]]\nname = \"corp\"\n\n[[domain]]\nname = \"corp.test\"\norganisation = \"corp\"\n\n{}{}",
        account("alice@corp.test"),
        account("bob@corp.test")
    ));
    let remote = Remote::start();
    inside.dns.mx("partner.test", 10, "mx.partner.test").address_of("mx.partner.test", "127.0.0.2");
    (inside, remote)
}

fn account(address: &str) -> String {
    format!("[[account]]\naddress = \"{address}\"\npassword = \"{}\"\n\n", PASSWORD)
}

fn submit(inside: &Inside, to: &[&str], subject: &str) {
    let text = format!("From: alice@corp.test\r\nTo: someone\r\nSubject: {subject}\r\n\r\nbody of {subject}\r\n");
    let reply = inside.login("alice@corp.test").send("alice@corp.test", to, text.as_bytes());
    assert_eq!(reply.code, 250, "{reply:?}");
}

#[test]
fn mail_to_another_host_gets_there_and_its_trace_says_so() {
    let (inside, remote) = world();
    inside.deliver_to(remote.address.port());
    submit(&inside, &["pam@partner.test", "pat@partner.test"], "one");
    eventually("the host has it", || !remote.heard().is_empty());
    let heard = remote.heard();
    assert_eq!(heard.len(), 1, "one transaction for both");
    assert_eq!(heard[0].rcpt.len(), 2);
    assert!(heard[0].mail.starts_with("MAIL FROM:<alice@corp.test>"), "{}", heard[0].mail);
    assert!(heard[0].content.contains("body of one"));
    assert!(heard[0].content.starts_with("Received: "), "no Return-Path (RFC 5321 §4.4): {}", heard[0].content);
    eventually("the queue is empty", || inside.queue().is_empty());
}

#[test]
fn what_is_asked_for_again_and_again_is_sent_once() {
    let without = OfAccount { messages_per_minute: 0, recipients_per_day: 0 };
    let (inside, remote) = world_in(Inside::limited(RateLimits { account: without, ..RateLimits::default() }));
    inside.deliver_to(remote.address.port());
    let ask = || {
        let ids = inside.queue().into_iter().map(|item| item.id).collect();
        inside.run(inside.services.store.queue_change(ids, QueueChange::Retry)).expect("a change");
    };
    let mut smtp = inside.login("alice@corp.test");
    for number in 0..400 {
        let text = format!("From: alice@corp.test\r\nSubject: number {number}\r\n\r\nbody\r\n");
        assert_eq!(smtp.send("alice@corp.test", &["pam@partner.test"], text.as_bytes()).code, 250);
        ask();
    }
    eventually("the queue is empty", || {
        ask();
        inside.queue().is_empty()
    });
    let heard = remote.heard();
    let subject = |content: &str| Some(content.split_once("Subject: ")?.1.lines().next()?.to_owned());
    let subjects: BTreeSet<_> = heard.iter().filter_map(|heard| subject(&heard.content)).collect();
    assert_eq!((heard.len(), subjects.len()), (400, 400));
}

#[test]
fn a_refusal_comes_back_as_a_report() {
    let (inside, remote) = world();
    remote.answer("RCPT TO:<pam@partner.test>", "550 5.1.1 nobody of that name");
    inside.deliver_to(remote.address.port());
    submit(&inside, &["pam@partner.test", "pat@partner.test"], "two");
    eventually("pat has it", || remote.heard().len() == 1);
    let reports = || inside.messages("alice@corp.test", "INBOX", "delivery-status");
    eventually("alice has a report", || !reports().is_empty());
    let report = reports().remove(0);
    for line in [
        "Action: failed",
        "Status: 5.1.1",
        "Final-Recipient: rfc822; pam@partner.test",
        "Diagnostic-Code: smtp; 550 5.1.1 nobody of that name",
        "Remote-MTA: dns; mx.partner.test",
    ] {
        assert!(report.contains(line), "{line}\n{report}");
    }
    assert!(!report.contains("pat@partner.test"), "{report}");
    eventually("the queue is empty", || inside.queue().is_empty());
    assert_eq!(reports().len(), 1);
}

#[test]
fn a_report_is_in_the_language_of_the_organisation_of_who_reads_it() {
    let (inside, remote) = world();
    remote.answer("RCPT TO:<pam@partner.test>", "550 5.1.1 nobody of that name");
    inside.deliver_to(remote.address.port());
    for (number, (language, subject)) in
        [("de", "Unzustellbare Nachricht"), ("es", "Mensaje no entregado")].into_iter().enumerate()
    {
        inside.apply(&format!("[[organisation]]\nname = \"corp\"\nlanguage = \"{language}\"\n"));
        submit(&inside, &["pam@partner.test"], "hello");
        let reports = || inside.messages("alice@corp.test", "INBOX", "delivery-status");
        eventually("alice has a report", || reports().len() == number + 1);
        let report = reports().into_iter().find(|report| report.contains(&format!("Content-Language: {language}")));
        let report = report.expect("a report in that language");
        for line in [&format!("Subject: {subject}"), "Action: failed", "Content-Type: text/plain; charset=utf-8"] {
            assert!(report.contains(line), "{line}\n{report}");
        }
    }
    let wrong = "[[organisation]]\nname = \"corp\"\nlanguage = \"tlh\"\n".to_owned();
    let refused = inside.run(inside.admin.apply(Actor::Server, wrong, false)).expect_err("no such language");
    let shown = format!("{refused:?}");
    assert!(shown.contains("tlh") && shown.contains("`en`, `de`, `fr`, `es`, `zh`, `ja`"), "{shown}");
}

#[test]
fn what_is_deferred_is_tried_again_announced_and_given_up() {
    let (inside, remote) = world();
    remote.answer("MAIL", "451 4.3.0 later");
    inside.deliver_to(remote.address.port());
    submit(&inside, &["pam@partner.test"], "three");
    let attempts = || inside.queue().first().map(|item| item.attempts);
    eventually("tried once", || attempts() == Some(1));
    let last = inside.queue().remove(0).last.expect("an attempt");
    assert_eq!((last.text.as_str(), last.is_reply), ("451 4.3.0 later", true));
    assert!(last.host.is_some_and(|host| host.starts_with("mx.partner.test")));
    let connections = remote.connections();
    inside.pass(4 * 60);
    std::thread::sleep(std::time::Duration::from_millis(700));
    assert_eq!((attempts(), remote.connections()), (Some(1), connections), "not before five minutes");
    inside.pass(2 * 60);
    eventually("tried twice", || attempts() == Some(2));

    let reports = || inside.messages("alice@corp.test", "INBOX", "delivery-status");
    assert_eq!(reports().len(), 0);
    inside.pass(4 * 3600);
    eventually("tried again after four hours", || attempts() == Some(3));
    eventually("alice knows", || reports().len() == 1);
    assert!(reports()[0].contains("Action: delayed"), "{}", reports()[0]);
    assert!(reports()[0].contains("Will-Retry-Until:"), "{}", reports()[0]);
    inside.pass(5 * 24 * 3600);
    eventually("given up", || inside.queue().is_empty());
    eventually("alice knows", || reports().len() == 2);
    let last = reports().into_iter().find(|report| report.contains("Action: failed")).expect("a report of failure");
    assert!(last.contains("Status: 5.4.7"), "{last}");
    assert_eq!(remote.heard().len(), 0);
}

#[test]
fn a_host_that_comes_back_gets_what_has_waited() {
    let (inside, remote) = world();
    remote.answer("CONNECT", "");
    inside.deliver_to(remote.address.port());
    for subject in ["four", "five", "six"] {
        submit(&inside, &["pam@partner.test"], subject);
    }
    eventually("one was tried", || inside.queue().iter().any(|item| item.attempts == 1));
    assert_eq!(inside.queue().len(), 3);
    remote.answer_as_usual();
    eventually("all are there", || {
        inside.pass(60);
        remote.heard().len() == 3
    });
    eventually("the queue is empty", || inside.queue().is_empty());
}

#[test]
fn a_host_that_keeps_its_clients_waiting_holds_one_of_them() {
    let (inside, remote) = world();
    remote.answer("MAIL", SILENCE);
    let mut smtp = inside.login("alice@corp.test");
    for number in 0..40 {
        let text = format!("From: alice@corp.test\r\nSubject: number {number}\r\n\r\nbody\r\n");
        assert_eq!(smtp.send("alice@corp.test", &["pam@partner.test"], text.as_bytes()).code, 250);
    }
    let short = Duration::from_millis(500);
    let timeouts = Timeouts { attempt: short, slow: short / 2, ..Timeouts::default() };
    inside.deliver_within(remote.address.port(), timeouts, |_| {});
    let tried = || inside.queue().iter().filter(|item| item.attempts > 0).count();
    eventually("some were tried", || tried() > 0);
    std::thread::sleep(short * 4);
    let (first, connections) = (tried(), remote.connections());
    assert!(first <= 8 && connections <= 8, "{first} {connections}");
    inside.pass(61);
    eventually("one asks whether it answers", || tried() == first + 1);
    std::thread::sleep(short * 4);
    assert_eq!((tried(), remote.connections()), (first + 1, connections + 1));
}

/// An administrator's view of the queue, and hand on it, by the command line.
#[test]
fn an_administrator_sees_holds_releases_and_removes() {
    let (dns, remote) = (DnsServer::start(), Remote::start());
    dns.mx("partner.test", 10, "mx.partner.test").address_of("mx.partner.test", "127.0.0.2");
    dns.mx("other.test", 10, "mx.partner.test");
    remote.answer("MAIL", "451 4.7.1 not today");
    let port = remote.address.port();
    let outbound = format!("[outbound]\nport = {port}\nallow_loopback = true\n\n{}", dns.config());
    let mut server = Server::prepared(&outbound);
    server.run();
    server.cli(&["domain", "add", "example.test"], "");
    server.add_account("alice");
    let send = |to: &str| {
        let mut smtp = Smtp::open(server.address("submission"));
        smtp.command(&auth_plain("alice@example.test", PASSWORD), 235);
        let text = format!("From: alice@example.test\r\nSubject: to {to}\r\n\r\nbody\r\n");
        assert_eq!(smtp.send("alice@example.test", &[to], text.as_bytes()).code, 250);
    };
    for to in ["pam@partner.test", "pat@partner.test", "pia@other.test"] {
        send(to);
    }
    let list = |more: &[&str]| -> Vec<Value> {
        let arguments = [&["queue", "list", "--json"], more].concat();
        serde_json::from_str(&server.cli(&arguments, "")).expect("JSON")
    };
    eventually("all were tried", || list(&[]).iter().all(|item| item["attempts"] == 1));
    let all = list(&[]);
    assert_eq!(all.len(), 3);
    for item in &all {
        assert_eq!(item["note"], "451 4.7.1 not today", "{item}");
        assert_eq!((&item["state"], &item["status"]), (&json!("waiting"), &json!("4.7.1")), "{item}");
    }
    assert_eq!(list(&["--host", "partner.test"]).len(), 2);
    assert_eq!(list(&["--sender", "alice@example.test"]).len(), 3);
    assert_eq!(list(&["--sender", "pam@partner.test"]).len(), 0);
    let of_message = all[2]["message"].as_str().expect("a message");
    assert_eq!(list(&["--message", of_message]).len(), 1);
    let destinations = server.cli(&["queue", "destinations"], "");
    assert!(destinations.contains("partner.test\t2\t0\t"), "{destinations}");

    let done = |arguments: &[&str]| server.cli(&[&["queue"], arguments].concat(), "");
    assert_eq!(done(&["hold", "--host", "partner.test"]), "2 items\n");
    assert!(list(&["--host", "partner.test"]).iter().all(|item| item["state"] == "held"));
    remote.answer_as_usual();
    assert_eq!(done(&["retry", "--all"]), "1 items\n");
    eventually("pia has hers", || remote.heard().len() == 1);
    eventually("held mail waits alone", || list(&[]).len() == 2);
    let held = list(&[]);
    let first = held[0]["id"].as_str().expect("an id");
    assert_eq!(done(&["release", first]), "1 items\n");
    eventually("pam has hers", || remote.heard().len() == 2);
    assert_eq!(done(&["fail", "--sender", "alice@example.test"]), "1 items\n");
    assert_eq!(list(&[]), Vec::<Value>::new());
    let mut imap = server.imap("alice");
    imap.ok("SELECT INBOX");
    let found = imap.ok("UID SEARCH SUBJECT Undelivered").lines().join(" ");
    assert!(found.contains("* SEARCH 1"), "{found}");

    let audit = server.cli(&["audit", "list"], "");
    for action in ["queue.hold", "queue.retry", "queue.release", "queue.fail"] {
        assert!(audit.contains(action), "{action}\n{audit}");
    }
    let trace = server.cli(&["trace", "show", of_message], "");
    assert!(trace.contains("451 4.7.1 not today") && trace.contains("relayed"), "{trace}");
    for wrong in [&["queue", "hold"][..], &["queue", "hold", "--all", "--host", "x.test"], &["queue", "hold", "xyz"]] {
        assert!(!server.try_cli(wrong, "").status.success(), "{wrong:?}");
    }
    server.assert_no_panic();
}
