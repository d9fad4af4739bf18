//! The server as a whole.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::routing::get;

use super::super::ops::Admin;
use super::super::view::{CheckView, Status};
use super::{Answer, Route};
use crate::server::admin::Touches;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/status", "What the server is and has", Touches::Server, get(status)).answers::<Status>(),
        Route::new("GET", "/check", "Prove the store's references against its entries", Touches::Server, get(check))
            .answers::<CheckView>(),
    ]
}

async fn status(State(admin): State<Arc<Admin>>) -> Json<Status> {
    Json(admin.status())
}

async fn check(State(admin): State<Arc<Admin>>) -> Answer<Json<CheckView>> {
    Ok(Json(admin.check().await?))
}
