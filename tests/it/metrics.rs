//! What those who watch over the server read of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::hooks::program::{Does, Program};
use crate::outbound::eventually;
use crate::outbound::network::{Network, accounts, submit};
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
        "posthouse_hook_seconds_bucket{hook=\"virus\",kind=\"clamd\",stage=\"data\",le=\"+Inf\"} 2",
        "posthouse_hook_seconds_count{hook=\"virus\",kind=\"clamd\",stage=\"data\"} 2",
        // The one that was refused at RCPT had no end.
        "posthouse_acceptance_seconds_count 2",
        "posthouse_hook_failures_total{hook=\"virus\",kind=\"clamd\"} 2",
        "posthouse_hook_suspended{hook=\"virus\",kind=\"clamd\"} 0",
        "posthouse_queue_items{state=\"waiting\"} 1",
        "posthouse_queue_items{state=\"held\"} 0",
    ] {
        assert!(lines.iter().any(|line| line == want), "{want} in\n{}", lines.join("\n"));
    }
    for positive in [
        "posthouse_hook_seconds_sum{hook=\"virus\",kind=\"clamd\",stage=\"data\"} ",
        "posthouse_acceptance_seconds_sum ",
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

#[test]
fn slow_answers_of_hooks_are_told_apart_by_stage() {
    let program = Program::start();
    program.does_at("rcpt", Does::Waits(Duration::from_millis(300), json!({ "verdict": "accept" })));
    let hook = format!(
        "[[hook]]\nname = \"ask\"\nkind = \"http\"\nurl = \"http://{}/\"\nsecret_file = \"{}\"\n\
         stages = [\"mail\", \"rcpt\"]\n",
        program.address,
        program.secret_file().display()
    );
    let mut server = Server::prepared(&hook);
    server.run();
    server.cli(&["domain", "add", "example.test"], "");
    server.add_account("alice");
    assert_eq!(server.smtp().send(PAM, &[ALICE], &message(PAM, ALICE)).code, 250);
    let lines = metrics(&server);
    let count = |stage: &str, bound: &str| {
        let labels = format!("hook=\"ask\",kind=\"http\",stage=\"{stage}\",le=\"{bound}\"");
        let bucket = format!("posthouse_hook_seconds_bucket{{{labels}}} ");
        lines.iter().find_map(|line| line.strip_prefix(&bucket)?.parse::<u64>().ok())
    };
    for (stage, bound, want) in [
        ("mail", "+Inf", Some(1)),
        ("rcpt", "0.25", Some(0)),
        ("rcpt", "30", Some(1)),
        ("rcpt", "+Inf", Some(1)),
        // It is never asked there.
        ("data", "+Inf", None),
    ] {
        assert_eq!(count(stage, bound), want, "{stage} {bound} in\n{}", lines.join("\n"));
    }
    assert_exposition(&lines);
}

#[test]
fn attempts_at_other_hosts_are_timed_by_what_came_of_them() {
    let network = Network::new();
    let (a, b) = (network.server('a', ""), network.server('b', ""));
    accounts(&a, &[("alice@a.test", "")]);
    accounts(&b, &[("bob@b.test", "")]);
    // Nobody listens at p.test.
    for to in ["bob@b.test", "nobody@b.test", "pam@p.test"] {
        submit(&a, "alice@a.test", to, "timed");
    }
    for (outcome, so) in [("relayed", "1"), ("failed", "1"), ("deferred", "")] {
        let count = format!("posthouse_delivery_attempt_seconds_count{{outcome=\"{outcome}\"}} {so}");
        eventually(&count, || metrics(&a).iter().any(|line| line.starts_with(&count)));
    }
    assert_exposition(&metrics(&a));
}

/// A server with a port for what is counted.
fn with_port(bind: &str) -> Server {
    let mut server = Server::prepared(&format!("[metrics]\nbind = \"{bind}\"\n"));
    server.run();
    server
}

/// Head and body of what the port answers to this request.
fn asked(server: &Server, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(server.address("metrics")).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
    stream.write_all(request.as_bytes()).expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.to_owned(), body.to_owned())
}

#[test]
fn prometheus_has_a_port_where_nothing_else_is_answered() {
    let mut server = with_port("127.0.0.1:0");
    server.cli(&["domain", "add", "example.test"], "");
    server.add_account("alice");
    assert_eq!(server.smtp().send(PAM, &[ALICE], &message(PAM, ALICE)).code, 250);

    let url = format!("http://{}/metrics", server.address("metrics"));
    let curl = Command::new("curl").args(["-sS", "-i", &url]).output().expect("curl, of tests/packages.txt");
    assert!(curl.status.success(), "{}", String::from_utf8_lossy(&curl.stderr));
    let answer = String::from_utf8(curl.stdout).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(head.to_ascii_lowercase().contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    let lines: Vec<String> = body.lines().map(str::to_owned).collect();
    assert!(lines.iter().any(|line| line == "posthouse_messages_total{outcome=\"accepted\",at=\"DATA\"} 1"), "{body}");
    assert_exposition(&lines);

    // More than any scraper sends.
    let fields: String = (0..200).map(|n| format!("X-{n}: x\r\n")).collect();
    let long = format!("GET /metrics HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
    let request = |line: &str| format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    for (request, status) in [
        (request("GET /"), 404),
        (request("GET /metrics/"), 404),
        (request("GET /healthz"), 404),
        (request("GET /api/v1/metrics"), 404),
        (request("GET /api/v1/status"), 404),
        (request("POST /api/v1/domains"), 404),
        (request("POST /metrics"), 405),
        (request("DELETE /metrics"), 405),
        (long, 431),
        ("nothing of HTTP\r\n\r\n".to_owned(), 400),
    ] {
        let (head, body) = asked(&server, &request);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head} to {}", request.lines().next().unwrap_or(""));
        assert!(body.is_empty(), "{body}");
    }
    assert!(!server.log().contains("metrics.bind"), "nothing to warn of: {}", server.log());
    server.assert_no_panic();
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn who_says_nothing_to_the_metrics_port_loses_the_connection() {
    let server = with_port("127.0.0.1:0");
    let slow = ["", "GET /metrics HTTP/1.1\r\nHost: "].map(|begun| {
        let mut stream = TcpStream::connect(server.address("metrics")).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
        stream.write_all(begun.as_bytes()).expect("written");
        stream
    });
    for mut stream in slow {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it is ended");
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
}

#[test]
fn nobody_listens_for_prometheus_unless_it_is_configured() {
    for section in ["", "[metrics]\n"] {
        let mut server = Server::prepared(section);
        server.run();
        let listeners = std::fs::read_to_string(server.data().join("listeners.json")).expect("what is bound");
        assert!(listeners.contains("\"smtp\"") && !listeners.contains("metrics"), "{listeners}");
        assert!(!server.log().contains("metrics"), "{}", server.log());
    }
}

#[test]
fn a_metrics_port_that_others_reach_is_warned_of() {
    let server = with_port("0.0.0.0:0");
    let warned = |line: &str| line.contains("WARN") && line.contains("metrics.bind is no loopback address");
    assert!(server.log().lines().any(warned), "{}", server.log());
}

#[test]
fn a_metrics_port_in_use_fails_the_start() {
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = other.local_addr().expect("an address");
    let server = Server::prepared(&format!("[metrics]\nbind = \"{address}\"\n"));
    let output = server.try_cli(&["serve"], "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains(&format!("metrics.bind {address}: Address already in use")), "{said}");
}

/// Each family is there once, with help and type before its samples, and each sample once, as the text format has it;
/// and Prometheus' own check finds nothing to say.
fn assert_exposition(lines: &[String]) {
    assert_checked_by_promtool(lines);
    assert_histograms(lines);
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

/// In each histogram buckets only grow, up to the one without a bound, which says what the count says.
fn assert_histograms(lines: &[String]) {
    let mut buckets: BTreeMap<String, Vec<(f64, u64)>> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.contains("_bucket{")) {
        let (sample, count) = line.rsplit_once(' ').expect("a value");
        let (series, bound) = sample.trim_end_matches("\"}").split_once("le=\"").expect("a bound");
        let series = series.replace("_bucket{", "_count{").trim_end_matches([',', '{']).to_owned();
        let bucket = (bound.parse().expect("a bound"), count.parse().expect("a count"));
        buckets.entry(series).or_default().push(bucket);
    }
    assert!(!buckets.is_empty());
    for (series, buckets) in buckets {
        assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{series}: {buckets:?}");
        let (bound, all) = *buckets.last().expect("a bucket");
        let close = if series.contains('{') { "}" } else { "" };
        let count = format!("{series}{close} {all}");
        assert!(bound.is_infinite() && lines.contains(&count), "{count} in {buckets:?}");
    }
}

fn assert_checked_by_promtool(lines: &[String]) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool, of prometheus in tests/packages.txt");
    let text = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect::<String>();
    promtool.stdin.take().expect("piped").write_all(text.as_bytes()).expect("written");
    let output = promtool.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}
