//! What hooks are told. No password and nothing made of one is ever among it.

use std::net::SocketAddr;

use serde::Serialize;

use crate::mail::{Address, BlobId, Timestamp};
use crate::proto::authres::AuthResults;

/// What is known of a session so far, and of its transaction.
#[derive(Clone, Debug, Serialize)]
pub struct Facts {
    /// Now, in milliseconds since 1970.
    pub time: Timestamp,
    /// Our host name.
    pub hostname: String,
    /// The listener: `smtp` or `submission`.
    pub listener: &'static str,
    /// Who has connected.
    pub peer: Peer,
    /// How the session is secured; `None` without TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Secured>,
    /// The name of the client at EHLO or HELO.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub helo: Option<String>,
    /// By EHLO.
    pub is_extended: bool,
    /// The account that has logged in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<Address>,
    /// The transaction; `None` before MAIL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub envelope: Option<Envelope>,
    /// What email authentication found; `None` before the end of data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<AuthResults>,
}

/// Who has connected.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Peer {
    /// From where: the client for whom a trusted proxy or gateway speaks.
    pub client: SocketAddr,
    /// To where.
    pub local: SocketAddr,
}

/// How a session is secured.
#[derive(Clone, Debug, Serialize)]
pub struct Secured {
    /// As `TLSv1.3`.
    pub version: String,
    /// The cipher suite, as `TLS_AES_256_GCM_SHA384`.
    pub cipher: String,
}

/// A mail transaction.
#[derive(Clone, Debug, Serialize)]
pub struct Envelope {
    /// The id of the message; `None` before its data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<BlobId>,
    /// MAIL FROM without angle brackets; empty if it is null.
    pub reverse_path: String,
    /// The parameters of MAIL that are known, each as `SIZE=100`.
    pub parameters: Vec<String>,
    /// RCPT TO, as accepted so far; at RCPT the last is the one that is asked about.
    pub recipients: Vec<RecipientFacts>,
    /// Octets of the message; `None` before its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// A recipient.
#[derive(Clone, Debug, Serialize)]
pub struct RecipientFacts {
    /// As given, `postmaster` for `<Postmaster>`.
    pub address: String,
    /// The parameters that are known, each as `NOTIFY=NEVER`.
    pub parameters: Vec<String>,
}
