//! What can be written on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

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
    /// Hosted domains.
    #[command(subcommand)]
    Domain(DomainCommand),
    /// Accounts.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Further addresses of accounts.
    #[command(subcommand)]
    Alias(AliasCommand),
}

/// How a result is written.
#[derive(Args, Clone, Copy, Debug)]
pub struct Format {
    /// Write JSON, as the admin API gives it.
    #[arg(long)]
    pub json: bool,
}

/// Hosted domains.
#[derive(Debug, Subcommand)]
pub enum DomainCommand {
    /// Host domains.
    Add {
        /// Domain name, with A-labels or U-labels.
        #[arg(required = true)]
        name: Vec<String>,
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

/// Accounts.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Add accounts; several get the same password.
    Add {
        /// Primary address.
        #[arg(required = true)]
        address: Vec<String>,
        #[command(flatten)]
        password: PasswordSource,
    },
    /// List the accounts.
    List {
        /// Only those of this domain.
        #[arg(long)]
        domain: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Show one account with its aliases.
    Show {
        /// Primary address.
        address: String,
        #[command(flatten)]
        format: Format,
    },
    /// Set the password of an account.
    Password {
        /// Primary address.
        address: String,
        #[command(flatten)]
        password: PasswordSource,
    },
    /// Remove accounts with their aliases and all their mail.
    Remove {
        /// Primary address.
        #[arg(required = true)]
        address: Vec<String>,
    },
}

/// Where a password comes from; without either option it is asked for on the terminal.
#[derive(Args, Clone, Copy, Debug)]
#[group(multiple = false)]
pub struct PasswordSource {
    /// Read the password from standard input, to its end; one line end there does not count.
    #[arg(long)]
    pub password_stdin: bool,
    /// Make up a password and write it to standard output.
    #[arg(long)]
    pub generate_password: bool,
}

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
    /// List the aliases.
    List {
        /// Only those of this account.
        #[arg(long)]
        account: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Remove aliases.
    Remove {
        /// The further address.
        #[arg(required = true)]
        address: Vec<String>,
    },
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
