//! T5: expansion, and one copy for each person.

use super::acme::Acme;
use super::replies::{GROUP_EMPTY, OK, SIZE_MAILBOX};
use super::row::{auth, play, row, run};

/// A group that anyone may write to, as it says.
fn open(name: &str, rest: &str) -> String {
    format!("[[group]]\naddress = \"{name}@corp.test\"\npermission = \"anyone\"\n{rest}\n")
}

#[test]
fn members_get_one_copy_each() {
    let all = &["alice", "bob", "carol"];
    let not_to_sender = "[[group]]\naddress = \"g-dom@corp.test\"\ndeliver_to_sender = false\nmembers = \
                         [\"alice@corp.test\", \"bob@corp.test\", \"frank@corp.test\"]\n";
    let moved = "[[account]]\naddress = \"carol@corp.test\"\ndepartments = [\"/Eng\"]\n";
    let small = "[[account]]\naddress = \"ivy@corp.test\"\ndepartments = [\"/Eng\"]\nquota = \"1 KiB\"\n";
    let forward = "[[account]]\naddress = \"alice@corp.test\"\ndepartments = [\"/Sales\"]\nforward = { targets = \
                   [\"bob@corp.test\"], keep = false }\n";
    let mut acme = Acme::start();
    let rows = vec![
        auth("E01", "carol").rcpt("g-dom", OK).got(&["alice", "bob"]),
        auth("E02", "alice").rcpt("g-dom", OK).got(&["alice", "bob"]),
        auth("E03", "alice").setup(not_to_sender).rcpt("g-dom", OK).got(&["bob"]),
        auth("E04", "alice")
            .setup(&open("e04", "deliver_to_sender = false\nmembers = [\"alice@corp.test\"]"))
            .rcpt("e04", OK)
            .got(&["alice"]),
        row("E05").rcpt("alice", OK).rcpt("g-any", OK).got(all),
        row("E06").rcpt("alice", OK).rcpt("a.liu", OK).got(&["alice"]),
        row("E07").rcpt("g-any", OK).rcpt("alice+x", OK).got(all),
        auth("E08", "bob").rcpt("g-emp", GROUP_EMPTY),
        auth("E09", "bob").rcpt("g-frz", GROUP_EMPTY),
        auth("E10", "bob").rcpt("g-sal", OK).got(&["alice", "carol", "support"]),
        auth("E11", "bob").setup(moved).rcpt("g-sal", OK).got(&["alice", "support"]),
        auth("E12", "alice").rcpt("g-ext", OK).got(&["alice"]).out("pam@partner.test", "bounce+"),
        auth("E13", "hank").rcpt("g-ext", OK).got(&["alice"]).notice("hank", "5.7.1", "g-ext@corp.test", "pam@partner"),
        row("E14")
            .setup(&open(
                "g-any",
                "members = [\"alice@corp.test\", \"bob@corp.test\", \"carol@corp.test\", \"hank@corp.test\"]",
            ))
            .rcpt("g-any", OK)
            .got(all),
        row("E15")
            .setup(small)
            .setup(&open("e15", "members = [\"ivy@corp.test\", \"bob@corp.test\"]"))
            .body(&"A line of a larger message.\r\n".repeat(60))
            .rcpt("e15", OK)
            .got(&["bob"])
            .waits("ivy@corp.test"),
        row("E19")
            .setup(&open("e19", "max_size = \"1 MiB\"\nmembers = [\"bob@corp.test\"]"))
            .mail_parameters(" SIZE=2097152")
            .rcpt("e19", SIZE_MAILBOX),
        row("E20").setup(&open("e20", "members = [\"alice@corp.test\", \"a.liu@corp.test\"]")).rcpt("e20", OK).got(&["alice"]),
        auth("E21", "bob")
            .setup(&open("e21", "external_members = true\nmembers = [\"pam@partner.test\", \"PAM@PARTNER.TEST\"]"))
            .rcpt("e21", OK)
            .out("pam@partner.test", "bounce+"),
        row("E22").setup(&open("e22", "members = [\"support@corp.test\"]")).rcpt("e22", OK).got(&["support"]),
        row("E23")
            .setup(forward)
            .setup(&open("e23", "members = [\"alice@corp.test\", \"bob@corp.test\"]"))
            .rcpt("e23", OK)
            .got(&["bob"]),
        auth("E26", "bob")
            .setup("[[group]]\naddress = \"e26@corp.test\"\nmembers = [\"department-only:/Sales\"]\n")
            .rcpt("e26", OK)
            .got(&["alice", "support"]),
        auth("E27", "bob")
            .setup("[[group]]\naddress = \"g-sal@corp.test\"\nmembers = [\"department:/Sales\"]\nexclusions = [\"alice@corp.test\"]\n")
            .rcpt("g-sal", OK)
            .got(&["carol", "support"]),
    ];
    run(&mut acme, rows);

    // E12: of the copy for a member elsewhere only the envelope is ours.
    let id =
        play(&mut acme, &auth("E12", "alice").rcpt("g-ext", OK).got(&["alice"]).out("pam@partner.test", "bounce+"));
    let queued = super::row::queued(&acme, &id.message.expect("accepted"));
    assert!(queued[0].1.ends_with("@corp.test"), "E12: {queued:?}");

    // E28: what has come in two transactions has come twice.
    let header = "X-Same: e28\r\n";
    for row in [row("E28").rcpt("alice", OK).got(&["alice"]), row("E28").rcpt("g-any", OK).got(all)] {
        assert_eq!(play(&mut acme, &row.header(header)).faults, Vec::<String>::new(), "E28");
    }
    assert_eq!(acme.find("alice", "INBOX", "X-Same: e28").len(), 2, "E28");
}
