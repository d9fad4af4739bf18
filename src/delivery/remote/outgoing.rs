//! One message for one session: what is to be said of it, and where its octets are.

use crate::mail::{Address, ReversePath};
use crate::proto::smtp::{Notify, Ret};
use crate::store::Message;

/// A message and its recipients at one destination.
#[derive(Clone, Debug)]
pub struct Outgoing<'a> {
    /// Who gets reports.
    pub reverse_path: &'a ReversePath,
    /// What ENVID said, decoded (RFC 3461 §4.4).
    pub envelope_id: Option<&'a str>,
    /// What RET said (RFC 3461 §4.3).
    pub ret: Option<Ret>,
    /// It may go over verified TLS to hosts with REQUIRETLS only (RFC 8689).
    pub requires_tls: bool,
    /// In the order of the outcomes; not empty.
    pub recipients: &'a [OutgoingRecipient],
    /// Read from the store in pieces …
    pub message: &'a Message,
    /// … unless all of it is at hand, its prefix included.
    pub whole: Option<&'a [u8]>,
}

/// One recipient.
#[derive(Clone, Debug)]
pub struct OutgoingRecipient {
    /// Who.
    pub address: Address,
    /// What NOTIFY said (RFC 3461 §4.1).
    pub notify: Option<Notify>,
    /// The value of ORCPT as it came: type, semicolon, address in xtext (RFC 3461 §4.2).
    pub original: Option<String>,
}
