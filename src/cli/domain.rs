//! `posthouse domain`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::{Client, Failure, fitting, path};
use super::command::Format;
use super::{account, group, output};
use crate::server::admin::published::{CheckedRecord, DnsCheck, DnsView, KeysView};

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
    /// Set whom the accounts of a domain do not hear, unless they allow it themselves; nobody without a sender.
    Block {
        /// Domain name.
        name: String,
        /// ADDRESS or *@DOMAIN; their mail is refused, or with =junk goes to Junk, with =drop nowhere.
        #[arg(value_name = "SENDER[=refuse|junk|drop]")]
        sender: Vec<String>,
    },
    /// Set the senders whose mail is no junk for the accounts of a domain, once they are proven; nobody without a sender.
    Allow {
        /// Domain name.
        name: String,
        /// ADDRESS or *@DOMAIN.
        sender: Vec<String>,
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
    /// The keys with which a domain signs.
    #[command(subcommand)]
    Dkim(DkimCommand),
    /// Print the DNS records that a domain is to publish, as a zone file has them.
    Dns {
        /// Domain name.
        name: String,
        #[command(flatten)]
        format: Format,
    },
    /// Compare the DNS with the records that a domain is to publish; exit code 1 if somebody has to do something.
    Check {
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

/// Keys of a domain.
#[derive(Debug, Subcommand)]
pub enum DkimCommand {
    /// List the pairs of keys and where they are published.
    List {
        /// Domain name.
        name: String,
        #[command(flatten)]
        format: Format,
    },
    /// Make a new pair of keys. It is used once the DNS has it and its time has come, or on command.
    Rotate {
        /// Domain name.
        name: String,
        /// Hours that it waits at least.
        #[arg(long)]
        after_hours: Option<u32>,
    },
    /// Use the pair that waits now.
    Activate {
        /// Domain name.
        name: String,
    },
    /// Take a pair out of use: what signs stays published for a week, what does not is gone at once.
    Retire {
        /// Domain name.
        name: String,
        /// What the pair is called.
        pair: String,
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
        DomainCommand::Block { name, sender } => {
            let blocked: Vec<Value> = sender.iter().map(|s| account::blocked(s)).collect();
            client.put(&path(&["domains", &name, "blocked"]), &json!({ "blocked": blocked }))
        }
        DomainCommand::Allow { name, sender } => {
            client.put(&path(&["domains", &name, "allowed"]), &json!({ "allowed": sender }))
        }
        DomainCommand::Dkim(command) => dkim(client, command),
        DomainCommand::Dns { name, format } => dns(client, &name, format),
        DomainCommand::Check { name, format } => check(client, &name, format),
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

fn dkim(client: &Client, command: DkimCommand) -> Result<(), Failure> {
    let at = |name: &str, action: &str| path(&["domains", name, "dkim", action]);
    let answer = match command {
        DkimCommand::List { name, format } => {
            let keys: KeysView = client.read(&path(&["domains", &name, "dkim"]))?;
            return if format.json { output::json(&keys) } else { pairs(&keys) };
        }
        DkimCommand::Rotate { name, after_hours } => {
            client.add(&at(&name, "rotate"), &json!({ "after_hours": after_hours }))?
        }
        DkimCommand::Activate { name } => client.add(&at(&name, "activate"), &json!({}))?,
        DkimCommand::Retire { name, pair } => client.add(&at(&name, "retire"), &json!({ "pair": pair }))?,
    };
    pairs(&fitting(answer)?)
}

/// A line for each key: pair, state, until when, algorithm, where.
fn pairs(keys: &KeysView) -> Result<(), Failure> {
    for pair in &keys.pairs {
        for key in &pair.keys {
            let until = pair.until.as_deref().unwrap_or_default();
            output::line([&pair.name, &pair.state, until, &key.algorithm, &key.name].join("\t"));
        }
    }
    Ok(())
}

fn dns(client: &Client, name: &str, format: Format) -> Result<(), Failure> {
    let dns: DnsView = client.read(&path(&["domains", name, "dns"]))?;
    if format.json {
        return output::json(&dns);
    }
    output::line(dns.zone.trim_end());
    if let Some(policy) = &dns.mta_sts_policy {
        output::line(format_args!("; https://mta-sts.{}/.well-known/mta-sts.txt:", dns.domain));
        policy.lines().for_each(|line| output::line(format_args!(";   {line}")));
    }
    Ok(())
}

fn check(client: &Client, name: &str, format: Format) -> Result<(), Failure> {
    let check: DnsCheck = fitting(client.add(&path(&["domains", name, "dns", "check"]), &json!({}))?)?;
    if format.json {
        output::json(&check)?;
    } else {
        for CheckedRecord { record, standing, found, note, .. } in &check.records {
            let is_optional = if record.needed { "" } else { " (optional)" };
            output::line(format_args!(
                "{standing}\t{}\t{} {}{is_optional}",
                record.purpose, record.record, record.name
            ));
            if standing == "right" {
                continue;
            }
            if !record.value.is_empty() {
                output::line(format_args!("\twanted\t{}", record.value));
            }
            found.iter().for_each(|text| output::line(format_args!("\tfound\t{}", output::plain(&json!(text)))));
            if !note.is_empty() {
                output::line(format_args!("\tnote\t{note}"));
            }
        }
    }
    match check.problems {
        0 => Ok(()),
        found => Err(Failure::Findings(found)),
    }
}
