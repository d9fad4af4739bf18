//! A real server of a test's own: temporary data, ports of the system's choosing, ended when dropped.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::imap::Imap;
use super::smtp::Smtp;

/// The password of every account in these tests.
pub const PASSWORD: &str = "open sesame";

/// The listeners of a test server: name here, protocol, TLS.
const LISTENERS: &[(&str, &str)] = &[
    ("smtp", "starttls"),
    ("submission", "starttls"),
    ("submissions", "implicit"),
    ("imap", "starttls"),
    ("imaps", "implicit"),
    ("admin", "none"),
];

/// A port of the system's choosing.
const ANYWHERE: &str = "127.0.0.1:0";

pub struct Server {
    dir: TempDir,
    child: Option<Child>,
    addresses: BTreeMap<String, SocketAddr>,
}

impl Server {
    /// A running server with example.test and alice, bob and carol in it.
    pub fn start() -> Self {
        let mut server = Self::prepared("");
        server.run();
        server.cli(&["domain", "add", "example.test"], "");
        for account in ["alice", "bob", "carol"] {
            server.add_account(account);
        }
        server
    }

    /// Configuration and certificate, nothing running. `extra` is TOML that stands before the listeners; without a word of
    /// other hosts in it, what is for them waits in the queue.
    pub fn prepared(extra: &str) -> Self {
        Self::written("mail.example.test", extra, ANYWHERE, "")
    }

    /// The same for a server of that name which takes mail at `smtp`, so that several can be hosts of one network.
    pub fn prepared_as(hostname: &str, smtp: SocketAddr, extra: &str) -> Self {
        Self::written(hostname, extra, &smtp.to_string(), "")
    }

    /// The same; whoever connects to the smtp listener says in a PROXY header where it comes from.
    pub fn prepared_behind_proxy(extra: &str) -> Self {
        Self::written("mail.example.test", extra, ANYWHERE, "proxy_protocol = [\"127.0.0.1\"]\n")
    }

    fn written(hostname: &str, extra: &str, smtp: &str, of_smtp: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("posthouse-it-").tempdir().expect("a temporary folder");
        let key = rcgen::generate_simple_self_signed(vec![hostname.to_owned(), "localhost".to_owned()])
            .expect("a certificate");
        fs::write(dir.path().join("cert.pem"), key.cert.pem()).expect("write");
        fs::write(dir.path().join("key.pem"), key.signing_key.serialize_pem()).expect("write");
        let outbound = if extra.contains("[outbound]") { "" } else { "[outbound]\npaused = true\n\n" };
        let mut config = format!("hostname = \"{hostname}\"\ndata_dir = \"data\"\n{extra}\n{outbound}");
        if !extra.contains("[limits]") {
            // Tests say in a minute what people say in a day, all from one host.
            config.push_str("[limits]\nclient_connections_per_minute = 0\nclient_messages_per_minute = 0\n");
            config.push_str("account_messages_per_minute = 0\naccount_recipients_per_day = 0\n\n");
        }
        config.push_str("[tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n\n");
        // Keys take a second of a processor for each domain, and a record in the log whenever they are ready.
        if !extra.contains("[dkim]") {
            config.push_str("[dkim]\nautomatic = false\n\n");
        }
        for (protocol, tls) in LISTENERS {
            let (bind, more) = if *protocol == "smtp" { (smtp, of_smtp) } else { (ANYWHERE, "") };
            config.push_str(&format!(
                "[[listener]]\nprotocol = \"{protocol}\"\nbind = \"{bind}\"\ntls = \"{tls}\"\n{more}\n"
            ));
        }
        fs::write(dir.path().join("posthouse.toml"), config).expect("write");
        Self { dir, child: None, addresses: BTreeMap::new() }
    }

    /// Starts the process and waits until it listens.
    pub fn run(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let listeners = self.data().join("listeners.json");
        let _ = fs::remove_file(&listeners);
        let log = File::options().create(true).append(true).open(self.log_file()).expect("a log");
        let child = self
            .command(&["serve"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("the server starts");
        self.child = Some(child);
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(addresses) = fs::read(&listeners).ok().and_then(|text| parse_listeners(&text)) {
                self.addresses = addresses;
                return;
            }
            if let Some(status) = self.child.as_mut().and_then(|c| c.try_wait().ok().flatten()) {
                panic!("the server ended with {status}:\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "not ready in time:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path().join("server.log")
    }

    /// Everything the server has logged.
    pub fn log(&self) -> String {
        fs::read(self.log_file()).map(|t| String::from_utf8_lossy(&t).into_owned()).unwrap_or_default()
    }

    pub fn certificate_file(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    pub fn certificate(&self) -> Vec<u8> {
        fs::read(self.certificate_file()).expect("a certificate")
    }

    /// Where a protocol listens.
    pub fn address(&self, protocol: &str) -> SocketAddr {
        *self.addresses.get(protocol).unwrap_or_else(|| panic!("no listener {protocol}: {:?}", self.addresses))
    }

    pub fn port(&self, protocol: &str) -> u16 {
        self.address(protocol).port()
    }

    /// One request to the admin API over its socket: head and body of the answer.
    pub fn api(&self, method: &str, path: &str, media_type: &str, body: &str) -> (String, String) {
        let mut stream = UnixStream::connect(self.data().join("admin.sock")).expect("the admin socket");
        let request = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nHost: posthouse\r\nConnection: close\r\nContent-Type: \
             {media_type}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        (head.to_owned(), body.to_owned())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_posthouse"));
        command.args(arguments).arg("--config").arg(self.dir.path().join("posthouse.toml"));
        command
    }

    /// Runs a command of the CLI with `input` on standard input.
    pub fn try_cli(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        // A command that does not read its input may be gone already.
        let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
        child.wait_with_output().expect("the command ends")
    }

    /// The same, and it must succeed.
    pub fn cli(&self, arguments: &[&str], input: &str) -> String {
        let output = self.try_cli(arguments, input);
        assert!(
            output.status.success(),
            "posthouse {arguments:?}: {}\n{}{}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            self.log()
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Adds `name@example.test`.
    pub fn add_account(&self, name: &str) {
        self.cli(&["account", "add", &format!("{name}@example.test"), "--password-stdin"], &format!("{PASSWORD}\n"));
    }

    /// A new account that no other test uses.
    pub fn fresh_account(&self, hint: &str) -> String {
        static NEXT: Mutex<u32> = Mutex::new(0);
        let n = {
            let mut next = NEXT.lock().expect("not poisoned");
            *next += 1;
            *next
        };
        let name = format!("{hint}{n}");
        self.add_account(&name);
        name
    }

    pub fn smtp(&self) -> Smtp {
        Smtp::open(self.address("smtp"))
    }

    /// An IMAP session of `name@example.test`.
    pub fn imap(&self, name: &str) -> Imap {
        Imap::login(self.address("imap"), &format!("{name}@example.test"), PASSWORD)
    }

    /// Memory of the process that is resident now, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let pid = self.child.as_ref().expect("it runs").id();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("a size");
        line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// SIGTERM, and waits; the exit code tells if the end was orderly.
    pub fn stop(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("it runs");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            if let Some(status) = child.try_wait().expect("a child") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let _ = child.wait();
        panic!("it did not stop in time:\n{}", self.log());
    }

    /// True while the process lives.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|c| matches!(c.try_wait(), Ok(None)))
    }

    /// Fails if a thread or task of the server panicked.
    pub fn assert_no_panic(&self) {
        let log = self.log();
        let lines: Vec<_> = log.lines().filter(|l| l.contains("panicked")).collect();
        assert!(lines.is_empty(), "{lines:#?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(40).collect();
            eprintln!("-- end of the server's log --");
            for line in tail.into_iter().rev() {
                eprintln!("{line}");
            }
        }
    }
}

/// The server that tests share which neither stop it nor look at all of it. Statics are not dropped, so something
/// else has to end it.
pub fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(|| {
        let server = Server::start();
        end_with_us(&server);
        server
    })
}

/// Ends a shared server, and removes its folder, when this process is gone: a shell waits for the end of its input.
fn end_with_us(server: &Server) {
    let script = format!("cat >/dev/null; kill -9 {} 2>/dev/null; rm -rf '{}'", server.pid(), server.path().display());
    let guard = Command::new("sh")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    // The pipe closes when this process ends, however it ends.
    std::mem::forget(guard);
}

/// From `listeners.json`, an object on each line.
fn parse_listeners(text: &[u8]) -> Option<BTreeMap<String, SocketAddr>> {
    let lines = std::str::from_utf8(text).ok()?.lines();
    lines
        .map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).ok()?;
            Some((value.get("protocol")?.as_str()?.to_owned(), value.get("address")?.as_str()?.parse().ok()?))
        })
        .collect()
}
