//! What has still to be delivered.

use super::super::error::OpError;
use super::super::report::QueueItemView;
use super::super::view::{Page, rfc3339};
use super::{Admin, account_name};
use crate::directory::Directory;
use crate::mail::{Host, QueueId, ReversePath};
use crate::store::{QueueItem, QueueKind, QueueList};

impl Admin {
    /// Items in the order in which they were queued, from the one after `after`: all, those for a host, or those for
    /// accounts here.
    pub async fn queue(
        &self,
        list: QueueList,
        after: Option<QueueId>,
        limit: usize,
    ) -> Result<Page<QueueItemView, String>, OpError> {
        let items = self.services.store.queue(list, after, limit).await?;
        let next = items.last().filter(|_| items.len() >= limit).map(|item| item.id.to_string());
        let directory = self.services.directory.current();
        Ok(Page { items: items.iter().map(|item| view(&directory, item)).collect(), next })
    }

    /// One item.
    pub async fn queue_item(&self, id: QueueId) -> Result<QueueItemView, OpError> {
        let item = self.services.store.queue_item(id).await?;
        Ok(view(&self.services.directory.current(), &item))
    }
}

/// What is for the host of this name or literal.
pub fn queue_of(host: &Host) -> QueueList {
    QueueList::Host(host.to_string())
}

fn view(directory: &Directory, item: &QueueItem) -> QueueItemView {
    let (kind, recipient) = match &item.kind {
        QueueKind::Remote(address) => ("remote", address.to_string()),
        QueueKind::Full(target) => ("full", account_name(directory, target.account)),
    };
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
        note: item.note.clone(),
    }
}
