//! Each record round-trips, and those of earlier versions are read.

use proptest::prelude::*;

use super::*;
use crate::mail::{
    AccountId, Address, EnhancedCode, GroupId, HoldId, Keyword, MailboxName, ModSeq, Notify, OrganisationId, QueueId,
    Ret, ReversePath, Timestamp,
};
use crate::store::{
    Decision, FollowUp, FollowUpKey, Held, HeldBy, HoldKind, HoldState, LastAttempt, QueueItem, QueueKind, QueueSender,
    Remote, Returns, RuleSetId, Target,
};

fn keywords() -> impl Strategy<Value = Vec<Keyword>> {
    proptest::collection::vec("[a-z$]{1,12}", 0..4).prop_map(|v| v.iter().filter_map(|s| Keyword::parse(s)).collect())
}

proptest! {
    #[test]
    fn entries_round_trip(uid in 1u32.., bits in 0u8..32, modseq in 1u64.., date in any::<i64>(), size in any::<u64>(), keywords in keywords(), monitor: bool, opened: bool) {
        let entry = Entry {
            uid: Uid::new(uid).unwrap(),
            blob: BlobId::from_octets([7; 12]),
            flags: Flags { system: SystemFlags::from_bits(bits), keywords },
            modseq: ModSeq::new(modseq).unwrap(),
            internal_date: Timestamp::from_millis(date),
            size,
            origin: match (monitor, opened) {
                (true, _) => Origin::Monitor,
                (false, true) => Origin::Approval,
                (false, false) => Origin::Ordinary,
            },
            opened,
        };
        prop_assert_eq!(decode_entry(entry.uid, &encode_entry(&entry)), Ok(entry));
    }

    #[test]
    fn changes_round_trip(uids in proptest::collection::btree_set(1u32..5000, 0..50), expunged in any::<bool>()) {
        let uids: UidSet = uids.into_iter().filter_map(Uid::new).collect();
        let row = if expunged { ChangeRow::Expunged(uids) } else { ChangeRow::Flags(uids) };
        prop_assert_eq!(decode_change(&encode_change(&row)), Ok(row));
    }

    #[test]
    fn messages_round_trip(variant: bool, prefix: Vec<u8>, content_size: u64, span: Option<(u64, u64)>, chunks: u32, summary: Vec<u8>) {
        let blob = BlobId::from_octets([9; 12]);
        let content = if variant { BlobId::from_octets([8; 12]) } else { blob };
        let omitted = span.and_then(|(a, b)| Span::new(a.min(content_size), b.min(content_size)));
        let message = Message { blob, content, prefix, omitted, content_size, chunks, summary };
        prop_assert_eq!(decode_message(blob, &encode_message(&message)), Ok(message));
    }

    #[test]
    fn damaged_records_are_corrupt_not_fatal(octets: Vec<u8>) {
        let id = MailboxId::INBOX;
        let _ = (decode_mailbox(id, &octets), decode_entry(Uid::MIN, &octets), decode_folders(&octets));
        let _ = (decode_change(&octets), decode_message(BlobId::from_octets([0; 12]), &octets), decode_usage(&octets));
        for octets in [octets.clone(), [vec![VERSION], octets].concat()] {
            let (item, hold) = (QueueId::from_octets([0; 12]), HoldId::from_octets([0; 12]));
            let _ = (decode_queue_item(item, &octets), decode_hold(hold, &octets), decode_slice(&octets));
            let _ = (decode_trace(&octets), decode_delivery(&octets), decode_audit(&octets));
            let _ = (decode_audit_head(&octets), decode_number(&octets));
        }
    }

    #[test]
    fn slices_round_trip(accounts in proptest::collection::btree_map(1u32.., (1u32..4, 0usize..2, 0u8..32, proptest::option::of(0u64..9)), 0..40)) {
        let target = |(account, (mailbox, form, bits, quota)): (&u32, &(u32, usize, u8, Option<u64>))| Target {
            form: *form,
            origin: match *bits {
                0..=15 => Origin::Ordinary,
                16..=23 => Origin::Monitor,
                _ => Origin::Approval,
            },
            via: GroupId::new(u32::from(*bits)),
            quota: *quota,
            ..Target::new(
                AccountId::new(*account).unwrap(),
                MailboxId::new(*mailbox).unwrap(),
                Flags { system: SystemFlags::from_bits(*bits), keywords: vec![] },
            )
        };
        let slice = Slice {
            internal_date: Timestamp::from_millis(7),
            reverse_path: ReversePath::Null,
            shapes: vec![Shape { blob: BlobId::from_octets([1; 12]), size: 5 }; 2],
            targets: accounts.iter().map(target).collect(),
        };
        let mut decoded = decode_slice(&encode_slice(&slice)).unwrap();
        decoded.targets.sort_by_key(|target| target.account);
        prop_assert_eq!(decoded, slice);
    }

    #[test]
    fn traces_round_trip(record: Vec<u8>, terms: Vec<[u8; 9]>, accounts in proptest::collection::btree_set(1u32.., 0..40)) {
        let ordinary: Vec<AccountId> = accounts.into_iter().filter_map(AccountId::new).collect();
        let monitors = ordinary.iter().take(2).copied().collect();
        let entry = TraceEntry { record, terms, ordinary, monitors };
        let value = encode_trace(&entry);
        prop_assert_eq!(trace_record(&value), Ok(&entry.record[..]));
        prop_assert_eq!(decode_trace(&value), Ok(entry));
    }
}

/// What earlier versions wrote: messages that leave out nothing, entries without the mark of a first look.
#[test]
fn old_records_are_read() {
    let blob = BlobId::from_octets([9; 12]);
    let octets = [&[1, 1][..], &[8; 12], &[200, 1, 0, 2, b'P', b':', 1, b's']].concat();
    let message = Message {
        blob,
        content: BlobId::from_octets([8; 12]),
        prefix: b"P:".to_vec(),
        omitted: None,
        content_size: 200,
        chunks: 0,
        summary: b"s".to_vec(),
    };
    assert_eq!(decode_message(blob, &octets), Ok(message.clone()));
    assert_eq!(encode_message(&message), octets, "and written the same");
    let entry = Entry {
        uid: Uid::MIN,
        blob,
        flags: Flags { system: SystemFlags::default().with(crate::mail::SystemFlag::Seen), keywords: vec![] },
        modseq: ModSeq::new(5).unwrap(),
        internal_date: Timestamp::from_millis(1),
        size: 3,
        origin: Origin::Monitor,
        opened: false,
    };
    let octets = [&[1][..], &[9; 12], &[128 | 8, 5, 2, 3, 0]].concat();
    assert_eq!(decode_entry(Uid::MIN, &octets), Ok(entry));
    // A slice with two targets: an account's own mail, and a monitor's copy.
    let target = |monitor: u8, account: u8| [1, 0, 0, 0, monitor, 0, 0, 1, account];
    let octets = [&[1, 14, 0, 1][..], &[9; 12], &[5, 2], &target(0, 3), &target(1, 4)].concat();
    let slice = decode_slice(&octets).unwrap();
    let seen: Vec<_> = slice.targets.iter().map(|t| (t.account.number(), t.origin)).collect();
    assert_eq!(seen, [(3, Origin::Ordinary), (4, Origin::Monitor)]);
}

#[test]
fn a_range_beyond_the_content_is_damage() {
    let blob = BlobId::from_octets([9; 12]);
    for (from, size, good) in [(1, 9, true), (1, 10, false), (11, 1, false), (1, 0, false)] {
        let octets = [2, 0, 10, 0, 0, 0, from, size];
        assert_eq!(decode_message(blob, &octets).is_ok(), good, "{from} {size}");
    }
}

#[test]
fn queue_items_round_trip() {
    let (account, mailbox) = (AccountId::new(3).unwrap(), MailboxId::INBOX);
    let recipient = Address::parse("\"a b\"@far.test").unwrap();
    let plain = Remote::new(recipient.clone(), QueueSender::Nobody);
    let rich = Remote {
        sender: QueueSender::Address("pam@partner.test".to_owned()),
        returns: Returns::Forwarder { account, keeps: true },
        is_bulk: true,
        notify: Some(Notify { success: true, failure: false, delay: true }),
        original: Some("rfc822;a b@far.test".to_owned()),
        envelope_id: Some("id".to_owned()),
        ret: Some(Ret::Headers),
        tls: crate::mail::TlsWish::Required,
        ..plain.clone()
    };
    let last = LastAttempt {
        at: Timestamp::from_millis(4),
        status: EnhancedCode::new(4, 7, 500),
        text: "451 busy\nreally".to_owned(),
        is_reply: true,
        host: Some("mx.far.test".to_owned()),
        tls: None,
    };
    let full = QueueKind::Full(Target { quota: Some(9), ..Target::new(account, mailbox, Flags::default()) });
    let managers = Returns::Managers(GroupId::new(7).unwrap());
    let never = Remote {
        returns: managers,
        notify: Some(Notify::default()),
        sender: QueueSender::Account(account),
        tls: crate::mail::TlsWish::Optional,
        ..plain.clone()
    };
    for kind in [QueueKind::Remote(plain), QueueKind::Remote(rich), QueueKind::Remote(never), full] {
        for (held, last) in [(None, None), (Some(HeldBy::Abuse), Some(last.clone()))] {
            let item = QueueItem {
                id: QueueId::from_octets([3; 12]),
                blob: BlobId::from_octets([1; 12]),
                transaction: BlobId::from_octets([2; 12]),
                kind: kind.clone(),
                reverse_path: ReversePath::Address(recipient.clone()),
                created: Timestamp::from_millis(5),
                due: Timestamp::from_millis(6),
                attempts: 7,
                is_announced: held.is_some(),
                held,
                last,
            };
            assert_eq!(decode_queue_item(item.id, &encode_queue_item(&item)), Ok(item));
        }
    }
}

/// As version 1 wrote it.
#[test]
fn an_old_queue_item_is_read() {
    let octets = [&[1][..], &[9; 12], &[8; 12], b"r\x0aa@far.test\0", &[10, 12, 7], b"\x04busy"].concat();
    let item = decode_queue_item(QueueId::from_octets([3; 12]), &octets).unwrap();
    let recipient = Address::parse("a@far.test").unwrap();
    assert_eq!(item.kind, QueueKind::Remote(Remote::new(recipient, QueueSender::Nobody)));
    assert_eq!((item.created.millis(), item.due.millis(), item.attempts, item.last), (5, 6, 7, None));
}

#[test]
fn held_messages_round_trip() {
    let at = Timestamp::from_millis(5);
    let decision = |finished| Decision { accepted: true, by: "dave".to_owned(), at, text: "ok".to_owned(), finished };
    for state in [HoldState::Pending, HoldState::Decided(decision(None)), HoldState::Decided(decision(Some(at)))] {
        for (kind, expires) in HoldKind::ALL.into_iter().zip([None, Some(at), None]) {
            let held = Held {
                id: HoldId::from_octets([3; 12]),
                organisation: OrganisationId::new(9).unwrap(),
                kind,
                blob: BlobId::from_octets([1; 12]),
                transaction: BlobId::from_octets([2; 12]),
                state: state.clone(),
                created: at,
                expires,
                size: 77,
                data: b"{}".to_vec(),
                rules: vec![RuleSetId::from_octets([4; 16]), RuleSetId::from_octets([5; 16])],
            };
            assert_eq!(decode_hold(held.id, &encode_hold(&held)), Ok(held));
        }
    }
}

#[test]
fn held_messages_of_the_first_version_are_read() {
    let mut octets = vec![1, 9, b'm'];
    octets.extend_from_slice(&[1; 12]);
    octets.extend_from_slice(&[2; 12]);
    octets.extend_from_slice(&[b'p', 10, 1, 5, 77, 2, b'{', b'}']);
    let held = Held {
        id: HoldId::from_octets([3; 12]),
        organisation: OrganisationId::new(9).unwrap(),
        kind: HoldKind::Moderation,
        blob: BlobId::from_octets([1; 12]),
        transaction: BlobId::from_octets([2; 12]),
        state: HoldState::Pending,
        created: Timestamp::from_millis(5),
        expires: Some(Timestamp::from_millis(5)),
        size: 77,
        data: b"{}".to_vec(),
        rules: Vec::new(),
    };
    assert_eq!(decode_hold(held.id, &octets), Ok(held));
}

#[test]
fn follow_ups_round_trip() {
    let key = FollowUpKey { transaction: BlobId::from_octets([1; 12]), id: BlobId::from_octets([2; 12]) };
    for hold in [None, Some(HoldId::from_octets([3; 12]))] {
        let created = Timestamp::from_millis(7);
        let row = FollowUp { key, blob: BlobId::from_octets([4; 12]), hold, created, data: b"{}".to_vec() };
        assert_eq!(decode_follow_up(key, &encode_follow_up(&row)), Ok(row));
    }
}

#[test]
fn folder_lists_round_trip() {
    let folder = Folder {
        id: MailboxId::INBOX,
        name: MailboxName::inbox(),
        uid_validity: UidValidity::new(77).unwrap(),
        special_use: Some(SpecialUse::Junk),
    };
    let folders = Folders { folders: vec![folder], subscribed: vec![MailboxName::parse("日本/x").unwrap()] };
    let list = FolderList { folders, last_id: 6, last_validity: 78 };
    assert_eq!(decode_folders(&encode_folders(&list)), Ok(list));
}

#[test]
fn mailboxes_round_trip() {
    let mailbox = Mailbox {
        id: MailboxId::INBOX,
        uid_validity: UidValidity::MAX,
        uid_next: Uid::MAX,
        highest_modseq: ModSeq::MAX,
        first_recent: Uid::MIN,
        counts: Counts { messages: 3, unseen: 2, octets: 1 << 40 },
        keywords: vec![Keyword::parse("$Forwarded").unwrap()],
    };
    assert_eq!(decode_mailbox(mailbox.id, &encode_mailbox(&mailbox)), Ok(mailbox));
}
