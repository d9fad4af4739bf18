//! Hooks in a session: what they are told, and what becomes of what they say. A stage is asked about after policy has
//! said yes to it.

use std::collections::HashMap;

use super::session::{Session, given};
use super::state::{Greeted, Recipient, Transaction};
use super::{Role, refusal};
use crate::accept::{self, Incoming};
use crate::directory::Directory;
use crate::hooks::{self, Change, Envelope, Facts, Handling, Peer, RecipientFacts, Ruling, Secured, Stage, Verdict};
use crate::mail::{Address, AddressKey, ReversePath};
use crate::policy::Access;
use crate::policy::recipient::Destination;
use crate::policy::sender::Sender;
use crate::proto::authres::AuthResults;
use crate::proto::smtp::{Notify, Reply};
use crate::routing::{self, Addressed, Resolution};
use crate::store;

/// A client has connected. A reply is its last.
pub(super) async fn connect(session: &mut Session) -> Option<Reply> {
    let ruling = ask(session, Stage::Connect, None, None).await?;
    refusal::connection_by_hook(&ruling.verdict, session.services.hostname.as_str())
}

/// EHLO or HELO.
pub(super) async fn hello(session: &mut Session, greeted: &Greeted) -> Option<Reply> {
    session.hooks.greeted_again();
    let ruling = ask(session, Stage::Ehlo, Some(greeted), None).await?;
    refusal::hook(Stage::Ehlo, &ruling.verdict)
}

/// AUTH with the right password; `greeted` has the login.
pub(super) async fn login(session: &mut Session, greeted: &Greeted) -> Option<Reply> {
    let ruling = ask(session, Stage::Auth, Some(greeted), None).await?;
    refusal::hook(Stage::Auth, &ruling.verdict)
}

/// MAIL.
pub(super) async fn mail(session: &mut Session, transaction: &mut Transaction) -> Option<Reply> {
    of_transaction(session, transaction, Stage::Mail).await
}

/// RCPT: the last of the transaction's recipients.
pub(super) async fn rcpt(session: &mut Session, transaction: &mut Transaction) -> Option<Reply> {
    of_transaction(session, transaction, Stage::Rcpt).await
}

async fn of_transaction(session: &mut Session, transaction: &mut Transaction, stage: Stage) -> Option<Reply> {
    // Who wants it thrown away hears no more of it.
    if transaction.is_discarded {
        return None;
    }
    let ruling = ask(session, stage, Some(&transaction.greeted), Some(transaction)).await?;
    if ruling.verdict == Verdict::Discard {
        transaction.is_discarded = true;
    }
    refusal::hook(stage, &ruling.verdict)
}

/// `None` if nobody was asked.
async fn ask(
    session: &mut Session,
    stage: Stage,
    greeted: Option<&Greeted>,
    transaction: Option<&Transaction>,
) -> Option<Ruling> {
    if session.hooks.is_silent(stage) {
        return None;
    }
    let facts = facts(session, greeted, transaction);
    Some(session.hooks.ask(stage, &facts).await)
}

/// What hooks made of a message.
pub(super) enum Asked {
    /// It goes on.
    Handled(Handling),
    /// It is accepted and thrown away.
    Discarded,
    /// This is the reply.
    Refused(Reply),
}

/// The end of data; `server` are the fields that will stand in front of the message and that hooks are to see.
pub(super) async fn message(
    session: &mut Session,
    transaction: &Transaction,
    incoming: &Incoming,
    auth: &AuthResults,
    server: &[u8],
) -> Asked {
    if transaction.is_discarded {
        return Asked::Discarded;
    }
    if session.hooks.is_silent(Stage::Header) && session.hooks.is_silent(Stage::Data) {
        return Asked::Handled(Handling::default());
    }
    let mut facts = facts(session, Some(&transaction.greeted), Some(transaction));
    facts.authentication = Some(auth.clone());
    if let Some(envelope) = &mut facts.envelope {
        envelope.id = Some(incoming.id());
        envelope.size = Some(incoming.size());
    }
    let mut content = incoming.content();
    let (ruling, handling) = session.hooks.ask_message(&facts, server, &mut content).await;
    if ruling.verdict == Verdict::Discard {
        return Asked::Discarded;
    }
    match refusal::hook(Stage::Data, &ruling.verdict) {
        Some(reply) => Asked::Refused(reply),
        None => Asked::Handled(handling),
    }
}

/// The message as hooks want it: as it came, or staged anew.
pub(super) async fn rewritten(
    session: &mut Session,
    incoming: Incoming,
    handling: &Handling,
) -> Result<Incoming, store::Error> {
    if handling.header.is_none() && handling.body.is_none() {
        return Ok(incoming);
    }
    let mut content = incoming.content();
    if let Some(header) = &handling.header {
        content.header.clone_from(header);
    }
    if let Some(body) = &handling.body {
        content.replace_body(body.clone());
    }
    let mut changed = Incoming::new(&session.services.store);
    let (mut at, mut piece) = (0_u64, Vec::new());
    loop {
        piece.clear();
        content.piece(at, PIECE, &mut piece).await?;
        if piece.is_empty() {
            break;
        }
        changed.push(&piece).await?;
        at = at.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
    }
    let limit = session.services.limits.message_size;
    if changed.is_header_cut() || changed.size() > limit {
        tracing::error!(id = %incoming.id(), size = changed.size(), "hooks have made the message larger than it may be");
        return Err(store::Error::Limit);
    }
    session.hooks.remark(&format!("the message was {} before it was changed", incoming.id()));
    Ok(changed)
}

/// What hooks have made of an envelope.
#[derive(Debug, Default)]
pub(super) struct Redirected {
    /// What was left out, in words.
    pub left_out: Vec<String>,
    /// Recipients that the sender has named and that are none any more.
    pub removed: Vec<accept::Recipient>,
}

/// The envelope as hooks want it. What the sender may not write to stays closed to hooks as well, and so does what is
/// nowhere: a redirect that leads there is an error, in words, and changes nothing; other additions are left out. Whom the
/// sender has named stays a recipient of the sender's, whoever names it again.
pub(super) fn redirected(
    directory: &Directory,
    sender: &mut Sender,
    recipients: &mut Vec<accept::Recipient>,
    changes: Vec<Change>,
) -> Result<Redirected, String> {
    if changes.is_empty() {
        return Ok(Redirected::default());
    }
    let mut left_out = Vec::new();
    let before = recipients.clone();
    let key = |recipient: &accept::Recipient| Some(Address::parse(&recipient.address).ok()?.key());
    let named: HashMap<AddressKey, &accept::Recipient> = before.iter().filter_map(|r| Some((key(r)?, r))).collect();
    for change in changes {
        let recipient = |sender: &Sender, address: &Address| match named.get(&address.key()) {
            Some(named) => Some((*named).clone()),
            None => added(directory, sender, address),
        };
        match change {
            Change::ReversePath(path) => sender.reverse_path = path,
            Change::AddRecipient(address) => match recipient(sender, &address) {
                Some(recipient) => join(recipients, recipient),
                None => left_out.push(format!("not done: recipient added: {address}: nobody the sender may write to")),
            },
            Change::RemoveRecipient(address) => recipients.retain(|r| key(r) != Some(address.key())),
            Change::Redirect(to) => {
                let mut instead = Vec::new();
                for address in &to {
                    let nobody = || format!("not done: redirected to {address}: nobody the sender may write to");
                    join(&mut instead, recipient(sender, address).ok_or_else(nobody)?);
                }
                *recipients = instead;
            }
            Change::AddField { .. }
            | Change::ChangeField { .. }
            | Change::Body(_)
            | Change::Junk
            | Change::Quarantine(_) => {}
        }
    }
    let remains = |gone: &accept::Recipient| recipients.iter().any(|recipient| recipient.address == gone.address);
    let removed = before.into_iter().filter(|recipient| !remains(recipient)).collect();
    Ok(Redirected { left_out, removed })
}

/// A recipient that a hook names, if the sender may write to it. The sender knows nothing of it, and hears nothing of it.
fn added(directory: &Directory, sender: &Sender, address: &Address) -> Option<accept::Recipient> {
    let resolution = routing::look_up(directory, address);
    let is_closed =
        matches!(routing::destination(directory, sender, &resolution), Destination::Local(Access::Refused(_)));
    if is_closed || routing::is_beyond_scope(directory, sender, &resolution) {
        return None;
    }
    let addressed = match resolution {
        Resolution::Local(addressed) => addressed,
        Resolution::Foreign(address) => Addressed::External(address),
        Resolution::Unknown => return None,
    };
    let (address, notify) = (address.to_string(), Some(Notify::default()));
    Some(accept::Recipient { address, addressed, notify, original: None, by_hook: true })
}

fn join(recipients: &mut Vec<accept::Recipient>, more: accept::Recipient) {
    if !recipients.iter().any(|known| known.address.eq_ignore_ascii_case(&more.address)) {
        recipients.push(more);
    }
}

/// What hooks are told.
fn facts(session: &Session, greeted: Option<&Greeted>, transaction: Option<&Transaction>) -> Facts {
    let client = std::net::SocketAddr::new(session.client(), session.connection.peer().port());
    Facts {
        time: session.services.clock.now(),
        hostname: session.services.hostname.to_string(),
        listener: match session.port.role {
            Role::Relay => "smtp",
            Role::Submission => "submission",
        },
        peer: Peer { client, local: session.connection.local() },
        tls: session
            .connection
            .tls()
            .map(|tls| Secured { version: tls.version.to_owned(), cipher: tls.cipher.clone() }),
        helo: greeted.map(|greeted| greeted.client.to_string()),
        is_extended: greeted.is_some_and(|greeted| greeted.is_extended),
        login: greeted.and_then(|greeted| Some(greeted.login.as_ref()?.account.address.clone())),
        envelope: transaction.map(envelope),
        authentication: None,
    }
}

fn envelope(transaction: &Transaction) -> Envelope {
    let bounce = transaction.bounce_for.as_ref().map(|(_, to)| to.to_string());
    let bounce = bounce.map(|address| RecipientFacts { address, parameters: Vec::new() });
    let mut parameters = Vec::new();
    parameters.extend(transaction.declared_size.map(|size| format!("SIZE={size}")));
    parameters.extend(transaction.smtputf8.then(|| "SMTPUTF8".to_owned()));
    parameters.extend(transaction.requires_tls.then(|| "REQUIRETLS".to_owned()));
    Envelope {
        id: None,
        reverse_path: match &transaction.sender.reverse_path {
            ReversePath::Null => String::new(),
            ReversePath::Address(address) => address.to_string(),
        },
        parameters,
        recipients: transaction.recipients.iter().map(recipient).chain(bounce).collect(),
        size: None,
    }
}

fn recipient(recipient: &Recipient) -> RecipientFacts {
    RecipientFacts { address: given(&recipient.forward_path), parameters: Vec::new() }
}

/// For sessions of this kind.
pub(super) fn listens(role: Role) -> hooks::Listens {
    match role {
        Role::Relay => hooks::Listens::Smtp,
        Role::Submission => hooks::Listens::Submission,
    }
}

/// Octets copied at a time.
const PIECE: u64 = 256 << 10;
