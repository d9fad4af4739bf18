//! Slices of very large deliveries: complete after any crash, and nobody has the message twice.

use super::*;
use posthouse::delivery::fan_out;
use posthouse::store::{Origin, QueueList};

const LARGE: u32 = 2500;

async fn large(store: &Store) -> Delivery {
    let target = |number: u32| Target {
        form: usize::from(number.is_multiple_of(3)),
        via: posthouse::mail::GroupId::new(7),
        ..inbox(number)
    };
    let mut targets: Vec<Target> = (1..=LARGE).map(target).collect();
    targets.push(Target { origin: Origin::Monitor, ..inbox(LARGE) });
    let mut delivery = traced(store, b"content", targets).await;
    delivery.forms.push(form("X: 3\r\n"));
    delivery
}

async fn everyone_has_it_once(store: &Store, name: &str) {
    for number in 1..=LARGE {
        let prefix = if number.is_multiple_of(3) { "X: 3\r\n" } else { "" };
        let copies = 1 + usize::from(number == LARGE);
        let messages = messages(store, number).await;
        assert_eq!(messages.len(), copies, "{name}: account {number}");
        assert_eq!(messages[0], format!("{prefix}content"), "{name}: account {number}");
    }
}

#[tokio::test]
async fn a_large_delivery_is_complete_after_its_slices() {
    for bench in Bench::all() {
        let store = bench.store().await;
        accounts(&store, 1..=LARGE).await;
        // One mailbox goes before its slice comes, one account has no room.
        let mut delivery = large(&store).await;
        for target in &mut delivery.targets {
            if target.account == account(2001) {
                target.quota = Some(0);
            }
        }
        let id = delivery.content.blob();
        let delivered = store.deliver(delivery).await.unwrap();
        assert_eq!((delivered.placed.len(), delivered.pending), (1000, LARGE as usize + 1 - 1000));
        clean(&store);
        store.purge_account(account(2000)).await.unwrap();
        let slices = store.next_slices(None, 10).await.unwrap();
        assert_eq!(slices.len(), 2);
        assert_eq!(store.next_slices(Some(slices[0]), 10).await.unwrap(), slices[1..]);
        assert!(!fan_out::work(&store).await);
        assert_eq!(store.next_slices(None, 10).await.unwrap(), []);
        for slice in slices {
            assert_eq!(store.deliver_slice(slice).await, Ok(vec![]), "nothing is done twice");
        }
        let report = store.check().unwrap();
        assert_eq!((report.entries, report.findings), (u64::from(LARGE) + 1 - 2, vec![]));
        assert_eq!(store.queue(QueueList::Local, None, 10).await.unwrap().items.len(), 1);
        let query = trace::query(|q| (q.account, q.deliveries) = (Some(account(2222)), 1000));
        let found = store.traces(query, |_| true).await.unwrap();
        assert_eq!((found[0].id, found[0].total, found[0].deliveries.len()), (id, u64::from(LARGE) + 1, 1000));
    }
}

#[tokio::test]
async fn a_crash_at_any_commit_loses_and_doubles_nothing() {
    let faulty = Arc::new(Faulty::new(Arc::new(Memory::default())));
    let store = Store::open(faulty.clone(), Arc::new(Fixed), [0; 3]).await.unwrap();
    accounts(&store, 1..=LARGE).await;
    // The delivery and two slices.
    for (start, allowance) in (0..4).enumerate() {
        let store = Store::open(faulty.clone(), Arc::new(Fixed), [1, 0, start as u8]).await.unwrap();
        let delivery = large(&store).await;
        faulty.fail_after(allowance);
        let delivered = store.deliver(delivery).await;
        assert_eq!(delivered.is_ok(), allowance > 0);
        fan_out::work(&store).await;
        faulty.heal();
        clean(&store);
        // A restart; its worker does the rest.
        let store = Store::open(faulty.clone(), Arc::new(Fixed), [2, 0, start as u8]).await.unwrap();
        assert!(!fan_out::work(&store).await);
        clean(&store);
        if delivered.is_ok() {
            everyone_has_it_once(&store, &format!("after {allowance} commits")).await;
            for number in 1..=LARGE {
                expunge_inbox(&store, number).await;
            }
        } else {
            assert_eq!(store.check().unwrap().entries, 0);
        }
    }
}

#[tokio::test]
async fn the_worker_wakes_for_slices_and_watches_wake_for_it() {
    let store = Bench::all().remove(0).store().await;
    accounts(&store, 1..=1001).await;
    let worker = tokio::spawn(fan_out::run(store.clone()));
    let mut watch = store.watch(account(1001), MailboxId::INBOX);
    let delivery = traced(&store, b"content", (1..=1001).map(inbox).collect()).await;
    store.deliver(delivery).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), watch.changed()).await.unwrap();
    assert_eq!(messages(&store, 1001).await, ["content"]);
    worker.abort();
}

#[tokio::test]
async fn what_waits_for_a_slice_is_not_swept() {
    for bench in Bench::all() {
        let clock = Arc::new(Moving::default());
        let store = bench.store_at(clock.clone()).await;
        accounts(&store, 1..=1001).await;
        let delivery = traced(&store, b"content", (1..=1001).map(inbox).collect()).await;
        store.deliver(delivery).await.unwrap();
        for number in 1..=1000 {
            expunge_inbox(&store, number).await;
        }
        clock.pass(Duration::from_secs(9));
        assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 0);
        fan_out::work(&store).await;
        assert_eq!(messages(&store, 1001).await, ["content"]);
        clean(&store);
    }
}
