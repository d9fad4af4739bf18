//! Mail to one-time addresses (policy semantics §9, §11.1): answers to questions of this server. They go into no mailbox;
//! what they say is carried out, or refused in words that the author's mail program shows.
//!
//! An address that asks nothing (forged, expired, decided, another's) gets the reply of an unknown one.

use super::message;
use super::session::Session;
use super::state::{State, Transaction};
use super::{answer, refusal, transaction};
use crate::accept::{Acceptance, HeldPart, Incoming, record, release};
use crate::directory::{Directory, Target};
use crate::mail::one_time::{self, Question};
use crate::mail::{AccountId, Address, ForwardPath, HoldId, ReversePath};
use crate::policy::answer::{self as policy_answer, Asked, Decision, Facts};
use crate::policy::recipient::{self, Destination};
use crate::policy::{Access, Reason, Verdict};
use crate::proto::message::inspect::{Piece, pieces};
use crate::proto::smtp::{Rcpt, Reply};
use crate::server::Services;
use crate::server::admin::error::OpError;
use crate::server::admin::{self, Actor, Admin};
use crate::store::{self, Decision as HeldDecision, Held, HoldState};

/// A question that is still open.
#[derive(Clone, Debug)]
pub(in crate::server) enum Open {
    /// Whether a held message may pass.
    Decide {
        /// Which.
        hold: HoldId,
        /// To whom the address was given.
        approver: AccountId,
    },
    /// Whether somebody elsewhere wants what an account forwards.
    Confirm {
        /// Whose mail.
        account: AccountId,
        /// To whom it would go.
        target: Address,
    },
}

/// What an address asks.
#[derive(Clone, Debug)]
pub(in crate::server) enum Found {
    /// This.
    Open(Open),
    /// Nothing, or nothing any more.
    Nothing,
    /// That cannot be found out now.
    Unavailable,
}

/// The question that a transaction answers.
#[derive(Debug)]
pub(super) struct Answer {
    /// As given in RCPT.
    address: Address,
    question: Open,
}

/// What a one-time address asks; `None` for every other address. The seal is looked at first, so that nothing but its
/// computation happens for a forged one.
pub(in crate::server) async fn look_up(
    services: &Services,
    directory: &Directory,
    forward_path: &ForwardPath,
) -> Option<Found> {
    let ForwardPath::Address(address) = forward_path else { return None };
    let local = address.local_part();
    if !one_time::is_reserved(local.as_str()) || !address.domain().is_some_and(|d| directory.hosts(d)) {
        return None;
    }
    let open = match one_time::question(local, &services.srs, services.clock.now()) {
        Some(Question::Decide { hold, approver }) => undecided(services, directory, hold, approver).await,
        Some(Question::Confirm { account }) => Ok(unconfirmed(services, directory, account, address)),
        None => Ok(None),
    };
    Some(match open {
        Ok(Some(open)) => Found::Open(open),
        Ok(None) => Found::Nothing,
        Err(_) => Found::Unavailable,
    })
}

/// The held message, if it waits and the approver is still one who decides.
async fn undecided(
    services: &Services,
    directory: &Directory,
    hold: HoldId,
    approver: AccountId,
) -> Result<Option<Open>, store::Error> {
    let held = match services.store.held_by_id(hold).await {
        Ok(held) => held,
        Err(store::Error::NotFound) => return Ok(None),
        Err(error) => return Err(error),
    };
    let is_late = held.expires.is_some_and(|at| at <= services.clock.now());
    let may = HeldPart::decode(&held.data).is_some_and(|part| part.approvers.contains(&approver))
        && directory.account(approver).is_some_and(|account| account.state.is_active());
    let is_open = held.state == HoldState::Pending && !is_late && may;
    Ok(is_open.then_some(Open::Decide { hold, approver }))
}

/// The target to which the address was given, if the account still forwards there and it has not confirmed.
fn unconfirmed(services: &Services, directory: &Directory, account: AccountId, address: &Address) -> Option<Open> {
    let found = directory.account(account).filter(|a| a.state.is_present())?;
    let targets = found.settings().forward.as_ref()?.targets.iter().filter(|target| !target.confirmed);
    let external = targets.filter_map(|target| match &target.to {
        Target::External(to) => Some(to),
        Target::Account(_) | Target::Group(_) => None,
    });
    let mut given = external.filter(|to| one_time::is_target(address.local_part(), to, &services.srs));
    Some(Open::Confirm { account, target: given.next()?.clone() })
}

/// Where a one-time address leads for this session.
pub(super) fn destination(found: &Found, identity: Option<AccountId>, reverse_path: &ReversePath) -> Destination {
    let asked = match found {
        Found::Open(Open::Decide { approver, .. }) => Asked::Approver(*approver),
        Found::Open(Open::Confirm { .. }) => Asked::Anybody,
        Found::Nothing => Asked::Nothing,
        Found::Unavailable => return Destination::Local(Access::Refused(Reason::PolicyUnavailable)),
    };
    let facts = Facts { is_null: *reverse_path == ReversePath::Null, identity, asked };
    if policy_answer::may_answer(&facts) { Destination::Question } else { Destination::Unknown }
}

/// RCPT to a one-time address.
pub(super) fn rcpt(session: &Session, mut transaction: Box<Transaction>, rcpt: Rcpt, found: Found) -> (State, Reply) {
    // Gather.
    let sender = &transaction.sender;
    // What a user may send to whom is not asked: nothing is sent.
    let destination = destination(&found, sender.account(), &sender.reverse_path);
    let facts = transaction::facts_of_made(session, &transaction, &rcpt, destination, None);

    // Decide.
    let verdict = recipient::decide(&facts);

    // Act.
    let reply = match (verdict, found, rcpt.forward_path) {
        (Ok(_), Found::Open(question), ForwardPath::Address(address)) => {
            transaction.answer = Some(Answer { address, question });
            answer::recipient()
        }
        (verdict, _, forward_path) => {
            // Policy lets nobody answer what asks nothing; should it ever, nothing is decided.
            let verdict = verdict.err().unwrap_or(Verdict::Refuse(Reason::UserUnknown));
            let reply = refusal::verdict(verdict).unwrap_or_else(|| refusal::store(store::Error::NotFound));
            let shown = masked(&forward_path);
            session.log_refusal("RCPT", &reply, &transaction.sender.reverse_path, Some(&shown));
            reply
        }
    };
    (State::InTransaction(transaction), reply)
}

/// Without what makes it work, for whoever reads logs.
fn masked(forward_path: &ForwardPath) -> ForwardPath {
    match forward_path {
        ForwardPath::Address(address) => {
            ForwardPath::Address(one_time::masked(address).unwrap_or_else(|| address.clone()))
        }
        ForwardPath::Postmaster => ForwardPath::Postmaster,
    }
}

/// The end of data: what the answer says is carried out, or the reply says why not.
pub(super) async fn answered(
    session: &Session,
    transaction: &Transaction,
    answer: &Answer,
    incoming: Incoming,
) -> Reply {
    let outcome = match says(&answer.question, &incoming).await {
        Ok(said) => carry_out(session, transaction, answer, said).await,
        Err(refused) => Err(refused),
    };
    let to = one_time::masked(&answer.address).unwrap_or_else(|| answer.address.clone());
    match outcome {
        Ok(result) => {
            let (id, reverse_path) = (incoming.id(), &transaction.sender.reverse_path);
            tracing::info!(%id, %to, %reverse_path, result, peer = %session.connection.peer(), "question answered");
            note(session, transaction, &to, incoming, result).await;
            answer::accepted(id, false)
        }
        Err(refused) => {
            let reply = match refused {
                Refused::Verdict(verdict) => refusal::verdict(verdict),
                Refused::Store(error) => Some(refusal::store(error)),
            };
            let reply = reply.unwrap_or_else(|| refusal::store(store::Error::Unavailable));
            let to = ForwardPath::Address(to);
            session.log_refusal("DATA", &reply, &transaction.sender.reverse_path, Some(&to));
            reply
        }
    }
}

/// Why nothing came of an answer.
enum Refused {
    Verdict(Verdict),
    Store(store::Error),
}

impl From<store::Error> for Refused {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

/// What an answer says.
enum Said {
    Decision(Decision),
    Consent,
}

async fn says(question: &Open, incoming: &Incoming) -> Result<Said, Refused> {
    // Gather.
    let mut content = Vec::new();
    incoming.read(0, READ, &mut content).await?;
    let header = incoming.header().to_vec();
    let read = tokio::task::spawn_blocking(move || pieces(&content)).await;
    let pieces: Option<Vec<Piece>> = read.map_err(|_| store::Error::Unavailable)?;

    // Decide.
    let said = match question {
        Open::Decide { .. } => policy_answer::decision(&header, pieces.as_deref()).map(Said::Decision),
        Open::Confirm { .. } => policy_answer::consent(&header, pieces.as_deref()).map(|()| Said::Consent),
    };
    said.map_err(Refused::Verdict)
}

/// Asks once more whether the question is open, with the directory as it is now, and does what was said. Gives what
/// became of it, in a word for the trace. Once begun it runs to its end, whatever becomes of the session.
async fn carry_out(
    session: &Session,
    transaction: &Transaction,
    answer: &Answer,
    said: Said,
) -> Result<&'static str, Refused> {
    let too_late = || Refused::Verdict(Verdict::Refuse(Reason::AlreadyDecided));
    let services = session.services.clone();
    let directory = services.directory.current();
    let path = ForwardPath::Address(answer.address.clone());
    let Some(found) = look_up(&services, &directory, &path).await else { return Err(too_late()) };
    match destination(&found, transaction.sender.account(), &transaction.sender.reverse_path) {
        Destination::Question => {}
        Destination::Local(_) => return Err(Refused::Verdict(Verdict::Defer(Reason::PolicyUnavailable))),
        _ => return Err(too_late()),
    }
    let client = session.connection.peer();
    let acting = async move {
        match (found, said) {
            (Found::Open(Open::Decide { hold, approver }), Said::Decision(decision)) => {
                let (accepted, text) = match decision {
                    Decision::Accept => (true, String::new()),
                    Decision::Refuse(text) => (false, text),
                };
                let by = directory.account(approver).map(|a| a.address.to_string()).unwrap_or_default();
                let verdict = release::Verdict { accepted, by, text };
                let actor = Actor::Account { account: approver, client };
                let audit =
                    |held: &Held, decided: &HeldDecision| admin::ops::hold::decided(&directory, actor, held, decided);
                let decided = release::decide(&services.desk(), &directory, hold, verdict, audit).await;
                decided.map_err(|error| match error {
                    store::Error::Exists | store::Error::NotFound => too_late(),
                    error => error.into(),
                })?;
                Ok(if accepted { "accepted the held message" } else { "refused the held message" })
            }
            (Found::Open(Open::Confirm { account, target }), Said::Consent) => {
                let admin = Admin::new(services);
                let confirmed = admin.confirm_forward(Actor::Answer { client }, account, target).await;
                confirmed.map_err(|error| match error {
                    OpError::AlreadyDecided => too_late(),
                    _ => Refused::Store(store::Error::Unavailable),
                })?;
                Ok("confirmed the forward")
            }
            // What an address asks does not change.
            _ => Err(too_late()),
        }
    };
    tokio::spawn(acting).await.map_err(|_| Refused::Store(store::Error::Unavailable))?
}

/// Leaves the trace of an answer, and nothing of its content.
async fn note(session: &Session, transaction: &Transaction, to: &Address, incoming: Incoming, result: &'static str) {
    let services = &session.services;
    let now = services.clock.now();
    let origin = message::origin(session, transaction);
    let trace = record::answered(&origin, &transaction.sender, incoming.header(), to, result, now);
    let acceptance = Acceptance { trace: Some(trace), ..Acceptance::append(now, Vec::new()) };
    if let Err(error) = incoming.commit(&services.store, acceptance).await {
        tracing::error!(%error, "the trace of an answer could not be written");
    }
}

/// Octets of an answer that are looked at.
const READ: u64 = 1 << 20;
