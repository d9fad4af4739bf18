//! `posthouse blocklist`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::{Client, Failure};
use super::command::Format;
use super::output;

/// DNS block lists.
#[derive(Debug, Subcommand)]
pub enum BlocklistCommand {
    /// List them: zone, action, whether it is asked, when it was tested last and what that has shown.
    List(Format),
    /// Test them now, and list them.
    Test(Format),
}

/// Carries out one command.
pub fn run(client: &Client, command: BlocklistCommand) -> Result<(), Failure> {
    let (answer, format) = match command {
        BlocklistCommand::List(format) => (client.read("/blocklists")?, format),
        BlocklistCommand::Test(format) => (client.add("/blocklists/test", &json!({}))?, format),
    };
    let lists = answer.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    if format.json {
        return output::json(&lists);
    }
    output::rows(&lists, &["zone", "action", "standing", "tested", "test"]);
    Ok(())
}
