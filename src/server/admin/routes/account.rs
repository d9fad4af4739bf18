//! Accounts, as a whole and part by part.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{MethodRouter, delete, get, post, put};
use axum::{Extension, Json};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use super::super::Actor;
use super::super::error::OpError;
use super::super::ops::{AccountFilter, Admin, FORWARD as SET_FORWARD, NewAccount};
use super::super::report::AskedView;
use super::super::request::{AddressInPath, Body, InQuery, Shaped};
use super::super::spec::{
    AccountSpec, AdminForwardSpec, AutoReplySpec, BlockedSpec, ForwardSpec, GrantSpec, Octets, ScopeSpec,
};
use super::super::view::{AccountDetail, AccountView, LockView, Page};
use super::{Answer, Created, Route, address_in, listed};
use crate::directory::{AccountKind, AccountState, Incoming};
use crate::mail::Domain;
use crate::policy::administration::Operation;
use crate::server::admin::Touches;

pub(super) fn routes() -> Vec<Route> {
    const ONE: &str = "/accounts/{address}";
    const LOCKS: &str = "/accounts/{address}/locks";
    const FORWARD: &str = "/accounts/{address}/forward";
    const ASK: &str = "/accounts/{address}/forward/ask";
    const ADMIN_FORWARD: &str = "/accounts/{address}/admin-forward";
    const VACATION: &str = "/accounts/{address}/vacation";
    const ADMIN_REPLY: &str = "/accounts/{address}/admin-reply";
    vec![
        Route::new("GET", "/accounts", "List the accounts", Touches::OURS, get(accounts))
            .query::<ListAccounts>()
            .lists::<AccountView>(),
        Route::new("POST", "/accounts", "Add an account", Touches::OURS, post(add_account))
            .takes::<AccountSpec>()
            .answers::<AccountView>()
            .created(),
        Route::new(
            "POST",
            "/accounts/batch",
            "Add up to 1000 accounts, all or none",
            Touches::OURS,
            post(add_accounts),
        )
        .takes::<AddAccounts>()
        .lists::<AccountView>()
        .created(),
        Route::new("GET", ONE, "Show an account", Touches::Account(Operation::ShowAccount), get(account))
            .shows::<AccountSpec>(),
        Route::new(
            "PUT",
            ONE,
            "Replace an account's settings, its address included",
            Touches::ACCOUNT,
            put(put_account),
        )
        .takes::<AccountSpec>()
        .shows::<AccountSpec>(),
        Route::new(
            "DELETE",
            ONE,
            "Remove an account with its aliases and mail",
            Touches::ACCOUNT,
            delete(remove_account),
        ),
        Route::new("PUT", "/accounts/{address}/password", "Set a password", Touches::OWN_SETTINGS, put(set_password))
            .takes::<SetPassword>(),
        Route::new("GET", LOCKS, "List the locks after failed logins", Touches::ACCOUNT, get(locks))
            .lists::<LockView>(),
        Route::new("DELETE", LOCKS, "Unlock an account and forget its failed logins", Touches::ACCOUNT, delete(unlock)),
        Route::new("PUT", "/accounts/{address}/address", "Rename an account", Touches::ACCOUNT, set::<Renamed>())
            .takes::<Renamed>()
            .shows::<AccountSpec>(),
        Route::new(
            "PUT",
            "/accounts/{address}/state",
            "Activate, block, freeze or bin an account",
            Touches::ACCOUNT,
            set::<NewState>(),
        )
        .takes::<NewState>()
        .shows::<AccountSpec>(),
        Route::new(
            "PUT",
            "/accounts/{address}/admin",
            "Make or unmake a domain admin",
            Touches::ACCOUNT,
            set::<IsAdmin>(),
        )
        .takes::<IsAdmin>()
        .shows::<AccountSpec>(),
        Route::new(
            "PUT",
            "/accounts/{address}/departments",
            "Set an account's departments",
            Touches::ACCOUNT,
            set::<Departments>(),
        )
        .takes::<Departments>()
        .shows::<AccountSpec>(),
        Route::new(
            "PUT",
            "/accounts/{address}/scopes",
            "Set with whom an account may correspond",
            Touches::ACCOUNT,
            set::<Scopes>(),
        )
        .takes::<Scopes>()
        .shows::<AccountSpec>(),
        Route::new("PUT", "/accounts/{address}/quota", "Limit an account's mail", Touches::ACCOUNT, set::<Quota>())
            .takes::<Quota>()
            .shows::<AccountSpec>(),
        Route::new(
            "PUT",
            "/accounts/{address}/send-limits",
            "Limit what an account sends; what is not named is as the server says",
            Touches::ACCOUNT,
            set::<SendLimits>(),
        )
        .takes::<SendLimits>()
        .shows::<AccountSpec>(),
        Route::new(
            "DELETE",
            "/accounts/{address}/suspension",
            "Let an account send again whose sending the server has stopped",
            Touches::ACCOUNT,
            delete(release_sending),
        ),
        Route::new("PUT", FORWARD, "Set the owner's forward", Touches::OWN_SETTINGS, set::<ForwardSpec>())
            .takes::<ForwardSpec>()
            .shows::<AccountSpec>(),
        Route::new("DELETE", FORWARD, "End the owner's forward", Touches::OWN_SETTINGS, clear::<ForwardSpec>()),
        Route::new(
            "POST",
            ASK,
            "Ask the forward's targets that have not confirmed once more",
            Touches::OWN_SETTINGS,
            post(ask_targets),
        )
        .takes::<AskTargets>()
        .lists::<AskedView>(),
        Route::new("PUT", ADMIN_FORWARD, "Set an admin's forward", Touches::ACCOUNT, set::<AdminForwardSpec>())
            .takes::<AdminForwardSpec>()
            .shows::<AccountSpec>(),
        Route::new("DELETE", ADMIN_FORWARD, "End an admin's forward", Touches::ACCOUNT, clear::<AdminForwardSpec>()),
        Route::new("PUT", VACATION, "Set the owner's auto reply", Touches::OWN_SETTINGS, set::<Vacation>())
            .takes::<Vacation>()
            .shows::<AccountSpec>(),
        Route::new("DELETE", VACATION, "End the owner's auto reply", Touches::OWN_SETTINGS, clear::<Vacation>()),
        Route::new("PUT", ADMIN_REPLY, "Set an admin's auto reply", Touches::ACCOUNT, set::<AdminReply>())
            .takes::<AdminReply>()
            .shows::<AccountSpec>(),
        Route::new("DELETE", ADMIN_REPLY, "End an admin's auto reply", Touches::ACCOUNT, clear::<AdminReply>()),
        Route::new(
            "PUT",
            "/accounts/{address}/blocked",
            "Set the owner's blocked senders",
            Touches::OWN_SETTINGS,
            set::<BlockedSenders>(),
        )
        .takes::<BlockedSenders>()
        .shows::<AccountSpec>(),
        Route::new(
            "PUT",
            "/accounts/{address}/allowed",
            "Set the senders whose mail is no junk for an account, once they are proven",
            Touches::OWN_SETTINGS,
            set::<AllowedSenders>(),
        )
        .takes::<AllowedSenders>()
        .shows::<AccountSpec>(),
        Route::new(
            "PUT",
            "/accounts/{address}/grants",
            "Set the rights of others on an account",
            Touches::ACCOUNT,
            set::<Grants>(),
        )
        .takes::<Grants>()
        .shows::<AccountSpec>(),
    ]
}

/// A part of an account that is set on its own.
trait Part: DeserializeOwned + Clone + Send + Sync + 'static {
    /// As the audit log names the change.
    const ACTION: &'static str;
    /// Sets it.
    fn set(self, shape: &mut AccountSpec);
}

/// A part that an account need not have.
trait OptionalPart: Part {
    /// Takes it away.
    fn clear(shape: &mut AccountSpec);
}

macro_rules! part {
    ($part:ty, $action:expr, |$self:ident, $shape:ident| $set:expr $(, clear $field:ident)?) => {
        impl Part for $part {
            const ACTION: &'static str = $action;

            fn set($self, $shape: &mut AccountSpec) {
                $set
            }
        }

        $(impl OptionalPart for $part {
            fn clear(shape: &mut AccountSpec) {
                shape.$field = None;
            }
        })?
    };
}

/// Another address.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Renamed {
    address: String,
}
part!(Renamed, "account.rename", |self, shape| shape.address = self.address);

/// A state, and what becomes of mail while the account is frozen.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewState {
    state: AccountState,
    incoming: Option<Incoming>,
    refusal_text: Option<String>,
}
part!(NewState, "account.state", |self, shape| {
    shape.state = self.state;
    shape.incoming = self.incoming.unwrap_or(shape.incoming);
    shape.refusal_text = self.refusal_text.or(shape.refusal_text.take());
});

/// Domain admin or not.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct IsAdmin {
    admin: bool,
}
part!(IsAdmin, "account.admin", |self, shape| shape.admin = self.admin);

/// Paths, the main department first.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Departments {
    departments: Vec<String>,
}
part!(Departments, "account.departments", |self, shape| shape.departments = self.departments);

/// With whom it may correspond; what is not named stays.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Scopes {
    send_scope: Option<ScopeSpec>,
    receive_scope: Option<ScopeSpec>,
}
part!(Scopes, "account.scopes", |self, shape| {
    shape.send_scope = self.send_scope.unwrap_or_else(|| shape.send_scope.clone());
    shape.receive_scope = self.receive_scope.unwrap_or_else(|| shape.receive_scope.clone());
});

/// Limits in octets; what is not named stays.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Quota {
    quota: Option<Octets>,
    max_message: Option<Octets>,
}
part!(Quota, "account.quota", |self, shape| {
    shape.quota = self.quota.unwrap_or(shape.quota);
    shape.max_message = self.max_message.unwrap_or(shape.max_message);
});

/// What an account may send, 0 for no limit.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SendLimits {
    messages_per_minute: Option<u32>,
    recipients_per_day: Option<u32>,
}
part!(SendLimits, "account.send-limits", |self, shape| {
    shape.messages_per_minute = self.messages_per_minute;
    shape.recipients_per_day = self.recipients_per_day;
});

part!(ForwardSpec, SET_FORWARD, |self, shape| shape.forward = Some(self), clear forward);
part!(AdminForwardSpec, "account.admin-forward", |self, shape| shape.admin_forward = Some(self), clear admin_forward);

/// The owner's auto reply.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(transparent)]
struct Vacation(AutoReplySpec);
part!(Vacation, "account.vacation", |self, shape| shape.vacation = Some(self.0), clear vacation);

/// An admin's auto reply.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(transparent)]
struct AdminReply(AutoReplySpec);
part!(AdminReply, "account.admin-reply", |self, shape| shape.admin_reply = Some(self.0), clear admin_reply);

/// Senders whom the owner does not want to hear.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BlockedSenders {
    blocked: Vec<BlockedSpec>,
}
part!(BlockedSenders, "account.blocked", |self, shape| shape.blocked = self.blocked);

/// Senders whose mail the owner does not want to find in Junk.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AllowedSenders {
    allowed: Vec<String>,
}
part!(AllowedSenders, "account.allowed", |self, shape| shape.allowed = self.allowed);

/// Rights of others.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Grants {
    grants: Vec<GrantSpec>,
}
part!(Grants, "account.grants", |self, shape| shape.grants = self.grants);

fn set<P: Part>() -> MethodRouter<Arc<Admin>> {
    put(set_part::<P>)
}

fn clear<P: OptionalPart>() -> MethodRouter<Arc<Admin>> {
    delete(clear_part::<P>)
}

async fn set_part<P: Part>(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    AddressInPath(address): AddressInPath,
    Body(part): Body<P>,
) -> Answer<Json<AccountDetail>> {
    Ok(Json(admin.edit_account(actor, P::ACTION, address, move |shape| part.clone().set(shape)).await?))
}

async fn clear_part<P: OptionalPart>(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    AddressInPath(address): AddressInPath,
) -> Answer<StatusCode> {
    admin.edit_account(actor, P::ACTION, address, P::clear).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A person needs a password, or can never log in; a shared account has none.
fn checked(mut shape: AccountSpec) -> Result<NewAccount, OpError> {
    let address = address_in("address", &shape.address)?;
    let password = shape.password.take();
    if password.is_none() && shape.kind == AccountKind::Person {
        return Err(OpError::Invalid { field: "password", message: "an account needs a password".to_owned() });
    }
    Ok(NewAccount { address, password, shape })
}

async fn add_account(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Shaped(shape): Shaped<AccountSpec>,
) -> Answer<Created<AccountView>> {
    let added = admin.add_accounts(actor, vec![checked(shape)?]).await?;
    let account = added.into_iter().next().ok_or(OpError::Unavailable)?;
    Ok((StatusCode::CREATED, Json(account)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AddAccounts {
    accounts: Vec<AccountSpec>,
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
    let accounts = body.accounts.into_iter().map(checked).collect::<Result<_, _>>()?;
    let items = admin.add_accounts(actor, accounts).await?;
    Ok((StatusCode::CREATED, Json(Page { items, next: None })))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ListAccounts {
    domain: Option<String>,
    state: Option<AccountState>,
    department: Option<String>,
    #[serde(default)]
    after: u32,
    limit: Option<usize>,
}

async fn accounts(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    InQuery(query): InQuery<ListAccounts>,
) -> Answer<Json<Page<AccountView>>> {
    let domain = query.domain.map(|d| Domain::parse(&d)).transpose();
    let domain = domain.map_err(|e| OpError::not_an_address("domain", e))?;
    let filter = AccountFilter { domain, state: query.state, department: query.department };
    Ok(Json(admin.accounts(actor, &filter, listed(query.after, query.limit))?))
}

async fn account(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    AddressInPath(address): AddressInPath,
) -> Answer<Json<AccountDetail>> {
    Ok(Json(admin.account(actor, &address)?))
}

async fn put_account(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    AddressInPath(address): AddressInPath,
    Shaped(shape): Shaped<AccountSpec>,
) -> Answer<Json<AccountDetail>> {
    Ok(Json(admin.put_account(actor, address, shape).await?))
}

#[derive(Deserialize, ToSchema)]
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

async fn locks(State(admin): State<Arc<Admin>>, AddressInPath(address): AddressInPath) -> Answer<Json<Page<LockView>>> {
    Ok(Json(admin.locks(&address)?))
}

async fn unlock(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    AddressInPath(address): AddressInPath,
) -> Answer<StatusCode> {
    admin.unlock(actor, address).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn release_sending(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    AddressInPath(address): AddressInPath,
) -> Answer<StatusCode> {
    admin.release_sending(actor, address).await?;
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

/// Whom to ask once more.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AskTargets {
    /// Only this one; all that have not confirmed without it.
    target: Option<String>,
}

async fn ask_targets(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    AddressInPath(address): AddressInPath,
    Body(body): Body<AskTargets>,
) -> Answer<Json<Page<AskedView>>> {
    let target = body.target.map(|text| address_in("target", &text)).transpose()?;
    Ok(Json(Page { items: admin.ask_again(actor, &address, target.as_ref()).await?, next: None }))
}

/// Accounts in one change.
const BATCH: usize = 1000;
