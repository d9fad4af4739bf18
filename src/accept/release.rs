//! Decisions on held messages, and carrying them out (policy semantics §9, §13.4). The first decision wins; carrying it
//! out is done again after a crash until it is finished, and gives nobody a second copy.

use super::aftermath;
use super::assemble::{Parts, assemble_expansion};
use super::desk::Desk;
use super::held::{HeldPart, Reason};
use super::judge::{Source, Step};
use super::letter::{Letter, Recipient};
use super::record;
use crate::directory::Directory;
use crate::mail::{Address, HoldId, ReversePath};
use crate::proto::message::compose::{Failure, Reported};
use crate::proto::message::{HeaderAddresses, Scanner};
use crate::routing::rules::Position;
use crate::routing::{self, Addressed, Expansion, Resolution};
use crate::store::{self, Continuation, Form, FormSource, Held, HoldState, Reader};

/// What somebody decided.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Let it through.
    pub accepted: bool,
    /// Who decided.
    pub by: String,
    /// What the sender reads of a refusal.
    pub text: String,
}

/// Decides a held message and carries it out. [`store::Error::Exists`] if it is decided already.
pub async fn decide(desk: &Desk, directory: &Directory, id: HoldId, verdict: Verdict) -> Result<Held, store::Error> {
    let Verdict { accepted, by, text } = verdict;
    let text: String = text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect();
    let by: String = by.chars().take(MAX_TEXT).collect();
    let held = desk.store.decide(id, accepted, by, text, desk.clock.now()).await?;
    carry_out(desk, directory, &held).await?;
    Ok(held)
}

/// What the silence of those who should have decided means: refused, or released if the rule says so.
pub async fn time_out(desk: &Desk, directory: &Directory, held: &Held) -> Result<(), store::Error> {
    let part = HeldPart::decode(&held.data);
    let accepted = matches!(part.map(|p| p.reason), Some(Reason::Rule { releases_at_timeout: true, .. }));
    let verdict = Verdict { accepted, by: TIMEOUT.to_owned(), text: String::new() };
    match decide(desk, directory, held.id, verdict).await {
        // Somebody was faster.
        Ok(_) | Err(store::Error::Exists) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Carries out a decision that was made.
pub async fn carry_out(desk: &Desk, directory: &Directory, held: &Held) -> Result<(), store::Error> {
    let HoldState::Decided(decision) = &held.state else { return Ok(()) };
    if decision.finished.is_some() {
        return Ok(());
    }
    let part = HeldPart::decode(&held.data).ok_or(store::Error::Corrupt)?;
    if decision.accepted {
        release(desk, directory, held, &part, &decision.by).await
    } else {
        refuse(desk, directory, held, &part, &decision.by, &decision.text).await
    }
}

async fn refuse(
    desk: &Desk,
    directory: &Directory,
    held: &Held,
    part: &HeldPart,
    by: &str,
    text: &str,
) -> Result<(), store::Error> {
    let sender = part.sender.sender();
    let is_late = by == TIMEOUT;
    let details = serde_json::json!({ "by": by, "text": text, "reason": part.reason });
    desk.store.trace_event(held.transaction, record::event("refused", details)).await?;
    let header = stored_header(desk, held).await?.0;
    if let (true, ReversePath::Address(to)) = (part.is_answerable, &sender.reverse_path) {
        let failure = match (is_late, text.is_empty()) {
            (true, _) => Failure::NoDecision,
            (false, true) => Failure::NotApproved(None),
            (false, false) => Failure::NotApproved(Some(text)),
        };
        let recipients = refused_recipients(directory, part);
        let reported: Vec<_> = recipients.iter().map(|recipient| Reported::failed(recipient, failure)).collect();
        aftermath::report(desk, directory, to, &reported, held.created, &header).await?;
    }
    // Last: a crash before it reports twice rather than never.
    desk.store.finish_hold(held.id).await
}

/// The addresses that a refusal names.
fn refused_recipients(directory: &Directory, part: &HeldPart) -> Vec<Address> {
    match &part.reason {
        Reason::Group { addressed, .. } => directory.group(*addressed).map(|g| g.address.clone()).into_iter().collect(),
        Reason::Rule { .. } => part.recipients.iter().filter_map(|r| Address::parse(r).ok()).collect(),
        Reason::Copy { .. } => Vec::new(),
    }
}

async fn release(
    desk: &Desk,
    directory: &Directory,
    held: &Held,
    part: &HeldPart,
    by: &str,
) -> Result<(), store::Error> {
    let sender = part.sender.sender();
    let (header, prefix, size) = stored_header(desk, held).await?;
    let recipients: Vec<Recipient> = part.recipients.iter().filter_map(|text| recipient(directory, text)).collect();
    let from = HeaderAddresses { addresses: part.from.clone(), is_complete: true };
    let letter = Letter {
        id: held.transaction,
        directory,
        sender: &sender,
        recipients: &recipients,
        from: &from,
        header: &header,
        size,
        prefix: &prefix,
        auth: &part.auth,
        now: desk.clock.now(),
        origin: &part.origin,
    };
    let (expansion, step) = match &part.reason {
        Reason::Group { group, .. } => match directory.group(*group) {
            Some(group) => (routing::expand_approved(directory, &sender, group, |_| false), Step::Moderated),
            // The group is gone: nobody is in it.
            None => (Expansion::default(), Step::Moderated),
        },
        Reason::Rule { rule, priority, part, is_whole, copies, forwards, .. } => {
            let deliveries = part.iter().filter_map(super::held::StoredDelivery::delivery).collect();
            let after = Position { priority: *priority, rule: *rule };
            let expansion = Expansion { deliveries, ..Expansion::default() };
            (expansion, Step::Released { after, is_whole: *is_whole, copies, forwards })
        }
        Reason::Copy { .. } => return desk.store.finish_hold(held.id).await,
    };
    let source = Source::Stored(held.transaction);
    let mut parts = assemble_expansion(desk, &letter, &source, expansion, step).await?;
    parts.hold_ids = commit(desk, &letter, held, &parts, by).await?;
    aftermath::follow_up(desk, &letter, &parts, &source, &[]).await;
    Ok(())
}

/// Gives the ids of what is held further.
async fn commit(
    desk: &Desk,
    letter: &Letter<'_>,
    held: &Held,
    parts: &Parts,
    by: &str,
) -> Result<Vec<HoldId>, store::Error> {
    let mut forms = vec![FormSource::Stored(held.transaction)];
    if parts.prefixes.len() > 1 {
        let content = Source::Stored(held.transaction).read(desk, u64::MAX).await?;
        let mut scanner = Scanner::new();
        scanner.push(&content);
        let prefixes: Vec<&[u8]> = parts.prefixes.iter().skip(1).map(Vec::as_slice).collect();
        let summaries = scanner.finish_forms(&prefixes);
        forms.extend(
            parts
                .prefixes
                .iter()
                .skip(1)
                .zip(summaries)
                .map(|(prefix, summary)| FormSource::New(Form { prefix: prefix.clone(), summary: summary.encode() })),
        );
    }
    let details =
        serde_json::json!({ "by": by, "accounts": parts.plan.local.len(), "remote": parts.plan.remote.len() });
    let delivered = desk
        .store
        .deliver_more(Continuation {
            transaction: held.transaction,
            internal_date: letter.now,
            reverse_path: super::answerable(letter),
            forms,
            targets: parts.targets.clone(),
            queue: parts.queue.clone(),
            holds: parts.holds.clone(),
            trace: Some(record::event("released", details)),
            extra: parts.extra.clone(),
            finish: Some(held.id),
        })
        .await?;
    Ok(delivered.held)
}

fn recipient(directory: &Directory, text: &str) -> Option<Recipient> {
    let address = Address::parse(text).ok()?;
    let addressed = match routing::look_up(directory, &address) {
        Resolution::Local(addressed) => addressed,
        Resolution::Foreign(address) => Addressed::External(address),
        Resolution::Unknown => return None,
    };
    Some(Recipient { address: text.to_owned(), addressed })
}

/// The header as received, the fields in front of it, and the size of the content.
async fn stored_header(desk: &Desk, held: &Held) -> Result<(Vec<u8>, Vec<u8>, u64), store::Error> {
    let blob = held.transaction;
    desk.store
        .read(move |reader: &Reader<'_>| {
            let message = reader.message(blob)?;
            let mut start = Vec::new();
            reader.content(message.content, 0, HEADER, &mut start)?;
            let end = memchr::memmem::find(&start, b"\r\n\r\n").map_or(start.len(), |at| at + 4);
            start.truncate(end);
            Ok((start, message.prefix, message.content_size))
        })
        .await
}

/// Who decided, when nobody did.
pub const TIMEOUT: &str = "timeout";

/// Octets of a header that are looked at.
const HEADER: u64 = 256 << 10;
/// Characters of a decision's text.
const MAX_TEXT: usize = 1000;
