//! `posthouse check`: proves reference counts, counters and keys against entries.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::engine::Keyspace;
use super::key::{self, MailboxKey};
use super::record::{self, Usage};
use super::{Counts, Error, Mailbox, Reader, RuleSet, RuleSetId, Store};
use crate::mail::{AccountId, BlobId, MailboxId, ModSeq, OrganisationId, SystemFlag, Timestamp, Uid};

/// What was counted, and what does not agree.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    /// Accounts with mailboxes.
    pub accounts: u64,
    /// Mailboxes.
    pub mailboxes: u64,
    /// Entries in mailboxes.
    pub entries: u64,
    /// Messages, each form on its own.
    pub messages: u64,
    /// What does not agree. Empty when all is well; at most 1,000.
    pub findings: Vec<Finding>,
}

/// One disagreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where: a key in words.
    pub place: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Store {
    /// Reads everything once, content included, over one snapshot. Blocks for as long as that takes.
    pub fn check(&self) -> Result<CheckReport, Error> {
        self.read_blocking(|reader| {
            let mut check = Check::default();
            check.mailboxes(reader)?;
            check.entries(reader)?;
            check.waiting(reader)?;
            check.messages(reader)?;
            check.references(reader)?;
            check.chunks(reader)?;
            Ok(check.finish())
        })
    }
}

#[derive(Default)]
struct Check {
    report: CheckReport,
    mailboxes: BTreeMap<(AccountId, MailboxId), Mailbox>,
    usages: HashMap<AccountId, Usage>,
    /// As the entries have it.
    counted: HashMap<(AccountId, MailboxId), Tally>,
    /// By entries, queue items, held messages, slices, messages still to be made, and other forms.
    referenced: HashMap<BlobId, u32>,
    held: HashMap<OrganisationId, u64>,
    /// By held messages that are not finished.
    rule_sets: HashMap<RuleSetId, u32>,
    garbage: HashSet<BlobId>,
    /// The content that each message record promises.
    promised: HashMap<BlobId, Chunks>,
}

/// Content as a sum of chunks.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Chunks {
    octets: u64,
    chunks: u32,
}

#[derive(Default)]
struct Tally {
    counts: Counts,
    last: Option<Uid>,
    modseq: Option<ModSeq>,
}

impl Check {
    fn find(&mut self, place: impl ToString, problem: impl ToString) {
        if self.report.findings.len() < 1000 {
            self.report.findings.push(Finding { place: place.to_string(), problem: problem.to_string() });
        }
    }

    fn mailboxes(&mut self, reader: &Reader<'_>) -> Result<(), Error> {
        let mut listed = HashSet::new();
        scan(reader, Keyspace::Mailbox, (vec![], vec![255; 16]), |key, value| match key::parse_mailbox(key) {
            Some(MailboxKey::Folders(account)) => {
                self.report.accounts += 1;
                match record::decode_folders(value) {
                    Ok(list) => listed.extend(list.folders.folders.iter().map(|f| (account, f.id, f.uid_validity))),
                    Err(_) => self.find(format!("account {account}"), "its folder list is damaged"),
                }
            }
            Some(MailboxKey::Usage(account)) => match record::decode_usage(value) {
                Ok(usage) => drop(self.usages.insert(account, usage)),
                Err(_) => self.find(format!("account {account}"), "its usage is damaged"),
            },
            Some(MailboxKey::Mailbox(account, id)) => match record::decode_mailbox(id, value) {
                Ok(mailbox) => drop(self.mailboxes.insert((account, id), mailbox)),
                Err(_) => self.find(place(account, id), "its record is damaged"),
            },
            None => self.find(format!("key {key:?}"), "is no key of the mailbox keyspace"),
        })?;
        for (account, id, validity) in &listed {
            match self.mailboxes.get(&(*account, *id)) {
                Some(mailbox) if mailbox.uid_validity == *validity => {}
                Some(_) => self.find(place(*account, *id), "UIDVALIDITY differs from the folder list"),
                None => self.find(place(*account, *id), "is listed and does not exist"),
            }
        }
        let listed: HashSet<_> = listed.into_iter().map(|(account, id, _)| (account, id)).collect();
        let unlisted: Vec<_> = self.mailboxes.keys().filter(|k| !listed.contains(k)).copied().collect();
        for (account, id) in unlisted {
            let (keyspace, key) = key::purge(account, id);
            if reader.snapshot.get(keyspace, &key)?.is_none() {
                self.find(place(account, id), "exists and is not listed");
            }
        }
        self.report.mailboxes = self.mailboxes.len() as u64;
        Ok(())
    }

    fn entries(&mut self, reader: &Reader<'_>) -> Result<(), Error> {
        scan(reader, Keyspace::Entry, (vec![], vec![255; 16]), |key, value| {
            let Some((account, mailbox, uid)) = key::parse_entry(key) else {
                return self.find(format!("key {key:?}"), "is no key of the entry keyspace");
            };
            let Ok(entry) = record::decode_entry(uid, value) else {
                return self.find(format!("{} uid {uid}", place(account, mailbox)), "its record is damaged");
            };
            self.report.entries += 1;
            let tally = self.counted.entry((account, mailbox)).or_default();
            tally.counts.messages += 1;
            tally.counts.unseen += u32::from(!entry.flags.contains(SystemFlag::Seen));
            tally.counts.octets += entry.size;
            tally.last = Some(uid);
            tally.modseq = tally.modseq.max(Some(entry.modseq));
            self.refer(entry.blob);
        })?;
        self.compare_mailboxes();
        self.compare_usage();
        Ok(())
    }

    fn compare_mailboxes(&mut self) {
        let mut findings = Vec::new();
        for ((account, id), mailbox) in &self.mailboxes {
            let place = place(*account, *id);
            let none = Tally::default();
            let tally = self.counted.get(&(*account, *id)).unwrap_or(&none);
            if tally.counts != mailbox.counts {
                findings
                    .push((place.clone(), format!("counts {:?}, its entries are {:?}", mailbox.counts, tally.counts)));
            }
            if tally.last.is_some_and(|uid| uid >= mailbox.uid_next) {
                findings.push((place.clone(), format!("UIDNEXT {} is not above its last UID", mailbox.uid_next)));
            }
            if tally.modseq.is_some_and(|modseq| modseq > mailbox.highest_modseq) {
                findings.push((place, format!("HIGHESTMODSEQ {} is below an entry's", mailbox.highest_modseq)));
            }
        }
        for (account, id) in self.counted.keys().filter(|k| !self.mailboxes.contains_key(k)) {
            findings.push((place(*account, *id), "has entries and does not exist".to_owned()));
        }
        findings.into_iter().for_each(|(place, problem)| self.find(place, problem));
    }

    fn compare_usage(&mut self) {
        let mut sums: HashMap<AccountId, Usage> = HashMap::new();
        // INBOX is counted by its own record alone.
        for ((account, _), tally) in self.counted.iter().filter(|((_, id), _)| *id != MailboxId::INBOX) {
            let sum = sums.entry(*account).or_default();
            sum.messages += u64::from(tally.counts.messages);
            sum.octets += tally.counts.octets;
        }
        let accounts: HashSet<AccountId> = sums.keys().chain(self.usages.keys()).copied().collect();
        for account in accounts {
            let sum = sums.get(&account).copied().unwrap_or_default();
            let usage = self.usages.get(&account).copied().unwrap_or_default();
            if sum != usage {
                self.find(
                    format!("account {account}"),
                    format!("usage {usage:?} beside INBOX, its entries are {sum:?}"),
                );
            }
        }
    }

    /// What refers to messages without being in a mailbox.
    fn waiting(&mut self, reader: &Reader<'_>) -> Result<(), Error> {
        scan(reader, Keyspace::Queue, key::queue_item_range(), |key, value| {
            match key::parse_queue_item(key).map(|id| record::decode_queue_item(id, value)) {
                Some(Ok(item)) => self.refer(item.blob),
                _ => self.find(format!("key {key:?}"), "queue item is damaged"),
            }
        })?;
        scan(reader, Keyspace::Queue, key::hold_range(), |key, value| {
            match key::parse_hold(key).map(|id| record::decode_hold(id, value)) {
                Some(Ok(held)) if held.is_finished() => {}
                Some(Ok(held)) => {
                    self.refer(held.blob);
                    *self.held.entry(held.organisation).or_default() += held.size;
                    held.rules.iter().for_each(|id| *self.rule_sets.entry(*id).or_default() += 1);
                }
                _ => self.find(format!("key {key:?}"), "held message is damaged"),
            }
        })?;
        scan(reader, Keyspace::Task, key::slice_range(None), |key, value| match record::decode_slice(value) {
            Ok(slice) => slice.shapes.iter().for_each(|shape| self.refer(shape.blob)),
            Err(_) => self.find(format!("key {key:?}"), "slice of a delivery is damaged"),
        })?;
        scan(reader, Keyspace::Task, key::follow_up_range(None), |key, value| {
            match key::parse_follow_up(key).map(|id| record::decode_follow_up(id, value)) {
                Some(Ok(row)) => self.refer(row.blob),
                _ => self.find(format!("key {key:?}"), "message to be made is damaged"),
            }
        })?;
        self.rule_sets(reader)?;
        let mut stored = HashMap::new();
        scan(reader, Keyspace::Queue, key::hold_usage_range(), |key, value| {
            match key::parse_hold_usage(key).zip(record::decode_number(value).ok()) {
                Some((organisation, octets)) => drop(stored.insert(organisation, octets)),
                None => self.find(format!("key {key:?}"), "octets held are damaged"),
            }
        })?;
        let organisations: HashSet<_> = stored.keys().chain(self.held.keys()).copied().collect();
        for organisation in organisations {
            let octets = |map: &HashMap<_, u64>| map.get(&organisation).copied().unwrap_or(0);
            let (has, sum) = (octets(&stored), octets(&self.held));
            if has != sum {
                self.find(format!("organisation {organisation}"), format!("{has} octets held, its holds are {sum}"));
            }
        }
        Ok(())
    }

    /// Each rule set has as many references as its count says, and is the one that its name says.
    fn rule_sets(&mut self, reader: &Reader<'_>) -> Result<(), Error> {
        let mut stored = HashMap::new();
        scan(reader, Keyspace::Queue, key::rule_set_count_range(), |key, value| {
            match key::parse_rule_set_count(key).zip(record::decode_count(value).ok()) {
                Some((id, count)) => drop(stored.insert(id, count)),
                None => self.find(format!("key {key:?}"), "count of a rule set is damaged"),
            }
        })?;
        let mut bodies = HashSet::new();
        scan(reader, Keyspace::Queue, key::rule_set_range(), |key, value| match key::parse_rule_set(key) {
            Some(id) if RuleSet::new(value.to_vec()).id() == id => drop(bodies.insert(id)),
            _ => self.find(format!("key {key:?}"), "rule set is damaged"),
        })?;
        let ids: HashSet<_> = stored.keys().chain(self.rule_sets.keys()).chain(&bodies).copied().collect();
        for id in ids {
            let count = |map: &HashMap<_, u32>| map.get(&id).copied().unwrap_or(0);
            let (has, needs) = (count(&stored), count(&self.rule_sets));
            if has != needs || !bodies.contains(&id) {
                self.find(format!("rule set {:?}", id.octets()), format!("counts {has}, but {needs} references"));
            }
        }
        Ok(())
    }

    fn refer(&mut self, blob: BlobId) {
        *self.referenced.entry(blob).or_default() += 1;
    }

    fn references(&mut self, reader: &Reader<'_>) -> Result<(), Error> {
        let mut stored = HashMap::new();
        scan(reader, Keyspace::Reference, key::reference_range(), |key, value| {
            match key::parse_reference(key).zip(record::decode_count(value).ok()) {
                Some((blob, count)) => drop(stored.insert(blob, count)),
                None => self.find(format!("key {key:?}"), "reference count is damaged"),
            }
        })?;
        let blobs: HashSet<BlobId> = stored.keys().chain(self.referenced.keys()).copied().collect();
        for blob in blobs {
            let (has, needs) = (stored.get(&blob).copied(), self.referenced.get(&blob).copied());
            if has != needs {
                let (has, needs) = (has.unwrap_or(0), needs.unwrap_or(0));
                self.find(format!("message {blob}"), format!("reference count {has}, but {needs} references"));
            }
        }
        Ok(())
    }

    fn messages(&mut self, reader: &Reader<'_>) -> Result<(), Error> {
        let all = key::garbage_range(Timestamp::from_millis(i64::MAX));
        scan(reader, Keyspace::Reference, all, |key, _| self.garbage.extend(key::parse_garbage(key)))?;
        let mut stored = Vec::new();
        scan(reader, Keyspace::Message, (vec![], vec![255; 16]), |key, value| {
            let decoded = key::parse_message(key).map(|blob| (blob, record::decode_message(blob, value)));
            match decoded {
                Some((blob, Ok(message))) => {
                    self.report.messages += 1;
                    let octets = if message.content == blob { message.content_size } else { 0 };
                    self.promised.insert(blob, Chunks { octets, chunks: message.chunks });
                    // Until it is swept, a form that nobody needs keeps its content.
                    if message.content != blob {
                        self.refer(message.content);
                    }
                    stored.push(blob);
                }
                _ => self.find(format!("key {key:?}"), "message record is damaged"),
            }
        })?;
        for blob in stored {
            if !self.referenced.contains_key(&blob) && !self.garbage.contains(&blob) {
                self.find(format!("message {blob}"), "nothing refers to it and it is not to be swept");
            }
        }
        let missing: Vec<_> = self.referenced.keys().filter(|b| !self.promised.contains_key(b)).copied().collect();
        missing.into_iter().for_each(|blob| self.find(format!("message {blob}"), "it is referred to and gone"));
        Ok(())
    }

    fn chunks(&mut self, reader: &Reader<'_>) -> Result<(), Error> {
        let mut staging = HashSet::new();
        scan(reader, Keyspace::Task, key::staging_range(), |key, _| staging.extend(key::parse_staging(key)))?;
        let mut stored: HashMap<BlobId, Chunks> = HashMap::new();
        scan(reader, Keyspace::Blob, (vec![], vec![255; 20]), |key, value| match key::parse_chunk(key) {
            Some((blob, _)) if staging.contains(&blob) => {}
            Some((blob, number)) => {
                let sum = stored.entry(blob).or_default();
                if number != sum.chunks {
                    self.find(format!("message {blob}"), format!("chunk {} is missing", sum.chunks));
                }
                sum.octets += value.len() as u64;
                sum.chunks += 1;
            }
            None => self.find(format!("key {key:?}"), "is no key of the blob keyspace"),
        })?;
        let mut findings = Vec::new();
        for blob in stored.keys().filter(|blob| !self.promised.contains_key(blob)) {
            findings.push((format!("content {blob}"), "belongs to no message".to_owned()));
        }
        for (blob, promised) in &self.promised {
            let has = stored.get(blob).copied().unwrap_or_default();
            if has != *promised {
                let problem = format!("has {} octets of content instead of {}", has.octets, promised.octets);
                findings.push((format!("message {blob}"), problem));
            }
        }
        findings.into_iter().for_each(|(place, problem)| self.find(place, problem));
        Ok(())
    }

    fn finish(self) -> CheckReport {
        self.report
    }
}

fn scan(
    reader: &Reader<'_>,
    keyspace: Keyspace,
    (from, to): (Vec<u8>, Vec<u8>),
    mut visit: impl FnMut(&[u8], &[u8]),
) -> Result<(), Error> {
    reader.snapshot.range(keyspace, &from, &to, &mut |key, value| {
        visit(key, value);
        true
    })
}

fn place(account: AccountId, mailbox: MailboxId) -> String {
    format!("account {account} mailbox {mailbox}")
}
