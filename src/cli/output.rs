//! Writing results to standard output. When nobody reads it any more (`posthouse account list | head`), the rest is
//! not written, and that is no error.

use std::io::Write;

use serde::Serialize;

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
