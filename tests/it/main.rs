//! Behaviour tests against a real server: one binary, so that there is one thing to link.

#![forbid(unsafe_code)]

mod clients;
mod corpus;
mod crash;
mod dialog;
mod fault;
mod grammar;
mod hostile;
mod imap;
mod imap_dialogs;
mod prng;
mod scram;
mod server;
mod smtp;
mod smtp_dialogs;
mod smuggling;
mod wire;
