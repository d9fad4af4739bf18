//! Forms, origins, quota and delivery keys of the accepting commit (policy semantics §13.5, §18, §19).

use super::*;
use posthouse::mail::Span;
use posthouse::store::{Continuation, DeliveryState, FormSource, Origin, QueueList, StateKey};

#[tokio::test]
async fn forms_share_one_content_and_go_one_by_one() {
    for bench in Bench::all() {
        let clock = Arc::new(Moving::default());
        let store = bench.store_at(clock.clone()).await;
        accounts(&store, 1..=3).await;
        let body = "b".repeat(300_000);
        let targets = vec![inbox(1), Target { form: 1, ..inbox(2) }, Target { form: 1, ..inbox(3) }];
        let mut delivery = traced(&store, body.as_bytes(), targets).await;
        delivery.forms = vec![form("A: 1\r\n"), form("X: tagged\r\nA: 1\r\n"), form("never used")];
        store.deliver(delivery).await.unwrap();
        assert_eq!(messages(&store, 1).await, [format!("A: 1\r\n{body}")]);
        assert_eq!(messages(&store, 2).await, [format!("X: tagged\r\nA: 1\r\n{body}")]);
        assert_eq!(messages(&store, 3).await, messages(&store, 2).await);
        let report = store.check().unwrap();
        assert_eq!((report.messages, report.findings), (2, vec![]), "a form that nobody gets is not made");
        assert_eq!(chunks(&bench), 2, "the content is there once");

        // The first form goes, its content stays for the other.
        expunge_inbox(&store, 1).await;
        clock.pass(Duration::from_secs(1));
        assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 0);
        clean(&store);
        assert_eq!(messages(&store, 2).await.len(), 1);
        expunge_inbox(&store, 2).await;
        expunge_inbox(&store, 3).await;
        clean(&store);
        clock.pass(Duration::from_secs(1));
        assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 1, "the form");
        clean(&store);
        clock.pass(Duration::from_secs(1));
        assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 1, "then the content");
        let report = store.check().unwrap();
        assert_eq!((report.messages, chunks(&bench), report.findings), (0, 0, vec![]));
    }
}

#[tokio::test]
async fn a_form_shows_its_prefix_and_the_content_without_what_it_leaves_out() {
    let bench = Bench::all().remove(0);
    let clock = Arc::new(Moving::default());
    let store = bench.store_at(clock.clone()).await;
    accounts(&store, 1..=2).await;
    // Chunks of 256 KiB; what fits into one may be two, the first of which is the header.
    let large: Vec<u8> = (0..600_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for (header, from, to) in [
        (0, 0, 1),
        (0, 17, 5_000),
        (0, 262_140, 262_150),
        (0, 100, 600_000),
        (0, 0, 600_000),
        (5_000, 10, 90),
        (5_000, 4_990, 5_000),
    ] {
        let content = if header > 0 { &large[..20_000] } else { &large[..] };
        let mut delivery = traced(&store, content, vec![inbox(1), Target { form: 1, ..inbox(2) }]).await;
        let omitted = Span::new(from as u64, to as u64);
        delivery.header = header;
        delivery.forms = vec![form("A: 1\r\n"), Form { omitted, ..form("A: 1\r\nS: 2\r\n") }];
        store.deliver(delivery).await.unwrap();
        let shown = [&b"A: 1\r\nS: 2\r\n"[..], &content[..from], &content[to..]].concat();
        let read = store.read(move |reader| {
            let mut entry = None;
            reader.entries(account(2), MailboxId::INBOX, &everything(), &mut |e| {
                entry = Some(e);
                true
            })?;
            let entry = entry.ok_or(Error::NotFound)?;
            let message = reader.message(entry.blob)?;
            assert_eq!((entry.size, message.size()), (shown.len() as u64, shown.len() as u64), "{from}..{to}");
            for step in [1_000_000, 262_144, 70_001, 4_097] {
                let (mut octets, mut at) = (message.prefix.clone(), 0);
                while at < message.rest().size {
                    reader.rest(message.rest(), at, at + step, &mut octets)?;
                    at += step;
                }
                assert!(octets == shown, "{from}..{to} in steps of {step}");
            }
            Ok(())
        });
        read.await.unwrap();
        clean(&store);
        assert_eq!(store.check().unwrap().messages, 2, "one content and two forms");
        expunge_inbox(&store, 1).await;
        expunge_inbox(&store, 2).await;
        for _ in 0..2 {
            clock.pass(Duration::from_secs(1));
            store.sweep(Duration::ZERO).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_first_form_without_readers_keeps_the_content_of_the_others() {
    for bench in Bench::all() {
        let store = bench.store().await;
        accounts(&store, [1]).await;
        let mut delivery = traced(&store, b"content", vec![Target { form: 1, ..inbox(1) }]).await;
        delivery.forms.push(form("B: 2\r\n"));
        store.deliver(delivery).await.unwrap();
        assert_eq!(messages(&store, 1).await, ["B: 2\r\ncontent"]);
        let report = store.check().unwrap();
        assert_eq!((report.messages, report.findings), (2, vec![]));
    }
}

#[tokio::test]
async fn a_message_for_nobody_leaves_a_trace_and_no_content() {
    for bench in Bench::all() {
        let store = bench.store().await;
        let delivery = traced(&store, &[b'x'; 600_000], vec![]).await;
        let id = delivery.content.blob();
        store.deliver(delivery).await.unwrap();
        // Behind the writes that take the staged content back.
        store.put_state(StateKey::new("x").unwrap(), vec![]).await.unwrap();
        assert_eq!(chunks(&bench), 0);
        clean(&store);
        assert_eq!(trace::ids(&store, trace::all()).await, [id]);
    }
}

#[tokio::test]
async fn a_monitor_that_is_a_recipient_has_both_and_each_once() {
    for bench in Bench::all() {
        let store = bench.store().await;
        accounts(&store, [1]).await;
        let folder = store.create_folder(account(1), MailboxName::parse("Copies").unwrap(), None).await.unwrap().id;
        let copy = Target { mailbox: folder, origin: Origin::Monitor, form: 1, ..inbox(1) };
        // A second target of the same kind is none: single copies (policy semantics §22.1).
        let other = Target { mailbox: MailboxId::new(2).unwrap(), ..inbox(1) };
        let mut delivery = traced(&store, b"content", vec![copy.clone(), inbox(1), copy, other, inbox(1)]).await;
        delivery.forms.push(form("X-Copy: y\r\n"));
        let id = delivery.content.blob();
        assert_eq!(store.deliver(delivery).await.unwrap().placed.len(), 2);
        clean(&store);
        let read = store.read(move |reader| {
            let mut origins = Vec::new();
            for mailbox in [MailboxId::INBOX, folder] {
                reader.entries(account(1), mailbox, &everything(), &mut |entry| {
                    origins.push(entry.origin);
                    true
                })?;
            }
            Ok((origins, reader.usage(account(1))?))
        });
        let (origins, usage) = read.await.unwrap();
        assert_eq!(origins, [Origin::Ordinary, Origin::Monitor]);
        assert_eq!((usage.messages, usage.octets), (2, 7 + 18));
        for origin in [Origin::Ordinary, Origin::Monitor] {
            let row = store.delivery(account(1), id, origin).await.unwrap().unwrap();
            assert_eq!((row.state, row.uid), (DeliveryState::Delivered, Some(Uid::MIN)), "{origin:?}");
        }
        // The mark goes along.
        let moved = store.move_messages(account(1), folder, everything(), MailboxId::INBOX).await.unwrap();
        let uid = moved.pairs[0].1;
        let read = store.read(move |reader| {
            let mut origin = None;
            reader.entries(account(1), MailboxId::INBOX, &[uid].into_iter().collect(), &mut |entry| {
                origin = Some(entry.origin);
                true
            })?;
            Ok(origin)
        });
        assert_eq!(read.await.unwrap(), Some(Origin::Monitor));
    }
}

#[tokio::test]
async fn quota_is_looked_at_in_the_commit() {
    let fits = |quota| Target { quota: Some(quota), ..inbox(1) };
    for bench in Bench::all() {
        let store = bench.store().await;
        accounts(&store, 1..=2).await;
        // Q11: exactly full is not over quota.
        for (row, target, when_full, result) in [
            ("Q11", fits(10), WhenFull::Refuse, Ok((1, 0))),
            ("Q09", fits(19), WhenFull::Refuse, Err(Error::OverQuota)),
            ("Q10", fits(19), WhenFull::Queue, Ok((0, 1))),
            ("Q18", Target { origin: Origin::Monitor, ..fits(10) }, WhenFull::Refuse, Ok((1, 0))),
        ] {
            let delivery = Delivery { when_full, ..traced(&store, &[b'x'; 10], vec![target]).await };
            let delivered = store.deliver(delivery).await.map(|d| (d.placed.len(), d.full.len()));
            assert_eq!(delivered, result, "{row}");
            clean(&store);
        }
        assert_eq!(store.queue(QueueList::Local, None, 10).await.unwrap().items.len(), 1);
        // Two messages that fit one by one do not fit together.
        let fits = Target { quota: Some(15), ..inbox(2) };
        let deliveries =
            [traced(&store, &[b'x'; 10], vec![fits.clone()]).await, traced(&store, &[b'y'; 10], vec![fits]).await];
        let [first, second] = deliveries.map(|delivery| store.deliver(delivery));
        let (first, second) = tokio::join!(first, second);
        assert_eq!(first.unwrap().placed.len() + second.unwrap().placed.len(), 1);
        clean(&store);
    }
}

#[tokio::test]
async fn a_copy_that_does_not_fit_copies_nothing() {
    for bench in Bench::all() {
        let store = bench.store().await;
        accounts(&store, [1]).await;
        for _ in 0..2 {
            store.deliver(traced(&store, &[b'x'; 10], vec![inbox(1)]).await).await.unwrap();
        }
        let copy = |quota| store.copy(account(1), MailboxId::INBOX, everything(), MailboxId::INBOX, quota);
        assert_eq!(copy(Some(39)).await.map(|copied| copied.pairs.len()), Err(Error::OverQuota));
        assert_eq!(messages(&store, 1).await.len(), 2);
        assert_eq!(copy(Some(40)).await.map(|copied| copied.pairs.len()), Ok(2));
        clean(&store);
    }
}

#[tokio::test]
async fn a_continuation_passes_over_who_has_the_message() {
    for bench in Bench::all() {
        let store = bench.store().await;
        accounts(&store, 1..=3).await;
        let delivery = traced(&store, b"content", vec![inbox(1)]).await;
        let id = delivery.content.blob();
        store.deliver(delivery).await.unwrap();
        let more = || Continuation {
            forms: vec![FormSource::Stored(id), FormSource::New(form("L: 1\r\n"))],
            // The last account does not exist.
            targets: vec![inbox(1), inbox(2), Target { form: 1, ..inbox(3) }, inbox(9)],
            ..Continuation::new(id, store_now())
        };
        assert_eq!(store.deliver_more(more()).await.unwrap().placed.len(), 2);
        clean(&store);
        assert_eq!(store.deliver_more(more()).await.unwrap().placed.len(), 0);
        let report = store.check().unwrap();
        assert_eq!((report.messages, report.entries, report.findings), (2, 3, vec![]));
        assert_eq!(messages(&store, 3).await, ["L: 1\r\ncontent"]);
        let row = store.delivery(account(9), id, Origin::Ordinary).await.unwrap().unwrap();
        assert_eq!(row.state, DeliveryState::Gone);
        for number in 1..=3 {
            expunge_inbox(&store, number).await;
        }
        let gone = Continuation { forms: vec![FormSource::Stored(id)], targets: vec![inbox(2)], ..more() };
        let result = store.deliver_more(gone).await;
        assert!(matches!(result, Err(Error::NotFound)) || result == Ok(Default::default()), "{result:?}");
        clean(&store);
    }
}

#[tokio::test]
async fn extra_state_is_written_with_the_message_or_not_at_all() {
    let key = |name: &str| StateKey::new(name).unwrap();
    for bench in Bench::all() {
        let store = bench.store().await;
        accounts(&store, [1]).await;
        for (target, written) in [(inbox(9), None), (inbox(1), Some(b"v".to_vec()))] {
            let mut delivery = traced(&store, b"content", vec![target]).await;
            delivery.extra = vec![(key("reply/1"), b"v".to_vec())];
            assert_eq!(store.deliver(delivery).await.is_ok(), written.is_some());
            assert_eq!(store.state(key("reply/1")).await.unwrap(), written);
        }
        store.put_state(key("reply/2"), b"w".to_vec()).await.unwrap();
        store.put_state(key("other"), b"o".to_vec()).await.unwrap();
        let rows = store.states(b"reply/".to_vec(), None, 10).await.unwrap();
        assert_eq!(rows, [(key("reply/1"), b"v".to_vec()), (key("reply/2"), b"w".to_vec())]);
        let rows = store.states(b"reply/".to_vec(), Some(key("reply/1")), 10).await.unwrap();
        assert_eq!(rows, [(key("reply/2"), b"w".to_vec())]);
        store.delete_state(key("reply/2")).await.unwrap();
        assert_eq!(store.state(key("reply/2")).await.unwrap(), None);
        assert!(StateKey::new(vec![b'x'; 65]).is_none() && StateKey::new("").is_none());
    }
}

#[tokio::test]
async fn staged_content_can_be_read_before_the_commit() {
    for bench in Bench::all() {
        let store = bench.store().await;
        let body: Vec<u8> = (0..600_000u32).map(|n| (n / 251) as u8).collect();
        let mut staging = store.stage();
        staging.push(&body).await.unwrap();
        for (from, to) in
            [(0, 10), (262_140, 262_150), (524_280, 524_300), (0, 700_000), (599_999, 600_001), (700_000, 700_001)]
        {
            let mut out = b"before".to_vec();
            staging.read(from, to, &mut out).await.unwrap();
            let range = (from as usize).min(body.len())..(to as usize).min(body.len());
            assert!(out.strip_prefix(b"before").unwrap() == &body[range], "{from}..{to}");
        }
    }
}

/// What a copy of a group message costs; run alone, with `--ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement"]
async fn copies_for_a_thousand_members_each_second() {
    const MEMBERS: u32 = 1000;
    const DELIVERIES: u32 = 200;
    let size = |bench: &Bench| {
        let files = std::fs::read_dir(path(bench.directory.as_ref().unwrap())).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>()
    };
    let written = || {
        let io = std::fs::read_to_string("/proc/self/io").unwrap();
        io.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap().parse::<u64>().unwrap()
    };
    for (name, is_traced) in [("without trace", false), ("with trace and delivery keys", true)] {
        let bench = Bench::rocks();
        let store = bench.store().await;
        accounts(&store, 1..=MEMBERS).await;
        let (before, size_before) = (written(), size(&bench));
        let started = std::time::Instant::now();
        for _ in 0..DELIVERIES {
            let mut delivery = traced(&store, &[b'x'; 2000], (1..=MEMBERS).map(inbox).collect()).await;
            if !is_traced {
                delivery.trace = None;
            }
            store.deliver(delivery).await.unwrap();
        }
        let copies = u64::from(MEMBERS * DELIVERIES);
        let rate = copies as f64 / started.elapsed().as_secs_f64();
        let written = (written() - before) / copies;
        drop(store);
        let bench = bench.reopen();
        let bench = bench.reopen();
        let kept = (size(&bench).saturating_sub(size_before)) / copies;
        println!("{name}: {rate:.0} copies/s, {written} octets written and {kept} kept for each");
    }
}

#[tokio::test]
async fn rows_that_only_grow_keep_the_greater_value() {
    for bench in Bench::all() {
        let store = bench.store().await;
        accounts(&store, 1..=1).await;
        let key = || StateKey::new("sent/1").unwrap();
        for (value, stored) in [(b"\x01\x05", b"\x01\x05"), (b"\x01\x03", b"\x01\x05"), (b"\x01\x09", b"\x01\x09")] {
            let mut delivery = traced(&store, b"content", vec![inbox(1)]).await;
            delivery.at_least = vec![(key(), value.to_vec())];
            store.deliver(delivery).await.unwrap();
            assert_eq!(store.state(key()).await.unwrap().as_deref(), Some(&stored[..]), "{value:?}");
        }
        // Nothing is counted for what is not accepted.
        let mut delivery = traced(&store, b"content", vec![Target { quota: Some(1), ..inbox(1) }]).await;
        delivery.when_full = WhenFull::Refuse;
        delivery.at_least = vec![(key(), b"\x02".to_vec())];
        assert_eq!(store.deliver(delivery).await.unwrap_err(), Error::OverQuota);
        assert_eq!(store.state(key()).await.unwrap().as_deref(), Some(&b"\x01\x09"[..]));
        clean(&store);
    }
}
