//! A filter of a test's own, on threads of its own: it reads and writes packets without any help of the program that it
//! tests, does what its script says, and remembers what it was told.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use posthouse::hooks::milter::Address;
use tempfile::TempDir;

/// What it does at a command.
#[derive(Clone, Debug)]
pub enum Act {
    /// These octets.
    Say(Vec<u8>),
    /// These octets, and it closes.
    Last(Vec<u8>),
    /// These octets again and again, with a pause between.
    Repeat(Vec<u8>, Duration),
    /// These octets one after the other, with a pause between.
    Drip(Vec<u8>, Duration),
    Close,
    Silence,
    /// It reads nothing more.
    Stall,
}

/// What it wants and does.
#[derive(Clone, Debug, Default)]
pub struct Script {
    version: Option<u32>,
    actions: u32,
    steps: u32,
    /// Of each stage's number.
    macros: Vec<(u32, &'static str)>,
    /// At the command of this code: these, one after the other, and the last for ever. Without one it goes on.
    acts: Vec<(u8, VecDeque<Act>)>,
}

impl Script {
    /// That may do everything.
    pub fn new() -> Self {
        Self { actions: 0x1ff, ..Self::default() }
    }

    pub fn version(self, version: u32) -> Self {
        Self { version: Some(version), ..self }
    }

    pub fn actions(self, actions: u32) -> Self {
        Self { actions, ..self }
    }

    pub fn steps(self, steps: u32) -> Self {
        Self { steps, ..self }
    }

    pub fn macros(mut self, stage: u32, names: &'static str) -> Self {
        self.macros.push((stage, names));
        self
    }

    pub fn on(mut self, code: u8, acts: &[Act]) -> Self {
        self.acts.push((code, acts.iter().cloned().collect()));
        self
    }

    /// It says this packet at the command of this code.
    pub fn say(self, code: u8, reply: u8, payload: &[u8]) -> Self {
        self.on(code, &[Act::Say(packet(reply, payload))])
    }

    /// Its answer to the offer.
    fn options(&self) -> Vec<u8> {
        let mut payload: Vec<u8> =
            [self.version.unwrap_or(6), self.actions, self.steps].iter().flat_map(|n| n.to_be_bytes()).collect();
        for (stage, names) in &self.macros {
            payload.extend_from_slice(&stage.to_be_bytes());
            payload.extend_from_slice(names.as_bytes());
            payload.push(0);
        }
        packet(b'O', &payload)
    }

    fn act(&mut self, code: u8) -> Option<Act> {
        let (_, acts) = self.acts.iter_mut().find(|(of, _)| *of == code)?;
        if acts.len() > 1 { acts.pop_front() } else { acts.front().cloned() }
    }

    /// The usual reply to a command.
    fn usual(&self, code: u8) -> Vec<u8> {
        let silent = match code {
            b'L' => 0x80,
            b'C' => 0x1000,
            b'H' => 0x2000,
            b'M' => 0x4000,
            b'R' => 0x8000,
            b'T' => 0x1_0000,
            b'U' => 0x2_0000,
            b'N' => 0x4_0000,
            b'B' => 0x8_0000,
            _ => 0,
        };
        match code {
            b'O' => self.options(),
            b'D' | b'A' | b'Q' | b'K' => vec![],
            _ if self.steps & silent != 0 => vec![],
            _ => packet(b'c', b""),
        }
    }
}

/// The filter; it ends with the process.
pub struct Filter {
    pub address: Address,
    seen: Arc<Seen>,
    _dir: Option<TempDir>,
}

/// What it was told on each connection: the code of each command, and what it carried with `|` for NUL.
#[derive(Default)]
struct Seen {
    connections: Mutex<Vec<Connection>>,
    changed: Condvar,
}

#[derive(Clone, Default)]
struct Connection {
    told: Vec<String>,
    is_closed: bool,
}

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

impl Filter {
    pub fn tcp(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let accept = move || listener.accept().ok().map(|(stream, _)| Box::new(stream) as Box<dyn Stream>);
        Self::start(Address::Tcp("127.0.0.1".to_owned(), port), None, script, accept)
    }

    pub fn unix(script: Script) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("filter.sock");
        let listener = UnixListener::bind(&path).expect("a socket");
        let accept = move || listener.accept().ok().map(|(stream, _)| Box::new(stream) as Box<dyn Stream>);
        Self::start(Address::Unix(path), Some(dir), script, accept)
    }

    fn start(
        address: Address,
        dir: Option<TempDir>,
        script: Script,
        accept: impl Fn() -> Option<Box<dyn Stream>> + Send + 'static,
    ) -> Self {
        let seen = Arc::new(Seen::default());
        let all = seen.clone();
        std::thread::spawn(move || {
            while let Some(stream) = accept() {
                let at = all.open();
                let (script, all) = (script.clone(), all.clone());
                std::thread::spawn(move || {
                    serve(stream, script, &|told| all.told(at, told));
                    all.close(at);
                });
            }
        });
        Self { address, seen, _dir: dir }
    }

    /// What it was told on the first connection, when that is closed.
    pub fn told(&self) -> Vec<String> {
        self.told_on(0)
    }

    /// The same of another connection.
    pub fn told_on(&self, at: usize) -> Vec<String> {
        let is_open = |all: &mut Vec<Connection>| all.get(at).is_none_or(|connection| !connection.is_closed);
        let all = self.seen.connections.lock().unwrap();
        let (all, waited) = self.seen.changed.wait_timeout_while(all, super::LONG, is_open).unwrap();
        assert!(!waited.timed_out(), "the connection is not closed");
        all[at].told.clone()
    }

    /// The codes of what it was told on the first connection, macros left out.
    pub fn codes(&self) -> String {
        self.told().iter().filter_map(|told| told.chars().next()).filter(|code| *code != 'D').collect()
    }

    pub fn connections(&self) -> usize {
        self.seen.connections.lock().unwrap().len()
    }
}

impl Seen {
    fn open(&self) -> usize {
        let mut all = self.connections.lock().unwrap();
        all.push(Connection::default());
        all.len() - 1
    }

    fn told(&self, at: usize, told: String) {
        self.connections.lock().unwrap()[at].told.push(told);
        self.changed.notify_all();
    }

    fn close(&self, at: usize) {
        self.connections.lock().unwrap()[at].is_closed = true;
        self.changed.notify_all();
    }
}

/// A packet of this code.
pub fn packet(code: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len() + 1).expect("a length");
    [&length.to_be_bytes()[..], &[code], payload].concat()
}

fn serve(mut stream: Box<dyn Stream>, mut script: Script, told: &dyn Fn(String)) {
    loop {
        let mut length = [0; 4];
        if stream.read_exact(&mut length).is_err() {
            return;
        }
        let mut octets = vec![0; usize::try_from(u32::from_be_bytes(length)).expect("a length")];
        if stream.read_exact(&mut octets).is_err() {
            return told("cut".to_owned());
        }
        let code = octets[0];
        told(octets.iter().map(|octet| if *octet == 0 { '|' } else { char::from(*octet) }).collect());
        if code == b'Q' {
            return;
        }
        let act = script.act(code).unwrap_or_else(|| Act::Say(script.usual(code)));
        if !does(&mut *stream, act) {
            return;
        }
    }
}

/// False if the connection is over.
fn does(stream: &mut dyn Stream, act: Act) -> bool {
    let start = Instant::now();
    match act {
        Act::Say(octets) => stream.write_all(&octets).is_ok(),
        Act::Last(octets) => {
            let _ = stream.write_all(&octets);
            false
        }
        Act::Repeat(octets, pause) => {
            while start.elapsed() < super::LONG && stream.write_all(&octets).is_ok() {
                std::thread::sleep(pause);
            }
            false
        }
        Act::Drip(octets, pause) => {
            for octet in octets {
                if stream.write_all(&[octet]).is_err() {
                    return false;
                }
                std::thread::sleep(pause);
            }
            true
        }
        Act::Close => false,
        Act::Silence => {
            let mut rest = [0; 4096];
            loop {
                match stream.read(&mut rest) {
                    Ok(0) => return false,
                    Err(error) if error.kind() != ErrorKind::Interrupted => return false,
                    _ => {}
                }
            }
        }
        Act::Stall => {
            std::thread::sleep(super::LONG);
            false
        }
    }
}
