//! The client of the admin API: HTTP/1.1 over the Unix socket in the data directory.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

use crate::server::admin::error::{ErrorAnswer, ErrorBody};
use crate::server::admin::socket_path;
use crate::server::admin::view::Page;

/// Why a command ends without success.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The server said no.
    #[error("{message}")]
    Refused {
        /// What the API calls it.
        key: String,
        /// For people.
        message: String,
    },
    /// Something went wrong here or on the way.
    #[error("{0}")]
    Failed(String),
    /// `check` found something.
    #[error("{0} findings")]
    Findings(usize),
    /// The audit log is not as it was written.
    #[error("audit log: record {0} is missing or was changed")]
    Broken(u64),
    /// The command cannot be carried out as it was written.
    #[error("{0}")]
    Usage(String),
    /// Nobody listens at the socket.
    #[error("no server at {}: {error}", .socket.display())]
    Unreachable {
        /// Where we asked.
        socket: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl Failure {
    /// What a script learns.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Refused { .. } | Failure::Failed(_) | Failure::Findings(_) | Failure::Broken(_) => {
                ExitCode::from(1)
            }
            Failure::Usage(_) => ExitCode::from(2),
            Failure::Unreachable { .. } => ExitCode::from(3),
        }
    }
}

/// A client of one server.
pub struct Client {
    socket: PathBuf,
    runtime: Runtime,
}

impl Client {
    /// For the server whose data directory this is.
    pub fn new(data_dir: &Path) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Failure::Failed(format!("cannot start: {e}")))?;
        Ok(Self { socket: socket_path(data_dir), runtime })
    }

    /// Reads what is at `path`.
    pub fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.call(Method::GET, path, None).and_then(fitting)
    }

    /// Reads every page of the list at `path`.
    pub fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        parameters: &[(&str, Option<&str>)],
    ) -> Result<Vec<T>, Failure> {
        self.at_most(path, parameters, usize::MAX)
    }

    /// Reads pages of the list at `path` until there are `most` items.
    pub fn at_most<T: DeserializeOwned>(
        &self,
        path: &str,
        parameters: &[(&str, Option<&str>)],
        most: usize,
    ) -> Result<Vec<T>, Failure> {
        let mut items = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let pages = [("limit", Some(LARGEST_PAGE)), ("after", after.as_deref())];
            let page: Page<T, Value> = self.read(&with_query(path, parameters.iter().chain(&pages)))?;
            items.extend(page.items);
            let next = page.next.map(|next| next.as_str().map_or_else(|| next.to_string(), str::to_owned));
            if next.is_none() || next == after || items.len() >= most {
                items.truncate(most);
                return Ok(items);
            }
            after = next;
        }
    }

    /// Reads the first `most` of the list at `path`: for lists whose rest seldom matters.
    pub fn first<T: DeserializeOwned>(
        &self,
        path: &str,
        parameters: &[(&str, Option<&str>)],
        most: usize,
    ) -> Result<Vec<T>, Failure> {
        let most = most.to_string();
        let page: Page<T, Value> =
            self.read(&with_query(path, parameters.iter().chain(&[("limit", Some(most.as_str()))])))?;
        Ok(page.items)
    }

    /// Adds `body` to the collection at `path`, or acts on it.
    pub fn add(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.call(Method::POST, path, Some(body.to_string().into()))
    }

    /// Sends a file.
    pub fn send(&self, path: &str, toml: Vec<u8>) -> Result<Value, Failure> {
        self.exchanged(Method::POST, path, "application/toml", toml.into())
    }

    /// Puts `body` in place of what is at `path`.
    pub fn put(&self, path: &str, body: &Value) -> Result<(), Failure> {
        self.call(Method::PUT, path, Some(body.to_string().into())).map(drop)
    }

    /// Removes what is at `path`.
    pub fn remove(&self, path: &str) -> Result<(), Failure> {
        self.call(Method::DELETE, path, None).map(drop)
    }

    fn call(&self, method: Method, path: &str, body: Option<Bytes>) -> Result<Value, Failure> {
        self.exchanged(method, path, "application/json", body.unwrap_or_default())
    }

    fn exchanged(&self, method: Method, path: &str, media_type: &'static str, body: Bytes) -> Result<Value, Failure> {
        self.runtime.block_on(async {
            let unreachable = |error| Failure::Unreachable { socket: self.socket.clone(), error };
            let stream = UnixStream::connect(&self.socket).await.map_err(unreachable)?;
            exchange(stream, method, path, media_type, body).await
        })
    }
}

async fn exchange(
    stream: UnixStream,
    method: Method,
    path: &str,
    media_type: &'static str,
    body: Bytes,
) -> Result<Value, Failure> {
    let broken = |e: hyper::Error| Failure::Failed(format!("connection to the server broke off: {e}"));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(format!("/api/v1{path}"))
        .header(header::HOST, "posthouse")
        .header(header::CONTENT_TYPE, media_type)
        .body(Full::new(body))
        .map_err(|e| Failure::Usage(format!("cannot be asked: {e}")))?;
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    let octets = Limited::new(response.into_body(), ANSWER_OCTETS)
        .collect()
        .await
        .map_err(|e| Failure::Failed(format!("answer of the server broke off: {e}")))?
        .to_bytes();
    answered(status, &octets)
}

fn answered(status: StatusCode, octets: &[u8]) -> Result<Value, Failure> {
    if !status.is_success() {
        return Err(match serde_json::from_slice::<ErrorAnswer>(octets) {
            Ok(answer) => refused(answer.error),
            Err(_) => Failure::Failed(format!("server answered {status}")),
        });
    }
    if octets.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(octets).map_err(|e| Failure::Failed(format!("answer of the server is not JSON: {e}")))
}

/// Everything that is wrong, a line for each.
fn refused(error: ErrorBody) -> Failure {
    let lines: Vec<String> = error.problems.iter().map(ToString::to_string).collect();
    let message = if lines.is_empty() { error.message } else { lines.join("\n") };
    Failure::Refused { key: error.key, message }
}

/// An answer in the shape that this version knows.
pub fn fitting<T: DeserializeOwned>(value: Value) -> Result<T, Failure> {
    serde_json::from_value(value).map_err(|e| Failure::Failed(format!("answer of another version of the server: {e}")))
}

/// The path of these segments: `["accounts", "alice@corp.test"]` is `/accounts/alice@corp.test`.
pub fn path(segments: &[&str]) -> String {
    segments.iter().map(|segment| format!("/{}", encoded(segment))).collect()
}

/// `path` with those parameters that have a value.
pub fn with_query<'a>(path: &str, parameters: impl IntoIterator<Item = &'a (&'a str, Option<&'a str>)>) -> String {
    let mut out = path.to_owned();
    for (name, value) in parameters.into_iter().filter_map(|(name, value)| Some((name, (*value)?))) {
        out.push(if out.len() == path.len() { '?' } else { '&' });
        out.push_str(&format!("{name}={}", encoded(value)));
    }
    out
}

/// `text` as one segment of a path or one value of a query (RFC 3986 §2.1).
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~@".contains(&octet) {
            out.push(char::from(octet));
        } else {
            out.push_str(&format!("%{octet:02X}"));
        }
    }
    out
}

/// The body that adds accounts.
pub fn new_accounts(addresses: &[String], password: &str) -> Value {
    let accounts: Vec<Value> = addresses.iter().map(|a| json!({ "address": a, "password": password })).collect();
    json!({ "accounts": accounts })
}

/// What each list takes.
const LARGEST_PAGE: &str = "1000";

/// An answer is a page of a thousand objects at most, or what a file changes.
const ANSWER_OCTETS: usize = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_become_results_and_failures() {
        let refused = br#"{"error":{"key":"address_in_use","message":"address a@b.test is in use","field":"address"}}"#;
        let code = |status, octets: &[u8]| match answered(status, octets) {
            Ok(value) => format!("ok {value}"),
            Err(Failure::Refused { key, message }) => format!("refused {key}: {message}"),
            Err(failure) => format!("failed {failure}"),
        };
        for (case, status, octets, want) in [
            ("json", StatusCode::OK, &b"{\"a\":1}"[..], "ok {\"a\":1}"),
            ("no content", StatusCode::NO_CONTENT, b"", "ok null"),
            ("refusal", StatusCode::CONFLICT, refused, "refused address_in_use: address a@b.test is in use"),
            ("no body", StatusCode::BAD_GATEWAY, b"", "failed server answered 502 Bad Gateway"),
        ] {
            assert_eq!(code(status, octets), want, "{case}");
        }
    }

    #[test]
    fn path_segments_are_encoded() {
        assert_eq!(encoded("alice+x/y@corp.test"), "alice%2Bx%2Fy@corp.test");
        assert_eq!(encoded("\u{fc}?#%"), "%C3%BC%3F%23%25");
        assert_eq!(path(&["departments", "/Sales/East"]), "/departments/%2FSales%2FEast");
        let parameters = [("a", Some("x y")), ("b", None), ("c", Some("&"))];
        assert_eq!(with_query("/rules", &parameters), "/rules?a=x%20y&c=%26");
    }
}
