//! Automatic replies (policy semantics §12): which copies of a letter may be answered, and the memory of whom an account
//! has answered, which changes in the commit of the reply.

use super::assemble::Parts;
use super::desk::Desk;
use super::errand::{self, Errand};
use super::held::StoredSender;
use super::letter::Letter;
use crate::directory::{Account, Directory, Target};
use crate::mail::{AccountId, Address, ReversePath, Timestamp};
use crate::policy::auto_reply::{self, Arrival, Placement, Reply};
use crate::policy::sender::Sender;
use crate::proto::authres::{DmarcResult, SpfResult};
use crate::routing::{Folder, Local, Via};
use crate::store::{self, StateKey};

/// The replies that there may be to a letter. Whether one is made is decided anew when it is to be written, because the
/// account may have answered the same sender meanwhile.
pub async fn errands(desk: &Desk, letter: &Letter<'_>, parts: &Parts) -> Result<Vec<Errand>, store::Error> {
    let ReversePath::Address(sender) = &letter.sender.reverse_path else { return Ok(Vec::new()) };
    let mut errands = Vec::new();
    for local in &parts.plan.local {
        let Some(account) = letter.directory.account(local.account) else { continue };
        let settings = account.settings();
        if settings.vacation.is_none() && settings.admin_reply.is_none() || !is_direct(letter, local, parts) {
            continue;
        }
        let domain = sender.domain();
        let copy = Copy {
            directory: letter.directory,
            account,
            sender: letter.sender,
            header: letter.header,
            spf: letter.auth.spf,
            dkim_aligned: domain.is_some_and(|d| letter.auth.is_signed_for(d, letter.directory.hosts(d))),
            dmarc: letter.auth.dmarc.result,
            now: letter.now,
        };
        let memory = Memory::load(desk, account.id, sender, letter.now).await?;
        if copy.reply(&memory).is_some() {
            errands.push(Errand::Reply(errand::Reply {
                account: account.id,
                sender: StoredSender::of(letter.sender),
                spf: copy.spf,
                dkim_aligned: copy.dkim_aligned,
                dmarc: copy.dmarc,
                requires_tls: letter.wishes.requires_tls,
            }));
        }
    }
    Ok(errands)
}

/// True if a copy came to the account itself and lies among its ordinary mail: no other is answered. Of one that a hook
/// has had made, a reply would tell the sender.
fn is_direct(letter: &Letter<'_>, local: &Local, parts: &Parts) -> bool {
    let to = Target::Account(local.account);
    let by_rule = parts.outcome.forwards.iter().any(|forward| forward.to == to)
        || parts.outcome.redirected.iter().any(|redirected| redirected.to.contains(&to));
    let is_added = by_rule || letter.is_named_by_hook(local.account);
    !is_added && local.forwarded_by.is_empty() && local.via == Via::Direct && local.folder == Folder::Inbox
}

/// A copy that came to an account itself.
pub struct Copy<'a> {
    pub directory: &'a Directory,
    pub account: &'a Account,
    pub sender: &'a Sender,
    /// Of the message.
    pub header: &'a [u8],
    pub spf: SpfResult,
    pub dkim_aligned: bool,
    pub dmarc: DmarcResult,
    pub now: Timestamp,
}

impl<'a> Copy<'a> {
    /// The reply to it, if there is to be one.
    pub fn reply(&self, memory: &Memory) -> Option<Reply<'a>> {
        auto_reply::decide(&auto_reply::Facts {
            directory: self.directory,
            account: self.account,
            filter: None,
            sender: self.sender,
            header: self.header,
            arrival: Arrival::Direct,
            placement: Placement::Ordinary,
            spf: self.spf,
            dkim_aligned: self.dkim_aligned,
            dmarc: self.dmarc,
            last_answered: memory.last,
            replies_in_24h: u32::try_from(memory.recent.len()).unwrap_or(u32::MAX),
            now: self.now,
        })
    }
}

/// Whom an account has answered lately.
pub struct Memory {
    /// The rows, as they were read.
    rows: Vec<(StateKey, Option<Vec<u8>>)>,
    /// When it last answered this sender.
    last: Option<Timestamp>,
    /// Its replies of the last 24 hours, in milliseconds.
    recent: Vec<i64>,
}

impl Memory {
    /// What the account remembers of a sender at `now`.
    pub async fn load(desk: &Desk, account: AccountId, sender: &Address, now: Timestamp) -> Result<Self, store::Error> {
        let digest = store::short_hash(auto_reply::memory_key(sender).as_str());
        let mut rows = Vec::with_capacity(2);
        for name in [format!("reply/{account}/{digest}"), format!("replies/{account}")] {
            let key = StateKey::new(name).ok_or(store::Error::Limit)?;
            rows.push((key.clone(), desk.store.state(key).await?));
        }
        let moments = |place: usize| -> Vec<i64> {
            let octets = rows.get(place).and_then(|(_, value)| value.as_deref()).unwrap_or_default();
            octets.chunks_exact(8).filter_map(|chunk| Some(i64::from_be_bytes(chunk.try_into().ok()?))).collect()
        };
        let since = now.millis().saturating_sub(DAY_MILLIS);
        let last = moments(0).first().copied().map(Timestamp::from_millis);
        let recent = moments(1).into_iter().filter(|at| *at > since).collect();
        Ok(Self { rows, last, recent })
    }

    /// The rows as they were read, and as they are after a reply at `now`.
    pub fn after(self, now: Timestamp) -> (Rows, Vec<(StateKey, Vec<u8>)>) {
        let all = self.recent.iter().copied().chain([now.millis()]);
        let values = [now.millis().to_be_bytes().to_vec(), all.flat_map(i64::to_be_bytes).collect()];
        let changed = self.rows.iter().map(|(key, _)| key.clone()).zip(values).collect();
        (self.rows, changed)
    }
}

/// Rows of state as they were read.
pub type Rows = Vec<(StateKey, Option<Vec<u8>>)>;

const DAY_MILLIS: i64 = 24 * 3600 * 1000;
