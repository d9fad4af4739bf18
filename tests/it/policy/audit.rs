//! T15 as far as the API shows it.

use serde_json::{Value, json};

use super::super::imap::Imap;
use super::super::server::PASSWORD;
use super::super::smtp::dot_stuffed;
use super::acme::{Acme, CLIENT};
use super::replies::OK;
use super::row::{keep, row};

/// The records since the fixture was applied, oldest first.
fn records(acme: &Acme, since: usize) -> Vec<Value> {
    let mut all = acme.get("/audit")["items"].as_array().cloned().expect("a list");
    all.reverse();
    all.split_off(since)
}

#[test]
fn changes_of_rules_and_passwords_are_recorded() {
    let acme = Acme::start();
    let since = records(&acme, 0).len();
    let rule = |remark: &str| {
        json!({ "name": "watch", "scope": ["alice@corp.test"], "remark": remark, "actions": [{ "copy": { "monitor": "erin@corp.test" } }] })
            .to_string()
    };
    for (method, path, body) in [
        ("POST", "/rules", rule("first")),
        ("PUT", "/rules/watch", rule("second")),
        ("PUT", "/rules/watch/enabled", "{\"enabled\":false}".to_owned()),
        ("DELETE", "/rules/watch", String::new()),
    ] {
        let (status, answer) = acme.api(method, path, &body);
        assert!(status < 300, "U01: {method} {path}: {answer}");
    }
    let records_of_rule = records(&acme, since);
    assert_eq!(records_of_rule.len(), 4, "U01: {records_of_rule:#?}");
    let texts: Vec<String> = records_of_rule.iter().map(ToString::to_string).collect();
    assert!(texts[0].contains("first"), "U01: {}", texts[0]);
    assert!(texts[1].contains("first") && texts[1].contains("second"), "U01: {}", texts[1]);
    assert!(texts[2].contains("enabled"), "U01: {}", texts[2]);
    assert!(texts[3].contains("watch"), "U01: {}", texts[3]);

    let secret = "correct horse battery staple";
    let body = json!({ "password": secret }).to_string();
    assert!(acme.api("PUT", "/accounts/alice@corp.test/password", &body).0 < 300, "U04");
    let of_password = records(&acme, since + 4);
    assert_eq!(of_password.len(), 1, "U04: {of_password:#?}");
    let text = of_password[0].to_string();
    assert!(text.contains("password") && text.contains("alice@corp.test"), "U04: {text}");
    for never in [secret, PASSWORD, "argon2", "$"] {
        assert!(!text.contains(never), "U04: {text}");
    }
    let verified = acme.get("/audit/verify");
    assert_eq!(verified["intact"], true, "{verified}");
    assert!(!acme.server.log().contains(secret), "U04");
}

#[test]
fn refused_imports_leave_a_record_and_nothing_else() {
    let acme = Acme::start();
    let since = records(&acme, 0).len();
    let before = acme.get("/groups/g-wl@corp.test");
    let list: Vec<String> = (0..1_001).map(|n| format!("p{n}@partner.test")).collect();
    let body = json!({ "whitelist": list }).to_string();
    let (status, answer) = acme.api("POST", "/groups/g-wl@corp.test/whitelist", &body);
    assert_eq!((status, answer["error"]["key"].as_str()), (409, Some("list_limit")), "U07");
    assert_eq!(acme.get("/groups/g-wl@corp.test"), before, "U07");
    let of_import = records(&acme, since);
    assert_eq!(of_import.len(), 1, "U07: {of_import:#?}");
    assert_eq!(of_import[0]["refused"], "list_limit", "U07");
}

#[test]
fn first_look_at_a_monitored_copy_is_recorded() {
    let mut acme = Acme::start();
    acme.apply(WATCH);
    let alice = send(&acme, "first");
    let second = send(&acme, "second");
    let looks = |acme: &Acme| -> Vec<Value> {
        records(acme, 0).into_iter().filter(|r| r["action"] == "monitor.read").collect()
    };
    // What the entry alone tells is no look; nor is a search.
    let imap = acme.imap("erin");
    imap.ok("SELECT m");
    imap.ok("FETCH 1:* (UID FLAGS RFC822.SIZE INTERNALDATE)");
    imap.ok("SEARCH BODY \"Hello\"");
    assert_eq!(looks(&acme), Vec::<Value>::new(), "U05: nobody has looked yet");

    // Twice in each of two sessions, in several ways, also where nothing may be changed.
    let mut other = Imap::login(acme.server.address("imap"), "erin@corp.test", PASSWORD);
    acme.imap("erin").ok("FETCH 1 (BODY[])");
    other.ok("EXAMINE m");
    other.ok("FETCH 1 (BODY.PEEK[HEADER.FIELDS (SUBJECT)])");
    acme.imap("erin").ok("FETCH 1 (RFC822 ENVELOPE)");
    other.ok("FETCH 1 (BODY.PEEK[1] FLAGS)");
    let seen = looks(&acme);
    assert_eq!(seen.len(), 1, "U05: {seen:#?}");
    let (actor, entry) = (&seen[0]["actor"], &seen[0]["entries"][0]);
    assert_eq!((&actor["kind"], &entry["kind"]), (&json!("account"), &json!("monitor-copy")), "U05: {seen:#?}");
    assert!(actor["client"].as_str().is_some_and(|client| client.starts_with("127.0.0.1:")), "U05: {seen:#?}");
    assert_eq!(entry["name"], json!(alice), "U05");
    assert_eq!(entry["after"], json!({ "mailbox": "m", "uid": 1, "rules": ["watch"] }), "U05");

    // The next copy, in the middle of others, by its envelope alone; both sessions ask at the same time.
    let tag = other.next_tag();
    other.wire.send(format!("{tag} FETCH 1:* (ENVELOPE)\r\n").as_bytes());
    let answer = acme.imap("erin").ok("FETCH 1:* (ENVELOPE BODY.PEEK[TEXT])");
    let answered = answer.lines().iter().filter(|line| line.contains(" FETCH (ENVELOPE ")).count();
    assert_eq!(answered, 2, "U05: {:?}", answer.lines());
    assert!(other.until(&tag).is_ok(), "U05");
    let seen = looks(&acme);
    assert_eq!((seen.len(), &seen[1]["entries"][0]["name"]), (2, &json!(second)), "U05: {seen:#?}");

    // Moved, the copy is the same copy; copied before anyone has looked, both are looked at.
    send(&acme, "third");
    let imap = acme.imap("erin");
    imap.ok("SELECT m");
    imap.ok("CREATE n");
    imap.ok("MOVE 3 n");
    assert_eq!(looks(&acme).len(), 2, "U05: MOVE is no look");
    let imap = acme.imap("erin");
    imap.ok("SELECT n");
    imap.ok("COPY 1 m");
    assert_eq!(looks(&acme).len(), 3, "U05: COPY is one");
    let imap = acme.imap("erin");
    imap.ok("FETCH 1 (BODY[])");
    imap.ok("SELECT m");
    imap.ok("FETCH 1:* (BODY[])");
    assert_eq!(looks(&acme).len(), 3, "U05");
    assert_eq!(acme.get("/audit/verify")["intact"], true, "U05");

    // Whose copy is no monitor's: the messages of the watched, and those that wait for a moderator.
    acme.imap("alice").ok("SELECT INBOX");
    acme.imap("alice").ok("FETCH 1:* (BODY[])");
    let held = row("U05-held").rcpt("g-mod", OK).got(&["dave:Approvals"]).generated(1);
    assert_eq!(keep(&mut acme, &held).faults, Vec::<String>::new(), "U05");
    assert_eq!(looks(&acme).len(), 3, "U05");
}

/// An administrator may do without; that is recorded, and what is read then never is.
#[test]
fn recording_of_first_looks_can_be_switched_off() {
    let mut acme = Acme::start();
    acme.apply(WATCH);
    let since = records(&acme, 0).len();
    let off = json!({ "name": "acme", "record_monitor_reads": false }).to_string();
    let (status, answer) = acme.api("PUT", "/organisations/acme", &off);
    assert!(status < 300, "{answer}");
    let change = records(&acme, since);
    assert_eq!(change.len(), 1, "{change:#?}");
    assert!(change[0].to_string().contains("record_monitor_reads"), "{change:#?}");
    send(&acme, "unseen");
    let imap = acme.imap("erin");
    imap.ok("SELECT m");
    imap.ok("FETCH 1 (BODY[])");
    assert_eq!(records(&acme, since).len(), 1);
    acme.apply("[[organisation]]\nname = \"acme\"\nrecord_monitor_reads = true\n");
    acme.imap("erin").ok("FETCH 1 (BODY[])");
    let all = records(&acme, since);
    assert_eq!(
        all.iter().map(|r| r["action"].as_str().unwrap_or_default()).filter(|a| *a == "monitor.read").count(),
        1
    );
}

const WATCH: &str = "[[rule]]\nname = \"watch\"\nscope = [\"alice@corp.test\"]\nactions = [{ copy = { monitor = \
                     \"erin@corp.test\", folder = \"m\" } }]\n";

/// A message from outside to alice; gives its id.
fn send(acme: &Acme, subject: &str) -> String {
    let mut session = acme.host(CLIENT);
    session.command("MAIL FROM:<stranger@ext.test>", 250);
    session.command("RCPT TO:<alice@corp.test>", 250);
    session.command("DATA", 354);
    // What looks like a monitor's field is the sender's word.
    let message =
        format!("From: s@ext.test\r\nX-Posthouse-Monitor-Rule: forged\r\nSubject: {subject}\r\n\r\nHello.\r\n");
    session.wire.send(&dot_stuffed(message.as_bytes()));
    session.expect(250).lines.join(" ").replace("2.0.0 Accepted ", "")
}
