//! `posthouse trace`, `posthouse explain` and `posthouse audit`: questions and their answers.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::client::{Client, Failure, path, with_query};
use super::command::Format;
use super::output;
use crate::server::admin::report::{AuditCheckView, ExplainView, TraceView};

/// Where messages went.
#[derive(Debug, Subcommand)]
pub enum TraceCommand {
    /// Find messages, newest first: id, time, result, sender, recipients, subject.
    Find {
        /// The reverse-path.
        #[arg(long, value_name = "ADDRESS")]
        sender: Option<String>,
        /// As addressed, or an address of the account where the message ended.
        #[arg(long, value_name = "ADDRESS")]
        recipient: Option<String>,
        /// With or without its angle brackets.
        #[arg(long, value_name = "ID")]
        message_id: Option<String>,
        /// On this day or at this moment (RFC 3339), or later.
        #[arg(long)]
        from: Option<String>,
        /// Before this.
        #[arg(long)]
        to: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=200))]
        limit: u16,
        #[command(flatten)]
        format: Format,
    },
    /// Show one message: what was known of it, its deliveries, and what came later.
    Show {
        /// What the reply to the message named.
        id: String,
        #[command(flatten)]
        format: Format,
    },
}

/// What administrators did.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List records, newest first: number, time, who, action, objects.
    List {
        /// Whose log; needed if there are several organisations.
        #[arg(long)]
        organisation: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        #[command(flatten)]
        format: Format,
    },
    /// Prove that no record was changed or removed; exit code 1 if one was.
    Verify {
        /// Whose log; needed if there are several organisations.
        #[arg(long)]
        organisation: Option<String>,
        #[command(flatten)]
        format: Format,
    },
}

/// Who would send what to whom.
#[derive(Args, Debug)]
pub struct Explain {
    /// The reverse-path; empty for the null reverse-path.
    #[arg(long, value_name = "ADDRESS")]
    from: String,
    /// The recipient.
    #[arg(long, value_name = "ADDRESS")]
    to: String,
    /// Logged in as this account on a submission port; without it on port 25 and without login.
    #[arg(long, value_name = "ACCOUNT", conflicts_with_all = ["client", "spf"])]
    auth: Option<String>,
    /// From this host.
    #[arg(long, value_name = "IP")]
    client: Option<std::net::IpAddr>,
    /// What SPF says; none without it.
    #[arg(long, value_parser = ["none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"])]
    spf: Option<String>,
    #[command(flatten)]
    format: Format,
}

/// Carries out a command on traces.
pub fn trace(client: &Client, command: TraceCommand) -> Result<(), Failure> {
    match command {
        TraceCommand::Find { sender, recipient, message_id, from, to, limit, format } => {
            let parameters = [
                ("sender", sender.as_deref()),
                ("recipient", recipient.as_deref()),
                ("message_id", message_id.as_deref()),
                ("from", from.as_deref()),
                ("to", to.as_deref()),
            ];
            let traces: Vec<TraceView> = client.first("/trace", &parameters, limit.into())?;
            if format.json {
                return output::json(&traces);
            }
            traces.iter().for_each(found);
            Ok(())
        }
        TraceCommand::Show { id, format } => {
            let trace: TraceView = client.read(&path(&["trace", &id]))?;
            if format.json {
                return output::json(&trace);
            }
            show(&trace);
            Ok(())
        }
    }
}

fn found(trace: &TraceView) {
    let text = |field: &str| trace.record.get(field).map(output::plain).unwrap_or_default();
    let recipients = trace.record.get("recipients").and_then(Value::as_array);
    let names: Vec<String> = recipients.into_iter().flatten().map(recipient).collect();
    let columns = [&trace.id, &trace.at, &text("result"), &text("reverse_path"), &names.join(" "), &text("subject")];
    output::line(columns.map(String::as_str).join("\t"));
}

/// A recipient is an address, or an object with one.
fn recipient(value: &Value) -> String {
    output::plain(value.get("address").unwrap_or(value))
}

fn show(trace: &TraceView) {
    output::pairs(&[("id", trace.id.clone()), ("at", trace.at.clone())]);
    output::object(&trace.record);
    for delivery in &trace.deliveries {
        let folder = delivery.folder.as_deref().unwrap_or("?");
        let via = delivery.via.as_ref().map(|via| format!(" through {via}")).unwrap_or_default();
        let copy = if delivery.copy == "monitor" { " (monitor copy)" } else { "" };
        output::line(format_args!("{}\t{}\t{folder}{via}{copy}", delivery.state, delivery.account));
    }
    let untold = trace.delivery_count.saturating_sub(trace.deliveries.len() as u64);
    if untold > 0 {
        output::line(format_args!("and {untold} more deliveries"));
    }
    for event in &trace.events {
        output::line(format_args!("event\t{}", output::plain(event)));
    }
    if trace.truncated {
        output::line(format_args!("and more events"));
    }
}

/// Carries out a command on the audit log.
pub fn audit(client: &Client, command: AuditCommand) -> Result<(), Failure> {
    match command {
        AuditCommand::List { organisation, limit, format } => {
            let parameters = [("organisation", organisation.as_deref())];
            let records: Vec<Value> = client.first("/audit", &parameters, limit.into())?;
            if format.json {
                return output::json(&records);
            }
            for record in &records {
                let text = |field| record.get(field).map(output::plain).unwrap_or_default();
                let entries = record.get("entries").and_then(Value::as_array).into_iter().flatten();
                let objects: Vec<String> = entries.filter_map(|e| e.get("name").map(output::plain)).collect();
                let what = if objects.is_empty() { text("refused") } else { objects.join(" ") };
                let columns = [text("sequence"), text("at"), who(record.get("actor")), text("action"), what];
                output::line(columns.join("\t"));
            }
            Ok(())
        }
        AuditCommand::Verify { organisation, format } => {
            let at = with_query("/audit/verify", &[("organisation", organisation.as_deref())]);
            let check: AuditCheckView = client.read(&at)?;
            if format.json {
                output::json(&check)?;
            }
            match check.first_bad {
                Some(first_bad) => Err(Failure::Broken(first_bad)),
                None if format.json => Ok(()),
                None => {
                    output::line(format_args!(
                        "{} records, all as they were written",
                        check.records.unwrap_or_default()
                    ));
                    Ok(())
                }
            }
        }
    }
}

/// `unix 1000`, `token 127.0.0.1:4711`
fn who(actor: Option<&Value>) -> String {
    let values = ["kind", "uid", "client"].iter().filter_map(|field| actor?.get(*field));
    values.map(output::plain).collect::<Vec<_>>().join(" ")
}

/// Asks what would happen to a message.
pub fn explain(client: &Client, question: Explain) -> Result<(), Failure> {
    let mut body = Map::from_iter([("from".to_owned(), question.from.into()), ("to".to_owned(), question.to.into())]);
    let client_address = question.client.map(|ip| ip.to_string());
    let more = [("auth", question.auth), ("client", client_address), ("spf", question.spf)];
    body.extend(more.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?.into()))));
    let answer = client.add("/explain", &json!(body))?;
    if question.format.json {
        return output::json(&answer);
    }
    let answer: ExplainView = serde_json::from_value(answer)
        .map_err(|e| Failure::Failed(format!("answer of another version of the server: {e}")))?;
    for (n, finding) in answer.findings.iter().enumerate() {
        output::line(format_args!("{}. {}: {}", n + 1, finding.about, finding.text));
    }
    output::line(format_args!("{}. {} is answered {}", answer.findings.len() + 1, answer.command, answer.reply));
    Ok(())
}
