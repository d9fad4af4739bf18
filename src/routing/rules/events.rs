//! Events: who sends and who receives, and which of that a rule looks at (policy semantics §13.2).

use super::outcome::{Event, Role};
use super::parties::Membership;
use super::{Message, Stage};
use crate::directory::{Direction, Directory, Peer, Rule, RuleScope, Step};
use crate::mail::{AccountId, OrganisationId};
use crate::policy::sender::{Identity, Origin};
use crate::routing::expand::{Addressed, Delivery, Receiver, Via};

/// The events of a message that no rule has ended.
#[derive(Debug)]
pub struct Events<'a> {
    membership: Membership<'a>,
    /// Of the sender: the account that sends, and the one as which it sends.
    sent: Vec<Sent>,
    /// Of recipients, by their place in the list of deliveries.
    received: Vec<Received>,
    /// Where the sender belongs, if it is an account here.
    sender_organisation: Option<OrganisationId>,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    account: AccountId,
    organisation: OrganisationId,
    /// Whether anybody of the organisation is addressed, and anybody else.
    reaches: Reach,
}

#[derive(Clone, Copy, Debug, Default)]
struct Reach {
    inside: bool,
    outside: bool,
}

/// Somebody who receives the message.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Its place in the list of deliveries.
    pub delivery: usize,
    /// Who.
    pub account: AccountId,
    organisation: OrganisationId,
}

/// The events that a rule looks at.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Accounts whose sending it looks at.
    pub sent: Vec<AccountId>,
    /// Recipients.
    pub received: Vec<Received>,
}

impl Seen {
    /// Sent before received, received in the order of deliveries: each with the delivery.
    pub fn events(&self) -> impl Iterator<Item = (Event, Option<usize>)> {
        let sent = self.sent.iter().map(|id| (Event { account: *id, role: Role::Sent }, None));
        let received = |r: &Received| (Event { account: r.account, role: Role::Received }, Some(r.delivery));
        sent.chain(self.received.iter().map(received))
    }
}

impl<'a> Events<'a> {
    /// All events of a message.
    pub fn of(directory: &'a Directory, message: &Message<'_>, deliveries: &[Delivery]) -> Self {
        let mut received: Vec<Received> = Vec::new();
        if message.sender.origin != Origin::System {
            received.extend(deliveries.iter().enumerate().filter_map(|(delivery, d)| match d.to {
                Receiver::Account(account) if d.via != Via::Postmaster => {
                    Some(Received { delivery, account, organisation: directory.account_organisation(account)? })
                }
                Receiver::Account(_) | Receiver::External(_) => None,
            }));
        }
        let sent = sent(directory, message, deliveries);
        let accounts = received.iter().map(|r| r.account).chain(sent.iter().map(|s| s.account)).collect();
        let sender_organisation = message.sender.account().and_then(|id| directory.account_organisation(id));
        Self { membership: Membership::new(directory, accounts), sent, received, sender_organisation }
    }

    /// The organisations of all accounts that send or receive, each once.
    pub fn organisations(&self) -> Vec<OrganisationId> {
        let each = self.sent.iter().map(|s| s.organisation).chain(self.received.iter().map(|r| r.organisation));
        let mut organisations: Vec<OrganisationId> = each.collect();
        organisations.sort_unstable();
        organisations.dedup();
        organisations
    }

    /// Nothing is left to look at.
    pub fn is_over(&self) -> bool {
        self.sent.is_empty() && self.received.is_empty()
    }

    /// The rule looks at some event.
    pub fn is_seen_by(&mut self, rule: &Rule) -> bool {
        let Self { membership, sent, received, sender_organisation } = self;
        sent.iter().any(|s| sees_sent(membership, rule, s))
            || received.iter().any(|r| sees_received(membership, rule, r, *sender_organisation))
    }

    /// The events that the rule looks at.
    pub fn seen_by(&mut self, rule: &Rule) -> Seen {
        let Self { membership, sent, received, sender_organisation } = self;
        Seen {
            sent: sent.iter().filter(|s| sees_sent(membership, rule, s)).map(|s| s.account).collect(),
            received: received
                .iter()
                .filter(|r| sees_received(membership, rule, r, *sender_organisation))
                .copied()
                .collect(),
        }
    }

    /// The sender's event is over.
    pub fn end_sent(&mut self) {
        self.sent.clear();
    }

    /// These deliveries are over.
    pub fn end_received(&mut self, is_over: impl Fn(usize) -> bool) {
        self.received.retain(|r| !is_over(r.delivery));
    }
}

fn sees_sent(membership: &mut Membership<'_>, rule: &Rule, event: &Sent) -> bool {
    let fits = match rule.peer {
        Peer::Internal => event.reaches.inside,
        Peer::External => event.reaches.outside,
        Peer::Any => true,
    };
    fits && rule.direction != Direction::Received
        && event.organisation == rule.organisation
        && is_in_scope(membership, rule, event.account)
}

fn sees_received(
    membership: &mut Membership<'_>,
    rule: &Rule,
    event: &Received,
    sender_organisation: Option<OrganisationId>,
) -> bool {
    let is_internal = sender_organisation == Some(event.organisation);
    let fits = match rule.peer {
        Peer::Internal => is_internal,
        Peer::External => !is_internal,
        Peer::Any => true,
    };
    fits && rule.direction != Direction::Sent
        && event.organisation == rule.organisation
        && is_in_scope(membership, rule, event.account)
}

fn is_in_scope(membership: &mut Membership<'_>, rule: &Rule, account: AccountId) -> bool {
    let is_in = match &rule.scope {
        RuleScope::Everyone => true,
        RuleScope::Of(subjects) => membership.covers(subjects, account),
    };
    is_in && !membership.covers(&rule.scope_except, account)
}

/// Of whoever is the identity of the sender: the account, and the one that it acts as, because what is sent in the name
/// of a shared account is that account's mail.
fn sent(directory: &Directory, message: &Message<'_>, deliveries: &[Delivery]) -> Vec<Sent> {
    let is_over = matches!(message.stage, Stage::Released { is_whole: false, .. } | Stage::Cleared { is_whole: false });
    let is_exempt = |a: &Addressed| matches!(a, Addressed::Account { step: Step::Postmaster, .. });
    let has_part = message.awaits_moderators || deliveries.iter().any(|d| d.via != Via::Postmaster);
    if is_over || !has_part || message.sender.account().is_none() || message.addressed.iter().all(is_exempt) {
        return Vec::new();
    }
    let accounts = message.sender.identities().into_iter().filter_map(|identity| match identity {
        Identity::Account(id) => Some(id),
        Identity::Group(_) | Identity::External(_) => None,
    });
    let event = |account| {
        let organisation = directory.account_organisation(account)?;
        Some(Sent { account, organisation, reaches: reach(directory, message, deliveries, organisation) })
    };
    accounts.filter_map(event).collect()
}

/// Whom the message reaches, seen from an organisation: a group is where its address is, its members where they are.
fn reach(directory: &Directory, message: &Message<'_>, deliveries: &[Delivery], organisation: OrganisationId) -> Reach {
    let mut reach = Reach::default();
    let mut note = |of: Option<OrganisationId>| match of == Some(organisation) {
        true => reach.inside = true,
        false => reach.outside = true,
    };
    for addressed in message.addressed {
        note(match addressed {
            Addressed::Account { account, .. } => directory.account_organisation(*account),
            Addressed::Group(id) => directory.group_organisation(*id),
            Addressed::External(_) => None,
        });
    }
    for delivery in deliveries {
        note(match &delivery.to {
            Receiver::Account(account) => directory.account_organisation(*account),
            Receiver::External(_) => None,
        });
    }
    reach
}
