//! The first look at a monitor's copy: the mark on the entry and its audit record, in one commit (policy semantics §14).

use super::engine::{Durability, Write};
use super::{AuditEntry, Entry, Error, Origin, Store, audit, key, record};
use crate::mail::{AccountId, MailboxId, Uid};

impl Entry {
    /// A monitor's copy of which no first look is recorded.
    pub fn is_unopened(&self) -> bool {
        self.origin == Origin::Monitor && !self.opened
    }
}

impl Store {
    /// Marks copies of a mailbox as opened and appends the record of each to its organisation's log. One that is opened
    /// already, whoever was first, is no monitor's copy, or is gone has no record and is left alone. Durable. The mark
    /// is no change that a session sees.
    pub async fn open_copies(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        copies: Vec<(Uid, AuditEntry)>,
    ) -> Result<(), Error> {
        let (uids, records): (Vec<Uid>, Vec<AuditEntry>) = copies.into_iter().unzip();
        let mut reads: Vec<_> = uids.iter().map(|uid| key::entry(account, mailbox, *uid)).collect();
        reads.append(&mut audit::reads(&records));
        let now = self.inner.clock.now();
        self.transact(reads, vec![], Durability::Synced, move |values| {
            let (entries, heads) = values.split_at_checked(uids.len()).ok_or(Error::Corrupt)?;
            let (mut writes, mut due, mut due_heads) = (Vec::new(), Vec::new(), Vec::new());
            for (((uid, value), entry), head) in uids.iter().zip(entries).zip(&records).zip(heads) {
                let Some(value) = value else { continue };
                let copy = record::decode_entry(*uid, value)?;
                if copy.is_unopened() {
                    let value = Some(record::encode_entry(&Entry { opened: true, ..copy }));
                    writes.push(Write { key: key::entry(account, mailbox, *uid), value });
                    due.push(entry.clone());
                    due_heads.push(head.clone());
                }
            }
            writes.append(&mut audit::appends(&due, &due_heads, now)?);
            Ok((writes, ()))
        })
        .await
    }
}
