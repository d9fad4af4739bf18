//! T2: which addresses a submitted message may use.

use super::super::server::PASSWORD;
use super::super::smtp::Smtp;
use super::acme::{Acme, auth_plain};
use super::replies::{AUTH_REQUIRED, FROM_NOT_OWNED, OK, SEND_BLOCKED, SENDER_NOT_OWNED};
use super::row::{auth, play, row, run, say};

#[test]
fn senders_own_what_they_use() {
    let blocked = "[[account]]\naddress = \"alice@corp.test\"\ndepartments = [\"/Sales\"]\nstate = \"send-blocked\"\n";
    let mut acme = Acme::start();
    let rows = vec![
        auth("S01", "alice").rcpt("bob", OK).got(&["bob"]),
        auth("S02", "alice").mail("a.liu@corp.test").rcpt("bob", OK).got(&["bob"]),
        auth("S03", "alice").mail("alice@corp-alias.test").rcpt("bob", OK).got(&["bob"]),
        auth("S04", "alice").mail("alice+x@corp.test").rcpt("bob", OK).got(&["bob"]),
        auth("S05", "alice").mail("bob@corp.test").mail_reply(SENDER_NOT_OWNED),
        auth("S06", "bob").mail("support@corp.test").rcpt("carol", OK).got(&["carol"]),
        auth("S07", "alice").mail("support@corp.test").mail_reply(SENDER_NOT_OWNED),
        auth("S09", "bob").mail("dave@corp.test").mail_reply(SENDER_NOT_OWNED),
        auth("S10", "alice").from("bob@corp.test").rcpt("carol", OK).end(FROM_NOT_OWNED),
        auth("S11", "alice").from("alice@corp.test, bob@corp.test").rcpt("carol", OK).end(FROM_NOT_OWNED),
        auth("S12", "alice").mail("").from("alice@corp.test").rcpt("bob", OK).got(&["bob"]),
        auth("S13", "alice").from("a.liu@corp.test").rcpt("bob", OK).got(&["bob"]),
        auth("S14", "alice").mail("g-any@corp.test").mail_reply(SENDER_NOT_OWNED),
        auth("S15", "alice").mail("old@corp.test").mail_reply(SENDER_NOT_OWNED),
        row("S16").anonymous().mail("alice@corp.test").mail_reply(AUTH_REQUIRED),
        auth("S17", "gina@branch.test").mail("gina@corp.test").mail_reply(SENDER_NOT_OWNED),
        auth("S18", "alice").setup(blocked).mail_reply(SEND_BLOCKED),
        row("S19").mail("alice@corp.test").rcpt("bob", OK).got(&["bob"]),
        auth("S20", "a.liu").mail("alice@corp.test").rcpt("bob", OK).got(&["bob"]),
    ];
    run(&mut acme, rows);

    let on_behalf = play(&mut acme, &auth("S08", "bob").from("dave@corp.test").rcpt("carol", OK).got(&["carol"]));
    assert!(on_behalf.faults.is_empty(), "S08: {:?}", on_behalf.faults);
    let uid = acme.find("carol", "INBOX", &on_behalf.nonce)[0];
    let message = acme.fetch("carol", uid);
    assert!(
        message.contains("\r\nSender: bob@corp.test\r\n") || message.contains("\r\nSender: <bob@corp.test>\r\n"),
        "S08: {message}"
    );
    assert!(message.contains("From: dave@corp.test\r\n"), "S08: {message}");

    // Rule 4 of §5: what a client leaves out is added.
    let bare = play(&mut acme, &auth("From", "alice").from("").rcpt("carol", OK).got(&["carol"]));
    assert!(bare.faults.is_empty(), "{:?}", bare.faults);
    let uid = acme.find("carol", "INBOX", &bare.nonce)[0];
    let message = acme.fetch("carol", uid);
    assert!(
        message.contains("\r\nFrom: alice@corp.test\r\n") || message.contains("\r\nFrom: <alice@corp.test>\r\n"),
        "{message}"
    );

    // S20: the session is alice's, whichever of her addresses she logs in with.
    let mut session = Smtp::open(acme.server.address("submission"));
    let reply = say(&mut session, &auth_plain("a.liu@corp.test", PASSWORD));
    assert_eq!(reply, "235 2.7.0 Authentication successful", "S20");
}
