//! Automatic replies (policy semantics §12, RFC 3834 §3.1): no quotation, no attachment, null reverse-path.

use super::super::header::{self, Field, fields};
use super::{Stamp, subject_of, text};
use crate::mail::Address;

/// What makes an automatic reply.
#[derive(Clone, Copy, Debug)]
pub struct AutoReply<'a> {
    /// By whom and when.
    pub stamp: Stamp<'a>,
    /// The address of the account that the message was to.
    pub from: &'a Address,
    /// The reverse-path of the message.
    pub to: &'a Address,
    /// Goes in front of the subject.
    pub subject_prefix: &'a str,
    /// The header of the message that is answered.
    pub original: &'a [u8],
    /// What the owner says.
    pub text: &'a str,
}

/// The reply, for the null reverse-path.
pub fn auto_reply(reply: &AutoReply<'_>) -> Vec<u8> {
    let mut header = reply.stamp.header();
    header.address("From", reply.from);
    header.address("To", reply.to);
    header.text("Subject", &format!("{} {}", reply.subject_prefix.trim_end(), subject_of(reply.original)));
    header.raw("Auto-Submitted", "auto-replied");
    let id = header::find(reply.original, "Message-ID").and_then(|field| message_ids(&field).pop());
    if let Some(id) = &id {
        header.raw("In-Reply-To", id);
    }
    let mut references: Vec<String> =
        fields(reply.original).find(|field| field.is(b"References")).map(|f| message_ids(&f)).unwrap_or_default();
    references.extend(id);
    // The first names the thread; of the others the latest matter.
    if references.len() > MAX_REFERENCES {
        references.drain(1..references.len() - MAX_REFERENCES + 1);
    }
    if !references.is_empty() {
        header.raw("References", &references.join("\r\n "));
    }
    let body = text::body(reply.text, "text/plain; charset=utf-8", &mut header);
    [header.finish(), body].concat()
}

/// The message ids in a field (RFC 5322 §3.6.4); what is none is left out.
fn message_ids(field: &Field<'_>) -> Vec<String> {
    let value = String::from_utf8(field.value()).unwrap_or_default();
    let is_id = |word: &&str| {
        (3..=MAX_ID).contains(&word.len())
            && word.starts_with('<')
            && word.ends_with('>')
            && word.bytes().all(|b| b.is_ascii_graphic())
    };
    value.split_ascii_whitespace().filter(is_id).map(str::to_owned).collect()
}

const MAX_REFERENCES: usize = 20;

/// Octets of one id; RFC 5322 §2.1.1 gives a line no more than 998.
const MAX_ID: usize = 500;
