//! IDLE (RFC 2177).

use std::time::Duration;

use tokio::time::Instant;

use super::context::{Context, until_over};
use super::selected::Selected;
use super::status::{Done, Failure, Outcome, Reason};
use super::view::Expunges;
use crate::net::ReadError;
use crate::proto::imap::response::{self, Condition};
use crate::proto::imap::{Frame, Numbering, is_done};

/// Why IDLE goes on.
enum Woken {
    Input,
    Changed,
    StillHere,
}

/// Tells the client what happens until it says DONE. Held for as long as a session may be idle; a word every two
/// minutes keeps clients and address translators from giving up.
pub async fn idle(context: &mut Context, mut selected: Option<&mut Selected>) -> Outcome {
    context.say(|out| response::continuation(out, "idling"));
    if let Some(exists) = selected.as_deref().filter(|s| s.exists_told).map(|s| s.view.exists()) {
        // Thunderbird passes over an EXISTS that comes while it fetches.
        context.say(|out| response::exists(out, exists));
    }
    let until = Instant::now() + context.services.limits.imap_idle;
    let mut next_word = Instant::now() + STILL_HERE;
    report(context, &mut selected).await?;
    loop {
        let (taken, frame) = context.framer.line(context.connection.buffered());
        context.connection.consume(taken);
        match frame {
            Frame::More => {}
            Frame::Line(line) if is_done(&line) => break,
            Frame::Refused(refused) => return Err(Failure::Bye(Reason::Syntax(refused.error))),
            _ => return Err(Reason::ExpectedDone.into()),
        }
        context.flush().await?;
        match wait(context, &mut selected, until, next_word).await? {
            Woken::Input => {}
            Woken::Changed => report(context, &mut selected).await?,
            Woken::StillHere => {
                context.say(|out| response::status(out, None, Condition::Ok, None, "Still here"));
                next_word = Instant::now() + STILL_HERE;
            }
        }
    }
    if let Some(selected) = selected {
        // What the client was told within IDLE it has heard.
        selected.exists_told = false;
    }
    Ok(Done::Plain)
}

async fn report(context: &mut Context, selected: &mut Option<&mut Selected>) -> Result<(), Failure> {
    match selected {
        Some(selected) => selected.report(context, Expunges::Allowed, Numbering::Sequence).await,
        None => Ok(()),
    }
}

async fn wait(
    context: &mut Context,
    selected: &mut Option<&mut Selected>,
    until: Instant,
    next_word: Instant,
) -> Result<Woken, Failure> {
    let changed = async {
        match selected {
            Some(selected) => {
                selected.watch.changed().await;
                selected.stale = true;
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = context.shutdown.stopped() => Err(Failure::Bye(Reason::Stopping)),
        reason = until_over(&context.services, context.owner) => Err(Failure::Bye(reason)),
        filled = context.connection.fill(until.saturating_duration_since(Instant::now())) => match filled {
            Ok(()) => Ok(Woken::Input),
            Err(error @ ReadError::TimedOut) => Err(error.into()),
            Err(_) => Err(Failure::Lost),
        },
        () = changed => Ok(Woken::Changed),
        () = tokio::time::sleep_until(next_word) => Ok(Woken::StillHere),
    }
}

const STILL_HERE: Duration = Duration::from_secs(120);
