//! Reading requests: bodies and queries of known form and bounded size, every failure a [`RequestError`].

use std::str::FromStr;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header;
use axum::http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::error::{ApiError, OpError, RequestError};
use super::spec::{
    AccountSpec, AliasSpec, DepartmentSpec, DomainSpec, GroupSpec, OrganisationSpec, Problem, RelaySpec, RuleSpec,
};
use crate::mail::{Address, Domain};

/// A JSON body.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let octets = body_of(request, "application/json", BODY_OCTETS).await?;
        serde_json::from_slice(&octets).map(Body).map_err(|e| RequestError::Body(described(&e)).into())
    }
}

/// A JSON body that may hold a message.
pub struct LargeBody<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for LargeBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let octets = body_of(request, "application/json", FILE_OCTETS).await?;
        serde_json::from_slice(&octets).map(LargeBody).map_err(|e| RequestError::Body(described(&e)).into())
    }
}

/// What [`Shaped`] reads.
pub trait Shape: DeserializeOwned {
    /// What the server says of the object besides its shape, `id` and `created` apart.
    const READ_ONLY: &'static [&'static str] = &[];
}

impl Shape for AccountSpec {
    const READ_ONLY: &'static [&'static str] = &["aliases", "suspended"];
}

impl Shape for DomainSpec {
    const READ_ONLY: &'static [&'static str] = &["accounts", "aliases", "dns"];
}

impl Shape for OrganisationSpec {}
impl Shape for DepartmentSpec {}
impl Shape for AliasSpec {}
impl Shape for GroupSpec {}
impl Shape for RuleSpec {}
impl Shape for RelaySpec {}

/// An object in the shape in which it is shown. What only the server says of it (`id`, `created` …) is passed over, so that an answer can be changed and sent back; whatever else is wrong is named, field by field.
pub struct Shaped<T>(pub T);

impl<T: Shape, S: Sync> FromRequest<S> for Shaped<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let octets = body_of(request, "application/json", BODY_OCTETS).await?;
        let object: Map<String, Value> =
            serde_json::from_slice(&octets).map_err(|e| RequestError::Body(described(&e)))?;
        shape(object).map(Self).map_err(|problems| RequestError::Shape(problems).into())
    }
}

/// A file in TOML.
pub struct TomlBody(pub String);

impl<S: Sync> FromRequest<S> for TomlBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let octets = body_of(request, "application/toml", FILE_OCTETS).await?;
        let text = String::from_utf8(octets.to_vec());
        text.map(Self).map_err(|_| RequestError::Body("file is not UTF-8".to_owned()).into())
    }
}

/// The body if it is declared as `wanted`: a type that no web page can send without asking first.
async fn body_of(request: Request, wanted: &str, limit: usize) -> Result<Bytes, ApiError> {
    let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !media_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(wanted) {
        return Err(RequestError::MediaType(wanted.to_owned()).into());
    }
    let body = Limited::new(request.into_body(), limit);
    match tokio::time::timeout(BODY_TIME, body.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(e)) if e.is::<LengthLimitError>() => Err(RequestError::TooLarge.into()),
        Ok(Err(_)) => Err(RequestError::Body("body broke off".to_owned()).into()),
        Err(_) => Err(RequestError::Slow.into()),
    }
}

/// Reads an object again and again without the fields that are wrong, until none is or one is missing.
fn shape<T: Shape>(mut object: Map<String, Value>) -> Result<T, Vec<Problem>> {
    ["id", "created"].iter().chain(T::READ_ONLY).for_each(|key| drop(object.remove(*key)));
    let mut problems = Vec::new();
    // Looked at by itself: no error may show it.
    if object.get("password").is_some_and(|p| !p.is_string() && !p.is_null()) {
        return Err(vec![Problem::invalid("password", "", "text")]);
    }
    loop {
        let error = match serde_json::from_value::<T>(Value::Object(object.clone())) {
            Ok(read) if problems.is_empty() => return Ok(read),
            Ok(_) => return Err(problems),
            Err(error) => error.to_string(),
        };
        let cures = |key: &&String| {
            let without: Map<String, Value> =
                object.iter().filter(|(k, _)| k != key).map(|(k, v)| (k.clone(), v.clone())).collect();
            serde_json::from_value::<T>(Value::Object(without)).map_or_else(|e| e.to_string() != error, |_| true)
        };
        let is_about_one = !error.starts_with("missing field");
        let Some(key) = object.keys().filter(|_| is_about_one).find(cures).cloned() else {
            if problems.is_empty() {
                problems.push(Problem::invalid("", "", error));
            }
            return Err(problems);
        };
        let value = object.remove(&key).map(|v| v.to_string()).unwrap_or_default();
        // A field that is not known may be a slip of the pen for one that holds a secret.
        let is_shown = key != "password" && !error.starts_with("unknown field");
        let value = if is_shown { value.chars().take(60).collect() } else { String::new() };
        problems.push(Problem::invalid(key, value, error));
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

/// The id at the end of a path, or before what is to be done with it.
pub struct IdInPath<T>(pub T);

impl<T: FromStr, S: Send + Sync> FromRequestParts<S> for IdInPath<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = segment(parts, state).await?;
        text.parse().map(Self).map_err(|_| RequestError::Query("path has no id of this server".to_owned()).into())
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

/// The text at the end of a path, or the only one in it.
pub struct NameInPath(pub String);

impl<S: Send + Sync> FromRequestParts<S> for NameInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        segment(parts, state).await.map(Self)
    }
}

/// An address and an entry of one of its lists: `/groups/{address}/members/{entry}`.
pub struct EntryInPath(pub Address, pub String);

impl<S: Send + Sync> FromRequestParts<S> for EntryInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<(String, String)>::from_request_parts(parts, state).await {
            Ok(Path((address, entry))) => {
                let address = Address::parse(&address).map_err(|e| OpError::not_an_address("address", e))?;
                Ok(Self(address, entry))
            }
            Err(e) => Err(bad_path(&e).into()),
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

/// A file of a hundred thousand accounts fits.
const FILE_OCTETS: usize = 64 << 20;

const BODY_TIME: Duration = Duration::from_secs(30);
