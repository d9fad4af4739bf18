//! The fuzz targets over their corpus and seeded mutations of it: the same inputs in every run. The environment's
//! `POSTHOUSE_FUZZ_ROUNDS` makes it longer; `fuzz/` runs the same functions without end.

#![forbid(unsafe_code)]

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[path = "it/prng.rs"]
mod prng;
#[path = "fuzz/targets.rs"]
mod targets;

use prng::{Prng, mutate};

/// How long one input may take a parser, with much room for a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn smtp_command() {
    run("smtp_command");
}

#[test]
fn smtp_content() {
    run("smtp_content");
}

#[test]
fn imap_stream() {
    run("imap_stream");
}

#[test]
fn sequence_set() {
    run("sequence_set");
}

#[test]
fn mailbox_name() {
    run("mailbox_name");
}

#[test]
fn message() {
    run("message");
}

#[test]
fn date() {
    run("date");
}

#[test]
fn sasl() {
    run("sasl");
}

#[test]
fn proxy_header() {
    run("proxy_header");
}

#[test]
fn reply() {
    run("reply");
}

#[test]
fn remote_reply() {
    run("remote_reply");
}

#[test]
fn downgrade() {
    run("downgrade");
}

#[test]
fn transport_policy() {
    run("transport_policy");
}

#[test]
fn milter_packet() {
    run("milter_packet");
}

fn run(name: &str) {
    let (_, target) = *targets::TARGETS.iter().find(|(n, _)| *n == name).expect("a target");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut files = Vec::new();
    collect(&root.join(name), &mut files);
    // Messages are input for everything that reads streams, too.
    let messages = matches!(name, "message" | "smtp_content" | "downgrade");
    if messages {
        collect(&root.join("messages"), &mut files);
    }
    files.sort();
    assert!(!files.is_empty(), "no corpus for {name}");
    let rounds: u64 = std::env::var("POSTHOUSE_FUZZ_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(if messages {
        4
    } else {
        400
    });
    for file in files {
        let seed = fs::read(&file).expect("a readable file");
        attempt(target, &file, 0, &seed);
        // Long messages get fewer turns: it is the structure that counts.
        let seed = &seed[..seed.len().min(20_000)];
        for round in 1..=rounds {
            let mut random = Prng(round.wrapping_mul(0x2545_F491_4F6C_DD1D));
            attempt(target, &file, round, &mutate(&mut random, seed, TOKENS));
        }
    }
}

fn attempt(target: fn(&[u8]), file: &Path, round: u64, input: &[u8]) {
    let start = Instant::now();
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| target(input)));
    let took = start.elapsed();
    if let Err(cause) = outcome {
        eprintln!("{}, mutation {round}: {}", file.display(), input.escape_ascii());
        panic::resume_unwind(cause);
    }
    assert!(took < LIMIT, "{}, mutation {round}: {took:?}", file.display());
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

const TOKENS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b".\r\n",
    b"\r\n.\r\n",
    b" ",
    b"\t",
    b"(",
    b")",
    b"<",
    b">",
    b"@",
    b":",
    b";",
    b",",
    b"\"",
    b"\\",
    b"{3}\r\n",
    b"{9999999999}",
    b"--",
    b"boundary=",
    b"=?utf-8?q?",
    b"?=",
    b"=?utf-8?b?",
    b"\xff",
    b"\xc3\xa4",
    b"&",
    b"-",
    b"*",
    b"1:*",
    b"4294967295",
    b"n=,r=",
    b"a",
    b"0",
    b"=",
    b"Content-Type: multipart/mixed; boundary=b\r\n",
    b"Content-Type: message/rfc822\r\n",
    b"--b\r\n",
    b"--b--\r\n",
    b"\0\0\0\x01c",
    b"\0\0\xff\xff",
    b"Date: Mon, 99 Feb 19941 25:61:99 -9999\r\n",
];
