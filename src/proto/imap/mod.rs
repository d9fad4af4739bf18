//! IMAP4rev1 (RFC 3501) on the wire: octets to commands, values to responses.
//!
//! - [`Framer`] finds where a command ends, literals included, and bounds it before anything is allocated.
//! - [`Tagged::parse`] makes a [`Command`] of a complete one. What does not fit the grammar is a [`Rejected`] with
//!   the tag, if there was one to read, and a typed [`ParseError`].
//! - [`response`] writes what the server says.
//!
//! Also RFC 2177 (IDLE), 2342 (NAMESPACE), 2971 (ID), 3348 (CHILDREN), 3691 (UNSELECT), 4315 (UIDPLUS), 4731
//! (ESEARCH), 4959 (SASL-IR), 5161 (ENABLE), 5258 (LIST-EXTENDED), 5819 (LIST-STATUS), 6154 (SPECIAL-USE and
//! CREATE-SPECIAL-USE), 6851 (MOVE), 7162 (CONDSTORE, without QRESYNC), 7888 (LITERAL+), 8438 (STATUS=SIZE).
//!
//! Deviation: `\Recent` and unknown system flags in STORE and APPEND are passed over, as clients copy flags from
//! other servers. Deviation: a quoted string may hold UTF-8, as clients send it.

mod command;
mod cursor;
mod date;
mod fetch;
mod frame;
mod list;
mod mutf7;
#[cfg(test)]
mod oracle;
mod parse;
pub mod response;
mod sasl;
mod search;
mod sequence_set;

pub use command::{Append, Command, Fetch, Id, List, ListReturn, ListSelect, Numbering, Password, Select, StatusItem};
pub use command::{State, StoreChange, StoreFlags, Tag, Tagged};
pub use date::{Date, format_date_time, parse_date_time};
pub use fetch::{FetchItem, Partial, Section, SectionText};
pub use frame::{Frame, Framer, Limits, Literal, Recovery, Refused};
pub use list::ListPattern;
pub use mutf7::{Mutf7Error, decode_mutf7, encode_mutf7};
pub use parse::{ParseError, Rejected};
pub use sasl::{SaslResponse, is_done};
pub use search::{Search, SearchKey, SearchReturn};
pub use sequence_set::SequenceSet;
