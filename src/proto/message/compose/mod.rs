//! The messages that this server makes: auto replies, delivery status notifications, notices for approvers, requests to
//! confirm forwards, monitor reports, reports on TLS, alerts. Each is complete (RFC 5322, MIME), with CRLF, and 7-bit but for addresses beyond ASCII (RFC 6532) and
//! attached originals.
//!
//! No value can end its line: control characters are dropped where a field or text is written, whatever came in.

mod alert;
mod approval;
mod auto_reply;
mod confirmation;
mod field;
mod list_id;
mod monitor;
mod report;
mod subject;
mod text;
mod tls_report;
mod words;

#[cfg(test)]
mod tests;

use memchr::memmem;

use super::date::format_date;
use super::header::fields;
use crate::mail::{Address, Domain, Language, Timestamp};
use field::Header;

pub use alert::alert;
pub use approval::{Approval, Cause, approval_notice};
pub use auto_reply::{AutoReply, auto_reply};
pub use confirmation::{Confirmation, confirmation_request};
pub use field::{header_field, is_field_name};
pub use list_id::list_id_field;
pub use monitor::{Event, MonitorFacts, monitor_block, monitor_report, monitor_rules};
pub use report::{Action, Attempted, Dsn, Failure, MAX_REPORT, Original, Reported, Told, dsn};
pub use subject::{NewSubject, prefixed_subject};
pub use tls_report::{TlsReport, tls_report};

/// Who makes a message, when, and under which id.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// The name of this server.
    pub host: &'a Domain,
    /// Letters and digits that no other message has.
    pub id: &'a str,
    /// The time.
    pub now: Timestamp,
}

impl Stamp<'_> {
    /// The fields that every message has.
    fn header(&self) -> Header {
        let mut header = Header::default();
        header.raw("Date", &format_date(self.now));
        header.raw("Message-ID", &format!("<{}@{}>", self.token(), self.host));
        header.raw("MIME-Version", "1.0");
        header
    }

    /// Those of a message that nobody in particular wrote.
    fn system_header(&self, to: &Address, subject: &str) -> Header {
        let mut header = self.header();
        header.raw("From", &format!("Mail Delivery System <postmaster@{}>", self.host));
        header.address("To", to);
        header.text("Subject", subject);
        // RFC 3834 §5
        header.raw("Auto-Submitted", "auto-generated");
        header
    }

    fn token(&self) -> String {
        self.id.chars().filter(char::is_ascii_alphanumeric).collect()
    }
}

/// A multipart of parts that are complete with their headers. The boundary occurs in none of them.
fn multipart(mut header: Header, stamp: &Stamp<'_>, kind: &str, parts: &[Vec<u8>]) -> Vec<u8> {
    let candidates = (0u32..).map(|n| format!("=_{}_{n}", stamp.token()));
    let is_free = |boundary: &String| parts.iter().all(|part| memmem::find(part, boundary.as_bytes()).is_none());
    // Parts of finite length cannot hold every candidate.
    let boundary = candidates.into_iter().find(is_free).unwrap_or_default();
    header.raw("Content-Type", &format!("multipart/{kind};\r\n boundary=\"{boundary}\""));
    let mut out = header.finish();
    for part in parts {
        out.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    out
}

/// A part of type text/plain.
fn text_part(text: &str) -> Vec<u8> {
    let mut header = Header::default();
    let body = text::body(text, "text/plain; charset=utf-8", &mut header);
    [header.finish(), body].concat()
}

/// The same in this language, which it names (RFC 3282).
fn text_part_in(language: Language, text: &str) -> Vec<u8> {
    let mut header = Header::default();
    header.raw("Content-Language", language.tag());
    let body = text::body(text, "text/plain; charset=utf-8", &mut header);
    [header.finish(), body].concat()
}

/// The original, octet by octet (RFC 2046 §5.2.1).
fn message_part(original: &[u8]) -> Vec<u8> {
    let mut header = Header::default();
    header.raw("Content-Type", "message/rfc822");
    header.raw("Content-Disposition", "attachment");
    header.raw("Content-Transfer-Encoding", if original.is_ascii() { "7bit" } else { "8bit" });
    [header.finish(), original.to_vec()].concat()
}

/// The header of the original alone (RFC 6522 §4).
fn headers_part(original: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    for field in fields(original) {
        if kept.len() + field.raw.len() > MAX_RETURNED {
            break;
        }
        kept.extend_from_slice(field.raw);
    }
    let mut header = Header::default();
    header.raw("Content-Type", "text/rfc822-headers");
    let body = text::octets(&kept, &mut header);
    [header.finish(), body].concat()
}

/// The original's subject as text, empty if it has none.
fn subject_of(original: &[u8]) -> String {
    super::header::find(original, "Subject").map(|field| super::decode_text(field.raw_value())).unwrap_or_default()
}

/// Octets of a returned header.
const MAX_RETURNED: usize = 64 * 1024;
