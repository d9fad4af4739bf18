//! Whose turn it is: which destination gets the next session.
//!
//! Each destination has a lane for ordinary mail and one for copies to many. A lane that may have something due stands
//! in line, ordinary mail before the others, each in the order in which it came; a destination that gets a session and
//! has more goes to the end. Copies to many never take the last places, of the server nor of a destination, so that
//! ordinary mail finds one. A destination that could not be reached is left alone for a while, and then asked by one
//! session until it answers.
//!
//! A smarthost is a destination too: what goes by it waits in the lanes of the recipients' domains, and has its sessions
//! in common. Which way a lane goes is known once somebody has looked at what it holds.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::schedule::Patience;
use crate::mail::Timestamp;
use crate::store::Lane;

/// How many sessions there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// In total.
    pub total: usize,
    /// With the hosts of one destination.
    pub per_destination: usize,
    /// Messages in a minute to one destination; `None` for as many as it takes.
    pub rate: Option<u32>,
}

/// Who waits and who works.
#[derive(Debug)]
pub struct Agenda {
    places: Places,
    /// How long a destination is left alone that could not be reached: the first time, and at most.
    quiet: (Duration, Duration),
    known: HashMap<Arc<str>, Standing>,
    /// The smarthosts that are in use, or could not be reached.
    smarthosts: HashMap<Arc<str>, Load>,
    /// Lanes by when their first item is due.
    by_time: BTreeSet<(Timestamp, Arc<str>, Lane)>,
    /// Lanes that have something due.
    lines: [VecDeque<Arc<str>>; 2],
    running: [usize; 2],
    /// The minute that is counted, and the messages begun in it.
    begun: (i64, HashMap<Arc<str>, u32>),
}

/// A session that has begun.
#[derive(Debug, PartialEq, Eq)]
pub struct Turn {
    /// The destination …
    pub host: Arc<str>,
    /// … and its lane.
    pub lane: Lane,
    /// The smarthost for which it counts.
    by: Option<Arc<str>>,
}

#[derive(Debug, Default)]
struct Standing {
    lanes: [Wait; 2],
    load: Load,
    /// The smarthost by which its mail goes, as far as is known.
    by: Option<Arc<str>>,
}

/// What a destination or a smarthost bears.
#[derive(Debug, Default)]
struct Load {
    running: [usize; 2],
    /// Not before.
    quiet_until: Option<Timestamp>,
    /// Sessions in a row that could not be had.
    failures: u32,
}

/// How a lane waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Wait {
    /// There is nothing.
    #[default]
    Empty,
    /// The first item is due then.
    Until(Timestamp),
    /// It stands in line.
    InLine,
}

impl Agenda {
    /// With nobody in it. A destination is left alone no longer than its items wait between their attempts.
    pub fn new(places: Places, patience: &Patience) -> Self {
        let quiet = (QUIET.min(patience.first_pause), LONGEST_QUIET.min(patience.longest_pause));
        Self {
            places,
            quiet,
            known: HashMap::new(),
            smarthosts: HashMap::new(),
            by_time: BTreeSet::new(),
            lines: Default::default(),
            running: [0; 2],
            begun: (0, HashMap::new()),
        }
    }

    /// Something is due for a destination, now or then.
    pub fn add(&mut self, host: &str, lane: Lane, due: Timestamp) {
        let Some(at) = index(lane) else { return };
        let host: Arc<str> = match self.known.get_key_value(host) {
            Some((known, _)) => known.clone(),
            None => host.into(),
        };
        let standing = self.known.entry(host.clone()).or_default();
        let due = standing.load.quiet_until.map_or(due, |until| due.max(until));
        match standing.lanes[at] {
            Wait::InLine => return,
            Wait::Until(known) if known <= due => return,
            Wait::Until(known) => {
                self.by_time.remove(&(known, host.clone(), lane));
            }
            Wait::Empty => {}
        }
        standing.lanes[at] = Wait::Until(due);
        self.by_time.insert((due, host, lane));
    }

    /// The next lane for which a session may begin; it counts as begun. The lane is no longer in line: whoever takes it
    /// says with [`Agenda::add`] that it has more.
    pub fn begin(&mut self, now: Timestamp) -> Option<Turn> {
        self.line_up(now);
        let begun = self.first(Lane::Ordinary, now).or_else(|| self.first(Lane::Bulk, now));
        let (host, lane) = begun?;
        let at = index(lane)?;
        let standing = self.known.get_mut(&host)?;
        standing.lanes[at] = Wait::Empty;
        standing.load.running[at] += 1;
        self.running[at] += 1;
        let by = standing.by.clone();
        if let Some(by) = &by {
            self.smarthosts.entry(by.clone()).or_default().running[at] += 1;
        }
        Some(Turn { host, lane, by })
    }

    /// What the turn has found goes by this smarthost, or by none. False if there is no place for it; then the lane waits
    /// for one the next time.
    pub fn goes_by(&mut self, turn: &mut Turn, smarthost: Option<&str>, now: Timestamp) -> bool {
        if turn.by.as_deref() == smarthost {
            return true;
        }
        let by: Option<Arc<str>> = smarthost.map(Arc::from);
        if let Some(standing) = self.known.get_mut(&turn.host) {
            standing.by = by.clone();
        }
        let (most, is_bulk) = (self.places.per_destination, turn.lane == Lane::Bulk);
        let has_place = |load: &Load| load.has_place(most, is_bulk) && !load.is_quiet(now);
        if !by.as_ref().and_then(|by| self.smarthosts.get(by)).is_none_or(has_place) {
            return false;
        }
        self.leave(turn);
        if let (Some(by), Some(at)) = (&by, index(turn.lane)) {
            self.smarthosts.entry(by.clone()).or_default().running[at] += 1;
        }
        turn.by = by;
        true
    }

    /// A session has ended.
    pub fn end(&mut self, turn: &mut Turn) {
        let Some(at) = index(turn.lane) else { return };
        self.running[at] = self.running[at].saturating_sub(1);
        self.leave(turn);
        if let Some(standing) = self.known.get_mut(&turn.host) {
            standing.load.running[at] = standing.load.running[at].saturating_sub(1);
            if standing.is_idle() {
                self.known.remove(&turn.host);
            }
        }
    }

    /// The turn counts for no smarthost any more.
    fn leave(&mut self, turn: &mut Turn) {
        let (Some(by), Some(at)) = (turn.by.take(), index(turn.lane)) else { return };
        if let Some(load) = self.smarthosts.get_mut(&by) {
            load.running[at] = load.running[at].saturating_sub(1);
            if load.running == [0; 2] && load.failures == 0 {
                self.smarthosts.remove(&by);
            }
        }
    }

    /// A host of the destination has answered, or somebody wants it tried although none has.
    pub fn reached(&mut self, host: &str) {
        let Some(standing) = self.known.get_mut(host) else { return };
        standing.load.reached();
        if let Some(load) = standing.by.as_ref().and_then(|by| self.smarthosts.get_mut(by)) {
            load.reached();
        }
    }

    /// No host of the destination could be reached: it is left alone, longer each time. So is its smarthost.
    pub fn unreached(&mut self, host: &str, now: Timestamp) {
        let quiet = self.quiet;
        let Some((name, _)) = self.known.get_key_value(host) else { return };
        let name = name.clone();
        let Some(standing) = self.known.get_mut(host) else { return };
        if let Some(load) = standing.by.as_ref().and_then(|by| self.smarthosts.get_mut(by)) {
            load.unreached(quiet, now);
        }
        let Some(until) = standing.load.unreached(quiet, now) else { return };
        for lane in [Lane::Ordinary, Lane::Bulk] {
            let at = lane as usize;
            match standing.lanes[at] {
                Wait::Empty => continue,
                Wait::InLine => self.lines[at].retain(|waiting| *waiting != name),
                Wait::Until(due) if due >= until => continue,
                Wait::Until(due) => {
                    self.by_time.remove(&(due, name.clone(), lane));
                }
            }
            standing.lanes[at] = Wait::Until(until);
            self.by_time.insert((until, name.clone(), lane));
        }
    }

    /// How many messages of a turn may begin now, of at most `wanted`; they count as begun for its smarthost, or else for
    /// its destination. When there are none, when there will be.
    pub fn allow(&mut self, turn: &Turn, wanted: u32, now: Timestamp) -> Result<u32, Timestamp> {
        let Some(rate) = self.places.rate else { return Ok(wanted) };
        let minute = now.millis().div_euclid(MINUTE);
        if self.begun.0 != minute {
            self.begun = (minute, HashMap::new());
        }
        let begun = self.begun.1.entry(turn.by.as_ref().unwrap_or(&turn.host).clone()).or_default();
        let allowed = rate.saturating_sub(*begun).min(wanted);
        *begun = begun.saturating_add(allowed);
        if allowed > 0 {
            Ok(allowed)
        } else {
            Err(Timestamp::from_millis(minute.saturating_add(1).saturating_mul(MINUTE)))
        }
    }

    /// When the next lane that does not stand in line is due.
    pub fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(due, ..)| *due)
    }

    /// Puts those in line whose time has come.
    fn line_up(&mut self, now: Timestamp) {
        while let Some((due, ..)) = self.by_time.first()
            && *due <= now
            && let Some((_, host, lane)) = self.by_time.pop_first()
        {
            if let (Some(standing), Some(at)) = (self.known.get_mut(&host), index(lane)) {
                standing.lanes[at] = Wait::InLine;
                self.lines[at].push_back(host);
            }
        }
    }

    /// The first in a line for whom there is a place; those before it go behind.
    fn first(&mut self, lane: Lane, now: Timestamp) -> Option<(Arc<str>, Lane)> {
        let at = index(lane)?;
        let is_bulk = lane == Lane::Bulk;
        let total = if is_bulk { most_for_bulk(self.places.total) } else { self.places.total };
        let taken = if is_bulk { self.running[at] } else { self.running.iter().sum() };
        if taken >= total || self.running.iter().sum::<usize>() >= self.places.total {
            return None;
        }
        for _ in 0..self.lines[at].len() {
            let host = self.lines[at].pop_front()?;
            let Some(standing) = self.known.get(&host) else { continue };
            let most = self.places.per_destination;
            let has_way = |load: &Load| load.has_place(most, is_bulk) && !load.is_quiet(now);
            let smarthost = standing.by.as_ref().and_then(|by| self.smarthosts.get(by));
            if standing.load.has_place(most, is_bulk) && smarthost.is_none_or(has_way) {
                return Some((host, lane));
            }
            self.lines[at].push_back(host);
        }
        None
    }
}

impl Standing {
    fn is_idle(&self) -> bool {
        self.lanes == [Wait::Empty; 2] && self.load.running == [0; 2]
    }
}

impl Load {
    fn has_place(&self, most: usize, is_bulk: bool) -> bool {
        let running: usize = self.running.iter().sum();
        // One asks whether the destination answers again.
        let most = if self.failures > 0 { 1 } else { most };
        running < most && (!is_bulk || self.running[Lane::Bulk as usize] < most_for_bulk(most))
    }

    fn is_quiet(&self, now: Timestamp) -> bool {
        self.quiet_until.is_some_and(|until| until > now)
    }

    fn reached(&mut self) {
        (self.failures, self.quiet_until) = (0, None);
    }

    /// Until when it is left alone, if that is news: sessions that failed beside each other are one failure.
    fn unreached(&mut self, (first, longest): (Duration, Duration), now: Timestamp) -> Option<Timestamp> {
        if self.is_quiet(now) {
            return None;
        }
        self.failures = self.failures.saturating_add(1);
        let factor = 1u32.checked_shl(self.failures - 1).unwrap_or(u32::MAX);
        let until = now.after(first.saturating_mul(factor).min(longest));
        self.quiet_until = Some(until);
        Some(until)
    }
}

/// Of so many places at least one is kept for ordinary mail, unless there is only one.
fn most_for_bulk(places: usize) -> usize {
    (places - places.div_ceil(4)).max(1).min(places)
}

fn index(lane: Lane) -> Option<usize> {
    match lane {
        Lane::Ordinary | Lane::Bulk => Some(lane as usize),
        Lane::Held => None,
    }
}

const MINUTE: i64 = 60_000;
/// How long a destination is left alone that could not be reached, the first time.
const QUIET: Duration = Duration::from_mins(1);
const LONGEST_QUIET: Duration = Duration::from_mins(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn agenda(total: usize, per_destination: usize) -> Agenda {
        Agenda::new(Places { total, per_destination, rate: None }, &Patience::default())
    }

    fn begun(agenda: &mut Agenda, now: i64) -> Vec<String> {
        std::iter::from_fn(|| agenda.begin(at(now)).map(|turn| format!("{} {:?}", turn.host, turn.lane))).collect()
    }

    fn turn(host: &str, lane: Lane) -> Turn {
        Turn { host: host.into(), lane, by: None }
    }

    fn end(agenda: &mut Agenda, host: &str, lane: Lane) {
        agenda.end(&mut turn(host, lane));
    }

    #[test]
    fn a_lane_begins_when_it_is_due_and_once_for_each_time_it_is_added() {
        let mut agenda = agenda(10, 2);
        agenda.add("a.test", Lane::Ordinary, at(5));
        agenda.add("a.test", Lane::Ordinary, at(9));
        assert_eq!(begun(&mut agenda, 4), [""; 0]);
        assert_eq!(agenda.next(), Some(at(5)));
        assert_eq!(begun(&mut agenda, 5), ["a.test Ordinary"]);
        agenda.add("a.test", Lane::Ordinary, at(5));
        agenda.add("a.test", Lane::Ordinary, at(5));
        assert_eq!(begun(&mut agenda, 5), ["a.test Ordinary"]);
        agenda.add("a.test", Lane::Ordinary, at(5));
        assert_eq!(begun(&mut agenda, 5), [""; 0], "both places are taken");
        end(&mut agenda, "a.test", Lane::Ordinary);
        assert_eq!(begun(&mut agenda, 5), ["a.test Ordinary"]);
        end(&mut agenda, "a.test", Lane::Ordinary);
        end(&mut agenda, "a.test", Lane::Ordinary);
        assert!(agenda.known.is_empty());
    }

    #[test]
    fn destinations_take_turns_and_ordinary_mail_goes_first() {
        let mut agenda = agenda(3, 2);
        for host in ["a.test", "b.test", "c.test"] {
            agenda.add(host, Lane::Bulk, at(0));
        }
        agenda.add("d.test", Lane::Ordinary, at(0));
        assert_eq!(begun(&mut agenda, 0), ["d.test Ordinary", "a.test Bulk", "b.test Bulk"]);
        end(&mut agenda, "d.test", Lane::Ordinary);
        assert_eq!(begun(&mut agenda, 0), [""; 0], "the last place is not for bulk");
        agenda.add("a.test", Lane::Bulk, at(0));
        end(&mut agenda, "a.test", Lane::Bulk);
        assert_eq!(begun(&mut agenda, 0), ["c.test Bulk"], "who had a turn goes behind");
        agenda.add("a.test", Lane::Ordinary, at(0));
        assert_eq!(begun(&mut agenda, 0), ["a.test Ordinary"]);
    }

    #[test]
    fn bulk_leaves_a_place_at_its_destination() {
        let mut agenda = agenda(10, 2);
        agenda.add("a.test", Lane::Bulk, at(0));
        assert_eq!(begun(&mut agenda, 0), ["a.test Bulk"]);
        agenda.add("a.test", Lane::Bulk, at(0));
        assert_eq!(begun(&mut agenda, 0), [""; 0]);
        agenda.add("a.test", Lane::Ordinary, at(0));
        assert_eq!(begun(&mut agenda, 0), ["a.test Ordinary"]);
    }

    #[test]
    fn a_destination_out_of_reach_is_left_alone_and_then_asked_by_one() {
        let mut agenda = agenda(10, 2);
        agenda.add("a.test", Lane::Ordinary, at(0));
        assert_eq!(begun(&mut agenda, 0).len(), 1);
        agenda.add("a.test", Lane::Ordinary, at(0));
        agenda.unreached("a.test", at(0));
        agenda.unreached("a.test", at(0));
        end(&mut agenda, "a.test", Lane::Ordinary);
        agenda.add("a.test", Lane::Ordinary, at(1));
        assert_eq!(begun(&mut agenda, 59), [""; 0]);
        assert_eq!(begun(&mut agenda, 60).len(), 1);
        agenda.add("a.test", Lane::Ordinary, at(60));
        assert_eq!(begun(&mut agenda, 60), [""; 0], "one asks");
        agenda.unreached("a.test", at(60));
        end(&mut agenda, "a.test", Lane::Ordinary);
        assert_eq!(begun(&mut agenda, 179), [""; 0], "longer each time");
        assert_eq!(begun(&mut agenda, 180).len(), 1);
        agenda.reached("a.test");
        agenda.add("a.test", Lane::Ordinary, at(180));
        assert_eq!(begun(&mut agenda, 180).len(), 1, "it answers: two may go");
    }

    #[test]
    fn a_rate_is_kept_each_minute() {
        let mut agenda = Agenda::new(Places { total: 10, per_destination: 2, rate: Some(5) }, &Patience::default());
        agenda.add("a.test", Lane::Ordinary, at(0));
        agenda.begin(at(0));
        assert_eq!(agenda.allow(&turn("a.test", Lane::Ordinary), 3, at(0)), Ok(3));
        assert_eq!(agenda.allow(&turn("a.test", Lane::Ordinary), 3, at(1)), Ok(2));
        assert_eq!(agenda.allow(&turn("a.test", Lane::Ordinary), 3, at(2)), Err(at(60)));
        assert_eq!(agenda.allow(&turn("a.test", Lane::Ordinary), 3, at(60)), Ok(3));
    }

    #[test]
    fn a_smarthost_has_its_sessions_for_all_domains_together() {
        let mut agenda = agenda(10, 2);
        let domains = ["a.test", "b.test", "c.test", "d.test"];
        domains.iter().for_each(|host| agenda.add(host, Lane::Ordinary, at(0)));
        // The first time nobody knows the way.
        let mut turns: Vec<Turn> = std::iter::from_fn(|| agenda.begin(at(0))).collect();
        let by = Some("smart.test:25");
        let found: Vec<bool> = turns.iter_mut().map(|turn| agenda.goes_by(turn, by, at(0))).collect();
        assert_eq!(found, [true, true, false, false]);
        for turn in &mut turns[2..] {
            agenda.add(&turn.host, turn.lane, at(0));
            agenda.end(turn);
        }
        assert_eq!(begun(&mut agenda, 0), [""; 0], "it is known now");
        agenda.end(&mut turns[0]);
        let mut third = agenda.begin(at(0)).unwrap();
        assert_eq!(&*third.host, "c.test");
        assert!(agenda.goes_by(&mut third, by, at(0)));
        // It cannot be reached: nobody else asks it, and then one.
        agenda.unreached("c.test", at(0));
        agenda.end(&mut third);
        agenda.end(&mut turns[1]);
        assert_eq!(begun(&mut agenda, 59), [""; 0]);
        let mut fourth = agenda.begin(at(60)).unwrap();
        assert_eq!(&*fourth.host, "d.test");
        agenda.add("b.test", Lane::Ordinary, at(60));
        let mut other = agenda.begin(at(60)).unwrap();
        assert!(!agenda.goes_by(&mut other, by, at(60)), "one asks");
        agenda.end(&mut other);
        agenda.reached("d.test");
        agenda.end(&mut fourth);
        assert!(agenda.known.is_empty() && agenda.smarthosts.is_empty());
        // What goes another way does not wait for it.
        agenda.add("a.test", Lane::Ordinary, at(60));
        let mut turn = agenda.begin(at(60)).unwrap();
        assert!(agenda.goes_by(&mut turn, by, at(60)) && agenda.goes_by(&mut turn, None, at(60)));
        assert!(agenda.smarthosts.is_empty());
    }
}
