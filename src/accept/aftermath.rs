//! What follows from a message beside its deliveries: notices to those who decide, reports to the sender, automatic
//! replies, monitors' reports (policy semantics §6.5, §9, §12, §19). Found out before the commit, which keeps an
//! [`Errand`] for each; carried out after it, see [`super::fulfil`].

use std::collections::HashSet;
use std::sync::Arc;

use super::assemble::{Parts, concerned, monitored};
use super::desk::Desk;
use super::errand::{Approval, Cause, Dsn, Errand, Failed, Report, Why};
use super::held::{HeldPart, Reason, StoredDelivery};
use super::letter::{Letter, Recipient};
use super::{reply, success};
use crate::directory::{Account, Directory};
use crate::mail::{AccountId, Address, GroupId, ReversePath, Timestamp};
use crate::routing::rules::Copy;
use crate::routing::{Addressed, Closed, Delivery, Expansion, Receiver, Via};
use crate::store::{self, NewFollowUp, QueueItem, Target};

/// What follows from a letter. `failed`: recipients of the same transaction that depended on a claim which is not true.
pub async fn of(
    desk: &Desk,
    letter: &Letter<'_>,
    parts: &Parts,
    failed: &[Recipient],
) -> Result<Vec<NewFollowUp>, store::Error> {
    let mut found: Vec<NewFollowUp> = reports(letter, parts).into_iter().map(new).collect();
    // What is refused in the session is told there.
    if parts.outcome.refused.is_some() {
        return Ok(found);
    }
    for (place, held) in parts.held.iter().enumerate() {
        let expires = parts.holds.get(place).and_then(|hold| hold.expires);
        let notices = approvals(letter.directory, held, expires.unwrap_or(letter.now));
        found.extend(notices.into_iter().map(|errand| NewFollowUp { hold: Some(place), ..new(errand) }));
    }
    found.extend(for_sender(letter, parts, failed).into_iter().map(new));
    found.extend(for_admin(letter, parts).map(new));
    found.extend(success::of(letter, parts).map(new));
    found.extend(reply::errands(desk, letter, parts).await?.into_iter().map(new));
    Ok(found)
}

/// An errand of the message as accepted.
pub fn new(errand: Errand) -> NewFollowUp {
    NewFollowUp { form: 0, hold: None, data: errand.encode() }
}

/// Who is told of a message that found no room for as long as it was tried: the managers of the group, or else the
/// sender, whose reverse-path is null if it must not be answered (policy semantics §6.5). Of an account that is a
/// recipient `by_hook` the sender knows nothing: an administrator is told.
pub fn of_undelivered(directory: &Directory, item: &QueueItem, target: &Target, by_hook: bool) -> Vec<Dsn> {
    let Some(account) = directory.account(target.account) else { return Vec::new() };
    let failed = Failed { recipient: account.address.clone(), why: Why::Full };
    let dsn = |to| Dsn::new(to, vec![failed.clone()], item.created);
    let admin = || directory.active_admin(directory.account_organisation(target.account)?);
    match (target.via.and_then(|id| directory.group(id)), &item.reverse_path) {
        (None, _) if by_hook => admin().into_iter().map(|admin| dsn(admin.address.clone())).collect(),
        (Some(group), _) => managers(directory, group.id)
            .into_iter()
            .map(|manager| Dsn { once_a_message: Some(manager.id), ..dsn(manager.address.clone()) })
            .collect(),
        (None, ReversePath::Address(to)) => vec![dsn(to.clone())],
        (None, ReversePath::Null) => Vec::new(),
    }
}

/// Who hears of failures of a group's copies: its managers, or the domain admin.
pub(super) fn managers(directory: &Directory, group: GroupId) -> Vec<&Arc<Account>> {
    let named = directory.group(group).map(|group| group.managers.as_slice()).unwrap_or_default();
    let admin = directory.group_organisation(group).filter(|_| named.is_empty());
    let admin = admin.and_then(|organisation| directory.active_admin(organisation)).map(|admin| admin.id);
    let all = admin.into_iter().chain(named.iter().copied());
    all.filter_map(|id| directory.account(id)).collect()
}

/// Monitor copies in the form of a report (policy semantics §13.5).
fn reports(letter: &Letter<'_>, parts: &Parts) -> Vec<Errand> {
    let report = |copy: &Copy| {
        let (folder, facts) = (copy.folder.clone(), monitored(letter, copy));
        Some(Errand::Report(Report { monitor: copy.to?, folder, facts }))
    };
    parts.reports.iter().filter_map(report).collect()
}

/// Notices for those who decide about a held part.
fn approvals(directory: &Directory, held: &HeldPart, until: Timestamp) -> Vec<Errand> {
    let cause = match &held.reason {
        Reason::Group { group, .. } => match directory.group(*group) {
            Some(group) => Cause::Group(group.address.clone()),
            None => return Vec::new(),
        },
        Reason::Rule { rule, .. } => Cause::Rule(directory.rule(*rule).map(|r| r.name.clone()).unwrap_or_default()),
        // Nobody but an administrator decides, and finds it in the quarantine.
        Reason::Hook { .. } | Reason::Copy { .. } => return Vec::new(),
    };
    let reverse_path = held.sender.reverse_path.clone();
    let notice = |approver: &AccountId| {
        let (cause, reverse_path) = (cause.clone(), reverse_path.clone());
        Errand::Approval(Approval { approver: *approver, cause, reverse_path, until })
    };
    held.approvers.iter().map(notice).collect()
}

/// What an answerable sender is told of parts that went nowhere.
fn for_sender(letter: &Letter<'_>, parts: &Parts, failed: &[Recipient]) -> Vec<Errand> {
    let ReversePath::Address(to) = &letter.sender.reverse_path else { return Vec::new() };
    let mut told: Vec<Vec<Failed>> = Vec::new();
    // SPF passed for a provisional sender, so that its reverse-path is no bystander's (policy semantics §3.4).
    let unverified = failed.iter().filter(|recipient| recipient.wants_failure());
    let unverified = each_once(unverified.filter_map(|recipient| Address::parse(&recipient.address).ok()));
    told.push(unverified.into_iter().map(|recipient| Failed { recipient, why: Why::Unverified }).collect());
    if letter.sender.is_answerable() {
        told.extend(lost(letter, parts));
        told.iter_mut().for_each(|failed| failed.retain(|failed| letter.wants_failure_of(&failed.recipient)));
    }
    let dsn = |failed| Errand::Dsn(Dsn::new(to.clone(), failed, letter.now).with(&letter.wishes));
    told.into_iter().filter(|failed| !failed.is_empty()).map(dsn).collect()
}

/// What an administrator is told of parts that went nowhere, because a hook had named whom they were for.
fn for_admin(letter: &Letter<'_>, parts: &Parts) -> Option<Errand> {
    if !letter.recipients.iter().any(|recipient| recipient.by_hook) {
        return None;
    }
    let failed = lost(letter, parts).into_iter().flatten().filter(|failed| letter.is_by_hook(&failed.recipient));
    let failed: Vec<Failed> = failed.collect();
    let admin = letter.directory.active_admin(concerned(letter)?).filter(|_| !failed.is_empty())?;
    let dsn = Dsn::new(admin.address.clone(), failed, letter.now);
    Some(Errand::Dsn(Dsn { requires_tls: letter.wishes.requires_tls, ..dsn }))
}

/// The parts that went nowhere: closed to the sender, or rejected by a rule.
fn lost(letter: &Letter<'_>, parts: &Parts) -> Vec<Vec<Failed>> {
    let mut lost = closed_parts(letter, &parts.expansion.closed);
    for rejected in &parts.outcome.rejected {
        let places = rejected.part.deliveries.iter();
        let given = places.filter_map(|place| given(letter, &parts.expansion, parts.expansion.deliveries.get(*place)?));
        let why = Why::Rule(rejected.text.clone());
        lost.push(each_once(given).into_iter().map(|recipient| Failed { recipient, why: why.clone() }).collect());
    }
    lost
}

/// What to say of each addressed group: one notice for each, however many of its parts are closed (policy semantics §6.5).
fn closed_parts(letter: &Letter<'_>, closed: &[Closed]) -> Vec<Vec<Failed>> {
    let directory = letter.directory;
    let mut groups: Vec<Vec<Failed>> = Vec::new();
    for part in closed {
        let Some(addressed) = directory.group(part.addressed) else { continue };
        // Names of inner groups are for insiders, and those of hidden ones for nobody.
        let inner = part.inner.and_then(|id| directory.group(id));
        let inner = inner.filter(|inner| letter.sender.is_internal() && !inner.hidden);
        let why = match part.inner {
            Some(_) => Why::PartClosed(inner.map(|group| group.address.clone())),
            None => Why::ExternalMembers,
        };
        let recipient = addressed.address.clone();
        match groups.iter_mut().find(|group| group.iter().any(|failed| failed.recipient == recipient)) {
            // How many parts without a name there are is nobody's business either.
            Some(known) if known.iter().any(|failed| failed.why == why) => {}
            Some(known) => known.push(Failed { recipient, why }),
            None => groups.push(vec![Failed { recipient, why }]),
        }
    }
    groups
}

fn each_once(addresses: impl Iterator<Item = Address>) -> Vec<Address> {
    let mut known = HashSet::new();
    addresses.filter(|address| known.insert(address.key())).collect()
}

/// Whose mail waits for this reason: the addresses that were given for that part.
pub(super) fn waiting(letter: &Letter<'_>, expansion: &Expansion, reason: &Reason) -> Vec<Address> {
    match reason {
        Reason::Group { addressed, .. } => {
            letter.directory.group(*addressed).map(|group| group.address.clone()).into_iter().collect()
        }
        Reason::Rule { part, .. } | Reason::Hook { part, .. } => {
            let deliveries = part.iter().filter_map(StoredDelivery::delivery);
            each_once(deliveries.filter_map(|delivery| given(letter, expansion, &delivery)))
        }
        Reason::Copy { .. } => Vec::new(),
    }
}

/// The address by which the sender knows a delivery: the one it gave, or that of the group it addressed.
pub(super) fn given(letter: &Letter<'_>, expansion: &Expansion, delivery: &Delivery) -> Option<Address> {
    let group = |id: GroupId| Some(letter.directory.group(id)?.address.clone());
    match (&delivery.to, delivery.via) {
        (_, Via::Group(id)) => group(expansion.path(id).first().copied()?),
        (Receiver::External(address), _) => Some(address.clone()),
        (Receiver::Account(id), _) => letter
            .recipients
            .iter()
            .find(|r| matches!(&r.addressed, Addressed::Account { account, .. } if account == id))
            .and_then(|r| Address::parse(&r.address).ok()),
    }
}
