//! Messages held for a decision (policy semantics §9).

use super::*;
use posthouse::mail::ReversePath;
use posthouse::store::{Continuation, FormSource, HoldKind, HoldState, NewHold};

fn organisation() -> OrganisationId {
    OrganisationId::new(3).unwrap()
}

fn hold(limit: Option<u64>) -> NewHold {
    NewHold {
        form: 0,
        organisation: organisation(),
        kind: HoldKind::Moderation,
        expires: Some(Timestamp::from_millis(Fixed.now().millis() + 72 * 3600 * 1000)),
        data: b"{}".to_vec(),
        limit,
    }
}

fn release(held: &posthouse::store::Held, targets: Vec<Target>) -> Continuation {
    Continuation {
        transaction: held.transaction,
        internal_date: held.created,
        reverse_path: ReversePath::Null,
        forms: vec![FormSource::Stored(held.blob)],
        targets,
        queue: vec![],
        holds: vec![],
        trace: Some(TraceWrite { record: b"released".to_vec(), ..TraceWrite::default() }),
        extra: vec![],
        finish: Some(held.id),
    }
}

#[tokio::test]
async fn the_first_decision_wins_and_is_carried_out_once() {
    for bench in Bench::all() {
        let clock = Arc::new(Moving::default());
        let store = bench.store_at(clock.clone()).await;
        accounts(&store, 1..=2).await;
        // M10: alice has it at once, the group's other members when it is accepted.
        let mut delivery = traced(&store, b"content", vec![inbox(1)]).await;
        let transaction = delivery.content.blob();
        delivery.holds = vec![hold(None)];
        let held = store.deliver(delivery).await.unwrap().held[0];
        clean(&store);
        assert_eq!(store.held_octets(organisation()).await, Ok(7));
        let listed = store.held(organisation(), HoldKind::Moderation, None, 10).await.unwrap();
        assert_eq!((listed.len(), &listed[0].state), (1, &HoldState::Pending));
        assert_eq!(store.held(organisation(), HoldKind::Quarantine, None, 10).await.unwrap(), []);
        let listed = listed.into_iter().next().unwrap();
        assert_eq!(store.deliver_more(release(&listed, vec![inbox(2)])).await, Err(Error::Conflict), "undecided");

        let decide = |by: &str| store.decide(held, true, by.to_owned(), String::new(), clock.now());
        decide("dave").await.unwrap();
        assert_eq!(decide("erin").await, Err(Error::Exists), "M11");
        assert_eq!(store.decided_holds(10).await.unwrap().len(), 1);
        let release = || release(&listed, vec![inbox(1), inbox(2)]);
        assert_eq!(store.deliver_more(release()).await.unwrap().placed.len(), 1, "M10");
        assert_eq!(store.deliver_more(release()).await, Err(Error::Exists), "carried out");
        assert_eq!(store.finish_hold(held).await, Ok(()));
        assert_eq!(store.decided_holds(10).await, Ok(vec![]));
        assert_eq!(store.held_octets(organisation()).await, Ok(0));
        clean(&store);
        assert_eq!((messages(&store, 1).await.len(), messages(&store, 2).await.len()), (1, 1));
        let found = store.traces(trace::query(|q| q.id = Some(transaction)), |_| true).await.unwrap();
        assert_eq!((found[0].events.as_slice(), found[0].total), (&[b"released".to_vec()][..], 3));
    }
}

#[tokio::test]
async fn a_release_to_many_goes_in_slices() {
    for bench in Bench::all() {
        let clock = Arc::new(Moving::default());
        let store = bench.store_at(clock.clone()).await;
        accounts(&store, 1..=1500).await;
        let mut delivery = traced(&store, b"content", vec![]).await;
        delivery.holds = vec![hold(None)];
        let held = store.deliver(delivery).await.unwrap().held[0];
        let held = store.decide(held, true, "dave".to_owned(), String::new(), clock.now()).await.unwrap();
        let mut release = release(&held, (1..=1500).map(inbox).collect());
        // The rest get a form that is made for them.
        release.forms.push(FormSource::New(form("L: 1\r\n")));
        release.targets.iter_mut().skip(1200).for_each(|target| target.form = 1);
        let delivered = store.deliver_more(release).await.unwrap();
        assert_eq!((delivered.placed.len(), delivered.pending), (1000, 500));
        clean(&store);
        for number in 1..=1000 {
            expunge_inbox(&store, number).await;
        }
        clock.pass(Duration::from_secs(1));
        assert_eq!(store.sweep(Duration::ZERO).await, Ok(0), "slices hold the message");
        assert!(!posthouse::delivery::fan_out::work(&store).await);
        clean(&store);
        assert_eq!(messages(&store, 1001).await, ["content"]);
        assert_eq!(messages(&store, 1500).await, ["L: 1\r\ncontent"]);
    }
}

#[tokio::test]
async fn a_refused_message_lets_go_of_its_content() {
    for bench in Bench::all() {
        let clock = Arc::new(Moving::default());
        let store = bench.store_at(clock.clone()).await;
        let mut delivery = traced(&store, b"content", vec![]).await;
        delivery.holds = vec![hold(None)];
        let held = store.deliver(delivery).await.unwrap().held[0];
        assert_eq!(store.finish_hold(held).await, Err(Error::Conflict), "undecided");
        clock.pass(Duration::from_hours(72));
        assert_eq!(store.expired_holds(clock.now(), 10).await.unwrap().len(), 1, "M05");
        store.decide(held, false, "timeout".to_owned(), String::new(), clock.now()).await.unwrap();
        assert_eq!(store.expired_holds(clock.now(), 10).await, Ok(vec![]));
        store.finish_hold(held).await.unwrap();
        clean(&store);
        clock.pass(Duration::from_secs(1));
        assert_eq!(store.sweep(Duration::ZERO).await, Ok(1));
        assert!(store.held_by_id(held).await.unwrap().is_finished());
        clock.pass(Duration::from_hours(30 * 24));
        store.sweep(Duration::ZERO).await.unwrap();
        assert_eq!(store.held_by_id(held).await, Err(Error::NotFound));
        assert_eq!(store.held(organisation(), HoldKind::Moderation, None, 10).await, Ok(vec![]));
        clean(&store);
    }
}

#[tokio::test]
async fn the_limit_of_an_organisation_refuses_the_whole_message() {
    for bench in Bench::all() {
        let store = bench.store().await;
        accounts(&store, [1]).await;
        for (row, holds, result) in [("fits", 2, true), ("M17", 1, false), ("M15", 1, false)] {
            let mut delivery = traced(&store, b"content", vec![inbox(1)]).await;
            delivery.holds = vec![hold(Some(20)); holds];
            let delivered = store.deliver(delivery).await;
            assert_eq!(delivered.is_ok(), result, "{row}");
            if let Err(error) = delivered {
                assert_eq!(error, Error::HoldFull, "{row}");
            }
        }
        assert_eq!(messages(&store, 1).await.len(), 1, "nothing is left of a refused message");
        assert_eq!(store.held_octets(organisation()).await, Ok(14));
        clean(&store);
    }
}
