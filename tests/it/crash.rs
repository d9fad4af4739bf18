//! SIGKILL at random points under SMTP and APPEND load: what was answered 250 or OK is there, once and whole, and
//! `posthouse check` has nothing to say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::imap::Imap;
use super::prng::Prng;
use super::server::{PASSWORD, Server};
use super::smtp::{Smtp, dot_stuffed};
use super::wire::Wire;

const SMTP_CLIENTS: u64 = 3;
const APPEND_CLIENTS: u64 = 2;

#[test]
fn nothing_answered_is_lost_or_doubled_by_sigkill() {
    let rounds: u64 = std::env::var("POSTHOUSE_CRASH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(50);
    let mut random = Prng(2026);
    let mut server = Server::start();
    let number = AtomicU64::new(0);
    let mut answered: BTreeMap<&'static str, BTreeSet<u64>> = BTreeMap::new();
    let mut seen_before: BTreeMap<&'static str, BTreeMap<u64, u32>> = BTreeMap::new();
    for round in 0..rounds {
        let stop = AtomicBool::new(false);
        let delay = Duration::from_micros(20_000 + random.next() % 180_000);
        let (submitted, appended) = std::thread::scope(|scope| {
            let (server_ref, stop_ref, number_ref) = (&server, &stop, &number);
            let smtp: Vec<_> = (0..SMTP_CLIENTS)
                .map(|n| scope.spawn(move || smtp_load(server_ref, stop_ref, number_ref, Prng(round * 10 + n))))
                .collect();
            let imap: Vec<_> = (0..APPEND_CLIENTS)
                .map(|n| scope.spawn(move || append_load(server_ref, stop_ref, number_ref, Prng(round * 10 + 5 + n))))
                .collect();
            // The point of the kill is the time itself, so a sleep is what is meant here.
            std::thread::sleep(delay);
            kill(server_ref.pid());
            stop.store(true, Ordering::Relaxed);
            let submitted: Vec<u64> = smtp.into_iter().flat_map(|t| t.join().expect("a client")).collect();
            let appended: Vec<u64> = imap.into_iter().flat_map(|t| t.join().expect("a client")).collect();
            (submitted, appended)
        });
        server.kill();
        server.run();
        // A message over SMTP goes to both, in one commit.
        answered.entry("alice").or_default().extend(&submitted);
        answered.entry("bob").or_default().extend(&submitted);
        answered.entry("carol").or_default().extend(&appended);
        // Looking at everything each time would be quadratic: every tenth round, and the last.
        let all = round % 10 == 9 || round + 1 == rounds;
        for (name, expected) in &answered {
            let before = seen_before.entry(name).or_default();
            look(&server, name, round, expected, before, all);
        }
        if all {
            let (alice, bob) = (&seen_before["alice"], &seen_before["bob"]);
            let keys: Vec<_> = alice.keys().collect();
            assert_eq!(keys, bob.keys().collect::<Vec<_>>(), "round {round}: a message reached one recipient of two");
        }
        let report = server.try_cli(&["check"], "");
        assert!(
            report.status.success(),
            "round {round}: check: {}{}",
            String::from_utf8_lossy(&report.stdout),
            String::from_utf8_lossy(&report.stderr)
        );
    }
    server.assert_no_panic();
    let total: usize = answered.values().map(BTreeSet::len).sum();
    assert!(total as u64 > rounds, "only {total} messages in {rounds} rounds: no load");
    assert_eq!(server.stop(), Some(0), "an orderly end");
}

/// SIGKILL to a process that this test started and still waits for.
pub fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("a signal");
}

/// A message that tells its number at both ends and can be checked for holes.
/// Messages that clients send one after the other.
pub struct Load {
    pub from: &'static str,
    pub to: &'static str,
    /// The message of this number.
    pub text: fn(u64) -> String,
}

/// Clients send under SIGKILL, so often, and the server is started again; gives the numbers of the messages that were
/// answered 250. `connect` opens a session that may send.
pub fn killed_under_load(server: &mut Server, kills: u64, connect: fn(&Server) -> Smtp, load: &Load) -> BTreeSet<u64> {
    let (number, mut answered) = (AtomicU64::new(0), BTreeSet::new());
    for round in 0..kills {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let sessions: Vec<Smtp> = (0..SMTP_CLIENTS).map(|_| connect(server)).collect();
            let (stop_ref, number_ref) = (&stop, &number);
            let send = |smtp| scope.spawn(move || load.send(smtp, stop_ref, number_ref));
            let clients: Vec<_> = sessions.into_iter().map(send).collect();
            // The point of the kill is the time itself, so a sleep is what is meant here.
            std::thread::sleep(Duration::from_millis(150 + 40 * round));
            kill(server.pid());
            stop.store(true, Ordering::Relaxed);
            answered.extend(clients.into_iter().flat_map(|client| client.join().expect("a client")));
        });
        server.kill();
        server.run();
    }
    assert!(answered.len() as u64 > 2 * kills, "only {} messages: no load", answered.len());
    answered
}

impl Load {
    /// Sends until the server is gone; gives the numbers of the messages that were answered 250.
    fn send(&self, mut smtp: Smtp, stop: &AtomicBool, number: &AtomicU64) -> Vec<u64> {
        let mut answered = Vec::new();
        let commands = format!("MAIL FROM:<{}>\r\nRCPT TO:<{}>\r\nDATA\r\n", self.from, self.to);
        while !stop.load(Ordering::Relaxed) {
            let number = number.fetch_add(1, Ordering::Relaxed);
            let replies = smtp.wire.try_send(commands.as_bytes()).is_ok() && (0..3).all(|_| smtp.try_reply().is_ok());
            let text = dot_stuffed((self.text)(number).as_bytes());
            if !replies || smtp.wire.try_send(&text).is_err() {
                break;
            }
            match smtp.try_reply() {
                Ok(reply) if reply.code == 250 => answered.push(number),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        answered
    }
}

fn message(number: u64, random: &mut Prng) -> Vec<u8> {
    // Most are small; some are larger than a chunk of content.
    let lines = if random.below(10) == 0 { 4000 + random.below(5000) } else { random.below(60) };
    let mut out = format!("Subject: crash {number}\r\nX-Lines: {lines}\r\n\r\n");
    for line in 0..lines {
        out.push_str(&format!("{number} {line} abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuvwxyz\r\n"));
    }
    out.push_str(&format!("end {number}\r\n"));
    out.into_bytes()
}

fn whole(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let start = text.find("Subject: crash ")?;
    let text = &text[start..];
    let number: u64 = text.strip_prefix("Subject: crash ")?.split("\r\n").next()?.parse().ok()?;
    let lines: usize = text.split("X-Lines: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
    let mut expected = format!("Subject: crash {number}\r\nX-Lines: {lines}\r\n\r\n");
    for line in 0..lines {
        expected.push_str(&format!("{number} {line} abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuvwxyz\r\n"));
    }
    expected.push_str(&format!("end {number}\r\n"));
    (text == expected).then_some(number)
}

fn smtp_load(server: &Server, stop: &AtomicBool, number: &AtomicU64, mut random: Prng) -> Vec<u64> {
    let mut done = Vec::new();
    let Ok(wire) = std::panic::catch_unwind(|| Wire::connect(server.address("smtp"))) else { return done };
    let mut smtp = Smtp { wire };
    let mut greeted = || -> std::io::Result<()> {
        smtp.try_reply()?;
        smtp.wire.try_send(b"EHLO client.example.test\r\n")?;
        smtp.try_reply().map(drop)
    };
    if greeted().is_err() {
        return done;
    }
    while !stop.load(Ordering::Relaxed) {
        let n = number.fetch_add(1, Ordering::Relaxed);
        let data = dot_stuffed(&message(n, &mut random));
        let mut one = || -> std::io::Result<u16> {
            smtp.wire.try_send(
                b"MAIL FROM:<a@client.example>\r\nRCPT TO:<alice@example.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n",
            )?;
            for _ in 0..4 {
                smtp.try_reply()?;
            }
            smtp.wire.try_send(&data)?;
            Ok(smtp.try_reply()?.code)
        };
        match one() {
            Ok(250) => done.push(n),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    done
}

fn append_load(server: &Server, stop: &AtomicBool, number: &AtomicU64, mut random: Prng) -> Vec<u64> {
    let mut done = Vec::new();
    let Ok(mut imap) = std::panic::catch_unwind(|| Imap::raw(server.address("imap"))) else { return done };
    let mut log_in = || -> std::io::Result<()> {
        imap.try_response()?;
        imap.wire.try_send(format!("l LOGIN carol@example.test \"{PASSWORD}\"\r\n").as_bytes())?;
        imap.try_until("l").map(drop)
    };
    if log_in().is_err() {
        return done;
    }
    while !stop.load(Ordering::Relaxed) {
        let n = number.fetch_add(1, Ordering::Relaxed);
        let content = message(n, &mut random);
        let mut command = format!("a APPEND INBOX {{{}+}}\r\n", content.len()).into_bytes();
        command.extend_from_slice(&content);
        command.extend_from_slice(b"\r\n");
        let answer = imap.wire.try_send(&command).and_then(|()| imap.try_until("a"));
        match answer {
            Ok(answer) if answer.is_ok() => done.push(n),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    done
}

/// Compares a mailbox with what was answered; `seen` holds what earlier rounds found, by UID.
fn look(server: &Server, name: &str, round: u64, expected: &BTreeSet<u64>, seen: &mut BTreeMap<u64, u32>, all: bool) {
    let mut imap = server.imap(name);
    imap.ok("EXAMINE INBOX");
    let last = seen.values().max().copied().unwrap_or(0);
    let from = if all { 1 } else { last + 1 };
    let answer = imap.ok(&format!("UID FETCH {from}:* (BODY.PEEK[])"));
    if all {
        seen.clear();
    }
    for response in &answer.untagged {
        let fetch = super::grammar::parse_fetch(response).unwrap_or_else(|e| panic!("round {round}: {e}"));
        let uid = fetch.uid.expect("a UID");
        if uid < from {
            continue;
        }
        let text = fetch.sections.get("").and_then(Option::as_deref).unwrap_or_default();
        let Some(number) = whole(text) else {
            panic!("round {round}: {name}: UID {uid} is not whole: {}", text[..text.len().min(300)].escape_ascii());
        };
        let other = seen.insert(number, uid);
        assert_eq!(other, None, "round {round}: {name}: message {number} is there twice");
    }
    let lost: Vec<_> = expected.iter().filter(|n| !seen.contains_key(n)).collect();
    assert!(lost.is_empty(), "round {round}: {name}: lost {lost:?}");
}
