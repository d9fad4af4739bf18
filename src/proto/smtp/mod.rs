//! SMTP on the wire (RFC 5321): commands with the parameters of their extensions, replies, and the octets of a message
//! as DATA and BDAT carry them.
//!
//! [`Command::parse`] fails with a [`CommandError`] that says which reply is due. Message content is never changed:
//! [`DataDecoder`] takes away what dot-stuffing added and nothing else, and content that is not clean CRLF text is
//! reported as a [`Defect`], for the message to be refused as a whole.

pub mod client;

mod command;
mod content;
mod parameter;
mod path;
mod reply;
mod xclient;

pub use crate::mail::{Notify, Ret};
pub use command::{Command, CommandError, Mail, Rcpt, Syntax};
pub use content::{ChunkChecker, DataDecoder, Decoded, Defect};
pub use parameter::{Body, original_recipient};
pub use reply::Reply;
pub use xclient::XClient;
