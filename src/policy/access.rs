//! Whether somebody may reach somebody, when the sender's claim may still have to prove true.

use super::Reason;

/// The answer to one permission (policy semantics §7.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Yes, whatever the end of data tells.
    Allowed,
    /// Yes, if the From field agrees with the reverse-path.
    Provisional,
    /// Yes, if DKIM verifies the reverse-path and the From field agrees with it.
    Pending,
    /// No.
    Refused(Reason),
}

impl Access {
    /// True unless refused.
    pub fn is_open(&self) -> bool {
        !matches!(self, Self::Refused(_))
    }

    /// The answer where another permission is needed as well: the stricter; of two refusals the first.
    pub fn and(self, other: impl FnOnce() -> Self) -> Self {
        if !self.is_open() {
            return self;
        }
        match (self, other()) {
            (refused @ Self::Refused(_), _) | (_, refused @ Self::Refused(_)) => refused,
            (Self::Pending, _) | (_, Self::Pending) => Self::Pending,
            (Self::Provisional, _) | (_, Self::Provisional) => Self::Provisional,
            (Self::Allowed, Self::Allowed) => Self::Allowed,
        }
    }
}
