//! The server as a whole.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::ops::Admin;
use super::super::request::Body;
use super::super::view::{BlocklistView, CheckView, Page, Status};
use super::{Answer, Route};
use crate::server::admin::Touches;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/status", "What the server is and has", Touches::Server, get(status)).answers::<Status>(),
        Route::new("GET", "/check", "Prove the store's references against its entries", Touches::Server, get(check))
            .answers::<CheckView>(),
        Route::new(
            "GET",
            "/blocklists",
            "List the DNS block lists and how they stand",
            Touches::Server,
            get(blocklists),
        )
        .lists::<BlocklistView>(),
        Route::new("POST", "/blocklists/test", "Test the DNS block lists now", Touches::Server, post(test_blocklists))
            .takes::<Nothing>()
            .lists::<BlocklistView>(),
        Route::new("GET", "/metrics", "What is counted, for Prometheus", Touches::Server, get(metrics)).answers_text(),
    ]
}

/// What is counted, and nothing else of the API, for whoever asks.
pub fn metrics_router(admin: Arc<Admin>) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(admin)
}

async fn status(State(admin): State<Arc<Admin>>) -> Json<Status> {
    Json(admin.status())
}

async fn metrics(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    // The version of the text format that Prometheus asks for.
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], admin.metrics().await)
}

async fn check(State(admin): State<Arc<Admin>>) -> Answer<Json<CheckView>> {
    Ok(Json(admin.check().await?))
}

async fn blocklists(State(admin): State<Arc<Admin>>) -> Json<Page<BlocklistView>> {
    Json(Page { items: admin.blocklists(), next: None })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

async fn test_blocklists(
    State(admin): State<Arc<Admin>>,
    Body(Nothing {}): Body<Nothing>,
) -> Json<Page<BlocklistView>> {
    Json(Page { items: admin.test_blocklists().await, next: None })
}
