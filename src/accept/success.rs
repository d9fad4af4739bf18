//! Reports of success: who asked for one with NOTIFY=SUCCESS reads that the message is in the mailbox (RFC 3461 §4.1,
//! §6), or with the members of the group. Copies that rules make for monitors are no recipients and never in it
//! (policy semantics §13.5, W41). Nobody is told who could not be answered (§3.2), since the reverse-path may be a
//! bystander's.
//!
//! Of a message that goes elsewhere there is a report once it has gone there; of what waits for a decision or for room,
//! or was dropped by a rule, there is none.

use std::collections::HashSet;

use super::assemble::Parts;
use super::desk::Desk;
use super::generate;
use super::letter::{Letter, Recipient};
use crate::mail::{AccountId, Address, EnhancedCode, ReversePath};
use crate::proto::message::compose::{Action, Dsn, Failure, Reported, dsn};
use crate::routing::{Addressed, Receiver, Via};
use crate::store;

/// Tells the sender of what has been delivered, as far as it asked for that; `full` has no room yet.
pub async fn report(desk: &Desk, letter: &Letter<'_>, parts: &Parts, full: &[AccountId]) -> Result<(), store::Error> {
    let ReversePath::Address(to) = &letter.sender.reverse_path else { return Ok(()) };
    if !letter.sender.is_answerable() {
        return Ok(());
    }
    let reached = reached(letter.recipients, parts, full);
    if reached.is_empty() {
        return Ok(());
    }
    let recipients: Vec<Reported<'_>> = reached
        .iter()
        .map(|(recipient, address, action)| Reported {
            recipient: address,
            original_recipient: recipient.original.as_deref(),
            action: *action,
            failure: Failure::Other { status: EnhancedCode::new(2, 0, 0), text: text(*action) },
        })
        .collect();
    // RFC 3461 §4.3: whatever RET says, a report without a failure returns the header alone.
    let (envelope_id, arrived, original) = (letter.envelope_id, letter.now, letter.header);
    generate::send(desk, letter.directory, to, |stamp| {
        dsn(&Dsn { stamp: *stamp, to, envelope_id, arrived, recipients: &recipients, original })
    })
    .await
}

/// The recipients that asked and were reached, each once, with what was done.
fn reached<'a>(
    recipients: &'a [Recipient],
    parts: &Parts,
    full: &[AccountId],
) -> Vec<(&'a Recipient, Address, Action)> {
    let mut known = HashSet::new();
    recipients
        .iter()
        .filter(|recipient| recipient.notify.is_some_and(|notify| notify.success))
        .filter_map(|recipient| {
            let action = match &recipient.addressed {
                Addressed::Account { account, .. } => has_account(parts, *account, full).then_some(Action::Delivered),
                Addressed::Group(group) => {
                    let mut through = parts.expansion.deliveries.iter().filter_map(|delivery| match delivery.via {
                        Via::Group(inner) => Some(inner),
                        Via::Direct | Via::Postmaster | Via::CatchAll => None,
                    });
                    // Failures may still follow, and no further success (RFC 3464 §2.3.3).
                    let is_reached = through.any(|inner| parts.expansion.path(inner).first() == Some(group));
                    is_reached.then_some(Action::Expanded)
                }
                Addressed::External(_) => None,
            }?;
            let address = Address::parse(&recipient.address).ok()?;
            known.insert(address.key()).then_some((recipient, address, action))
        })
        .collect()
}

/// Some mailbox here has what was addressed to the account: its own, or that of an account to which it forwards.
fn has_account(parts: &Parts, account: AccountId, full: &[AccountId]) -> bool {
    let place = parts.expansion.deliveries.iter().position(|delivery| delivery.to == Receiver::Account(account));
    let has_room = |local: &&crate::routing::Local| !full.contains(&local.account);
    let mut locals = parts.plan.local.iter().filter(has_room);
    place.is_some_and(|place| locals.any(|local| local.delivery == place))
}

fn text(action: Action) -> &'static str {
    match action {
        Action::Delivered => "It is in the mailbox.",
        Action::Expanded => "The members of the group have it. There will be no further notice of success.",
        Action::Failed | Action::Delayed | Action::Relayed => "",
    }
}
