//! What an account stores: counted by INBOX's own record and one for all other mailboxes together.

use super::*;
use posthouse::store::Origin;

fn archive() -> MailboxId {
    MailboxId::new(2).unwrap()
}

async fn used(store: &Store, number: u32) -> (u64, u64) {
    let usage = store.read(move |reader| reader.usage(account(number))).await.unwrap();
    (usage.octets, usage.messages)
}

#[tokio::test]
async fn quota_counts_all_mailboxes() {
    for bench in Bench::all() {
        let store = bench.store().await;
        accounts(&store, [1]).await;
        let target =
            |mailbox, quota| Target { quota: Some(quota), ..Target::new(account(1), mailbox, Flags::default()) };
        let inbox = MailboxId::INBOX;
        for (step, mailbox, quota, fits, octets) in [
            ("the first", inbox, 10, true, 10),
            ("beside INBOX", archive(), 19, false, 10),
            ("beside INBOX, exactly", archive(), 20, true, 20),
            ("beside another", inbox, 29, false, 20),
            ("beside another, exactly", inbox, 30, true, 30),
            ("beside both", MailboxId::new(3).unwrap(), 39, false, 30),
            ("beside both, exactly", MailboxId::new(3).unwrap(), 40, true, 40),
        ] {
            let delivery = Delivery {
                when_full: WhenFull::Refuse,
                ..traced(&store, &[b'x'; 10], vec![target(mailbox, quota)]).await
            };
            let delivered = store.deliver(delivery).await.map(|d| d.placed.len());
            assert_eq!(delivered, if fits { Ok(1) } else { Err(Error::OverQuota) }, "{step}");
            assert_eq!(used(&store, 1).await, (octets, octets / 10), "{step}");
            clean(&store);
        }
        let copy = |quota| store.copy(account(1), inbox, everything(), archive(), Some(quota));
        assert_eq!(copy(59).await.map(|copied| copied.pairs.len()), Err(Error::OverQuota));
        assert_eq!(copy(60).await.map(|copied| copied.pairs.len()), Ok(2));
        assert_eq!(used(&store, 1).await, (60, 6));
        for (from, to) in [(inbox, archive()), (archive(), inbox), (inbox, archive())] {
            store.move_messages(account(1), from, everything(), to).await.unwrap();
            assert_eq!(used(&store, 1).await, (60, 6));
            clean(&store);
        }
    }
}

#[tokio::test]
async fn copies_of_one_commit_count_for_each_other() {
    for bench in Bench::all() {
        let store = bench.store().await;
        accounts(&store, [1]).await;
        let copy =
            |mailbox, origin, quota| Target { origin, quota, ..Target::new(account(1), mailbox, Flags::default()) };
        // A monitor's copy counts and looks at no quota; in the order of mailboxes it comes before or behind the other.
        for (first, second, quota, result) in [
            (archive(), MailboxId::new(3).unwrap(), 19, Err(Error::OverQuota)),
            (archive(), MailboxId::new(3).unwrap(), 20, Ok(2)),
            (MailboxId::INBOX, archive(), 39, Err(Error::OverQuota)),
            (MailboxId::INBOX, archive(), 40, Ok(2)),
        ] {
            let targets = vec![copy(first, Origin::Monitor, None), copy(second, Origin::Ordinary, Some(quota))];
            let delivery = Delivery { when_full: WhenFull::Refuse, ..traced(&store, &[b'x'; 10], targets).await };
            assert_eq!(store.deliver(delivery).await.map(|d| d.placed.len()), result, "{quota}");
            clean(&store);
        }
        assert_eq!(used(&store, 1).await, (40, 4));
    }
}

/// The rows that a store of format 1 had: usage with INBOX in it.
#[tokio::test]
async fn a_store_of_the_format_before_is_brought_into_this_one() {
    for bench in Bench::all() {
        let store = bench.store().await;
        accounts(&store, 1..=3).await;
        for (number, mailbox) in [(1, MailboxId::INBOX), (1, archive()), (1, archive()), (2, MailboxId::INBOX)] {
            deliver(&store, &[b'x'; 100], &[(account(number), mailbox)]).await.unwrap();
        }
        // 113 octets each; LEB128, version octet first.
        let old = [(1, vec![1, 0xd3, 0x02, 3]), (2, vec![1, 113, 1])];
        let usage = |number: u32| [&number.to_be_bytes()[..], b"u"].concat();
        let mut writes: Vec<Write> = old.into_iter().map(|(number, value)| put(&usage(number), &value)).collect();
        writes.push(Write::put(Keyspace::Directory, vec![0, b'f'], vec![1]));
        let engine = bench.engine.clone();
        tokio::task::spawn_blocking(move || submit(&*engine, writes)).await.unwrap().unwrap();
        assert_ne!(store.check().unwrap().findings, []);

        let store = bench.store().await;
        clean(&store);
        for (number, want) in [(1, (339, 3)), (2, (113, 1)), (3, (0, 0))] {
            assert_eq!(used(&store, number).await, want, "account {number}");
        }
        let format = bench.engine.snapshot().get(Keyspace::Directory, &[0, b'f']).unwrap();
        assert_eq!(format, Some(vec![2]));
        deliver(&store, &[b'x'; 100], &[(account(1), archive()), (account(2), MailboxId::INBOX)]).await.unwrap();
        assert_eq!((used(&store, 1).await, used(&store, 2).await), ((452, 4), (226, 2)));
        // A start that was cut short before it had written the format.
        let engine = bench.engine.clone();
        let format = Write::put(Keyspace::Directory, vec![0, b'f'], vec![1]);
        tokio::task::spawn_blocking(move || submit(&*engine, vec![format])).await.unwrap().unwrap();
        let store = bench.store().await;
        assert_eq!((used(&store, 1).await, used(&store, 2).await), ((452, 4), (226, 2)));
        clean(&store);
    }
}

#[tokio::test]
async fn a_store_of_a_format_to_come_is_not_opened() {
    for bench in Bench::all() {
        drop(bench.store().await);
        let engine = bench.engine.clone();
        let format = Write::put(Keyspace::Directory, vec![0, b'f'], vec![3]);
        tokio::task::spawn_blocking(move || submit(&*engine, vec![format])).await.unwrap().unwrap();
        let opened = Store::open(bench.engine.clone(), Arc::new(Fixed), [0; 3]).await;
        assert_eq!(opened.err(), Some(Error::Corrupt));
    }
}
