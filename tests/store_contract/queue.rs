//! The queue: items for other hosts, and for accounts that had no room.

use super::*;
use posthouse::delivery::full;
use posthouse::mail::{Address, EnhancedCode, QueueId, ReversePath};
use posthouse::store::{
    Arrival, AuditOrder, DeliveryState, DestinationCount, DestinationDue, Fate, HeldBy, Lane, LastAttempt,
    NewQueueItem, Origin, QueueChange, QueueItem, QueueKind, QueueList, QueuePage, QueueSender, Remote, Settlement,
};

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn copy_for(recipient: &str) -> NewQueueItem {
    from(QueueSender::Nobody, recipient)
}

fn from(sender: QueueSender, recipient: &str) -> NewQueueItem {
    NewQueueItem { form: 0, reverse_path: ReversePath::Null, remote: Remote::new(address(recipient), sender) }
}

fn ids(items: Vec<QueueItem>) -> Vec<QueueId> {
    items.into_iter().map(|item| item.id).collect()
}

fn start() -> Timestamp {
    Timestamp::from_millis(0)
}

fn attempt(at: Timestamp) -> LastAttempt {
    let (text, host) = ("451 busy".to_owned(), Some("mx.one.test".to_owned()));
    LastAttempt { at, status: EnhancedCode::new(4, 0, 0), text, is_reply: true, host, tls: None }
}

#[tokio::test]
async fn items_are_listed_and_hold_the_message() {
    for bench in Bench::all() {
        let store = bench.store().await;
        let mut delivery = traced(&store, b"content", vec![]).await;
        let pam = QueueSender::Address("pam@partner.test".to_owned());
        let alice = QueueSender::Account(account(1));
        delivery.queue =
            vec![from(pam.clone(), "a@one.test"), copy_for("b@two.test"), from(alice.clone(), "c@one.test")];
        delivery.queue[1].form = 1;
        delivery.forms.push(form("To-Two: 1\r\n"));
        let queued = store.deliver(delivery).await.unwrap().queued;
        let report = store.check().unwrap();
        assert_eq!((report.messages, report.findings), (2, vec![]));
        let all = async |list| ids(store.queue(list, None, 10).await.unwrap().items);
        let one = QueueList::Host("one.test".to_owned());
        for (list, found) in [
            (QueueList::All, &queued[..]),
            (one.clone(), &[queued[0], queued[2]]),
            (QueueList::Host("one.tes".to_owned()), &[]),
            (QueueList::Local, &[]),
            (QueueList::Sender(pam), &queued[..1]),
            (QueueList::Sender(alice), &queued[2..]),
            (QueueList::Sender(QueueSender::Nobody), &[]),
        ] {
            assert_eq!(all(list.clone()).await, found, "{list:?}");
        }
        for list in [QueueList::All, one] {
            let whole = all(list.clone()).await;
            let (mut found, mut from) = (Vec::new(), None);
            loop {
                let page = store.queue(list.clone(), from, 1).await.unwrap();
                found.extend(ids(page.items));
                from = page.next;
                if from.is_none() {
                    break;
                }
            }
            assert_eq!(found, whole, "{list:?}");
        }
        let item = store.queue_item(queued[1]).await.unwrap();
        assert_eq!(item.kind, QueueKind::Remote(Remote::new(address("b@two.test"), QueueSender::Nobody)));
        assert_eq!((item.attempts, item.lane()), (0, Lane::Ordinary));

        for id in &queued {
            assert_eq!(store.check().unwrap().findings, []);
            let item = store.queue_item(*id).await.unwrap();
            store.queue_settle(settlement(&item, Fate::Ends)).await.unwrap();
        }
        assert_eq!(store.queue_item(queued[0]).await, Err(Error::NotFound));
        store.sweep(Duration::ZERO).await.unwrap();
        assert_eq!(store.queue(QueueList::All, None, 10).await.unwrap(), QueuePage::default());
    }
}

fn settlement(item: &QueueItem, fate: Fate) -> Settlement {
    let (transaction, blob) = (item.transaction, item.blob);
    Settlement { transaction, blob, items: vec![(item.id, fate)], tell: Vec::new(), event: None, audit: Vec::new() }
}

#[tokio::test]
async fn the_outcome_of_what_was_removed_meanwhile_is_written_to_the_trace_alone() {
    for bench in Bench::all() {
        let store = bench.store().await;
        let mut delivery = traced(&store, b"content", vec![]).await;
        delivery.queue = vec![copy_for("a@one.test"), copy_for("b@one.test")];
        let queued = store.deliver(delivery).await.unwrap().queued;
        let (first, second) = (store.queue_item(queued[0]).await.unwrap(), store.queue_item(queued[1]).await.unwrap());
        let told = |item: &QueueItem| Settlement { tell: vec![b"report".to_vec()], ..settlement(item, Fate::Ends) };

        store.queue_settle(settlement(&first, Fate::Ends)).await.unwrap();
        assert_eq!(store.queue_settle(told(&first)).await, Ok(vec![]), "the message is still there");
        store.queue_settle(settlement(&second, Fate::Ends)).await.unwrap();
        assert_eq!(store.queue_settle(told(&second)).await, Ok(vec![]), "the message is gone");
        assert_eq!(store.follow_ups(None, 10).await, Ok(vec![]));
        assert_eq!(store.check().unwrap().findings, []);
    }
}

#[tokio::test]
async fn the_audit_log_has_what_was_done_and_nothing_else() {
    for bench in Bench::all() {
        let store = bench.store().await;
        let mut delivery = traced(&store, b"content", vec![]).await;
        delivery.queue = vec![copy_for("a@one.test"), copy_for("b@one.test")];
        let queued = store.deliver(delivery).await.unwrap().queued;
        let organisation = OrganisationId::new(1).unwrap();
        let log = async || -> Vec<String> {
            let all = store.audit(organisation, AuditOrder::OldestFirst(0), 10).await.unwrap();
            all.into_iter().map(|record| String::from_utf8(record.record).unwrap()).collect()
        };
        let audited = async |change| {
            let audit = (vec![organisation], |count| format!("{count} items").into_bytes());
            store.queue_change_audited(queued.clone(), change, audit).await.unwrap()
        };
        assert_eq!(audited(QueueChange::Hold(HeldBy::Administrator)).await, 2);
        assert_eq!(audited(QueueChange::Hold(HeldBy::Administrator)).await, 0);
        assert_eq!(log().await, ["2 items"]);
        let item = store.queue_item(queued[0]).await.unwrap();
        let removed = || {
            let entry = AuditEntry { organisation, record: b"removed".to_vec() };
            Settlement { audit: vec![entry], ..settlement(&item, Fate::Ends) }
        };
        store.queue_settle(removed()).await.unwrap();
        store.queue_settle(removed()).await.unwrap();
        assert_eq!(log().await, ["2 items", "removed"], "what is gone is not removed again");
        assert_eq!(store.check().unwrap().findings, []);
    }
}

#[tokio::test]
async fn a_lane_gives_what_is_due_and_tells_of_what_comes() {
    for bench in Bench::all() {
        let clock = Arc::new(Moving::default());
        let store = bench.store_at(clock.clone()).await;
        let mut delivery = traced(&store, b"content", vec![]).await;
        let mut bulk = copy_for("d@one.test");
        bulk.remote.is_bulk = true;
        delivery.queue = vec![copy_for("a@one.test"), copy_for("b@two.test"), copy_for("c@one.test"), bulk];
        let queued = store.deliver(delivery).await.unwrap().queued;
        let now = clock.now();
        let later = Timestamp::from_millis(now.millis() + 1000);
        let due = async |host, lane, until| {
            ids(store.queue_due(host, lane, (start(), until), 10, |_| false).await.unwrap().items)
        };
        assert_eq!(due("one.test", Lane::Ordinary, now).await, [queued[0], queued[2]]);
        assert_eq!(due("one.test", Lane::Bulk, now).await, [queued[3]]);
        let first = queued[0];
        let rest =
            store.queue_due("one.test", Lane::Ordinary, (start(), now), 1, move |id| id == first).await.unwrap().items;
        assert_eq!(ids(rest), [queued[2]]);

        let mut news = store.queue_arrivals().await.arrivals;
        news.sort_by_key(|arrival| (arrival.host.clone(), arrival.lane));
        let arrival = |host: &str, lane, due| Arrival { host: host.to_owned(), lane, due };
        let (ordinary, bulk) = (Lane::Ordinary, Lane::Bulk);
        assert_eq!(
            news,
            [arrival("one.test", ordinary, now), arrival("one.test", bulk, now), arrival("two.test", ordinary, now)]
        );

        let item = store.queue_item(first).await.unwrap();
        let waits = Fate::Waits { due: later, last: attempt(now), is_announced: true };
        store.queue_settle(settlement(&item, waits)).await.unwrap();
        assert_eq!(store.queue_arrivals().await.arrivals, [arrival("one.test", ordinary, later)]);
        assert_eq!(due("one.test", Lane::Ordinary, now).await, [queued[2]]);
        assert_eq!(due("one.test", Lane::Ordinary, later).await, [queued[2], first]);
        let next = async |until, limit| {
            store.queue_due("one.test", Lane::Ordinary, (start(), until), limit, |_| false).await.unwrap().next
        };
        assert_eq!(
            (next(now, 0).await, next(now, 1).await, next(later, 1).await),
            (Some(now), Some(later), Some(later))
        );
        assert_eq!(next(later, 2).await, None);
        let item = store.queue_item(first).await.unwrap();
        assert_eq!((item.attempts, item.due, item.is_announced, item.last), (1, later, true, Some(attempt(now))));
        let destinations = store.queue_destinations(None, 10).await.unwrap();
        let one = DestinationDue { host: "one.test".to_owned(), ordinary: Some(now), bulk: Some(now) };
        let two = DestinationDue { host: "two.test".to_owned(), ordinary: Some(now), bulk: None };
        assert_eq!(destinations, [one, two.clone()]);
        assert_eq!(store.queue_destinations(Some("one.test".to_owned()), 10).await.unwrap(), [two]);
    }
}

#[tokio::test]
async fn what_is_held_waits_until_it_is_released() {
    for bench in Bench::all() {
        let store = bench.store().await;
        let mut delivery = traced(&store, b"content", vec![]).await;
        delivery.queue = vec![copy_for("a@one.test"), copy_for("b@one.test")];
        let queued = store.deliver(delivery).await.unwrap().queued;
        let now = Fixed.now();
        let change = async |change| store.queue_change(queued.clone(), change).await.unwrap();
        let due = async || {
            store.queue_due("one.test", Lane::Ordinary, (start(), now), 10, |_| false).await.unwrap().items.len()
        };
        assert_eq!(store.queue_change(vec![queued[0]], QueueChange::Hold(HeldBy::Administrator)).await, Ok(1));
        assert_eq!((change(QueueChange::Hold(HeldBy::Abuse)).await, due().await), (1, 0));
        assert_eq!((change(QueueChange::Retry).await, due().await), (0, 0));
        let count = DestinationCount { host: "one.test".to_owned(), waiting: 0, held: 2, oldest: now, due: None };
        assert_eq!(store.queue_counts(None, 10).await.unwrap(), [count]);
        assert_eq!(store.queue(QueueList::Host("one.test".to_owned()), None, 10).await.unwrap().items.len(), 2);
        assert_eq!((change(QueueChange::Release(Some(HeldBy::Abuse))).await, due().await), (1, 1));
        // An attempt that was under way ends; the item stays held.
        let item = store.queue_item(queued[0]).await.unwrap();
        let waits = Fate::Waits { due: now, last: attempt(now), is_announced: false };
        store.queue_settle(settlement(&item, waits)).await.unwrap();
        assert_eq!(due().await, 1);
        assert_eq!((change(QueueChange::Release(None)).await, due().await), (1, 2));
        assert_eq!(store.check().unwrap().findings, []);
    }
}

/// The rows as earlier versions wrote them.
#[tokio::test]
async fn places_of_earlier_versions_are_moved() {
    for bench in Bench::all() {
        let store = bench.store().await;
        let mut delivery = traced(&store, b"content", vec![]).await;
        delivery.queue = vec![copy_for("a@one.test")];
        let id = store.deliver(delivery).await.unwrap().queued[0];
        let due = Fixed.now().millis().to_be_bytes();
        let of = |parts: &[&[u8]]| parts.concat();
        let old = [of(&[b"t", &due, id.octets()]), of(&[b"d", b"one.test", &[0], id.octets()])];
        let new = of(&[b"n", b"one.test", &[0, 0], &due, id.octets()]);
        let mut writes: Vec<Write> = old.iter().map(|key| Write::put(Keyspace::Queue, key.clone(), vec![])).collect();
        writes.push(Write::delete(Keyspace::Queue, new));
        let moved =
            Transaction { reads: vec![], writes, decide: Box::new(|_| Ok(vec![])), durability: Durability::Synced };
        bench.engine.submit(moved).await.unwrap().unwrap();
        assert_eq!(store.queue_destinations(None, 10).await.unwrap(), []);
        drop(store);
        let store = bench.store().await;
        assert_eq!(store.queue_destinations(None, 10).await.unwrap().len(), 1);
        let items =
            store.queue_due("one.test", Lane::Ordinary, (start(), Fixed.now()), 10, |_| false).await.unwrap().items;
        assert_eq!(ids(items), [id]);
        for key in old {
            assert_eq!(bench.engine.snapshot().get(Keyspace::Queue, &key), Ok(None));
        }
    }
}

#[tokio::test]
async fn an_account_without_room_gets_its_message_when_it_has_room() {
    for bench in Bench::all() {
        let clock = Arc::new(Moving::default());
        let store = bench.store_at(clock.clone()).await;
        accounts(&store, 1..=2).await;
        let delivery = traced(&store, b"content", vec![inbox(2), Target { quota: Some(3), ..inbox(1) }]).await;
        let id = delivery.content.blob();
        let delivered = store.deliver(delivery).await.unwrap();
        assert_eq!((delivered.placed.len(), delivered.full), (1, vec![account(1)]));
        let state = async || store.delivery(account(1), id, Origin::Ordinary).await.unwrap().unwrap().state;
        assert_eq!(state().await, DeliveryState::Full);
        clean(&store);
        // Not due yet; then due, and still full; then with room.
        for (pass, quota, got) in [(0, None, 0), (15, Some(3), 0), (14, None, 0), (1, Some(7), 1), (15, Some(7), 1)] {
            clock.pass(Duration::from_secs(pass * 60));
            assert_eq!(full::retry(&store, clock.now(), |_| quota).await, Ok(vec![]));
            assert_eq!(messages(&store, 1).await.len(), got, "after {pass} more minutes");
            clean(&store);
        }
        assert_eq!(state().await, DeliveryState::Delivered);
        assert_eq!(store.queue(QueueList::All, None, 10).await.unwrap().items, []);
    }
}

#[tokio::test]
async fn after_five_days_a_full_account_is_given_up() {
    for bench in Bench::all() {
        let clock = Arc::new(Moving::default());
        let store = bench.store_at(clock.clone()).await;
        accounts(&store, 1..=2).await;
        let targets = vec![Target { quota: Some(3), ..inbox(1) }, Target { quota: Some(3), ..inbox(2) }];
        let delivery = traced(&store, b"content", targets).await;
        let id = delivery.content.blob();
        store.deliver(delivery).await.unwrap();
        store.purge_account(account(2)).await.unwrap();
        clock.pass(Duration::from_hours(5 * 24));
        for _ in 0..2 {
            let given_up = full::retry(&store, clock.now(), |_| Some(3)).await.unwrap();
            assert_eq!(given_up.len(), 1, "until somebody has been told");
            clean(&store);
        }
        let item = store.queue(QueueList::Local, None, 10).await.unwrap().items.remove(0);
        store.give_up_full(item.id, vec![]).await.unwrap();
        clean(&store);
        for (number, wanted) in [(1, DeliveryState::Failed), (2, DeliveryState::Gone)] {
            let row = store.delivery(account(number), id, Origin::Ordinary).await.unwrap().unwrap();
            assert_eq!(row.state, wanted, "account {number}");
        }
    }
}

/// A million items; run alone, with `--ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement of minutes"]
async fn a_million_items_slow_nobody() {
    const HOSTS: usize = 1_000;
    let bench = Bench::rocks();
    let store = bench.store_at(Arc::new(Moving::default())).await;
    let before = accepted_in(&store, 4_000).await;
    for round in 0..100 {
        let mut delivery = traced(&store, &[b'x'; 2_000], vec![]).await;
        let recipient = |n: usize| format!("r{round}x{n}@d{}.test", n % HOSTS);
        delivery.queue = (0..10_000).map(|n| copy_for(&recipient(n))).collect();
        store.deliver(delivery).await.unwrap();
    }
    let after = accepted_in(&store, 4_000).await;
    println!("acceptance: {before:?} with an empty queue, {after:?} with a million items");

    let timed = std::time::Instant::now();
    let list = QueueList::Host("d7.test".to_owned());
    assert_eq!(store.queue(list, None, 1_000).await.unwrap().items.len(), 1_000);
    println!("1,000 items of one destination listed in {:?}", timed.elapsed());
    assert!(timed.elapsed() < Duration::from_secs(1));
    let timed = std::time::Instant::now();
    let counts = store.queue_counts(None, usize::MAX).await.unwrap();
    assert_eq!(counts.iter().filter(|count| count.waiting == 1_000).count(), HOSTS - 4);
    println!("all destinations counted in {:?}", timed.elapsed());
    let timed = std::time::Instant::now();
    assert_eq!(store.queue_destinations(None, usize::MAX).await.unwrap().len(), HOSTS);
    println!("all destinations found in {:?}", timed.elapsed());

    drop(store);
    let Bench { engine, directory } = bench;
    engine.close();
    drop(engine);
    let timed = std::time::Instant::now();
    let engine = Rocks::open(&path(directory.as_ref().unwrap()), 64 << 20).unwrap();
    let store = Bench { engine: Arc::new(engine), directory }.store().await;
    println!("opened in {:?}", timed.elapsed());
    assert!(timed.elapsed() < Duration::from_secs(3));
    drop(store);
}

/// How long it takes to accept so many messages for other hosts, twenty at a time; the middle of three.
async fn accepted_in(store: &Store, messages: usize) -> Duration {
    let mut times = Vec::new();
    for _ in 0..3 {
        let timed = std::time::Instant::now();
        let mut waiting = tokio::task::JoinSet::new();
        for n in 0..messages {
            let store = store.clone();
            waiting.spawn(async move {
                let mut delivery = traced(&store, &[b'x'; 2_000], vec![]).await;
                delivery.queue = vec![copy_for(&format!("r@d{}.test", n % 4))];
                store.deliver(delivery).await.unwrap();
            });
            if waiting.len() >= 20 {
                waiting.join_next().await.unwrap().unwrap();
            }
        }
        while waiting.join_next().await.is_some() {}
        times.push(timed.elapsed());
    }
    times.sort();
    times[1]
}
