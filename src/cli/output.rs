//! Writing results to standard output. When nobody reads it any more (`posthouse account list | head`), the rest is
//! not written, and that is no error.

use std::io::Write;

use serde::Serialize;
use serde_json::Value;

use super::client::Failure;

/// One line.
pub fn line(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// A value as JSON, indented.
pub fn json<T: Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Failure::Failed(e.to_string()))?;
    line(text);
    Ok(())
}

/// Names and values, the values in one column.
pub fn pairs(pairs: &[(&str, String)]) {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, value) in pairs {
        line(format_args!("{name:width$}  {value}"));
    }
}

/// An object, a line for each field: first what it is called.
pub fn object(object: &Value) {
    let Some(fields) = object.as_object() else { return line(plain(object)) };
    let named = NAMES.iter().filter_map(|name| fields.get_key_value(*name));
    let others = fields.iter().filter(|(name, _)| !NAMES.contains(&name.as_str()));
    let shown: Vec<(&str, String)> = named.chain(others).map(|(name, value)| (name.as_str(), plain(value))).collect();
    pairs(&shown);
}

/// Objects, a line for each: the values of these fields, separated by tabs. A field that is not there is empty.
pub fn rows(objects: &[Value], fields: &[&str]) {
    for object in objects {
        let values: Vec<String> =
            fields.iter().map(|field| object.get(field).map_or_else(String::new, plain)).collect();
        line(values.join("\t"));
    }
}

/// A value on one line: lists with spaces between their values, what is deeper as JSON.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        // One that holds a line end or a tab would look like more than it is.
        Value::String(text) => text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(" "),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

/// What objects are called.
const NAMES: [&str; 4] = ["address", "name", "path", "network"];
