//! Groups, as a whole and part by part.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{delete, get, post, put};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::Actor;
use super::super::error::OpError;
use super::super::ops::{Admin, GroupList};
use super::super::request::{AddressInPath, Body, EntryInPath, InQuery, Shaped};
use super::super::spec::{GrantSpec, GroupSpec, MemberSpec, ModerationSpec, Octets};
use super::super::view::{GroupView, Listed, Page};
use super::{Answer, Created, Route, listed};
use crate::directory::{Listing, Mode};
use crate::mail::Domain;
use crate::policy::administration::Operation;
use crate::server::admin::Touches;

pub(super) fn routes() -> Vec<Route> {
    const ONE: &str = "/groups/{address}";
    const MEMBERS: &str = "/groups/{address}/members";
    const MEMBER: &str = "/groups/{address}/members/{entry}";
    const WHITELIST: &str = "/groups/{address}/whitelist";
    const LISTED: &str = "/groups/{address}/whitelist/{entry}";
    vec![
        Route::new("GET", "/groups", "List the groups", Touches::Browse, get(groups))
            .query::<ListGroups>()
            .lists::<GroupView>(),
        Route::new("POST", "/groups", "Add a group", Touches::OURS, post(add_group))
            .takes::<GroupSpec>()
            .shows::<GroupSpec>()
            .created(),
        Route::new("GET", ONE, "Show a group", Touches::GROUP, get(group)).shows::<GroupSpec>(),
        Route::new("PUT", ONE, "Replace a group, its address included", Touches::GROUP, put(put_group))
            .takes::<GroupSpec>()
            .shows::<GroupSpec>(),
        Route::new("DELETE", ONE, "Remove a group", Touches::Group(Operation::Organisation), delete(remove_group)),
        Route::new("GET", MEMBERS, "Show a group's members", Touches::Group(Operation::ListMembers), get(members))
            .answers::<Members>(),
        Route::new("POST", MEMBERS, "Add members to a group", Touches::GROUP, post(add_members))
            .takes::<Members>()
            .answers::<Members>(),
        Route::new("PUT", MEMBERS, "Replace a group's members", Touches::GROUP, put(put_members))
            .takes::<Members>()
            .answers::<Members>(),
        Route::new("DELETE", MEMBER, "Take a member out of a group", Touches::GROUP, delete(remove_member)),
        Route::new("POST", WHITELIST, "Add entries to a group's whitelist", Touches::GROUP, post(add_listed))
            .takes::<Whitelist>()
            .shows::<GroupSpec>(),
        Route::new("DELETE", LISTED, "Take an entry off a group's whitelist", Touches::GROUP, delete(remove_listed)),
        Route::new(
            "PUT",
            "/groups/{address}/permission",
            "Set who may send to a group",
            Touches::GROUP,
            put(permission),
        )
        .takes::<Permission>()
        .shows::<GroupSpec>(),
        Route::new(
            "PUT",
            "/groups/{address}/moderation",
            "Set what is held for approval",
            Touches::GROUP,
            put(moderation),
        )
        .takes::<ModerationSpec>()
        .shows::<GroupSpec>(),
        Route::new("PUT", "/groups/{address}/settings", "Set what is named of a group", Touches::GROUP, put(settings))
            .takes::<Settings>()
            .shows::<GroupSpec>(),
    ]
}

type Shown = Listed<GroupSpec>;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ListGroups {
    domain: Option<String>,
    #[serde(default)]
    after: u32,
    limit: Option<usize>,
}

async fn groups(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    InQuery(query): InQuery<ListGroups>,
) -> Answer<Json<Page<GroupView>>> {
    let domain = query.domain.map(|d| Domain::parse(&d)).transpose();
    let domain = domain.map_err(|e| OpError::not_an_address("domain", e))?;
    Ok(Json(admin.groups(actor, domain.as_ref(), listed(query.after, query.limit))))
}

async fn group(State(admin): State<Arc<Admin>>, AddressInPath(address): AddressInPath) -> Answer<Json<Shown>> {
    Ok(Json(admin.group(&address)?))
}

async fn add_group(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Shaped(spec): Shaped<GroupSpec>,
) -> Answer<Created<Shown>> {
    Ok((StatusCode::CREATED, Json(admin.add_group(actor, spec).await?)))
}

async fn put_group(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    AddressInPath(address): AddressInPath,
    Shaped(spec): Shaped<GroupSpec>,
) -> Answer<Json<Shown>> {
    Ok(Json(admin.put_group(actor, address, spec).await?))
}

async fn remove_group(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    AddressInPath(address): AddressInPath,
) -> Answer<StatusCode> {
    admin.remove_group(actor, address).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Members of a group.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Members {
    members: Vec<MemberSpec>,
}

async fn members(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    AddressInPath(address): AddressInPath,
) -> Answer<Json<Members>> {
    Ok(Json(Members { members: admin.members(actor, &address)? }))
}

async fn add_members(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    AddressInPath(address): AddressInPath,
    Body(body): Body<Members>,
) -> Answer<Json<Members>> {
    let group = admin.add_members(actor, address, body.members).await?;
    Ok(Json(Members { members: group.shape.members }))
}

async fn put_members(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    AddressInPath(address): AddressInPath,
    Body(body): Body<Members>,
) -> Answer<Json<Members>> {
    let put = move |shape: &mut GroupSpec| shape.members.clone_from(&body.members);
    let group = admin.edit_group(actor, "group.members", address, put).await?;
    Ok(Json(Members { members: group.shape.members }))
}

async fn remove_member(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    EntryInPath(address, entry): EntryInPath,
) -> Answer<StatusCode> {
    admin.remove_entry(actor, address, GroupList::Members, entry).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Entries of a whitelist.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Whitelist {
    whitelist: Vec<String>,
}

async fn add_listed(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    AddressInPath(address): AddressInPath,
    Body(body): Body<Whitelist>,
) -> Answer<Json<Shown>> {
    Ok(Json(admin.add_to_whitelist(actor, address, body.whitelist).await?))
}

async fn remove_listed(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    EntryInPath(address, entry): EntryInPath,
) -> Answer<StatusCode> {
    admin.remove_entry(actor, address, GroupList::Whitelist, entry).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who may send; what is not named stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Permission {
    permission: Option<Mode>,
    whitelist: Option<Vec<String>>,
    require_auth: Option<bool>,
}

async fn permission(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    AddressInPath(address): AddressInPath,
    Body(body): Body<Permission>,
) -> Answer<Json<Shown>> {
    let set = move |shape: &mut GroupSpec| {
        shape.permission = body.permission.unwrap_or(shape.permission);
        shape.require_auth = body.require_auth.unwrap_or(shape.require_auth);
        shape.whitelist = body.whitelist.clone().unwrap_or_else(|| std::mem::take(&mut shape.whitelist));
    };
    Ok(Json(admin.edit_group(actor, "group.permission", address, set).await?))
}

async fn moderation(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    AddressInPath(address): AddressInPath,
    Body(body): Body<ModerationSpec>,
) -> Answer<Json<Shown>> {
    let set = move |shape: &mut GroupSpec| shape.moderation = body.clone();
    Ok(Json(admin.edit_group(actor, "group.moderation", address, set).await?))
}

/// Everything else; what is not named stays.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    aliases: Option<Vec<String>>,
    description: Option<String>,
    department: Option<String>,
    hidden: Option<bool>,
    external_members: Option<bool>,
    deliver_to_sender: Option<bool>,
    list_id: Option<bool>,
    max_size: Option<Octets>,
    exclusions: Option<Vec<String>>,
    managers: Option<Vec<String>>,
    listing: Option<Listing>,
    grants: Option<Vec<GrantSpec>>,
}

impl Settings {
    fn set(self, shape: &mut GroupSpec) {
        fn put<T>(field: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *field = value;
            }
        }
        put(&mut shape.aliases, self.aliases);
        put(&mut shape.description, self.description);
        put(&mut shape.department, self.department.map(Some));
        put(&mut shape.hidden, self.hidden);
        put(&mut shape.external_members, self.external_members);
        put(&mut shape.deliver_to_sender, self.deliver_to_sender);
        put(&mut shape.list_id, self.list_id);
        put(&mut shape.max_size, self.max_size);
        put(&mut shape.exclusions, self.exclusions);
        put(&mut shape.managers, self.managers);
        put(&mut shape.listing, self.listing.map(Some));
        put(&mut shape.grants, self.grants);
    }
}

async fn settings(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    AddressInPath(address): AddressInPath,
    Body(body): Body<Settings>,
) -> Answer<Json<Shown>> {
    let set = move |shape: &mut GroupSpec| body.clone().set(shape);
    Ok(Json(admin.edit_group(actor, "group.settings", address, set).await?))
}
