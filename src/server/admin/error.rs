//! The one mapping from what can go wrong to HTTP status and error key.
//!
//! The body is `{"error": {"key": …, "message": …, "field": …}}`; scripts act on `key`, which never changes its
//! meaning. Causes within the server are in the log, not in the answer.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::directory::Refusal;
use crate::mail::AddressError;
use crate::store;

/// Why an operation did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpError {
    /// The directory does not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The request names something that cannot be.
    #[error("{message}")]
    Invalid {
        /// The field of the request.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The server is stopping, or out of threads or random numbers.
    #[error("server cannot do this now")]
    Unavailable,
}

impl OpError {
    /// A value that is no address or domain.
    pub fn not_an_address(field: &'static str, error: AddressError) -> Self {
        Self::Invalid { field, message: error.to_string() }
    }
}

/// Why a request was not understood or not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// No such path.
    NoSuchPath,
    /// The path has other methods.
    Method,
    /// No token, or another one.
    Unauthorized,
    /// A body that is not declared as JSON.
    MediaType,
    /// A body over the limit.
    TooLarge,
    /// The body did not come in time.
    Slow,
    /// The body is not the JSON that this path takes; where and why, without its values.
    Body(String),
    /// The path or query is not what this path takes.
    Query(String),
}

/// An error as it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    error: ErrorBody,
}

/// What a client reads of an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// For programs.
    pub key: String,
    /// For people.
    pub message: String,
    /// The field of the request that it is about.
    pub field: Option<String>,
}

/// The envelope of [`ErrorBody`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorAnswer {
    /// The error.
    pub error: ErrorBody,
}

impl From<OpError> for ApiError {
    fn from(error: OpError) -> Self {
        let message = error.to_string();
        let (status, key, field) = match error {
            OpError::Refused(refusal) => refused(&refusal),
            OpError::Invalid { field, .. } => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", Some(field)),
            OpError::Store(error) => stored(error),
            OpError::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", None),
        };
        Self::new(status, key, message, field)
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        let (status, key, message) = match error {
            RequestError::NoSuchPath => (StatusCode::NOT_FOUND, "no_such_path", "no such path".to_owned()),
            RequestError::Method => {
                (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "method not allowed here".to_owned())
            }
            RequestError::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "bearer token needed".to_owned()),
            RequestError::MediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", "body must be application/json".to_owned())
            }
            RequestError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "body is too large".to_owned()),
            RequestError::Slow => (StatusCode::REQUEST_TIMEOUT, "timeout", "body did not come in time".to_owned()),
            RequestError::Body(message) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", message),
            RequestError::Query(message) => (StatusCode::BAD_REQUEST, "bad_request", message),
        };
        Self::new(status, key, message, None)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(ErrorAnswer { error: self.error })).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl ApiError {
    fn new(status: StatusCode, key: &str, message: String, field: Option<&str>) -> Self {
        Self { status, error: ErrorBody { key: key.to_owned(), message, field: field.map(str::to_owned) } }
    }
}

fn refused(refusal: &Refusal) -> (StatusCode, &'static str, Option<&'static str>) {
    match refusal {
        Refusal::AddressInUse(_) => (StatusCode::CONFLICT, "address_in_use", Some("address")),
        Refusal::DomainExists(_) => (StatusCode::CONFLICT, "domain_exists", Some("name")),
        Refusal::ForeignDomain(_) => (StatusCode::UNPROCESSABLE_ENTITY, "foreign_domain", Some("address")),
        Refusal::DomainInUse(..) => (StatusCode::CONFLICT, "domain_in_use", None),
        Refusal::NotFound(_) => (StatusCode::NOT_FOUND, "not_found", None),
        Refusal::Limit(_) => (StatusCode::CONFLICT, "limit", None),
    }
}

fn stored(error: store::Error) -> (StatusCode, &'static str, Option<&'static str>) {
    match error {
        store::Error::NotFound => (StatusCode::NOT_FOUND, "not_found", None),
        store::Error::Exists => (StatusCode::CONFLICT, "exists", None),
        store::Error::Limit => (StatusCode::CONFLICT, "limit", None),
        store::Error::Conflict => (StatusCode::CONFLICT, "conflict", None),
        store::Error::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", None),
        store::Error::Corrupt => (StatusCode::INTERNAL_SERVER_ERROR, "damaged", None),
    }
}
