//! Asks other programs about sessions and messages: milters, HTTP hooks, rspamd, clamd. Whatever they speak, each gives
//! an [`Answer`] in one form, which the server applies in one place; whatever goes wrong with one is a [`Failure`], for
//! which its settings say what to do.

mod answer;
mod content;
mod facts;
pub mod milter;

pub use answer::{Answer, Change, Failure, Said, Verdict};
pub use content::Content;
pub use facts::{Envelope, Facts, Peer, RecipientFacts, Secured};
pub use milter::{Milter, MilterSession};

/// Where in a session a hook is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// A client has connected.
    Connect,
    /// EHLO or HELO.
    Ehlo,
    /// A login that was right.
    Auth,
    /// MAIL, after policy has accepted it.
    Mail,
    /// RCPT, after policy has accepted it.
    Rcpt,
    /// The header, at the end of data.
    Header,
    /// The whole message.
    Data,
}
