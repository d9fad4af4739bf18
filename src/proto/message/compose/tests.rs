//! Composed messages, read back with another parser, and with hostile values in every field.

use mail_parser::{MessageParser, MimeHeaders as _};
use proptest::prelude::*;

use super::super::header::{fields, find};
use super::super::{Scanner, decode_text};
use super::*;
use crate::mail::{EnhancedCode, ForwardPath, ReversePath};

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn host() -> Domain {
    Domain::parse("mail.corp.test").unwrap()
}

fn stamp<'a>(host: &'a Domain, id: &'a str) -> Stamp<'a> {
    Stamp { host, id, now: Timestamp::from_seconds(1_795_321_164) }
}

const ORIGINAL: &[u8] = b"From: Pam <pam@partner.test>\r\nTo: alice@corp.test\r\n\
    Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= to you\r\nMessage-ID: <one@partner.test>\r\n\
    References: <zero@partner.test> junk\r\n\r\nsecret body\r\n--=_b1_0\r\n";

/// Names and values of the top header, decoded.
fn header_of(message: &[u8]) -> Vec<(String, String)> {
    let name = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    fields(message).map(|field| (name(field.name), decode_text(field.raw_value()))).collect()
}

fn value(message: &[u8], name: &str) -> String {
    find(message, name).map(|field| decode_text(field.raw_value())).unwrap_or_default()
}

/// Lines end with CRLF, are no longer than RFC 5322 §2.1.1 allows and hold no controls.
fn assert_well_formed(message: &[u8]) {
    let text = String::from_utf8_lossy(message);
    for line in text.split_inclusive("\r\n") {
        let line = line.strip_suffix("\r\n").unwrap_or_else(|| panic!("no line end: {line}"));
        assert!(line.len() <= 998 && !line.contains(['\r', '\n', '\0']), "{line}");
    }
    for field in fields(message) {
        assert!(!field.name.is_empty(), "{}", String::from_utf8_lossy(field.raw));
    }
}

#[test]
fn forwards_are_confirmed_by_answering() {
    let host = host();
    let request = confirmation_request(&Confirmation {
        stamp: stamp(&host, "b1"),
        to: &address("pam@partner.test"),
        owner: &address("alice@corp.test"),
        answer_to: &address("confirm-x@corp.test"),
        until: Timestamp::from_seconds(1_795_321_164),
    });
    assert_well_formed(&request);
    assert_eq!(value(&request, "Reply-To"), "<confirm-x@corp.test>");
    assert_eq!(value(&request, "Auto-Submitted"), "auto-generated");
    assert_eq!(value(&request, "To"), "<pam@partner.test>");
    let text = String::from_utf8(request).unwrap();
    for part in
        ["alice@corp.test asks", "forwarded to you at pam@partner.test", "\"confirm\" in the first line", "do nothing"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn r01_automatic_replies() {
    let host = host();
    let message = auto_reply(&AutoReply {
        stamp: stamp(&host, "b1"),
        from: &address("a.liu@corp.test"),
        to: &address("pam@partner.test"),
        subject_prefix: "Auto:",
        original: ORIGINAL,
        text: "I am away.\nBack on Monday — 再见",
    });
    assert_well_formed(&message);
    assert!(message.is_ascii());
    for (name, want) in [
        ("From", "<a.liu@corp.test>"),
        ("To", "<pam@partner.test>"),
        ("Subject", "Auto: Grüße to you"),
        ("Auto-Submitted", "auto-replied"),
        ("In-Reply-To", "<one@partner.test>"),
        ("References", "<zero@partner.test> <one@partner.test>"),
        ("Message-ID", "<b1@mail.corp.test>"),
        ("MIME-Version", "1.0"),
    ] {
        assert_eq!(value(&message, name), want, "{name}");
    }
    let parsed = MessageParser::default().parse(&message).unwrap();
    assert_eq!(parsed.body_text(0).unwrap(), "I am away.\r\nBack on Monday — 再见\r\n");
    assert!(!String::from_utf8_lossy(&message).contains("secret body"));
}

#[test]
fn notifications_have_status_and_header_only() {
    let host = host();
    let (group, inner, to) = (address("g-out@corp.test"), address("g-mem@corp.test"), address("pam@partner.test"));
    for (failure, status, says) in [
        (Failure::NotApproved(Some("Not this time.")), "5.7.1", "Not this time."),
        (Failure::NotApproved(None), "5.7.1", "not approved."),
        (Failure::NoDecision, "5.4.7", "in time"),
        (Failure::Rule(None), "5.7.1", "refused by policy"),
        (Failure::PartClosed(Some(&inner)), "5.7.2", "g-mem@corp.test"),
        (Failure::PartClosed(None), "5.7.2", "part of this group"),
        (Failure::ExternalMembers, "5.7.1", "outside"),
        (Failure::NoMember, "5.2.4", "No member"),
        (Failure::Unverified, "5.7.26", "verified"),
        (Failure::Other { status: EnhancedCode::new(4, 4, 1), text: "No answer." }, "4.4.1", "No answer."),
    ] {
        let recipients = [Reported {
            recipient: &group,
            original_recipient: Some("rfc822;g@x"),
            action: Action::Failed,
            failure,
            attempted: None,
        }];
        let message = dsn(&Dsn {
            stamp: stamp(&host, "b1"),
            to: &to,
            envelope_id: Some("env+2B1"),
            arrived: Timestamp::from_seconds(0),
            recipients: &recipients,
            original: Original::Header(ORIGINAL),
            trace: None,
            is_only: false,
            language: Language::English,
        });
        assert_well_formed(&message);
        assert!(message.is_ascii(), "{status}");
        assert_eq!(value(&message, "Auto-Submitted"), "auto-generated");
        let parsed = MessageParser::default().parse(&message).unwrap();
        let kind = parsed.content_type().unwrap();
        assert_eq!((kind.ctype(), kind.attribute("report-type")), ("multipart", Some("delivery-status")), "{status}");
        assert_eq!(parsed.parts.len(), 4, "{status}");
        assert!(parsed.body_text(0).unwrap().contains(says), "{status}");
        let text = String::from_utf8(message).unwrap();
        for line in [
            &format!("\r\nStatus: {status}\r\n"),
            "\r\nFinal-Recipient: rfc822; g-out@corp.test\r\n",
            "\r\nOriginal-Recipient: rfc822;g@x\r\n",
            "\r\nOriginal-Envelope-Id: env+2B1\r\n",
            "\r\nAction: failed\r\n",
            "\r\nReporting-MTA: dns; mail.corp.test\r\n",
            "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= to you",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("secret body") && !text.contains(&inner.to_string()) || status == "5.7.2");
    }
}

#[test]
fn addresses_beyond_ascii_are_escaped_in_the_status() {
    let host = host();
    let (to, recipient) = (address("pam@partner.test"), address("jörg@corp.test"));
    let failure = Failure::NoMember;
    let message = dsn(&Dsn {
        stamp: stamp(&host, "b1"),
        to: &to,
        envelope_id: None,
        arrived: Timestamp::from_seconds(0),
        recipients: &[Reported {
            recipient: &recipient,
            original_recipient: None,
            action: Action::Failed,
            failure,
            attempted: None,
        }],
        original: Original::Header(b""),
        trace: None,
        is_only: false,
        language: Language::English,
    });
    assert!(String::from_utf8(message).unwrap().contains("Final-Recipient: utf-8; j\\x{F6}rg@corp.test\r\n"));
}

#[test]
fn approvers_see_the_original_or_its_header() {
    let host = host();
    let (to, group) = (address("dave@corp.test"), address("g-mod@corp.test"));
    let large = [ORIGINAL, &vec![b'x'; 1024 * 1024]].concat();
    for (case, original, is_whole) in [("small", ORIGINAL, true), ("large", &large, false)] {
        for (cause, says) in [(Cause::Group(&group), "g-mod@corp.test"), (Cause::Rule("secrets"), "\"secrets\"")] {
            let message = approval_notice(&Approval {
                stamp: stamp(&host, "b1"),
                to: &to,
                cause,
                reverse_path: &ReversePath::Null,
                answer_to: Some(&address("approve+x@corp.test")),
                until: Timestamp::from_seconds(1_795_321_164),
                original,
            });
            assert_well_formed(&message);
            assert_eq!(value(&message, "Subject"), "Approval needed: Grüße to you");
            assert_eq!(value(&message, "Reply-To"), "<approve+x@corp.test>");
            assert!(MessageParser::default().parse(&message).unwrap().body_text(0).unwrap().contains(says), "{case}");
            assert_eq!(memmem::find(&message, ORIGINAL).is_some(), is_whole, "{case}");
            assert!(message.len() < 1024 * 1024, "{case}");
        }
    }
}

#[test]
fn w32_w49_the_block_names_rules_events_and_envelope() {
    let alice = address("alice@corp.test");
    let path = ReversePath::Address(alice.clone());
    let recipients = ["bob@corp.test", "pam@partner.test"].map(|a| ForwardPath::Address(address(a)));
    let block = monitor_block(&MonitorFacts {
        rules: &["first", "Prüfung\r\nX: y"],
        events: &[Event::Sent(&alice), Event::Received(&alice)],
        reverse_path: &path,
        recipients: &recipients,
    });
    let want = [
        ("X-Posthouse-Monitor-Rule", "first"),
        ("X-Posthouse-Monitor-Rule", "Prüfung X: y"),
        ("X-Posthouse-Monitor-Event", "sent by alice@corp.test"),
        ("X-Posthouse-Monitor-Event", "received by alice@corp.test"),
        ("X-Posthouse-Monitor-Reverse-Path", "<alice@corp.test>"),
        ("X-Posthouse-Monitor-Recipient", "<bob@corp.test>"),
        ("X-Posthouse-Monitor-Recipient", "<pam@partner.test>"),
    ];
    assert_eq!(header_of(&block), want.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert!(block.ends_with(b"\r\n") && !block.ends_with(b"\r\n\r\n"));
}

#[test]
fn w71_the_report_holds_the_original_octet_by_octet() {
    let host = host();
    let eight_bit = [ORIGINAL, "ü no line end".as_bytes()].concat();
    for original in [ORIGINAL, &eight_bit] {
        let facts = MonitorFacts { rules: &["r"], events: &[], reverse_path: &ReversePath::Null, recipients: &[] };
        let message = monitor_report(&stamp(&host, "b1"), &address("erin@corp.test"), &facts, original);
        assert_well_formed(&message);
        let mut scanner = Scanner::new();
        scanner.push(&message);
        let (start, end) = scanner.finish(b"").part(&[2]).unwrap().body;
        assert_eq!(&message[start as usize..end as usize], original);
    }
}

#[test]
fn returned_headers_are_bounded() {
    let part = headers_part("X: y\r\n".repeat(100_000).as_bytes());
    assert!(part.len() < 2 * MAX_RETURNED);
    let part = headers_part(format!("X: {}\r\n\r\n", "y".repeat(2_000)).as_bytes());
    assert!(part.split(|b| *b == b'\n').all(|line| line.len() <= 79));
}

#[test]
fn fields_for_tags() {
    assert_eq!(header_field("X-Class", "a\r\nBcc: x").unwrap(), b"X-Class: a Bcc: x\r\n");
    for name in ["", "X Y", "X:", "X\r\n", "Ü", &"x".repeat(77)] {
        assert_eq!(header_field(name, "a"), None, "{name}");
    }
}

proptest! {
    #[test]
    fn no_value_makes_another_field(
        hostile in "[ a-zA-Zé机\r\n\t\0:<>\"=?\u{85}\u{2028}-]{0,60}", local in "[a-z]{1,8}", id in "[a-z\r\n =_-]{0,9}"
    ) {
        let host = host();
        let (stamp, to) = (stamp(&host, &id), address(&format!("{local}@corp.test")));
        let original = format!(
            "Subject: {}\r\nMessage-ID: {hostile}\r\nReferences: {hostile}\r\n\r\n--=_{id}_0", hostile.replace(['\r', '\n'], "\r\n ")
        );
        let original = original.as_bytes();
        let reply = auto_reply(&AutoReply {
            stamp, from: &to, to: &to, subject_prefix: &hostile, original, text: &hostile,
        });
        let recipient = Reported {
            recipient: &to,
            original_recipient: Some(&hostile),
            action: Action::Failed,
            failure: Failure::NotApproved(Some(&hostile)),
            attempted: Some(Attempted {
                host: Some(&hostile),
                reply: Some(&hostile),
                at: stamp.now,
                until: Some(stamp.now),
            }),
        };
        let notification = dsn(&Dsn {
            stamp, to: &to, envelope_id: Some(&hostile), arrived: stamp.now, recipients: &[recipient],
            original: Original::Header(original), trace: Some(&hostile),
            is_only: false,
            language: Language::English,
        });
        let notice = approval_notice(&Approval {
            stamp, to: &to, cause: Cause::Rule(&hostile), reverse_path: &ReversePath::Null, answer_to: None,
            until: stamp.now, original: b"Subject: x\r\n\r\n",
        });
        let facts = MonitorFacts { rules: &[&hostile], events: &[], reverse_path: &ReversePath::Null, recipients: &[] };
        let report = monitor_report(&stamp, &to, &facts, b"");
        for message in [&reply, &notification, &notice, &report] {
            assert_well_formed(message);
            let known = [
                "Date", "Message-ID", "MIME-Version", "From", "To", "Subject", "Auto-Submitted", "Content-Type",
                "Content-Transfer-Encoding", "In-Reply-To", "References", "X-Posthouse-Monitor-Rule",
            ];
            let mut names: Vec<String> = header_of(message).into_iter().map(|(name, _)| name).collect();
            prop_assert!(names.iter().all(|name| known.contains(&name.as_str())), "{:?}", names);
            names.sort();
            names.dedup();
            prop_assert_eq!(names.len(), header_of(message).len());
        }
        prop_assert_eq!(fields(&monitor_block(&facts)).count(), 2);
        if let Some(field) = header_field("X-Tag", &hostile) {
            prop_assert_eq!(fields(&field).count(), 1);
        }
    }
}

#[test]
fn notifications_are_in_the_language_that_is_wanted_and_say_the_same_to_programs() {
    let (host, to, recipient) = (host(), address("alice@corp.test"), address("pam@partner.test"));
    let made = |language, action| {
        dsn(&Dsn {
            stamp: stamp(&host, "b1"),
            to: &to,
            envelope_id: None,
            arrived: Timestamp::from_seconds(0),
            recipients: &[Reported {
                recipient: &recipient,
                original_recipient: None,
                action,
                failure: Failure::Told { status: EnhancedCode::new(5, 1, 1), what: Told::NotTaken },
                attempted: Some(Attempted {
                    host: Some("mx.partner.test [192.0.2.1]"),
                    reply: Some("550 5.1.1 nobody of that name"),
                    at: Timestamp::from_seconds(60),
                    until: (action == Action::Delayed).then_some(Timestamp::from_seconds(3600)),
                }),
            }],
            original: Original::Header(ORIGINAL),
            trace: Some("0abc"),
            is_only: true,
            language,
        })
    };
    let rows = [
        (Language::English, "Undelivered mail", "Your message was not delivered to:", "until Thu, 01 Jan 1970"),
        (
            Language::German,
            "Unzustellbare Nachricht",
            "Ihre Nachricht wurde nicht zugestellt an:",
            "1970-01-01 01:00 UTC",
        ),
        (Language::French, "Message non remis", "n'a pas été remis", "1970-01-01 01:00 UTC"),
        (Language::Spanish, "Mensaje no entregado", "no se ha entregado", "1970-01-01 01:00 UTC"),
        (Language::Chinese, "邮件未送达", "未能送达", "1970-01-01 01:00 UTC"),
        (Language::Japanese, "メールを配信できませんでした", "配信できませんでした", "1970-01-01 01:00 UTC"),
    ];
    assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), Language::ALL);
    let status = |message: &[u8]| {
        let text = String::from_utf8(message.to_vec()).unwrap();
        let from = text.find("Content-Type: message/delivery-status").unwrap();
        text[from..].to_owned()
    };
    for (language, subject, says, until) in rows {
        let message = made(language, Action::Failed);
        assert_well_formed(&message);
        assert!(message.is_ascii(), "{language:?}");
        assert_eq!(status(&message), status(&made(Language::English, Action::Failed)), "{language:?}");
        let parsed = MessageParser::default().parse(&message).unwrap();
        assert_eq!(parsed.subject(), Some(subject));
        let text = parsed.body_text(0).unwrap().into_owned();
        for part in [says, "pam@partner.test", "mx.partner.test [192.0.2.1]", "550 5.1.1 nobody of that name", "0abc"] {
            assert!(text.contains(part), "{language:?}: {part}: {text}");
        }
        assert!(!text.contains("{}"), "{language:?}: {text}");
        let tag = format!("Content-Language: {}\r\n", language.tag());
        assert!(String::from_utf8_lossy(&message).contains(&tag), "{language:?}");
        for (action, word) in
            [(Action::Delayed, "delayed"), (Action::Relayed, "relayed"), (Action::Expanded, "expanded")]
        {
            let message = made(language, action);
            assert!(status(&message).contains(&format!("Action: {word}\r\n")), "{language:?}");
            let text = MessageParser::default().parse(&message).unwrap().body_text(0).unwrap().into_owned();
            assert!(action != Action::Delayed || text.contains(until), "{language:?}: {text}");
        }
    }
}

#[test]
fn a_notification_has_a_bounded_size() {
    let (host, to) = (host(), address("alice@corp.test"));
    let recipients: Vec<Address> = (0..100).map(|n| address(&format!("r{n}@partner.test"))).collect();
    let (reply, large) = ("550 \u{e4}".repeat(400), vec![b'x'; MAX_REPORT - 1000]);
    let reported = |recipient| Reported {
        recipient,
        original_recipient: None,
        action: Action::Failed,
        failure: Failure::Told { status: EnhancedCode::new(5, 1, 1), what: Told::NotTaken },
        attempted: Some(Attempted {
            host: Some("mx"),
            reply: Some(&reply),
            at: Timestamp::from_seconds(0),
            until: None,
        }),
    };
    let reported: Vec<Reported<'_>> = recipients.iter().map(reported).collect();
    let original = [b"Subject: large\r\n\r\n".to_vec(), large].concat();
    let small = b"Subject: small\r\n\r\nsmall body\r\n".to_vec();
    for (original, is_whole) in [(&original, false), (&small, true)] {
        let message = dsn(&Dsn {
            stamp: stamp(&host, "b1"),
            to: &to,
            envelope_id: None,
            arrived: Timestamp::from_seconds(0),
            recipients: &reported,
            original: Original::Full(original),
            trace: None,
            is_only: false,
            language: Language::Japanese,
        });
        assert!(message.len() <= MAX_REPORT, "{}", message.len());
        let text = String::from_utf8_lossy(&message).into_owned();
        assert_eq!(text.contains("Content-Type: message/rfc822\r\n"), is_whole);
        assert_eq!(text.matches("Final-Recipient: ").count(), 100);
    }
}
