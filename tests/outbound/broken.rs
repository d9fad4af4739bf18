//! Remotes that misbehave, at each step of a session: whatever they do, it ends in bounded time, every recipient has an
//! outcome that says where it broke, and nothing of theirs reaches a log as it came.

use std::time::Instant;

use tokio::task::JoinSet;

use super::remote::{Act, Remote, Script};
use super::*;

type Step = (&'static str, &'static str, fn(&mut Timeouts));

/// The reply that is waited for, as scripts and as our words call it, and the patience for it.
const STEPS: &[Step] = &[
    ("greeting", "greeting", |timeouts| timeouts.greeting = SHORT),
    ("EHLO", "EHLO", |timeouts| timeouts.hello = SHORT),
    ("MAIL", "after MAIL", |timeouts| timeouts.mail = SHORT),
    ("RCPT", "after RCPT", |timeouts| timeouts.rcpt = SHORT),
    ("DATA", "after DATA", |timeouts| timeouts.data = SHORT),
    ("content", "after the content", |timeouts| timeouts.end = SHORT),
    ("LAST", "after the content", |timeouts| timeouts.end = SHORT),
];

const DEEDS: &[(Act, &str)] = &[
    (Act::Close, "connection was lost"),
    (Act::Silence, "no answer in time"),
    (Act::Drip, "no answer in time"),
    (Act::Garbage, "not a reply: ?[31mSSH-2.0-OpenSSH?"),
    (Act::EndlessLine, "a line of more than 2,048 octets"),
    (Act::EndlessLines, "more than 100 lines"),
];

#[tokio::test]
async fn whatever_a_host_does_at_whatever_step() {
    let mut cases = JoinSet::new();
    for (step, words, impatient) in STEPS {
        for (act, why) in DEEDS {
            for pipelining in [false, true] {
                cases.spawn(async move {
                    let mut offers = if pipelining { vec!["PIPELINING"] } else { vec![] };
                    offers.extend((*step == "LAST").then_some("CHUNKING"));
                    let remote = Remote::start(Script::offering(&offers).on(step, std::slice::from_ref(act))).await;
                    let mut world = World::with(&remote).await;
                    impatient(&mut world.courier.settings.timeouts);
                    let start = Instant::now();
                    let outcomes = world.send(&["bob@far.test", "carol@far.test"], MESSAGE).await;
                    let case = format!("{step}, {act:?}, {offers:?}");
                    assert!(start.elapsed() < Duration::from_secs(15), "{case}: {:?}", start.elapsed());
                    for outcome in &outcomes {
                        // Another host is asked, unless this one may have the message.
                        let may_be_there = words.contains("content");
                        let scope = if may_be_there { Scope::Message } else { Scope::Host };
                        let wanted = (End::Deferred, scope, "4.4.2".to_owned());
                        assert_eq!(brief(outcome), wanted, "{case}: {outcome:?}");
                        assert!(outcome.text.contains(why) && outcome.text.contains(words), "{case}: {}", outcome.text);
                        assert!(!outcome.text.contains(char::is_control), "{case}");
                        assert_eq!(outcome.text.contains("comes twice"), may_be_there, "{case}: {}", outcome.text);
                        assert!(outcome.host.is_some() && !outcome.is_reply, "{case}");
                    }
                });
            }
        }
    }
    assert_eq!(cases.len(), STEPS.len() * DEEDS.len() * 2);
    while let Some(case) = cases.join_next().await {
        case.unwrap();
    }
}

#[tokio::test]
async fn a_host_that_closes_with_421_is_left_at_once() {
    for (step, _, _) in STEPS {
        let chunking = if *step == "LAST" { &["CHUNKING", "PIPELINING"][..] } else { &["PIPELINING"] };
        for act in [Act::Last("421 4.3.2 shutting down"), Act::Say("421 4.3.2 shutting down")] {
            let remote = Remote::start(Script::offering(chunking).on(step, &[act])).await;
            let world = World::with(&remote).await;
            for outcome in world.send(&["bob@far.test", "carol@far.test"], MESSAGE).await {
                assert_eq!(brief(&outcome), (End::Deferred, Scope::Host, "4.3.2".to_owned()), "{step}");
                assert_eq!((outcome.text.as_str(), outcome.is_reply), ("421 4.3.2 shutting down", true), "{step}");
            }
            assert_eq!(remote.connections(), 1, "{step}");
            assert!(remote.lines().iter().filter(|line| line.starts_with("MAIL")).count() < 2, "{step}");
        }
    }
}

#[tokio::test]
async fn who_was_refused_before_stays_refused() {
    let script = Script::offering(&["PIPELINING"]).on("RCPT TO:<bob", &[Act::Say("550 5.1.1 who?")]);
    let remote = Remote::start(script.on("RCPT TO:<dave", &[Act::Last("421 4.3.2 bye")])).await;
    let world = World::with(&remote).await;
    let outcomes = world.send(&["bob@far.test", "carol@far.test", "dave@far.test"], MESSAGE).await;
    let later = (End::Deferred, Scope::Host, "4.3.2".to_owned());
    let want = [(End::Failed, Scope::Message, "5.1.1".to_owned()), later.clone(), later];
    assert_eq!(outcomes.iter().map(brief).collect::<Vec<_>>(), want);
}

#[tokio::test]
async fn a_session_that_ended_while_it_waited_costs_no_message() {
    let remote = Remote::start(Script::default().on("content", &[Act::Last("250 taken")])).await;
    let world = World::with(&remote).await;
    let (message, bob) = (world.message(MESSAGE).await, to(&["bob@far.test"]));
    let mut session = world.session(&far()).await.unwrap();
    assert_eq!(session.send(&world.store, &outgoing(&bob, &message), whenever()).await[0].end, End::Relayed);
    assert!(session.is_open());
    let outcomes = session.send(&world.store, &outgoing(&bob, &message), whenever()).await;
    assert_eq!(brief(&outcomes[0]), (End::Deferred, Scope::Host, "4.4.2".to_owned()));
    assert!(!session.is_open() && !outcomes[0].text.contains("twice"), "{}", outcomes[0].text);
    session.close().await;
}

#[tokio::test]
async fn replies_out_of_step_end_the_session() {
    for (step, reply) in [("MAIL", "354 go on"), ("RCPT", "334 go on"), ("DATA", "250 ok"), ("content", "354 more")] {
        let remote = Remote::start(Script::default().on(step, &[Act::Say(reply)])).await;
        let world = World::with(&remote).await;
        let outcomes = world.send(&["bob@far.test"], MESSAGE).await;
        assert_eq!(brief(&outcomes[0]), (End::Deferred, Scope::Host, "4.5.0".to_owned()), "{step}");
        assert_eq!(outcomes[0].text, reply, "{step}");
        assert!(!remote.lines().contains(&"QUIT".to_owned()), "{step}");
    }
}

#[tokio::test]
async fn a_transaction_has_an_end_whatever_its_steps_take() {
    for (step, act, scope) in [("RCPT", Act::Silence, Scope::Host), ("content", Act::Drip, Scope::Message)] {
        let remote = Remote::start(Script::default().on(step, &[act])).await;
        let mut world = World::with(&remote).await;
        world.courier.settings.timeouts.transaction = Duration::from_secs(1);
        let outcomes = world.send(&["bob@far.test"], MESSAGE).await;
        assert_eq!(brief(&outcomes[0]), (End::Deferred, scope, "4.4.2".to_owned()), "{step}");
    }
}

#[tokio::test]
async fn an_attempt_has_an_end_over_all_hosts_and_keeps_what_is_known() {
    let script = Script::default().on("RCPT TO:<bob", &[Act::Say("550 5.1.1 who?")]);
    let remote = Remote::start(script.on("RCPT TO:<dave", &[Act::Silence])).await;
    let world = World::with(&remote).await;
    let (message, recipients) =
        (world.message(MESSAGE).await, to(&["bob@far.test", "carol@far.test", "dave@far.test"]));
    let mut session = world.session(&far()).await.unwrap();
    let (start, until) = (Instant::now(), tokio::time::Instant::now() + SHORT);
    let outcomes = session.send(&world.store, &outgoing(&recipients, &message), until).await;
    let later = (End::Deferred, Scope::Host, "4.4.2".to_owned());
    let want = [(End::Failed, Scope::Message, "5.1.1".to_owned()), later.clone(), later];
    assert_eq!(outcomes.iter().map(brief).collect::<Vec<_>>(), want);
    assert!(!session.is_open() && start.elapsed() < Duration::from_secs(10));

    // A lost reply to the content stays one that may mean twice.
    let remote = Remote::start(Script::default().on("content", &[Act::Silence])).await;
    let world = World::with(&remote).await;
    let message = world.message(MESSAGE).await;
    let mut session = world.session(&far()).await.unwrap();
    let until = tokio::time::Instant::now() + SHORT;
    let outcomes = session.send(&world.store, &outgoing(&recipients, &message), until).await;
    assert!(outcomes.iter().all(|outcome| outcome.scope == Scope::Message && outcome.text.contains("twice")));

    let remote = Remote::start(Script::default().on("greeting", &[Act::Silence])).await;
    let world = World::with(&remote).await;
    let mut hosts = world.courier.hosts(&far()).await.unwrap();
    let start = Instant::now();
    let outcome = world.courier.next(&mut hosts, tokio::time::Instant::now() + SHORT).await.unwrap_err();
    assert_eq!(brief(&outcome), (End::Deferred, Scope::Host, "4.4.1".to_owned()));
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_host_that_reads_no_more_is_not_waited_for() {
    for (step, offers) in [("DATA", &[][..]), ("BDAT", &["CHUNKING", "PIPELINING"])] {
        let acts = [if step == "DATA" { Act::Stall("354 go on") } else { Act::Stall("250 ok") }];
        let remote = Remote::start(Script::offering(offers).on(step, &acts)).await;
        let mut world = World::with(&remote).await;
        world.courier.settings.timeouts.block = SHORT;
        // More than the system takes for a peer that does not read.
        let content = format!("Subject: x\r\n\r\n{}", format!("{}\r\n", "x".repeat(98)).repeat(120_000));
        let outcomes = world.send(&["bob@far.test"], content.as_bytes()).await;
        assert_eq!(brief(&outcomes[0]), (End::Deferred, Scope::Host, "4.4.2".to_owned()), "{step}");
        assert!(!outcomes[0].text.contains("twice"), "{}", outcomes[0].text);
    }
}

#[tokio::test]
async fn quit_is_not_waited_for_long() {
    for act in [Act::Silence, Act::Drip, Act::Close, Act::EndlessLines] {
        let remote = Remote::start(Script::default().on("QUIT", &[act])).await;
        let mut world = World::with(&remote).await;
        world.courier.settings.timeouts.quit = SHORT;
        let start = Instant::now();
        assert_eq!(world.send(&["bob@far.test"], MESSAGE).await[0].end, End::Relayed);
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}

#[tokio::test]
async fn content_that_cannot_be_read_is_not_sent_as_if_it_were_whole() {
    let remote = Remote::start(Script::offering(&["CHUNKING"])).await;
    let world = World::with(&remote).await;
    let other = World::with(&remote).await;
    let message = world.message(&[b"Subject: x\r\n\r\n".to_vec(), b"0123456789\r\n".repeat(50_000)].concat()).await;
    let bob = to(&["bob@far.test"]);
    let mut session = world.session(&far()).await.unwrap();
    // Another store, which does not have it.
    let outcomes = session.send(&other.store, &outgoing(&bob, &message), whenever()).await;
    assert_eq!(brief(&outcomes[0]), (End::Deferred, Scope::Message, "4.3.0".to_owned()));
    assert!(remote.contents().is_empty());
}
