//! Organisations, departments, relays.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{delete, get, post, put};
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::Actor;
use super::super::ops::Admin;
use super::super::request::{InQuery, NameInPath, Shaped};
use super::super::spec::{DepartmentSpec, OrganisationSpec, RelaySpec};
use super::super::view::{Listed, Page};
use super::{Answer, Created, Of, Paged, PagedOf, Route, listed};
use crate::server::admin::Touches;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/organisations", "List the organisations", Touches::OURS, get(organisations))
            .query::<Paged>()
            .lists_shown::<OrganisationSpec>(),
        Route::new("POST", "/organisations", "Add an organisation", Touches::Server, post(add_organisation))
            .takes::<OrganisationSpec>()
            .shows::<OrganisationSpec>()
            .created(),
        Route::new("GET", "/organisations/{name}", "Show an organisation", Touches::ORGANISATION, get(organisation))
            .shows::<OrganisationSpec>(),
        Route::new(
            "PUT",
            "/organisations/{name}",
            "Replace an organisation's settings",
            Touches::ORGANISATION,
            put(put_organisation),
        )
        .takes::<OrganisationSpec>()
        .shows::<OrganisationSpec>(),
        Route::new(
            "DELETE",
            "/organisations/{name}",
            "Remove an empty organisation",
            Touches::Server,
            delete(remove_organisation),
        ),
        Route::new("GET", "/departments", "List the departments", Touches::NAMED, get(departments))
            .query::<PagedOf>()
            .lists_shown::<DepartmentSpec>(),
        Route::new("POST", "/departments", "Add a department", Touches::OURS, post(add_department))
            .takes::<DepartmentSpec>()
            .shows::<DepartmentSpec>()
            .created(),
        Route::new("GET", "/departments/{path}", "Show a department", Touches::NAMED, get(department))
            .query::<Of>()
            .shows::<DepartmentSpec>(),
        Route::new(
            "PUT",
            "/departments/{path}",
            "Replace, rename or move a department",
            Touches::NAMED,
            put(put_department),
        )
        .query::<Of>()
        .takes::<DepartmentSpec>()
        .shows::<DepartmentSpec>(),
        Route::new("DELETE", "/departments/{path}", "Remove a department", Touches::NAMED, delete(remove_department))
            .query::<Removal>(),
        Route::new("GET", "/relays", "List the trusted relays and gateways", Touches::Server, get(relays))
            .query::<Paged>()
            .lists_shown::<RelaySpec>(),
        Route::new("POST", "/relays", "List a host or network as relay or gateway", Touches::Server, post(add_relay))
            .query::<HowToList>()
            .takes::<RelaySpec>()
            .shows::<RelaySpec>()
            .created(),
        Route::new("GET", "/relays/{network}", "Show a relay or gateway", Touches::Server, get(relay))
            .shows::<RelaySpec>(),
        Route::new("PUT", "/relays/{network}", "Replace a relay or gateway", Touches::Server, put(put_relay))
            .query::<HowToList>()
            .takes::<RelaySpec>()
            .shows::<RelaySpec>(),
        Route::new("DELETE", "/relays/{network}", "Take a network off the list", Touches::Server, delete(remove_relay)),
    ]
}

async fn organisations(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    InQuery(query): InQuery<Paged>,
) -> Json<Page<Listed<OrganisationSpec>>> {
    Json(admin.organisations(actor, query.listed()))
}

async fn organisation(
    State(admin): State<Arc<Admin>>,
    NameInPath(name): NameInPath,
) -> Answer<Json<Listed<OrganisationSpec>>> {
    Ok(Json(admin.organisation(&name)?))
}

async fn add_organisation(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Shaped(spec): Shaped<OrganisationSpec>,
) -> Answer<Created<Listed<OrganisationSpec>>> {
    Ok((StatusCode::CREATED, Json(admin.add_organisation(actor, spec).await?)))
}

async fn put_organisation(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    NameInPath(name): NameInPath,
    Shaped(spec): Shaped<OrganisationSpec>,
) -> Answer<Json<Listed<OrganisationSpec>>> {
    Ok(Json(admin.put_organisation(actor, name, spec).await?))
}

async fn remove_organisation(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    NameInPath(name): NameInPath,
) -> Answer<StatusCode> {
    admin.remove_organisation(actor, name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn departments(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    InQuery(query): InQuery<PagedOf>,
) -> Answer<Json<Page<Listed<DepartmentSpec>>>> {
    Ok(Json(admin.departments(actor, query.organisation.as_deref(), listed(query.after, query.limit))?))
}

async fn department(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    NameInPath(path): NameInPath,
    InQuery(query): InQuery<Of>,
) -> Answer<Json<Listed<DepartmentSpec>>> {
    Ok(Json(admin.department(actor, query.organisation.as_deref(), &path)?))
}

async fn add_department(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Shaped(spec): Shaped<DepartmentSpec>,
) -> Answer<Created<Listed<DepartmentSpec>>> {
    Ok((StatusCode::CREATED, Json(admin.add_department(actor, spec).await?)))
}

async fn put_department(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    NameInPath(path): NameInPath,
    InQuery(query): InQuery<Of>,
    Shaped(spec): Shaped<DepartmentSpec>,
) -> Answer<Json<Listed<DepartmentSpec>>> {
    Ok(Json(admin.put_department(actor, query.organisation, path, spec).await?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Removal {
    organisation: Option<String>,
    target: Option<String>,
}

async fn remove_department(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    NameInPath(path): NameInPath,
    InQuery(query): InQuery<Removal>,
) -> Answer<StatusCode> {
    admin.remove_department(actor, query.organisation, path, query.target).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How a relay is listed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct HowToList {
    /// Even if the DNS does not tell whether it is an MX of ours.
    #[serde(default)]
    force: bool,
}

async fn relays(State(admin): State<Arc<Admin>>, InQuery(query): InQuery<Paged>) -> Json<Page<Listed<RelaySpec>>> {
    Json(admin.relays(query.listed()))
}

async fn relay(State(admin): State<Arc<Admin>>, NameInPath(network): NameInPath) -> Answer<Json<Listed<RelaySpec>>> {
    Ok(Json(admin.relay(&network)?))
}

async fn add_relay(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    InQuery(query): InQuery<HowToList>,
    Shaped(spec): Shaped<RelaySpec>,
) -> Answer<Created<Listed<RelaySpec>>> {
    Ok((StatusCode::CREATED, Json(admin.add_relay(actor, spec, query.force).await?)))
}

async fn put_relay(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    NameInPath(network): NameInPath,
    InQuery(query): InQuery<HowToList>,
    Shaped(spec): Shaped<RelaySpec>,
) -> Answer<Json<Listed<RelaySpec>>> {
    Ok(Json(admin.put_relay(actor, network, spec, query.force).await?))
}

async fn remove_relay(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    NameInPath(network): NameInPath,
) -> Answer<StatusCode> {
    admin.remove_relay(actor, network).await?;
    Ok(StatusCode::NO_CONTENT)
}
