//! Which event is told next, and when: the state of one webhook, without I/O and clock.
//!
//! Events of one message are told one after the other, in order of their ids; different messages are told beside each
//! other. What could not be told is tried again after a pause that doubles. If several attempts in a row say that the
//! receiver is down, it is left alone for a pause that doubles too, then a single event tries whether it is back: if so,
//! everything that waits is due at once.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use crate::mail::{BlobId, EventId, Timestamp};
use crate::store::OutboxRow;

/// What is known of the events that wait, as far as they have been read.
#[derive(Debug)]
pub struct Schedule {
    give_up_after: Duration,
    waiting: BTreeMap<EventId, Waiting>,
    /// The events of each message.
    messages: HashMap<BlobId, BTreeSet<EventId>>,
    /// The first event of each message of which none is being told.
    due: BTreeSet<(Timestamp, EventId)>,
    telling: HashSet<EventId>,
    receiver: Receiver,
}

#[derive(Debug)]
struct Waiting {
    row: OutboxRow,
    attempts: u32,
    due: Timestamp,
}

/// How it is with the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receiver {
    /// It takes events, but for the last so many.
    Up { failures: u32 },
    /// It is left alone until then, for the so-manieth time.
    Down { until: Timestamp, times: u32 },
    /// A single event tries it.
    Tried { times: u32 },
}

/// How it went with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It need not be told any more: the receiver has it, or does not want it, or there was nothing to tell.
    Done,
    /// The receiver does not take it now.
    Failed {
        /// It is down, as far as can be told: others would fare no better.
        is_down: bool,
        /// How long it wants to be left alone with it.
        after: Option<Duration>,
    },
    /// It is not the receiver's fault.
    NotTried,
}

impl Schedule {
    /// Nothing waits.
    pub fn new(give_up_after: Duration) -> Self {
        Self {
            give_up_after,
            waiting: BTreeMap::new(),
            messages: HashMap::new(),
            due: BTreeSet::new(),
            telling: HashSet::new(),
            receiver: Receiver::Up { failures: 0 },
        }
    }

    /// How many wait or are being told.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Events that wait. What is known already is passed over.
    pub fn add(&mut self, rows: impl IntoIterator<Item = OutboxRow>, now: Timestamp) {
        for row in rows {
            if self.waiting.contains_key(&row.id) {
                continue;
            }
            let before = self.head(row.transaction);
            self.waiting.insert(row.id, Waiting { row, attempts: 0, due: now });
            self.messages.entry(row.transaction).or_default().insert(row.id);
            self.place(row.transaction, before);
        }
    }

    /// The event that is to be told now; it counts as being told until [`Schedule::settle`].
    pub fn next(&mut self, now: Timestamp) -> Option<OutboxRow> {
        match self.receiver {
            Receiver::Up { .. } => {}
            Receiver::Down { until, .. } if now < until || !self.telling.is_empty() => return None,
            Receiver::Down { .. } => {}
            Receiver::Tried { .. } => return None,
        }
        // Of a receiver that may be back, the oldest of all will do.
        let first = self.due.first().copied().filter(|(due, _)| *due <= now || self.is_down())?;
        self.due.remove(&first);
        let row = self.waiting.get(&first.1)?.row;
        self.telling.insert(row.id);
        if let Receiver::Down { times, .. } = self.receiver {
            self.receiver = Receiver::Tried { times };
        }
        Some(row)
    }

    /// When [`Schedule::next`] may give something, if nothing else happens before.
    pub fn wakes(&self) -> Option<Timestamp> {
        let first = self.due.first().map(|(due, _)| *due)?;
        match self.receiver {
            Receiver::Up { .. } => Some(first),
            Receiver::Down { until, .. } => Some(until),
            Receiver::Tried { .. } => None,
        }
    }

    /// What came of an event. `drawn` is random: pauses differ by up to a fifth.
    pub fn settle(&mut self, id: EventId, outcome: Outcome, now: Timestamp, drawn: u64) {
        self.telling.remove(&id);
        let Some(waiting) = self.waiting.get_mut(&id) else {
            // It was dropped while it was told; what came of it still says how the receiver is.
            match outcome {
                Outcome::Done => self.is_up(now),
                Outcome::NotTried => {}
                Outcome::Failed { .. } => self.has_failed(now, drawn),
            }
            return;
        };
        let transaction = waiting.row.transaction;
        match outcome {
            Outcome::Done => {
                self.remove(id);
                self.is_up(now);
            }
            Outcome::Failed { is_down, after } => {
                let pause = pause(waiting.attempts, LONGEST_PAUSE, drawn);
                waiting.attempts = waiting.attempts.saturating_add(1);
                waiting.due = now.after(pause.max(after.unwrap_or_default().min(LONGEST_PAUSE)));
                if is_down {
                    self.has_failed(now, drawn);
                } else {
                    self.is_up(now);
                }
            }
            Outcome::NotTried => {
                waiting.due = now.after(FIRST_PAUSE);
                if let Receiver::Tried { times } = self.receiver {
                    self.receiver = Receiver::Down { until: now.after(FIRST_PAUSE), times };
                }
            }
        }
        self.place(transaction, None);
    }

    /// Takes out what is so old that it is given up, but for what is being told.
    pub fn give_up(&mut self, now: Timestamp) -> Vec<OutboxRow> {
        let age = i64::try_from(self.give_up_after.as_millis()).unwrap_or(i64::MAX);
        let is_old = |id: &EventId| now.millis().saturating_sub(id.timestamp().millis()) >= age;
        // In order of time.
        let old = self.waiting.iter().take_while(|(id, _)| is_old(id));
        let old: Vec<OutboxRow> =
            old.filter(|(id, _)| !self.telling.contains(id)).map(|(_, waiting)| waiting.row).collect();
        for row in &old {
            self.forget(row.id);
        }
        old
    }

    /// Takes out an event that is not in the outbox any more.
    pub fn forget(&mut self, id: EventId) {
        let Some(waiting) = self.waiting.get(&id) else { return };
        let transaction = waiting.row.transaction;
        let before = self.head(transaction);
        self.remove(id);
        self.place(transaction, before);
    }

    /// Whether the receiver is left alone.
    pub fn is_down(&self) -> bool {
        !matches!(self.receiver, Receiver::Up { .. })
    }

    fn remove(&mut self, id: EventId) {
        let Some(waiting) = self.waiting.remove(&id) else { return };
        self.due.remove(&(waiting.due, id));
        if let Some(events) = self.messages.get_mut(&waiting.row.transaction) {
            events.remove(&id);
            if events.is_empty() {
                self.messages.remove(&waiting.row.transaction);
            }
        }
    }

    fn head(&self, message: BlobId) -> Option<EventId> {
        self.messages.get(&message)?.first().copied()
    }

    /// Puts the first event of a message in its place, instead of the one that was first before.
    fn place(&mut self, message: BlobId, before: Option<EventId>) {
        if let Some((id, waiting)) = before.and_then(|id| self.waiting.get_key_value(&id)) {
            self.due.remove(&(waiting.due, *id));
        }
        let is_told = |events: &BTreeSet<EventId>| events.iter().any(|id| self.telling.contains(id));
        if self.messages.get(&message).is_none_or(is_told) {
            return;
        }
        if let Some(waiting) = self.head(message).and_then(|id| self.waiting.get(&id)) {
            self.due.insert((waiting.due, waiting.row.id));
        }
    }

    fn is_up(&mut self, now: Timestamp) {
        if self.is_down() {
            // What failed while it was down is not to blame.
            let due: Vec<(Timestamp, EventId)> = std::mem::take(&mut self.due).into_iter().collect();
            for (_, id) in due {
                if let Some(waiting) = self.waiting.get_mut(&id) {
                    waiting.due = waiting.due.min(now);
                    waiting.attempts = 0;
                    self.due.insert((waiting.due, id));
                }
            }
        }
        self.receiver = Receiver::Up { failures: 0 };
    }

    fn has_failed(&mut self, now: Timestamp, drawn: u64) {
        self.receiver = match self.receiver {
            Receiver::Up { failures } if failures.saturating_add(1) < FAILURES => {
                Receiver::Up { failures: failures.saturating_add(1) }
            }
            Receiver::Up { .. } => Receiver::Down { until: now.after(pause(0, LONGEST_REST, drawn)), times: 1 },
            Receiver::Tried { times } => {
                Receiver::Down { until: now.after(pause(times, LONGEST_REST, drawn)), times: times.saturating_add(1) }
            }
            // What was begun before.
            down @ Receiver::Down { .. } => down,
        };
    }
}

/// The pause after so many attempts before this one: from four fifths to six of what doubling gives.
fn pause(attempts: u32, longest: Duration, drawn: u64) -> Duration {
    let factor = 1u32.checked_shl(attempts).unwrap_or(u32::MAX);
    let pause = FIRST_PAUSE.saturating_mul(factor).min(longest);
    let thousandths = u32::try_from(drawn % 401).unwrap_or(200).saturating_add(800);
    pause.saturating_mul(thousandths) / 1000
}

/// Failures in a row after which the receiver counts as down.
const FAILURES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Between two attempts to tell an event.
const LONGEST_PAUSE: Duration = Duration::from_mins(30);
/// For which a receiver that is down is left alone.
const LONGEST_REST: Duration = Duration::from_mins(5);

#[cfg(test)]
mod tests;
