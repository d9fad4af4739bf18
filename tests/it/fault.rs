//! A store whose disk gives up: each write is refused for the time being, and nothing of it is left. The sessions run in
//! this process, over the failing engine.

use posthouse::mail::Address;
use posthouse::server::admin::Actor;
use posthouse::server::admin::ops::NewAccount;
use posthouse::server::admin::spec::DomainSpec;

use super::imap::Imap;
use super::inside::Inside;
use super::server::PASSWORD;
use super::smtp::Smtp;

/// Alice and bob of example.test over a faulty engine.
struct Bench(Inside);

impl Bench {
    fn new() -> Self {
        let inside = Inside::start();
        let address = |name: &str| Address::parse(&format!("{name}@example.test")).expect("an address");
        let account = |name: &str| NewAccount::new(address(name), PASSWORD.to_owned());
        inside.run(async {
            let admin = &inside.admin;
            admin.add_domain(Actor::Server, DomainSpec::new("example.test".to_owned())).await.expect("a domain");
            admin.add_accounts(Actor::Server, vec![account("alice"), account("bob")]).await.expect("accounts");
        });
        Self(inside)
    }

    fn imap(&self, name: &str) -> Imap {
        self.0.imap(&format!("{name}@example.test"))
    }

    /// Nothing half: references and entries agree, and each mailbox holds as many as before.
    fn assert_sound(&self, expected: u32) {
        let report = self.0.services.store.check().expect("reads go on");
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        for name in ["alice", "bob"] {
            let lines = self.imap(name).ok("STATUS INBOX (MESSAGES)").lines();
            assert_eq!(lines, [format!("* STATUS INBOX (MESSAGES {expected})")], "{name}");
        }
    }
}

fn deliver(bench: &Bench, size: usize) -> super::smtp::Reply {
    let mut smtp = Smtp::open(bench.0.smtp);
    let message = format!("Subject: x\r\n\r\n{}", "0123456789 0123456789 0123456789\r\n".repeat(size / 34 + 1));
    smtp.send("a@client.example", &["alice@example.test", "bob@example.test"], message.as_bytes())
}

#[test]
fn each_write_that_fails_defers_the_message_and_leaves_nothing() {
    let bench = Bench::new();
    // Mailboxes are there, with one message each.
    assert_eq!(deliver(&bench, 10).code, 250);
    bench.assert_sound(1);
    let mut delivered = 1;
    // The first write of the delivery fails, then the second, and so on, until all are made.
    for allowance in 0..100 {
        bench.0.engine.fail_after(allowance);
        // More than three chunks of content.
        let reply = deliver(&bench, 900 * 1024);
        bench.0.engine.heal();
        match reply.code {
            250 => {
                delivered += 1;
                bench.assert_sound(delivered);
                assert!(allowance > 0, "accepted without a single write");
                return;
            }
            code => {
                // RFC 3463: 4.3.0 or 4.3.1, a fault of the mail system that may pass.
                assert_eq!(code / 100, 4, "{allowance}: {code} {:?}", reply.lines);
                assert!(reply.lines[0].starts_with("4.3."), "{allowance}: {:?}", reply.lines);
                bench.assert_sound(delivered);
            }
        }
    }
    panic!("no number of writes is enough");
}

#[test]
fn imap_commands_that_fail_to_write_say_no_and_change_nothing() {
    let bench = Bench::new();
    for _ in 0..3 {
        assert_eq!(deliver(&bench, 10).code, 250);
    }
    let mut alice = bench.imap("alice");
    alice.ok("SELECT INBOX");
    alice.ok("STORE 3 +FLAGS.SILENT (\\Deleted)");
    let state = |imap: &mut Imap| {
        let flags = imap.ok("UID FETCH 1:* (FLAGS)").lines();
        let folders = imap.ok("LIST \"\" \"*\"").lines();
        let subscribed = imap.ok("LSUB \"\" \"*\"").lines();
        (flags, folders, subscribed)
    };
    let before = state(&mut alice);
    for command in [
        "STORE 1 +FLAGS (\\Seen)",
        "STORE 1:2 FLAGS (\\Flagged keyword)",
        "COPY 1:2 Archive",
        "MOVE 1 Archive",
        "UID MOVE 1:2 Trash",
        "EXPUNGE",
        "UID EXPUNGE 3",
        "CREATE new",
        "DELETE Archive",
        "RENAME Archive Elsewhere",
        "RENAME INBOX Elsewhere",
        "SUBSCRIBE INBOX",
        "UNSUBSCRIBE Sent",
        "APPEND INBOX {3+}\r\nabc",
    ] {
        bench.0.engine.fail_after(0);
        let answer = alice.command(command);
        bench.0.engine.heal();
        // SUBSCRIBE of what is subscribed already has nothing to write.
        let nothing_to_do = command.contains("SUBSCRIBE") && answer.is_ok();
        assert!(answer.tagged.starts_with("NO") || nothing_to_do, "{command}: {}", answer.tagged);
        assert_eq!(state(&mut alice), before, "{command}");
        assert!(bench.0.services.store.check().expect("reads go on").findings.is_empty(), "{command}");
    }
    let other = state(&mut {
        let mut second = bench.imap("alice");
        second.ok("EXAMINE INBOX");
        second
    });
    let without_recent = |lines: Vec<String>| {
        lines.into_iter().map(|l| l.replace("\\Recent", "").replace(" )", ")")).collect::<Vec<_>>()
    };
    assert_eq!(without_recent(other.0), without_recent(before.0));
    // And it works again.
    alice.ok("EXPUNGE");
    alice.ok("COPY 1:2 Archive");
    assert!(bench.0.services.store.check().expect("reads go on").findings.is_empty());
}
