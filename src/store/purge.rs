//! What goes away: deleted mailboxes, removed accounts, content that nothing refers to. Each step is a bounded commit,
//! and what is left undone is found again at the next start.

use std::time::Duration;

use super::engine::{Durability, Keyspace, Write};
use super::references::References;
use super::{Error, Store, key, record};
use crate::mail::{AccountId, BlobId, MailboxId, Timestamp};

impl Store {
    /// Removes an account's mailboxes with their messages. Comes back when all is gone; safe to call again. Durable.
    pub async fn purge_account(&self, account: AccountId) -> Result<(), Error> {
        let mailboxes = self
            .transact(vec![key::folders(account)], vec![], Durability::Synced, move |values| {
                let Some(value) = &values[0] else { return Ok((vec![], Vec::new())) };
                let list = record::decode_folders(value)?;
                let mailboxes: Vec<MailboxId> = list.folders.folders.iter().map(|f| f.id).collect();
                let mut writes = vec![Write { key: key::folders(account), value: None }];
                writes.extend(mailboxes.iter().map(|id| mark(account, *id)));
                Ok((writes, mailboxes))
            })
            .await?;
        for mailbox in mailboxes {
            self.purge_mailbox(account, mailbox).await?;
        }
        Ok(())
    }

    /// Removes what a deleted mailbox held. It is no longer listed and is marked as to be purged.
    pub(super) async fn purge_mailbox(&self, account: AccountId, mailbox: MailboxId) -> Result<(), Error> {
        loop {
            match self.remove_all(account, mailbox).await {
                Ok(()) | Err(Error::NotFound) => {}
                Err(error) => return Err(error),
            }
            match self.drop_mailbox(account, mailbox).await {
                // A message came in by a session that still knew the mailbox.
                Err(Error::Conflict) => {}
                result => return result,
            }
        }
    }

    async fn drop_mailbox(&self, account: AccountId, mailbox: MailboxId) -> Result<(), Error> {
        let changes = self
            .read(move |reader| {
                let mut keys = Vec::new();
                let (from, to) = key::change_range(account, mailbox, 0);
                reader.snapshot.range(Keyspace::Change, &from, &to, &mut |key, _| {
                    keys.push(Write::delete(Keyspace::Change, key.to_vec()));
                    true
                })?;
                Ok(keys)
            })
            .await?;
        let reads = vec![key::mailbox(account, mailbox), key::folders(account)];
        self.transact(reads, changes, Durability::Synced, move |values| {
            if let Some(value) = &values[0]
                && record::decode_mailbox(mailbox, value)?.counts.messages > 0
            {
                return Err(Error::Conflict);
            }
            let mut writes = vec![
                Write { key: key::mailbox(account, mailbox), value: None },
                Write { key: key::purge(account, mailbox), value: None },
            ];
            if values[1].is_none() {
                writes.push(Write { key: key::usage(account), value: None });
            }
            Ok((writes, ()))
        })
        .await?;
        self.publish([(account, mailbox)]);
        Ok(())
    }

    /// Takes up the purges that the last process did not finish, in the background.
    pub(super) async fn resume_purges(&self) -> Result<(), Error> {
        let pending = self
            .read(|reader| {
                let mut pending = Vec::new();
                let (from, to) = key::purge_range();
                reader.snapshot.range(Keyspace::Task, &from, &to, &mut |key, _| {
                    pending.extend(key::parse_purge(key));
                    true
                })?;
                Ok(pending)
            })
            .await?;
        for (account, mailbox) in pending {
            self.purge_in_background(account, mailbox);
        }
        Ok(())
    }

    /// Purges while the caller goes on.
    pub(super) fn purge_in_background(&self, account: AccountId, mailbox: MailboxId) {
        let store = self.clone();
        tokio::spawn(async move {
            if let Err(error) = store.purge_mailbox(account, mailbox).await {
                tracing::warn!(%account, %mailbox, %error, "purge of a deleted mailbox goes on at the next start");
            }
        });
    }

    /// Deletes content to which nothing has referred for `grace`; sessions that read it then have had that long to
    /// finish. Gives how many messages were deleted. Old decisions on held messages go as well.
    pub async fn sweep(&self, grace: Duration) -> Result<usize, Error> {
        self.forget_holds().await?;
        let grace = i64::try_from(grace.as_millis()).unwrap_or(i64::MAX);
        let now = self.inner.clock.now();
        let until = Timestamp::from_millis(now.millis().saturating_sub(grace));
        let mut swept = 0;
        loop {
            let found = self.garbage(until).await?;
            if found.is_empty() {
                return Ok(swept);
            }
            for piece in found {
                let reads = vec![key::reference(piece.blob), key::reference(piece.content)];
                self.transact(reads, vec![], Durability::Buffered, move |values| piece.sweep(values, now)).await?;
                swept += 1;
            }
        }
    }

    /// Sweeps again and again, for as long as the server runs.
    pub async fn sweep_forever(&self, every: Duration, grace: Duration) {
        loop {
            tokio::time::sleep(every).await;
            if let Err(error) = self.sweep(grace).await {
                tracing::warn!(%error, "sweep failed");
            }
        }
    }

    async fn garbage(&self, until: Timestamp) -> Result<Vec<Garbage>, Error> {
        self.read(move |reader| {
            let mut keys = Vec::new();
            let (from, to) = key::garbage_range(until);
            reader.snapshot.range(Keyspace::Reference, &from, &to, &mut |key, _| {
                keys.extend(key::parse_garbage(key).map(|blob| (key.to_vec(), blob)));
                keys.len() < 1000
            })?;
            keys.into_iter()
                .map(|(row, blob)| {
                    let (keyspace, message) = key::message(blob);
                    let value = reader.snapshot.get(keyspace, &message)?;
                    let message = value.map(|v| record::decode_message(blob, &v)).transpose()?;
                    let (content, chunks) = message.map_or((blob, 0), |m| (m.content, m.chunks));
                    Ok(Garbage { row, blob, content, chunks })
                })
                .collect()
        })
        .await
    }
}

/// A message that nothing referred to.
struct Garbage {
    /// The row that says so.
    row: Vec<u8>,
    blob: BlobId,
    content: BlobId,
    chunks: u32,
}

impl Garbage {
    /// Deletes it, unless something refers to it again: the content with its first form, any other form without.
    fn sweep(&self, values: &[Option<Vec<u8>>], now: Timestamp) -> Result<(Vec<Write>, ()), Error> {
        let [own, content] = values else { return Err(Error::Corrupt) };
        let mut writes = vec![Write::delete(Keyspace::Reference, self.row.clone())];
        if own.is_none() {
            writes.push(Write { key: key::message(self.blob), value: None });
            writes.extend((0..self.chunks).map(|n| Write { key: key::chunk(self.blob, n), value: None }));
            if self.content != self.blob {
                let mut references = References::default();
                references.read(self.content, content).map_err(|_| Error::Corrupt)?;
                references.subtract(self.content)?;
                writes.append(&mut references.writes(now));
            }
        }
        Ok((writes, ()))
    }
}

/// The mark of a deleted mailbox.
pub(super) fn mark(account: AccountId, mailbox: MailboxId) -> Write {
    Write { key: key::purge(account, mailbox), value: Some(vec![]) }
}
