//! Who connects over TCP, until it is known who asks: the token of the operator (RFC 6750), or an account's address and
//! password (RFC 7617). The listener is on loopback alone, which stands for encryption (policy semantics §17, check 1).

use std::net::SocketAddr;

use axum::http::{HeaderMap, header};

use super::error::RequestError;
use super::{Actor, Admin, Token};
use crate::proto::basic::BasicCredentials;

/// A request over TCP before its credentials have been looked at.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The token that would let it in.
    pub token: Token,
    /// From where.
    pub client: SocketAddr,
}

impl Visitor {
    /// Who asks. Two Authorization fields are none: whoever stood in between could have meant the other one.
    pub async fn identify(&self, admin: &Admin, headers: &HeaderMap) -> Result<Actor, RequestError> {
        let mut fields = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(field), None) = (fields.next(), fields.next()) else { return Err(RequestError::Unauthorized) };
        let field = field.to_str().map_err(|_| RequestError::Unauthorized)?;
        if self.token.is_in(field) {
            return Ok(Actor::Token { client: self.client });
        }
        let credentials = BasicCredentials::parse(field).ok_or(RequestError::Unauthorized)?;
        admin.log_in(&credentials, self.client).await
    }
}
