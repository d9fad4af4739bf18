//! The engines that Debian has: rspamd with Redis, and clamd, each an instance of the test's own.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tempfile::TempDir;

use super::{ALICE, PAM, messages, send, server_with, traces};
use crate::server::Server;
use crate::smtp::Smtp;

/// A program that ends when it is dropped.
struct Daemon {
    child: Child,
}

impl Daemon {
    /// Starts one that writes its log into `dir`, and waits until it is there.
    fn start(dir: &Path, command: &mut Command, is_up: impl Fn() -> bool) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let log = dir.join("daemon.log");
        let out = File::options().create(true).append(true).open(&log).expect("a log");
        command.stdin(Stdio::null()).stdout(out.try_clone().expect("a log")).stderr(out);
        let child = command.spawn().unwrap_or_else(|error| panic!("{name}, of tests/packages.txt: {error}"));
        let mut daemon = Self { child };
        let start = Instant::now();
        while !is_up() {
            let ended = daemon.child.try_wait().expect("a child");
            let log = || fs::read_to_string(&log).unwrap_or_default();
            assert!(ended.is_none(), "{name} ended: {}", log());
            assert!(start.elapsed() < Duration::from_secs(120), "{name} does not start: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // rspamd's workers end with it, if it is asked.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let start = Instant::now();
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            if start.elapsed() > Duration::from_secs(10) {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn folder(name: &str) -> TempDir {
    tempfile::Builder::new().prefix(&format!("posthouse-it-{name}-")).tempdir().expect("a temporary folder")
}

/// Ports that nobody has now.
fn free_ports<const N: usize>() -> [u16; N] {
    let held: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").expect("bind"));
    std::array::from_fn(|at| held[at].local_addr().expect("an address").port())
}

fn answers(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// rspamd, and Redis for what it learns.
struct Rspamd {
    normal: u16,
    controller: u16,
    dir: TempDir,
    _rspamd: Daemon,
    _redis: Daemon,
}

impl Rspamd {
    fn start() -> Self {
        let dir = folder("rspamd");
        let at = |name: &str| dir.path().join(name);
        let [normal, controller, redis, nowhere] = free_ports();
        let redis_daemon = Daemon::start(
            dir.path(),
            Command::new("redis-server").args(["--bind", "127.0.0.1", "--save", "", "--port", &redis.to_string()]),
            || answers(redis),
        );
        for name in ["local.d", "override.d", "db", "run"] {
            fs::create_dir(at(name)).expect("a folder");
        }
        let here = dir.path().display();
        fs::write(at("tld.dat"), "com\norg\ntest\n").expect("write");
        for (name, text) in [
            ("worker-normal.inc", format!("bind_socket = \"127.0.0.1:{normal}\";\ncount = 1;\n")),
            (
                "worker-controller.inc",
                format!("bind_socket = \"127.0.0.1:{controller}\";\ncount = 1;\nsecure_ip = \"127.0.0.1\";\n"),
            ),
            ("worker-proxy.inc", "enabled = false;\n".to_owned()),
            ("worker-fuzzy.inc", "enabled = false;\n".to_owned()),
            ("redis.conf", format!("servers = \"127.0.0.1:{redis}\";\n")),
            ("logging.inc", "type = \"console\";\nlevel = \"info\";\n".to_owned()),
            (
                "options.inc",
                // No DNS, and a short list of top-level domains: compiling the long one takes half a minute.
                format!(
                    "dns {{ nameserver = [\"127.0.0.1:{nowhere}:1\"]; timeout = 0.1s; retransmits = 1; }}\n\
                     control_socket = \"{here}/run/rspamd.sock mode=0600\";\npidfile = \"{here}/run/rspamd.pid\";\n\
                     url_tld = \"{here}/tld.dat\";\ndisable_hyperscan = true;\n"
                ),
            ),
        ] {
            fs::write(at("local.d").join(name), text).expect("write");
        }
        let var = |name: &str, value: &Path| format!("--var={name}={}", value.display());
        let daemon = Daemon::start(
            dir.path(),
            Command::new("rspamd")
                .args(["-f", "-i", "-u", "root", "-g", "root", "-c", "/etc/rspamd/rspamd.conf"])
                .arg(var("LOCAL_CONFDIR", dir.path()))
                .arg(var("DBDIR", &at("db")))
                .arg(var("RUNDIR", &at("run"))),
            || answers(normal) && answers(controller),
        );
        Self { normal, controller, dir, _rspamd: daemon, _redis: redis_daemon }
    }

    fn hook(&self, more: &str) -> String {
        format!(
            "[[hook]]\nname = \"spam\"\nkind = \"rspamd\"\nurl = \"http://127.0.0.1:{}\"\nlearn_url = \
             \"http://127.0.0.1:{}\"\n{more}\n",
            self.normal, self.controller
        )
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("daemon.log")).unwrap_or_default()
    }
}

const GTUBE: &str = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";

/// A whole message of pam's, about this.
fn mail(subject: &str, body: &str) -> Vec<u8> {
    format!(
        "From: {PAM}\r\nTo: {ALICE}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@partner.test>\r\nDate: Sun, 29 Nov 2026 \
         07:00:00 +0000\r\n\r\n{body}\r\n"
    )
    .into_bytes()
}

fn send_whole(server: &Server, message: &[u8]) -> String {
    let reply = Smtp::open(server.address("smtp")).send(PAM, &[ALICE], message);
    format!("{} {}", reply.code, reply.text())
}

#[test]
fn rspamd_decides_and_learns() {
    let rspamd = Rspamd::start();
    let server = server_with(&rspamd.hook("on_reject = \"junk\""));
    let ordinary = "Some quite ordinary words about our garden, the weather, the dog and dinner tonight at seven.";
    assert!(send_whole(&server, &mail("gtube", GTUBE)).starts_with("250"));
    assert!(send_whole(&server, &mail("ordinary", ordinary)).starts_with("250"));
    assert_eq!(messages(&server, "alice", "INBOX", "gtube").len(), 0);
    assert_eq!(messages(&server, "alice", "Junk", "gtube").len(), 1);
    assert_eq!(messages(&server, "alice", "INBOX", "ordinary").len(), 1);
    let traces = traces(&server);
    let said = traces.iter().find(|trace| trace["record"]["subject"] == "gtube").expect("a trace");
    let reason = said["record"]["hooks"][0]["reasons"][0].as_str().expect("a reason");
    assert!(reason.starts_with("reject: 15.0 of 15.0") && reason.contains("GTUBE"), "{reason}");

    // What users move teaches it; from Junk into the trash is no praise.
    let mut imap = server.imap("alice");
    imap.ok("SELECT INBOX");
    imap.ok("MOVE 1 Junk");
    learned(&rspamd, "learned message as spam: ordinary@partner.test");
    imap.ok("SELECT Junk");
    imap.ok("MOVE 1 INBOX");
    learned(&rspamd, "learned message as ham: gtube@partner.test");
    imap.ok("MOVE 1 Trash");
    assert_eq!(rspamd.log().matches("learned message as").count(), 2, "{}", rspamd.log());
    server.assert_no_panic();
}

fn learned(rspamd: &Rspamd, line: &str) {
    let start = Instant::now();
    while !rspamd.log().contains(line) {
        assert!(start.elapsed() < Duration::from_secs(30), "{line}: {}", rspamd.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_rspamd_rejects_is_refused_or_held_and_comes_out_unchanged() {
    let rspamd = Rspamd::start();
    let server = server_with(&rspamd.hook(""));
    assert_eq!(send_whole(&server, &mail("gtube", GTUBE)), "554 5.7.1 Gtube pattern");
    drop(server);
    let server = server_with(&rspamd.hook("on_reject = \"quarantine\""));
    assert!(send_whole(&server, &mail("gtube", GTUBE)).starts_with("250"));
    assert_eq!(messages(&server, "alice", "INBOX", "gtube").len(), 0);
    let holds: Value = serde_json::from_str(&server.cli(&["hold", "list", "--json"], "")).expect("JSON");
    assert!(holds[0]["why"].as_str().is_some_and(|why| why.contains("GTUBE")), "{holds}");
    server.cli(&["hold", "accept", holds[0]["id"].as_str().expect("an id")], "");
    let released = messages(&server, "alice", "INBOX", "gtube");
    assert_eq!(released.len(), 1);
    assert!(released[0].contains(&String::from_utf8_lossy(&mail("gtube", GTUBE)).into_owned()), "{}", released[0]);
}

struct Clamd {
    socket: String,
    dir: TempDir,
    daemon: Option<Daemon>,
}

impl Clamd {
    /// With one signature, that of the EICAR test file.
    fn start() -> Self {
        let dir = folder("clamd");
        let here = dir.path().display().to_string();
        fs::create_dir(dir.path().join("db")).expect("a folder");
        let signature = "44d88612fea8a8f36de82e1278abb02f:68:Eicar-Test-Signature\n";
        fs::write(dir.path().join("db/test.hdb"), signature).expect("write");
        let config = format!(
            "DatabaseDirectory {here}/db\nLocalSocket {here}/clamd.sock\nForeground yes\nUser root\nTemporaryDirectory \
             {here}\n"
        );
        fs::write(dir.path().join("clamd.conf"), config).expect("write");
        let mut clamd = Self { socket: format!("{here}/clamd.sock"), dir, daemon: None };
        clamd.run();
        clamd
    }

    fn run(&mut self) {
        let _ = fs::remove_file(&self.socket);
        let socket = self.socket.clone();
        let config = self.dir.path().join("clamd.conf");
        let is_up = || std::os::unix::net::UnixStream::connect(&socket).is_ok();
        self.daemon = Some(Daemon::start(self.dir.path(), Command::new("clamd").arg("-c").arg(config), is_up));
    }

    fn hook(&self, more: &str) -> String {
        format!("[[hook]]\nname = \"virus\"\nkind = \"clamd\"\naddress = \"unix:{}\"\n{more}\n", self.socket)
    }
}

/// The EICAR test file, in two halves: whole it would be found here.
fn eicar(subject: &str) -> Vec<u8> {
    let file = format!("{}{}", "X5O!P%@AP[4\\PZX54(P^)7CC)7}$", "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*");
    format!(
        "From: {PAM}\r\nTo: {ALICE}\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; \
         boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhi\r\n--b\r\nContent-Type: application/octet-stream; \
         name=e.com\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n--b--\r\n",
        STANDARD.encode(file)
    )
    .into_bytes()
}

#[test]
fn clamd_finds_a_virus_and_while_it_is_down_mail_waits() {
    let mut clamd = Clamd::start();
    let server = server_with(&clamd.hook(""));
    let infected = send_whole(&server, &eicar("infected"));
    assert!(infected.starts_with("554 5.7.0 Message has a virus: Eicar-Test-Signature"), "{infected}");
    assert!(send(&server, "clean").starts_with("250"));
    let record = &traces(&server)[0]["record"];
    assert_eq!(record["hooks"][0]["reasons"][0], "no virus", "{record}");

    clamd.daemon = None;
    assert_eq!(send(&server, "waits"), "451 4.3.0 Policy temporarily unavailable");
    clamd.run();
    let start = Instant::now();
    while !send(&server, "waits").starts_with("250") {
        assert!(start.elapsed() < Duration::from_secs(30), "it does not come back");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(messages(&server, "alice", "INBOX", "body of waits").len(), 1);
    drop(server);

    clamd.daemon = None;
    let server = server_with(&clamd.hook("on_failure = \"accept\""));
    assert!(send_whole(&server, &eicar("marked")).starts_with("250"));
    let marked = messages(&server, "alice", "INBOX", "marked");
    assert!(marked[0].contains("X-Posthouse-Unchecked: virus\r\n"), "{marked:?}");
    drop(server);

    clamd.run();
    let server = server_with(&clamd.hook("on_virus = \"quarantine\""));
    assert!(send_whole(&server, &eicar("kept")).starts_with("250"));
    assert_eq!(messages(&server, "alice", "INBOX", "kept").len(), 0);
    let holds = server.cli(&["hold", "list", "--kind", "quarantine", "--json"], "");
    assert!(holds.contains("Message has a virus"), "{holds}");
}
