//! DATA (RFC 5321 §4.1.1.4): the content as text lines up to CRLF `.` CRLF.

use super::message::{self, Receiving};
use super::session::{End, Session};
use super::state::{OrderError, State, Transaction};
use super::{answer, refusal};
use crate::proto::smtp::{DataDecoder, Defect, Reply};

/// DATA. The transaction is over after it, whatever the reply.
pub(super) async fn data(session: &mut Session, mut transaction: Box<Transaction>) -> Result<(State, Reply), End> {
    // RFC 5321 §4.1.1.4: 503 or 554, whether none was named or all were refused.
    if !transaction.is_addressed() {
        let reply = session.error(refusal::order(OrderError::RcptFirst));
        return Ok((State::InTransaction(transaction), reply));
    }
    session.reply(&answer::send_data());
    let (receiving, defect) = receive(session).await?;
    let reply = message::end_of_data(session, &mut transaction, receiving, defect).await;
    Ok((State::Greeted(transaction.greeted), reply))
}

/// Reads to the true end, also of a message that will be refused: commands follow it, and nothing else does.
async fn receive(session: &mut Session) -> Result<(Receiving, Option<Defect>), End> {
    let deadline = Session::content_deadline();
    let mut receiving = Receiving::new(&session.services);
    let mut decoder = DataDecoder::new();
    let mut content = Vec::new();
    loop {
        session.fill_content(deadline).await?;
        content.clear();
        let decoded = decoder.decode(session.connection.buffered(), &mut content);
        session.connection.consume(decoded.consumed);
        if decoder.defect().is_some() {
            receiving.give_up();
            receiving.count(decoded.consumed);
        } else {
            receiving.push(&content).await;
        }
        if receiving.is_flood(0) {
            return Err(End::TooBig);
        }
        if decoded.complete {
            return Ok((receiving, decoder.defect()));
        }
    }
}
