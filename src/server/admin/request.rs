//! Reading requests: bodies and queries of known form and bounded size, every failure a [`RequestError`].

use std::time::Duration;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header;
use axum::http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::error::{ApiError, OpError, RequestError};
use crate::mail::{Address, Domain};

/// A JSON body.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if !media_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
            return Err(RequestError::MediaType.into());
        }
        let body = Limited::new(request.into_body(), BODY_OCTETS);
        let octets = match tokio::time::timeout(BODY_TIME, body.collect()).await {
            Ok(Ok(collected)) => collected.to_bytes(),
            Ok(Err(e)) if e.is::<LengthLimitError>() => return Err(RequestError::TooLarge.into()),
            Ok(Err(_)) => return Err(RequestError::Body("body broke off".to_owned()).into()),
            Err(_) => return Err(RequestError::Slow.into()),
        };
        serde_json::from_slice(&octets).map(Body).map_err(|e| RequestError::Body(described(&e)).into())
    }
}

/// The address at the end of a path.
pub struct AddressInPath(pub Address);

impl<S: Send + Sync> FromRequestParts<S> for AddressInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = segment(parts, state).await?;
        Address::parse(&text).map(Self).map_err(|e| OpError::not_an_address("address", e).into())
    }
}

/// The domain at the end of a path.
pub struct DomainInPath(pub Domain);

impl<S: Send + Sync> FromRequestParts<S> for DomainInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = segment(parts, state).await?;
        Domain::parse(&text).map(Self).map_err(|e| OpError::not_an_address("name", e).into())
    }
}

/// A query.
pub struct InQuery<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for InQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(e) => Err(bad_query(&e).into()),
        }
    }
}

async fn segment<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String, ApiError> {
    match Path::<String>::from_request_parts(parts, state).await {
        Ok(Path(text)) => Ok(text),
        Err(e) => Err(bad_path(&e).into()),
    }
}

fn bad_path(rejection: &PathRejection) -> RequestError {
    RequestError::Query(rejection.body_text())
}

fn bad_query(rejection: &QueryRejection) -> RequestError {
    RequestError::Query(rejection.body_text())
}

/// Where and why, but no value of the body: it could be a password.
fn described(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let names_fields_only = ["unknown field", "missing field", "duplicate field"].iter().any(|t| text.starts_with(t));
    if names_fields_only {
        return text;
    }
    let problem = match error.classify() {
        serde_json::error::Category::Data => "has a value of the wrong kind",
        serde_json::error::Category::Eof => "ends too early",
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => "is not JSON",
    };
    format!("body {problem} at line {} column {}", error.line(), error.column())
}

/// A thousand accounts with the longest passwords fit.
const BODY_OCTETS: usize = 2 << 20;

const BODY_TIME: Duration = Duration::from_secs(30);
