//! The first look at a monitor's copy is recorded before it happens, once for each copy (policy semantics §14
//! `monitor.read`).
//!
//! What counts as a look is whatever tells of the message more than its entry does: any section, RFC822 and its like,
//! ENVELOPE, BODY and BODYSTRUCTURE; not FLAGS, UID, RFC822.SIZE and INTERNALDATE, nor SEARCH, which gives numbers only.
//! COPY counts, since there would be two copies to look at and one to record; both are opened then. MOVE does not: the
//! copy stays one, and what is known of it goes with it.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use super::context::Context;
use super::selected::Selected;
use crate::mail::{AccountId, MailboxId, OrganisationId, Uid, UidSet};
use crate::proto::message::compose::monitor_rules;
use crate::server::Services;
use crate::server::admin::Actor;
use crate::server::admin::audit::Record;
use crate::server::admin::spec::Difference;
use crate::store::{AuditEntry, Entry, Error, Reader};

/// Records first looks of one command; there is none where the organisation does not want them.
#[derive(Clone, Debug)]
pub struct Recorder {
    services: Arc<Services>,
    organisation: OrganisationId,
    account: AccountId,
    client: SocketAddr,
    mailbox: MailboxId,
}

impl Recorder {
    /// For the selected mailbox, if the account's organisation wants first looks recorded.
    pub fn new(context: &Context, selected: &Selected) -> Option<Self> {
        let directory = context.services.directory.current();
        let organisation = directory.organisation(directory.account_organisation(selected.account)?)?;
        organisation.record_monitor_reads.then(|| Self {
            services: context.services.clone(),
            organisation: organisation.id,
            account: selected.account,
            client: context.connection.peer(),
            mailbox: selected.mailbox,
        })
    }

    /// Records the first look at those of these messages that are unopened copies: when this gives `Ok`, the records are
    /// on disk and the content may be given. [`Error::Unavailable`] if they cannot be written.
    pub async fn open(&self, uids: UidSet) -> Result<(), Error> {
        self.open_all(uids).await.map_err(|error| {
            tracing::error!(account = %self.account, %error, "the first look at a monitor's copy cannot be recorded");
            Error::Unavailable
        })
    }

    async fn open_all(&self, mut uids: UidSet) -> Result<(), Error> {
        loop {
            let (reader, asked) = (self.clone(), uids.clone());
            let copies = self.services.store.read(move |r| reader.find(r, &asked)).await?;
            let Some(last) = copies.last().map(|(entry, _)| entry.uid) else { return Ok(()) };
            let mut done = UidSet::new();
            done.insert_range(Uid::MIN, last);
            uids = uids.difference(&done);
            let record = |difference| AuditEntry { organisation: self.organisation, record: self.record(difference) };
            let copies = copies.into_iter().map(|(entry, seen)| (entry.uid, record(seen))).collect();
            self.services.store.open_copies(self.account, self.mailbox, copies).await?;
        }
    }

    /// The unopened copies, each with what its record says of it: the first of them, in order, that one commit takes.
    fn find(&self, reader: &Reader<'_>, uids: &UidSet) -> Result<Vec<(Entry, Difference)>, Error> {
        let mut entries = Vec::new();
        reader.entries(self.account, self.mailbox, uids, &mut |entry| {
            if entry.is_unopened() {
                entries.push(entry);
            }
            entries.len() < BATCH
        })?;
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let folders = reader.folders(self.account)?;
        let folder = folders.folders.iter().find(|f| f.id == self.mailbox).map(|f| f.name.to_string());
        entries.into_iter().map(|entry| Ok((entry.clone(), seen(reader, &entry, folder.as_deref())?))).collect()
    }

    fn record(&self, difference: Difference) -> Vec<u8> {
        let actor = Actor::Account { account: self.account, client: self.client };
        Record::change(self.services.clock.now(), actor, ACTION, vec![difference]).encode()
    }
}

/// Which copy it is: the message by the id that its trace has, where the copy lies, and for which rules it was made.
fn seen(reader: &Reader<'_>, entry: &Entry, folder: Option<&str>) -> Result<Difference, Error> {
    let message = reader.message(entry.blob)?;
    let mut start = Vec::new();
    reader.rest(message.rest(), 0, START, &mut start)?;
    let rules = monitor_rules(&message.prefix, &start);
    Ok(Difference {
        kind: "monitor-copy".to_owned(),
        id: 0,
        name: message.content.to_string(),
        before: Value::from("unopened"),
        after: json!({ "mailbox": folder, "uid": entry.uid.number(), "rules": rules }),
    })
}

/// Copies that are read and recorded at once.
const BATCH: usize = 500;

/// In the audit log.
const ACTION: &str = "monitor.read";

/// As much of a report as names its rules.
const START: u64 = 64 << 10;
