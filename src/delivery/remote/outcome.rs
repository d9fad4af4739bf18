//! How one attempt ended for one recipient.

use std::net::IpAddr;

use crate::mail::EnhancedCode;

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
    /// The session ended or never was one: another host of the destination may be tried.
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
