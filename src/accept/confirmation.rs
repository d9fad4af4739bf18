//! Asking somebody elsewhere whether they want the mail that an account forwards to them (policy semantics §11.1). They
//! confirm by answering to a one-time address.

use serde::{Deserialize, Serialize};

use super::desk::Desk;
use super::generate;
use crate::directory::{Account, Directory};
use crate::mail::{Address, Timestamp, TlsWish, one_time};
use crate::proto::message::compose::{Confirmation, confirmation_request};
use crate::store::{self, StateKey, short_hash};

/// How often the same target may be asked for the same account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Once a day, and at most 20 targets a day: the server shall not be a means to molest others.
    Daily,
    /// An administrator says when.
    AtOnce,
}

/// A request of the last day.
#[derive(Serialize, Deserialize)]
struct Asked {
    target: String,
    at: i64,
}

/// Mails the request. False if the target was asked lately, or too many were.
pub async fn ask(
    desk: &Desk,
    directory: &Directory,
    account: &Account,
    target: &Address,
    repeat: Repeat,
) -> Result<bool, store::Error> {
    let Some(domain) = account.address.domain() else { return Ok(false) };
    let Some(row) = StateKey::new(format!("confirm/{}", account.id)) else { return Ok(false) };
    let now = desk.clock.now();
    let Ok(answer_to) = one_time::confirm_address(account.id, target, domain, &desk.srs, now) else {
        return Ok(false);
    };
    if !remember(desk, row, target, repeat, now).await? {
        return Ok(false);
    }
    let days = i64::try_from(one_time::CONFIRM_DAYS).unwrap_or_default();
    let until = Timestamp::from_millis(now.millis().saturating_add(days.saturating_mul(DAY_MILLIS)));
    generate::send(desk, directory, (target, TlsWish::AsPublished), |stamp| {
        let (owner, answer_to) = (&account.address, &answer_to);
        confirmation_request(&Confirmation { stamp: *stamp, to: target, owner, answer_to, until })
    })
    .await?;
    Ok(true)
}

/// Remembers that the target is asked. False if it is not to be.
async fn remember(
    desk: &Desk,
    row: StateKey,
    target: &Address,
    repeat: Repeat,
    now: Timestamp,
) -> Result<bool, store::Error> {
    // Requests that come together count one after the other.
    let _turn = desk.turns.asking.lock().await;
    let stored = desk.store.state(row.clone()).await?.unwrap_or_default();
    // A record that cannot be read forgets who was asked.
    let mut asked: Vec<Asked> = serde_json::from_slice(&stored).unwrap_or_default();
    asked.retain(|asked| now.millis().saturating_sub(asked.at) < DAY_MILLIS);
    let name = short_hash(target.key().as_str());
    let is_enough = asked.len() >= DAILY || asked.iter().any(|asked| asked.target == name);
    if is_enough && repeat == Repeat::Daily {
        return Ok(false);
    }
    asked.retain(|asked| asked.target != name);
    asked.push(Asked { target: name, at: now.millis() });
    // Remembered first: after a crash one request too few is better than one too many.
    desk.store.put_state(row, serde_json::to_vec(&asked).unwrap_or_default()).await?;
    Ok(true)
}

const DAILY: usize = 20;
const DAY_MILLIS: i64 = 24 * 3600 * 1000;
