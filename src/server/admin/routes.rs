//! The paths of the API.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Extension, Json, Router};
use serde::Deserialize;

use super::Actor;
use super::error::{ApiError, OpError, RequestError};
use super::ops::{Admin, NewAccount};
use super::request::{AddressInPath, Body, DomainInPath, InQuery};
use super::view::{AccountDetail, AccountView, AliasView, CheckView, DomainDetail, DomainView, Page, Status};
use crate::mail::{Address, Domain};

/// The API. Who serves it puts an [`Actor`] into the extensions of each request it lets in; without one everything
/// but `/healthz` is refused.
pub fn router(admin: Arc<Admin>) -> Router {
    let api = Router::new()
        .route("/status", get(status))
        .route("/check", get(check))
        .route("/domains", get(domains).post(add_domain))
        .route("/domains/{name}", get(domain).delete(remove_domain))
        .route("/accounts", get(accounts).post(add_account))
        .route("/accounts/batch", post(add_accounts))
        .route("/accounts/{address}", get(account).delete(remove_account))
        .route("/accounts/{address}/password", put(set_password))
        .route("/aliases", get(aliases).post(add_alias))
        .route("/aliases/{address}", axum::routing::delete(remove_alias))
        .method_not_allowed_fallback(async || ApiError::from(RequestError::Method))
        .layer(middleware::from_fn(only_actors))
        .with_state(admin);
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .nest("/api/v1", api)
        .fallback(async || ApiError::from(RequestError::NoSuchPath))
        .method_not_allowed_fallback(async || ApiError::from(RequestError::Method))
}

type Answer<T> = Result<T, ApiError>;
type Created<T> = (StatusCode, Json<T>);

async fn only_actors(request: Request, next: Next) -> Response {
    match request.extensions().get::<Actor>() {
        Some(_) => next.run(request).await,
        None => ApiError::from(RequestError::Unauthorized).into_response(),
    }
}

async fn status(State(admin): State<Arc<Admin>>) -> Json<Status> {
    Json(admin.status())
}

async fn check(State(admin): State<Arc<Admin>>) -> Answer<Json<CheckView>> {
    Ok(Json(admin.check().await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddDomain {
    name: String,
}

async fn add_domain(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Body(body): Body<AddDomain>,
) -> Answer<Created<DomainView>> {
    let name = Domain::parse(&body.name).map_err(|e| OpError::not_an_address("name", e))?;
    Ok((StatusCode::CREATED, Json(admin.add_domain(actor, name).await?)))
}

async fn domains(State(admin): State<Arc<Admin>>) -> Json<Page<DomainView>> {
    Json(Page { items: admin.domains(), next: None })
}

async fn domain(State(admin): State<Arc<Admin>>, DomainInPath(name): DomainInPath) -> Answer<Json<DomainDetail>> {
    Ok(Json(admin.domain(&name)?))
}

async fn remove_domain(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    DomainInPath(name): DomainInPath,
) -> Answer<StatusCode> {
    admin.remove_domain(actor, name).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddAccount {
    address: String,
    password: String,
}

impl AddAccount {
    fn checked(self) -> Result<NewAccount, OpError> {
        let address = address_in("address", &self.address)?;
        Ok(NewAccount { address, password: self.password })
    }
}

async fn add_account(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Body(body): Body<AddAccount>,
) -> Answer<Created<AccountView>> {
    let added = admin.add_accounts(actor, vec![body.checked()?]).await?;
    let account = added.into_iter().next().ok_or(OpError::Unavailable)?;
    Ok((StatusCode::CREATED, Json(account)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddAccounts {
    accounts: Vec<AddAccount>,
}

async fn add_accounts(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Body(body): Body<AddAccounts>,
) -> Answer<Created<Page<AccountView>>> {
    if body.accounts.len() > BATCH {
        let message = format!("at most {BATCH} accounts at once");
        return Err(OpError::Invalid { field: "accounts", message }.into());
    }
    let accounts = body.accounts.into_iter().map(AddAccount::checked).collect::<Result<_, _>>()?;
    let items = admin.add_accounts(actor, accounts).await?;
    Ok((StatusCode::CREATED, Json(Page { items, next: None })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListAccounts {
    domain: Option<String>,
    #[serde(default)]
    after: u32,
    limit: Option<usize>,
}

async fn accounts(
    State(admin): State<Arc<Admin>>,
    InQuery(query): InQuery<ListAccounts>,
) -> Answer<Json<Page<AccountView>>> {
    let domain = query.domain.map(|d| Domain::parse(&d)).transpose();
    let domain = domain.map_err(|e| OpError::not_an_address("domain", e))?;
    Ok(Json(admin.accounts(domain.as_ref(), query.after, page_size(query.limit))))
}

async fn account(
    State(admin): State<Arc<Admin>>,
    AddressInPath(address): AddressInPath,
) -> Answer<Json<AccountDetail>> {
    Ok(Json(admin.account(&address)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetPassword {
    password: String,
}

async fn set_password(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    AddressInPath(address): AddressInPath,
    Body(body): Body<SetPassword>,
) -> Answer<StatusCode> {
    admin.set_password(actor, address, body.password).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove_account(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    AddressInPath(address): AddressInPath,
) -> Answer<StatusCode> {
    admin.remove_account(actor, address).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddAlias {
    address: String,
    account: String,
}

async fn add_alias(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Body(body): Body<AddAlias>,
) -> Answer<Created<AliasView>> {
    let address = address_in("address", &body.address)?;
    let account = address_in("account", &body.account)?;
    Ok((StatusCode::CREATED, Json(admin.add_alias(actor, address, account).await?)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListAliases {
    account: Option<String>,
    #[serde(default)]
    after: u32,
    limit: Option<usize>,
}

async fn aliases(
    State(admin): State<Arc<Admin>>,
    InQuery(query): InQuery<ListAliases>,
) -> Answer<Json<Page<AliasView>>> {
    let account = query.account.map(|a| address_in("account", &a)).transpose()?;
    Ok(Json(admin.aliases(account.as_ref(), query.after, page_size(query.limit))?))
}

async fn remove_alias(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    AddressInPath(address): AddressInPath,
) -> Answer<StatusCode> {
    admin.remove_alias(actor, address).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn address_in(field: &'static str, text: &str) -> Result<Address, OpError> {
    Address::parse(text).map_err(|e| OpError::not_an_address(field, e))
}

fn page_size(limit: Option<usize>) -> usize {
    limit.unwrap_or(PAGE).clamp(1, PAGE)
}

/// Objects in one answer.
const PAGE: usize = 1000;

/// Accounts in one change.
const BATCH: usize = 1000;

#[cfg(test)]
mod tests;
