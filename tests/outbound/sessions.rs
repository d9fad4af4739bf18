//! What goes over a session, and what each recipient comes to.

use posthouse::delivery::remote::destination::Credentials;
use posthouse::proto::smtp::{Notify, Ret};

use super::remote::{Act, Remote, Script};
use super::*;

const ALL: &[&str] = &["PIPELINING", "SIZE 100000000", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES"];
const PIPELINING: &[&str] = &["PIPELINING"];

fn relayed() -> (End, Scope, String) {
    (End::Relayed, Scope::Message, "2.0.0".to_owned())
}

#[tokio::test]
async fn a_message_goes_to_the_host_of_its_domain() {
    for (case, offers, mail) in [
        ("nothing offered", &[][..], "MAIL FROM:<alice@corp.test>"),
        ("all offered", ALL, "MAIL FROM:<alice@corp.test> SIZE=83"),
    ] {
        let remote = Remote::start(Script::offering(offers)).await;
        let world = World::with(&remote).await;
        let outcomes = world.send(&["bob@far.test", "carol@far.test"], MESSAGE).await;
        for outcome in &outcomes {
            assert_eq!(brief(outcome), relayed(), "{case}");
            assert_eq!((outcome.text.as_str(), outcome.is_reply), ("250 2.0.0 taken", true), "{case}");
            let host = outcome.host.as_ref().unwrap();
            assert_eq!((host.name.as_str(), host.address.to_string()), ("mx.far.test", remote.ip()));
            assert_eq!((outcome.tls.as_deref(), outcome.passed_on), (None, offers == ALL), "{case}");
        }
        assert_eq!(outcomes.len(), 2);
        let lines = ["EHLO mail.corp.test", mail, "RCPT TO:<bob@far.test>", "RCPT TO:<carol@far.test>", "DATA", "QUIT"];
        assert_eq!(remote.lines(), lines, "{case}");
        let wire =
            b"Received: from here\r\nFrom: alice@corp.test\r\nSubject: hello\r\n\r\nHello.\r\n..\r\n...\r\nBye.\r\n";
        assert_eq!(remote.contents(), [wire], "{case}");
    }
}

#[tokio::test]
async fn a_host_that_knows_no_ehlo_is_greeted_with_helo() {
    let remote = Remote::start(Script::offering(ALL).on("EHLO", &[Act::Say("502 what?")])).await;
    let world = World::with(&remote).await;
    assert_eq!(brief(&world.send(&["bob@far.test"], MESSAGE).await[0]), relayed());
    let lines = "EHLO mail.corp.test|HELO mail.corp.test|MAIL FROM:<alice@corp.test>|RCPT TO:<bob@far.test>|DATA|QUIT";
    assert_eq!(remote.lines().join("|"), lines);
}

/// Who gets what, with and without PIPELINING; `refused` is what the host says to MAIL, to each of two RCPT, to DATA and to
/// the content, if not what a good one does.
#[tokio::test]
async fn each_recipient_has_an_outcome_of_its_own() {
    let no = |text: &'static str| Act::Say(text);
    let deferred = |status: &str| (End::Deferred, Scope::Message, status.to_owned());
    let failed = |status: &str| (End::Failed, Scope::Message, status.to_owned());
    let rows = [
        ("MAIL refused", vec![("MAIL", vec![no("550 5.7.1 not you")])], [failed("5.7.1"), failed("5.7.1")], 0),
        ("one refused", vec![("RCPT TO:<bob", vec![no("550 5.1.1 who?")])], [failed("5.1.1"), relayed()], 1),
        ("one greylisted", vec![("RCPT TO:<carol", vec![no("451 later")])], [relayed(), deferred("4.0.0")], 1),
        (
            "both refused",
            vec![("RCPT TO:<bob", vec![no("550 5.1.1 who?")]), ("RCPT TO:<carol", vec![no("452 4.2.2 full")])],
            [failed("5.1.1"), deferred("4.2.2")],
            0,
        ),
        ("DATA refused", vec![("DATA", vec![no("451 4.3.0 not now")])], [deferred("4.3.0"), deferred("4.3.0")], 0),
        (
            "content refused for the one accepted",
            vec![("RCPT TO:<bob", vec![no("550 5.1.1 who?")]), ("content", vec![no("554 5.6.0 ugly")])],
            [failed("5.1.1"), failed("5.6.0")],
            1,
        ),
        (
            "codes that do not agree",
            vec![("content", vec![no("554 4.6.0 ugly")])],
            [failed("5.0.0"), failed("5.0.0")],
            1,
        ),
    ];
    for (case, script, want, contents) in rows {
        for offers in [&[][..], PIPELINING] {
            let good = Script::offering(offers);
            let script = script.iter().fold(good, |script, (on, acts)| script.on(on, acts));
            let remote = Remote::start(script).await;
            let world = World::with(&remote).await;
            let outcomes = world.send(&["bob@far.test", "carol@far.test"], MESSAGE).await;
            assert_eq!(outcomes.iter().map(brief).collect::<Vec<_>>(), want, "{case}, {offers:?}");
            assert!(outcomes.iter().all(|outcome| outcome.is_reply), "{case}: the host's own words");
            // With PIPELINING a host may say 354 for nobody, and is given the lone dot.
            let contents_seen = remote.contents().iter().filter(|content| !content.is_empty()).count();
            assert_eq!(contents_seen, contents, "{case}, {offers:?}");
            assert_eq!(remote.lines().last().map(String::as_str), Some("QUIT"), "{case}: the session is in order");
        }
    }
}

#[tokio::test]
async fn recipients_that_are_too_many_get_another_transaction() {
    for too_many in ["452 4.5.3 too many", "452 too many", "552 5.5.3 too many", "552 too many"] {
        let script = Script::offering(PIPELINING).on("RCPT TO:<carol", &[Act::Say(too_many), Act::Say("250 ok")]);
        let remote = Remote::start(script).await;
        let world = World::with(&remote).await;
        let outcomes = world.send(&["bob@far.test", "carol@far.test"], MESSAGE).await;
        assert_eq!(outcomes.iter().map(brief).collect::<Vec<_>>(), [relayed(), relayed()], "{too_many}");
        let rcpt = |name| format!("MAIL FROM:<alice@corp.test>|RCPT TO:<{name}@far.test>");
        let want = format!("{}|RCPT TO:<carol@far.test>|DATA|{}|DATA", rcpt("bob"), rcpt("carol"));
        assert_eq!(remote.transactions(), want);
    }
    // For ever: what brings nobody on is not tried again.
    let remote = Remote::start(Script::default().on("RCPT", &[Act::Say("452 4.5.3 too many")])).await;
    let world = World::with(&remote).await;
    let outcomes = world.send(&["bob@far.test", "carol@far.test"], MESSAGE).await;
    let later = (End::Deferred, Scope::Message, "4.5.3".to_owned());
    assert_eq!(outcomes.iter().map(brief).collect::<Vec<_>>(), [later.clone(), later]);
    assert_eq!(remote.transactions().matches("RCPT").count(), 2);
}

#[tokio::test]
async fn one_session_takes_message_after_message() {
    let script = Script::offering(PIPELINING).on("RCPT TO:<bob", &[Act::Say("550 5.1.1 who?"), Act::Say("250 ok")]);
    let remote = Remote::start(script).await;
    let world = World::with(&remote).await;
    let message = world.message(MESSAGE).await;
    let bob = to(&["bob@far.test"]);
    let mut session = world.session(&far()).await.unwrap();
    for (want, sent) in [(End::Failed, 0), (End::Relayed, 1), (End::Relayed, 2)] {
        assert!(session.is_open());
        let outcomes = session.send(&world.store, &outgoing(&bob, &message), whenever()).await;
        assert_eq!((outcomes[0].end, session.sent()), (want, sent));
    }
    session.close().await;
    let one = "MAIL FROM:<alice@corp.test>|RCPT TO:<bob@far.test>|DATA";
    // The lone dot for nobody ends a transaction in our eyes, and RSET makes sure of it.
    assert_eq!(remote.transactions(), format!("{one}|RSET|{one}|{one}"));
    assert_eq!(remote.connections(), 1);
}

#[tokio::test]
async fn what_dsn_asks_for_is_passed_on_where_it_is_offered() {
    let mail = "MAIL FROM:<alice@corp.test> RET=HDRS ENVID=order+2B7";
    let rcpt = "RCPT TO:<bob@far.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2Bb@corp.test";
    for (offers, want) in [
        (&["DSN"][..], format!("{mail}|{rcpt}|DATA")),
        (&[][..], "MAIL FROM:<alice@corp.test>|RCPT TO:<bob@far.test>|DATA".to_owned()),
    ] {
        let remote = Remote::start(Script::offering(offers)).await;
        let world = World::with(&remote).await;
        let message = world.message(MESSAGE).await;
        let mut bob = to(&["bob@far.test"]);
        bob[0].notify = Some(Notify { success: true, failure: false, delay: true });
        bob[0].original = Some("rfc822;b+2Bb@corp.test".to_owned());
        let outgoing = Outgoing { envelope_id: Some("order+7"), ret: Some(Ret::Headers), ..outgoing(&bob, &message) };
        let mut session = world.session(&far()).await.unwrap();
        let outcomes = session.send(&world.store, &outgoing, whenever()).await;
        assert_eq!((outcomes[0].end, outcomes[0].passed_on), (End::Relayed, offers == ["DSN"]));
        assert_eq!(remote.transactions(), want);
    }
}

#[tokio::test]
async fn routes_log_in_as_the_host_can() {
    let endless = ["AUTH", "YQ==", "Yg==", "*"].map(|line| (line, vec![Act::Say("334 ")])).to_vec();
    let rows = [
        ("PLAIN", "AUTH PLAIN", vec![("AUTH PLAIN", vec![Act::Say("235 2.7.0 welcome")])], Ok("AUTH PLAIN AGEAYg==")),
        (
            "LOGIN",
            "AUTH=LOGIN",
            vec![
                ("AUTH LOGIN", vec![Act::Say("334 VXNlcm5hbWU6")]),
                ("YQ==", vec![Act::Say("334 UGFzc3dvcmQ6")]),
                ("Yg==", vec![Act::Say("235 ok")]),
            ],
            Ok("AUTH LOGIN|YQ==|Yg=="),
        ),
        ("wrong", "AUTH PLAIN", vec![("AUTH", vec![Act::Say("535 5.7.8 no")])], Err("4.7.8")),
        ("not now", "AUTH PLAIN", vec![("AUTH", vec![Act::Say("454 4.7.0 later")])], Err("4.7.0")),
        ("nothing known", "AUTH GSSAPI", vec![], Err("4.7.0")),
        ("lies", "AUTH SCRAM-SHA-256", vec![("AUTH", vec![Act::Say("235 2.7.0 welcome")])], Err("4.7.0")),
        (
            "challenge that is none",
            "AUTH SCRAM-SHA-256",
            vec![("AUTH", vec![Act::Say("334 ???")]), ("*", vec![Act::Say("501 5.7.0 gone")])],
            Err("4.7.8"),
        ),
        ("challenges for ever", "AUTH LOGIN", endless, Err("4.7.0")),
    ];
    for (case, offer, script, want) in rows {
        let script = script.iter().fold(Script::offering(&[offer]), |script, (on, acts)| script.on(on, acts));
        let remote = Remote::start(script).await;
        let world = World::with(&remote).await;
        let credentials = Some(Credentials { user: "a".to_owned(), password: "b".to_owned() });
        let route = Route { credentials, ..route(Demand::Published) };
        let destination = Destination { route: Some(Arc::new(route)), ..far() };
        match (world.session(&destination).await, want) {
            (Ok(mut session), Ok(lines)) => {
                let (message, bob) = (world.message(MESSAGE).await, to(&["bob@far.test"]));
                let outcomes = session.send(&world.store, &outgoing(&bob, &message), whenever()).await;
                assert_eq!(outcomes[0].end, End::Relayed, "{case}");
                let want = format!("{lines}|MAIL FROM:<alice@corp.test> AUTH=<>|RCPT TO:<bob@far.test>|DATA");
                assert_eq!(remote.transactions(), want, "{case}");
            }
            (Err(outcome), Err(status)) => {
                assert_eq!((outcome.end, outcome.status.to_string().as_str()), (End::Deferred, status), "{case}");
                assert!(!outcome.text.contains("Yg=="), "{case}");
            }
            (other, _) => panic!("{case}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_smarthost_is_asked_for_itself() {
    let remote = Remote::start(Script::default()).await;
    let world = World::new(1).await;
    world.dns.address_of("relay.test", &remote.ip()).mx("relay.test", 1, "elsewhere.test");
    let host = Some((Host::parse("relay.test").unwrap(), remote.port()));
    let source = Source { ipv4: Some("127.0.0.9".parse().unwrap()), ipv6: None };
    let route = Route { smarthost: host, source, ..route(Demand::Published) };
    let destination = Destination { route: Some(Arc::new(route)), ..far() };
    let session = world.session(&destination).await.unwrap();
    assert_eq!(session.host().name, "relay.test");
    assert_eq!(remote.peers(), ["127.0.0.9"]);
    // What the configuration has wrong costs no mail.
    world.dns.remove("relay.test");
    let outcome = world.session(&destination).await.unwrap_err();
    assert_eq!(brief(&outcome), (End::Deferred, Scope::Destination, "4.4.4".to_owned()));
}
