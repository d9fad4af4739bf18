//! Who is told what came of attempts at other hosts, and what the trace says of them (policy semantics §6.5, §11.3;
//! RFC 3461 §5.2).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::aftermath::managers;
use super::errand::{self, Errand, SentTo, What};
use super::record;
use crate::directory::Directory;
use crate::mail::{AccountId, Address, EventKind, ReversePath, Timestamp, TlsWish};
use crate::store::{LastAttempt, QueueItem, QueueKind, Remote, Returns, TraceWrite};

/// What came of an attempt for one item.
#[derive(Clone, Debug)]
pub struct Attempted<'a> {
    /// The item.
    pub item: &'a QueueItem,
    /// What has happened.
    pub what: Happened,
    /// How.
    pub attempt: LastAttempt,
    /// Somebody is to be told.
    pub report: bool,
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// Another host has it.
    Relayed,
    /// It is given up.
    Failed,
    /// It waits until `due`, and is given up at `until`.
    Deferred {
        /// When it is tried again.
        due: Timestamp,
        /// When it is given up.
        until: Timestamp,
    },
}

/// The messages that tell of it, for a follow-up each: one for whom it concerns and what has happened.
pub fn reports(directory: &Directory, attempted: &[Attempted<'_>]) -> Vec<Vec<u8>> {
    let mut told: BTreeMap<(String, u8), errand::Sent> = BTreeMap::new();
    for one in attempted.iter().filter(|one| one.report) {
        let QueueKind::Remote(remote) = &one.item.kind else { continue };
        let (what, place) = match one.what {
            Happened::Relayed => (What::Relayed, 0),
            Happened::Failed => (What::Failed, 1),
            Happened::Deferred { until, .. } => (What::Delayed(until), 2),
        };
        for Addressee { to, once_a_day, once_a_message } in addressees(directory, one.item, remote) {
            let report = told.entry((to.key().as_str().to_owned(), place)).or_insert_with(|| errand::Sent {
                to,
                once_a_day,
                once_a_message,
                what,
                envelope_id: remote.envelope_id.clone(),
                // RFC 8689 §5: as if it were RET=HDRS.
                is_full: remote.ret == Some(crate::mail::Ret::Full) && remote.tls != TlsWish::Required,
                requires_tls: remote.tls == TlsWish::Required,
                arrived: one.item.created,
                recipients: Vec::new(),
            });
            report.recipients.push(sent_to(remote, &one.attempt));
        }
    }
    told.into_values().map(|sent| Errand::Sent(sent).encode()).collect()
}

/// What the trace of the message says of the attempt; nothing, if it ended as the one before for all: days of retries
/// would fill it.
pub fn event(now: Timestamp, attempted: &[Attempted<'_>]) -> Option<TraceWrite> {
    let one = |one: &Attempted<'_>| -> Option<Value> {
        let QueueKind::Remote(remote) = &one.item.kind else { return None };
        let (result, due) = match one.what {
            Happened::Relayed => ("relayed", None),
            Happened::Failed => ("failed", None),
            Happened::Deferred { due, .. } => ("deferred", Some(due.millis())),
        };
        let LastAttempt { status, text, host, tls, .. } = &one.attempt;
        let text: String = text.chars().take(MAX_TEXT).collect();
        Some(json!({
            "to": remote.recipient, "result": result, "status": status.to_string(), "text": text, "host": host,
            "tls": tls, "due": due, "attempt": one.item.attempts.saturating_add(1), "reported": one.report,
        }))
    };
    let is_news = |one: &&Attempted<'_>| {
        let (before, now) = (one.item.last.as_ref(), &one.attempt);
        let is_as_before = before.is_some_and(|before| (&before.text, before.status) == (&now.text, now.status));
        one.report || !is_as_before || !matches!(one.what, Happened::Deferred { .. })
    };
    let kind = |one: &Attempted<'_>| match one.what {
        Happened::Relayed => EventKind::Relayed,
        Happened::Failed => EventKind::Bounced,
        Happened::Deferred { .. } => EventKind::Deferred,
    };
    let kinds = attempted.iter().filter(is_news).map(kind).collect();
    let recipients: Vec<Value> = attempted.iter().filter(is_news).filter_map(one).collect();
    let event = || record::event("attempt", json!({ "time": now.millis(), "recipients": recipients }), kinds);
    (!recipients.is_empty()).then(event)
}

/// Who hears of it, and how often as this account.
struct Addressee {
    to: Address,
    once_a_day: Option<AccountId>,
    once_a_message: Option<AccountId>,
}

impl Addressee {
    fn each_time(to: Address) -> Self {
        Self { to, once_a_day: None, once_a_message: None }
    }
}

fn addressees(directory: &Directory, item: &QueueItem, remote: &Remote) -> Vec<Addressee> {
    match &remote.returns {
        Returns::Sender => match &item.reverse_path {
            ReversePath::Address(to) => vec![Addressee::each_time(to.clone())],
            ReversePath::Null => Vec::new(),
        },
        Returns::Original(to) => vec![Addressee::each_time(to.clone())],
        Returns::Forwarder { account, keeps } => {
            let once_a_day = |id| keeps.then_some(id);
            let account = directory.account(*account);
            let told = account.map(|account| Addressee {
                once_a_day: once_a_day(account.id),
                ..Addressee::each_time(account.address.clone())
            });
            told.into_iter().collect()
        }
        // Its members are in as many transactions as there are hosts.
        Returns::Managers(group) => managers(directory, *group)
            .into_iter()
            .map(|manager| Addressee {
                once_a_message: Some(manager.id),
                ..Addressee::each_time(manager.address.clone())
            })
            .collect(),
    }
}

fn sent_to(remote: &Remote, attempt: &LastAttempt) -> SentTo {
    let (subject, detail) = attempt.status.subject_and_detail();
    SentTo {
        recipient: remote.recipient.clone(),
        original: remote.original.clone(),
        status: (attempt.status.class(), subject, detail),
        text: attempt.text.clone(),
        is_reply: attempt.is_reply,
        host: attempt.host.clone(),
        at: attempt.at,
    }
}

/// Characters of a reply that the trace keeps; the queue has all of the last one.
const MAX_TEXT: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{BlobId, EnhancedCode, QueueId, Ret};
    use crate::store::QueueSender;

    #[test]
    fn a_report_on_a_message_with_requiretls_goes_so_and_returns_the_header() {
        let pam = Address::parse("pam@partner.test").unwrap();
        let at = Timestamp::from_millis(0);
        for (tls, is_full, requires_tls) in [(TlsWish::AsPublished, true, false), (TlsWish::Required, false, true)] {
            let remote = Remote { tls, ret: Some(Ret::Full), ..Remote::new(pam.clone(), QueueSender::Nobody) };
            let item = QueueItem {
                id: QueueId::from_octets([1; 12]),
                blob: BlobId::from_octets([2; 12]),
                transaction: BlobId::from_octets([2; 12]),
                kind: QueueKind::Remote(remote),
                reverse_path: ReversePath::Address(pam.clone()),
                created: at,
                due: at,
                attempts: 0,
                last: None,
                held: None,
                is_announced: false,
            };
            let (status, text) = (EnhancedCode::new(5, 1, 1), "550 5.1.1 who?".to_owned());
            let attempt = LastAttempt { at, status, text, is_reply: true, host: None, tls: None };
            let attempted = [Attempted { item: &item, what: Happened::Failed, attempt, report: true }];
            let told = reports(&Directory::default(), &attempted);
            let Some(Errand::Sent(sent)) = told.first().and_then(|data| Errand::decode(data)) else {
                panic!("a report")
            };
            assert_eq!((sent.is_full, sent.requires_tls), (is_full, requires_tls), "{tls:?}");
        }
    }
}
