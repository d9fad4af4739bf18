//! Messages that this server makes: they enter like any other, from nobody, under no rule (policy semantics §3.2 O7).

use super::desk::Desk;
use super::record;
use super::{Acceptance, Incoming};
use crate::directory::Directory;
use crate::mail::{AccountId, Address, Flags, MailboxId, ReversePath};
use crate::proto::message::Front;
use crate::proto::message::compose::Stamp;
use crate::routing::{self, Addressed, Receiver, Resolution};
use crate::store::{self, NewQueueItem, Origin, Target, WhenFull};

/// Sends a message with the null reverse-path: to an account here, to a group, or to somebody elsewhere by the queue.
/// `make` writes it under the id that it gets. Nothing happens if the address is nobody's.
pub async fn send(
    desk: &Desk,
    directory: &Directory,
    to: &Address,
    make: impl FnOnce(&Stamp<'_>) -> Vec<u8>,
) -> Result<(), store::Error> {
    let addressed = match routing::look_up(directory, to) {
        Resolution::Local(addressed) => addressed,
        Resolution::Foreign(address) => Addressed::External(address),
        Resolution::Unknown => return Ok(()),
    };
    let system = crate::policy::sender::Sender::system();
    let expansion = routing::expand(directory, &system, &[addressed]);
    let mut targets = Vec::new();
    let mut queue = Vec::new();
    for delivery in expansion.deliveries {
        match delivery.to {
            // Notices bypass the quota (policy semantics §18).
            Receiver::Account(id) => targets.push(Target::new(id, MailboxId::INBOX, Flags::default())),
            Receiver::External(recipient) => {
                queue.push(NewQueueItem { form: 0, reverse_path: ReversePath::Null, recipient });
            }
        }
    }
    commit(desk, to, targets, queue, make).await
}

/// Puts a message into one mailbox, as a monitor's.
pub async fn file(
    desk: &Desk,
    to: &Address,
    account: AccountId,
    mailbox: MailboxId,
    make: impl FnOnce(&Stamp<'_>) -> Vec<u8>,
) -> Result<(), store::Error> {
    let target = Target { origin: Origin::Monitor, ..Target::new(account, mailbox, Flags::default()) };
    commit(desk, to, vec![target], Vec::new(), make).await
}

async fn commit(
    desk: &Desk,
    to: &Address,
    targets: Vec<Target>,
    queue: Vec<NewQueueItem>,
    make: impl FnOnce(&Stamp<'_>) -> Vec<u8>,
) -> Result<(), store::Error> {
    if targets.is_empty() && queue.is_empty() {
        return Ok(());
    }
    let now = desk.clock.now();
    let mut incoming = Incoming::new(&desk.store);
    let id = incoming.id().to_string();
    let message = make(&Stamp { host: &desk.hostname, id: &id, now });
    incoming.push(&message).await?;
    let trace = record::generated(incoming.header(), to, message.len(), now);
    let acceptance = Acceptance {
        fronts: vec![Front::new(b"Return-Path: <>\r\n".to_vec())],
        queue,
        trace: Some(trace),
        when_full: WhenFull::Queue,
        ..Acceptance::append(now, targets)
    };
    incoming.commit(&desk.store, acceptance).await?;
    Ok(())
}
