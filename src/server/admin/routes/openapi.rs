//! The description of the API (OpenAPI 3.1.0), from the same table as its router.
//!
//! The schemas are those of the types that the handlers read and write. `additionalProperties` is left out of them,
//! since an answer is an object's shape with what only the server says of it; that requests refuse unknown fields stands
//! in the description.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::route::{Route, reference};
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
        "security": [{ "token": [] }, {}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": {
                "type": "http",
                "scheme": "bearer",
                "description": "Over TCP. On the Unix socket the kernel says who asks.",
            } },
            "responses": { "Error": {
                "description": "Refused or failed: nothing has changed",
                "content": { "application/json": { "schema": error } },
            } },
        },
    })
}

fn operation(route: &Route) -> Value {
    let mut answer = json!({ "description": if route.answer.is_some() { "Done" } else { "Done, no body" } });
    if let Some(schema) = &route.answer {
        answer["content"] = json!({ "application/json": { "schema": schema } });
    }
    let mut object = json!({
        "summary": route.summary,
        "operationId": operation_id(route),
        "tags": [route.path.split('/').nth(1).unwrap_or_default()],
        "responses": {
            route.status.to_string(): answer,
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
