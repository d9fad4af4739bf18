//! Webhooks.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::ops::Admin;
use super::super::report::{WebhookAnswerView, WebhookView};
use super::super::view::Page;
use super::{Answer, Route};
use crate::server::admin::request::{Body, NameInPath};
use crate::server::admin::{Actor, Touches};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/webhooks", "List webhooks: what waits, how it went", Touches::Server, get(list))
            .lists::<WebhookView>(),
        Route::new("POST", "/webhooks/{name}/test", "Tell one `ping` at once", Touches::Server, post(test))
            .takes::<Try>()
            .answers::<WebhookAnswerView>(),
    ]
}

async fn list(State(admin): State<Arc<Admin>>) -> Answer<Json<Page<WebhookView, String>>> {
    Ok(Json(admin.webhooks().await?))
}

/// Nothing is to be said; that it is JSON keeps web pages from sending it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Try {}

async fn test(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    NameInPath(name): NameInPath,
    Body(Try {}): Body<Try>,
) -> Answer<Json<WebhookAnswerView>> {
    Ok(Json(admin.try_webhook(actor, &name).await?))
}
