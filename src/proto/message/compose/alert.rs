//! An alert for administrators.

use super::{Stamp, text};
use crate::mail::Address;

/// The alert, for the null reverse-path.
pub fn alert(stamp: &Stamp<'_>, to: &Address, subject: &str, explanation: &str) -> Vec<u8> {
    let mut header = stamp.system_header(to, subject);
    let body = text::body(explanation, "text/plain; charset=utf-8", &mut header);
    [header.finish(), body].concat()
}
