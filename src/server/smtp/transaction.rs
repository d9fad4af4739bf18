//! MAIL and RCPT (RFC 5321 §4.1.1.2, §4.1.1.3): the envelope.

use std::sync::Arc;

use super::bounce::{self, Bounce};
use super::session::Session;
use super::state::{Greeted, Recipient, State, Transaction};
use super::{Role, answer, asking, listed, question, refusal};
use crate::directory::Directory;
use crate::mail::{AccountId, ReversePath};
use crate::policy;
use crate::policy::gateway::Client;
use crate::policy::rate::{self, OfAccount, Rate};
use crate::policy::recipient::{Destination, Facts, Room, Standing};
use crate::policy::reverse_path::Submitter;
use crate::policy::sender::{Origin, Sender};
use crate::policy::{Reason, Verdict, blocklist, ownership};
use crate::proto::authres::SpfResult;
use crate::proto::smtp::{CommandError, Mail, Rcpt, Reply, original_recipient};
use crate::routing::{self, Addressed, Resolution};
use crate::server::rates::{Counted, Reserved};
use crate::server::{Services, abuse};

/// MAIL: may a transaction start? It keeps the directory as it is now to its end.
pub(super) async fn mail(session: &mut Session, greeted: Greeted, mail: Mail) -> (State, Reply) {
    // RFC 8689 §2: it is offered, and asked for, within TLS only.
    if mail.requires_tls && session.connection.tls().is_none() {
        return (State::Greeted(greeted), refusal::command(CommandError::UnknownParameter));
    }
    // Gather.
    let directory = session.services.directory.current();
    let account = greeted.login.as_ref().map(|login| login.account.id);
    let submitter = submitter(&directory, session.port.role, account, &mail.reverse_path);
    let counted = session.counted(&directory, account);
    let rate = session.services.rates.message(counted, session.services.clock.now());
    let facts = policy::reverse_path::Facts {
        submitter,
        declared_size: mail.size,
        size_limit: session.services.limits.message_size,
        rate,
    };

    // Decide.
    let verdict = policy::reverse_path::decide(&facts);

    // Act.
    match (&verdict, counted) {
        (Verdict::Accept, _) => {}
        (Verdict::Defer(Reason::RateLimit), Counted::Account(account, limits)) => {
            abuse::message_refused(&session.services, (account, limits));
        }
        _ if rate == Rate::Within => session.services.rates.no_message(counted),
        _ => {}
    }
    if let Some(reply) = refusal::verdict(verdict) {
        session.log_refusal("MAIL", &reply, &mail.reverse_path, None);
        return (State::Greeted(greeted), reply);
    }
    let client = Client::of(&directory, session.connection.peer().ip(), session.handover());
    let sender = match account {
        Some(account) => Sender::authenticated(&directory, account, mail.reverse_path),
        None => Sender::unauthenticated(&directory, client.listed(&directory), mail.reverse_path, false),
    };
    let mut transaction = Box::new(Transaction {
        greeted,
        directory,
        client,
        sender,
        spf: None,
        smtputf8: mail.smtputf8,
        declared_size: mail.size,
        envelope_id: mail.envid,
        ret: mail.ret,
        requires_tls: mail.requires_tls,
        recipients: Vec::new(),
        reserved: None,
        is_discarded: false,
        answer: None,
        bounce_for: None,
    });
    if let Some(reply) = asking::mail(session, &mut transaction).await {
        if rate == Rate::Within {
            session.services.rates.no_message(counted);
        }
        session.log_refusal("MAIL", &reply, &transaction.sender.reverse_path, None);
        session.hooks.reset().await;
        return (State::Greeted(transaction.greeted), reply);
    }
    (State::InTransaction(transaction), answer::reverse_path())
}

/// Who speaks at MAIL, and whether the reverse-path is theirs.
pub(super) fn submitter(
    directory: &Directory,
    role: Role,
    login: Option<AccountId>,
    reverse_path: &ReversePath,
) -> Submitter {
    let may_send = |id| directory.account(id).is_some_and(|a| a.may_send());
    match (role, login) {
        (Role::Relay, _) => Submitter::Relay,
        (Role::Submission, None) => Submitter::Anonymous,
        (Role::Submission, Some(account)) if !may_send(account) => Submitter::Blocked,
        (Role::Submission, Some(account)) if ownership::may_use(directory, account, reverse_path) => Submitter::Owner,
        (Role::Submission, Some(_)) => Submitter::NotOwner,
    }
}

/// RCPT: may this recipient join the transaction?
pub(super) async fn rcpt(session: &mut Session, mut transaction: Box<Transaction>, rcpt: Rcpt) -> (State, Reply) {
    // Gather.
    verify_reverse_path(session, &mut transaction).await;
    if let Some(found) = question::look_up(&session.services, &transaction.directory, &rcpt.forward_path).await {
        return question::rcpt(session, transaction, rcpt, found);
    }
    let client_listed = listed::refusal(session, &transaction, &rcpt.forward_path).await;
    let bounce = match bounce::look_up(session, &transaction, &rcpt.forward_path).await {
        Some(Bounce::WithForwarder(forwarder)) => {
            return bounce::rcpt(session, transaction, rcpt, (forwarder, client_listed));
        }
        Some(Bounce::To(resolution)) => Some(resolution),
        None => None,
    };
    let directory = &transaction.directory;
    let may_relay = matches!(transaction.sender.origin, Origin::Authenticated { .. } | Origin::TrustedRelay { .. });
    let is_bounce = bounce.is_some();
    let resolution =
        bounce.unwrap_or_else(|| routing::resolve(directory, session.connection.local().ip(), &rcpt.forward_path));
    let weight = rate::weight(match transaction.sender.origin {
        Origin::Authenticated { .. } => routing::external_members(directory, &transaction.sender, &resolution),
        _ => 0,
    });
    let reserved = reserve(session, &transaction, weight).await;
    let facts = Facts {
        // What a rewritten reverse-path stands for was accepted when it was made.
        may_relay: may_relay || is_bounce,
        lacks_smtputf8: rcpt.needs_smtputf8 && !transaction.smtputf8,
        client_listed,
        destination: routing::destination(directory, &transaction.sender, &resolution),
        is_beyond_scope: routing::is_beyond_scope(directory, &transaction.sender, &resolution),
        room: room(session, &transaction, &resolution).await,
        count: transaction.recipients.len(),
        limit: recipient_limit(&session.services),
        rate: match &reserved {
            Ok(Some(_)) => Rate::Within,
            Ok(None) if account_of(session, &transaction).is_none() => Rate::Within,
            Ok(None) => Rate::Exceeded,
            Err(_) => Rate::Unknown,
        },
        others: others(&transaction),
    };

    // Decide.
    let verdict = policy::recipient::decide(&facts);

    // Act.
    let addressed = match resolution {
        Resolution::Local(addressed) => Some(addressed),
        Resolution::Foreign(address) => Some(Addressed::External(address)),
        Resolution::Unknown => None,
    };
    let reply = match (verdict, addressed) {
        (Ok(standing), Some(addressed)) => {
            let original = rcpt.orcpt.as_deref().map(original_recipient);
            let (forward_path, notify) = (rcpt.forward_path, rcpt.notify);
            transaction.recipients.push(Recipient { forward_path, addressed, standing, notify, original });
            if let Some(reply) = asking::rcpt(session, &mut transaction).await {
                let refused = transaction.recipients.pop().map(|refused| refused.forward_path);
                session.log_refusal("RCPT", &reply, &transaction.sender.reverse_path, refused.as_ref());
                return (State::InTransaction(transaction), reply);
            }
            match (&mut transaction.reserved, reserved.ok().flatten()) {
                (Some(all), Some(more)) => all.join(more),
                (none, more) => *none = more,
            }
            answer::recipient()
        }
        (verdict, _) => {
            // Policy accepts nobody who is unknown; should it ever, nothing is accepted that goes nowhere.
            let verdict = verdict.err().unwrap_or(Verdict::Defer(Reason::PolicyUnavailable));
            if let (Verdict::Defer(Reason::RateLimit), Some(account)) = (&verdict, account_of(session, &transaction)) {
                abuse::recipients_refused(&session.services, account, weight);
            }
            let reply = refusal::verdict(verdict).unwrap_or_else(|| refusal::store(crate::store::Error::NotFound));
            session.log_refusal("RCPT", &reply, &transaction.sender.reverse_path, Some(&rcpt.forward_path));
            reply
        }
    };
    (State::InTransaction(transaction), reply)
}

/// The account that sends, and what it may send.
fn account_of(session: &Session, transaction: &Transaction) -> Option<(AccountId, OfAccount)> {
    let Origin::Authenticated { account, .. } = transaction.sender.origin else { return None };
    match session.counted(&transaction.directory, Some(account)) {
        Counted::Account(account, limits) => Some((account, limits)),
        Counted::Client(_) | Counted::Nobody => None,
    }
}

/// Counts a recipient against what the account may send in a day, until the message is accepted or given up; `None` if it
/// is one too many, or if nobody counts.
async fn reserve(
    session: &Session,
    transaction: &Transaction,
    weight: u32,
) -> Result<Option<Reserved>, crate::store::Error> {
    let Some(account) = account_of(session, transaction) else { return Ok(None) };
    let services = &session.services;
    services.rates.recipients(&services.store, account, weight, services.clock.now()).await
}

/// What is asked about an address that this server has made, and that only takes what is sent to it: no account's room,
/// scope or rate is concerned.
pub(super) fn facts_of_made(
    session: &Session,
    transaction: &Transaction,
    rcpt: &Rcpt,
    destination: Destination,
    client_listed: Option<Arc<blocklist::Refusal>>,
) -> Facts {
    Facts {
        may_relay: false,
        lacks_smtputf8: rcpt.needs_smtputf8 && !transaction.smtputf8,
        client_listed,
        destination,
        is_beyond_scope: false,
        room: Room::Fits,
        count: transaction.recipients.len(),
        limit: recipient_limit(&session.services),
        rate: Rate::Within,
        others: others(transaction),
    }
}

/// What the recipients accepted so far depend on, as far as it matters for the next; `None` if there are none.
pub(super) fn others(transaction: &Transaction) -> Option<Standing> {
    if transaction.answer.is_some() || transaction.bounce_for.is_some() {
        return Some(Standing::Alone);
    }
    transaction.recipients.first()?;
    let is_pending = transaction.recipients.iter().any(|r| r.standing == Standing::Pending);
    Some(if is_pending { Standing::Pending } else { Standing::Settled })
}

/// SPF, at the latest at the first RCPT (policy semantics §3.1). Not asked for clients of this host: what they say of
/// themselves is not in the DNS, and what they relay has come from elsewhere. Not asked for a gateway either, but for
/// the client that it has handed over (§3.2); one that its Received field will name is asked about at the end of data.
async fn verify_reverse_path(session: &Session, transaction: &mut Transaction) {
    if transaction.spf.is_some() {
        return;
    }
    let is_claim = matches!(transaction.sender.origin, Origin::Unauthenticated { .. });
    let client = match transaction.client {
        Client::Direct(client) | Client::HandedOver(client) if is_claim && !transaction.client.is_loopback() => client,
        Client::Direct(_) | Client::HandedOver(_) | Client::InReceived | Client::Unnamed => {
            transaction.spf = Some(SpfResult::None);
            return;
        }
    };
    let services = &session.services;
    let (helo, hostname) = (&transaction.greeted.client, services.hostname.as_str());
    let spf = services.email_auth.spf(client, helo, hostname, &transaction.sender.reverse_path).await;
    transaction.spf = Some(spf);
    if spf == SpfResult::Pass {
        let reverse_path = std::mem::replace(&mut transaction.sender.reverse_path, ReversePath::Null);
        let relay = transaction.client.listed(&transaction.directory);
        transaction.sender = Sender::unauthenticated(&transaction.directory, relay, reverse_path, true);
    }
}

/// Whether the recipient has room, as far as it can be known before the message has come (policy semantics §18).
async fn room(session: &Session, transaction: &Transaction, resolution: &Resolution) -> Room {
    let size = transaction.declared_size;
    let exceeds = |limit: u64| limit > 0 && size.is_some_and(|size| size > limit);
    match resolution {
        Resolution::Local(Addressed::Group(id)) => {
            let limit = transaction.directory.group(*id).map_or(0, |g| g.max_size);
            if exceeds(limit) { Room::TooBig } else { Room::Fits }
        }
        Resolution::Local(Addressed::Account { account, .. }) => {
            let Some(account) = transaction.directory.account(*account) else { return Room::Fits };
            let settings = account.settings();
            if exceeds(settings.max_message) {
                return Room::TooBig;
            }
            if exceeds(settings.quota) {
                return Room::NeverFits;
            }
            if settings.quota == 0 {
                return Room::Fits;
            }
            let id = account.id;
            match session.services.store.read(move |reader| reader.usage(id)).await {
                // Without SIZE the first octet must fit; with it, all of them.
                Ok(usage) if usage.octets.saturating_add(size.unwrap_or(1)) > settings.quota => Room::Full,
                Ok(_) => Room::Fits,
                Err(_) => Room::Unknown,
            }
        }
        Resolution::Local(Addressed::External(_)) | Resolution::Foreign(_) | Resolution::Unknown => Room::Fits,
    }
}

/// Recipients of one transaction: as configured, and never more than one commit may hold.
pub(super) fn recipient_limit(services: &Services) -> usize {
    services.limits.recipients.min(MAX_TARGETS)
}

const MAX_TARGETS: usize = 1000;
