//! DNS block lists (RFC 5782) over SMTP: what is refused, what is junk, and that a list which does not answer, or answers
//! wrongly, refuses nobody.

use std::time::{Duration, Instant};

use super::super::dns::DnsServer;
use super::super::smtp::{Smtp, dot_stuffed};
use super::super::wire::Wire;
use super::acme::Acme;
use super::replies::{MAIL_OK, OK};
use super::row::{deliveries, say, text};

/// Action of each list, and what else its table says.
const LISTS: &[(&str, &str)] = &[
    ("refuse.test", "action = \"refuse\""),
    ("some.test", "action = \"refuse\"\ncodes = [\"127.0.0.4-127.0.0.7\"]"),
    ("junk.test", "action = \"junk\""),
    ("mark.test", "action = \"mark\""),
    // Both lose what they are asked about some clients.
    ("broken.test", "action = \"refuse\""),
    ("silent.test", "action = \"refuse\"\ntimeout = \"200 ms\""),
    // These fail their test.
    ("all.test", "action = \"refuse\""),
    ("nothing.test", "action = \"refuse\""),
    ("errors.test", "action = \"refuse\""),
    ("bought.test", "action = \"refuse\""),
];

fn start() -> Acme {
    let dns = DnsServer::start();
    for (zone, _) in LISTS {
        match *zone {
            "nothing.test" => {}
            "errors.test" | "bought.test" => {
                let answer = if *zone == "errors.test" { "127.255.255.254" } else { "203.0.113.80" };
                dns.address_of(&format!("2.0.0.127.{zone}"), answer).address_of(&format!("1.0.0.127.{zone}"), answer);
            }
            _ => drop(dns.address_of(&format!("2.0.0.127.{zone}"), "127.0.0.2")),
        }
    }
    dns.address_of("1.0.0.127.all.test", "127.0.0.2");
    let tables = LISTS.iter().map(|(zone, more)| format!("[[blocklist]]\nzone = \"{zone}\"\n{more}\n\n"));
    Acme::over(dns, &tables.collect::<String>())
}

/// 198.51.100.9 at a list.
fn at(zone: &str, last: u8) -> String {
    format!("{last}.100.51.198.{zone}")
}

fn client(last: u8) -> String {
    format!("198.51.100.{last}")
}

/// RCPT for alice in a transaction of its own.
fn rcpt(smtp: &mut Smtp) -> String {
    assert_eq!(say(smtp, "MAIL FROM:<stranger@ext.test>"), MAIL_OK);
    say(smtp, "RCPT TO:<alice@corp.test>")
}

/// A message in the transaction that is open: its id.
fn data(smtp: &mut Smtp, from: &str) -> String {
    smtp.command("DATA", 354);
    let message = format!("From: {from}\r\nTo: alice@corp.test\r\nSubject: list\r\n\r\nHello.\r\n");
    smtp.wire.send(&dot_stuffed(message.as_bytes()));
    let reply = text(smtp);
    reply.strip_prefix("250 2.0.0 Accepted ").unwrap_or_else(|| panic!("{reply}")).to_owned()
}

/// The header of alice's newest message in a folder.
fn newest(acme: &mut Acme, folder: &str) -> String {
    let found = acme.find("alice", folder, "Subject: list");
    let uid = *found.last().expect("a message");
    acme.fetch("alice", uid)
}

#[test]
fn a_refused_client_reaches_postmaster_alone() {
    let acme = start();
    acme.dns.address_of(&at("refuse.test", 1), "127.0.0.2").txt(&at("refuse.test", 1), "see https://refuse.test/\u{1}");
    let refused = "554 5.7.1 Service unavailable; client [198.51.100.1] blocked using refuse.test; see \
                   https://refuse.test/?";
    let mut smtp = acme.host(&client(1));
    assert_eq!(rcpt(&mut smtp), refused);
    assert_eq!(say(&mut smtp, "RCPT TO:<nobody@corp.test>"), refused, "and learns no names");
    assert_eq!(say(&mut smtp, "RCPT TO:<pam@partner.test>"), "550 5.7.1 Relaying denied");
    for postmaster in ["Postmaster", "postmaster@corp.test", "POSTMASTER@branch.test"] {
        assert_eq!(say(&mut smtp, &format!("RCPT TO:<{postmaster}>")), OK, "{postmaster}");
    }
    let id = data(&mut smtp, "stranger@ext.test");
    assert_eq!(deliveries(&acme, &id), ["admin"]);
    let listed = &acme.get(&format!("/trace/{id}"))["record"]["blocklists"];
    assert_eq!(listed[0]["zone"], "refuse.test", "{listed}");
    assert_eq!(listed[0]["answer"]["listed"][0], "127.0.0.2", "{listed}");
    // The refusal is traced with the answers as well.
    let deadline = Instant::now() + Duration::from_secs(30);
    let told = || acme.get("/trace?recipient=alice@corp.test").to_string();
    while !(told().contains("\"result\":\"refused\"") && told().contains("\"zone\":\"refuse.test\"")) {
        assert!(Instant::now() < deadline, "{}", told());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn listed_mail_is_junk_or_marked() {
    let mut acme = start();
    acme.dns.address_of(&at("junk.test", 2), "127.0.0.3").address_of(&at("mark.test", 3), "127.0.0.9");
    let mut smtp = acme.host(&client(2));
    assert_eq!(rcpt(&mut smtp), OK);
    assert_eq!(deliveries(&acme, &data(&mut smtp, "stranger@ext.test")), ["alice:Junk"]);
    let field = "X-Blocklist: junk.test;\r\n\tclient=198.51.100.2;\r\n\tcodes=127.0.0.3\r\n";
    let message = newest(&mut acme, "Junk");
    assert!(message.contains(field), "{message}");

    let mut smtp = acme.host(&client(3));
    assert_eq!(rcpt(&mut smtp), OK);
    let id = data(&mut smtp, "stranger@ext.test");
    assert_eq!(deliveries(&acme, &id), ["alice"]);
    assert!(newest(&mut acme, "INBOX").contains("X-Blocklist: mark.test;"), "marked");

    // Whom alice allows and SPF proves is no junk, whoever claims to be it is.
    acme.apply("[[account]]\naddress = \"alice@corp.test\"\nallowed = [\"pam@partner.test\"]\n");
    for (last, spf, want) in [(2, "v=spf1 ip4:198.51.100.2 -all", "alice"), (2, "v=spf1 -all", "alice:Junk")] {
        acme.publish("partner.test", Some(spf));
        let mut smtp = acme.host(&client(last));
        assert_eq!(say(&mut smtp, "MAIL FROM:<pam@partner.test>"), MAIL_OK);
        assert_eq!(say(&mut smtp, "RCPT TO:<alice@corp.test>"), OK);
        assert_eq!(deliveries(&acme, &data(&mut smtp, "pam@partner.test")), [want], "{spf}");
    }
}

#[test]
fn what_is_not_known_refuses_nobody() {
    let mut acme = start();
    let lists = [at("refuse.test", 10), at("refuse.test", 11), at("refuse.test", 12), at("some.test", 13)];
    acme.dns.address_of(&lists[1], "127.255.255.254").address_of(&lists[1], "127.0.0.2");
    acme.dns.address_of(&lists[2], "203.0.113.7").address_of(&lists[3], "127.0.0.2");
    acme.dns.servfail(&at("broken.test", 14)).silence(&at("silent.test", 15));
    for last in [16, 17, 18, 19] {
        for zone in ["all.test", "nothing.test", "errors.test", "bought.test"] {
            acme.dns.address_of(&at(zone, last), "127.0.0.2");
        }
    }
    for (last, zone, answer) in [
        (10, "refuse.test", "\"not-listed\""),
        (11, "refuse.test", "{\"unknown\":\"error\"}"),
        (12, "refuse.test", "{\"unknown\":\"strange\"}"),
        (13, "some.test", "\"not-listed\""),
        (14, "broken.test", "{\"unknown\":\"no-answer\"}"),
        (15, "silent.test", "{\"unknown\":\"no-answer\"}"),
        (16, "all.test", "{\"unknown\":\"off\"}"),
        (17, "nothing.test", "{\"unknown\":\"off\"}"),
        (18, "errors.test", "{\"unknown\":\"off\"}"),
        (19, "bought.test", "{\"unknown\":\"off\"}"),
    ] {
        let mut smtp = acme.host(&client(last));
        assert_eq!(rcpt(&mut smtp), OK, "{zone}");
        let id = data(&mut smtp, "stranger@ext.test");
        assert_eq!(deliveries(&acme, &id), ["alice"], "{zone}");
        let trace = acme.get(&format!("/trace/{id}"));
        let lists = trace["record"]["blocklists"].as_array().expect("a list");
        let said = lists.iter().find(|list| list["zone"] == zone).expect("asked");
        assert_eq!(said["answer"].to_string(), answer, "{zone} of {last}");
    }
    assert!(!newest(&mut acme, "INBOX").contains("X-Blocklist"));
}

#[test]
fn clients_are_asked_about_once_and_those_we_know_never() {
    let acme = start();
    let v6 = "f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.refuse.test";
    acme.dns.address_of(v6, "127.0.0.2").address_of(&at("refuse.test", 20), "127.0.0.2");
    acme.dns.address_of("1.0.0.127.refuse.test", "127.0.0.2").address_of("1.1.168.192.refuse.test", "127.0.0.2");
    let refused = |client: &str| format!("554 5.7.1 Service unavailable; client [{client}] blocked using refuse.test");
    let mut smtp = Smtp { wire: Wire::connect(acme.server.address("smtp")) };
    smtp.wire.send(b"PROXY TCP6 2001:db8::ff 2001:db8::1 40000 25\r\n");
    smtp.expect(220);
    smtp.command("EHLO mail.client.test", 250);
    assert_eq!(rcpt(&mut smtp), refused("IPv6:2001:db8::ff"));

    // Without a reverse-path SPF asks nothing: what is asked is asked of lists.
    let bounce = |smtp: &mut Smtp| {
        let before = acme.dns.questions();
        assert_eq!(say(smtp, "MAIL FROM:<>"), MAIL_OK);
        let reply = say(smtp, "RCPT TO:<alice@corp.test>");
        smtp.command("RSET", 250);
        (reply, acme.dns.questions() - before)
    };
    let listed = client(20);
    let mut smtp = acme.host(&listed);
    // Six lists are on, and the one that refuses is asked why.
    assert_eq!(bounce(&mut smtp), (refused(&listed), 7));
    assert_eq!(bounce(&mut smtp), (refused(&listed), 0), "in the same session");
    assert_eq!(bounce(&mut acme.host(&listed)), (refused(&listed), 0), "and in another");

    for known in ["127.0.0.1", "192.168.1.1"] {
        assert_eq!(bounce(&mut acme.host(known)), (OK.to_owned(), 0), "{known}");
    }
    let relay = |kind: &str| format!("[[relay]]\nnetwork = \"{listed}\"\nkind = \"{kind}\"\n");
    acme.apply(&relay("trusted-relay"));
    assert_eq!(bounce(&mut acme.host(&listed)), (OK.to_owned(), 0), "a relay");
    acme.apply(&relay("gateway"));
    acme.dns.address_of(&at("refuse.test", 21), "127.0.0.2");
    let mut gateway = acme.host(&listed);
    assert_eq!(bounce(&mut gateway), (OK.to_owned(), 0), "a gateway");
    hand_over(&mut gateway, &client(21));
    assert_eq!(bounce(&mut gateway), (refused(&client(21)), 7), "but its client is");
    hand_over(&mut gateway, &client(22));
    assert_eq!(bounce(&mut gateway), (OK.to_owned(), 6), "and the next");
    let mut login = acme.login("bob");
    assert_eq!(say(&mut login, "MAIL FROM:<bob@corp.test>"), MAIL_OK);
    let asked = acme.dns.questions();
    assert_eq!(say(&mut login, "RCPT TO:<alice@corp.test>"), OK);
    assert_eq!(acme.dns.questions(), asked, "a login");
}

fn hand_over(smtp: &mut Smtp, client: &str) {
    smtp.command(&format!("XCLIENT ADDR={client}"), 220);
    smtp.command("EHLO mail.client.test", 250);
}

#[test]
fn a_list_that_fails_its_test_is_off_until_it_passes() {
    let acme = start();
    acme.dns.address_of(&at("all.test", 30), "127.0.0.2").address_of(&at("all.test", 31), "127.0.0.2");
    assert_eq!(rcpt(&mut acme.host(&client(30))), OK);
    let listed = acme.server.cli(&["blocklist", "list"], "");
    let states: Vec<Vec<&str>> = listed.lines().map(|line| line.split('\t').collect()).collect();
    let short: Vec<_> = states.iter().map(|state| (state[0], state[1], state[2], state[4])).collect();
    assert_eq!(
        short,
        [
            ("refuse.test", "refuse", "on", "passed"),
            ("some.test", "refuse", "on", "passed"),
            ("junk.test", "junk", "on", "passed"),
            ("mark.test", "mark", "on", "passed"),
            ("broken.test", "refuse", "on", "passed"),
            ("silent.test", "refuse", "on", "passed"),
            ("all.test", "refuse", "off", "lists-everything"),
            ("nothing.test", "refuse", "off", "lists-nothing"),
            ("errors.test", "refuse", "off", "answers-errors"),
            ("bought.test", "refuse", "off", "answers-strangely"),
        ]
    );
    assert!(acme.server.log().contains("block list has failed its test"), "{}", acme.server.log());
    acme.dns.remove("1.0.0.127.all.test").servfail("2.0.0.127.refuse.test");
    let tested = acme.server.cli(&["blocklist", "test", "--json"], "");
    let tested: serde_json::Value = serde_json::from_str(&tested).expect("JSON");
    assert_eq!((&tested[6]["standing"], &tested[6]["test"]), (&"on".into(), &"passed".into()), "{tested}");
    // What shows nothing changes nothing.
    assert_eq!((&tested[0]["standing"], &tested[0]["test"]), (&"on".into(), &"no-answer".into()), "{tested}");
    for last in [30, 31] {
        let reply = rcpt(&mut acme.host(&client(last)));
        assert!(reply.ends_with("blocked using all.test"), "{reply}");
    }
}
