//! Commands become calls of the admin API: `serve` runs here, every other is its noun's.

use super::client::{Client, Failure};
use super::command::{Cli, Command};
use super::{
    account, alias, apply, blocklist, demo, domain, group, hold, hook, organisation, rule, status, trace, webhook,
};
use crate::config::Config;

/// Carries out one command.
pub fn run(cli: Cli) -> Result<(), Failure> {
    let config = Config::load(&cli.config).map_err(|e| Failure::Usage(e.to_string()))?;
    if let Command::Serve { demo } = cli.command {
        if demo {
            demo::prepare(&config)?;
        }
        return crate::app::run(config).map_err(|e| Failure::Failed(e.to_string()));
    }
    let client = Client::new(&config.data_dir)?;
    match cli.command {
        Command::Serve { .. } => Ok(()),
        Command::Check(format) => status::check(&client, format),
        Command::Status(format) => status::status(&client, format),
        Command::Apply(file) => apply::run(&client, &file),
        Command::Organisation(command) => organisation::organisation(&client, command),
        Command::Domain(command) => domain::run(&client, command),
        Command::Department(command) => organisation::department(&client, command),
        Command::Account(command) => account::run(&client, *command),
        Command::Alias(command) => alias::run(&client, command),
        Command::Group(command) => group::run(&client, *command),
        Command::Rule(command) => rule::run(&client, command),
        Command::Relay(command) => organisation::relay(&client, command),
        Command::Blocklist(command) => blocklist::run(&client, command),
        Command::Trace(command) => trace::trace(&client, command),
        Command::Explain(question) => trace::explain(&client, question),
        Command::Queue(command) => hold::queue(&client, command),
        Command::Hook(command) => hook::run(&client, command),
        Command::Hold(command) => hold::hold(&client, command),
        Command::Webhook(command) => webhook::run(&client, command),
        Command::Audit(command) => trace::audit(&client, command),
    }
}
