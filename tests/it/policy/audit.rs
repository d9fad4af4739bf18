//! T15 as far as the API shows it.

use serde_json::{Value, json};

use super::super::server::PASSWORD;
use super::acme::Acme;
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
    acme.apply(
        "[[rule]]\nname = \"watch\"\nscope = [\"alice@corp.test\"]\nactions = [{ copy = { monitor = \"erin@corp.test\", \
         folder = \"m\" } }]\n",
    );
    let copied = keep(&mut acme, &row("U05").rcpt("alice", OK).got(&["alice", "erin:m"]));
    assert_eq!(copied.faults, Vec::<String>::new(), "U05");
    let uid = acme.find("erin", "m", &copied.nonce)[0];
    for _ in 0..2 {
        acme.imap("erin").ok(&format!("UID FETCH {uid} (BODY[])"));
    }
    let reads = records(&acme, 0).into_iter().filter(|r| r["action"] == "monitor.read").count();
    assert_eq!(reads, usize::from(!super::is_known_gap("U05")), "U05");
}
