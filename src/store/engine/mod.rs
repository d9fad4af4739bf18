//! What a storage engine is: consistent snapshots, ordered ranges, and mini-transactions.
//!
//! A [`Transaction`] names the keys it reads and holds a pure function from their values to writes. The engine runs
//! it atomically; the form fits one writer thread over an embedded engine and equally an optimistic transaction of
//! a distributed one, which may run the function again. All engines pass `tests/store_contract/` unchanged.

pub mod faulty;
pub mod memory;
pub mod rocks;

use std::fmt::Debug;

use tokio::sync::oneshot;

use super::Error;

/// The keyspaces (architecture, "Storage").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Keyspace {
    /// Content chunks: large values, written once.
    Blob,
    /// What is kept for a message beside its content.
    Message,
    /// Reference counts, and the blobs that wait for the sweep.
    Reference,
    /// Mailboxes, folder lists, usage.
    Mailbox,
    /// Messages in mailboxes.
    Entry,
    /// Change log of mailboxes.
    Change,
    /// Directory records, format version.
    Directory,
    /// Messages that wait: for another host, for room, for a decision.
    Queue,
    /// Deliveries, trace and audit.
    Log,
    /// Work that has to go on after a restart.
    Task,
}

impl Keyspace {
    /// All of them.
    pub const ALL: [Keyspace; 10] = [
        Keyspace::Blob,
        Keyspace::Message,
        Keyspace::Reference,
        Keyspace::Mailbox,
        Keyspace::Entry,
        Keyspace::Change,
        Keyspace::Directory,
        Keyspace::Queue,
        Keyspace::Log,
        Keyspace::Task,
    ];

    /// Its name in the engine.
    pub const fn name(self) -> &'static str {
        match self {
            Keyspace::Blob => "blob",
            Keyspace::Message => "message",
            Keyspace::Reference => "reference",
            Keyspace::Mailbox => "mailbox",
            Keyspace::Entry => "entry",
            Keyspace::Change => "change",
            Keyspace::Directory => "directory",
            Keyspace::Queue => "queue",
            Keyspace::Log => "log",
            Keyspace::Task => "task",
        }
    }
}

/// A key in a keyspace.
pub type Key = (Keyspace, Vec<u8>);

/// One change: a new value, or `None` to delete. Deleting what is not there is no error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Where.
    pub key: Key,
    /// What.
    pub value: Option<Vec<u8>>,
}

impl Write {
    /// Sets `key` to `value`.
    pub fn put(keyspace: Keyspace, key: Vec<u8>, value: Vec<u8>) -> Self {
        Self { key: (keyspace, key), value: Some(value) }
    }

    /// Deletes `key`.
    pub fn delete(keyspace: Keyspace, key: Vec<u8>) -> Self {
        Self { key: (keyspace, key), value: None }
    }
}

/// From the values of the declared keys, in order, to the writes; an error aborts and writes nothing.
pub type Decide = Box<dyn FnMut(&[Option<Vec<u8>>]) -> Result<Vec<Write>, Error> + Send>;

/// How long an answer waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// Until the write survives a loss of power.
    Synced,
    /// Until it is visible. A later synced commit makes it durable as well.
    Buffered,
}

/// A mini-transaction.
pub struct Transaction {
    /// Keys whose values `decide` needs.
    pub reads: Vec<Key>,
    /// Writes that depend on nothing; they are made only if `decide` succeeds.
    pub writes: Vec<Write>,
    /// The rest of the writes. Pure: it may run more than once.
    pub decide: Decide,
    /// How long the answer waits.
    pub durability: Durability,
}

/// A storage engine.
pub trait Engine: Send + Sync + Debug {
    /// A consistent view of everything committed so far.
    fn snapshot(&self) -> Box<dyn Snapshot + '_>;

    /// The same view for a thread that may not wait: what would have to come from the disk, or is long, fails with
    /// [`Error::Unavailable`].
    fn snapshot_in_memory(&self) -> Box<dyn Snapshot + '_>;

    /// Queues a transaction; the answer comes when it is as durable as it asked to be. Transactions of one caller
    /// run in the order of submission. [`Error::Unavailable`] after a failed write, until the engine is opened anew.
    fn submit(&self, transaction: Transaction) -> oneshot::Receiver<Result<(), Error>>;

    /// Ends the engine in order: what was submitted is committed and synced. Later submissions are refused.
    fn close(&self);
}

/// A consistent view.
pub trait Snapshot {
    /// The value of a key.
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, Error>;

    /// Visits keys from `from` (inclusive) to `to` (exclusive) in ascending order until `visit` gives false.
    fn range(
        &self,
        keyspace: Keyspace,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Error>;

    /// Visits the same keys in descending order.
    fn range_back(
        &self,
        keyspace: Keyspace,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Error>;
}
