//! What one session believes about its selected mailbox: which message has which number, what the client has not been
//! told yet. Pure: no store, no socket (RFC 3501 §2.3.1.2, §5.2, §7.4.1; RFC 2180 §4).
//!
//! A message that another session expunged keeps its number here until the client is told; in between it is *gone*:
//! it counts, but nothing can be read of it. Flags are not kept: they are read anew from the store when they change.

use crate::mail::{Keyword, ModSeq, Uid, UidSet};
use crate::proto::imap::SequenceSet;
use crate::store::{Changes, Entry, Mailbox};

/// Whether EXPUNGE may be sent now (RFC 3501 §7.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expunges {
    /// It may.
    Allowed,
    /// No command is in progress, or FETCH, STORE or SEARCH is: the numbers must not move.
    Held,
}

/// What the client has to be told, in the order given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Update {
    /// `* FLAGS` with the mailbox's keywords: a new one came up (RFC 3501 §7.2.6).
    Keywords(Vec<Keyword>),
    /// `* n FETCH (FLAGS ...)`
    Flags {
        /// The message's number when this is sent.
        number: u32,
        /// UID and flags.
        entry: Entry,
    },
    /// `* n EXPUNGE`
    Expunge(u32),
    /// `* n EXISTS`
    Exists(u32),
    /// `* n RECENT`
    Recent(u32),
}

/// Changes of flags that this session made, and whose outcome its client knows already.
#[derive(Clone, Default, Debug)]
pub struct Known {
    entries: Vec<(Uid, ModSeq)>,
}

impl Known {
    /// The client has been told of this state of the message, or asked not to be.
    pub fn add(&mut self, entry: &Entry) {
        self.entries.push((entry.uid, entry.modseq));
    }

    fn sorted(&self) -> Vec<(Uid, ModSeq)> {
        let mut sorted = self.entries.clone();
        sorted.sort_unstable();
        sorted
    }
}

/// The session's picture of its mailbox.
#[derive(Clone, Debug)]
pub struct View {
    /// The messages, in the client's numbering.
    uids: UidSet,
    /// Those of `uids` that no longer exist.
    gone: UidSet,
    /// `\Recent` messages of this session.
    recent: UidSet,
    /// UIDs below this one have been seen.
    uid_next: Uid,
    /// Changes up to this one have been seen.
    modseq: ModSeq,
    /// What the client was told last.
    told: Told,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    exists: u32,
    recent: u32,
    keywords: usize,
}

impl View {
    /// The mailbox as SELECT or EXAMINE shows it; `recent` are its recent messages for this session.
    pub fn open(uids: UidSet, mailbox: &Mailbox, recent: UidSet) -> Self {
        let recent = recent.intersection(&uids);
        let told = Told { exists: count(&uids), recent: count(&recent), keywords: mailbox.keywords.len() };
        Self { uids, gone: UidSet::new(), recent, uid_next: mailbox.uid_next, modseq: mailbox.highest_modseq, told }
    }

    /// EXISTS as the client knows it after the next announcement.
    pub fn exists(&self) -> u32 {
        count(&self.uids)
    }

    /// RECENT of this session.
    pub fn recent(&self) -> u32 {
        count(&self.recent)
    }

    /// True if the message is `\Recent` in this session.
    pub fn is_recent(&self, uid: Uid) -> bool {
        self.recent.contains(uid)
    }

    /// The recent messages.
    pub fn recent_uids(&self) -> &UidSet {
        &self.recent
    }

    /// All messages the client knows, gone ones among them.
    pub fn uids(&self) -> &UidSet {
        &self.uids
    }

    /// The UID from which on messages are unknown here.
    pub fn uid_next(&self) -> Uid {
        self.uid_next
    }

    /// The last change seen.
    pub fn modseq(&self) -> ModSeq {
        self.modseq
    }

    /// The message's number; `None` if the client does not know it.
    pub fn number(&self, uid: Uid) -> Option<u32> {
        self.uids.contains(uid).then(|| self.uids.rank(uid)).and_then(|r| u32::try_from(r).ok()?.checked_add(1))
    }

    /// The messages of a set of numbers. `None` if a number is larger than EXISTS (in `n:*` the `*` saves it), or the
    /// mailbox is empty (RFC 3501 §9 `seq-number`).
    pub fn by_numbers(&self, set: &SequenceSet) -> Option<UidSet> {
        let exists = self.exists();
        if exists == 0 || set.exceeds(exists) { None } else { Some(self.numbered(set)) }
    }

    /// The messages of a set of numbers; numbers without a message are passed over, as SEARCH does.
    pub fn numbered(&self, set: &SequenceSet) -> UidSet {
        let mut found = UidSet::new();
        let mut before = 0u32;
        let mut ranges = self.uids.ranges();
        let mut current = ranges.next();
        for (from, to) in set.numbers(self.exists()) {
            // Both lists ascend: one pass over the mailbox for all of them.
            while let Some((first, last)) = current {
                let count = last.number().saturating_sub(first.number()).saturating_add(1);
                let end = before.saturating_add(count);
                let uid = |number: u32| Uid::new(first.number().saturating_add(number.saturating_sub(before)) - 1);
                if from <= end
                    && let (Some(lo), Some(hi)) = (uid(from.max(before.saturating_add(1))), uid(to.min(end)))
                {
                    found.insert_range(lo, hi);
                }
                if to <= end {
                    break;
                }
                before = end;
                current = ranges.next();
            }
        }
        found
    }

    /// The messages of a set of UIDs; UIDs that do not exist are passed over (RFC 3501 §6.4.8). `*` is the largest
    /// UID, so that `n:*` always has the last message.
    pub fn by_uids(&self, set: &SequenceSet) -> UidSet {
        set.uids(self.uids.last()).intersection(&self.uids)
    }

    /// Takes in what happened in the mailbox. `claimed` is the UID from which on this session has claimed the recent
    /// messages. Nothing is said of states in `known`. Gives what may be said now; the rest is kept.
    pub fn learn(&mut self, changes: Changes, claimed: Option<Uid>, known: &Known, expunges: Expunges) -> Vec<Update> {
        let mut updates = Vec::new();
        let Some(mailbox) = changes.mailbox else { return updates };
        self.gone = self.gone.union(&changes.expunged.intersection(&self.uids));
        self.uids = self.uids.union(&changes.arrived);
        self.uid_next = self.uid_next.max(mailbox.uid_next);
        self.modseq = self.modseq.max(mailbox.highest_modseq);
        if let Some((first, last)) = claimed.zip(mailbox.first_recent.number().checked_sub(1).and_then(Uid::new)) {
            let mut range = UidSet::new();
            range.insert_range(first, last);
            self.recent = self.recent.union(&range.intersection(&self.uids));
        }
        if mailbox.keywords.len() > self.told.keywords {
            self.told.keywords = mailbox.keywords.len();
            updates.push(Update::Keywords(mailbox.keywords));
        }
        let known = known.sorted();
        let mut numbering = numbers(&self.uids);
        for entry in changes.updated {
            let news = !self.gone.contains(entry.uid) && known.binary_search(&(entry.uid, entry.modseq)).is_err();
            if let Some(number) = numbering.of(entry.uid).filter(|_| news) {
                updates.push(Update::Flags { number, entry });
            }
        }
        drop(numbering);
        updates.extend(self.announce(expunges));
        updates
    }

    /// What is left to say of numbers: EXPUNGE if allowed, then EXISTS and RECENT if they differ from what the client
    /// believes.
    pub fn announce(&mut self, expunges: Expunges) -> Vec<Update> {
        let mut updates = Vec::new();
        if expunges == Expunges::Allowed && !self.gone.is_empty() {
            let mut numbering = numbers(&self.uids);
            for (told, uid) in (0u32..).zip(self.gone.iter()) {
                // Each EXPUNGE moves the numbers behind it down by one (RFC 3501 §7.4.1).
                if let Some(number) = numbering.of(uid).and_then(|n| n.checked_sub(told)) {
                    updates.push(Update::Expunge(number));
                    self.told.exists = self.told.exists.saturating_sub(1);
                }
            }
            drop(numbering);
            self.uids = self.uids.difference(&self.gone);
            self.recent = self.recent.difference(&self.gone);
            self.gone = UidSet::new();
        }
        if self.told.exists != self.exists() {
            updates.push(Update::Exists(self.exists()));
        }
        if self.told.recent != self.recent() {
            updates.push(Update::Recent(self.recent()));
        }
        self.told.exists = self.exists();
        self.told.recent = self.recent();
        updates
    }
}

/// Message sequence numbers, in one pass over ascending UIDs.
#[derive(Debug)]
pub struct Numbers<I> {
    ranges: I,
    current: Option<(Uid, Uid)>,
    before: u32,
}

/// The numbers of the messages in `uids`.
pub fn numbers(uids: &UidSet) -> Numbers<impl Iterator<Item = (Uid, Uid)> + '_> {
    let mut ranges = uids.ranges();
    let current = ranges.next();
    Numbers { ranges, current, before: 0 }
}

impl<I: Iterator<Item = (Uid, Uid)>> Numbers<I> {
    /// The number of `uid`, which is larger than the one asked for before; `None` if it is not in the set.
    pub fn of(&mut self, uid: Uid) -> Option<u32> {
        while let Some((first, last)) = self.current {
            if uid <= last {
                let place = uid.number().checked_sub(first.number())?;
                return self.before.checked_add(place)?.checked_add(1);
            }
            self.before = self.before.saturating_add(last.number().saturating_sub(first.number()).saturating_add(1));
            self.current = self.ranges.next();
        }
        None
    }
}

fn count(uids: &UidSet) -> u32 {
    u32::try_from(uids.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::mail::{BlobId, Flags, MailboxId, SystemFlag, SystemFlags, Timestamp, UidValidity};
    use crate::store::{Counts, Origin};

    fn uid(n: u32) -> Uid {
        Uid::new(n).unwrap()
    }

    fn set(uids: &[u32]) -> UidSet {
        uids.iter().map(|n| uid(*n)).collect()
    }

    /// A mailbox with a change log, as the store has it.
    #[derive(Default)]
    struct Model {
        messages: BTreeMap<u32, (SystemFlags, u64)>,
        expunged: Vec<(u32, u64)>,
        last_uid: u32,
        modseq: u64,
        claimed: u32,
    }

    impl Model {
        fn mailbox(&self) -> Mailbox {
            Mailbox {
                id: MailboxId::INBOX,
                uid_validity: UidValidity::MIN,
                uid_next: uid(self.last_uid + 1),
                highest_modseq: ModSeq::new(self.modseq + 1).unwrap(),
                first_recent: uid(self.claimed + 1),
                counts: Counts::default(),
                keywords: Vec::new(),
            }
        }

        fn uids(&self) -> UidSet {
            self.messages.keys().map(|n| uid(*n)).collect()
        }

        fn entry(&self, n: u32) -> Entry {
            let (system, modseq) = self.messages[&n];
            Entry {
                uid: uid(n),
                blob: BlobId::from_octets([0; 12]),
                flags: Flags { system, keywords: Vec::new() },
                modseq: ModSeq::new(modseq + 1).unwrap(),
                internal_date: Timestamp::from_millis(0),
                size: 1,
                origin: Origin::Ordinary,
                opened: false,
            }
        }

        fn changes(&self, since: ModSeq, uid_next: Uid) -> Changes {
            let since = since.number() - 1;
            let below = |n: u32| n < uid_next.number();
            let changed = |n: &&u32| below(**n) && self.messages[*n].1 > since;
            Changes {
                expunged: self.expunged.iter().filter(|e| e.1 > since).map(|e| uid(e.0)).collect(),
                updated: self.messages.keys().filter(changed).map(|n| self.entry(*n)).collect(),
                arrived: self.messages.keys().filter(|n| !below(**n)).map(|n| uid(*n)).collect(),
                mailbox: Some(self.mailbox()),
            }
        }

        fn claim(&mut self) -> Uid {
            let first = uid(self.claimed + 1);
            self.claimed = self.last_uid;
            first
        }

        fn arrive(&mut self) {
            self.last_uid += 1;
            self.modseq += 1;
            self.messages.insert(self.last_uid, (SystemFlags::default(), self.modseq));
        }

        fn expunge(&mut self, nth: usize) {
            let Some(n) = self.messages.keys().nth(nth).copied() else { return };
            self.modseq += 1;
            self.messages.remove(&n);
            self.expunged.push((n, self.modseq));
        }

        fn flag(&mut self, nth: usize, flag: SystemFlag) {
            let Some(n) = self.messages.keys().nth(nth).copied() else { return };
            self.modseq += 1;
            self.messages.insert(n, (SystemFlags::default().with(flag), self.modseq));
        }
    }

    /// A client that knows nothing but what it was sent: flags by number, `None` where it would have to ask.
    #[derive(Default)]
    struct Client {
        messages: Vec<Option<SystemFlags>>,
        recent: u32,
    }

    impl Client {
        fn hear(&mut self, updates: Vec<Update>, held: bool) {
            for update in updates {
                match update {
                    Update::Keywords(_) => {}
                    Update::Flags { number, entry } => {
                        self.messages[number as usize - 1] = Some(entry.flags.system);
                    }
                    Update::Expunge(number) => {
                        assert!(!held, "EXPUNGE while numbers must not move");
                        self.messages.remove(number as usize - 1);
                    }
                    Update::Exists(n) => {
                        assert!(n as usize >= self.messages.len(), "EXISTS must not shrink the mailbox");
                        self.messages.resize(n as usize, None);
                    }
                    Update::Recent(n) => self.recent = n,
                }
            }
            assert!(self.recent as usize <= self.messages.len(), "more RECENT than EXISTS");
        }

        /// Asks for the flags it was never told, as a client does for new messages.
        fn fetch(&mut self, view: &View, model: &Model) {
            for (i, flags) in self.messages.iter_mut().enumerate().filter(|(_, f)| f.is_none()) {
                let n = view.uids().nth(i).unwrap().number();
                *flags = model.messages.get(&n).map(|m| m.0);
            }
        }
    }

    #[derive(Clone, Debug)]
    enum Act {
        Arrive,
        Expunge(usize),
        Flag(usize, bool),
        /// The session speaks to its client.
        Learn {
            held: bool,
        },
        /// Another session claims what is recent.
        OtherClaims,
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            Just(Act::Arrive),
            (0usize..8).prop_map(Act::Expunge),
            (0usize..8, any::<bool>()).prop_map(|(n, b)| Act::Flag(n, b)),
            any::<bool>().prop_map(|held| Act::Learn { held }),
            Just(Act::OtherClaims),
        ]
    }

    proptest! {
        #[test]
        fn a_client_that_follows_our_updates_ends_with_our_mailbox(
            before in proptest::collection::vec(act(), 0..12),
            after in proptest::collection::vec(act(), 0..60),
        ) {
            let mut model = Model::default();
            let run = |model: &mut Model, act: &Act| match act {
                Act::Arrive => model.arrive(),
                Act::Expunge(n) => model.expunge(*n),
                Act::Flag(n, seen) => model.flag(*n, if *seen { SystemFlag::Seen } else { SystemFlag::Flagged }),
                Act::OtherClaims => drop(model.claim()),
                Act::Learn { .. } => {}
            };
            before.iter().for_each(|a| run(&mut model, a));

            let mut recent = UidSet::new();
            let first = model.claim();
            if let Some(last) = Uid::new(model.last_uid) {
                recent.insert_range(first, last);
            }
            let mut view = View::open(model.uids(), &model.mailbox(), recent);
            let mut client = Client { messages: vec![None; view.exists() as usize], recent: view.recent() };
            client.fetch(&view, &model);

            for a in after.iter().chain([&Act::Learn { held: false }]) {
                run(&mut model, a);
                let Act::Learn { held } = a else { continue };
                let claimed = model.claim();
                let changes = model.changes(view.modseq(), view.uid_next());
                let expunges = if *held { Expunges::Held } else { Expunges::Allowed };
                client.hear(view.learn(changes, Some(claimed), &Known::default(), expunges), *held);
                prop_assert_eq!(client.messages.len(), view.exists() as usize);
                prop_assert_eq!(client.recent, view.recent());
                client.fetch(&view, &model);
            }
            let mailbox: Vec<_> = model.messages.values().map(|m| Some(m.0)).collect();
            prop_assert_eq!(client.messages, mailbox);
            prop_assert_eq!(view.uids(), &model.uids());
            prop_assert_eq!(view.announce(Expunges::Allowed), vec![]);
        }

        #[test]
        fn numbers_in_one_pass_agree_with_rank(uids in proptest::collection::btree_set(1u32..80, 0..40)) {
            let set: UidSet = uids.iter().filter_map(|n| Uid::new(*n)).collect();
            let mut numbers = numbers(&set);
            for n in 1..80 {
                let want = uids.contains(&n).then(|| set.rank(uid(n)) as u32 + 1);
                prop_assert_eq!(numbers.of(uid(n)), want);
            }
        }
    }

    fn view(uids: &[u32]) -> View {
        let mut model = Model { last_uid: *uids.last().unwrap_or(&0), ..Model::default() };
        for n in uids {
            model.messages.insert(*n, (SystemFlags::default(), 0));
        }
        View::open(model.uids(), &model.mailbox(), UidSet::new())
    }

    #[test]
    fn sets_of_numbers_and_of_uids() {
        let view = view(&[2, 3, 5, 9]);
        for (case, text, numbers, uids) in [
            ("one", "3", Some(set(&[5])), set(&[3])),
            ("range", "2:3", Some(set(&[3, 5])), set(&[2, 3])),
            ("descending", "3:2", Some(set(&[3, 5])), set(&[2, 3])),
            ("unsorted", "4,1", Some(set(&[2, 9])), set(&[])),
            ("star", "*", Some(set(&[9])), set(&[9])),
            ("to star", "2:*", Some(set(&[3, 5, 9])), set(&[2, 3, 5, 9])),
            ("behind the end to star", "20:*", Some(set(&[9])), set(&[9])),
            ("too large", "5", None, set(&[5])),
            ("largest", "1:4294967295", None, set(&[2, 3, 5, 9])),
        ] {
            let text = SequenceSet::parse(text.as_bytes()).unwrap();
            assert_eq!(view.by_numbers(&text), numbers, "{case}: numbers");
            assert_eq!(view.by_uids(&text), uids, "{case}: UIDs");
        }
        let empty = self::view(&[]);
        let all = SequenceSet::parse(b"1:*").unwrap();
        assert_eq!(empty.by_numbers(&all), None, "RFC 3501 §9: * in an empty mailbox");
        assert_eq!(empty.by_uids(&all), set(&[]));
    }

    #[test]
    fn what_the_client_knows_is_not_repeated() {
        let mut model = Model::default();
        model.arrive();
        model.arrive();
        let mut view = View::open(model.uids(), &model.mailbox(), UidSet::new());
        model.flag(0, SystemFlag::Seen);
        let mut known = Known::default();
        known.add(&model.entry(1));
        model.flag(1, SystemFlag::Seen);
        let changes = model.changes(view.modseq(), view.uid_next());
        let told = view.learn(changes, None, &known, Expunges::Allowed);
        assert_eq!(told, [Update::Flags { number: 2, entry: model.entry(2) }]);
        // Another session changes the first message after all.
        model.flag(0, SystemFlag::Flagged);
        let changes = model.changes(view.modseq(), view.uid_next());
        let told = view.learn(changes, None, &known, Expunges::Allowed);
        assert_eq!(told, [Update::Flags { number: 1, entry: model.entry(1) }]);
    }
}
