//! Where messages went.

use std::collections::HashMap;

use super::super::error::OpError;
use super::super::report::{TraceDeliveryView, TraceView};
use super::super::view::{Page, rfc3339};
use super::{Admin, account_name, group_name, not_found};
use crate::directory::{Directory, Lookup};
use crate::mail::{AccountId, Address, BlobId, MailboxId, Timestamp};
use crate::store::{DeliveryState, Folders, Origin, TraceDelivery, TraceQuery, TraceRow};

/// What to find. All that is given must be so.
#[derive(Clone, Debug, Default)]
pub struct TraceFilter {
    /// The reverse-path.
    pub sender: Option<Address>,
    /// A recipient: as it was addressed, or the account whose address it is, whatever address brought the message there.
    pub recipient: Option<Address>,
    /// The Message-ID, with or without its angle brackets.
    pub message_id: Option<String>,
    /// Accepted at this time or later …
    pub from: Option<Timestamp>,
    /// … and before this.
    pub to: Option<Timestamp>,
}

impl Admin {
    /// Messages, newest first; older ones than `after`.
    pub async fn traces(
        &self,
        filter: TraceFilter,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<Page<TraceView, String>, OpError> {
        let directory = self.services.directory.current();
        let query = TraceQuery {
            id: None,
            sender: filter.sender.map(|a| a.to_string()),
            account: filter.recipient.as_ref().and_then(|a| account_of(&directory, a)),
            recipient: filter.recipient.map(|a| a.to_string()),
            message_id: filter.message_id.map(|id| bare(&id).to_owned()),
            from: filter.from.unwrap_or(Timestamp::from_millis(0)),
            to: filter.to.unwrap_or(Timestamp::from_millis(i64::MAX)),
            after,
            limit,
            deliveries: LISTED,
        };
        let rows = self.services.store.traces(query, |_| true).await?;
        let next = rows.last().filter(|_| rows.len() >= limit).map(|row| row.id.to_string());
        Ok(Page { items: self.described(rows).await?, next })
    }

    /// One message, with at most 1,000 of its deliveries.
    pub async fn trace(&self, id: BlobId) -> Result<TraceView, OpError> {
        let query = TraceQuery {
            id: Some(id),
            sender: None,
            recipient: None,
            account: None,
            message_id: None,
            from: Timestamp::from_millis(0),
            to: Timestamp::from_millis(i64::MAX),
            after: None,
            limit: 1,
            deliveries: SHOWN,
        };
        let rows = self.services.store.traces(query, |_| true).await?;
        self.described(rows).await?.into_iter().next().ok_or_else(|| not_found(format_args!("message {id}")))
    }

    async fn described(&self, rows: Vec<TraceRow>) -> Result<Vec<TraceView>, OpError> {
        let directory = self.services.directory.current();
        let views = self
            .services
            .store
            .read(move |reader| {
                let mut folders: HashMap<AccountId, Folders> = HashMap::new();
                let mut name = |account, mailbox| {
                    // An account that is gone has no folders; its deliveries are still shown.
                    let of = folders.entry(account).or_insert_with(|| reader.folders(account).unwrap_or_default());
                    folder_name(of, mailbox)
                };
                Ok(rows.into_iter().map(|row| view(&directory, row, &mut name)).collect())
            })
            .await?;
        Ok(views)
    }
}

/// The account that mail for the address ends in, if it is one.
fn account_of(directory: &Directory, address: &Address) -> Option<AccountId> {
    match directory.lookup(address) {
        Lookup::Account { account, .. } | Lookup::HandedOver(account) => Some(account.id),
        // One in the recycle bin has had mail before.
        Lookup::Unknown => directory.account_at(address).map(|account| account.id),
        Lookup::Group(_) | Lookup::Foreign => None,
    }
}

/// As the trace is found by it.
fn bare(message_id: &str) -> &str {
    message_id.trim().trim_start_matches('<').trim_end_matches('>')
}

fn view(
    directory: &Directory,
    row: TraceRow,
    folder: &mut impl FnMut(AccountId, MailboxId) -> Option<String>,
) -> TraceView {
    let json = |octets: &Vec<u8>| serde_json::from_slice(octets).unwrap_or_default();
    TraceView {
        id: row.id.to_string(),
        at: rfc3339(row.id.timestamp()),
        record: json(&row.record),
        events: row.events.iter().map(json).collect(),
        deliveries: row.deliveries.iter().map(|d| delivery(directory, d, folder(d.account, d.row.mailbox))).collect(),
        delivery_count: row.total,
    }
}

fn delivery(directory: &Directory, delivery: &TraceDelivery, folder: Option<String>) -> TraceDeliveryView {
    let copy = match delivery.origin {
        Origin::Ordinary => "ordinary",
        Origin::Monitor => "monitor",
    };
    let state = match delivery.row.state {
        DeliveryState::Delivered => "delivered",
        DeliveryState::Full => "full",
        DeliveryState::Gone => "gone",
        DeliveryState::Failed => "failed",
    };
    TraceDeliveryView {
        account: account_name(directory, delivery.account),
        copy: copy.to_owned(),
        state: state.to_owned(),
        folder,
        uid: delivery.row.uid.map(|uid| uid.number()),
        via: delivery.row.via.map(|id| group_name(directory, id)),
    }
}

fn folder_name(folders: &Folders, mailbox: MailboxId) -> Option<String> {
    folders.folders.iter().find(|f| f.id == mailbox).map(|f| f.name.to_string())
}

/// Deliveries of each message in a list.
const LISTED: usize = 50;

/// Deliveries of one that is asked for by its id.
const SHOWN: usize = 1000;
