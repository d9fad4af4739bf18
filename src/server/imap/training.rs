//! What a user moves to Junk is spam, and what they move out of it is not: the spam filters hear of both.

use super::context::Context;
use crate::hooks::{Lesson, Opinion};
use crate::mail::{AccountId, MailboxId, SpecialUse, Uid, UidSet};

/// Messages of `account` have come from `from` to `to`, where they have these UIDs.
pub async fn moved(context: &Context, account: AccountId, from: MailboxId, to: MailboxId, uids: Vec<Uid>) {
    let teacher = &context.services.hooks.teacher;
    if uids.is_empty() || !teacher.has_pupils() {
        return;
    }
    let found = context.services.store.read(move |reader| {
        let folders = reader.folders(account)?.folders;
        let of = |id| folders.iter().find(|folder| folder.id == id).and_then(|folder| folder.special_use);
        let Some(opinion) = opinion(of(from), of(to)) else { return Ok(vec![]) };
        let uids: UidSet = uids.into_iter().take(MOST).collect();
        let mut lessons = Vec::new();
        reader.entries(account, to, &uids, &mut |entry| {
            lessons.push(Lesson { opinion, blob: entry.blob });
            true
        })?;
        Ok(lessons)
    });
    match found.await {
        Ok(lessons) => lessons.into_iter().for_each(|lesson| teacher.give(lesson)),
        Err(error) => tracing::warn!(%account, %error, "spam filters are not taught"),
    }
}

/// What a move says of a message. Out of Junk into the trash is no praise.
fn opinion(from: Option<SpecialUse>, to: Option<SpecialUse>) -> Option<Opinion> {
    match (from, to) {
        (Some(SpecialUse::Junk), Some(SpecialUse::Junk | SpecialUse::Trash)) => None,
        (_, Some(SpecialUse::Junk)) => Some(Opinion::Spam),
        (Some(SpecialUse::Junk), _) => Some(Opinion::Ham),
        (_, _) => None,
    }
}

/// Messages of one command that are taught.
const MOST: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_move_says() {
        let (junk, trash, archive) = (Some(SpecialUse::Junk), Some(SpecialUse::Trash), Some(SpecialUse::Archive));
        for (from, to, want) in [
            (None, junk, Some(Opinion::Spam)),
            (trash, junk, Some(Opinion::Spam)),
            (junk, None, Some(Opinion::Ham)),
            (junk, archive, Some(Opinion::Ham)),
            (junk, trash, None),
            (junk, junk, None),
            (None, trash, None),
        ] {
            assert_eq!(opinion(from, to), want, "{from:?} -> {to:?}");
        }
    }
}
