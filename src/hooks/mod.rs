//! Asks other programs about sessions and messages: milters, HTTP hooks, rspamd, clamd. Whatever they speak, each gives
//! an [`Answer`] in one form, which the server applies in one place; whatever goes wrong with one is a [`Failure`], for
//! which its settings say what to do.

mod answer;
mod breaker;
pub mod clamd;
mod content;
mod facts;
mod fields;
mod hook;
pub mod http;
mod line;
pub mod milter;
pub mod rspamd;
mod teacher;

pub use answer::{Answer, Change, Failure, Said, Verdict};
pub use clamd::Clamd;
pub use content::Content;
pub use facts::{Envelope, Facts, Peer, RecipientFacts, Secured};
pub use hook::{Counts, Hook, Hooks, Kind, Listens, OnFailure, Settings};
pub use http::HttpHook;
pub use line::{Handling, Line, Note, Ruling, UNCHECKED};
pub use milter::{Milter, MilterSession};
pub use rspamd::{Opinion, Rspamd};
pub use teacher::{Lesson, Teacher};

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

impl Stage {
    /// As in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Connect => "connect",
            Stage::Ehlo => "ehlo",
            Stage::Auth => "auth",
            Stage::Mail => "mail",
            Stage::Rcpt => "rcpt",
            Stage::Header => "header",
            Stage::Data => "data",
        }
    }
}

/// What somebody else has written, as one line of bounded length.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT).collect()
}

const MAX_TEXT: usize = 500;
