//! Bounces of forwards for the account that forwards (policy semantics §11.3). If it has a copy nothing is lost, and it
//! hears of failures once a day; if it has none and nobody else could be told, the bounces are all that there is.

use super::desk::Desk;
use super::{Acceptance, Incoming, told};
use crate::mail::srs::Forwarder;
use crate::mail::{Flags, MailboxId};
use crate::proto::message::Front;
use crate::store::{Error, Target, TraceWrite, WhenFull};

/// Puts a bounce into the account's INBOX, whatever its forwards say; if it has a copy and has been told of a failed
/// forward today, nothing of it is kept but the trace. Gives whether the account is told. `prefix` stands before the
/// message; `trace` is made of what has become of it.
pub async fn take(
    desk: &Desk,
    Forwarder { account, keeps }: Forwarder,
    incoming: Incoming,
    prefix: Vec<u8>,
    trace: impl FnOnce(bool) -> TraceWrite,
) -> Result<bool, Error> {
    // Those that come together count one after the other.
    let _turn = desk.turns.asking.lock().await;
    let memo = if keeps { told::today(desk, account).await? } else { None };
    let is_told = memo.is_some() || !keeps;
    // Notices bypass the quota (policy semantics §18).
    let target = || Target::new(account, MailboxId::INBOX, Flags::default());
    let targets = if is_told { vec![target()] } else { Vec::new() };
    let extra = memo.into_iter().map(|memo| memo.changed).collect();
    let acceptance = Acceptance {
        fronts: vec![Front::new(prefix)],
        when_full: WhenFull::Queue,
        trace: Some(trace(is_told)),
        extra,
        ..Acceptance::append(desk.clock.now(), targets)
    };
    incoming.commit(&desk.store, acceptance).await?;
    Ok(is_told)
}
