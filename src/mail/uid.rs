//! UIDs, UIDVALIDITY, MODSEQ (RFC 3501 §2.3.1.1, RFC 7162 §3.1) and compact sets of UIDs.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty, $plain:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name($inner);

        impl $name {
            /// The smallest value, 1.
            pub const MIN: $name = $name(<$inner>::MIN);
            /// The largest value.
            pub const MAX: $name = $name(<$inner>::MAX);

            /// `None` for 0.
            pub const fn new(n: $plain) -> Option<Self> {
                match <$inner>::new(n) {
                    Some(n) => Some(Self(n)),
                    None => None,
                }
            }

            /// The number, at least 1.
            pub const fn number(self) -> $plain {
                self.0.get()
            }

            /// The next larger value; `None` at the end of the range.
            pub const fn next(self) -> Option<Self> {
                match self.0.checked_add(1) {
                    Some(n) => Some(Self(n)),
                    None => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A message's unique identifier in its mailbox; only grows (RFC 3501 §2.3.1.1).
    Uid(NonZeroU32, u32)
}
number! {
    /// Unique identifier validity value of a mailbox.
    UidValidity(NonZeroU32, u32)
}
number! {
    /// Modification sequence: grows with every change of a mailbox (RFC 7162 §3.1).
    ModSeq(NonZeroU64, u64)
}

/// A set of UIDs as sorted, disjoint, non-adjacent inclusive ranges: a few octets for a mailbox whatever its size.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct UidSet {
    ranges: Vec<(u32, u32)>,
}

impl UidSet {
    /// The empty set.
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// Adds one UID; at the end it is O(1), elsewhere O(ranges).
    pub fn insert(&mut self, uid: Uid) {
        self.insert_range(uid, uid);
    }

    /// Adds `first..=last`; nothing if `first > last`.
    pub fn insert_range(&mut self, first: Uid, last: Uid) {
        let (mut lo, mut hi) = (first.number(), last.number());
        if lo > hi {
            return;
        }
        let from = self.ranges.partition_point(|r| r.1 < lo.saturating_sub(1));
        let to = self.ranges.partition_point(|r| r.0 <= hi.saturating_add(1));
        if from < to {
            lo = lo.min(self.ranges[from].0);
            hi = hi.max(self.ranges[to - 1].1);
        }
        self.ranges.splice(from..to, [(lo, hi)]);
    }

    /// Takes one UID out; false if it was not in.
    pub fn remove(&mut self, uid: Uid) -> bool {
        let n = uid.number();
        let i = self.ranges.partition_point(|r| r.1 < n);
        let Some(&(lo, hi)) = self.ranges.get(i) else { return false };
        if n < lo {
            return false;
        }
        match (lo == n, hi == n) {
            (true, true) => drop(self.ranges.remove(i)),
            (true, false) => self.ranges[i].0 = n + 1,
            (false, true) => self.ranges[i].1 = n - 1,
            (false, false) => {
                self.ranges[i].1 = n - 1;
                self.ranges.insert(i + 1, (n + 1, hi));
            }
        }
        true
    }

    /// True if `uid` is in the set.
    pub fn contains(&self, uid: Uid) -> bool {
        let n = uid.number();
        let i = self.ranges.partition_point(|r| r.1 < n);
        self.ranges.get(i).is_some_and(|r| r.0 <= n)
    }

    /// How many UIDs are in the set.
    pub fn len(&self) -> usize {
        self.ranges.iter().map(|r| (r.1 - r.0) as usize + 1).sum()
    }

    /// True if nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The UIDs, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Uid> + '_ {
        self.ranges.iter().flat_map(|r| r.0..=r.1).filter_map(Uid::new)
    }

    /// The ranges, ascending, inclusive.
    pub fn ranges(&self) -> impl DoubleEndedIterator<Item = (Uid, Uid)> + '_ {
        self.ranges.iter().filter_map(|r| Some((Uid::new(r.0)?, Uid::new(r.1)?)))
    }

    /// The smallest UID.
    pub fn first(&self) -> Option<Uid> {
        self.ranges.first().and_then(|r| Uid::new(r.0))
    }

    /// The largest UID.
    pub fn last(&self) -> Option<Uid> {
        self.ranges.last().and_then(|r| Uid::new(r.1))
    }

    /// What is in both sets.
    pub fn intersection(&self, other: &UidSet) -> UidSet {
        let (mut i, mut j) = (0, 0);
        let mut both = UidSet::new();
        while let (Some(a), Some(b)) = (self.ranges.get(i), other.ranges.get(j)) {
            let (lo, hi) = (a.0.max(b.0), a.1.min(b.1));
            if lo <= hi {
                both.ranges.push((lo, hi));
            }
            if a.1 < b.1 { i += 1 } else { j += 1 }
        }
        both
    }

    /// What is in either set.
    #[must_use]
    pub fn union(&self, other: &UidSet) -> UidSet {
        let (more, fewer) = if self.ranges.len() < other.ranges.len() { (other, self) } else { (self, other) };
        let mut either = more.clone();
        for (lo, hi) in fewer.ranges() {
            either.insert_range(lo, hi);
        }
        either
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub fn difference(&self, other: &UidSet) -> UidSet {
        let mut left = UidSet::new();
        let mut cuts = other.ranges.iter().peekable();
        for &(lo, hi) in &self.ranges {
            let mut from = lo;
            while let Some(&&(cut_lo, cut_hi)) = cuts.peek() {
                if cut_lo > hi {
                    break;
                }
                if cut_lo > from {
                    left.ranges.push((from, cut_lo - 1));
                }
                from = from.max(cut_hi.saturating_add(1));
                if cut_hi >= hi {
                    break;
                }
                cuts.next();
            }
            // With `cut_hi` at the end of all numbers nothing is left of this range.
            if from <= hi && !other.ranges.last().is_some_and(|c| c.1 == u32::MAX && c.0 <= from) {
                left.ranges.push((from, hi));
            }
        }
        left
    }

    /// The UID at `index` (0-based, ascending): what a message sequence number minus one stands for.
    pub fn nth(&self, index: usize) -> Option<Uid> {
        let mut left = index;
        for r in &self.ranges {
            let n = (r.1 - r.0) as usize + 1;
            if left < n {
                return Uid::new(r.0 + left as u32);
            }
            left -= n;
        }
        None
    }

    /// How many UIDs of the set are smaller than `uid`; with `uid` in the set, its sequence number minus one.
    pub fn rank(&self, uid: Uid) -> usize {
        let n = uid.number();
        self.ranges.iter().take_while(|r| r.0 < n).map(|r| (r.1.min(n - 1) - r.0) as usize + 1).sum()
    }
}

impl FromIterator<Uid> for UidSet {
    fn from_iter<I: IntoIterator<Item = Uid>>(uids: I) -> Self {
        let mut set = UidSet::new();
        uids.into_iter().for_each(|u| set.insert(u));
        set
    }
}

/// The `uid-set` form of RFC 4315 §4: `1:3,5`. The empty set writes nothing.
impl fmt::Display for UidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (lo, hi)) in self.ranges.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            if lo == hi { write!(f, "{lo}")? } else { write!(f, "{lo}:{hi}")? }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn uid_set_agrees_with_a_btree_set(ops in proptest::collection::vec((any::<bool>(), 1u32..60, 0u32..6), 0..80)) {
            let mut set = UidSet::new();
            let mut model = BTreeSet::new();
            for (add, n, span) in ops {
                if add {
                    set.insert_range(Uid::new(n).unwrap(), Uid::new(n + span).unwrap());
                    model.extend(n..=n + span);
                } else {
                    prop_assert_eq!(set.remove(Uid::new(n).unwrap()), model.remove(&n));
                }
                prop_assert_eq!(set.iter().map(Uid::number).collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(set.len(), model.len());
                prop_assert!(set.ranges.windows(2).all(|w| w[0].1 + 1 < w[1].0));
                for (i, uid) in model.iter().enumerate() {
                    prop_assert_eq!(set.nth(i).map(Uid::number), Some(*uid));
                    prop_assert_eq!(set.rank(Uid::new(*uid).unwrap()), i);
                }
                prop_assert_eq!(set.nth(model.len()), None);
            }
        }

        #[test]
        fn intersection_is_what_is_in_both(a in proptest::collection::btree_set(1u32..60, 0..40), b in proptest::collection::btree_set(1u32..60, 0..40)) {
            let set = |s: &BTreeSet<u32>| s.iter().filter_map(|n| Uid::new(*n)).collect::<UidSet>();
            let both: BTreeSet<u32> = a.intersection(&b).copied().collect();
            prop_assert_eq!(set(&a).intersection(&set(&b)), set(&both));
            let either: BTreeSet<u32> = a.union(&b).copied().collect();
            prop_assert_eq!(set(&a).union(&set(&b)), set(&either));
            let left: BTreeSet<u32> = a.difference(&b).copied().collect();
            prop_assert_eq!(set(&a).difference(&set(&b)), set(&left));
        }
    }

    #[test]
    fn set_is_written_as_uid_set() {
        let set: UidSet = [5, 1, 2, 3].into_iter().filter_map(Uid::new).collect();
        assert_eq!(set.to_string(), "1:3,5");
    }
}
