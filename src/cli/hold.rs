//! `posthouse hold` and `posthouse queue`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::{Client, Failure, path};
use super::command::Format;
use super::{group, output};

/// Messages that wait for a decision.
#[derive(Debug, Subcommand)]
pub enum HoldCommand {
    /// List them: id, kind, state, since when, sender, group or rule, subject.
    List {
        /// Only of this organisation; needed if there are several.
        #[arg(long)]
        organisation: Option<String>,
        /// Only these.
        #[arg(long, value_parser = ["moderation", "approval", "quarantine"])]
        kind: Option<String>,
        /// Also what is decided already.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        format: Format,
    },
    /// Show one.
    Show {
        /// Its id.
        id: String,
        #[command(flatten)]
        format: Format,
    },
    /// Let one through.
    Accept {
        /// Its id.
        id: String,
        /// A remark.
        #[arg(long, default_value = "")]
        text: String,
    },
    /// Refuse one.
    Refuse {
        /// Its id.
        id: String,
        /// What the sender reads.
        #[arg(long, default_value = "")]
        text: String,
    },
}

/// What has still to be delivered.
#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// List it: id, recipient, attempts, when it is tried next, what came of the last attempt.
    List {
        /// Only what is for this host.
        #[arg(long)]
        host: Option<String>,
        /// Only what waits for room in accounts here.
        #[arg(long, conflicts_with = "host")]
        local: bool,
        #[command(flatten)]
        format: Format,
    },
    /// Show one item.
    Show {
        /// Its id.
        id: String,
        #[command(flatten)]
        format: Format,
    },
}

/// Carries out a command on held messages.
pub fn hold(client: &Client, command: HoldCommand) -> Result<(), Failure> {
    let decide =
        |id: &str, how: &str, text: String| client.add(&path(&["holds", id, how]), &json!({ "text": text })).map(drop);
    match command {
        HoldCommand::List { organisation, kind, all, format } => {
            let all = all.then_some("true");
            let parameters = [("organisation", organisation.as_deref()), ("kind", kind.as_deref()), ("all", all)];
            let holds: Vec<Value> = client.list("/holds", &parameters)?;
            if format.json {
                return output::json(&holds);
            }
            for hold in &holds {
                let text = |field| hold.get(field).map(output::plain).unwrap_or_default();
                let held_by = text("group") + &text("rule");
                let columns = ["id", "kind", "state", "created", "reverse_path"].map(text);
                output::line(format_args!("{}\t{held_by}\t{}", columns.join("\t"), text("subject")));
            }
            Ok(())
        }
        HoldCommand::Show { id, format } => group::show(client, &path(&["holds", &id]), format),
        HoldCommand::Accept { id, text } => decide(&id, "accept", text),
        HoldCommand::Refuse { id, text } => decide(&id, "refuse", text),
    }
}

/// Carries out a command on the queue.
pub fn queue(client: &Client, command: QueueCommand) -> Result<(), Failure> {
    match command {
        QueueCommand::List { host, local, format } => {
            let parameters = [("host", host.as_deref()), ("local", local.then_some("true"))];
            let items: Vec<Value> = client.list("/queue", &parameters)?;
            if format.json {
                return output::json(&items);
            }
            output::rows(&items, &["id", "recipient", "attempts", "due", "note"]);
            Ok(())
        }
        QueueCommand::Show { id, format } => group::show(client, &path(&["queue", &id]), format),
    }
}
