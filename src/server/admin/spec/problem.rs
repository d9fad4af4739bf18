//! What is wrong with a request or a file: every bad value, with its place and what is allowed there.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One value that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Line of the file, from 1; a request has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The object, e.g. `group sales@corp.test`; empty for the one that the request is about.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub object: String,
    /// Where in the object, e.g. `members[3]`.
    pub field: String,
    /// The value as it was written.
    pub value: String,
    /// What is allowed there.
    pub allowed: String,
    /// The error's key (`invalid`, `address_in_use` …), as in the answer to a request.
    pub key: String,
}

impl Problem {
    /// A value that its field does not take.
    pub fn invalid(field: impl fmt::Display, value: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self::keyed(INVALID, field, value, allowed)
    }

    /// A problem with a key of its own.
    pub fn keyed(key: &str, field: impl fmt::Display, value: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self {
            line: None,
            object: String::new(),
            field: field.to_string(),
            value: value.into(),
            allowed: allowed.into(),
            key: key.to_owned(),
        }
    }
}

/// `line 7: group sales@corp.test: members[3]: "bob": an address …`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        for part in [&self.object, &self.field].into_iter().filter(|p| !p.is_empty()) {
            write!(f, "{part}: ")?;
        }
        if !self.value.is_empty() {
            write!(f, "{:?}: ", self.value)?;
        }
        f.write_str(&self.allowed)
    }
}

/// The key of a problem that has no other.
pub const INVALID: &str = "invalid";
