//! Webhooks: what waits for each, how it went, and a trial.

use std::sync::Arc;

use serde_json::json;

use super::super::Actor;
use super::super::error::OpError;
use super::super::report::{WebhookAnswerView, WebhookView};
use super::super::view::{Page, rfc3339};
use super::{Admin, not_found};
use crate::mail::BlobIds;
use crate::webhook::{Past, Webhook, failure};

impl Admin {
    /// Every webhook, in the order of the configuration.
    pub async fn webhooks(&self) -> Result<Page<WebhookView, String>, OpError> {
        let mut items = Vec::with_capacity(self.services.webhooks.len());
        for webhook in &self.services.webhooks {
            items.push(self.view_of(webhook).await?);
        }
        Ok(Page { items, next: None })
    }

    /// Tells a webhook `ping` at once, past whatever waits, and gives its answer.
    pub async fn try_webhook(&self, actor: Actor, name: &str) -> Result<WebhookAnswerView, OpError> {
        let found = self.services.webhooks.iter().find(|webhook| webhook.settings.name == name);
        let webhook = found.cloned().ok_or_else(|| not_found(format_args!("webhook {name:?}")))?;
        let now = self.services.clock.now();
        let mut drawn = [0; 3];
        getrandom::fill(&mut drawn).map_err(|_| OpError::Unavailable)?;
        let id = BlobIds::new(drawn).next_event(now).to_string();
        let body = json!({ "id": id, "event": "ping", "time": now.rfc3339(), "webhook": name });
        let answer = webhook.post(&id, now, body.to_string().into_bytes()).await;
        let took = self.services.clock.now().millis().saturating_sub(now.millis());
        let failure = failure(&answer);
        tracing::info!(?actor, webhook = name, event = %id, failure, "webhook tried");
        let answer = answer.ok();
        Ok(WebhookAnswerView {
            id,
            taken: failure.is_none(),
            failure,
            status: answer.as_ref().map(|answer| answer.status),
            answer: answer.map(|answer| String::from_utf8_lossy(&answer.body).into_owned()).unwrap_or_default(),
            milliseconds: u64::try_from(took).unwrap_or(0),
        })
    }

    async fn view_of(&self, webhook: &Arc<Webhook>) -> Result<WebhookView, OpError> {
        let (store, settings) = (&self.services.store, &webhook.settings);
        let count = store.outbox_count(webhook.subscriber()).await?;
        let past = match Past::key(&settings.name) {
            Some(key) => store.state(key).await?.and_then(|value| Past::decode(&value)).unwrap_or_default(),
            None => Past::default(),
        };
        Ok(WebhookView {
            name: settings.name.clone(),
            url: settings.url.to_string(),
            events: settings.events.iter().map(|kind| kind.name().to_owned()).collect(),
            waiting: count.waiting,
            oldest: count.oldest.map(rfc3339),
            worked: past.worked.map(rfc3339),
            failed: past.failure.as_ref().map(|failure| rfc3339(failure.at)),
            failure: past.failure.map(|failure| failure.text),
            given_up: past.given_up,
            dropped: past.dropped,
        })
    }
}
