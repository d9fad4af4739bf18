//! The trace: found by each of its terms, by whom it reached and by time.

use super::*;
use posthouse::mail::BlobId;
use posthouse::store::{Continuation, DeliveryState, Origin, QueueList, TraceParty, TraceQuery};

pub fn all() -> TraceQuery {
    TraceQuery {
        id: None,
        sender: None,
        recipient: None,
        account: None,
        message_id: None,
        party: None,
        from: Timestamp::from_millis(0),
        to: Timestamp::from_millis(i64::MAX),
        after: None,
        limit: 10,
        deliveries: 10,
    }
}

pub fn query(change: impl FnOnce(&mut TraceQuery)) -> TraceQuery {
    let mut query = all();
    change(&mut query);
    query
}

pub async fn ids(store: &Store, query: TraceQuery) -> Vec<BlobId> {
    store.traces(query, |_| true).await.unwrap().into_iter().map(|row| row.id).collect()
}

fn party(number: u32, sender: &str) -> Option<TraceParty> {
    Some(TraceParty { account: account(number), senders: vec![sender.to_owned()] })
}

async fn accepted(store: &Store, number: u32, sender: &str, recipient: &str) -> BlobId {
    let mut delivery = traced(store, b"content", vec![inbox(number)]).await;
    delivery.trace = Some(TraceWrite {
        record: format!("{sender} {recipient}").into_bytes(),
        sender: Some(sender.to_owned()),
        message_id: Some(format!("<{number}.{sender}>")),
        recipients: vec![recipient.to_owned()],
        ..TraceWrite::default()
    });
    let id = delivery.content.blob();
    store.deliver(delivery).await.unwrap();
    id
}

#[tokio::test]
async fn messages_are_found_by_each_term_newest_first() {
    for bench in Bench::all() {
        let clock = Arc::new(Moving::default());
        let store = bench.store_at(clock.clone()).await;
        accounts(&store, 1..=3).await;
        let start = clock.now();
        let mut found = Vec::new();
        for (number, sender, recipient) in
            [(1, "ann@a.test", "alice@c.test"), (2, "ann@a.test", "group@c.test"), (3, "ben@b.test", "GROUP@c.test")]
        {
            found.push(accepted(&store, number, sender, recipient).await);
            clock.pass(Duration::from_secs(60));
        }
        let refusal =
            TraceWrite { record: b"refused".to_vec(), sender: Some("ann@a.test".to_owned()), ..TraceWrite::default() };
        found.push(store.note_refusal(refusal).await.unwrap());
        let text = |s: &str| Some(s.to_owned());
        let minutes = move |n: i64| Timestamp::from_millis(start.millis() + n * 60_000);
        type Change = Box<dyn Fn(&mut TraceQuery)>;
        let rows: Vec<(&str, Change, &[usize])> = vec![
            ("everything", Box::new(|_| ()), &[3, 2, 1, 0]),
            ("sender in any case", Box::new(move |q| q.sender = text("Ann@A.test")), &[3, 1, 0]),
            ("recipient in any case", Box::new(move |q| q.recipient = text("Group@C.test")), &[2, 1]),
            ("account behind a group", Box::new(|q| q.account = AccountId::new(2)), &[1]),
            (
                "address or account",
                Box::new(move |q| (q.recipient, q.account) = (text("alice@c.test"), AccountId::new(3))),
                &[2, 0],
            ),
            ("Message-ID", Box::new(move |q| q.message_id = text("<2.ann@a.test>")), &[1]),
            (
                "sender and recipient",
                Box::new(move |q| (q.sender, q.recipient) = (text("ann@a.test"), text("group@c.test"))),
                &[1],
            ),
            ("time", Box::new(move |q| (q.from, q.to) = (minutes(1), minutes(3))), &[2, 1]),
            ("sender and time", Box::new(move |q| (q.sender, q.to) = (text("ann@a.test"), minutes(1))), &[0]),
            ("limit", Box::new(|q| q.limit = 2), &[3, 2]),
            ("received", Box::new(move |q| q.party = party(3, "")), &[2]),
            ("received or sent", Box::new(move |q| q.party = party(2, "BEN@b.test")), &[2, 1]),
            ("sent, refused too", Box::new(move |q| q.party = party(3, "ann@a.test")), &[3, 2, 1, 0]),
            (
                "received or sent, by a sender",
                Box::new(move |q| (q.party, q.sender) = (party(2, "ben@b.test"), text("ann@a.test"))),
                &[1],
            ),
            ("another's", Box::new(move |q| (q.party, q.sender) = (party(2, ""), text("ben@b.test"))), &[]),
            ("a page of one's own", Box::new(move |q| (q.party, q.limit) = (party(3, "ann@a.test"), 2)), &[3, 2]),
            ("nobody", Box::new(move |q| q.sender = text("nobody@a.test")), &[]),
        ];
        for (name, change, wanted) in rows {
            let wanted: Vec<BlobId> = wanted.iter().map(|at| found[*at]).collect();
            assert_eq!(ids(&store, query(&change)).await, wanted, "{name}");
        }
        for (at, id) in found.iter().enumerate() {
            assert_eq!(ids(&store, query(|q| q.id = Some(*id))).await, [*id]);
            let older: Vec<BlobId> = found[..at].iter().rev().copied().collect();
            assert_eq!(ids(&store, query(|q| q.after = Some(*id))).await, older);
        }
        let matching = store.traces(all(), |record| record == b"refused").await.unwrap();
        assert_eq!(matching.len(), 1);

        store
            .trace_event(
                found[1],
                TraceWrite {
                    record: b"later".to_vec(),
                    recipients: vec!["x@far.test".to_owned()],
                    ..TraceWrite::default()
                },
            )
            .await
            .unwrap();
        let row =
            store.traces(query(|q| q.recipient = Some("x@far.test".to_owned())), |_| true).await.unwrap().remove(0);
        assert_eq!(
            (row.id, row.record.as_slice(), row.events),
            (found[1], &b"ann@a.test group@c.test"[..], vec![b"later".to_vec()])
        );
        assert_eq!((row.total, row.deliveries[0].account), (1, account(2)));
    }
}

#[tokio::test]
async fn events_are_bounded_in_octets_and_the_answer_says_so() {
    for bench in Bench::all() {
        let store = bench.store().await;
        let id = store.note_refusal(TraceWrite { record: b"first".to_vec(), ..TraceWrite::default() }).await.unwrap();
        let row = async || store.traces(query(|q| q.id = Some(id)), |_| true).await.unwrap().remove(0);
        for (count, more) in [(1, false), (2, false), (2, true), (2, true)] {
            let event = TraceWrite { record: vec![b'x'; 500 << 10], ..TraceWrite::default() };
            store.trace_event(id, event).await.unwrap();
            assert_eq!((row().await.events.len(), row().await.has_more_events), (count, more));
        }
    }
}

#[tokio::test]
async fn old_traces_go_with_all_that_names_them() {
    for bench in Bench::all() {
        let clock = Arc::new(Moving::default());
        let store = bench.store_at(clock.clone()).await;
        accounts(&store, 1..=3).await;
        for number in 1..=3 {
            let id = accepted(&store, number, "ann@a.test", "alice@c.test").await;
            store.trace_event(id, TraceWrite { record: b"later".to_vec(), ..TraceWrite::default() }).await.unwrap();
            clock.pass(Duration::from_hours(24));
        }
        let before = Timestamp::from_millis(clock.now().millis() - 24 * 3600 * 1000);
        assert_eq!(store.expire_logs(before).await, Ok(4), "two messages with an event each");
        let left = ids(&store, all()).await;
        assert_eq!(left.len(), 1);
        assert_eq!(ids(&store, query(|q| q.sender = Some("ann@a.test".to_owned()))).await, left);
        assert_eq!(store.expire_logs(clock.now()).await, Ok(2));
        let mut rows = 0;
        let count = &mut |_: &[u8], _: &[u8]| {
            rows += 1;
            true
        };
        bench.engine.snapshot().range(Keyspace::Log, &[], &[255; 40], count).unwrap();
        assert_eq!(rows, 0);
        clean(&store);
    }
}

#[tokio::test]
async fn a_message_to_many_is_found_by_each_of_them() {
    for bench in Bench::all() {
        let clock = Arc::new(Moving::default());
        let store = bench.store_at(clock.clone()).await;
        accounts(&store, 1..=301).await;
        let mut found = vec![accepted(&store, 7, "ann@a.test", "alice@c.test").await];
        clock.pass(Duration::from_secs(60));
        for size in [300, 299] {
            // One is full, one gets a monitor's copy as well, in another mailbox.
            let group = posthouse::mail::GroupId::new(size);
            let mut targets: Vec<Target> = (1..=size).map(|n| Target { via: group, ..inbox(n) }).collect();
            targets[4].quota = Some(1);
            let mailbox = MailboxId::new(2).unwrap();
            targets.push(Target { origin: Origin::Monitor, mailbox, ..inbox(7) });
            let mut delivery = traced(&store, b"content", targets).await;
            delivery.trace = Some(TraceWrite { sender: Some("ben@b.test".to_owned()), ..TraceWrite::default() });
            found.push(delivery.content.blob());
            store.deliver(delivery).await.unwrap();
            clock.pass(Duration::from_secs(60));
        }
        found.push(accepted(&store, 7, "ann@a.test", "alice@c.test").await);
        let [first, large, larger, last] = found[..] else { panic!("{found:?}") };
        for (number, want) in
            [(7, &[last, larger, large, first][..]), (299, &[larger, large]), (300, &[large]), (301, &[])]
        {
            assert_eq!(ids(&store, query(|q| q.account = AccountId::new(number))).await, want, "{number}");
            assert_eq!(ids(&store, query(|q| q.party = party(number, ""))).await, want, "{number}");
        }
        let ben = |number| query(|q| (q.sender, q.account) = (Some("ben@b.test".to_owned()), AccountId::new(number)));
        assert_eq!(ids(&store, ben(300)).await, [large]);
        assert_eq!(
            ids(&store, query(|q| (q.account, q.after) = (AccountId::new(7), Some(larger)))).await,
            [large, first]
        );

        let state = async |number, origin| store.delivery(account(number), large, origin).await.unwrap();
        let row = state(7, Origin::Monitor).await.unwrap();
        assert_eq!((row.mailbox.number(), row.state), (2, DeliveryState::Delivered));
        assert_eq!(state(8, Origin::Monitor).await, None);
        let row = state(8, Origin::Ordinary).await.unwrap();
        assert_eq!((row.via.map(|group| group.number()), row.uid.map(Uid::number)), (Some(300), Some(1)));
        assert_eq!(state(5, Origin::Ordinary).await.unwrap().state, DeliveryState::Full);
        let row =
            store.traces(query(|q| (q.id, q.deliveries) = (Some(large), 1000)), |_| true).await.unwrap().remove(0);
        assert_eq!((row.total, row.deliveries.len()), (301, 301));

        // What comes later stands under a key, and counts.
        for item in store.queue(QueueList::Local, None, 10).await.unwrap().items {
            store.give_up_full(item.id, vec![]).await.unwrap();
        }
        assert_eq!(state(5, Origin::Ordinary).await.unwrap().state, DeliveryState::Failed);
        let more = Continuation { targets: vec![inbox(7), inbox(301)], ..Continuation::new(large, clock.now()) };
        let placed = store.deliver_more(more).await.unwrap().placed;
        assert_eq!(placed.iter().map(|p| p.account).collect::<Vec<_>>(), [account(301)], "7 has it");
        assert_eq!(ids(&store, query(|q| q.account = AccountId::new(301))).await, [large]);

        clock.pass(Duration::from_secs(60));
        assert_eq!(store.expire_logs(clock.now()).await, Ok(5));
        let mut rows = 0;
        let count = &mut |_: &[u8], _: &[u8]| {
            rows += 1;
            true
        };
        bench.engine.snapshot().range(Keyspace::Log, &[], &[255; 40], count).unwrap();
        assert_eq!(rows, 0);
        clean(&store);
    }
}

/// A million messages; run alone, with `--ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement of minutes"]
async fn a_million_traces_answer_within_a_second() {
    let bench = Bench::rocks();
    let store = bench.store_at(Arc::new(Moving::default())).await;
    const MESSAGES: u32 = 1_000_000;
    let mut waiting = tokio::task::JoinSet::new();
    for n in 0..MESSAGES {
        let store = store.clone();
        waiting.spawn(async move {
            let record = format!("{{\"n\":{n},\"subject\":\"{}\"}}", "s".repeat(250)).into_bytes();
            let sender = Some(format!("s{}@a.test", n % 5000));
            let message_id = Some(format!("<{n}@a.test>"));
            let recipients = vec![format!("r{}@c.test", n % 3000)];
            store
                .note_refusal(TraceWrite { record, sender, message_id, recipients, ..TraceWrite::default() })
                .await
                .unwrap();
        });
        if waiting.len() >= 1000 {
            waiting.join_next().await.unwrap().unwrap();
        }
    }
    while waiting.join_next().await.is_some() {}
    let text = |s: &str| Some(s.to_owned());
    for (name, query, needle, wanted) in [
        ("newest 100", query(|q| q.limit = 100), "", 100),
        ("sender", query(|q| (q.sender, q.limit) = (text("s7@a.test"), 1000)), "", 200),
        ("recipient and sender", query(|q| (q.sender, q.recipient) = (text("s7@a.test"), text("r7@c.test"))), "", 10),
        ("Message-ID", query(|q| q.message_id = text("<77@a.test>")), "", 1),
        ("one record of all", query(|_| ()), "{\"n\":123,", 1),
    ] {
        let started = std::time::Instant::now();
        let found = store.traces(query, move |record| record.starts_with(needle.as_bytes())).await.unwrap();
        println!("{name}: {} found in {:?}", found.len(), started.elapsed());
        assert_eq!(found.len(), wanted, "{name}");
    }
}
