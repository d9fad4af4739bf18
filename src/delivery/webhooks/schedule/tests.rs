use proptest::prelude::*;

use super::*;
use crate::mail::EventKind;
use crate::store::OutboxSource;

const DOWN: Outcome = Outcome::Failed { is_down: true, after: None };
const BAD: Outcome = Outcome::Failed { is_down: false, after: None };
/// Makes a pause as long as it is meant.
const MEAN: u64 = 200;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// The event `number` of a message, which happened at that millisecond.
fn row(message: u8, number: i64) -> OutboxRow {
    let mut id = [0; 12];
    id[..6].copy_from_slice(&number.to_be_bytes()[2..]);
    OutboxRow {
        id: EventId::from_octets(id),
        kind: EventKind::Delivered,
        transaction: BlobId::from_octets([message; 12]),
        source: OutboxSource::Message,
    }
}

fn schedule(rows: &[OutboxRow]) -> Schedule {
    let mut schedule = Schedule::new(Duration::from_hours(72));
    schedule.add(rows.iter().copied(), at(0));
    schedule
}

fn told(schedule: &mut Schedule, now: i64) -> Vec<OutboxRow> {
    std::iter::from_fn(|| schedule.next(at(now))).collect()
}

#[test]
fn a_message_waits_for_its_earlier_event_and_no_other() {
    let (a1, a2, b1) = (row(1, 1), row(1, 2), row(2, 3));
    let mut schedule = schedule(&[a1, a2, b1]);
    assert_eq!(told(&mut schedule, 0), [a1, b1]);
    schedule.settle(b1.id, Outcome::Done, at(1), MEAN);
    assert_eq!(told(&mut schedule, 1), []);
    schedule.settle(a1.id, BAD, at(1), MEAN);
    assert_eq!((told(&mut schedule, 1_000), schedule.wakes()), (vec![], Some(at(1_001))));
    assert_eq!(told(&mut schedule, 1_001), [a1]);
    schedule.settle(a1.id, Outcome::Done, at(1_002), MEAN);
    assert_eq!(told(&mut schedule, 1_002), [a2]);
    schedule.settle(a2.id, Outcome::Done, at(1_003), MEAN);
    assert!(schedule.is_empty() && schedule.messages.is_empty() && schedule.due.is_empty());
}

#[test]
fn an_event_that_comes_late_goes_first() {
    let mut schedule = schedule(&[row(1, 5)]);
    schedule.add([row(1, 4), row(1, 5)], at(0));
    assert_eq!(told(&mut schedule, 0), [row(1, 4)]);
    schedule.add([row(1, 3)], at(0));
    assert_eq!(told(&mut schedule, 0), [], "another is being told");
    schedule.settle(row(1, 4).id, Outcome::Done, at(1), MEAN);
    assert_eq!(told(&mut schedule, 1), [row(1, 3)]);
}

#[test]
fn pauses_double_and_differ_a_little() {
    let seconds = |attempts| pause(attempts, LONGEST_PAUSE, MEAN).as_secs();
    assert_eq!([0, 1, 2, 3, 10, 11, 31, 32, u32::MAX].map(seconds), [1, 2, 4, 8, 1024, 1800, 1800, 1800, 1800]);
    assert_eq!(pause(0, LONGEST_PAUSE, 0), Duration::from_millis(800));
    assert_eq!(pause(0, LONGEST_PAUSE, 400), Duration::from_millis(1200));
    let mut schedule = schedule(&[row(1, 1)]);
    let later = Outcome::Failed { is_down: false, after: Some(Duration::from_secs(60)) };
    told(&mut schedule, 0);
    schedule.settle(row(1, 1).id, later, at(0), MEAN);
    assert_eq!(schedule.wakes(), Some(at(60_000)), "as the receiver wants it");
    told(&mut schedule, 60_000);
    let never = Outcome::Failed { is_down: false, after: Some(Duration::MAX) };
    schedule.settle(row(1, 1).id, never, at(60_000), MEAN);
    assert_eq!(schedule.wakes(), Some(at(60_000 + 1_800_000)), "but not for ever");
}

#[test]
fn a_receiver_that_is_down_is_left_alone_and_tried_with_one_event() {
    let rows: Vec<OutboxRow> = (0..8).map(|n| row(n, i64::from(n))).collect();
    let mut schedule = schedule(&rows);
    let begun = told(&mut schedule, 0);
    assert_eq!(begun.len(), 8);
    for row in begun.iter().take(7) {
        schedule.settle(row.id, DOWN, at(0), MEAN);
    }
    assert!(schedule.is_down());
    assert_eq!(told(&mut schedule, 5_000), [], "one is still on its way");
    schedule.settle(begun[7].id, DOWN, at(5_000), MEAN);
    assert_eq!(told(&mut schedule, 5_000).len(), 1, "a single one");
    assert_eq!(schedule.wakes(), None);
    schedule.settle(rows[0].id, DOWN, at(6_000), MEAN);
    assert_eq!((told(&mut schedule, 7_999), schedule.wakes()), (vec![], Some(at(8_000))), "twice as long");
    let trial = told(&mut schedule, 8_000);
    schedule.settle(trial[0].id, Outcome::Done, at(8_000), MEAN);
    assert_eq!(told(&mut schedule, 8_000).len(), 7, "it is back");
}

#[test]
fn what_is_the_fault_of_one_event_says_nothing_of_the_receiver() {
    let rows: Vec<OutboxRow> = (0..8).map(|n| row(n, i64::from(n))).collect();
    let mut schedule = schedule(&rows);
    for row in told(&mut schedule, 0) {
        schedule.settle(row.id, BAD, at(0), MEAN);
    }
    assert!(!schedule.is_down());
    assert_eq!(told(&mut schedule, 1_000).len(), 8);
    // Nor does what was not tried.
    let mut schedule = self::schedule(&rows);
    for row in told(&mut schedule, 0) {
        schedule.settle(row.id, Outcome::NotTried, at(0), MEAN);
    }
    assert!(!schedule.is_down());
}

#[test]
fn what_is_old_is_given_up_but_for_what_is_being_told() {
    let day = 24 * 3_600_000;
    let mut schedule = schedule(&[row(1, 0), row(1, 1), row(2, 2), row(3, day)]);
    assert_eq!(schedule.next(at(0)).map(|row| row.id), Some(row(1, 0).id));
    assert_eq!(schedule.give_up(at(3 * day - 1)), []);
    assert_eq!(schedule.give_up(at(3 * day + 1)), [row(1, 1)]);
    assert_eq!(schedule.give_up(at(3 * day + 2)), [row(2, 2)]);
    schedule.settle(row(1, 0).id, BAD, at(3 * day + 2), MEAN);
    assert_eq!(schedule.give_up(at(3 * day + 2)), [row(1, 0)]);
    assert_eq!(told(&mut schedule, 3 * day), [row(3, day)]);
}

proptest! {
    /// Whatever happens, each event is told until it is done, and those of a message in order.
    #[test]
    fn every_event_is_told_in_order(
        events in prop::collection::vec(0u8..4, 1..30),
        fates in prop::collection::vec(0u8..5, 0..120),
    ) {
        let rows: Vec<OutboxRow> = events.iter().zip(0..).map(|(message, n)| row(*message, n)).collect();
        let (mut schedule, mut fates) = (schedule(&rows), fates.into_iter());
        let (mut done, mut telling, mut now) = (Vec::new(), Vec::<OutboxRow>::new(), 0);
        for _ in 0..2_000 {
            while let Some(row) = (telling.len() < 3).then(|| schedule.next(at(now))).flatten() {
                prop_assert!(telling.iter().all(|other| other.transaction != row.transaction));
                telling.push(row);
            }
            let Some(row) = telling.pop() else {
                let Some(wakes) = schedule.wakes() else { break };
                prop_assert!(wakes.millis() > now);
                now = wakes.millis();
                continue;
            };
            let outcome = match fates.next() {
                Some(0) => BAD,
                Some(1 | 2) => DOWN,
                Some(3) => Outcome::NotTried,
                _ => Outcome::Done,
            };
            if outcome == Outcome::Done {
                done.push(row);
            }
            schedule.settle(row.id, outcome, at(now), MEAN);
        }
        prop_assert!(schedule.is_empty() && schedule.due.is_empty() && schedule.messages.is_empty());
        for message in 0..4 {
            let of = |rows: &[OutboxRow]| -> Vec<EventId> {
                let message = BlobId::from_octets([message; 12]);
                rows.iter().filter(|row| row.transaction == message).map(|row| row.id).collect()
            };
            prop_assert_eq!(of(&done), of(&rows));
        }
    }
}
