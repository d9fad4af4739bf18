//! The hot functions: reading DATA, following a message, parsing commands, committing a delivery.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use posthouse::mail::{AccountId, Clock, Flags, MailboxId, Timestamp};
use posthouse::proto::imap::{Framer, Limits};
use posthouse::proto::message::{Scanner, Summary};
use posthouse::proto::smtp::{Command, DataDecoder, Syntax};
use posthouse::store::engine::{Engine, memory::Memory};
use posthouse::store::{Delivery, Store, Target};

/// A message of about `size` octets, as a client would send it.
fn message(size: usize) -> Vec<u8> {
    let mut message = b"Received: from a.test by b.test; Sun, 22 Nov 2026 04:19:24 +0000\r\n\
        From: Alice <alice@example.test>\r\nTo: Bob <bob@example.test>, \"C, D\" <cd@example.test>\r\n\
        Subject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?= from the bench\r\nDate: Sun, 22 Nov 2026 04:19:24 +0000\r\n\
        Message-ID: <1@example.test>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b1\r\n\r\n\
        --b1\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhello\r\n--b1\r\n\
        Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        .to_vec();
    while message.len() < size {
        message.extend_from_slice(b"TG9yZW0gaXBzdW0gZG9sb3Igc2l0IGFtZXQsIGNvbnNlY3RldHVyIGFkaXBpc2NpbmcgZWxpdA==\r\n");
    }
    message.extend_from_slice(b"--b1--\r\n");
    message
}

fn smtp(c: &mut Criterion) {
    let mut group = c.benchmark_group("smtp");
    for line in ["MAIL FROM:<alice@example.test> SIZE=2048 BODY=8BITMIME", "RCPT TO:<bob@example.test>"] {
        group.bench_function(line.get(..4).unwrap_or_default(), |b| {
            b.iter(|| Command::parse(black_box(line.as_bytes()), Syntax::Strict).is_ok());
        });
    }
    for size in [2 << 10, 1 << 20] {
        let mut stream = message(size);
        stream.extend_from_slice(b".\r\n");
        group.throughput(Throughput::Bytes(stream.len() as u64));
        group.bench_function(format!("data/{size}"), |b| {
            let mut out = Vec::with_capacity(stream.len());
            b.iter(|| {
                out.clear();
                DataDecoder::new().decode(black_box(&stream), &mut out).complete
            });
        });
    }
    group.finish();
}

fn scan(c: &mut Criterion) {
    let mut group = c.benchmark_group("message");
    for size in [2 << 10, 1 << 20] {
        let message = message(size);
        group.throughput(Throughput::Bytes(message.len() as u64));
        group.bench_function(format!("scan/{size}"), |b| {
            b.iter(|| {
                let mut scanner = Scanner::new();
                scanner.push(black_box(&message));
                scanner.finish(b"").encode()
            });
        });
    }
    let mut scanner = Scanner::new();
    scanner.push(&message(2 << 10));
    let encoded = scanner.finish(b"").encode();
    group.bench_function("decode", |b| b.iter(|| Summary::decode(black_box(&encoded))));
    group.finish();
}

fn imap(c: &mut Criterion) {
    let fetch = b"a1 UID FETCH 1:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (FROM TO SUBJECT DATE)] RFC822.SIZE)\r\n";
    c.bench_function("imap/command", |b| b.iter(|| Framer::new(Limits::AUTHENTICATED).command(black_box(fetch)).0));
}

#[derive(Debug)]
struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000)
    }
}

/// What a delivery costs beside the disk: the memory engine takes the commit.
fn deliver(c: &mut Criterion) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    let engine: Arc<dyn Engine> = Arc::new(Memory::default());
    let accounts: Vec<AccountId> = (1..=100).filter_map(AccountId::new).collect();
    let store = runtime.block_on(async {
        let store = Store::open(engine, Arc::new(Fixed), [0; 3]).await.ok()?;
        for account in &accounts {
            store.create_account_folders(*account).await.ok()?;
        }
        Some(store)
    });
    let Some(store) = store else { return };
    let content = message(2 << 10);
    let mut group = c.benchmark_group("deliver");
    for targets in [1, 100] {
        group.bench_function(format!("{targets}"), |b| {
            b.iter_batched(
                || accounts.iter().take(targets).map(|account| target(*account)).collect::<Vec<_>>(),
                |targets| {
                    runtime.block_on(async {
                        let mut staging = store.stage();
                        staging.push(&content).await?;
                        let content = staging.finish();
                        let (prefix, summary) = (vec![b'r'; 200], vec![b's'; 500]);
                        let delivery =
                            Delivery { content, prefix, summary, header: 300, internal_date: Fixed.now(), targets };
                        store.deliver(delivery).await
                    })
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn target(account: AccountId) -> Target {
    Target { account, mailbox: MailboxId::INBOX, flags: Flags::default() }
}

fn config() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3)).sample_size(30)
}

criterion_group! { name = benches; config = config(); targets = smtp, scan, imap, deliver }
criterion_main!(benches);
