//! Real and malformed messages, in over SMTP and over APPEND, and out again octet for octet; ENVELOPE and
//! BODYSTRUCTURE of each are read by the letter of the grammar, and by imap-codec as a second opinion.

use std::fs;
use std::path::{Path, PathBuf};

use imap_codec::ResponseCodec;
use imap_codec::decode::Decoder;

use super::grammar::{Fetch, parse_fetch};
use super::imap::Imap;
use super::server;

/// A message of the corpus.
pub struct Message {
    pub name: String,
    pub octets: Vec<u8>,
}

/// All of them, in order of their names.
pub fn messages() -> Vec<Message> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/messages");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let all: Vec<Message> = files
        .into_iter()
        .map(|file| Message {
            name: file.strip_prefix(&root).expect("below the root").display().to_string(),
            octets: fs::read(&file).expect("a readable message"),
        })
        .collect();
    assert!(all.len() >= 300, "only {} messages", all.len());
    all
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a readable folder").flatten() {
        let path = entry.path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

/// Malformed messages beyond what was found: made by rule, so the same in every run.
fn made() -> Vec<Message> {
    let deep = |n: usize| {
        let mut text = String::new();
        for i in 0..n {
            text.push_str(&format!("Content-Type: multipart/mixed; boundary=b{i}\r\n\r\n--b{i}\r\n"));
        }
        text + "\r\nend\r\n"
    };
    let nested = |n: usize| "Content-Type: message/rfc822\r\n\r\n".repeat(n) + "Subject: inner\r\n\r\nx\r\n";
    [
        ("deep-multipart", deep(300)),
        ("deep-message", nested(300)),
        (
            "many-parts",
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n".to_owned() + &"--b\r\n\r\nx\r\n".repeat(3000),
        ),
        ("many-parameters", format!("Content-Type: text/plain{}\r\n\r\nx\r\n", "; a=b".repeat(5000))),
        ("many-addresses", format!("To: {}\r\n\r\nx\r\n", "a@client.example, ".repeat(3000))),
        ("open-groups", format!("To: {}\r\n\r\nx\r\n", "g: ".repeat(200))),
        ("open-comment", format!("From: {}\r\n\r\nx\r\n", "(".repeat(5000))),
        ("open-quote", "From: \"open\r\nTo: <open\r\nCc: a <b\r\nContent-Type: \"text\r\n\r\nx\r\n".to_owned()),
        ("only-blank-line", "\r\n".to_owned()),
        ("only-header", "Subject: x\r\n".to_owned()),
        ("no-line-end", "Subject: x".to_owned()),
        ("only-colons", ":\r\n: :\r\n::::\r\n\r\nx\r\n".to_owned()),
        ("folded-first", " folded: x\r\n\tmore\r\n\r\nx\r\n".to_owned()),
        ("empty-boundary", "Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\n\r\nx\r\n----\r\n".to_owned()),
        ("no-boundary", "Content-Type: multipart/mixed\r\n\r\nx\r\n".to_owned()),
        (
            "boundary-of-quotes",
            "Content-Type: multipart/mixed; boundary=\"a\\\"b\"\r\n\r\n--a\"b\r\n\r\nx\r\n--a\"b--\r\n".to_owned(),
        ),
        ("many-encoded-words", format!("Subject: {}\r\n\r\nx\r\n", "=?utf-8?q?=C3=A4?= ".repeat(2000))),
        ("bad-encoded-words", "Subject: =?x?q?=?= =?utf-8?b?!!!?= =?utf-8?x?a?= =?\r\n\r\nx\r\n".to_owned()),
        ("literal-like", "Subject: {5}\r\nContent-Type: text/plain; name=\"{3}\"\r\n\r\n{9}\r\n".to_owned()),
        ("parens", "Subject: ((((\r\nContent-Disposition: attachment; filename=\")\\\"(\"\r\n\r\nx\r\n".to_owned()),
        ("nil", "Subject: NIL\r\nFrom: NIL\r\nContent-Type: NIL/NIL\r\n\r\nx\r\n".to_owned()),
        ("long-header-line", format!("Subject: {}\r\n\r\nx\r\n", "x".repeat(900))),
        (
            "languages",
            "Content-Language: de, en ,, fr\r\nContent-MD5: x\r\nContent-Location: y\r\n\r\nx\r\n".to_owned(),
        ),
        ("blank-after-end", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b--\r\n".to_owned()),
        (
            "boundary-prefix",
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--bb\r\n\r\nx\r\n--b\r\n\r\ny\r\n--b--\r\n".to_owned(),
        ),
    ]
    .into_iter()
    .map(|(name, text)| Message { name: format!("made/{name}"), octets: text.into_bytes() })
    .collect()
}

/// With CRLF where there was a bare LF: what a client makes of a file before it sends it.
pub fn with_crlf(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + 64);
    for (n, octet) in octets.iter().enumerate() {
        if *octet == b'\n' && (n == 0 || octets[n - 1] != b'\r') {
            out.push(b'\r');
        }
        out.push(*octet);
    }
    out
}

fn has_bare_cr(octets: &[u8]) -> bool {
    octets.iter().enumerate().any(|(n, c)| *c == b'\r' && octets.get(n + 1) != Some(&b'\n'))
}

#[test]
fn each_message_over_smtp_comes_back_octet_for_octet() {
    let server = server::shared();
    let account = server.fresh_account("corpus");
    let address = format!("{account}@example.test");
    let mut smtp = server.smtp();
    let mut delivered = Vec::new();
    for message in messages().into_iter().chain(made()) {
        let wire = with_crlf(&message.octets);
        let reply = smtp.send("sender@client.example", &[&address], &wire);
        if has_bare_cr(&wire) {
            assert_eq!(reply.code, 550, "{}: {:?}", message.name, reply.lines);
            assert!(reply.lines[0].starts_with("5.6.0"), "{}: {:?}", message.name, reply.lines);
        } else if wire.contains(&0) && reply.code / 100 == 5 {
            // RFC 5321 §2.3.8 and §4.1.1.4 leave it open; a refusal is an answer.
        } else {
            assert_eq!(reply.code, 250, "{}: {:?}", message.name, reply.lines);
            delivered.push((message.name, wire));
        }
    }
    smtp.command("QUIT", 221);

    let mut failures = Vec::new();
    let mut imap = server.imap(&account);
    let exists = imap.ok("SELECT INBOX").number("EXISTS");
    assert_eq!(exists.map(|n| n as usize), Some(delivered.len()));
    for (uid, (name, wire)) in (1..).zip(&delivered) {
        let mut sent = wire.clone();
        if !sent.is_empty() && !sent.ends_with(b"\r\n") {
            sent.extend_from_slice(b"\r\n");
        }
        if let Err(problem) = check(&mut imap, uid, |body| trace_then(body, &sent)) {
            failures.push(format!("{name}: {problem}"));
        }
    }
    server.assert_no_panic();
    assert!(failures.is_empty(), "{} of {}\n{}", failures.len(), delivered.len(), failures.join("\n"));
}

#[test]
fn each_message_over_append_comes_back_octet_for_octet() {
    let server = server::shared();
    let account = server.fresh_account("append");
    let mut imap = server.imap(&account);
    let mut kept = Vec::new();
    for message in messages().into_iter().chain(made()) {
        let answer = imap.append("INBOX", "", &message.octets);
        if message.octets.contains(&0) || message.octets.is_empty() {
            // CHAR8 has no NUL (RFC 3501 §9): refused, or else kept as it is.
            if !answer.is_ok() {
                continue;
            }
        }
        assert!(answer.is_ok(), "{}: {}", message.name, answer.tagged);
        kept.push(message);
    }
    let mut failures = Vec::new();
    imap.ok("SELECT INBOX");
    for (uid, message) in (1..).zip(&kept) {
        let same = |body: &[u8]| {
            if body == message.octets { Ok(()) } else { Err(difference(body, &message.octets)) }
        };
        if let Err(problem) = check(&mut imap, uid, same) {
            failures.push(format!("{}: {problem}", message.name));
        }
    }
    server.assert_no_panic();
    assert!(failures.is_empty(), "{} of {}\n{}", failures.len(), kept.len(), failures.join("\n"));
}

#[test]
fn search_sort_of_words_never_fails_on_malformed_messages() {
    let server = server::shared();
    let account = server.fresh_account("words");
    let mut imap = server.imap(&account);
    for message in messages().into_iter().step_by(4).chain(made()) {
        imap.append("INBOX", "", &message.octets);
    }
    imap.ok("SELECT INBOX");
    for key in [
        "TEXT report",
        "BODY the",
        "SUBJECT re",
        "FROM mailer",
        "HEADER Received by",
        "SENTSINCE 1-Jan-1990",
        "SENTBEFORE 1-Jan-1990",
        "CHARSET UTF-8 TEXT {4+}\r\n\u{fc}\u{df}",
        "NOT TEXT zzzz",
    ] {
        imap.ok(&format!("SEARCH {key}"));
    }
    server.assert_no_panic();
}

/// Everything that is asked about one message.
fn check(imap: &mut Imap, uid: u32, body_is_right: impl Fn(&[u8]) -> Result<(), String>) -> Result<(), String> {
    let whole = fetch(imap, uid, "RFC822.SIZE BODY.PEEK[]")?;
    let body = whole.sections.get("").and_then(Option::as_deref).unwrap_or_default();
    body_is_right(body)?;
    if whole.size != Some(body.len() as u64) {
        return Err(format!("RFC822.SIZE {:?}, but {} octets", whole.size, body.len()));
    }
    let parts = fetch(imap, uid, "BODY.PEEK[HEADER] BODY.PEEK[TEXT]")?;
    let header = parts.sections.get("HEADER").and_then(Option::as_deref).unwrap_or_default();
    let text = parts.sections.get("TEXT").and_then(Option::as_deref).unwrap_or_default();
    if [header, text].concat() != body {
        return Err(format!(
            "HEADER and TEXT are not the message: {} + {} of {}",
            header.len(),
            text.len(),
            body.len()
        ));
    }
    let structure = fetch(imap, uid, "ENVELOPE BODY BODYSTRUCTURE")?;
    if structure.envelope.is_none() {
        return Err("no ENVELOPE".to_owned());
    }
    let (Some(short), Some(long)) = (structure.body, structure.body_structure) else {
        return Err("no BODY or BODYSTRUCTURE".to_owned());
    };
    if short.sections() != long.sections() {
        return Err("BODY and BODYSTRUCTURE do not agree".to_owned());
    }
    for chunk in long.sections().chunks(40).take(5) {
        let items: Vec<_> = chunk.iter().map(|(path, _)| format!("BODY.PEEK[{path}]")).collect();
        let found = fetch(imap, uid, &items.join(" "))?;
        for (path, size) in chunk {
            let got = found.sections.get(path).ok_or_else(|| format!("no BODY[{path}]"))?;
            let length = got.as_ref().map_or(0, Vec::len) as u64;
            if size.is_some_and(|s| s != length) {
                return Err(format!("BODYSTRUCTURE says {size:?} octets for {path}, BODY[{path}] has {length}"));
            }
        }
    }
    Ok(())
}

/// One FETCH, its response read by both readers.
fn fetch(imap: &mut Imap, uid: u32, items: &str) -> Result<Fetch, String> {
    let answer = imap.command(&format!("UID FETCH {uid} ({items})"));
    if !answer.is_ok() {
        return Err(format!("{items}: {}", answer.tagged));
    }
    let [response] = answer.untagged.as_slice() else {
        return Err(format!("{items}: {} responses", answer.untagged.len()));
    };
    let fetch = parse_fetch(response)?;
    if fetch.uid != Some(uid) {
        return Err(format!("UID {:?} instead of {uid}", fetch.uid));
    }
    let mut line = response.clone();
    line.extend_from_slice(b"\r\n");
    match ResponseCodec::new().decode(&line) {
        Ok((b"", _)) => Ok(fetch),
        // It stops at eight levels of parts, and needs bounded memory for it; ours has been read above.
        Err(_) if nesting(response) > 7 => Ok(fetch),
        Ok((rest, _)) => Err(format!("imap-codec leaves {} octets of {items}", rest.len())),
        Err(error) => Err(format!("imap-codec on {items}: {error:?}\n{}", shown(response))),
    }
}

fn nesting(response: &[u8]) -> usize {
    let (mut depth, mut most) = (0_usize, 0);
    for octet in response {
        match octet {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        most = most.max(depth);
    }
    most
}

/// True if the body is trace fields of ours and then exactly what was sent.
fn trace_then(body: &[u8], sent: &[u8]) -> Result<(), String> {
    let Some(prefix) = body.strip_suffix(sent) else { return Err(difference(body, sent)) };
    let prefix = std::str::from_utf8(prefix).map_err(|e| format!("trace: {e}"))?;
    let mut names = Vec::new();
    for line in prefix.split_inclusive("\r\n") {
        if !line.ends_with("\r\n") || line.len() > 998 {
            return Err(format!("trace line {line:?}"));
        }
        if !line.starts_with([' ', '\t']) {
            names.push(line.split(':').next().unwrap_or_default().to_owned());
        }
    }
    // RFC 5321 §4.4: Return-Path first, then Received.
    if names != ["Return-Path", "Received"] {
        return Err(format!("trace fields {names:?}"));
    }
    Ok(())
}

fn difference(got: &[u8], expected: &[u8]) -> String {
    let from_end = got.iter().rev().zip(expected.iter().rev()).take_while(|(a, b)| a == b).count();
    let near = |text: &[u8]| shown(&text[..text.len() - from_end.min(text.len())]);
    format!(
        "{} octets came back, {} were sent; the last {from_end} agree; got …{}, expected …{}",
        got.len(),
        expected.len(),
        near(got),
        near(expected)
    )
}

fn shown(text: &[u8]) -> String {
    text[text.len().saturating_sub(120)..].escape_ascii().to_string()
}
