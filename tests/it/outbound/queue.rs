//! From submission over the queue to another host, and back as a report.

use super::eventually;
use super::remote::Remote;
use crate::inside::Inside;

/// alice@corp.test and bob, and a host for partner.test.
fn world() -> (Inside, Remote) {
    let inside = Inside::start();
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
    format!("[[account]]\naddress = \"{address}\"\npassword = \"{}\"\n\n", crate::server::PASSWORD)
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
    eventually("the queue is empty", || inside.queue().is_empty());
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
    eventually("all were tried, or wait", || {
        inside.queue().iter().all(|item| item.attempts == 1 || item.last.is_none())
    });
    assert_eq!(inside.queue().len(), 3);
    remote.answer_as_usual();
    inside.pass(10 * 60);
    eventually("all are there", || remote.heard().len() == 3);
    eventually("the queue is empty", || inside.queue().is_empty());
}
