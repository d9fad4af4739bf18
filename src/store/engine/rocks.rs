//! RocksDB: many readers on snapshots, one writer thread with group commit.
//!
//! The writer takes every waiting transaction, runs them in order over the database and what the batch has written so
//! far, writes one batch, syncs the write-ahead log once if anyone asked for it, and answers them all. So there are no
//! locks and no conflicts, and the flush is shared by every session that waits. A failed write poisons the engine.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, ErrorKind, LogLevel,
    MemtableFactory, Options, ReadOptions, ReadTier, WriteBatch, WriteBufferManager, WriteOptions,
};
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

use super::{Durability, Engine, Key, Keyspace, Snapshot, Transaction, Write};
use crate::store::{Error, key};

type Answer = oneshot::Sender<Result<(), Error>>;

/// The engine.
pub struct Rocks {
    db: Arc<DB>,
    queue: Mutex<Option<Sender<(Transaction, Answer)>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Rocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rocks").field("path", &self.db.path()).finish_non_exhaustive()
    }
}

impl Rocks {
    /// Opens or creates the database in `path`. `memory` octets are shared by block cache, blob cache and memtables.
    /// Fails if another process has it open, or if it is damaged beyond the tail of its log.
    pub fn open(path: &Path, memory: usize) -> Result<Self, rocksdb::Error> {
        let cache = Cache::new_lru_cache(memory);
        let options = database_options(&cache, memory);
        let mut families = Vec::with_capacity(Keyspace::ALL.len());
        for keyspace in Keyspace::ALL {
            families.push(ColumnFamilyDescriptor::new(keyspace.name(), family_options(keyspace, &cache, memory)?));
        }
        let db = Arc::new(DB::open_cf_descriptors(&options, path, families)?);
        let (queue, waiting) = mpsc::channel();
        let writer = Writer { db: db.clone(), poisoned: AtomicBool::new(false) };
        let thread = std::thread::Builder::new().name("store-writer".into()).spawn(move || writer.run(&waiting));
        // Only a process without threads left cannot start one; then nothing can be written and every submission says so.
        Ok(Self { db, queue: Mutex::new(thread.is_ok().then_some(queue)), writer: Mutex::new(thread.ok()) })
    }
}

fn database_options(cache: &Cache, memory: usize) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_write_buffer_manager(&WriteBufferManager::new_write_buffer_manager_with_cache(
        memory / 2,
        false,
        cache.clone(),
    ));
    // The log is as large as what is in memtables; a start replays at most this much.
    options.set_max_total_wal_size((memory as u64).max(64 << 20));
    // A log file that is written over needs no new blocks, so its sync needs no journal commit.
    options.set_recycle_log_file_num(4);
    options.set_max_background_jobs(2);
    // There is one writer.
    options.set_allow_concurrent_memtable_write(false);
    options.set_bytes_per_sync(1 << 20);
    options.set_max_open_files(1024);
    options.set_keep_log_file_num(4);
    options.set_log_level(LogLevel::Warn);
    options
}

fn family_options(keyspace: Keyspace, cache: &Cache, memory: usize) -> Result<Options, rocksdb::Error> {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_bloom_filter(10.0, false);
    table.set_block_size(16 << 10);
    table.set_format_version(5);
    // The binding has no function for hints, nor for prefixes of keys that may be shorter.
    let text = match has_account_lists(keyspace) {
        true => format!("prefix_extractor=capped:{}", key::ACCOUNT_OCTETS),
        false => format!("memtable_insert_with_hint_prefix_extractor=capped:{}", hinted(keyspace)),
    };
    let mut options = Options::default().get_options_from_string(&text)?;
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_write_buffer_size(match keyspace {
        // The same rows again and again: few versions of each are found sooner, and a flush leaves one.
        Keyspace::Mailbox => 2 << 20,
        _ => 16 << 20,
    });
    if has_account_lists(keyspace) {
        options.set_memtable_factory(MemtableFactory::HashLinkList { bucket_count: ACCOUNT_LISTS });
    }
    if keyspace == Keyspace::Blob {
        options.set_write_buffer_size((memory / 4).clamp(16 << 20, 128 << 20));
        options.set_enable_blob_files(true);
        options.set_min_blob_size(512);
        options.set_blob_file_size(256 << 20);
        // Room for what arrives while one memtable is being flushed, or large messages wait for the flush.
        options.set_max_write_buffer_number(4);
        options.set_blob_compression_type(DBCompressionType::Lz4);
        options.set_blob_cache(cache);
        // Content is never rewritten for ordering, only to give back the space of swept messages.
        options.set_enable_blob_gc(true);
        options.set_blob_gc_age_cutoff(0.5);
        options.set_blob_gc_force_threshold(0.5);
    }
    Ok(options)
}

impl Engine for Rocks {
    fn snapshot(&self) -> Box<dyn Snapshot + '_> {
        Box::new(View { db: &self.db, snapshot: self.db.snapshot(), tier: ReadTier::All })
    }

    fn snapshot_in_memory(&self) -> Box<dyn Snapshot + '_> {
        Box::new(View { db: &self.db, snapshot: self.db.snapshot(), tier: ReadTier::BlockCache })
    }

    fn submit(&self, transaction: Transaction) -> oneshot::Receiver<Result<(), Error>> {
        let (answer, receiver) = oneshot::channel();
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        // Without a queue, or a writer behind it, the answer is dropped, which the receiver sees as unavailable.
        if let Some(queue) = &*queue {
            let _ = queue.send((transaction, answer));
        }
        receiver
    }

    fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(writer) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take()
            && writer.join().is_err()
        {
            tracing::error!("store writer ended by a panic");
        }
    }
}

impl Drop for Rocks {
    fn drop(&mut self) {
        self.close();
    }
}

struct Writer {
    db: Arc<DB>,
    poisoned: AtomicBool,
}

/// The column families, found by name once.
struct Families<'a>([Option<&'a ColumnFamily>; Keyspace::ALL.len()]);

impl<'a> Families<'a> {
    fn of(db: &'a DB) -> Self {
        Self(Keyspace::ALL.map(|keyspace| db.cf_handle(keyspace.name())))
    }

    fn get(&self, keyspace: Keyspace) -> Result<&'a ColumnFamily, Error> {
        self.0.get(keyspace as usize).copied().flatten().ok_or(Error::Unavailable)
    }
}

impl Writer {
    fn run(&self, waiting: &Receiver<(Transaction, Answer)>) {
        let families = Families::of(&self.db);
        let mut recent = Recent::default();
        while let Ok(first) = waiting.recv() {
            let mut batch = Batch::default();
            let mut next = Some(first);
            while let Some((transaction, answer)) = next {
                self.add(&families, &mut recent, &mut batch, transaction, answer);
                let full = batch.answers.len() >= MAX_TRANSACTIONS || batch.writes.size_in_bytes() >= MAX_OCTETS;
                next = if full { None } else { waiting.try_recv().ok() };
            }
            self.commit(batch);
            recent.bound();
        }
        if !self.poisoned.load(Ordering::Relaxed)
            && let Err(error) = self.db.flush_wal(true)
        {
            tracing::error!(%error, "store could not sync its log on close");
        }
    }

    /// Runs one transaction on top of the batch. One that aborts is answered at once and leaves nothing behind.
    fn add(
        &self,
        families: &Families<'_>,
        recent: &mut Recent,
        batch: &mut Batch,
        mut transaction: Transaction,
        answer: Answer,
    ) {
        batch.index();
        let decided = if self.poisoned.load(Ordering::Relaxed) {
            Err(Error::Unavailable)
        } else {
            self.values(families, recent, batch, &transaction.reads).and_then(|values| (transaction.decide)(&values))
        };
        let decided = match decided {
            Ok(decided) => decided,
            Err(error) => {
                let _ = answer.send(Err(error));
                return;
            }
        };
        for write in transaction.writes.into_iter().chain(decided) {
            let Ok(family) = families.get(write.key.0) else { continue };
            match &write.value {
                Some(value) => batch.writes.put_cf(family, &write.key.1, value),
                None => batch.writes.delete_cf(family, &write.key.1),
            }
            match write.key.0 {
                Keyspace::Mailbox => recent.insert(write.key.1, write.value),
                // No transaction reads content.
                Keyspace::Blob => {}
                _ => batch.last.push(write),
            }
        }
        batch.synced |= transaction.durability == Durability::Synced;
        batch.answers.push(answer);
    }

    fn values(
        &self,
        families: &Families<'_>,
        recent: &mut Recent,
        batch: &Batch,
        keys: &[Key],
    ) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let stored = |key: &Key| self.db.get_cf(families.get(key.0)?, &key.1).map_err(read_failed);
        let mut values = Vec::with_capacity(keys.len());
        for key in keys {
            let known = match key.0 {
                Keyspace::Mailbox => recent.rows.get(&key.1),
                _ => batch.overlay.get(key),
            };
            values.push(match known {
                Some(value) => value.clone(),
                None => {
                    let value = stored(key)?;
                    if key.0 == Keyspace::Mailbox {
                        recent.insert(key.1.clone(), value.clone());
                    }
                    value
                }
            });
        }
        Ok(values)
    }

    fn commit(&self, batch: Batch) {
        if batch.answers.is_empty() {
            return;
        }
        let mut options = WriteOptions::default();
        options.set_sync(batch.synced);
        let result = self.db.write_opt(batch.writes, &options).map_err(|error| {
            // What the log holds after a failed write or sync is not known, so nothing may be promised on top of it.
            self.poisoned.store(true, Ordering::Relaxed);
            tracing::error!(%error, "store write failed: no writes until restart");
            Error::Unavailable
        });
        for answer in batch.answers {
            // The asker may be gone; the commit stands.
            let _ = answer.send(result);
        }
    }
}

/// The mailbox keyspace as this thread, which alone writes it, has last read or written it: every delivery reads and
/// writes the same few rows of an account. Never older than the database: a batch that cannot be written poisons it.
#[derive(Default)]
struct Recent {
    /// By keys of our own numbers: nobody else can make them collide.
    rows: FxHashMap<Vec<u8>, Option<Vec<u8>>>,
    /// Of all that came in; what it replaced is not taken off.
    octets: usize,
}

impl Recent {
    fn insert(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let octets = key.len() + value.as_ref().map_or(0, Vec::len) + ROW_OCTETS;
        self.octets = self.octets.saturating_add(octets);
        self.rows.insert(key, value);
    }

    /// Between batches: forgets all when there may be too much.
    fn bound(&mut self) {
        if self.octets > MAX_RECENT {
            *self = Self::default();
        }
    }
}

#[derive(Default)]
struct Batch {
    writes: WriteBatch,
    /// What the transactions before the last have written.
    overlay: HashMap<Key, Option<Vec<u8>>>,
    /// What the last has written: put into the overlay if another comes to read it.
    last: Vec<Write>,
    answers: Vec<Answer>,
    synced: bool,
}

impl Batch {
    /// Makes what has been written readable for the next transaction. A batch of one, as a delivery to a thousand
    /// mailboxes often is, does without.
    fn index(&mut self) {
        self.overlay.extend(self.last.drain(..).map(|write| (write.key, write.value)));
    }
}

struct View<'a> {
    db: &'a DB,
    snapshot: rocksdb::Snapshot<'a>,
    tier: ReadTier,
}

impl View<'_> {
    fn options(&self) -> ReadOptions {
        let mut options = ReadOptions::default();
        // Ranges may span several prefixes of a keyspace that has some.
        options.set_total_order_seek(true);
        options.set_read_tier(self.tier);
        options
    }
}

impl Snapshot for View<'_> {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let found = self.snapshot.get_pinned_cf_opt(family(self.db, keyspace)?, key, self.options());
        match found.map_err(read_failed)? {
            Some(value) if self.tier == ReadTier::BlockCache && value.len() > MAX_AT_ONCE => Err(Error::Unavailable),
            value => Ok(value.map(|value| value.to_vec())),
        }
    }

    fn range(
        &self,
        keyspace: Keyspace,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Error> {
        if from >= to {
            return Ok(());
        }
        let mut options = self.options();
        options.set_iterate_upper_bound(to);
        let mut iterator = self.snapshot.raw_iterator_cf_opt(family(self.db, keyspace)?, options);
        iterator.seek(from);
        while let (Some(key), Some(value)) = (iterator.key(), iterator.value()) {
            if !visit(key, value) {
                return Ok(());
            }
            iterator.next();
        }
        iterator.status().map_err(read_failed)
    }

    fn range_back(
        &self,
        keyspace: Keyspace,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Error> {
        if from >= to {
            return Ok(());
        }
        let mut options = self.options();
        options.set_iterate_lower_bound(from);
        options.set_iterate_upper_bound(to);
        let mut iterator = self.snapshot.raw_iterator_cf_opt(family(self.db, keyspace)?, options);
        iterator.seek_to_last();
        while let (Some(key), Some(value)) = (iterator.key(), iterator.value()) {
            if !visit(key, value) {
                return Ok(());
            }
            iterator.prev();
        }
        iterator.status().map_err(read_failed)
    }
}

fn family(db: &DB, keyspace: Keyspace) -> Result<&ColumnFamily, Error> {
    db.cf_handle(keyspace.name()).ok_or(Error::Unavailable)
}

/// Whether the memtables of a keyspace keep a list for each account, or for a few, rather than one skip list. A new version
/// of a mailbox's row stands before the last: a short list finds that place at once, where the skip list walks over the
/// versions of others, hint or no hint. 600 messages for a group of 1,000: 122,000 copies a second became 139,000. A range
/// copies a memtable first; only the check and a migration go over the mailboxes of all accounts.
fn has_account_lists(keyspace: Keyspace) -> bool {
    // A reader looks at a list twice while the writer makes it longer (RocksDB, `GetLinkListFirstNode`), and relies on a
    // processor that keeps loads in order.
    keyspace == Keyspace::Mailbox && cfg!(target_arch = "x86_64")
}

/// The place of a key in a skip list is looked for from where the last one was that began with the same so many octets, not
/// from the top of the skip list.
fn hinted(keyspace: Keyspace) -> usize {
    match keyspace {
        // The next message of a mailbox stands right behind the last.
        Keyspace::Entry => key::MAILBOX_OCTETS,
        Keyspace::Mailbox => key::ACCOUNT_OCTETS,
        // Rows are written in the order of their keys: the next one stands behind the last.
        _ => 1,
    }
}

fn read_failed(error: rocksdb::Error) -> Error {
    // Not in memory, which is all that was asked.
    if error.kind() != ErrorKind::Incomplete {
        tracing::error!(%error, "store read failed");
    }
    Error::Unavailable
}

/// Lists of a memtable among which the accounts that it has rows of are shared out: about as many as it has rows.
const ACCOUNT_LISTS: usize = 16 << 10;
/// Octets of a row that may be read on a thread of the runtime: decoding more takes too long there.
const MAX_AT_ONCE: usize = 16 << 10;
/// Octets that are remembered of mailboxes.
const MAX_RECENT: usize = 32 << 20;
/// What a row costs beside its octets.
const ROW_OCTETS: usize = 100;

/// Bounds of one batch: enough to share a flush among all sessions, little enough to answer soon.
const MAX_TRANSACTIONS: usize = 4096;
const MAX_OCTETS: usize = 16 << 20;
