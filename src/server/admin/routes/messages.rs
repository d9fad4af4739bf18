//! Paths about messages: where they went, what waits, and what would happen.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Extension, Json};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Answer, Route};
use crate::directory::Directory;
use crate::mail::{Address, BlobId, ForwardPath, HoldId, Host, QueueId, ReversePath, Timestamp};
use crate::proto::authres::SpfResult;
use crate::server::admin::error::{ApiError, OpError, RequestError};
use crate::server::admin::ops::{
    Admin, HoldFilter, Question, QueueAction, Ruling, Selection, TraceFilter, queue_from, queue_of,
};
use crate::server::admin::report::{DestinationView, ExplainView, HoldView, QueueDone, QueueItemView, TraceView};
use crate::server::admin::request::{Body, IdInPath, InQuery};
use crate::server::admin::spec::moment;
use crate::server::admin::view::Page;
use crate::server::admin::{Actor, Touches};
use crate::store::{HoldKind, QueueList};

pub(super) fn routes() -> Vec<Route> {
    const ACCEPT: &str = "/holds/{id}/accept";
    const REFUSE: &str = "/holds/{id}/refuse";
    vec![
        Route::new("GET", "/trace", "Find messages, newest first", Touches::Browse, get(traces))
            .query::<FindTraces>()
            .lists::<TraceView>(),
        Route::new("GET", "/trace/{id}", "Show where a message went", Touches::Browse, get(trace))
            .answers::<TraceView>(),
        Route::new("GET", "/queue", "List what has still to be delivered", Touches::Server, get(queue))
            .query::<ListQueue>()
            .lists::<QueueItemView>(),
        Route::new("GET", "/queue/destinations", "Count what waits", Touches::Server, get(destinations))
            .query::<ListDestinations>()
            .lists::<DestinationView>(),
        Route::new("POST", "/queue/hold", "Stop items of the queue", Touches::Server, post(queue_hold))
            .takes::<Select>()
            .answers::<QueueDone>(),
        Route::new("POST", "/queue/release", "Let held items go on", Touches::Server, post(queue_release))
            .takes::<Select>()
            .answers::<QueueDone>(),
        Route::new("POST", "/queue/retry", "Try items at once", Touches::Server, post(queue_retry))
            .takes::<Select>()
            .answers::<QueueDone>(),
        Route::new("POST", "/queue/remove", "Give items up", Touches::Server, post(queue_remove))
            .takes::<Remove>()
            .answers::<QueueDone>(),
        Route::new("GET", "/queue/{id}", "Show an item of the queue", Touches::Server, get(queue_item))
            .answers::<QueueItemView>(),
        Route::new("GET", "/holds", "List messages that wait for a decision", Touches::Browse, get(holds))
            .query::<ListHolds>()
            .lists::<HoldView>(),
        Route::new("GET", "/holds/{id}", "Show a held message", Touches::Hold, get(hold)).answers::<HoldView>(),
        Route::new("POST", ACCEPT, "Let a held message through", Touches::Hold, post(accept))
            .takes::<Decide>()
            .answers::<HoldView>(),
        Route::new("POST", REFUSE, "Refuse a held message", Touches::Hold, post(refuse))
            .takes::<Decide>()
            .answers::<HoldView>(),
        Route::new("POST", "/explain", "Say what would happen to a message, and why", Touches::OURS, post(explain))
            .takes::<Explain>()
            .answers::<ExplainView>(),
    ]
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FindTraces {
    /// What the reply to the message named.
    id: Option<String>,
    /// The reverse-path.
    sender: Option<String>,
    /// As addressed, or an address of the account where the message ended.
    recipient: Option<String>,
    /// With or without its angle brackets.
    message_id: Option<String>,
    /// RFC 3339, or a date: accepted then or later.
    from: Option<String>,
    /// Before this.
    to: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

async fn traces(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    InQuery(query): InQuery<FindTraces>,
) -> Answer<Json<Page<TraceView, String>>> {
    if let Some(id) = query.id {
        let items = match admin.trace(actor, id_in("id", &id)?).await {
            Ok(trace) => vec![trace],
            Err(OpError::Refused(_)) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        return Ok(Json(Page { items, next: None }));
    }
    let filter = TraceFilter {
        sender: query.sender.map(|text| address_in("sender", &text)).transpose()?,
        recipient: query.recipient.map(|text| address_in("recipient", &text)).transpose()?,
        message_id: query.message_id,
        from: query.from.map(|text| moment_in("from", &text)).transpose()?,
        to: query.to.map(|text| moment_in("to", &text)).transpose()?,
    };
    let after = query.after.map(|text| id_in("after", &text)).transpose()?;
    Ok(Json(admin.traces(actor, filter, after, page_size(query.limit)).await?))
}

async fn trace(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    IdInPath(id): IdInPath<BlobId>,
) -> Answer<Json<TraceView>> {
    Ok(Json(admin.trace(actor, id).await?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ListQueue {
    /// Only what is for this host.
    host: Option<String>,
    /// Only what is from this sender: an account here, or a reverse-path.
    sender: Option<String>,
    /// Only what waits for room in accounts here.
    #[serde(default)]
    local: bool,
    /// Only what is of this message.
    message: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ListDestinations {
    after: Option<String>,
    limit: Option<usize>,
}

/// Which items: exactly one of these.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Select {
    /// This one.
    id: Option<String>,
    /// What is for this host.
    host: Option<String>,
    /// What is from this sender: an account here, or a reverse-path.
    sender: Option<String>,
    /// What is of this message.
    message: Option<String>,
    /// Everything.
    #[serde(default)]
    all: bool,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Remove {
    /// This one.
    id: Option<String>,
    /// What is for this host.
    host: Option<String>,
    /// What is from this sender: an account here, or a reverse-path.
    sender: Option<String>,
    /// What is of this message.
    message: Option<String>,
    /// Everything.
    #[serde(default)]
    all: bool,
    /// Tell the senders, as of any other failure.
    #[serde(default)]
    report: bool,
}

impl Select {
    fn selection(&self, directory: &Directory) -> Answer<Selection> {
        let given = [&self.id, &self.host, &self.sender, &self.message].iter().filter(|given| given.is_some()).count();
        if given + usize::from(self.all) != 1 {
            let message = "exactly one of id, host, sender, message and all = true is needed".to_owned();
            return Err(OpError::Invalid { field: "id", message }.into());
        }
        let list = queue_list(directory, self.host.as_deref(), self.sender.as_deref(), false)?;
        Ok(match (&self.id, &self.message) {
            (Some(id), _) => Selection::Item(id_in("id", id)?),
            (None, Some(message)) => Selection::Message(id_in("message", message)?, list),
            (None, None) => Selection::List(list),
        })
    }
}

fn queue_list(directory: &Directory, host: Option<&str>, sender: Option<&str>, local: bool) -> Answer<QueueList> {
    Ok(match (host, sender, local) {
        (Some(host), None, false) => queue_of(&Host::parse(host).map_err(|e| OpError::not_an_address("host", e))?),
        (None, Some(sender), false) => queue_from(directory, &address_in("sender", sender)?),
        (None, None, true) => QueueList::Local,
        (None, None, false) => QueueList::All,
        _ => {
            let message = "host, sender and local exclude each other".to_owned();
            return Err(OpError::Invalid { field: "host", message }.into());
        }
    })
}

async fn destinations(
    State(admin): State<Arc<Admin>>,
    InQuery(query): InQuery<ListDestinations>,
) -> Answer<Json<Page<DestinationView, String>>> {
    Ok(Json(admin.queue_destinations(query.after, page_size(query.limit)).await?))
}

async fn act(admin: &Arc<Admin>, actor: Actor, select: &Select, action: QueueAction) -> Answer<Json<QueueDone>> {
    let selection = select.selection(&admin.current())?;
    Ok(Json(QueueDone { items: admin.queue_act(actor, selection, action).await? }))
}

async fn queue_hold(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Body(body): Body<Select>,
) -> Answer<Json<QueueDone>> {
    act(&admin, actor, &body, QueueAction::Hold).await
}

async fn queue_release(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Body(body): Body<Select>,
) -> Answer<Json<QueueDone>> {
    act(&admin, actor, &body, QueueAction::Release).await
}

async fn queue_retry(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Body(body): Body<Select>,
) -> Answer<Json<QueueDone>> {
    act(&admin, actor, &body, QueueAction::Retry).await
}

async fn queue_remove(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Body(body): Body<Remove>,
) -> Answer<Json<QueueDone>> {
    let Remove { id, host, sender, message, all, report } = body;
    act(&admin, actor, &Select { id, host, sender, message, all }, QueueAction::Remove { report }).await
}

async fn queue(
    State(admin): State<Arc<Admin>>,
    InQuery(query): InQuery<ListQueue>,
) -> Answer<Json<Page<QueueItemView, String>>> {
    let list = queue_list(&admin.current(), query.host.as_deref(), query.sender.as_deref(), query.local)?;
    let message = query.message.map(|text| id_in("message", &text)).transpose()?;
    let after = query.after.map(|text| place_in("after", &text)).transpose()?;
    Ok(Json(admin.queue(list, message, after, page_size(query.limit)).await?))
}

async fn queue_item(State(admin): State<Arc<Admin>>, IdInPath(id): IdInPath<QueueId>) -> Answer<Json<QueueItemView>> {
    Ok(Json(admin.queue_item(id).await?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ListHolds {
    organisation: Option<String>,
    kind: Option<KindWord>,
    /// Also what is decided already.
    #[serde(default)]
    all: bool,
    after: Option<String>,
    limit: Option<usize>,
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum KindWord {
    Moderation,
    Approval,
    Quarantine,
}

async fn holds(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    InQuery(query): InQuery<ListHolds>,
) -> Answer<Json<Page<HoldView, String>>> {
    let kind = query.kind.map(|kind| match kind {
        KindWord::Moderation => HoldKind::Moderation,
        KindWord::Approval => HoldKind::Approval,
        KindWord::Quarantine => HoldKind::Quarantine,
    });
    let filter = HoldFilter { organisation: query.organisation, kind, with_decided: query.all };
    let after = query.after.map(|text| id_in("after", &text)).transpose()?;
    Ok(Json(admin.holds(actor, filter, after, page_size(query.limit)).await?))
}

async fn hold(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    IdInPath(id): IdInPath<HoldId>,
) -> Answer<Json<HoldView>> {
    Ok(Json(admin.hold(actor, id).await?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Decide {
    /// For the sender, if the message is refused.
    #[serde(default)]
    text: String,
}

async fn accept(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    IdInPath(id): IdInPath<HoldId>,
    Body(body): Body<Decide>,
) -> Answer<Json<HoldView>> {
    Ok(Json(admin.decide(actor, id, Ruling { accepted: true, text: body.text }).await?))
}

async fn refuse(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    IdInPath(id): IdInPath<HoldId>,
    Body(body): Body<Decide>,
) -> Answer<Json<HoldView>> {
    Ok(Json(admin.decide(actor, id, Ruling { accepted: false, text: body.text }).await?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Explain {
    /// MAIL FROM; empty for the null reverse-path.
    from: String,
    /// RCPT TO.
    to: String,
    /// The login name of the session; without it, it is one on port 25.
    auth: Option<String>,
    /// The address of that session's client.
    #[schema(value_type = Option<String>)]
    client: Option<IpAddr>,
    /// What SPF says: `none`, `neutral`, `pass`, `fail`, `softfail`, `temperror` or `permerror`.
    #[serde(default)]
    #[schema(value_type = String)]
    spf: SpfResult,
}

async fn explain(
    State(admin): State<Arc<Admin>>,
    Extension(actor): Extension<Actor>,
    Body(body): Body<Explain>,
) -> Answer<Json<ExplainView>> {
    let reverse_path = match body.from.as_str() {
        "" | "<>" => ReversePath::Null,
        text => ReversePath::Address(address_in("from", text)?),
    };
    let to = match body.to.as_str() {
        text if text.eq_ignore_ascii_case("postmaster") => ForwardPath::Postmaster,
        text => ForwardPath::Address(address_in("to", text)?),
    };
    let question = Question { reverse_path, to, auth: body.auth, client: body.client, spf: body.spf };
    Ok(Json(admin.explain(actor, question).await?))
}

fn address_in(field: &'static str, text: &str) -> Result<Address, OpError> {
    let bare = text.strip_prefix('<').and_then(|t| t.strip_suffix('>')).unwrap_or(text);
    Address::parse(bare).map_err(|e| OpError::not_an_address(field, e))
}

fn moment_in(field: &'static str, text: &str) -> Result<Timestamp, OpError> {
    let message = || "not a date or time as in RFC 3339: 2026-01-31, 2026-01-31T08:00:00Z".to_owned();
    moment(text).ok_or_else(|| OpError::Invalid { field, message: message() })
}

fn id_in<T: FromStr>(name: &str, text: &str) -> Result<T, ApiError> {
    text.parse().map_err(|_| RequestError::Query(format!("{name} is not an id of this server")).into())
}

/// Where a page has ended, as it was given.
fn place_in(name: &str, text: &str) -> Result<Vec<u8>, ApiError> {
    let wrong = |_| RequestError::Query(format!("{name} is not what `next` of a page was"));
    Ok(URL_SAFE_NO_PAD.decode(text).map_err(wrong)?)
}

fn page_size(limit: Option<usize>) -> usize {
    limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE)
}

/// Messages in one answer, unless the request says otherwise.
const PAGE: usize = 50;

/// What is told of a message can be long.
const LARGEST_PAGE: usize = 200;

#[cfg(test)]
mod tests;
