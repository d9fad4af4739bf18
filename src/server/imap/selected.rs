//! A selected mailbox: the view and how it learns what happened (RFC 3501 §5.2, §7.4.1).

use super::context::{Context, User};
use super::folders;
use super::status::{Failure, Reason};
use super::view::{Expunges, Known, Update, View};
use crate::mail::{AccountId, MailboxId, UidSet};
use crate::proto::imap::response::{self, FetchResponse};
use crate::proto::imap::{Numbering, SequenceSet};
use crate::store::{Store, Watch};

/// What the state *Selected* owns.
#[derive(Debug)]
pub struct Selected {
    /// Whose mailbox.
    pub account: AccountId,
    /// Which.
    pub mailbox: MailboxId,
    /// Opened by EXAMINE.
    pub read_only: bool,
    /// What the client knows.
    pub view: View,
    /// Wakes when the mailbox changes.
    pub watch: Watch,
    /// It has changed, and the change has not been read.
    pub stale: bool,
    /// States of messages that this session made and need not be told.
    pub known: Known,
    /// EXISTS was sent since the last IDLE began: a client may have missed it.
    pub exists_told: bool,
}

impl Selected {
    /// The messages of a set, as `numbering` says.
    pub fn resolve(&self, numbering: Numbering, set: &SequenceSet) -> Result<UidSet, Failure> {
        match numbering {
            Numbering::Uid => Ok(self.view.by_uids(set)),
            Numbering::Sequence => self.view.by_numbers(set).ok_or(Failure::Refused(Reason::NoSuchNumber)),
        }
    }

    /// The change of the mailbox cannot be kept.
    pub fn writable(&self) -> Result<(), Failure> {
        if self.read_only { Err(Reason::ReadOnly.into()) } else { Ok(()) }
    }

    /// Reads what happened since the last time, and claims what is recent. Nothing is read if nothing happened.
    async fn learn(&mut self, store: &Store, expunges: Expunges) -> Result<Vec<Update>, Failure> {
        self.stale |= tokio::select! {
            biased;
            () = self.watch.changed() => true,
            () = std::future::ready(()) => false,
        };
        let known = std::mem::take(&mut self.known);
        if !self.stale {
            return Ok(self.view.announce(expunges));
        }
        let (account, mailbox) = (self.account, self.mailbox);
        let (since, uid_next) = (self.view.modseq(), self.view.uid_next());
        let read = move || store.read(move |r| r.changes(account, mailbox, since, uid_next));
        let mut changes = read().await?;
        let Some(now) = &changes.mailbox else { return Err(Failure::Bye(Reason::MailboxDeleted)) };
        let mut claimed = None;
        if !self.read_only && now.first_recent < now.uid_next {
            // Claim first and look again: what is claimed is then among what is seen (RFC 3501 §2.3.2).
            claimed = store.claim_recent(account, mailbox).await.ok();
            changes = read().await?;
            if changes.mailbox.is_none() {
                return Err(Failure::Bye(Reason::MailboxDeleted));
            }
        }
        self.stale = false;
        Ok(self.view.learn(changes, claimed, &known, expunges))
    }

    /// Tells the client what happened; with UIDs in FETCH if `numbering` is [`Numbering::Uid`].
    pub async fn report(
        &mut self,
        context: &mut Context,
        expunges: Expunges,
        numbering: Numbering,
    ) -> Result<(), Failure> {
        let services = context.services.clone();
        let updates = match self.learn(&services.store, expunges).await {
            Ok(updates) => updates,
            Err(Failure::Refused(reason)) => {
                // The client is told later; its command has succeeded or failed on its own.
                tracing::warn!(account = %self.account, ?reason, "cannot read the changes of a mailbox");
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        let mut out = Vec::new();
        for update in updates {
            self.exists_told |= matches!(update, Update::Exists(_));
            write(&mut out, &self.view, &update, numbering);
            if out.len() > WRITE_ABOVE {
                context.connection.write(&out);
                out.clear();
                context.relieve().await?;
            }
        }
        context.connection.write(&out);
        Ok(())
    }
}

/// The account's mailbox of that name, for a command that writes to it.
pub async fn target(context: &Context, user: &User, name: crate::mail::MailboxName) -> Result<MailboxId, Failure> {
    folders::find(context, user, &name).await?.ok_or(Failure::Refused(Reason::TryCreate))
}

fn write(out: &mut Vec<u8>, view: &View, update: &Update, numbering: Numbering) {
    match update {
        Update::Keywords(keywords) => response::flags(out, keywords),
        Update::Expunge(number) => response::expunge(out, *number),
        Update::Exists(n) => response::exists(out, *n),
        Update::Recent(n) => response::recent(out, *n),
        Update::Flags { number, entry } => {
            let mut fetch = FetchResponse::begin(out, *number);
            if numbering == Numbering::Uid {
                fetch.uid(out, entry.uid);
            }
            fetch.flags(out, &entry.flags, view.is_recent(entry.uid));
            fetch.end(out);
        }
    }
}

const WRITE_ABOVE: usize = 64 << 10;
