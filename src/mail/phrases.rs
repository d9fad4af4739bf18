//! Many phrases looked for at once: the text is read one time, however many there are.

use aho_corasick::{AhoCorasick, MatchKind};

use super::text::{Folded, Phrase};

/// Phrases, numbered in the order in which they were given.
#[derive(Clone, Debug, Default)]
pub struct PhraseSet {
    phrases: Vec<Phrase>,
    /// `None` if there is nothing to look for, or too much for it: then each is looked for by itself.
    automaton: Option<AhoCorasick>,
    /// The phrase behind each pattern of the automaton.
    numbers: Vec<usize>,
}

impl PhraseSet {
    /// Prepares the search.
    pub fn new(phrases: Vec<Phrase>) -> Self {
        let with_needle = phrases.iter().enumerate().filter_map(|(n, phrase)| Some((n, phrase.needle()?)));
        let (numbers, needles): (Vec<usize>, Vec<&[u8]>) = with_needle.unzip();
        let automaton = match needles.is_empty() {
            true => None,
            // Phrases may overlap, and each that is there counts.
            false => AhoCorasick::builder().match_kind(MatchKind::Standard).build(&needles).ok(),
        };
        Self { phrases, automaton, numbers }
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.phrases.is_empty()
    }

    /// The numbers of those that `text` contains, ascending.
    pub fn find(&self, text: &Folded) -> Vec<usize> {
        let Some(automaton) = &self.automaton else { return self.find_each(text) };
        let mut found: Vec<usize> = Vec::new();
        // Phrases that lie in each other, in a text that is full of them, would be found at every letter.
        let mut room = ROOM;
        for hit in automaton.find_overlapping_iter(text.as_str()) {
            let Some(number) = self.numbers.get(hit.pattern().as_usize()) else { continue };
            if !found.contains(number) {
                found.push(*number);
            } else if room == 0 {
                return self.find_each(text);
            } else {
                room -= 1;
            }
            if found.len() == self.numbers.len() {
                break;
            }
        }
        found.sort_unstable();
        found
    }

    fn find_each(&self, text: &Folded) -> Vec<usize> {
        self.phrases.iter().enumerate().filter(|(_, phrase)| phrase.is_in(text)).map(|(n, _)| n).collect()
    }
}

/// Times that phrases may be found again before they are looked for one by one.
const ROOM: usize = 10_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_found_often_is_found_once() {
        let set = PhraseSet::new(["a", "aa", "", "aaa", "b"].map(Phrase::new).to_vec());
        assert_eq!(set.find(&Folded::of(&"a".repeat(3 * ROOM))), [0, 1, 3]);
        assert_eq!(PhraseSet::new(Vec::new()).find(&Folded::of("a")), [0_usize; 0]);
    }

    proptest! {
        #[test]
        fn all_at_once_are_found_as_each_by_itself(
            phrases in prop::collection::vec("[abAİßé机 ]{0,4}", 0..12),
            text in "[abAİßéss机密\\r\\n ]{0,40}",
            more in "[ab]{0,9}",
        ) {
            let phrases: Vec<Phrase> = phrases.into_iter().map(Phrase::new).collect();
            let mut folded = Folded::of(&text);
            folded.separate();
            folded.push(&more);
            let naive: Vec<usize> = (0..phrases.len()).filter(|n| phrases[*n].is_in(&folded)).collect();
            prop_assert_eq!(PhraseSet::new(phrases).find(&folded), naive);
        }
    }
}
