//! COPY, MOVE (RFC 6851), EXPUNGE and UID EXPUNGE (RFC 4315 §2.1).
//!
//! Messages that another session expunged are passed over and the answer is OK: an error would make clients try
//! again for ever, or show what no longer exists.

use super::approvals;
use super::context::{Context, User};
use super::monitored::Recorder;
use super::selected::{self, Selected};
use super::status::{Done, Failure, Outcome, Reason};
use super::training;
use crate::mail::{MailboxName, Uid, UidSet};
use crate::proto::imap::response::{self, Code, Condition};
use crate::proto::imap::{Numbering, SequenceSet};
use crate::store::{Copied, Error};

/// COPY. Of a monitor's copy it is a first look.
pub async fn copy(
    context: &mut Context,
    user: &User,
    selected: &mut Selected,
    numbering: Numbering,
    set: &SequenceSet,
    to: MailboxName,
) -> Outcome {
    let uids = selected.resolve(numbering, set)?;
    let target = selected::target(context, user, to.clone()).await?;
    if uids.is_empty() {
        return Ok(Done::Plain);
    }
    if let Some(recorder) = Recorder::new(context, selected) {
        recorder.open(uids.clone()).await?;
    }
    let quota = context.services.directory.current().account(selected.account).map(|a| a.settings().quota);
    let quota = quota.filter(|quota| *quota > 0);
    let copied = context.services.store.copy(selected.account, selected.mailbox, uids, target, quota).await;
    let copied = copied.map_err(missing_target)?;
    training::moved(context, selected.account, selected.mailbox, target, targets(&copied)).await;
    approvals::decide(context, user, &to, target, targets(&copied)).await;
    Ok(done(copied))
}

/// MOVE. COPYUID goes out before the EXPUNGEs, which the report at the end of the command makes (RFC 6851 §4.3).
pub async fn move_messages(
    context: &mut Context,
    user: &User,
    selected: &mut Selected,
    numbering: Numbering,
    set: &SequenceSet,
    to: MailboxName,
) -> Outcome {
    let uids = selected.resolve(numbering, set)?;
    selected.writable()?;
    let target = selected::target(context, user, to.clone()).await?;
    if uids.is_empty() {
        return Ok(Done::Plain);
    }
    let moved = context.services.store.move_messages(selected.account, selected.mailbox, uids, target).await;
    let moved = moved.map_err(missing_target)?;
    training::moved(context, selected.account, selected.mailbox, target, targets(&moved)).await;
    approvals::decide(context, user, &to, target, targets(&moved)).await;
    if !moved.pairs.is_empty() {
        let code = Code::CopyUid(moved.uid_validity, &moved.pairs);
        context.say(|out| response::status(out, None, Condition::Ok, Some(&code), "Moved"));
    }
    Ok(Done::Plain)
}

/// EXPUNGE, or UID EXPUNGE with a set. The report at the end of the command tells of it.
pub async fn expunge(context: &mut Context, selected: &mut Selected, set: Option<SequenceSet>) -> Outcome {
    selected.writable()?;
    match set {
        None => expunge_all(context, selected).await?,
        Some(set) => {
            let uids = selected.view.by_uids(&set);
            if !uids.is_empty() {
                context.services.store.expunge(selected.account, selected.mailbox, uids).await?;
            }
        }
    }
    Ok(Done::Plain)
}

/// Expunges whatever has `\Deleted`, known to this session or not.
pub async fn expunge_all(context: &Context, selected: &Selected) -> Result<(), Failure> {
    let mut all = UidSet::new();
    all.insert_range(Uid::MIN, Uid::MAX);
    context.services.store.expunge(selected.account, selected.mailbox, all).await?;
    Ok(())
}

fn targets(copied: &Copied) -> Vec<Uid> {
    copied.pairs.iter().map(|(_, target)| *target).collect()
}

/// COPYUID only if something was copied (RFC 4315 §3).
fn done(copied: Copied) -> Done {
    if copied.pairs.is_empty() { Done::Plain } else { Done::Copied(copied.uid_validity, copied.pairs) }
}

/// Whichever mailbox went away meanwhile, making the target anew is what helps (RFC 3501 §6.4.7).
fn missing_target(error: Error) -> Failure {
    match error {
        Error::NotFound => Reason::TryCreate.into(),
        error => error.into(),
    }
}
