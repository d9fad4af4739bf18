//! What hooks say, whatever they speak.

use std::fmt;

use crate::mail::{Address, EnhancedCode, ReversePath};

/// What a hook says at a stage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// What is to become of the session, the command or the message.
    pub verdict: Verdict,
    /// What is to be changed, in order. What is said from MAIL on counts at the end of data; before that there is nothing to
    /// change.
    pub changes: Vec<Change>,
    /// Why, in words for the trace: a score, the name of a virus.
    pub reasons: Vec<String>,
}

/// What is to become of the session, the command or the message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    #[default]
    Continue,
    /// Go on, and do not ask this hook about the rest: of the message, or of the session if there is none.
    Stop,
    /// No (5yz).
    Refuse(Said),
    /// Not now (4yz).
    Defer(Said),
    /// Say yes and throw it away.
    Discard,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Continue => f.write_str("continue"),
            Verdict::Stop => f.write_str("stop"),
            Verdict::Refuse(said) => write!(f, "refuse {said}"),
            Verdict::Defer(said) => write!(f, "defer {said}"),
            Verdict::Discard => f.write_str("discard"),
        }
    }
}

/// A reply in a hook's words, made safe: printable ASCII, bounded, no line of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    code: Option<u16>,
    status: Option<EnhancedCode>,
    text: String,
}

/// A change of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A field above all others.
    AddField {
        /// Its name.
        name: String,
        /// Its value as it will be written, without the end of its last line.
        value: Vec<u8>,
    },
    /// A field gets another value, or goes.
    ChangeField {
        /// Its name.
        name: String,
        /// Which of that name, from 1.
        index: u32,
        /// The new value; `None` takes the field away.
        value: Option<Vec<u8>>,
    },
    /// Another body.
    Body(Vec<u8>),
    /// Another reverse-path.
    ReversePath(ReversePath),
    /// One more recipient.
    AddRecipient(Address),
    /// One less.
    RemoveRecipient(Address),
    /// To these instead of its recipients.
    Redirect(Vec<Address>),
    /// Into the Junk folder of each.
    Junk,
    /// It waits for an administrator, who is told why.
    Quarantine(String),
}

/// Why a hook has given no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It cannot be reached.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// It took too long.
    #[error("no answer in time")]
    Timeout,
    /// What it said is against its protocol.
    #[error("answers what cannot be understood: {0}")]
    Protocol(String),
    /// It has failed so often that it is left alone for a while.
    #[error("left alone after failing repeatedly")]
    Suspended,
    /// The message could not be read for it.
    #[error("the message cannot be read: {0}")]
    Store(crate::store::Error),
}

impl Said {
    /// A reply: the code if it is one of `class` (4 or 5), the enhanced code if it is of that class too (RFC 3463), and
    /// the text as far as it can stand in a reply line (RFC 5321 §4.2): other characters become `?`, at most 400 octets.
    pub fn new(class: u8, code: Option<u16>, status: Option<EnhancedCode>, text: &str) -> Self {
        let code = code.filter(|code| code / 100 == u16::from(class) && code % 100 < 60);
        let status = status.filter(|status| status.class() == class);
        let text = text.trim().chars().take(MAX_TEXT).map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect();
        Self { code, status, text }
    }

    /// The basic code, if one was given.
    pub fn code(&self) -> Option<u16> {
        self.code
    }

    /// The enhanced code, if one was given.
    pub fn status(&self) -> Option<EnhancedCode> {
        self.status
    }

    /// The text; empty if none was given.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// As far as it was given.
impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map(|code| format!("{code} ")).unwrap_or_default();
        let status = self.status.map(|status| format!("{status} ")).unwrap_or_default();
        write!(f, "{code}{status}{}", self.text)
    }
}

const MAX_TEXT: usize = 400;
