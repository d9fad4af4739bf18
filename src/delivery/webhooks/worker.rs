//! Tells one webhook, for as long as the server runs.
//!
//! The outbox is read as far as it fits into memory; what is beyond that waits its turn on disk. Ids are drawn a moment
//! before they are committed, so the last seconds are read again each time, and now and then everything is.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::schedule::{Outcome, Schedule};
use crate::accept::event;
use crate::delivery::remote::courier::random;
use crate::directory::Directory;
use crate::mail::{Clock, EventId, Timestamp};
use crate::net::http_client::{Answer, HttpError};
use crate::store::{Error, OutboxRow, Store};
use crate::webhook::{Failure, Past, Webhook, failure};

/// What telling a webhook takes.
#[derive(Clone)]
pub struct Teller {
    /// Who is told.
    pub webhook: Arc<Webhook>,
    /// Where its events wait.
    pub store: Store,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The directory as it is then.
    pub directory: Arc<dyn Fn() -> Arc<Directory> + Send + Sync>,
}

/// One webhook's worker.
struct Worker {
    teller: Teller,
    schedule: Schedule,
    telling: JoinSet<(OutboxRow, Told)>,
    /// The last event that was read; `None` to begin from the first.
    read: Option<EventId>,
    /// There may be events that have not been read.
    is_behind: bool,
    past: Past,
    past_written: Option<Instant>,
}

/// What came of telling an event.
struct Told {
    outcome: Outcome,
    /// In words, if it failed.
    failure: Option<String>,
}

/// Works for as long as the server runs.
pub async fn run(teller: Teller) {
    let past = teller.past().await;
    let mut worker = Worker {
        schedule: Schedule::new(teller.webhook.settings.give_up_after),
        telling: JoinSet::new(),
        read: None,
        is_behind: true,
        past,
        past_written: None,
        teller,
    };
    let mut news = worker.teller.store.outbox_news();
    let (mut reads, mut looks) = (interval(READ_EVERY), interval(LOOK_EVERY));
    reads.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        worker.begin();
        let wakes = worker.wakes();
        tokio::select! {
            Some(told) = worker.telling.join_next() => worker.settle(told.ok()).await,
            // The sender lives as long as the store.
            Ok(()) = news.changed() => worker.is_behind = true,
            _ = reads.tick(), if worker.is_behind && worker.schedule.len() < WINDOW => worker.read().await,
            () = sleep(wakes.unwrap_or_default()), if wakes.is_some() => {}
            _ = looks.tick() => worker.look().await,
        }
    }
}

impl Worker {
    fn now(&self) -> Timestamp {
        self.teller.clock.now()
    }

    /// Begins to tell what is due.
    fn begin(&mut self) {
        while self.has_place() {
            let Some(row) = self.schedule.next(self.now()) else { return };
            let teller = self.teller.clone();
            self.telling.spawn(async move { (row, teller.tell(row).await) });
        }
    }

    fn has_place(&self) -> bool {
        self.telling.len() < self.teller.webhook.settings.connections
    }

    /// How long it is until something is due.
    fn wakes(&self) -> Option<Duration> {
        let due = self.schedule.wakes().filter(|_| self.has_place())?;
        let millis = due.millis().saturating_sub(self.now().millis());
        // Never at once: what is due at this moment has begun.
        Some(Duration::from_millis(u64::try_from(millis).unwrap_or(0).max(1)))
    }

    /// Writes down what came of an event, and of those that ended with it.
    async fn settle(&mut self, first: Option<(OutboxRow, Told)>) {
        let (mut done, was_down, was_failing) = (Vec::new(), self.schedule.is_down(), self.is_failing());
        let mut told = first;
        while let Some((row, Told { outcome, failure })) = told {
            let now = self.now();
            self.schedule.settle(row.id, outcome, now, random());
            match (outcome, failure) {
                (Outcome::Done, _) => done.push(row.id),
                (_, Some(text)) => {
                    tracing::debug!(webhook = %self.name(), event = %row.id, reason = %text, "event not told");
                    self.past.failure = Some(Failure { at: now, text });
                }
                (_, None) => {}
            }
            told = self.telling.try_join_next().and_then(Result::ok);
        }
        if !done.is_empty() && (self.past.worked.is_none() || self.is_failing()) {
            self.past.worked = Some(self.now());
        }
        if was_failing != self.is_failing() {
            self.past_written = None;
        }
        if was_down != self.schedule.is_down() {
            self.log_change();
        }
        self.take_out(done).await;
        self.keep_past().await;
    }

    /// Whether the last that is known is a failure.
    fn is_failing(&self) -> bool {
        let Past { worked, failure, .. } = &self.past;
        failure.as_ref().is_some_and(|failure| worked.is_none_or(|worked| failure.at >= worked))
    }

    fn log_change(&self) {
        if self.schedule.is_down() {
            let reason = self.past.failure.as_ref().map(|failure| failure.text.as_str()).unwrap_or_default();
            tracing::warn!(webhook = %self.name(), reason, "webhook fails repeatedly and is left alone for a while");
        } else {
            tracing::info!(webhook = %self.name(), "webhook works again");
        }
    }

    async fn take_out(&self, events: Vec<EventId>) {
        let (store, subscriber) = (&self.teller.store, self.teller.webhook.subscriber());
        for some in events.chunks(AT_ONCE) {
            if let Err(error) = store.outbox_done(subscriber, some.to_vec()).await {
                tracing::warn!(webhook = %self.name(), %error, "events that were told stay and may be told again");
            }
        }
    }

    /// Reads what has come, as far as there is room.
    async fn read(&mut self) {
        let (store, subscriber) = (&self.teller.store, self.teller.webhook.subscriber());
        let now = self.teller.clock.now();
        let mut after = self.read;
        while self.schedule.len() < WINDOW {
            let rows = match store.outbox(subscriber, after, AT_ONCE).await {
                Ok(rows) => rows,
                Err(error) => {
                    tracing::error!(webhook = %self.name(), %error, "the outbox cannot be read; tried again in a minute");
                    self.is_behind = false;
                    break;
                }
            };
            let is_end = rows.len() < AT_ONCE;
            after = rows.last().map(|row| row.id).or(after);
            self.schedule.add(rows, now);
            if is_end {
                self.is_behind = false;
                break;
            }
        }
        // What is younger may have others before it that are not committed yet.
        let settled = EventId::first_at(Timestamp::from_millis(now.millis().saturating_sub(UNSETTLED)));
        self.read = after.map(|after| after.min(settled));
        self.give_up().await;
    }

    /// Takes out what is too old.
    async fn give_up(&mut self) {
        let rows = self.schedule.give_up(self.now());
        let Some(first) = rows.first() else { return };
        let reason = self.past.failure.as_ref().map(|failure| failure.text.as_str()).unwrap_or_default();
        tracing::error!(
            webhook = %self.name(),
            events = rows.len(),
            first = %first.id,
            message = %first.transaction,
            reason,
            "events could not be told in time and are given up"
        );
        self.past.given_up = self.past.given_up.saturating_add(count(rows.len()));
        self.take_out(rows.iter().map(|row| row.id).collect()).await;
        self.past_written = None;
    }

    /// Now and then: what is too old goes, and so does the oldest if too much waits; what was missed is read.
    async fn look(&mut self) {
        self.give_up().await;
        if let Err(error) = self.bound().await {
            tracing::warn!(webhook = %self.name(), %error, "the outbox cannot be bounded");
        }
        self.read = None;
        self.is_behind = true;
        self.keep_past().await;
    }

    /// Drops the oldest beyond what may wait.
    async fn bound(&mut self) -> Result<(), Error> {
        let (store, subscriber) = (self.teller.store.clone(), self.teller.webhook.subscriber());
        let waiting = store.outbox_count(subscriber).await?.waiting;
        let mut excess = waiting.saturating_sub(self.teller.webhook.settings.most_waiting);
        while excess > 0 {
            let rows = store.outbox(subscriber, None, excess.min(AT_ONCE)).await?;
            if rows.is_empty() {
                break;
            }
            let ids: Vec<EventId> = rows.iter().map(|row| row.id).collect();
            store.outbox_done(subscriber, ids.clone()).await?;
            ids.into_iter().for_each(|id| self.schedule.forget(id));
            excess = excess.saturating_sub(rows.len());
            self.past.dropped = self.past.dropped.saturating_add(count(rows.len()));
            self.past_written = None;
            tracing::error!(webhook = %self.name(), events = rows.len(), "too many events wait: the oldest are dropped");
        }
        Ok(())
    }

    /// Writes down how it went, for those who ask; not more often than is of use.
    async fn keep_past(&mut self) {
        // Not at each event while many wait; when none does, what is kept is how it ended.
        if !self.schedule.is_empty() && self.past_written.is_some_and(|at| at.elapsed() < PAST_EVERY) {
            return;
        }
        self.past_written = Some(Instant::now());
        let (Some(key), value) = (Past::key(self.name()), self.past.encode()) else { return };
        match self.teller.store.state(key.clone()).await {
            Ok(Some(stored)) if stored == value => {}
            Ok(_) => {
                if let Err(error) = self.teller.store.put_state(key, value).await {
                    tracing::warn!(webhook = %self.name(), %error, "how it went is not kept");
                }
            }
            Err(error) => tracing::warn!(webhook = %self.name(), %error, "how it went cannot be read"),
        }
    }

    fn name(&self) -> &str {
        &self.teller.webhook.settings.name
    }
}

impl Teller {
    async fn past(&self) -> Past {
        let Some(key) = Past::key(&self.webhook.settings.name) else { return Past::default() };
        let stored = self.store.state(key).await.unwrap_or_default();
        stored.and_then(|value| Past::decode(&value)).unwrap_or_default()
    }

    async fn tell(&self, row: OutboxRow) -> Told {
        let done = Told { outcome: Outcome::Done, failure: None };
        let event = match self.store.outbox_event(row).await {
            Ok(Some(event)) => event,
            // So old that its trace is gone.
            Ok(None) => return done,
            Err(error @ Error::Corrupt) => {
                tracing::error!(event = %row.id, message = %row.transaction, %error, "event cannot be told");
                return done;
            }
            Err(error) => {
                tracing::warn!(event = %row.id, message = %row.transaction, %error, "event not told; tried again");
                return Told { outcome: Outcome::NotTried, failure: None };
            }
        };
        let Some(body) = event::told(&(self.directory)(), &row, &event) else { return done };
        let answer = self.webhook.post(&row.id.to_string(), self.clock.now(), body.to_string().into_bytes()).await;
        let outcome = outcome(&answer);
        if matches!(&answer, Ok(answer) if answer.status == GONE) {
            tracing::warn!(webhook = %self.webhook.settings.name, event = %row.id, "event dropped: the receiver answers 410");
        }
        Told { outcome, failure: failure(&answer) }
    }
}

/// What an answer means. Redirects are answers like others that are no success.
fn outcome(answer: &Result<Answer, HttpError>) -> Outcome {
    let answer = match answer {
        Ok(answer) => answer,
        Err(_) => return Outcome::Failed { is_down: true, after: None },
    };
    match answer.status {
        200..300 | GONE => Outcome::Done,
        // RFC 9110 §15.5.9, RFC 6585 §4, RFC 9110 §15.6: another event would fare no better.
        status @ (408 | 429 | 500..) => {
            let seconds = answer.field("Retry-After").and_then(|text| text.trim().parse().ok());
            let after = seconds.map(Duration::from_secs).filter(|_| matches!(status, 429 | 503));
            Outcome::Failed { is_down: true, after }
        }
        _ => Outcome::Failed { is_down: false, after: None },
    }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// RFC 9110 §15.5.11
const GONE: u16 = 410;
/// Events in memory.
const WINDOW: usize = 10_000;
/// Events read, or taken out, at once.
const AT_ONCE: usize = 1_000;
const READ_EVERY: Duration = Duration::from_millis(50);
const LOOK_EVERY: Duration = Duration::from_secs(60);
const PAST_EVERY: Duration = Duration::from_secs(10);
/// Milliseconds within which a commit has happened whose id was drawn.
const UNSETTLED: i64 = 10_000;
