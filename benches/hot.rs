//! The hot functions: reading DATA, following a message, parsing commands, committing a delivery, and the directory at
//! 100,000 accounts and 5,000 groups: reading it, changing it, asking it.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group};
use posthouse::directory::{
    Account, Change, Directory, DomainRecord, Edge, ExternalForward, Group, Mode, Nested, Organisation, change, record,
};
use posthouse::mail::{
    AccountId, Address, Clock, Domain, DomainId, Flags, GroupId, MailboxId, OrganisationId, ReversePath, Timestamp,
};
use posthouse::policy::sender::Sender;
use posthouse::proto::imap::{Framer, Limits};
use posthouse::proto::message::inspect::Inspection;
use posthouse::proto::message::{Scanner, Summary};
use posthouse::proto::smtp::{Command, DataDecoder, Syntax};
use posthouse::routing::{self, Addressed, Resolution, rules};
use posthouse::server::admin::spec::directory_from_toml;
use posthouse::store::engine::{Engine, memory::Memory};
use posthouse::store::{Delivery, Form, Store, Target};

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
                        let form = Form { prefix: vec![b'r'; 200], omitted: None, summary: vec![b's'; 500] };
                        store.deliver(Delivery::new(content, 300, form, Fixed.now(), targets)).await
                    })
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn target(account: AccountId) -> Target {
    Target::new(account, MailboxId::INBOX, Flags::default())
}

const ACCOUNTS: u32 = 100_000;
const GROUPS: u32 = 5_000;

/// The records of one organisation. Groups 1 to 10 hold each other in a chain, with 1,000 members each; groups 11 to 20
/// likewise with 10,000 each, so that the first stands for everybody; the others hold 20 accounts. Those who may send to
/// groups 1 to 10 are their members, for which all of them have to be looked at; anybody may send to the others.
fn organisation() -> Option<Vec<(u8, u32, Vec<u8>)>> {
    let now = Timestamp::from_millis(0);
    let id = OrganisationId::new(1)?;
    let external_forward = ExternalForward::default();
    let organisation = Organisation {
        id,
        name: "acme".to_owned(),
        external_forward,
        hold_limit: None,
        record_monitor_reads: true,
        dmarc: posthouse::directory::DmarcHandling::None,
        trusted_sealers: Vec::new(),
        language: posthouse::mail::Language::default(),
        created: now,
    };
    let domain = DomainRecord {
        id: DomainId::new(1)?,
        name: Domain::parse("corp.test").ok()?,
        organisation: id,
        alias_of: None,
        catch_all: None,
        blocked: Vec::new(),
        allowed: Vec::new(),
        created: now,
    };
    let next = ["organisation", "domain", "department", "alias", "rule", "relay"].map(|kind| (kind, 2));
    let counters: std::collections::BTreeMap<&str, u32> =
        next.into_iter().chain([("account", ACCOUNTS + 1), ("group", GROUPS + 1)]).collect();
    let mut records = vec![
        (record::COUNTERS, 0, record::encode(&counters)),
        (record::ORGANISATION, 1, record::encode(&organisation)),
        (record::DOMAIN, 1, record::encode(&domain)),
    ];
    for n in 1..=ACCOUNTS {
        let account = Account::new(AccountId::new(n)?, Address::parse(&format!("user{n}@corp.test")).ok()?, now);
        records.push((record::ACCOUNT, n, record::encode(&account)));
    }
    for n in 1..=GROUPS {
        let mut group = Group::new(GroupId::new(n)?, Address::parse(&format!("group{n}@corp.test")).ok()?, now);
        let size = if n <= 10 {
            1_000
        } else if n <= 20 {
            10_000
        } else {
            20
        };
        let first = if n <= 20 { (n - 1) % 10 * size } else { n * size };
        group.mode = if n <= 10 { Mode::Members } else { Mode::Anyone };
        group.members.accounts = (0..size).filter_map(|m| AccountId::new((first + m) % ACCOUNTS + 1)).collect();
        if n < 20 && n != 10 {
            group.members.groups = vec![Nested { group: GroupId::new(n + 1)?, edge: Edge::Inherit }];
        }
        records.push((record::GROUP, n, record::encode(&group)));
    }
    Some(records)
}

/// What a process that has done nothing else holds once it has read the directory, what it read it from included.
fn memory() {
    let before = resident();
    let Some(directory) = organisation().and_then(|records| Directory::from_records(1, records).ok()) else { return };
    let octets = resident().saturating_sub(before) / ACCOUNTS as usize;
    println!("directory/memory: at most {octets} octets for each account");
    drop(directory);
}

/// Octets of memory that are the process's own.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).map_or(0, |pages| pages * 4096)
}

fn directory(c: &mut Criterion) {
    let Some(records) = organisation() else { return };
    let Ok(directory) = Directory::from_records(1, records.clone()) else { return };
    if let Ok(program) = std::env::current_exe() {
        // Here memory that other benches gave back would be used again.
        let _ = std::process::Command::new(program).env(MEMORY, "1").status();
    }
    let mut group = c.benchmark_group("directory");
    group.sample_size(10);
    group.bench_function("from_records", |b| {
        b.iter_batched(|| records.clone(), |records| Directory::from_records(1, records), BatchSize::PerIteration);
    });
    for (name, change) in changes(&directory) {
        group.bench_function(format!("apply/{name}"), |b| b.iter(|| change::apply(black_box(&directory), &change)));
    }
    group.finish();
    route(c, &directory);
}

/// One change of each kind that copies most.
fn changes(directory: &Directory) -> Vec<(&'static str, Change)> {
    let now = Timestamp::from_millis(0);
    let known = AccountId::new(7).and_then(|id| directory.account(id)).map(|a| Change::PutAccount((**a).clone()));
    let address = Address::parse("new@corp.test").ok();
    let new = directory.new_account_id(0).zip(address).map(|(id, a)| Change::PutAccount(Account::new(id, a, now)));
    let group = GroupId::new(30).and_then(|id| directory.group(id)).map(|g| Change::PutGroup((**g).clone()));
    let all = [("account", known), ("new account", new), ("group", group)];
    all.into_iter().filter_map(|(name, change)| Some((name, change?))).collect()
}

fn route(c: &mut Criterion, directory: &Directory) {
    let group = |n| GroupId::new(n).and_then(|id| directory.group(id));
    let (Some(nested), Some(everybody)) = (group(1), group(11)) else { return };
    let Some(last) = AccountId::new(10_000).and_then(|id| directory.account(id)) else { return };
    let sender = Sender::authenticated(directory, last.id, ReversePath::Address(last.address.clone()));
    let mut group = c.benchmark_group("routing");
    group.bench_function("admit/10 levels, 10000 members", |b| {
        b.iter(|| routing::admit(black_box(directory), &sender, nested));
    });
    group.bench_function("admit/100000 members", |b| {
        b.iter(|| routing::admit(black_box(directory), &sender, everybody));
    });
    group.bench_function("expand/100000", |b| {
        b.iter(|| routing::expand(black_box(directory), &sender, &[Addressed::Group(everybody.id)]));
    });
    group.finish();
}

/// A message of 2 KB against as many rules as an organisation may have, none of which it matches: eight kinds in turn, as in
/// `benches/rules`.
fn mail_rules(c: &mut Criterion) {
    let domain = "[[organisation]]\nname = \"acme\"\n[[domain]]\nname = \"corp.test\"\n[[account]]\naddress = \"bob@corp.test\"\n\
        [[account]]\naddress = \"erin@corp.test\"\n[[department]]\npath = \"/Watched\"\n";
    let rule = |n: usize| {
        let copy = "actions = [{ copy = { monitor = \"erin@corp.test\", folder = \"Watched\" } }]";
        let says = match n % 8 {
            0 => format!(
                "conditions = [{{ keyword = {{ places = [\"subject\", \"body\"], values = [\"xylograph{n}\"] }} }}]\n{copy}"
            ),
            1 => format!(
                "conditions = [{{ keyword = {{ places = [\"body\", \"attachment-name\"], values = [\"draft {n}\"] }} }}]\n{copy}"
            ),
            2 => format!("scope = [\"department:/Watched\"]\npeer = \"external\"\n{copy}"),
            3 => {
                format!("conditions = [{{ sender = [\"*@bad{n}.test\", \"*@*.bad{n}.test\"] }}]\nactions = [\"junk\"]")
            }
            4 => format!("conditions = [{{ attachment-name = [\"*.ex{n}\", \"*.scr\"] }}]\nactions = [\"quarantine\"]"),
            5 => format!(
                "conditions = [{{ header = {{ name = \"X-Campaign-{n}\", contains = [\"offer\"] }} }}]\nactions = [\"junk\"]"
            ),
            6 => "conditions = [{ size = { min = \"60 MiB\" } }]\nactions = [{ reject = {} }]".to_owned(),
            _ => format!(
                "scope = [\"erin@corp.test\"]\nconditions = [{{ keyword = {{ places = [\"subject\"], values = [\"leaving {n}\"] }} }}]\n{copy}"
            ),
        };
        format!("[[rule]]\nname = \"rule {n}\"\npriority = {n}\n{says}\n")
    };
    let content = message(2 << 10);
    let header = content.get(..memchr::memmem::find(&content, b"\r\n\r\n").map_or(0, |at| at + 4)).unwrap_or_default();
    let mut group = c.benchmark_group("rules");
    for count in [0, 200] {
        let file: String = std::iter::once(domain.to_owned()).chain((0..count).map(rule)).collect();
        let Ok(directory) = directory_from_toml(&file) else {
            panic!("the file is not valid: {:?}", directory_from_toml(&file).err())
        };
        let Ok(bob) = Address::parse("bob@corp.test") else { return };
        let Ok(from) = Address::parse("alice@example.test") else { return };
        let sender = Sender::unauthenticated(&directory, None, ReversePath::Address(from.clone()), false);
        let Resolution::Local(addressed) = routing::look_up(&directory, &bob) else { return };
        let deliveries = routing::expand(&directory, &sender, std::slice::from_ref(&addressed)).deliveries;
        group.bench_function(format!("{count}"), |b| {
            b.iter(|| {
                let message = rules::Message {
                    sender: &sender,
                    header_from: std::slice::from_ref(&from),
                    addressed: std::slice::from_ref(&addressed),
                    forward_paths: std::slice::from_ref(&bob),
                    awaits_moderators: false,
                    size: content.len() as u64,
                    header,
                    now: Timestamp::from_millis(0),
                    stage: rules::Stage::Arriving,
                };
                let candidates = rules::Candidates::of(&directory, &message, &deliveries);
                let needed = candidates.need_content();
                let inspection = needed.then(|| Inspection::of(black_box(&content[..]), false, Inspection::LIMIT));
                rules::evaluate(&directory, &message, &deliveries, &candidates, inspection.as_ref()).matched.len()
            });
        });
    }
    group.finish();
}

fn config() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3)).sample_size(30)
}

criterion_group! { name = benches; config = config(); targets = smtp, scan, imap, deliver, mail_rules, directory }

fn main() {
    if std::env::var_os(MEMORY).is_some() {
        return memory();
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}

/// Set for the process that measures its memory.
const MEMORY: &str = "POSTHOUSE_BENCH_MEMORY";
