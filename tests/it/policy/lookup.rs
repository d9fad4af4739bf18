//! T1: address forms and lookup.

use super::acme::{Acme, CLIENT};
use super::replies::{BAD_SYNTAX, NEED_UTF8, OK, RELAY_DENIED, USER_UNKNOWN};
use super::row::{auth, row, run, say};

/// The catch-all of corp.test is dave.
const CATCH_ALL: &str = "[[domain]]\nname = \"corp.test\"\ncatch_all = \"dave@corp.test\"\n";

#[test]
fn forms_and_order_of_lookup() {
    let long = format!("{}@corp.test", "x".repeat(65));
    let vip = "[[account]]\naddress = \"alice+vip@corp.test\"\npassword = \"open sesame\"\n";
    let info = "[[account]]\naddress = \"info@corp.test\"\npassword = \"open sesame\"\n[[alias]]\naddress = \
                \"info@corp-alias.test\"\naccount = \"bob@corp.test\"\n";
    let mut acme = Acme::start();
    let rows = vec![
        row("L01").rcpt("alice@corp.test", OK).got(&["alice"]),
        row("L02").rcpt("ALICE@Corp.TEST", OK).got(&["alice"]),
        row("L03").rcpt("\"alice\"@corp.test", OK).got(&["alice"]),
        row("L04").rcpt("a.liu@corp.test", OK).got(&["alice"]),
        row("L05").rcpt("alice@corp-alias.test", OK).got(&["alice"]),
        row("L06").rcpt("a.liu@corp-alias.test", OK).got(&["alice"]),
        row("L07").rcpt("g-any@corp-alias.test", OK).got(&["alice", "bob", "carol"]),
        row("L08").rcpt("alice+news@corp.test", OK).got(&["alice"]),
        row("L09").setup(vip).rcpt("alice+vip@corp.test", OK).got(&["alice+vip"]),
        row("L10").rcpt("alice+@corp.test", OK).got(&["alice"]),
        row("L11").rcpt("+news@corp.test", USER_UNKNOWN),
        row("L12").rcpt("alice+a+b@corp.test", OK).got(&["alice"]),
        row("L13").rcpt("g-any+x@corp.test", OK).got(&["alice", "bob", "carol"]),
        row("L14").rcpt("nobody@corp.test", USER_UNKNOWN),
        row("L15").setup(CATCH_ALL).rcpt("nobody@corp.test", OK).got(&["dave"]),
        row("L16").setup(CATCH_ALL).rcpt("nobody+x@corp.test", OK).got(&["dave"]),
        row("L17").setup(CATCH_ALL).rcpt("nobody@corp-alias.test", OK).got(&["dave"]),
        row("L18").rcpt("alice@mail.corp.test", RELAY_DENIED),
        row("L19").rcpt("alice@branch.test", USER_UNKNOWN),
        row("L20").rcpt("<postmaster>", OK).got(&["admin"]),
        row("L21").rcpt("POSTMASTER@corp-alias.test", OK).got(&["admin"]),
        row("L22").setup(CATCH_ALL).rcpt("old@corp.test", USER_UNKNOWN),
        row("L23").rcpt("zoe@corp.test", USER_UNKNOWN),
        row("L24").setup(CATCH_ALL).rcpt("zoe@corp.test", USER_UNKNOWN),
        row("L25").rcpt(&long, BAD_SYNTAX),
        row("L26").rcpt("\u{e9}mile@corp.test", NEED_UTF8),
        row("L27").rcpt("<@relay.test:alice@corp.test>", OK).got(&["alice"]),
        row("L28").rcpt("alice%ext.test@corp.test", USER_UNKNOWN),
        row("L29").rcpt("alic.e@corp.test", USER_UNKNOWN),
        row("L30").setup(info).rcpt("info@corp-alias.test", OK).got(&["bob"]),
        row("L31").rcpt("alice@[192.0.2.1]", RELAY_DENIED),
        auth("L34", "alice").rcpt("pam@partner.test", OK).out("pam@partner.test", "alice@corp.test"),
    ];
    run(&mut acme, rows);
    vrfy_and_expn_reveal_nothing(&acme);
}

/// L32 and L33, for everybody.
fn vrfy_and_expn_reveal_nothing(acme: &Acme) {
    for mut session in [acme.host(CLIENT), acme.login("alice")] {
        for name in ["alice", "nobody", "g-hid", "alice@corp.test"] {
            assert!(say(&mut session, &format!("VRFY {name}")).starts_with("252 2.5.2 "), "L32: {name}");
            assert!(say(&mut session, &format!("EXPN {name}")).starts_with("502 5.5.1 "), "L33: {name}");
        }
    }
}
