//! SMTP as a client speaks it (RFC 5321 §4): what other hosts answer, what they offer, and the commands to them.
//!
//! [`ReplyReader`] takes what comes as far as sense can be made of it, and fails with a [`ReplyError`] at what cannot be
//! a reply or has no end. Nothing that a host sends leaves here with control characters. [`Capabilities`] say what may
//! be used; commands are written with the parameters that the host knows, and no others. [`ContentWriter`] writes the
//! octets of a message for DATA and BDAT.

mod capabilities;
mod command;
mod content;
mod reply;

pub use capabilities::Capabilities;
pub use command::{MailFrom, RcptTo};
pub use content::ContentWriter;
pub use reply::{RemoteReply, ReplyError, ReplyReader};
