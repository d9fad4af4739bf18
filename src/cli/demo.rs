//! `posthouse serve --demo`: a domain with three accounts, made over the admin API like any other, and lines to copy.

use std::thread;
use std::time::Duration;

use serde_json::json;

use super::client::{Client, Failure, new_accounts};
use super::output;
use crate::config::Config;
use crate::server::admin::view::Status;

/// Waits beside the server until it answers, then fills an empty directory and says how to use it.
pub fn prepare(config: &Config) -> Result<(), Failure> {
    let client = Client::new(&config.data_dir)?;
    thread::Builder::new()
        .name("demo".to_owned())
        .spawn(move || {
            if let Err(failure) = fill(&client) {
                eprintln!("posthouse: demo accounts: {failure}");
            }
        })
        .map(drop)
        .map_err(|e| Failure::Failed(format!("cannot start: {e}")))
}

fn fill(client: &Client) -> Result<(), Failure> {
    let status = reach(client)?;
    if status.domains == 0 {
        client.add("/domains", &json!({ "name": DOMAIN }))?;
        client.add("/accounts/batch", &new_accounts(&ACCOUNTS.map(str::to_owned), PASSWORD))?;
    }
    // Copyable wherever the binary lies; in PATH it is not, after `make run`.
    let binary = std::env::current_exe().map_or_else(|_| "posthouse".to_owned(), |path| path.display().to_string());
    output::line(HINTS.replace("POSTHOUSE", &binary).trim_end());
    Ok(())
}

fn reach(client: &Client) -> Result<Status, Failure> {
    for _ in 0..TRIES {
        match client.read("/status") {
            Err(Failure::Unreachable { .. }) => thread::sleep(PAUSE),
            answer => return answer,
        }
    }
    client.read("/status")
}

const DOMAIN: &str = "example.test";
const ACCOUNTS: [&str; 3] = ["alice@example.test", "bob@example.test", "carol@example.test"];
/// The same on every machine: the demo listens on loopback only, and its data is worth nothing.
const PASSWORD: &str = "posthouse-demo";

const PAUSE: Duration = Duration::from_millis(50);
const TRIES: u32 = 600;

/// The ports are those of `conf/posthouse.toml`.
const HINTS: &str = include_str!("demo.txt");
