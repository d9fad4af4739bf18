//! Mail rules.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{delete, get, post, put};
use axum::{Extension, Json};

use super::super::Actor;
use super::super::ops::{Admin, RuleName};
use super::super::request::{Body, InQuery, NameInPath, Shaped};
use super::super::spec::RuleSpec;
use super::super::view::{Listed, Page};
use super::{Answer, Created, Enabled, Of, PagedOf, Route, listed};
use crate::server::admin::Touches;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/rules", "List the mail rules", Touches::NAMED, get(rules))
            .query::<PagedOf>()
            .lists_shown::<RuleSpec>(),
        Route::new("POST", "/rules", "Add a mail rule", Touches::OURS, post(add_rule))
            .takes::<RuleSpec>()
            .shows::<RuleSpec>()
            .created(),
        Route::new("GET", "/rules/{name}", "Show a mail rule", Touches::NAMED, get(rule))
            .query::<Of>()
            .shows::<RuleSpec>(),
        Route::new("PUT", "/rules/{name}", "Replace a mail rule", Touches::NAMED, put(put_rule))
            .query::<Of>()
            .takes::<RuleSpec>()
            .shows::<RuleSpec>(),
        Route::new("DELETE", "/rules/{name}", "Remove a mail rule", Touches::NAMED, delete(remove_rule)).query::<Of>(),
        Route::new("PUT", "/rules/{name}/enabled", "Switch a mail rule on or off", Touches::NAMED, put(enable_rule))
            .query::<Of>()
            .takes::<Enabled>()
            .shows::<RuleSpec>(),
    ]
}

async fn rules(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    InQuery(query): InQuery<PagedOf>,
) -> Answer<Json<Page<Listed<RuleSpec>>>> {
    Ok(Json(admin.rules(actor, query.organisation.as_deref(), listed(query.after, query.limit))?))
}

async fn rule(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    NameInPath(name): NameInPath,
    InQuery(query): InQuery<Of>,
) -> Answer<Json<Listed<RuleSpec>>> {
    Ok(Json(admin.rule(actor, &RuleName { name, organisation: query.organisation })?))
}

async fn add_rule(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Shaped(spec): Shaped<RuleSpec>,
) -> Answer<Created<Listed<RuleSpec>>> {
    Ok((StatusCode::CREATED, Json(admin.add_rule(actor, spec).await?)))
}

async fn put_rule(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    NameInPath(name): NameInPath,
    InQuery(query): InQuery<Of>,
    Shaped(spec): Shaped<RuleSpec>,
) -> Answer<Json<Listed<RuleSpec>>> {
    Ok(Json(admin.put_rule(actor, RuleName { name, organisation: query.organisation }, spec).await?))
}

async fn enable_rule(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    NameInPath(name): NameInPath,
    InQuery(query): InQuery<Of>,
    Body(body): Body<Enabled>,
) -> Answer<Json<Listed<RuleSpec>>> {
    let name = RuleName { name, organisation: query.organisation };
    Ok(Json(admin.set_rule_enabled(actor, name, body.enabled).await?))
}

async fn remove_rule(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    NameInPath(name): NameInPath,
    InQuery(query): InQuery<Of>,
) -> Answer<StatusCode> {
    admin.remove_rule(actor, RuleName { name, organisation: query.organisation }).await?;
    Ok(StatusCode::NO_CONTENT)
}
