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

/// Not an enhanced status code (RFC 3463 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an enhanced status code")]
pub struct EnhancedCodeError;

impl std::str::FromStr for EnhancedCode {
    type Err = EnhancedCodeError;

    fn from_str(text: &str) -> Result<Self, EnhancedCodeError> {
        let number = |text: &str| {
            let is_number = (1..=3).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_digit());
            if is_number { text.parse::<u16>().map_err(|_| EnhancedCodeError) } else { Err(EnhancedCodeError) }
        };
        let [class, subject, detail] = text.split('.').collect::<Vec<_>>()[..] else { return Err(EnhancedCodeError) };
        let class = match class {
            "2" => 2,
            "4" => 4,
            "5" => 5,
            _ => return Err(EnhancedCodeError),
        };
        Ok(Self::new(class, number(subject)?, number(detail)?))
    }
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}
