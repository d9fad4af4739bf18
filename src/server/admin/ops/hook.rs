//! Hooks: what they are and have done, and a question to one of them beforehand.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::super::error::OpError;
use super::super::report::{HookAnswerView, HookTestView, HookView};
use super::Admin;
use crate::accept::Incoming;
use crate::directory::Refusal;
use crate::hooks::{
    Envelope, Facts, Handling, Hook, Line, Listens, Note, Peer, RecipientFacts, Ruling, Stage, Verdict,
};
use crate::mail::Address;

/// A question to a hook: what a session would tell it.
#[derive(Clone, Debug)]
pub struct HookTest {
    /// The message, as it would come.
    pub message: Vec<u8>,
    /// MAIL FROM; `None` for the null reverse-path.
    pub sender: Option<Address>,
    /// RCPT TO.
    pub recipients: Vec<Address>,
    /// Where the client is.
    pub client: Option<IpAddr>,
    /// The name that it gives itself.
    pub helo: Option<String>,
    /// Who has logged in: then it is a message of a user.
    pub login: Option<Address>,
}

impl Admin {
    /// All hooks, in the order in which they are asked.
    pub fn hooks(&self) -> Vec<HookView> {
        self.services.hooks.all.iter().map(view).collect()
    }

    /// Asks a hook, at each of its stages, about a message that is then thrown away.
    pub async fn test_hook(&self, name: &str, test: HookTest) -> Result<HookTestView, OpError> {
        let services = &self.services;
        let hook = services.hooks.all.iter().find(|hook| hook.settings.name == name);
        let hook = hook.ok_or_else(|| Refusal::NotFound(format!("hook {name}")))?.clone();
        let mut incoming = Incoming::new(&services.store);
        incoming.push(&test.message).await?;
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let mut facts = Facts {
            time: services.clock.now(),
            hostname: services.hostname.to_string(),
            listener: if test.login.is_some() { "submission" } else { "smtp" },
            peer: Peer { client: test.client.map_or(nowhere, |client| SocketAddr::new(client, 0)), local: nowhere },
            tls: None,
            helo: None,
            is_extended: true,
            login: None,
            envelope: None,
            authentication: None,
        };
        let mut line = Line::of(hook);
        let recipients = test.recipients.iter().map(ToString::to_string);
        let recipients: Vec<_> = recipients.map(|address| RecipientFacts { address, parameters: Vec::new() }).collect();
        for stage in [Stage::Connect, Stage::Ehlo, Stage::Auth, Stage::Mail] {
            match stage {
                Stage::Ehlo => facts.helo = Some(test.helo.clone().unwrap_or_else(|| "client.example".to_owned())),
                Stage::Auth if test.login.is_none() => continue,
                Stage::Auth => facts.login.clone_from(&test.login),
                Stage::Mail => {
                    facts.envelope = Some(Envelope {
                        id: None,
                        reverse_path: test.sender.as_ref().map(ToString::to_string).unwrap_or_default(),
                        parameters: Vec::new(),
                        recipients: Vec::new(),
                        size: None,
                    });
                }
                Stage::Connect | Stage::Rcpt | Stage::Header | Stage::Data => {}
            }
            let ruling = line.ask(stage, &facts).await;
            if ruling.verdict != Verdict::Continue {
                return Ok(tested(line, &ruling, Handling::default()).await);
            }
        }
        for recipient in recipients {
            if let Some(envelope) = &mut facts.envelope {
                envelope.recipients.push(recipient);
            }
            let ruling = line.ask(Stage::Rcpt, &facts).await;
            if ruling.verdict != Verdict::Continue {
                return Ok(tested(line, &ruling, Handling::default()).await);
            }
        }
        if let Some(envelope) = &mut facts.envelope {
            envelope.id = Some(incoming.id());
            envelope.size = Some(incoming.size());
        }
        let mut content = incoming.content();
        let (ruling, handling) = line.ask_message(&facts, b"", &mut content).await;
        Ok(tested(line, &ruling, handling).await)
    }
}

async fn tested(line: Line, ruling: &Ruling, handling: Handling) -> HookTestView {
    let answers = line.notes().iter().map(answer).collect();
    line.close().await;
    let Handling { added, header, body, is_junk, quarantine, .. } = handling;
    HookTestView {
        verdict: ruling.verdict.to_string(),
        answers,
        added: String::from_utf8_lossy(&added).into_owned(),
        rewritten: header.is_some() || body.is_some(),
        junk: is_junk,
        quarantine: quarantine.map(|(_, why)| why),
    }
}

fn answer(note: &Note) -> HookAnswerView {
    HookAnswerView {
        stage: note.stage.name().to_owned(),
        said: note.said.clone(),
        reasons: note.reasons.clone(),
        changes: note.changes.clone(),
        microseconds: note.took,
    }
}

fn view(hook: &Arc<Hook>) -> HookView {
    let (settings, counts) = (&hook.settings, hook.counts());
    let mean = counts.took.as_micros().checked_div(u128::from(counts.asked)).unwrap_or(0);
    HookView {
        name: settings.name.clone(),
        kind: hook.kind.name().to_owned(),
        listeners: settings.listeners.iter().map(|listens| listens_name(*listens).to_owned()).collect(),
        stages: settings.stages.iter().map(|stage| stage.name().to_owned()).collect(),
        timeout_ms: u64::try_from(settings.timeout.as_millis()).unwrap_or(u64::MAX),
        on_failure: match settings.on_failure {
            crate::hooks::OnFailure::Defer => "defer".to_owned(),
            crate::hooks::OnFailure::Accept => "accept".to_owned(),
        },
        asked: counts.asked,
        failed: counts.failed,
        mean_microseconds: u64::try_from(mean).unwrap_or(u64::MAX),
        suspended: hook.is_suspended(),
    }
}

fn listens_name(listens: Listens) -> &'static str {
    match listens {
        Listens::Smtp => "smtp",
        Listens::Submission => "submission",
    }
}
