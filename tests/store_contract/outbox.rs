//! The outbox: an event is there for whoever wants it as soon as what it tells of is committed, and for nobody else.

use super::*;
use posthouse::delivery::full;
use posthouse::mail::{EventKind, EventKinds};
use posthouse::store::{DeliveryState, Origin, OutboxRow, OutboxSource, QueueList, SubscriberId};

use EventKind::{Accepted, Bounced, Delivered, Held, Refused, Relayed};

fn kinds<const N: usize>(kinds: [EventKind; N]) -> EventKinds {
    kinds.into_iter().collect()
}

async fn rows(store: &Store, name: &str) -> Vec<OutboxRow> {
    store.outbox(SubscriberId::of(name), None, 100).await.unwrap()
}

async fn told(store: &Store, name: &str) -> Vec<EventKind> {
    rows(store, name).await.into_iter().map(|row| row.kind).collect()
}

#[tokio::test]
async fn each_subscriber_has_what_it_wants_in_order() {
    for bench in Bench::all() {
        let clock = Arc::new(Moving::default());
        let store = bench.store_at(clock.clone()).await;
        accounts(&store, 1..=3).await;
        let few = (SubscriberId::of("few"), kinds([Delivered, Relayed]));
        let all = (SubscriberId::of("all"), EventKind::ALL.into_iter().collect());
        assert_eq!(store.subscribe_to_events(vec![few, all]).await, Ok(0));
        let mut news = store.outbox_news();
        let mut delivery = traced(&store, b"content", vec![inbox(1), inbox(2)]).await;
        delivery.targets.push(Target { origin: Origin::Monitor, ..inbox(3) });
        delivery.trace.as_mut().unwrap().events = kinds([Held, Accepted]);
        let id = delivery.content.blob();
        store.deliver(delivery).await.unwrap();
        assert!(news.has_changed().unwrap());
        news.mark_unchanged();
        assert_eq!(told(&store, "few").await, [Delivered]);
        assert_eq!(told(&store, "all").await, [Accepted, Held, Delivered]);
        clock.pass(Duration::from_millis(1));
        let event = TraceWrite { record: b"sent".to_vec(), events: kinds([Relayed, Bounced]), ..TraceWrite::default() };
        store.trace_event(id, event).await.unwrap();
        let refusal = TraceWrite { record: b"no".to_vec(), events: kinds([Refused]), ..TraceWrite::default() };
        store.note_refusal(refusal).await.unwrap();
        assert_eq!(told(&store, "few").await, [Delivered, Relayed]);
        let of_all = rows(&store, "all").await;
        assert_eq!(told(&store, "all").await, [Accepted, Held, Delivered, Relayed, Bounced, Refused]);
        assert_eq!(of_all[2], rows(&store, "few").await[0], "one event, one id");
        assert!(of_all.is_sorted_by_key(|row| row.id));

        let delivered = store.outbox_event(of_all[2]).await.unwrap().unwrap();
        let reached: Vec<AccountId> = delivered.deliveries.iter().map(|delivery| delivery.account).collect();
        assert_eq!((reached, delivered.total), (vec![account(1), account(2)], 2), "monitors apart");
        assert_eq!((delivered.message.as_slice(), delivered.event), (&b"accepted"[..], None));
        let relayed = store.outbox_event(of_all[3]).await.unwrap().unwrap();
        assert_eq!((relayed.message.as_slice(), relayed.event.as_deref()), (&b"accepted"[..], Some(&b"sent"[..])));
        assert_eq!((relayed.deliveries, relayed.total), (vec![], 0));
        assert_eq!(store.outbox_event(of_all[5]).await.unwrap().unwrap().message, b"no");

        store.outbox_done(few.0, vec![of_all[2].id]).await.unwrap();
        assert_eq!(told(&store, "few").await, [Relayed]);
        let after = store.outbox(all.0, Some(of_all[1].id), 2).await.unwrap();
        assert_eq!(after, of_all[2..4]);
        let count = store.outbox_count(all.0).await.unwrap();
        assert_eq!((count.waiting, count.oldest), (6, Some(of_all[0].id.timestamp())));
        // What is too old to be told is not told.
        clock.pass(Duration::from_secs(60));
        store.expire_logs(clock.now()).await.unwrap();
        assert_eq!(store.outbox_event(of_all[3]).await, Ok(None));
        clean(&store);
    }
}

#[tokio::test]
async fn what_did_not_happen_is_not_told() {
    for bench in Bench::all() {
        let store = bench.store().await;
        accounts(&store, 1..=1).await;
        store.subscribe_to_events(vec![(SubscriberId::of("all"), EventKind::ALL.into_iter().collect())]).await.unwrap();
        let mut delivery = traced(&store, b"content", vec![Target { quota: Some(1), ..inbox(1) }]).await;
        delivery.when_full = WhenFull::Refuse;
        delivery.trace.as_mut().unwrap().events = kinds([Accepted]);
        assert_eq!(store.deliver(delivery).await, Err(Error::OverQuota));
        deliver(&store, b"appended", &[(account(1), MailboxId::INBOX)]).await.unwrap();
        let monitored = Target { origin: Origin::Monitor, ..inbox(1) };
        let copied = traced(&store, b"content", vec![monitored]).await;
        store.deliver(copied).await.unwrap();
        assert_eq!(told(&store, "all").await, []);
    }
}

#[tokio::test]
async fn what_had_no_room_is_told_once_it_is_there_or_given_up() {
    for bench in Bench::all() {
        let clock = Arc::new(Moving::default());
        let store = bench.store_at(clock.clone()).await;
        accounts(&store, 1..=2).await;
        store.subscribe_to_events(vec![(SubscriberId::of("all"), EventKind::ALL.into_iter().collect())]).await.unwrap();
        let targets = vec![Target { quota: Some(3), ..inbox(1) }, Target { quota: Some(3), ..inbox(2) }];
        let delivery = traced(&store, b"content", targets).await;
        store.deliver(delivery).await.unwrap();
        let state = async |row: OutboxRow| {
            let event = store.outbox_event(row).await.unwrap().unwrap();
            event.deliveries.into_iter().map(|delivery| (delivery.account, delivery.row.state)).collect::<Vec<_>>()
        };
        let full = DeliveryState::Full;
        assert_eq!(state(rows(&store, "all").await[0]).await, [(account(1), full), (account(2), full)]);
        clock.pass(Duration::from_hours(1));
        let quota = |id| (id != account(1)).then_some(3);
        assert_eq!(full::retry(&store, clock.now(), quota).await, Ok(vec![]));
        let item = store.queue(QueueList::Local, None, 10).await.unwrap().items.remove(0);
        store.give_up_full(item.id, vec![]).await.unwrap();
        let rows = rows(&store, "all").await;
        assert_eq!(rows.iter().map(|row| row.kind).collect::<Vec<_>>(), [Delivered, Delivered, Bounced]);
        for (row, number, wanted) in [(rows[1], 1, DeliveryState::Delivered), (rows[2], 2, DeliveryState::Failed)] {
            assert_eq!(row.source, OutboxSource::Delivery(account(number)));
            assert_eq!(state(row).await, [(account(number), wanted)]);
        }
        clean(&store);
    }
}

#[tokio::test]
async fn what_nobody_subscribes_to_any_more_goes_at_the_next_start() {
    for bench in Bench::all() {
        let store = bench.store().await;
        accounts(&store, 1..=1).await;
        let (stays, goes) = (SubscriberId::of("stays"), SubscriberId::of("goes"));
        store.subscribe_to_events(vec![(stays, kinds([Delivered])), (goes, kinds([Delivered]))]).await.unwrap();
        for _ in 0..3 {
            let delivery = traced(&store, b"content", vec![inbox(1)]).await;
            store.deliver(delivery).await.unwrap();
        }
        drop(store);
        let bench = bench.reopen();
        let store = bench.store().await;
        assert_eq!(store.subscribe_to_events(vec![(stays, kinds([Delivered]))]).await, Ok(3));
        assert_eq!((told(&store, "stays").await.len(), told(&store, "goes").await.len()), (3, 0));
    }
}
