//! Accounts log in to the API (policy semantics §17).

use std::net::SocketAddr;
use std::time::Duration;

use super::super::error::RequestError;
use super::{Actor, Admin};
use crate::login::{Attempt, LoginFailure};
use crate::policy::login::OF_ACCOUNT;
use crate::proto::basic::BasicCredentials;

impl Admin {
    /// The account of these credentials. Failures count together with those of SMTP and IMAP.
    pub async fn log_in(&self, credentials: &BasicCredentials, client: SocketAddr) -> Result<Actor, RequestError> {
        let directory = self.services.directory.current();
        let (name, now) = (credentials.user.as_str(), self.services.clock.now());
        let attempt = Attempt { directory: &directory, name, client: client.ip(), now };
        match self.services.authenticator.password(&attempt, &credentials.password).await {
            Ok(login) => Ok(Actor::Account { account: login.account.id, client }),
            Err(LoginFailure::BadCredentials) => {
                tracing::info!(%client, user = %name.escape_debug(), "admin login failed");
                Err(RequestError::Unauthorized)
            }
            // The shortest that a lock can take; which one it is, is nobody's business.
            Err(LoginFailure::Locked) => {
                let millis = u64::try_from(OF_ACCOUNT.lock).unwrap_or_default();
                Err(RequestError::Locked(Duration::from_millis(millis)))
            }
            Err(LoginFailure::Disabled) => Err(RequestError::Disabled),
            Err(LoginFailure::Unavailable) => Err(RequestError::Unavailable),
        }
    }
}
