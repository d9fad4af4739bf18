//! The one mapping from what can go wrong to HTTP status and error key.
//!
//! The body is `{"error": {"key": …, "message": …, "field": …}}`; scripts act on `key`, which never changes its
//! meaning. Causes within the server are in the log, not in the answer.

use std::net::IpAddr;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::spec::Problem;
use crate::directory::Refusal;
use crate::mail::{AddressError, Domain, Network};
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
    /// Whoever asks may not do that (policy semantics §1, §16). Nothing is told of the object, not even whether it is.
    #[error("not permitted")]
    Forbidden,
    /// Whoever asks was refused too often in too little time.
    #[error("too many refused requests, try again later")]
    TooMany(Duration),
    /// Somebody else was first.
    #[error("already decided")]
    AlreadyDecided,
    /// An object as it was sent cannot be; every value that is wrong.
    #[error("{}", summary(.0))]
    Shape(Vec<Problem>),
    /// A file cannot be applied; everything that is wrong with it.
    #[error("{}", summary(.0))]
    File(Vec<Problem>),
    /// A trusted relay takes mail from everybody (policy semantics §3.2).
    #[error("relay {network} is an MX of {domain}: {host} is {address}; list it as a gateway")]
    RelayIsExchange {
        /// The relay.
        network: Network,
        /// The hosted domain.
        domain: Domain,
        /// Its MX.
        host: String,
        /// The address of it that lies in the network.
        address: IpAddr,
    },
    /// Whether a trusted relay takes mail from everybody is not known.
    #[error("the DNS does not tell the MX of {domain} now: try again, or force it")]
    ExchangesUnknown {
        /// A hosted domain.
        domain: Domain,
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

    /// The key of an attempt that the audit log records although nothing came of it: what was not permitted, and what
    /// went beyond a limit of the policy (policy semantics §14, U07).
    pub fn recorded_key(&self) -> Option<&'static str> {
        match self {
            Self::Refused(refusal @ (Refusal::ListLimit(_) | Refusal::RuleLimit(_) | Refusal::LastAdmin(_))) => {
                Some(refusal_key(refusal))
            }
            Self::Shape(problems) => forbidden(problems),
            Self::Forbidden => Some(FORBIDDEN_KEY),
            Self::Refused(_)
            | Self::TooMany(_)
            | Self::Invalid { .. }
            | Self::AlreadyDecided
            | Self::RelayIsExchange { .. }
            | Self::ExchangesUnknown { .. }
            | Self::File(_)
            | Self::Store(_)
            | Self::Unavailable => None,
        }
    }
}

fn summary(problems: &[Problem]) -> String {
    match problems {
        [] => "something is wrong".to_owned(),
        [only] => only.to_string(),
        [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
    }
}

/// The key of the first problem that is a matter of permission.
fn forbidden(problems: &[Problem]) -> Option<&'static str> {
    FORBIDDEN.into_iter().find(|key| problems.iter().any(|p| p.key == *key))
}

/// The key of what whoever asks may not do.
const FORBIDDEN_KEY: &str = "forbidden";

/// Keys of problems that are a matter of permission.
const FORBIDDEN: [&str; 2] = ["inherit_needs_authority", "external_forward"];

/// Why a request was not understood or not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// No such path.
    NoSuchPath,
    /// The path has other methods.
    Method,
    /// No credentials, or wrong ones; which, is not told.
    Unauthorized,
    /// The right password of an account that is frozen (policy semantics §17, check 8).
    Disabled,
    /// Too many failed logins (policy semantics §17, check 3).
    Locked(Duration),
    /// Logins cannot be checked now.
    Unavailable,
    /// A body that is not declared as what this path takes.
    MediaType(String),
    /// A body over the limit.
    TooLarge,
    /// The body did not come in time.
    Slow,
    /// The body is not the JSON that this path takes; where and why, without its values.
    Body(String),
    /// The body is not the object that this path takes; every field that is wrong.
    Shape(Vec<Problem>),
    /// The path or query is not what this path takes.
    Query(String),
}

/// An error as it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    error: ErrorBody,
    retry_after: Option<Duration>,
}

/// What a client reads of an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// For programs.
    pub key: String,
    /// For people.
    pub message: String,
    /// The field of the request that it is about.
    pub field: Option<String>,
    /// Everything that is wrong with an object or a file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

/// The envelope of [`ErrorBody`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
            OpError::Forbidden => (StatusCode::FORBIDDEN, FORBIDDEN_KEY, None),
            OpError::TooMany(time) => {
                return Self::new(StatusCode::TOO_MANY_REQUESTS, "rate", message, None).retry_after(time);
            }
            OpError::AlreadyDecided => (StatusCode::CONFLICT, "already_decided", None),
            OpError::RelayIsExchange { .. } => (StatusCode::CONFLICT, "relay_is_mx", Some("network")),
            OpError::ExchangesUnknown { .. } => (StatusCode::CONFLICT, "mx_unknown", None),
            OpError::Shape(problems) => {
                let (status, key) = match forbidden(&problems) {
                    Some(key) => (StatusCode::FORBIDDEN, key),
                    None => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
                };
                return Self::new(status, key, message, None).with(problems);
            }
            OpError::File(problems) => {
                return Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_file", message, None).with(problems);
            }
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
            RequestError::Unauthorized => {
                (StatusCode::UNAUTHORIZED, "unauthorized", "address and password, or bearer token, needed".to_owned())
            }
            RequestError::Disabled => (StatusCode::FORBIDDEN, "auth.disabled", "account disabled".to_owned()),
            RequestError::Locked(time) => {
                let message = "too many failed logins, try again later".to_owned();
                return Self::new(StatusCode::TOO_MANY_REQUESTS, "auth.locked", message, None).retry_after(time);
            }
            RequestError::Unavailable => return OpError::Unavailable.into(),
            RequestError::MediaType(wanted) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", format!("body must be {wanted}"))
            }
            RequestError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "body is too large".to_owned()),
            RequestError::Slow => (StatusCode::REQUEST_TIMEOUT, "timeout", "body did not come in time".to_owned()),
            RequestError::Shape(problems) => return OpError::Shape(problems).into(),
            RequestError::Body(message) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", message),
            RequestError::Query(message) => (StatusCode::BAD_REQUEST, "bad_request", message),
        };
        Self::new(status, key, message, None)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(ErrorAnswer { error: self.error })).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 7617 §2.1, RFC 6750 §3
            for challenge in ["Basic realm=\"posthouse\", charset=\"UTF-8\"", "Bearer"] {
                headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
        }
        if let Some(time) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(time.as_secs().saturating_add(1)));
        }
        response
    }
}

impl ApiError {
    fn new(status: StatusCode, key: &str, message: String, field: Option<&str>) -> Self {
        let (key, field, problems) = (key.to_owned(), field.map(str::to_owned), Vec::new());
        Self { status, error: ErrorBody { key, message, field, problems }, retry_after: None }
    }

    /// When it is worth to try again (RFC 9110 §10.2.3).
    fn retry_after(mut self, time: Duration) -> Self {
        self.retry_after = Some(time);
        self
    }

    /// The first problem's field is the error's.
    fn with(mut self, problems: Vec<Problem>) -> Self {
        self.error.field = problems.first().map(|p| p.field.clone()).filter(|f| !f.is_empty());
        self.error.problems = problems;
        self
    }
}

/// The key of a refusal, for a problem in a file.
pub fn refusal_key(refusal: &Refusal) -> &'static str {
    refused(refusal).1
}

fn refused(refusal: &Refusal) -> (StatusCode, &'static str, Option<&'static str>) {
    match refusal {
        Refusal::AddressInUse(_) => (StatusCode::CONFLICT, "address_in_use", Some("address")),
        Refusal::AddressReserved(_) => (StatusCode::CONFLICT, "address_reserved", Some("address")),
        Refusal::NameInUse(_) => (StatusCode::CONFLICT, "name_in_use", Some("name")),
        Refusal::ForeignDomain(_) => (StatusCode::UNPROCESSABLE_ENTITY, "foreign_domain", Some("address")),
        Refusal::InUse(_) => (StatusCode::CONFLICT, "in_use", None),
        Refusal::ListLimit(_) => (StatusCode::CONFLICT, "list_limit", None),
        Refusal::RuleLimit(_) => (StatusCode::CONFLICT, "rule_limit", None),
        Refusal::GroupCycle(_) => (StatusCode::CONFLICT, "group_cycle", None),
        Refusal::GroupDepth => (StatusCode::UNPROCESSABLE_ENTITY, "group_depth", None),
        Refusal::DepartmentCycle(_) => (StatusCode::CONFLICT, "department_cycle", None),
        Refusal::LastAdmin(_) => (StatusCode::CONFLICT, "last_admin", None),
        Refusal::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", None),
        Refusal::NotFound(_) => (StatusCode::NOT_FOUND, "not_found", None),
        Refusal::Limit(_) => (StatusCode::CONFLICT, "limit", None),
    }
}

fn stored(error: store::Error) -> (StatusCode, &'static str, Option<&'static str>) {
    match error {
        store::Error::NotFound => (StatusCode::NOT_FOUND, "not_found", None),
        store::Error::Exists => (StatusCode::CONFLICT, "exists", None),
        store::Error::OverQuota => (StatusCode::CONFLICT, "quota", None),
        store::Error::HoldFull => (StatusCode::CONFLICT, "hold_full", None),
        store::Error::Limit => (StatusCode::CONFLICT, "limit", None),
        store::Error::Conflict => (StatusCode::CONFLICT, "conflict", None),
        store::Error::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", None),
        store::Error::Corrupt => (StatusCode::INTERNAL_SERVER_ERROR, "damaged", None),
    }
}
