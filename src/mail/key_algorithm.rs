//! What keys that are published in the DNS sign with (RFC 6376 §3.3, RFC 8463).

use serde::{Deserialize, Serialize};

/// What a key signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyAlgorithm {
    /// `rsa-sha256`, 2048 bits (RFC 8301 §3.2).
    Rsa,
    /// `ed25519-sha256` (RFC 8463).
    Ed25519,
}

impl KeyAlgorithm {
    /// Those with which a domain signs.
    pub const ALL: [Self; 2] = [Self::Rsa, Self::Ed25519];

    /// `k=` (RFC 6376 §3.6.1, RFC 8463 §4).
    pub const fn key_type(self) -> &'static str {
        match self {
            Self::Rsa => "rsa",
            Self::Ed25519 => "ed25519",
        }
    }

    /// `a=` (RFC 6376 §3.3, RFC 8463 §3).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rsa => "rsa-sha256",
            Self::Ed25519 => "ed25519-sha256",
        }
    }
}
