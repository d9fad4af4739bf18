//! Posthouse: SMTP in, RocksDB at rest, IMAP out.
//!
//! Before the 250 the [`server`] decides and [`accept`] commits; between the sessions there is only the
//! [`store`]. A module imports only what stands above it here; `tests/architecture.rs` holds the table.

#![forbid(unsafe_code)]

pub mod metrics;

pub mod mail;

pub mod proto;

pub mod directory;

pub mod policy;

pub mod routing;

pub mod net;

pub mod store;

pub mod webhook;

pub mod emailauth;

pub mod hooks;

pub mod login;

pub mod accept;

pub mod delivery;

pub mod server;

pub mod config;

pub mod cli;

pub mod telemetry;

pub mod app;
