//! Accounts log in to the API (policy semantics §17).

use std::net::SocketAddr;

use super::super::error::RequestError;
use super::{Actor, Admin};
use crate::login::{Attempt, LoginFailure};
use crate::proto::basic::BasicCredentials;

impl Admin {
    /// The account of these credentials. Failures count with those of the mail protocols: who has failed too often waits
    /// (RFC 9110 §10.2.3), right password or not.
    pub async fn log_in(&self, credentials: &BasicCredentials, client: SocketAddr) -> Result<Actor, RequestError> {
        let directory = self.services.directory.current();
        let (authenticator, now) = (&self.services.authenticator, self.services.clock.now());
        let attempt = Attempt { directory: &directory, name: &credentials.user, client: client.ip(), now };
        match authenticator.password(&attempt, &credentials.password).await {
            Ok(login) => Ok(Actor::Account { account: login.account.id, client }),
            Err(LoginFailure::BadCredentials) => {
                tracing::info!(%client, user = %credentials.user.escape_debug(), "admin login failed");
                Err(RequestError::Unauthorized)
            }
            Err(LoginFailure::Locked) => Err(RequestError::Locked(authenticator.locked_for(&attempt))),
            Err(LoginFailure::Disabled) => Err(RequestError::Disabled),
            Err(LoginFailure::Unavailable) => Err(RequestError::Unavailable),
        }
    }
}
