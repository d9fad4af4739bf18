//! The description of the API, against what is served and written.

use super::*;
use crate::server::admin::spec::{self, AccountSpec, DomainSpec, GroupSpec};

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
    let description = openapi::describe(&routes());
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
    let description = openapi::describe(&routes());
    let written = |name: &str, value: Value| {
        let properties = description["components"]["schemas"][name]["properties"].as_object().unwrap();
        for field in value.as_object().unwrap().keys() {
            assert!(properties.contains_key(field), "{name}.{field}");
        }
    };
    let directory = spec::directory_from_toml(ACME).unwrap();
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
