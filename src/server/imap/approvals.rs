//! Deciding about held messages by moving or copying them from the folder Approvals to one of the two below it (policy
//! semantics §9).

use super::context::{Context, User};
use crate::accept::{APPROVE, HeldPart, REFUSE, release};
use crate::mail::{AccountId, BlobId, HoldId, MailboxId, MailboxName, OrganisationId, Uid};
use crate::server::admin::{self, Actor};
use crate::store::{self, Decision, Held, HoldKind, HoldState, Store};

/// Decides about the messages that came into a mailbox under these UIDs, if it is one that decides. A message that is
/// not held, is decided already or is another's to decide stays where it is, and nothing else happens.
pub async fn decide(context: &Context, user: &User, name: &MailboxName, mailbox: MailboxId, uids: Vec<Uid>) {
    let accepted = match name.as_str() {
        APPROVE => true,
        REFUSE => false,
        _ => return,
    };
    let account = user.id();
    let services = &context.services;
    let directory = services.directory.current();
    let Some(organisation) = directory.account_organisation(account) else { return };
    for uid in uids.into_iter().take(AT_ONCE) {
        let decided = async {
            let Some(hold) = find(&services.store, account, mailbox, uid, organisation).await? else { return Ok(()) };
            let by = user.account.address.to_string();
            let verdict = release::Verdict { accepted, by, text: String::new() };
            let actor = Actor::Account { account, client: context.connection.peer() };
            let audit = |held: &Held, decision: &Decision| admin::ops::hold::decided(&directory, actor, held, decision);
            release::decide(&services.desk(), &directory, hold, verdict, audit).await.map(drop)
        };
        match decided.await {
            Ok(()) | Err(store::Error::Exists) => {}
            Err(error) => tracing::error!(%account, %error, "a decision could not be carried out"),
        }
    }
}

/// The held message whose copy this is, if the account may decide about it.
async fn find(
    store: &Store,
    account: AccountId,
    mailbox: MailboxId,
    uid: Uid,
    organisation: OrganisationId,
) -> Result<Option<HoldId>, store::Error> {
    let blob: BlobId = store.read(move |reader| reader.entry(account, mailbox, uid)).await?.blob;
    for kind in [HoldKind::Moderation, HoldKind::Approval] {
        let mut after = None;
        loop {
            let page = store.held(organisation, kind, after, PAGE).await?;
            let may = |data: &[u8]| HeldPart::decode(data).is_some_and(|part| part.approvers.contains(&account));
            let mut ours = page.iter().filter(|h| h.transaction == blob && h.state == HoldState::Pending);
            if let Some(held) = ours.find(|held| may(&held.data)) {
                return Ok(Some(held.id));
            }
            after = page.last().map(|held| held.id);
            if page.len() < PAGE {
                break;
            }
        }
    }
    Ok(None)
}

/// Messages about which one command decides.
const AT_ONCE: usize = 100;
const PAGE: usize = 500;
