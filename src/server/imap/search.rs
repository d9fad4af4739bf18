//! SEARCH and UID SEARCH (RFC 3501 §6.4.4), with RETURN as ESEARCH (RFC 4731).
//!
//! Flags, dates, sizes and sets are answered from the mailbox's entries; only the messages that pass these are read,
//! and of those only the header unless BODY or TEXT is asked for. A search runs in slices of time on a thread that
//! may block, each over a snapshot of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::context::Context;
use super::selected::Selected;
use super::status::{Done, Failure, Outcome};
use super::view::{View, numbers};
use crate::mail::{AccountId, Keyword, MailboxId, SystemFlag, Uid, UidSet};
use crate::proto::imap::response::{self, SearchResult};
use crate::proto::imap::{Date, Numbering, Search, SearchKey, SearchReturn, Tag};
use crate::proto::message::{Needle, SearchText, SentDate, Summary, header};
use crate::store::{Entry, Error, Message, Reader};

/// A search key, prepared.
enum Test {
    All,
    And(Vec<Test>),
    Or(Vec<Test>),
    Not(Box<Test>),
    System(SystemFlag),
    Keyword(Option<Keyword>),
    /// Recent, by number or by UID: known before anything is read.
    Among(UidSet),
    ModSeq(u64),
    Larger(u64),
    Smaller(u64),
    Arrived(Day),
    Sent(Day),
    Header {
        field: String,
        needle: Needle,
    },
    Body(Needle),
    Text(Needle),
}

/// A comparison of days.
enum Day {
    Before(Date),
    On(Date),
    Since(Date),
}

impl Day {
    fn matches(&self, date: Date) -> bool {
        match self {
            Day::Before(limit) => date < *limit,
            Day::On(day) => date == *day,
            Day::Since(limit) => date >= *limit,
        }
    }
}

/// A search in progress.
struct Job {
    account: AccountId,
    mailbox: MailboxId,
    test: Test,
    /// Where matches can be.
    within: UidSet,
}

/// Says which messages match.
pub async fn search(context: &mut Context, selected: &mut Selected, tag: &Tag, command: Search) -> Outcome {
    let test = Test::prepare(command.key, &selected.view);
    let within = test.bounds().map_or_else(|| selected.view.uids().clone(), |b| b.intersection(selected.view.uids()));
    let job = Arc::new(Job { account: selected.account, mailbox: selected.mailbox, test, within });
    let found = run(context, job).await?;

    let mut numbers = numbers(selected.view.uids());
    let found: Vec<u32> = match command.numbering {
        Numbering::Uid => found.iter().map(Uid::number).collect(),
        Numbering::Sequence => found.iter().filter_map(|uid| numbers.of(uid)).collect(),
    };
    context.say(|out| match &command.returns {
        None => response::search(out, &found, None),
        Some(returns) => response::esearch(out, tag, &result(&found, returns, command.numbering)),
    });
    Ok(Done::Plain)
}

fn result<'a>(found: &'a [u32], returns: &[SearchReturn], numbering: Numbering) -> SearchResult<'a> {
    let wants = |what| returns.contains(&what);
    SearchResult {
        uid: numbering == Numbering::Uid,
        min: found.first().copied().filter(|_| wants(SearchReturn::Min)),
        max: found.last().copied().filter(|_| wants(SearchReturn::Max)),
        all: wants(SearchReturn::All).then_some(found),
        count: wants(SearchReturn::Count).then(|| u32::try_from(found.len()).unwrap_or(u32::MAX)),
        modseq: None,
    }
}

async fn run(context: &mut Context, job: Arc<Job>) -> Result<UidSet, Failure> {
    let mut found = UidSet::new();
    let mut from = Some(Uid::MIN);
    while let Some(first) = from {
        let slice = job.clone();
        let (matches, next) = context.services.store.read(move |r| slice.slice(r, first)).await?;
        found = found.union(&matches);
        from = next;
    }
    Ok(found)
}

impl Job {
    /// Looks at messages from `first` on until the time is up; gives where to go on.
    fn slice(&self, reader: &Reader<'_>, first: Uid) -> Result<(UidSet, Option<Uid>), Error> {
        let until = Instant::now() + SLICE;
        let mut left = UidSet::new();
        left.insert_range(first, Uid::MAX);
        let left = left.intersection(&self.within);
        let (mut found, mut next, mut failed) = (UidSet::new(), None, Ok(()));
        reader.entries(self.account, self.mailbox, &left, &mut |entry| {
            let uid = entry.uid;
            let mut candidate = Candidate { reader, entry, message: None, header: None, content: None };
            match self.test.matches(&mut candidate) {
                Ok(true) => found.insert(uid),
                Ok(false) => {}
                // One damaged message does not keep the others from being found.
                Err(error @ (Error::Corrupt | Error::NotFound)) => {
                    tracing::error!(account = %self.account, %uid, %error, "cannot search a message");
                }
                Err(error) => failed = Err(error),
            }
            if Instant::now() >= until {
                next = uid.next();
            }
            failed.is_ok() && next.is_none()
        })?;
        failed?;
        Ok((found, next))
    }
}

impl Test {
    fn prepare(key: SearchKey, view: &View) -> Self {
        match key {
            SearchKey::All => Test::All,
            SearchKey::And(keys) => Test::And(Test::cheapest_first(keys, view)),
            SearchKey::Or(keys) => Test::Or(Test::cheapest_first(keys, view)),
            SearchKey::Not(key) => Test::Not(Box::new(Test::prepare(*key, view))),
            SearchKey::System(flag) => Test::System(flag),
            SearchKey::Recent => Test::Among(view.recent_uids().clone()),
            SearchKey::Keyword(keyword) => Test::Keyword(keyword),
            SearchKey::Before(date) => Test::Arrived(Day::Before(date)),
            SearchKey::On(date) => Test::Arrived(Day::On(date)),
            SearchKey::Since(date) => Test::Arrived(Day::Since(date)),
            SearchKey::SentBefore(date) => Test::Sent(Day::Before(date)),
            SearchKey::SentOn(date) => Test::Sent(Day::On(date)),
            SearchKey::SentSince(date) => Test::Sent(Day::Since(date)),
            SearchKey::Larger(size) => Test::Larger(size),
            SearchKey::Smaller(size) => Test::Smaller(size),
            SearchKey::Header { field, text } => Test::Header { field, needle: Needle::new(&text) },
            SearchKey::Body(text) => Test::Body(Needle::new(&text)),
            SearchKey::Text(text) => Test::Text(Needle::new(&text)),
            SearchKey::Sequence(set) => Test::Among(view.numbered(&set)),
            SearchKey::Uid(set) => Test::Among(view.by_uids(&set)),
            SearchKey::ModSeq(modseq) => Test::ModSeq(modseq),
        }
    }

    fn cheapest_first(keys: Vec<SearchKey>, view: &View) -> Vec<Self> {
        let mut tests: Vec<Test> = keys.into_iter().map(|key| Test::prepare(key, view)).collect();
        tests.sort_by_key(Test::cost);
        tests
    }

    /// Where matches can only be, if the sets say so.
    fn bounds(&self) -> Option<UidSet> {
        match self {
            Test::Among(uids) => Some(uids.clone()),
            Test::And(tests) => {
                let bounds = tests.iter().filter_map(Test::bounds);
                bounds.reduce(|a, b| a.intersection(&b))
            }
            _ => None,
        }
    }

    /// What has to be read for it: nothing, the header, the message.
    fn cost(&self) -> u8 {
        match self {
            Test::All
            | Test::System(_)
            | Test::Keyword(_)
            | Test::Among(_)
            | Test::ModSeq(_)
            | Test::Larger(_)
            | Test::Smaller(_)
            | Test::Arrived(_) => 0,
            Test::Sent(_) | Test::Header { .. } => 1,
            Test::Body(_) | Test::Text(_) => 2,
            Test::And(tests) | Test::Or(tests) => tests.iter().map(Test::cost).max().unwrap_or(0),
            Test::Not(test) => test.cost(),
        }
    }

    fn matches(&self, candidate: &mut Candidate<'_, '_>) -> Result<bool, Error> {
        let entry = &candidate.entry;
        Ok(match self {
            Test::All => true,
            Test::And(tests) => {
                for test in tests {
                    if !test.matches(candidate)? {
                        return Ok(false);
                    }
                }
                true
            }
            Test::Or(tests) => {
                for test in tests {
                    if test.matches(candidate)? {
                        return Ok(true);
                    }
                }
                false
            }
            Test::Not(test) => !test.matches(candidate)?,
            Test::System(flag) => entry.flags.contains(*flag),
            Test::Keyword(keyword) => keyword.as_ref().is_some_and(|k| entry.flags.keywords.contains(k)),
            Test::Among(uids) => uids.contains(entry.uid),
            Test::ModSeq(modseq) => entry.modseq.number() >= *modseq,
            Test::Larger(size) => entry.size > *size,
            Test::Smaller(size) => entry.size < *size,
            Test::Arrived(day) => day.matches(Date::of(entry.internal_date)),
            Test::Sent(day) => candidate.sent()?.is_some_and(|date| day.matches(date)),
            Test::Header { field, needle } => needle.matches_field(candidate.header()?, field),
            Test::Body(needle) => candidate.look(|text| text.body_contains(needle))?,
            Test::Text(needle) => candidate.look(|text| text.text_contains(needle))?,
        })
    }
}

/// A message that may match, with as much of it as has been needed.
struct Candidate<'a, 'b> {
    reader: &'a Reader<'b>,
    entry: Entry,
    message: Option<Message>,
    /// Prefix and the beginning of the content, with the whole header in it.
    header: Option<Vec<u8>>,
    content: Option<(Vec<u8>, Summary)>,
}

impl Candidate<'_, '_> {
    fn message(&mut self) -> Result<&Message, Error> {
        match &mut self.message {
            Some(message) => Ok(message),
            none => Ok(none.insert(self.reader.message(self.entry.blob)?)),
        }
    }

    fn header(&mut self) -> Result<&[u8], Error> {
        if self.header.is_none() {
            let message = self.message()?;
            let (rest, mut octets) = (message.rest(), message.prefix.clone());
            self.reader.rest(rest, 0, MAX_HEADER, &mut octets)?;
            self.header = Some(octets);
        }
        Ok(self.header.as_deref().unwrap_or_default())
    }

    /// The day of the Date field as written there, whatever its time zone (RFC 3501 §6.4.4).
    fn sent(&mut self) -> Result<Option<Date>, Error> {
        let field = header::find(self.header()?, "Date");
        let day = field.and_then(|f| SentDate::parse(&f.value())).map(|d| d.day);
        Ok(day.and_then(|day| {
            Date::new(day.year().into(), u32::try_from(day.month()).ok()?, u32::try_from(day.day()).ok()?)
        }))
    }

    fn look(&mut self, matches: impl FnOnce(SearchText<'_>) -> bool) -> Result<bool, Error> {
        if self.content.is_none() {
            let message = self.message()?;
            let (rest, summary) = (message.rest(), Summary::decode(&message.summary).ok_or(Error::Corrupt)?);
            let mut octets = Vec::new();
            self.reader.rest(rest, 0, MAX_CONTENT, &mut octets)?;
            self.content = Some((octets, summary));
        }
        let (Some((content, summary)), Some(message)) = (&self.content, &self.message) else { return Ok(false) };
        Ok(matches(SearchText { prefix: &message.prefix, content, root: &summary.root }))
    }
}

/// How long a search holds a thread and a snapshot at once.
const SLICE: Duration = Duration::from_millis(100);
/// As much of a header as is searched.
const MAX_HEADER: u64 = 256 << 10;
/// As much of a message as is searched.
const MAX_CONTENT: u64 = 32 << 20;
