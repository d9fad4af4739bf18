//! Who hears of copies that another host refuses: forwards and members of groups (policy semantics §6.5, §11.3).

use super::eventually;
use super::remote::Remote;
use crate::inside::Inside;
use crate::server::PASSWORD;
use crate::smtp::Smtp;

/// corp.test with these, and partner.test, whose host refuses everything for pam.
fn world(more: &str) -> (Inside, Remote) {
    let inside = Inside::start();
    let account = |name: &str| format!("[[account]]\naddress = \"{name}@corp.test\"\npassword = \"{PASSWORD}\"\n\n");
    inside.apply(&format!(
        "[[organisation]]\nname = \"corp\"\nexternal_forward = \"allow\"\n\n\
         [[domain]]\nname = \"corp.test\"\norganisation = \"corp\"\n\n{}{}{}",
        account("alice"),
        account("bob"),
        account("mia"),
    ));
    inside.apply(more);
    inside.apply("[[relay]]\nnetwork = \"127.0.0.1/32\"\nkind = \"gateway\"\n");
    let remote = Remote::start();
    for domain in ["partner.test", "ext.test"] {
        inside.dns.mx(domain, 10, "mx.partner.test");
    }
    inside.dns.address_of("mx.partner.test", "127.0.0.2");
    // SPF: so that strangers are whom they claim to be.
    for domain in ["partner.test", "ext.test"] {
        inside.dns.txt(domain, "v=spf1 ip4:192.0.2.10 -all");
    }
    remote.answer("RCPT TO:<pam@partner.test>", "550 5.7.1 not from you");
    inside.deliver_to(remote.address.port());
    (inside, remote)
}

fn from(inside: &Inside, sender: &str, to: &str, subject: &str) {
    let text = format!("From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\n\r\nbody\r\n");
    let mut smtp = Smtp::open(inside.smtp);
    // From elsewhere: what comes from this machine is not verified.
    smtp.command("XCLIENT ADDR=192.0.2.10 NAME=mx.elsewhere.test HELO=mx.elsewhere.test", 220);
    smtp.command("EHLO mx.elsewhere.test", 250);
    let reply = smtp.send(sender, &[to], text.as_bytes());
    assert_eq!(reply.code, 250, "{reply:?}");
}

fn reports(inside: &Inside, user: &str) -> Vec<String> {
    inside.messages(&format!("{user}@corp.test"), "INBOX", "delivery-status")
}

/// alice forwards to pam and keeps a copy.
#[test]
fn f14_a_failed_forward_of_which_a_copy_is_kept_is_told_to_its_account_once_a_day() {
    let (inside, remote) = world(
        "[[account]]\naddress = \"alice@corp.test\"\nadmin_forward = { targets = [\"pam@partner.test\"], keep = true }\n",
    );
    for (case, days, told) in [("F14", 0, 1), ("F14, the same day", 0, 1), ("F14, a day later", 1, 2)] {
        inside.pass(days * 24 * 3600 + 1);
        let connections = remote.connections();
        from(&inside, "stranger@ext.test", "alice@corp.test", case);
        eventually(case, || inside.queue().is_empty() && remote.connections() >= connections);
        eventually(case, || reports(&inside, "alice").len() == told);
    }
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(reports(&inside, "alice").len(), 2);
    assert!(reports(&inside, "alice").iter().all(|report| report.contains("550 5.7.1 not from you")));
    assert_eq!(remote.heard().len(), 0, "the stranger hears nothing");
}

/// alice forwards to pam and keeps nothing.
#[test]
fn f15_a_failed_forward_of_which_no_copy_is_kept_is_told_to_an_answerable_sender() {
    let forward = "[[account]]\naddress = \"alice@corp.test\"\n\
                   admin_forward = { targets = [\"pam@partner.test\"], keep = false }\n";
    let (inside, remote) = world(forward);
    from(&inside, "pam2@partner.test", "alice@corp.test", "F15");
    eventually("F15: pam2 hears of it", || remote.heard().len() == 1);
    let report = remote.heard().remove(0);
    assert!(report.mail.starts_with("MAIL FROM:<> "), "{report:?}");
    assert!(report.rcpt[0].starts_with("RCPT TO:<pam2@partner.test>"), "{report:?}");
    assert!(report.content.contains("Action: failed"), "{report:?}");
    eventually("F15: nothing waits", || inside.queue().is_empty());
    assert_eq!(reports(&inside, "alice").len(), 0, "F15");
    // Whoever cannot be answered is not; then it is alice's, who else would lose the message.
    inside.dns.remove("ext.test").txt("ext.test", "v=spf1 -all");
    from(&inside, "stranger@ext.test", "alice@corp.test", "F15, nobody to answer");
    eventually("alice hears of it", || reports(&inside, "alice").len() == 1);
    assert_eq!(remote.heard().len(), 1);
}

/// A bounce that the next host makes later, by mail to the reverse-path of the forward.
fn bounce(inside: &Inside, to: &str, subject: &str) -> u16 {
    let mut smtp = Smtp::open(inside.smtp);
    smtp.command("XCLIENT ADDR=192.0.2.10 NAME=mx.elsewhere.test HELO=mx.elsewhere.test", 220);
    smtp.command("EHLO mx.elsewhere.test", 250);
    let text = format!("From: postmaster@elsewhere.test\r\nSubject: {subject}\r\n\r\ndelivery-status\r\n");
    smtp.send("", &[to], text.as_bytes()).code
}

/// The reverse-path under which the host has got a message with that subject.
fn reverse_path(remote: &Remote, subject: &str) -> String {
    eventually(subject, || remote.heard().iter().any(|heard| heard.content.contains(subject)));
    let heard = remote.heard().into_iter().find(|heard| heard.content.contains(subject)).expect("it");
    heard.mail.trim_start_matches("MAIL FROM:<").split('>').next().expect("a path").to_owned()
}

#[test]
fn f14_a_later_bounce_of_a_kept_forward_is_told_to_its_account_once_a_day() {
    let (inside, remote) = world(
        "[[account]]\naddress = \"alice@corp.test\"\nadmin_forward = { targets = [\"pam@partner.test\"], keep = true }\n",
    );
    remote.answer_as_usual();
    from(&inside, "pam2@partner.test", "alice@corp.test", "F14 later");
    let path = reverse_path(&remote, "F14 later");
    for (case, days, told) in [("first", 0, 1), ("second", 0, 1), ("a day later", 1, 2)] {
        inside.pass(days * 24 * 3600 + 1);
        assert_eq!(bounce(&inside, &path, case), 250, "{case}");
        assert_eq!(reports(&inside, "alice").len(), told, "{case}");
    }
    assert!(reports(&inside, "alice").iter().all(|report| report.starts_with("Return-Path: <>")));
    assert_eq!((inside.queue().len(), remote.heard().len()), (0, 1), "the sender hears nothing");
}

#[test]
fn f15_a_later_bounce_goes_to_an_answerable_sender_or_stays_with_the_account() {
    let forward = "[[account]]\naddress = \"alice@corp.test\"\n\
                   admin_forward = { targets = [\"pam@partner.test\"], keep = false }\n";
    let (inside, remote) = world(forward);
    remote.answer_as_usual();
    from(&inside, "pam2@partner.test", "alice@corp.test", "F15 later");
    let path = reverse_path(&remote, "F15 later");
    assert_eq!(bounce(&inside, &path, "to pam2"), 250);
    eventually("pam2 has it", || remote.heard().iter().any(|heard| heard.rcpt[0].contains("<pam2@partner.test>")));
    inside.dns.remove("ext.test").txt("ext.test", "v=spf1 -all");
    from(&inside, "stranger@ext.test", "alice@corp.test", "nobody to answer");
    let path = reverse_path(&remote, "nobody to answer");
    for told in 1..3 {
        assert_eq!(bounce(&inside, &path, "for alice"), 250);
        assert_eq!(reports(&inside, "alice").len(), told, "all of them, and not forwarded");
    }
    assert_eq!((inside.queue().len(), remote.heard().len()), (0, 3));
}

#[test]
fn a_sender_who_wants_to_hear_nothing_hears_nothing_of_a_forward() {
    let forward = "[[account]]\naddress = \"alice@corp.test\"\n\
                   admin_forward = { targets = [\"pam@partner.test\"], keep = false }\n";
    let (inside, remote) = world(forward);
    let mut smtp = Smtp::open(inside.smtp);
    smtp.command("XCLIENT ADDR=192.0.2.10 NAME=mx.elsewhere.test HELO=mx.elsewhere.test", 220);
    smtp.command("EHLO mx.elsewhere.test", 250);
    smtp.command("MAIL FROM:<pam2@partner.test>", 250);
    smtp.command("RCPT TO:<alice@corp.test> NOTIFY=NEVER", 250);
    smtp.command("DATA", 354);
    smtp.command("From: pam2@partner.test\r\nSubject: NEVER\r\n\r\nbody\r\n.", 250);
    eventually("alice hears of it, whose forward it was", || reports(&inside, "alice").len() == 1);
    eventually("nothing waits", || inside.queue().is_empty());
    assert_eq!(remote.heard().len(), 0, "pam2 hears nothing");
}

#[test]
fn a_manager_hears_once_of_a_message() {
    let members: Vec<String> = (0..6).map(|number| format!("\"pam@partner{number}.test\"")).collect();
    let group = format!(
        "[[group]]\naddress = \"g@corp.test\"\npermission = \"anyone\"\nexternal_members = true\n\
         members = [\"bob@corp.test\", {}]\nmanagers = [\"mia@corp.test\"]\n",
        members.join(", ")
    );
    let (inside, remote) = world(&group);
    for number in 0..6 {
        inside.dns.mx(&format!("partner{number}.test"), 10, "mx.partner.test");
    }
    remote.answer("RCPT", "550 5.7.1 not from you");
    for (told, subject) in [(1, "one"), (2, "two")] {
        from(&inside, "stranger@ext.test", "g@corp.test", subject);
        eventually("nothing waits", || inside.queue().is_empty());
        eventually("mia hears of it", || reports(&inside, "mia").len() == told);
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    let reports = reports(&inside, "mia");
    assert_eq!(reports.len(), 2, "once of each message");
    assert!(reports.iter().all(|report| report.contains("You are told of this message once")), "{reports:?}");
}

#[test]
fn e24_a_member_elsewhere_that_refuses_is_told_to_the_managers() {
    let group = "[[group]]\naddress = \"g@corp.test\"\npermission = \"anyone\"\nexternal_members = true\n\
                 members = [\"bob@corp.test\", \"pam@partner.test\"]\nmanagers = [\"mia@corp.test\"]\n";
    let (inside, remote) = world(group);
    from(&inside, "stranger@ext.test", "g@corp.test", "E24");
    eventually("E24: mia hears of it", || reports(&inside, "mia").len() == 1);
    eventually("E24: nothing waits", || inside.queue().is_empty());
    assert!(reports(&inside, "mia")[0].contains("pam@partner.test"), "E24");
    assert_eq!(inside.messages("bob@corp.test", "INBOX", "E24").len(), 1);
    assert_eq!((remote.heard().len(), reports(&inside, "bob").len()), (0, 0), "E24: nobody else hears of it");
}
