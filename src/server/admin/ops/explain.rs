//! What would happen to a message.

use std::net::IpAddr;

use super::super::Actor;
use super::super::error::OpError;
use super::super::permission::Reach;
use super::super::report::{ExplainView, FoundView, PlannedView};
use super::{Admin, account_name, group_name};
use crate::directory::Directory;
use crate::hooks::{Hook, Listens, OnFailure};
use crate::mail::{Address, ForwardPath, ReversePath};
use crate::proto::authres::SpfResult;
use crate::proto::smtp::Reply;
use crate::routing::{Folder, Plan, Via};
use crate::server::smtp::{self, Client, Preview};

/// Who would send what to whom.
#[derive(Clone, Debug)]
pub struct Question {
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// RCPT TO.
    pub to: ForwardPath,
    /// The login name of the session; without one it is a session on port 25.
    pub auth: Option<String>,
    /// The address of that session's client.
    pub client: Option<IpAddr>,
    /// What SPF says of it.
    pub spf: SpfResult,
}

impl Admin {
    /// What would happen, step by step.
    pub async fn explain(&self, actor: Actor, question: Question) -> Result<ExplainView, OpError> {
        let directory = self.services.directory.current();
        if let Err(error) = own_affair(&directory, Reach::of(&directory, actor), &question) {
            return Err(self.refused(actor, "explain", None, error).await);
        }
        let client = match &question.auth {
            Some(name) => Client::Login(directory.login(name).map(|account| account.id).ok_or_else(|| {
                let message = format!("{name} is no account that can log in");
                OpError::Invalid { field: "auth", message }
            })?),
            None => Client::Host { address: question.client, spf_passed: question.spf == SpfResult::Pass },
        };
        let listens = if question.auth.is_some() { Listens::Submission } else { Listens::Smtp };
        let hooks = self.services.hooks.all.iter().filter(|hook| hook.settings.listeners.contains(&listens));
        let hooks: Vec<FoundView> = hooks.map(|hook| found_hook(hook)).collect();
        let asked = smtp::question_of(&self.services, &directory, &question.to).await;
        // A large group takes its time.
        super::blocking(move || {
            let preview = smtp::preview(&directory, &client, question.reverse_path, &question.to, asked.as_ref());
            let mut view = view(&directory, preview);
            if view.accepted {
                view.findings.extend(hooks);
            }
            Ok(view)
        })
        .await
    }
}

/// A hook has the last word, which only it knows.
fn found_hook(hook: &Hook) -> FoundView {
    let settings = &hook.settings;
    let stages: Vec<&str> = settings.stages.iter().map(|stage| stage.name()).collect();
    let otherwise = match settings.on_failure {
        OnFailure::Defer => "deferred",
        OnFailure::Accept => "accepted with a mark",
    };
    let (name, kind) = (&settings.name, hook.kind.name());
    let text = format!("{name} ({kind}) is asked at {}; without an answer mail is {otherwise}", stages.join(", "));
    FoundView { about: "hook".to_owned(), text }
}

/// The answer names members, forwards and accounts: who is asked about must not be another organisation's.
fn own_affair(directory: &Directory, reach: Reach, question: &Question) -> Result<(), OpError> {
    match &question.to {
        ForwardPath::Address(to) => reach.admits(directory, to)?,
        ForwardPath::Postmaster => {
            directory.default_postmaster().map_or(Ok(()), |account| reach.admits(directory, &account.address))?;
        }
    }
    let login = question.auth.as_deref().and_then(|name| Address::parse(name).ok());
    login.map_or(Ok(()), |login| reach.admits(directory, &login))?;
    match &question.reverse_path {
        ReversePath::Address(from) => reach.admits(directory, from),
        ReversePath::Null => Ok(()),
    }
}

fn view(directory: &Directory, preview: Preview) -> ExplainView {
    match preview {
        Preview::Mail(reply) => ExplainView {
            findings: Vec::new(),
            command: "MAIL".to_owned(),
            accepted: !reply.is_negative(),
            reply: text(&reply),
            deliveries: Vec::new(),
            delivery_count: 0,
        },
        Preview::Rcpt(reply, explanation) => {
            let found = |f: crate::routing::Finding| FoundView { about: f.about.to_owned(), text: f.text };
            ExplainView {
                findings: explanation.findings.into_iter().map(found).collect(),
                command: "RCPT".to_owned(),
                accepted: explanation.verdict.is_ok(),
                reply: text(&reply),
                deliveries: planned(directory, &explanation.plan),
                delivery_count: explanation.plan.local.len() + explanation.plan.remote.len(),
            }
        }
    }
}

/// The reply on one line.
fn text(reply: &Reply) -> String {
    let enhanced = reply.enhanced().map_or_else(String::new, |code| format!("{code} "));
    format!("{} {enhanced}{}", reply.code(), reply.text().replace('\n', " "))
}

fn planned(directory: &Directory, plan: &Plan) -> Vec<PlannedView> {
    let names = |ids: &[crate::mail::AccountId]| ids.iter().map(|id| account_name(directory, *id)).collect();
    let local = plan.local.iter().map(|local| PlannedView {
        to: account_name(directory, local.account),
        kind: "local".to_owned(),
        folder: Some(
            match local.folder {
                Folder::Inbox => "INBOX",
                Folder::Junk => "Junk",
            }
            .to_owned(),
        ),
        via: match local.via {
            Via::Group(id) => Some(group_name(directory, id)),
            Via::Direct | Via::Postmaster | Via::CatchAll => None,
        },
        forwarded_by: names(&local.forwarded_by),
    });
    let remote = plan.remote.iter().map(|remote| PlannedView {
        to: remote.to.to_string(),
        kind: "remote".to_owned(),
        folder: None,
        via: None,
        forwarded_by: names(&remote.forwarded_by),
    });
    local.chain(remote).take(NAMED).collect()
}

/// Deliveries that are named one by one.
const NAMED: usize = 1000;
