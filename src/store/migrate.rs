//! Brings what an earlier version has stored into the form of this one, when a store is opened and before anything else
//! reads it. Each step can be cut short and taken up again; the format version is written last.

use super::engine::{Durability, Key, Keyspace, Write};
use super::key::{self, MailboxKey};
use super::record::{self, Usage};
use super::{Counts, Error, Reader, Store};
use crate::mail::{AccountId, MailboxId};

impl Store {
    /// Writes the format version into a new store. An unknown one is [`Error::Corrupt`].
    pub(super) async fn migrate(&self) -> Result<(), Error> {
        let (keyspace, name) = key::format();
        match self.read(move |reader| reader.snapshot.get(keyspace, &name)).await?.as_deref() {
            Some([record::FORMAT]) => return Ok(()),
            Some([record::FORMAT_WITH_INBOX_IN_USAGE]) => self.take_inbox_out_of_usage().await?,
            None => {}
            Some(_) => return Err(Error::Corrupt),
        }
        let format = Write { key: key::format(), value: Some(vec![record::FORMAT]) };
        self.transact(vec![], vec![format], Durability::Synced, |_| Ok((vec![], ()))).await
    }

    async fn take_inbox_out_of_usage(&self) -> Result<(), Error> {
        let mut from = Vec::new();
        loop {
            let (accounts, last) = self.read(move |reader| usages(reader, &from)).await?;
            if !accounts.is_empty() {
                let inbox = |account| key::mailbox(account, MailboxId::INBOX);
                let reads: Vec<Key> = accounts.iter().flat_map(|id| [key::usage(*id), inbox(*id)]).collect();
                self.transact(reads, vec![], Durability::Buffered, move |values| {
                    let rows = accounts.iter().zip(values.chunks_exact(2));
                    let writes = rows.filter_map(|(id, values)| without_inbox(*id, values));
                    Ok((writes.collect(), ()))
                })
                .await?;
            }
            match last {
                Some(last) => from = last,
                None => return Ok(()),
            }
        }
    }
}

/// Accounts with a usage row from a key on, and the key from which the search goes on.
fn usages(reader: &Reader<'_>, from: &[u8]) -> Result<(Vec<AccountId>, Option<Vec<u8>>), Error> {
    let (mut accounts, mut last) = (Vec::new(), None);
    reader.snapshot.range(Keyspace::Mailbox, from, &[255; 16], &mut |key, _| {
        if accounts.len() >= ACCOUNTS {
            last = Some(key.to_vec());
            return false;
        }
        if let Some(MailboxKey::Usage(account)) = key::parse_mailbox(key) {
            accounts.push(account);
        }
        true
    })?;
    Ok((accounts, last))
}

/// The usage row of an account in its new form. One that is damaged stays; it, and one that does not fit a damaged INBOX,
/// is for the check to find.
fn without_inbox(account: AccountId, values: &[Option<Vec<u8>>]) -> Option<Write> {
    let [Some(usage), inbox] = values else { return None };
    let whole = record::decode_whole_usage(usage).ok().flatten()?;
    let inbox = inbox.as_ref().and_then(|value| record::decode_mailbox(MailboxId::INBOX, value).ok());
    let inbox = inbox.map_or_else(Counts::default, |inbox| inbox.counts);
    let others = Usage {
        octets: whole.octets.saturating_sub(inbox.octets),
        messages: whole.messages.saturating_sub(inbox.messages.into()),
    };
    Some(Write { key: key::usage(account), value: Some(record::encode_usage(others)) })
}

/// Accounts in one commit.
const ACCOUNTS: usize = 1000;
