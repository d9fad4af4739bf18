//! T3: who may send to a group.

use super::super::smtp::dot_stuffed;
use super::acme::{Acme, CLIENT};
use super::replies::{GROUP_DENIED, GROUP_EMPTY, GROUP_RETRY, GROUP_UNVERIFIED, OK, SPLIT, USER_UNKNOWN};
use super::row::{ACCEPTED, Row, Spf, auth, row, run, say};

/// What g-dom is in the fixture.
const G_DOM: &str = "members = [\"alice@corp.test\", \"bob@corp.test\", \"frank@corp.test\"]\n";

/// What g-wl is in the fixture.
const G_WL: &str = "permission = \"whitelist\"\nwhitelist = [\"bob@corp.test\", \"pam@partner.test\", \"*@trusted.test\"]\nmembers = \
     [\"alice@corp.test\", \"carol@corp.test\"]\n";

/// A group as it says, with its name.
fn group(name: &str, rest: &str) -> String {
    format!("[[group]]\naddress = \"{name}@corp.test\"\n{rest}")
}

/// A relay at the address of the rows' clients.
fn relay(kind: &str) -> String {
    format!("[[relay]]\nnetwork = \"{CLIENT}\"\nkind = \"{kind}\"\n")
}

/// pam writes from a host of which SPF says this.
fn pam(id: &'static str, spf: Spf) -> Row {
    row(id).mail("pam@partner.test").spf(spf)
}

/// Somebody claims to be alice, from a host of which SPF says this.
fn claims_alice(id: &'static str, spf: Spf) -> Row {
    row(id).mail("alice@corp.test").spf(spf)
}

#[test]
fn same_domain_groups() {
    let gina = "[[alias]]\naddress = \"gina@corp.test\"\naccount = \"gina@branch.test\"\n";
    let of_organisation = group("g-dom", &format!("permission = \"organisation\"\n{G_DOM}"));
    let with_auth = group("g-dom", &format!("require_auth = true\n{G_DOM}"));
    let alice_and_bob = &["alice", "bob"];
    let mut acme = Acme::start();
    let rows = vec![
        auth("P01", "alice").rcpt("g-dom", OK).got(alice_and_bob),
        auth("P02", "alice").mail("a.liu@corp.test").rcpt("g-dom", OK).got(alice_and_bob),
        auth("P03", "carol").rcpt("g-dom", OK).got(alice_and_bob),
        auth("P04", "gina@branch.test").rcpt("g-dom", GROUP_DENIED),
        auth("P05", "gina@branch.test").setup(gina).rcpt("g-dom", OK).got(alice_and_bob),
        row("P06").rcpt("g-dom", GROUP_DENIED),
        claims_alice("P07", Spf::Fail).rcpt("g-dom", OK).end(GROUP_UNVERIFIED),
        claims_alice("P08", Spf::None).signed("corp.test").rcpt("g-dom", OK).got(alice_and_bob),
        claims_alice("P09", Spf::Pass).rcpt("g-dom", OK).got(alice_and_bob),
        row("P10").mail("nobody@corp.test").spf(Spf::Pass).rcpt("g-dom", GROUP_DENIED),
        row("P11").mail("").rcpt("g-dom", GROUP_DENIED),
        row("P12").mail("frank@corp.test").spf(Spf::Pass).rcpt("g-dom", GROUP_DENIED),
        row("P13").mail("x@evil.test").spf(Spf::Pass).from("alice@corp.test").rcpt("g-dom", GROUP_DENIED),
        claims_alice("P14", Spf::Pass).from("bob@ext.test").rcpt("g-dom", OK).end(GROUP_UNVERIFIED),
        claims_alice("P15", Spf::None).signed("ext.test").rcpt("g-dom", OK).end(GROUP_UNVERIFIED),
        claims_alice("P16", Spf::None).setup(&relay("trusted-relay")).rcpt("g-dom", OK).got(alice_and_bob),
        row("P17").setup(&relay("trusted-relay")).mail("scanner@corp.test").rcpt("g-dom", GROUP_DENIED),
        claims_alice("P18", Spf::Fail).setup(&relay("gateway")).rcpt("g-dom", OK).end(GROUP_UNVERIFIED),
        auth("P19", "alice").mail("").rcpt("g-dom", OK).got(alice_and_bob),
        auth("P20", "bob").mail("support@corp.test").rcpt("g-dom", OK).got(alice_and_bob),
        row("P21").mail("alice@corp-alias.test").spf(Spf::Pass).rcpt("g-dom", OK).got(alice_and_bob),
        auth("P52", "gina@branch.test").setup(&of_organisation).rcpt("g-dom", OK).got(alice_and_bob),
        claims_alice("P61", Spf::Pass).setup(&with_auth).signed("corp.test").rcpt("g-dom", GROUP_DENIED),
        auth("P62", "alice").setup(&with_auth).rcpt("g-dom", OK).got(alice_and_bob),
    ];
    run(&mut acme, rows);
}

#[test]
fn members_anyone_and_hidden_groups() {
    let members = "permission = \"members\"\nmembers = [\"alice@corp.test\", \"carol@corp.test\"";
    let managed = group("g-mem", &format!("{members}]\nmanagers = [\"bob@corp.test\"]\n"));
    let nested = format!(
        "{}{}",
        group("team", "members = [\"dave@corp.test\"]\n"),
        group("g-mem", &format!("{members}, \"group:team@corp.test\"]\n"))
    );
    let with_pam = group("g-mem", &format!("external_members = true\n{members}, \"pam@partner.test\"]\n"));
    let alice_and_carol = &["alice", "carol"];
    let all = &["alice", "bob", "carol"];
    let mut acme = Acme::start();
    let rows = vec![
        auth("P22", "carol").rcpt("g-mem", OK).got(alice_and_carol),
        auth("P23", "bob").rcpt("g-mem", GROUP_DENIED),
        auth("P24", "alice").mail("a.liu@corp.test").rcpt("g-mem", OK).got(alice_and_carol),
        auth("P25", "bob").setup(&managed).rcpt("g-mem", GROUP_DENIED),
        auth("P26", "admin").rcpt("g-mem", GROUP_DENIED),
        auth("P27", "dave").setup(&nested).rcpt("g-mem", OK).got(&["alice", "carol", "dave"]),
        pam("P28", Spf::Pass)
            .setup(&with_pam)
            .rcpt("g-mem", OK)
            .got(alice_and_carol)
            .out("pam@partner.test", "bounce+"),
        pam("P29", Spf::Fail).setup(&with_pam).rcpt("g-mem", OK).end(GROUP_UNVERIFIED),
        row("P30").rcpt("g-any", OK).got(all),
        row("P31").mail("").rcpt("g-any", OK).got(all),
        claims_alice("P32", Spf::Fail).rcpt("g-any", OK).got(all),
        auth("P47", "alice").rcpt("g-hid", OK).got(&["bob"]),
        auth("P48", "bob").rcpt("g-hid", GROUP_DENIED),
        row("P49").rcpt("g-hid", USER_UNKNOWN),
        claims_alice("P50", Spf::None).rcpt("g-hid", USER_UNKNOWN),
        claims_alice("P51", Spf::Pass).rcpt("g-hid", OK).got(&["bob"]),
    ];
    run(&mut acme, rows);
    snapshot_of_mail_holds_to_the_end_of_data(&acme);
}

#[test]
fn whitelists_and_recipients_that_travel_alone() {
    let with_auth = group("g-wl", &format!("require_auth = true\n{G_WL}"));
    let alice_and_carol = &["alice", "carol"];
    let mut acme = Acme::start();
    let rows = vec![
        auth("P33", "bob").rcpt("g-wl", OK).got(alice_and_carol),
        auth("P34", "alice").rcpt("g-wl", GROUP_DENIED),
        auth("P35", "admin").rcpt("g-wl", GROUP_DENIED),
        pam("P36", Spf::Pass).rcpt("g-wl", OK).got(alice_and_carol),
        pam("P37", Spf::SoftFail).signed("partner.test").rcpt("g-wl", OK).got(alice_and_carol),
        pam("P38", Spf::Fail).rcpt("g-wl", OK).end(GROUP_UNVERIFIED),
        pam("P39", Spf::TempError).rcpt("g-wl", OK).end(GROUP_RETRY),
        row("P40").mail("any@trusted.test").spf(Spf::Pass).rcpt("g-wl", OK).got(alice_and_carol),
        row("P41").mail("any@sub.trusted.test").spf(Spf::Pass).rcpt("g-wl", GROUP_DENIED),
        row("P42").mail("bob@corp.test").rcpt("g-wl", OK).end(GROUP_UNVERIFIED),
        row("P43").mail("PAM@Partner.Test").spf(Spf::Pass).rcpt("g-wl", OK).got(alice_and_carol),
        auth("P44", "alice").rcpt("g-mw", OK).got(&["alice"]),
        pam("P45", Spf::Pass).rcpt("g-mw", OK).got(&["alice"]),
        auth("P46", "bob").rcpt("g-mw", GROUP_DENIED),
        pam("P53", Spf::None).rcpt("alice", OK).rcpt("g-wl", SPLIT).got(&["alice"]),
        pam("P54", Spf::None).signed("partner.test").rcpt("g-wl", OK).rcpt("alice", SPLIT).got(alice_and_carol),
        pam("P55", Spf::None).signed("partner.test").rcpt("g-wl", OK).rcpt("g-mw", OK).got(alice_and_carol),
        auth("P56", "bob").rcpt("alice", OK).rcpt("g-mem", GROUP_DENIED).got(&["alice"]),
        pam("P57", Spf::Pass)
            .from("ceo@corp.test")
            .rcpt("alice", OK)
            .rcpt("g-wl", OK)
            .got(&["alice"])
            .dsn_out("pam@partner.test"),
        pam("P63", Spf::Pass).setup(&with_auth).rcpt("g-wl", GROUP_DENIED),
        // Beside the table: a group that nobody is left in says so only to those who may send to it.
        row("empty, to an outsider").rcpt("g-emp", GROUP_DENIED),
        auth("empty, to an insider", "bob").rcpt("g-emp", GROUP_EMPTY),
    ];
    run(&mut acme, rows);
}

/// P59 and P60: what an administrator changes meanwhile is for the next transaction.
fn snapshot_of_mail_holds_to_the_end_of_data(acme: &Acme) {
    let message = |id: &str, user: &str| {
        dot_stuffed(format!("From: {user}@corp.test\r\nTo: g-mem@corp.test\r\nSubject: {id}\r\n\r\n.\r\n").as_bytes())
    };
    let members = |list: &str| {
        let (status, answer) = acme.api("PUT", "/groups/g-mem@corp.test/members", &format!("{{\"members\":[{list}]}}"));
        assert_eq!(status, 200, "{answer}");
    };
    let mut bob = acme.login("bob");
    bob.command("MAIL FROM:<bob@corp.test>", 250);
    members("\"alice@corp.test\", \"carol@corp.test\", \"bob@corp.test\"");
    assert_eq!(say(&mut bob, "RCPT TO:<g-mem@corp.test>"), GROUP_DENIED, "P59");

    let mut alice = acme.login("alice");
    alice.command("MAIL FROM:<alice@corp.test>", 250);
    assert_eq!(say(&mut alice, "RCPT TO:<g-mem@corp.test>"), OK, "P60");
    members("\"carol@corp.test\"");
    alice.command("DATA", 354);
    alice.wire.send(&message("P60", "alice"));
    let reply = alice.expect(250).lines.join(" ");
    let start = ACCEPTED.trim_start_matches("250 ").trim_end_matches("<id>");
    let id = reply.strip_prefix(start).expect("an id");
    let mut got = super::row::deliveries(acme, id);
    got.sort();
    assert_eq!(got, ["alice", "bob", "carol"], "P60: the members at MAIL");
    acme.reset();
}
