//! A13, A14 and policy semantics §17: failed logins lock an account for the address that they come from, and nothing but
//! its logins.

use super::super::imap::Imap;
use super::super::scram;
use super::super::server::PASSWORD;
use super::super::smtp::Smtp;
use super::acme::{Acme, auth_plain};
use super::replies::{AUTH_BAD, AUTH_LOCKED, OK};
use super::row::{keep, row, say};

/// So many wrong passwords at once, by SMTP and by IMAP in turn: a session is made to wait after each.
fn fail(acme: &Acme, name: &'static str, times: usize) {
    let (submission, imap) = (acme.server.address("submission"), acme.server.address("imap"));
    let attempts: Vec<_> = (0..times)
        .map(|n| {
            std::thread::spawn(move || {
                if n % 2 == 0 {
                    assert_eq!(say(&mut Smtp::open(submission), &auth_plain(name, "wrong")), AUTH_BAD);
                } else {
                    let refused = Imap::open(imap).command(&format!("LOGIN {name} wrong")).tagged;
                    assert!(refused.starts_with("NO [AUTHENTICATIONFAILED]"), "{refused}");
                }
            })
        })
        .collect();
    attempts.into_iter().for_each(|attempt| attempt.join().expect("refused as it should be"));
}

fn smtp(acme: &Acme, name: &str) -> String {
    say(&mut Smtp::open(acme.server.address("submission")), &auth_plain(name, PASSWORD))
}

fn imap(acme: &Acme, name: &str) -> String {
    Imap::open(acme.server.address("imap")).command(&format!("LOGIN {name} \"{PASSWORD}\"")).tagged
}

#[test]
fn ten_failed_logins_lock_the_account_and_let_its_mail_in() {
    let mut acme = Acme::start();
    acme.imap("alice").ok("NOOP");
    fail(&acme, "alice@corp.test", 5);
    fail(&acme, "a.liu@corp.test", 4);
    assert!(smtp(&acme, "alice@corp.test").starts_with("235 "), "nine do not lock");
    fail(&acme, "alice@corp.test", 1);
    for name in ["alice@corp.test", "a.liu@corp.test", "Alice@CORP.test"] {
        assert_eq!(smtp(&acme, name), AUTH_LOCKED, "A14: {name}");
        let refused = imap(&acme, name);
        assert_eq!(refused, "NO [LIMIT] Too many failed logins, try again later", "A14: {name}");
    }
    // SCRAM is told so before there is a challenge.
    let client = scram::Client::new("alice@corp.test", "n,,", b"");
    let mut session = Smtp::open(acme.server.address("submission"));
    assert_eq!(say(&mut session, &format!("AUTH SCRAM-SHA-256 {}", client.first())), AUTH_LOCKED, "A14");
    // Others behind the same address are not hurt, and the session that is open goes on.
    assert!(smtp(&acme, "bob@corp.test").starts_with("235 "));
    let stored = keep(&mut acme, &row("A13").rcpt("alice", OK).got(&["alice"]));
    assert_eq!(stored.faults, Vec::<String>::new(), "A13");

    let shown = acme.server.cli(&["account", "locks", "alice@corp.test"], "");
    assert!(shown.starts_with("127.0.0.1\t20") && shown.lines().count() == 1, "{shown}");
    acme.server.cli(&["account", "unlock", "alice@corp.test"], "");
    assert_eq!(acme.server.cli(&["account", "locks", "alice@corp.test"], ""), "");
    assert!(smtp(&acme, "alice@corp.test").starts_with("235 ") && imap(&acme, "alice@corp.test").starts_with("OK "));
    let audit = acme.server.cli(&["audit", "list", "--json"], "");
    assert!(audit.contains("account.unlock"), "{audit}");
    assert!(acme.server.log().contains("account locked after failed logins"));
}

#[test]
fn unknown_names_are_locked_as_accounts_are() {
    let acme = Acme::start();
    fail(&acme, "nobody@corp.test", 10);
    assert_eq!(smtp(&acme, "nobody@corp.test"), AUTH_LOCKED);
    assert_eq!(imap(&acme, "NoBody@corp.test"), "NO [LIMIT] Too many failed logins, try again later");
    assert_eq!(smtp(&acme, "nobody2@corp.test"), AUTH_BAD);
    let (status, answer) = acme.api("DELETE", "/accounts/nobody@corp.test/locks", "");
    assert_eq!((status, answer["error"]["key"].as_str()), (404, Some("not_found")));
}
