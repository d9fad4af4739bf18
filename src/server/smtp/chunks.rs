//! BDAT (RFC 3030): the content in chunks of known size.

use super::message::{self, Receiving, is_flood};
use super::session::{End, Session};
use super::state::{Chunks, OrderError, State, Transaction};
use super::{answer, refusal};
use crate::policy::{Reason, Verdict};
use crate::proto::smtp::{ChunkChecker, Reply};
use crate::server::Services;

impl Chunks {
    /// Before the first chunk.
    pub fn new(services: &Services) -> Self {
        Self { receiving: Receiving::new(services), checker: ChunkChecker::new() }
    }
}

/// BDAT. A chunk is read before anything is said of it, and the first bad reply ends the transaction: the client may
/// have sent further chunks already, which are then read and refused, each with a reply of its own.
pub(super) async fn bdat(
    session: &mut Session,
    mut transaction: Box<Transaction>,
    mut chunks: Chunks,
    size: u64,
    last: bool,
) -> Result<(State, Reply), End> {
    if !transaction.is_addressed() {
        discard(session, size).await?;
        let reply = session.error(refusal::order(OrderError::RcptFirst));
        return Ok((State::InTransaction(transaction), reply));
    }
    if chunks.receiving.is_flood(size) {
        return Err(End::TooBig);
    }
    receive(session, &mut chunks, size).await?;
    if last {
        let defect = chunks.checker.finish();
        let reply = message::end_of_data(session, &mut transaction, chunks.receiving, defect).await;
        return Ok((State::Greeted(transaction.greeted), reply));
    }
    let refused = if chunks.receiving.is_too_big() {
        refusal::verdict(Verdict::Refuse(Reason::TooBig))
    } else {
        chunks.receiving.failure().map(refusal::store)
    };
    match refused {
        Some(reply) => {
            session.log_refusal("BDAT", &reply, &transaction.sender.reverse_path, None);
            Ok((State::Greeted(transaction.greeted), reply))
        }
        None => Ok((State::InChunks(transaction, chunks), answer::chunk(size))),
    }
}

async fn receive(session: &mut Session, chunks: &mut Chunks, size: u64) -> Result<(), End> {
    let deadline = Session::content_deadline();
    let mut remaining = size;
    while remaining > 0 {
        session.fill_content(deadline).await?;
        let octets = at_most(session.connection.buffered(), remaining);
        let taken = octets.len();
        chunks.checker.push(octets);
        if chunks.checker.has_defect() {
            chunks.receiving.give_up();
        }
        chunks.receiving.push(octets).await;
        session.connection.consume(taken);
        remaining = remaining.saturating_sub(taken as u64);
    }
    Ok(())
}

/// Reads a chunk and forgets it.
pub(super) async fn discard(session: &mut Session, size: u64) -> Result<(), End> {
    if is_flood(size, session.services.limits.message_size) {
        return Err(End::TooBig);
    }
    let deadline = Session::content_deadline();
    let mut remaining = size;
    while remaining > 0 {
        session.fill_content(deadline).await?;
        let taken = at_most(session.connection.buffered(), remaining).len();
        session.connection.consume(taken);
        remaining = remaining.saturating_sub(taken as u64);
    }
    Ok(())
}

fn at_most(buffered: &[u8], max: u64) -> &[u8] {
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    buffered.get(..max.min(buffered.len())).unwrap_or_default()
}
