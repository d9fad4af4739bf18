//! What has still to be delivered.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::super::error::OpError;
use super::super::report::QueueItemView;
use super::super::view::{Page, rfc3339};
use super::{Admin, account_name};
use crate::directory::Directory;
use crate::mail::{Host, QueueId, ReversePath};
use crate::store::{HeldBy, QueueItem, QueueKind, QueueList};

impl Admin {
    /// Items of a list, from where an earlier page has ended.
    pub async fn queue(
        &self,
        list: QueueList,
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Page<QueueItemView, String>, OpError> {
        let page = self.services.store.queue(list, after, limit).await?;
        let directory = self.services.directory.current();
        let next = page.next.map(|place| URL_SAFE_NO_PAD.encode(place));
        Ok(Page { items: page.items.iter().map(|item| view(&directory, item)).collect(), next })
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
