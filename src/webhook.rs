//! Webhooks: others who are told of events by a POST of JSON, signed so that they know from whom it is.
//!
//! Names of fields, what is signed and how a secret is written are those of the Standard Webhooks specification 1.0. What
//! is told, and when, is for `delivery::webhooks`.

use std::path::PathBuf;
use std::time::Duration;

use rustls::RootCertStore;
use serde::{Deserialize, Serialize};

use crate::mail::{EventKinds, Timestamp};
use crate::net::http_client::{Answer, Excess, HttpClient, HttpError, Limits, Names, Request, Url};
use crate::proto::signature::Secret;
use crate::store::{StateKey, SubscriberId, short_hash};

/// Who is told, of what, and how patiently.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What it is called.
    pub name: String,
    /// Where it listens.
    pub url: Url,
    /// Each signs, so that one can be changed for another without a gap.
    pub secrets: Vec<Secret>,
    /// What it is told of.
    pub events: EventKinds,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How old an event is when it is given up.
    pub give_up_after: Duration,
    /// Events told at once, of as many messages.
    pub connections: usize,
    /// Events that may wait; beyond that the oldest are dropped.
    pub most_waiting: usize,
    /// Authorities to trust beside the system's.
    pub ca_file: Option<PathBuf>,
}

/// One that can be told.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// How.
    pub settings: Settings,
    client: HttpClient,
}

impl Webhook {
    /// One that trusts these authorities. An error means that the TLS library lacks what it should have.
    pub fn new(settings: Settings, roots: RootCertStore) -> Result<Self, rustls::Error> {
        let client = HttpClient::new(Names::System, roots, settings.connections)?;
        Ok(Self { settings, client })
    }

    /// Under which its events wait.
    pub fn subscriber(&self) -> SubscriberId {
        SubscriberId::of(&self.settings.name)
    }

    /// Sends an event, signed as of `now`, and waits for the answer.
    pub async fn post(&self, id: &str, now: Timestamp, body: Vec<u8>) -> Result<Answer, HttpError> {
        let seconds = now.seconds().to_string();
        let signatures: Vec<String> =
            self.settings.secrets.iter().map(|secret| secret.sign(id, &seconds, &body)).collect();
        let request = Request::post(self.settings.url.clone(), "application/json", body)
            .with_field("Webhook-Id", id)
            .with_field("Webhook-Timestamp", &seconds)
            .with_field("Webhook-Signature", &signatures.join(" "));
        let limits = Limits { time: self.settings.timeout, octets: MAX_ANSWER, excess: Excess::IsCut };
        self.client.ask(&request, limits).await
    }
}

/// What is kept of how it went with a webhook.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// When it last took an event after a failure, or the first one.
    pub worked: Option<Timestamp>,
    /// The last failure.
    pub failure: Option<Failure>,
    /// Events given up because they were too old.
    pub given_up: u64,
    /// Events dropped because too many waited.
    pub dropped: u64,
}

/// A failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When.
    pub at: Timestamp,
    /// What has happened.
    pub text: String,
}

impl Past {
    /// Under which it is kept.
    pub fn key(name: &str) -> Option<StateKey> {
        StateKey::new([b"webhook/", short_hash(name).as_bytes()].concat())
    }

    /// As it is kept.
    pub fn encode(&self) -> Vec<u8> {
        // These types have nothing that JSON cannot hold.
        [&[VERSION][..], &serde_json::to_vec(self).unwrap_or_default()].concat()
    }

    /// Inverse of [`Past::encode`].
    pub fn decode(value: &[u8]) -> Option<Self> {
        let (version, json) = value.split_first()?;
        if *version == VERSION { serde_json::from_slice(json).ok() } else { None }
    }
}

/// The answer in a few words: its status, and why it is a failure.
pub fn failure(answer: &Result<Answer, HttpError>) -> Option<String> {
    match answer {
        Ok(answer) if (200..300).contains(&answer.status) => None,
        Ok(answer) => Some(format!("answered {}", answer.status)),
        Err(error) => Some(error.to_string()),
    }
}

const VERSION: u8 = 1;
/// Octets of an answer that are read.
const MAX_ANSWER: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_version_of_what_is_kept_stays_readable() {
        let row =
            b"\x01{\"worked\":null,\"failure\":{\"at\":5,\"text\":\"answered 500\"},\"given_up\":1,\"dropped\":2}";
        let past = Past::decode(row).unwrap();
        let failure = Some(Failure { at: Timestamp::from_millis(5), text: "answered 500".to_owned() });
        assert_eq!(past, Past { worked: None, failure, given_up: 1, dropped: 2 });
        assert_eq!(past.encode(), row);
        assert_eq!(Past::decode(&[&[2], &row[1..]].concat()), None);
    }
}
