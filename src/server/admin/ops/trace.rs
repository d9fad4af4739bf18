//! Where messages went.

use std::collections::HashMap;

use super::super::Actor;
use super::super::error::OpError;
use super::super::report::{TraceDeliveryView, TraceView};
use super::super::view::{Page, rfc3339};
use super::extent::{self, Extent};
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
    /// Messages, newest first; older ones than `after`. Each actor finds those that concern it, and of each what it
    /// may know ([`Reach`]).
    pub async fn traces(
        &self,
        actor: Actor,
        filter: TraceFilter,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<Page<TraceView, String>, OpError> {
        let directory = self.services.directory.current();
        let query = TraceQuery {
            sender: filter.sender.map(|a| a.to_string()),
            account: filter.recipient.as_ref().and_then(|a| account_of(&directory, a)),
            recipient: filter.recipient.map(|a| a.to_string()),
            message_id: filter.message_id.map(|id| bare(&id).to_owned()),
            from: filter.from.unwrap_or(Timestamp::from_millis(0)),
            to: filter.to.unwrap_or(Timestamp::from_millis(i64::MAX)),
            after,
            limit,
            deliveries: LISTED,
            ..anything()
        };
        let (rows, next) = self.rows(actor, query).await?;
        Ok(Page { items: self.described(rows).await?, next: next.map(|id| id.to_string()) })
    }

    /// One message, with at most 1,000 of its deliveries.
    pub async fn trace(&self, actor: Actor, id: BlobId) -> Result<TraceView, OpError> {
        let query = TraceQuery { id: Some(id), limit: 1, deliveries: SHOWN, ..anything() };
        let (rows, _) = self.rows(actor, query).await?;
        self.described(rows).await?.into_iter().next().ok_or_else(|| not_found(format_args!("message {id}")))
    }

    /// What is found of what the actor may know, and after which message to go on if there may be more. A page is made of
    /// what is shown, so that it tells of nothing else by its length.
    async fn rows(&self, actor: Actor, mut query: TraceQuery) -> Result<(Vec<TraceRow>, Option<BlobId>), OpError> {
        let (directory, limit) = (self.services.directory.current(), query.limit);
        let mut extent = Extent::of(&directory, actor);
        extent.narrow(&mut query);
        let mut shown = Vec::new();
        loop {
            let found = self.found(&mut extent, &query).await?;
            let is_end = found.len() < limit;
            query.after = found.last().map(|row| row.id);
            for row in found.into_iter().filter_map(|row| extent.shown(row)) {
                if shown.len() < limit && self.is_told(&extent, &query, &row).await? {
                    shown.push(row);
                }
            }
            if is_end || shown.len() >= limit {
                break;
            }
        }
        let next = shown.last().filter(|_| shown.len() >= limit).map(|row: &TraceRow| row.id);
        Ok((shown, next))
    }

    async fn found(&self, extent: &mut Extent, query: &TraceQuery) -> Result<Vec<TraceRow>, OpError> {
        let (store, query) = (&self.services.store, query.clone());
        match extent {
            Extent::Everything => Ok(store.traces(query, |_| true).await?),
            Extent::Nothing => Ok(Vec::new()),
            Extent::Organisation(ours) => {
                let ours = ours.clone();
                Ok(store.traces(query, move |record| ours.concerns(record)).await?)
            }
            Extent::Person(person) => {
                let rows = store.traces(query, |_| true).await?;
                for row in &rows {
                    person.note(row.id, store.delivery(person.account, row.id, Origin::Ordinary).await?);
                }
                Ok(rows)
            }
        }
    }

    /// True unless a recipient is asked for of whom what is shown of the message tells nothing: that the message is found
    /// by it would tell who else got it.
    async fn is_told(&self, extent: &Extent, query: &TraceQuery, row: &TraceRow) -> Result<bool, OpError> {
        let Some(recipient) = &query.recipient else { return Ok(true) };
        if matches!(extent, Extent::Everything) || extent::names(row, recipient) {
            return Ok(true);
        }
        let Some(account) = query.account else { return Ok(false) };
        let is_listed = row.deliveries.iter().any(|delivery| delivery.account == account);
        if is_listed || !matches!(extent, Extent::Organisation(_)) {
            return Ok(is_listed);
        }
        // One of theirs: not all deliveries are listed.
        let store = &self.services.store;
        Ok(store.delivery(account, row.id, Origin::Ordinary).await?.is_some()
            || store.delivery(account, row.id, Origin::Monitor).await?.is_some())
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

fn anything() -> TraceQuery {
    TraceQuery {
        id: None,
        sender: None,
        recipient: None,
        account: None,
        message_id: None,
        party: None,
        from: Timestamp::from_millis(0),
        to: Timestamp::from_millis(i64::MAX),
        after: None,
        limit: 1,
        deliveries: SHOWN,
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
        truncated: row.has_more_events,
        deliveries: row.deliveries.iter().map(|d| delivery(directory, d, folder(d.account, d.row.mailbox))).collect(),
        delivery_count: row.total,
    }
}

fn delivery(directory: &Directory, delivery: &TraceDelivery, folder: Option<String>) -> TraceDeliveryView {
    let copy = match delivery.origin {
        Origin::Ordinary => "ordinary",
        Origin::Monitor => "monitor",
        Origin::Approval => "approval",
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
