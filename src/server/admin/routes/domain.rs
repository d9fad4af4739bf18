//! Domains and aliases.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{delete, get, post, put};
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::Actor;
use super::super::ops::Admin;
use super::super::request::{AddressInPath, Body, DomainInPath, InQuery, Shaped};
use super::super::spec::{AliasSpec, DomainBlockedSpec, DomainSpec};
use super::super::view::{AliasView, DomainDetail, DomainView, Page};
use super::{Answer, Created, Enabled, Route, address_in, listed};
use crate::server::admin::Touches;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/domains", "List the domains", Touches::OURS, get(domains)).lists::<DomainView>(),
        Route::new("POST", "/domains", "Host a domain, or a second name of one", Touches::Server, post(add_domain))
            .takes::<DomainSpec>()
            .answers::<DomainView>()
            .created(),
        Route::new("GET", "/domains/{name}", "Show a domain", Touches::Domain, get(domain)).answers::<DomainDetail>(),
        Route::new("PUT", "/domains/{name}", "Replace a domain's settings", Touches::Domain, put(put_domain))
            .takes::<DomainSpec>()
            .answers::<DomainDetail>(),
        Route::new(
            "DELETE",
            "/domains/{name}",
            "Stop to host a domain without addresses",
            Touches::Server,
            delete(remove_domain),
        ),
        Route::new(
            "PUT",
            "/domains/{name}/catch-all",
            "Set who receives mail for nobody's addresses",
            Touches::Domain,
            put(catch_all),
        )
        .takes::<CatchAll>()
        .answers::<DomainDetail>(),
        Route::new(
            "DELETE",
            "/domains/{name}/catch-all",
            "Refuse mail for nobody's addresses",
            Touches::Domain,
            delete(no_catch_all),
        ),
        Route::new(
            "PUT",
            "/domains/{name}/blocked",
            "Set whom the accounts of a domain do not hear",
            Touches::Domain,
            put(blocked),
        )
        .takes::<BlockedSenders>()
        .answers::<DomainDetail>(),
        Route::new(
            "PUT",
            "/domains/{name}/allowed",
            "Set the senders whose mail is no junk for the accounts of a domain, once they are proven",
            Touches::Domain,
            put(allowed),
        )
        .takes::<AllowedSenders>()
        .answers::<DomainDetail>(),
        Route::new("GET", "/aliases", "List the aliases", Touches::OURS, get(aliases))
            .query::<ListAliases>()
            .lists::<AliasView>(),
        Route::new("POST", "/aliases", "Give an account a further address", Touches::OURS, post(add_alias))
            .takes::<AliasSpec>()
            .answers::<AliasView>()
            .created(),
        Route::new("GET", "/aliases/{address}", "Show an alias", Touches::Alias, get(alias)).answers::<AliasView>(),
        Route::new("PUT", "/aliases/{address}", "Replace an alias", Touches::Alias, put(put_alias))
            .takes::<AliasSpec>()
            .answers::<AliasView>(),
        Route::new("DELETE", "/aliases/{address}", "Take an alias away", Touches::Alias, delete(remove_alias)),
        Route::new(
            "PUT",
            "/aliases/{address}/enabled",
            "Enable or disable an alias",
            Touches::Alias,
            put(enable_alias),
        )
        .takes::<Enabled>()
        .answers::<AliasView>(),
    ]
}

async fn domains(State(admin): State<Arc<Admin>>, Extension(actor): Extension<Actor>) -> Json<Page<DomainView>> {
    Json(Page { items: admin.domains(actor), next: None })
}

async fn domain(State(admin): State<Arc<Admin>>, DomainInPath(name): DomainInPath) -> Answer<Json<DomainDetail>> {
    Ok(Json(admin.domain(&name).await?))
}

async fn add_domain(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Shaped(spec): Shaped<DomainSpec>,
) -> Answer<Created<DomainView>> {
    Ok((StatusCode::CREATED, Json(admin.add_domain(actor, spec).await?)))
}

async fn put_domain(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    DomainInPath(name): DomainInPath,
    Shaped(spec): Shaped<DomainSpec>,
) -> Answer<Json<DomainDetail>> {
    Ok(Json(admin.put_domain(actor, name, spec).await?))
}

async fn remove_domain(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    DomainInPath(name): DomainInPath,
) -> Answer<StatusCode> {
    admin.remove_domain(actor, name).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CatchAll {
    account: String,
}

async fn catch_all(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    DomainInPath(name): DomainInPath,
    Body(body): Body<CatchAll>,
) -> Answer<Json<DomainDetail>> {
    Ok(Json(admin.set_catch_all(actor, name, Some(body.account)).await?))
}

async fn no_catch_all(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    DomainInPath(name): DomainInPath,
) -> Answer<StatusCode> {
    admin.set_catch_all(actor, name, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BlockedSenders {
    blocked: Vec<DomainBlockedSpec>,
}

async fn blocked(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    DomainInPath(name): DomainInPath,
    Body(body): Body<BlockedSenders>,
) -> Answer<Json<DomainDetail>> {
    Ok(Json(admin.set_blocked(actor, name, body.blocked).await?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AllowedSenders {
    allowed: Vec<String>,
}

async fn allowed(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    DomainInPath(name): DomainInPath,
    Body(body): Body<AllowedSenders>,
) -> Answer<Json<DomainDetail>> {
    Ok(Json(admin.set_allowed(actor, name, body.allowed).await?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ListAliases {
    account: Option<String>,
    #[serde(default)]
    after: u32,
    limit: Option<usize>,
}

async fn aliases(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    InQuery(query): InQuery<ListAliases>,
) -> Answer<Json<Page<AliasView>>> {
    let account = query.account.map(|a| address_in("account", &a)).transpose()?;
    Ok(Json(admin.aliases(actor, account.as_ref(), listed(query.after, query.limit))?))
}

async fn alias(State(admin): State<Arc<Admin>>, AddressInPath(address): AddressInPath) -> Answer<Json<AliasView>> {
    Ok(Json(admin.alias(&address)?))
}

async fn add_alias(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Shaped(spec): Shaped<AliasSpec>,
) -> Answer<Created<AliasView>> {
    let address = address_in("address", &spec.address)?;
    let account = address_in("account", &spec.account)?;
    Ok((StatusCode::CREATED, Json(admin.add_alias(actor, address, account, spec.enabled).await?)))
}

async fn put_alias(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    AddressInPath(address): AddressInPath,
    Shaped(spec): Shaped<AliasSpec>,
) -> Answer<Json<AliasView>> {
    Ok(Json(admin.put_alias(actor, address, spec).await?))
}

async fn enable_alias(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    AddressInPath(address): AddressInPath,
    Body(body): Body<Enabled>,
) -> Answer<Json<AliasView>> {
    Ok(Json(admin.set_alias_enabled(actor, address, body.enabled).await?))
}

async fn remove_alias(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    AddressInPath(address): AddressInPath,
) -> Answer<StatusCode> {
    admin.remove_alias(actor, address).await?;
    Ok(StatusCode::NO_CONTENT)
}
