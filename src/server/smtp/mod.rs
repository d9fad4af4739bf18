//! SMTP and submission sessions (RFC 5321, RFC 6409).
//!
//! [`session`] reads commands and writes replies, [`state`] says which command may come when, and each handler file
//! gathers facts, asks `policy` once and acts. Texts for the peer stand in [`answer`] (yes) and [`refusal`] (no) and
//! nowhere else. Extensions: PIPELINING (RFC 2920), SIZE (RFC 1870), 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531),
//! CHUNKING (RFC 3030), ENHANCEDSTATUSCODES (RFC 2034), DSN (RFC 3461), STARTTLS (RFC 3207), AUTH (RFC 4954), LIMITS
//! (RFC 9422), and for listed gateways XCLIENT.
//!
//! Deviations: RET=FULL is taken, and reports return the header alone (RFC 3461 §4.3 wishes for the message). BINARYMIME
//! is not offered. AUTH is offered on submission ports alone.

mod answer;
mod asking;
mod auth;
mod bounce;
mod chunks;
mod data;
mod gateway;
mod greeting;
mod listed;
mod message;
mod preview;
mod question;
mod refusal;
mod session;
mod state;
mod trace;
mod transaction;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(in crate::server) use preview::{Client, Preview, preview};
pub(in crate::server) use question::look_up as question_of;

use super::{Services, Shutdown};
use crate::net::Connection;
use session::Session;

/// What a listener says about its SMTP sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// Mail from anyone for local users, or submission (RFC 6409) with authentication.
    pub role: Role,
    /// STARTTLS is offered.
    pub starttls: bool,
    /// AUTH is offered without TLS.
    pub allow_plaintext_auth: bool,
}

/// Which of the two services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Port 25.
    Relay,
    /// Ports 587 and 465.
    Submission,
}

/// One session, from greeting to end.
pub async fn serve(connection: Connection, port: Port, services: Arc<Services>, shutdown: Shutdown) {
    let session = Session::new(connection, port, services, shutdown);
    let Some(mut session) = session.admitted().await else { return };
    if let Some(reply) = asking::connect(&mut session).await {
        return session.turned_away(&reply).await;
    }
    session.greet();
    while let Some(next) = session.run().await {
        session = next;
    }
}
