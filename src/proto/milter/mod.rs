//! The milter protocol, version 6, as Sendmail and libmilter speak it (`libmilter/mfdef.h`; no RFC has it): packets with
//! a length, a code and what they carry. The mail server sends [`Command`]s, the filter [`Reply`]s; [`Options`] is what
//! both agree on first.
//!
//! Everything from a filter is bounded by [`MAX_PACKET`] and fails with [`PacketError`], after which the connection is of
//! no use: where the next packet would begin is not known.

mod command;
mod options;
mod packet;
mod reply;
mod text;

pub use command::{Client, Command};
pub use options::{Actions, MacroStage, Options, Steps, VERSION};
pub use packet::{MAX_PACKET, Packet, PacketError, PacketReader};
pub use reply::{Reply, SmtpReply};
