//! The sessions: read, decide, act, reply.

pub mod admin;
pub mod imap;
pub mod sasl;
pub mod smtp;

mod services;

pub use services::{LiveDirectory, Publish, Services, SessionLimits, Shutdown};
