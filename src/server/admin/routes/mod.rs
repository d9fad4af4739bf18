//! The paths of the API: one table, from which both the router and its description are made, and what each touches:
//! [`gate`] asks before every handler whether whoever asks may.

mod account;
mod apply;
mod audit;
mod domain;
mod gate;
mod group;
mod hook;
mod messages;
mod openapi;
mod organisation;
mod published;
mod route;
mod rule;
mod status;
mod webhook;

pub use route::Route;
pub use status::metrics_router;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State};
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
use super::visitor::Visitor;
use crate::mail::Address;

/// Every route below `/api/v1`.
pub fn routes() -> Vec<Route> {
    let parts = [
        status::routes(),
        organisation::routes(),
        domain::routes(),
        published::routes(),
        account::routes(),
        group::routes(),
        rule::routes(),
        apply::routes(),
        messages::routes(),
        hook::routes(),
        audit::routes(),
        webhook::routes(),
    ];
    parts.into_iter().flatten().collect()
}

/// The API. Who serves it puts an [`Actor`] or a [`Visitor`] into the extensions of each request; without one, or if the
/// visitor proves nothing, everything but `/healthz` and the description of the API is refused.
pub fn router(admin: Arc<Admin>) -> Router {
    let routes = routes();
    let description: Bytes = openapi::describe(&routes).to_string().into();
    let description = ([(header::CONTENT_TYPE, "application/json")], description);
    let api = routes
        .into_iter()
        .fold(Router::new(), |router, route| router.route(route.path, gate::guarded(route, &admin)))
        .route("/openapi.json", get(description.clone()))
        .method_not_allowed_fallback(async || ApiError::from(RequestError::Method))
        .layer(middleware::from_fn_with_state(admin.clone(), only_actors))
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

async fn only_actors(State(admin): State<Arc<Admin>>, mut request: Request, next: Next) -> Response {
    if request.extensions().get::<Actor>().is_none() {
        let visitor = request.extensions_mut().remove::<Visitor>();
        let identified = match visitor {
            Some(visitor) => visitor.identify(&admin, request.headers()).await,
            None => Err(RequestError::Unauthorized),
        };
        match identified {
            Ok(actor) => drop(request.extensions_mut().insert(actor)),
            Err(error) => return ApiError::from(error).into_response(),
        }
    }
    next.run(request).await
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
