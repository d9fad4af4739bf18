//! The paths of the API: one table, from which both the router and its description are made.

mod account;
mod apply;
mod audit;
mod domain;
mod group;
mod messages;
mod openapi;
mod organisation;
mod route;
mod rule;
mod status;

pub use route::Route;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use utoipa::ToSchema;

use super::Actor;
use super::error::{ApiError, OpError, RequestError};
use super::ops::{Admin, Listed};
use crate::mail::Address;

/// Every route below `/api/v1`.
pub fn routes() -> Vec<Route> {
    let parts = [
        status::routes(),
        organisation::routes(),
        domain::routes(),
        account::routes(),
        group::routes(),
        rule::routes(),
        apply::routes(),
        messages::routes(),
        audit::routes(),
    ];
    parts.into_iter().flatten().collect()
}

/// The API. Who serves it puts an [`Actor`] into the extensions of each request it lets in; without one everything
/// but `/healthz` and the description of the API is refused.
pub fn router(admin: Arc<Admin>) -> Router {
    let routes = routes();
    let description: Bytes = openapi::describe(&routes).to_string().into();
    let description = ([(header::CONTENT_TYPE, "application/json")], description);
    let api = routes
        .into_iter()
        .fold(Router::new(), |router, route| router.route(route.path, route.handler))
        .route("/openapi.json", get(description.clone()))
        .method_not_allowed_fallback(async || ApiError::from(RequestError::Method))
        .layer(middleware::from_fn(only_actors))
        .with_state(admin);
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/openapi.json", get(description))
        .nest("/api/v1", api)
        .fallback(async || ApiError::from(RequestError::NoSuchPath))
        .method_not_allowed_fallback(async || ApiError::from(RequestError::Method))
}

type Answer<T> = Result<T, ApiError>;
type Created<T> = (StatusCode, Json<T>);

async fn only_actors(request: Request, next: Next) -> Response {
    match request.extensions().get::<Actor>() {
        Some(_) => next.run(request).await,
        None => ApiError::from(RequestError::Unauthorized).into_response(),
    }
}

/// Which part of a list.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Paged {
    #[serde(default)]
    after: u32,
    limit: Option<usize>,
}

impl Paged {
    fn listed(&self) -> Listed {
        listed(self.after, self.limit)
    }
}

/// Which part of a list, and whose.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PagedOf {
    organisation: Option<String>,
    #[serde(default)]
    after: u32,
    limit: Option<usize>,
}

/// Whose, where there are several organisations.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Of {
    organisation: Option<String>,
}

/// Switches something.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Enabled {
    enabled: bool,
}

fn listed(after: u32, limit: Option<usize>) -> Listed {
    Listed { after, limit: limit.unwrap_or(PAGE).clamp(1, PAGE) }
}

fn address_in(field: &'static str, text: &str) -> Result<Address, OpError> {
    Address::parse(text).map_err(|e| OpError::not_an_address(field, e))
}

/// Objects in one answer.
const PAGE: usize = 1000;

#[cfg(test)]
mod tests;
