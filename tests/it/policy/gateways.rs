//! P18 and policy semantics §3.2: filters in front of this server speak for the hosts that they hand over, by XCLIENT or
//! by the Received field that they write, and nobody else does.

use super::super::smtp::{Smtp, dot_stuffed};
use super::acme::{Acme, CLIENT};
use super::replies::{GROUP_DENIED, GROUP_UNVERIFIED, MAIL_OK, OK, RELAY_DENIED};
use super::row::say;

/// Where the gateway is. SPF of corp.test passes for it in every test, since it sends our mail, too.
const GATEWAY: &str = "192.0.2.7";

/// Another gateway, of which the list does not say that it writes Received fields.
const SILENT: &str = "192.0.2.8";

/// An outsider for whom SPF of corp.test does not pass.
const OUTSIDER: &str = "203.0.113.66";

const UNKNOWN_COMMAND: &str = "500 5.5.2 Command not recognized";

fn start() -> Acme {
    let acme = Acme::start();
    acme.apply(&format!(
        "[[relay]]\nnetwork = \"{GATEWAY}\"\nkind = \"gateway\"\nreceived_by = \"gw.corp.test\"\n[[relay]]\nnetwork = \
         \"{SILENT}\"\nkind = \"gateway\"\n"
    ));
    publish(&acme);
    acme
}

/// SPF of corp.test passes for both gateways and for the host at [`CLIENT`], and for whoever calls itself `good.test`
/// at 198.51.100.1.
fn publish(acme: &Acme) {
    acme.dns.remove("corp.test");
    let record = format!("v=spf1 ip4:{GATEWAY} ip4:{SILENT} ip4:{CLIENT} exists:%{{i}}.%{{h}}.spf.corp.test -all");
    acme.dns.txt("corp.test", &record);
    acme.dns.remove("198.51.100.1.good.test.spf.corp.test");
    acme.dns.address_of("198.51.100.1.good.test.spf.corp.test", "127.0.0.2");
}

/// A message of alice's to g-dom, with this in front of it.
fn message(fields: &str) -> Vec<u8> {
    let rest = "From: alice@corp.test\r\nTo: g-dom@corp.test\r\nSubject: P18\r\n\r\nHello.\r\n";
    dot_stuffed(format!("{fields}{rest}").as_bytes())
}

/// What g-dom's door says at the end of data to `alice@corp.test`.
fn end_of_data(smtp: &mut Smtp, fields: &str) -> String {
    assert_eq!(say(smtp, "MAIL FROM:<alice@corp.test>"), MAIL_OK);
    assert_eq!(say(smtp, "RCPT TO:<g-dom@corp.test>"), OK);
    smtp.command("DATA", 354);
    smtp.wire.send(&message(fields));
    let reply = smtp.reply();
    format!("{} {}", reply.code, reply.lines.join(" | "))
}

/// A gateway's session that has said XCLIENT and EHLO.
fn handed_over(acme: &Acme, attributes: &str) -> Smtp {
    let mut smtp = acme.host(GATEWAY);
    assert_eq!(say(&mut smtp, &format!("XCLIENT {attributes}")), "220 mail.example.test ESMTP Posthouse");
    smtp.command("EHLO gw.corp.test", 250);
    smtp
}

fn received(client: &str, by: &str) -> String {
    format!(
        "Received: from host.test (unknown [{client}])\r\n\tby {by} (Postfix) with ESMTP id 4F2\r\n\tfor \
         <g-dom@corp.test>; Sun, 22 Nov 2026 10:00:00 +0000\r\n"
    )
}

#[track_caller]
fn is_delivered(reply: &str, case: &str) {
    assert!(reply.starts_with("250 2.0.0 Accepted "), "{case}: {reply}");
}

#[test]
fn spf_is_asked_about_the_client_that_xclient_hands_over() {
    let acme = start();
    let outside = format!("ADDR={OUTSIDER} NAME=[UNAVAILABLE] HELO=mail.evil.test PROTO=ESMTP");
    assert_eq!(end_of_data(&mut handed_over(&acme, &outside), ""), GROUP_UNVERIFIED, "P18");
    is_delivered(&end_of_data(&mut handed_over(&acme, &format!("ADDR={CLIENT}")), ""), "of a permitted host");
    // The identity of HELO comes from XCLIENT, not from what the gateway says of itself.
    let good = "ADDR=198.51.100.1 HELO=good.test";
    is_delivered(&end_of_data(&mut handed_over(&acme, good), ""), "of a permitted name");
    let bad = "ADDR=198.51.100.1 HELO=other.test";
    assert_eq!(end_of_data(&mut handed_over(&acme, bad), ""), GROUP_UNVERIFIED, "of another name");
    // Each XCLIENT is a new client, and nothing of the one before stays.
    let mut twice = handed_over(&acme, &format!("ADDR={CLIENT}"));
    is_delivered(&end_of_data(&mut twice, ""), "first");
    assert!(say(&mut twice, "XCLIENT HELO=other.test").starts_with("220 "));
    twice.command("EHLO gw.corp.test", 250);
    assert_eq!(end_of_data(&mut twice, &received(CLIENT, "gw.corp.test")), GROUP_UNVERIFIED, "second");
}

#[test]
fn what_is_handed_over_grants_nothing() {
    let acme = start();
    acme.apply("[[relay]]\nnetwork = \"192.0.2.9\"\nkind = \"trusted-relay\"\n");
    // A listed host, the gateway itself and a program of this host are nobody's clients.
    for client in ["192.0.2.9", GATEWAY, SILENT, "127.0.0.1", "IPV6:::1", "IPV6:::ffff:127.0.0.1", "0.0.0.0"] {
        let mut smtp = handed_over(&acme, &format!("ADDR={client}"));
        assert_eq!(end_of_data(&mut smtp, ""), GROUP_UNVERIFIED, "{client}");
        assert_eq!(say(&mut smtp, "MAIL FROM:<alice@corp.test>"), MAIL_OK);
        assert_eq!(say(&mut smtp, "RCPT TO:<pam@partner.test>"), RELAY_DENIED, "{client}");
        assert!(say(&mut smtp, &format!("XCLIENT ADDR={CLIENT}")).starts_with("503 "), "in a transaction");
    }
    assert_eq!(end_of_data(&mut handed_over(&acme, "ADDR=[UNAVAILABLE]"), ""), GROUP_UNVERIFIED);
    // Who is refused even if true is refused at once.
    let mut smtp = handed_over(&acme, &format!("ADDR={CLIENT}"));
    say(&mut smtp, "MAIL FROM:<x@evil.test>");
    assert_eq!(say(&mut smtp, "RCPT TO:<g-dom@corp.test>"), GROUP_DENIED);
    for odd in ["", "ADDR", "ADDR=2001:db8::1", "ADDR=192.0.2.10 ADDR=192.0.2.11", "HELO=a+0D+0Ab", "LOGIN=alice"] {
        let mut smtp = acme.host(GATEWAY);
        let reply = say(&mut smtp, &format!("XCLIENT {odd}"));
        assert!(reply.starts_with("501 5.5.4 ") || reply.starts_with("555 5.5.4 "), "{odd}: {reply}");
        // And nobody has been handed over: the gateway's own field speaks.
        is_delivered(&end_of_data(&mut smtp, &received(CLIENT, "gw.corp.test")), odd);
    }
}

#[test]
fn xclient_is_for_listed_gateways() {
    let acme = start();
    acme.apply("[[relay]]\nnetwork = \"192.0.2.9\"\nkind = \"trusted-relay\"\n");
    let offers = |address: &str| {
        let mut smtp = acme.host(address);
        smtp.command("EHLO a.test", 250).lines.iter().any(|line| line.starts_with("XCLIENT "))
    };
    assert!(offers(GATEWAY) && offers(SILENT));
    for stranger in [OUTSIDER, CLIENT, "192.0.2.9"] {
        assert!(!offers(stranger), "{stranger}");
        let mut smtp = acme.host(stranger);
        let nonsense = say(&mut smtp, &format!("XCLIENTS ADDR={CLIENT}"));
        for argument in [format!("ADDR={CLIENT}"), String::new(), "\u{1}".to_owned(), "LOGIN=alice".to_owned()] {
            let reply = say(&mut smtp, &format!("XCLIENT {argument}"));
            assert_eq!((reply.as_str(), nonsense.as_str()), (UNKNOWN_COMMAND, UNKNOWN_COMMAND), "{stranger}");
        }
    }
    let mut stranger = acme.host(OUTSIDER);
    say(&mut stranger, &format!("XCLIENT ADDR={CLIENT}"));
    assert_eq!(end_of_data(&mut stranger, &received(CLIENT, "gw.corp.test")), GROUP_UNVERIFIED);
    // Users are not handed over.
    let mut user = acme.login("alice");
    assert_eq!(say(&mut user, &format!("XCLIENT ADDR={CLIENT}")), UNKNOWN_COMMAND);
    // A gateway that is taken off the list is a stranger to the next command.
    let mut gateway = acme.host(GATEWAY);
    assert_eq!(acme.api("DELETE", &format!("/relays/{GATEWAY}%2F32"), "").0, 204);
    assert_eq!(say(&mut gateway, &format!("XCLIENT ADDR={CLIENT}")), UNKNOWN_COMMAND);
}

#[test]
fn spf_is_asked_about_the_client_that_the_gateways_field_names() {
    let acme = start();
    let end = |address: &str, fields: &str| end_of_data(&mut acme.host(address), fields);
    let own = received(OUTSIDER, "gw.corp.test");
    assert_eq!(end(GATEWAY, &own), GROUP_UNVERIFIED, "P18");
    is_delivered(&end(GATEWAY, &received(CLIENT, "gw.corp.test")), "of a permitted host");
    is_delivered(&end(GATEWAY, &received(CLIENT, &format!("[{GATEWAY}]"))), "by its address");
    let behind_others = format!("X-Spam: no\r\n{}", received(CLIENT, "gw.corp.test"));
    is_delivered(&end(GATEWAY, &behind_others), "topmost of its kind");
    let named = received("198.51.100.1", "gw.corp.test").replace("host.test", "good.test");
    is_delivered(&end(GATEWAY, &named), "of a permitted name");
    // SPF passes for the gateways themselves, which is nobody's merit.
    for (case, address, fields) in [
        ("no field", GATEWAY, String::new()),
        ("no field of its own", SILENT, String::new()),
        ("a gateway that writes none", SILENT, received(CLIENT, &format!("[{SILENT}]"))),
        ("the name of another gateway", SILENT, received(CLIENT, "gw.corp.test")),
        // What the outsider has written below the gateway's own.
        ("forged below", GATEWAY, format!("{own}{}", received(CLIENT, "gw.corp.test"))),
        ("forged by its address", GATEWAY, format!("{own}{}", received(CLIENT, &format!("[{GATEWAY}]")))),
        ("somebody else's", GATEWAY, received(CLIENT, "gw.evil.test")),
        ("a second hop in HELO", GATEWAY, own.replace("host.test", &format!("a ([{CLIENT}]) by gw.corp.test"))),
        ("an address in HELO", GATEWAY, own.replace("host.test", &format!("[{CLIENT}]"))),
        ("no date", GATEWAY, received(CLIENT, "gw.corp.test").replace("; Sun, 22 Nov 2026 10:00:00 +0000", "")),
        ("from itself", GATEWAY, received(GATEWAY, "gw.corp.test")),
        ("from a program of its own", GATEWAY, received("127.0.0.1", "gw.corp.test")),
    ] {
        assert_eq!(end(address, &fields), GROUP_UNVERIFIED, "{case}");
    }
    // From must agree, as with every pass.
    let mut smtp = acme.host(GATEWAY);
    assert_eq!(say(&mut smtp, "MAIL FROM:<alice@corp.test>"), MAIL_OK);
    assert_eq!(say(&mut smtp, "RCPT TO:<g-dom@corp.test>"), OK);
    smtp.command("DATA", 354);
    let other = String::from_utf8(message(&received(CLIENT, "gw.corp.test"))).expect("text");
    smtp.wire.send(other.replace("From: alice@corp.test", "From: bob@ext.test").as_bytes());
    assert_eq!(smtp.reply().code, 550);
    // The DNS that does not answer defers, as at RCPT.
    acme.dns.servfail("corp.test");
    let deferred = end(GATEWAY, &received(CLIENT, "gw.corp.test"));
    assert!(deferred.starts_with("451 4.7.24 "), "{deferred}");
}

#[test]
fn trace_names_the_client_and_not_the_gateway() {
    let mut acme = start();
    let reply = end_of_data(&mut handed_over(&acme, &format!("ADDR={CLIENT} HELO=host.test")), "");
    let id = reply.trim_start_matches("250 2.0.0 Accepted ").to_owned();
    let uid = acme.find("alice", "INBOX", "P18")[0];
    let message = acme.fetch("alice", uid);
    assert!(message.contains(&format!("Received: from host.test ([{CLIENT}])\r\n")), "{message}");
    let trace = acme.get(&format!("/trace/{id}"));
    assert!(trace.to_string().contains(CLIENT) && !trace.to_string().contains(GATEWAY), "{trace}");
}
