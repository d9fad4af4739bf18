//! The admin API: HTTP and JSON over a Unix socket in the data directory, and over loopback TCP with a bearer token or
//! an account's address and password.
//!
//! The handlers in [`routes`] read a request, call one operation of [`ops`] and write its result as JSON; [`permission`]
//! gathers what decides whether it may; [`error`] says how an error looks. What the API offers is documented in `docs/admin-api.md`.

pub mod audit;
pub mod error;
pub mod ops;
pub mod published;
pub mod report;
pub mod spec;
pub mod view;

mod actor;
mod permission;
mod request;
mod routes;
mod serve;
mod token;
mod visitor;

pub use actor::Actor;
pub use ops::Admin;
pub use permission::{Touches, Whose};
pub use routes::{Route, metrics_router, router, routes};
pub use serve::{bind_unix, serve_metrics, serve_tcp, serve_unix, socket_path};
pub use token::Token;
