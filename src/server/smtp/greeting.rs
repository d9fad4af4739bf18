//! EHLO and HELO (RFC 5321 §4.1.1.1): who is there, and what is offered. Both end a transaction.

use super::answer;
use super::session::Session;
use super::state::{Greeted, State};
use crate::proto::smtp::Reply;

/// EHLO.
pub(super) fn ehlo(session: &Session, state: State, client: &str) -> (State, Reply) {
    let reply = answer::ehlo(&session.services, session.port, session.connection.tls());
    (State::Greeted(greeted(&state, client, true)), reply)
}

/// HELO.
pub(super) fn helo(session: &Session, state: State, client: &str) -> (State, Reply) {
    (State::Greeted(greeted(&state, client, false)), answer::helo(session.services.hostname.as_str()))
}

fn greeted(state: &State, client: &str, is_extended: bool) -> Greeted {
    let login = state.greeted().and_then(|g| g.login.clone());
    Greeted { client: client.into(), is_extended, login }
}
