//! The audit log: in the commit of the change, in order, and nobody changes it unseen (policy semantics §14, T15).

use super::*;
use posthouse::store::{AuditOrder, AuditVerdict, DirectoryWrite, Origin};

fn organisation(number: u32) -> OrganisationId {
    OrganisationId::new(number).unwrap()
}

fn entry(number: u32, record: &str) -> AuditEntry {
    AuditEntry { organisation: organisation(number), record: record.as_bytes().to_vec() }
}

async fn sequences(store: &Store, order: AuditOrder, limit: usize) -> Vec<u64> {
    store.audit(organisation(1), order, limit).await.unwrap().iter().map(|record| record.sequence).collect()
}

#[tokio::test]
async fn each_organisation_has_its_own_chain() {
    for bench in Bench::all() {
        let store = bench.store().await;
        let write = || vec![DirectoryWrite { kind: 1, id: 1, value: Some(b"v".to_vec()) }];
        store.change_directory(0, write(), vec![entry(1, "a"), entry(2, "b"), entry(1, "c")]).await.unwrap();
        let conflict = store.change_directory(0, write(), vec![entry(1, "never")]).await;
        assert_eq!(conflict, Err(Error::Conflict), "U02");
        store.audit_append(vec![entry(1, "d")]).await.unwrap();
        assert_eq!(sequences(&store, AuditOrder::OldestFirst(0), 10).await, [1, 2, 3]);
        assert_eq!(sequences(&store, AuditOrder::OldestFirst(1), 1).await, [2]);
        assert_eq!(sequences(&store, AuditOrder::NewestFirst(u64::MAX), 2).await, [3, 2]);
        assert_eq!(sequences(&store, AuditOrder::NewestFirst(3), 10).await, [2, 1]);
        let records = store.audit(organisation(2), AuditOrder::OldestFirst(0), 10).await.unwrap();
        assert_eq!((records.len(), records[0].record.as_slice()), (1, &b"b"[..]));
        for (number, count) in [(1, 3), (2, 1), (3, 0)] {
            assert_eq!(store.verify_audit(organisation(number)).await, Ok(AuditVerdict::Intact(count)));
        }
    }
}

/// U05: the mark and the record are one commit, and there is one of them whoever comes and however often.
#[tokio::test]
async fn a_first_look_is_recorded_once() {
    for bench in Bench::all() {
        let store = bench.store().await;
        accounts(&store, [1]).await;
        let copy = Target { origin: Origin::Monitor, ..inbox(1) };
        for target in [inbox(1), copy.clone(), copy.clone(), Target { origin: Origin::Approval, ..copy }] {
            let delivery = traced(&store, b"content", vec![target]).await;
            store.deliver(delivery).await.unwrap();
        }
        let open = |uids: &[u32]| {
            let looks = uids.iter().map(|uid| (Uid::new(*uid).unwrap(), entry(1, &format!("look at {uid}"))));
            store.open_copies(account(1), MailboxId::INBOX, looks.collect())
        };
        // Two sessions at the same time, one of them after a copy more, and what is nobody's copy, seen or gone.
        let (one, other) = tokio::join!(open(&[1, 2, 4, 9]), open(&[2, 3]));
        assert_eq!((one, other), (Ok(()), Ok(())));
        open(&[1, 2, 3, 4]).await.unwrap();
        let records = store.audit(organisation(1), AuditOrder::OldestFirst(0), 10).await.unwrap();
        let texts: Vec<&[u8]> = records.iter().map(|record| &*record.record).collect();
        assert_eq!(texts, [b"look at 2", b"look at 3"]);
        assert_eq!(store.verify_audit(organisation(1)).await, Ok(AuditVerdict::Intact(2)));
        // The mark goes along, and with a copy of the copy too.
        store.copy(account(1), MailboxId::INBOX, everything(), MailboxId::INBOX, None).await.unwrap();
        open(&[5, 6, 7, 8]).await.unwrap();
        assert_eq!(sequences(&store, AuditOrder::OldestFirst(0), 10).await, [1, 2]);
        let flags = Flags { system: SystemFlags::default().with(SystemFlag::Seen), keywords: vec![] };
        let update = FlagUpdate { change: FlagChange::Replace, flags };
        store.update_flags(account(1), MailboxId::INBOX, everything(), update).await.unwrap();
        open(&[2]).await.unwrap();
        assert_eq!(sequences(&store, AuditOrder::OldestFirst(0), 10).await, [1, 2]);
        clean(&store);
    }
}

/// Changes the log behind the store's back: octet `at` of record `sequence` (negative: from its end), or the record goes.
fn tamper(bench: &Bench, sequence: u64, at: Option<isize>) {
    let key = [b"a".as_slice(), &1u32.to_be_bytes(), &sequence.to_be_bytes()].concat();
    let value = bench.engine.snapshot().get(Keyspace::Log, &key).unwrap().unwrap();
    let write = match at {
        None => Write::delete(Keyspace::Log, key),
        Some(at) => {
            let mut value = value;
            let length = value.len() as isize;
            value[at.rem_euclid(length) as usize] ^= 1;
            Write::put(Keyspace::Log, key, value)
        }
    };
    super::submit(&*bench.engine, vec![write]).unwrap();
}

#[test]
fn verification_names_the_first_bad_record() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // U03. A record's text is at its end, the hash of the one before in the middle.
    for (name, sequence, at) in [
        ("text of the first", 1, Some(-1)),
        ("text in the middle", 3, Some(-1)),
        ("text of the last", 5, Some(-1)),
        ("hash in the first", 1, Some(-4)),
        ("hash in the middle", 3, Some(-4)),
        ("hash in the last", 5, Some(-4)),
        ("time", 2, Some(1)),
        ("version", 4, Some(0)),
        ("first missing", 1, None),
        ("one missing", 3, None),
        ("last missing", 5, None),
    ] {
        let bench = Bench::all().remove(0);
        let store = runtime.block_on(async {
            let store = bench.store().await;
            for record in ["a1", "b2", "c3", "d4", "e5"] {
                store.audit_append(vec![entry(1, record)]).await.unwrap();
            }
            store
        });
        tamper(&bench, sequence, at);
        let verdict = runtime.block_on(store.verify_audit(organisation(1)));
        assert_eq!(verdict, Ok(AuditVerdict::Broken(sequence)), "{name}");
    }
}

#[tokio::test]
async fn what_expires_leaves_its_hash_and_the_chain_holds() {
    for bench in Bench::all() {
        let clock = Arc::new(Moving::default());
        let store = bench.store_at(clock.clone()).await;
        for record in ["a1", "b2", "c3"] {
            store.audit_append(vec![entry(1, record)]).await.unwrap();
            clock.pass(Duration::from_hours(1));
        }
        let before = Timestamp::from_millis(clock.now().millis() - 2 * 3600 * 1000 + 1);
        assert_eq!(store.expire_audit(before).await, Ok(2));
        assert_eq!(store.expire_audit(before).await, Ok(0));
        assert_eq!(sequences(&store, AuditOrder::OldestFirst(0), 10).await, [3]);
        assert_eq!(store.verify_audit(organisation(1)).await, Ok(AuditVerdict::Intact(1)));
        // The last record stays, so that the log's end is always proved by one.
        assert_eq!(store.expire_audit(clock.now()).await, Ok(0));
        store.audit_append(vec![entry(1, "d4")]).await.unwrap();
        assert_eq!(store.verify_audit(organisation(1)).await, Ok(AuditVerdict::Intact(2)));
    }
}
