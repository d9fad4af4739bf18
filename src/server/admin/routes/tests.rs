//! Requests and answers, as `docs/admin-api.md` has them.

mod description;
mod objects;

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
