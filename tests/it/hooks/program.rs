//! A program that takes part by HTTP: it answers as it is told, and remembers what it was asked.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

/// The secret that it shares with the server.
const SECRET: &str = "a secret of the tests";

/// What it does with a question.
#[derive(Clone, Debug)]
pub enum Does {
    /// Answers, signed.
    Says(Value),
    /// The same, later.
    Waits(Duration, Value),
    /// Answers without a signature.
    Unsigned(Value),
    /// Answers with the signature of something else.
    WronglySigned(Value),
    /// Answers with another status.
    Status(u16),
    /// Writes these octets and closes.
    Writes(Vec<u8>),
    /// Signs this content as it is.
    Content(String),
}

/// A question that it was asked.
#[derive(Clone, Debug)]
pub struct Question {
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Question {
    pub fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

pub struct Program {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    secret: NamedTempFile,
}

struct State {
    does: Does,
    /// At these stages something else.
    at: Vec<(String, Does)>,
    heard: Vec<Question>,
}

impl Program {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("an address");
        let does = Does::Says(json!({ "verdict": "accept" }));
        let state = Arc::new(Mutex::new(State { does, at: Vec::new(), heard: Vec::new() }));
        let shared = state.clone();
        // The thread ends with the process: nothing but the test connects.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        let secret = NamedTempFile::new().expect("a file");
        std::fs::write(secret.path(), SECRET).expect("write");
        Self { address, state, secret }
    }

    /// Holds the secret.
    pub fn secret_file(&self) -> &Path {
        self.secret.path()
    }

    /// What it does from now on.
    pub fn does(&self, does: Does) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.does, state.at) = (does, Vec::new());
    }

    /// What it says from now on.
    pub fn says(&self, answer: Value) {
        self.does(Does::Says(answer));
    }

    /// What it says at one stage alone.
    pub fn says_at(&self, stage: &str, answer: Value) {
        self.does_at(stage, Does::Says(answer));
    }

    /// What it does at one stage alone.
    pub fn does_at(&self, stage: &str, does: Does) {
        self.says(json!({ "verdict": "accept" }));
        self.state.lock().unwrap_or_else(PoisonError::into_inner).at.push((stage.to_owned(), does));
    }

    /// What it was asked since the last call.
    pub fn heard(&self) -> Vec<Question> {
        std::mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).heard)
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let Ok(mut writer) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    while let Some(question) = read(&mut reader) {
        let does = {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let stage = serde_json::from_slice::<Value>(&question.body).ok().map(|body| body["stage"].clone());
            let at = state.at.iter().find(|(at, _)| stage.as_ref().is_some_and(|stage| stage == at));
            let does = at.map_or_else(|| state.does.clone(), |(_, does)| does.clone());
            state.heard.push(question.clone());
            does
        };
        let answer = match does {
            Does::Says(answer) => signed(&question, &answer.to_string()),
            Does::Content(content) => signed(&question, &content),
            Does::Waits(pause, answer) => {
                std::thread::sleep(pause);
                signed(&question, &answer.to_string())
            }
            Does::Unsigned(answer) => head(200, "", answer.to_string().as_bytes()),
            Does::WronglySigned(answer) => {
                let fields =
                    format!("webhook-timestamp: 1\r\nwebhook-signature: {}\r\n", signature("other", "1", b"{}"));
                head(200, &fields, answer.to_string().as_bytes())
            }
            Does::Status(status) => head(status, "Location: http://127.0.0.1:1/\r\n", b"{\"verdict\":\"refuse\"}"),
            Does::Writes(octets) => {
                let _ = writer.write_all(&octets);
                let _ = writer.shutdown(std::net::Shutdown::Both);
                return;
            }
        };
        if writer.write_all(&answer).is_err() {
            return;
        }
    }
}

fn signed(question: &Question, content: &str) -> Vec<u8> {
    let made = signature(question.field("webhook-id"), "17", content.as_bytes());
    head(200, &format!("webhook-timestamp: 17\r\nwebhook-signature: {made}\r\n"), content.as_bytes())
}

/// `v1,` and the HMAC over id, timestamp and body (Standard Webhooks).
pub fn signature(id: &str, timestamp: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

fn head(status: u16, fields: &str, body: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n{fields}\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    answer
}

fn read(reader: &mut impl BufRead) -> Option<Question> {
    let mut line = String::new();
    let mut next = |line: &mut String| {
        line.clear();
        reader.read_line(line).ok().filter(|read| *read > 0).map(|_| line.trim_end().to_owned())
    };
    next(&mut line)?;
    let mut fields = Vec::new();
    loop {
        let text = next(&mut line)?;
        let Some((name, value)) = text.split_once(':') else { break };
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = fields.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Question { fields, body })
}
