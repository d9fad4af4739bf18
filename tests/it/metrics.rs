//! What those who watch over the server read of it.

use std::collections::BTreeSet;

use crate::policy::auth_plain;
use crate::server::{PASSWORD, Server};
use crate::smtp::Smtp;

const ALICE: &str = "alice@example.test";
const BOB: &str = "bob@example.test";
const PAM: &str = "pam@partner.test";

fn message(from: &str, to: &str) -> Vec<u8> {
    format!("From: {from}\r\nTo: {to}\r\nSubject: counted\r\n\r\nHello.\r\n").into_bytes()
}

/// What `GET /metrics` gives, line by line.
fn metrics(server: &Server) -> Vec<String> {
    let (head, body) = server.api("GET", "/metrics", "text/plain", "");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.to_ascii_lowercase().contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    assert!(body.ends_with('\n'), "{body}");
    body.lines().map(str::to_owned).collect()
}

#[test]
fn what_happens_is_counted() {
    // Nobody listens there.
    let hook = "[[hook]]\nname = \"virus\"\nkind = \"clamd\"\naddress = \"127.0.0.1:1\"\non_failure = \"accept\"\n";
    let mut server = Server::prepared(hook);
    server.run();
    server.cli(&["domain", "add", "example.test"], "");
    server.add_account("alice");
    server.add_account("bob");

    let _open = server.imap("alice");
    let mut smtp = Smtp::open(server.address("smtp"));
    assert_eq!(smtp.send(PAM, &[ALICE, BOB], &message(PAM, ALICE)).code, 250);
    smtp.command(&format!("MAIL FROM:<{PAM}>"), 250);
    smtp.command("RCPT TO:<nobody@example.test>", 550);
    let mut submission = Smtp::open(server.address("submission"));
    submission.command(&auth_plain(ALICE, "wrong"), 535);
    submission.command(&auth_plain(ALICE, PASSWORD), 235);
    // It waits: other hosts are never asked here.
    assert_eq!(submission.send(ALICE, &[PAM], &message(ALICE, PAM)).code, 250);

    let lines = metrics(&server);
    for want in [
        "posthouse_messages_total{outcome=\"accepted\",at=\"DATA\"} 2",
        "posthouse_messages_total{outcome=\"refused\",at=\"RCPT\"} 1",
        "posthouse_recipients_total 3",
        "posthouse_sessions_open{protocol=\"imap\"} 1",
        "posthouse_sessions_total{protocol=\"smtp\"} 1",
        "posthouse_login_failures_total{why=\"credentials\"} 1",
        "posthouse_hook_questions_total{hook=\"virus\",kind=\"clamd\"} 2",
        "posthouse_hook_failures_total{hook=\"virus\",kind=\"clamd\"} 2",
        "posthouse_hook_suspended{hook=\"virus\",kind=\"clamd\"} 0",
        "posthouse_queue_items{state=\"waiting\"} 1",
        "posthouse_queue_items{state=\"held\"} 0",
    ] {
        assert!(lines.iter().any(|line| line == want), "{want} in\n{}", lines.join("\n"));
    }
    for positive in [
        "posthouse_hook_seconds_total{hook=\"virus\",kind=\"clamd\"} ",
        "posthouse_store_commit_seconds_count{durability=\"synced\"} ",
    ] {
        let value = lines.iter().find_map(|line| line.strip_prefix(positive)?.parse::<f64>().ok());
        assert!(value.is_some_and(|value| value > 0.0), "{positive}{value:?}");
    }
    assert_exposition(&lines);

    // The queue is not read again within a minute.
    server.cli(&["queue", "hold", "--all"], "");
    assert!(metrics(&server).iter().any(|line| line == "posthouse_queue_items{state=\"waiting\"} 1"));
    assert_eq!(server.stop(), Some(0));
}

/// Each family is there once, with help and type before its samples, and each sample once, as the text format has it.
fn assert_exposition(lines: &[String]) {
    let (mut families, mut samples) = (BTreeSet::new(), BTreeSet::new());
    let (mut family, mut kind) = (String::new(), String::new());
    for line in lines {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').expect("a help");
            assert!(families.insert(name.to_owned()) && !text.is_empty(), "{line}");
            name.clone_into(&mut family);
        } else if let Some(of) = line.strip_prefix("# TYPE ") {
            let (name, of) = of.split_once(' ').expect("a type");
            assert!(name == family && ["counter", "gauge", "histogram"].contains(&of), "{line}");
            assert_eq!(name.ends_with("_total"), of == "counter", "{line}");
            of.clone_into(&mut kind);
        } else {
            let (sample, value) = line.rsplit_once(' ').expect("a value");
            assert!(value.parse::<f64>().is_ok_and(|value| value >= 0.0), "{line}");
            assert!(samples.insert(sample), "{line} twice");
            let (name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
            let suffix = name.strip_prefix(family.as_str()).unwrap_or_else(|| panic!("{line} in {family}"));
            let suffixes = if kind == "histogram" { &["_bucket", "_sum", "_count"][..] } else { &[""] };
            assert!(suffixes.contains(&suffix), "{line}");
            assert!(labels.ends_with('}'), "{line}");
            for label in labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty()) {
                let (name, value) = label.split_once('=').expect("a label");
                assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{line}");
                assert!(value.len() >= 2 && value.starts_with('"') && value.ends_with('"'), "{line}");
            }
        }
    }
    assert!(!samples.is_empty());
}
