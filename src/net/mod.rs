//! Listeners, plain and TLS streams, bounded reading, certificates, connection limits, the PROXY protocol,
//! the DNS. Knows no mail: what travels over a [`Connection`] is for the sessions to say.

mod connection;
pub mod dns;
pub mod dnssec;
pub mod http_client;
pub mod limits;
pub mod listener;
pub mod proxy_protocol;
pub mod roots;
pub mod tls;

pub use connection::{Connection, ReadError, TlsInfo};
