//! The one way in: a message being received and its envelope become a committed plan. SMTP DATA, BDAT and IMAP APPEND
//! all end here.

mod aftermath;
pub mod alert;
mod assemble;
pub mod bounce;
pub mod confirmation;
mod desk;
mod errand;
pub mod event;
mod fulfil;
mod generate;
mod held;
mod judge;
mod letter;
pub mod record;
pub mod release;
mod reply;
mod rule_set;
pub mod sent;
mod signing;
mod stored;
mod success;
mod told;
mod undelivered;

use std::ops::Range;

pub use assemble::{APPROVALS, APPROVE, Parts, REFUSE, assemble, token_key};
pub use desk::{Desk, Turns};
pub use fulfil::{give_up, one as follow_up};
pub use generate::send;
pub use held::{Asked, HeldPart, Reason as HeldReason, StoredDelivery, StoredSender, StoredWishes};
use judge::Source;
pub use letter::{Hooked, Letter, Origin, Recipient, Wishes, evidence};
use signing::Leaving;

use crate::directory::Directory;
use crate::hooks::Content;
use crate::mail::{BlobId, ReversePath, Timestamp};
use crate::policy::{Reason, Verdict};
use crate::proto::message::{Front, Part, Scanner, Summary};
use crate::store::{
    self, Delivered, Delivery, Form, Fulfilment, NewFollowUp, NewHold, NewQueueItem, QueueItem, RuleSet, Staging,
    StateKey, Store, Target, TraceWrite, WhenFull,
};

/// A message on its way in: staged and scanned as its octets come.
#[derive(Debug)]
pub struct Incoming {
    staging: Staging,
    scanner: Scanner,
}

impl Incoming {
    /// Starts to receive.
    pub fn new(store: &Store) -> Self {
        Self { staging: store.stage(), scanner: Scanner::new() }
    }

    /// The next octets of the content.
    pub async fn push(&mut self, octets: &[u8]) -> Result<(), store::Error> {
        self.scanner.push(octets);
        self.staging.push(octets).await
    }

    /// Octets so far.
    pub fn size(&self) -> u64 {
        self.staging.size()
    }

    /// The id of the message.
    pub fn id(&self) -> BlobId {
        self.staging.blob()
    }

    /// The header as received, at most 256 KiB of it.
    pub fn header(&self) -> &[u8] {
        self.scanner.header()
    }

    /// The header is longer than that.
    pub fn is_header_cut(&self) -> bool {
        self.scanner.is_header_cut()
    }

    /// All octets have come: [`Incoming::structure`] is known.
    fn end(&mut self) {
        self.scanner.end();
    }

    /// Where the parts of the message are.
    fn structure(&self) -> Part {
        self.scanner.structure()
    }

    /// The message as hooks see it.
    pub fn content(&self) -> Content<'_> {
        let header = self.scanner.header().to_vec();
        // The empty line, if there is one, is not the body's.
        let body = u64::try_from(header.len()).unwrap_or(u64::MAX).saturating_add(EMPTY_LINE).min(self.size());
        Content::new(header, &self.staging, body)
    }

    /// The content so far, if all of it is in memory.
    fn in_memory(&self) -> Option<&[u8]> {
        self.staging.in_memory()
    }

    /// Octets `from..to` of the content so far are appended to `out`.
    pub async fn read(&self, from: u64, to: u64, out: &mut Vec<u8>) -> Result<(), store::Error> {
        self.staging.read(from, to, out).await
    }

    /// The same for each of these ranges.
    async fn read_ranges(&self, ranges: Vec<Range<u64>>) -> Result<Vec<Vec<u8>>, store::Error> {
        self.staging.read_ranges(ranges).await
    }

    /// Commits the message with all that follows from it: on `Ok` it is on disk (see [`Store::deliver`]).
    pub async fn commit(self, store: &Store, acceptance: Acceptance) -> Result<Delivered, store::Error> {
        let summaries = self.scanner.finish_forms(&acceptance.fronts);
        let header = summaries.first().map_or(0, |summary| summary.root.header.1);
        let forms = acceptance.fronts.into_iter().zip(summaries);
        let delivery = Delivery {
            content: self.staging.finish(),
            header,
            internal_date: acceptance.internal_date,
            reverse_path: acceptance.reverse_path,
            forms: forms.map(|(front, summary)| form(front, &summary)).collect(),
            targets: acceptance.targets,
            when_full: acceptance.when_full,
            queue: acceptance.queue,
            holds: acceptance.holds,
            rules: acceptance.rules,
            follow_ups: acceptance.follow_ups,
            fulfils: acceptance.fulfils,
            trace: acceptance.trace,
            extra: acceptance.extra,
            at_least: acceptance.at_least,
        };
        store.deliver(delivery).await
    }
}

/// What became of an accepted message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Accounts that have it, or get it from the slices that wait.
    pub accounts: usize,
    /// Copies for other hosts.
    pub remote: usize,
    /// Parts that wait for approval.
    pub held: usize,
}

/// Why a message is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// By a decision.
    Verdict(Verdict),
    /// It could not be stored.
    Store(store::Error),
}

impl From<store::Error> for Refused {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

/// Accepts a letter whose recipients stand: on `Ok` everything that it promises is on disk (policy semantics §19).
/// `failed`: recipients of the same transaction that depended on a claim which is not true; `counted`: state that grows
/// with it, see [`Delivery::at_least`].
pub async fn accept(
    desk: &Desk,
    letter: &Letter<'_>,
    mut incoming: Incoming,
    failed: &[Recipient],
    counted: Vec<(StateKey, Vec<u8>)>,
) -> Result<Accepted, Refused> {
    if letter.hooked.quarantine.is_some() && assemble::concerned(letter).is_none() {
        // It only passes through here: no administrator could look at it.
        return Err(Refused::Verdict(Verdict::Refuse(Reason::Rule(None))));
    }
    incoming.end();
    let source = Source::Incoming(&incoming);
    let mut parts = assemble(desk, letter, &source).await?;
    let kept = signing::kept(&parts.targets, &parts.holds);
    Leaving::letter(letter, &source).sign(desk, (&mut parts.fronts, &mut parts.queue), &kept).await?;
    let acceptance = Acceptance {
        rules: rule_set::of(letter, &parts),
        follow_ups: aftermath::of(desk, letter, &parts, failed).await?,
        fulfils: None,
        reverse_path: answerable(letter),
        fronts: std::mem::take(&mut parts.fronts),
        internal_date: letter.now,
        targets: std::mem::take(&mut parts.targets),
        when_full: parts.when_full,
        queue: std::mem::take(&mut parts.queue),
        holds: std::mem::take(&mut parts.holds),
        trace: Some(std::mem::take(&mut parts.trace)),
        extra: std::mem::take(&mut parts.extra),
        // A refusal by a mail rule leaves its trace, and is no message that was sent.
        at_least: if parts.outcome.refused.is_none() { counted } else { Vec::new() },
    };
    let accepted = Accepted {
        accounts: parts.plan.local.len(),
        remote: parts.plan.remote.len(),
        held: parts.held.iter().filter(|held| !held.is_secret()).count(),
    };
    let delivered = incoming.commit(&desk.store, acceptance).await?;
    fulfil::all(desk, letter.directory, &delivered.follow_ups).await;
    if let Some(refused) = parts.outcome.refused {
        return Err(Refused::Verdict(Verdict::Refuse(Reason::Rule(refused.text.map(Into::into)))));
    }
    Ok(accepted)
}

/// CRLF.
const EMPTY_LINE: u64 = 2;

/// A form of a message as the store has it.
fn form(Front { prefix, omitted }: Front, summary: &Summary) -> Form {
    Form { prefix, omitted, summary: summary.encode() }
}

/// The reverse-path for what fails later: null if a report could hit a bystander (policy semantics §3.2).
fn answerable(letter: &Letter<'_>) -> ReversePath {
    if letter.sender.is_answerable() { letter.sender.reverse_path.clone() } else { ReversePath::Null }
}

/// Gives up a message that found no room for as long as it was tried, and tells of it whom it concerns (policy
/// semantics §6.5).
pub async fn give_up_undelivered(
    desk: &Desk,
    directory: &Directory,
    item: &QueueItem,
    target: &Target,
) -> Result<(), store::Error> {
    let errands = undelivered::errands(desk, directory, item, target).await?;
    let tell = errands.iter().map(errand::Errand::encode).collect();
    let (_, rows) = desk.store.give_up_full(item.id, tell).await?;
    fulfil::all(desk, directory, &rows).await;
    Ok(())
}

/// What is to become of a message; the parts are those of [`Delivery`].
#[derive(Debug)]
pub struct Acceptance {
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// What makes each form of the message. The first is the message as accepted.
    pub fronts: Vec<Front>,
    /// INTERNALDATE.
    pub internal_date: Timestamp,
    /// Mailboxes that get it.
    pub targets: Vec<Target>,
    /// What happens when one is full.
    pub when_full: WhenFull,
    /// Copies for other hosts.
    pub queue: Vec<NewQueueItem>,
    /// Parts that wait for a decision.
    pub holds: Vec<NewHold>,
    /// The mail rules under which these are held.
    pub rules: Vec<RuleSet>,
    /// Messages that are still to be made of it.
    pub follow_ups: Vec<NewFollowUp>,
    /// The follow-up of another message that this is.
    pub fulfils: Option<Fulfilment>,
    /// What is kept of it for those who look for it later.
    pub trace: Option<TraceWrite>,
    /// State that changes with it.
    pub extra: Vec<(StateKey, Vec<u8>)>,
    /// State that grows with it, see [`Delivery::at_least`].
    pub at_least: Vec<(StateKey, Vec<u8>)>,
}

impl Acceptance {
    /// The message as it is, for these mailboxes alone: APPEND.
    pub fn append(internal_date: Timestamp, targets: Vec<Target>) -> Self {
        Self {
            reverse_path: ReversePath::Null,
            fronts: vec![Front::default()],
            internal_date,
            targets,
            when_full: WhenFull::Refuse,
            queue: Vec::new(),
            holds: Vec::new(),
            rules: Vec::new(),
            follow_ups: Vec::new(),
            fulfils: None,
            trace: None,
            extra: Vec::new(),
            at_least: Vec::new(),
        }
    }
}
