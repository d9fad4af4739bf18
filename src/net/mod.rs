//! Listeners, plain and TLS streams, bounded reading, certificates, connection limits, the PROXY protocol. Knows no
//! mail: what travels over a [`Connection`] is for the sessions to say.

mod connection;
pub mod limits;
pub mod listener;
mod network;
pub mod proxy_protocol;
pub mod tls;

pub use connection::{Connection, ReadError, TlsInfo};
pub use network::{Network, NetworkError};
