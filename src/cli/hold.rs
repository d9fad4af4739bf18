//! `posthouse hold` and `posthouse queue`.

use clap::{Args, Subcommand};
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
    /// List it: id, recipient, state, attempts, when it is tried next, what came of the last attempt.
    List {
        /// Only what is for this host.
        #[arg(long, conflicts_with_all = ["sender", "local"])]
        host: Option<String>,
        /// Only what is from this sender: an account here, or a reverse-path.
        #[arg(long, conflicts_with = "local")]
        sender: Option<String>,
        /// Only what waits for room in accounts here.
        #[arg(long)]
        local: bool,
        /// Only what is of this message.
        #[arg(long)]
        message: Option<String>,
        /// At most so many items.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        format: Format,
    },
    /// Count what waits for each destination: host, waiting, held, since when, when it is tried next.
    Destinations {
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
    /// Stop items: they are not tried until they are released.
    Hold(Select),
    /// Let held items go on.
    Release(Select),
    /// Try items at once, also at hosts that could not be reached lately.
    Retry(Select),
    /// Take items out, without a word to their senders.
    Remove(Select),
    /// Take items out, and tell their senders that they could not be delivered.
    Fail(Select),
}

/// Which items.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Select {
    /// This one.
    pub id: Option<String>,
    /// What is for this host.
    #[arg(long)]
    pub host: Option<String>,
    /// What is from this sender: an account here, or a reverse-path.
    #[arg(long)]
    pub sender: Option<String>,
    /// What is of this message.
    #[arg(long)]
    pub message: Option<String>,
    /// Everything.
    #[arg(long)]
    pub all: bool,
}

impl Select {
    fn body(&self) -> Value {
        let given = [("id", &self.id), ("host", &self.host), ("sender", &self.sender), ("message", &self.message)];
        let given = given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?))));
        let all = self.all.then(|| ("all".to_owned(), json!(true)));
        given.chain(all).collect()
    }
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
    let act = |what: &str, body: Value| {
        let done = client.add(&path(&["queue", what]), &body)?;
        output::line(format_args!("{} items", done.get("items").map(output::plain).unwrap_or_default()));
        Ok(())
    };
    match command {
        QueueCommand::List { host, sender, local, message, limit, format } => {
            let parameters = [
                ("host", host.as_deref()),
                ("sender", sender.as_deref()),
                ("local", local.then_some("true")),
                ("message", message.as_deref()),
            ];
            let items: Vec<Value> = client.at_most("/queue", &parameters, limit)?;
            if format.json {
                return output::json(&items);
            }
            output::rows(&items, &["id", "recipient", "state", "attempts", "due", "note"]);
            Ok(())
        }
        QueueCommand::Destinations { format } => {
            let items: Vec<Value> = client.list("/queue/destinations", &[])?;
            if format.json {
                return output::json(&items);
            }
            output::rows(&items, &["host", "waiting", "held", "oldest", "due"]);
            Ok(())
        }
        QueueCommand::Show { id, format } => group::show(client, &path(&["queue", &id]), format),
        QueueCommand::Hold(select) => act("hold", select.body()),
        QueueCommand::Release(select) => act("release", select.body()),
        QueueCommand::Retry(select) => act("retry", select.body()),
        QueueCommand::Remove(select) => act("remove", select.body()),
        QueueCommand::Fail(select) => {
            let mut body = select.body();
            if let Some(fields) = body.as_object_mut() {
                fields.insert("report".to_owned(), json!(true));
            }
            act("remove", body)
        }
    }
}
