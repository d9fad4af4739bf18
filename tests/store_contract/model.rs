//! Any sequence of acts on mailboxes, compared with a model, and a session that learns of them by changes alone.

use proptest::prelude::*;

use super::*;

/// An act on the mailboxes of one account; numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Act {
    Deliver { mailbox: usize, size: usize },
    Flag { mailbox: usize, uids: Vec<u32>, change: u8, bits: u8, keyword: Option<u8> },
    Copy { from: usize, to: usize, uids: Vec<u32> },
    Move { from: usize, to: usize, uids: Vec<u32> },
    Expunge { mailbox: usize },
    Reopen,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let some = || proptest::collection::vec(1u32..12, 0..6);
    let act = prop_oneof![
        4 => (0usize..3, 0usize..3000).prop_map(|(mailbox, size)| Act::Deliver { mailbox, size }),
        3 => (0usize..3, some(), 0u8..3, 0u8..32, proptest::option::of(0u8..3)).prop_map(|(mailbox, uids, change, bits, keyword)| Act::Flag { mailbox, uids, change, bits, keyword }),
        2 => (0usize..3, 0usize..3, some()).prop_map(|(from, to, uids)| Act::Copy { from, to, uids }),
        2 => (0usize..3, 0usize..3, some()).prop_map(|(from, to, uids)| Act::Move { from, to, uids }),
        2 => (0usize..3).prop_map(|mailbox| Act::Expunge { mailbox }),
        1 => Just(Act::Reopen),
    ];
    proptest::collection::vec(act, 1..25)
}

/// What a mailbox should hold: UID, flags as text, content size.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    next: u32,
    messages: Vec<(u32, Flags, usize)>,
}

impl Model {
    fn add(&mut self, flags: Flags, size: usize) {
        self.next += 1;
        self.messages.push((self.next, flags, size));
    }

    fn take(&self, uids: &[u32]) -> Vec<(u32, Flags, usize)> {
        self.messages.iter().filter(|m| uids.contains(&m.0)).cloned().collect()
    }
}

/// What one session believes, kept up to date by `changes` alone.
#[derive(Clone)]
struct Follower {
    modseq: ModSeq,
    uid_next: Uid,
    messages: Vec<(u32, Flags)>,
}

async fn follow(store: &Store, mailbox: MailboxId, follower: &mut Follower) {
    let (modseq, uid_next) = (follower.modseq, follower.uid_next);
    let read = store.read(move |r| {
        let changes = r.changes(alice(), mailbox, modseq, uid_next)?;
        let mut arrived = Vec::new();
        r.entries(alice(), mailbox, &changes.arrived, &mut |e| {
            arrived.push((e.uid.number(), e.flags));
            true
        })?;
        Ok((changes, arrived))
    });
    let (changes, arrived) = read.await.unwrap();
    follower.messages.retain(|m| !changes.expunged.contains(Uid::new(m.0).unwrap()));
    for entry in changes.updated {
        if let Some(m) = follower.messages.iter_mut().find(|m| m.0 == entry.uid.number()) {
            m.1 = entry.flags;
        }
    }
    follower.messages.extend(arrived);
    let now = changes.mailbox.unwrap();
    assert!(now.highest_modseq >= modseq && now.uid_next >= uid_next);
    (follower.modseq, follower.uid_next) = (now.highest_modseq, now.uid_next);
}

async fn run(mut bench: Bench, acts: &[Act]) {
    let mut store = bench.store().await;
    store.create_account_folders(alice()).await.unwrap();
    let ids: Vec<MailboxId> = (1..=3).filter_map(MailboxId::new).collect();
    let mut models = vec![Model::default(); 3];
    let fresh = Follower { modseq: ModSeq::MIN, uid_next: Uid::MIN, messages: vec![] };
    let mut followers = vec![fresh; 3];
    for (step, act) in acts.iter().enumerate() {
        match act.clone() {
            Act::Deliver { mailbox, size } => {
                deliver(&store, &vec![b'x'; size], &[(alice(), ids[mailbox])]).await.unwrap();
                models[mailbox].add(Flags::default(), size);
            }
            Act::Flag { mailbox, uids: numbers, change, bits, keyword } => {
                let keywords = keyword.and_then(|n| Keyword::parse(&format!("k{n}"))).into_iter().collect();
                let flags = Flags { system: SystemFlags::from_bits(bits), keywords };
                let change = [FlagChange::Replace, FlagChange::Add, FlagChange::Remove][usize::from(change)];
                let update = FlagUpdate { change, flags: flags.clone() };
                store.update_flags(alice(), ids[mailbox], uids(&numbers), update).await.unwrap();
                for message in models[mailbox].messages.iter_mut().filter(|m| numbers.contains(&m.0)) {
                    match change {
                        FlagChange::Replace => message.1 = flags.clone(),
                        FlagChange::Add => message.1.add(&flags),
                        FlagChange::Remove => message.1.remove(&flags),
                    }
                }
            }
            Act::Copy { from, to, uids: numbers } => {
                let copied = store.copy(alice(), ids[from], uids(&numbers), ids[to], None).await.unwrap();
                let messages = models[from].take(&numbers);
                assert_eq!(copied.pairs.len(), messages.len());
                messages.into_iter().for_each(|(_, flags, size)| models[to].add(flags, size));
            }
            Act::Move { from, to, uids: numbers } => {
                store.move_messages(alice(), ids[from], uids(&numbers), ids[to]).await.unwrap();
                let messages = models[from].take(&numbers);
                models[from].messages.retain(|m| !numbers.contains(&m.0));
                messages.into_iter().for_each(|(_, flags, size)| models[to].add(flags, size));
            }
            Act::Expunge { mailbox } => {
                store.expunge(alice(), ids[mailbox], everything()).await.unwrap();
                models[mailbox].messages.retain(|m| !m.1.contains(SystemFlag::Deleted));
            }
            Act::Reopen => {
                if bench.directory.is_some() {
                    store.close();
                    drop(store);
                    bench = bench.reopen();
                    store = bench.store().await;
                }
            }
        }
        for ((id, model), follower) in ids.iter().zip(&models).zip(&mut followers) {
            if step % 3 == 0 || step + 1 == acts.len() {
                follow(&store, *id, follower).await;
                let wanted: Vec<_> = model.messages.iter().map(|(uid, flags, _)| (*uid, flags.clone())).collect();
                assert_eq!(follower.messages, wanted, "mailbox {id} after {act:?}");
            }
            let id = *id;
            let mailbox = store.read(move |r| r.mailbox(alice(), id)).await.unwrap();
            let unseen = model.messages.iter().filter(|m| !m.1.contains(SystemFlag::Seen)).count();
            assert_eq!(mailbox.uid_next.number(), model.next + 1);
            assert_eq!(
                (mailbox.counts.messages as usize, mailbox.counts.unseen as usize),
                (model.messages.len(), unseen)
            );
        }
    }
    clean(&store);
    let garbage = store.check().unwrap();
    assert_eq!(garbage.entries as usize, models.iter().map(|m| m.messages.len()).sum::<usize>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_engine_agrees_with_the_model(acts in acts()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for bench in Bench::all() {
            runtime.block_on(run(bench, &acts));
        }
    }
}
