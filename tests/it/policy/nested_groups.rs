//! T4: groups in groups.

use serde_json::Value;

use super::acme::Acme;
use super::replies::{GROUP_DENIED, GROUP_UNVERIFIED, OK};
use super::row::{HELD, Spf, auth, keep, play, row, run};

/// A group that anyone may write to, with these members.
fn open(name: &str, members: &str) -> String {
    format!("[[group]]\naddress = \"{name}@corp.test\"\npermission = \"anyone\"\nmembers = [{members}]\n")
}

fn inner(group: &str, edge: &str) -> String {
    format!("{{ group = \"{group}@corp.test\", edge = \"{edge}\" }}")
}

/// A chain of so many groups, alice in the last.
fn chain(levels: usize) -> String {
    let member =
        |n| if n == levels { "\"alice@corp.test\"".to_owned() } else { inner(&format!("c{}", n + 1), "inherit") };
    (1..=levels).rev().map(|n| open(&format!("c{n}"), &member(n))).collect()
}

#[test]
fn inner_permissions_count_unless_inherited() {
    let all = &["alice", "bob", "carol"];
    let both = open("n08", &format!("{}, {}", inner("g-out", "inherit"), inner("g-inh", "inherit")));
    let hidden = open("n13", &format!("\"bob@corp.test\", {}", inner("g-hid", "check")));
    let moderated = |edge| open("n14", &format!("\"bob@corp.test\", {}", inner("g-mod", edge)));
    let empty = open("n16", &format!("\"bob@corp.test\", {}", inner("g-emp", "check")));
    let mut acme = Acme::start();
    let rows = vec![
        auth("N01", "bob").rcpt("g-out", OK).got(&["bob"]).notice("bob", "5.7.2", "g-mem@corp.test", ""),
        auth("N02", "alice").rcpt("g-out", OK).got(all),
        auth("N03", "bob").rcpt("g-inh", OK).got(all),
        row("N04").rcpt("g-out", OK).got(&["bob"]),
        row("N05").mail("pam@partner.test").spf(Spf::Pass).rcpt("g-out", OK).got(&["bob"]).dsn_out("pam@partner.test"),
        auth("N06", "bob").rcpt("g-only", GROUP_DENIED),
        auth("N07", "bob").rcpt("g-out", OK).rcpt("carol", OK).got(&["bob", "carol"]).notice(
            "bob",
            "5.7.2",
            "g-mem@corp.test",
            "",
        ),
        auth("N08", "bob").setup(&both).rcpt("n08", OK).got(all),
        auth("N11", "carol").setup(&chain(10)).rcpt("c1", OK).got(&["alice"]),
        auth("N13", "carol").setup(&hidden).rcpt("n13", OK).got(&["bob"]).notice(
            "carol",
            "5.7.2",
            "n13@corp.test",
            "g-hid",
        ),
        auth("N15", "carol").setup(&moderated("inherit")).rcpt("n14", OK).got(&["alice", "bob"]),
        auth("N16", "carol").setup(&empty).rcpt("n16", OK).got(&["bob"]),
        row("N17").mail("alice@corp.test").signed("corp.test").rcpt("g-only", OK).got(&["alice", "carol"]),
        row("N18").mail("alice@corp.test").rcpt("g-only", OK).end(GROUP_UNVERIFIED),
    ];
    run(&mut acme, rows);

    // N14, in two steps: bob has it at once, alice when dave says so, bob not again.
    acme.apply(&moderated("check"));
    let row = auth("N14", "carol").rcpt("n14", OK).end(HELD).got(&["bob", "dave:Approvals"]).generated(1);
    let held = keep(&mut acme, &row);
    assert!(held.faults.is_empty(), "N14: {:?}", held.faults);
    accept_only_hold(&acme);
    assert_eq!(acme.find("alice", "INBOX", &held.nonce).len(), 1, "N14");
    assert_eq!(acme.find("bob", "INBOX", &held.nonce).len(), 1, "N14");
    acme.reset();
}

#[test]
fn administrators_cannot_build_what_cannot_be_expanded() {
    let mut acme = Acme::start();
    // N12: eleven levels are refused when they are made, so that nobody can send to them.
    let (status, answer) =
        acme.api("POST", "/groups", "{\"address\":\"c11@corp.test\",\"members\":[\"alice@corp.test\"]}");
    assert_eq!(status, 201, "N12: {answer}");
    let mut refused = None;
    for n in (1..=10).rev() {
        let body = format!("{{\"address\":\"c{n}@corp.test\",\"members\":[\"group:c{}@corp.test\"]}}", n + 1);
        let (status, answer) = acme.api("POST", "/groups", &body);
        if status != 201 {
            refused = Some((n, status, answer));
            break;
        }
    }
    let (n, status, answer) = refused.expect("N12: a refusal");
    assert_eq!((n, status, key(&answer)), (1, 422, "group_depth"), "N12");

    // N19, N22.
    let add = |outer: &str, inner: &str| {
        let body = format!("{{\"members\":[\"group:{inner}@corp.test\"]}}");
        acme.api("POST", &format!("/groups/{outer}@corp.test/members"), &body)
    };
    let (status, answer) = add("c11", "c10");
    assert_eq!((status, key(&answer)), (409, "group_cycle"), "N19");
    let (status, answer) = add("g-emp", "g-mem");
    assert_eq!(status, 200, "N22: {answer}");
    assert!(answer.to_string().contains("inherit"), "N22: {answer}");
    let row = auth("N22", "bob").rcpt("g-emp", OK).got(&["alice", "carol"]);
    assert_eq!(play(&mut acme, &row).faults, Vec::<String>::new(), "N22");
}

/// Accepts the one message that waits.
pub fn accept_only_hold(acme: &Acme) {
    let holds = acme.get("/holds");
    let items = holds["items"].as_array().expect("a list");
    assert_eq!(items.len(), 1, "{holds}");
    let id = items[0]["id"].as_str().expect("an id");
    let (status, answer) = acme.api("POST", &format!("/holds/{id}/accept"), "{}");
    assert_eq!(status, 200, "{answer}");
}

fn key(answer: &Value) -> &str {
    answer["error"]["key"].as_str().unwrap_or_default()
}
