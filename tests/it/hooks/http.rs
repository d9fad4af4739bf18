//! HTTP hooks: every answer, every stage, and programs that misbehave.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::program::{Does, Program, signature};
use super::{ALICE, BOB, PAM, message, messages, send, server_with, traces};
use crate::policy::auth_plain;
use crate::server::{PASSWORD, Server};
use crate::smtp::Smtp;

/// A server with one HTTP hook at all stages, and the program behind it.
fn hooked(more: &str) -> (Server, Program) {
    let program = Program::start();
    let hook = format!(
        "[[hook]]\nname = \"policy\"\nkind = \"http\"\nurl = \"http://{}/hook\"\nsecret_file = \"{}\"\nretries = 0\n{more}\n",
        program.address,
        program.secret_file().display()
    );
    (server_with(&hook), program)
}

const ALL: &str = "stages = [\"connect\", \"ehlo\", \"auth\", \"mail\", \"rcpt\", \"header\", \"data\"]";

#[test]
fn every_answer_has_its_effect() {
    let (server, program) = hooked("");
    for (subject, answer, reply) in [
        ("yes", json!({ "verdict": "accept" }), "250 "),
        ("stop", json!({ "verdict": "stop" }), "250 "),
        ("no", json!({ "verdict": "refuse" }), "550 5.7.1 Refused by policy"),
        (
            "no-because",
            json!({ "verdict": "refuse", "code": 553, "status": "5.7.9", "text": "Not you", "reason": "list 7" }),
            "553 5.7.9 Not you",
        ),
        ("later", json!({ "verdict": "defer" }), "451 4.3.0 Policy temporarily unavailable"),
        ("much-later", json!({ "verdict": "defer", "code": 450, "text": "Tomorrow" }), "450 4.7.1 Tomorrow"),
        (
            "injected",
            json!({ "verdict": "refuse", "text": "no\r\n250 2.0.0 yes\u{e9}" }),
            "550 5.7.1 no??250 2.0.0 yes?",
        ),
        ("gone", json!({ "verdict": "discard" }), "250 "),
        ("junk", json!({ "verdict": "junk" }), "250 "),
        ("elsewhere", json!({ "verdict": "redirect", "redirect": [BOB] }), "250 "),
        ("held", json!({ "verdict": "quarantine", "reason": "odd" }), "250 "),
    ] {
        program.says(answer.clone());
        assert!(send(&server, subject).starts_with(reply), "{answer}");
    }
    let inbox = |user: &str, subject: &str| messages(&server, user, "INBOX", subject).len();
    for (subject, want) in
        [("yes", 1), ("stop", 1), ("no-because", 0), ("gone", 0), ("junk", 0), ("elsewhere", 0), ("held", 0)]
    {
        assert_eq!(inbox("alice", &format!("body of {subject}")), want, "{subject}");
    }
    assert_eq!(messages(&server, "alice", "Junk", "body of junk").len(), 1);
    assert_eq!(inbox("bob", "body of elsewhere"), 1);

    let traces = traces(&server);
    let said = |result: &str, word: &str| {
        let has = |trace: &&Value| {
            let record = &trace["record"];
            record["result"] == result && record["hooks"][0]["said"].as_str().is_some_and(|said| said.contains(word))
        };
        traces.iter().filter(has).count()
    };
    assert_eq!((said("refused", "553 5.7.9 Not you"), said("discarded", "discard")), (1, 1), "{traces:?}");

    assert!(traces.iter().all(|trace| trace["record"]["helo"] == "client.example.test"), "{traces:?}");
    program.says(json!({ "verdict": "refuse" }));
    let holds = server.cli(&["hold", "list", "--kind", "quarantine", "--json"], "");
    let holds: Value = serde_json::from_str(&holds).expect("JSON");
    assert_eq!((&holds[0]["hook"], &holds[0]["why"]), (&json!("policy"), &json!("odd")));
    server.cli(&["hold", "accept", holds[0]["id"].as_str().expect("an id")], "");
    let released = messages(&server, "alice", "INBOX", "body of held");
    assert_eq!(released.len(), 1, "released, and no hook is asked again");
    assert!(released[0].ends_with(&String::from_utf8_lossy(&message("held")).into_owned()), "{}", released[0]);
    assert!(server.try_cli(&["check"], "").status.success());
}

#[test]
fn fields_stand_above_what_came() {
    let (server, program) = hooked("");
    let fields = json!([{ "name": "X-One", "value": "1" }, { "name": "X-Two", "value": "a\r\n b" }]);
    program.says(json!({ "verdict": "accept", "add_fields": fields }));
    assert!(send(&server, "fields").starts_with("250"));
    let got = messages(&server, "alice", "INBOX", "body of fields").remove(0);
    let came = String::from_utf8_lossy(&message("fields")).into_owned();
    assert!(got.starts_with("Return-Path: "), "{got}");
    assert!(got.ends_with(&format!("X-Two: a\r\n b\r\nX-One: 1\r\n{came}")), "{got}");
}

#[test]
fn each_stage_is_asked_and_can_end_it() {
    let (server, program) = hooked(ALL);
    let no = json!({ "verdict": "refuse", "text": "no" });

    program.says_at("connect", no.clone());
    let mut wire = crate::wire::Wire::connect(server.address("smtp"));
    assert_eq!(wire.try_line().expect("a line"), b"554 5.7.1 mail.example.test no");

    program.says_at("ehlo", no.clone());
    let mut smtp = Smtp::greeted(server.address("smtp"));
    smtp.command("EHLO client.test", 550);
    smtp.command("MAIL FROM:<pam@partner.test>", 503);

    program.says_at("auth", no.clone());
    let mut smtp = Smtp::open(server.address("submission"));
    assert_eq!(smtp.command(&auth_plain(ALICE, PASSWORD), 535).text(), "5.7.1 no");
    smtp.command("MAIL FROM:<alice@example.test>", 530);

    program.says_at("mail", no.clone());
    let mut smtp = Smtp::open(server.address("smtp"));
    smtp.command("MAIL FROM:<pam@partner.test>", 550);
    smtp.command("RCPT TO:<alice@example.test>", 503);

    program.says_at("rcpt", no.clone());
    let mut smtp = Smtp::open(server.address("smtp"));
    smtp.command("MAIL FROM:<pam@partner.test>", 250);
    smtp.command("RCPT TO:<alice@example.test>", 550);
    smtp.command("DATA", 503);

    for stage in ["header", "data"] {
        program.says_at(stage, no.clone());
        assert_eq!(send(&server, stage), "550 5.7.1 no");
    }
    program.heard();
    program.says(json!({ "verdict": "accept" }));
    let mut smtp = Smtp::open(server.address("submission"));
    smtp.command(&auth_plain(ALICE, PASSWORD), 235);
    assert_eq!(smtp.send(ALICE, &[BOB], b"From: alice@example.test\r\nSubject: x\r\n\r\ntext\r\n").code, 250);
    let heard = program.heard();
    let stages: Vec<Value> = heard.iter().map(|question| question.json()["stage"].clone()).collect();
    assert_eq!(stages, ["connect", "ehlo", "auth", "mail", "rcpt", "header", "data"]);
    for question in &heard {
        let body = String::from_utf8_lossy(&question.body).into_owned();
        assert!(!body.contains(PASSWORD) && !body.contains("b3BlbiBzZXNhbWU"), "{body}");
        let (id, time) = (question.field("webhook-id"), question.field("webhook-timestamp"));
        assert_eq!(question.field("webhook-signature"), signature(id, time, &question.body));
    }
    let last = heard.last().expect("a question").json();
    assert_eq!(last["login"], ALICE);
    assert_eq!(last["envelope"]["reverse_path"], ALICE);
    assert_eq!(last["envelope"]["recipients"][0]["address"], BOB);
    assert_eq!(last["message"]["header"][1], json!(["Subject", "x"]));
    server.assert_no_panic();
}

#[test]
fn who_is_refused_anyway_is_not_asked_about() {
    let (server, program) = hooked("stages = [\"rcpt\", \"data\"]");
    let mut smtp = Smtp::open(server.address("smtp"));
    smtp.command("MAIL FROM:<pam@partner.test>", 250);
    smtp.command("RCPT TO:<nobody@example.test>", 550);
    smtp.command("RCPT TO:<pat@elsewhere.test>", 550);
    assert_eq!(program.heard().len(), 0);
}

#[test]
fn a_program_that_misbehaves_defers_or_marks_and_never_refuses() {
    let accept = || json!({ "verdict": "accept" });
    let refuse = || json!({ "verdict": "refuse" });
    for (mode, reply) in [("defer", "451 4.3.0 Policy temporarily unavailable"), ("accept", "250 ")] {
        let (server, program) = hooked(&format!("timeout = \"500 ms\"\non_failure = \"{mode}\""));
        for (what, does) in [
            ("slow", Does::Waits(Duration::from_secs(2), accept())),
            ("closes", Does::Writes(vec![])),
            ("garbage", Does::Writes(b"\x00\xff garbage\r\n\r\n".to_vec())),
            ("half", Does::Writes(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_vec())),
            ("500", Does::Status(500)),
            ("404", Does::Status(404)),
            ("redirected", Does::Status(302)),
            ("endless head", Does::Writes([&b"HTTP/1.1 200 OK\r\nX: "[..], &vec![b'x'; 1 << 20]].concat())),
            ("huge", Does::Content(format!("{{\"verdict\":\"refuse\",\"text\":\"{}\"}}", "x".repeat(1 << 20)))),
            ("unsigned", Does::Unsigned(refuse())),
            ("wrongly signed", Does::WronglySigned(refuse())),
            ("no JSON", Does::Content("refuse".to_owned())),
            ("another key", Does::Says(json!({ "verdict": "refuse", "verdikt": 1 }))),
            ("another verdict", Does::Says(json!({ "verdict": "maybe" }))),
            ("another class", Does::Says(json!({ "verdict": "refuse", "code": 250 }))),
            (
                "a field too many",
                Does::Says(json!({ "verdict": "accept", "add_fields": [{ "name": "A", "value": "b\r\nBcc: eve" }] })),
            ),
            (
                "a field that is none",
                Does::Says(json!({ "verdict": "accept", "add_fields": [{ "name": "A b", "value": "c" }] })),
            ),
        ] {
            program.does(does);
            assert!(send(&server, "misbehaved").starts_with(reply), "{mode}: {what}");
            // The breaker must not speak for the next case.
            program.says(accept());
            let start = Instant::now();
            while !server.cli(&["hook", "list"], "").trim_end().ends_with("false")
                || send(&server, "well").starts_with("451")
            {
                assert!(start.elapsed() < Duration::from_secs(30), "{what}: it stays suspended");
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        let got = messages(&server, "alice", "INBOX", "body of misbehaved");
        assert_eq!(got.is_empty(), mode == "defer");
        assert!(got.iter().all(|text| text.contains("X-Posthouse-Unchecked: policy\r\n")));
        assert!(!got.iter().any(|text| text.contains("Bcc")));
        server.assert_no_panic();
    }
}

#[test]
fn a_program_that_is_down_is_left_alone_and_asked_again() {
    let (server, program) = hooked("timeout = \"2 s\"\non_failure = \"accept\"");
    program.does(Does::Status(503));
    for _ in 0..6 {
        assert!(send(&server, "down").starts_with("250"));
    }
    assert!(server.cli(&["hook", "list"], "").trim_end().ends_with("true"), "suspended");
    let asked = program.heard().len();
    assert!(asked <= 6, "{asked}");
    program.says(json!({ "verdict": "refuse" }));
    let start = Instant::now();
    while send(&server, "up again").starts_with("250") {
        assert!(start.elapsed() < Duration::from_secs(30), "never asked again");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_hook_can_be_asked_beforehand() {
    let (server, program) = hooked(ALL);
    program.says_at("data", json!({ "verdict": "junk", "reason": "smells" }));
    let file = server.path().join("message.eml");
    std::fs::write(&file, "From: pam@partner.test\nSubject: test\n\ntext\n").expect("write");
    let file = file.display().to_string();
    let arguments = ["hook", "test", "policy", &file, "--from", PAM, "--to", ALICE, "--client", "192.0.2.1", "--json"];
    let said: Value = serde_json::from_str(&server.cli(&arguments, "")).expect("JSON");
    assert_eq!((&said["verdict"], &said["junk"]), (&json!("continue"), &json!(true)), "{said}");
    assert_eq!(said["answers"].as_array().map(Vec::len), Some(6), "{said}");
    let last = program.heard().pop().expect("asked").json();
    assert_eq!(last["peer"]["client"], "192.0.2.1:0");
    let none = server.try_cli(&["hook", "test", "nothing", &file], "");
    assert!(String::from_utf8_lossy(&none.stderr).contains("hook nothing"));
    assert_eq!(messages(&server, "alice", "INBOX", "text").len(), 0);
}

/// A hook that takes its time holds up those alone who ask it: a thousand others wait for it, and a session that is not
/// asked about goes on as if nothing were.
#[test]
fn a_slow_program_holds_up_those_alone_who_ask_it() {
    const WAITING: usize = 1_000;
    let (server, program) = hooked("listeners = [\"smtp\"]\nat_once = 50\ntimeout = \"60 s\"");
    program.does(Does::Waits(Duration::from_millis(100), json!({ "verdict": "accept" })));
    let mut sessions: Vec<Smtp> = (0..WAITING)
        .map(|_| {
            let mut smtp = Smtp::open(server.address("smtp"));
            smtp.command("MAIL FROM:<pam@partner.test>", 250);
            smtp.command("RCPT TO:<alice@example.test>", 250);
            smtp.command("DATA", 354);
            smtp
        })
        .collect();
    let mut alice = Smtp::open(server.address("submission"));
    alice.command(&auth_plain(ALICE, PASSWORD), 235);
    let mail = b"From: alice@example.test\r\nSubject: mine\r\n\r\ntext\r\n";
    assert_eq!(alice.send(ALICE, &[BOB], mail).code, 250, "warmed up");
    let whole = crate::smtp::dot_stuffed(&message("slow"));
    let start = Instant::now();
    sessions.iter_mut().for_each(|smtp| smtp.wire.send(&whole));
    let mine = Instant::now();
    assert_eq!(alice.send(ALICE, &[BOB], mail).code, 250);
    let mine = mine.elapsed();
    for smtp in &mut sessions {
        smtp.expect(250);
    }
    // 1,000 questions, 50 at once, 100 ms each: twenty rounds.
    let all = start.elapsed();
    assert!(all >= Duration::from_secs(2), "{all:?}: more than 50 at once");
    assert!(mine < all / 2, "{mine:?} of {all:?}: she waited for the others");
    server.assert_no_panic();
}

#[test]
fn what_leads_nowhere_loses_no_mail() {
    let (server, program) = hooked("stages = [\"rcpt\", \"data\"]");
    program.says_at("data", json!({ "verdict": "redirect", "redirect": ["nobody@example.test"] }));
    assert_eq!(send(&server, "nowhere"), "451 4.3.0 Policy temporarily unavailable");
    program.says_at("rcpt", json!({ "verdict": "redirect", "redirect": [BOB] }));
    let mut smtp = Smtp::open(server.address("smtp"));
    smtp.command("MAIL FROM:<pam@partner.test>", 250);
    smtp.command("RCPT TO:<alice@example.test>", 451);
    // What was said of a recipient that was refused is not said of the others.
    program.says(json!({ "verdict": "accept" }));
    smtp.command("RCPT TO:<bob@example.test>", 250);
    assert!(smtp.command("DATA", 354).code == 354);
    smtp.wire.send(&crate::smtp::dot_stuffed(&message("kept")));
    smtp.expect(250);
    assert_eq!(messages(&server, "bob", "INBOX", "body of kept").len(), 1);
}

#[test]
fn what_was_not_answered_at_connect_is_asked_again() {
    let (server, program) = hooked("stages = [\"connect\"]\ntimeout = \"500 ms\"");
    program.does(Does::Status(500));
    let mut smtp = Smtp::open(server.address("smtp"));
    for _ in 0..2 {
        smtp.command("MAIL FROM:<pam@partner.test>", 451);
    }
    program.says(json!({ "verdict": "accept" }));
    assert_eq!(smtp.send(PAM, &[ALICE], &message("answered")).code, 250);
    assert_eq!(smtp.send(PAM, &[ALICE], &message("once")).code, 250);
    let asked = program.heard().iter().filter(|question| question.json()["stage"] == "connect").count();
    assert_eq!(asked, 4, "at the start, at each MAIL until it has answered");
}
