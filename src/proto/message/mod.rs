//! Messages (RFC 5322, MIME): structure while they stream by, ENVELOPE and BODYSTRUCTURE, header fields, text for SEARCH.
//!
//! Nothing here fails on bad input: every sequence of octets is a message, and what is malformed is shown as
//! `text/plain` or left out, so that ENVELOPE and BODYSTRUCTURE are always well-formed. Everything is bounded: header,
//! number of parts, nesting depth, addresses, octets of the result.
//!
//! - [`Scanner`] follows a message as it arrives and makes its [`Summary`]; [`Summary::range`] finds a section.
//! - [`header`] reads header fields; [`decode_text`] decodes their text (RFC 2047).
//! - [`header_from`] and its like say who a message claims to be from and to.
//! - [`Received`] reads which host a relay took a message from.
//! - [`SentDate`] reads and [`format_date`] writes the date of RFC 5322.
//! - [`Needle`] and [`SearchText`] serve SEARCH.
//! - [`Survey`] finds what transport a message needs.
//! - [`downgrade`] gives a message another form where there is none.
//! - [`compose`] writes the messages that this server makes.
//! - [`inspect`] looks into a message for the conditions of mail rules.

pub mod compose;
pub mod downgrade;
pub mod header;
pub mod inspect;

mod address_list;
mod addresses;
mod date;
mod decode;
mod envelope;
mod mime;
mod received;
mod record;
mod scanner;
mod search;
mod section;
mod structure;
mod survey;
mod wire;

#[cfg(test)]
mod tests;

use crate::mail::Span;
pub use addresses::{HeaderAddresses, header_from, sender_addresses, to_cc_addresses};
pub use date::{SentDate, format_date};
pub use decode::decode_text;
pub use received::Received;
pub use scanner::Scanner;
pub use search::{Needle, SearchText};
pub use section::Section;
pub use survey::{HeaderText, Survey, Surveyed};

/// What makes a form of a message: the same content for all, with another start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Front {
    /// The header fields that stand before the content, complete with CRLF.
    pub prefix: Vec<u8>,
    /// Octets of the content's header that are left out, since the prefix has another field instead.
    pub omitted: Option<Span>,
}

impl Front {
    /// Nothing is left out.
    pub fn new(prefix: Vec<u8>) -> Self {
        Self { prefix, omitted: None }
    }
}

/// What is kept of a message's structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The parenthesized ENVELOPE (RFC 3501 §7.4.2), 7-bit, ready to send.
    pub envelope: Vec<u8>,
    /// BODY, the non-extensible form, ready to send.
    pub body: Vec<u8>,
    /// BODYSTRUCTURE, ready to send.
    pub body_structure: Vec<u8>,
    /// The top-level part, with everything below it.
    pub root: Part,
}

/// A MIME part by its place in the content, or in what a form leaves of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Octets `header.0..header.1` of the content: the part's header with the blank line that ends it.
    pub header: (u64, u64),
    /// Octets of the body, without the CRLF that belongs to the boundary.
    pub body: (u64, u64),
    /// What lies inside.
    pub content: PartContent,
}

impl Part {
    /// The offsets of this part and of all inside it become those that `place` gives for them.
    fn map_offsets(&mut self, place: &impl Fn(u64) -> u64) {
        self.header = (place(self.header.0), place(self.header.1));
        self.body = (place(self.body.0), place(self.body.1));
        match &mut self.content {
            PartContent::Leaf => {}
            PartContent::Multipart(parts) => parts.iter_mut().for_each(|part| part.map_offsets(place)),
            PartContent::Message(top) => top.map_offsets(place),
        }
    }
}

/// What a part holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartContent {
    /// Neither a multipart nor a message.
    Leaf,
    /// The parts of a multipart; never empty.
    Multipart(Vec<Part>),
    /// The message inside a `message/rfc822` (or `message/global`): its header lies in this part's body.
    Message(Box<Part>),
}
