//! What becomes of a message for a mailbox that stayed full (policy semantics §6.5).

use std::sync::Arc;

use serde_json::Value;

use super::errand::{Dsn, Errand, Failed, Why};
use super::{Desk, aftermath, record};
use crate::directory::{Directory, Group, Owner};
use crate::mail::{Address, ReversePath, Timestamp};
use crate::routing::{self, Addressed, Resolution};
use crate::store::{self, DeliveryState, Origin, QueueItem, Target, TraceQuery, TraceRow};

/// The notices about an item that is given up and still in the queue: for the managers of the group or the sender, and
/// for the author once it is the last member of a group of which nobody could be reached.
pub(super) async fn errands(
    desk: &Desk,
    directory: &Directory,
    item: &QueueItem,
    target: &Target,
) -> Result<Vec<Errand>, store::Error> {
    let row = trace(desk, item).await?;
    let row = row.as_ref();
    let by_hook = row.is_some_and(|row| is_named_by_hook(directory, row, target));
    let dsns = aftermath::of_undelivered(directory, item, target, by_hook).into_iter();
    let of_group = row.and_then(|row| of_group(directory, item, target, row));
    let requires_tls = row.is_some_and(requires_tls);
    Ok(dsns.chain(of_group).map(|dsn| Errand::Dsn(Dsn { requires_tls, ..dsn })).collect())
}

/// The notice for the author that nobody of the addressed group could be reached. None if the author must not be
/// answered, or if anybody was or may yet be reached.
fn of_group(directory: &Directory, item: &QueueItem, target: &Target, row: &TraceRow) -> Option<Dsn> {
    let ReversePath::Address(author) = &item.reverse_path else { return None };
    let group = unreached(directory, row, target)?;
    let failed = vec![Failed { recipient: group.address.clone(), why: Why::NoMember }];
    Some(Dsn::new(author.clone(), failed, item.created))
}

/// The message was sent by REQUIRETLS (RFC 8689).
fn requires_tls(row: &TraceRow) -> bool {
    let record: Option<Value> = serde_json::from_slice(&row.record).ok();
    record.is_some_and(|record| record.get(record::REQUIRES_TLS).and_then(Value::as_bool) == Some(true))
}

async fn trace(desk: &Desk, item: &QueueItem) -> Result<Option<TraceRow>, store::Error> {
    let query = TraceQuery {
        id: Some(item.transaction),
        sender: None,
        recipient: None,
        party: None,
        account: None,
        message_id: None,
        from: Timestamp::from_millis(0),
        to: Timestamp::from_millis(i64::MAX),
        after: None,
        limit: 1,
        deliveries: DELIVERIES,
    };
    Ok(desk.store.traces(query, |_| true).await?.pop())
}

/// The account is a recipient because a hook has named it.
fn is_named_by_hook(directory: &Directory, row: &TraceRow, target: &Target) -> bool {
    let Ok(record) = serde_json::from_slice::<Value>(&row.record) else { return false };
    let leads_there = |address: Address| match routing::look_up(directory, &address) {
        Resolution::Local(Addressed::Account { account, .. }) => account == target.account,
        Resolution::Local(Addressed::Group(_) | Addressed::External(_)) | Resolution::Foreign(_) => false,
        Resolution::Unknown => false,
    };
    named(&record, record::BY_HOOKS).any(leads_there) && !named(&record, "recipients").any(leads_there)
}

/// The recipients in a list of the record that have stayed such.
fn named(record: &Value, list: &str) -> impl Iterator<Item = Address> {
    let recipients = record.get(list).and_then(Value::as_array).into_iter().flatten();
    let standing = recipients.filter(|recipient| recipient.get(record::GONE).is_none());
    standing.filter_map(|recipient| Address::parse(recipient.get("address")?.as_str()?).ok())
}

/// The addressed group of which nobody was reached, `target` being the last that is given up. One that a hook has named
/// is none: its author does not know of it.
fn unreached(directory: &Directory, row: &TraceRow, target: &Target) -> Option<Arc<Group>> {
    let record: Value = serde_json::from_slice(&row.record).ok()?;
    let has_more = usize::try_from(row.total).is_ok_and(|total| total > row.deliveries.len());
    let is_held = record.get("held").and_then(Value::as_u64) != Some(0);
    let remote = record.get("remote").and_then(Value::as_array)?;
    let goes_out = remote.iter().any(|copy| copy.get("as").and_then(Value::as_str) == Some("external member"));
    if has_more || is_held || goes_out {
        return None;
    }
    let groups = |list| named(&record, list).filter_map(|address| group_at(directory, &address));
    let addressed: Vec<Arc<Group>> = groups("recipients").collect();
    let (group, of_it) = match addressed.as_slice() {
        // Whoever came through a group came through this one, at whatever depth.
        [only] if groups(record::BY_HOOKS).next().is_none() => (only.clone(), None),
        several => (several.iter().find(|group| Some(group.id) == target.via)?.clone(), target.via),
    };
    let mut others = row.deliveries.iter().filter(|delivery| {
        let is_it = delivery.account == target.account && delivery.origin == target.origin;
        let is_member = delivery.row.via.is_some() && (of_it.is_none() || delivery.row.via == of_it);
        delivery.origin == Origin::Ordinary && is_member && !is_it
    });
    others.all(|delivery| matches!(delivery.row.state, DeliveryState::Failed | DeliveryState::Gone)).then_some(group)
}

fn group_at(directory: &Directory, address: &Address) -> Option<Arc<Group>> {
    match directory.owner(address) {
        Owner::Group(group) => Some(group),
        Owner::Account(_) | Owner::Nobody | Owner::Foreign => None,
    }
}

/// A group of more members than this was reached, or its author hears nothing.
const DELIVERIES: usize = 1000;
