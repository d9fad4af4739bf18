//! What is counted, with what is known elsewhere, as Prometheus reads it.
//!
//! To know what waits means to read the place of every item of the queue and every event of the outbox: that is done at
//! most once a minute, however often and by how many it is asked for.

use std::sync::Arc;

use super::super::error::OpError;
use super::{Admin, unhurried};
use crate::hooks::Hook;
use crate::mail::Timestamp;
use crate::metrics::{ANSWER_SECONDS, Counters, Timers};
use crate::store::OutboxCount;

/// What waits, as it was when somebody looked.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    seen: Timestamp,
    queued: u64,
    held: u64,
    oldest: Option<Timestamp>,
    /// In the order of the configuration.
    webhooks: Vec<OutboxCount>,
}

impl Admin {
    /// Everything. What cannot be read is left out: the rest is of use above all when something fails.
    pub async fn metrics(self: &Arc<Self>) -> String {
        let mut out = String::new();
        let services = &self.services;
        services.metrics.write(&mut out);
        services.authenticator.failures().write(&mut out);
        services.store.commit_times().write(&mut out);
        write_hooks(&services.hooks.all, &mut out);
        let admin = self.clone();
        let counted = async move { admin.waiting().await };
        let waiting = match self.waiting.try_lock().map(drop) {
            // Runs to its end: if whoever asked has gone, the next one finds what was counted.
            Ok(()) => unhurried(counted).await,
            Err(_) => counted.await,
        };
        match waiting {
            Ok(waiting) => {
                self.write_queue(&waiting, &mut out);
                self.write_webhooks(&waiting, &mut out);
            }
            Err(error) => tracing::warn!(?error, "what waits cannot be counted"),
        }
        out
    }

    /// What waits, not much older than now. Those who ask meanwhile wait for whoever counts.
    async fn waiting(&self) -> Result<Waiting, OpError> {
        let mut last = self.waiting.lock().await;
        let now = self.services.clock.now();
        if let Some(waiting) = last.as_ref().filter(|waiting| is_fresh(waiting.seen, now)) {
            return Ok(waiting.clone());
        }
        let store = &self.services.store;
        let mut waiting = Waiting { seen: now, queued: 0, held: 0, oldest: None, webhooks: Vec::new() };
        let mut after = None;
        loop {
            let page = store.queue_counts(after, DESTINATIONS_AT_ONCE).await?;
            for destination in &page {
                waiting.queued = waiting.queued.saturating_add(destination.waiting);
                waiting.held = waiting.held.saturating_add(destination.held);
                let oldest = destination.oldest;
                waiting.oldest = Some(waiting.oldest.map_or(oldest, |other| other.min(oldest)));
            }
            after = page.last().filter(|_| page.len() >= DESTINATIONS_AT_ONCE).map(|last| last.host.clone());
            if after.is_none() {
                break;
            }
        }
        for webhook in &self.services.webhooks {
            waiting.webhooks.push(store.outbox_count(webhook.subscriber()).await?);
        }
        *last = Some(waiting.clone());
        Ok(waiting)
    }

    fn write_queue(&self, waiting: &Waiting, out: &mut String) {
        let items = Counters::gauge("posthouse_queue_items", "Items of the queue, once a minute.", ["state"]);
        items.set(["waiting"], number(waiting.queued));
        items.set(["held"], number(waiting.held));
        items.write(out);
        let help = "Age of the oldest item of the queue, 0 of none.";
        let oldest = Counters::gauge("posthouse_queue_oldest_seconds", help, []);
        oldest.set([], self.age(waiting.oldest));
        oldest.write(out);
    }

    fn write_webhooks(&self, waiting: &Waiting, out: &mut String) {
        let help = "Events that wait for a webhook, once a minute.";
        let events = Counters::gauge("posthouse_webhook_waiting", help, ["webhook"]);
        let help = "Age of the oldest event that waits for a webhook, 0 of none.";
        let oldest = Counters::gauge("posthouse_webhook_oldest_seconds", help, ["webhook"]);
        for (webhook, count) in self.services.webhooks.iter().zip(&waiting.webhooks) {
            let name = webhook.settings.name.as_str();
            events.set([name], number(u64::try_from(count.waiting).unwrap_or(u64::MAX)));
            oldest.set([name], self.age(count.oldest));
        }
        events.write(out);
        oldest.write(out);
    }

    /// In seconds; 0 of nothing.
    fn age(&self, since: Option<Timestamp>) -> f64 {
        let now = self.services.clock.now().seconds();
        let age = since.map_or(0, |since| now.saturating_sub(since.seconds()));
        number(u64::try_from(age).unwrap_or(0))
    }
}

fn write_hooks(hooks: &[Arc<Hook>], out: &mut String) {
    let labels = ["hook", "kind"];
    let help = "Time that a hook took for its answer, or until it was given up.";
    let seconds = Timers::new("posthouse_hook_seconds", help, ["hook", "kind", "stage"], ANSWER_SECONDS);
    let failures = Counters::new("posthouse_hook_failures_total", "Questions that a hook did not answer.", labels);
    let help = "1 while a hook is not asked, because it has failed repeatedly.";
    let suspended = Counters::gauge("posthouse_hook_suspended", help, labels);
    for hook in hooks {
        let labels @ [name, kind] = [hook.settings.name.as_str(), hook.kind.name()];
        for (stage, times) in hook.times() {
            seconds.show([name, kind, stage.name()], times.clone());
        }
        failures.set(labels, number(hook.counts().failed));
        suspended.set(labels, f64::from(u8::from(hook.is_suspended())));
    }
    seconds.write(out);
    failures.write(out);
    suspended.write(out);
}

/// What was seen then is good enough now. A clock that was set back makes nothing last.
fn is_fresh(seen: Timestamp, now: Timestamp) -> bool {
    (0..FRESH_SECONDS).contains(&now.seconds().saturating_sub(seen.seconds()))
}

/// Exact up to 2⁵³, as all numbers of Prometheus are.
fn number(n: u64) -> f64 {
    n as f64
}

/// How long a count of what waits is good for.
const FRESH_SECONDS: i64 = 60;

/// Destinations that are counted in one read.
const DESTINATIONS_AT_ONCE: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_good_for_a_minute() {
        let at = Timestamp::from_seconds;
        for (case, now, want) in
            [("at once", 1_000, true), ("soon", 1_059, true), ("a minute", 1_060, false), ("set back", 999, false)]
        {
            assert_eq!(is_fresh(at(1_000), at(now)), want, "{case}");
        }
    }
}
