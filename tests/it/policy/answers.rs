//! Questions that are answered by mail to a one-time address: T6 once more, decided by replying, and F07 with the consent
//! of the target (policy semantics §9, §11.1), with what somebody could try against it.

use serde_json::{Value, json};

use super::super::smtp::{Smtp, dot_stuffed};
use super::acme::{Acme, CLIENT, full};
use super::moderation::{counts, held, holds, well};
use super::replies::{ALREADY_DECIDED, ANSWER_AUTOMATIC, ANSWER_UNCLEAR, CONSENT_UNCLEAR, OK, SPLIT, USER_UNKNOWN};
use super::row::{ACCEPTED, Outcome, auth, keep, play, row, say, text};

/// The one-time address in the notice that `user` got about a message.
fn asked(acme: &mut Acme, user: &str, nonce: &str) -> String {
    let found = acme.find(user, "INBOX", nonce);
    let notices: Vec<String> = found.iter().map(|uid| acme.fetch(user, *uid)).collect();
    let notices: Vec<&String> = notices.iter().filter(|notice| notice.contains("Subject: Approval needed")).collect();
    assert_eq!(notices.len(), 1, "{user}: {notices:?}");
    reply_to(notices[0])
}

fn reply_to(notice: &str) -> String {
    let line = notice.lines().find_map(|line| line.strip_prefix("Reply-To: <")).expect("an address to answer to");
    line.trim_end().strip_suffix('>').expect("an address").to_owned()
}

/// How somebody answers.
enum As {
    /// Logged in on the submission port.
    Login(&'static str),
    /// From the server of a provider elsewhere.
    Host(&'static str),
}

fn session(acme: &Acme, who: &As) -> (Smtp, String) {
    match who {
        As::Login(user) => (acme.login(user), full(user)),
        As::Host(from) => (acme.host(CLIENT), (*from).to_owned()),
    }
}

/// Sends an answer: the first reply that is no yes, or that at the end of data.
fn answer(acme: &Acme, who: &As, to: &str, fields: &str, body: &str) -> String {
    answer_octets(acme, who, to, fields, body.as_bytes())
}

fn answer_octets(acme: &Acme, who: &As, to: &str, fields: &str, body: &[u8]) -> String {
    let (mut smtp, from) = session(acme, who);
    smtp.command(&format!("MAIL FROM:<{from}>"), 250);
    let reply = say(&mut smtp, &format!("RCPT TO:<{to}>"));
    if reply != OK {
        return reply;
    }
    finish(&mut smtp, &from, fields, body)
}

/// The content of an answer; what the peer says to it, without the message's id.
fn finish(smtp: &mut Smtp, from: &str, fields: &str, body: &[u8]) -> String {
    smtp.command("DATA", 354);
    let header = format!("From: {from}\r\nSubject: Re: Approval needed\r\n{fields}\r\n");
    smtp.wire.send(&dot_stuffed(&[header.as_bytes(), body].concat()));
    let reply = text(smtp);
    match reply.strip_prefix("250 2.0.0 Accepted ") {
        Some(id) => reply.replace(id, "<id>"),
        None => reply,
    }
}

/// A message for g-mod that waits, and the address by which dave decides.
fn waiting(acme: &mut Acme, id: &'static str) -> (Outcome, String) {
    let outcome = keep(acme, &held(row(id)));
    well(id, &outcome);
    let address = asked(acme, "dave", &outcome.nonce);
    (outcome, address)
}

fn dave() -> As {
    As::Login("dave")
}

#[test]
fn moderators_decide_by_replying() {
    let mut acme = Acme::start();
    let quoted = "On Monday, postmaster wrote:\r\n> Answer with \"accept\" or \"refuse\"\r\n";
    let elsewhere = || As::Host("dave.private@ext.test");
    let html = "MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n";
    let base64 = "MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n";
    for (id, who, fields, body) in [
        ("M02 by reply", dave(), "", format!("Accept.\r\n\r\n{quoted}")),
        ("M02 from another provider", elsewhere(), "", format!("approve\r\n{quoted}")),
        ("M02 in HTML", dave(), html, "<div>Accept<br></div><blockquote>refuse</blockquote>\r\n".to_owned()),
        ("M02 in Base64", dave(), base64, "YWNjZXB0DQo=\r\n".to_owned()),
        ("M02 below the quotation", dave(), "", format!("{quoted}\r\naccept\r\n-- \r\nrefuse\r\n")),
    ] {
        let (held, address) = waiting(&mut acme, id);
        let before = acme.entries();
        assert_eq!(answer(&acme, &who, &address, fields, &body), ACCEPTED, "{id}");
        assert_eq!(acme.entries(), before + 2, "{id}: alice and bob, and the answer is stored with nobody");
        assert_eq!(counts(&mut acme, &held.nonce, &["alice", "bob", "carol"]), [1, 1, 0], "{id}");
        assert!(holds(&acme).is_empty(), "{id}");
        assert_eq!(answer(&acme, &who, &address, "", "refuse\r\n"), USER_UNKNOWN, "{id}: decided already");
    }

    let latin =
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n";
    for (id, fields, body, words) in [
        (
            "M03 by reply",
            "",
            &b"Refuse: not this week,\r\nbut later\r\n\r\nYou wrote:\r\n> x\r\n"[..],
            "not this week, but later",
        ),
        ("M03 in Latin-1", latin, &b"REJECT - nichts f\xfcr heute\r\n"[..], "nichts für heute"),
    ] {
        let held = keep(&mut acme, &held(auth(id, "carol")).end(super::row::HELD));
        well(id, &held);
        let address = asked(&mut acme, "dave", &held.nonce);
        let hold = holds(&acme)[0]["id"].as_str().expect("an id").to_owned();
        assert_eq!(answer_octets(&acme, &dave(), &address, fields, body), ACCEPTED, "{id}");
        assert_eq!(acme.get(&format!("/holds/{hold}"))["text"], words, "{id}");
        assert_eq!(counts(&mut acme, &held.nonce, &["alice", "bob", "carol"]), [0, 0, 1], "{id}");
        let dsn = acme.find("carol", "INBOX", &held.nonce)[0];
        let dsn = acme.fetch("carol", dsn);
        assert!(dsn.contains("Status: 5.7.1\r\n"), "{id}: {dsn}");
        assert!(!words.is_ascii() || dsn.contains(words), "{id}: {dsn}");
    }
}

#[test]
fn a_decision_by_reply_leaves_its_records() {
    let mut acme = Acme::start();
    let (_, address) = waiting(&mut acme, "M02 recorded");
    let hold = holds(&acme)[0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(answer(&acme, &dave(), &address, "", "accept\r\n"), ACCEPTED);

    let audit = acme.get("/audit?limit=1");
    let record = &audit["items"][0];
    assert_eq!((record["action"].as_str(), record["actor"]["kind"].as_str()), (Some("hold.accept"), Some("account")));
    assert_eq!(record["entries"][0]["name"], *hold, "{record}");
    assert!(record["actor"]["client"].as_str().is_some_and(|client| client.starts_with("127.0.0.1:")), "{record}");
    assert_eq!(acme.get(&format!("/holds/{hold}"))["decided_by"], "dave@corp.test");

    let traces = acme.get("/trace?sender=dave@corp.test&limit=1");
    let record = &traces["items"][0]["record"];
    assert_eq!(
        (record["result"].as_str(), record["answer"].as_str()),
        (Some("answered"), Some("accepted the held message"))
    );
    let recipient = record["recipients"][0].as_str().expect("a recipient");
    assert!(address.starts_with(recipient.split('@').next().expect("a local-part")), "{recipient}");
    assert_ne!(recipient, address, "what works is in no log");
    assert!(!acme.server.log().contains(&address), "what works is in no log");
}

#[test]
fn what_is_no_decision_decides_nothing_and_says_so() {
    let mut acme = Acme::start();
    let (_, address) = waiting(&mut acme, "M02 unclear");
    let attached = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n";
    let before = acme.entries();
    for (case, fields, body, want) in [
        ("vacation", "Auto-Submitted: auto-replied\r\n", "accept\r\n", ANSWER_AUTOMATIC),
        ("vacation without its mark", "", "I am away until Monday.\r\n> accept\r\n", ANSWER_UNCLEAR),
        ("list", "List-Id: <a.list.test>\r\n", "accept\r\n", ANSWER_AUTOMATIC),
        ("bulk", "Precedence: bulk\r\n", "accept\r\n", ANSWER_AUTOMATIC),
        (
            "report",
            "MIME-Version: 1.0\r\nContent-Type: multipart/report; boundary=b\r\n",
            "--b\r\n\r\naccept\r\n--b--\r\n",
            ANSWER_AUTOMATIC,
        ),
        ("nothing", "", "\r\n", ANSWER_UNCLEAR),
        ("a quotation alone", "", "> accept\r\n", ANSWER_UNCLEAR),
        ("the subject does not count", "Subject: accept\r\n", "Hello,\r\naccept\r\n", ANSWER_UNCLEAR),
        ("both words", "", "accept or refuse?\r\n", ANSWER_UNCLEAR),
        ("a signature", "", "-- \r\naccept\r\n", ANSWER_UNCLEAR),
        (
            "an attached message",
            attached,
            "--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\naccept\r\n--b--\r\n",
            ANSWER_UNCLEAR,
        ),
    ] {
        assert_eq!(answer(&acme, &dave(), &address, fields, body), want, "{case}");
        assert_eq!(holds(&acme).len(), 1, "{case}");
    }
    assert_eq!(acme.entries(), before, "nothing of it is stored");
    // The moderator's own vacation reply does not answer: the notice comes from nobody.
    assert_eq!(answer(&acme, &dave(), &address, "Auto-Submitted: no\r\n", "accept\r\n"), ACCEPTED);
}

#[test]
fn only_who_was_asked_decides() {
    let mut acme = Acme::start();
    let (_, first) = waiting(&mut acme, "M02 first");
    let (_, second) = waiting(&mut acme, "M02 second");
    let (tag, hold, rest) = (&first[..7], &second[7..27], &first[27..]);
    let mut forged = first.clone();
    forged.replace_range(40..41, if &first[40..41] == "a" { "b" } else { "a" });
    let catch_all = "[[domain]]\nname = \"corp.test\"\ncatch_all = \"alice@corp.test\"\n";
    acme.apply(catch_all);
    for (case, who, to) in [
        ("forged", dave(), forged),
        ("token of another hold", dave(), format!("{tag}{hold}{rest}")),
        ("another approver's login", As::Login("erin"), first.clone()),
        ("the author's login", As::Login("alice"), first.clone()),
        ("the null reverse-path", As::Host(""), first.clone()),
        ("with a detail", dave(), first.replacen('@', "+x@", 1)),
    ] {
        let reply = answer(&acme, &who, &to, "", "accept\r\n");
        // A detail makes it an ordinary name, which the catch-all takes.
        let want = if case == "with a detail" { ACCEPTED } else { USER_UNKNOWN };
        assert_eq!(reply, want, "{case}");
        assert_eq!(holds(&acme).len(), 2, "{case}");
    }
    let taken = json!({ "address": first, "account": "alice@corp.test" }).to_string();
    let (status, answered) = acme.api("POST", "/aliases", &taken);
    assert_eq!((status, answered["error"]["key"].as_str()), (409, Some("address_reserved")), "{answered}");

    let frozen = "[[account]]\naddress = \"dave@corp.test\"\ndepartments = [\"/HR\"]\nstate = \"frozen\"\n";
    let (mut late, from) = session(&acme, &As::Host("dave.private@ext.test"));
    late.command(&format!("MAIL FROM:<{from}>"), 250);
    assert_eq!(say(&mut late, &format!("RCPT TO:<{first}>")), OK);
    acme.apply(frozen);
    assert_eq!(finish(&mut late, &from, "", b"accept\r\n"), ALREADY_DECIDED, "frozen in the meantime");
    let reply = answer(&acme, &As::Host("dave.private@ext.test"), &first, "", "accept\r\n");
    assert_eq!(reply, USER_UNKNOWN, "frozen");
    acme.reset();
    assert_eq!(answer(&acme, &dave(), &first.to_uppercase(), "", "accept\r\n"), ACCEPTED, "case does not matter");
    assert_eq!(holds(&acme).len(), 1);
}

#[test]
fn the_first_of_two_approvers_decides() {
    let mut acme = Acme::start();
    acme.apply(
        "[[group]]\naddress = \"g-mod@corp.test\"\npermission = \"anyone\"\nmembers = [\"alice@corp.test\", \
         \"bob@corp.test\"]\nmoderation = { when = \"all\", moderators = [\"dave@corp.test\", \"erin@corp.test\"] }\n",
    );
    let row = row("M11 by reply").rcpt("g-mod", OK).got(&["dave:Approvals", "erin:Approvals"]).generated(2);
    let held = keep(&mut acme, &row);
    well("M11", &held);
    let addresses = [asked(&mut acme, "dave", &held.nonce), asked(&mut acme, "erin", &held.nonce)];
    assert_ne!(addresses[0], addresses[1]);
    let mut sessions: Vec<Smtp> = ["dave", "erin"]
        .into_iter()
        .zip(&addresses)
        .map(|(user, address)| {
            let mut smtp = acme.login(user);
            smtp.command(&format!("MAIL FROM:<{}>", full(user)), 250);
            assert_eq!(say(&mut smtp, &format!("RCPT TO:<{address}>")), OK, "M11");
            smtp
        })
        .collect();
    assert_eq!(finish(&mut sessions[1], "erin@corp.test", "", b"accept\r\n"), ACCEPTED, "M11");
    assert_eq!(finish(&mut sessions[0], "dave@corp.test", "", b"refuse\r\n"), ALREADY_DECIDED, "M11");
    assert_eq!(counts(&mut acme, &held.nonce, &["alice", "bob"]), [1, 1], "M11");
}

#[test]
fn answers_travel_alone() {
    let mut acme = Acme::start();
    let (_, address) = waiting(&mut acme, "M02 alone");
    let mut smtp = acme.login("dave");
    smtp.command("MAIL FROM:<dave@corp.test>", 250);
    assert_eq!(say(&mut smtp, &format!("RCPT TO:<{address}>")), OK);
    assert_eq!(say(&mut smtp, "RCPT TO:<alice@corp.test>"), SPLIT);
    assert_eq!(say(&mut smtp, "RCPT TO:<nobody@corp.test>"), USER_UNKNOWN);
    assert_eq!(say(&mut smtp, &format!("RCPT TO:<{address}>")), SPLIT, "twice");
    smtp.command("RSET", 250);
    smtp.command("MAIL FROM:<dave@corp.test>", 250);
    assert_eq!(say(&mut smtp, "RCPT TO:<alice@corp.test>"), OK);
    assert_eq!(say(&mut smtp, &format!("RCPT TO:<{address}>")), SPLIT);
    smtp.command("RSET", 250);
    // In chunks, too (RFC 3030).
    smtp.command("MAIL FROM:<dave@corp.test>", 250);
    smtp.command(&format!("RCPT TO:<{address}>"), 250);
    let content = "From: dave@corp.test\r\n\r\naccept\r\n";
    smtp.wire.send(format!("BDAT {} LAST\r\n{content}", content.len()).as_bytes());
    smtp.expect(250);
    assert!(holds(&acme).is_empty());
}

#[test]
fn approvers_of_a_rule_decide_by_replying() {
    let mut acme = Acme::start();
    acme.apply(
        "[[rule]]\nname = \"ask\"\nscope = [\"gina@branch.test\"]\ndirection = \"received\"\nactions = [{ hold = { approvers = \
         [\"erin@corp.test\"] } }]\n",
    );
    let row = row("hold by rule").rcpt("gina@branch.test", OK).got(&["erin:Approvals"]).generated(1);
    let held = keep(&mut acme, &row);
    well("rule", &held);
    let address = asked(&mut acme, "erin", &held.nonce);
    assert!(address.ends_with("@corp.test"), "at the domain of the approver: {address}");
    assert_eq!(answer(&acme, &As::Login("erin"), &address, "", "accept\r\n"), ACCEPTED);
    assert_eq!(counts(&mut acme, &held.nonce, &["gina@branch.test"]), [1]);
}

#[test]
fn nothing_in_an_answer_becomes_more_than_text() {
    let mut acme = Acme::start();
    let encoded = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n";
    let held = keep(&mut acme, &held(auth("M03 injected", "carol")).end(super::row::HELD));
    well("M03", &held);
    let address = asked(&mut acme, "dave", &held.nonce);
    let body = "refuse: no=0D=0ABcc: evil@evil.test=0D=0A=0D=0A--=_=00=1B[31m\r\n.\r\nMAIL FROM:<x@evil.test>\r\n";
    assert_eq!(answer(&acme, &dave(), &address, encoded, body), ACCEPTED);
    let dsn = acme.find("carol", "INBOX", &held.nonce)[0];
    let dsn = acme.fetch("carol", dsn);
    let fields = |part: &str| part.split("\r\n\r\n").next().unwrap_or_default().to_owned();
    assert!(!fields(&dsn).contains("evil"), "{dsn}");
    assert!(!dsn.contains("\r\nBcc:") && !dsn.contains('\0') && !dsn.contains('\u{1b}'), "{dsn}");
    assert!(dsn.contains("no Bcc: evil@evil.test"), "{dsn}");
    assert_eq!(acme.get("/queue")["items"], Value::Array(Vec::new()), "nobody else hears of it");
}

#[test]
fn guesses_are_answered_like_unknown_users() {
    let mut acme = Acme::start();
    let (_, address) = waiting(&mut acme, "guessed");
    let (local, domain) = address.split_once('@').expect("an address");
    let mut smtp = acme.host(CLIENT);
    smtp.command("MAIL FROM:<x@evil.test>", 250);
    assert_eq!(say(&mut smtp, "RCPT TO:<nobody@corp.test>"), USER_UNKNOWN);
    for n in 0..60 {
        let seal: String =
            (0..20).map(|at| char::from(b'a' + u8::try_from((n * 7 + at * 3) % 26).expect("a letter"))).collect();
        let guess = format!("{}{seal}@{domain}", &local[..local.len() - 20]);
        assert_eq!(say(&mut smtp, &format!("RCPT TO:<{guess}>")), USER_UNKNOWN, "{guess}");
    }
    let question = |to: &str| {
        let body = json!({ "from": "dave@corp.test", "to": to, "auth": "dave@corp.test" }).to_string();
        let (status, answer) = acme.api("POST", "/explain", &body);
        assert_eq!(status, 200, "{answer}");
        (answer["reply"].as_str().unwrap_or_default().to_owned(), answer["findings"].to_string())
    };
    let (reply, findings) = question(&address);
    assert_eq!(reply, OK);
    assert!(findings.contains("by answering, dave@corp.test decides about the held message"), "{findings}");
    let (reply, findings) = question(&address.replacen("decide-0", "decide-1", 1));
    assert_eq!(reply, USER_UNKNOWN);
    assert!(findings.contains("asks nothing"), "{findings}");
    assert_eq!(holds(&acme).len(), 1);
}

/// alice forwards to pam, who has not confirmed.
const TO_PAM: &str = "[[organisation]]\nname = \"acme\"\nexternal_forward = \"allow\"\n[[account]]\naddress = \
                      \"alice@corp.test\"\nforward = { targets = [\"pam@partner.test\"], keep = false }\n";

/// What pam's server gets is read by hosting her for a moment.
const PAM_HERE: &str = "[[organisation]]\nname = \"partner\"\n[[domain]]\nname = \"partner.test\"\norganisation = \
                        \"partner\"\n[[account]]\naddress = \"pam@partner.test\"\npassword = \"open sesame\"\n";

#[test]
fn f07_external_targets_confirm_by_answering() {
    let mut acme = Acme::start();
    let requests = |acme: &Acme| {
        let queue = acme.get("/queue");
        let items = queue["items"].as_array().cloned().unwrap_or_default();
        items.iter().filter(|item| item["recipient"] == "pam@partner.test" && item["reverse_path"] == "").count()
    };
    acme.apply(TO_PAM);
    assert_eq!(requests(&acme), 1, "pam is asked when the forward is set");
    assert_eq!(play(&mut acme, &row("F07").rcpt("alice", OK).got(&["alice"])).faults, Vec::<String>::new());
    let again = json!({ "targets": ["pam@partner.test"], "keep": false }).to_string();
    assert_eq!(acme.api("PUT", "/accounts/alice@corp.test/forward", &again).0, 200);
    assert_eq!(requests(&acme), 1, "and not twice a day");

    acme.apply(PAM_HERE);
    let (status, asked) = acme.api("POST", "/accounts/alice@corp.test/forward/ask", "{}");
    assert_eq!((status, &asked["items"]), (200, &json!([{ "target": "pam@partner.test", "mailed": true }])));
    let request = acme.find("pam@partner.test", "INBOX", "alice@corp.test");
    assert_eq!(request.len(), 1);
    let request = acme.fetch("pam@partner.test", request[0]);
    assert!(request.starts_with("Return-Path: <>\r\n") && request.contains("alice@corp.test asks"), "{request}");
    let address = reply_to(&request);
    assert_eq!(acme.api("DELETE", "/accounts/pam@partner.test", "").0, 204);
    assert_eq!(acme.api("DELETE", "/domains/partner.test", "").0, 204);

    let pam = || As::Host("pam@partner.test");
    let mut forged = address.clone();
    forged.replace_range(30..31, if &address[30..31] == "a" { "b" } else { "a" });
    assert_eq!(answer(&acme, &pam(), &forged, "", "confirm\r\n"), USER_UNKNOWN, "forged");
    assert_eq!(answer(&acme, &As::Host(""), &address, "", "confirm\r\n"), USER_UNKNOWN, "from nobody");
    assert_eq!(answer(&acme, &pam(), &address, "", "Who is that?\r\n"), CONSENT_UNCLEAR);
    let away = answer(&acme, &pam(), &address, "Auto-Submitted: auto-replied\r\n", "\r\n");
    assert_eq!(away, ANSWER_AUTOMATIC);
    assert_eq!(play(&mut acme, &row("F07, asked").rcpt("alice", OK).got(&["alice"])).faults, Vec::<String>::new());

    let empty = "On Monday, postmaster wrote:\r\n> alice@corp.test asks\r\n";
    assert_eq!(answer(&acme, &pam(), &address, "", empty), CONSENT_UNCLEAR, "programs answer with nothing, too");
    assert_eq!(answer(&acme, &pam(), &address, "", &format!("Yes, please.\r\n{empty}")), ACCEPTED);
    let shown = acme.get("/accounts/alice@corp.test");
    assert_eq!(shown["forward"]["targets"], json!([{ "to": "pam@partner.test", "confirmed": true }]));
    let record = &acme.get("/audit?organisation=acme&limit=1")["items"][0];
    assert_eq!(
        (record["action"].as_str(), record["actor"]["kind"].as_str()),
        (Some("account.forward-confirmed"), Some("answer"))
    );
    assert_eq!(record["actor"]["client"], format!("{CLIENT}:40000"), "{record}");
    let row = row("F07, confirmed").rcpt("alice", OK).out("pam@partner.test", "SRS0=");
    assert_eq!(play(&mut acme, &row).faults, Vec::<String>::new());
    assert_eq!(answer(&acme, &pam(), &address, "", "confirm\r\n"), USER_UNKNOWN, "answered already");
    let output = acme.server.cli(&["account", "ask-forward", "alice@corp.test"], "");
    assert_eq!(output, "", "nobody is left to be asked");
}
