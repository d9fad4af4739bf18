//! The trace of a message as accept writes it: JSON for those who ask where a message is (policy semantics §13.5, §19;
//! issue "message trace").

use std::collections::HashSet;

use serde_json::{Value, json};

use super::assemble::Parts;
use super::held::{HeldPart, Reason, subject};
use super::letter::{Letter, Origin, Recipient};
use crate::directory::Directory;
use crate::hooks::Note;
use crate::mail::{AccountId, Address, EventKind, EventKinds, GroupId, ReversePath, RuleId, Timestamp};
use crate::policy::blocklist;
use crate::policy::lists::{Level, Listed, Says};
use crate::policy::sender::Sender;
use crate::proto::authres::DmarcResult;
use crate::proto::message::header;
use crate::routing::rules::End;
use crate::routing::{Addressed, Folder, Omitted, Receiver, Return, Skipped};
use crate::store::TraceWrite;

/// The trace of an accepted message.
pub fn accepted(letter: &Letter<'_>, parts: &Parts) -> TraceWrite {
    let (directory, expansion, plan) = (letter.directory, &parts.expansion, &parts.plan);
    let gone = |r: &Recipient| json!({ "address": r.address, "to": addressed(directory, &r.addressed), GONE: true });
    let recipients: Vec<Value> = named(letter)
        .map(|r| json!({ "address": r.address, "to": addressed(directory, &r.addressed) }))
        .chain(letter.hooked.removed.iter().map(gone))
        .take(MAX_LISTED)
        .collect();
    let groups: Vec<Value> = expansion
        .opened
        .iter()
        .take(MAX_LISTED)
        .map(|(id, from)| json!({ "id": id, "group": group(directory, *id), "from": from }))
        .collect();
    // Data that no API writes; whose members these are should know (policy semantics §6.3, E25).
    let ignored: Vec<Value> = expansion
        .opened
        .keys()
        .filter_map(|id| directory.group(*id))
        .filter(|group| !group.external_members && !group.members.external.is_empty())
        .take(MAX_LISTED)
        .map(|group| {
            tracing::warn!(group = %group.address, "members elsewhere are not allowed in this group: skipped");
            let members = group.members.external.iter().take(MAX_LISTED).map(Address::to_string);
            json!({ "group": group.address.to_string(), "members": members.collect::<Vec<_>>() })
        })
        .collect();
    let forwarded: Vec<Value> = plan
        .local
        .iter()
        .filter(|local| !local.forwarded_by.is_empty())
        .take(MAX_LISTED)
        .map(|local| json!({ "to": account(directory, local.account), "by": accounts(directory, &local.forwarded_by) }))
        .collect();
    let remote: Vec<Value> = plan
        .remote
        .iter()
        .take(MAX_LISTED)
        .map(|remote| {
            let how = match &remote.reverse_path {
                Return::Sender => "relayed",
                Return::Rewritten(_) => "forwarded",
                Return::Managers(_) => "external member",
                Return::Administrators => "named by a hook",
            };
            json!({ "to": remote.to, "as": how, "by": accounts(directory, &remote.forwarded_by) })
        })
        .collect();
    let mut record = facts(letter);
    let more = json!({
        "result": if parts.outcome.refused.is_some() { "refused" } else { "accepted" },
        "rules": parts.outcome.matched.iter().take(MAX_LISTED).map(|id| rule(directory, *id)).collect::<Vec<_>>(),
        "inspection": if parts.outcome.is_incomplete { "incomplete" } else { "complete" },
        "ended": ended(directory, parts),
        "copies": parts.outcome.copies.iter().map(|copy| json!({
            "monitor": account(directory, copy.monitor),
            "rules": copy.rules.iter().map(|id| rule(directory, *id)).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "recipients": recipients,
        "groups": groups,
        "ignored_external": ignored,
        "forwarded": forwarded,
        "remote": remote,
        "held": parts.held.len(),
        "held_groups": expansion.held.iter().map(|h| group(directory, h.group)).collect::<Vec<_>>(),
        "closed": expansion.closed.iter().map(|c| json!({
            "addressed": group(directory, c.addressed),
            "inner": c.inner.map(|id| group(directory, id)),
        })).collect::<Vec<_>>(),
        "skipped": expansion.skipped.iter().take(MAX_LISTED).map(|(id, why)| json!({
            "account": account(directory, *id),
            "why": skipped(*why),
        })).collect::<Vec<_>>(),
        "omitted": plan.omitted.iter().take(MAX_LISTED).map(|(id, why)| json!({
            "account": account(directory, *id),
            "why": omitted(*why),
        })).collect::<Vec<_>>(),
        "listed": plan.listed.iter().take(MAX_LISTED).map(|(id, listed)| json!({
            "account": account(directory, *id),
            "list": directory.account(*id).map(|a| listed.text(directory, a)),
        })).collect::<Vec<_>>(),
        "junk": junk(letter, parts),
        "accounts": plan.local.len(),
    });
    merge(&mut record, more);
    // That somebody monitors is nobody's business.
    let is_told = |held: &HeldPart| !matches!(held.reason, Reason::Copy { .. });
    // Of a refusal the session tells, with what it replied.
    let is_accepted = parts.outcome.refused.is_none();
    let events = EventKinds::NONE.with_if(EventKind::Accepted, is_accepted);
    TraceWrite {
        events: events.with_if(EventKind::Held, is_accepted && parts.held.iter().any(is_told)),
        record: encode(&record),
        sender: sender(&letter.sender.reverse_path),
        message_id: message_id(letter.header),
        recipients: letter
            .recipients
            .iter()
            .chain(letter.hooked.removed)
            .map(|r| r.address.clone())
            .chain(plan.remote.iter().map(|r| r.to.to_string()))
            .take(MAX_INDEXED)
            .collect(),
    }
}

/// The trace of a refusal, at whatever command; `facts` tells where it came from, `notes` what hooks have said.
pub fn refused(
    facts: Value,
    reverse_path: &ReversePath,
    recipients: Vec<String>,
    reply: &str,
    notes: &[Note],
) -> TraceWrite {
    let mut record = facts;
    merge(&mut record, hooked(notes));
    let listed: Vec<&String> = recipients.iter().take(MAX_LISTED).collect();
    merge(&mut record, json!({ "result": "refused", "reply": reply, "recipients": listed }));
    // RFC 5321 §4.2.1: 4yz is not the last word.
    let event = if reply.starts_with('4') { EventKind::Deferred } else { EventKind::Refused };
    TraceWrite {
        record: encode(&record),
        sender: sender(reverse_path),
        message_id: None,
        recipients: recipients.into_iter().take(MAX_REFUSED).collect(),
        events: event.into(),
    }
}

/// The trace of a message that was accepted and thrown away, because a hook wanted that.
pub fn discarded(letter: &Letter<'_>) -> TraceWrite {
    let mut record = facts(letter);
    let given = || named(letter).chain(letter.hooked.removed).map(|r| &r.address);
    let recipients: Vec<&String> = given().take(MAX_LISTED).collect();
    merge(&mut record, json!({ "result": "discarded", "recipients": recipients }));
    TraceWrite {
        record: encode(&record),
        sender: sender(&letter.sender.reverse_path),
        message_id: message_id(letter.header),
        recipients: given().take(MAX_INDEXED).cloned().collect(),
        events: EventKind::Accepted.into(),
    }
}

/// The trace of a message that this server made.
pub fn generated(header: &[u8], to: &Address, size: usize, now: Timestamp) -> TraceWrite {
    let record = json!({
        "time": now.millis(),
        "class": "O7",
        "result": "accepted",
        "reverse_path": "<>",
        "recipients": [to],
        "subject": subject(header),
        "message_id": message_id(header),
        "size": size,
    });
    TraceWrite {
        record: encode(&record),
        sender: None,
        message_id: message_id(header),
        recipients: vec![to.to_string()],
        events: EventKinds::NONE,
    }
}

/// The trace of an answer to a one-time address, of which nothing else is kept.
pub fn answered(
    origin: &Origin,
    sender: &Sender,
    header: &[u8],
    to: &Address,
    result: &str,
    now: Timestamp,
) -> TraceWrite {
    undelivered(origin, sender, header, to, json!({ "result": "answered", "answer": result }), now)
}

/// The trace of a bounce of a forward of which a copy is kept, and whether its account reads it.
pub fn bounced(
    origin: &Origin,
    sender: &Sender,
    header: &[u8],
    to: &Address,
    is_told: bool,
    now: Timestamp,
) -> TraceWrite {
    let result = if is_told { "accepted" } else { "dropped" };
    undelivered(origin, sender, header, to, json!({ "result": result, "bounce": "of a forward" }), now)
}

/// The trace of a message that is for none of its recipients.
fn undelivered(
    origin: &Origin,
    sender: &Sender,
    header: &[u8],
    to: &Address,
    more: Value,
    now: Timestamp,
) -> TraceWrite {
    let mut record = json!({
        "time": now.millis(),
        "class": sender.class(),
        "reverse_path": sender.reverse_path.to_string(),
        "recipients": [to],
        "subject": subject(header),
        "message_id": message_id(header),
    });
    merge(&mut record, more);
    merge(&mut record, serde_json::to_value(origin).unwrap_or_default());
    TraceWrite {
        record: encode(&record),
        sender: self::sender(&sender.reverse_path),
        message_id: message_id(header),
        recipients: vec![to.to_string()],
        events: EventKinds::NONE,
    }
}

/// A later event, which subscribers may hear of as `events`.
pub fn event(what: &str, details: Value, events: EventKinds) -> TraceWrite {
    let mut record = json!({ "event": what });
    merge(&mut record, details);
    TraceWrite { record: encode(&record), events, ..TraceWrite::default() }
}

fn facts(letter: &Letter<'_>) -> Value {
    let mut record = json!({
        "time": letter.now.millis(),
        "class": letter.sender.class(),
        "reverse_path": letter.sender.reverse_path.to_string(),
        "header_from": letter.from.addresses.iter().take(MAX_LISTED).collect::<Vec<_>>(),
        "subject": subject(letter.header),
        "message_id": message_id(letter.header),
        "size": letter.size,
        "spf": letter.auth.spf,
        "dkim": letter.auth.dkim,
        "dmarc": letter.auth.dmarc.result,
    });
    if letter.wishes.requires_tls {
        merge(&mut record, json!({ REQUIRES_TLS: true }));
    }
    merge(&mut record, serde_json::to_value(letter.origin).unwrap_or_default());
    merge(&mut record, hooked(letter.hooked.notes));
    let by_hooks = letter.recipients.iter().filter(|r| r.by_hook).take(MAX_LISTED);
    let by_hooks: Vec<Value> =
        by_hooks.map(|r| json!({ "address": r.address, "to": addressed(letter.directory, &r.addressed) })).collect();
    if !by_hooks.is_empty() {
        merge(&mut record, json!({ BY_HOOKS: by_hooks }));
    }
    record
}

/// The recipients that the sender has named and that stand. Whom a hook has named is apart from them, so that nobody
/// who may know of the former alone is told of the latter.
fn named<'a>(letter: &Letter<'a>) -> impl Iterator<Item = &'a Recipient> {
    letter.recipients.iter().filter(|recipient| !recipient.by_hook)
}

/// What hooks have said; nothing if none was asked.
fn hooked(notes: &[Note]) -> Value {
    if notes.is_empty() { json!({}) } else { json!({ "hooks": notes }) }
}

/// The Message-ID without its angle brackets, at most 998 octets (RFC 5322 §3.6.4).
fn message_id(header: &[u8]) -> Option<String> {
    let value = header::find(header, "Message-ID")?.value();
    let text = String::from_utf8_lossy(&value);
    let id: String = text.trim().trim_start_matches('<').trim_end_matches('>').chars().take(998).collect();
    (!id.is_empty()).then_some(id)
}

fn sender(reverse_path: &ReversePath) -> Option<String> {
    match reverse_path {
        ReversePath::Null => None,
        ReversePath::Address(address) => Some(address.to_string()),
    }
}

fn addressed(directory: &Directory, addressed: &Addressed) -> String {
    match addressed {
        Addressed::Account { account: id, .. } => account(directory, *id),
        Addressed::Group(id) => group(directory, *id),
        Addressed::External(address) => address.to_string(),
    }
}

fn account(directory: &Directory, id: AccountId) -> String {
    directory.account(id).map_or_else(|| format!("account {id}"), |a| a.address.to_string())
}

fn accounts(directory: &Directory, ids: &[AccountId]) -> Vec<String> {
    ids.iter().map(|id| account(directory, *id)).collect()
}

fn group(directory: &Directory, id: GroupId) -> String {
    directory.group(id).map_or_else(|| format!("group {id}"), |g| g.address.to_string())
}

fn rule(directory: &Directory, id: RuleId) -> String {
    directory.rule(id).map_or_else(|| format!("rule {id}"), |r| r.name.clone())
}

/// Deliveries that a rule ended: who, how, by which rule.
fn ended(directory: &Directory, parts: &Parts) -> Vec<Value> {
    let to = |place: &usize| match parts.expansion.deliveries.get(*place).map(|d| &d.to) {
        Some(Receiver::Account(id)) => account(directory, *id),
        Some(Receiver::External(address)) => address.to_string(),
        None => String::new(),
    };
    let how = |by: End| match by {
        End::Redirected => "redirected",
        End::Quarantined => "quarantined",
        End::Held(_) => "held",
        End::Rejected => "rejected",
        End::Discarded => "discarded",
    };
    let ended = parts.outcome.ended.iter().take(MAX_LISTED);
    ended.map(|(place, e)| json!({ "to": to(place), "how": how(e.by), "rule": rule(directory, e.rule) })).collect()
}

/// Copies that lie in Junk, and why.
fn junk(letter: &Letter<'_>, parts: &Parts) -> Vec<Value> {
    let directory = letter.directory;
    let (plan, by_rule) = (&parts.plan, &parts.outcome.junk);
    let blocks = |listed: &&(AccountId, Listed)| matches!(listed.1.says, Says::Blocked(_));
    let by_list: HashSet<AccountId> = plan.listed.iter().filter(blocks).map(|(id, _)| *id).collect();
    let why = |id: AccountId| match id {
        id if by_rule.contains(&id) => "mail rule",
        id if by_list.contains(&id) => "list of senders",
        _ if blocklist::is_junk(&letter.origin.blocklists) => "block list",
        _ if letter.auth.dmarc.result == DmarcResult::Fail => "DMARC",
        _ => "filter",
    };
    let copies = plan.local.iter().filter(|local| local.folder == Folder::Junk).take(MAX_LISTED);
    copies.map(|l| json!({ "account": account(directory, l.account), "why": why(l.account) })).collect()
}

fn skipped(why: Skipped) -> &'static str {
    match why {
        Skipped::Frozen => "frozen",
        Skipped::ReceiveScope => "receive scope",
        Skipped::IsSender => "is the sender",
    }
}

fn omitted(why: Omitted) -> &'static str {
    match why {
        Omitted::Blocked(Level::Account) => "sender blocked by the owner",
        Omitted::Blocked(Level::Domain) => "sender blocked by the domain",
        Omitted::Forwarded => "forwarded, no copy kept",
    }
}

fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}

fn encode(record: &Value) -> Vec<u8> {
    // Values with string keys: writing to memory cannot fail.
    serde_json::to_vec(record).unwrap_or_default()
}

/// Says of a message that it goes by REQUIRETLS (RFC 8689).
pub(super) const REQUIRES_TLS: &str = "requires_tls";

/// The recipients that hooks have named.
pub const BY_HOOKS: &str = "recipients_by_hooks";

/// Says of a recipient that the sender has named that a hook has taken it away.
pub(super) const GONE: &str = "removed_by_hook";

/// Objects of a kind that a record names one by one.
const MAX_LISTED: usize = 200;

/// The same of a refusal: it costs who is refused nothing, and must not fill the disk.
const MAX_REFUSED: usize = 50;

/// Recipients by which a message is found.
const MAX_INDEXED: usize = 11_000;
