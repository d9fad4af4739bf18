//! Delivery: content and one entry for each mailbox in one durable commit.

use super::engine::{Durability, Write};
use super::mailbox::Editor;
use super::{Content, Entry, Error, Store, key, record};
use crate::mail::{AccountId, Flags, MailboxId, ModSeq, Timestamp, Uid, UidValidity};

/// A mailbox that gets the message.
#[derive(Clone, Debug)]
pub struct Target {
    /// Whose.
    pub account: AccountId,
    /// Which; [`MailboxId::INBOX`] for ordinary mail.
    pub mailbox: MailboxId,
    /// The flags it starts with.
    pub flags: Flags,
}

/// A message to commit. SMTP delivery and APPEND are the same act.
#[derive(Debug)]
pub struct Delivery {
    /// The content.
    pub content: Content,
    /// Trace and other header fields that stand before the content, complete with CRLF.
    pub prefix: Vec<u8>,
    /// `proto::message::Summary::encode`.
    pub summary: Vec<u8>,
    /// Octets of the content's header, with the blank line that ends it: it can then be read without the body.
    pub header: u64,
    /// INTERNALDATE.
    pub internal_date: Timestamp,
    /// One to 1,000 mailboxes, no account and mailbox twice.
    pub targets: Vec<Target>,
}

/// Where a message was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Whose.
    pub account: AccountId,
    /// Which.
    pub mailbox: MailboxId,
    /// Of the mailbox.
    pub uid_validity: UidValidity,
    /// Of the message (APPENDUID, RFC 4315).
    pub uid: Uid,
    /// The entry's MODSEQ.
    pub modseq: ModSeq,
}

impl Store {
    /// Commits the message to all its targets, or to none: when this gives `Ok`, it is on disk and in the mailboxes
    /// (RFC 5321 §6.1). [`Error::NotFound`] if a target no longer exists, [`Error::Limit`] with more than 1,000.
    pub async fn deliver(&self, delivery: Delivery) -> Result<Vec<Placed>, Error> {
        let Delivery { mut content, prefix, summary, header, internal_date, targets } = delivery;
        if targets.is_empty() || targets.len() > MAX_TARGETS {
            return Err(Error::Limit);
        }
        let blob = content.blob();
        let size = prefix.len() as u64 + content.size();
        let (mut writes, chunks) = content.take_writes(header);
        writes.push(Write {
            key: key::message(blob),
            value: Some(record::encode_message(&prefix, content.size(), chunks, &summary)),
        });
        writes.push(Write { key: key::reference(blob), value: Some(record::encode_count(targets.len() as u32)) });
        let reads = targets.iter().flat_map(|t| [key::mailbox(t.account, t.mailbox), key::usage(t.account)]).collect();
        let places: Vec<_> = targets.iter().map(|t| (t.account, t.mailbox)).collect();
        // From here on the commit may happen even if this future is dropped.
        content.keep(true);
        let result = self
            .transact(reads, writes, Durability::Synced, move |values| {
                let mut writes = Vec::with_capacity(targets.len() * 3);
                let mut placed = Vec::with_capacity(targets.len());
                for (target, values) in targets.iter().zip(values.chunks_exact(2)) {
                    let mut editor = Editor::open(target.account, target.mailbox, &values[0], &values[1])?;
                    let modseq = editor.next_modseq()?;
                    let uid = editor.add(Entry {
                        uid: Uid::MIN,
                        blob,
                        flags: target.flags.clone(),
                        modseq,
                        internal_date,
                        size,
                    })?;
                    let uid_validity = editor.mailbox.uid_validity;
                    placed.push(Placed { account: target.account, mailbox: target.mailbox, uid_validity, uid, modseq });
                    writes.append(&mut editor.finish());
                }
                Ok((writes, placed))
            })
            .await;
        match &result {
            Ok(_) => self.publish(places),
            // The disk's state is not known; if the commit did not happen, the next start deletes the content.
            Err(Error::Unavailable) => {}
            Err(_) => content.keep(false),
        }
        result
    }
}

/// A commit is bounded; larger plans go in slices (architecture, "One message through it").
const MAX_TARGETS: usize = 1000;
