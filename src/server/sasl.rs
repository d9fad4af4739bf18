//! Logging in by SASL, for SMTP AUTH (RFC 4954) and IMAP AUTHENTICATE (RFC 3501 §6.2.2): drives a
//! [`Negotiation`] and asks the [`crate::login::Authenticator`] in between.

use std::net::IpAddr;

use super::Services;
use crate::directory::Directory;
use crate::login::{Attempt, Candidate, Login, LoginFailure};
use crate::net::Connection;
use crate::proto::sasl::{Credentials, Failure, Mechanism, Negotiation, Step, Verifier};

/// What follows from the client's message.
#[derive(Debug)]
pub enum Outcome {
    /// Send this in base64 and give the client's answer to [`Exchange::respond`].
    Challenge(Vec<u8>),
    /// Logged in.
    Success(Login),
    /// Over.
    Failure(Refusal),
}

/// Why nobody is logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not what the mechanism allows.
    Malformed,
    /// Wrong name, password, proof or channel binding, or an authzid that is not the account's own.
    BadCredentials,
    /// Right, but the account is frozen.
    Disabled,
    /// Too many failures (policy semantics §17).
    Locked,
    /// Could not be decided now.
    Unavailable,
}

impl From<LoginFailure> for Refusal {
    fn from(failure: LoginFailure) -> Self {
        match failure {
            LoginFailure::BadCredentials => Self::BadCredentials,
            LoginFailure::Disabled => Self::Disabled,
            LoginFailure::Locked => Self::Locked,
            LoginFailure::Unavailable => Self::Unavailable,
        }
    }
}

/// One exchange.
#[derive(Debug)]
pub struct Exchange {
    negotiation: Negotiation,
    client: IpAddr,
    /// Whose verifier the client is to prove.
    candidate: Option<Candidate>,
}

impl Exchange {
    /// Starts with the initial response, decoded, if the client sent one. The mechanism must be one that was offered:
    /// `Mechanism::offered(tls has an exporter)`.
    pub async fn start(
        services: &Services,
        mechanism: Mechanism,
        connection: &Connection,
        initial: Option<&[u8]>,
    ) -> (Self, Outcome) {
        let mut nonce = [0; 18];
        let random = getrandom::fill(&mut nonce);
        let exporter = connection.tls().and_then(|t| t.exporter);
        let (negotiation, step) = Negotiation::start(mechanism, initial, exporter, nonce);
        let mut exchange = Self { negotiation, client: connection.peer().ip(), candidate: None };
        if random.is_err() {
            return (exchange, Outcome::Failure(Refusal::Unavailable));
        }
        let outcome = exchange.follow(services, step).await;
        (exchange, outcome)
    }

    /// Goes on with the client's answer, decoded.
    pub async fn respond(&mut self, services: &Services, message: &[u8]) -> Outcome {
        let step = self.negotiation.respond(message);
        self.follow(services, step).await
    }

    async fn follow(&mut self, services: &Services, step: Result<Step, Failure>) -> Outcome {
        let directory = services.directory.current();
        let now = services.clock.now();
        let step = match step {
            Ok(Step::Verifier { authcid }) => {
                let attempt = Attempt { directory: &directory, name: &authcid, client: self.client, now };
                let (stored, candidate) = match services.authenticator.scram_verifier(&attempt) {
                    Ok(found) => found,
                    Err(failure) => return Outcome::Failure(failure.into()),
                };
                self.candidate = Some(candidate);
                let verifier =
                    Verifier::from_base64(&stored.salt, stored.iterations, &stored.stored_key, &stored.server_key);
                match verifier {
                    Some(verifier) => self.negotiation.verifier(verifier),
                    None => return Outcome::Failure(Refusal::Unavailable),
                }
            }
            step => step,
        };
        match step {
            Ok(Step::Challenge(_)) if self.is_locked(services) => Outcome::Failure(Refusal::Locked),
            Ok(Step::Challenge(challenge)) => Outcome::Challenge(challenge),
            Ok(Step::Password(Credentials { authzid, authcid, password })) => {
                let attempt = Attempt { directory: &directory, name: &authcid, client: self.client, now };
                match services.authenticator.password(&attempt, &password).await {
                    Ok(login) => act_as(&directory, login, &authzid),
                    Err(failure) => Outcome::Failure(failure.into()),
                }
            }
            Ok(Step::Proved { authzid }) => match self.proved(services, true) {
                Ok(login) => act_as(&directory, login, &authzid),
                Err(refusal) => Outcome::Failure(refusal),
            },
            Ok(Step::Verifier { .. }) | Err(Failure::Malformed) => Outcome::Failure(Refusal::Malformed),
            Err(Failure::WrongProof | Failure::ChannelBinding) => {
                Outcome::Failure(self.proved(services, false).err().unwrap_or(Refusal::BadCredentials))
            }
        }
    }

    fn is_locked(&self, services: &Services) -> bool {
        let now = services.clock.now();
        self.candidate.as_ref().is_some_and(|candidate| services.authenticator.is_locked(candidate, now))
    }

    /// The candidate's login, or why there is none, with the failure counted.
    fn proved(&mut self, services: &Services, is_proved: bool) -> Result<Login, Refusal> {
        let candidate = self.candidate.take().ok_or(Refusal::BadCredentials)?;
        services.authenticator.proved(candidate, is_proved, services.clock.now()).map_err(Refusal::from)
    }
}

/// Nobody acts as somebody else yet: an authzid must name the account itself.
fn act_as(directory: &Directory, login: Login, authzid: &str) -> Outcome {
    let is_own = authzid.is_empty() || directory.login(authzid).is_some_and(|a| a.id == login.account.id);
    if is_own { Outcome::Success(login) } else { Outcome::Failure(Refusal::BadCredentials) }
}
