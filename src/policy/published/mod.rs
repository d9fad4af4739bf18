//! What a domain publishes in the DNS so that its mail arrives, leaves and is believed: the records to publish, and what
//! is to be said of those that are there. Pure: whoever asks the DNS brings the answers.
//!
//! MX (RFC 5321 §5, RFC 7505), SPF (RFC 7208), DKIM keys (RFC 6376 §3.6.1), DMARC (RFC 7489), MTA-STS (RFC 8461 §3.1),
//! TLS reporting (RFC 8460 §3), services for clients (RFC 6186, RFC 8314 §5.1), and the names of the host itself.

mod compare;
mod records;

#[cfg(test)]
mod tests;

pub use compare::{Answer, Answers, Finding, Standing, compare};
pub use records::{Entry, Kind, Service, Site, StsMode, entries, sts_policy};
