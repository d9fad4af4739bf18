//! A method of a path with its handler and its description, so that neither is without the other.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use axum::routing::MethodRouter;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::server::admin::Touches;
use crate::server::admin::ops::Admin;

/// One method of one path.
pub struct Route {
    /// `GET`, `POST` …
    pub method: &'static str,
    /// Below `/api/v1`; what is in braces is one percent-encoded segment.
    pub path: &'static str,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// What it touches, which decides who may use it.
    pub touches: Touches,
    /// The schema whose fields are the parameters of its query.
    pub query: Option<Value>,
    /// The media type and schema of its body.
    pub body: Option<(&'static str, Value)>,
    /// The status of its answer if all went well.
    pub status: u16,
    /// The media type and schema of its answer; without one it has no body.
    pub answer: Option<(&'static str, Value)>,
    /// What these schemas refer to, by name.
    pub schemas: BTreeMap<String, Value>,
    pub(super) handler: MethodRouter<Arc<Admin>>,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

impl Route {
    /// A route that answers 204 without a body, unless more is said.
    pub(super) fn new(
        method: &'static str,
        path: &'static str,
        summary: &'static str,
        touches: Touches,
        handler: MethodRouter<Arc<Admin>>,
    ) -> Self {
        let schemas = BTreeMap::new();
        Self { method, path, summary, touches, query: None, body: None, status: 204, answer: None, schemas, handler }
    }

    /// The parameters of its query are the fields of `T`.
    pub(super) fn query<T: ToSchema>(mut self) -> Self {
        self.query = Some(inline::<T>(&mut self.schemas));
        self
    }

    /// Its body is a `T` in JSON.
    pub(super) fn takes<T: ToSchema>(mut self) -> Self {
        self.body = Some(("application/json", reference::<T>(&mut self.schemas)));
        self
    }

    /// Its body is a file in TOML.
    pub(super) fn takes_toml(mut self) -> Self {
        self.body = Some(("application/toml", json!({ "type": "string" })));
        self
    }

    /// It answers with a `T`.
    pub(super) fn answers<T: ToSchema>(mut self) -> Self {
        let schema = reference::<T>(&mut self.schemas);
        self.answering(schema)
    }

    /// It answers with a page of `T`, and with what `after` takes for the next one.
    pub(super) fn lists<T: ToSchema>(mut self) -> Self {
        let schema = reference::<T>(&mut self.schemas);
        self.answering(page(schema))
    }

    /// It answers with an object in the shape `T`, and what only the server says of it.
    pub(super) fn shows<T: ToSchema>(mut self) -> Self {
        let schema = reference::<T>(&mut self.schemas);
        self.answering(shown(schema))
    }

    /// The same in pages.
    pub(super) fn lists_shown<T: ToSchema>(mut self) -> Self {
        let schema = reference::<T>(&mut self.schemas);
        self.answering(page(shown(schema)))
    }

    /// What it answers is new.
    pub(super) fn created(mut self) -> Self {
        self.status = 201;
        self
    }

    fn answering(mut self, schema: Value) -> Self {
        self.status = 200;
        self.answer = Some(("application/json", schema));
        self
    }

    /// It answers with text.
    pub(super) fn answers_text(mut self) -> Self {
        self.status = 200;
        self.answer = Some(("text/plain", json!({ "type": "string" })));
        self
    }
}

fn page(of: Value) -> Value {
    let next = json!({ "type": ["string", "integer", "null"], "description": "`after` of the next page" });
    let properties = json!({ "items": { "type": "array", "items": of }, "next": next });
    json!({ "type": "object", "required": ["items", "next"], "properties": properties })
}

fn shown(shape: Value) -> Value {
    let properties = json!({
        "id": { "type": "integer", "description": "Stable: never given again" },
        "created": { "type": "string", "format": "date-time" },
    });
    json!({ "allOf": [shape, { "type": "object", "properties": properties }] })
}

/// A reference to the schema of `T`, which goes to `schemas` with all that it refers to.
pub(super) fn reference<T: ToSchema>(schemas: &mut BTreeMap<String, Value>) -> Value {
    let name = T::name().into_owned();
    let schema = inline::<T>(schemas);
    schemas.insert(name.clone(), schema);
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn inline<T: ToSchema>(schemas: &mut BTreeMap<String, Value>) -> Value {
    let mut referred = Vec::new();
    T::schemas(&mut referred);
    schemas.extend(referred.into_iter().map(|(name, schema)| (name, plain(&schema))));
    plain(&T::schema())
}

/// As JSON without `additionalProperties`.
fn plain<S: serde::Serialize>(schema: &S) -> Value {
    fn open(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                if fields.get("additionalProperties") == Some(&Value::Bool(false)) {
                    fields.remove("additionalProperties");
                }
                fields.values_mut().for_each(open);
            }
            Value::Array(items) => items.iter_mut().for_each(open),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut value = serde_json::to_value(schema).unwrap_or_default();
    open(&mut value);
    value
}
