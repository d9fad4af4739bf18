//! Accounts log in to the API (policy semantics §17).

use std::net::SocketAddr;

use sha2::{Digest, Sha256};

use super::super::error::RequestError;
use super::{Actor, Admin};
use crate::login::LoginFailure;
use crate::mail::{AccountId, Address};
use crate::proto::basic::BasicCredentials;

/// Whose failures are counted. Loopback is one client, whatever address of it is used.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Name {
    /// An account, by whichever of its addresses.
    Account(AccountId),
    /// Nobody: counted and locked all the same, so that this does not tell who exists.
    Unknown([u8; 32]),
}

impl Admin {
    /// The account of these credentials. Failures are counted before and after the password is looked at: who has
    /// failed too often waits (RFC 9110 §10.2.3), right password or not.
    pub async fn log_in(&self, credentials: &BasicCredentials, client: SocketAddr) -> Result<Actor, RequestError> {
        let directory = self.services.directory.current();
        let name = match directory.login(&credentials.user) {
            Some(account) => Name::Account(account.id),
            None => {
                let user = &credentials.user;
                let key = Address::parse(user).map_or_else(|_| user.clone(), |a| a.key().as_str().to_owned());
                Name::Unknown(Sha256::digest(key).into())
            }
        };
        if let Some(left) = self.logins.locked(&name, self.services.clock.now()) {
            return Err(RequestError::Locked(left));
        }
        let checked = self.services.authenticator.password(&directory, &credentials.user, &credentials.password).await;
        match checked {
            Ok(login) => {
                self.logins.succeeded(&name);
                Ok(Actor::Account { account: login.account.id, client })
            }
            Err(LoginFailure::BadCredentials) => {
                tracing::info!(%client, user = %credentials.user.escape_debug(), "admin login failed");
                self.logins.failed(name, self.services.clock.now());
                Err(RequestError::Unauthorized)
            }
            Err(LoginFailure::Disabled) => Err(RequestError::Disabled),
            Err(LoginFailure::Unavailable) => Err(RequestError::Unavailable),
        }
    }
}
