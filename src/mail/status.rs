//! Enhanced mail system status codes (RFC 3463, RFC 5248).

use std::fmt;

/// `class.subject.detail`, as `5.1.1`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EnhancedCode {
    class: u8,
    subject: u16,
    detail: u16,
}

impl EnhancedCode {
    /// `class` is 2 (success), 4 (persistent transient failure) or 5 (permanent failure), RFC 3463 §2.
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Self { class, subject, detail }
    }

    /// The second and third number.
    pub const fn subject_and_detail(self) -> (u16, u16) {
        (self.subject, self.detail)
    }

    /// 2, 4 or 5.
    pub const fn class(self) -> u8 {
        self.class
    }
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}
