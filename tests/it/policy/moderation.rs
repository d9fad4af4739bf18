//! T6: messages that wait for approval.

use serde_json::Value;

use super::acme::Acme;
use super::nested_groups::accept_only_hold;
use super::replies::{GROUP_DENIED, HOLD_FULL, OK};
use super::row::{HELD, Outcome, Row, auth, keep, row, run};

/// Dave is asked: a copy in his folder, and a notice.
pub fn held(row: Row) -> Row {
    row.rcpt("g-mod", OK).got(&["dave:Approvals"]).generated(1)
}

fn g_mod(permission: &str, more: &str, moderation: &str) -> String {
    format!(
        "[[group]]\naddress = \"g-mod@corp.test\"\npermission = \"{permission}\"\nmembers = [\"alice@corp.test\", \
         \"bob@corp.test\"]\n{more}moderation = {{ when = \"{moderation}\", moderators = [\"dave@corp.test\"], bypass = \
         [\"admin@corp.test\"] }}\n"
    )
}

pub fn well(id: &str, outcome: &Outcome) {
    assert!(outcome.faults.is_empty(), "{id}: {:#?}", outcome.faults);
}

/// The messages that wait.
pub fn holds(acme: &Acme) -> Vec<Value> {
    acme.get("/holds")["items"].as_array().cloned().expect("a list")
}

/// Decides about the one message that waits.
fn decide(acme: &Acme, how: &str, text: &str) -> (u16, Value) {
    let holds = holds(acme);
    assert_eq!(holds.len(), 1, "{holds:?}");
    let id = holds[0]["id"].as_str().expect("an id");
    acme.api("POST", &format!("/holds/{id}/{how}"), &format!("{{\"text\":\"{text}\"}}"))
}

/// How often each of these has the message in INBOX.
pub fn counts(acme: &mut Acme, nonce: &str, users: &[&str]) -> Vec<usize> {
    users.iter().map(|user| acme.find(user, "INBOX", nonce).len()).collect()
}

#[test]
fn who_is_asked_and_who_is_not() {
    let mut acme = Acme::start();
    let frozen = "[[account]]\naddress = \"dave@corp.test\"\ndepartments = [\"/HR\"]\nstate = \"frozen\"\n";
    let rows = vec![
        auth("M06", "dave").rcpt("g-mod", OK).got(&["alice", "bob"]),
        auth("M07", "admin").rcpt("g-mod", OK).got(&["alice", "bob"]),
        auth("M13", "carol").setup(&g_mod("members", "", "all")).rcpt("g-mod", GROUP_DENIED),
        auth("M16", "carol").setup(&g_mod("anyone", "", "external")).rcpt("g-mod", OK).got(&["alice", "bob"]),
        auth("M17", "carol")
            .setup("[[organisation]]\nname = \"acme\"\nhold_limit = 1\n")
            .rcpt("g-mod", OK)
            .end(HOLD_FULL),
    ];
    run(&mut acme, rows);
    assert!(holds(&acme).is_empty(), "nothing of these is held");
    let rows = vec![
        held(row("M01")),
        held(row("M08").mail("dave@corp.test")),
        held(auth("M09", "carol").rcpt("carol", OK)).end(HELD).got(&["carol", "dave:Approvals"]),
        auth("M12", "carol")
            .setup(frozen)
            .setup(&g_mod("anyone", "managers = [\"erin@corp.test\"]\n", "all"))
            .rcpt("g-mod", OK)
            .end(HELD)
            .got(&["erin:Approvals"])
            .generated(1),
    ];
    run(&mut acme, rows);
    assert_eq!(holds(&acme).len(), 4);
}

#[test]
fn what_a_decision_does() {
    let mut acme = Acme::start();

    let m01 = keep(&mut acme, &held(row("M01")));
    well("M01", &m01);
    accept_only_hold(&acme);
    assert_eq!(counts(&mut acme, &m01.nonce, &["alice", "bob", "carol"]), [1, 1, 0], "M02");

    let m03 = keep(&mut acme, &held(auth("M03", "carol")).end(HELD));
    well("M03", &m03);
    let id = holds(&acme)[0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(decide(&acme, "refuse", "not this week").0, 200, "M03");
    assert_eq!(counts(&mut acme, &m03.nonce, &["alice", "bob", "carol"]), [0, 0, 1], "M03");
    let dsn = acme.find("carol", "INBOX", &m03.nonce)[0];
    let dsn = acme.fetch("carol", dsn);
    assert!(dsn.contains("Status: 5.7.1\r\n") && dsn.contains("not this week"), "M03: {dsn}");
    let (status, answer) = acme.api("POST", &format!("/holds/{id}/accept"), "{}");
    assert_eq!((status, answer["error"]["key"].as_str()), (409, Some("already_decided")), "M11");
    assert_eq!(counts(&mut acme, &m03.nonce, &["alice", "bob"]), [0, 0], "M11");

    let m04 = keep(&mut acme, &held(row("M04")));
    well("M04", &m04);
    assert_eq!(decide(&acme, "refuse", "no").0, 200, "M04");
    assert_eq!(acme.get("/queue")["items"], Value::Array(Vec::new()), "M04");
    assert_eq!(counts(&mut acme, &m04.nonce, &["alice", "bob"]), [0, 0], "M04");

    let m10 = held(auth("M10", "carol").rcpt("alice", OK)).end(HELD).got(&["alice", "dave:Approvals"]);
    let m10 = keep(&mut acme, &m10);
    well("M10", &m10);
    accept_only_hold(&acme);
    assert_eq!(counts(&mut acme, &m10.nonce, &["alice", "bob"]), [1, 1], "M10");

    let m14 = keep(&mut acme, &held(row("M14")));
    well("M14", &m14);
    let (status, answer) = acme.api("PUT", "/groups/g-mod@corp.test/members", "{\"members\":[\"alice@corp.test\"]}");
    assert_eq!(status, 200, "{answer}");
    accept_only_hold(&acme);
    assert_eq!(counts(&mut acme, &m14.nonce, &["alice", "bob"]), [1, 0], "M14");
    acme.reset();
}

#[test]
fn moderators_decide_by_moving_what_they_are_shown() {
    let mut acme = Acme::start();
    for (id, folder, expected) in [("M18", "Approvals/Accept", [1, 1]), ("M18 refused", "Approvals/Refuse", [0, 0])] {
        let held = keep(&mut acme, &held(row(id)));
        well(id, &held);
        let uid = acme.find("dave", "Approvals", &held.nonce)[0];
        acme.imap("dave").ok(&format!("UID MOVE {uid} \"{folder}\""));
        assert_eq!(counts(&mut acme, &held.nonce, &["alice", "bob"]), expected, "{id}");
        assert!(holds(&acme).is_empty(), "{id}");
    }
}

#[test]
fn two_moderated_groups_are_held_on_their_own() {
    let mut acme = Acme::start();
    let second = "[[group]]\naddress = \"g-mod2@corp.test\"\npermission = \"anyone\"\nmembers = [\"carol@corp.test\", \
                  \"bob@corp.test\"]\nmoderation = { when = \"all\", moderators = [\"erin@corp.test\"] }\n";
    acme.apply(second);
    let row =
        auth("M15", "admin").mail("admin@corp.test").rcpt("g-mod2", OK).end(HELD).got(&["erin:Approvals"]).generated(1);
    // The admin is on the bypass list of g-mod alone.
    well("M15", &keep(&mut acme, &row));
    let row = auth("M15 both", "carol")
        .rcpt("g-mod", OK)
        .rcpt("g-mod2", OK)
        .end(HELD)
        .got(&["dave:Approvals", "erin:Approvals"])
        .generated(2);
    let held = keep(&mut acme, &row);
    well("M15", &held);
    let holds = holds(&acme);
    assert_eq!(holds.len(), 3, "M15: {holds:?}");
    let of_both = |hold: &&Value| hold["subject"].as_str().is_some_and(|s| s.contains("M15 both"));
    for hold in holds.iter().filter(of_both) {
        let id = hold["id"].as_str().expect("an id");
        assert_eq!(acme.api("POST", &format!("/holds/{id}/accept"), "{}").0, 200, "M15");
    }
    assert_eq!(counts(&mut acme, &held.nonce, &["alice", "bob", "carol"]), [1, 1, 1], "M15: bob is in both");
}
