//! What forgers try (policy semantics §3, invariants 4, 9 and 11 of §22): no group that is closed to them is ever reached,
//! nothing they write becomes a header field, a reply or a command, and no bystander hears of it.

use serde_json::json;

use super::super::smtp::dot_stuffed;
use super::acme::{Acme, CLIENT, FIXTURE};
use super::replies::{GROUP_UNVERIFIED, OK, USER_UNKNOWN};
use super::row::{Row, Spf, auth, keep, row, run, say};

/// Groups that a forger may not reach, and what each of them takes a sender for who might.
const CLOSED: &[&str] = &["g-dom", "g-mem", "g-wl", "g-mw", "g-hid", "g-only", "g-ext", "g-frz", "g-emp", "g-sal"];

/// Identities that are worth a forgery: together they may write to every closed group.
const CLAIMS: &[&str] =
    &["alice@corp.test", "bob@corp.test", "pam@partner.test", "any@trusted.test", "alice@corp-alias.test"];

/// One attempt: what the DNS says of the claim, the From fields, who has signed.
struct Attempt {
    name: &'static str,
    /// MAIL FROM instead of the claim.
    mail: Option<&'static str>,
    spf: Option<&'static str>,
    from: &'static str,
    signer: Option<&'static str>,
}

const ATTEMPTS: &[Attempt] = &[
    Attempt { name: "reverse-path, SPF none", mail: None, spf: None, from: "From: {}", signer: None },
    Attempt { name: "reverse-path, SPF fail", mail: None, spf: Some("v=spf1 -all"), from: "From: {}", signer: None },
    Attempt {
        name: "reverse-path, SPF softfail",
        mail: None,
        spf: Some("v=spf1 ~all"),
        from: "From: {}",
        signer: None,
    },
    Attempt {
        name: "reverse-path, SPF of everybody is neutral",
        mail: None,
        spf: Some("v=spf1 ?all"),
        from: "From: {}",
        signer: None,
    },
    Attempt {
        name: "reverse-path, SPF in error",
        mail: None,
        spf: Some("v=spf1 include:"),
        from: "From: {}",
        signer: None,
    },
    Attempt {
        name: "reverse-path, signed by evil",
        mail: None,
        spf: None,
        from: "From: {}",
        signer: Some("evil.test"),
    },
    Attempt {
        name: "From, under a verified reverse-path",
        mail: Some("x@evil.test"),
        spf: Some("v=spf1 +all"),
        from: "From: {}",
        signer: Some("evil.test"),
    },
    Attempt {
        name: "From, under the null reverse-path",
        mail: Some(""),
        spf: None,
        from: "From: {}",
        signer: Some("evil.test"),
    },
    Attempt {
        name: "name in From",
        mail: Some("x@evil.test"),
        spf: Some("v=spf1 +all"),
        from: "From: \"{}\" <x@evil.test>",
        signer: None,
    },
    Attempt {
        name: "Sender and Reply-To",
        mail: Some("x@evil.test"),
        spf: Some("v=spf1 +all"),
        from: "From: x@evil.test\r\nSender: {}\r\nReply-To: {}",
        signer: None,
    },
    Attempt {
        name: "two From fields",
        mail: Some("x@evil.test"),
        spf: Some("v=spf1 +all"),
        from: "From: x@evil.test\r\nFrom: {}",
        signer: Some("evil.test"),
    },
    Attempt {
        name: "subdomain",
        mail: Some("alice@sub.corp.test"),
        spf: Some("v=spf1 +all"),
        from: "From: {}",
        signer: Some("sub.corp.test"),
    },
];

#[test]
fn no_forgery_reaches_a_closed_group() {
    let acme = Acme::start();
    forge(&acme);
    // A gateway in front does not make it any better.
    acme.apply(&format!("[[relay]]\nnetwork = \"{CLIENT}\"\nkind = \"gateway\"\n"));
    forge(&acme);
}

/// Every attempt with every claim at every closed group: nothing is delivered, nothing is queued.
fn forge(acme: &Acme) {
    let before = acme.entries();
    for attempt in ATTEMPTS {
        for claim in CLAIMS {
            let mail = attempt.mail.unwrap_or(claim);
            if let Some((_, domain)) = mail.rsplit_once('@') {
                acme.publish(domain, attempt.spf);
            }
            let header = format!("{}\r\nTo: you@corp.test\r\nSubject: forged\r\n\r\nHello.\r\n", attempt.from);
            let mut message = header.replace("{}", claim).into_bytes();
            if let Some(signer) = attempt.signer {
                use super::super::signer::{Key, Signer};
                message = Signer::new(&acme.dns, signer, Key::Ed25519).sign(&message);
            }
            let mut session = acme.host(CLIENT);
            for group in CLOSED {
                let at = format!("{}, {claim} to {group}", attempt.name);
                session.command(&format!("MAIL FROM:<{mail}>"), 250);
                let reply = say(&mut session, &format!("RCPT TO:<{group}@corp.test>"));
                if reply == OK {
                    session.command("DATA", 354);
                    session.wire.send(&dot_stuffed(&message));
                    let reply = session.reply();
                    assert!(reply.code >= 400, "{at}: {reply:?}");
                    assert!(*group != "g-hid", "{at}: a pending state shows that it exists");
                } else {
                    session.command("RSET", 250);
                }
            }
            if let Some((_, domain)) = mail.rsplit_once('@') {
                acme.publish(domain, None);
            }
        }
    }
    assert_eq!(acme.entries(), before, "something was delivered");
    assert_eq!(acme.get("/queue")["items"], json!([]), "something was queued");
}

#[test]
fn authors_must_agree_with_the_verified_reverse_path() {
    let to_list = |id| row(id).mail("pam@partner.test").spf(Spf::Pass).rcpt("g-wl", OK).end(GROUP_UNVERIFIED);
    let signed = |id| row(id).mail("pam@partner.test").signed("partner.test").rcpt("g-wl", OK).end(GROUP_UNVERIFIED);
    let second = |row: Row| row.header("From: ceo@corp.test\r\n");
    let mut acme = Acme::start();
    let rows = vec![
        second(to_list("two From fields")),
        second(signed("two From fields, the first signed")),
        to_list("two authors").from("pam@partner.test, ceo@corp.test"),
        to_list("no From").from(""),
        to_list("empty From").from("<>"),
        to_list("group in From").from("undisclosed: ;"),
        to_list("unreadable From").from("pam@partner.test, ceo@@corp"),
        to_list("look-alike").from("pam@partner.test.evil.test"),
    ];
    run(&mut acme, rows);
}

/// Servers that answer for themselves need no permission: nobody may make them speak to a group.
#[test]
fn replies_and_notices_are_not_sent_to_claimed_groups() {
    let vacation = "[[account]]\naddress = \"alice@corp.test\"\nvacation = { text = \"Away.\" }\n";
    let mut acme = Acme::start();
    let mut rows = Vec::new();
    for group in ["g-dom@corp.test", "g-hid@corp.test", "g-ext@corp.test", "g-any@corp.test"] {
        for spf in [Spf::None, Spf::Pass] {
            rows.push(row("vacation").setup(vacation).mail(group).spf(spf).rcpt("alice", OK).got(&["alice"]));
        }
    }
    // Part of g-out is closed to whoever this is, and nobody is told.
    rows.push(row("partial notice").mail("g-dom@corp.test").spf(Spf::Pass).rcpt("g-out", OK).got(&["bob"]));
    // Through bob's forward, the one that is asked is bob.
    let forward =
        "[[account]]\naddress = \"bob@corp.test\"\nforward = { targets = [\"g-mem@corp.test\"], keep = false }\n";
    rows.push(row("forward").setup(forward).mail("alice@corp.test").rcpt("bob", OK).got(&["bob"]));
    rows.push(
        row("verified forward").setup(forward).mail("alice@corp.test").spf(Spf::Pass).rcpt("bob", OK).got(&["bob"]),
    );
    run(&mut acme, rows);
}

#[test]
fn nothing_a_peer_writes_becomes_a_field_or_a_command() {
    let vacation = "[[account]]\naddress = \"alice@corp.test\"\nvacation = { text = \"Away.\" }\n";
    let mut acme = Acme::start();
    acme.apply(vacation);
    let subject = "=?utf-8?q?a=0D=0ABcc:_victim@ext.test=0D=0A=0D=0AX?=";
    let trap = row("injection").subject(subject).mail("carol@corp.test").rcpt("alice", OK).got(&["alice"]).generated(1);
    let outcome = keep(&mut acme, &trap);
    assert_eq!(outcome.faults, Vec::<String>::new());
    let found = acme.find("carol", "INBOX", &outcome.nonce);
    let reply = acme.fetch("carol", found[0]);
    assert!(!reply.contains("\r\nBcc:") && !reply.contains("\r\n\r\nX"), "{reply}");

    let mut session = acme.host(CLIENT);
    for line in [
        "MAIL FROM:<a@ext.test>\rRCPT TO:<bob@corp.test>",
        "MAIL FROM:<a@ext.test\n>",
        "MAIL FROM:<\"a\r@b\"@ext.test>",
        "MAIL FROM:<a\0@ext.test>",
    ] {
        let reply = say(&mut session, line);
        assert!(reply.starts_with('5'), "{}: {reply}", line.escape_debug());
    }
    texts_of_administrators_stay_one_line(&mut acme);
}

/// What an administrator writes ends up in replies and header fields, so that it has no line ends, or loses them.
fn texts_of_administrators_stay_one_line(acme: &mut Acme) {
    let evil = "No.\r\n250 2.0.0 Accepted";
    let frank = json!({ "address": "frank@corp.test", "state": "frozen", "refusal_text": evil });
    let (status, _) = acme.api("PUT", "/accounts/frank@corp.test", &frank.to_string());
    if status < 300 {
        let mut session = acme.host(CLIENT);
        session.command("MAIL FROM:<stranger@ext.test>", 250);
        session.command("RCPT TO:<frank@corp.test>", 550);
        session.command("NOOP", 250);
    }
    let copy = json!([{ "copy": { "monitor": "erin@corp.test", "folder": "m" } }]);
    let rule = json!({ "name": "copy\r\nX-Evil: 1", "scope": ["bob@corp.test"], "actions": copy });
    let (status, _) = acme.api("POST", "/rules", &rule.to_string());
    if status < 300 {
        let copied = keep(acme, &row("rule name").rcpt("bob", OK).got(&["bob", "erin:m"]));
        assert_eq!(copied.faults, Vec::<String>::new());
        let uid = acme.find("erin", "m", &copied.nonce)[0];
        let whole = acme.fetch("erin", uid);
        assert!(!whole.contains("\r\nX-Evil:"), "{whole}");
    }
    for (header, value) in [("X-A\r\nX-Evil", "1"), ("X-A", "1\r\nX-Evil: 1"), ("From", "ceo@corp.test")] {
        let tag = json!([{ "tag": { "header": header, "value": value } }]);
        let rule = json!({ "name": "tag", "scope": ["carol@corp.test"], "actions": tag });
        let (status, answer) = acme.api("POST", "/rules", &rule.to_string());
        assert!((400..500).contains(&status), "{header}: {value}: {status} {answer}");
    }
    let prefix = json!({ "text": "Away.", "subject_prefix": "Auto:\r\nBcc: victim@ext.test\r\nX: " });
    let (status, _) = acme.api("PUT", "/accounts/bob@corp.test/vacation", &prefix.to_string());
    if status < 300 {
        let answered = keep(acme, &auth("prefix", "dave").rcpt("bob", OK).got(&["bob", "erin:m"]).generated(1));
        let found = acme.find("dave", "INBOX", &answered.nonce);
        let reply = acme.fetch("dave", found[0]);
        assert!(!reply.contains("\r\nBcc:"), "{reply}");
    }
    acme.apply(FIXTURE);
}

#[test]
fn rewritten_addresses_cannot_be_made_up() {
    let acme = Acme::start();
    let mut session = acme.host(CLIENT);
    session.command("MAIL FROM:<>", 250);
    for local in [
        "SRS0=AAAAAAAA=AB=victim.test=somebody",
        "SRS0=AAAAAAAA=1=corp.test=g-mem",
        "srs0=aaaaaaaa=ab=victim.test=somebody",
        "SRS0+AAAAAAAA=AB=victim.test=somebody",
        "SRS0-AAAAAAAA=AB=victim.test=somebody",
        "SRS1=AAAAAAAA=evil.test==AAAAAAAA=AB=victim.test=somebody",
        "SRS0=",
        "SRS0====",
        "SRS0=AAAAAAAA",
        "SRS0T=AAAAAAAAAAAAAAAAAAAAAAAAAA",
        "bounce+1",
        "bounce+AAAAAAAA",
        "bounce+AAAAAAAA=AB=1",
    ] {
        assert_eq!(say(&mut session, &format!("RCPT TO:<{local}@corp.test>")), USER_UNKNOWN, "{local}");
    }
    assert_eq!(acme.get("/queue")["items"], json!([]));
}
