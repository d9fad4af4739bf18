//! The request to confirm a forward (policy semantics §11.1).

use super::super::date::format_date;
use super::{Stamp, text};
use crate::mail::{Address, Timestamp};

/// What makes a request.
#[derive(Clone, Copy, Debug)]
pub struct Confirmation<'a> {
    /// By whom and when.
    pub stamp: Stamp<'a>,
    /// To whom mail would be forwarded.
    pub to: &'a Address,
    /// Whose mail.
    pub owner: &'a Address,
    /// Answers to this one-time address confirm.
    pub answer_to: &'a Address,
    /// Until when an answer counts.
    pub until: Timestamp,
}

/// The request, for the null reverse-path.
pub fn confirmation_request(request: &Confirmation<'_>) -> Vec<u8> {
    let subject = format!("Forwarding of mail for {}: please confirm", request.owner);
    let mut header = request.stamp.system_header(request.to, &subject);
    header.address("Reply-To", request.answer_to);
    let body = text::body(&explanation(request), "text/plain; charset=utf-8", &mut header);
    [header.finish(), body].concat()
}

fn explanation(request: &Confirmation<'_>) -> String {
    let Confirmation { owner, to, .. } = request;
    format!(
        "{owner} asks to have the mail that arrives there\nforwarded to you at {to}.\n\n\
         If you want this, answer this message with \"confirm\" in the first line,\n\
         until {}.\n\n\
         If you do not want it, or do not know who that is, do nothing:\n\
         without your answer no mail is forwarded to you.\n",
        format_date(request.until)
    )
}
