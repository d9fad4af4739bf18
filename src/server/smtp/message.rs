//! A message on its way in, and the decision at its end (RFC 5321 §4.1.1.4, policy semantics §19).

use std::time::Instant;

use super::asking::{self, Asked};
use super::session::{Session, given};
use super::state::Transaction;
use super::trace::{self, Trace, Transport};
use super::{Role, answer, bounce, question, refusal};
use crate::accept::{Accepted, Hooked, Incoming, Letter, Origin, Recipient, Refused, Wishes, evidence};
use crate::directory::Directory;
use crate::emailauth::DkimInput;
use crate::hooks::Handling;
use crate::mail::srs::Forwarder;
use crate::mail::{Address, ReversePath, Timestamp};
use crate::policy::dmarc::{self, Treatment};
use crate::policy::gateway::{self, Client};
use crate::policy::lists::Correspondent;
use crate::policy::ownership::{self, Addition};
use crate::policy::recipient::{Destination, Standing};
use crate::policy::sender::{Sender, Verification};
use crate::policy::{self, Access, blocklist};
use crate::proto::authres::{AuthResults, Identities, SpfResult};
use crate::proto::message::{HeaderAddresses, Received, header, header_from, sender_addresses};
use crate::proto::smtp::{Defect, Reply};
use crate::routing::{self, Addressed, Resolution};
use crate::server::{Services, abuse};
use crate::store;

/// What has come of a message. Once it is clear that it will not be taken, its octets are only counted.
#[derive(Debug)]
pub(super) struct Receiving {
    state: Progress,
    /// What DKIM will need of it.
    dkim: DkimInput,
    /// Octets so far.
    size: u64,
    limit: u64,
}

#[derive(Debug)]
enum Progress {
    Storing(Box<Incoming>),
    TooBig,
    Defective,
    Failed(store::Error),
}

impl Receiving {
    /// Nothing yet.
    pub fn new(services: &Services) -> Self {
        let limit = services.limits.message_size;
        Self {
            state: Progress::Storing(Box::new(Incoming::new(&services.store))),
            dkim: DkimInput::new(),
            size: 0,
            limit,
        }
    }

    /// Takes the next octets of the content.
    pub async fn push(&mut self, octets: &[u8]) {
        self.count(octets.len());
        if self.size > self.limit {
            self.state = Progress::TooBig;
        }
        if let Progress::Storing(incoming) = &mut self.state {
            self.dkim.push(octets);
            if let Err(error) = incoming.push(octets).await {
                self.state = Progress::Failed(error);
            }
        }
    }

    /// Counts octets that are not kept.
    pub fn count(&mut self, octets: usize) {
        self.size = self.size.saturating_add(u64::try_from(octets).unwrap_or(u64::MAX));
    }

    /// The content is not acceptable: nothing of it is kept.
    pub fn give_up(&mut self) {
        if let Progress::Storing(_) = self.state {
            self.state = Progress::Defective;
        }
    }

    /// Larger than a message may be.
    pub fn is_too_big(&self) -> bool {
        self.size > self.limit
    }

    /// So much larger that its end is not waited for, if `further` octets are to come.
    pub fn is_flood(&self, further: u64) -> bool {
        is_flood(self.size.saturating_add(further), self.limit)
    }

    /// Why it is lost already, before its end.
    pub fn failure(&self) -> Option<store::Error> {
        match self.state {
            Progress::Failed(error) => Some(error),
            Progress::Storing(_) | Progress::TooBig | Progress::Defective => None,
        }
    }
}

/// Reading on to the end is a courtesy that has limits.
pub(super) fn is_flood(octets: u64, limit: u64) -> bool {
    octets > limit.saturating_mul(2).saturating_add(FLOOD_MARGIN)
}

/// The end of data: the message is committed, or the reply says why not.
pub(super) async fn end_of_data(
    session: &mut Session,
    transaction: &mut Transaction,
    receiving: Receiving,
    defect: Option<Defect>,
) -> Reply {
    // Gather.
    let header = match &receiving.state {
        Progress::Storing(incoming) => incoming.header(),
        Progress::TooBig | Progress::Defective | Progress::Failed(_) => &[],
    };
    let facts = policy::message::Facts {
        defect,
        is_too_big: receiving.is_too_big(),
        is_header_too_big: matches!(&receiving.state, Progress::Storing(incoming) if incoming.is_header_cut()),
        received_fields: header::count(header, "Received"),
    };

    // Decide.
    let verdict = policy::message::decide(&facts);

    // Act.
    let refused = match (refusal::verdict(verdict), receiving.state) {
        (Some(reply), _) => reply,
        (None, Progress::Storing(incoming)) => {
            let begun = Instant::now();
            let reply = accept(session, transaction, *incoming, receiving.dkim).await;
            if !reply.is_negative() {
                session.services.metrics.answered(begun.elapsed());
            }
            return reply;
        }
        (None, Progress::Failed(error)) => refusal::store(error),
        // Refused above; were they not, there would still be nothing to deliver.
        (None, Progress::TooBig | Progress::Defective) => refusal::store(store::Error::Unavailable),
    };
    session.log_refused_message(&refused, transaction);
    refused
}

/// A message that can be taken: who sent it is settled, then it is accepted as a whole or refused.
async fn accept(session: &mut Session, transaction: &mut Transaction, incoming: Incoming, dkim: DkimInput) -> Reply {
    let services = session.services.clone();
    let from = header_from(incoming.header());
    let addition = match addition(transaction, &incoming, &from) {
        Ok(addition) => addition,
        Err(reason) => return refuse(session, transaction, &incoming, policy::Verdict::Refuse(reason)),
    };
    if let Some(answer) = &transaction.answer {
        return question::answered(session, transaction, answer, incoming).await;
    }
    if let Some(bounce) = &transaction.bounce_for {
        return report(session, transaction, bounce, incoming, addition).await;
    }
    if is_stopped(session, transaction) {
        return refuse(session, transaction, &incoming, policy::Verdict::Refuse(policy::Reason::SendBlocked));
    }
    let (mut sender, auth) = settle(session, transaction, dkim, &from, incoming.header()).await;
    let now = services.clock.now();
    let results = results(session, transaction, &sender, &auth, &from);
    let origin = origin(session, transaction);
    let mut standing = match standing(transaction, &sender) {
        Ok(standing) => standing,
        Err(verdict) => return refuse(session, transaction, &incoming, verdict),
    };
    if disowned(&transaction.directory, &standing.kept, &auth) == Treatment::Refused {
        return refuse(session, transaction, &incoming, policy::Verdict::Refuse(policy::Reason::Dmarc));
    }
    let claimed = Correspondent { sender: &sender, authors: &from.addresses };
    if routing::all_refuse(&transaction.directory, claimed, standing.kept.iter().map(|to| &to.addressed)) {
        return refuse(session, transaction, &incoming, policy::Verdict::Refuse(policy::Reason::SenderBlocked));
    }
    spare_filters(session, &transaction.directory, claimed, &standing.kept);
    let server = results.as_deref().unwrap_or_default().as_bytes();
    let (handling, is_discarded) = match asking::message(session, transaction, &incoming, &auth, server).await {
        Asked::Handled(handling) => (handling, false),
        Asked::Discarded => (Handling::default(), true),
        Asked::Refused(reply) => return refused(session, transaction, reply),
    };
    let is_changed = handling.header.is_some() || handling.body.is_some();
    let incoming = match asking::rewritten(session, incoming, &handling).await {
        Ok(incoming) => incoming,
        Err(error) => return refused(session, transaction, refusal::store(error)),
    };
    let from = if is_changed { header_from(incoming.header()) } else { from };
    let removed = match asking::redirected(&transaction.directory, &mut sender, &mut standing.kept, handling.envelope) {
        Ok(asking::Redirected { left_out, removed }) => {
            left_out.iter().for_each(|text| session.hooks.remark(text));
            removed
        }
        Err(text) => {
            session.hooks.remark(&text);
            let unclear = policy::Verdict::Defer(policy::Reason::PolicyUnavailable);
            return refuse(session, transaction, &incoming, unclear);
        }
    };
    let is_discarded = is_discarded || standing.kept.is_empty();
    let mut prefix =
        trace_of(session, transaction, &sender.reverse_path, &incoming, (addition, results.as_deref()), now);
    prefix.extend_from_slice(&handling.added);
    let header = incoming.header().to_vec();
    let mut reserved = transaction.reserved.take();
    let counted = reserved.as_mut().and_then(|reserved| reserved.count(now)).into_iter().collect();
    let letter = Letter {
        id: incoming.id(),
        directory: &transaction.directory,
        sender: &sender,
        recipients: &standing.kept,
        from: &from,
        header: &header,
        size: incoming.size(),
        prefix: &prefix,
        auth: &auth,
        now,
        origin: &origin,
        wishes: Wishes {
            envelope_id: transaction.envelope_id.as_deref(),
            ret: transaction.ret,
            requires_tls: transaction.requires_tls,
        },
        hooked: Hooked {
            added: &handling.added,
            is_junk: handling.is_junk,
            quarantine: handling.quarantine.as_ref().map(|(hook, why)| (hook.as_str(), why.as_str())),
            removed: &removed,
            notes: session.hooks.notes(),
        },
    };
    if is_discarded {
        return discard(session, &letter).await;
    }
    let desk = services.desk();
    match crate::accept::accept(&desk, &letter, incoming, &standing.failed, counted).await {
        Ok(accepted) => {
            if let Some(reserved) = reserved {
                reserved.keep();
            }
            if let Some(login) = &transaction.greeted.login {
                abuse::accepted(&services, login.account.id);
            }
            services.metrics.accepted(transaction.recipients.len());
            log(session, transaction, &letter, &accepted);
            // Whether something is held is not told to strangers (policy semantics §20).
            answer::accepted(letter.id, accepted.held > 0 && transaction.greeted.login.is_some())
        }
        Err(Refused::Verdict(verdict)) => refused(session, transaction, reply_to(verdict)),
        Err(Refused::Store(error)) => refused(session, transaction, refusal::store(error)),
    }
}

/// A bounce for an address that this server has made: hooks are asked about it, and nothing else decides.
async fn report(
    session: &mut Session,
    transaction: &Transaction,
    bounce: &(Forwarder, Address),
    incoming: Incoming,
    addition: Addition,
) -> Reply {
    match asking::message(session, transaction, &incoming, &AuthResults::default(), b"").await {
        // A report that is worth a look is none that must be had.
        Asked::Handled(Handling { quarantine: Some(_), .. }) | Asked::Discarded => {
            return refuse(session, transaction, &incoming, policy::Verdict::Refuse(policy::Reason::Rule(None)));
        }
        Asked::Handled(_) => {}
        Asked::Refused(reply) => return refused(session, transaction, reply),
    }
    let (path, now) = (&transaction.sender.reverse_path, session.services.clock.now());
    let prefix = trace_of(session, transaction, path, &incoming, (addition, None), now);
    bounce::take(session, transaction, bounce, incoming, prefix).await
}

/// Spam filters are not asked about a message that all its recipients want.
fn spare_filters(session: &mut Session, directory: &Directory, from: Correspondent<'_>, recipients: &[Recipient]) {
    if session.hooks.filters_spam() {
        let addressed: Vec<Addressed> = recipients.iter().map(|to| to.addressed.clone()).collect();
        if routing::all_allow(directory, from, &addressed) {
            session.hooks.spare();
        }
    }
}

/// One line for each message.
fn log(session: &Session, transaction: &Transaction, letter: &Letter<'_>, accepted: &Accepted) {
    tracing::info!(
        id = %letter.id,
        class = letter.sender.class(),
        reverse_path = %letter.sender.reverse_path,
        recipients = transaction.recipients.len(),
        accounts = accepted.accounts,
        remote = accepted.remote,
        held = accepted.held,
        size = letter.size,
        peer = %session.connection.peer(),
        client = %session.client(),
        login = letter.origin.login.as_ref().map(tracing::field::display),
        "message accepted"
    );
}

/// Says yes and keeps nothing but the trace, because a hook wants that.
async fn discard(session: &Session, letter: &Letter<'_>) -> Reply {
    tracing::info!(id = %letter.id, peer = %session.connection.peer(), "message discarded by a hook");
    match session.services.store.note_end(letter.id, crate::accept::record::discarded(letter)).await {
        Ok(()) => answer::accepted(letter.id, false),
        Err(error) => refusal::store(error),
    }
}

/// True if the account that sends has been stopped since the transaction began: the directory as it was at MAIL, which
/// counts for all else, must not let out what a thief sends.
fn is_stopped(session: &Session, transaction: &Transaction) -> bool {
    let Some(login) = &transaction.greeted.login else { return false };
    let directory = session.services.directory.current();
    directory.account(login.account.id).is_some_and(|account| account.settings().suspended.is_some())
}

/// Where a message comes from.
pub(super) fn origin(session: &Session, transaction: &Transaction) -> Origin {
    Origin {
        client: Some(session.client().to_string()),
        helo: transaction.greeted.client.to_string(),
        login: transaction.greeted.login.as_ref().map(|l| l.account.address.clone()),
        blocklists: session.listed.of(session.client()).to_vec(),
    }
}

/// What becomes of a message that its author's domain disowns, for all its recipients.
fn disowned(directory: &Directory, recipients: &[Recipient], auth: &AuthResults) -> Treatment {
    let organisation = |recipient: &Recipient| match &recipient.addressed {
        Addressed::Account { account, .. } => directory.account_organisation(*account),
        Addressed::Group(id) => directory.group_organisation(*id),
        Addressed::External(_) => None,
    };
    let of = |recipient| match organisation(recipient).and_then(|id| directory.organisation(id)) {
        Some(organisation) => dmarc::treatment(organisation, auth),
        None => Treatment::Noted,
    };
    dmarc::of_all(recipients.iter().map(of))
}

fn refuse(session: &Session, transaction: &Transaction, incoming: &Incoming, verdict: policy::Verdict) -> Reply {
    let reply = refused(session, transaction, reply_to(verdict));
    tracing::debug!(id = %incoming.id(), "content is dropped");
    reply
}

/// The reply, once it is written down.
fn refused(session: &Session, transaction: &Transaction, reply: Reply) -> Reply {
    session.log_refused_message(&reply, transaction);
    reply
}

fn reply_to(verdict: policy::Verdict) -> Reply {
    refusal::verdict(verdict).unwrap_or_else(|| refusal::store(store::Error::Unavailable))
}

/// What email authentication finds, and the sender it makes of the claim (policy semantics §3.3).
async fn settle(
    session: &Session,
    transaction: &Transaction,
    dkim: DkimInput,
    from: &HeaderAddresses,
    header: &[u8],
) -> (Sender, AuthResults) {
    let spf = spf(session, transaction, header).await;
    let sender = transaction.sender.clone();
    if sender.verification().is_none() && sender.reverse_path != ReversePath::Null {
        return (sender, AuthResults { spf, ..AuthResults::default() });
    }
    // A client of this host is asked for only if somebody depends on it: what it relays was verified elsewhere.
    let matters = transaction.recipients.iter().any(|r| r.standing != Standing::Settled);
    let auth = if matters || !transaction.client.is_loopback() {
        session.services.email_auth.verify(&dkim.finish(), spf, &sender.reverse_path, from).await
    } else {
        AuthResults { spf, ..AuthResults::default() }
    };
    let evidence = evidence(&transaction.directory, &sender.reverse_path, &auth, from);
    (sender.with_evidence(evidence), auth)
}

/// SPF, which for the client that a gateway's own Received field names can be asked only now (policy semantics §3.2). A
/// pass that is learned here verifies what was pending, as an aligned DKIM signature does.
async fn spf(session: &Session, transaction: &Transaction, header: &[u8]) -> SpfResult {
    let known = transaction.spf.unwrap_or_default();
    if transaction.client != Client::InReceived {
        return known;
    }
    let topmost = header::find(header, "Received").and_then(|field| Received::parse(field.raw_value()));
    let Some(topmost) = topmost else { return known };
    let peer = session.connection.peer().ip();
    let Some(client) = gateway::named_in(&transaction.directory, peer, &topmost) else { return known };
    let (services, reverse_path) = (&session.services, &transaction.sender.reverse_path);
    services.email_auth.spf(client, &topmost.helo, services.hostname.as_str(), reverse_path).await
}

/// The recipients that a settled sender reaches, and those that depended on a claim which is not true.
struct Standings {
    kept: Vec<Recipient>,
    failed: Vec<Recipient>,
}

/// Policy semantics §7.3: all that depend on the claim have its fate; if nobody is left, the message is refused.
fn standing(transaction: &Transaction, sender: &Sender) -> Result<Standings, policy::Verdict> {
    let mut standings = Standings { kept: Vec::new(), failed: Vec::new() };
    let mut reason = policy::Reason::GroupUnverified;
    for recipient in &transaction.recipients {
        let given = given(&recipient.forward_path);
        let addressed = recipient.addressed.clone();
        let resolution = Resolution::Local(addressed.clone());
        let refusal = match recipient.standing {
            Standing::Settled | Standing::Alone => None,
            Standing::Provisional | Standing::Pending => {
                match routing::destination(&transaction.directory, sender, &resolution) {
                    Destination::Local(Access::Refused(reason)) => Some(reason),
                    _ => None,
                }
            }
        };
        let (notify, original) = (recipient.notify, recipient.original.clone());
        let recipient = Recipient { address: given, addressed, notify, original, by_hook: false };
        match refusal {
            None => standings.kept.push(recipient),
            Some(why) => {
                reason = match why {
                    policy::Reason::GroupRetry => why,
                    // Whatever closes it now, it closes because the claim is not true.
                    _ if sender.verification() == Some(Verification::Unavailable) => policy::Reason::GroupRetry,
                    _ => policy::Reason::GroupUnverified,
                };
                standings.failed.push(recipient);
            }
        }
    }
    if standings.kept.is_empty() {
        return Err(match reason {
            policy::Reason::GroupRetry => policy::Verdict::Defer(reason),
            reason => policy::Verdict::Refuse(reason),
        });
    }
    Ok(standings)
}

/// Whose addresses the header of a submitted message uses (policy semantics §5).
fn addition(
    transaction: &Transaction,
    incoming: &Incoming,
    from: &HeaderAddresses,
) -> Result<Addition, policy::Reason> {
    let Some(login) = &transaction.greeted.login else { return Ok(Addition::None) };
    let sender = sender_addresses(incoming.header());
    let has = |name| header::contains(incoming.header(), name);
    let facts = ownership::Facts {
        from: &from.addresses,
        sender: &sender.addresses,
        is_unreadable: (has("From") && !from.is_complete) || (has("Sender") && !sender.is_complete),
    };
    ownership::decide(&transaction.directory, login.account.id, &facts)
}

/// The Authentication-Results field of a message from elsewhere, if anything was asked about it (RFC 8601 §2).
fn results(
    session: &Session,
    transaction: &Transaction,
    sender: &Sender,
    auth: &AuthResults,
    from: &HeaderAddresses,
) -> Option<String> {
    if transaction.greeted.login.is_some() || *auth == AuthResults::default() {
        return None;
    }
    let mail_from = match &sender.reverse_path {
        ReversePath::Address(address) => address.domain(),
        ReversePath::Null => None,
    };
    let authors = from.domains();
    let header_from = if let [only] = authors.as_slice() { Some(only) } else { None };
    Some(auth.field(&session.services.hostname, Identities { mail_from, header_from }))
}

fn trace_of(
    session: &Session,
    transaction: &Transaction,
    reverse_path: &ReversePath,
    incoming: &Incoming,
    (addition, results): (Addition, Option<&str>),
    now: Timestamp,
) -> Vec<u8> {
    let origin = match (session.port.role, &transaction.greeted.login) {
        (Role::Submission, Some(login)) => trace::Origin::Submission {
            header: incoming.header(),
            addition: match addition {
                Addition::None => None,
                Addition::From => Some(("From", &login.account.address)),
                Addition::Sender => Some(("Sender", &login.account.address)),
            },
        },
        _ => trace::Origin::Host(&transaction.greeted.client, session.client()),
    };
    let recipient = match transaction.recipients.as_slice() {
        [only] => Some(&only.forward_path),
        _ => None,
    };
    trace::prefix(&Trace {
        reverse_path,
        origin,
        hostname: session.services.hostname.as_str(),
        transport: Transport {
            is_extended: transaction.greeted.is_extended,
            is_utf8: transaction.smtputf8,
            is_encrypted: session.connection.tls().is_some(),
            is_authenticated: transaction.greeted.login.is_some(),
        },
        id: incoming.id(),
        results,
        listed: &blocklist::fields(session.client(), &session.listed.of(session.client())),
        recipient,
        at: now,
    })
}

/// Lets a small limit not turn a slightly larger message into a broken connection.
const FLOOD_MARGIN: u64 = 1 << 20;
