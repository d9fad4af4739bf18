//! The sessions: read, decide, act, reply.

pub mod admin;
pub mod imap;
pub mod sasl;
pub mod smtp;

mod abuse;
mod blocklists;
mod rates;
mod services;

pub use blocklists::Blocklists;
pub use rates::{RateLimits, Rates};
pub use services::{LiveDirectory, Over, Publish, Services, SessionLimits, SessionOwner, Shutdown};
