//! Hooks that speak JSON over HTTP.
//!
//! The request is a POST of an object: the stage, what is known of the session ([`Facts`]), and at the end of data the
//! header and as much of the message as the settings say. It is signed as the Standard Webhooks specification says
//! (`webhook-id`, `webhook-timestamp`, `webhook-signature`), and with a secret the answer must be signed too, over the id
//! of the request: nobody between can answer, and no answer counts twice.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::fields::is_field;
use super::{Answer, Change, Content, Facts, Failure, Said, Stage, Verdict};
use crate::mail::{Address, EnhancedCode};
use crate::net::http_client::{Excess, HttpClient, HttpError, Limits, Request, Url};
use crate::proto::message::header;
use crate::proto::signature::Secret;

/// A program that is asked by HTTP.
#[derive(Clone, Debug)]
pub struct HttpHook {
    /// Where it is asked.
    pub url: Url,
    /// What requests and answers are signed with; without it neither is.
    pub secret: Option<Secret>,
    /// What it is sent of a message.
    pub sends: Sends,
    /// How often it is asked again if it cannot be reached or answers with a 5xx status, within the time of the hook.
    pub retries: u32,
    /// Asks.
    pub client: HttpClient,
}

/// What a hook is sent of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sends {
    /// Its header.
    #[default]
    Header,
    /// All of it, up to 8 MiB, in base64.
    Message,
}

#[derive(Serialize)]
struct Question<'a> {
    stage: Stage,
    #[serde(flatten)]
    facts: &'a Facts,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message>,
}

#[derive(Serialize)]
struct Message {
    /// Name and value, as they stand.
    header: Vec<(String, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    /// There is more than `content` has.
    is_truncated: bool,
}

/// What can be answered.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spoken {
    verdict: Word,
    #[serde(default)]
    code: Option<u16>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    add_fields: Vec<FieldWord>,
    #[serde(default)]
    redirect: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldWord {
    name: String,
    value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Accept,
    Stop,
    Refuse,
    Defer,
    Discard,
    Junk,
    Quarantine,
    Redirect,
}

impl HttpHook {
    /// Asks at a stage before the end of data.
    pub async fn ask(&self, stage: Stage, facts: &Facts) -> Result<Answer, Failure> {
        self.put(&Question { stage, facts, message: None }).await
    }

    /// Asks at the end of data.
    pub async fn ask_message(&self, stage: Stage, facts: &Facts, content: &Content<'_>) -> Result<Answer, Failure> {
        let message = self.message(stage, content).await?;
        self.put(&Question { stage, facts, message: Some(message) }).await
    }

    async fn message(&self, stage: Stage, content: &Content<'_>) -> Result<Message, Failure> {
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let value = |field: &header::Field<'_>| (text(field.name), text(&field.value()));
        let fields = header::fields(&content.header).take(MAX_FIELDS).map(|field| value(&field)).collect();
        if self.sends == Sends::Header || stage == Stage::Header {
            return Ok(Message { header: fields, content: None, is_truncated: false });
        }
        let (octets, is_truncated) = content.octets(MAX_CONTENT).await.map_err(Failure::Store)?;
        Ok(Message { header: fields, content: Some(STANDARD.encode(octets)), is_truncated })
    }

    async fn put(&self, question: &Question<'_>) -> Result<Answer, Failure> {
        let body = serde_json::to_vec(question).map_err(|error| Failure::Protocol(error.to_string()))?;
        let (mut left, mut pause) = (self.retries, FIRST_PAUSE);
        loop {
            match self.put_once(question, &body).await {
                Err(Failure::Unreachable(_)) if left > 0 => {
                    left -= 1;
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2);
                }
                said => return said,
            }
        }
    }

    async fn put_once(&self, question: &Question<'_>, body: &[u8]) -> Result<Answer, Failure> {
        let id = new_id().ok_or_else(|| Failure::Unreachable("this system has no randomness".to_owned()))?;
        let (id, timestamp) = (id, question.facts.time.seconds().to_string());
        let mut request = Request::post(self.url.clone(), "application/json", body.to_vec())
            .with_field("webhook-id", &id)
            .with_field("webhook-timestamp", &timestamp);
        if let Some(secret) = &self.secret {
            request = request.with_field("webhook-signature", &secret.sign(&id, &timestamp, body));
        }
        let limits = Limits { time: LONGEST, octets: MAX_ANSWER, excess: Excess::Fails };
        let answer = self.client.ask(&request, limits).await.map_err(failure)?;
        match answer.status {
            200 => {}
            // Its own trouble, not its opinion.
            status @ (429 | 500..) => return Err(Failure::Unreachable(format!("status {status}"))),
            status => return Err(Failure::Protocol(format!("status {status}"))),
        }
        if let Some(secret) = &self.secret {
            let timestamp = answer.field("webhook-timestamp").unwrap_or_default();
            let signature = answer.field("webhook-signature").unwrap_or_default();
            if !secret.verifies(&id, timestamp, &answer.body, signature) {
                return Err(Failure::Protocol("the answer is not signed as it must be".to_owned()));
            }
        }
        let said = serde_json::from_slice(&answer.body);
        let said = said.map_err(|error| Failure::Protocol(super::one_line(&error.to_string())))?;
        understood(question.stage, said)
    }
}

/// What an answer means, if it means something at this stage.
fn understood(stage: Stage, said: Spoken) -> Result<Answer, Failure> {
    let wrong = |what: &str| Err(Failure::Protocol(what.to_owned()));
    let status = match &said.status {
        None => None,
        Some(text) => match text.parse::<EnhancedCode>() {
            Ok(status) => Some(status),
            Err(_) => return wrong("status: not an enhanced status code"),
        },
    };
    let class = match said.verdict {
        Word::Refuse => 5,
        Word::Defer => 4,
        _ => 0,
    };
    if said.code.is_some_and(|code| code / 100 != class) || status.is_some_and(|s| u16::from(s.class()) != class) {
        return wrong("code, status: not of the class of the verdict");
    }
    let text = said.text.unwrap_or_default();
    let reply = |class| Said::new(class, said.code, status, &text);
    let reasons: Vec<String> = said.reason.iter().map(|reason| super::one_line(reason)).collect();
    let mut changes = Vec::new();
    for FieldWord { name, value } in said.add_fields {
        if !is_field(&name, value.as_bytes()) || changes.len() >= MAX_ADDED {
            return wrong("add_fields: not a header field, or too many");
        }
        changes.push(Change::AddField { name, value: value.into_bytes() });
    }
    let verdict = match said.verdict {
        Word::Accept => Verdict::Continue,
        Word::Stop => Verdict::Stop,
        Word::Refuse => Verdict::Refuse(reply(5)),
        Word::Defer => Verdict::Defer(reply(4)),
        Word::Discard => Verdict::Discard,
        Word::Junk => {
            changes.push(Change::Junk);
            Verdict::Continue
        }
        Word::Quarantine => {
            changes.push(Change::Quarantine(reasons.first().cloned().unwrap_or_default()));
            Verdict::Continue
        }
        Word::Redirect => {
            let to: Result<Vec<Address>, _> = said.redirect.iter().map(|address| Address::parse(address)).collect();
            match to {
                Ok(to) if (1..=MAX_ADDED).contains(&to.len()) => changes.push(Change::Redirect(to)),
                _ => return wrong("redirect: not addresses, none, or too many"),
            }
            Verdict::Continue
        }
    };
    if said.verdict != Word::Redirect && !said.redirect.is_empty() {
        return wrong("redirect: only with the verdict redirect");
    }
    if stage == Stage::Rcpt && said.verdict == Word::Redirect {
        return wrong("redirect: of the whole message, at header or data");
    }
    if stage < Stage::Mail && (!changes.is_empty() || verdict == Verdict::Discard) {
        return wrong("there is no message yet that this could change");
    }
    Ok(Answer { verdict, changes, reasons })
}

pub(super) fn failure(error: HttpError) -> Failure {
    match error {
        HttpError::NoAddress(_) | HttpError::Connect(_) | HttpError::Tls(_) => Failure::Unreachable(error.to_string()),
        HttpError::TimedOut => Failure::Timeout,
        HttpError::Request | HttpError::Protocol(_) | HttpError::TooLong => Failure::Protocol(error.to_string()),
    }
}

/// An id that was never used; without randomness there is none, and answers could be played back.
fn new_id() -> Option<String> {
    let mut octets = [0; 16];
    getrandom::fill(&mut octets).ok()?;
    Some(octets.iter().map(|octet| format!("{octet:02x}")).collect())
}

/// A bound for a hook whose own time is longer.
const LONGEST: Duration = Duration::from_secs(600);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_ANSWER: usize = 256 << 10;
const MAX_CONTENT: u64 = 8 << 20;
const MAX_FIELDS: usize = 1_000;
/// Fields or recipients of one answer.
const MAX_ADDED: usize = 50;
