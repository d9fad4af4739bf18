//! Programs that take part in decisions: over HTTP, as milters, rspamd and clamd.

mod engines;
#[path = "../../milter/filter.rs"]
#[allow(dead_code, reason = "shared with tests/milter.rs, which needs more of it")]
mod filter;
mod http;
mod milters;
pub mod program;
mod recipients;

use std::time::Duration;

use serde_json::Value;

use crate::server::Server;
use crate::smtp::Smtp;

/// A running server with example.test, alice and bob, and these hooks.
fn server_with(hooks: &str) -> Server {
    let mut server = Server::prepared(hooks);
    server.run();
    server.cli(&["domain", "add", "example.test"], "");
    for account in ["alice", "bob"] {
        server.add_account(account);
    }
    server
}

/// How long the filter of the tests is waited for.
const LONG: Duration = Duration::from_secs(30);

const PAM: &str = "pam@partner.test";
const ALICE: &str = "alice@example.test";
const BOB: &str = "bob@example.test";

fn message(subject: &str) -> Vec<u8> {
    format!("From: {PAM}\r\nTo: {ALICE}\r\nSubject: {subject}\r\n\r\nbody of {subject}\r\n").into_bytes()
}

/// Sends from pam to alice; gives the reply to it all as `code text`.
fn send(server: &Server, subject: &str) -> String {
    let reply = Smtp::open(server.address("smtp")).send(PAM, &[ALICE], &message(subject));
    format!("{} {}", reply.code, reply.text())
}

/// The whole texts of what is in a folder about this.
fn messages(server: &Server, user: &str, folder: &str, subject: &str) -> Vec<String> {
    server.imap(user).messages(folder, subject)
}

/// The trace records about messages to alice, newest first.
fn traces(server: &Server) -> Vec<Value> {
    let found = server.cli(&["trace", "find", "--recipient", ALICE, "--json"], "");
    let found: Value = serde_json::from_str(&found).expect("JSON");
    let ids = found.as_array().expect("a list").iter().map(|t| t["id"].as_str().expect("an id").to_owned());
    ids.map(|id| serde_json::from_str(&server.cli(&["trace", "show", &id, "--json"], "")).expect("JSON")).collect()
}
