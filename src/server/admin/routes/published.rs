//! Keys and DNS records of domains.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::Actor;
use super::super::error::OpError;
use super::super::ops::Admin;
use super::super::published::{DnsCheck, DnsView, KeysView};
use super::super::request::{Body, DomainInPath};
use super::{Answer, Route};
use crate::directory::Refusal;
use crate::server::admin::Touches;

pub(super) fn routes() -> Vec<Route> {
    let new = |method, path, summary, handler| Route::new(method, path, summary, Touches::Domain, handler);
    vec![
        new("GET", "/domains/{name}/dkim", "List the keys with which a domain signs", get(keys)).answers::<KeysView>(),
        new("POST", "/domains/{name}/dkim/rotate", "Make a new pair of keys for a domain", post(rotate))
            .takes::<Rotate>()
            .answers::<KeysView>(),
        new("POST", "/domains/{name}/dkim/activate", "Use the pair of keys that waits", post(activate))
            .takes::<Nothing>()
            .answers::<KeysView>(),
        new("POST", "/domains/{name}/dkim/retire", "Take a pair of keys out of use", post(retire))
            .takes::<Retire>()
            .answers::<KeysView>(),
        new("GET", "/domains/{name}/dns", "Show the DNS records that a domain is to publish", get(dns))
            .answers::<DnsView>(),
        new("POST", "/domains/{name}/dns/check", "Compare the DNS with what a domain is to publish", post(check))
            .takes::<Nothing>()
            .answers::<DnsCheck>(),
        new("GET", "/domains/{name}/dns/check", "Show what the last comparison found", get(last_check))
            .answers::<DnsCheck>(),
    ]
}

async fn keys(State(admin): State<Arc<Admin>>, DomainInPath(name): DomainInPath) -> Answer<Json<KeysView>> {
    Ok(Json(admin.keys(&name)?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Rotate {
    /// Hours that the new pair waits at least; 48 without it.
    after_hours: Option<u32>,
}

async fn rotate(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    DomainInPath(name): DomainInPath,
    Body(body): Body<Rotate>,
) -> Answer<Json<KeysView>> {
    if body.after_hours.is_some_and(|hours| hours > MAX_HOURS) {
        let message = format!("after_hours is at most {MAX_HOURS}");
        return Err(OpError::Invalid { field: "after_hours", message }.into());
    }
    let after = body.after_hours.map(|hours| Duration::from_secs(u64::from(hours) * 3600));
    Ok(Json(admin.rotate_keys(actor, name, after).await?))
}

async fn activate(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    DomainInPath(name): DomainInPath,
    Body(Nothing {}): Body<Nothing>,
) -> Answer<Json<KeysView>> {
    Ok(Json(admin.activate_keys(actor, name).await?))
}

/// There is nothing to say.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Retire {
    /// What the pair is called.
    pair: String,
}

async fn retire(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    DomainInPath(name): DomainInPath,
    Body(body): Body<Retire>,
) -> Answer<Json<KeysView>> {
    Ok(Json(admin.retire_keys(actor, name, body.pair).await?))
}

async fn dns(State(admin): State<Arc<Admin>>, DomainInPath(name): DomainInPath) -> Answer<Json<DnsView>> {
    Ok(Json(admin.dns(&name)?))
}

async fn check(
    State(admin): State<Arc<Admin>>,
    DomainInPath(name): DomainInPath,
    Body(Nothing {}): Body<Nothing>,
) -> Answer<Json<DnsCheck>> {
    Ok(Json(admin.check_dns(&name).await?))
}

async fn last_check(State(admin): State<Arc<Admin>>, DomainInPath(name): DomainInPath) -> Answer<Json<DnsCheck>> {
    let last = admin.last_dns_check(&name).await?;
    let nothing = || Refusal::NotFound(format!("a comparison of {name} with the DNS"));
    Ok(Json(last.ok_or_else(nothing).map_err(OpError::from)?))
}

/// A month.
const MAX_HOURS: u32 = 720;
