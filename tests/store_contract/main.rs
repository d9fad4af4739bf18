//! What every engine must do, and what the store does on top of each: one suite, run over all of them.

mod accepting;
mod audit;
mod fan_out;
mod holding;
mod model;
mod outbox;
mod queue;
mod trace;
mod usage;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::time::Duration;

use posthouse::mail::{
    AccountId, Clock, Flags, Keyword, MailboxId, MailboxName, ModSeq, OrganisationId, SystemFlag, SystemFlags,
    Timestamp, Uid, UidSet,
};
use posthouse::store::engine::{
    Durability, Engine, Keyspace, Transaction, Write, faulty::Faulty, memory::Memory, rocks::Rocks,
};
use posthouse::store::{
    AuditEntry, Delivery, Entry, Error, FlagChange, FlagUpdate, Form, Placed, Store, Target, TraceWrite, WhenFull,
};
use tempfile::TempDir;

#[derive(Debug)]
struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000)
    }
}

/// A clock that tests move.
#[derive(Debug, Default)]
struct Moving(AtomicI64);

impl Moving {
    fn pass(&self, time: Duration) {
        self.0.fetch_add(time.as_millis() as i64, Ordering::Relaxed);
    }
}

impl Clock for Moving {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(Fixed.now().millis() + self.0.load(Ordering::Relaxed))
    }
}

/// An engine and, if it has one, its directory.
struct Bench {
    engine: Arc<dyn Engine>,
    directory: Option<TempDir>,
}

impl Bench {
    fn all() -> Vec<Bench> {
        vec![Bench { engine: Arc::new(Memory::default()), directory: None }, Bench::rocks()]
    }

    fn rocks() -> Bench {
        let directory = tempfile::tempdir().unwrap();
        Bench { engine: Arc::new(Rocks::open(&path(&directory), 64 << 20).unwrap()), directory: Some(directory) }
    }

    async fn store(&self) -> Store {
        self.store_at(Arc::new(Fixed)).await
    }

    async fn store_at(&self, clock: Arc<dyn Clock>) -> Store {
        // The clock stands still: what is drawn at each start alone keeps ids apart.
        static STARTS: AtomicU8 = AtomicU8::new(0);
        let drawn = [1, 2, STARTS.fetch_add(1, Ordering::Relaxed)];
        Store::open(self.engine.clone(), clock, drawn).await.unwrap()
    }

    /// Closes the engine and opens it anew where it keeps anything.
    fn reopen(self) -> Bench {
        let Some(directory) = self.directory else { return self };
        self.engine.close();
        drop(self.engine);
        Bench { engine: Arc::new(Rocks::open(&path(&directory), 64 << 20).unwrap()), directory: Some(directory) }
    }
}

fn path(directory: &TempDir) -> PathBuf {
    directory.path().join("db")
}

fn put(key: &[u8], value: &[u8]) -> Write {
    Write::put(Keyspace::Mailbox, key.to_vec(), value.to_vec())
}

fn submit(engine: &dyn Engine, writes: Vec<Write>) -> Result<(), Error> {
    let decide = Box::new(|_: &[Option<Vec<u8>>]| Ok(vec![]));
    let transaction = Transaction { reads: vec![], writes, decide, durability: Durability::Synced };
    engine.submit(transaction).blocking_recv().unwrap()
}

fn keys(engine: &dyn Engine, from: &[u8], to: &[u8]) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    let visit = &mut |key: &[u8], _: &[u8]| {
        keys.push(key.to_vec());
        true
    };
    engine.snapshot().range(Keyspace::Mailbox, from, to, visit).unwrap();
    keys
}

#[test]
fn ranges_are_ordered_and_half_open() {
    for bench in Bench::all() {
        let engine = &*bench.engine;
        submit(engine, vec![put(b"b", b"2"), put(b"a", b"1"), put(b"c", b"3"), put(b"a\0", b"x")]).unwrap();
        assert_eq!(keys(engine, b"a", b"c"), [&b"a"[..], b"a\0", b"b"]);
        assert_eq!(keys(engine, b"c", b"a"), Vec::<Vec<u8>>::new());
        let mut first = None;
        let visit = &mut |key: &[u8], _: &[u8]| {
            first = Some(key.to_vec());
            false
        };
        engine.snapshot().range(Keyspace::Mailbox, b"a\0", b"z", visit).unwrap();
        assert_eq!(first.as_deref(), Some(&b"a\0"[..]));
    }
}

/// The row of an account as the mailbox keyspace has them: its number, then which.
fn row(account: u32, which: &[u8]) -> Vec<u8> {
    [&account.to_be_bytes()[..], which].concat()
}

#[test]
fn a_range_goes_over_many_accounts_in_order() {
    for mut bench in Bench::all() {
        let accounts: Vec<u32> = (1..=400).collect();
        let rows = |value: &'static [u8]| {
            // In no order: 7 has no factor in common with 400.
            let mixed = (0..400).map(|n| accounts[n * 7 % 400]);
            mixed.flat_map(move |n| [&b"u"[..], b"m\0\0\0\x01", b"f"].map(|which| put(&row(n, which), value))).collect()
        };
        submit(&*bench.engine, rows(b"old")).unwrap();
        submit(&*bench.engine, rows(b"new")).unwrap();
        let all: Vec<Vec<u8>> =
            accounts.iter().flat_map(|n| [&b"f"[..], b"m\0\0\0\x01", b"u"].map(|which| row(*n, which))).collect();
        for _ in 0..2 {
            let engine = &*bench.engine;
            assert_eq!(keys(engine, b"", &[255; 16]), all);
            assert_eq!(keys(engine, &row(17, b""), &row(19, b"")), all[16 * 3..18 * 3]);
            let mut back = Vec::new();
            let visit = &mut |key: &[u8], value: &[u8]| {
                assert_eq!(value, b"new");
                back.push(key.to_vec());
                true
            };
            engine.snapshot().range_back(Keyspace::Mailbox, &row(1, b"m"), &row(400, b"g"), visit).unwrap();
            back.reverse();
            assert_eq!(back, all[1..all.len() - 2]);
            bench = bench.reopen();
        }
    }
}

#[test]
fn many_versions_of_a_row_are_told_apart() {
    for bench in Bench::all() {
        let engine = &*bench.engine;
        let get = |which: &[u8]| engine.snapshot().get(Keyspace::Mailbox, &row(1, which)).unwrap();
        let mut early = None;
        for n in 0..1000_u32 {
            let mut writes = vec![put(&row(1, b"m\0\0\0\x01"), &n.to_be_bytes())];
            if n % 100 == 0 {
                writes.push(put(&row(1, b"f"), &n.to_be_bytes()));
                writes.push(put(&row(1, b"m\0\0\0\x02"), &n.to_be_bytes()));
            }
            submit(engine, writes).unwrap();
            if n == 200 {
                early = Some(engine.snapshot());
            }
        }
        assert_eq!(get(b"m\0\0\0\x01").unwrap(), 999_u32.to_be_bytes());
        assert_eq!(get(b"m\0\0\0\x02").unwrap(), 900_u32.to_be_bytes());
        assert_eq!(get(b"f").unwrap(), 900_u32.to_be_bytes());
        assert_eq!(get(b"u"), None);
        for which in [&b"m\0\0\0\x01"[..], b"m\0\0\0\x02", b"f"] {
            let value = early.as_ref().unwrap().get(Keyspace::Mailbox, &row(1, which)).unwrap();
            assert_eq!(value.unwrap(), 200_u32.to_be_bytes());
        }
    }
}

#[test]
fn what_is_not_in_memory_is_not_waited_for() {
    let bench = Bench::rocks();
    submit(&*bench.engine, vec![put(&row(1, b"f"), b"v")]).unwrap();
    let key = row(1, b"f");
    let in_memory = |bench: &Bench| bench.engine.snapshot_in_memory().get(Keyspace::Mailbox, &key);
    assert_eq!(in_memory(&bench), Ok(Some(b"v".to_vec())));
    let bench = bench.reopen();
    assert_eq!(in_memory(&bench), Err(Error::Unavailable));
    assert_eq!(bench.engine.snapshot().get(Keyspace::Mailbox, &key), Ok(Some(b"v".to_vec())));
    assert_eq!(in_memory(&bench), Ok(Some(b"v".to_vec())));
    // Nor is what takes long to read, as a row that lists 10,000 folders.
    for (octets, is_read) in [(16 << 10, true), ((16 << 10) + 1, false)] {
        let long = vec![b'x'; octets];
        submit(&*bench.engine, vec![put(&key, &long)]).unwrap();
        assert_eq!(in_memory(&bench), if is_read { Ok(Some(long)) } else { Err(Error::Unavailable) });
    }
}

#[tokio::test]
async fn a_glance_reads_what_is_on_the_disk_as_well() {
    for bench in Bench::all() {
        let store = bench.store().await;
        accounts(&store, [1]).await;
        deliver(&store, b"a", &[(account(1), MailboxId::INBOX)]).await.unwrap();
        drop(store);
        let bench = bench.reopen();
        let store = bench.store().await;
        let look =
            |number| store.glance(move |reader| Ok(reader.mailbox(account(number), MailboxId::INBOX)?.counts.messages));
        assert_eq!(look(1).await, Ok(1));
        assert_eq!(look(2).await, Err(Error::NotFound));
    }
}

#[test]
fn a_snapshot_does_not_see_later_commits() {
    for bench in Bench::all() {
        let engine = &*bench.engine;
        submit(engine, vec![put(b"k", b"old")]).unwrap();
        let snapshot = engine.snapshot();
        submit(engine, vec![put(b"k", b"new"), put(b"l", b"x")]).unwrap();
        assert_eq!(snapshot.get(Keyspace::Mailbox, b"k").unwrap().unwrap(), b"old");
        assert_eq!(snapshot.get(Keyspace::Mailbox, b"l").unwrap(), None);
        assert_eq!(engine.snapshot().get(Keyspace::Mailbox, b"k").unwrap().unwrap(), b"new");
        assert_eq!(engine.snapshot().get(Keyspace::Entry, b"k").unwrap(), None);
    }
}

#[test]
fn an_aborted_transaction_writes_nothing() {
    for bench in Bench::all() {
        let decide = Box::new(|_: &[Option<Vec<u8>>]| Err(Error::Conflict));
        let writes = vec![put(b"k", b"v")];
        let transaction = Transaction { reads: vec![], writes, decide, durability: Durability::Synced };
        assert_eq!(bench.engine.submit(transaction).blocking_recv().unwrap(), Err(Error::Conflict));
        assert_eq!(bench.engine.snapshot().get(Keyspace::Mailbox, b"k").unwrap(), None);
    }
}

#[test]
fn concurrent_increments_are_all_counted() {
    for bench in Bench::all() {
        let add = || {
            let key = (Keyspace::Mailbox, b"n".to_vec());
            let decide = Box::new(|values: &[Option<Vec<u8>>]| {
                let n = values[0].as_ref().map_or(0, |v| u32::from_be_bytes(v[..].try_into().unwrap()));
                Ok(vec![put(b"n", &(n + 1).to_be_bytes())])
            });
            let transaction =
                Transaction { reads: vec![key], writes: vec![], decide, durability: Durability::Buffered };
            bench.engine.submit(transaction)
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let answers: Vec<_> = (0..250).map(|_| add()).collect();
                    answers.into_iter().for_each(|a| a.blocking_recv().unwrap().unwrap());
                });
            }
        });
        let value = bench.engine.snapshot().get(Keyspace::Mailbox, b"n").unwrap().unwrap();
        assert_eq!(value, 1000u32.to_be_bytes());
    }
}

#[test]
fn a_closed_engine_has_kept_everything_and_takes_nothing() {
    let bench = Bench::rocks();
    submit(&*bench.engine, vec![put(b"k", b"v")]).unwrap();
    bench.engine.close();
    let decide = Box::new(|_: &[Option<Vec<u8>>]| Ok(vec![]));
    let late = Transaction { reads: vec![], writes: vec![], decide, durability: Durability::Synced };
    assert!(bench.engine.submit(late).blocking_recv().is_err());
    let bench = bench.reopen();
    assert_eq!(bench.engine.snapshot().get(Keyspace::Mailbox, b"k").unwrap().unwrap(), b"v");
}

const ALICE: u32 = 7;

fn alice() -> AccountId {
    AccountId::new(ALICE).unwrap()
}

fn uids(numbers: &[u32]) -> UidSet {
    numbers.iter().filter_map(|n| Uid::new(*n)).collect()
}

fn everything() -> UidSet {
    let mut all = UidSet::new();
    all.insert_range(Uid::MIN, Uid::MAX);
    all
}

async fn deliver(store: &Store, content: &[u8], targets: &[(AccountId, MailboxId)]) -> Result<Vec<Placed>, Error> {
    let mut staging = store.stage();
    staging.push(content).await?;
    let targets = targets.iter().map(|(account, mailbox)| Target::new(*account, *mailbox, Flags::default())).collect();
    let form = Form { prefix: b"Received: x\r\n".to_vec(), omitted: None, summary: b"summary".to_vec() };
    let header = (content.len() / 7) as u64;
    let delivery = Delivery::new(staging.finish(), header, form, Fixed.now(), targets);
    Ok(store.deliver(delivery).await?.placed)
}

async fn content(store: &Store, account: AccountId, mailbox: MailboxId, uid: Uid) -> Vec<u8> {
    let read = store.read(move |reader| {
        let mut found = None;
        reader.entries(account, mailbox, &[uid].into_iter().collect(), &mut |entry| {
            found = Some(entry);
            true
        })?;
        let message = reader.message(found.ok_or(Error::NotFound)?.blob)?;
        let mut out = message.prefix.clone();
        reader.rest(message.rest(), 0, u64::MAX, &mut out)?;
        Ok(out)
    });
    read.await.unwrap()
}

/// A delivery of `content` with a trace, to be changed before it is made.
async fn traced(store: &Store, content: &[u8], targets: Vec<Target>) -> Delivery {
    let mut staging = store.stage();
    staging.push(content).await.unwrap();
    let trace = TraceWrite { record: b"accepted".to_vec(), ..TraceWrite::default() };
    Delivery {
        when_full: WhenFull::Queue,
        trace: Some(trace),
        ..Delivery::new(staging.finish(), 0, form(""), store_now(), targets)
    }
}

fn store_now() -> Timestamp {
    Fixed.now()
}

fn form(prefix: &str) -> Form {
    Form { prefix: prefix.as_bytes().to_vec(), omitted: None, summary: b"summary".to_vec() }
}

fn account(number: u32) -> AccountId {
    AccountId::new(number).unwrap()
}

fn inbox(number: u32) -> Target {
    Target::new(account(number), MailboxId::INBOX, Flags::default())
}

async fn accounts(store: &Store, numbers: impl IntoIterator<Item = u32>) {
    for number in numbers {
        store.create_account_folders(account(number)).await.unwrap();
    }
}

/// The messages in an account's INBOX, as their reader sees them.
async fn messages(store: &Store, number: u32) -> Vec<String> {
    let id = account(number);
    let read = store.read(move |reader| {
        let mut entries = Vec::new();
        reader.entries(id, MailboxId::INBOX, &everything(), &mut |entry| {
            entries.push(entry);
            true
        })?;
        let text = |entry: Entry| {
            let message = reader.message(entry.blob)?;
            assert_eq!(entry.size, message.size());
            let mut octets = message.prefix.clone();
            reader.rest(message.rest(), 0, u64::MAX, &mut octets)?;
            Ok(String::from_utf8(octets).unwrap())
        };
        entries.into_iter().map(text).collect()
    });
    read.await.unwrap()
}

async fn expunge_inbox(store: &Store, number: u32) {
    let delete = FlagUpdate { change: FlagChange::Add, flags: deleted() };
    store.update_flags(account(number), MailboxId::INBOX, everything(), delete).await.unwrap();
    store.expunge(account(number), MailboxId::INBOX, everything()).await.unwrap();
}

fn clean(store: &Store) {
    assert_eq!(store.check().unwrap().findings, []);
}

#[tokio::test]
async fn one_message_in_many_mailboxes_is_stored_once() {
    for bench in Bench::all() {
        let store = bench.store().await;
        let accounts: Vec<_> = (1..=50).filter_map(AccountId::new).collect();
        for account in &accounts {
            store.create_account_folders(*account).await.unwrap();
        }
        // Larger than two chunks, with octets that show a chunk out of place.
        let body: Vec<u8> = (0..600_000u32).map(|n| (n / 251) as u8).collect();
        let targets: Vec<_> = accounts.iter().map(|a| (*a, MailboxId::INBOX)).collect();
        let placed = deliver(&store, &body, &targets).await.unwrap();
        assert_eq!(placed.len(), 50);
        for p in &placed {
            let whole = content(&store, p.account, p.mailbox, p.uid).await;
            assert!(whole.strip_prefix(b"Received: x\r\n").unwrap() == body);
        }
        let report = store.check().unwrap();
        assert_eq!((report.messages, report.entries, report.findings), (1, 50, vec![]));
    }
}

#[tokio::test]
async fn ranges_of_content_are_cut_at_chunks_and_at_the_end() {
    for bench in Bench::all() {
        let store = bench.store().await;
        store.create_account_folders(alice()).await.unwrap();
        let body: Vec<u8> = (0..600_000u32).map(|n| (n / 251) as u8).collect();
        deliver(&store, &body, &[(alice(), MailboxId::INBOX)]).await.unwrap();
        for (from, to) in
            [(0, 10), (262_140, 262_150), (262_144, 524_288), (599_990, 700_000), (700_000, 800_000), (5, 5)]
        {
            let read = store.read(move |reader| {
                let mut blob = None;
                reader.entries(alice(), MailboxId::INBOX, &uids(&[1]), &mut |e| {
                    blob = Some(e.blob);
                    true
                })?;
                let mut out = Vec::new();
                reader.rest(reader.message(blob.ok_or(Error::NotFound)?)?.rest(), from, to, &mut out)?;
                Ok(out)
            });
            let range = (from as usize).min(body.len())..(to as usize).min(body.len());
            assert!(read.await.unwrap() == body[range], "{from}..{to}");
        }
    }
}

#[tokio::test]
async fn a_delivery_to_a_missing_mailbox_leaves_nothing() {
    for bench in Bench::all() {
        let store = bench.store().await;
        store.create_account_folders(alice()).await.unwrap();
        let missing = MailboxId::new(99).unwrap();
        let body = vec![b'x'; 600_000];
        let result = deliver(&store, &body, &[(alice(), MailboxId::INBOX), (alice(), missing)]).await;
        assert_eq!(result, Err(Error::NotFound));
        // The writes that take the staged content back were submitted before this one.
        store.claim_recent(alice(), MailboxId::INBOX).await.unwrap();
        let report = store.check().unwrap();
        assert_eq!((report.messages, report.entries, report.findings), (0, 0, vec![]));
    }
}

#[tokio::test]
async fn abandoned_content_is_gone_after_a_restart() {
    for bench in Bench::all() {
        let store = bench.store().await;
        let mut staging = store.stage();
        staging.push(&vec![b'x'; 600_000]).await.unwrap();
        // A crash: nothing of the staging runs any more.
        std::mem::forget(staging);
        assert_eq!(chunks(&bench), 2);
        let store = bench.store().await;
        assert_eq!(chunks(&bench), 0);
        clean(&store);
    }
}

fn chunks(bench: &Bench) -> usize {
    let mut chunks = 0;
    let count = &mut |_: &[u8], _: &[u8]| {
        chunks += 1;
        true
    };
    bench.engine.snapshot().range(Keyspace::Blob, &[], &[255; 20], count).unwrap();
    chunks
}

#[tokio::test]
async fn content_is_swept_when_nothing_refers_to_it() {
    for bench in Bench::all() {
        let store = bench.store().await;
        store.create_account_folders(alice()).await.unwrap();
        let archive = store
            .read(|r| Ok(r.folders(alice())?.find(&MailboxName::parse("Archive").unwrap()).unwrap().id))
            .await
            .unwrap();
        deliver(&store, &vec![b'x'; 300_000], &[(alice(), MailboxId::INBOX)]).await.unwrap();
        store.copy(alice(), MailboxId::INBOX, uids(&[1]), archive, None).await.unwrap();
        let delete = FlagUpdate { change: FlagChange::Add, flags: deleted() };
        store.update_flags(alice(), MailboxId::INBOX, everything(), delete.clone()).await.unwrap();
        assert_eq!(store.expunge(alice(), MailboxId::INBOX, everything()).await.unwrap(), uids(&[1]));
        clean(&store);
        assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 0, "the copy still refers to it");
        store.update_flags(alice(), archive, everything(), delete).await.unwrap();
        store.expunge(alice(), archive, everything()).await.unwrap();
        clean(&store);
        // The clock stands still, and garbage of this very moment is left alone.
        assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 0);
        let report = store.check().unwrap();
        assert_eq!((report.messages, report.entries), (1, 0));
    }
}

fn deleted() -> Flags {
    Flags { system: SystemFlags::default().with(SystemFlag::Deleted), keywords: vec![] }
}

#[tokio::test]
async fn uid_validity_of_a_name_used_again_is_another() {
    for bench in Bench::all() {
        let store = bench.store().await;
        store.create_account_folders(alice()).await.unwrap();
        let name = MailboxName::parse("a/b/c").unwrap();
        let first = store.create_folder(alice(), name.clone(), None).await.unwrap();
        assert_eq!(store.create_folder(alice(), name.clone(), None).await, Err(Error::Exists));
        store.delete_folder(alice(), name.clone()).await.unwrap();
        let second = store.create_folder(alice(), name, None).await.unwrap();
        assert!(second.uid_validity > first.uid_validity && second.id != first.id);
        let superior = MailboxName::parse("a/b").unwrap();
        assert!(store.read(move |r| Ok(r.folders(alice())?.find(&superior).is_some())).await.unwrap());
    }
}

#[tokio::test]
async fn renaming_takes_inferiors_along_and_empties_inbox() {
    for bench in Bench::all() {
        let store = bench.store().await;
        store.create_account_folders(alice()).await.unwrap();
        let name = |s: &str| MailboxName::parse(s).unwrap();
        store.create_folder(alice(), name("a/b"), None).await.unwrap();
        store.create_folder(alice(), name("ab"), None).await.unwrap();
        store.rename_folder(alice(), name("a"), name("x/y")).await.unwrap();
        let list = store.read(|r| r.folders(alice())).await.unwrap();
        for (wanted, there) in [("x", true), ("x/y", true), ("x/y/b", true), ("ab", true), ("a", false), ("a/b", false)]
        {
            assert_eq!(list.find(&name(wanted)).is_some(), there, "{wanted}");
        }
        assert_eq!(store.rename_folder(alice(), name("x"), name("x/z")).await, Err(Error::Conflict));
        assert_eq!(store.rename_folder(alice(), name("x"), name("ab")).await, Err(Error::Exists));
        assert_eq!(store.rename_folder(alice(), name("none"), name("n")).await, Err(Error::NotFound));
        deliver(&store, b"one", &[(alice(), MailboxId::INBOX)]).await.unwrap();
        store.rename_folder(alice(), name("INBOX"), name("old")).await.unwrap();
        let old = store.read(move |r| Ok(r.folders(alice())?.find(&name("old")).unwrap().id)).await.unwrap();
        let counts = store.read(move |r| Ok((r.mailbox(alice(), MailboxId::INBOX)?, r.mailbox(alice(), old)?))).await;
        let (inbox, old) = counts.unwrap();
        assert_eq!((inbox.counts.messages, old.counts.messages), (0, 1));
        assert_eq!(inbox.uid_next.number(), 2, "UIDs of INBOX go on");
        clean(&store);
    }
}

#[tokio::test]
async fn a_removed_account_leaves_nothing() {
    for bench in Bench::all() {
        let store = bench.store().await;
        store.create_account_folders(alice()).await.unwrap();
        for _ in 0..3 {
            deliver(&store, b"content", &[(alice(), MailboxId::INBOX)]).await.unwrap();
        }
        store.purge_account(alice()).await.unwrap();
        store.purge_account(alice()).await.unwrap();
        let report = store.check().unwrap();
        assert_eq!((report.accounts, report.mailboxes, report.entries, report.findings), (0, 0, 0, vec![]));
        let mut left = 0;
        let count = &mut |_: &[u8], _: &[u8]| {
            left += 1;
            true
        };
        bench.engine.snapshot().range(Keyspace::Mailbox, &[], &[255; 16], count).unwrap();
        assert_eq!(left, 0);
    }
}

#[tokio::test]
async fn the_directory_changes_only_from_the_version_it_has() {
    use posthouse::store::DirectoryWrite;
    for bench in Bench::all() {
        let store = bench.store().await;
        let write = |value: &[u8]| vec![DirectoryWrite { kind: 1, id: 1, value: Some(value.to_vec()) }];
        let audit = AuditEntry { organisation: OrganisationId::new(1).unwrap(), record: b"{}".to_vec() };
        assert_eq!(store.load_directory().unwrap(), (0, vec![]));
        store.change_directory(0, write(b"one"), vec![audit]).await.unwrap();
        assert_eq!(store.change_directory(0, write(b"two"), vec![]).await, Err(Error::Conflict));
        assert_eq!(store.load_directory().unwrap(), (1, vec![(1, 1, b"one".to_vec())]));
    }
}

#[tokio::test]
async fn a_watch_misses_nothing_between_two_waits() {
    let store = Bench::all().remove(0).store().await;
    store.create_account_folders(alice()).await.unwrap();
    let mut watch = store.watch(alice(), MailboxId::INBOX);
    deliver(&store, b"x", &[(alice(), MailboxId::INBOX)]).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), watch.changed()).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(20), watch.changed()).await.is_err(), "no news twice");
    deliver(&store, b"y", &[(alice(), MailboxId::INBOX)]).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), watch.changed()).await.unwrap();
}

#[tokio::test]
async fn failed_writes_leave_no_half_state() {
    let memory = Arc::new(Memory::default());
    let faulty = Arc::new(Faulty::new(memory));
    let store = Store::open(faulty.clone(), Arc::new(Fixed), [0; 3]).await.unwrap();
    store.create_account_folders(alice()).await.unwrap();
    // Content of four commits: three chunks on their way and the delivery itself.
    for allowance in 0..4 {
        faulty.fail_after(allowance);
        let result = deliver(&store, &vec![b'x'; 800_000], &[(alice(), MailboxId::INBOX)]).await;
        assert_eq!(result, Err(Error::Unavailable), "after {allowance} commits");
        faulty.heal();
        let mailbox = store.read(|r| r.mailbox(alice(), MailboxId::INBOX)).await.unwrap();
        assert_eq!(mailbox.counts.messages, 0);
        // A restart finds what was left.
        let store = Store::open(faulty.clone(), Arc::new(Fixed), [0; 3]).await.unwrap();
        clean(&store);
    }
    faulty.fail_after(4);
    assert!(deliver(&store, &vec![b'x'; 800_000], &[(alice(), MailboxId::INBOX)]).await.is_ok());
}
