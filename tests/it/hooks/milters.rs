//! Several milters in one session: in order, each with what those before it have changed.

use std::time::Duration;

use serde_json::{Value, json};

use super::filter::{Act, Filter, Script, packet};
use super::program::Program;
use super::{ALICE, BOB, PAM, message, messages, send, server_with, traces};
use crate::smtp::Smtp;
use posthouse::hooks::milter::Address;

/// The hook for a filter.
fn milter(name: &str, filter: &Filter, more: &str) -> String {
    let address = match &filter.address {
        Address::Tcp(host, port) => format!("{host}:{port}"),
        Address::Unix(path) => format!("unix:{}", path.display()),
    };
    format!("[[hook]]\nname = \"{name}\"\nkind = \"milter\"\naddress = \"{address}\"\n{more}\n")
}

/// At the end of the message: these modifications, then it goes on.
pub(super) fn modifies(packets: &[(u8, &[u8])]) -> Script {
    let mut octets: Vec<u8> = packets.iter().flat_map(|(code, payload)| packet(*code, payload)).collect();
    octets.extend(packet(b'c', b""));
    Script::new().on(b'E', &[Act::Say(octets)])
}

#[test]
fn each_sees_what_those_before_it_have_changed() {
    let index = 1_u32.to_be_bytes();
    let change = [&index[..], b"Subject\0changed\0"].concat();
    let first = Filter::tcp(modifies(&[(b'h', b"X-First\0one\0"), (b'm', &change), (b'b', b"another body\r\n")]));
    let second = Filter::unix(modifies(&[(b'i', &[&0_u32.to_be_bytes()[..], b"X-Second\0two\0"].concat())]));
    let server = server_with(&(milter("first", &first, "") + &milter("second", &second, "")));
    assert!(send(&server, "original").starts_with("250"));
    let got = messages(&server, "alice", "INBOX", "another body");
    assert_eq!(got.len(), 1);
    let end = format!(
        "X-Second: two\r\nX-First: one\r\nFrom: {PAM}\r\nTo: {ALICE}\r\nSubject: changed\r\n\r\nanother body\r\n"
    );
    assert!(got[0].ends_with(&end), "{}", got[0]);

    let told = second.told();
    let heard = |text: &str| told.iter().any(|told| told.contains(text));
    assert!(
        heard("X-First|one") && heard("Subject|changed") && heard("another body") && !heard("original"),
        "{told:?}"
    );
    let record = traces(&server).remove(0)["record"].clone();
    let notes = record["hooks"].as_array().expect("notes").clone();
    let of_data =
        |at: usize| notes.iter().filter(|note| note["stage"] == "data").nth(at).expect("a note")["changes"].clone();
    let first = json!(["field X-First added: one", "field Subject 1 changed: changed", "body replaced: 14 octets"]);
    assert_eq!((of_data(0), &of_data(1)[0]), (first, &json!("field X-Second added: two")));
    let was = of_data(1)[1].as_str().expect("a remark").to_owned();
    assert!(was.starts_with("the message was ") && was.ends_with(" before it was changed"), "{was}");
    assert!(server.try_cli(&["check"], "").status.success());
}

#[test]
fn the_envelope_is_changed_and_the_message_held() {
    let filter = Filter::tcp(modifies(&[
        (b'e', b"<eve@partner.test>\0"),
        (b'+', b"<bob@example.test>\0"),
        (b'-', b"<alice@example.test>\0"),
    ]));
    let server = server_with(&milter("envelope", &filter, ""));
    assert!(send(&server, "moved").starts_with("250"));
    assert_eq!(messages(&server, "alice", "INBOX", "body of moved").len(), 0);
    let got = messages(&server, "bob", "INBOX", "body of moved");
    assert!(got[0].starts_with("Return-Path: <eve@partner.test>\r\n"), "{got:?}");
    drop(server);

    let (quarantine, program) = (Filter::unix(modifies(&[(b'q', b"smells\0")])), Program::start());
    program.says(json!({ "verdict": "redirect", "redirect": [BOB] }));
    let http = format!(
        "[[hook]]\nname = \"http\"\nkind = \"http\"\nurl = \"http://{}/\"\nsecret_file = \"{}\"\n",
        program.address,
        program.secret_file().display()
    );
    let server = server_with(&(milter("held", &quarantine, "") + &http));
    assert!(send(&server, "held").starts_with("250"));
    assert_eq!(messages(&server, "bob", "INBOX", "body of held").len(), 0);
    let holds: Value = serde_json::from_str(&server.cli(&["hold", "list", "--json"], "")).expect("JSON");
    assert_eq!((&holds[0]["hook"], &holds[0]["why"]), (&json!("held"), &json!("smells")));
    server.cli(&["hold", "accept", holds[0]["id"].as_str().expect("an id")], "");
    assert_eq!(messages(&server, "bob", "INBOX", "body of held").len(), 1, "to whom it was redirected");
    assert_eq!(messages(&server, "alice", "INBOX", "body of held").len(), 0);
}

#[test]
fn refusals_come_at_the_stage_and_in_the_words_of_the_milter() {
    for (code, reply, at) in
        [(b'C', "554", "connect"), (b'H', "550", "ehlo"), (b'M', "550", "mail"), (b'R', "550", "rcpt")]
    {
        let filter = Filter::tcp(Script::new().say(code, b'r', b""));
        let server = server_with(&milter("no", &filter, ""));
        let mut wire = crate::wire::Wire::connect(server.address("smtp"));
        let mut said = String::from_utf8(wire.try_line().expect("a line")).expect("text");
        for command in ["HELO x.test", "MAIL FROM:<pam@partner.test>", "RCPT TO:<alice@example.test>"] {
            if !said.starts_with('2') {
                break;
            }
            wire.send(format!("{command}\r\n").as_bytes());
            said = String::from_utf8(wire.try_line().expect("a line")).expect("text");
        }
        assert!(said.starts_with(reply), "{at}: {said}");
    }
    let filter = Filter::tcp(Script::new().say(b'E', b'y', b"451 4.7.9 come again\0"));
    let server = server_with(&milter("words", &filter, ""));
    let said = send(&server, "later");
    assert_eq!(said, "451 4.7.9 come again");
    let filter = Filter::tcp(Script::new().say(b'E', b'y', b"451 4.7.9 come\r\n250 2.0.0 taken\0"));
    let server = server_with(&milter("words", &filter, ""));
    assert_eq!(send(&server, "later"), "451 4.3.0 Policy temporarily unavailable");
}

#[test]
fn a_refused_recipient_and_a_reset_leave_the_milter_in_step() {
    let refuses_first = [Act::Say(packet(b'r', b"")), Act::Say(packet(b'c', b""))];
    let filter = Filter::tcp(Script::new().on(b'R', &refuses_first));
    let server = server_with(&milter("step", &filter, ""));
    let mut smtp = Smtp::open(server.address("smtp"));
    smtp.command("MAIL FROM:<pam@partner.test>", 250);
    smtp.command("RCPT TO:<alice@example.test>", 550);
    smtp.command("RCPT TO:<bob@example.test>", 250);
    smtp.command("RSET", 250);
    assert_eq!(smtp.send(PAM, &[ALICE, BOB], &message("in-step")).code, 250);
    smtp.command("QUIT", 221);
    let codes: String = filter.codes().chars().filter(|code| !matches!(code, 'L' | 'N' | 'B')).collect();
    assert_eq!(codes, "OCHMRRAMRRTEQ", "{:?}", filter.told());
    assert_eq!(messages(&server, "alice", "INBOX", "in-step").len(), 1);
}

#[test]
fn a_milter_that_fails_defers_the_message_and_is_opened_anew() {
    let filter = Filter::tcp(Script::new().on(b'M', &[Act::Close]));
    let server = server_with(&milter("broken", &filter, "timeout = \"1 s\""));
    let mut smtp = Smtp::open(server.address("smtp"));
    for _ in 0..2 {
        assert_eq!(smtp.command("MAIL FROM:<pam@partner.test>", 451).text(), "4.3.0 Policy temporarily unavailable");
    }
    assert!(filter.connections() >= 2, "another connection for another transaction");
    let silent = Filter::tcp(Script::new().on(b'E', &[Act::Silence]));
    let server = server_with(&milter("silent", &silent, "timeout = \"300 ms\"\non_failure = \"accept\""));
    assert!(send(&server, "marked").starts_with("250"));
    assert!(messages(&server, "alice", "INBOX", "marked")[0].contains("X-Posthouse-Unchecked: silent\r\n"));
    // Only the connection is refused to nobody: a milter that is down at connect delays mail alone.
    let nobody = "[[hook]]\nname = \"nobody\"\nkind = \"milter\"\naddress = \"127.0.0.1:1\"\n";
    let server = server_with(nobody);
    let mut smtp = Smtp::open(server.address("smtp"));
    smtp.command("MAIL FROM:<pam@partner.test>", 451);
    std::thread::sleep(Duration::from_millis(10));
    smtp.command("NOOP", 250);
}

#[test]
fn a_discard_at_mail_is_carried_out_and_the_milter_hears_no_more() {
    let filter = Filter::tcp(Script::new().say(b'M', b'd', b""));
    let server = server_with(&milter("discards", &filter, ""));
    let mut smtp = Smtp::open(server.address("smtp"));
    assert_eq!(smtp.send(PAM, &[ALICE], &message("gone")).code, 250);
    smtp.command("QUIT", 221);
    let told = filter.codes();
    assert!(!told.contains('R') && !told.contains('E'), "{told}");
    assert_eq!(messages(&server, "alice", "INBOX", "body of gone").len(), 0);
    assert_eq!(traces(&server)[0]["record"]["result"], "discarded");
}

#[test]
fn who_asks_again_does_not_get_past_a_late_refusal() {
    let filter = Filter::tcp(Script::new().say(b'C', b'r', b""));
    let server = server_with(&milter("late", &filter, "stages = [\"mail\", \"rcpt\", \"data\"]"));
    let mut smtp = Smtp::open(server.address("smtp"));
    for _ in 0..3 {
        smtp.command("MAIL FROM:<pam@partner.test>", 550);
    }
}

#[test]
fn a_field_is_counted_as_it_stood_when_the_milter_saw_it() {
    let index = 1_u32.to_be_bytes();
    let remove = [&index[..], b"X-Spam\0\0"].concat();
    let filter = Filter::tcp(modifies(&[(b'h', b"X-Spam\0No\0"), (b'm', &remove)]));
    let server = server_with(&milter("counts", &filter, ""));
    let forged = [b"X-Spam: forged\r\n", &message("counted")[..]].concat();
    assert_eq!(Smtp::open(server.address("smtp")).send(PAM, &[ALICE], &forged).code, 250);
    let got = messages(&server, "alice", "INBOX", "body of counted").remove(0);
    assert!(got.contains("X-Spam: No\r\n") && !got.contains("forged"), "{got}");
}

#[test]
fn a_milter_that_is_asked_only_about_the_message_hears_of_its_recipients_then() {
    let third = [Act::Say(packet(b'c', b"")), Act::Say(packet(b'c', b"")), Act::Say(packet(b'r', b""))];
    let filter = Filter::tcp(Script::new().on(b'R', &third));
    let server = server_with(&milter("late", &filter, "stages = [\"data\"]"));
    let mut smtp = Smtp::open(server.address("smtp"));
    smtp.command("MAIL FROM:<pam@partner.test>", 250);
    smtp.command("RCPT TO:<nobody@example.test>", 550);
    smtp.command("RCPT TO:<alice@example.test>", 250);
    smtp.command("RCPT TO:<bob@example.test>", 250);
    assert_eq!(filter.connections(), 0, "nothing was asked before");
    smtp.command("DATA", 354);
    smtp.wire.send(&crate::smtp::dot_stuffed(&message("for-both")));
    smtp.expect(250);
    // Recipients that stand cannot be refused one by one: the message goes with the one that is refused.
    assert_eq!(smtp.send(PAM, &[ALICE, BOB], &message("refused")).code, 550);
    smtp.command("QUIT", 221);
    let codes: String = filter.codes().chars().filter(|code| !matches!(code, 'L' | 'N' | 'B')).collect();
    assert_eq!(codes, "OCHMRRTEMRAQ", "{:?}", filter.told());
    let told = filter.told();
    let recipients: Vec<&String> = told.iter().filter(|told| told.starts_with('R')).collect();
    assert!(recipients[0].contains(ALICE) && recipients[1].contains(BOB) && recipients.len() == 3, "{recipients:?}");
    for (subject, many) in [("for-both", 1), ("refused", 0)] {
        for user in ["alice", "bob"] {
            assert_eq!(
                messages(&server, user, "INBOX", &format!("body of {subject}")).len(),
                many,
                "{user}: {subject}"
            );
        }
    }
}
