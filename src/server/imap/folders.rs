//! CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE and STATUS (RFC 3501 §6.3.3 to §6.3.7, §6.3.10).

use super::context::{Context, User};
use super::status::{Done, Failure, Outcome, Reason};
use crate::mail::{AccountId, MailboxId, MailboxName, SpecialUse, Uid, UidSet};
use crate::proto::imap::{StatusItem, response};
use crate::store::{Error, Mailbox, Reader};

/// CREATE, with its special use if one is asked for (RFC 6154 §3).
pub async fn create(context: &mut Context, user: &User, name: MailboxName, special_use: Option<SpecialUse>) -> Outcome {
    context.services.store.create_folder(user.id(), name, special_use).await?;
    Ok(Done::Plain)
}

/// DELETE: the id of what was deleted. Inferiors stay, and the name stays as theirs, `\Noselect` (RFC 3501 §6.3.4).
pub async fn delete(context: &mut Context, user: &User, name: MailboxName) -> Result<MailboxId, Failure> {
    if name.is_inbox() {
        return Err(Reason::KeepsInbox.into());
    }
    let id = find(context, user, &name).await?.ok_or(Failure::Refused(Reason::Store(Error::NotFound)))?;
    context.services.store.delete_folder(user.id(), name).await?;
    Ok(id)
}

/// The account's mailbox of that name.
pub async fn find(context: &Context, user: &User, name: &MailboxName) -> Result<Option<MailboxId>, Error> {
    let (account, name) = (user.id(), name.clone());
    context.services.store.glance(move |r| Ok(r.folders(account)?.find(&name).map(|f| f.id))).await
}

/// RENAME
pub async fn rename(context: &mut Context, user: &User, from: MailboxName, to: MailboxName) -> Outcome {
    if to.is_inferior_of(&from) && !from.is_inbox() {
        return Err(Reason::BelowItself.into());
    }
    context.services.store.rename_folder(user.id(), from, to).await?;
    Ok(Done::Plain)
}

/// SUBSCRIBE and UNSUBSCRIBE. A name without a mailbox can be subscribed: clients set their lists up in any order.
pub async fn subscribe(context: &mut Context, user: &User, name: MailboxName, subscribed: bool) -> Outcome {
    context.services.store.subscribe(user.id(), name, subscribed).await?;
    Ok(Done::Plain)
}

/// STATUS
pub async fn status(context: &mut Context, user: &User, name: MailboxName, items: Vec<StatusItem>) -> Outcome {
    let account = user.id();
    let wanted = name.clone();
    let counts_recent = items.contains(&StatusItem::Recent);
    let read = move |r: &Reader<'_>| {
        let id = r.folders(account)?.find(&wanted).map(|f| f.id).ok_or(Error::NotFound)?;
        values(r, account, id, &items)
    };
    let store = &context.services.store;
    // What is recent is counted message by message.
    let values = if counts_recent { store.read(read).await? } else { store.glance(read).await? };
    context.say(|out| response::mailbox_status(out, &name, &values));
    Ok(Done::Plain)
}

/// What STATUS says of a mailbox.
pub fn values(
    reader: &Reader<'_>,
    account: AccountId,
    id: MailboxId,
    items: &[StatusItem],
) -> Result<Vec<(StatusItem, u64)>, Error> {
    let mailbox = reader.mailbox(account, id)?;
    items.iter().map(|item| Ok((*item, value(reader, account, &mailbox, *item)?))).collect()
}

fn value(reader: &Reader<'_>, account: AccountId, mailbox: &Mailbox, item: StatusItem) -> Result<u64, Error> {
    Ok(match item {
        StatusItem::Messages => mailbox.counts.messages.into(),
        StatusItem::Recent => recent(reader, account, mailbox)?,
        StatusItem::UidNext => mailbox.uid_next.number().into(),
        StatusItem::UidValidity => mailbox.uid_validity.number().into(),
        StatusItem::Unseen => mailbox.counts.unseen.into(),
        StatusItem::Size => mailbox.counts.octets,
        StatusItem::HighestModSeq => mailbox.highest_modseq.number(),
    })
}

fn recent(reader: &Reader<'_>, account: AccountId, mailbox: &Mailbox) -> Result<u64, Error> {
    if mailbox.first_recent >= mailbox.uid_next {
        return Ok(0);
    }
    let mut range = UidSet::new();
    range.insert_range(mailbox.first_recent, Uid::MAX);
    Ok(reader.uids(account, mailbox.id)?.intersection(&range).len() as u64)
}
