//! Hooks: what takes part in decisions.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::error::OpError;
use super::super::ops::{Admin, HookTest};
use super::super::report::{HookTestView, HookView};
use super::super::request::{LargeBody, NameInPath};
use super::{Answer, Route, address_in};
use crate::server::admin::Touches;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/hooks", "Hooks in the order in which they are asked", Touches::Server, get(list))
            .answers::<Vec<HookView>>(),
        Route::new(
            "POST",
            "/hooks/{name}/test",
            "Ask a hook about a message that is then thrown away",
            Touches::Server,
            post(test),
        )
        .takes::<Question>()
        .answers::<HookTestView>(),
    ]
}

/// What a session would tell the hook.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Question {
    /// The message as it would come, in base64.
    message: String,
    /// MAIL FROM; empty for the null reverse-path.
    #[serde(default)]
    sender: String,
    /// RCPT TO.
    #[serde(default)]
    recipients: Vec<String>,
    /// The client's IP address.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    client: Option<IpAddr>,
    /// The name that the client gives itself.
    #[serde(default)]
    helo: Option<String>,
    /// Who has logged in.
    #[serde(default)]
    login: Option<String>,
}

async fn list(State(admin): State<Arc<Admin>>) -> Json<Vec<HookView>> {
    Json(admin.hooks())
}

async fn test(
    State(admin): State<Arc<Admin>>,
    NameInPath(name): NameInPath,
    LargeBody(question): LargeBody<Question>,
) -> Answer<Json<HookTestView>> {
    let message = STANDARD
        .decode(&question.message)
        .map_err(|_| OpError::Invalid { field: "message", message: "is not base64".to_owned() })?;
    let recipients = question.recipients.iter().map(|text| address_in("recipients", text)).collect::<Result<_, _>>()?;
    let test = HookTest {
        message,
        sender: Some(&question.sender).filter(|s| !s.is_empty()).map(|s| address_in("sender", s)).transpose()?,
        recipients,
        client: question.client,
        helo: question.helo,
        login: question.login.as_deref().map(|text| address_in("login", text)).transpose()?,
    };
    Ok(Json(admin.test_hook(&name, test).await?))
}
