//! When an item is tried again, when its sender hears of it, and when it is over (RFC 5321 §4.5.4.1).

use std::time::Duration;

use super::outcome::{End, Outcome};
use crate::mail::{EnhancedCode, Notify, ReversePath, Timestamp};
use crate::store::{QueueItem, QueueKind, Returns};

/// How patient the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Between the first attempt and the second; each further pause is twice as long, …
    pub first_pause: Duration,
    /// … but never longer than this.
    pub longest_pause: Duration,
    /// How old a message is when its sender is told that it takes longer.
    pub announce_after: Duration,
    /// How old it is when it is given up.
    pub give_up_after: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first_pause: Duration::from_mins(5),
            longest_pause: Duration::from_hours(2),
            announce_after: Duration::from_hours(4),
            give_up_after: Duration::from_hours(5 * 24),
        }
    }
}

/// What becomes of an item after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It has been delivered; `report` if the sender wants to hear of that from us.
    Relayed {
        /// The sender asked for it, and the host does not tell (RFC 3461 §5.2.2).
        report: bool,
    },
    /// It never will be; `report` unless the sender does not want to hear of it.
    Failed {
        /// RFC 3463, of class 5.
        status: EnhancedCode,
        /// The sender is told.
        report: bool,
    },
    /// It is tried again.
    Again {
        /// When.
        due: Timestamp,
        /// The sender is told that it takes longer.
        report: bool,
    },
}

impl Patience {
    /// What becomes of an item. `drawn` is random: pauses differ by up to a tenth, so that what failed together does not
    /// come back together.
    pub fn step(&self, item: &QueueItem, outcome: &Outcome, now: Timestamp, drawn: u64) -> Step {
        let QueueKind::Remote(remote) = &item.kind else {
            return Step::Again { due: now, report: false };
        };
        let can_be_told = item.reverse_path != ReversePath::Null;
        let wants = |pick: fn(Notify) -> bool, default| can_be_told && remote.notify.map_or(default, pick);
        let wants_failure = wants(|notify| notify.failure, true);
        match outcome.end {
            End::Relayed => Step::Relayed { report: !outcome.passed_on && wants(|notify| notify.success, false) },
            End::Failed => Step::Failed { status: outcome.status, report: wants_failure },
            End::Deferred if age(item, now) >= self.give_up_after => {
                // RFC 3463 §3.5: delivery time expired.
                Step::Failed { status: EnhancedCode::new(5, 4, 7), report: wants_failure }
            }
            End::Deferred => {
                let is_late = age(item, now) >= self.announce_after && !item.is_announced;
                // Whoever forwards or has a group hears of the end alone.
                let is_senders = remote.returns == Returns::Sender;
                let report = is_late && is_senders && wants(|notify| notify.delay, true);
                Step::Again { due: now.after(self.pause(item.attempts, drawn)), report }
            }
        }
    }

    /// How long is waited after so many attempts before this one.
    pub fn pause(&self, attempts: u32, drawn: u64) -> Duration {
        let factor = 1u32.checked_shl(attempts).unwrap_or(u32::MAX);
        let pause = self.first_pause.saturating_mul(factor).min(self.longest_pause);
        // From nine tenths to eleven.
        let tenths = u32::try_from(drawn % 201).unwrap_or(100).saturating_add(900);
        pause.saturating_mul(tenths) / 1000
    }
}

/// How long ago the item was queued.
fn age(item: &QueueItem, now: Timestamp) -> Duration {
    let age = now.millis().saturating_sub(item.created.millis());
    Duration::from_millis(u64::try_from(age).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::super::outcome::Scope;
    use super::*;
    use crate::mail::{Address, BlobId, QueueId};
    use crate::store::{QueueSender, Remote};

    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;

    fn item() -> QueueItem {
        let pam = Address::parse("pam@partner.test").unwrap();
        QueueItem {
            id: QueueId::from_octets([1; 12]),
            blob: BlobId::from_octets([2; 12]),
            transaction: BlobId::from_octets([2; 12]),
            kind: QueueKind::Remote(Remote::new(pam.clone(), QueueSender::Nobody)),
            reverse_path: ReversePath::Address(pam),
            created: Timestamp::from_millis(0),
            due: Timestamp::from_millis(0),
            attempts: 0,
            last: None,
            held: None,
            is_announced: false,
        }
    }

    fn with(item: QueueItem, change: impl FnOnce(&mut Remote)) -> QueueItem {
        let QueueKind::Remote(mut remote) = item.kind else { panic!("remote") };
        change(&mut remote);
        QueueItem { kind: QueueKind::Remote(remote), ..item }
    }

    fn notify(text: &str) -> Option<Notify> {
        let has = |word| text.contains(word);
        Some(Notify { success: has("success"), failure: has("failure"), delay: has("delay") })
    }

    #[test]
    fn steps() {
        let outcome = |end| Outcome::ours(end, Scope::Message, (0, 0), "text");
        let passed_on = Outcome { passed_on: true, ..outcome(End::Relayed) };
        let null = QueueItem { reverse_path: ReversePath::Null, ..item() };
        let asked = |text| with(item(), |remote| remote.notify = notify(text));
        let managed = with(item(), |remote| remote.returns = Returns::Managers(crate::mail::GroupId::new(1).unwrap()));
        let announced = QueueItem { is_announced: true, ..item() };
        let (relayed, failed, expired) = (
            |report| Step::Relayed { report },
            |report| Step::Failed { status: EnhancedCode::new(5, 0, 0), report },
            |report| Step::Failed { status: EnhancedCode::new(5, 4, 7), report },
        );
        let again = |at: i64, report| Step::Again { due: Timestamp::from_millis(at + 5 * MINUTE), report };
        let (end, fail, defer) = (End::Relayed, End::Failed, End::Deferred);
        for (case, item, outcome, at, expected) in [
            ("relayed", item(), outcome(end), 0, relayed(false)),
            ("success wanted", asked("success"), outcome(end), 0, relayed(true)),
            ("success passed on", asked("success"), passed_on, 0, relayed(false)),
            ("failed", item(), outcome(fail), 0, failed(true)),
            ("failed, nobody to tell", null.clone(), outcome(fail), 0, failed(false)),
            ("failed, NEVER", asked("never"), outcome(fail), 0, failed(false)),
            ("failed, only success wanted", asked("success"), outcome(fail), 0, failed(false)),
            ("deferred", item(), outcome(defer), 0, again(0, false)),
            ("just before it is late", item(), outcome(defer), 4 * HOUR - 1, again(4 * HOUR - 1, false)),
            ("late", item(), outcome(defer), 4 * HOUR, again(4 * HOUR, true)),
            ("late, told before", announced, outcome(defer), 4 * HOUR, again(4 * HOUR, false)),
            ("late, only failure wanted", asked("failure"), outcome(defer), 4 * HOUR, again(4 * HOUR, false)),
            ("late, delay wanted", asked("delay"), outcome(defer), 4 * HOUR, again(4 * HOUR, true)),
            ("late, a group's", managed, outcome(defer), 4 * HOUR, again(4 * HOUR, false)),
            ("late, nobody to tell", null, outcome(defer), 4 * HOUR, again(4 * HOUR, false)),
            ("over", item(), outcome(defer), 120 * HOUR, expired(true)),
            ("over, but delivered", item(), outcome(end), 120 * HOUR, relayed(false)),
        ] {
            assert_eq!(Patience::default().step(&item, &outcome, Timestamp::from_millis(at), 100), expected, "{case}");
        }
    }

    #[test]
    fn pauses_grow_to_the_longest_and_differ_a_little() {
        let patience = Patience::default();
        let minutes = |attempts| patience.pause(attempts, 100).as_secs() / 60;
        assert_eq!([0, 1, 2, 3, 4, 5, 31, 32, u32::MAX].map(minutes), [5, 10, 20, 40, 80, 120, 120, 120, 120]);
        assert_eq!(patience.pause(0, 0), Duration::from_secs(270));
        assert_eq!(patience.pause(0, 200), Duration::from_secs(330));
        assert_eq!(patience.pause(0, 201), Duration::from_secs(270));
    }
}
