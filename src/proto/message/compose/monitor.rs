//! Monitor copies (policy semantics §13.5): the block in front of a copy's header, and the report that has the original
//! attached.

use super::super::decode::decode_text;
use super::super::header::fields;
use super::field::Header;
use super::{Stamp, message_part, multipart, subject_of, text_part};
use crate::mail::{Address, ForwardPath, ReversePath};

/// What a monitor learns beside the message itself.
#[derive(Clone, Copy, Debug)]
pub struct MonitorFacts<'a> {
    /// The names of all rules that matched, in their order.
    pub rules: &'a [&'a str],
    /// What they matched.
    pub events: &'a [Event<'a>],
    /// MAIL FROM.
    pub reverse_path: &'a ReversePath,
    /// RCPT TO, whether or not the header names them.
    pub recipients: &'a [ForwardPath],
}

/// That an account sent or received the message.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The account of this address sent it.
    Sent(&'a Address),
    /// The account of this address received it.
    Received(&'a Address),
}

impl Event<'_> {
    fn text(&self) -> String {
        match self {
            Event::Sent(address) => format!("sent by {address}"),
            Event::Received(address) => format!("received by {address}"),
        }
    }
}

/// The fields that stand in front of the copy's own header.
pub fn monitor_block(facts: &MonitorFacts<'_>) -> Vec<u8> {
    let mut header = Header::default();
    for rule in facts.rules.iter().take(MAX_LISTED) {
        header.text(RULE, rule);
    }
    for event in facts.events.iter().take(MAX_LISTED) {
        header.text("X-Posthouse-Monitor-Event", &event.text());
    }
    header.text(REVERSE_PATH, &facts.reverse_path.to_string());
    for recipient in facts.recipients.iter().take(MAX_LISTED) {
        header.text("X-Posthouse-Monitor-Recipient", &recipient.to_string());
    }
    header.into_fields()
}

/// The report, with the original as it is.
pub fn monitor_report(stamp: &Stamp<'_>, to: &Address, facts: &MonitorFacts<'_>, original: &[u8]) -> Vec<u8> {
    let mut header = stamp.system_header(to, &format!("Monitored: {}", subject_of(original)));
    for rule in facts.rules.iter().take(MAX_LISTED) {
        header.text(RULE, rule);
    }
    let mut text = String::new();
    for rule in facts.rules.iter().take(MAX_LISTED) {
        text.push_str(&format!("Rule: {}\n", rule.replace(char::is_control, " ")));
    }
    for event in facts.events.iter().take(MAX_LISTED) {
        text.push_str(&format!("Event: {}\n", event.text()));
    }
    text.push_str(&format!("Reverse-path: {}\n", facts.reverse_path));
    for recipient in facts.recipients.iter().take(MAX_LISTED) {
        text.push_str(&format!("Recipient: {recipient}\n"));
    }
    multipart(header, stamp, "mixed", &[text_part(&text), message_part(original)])
}

/// The rules that a monitor's copy names, from the fields in front of it, or from the report's own header; `content` is
/// what stands behind the fields, or the start of it. A copy with a block is never read beyond it: what follows is the
/// sender's word.
pub fn monitor_rules(prefix: &[u8], content: &[u8]) -> Vec<String> {
    let names = |block| fields(block).filter(|f| f.is(RULE.as_bytes())).map(|f| decode_text(f.raw_value()));
    let of_block: Vec<String> = names(prefix).take(MAX_LISTED).collect();
    let has_block = fields(prefix).any(|field| field.is(REVERSE_PATH.as_bytes()));
    if has_block { of_block } else { names(content).take(MAX_LISTED).collect() }
}

const RULE: &str = "X-Posthouse-Monitor-Rule";
const REVERSE_PATH: &str = "X-Posthouse-Monitor-Reverse-Path";

/// Rules, events and recipients that are listed. A transaction has no more recipients, and an organisation no more
/// rules, by default.
const MAX_LISTED: usize = 500;
