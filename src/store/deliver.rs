//! Delivery: content, its forms, and everything that follows from the acceptance of a message, in one durable commit.
//!
//! Content is stored once. Each form of the message (as accepted; with a field more or another Subject for one reader) is
//! a message record of its own over the same content, which it shows but for one range at most. Each reference to a form
//! is counted: by entries, queue items, held messages, slices that wait and messages still to be made of it; a form other
//! than the first holds one reference on it in turn. So a form goes when nothing
//! refers to it, and the content when no form is left.

mod draft;

use super::engine::Write;
use super::placement::{Keys, Placement};
use super::posting::{PostedForm, Posting};
use super::record::Shape;
use super::trace::TracePlace;
use super::{
    Content, Error, FollowUp, Fulfilment, Message, NewFollowUp, NewHold, NewQueueItem, RuleSet, StateKey, Store,
    TraceWrite, key, record,
};
use crate::mail::{
    AccountId, BlobId, Flags, GroupId, HoldId, MailboxId, ModSeq, QueueId, ReversePath, Span, Timestamp, Uid,
    UidValidity,
};
use draft::Draft;

/// Whose copy an entry is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The account's own.
    #[default]
    Ordinary,
    /// A monitor's copy: not forwarded, answered, filtered or copied again (policy semantics §13.5).
    Monitor,
    /// What shows a held message to one of those who decide about it (policy semantics §9). It is no delivery: it leaves
    /// no delivery key, and whoever has it may get the message and a monitor's copy as well.
    Approval,
}

/// A form of the message.
#[derive(Clone, Debug)]
pub struct Form {
    /// Trace and other header fields that stand before the content, complete with CRLF.
    pub prefix: Vec<u8>,
    /// What of the content's header it leaves out, because the prefix has another instead. The first form leaves out
    /// nothing.
    pub omitted: Option<Span>,
    /// `proto::message::Summary::encode`.
    pub summary: Vec<u8>,
}

/// A mailbox that gets the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Whose.
    pub account: AccountId,
    /// Which; [`MailboxId::INBOX`] for ordinary mail.
    pub mailbox: MailboxId,
    /// The flags it starts with.
    pub flags: Flags,
    /// Which of the delivery's forms.
    pub form: usize,
    /// Whose copy it is. A monitor's does not look at the quota.
    pub origin: Origin,
    /// The group through which the message comes.
    pub via: Option<GroupId>,
    /// The octets that the account may store; `None` is unlimited. A message fits if it fills them exactly.
    pub quota: Option<u64>,
}

impl Target {
    /// The first form, as the account's own, without a limit.
    pub fn new(account: AccountId, mailbox: MailboxId, flags: Flags) -> Self {
        let origin = Origin::Ordinary;
        Self { account, mailbox, flags, form: 0, origin, via: None, quota: None }
    }
}

/// What happens when a target's account has no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// Nothing is stored at all: [`Error::OverQuota`]. For a sole recipient, who can be refused while the client waits.
    #[default]
    Refuse,
    /// The delivery to it is queued ([`QueueKind::Full`]) and the rest is made.
    Queue,
}

/// A message to commit. SMTP delivery and APPEND are the same act.
#[derive(Debug)]
pub struct Delivery {
    /// The content. Its id is that of the first form, and of the transaction.
    pub content: Content,
    /// Octets of the content's header, with the blank line that ends it: it can then be read without the body.
    pub header: u64,
    /// INTERNALDATE.
    pub internal_date: Timestamp,
    /// MAIL FROM: goes with what is queued because there is no room.
    pub reverse_path: ReversePath,
    /// The message as accepted, and other forms of it: 1 to 1,000.
    pub forms: Vec<Form>,
    /// At most 100,000 mailboxes; an account at most once for each origin. The first 1,000 have the message when the
    /// commit is made, the others get it by slices.
    pub targets: Vec<Target>,
    /// What happens when one is full.
    pub when_full: WhenFull,
    /// Copies for other hosts: at most 10,000.
    pub queue: Vec<NewQueueItem>,
    /// Parts that wait for a decision: at most 1,000.
    pub holds: Vec<NewHold>,
    /// The mail rules under which these are held; not written if there are none.
    pub rules: Vec<RuleSet>,
    /// Messages that are still to be made of it: at most 10,000.
    pub follow_ups: Vec<NewFollowUp>,
    /// The follow-up of another message that this is.
    pub fulfils: Option<Fulfilment>,
    /// What is known of the message. With it every delivery leaves a delivery key (policy semantics §19), without it
    /// the first 1,000 do not: APPEND.
    pub trace: Option<TraceWrite>,
    /// Small state of the caller that changes with the delivery.
    pub extra: Vec<(StateKey, Vec<u8>)>,
    /// The same for rows that only grow: of two values the greater in order of octets stays.
    pub at_least: Vec<(StateKey, Vec<u8>)>,
}

impl Delivery {
    /// One form for these targets, and nothing else.
    pub fn new(content: Content, header: u64, form: Form, internal_date: Timestamp, targets: Vec<Target>) -> Self {
        Self {
            content,
            header,
            internal_date,
            reverse_path: ReversePath::Null,
            forms: vec![form],
            targets,
            when_full: WhenFull::Refuse,
            queue: Vec::new(),
            holds: Vec::new(),
            rules: Vec::new(),
            follow_ups: Vec::new(),
            fulfils: None,
            trace: None,
            extra: Vec::new(),
            at_least: Vec::new(),
        }
    }
}

/// Further deliveries of a message that is stored: what a decision releases, a correction, a copy on request.
#[derive(Debug)]
pub struct Continuation {
    /// The message: the id of its first form. It must still be stored.
    pub transaction: BlobId,
    /// INTERNALDATE.
    pub internal_date: Timestamp,
    /// See [`Delivery`].
    pub reverse_path: ReversePath,
    /// The forms that targets, queue and holds name by their place here: at most 1,000.
    pub forms: Vec<FormSource>,
    /// See [`Delivery`]. An account that has the message already by the same transaction is passed over; one without
    /// room is queued.
    pub targets: Vec<Target>,
    /// See [`Delivery`].
    pub queue: Vec<NewQueueItem>,
    /// See [`Delivery`].
    pub holds: Vec<NewHold>,
    /// See [`Delivery`].
    pub rules: Vec<RuleSet>,
    /// See [`Delivery`].
    pub follow_ups: Vec<NewFollowUp>,
    /// A later event of the message's trace, with further terms to find it by.
    pub trace: Option<TraceWrite>,
    /// See [`Delivery`].
    pub extra: Vec<(StateKey, Vec<u8>)>,
    /// The held message whose decision this carries out: it is finished in the same commit.
    pub finish: Option<HoldId>,
}

impl Continuation {
    /// The message as accepted for nobody, and nothing else.
    pub fn new(transaction: BlobId, internal_date: Timestamp) -> Self {
        Self {
            transaction,
            internal_date,
            reverse_path: ReversePath::Null,
            forms: vec![FormSource::Stored(transaction)],
            targets: Vec::new(),
            queue: Vec::new(),
            holds: Vec::new(),
            rules: Vec::new(),
            follow_ups: Vec::new(),
            trace: None,
            extra: Vec::new(),
            finish: None,
        }
    }
}

/// Where a form comes from.
#[derive(Clone, Debug)]
pub enum FormSource {
    /// It is stored already: the transaction's own, or another form of it.
    Stored(BlobId),
    /// It is made now.
    New(Form),
}

/// Where a message was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Whose.
    pub account: AccountId,
    /// Which.
    pub mailbox: MailboxId,
    /// Of the mailbox.
    pub uid_validity: UidValidity,
    /// Of the message (APPENDUID, RFC 4315).
    pub uid: Uid,
    /// The entry's MODSEQ.
    pub modseq: ModSeq,
}

/// What a commit has made of a delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Who has the message now, in order of account.
    pub placed: Vec<Placed>,
    /// Who had no room; each is in the queue.
    pub full: Vec<AccountId>,
    /// How many targets wait for their slice.
    pub pending: usize,
    /// The items of `queue`, in its order.
    pub queued: Vec<QueueId>,
    /// Those of `holds`, in its order.
    pub held: Vec<HoldId>,
    /// Those of `follow_ups`, in its order.
    pub follow_ups: Vec<FollowUp>,
}

impl Store {
    /// Commits the message with all that follows from it, or nothing: when this gives `Ok`, it is on disk
    /// (RFC 5321 §6.1). [`Error::NotFound`] if a target among the first 1,000 does not exist, [`Error::OverQuota`] as
    /// [`WhenFull`] says, [`Error::HoldFull`] if an organisation holds too much, [`Error::Limit`] above the numbers of
    /// [`Delivery`]; if it is a follow-up, as [`Fulfilment`] says.
    ///
    /// A message to which nothing refers (no target, no queue item, no hold, no follow-up) leaves its trace and no
    /// content.
    pub async fn deliver(&self, delivery: Delivery) -> Result<Delivered, Error> {
        let Delivery { mut content, header, forms, .. } = delivery;
        let (base, size, now) = (content.blob(), content.size(), self.inner.clock.now());
        let message = |(number, form): (usize, Form)| Message {
            blob: if number == 0 { base } else { self.inner.blob_ids.next(now) },
            content: base,
            prefix: form.prefix,
            omitted: form.omitted,
            content_size: size,
            chunks: 0,
            summary: form.summary,
        };
        let mut messages: Vec<Message> = forms.into_iter().enumerate().map(message).collect();
        let mut draft = Draft::new(base, messages.iter().map(shape).collect(), now);
        let copy_of = delivery.fulfils.as_ref().filter(|f| f.is_copy).map(|f| f.follow_up.key.transaction);
        let keys = match (copy_of, &delivery.trace) {
            (Some(_), _) => Keys::Claimed,
            (None, Some(_)) => Keys::Written,
            (None, None) => Keys::None,
        };
        draft.targets(self, delivery.targets, keys, (delivery.internal_date, &delivery.reverse_path))?;
        draft.queue(self, delivery.queue)?;
        draft.holds(self, delivery.holds, delivery.rules)?;
        draft.follow_ups(self, delivery.follow_ups)?;
        draft.extra(delivery.extra)?;
        if draft.is_referred_to() {
            let (mut chunks, count) = content.take_writes(header);
            draft.writes.append(&mut chunks);
            if let Some(first) = messages.first_mut() {
                first.chunks = count;
            }
        }
        if let Some(write) = delivery.trace {
            let to = if copy_of.is_some() { &[] } else { draft.now_to.as_slice() };
            draft.writes.append(&mut self.trace_writes(TracePlace::first(base), write, to)?);
        }
        if let Some(original) = copy_of {
            let event = TracePlace::event(original, self.inner.blob_ids.next(now));
            draft.writes.append(&mut self.trace_writes(event, TraceWrite::default(), &draft.now_to)?);
        }
        let keep = draft.is_referred_to();
        let transaction = copy_of.unwrap_or(base);
        let placement = Placement { transaction, ..draft.placement(delivery.internal_date, keys, delivery.when_full) };
        let mut posting = Posting {
            forms: messages.into_iter().map(PostedForm::New).collect(),
            at_least: delivery.at_least.into_iter().map(|(name, value)| (key::state(name.octets()), value)).collect(),
            ..draft.posting(self, placement, delivery.reverse_path)
        };
        if let Some(Fulfilment { follow_up, unchanged, .. }) = delivery.fulfils {
            let guard = key::follow_up(follow_up.key);
            draft.writes.push(Write { key: guard.clone(), value: None });
            posting.guard = Some((guard, record::encode_follow_up(&follow_up)));
            posting.dropped.push(follow_up.blob);
            posting.unchanged = unchanged.into_iter().map(|(name, value)| (key::state(name.octets()), value)).collect();
        }
        // From here on the commit may happen even if this future is dropped.
        content.keep(keep);
        let result = self.post(posting, draft).await;
        match &result {
            // If the disk's state is not known and the commit did not happen, the next start deletes the content.
            Ok(_) | Err(Error::Unavailable) => {}
            Err(_) => content.keep(false),
        }
        result
    }

    /// Delivers a stored message to more recipients, in one commit. [`Error::NotFound`] if nothing refers to it any
    /// more, [`Error::Exists`] if the decision has been carried out already; otherwise as [`Store::deliver`], but for
    /// targets: one that has the message by this transaction is passed over, and so is one that does not exist.
    pub async fn deliver_more(&self, more: Continuation) -> Result<Delivered, Error> {
        let (base, now) = (more.transaction, self.inner.clock.now());
        let (forms, shapes) = self.sources(base, more.forms, now).await?;
        let finish = match more.finish {
            Some(id) => Some(self.held_by_id(id).await?),
            None => None,
        };
        let mut draft = Draft::new(base, shapes, now);
        draft.targets(self, more.targets, Keys::Checked, (more.internal_date, &more.reverse_path))?;
        draft.queue(self, more.queue)?;
        draft.holds(self, more.holds, more.rules)?;
        draft.follow_ups(self, more.follow_ups)?;
        draft.extra(more.extra)?;
        if more.trace.is_some() || !draft.now_to.is_empty() {
            let event = TracePlace::event(base, self.inner.blob_ids.next(now));
            draft.writes.append(&mut self.trace_writes(event, more.trace.unwrap_or_default(), &draft.now_to)?);
        }
        let placement = draft.placement(more.internal_date, Keys::Checked, WhenFull::Queue);
        let mut posting = Posting { forms, ..draft.posting(self, placement, more.reverse_path) };
        if let Some(held) = finish {
            posting.dropped.push(held.blob);
            posting.rules.dropped.clone_from(&held.rules);
            posting.finish = Some(held);
        }
        self.post(posting, draft).await
    }

    /// The forms of a continuation as they are stored or will be.
    async fn sources(
        &self,
        base: BlobId,
        sources: Vec<FormSource>,
        now: Timestamp,
    ) -> Result<(Vec<PostedForm>, Vec<Shape>), Error> {
        let stored: Vec<BlobId> = sources
            .iter()
            .filter_map(|source| match source {
                FormSource::Stored(blob) => Some(*blob),
                FormSource::New(_) => None,
            })
            .collect();
        let (first, stored) = self
            .read(move |reader| {
                let stored: Result<Vec<_>, _> = stored.into_iter().map(|blob| reader.message(blob)).collect();
                Ok((reader.message(base)?, stored?))
            })
            .await?;
        if first.content != base || stored.iter().any(|message| message.content != base) {
            return Err(Error::NotFound);
        }
        let mut stored = stored.iter();
        let (mut forms, mut shapes) = (Vec::new(), Vec::new());
        for source in sources {
            match source {
                FormSource::Stored(_) => {
                    shapes.extend(stored.next().map(shape));
                    forms.push(PostedForm::Stored);
                }
                FormSource::New(Form { prefix, omitted, summary }) => {
                    let blob = self.inner.blob_ids.next(now);
                    let content_size = first.content_size;
                    let message = Message { blob, content: base, prefix, omitted, content_size, chunks: 0, summary };
                    shapes.push(shape(&message));
                    forms.push(PostedForm::New(message));
                }
            }
        }
        Ok((forms, shapes))
    }

    /// Makes a commit and tells of it.
    async fn post(&self, posting: Posting, draft: Draft) -> Result<Delivered, Error> {
        let Draft { writes, pending, queued, held, follow_ups, .. } = draft;
        let delivered = self.commit_posting(posting, writes).await?;
        if pending > 0 {
            self.inner.news.slices.notify_one();
        }
        self.inner.news.queue.tell(&queued);
        let queued = queued.iter().map(|item| item.id).collect();
        Ok(Delivered { pending, queued, held, follow_ups, ..delivered })
    }
}

fn shape(message: &Message) -> Shape {
    Shape { blob: message.blob, size: message.size() }
}
