//! `posthouse domain`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::{Client, Failure, path};
use super::command::Format;
use super::{group, output};

/// Hosted domains.
#[derive(Debug, Subcommand)]
pub enum DomainCommand {
    /// Host domains.
    Add {
        /// Domain name, with A-labels or U-labels.
        #[arg(required = true)]
        name: Vec<String>,
        /// Whose, if there are several organisations.
        #[arg(long)]
        organisation: Option<String>,
    },
    /// Host a second name of a domain: every address of the domain exists under it too.
    Alias {
        /// The second name.
        name: String,
        /// The domain.
        of: String,
    },
    /// Set who receives mail for addresses that nobody has; nobody without an account.
    CatchAll {
        /// Domain name.
        name: String,
        /// Primary address.
        account: Option<String>,
    },
    /// List the domains.
    List(Format),
    /// Show one domain.
    Show {
        /// Domain name.
        name: String,
        #[command(flatten)]
        format: Format,
    },
    /// Stop to host domains that have no addresses.
    Remove {
        /// Domain name.
        #[arg(required = true)]
        name: Vec<String>,
    },
}

/// Carries out one command.
pub fn run(client: &Client, command: DomainCommand) -> Result<(), Failure> {
    match command {
        DomainCommand::Add { name, organisation } => name.iter().try_for_each(|name| {
            let body = match &organisation {
                Some(organisation) => json!({ "name": name, "organisation": organisation }),
                None => json!({ "name": name }),
            };
            client.add("/domains", &body).map(drop)
        }),
        DomainCommand::Alias { name, of } => client.add("/domains", &json!({ "name": name, "alias_of": of })).map(drop),
        DomainCommand::CatchAll { name, account } => {
            let at = path(&["domains", &name, "catch-all"]);
            match account {
                Some(account) => client.put(&at, &json!({ "account": account })),
                None => client.remove(&at),
            }
        }
        DomainCommand::Remove { name } => name.iter().try_for_each(|n| client.remove(&path(&["domains", n]))),
        DomainCommand::List(format) => {
            let answer: Value = client.read("/domains")?;
            let domains = answer.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
            if format.json {
                return output::json(&domains);
            }
            output::rows(&domains, &["name"]);
            Ok(())
        }
        DomainCommand::Show { name, format } => group::show(client, &path(&["domains", &name]), format),
    }
}
