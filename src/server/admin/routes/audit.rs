//! Paths of the audit log.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Answer, Of, PAGE, Route};
use crate::server::admin::ops::Admin;
use crate::server::admin::report::{AuditCheckView, AuditView};
use crate::server::admin::request::InQuery;
use crate::server::admin::view::Page;
use crate::server::admin::{Actor, Touches};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/audit", "List what administrators did, newest first", Touches::NAMED, get(records))
            .query::<ListRecords>()
            .lists::<AuditView>(),
        Route::new("GET", "/audit/verify", "Prove that no record was changed or removed", Touches::NAMED, get(verify))
            .query::<Of>()
            .answers::<AuditCheckView>(),
    ]
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ListRecords {
    organisation: Option<String>,
    /// Records before this number: newest come first.
    after: Option<u64>,
    limit: Option<usize>,
}

async fn records(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    InQuery(query): InQuery<ListRecords>,
) -> Answer<Json<Page<AuditView, u64>>> {
    let limit = query.limit.unwrap_or(PAGE).clamp(1, PAGE);
    Ok(Json(admin.audit(actor, query.organisation.as_deref(), query.after, limit).await?))
}

async fn verify(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    InQuery(query): InQuery<Of>,
) -> Answer<Json<AuditCheckView>> {
    Ok(Json(admin.verify_audit(actor, query.organisation.as_deref()).await?))
}
