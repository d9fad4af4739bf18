//! T7: account states, and with whom an account may correspond.

use super::super::imap::Imap;
use super::super::server::PASSWORD;
use super::super::smtp::Smtp;
use super::acme::{Acme, auth_plain};
use super::replies::{AUTH_BAD, AUTH_DISABLED, GROUP_UNVERIFIED, OK, RECV_SCOPE, SEND_SCOPE, USER_DISABLED};
use super::row::{Spf, auth, keep, play, row, run, say};

/// frank as the fixture has him, and this.
fn frank(more: &str) -> String {
    format!("[[account]]\naddress = \"frank@corp.test\"\ndepartments = [\"/Sales\"]\nstate = \"frozen\"\n{more}\n")
}

/// alice as the fixture has her, and this.
fn alice(more: &str) -> String {
    format!("[[account]]\naddress = \"alice@corp.test\"\ndepartments = [\"/Sales\"]\n{more}\n")
}

#[test]
fn frozen_blocked_and_binned_accounts() {
    let stores = frank("incoming = \"store\"");
    let forwards = frank("incoming = \"forward\"\nadmin_forward = { targets = [\"dave@corp.test\"] }");
    let both = frank("incoming = \"store+forward\"\nadmin_forward = { targets = [\"dave@corp.test\"] }");
    let text = frank("refusal_text = \"Frank has left, ask dave\"");
    let replies = frank("incoming = \"store\"\nadmin_reply = { text = \"Frank is away.\" }");
    let suspended = frank("incoming = \"store\"\nforward = { targets = [\"bob@corp.test\"] }");
    let handed_over = "[[account]]\naddress = \"zoe@corp.test\"\nstate = \"binned\"\nadmin_forward = { targets = \
                       [\"dave@corp.test\"] }\n";
    let aliased = "[[alias]]\naddress = \"f.alias@corp.test\"\naccount = \"frank@corp.test\"\n";
    let mut acme = Acme::start();
    let rows = vec![
        row("A01").rcpt("frank", USER_DISABLED),
        row("A02").setup(&stores).rcpt("frank", OK).got(&["frank"]),
        row("A03").setup(&forwards).rcpt("frank", OK).got(&["dave"]),
        row("A04").setup(&both).rcpt("frank", OK).got(&["dave", "frank"]),
        row("A05").setup(&text).rcpt("frank", "550 5.2.1 Frank has left, ask dave"),
        row("A06")
            .setup(&replies)
            .mail("pam@partner.test")
            .spf(Spf::Pass)
            .rcpt("frank", OK)
            .got(&["frank"])
            .dsn_out("pam@partner.test"),
        row("A11").setup(&suspended).rcpt("frank", OK).got(&["frank"]),
        row("A16").setup(&alice("state = \"send-blocked\"")).rcpt("alice", OK).got(&["alice"]),
        row("A18").setup(handed_over).rcpt("zoe", OK).got(&["dave"]),
        row("A19").setup(aliased).rcpt("f.alias", USER_DISABLED),
        row("A30").setup(&alice("blocked = [{ sender = \"stranger@ext.test\", action = \"drop\" }]")).rcpt("alice", OK),
    ];
    run(&mut acme, rows);
    thawed(&mut acme, &suspended);
    logins(&acme);
}

/// A10, for a client that asks for something; one that only waits is a known gap.
#[test]
fn freezing_ends_open_sessions_at_their_next_command() {
    let acme = Acme::start();
    for state in ["frozen", "binned"] {
        acme.apply(&alice("state = \"active\""));
        let mut imap = Imap::login(acme.server.address("imap"), "alice@corp.test", PASSWORD);
        imap.ok("SELECT INBOX");
        acme.apply(&alice(&format!("state = \"{state}\"")));
        imap.wire.send(b"x FETCH 1:* (BODY[])\r\n");
        let answer = String::from_utf8_lossy(&imap.response()).into_owned();
        assert!(answer.starts_with("* BYE"), "A10: {state}: {answer}");
        assert!(imap.wire.closes(), "A10: {state}");
    }
}

/// A12: what was suspended comes back, and what was stored is there.
fn thawed(acme: &mut Acme, suspended: &str) {
    acme.apply(suspended);
    let stored = keep(acme, &row("A11").rcpt("frank", OK).got(&["frank"]));
    assert_eq!(stored.faults, Vec::<String>::new(), "A11");
    acme.apply(&suspended.replace("frozen", "active"));
    let now = keep(acme, &row("A12").rcpt("frank", OK).got(&["bob", "frank"]));
    assert_eq!(now.faults, Vec::<String>::new(), "A12");
    assert_eq!(acme.find("frank", "INBOX", &stored.nonce).len(), 1, "A12");
    acme.reset();
}

/// A07 to A09, A15 and A17.
fn logins(acme: &Acme) {
    let submission = |user: &str, password: &str| {
        let mut session = Smtp::open(acme.server.address("submission"));
        say(&mut session, &auth_plain(user, password))
    };
    assert_eq!(submission("frank@corp.test", PASSWORD), AUTH_DISABLED, "A07");
    assert_eq!(submission("frank@corp.test", "wrong"), AUTH_BAD, "A08");
    assert_eq!(submission("zoe@corp.test", PASSWORD), AUTH_BAD, "A17");
    let imap = |user: &str| {
        let mut imap = Imap::open(acme.server.address("imap"));
        imap.command(&format!("LOGIN {user}@corp.test \"{PASSWORD}\"")).tagged
    };
    let refused = imap("frank");
    assert!(refused.starts_with("NO [CONTACTADMIN]"), "A09: {refused}");
    acme.apply(&alice("state = \"send-blocked\""));
    let allowed = imap("alice");
    assert!(allowed.starts_with("OK"), "A15: {allowed}");
    acme.reset();
}

#[test]
fn scopes_of_correspondence() {
    let hank = "[[account]]\naddress = \"hank@corp.test\"\ndepartments = [\"/Eng\"]\nsend_scope = \
                [\"*@partner.test\"]\nreceive_scope = \"internal\"\n";
    let admin = "[[account]]\naddress = \"admin@corp.test\"\nadmin = true\nreceive_scope = \"internal\"\n";
    let mut acme = Acme::start();
    let rows = vec![
        row("A20").rcpt("hank", RECV_SCOPE),
        auth("A21", "alice").rcpt("hank", OK).got(&["hank"]),
        auth("A22", "gina@branch.test").rcpt("hank", OK).got(&["hank"]),
        row("A23").mail("alice@corp.test").rcpt("hank", OK).end(GROUP_UNVERIFIED),
        row("A24").mail("").rcpt("hank", RECV_SCOPE),
        auth("A25", "hank").rcpt("pam@partner.test", SEND_SCOPE),
        auth("A26", "hank").rcpt("gina@branch.test", OK).got(&["gina@branch.test"]),
        auth("A27", "hank").setup(hank).rcpt("pam@partner.test", OK).out("pam@partner.test", "hank@corp.test"),
        auth("A28", "hank").rcpt("g-ext", OK).got(&["alice"]).notice("hank", "5.7.1", "g-ext@corp.test", "pam@partner"),
        row("A31").setup(admin).rcpt("postmaster", OK).got(&["admin"]),
    ];
    run(&mut acme, rows);

    let body = "{\"state\":\"frozen\"}";
    let (status, answer) = acme.api("PUT", "/accounts/admin@corp.test/state", body);
    assert_eq!((status, answer["error"]["key"].as_str()), (409, Some("last_admin")), "A29");
    let after = play(&mut acme, &row("A29").rcpt("postmaster", OK).got(&["admin"]));
    assert_eq!(after.faults, Vec::<String>::new(), "A29");
}
