//! Rows in which time passes, a group is larger than any fixture, or the disk gives up, on a server within this process:
//! E16 to E18, M05, R02, R03, R29, F18, F21, W58, W66, and the end of the locks of A14.

use posthouse::directory::{Account, Change, change};
use posthouse::emailauth::DkimInput;
use posthouse::mail::{AccountId, Address, ReversePath};
use posthouse::proto::authres::SpfResult;
use posthouse::proto::message::header_from;
use posthouse::store::{QueueItem, QueueList};

use super::super::inside::Inside;
use super::super::server::PASSWORD;
use super::super::signer::{Key, Signer};
use super::super::smtp::Smtp;
use super::acme::{FIXTURE, auth_plain};
use super::replies::{AUTH_BAD, AUTH_LOCKED, GROUP_EMPTY, OK, USER_UNKNOWN};
use super::row::say;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

fn start(setup: &str) -> Inside {
    let inside = Inside::start();
    inside.apply(FIXTURE);
    inside.apply(setup);
    inside
}

/// A message that says which row it is of.
fn message(from: &str, to: &str, id: &str, lines: usize) -> Vec<u8> {
    let text = "A line of the message.\r\n".repeat(lines);
    format!("From: {from}\r\nTo: {to}\r\nSubject: row {id}\r\nMessage-ID: <{id}@rows.test>\r\n\r\n{text}").into_bytes()
}

/// alice sends it; the reply at the end of data.
fn alice_writes(inside: &Inside, to: &str, id: &str, lines: usize) -> String {
    let mut smtp = inside.login("alice@corp.test");
    let reply = smtp.send("alice@corp.test", &[to], &message("alice@corp.test", to, id, lines));
    format!("{} {}", reply.code, reply.lines.join(" | "))
}

/// Reports of failure about a row's message, in an INBOX.
fn reports(inside: &Inside, user: &str, id: &str) -> Vec<String> {
    let mut found = inside.messages(user, "INBOX", &format!("{id}@rows.test"));
    found.retain(|message| message.contains("report-type=delivery-status"));
    found
}

fn queue(inside: &Inside) -> Vec<QueueItem> {
    inside.run(inside.services.store.queue(QueueList::All, None, 100)).expect("the queue").items
}

/// A group of these, which anyone may write to, and ivy with little room.
fn full(group: &str, members: &str, managers: &str) -> String {
    format!(
        "[[account]]\naddress = \"ivy@corp.test\"\ndepartments = [\"/Eng\"]\nquota = \"1 KiB\"\n[[group]]\naddress = \
         \"{group}@corp.test\"\npermission = \"anyone\"\nmembers = [{members}]\nmanagers = [{managers}]\n"
    )
}

#[test]
fn members_that_stay_full_are_the_managers_business() {
    let setup = full("e16", "\"ivy@corp.test\", \"bob@corp.test\"", "\"dave@corp.test\"");
    let inside = start(&setup);
    assert!(alice_writes(&inside, "e16@corp.test", "e16", 60).starts_with("250 "), "E15");
    assert_eq!(inside.messages("bob@corp.test", "INBOX", "e16@rows.test").len(), 1, "E15");
    // Tried for five days, and nobody hears of it before.
    for _ in 0..4 {
        inside.pass(DAY);
        inside.round();
    }
    assert_eq!((queue(&inside).len(), reports(&inside, "dave@corp.test", "e16").len()), (1, 0), "E16");
    inside.pass(DAY);
    inside.round();
    assert_eq!(queue(&inside).len(), 0, "E16");
    let told = reports(&inside, "dave@corp.test", "e16");
    assert!(told.len() == 1 && told[0].contains("ivy@corp.test"), "E16: {told:?}");
    assert_eq!(reports(&inside, "alice@corp.test", "e16"), Vec::<String>::new(), "E16: the author");
}

#[test]
fn author_hears_of_a_group_of_which_nobody_was_reached() {
    let both = "\"ivy@corp.test\", \"jack@corp.test\"";
    let jack = "[[account]]\naddress = \"jack@corp.test\"\ndepartments = [\"/Eng\"]\nquota = \"1 KiB\"\n";
    let inside = start(&format!("{jack}{}", full("e17", both, "\"dave@corp.test\"")));
    inside.apply(&full("only", "\"ivy@corp.test\"", ""));
    assert!(alice_writes(&inside, "e17@corp.test", "e17", 60).starts_with("250 "), "E17");
    assert!(alice_writes(&inside, "only@corp.test", "only", 60).starts_with("250 "), "E17");
    assert_eq!(queue(&inside).len(), 3, "E17");
    inside.pass(5 * DAY);
    inside.round();
    assert_eq!(queue(&inside).len(), 0, "E17");
    for (id, managers) in [("e17", 1), ("only", 0)] {
        let told = reports(&inside, "alice@corp.test", id);
        assert_eq!(told.len(), 1, "E17: one for the group, not one for each member: {told:?}");
        assert!(told[0].contains("Status: 5.2.4\r\n") && told[0].contains(&format!("{id}@corp.test")), "E17: {told:?}");
        assert!(!told[0].contains("ivy@") && !told[0].contains("jack@"), "E17: {told:?}");
        assert_eq!(reports(&inside, "dave@corp.test", id).len(), managers, "E17: {id}");
    }
}

#[test]
fn groups_of_more_than_a_hundred_thousand_cannot_be_expanded() {
    let inside = start(
        "[[department]]\npath = \"/Big\"\n[[group]]\naddress = \"big@corp.test\"\npermission = \"anyone\"\nmembers = [\"department:/Big\"]\n",
    );
    let before = inside.services.directory.current();
    let organisation = before.organisations().next().expect("one").id;
    let department = before.department_at(organisation, "/Big").expect("a department").id;
    let account = |n: u32| {
        let address = Address::parse(&format!("big{n}@corp.test")).expect("an address");
        let id = AccountId::new(10_000 + n).expect("not zero");
        let created = inside.services.clock.now();
        Change::PutAccount(Account { departments: vec![department], ..Account::new(id, address, created) })
    };
    let changes: Vec<Change> = (0..100_001).map(account).collect();
    for (count, wanted) in [(100_001, GROUP_EMPTY), (100_000, OK)] {
        let (directory, _) = change::apply_all(&before, &changes[..count]).expect("accounts");
        inside.services.directory.replace(directory);
        let mut smtp = Smtp::open(inside.smtp);
        smtp.command("MAIL FROM:<stranger@ext.test>", 250);
        assert_eq!(say(&mut smtp, "RCPT TO:<big@corp.test>"), wanted, "E18: {count}");
    }
}

#[test]
fn undecided_messages_go_back_after_three_days() {
    let hold = "[[rule]]\nname = \"w58\"\nscope = [\"alice@corp.test\"]\ndirection = \"sent\"\npeer = \
                \"external\"\nactions = [{ hold = { approvers = [\"dave@corp.test\"], timeout_hours = 72 } }]\n";
    let inside = start(hold);
    let mut carol = inside.login("carol@corp.test");
    let reply =
        carol.send("carol@corp.test", &["g-mod@corp.test"], &message("carol@corp.test", "g-mod@corp.test", "m05", 1));
    assert!(reply.lines[0].ends_with(", held for approval"), "M05: {reply:?}");
    assert!(alice_writes(&inside, "pam@partner.test", "w58", 1).ends_with(", held for approval"), "W58");
    inside.pass(72 * HOUR - 60);
    inside.round();
    for (id, user) in [("m05", "carol@corp.test"), ("w58", "alice@corp.test")] {
        assert_eq!(reports(&inside, user, id).len(), 0, "{id}: there is a minute left");
    }
    inside.pass(120);
    inside.round();
    inside.round();
    for (id, user) in [("m05", "carol@corp.test"), ("w58", "alice@corp.test")] {
        let told = reports(&inside, user, id);
        assert!(told.len() == 1 && told[0].contains("Status: 5.4.7\r\n"), "{id}: {told:?}");
    }
    assert_eq!(inside.messages("bob@corp.test", "INBOX", "m05@rows.test").len(), 0, "M05");
    assert_eq!(queue(&inside).len(), 0, "W58");
}

#[test]
fn vacations_answer_once_a_day() {
    let inside = start("[[account]]\naddress = \"alice@corp.test\"\nvacation = { text = \"Away.\" }\n");
    let write = |id: &str| {
        let text = message("pam@partner.test", "alice@corp.test", id, 1);
        assert_eq!(Smtp::open(inside.smtp).send("pam@partner.test", &["alice@corp.test"], &text).code, 250, "{id}");
        queue(&inside).len()
    };
    assert_eq!(write("r01"), 1, "R01");
    inside.pass(23 * HOUR);
    assert_eq!(write("r02"), 1, "R02");
    inside.pass(2 * HOUR);
    assert_eq!(write("r03"), 2, "R03");
}

#[test]
fn vacations_answer_two_hundred_times_a_day() {
    let inside = start("[[account]]\naddress = \"alice@corp.test\"\nvacation = { text = \"Away.\" }\n");
    let mut smtp = Smtp::open(inside.smtp);
    for n in 1..=202 {
        let sender = format!("sender{n}@partner.test");
        let text = message(&sender, "alice@corp.test", "r29", 1);
        assert_eq!(smtp.send(&sender, &["alice@corp.test"], &text).code, 250, "R29: {n}");
    }
    let replies =
        || inside.run(inside.services.store.queue(QueueList::All, None, 1000)).expect("the queue").items.len();
    assert_eq!(replies(), 200, "R29");
}

const TO_PAM: &str =
    "[[account]]\naddress = \"alice@corp.test\"\nadmin_forward = { targets = [\"pam@partner.test\"] }\n";

#[test]
fn rewritten_addresses_take_bounces_for_three_weeks() {
    let inside = start(TO_PAM);
    let text = message("stranger@ext.test", "alice@corp.test", "f18", 1);
    assert_eq!(Smtp::open(inside.smtp).send("stranger@ext.test", &["alice@corp.test"], &text).code, 250, "F18");
    let ReversePath::Address(rewritten) = queue(&inside)[0].reverse_path.clone() else { panic!("F18: rewritten") };
    let bounce = || {
        let mut smtp = Smtp::open(inside.smtp);
        smtp.command("MAIL FROM:<>", 250);
        say(&mut smtp, &format!("RCPT TO:<{rewritten}>"))
    };
    assert_eq!(bounce(), OK, "F18");
    inside.pass(20 * DAY);
    assert_eq!(bounce(), OK, "F18: 20 days");
    inside.pass(2 * DAY);
    assert_eq!(bounce(), USER_UNKNOWN, "F18: 22 days");
}

#[test]
fn signatures_verify_on_what_is_forwarded() {
    let inside = start(TO_PAM);
    let signed = Signer::new(&inside.dns, "ext.test", Key::Ed25519).sign(&message(
        "stranger@ext.test",
        "alice@corp.test",
        "f21",
        3,
    ));
    assert_eq!(Smtp::open(inside.smtp).send("stranger@ext.test", &["alice@corp.test"], &signed).code, 250, "F21");
    let blob = queue(&inside)[0].blob;
    let read = inside.services.store.read(move |reader| {
        let message = reader.message(blob)?;
        let mut octets = message.prefix.clone();
        reader.rest(message.rest(), 0, u64::MAX, &mut octets)?;
        Ok(octets)
    });
    let forwarded = inside.run(read).expect("the queued copy");
    assert!(forwarded.ends_with(&signed) && forwarded.len() > signed.len(), "F21: as it came, behind our trace");
    let signers = |octets: &[u8]| {
        let mut input = DkimInput::new();
        input.push(octets);
        let from = header_from(octets);
        let content = input.finish();
        let verified = inside.services.email_auth.verify(&content, SpfResult::None, &ReversePath::Null, &from);
        inside.run(verified).signers().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(signers(&forwarded), ["ext.test"], "F21");
    let mut changed = forwarded.clone();
    *changed.last_mut().expect("octets") = b'!';
    assert_eq!(signers(&changed), Vec::<String>::new(), "F21: the verifier looks at it");
}

#[test]
fn locks_end() {
    let inside = start("");
    let attempt = |password: &str| say(&mut Smtp::open(inside.submission), &auth_plain("alice@corp.test", password));
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let attempts: Vec<_> = (0..10).map(|_| scope.spawn(|| attempt("wrong"))).collect();
        attempts.into_iter().map(|attempt| attempt.join().expect("an answer")).collect()
    });
    assert!(wrong.iter().all(|answer| answer == AUTH_BAD), "{wrong:?}");
    assert_eq!(attempt(PASSWORD), AUTH_LOCKED, "A14");
    inside.pass(HOUR - 1);
    assert_eq!(attempt(PASSWORD), AUTH_LOCKED, "A14");
    inside.pass(1);
    assert!(attempt(PASSWORD).starts_with("235 "), "A14: an hour later");
}

#[test]
fn copies_that_are_required_are_made_or_nothing_is_accepted() {
    let inside = start(
        "[[rule]]\nname = \"w66\"\nscope = [\"alice@corp.test\"]\nactions = [{ copy = { monitor = \
         \"erin@corp.test\", folder = \"m\", require = true } }]\n",
    );
    let text = message("stranger@ext.test", "alice@corp.test", "w66", 1);
    let count = |user: &str, folder: &str| inside.messages(user, folder, "w66@rows.test").len();
    // The first write fails, then the second, and so on, until all are made.
    for allowance in 0..100 {
        inside.engine.fail_after(allowance);
        let reply = Smtp::open(inside.smtp).send("stranger@ext.test", &["alice@corp.test"], &text);
        inside.engine.heal();
        if reply.code == 250 {
            assert!(allowance > 0, "W66: accepted without a single write");
            assert_eq!((count("alice@corp.test", "INBOX"), count("erin@corp.test", "m")), (1, 1), "W66");
            return;
        }
        assert_eq!((reply.code, &reply.lines[0][..5]), (451, "4.3.0"), "W66: {reply:?}");
        assert_eq!((count("alice@corp.test", "INBOX"), count("erin@corp.test", "m")), (0, 0), "W66: {allowance}");
    }
    panic!("W66: no number of writes is enough");
}
