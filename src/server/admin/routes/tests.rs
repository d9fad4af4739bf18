//! Requests and answers, as `docs/admin-api.md` has them.

use axum::body::Body as HttpBody;
use axum::http::{Method, Request as HttpRequest, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use std::time::Duration;

use super::*;
use crate::directory::Directory;
use crate::emailauth::EmailAuth;
use crate::login::Authenticator;
use crate::mail::{Clock, Timestamp};
use crate::net::dns::Dns;
use crate::server::admin::spec::{AccountSpec, DomainSpec, GroupSpec};
use crate::server::{LiveDirectory, Services, SessionLimits};
use crate::store::Store;
use crate::store::engine::memory::Memory;

#[derive(Debug)]
struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_700_000_000)
    }
}

async fn api() -> Router {
    served().await.0
}

/// The API over an empty memory, and what it works with.
pub(super) async fn served() -> (Router, Arc<Services>) {
    let clock: Arc<dyn Clock> = Arc::new(Fixed);
    let store = Store::open(Arc::new(Memory::default()), clock.clone(), [1, 2, 3]).await.unwrap();
    let services = Arc::new(Services {
        hostname: crate::mail::Domain::parse("mail.corp.test").unwrap(),
        store,
        directory: LiveDirectory::new(Directory::default()),
        authenticator: Authenticator::new().unwrap(),
        // Nobody listens there: no test asks the network.
        email_auth: EmailAuth::new(Dns::new(&[([127, 0, 0, 1], 9).into()], Duration::from_millis(100)).unwrap()),
        srs: crate::mail::srs::SrsKey::new([7; 32]),
        clock,
        tls: None,
        limits: SessionLimits::default(),
        rates: crate::server::Rates::new(crate::server::RateLimits::default()),
        blocklists: Arc::default(),
        turns: crate::accept::Turns::default(),
        // Making keys takes its time.
        publish: crate::server::Publish { automatic_keys: false, ..Default::default() },
        hooks: Arc::default(),
        metrics: crate::metrics::Metrics::default(),
        webhooks: Vec::new(),
    });
    (router(Admin::new(services.clone())), services)
}

fn request(method: &str, path: &str, body: &str) -> HttpRequest<HttpBody> {
    let mut request = HttpRequest::new(HttpBody::from(body.to_owned()));
    *request.method_mut() = method.parse::<Method>().unwrap();
    *request.uri_mut() = path.parse().unwrap();
    request.headers_mut().insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    request.extensions_mut().insert(Actor::Unix { uid: 0 });
    request
}

async fn answer(api: &Router, request: HttpRequest<HttpBody>) -> (u16, Value) {
    let response = api.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let octets = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&octets).unwrap_or(Value::Null))
}

pub(super) async fn ask(api: &Router, method: &str, path: &str, body: &str) -> (u16, Value) {
    answer(api, request(method, path, body)).await
}

#[tokio::test]
async fn objects_come_and_go() {
    let api = api().await;
    for (step, method, path, body, status, want) in [
        ("domain", "POST", "/domains", r#"{"name":"Corp.test"}"#, 201, json!({"name": "corp.test"})),
        ("account", "POST", "/accounts", r#"{"address":"alice@corp.test","password":"x y"}"#, 201, json!({"id": 1})),
        (
            "alias",
            "POST",
            "/aliases",
            r#"{"address":"a@corp.test","account":"alice@corp.test"}"#,
            201,
            json!({"account": "alice@corp.test"}),
        ),
        ("shown", "GET", "/accounts/Alice@corp.test", "", 200, json!({"state": "active", "aliases": ["a@corp.test"]})),
        ("domain shown", "GET", "/domains/CORP.test", "", 200, json!({"accounts": 1, "aliases": 1})),
        ("status", "GET", "/status", "", 200, json!({"accounts": 1, "hostname": "mail.corp.test"})),
        ("check", "GET", "/check", "", 200, json!({"accounts": 1, "findings": []})),
        ("password", "PUT", "/accounts/alice@corp.test/password", r#"{"password":"z"}"#, 204, json!({})),
        ("in use", "DELETE", "/domains/corp.test", "", 409, json!({})),
        ("alias goes", "DELETE", "/aliases/a@corp.test", "", 204, json!({})),
        ("account goes", "DELETE", "/accounts/alice@corp.test", "", 204, json!({})),
        ("domain goes", "DELETE", "/domains/corp.test", "", 204, json!({})),
        ("list", "GET", "/accounts", "", 200, json!({"items": [], "next": null})),
    ] {
        let (got, value) = ask(&api, method, &format!("/api/v1{path}"), body).await;
        assert_eq!(got, status, "{step}: {value}");
        for (key, wanted) in want.as_object().unwrap() {
            assert_eq!(value.get(key), Some(wanted), "{step}: {key} in {value}");
        }
    }
}

#[tokio::test]
async fn refusals_have_status_key_and_field() {
    let api = api().await;
    ask(&api, "POST", "/api/v1/domains", r#"{"name":"corp.test"}"#).await;
    ask(&api, "POST", "/api/v1/accounts", r#"{"address":"alice@corp.test","password":"x"}"#).await;
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(3 << 20));
    for (case, method, path, body, status, key, field) in [
        ("domain twice", "POST", "/domains", r#"{"name":"CORP.test"}"#, 409, "name_in_use", Some("name")),
        ("no domain", "POST", "/domains", r#"{"name":"a..b"}"#, 422, "invalid", Some("name")),
        (
            "in use",
            "POST",
            "/accounts",
            r#"{"address":"ALICE@corp.test","password":"x"}"#,
            409,
            "address_in_use",
            Some("address"),
        ),
        (
            "foreign",
            "POST",
            "/accounts",
            r#"{"address":"a@b.test","password":"x"}"#,
            422,
            "foreign_domain",
            Some("address"),
        ),
        ("no address", "POST", "/accounts", r#"{"address":"alice","password":"x"}"#, 422, "invalid", Some("address")),
        (
            "no password",
            "POST",
            "/accounts",
            r#"{"address":"b@corp.test","password":""}"#,
            422,
            "invalid",
            Some("password"),
        ),
        ("missing field", "POST", "/accounts", r#"{"address":"b@corp.test"}"#, 422, "invalid", Some("password")),
        ("unknown field", "POST", "/domains", r#"{"name":"x.test","colour":1}"#, 422, "invalid", Some("colour")),
        ("not JSON", "POST", "/domains", "name=x.test", 422, "invalid", None),
        ("too long", "POST", "/domains", &long, 413, "too_large", None),
        ("no account", "GET", "/accounts/bob@corp.test", "", 404, "not_found", None),
        ("not UTF-8", "GET", "/accounts/%FF@corp.test", "", 400, "bad_request", None),
        ("unknown parameter", "GET", "/accounts?colour=1", "", 400, "bad_request", None),
        (
            "alias of nobody",
            "POST",
            "/aliases",
            r#"{"address":"b@corp.test","account":"c@corp.test"}"#,
            404,
            "not_found",
            None,
        ),
        ("no path", "GET", "/nothing", "", 404, "no_such_path", None),
        ("no method", "PATCH", "/domains", "", 405, "method_not_allowed", None),
    ] {
        let (got, value) = ask(&api, method, &format!("/api/v1{path}"), body).await;
        assert_eq!(got, status, "{case}: {value}");
        assert_eq!(value["error"]["key"], key, "{case}");
        assert_eq!(value["error"]["field"].as_str(), field, "{case}");
        assert!(value["error"]["message"].as_str().is_some_and(|m| !m.is_empty()), "{case}");
    }
}

#[tokio::test]
async fn nobody_is_let_in_without_an_actor() {
    let api = api().await;
    for path in ["/api/v1/status", "/api/v1/domains", "/api/v1/accounts/alice@corp.test"] {
        let mut request = request("GET", path, "");
        request.extensions_mut().clear();
        let (status, value) = answer(&api, request).await;
        assert_eq!((status, value["error"]["key"].as_str()), (401, Some("unauthorized")), "{path}");
    }
    let mut healthz = request("GET", "/healthz", "");
    healthz.extensions_mut().clear();
    assert_eq!(answer(&api, healthz).await.0, 200);
    let mut form = request("POST", "/api/v1/domains", r#"{"name":"x.test"}"#);
    form.headers_mut().insert(header::CONTENT_TYPE, "text/plain".parse().unwrap());
    assert_eq!(answer(&api, form).await.0, 415, "what a web page can send without asking");
}

#[tokio::test]
async fn answers_do_not_repeat_passwords() {
    let api = api().await;
    ask(&api, "POST", "/api/v1/domains", r#"{"name":"corp.test"}"#).await;
    for body in [
        r#"{"address":"a@corp.test","password":918273}"#,
        r#"{"address":"a@corp.test","password":["918273"]}"#,
        r#"{"address":"a@corp.test","password":"918273","again":"918273"}"#,
        r#"{"address":"a@corp.test","password":"918273""#,
        r#"{"address":"a@corp.test","password":"918273\u0000"}"#,
        r#"{"address":"a@corp.test","password":"918273"}"#,
    ] {
        let (_, value) = ask(&api, "POST", "/api/v1/accounts", body).await;
        assert!(!value.to_string().contains("918273"), "{body}: {value}");
    }
}

const ACME: &str = include_str!("../../../../tests/fixtures/acme.toml");

fn file(path: &str, text: &str) -> HttpRequest<HttpBody> {
    let mut request = request("POST", path, text);
    request.headers_mut().insert(header::CONTENT_TYPE, "application/toml".parse().unwrap());
    request
}

/// The fixture of policy semantics §2, without passwords.
async fn acme() -> Router {
    let api = api().await;
    let text: String = ACME.split_inclusive('\n').filter(|line| !line.starts_with("password")).collect();
    let (status, value) = answer(&api, file("/api/v1/apply", &text)).await;
    assert_eq!((status, &value["applied"]), (200, &json!(true)), "{value}");
    api
}

/// Each key of `want` is in `value`, and as it says.
fn has(value: &Value, want: &Value, step: &str) {
    for (key, wanted) in want.as_object().into_iter().flatten() {
        assert_eq!(value.get(key), Some(wanted), "{step}: {key} in {value}");
    }
}

#[tokio::test]
async fn every_object_can_be_set() {
    let api = acme().await;
    for (step, method, path, body, status, want) in [
        ("organisation", "GET", "/organisations/acme", json!(null), 200, json!({ "id": 1, "name": "acme" })),
        (
            "policy",
            "PUT",
            "/organisations/acme",
            json!({ "name": "acme", "external_forward": "allow" }),
            200,
            json!({ "external_forward": "allow" }),
        ),
        ("second", "POST", "/organisations", json!({ "name": "two" }), 201, json!({ "name": "two" })),
        ("second goes", "DELETE", "/organisations/two", json!(null), 204, json!({})),
        (
            "department",
            "POST",
            "/departments",
            json!({ "path": "/Eng/Web", "manager": "bob@corp.test" }),
            201,
            json!({ "path": "/Eng/Web" }),
        ),
        ("moved", "PUT", "/departments/%2FEng%2FWeb", json!({ "path": "/HR/Web" }), 200, json!({ "path": "/HR/Web" })),
        ("into itself", "PUT", "/departments/Sales", json!({ "path": "/Sales/East/Sales" }), 409, json!({})),
        ("not empty", "DELETE", "/departments/Eng", json!(null), 409, json!({})),
        ("emptied", "DELETE", "/departments/Eng?target=%2FHR", json!(null), 204, json!({})),
        ("who was in it", "GET", "/accounts/bob@corp.test", json!(null), 200, json!({ "departments": ["/HR"] })),
        (
            "second name",
            "POST",
            "/domains",
            json!({ "name": "corp2.test", "alias_of": "corp.test" }),
            201,
            json!({ "alias_of": "corp.test", "organisation": "acme" }),
        ),
        (
            "catch-all",
            "PUT",
            "/domains/corp.test/catch-all",
            json!({ "account": "dave@corp.test" }),
            200,
            json!({ "catch_all": "dave@corp.test" }),
        ),
        ("no catch-all", "DELETE", "/domains/corp.test/catch-all", json!(null), 204, json!({})),
        (
            "alias off",
            "PUT",
            "/aliases/a.liu@corp.test/enabled",
            json!({ "enabled": false }),
            200,
            json!({ "enabled": false }),
        ),
        (
            "alias moved",
            "PUT",
            "/aliases/a.liu@corp.test",
            json!({ "address": "a.liu@corp.test", "account": "bob@corp.test" }),
            200,
            json!({ "account": "bob@corp.test", "enabled": true }),
        ),
        (
            "frozen",
            "PUT",
            "/accounts/carol@corp.test/state",
            json!({ "state": "frozen", "incoming": "store" }),
            200,
            json!({ "state": "frozen", "incoming": "store" }),
        ),
        (
            "scopes",
            "PUT",
            "/accounts/carol@corp.test/scopes",
            json!({ "send_scope": ["*@partner.test"] }),
            200,
            json!({ "send_scope": ["*@partner.test"], "state": "frozen" }),
        ),
        (
            "quota",
            "PUT",
            "/accounts/carol@corp.test/quota",
            json!({ "quota": "1 MiB" }),
            200,
            json!({ "quota": 1_048_576 }),
        ),
        (
            "forward",
            "PUT",
            "/accounts/carol@corp.test/forward",
            json!({ "targets": ["dave@corp.test", { "to": "pam@partner.test", "confirmed": true }] }),
            200,
            json!({ "forward": { "targets": ["dave@corp.test", "pam@partner.test"] } }),
        ),
        ("no forward", "DELETE", "/accounts/carol@corp.test/forward", json!(null), 204, json!({})),
        (
            "admin forward",
            "PUT",
            "/accounts/carol@corp.test/admin-forward",
            json!({ "targets": ["erin@corp.test"], "keep": false, "concealed": true }),
            200,
            json!({ "admin_forward": { "targets": ["erin@corp.test"], "keep": false, "concealed": true } }),
        ),
        (
            "vacation",
            "PUT",
            "/accounts/carol@corp.test/vacation",
            json!({ "text": "away", "until": "2030-01-01" }),
            200,
            json!({ "vacation": { "text": "away", "subject_prefix": "Auto: ", "interval_hours": 24, "until": "2030-01-01T00:00:00Z" } }),
        ),
        ("admin reply", "PUT", "/accounts/carol@corp.test/admin-reply", json!({ "text": "gone" }), 200, json!({})),
        ("no admin reply", "DELETE", "/accounts/carol@corp.test/admin-reply", json!(null), 204, json!({})),
        (
            "blocked",
            "PUT",
            "/accounts/carol@corp.test/blocked",
            json!({ "blocked": [{ "sender": "*@*.top" }] }),
            200,
            json!({ "blocked": [{ "sender": "*@*.top", "action": "junk" }] }),
        ),
        (
            "grants",
            "PUT",
            "/accounts/support@corp.test/grants",
            json!({ "grants": [{ "to": "carol@corp.test", "right": "read" }] }),
            200,
            json!({ "grants": [{ "to": "carol@corp.test", "right": "read" }] }),
        ),
        ("admin", "PUT", "/accounts/dave@corp.test/admin", json!({ "admin": true }), 200, json!({ "admin": true })),
        (
            "renamed",
            "PUT",
            "/accounts/carol@corp.test/address",
            json!({ "address": "caro@corp.test" }),
            200,
            json!({ "address": "caro@corp.test" }),
        ),
        (
            "still a member",
            "GET",
            "/groups/g-mem@corp.test",
            json!(null),
            200,
            json!({ "members": ["alice@corp.test", "caro@corp.test"] }),
        ),
        (
            "shared",
            "POST",
            "/accounts",
            json!({ "address": "box@corp.test", "kind": "shared" }),
            201,
            json!({ "state": "active" }),
        ),
        (
            "binned",
            "PUT",
            "/accounts/box@corp.test/state",
            json!({ "state": "binned" }),
            200,
            json!({ "state": "binned" }),
        ),
        (
            "group",
            "POST",
            "/groups",
            json!({ "address": "g@corp.test", "members": ["alice@corp.test"] }),
            201,
            json!({ "permission": "same-domain" }),
        ),
        (
            "permission",
            "PUT",
            "/groups/g@corp.test/permission",
            json!({ "permission": "whitelist", "whitelist": ["*@partner.test"] }),
            200,
            json!({ "permission": "whitelist", "whitelist": ["*@partner.test"] }),
        ),
        (
            "listed",
            "POST",
            "/groups/g@corp.test/whitelist",
            json!({ "whitelist": ["department:/Sales"] }),
            200,
            json!({ "whitelist": ["*@partner.test", "department:/Sales"] }),
        ),
        ("off the list", "DELETE", "/groups/g@corp.test/whitelist/department:%2FSales", json!(null), 204, json!({})),
        (
            "N22",
            "POST",
            "/groups/g@corp.test/members",
            json!({ "members": ["group:g-mem@corp.test"] }),
            200,
            json!({ "members": ["alice@corp.test", { "group": "g-mem@corp.test", "edge": "inherit" }] }),
        ),
        (
            "edge",
            "POST",
            "/groups/g@corp.test/members",
            json!({ "members": [{ "group": "g-mem@corp.test", "edge": "check" }] }),
            200,
            json!({ "members": ["alice@corp.test", { "group": "g-mem@corp.test", "edge": "check" }] }),
        ),
        ("member goes", "DELETE", "/groups/g@corp.test/members/alice@corp.test", json!(null), 204, json!({})),
        ("member is gone", "DELETE", "/groups/g@corp.test/members/alice@corp.test", json!(null), 404, json!({})),
        (
            "members",
            "PUT",
            "/groups/g@corp.test/members",
            json!({ "members": ["bob@corp.test"] }),
            200,
            json!({ "members": ["bob@corp.test"] }),
        ),
        (
            "moderation",
            "PUT",
            "/groups/g@corp.test/moderation",
            json!({ "when": "external", "moderators": ["dave@corp.test"] }),
            200,
            json!({ "moderation": { "when": "external", "moderators": ["dave@corp.test"] } }),
        ),
        (
            "settings",
            "PUT",
            "/groups/g@corp.test/settings",
            json!({ "hidden": true, "managers": ["bob@corp.test"] }),
            200,
            json!({ "hidden": true, "managers": ["bob@corp.test"], "members": ["bob@corp.test"] }),
        ),
        ("inner group goes", "DELETE", "/groups/g-mem@corp.test", json!(null), 204, json!({})),
        ("outer stays", "GET", "/groups/g-inh@corp.test", json!(null), 200, json!({ "members": ["bob@corp.test"] })),
        (
            "rule",
            "POST",
            "/rules",
            json!({ "name": "w 1", "scope": ["alice@corp.test"], "actions": [{ "copy": { "monitor": "erin@corp.test", "folder": "m" } }] }),
            201,
            json!({ "scope": ["alice@corp.test"], "priority": 0 }),
        ),
        ("rule off", "PUT", "/rules/w%201/enabled", json!({ "enabled": false }), 200, json!({ "enabled": false })),
        (
            "rule put",
            "PUT",
            "/rules/w%201",
            json!({ "name": "w", "actions": ["discard"], "id": 7 }),
            200,
            json!({ "name": "w", "id": 1, "scope": "everyone" }),
        ),
        ("rule goes", "DELETE", "/rules/w", json!(null), 204, json!({})),
        (
            "relay",
            "POST",
            "/relays",
            json!({ "network": "192.0.2.0/24", "kind": "gateway" }),
            201,
            json!({ "kind": "gateway" }),
        ),
        (
            "relay put",
            "PUT",
            // Whether it is an MX is asked of a DNS that is not there.
            "/relays/192.0.2.0%2F24?force=true",
            json!({ "network": "192.0.2.0/24", "kind": "trusted-relay" }),
            200,
            json!({ "kind": "trusted-relay" }),
        ),
        ("relay goes", "DELETE", "/relays/192.0.2.0%2F24", json!(null), 204, json!({})),
    ] {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (got, value) = ask(&api, method, &format!("/api/v1{path}"), &body).await;
        assert_eq!(got, status, "{step}: {value}");
        has(&value, &want, step);
    }
}

#[tokio::test]
async fn what_is_answered_can_be_sent_back() {
    let api = acme().await;
    for path in [
        "/organisations/acme",
        "/departments/Sales",
        "/accounts/alice@corp.test",
        "/accounts/hank@corp.test",
        "/aliases/old@corp.test",
        "/groups/g-mod@corp.test",
        "/groups/g-out@corp.test",
        "/domains/corp-alias.test",
    ] {
        let path = format!("/api/v1{path}");
        let (_, shown) = ask(&api, "GET", &path, "").await;
        let (status, value) = ask(&api, "PUT", &path, &shown.to_string()).await;
        assert_eq!((status, &value), (200, &shown), "{path}");
    }
}

#[tokio::test]
async fn rows_of_the_semantics_are_refused_with_their_keys() {
    let api = acme().await;
    let copy =
        |name: &str| json!({ "name": name, "actions": [{ "copy": { "monitor": "erin@corp.test" } }] }).to_string();
    for n in 0..200 {
        assert_eq!(ask(&api, "POST", "/api/v1/rules", &copy(&format!("r{n}"))).await.0, 201);
    }
    for n in 0..10 {
        let inner = if n == 0 { json!([]) } else { json!([{ "group": format!("deep{}@corp.test", n - 1) }]) };
        let body = json!({ "address": format!("deep{n}@corp.test"), "members": inner }).to_string();
        assert_eq!(ask(&api, "POST", "/api/v1/groups", &body).await.0, 201, "{n}");
    }
    for (row, method, path, body, status, key) in [
        (
            "N19",
            "POST",
            "/groups/g-mem@corp.test/members",
            json!({ "members": ["group:g-out@corp.test"] }),
            409,
            "group_cycle",
        ),
        (
            "N10",
            "POST",
            "/groups/g-mem@corp.test/members",
            json!({ "members": ["group:g-mem@corp.test"] }),
            409,
            "group_cycle",
        ),
        (
            "N12",
            "POST",
            "/groups",
            json!({ "address": "deep10@corp.test", "members": ["group:deep9@corp.test"] }),
            422,
            "group_depth",
        ),
        ("A29", "PUT", "/accounts/admin@corp.test/state", json!({ "state": "frozen" }), 409, "last_admin"),
        ("A29 demoted", "PUT", "/accounts/admin@corp.test/admin", json!({ "admin": false }), 409, "last_admin"),
        (
            "F05",
            "PUT",
            "/accounts/alice@corp.test/forward",
            json!({ "targets": ["pam@partner.test"] }),
            403,
            "external_forward",
        ),
        ("W72", "POST", "/rules", serde_json::from_str(&copy("r200")).unwrap(), 409, "rule_limit"),
        ("B02", "POST", "/accounts", json!({ "address": "zoe@corp.test", "password": "x" }), 409, "address_reserved"),
        ("in use", "POST", "/groups", json!({ "address": "alice@corp.test" }), 409, "address_in_use"),
        (
            "nobody's copy",
            "POST",
            "/rules",
            json!({ "name": "x", "actions": [{ "copy": { "monitor": "pam@partner.test" } }] }),
            422,
            "invalid",
        ),
        (
            "member nobody",
            "POST",
            "/groups/g-mem@corp.test/members",
            json!({ "members": ["nobody@corp.test"] }),
            422,
            "invalid",
        ),
    ] {
        let (got, value) = ask(&api, method, &format!("/api/v1{path}"), &body.to_string()).await;
        assert_eq!((got, value["error"]["key"].as_str()), (status, Some(key)), "{row}: {value}");
    }
    let (_, alice) = ask(&api, "GET", "/api/v1/accounts/alice@corp.test", "").await;
    assert!(alice.get("forward").is_none(), "F05 stores nothing: {alice}");
}

#[tokio::test]
async fn every_wrong_field_is_named() {
    let api = acme().await;
    let body = json!({ "address": "g@corp.test", "permission": "all", "hidden": "no", "colour": 1 }).to_string();
    let (status, value) = ask(&api, "POST", "/api/v1/groups", &body).await;
    let fields: Vec<_> = value["error"]["problems"].as_array().unwrap().iter().map(|p| p["field"].clone()).collect();
    assert_eq!((status, fields), (422, vec![json!("colour"), json!("hidden"), json!("permission")]), "{value}");
    let body =
        json!({ "address": "g@corp.test", "members": ["a b", "nobody@corp.test"], "managers": ["pam@partner.test"] });
    let (status, value) = ask(&api, "POST", "/api/v1/groups", &body.to_string()).await;
    let fields: Vec<_> = value["error"]["problems"].as_array().unwrap().iter().map(|p| p["field"].clone()).collect();
    assert_eq!(
        (status, fields),
        (422, vec![json!("members[0]"), json!("members[1]"), json!("managers[0]")]),
        "{value}"
    );
}

#[tokio::test]
async fn files_are_applied_once_and_shown_before() {
    let api = acme().await;
    let text = "[[account]]\naddress = \"alice@corp.test\"\nquota = \"1 GiB\"\n";
    let (status, shown) = answer(&api, file("/api/v1/apply?dry_run=true", text)).await;
    assert_eq!(
        (status, &shown["applied"], &shown["differences"][0]["name"]),
        (200, &json!(false), &json!("alice@corp.test"))
    );
    assert_eq!(answer(&api, file("/api/v1/apply", text)).await.1["applied"], json!(true));
    assert_eq!(answer(&api, file("/api/v1/apply", text)).await.1, json!({ "applied": false, "differences": [] }));
    let (status, value) = answer(&api, file("/api/v1/apply", "[[account]]\nname = 1\n[[group]]\naddress = 2\n")).await;
    let lines: Vec<_> = value["error"]["problems"].as_array().unwrap().iter().map(|p| p["line"].clone()).collect();
    assert_eq!((status, &value["error"]["key"]), (422, &json!("invalid_file")), "{value}");
    assert_eq!(lines, [json!(2), json!(4)], "{value}");
    let (status, _) = ask(&api, "POST", "/api/v1/apply", text).await;
    assert_eq!(status, 415, "what is not declared as TOML");
}

#[tokio::test]
async fn the_description_is_of_what_is_served() {
    let api = api().await;
    let (status, description) = ask(&api, "GET", "/openapi.json", "").await;
    assert_eq!((status, &description["openapi"]), (200, &json!("3.1.0")));
    assert_eq!(ask(&api, "GET", "/api/v1/openapi.json", "").await.1, description);
    let paths = description["paths"].as_object().unwrap();
    let mut described = Vec::new();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap() {
            let method = method.to_uppercase();
            // Nobody has the address `x`, the name `x` or the id `x`: nothing changes, whatever is asked.
            let concrete: Vec<&str> = path.split('/').map(|p| if p.starts_with('{') { "x" } else { p }).collect();
            let (status, answer) = ask(&api, &method, &concrete.join("/"), "{}").await;
            let key = answer["error"]["key"].as_str().unwrap_or_default();
            assert!(status != 405 && key != "no_such_path", "{method} {path}: {status} {answer}");
            let parameters = operation["parameters"].as_array().map_or(0, Vec::len);
            assert!(parameters >= path.matches('{').count(), "{method} {path}: {operation}");
            assert_eq!(
                operation["requestBody"].is_object(),
                matches!(&*method, "PUT" | "POST"),
                "body of {method} {path}"
            );
            described.push((method, path.clone()));
        }
    }
    let mut served: Vec<_> = routes().iter().map(|r| (r.method.to_owned(), format!("/api/v1{}", r.path))).collect();
    served.sort();
    described.sort();
    assert_eq!(served, described);
}

#[tokio::test]
async fn every_schema_that_is_referred_to_is_there() {
    let description = super::openapi::describe(&routes());
    let schemas = description["components"]["schemas"].as_object().unwrap();
    let text = description.to_string();
    for part in text.split("\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name}");
    }
    for (name, path) in [
        ("GroupSpec", "/properties/members/items/$ref"),
        ("GroupSpec", "/properties/permission/$ref"),
        ("Mode", "/enum/0"),
        ("AccountSpec", "/properties/forward/oneOf"),
        ("RuleSpec", "/properties/actions/items/$ref"),
        ("ErrorBody", "/properties/key/description"),
    ] {
        assert!(schemas[name].pointer(path).is_some(), "{name}{path}: {}", schemas[name]);
    }
}

#[test]
fn schemas_have_the_fields_that_are_written() {
    let description = super::openapi::describe(&routes());
    let written = |name: &str, value: Value| {
        let properties = description["components"]["schemas"][name]["properties"].as_object().unwrap();
        for field in value.as_object().unwrap().keys() {
            assert!(properties.contains_key(field), "{name}.{field}");
        }
    };
    let directory = crate::server::admin::spec::directory_from_toml(ACME).unwrap();
    for account in directory.accounts() {
        written("AccountSpec", serde_json::to_value(AccountSpec::describe(account, &directory)).unwrap());
    }
    for group in directory.groups() {
        written("GroupSpec", serde_json::to_value(GroupSpec::describe(group, &directory)).unwrap());
    }
    for domain in directory.domains() {
        written("DomainSpec", serde_json::to_value(DomainSpec::describe(domain, &directory)).unwrap());
    }
}
