//! Who asks.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::mail::AccountId;

/// Who makes a change, for the audit record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Actor {
    /// A local user, on the Unix socket.
    Unix {
        /// The user's number.
        uid: u32,
    },
    /// Who has the bearer token.
    Token {
        /// From where.
        client: SocketAddr,
    },
    /// A user, about what the directory lets it decide.
    Account {
        /// Which.
        account: AccountId,
        /// From where.
        client: SocketAddr,
    },
    /// Whoever answered a one-time address that was mailed to them.
    Answer {
        /// From where.
        client: SocketAddr,
    },
    /// The server itself, going on with what it had begun.
    Server,
}
