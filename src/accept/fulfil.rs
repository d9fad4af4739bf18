//! Makes the messages that follow from others: each in one commit with the end of its errand, so that it is made exactly
//! once. The task that accepted the message does it at once; what a crash or an error leaves, `delivery` takes up.

use super::desk::Desk;
use super::errand::{self, Errand, SentTo, What, path};
use super::generate::{self, Parcel};
use super::record;
use super::reply::{Copy, Memory};
use super::stored::{self, Stored};
use super::told;
use crate::directory::Directory;
use crate::mail::{
    AccountId, Address, Domain, EnhancedCode, EventKinds, Language, MailboxId, ReversePath, Timestamp, one_time,
};
use crate::proto::message::compose::{
    self, Action, Approval, Attempted, Dsn, Failure, MAX_REPORT, Original, Reported, Stamp, Told, approval_notice, dsn,
    monitor_report,
};
use crate::store::{self, DeliveryState, FollowUp, Origin, Reader};

/// What has become of an errand.
enum Done {
    /// The message is on disk.
    Made,
    /// There is nothing to make, and nothing to say of it.
    Needless,
    /// It can never be made.
    Hopeless(&'static str),
}

/// Carries out what a commit has left, one after the other. What fails stays for `delivery`.
pub async fn all(desk: &Desk, directory: &Directory, rows: &[FollowUp]) {
    for row in rows {
        if let Err(error) = one(desk, directory, row).await {
            let id = row.key.transaction;
            tracing::error!(%id, %error, "a message that follows could not be made; it is tried again");
        }
    }
}

/// Carries out one errand. On `Ok` it is done or ended; otherwise it waits as before.
pub async fn one(desk: &Desk, directory: &Directory, row: &FollowUp) -> Result<(), store::Error> {
    let Some(errand) = Errand::decode(&row.data) else {
        tracing::error!(id = %row.key.transaction, "a message to be made is damaged and given up");
        return end(desk, row, None, "damaged").await;
    };
    for _ in 0..ATTEMPTS {
        match attempt(desk, directory, row, &errand).await {
            Ok(Done::Made) => return Ok(()),
            // Needless, or the monitor has its copy.
            Ok(Done::Needless) | Err(store::Error::Exists) => return desk.store.end_follow_up(row, None).await,
            Ok(Done::Hopeless(why)) => return end(desk, row, Some(&errand), why).await,
            // What an account remembers has changed since it was read.
            Err(store::Error::Conflict) => {}
            // Somebody else was faster; or else a mailbox is gone, and the directory will tell.
            Err(store::Error::NotFound) if !desk.store.has_follow_up(row.key).await? => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Err(store::Error::Conflict)
}

/// Ends an errand that has been tried for too long.
pub async fn give_up(desk: &Desk, row: &FollowUp) -> Result<(), store::Error> {
    tracing::error!(id = %row.key.transaction, "a message that follows could not be made for 5 days and is given up");
    end(desk, row, Errand::decode(&row.data).as_ref(), "given up").await
}

async fn end(desk: &Desk, row: &FollowUp, errand: Option<&Errand>, why: &str) -> Result<(), store::Error> {
    let what = errand.map(Errand::name).unwrap_or_default();
    let details = serde_json::json!({ "what": what, "why": why });
    desk.store.end_follow_up(row, Some(record::event("not made", details, EventKinds::NONE))).await
}

async fn attempt(desk: &Desk, directory: &Directory, row: &FollowUp, errand: &Errand) -> Result<Done, store::Error> {
    let job = Job { desk, directory, row };
    match errand {
        Errand::Dsn(errand) => job.dsn(errand).await,
        Errand::Success(errand) => job.success(errand).await,
        Errand::Approval(errand) => job.approval(errand).await,
        Errand::Report(errand) => job.report(errand).await,
        Errand::Reply(errand) => job.reply(errand).await,
        Errand::Sent(errand) => job.sent(errand).await,
    }
}

struct Job<'a> {
    desk: &'a Desk,
    directory: &'a Directory,
    row: &'a FollowUp,
}

impl Job<'_> {
    async fn stored(&self, octets: u64) -> Result<Stored, store::Error> {
        stored::read(self.desk, self.row.blob, octets).await
    }

    /// The message with the fields in front of it, in one piece.
    async fn whole(&self) -> Result<Vec<u8>, store::Error> {
        let blob = self.row.blob;
        let read = move |reader: &Reader<'_>| {
            let message = reader.message(blob)?;
            let rest = message.rest();
            let mut octets = message.prefix;
            reader.rest(rest, 0, u64::MAX, &mut octets)?;
            Ok(octets)
        };
        self.desk.store.read(read).await
    }

    async fn post(&self, parcel: Parcel, make: impl FnOnce(&Stamp<'_>) -> Vec<u8>) -> Result<Done, store::Error> {
        generate::post(self.desk, self.directory, self.row, parcel, make).await.map(|()| Done::Made)
    }

    /// One DSN about all of these.
    async fn dsn(&self, errand: &errand::Dsn) -> Result<Done, store::Error> {
        let Some(parcel) = Parcel::to(self.directory, &errand.to) else { return Ok(GONE) };
        let Some(parcel) = self.bounded(parcel, None, errand.once_a_message).await? else {
            return Ok(Done::Needless);
        };
        let parcel = parcel.requiring_tls(errand.requires_tls);
        let original = self.stored(stored::HEADER).await?;
        let failed = errand.failed.iter().map(|failed| Reported::failed(&failed.recipient, failed.why.failure()));
        let reported: Vec<_> = failed.collect();
        let language = self.language(&errand.to, &reported);
        self.post(parcel, |stamp| {
            dsn(&Dsn {
                stamp: *stamp,
                to: &errand.to,
                envelope_id: errand.envelope_id.as_deref(),
                arrived: errand.arrived,
                recipients: &reported,
                original: Original::Header(original.header()),
                trace: Some(&self.row.key.transaction.to_string()),
                is_only: errand.once_a_message.is_some(),
                language,
            })
        })
        .await
    }

    /// Tells what came of attempts at other hosts (RFC 3464).
    async fn sent(&self, errand: &errand::Sent) -> Result<Done, store::Error> {
        let Some(parcel) = Parcel::to(self.directory, &errand.to) else { return Ok(GONE) };
        let Some(parcel) = self.bounded(parcel, errand.once_a_day, errand.once_a_message).await? else {
            return Ok(Done::Needless);
        };
        let parcel = parcel.requiring_tls(errand.requires_tls);
        let (action, until) = match errand.what {
            What::Failed => (Action::Failed, None),
            What::Delayed(until) => (Action::Delayed, Some(until)),
            What::Relayed => (Action::Relayed, None),
        };
        let reported: Vec<_> = errand.recipients.iter().map(|to| reported(to, action, until)).collect();
        let language = self.language(&errand.to, &reported);
        // RFC 3461 §4.3: RET speaks of failures alone.
        let is_full = errand.is_full && action == Action::Failed;
        let whole = if is_full { self.whole_if_it_fits(&parcel).await? } else { None };
        let original = self.stored(stored::HEADER).await?;
        self.post(parcel, |stamp| {
            dsn(&Dsn {
                stamp: *stamp,
                to: &errand.to,
                envelope_id: errand.envelope_id.as_deref(),
                arrived: errand.arrived,
                recipients: &reported,
                original: whole.as_deref().map_or(Original::Header(original.header()), Original::Full),
                trace: Some(&self.row.key.transaction.to_string()),
                is_only: errand.once_a_message.is_some(),
                language,
            })
        })
        .await
    }

    /// That of the organisation of whoever reads a report, if it is here; else that of the domain that reports: a
    /// recipient's, or that of this host.
    fn language(&self, reader: &Address, reported: &[Reported<'_>]) -> Language {
        let directory = self.directory;
        let named = [reader].into_iter().chain(reported.iter().map(|reported| reported.recipient));
        let above = |domain: &Domain| Domain::parse(domain.as_str().split_once('.')?.1).ok();
        let ours = std::iter::successors(Some(self.desk.hostname.clone()), above);
        let domains = named.filter_map(|address| address.domain().cloned()).chain(ours);
        let mut organisations = domains.filter_map(|domain| directory.organisation_of(&domain));
        let only = || match directory.organisations().collect::<Vec<_>>()[..] {
            [only] => Some(only.id),
            _ => None,
        };
        let organisation = organisations.next().or_else(only).and_then(|id| directory.organisation(id));
        organisation.map(|organisation| organisation.language).unwrap_or_default()
    }

    /// The message, unless it is large, or one of those who get it here has no room: a report bypasses the quota
    /// (policy semantics §18), and what is returned with it does not.
    async fn whole_if_it_fits(&self, parcel: &Parcel) -> Result<Option<Vec<u8>>, store::Error> {
        let blob = self.row.blob;
        let size = self.desk.store.read(move |reader: &Reader<'_>| Ok(reader.message(blob)?.size())).await?;
        if size > MAX_REPORT as u64 {
            return Ok(None);
        }
        for id in parcel.accounts() {
            let quota = self.directory.account(id).map_or(0, |account| account.settings().quota);
            let used = self.desk.store.read(move |reader| reader.usage(id)).await?.octets;
            if quota > 0 && used.saturating_add(size) > quota {
                return Ok(None);
            }
        }
        self.whole().await.map(Some)
    }

    /// The same with what accounts remember of being told; `None` if they have been.
    async fn bounded(
        &self,
        parcel: Parcel,
        once_a_day: Option<AccountId>,
        once_a_message: Option<AccountId>,
    ) -> Result<Option<Parcel>, store::Error> {
        let memo = match (once_a_day, once_a_message) {
            (Some(account), _) => told::today(self.desk, account).await?,
            (None, Some(account)) => told::of_message(self.desk, account, self.row.key.transaction).await?,
            (None, None) => return Ok(Some(parcel)),
        };
        Ok(memo.map(|told::Memo { read, changed }| parcel.with_state(vec![read], vec![changed])))
    }

    /// Tells of those who have the message now; who had no room has not.
    async fn success(&self, errand: &errand::Success) -> Result<Done, store::Error> {
        let mut reported = Vec::with_capacity(errand.reached.len());
        for reached in &errand.reached {
            let (action, what) = if reached.is_group {
                // Failures may still follow, and no further success (RFC 3464 §2.3.3).
                (Action::Expanded, Told::InGroup)
            } else if self.has_message(&reached.accounts).await? {
                (Action::Delivered, Told::InMailbox)
            } else {
                continue;
            };
            reported.push(Reported {
                recipient: &reached.recipient,
                original_recipient: reached.original.as_deref(),
                action,
                failure: Failure::Told { status: EnhancedCode::new(2, 0, 0), what },
                attempted: None,
            });
        }
        if reported.is_empty() {
            return Ok(Done::Needless);
        }
        let Some(parcel) = Parcel::to(self.directory, &errand.to) else { return Ok(GONE) };
        let parcel = parcel.requiring_tls(errand.requires_tls);
        // RFC 3461 §4.3: whatever RET says, a report without a failure returns the header alone.
        let original = self.stored(stored::HEADER).await?;
        let language = self.language(&errand.to, &reported);
        self.post(parcel, |stamp| {
            dsn(&Dsn {
                stamp: *stamp,
                to: &errand.to,
                envelope_id: errand.envelope_id.as_deref(),
                arrived: errand.arrived,
                recipients: &reported,
                original: Original::Header(original.header()),
                trace: Some(&self.row.key.transaction.to_string()),
                is_only: false,
                language,
            })
        })
        .await
    }

    async fn has_message(&self, accounts: &[AccountId]) -> Result<bool, store::Error> {
        for account in accounts {
            let row = self.desk.store.delivery(*account, self.row.key.transaction, Origin::Ordinary).await?;
            if row.is_some_and(|row| row.state == DeliveryState::Delivered) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Asks one of those who decide.
    async fn approval(&self, errand: &errand::Approval) -> Result<Done, store::Error> {
        let Some(approver) = self.directory.account(errand.approver) else { return Ok(GONE) };
        let Some(parcel) = Parcel::to(self.directory, &approver.address) else { return Ok(GONE) };
        let original = self.stored(ATTACHED + 1).await?;
        let reverse_path = path(errand.reverse_path.clone());
        // At the group, so that it is known for whom one decides.
        let domain = match &errand.cause {
            errand::Cause::Group(group) => group.domain(),
            errand::Cause::Rule(_) => approver.address.domain(),
        };
        let answer_to = self
            .row
            .hold
            .zip(domain)
            .and_then(|(hold, domain)| one_time::decide_address(hold, approver.id, domain, &self.desk.srs).ok());
        self.post(parcel, |stamp| {
            approval_notice(&Approval {
                stamp: *stamp,
                to: &approver.address,
                cause: errand.cause.shown(),
                reverse_path: &reverse_path,
                answer_to: answer_to.as_ref(),
                until: errand.until,
                original: &original.content,
            })
        })
        .await
    }

    /// A monitor's report, which is its copy of the message (policy semantics §13.5).
    async fn report(&self, errand: &errand::Report) -> Result<Done, store::Error> {
        let Some(monitor) = self.directory.account(errand.monitor) else { return Ok(GONE) };
        let mailbox = match &errand.folder {
            None => MailboxId::INBOX,
            Some(name) => self.desk.folder(monitor.id, name).await?,
        };
        let parcel = Parcel::copy(monitor.address.clone(), monitor.id, mailbox);
        // Whole messages are large, and many may be due at once.
        let _turn = self.desk.turns.whole.acquire().await.map_err(|_| store::Error::Unavailable)?;
        let original = self.whole().await?;
        // Moved in, so that it is gone once it is attached.
        self.post(parcel, move |stamp| {
            errand.facts.told(|facts| monitor_report(stamp, &monitor.address, facts, &original))
        })
        .await
    }

    /// An automatic reply, if there is still to be one by what the account wants and remembers now.
    async fn reply(&self, errand: &errand::Reply) -> Result<Done, store::Error> {
        let Some(account) = self.directory.account(errand.account) else { return Ok(GONE) };
        let sender = errand.sender.sender();
        let ReversePath::Address(to) = &sender.reverse_path else { return Ok(Done::Needless) };
        let now = self.desk.clock.now();
        let memory = Memory::load(self.desk, account.id, to, now).await?;
        let original = self.stored(stored::HEADER).await?;
        let copy = Copy {
            directory: self.directory,
            account,
            sender: &sender,
            header: original.header(),
            spf: errand.spf,
            dkim_aligned: errand.dkim_aligned,
            dmarc: errand.dmarc,
            now,
        };
        let Some(reply) = copy.reply(&memory) else { return Ok(Done::Needless) };
        let Some(parcel) = Parcel::to(self.directory, reply.to) else { return Ok(Done::Needless) };
        let parcel = parcel.requiring_tls(errand.requires_tls);
        let (read, changed) = memory.after(now);
        self.post(parcel.with_state(read, changed), |stamp| {
            compose::auto_reply(&compose::AutoReply {
                stamp: *stamp,
                from: &reply.from,
                to: reply.to,
                subject_prefix: reply.subject_prefix,
                original: original.header(),
                text: reply.text,
            })
        })
        .await
    }
}

fn reported(to: &SentTo, action: Action, until: Option<Timestamp>) -> Reported<'_> {
    let (class, subject, detail) = to.status;
    let status = EnhancedCode::new(class, subject, detail);
    let failure = match (action, to.is_reply) {
        (Action::Relayed, _) => Failure::Told { status, what: Told::Unconfirmed },
        (_, true) => Failure::Told { status, what: Told::NotTaken },
        (_, false) => Failure::Other { status, text: &to.text },
    };
    Reported {
        recipient: &to.recipient,
        original_recipient: to.original.as_deref(),
        action,
        failure,
        attempted: Some(Attempted {
            host: to.host.as_deref(),
            reply: to.is_reply.then_some(&to.text),
            at: to.at,
            until,
        }),
    }
}

/// Octets of an original that a notice attaches.
const ATTACHED: u64 = 1 << 20;
const GONE: Done = Done::Hopeless("the recipient is gone");
/// How often memory may change while a reply is being made.
const ATTEMPTS: usize = 8;
