//! Requests to the admin API over TCP, of accounts and of strangers to it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::super::server::PASSWORD;
use super::acme::full;

/// An answer with its head.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Value,
}

impl Answer {
    /// The error's key; empty if it is none.
    pub fn key(&self) -> &str {
        self.body["error"]["key"].as_str().unwrap_or_default()
    }

    /// Status and key.
    pub fn refusal(&self) -> (u16, &str) {
        (self.status, self.key())
    }
}

/// The Authorization field of an account with the password of all of them.
pub fn basic(user: &str) -> String {
    basic_with(user, PASSWORD)
}

pub fn basic_with(user: &str, password: &str) -> String {
    format!("Authorization: Basic {}\r\n", BASE64_STANDARD.encode(format!("{}:{password}", full(user))))
}

/// One request with these header fields; a body of JSON, empty for none.
pub fn request(at: SocketAddr, fields: &str, method: &str, path: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(at).expect("the admin listener");
    let request = format!(
        "{method} /api/v1{path} HTTP/1.1\r\nHost: posthouse\r\nConnection: close\r\n{fields}Content-Type: \
         application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    // A header that is too long is answered before it has been read.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.get(9..12).and_then(|s| s.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_owned(), body: serde_json::from_str(body).unwrap_or(Value::Null) }
}
