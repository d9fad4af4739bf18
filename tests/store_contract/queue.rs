//! The queue: items for other hosts, and for accounts that had no room.

use super::*;
use posthouse::delivery::full;
use posthouse::mail::{Address, ReversePath};
use posthouse::store::{DeliveryState, NewQueueItem, Origin, QueueKind, QueueList};

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn copy_for(recipient: &str) -> NewQueueItem {
    NewQueueItem { form: 0, reverse_path: ReversePath::Null, recipient: address(recipient) }
}

#[tokio::test]
async fn items_are_listed_by_destination_and_hold_the_message() {
    for bench in Bench::all() {
        let clock = Arc::new(Moving::default());
        let store = bench.store_at(clock.clone()).await;
        let mut delivery = traced(&store, b"content", vec![]).await;
        delivery.queue = ["a@one.test", "b@two.test", "c@one.test"].map(copy_for).into();
        delivery.queue[1].form = 1;
        delivery.forms.push(form("To-Two: 1\r\n"));
        let queued = store.deliver(delivery).await.unwrap().queued;
        let report = store.check().unwrap();
        assert_eq!((report.messages, report.findings), (2, vec![]));
        let ids = |items: Vec<posthouse::store::QueueItem>| items.into_iter().map(|i| i.id).collect::<Vec<_>>();
        let list = |list, after| store.queue(list, after, 10);
        assert_eq!(ids(list(QueueList::All, None).await.unwrap()), queued);
        assert_eq!(ids(list(QueueList::All, Some(queued[0])).await.unwrap()), queued[1..]);
        let one = QueueList::Host("one.test".to_owned());
        assert_eq!(ids(list(one.clone(), None).await.unwrap()), [queued[0], queued[2]]);
        assert_eq!(ids(list(one, Some(queued[0])).await.unwrap()), [queued[2]]);
        assert_eq!(list(QueueList::Local, None).await.unwrap(), []);
        let item = store.queue_item(queued[1]).await.unwrap();
        assert_eq!((item.kind, item.attempts), (QueueKind::Remote(address("b@two.test")), 0));

        let later = Timestamp::from_millis(clock.now().millis() + 1000);
        store.queue_reschedule(queued[0], later, "busy".to_owned()).await.unwrap();
        assert_eq!(ids(store.queue_due(clock.now(), 10).await.unwrap()), queued[1..]);
        assert_eq!(ids(store.queue_due(later, 10).await.unwrap()), [queued[1], queued[2], queued[0]]);
        let item = store.queue_item(queued[0]).await.unwrap();
        assert_eq!((item.attempts, item.note.as_str(), item.due), (1, "busy", later));

        for id in &queued {
            assert_eq!(store.check().unwrap().findings, []);
            store.queue_remove(*id).await.unwrap();
        }
        assert_eq!(store.queue_remove(queued[0]).await, Err(Error::NotFound));
        for _ in 0..2 {
            clock.pass(Duration::from_secs(1));
            store.sweep(Duration::ZERO).await.unwrap();
        }
        let report = store.check().unwrap();
        assert_eq!((report.messages, report.findings), (0, vec![]));
        assert_eq!(store.queue_due(later, 10).await.unwrap(), []);
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
        assert_eq!(store.queue(QueueList::All, None, 10).await.unwrap(), []);
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
        let item = store.queue(QueueList::Local, None, 10).await.unwrap().remove(0);
        store.queue_remove(item.id).await.unwrap();
        clean(&store);
        for (number, wanted) in [(1, DeliveryState::Failed), (2, DeliveryState::Gone)] {
            let row = store.delivery(account(number), id, Origin::Ordinary).await.unwrap().unwrap();
            assert_eq!(row.state, wanted, "account {number}");
        }
    }
}
