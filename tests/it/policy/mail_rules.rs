//! T11: mail rules.
//!
//! Elsewhere: W21 to W31 (`conditions`), W40 and W41 (`forms`), W45 (`administration`), W48 (beside this table below), W58
//! and W66 (`passing_time`), W67 (`edited`).

use super::acme::Acme;
use super::replies::{OK, RULE_REJECT};
use super::row::{HELD, Row, Spf, auth, keep, play, row, run};

/// A rule, by its scope and more keys.
fn rule(name: &str, scope: &str, more: &str) -> String {
    format!("[[rule]]\nname = \"{name}\"\nscope = {scope}\n{more}\n")
}

/// A rule that copies to a folder of a monitor.
fn copy(name: &str, scope: &str, more: &str, to: &str) -> String {
    let (monitor, folder) = to.split_once(':').unwrap_or((to, ""));
    let folder = if folder.is_empty() { String::new() } else { format!(", folder = \"{folder}\"") };
    let action = format!("actions = [{{ copy = {{ monitor = \"{monitor}@corp.test\"{folder} }} }}]\n");
    rule(name, scope, &format!("{more}{action}"))
}

const EVERYONE: &str = "\"everyone\"";
const ALICE: &str = "[\"alice@corp.test\"]";
const BOB: &str = "[\"bob@corp.test\"]";
const ERIN: &str = "[\"erin@corp.test\"]";
const KEYWORD: &str = "conditions = [{ keyword = { values = [\"forbidden\"] } }]\n";

/// stranger writes to alice; the text has the keyword.
fn to_alice(id: &'static str) -> Row {
    row(id).body("This is forbidden.\r\n").rcpt("alice", OK)
}

#[test]
fn monitors_get_one_copy_of_what_a_rule_matches() {
    let alice = copy("w01", ALICE, "", "erin:m");
    let everyone = copy("w03", EVERYONE, "", "erin:m");
    let except = copy("w06", EVERYONE, "scope_except = [\"alice@corp.test\"]\n", "erin:m");
    let sent = copy("w08", ALICE, "direction = \"sent\"\n", "erin:m");
    let received = copy("w09", ALICE, "direction = \"received\"\n", "erin:m");
    let external = copy("w10", ALICE, "peer = \"external\"\n", "erin:m");
    let internal = copy("w12", ALICE, "peer = \"internal\"\n", "erin:m");
    let of_bob = |peer: &str| copy("w13", BOB, &format!("direction = \"received\"\npeer = \"{peer}\"\n"), "erin:m");
    let when = |condition: &str| copy("w17", EVERYONE, &format!("conditions = [{condition}]\n"), "erin:m");
    let two = |second: &str| {
        format!("{}{}", copy("one", ALICE, "priority = 0\n", "erin:a"), copy("two", ALICE, "priority = 1\n", second))
    };
    let of_monitor = format!("{alice}{}", copy("w37", ERIN, "", "dave:n"));
    let mutual = format!("{}{}", copy("a", ALICE, "", "bob:m"), copy("b", BOB, "", "alice:m"));
    let pam = "pam@partner.test";
    let mut acme = Acme::start();
    let rows = vec![
        to_alice("W01").setup(&alice).got(&["alice", "erin:m"]),
        auth("W02", "alice").setup(&alice).rcpt(pam, OK).got(&["erin:m"]).out(pam, "alice@corp.test"),
        auth("W03", "alice").setup(&everyone).rcpt("bob", OK).got(&["bob", "erin:m"]),
        row("W04")
            .setup(&copy("w04", "[\"department:/Sales\"]", "", "erin:m"))
            .rcpt("carol", OK)
            .got(&["carol", "erin:m"]),
        row("W05").setup(&copy("w05", "[\"department-only:/Sales\"]", "", "erin:m")).rcpt("carol", OK).got(&["carol"]),
        auth("W06", "alice").setup(&except).rcpt("bob", OK).got(&["bob", "erin:m"]),
        to_alice("W07").setup(&except).got(&["alice"]),
        to_alice("W08").setup(&sent).got(&["alice"]),
        auth("W09", "alice").setup(&received).rcpt(pam, OK).out(pam, "alice@corp.test"),
        auth("W10", "alice").setup(&external).rcpt("bob", OK).got(&["bob"]),
        auth("W11", "alice").setup(&external).rcpt("bob", OK).rcpt(pam, OK).got(&["bob", "erin:m"]).out(pam, "alice"),
        auth("W12", "alice").setup(&internal).rcpt("bob", OK).rcpt(pam, OK).got(&["bob", "erin:m"]).out(pam, "alice"),
        row("W13").setup(&of_bob("internal")).mail("alice@corp.test").rcpt("bob", OK).got(&["bob"]),
        row("W14").setup(&of_bob("external")).mail("alice@corp.test").rcpt("bob", OK).got(&["bob", "erin:m"]),
        row("W15")
            .setup(&copy("w15", "[\"g-mem@corp.test\"]", "", "erin:m"))
            .rcpt("carol", OK)
            .got(&["carol", "erin:m"]),
        row("W16")
            .setup(&copy("w16", "[\"g-any@corp.test\"]", "", "erin:m"))
            .rcpt("g-any", OK)
            .got(&["alice", "bob", "carol", "erin:m"]),
        row("W17").setup(&when("{ sender = [\"*@ext.test\"] }")).rcpt("bob", OK).got(&["bob", "erin:m"]),
        row("W18").setup(&when("{ sender = [\"*.top\"] }")).mail("a@b.top").rcpt("bob", OK).got(&["bob", "erin:m"]),
        auth("W19", "alice")
            .setup(&when("{ recipient = [\"bob@corp.test\"] }"))
            .rcpt("g-any", OK)
            .got(&["alice", "bob", "carol", "erin:m"]),
        auth("W20", "alice")
            .setup(&when("{ recipient = [\"g-any@corp.test\"] }"))
            .rcpt("g-any", OK)
            .got(&["alice", "bob", "carol", "erin:m"]),
        to_alice("W32").setup(&two("erin:b")).got(&["alice", "erin:a"]),
        to_alice("W33").setup(&two("dave:m")).got(&["alice", "dave:m", "erin:a"]),
        row("W34").setup(&everyone).rcpt("erin", OK).rcpt("bob", OK).got(&["bob", "erin", "erin:m"]),
        row("W35").setup(&copy("w35", EVERYONE, "", "erin")).rcpt("erin", OK).rcpt("bob", OK).got(&["bob", "erin"]),
        row("W36").setup(&everyone).rcpt("erin", OK).got(&["erin"]),
        to_alice("W37").setup(&of_monitor).got(&["alice", "erin:m"]),
        // What erin writes herself is an event of hers, whatever text it has.
        auth("W38", "erin")
            .setup(&of_monitor)
            .subject("Fwd: a copy that I have got")
            .rcpt(pam, OK)
            .got(&["dave:n"])
            .out(pam, "erin@corp.test"),
        auth("W39", "alice").setup(&mutual).rcpt(pam, OK).got(&["bob:m"]).out(pam, "alice@corp.test"),
        to_alice("W43").setup(&copy("w43", ALICE, "enabled = false\n", "erin:m")).got(&["alice"]),
        to_alice("W47")
            .setup(&alice)
            .setup("[[account]]\naddress = \"alice@corp.test\"\nadmin_forward = { targets = [\"pam@partner.test\"] }\n")
            .got(&["alice", "erin:m"])
            .out(pam, "SRS0="),
        to_alice("W42")
            .setup(&alice)
            .setup("[[account]]\naddress = \"erin@corp.test\"\ndepartments = [\"/HR\"]\nstate = \"frozen\"\n")
            .got(&["alice"]),
        row("W46")
            .setup(&alice)
            .setup("[[account]]\naddress = \"alice@corp.test\"\nvacation = { text = \"Away.\" }\n")
            .rcpt("alice", OK)
            .got(&["alice", "erin:m"])
            .dsn_out("stranger@ext.test"),
        to_alice("W68")
            .setup(&copy("w68", ALICE, "valid_until = \"2020-01-01T00:00:00Z\"\n", "erin:m"))
            .got(&["alice"]),
        auth("W69", "alice")
            .setup(&everyone)
            .rcpt("bob", OK)
            .rcpt("carol", OK)
            .rcpt("g-any", OK)
            .got(&["alice", "bob", "carol", "erin:m"]),
    ];
    run(&mut acme, rows);
    copies_say_what_they_are(&mut acme);
}

/// W48: what a client stores is no event.
#[test]
fn drafts_are_not_copied() {
    let mut acme = Acme::start();
    acme.apply(&copy("w48", EVERYONE, "", "erin:m"));
    let before = acme.entries();
    let stored = acme.imap("alice").append("Drafts", "(\\Draft)", b"Subject: W48\r\n\r\nA draft.\r\n");
    assert!(stored.is_ok(), "W48: {stored:?}");
    assert_eq!(acme.entries(), before + 1, "W48");
}

/// W71: a report has the original in it, octet by octet.
#[test]
fn reports_hold_the_original() {
    let mut acme = Acme::start();
    acme.apply(
        "[[rule]]\nname = \"w71\"\nscope = [\"alice@corp.test\"]\nactions = [{ copy = { monitor = \"erin@corp.test\", \
         folder = \"m\", form = \"report\" } }]\n",
    );
    let outcome = keep(&mut acme, &row("W71").rcpt("alice", OK).got(&["alice"]).reported(&["erin:m"]));
    assert_eq!(outcome.faults, Vec::<String>::new(), "W71");
    let uid = acme.find("alice", "INBOX", &outcome.nonce)[0];
    let original = acme.fetch("alice", uid);
    let uid = acme.find("erin", "m", &outcome.nonce)[0];
    let report = acme.fetch("erin", uid);
    assert!(report.contains("message/rfc822"), "W71: {report}");
    assert!(report.contains(&original), "W71: {report}");
}

/// W49: the monitor reads the whole envelope, and the recipients do not.
fn copies_say_what_they_are(acme: &mut Acme) {
    let pam = "pam@partner.test";
    let rule = copy("Audit of alice", ALICE, "", "erin:m");
    let row = auth("W49", "alice").setup(&rule).rcpt("bob", OK).rcpt(pam, OK).got(&["bob", "erin:m"]).out(pam, "alice");
    let outcome = play(acme, &row);
    assert_eq!(outcome.faults, Vec::<String>::new(), "W49");
    let uid = acme.find("bob", "INBOX", &outcome.nonce)[0];
    let delivered = acme.fetch("bob", uid);
    assert!(!delivered.contains(pam) && !delivered.contains("Audit of alice"), "W49: {delivered}");
    let uid = acme.find("erin", "m", &outcome.nonce)[0];
    let copy = acme.fetch("erin", uid);
    assert!(copy.contains(pam) && copy.contains("Audit of alice"), "W49: {copy}");
}

#[test]
fn rules_reject_hold_and_redirect() {
    let reject = rule("w50", EVERYONE, &format!("priority = 0\n{KEYWORD}actions = [{{ reject = {{}} }}]"));
    let of_alice = rule(
        "w51",
        ALICE,
        &format!("direction = \"received\"\n{KEYWORD}actions = [{{ reject = {{ text = \"Not to alice\" }} }}]"),
    );
    let with_copy = rule(
        "w54",
        EVERYONE,
        &format!("{KEYWORD}actions = [{{ reject = {{ copy = {{ monitor = \"erin@corp.test\", folder = \"r\" }} }} }}]"),
    );
    let everyone = copy("copy", EVERYONE, "priority = 1\n", "erin:m");
    let received = |action: &str| rule("r", ALICE, &format!("direction = \"received\"\nactions = [{action}]"));
    let prioritised = |priority: u32, action: &str| {
        rule("p", ALICE, &format!("direction = \"received\"\npriority = {priority}\nactions = [{action}]"))
    };
    let alice_copy = |priority: u32| copy("w01", ALICE, &format!("priority = {priority}\n"), "erin:m");
    let two = |id| row(id).body("This is forbidden.\r\n").rcpt("alice", OK).rcpt("bob", OK);
    let mut acme = Acme::start();
    let rows = vec![
        to_alice("W50").setup(&reject).end(RULE_REJECT),
        two("W51").setup(&of_alice).got(&["bob"]),
        two("W52").setup(&of_alice).mail("pam@partner.test").spf(Spf::Pass).got(&["bob"]).dsn_out("pam@partner.test"),
        to_alice("W53").setup(&reject).setup(&everyone).end(RULE_REJECT),
        row("W59")
            .setup(&received("{ redirect = [\"dave@corp.test\"] }"))
            .rcpt("alice", OK)
            .rcpt("bob", OK)
            .got(&["bob", "dave"]),
        to_alice("W61")
            .setup(&rule("stop", EVERYONE, "priority = 0\nactions = [\"stop\"]"))
            .setup(&alice_copy(1))
            .got(&["alice"]),
        to_alice("W62").setup(&alice_copy(0)).setup(&prioritised(1, "\"discard\"")).got(&["erin:m"]),
        to_alice("W63").setup(&prioritised(0, "\"discard\"")).setup(&alice_copy(1)),
        to_alice("W64").setup(&received("\"junk\"")).got(&["alice:Junk"]),
        to_alice("W65").setup(&received("\"quarantine\"")),
    ];
    run(&mut acme, rows);

    // W54: refused, and the monitor has it nevertheless. There is no id of a message by which the trace could be asked.
    acme.apply(&with_copy);
    let w54 = keep(&mut acme, &to_alice("W54").end(RULE_REJECT).got(&["erin:r"]));
    assert_eq!(w54.faults, Vec::<String>::new(), "W54");
    acme.reset();
    tags_are_on_one_copy(&mut acme);
    rename_keeps_rules(&mut acme);
    limit_of_rules(&acme);
}

#[test]
fn refusals_name_whose_mail_was_held_to_who_wants_to_know() {
    let ask = "direction = \"received\"\nactions = [{ hold = { approvers = [\"dave@corp.test\"] } }]";
    let mut acme = Acme::start();
    acme.apply(&rule("ask", ALICE, ask));
    for (case, alice, told) in [
        ("said nothing", "<alice@corp.test>", true),
        ("wants failures", "<alice@corp.test> NOTIFY=FAILURE", true),
        ("wants delays", "<alice@corp.test> NOTIFY=DELAY", false),
        ("wants nothing", "<alice@corp.test> NOTIFY=NEVER", false),
    ] {
        let held = auth("refused", "carol").rcpt(alice, OK).rcpt("bob", OK).end(HELD);
        let held = keep(&mut acme, &held.got(&["bob", "dave:Approvals"]).generated(1));
        assert_eq!(held.faults, Vec::<String>::new(), "{case}");
        let id = acme.get("/holds")["items"][0]["id"].as_str().expect("an id").to_owned();
        assert_eq!(acme.api("POST", &format!("/holds/{id}/refuse"), "{}").0, 200, "{case}");
        let dsns = acme.find("carol", "INBOX", &held.nonce);
        assert_eq!(dsns.len(), usize::from(told), "{case}");
        for uid in dsns {
            let dsn = acme.fetch("carol", uid);
            assert!(dsn.contains("Final-Recipient: rfc822; alice@corp.test\r\n"), "{case}: {dsn}");
            assert!(!dsn.contains("Final-Recipient: rfc822; bob"), "{case}: {dsn}");
        }
    }
}

/// W60.
fn tags_are_on_one_copy(acme: &mut Acme) {
    let tag =
        rule("tag", ALICE, "direction = \"received\"\nactions = [{ tag = { header = \"X-Class\", value = \"a\" } }]");
    let outcome = play(acme, &row("W60").setup(&tag).rcpt("alice", OK).rcpt("bob", OK).got(&["alice", "bob"]));
    assert_eq!(outcome.faults, Vec::<String>::new(), "W60");
    for (user, expected) in [("alice", true), ("bob", false)] {
        let uid = acme.find(user, "INBOX", &outcome.nonce)[0];
        assert_eq!(acme.fetch(user, uid).contains("X-Class: a\r\n"), expected, "W60: {user}");
    }
}

/// W44: rules are about accounts, not about addresses.
fn rename_keeps_rules(acme: &mut Acme) {
    acme.apply(&copy("w44", BOB, "", "erin:m"));
    let renamed = acme.api("PUT", "/accounts/bob@corp.test/address", "{\"address\":\"bob2@corp.test\"}");
    assert!(renamed.0 < 300, "W44: {renamed:?}");
    let outcome = keep(acme, &row("W44").rcpt("bob2", OK).got(&["bob2", "erin:m"]));
    assert_eq!(outcome.faults, Vec::<String>::new(), "W44");
    let back = acme.api("PUT", "/accounts/bob2@corp.test/address", "{\"address\":\"bob@corp.test\"}");
    assert!(back.0 < 300, "W44: {back:?}");
    acme.reset();
}

/// W72.
fn limit_of_rules(acme: &Acme) {
    acme.apply(&(0..200).map(|n| rule(&format!("r{n}"), ALICE, "actions = [\"stop\"]")).collect::<String>());
    let one_more = "{\"name\":\"one more\",\"scope\":[\"alice@corp.test\"],\"actions\":[\"stop\"]}";
    let (status, answer) = acme.api("POST", "/rules", one_more);
    assert_eq!((status, answer["error"]["key"].as_str()), (409, Some("rule_limit")), "W72");
    acme.reset();
}

#[test]
fn held_messages_are_copied_when_they_go_on() {
    let hold = rule(
        "w55",
        ALICE,
        "direction = \"sent\"\npeer = \"external\"\npriority = 0\nactions = [{ hold = { approvers = [\"dave@corp.test\"] } }]",
    );
    let monitored = copy("w01", ALICE, "priority = 1\n", "erin:m");
    let pam = "pam@partner.test";
    let mut acme = Acme::start();
    acme.apply(&hold);
    acme.apply(&monitored);
    let held = || auth("W55", "alice").rcpt(pam, OK).rcpt("bob", OK).end(HELD).got(&["dave:Approvals"]).generated(1);

    let released = keep(&mut acme, &held());
    assert_eq!(released.faults, Vec::<String>::new(), "W55");
    super::nested_groups::accept_only_hold(&acme);
    assert_eq!(acme.find("bob", "INBOX", &released.nonce).len(), 1, "W56");
    assert_eq!(acme.find("erin", "m", &released.nonce).len(), 1, "W56");
    let queue = acme.get("/queue");
    assert_eq!(queue["items"].as_array().map(Vec::len), Some(1), "W56: {queue}");

    let refused = keep(&mut acme, &held());
    assert_eq!(refused.faults, Vec::<String>::new(), "W57");
    let id = acme.get("/holds")["items"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(acme.api("POST", &format!("/holds/{id}/refuse"), "{\"text\":\"no\"}").0, 200, "W57");
    assert_eq!(acme.find("bob", "INBOX", &refused.nonce).len(), 0, "W57");
    assert_eq!(acme.find("erin", "m", &refused.nonce).len(), 0, "W57");
    let dsn = acme.find("alice", "INBOX", &refused.nonce);
    assert_eq!(dsn.len(), 1, "W57");
    assert!(acme.fetch("alice", dsn[0]).contains("Status: 5.7.1\r\n"), "W57");
}
