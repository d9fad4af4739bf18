//! What an account has been told lately, so that it hears of one thing once: it forwards what another host refuses
//! (policy semantics §11.3), or a message did not get to members of its group (§6.5).

use super::desk::Desk;
use crate::mail::{AccountId, BlobId};
use crate::store::{Error, StateKey};

/// State as it was read, and as it becomes.
pub(super) struct Memo {
    pub read: (StateKey, Option<Vec<u8>>),
    pub changed: (StateKey, Vec<u8>),
}

/// What an account remembers when it is told of a failed forward now; `None` if it has been told today.
pub(super) async fn today(desk: &Desk, account: AccountId) -> Result<Option<Memo>, Error> {
    let key = StateKey::new(format!("forward-failed/{account}")).ok_or(Error::Limit)?;
    let known = desk.store.state(key.clone()).await?;
    let now = desk.clock.now().millis();
    let last = known.as_deref().and_then(|octets| octets.try_into().ok()).map(i64::from_be_bytes);
    if last.is_some_and(|last| now.saturating_sub(last) < DAY) {
        return Ok(None);
    }
    Ok(Some(Memo { read: (key.clone(), known), changed: (key, now.to_be_bytes().to_vec()) }))
}

/// What a manager remembers when it is told now that a message did not get to somebody of a group; `None` if it has been
/// told of this message.
pub(super) async fn of_message(desk: &Desk, account: AccountId, message: BlobId) -> Result<Option<Memo>, Error> {
    let key = StateKey::new(format!("group-failed/{account}")).ok_or(Error::Limit)?;
    let known = desk.store.state(key.clone()).await?;
    let mut messages: Vec<&[u8]> = known.as_deref().unwrap_or_default().chunks_exact(ID).collect();
    let id = message.octets();
    if messages.contains(&&id[..]) {
        return Ok(None);
    }
    // Of older ones there is nothing more to come, or not much.
    messages.truncate(REMEMBERED);
    let changed = [&[&id[..]], &messages[..]].concat().concat();
    Ok(Some(Memo { read: (key.clone(), known), changed: (key, changed) }))
}

const DAY: i64 = 24 * 60 * 60 * 1000;
/// Octets of a message's id.
const ID: usize = 12;
/// Messages that a manager remembers to have been told of, the last ones first.
const REMEMBERED: usize = 200;
