//! What is looked for in folded text (policy semantics §13.3): phrases, and names by a pattern.

use std::fmt;

use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};

use super::Folded;

/// A text to look for, prepared once and kept as it was given: what a keyword condition of a mail rule holds. White space
/// around it does not count; one that folds to nothing is found nowhere.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Phrase {
    text: String,
    finder: Option<Finder<'static>>,
}

impl Phrase {
    /// Prepares `text`.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let folded = Folded::of(&text);
        let needle = folded.as_str().trim();
        let finder = (!needle.is_empty()).then(|| Finder::new(needle.as_bytes()).into_owned());
        Self { text, finder }
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What is looked for, in folded text; `None` if there is nothing.
    pub(super) fn needle(&self) -> Option<&[u8]> {
        self.finder.as_ref().map(Finder::needle)
    }

    /// `text` contains it.
    pub fn is_in(&self, text: &Folded) -> bool {
        self.finder.as_ref().is_some_and(|finder| finder.find(text.as_str().as_bytes()).is_some())
    }
}

/// A pattern for a whole name: `*` stands for anything, `?` for one character. Kept as it was given.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct NamePattern {
    text: String,
    tokens: Vec<Token>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Is(char),
    AnyOne,
    Anything,
}

impl NamePattern {
    /// Prepares `pattern`.
    pub fn new(pattern: impl Into<String>) -> Self {
        let text = pattern.into();
        let mut tokens = Vec::new();
        for piece in text.trim().split_inclusive(['*', '?']) {
            let literal = piece.trim_end_matches(['*', '?']);
            tokens.extend(Folded::of(literal).as_str().chars().map(Token::Is));
            match piece.chars().last() {
                // Several in a row mean the same as one.
                Some('*') if tokens.last() != Some(&Token::Anything) => tokens.push(Token::Anything),
                Some('?') => tokens.push(Token::AnyOne),
                _ => {}
            }
        }
        Self { text, tokens }
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Matches the whole of `name`, which is folded.
    ///
    /// Greedy with one point to go back to: the last `*`. No earlier one needs to be tried again, so that the time is
    /// the product of both lengths at worst.
    pub fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let (mut at, mut token) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        while let Some(c) = name.get(at) {
            match self.tokens.get(token) {
                Some(Token::Anything) => {
                    retry = Some((at, token + 1));
                    token += 1;
                    continue;
                }
                Some(Token::AnyOne) => {}
                Some(Token::Is(want)) if want == c => {}
                _ => {
                    let Some((from, after)) = retry else { return false };
                    retry = Some((from + 1, after));
                    (at, token) = (from + 1, after);
                    continue;
                }
            }
            at += 1;
            token += 1;
        }
        self.tokens.iter().skip(token).all(|token| *token == Token::Anything)
    }
}

/// The same for all that is kept as text: equal if the text is, and shown as it.
macro_rules! as_text {
    ($type:ty) => {
        impl From<String> for $type {
            fn from(text: String) -> Self {
                Self::new(text)
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.text
            }
        }

        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.text == other.text
            }
        }

        impl Eq for $type {}

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($type)).field(&self.text).finish()
            }
        }
    };
}

as_text!(Phrase);
as_text!(NamePattern);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_match_whatever_the_form() {
        for (case, keyword, text, want) in [
            ("case", "SECRET plan", "the Secret\r\n  Plan is", true),
            ("full-width keyword", "ＡＢＣ１", "abc1", true),
            ("full-width text", "abc", "ｘＡｂＣ", true),
            ("half-width kana", "ガギ", "ｶﾞｷﾞ", true),
            ("CJK", "机密", "这是机密文件", true),
            ("CJK over a line end", "机密", "这是机\r\n密文件", true),
            ("CJK compatibility", "金", "\u{f90a}", true),
            ("German", "STRASSE", "Straße", true),
            ("German capital", "straße", "STRA\u{1e9e}E", true),
            ("Turkish capital", "istanbul", "İSTANBUL", true),
            ("Turkish keyword", "İstanbul", "ISTANBUL", true),
            ("Turkish dotless", "ırmak", "IRMAK", true),
            ("Turkish dotless as dotted", "irmak", "ırmak", true),
            ("Greek sigma", "σοφος", "ΣΟΦΌΣ", false),
            ("Greek final sigma", "σοφός", "ΣΟΦΌΣ σοφός", true),
            ("decomposed", "é", "e\u{301}", true),
            ("ligature", "file", "ﬁle", true),
            ("soft hyphen", "secret", "se\u{ad}cret", true),
            ("zero width", "secret", "se\u{200b}cr\u{feff}et", true),
            ("NUL", "secret", "se\0cret", true),
            ("no-break space", "a b", "a\u{a0} b", true),
            ("ideographic space", "a b", "a\u{3000}b", true),
            ("around", " a ", "xay", true),
            ("space matters", "ab", "a b", false),
            ("Korean keeps spaces", "한국", "한\n국", false),
        ] {
            assert_eq!(Phrase::new(keyword).is_in(&Folded::of(text)), want, "{case}");
        }
        for empty in ["", " \u{200b}\t"] {
            assert!(!Phrase::new(empty).is_in(&Folded::of("text\n")), "{empty:?}");
        }
    }

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, want) in [
            ("*.exe", "Setup.EXE", true),
            ("*.exe", "setup.exe.txt", false),
            ("*.exe", ".exe", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("报告*.doc?", "报告2026.docx", true),
            ("*.ｅｘｅ", "a.exe", true),
            ("**a**", "bab", true),
            ("*aab", "aaaab", true),
            ("a.c", "abc", false),
            ("Ｑ?", "q？", true),
        ] {
            assert_eq!(NamePattern::new(pattern).matches(Folded::of(name).as_str()), want, "{pattern} {name}");
        }
    }

    #[test]
    fn hostile_patterns_end() {
        assert!(!NamePattern::new("*a".repeat(200)).matches(&"a".repeat(199)));
        assert!(!NamePattern::new(format!("{}b", "*a".repeat(120))).matches(&"a".repeat(10_000)));
    }
}
