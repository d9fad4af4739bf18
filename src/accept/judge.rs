//! Mail rules over a letter: reads content if a rule asks for it, and turns what the rules say into deliveries and facts
//! for the plan (policy semantics §13).

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use super::desk::Desk;
use super::letter::{Letter, Recipient};
use super::{Incoming, assemble};
use crate::directory::{Organisation, Target};
use crate::mail::{AccountId, Address, AddressKey, BlobId, Domain};
use crate::policy::blocklist;
use crate::policy::dmarc::{self, Treatment};
use crate::proto::message::Part;
use crate::proto::message::inspect::{self, Excerpt, Inspection};
use crate::routing::rules::{self, Candidates, Copy, Forwarding, Message, Outcome, Position, Stage};
use crate::routing::{self, Addressed, Delivery, Expansion, Facts, Junk, Receiver, Via};
use crate::store;

/// Where the content of a letter is.
#[derive(Debug)]
pub enum Source<'a> {
    /// Staged, all of it.
    Incoming(&'a Incoming),
    /// In the store, under this id.
    Stored(BlobId),
}

impl<'a> Source<'a> {
    /// The first octets of the content, at most `limit`.
    pub async fn read(&self, desk: &Desk, limit: u64) -> Result<Vec<u8>, store::Error> {
        match self {
            Source::Incoming(incoming) => {
                let mut out = Vec::new();
                incoming.read(0, limit, &mut out).await?;
                Ok(out)
            }
            Source::Stored(blob) => {
                let blob = *blob;
                desk.store
                    .read(move |reader| {
                        let message = reader.message(blob)?;
                        let mut out = Vec::new();
                        reader.rest(message.rest(), 0, limit, &mut out)?;
                        Ok(out)
                    })
                    .await
            }
        }
    }

    /// Looks into the first [`INSPECTED`] octets of the content.
    async fn inspect(&self, desk: &Desk, size: u64) -> Result<Inspection<'a>, store::Error> {
        let is_truncated = size > INSPECTED;
        match self {
            Source::Incoming(incoming) if !is_truncated => {
                if let Some(found) = inspect_at_once(incoming) {
                    return Ok(found);
                }
                let (content, root) = excerpt(incoming).await?;
                let size = content.size();
                aside(size, move || Inspection::of_parts(&content, &root, false, Inspection::LIMIT).prepared()).await
            }
            Source::Incoming(_) | Source::Stored(_) => {
                let octets = self.read(desk, INSPECTED).await?;
                let size = octets.len();
                aside(size, move || Inspection::of(octets, is_truncated, Inspection::LIMIT).prepared()).await
            }
        }
    }

    /// Octets of the content from `at` on, at most `limit`; none at its end.
    pub async fn piece(&self, desk: &Desk, at: u64, limit: u64) -> Result<Vec<u8>, store::Error> {
        let end = at.saturating_add(limit);
        match self {
            Source::Incoming(incoming) => {
                let mut out = Vec::new();
                incoming.read(at, end.min(incoming.size()), &mut out).await?;
                Ok(out)
            }
            Source::Stored(blob) => {
                let blob = *blob;
                desk.store
                    .read(move |reader| {
                        let message = reader.message(blob)?;
                        let mut out = Vec::new();
                        reader.rest(message.rest(), at, end.min(message.rest().size), &mut out)?;
                        Ok(out)
                    })
                    .await
            }
        }
    }
}

/// How far a letter has come.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// At the end of data.
    Arriving,
    /// An administrator lets through what a hook wanted held.
    Cleared {
        /// With the sender's event.
        is_whole: bool,
    },
    /// Moderators let it into a group.
    Moderated,
    /// An approver lets through what a rule held.
    Released {
        /// The rule's place.
        after: Position,
        /// The sender's event was held as well.
        is_whole: bool,
        /// Copies that waited for this.
        copies: &'a [Copy],
        /// Further recipients that did.
        forwards: &'a [Forwarding],
    },
}

/// What rules made of a letter.
#[derive(Debug)]
pub struct Judgement {
    /// What they said.
    pub outcome: Outcome,
    /// The expansion with the deliveries that rules added.
    pub expansion: Expansion,
    /// For the plan.
    pub facts: Facts,
}

/// Asks the rules.
pub async fn judge(
    desk: &Desk,
    letter: &Letter<'_>,
    source: &Source<'_>,
    expansion: Expansion,
    step: Step<'_>,
) -> Result<Judgement, store::Error> {
    let addressed: Vec<Addressed> = letter.recipients.iter().map(|r| r.addressed.clone()).collect();
    let forward_paths: Vec<Address> =
        letter.recipients.iter().filter_map(|r| Address::parse(&r.address).ok()).collect();
    let seen = match letter.hooked.added {
        [] => Cow::Borrowed(letter.header),
        added => Cow::Owned([added, letter.header].concat()),
    };
    let message = Message {
        sender: letter.sender,
        header_from: &letter.from.addresses,
        addressed: &addressed,
        forward_paths: &forward_paths,
        awaits_moderators: !expansion.held.is_empty(),
        size: letter.size,
        header: &seen,
        // Rules come and go by the time of acceptance, of which the message's id tells at a release.
        now: match step {
            Step::Arriving => letter.now,
            Step::Cleared { .. } | Step::Moderated | Step::Released { .. } => letter.id.timestamp(),
        },
        stage: match step {
            Step::Arriving => Stage::Arriving,
            Step::Cleared { is_whole } => Stage::Cleared { is_whole },
            Step::Moderated => Stage::Moderated,
            Step::Released { after, is_whole, .. } => Stage::Released { after, is_whole },
        },
    };
    let directory = letter.directory;
    let candidates = Candidates::of(directory, &message, &expansion.deliveries);
    let content = if candidates.need_content() {
        // A content that cannot be read now must not decide anything: W67 of policy semantics.
        Some(source.inspect(desk, letter.size).await?)
    } else {
        None
    };
    let mut outcome = rules::evaluate(directory, &message, &expansion.deliveries, &candidates, content.as_ref());
    if let Step::Released { copies, forwards, .. } = step {
        outcome.carry(copies, forwards);
    }
    let facts = Facts {
        delivered_to: assemble::delivered_to(letter.header),
        authors: letter.from.addresses.clone(),
        junk: with_disowned(by_filters(letter), letter, &expansion.deliveries),
        junk_by_rule: outcome.junk.clone(),
        ended: outcome.ended(),
        by_rules: None,
        by_hooks: letter.recipients.iter().filter_map(elsewhere_by_hook).collect(),
    };
    let mut judgement = Judgement { outcome, expansion, facts };
    judgement.add_targets(letter);
    Ok(judgement)
}

/// Inspects a message where it lies in memory, if what there is to read of it is short.
fn inspect_at_once(incoming: &Incoming) -> Option<Inspection<'_>> {
    let content = Excerpt::start(incoming.in_memory()?);
    let root = incoming.structure();
    if incoming.size() <= AT_ONCE as u64 {
        return Some(Inspection::of_parts(&content, &root, false, Inspection::LIMIT));
    }
    let wanted = inspect::outline(&root, incoming.size()).into_iter().chain(inspect::texts(&root, &content));
    let octets: u64 = wanted.map(|range| range.end.saturating_sub(range.start)).sum();
    (octets <= AT_ONCE as u64).then(|| Inspection::of_parts(&content, &root, false, Inspection::LIMIT))
}

/// What an inspection needs of a message that has come in, and where its parts are.
async fn excerpt(incoming: &Incoming) -> Result<(Excerpt<'static>, Part), store::Error> {
    let root = incoming.structure();
    let mut excerpt = Excerpt::default();
    let wanted = inspect::outline(&root, incoming.size());
    add(&mut excerpt, incoming, wanted).await?;
    let size = excerpt.size();
    let texts = move || (inspect::texts(&root, &excerpt), excerpt, root);
    let (wanted, mut excerpt, root) = aside(size, texts).await?;
    add(&mut excerpt, incoming, wanted).await?;
    Ok((excerpt, root))
}

/// Does what takes its time with so many octets, on a thread of its own if they are many.
async fn aside<T: Send + 'static>(octets: usize, work: impl FnOnce() -> T + Send + 'static) -> Result<T, store::Error> {
    if octets <= AT_ONCE {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|_| store::Error::Unavailable)
}

async fn add(excerpt: &mut Excerpt<'_>, from: &Incoming, wanted: Vec<Range<u64>>) -> Result<(), store::Error> {
    let places: Vec<u64> = wanted.iter().map(|range| range.start).collect();
    let pieces = from.read_ranges(wanted).await?;
    places.into_iter().zip(pieces).for_each(|(at, piece)| excerpt.add(at, piece));
    Ok(())
}

fn elsewhere_by_hook(recipient: &Recipient) -> Option<AddressKey> {
    match &recipient.addressed {
        Addressed::External(address) if recipient.by_hook => Some(address.key()),
        Addressed::External(_) | Addressed::Account { .. } | Addressed::Group(_) => None,
    }
}

/// Whether a hook takes a letter for junk, or a block list all that its client sends.
fn by_filters(letter: &Letter<'_>) -> Junk {
    let is_junk = letter.hooked.is_junk || blocklist::is_junk(&letter.origin.blocklists);
    if is_junk { Junk::All } else { Junk::Nobody }
}

/// With the accounts for which a message is junk because its author's domain disowns it (DMARC).
fn with_disowned(junk: Junk, letter: &Letter<'_>, deliveries: &[Delivery]) -> Junk {
    let directory = letter.directory;
    let treats = |organisation: &&Arc<Organisation>| dmarc::treatment(organisation, letter.auth) != Treatment::Noted;
    let strict: HashSet<_> = directory.organisations().filter(treats).map(|organisation| organisation.id).collect();
    if strict.is_empty() {
        return junk;
    }
    let account = |delivery: &Delivery| match delivery.to {
        Receiver::Account(id) => directory.account_organisation(id).filter(|o| strict.contains(o)).map(|_| id),
        Receiver::External(_) => None,
    };
    let mut accounts: HashSet<AccountId> = deliveries.iter().filter_map(account).collect();
    match junk {
        Junk::All => return Junk::All,
        Junk::Some(others) => accounts.extend(others),
        Junk::Nobody => {}
    }
    if accounts.is_empty() { Junk::Nobody } else { Junk::Some(accounts) }
}

impl Judgement {
    /// Adds those to whom rules forward or redirect, each once, and not to whoever has the message anyway.
    fn add_targets(&mut self, letter: &Letter<'_>) {
        let outcome = &self.outcome;
        let targets = outcome.forwards.iter().map(|f| &f.to).chain(outcome.redirected.iter().flat_map(|r| &r.to));
        let targets: Vec<&Target> = targets.collect();
        if targets.is_empty() {
            return;
        }
        let stands = |(place, _): &(usize, &Delivery)| !self.facts.ended.contains(place);
        let mut known: HashSet<String> =
            self.expansion.deliveries.iter().enumerate().filter(stands).map(|(_, d)| name(&d.to)).collect();
        let first = self.expansion.deliveries.len();
        let mut added = Vec::new();
        for target in targets {
            match target {
                Target::Account(id) => added.push(Receiver::Account(*id)),
                Target::External(address) => added.push(Receiver::External(address.clone())),
                Target::Group(id) => {
                    // The rule is an administrator's, and sends with the server's authority.
                    let system = crate::policy::sender::Sender::system();
                    let group = routing::expand(letter.directory, &system, &[Addressed::Group(*id)]);
                    added.extend(group.deliveries.into_iter().map(|d| d.to));
                }
            }
        }
        for to in added {
            if known.insert(name(&to)) {
                self.expansion.deliveries.push(Delivery { to, via: Via::Direct, detail: None });
            }
        }
        self.facts.by_rules = domain_of(letter).map(|domain| (first, domain));
    }
}

fn name(to: &Receiver) -> String {
    match to {
        Receiver::Account(id) => format!("{id}"),
        Receiver::External(address) => address.key().as_str().to_owned(),
    }
}

/// A domain of ours that has to do with the letter: of a recipient, also of one that a hook has taken away, or of the
/// sender.
pub(super) fn domain_of(letter: &Letter<'_>) -> Option<Domain> {
    let directory = letter.directory;
    let recipients = letter.recipients.iter().chain(letter.hooked.removed);
    let addresses = recipients.filter_map(|r| match &r.addressed {
        Addressed::Account { account, .. } => Some(directory.account(*account)?.address.clone()),
        Addressed::Group(id) => Some(directory.group(*id)?.address.clone()),
        Addressed::External(_) => None,
    });
    let sender = letter.sender.account().and_then(|id| Some(directory.account(id)?.address.clone()));
    addresses.chain(sender).find_map(|address| address.domain().cloned())
}

/// Octets of a message that rules look into; of a larger one, the start.
const INSPECTED: u64 = 32 << 20;

/// Octets that are inspected sooner than another thread could be asked to: a tenth of a millisecond.
const AT_ONCE: usize = 32 << 10;
