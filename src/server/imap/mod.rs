//! IMAP sessions (RFC 3501), from greeting to end.
//!
//! [`session`] reads commands and asks the handler of each, one file for each group of commands; [`view`] is what a
//! session believes about its mailbox, [`selected`] how it learns what others did, [`status`] how commands end.
//! Beside RFC 3501: LITERAL+ (RFC 7888), SASL-IR (4959), IDLE (2177), NAMESPACE (2342), UIDPLUS (4315), MOVE (6851),
//! UNSELECT (3691), ID (2971), ENABLE (5161), SPECIAL-USE and CREATE-SPECIAL-USE (6154), CHILDREN (3348),
//! LIST-EXTENDED (5258), LIST-STATUS (5819), ESEARCH (4731), STATUS=SIZE (8438).
//!
//! A failing store gives NO with a code of RFC 5530 and the session goes on; a failing connection ends it.

mod append;
mod approvals;
mod authenticate;
mod capability;
mod context;
mod copy;
mod fetch;
mod flags;
mod folders;
mod idle;
mod list;
mod monitored;
mod search;
mod section;
mod select;
mod selected;
mod session;
mod status;
mod training;
mod view;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use super::{Services, Shutdown};
use crate::net::Connection;
use session::{End, Session};

/// What a listener says about its IMAP sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// STARTTLS is offered.
    pub starttls: bool,
    /// LOGIN and AUTHENTICATE are allowed without TLS.
    pub allow_plaintext_auth: bool,
}

/// One session, from greeting to end.
pub async fn serve(connection: Connection, port: Port, services: Arc<Services>, shutdown: Shutdown) {
    let mut session = Session::new(connection, port, services.clone(), shutdown.clone());
    session.greet();
    loop {
        match session.run().await {
            End::Lost => return,
            End::Closed(connection) => return connection.close(CLOSE).await,
            End::StartTls(connection) => {
                let Some(tls) = &services.tls else { return };
                let Ok(connection) = tls.accept(connection, HANDSHAKE).await else { return };
                // Nothing of the plaintext session is known to the one under TLS (RFC 3501 §6.2.1).
                session = Session::new(connection, port, services.clone(), shutdown.clone());
            }
        }
    }
}

const CLOSE: Duration = Duration::from_secs(10);
const HANDSHAKE: Duration = Duration::from_secs(30);
