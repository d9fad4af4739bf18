//! Delivery status notifications (RFC 3464, RFC 6522), with the header of the original alone (policy semantics §6.5, §9,
//! §20). They go out with the null reverse-path, and only to answerable senders.

use super::super::date::format_date;
use super::{Stamp, headers_part, message_part, multipart, text_part};
use crate::mail::{Address, EnhancedCode, Timestamp};

/// What makes a notification.
#[derive(Clone, Copy, Debug)]
pub struct Dsn<'a> {
    /// By whom and when.
    pub stamp: Stamp<'a>,
    /// The reverse-path of the original.
    pub to: &'a Address,
    /// ENVID of the original (RFC 3461 §4.4).
    pub envelope_id: Option<&'a str>,
    /// When the original came.
    pub arrived: Timestamp,
    /// What happened, to each recipient that is reported.
    pub recipients: &'a [Reported<'a>],
    /// The original; its header is returned, or all of it.
    pub original: Original<'a>,
    /// The id under which this server's trace knows the original.
    pub trace: Option<&'a str>,
    /// Whoever reads it hears no more of the original, whatever else becomes of it.
    pub is_only: bool,
}

/// What is returned of the original.
#[derive(Clone, Copy, Debug)]
pub enum Original<'a> {
    /// Its header.
    Header(&'a [u8]),
    /// All of it (RET=FULL, RFC 3461 §4.3).
    Full(&'a [u8]),
}

/// What another host had to do with it.
#[derive(Clone, Copy, Debug)]
pub struct Attempted<'a> {
    /// The host, if one was reached.
    pub host: Option<&'a str>,
    /// Its reply.
    pub reply: Option<&'a str>,
    /// When that was.
    pub at: Timestamp,
    /// Until when it is tried.
    pub until: Option<Timestamp>,
}

/// What happened to one recipient.
#[derive(Clone, Copy, Debug)]
pub struct Reported<'a> {
    /// As addressed by the sender.
    pub recipient: &'a Address,
    /// ORCPT (RFC 3461 §4.2), with its type.
    pub original_recipient: Option<&'a str>,
    /// What was done.
    pub action: Action,
    /// Why.
    pub failure: Failure<'a>,
    /// The last attempt, if another host had to do with it.
    pub attempted: Option<Attempted<'a>>,
}

impl<'a> Reported<'a> {
    /// Not delivered, for this reason.
    pub fn failed(recipient: &'a Address, failure: Failure<'a>) -> Self {
        Self { recipient, original_recipient: None, action: Action::Failed, failure, attempted: None }
    }
}

/// What was done (RFC 3464 §2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Given up.
    Failed,
    /// Not yet, and still being tried.
    Delayed,
    /// Done.
    Delivered,
    /// Passed on to a host that sends no notifications.
    Relayed,
    /// Delivered to a group.
    Expanded,
}

/// Why: status and text of policy semantics §20.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure<'a> {
    /// A moderator or approver said no, perhaps with a text.
    NotApproved(Option<&'a str>),
    /// Nobody decided in time.
    NoDecision,
    /// A mail rule said no, perhaps with a text.
    Rule(Option<&'a str>),
    /// Part of the group is closed to the sender; the inner group is named where the sender may know it.
    PartClosed(Option<&'a Address>),
    /// The group's members elsewhere could not be reached.
    ExternalMembers,
    /// No member could be reached.
    NoMember,
    /// The sender could not be verified.
    Unverified,
    /// What another host answered, or what became of the attempts.
    Other {
        /// The status.
        status: EnhancedCode,
        /// What the sender reads.
        text: &'a str,
    },
}

impl Failure<'_> {
    /// The enhanced status code.
    pub fn status(&self) -> EnhancedCode {
        match self {
            Failure::NotApproved(_) | Failure::Rule(_) | Failure::ExternalMembers => EnhancedCode::new(5, 7, 1),
            Failure::NoDecision => EnhancedCode::new(5, 4, 7),
            Failure::PartClosed(_) => EnhancedCode::new(5, 7, 2),
            Failure::NoMember => EnhancedCode::new(5, 2, 4),
            Failure::Unverified => EnhancedCode::new(5, 7, 26),
            Failure::Other { status, .. } => *status,
        }
    }

    fn text(&self) -> String {
        match self {
            Failure::NotApproved(Some(text)) => format!("The message was not approved: {text}"),
            Failure::NotApproved(None) => "The message was not approved.".to_owned(),
            Failure::NoDecision => "The message was not approved in time.".to_owned(),
            Failure::Rule(text) => text.unwrap_or("Message refused by policy.").to_owned(),
            Failure::PartClosed(Some(inner)) => {
                format!("You are not permitted to send to {inner}, a part of this group.")
            }
            Failure::PartClosed(None) => "You are not permitted to send to a part of this group.".to_owned(),
            Failure::ExternalMembers => "Members of this group outside the organisation were not reached.".to_owned(),
            Failure::NoMember => "No member of this group could be reached.".to_owned(),
            Failure::Unverified => "You could not be verified as the sender.".to_owned(),
            Failure::Other { text, .. } => (*text).to_owned(),
        }
    }
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Action::Failed => "failed",
            Action::Delayed => "delayed",
            Action::Delivered => "delivered",
            Action::Relayed => "relayed",
            Action::Expanded => "expanded",
        }
    }

    fn subject(self) -> &'static str {
        match self {
            Action::Failed => "Undelivered mail",
            Action::Delayed => "Mail delayed",
            Action::Delivered | Action::Relayed | Action::Expanded => "Mail delivered",
        }
    }

    fn introduction(self) -> &'static str {
        match self {
            Action::Failed => "Your message was not delivered to:",
            Action::Delayed => "Your message is not delivered yet, and will be tried again, to:",
            Action::Delivered => "Your message was delivered to:",
            Action::Relayed => "Your message was passed on to a host that does not confirm delivery, for:",
            Action::Expanded => "Your message was delivered to the group:",
        }
    }
}

/// The notification, for the null reverse-path. It has at most [`MAX_REPORT`] octets: an original that would make it
/// longer is returned with its header alone, and of replies to many recipients the start is shown.
pub fn dsn(dsn: &Dsn<'_>) -> Vec<u8> {
    let worst = dsn.recipients.first().map_or(Action::Failed, |first| first.action);
    let header = dsn.stamp.system_header(dsn.to, worst.subject());
    let (explanation, status) = (text_part(&explanation(dsn)), status_part(dsn));
    let room = MAX_REPORT.saturating_sub(FRAME).saturating_sub(explanation.len()).saturating_sub(status.len());
    let returned = match dsn.original {
        Original::Full(message) if message.len() <= room => message_part(message),
        Original::Header(message) | Original::Full(message) => headers_part(message),
    };
    let parts = [explanation, status, returned];
    multipart(header, &dsn.stamp, "report; report-type=delivery-status", &parts)
}

/// For people.
fn explanation(dsn: &Dsn<'_>) -> String {
    let mut text = format!("This is the mail server {}.\n", dsn.stamp.host);
    for reported in dsn.recipients {
        let introduction = reported.action.introduction();
        let (recipient, why) = (reported.recipient, reported.failure.text());
        text.push_str(&format!("\n{introduction}\n\n    {recipient}\n\n{why}\n"));
        if let Some(attempted) = reported.attempted {
            text.push_str(&attempt(&attempted, dsn.recipients.len()));
        }
        if matches!(reported.action, Action::Failed | Action::Delayed)
            && let Some(meaning) = meaning(reported.failure.status())
        {
            text.push_str(&format!("\n{meaning}\n"));
        }
    }
    if dsn.is_only {
        text.push_str("\nYou are told of this message once, whoever else it does not get to.\n");
    }
    if let Some(id) = dsn.trace {
        text.push_str(&format!("\nThe administrators of this server find the message by its id:\n\n    {id}\n"));
    }
    text
}

/// As much of a reply as there is room for beside those to other recipients.
fn start(reply: &str, recipients: usize) -> &str {
    let most = REPLIES.checked_div(recipients).unwrap_or(REPLIES).max(SHORTEST_REPLY);
    reply.get(..reply.floor_char_boundary(most)).unwrap_or(reply)
}

/// What the other host said.
fn attempt(attempted: &Attempted<'_>, recipients: usize) -> String {
    let mut text = match (attempted.host, attempted.reply) {
        (Some(host), Some(reply)) => {
            let reply = start(reply, recipients);
            let reply: Vec<String> = reply.lines().map(|line| format!("    {}", printable(line))).collect();
            format!("\nThe host {host} said:\n\n{}\n", reply.join("\n"))
        }
        (Some(host), None) => format!("\nThe host was {host}.\n"),
        (None, _) => String::new(),
    };
    if let Some(until) = attempted.until {
        text.push_str(&format!("\nIt will be tried until {}.\n", format_date(until)));
    }
    text
}

/// What a status means for who sent the message (RFC 3463 §3), where that helps.
fn meaning(status: EnhancedCode) -> Option<&'static str> {
    let text = match status.subject_and_detail() {
        (1, 1) => "There is no such mailbox. Check the address for typing errors.",
        (1, 2) => "There is no such domain, or it takes no mail. Check the part after the @.",
        (1, 3) => "The address is not valid.",
        (1, 10) => "The domain says that it takes no mail at all.",
        (2, 1) => "The mailbox is disabled.",
        (2, 2) => "The mailbox is full. Try again when its owner may have made room.",
        (2, 3) | (3, 4) => "The message is too large for the recipient.",
        (4, 1) => "The recipient's server did not answer.",
        (4, 3) => "The recipient's domain could not be looked up.",
        (4, 4) => "No server takes mail for the recipient's domain.",
        (4, 6) => "The message would go round in circles between servers.",
        (4, 7) => "It was tried for as long as this server tries.",
        (6, 3) => "The recipient's server cannot take this kind of message.",
        (6, 7) => "The recipient's server cannot take addresses or headers with characters beyond ASCII.",
        (7, 1..=2) => "The recipient's server does not permit this message.",
        (7, 5) | (7, 10) | (7, 30) => "No connection that is secure enough could be made to the recipient's server.",
        (7, 26) => "The recipient's server could not verify that the message is from you.",
        _ => return None,
    };
    Some(text)
}

/// For programs (RFC 3464 §2).
fn status_part(dsn: &Dsn<'_>) -> Vec<u8> {
    let mut header = super::Header::default();
    header.raw("Content-Type", "message/delivery-status");
    let mut out = header.finish();
    let mut message = super::Header::default();
    if let Some(id) = dsn.envelope_id {
        message.raw("Original-Envelope-Id", &printable(id));
    }
    message.raw("Reporting-MTA", &format!("dns; {}", dsn.stamp.host));
    message.raw("Arrival-Date", &format_date(dsn.arrived));
    out.extend_from_slice(&message.into_fields());
    for reported in dsn.recipients {
        let mut recipient = super::Header::default();
        if let Some(original) = reported.original_recipient {
            recipient.raw("Original-Recipient", &printable(original));
        }
        recipient.raw("Final-Recipient", &typed(reported.recipient));
        recipient.raw("Action", reported.action.name());
        recipient.raw("Status", &reported.failure.status().to_string());
        if let Some(attempted) = reported.attempted {
            if let Some(host) = attempted.host {
                recipient.raw("Remote-MTA", &format!("dns; {}", printable(host)));
            }
            if let Some(reply) = attempted.reply {
                let reply = start(reply, dsn.recipients.len()).replace('\n', " ");
                recipient.raw("Diagnostic-Code", &format!("smtp; {}", printable(&reply)));
            }
            recipient.raw("Last-Attempt-Date", &format_date(attempted.at));
            if let Some(until) = attempted.until {
                recipient.raw("Will-Retry-Until", &format_date(until));
            }
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&recipient.into_fields());
    }
    out
}

/// As given, on one line: what stands here is compared, so it is neither folded nor encoded.
fn printable(text: &str) -> String {
    text.chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' }).collect()
}

/// RFC 3464 §2.1.2; beyond ASCII RFC 6533 §3, in its form for 7-bit transport.
fn typed(address: &Address) -> String {
    let text = address.to_string();
    if text.is_ascii() {
        return format!("rfc822; {text}");
    }
    let escaped = |c: char| match c {
        '\\' | '+' | '=' => format!("\\x{{{:02X}}}", u32::from(c)),
        '!'..='~' => c.to_string(),
        c => format!("\\x{{{:02X}}}", u32::from(c)),
    };
    format!("utf-8; {}", text.chars().map(escaped).collect::<String>())
}

/// Octets of a notification.
pub const MAX_REPORT: usize = 1 << 20;
/// Octets of its header and of what stands between its parts, at the most.
const FRAME: usize = 8 << 10;
/// Octets of the replies of other hosts that it shows in full.
const REPLIES: usize = 64 << 10;
/// Octets of each that it shows in any case.
const SHORTEST_REPLY: usize = 256;
