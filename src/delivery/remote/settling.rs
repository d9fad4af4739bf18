//! What an attempt means for its items, their senders and the log.

use super::outcome::{End, Outcome, Scope};
use super::schedule::{Patience, Step};
use crate::accept::sent::{Attempted, Happened};
use crate::mail::{EnhancedCode, Timestamp};
use crate::store::{Fate, LastAttempt, QueueItem, QueueKind};

/// What an attempt says of its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// A session could be had.
    Reached,
    /// None could.
    Unreached,
    /// It has taken long and relayed nothing.
    Slow,
}

/// What becomes of an item, and what is told of it.
pub(super) fn fate<'a>(
    patience: &Patience,
    item: &'a QueueItem,
    outcome: Outcome,
    step: Step,
    now: Timestamp,
) -> (Fate, Attempted<'a>) {
    let status = match step {
        Step::Failed { status, .. } => status,
        Step::Relayed { .. } | Step::Again { .. } => outcome.status,
    };
    let host = outcome.host.map(|host| format!("{} [{}]", host.name, host.address));
    let Outcome { text, is_reply, tls, .. } = outcome;
    let attempt = LastAttempt { at: now, status, text, is_reply, host, tls };
    let (what, report) = match step {
        Step::Relayed { report } => (Happened::Relayed, report),
        Step::Failed { report, .. } => (Happened::Failed, report),
        Step::Again { due, report } => {
            let until = item.created.after(patience.give_up_after);
            (Happened::Deferred { due, until }, report)
        }
    };
    let fate = match what {
        Happened::Deferred { due, .. } => Fate::Waits { due, last: attempt.clone(), is_announced: report },
        Happened::Relayed | Happened::Failed => Fate::Ends,
    };
    (fate, Attempted { item, what, attempt, report })
}

/// What the outcomes say of a destination with whose hosts no session could be had, if it may be otherwise later.
pub(super) fn unreached_by(outcomes: &[Outcome]) -> Option<Outcome> {
    let says = |outcome: &Outcome| outcome.end == End::Deferred && outcome.scope != Scope::Message;
    outcomes.iter().all(says).then(|| outcomes.first().cloned()).flatten()
}

/// One line for each recipient.
pub(super) fn log(item: &QueueItem, outcome: &Outcome, step: &Step) {
    let QueueKind::Remote(remote) = &item.kind else { return };
    let (result, due) = match step {
        Step::Relayed { .. } => ("relayed", None),
        Step::Failed { .. } => ("failed", None),
        Step::Again { due, .. } => ("deferred", Some(due.millis())),
    };
    let status: EnhancedCode = match step {
        Step::Failed { status, .. } => *status,
        Step::Relayed { .. } | Step::Again { .. } => outcome.status,
    };
    let host = outcome.host.as_ref().map(|host| format!("{} [{}]", host.name, host.address));
    tracing::info!(
        id = %item.transaction, item = %item.id, recipient = %remote.recipient, result, %status, host, due,
        tls = outcome.tls, attempt = item.attempts.saturating_add(1), text = ?outcome.text, "sent"
    );
}
