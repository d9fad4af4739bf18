//! Lists of senders: whom accounts and domains do not hear, and whose mail is no junk. Beside the decision tables.

use super::acme::Acme;
use super::replies::{GROUP_UNVERIFIED, OK};
use super::row::{Spf, auth, keep, play, row, run};

const SENDER_LISTED: &str = "550 5.7.1 Sender is blocked by the recipient's domain";

/// corp.test with this.
fn corp(more: &str) -> String {
    format!("[[domain]]\nname = \"corp.test\"\n{more}\n")
}

/// alice as the fixture has her, and this.
fn alice(more: &str) -> String {
    format!("[[account]]\naddress = \"alice@corp.test\"\ndepartments = [\"/Sales\"]\n{more}\n")
}

const REFUSES: &str = "blocked = [{ sender = \"*@evil.test\" }]";

#[test]
fn domains_block_senders() {
    let refuses = corp(REFUSES);
    let junk = corp("blocked = [{ sender = \"*@evil.test\", action = \"junk\" }]");
    let drops = corp("blocked = [{ sender = \"*@evil.test\", action = \"drop\" }]");
    let opens = refuses.clone() + &alice("allowed = [\"eve@evil.test\"]");
    let eve = |id| row(id).mail("eve@evil.test");
    let mut acme = Acme::start();
    let rows = vec![
        eve("refused").setup(&refuses).rcpt("alice", SENDER_LISTED),
        eve("refused-group").setup(&refuses).rcpt("g-any", SENDER_LISTED),
        eve("refused-second-name").setup(&refuses).rcpt("alice@corp-alias.test", SENDER_LISTED),
        eve("refused-for-one")
            .setup(&refuses)
            .rcpt("alice", SENDER_LISTED)
            .rcpt("gina@branch.test", OK)
            .got(&["gina@branch.test"]),
        eve("postmaster").setup(&refuses).rcpt("postmaster", OK).got(&["admin"]),
        eve("junk").setup(&junk).rcpt("alice", OK).got(&["alice:Junk"]),
        eve("drop").setup(&drops).rcpt("alice", OK),
        // The author is known at the end of data alone.
        row("author").setup(&refuses).from("eve@evil.test").rcpt("alice", OK).end(SENDER_LISTED),
        row("author-of-some")
            .setup(&refuses)
            .from("eve@evil.test")
            .rcpt("alice", OK)
            .rcpt("gina@branch.test", OK)
            .got(&["alice:Junk", "gina@branch.test"]),
        // An account's own entry beats its domain's, once the sender is proven.
        eve("opened").setup(&opens).spf(Spf::Pass).rcpt("alice", OK).got(&["alice"]),
        eve("opened-by-dkim").setup(&opens).signed("evil.test").rcpt("alice", OK).got(&["alice"]),
        eve("opened-unproven").setup(&opens).rcpt("alice", OK).end(GROUP_UNVERIFIED),
        auth("login", "bob").setup(&corp("blocked = [{ sender = \"bob@corp.test\" }]")).rcpt("alice", SENDER_LISTED),
    ];
    run(&mut acme, rows);
}

/// DMARC of partner.test fails for mail of news.partner.test, whose sender SPF proves nevertheless.
#[test]
fn allowed_senders_are_no_junk_and_forged_ones_are() {
    let strict = "[[organisation]]\nname = \"acme\"\ndmarc = \"junk\"\n";
    let own = strict.to_owned() + &alice("allowed = [\"pam@news.partner.test\"]");
    let domains = strict.to_owned() + &corp("allowed = [\"*@news.partner.test\"]");
    let both = domains.clone() + &alice("blocked = [{ sender = \"pam@news.partner.test\" }]");
    let rule = own.clone()
        + "[[rule]]\nname = \"r\"\ndirection = \"received\"\nconditions = [{ keyword = { places = [\"subject\"], values = \
           [\"by-rule\"] } }]\nactions = [\"junk\"]\n";
    let pam = |id| row(id).mail("pam@news.partner.test").from("pam@partner.test").rcpt("alice", OK);
    let mut acme = Acme::start();
    acme.dns.txt("_dmarc.partner.test", "v=DMARC1; p=quarantine; aspf=s; adkim=s");
    acme.dns.txt("_dmarc.evil.test", "v=DMARC1; p=quarantine");
    let rows = vec![
        pam("not-listed").setup(strict).spf(Spf::Pass).got(&["alice:Junk"]),
        pam("allowed").setup(&own).spf(Spf::Pass).got(&["alice"]),
        pam("forged").setup(&own).spf(Spf::Fail).got(&["alice:Junk"]),
        pam("forged-author").setup(&own).spf(Spf::Pass).from("boss@evil.test").got(&["alice:Junk"]),
        pam("domain-allows").setup(&domains).spf(Spf::Pass).got(&["alice"]),
        pam("domain-forged").setup(&domains).spf(Spf::SoftFail).got(&["alice:Junk"]),
        pam("own-block-first").setup(&both).spf(Spf::Pass).got(&["alice:Junk"]),
        pam("by-rule").setup(&rule).spf(Spf::Pass).got(&["alice:Junk"]),
    ];
    run(&mut acme, rows);
}

#[test]
fn the_entry_that_decides_is_told() {
    let mut acme = Acme::start();
    let listed = corp(REFUSES) + &alice("blocked = [{ sender = \"*@ext.test\" }]\nallowed = [\"pam@partner.test\"]");
    acme.apply(&listed);
    acme.apply(&listed);
    let explain = |from: &str| {
        let client = ["explain", "--from", from, "--to", "alice@corp.test", "--client", "192.0.2.10"];
        acme.server.cli(&[&client[..], &["--spf", "pass"]].concat(), "")
    };
    for (from, want) in [
        ("eve@evil.test", "list: alice@corp.test: domain corp.test blocks *@evil.test (refuse)\n"),
        ("stranger@ext.test", "list: alice@corp.test: its owner blocks *@ext.test (junk)\n"),
        ("pam@partner.test", "list: alice@corp.test: its owner allows pam@partner.test\n"),
    ] {
        let told = explain(from);
        assert!(told.contains(want), "{from}: {told}");
    }
    let stranger = keep(&mut acme, &row("traced").rcpt("alice", OK).got(&["alice:Junk"]));
    assert_eq!(stranger.faults, Vec::<String>::new());
    let trace = acme.get(&format!("/trace/{}", stranger.message.expect("accepted")));
    let (listed, junk) = (&trace["record"]["listed"], &trace["record"]["junk"]);
    assert_eq!(listed[0]["list"], "its owner blocks *@ext.test (junk)", "{trace}");
    assert_eq!(
        (&junk[0]["account"], &junk[0]["why"]),
        (&"alice@corp.test".into(), &"list of senders".into()),
        "{trace}"
    );
    let dropped = alice("blocked = [{ sender = \"*@ext.test\", action = \"drop\" }]");
    let dropped = play(&mut acme, &row("traced").setup(&dropped).rcpt("alice", OK));
    assert_eq!(dropped.faults, Vec::<String>::new());
    let trace = acme.get(&format!("/trace/{}", dropped.message.expect("accepted")));
    assert_eq!(trace["record"]["omitted"][0]["why"], "sender blocked by the owner", "{trace}");
}
