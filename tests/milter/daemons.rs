//! Filters of Debian (`tests/packages.txt`), as administrators run them: OpenDKIM, OpenDMARC and rspamd, each with a folder
//! of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use posthouse::emailauth::{DkimInput, EmailAuth};
use posthouse::hooks::{Change, Said};
use posthouse::mail::{Address as Mailbox, EnhancedCode, ReversePath};
use posthouse::net::dns::Dns;
use posthouse::proto::authres::{DkimResult, SpfResult};
use posthouse::proto::message::header_from;
use rcgen::PublicKeyData as _;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::dns::DnsServer;
use super::signer::{Key, Signer, key_name};
use super::*;

/// A daemon that runs until this is dropped.
struct Daemon {
    child: Child,
    dir: TempDir,
}

impl Daemon {
    /// Runs it with these files, in which `DIR` is its folder and of which `conf` is its configuration, and waits until its
    /// socket is there.
    fn start(program: &str, arguments: &[&str], files: &[(&str, &str)], environment: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let in_dir = |text: &str| text.replace("DIR", &dir.path().display().to_string());
        for (name, text) in files {
            fs::write(dir.path().join(name), in_dir(text)).expect("written");
        }
        let log = fs::File::create(dir.path().join("log")).expect("a log");
        let mut command = Command::new(program);
        command.args(arguments).arg(dir.path().join("conf")).stdin(Stdio::null());
        command.envs(environment.iter().map(|(name, value)| (name, in_dir(value))));
        command.stdout(log.try_clone().expect("a log")).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("{program}, of tests/packages.txt: {error}"));
        let mut daemon = Self { child, dir };
        let start = Instant::now();
        while !daemon.socket().exists() {
            let ended = daemon.child.try_wait().expect("a state");
            assert!(ended.is_none() && start.elapsed() < LONG * 6, "{program} does not start: {}", daemon.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        daemon
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("milter.sock")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn session(&self) -> MilterSession {
        session(Address::Unix(self.socket()))
    }

    /// What it answers to a message.
    async fn ask(&self, facts: &Facts, message: &[u8]) -> Answer {
        let end = message.windows(4).position(|octets| octets == b"\r\n\r\n").expect("an end of the header") + 2;
        let mut session = self.session();
        let (last, answer) = super::ask(&mut session, facts, &message[..end], &message[end + 2..]).await;
        session.close().await;
        let answer = answer.unwrap_or_else(|failure| panic!("{failure}: {}", self.log()));
        assert_eq!(last, Question::Message, "{answer:?}: {}", self.log());
        answer
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // rspamd has children, which it ends itself.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if start.elapsed() > LONG * 2 {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

const MESSAGE: &[u8] =
    b"From: Alice <alice@ext.test>\r\nTo: bob@corp.test\r\nSubject: The plan\r\nDate: Sun, 29 Nov 2026 \
                         02:00:00 +0000\r\nMessage-ID: <1@ext.test>\r\n\r\nFirst line \r\n\r\n.dot\r\n\r\n";

fn login() -> Facts {
    Facts { login: Some(Mailbox::parse("alice@ext.test").unwrap()), ..envelope(&["bob@corp.test"]) }
}

/// The values of fields that are added, by name.
fn added<'a>(answer: &'a Answer, name: &str) -> Vec<&'a [u8]> {
    let value = |change: &'a Change| match change {
        Change::AddField { name: added, value } if added == name => Some(value.as_slice()),
        _ => None,
    };
    answer.changes.iter().filter_map(value).collect()
}

/// The value that the first field of that name is to have.
fn changed<'a>(answer: &'a Answer, field: &str) -> Option<&'a [u8]> {
    answer.changes.iter().find_map(|change| match change {
        Change::ChangeField { name, index: 1, value: Some(value) } if name == field => Some(value.as_slice()),
        _ => None,
    })
}

/// With what was added before it, as it is written.
fn with_additions(answer: &Answer, message: &[u8]) -> Vec<u8> {
    let mut out = String::new();
    for change in answer.changes.iter().rev() {
        if let Change::AddField { name, value } = change {
            let value = String::from_utf8(value.clone()).expect("text");
            let space = if value.starts_with(' ') { "" } else { " " };
            out.push_str(&format!("{name}:{space}{}\r\n", value.replace('\n', "\r\n")));
        }
    }
    [out.as_bytes(), message].concat()
}

fn opendkim(mode: &str) -> Daemon {
    let config = format!("Socket local:DIR/milter.sock\nPidFile DIR/pid\nSyslog false\nUMask 0077\n{mode}");
    Daemon::start("/usr/sbin/opendkim", &["-f", "-x"], &[("conf", &config)], &[])
}

#[tokio::test]
async fn opendkim_signs_what_users_submit() {
    let dns = DnsServer::start();
    // The key that the signer has, published.
    let _ = Signer::new(&dns, "ext.test", Key::Rsa);
    let key = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/keys/dkim_rsa.pem");
    for canonicalization in ["simple/simple", "relaxed/relaxed"] {
        let daemon = opendkim(&format!(
            "Mode s\nDomain ext.test\nSelector rsa\nKeyFile {}\nRequireSafeKeys false\nSignatureAlgorithm \
             rsa-sha256\nCanonicalization {canonicalization}\n",
            key.display()
        ));
        let answer = daemon.ask(&login(), MESSAGE).await;
        assert_eq!(added(&answer, "DKIM-Signature").len(), 1, "{answer:?}");
        let signed = with_additions(&answer, MESSAGE);
        let auth = EmailAuth::with_time(Dns::new(&[dns.address()], LONG).unwrap(), LONG);
        let changed = String::from_utf8(signed.clone()).unwrap().replace(".dot", "dot").into_bytes();
        for (message, want) in [(signed, DkimResult::Pass), (changed, DkimResult::Fail)] {
            let mut input = DkimInput::new();
            input.push(&message);
            let results =
                auth.verify(&input.finish(), SpfResult::default(), &ReversePath::Null, &header_from(&message)).await;
            let found: Vec<_> = results.dkim.iter().map(|signature| signature.result).collect();
            assert_eq!(found, [want], "{canonicalization}: {results:?}");
        }
    }
}

#[tokio::test]
async fn opendkim_leaves_strangers_unsigned() {
    let key = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/keys/dkim_rsa.pem");
    let daemon =
        opendkim(&format!("Mode s\nDomain ext.test\nSelector rsa\nKeyFile {}\nRequireSafeKeys false\n", key.display()));
    assert_eq!(daemon.ask(&envelope(&["bob@corp.test"]), MESSAGE).await, verdict(Verdict::Stop));
}

#[tokio::test]
async fn opendkim_verifies_what_comes() {
    let dns = DnsServer::start();
    let signer = Signer::new(&dns, "ext.test", Key::Rsa);
    let signed = String::from_utf8(signer.sign(MESSAGE)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    // OpenSSL wants a SubjectPublicKeyInfo.
    let key = rcgen::KeyPair::from_pem(include_str!("../it/keys/dkim_rsa.pem")).unwrap();
    let public = BASE64_STANDARD.encode(key.subject_public_key_info());
    fs::write(&keys, format!("{} v=DKIM1; k=rsa; p={public}\n", key_name("ext.test", Key::Rsa))).unwrap();
    let daemon = opendkim(&format!(
        "Mode v\nAuthservID mail.corp.test\nAlwaysAddARHeader true\nTestDNSData file:{}\n",
        keys.display()
    ));
    for (message, want) in [
        (signed.clone(), "dkim=pass"),
        (signed.replace(".dot", "dot"), "dkim=fail"),
        (String::from_utf8(MESSAGE.to_vec()).unwrap(), "dkim=none"),
    ] {
        let answer = daemon.ask(&envelope(&["bob@corp.test"]), message.as_bytes()).await;
        let results = added(&answer, "Authentication-Results").concat();
        let results = String::from_utf8(results).unwrap();
        assert!(results.contains(want) && results.contains("mail.corp.test"), "{want} in {results}: {message}");
    }
}

/// For it, ext.test has this policy.
fn opendmarc(policy: Option<&str>) -> Daemon {
    let config = "Socket local:DIR/milter.sock\nPidFile DIR/pid\nSyslog false\nAuthservID mail.corp.test\n\
                  TrustedAuthservIDs mail.corp.test\nRequiredHeaders true\nSoftwareHeader true\nRejectFailures true\n";
    // It asks the DNS of the machine; this library answers instead. It leaves out the octet in front of a text that says
    // how long that is, so that the text must have it.
    let text = match policy {
        Some(policy) => format!("{}{policy}", u8::try_from(policy.len()).map(char::from).expect("a short one")),
        None => "none".to_owned(),
    };
    let hosts = format!("TXT _dmarc.ext.test {text}\n");
    let environment = [("RESOLV_WRAPPER_HOSTS", "DIR/hosts"), ("LD_PRELOAD", "libresolv_wrapper.so")];
    let files = [("conf", config), ("hosts", &hosts)];
    Daemon::start("/usr/sbin/opendmarc", &["-f", "-c"], &files, &environment)
}

#[tokio::test]
async fn opendmarc_adds_its_results_and_refuses_forgeries() {
    let daemon = opendmarc(None);
    let facts = envelope(&["bob@corp.test"]);
    let answer = daemon.ask(&facts, MESSAGE).await;
    let results = String::from_utf8(added(&answer, "Authentication-Results").concat()).unwrap();
    assert!(results.contains("dmarc=none") && results.contains("header.from=ext.test"), "{answer:?}");
    assert_eq!(added(&answer, "DMARC-Filter").len(), 1, "{answer:?}");
    let two_authors = [b"From: eve@evil.test\r\n", MESSAGE].concat();
    let refused = daemon.ask(&facts, &two_authors).await;
    assert_eq!(refused, verdict(Verdict::Refuse(Said::new(5, None, None, ""))));
}

#[tokio::test]
async fn opendmarc_refuses_what_the_policy_of_its_domain_wants_refused() {
    let daemon = opendmarc(Some("v=DMARC1; p=reject; adkim=s; aspf=s"));
    let facts = envelope(&["bob@corp.test"]);
    for (results, want) in [
        ("", None),
        ("Authentication-Results: mail.corp.test; dkim=fail header.d=ext.test\r\n", None),
        ("Authentication-Results: mail.corp.test; dkim=pass header.d=evil.test\r\n", None),
        // Not by whom it trusts.
        ("Authentication-Results: mail.evil.test; dkim=pass header.d=ext.test\r\n", None),
        ("Authentication-Results: mail.corp.test; dkim=pass header.d=ext.test\r\n", Some("dmarc=pass")),
    ] {
        let answer = daemon.ask(&facts, &[results.as_bytes(), MESSAGE].concat()).await;
        match (want, &answer.verdict) {
            (None, Verdict::Refuse(said)) => {
                let told = (said.code(), said.status(), said.text());
                let text = "rejected by DMARC policy for ext.test";
                assert_eq!(told, (Some(550), Some(EnhancedCode::new(5, 7, 1)), text), "{results}");
            }
            (Some(want), Verdict::Continue | Verdict::Stop) => {
                let results = String::from_utf8(added(&answer, "Authentication-Results").concat()).unwrap();
                assert!(results.contains(want), "{want} in {results}");
            }
            (want, _) => panic!("{results}: {want:?}, {answer:?}: {}", daemon.log()),
        }
    }
}

/// Its proxy, which looks at messages itself, without rules and without the network.
fn rspamd() -> Daemon {
    let config = r#"
options {
    pidfile = "DIR/pid";
    filters = "";
    explicit_modules = [];
    disable_hyperscan = true;
    tempdir = "DIR";
    hs_cache_dir = "DIR";
    control_socket = "DIR/control.sock mode=0600";
    url_tld = "DIR/tld";
    enable_test_patterns = true;
    dns { nameserver = ["127.0.0.1:9:1"]; timeout = 1s; }
}
logging { type = "console"; level = "info"; color = false; }
worker "rspamd_proxy" {
    bind_socket = "DIR/milter.sock mode=0600";
    milter = yes;
    timeout = 20s;
    count = 1;
    upstream "local" { default = yes; self_scan = yes; }
}
actions { reject = 15; add_header = 6; rewrite_subject = 4; greylist = null; }
"#;
    // Root may run it, too.
    Daemon::start("/usr/bin/rspamd", &["-f", "-i", "-c"], &[("conf", config), ("tld", "com\ntest\n")], &[])
}

#[tokio::test]
async fn rspamd_takes_marks_and_refuses() {
    let daemon = rspamd();
    let with = |text: &str| [MESSAGE, text.as_bytes(), b"\r\n"].concat();
    let pattern = |first: &str| format!("{first}JS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X");
    let clean = daemon.ask(&login(), MESSAGE).await;
    assert!(matches!(clean.verdict, Verdict::Continue | Verdict::Stop) && clean.changes.is_empty(), "{clean:?}");
    let marked = daemon.ask(&login(), &with(&pattern("Y"))).await;
    assert!(matches!(marked.verdict, Verdict::Continue | Verdict::Stop), "{marked:?}");
    assert_eq!(changed(&marked, "X-Spam"), Some(&b"Yes"[..]), "{marked:?}");
    let renamed = daemon.ask(&login(), &with(&pattern("Z"))).await;
    assert_eq!(changed(&renamed, "Subject"), Some(&b"*** SPAM *** The plan"[..]), "{renamed:?}");
    let refused = daemon.ask(&login(), &with(&pattern("X"))).await;
    let said = Said::new(5, Some(554), Some(EnhancedCode::new(5, 7, 1)), "Gtube pattern");
    assert_eq!(refused.verdict, Verdict::Refuse(said), "{refused:?}");
    // It knew of whom and from where.
    let log = daemon.log();
    for word in ["ip: 192.0.2.10", "user: alice@ext.test", "from: <alice@ext.test>", "rcpts: <bob@corp.test>"] {
        assert!(log.contains(word), "{word} in {log}");
    }
}

#[tokio::test]
async fn several_messages_in_one_session() {
    for daemon in [rspamd(), opendkim("Mode v\nAlwaysAddARHeader true\n")] {
        let mut session = daemon.session();
        session.connect(&facts()).await.unwrap();
        session.hello(&facts()).await.unwrap();
        for n in 0..3 {
            let facts = envelope(&["bob@corp.test", "carol@corp.test"]);
            assert_eq!(session.mail(&facts).await, Ok(Answer::default()));
            assert_eq!(session.rcpt(&facts).await, Ok(Answer::default()));
            if n == 1 {
                session.abort().await.unwrap();
                continue;
            }
            let staging = staged(HEADER, BODY).await;
            let answer = session.message(&facts, &content(HEADER, &staging)).await;
            let answer = answer.unwrap_or_else(|failure| panic!("{failure}: {}", daemon.log()));
            assert!(matches!(answer.verdict, Verdict::Continue | Verdict::Stop), "{answer:?}");
        }
        session.close().await;
    }
}
