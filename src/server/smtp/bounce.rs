//! Mail to addresses that this server has made for bounces (policy semantics §6.5, §11.3). They take nothing but bounces,
//! and only while they are true and young.

use std::sync::Arc;

use super::message;
use super::session::Session;
use super::state::{State, Transaction};
use super::{answer, refusal, transaction};
use crate::accept::{self, Incoming, record};
use crate::directory::{Directory, Owner, Step};
use crate::mail::srs::{self, Forwarder, SrsError};
use crate::mail::{Address, ForwardPath, GroupId, ReversePath};
use crate::policy::recipient::{self, Destination};
use crate::policy::{Verdict, blocklist};
use crate::proto::smtp::{Rcpt, Reply};
use crate::routing::{self, Addressed, Resolution};
use crate::store::{self, StateKey};

/// Where a bounce belongs.
pub(super) enum Bounce {
    /// There.
    To(Resolution),
    /// With the account that forwards: it has a copy, or nobody else could be told.
    WithForwarder(Forwarder),
}

/// Where a bounce to an address that this server has made belongs; `None` for every other address.
pub(super) async fn look_up(
    session: &Session,
    transaction: &Transaction,
    forward_path: &ForwardPath,
) -> Option<Bounce> {
    let ForwardPath::Address(address) = forward_path else { return None };
    let directory = &transaction.directory;
    let is_free = matches!(directory.owner(address), Owner::Nobody);
    if !is_free {
        return None;
    }
    let services = &session.services;
    let (local, now) = (address.local_part(), services.clock.now());
    let is_null = transaction.sender.reverse_path == ReversePath::Null;
    let leads_to = match srs::verify(local, &services.srs, now) {
        Ok(srs::Origin::Address(sender)) => Some(routing::look_up(directory, &sender)),
        Ok(srs::Origin::Token(token)) => {
            let key = StateKey::new(accept::token_key(&token))?;
            let stored = services.store.state(key).await.ok().flatten();
            let sender = stored.and_then(|octets| Address::parse(&String::from_utf8(octets).ok()?).ok());
            sender.map(|sender| routing::look_up(directory, &sender))
        }
        Ok(srs::Origin::Forwarder(forwarder)) => {
            let is_there = directory.account(forwarder.account).is_some_and(|account| account.state.is_present());
            if is_null && is_there {
                return Some(Bounce::WithForwarder(forwarder));
            }
            None
        }
        Err(SrsError::NotRewritten) => match srs::verify_bounce(local, &services.srs, now) {
            Ok(group) => managers(directory, group),
            Err(SrsError::NotRewritten) => return None,
            Err(SrsError::Forged | SrsError::Expired) => None,
        },
        Err(SrsError::Forged | SrsError::Expired) => None,
    };
    Some(Bounce::To(leads_to.filter(|_| is_null).unwrap_or(Resolution::Unknown)))
}

/// Who hears of failures of a group's copies: its first active manager, or the domain admin (policy semantics §6.5).
fn managers(directory: &Directory, group: GroupId) -> Option<Resolution> {
    let mut managers = directory.group(group)?.managers.iter().filter_map(|id| directory.account(*id));
    let manager = managers.find(|a| a.state.is_active());
    let manager = manager.or_else(|| directory.active_admin(directory.group_organisation(group)?))?;
    Some(Resolution::Local(Addressed::Account { account: manager.id, detail: None, step: Step::Postmaster }))
}

/// RCPT to an address whose bounces are for the account that forwards.
pub(super) fn rcpt(
    session: &Session,
    mut transaction: Box<Transaction>,
    rcpt: Rcpt,
    (forwarder, client_listed): (Forwarder, Option<Arc<blocklist::Refusal>>),
) -> (State, Reply) {
    // Gather.
    let destination = Destination::Question;
    let facts = transaction::facts_of_made(session, &transaction, &rcpt, destination, client_listed);

    // Decide.
    let verdict = recipient::decide(&facts);

    // Act.
    let reply = match (verdict, &rcpt.forward_path) {
        (Ok(_), ForwardPath::Address(address)) => {
            transaction.bounce_for = Some((forwarder, address.clone()));
            answer::recipient()
        }
        (verdict, _) => {
            let verdict = verdict.err().unwrap_or(Verdict::Refuse(crate::policy::Reason::UserUnknown));
            let reply = refusal::verdict(verdict).unwrap_or_else(|| refusal::store(store::Error::NotFound));
            session.log_refusal("RCPT", &reply, &transaction.sender.reverse_path, Some(&rcpt.forward_path));
            reply
        }
    };
    (State::InTransaction(transaction), reply)
}

/// The end of data: the account reads it, unless it has a copy and has heard of a failed forward today. `prefix` stands
/// before the message.
pub(super) async fn take(
    session: &Session,
    transaction: &Transaction,
    (forwarder, to): &(Forwarder, Address),
    incoming: Incoming,
    prefix: Vec<u8>,
) -> Reply {
    let (services, id) = (&session.services, incoming.id());
    let (origin, header) = (message::origin(session, transaction), incoming.header().to_vec());
    let now = services.clock.now();
    let trace = |is_told| record::bounced(&origin, &transaction.sender, &header, to, is_told, now);
    match accept::bounce::take(&services.desk(), *forwarder, incoming, prefix, trace).await {
        Ok(is_told) => {
            let account = forwarder.account;
            tracing::info!(%id, %account, is_told, peer = %session.connection.peer(), "bounce of a forward");
            answer::accepted(id, false)
        }
        Err(error) => {
            let reply = refusal::store(error);
            session.log_refusal("DATA", &reply, &transaction.sender.reverse_path, None);
            reply
        }
    }
}
