//! Mailbox name patterns of LIST and LSUB (RFC 3501 §6.3.8).

use unicode_normalization::UnicodeNormalization;

use crate::mail::{DELIMITER, MailboxName};

/// A pattern: `*` matches anything, `%` anything without the hierarchy delimiter. NFC; `INBOX` is without case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListPattern {
    tokens: Vec<Token>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Token {
    Char(char),
    /// `*`
    Any,
    /// `%`
    AnyInComponent,
}

impl ListPattern {
    /// From reference and name, both decoded (Unicode). They are put together as they are, unless the name begins
    /// with the delimiter: then it stands for itself. `None` if there are more than 2,000 characters or 32 wildcards.
    pub fn new(reference: &str, name: &str) -> Option<Self> {
        let reference = if name.starts_with(DELIMITER) { "" } else { reference };
        let mut tokens = Vec::new();
        for c in reference.chars().chain(name.chars()).nfc() {
            match (c, tokens.last_mut()) {
                ('*', Some(last @ Token::AnyInComponent)) => *last = Token::Any,
                // Next to another wildcard this one adds nothing.
                ('*' | '%', Some(Token::Any)) | ('%', Some(Token::AnyInComponent)) => {}
                ('*', _) => tokens.push(Token::Any),
                ('%', _) => tokens.push(Token::AnyInComponent),
                (c, _) => tokens.push(Token::Char(c)),
            }
        }
        let wildcards = tokens.iter().filter(|t| !matches!(t, Token::Char(_))).count();
        (tokens.len() <= MAX_TOKENS && wildcards <= MAX_WILDCARDS).then_some(Self { tokens })
    }

    /// True if `name` matches. Time grows with the name's length times the number of wildcards, no faster.
    pub fn matches(&self, name: &MailboxName) -> bool {
        let name = name.as_str();
        let is_inbox = name == "INBOX" || name.starts_with("INBOX/");
        // All places in the pattern that the name up to here may have come to, ascending.
        let mut places = Vec::new();
        let mut next = Vec::new();
        self.reach(&mut places, 0);
        for (i, c) in name.chars().enumerate() {
            let without_case = is_inbox && i < "INBOX".len();
            for place in places.drain(..) {
                match self.tokens.get(place) {
                    Some(Token::Any) => self.reach(&mut next, place),
                    Some(Token::AnyInComponent) if c != DELIMITER => self.reach(&mut next, place),
                    Some(Token::Char(p)) if *p == c || without_case && p.eq_ignore_ascii_case(&c) => {
                        self.reach(&mut next, place + 1);
                    }
                    _ => {}
                }
            }
            next.sort_unstable();
            next.dedup();
            std::mem::swap(&mut places, &mut next);
        }
        places.last() == Some(&self.tokens.len())
    }

    /// Adds `place`, and the one behind it if a wildcard there may stand for nothing.
    fn reach(&self, places: &mut Vec<usize>, place: usize) {
        places.push(place);
        if matches!(self.tokens.get(place), Some(Token::Any | Token::AnyInComponent)) {
            places.push(place + 1);
        }
    }
}

const MAX_TOKENS: usize = 2000;
const MAX_WILDCARDS: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(reference: &str, pattern: &str, name: &str) -> bool {
        ListPattern::new(reference, pattern).unwrap().matches(&MailboxName::parse(name).unwrap())
    }

    #[test]
    fn patterns() {
        for (reference, pattern, name, want) in [
            ("", "*", "a/b/c", true),
            ("", "%", "a", true),
            ("", "%", "a/b", false),
            ("", "%/%", "a/b", true),
            ("", "%/%", "a/b/c", false),
            ("", "a/%", "a/b", true),
            ("", "a*", "a/b", true),
            ("", "a*", "b/a", false),
            ("", "*b", "a/b", true),
            ("", "%b", "a/b", false),
            ("", "a%c", "abc", true),
            ("", "a%c", "ac", true),
            ("", "a%c", "a/c", false),
            ("", "%*", "a/b", true),
            ("", "*%", "a/b", true),
            ("", "", "a", false),
            ("", "a", "A", false),
            ("", "inbox", "INBOX", true),
            ("", "inB%", "INBOX", true),
            ("", "inbox/a", "INBOX/a", true),
            ("", "inbox/a", "INBOX/A", false),
            ("", "inboxes", "INBOXES", false),
            ("", "i%", "INBOXES", false),
            ("a/", "%", "a/b", true),
            ("a", "%", "ab", true),
            ("a/", "/b", "a/b", false),
            ("", "u\u{308}*", "\u{fc}x", true),
            ("", "台%", "台北", true),
        ] {
            assert_eq!(matches(reference, pattern, name), want, "{reference:?} {pattern:?} {name:?}");
        }
    }

    #[test]
    fn patterns_are_limited() {
        assert!(ListPattern::new("", &"a*".repeat(32)).is_some());
        assert!(ListPattern::new("", &"a*".repeat(33)).is_none());
        assert!(ListPattern::new("", &"*%".repeat(5000)).is_some());
        assert!(ListPattern::new("", &"a".repeat(2001)).is_none());
    }

    /// As the RFC says it, without a thought of time.
    fn plain(pattern: &[char], name: &[char]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some(('*', rest)) => (0..=name.len()).any(|n| plain(rest, &name[n..])),
            Some(('%', rest)) => {
                (0..=name.len()).take_while(|n| !name[..*n].contains(&'/')).any(|n| plain(rest, &name[n..]))
            }
            Some((c, rest)) => name.first() == Some(c) && plain(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn it_matches_what_the_plain_way_matches(pattern in "[ab/*%]{0,7}", name in "[ab]{1,3}(/[ab]{1,2}){0,3}") {
            let chars = |s: &str| s.chars().collect::<Vec<_>>();
            // A delimiter in front would put the reference aside, and there is none here.
            prop_assert_eq!(matches("", &pattern, &name), plain(&chars(&pattern), &chars(&name)));
        }
    }
}
