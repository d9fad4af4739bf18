//! What can happen to a message that others want to be told of.

use std::fmt;

/// Something that has happened to a message, or to some of its recipients. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum EventKind {
    /// It was taken over.
    Accepted = 0,
    /// It is in mailboxes.
    Delivered = 1,
    /// It was not taken, or those who decide about it said no.
    Refused = 2,
    /// It waits for a decision.
    Held = 3,
    /// Those who decide about it said yes.
    Released = 4,
    /// Another host has it.
    Relayed = 5,
    /// It is tried again, here or by the client.
    Deferred = 6,
    /// It was given up.
    Bounced = 7,
}

/// Some of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventKinds(u16);

impl EventKind {
    /// All there are, in the order in which those of one commit have happened.
    pub const ALL: [Self; 8] = [
        Self::Accepted,
        Self::Held,
        Self::Released,
        Self::Refused,
        Self::Delivered,
        Self::Relayed,
        Self::Deferred,
        Self::Bounced,
    ];

    /// As it is written in the configuration and told.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::Held => "held",
            Self::Released => "released",
            Self::Relayed => "relayed",
            Self::Deferred => "deferred",
            Self::Bounced => "bounced",
        }
    }

    /// Of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Of this number, as it is stored.
    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl EventKinds {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// These and one more.
    #[must_use]
    pub const fn with(self, kind: EventKind) -> Self {
        Self(self.0 | 1 << kind as u8)
    }

    /// These and one more, if it is so.
    #[must_use]
    pub const fn with_if(self, kind: EventKind, is_so: bool) -> Self {
        if is_so { self.with(kind) } else { self }
    }

    /// Whether it is one of them.
    pub const fn has(self, kind: EventKind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }

    /// Those that are in both.
    #[must_use]
    pub const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that are in either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// One by one, in the order in which they happen.
    pub fn iter(self) -> impl Iterator<Item = EventKind> {
        EventKind::ALL.into_iter().filter(move |kind| self.has(*kind))
    }
}

impl From<EventKind> for EventKinds {
    fn from(kind: EventKind) -> Self {
        Self::NONE.with(kind)
    }
}

impl FromIterator<EventKind> for EventKinds {
    fn from_iter<I: IntoIterator<Item = EventKind>>(kinds: I) -> Self {
        kinds.into_iter().fold(Self::NONE, Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::parse(kind.name()), Some(kind));
            assert_eq!(EventKind::of_number(kind as u8), Some(kind));
        }
        assert_eq!((EventKind::parse("Delivered"), EventKind::of_number(8)), (None, None));
    }

    #[test]
    fn sets_hold_what_was_put_in() {
        let some: EventKinds = [EventKind::Bounced, EventKind::Accepted].into_iter().collect();
        assert_eq!(some.iter().collect::<Vec<_>>(), [EventKind::Accepted, EventKind::Bounced]);
        assert_eq!(some.both(EventKind::Bounced.into()), EventKind::Bounced.into());
        assert_eq!(some.both(EventKind::Held.into()), EventKinds::NONE);
    }
}
