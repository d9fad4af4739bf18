//! Whole organisations from a file.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::post;
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::Actor;
use super::super::ops::{Admin, Applied};
use super::super::request::{InQuery, TomlBody};
use super::{Answer, Route};
use crate::server::admin::Touches;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            "POST",
            "/apply",
            "Make everything as a TOML file says; dry_run=true only shows it",
            Touches::Server,
            post(apply),
        )
        .query::<HowToApply>()
        .takes_toml()
        .answers::<Applied>(),
    ]
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct HowToApply {
    #[serde(default)]
    dry_run: bool,
    /// Lists trusted relays even if the DNS does not tell whether they are an MX of ours.
    #[serde(default)]
    force: bool,
}

async fn apply(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    InQuery(query): InQuery<HowToApply>,
    TomlBody(text): TomlBody,
) -> Answer<Json<Applied>> {
    let applied = if query.dry_run {
        admin.dry_run(text, query.force).await?
    } else {
        admin.apply(actor, text, query.force).await?
    };
    Ok(Json(applied))
}
