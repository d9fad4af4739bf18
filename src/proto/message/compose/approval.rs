//! Notices for those who decide about a held message (policy semantics §9, §13.4).

use super::super::date::format_date;
use super::{Stamp, headers_part, message_part, multipart, subject_of, text_part};
use crate::mail::{Address, ReversePath, Timestamp};

/// What makes a notice.
#[derive(Clone, Copy, Debug)]
pub struct Approval<'a> {
    /// By whom and when.
    pub stamp: Stamp<'a>,
    /// Who may decide.
    pub to: &'a Address,
    /// Why the message waits.
    pub cause: Cause<'a>,
    /// Who sent it.
    pub reverse_path: &'a ReversePath,
    /// Answers to this one-time address decide; `None` if there is none.
    pub answer_to: Option<&'a Address>,
    /// Until when a decision counts.
    pub until: Timestamp,
    /// The message.
    pub original: &'a [u8],
}

/// Why a message waits for approval.
#[derive(Clone, Copy, Debug)]
pub enum Cause<'a> {
    /// It is for a moderated group.
    Group(&'a Address),
    /// A mail rule of this name says so.
    Rule(&'a str),
}

/// The notice, for the null reverse-path. The original is attached octet by octet; of one above 1 MiB the header alone.
pub fn approval_notice(approval: &Approval<'_>) -> Vec<u8> {
    let subject = format!("Approval needed: {}", subject_of(approval.original));
    let mut header = approval.stamp.system_header(approval.to, &subject);
    if let Some(address) = approval.answer_to {
        header.address("Reply-To", address);
    }
    let is_attached = approval.original.len() <= MAX_ATTACHED;
    let attached = if is_attached { message_part(approval.original) } else { headers_part(approval.original) };
    multipart(header, &approval.stamp, "mixed", &[text_part(&explanation(approval, is_attached)), attached])
}

fn explanation(approval: &Approval<'_>, is_attached: bool) -> String {
    let cause = match approval.cause {
        Cause::Group(group) => format!("A message from {} to {group} waits for approval.", approval.reverse_path),
        Cause::Rule(rule) => {
            format!("A message from {} waits for approval by the rule \"{rule}\".", approval.reverse_path)
        }
    };
    let answer = match approval.answer_to {
        Some(_) => {
            "Answer with \"accept\" or \"refuse\" in the first line, or move the message in your folder Approvals."
        }
        None => "Move the message in your folder Approvals to Accept or Refuse.",
    };
    let attached =
        if is_attached { "The message is attached." } else { "Its header is attached; it is too large itself." };
    format!("{cause}\n\n{answer}\nThe first decision counts, until {}.\n\n{attached}\n", format_date(approval.until))
}

/// Octets of an original that is attached as a whole.
const MAX_ATTACHED: usize = 1024 * 1024;
