//! The wire: bytes to values and back, for each protocol. Pure: no sockets, no session state, no decisions.

pub mod authres;
pub mod basic;
pub mod dane;
pub mod imap;
pub mod message;
pub mod milter;
pub mod mta_sts;
pub mod sasl;
pub mod signature;
pub mod smtp;
pub mod tls_report;
