//! Lines that are not commands: DONE (RFC 2177) and what the client answers in AUTHENTICATE (RFC 3501 §6.2.2).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// True if `line` (without CRLF) ends IDLE: `DONE` in any case.
pub fn is_done(line: &[u8]) -> bool {
    line.eq_ignore_ascii_case(b"DONE")
}

/// What the client answers to a challenge. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub enum SaslResponse {
    /// The response, decoded; may be empty.
    Data(Vec<u8>),
    /// `*`: the exchange is cancelled, answer BAD. Only from [`SaslResponse::from_line`].
    Cancel,
    /// Not base64: answer BAD.
    Malformed,
}

impl SaslResponse {
    /// From a line, without CRLF, that answers a challenge.
    pub fn from_line(line: &[u8]) -> Self {
        match line {
            b"*" => Self::Cancel,
            _ => STANDARD.decode(line).map_or(Self::Malformed, Self::Data),
        }
    }

    /// From the argument of AUTHENTICATE (RFC 4959 §3), where a single `=` is the empty response.
    pub fn from_initial(argument: &[u8]) -> Self {
        match argument {
            b"=" => Self::Data(Vec::new()),
            // Only the argument `=` is empty; `*` cancels nothing that has not begun.
            b"" | b"*" => Self::Malformed,
            _ => Self::from_line(argument),
        }
    }
}

impl fmt::Debug for SaslResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Data(_) => "Data(..)",
            Self::Cancel => "Cancel",
            Self::Malformed => "Malformed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses() {
        let data = |s: &[u8]| SaslResponse::Data(s.to_vec());
        for (case, line, want) in [
            ("data", &b"AGEAYg=="[..], data(b"\0a\0b")),
            ("empty", b"", data(b"")),
            ("cancel", b"*", SaslResponse::Cancel),
            ("padding missing", b"AGEAYg", SaslResponse::Malformed),
            ("space", b"AGEA Yg==", SaslResponse::Malformed),
            ("empty as in AUTHENTICATE", b"=", SaslResponse::Malformed),
        ] {
            assert_eq!(SaslResponse::from_line(line), want, "{case}");
        }
        assert_eq!(SaslResponse::from_initial(b"="), data(b""));
        assert_eq!(SaslResponse::from_initial(b"AGEAYg=="), data(b"\0a\0b"));
        assert_eq!(SaslResponse::from_initial(b"*"), SaslResponse::Malformed);
        assert_eq!(SaslResponse::from_initial(b""), SaslResponse::Malformed);
        assert_eq!(format!("{:?}", data(b"secret")), "Data(..)");
    }

    #[test]
    fn done_is_without_case() {
        assert!(is_done(b"done"));
        assert!(!is_done(b"DONE "));
    }
}
