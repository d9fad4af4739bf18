//! Requests and answers, as `docs/admin-api.md` has them.

use axum::body::Body as HttpBody;
use axum::http::{Method, Request as HttpRequest, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::directory::Directory;
use crate::login::Authenticator;
use crate::mail::{Clock, Timestamp};
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
    let clock: Arc<dyn Clock> = Arc::new(Fixed);
    let store = Store::open(Arc::new(Memory::default()), clock.clone(), [1, 2, 3]).await.unwrap();
    router(Admin::new(Arc::new(Services {
        hostname: "mail.corp.test".to_owned(),
        store,
        directory: LiveDirectory::new(Directory::default()),
        authenticator: Authenticator::new().unwrap(),
        clock,
        tls: None,
        limits: SessionLimits::default(),
    })))
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

async fn ask(api: &Router, method: &str, path: &str, body: &str) -> (u16, Value) {
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
        ("domain twice", "POST", "/domains", r#"{"name":"CORP.test"}"#, 409, "domain_exists", Some("name")),
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
        ("missing field", "POST", "/accounts", r#"{"address":"b@corp.test"}"#, 422, "invalid", None),
        ("unknown field", "POST", "/domains", r#"{"name":"x.test","colour":1}"#, 422, "invalid", None),
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
