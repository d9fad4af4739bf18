//! `posthouse hook`.

use std::net::IpAddr;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Client, Failure, path};
use super::command::Format;
use super::{input, output};

/// Programs that take part in decisions.
#[derive(Debug, Subcommand)]
pub enum HookCommand {
    /// List them in the order in which they are asked: name, kind, stages, questions, failures, mean time.
    List(Format),
    /// Ask one about a message, at each of its stages, and say what it would do.
    Test(Test),
}

/// What a session would tell it.
#[derive(Debug, Args)]
pub struct Test {
    /// Its name.
    name: String,
    /// The message, with its header; `-` is standard input.
    file: PathBuf,
    /// MAIL FROM; the null reverse-path without it.
    #[arg(long, default_value = "")]
    from: String,
    /// RCPT TO.
    #[arg(long, value_name = "ADDRESS")]
    to: Vec<String>,
    /// The client's address.
    #[arg(long)]
    client: Option<IpAddr>,
    /// The name that the client gives itself.
    #[arg(long)]
    helo: Option<String>,
    /// Who has logged in.
    #[arg(long, value_name = "ADDRESS")]
    login: Option<String>,
    #[command(flatten)]
    format: Format,
}

/// Carries out a command.
pub fn run(client: &Client, command: HookCommand) -> Result<(), Failure> {
    match command {
        HookCommand::List(format) => {
            let hooks: Vec<Value> = client.read("/hooks")?;
            if format.json {
                return output::json(&hooks);
            }
            output::rows(&hooks, &["name", "kind", "stages", "asked", "failed", "mean_microseconds", "suspended"]);
            Ok(())
        }
        HookCommand::Test(test) => {
            let mut body = json!({
                "message": STANDARD.encode(crlf(&input::whole(&test.file)?)),
                "sender": test.from,
                "recipients": test.to,
            });
            for (name, value) in
                [("client", test.client.map(|client| client.to_string())), ("helo", test.helo), ("login", test.login)]
            {
                if let (Some(fields), Some(value)) = (body.as_object_mut(), value) {
                    fields.insert(name.to_owned(), json!(value));
                }
            }
            let tested: Value = client.add(&path(&["hooks", &test.name, "test"]), &body)?;
            if test.format.json {
                return output::json(&tested);
            }
            output::object(&tested);
            Ok(())
        }
    }
}

/// Files have their system's line ends, messages CRLF (RFC 5321 §2.3.8).
fn crlf(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|octet| *octet == b'\n') {
        match line.strip_suffix(b"\n") {
            None => out.extend_from_slice(line),
            Some(line) => {
                out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
                out.extend_from_slice(b"\r\n");
            }
        }
    }
    out
}
