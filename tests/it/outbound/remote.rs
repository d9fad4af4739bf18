//! A host that takes mail, and answers as the test says.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::prng::Prng;

/// No reply at all.
pub const SILENCE: &str = "silence";

/// The host; it ends with the process.
#[derive(Clone)]
pub struct Remote {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    heard: Vec<Heard>,
    connections: usize,
    answers: Vec<(String, String)>,
    /// In a mood: what happens is drawn.
    mood: Option<Prng>,
    /// Messages that were taken without a word.
    silent: usize,
}

/// A message that the host has taken.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// The line of MAIL.
    pub mail: String,
    /// The lines of RCPT that were accepted.
    pub rcpt: Vec<String>,
    /// Without the dot and dot-stuffing.
    pub content: String,
}

impl Remote {
    /// On a port of its own of 127.0.0.2.
    pub fn start() -> Self {
        Self::listen(TcpListener::bind("127.0.0.2:0").expect("a port"))
    }

    fn listen(listener: TcpListener) -> Self {
        let address = listener.local_addr().expect("an address");
        let remote = Self { address, state: Arc::default() };
        let serving = remote.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                serving.state().connections += 1;
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        remote
    }

    /// From now on, commands that begin so are answered so; an empty reply closes the connection, and [`SILENCE`] is
    /// none. `.` is the end of the
    /// content, `CONNECT` the greeting. The latest that fits applies.
    pub fn answer(&self, command: &str, reply: &str) {
        self.state().answers.push((command.to_owned(), reply.to_owned()));
    }

    /// Forgets what was said before.
    pub fn answer_as_usual(&self) {
        let mut state = self.state();
        state.answers.clear();
        state.mood = None;
    }

    /// From now on some commands are answered 4yz, some contents 4yz or 5yz, and sometimes the connection ends: also
    /// after a message has been taken, before that is said.
    pub fn be_moody(&self, seed: u64) {
        self.state().mood = Some(Prng(seed));
    }

    /// How many messages were taken without a word.
    pub fn silent(&self) -> usize {
        self.state().silent
    }

    /// What it has taken.
    pub fn heard(&self) -> Vec<Heard> {
        self.state().heard.clone()
    }

    /// How often somebody has connected.
    pub fn connections(&self) -> usize {
        self.state().connections
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    fn reply(&self, command: &str, usual: &str) -> String {
        let mut state = self.state();
        if let Some(random) = &mut state.mood {
            let drawn = random.next() % 100;
            match (command, drawn) {
                (".", 0..8) => return String::new(),
                (".", 8..16) => return "451 4.3.0 not now".to_owned(),
                (".", 16..20) => return "554 5.7.1 not this".to_owned(),
                (".", 20..25) => return "lost".to_owned(),
                ("CONNECT", 0..10) => return String::new(),
                (_, 0..2) => return String::new(),
                (_, 2..5) => return "421 4.3.2 going down".to_owned(),
                _ => {}
            }
        }
        let special = state.answers.iter().rev().find(|(begins, _)| command.starts_with(begins.as_str()));
        special.map_or(usual.to_owned(), |(_, reply)| reply.clone())
    }

    fn serve(&self, stream: TcpStream) {
        let mut lines = BufReader::new(stream.try_clone().expect("a clone"));
        let mut stream = stream;
        let mut say = |command: &str, usual: &str| -> Option<bool> {
            let reply = if command.is_empty() { usual.to_owned() } else { self.reply(command, usual) };
            if reply == SILENCE {
                std::thread::sleep(std::time::Duration::from_secs(600));
            }
            if reply.is_empty() || reply == SILENCE {
                return None;
            }
            stream.write_all(format!("{reply}\r\n").as_bytes()).ok()?;
            Some(reply.starts_with('2') || reply.starts_with('3'))
        };
        let mut read = || -> Option<String> {
            let mut line = Vec::new();
            let n = lines.read_until(b'\n', &mut line).ok()?;
            (n > 0).then(|| String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
        };
        let _ended: Option<()> = (|| {
            say("CONNECT", "220 remote.test ESMTP")?;
            let mut message = Heard::default();
            loop {
                let line = read()?;
                let verb = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
                match verb.as_str() {
                    "EHLO" => {
                        say(&line, "250-remote.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 100000000")?;
                    }
                    "MAIL" => {
                        message = Heard::default();
                        if say(&line, "250 2.1.0 ok")? {
                            message.mail = line;
                        }
                    }
                    "RCPT" => {
                        let usual = if message.mail.is_empty() { "503 no sender" } else { "250 2.1.5 ok" };
                        if say(&line, usual)? {
                            message.rcpt.push(line);
                        }
                    }
                    "DATA" => {
                        let usual = if message.rcpt.is_empty() { "503 no recipients" } else { "354 go" };
                        if !say(&line, usual)? {
                            continue;
                        }
                        loop {
                            let line = read()?;
                            if line == "." {
                                break;
                            }
                            message.content.push_str(line.strip_prefix('.').unwrap_or(&line));
                            message.content.push_str("\r\n");
                        }
                        let message = std::mem::take(&mut message);
                        // Before the reply, as who answers has it.
                        let reply = self.reply(".", "250 2.0.0 taken");
                        let is_lost = reply == "lost";
                        if is_lost || reply.starts_with('2') {
                            let mut state = self.state();
                            state.silent += usize::from(is_lost);
                            state.heard.push(message);
                        }
                        if is_lost || reply.is_empty() {
                            return None;
                        }
                        say("", &reply)?;
                    }
                    "QUIT" => {
                        say(&line, "221 bye")?;
                        return None;
                    }
                    _ => {
                        say(&line, "250 ok")?;
                    }
                }
            }
        })();
    }
}
