//! Carrying commands out.

use serde_json::json;

use super::client::{Client, Failure, encoded, new_accounts};
use super::command::{AccountCommand, AliasCommand, Cli, Command, DomainCommand, Format, PasswordSource};
use super::{demo, output, password};
use crate::config::Config;
use crate::directory::AccountState;
use crate::server::admin::view::{
    AccountDetail, AccountView, AliasView, CheckView, DomainDetail, DomainView, Page, Status,
};

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
        Command::Check(format) => check(&client, format),
        Command::Status(format) => status(&client, format),
        Command::Domain(command) => domain(&client, command),
        Command::Account(command) => account(&client, command),
        Command::Alias(command) => alias(&client, command),
    }
}

fn check(client: &Client, format: Format) -> Result<(), Failure> {
    let report: CheckView = client.read("/check")?;
    if format.json {
        output::json(&report)?;
    } else {
        for finding in &report.findings {
            output::line(format_args!("{}: {}", finding.place, finding.problem));
        }
        output::line(format_args!(
            "{} accounts, {} mailboxes, {} entries, {} messages",
            report.accounts, report.mailboxes, report.entries, report.messages
        ));
    }
    match report.findings.len() {
        0 => Ok(()),
        found => Err(Failure::Findings(found)),
    }
}

fn status(client: &Client, format: Format) -> Result<(), Failure> {
    let status: Status = client.read("/status")?;
    if format.json {
        return output::json(&status);
    }
    output::pairs(&[
        ("version", status.version),
        ("hostname", status.hostname),
        ("started", status.started),
        ("uptime", format!("{} s", status.uptime_seconds)),
        ("domains", status.domains.to_string()),
        ("accounts", status.accounts.to_string()),
        ("aliases", status.aliases.to_string()),
    ]);
    Ok(())
}

fn domain(client: &Client, command: DomainCommand) -> Result<(), Failure> {
    match command {
        DomainCommand::Add { name } => {
            name.iter().try_for_each(|n| client.add("/domains", &json!({ "name": n })).map(drop))
        }
        DomainCommand::Remove { name } => {
            name.iter().try_for_each(|n| client.remove(&format!("/domains/{}", encoded(n))))
        }
        DomainCommand::List(format) => {
            let domains = client.read::<Page<DomainView>>("/domains")?.items;
            if format.json {
                return output::json(&domains);
            }
            domains.iter().for_each(|d| output::line(&d.name));
            Ok(())
        }
        DomainCommand::Show { name, format } => {
            let detail: DomainDetail = client.read(&format!("/domains/{}", encoded(&name)))?;
            if format.json {
                return output::json(&detail);
            }
            output::pairs(&[
                ("domain", detail.domain.name.to_string()),
                ("id", detail.domain.id.to_string()),
                ("created", detail.domain.created),
                ("accounts", detail.accounts.to_string()),
                ("aliases", detail.aliases.to_string()),
            ]);
            Ok(())
        }
    }
}

fn account(client: &Client, command: AccountCommand) -> Result<(), Failure> {
    match command {
        AccountCommand::Add { address, password: source } => {
            let password = password::obtain(source)?;
            // Each part is one change: all of its accounts or none.
            address
                .chunks(ACCOUNTS_AT_ONCE)
                .try_for_each(|part| client.add("/accounts/batch", &new_accounts(part, &password)).map(drop))?;
            tell(source, &password);
            Ok(())
        }
        AccountCommand::Password { address, password: source } => {
            let password = password::obtain(source)?;
            client.put(&format!("/accounts/{}/password", encoded(&address)), &json!({ "password": password }))?;
            tell(source, &password);
            Ok(())
        }
        AccountCommand::Remove { address } => {
            address.iter().try_for_each(|a| client.remove(&format!("/accounts/{}", encoded(a))))
        }
        AccountCommand::List { domain, format } => {
            let query = domain.map_or_else(|| LIMIT.to_owned(), |d| format!("{LIMIT}&domain={}", encoded(&d)));
            let accounts: Vec<AccountView> = client.list("/accounts", &query)?;
            if format.json {
                return output::json(&accounts);
            }
            for account in &accounts {
                match account.state {
                    AccountState::Active => output::line(&account.address),
                    AccountState::Removing => output::line(format_args!("{}\tremoving", account.address)),
                }
            }
            Ok(())
        }
        AccountCommand::Show { address, format } => {
            let detail: AccountDetail = client.read(&format!("/accounts/{}", encoded(&address)))?;
            if format.json {
                return output::json(&detail);
            }
            let aliases: Vec<String> = detail.aliases.iter().map(ToString::to_string).collect();
            output::pairs(&[
                ("address", detail.account.address.to_string()),
                ("id", detail.account.id.to_string()),
                ("state", state_name(detail.account.state).to_owned()),
                ("created", detail.account.created),
                ("aliases", aliases.join(" ")),
            ]);
            Ok(())
        }
    }
}

fn alias(client: &Client, command: AliasCommand) -> Result<(), Failure> {
    match command {
        AliasCommand::Add { address, account } => {
            client.add("/aliases", &json!({ "address": address, "account": account })).map(drop)
        }
        AliasCommand::Remove { address } => {
            address.iter().try_for_each(|a| client.remove(&format!("/aliases/{}", encoded(a))))
        }
        AliasCommand::List { account, format } => {
            let query = account.map_or_else(|| LIMIT.to_owned(), |a| format!("{LIMIT}&account={}", encoded(&a)));
            let aliases: Vec<AliasView> = client.list("/aliases", &query)?;
            if format.json {
                return output::json(&aliases);
            }
            aliases.iter().for_each(|a| output::line(format_args!("{}\t{}", a.address, a.account)));
            Ok(())
        }
    }
}

/// A made-up password is written once it is in force, so that nobody notes one that was refused.
fn tell(source: PasswordSource, password: &str) {
    if source.generate_password {
        output::line(password);
    }
}

fn state_name(state: AccountState) -> &'static str {
    match state {
        AccountState::Active => "active",
        AccountState::Removing => "removing",
    }
}

/// Pages of the largest size.
const LIMIT: &str = "?limit=1000";

/// What the API takes in one change.
const ACCOUNTS_AT_ONCE: usize = 1000;
