//! A message as a filter hears it, and all that it can change.

use posthouse::hooks::{Change, Said};
use posthouse::mail::{Address as Mailbox, ReversePath};

use super::filter::{Act, Filter, Script, packet};
use super::*;

/// At the end of the message these replies, as they are, and then this verdict.
fn at_the_end(replies: &[(u8, &[u8])], verdict: u8) -> Script {
    let mut octets: Vec<u8> = replies.iter().flat_map(|(code, payload)| packet(*code, payload)).collect();
    octets.extend(packet(verdict, b""));
    Script::new().on(b'E', &[Act::Say(octets)])
}

/// What the message is answered with.
async fn answered(script: Script) -> Result<Answer, Failure> {
    let filter = Filter::unix(script);
    let (last, answer) = ask_all(&mut session(filter.address.clone())).await;
    assert_eq!(last, Question::Message);
    answer
}

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

#[tokio::test]
async fn every_change() {
    let replies: &[(u8, &[u8])] = &[
        (b'h', b"X-Added\0yes\0"),
        (b'p', b""),
        (b'i', b"\0\0\0\x01X-Inserted\0 a;\n\tb\0"),
        (b'm', b"\0\0\0\x02Received\0changed\0"),
        (b'm', b"\0\0\0\0Subject\0\0"),
        (b'b', b"Another"),
        (b'e', b"<bounces@ext.test>\0"),
        (b'e', b"<>\0RET=HDRS\0"),
        (b'+', b"<dave@corp.test>\0"),
        (b'2', b"erin@corp.test\0NOTIFY=NEVER\0"),
        (b'-', b"<bob@corp.test>\0"),
        (b'b', b" body\r\n.\nend"),
        (b'q', b"it \x1b[31mlooks odd\0"),
    ];
    let field = |name: &str, value: &[u8]| Change::AddField { name: name.to_owned(), value: value.to_vec() };
    let change = |name: &str, index, value: Option<&[u8]>| Change::ChangeField {
        name: name.to_owned(),
        index,
        value: value.map(<[u8]>::to_vec),
    };
    let changes = vec![
        field("X-Added", b"yes"),
        field("X-Inserted", b" a;\n\tb"),
        change("Received", 2, Some(b"changed")),
        change("Subject", 1, None),
        Change::ReversePath(ReversePath::Address(mailbox("bounces@ext.test"))),
        Change::ReversePath(ReversePath::Null),
        Change::AddRecipient(mailbox("dave@corp.test")),
        Change::AddRecipient(mailbox("erin@corp.test")),
        Change::RemoveRecipient(mailbox("bob@corp.test")),
        Change::Quarantine("it ?[31mlooks odd".to_owned()),
        Change::Body(b"Another body\r\n.\r\nend\r\n".to_vec()),
    ];
    for (code, verdict) in [
        (b'c', Verdict::Continue),
        (b'a', Verdict::Stop),
        (b'd', Verdict::Discard),
        (b'r', Verdict::Refuse(Said::new(5, None, None, ""))),
    ] {
        let want = Answer { verdict, changes: changes.clone(), reasons: vec![] };
        assert_eq!(answered(at_the_end(replies, code)).await, Ok(want), "{}", char::from(code));
    }
}

#[tokio::test]
async fn a_body_may_become_empty_and_may_come_in_pieces() {
    let empty = answered(at_the_end(&[(b'b', b"")], b'c')).await.unwrap();
    assert_eq!(empty.changes, [Change::Body(vec![])]);
    let piece = b"0123456789abcdef\r\n".repeat(3_640);
    let large = answered(at_the_end(&[(b'b', &piece[..]); 15], b'c')).await.unwrap();
    assert_eq!(large.changes, [Change::Body(piece.repeat(15))]);
}

#[tokio::test]
async fn what_was_not_agreed_on_is_no_change() {
    let changes: &[(u32, u8, &[u8])] = &[
        (0x1, b'h', b"X\x001\0"),
        (0x1, b'i', b"\0\0\0\0X\x001\0"),
        (0x2, b'b', b"x"),
        (0x4, b'+', b"<a@b.test>\0"),
        (0x8, b'-', b"<a@b.test>\0"),
        (0x10, b'm', b"\0\0\0\x01X\x001\0"),
        (0x20, b'q', b"x\0"),
        (0x40, b'e', b"<a@b.test>\0"),
        (0x80, b'2', b"<a@b.test>\0NOTIFY=NEVER\0"),
    ];
    for (action, code, payload) in changes {
        for (actions, is_agreed) in [(*action, true), (0x1ff & !*action, false)] {
            let answer = answered(at_the_end(&[(*code, payload)], b'c').actions(actions)).await;
            let case = format!("{} with {actions:#x}: {answer:?}", char::from(*code));
            match answer {
                Ok(answer) => assert!(is_agreed && answer.changes.len() == 1, "{case}"),
                Err(Failure::Protocol(_)) => assert!(!is_agreed, "{case}"),
                Err(_) => panic!("{case}"),
            }
        }
    }
}

/// A name, and packets with their codes.
type Case<'a> = (&'a str, &'a [(u8, &'a [u8])]);

#[tokio::test]
async fn no_change_becomes_more_than_it_says() {
    let many = [(b'h', &b"X\x001\0"[..]); 1_001];
    let long = [b"X\0", &[b'a'; 996][..], b"\0"].concat();
    let cases: &[Case<'_>] = &[
        ("a field in a value", &[(b'h', b"X\x001\r\nBcc: eve@evil.test\0")]),
        ("a body in a value", &[(b'i', b"\0\0\0\0X\x001\r\n\r\nbody\0")]),
        ("a field in a name", &[(b'h', b"X: 1\r\nBcc\0eve@evil.test\0")]),
        ("a field in a changed value", &[(b'm', b"\0\0\0\x01X\x001\nBcc: eve@evil.test\0")]),
        ("bare CR", &[(b'h', b"X\x001\rBcc: eve@evil.test\0")]),
        ("a line end at the end", &[(b'h', b"X\x001\n\0")]),
        ("a line too long", &[(b'h', &long)]),
        ("no name", &[(b'h', b"\x001\0")]),
        ("a command in an address", &[(b'+', b"<a@b.test>\r\nRCPT TO:<eve@evil.test>\0")]),
        ("no address", &[(b'-', b"<bob>\0")]),
        ("no reverse-path", &[(b'e', b"alice at ext\0")]),
        ("bare CR in a body", &[(b'b', b"a\r"), (b'b', b"b")]),
        ("NUL in a body", &[(b'b', b"a\0b")]),
        ("too many changes", &many),
        ("too long a body", &[(b'b', &[b'a'; 65_535][..]); 17]),
    ];
    for (case, replies) in cases {
        match answered(at_the_end(replies, b'c')).await {
            Err(Failure::Protocol(text)) => assert!(!text.contains(char::is_control), "{case}: {text}"),
            other => panic!("{case}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_reply_is_one_reply() {
    for text in ["250 2.0.0 ok", "354 go on", "550 no\r\n250 ok", "550-no", "550 no\r\n", "no", "", "99 x", "650 x"] {
        let payload = [text.as_bytes(), b"\0"].concat();
        for code in *b"MRTLNBE" {
            let filter = Filter::unix(Script::new().say(code, b'y', &payload));
            let answer = ask_all(&mut session(filter.address.clone())).await.1;
            let is_protocol = matches!(&answer, Err(Failure::Protocol(text)) if text.contains("not a reply of SMTP"));
            assert!(is_protocol, "{text:?} at {}: {answer:?}", char::from(code));
        }
    }
}

/// What a filter hears of this message.
async fn heard(script: Script, header: &[u8], body: &[u8]) -> Vec<String> {
    let filter = Filter::tcp(script);
    let mut session = session(filter.address.clone());
    assert_eq!(ask(&mut session, &envelope(&["bob@corp.test"]), header, body).await.1, Ok(Answer::default()));
    session.close().await;
    filter.told()
}

fn of(told: &[String], code: char) -> Vec<&str> {
    told.iter().filter_map(|told| told.strip_prefix(code)).collect()
}

#[tokio::test]
async fn fields_are_told_as_they_are() {
    let header = b"A: one\r\nB:two\r\nC:  three \r\nD:\tfour\r\nE: five,\r\n\tsix,\r\n  seven\r\nF:\r\nnonsense\r\nG : eight\r\n";
    let plain = heard(Script::new(), header, BODY).await;
    let want = ["A|one|", "B|two|", "C| three |", "D|\tfour|", "E|five,\n\tsix,\n  seven|", "F||", "G|eight|"];
    assert_eq!(of(&plain, 'L'), want);
    let spaced = heard(Script::new().steps(0x10_0000), header, BODY).await;
    let want = ["A| one|", "B|two|", "C|  three |", "D|\tfour|", "E| five,\n\tsix,\n  seven|", "F||", "G| eight|"];
    assert_eq!(of(&spaced, 'L'), want);
}

#[tokio::test]
async fn bodies_are_told_in_pieces() {
    let body = b"0123456789 abcdef \xff\r\n".repeat(40_000);
    let text: String = body.iter().map(|octet| char::from(*octet)).collect();
    for steps in [0, 0x8_0000] {
        let told = heard(Script::new().steps(steps), HEADER, &body).await;
        let pieces = of(&told, 'B');
        assert_eq!(pieces.concat(), text);
        let sizes: Vec<usize> = pieces.iter().map(|piece| piece.chars().count()).collect();
        assert!(sizes.len() == body.len().div_ceil(65_535) && sizes.iter().all(|size| *size <= 65_535), "{sizes:?}");
    }
    assert_eq!(of(&heard(Script::new(), HEADER, b"").await, 'B'), Vec::<&str>::new());
}

#[tokio::test]
async fn the_rest_of_a_body_is_skipped() {
    let body = b"0123456789abcdef\r\n".repeat(20_000);
    let script = Script::new().steps(0x400).on(b'B', &[Act::Say(packet(b'c', b"")), Act::Say(packet(b's', b""))]);
    let told = heard(script, HEADER, &body).await;
    assert_eq!((of(&told, 'B').len(), of(&told, 'E').len()), (2, 1));
    // Not without agreement, and nowhere else.
    for (steps, code) in [(0, b'B'), (0x400, b'L'), (0x400, b'N'), (0x400, b'E')] {
        let answer = answered(Script::new().steps(steps).say(code, b's', b"")).await;
        assert_eq!(answer, Err(Failure::Protocol("a reply of kind s out of place".to_owned())), "{}", char::from(code));
    }
}

#[tokio::test]
async fn what_hooks_before_have_changed_is_told() {
    let filter = Filter::unix(Script::new());
    let mut session = session(filter.address.clone());
    session.mail(&envelope(&[])).await.unwrap();
    let staging = staged(HEADER, BODY).await;
    let mut content = Content::new([b"X-Spam: no\r\n", HEADER].concat(), &staging, HEADER.len() as u64 + 2);
    content.replace_body(b"Changed.\r\n".to_vec());
    assert_eq!(session.message(&envelope(&["bob@corp.test"]), &content).await, Ok(Answer::default()));
    session.close().await;
    let told = filter.told();
    assert_eq!(of(&told, 'L')[0], "X-Spam|no|");
    assert_eq!(of(&told, 'B'), ["Changed.\r\n"]);
}

#[tokio::test]
async fn progress_buys_time() {
    let pause = SHORT / 2;
    let octets = [packet(b'p', b"").repeat(5), packet(b'c', b"")].concat();
    // One octet after the other, each packet in less than the timeout and all of them in more.
    let filter = Filter::unix(Script::new().on(b'E', &[Act::Drip(octets, pause / 5)]));
    let mut session = impatient(filter.address.clone());
    let start = std::time::Instant::now();
    assert_eq!(ask_all(&mut session).await.1, Ok(Answer::default()));
    assert!(start.elapsed() > SHORT * 2, "{:?}", start.elapsed());
}
