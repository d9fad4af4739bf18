//! What follows a commit: notices to those who decide, reports to the sender, automatic replies, monitors' reports
//! (policy semantics §6.5, §9, §12, §19). A failure here is logged: the message itself is safe.

use std::collections::HashSet;

use super::assemble::{Parts, with_monitor_facts};
use super::desk::Desk;
use super::generate;
use super::held::{HeldPart, Reason};
use super::judge::Source;
use super::letter::{Letter, Recipient};
use crate::directory::{Directory, Target};
use crate::mail::{AccountId, Address, GroupId, HoldId, ReversePath, Timestamp, one_time};
use crate::policy::auto_reply::{self, Arrival, Placement};
use crate::proto::message::compose::{
    self, Approval, Cause, Dsn, Failure, Reported, approval_notice, dsn, monitor_report,
};
use crate::routing::{Closed, Folder, Via};
use crate::store::{self, StateKey};

/// Does what is left to do of an accepted letter.
pub async fn follow_up(desk: &Desk, letter: &Letter<'_>, parts: &Parts, source: &Source<'_>, failed: &[Recipient]) {
    let done = async {
        reports(desk, letter, parts, source).await?;
        for (held, id) in parts.held.iter().zip(&parts.hold_ids) {
            notify_approvers(desk, letter.directory, held, *id, letter.now, source).await?;
        }
        tell_sender(desk, letter, parts, failed).await?;
        replies(desk, letter, parts).await
    };
    if let Err(error) = done.await {
        tracing::error!(id = %letter.id, %error, "a notice that follows the message could not be written");
    }
}

/// Monitor copies in the form of a report (policy semantics §13.5).
async fn reports(desk: &Desk, letter: &Letter<'_>, parts: &Parts, source: &Source<'_>) -> Result<(), store::Error> {
    for copy in &parts.reports {
        let Some(monitor) = copy.to.and_then(|id| letter.directory.account(id)) else { continue };
        let mailbox = match &copy.folder {
            None => crate::mail::MailboxId::INBOX,
            Some(name) => desk.folder(monitor.id, name).await?,
        };
        let content = source.read(desk, u64::MAX).await?;
        let original = [letter.prefix, &content].concat();
        generate::file(desk, &monitor.address, monitor.id, mailbox, |stamp| {
            with_monitor_facts(letter, copy, |facts| monitor_report(stamp, &monitor.address, facts, &original))
        })
        .await?;
    }
    Ok(())
}

/// Asks those who decide.
async fn notify_approvers(
    desk: &Desk,
    directory: &Directory,
    held: &HeldPart,
    id: HoldId,
    now: Timestamp,
    source: &Source<'_>,
) -> Result<(), store::Error> {
    let group_address;
    let rule_name;
    let cause = match &held.reason {
        Reason::Group { group, .. } => {
            let Some(group) = directory.group(*group) else { return Ok(()) };
            group_address = group.address.clone();
            Cause::Group(&group_address)
        }
        Reason::Rule { rule, .. } => {
            rule_name = directory.rule(*rule).map(|r| r.name.clone()).unwrap_or_default();
            Cause::Rule(&rule_name)
        }
        Reason::Copy { .. } => return Ok(()),
    };
    let reverse_path = held.sender.sender().reverse_path;
    let original = source.read(desk, ATTACHED + 1).await?;
    let until = Timestamp::from_millis(now.millis().saturating_add(DECISION_MILLIS));
    for approver in held.approvers.iter().filter_map(|id| directory.account(*id)) {
        let to = &approver.address;
        // At the group, so that it is known for whom one decides.
        let domain = match cause {
            Cause::Group(group) => group.domain(),
            Cause::Rule(_) => to.domain(),
        };
        let answer_to = domain.and_then(|d| one_time::decide_address(id, approver.id, d, &desk.srs).ok());
        generate::send(desk, directory, to, |stamp| {
            approval_notice(&Approval {
                stamp: *stamp,
                to,
                cause,
                reverse_path: &reverse_path,
                answer_to: answer_to.as_ref(),
                until,
                original: &original,
            })
        })
        .await?;
    }
    Ok(())
}

/// Tells an answerable sender what part of the message went nowhere.
async fn tell_sender(
    desk: &Desk,
    letter: &Letter<'_>,
    parts: &Parts,
    failed: &[Recipient],
) -> Result<(), store::Error> {
    let ReversePath::Address(to) = &letter.sender.reverse_path else { return Ok(()) };
    let tell = async |reported: Vec<Reported<'_>>| {
        report(desk, letter.directory, to, &reported, letter.now, letter.header).await
    };
    // SPF passed for a provisional sender, so that its reverse-path is no bystander's (policy semantics §3.4).
    let unverified = each_once(failed.iter().filter_map(|recipient| Address::parse(&recipient.address).ok()));
    tell(unverified.iter().map(|address| Reported::failed(address, Failure::Unverified)).collect()).await?;
    if !letter.sender.is_answerable() {
        return Ok(());
    }
    for (group, failures) in closed_parts(letter, &parts.expansion.closed) {
        tell(failures.into_iter().map(|failure| Reported::failed(group, failure)).collect()).await?;
    }
    for rejected in &parts.outcome.rejected {
        let places = rejected.part.deliveries.iter();
        let rejected_for = each_once(places.filter_map(|place| given(letter, parts.expansion.deliveries.get(*place)?)));
        let failure = Failure::Rule(rejected.text.as_deref());
        tell(rejected_for.iter().map(|address| Reported::failed(address, failure)).collect()).await?;
    }
    Ok(())
}

/// What to say of each addressed group: one notice for each, however many of its parts are closed (policy semantics §6.5).
fn closed_parts<'a>(letter: &Letter<'a>, closed: &[Closed]) -> Vec<(&'a Address, Vec<Failure<'a>>)> {
    let directory = letter.directory;
    let mut groups: Vec<(&Address, Vec<Failure<'_>>)> = Vec::new();
    for part in closed {
        let Some(addressed) = directory.group(part.addressed) else { continue };
        // Names of inner groups are for insiders, and those of hidden ones for nobody.
        let inner = part.inner.and_then(|id| directory.group(id));
        let inner = inner.filter(|inner| letter.sender.is_internal() && !inner.hidden);
        let failure = match part.inner {
            Some(_) => Failure::PartClosed(inner.map(|g| &g.address)),
            None => Failure::ExternalMembers,
        };
        match groups.iter_mut().find(|(address, _)| **address == addressed.address) {
            // How many parts without a name there are is nobody's business either.
            Some((_, failures)) if failures.contains(&failure) => {}
            Some((_, failures)) => failures.push(failure),
            None => groups.push((&addressed.address, vec![failure])),
        }
    }
    groups
}

fn each_once(addresses: impl Iterator<Item = Address>) -> Vec<Address> {
    let mut known = HashSet::new();
    addresses.filter(|address| known.insert(address.key())).collect()
}

/// The address by which the sender knows a delivery: the one it gave, or that of the group.
fn given(letter: &Letter<'_>, delivery: &crate::routing::Delivery) -> Option<Address> {
    let group = |id: GroupId| Some(letter.directory.group(id)?.address.clone());
    match (&delivery.to, delivery.via) {
        (_, Via::Group(id)) => group(id),
        (crate::routing::Receiver::External(address), _) => Some(address.clone()),
        (crate::routing::Receiver::Account(id), _) => letter
            .recipients
            .iter()
            .find(|r| matches!(&r.addressed, crate::routing::Addressed::Account { account, .. } if account == id))
            .and_then(|r| Address::parse(&r.address).ok()),
    }
}

/// One DSN about all of these; none if there is nothing to report.
pub(super) async fn report(
    desk: &Desk,
    directory: &Directory,
    to: &Address,
    recipients: &[Reported<'_>],
    arrived: Timestamp,
    original: &[u8],
) -> Result<(), store::Error> {
    if recipients.is_empty() {
        return Ok(());
    }
    generate::send(desk, directory, to, |stamp| {
        dsn(&Dsn { stamp: *stamp, to, envelope_id: None, arrived, recipients, original })
    })
    .await
}

/// Automatic replies (policy semantics §12).
async fn replies(desk: &Desk, letter: &Letter<'_>, parts: &Parts) -> Result<(), store::Error> {
    let ReversePath::Address(sender) = &letter.sender.reverse_path else { return Ok(()) };
    for local in &parts.plan.local {
        let Some(account) = letter.directory.account(local.account) else { continue };
        let settings = account.settings();
        if settings.vacation.is_none() && settings.admin_reply.is_none() {
            continue;
        }
        let arrival = match (local.forwarded_by.is_empty(), local.via) {
            (false, _) => Arrival::Forward,
            (true, Via::Direct) => Arrival::Direct,
            (true, Via::Group(_)) => Arrival::Group,
            (true, Via::Postmaster | Via::CatchAll) => Arrival::CatchAll,
        };
        let by_rule = parts.outcome.forwards.iter().any(|f| f.to == Target::Account(account.id))
            || parts.outcome.redirected.iter().any(|r| r.to.contains(&Target::Account(account.id)));
        let memory = Memory::load(desk, account.id, sender, letter.now).await?;
        let domain = sender.domain();
        let dkim_aligned = domain.is_some_and(|d| letter.auth.is_signed_for(d, letter.directory.hosts(d)));
        let facts = auto_reply::Facts {
            directory: letter.directory,
            account,
            filter: None,
            sender: letter.sender,
            header: letter.header,
            arrival: if by_rule { Arrival::Forward } else { arrival },
            placement: match local.folder {
                Folder::Inbox => Placement::Ordinary,
                Folder::Junk => Placement::Junk,
            },
            spf: letter.auth.spf,
            dkim_aligned,
            dmarc: letter.auth.dmarc.result,
            last_answered: memory.last,
            replies_in_24h: u32::try_from(memory.recent.len()).unwrap_or(u32::MAX),
            now: letter.now,
        };
        let Some(reply) = auto_reply::decide(&facts) else { continue };
        // Remembered first: after a crash one reply too few is better than one too many.
        memory.remember(desk, letter.now).await?;
        generate::send(desk, letter.directory, reply.to, |stamp| {
            compose::auto_reply(&compose::AutoReply {
                stamp: *stamp,
                from: &reply.from,
                to: reply.to,
                subject_prefix: reply.subject_prefix,
                original: letter.header,
                text: reply.text,
            })
        })
        .await?;
    }
    Ok(())
}

/// Whom an account has answered lately.
struct Memory {
    sender: Option<StateKey>,
    account: Option<StateKey>,
    /// When it last answered this sender.
    last: Option<Timestamp>,
    /// Its replies of the last 24 hours, in milliseconds.
    recent: Vec<i64>,
}

impl Memory {
    async fn load(desk: &Desk, account: AccountId, sender: &Address, now: Timestamp) -> Result<Self, store::Error> {
        let name = auto_reply::memory_key(sender);
        let digest = crate::store::short_hash(name.as_str());
        let sender = StateKey::new(format!("reply/{account}/{digest}"));
        let all = StateKey::new(format!("replies/{account}"));
        let last = match &sender {
            Some(key) => {
                desk.store.state(key.clone()).await?.and_then(|v| Some(i64::from_be_bytes(v.try_into().ok()?)))
            }
            None => None,
        };
        let recent = match &all {
            Some(key) => desk.store.state(key.clone()).await?.unwrap_or_default(),
            None => Vec::new(),
        };
        let recent = recent.chunks_exact(8).filter_map(|c| Some(i64::from_be_bytes(c.try_into().ok()?)));
        let since = now.millis().saturating_sub(DAY_MILLIS);
        let recent = recent.filter(|at| *at > since).collect();
        Ok(Self { sender, account: all, last: last.map(Timestamp::from_millis), recent })
    }

    async fn remember(mut self, desk: &Desk, now: Timestamp) -> Result<(), store::Error> {
        self.recent.push(now.millis());
        if let Some(key) = self.sender {
            desk.store.put_state(key, now.millis().to_be_bytes().to_vec()).await?;
        }
        if let Some(key) = self.account {
            let octets = self.recent.iter().flat_map(|at| at.to_be_bytes()).collect();
            desk.store.put_state(key, octets).await?;
        }
        Ok(())
    }
}

/// Octets of an original that a notice attaches.
const ATTACHED: u64 = 1 << 20;
const DECISION_MILLIS: i64 = 72 * 3600 * 1000;
const DAY_MILLIS: i64 = 24 * 3600 * 1000;
