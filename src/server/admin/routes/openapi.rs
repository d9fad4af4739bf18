//! The description of the API (OpenAPI 3.1.0), from the same table as its router.
//!
//! The schemas are those of the types that the handlers read and write. `additionalProperties` is left out of them,
//! since an answer is an object's shape with what only the server says of it; that requests refuse unknown fields stands
//! in the description.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::route::{Route, reference};
use crate::policy::administration::Relation;
use crate::server::admin::error::ErrorAnswer;

/// The description of the routes.
pub(super) fn describe(routes: &[Route]) -> Value {
    let mut schemas = BTreeMap::new();
    let error = reference::<ErrorAnswer>(&mut schemas);
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for route in routes {
        schemas.extend(route.schemas.clone());
        let methods = paths.entry(format!("/api/v1{}", route.path)).or_default();
        methods.insert(route.method.to_ascii_lowercase(), operation(route));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Posthouse admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Requests with a field or parameter that is not known are refused. Lists come in pages: \
                `after` takes the `next` of the page before. See docs/admin-api.md.",
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "account": [] }, { "token": [] }, {}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "account": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "Over TCP: an account's address and password. It may do what each operation's \
                        x-permitted says, with what it is to the object.",
                },
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Over TCP: the operator. On the Unix socket the kernel says who asks.",
                },
            },
            "responses": responses(&error),
        },
    })
}

/// What every operation can answer.
fn responses(error: &Value) -> Value {
    let text = |description: &str| json!({ "description": description, "schema": { "type": "string" } });
    let response = |description: &str, headers: Value| {
        json!({
            "description": description,
            "headers": headers,
            "content": { "application/json": { "schema": error } },
        })
    };
    let wait = json!({ "Retry-After": text("Seconds to wait") });
    json!({
        "Error": response("Refused or failed: nothing has changed", json!({})),
        "Unauthorized": response("No credentials, or wrong ones", json!({ "WWW-Authenticate": text("Basic, Bearer") })),
        "Forbidden": response("Not permitted, or the account is disabled; recorded in the audit log", json!({})),
        "TooMany": response("Too many failed logins or refused requests", wait),
    })
}

fn operation(route: &Route) -> Value {
    let mut answer = json!({ "description": if route.answer.is_some() { "Done" } else { "Done, no body" } });
    if let Some((media_type, schema)) = &route.answer {
        answer["content"] = json!({ *media_type: { "schema": schema } });
    }
    let mut object = json!({
        "summary": route.summary,
        "operationId": operation_id(route),
        "x-permitted": route.touches.permitted().map(Relation::name).collect::<Vec<_>>(),
        "tags": [route.path.split('/').nth(1).unwrap_or_default()],
        "responses": {
            route.status.to_string(): answer,
            "401": { "$ref": "#/components/responses/Unauthorized" },
            "403": { "$ref": "#/components/responses/Forbidden" },
            "429": { "$ref": "#/components/responses/TooMany" },
            "default": { "$ref": "#/components/responses/Error" },
        },
    });
    let mut parameters: Vec<Value> = route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    parameters.extend(route.query.iter().flat_map(query_parameters));
    if !parameters.is_empty() {
        object["parameters"] = Value::Array(parameters);
    }
    if let Some((media_type, schema)) = &route.body {
        object["requestBody"] = json!({ "required": true, "content": { *media_type: { "schema": schema } } });
    }
    object
}

/// `get_groups_address_members`
fn operation_id(route: &Route) -> String {
    let words = route.path.split(['/', '{', '}', '-']).filter(|word| !word.is_empty());
    words.fold(route.method.to_ascii_lowercase(), |id, word| format!("{id}_{word}"))
}

fn query_parameters(schema: &Value) -> Vec<Value> {
    let Some(fields) = schema.get("properties").and_then(Value::as_object) else { return Vec::new() };
    let required = |name: &str| {
        schema.get("required").and_then(Value::as_array).is_some_and(|names| names.iter().any(|n| n == name))
    };
    let parameter = |(name, field): (&String, &Value)| {
        let mut field = field.clone();
        let description = field.as_object_mut().and_then(|f| f.remove("description"));
        let mut parameter = json!({ "name": name, "in": "query", "required": required(name), "schema": field });
        if let Some(description) = description {
            parameter["description"] = description;
        }
        parameter
    };
    fields.iter().map(parameter).collect()
}
