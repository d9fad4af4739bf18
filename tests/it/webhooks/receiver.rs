//! A receiver of webhooks, which misbehaves as the test says, and checks each signature by a computation of its own.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::prng::Prng;

/// The secret of every webhook in these tests, as its file has it.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// How a request is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manner {
    /// With this status line and fields.
    Says(&'static str),
    /// Never.
    Silent,
    /// By closing.
    Closes,
    /// By closing after the event was taken.
    TakesAndCloses,
    /// With something that is no HTTP.
    Garbage,
    /// With a redirect to this place.
    Redirect(String),
    /// With success and content without end.
    Endless,
    /// With half an answer.
    Half,
}

/// An event that was told.
#[derive(Clone, Debug)]
pub struct Told {
    pub id: String,
    pub event: String,
    /// The id of the message.
    pub message: String,
    pub body: Value,
    /// It was answered with success.
    pub is_taken: bool,
}

/// The receiver; it ends with the process.
#[derive(Clone)]
pub struct Receiver {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    told: Vec<Told>,
    manners: VecDeque<Manner>,
    usual: Option<Manner>,
    mood: Option<Prng>,
    faults: Vec<String>,
}

impl Receiver {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let receiver = Self { address: listener.local_addr().expect("an address"), state: Arc::default() };
        let serving = receiver.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        receiver
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// The next requests are answered so, one after the other.
    pub fn then(&self, manners: impl IntoIterator<Item = Manner>) {
        self.state().manners.extend(manners);
    }

    /// Every request is answered so, from now on; `None` with success.
    pub fn always(&self, manner: Option<Manner>) {
        let mut state = self.state();
        state.usual = manner;
        state.mood = None;
    }

    /// How requests are answered is drawn from now on.
    pub fn be_moody(&self, seed: u64) {
        self.state().mood = Some(Prng(seed));
    }

    /// Everything that was told, also what was answered with a failure.
    pub fn told(&self) -> Vec<Told> {
        self.state().told.clone()
    }

    /// What was taken, in order; of what was taken twice the first.
    pub fn taken(&self) -> Vec<Told> {
        let mut seen = std::collections::BTreeSet::new();
        self.told().into_iter().filter(|told| told.is_taken && seen.insert(told.id.clone())).collect()
    }

    /// Manners that are still to come.
    pub fn left(&self) -> usize {
        self.state().manners.len()
    }

    /// Fails if a request was not as it should be.
    pub fn assert_no_fault(&self) {
        assert_eq!(self.state().faults, Vec::<String>::new());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().expect("a clone"));
        let mut stream = stream;
        while let Some((fields, body)) = request(&mut reader) {
            let manner = self.manner();
            let is_success = |line: &str| line.starts_with("HTTP/1.1 2");
            let is_taken = match &manner {
                Manner::Says(line) => is_success(line),
                Manner::TakesAndCloses | Manner::Endless => true,
                _ => false,
            };
            self.note(&fields, &body, is_taken);
            let answer = match manner {
                Manner::Says(line) => format!("{line}\r\nContent-Length: 2\r\n\r\nok"),
                Manner::Redirect(place) => {
                    format!("HTTP/1.1 307 Elsewhere\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n")
                }
                Manner::Garbage => "220 mail.example.test ESMTP\r\n".to_owned(),
                Manner::Half => "HTTP/1.1 200 OK\r\nContent-".to_owned(),
                Manner::Closes | Manner::TakesAndCloses => return,
                Manner::Silent => {
                    // Until the server has had enough.
                    let _ = reader.read(&mut [0]);
                    return;
                }
                Manner::Endless => {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                    while stream.write_all(format!("1000\r\n{}\r\n", "x".repeat(0x1000)).as_bytes()).is_ok() {}
                    return;
                }
            };
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
            if !answer.starts_with("HTTP/1.1") || answer.ends_with('-') {
                return;
            }
        }
    }

    fn manner(&self) -> Manner {
        let mut state = self.state();
        if let Some(manner) = state.manners.pop_front() {
            return manner;
        }
        let drawn = state.mood.as_mut().map(|random| random.next() % 100);
        match drawn {
            None => state.usual.clone().unwrap_or(Manner::Says("HTTP/1.1 200 OK")),
            Some(0..5) => Manner::Closes,
            Some(5..10) => Manner::TakesAndCloses,
            Some(10..14) => Manner::Says("HTTP/1.1 500 Oh"),
            Some(14..18) => Manner::Says("HTTP/1.1 400 Never"),
            Some(18..20) => Manner::Garbage,
            Some(_) => Manner::Says("HTTP/1.1 204 Fine"),
        }
    }

    fn note(&self, fields: &BTreeMap<String, String>, body: &[u8], is_taken: bool) {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
        let id = field("webhook-id");
        let told =
            Told { event: text(&value["event"]), message: text(&value["message"]["id"]), id, body: value, is_taken };
        let mut faults = Vec::new();
        let signature = signature(&told.id, &field("webhook-timestamp"), body);
        for (is_right, what) in [
            (field("webhook-signature") == signature, "signature"),
            (field("content-type") == "application/json", "media type"),
            (!told.id.is_empty() && told.body["id"] == told.id.as_str(), "id"),
            (!String::from_utf8_lossy(body).contains("SECRET"), "content"),
        ] {
            if !is_right {
                faults.push(format!("{what}: {fields:?} {}", String::from_utf8_lossy(body)));
            }
        }
        let mut state = self.state();
        state.faults.append(&mut faults);
        state.told.push(told);
    }
}

/// By another implementation of HMAC than the server's.
fn signature(id: &str, seconds: &str, body: &[u8]) -> String {
    let key = STANDARD.decode(SECRET.trim_start_matches("whsec_")).expect("base64");
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
    let signed = [id.as_bytes(), b".", seconds.as_bytes(), b".", body].concat();
    format!("v1,{}", STANDARD.encode(ring::hmac::sign(&key, &signed)))
}

fn request(reader: &mut BufReader<TcpStream>) -> Option<(BTreeMap<String, String>, Vec<u8>)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let fields: BTreeMap<String, String> = lines
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut body = vec![0; fields.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some((fields, body))
}
