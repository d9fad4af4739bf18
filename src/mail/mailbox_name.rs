//! Mailbox names (RFC 3501 §5.1): Unicode inside, modified UTF-7 only on the wire (`proto::imap`).

use serde::{Deserialize, Serialize};
use std::fmt;

/// The hierarchy delimiter.
pub const DELIMITER: char = '/';

/// A mailbox name: NFC, components separated by [`DELIMITER`], none empty, no control characters, at most 1,000
/// octets and 20 levels. `INBOX` is without case, as a whole name and as the first component.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MailboxName(Box<str>);

impl TryFrom<String> for MailboxName {
    type Error = MailboxNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<MailboxName> for String {
    fn from(name: MailboxName) -> String {
        name.0.into()
    }
}

impl MailboxName {
    /// From Unicode text.
    pub fn parse(s: &str) -> Result<Self, MailboxNameError> {
        use unicode_normalization::{UnicodeNormalization, is_nfc};
        let mut name = if is_nfc(s) { s.to_owned() } else { s.nfc().collect() };
        if name.len() > 1000 {
            return Err(MailboxNameError::TooLong);
        }
        if name.split(DELIMITER).count() > 20 {
            return Err(MailboxNameError::TooDeep);
        }
        if name.split(DELIMITER).any(str::is_empty) {
            return Err(MailboxNameError::EmptyComponent);
        }
        if name.chars().any(char::is_control) {
            return Err(MailboxNameError::ControlCharacter);
        }
        let first = name.split(DELIMITER).next().unwrap_or_default().len();
        if name[..first].eq_ignore_ascii_case("INBOX") {
            name.replace_range(..first, "INBOX");
        }
        Ok(Self(name.into()))
    }

    /// `INBOX`.
    pub fn inbox() -> Self {
        Self("INBOX".into())
    }

    /// True for `INBOX` itself.
    pub fn is_inbox(&self) -> bool {
        &*self.0 == "INBOX"
    }

    /// The name, Unicode.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if this name lies below `parent` in the hierarchy.
    pub fn is_inferior_of(&self, parent: &MailboxName) -> bool {
        self.0.strip_prefix(&*parent.0).is_some_and(|rest| rest.starts_with(DELIMITER))
    }

    /// The superior names, outermost first: `a`, `a/b` for `a/b/c`.
    pub fn superiors(&self) -> impl Iterator<Item = MailboxName> + '_ {
        self.0.match_indices(DELIMITER).map(|(i, _)| MailboxName(self.0[..i].into()))
    }

    /// This name with `from` at its front replaced by `to`; the name unchanged if it is neither `from` nor inferior to it.
    pub fn moved(&self, from: &MailboxName, to: &MailboxName) -> Result<MailboxName, MailboxNameError> {
        if self == from {
            Ok(to.clone())
        } else if self.is_inferior_of(from) {
            Self::parse(&format!("{}{}", to.0, &self.0[from.0.len()..]))
        } else {
            Ok(self.clone())
        }
    }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no mailbox name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MailboxNameError {
    /// More than 1,000 octets.
    #[error("mailbox name is longer than 1000 octets")]
    TooLong,
    /// More than 20 levels.
    #[error("mailbox name has more than 20 levels")]
    TooDeep,
    /// Empty, or an empty component.
    #[error("mailbox name has an empty component")]
    EmptyComponent,
    /// A control character.
    #[error("mailbox name has a control character")]
    ControlCharacter,
}

/// Special-use attributes (RFC 6154 §2) of the default folders.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum SpecialUse {
    /// `\Drafts`
    Drafts = 1,
    /// `\Sent`
    Sent = 2,
    /// `\Junk`
    Junk = 3,
    /// `\Trash`
    Trash = 4,
    /// `\Archive`
    Archive = 5,
}

impl SpecialUse {
    /// All of them.
    pub const ALL: [SpecialUse; 5] =
        [SpecialUse::Drafts, SpecialUse::Sent, SpecialUse::Junk, SpecialUse::Trash, SpecialUse::Archive];

    /// The default folder's name; with a backslash in front, the attribute.
    pub const fn folder(self) -> &'static str {
        match self {
            SpecialUse::Drafts => "Drafts",
            SpecialUse::Sent => "Sent",
            SpecialUse::Junk => "Junk",
            SpecialUse::Trash => "Trash",
            SpecialUse::Archive => "Archive",
        }
    }

    /// From the stored number.
    pub fn from_number(n: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|u| *u as u8 == n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (case, text, want) in [
            ("inbox in any case", "inBox", Ok("INBOX")),
            ("inbox as first component", "inbox/x", Ok("INBOX/x")),
            ("inbox as prefix only", "inboxes", Ok("inboxes")),
            ("nfc", "u\u{308}", Ok("\u{fc}")),
            ("empty", "", Err(MailboxNameError::EmptyComponent)),
            ("double delimiter", "a//b", Err(MailboxNameError::EmptyComponent)),
            ("trailing delimiter", "a/", Err(MailboxNameError::EmptyComponent)),
            ("control", "a\rb", Err(MailboxNameError::ControlCharacter)),
        ] {
            let got = MailboxName::parse(text);
            assert_eq!(got.as_ref().map(MailboxName::as_str), want.as_ref().copied(), "{case}");
        }
    }

    #[test]
    fn hierarchy() {
        let n = |s| MailboxName::parse(s).unwrap();
        assert!(n("a/b").is_inferior_of(&n("a")));
        assert!(!n("ab").is_inferior_of(&n("a")));
        assert_eq!(n("a/b/c").superiors().collect::<Vec<_>>(), [n("a"), n("a/b")]);
        assert_eq!(n("a/b/c").moved(&n("a/b"), &n("x")), Ok(n("x/c")));
        assert_eq!(n("ab").moved(&n("a"), &n("x")), Ok(n("ab")));
    }
}
