//! What has still to be delivered, and what an administrator does about it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::super::Actor;
use super::super::audit::Record;
use super::super::error::OpError;
use super::super::report::{DestinationView, QueueItemView};
use super::super::view::{Page, rfc3339};
use super::{Admin, account_name, unhurried};
use crate::accept;
use crate::accept::sent::{self, Attempted, Happened};
use crate::directory::{Directory, Owner};
use crate::mail::{Address, BlobId, EnhancedCode, Host, OrganisationId, QueueId, ReversePath, Timestamp};
use crate::store::{
    AuditEntry, DestinationCount, Fate, HeldBy, LastAttempt, QueueChange, QueueItem, QueueKind, QueueList, QueueSender,
    Settlement,
};

/// Which items are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// One.
    Item(QueueId),
    /// Those of a list.
    List(QueueList),
    /// Those of one message; the list has at least them.
    Message(BlobId, QueueList),
}

/// What is done with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueAction {
    /// They are not tried until they are released.
    Hold,
    /// They are tried again, whoever has held them.
    Release,
    /// They are tried at once, also at a destination that could not be reached lately.
    Retry,
    /// They are given up.
    Remove {
        /// Their senders are told, as of any other failure.
        report: bool,
    },
}

impl QueueAction {
    fn name(self) -> &'static str {
        match self {
            QueueAction::Hold => "queue.hold",
            QueueAction::Release => "queue.release",
            QueueAction::Retry => "queue.retry",
            QueueAction::Remove { report: true } => "queue.fail",
            QueueAction::Remove { report: false } => "queue.remove",
        }
    }
}

impl Admin {
    /// Items of a list, from where an earlier page has ended; only those of one message, if that is given. A page may
    /// then have fewer items than there are.
    pub async fn queue(
        &self,
        list: QueueList,
        message: Option<BlobId>,
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Page<QueueItemView, String>, OpError> {
        let directory = self.services.directory.current();
        let (mut from, mut items) = (after, Vec::new());
        for _ in 0..PAGES {
            let page = self.services.store.queue(list.clone(), from, limit).await?;
            let meant = page.items.iter().filter(|item| message.is_none_or(|id| item.transaction == id));
            items.extend(meant.map(|item| view(&directory, item)));
            from = page.next;
            if !items.is_empty() || from.is_none() {
                break;
            }
        }
        Ok(Page { items, next: from.map(|place| URL_SAFE_NO_PAD.encode(place)) })
    }

    /// One item.
    pub async fn queue_item(&self, id: QueueId) -> Result<QueueItemView, OpError> {
        let item = self.services.store.queue_item(id).await?;
        Ok(view(&self.services.directory.current(), &item))
    }

    /// How much waits for each destination, in order of their names, from the one after `after`.
    pub async fn queue_destinations(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page<DestinationView, String>, OpError> {
        let counts = self.services.store.queue_counts(after, limit).await?;
        let next = counts.last().filter(|_| counts.len() >= limit).map(|last| last.host.clone());
        Ok(Page { items: counts.into_iter().map(destination).collect(), next })
    }

    /// Does something with the selected items for other hosts, in commits of some hundreds that say so in the audit log;
    /// gives with how many. Once begun it runs to its end.
    pub async fn queue_act(
        self: &Arc<Self>,
        actor: Actor,
        selection: Selection,
        action: QueueAction,
    ) -> Result<u64, OpError> {
        let admin = self.clone();
        unhurried(async move { admin.act_on_all(actor, selection, action).await }).await
    }

    async fn act_on_all(&self, actor: Actor, selection: Selection, action: QueueAction) -> Result<u64, OpError> {
        let store = &self.services.store;
        let hand = Hand { actor, action, on: described(&self.services.directory.current(), &selection) };
        let mut done = 0;
        if let Selection::Item(id) = selection {
            let item = store.queue_item(id).await?;
            done = self.act(std::slice::from_ref(&item), &hand).await?;
        } else {
            let (list, message) = match &selection {
                Selection::List(list) => (list.clone(), None),
                Selection::Message(message, list) => (list.clone(), Some(*message)),
                Selection::Item(_) => return Ok(done),
            };
            // What is done moves items within a list, so that which there are is found out first.
            let mut from = None;
            let mut ids = Vec::new();
            loop {
                let page = store.queue(list.clone(), from, AT_ONCE).await?;
                let meant = page.items.iter().filter(|item| message.is_none_or(|id| item.transaction == id));
                ids.extend(meant.map(|item| item.id));
                from = page.next;
                if from.is_none() {
                    break;
                }
            }
            for some in ids.chunks(AT_ONCE) {
                let mut items = Vec::with_capacity(some.len());
                for id in some {
                    match store.queue_item(*id).await {
                        Ok(item) => items.push(item),
                        // Delivered meanwhile.
                        Err(crate::store::Error::NotFound) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                done += self.act(&items, &hand).await?;
            }
        }
        tracing::info!(?actor, action = action.name(), on = hand.on, done, "queue changed");
        Ok(done)
    }

    async fn act(&self, items: &[QueueItem], hand: &Hand) -> Result<u64, OpError> {
        let directory = self.services.directory.current();
        let remote: Vec<&QueueItem> = items.iter().filter(|item| matches!(item.kind, QueueKind::Remote(_))).collect();
        let change = match hand.action {
            QueueAction::Hold => QueueChange::Hold(HeldBy::Administrator),
            QueueAction::Release => QueueChange::Release(None),
            QueueAction::Retry => QueueChange::Retry,
            QueueAction::Remove { report } => return self.remove(&directory, &remote, report, hand).await,
        };
        let (concerned, hand, now) = (concerned(&directory, &remote), hand.clone(), self.services.clock.now());
        let ids = remote.iter().map(|item| item.id).collect();
        let audit = (concerned, move |count| hand.record(now, count));
        let changed = self.services.store.queue_change_audited(ids, change, audit).await?;
        Ok(u64::try_from(changed).unwrap_or(u64::MAX))
    }

    /// Those of one form of a message go in one commit.
    async fn remove(
        &self,
        directory: &Directory,
        items: &[&QueueItem],
        report: bool,
        hand: &Hand,
    ) -> Result<u64, OpError> {
        let desk = self.services.desk();
        let now = desk.clock.now();
        let mut forms: BTreeMap<(BlobId, BlobId), Vec<&QueueItem>> = BTreeMap::new();
        items.iter().for_each(|item| forms.entry((item.transaction, item.blob)).or_default().push(item));
        for ((transaction, blob), items) in forms {
            let attempt = LastAttempt {
                at: now,
                status: EnhancedCode::new(5, 7, 0),
                text: "an administrator has taken the message out of the queue".to_owned(),
                is_reply: false,
                host: None,
                tls: None,
            };
            let attempted = items.iter().map(|&item| Attempted {
                item,
                what: Happened::Failed,
                attempt: attempt.clone(),
                report: report && item.reverse_path != ReversePath::Null,
            });
            let attempted: Vec<Attempted<'_>> = attempted.collect();
            let record = hand.record(now, items.len());
            let entry = |organisation| AuditEntry { organisation, record: record.clone() };
            let settlement = Settlement {
                transaction,
                blob,
                items: items.iter().map(|item| (item.id, Fate::Ends)).collect(),
                tell: sent::reports(directory, &attempted),
                event: sent::event(now, &attempted),
                audit: concerned(directory, &items).into_iter().map(entry).collect(),
            };
            for row in desk.store.queue_settle(settlement).await? {
                // What cannot be made now is made by the next round.
                let _ = accept::follow_up(&desk, directory, &row).await;
            }
        }
        Ok(u64::try_from(items.len()).unwrap_or(u64::MAX))
    }
}

/// Who does what with which items.
#[derive(Clone, Debug)]
struct Hand {
    actor: Actor,
    action: QueueAction,
    /// In words.
    on: String,
}

impl Hand {
    /// What the audit log keeps of one commit.
    fn record(&self, now: Timestamp, count: usize) -> Vec<u8> {
        let reason = Some(format!("{}: {count} items", self.on));
        Record { reason, ..Record::change(now, self.actor, self.action.name(), Vec::new()) }.encode()
    }
}

/// The organisations whose accounts sent the items; if there are none, all.
fn concerned(directory: &Directory, items: &[&QueueItem]) -> Vec<OrganisationId> {
    let concerned: BTreeSet<OrganisationId> = items.iter().filter_map(|item| organisation(directory, item)).collect();
    if concerned.is_empty() {
        directory.organisations().map(|organisation| organisation.id).collect()
    } else {
        concerned.into_iter().collect()
    }
}

/// What is for the host of this name or literal.
pub fn queue_of(host: &Host) -> QueueList {
    QueueList::Host(host.to_string())
}

/// What is from this sender: of an account here what it has submitted, of others what came with that reverse-path.
pub fn queue_from(directory: &Directory, sender: &Address) -> QueueList {
    match directory.owner(sender) {
        Owner::Account(account) => QueueList::Sender(QueueSender::Account(account.id)),
        Owner::Group(_) | Owner::Nobody | Owner::Foreign => {
            QueueList::Sender(QueueSender::Address(sender.to_string().to_lowercase()))
        }
    }
}

fn organisation(directory: &Directory, item: &QueueItem) -> Option<OrganisationId> {
    match &item.kind {
        QueueKind::Remote(remote) => match remote.sender {
            QueueSender::Account(account) => directory.account_organisation(account),
            QueueSender::Address(_) | QueueSender::Nobody => None,
        },
        QueueKind::Full(_) => None,
    }
}

fn described(directory: &Directory, selection: &Selection) -> String {
    let list = |list: &QueueList| match list {
        QueueList::All => "everything".to_owned(),
        QueueList::Host(host) => format!("destination {host}"),
        QueueList::Local => "accounts here".to_owned(),
        QueueList::Sender(QueueSender::Account(account)) => format!("sender {}", account_name(directory, *account)),
        QueueList::Sender(QueueSender::Address(address)) => format!("sender {address}"),
        QueueList::Sender(QueueSender::Nobody) => "no sender".to_owned(),
    };
    match selection {
        Selection::Item(id) => format!("item {id}"),
        Selection::List(selected) => list(selected),
        Selection::Message(message, _) => format!("message {message}"),
    }
}

fn destination(count: DestinationCount) -> DestinationView {
    DestinationView {
        host: count.host,
        waiting: count.waiting,
        held: count.held,
        oldest: rfc3339(count.oldest),
        due: count.due.map(rfc3339),
    }
}

fn view(directory: &Directory, item: &QueueItem) -> QueueItemView {
    let (kind, recipient) = match &item.kind {
        QueueKind::Remote(remote) => ("remote", remote.recipient.to_string()),
        QueueKind::Full(target) => ("full", account_name(directory, target.account)),
    };
    let last = item.last.as_ref();
    QueueItemView {
        id: item.id.to_string(),
        message: item.transaction.to_string(),
        kind: kind.to_owned(),
        recipient,
        host: item.kind.host(),
        reverse_path: match &item.reverse_path {
            ReversePath::Null => String::new(),
            ReversePath::Address(address) => address.to_string(),
        },
        created: rfc3339(item.created),
        due: rfc3339(item.due),
        attempts: item.attempts,
        state: if item.held.is_some() { "held" } else { "waiting" }.to_owned(),
        held_by: item.held.map(|by| match by {
            HeldBy::Administrator => "administrator".to_owned(),
            HeldBy::Abuse => "abuse".to_owned(),
        }),
        bulk: matches!(&item.kind, QueueKind::Remote(remote) if remote.is_bulk),
        note: last.map(|last| last.text.clone()).unwrap_or_default(),
        status: last.map(|last| last.status.to_string()),
        tried: last.map(|last| rfc3339(last.at)),
        tried_host: last.and_then(|last| last.host.clone()),
        tls: last.and_then(|last| last.tls.clone()),
    }
}

/// Pages that are read for one, if what they have is not meant.
const PAGES: usize = 50;
/// Items in one commit, and read at a time.
const AT_ONCE: usize = 500;
