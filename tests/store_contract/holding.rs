//! Messages held for a decision (policy semantics §9).

use super::*;
use posthouse::store::{
    AuditEntry, AuditOrder, AuditVerdict, Continuation, Decision, FormSource, HoldKind, HoldState, NewFollowUp,
    NewHold, RuleSet,
};

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
        forms: vec![FormSource::Stored(held.blob)],
        targets,
        trace: Some(TraceWrite { record: b"released".to_vec(), ..TraceWrite::default() }),
        finish: Some(held.id),
        ..Continuation::new(held.transaction, held.created)
    }
}

fn decision(accepted: bool, by: &str, clock: &Moving) -> Decision {
    Decision { accepted, by: by.to_owned(), at: clock.now(), text: String::new(), finished: None }
}

fn record(text: &str) -> AuditEntry {
    AuditEntry { organisation: organisation(), record: text.as_bytes().to_vec() }
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

        let decide = |by: &str| store.decide(held, decision(true, by, &clock), vec![record(by)]);
        decide("dave").await.unwrap();
        assert_eq!(decide("erin").await, Err(Error::Exists), "M11");
        let written = store.audit(organisation(), AuditOrder::OldestFirst(0), 10).await.unwrap();
        let written: Vec<_> = written.iter().map(|audited| &*audited.record).collect();
        assert_eq!(written, [b"dave"], "the record is in the commit of the decision");
        assert_eq!(store.verify_audit(organisation()).await, Ok(AuditVerdict::Intact(1)));
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
        let held = store.decide(held, decision(true, "dave", &clock), vec![]).await.unwrap();
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
        store.decide(held, decision(false, "timeout", &clock), vec![]).await.unwrap();
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

#[tokio::test]
async fn held_messages_share_their_rules_until_the_last_is_finished() {
    for bench in Bench::all() {
        let clock = Arc::new(Moving::default());
        let store = bench.store_at(clock.clone()).await;
        accounts(&store, [1]).await;
        let (rules, others) = (RuleSet::new(b"rules".to_vec()), RuleSet::new(b"other rules".to_vec()));
        let mut held = Vec::new();
        for (holds, sets) in [(0, vec![]), (2, vec![rules.clone()]), (1, vec![rules.clone(), others.clone()])] {
            let mut delivery = traced(&store, b"content", vec![inbox(1)]).await;
            delivery.holds = vec![hold(None); holds];
            // Without anything held nothing is kept.
            delivery.rules = if holds == 0 { vec![rules.clone()] } else { sets };
            held.extend(store.deliver(delivery).await.unwrap().held);
            clean(&store);
            assert_eq!(store.rule_set(rules.id()).await.is_ok(), holds > 0);
        }
        // The first is refused, the second released, and a part of that is held again; then that and the third.
        store.decide(held[0], decision(false, "dave", &clock), vec![]).await.unwrap();
        store.finish_hold(held[0]).await.unwrap();
        clean(&store);
        let second = store.decide(held[1], decision(true, "dave", &clock), vec![]).await.unwrap();
        assert_eq!(second.rules, [rules.id()]);
        let mut more = release(&second, vec![]);
        (more.holds, more.rules) = (vec![hold(None)], vec![rules.clone()]);
        let again = store.deliver_more(more).await.unwrap().held;
        clean(&store);
        for (place, id) in again.iter().chain(&held[2..]).enumerate() {
            assert_eq!(store.rule_set(rules.id()).await, Ok(rules.clone()), "{place}");
            store.decide(*id, decision(true, "dave", &clock), vec![]).await.unwrap();
            store.finish_hold(*id).await.unwrap();
            clean(&store);
        }
        assert_eq!(store.rule_set(rules.id()).await, Err(Error::NotFound));
        assert_eq!(store.rule_set(others.id()).await, Err(Error::NotFound));
    }
}

#[tokio::test]
async fn what_is_to_be_made_of_a_message_holds_it_and_knows_its_hold() {
    for bench in Bench::all() {
        let clock = Arc::new(Moving::default());
        let store = bench.store_at(clock.clone()).await;
        let new = |hold| NewFollowUp { form: 0, hold, data: b"tell".to_vec() };
        let mut delivery = traced(&store, b"content", vec![]).await;
        let transaction = delivery.content.blob();
        delivery.holds = vec![hold(None)];
        delivery.follow_ups = vec![new(None), new(Some(0))];
        let delivered = store.deliver(delivery).await.unwrap();
        let rows = store.follow_ups(None, 10).await.unwrap();
        assert_eq!(rows, delivered.follow_ups);
        assert_eq!(rows.iter().map(|row| row.hold).collect::<Vec<_>>(), [None, Some(delivered.held[0])]);
        assert_eq!(store.follow_ups(Some(rows[0].key), 10).await.unwrap(), rows[1..]);
        clean(&store);
        store.decide(delivered.held[0], decision(false, "dave", &clock), vec![]).await.unwrap();
        store.finish_hold(delivered.held[0]).await.unwrap();
        for row in &rows {
            clock.pass(Duration::from_secs(1));
            assert_eq!(store.sweep(Duration::ZERO).await, Ok(0), "a row holds the message");
            assert_eq!(store.has_follow_up(row.key).await, Ok(true));
            let event = TraceWrite { record: b"ended".to_vec(), ..TraceWrite::default() };
            store.end_follow_up(row, Some(event)).await.unwrap();
            store.end_follow_up(row, None).await.unwrap();
            assert_eq!(store.has_follow_up(row.key).await, Ok(false));
            clean(&store);
        }
        clock.pass(Duration::from_secs(1));
        assert_eq!(store.sweep(Duration::ZERO).await, Ok(1));
        let found = store.traces(trace::query(|q| q.id = Some(transaction)), |_| true).await.unwrap();
        assert_eq!(found[0].events, [b"ended", b"ended"]);
        clean(&store);
    }
}
