//! T10, the rows of rates, and policy semantics §18: Q13 to Q16, Q18, accounts that are stopped, clients without a login.

use posthouse::directory::{Account, Change, change};
use posthouse::mail::{AccountId, Address};
use posthouse::server::RateLimits;
use posthouse::server::admin::Actor;
use posthouse::store::HeldBy;

use super::super::inside::Inside;
use super::super::server::PASSWORD;
use super::super::smtp::{Smtp, dot_stuffed};
use super::acme::{FIXTURE, auth_plain};
use super::replies::{MAIL_OK, OK, RATE, SEND_BLOCKED, TOO_MANY_RECIPIENTS};
use super::row::{say, text};
use crate::outbound::eventually;

const DAY: i64 = 86_400;
const ALICE: &str = "MAIL FROM:<alice@corp.test>";

fn start(setup: &str) -> Inside {
    let inside = Inside::start();
    inside.apply(FIXTURE);
    inside.apply(setup);
    inside
}

/// alice, who may send this much.
fn alice(limits: &str) -> String {
    format!("[[account]]\naddress = \"alice@corp.test\"\ndepartments = [\"/Sales\"]\n{limits}\n")
}

/// The content and the reply.
fn finish(smtp: &mut Smtp) -> String {
    smtp.command("DATA", 354);
    smtp.wire.send(&dot_stuffed(b"From: alice@corp.test\r\nSubject: rates\r\n\r\nbody\r\n"));
    text(smtp)
}

/// What the audit log has of these actions.
fn audited(inside: &Inside, action: &str) -> usize {
    let page = inside.run(inside.admin.audit(Actor::Server, None, None, 1000)).expect("a log");
    page.items
        .iter()
        .filter(|item| serde_json::to_string(item).expect("JSON").contains(&format!("\"{action}\"")))
        .count()
}

fn alerts(inside: &Inside, subject: &str) -> usize {
    inside.messages("admin@corp.test", "INBOX", subject).len()
}

fn suspended(inside: &Inside) -> bool {
    let address = Address::parse("alice@corp.test").expect("an address");
    let directory = inside.services.directory.current();
    directory.account_at(&address).expect("alice").settings().suspended.is_some()
}

fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

#[test]
fn the_61st_message_within_a_minute_is_refused_for_now() {
    let inside = start("");
    let mut smtp = inside.login("alice@corp.test");
    for n in 0..60 {
        assert_eq!(say(&mut smtp, ALICE), MAIL_OK, "{n}");
        smtp.command("RSET", 250);
    }
    assert_eq!(say(&mut smtp, "MAIL FROM:<bob@corp.test>"), super::replies::SENDER_NOT_OWNED, "ownership comes first");
    for _ in 0..3 {
        assert_eq!(say(&mut smtp, ALICE), RATE, "Q13");
    }
    let mut other = inside.login("alice@corp.test");
    assert_eq!(say(&mut other, ALICE), RATE, "Q13: it is the account that is counted");
    assert_eq!(say(&mut inside.login("bob@corp.test"), "MAIL FROM:<bob@corp.test>"), MAIL_OK);
    eventually("the admin is told", || alerts(&inside, "exceeded a limit of sending") == 1);
    assert_eq!(audited(&inside, "account.message-rate"), 1);
    inside.pass(60);
    for n in 0..60 {
        assert_eq!(say(&mut smtp, ALICE), MAIL_OK, "{n}: a minute later");
        smtp.command("RSET", 250);
    }
    assert_eq!(say(&mut smtp, ALICE), RATE, "Q13");
    let told = || (alerts(&inside, "exceeded a limit of sending"), audited(&inside, "account.message-rate"));
    assert_eq!(told(), (1, 1), "once a day");
    inside.pass(DAY);
    for _ in 0..60 {
        smtp.command(ALICE, 250);
        smtp.command("RSET", 250);
    }
    assert_eq!(say(&mut smtp, ALICE), RATE, "Q13");
    eventually("the admin is told once more", || told() == (2, 2));
    assert!(!suspended(&inside));
}

#[test]
fn the_2001st_recipient_of_a_day_is_refused_for_now_also_after_a_restart() {
    let mut inside = start("");
    let rcpt = |smtp: &mut Smtp, n: usize| say(smtp, &format!("RCPT TO:<r{n}@partner.test>"));
    for message in 0..4 {
        let mut smtp = inside.login("alice@corp.test");
        smtp.command(ALICE, 250);
        for n in 0..500 {
            assert_eq!(rcpt(&mut smtp, n), OK, "{message} {n}");
        }
        assert_eq!(rcpt(&mut smtp, 500), TOO_MANY_RECIPIENTS, "Q15");
        assert!(finish(&mut smtp).starts_with("250 "), "{message}");
    }
    for _ in 0..2 {
        let mut smtp = inside.login("alice@corp.test");
        smtp.command(ALICE, 250);
        assert_eq!(rcpt(&mut smtp, 0), RATE, "Q14");
        assert_eq!(say(&mut smtp, "RCPT TO:<bob@corp.test>"), RATE, "Q14: here as elsewhere");
        eventually("the admin is told", || alerts(&inside, "exceeded a limit of sending") == 1);
        inside.restart();
    }
    assert_eq!(audited(&inside, "account.recipient-rate"), 1, "once a day, also after a restart");
    inside.pass(DAY);
    let mut smtp = inside.login("alice@corp.test");
    smtp.command(ALICE, 250);
    assert_eq!(rcpt(&mut smtp, 0), OK, "Q14: another day");
}

#[test]
fn only_recipients_of_accepted_messages_count() {
    let inside = start(&alice("recipients_per_day = 4"));
    let mut smtp = inside.login("alice@corp.test");
    let take = |smtp: &mut Smtp, count: usize| {
        assert!((0..count).all(|_| say(smtp, "RCPT TO:<bob@corp.test>") == OK));
    };
    for _ in 0..5 {
        smtp.command(ALICE, 250);
        smtp.command("RCPT TO:<nobody@corp.test>", 550);
        take(&mut smtp, 3);
        smtp.command("RCPT TO:<pam@partner.test>", 250);
        smtp.command("RSET", 250);
    }
    // Two sessions together may not do what one may not.
    let mut other = inside.login("alice@corp.test");
    for session in [&mut smtp, &mut other] {
        session.command(ALICE, 250);
        take(session, 2);
    }
    assert_eq!(say(&mut other, "RCPT TO:<pam@partner.test>"), RATE);
    smtp.command("RSET", 250);
    take(&mut other, 2);
    assert!(finish(&mut other).starts_with("250 "));
    smtp.command(ALICE, 250);
    assert_eq!(say(&mut smtp, "RCPT TO:<bob@corp.test>"), RATE);
    // What follows from a message by itself counts for nobody: bob forwards, and is a member.
    inside.apply("[[account]]\naddress = \"bob@corp.test\"\ndepartments = [\"/Eng\"]\nadmin_forward = { targets = [\"carol@corp.test\"] }\n");
    inside.apply(&alice("recipients_per_day = 5"));
    smtp.command("RSET", 250);
    smtp.command(ALICE, 250);
    smtp.command("RCPT TO:<g-any@corp.test>", 250);
    assert!(finish(&mut smtp).starts_with("250 "));
    assert_eq!(inside.messages("carol@corp.test", "INBOX", "Subject: rates").len(), 1);
    inside.apply(&alice("recipients_per_day = 0"));
    smtp.command(ALICE, 250);
    assert!((0..10).all(|_| say(&mut smtp, "RCPT TO:<bob@corp.test>") == OK), "no limit");
}

#[test]
fn groups_count_as_one_and_one_for_each_member_elsewhere() {
    let inside = start(
        "[[department]]\npath = \"/Big\"\n[[group]]\naddress = \"big@corp.test\"\npermission = \"anyone\"\nmembers = [\"department:/Big\"]\n",
    );
    inside.apply(&alice("recipients_per_day = 3"));
    let before = inside.services.directory.current();
    let organisation = before.organisations().next().expect("one").id;
    let department = before.department_at(organisation, "/Big").expect("a department").id;
    let member = |n: u32| {
        let id = AccountId::new(10_000 + n).expect("not zero");
        let created = inside.services.clock.now();
        let address = address(&format!("big{n}@corp.test"));
        Change::PutAccount(Account { departments: vec![department], ..Account::new(id, address, created) })
    };
    let changes: Vec<Change> = (0..5000).map(member).collect();
    inside.services.directory.replace(change::apply_all(&before, &changes).expect("accounts").0);
    let mut smtp = inside.login("alice@corp.test");
    smtp.command(ALICE, 250);
    assert_eq!(say(&mut smtp, "RCPT TO:<big@corp.test>"), OK, "Q16");
    assert_eq!(say(&mut smtp, "RCPT TO:<g-ext@corp.test>"), OK, "two: the group, and pam");
    assert_eq!(say(&mut smtp, "RCPT TO:<bob@corp.test>"), RATE, "Q16: the fourth");
    smtp.command("RSET", 250);
    smtp.command(ALICE, 250);
    for _ in 0..2 {
        smtp.command("RCPT TO:<bob@corp.test>", 250);
    }
    assert_eq!(say(&mut smtp, "RCPT TO:<g-ext@corp.test>"), RATE, "it does not fit");
    assert_eq!(say(&mut smtp, "RCPT TO:<big@corp.test>"), OK, "Q16");
}

/// Five minutes in which alice exceeds one message a minute.
fn exceed(inside: &Inside) {
    for n in 0..5 {
        let mut smtp = inside.login("alice@corp.test");
        smtp.command(ALICE, 250);
        smtp.command("RSET", 250);
        assert_eq!(say(&mut smtp, ALICE), RATE, "{n}");
        inside.pass(300);
    }
    eventually("alice is stopped", || suspended(inside));
}

fn submit(inside: &Inside, to: &str) -> String {
    let mut smtp = inside.login("alice@corp.test");
    smtp.command(ALICE, 250);
    smtp.command(&format!("RCPT TO:<{to}>"), 250);
    finish(&mut smtp)
}

fn held(inside: &Inside) -> Vec<Option<HeldBy>> {
    inside.queue().into_iter().map(|item| item.held).collect()
}

#[test]
fn an_account_that_keeps_exceeding_the_limit_is_stopped_until_an_admin_lifts_it() {
    let mut inside = start(&alice("messages_per_minute = 1"));
    assert!(submit(&inside, "pam@partner.test").starts_with("250 "));
    let mut bob = inside.login("bob@corp.test");
    assert_eq!(bob.send("bob@corp.test", &["pat@partner.test"], b"From: bob@corp.test\r\n\r\n").code, 250);
    inside.pass(60);
    // Sessions of before: one that idles, one within a message, one of somebody else.
    let mut imap = inside.imap("alice@corp.test");
    let mut idle = inside.login("alice@corp.test");
    let mut within = inside.login("alice@corp.test");
    within.command(ALICE, 250);
    within.command("RCPT TO:<pam@partner.test>", 250);
    within.command("DATA", 354);
    inside.pass(60);
    exceed(&inside);
    let bye = String::from_utf8_lossy(&imap.response()).into_owned();
    assert!(bye.starts_with("* BYE [CONTACTADMIN] The account may be abused"), "{bye}");
    for session in [&mut idle, &mut within] {
        let last = text(session);
        assert!(last.starts_with("421 4.7.0 ") && last.contains("Sending was stopped"), "{last}");
        assert!(session.wire.closes());
    }
    eventually("what waits is held", || held(&inside).contains(&Some(HeldBy::Abuse)));
    assert_eq!(held(&inside), [Some(HeldBy::Abuse), None], "hers, and not bob's");
    assert_eq!(say(&mut bob, "MAIL FROM:<bob@corp.test>"), MAIL_OK);
    eventually("the admin is told", || alerts(&inside, "Sending was stopped for alice@corp.test") == 1);
    assert_eq!(audited(&inside, "account.suspend-sending"), 1);

    // Neither a restart nor a file that is applied every night lifts it, and it is not for her to do.
    inside.restart();
    inside.apply(FIXTURE);
    inside.apply(&alice("messages_per_minute = 1"));
    assert_eq!(say(&mut inside.login("alice@corp.test"), ALICE), SEND_BLOCKED);
    assert_eq!(held(&inside), [Some(HeldBy::Abuse), None]);
    inside.imap("alice@corp.test").ok("SELECT INBOX");
    let her = inside.services.directory.current().account_at(&address("alice@corp.test")).expect("alice").id;
    let as_alice = Actor::Account { account: her, client: "127.0.0.1:1".parse().expect("an address") };
    let own = inside.run(inside.admin.release_sending(as_alice, address("alice@corp.test")));
    assert!(own.is_err() && suspended(&inside), "{own:?}");

    let released = inside.run(inside.admin.release_sending(Actor::Server, address("alice@corp.test")));
    assert_eq!((released.expect("released"), held(&inside)), (1, vec![None, None]));
    assert_eq!(audited(&inside, "account.release-sending"), 2, "one of them refused");
    assert!(submit(&inside, "pam@partner.test").starts_with("250 "));
    let again = inside.run(inside.admin.release_sending(Actor::Server, address("alice@corp.test")));
    assert_eq!(again.expect("nothing to do"), 0);
    inside.pass(60);
    exceed(&inside);
    eventually("the admin is told again", || alerts(&inside, "Sending was stopped for alice@corp.test") == 2);
}

#[test]
fn naming_twice_as_many_recipients_as_allowed_stops_the_account() {
    let inside = start(&alice("recipients_per_day = 3"));
    let mut smtp = inside.login("alice@corp.test");
    smtp.command(ALICE, 250);
    for _ in 0..3 {
        smtp.command("RCPT TO:<bob@corp.test>", 250);
    }
    for _ in 0..2 {
        assert_eq!(say(&mut smtp, "RCPT TO:<bob@corp.test>"), RATE);
        assert!(!suspended(&inside));
    }
    assert_eq!(say(&mut smtp, "RCPT TO:<bob@corp.test>"), RATE);
    eventually("alice is stopped", || suspended(&inside));
    eventually("it is told at the first, not at each", || audited(&inside, "account.recipient-rate") == 1);
    assert_eq!(say(&mut inside.login("alice@corp.test"), ALICE), SEND_BLOCKED);
}

#[test]
fn clients_without_a_login_are_counted_by_address() {
    let mut limits = RateLimits { exempt: Vec::new(), ..RateLimits::default() };
    (limits.client.connections_per_minute, limits.client.messages_per_minute) = (3, 4);
    let inside = Inside::limited(limits);
    inside.apply(FIXTURE);
    let stranger = "MAIL FROM:<stranger@ext.test>";
    let mut smtp = Smtp::open(inside.smtp);
    for _ in 0..4 {
        smtp.command(stranger, 250);
        smtp.command("RSET", 250);
    }
    assert_eq!(say(&mut smtp, stranger), RATE);
    let _more = [Smtp::open(inside.smtp), Smtp::open(inside.smtp)];
    let refused = |address| text(&mut Smtp { wire: super::super::wire::Wire::connect(address) });
    for address in [inside.smtp, inside.submission] {
        assert_eq!(refused(address), "421 4.7.1 mail.example.test Rate limit exceeded, try again later");
    }
    inside.pass(60);
    assert_eq!(say(&mut smtp, stranger), MAIL_OK, "a minute later");
    // Who logs in is no client without a login.
    for _ in 0..10 {
        let mut smtp = Smtp::open(inside.submission);
        smtp.command(&auth_plain("alice@corp.test", PASSWORD), 235);
        smtp.command(ALICE, 250);
    }
    // Nor is a host that is listed.
    for kind in ["trusted-relay", "gateway"] {
        inside.apply(&format!("[[relay]]\nnetwork = \"127.0.0.1/32\"\nkind = \"{kind}\"\n"));
        for _ in 0..10 {
            let mut smtp = Smtp::open(inside.smtp);
            smtp.command(stranger, 250);
        }
    }
}

#[test]
fn monitors_without_room_get_their_copies() {
    let inside = start(
        "[[account]]\naddress = \"erin@corp.test\"\ndepartments = [\"/HR\"]\nquota = \"1 KiB\"\n[[rule]]\nname = \"watch\"\nscope = \
         [\"alice@corp.test\"]\nactions = [{ copy = { monitor = \"erin@corp.test\" } }]\n",
    );
    for n in 0..4 {
        let mut bob = inside.login("bob@corp.test");
        let filler = "x".repeat(500);
        let message = format!("From: bob@corp.test\r\nSubject: q18 {n}\r\n\r\n{filler}\r\n");
        assert_eq!(bob.send("bob@corp.test", &["alice@corp.test"], message.as_bytes()).code, 250, "Q18");
    }
    assert_eq!(inside.messages("erin@corp.test", "INBOX", "Subject: q18").len(), 4, "Q18");
}
