//! `posthouse webhook`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::{Client, Failure, fitting, path};
use super::command::Format;
use super::output;
use crate::server::admin::report::WebhookAnswerView;

/// Who is told of what happens to messages.
#[derive(Debug, Subcommand)]
pub enum WebhookCommand {
    /// List them: name, how many events wait, since when, when one last worked after a failure, when one last failed, and how.
    List {
        #[command(flatten)]
        format: Format,
    },
    /// Tell one `ping` at once, and show what it answers; exit code 1 if that is no success.
    Test {
        /// Its name.
        name: String,
        #[command(flatten)]
        format: Format,
    },
}

/// Carries out a command.
pub fn run(client: &Client, command: WebhookCommand) -> Result<(), Failure> {
    match command {
        WebhookCommand::List { format } => {
            let webhooks: Vec<Value> = client.list("/webhooks", &[])?;
            if format.json {
                return output::json(&webhooks);
            }
            output::rows(&webhooks, &["name", "waiting", "oldest", "worked", "failed", "failure"]);
            Ok(())
        }
        WebhookCommand::Test { name, format } => {
            let answer = client.add(&path(&["webhooks", &name, "test"]), &json!({}))?;
            if format.json {
                output::json(&answer)?;
            } else {
                output::object(&answer);
            }
            let answer: WebhookAnswerView = fitting(answer)?;
            match answer.failure {
                None => Ok(()),
                Some(failure) => Err(Failure::Failed(format!("webhook {name}: {failure}"))),
            }
        }
    }
}
