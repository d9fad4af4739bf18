//! XCLIENT, the Postfix extension: a listed gateway says for whom it speaks (policy semantics §3.2).
//!
//! To everybody else it is a command that does not exist. What is handed over is the client for SPF, the trace and the
//! limits of connections, until the next XCLIENT, and lets nobody in: not as a trusted relay, not as a program of this
//! host, not as a user.

use super::session::{End, Session};
use super::state::{OrderError, State};
use super::{Role, answer, asking, refusal};
use crate::directory::RelayKind;
use crate::hooks;
use crate::proto::smtp::{CommandError, Reply, XClient};

/// XCLIENT: the session starts again, with the greeting, as that of the client.
pub(super) async fn xclient(session: &mut Session, state: State, argument: &[u8]) -> Result<(State, Reply), End> {
    if !is_offered(session) {
        return Ok((state, session.error(refusal::command(CommandError::Unknown))));
    }
    if matches!(state, State::InTransaction(_) | State::InChunks(..)) {
        return Ok((state, session.error(refusal::order(OrderError::InTransaction))));
    }
    let client = match XClient::parse(argument) {
        Ok(client) => client,
        Err(error) => return Ok((state, session.error(refusal::command(error)))),
    };
    let peer = session.connection.peer();
    tracing::debug!(%peer, address = ?client.address, helo = ?client.helo, "gateway speaks for a client");
    if session.connection.count_for(client.address.unwrap_or(peer.ip())).is_err() {
        return Err(End::TooManyConnections);
    }
    session.handed_over = Some(client);
    // Hooks begin anew, with the client for whom it speaks.
    let hooks = hooks::Line::new(&session.services.hooks, asking::listens(session.port.role));
    std::mem::replace(&mut session.hooks, hooks).close().await;
    if let Some(refused) = asking::connect(session).await {
        session.reply(&refused);
        return Err(End::Quit);
    }
    Ok((State::Connected, answer::greeting(session.services.hostname.as_str())))
}

/// To listed gateways, where mail comes in.
pub(super) fn is_offered(session: &Session) -> bool {
    let listed = || session.services.directory.current().relay(session.connection.peer().ip());
    session.port.role == Role::Relay && listed() == Some(RelayKind::Gateway)
}
