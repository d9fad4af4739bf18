//! Webhooks: what is told of mail, to receivers of a test's own that take it, or do not.

mod killed;
mod receiver;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Value, json};

use super::outbound::eventually;
use super::outbound::remote::Remote;
use super::policy::auth_plain;
use super::server::{PASSWORD, Server};
use super::smtp::Smtp;
use crate::dns::DnsServer;
use receiver::{Manner, Receiver, SECRET, Told};

const ACME: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/acme.toml");
const ALL: &[&str] = &["accepted", "delivered", "refused", "held", "released", "relayed", "deferred", "bounced"];

/// A `[[webhook]]`.
fn table(name: &str, url: &str, events: &[&str], more: &str) -> String {
    format!("[[webhook]]\nname = \"{name}\"\nurl = \"{url}\"\nsecret_file = \"secret\"\nevents = {events:?}\n{more}\n")
}

/// A server with this in its configuration, and with its secrets.
fn prepared(extra: &str) -> Server {
    let server = Server::prepared(extra);
    fs::write(server.path().join("secret"), format!("{SECRET}\n")).expect("write");
    server
}

fn with_alice(extra: &str) -> Server {
    let mut server = prepared(extra);
    server.run();
    server.cli(&["domain", "add", "example.test"], "");
    server.add_account("alice");
    server
}

fn letter(subject: &str) -> Vec<u8> {
    letter_of("pam@partner.test", subject)
}

fn letter_of(author: &str, subject: &str) -> Vec<u8> {
    format!("From: {author}\r\nSubject: SECRET {subject}\r\nMessage-ID: <{subject}@partner.test>\r\n\r\nSECRET\r\n")
        .into_bytes()
}

/// Sends a message to alice.
fn send(server: &Server, subject: &str) {
    let reply = server.smtp().send("pam@partner.test", &["alice@example.test"], &letter(subject));
    assert_eq!(reply.code, 250, "{reply:?}");
}

fn login(server: &Server, who: &str) -> Smtp {
    let mut smtp = Smtp::open(server.address("submission"));
    smtp.command(&auth_plain(who, PASSWORD), 235);
    smtp
}

fn list(server: &Server) -> Value {
    serde_json::from_str(&server.cli(&["webhook", "list", "--json"], "")).expect("JSON")
}

/// What was taken of each message, in order.
fn by_message(taken: &[Told]) -> BTreeMap<String, Vec<String>> {
    let mut messages: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for told in taken {
        messages.entry(told.message.clone()).or_default().push(told.event.clone());
    }
    messages
}

#[test]
fn every_kind_of_event_is_told_with_what_is_known_of_it() {
    let (dns, remote, receiver) = (DnsServer::start(), Remote::start(), Receiver::start());
    dns.mx("partner.test", 10, "mx.partner.test").address_of("mx.partner.test", "127.0.0.2");
    remote.answer("RCPT TO:<gone@partner.test>", "550 5.1.1 nobody of that name");
    remote.answer("RCPT TO:<busy@partner.test>", "450 4.2.1 come back");
    let outbound = format!("[outbound]\nport = {}\nallow_loopback = true\n{}", remote.address.port(), dns.config());
    let mut server = prepared(&format!("{}\n{outbound}", table("crm", &receiver.url(), ALL, "")));
    server.run();
    server.cli(&["apply", ACME], "");

    let to_group = server.smtp().send("pam@partner.test", &["g-any@corp.test"], &letter("group"));
    assert_eq!(to_group.code, 250, "{to_group:?}");
    let mut smtp = server.smtp();
    smtp.command("MAIL FROM:<pam@partner.test>", 250);
    smtp.command("RCPT TO:<nobody@corp.test>", 550);
    for answer in ["accept", "refuse"] {
        let reply = server.smtp().send("stranger@ext.test", &["g-mod@corp.test"], &letter(answer));
        assert_eq!(reply.code, 250, "{reply:?}");
        let line = server.cli(&["hold", "list"], "");
        server.cli(&["hold", answer, line.split('\t').next().expect("an id")], "");
    }
    let outside = ["pam@partner.test", "gone@partner.test", "busy@partner.test"];
    let reply =
        login(&server, "alice@corp.test").send("alice@corp.test", &outside, &letter_of("alice@corp.test", "outside"));
    assert_eq!(reply.code, 250, "{reply:?}");

    let wanted = [
        ("accepted", "group", json!([{ "address": "g-any@corp.test" }])),
        ("refused", "", json!([{ "address": "nobody@corp.test" }])),
        ("held", "accept", json!([{ "address": "g-mod@corp.test" }])),
        ("released", "accept", Value::Null),
        ("refused", "refuse", Value::Null),
        ("relayed", "outside", json!(["pam@partner.test"])),
        ("bounced", "outside", json!(["gone@partner.test"])),
        ("deferred", "outside", json!(["busy@partner.test"])),
    ];
    let found = |event: &str, subject: &str| {
        let id = format!("{subject}@partner.test");
        let fits = |told: &Told| {
            told.event == event && told.body["message"]["message_id"].as_str().unwrap_or("@partner.test") == id
        };
        receiver.taken().into_iter().find(fits)
    };
    for (event, subject, recipients) in wanted {
        eventually(&format!("{event} of {subject:?}"), || found(event, subject).is_some());
        let body = found(event, subject).expect("found").body;
        let addresses = |list: &Value| -> Value {
            list.as_array().map(|all| all.iter().map(|one| one["address"].clone()).collect()).unwrap_or_default()
        };
        let given = if recipients[0].is_string() { addresses(&body["recipients"]) } else { body["recipients"].clone() };
        assert_eq!(given, recipients, "{event}: {body}");
        assert!(body["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{body}");
        assert!(body["message"]["reverse_path"].is_string(), "{body}");
    }
    let delivered = found("delivered", "group").expect("before the others").body;
    assert!(
        delivered["recipients"].as_array().expect("a list").contains(&json!({
            "address": "alice@corp.test", "group": "g-any@corp.test"
        })),
        "{delivered}"
    );
    let refused = found("refused", "").expect("found").body;
    assert_eq!((&refused["at"], refused["reply"].as_str().map(|r| &r[..9])), (&json!("RCPT"), Some("550 5.1.1")));
    let bounced = found("bounced", "outside").expect("found").body;
    assert_eq!(
        (&bounced["recipients"][0]["status"], bounced["recipients"].as_array().map(Vec::len)),
        (&json!("5.1.1"), Some(1))
    );
    assert!(
        bounced["recipients"][0]["host"].as_str().is_some_and(|host| host.contains("mx.partner.test")),
        "{bounced}"
    );
    let deferred = found("deferred", "outside").expect("found").body;
    assert!(deferred["recipients"][0]["next_attempt"].is_string(), "{deferred}");
    // Of one message in order: what follows from what.
    let order = by_message(&receiver.taken());
    let place = |told: Told, event: &str| order[&told.message].iter().position(|e| e == event).expect("there");
    for (subject, first, second) in [
        ("group", "accepted", "delivered"),
        ("accept", "held", "released"),
        ("accept", "held", "delivered"),
        ("refuse", "held", "refused"),
        ("outside", "accepted", "relayed"),
    ] {
        let told = found(first, subject).expect("told");
        assert!(place(told.clone(), first) <= place(told, second), "{subject}: {order:?}");
    }
    receiver.assert_no_fault();
    eventually("nothing waits", || list(&server)[0]["waiting"] == 0);
    server.assert_no_panic();
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_receiver_that_misbehaves_gets_everything_in_order_in_the_end() {
    let (receiver, elsewhere) = (Receiver::start(), Receiver::start());
    let server = with_alice(&table("crm", &receiver.url(), &["accepted", "delivered"], "timeout = \"300 ms\""));
    let manners = [
        Manner::Silent,
        Manner::Closes,
        Manner::Garbage,
        Manner::Says("HTTP/1.1 500 Oh"),
        Manner::Half,
        Manner::Redirect(elsewhere.url()),
        Manner::Says("HTTP/1.1 404 Where"),
        Manner::TakesAndCloses,
        Manner::Endless,
        Manner::Says("HTTP/1.1 204 Fine"),
    ];
    let count = manners.len();
    receiver.then(manners);
    for number in 0..6 {
        send(&server, &format!("number{number}"));
    }
    eventually("everything is taken", || receiver.left() == 0 && receiver.taken().len() == 12);
    let told = receiver.told();
    assert!(told.len() >= count, "{}", told.len());
    for (message, events) in by_message(&receiver.taken()) {
        assert_eq!(events, ["accepted", "delivered"], "{message}");
    }
    // What was taken, as far as the receiver could say so, is not told again.
    let mut answered: BTreeMap<&str, usize> = BTreeMap::new();
    told.iter().filter(|told| told.is_taken).for_each(|told| *answered.entry(&told.id).or_default() += 1);
    assert!(answered.values().filter(|times| **times > 1).count() <= 1, "{answered:?}");
    assert!(elsewhere.told().is_empty(), "a redirect is not followed");
    receiver.assert_no_fault();
    eventually("nothing waits", || list(&server)[0]["waiting"] == 0);
    eventually("the last failure is known", || list(&server)[0]["failure"].is_string());
    server.assert_no_panic();
}

#[test]
fn what_is_gone_is_not_told_again() {
    let receiver = Receiver::start();
    let server = with_alice(&table("crm", &receiver.url(), &["accepted", "delivered"], ""));
    receiver.then([Manner::Says("HTTP/1.1 410 Gone")]);
    send(&server, "one");
    eventually("the next is taken", || receiver.taken().len() == 1);
    eventually("nothing waits", || list(&server)[0]["waiting"] == 0);
    let events: Vec<(String, bool)> = receiver.told().into_iter().map(|told| (told.event, told.is_taken)).collect();
    assert_eq!(events, [("accepted".to_owned(), false), ("delivered".to_owned(), true)]);
}

#[test]
fn a_webhook_that_is_down_keeps_no_other_waiting_and_gets_all_once_it_is_back() {
    let (up, down) = (Receiver::start(), Receiver::start());
    down.always(Some(Manner::Says("HTTP/1.1 503 Down")));
    let server = with_alice(&format!(
        "{}{}",
        table("up", &up.url(), &["delivered"], ""),
        table("down", &down.url(), &["accepted", "delivered"], "connections = 2"),
    ));
    for number in 0..20 {
        send(&server, &format!("number{number}"));
    }
    eventually("one has all", || up.taken().len() == 20);
    assert!(up.taken().iter().all(|told| told.event == "delivered"), "what it wants");
    eventually("the other has failed", || list(&server)[1]["failure"] == "answered 503");
    let listed = list(&server);
    assert_eq!((&listed[1]["name"], &listed[1]["waiting"]), (&json!("down"), &json!(40)), "{listed}");
    assert!(listed[1]["oldest"].is_string() && listed[1]["failed"].is_string(), "{listed}");
    // It is left alone: not every event has knocked.
    assert!(down.told().len() < 40, "{}", down.told().len());
    let text = server.cli(&["webhook", "list"], "");
    assert!(text.lines().nth(1).is_some_and(|line| line.starts_with("down\t40\t")), "{text}");

    let tried = server.try_cli(&["webhook", "test", "down"], "");
    assert_eq!(tried.status.code(), Some(1));
    let shown = String::from_utf8_lossy(&tried.stdout).into_owned();
    assert!(shown.contains("503") && String::from_utf8_lossy(&tried.stderr).contains("answered 503"), "{shown}");
    down.always(None);
    let shown = server.cli(&["webhook", "test", "down"], "");
    assert!(shown.contains("200") && shown.contains("ok"), "{shown}");
    assert!(down.told().iter().any(|told| told.event == "ping" && told.is_taken));
    assert_eq!(server.try_cli(&["webhook", "test", "nobody"], "").status.code(), Some(1));

    eventually("the other has all too", || down.taken().len() == 41);
    let told: Vec<Told> = down.taken().into_iter().filter(|told| told.event != "ping").collect();
    for (message, events) in by_message(&told) {
        assert_eq!(events, ["accepted", "delivered"], "{message}");
    }
    let ids = |receiver: &Receiver| -> BTreeSet<String> {
        receiver.taken().into_iter().filter(|told| told.event == "delivered").map(|told| told.id).collect()
    };
    assert_eq!(ids(&up), ids(&down), "an event is one, whoever is told");
    up.assert_no_fault();
    down.assert_no_fault();
}

#[test]
fn too_much_is_dropped_from_the_oldest_and_what_nobody_wants_altogether() {
    let receiver = Receiver::start();
    receiver.always(Some(Manner::Says("HTTP/1.1 500 Oh")));
    let webhook = table("crm", &receiver.url(), &["delivered"], "most_waiting = 5");
    let mut server = with_alice(&webhook);
    for number in 0..9 {
        send(&server, &format!("number{number}"));
    }
    eventually("all wait", || list(&server)[0]["waiting"] == 9);
    assert_eq!(server.stop(), Some(0));
    server.run();
    eventually("the oldest are dropped", || list(&server)[0]["dropped"] == 4);
    assert_eq!(list(&server)[0]["waiting"], 5);
    assert!(server.log().contains("the oldest are dropped"));
    assert_eq!(server.stop(), Some(0));
    receiver.always(None);
    let file = server.path().join("posthouse.toml");
    let text = fs::read_to_string(&file).expect("a file");
    fs::write(&file, text.replace("name = \"crm\"", "name = \"other\"")).expect("write");
    server.run();
    assert_eq!(list(&server)[0]["waiting"], 0);
    assert!(server.log().contains("not configured any more are dropped"));
    send(&server, "last");
    eventually("the new one is told of what is new", || {
        receiver.taken().iter().map(|told| told.body["message"]["message_id"].clone()).eq([json!("last@partner.test")])
    });
    server.assert_no_panic();
}
