//! `posthouse alias`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::{Client, Failure, path};
use super::command::Format;
use super::output;

/// Further addresses of accounts.
#[derive(Debug, Subcommand)]
pub enum AliasCommand {
    /// Give an account a further address.
    Add {
        /// The further address.
        address: String,
        /// Primary address of the account.
        account: String,
    },
    /// List the aliases: address, account, and `disabled` if it is.
    List {
        /// Only those of this account.
        #[arg(long)]
        account: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Let an alias receive again.
    Enable {
        /// The further address.
        address: String,
    },
    /// Let an alias be as if it did not exist; nobody else can have it.
    Disable {
        /// The further address.
        address: String,
    },
    /// Remove aliases.
    Remove {
        /// The further address.
        #[arg(required = true)]
        address: Vec<String>,
    },
}

/// Carries out one command.
pub fn run(client: &Client, command: AliasCommand) -> Result<(), Failure> {
    let enable = |address: &str, enabled: bool| {
        client.put(&path(&["aliases", address, "enabled"]), &json!({ "enabled": enabled }))
    };
    match command {
        AliasCommand::Add { address, account } => {
            client.add("/aliases", &json!({ "address": address, "account": account })).map(drop)
        }
        AliasCommand::Enable { address } => enable(&address, true),
        AliasCommand::Disable { address } => enable(&address, false),
        AliasCommand::Remove { address } => address.iter().try_for_each(|a| client.remove(&path(&["aliases", a]))),
        AliasCommand::List { account, format } => {
            let aliases: Vec<Value> = client.list("/aliases", &[("account", account.as_deref())])?;
            if format.json {
                return output::json(&aliases);
            }
            for alias in &aliases {
                let text = |field| alias.get(field).map(output::plain).unwrap_or_default();
                let state = if alias.get("enabled") == Some(&Value::Bool(false)) { "\tdisabled" } else { "" };
                output::line(format_args!("{}\t{}{state}", text("address"), text("account")));
            }
            Ok(())
        }
    }
}
