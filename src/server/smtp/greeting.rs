//! EHLO and HELO (RFC 5321 §4.1.1.1): who is there, and what is offered. Both end a transaction.

use super::session::Session;
use super::state::{Greeted, State};
use super::{answer, asking, gateway};
use crate::proto::smtp::Reply;

/// EHLO.
pub(super) async fn ehlo(session: &mut Session, state: State, client: &str) -> (State, Reply) {
    let greeted = greeted(session, &state, client, true);
    end_transaction(session, &state).await;
    if let Some(refused) = asking::hello(session, &greeted).await {
        return (state.reset(), refused);
    }
    let offers_xclient = gateway::is_offered(session);
    let reply = answer::ehlo(&session.services, session.port, session.connection.tls(), offers_xclient);
    (State::Greeted(greeted), reply)
}

/// HELO.
pub(super) async fn helo(session: &mut Session, state: State, client: &str) -> (State, Reply) {
    let greeted = greeted(session, &state, client, false);
    end_transaction(session, &state).await;
    if let Some(refused) = asking::hello(session, &greeted).await {
        return (state.reset(), refused);
    }
    (State::Greeted(greeted), answer::helo(session.services.hostname.as_str()))
}

/// What hooks have said of a transaction that ends here is not of the session.
async fn end_transaction(session: &mut Session, state: &State) {
    if state.has_transaction() {
        session.hooks.reset().await;
    }
}

/// A gateway greets for itself; who its client is, it has said by XCLIENT.
fn greeted(session: &Session, state: &State, client: &str, is_extended: bool) -> Greeted {
    let handed_over = session.handed_over.as_ref().and_then(|client| client.helo.as_deref());
    let client = handed_over.unwrap_or(client);
    let login = state.greeted().and_then(|g| g.login.clone());
    Greeted { client: client.into(), is_extended, login }
}
