//! How one attempt ended for one recipient.

use std::net::IpAddr;

use crate::mail::EnhancedCode;
use crate::proto::smtp::client::RemoteReply;

/// How an attempt ended for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Where the recipient stands now.
    pub end: End,
    /// Whom it says something of.
    pub scope: Scope,
    /// RFC 3463; of a reply without one, the class of its code with `0.0`.
    pub status: EnhancedCode,
    /// The remote host's reply as it came, its lines separated by LF and at most 2,048 octets of it; or what stopped us,
    /// in our words.
    pub text: String,
    /// `text` is a reply.
    pub is_reply: bool,
    /// The host that was spoken to, if it came to that.
    pub host: Option<RemoteHost>,
    /// How the session was secured, such as `TLSv1.3 TLS13_AES_256_GCM_SHA384 (DANE)`; `None` if it was not.
    pub tls: Option<String>,
    /// The host has taken over what NOTIFY asks for (RFC 3461 §5.2.2).
    pub passed_on: bool,
}

/// Where a recipient stands after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The host has taken the message.
    Relayed,
    /// Not now.
    Deferred,
    /// Never.
    Failed,
}

/// Whom an outcome says something of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The recipient, or the message: another message may fare otherwise.
    Message,
    /// The session ended or never was one: another host of the destination may be tried. With [`End::Failed`] this
    /// host will never take it, and it has failed when no other is left.
    Host,
    /// The destination as a whole: no host of it can be found or used.
    Destination,
}

/// A host that was spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteHost {
    /// Its name, or its address in brackets.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
}

impl Outcome {
    /// What stopped us, in our words. `subject` and `detail` are those of the enhanced code, whose class follows from
    /// `end`.
    pub fn ours(end: End, scope: Scope, (subject, detail): (u16, u16), text: impl Into<String>) -> Self {
        let status = EnhancedCode::new(end.class(), subject, detail);
        let mut text = text.into();
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        Self { end, scope, status, text, is_reply: false, host: None, tls: None, passed_on: false }
    }

    /// What a host answered, where 2yz is the only way for it to take the message. A 3yz, which is an answer to
    /// something else, defers.
    pub fn of_reply(scope: Scope, reply: &RemoteReply) -> Self {
        let (end, status) = match reply.class() {
            2 => (End::Relayed, reply.status()),
            5 => (End::Failed, reply.status()),
            4 => (End::Deferred, reply.status()),
            _ => (End::Deferred, EnhancedCode::new(4, 5, 0)),
        };
        Self { end, scope, status, text: reply.text(), is_reply: true, host: None, tls: None, passed_on: false }
    }

    /// The same, deferred whatever the reply says; `detail` goes into its code.
    pub fn deferred(mut self, (subject, detail): (u16, u16)) -> Self {
        self.end = End::Deferred;
        self.status = EnhancedCode::new(4, subject, detail);
        self
    }

    /// The same, after speaking to that host.
    pub fn at(mut self, host: &RemoteHost, tls: Option<&str>) -> Self {
        self.host = Some(host.clone());
        self.tls = tls.map(str::to_owned);
        self
    }

    /// The more telling of two when no host is left: what may be otherwise later, a reply, and what came first.
    pub fn or_more_telling(self, other: Self) -> Self {
        let weight = |outcome: &Self| (outcome.end == End::Deferred, outcome.is_reply, outcome.host.is_some());
        if weight(&other) > weight(&self) { other } else { self }
    }
}

impl End {
    /// The class of the enhanced code that goes with it (RFC 3463 §2).
    pub const fn class(self) -> u8 {
        match self {
            Self::Relayed => 2,
            Self::Deferred => 4,
            Self::Failed => 5,
        }
    }
}

/// Words of ours may quote a reply.
const MAX_TEXT: usize = 2_048;
