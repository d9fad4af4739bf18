//! What can be written on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::account::AccountCommand;
use super::alias::AliasCommand;
use super::apply::Apply;
use super::blocklist::BlocklistCommand;
use super::domain::DomainCommand;
use super::group::GroupCommand;
use super::hold::{HoldCommand, QueueCommand};
use super::hook::HookCommand;
use super::organisation::{DepartmentCommand, OrganisationCommand, RelayCommand};
use super::rule::RuleCommand;
use super::trace::{AuditCommand, Explain, TraceCommand};
use super::webhook::WebhookCommand;

/// A mail server: SMTP in, RocksDB at rest, IMAP out.
#[derive(Debug, Parser)]
#[command(name = "posthouse", version, about, after_help = EXIT_CODES)]
pub struct Cli {
    /// Configuration file.
    #[arg(long, global = true, value_name = "FILE", default_value = "conf/posthouse.toml")]
    pub config: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server.
    Serve {
        /// In a new data directory, add the domain example.test with accounts alice, bob and carol; say how to use them.
        #[arg(long)]
        demo: bool,
    },
    /// Prove the store's references against its entries; exit code 1 if anything is found.
    Check(Format),
    /// Say what the running server is and has.
    Status(Format),
    /// Make the directory as a file says: all of it or nothing.
    Apply(Apply),
    /// Owners of domains.
    #[command(subcommand)]
    Organisation(OrganisationCommand),
    /// Hosted domains.
    #[command(subcommand)]
    Domain(DomainCommand),
    /// Nodes of an organisation's tree.
    #[command(subcommand)]
    Department(DepartmentCommand),
    /// Accounts.
    #[command(subcommand)]
    Account(Box<AccountCommand>),
    /// Further addresses of accounts.
    #[command(subcommand)]
    Alias(AliasCommand),
    /// Groups.
    #[command(subcommand)]
    Group(Box<GroupCommand>),
    /// Mail rules.
    #[command(subcommand)]
    Rule(RuleCommand),
    /// Trusted relays and gateways.
    #[command(subcommand)]
    Relay(RelayCommand),
    /// DNS block lists.
    #[command(subcommand)]
    Blocklist(BlocklistCommand),
    /// Where messages went.
    #[command(subcommand)]
    Trace(TraceCommand),
    /// Say what would happen to a message, and why.
    Explain(Explain),
    /// What has still to be delivered.
    #[command(subcommand)]
    Queue(QueueCommand),
    /// Programs that take part in decisions.
    #[command(subcommand)]
    Hook(HookCommand),
    /// Messages that wait for a decision.
    #[command(subcommand)]
    Hold(HoldCommand),
    /// Others who are told of what happens to messages.
    #[command(subcommand)]
    Webhook(WebhookCommand),
    /// What administrators did.
    #[command(subcommand)]
    Audit(AuditCommand),
}

/// How a result is written.
#[derive(Args, Clone, Copy, Debug)]
pub struct Format {
    /// Write JSON, as the admin API gives it.
    #[arg(long)]
    pub json: bool,
}

/// On or off.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Switch {
    /// It is so.
    On,
    /// It is not.
    Off,
}

impl Switch {
    /// True for on.
    pub fn is_on(self) -> bool {
        matches!(self, Switch::On)
    }
}

const EXIT_CODES: &str =
    "Exit codes: 0 done, 1 refused or failed, 2 wrong usage or configuration, 3 no running server to ask.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn command_lines() {
        for (line, want) in [
            ("serve", true),
            ("serve --demo --config x.toml", true),
            ("--config x.toml status --json", true),
            ("check --config x.toml", true),
            ("domain add corp.test branch.test", true),
            ("domain add", false),
            ("domain list --json --config x.toml", true),
            ("account add alice@corp.test --password-stdin", true),
            ("account add alice@corp.test bob@corp.test --generate-password", true),
            ("account add alice@corp.test --password-stdin --generate-password", false),
            ("account add alice@corp.test --password secret", false),
            ("account password alice@corp.test --password-stdin", true),
            ("account list --domain corp.test --json", true),
            ("alias add a@corp.test alice@corp.test", true),
            ("alias add a@corp.test", false),
            ("alias list --account alice@corp.test", true),
            ("alias remove a@corp.test", true),
            ("alias disable a@corp.test", true),
            ("apply acme.toml --dry-run --json", true),
            ("apply", false),
            ("domain alias corp-alias.test corp.test", true),
            ("domain catch-all corp.test", true),
            ("domain block corp.test *@evil.test=refuse eve@ext.test", true),
            ("domain allow corp.test", true),
            ("account allow alice@corp.test *@partner.test", true),
            ("account allow", false),
            ("organisation add acme --external-forward sometimes", false),
            ("department remove /Sales/East --target /Sales", true),
            ("account add team@corp.test --shared", true),
            ("account add team@corp.test --shared --generate-password", false),
            ("account state alice@corp.test frozen --incoming store+forward", true),
            ("account state alice@corp.test asleep", false),
            ("account scope alice@corp.test --send internal --receive *@partner.test", true),
            ("account forward alice@corp.test bob@corp.test --no-keep", true),
            ("account forward alice@corp.test --off", true),
            ("account forward alice@corp.test", false),
            ("account vacation alice@corp.test --text away --until 2026-08-01", true),
            ("account vacation alice@corp.test", false),
            ("account admin alice@corp.test on", true),
            ("account admin alice@corp.test maybe", false),
            ("group add g@corp.test --permission members --member alice@corp.test --hidden on", true),
            ("group permission g@corp.test everybody", false),
            ("group members add g@corp.test group:h@corp.test --edge check", true),
            ("group members add g@corp.test", false),
            ("group whitelist remove g@corp.test *@partner.test", true),
            ("group moderation g@corp.test all --moderator dave@corp.test", true),
            ("rule add watch --scope everyone --copy erin@corp.test:m --keyword x", true),
            ("rule add watch --file watch.toml --copy erin@corp.test", false),
            ("rule disable watch --organisation acme", true),
            ("relay add 192.0.2.0/24 gateway", true),
            ("relay add 192.0.2.1 gateway --received-by gw.corp.test", true),
            ("relay add 192.0.2.0/24 trusted-relay --force", true),
            ("relay add 192.0.2.0/24 friend", false),
            ("account unlock alice@corp.test bob@corp.test", true),
            ("blocklist list --json", true),
            ("blocklist test", true),
            ("blocklist", false),
            ("account unlock", false),
            ("account locks alice@corp.test --json", true),
            ("trace find --recipient alice@corp.test --from 2026-01-01 --limit 5 --json", true),
            ("trace find --limit 5000", false),
            ("trace show", false),
            ("explain --from a@b.test --to alice@corp.test --spf pass", true),
            ("explain --from a@b.test --to alice@corp.test --spf perhaps", false),
            ("explain --from a@b.test --to alice@corp.test --auth alice@corp.test --spf pass", false),
            ("queue list --host partner.test", true),
            ("hold refuse 00000000000000000001 --text no", true),
            ("webhook list --json", true),
            ("webhook test crm", true),
            ("webhook test", false),
            ("audit verify --organisation acme", true),
            ("", false),
            ("explode", false),
        ] {
            let words = std::iter::once("posthouse").chain(line.split_whitespace());
            assert_eq!(Cli::try_parse_from(words).is_ok(), want, "{line}");
        }
        let cli = Cli::try_parse_from(["posthouse", "serve"]).unwrap();
        assert_eq!(cli.config, PathBuf::from("conf/posthouse.toml"));
    }
}
