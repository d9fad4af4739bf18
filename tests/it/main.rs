//! Behaviour tests against a real server: one binary, so that there is one thing to link.

#![forbid(unsafe_code)]

mod admin;
#[path = "../security/certificates.rs"]
#[allow(dead_code, reason = "shared with tests/security.rs, which needs more of it")]
mod certificates;
mod clients;
mod corpus;
mod crash;
mod dialog;
#[allow(dead_code, reason = "shared with tests/emailauth.rs, which needs more of it")]
mod dns;
mod fan_out;
mod fault;
mod grammar;
mod hooks;
mod hostile;
mod imap;
mod imap_dialogs;
mod inside;
mod metrics;
mod outbound;
mod policy;
mod prng;
mod scram;
mod server;
#[allow(dead_code, reason = "shared with tests/emailauth.rs, which needs more of it")]
mod signer;
mod signing;
mod smtp;
mod smtp_dialogs;
mod smuggling;
mod webhooks;
mod wire;
