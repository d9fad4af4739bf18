//! Sequence sets (RFC 3501 §9 `sequence-set`).

use std::fmt;

use super::cursor::{Cursor, Parsed};
use super::parse::ParseError;
use crate::mail::{Uid, UidSet};

/// A list of numbers and ranges of message sequence numbers or UIDs, as written: any order, ranges either way
/// round, overlaps, `*`. At most 32,768 ranges.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SequenceSet {
    /// 0 stands for `*`.
    ranges: Vec<(u32, u32)>,
}

impl SequenceSet {
    /// `None` if `octets` is no sequence set; 0 is no number in it.
    pub fn parse(octets: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(octets);
        let set = Self::read(&mut cursor).ok()?;
        cursor.end().ok()?;
        Some(set)
    }

    pub(super) fn read(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let mut ranges = Vec::new();
        loop {
            let first = Self::read_number(cursor)?;
            let last = if cursor.eat(b':') { Self::read_number(cursor)? } else { first };
            ranges.push((first, last));
            if !cursor.eat(b',') {
                return Ok(Self { ranges });
            }
            if ranges.len() >= MAX_RANGES {
                return Err(ParseError::Limit("ranges in sequence set"));
            }
        }
    }

    fn read_number(cursor: &mut Cursor<'_>) -> Parsed<u32> {
        if cursor.eat(b'*') {
            return Ok(0);
        }
        // RFC 3501 §9 nz-number: no leading zero, so also no 0.
        match cursor.peek() {
            Some(b'1'..=b'9') => cursor.number(EXPECTED),
            _ => Err(ParseError::Expected(EXPECTED)),
        }
    }

    /// The UIDs it stands for where `max` is the largest UID in the mailbox: `*` is that one, so `n:*` always holds
    /// it (RFC 3501 §6.4.8). Empty mailbox: `max` is `None`, and whatever has `*` in it stands for nothing. UIDs
    /// beyond `max` stay in: intersect with what exists.
    pub fn uids(&self, max: Option<Uid>) -> UidSet {
        let mut set = UidSet::new();
        for (first, last) in self.resolved(max.map_or(0, Uid::number)) {
            if let (Some(first), Some(last)) = (Uid::new(first), Uid::new(last)) {
                set.insert_range(first, last);
            }
        }
        set
    }

    /// The message sequence numbers it stands for where there are `exists` messages, as ascending, disjoint,
    /// inclusive ranges, all at least 1 and at most `exists`. What lies beyond is left out; see [`Self::exceeds`].
    pub fn numbers(&self, exists: u32) -> Vec<(u32, u32)> {
        let mut joined: Vec<(u32, u32)> = Vec::new();
        for (first, last) in self.resolved(exists) {
            let last = last.min(exists);
            if first > last {
                continue;
            }
            match joined.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => joined.push((first, last)),
            }
        }
        joined
    }

    /// True if a number (not a `*`) in it is larger than `exists`, other than in a range with `*`: a message
    /// sequence number for which there is no message. FETCH, STORE, COPY and MOVE answer BAD to it.
    pub fn exceeds(&self, exists: u32) -> bool {
        self.ranges.iter().any(|(first, last)| *first != 0 && *last != 0 && *first.max(last) > exists)
    }

    /// The ranges with `max` for `*`, each the right way round, ascending by their start; without those that have a
    /// `*` if there is nothing for it.
    fn resolved(&self, max: u32) -> Vec<(u32, u32)> {
        let value = |n: u32| if n == 0 { max } else { n };
        let mut ranges: Vec<_> = self
            .ranges
            .iter()
            .map(|(first, last)| (value(*first), value(*last)))
            .filter(|(first, last)| *first != 0 && *last != 0)
            .map(|(first, last)| (first.min(last), first.max(last)))
            .collect();
        // Sorted, each joins at the end: otherwise a long unsorted set costs the square of its length.
        ranges.sort_unstable();
        ranges
    }
}

/// As written.
impl fmt::Display for SequenceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |f: &mut fmt::Formatter<'_>, n: u32| if n == 0 { f.write_str("*") } else { write!(f, "{n}") };
        for (i, (first, last)) in self.ranges.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            number(f, *first)?;
            if first != last {
                f.write_str(":")?;
                number(f, *last)?;
            }
        }
        Ok(())
    }
}

const MAX_RANGES: usize = 32_768;
const EXPECTED: &str = "sequence set";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_a_sequence_set() {
        for (case, text, want) in [
            ("one", "1", Some("1")),
            ("star", "*", Some("*")),
            ("list and ranges", "2,4:7,9,12:*", Some("2,4:7,9,12:*")),
            ("reversed with star", "*:4", Some("*:4")),
            ("range of one", "3:3", Some("3")),
            ("largest", "4294967295", Some("4294967295")),
            ("too large", "4294967296", None),
            ("zero", "0", None),
            ("zero in range", "0:5", None),
            ("leading zero", "01", None),
            ("empty", "", None),
            ("comma at the end", "1,", None),
            ("open range", "1:", None),
            ("double range", "1:2:3", None),
            ("space", "1, 2", None),
        ] {
            let got = SequenceSet::parse(text.as_bytes()).map(|s| s.to_string());
            assert_eq!(got.as_deref(), want, "{case}");
        }
    }

    #[test]
    fn what_it_stands_for() {
        for (text, max, numbers, exceeds) in [
            // RFC 3501 §9: with 15 messages 2,4:7,9,12:* is 2,4,5,6,7,9,12,13,14,15.
            ("2,4:7,9,12:*", 15, vec![(2, 2), (4, 7), (9, 9), (12, 15)], false),
            ("*:4,5:7", 10, vec![(4, 10)], false),
            ("12:*", 10, vec![(10, 10)], false),
            ("12:13", 10, vec![], true),
            ("8:13", 10, vec![(8, 10)], true),
            ("3,2,1,1:2", 10, vec![(1, 3)], false),
            ("*", 0, vec![], false),
            ("1:*", 0, vec![], false),
            ("1", 0, vec![], true),
        ] {
            let set = SequenceSet::parse(text.as_bytes()).unwrap();
            assert_eq!(set.numbers(max), numbers, "{text}");
            assert_eq!(set.exceeds(max), exceeds, "{text}");
        }
        let uids = |text: &str, max| SequenceSet::parse(text.as_bytes()).unwrap().uids(Uid::new(max)).to_string();
        assert_eq!(uids("9:*,2", 4), "2,4:9");
        assert_eq!(uids("1:*,7", 0), "7");
        assert_eq!(uids("4294967295:*", 4), "4:4294967295");
    }

    #[test]
    fn a_long_set_is_limited() {
        let text = vec!["1"; MAX_RANGES].join(",");
        assert!(SequenceSet::parse(text.as_bytes()).is_some());
        assert!(SequenceSet::parse(format!("{text},1").as_bytes()).is_none());
    }

    proptest! {
        #[test]
        fn parse_reads_what_display_writes(ranges in proptest::collection::vec((0u32..50, any::<u32>()), 1..20)) {
            let set = SequenceSet { ranges };
            prop_assert_eq!(SequenceSet::parse(set.to_string().as_bytes()), Some(set));
        }

        #[test]
        fn it_holds_what_a_range_of_it_holds(
            ranges in proptest::collection::vec((0u32..30, 0u32..30), 1..8), max in 0u32..25, n in 1u32..40,
        ) {
            let value = |n: u32| if n == 0 { max } else { n };
            let inside = ranges.iter().any(|(a, b)| {
                let (a, b) = (value(*a), value(*b));
                a != 0 && b != 0 && (a.min(b)..=a.max(b)).contains(&n)
            });
            let set = SequenceSet { ranges };
            prop_assert_eq!(set.uids(Uid::new(max)).contains(Uid::new(n).unwrap()), inside);
            let numbers = set.numbers(max);
            prop_assert_eq!(numbers.iter().any(|(a, b)| (*a..=*b).contains(&n)), inside && n <= max);
            prop_assert!(numbers.windows(2).all(|w| w[0].1 + 1 < w[1].0));
        }
    }
}
