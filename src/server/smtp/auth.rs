//! AUTH (RFC 4954).

use super::refusal::{self, AuthFailure};
use super::session::{End, Line, Session};
use super::state::{Greeted, OrderError, State};
use super::{Role, answer, asking};
use crate::login::Login;
use crate::proto::sasl::{self, Answer, Mechanism};
use crate::proto::smtp::Reply;
use crate::server::SessionOwner;
use crate::server::rates::Counted;
use crate::server::sasl::{Exchange, Outcome, Refusal};

/// AUTH: who speaks?
pub(super) async fn auth(
    session: &mut Session,
    mut greeted: Greeted,
    mechanism: &[u8],
    initial: Option<&[u8]>,
) -> Result<(State, Reply), End> {
    let mechanism = match offered(session, &greeted, mechanism) {
        Ok(mechanism) => mechanism,
        Err(error) => {
            let reply = session.error(refusal::order(error));
            return Ok((State::Greeted(greeted), reply));
        }
    };
    let reply = match exchange(session, mechanism, initial).await? {
        Ok(login) => {
            tracing::info!(
                peer = %session.connection.peer(),
                login = %login.account.address,
                mechanism = mechanism.name(),
                "logged in"
            );
            greeted.login = Some(login.clone());
            if let Some(refused) = asking::login(session, &greeted).await {
                greeted.login = None;
                return Ok((State::Greeted(greeted), refused));
            }
            session.owner = Some(SessionOwner::of(&login.account));
            let connected = std::mem::replace(&mut session.connected, Counted::Nobody);
            session.services.rates.log_in(connected);
            answer::authenticated()
        }
        Err(failure) => {
            let reply = refusal::auth(failure);
            tracing::info!(
                peer = %session.connection.peer(),
                mechanism = mechanism.name(),
                code = reply.code(),
                reason = reply.text(),
                "login refused"
            );
            match failure {
                AuthFailure::Refused(Refusal::BadCredentials | Refusal::Locked) => session.failed_login().await?,
                AuthFailure::Refused(Refusal::Unavailable | Refusal::Disabled) => {}
                AuthFailure::Cancelled
                | AuthFailure::NotBase64
                | AuthFailure::LineTooLong
                | AuthFailure::Refused(Refusal::Malformed) => {
                    return Ok((State::Greeted(greeted), session.error(reply)));
                }
            }
            reply
        }
    };
    Ok((State::Greeted(greeted), reply))
}

fn offered(session: &Session, greeted: &Greeted, mechanism: &[u8]) -> Result<Mechanism, OrderError> {
    let tls = session.connection.tls();
    if session.port.role == Role::Relay {
        return Err(OrderError::AuthNotOffered);
    }
    if !answer::offers_auth(session.port, tls) {
        return Err(OrderError::AuthNeedsTls);
    }
    if greeted.login.is_some() {
        return Err(OrderError::Authenticated);
    }
    let named = Mechanism::parse(mechanism);
    Mechanism::offered(tls.is_some_and(|t| t.exporter.is_some()))
        .find(|m| Some(*m) == named)
        .ok_or(OrderError::UnknownMechanism)
}

async fn exchange(
    session: &mut Session,
    mechanism: Mechanism,
    initial: Option<&[u8]>,
) -> Result<Result<Login, AuthFailure>, End> {
    let initial = match initial.map(sasl::decode_initial) {
        None => None,
        Some(Some(message)) => Some(message),
        Some(None) => return Ok(Err(AuthFailure::NotBase64)),
    };
    let services = session.services.clone();
    let (mut exchange, mut outcome) =
        Exchange::start(&services, mechanism, &session.connection, initial.as_deref()).await;
    loop {
        let challenge = match outcome {
            Outcome::Challenge(challenge) => challenge,
            Outcome::Success(login) => return Ok(Ok(login)),
            Outcome::Failure(refusal) => return Ok(Err(AuthFailure::Refused(refusal))),
        };
        session.reply(&answer::challenge(sasl::encode(&challenge)));
        let Some(length) = session.line(Line::Answer).await? else { return Ok(Err(AuthFailure::LineTooLong)) };
        let answer = Answer::parse(session.connection.buffered().get(..length).unwrap_or_default());
        session.connection.consume(length.saturating_add(2));
        outcome = match answer {
            Answer::Cancel => return Ok(Err(AuthFailure::Cancelled)),
            Answer::Malformed => return Ok(Err(AuthFailure::NotBase64)),
            Answer::Message(message) => exchange.respond(&services, &message).await,
        };
    }
}
