//! Delivery status notifications (RFC 3464, RFC 6522), with the header of the original alone (policy semantics §6.5, §9,
//! §20). They go out with the null reverse-path, and only to answerable senders.

use super::super::date::{format_date, format_numeric_date};
use super::words::{self, Words, with};
use super::{Stamp, headers_part, message_part, multipart, text_part_in};
use crate::mail::{Address, EnhancedCode, Language, Timestamp};

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
    /// For people.
    pub language: Language,
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
    /// What there is to say in each language.
    Told {
        /// The status.
        status: EnhancedCode,
        /// What.
        what: Told,
    },
    /// What became of the attempts.
    Other {
        /// The status.
        status: EnhancedCode,
        /// What the sender reads.
        text: &'a str,
    },
}

/// What is said of a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Its host did not take the message.
    NotTaken,
    /// Its host does not confirm deliveries.
    Unconfirmed,
    /// It has the message.
    InMailbox,
    /// Its members have the message.
    InGroup,
    /// It has no room.
    MailboxFull,
}

impl Told {
    fn text(self, words: &Words) -> &'static str {
        match self {
            Told::NotTaken => words.not_taken,
            Told::Unconfirmed => words.unconfirmed,
            Told::InMailbox => words.in_mailbox,
            Told::InGroup => words.in_group,
            Told::MailboxFull => words.mailbox_full,
        }
    }
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
            Failure::Told { status, .. } | Failure::Other { status, .. } => *status,
        }
    }

    fn text(&self, words: &Words) -> String {
        match self {
            Failure::NotApproved(Some(text)) => with(words.not_approved_because, text),
            Failure::NotApproved(None) => words.not_approved.to_owned(),
            Failure::NoDecision => words.no_decision.to_owned(),
            Failure::Rule(text) => text.unwrap_or(words.policy).to_owned(),
            Failure::PartClosed(Some(inner)) => with(words.part_closed, inner),
            Failure::PartClosed(None) => words.some_part_closed.to_owned(),
            Failure::ExternalMembers => words.external_members.to_owned(),
            Failure::NoMember => words.no_member.to_owned(),
            Failure::Unverified => words.unverified.to_owned(),
            Failure::Told { what, .. } => what.text(words).to_owned(),
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

    fn subject(self, words: &Words) -> &'static str {
        match self {
            Action::Failed => words.failed_subject,
            Action::Delayed => words.delayed_subject,
            Action::Delivered | Action::Relayed | Action::Expanded => words.delivered_subject,
        }
    }

    fn introduction(self, words: &Words) -> &'static str {
        match self {
            Action::Failed => words.failed,
            Action::Delayed => words.delayed,
            Action::Delivered => words.delivered,
            Action::Relayed => words.relayed,
            Action::Expanded => words.expanded,
        }
    }
}

/// The notification, for the null reverse-path. It has at most [`MAX_REPORT`] octets: an original that would make it
/// longer is returned with its header alone, and of replies to many recipients the start is shown.
pub fn dsn(dsn: &Dsn<'_>) -> Vec<u8> {
    let worst = dsn.recipients.first().map_or(Action::Failed, |first| first.action);
    let words = words::of(dsn.language);
    let header = dsn.stamp.system_header(dsn.to, worst.subject(words));
    let (explanation, status) = (text_part_in(dsn.language, &explanation(dsn, words)), status_part(dsn));
    let room = MAX_REPORT.saturating_sub(FRAME).saturating_sub(explanation.len()).saturating_sub(status.len());
    let returned = match dsn.original {
        Original::Full(message) if message.len() <= room => message_part(message),
        Original::Header(message) | Original::Full(message) => headers_part(message),
    };
    let parts = [explanation, status, returned];
    multipart(header, &dsn.stamp, "report; report-type=delivery-status", &parts)
}

/// For people.
fn explanation(dsn: &Dsn<'_>, words: &Words) -> String {
    let mut text = format!("{}\n", with(words.server, dsn.stamp.host));
    for reported in dsn.recipients {
        let introduction = reported.action.introduction(words);
        let (recipient, why) = (reported.recipient, reported.failure.text(words));
        text.push_str(&format!("\n{introduction}\n\n    {recipient}\n\n{why}\n"));
        if let Some(attempted) = reported.attempted {
            text.push_str(&attempt(&attempted, dsn, words));
        }
        if matches!(reported.action, Action::Failed | Action::Delayed)
            && let Some(meaning) = meaning(reported.failure.status(), words)
        {
            text.push_str(&format!("\n{meaning}\n"));
        }
    }
    if dsn.is_only {
        text.push_str(&format!("\n{}\n", words.once));
    }
    if let Some(id) = dsn.trace {
        text.push_str(&format!("\n{}\n\n    {id}\n", words.trace));
    }
    text
}

/// As much of a reply as there is room for beside those to other recipients.
fn start(reply: &str, recipients: usize) -> &str {
    let most = REPLIES.checked_div(recipients).unwrap_or(REPLIES).max(SHORTEST_REPLY);
    reply.get(..reply.floor_char_boundary(most)).unwrap_or(reply)
}

/// What the other host said.
fn attempt(attempted: &Attempted<'_>, dsn: &Dsn<'_>, words: &Words) -> String {
    let mut text = match (attempted.host, attempted.reply) {
        (Some(host), Some(reply)) => {
            let reply = start(reply, dsn.recipients.len());
            let reply: Vec<String> = reply.lines().map(|line| format!("    {}", printable(line))).collect();
            format!("\n{}\n\n{}\n", with(words.host_said, host), reply.join("\n"))
        }
        (Some(host), None) => format!("\n{}\n", with(words.host_was, host)),
        (None, _) => String::new(),
    };
    if let Some(until) = attempted.until {
        let until = match dsn.language {
            Language::English => format_date(until),
            // Which has English words.
            _ => format_numeric_date(until),
        };
        text.push_str(&format!("\n{}\n", with(words.until, until)));
    }
    text
}

/// What a status means for who sent the message (RFC 3463 §3), where that helps.
fn meaning(status: EnhancedCode, words: &Words) -> Option<&'static str> {
    let text = match status.subject_and_detail() {
        (1, 1) => words.no_mailbox,
        (1, 2) => words.no_domain,
        (1, 3) => words.bad_address,
        (1, 10) => words.takes_no_mail,
        (2, 1) => words.disabled,
        (2, 2) => words.is_full,
        (2, 3) | (3, 4) => words.too_large,
        (4, 1) => words.no_answer,
        (4, 3) => words.no_lookup,
        (4, 4) => words.no_server,
        (4, 6) => words.in_circles,
        (4, 7) => words.too_long,
        (6, 3) => words.wrong_kind,
        (6, 7) => words.only_ascii,
        (7, 1..=2) => words.not_permitted,
        (7, 5) | (7, 10) | (7, 30) => words.insecure,
        (7, 26) => words.not_verified,
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
