//! Programs that people use: swaks, curl, mutt, mbsync, Python. They come from `tests/packages.txt` (Debian) and
//! `tests/requirements.txt` (PyPI, in the environment that `POSTHOUSE_TEST_VENV` names); without them a test fails.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use super::server::{PASSWORD, Server, shared};

/// How long a program may run.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs a program to its end, which must be a success, and gives its output.
fn run(command: &mut Command, input: &str) -> String {
    let output = try_run(command, input);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

fn try_run(command: &mut Command, input: &str) -> Output {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("input");
    fs::write(&path, input).expect("write");
    let out = dir.path().join("out");
    let err = dir.path().join("err");
    let mut child = command
        .stdin(fs::File::open(&path).expect("open"))
        .stdout(Stdio::from(fs::File::create(&out).expect("create")))
        .stderr(Stdio::from(fs::File::create(&err).expect("create")))
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}; the programs of tests/packages.txt must be installed"));
    let status = wait(&mut child)
        .unwrap_or_else(|| panic!("{command:?} hung\n{}", fs::read_to_string(&err).unwrap_or_default()));
    Output { status, stdout: fs::read(out).expect("output"), stderr: fs::read(err).expect("output") }
}

/// Waits for the end of a program; `None`, and it is ended, when time is up.
fn wait(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return Some(status);
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn address(name: &str) -> String {
    format!("{name}@example.test")
}

/// Subjects in INBOX, in order.
fn subjects(server: &Server, name: &str) -> Vec<String> {
    let mut imap = server.imap(name);
    if imap.ok("EXAMINE INBOX").number("EXISTS") == Some(0) {
        return Vec::new();
    }
    let answer = imap.ok("FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])");
    answer
        .untagged
        .iter()
        .filter_map(|r| super::imap::nstring_after(r, b"BODY["))
        .map(|s| String::from_utf8_lossy(&s).trim().trim_start_matches("Subject: ").to_owned())
        .collect()
}

#[test]
fn swaks_sends_plain_with_tls_and_with_authentication() {
    let server = shared();
    let name = server.fresh_account("swaks");
    let to = address(&name);
    let swaks = |listener: &str, subject: &str, more: &[&str]| {
        let mut command = Command::new("swaks");
        command
            .args(["--server", "127.0.0.1", "--port", &server.port(listener).to_string()])
            .args(["--from", &to, "--to", &to, "--ehlo", "client.example.test"])
            .args(["--header", &format!("Subject: {subject}"), "--body", "first\n.\nlast"])
            .args(more);
        run(&mut command, "")
    };
    let login = ["--auth-user", to.as_str(), "--auth-password", PASSWORD];
    swaks("smtp", "plain", &[]);
    swaks("smtp", "starttls", &["--tls"]);
    swaks("smtp", "pipelined", &["--pipeline"]);
    swaks("submission", "auth plain", &[&["--auth", "PLAIN"], &login[..]].concat());
    swaks("submission", "auth login", &[&["--tls", "--auth", "LOGIN"], &login[..]].concat());
    swaks("submissions", "implicit", &[&["--tls-on-connect", "--auth", "PLAIN"], &login[..]].concat());
    assert_eq!(subjects(server, &name), ["plain", "starttls", "pipelined", "auth plain", "auth login", "implicit"]);
    let mut relay = Command::new("swaks");
    relay.args(["--server", "127.0.0.1", "--port", &server.port("smtp").to_string()]);
    relay.args(["--from", &to, "--to", "b@elsewhere.example"]);
    // swaks: 24 is an error in the server's answer to RCPT.
    assert_eq!(try_run(&mut relay, "").status.code(), Some(24));
}

#[test]
fn curl_sends_and_reads_plain_and_with_tls() {
    let server = shared();
    let name = server.fresh_account("curl");
    let to = address(&name);
    let curl = |scheme: &str, listener: &str, path: &str, more: &[&str]| {
        let port = server.port(listener);
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--max-time", "30"])
            .args(["--resolve", &format!("mail.example.test:{port}:127.0.0.1")])
            .arg("--cacert")
            .arg(server.certificate_file())
            .args(more)
            .arg(format!("{scheme}://mail.example.test:{port}{path}"));
        command
    };
    let login = format!("{to}:{PASSWORD}");
    let send = |scheme: &str, listener: &str, subject: &str, more: &[&str]| {
        let base = ["--mail-from", &to, "--mail-rcpt", &to, "-T", "-"];
        let text = format!("From: {to}\r\nSubject: {subject}\r\n\r\n.dot\r\n..\r\nlast\r\n");
        run(&mut curl(scheme, listener, "/client.example.test", &[&base[..], more].concat()), &text);
    };
    send("smtp", "smtp", "plain", &[]);
    send("smtp", "smtp", "starttls", &["--ssl-reqd"]);
    send("smtp", "submission", "submission", &["--ssl-reqd", "-u", &login]);
    send("smtp", "submission", "login", &["--ssl-reqd", "-u", &login, "--login-options", "AUTH=LOGIN"]);
    send("smtps", "submissions", "submissions", &["-u", &login]);
    assert_eq!(subjects(server, &name), ["plain", "starttls", "submission", "login", "submissions"]);

    for (scheme, listener, more) in
        [("imap", "imap", &[][..]), ("imap", "imap", &["--ssl-reqd"][..]), ("imaps", "imaps", &[][..])]
    {
        let more = [more, &["-u", &login]].concat();
        let text = run(&mut curl(scheme, listener, "/INBOX;UID=2", &more), "");
        assert!(text.contains("Subject: starttls\r\n") && text.ends_with("\r\n.dot\r\n..\r\nlast\r\n"), "{text}");
        let text = run(&mut curl(scheme, listener, "/INBOX?SUBJECT%20login", &more), "");
        assert_eq!(text.trim(), "* SEARCH 4");
        let text = run(&mut curl(scheme, listener, "/", &more), "");
        assert!(text.contains("INBOX") && text.contains("\\Trash"), "{text}");
    }
    let appended = "Subject: appended\r\n\r\nover IMAP\r\n";
    // APPEND announces the size, so curl wants a file.
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), appended).expect("write");
    run(&mut curl("imaps", "imaps", "/Archive", &["-u", &login, "-T", &file.path().display().to_string()]), "");
    let text = run(&mut curl("imaps", "imaps", "/Archive;MAILINDEX=1", &["-u", &login]), "");
    assert_eq!(text, appended);
    let wrong = try_run(&mut curl("imaps", "imaps", "/INBOX;UID=1", &["-u", &format!("{to}:wrong")]), "");
    assert_eq!(wrong.status.code(), Some(67), "curl: login denied");
}

#[test]
fn mutt_sends_in_batch() {
    let server = shared();
    let name = server.fresh_account("mutt");
    let to = address(&name);
    let home = tempfile::tempdir().expect("a temporary folder");
    let url_user = to.replace('@', "%40");
    let rc = home.path().join("muttrc");
    fs::write(
        &rc,
        format!(
            "set from=\"{to}\" realname=\"Mutt\" use_envelope_from=yes envelope_from_address=\"{to}\"\n\
             set smtp_url=\"smtp://{url_user}@127.0.0.1:{}/\" smtp_pass=\"{PASSWORD}\" imap_pass=\"{PASSWORD}\"\n\
             set imap_user=\"{to}\" ssl_starttls=no ssl_force_tls=no copy=no hostname=client.example.test\n\
             set confirmcreate=no confirmappend=no mbox_type=mbox quit=yes wait_key=no mark_old=no delete=no\n\
             set smtp_authenticators=\"plain\" imap_authenticators=\"login\" sort=mailbox-order\n",
            server.port("submission"),
        ),
    )
    .expect("write");
    let attachment = home.path().join("data.bin");
    fs::write(&attachment, (0..=255_u8).cycle().take(5000).collect::<Vec<_>>()).expect("write");
    for subject in ["from mutt", "with attachment"] {
        let mut command = Command::new("mutt");
        command.env("HOME", home.path()).args(["-n", "-F"]).arg(&rc).args(["-s", subject]);
        if subject == "with attachment" {
            command.arg("-a").arg(&attachment).arg("--");
        }
        run(command.arg(&to), "Hello\n.\nGrüße\n");
    }
    assert_eq!(subjects(server, &name), ["from mutt", "with attachment"]);
}

#[test]
fn python_smtplib_and_imaplib_agree_with_the_server() {
    let server = shared();
    let to = address(&server.fresh_account("python"));
    let mut command = Command::new("python3");
    command.arg(script("stdlib.py")).arg(server.certificate_file());
    for listener in ["smtp", "submission", "submissions", "imap", "imaps"] {
        command.arg(server.port(listener).to_string());
    }
    assert_eq!(run(command.args([to.as_str(), PASSWORD]), "").trim(), "fine");
}

#[test]
fn imapclient_works_through_a_session_with_idle() {
    let server = shared();
    let to = address(&server.fresh_account("imapclient"));
    let venv = std::env::var("POSTHOUSE_TEST_VENV").expect("POSTHOUSE_TEST_VENV must be set; `make test` does");
    let mut command = Command::new(Path::new(&venv).join("bin/python"));
    command.arg(script("session.py")).args([server.port("smtp").to_string(), server.port("imap").to_string()]);
    assert_eq!(run(command.args([to.as_str(), PASSWORD]), "").trim(), "fine");
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

#[test]
fn mbsync_syncs_2000_messages_both_ways_and_then_has_nothing_to_do() {
    const COUNT: usize = 2000;
    let server = shared();
    let name = server.fresh_account("mbsync");
    let mut imap = server.imap(&name);
    // Pipelined: the answers are read at the end.
    let mut stream = Vec::new();
    for n in 0..COUNT {
        let text =
            format!("From: a@client.example\r\nMessage-ID: <{n}@client.example>\r\nSubject: {n}\r\n\r\nbody {n}\r\n");
        stream.extend_from_slice(format!("p{n} APPEND INBOX {{{}+}}\r\n{text}\r\n", text.len()).as_bytes());
    }
    let mut writer = imap.wire.plain().expect("a plain connection");
    let sending = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &stream));
    for n in 0..COUNT {
        assert!(imap.until(&format!("p{n}")).is_ok());
    }
    sending.join().expect("a thread").expect("sent");

    let home = tempfile::tempdir().expect("a temporary folder");
    let maildir = home.path().join("mail");
    fs::create_dir(&maildir).expect("a folder");
    let rc = home.path().join("mbsyncrc");
    fs::write(
        &rc,
        format!(
            "IMAPAccount there\nHost 127.0.0.1\nPort {port}\nUser {user}\nPass \"{PASSWORD}\"\nSSLType None\nAuthMechs LOGIN\n\n\
             IMAPStore far\nAccount there\n\nMaildirStore near\nPath {folder}/\nInbox {folder}/INBOX\nSubFolders Verbatim\n\n\
             Channel all\nFar :far:\nNear :near:\nPatterns INBOX Archive\nCreate Both\nExpunge Both\nSync All\nSyncState *\n",
            port = server.port("imap"),
            user = address(&name),
            folder = maildir.display(),
        ),
    )
    .expect("write");
    let sync = || {
        let mut command = Command::new("mbsync");
        run(command.env("HOME", home.path()).arg("-c").arg(&rc).arg("all"), "");
    };
    sync();
    assert_eq!(files(&maildir).len(), COUNT);

    // Changes on both sides.
    imap.ok("SELECT INBOX");
    imap.ok("UID STORE 1:10 +FLAGS.SILENT (\\Flagged)");
    imap.ok("UID STORE 11:20 +FLAGS.SILENT (\\Deleted)");
    imap.ok("UID EXPUNGE 11:20");
    let inbox = maildir.join("INBOX");
    let mut here: Vec<_> = files(&inbox.join("new")).into_keys().chain(files(&inbox.join("cur")).into_keys()).collect();
    here.sort();
    let by_subject = |wanted: &str| {
        here.iter()
            .find(|f| fs::read_to_string(f).is_ok_and(|t| t.contains(&format!("Subject: {wanted}\n"))))
            .unwrap_or_else(|| panic!("no message {wanted}"))
            .clone()
    };
    let trashed = by_subject("100");
    let base = |file: &Path| {
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        name.split(":2,").next().expect("a name").to_owned()
    };
    fs::rename(&trashed, inbox.join("cur").join(format!("{}:2,ST", base(&trashed)))).expect("rename");
    let seen = by_subject("101");
    fs::rename(&seen, inbox.join("cur").join(format!("{}:2,FS", base(&seen)))).expect("rename");
    fs::write(inbox.join("cur/1700000000.1.here:2,S"), "Subject: from here\n\nbody\n").expect("write");
    sync();
    assert_eq!(imap.ok("NOOP").number("EXISTS").map(|n| n as usize), Some(COUNT - 10));
    assert_eq!(imap.ok("UID SEARCH SUBJECT \"from here\" SEEN").lines(), [format!("* SEARCH {}", COUNT + 1)]);
    assert_eq!(imap.ok("UID SEARCH UID 101:102 FLAGGED SEEN").lines(), ["* SEARCH 102"]);

    // And then nothing.
    let near = files(&maildir);
    let far = state(&mut imap);
    sync();
    assert_eq!(files(&maildir), near);
    assert_eq!(state(&mut imap), far);
    assert_eq!(near.keys().filter(|f| !f.starts_with(maildir.join("Archive"))).count(), COUNT - 10);
}

/// UIDs and flags (but \Recent) of the selected mailbox.
fn state(imap: &mut super::imap::Imap) -> Vec<(u32, Vec<String>)> {
    let answer = imap.ok("UID FETCH 1:* (FLAGS)");
    answer
        .untagged
        .iter()
        .filter_map(|r| super::grammar::parse_fetch(r).ok())
        .map(|f| {
            let mut flags = f.flags.unwrap_or_default();
            flags.retain(|f| f != "\\Recent");
            flags.sort();
            (f.uid.unwrap_or(0), flags)
        })
        .collect()
}

/// Messages of a Maildir with their content; mbsync's own files begin with a dot.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.append(&mut files(&path));
        } else if !entry.file_name().to_string_lossy().starts_with('.') {
            let content = fs::read(&path).expect("a readable message");
            all.insert(path, content);
        }
    }
    all
}
