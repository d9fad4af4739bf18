//! T9: automatic replies.
//!
//! Elsewhere: R02, R03 and R29 (`passing_time`). Left to the tests of the pure function: R24 (filters).

use super::acme::Acme;
use super::replies::OK;
use super::row::{Row, Spf, auth, keep, row, run};

const VACATION: &str = "vacation = { text = \"I am away.\" }\n";

fn account(user: &str, more: &str) -> String {
    format!("[[account]]\naddress = \"{user}@corp.test\"\n{more}")
}

/// Somebody at partner.test writes to alice, who has a vacation reply. Each row has a sender of its own, since nobody is
/// answered twice.
fn written_by(id: &'static str, sender: &'static str) -> Row {
    written_to(id, sender, &account("alice", VACATION))
}

fn written_to(id: &'static str, sender: &'static str, setup: &str) -> Row {
    row(id).setup(setup).mail(sender).spf(Spf::Pass)
}

fn answered(id: &'static str, sender: &'static str) -> Row {
    written_by(id, sender).rcpt("alice", OK).got(&["alice"]).dsn_out(sender)
}

fn silent(id: &'static str, sender: &'static str) -> Row {
    written_by(id, sender).rcpt("alice", OK).got(&["alice"])
}

#[test]
fn replies_go_to_people_who_wrote_to_the_account() {
    let catch_all =
        format!("[[domain]]\nname = \"corp.test\"\ncatch_all = \"dave@corp.test\"\n{}", account("dave", VACATION));
    let forward = account("bob", "forward = { targets = [\"alice@corp.test\"] }\n");
    let junk = "[[rule]]\nname = \"junk\"\nscope = [\"alice@corp.test\"]\nactions = [\"junk\"]\n";
    let past = account("alice", "vacation = { text = \"I was away.\", until = \"2020-01-01T00:00:00Z\" }\n");
    let contacts = account("alice", "vacation = { text = \"Away.\", contacts = [\"*@trusted.test\"] }\n");
    let admins = account("alice", &format!("{VACATION}admin_reply = {{ text = \"Alice has left.\" }}\n"));
    let mut acme = Acme::start();
    acme.dns.txt("_dmarc.dmarc.test", "v=DMARC1; p=none");
    let rows = vec![
        answered("R01", "r01@partner.test"),
        silent("R02, at once", "r01@partner.test"),
        silent("R04", "").from("r04@partner.test"),
        silent("R05", "r05@partner.test").header("Auto-Submitted: auto-generated\r\n"),
        answered("R06", "r06@partner.test").header("Auto-Submitted: no\r\n"),
        silent("R07", "r07@partner.test").header("Precedence: bulk\r\n"),
        silent("R08", "r08@partner.test").header("List-Id: <a.list.test>\r\n"),
        written_by("R09", "r09@partner.test").rcpt("g-any", OK).got(&["alice", "bob", "carol"]),
        silent("R10", "r10@partner.test").to("bob@corp.test"),
        answered("R11", "r11@partner.test").to("a.liu@corp.test"),
        answered("R12", "r12@partner.test").to("alice+x@corp.test"),
        silent("R13", "noreply@partner.test"),
        silent("R14", "list-request@partner.test"),
        auth("R15", "alice")
            .setup(&account("alice", VACATION))
            .mail("a.liu@corp.test")
            .rcpt("alice", OK)
            .got(&["alice"]),
        written_by("R16", "r16@partner.test").setup(junk).rcpt("alice", OK).got(&["alice:Junk"]),
        written_by("R17", "r17@partner.test").setup(&catch_all).rcpt("nobody", OK).to("dave@corp.test").got(&["dave"]),
        written_by("R18", "r18@partner.test")
            .setup(&forward)
            .rcpt("bob", OK)
            .to("alice@corp.test")
            .got(&["alice", "bob"]),
        silent("R19", "r19@partner.test").header("MIME-Version: 1.0\r\nContent-Type: multipart/report; boundary=x\r\n"),
        written_to("R20", "r20@partner.test", &past).rcpt("alice", OK).got(&["alice"]),
        written_to("R21", "r21@partner.test", &contacts).rcpt("alice", OK).got(&["alice"]),
        silent("R22", "r22@partner.test").header("X-Auto-Response-Suppress: OOF\r\n"),
        written_to("R23", "r23@partner.test", &admins).rcpt("alice", OK).got(&["alice"]).dsn_out("r23@partner.test"),
        silent("R25", "r25@dmarc.test").spf(Spf::None),
        answered("R26", "r26@ext.test").spf(Spf::None),
        silent("SPF fail, no DKIM", "r7@partner.test").spf(Spf::Fail),
        silent("R30", "r01+1@partner.test"),
    ];
    run(&mut acme, rows);
}

#[test]
fn replies_look_as_rfc_3834_asks_and_end_there() {
    let mut acme = Acme::start();
    let both = format!("{}{}", account("alice", VACATION), account("bob", VACATION));
    acme.apply(&both);
    let r28 = keep(&mut acme, &auth("R28", "alice").rcpt("bob", OK).got(&["bob"]).generated(1));
    assert_eq!(r28.faults, Vec::<String>::new(), "R28");

    let found = acme.find("alice", "INBOX", &r28.nonce);
    assert_eq!(found.len(), 1, "R28");
    let reply = acme.fetch("alice", found[0]);
    for line in [
        "Return-Path: <>",
        "Auto-Submitted: auto-replied",
        &format!("In-Reply-To: <{}>", r28.nonce),
        &format!("References: <{}>", r28.nonce),
        "Subject: Auto: row R28",
    ] {
        assert!(reply.contains(&format!("{line}\r\n")), "R01: {line}\n{reply}");
    }
    assert!(reply.contains("From: bob@corp.test\r\n") || reply.contains("From: <bob@corp.test>\r\n"), "R01: {reply}");
    assert!(reply.contains("I am away.") && !reply.contains("Hello."), "R01: {reply}");
}
