//! STORE and UID STORE (RFC 3501 §6.4.6).

use super::context::Context;
use super::selected::Selected;
use super::status::{Done, Outcome, Reason};
use super::view::{Expunges, View, numbers};
use crate::proto::imap::response::FetchResponse;
use crate::proto::imap::{Numbering, StoreChange, StoreFlags};
use crate::store::{FlagChange, FlagUpdate, Updated};

/// Changes flags and says what they are now.
pub async fn store(context: &mut Context, selected: &mut Selected, command: StoreFlags) -> Outcome {
    let uids = selected.resolve(command.numbering, &command.set)?;
    selected.writable()?;
    if command.unchanged_since.is_some() {
        return Err(Reason::NotOffered.into());
    }
    if uids.is_empty() {
        return Ok(Done::Plain);
    }
    // What others did is told before, so that after it the client can compute the outcome of .SILENT itself.
    selected.report(context, Expunges::Held, command.numbering).await?;

    let wanted = uids.len();
    let update = FlagUpdate { change: change(command.change), flags: command.flags };
    let updated = context.services.store.update_flags(selected.account, selected.mailbox, uids, update).await?;

    let silent = command.silent && only_ours(&selected.view, &updated, wanted);
    for entry in &updated.entries {
        selected.known.add(entry);
    }
    // A keyword that is new to the mailbox is made known before a message is shown with it.
    selected.report(context, Expunges::Held, command.numbering).await?;
    if !silent {
        let out = flags(&selected.view, &updated, command.numbering);
        context.connection.write(&out);
    }
    if command.numbering == Numbering::Sequence && updated.entries.len() < wanted {
        return Err(Reason::ExpungeIssued.into());
    }
    Ok(Done::Plain)
}

/// Nobody else changed the mailbox between what this session knew and its own change: each slice of 1,000 messages
/// is one MODSEQ. Otherwise the client has to be told the flags even of a silent STORE (RFC 3501 §6.4.6).
fn only_ours(view: &View, updated: &Updated, wanted: usize) -> bool {
    let slices = u64::try_from(wanted.div_ceil(SLICE)).unwrap_or(u64::MAX);
    updated.modseq.is_none_or(|now| now.number().saturating_sub(view.modseq().number()) <= slices)
}

fn flags(view: &View, updated: &Updated, numbering: Numbering) -> Vec<u8> {
    let mut out = Vec::new();
    let mut numbers = numbers(view.uids());
    for entry in &updated.entries {
        let Some(number) = numbers.of(entry.uid) else { continue };
        let mut fetch = FetchResponse::begin(&mut out, number);
        if numbering == Numbering::Uid {
            fetch.uid(&mut out, entry.uid);
        }
        fetch.flags(&mut out, &entry.flags, view.is_recent(entry.uid));
        fetch.end(&mut out);
    }
    out
}

fn change(change: StoreChange) -> FlagChange {
    match change {
        StoreChange::Replace => FlagChange::Replace,
        StoreChange::Add => FlagChange::Add,
        StoreChange::Remove => FlagChange::Remove,
    }
}

/// As [`crate::store::Store::update_flags`] says.
const SLICE: usize = 1000;
