//! Items that go together.

use super::destination::Destination;
use super::routes::Routes;
use crate::directory::Directory;
use crate::store::{QueueItem, QueueKind};

/// Items that are sent in one transaction.
#[derive(Debug)]
pub(super) struct Parcel {
    pub destination: Destination,
    pub items: Vec<QueueItem>,
}

/// Items of one message and with one way to go are one transaction.
pub(super) fn parcels(routes: &Routes, directory: &Directory, items: &[QueueItem]) -> Vec<Parcel> {
    let mut parcels: Vec<Parcel> = Vec::new();
    for item in items {
        let QueueKind::Remote(remote) = &item.kind else { continue };
        let destination = Destination {
            host: remote.recipient.host().clone(),
            route: routes.of(directory, remote, &item.reverse_path),
            tls: remote.tls,
        };
        let fits = |parcel: &&mut Parcel| {
            parcel.destination == destination
                && parcel.items.len() < RECIPIENTS
                && parcel.items.first().is_some_and(|first| is_alike(first, item))
        };
        match parcels.iter_mut().find(fits) {
            Some(parcel) => parcel.items.push(item.clone()),
            None => parcels.push(Parcel { destination, items: vec![item.clone()] }),
        }
    }
    parcels
}

/// Two items that one transaction can carry: the same form with the same envelope.
fn is_alike(one: &QueueItem, other: &QueueItem) -> bool {
    let (QueueKind::Remote(a), QueueKind::Remote(b)) = (&one.kind, &other.kind) else { return false };
    one.blob == other.blob
        && one.transaction == other.transaction
        && one.reverse_path == other.reverse_path
        && (&a.envelope_id, a.ret) == (&b.envelope_id, b.ret)
}

/// Recipients of one transaction (RFC 5321 §4.5.3.1.8: every host takes 100).
pub(super) const RECIPIENTS: usize = 100;
