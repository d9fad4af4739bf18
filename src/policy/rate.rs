//! How much may be sent in which time, and when an account that keeps exceeding it is stopped (policy semantics §18).
//!
//! Messages are counted over the last minute, recipients by the day (UTC). What the server makes of a message, copies for
//! the members of a group here, forwards, automatic replies, reports, counts for nobody.
//!
//! The semantics leave open when an account behaves as if it were abused. The rule here: it exceeds the limit of messages
//! in five different minutes of an hour, or names twice as many recipients in a day as it may, those that were refused
//! counted. A person who writes to many at once does neither; a program does, and so it needs a limit of its own.

use std::collections::VecDeque;

use crate::mail::Timestamp;

/// What an account may send; 0 stands for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfAccount {
    /// Messages within a minute.
    pub messages_per_minute: u32,
    /// Recipients within a day.
    pub recipients_per_day: u32,
}

/// What a client may do without a login; 0 stands for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfClient {
    /// Connections within a minute.
    pub connections_per_minute: u32,
    /// Messages within a minute.
    pub messages_per_minute: u32,
}

impl Default for OfAccount {
    fn default() -> Self {
        Self { messages_per_minute: 60, recipients_per_day: 2000 }
    }
}

impl Default for OfClient {
    fn default() -> Self {
        Self { connections_per_minute: 30, messages_per_minute: 100 }
    }
}

/// Whether one more is within a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// It is.
    Within,
    /// It is not.
    Exceeded,
    /// Could not be found out.
    Unknown,
}

/// For how many recipients one counts: itself, and the members elsewhere that it stands for.
pub fn weight(external_members: usize) -> u32 {
    u32::try_from(external_members).unwrap_or(u32::MAX).saturating_add(1)
}

/// What happened within the last minute; never more than the limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastMinute {
    times: VecDeque<Timestamp>,
}

impl LastMinute {
    /// Counts one more, if there may be `limit` of them; false if there were as many already.
    pub fn take(&mut self, limit: u32, now: Timestamp) -> bool {
        if limit == 0 {
            return true;
        }
        self.expire(now);
        let is_within = u32::try_from(self.times.len()).is_ok_and(|count| count < limit);
        if is_within {
            self.times.push_back(now);
        }
        is_within
    }

    /// The one counted last was none.
    pub fn give_back(&mut self) {
        self.times.pop_back();
    }

    /// Nothing counts any more.
    pub fn is_over(&mut self, now: Timestamp) -> bool {
        self.expire(now);
        self.times.is_empty()
    }

    fn expire(&mut self, now: Timestamp) {
        // After a clock that went back nothing of the future counts.
        let counts = |at: &Timestamp| (0..MINUTE).contains(&now.millis().saturating_sub(at.millis()));
        while self.times.front().is_some_and(|at| !counts(at)) {
            self.times.pop_front();
        }
    }
}

/// The recipients of an account on one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Today {
    day: u32,
    /// Of messages that are accepted.
    accepted: u32,
    /// Of messages that are under way.
    under_way: u32,
    /// Named beyond the limit.
    refused: u32,
    /// Somebody has been told that the limit is reached.
    is_told: bool,
}

impl Today {
    /// From the stored form; a form that cannot be read counts nothing.
    pub fn decode(octets: &[u8]) -> Self {
        let number = |at: usize| {
            let four = octets.get(at..at.saturating_add(4))?;
            Some(u32::from_be_bytes(four.try_into().ok()?))
        };
        match (octets.first(), number(1), number(5)) {
            (Some(&VERSION), Some(day), Some(accepted)) => Self { day, accepted, ..Self::default() },
            _ => Self::default(),
        }
    }

    /// The stored form: of two of an account, the one with more is the greater in order of octets.
    pub fn encode(&self) -> Vec<u8> {
        [&[VERSION][..], &self.day.to_be_bytes(), &self.accepted.to_be_bytes()].concat()
    }

    /// Counts `weight` recipients more as under way, if there may be `limit` a day.
    pub fn take(&mut self, weight: u32, limit: u32, now: Timestamp) -> bool {
        self.turn(now);
        let after = self.accepted.saturating_add(self.under_way).saturating_add(weight);
        let is_within = limit == 0 || after <= limit;
        if is_within {
            self.under_way = self.under_way.saturating_add(weight);
        }
        is_within
    }

    /// What is under way is accepted.
    pub fn accept(&mut self, weight: u32, now: Timestamp) {
        self.turn(now);
        self.under_way = self.under_way.saturating_sub(weight);
        self.accepted = self.accepted.saturating_add(weight);
    }

    /// What is under way is given up.
    pub fn give_back(&mut self, weight: u32) {
        self.under_way = self.under_way.saturating_sub(weight);
    }

    /// What was accepted could not be stored.
    pub fn take_back(&mut self, weight: u32) {
        self.accepted = self.accepted.saturating_sub(weight);
    }

    /// `weight` recipients were refused because of the limit.
    pub fn refuse(&mut self, weight: u32, limit: u32, now: Timestamp) -> Hit {
        self.turn(now);
        let times = |refused: u32| {
            let named = self.accepted.saturating_add(self.under_way).saturating_add(refused);
            named.checked_div(limit).unwrap_or_default()
        };
        let refused = self.refused.saturating_add(weight);
        // Also at three times and so on, in case the account could not be stopped before.
        let suspends = times(refused) >= 2 && times(refused) > times(self.refused);
        self.refused = refused;
        Hit { is_first: !std::mem::replace(&mut self.is_told, true), suspends }
    }

    /// Forgets what was refused; what was sent stays counted.
    pub fn forgive(&mut self) {
        (self.refused, self.is_told) = (0, false);
    }

    /// Recipients of accepted messages.
    pub fn accepted(&self) -> u32 {
        self.accepted
    }

    /// What is under way in the night counts for the day on which it is accepted.
    fn turn(&mut self, now: Timestamp) {
        let today = u32::try_from(now.millis().div_euclid(DAY)).unwrap_or_default();
        // A clock that goes back gives nothing back.
        if today > self.day {
            *self = Self { day: today, under_way: self.under_way, ..Self::default() };
        }
    }
}

/// A limit was exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// For the first time in this minute, or on this day: somebody should know.
    pub is_first: bool,
    /// Once too often: the account is stopped.
    pub suspends: bool,
}

/// The minutes of the last hour in which an account exceeded the limit of messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Minutes {
    minutes: Vec<i64>,
}

impl Minutes {
    /// The limit was exceeded.
    pub fn exceed(&mut self, now: Timestamp) -> Hit {
        let this = now.millis().div_euclid(MINUTE);
        self.minutes.retain(|minute| (0..60).contains(&this.saturating_sub(*minute)));
        let is_first = !self.minutes.contains(&this);
        if is_first {
            self.minutes.push(this);
        }
        Hit { is_first, suspends: is_first && self.minutes.len() >= SUSPENDING_MINUTES }
    }
}

/// In so many minutes of an hour.
const SUSPENDING_MINUTES: usize = 5;
const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn the_61st_message_within_a_minute_is_one_too_many() {
        let limit = OfAccount::default().messages_per_minute;
        let mut minute = LastMinute::default();
        assert!((0..60).all(|n| minute.take(limit, at(1000 + n / 2))));
        assert!(!minute.take(limit, at(1029)), "Q13");
        assert!(!minute.take(limit, at(1059)), "Q13: what was refused does not count, what was sent still does");
        // Those of the second 1000 count no longer.
        assert_eq!((0..4).map(|_| minute.take(limit, at(1060))).collect::<Vec<_>>(), [true, true, false, false]);
        minute.give_back();
        assert!(minute.take(limit, at(1060)), "one that was none");
        assert!(!minute.is_over(at(1119)) && minute.is_over(at(1120)));
        assert!(minute.times.capacity() <= 256, "a minute keeps no more than the limit");
    }

    #[test]
    fn no_limit_and_a_clock_that_goes_back() {
        let mut minute = LastMinute::default();
        assert!((0..1000).all(|_| minute.take(0, at(0))) && minute.times.is_empty());
        assert!(minute.take(1, at(100_000)) && !minute.take(1, at(100_001)));
        assert!(minute.take(1, at(50)), "nobody waits for a day");
        let mut today = Today::default();
        assert!((0..1000).all(|_| today.take(100, 0, at(0))));
    }

    #[test]
    fn the_2001st_recipient_of_a_day_is_one_too_many() {
        let limit = OfAccount::default().recipients_per_day;
        let mut today = Today::default();
        for n in 0..2000 {
            assert!(today.take(1, limit, at(n)), "{n}");
            if n % 2 == 0 {
                today.accept(1, at(n));
            }
        }
        assert!(!today.take(1, limit, at(86_399)), "Q14: those under way count");
        today.give_back(1);
        assert!(today.take(1, limit, at(86_399)) && !today.take(1, limit, at(86_399)), "one that came to nothing");
        assert!(today.take(1, limit, at(86_400)), "the next day");
        assert_eq!(today.accepted(), 0);
    }

    #[test]
    fn groups_count_as_one_and_one_for_each_member_elsewhere() {
        // Q16: of a group of 5,000 members here none is elsewhere.
        for (external, counts) in [(0, 1), (1, 2), (5000, 5001), (usize::MAX, u32::MAX)] {
            assert_eq!(weight(external), counts, "Q16: {external}");
        }
        let mut today = Today::default();
        assert!(today.take(weight(1000), 2000, at(0)));
        assert!(!today.take(weight(1000), 2000, at(0)), "a group that does not fit counts nothing");
        assert!(today.take(999, 2000, at(0)));
    }

    #[test]
    fn a_day_outlives_the_process() {
        let mut today = Today::default();
        assert!(today.take(300, 2000, at(86_400 * 20_000)));
        let nothing = today.encode();
        today.accept(300, at(86_400 * 20_000));
        let stored = today.encode();
        assert_eq!(stored, [1, 0, 0, 0x4e, 0x20, 0, 0, 1, 0x2c]);
        assert!(stored > nothing);
        let mut read = Today::decode(&stored);
        assert!(!read.take(1701, 2000, at(86_400 * 20_000)) && read.take(1700, 2000, at(86_400 * 20_000)));
        assert!(Today::decode(&stored).take(2000, 2000, at(86_400 * 20_001)), "it is yesterday's");
        for damaged in [&b""[..], b"\x01\0\0\0", b"\x02\0\0\0\x01\0\0\0\x01"] {
            assert_eq!(Today::decode(damaged), Today::default());
        }
        let mut tomorrow = Today::decode(&stored);
        tomorrow.accept(1, at(86_400 * 20_001));
        assert!(tomorrow.encode() > stored, "a later day is the greater");
    }

    #[test]
    fn five_minutes_beyond_the_limit_within_an_hour_suspend() {
        let mut minutes = Minutes::default();
        for n in 0..4 {
            assert_eq!(minutes.exceed(at(n * 600)), Hit { is_first: true, suspends: false }, "{n}");
            assert_eq!(minutes.exceed(at(n * 600 + 1)), Hit { is_first: false, suspends: false }, "{n}: once a minute");
        }
        assert_eq!(minutes.exceed(at(3599)), Hit { is_first: true, suspends: true });
        let mut slow = Minutes::default();
        assert!((0..100).all(|n| !slow.exceed(at(n * 900)).suspends), "four in an hour never do");
        assert!(slow.minutes.len() <= 4);
    }

    #[test]
    fn naming_twice_as_many_recipients_as_allowed_suspends() {
        let mut today = Today::default();
        assert!(today.take(100, 100, at(0)));
        today.accept(100, at(0));
        assert_eq!(today.refuse(1, 100, at(0)), Hit { is_first: true, suspends: false });
        assert_eq!(today.refuse(98, 100, at(0)), Hit { is_first: false, suspends: false });
        assert_eq!(today.refuse(1, 100, at(0)), Hit { is_first: false, suspends: true });
        assert_eq!(today.refuse(1, 100, at(0)), Hit { is_first: false, suspends: false }, "once is enough");
        assert_eq!(today.refuse(99, 100, at(0)), Hit { is_first: false, suspends: true }, "it was not stopped");
        today.forgive();
        assert_eq!(today.refuse(1, 100, at(0)), Hit { is_first: true, suspends: false });
        assert_eq!(today.accepted(), 100);
        assert_eq!(today.refuse(1, 100, at(86_400)), Hit { is_first: true, suspends: false }, "the next day");
    }
}
