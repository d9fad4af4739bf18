//! SELECT and EXAMINE (RFC 3501 §6.3.1, §6.3.2).

use super::context::{Context, User};
use super::selected::Selected;
use super::status::{Done, Failure};
use super::view::{Known, View};
use crate::mail::{AccountId, MailboxId, MailboxName, SystemFlag, Uid, UidSet};
use crate::proto::imap::response::{self, Code, Condition};
use crate::store::{Error, Mailbox, Reader};

/// The mailbox at one moment.
struct Facts {
    mailbox: Mailbox,
    uids: UidSet,
    first_unseen: Option<Uid>,
}

/// Opens a mailbox and describes it.
pub async fn select(
    context: &mut Context,
    user: &User,
    name: MailboxName,
    read_only: bool,
) -> Result<(Selected, Done), Failure> {
    // Gather. The watch stands before the first look, so that nothing falls between.
    let account = user.id();
    let store = context.services.store.clone();
    let (id, recent) = store
        .glance(move |r| {
            let id = r.folders(account)?.find(&name).map(|f| f.id).ok_or(Error::NotFound)?;
            let mailbox = r.mailbox(account, id)?;
            Ok((id, mailbox.first_recent < mailbox.uid_next))
        })
        .await?;
    let watch = store.watch(account, id);
    // A store that takes no writes still shows its mail.
    let claimed = if recent && !read_only { store.claim_recent(account, id).await.ok() } else { None };
    let facts = store.read(move |r| facts(r, account, id)).await?;

    // Decide.
    let recent = recent_uids(&facts.mailbox, claimed, read_only);
    let view = View::open(facts.uids, &facts.mailbox, recent);
    let unseen = facts.first_unseen.and_then(|uid| view.number(uid));

    // Act.
    context.say(|out| describe(out, &facts.mailbox, &view, unseen, read_only));
    let known = Known::default();
    let selected = Selected { account, mailbox: id, read_only, view, watch, stale: false, known, exists_told: false };
    Ok((selected, if read_only { Done::ReadOnly } else { Done::ReadWrite }))
}

fn facts(reader: &Reader<'_>, account: AccountId, id: MailboxId) -> Result<Facts, Error> {
    let mailbox = reader.mailbox(account, id)?;
    let uids = reader.uids(account, id)?;
    let mut first_unseen = None;
    if mailbox.counts.unseen > 0 {
        reader.entries(account, id, &uids, &mut |entry| {
            let seen = entry.flags.contains(SystemFlag::Seen);
            if !seen {
                first_unseen = Some(entry.uid);
            }
            seen
        })?;
    }
    Ok(Facts { mailbox, uids, first_unseen })
}

/// Which messages are recent here: what this session has claimed, or, for EXAMINE, what nobody has (RFC 3501 §6.3.2).
fn recent_uids(mailbox: &Mailbox, claimed: Option<Uid>, read_only: bool) -> UidSet {
    let mut recent = UidSet::new();
    if read_only {
        recent.insert_range(mailbox.first_recent, Uid::MAX);
    } else if let Some((first, last)) = claimed.zip(mailbox.first_recent.number().checked_sub(1).and_then(Uid::new)) {
        recent.insert_range(first, last);
    }
    recent
}

fn describe(out: &mut Vec<u8>, mailbox: &Mailbox, view: &View, unseen: Option<u32>, read_only: bool) {
    let ok = |out: &mut Vec<u8>, code: Code<'_>, text: &str| {
        response::status(out, None, Condition::Ok, Some(&code), text);
    };
    response::flags(out, &mailbox.keywords);
    response::exists(out, view.exists());
    response::recent(out, view.recent());
    if let Some(number) = unseen {
        ok(out, Code::Unseen(number), "First unseen message");
    }
    if read_only {
        ok(out, Code::NoPermanentFlags, "No flags can be changed");
    } else {
        let may_create = mailbox.keywords.len() < MAX_KEYWORDS;
        ok(out, Code::PermanentFlags { keywords: &mailbox.keywords, may_create }, "Flags that are kept");
    }
    ok(out, Code::UidNext(mailbox.uid_next), "Next UID");
    ok(out, Code::UidValidity(mailbox.uid_validity), "UIDs are valid");
}

/// As [`Mailbox::keywords`] says.
const MAX_KEYWORDS: usize = 1000;
