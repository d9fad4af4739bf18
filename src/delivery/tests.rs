//! What follows an accepted message is as durable as the message: every commit of acceptance, decision and follow-up
//! fails once, and after a restart each notice is there exactly once. Time passes by a clock of the tests' own.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::{follow_ups, rounds};
use crate::accept::release::{self, Verdict};
use crate::accept::{Desk, Hooked, Incoming, Letter, Origin, Recipient, Refused, Wishes, accept};
use crate::directory::Directory;
use crate::mail::srs::SrsKey;
use crate::mail::{
    AccountId, Address, BlobId, Clock, Domain, HoldId, MailboxName, OrganisationId, ReversePath, Timestamp, Uid, UidSet,
};
use crate::policy::sender::{Evidence, Sender};
use crate::proto::authres::{AuthResults, SpfResult};
use crate::proto::message::header_from;
use crate::routing::{self, Resolution};
use crate::server::admin::Actor;
use crate::server::admin::audit::Record;
use crate::server::admin::ops::hold::decided;
use crate::server::admin::spec::directory_from_toml;
use crate::store::engine::faulty::Faulty;
use crate::store::engine::memory::Memory;
use crate::store::{AuditEntry, AuditOrder, Decision, Entry, Held, HoldKind, HoldState, QueueList, Store, TraceQuery};

const ACME: &str = include_str!("../../tests/fixtures/acme.toml");

/// A report for erin of what alice receives, and a vacation reply of alice's.
const WATCHED: &str = "[[rule]]\nname = \"watch\"\nscope = [\"alice@corp.test\"]\nactions = [{ copy = { monitor = \
                       \"erin@corp.test\", folder = \"m\", form = \"report\" } }]\n";
const AWAY: &str = "address = \"alice@corp.test\"\nvacation = { text = \"I am away.\" }\n";

fn directory(more: &str) -> Directory {
    let text = ACME.replacen("address = \"alice@corp.test\"\n", AWAY, 1);
    directory_from_toml(&format!("{text}\n{more}")).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

#[derive(Debug, Default)]
struct Moving(AtomicI64);

impl Clock for Moving {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + self.0.load(Ordering::Relaxed))
    }
}

/// A disk that can fail, and a clock.
struct Bench {
    faulty: Arc<Faulty>,
    clock: Arc<Moving>,
}

impl Bench {
    async fn new(directory: &Directory) -> Self {
        let bench = Self { faulty: Arc::new(Faulty::new(Arc::new(Memory::default()))), clock: Arc::default() };
        let desk = bench.start().await;
        for account in directory.accounts() {
            desk.store.create_account_folders(account.id).await.unwrap();
        }
        bench
    }

    /// A process over the disk as it is; whatever failed before works again.
    async fn start(&self) -> Desk {
        static STARTS: AtomicU8 = AtomicU8::new(0);
        self.faulty.heal();
        let drawn = [7, 7, STARTS.fetch_add(1, Ordering::Relaxed)];
        Desk {
            store: Store::open(self.faulty.clone(), self.clock.clone(), drawn).await.unwrap(),
            clock: self.clock.clone(),
            hostname: Domain::parse("mail.corp.test").unwrap(),
            srs: SrsKey::new([1; 32]),
            signers: crate::emailauth::Signers::default(),
            turns: crate::accept::Turns::default(),
        }
    }

    fn pass(&self, time: Duration) {
        self.clock.0.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

/// Somebody elsewhere for whom SPF passed.
fn pam(directory: &Directory) -> Sender {
    let path = ReversePath::Address(address("pam@partner.test"));
    let evidence = Evidence { spf_passed: true, dkim_aligned: false, from_aligned: true, is_temporary: false };
    Sender::unauthenticated(directory, None, path, true).with_evidence(evidence)
}

fn user(directory: &Directory, name: &str) -> Sender {
    let address = address(&format!("{name}@corp.test"));
    Sender::authenticated(directory, id(directory, name), ReversePath::Address(address))
}

fn id(directory: &Directory, name: &str) -> AccountId {
    directory.account_at(&address(&format!("{name}@corp.test"))).unwrap().id
}

/// A message with this text in its subject; gives its id with what became of it.
async fn send(
    desk: &Desk,
    directory: &Directory,
    sender: &Sender,
    to: &[&str],
    text: &str,
) -> (BlobId, Result<(), Refused>) {
    let mut incoming = Incoming::new(&desk.store);
    let from = sender.reverse_path.to_string();
    let fields = format!("From: {from}\r\nTo: {}\r\nSubject: {text}\r\n\r\nHello.\r\n", to.join(", "));
    incoming.push(fields.as_bytes()).await.unwrap();
    let header = incoming.header().to_vec();
    let recipient = |text: &&str| match routing::look_up(directory, &address(text)) {
        Resolution::Local(addressed) => {
            Recipient { address: (*text).to_owned(), addressed, notify: None, original: None, by_hook: false }
        }
        other => panic!("{text}: {other:?}"),
    };
    let recipients: Vec<Recipient> = to.iter().map(recipient).collect();
    let id = incoming.id();
    let letter = Letter {
        wishes: Wishes::default(),
        hooked: Hooked::default(),
        id,
        directory,
        sender,
        recipients: &recipients,
        from: &header_from(&header),
        header: &header,
        size: incoming.size(),
        prefix: b"Return-Path: <x>\r\n",
        auth: &AuthResults { spf: SpfResult::Pass, ..AuthResults::default() },
        now: desk.clock.now(),
        origin: &Origin::default(),
    };
    (id, accept(desk, &letter, incoming, &[], Vec::new()).await.map(drop))
}

/// The messages with `text` in a folder; none if there is no such folder.
async fn inside(desk: &Desk, account: AccountId, folder: &str, text: &str) -> Vec<String> {
    let name = MailboxName::parse(folder).unwrap();
    let read = desk.store.read(move |reader| {
        let mailbox = reader.folders(account)?.find(&name).map(|folder| folder.id);
        let mut entries: Vec<Entry> = Vec::new();
        let mut all = UidSet::new();
        all.insert_range(Uid::MIN, Uid::MAX);
        if let Some(mailbox) = mailbox {
            reader.entries(account, mailbox, &all, &mut |entry| {
                entries.push(entry);
                true
            })?;
        }
        entries.into_iter().map(|entry| reader.message(entry.blob).and_then(|m| whole(reader, &m))).collect()
    });
    let read: Vec<String> = read.await.unwrap();
    read.into_iter().filter(|message| message.contains(text)).collect()
}

fn whole(reader: &crate::store::Reader<'_>, message: &crate::store::Message) -> Result<String, crate::store::Error> {
    let mut octets = message.prefix.clone();
    reader.rest(message.rest(), 0, message.rest().size, &mut octets)?;
    Ok(String::from_utf8_lossy(&octets).into_owned())
}

/// The messages with `text` that wait for other hosts.
async fn outside(desk: &Desk, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for item in desk.store.queue(QueueList::All, None, 1000).await.unwrap().items {
        let blob = item.blob;
        let read = desk.store.read(move |reader| whole(reader, &reader.message(blob)?));
        found.push(read.await.unwrap());
    }
    found.into_iter().filter(|message| message.contains(text)).collect()
}

async fn waiting(desk: &Desk) -> usize {
    desk.store.follow_ups(None, 1000).await.unwrap().len()
}

fn clean(desk: &Desk) {
    assert_eq!(desk.store.check().unwrap().findings, []);
}

fn audit(directory: &Directory, held: &Held, decision: &Decision) -> AuditEntry {
    decided(directory, Actor::Server, held, decision)
}

async fn records(desk: &Desk) -> Vec<Record> {
    let organisation = OrganisationId::new(1).unwrap();
    let found = desk.store.audit(organisation, AuditOrder::OldestFirst(0), 100).await.unwrap();
    found.iter().map(|audited| Record::decode(&audited.record).unwrap()).collect()
}

async fn pending(desk: &Desk) -> Vec<Held> {
    let organisation = OrganisationId::new(1).unwrap();
    let mut all = Vec::new();
    for kind in HoldKind::ALL {
        all.extend(desk.store.held(organisation, kind, None, 100).await.unwrap());
    }
    all.retain(|held| held.state == HoldState::Pending);
    all
}

async fn decide(desk: &Desk, directory: &Directory, hold: HoldId, accepted: bool) -> Result<(), crate::store::Error> {
    let verdict = Verdict { accepted, by: "dave".to_owned(), text: "not now".to_owned() };
    let audit = |held: &Held, decision: &Decision| audit(directory, held, decision);
    release::decide(desk, directory, hold, verdict, audit).await.map(drop)
}

async fn events(desk: &Desk, message: BlobId) -> Vec<Value> {
    let query = TraceQuery {
        id: Some(message),
        sender: None,
        recipient: None,
        account: None,
        party: None,
        message_id: None,
        from: Timestamp::from_millis(0),
        to: Timestamp::from_millis(i64::MAX),
        after: None,
        limit: 10,
        deliveries: 100,
    };
    let found = desk.store.traces(query, |_| true).await.unwrap();
    found.iter().flat_map(|row| &row.events).map(|event| serde_json::from_slice(event).unwrap()).collect()
}

/// One message of which all kinds of notices follow: a report for erin, a notice for dave, a partial notice and a reply
/// for pam.
async fn send_all(desk: &Desk, directory: &Directory, text: &str) -> Result<(), Refused> {
    let to = ["alice@corp.test", "g-mod@corp.test", "g-out@corp.test"];
    send(desk, directory, &pam(directory), &to, text).await.1
}

/// How often there is each of those.
async fn notices(desk: &Desk, directory: &Directory, text: &str) -> [usize; 4] {
    let out = outside(desk, text).await;
    let dsns = out.iter().filter(|m| m.contains("report-type=delivery-status")).count();
    let replies = out.iter().filter(|m| m.contains("Auto-Submitted: auto-replied")).count();
    let asked = inside(desk, id(directory, "dave"), "INBOX", text).await;
    let reports = inside(desk, id(directory, "erin"), "m", text).await;
    assert_eq!(out.len(), dsns + replies);
    [reports.len(), asked.len(), dsns, replies]
}

#[tokio::test]
async fn what_follows_is_made_once_whichever_commit_is_the_last() {
    let directory = directory(WATCHED);
    let (mut left, mut allowance) = (Vec::new(), 0);
    loop {
        let bench = Bench::new(&directory).await;
        let desk = bench.start().await;
        bench.faulty.fail_after(allowance);
        let accepted = send_all(&desk, &directory, "all of it").await;
        let desk = bench.start().await;
        clean(&desk);
        let rows = waiting(&desk).await;
        let made: usize = notices(&desk, &directory, "all of it").await.iter().sum();
        let due = if accepted.is_ok() { 4 } else { 0 };
        assert_eq!(rows + made, due, "after {allowance} commits: {rows} wait, {made} are made");
        // The next process makes the rest, and nothing twice.
        follow_ups::work(&desk, &directory).await.unwrap();
        follow_ups::work(&desk, &directory).await.unwrap();
        assert_eq!(waiting(&desk).await, 0);
        let expected = if accepted.is_ok() { [1; 4] } else { [0; 4] };
        assert_eq!(notices(&desk, &directory, "all of it").await, expected, "after {allowance} commits");
        let alice = inside(&desk, id(&directory, "alice"), "INBOX", "all of it").await.len();
        assert_eq!(alice, usize::from(accepted.is_ok()));
        clean(&desk);
        left.push(rows);
        if accepted.is_ok() && rows == 0 {
            break;
        }
        allowance += 1;
    }
    left.dedup();
    assert_eq!(left, [0, 4, 3, 2, 1, 0], "every commit was the last one once");
}

#[tokio::test]
async fn u10_the_monitor_has_its_report_once_and_under_its_key() {
    let directory = directory(WATCHED);
    let bench = Bench::new(&directory).await;
    let desk = bench.start().await;
    // The folder, which is made before the report.
    desk.folder(id(&directory, "erin"), &MailboxName::parse("m").unwrap()).await.unwrap();
    bench.faulty.fail_after(1);
    let (message, accepted) = send(&desk, &directory, &user(&directory, "bob"), &["alice@corp.test"], "U10").await;
    assert_eq!(accepted, Ok(()));
    let erin = id(&directory, "erin");
    let monitor = crate::store::Origin::Monitor;
    assert_eq!(desk.store.delivery(erin, message, monitor).await, Ok(None));
    let rows = desk.store.follow_ups(None, 10).await.unwrap();
    let desk = bench.start().await;
    // Two at once.
    let again = bench.start().await;
    let (one, two) = tokio::join!(follow_ups::work(&desk, &directory), follow_ups::work(&again, &directory));
    assert_eq!((one, two), (Ok(()), Ok(())));
    assert!(desk.store.delivery(erin, message, monitor).await.unwrap().is_some());
    assert_eq!(inside(&desk, erin, "m", "U10").await.len(), 1);
    assert_eq!(inside(&desk, id(&directory, "alice"), "INBOX", "U10").await.len(), 1);
    for row in &rows {
        assert_eq!(crate::accept::follow_up(&desk, &directory, row).await, Ok(()), "nothing is done twice");
    }
    assert_eq!(inside(&desk, erin, "m", "U10").await.len(), 1);
    clean(&desk);
}

#[tokio::test]
async fn of_two_messages_that_wait_for_a_reply_one_is_answered() {
    let directory = directory("");
    let bench = Bench::new(&directory).await;
    for text in ["first", "second"] {
        let desk = bench.start().await;
        bench.faulty.fail_after(1);
        let sent = send(&desk, &directory, &pam(&directory), &["alice@corp.test"], text).await.1;
        assert_eq!(sent, Ok(()));
    }
    let (desk, again) = (bench.start().await, bench.start().await);
    assert_eq!(waiting(&desk).await, 2);
    let (one, two) = tokio::join!(follow_ups::work(&desk, &directory), follow_ups::work(&again, &directory));
    assert_eq!((one, two), (Ok(()), Ok(())));
    assert_eq!(waiting(&desk).await, 0);
    assert_eq!(outside(&desk, "Auto-Submitted: auto-replied").await.len(), 1);
    // R02, R03: not within the interval, and after it.
    for (days, replies) in [(0, 1), (2, 2)] {
        bench.pass(Duration::from_hours(24 * days));
        assert_eq!(send(&desk, &directory, &pam(&directory), &["alice@corp.test"], "later").await.1, Ok(()));
        assert_eq!(outside(&desk, "Auto-Submitted: auto-replied").await.len(), replies, "after {days} days");
    }
    clean(&desk);
}

/// The folders in which held messages are shown: made with the first of them, in commits of their own.
async fn shown_in(desk: &Desk, account: AccountId) {
    for folder in ["Approvals", "Approvals/Accept", "Approvals/Refuse"] {
        desk.folder(account, &MailboxName::parse(folder).unwrap()).await.unwrap();
    }
}

#[tokio::test]
async fn what_can_never_be_made_ends_and_the_trace_says_so() {
    let directory = directory("");
    let bench = Bench::new(&directory).await;
    let desk = bench.start().await;
    let dave = id(&directory, "dave");
    shown_in(&desk, dave).await;
    bench.faulty.fail_after(1);
    let (message, accepted) = send(&desk, &directory, &pam(&directory), &["g-mod@corp.test"], "asked").await;
    assert_eq!((accepted, waiting(&desk).await), (Ok(()), 1));
    // Dave's mail is gone, and he is still known: tried for five days.
    let desk = bench.start().await;
    desk.store.purge_account(dave).await.unwrap();
    follow_ups::work(&desk, &directory).await.unwrap();
    bench.pass(Duration::from_hours(5 * 24 - 1));
    follow_ups::work(&desk, &directory).await.unwrap();
    assert_eq!(waiting(&desk).await, 1);
    let rows = desk.store.follow_ups(None, 10).await.unwrap();
    bench.pass(Duration::from_hours(1));
    // One that cannot even be given up does not end the round: others may wait behind it.
    bench.faulty.fail_after(0);
    assert_eq!((follow_ups::work(&desk, &directory).await, waiting(&desk).await), (Ok(()), 1));
    bench.faulty.heal();
    follow_ups::work(&desk, &directory).await.unwrap();
    assert_eq!(waiting(&desk).await, 0);
    clean(&desk);
    let said = events(&desk, message).await;
    assert_eq!((&said[0]["event"], &said[0]["why"]), (&"not made".into(), &"given up".into()), "{said:?}");

    // He is gone for good.
    let bench = Bench::new(&directory).await;
    let desk = bench.start().await;
    shown_in(&desk, dave).await;
    bench.faulty.fail_after(1);
    let (message, accepted) = send(&desk, &directory, &pam(&directory), &["g-mod@corp.test"], "asked").await;
    assert_eq!((accepted, waiting(&desk).await), (Ok(()), 1));
    let desk = bench.start().await;
    let without =
        directory_from_toml(&ACME.replace(
            "@corp.test\"\ndepartments = [\"/HR\"]",
            "@corp.test\"\nstate = \"binned\"\ndepartments = [\"/HR\"]",
        ))
        .unwrap();
    follow_ups::work(&desk, &without).await.unwrap();
    assert_eq!((waiting(&desk).await, rows.len()), (0, 1));
    let said = events(&desk, message).await;
    assert_eq!(said[0]["why"], "the recipient is gone", "{said:?}");
    clean(&desk);
}

#[tokio::test]
async fn a_refusal_its_record_and_its_notice_come_once_whichever_commit_is_the_last() {
    let directory = directory("");
    for allowance in 0..=3 {
        let bench = Bench::new(&directory).await;
        let desk = bench.start().await;
        let sent = send(&desk, &directory, &user(&directory, "carol"), &["g-mod@corp.test"], "M03").await.1;
        assert_eq!(sent, Ok(()));
        let hold = pending(&desk).await[0].id;
        bench.faulty.fail_after(allowance);
        // The decision, the refusal, the notice.
        let answer = decide(&desk, &directory, hold, false).await;
        assert_eq!(answer.is_ok(), allowance > 0, "what is decided is decided");
        let desk = bench.start().await;
        assert_eq!(records(&desk).await.len(), usize::from(allowance > 0), "after {allowance} commits");
        clean(&desk);
        for _ in 0..2 {
            rounds::round(&desk, &directory, audit).await.unwrap();
        }
        let carol = inside(&desk, id(&directory, "carol"), "INBOX", "Status: 5.7.1").await;
        assert_eq!(carol.len(), usize::from(allowance > 0), "after {allowance} commits");
        assert!(carol.iter().all(|dsn| dsn.contains("not now") && dsn.contains("g-mod@corp.test")));
        assert_eq!(pending(&desk).await.len(), usize::from(allowance == 0));
        assert_eq!(records(&desk).await.len(), usize::from(allowance > 0));
        clean(&desk);
    }
}

#[tokio::test]
async fn a_release_and_what_follows_come_once_whichever_commit_is_the_last() {
    // W56, W70: the report and the reply are made at the release.
    let directory = directory(&format!(
        "{WATCHED}[[rule]]\nname = \"ask\"\npriority = 0\nscope = [\"alice@corp.test\"]\ndirection = \
         \"received\"\nactions = [{{ hold = {{ approvers = [\"dave@corp.test\"] }} }}]\n"
    ));
    let (mut left, mut allowance) = (Vec::new(), 0);
    loop {
        let bench = Bench::new(&directory).await;
        let desk = bench.start().await;
        assert_eq!(send(&desk, &directory, &pam(&directory), &["alice@corp.test"], "R27").await.1, Ok(()));
        assert_eq!(notices(&desk, &directory, "R27").await, [0, 1, 0, 0], "R27, W70: nothing until it is released");
        let hold = pending(&desk).await[0].id;
        bench.faulty.fail_after(allowance);
        let answer = decide(&desk, &directory, hold, true).await;
        assert_eq!(answer.is_ok(), allowance > 0);
        let desk = bench.start().await;
        clean(&desk);
        let rows = waiting(&desk).await;
        for _ in 0..2 {
            rounds::round(&desk, &directory, audit).await.unwrap();
        }
        let n = usize::from(allowance > 0);
        assert_eq!(notices(&desk, &directory, "R27").await, [n, 1, 0, n], "after {allowance} commits");
        let alice = inside(&desk, id(&directory, "alice"), "INBOX", "R27").await;
        assert_eq!((alice.len(), records(&desk).await.len()), (n, n));
        clean(&desk);
        left.push(rows);
        if answer.is_ok() && rows == 0 && allowance > 2 {
            break;
        }
        allowance += 1;
    }
    left.dedup();
    assert_eq!(left, [0, 2, 1, 0]);
}

#[tokio::test]
async fn a_decision_by_timeout_is_recorded() {
    let directory = directory("");
    let bench = Bench::new(&directory).await;
    let desk = bench.start().await;
    let sent = send(&desk, &directory, &user(&directory, "carol"), &["g-mod@corp.test"], "M05").await.1;
    assert_eq!(sent, Ok(()));
    bench.pass(Duration::from_hours(72) - Duration::from_millis(1));
    rounds::round(&desk, &directory, audit).await.unwrap();
    assert_eq!(pending(&desk).await.len(), 1);
    bench.pass(Duration::from_millis(1));
    rounds::round(&desk, &directory, audit).await.unwrap();
    assert_eq!(pending(&desk).await.len(), 0);
    let records = records(&desk).await;
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].actor, &*records[0].action), (Actor::Server, "hold.refuse"));
    assert_eq!(records[0].entries[0].after["decided_by"], "timeout");
    assert_eq!(inside(&desk, id(&directory, "carol"), "INBOX", "Status: 5.4.7").await.len(), 1, "M05");
    clean(&desk);
}

/// A rule that copies what somebody receives.
fn copy(name: &str, of: &str, folder: &str, more: &str) -> String {
    format!(
        "[[rule]]\nname = \"{name}\"\nscope = [\"{of}@corp.test\"]\n{more}actions = [{{ copy = {{ monitor = \
         \"erin@corp.test\", folder = \"{folder}\" }} }}]\n"
    )
}

#[tokio::test]
async fn rules_at_a_release_are_those_of_acceptance() {
    let then = copy("w01", "alice", "then", "");
    for (case, now, expected) in [
        ("as it was", then.clone(), [1, 0]),
        ("removed", String::new(), [1, 0]),
        ("disabled", copy("w01", "alice", "then", "enabled = false\n"), [1, 0]),
        ("changed", copy("w01", "alice", "now", ""), [1, 0]),
        ("another scope", copy("w01", "carol", "then", ""), [1, 0]),
        ("one more", format!("{then}{}", copy("w02", "alice", "now", "priority = 0\n")), [1, 0]),
        (
            "a stop before it",
            format!("{then}[[rule]]\nname = \"x\"\npriority = 0\nscope = \"everyone\"\nactions = [\"stop\"]\n"),
            [1, 0],
        ),
    ] {
        let before = directory(&then);
        let bench = Bench::new(&before).await;
        let desk = bench.start().await;
        for text in ["one", "two"] {
            assert_eq!(send(&desk, &before, &pam(&before), &["g-mod@corp.test"], text).await.1, Ok(()));
        }
        let holds = pending(&desk).await;
        assert_eq!(holds[0].rules, holds[1].rules, "{case}: one set for both");
        assert!(desk.store.rule_set(holds[0].rules[0]).await.is_ok(), "{case}");
        let after = directory(&now);
        for hold in &holds {
            bench.pass(Duration::from_hours(1));
            decide(&desk, &after, hold.id, true).await.unwrap();
            clean(&desk);
        }
        let erin = id(&after, "erin");
        let found = [inside(&desk, erin, "then", "one").await.len(), inside(&desk, erin, "now", "one").await.len()];
        assert_eq!(found, expected, "{case}");
        let set = desk.store.rule_set(holds[0].rules[0]).await;
        assert_eq!(set, Err(crate::store::Error::NotFound), "{case}: it goes with the last hold");
    }
    // And the other way round: what came into force since does nothing.
    let (before, after) = (directory(&copy("w01", "alice", "then", "enabled = false\n")), directory(&then));
    let bench = Bench::new(&before).await;
    let desk = bench.start().await;
    assert_eq!(send(&desk, &before, &pam(&before), &["g-mod@corp.test"], "one").await.1, Ok(()));
    decide(&desk, &after, pending(&desk).await[0].id, true).await.unwrap();
    assert_eq!(inside(&desk, id(&after, "erin"), "then", "one").await.len(), 0);
    assert_eq!(inside(&desk, id(&after, "alice"), "INBOX", "one").await.len(), 1);
    clean(&desk);
}

/// Who decides about a part of a message is shown it in Approvals; that is no copy under a rule.
#[tokio::test]
async fn an_approver_who_is_the_monitor_too_has_its_report() {
    let directory = directory(&WATCHED.replace("erin@corp.test", "dave@corp.test"));
    let bench = Bench::new(&directory).await;
    let desk = bench.start().await;
    let to = ["alice@corp.test", "g-mod@corp.test"];
    assert_eq!(send(&desk, &directory, &user(&directory, "bob"), &to, "both").await.1, Ok(()));
    let dave = id(&directory, "dave");
    assert_eq!(inside(&desk, dave, "Approvals", "both").await.len(), 1);
    assert_eq!(inside(&desk, dave, "m", "both").await.len(), 1);
    assert_eq!(waiting(&desk).await, 0);
    clean(&desk);
}

#[tokio::test]
async fn mail_of_which_nothing_follows_is_one_commit() {
    let directory = directory("");
    let bench = Bench::new(&directory).await;
    let desk = bench.start().await;
    bench.faulty.fail_after(1);
    let sent = send(&desk, &directory, &user(&directory, "carol"), &["bob@corp.test"], "plain").await.1;
    assert_eq!((sent, waiting(&desk).await), (Ok(()), 0));
    assert_eq!(inside(&desk, id(&directory, "bob"), "INBOX", "plain").await.len(), 1);
}
