//! Reports of success: who asked for one with NOTIFY=SUCCESS reads that the message is in the mailbox (RFC 3461 §4.1,
//! §6), or with the members of the group. Copies that rules make for monitors are no recipients and never in it
//! (policy semantics §13.5, W41). Nobody is told who could not be answered (§3.2), since the reverse-path may be a
//! bystander's.
//!
//! Of a message that goes elsewhere there is a report once it has gone there; of what waits for a decision or for room,
//! or was dropped by a rule, there is none.

use std::collections::HashSet;

use super::assemble::Parts;
use super::errand::{Errand, Reached, Success};
use super::letter::{Letter, Recipient};
use crate::mail::{AccountId, Address, GroupId, ReversePath};
use crate::routing::{Addressed, Receiver, Via};

/// The report, if somebody is to have one.
pub fn of(letter: &Letter<'_>, parts: &Parts) -> Option<Errand> {
    let ReversePath::Address(to) = &letter.sender.reverse_path else { return None };
    if !letter.sender.is_answerable() {
        return None;
    }
    let mut known = HashSet::new();
    let asked = letter.recipients.iter().filter(|r| r.notify.is_some_and(|notify| notify.success));
    let reached = asked.filter_map(|r| reached(r, parts)).filter(|r| known.insert(r.recipient.key()));
    let reached: Vec<Reached> = reached.collect();
    let envelope_id = letter.wishes.envelope_id.map(str::to_owned);
    let requires_tls = letter.wishes.requires_tls;
    (!reached.is_empty())
        .then(|| Errand::Success(Success { to: to.clone(), envelope_id, reached, arrived: letter.now, requires_tls }))
}

fn reached(recipient: &Recipient, parts: &Parts) -> Option<Reached> {
    let (is_group, accounts) = match &recipient.addressed {
        Addressed::Account { account, .. } => (false, accounts(parts, *account)),
        Addressed::Group(group) => (is_open(parts, *group), Vec::new()),
        Addressed::External(_) => return None,
    };
    (is_group || !accounts.is_empty()).then_some(())?;
    let original = recipient.original.clone();
    Some(Reached { recipient: Address::parse(&recipient.address).ok()?, original, is_group, accounts })
}

/// Somebody got the message through the group.
fn is_open(parts: &Parts, group: GroupId) -> bool {
    // By the plan: what a rule ended is among the deliveries still.
    let planned = parts.plan.local.iter().map(|l| l.delivery).chain(parts.plan.remote.iter().map(|r| r.delivery));
    planned.filter_map(|place| parts.expansion.deliveries.get(place)).any(|delivery| match delivery.via {
        Via::Group(inner) => parts.expansion.path(inner).first() == Some(&group),
        Via::Direct | Via::Postmaster | Via::CatchAll => false,
    })
}

/// Those here that get what was addressed to the account: itself, or those to which it forwards.
fn accounts(parts: &Parts, account: AccountId) -> Vec<AccountId> {
    let place = parts.expansion.deliveries.iter().position(|delivery| delivery.to == Receiver::Account(account));
    let locals = parts.plan.local.iter().filter(|local| Some(local.delivery) == place);
    locals.map(|local| local.account).collect()
}
