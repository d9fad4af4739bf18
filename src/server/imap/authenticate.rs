//! LOGIN (RFC 3501 §6.2.3) and AUTHENTICATE (§6.2.2, RFC 4959).

use super::super::sasl::{Exchange, Outcome, Refusal};
use super::capability;
use super::context::{Context, User};
use super::status::{Failure, Reason};
use crate::login::{Attempt, Login, LoginFailure};
use crate::proto::imap::{Password, SaslResponse, response};
use crate::proto::sasl::Mechanism;
use crate::store;

/// LOGIN: the user, if name and password are right.
pub async fn login(context: &mut Context, name: &str, password: &Password) -> Result<User, Failure> {
    if !capability::may_log_in(context) {
        return Err(Reason::PrivacyRequired.into());
    }
    let Ok(password) = std::str::from_utf8(password.octets()) else { return Err(Reason::BadCredentials.into()) };
    let directory = context.services.directory.current();
    let (client, now) = (context.connection.peer().ip(), context.services.clock.now());
    let attempt = Attempt { directory: &directory, name, client, now };
    match context.services.authenticator.password(&attempt, password).await {
        Ok(login) => Ok(user(login)),
        Err(LoginFailure::BadCredentials) => Err(Reason::BadCredentials.into()),
        Err(LoginFailure::Disabled) => Err(Reason::AccountDisabled.into()),
        Err(LoginFailure::Locked) => Err(Reason::LoginLocked.into()),
        Err(LoginFailure::Unavailable) => Err(Reason::Store(store::Error::Unavailable).into()),
    }
}

/// AUTHENTICATE: the user, if the exchange succeeds.
pub async fn authenticate(
    context: &mut Context,
    mechanism: &str,
    initial: Option<SaslResponse>,
) -> Result<User, Failure> {
    if !capability::may_log_in(context) {
        return Err(Reason::PrivacyRequired.into());
    }
    let initial = initial.map(answer).transpose()?;
    let exporter = context.connection.tls().is_some_and(|tls| tls.exporter.is_some());
    let known = Mechanism::parse(mechanism.as_bytes());
    let Some(mechanism) = known.filter(|m| Mechanism::offered(exporter).any(|offered| offered == *m)) else {
        return Err(Reason::NoMechanism.into());
    };
    let services = context.services.clone();
    let (mut exchange, mut outcome) =
        Exchange::start(&services, mechanism, &context.connection, initial.as_deref()).await;
    loop {
        match outcome {
            Outcome::Success(login) => return Ok(user(login)),
            Outcome::Failure(Refusal::Malformed) => return Err(Reason::SaslCancelled.into()),
            Outcome::Failure(Refusal::BadCredentials) => return Err(Reason::BadCredentials.into()),
            Outcome::Failure(Refusal::Disabled) => return Err(Reason::AccountDisabled.into()),
            Outcome::Failure(Refusal::Locked) => return Err(Reason::LoginLocked.into()),
            Outcome::Failure(Refusal::Unavailable) => return Err(Reason::Store(store::Error::Unavailable).into()),
            Outcome::Challenge(challenge) => {
                context.say(|out| response::challenge(out, &challenge));
                let line = context.line(services.limits.imap_login).await?;
                let message = answer(SaslResponse::from_line(&line))?;
                outcome = exchange.respond(&services, &message).await;
            }
        }
    }
}

fn answer(response: SaslResponse) -> Result<Vec<u8>, Failure> {
    match response {
        SaslResponse::Data(message) => Ok(message),
        // RFC 3501 §6.2.2
        SaslResponse::Cancel | SaslResponse::Malformed => Err(Reason::SaslCancelled.into()),
    }
}

fn user(login: Login) -> User {
    User { account: login.account }
}
