//! Forms of a message (policy semantics §6.5, §13.4): who is to see something more sees it, in every way of reading, and
//! everybody else has the octets as they came.

use super::super::imap::nstring_after;
use super::super::prng::Prng;
use super::super::signer::{Key, Signer, key_name};
use super::super::smtp::dot_stuffed;
use super::acme::{Acme, CLIENT};
use super::replies::OK;
use super::row::{keep, row};

const SUBJECT: &str = "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n from outside\r\n";

/// With parts, and a body that is stored in several chunks.
fn message(subject: &str) -> String {
    let lines = "0123456789 abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ\r\n".repeat(9_000);
    format!(
        "From: stranger@ext.test\r\nTo: alice@corp.test\r\n{subject}Date: Sun, 22 Nov 2026 09:00:00 +0000\r\nMessage-ID: \
         <forms@rows.test>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: \
         text/plain\r\n\r\nHello.\r\n--b\r\nContent-Type: text/csv; name=list.csv\r\n\r\n{lines}\r\n--b--\r\n"
    )
}

/// Sends these octets from outside; gives the message's id.
fn send(acme: &Acme, mail: &str, recipients: &[&str], octets: &[u8]) -> String {
    let mut session = acme.host(CLIENT);
    session.command(&format!("MAIL FROM:<{mail}>"), 250);
    for recipient in recipients {
        session.command(&format!("RCPT TO:<{recipient}>"), 250);
    }
    session.command("DATA", 354);
    session.wire.send(&dot_stuffed(octets));
    let reply = session.expect(250).lines.join(" ");
    reply.strip_prefix("2.0.0 Accepted ").expect("an id").to_owned()
}

/// What an item of the last message in a folder is.
fn item(acme: &mut Acme, user: &str, folder: &str, item: &str) -> Vec<u8> {
    let imap = acme.imap(user);
    imap.ok(&format!("SELECT \"{folder}\""));
    let name = item.replace(".PEEK", "");
    let name = name.split(']').next().unwrap_or_default();
    let answer = imap.ok(&format!("FETCH * ({item})"));
    let value = answer.untagged.iter().find_map(|r| nstring_after(r, name.as_bytes()));
    value.unwrap_or_else(|| panic!("{item}: {:?}", answer.lines()))
}

fn whole(acme: &mut Acme, user: &str) -> String {
    String::from_utf8(item(acme, user, "INBOX", "BODY.PEEK[]")).expect("text")
}

/// The response to FETCH of an item that is no string.
fn line(acme: &mut Acme, user: &str, item: &str) -> String {
    let imap = acme.imap(user);
    imap.ok("SELECT INBOX");
    let lines = imap.ok(&format!("FETCH * ({item})")).lines();
    lines.into_iter().find(|l| l.contains(item)).expect("a response")
}

/// Without what stands in front of the content, which names a moment.
fn content<'a>(message: &'a str, start: &str) -> &'a str {
    message.find(start).map_or("", |at| &message[at..])
}

#[test]
fn a_subject_prefix_is_on_one_copy_and_reads_the_same_in_every_way() {
    let mut acme = Acme::start();
    acme.apply(
        "[[rule]]\nname = \"outside\"\nscope = [\"alice@corp.test\"]\ndirection = \"received\"\npeer = \"external\"\nactions \
         = [{ subject-prefix = \"[外部]\" }]\n[[rule]]\nname = \"again\"\npriority = 1\nscope = \
         [\"alice@corp.test\"]\nactions = [{ subject-prefix = \"[EXT]\" }]\n",
    );
    let before = acme.entries();
    send(&acme, "stranger@ext.test", &["alice@corp.test", "bob@corp.test"], message(SUBJECT).as_bytes());
    assert_eq!(acme.entries(), before + 2, "and nothing is wrong with the store");

    let bob = whole(&mut acme, "bob");
    assert!(bob.ends_with(&message(SUBJECT)), "bob's copy is as it came");
    let alice = whole(&mut acme, "alice");
    assert!(alice.ends_with(&message("")), "the rest of alice's copy is as it came");
    let (head, _) = alice.split_once("\r\n\r\n").expect("a header");
    assert_eq!(head.matches("\r\nSubject: ").count(), 1, "{head}");
    // Both are encoded, and so is the space between the text and the first word of the subject.
    let new = "Subject: =?utf-8?B?W+WklumDqF0gW0VYVF0g?= =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n from outside\r\n";
    let got = String::from_utf8(item(&mut acme, "alice", "INBOX", "BODY.PEEK[HEADER.FIELDS (SUBJECT)]")).expect("text");
    assert_eq!(got, format!("{new}\r\n"));

    every_way_of_reading_agrees(&mut acme, &alice);
    for (user, found) in [("alice", 1), ("bob", 0)] {
        let imap = acme.imap(user);
        for search in ["SUBJECT \"[EXT]\"", "HEADER SUBJECT \"[EXT]\"", "TEXT \"[EXT]\""] {
            let lines = imap.ok(&format!("SEARCH {search}")).lines();
            let numbers = lines.iter().find_map(|l| l.strip_prefix("* SEARCH")).unwrap_or_default();
            assert_eq!(numbers.split_whitespace().count(), found, "{user}: {search}");
        }
    }
    let imap = acme.imap("alice");
    imap.ok("CREATE Kept");
    imap.ok("SELECT INBOX");
    imap.ok("COPY * Kept");
    assert_eq!(item(&mut acme, "alice", "Kept", "BODY.PEEK[]"), alice.as_bytes(), "a copy is as the original");
    acme.entries();
}

fn every_way_of_reading_agrees(acme: &mut Acme, alice: &str) {
    let octets = alice.as_bytes();
    assert!(line(acme, "alice", "RFC822.SIZE").contains(&format!("RFC822.SIZE {})", octets.len())));
    let header = item(acme, "alice", "INBOX", "BODY.PEEK[HEADER]");
    let text = item(acme, "alice", "INBOX", "BODY.PEEK[TEXT]");
    assert_eq!([header, text].concat(), octets);
    assert_eq!(item(acme, "alice", "INBOX", "BODY.PEEK[1]"), b"Hello.");
    assert!(
        line(acme, "alice", "ENVELOPE").contains("=?utf-8?B?W+WklumDqF0gW0VYVF0g?= =?utf-8?Q?Gr=C3=BC=C3=9Fe?= from")
    );
    // What lies in the body is where it lies for bob.
    for part in ["BODY.PEEK[1.MIME]", "BODY.PEEK[2.MIME]", "BODY.PEEK[2]", "BODY.PEEK[TEXT]"] {
        assert!(item(acme, "alice", "INBOX", part) == item(acme, "bob", "INBOX", part), "{part}");
    }
    for structure in ["BODYSTRUCTURE", "BODY"] {
        assert_eq!(line(acme, "alice", structure), line(acme, "bob", structure));
    }
    let mut prng = Prng(11);
    let mut ranges: Vec<(usize, usize)> = (0..1_500).step_by(61).map(|from| (from, 97)).collect();
    for _ in 0..20 {
        ranges.push((prng.next() as usize % octets.len(), 1 + prng.next() as usize % 400_000));
    }
    for (from, count) in ranges {
        let got = item(acme, "alice", "INBOX", &format!("BODY.PEEK[]<{from}.{count}>"));
        assert!(got == octets[from..octets.len().min(from + count)], "<{from}.{count}>");
    }
}

#[test]
fn a_subject_that_has_the_text_already_stays_as_it_is() {
    let mut acme = Acme::start();
    acme.apply(
        "[[rule]]\nname = \"outside\"\nscope = [\"alice@corp.test\"]\nactions = [{ subject-prefix = \"[EXT]\" }]\n",
    );
    for (subject, want) in [
        ("Subject: [EXT] hello\r\n", "Subject: [EXT] hello\r\n"),
        ("", "Subject: [EXT]\r\n"),
        ("subject: one\r\nSubject: two\r\n", "Subject: [EXT] one\r\nSubject: two\r\n"),
    ] {
        send(&acme, "stranger@ext.test", &["alice@corp.test"], message(subject).as_bytes());
        let fields = item(&mut acme, "alice", "INBOX", "BODY.PEEK[HEADER.FIELDS (SUBJECT)]");
        assert_eq!(String::from_utf8_lossy(&fields), format!("{want}\r\n"), "{subject}");
    }
}

/// List-Id: off, the octets are those that came; on, it is one field in front of the copies through the group.
#[test]
fn a_list_id_is_one_field_on_what_comes_through_the_group() {
    let mut acme = Acme::start();
    let group = |list_id: bool| {
        format!(
            "[[group]]\naddress = \"g-any@corp.test\"\npermission = \"anyone\"\nlist_id = {list_id}\nmembers = \
             [\"alice@corp.test\", \"bob@corp.test\", {{ group = \"g-mem@corp.test\", edge = \"inherit\" }}]\n"
        )
    };
    let signed = Signer::new(&acme.dns, "partner.test", Key::Ed25519).sign(message(SUBJECT).as_bytes());
    let text = String::from_utf8(signed.clone()).expect("text");
    let to = ["g-any@corp.test", "alice@corp.test"];
    for list_id in [false, true] {
        acme.apply(&group(list_id));
        send(&acme, "pam@partner.test", &to, &signed);
        for (user, is_through) in [("alice", false), ("bob", true), ("carol", true)] {
            let copy = whole(&mut acme, user);
            let front = copy.strip_suffix(&text).unwrap_or_else(|| panic!("{user}: {list_id}: {copy:.900}"));
            let field = "List-Id: <g-any.corp.test>\r\n";
            let trace = if list_id && is_through { front.strip_prefix(field) } else { Some(front) };
            let trace = trace.unwrap_or_else(|| panic!("{user}: no List-Id: {front}"));
            assert!(trace.starts_with("Return-Path: ") && !trace.contains("List-Id"), "{user}: {trace}");
            let id = send(&acme, "pam@partner.test", &["dave@corp.test"], copy.as_bytes());
            let dkim = acme.get(&format!("/trace/{id}"));
            assert!(is_signed(&dkim), "{user}: DKIM of what arrived: {dkim}");
        }
    }
    // Changed content is no longer signed: the check above can fail.
    let id = send(&acme, "pam@partner.test", &["dave@corp.test"], text.replace("Hello", "Hallo").as_bytes());
    let broken = acme.get(&format!("/trace/{id}"));
    assert!(!is_signed(&broken), "{broken}");
    acme.dns.remove(&key_name("partner.test", Key::Ed25519));

    // A list elsewhere keeps its own (RFC 2919 §6).
    let listed = message(SUBJECT).replacen("MIME-Version", "List-Id: <x.list.test>\r\nMIME-Version", 1);
    send(&acme, "pam@partner.test", &["g-any@corp.test"], listed.as_bytes());
    let copy = whole(&mut acme, "bob");
    assert!(copy.ends_with(&listed) && copy.matches("List-Id:").count() == 1);
}

/// The trace says that a signature of partner.test was verified.
fn is_signed(trace: &serde_json::Value) -> bool {
    trace["record"]["dkim"].to_string().contains("pass")
}

/// W40: a rule that copies changes nothing of what it copies.
#[test]
fn a_watched_message_is_the_same_message() {
    let mut acme = Acme::start();
    let octets = message(SUBJECT);
    let mut seen = Vec::new();
    for is_watched in [false, true] {
        if is_watched {
            acme.apply(
                "[[rule]]\nname = \"watch\"\nscope = [\"alice@corp.test\"]\nactions = [{ copy = { monitor = \
                 \"erin@corp.test\", folder = \"m\" } }]\n",
            );
        }
        send(&acme, "stranger@ext.test", &["alice@corp.test"], octets.as_bytes());
        let copy = whole(&mut acme, "alice");
        let is_field = |line: &&str| !line.starts_with([' ', '\t']);
        let names = |field: &str| field.split(':').next().map(str::to_owned);
        let front: Vec<_> = copy[..copy.len() - octets.len()].lines().filter(is_field).map(names).collect();
        seen.push((
            front,
            content(&copy, "From: ").to_owned(),
            line(&mut acme, "alice", "FLAGS").replace(" 2 ", " 1 "),
        ));
    }
    assert!(seen[0] == seen[1], "W40");
    assert_eq!(seen[0].1, octets, "W40");
    assert_eq!(acme.find("erin", "m", "Hello").len(), 1, "W40");
}

/// W41: a report of success names who was addressed, and nobody who watches.
#[test]
fn reports_of_success_name_who_was_addressed() {
    use super::row::auth;
    let mut acme = Acme::start();
    let rule = "[[rule]]\nname = \"watch\"\nscope = [\"alice@corp.test\"]\nactions = [{ copy = { monitor = \
                \"erin@corp.test\", folder = \"m\" } }]\n";
    acme.apply(rule);
    let asks = "<alice@corp.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a+2Bb@corp.test";
    let w41 = auth("W41", "bob")
        .mail_parameters(" RET=FULL ENVID=QQ+2B1")
        .rcpt(asks, OK)
        .got(&["alice", "erin:m"])
        .notice("bob", "2.0.0", "alice@corp.test", "erin");
    let outcome = keep(&mut acme, &w41);
    assert_eq!(outcome.faults, Vec::<String>::new(), "W41");
    let uid = acme.find("bob", "INBOX", &outcome.nonce)[0];
    let report = acme.fetch("bob", uid);
    for line in [
        "Return-Path: <>\r\n",
        "\r\nOriginal-Envelope-Id: QQ+1\r\n",
        "\r\nOriginal-Recipient: rfc822;a+b@corp.test\r\nFinal-Recipient: rfc822; alice@corp.test\r\nAction: delivered\r\n",
        "Content-Type: text/rfc822-headers",
    ] {
        assert!(report.contains(line), "W41: {line}: {report}");
    }
    assert_eq!(report.matches("Final-Recipient").count(), 1, "W41: {report}");
    assert!(!report.contains("Hello."), "W41: the header alone: {report}");

    // A group answers for its members, whoever they are; who did not ask, or could not be answered, reads nothing.
    let members = auth("W41-group", "bob")
        .rcpt("<g-any@corp.test> NOTIFY=SUCCESS", OK)
        .rcpt("<dave@corp.test> NOTIFY=NEVER", OK)
        .rcpt("<admin@corp.test>", OK)
        .got(&["alice", "bob", "carol", "dave", "admin", "erin:m"])
        .generated(1);
    let outcome = keep(&mut acme, &members);
    assert_eq!(outcome.faults, Vec::<String>::new(), "W41-group");
    let texts: Vec<String> =
        acme.find("bob", "INBOX", &outcome.nonce).into_iter().map(|uid| acme.fetch("bob", uid)).collect();
    let report = texts.iter().find(|text| text.contains("delivery-status")).expect("a report");
    assert!(report.contains("rfc822; g-any@corp.test\r\nAction: expanded\r\n"), "{report}");
    for name in ["alice", "carol", "dave", "erin", "admin@"] {
        assert!(!report.contains(name), "{name}: {report}");
    }
    let unasked = vec![
        auth("W41-failure", "bob").rcpt("<alice@corp.test> NOTIFY=FAILURE", OK).got(&["alice", "erin:m"]),
        row("W41-stranger").rcpt("<alice@corp.test> NOTIFY=SUCCESS", OK).got(&["alice", "erin:m"]),
        auth("W41-discarded", "bob")
            .setup("[[rule]]\nname = \"drop\"\nscope = [\"dave@corp.test\"]\ndirection = \"received\"\nactions = [\"discard\"]\n")
            .rcpt("<dave@corp.test> NOTIFY=SUCCESS", OK),
    ];
    for row in unasked {
        let outcome = super::row::play(&mut acme, &row);
        assert_eq!(outcome.faults, Vec::<String>::new(), "{}", row.id);
        acme.apply(rule);
    }
}
