//! Dialogs as files: what clients send and what the server must answer.
//!
//! | line | meaning |
//! |---|---|
//! | `# text` | a comment |
//! | `@A imap` | opens connection A to that listener; later lines without a name mean the last one named |
//! | `@A` | goes on with connection A |
//! | `C: text` | sends the text and CRLF |
//! | `C! text` | sends the text alone |
//! | `C: <TLS>` | makes the TLS handshake |
//! | `C: <END>` | says that nothing more will be sent |
//! | `S: pattern` | the next response (line; in IMAP with its literals) matches |
//! | `S~ pattern` | responses that come in any order: all of the `S~` lines that stand together |
//! | `S+ pattern` | responses are skipped up to one that matches |
//! | `S- pattern` | no response that the next `S+` skips may match |
//! | `S: <EOF>` | the server closes, without another word |
//! | `S: <CLOSED>` | the server closes |
//!
//! In a pattern `...` stands for any text. In both directions `\r`, `\n`, `\t`, `\0`, `\\` and `\xHH` are octets;
//! `{alice}`, `{bob}`, `{carol}` are the local-parts of accounts of this dialog's own, `{password}` is their
//! password, `{b64:text}` is base64 of the text, `{lit+:text}` is a non-synchronizing literal, `{lit:text}` its
//! content with the size in front for use after a continuation, and `{x*1000}` repeats `x`.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::imap::Imap;
use super::server::{PASSWORD, Server};
use super::wire::Wire;

/// Runs every dialog of a folder; all failures are told together.
pub fn run_folder(server: &Server, folder: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogs").join(folder);
    let only = std::env::var("POSTHOUSE_DIALOG").unwrap_or_default();
    let mut files: Vec<_> = fs::read_dir(&root)
        .expect("a folder of dialogs")
        .map(|e| e.expect("an entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "txt") && p.display().to_string().contains(&only))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no dialogs in {}", root.display());
    let mut failures = Vec::new();
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..4)
            .map(|lane| {
                let files = &files;
                scope.spawn(move || {
                    let mut failures = Vec::new();
                    for file in files.iter().skip(lane).step_by(4) {
                        let text = fs::read_to_string(file).expect("a dialog");
                        let start = Instant::now();
                        let outcome = panic::catch_unwind(AssertUnwindSafe(|| Dialog::new(server).run(&text)));
                        if start.elapsed() > Duration::from_secs(2) {
                            eprintln!("{}: {:?}", file.display(), start.elapsed());
                        }
                        if let Err(cause) = outcome {
                            let cause = cause
                                .downcast_ref::<String>()
                                .cloned()
                                .or_else(|| cause.downcast_ref::<&str>().map(|s| (*s).to_owned()))
                                .unwrap_or_default();
                            failures.push(format!("== {} ==\n{cause}", file.display()));
                        }
                    }
                    failures
                })
            })
            .collect();
        for lane in lanes {
            failures.extend(lane.join().expect("a lane"));
        }
    });
    assert!(failures.is_empty(), "{} of {} dialogs failed\n{}", failures.len(), files.len(), failures.join("\n\n"));
}

enum Session {
    Lines(Wire),
    Imap(Imap),
}

impl Session {
    fn wire(&mut self) -> &mut Wire {
        match self {
            Session::Lines(wire) => wire,
            Session::Imap(imap) => &mut imap.wire,
        }
    }

    fn response(&mut self) -> Result<Vec<u8>, std::io::Error> {
        match self {
            Session::Lines(wire) => wire.try_line(),
            Session::Imap(imap) => imap.try_response(),
        }
    }
}

struct Dialog<'a> {
    server: &'a Server,
    sessions: BTreeMap<String, Session>,
    current: String,
    names: BTreeMap<String, String>,
}

impl<'a> Dialog<'a> {
    fn new(server: &'a Server) -> Self {
        Self { server, sessions: BTreeMap::new(), current: String::new(), names: BTreeMap::new() }
    }

    fn run(&mut self, text: &str) {
        // Before any session: a transaction keeps the directory that it began with.
        for name in ["alice", "bob", "carol"] {
            if text.contains(&format!("{{{name}}}")) {
                self.name(name);
            }
        }
        let mut forbidden: Vec<Vec<u8>> = Vec::new();
        let lines: Vec<(usize, &str)> = text.lines().enumerate().map(|(n, l)| (n + 1, l)).collect();
        let mut at = 0;
        while let Some((number, line)) = lines.get(at).copied() {
            at += 1;
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(rest) = line.strip_prefix('@') {
                self.switch(rest);
            } else if let Some(rest) = directive(line, "C:") {
                self.send(number, rest, true);
            } else if let Some(rest) = directive(line, "C!") {
                self.send(number, rest, false);
            } else if let Some(rest) = directive(line, "S:") {
                self.expect(number, rest);
            } else if let Some(rest) = directive(line, "S-") {
                forbidden.push(self.expand(rest));
            } else if let Some(rest) = directive(line, "S+") {
                self.skip_to(number, rest, &forbidden);
                forbidden.clear();
            } else if let Some(rest) = directive(line, "S~") {
                let mut set = vec![rest];
                while let Some(more) = lines.get(at).and_then(|(_, l)| directive(l, "S~")) {
                    set.push(more);
                    at += 1;
                }
                self.expect_set(number, &set);
            } else {
                panic!("line {number}: not a line of a dialog: {line}");
            }
        }
    }

    fn switch(&mut self, rest: &str) {
        let mut words = rest.split_whitespace();
        self.current = words.next().expect("a name").to_owned();
        let Some(protocol) = words.next() else { return };
        let address = self.server.address(protocol);
        let session = if protocol.starts_with("imap") {
            Session::Imap(Imap::raw(address))
        } else {
            Session::Lines(Wire::connect(address))
        };
        self.sessions.insert(self.current.clone(), session);
        if protocol == "imaps" || protocol == "submissions" {
            let certificate = self.server.certificate();
            self.session().wire().start_tls(&certificate).expect("a handshake");
        }
        // `@A imap alice` logs in; `@A imap alice INBOX` selects as well.
        if let Some(name) = words.next() {
            let name = self.name(name);
            let mailbox = words.next();
            let Session::Imap(imap) = self.session() else { panic!("only IMAP logs in") };
            imap.response();
            imap.ok(&format!("LOGIN {name}@example.test \"{PASSWORD}\""));
            if let Some(mailbox) = mailbox {
                imap.ok(&format!("SELECT {mailbox}"));
            }
        }
    }

    fn session(&mut self) -> &mut Session {
        let name = &self.current;
        self.sessions.get_mut(name).unwrap_or_else(|| panic!("no session {name}"))
    }

    fn name(&mut self, name: &str) -> String {
        let server = self.server;
        self.names.entry(name.to_owned()).or_insert_with(|| server.fresh_account(name)).clone()
    }

    fn send(&mut self, number: usize, text: &str, with_end: bool) {
        match text {
            "<TLS>" => {
                let certificate = self.server.certificate();
                if let Err(error) = self.session().wire().start_tls(&certificate) {
                    panic!("line {number}: handshake: {error}");
                }
            }
            "<END>" => self.session().wire().end_sending(),
            _ => {
                let mut octets = self.expand(text);
                if with_end {
                    octets.extend_from_slice(b"\r\n");
                }
                // A server that has had enough may close before all is sent; what comes next in the dialog says whether
                // it might.
                let _ = self.session().wire().try_send(&octets);
            }
        }
    }

    fn next(&mut self, number: usize, wanted: &str) -> Vec<u8> {
        let session = self.session();
        match session.response() {
            Ok(response) => response,
            Err(error) => panic!("line {number}: {error}, expected {wanted}\n{}", session.wire().story()),
        }
    }

    fn expect(&mut self, number: usize, text: &str) {
        match text {
            "<EOF>" => {
                let session = self.session();
                match session.response() {
                    Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => {}
                    other => panic!("line {number}: expected the end, got {other:?}\n{}", session.wire().story()),
                }
            }
            "<CLOSED>" => {
                let wire = self.session().wire();
                assert!(wire.closes(), "line {number}: expected the end\n{}", wire.story());
            }
            "<NOTHING>" => {
                let wire = self.session().wire();
                let patience = std::mem::replace(&mut wire.patience, Duration::from_millis(150));
                let line = wire.try_line();
                wire.patience = patience;
                assert!(line.is_err(), "line {number}: expected nothing\n{}", wire.story());
            }
            _ => {
                let pattern = self.expand(text);
                let response = self.next(number, text);
                assert!(
                    matches(&pattern, &response),
                    "line {number}: expected {}\n     got {}\n{}",
                    pattern.escape_ascii(),
                    response.escape_ascii(),
                    self.session().wire().story()
                );
            }
        }
    }

    fn skip_to(&mut self, number: usize, text: &str, forbidden: &[Vec<u8>]) {
        let pattern = self.expand(text);
        loop {
            let response = self.next(number, text);
            if matches(&pattern, &response) {
                return;
            }
            for never in forbidden {
                assert!(
                    !matches(never, &response),
                    "line {number}: must not come: {}\n{}",
                    response.escape_ascii(),
                    self.session().wire().story()
                );
            }
            assert!(
                !is_tagged(&response),
                "line {number}: expected {}\n     got {}\n{}",
                pattern.escape_ascii(),
                response.escape_ascii(),
                self.session().wire().story()
            );
        }
    }

    fn expect_set(&mut self, number: usize, set: &[&str]) {
        let mut open: Vec<Vec<u8>> = set.iter().map(|t| self.expand(t)).collect();
        while !open.is_empty() {
            let response = self.next(number, set[0]);
            let Some(found) = open.iter().position(|p| matches(p, &response)) else {
                panic!(
                    "line {number}: unexpected {}\n  open: {}\n{}",
                    response.escape_ascii(),
                    open.iter().map(|p| p.escape_ascii().to_string()).collect::<Vec<_>>().join(" | "),
                    self.session().wire().story()
                );
            };
            open.remove(found);
        }
    }

    /// Escapes and names to octets.
    fn expand(&mut self, text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if c == '{'
                && let Some((value, used)) = self.braces(rest)
            {
                out.extend_from_slice(&value);
                rest = &rest[used..];
            } else if let Some(escaped) = rest.strip_prefix('\\') {
                let (octet, used) = match escaped.as_bytes().first() {
                    Some(b'r') => (b'\r', 1),
                    Some(b'n') => (b'\n', 1),
                    Some(b't') => (b'\t', 1),
                    Some(b'0') => (0, 1),
                    Some(b'\\') => (b'\\', 1),
                    Some(b'x') => (u8::from_str_radix(&escaped[1..3], 16).expect("two hex digits"), 3),
                    _ => (b'\\', 0),
                };
                out.push(octet);
                rest = &escaped[used..];
            } else {
                out.extend_from_slice(&rest.as_bytes()[..c.len_utf8()]);
                rest = &rest[c.len_utf8()..];
            }
        }
        out
    }

    /// What stands in braces at the start of `text`, and its length; `None` if it is no name of ours.
    fn braces(&mut self, text: &str) -> Option<(Vec<u8>, usize)> {
        let mut depth = 0;
        let end = text.char_indices().find_map(|(n, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            (depth == 0).then_some(n)
        })?;
        let inner = &text[1..end];
        let value = match inner {
            "alice" | "bob" | "carol" => self.name(inner).into_bytes(),
            "password" => PASSWORD.as_bytes().to_vec(),
            _ => {
                if let Some(plain) = inner.strip_prefix("b64:") {
                    STANDARD.encode(self.expand(plain)).into_bytes()
                } else if let Some(content) = inner.strip_prefix("lit+:") {
                    let content = self.expand(content);
                    let mut all = format!("{{{}+}}\r\n", content.len()).into_bytes();
                    all.extend(content);
                    all
                } else if let Some(content) = inner.strip_prefix("lit:") {
                    let content = self.expand(content);
                    let mut all = format!("{{{}}}\r\n", content.len()).into_bytes();
                    all.extend(content);
                    all
                } else {
                    let (what, times) = inner.rsplit_once('*')?;
                    let times = times.parse().ok()?;
                    self.expand(what).repeat(times)
                }
            }
        };
        Some((value, end + 1))
    }
}

fn directive<'t>(line: &'t str, start: &str) -> Option<&'t str> {
    let rest = line.strip_prefix(start)?;
    Some(rest.strip_prefix(' ').unwrap_or(rest))
}

/// A tagged response of IMAP ends what `S+` may skip; lines of SMTP start with a digit.
fn is_tagged(response: &[u8]) -> bool {
    response.first().is_some_and(u8::is_ascii_lowercase)
}

/// `...` stands for anything.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let Some(gap) = pattern.windows(3).position(|w| w == b"...") else { return pattern == text };
    let (head, tail) = (&pattern[..gap], &pattern[gap + 3..]);
    let Some(rest) = text.strip_prefix(head) else { return false };
    (0..=rest.len()).any(|n| matches(tail, &rest[n..]))
}

#[test]
fn patterns_match_as_documented() {
    for (pattern, text, expected) in [
        ("* OK", "* OK", true),
        ("* OK", "* OK x", false),
        ("* OK...", "* OK x", true),
        ("...b...", "abc", true),
        ("a...c", "abd", false),
        ("a...c", "ac", true),
    ] {
        assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
    }
}
