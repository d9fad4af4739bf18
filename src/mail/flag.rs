//! Flags and keywords (RFC 3501 §2.3.2).

use std::fmt;

/// A system flag that is kept. `\Recent` is not among them: it belongs to a session, not to a message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum SystemFlag {
    /// `\Answered`
    Answered = 1,
    /// `\Flagged`
    Flagged = 2,
    /// `\Deleted`
    Deleted = 4,
    /// `\Seen`
    Seen = 8,
    /// `\Draft`
    Draft = 16,
}

impl SystemFlag {
    /// All of them, in the order in which they are written.
    pub const ALL: [SystemFlag; 5] =
        [SystemFlag::Answered, SystemFlag::Flagged, SystemFlag::Deleted, SystemFlag::Seen, SystemFlag::Draft];

    /// The wire form, with its backslash.
    pub const fn name(self) -> &'static str {
        match self {
            SystemFlag::Answered => "\\Answered",
            SystemFlag::Flagged => "\\Flagged",
            SystemFlag::Deleted => "\\Deleted",
            SystemFlag::Seen => "\\Seen",
            SystemFlag::Draft => "\\Draft",
        }
    }

    /// From the wire form in any case.
    pub fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.name().eq_ignore_ascii_case(s))
    }
}

/// A set of system flags.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
pub struct SystemFlags(u8);

impl SystemFlags {
    /// From stored bits; bits without a flag are dropped.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 31)
    }

    /// The bits to store.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// True if `flag` is set.
    pub const fn contains(self, flag: SystemFlag) -> bool {
        self.0 & flag as u8 != 0
    }

    /// This set and `flag`.
    #[must_use]
    pub const fn with(self, flag: SystemFlag) -> Self {
        Self(self.0 | flag as u8)
    }

    /// What is in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The flags, in the order of [`SystemFlag::ALL`].
    pub fn iter(self) -> impl Iterator<Item = SystemFlag> {
        SystemFlag::ALL.into_iter().filter(move |f| self.contains(*f))
    }
}

/// A keyword: an atom of at most 100 octets, compared without case, written as first seen.
#[derive(Clone, Debug, Eq)]
pub struct Keyword(Box<str>);

impl Keyword {
    /// `None` if `s` is no atom (RFC 3501 §9 `flag-keyword`) or too long.
    pub fn parse(s: &str) -> Option<Self> {
        let atom = |b: u8| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b);
        (!s.is_empty() && s.len() <= 100 && s.bytes().all(atom)).then(|| Self(s.into()))
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Keyword {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

/// The flags of one message. Keywords are without duplicates.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Flags {
    /// System flags.
    pub system: SystemFlags,
    /// Keywords, in the order in which they were added.
    pub keywords: Vec<Keyword>,
}

impl Flags {
    /// Adds what `other` holds.
    pub fn add(&mut self, other: &Flags) {
        self.system = self.system.union(other.system);
        for k in &other.keywords {
            if !self.keywords.contains(k) {
                self.keywords.push(k.clone());
            }
        }
    }

    /// Takes out what `other` holds.
    pub fn remove(&mut self, other: &Flags) {
        self.system = self.system.difference(other.system);
        self.keywords.retain(|k| !other.keywords.contains(k));
    }

    /// True if `flag` is set.
    pub fn contains(&self, flag: SystemFlag) -> bool {
        self.system.contains(flag)
    }
}

/// The flags separated by spaces, without parentheses.
impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let system = self.system.iter().map(|flag| -> &str { flag.name() });
        let names = system.chain(self.keywords.iter().map(Keyword::as_str));
        for (i, name) in names.enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}
