//! Data that no API writes, put into the store while the server is stopped: E25, N09, N10, U03, and what comes of
//! records that cannot be read (P58, W67).

use std::sync::Arc;

use posthouse::app::SystemClock;
use posthouse::directory::record::{self, encode};
use posthouse::directory::{Directory, Edge, Group, Nested};
use posthouse::mail::Address;
use posthouse::store::engine::rocks::Rocks;
use posthouse::store::engine::{Durability, Engine, Keyspace, Transaction, Write};
use posthouse::store::{DirectoryWrite, Store};

use super::acme::{Acme, full};
use super::replies::OK;
use super::row::{auth, keep, row, run};

/// Stops the server, lets `edit` have its store, and starts it again.
fn edited(acme: &mut Acme, edit: impl AsyncFnOnce(&Store, &Arc<Rocks>)) {
    stopped(acme, edit);
    acme.server.run();
}

fn stopped(acme: &mut Acme, edit: impl AsyncFnOnce(&Store, &Arc<Rocks>)) {
    assert_eq!(acme.server.stop(), Some(0));
    let engine = Arc::new(Rocks::open(&acme.server.data().join("store"), 64 << 20).expect("the store"));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let store = Store::open(engine.clone(), Arc::new(SystemClock), [9, 9, 9]).await.expect("a store");
        edit(&store, &engine).await;
        tokio::task::spawn_blocking(move || store.close()).await.expect("closed");
    });
}

/// The groups as `change` makes them.
async fn put_groups(store: &Store, change: impl Fn(&Directory) -> Vec<Group>) {
    let (version, records) = store.load_directory().expect("records");
    let directory = Directory::from_records(version, records).expect("a directory");
    let put = |group: &Group| DirectoryWrite { kind: record::GROUP, id: group.id.number(), value: Some(encode(group)) };
    let writes = change(&directory).iter().map(put).collect();
    store.change_directory(version, writes, Vec::new()).await.expect("written");
}

fn group(directory: &Directory, name: &str) -> Group {
    let address = Address::parse(&full(name)).expect("an address");
    let found = directory.groups().find(|group| group.address == address);
    (**found.expect("a group")).clone()
}

#[test]
fn external_members_of_a_group_without_them_are_skipped() {
    let mut acme = Acme::start();
    edited(&mut acme, async |store, _| {
        put_groups(store, |directory| vec![Group { external_members: false, ..group(directory, "g-ext") }]).await;
    });
    let outcome = keep(&mut acme, &auth("E25", "alice").rcpt("g-ext", OK).got(&["alice"]));
    assert_eq!(outcome.faults, Vec::<String>::new(), "E25");
    let id = outcome.message.expect("accepted");
    let trace = acme.get(&format!("/trace/{id}")).to_string();
    assert!(
        acme.server.log().contains("external member") || trace.contains("pam@partner.test"),
        "E25: logged: {trace}"
    );
}

#[test]
fn cycles_in_the_data_are_harmless() {
    let mut acme = Acme::start();
    acme.apply(
        "[[group]]\naddress = \"c1@corp.test\"\nmembers = [\"alice@corp.test\"]\n[[group]]\naddress = \
         \"c2@corp.test\"\nmembers = [\"bob@corp.test\"]\n[[group]]\naddress = \"self@corp.test\"\nmembers = \
         [\"alice@corp.test\"]\n",
    );
    edited(&mut acme, async |store, _| {
        let nesting = |directory: &Directory, outer: &str, inner: &str| {
            let mut outer = group(directory, outer);
            outer.members.groups.push(Nested { group: group(directory, inner).id, edge: Edge::Inherit });
            outer
        };
        put_groups(store, |directory| {
            vec![nesting(directory, "c1", "c2"), nesting(directory, "c2", "c1"), nesting(directory, "self", "self")]
        })
        .await;
    });
    let rows = vec![
        auth("N09", "carol").rcpt("c1", OK).got(&["alice", "bob"]),
        auth("N09, the other way round", "carol").rcpt("c2", OK).got(&["alice", "bob"]),
        auth("N10", "carol").rcpt("self", OK).got(&["alice"]),
    ];
    run(&mut acme, rows);
}

#[test]
fn an_edited_audit_record_is_found() {
    let mut acme = Acme::start();
    acme.apply("[[account]]\naddress = \"alice@corp.test\"\ndepartments = [\"/HR\"]\n");
    acme.apply("[[account]]\naddress = \"alice@corp.test\"\ndepartments = [\"/Eng\"]\n");
    let records = acme.get("/audit")["items"].as_array().map_or(0, Vec::len);
    assert!(records >= 3, "{records}");
    let before = acme.server.try_cli(&["audit", "verify"], "");
    assert!(before.status.success(), "U03: intact before");
    edited(&mut acme, async |_, engine| {
        // The one that says /HR and not what it was before it: made /XX, with nothing else touched.
        let mut found = None;
        let visit = &mut |key: &[u8], value: &[u8]| {
            let at = value.windows(12).position(|w| w == b"departments\"");
            let hr = value.windows(5).rposition(|w| w == b"\"/HR\"");
            let has = |text: &[u8]| value.windows(text.len()).any(|w| w == text);
            if let (Some(_), Some(hr)) = (at, hr)
                && has(b"\"/Sales\"")
                && !has(b"\"/Eng\"")
            {
                let mut changed = value.to_vec();
                changed[hr + 2..][..2].copy_from_slice(b"XX");
                found = Some((key.to_vec(), changed));
            }
            true
        };
        engine.snapshot().range(Keyspace::Log, &[], &[0xff; 64], visit).expect("the log");
        let (key, value) = found.expect("the record of the change");
        let transaction = Transaction {
            reads: Vec::new(),
            writes: vec![Write::put(Keyspace::Log, key, value)],
            decide: Box::new(|_| Ok(Vec::new())),
            durability: Durability::Synced,
        };
        engine.submit(transaction).await.expect("an answer").expect("written");
    });
    let after = acme.server.try_cli(&["audit", "verify"], "");
    let told = String::from_utf8_lossy(&after.stderr).into_owned();
    assert_eq!(after.status.code(), Some(1), "U03: {told}");
    let number: String = told.chars().filter(char::is_ascii_digit).collect();
    let number: usize = number.parse().unwrap_or_else(|_| panic!("U03: the first broken record is named: {told}"));
    assert_eq!(number, records - 1, "U03: {told}");
}

/// Policy data is read as a whole at the start: what cannot be read keeps the server from answering anything, so that
/// the `451` of P58 and W67 has no moment on the wire.
#[test]
fn policy_data_that_cannot_be_read_grants_nothing() {
    let mut acme = Acme::start();
    acme.apply("[[rule]]\nname = \"unreadable\"\nscope = \"everyone\"\nactions = [\"discard\"]\n");
    let edit = |value: fn(Vec<u8>) -> Vec<u8>| {
        async move |store: &Store, _: &Arc<Rocks>| {
            let (version, records) = store.load_directory().expect("records");
            let (kind, id, octets) = records.into_iter().find(|(kind, ..)| *kind == record::RULE).expect("the rule");
            let write = DirectoryWrite { kind, id, value: Some(value(octets)) };
            store.change_directory(version, vec![write], Vec::new()).await.expect("written");
        }
    };
    stopped(
        &mut acme,
        edit(|mut octets| {
            octets.insert(1, b'x');
            octets
        }),
    );
    let refused = acme.server.try_cli(&["serve"], "");
    assert_eq!(refused.status.code(), Some(1), "unreadable");
    let told = String::from_utf8_lossy(&refused.stderr).into_owned() + &String::from_utf8_lossy(&refused.stdout);
    assert!(told.contains("directory: "), "{told}");
    let engine = Arc::new(Rocks::open(&acme.server.data().join("store"), 64 << 20).expect("the store"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let store = Store::open(engine.clone(), Arc::new(SystemClock), [8, 8, 8]).await.expect("a store");
        edit(|mut octets| {
            octets.remove(1);
            octets
        })(&store, &engine)
        .await;
        store.close();
    });
    drop(engine);
    acme.server.run();
    let outcome = keep(&mut acme, &row("repaired").rcpt("alice", OK));
    assert_eq!(outcome.faults, Vec::<String>::new());
}
