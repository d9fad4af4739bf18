//! APPEND (RFC 3501 §6.3.11, RFC 4315 §3, RFC 7888): the message streams into the store, whatever its size.

use super::context::{Context, User};
use super::selected;
use super::status::{Done, Failure, Outcome, Reason};
use crate::accept::{Acceptance, Incoming};
use crate::mail::MailboxId;
use crate::proto::imap::{Append, Frame, Literal, Recovery, response};
use crate::store::{Error, Target};

/// Takes the message and commits it.
pub async fn append(context: &mut Context, user: &User, command: Append, literal: Literal) -> Outcome {
    // All that can be refused is refused before the client sends the message.
    let mailbox = match admit(context, user, &command, literal).await {
        Ok(mailbox) => mailbox,
        Err(failure) => {
            skip(context, literal).await?;
            return Err(failure);
        }
    };
    if literal.synchronizing {
        context.say(|out| response::continuation(out, "OK"));
    }
    let incoming = receive(context, literal.size).await?;
    finish(context).await?;
    let incoming = incoming?;

    let internal_date = command.internal_date.unwrap_or_else(|| context.services.clock.now());
    let targets = vec![Target::new(user.id(), mailbox, command.flags)];
    let committed = incoming.commit(&context.services.store, Acceptance::append(internal_date, targets)).await;
    match committed.as_ref().map(|delivered| delivered.placed.as_slice()) {
        Ok([placed]) => Ok(Done::Appended(placed.uid_validity, placed.uid)),
        Ok(_) => Ok(Done::Plain),
        // Deleted while the message came.
        Err(Error::NotFound) => Err(Reason::TryCreate.into()),
        Err(error) => Err((*error).into()),
    }
}

async fn admit(context: &Context, user: &User, command: &Append, literal: Literal) -> Result<MailboxId, Failure> {
    if literal.size > context.services.limits.message_size {
        return Err(Reason::TooBig.into());
    }
    if literal.size == 0 {
        return Err(Reason::EmptyMessage.into());
    }
    selected::target(context, user, command.mailbox.clone()).await
}

/// Reads `size` octets into a new message. The outer error ends the session, the inner one refuses the message, of
/// which nothing is left in the input then.
async fn receive(context: &mut Context, size: u64) -> Result<Result<Incoming, Failure>, Failure> {
    let mut incoming = Ok(Incoming::new(&context.services.store));
    let mut left = size;
    while left > 0 {
        let octets = context.connection.buffered();
        let octets = octets.get(..usize::try_from(left).unwrap_or(usize::MAX)).unwrap_or(octets);
        let taken = octets.len();
        if memchr::memchr(0, octets).is_some() {
            incoming = Err(Reason::Nul.into());
        }
        if let Ok(message) = &mut incoming
            && let Err(error) = message.push(octets).await
        {
            incoming = Err(error.into());
        }
        context.connection.consume(taken);
        left = left.saturating_sub(taken as u64);
        if left > 0 {
            more(context).await?;
        }
    }
    Ok(incoming)
}

/// Reads what follows the message: the CRLF that ends the command.
async fn finish(context: &mut Context) -> Result<(), Failure> {
    let timeout = context.services.limits.smtp_data;
    match context.frame(timeout).await? {
        Frame::AppendEnd => Ok(()),
        Frame::Refused(refused) => match refused.recovery {
            Recovery::Next => Err(Reason::Syntax(refused.error).into()),
            Recovery::Close => Err(Failure::Bye(Reason::Syntax(refused.error))),
        },
        _ => Err(Failure::Lost),
    }
}

/// The message is not wanted: with a synchronizing literal it does not come; otherwise it is read and dropped, or,
/// if it is out of all proportion, the session ends (RFC 7888 §4).
pub async fn skip(context: &mut Context, literal: Literal) -> Result<(), Failure> {
    if literal.synchronizing {
        context.framer.refuse_append();
        return Ok(());
    }
    let limit = if context.log_in_by.is_some() { SKIP_BEFORE_LOGIN } else { skip_limit(context) };
    if literal.size > limit {
        return Err(Failure::Bye(Reason::TooBig));
    }
    let mut left = literal.size;
    while left > 0 {
        let taken = context.connection.buffered().len().min(usize::try_from(left).unwrap_or(usize::MAX));
        context.connection.consume(taken);
        left = left.saturating_sub(taken as u64);
        if left > 0 {
            more(context).await?;
        }
    }
    finish(context).await
}

async fn more(context: &mut Context) -> Result<(), Failure> {
    let timeout = context.services.limits.smtp_data;
    context.fill(timeout).await
}

fn skip_limit(context: &Context) -> u64 {
    context.services.limits.message_size.saturating_mul(2)
}

const SKIP_BEFORE_LOGIN: u64 = 8 << 10;
