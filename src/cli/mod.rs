//! The command line: `posthouse serve` is the server, every other command asks a running one over the admin API.
//!
//! Exit codes: 0 done, 1 refused or failed, 2 wrong usage or configuration, 3 no server to ask. Results go to standard
//! output, messages to standard error as `posthouse: …`.

mod account;
mod alias;
mod apply;
mod blocklist;
mod client;
mod command;
mod demo;
mod domain;
mod group;
mod hold;
mod hook;
mod input;
mod organisation;
mod output;
mod password;
mod rule;
mod run;
mod status;
mod trace;
mod webhook;

use std::process::ExitCode;

use clap::Parser;

pub use command::Cli;

/// Runs the command that the program was started with.
pub fn run() -> ExitCode {
    // Wrong usage ends here with clap's message and exit code 2, `--help` and `--version` with 0.
    match run::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("posthouse: {failure}");
            failure.exit_code()
        }
    }
}
