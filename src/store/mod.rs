//! What lasts, in words of mail: content stored once, mailboxes as entries that refer to it, the directory's records.
//!
//! Keys and encodings are known to [`key`] and [`record`] alone; below lies [`engine`], which an embedded or a
//! distributed database implements. Every act is one atomic commit, and whoever gets an `Ok` from a write that is
//! documented as durable has it on disk. After a failed durable write reads go on and every write answers
//! [`Error::Unavailable`] until restart (architecture, "Storage").

pub mod engine;
pub mod key;
pub mod record;

mod audit;
mod check;
mod content;
mod deliver;
mod directory;
mod fan_out;
mod folder;
mod follow_up;
mod hold;
mod mailbox;
mod migrate;
mod monitored;
mod outbox;
mod placement;
mod posting;
mod purge;
mod queue;
mod reader;
mod references;
mod rule_set;
mod state;
mod trace;
mod watch;

pub use audit::{AuditEntry, AuditOrder, AuditVerdict, Audited};
pub use check::{CheckReport, Finding};
pub use content::{Content, Staging};
pub use deliver::{Continuation, Delivered, Delivery, Form, FormSource, Origin, Placed, Target, WhenFull};
pub use directory::{DirectoryRecord, DirectoryWrite};
pub use fan_out::SliceKey;
pub use folder::{Folder, Folders};
pub use follow_up::{FollowUp, FollowUpKey, Fulfilment, NewFollowUp};
pub use hold::{Decision, Held, HoldKind, HoldState, NewHold};
pub use mailbox::{Copied, Counts, Entry, FlagChange, FlagUpdate, Mailbox, Updated};
pub use outbox::{OutboxCount, OutboxEvent, OutboxRow, OutboxSource, SubscriberId};
pub use queue::{
    Arrival, DestinationCount, DestinationDue, DueItems, Fate, HeldBy, Lane, LastAttempt, NewQueueItem, QueueArrivals,
    QueueChange, QueueItem, QueueKind, QueueList, QueuePage, QueueSender, Remote, Returns, Settlement,
};
pub use reader::{Changes, Message, Reader, Rest};
pub use record::{DeliveryRow, DeliveryState, Usage};
pub use rule_set::{RuleSet, RuleSetId};
pub use state::{StateKey, short_hash};
pub use trace::{TraceDelivery, TraceParty, TraceQuery, TraceRow, TraceWrite};
pub use watch::Watch;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use crate::mail::{BlobIds, Clock};
use crate::metrics::Timers;
use engine::{Durability, Engine, Key, Transaction, Write};

/// What can go wrong below the sessions. A short closed list; the cause is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The mailbox, account or message does not exist (any more).
    #[error("not found")]
    NotFound,
    /// Something of this name exists.
    #[error("exists already")]
    Exists,
    /// A limit of this store: number of mailboxes, of keywords, or UIDs used up.
    #[error("limit reached")]
    Limit,
    /// The account stores as much as it may.
    #[error("over quota")]
    OverQuota,
    /// The organisation holds as many messages for decision as it may.
    #[error("too much is held")]
    HoldFull,
    /// What was read for the decision has changed; read again.
    #[error("changed meanwhile")]
    Conflict,
    /// The engine failed or no longer trusts its disk: a temporary failure for every peer.
    #[error("store is unavailable")]
    Unavailable,
    /// A record does not have the form this version writes.
    #[error("stored data is damaged")]
    Corrupt,
}

/// The store. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: Arc<dyn Engine>,
    clock: Arc<dyn Clock>,
    /// Shared with transactions that are on their way: one must not be the last to hold the engine that runs it.
    blob_ids: Arc<BlobIds>,
    watches: watch::Watches,
    news: News,
    subscribers: outbox::Subscribers,
    commits: Timers<1>,
}

/// What the workers behind the store wait for.
#[derive(Debug, Default)]
struct News {
    slices: Notify,
    queue: queue::QueueNews,
}

impl Store {
    /// A store over an open engine: writes the format version into a new one, brings an earlier one into this form,
    /// refuses an unknown one with [`Error::Corrupt`], and finishes what the last process left undone. `drawn` are random octets of this process.
    /// Needs a runtime for the work left undone.
    pub async fn open(engine: Arc<dyn Engine>, clock: Arc<dyn Clock>, drawn: [u8; 3]) -> Result<Self, Error> {
        let blob_ids = Arc::new(BlobIds::new(drawn));
        let inner = Inner {
            engine,
            clock,
            blob_ids,
            watches: watch::Watches::default(),
            news: News::default(),
            subscribers: outbox::Subscribers::default(),
            commits: commit_times(),
        };
        let store = Self { inner: Arc::new(inner) };
        store.migrate().await?;
        store.drop_abandoned_content().await?;
        store.resume_purges().await?;
        store.move_old_queue_places().await?;
        Ok(store)
    }

    /// Commits everything submitted and ends the engine; later writes answer [`Error::Unavailable`]. Blocks.
    pub fn close(&self) {
        self.inner.engine.close();
    }

    /// How long commits take, from their submission to the answer.
    pub fn commit_times(&self) -> &Timers<1> {
        &self.inner.commits
    }

    /// Runs one mini-transaction: `decide` gets the values of `reads` in order and gives writes and a result. Comes
    /// back when the commit is as durable as asked for. A caller that goes away does not undo it.
    async fn transact<T: Send + 'static>(
        &self,
        reads: Vec<Key>,
        writes: Vec<Write>,
        durability: Durability,
        mut decide: impl FnMut(&[Option<Vec<u8>>]) -> Result<(Vec<Write>, T), Error> + Send + 'static,
    ) -> Result<T, Error> {
        let result = Arc::new(Mutex::new(None));
        let slot = result.clone();
        let begun = Instant::now();
        let is_told = self.inner.subscribers.concern(&writes);
        let answer = self.inner.engine.submit(Transaction {
            reads,
            writes,
            decide: Box::new(move |values| {
                let (writes, result) = decide(values)?;
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
                Ok(writes)
            }),
            durability,
        });
        answer.await.unwrap_or(Err(Error::Unavailable))?;
        let kind = if durability == Durability::Synced { "synced" } else { "buffered" };
        self.inner.commits.took([kind], begun.elapsed());
        if is_told {
            self.inner.subscribers.tell();
        }
        let result = result.lock().unwrap_or_else(PoisonError::into_inner).take();
        result.ok_or(Error::Unavailable)
    }
}

fn commit_times() -> Timers<1> {
    Timers::new(
        "posthouse_store_commit_seconds",
        "Time from the submission of a commit to its answer.",
        ["durability"],
        &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0],
    )
}

/// The value that a record must have.
fn required(value: &Option<Vec<u8>>) -> Result<&[u8], Error> {
    value.as_deref().ok_or(Error::NotFound)
}
