//! Messages that this server makes: they enter like any other, from nobody, under no rule (policy semantics §3.2 O7).

use super::desk::Desk;
use super::judge::Source;
use super::record;
use super::signing::{self, Leaving, Whose};
use super::{Acceptance, Incoming};
use crate::directory::Directory;
use crate::mail::{AccountId, Address, Flags, MailboxId, ReversePath, TlsWish};
use crate::proto::message::Front;
use crate::proto::message::compose::Stamp;
use crate::routing::{self, Addressed, Receiver, Resolution};
use crate::store::{self, FollowUp, Fulfilment, NewQueueItem, Origin, QueueSender, Remote, StateKey, Target, WhenFull};

/// Where a message goes, and what changes with it.
pub struct Parcel {
    /// Whom it is addressed to.
    pub to: Address,
    targets: Vec<Target>,
    queue: Vec<NewQueueItem>,
    is_copy: bool,
    /// State that must be as it was read.
    unchanged: Vec<(StateKey, Option<Vec<u8>>)>,
    /// State that changes.
    extra: Vec<(StateKey, Vec<u8>)>,
}

impl Parcel {
    /// To an account here, to a group, or to somebody elsewhere by the queue; `None` if the address is nobody's.
    pub fn to(directory: &Directory, to: &Address) -> Option<Self> {
        let addressed = match routing::look_up(directory, to) {
            Resolution::Local(addressed) => addressed,
            Resolution::Foreign(address) => Addressed::External(address),
            Resolution::Unknown => return None,
        };
        let system = crate::policy::sender::Sender::system();
        let mut parcel = Self::new(to.clone());
        for delivery in routing::expand(directory, &system, &[addressed]).deliveries {
            match delivery.to {
                // Notices bypass the quota (policy semantics §18).
                Receiver::Account(id) => parcel.targets.push(Target::new(id, MailboxId::INBOX, Flags::default())),
                Receiver::External(recipient) => {
                    let remote = Remote::new(recipient, QueueSender::Nobody);
                    parcel.queue.push(NewQueueItem { form: 0, reverse_path: ReversePath::Null, remote });
                }
            }
        }
        (!parcel.targets.is_empty() || !parcel.queue.is_empty()).then_some(parcel)
    }

    /// By REQUIRETLS, if what it tells of was sent so (RFC 8689 §5, §6).
    pub fn requiring_tls(self, requires_tls: bool) -> Self {
        self.with_tls(if requires_tls { TlsWish::Required } else { TlsWish::AsPublished })
    }

    fn with_tls(mut self, tls: TlsWish) -> Self {
        self.queue.iter_mut().for_each(|item| item.remote.tls = tls);
        self
    }

    /// The accounts that get it.
    pub fn accounts(&self) -> impl Iterator<Item = AccountId> {
        self.targets.iter().map(|target| target.account)
    }

    /// Into one mailbox, as a monitor's copy of the message that it follows, and recorded as that.
    pub fn copy(to: Address, account: AccountId, mailbox: MailboxId) -> Self {
        let target = Target { origin: Origin::Monitor, ..Target::new(account, mailbox, Flags::default()) };
        Self { is_copy: true, targets: vec![target], ..Self::new(to) }
    }

    /// With state that must be as it was read, and state that changes.
    pub fn with_state(self, unchanged: Vec<(StateKey, Option<Vec<u8>>)>, extra: Vec<(StateKey, Vec<u8>)>) -> Self {
        Self { unchanged, extra, ..self }
    }

    fn new(to: Address) -> Self {
        let (targets, queue) = (Vec::new(), Vec::new());
        Self { to, targets, queue, is_copy: false, unchanged: Vec::new(), extra: Vec::new() }
    }
}

/// Makes the message that a follow-up asks for, with the null reverse-path; `make` writes it under the id that it gets.
/// Fails as [`Fulfilment`] says.
pub async fn post(
    desk: &Desk,
    directory: &Directory,
    follow_up: &FollowUp,
    parcel: Parcel,
    make: impl FnOnce(&Stamp<'_>) -> Vec<u8>,
) -> Result<(), store::Error> {
    let (is_copy, unchanged) = (parcel.is_copy, parcel.unchanged.clone());
    commit(desk, directory, parcel, Some(Fulfilment { follow_up: follow_up.clone(), is_copy, unchanged }), make).await
}

/// Sends a message that follows no other, with the null reverse-path; `make` writes it under the id that it gets. `tls`:
/// what it asks of connections. Nothing happens if the address is nobody's.
pub async fn send(
    desk: &Desk,
    directory: &Directory,
    (to, tls): (&Address, TlsWish),
    make: impl FnOnce(&Stamp<'_>) -> Vec<u8>,
) -> Result<(), store::Error> {
    match Parcel::to(directory, to) {
        Some(parcel) => commit(desk, directory, parcel.with_tls(tls), None, make).await,
        None => Ok(()),
    }
}

async fn commit(
    desk: &Desk,
    directory: &Directory,
    parcel: Parcel,
    fulfils: Option<Fulfilment>,
    make: impl FnOnce(&Stamp<'_>) -> Vec<u8>,
) -> Result<(), store::Error> {
    let now = desk.clock.now();
    let mut incoming = Incoming::new(&desk.store);
    let id = incoming.id().to_string();
    let message = make(&Stamp { host: &desk.hostname, id: &id, now });
    incoming.push(&message).await?;
    let trace = record::generated(incoming.header(), &parcel.to, message.len(), now);
    let Parcel { targets, mut queue, extra, .. } = parcel;
    let mut fronts = vec![Front::new(b"Return-Path: <>\r\n".to_vec())];
    let (header, source) = (incoming.header().to_vec(), Source::Incoming(&incoming));
    let leaving = Leaving { directory, whose: Whose::Ours, header: &header, source: &source, now };
    leaving.sign(desk, (&mut fronts, &mut queue), &signing::kept(&targets, &[])).await?;
    let acceptance = Acceptance {
        fronts,
        queue,
        trace: Some(trace),
        when_full: WhenFull::Queue,
        extra,
        fulfils,
        ..Acceptance::append(now, targets)
    };
    incoming.commit(&desk.store, acceptance).await?;
    Ok(())
}
