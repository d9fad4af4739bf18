//! Monitoring leaves no trace (policy semantics §13.5, invariant 7 of §22): the same sessions against two servers, one of
//! them full of copy rules, and everybody but the monitors sees the same octets.

use super::super::smtp::{Smtp, dot_stuffed};
use super::acme::{Acme, CLIENT, full};
use super::row::say;

/// Every kind of copy: of everybody, of one, of a group, by what is written, as a report, into INBOX.
const RULES: &str = r#"
[[rule]]
name = "everybody"
priority = 1
actions = [{ copy = { monitor = "erin@corp.test", folder = "watched" } }]

[[rule]]
name = "alice"
priority = 2
scope = ["alice@corp.test"]
actions = [{ copy = { monitor = "dave@corp.test", form = "report", folder = "reports" } }]

[[rule]]
name = "group"
priority = 3
scope = ["g-any@corp.test"]
conditions = [{ keyword = { values = ["hello"] } }]
actions = [{ copy = { monitor = "erin@corp.test" } }, "stop"]
"#;

/// Who writes (a user, or an outsider), under which address, to whom.
const TRAFFIC: &[(Option<&str>, &str, &[&str])] = &[
    (None, "stranger@ext.test", &["alice@corp.test"]),
    (None, "stranger@ext.test", &["alice@corp.test", "bob@corp.test", "nobody@corp.test"]),
    (None, "stranger@ext.test", &["g-any@corp.test", "alice+x@corp.test"]),
    (None, "", &["g-any@corp.test"]),
    (None, "stranger@ext.test", &["g-dom@corp.test"]),
    (None, "alice@corp.test", &["g-dom@corp.test"]),
    (Some("alice"), "alice@corp.test", &["bob@corp.test"]),
    (Some("alice"), "alice@corp.test", &["pam@partner.test", "carol@corp.test"]),
    (Some("bob"), "bob@corp.test", &["g-out@corp.test"]),
    (Some("carol"), "carol@corp.test", &["g-dom@corp.test", "frank@corp.test"]),
    (Some("bob"), "support@corp.test", &["g-any@corp.test"]),
];

#[test]
fn watched_and_unwatched_servers_look_the_same() {
    let [watched, plain] = [true, false].map(|is_watched| {
        std::thread::spawn(move || {
            let mut acme = Acme::start();
            if is_watched {
                acme.apply(RULES);
            }
            let seen = observe(&mut acme);
            let copies = if is_watched { acme.find("erin", "watched", "Subject").len() } else { 0 };
            (seen, copies)
        })
    });
    let (watched, copies) = watched.join().expect("one server");
    let (plain, _) = plain.join().expect("the other server");
    assert!(copies > 5, "the monitor has {copies} copies");
    for (with, without) in watched.iter().zip(&plain) {
        assert_eq!(with, without);
    }
    assert_eq!(watched.len(), plain.len());
}

/// What peers, senders and recipients see, one line for each thing, without what names a moment.
fn observe(acme: &mut Acme) -> Vec<String> {
    let mut seen = Vec::new();
    for (number, (login, mail, recipients)) in TRAFFIC.iter().enumerate() {
        let mut session = match login {
            Some(user) => acme.login(user),
            None => acme.host(CLIENT),
        };
        seen.push(say(&mut session, &format!("MAIL FROM:<{mail}>")));
        for recipient in *recipients {
            seen.push(say(&mut session, &format!("RCPT TO:<{recipient}> NOTIFY=SUCCESS,FAILURE")));
        }
        seen.push(send(&mut session, number, mail, login));
    }
    for user in ["alice", "bob", "carol", "admin", "gina@branch.test", "hank"] {
        look(acme, user, &mut seen);
    }
    let queue = acme.get("/queue");
    let text = |item: &serde_json::Value| format!("{} {} {}", item["recipient"], item["reverse_path"], item["kind"]);
    seen.extend(queue["items"].as_array().into_iter().flatten().map(text));
    seen
}

fn send(session: &mut Smtp, number: usize, mail: &str, login: &Option<&str>) -> String {
    let reply = say(session, "DATA");
    if !reply.starts_with("354") {
        return reply;
    }
    let author = login.map_or_else(|| mail.to_owned(), full);
    let message = format!(
        "From: <{author}>\r\nTo: you@corp.test\r\nSubject: message {number}\r\nDate: Sun, 22 Nov 2026 09:00:00 \
         +0000\r\nMessage-ID: <t{number}@rows.test>\r\n\r\nhello\r\n"
    );
    session.wire.send(&dot_stuffed(message.as_bytes()));
    let reply = session.reply();
    timeless(&format!("{} {}", reply.code, reply.lines.join(" | ")))
}

/// All that an account can see of itself over IMAP.
fn look(acme: &mut Acme, user: &str, seen: &mut Vec<String>) {
    let imap = acme.imap(user);
    for command in [
        "LIST \"\" \"*\"",
        "LSUB \"\" \"*\"",
        "SELECT INBOX",
        "FETCH 1:* (UID FLAGS RFC822.SIZE ENVELOPE BODYSTRUCTURE)",
        "FETCH 1:* (BODY.PEEK[])",
        "UID SEARCH ALL",
        "STATUS INBOX (MESSAGES UIDNEXT UNSEEN)",
        "STATUS Junk (MESSAGES UIDNEXT UNSEEN)",
    ] {
        let answer = imap.command(command);
        seen.push(format!("{user}: {command}: {}", timeless(&answer.tagged)));
        seen.extend(answer.lines().iter().map(|line| format!("{user}: {command}: {}", timeless(line))));
    }
}

/// Without ids, times and boundaries: each run of letters and digits that has a digit and is longer than a word, and
/// whatever looks like a time or a UIDVALIDITY.
fn timeless(text: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    for c in text.chars().chain(std::iter::once(' ')) {
        if c.is_ascii_alphanumeric() {
            word.push(c);
            continue;
        }
        let has_digit = word.bytes().any(|b| b.is_ascii_digit());
        let is_time = c == ':' && word.len() == 2 && has_digit || out.ends_with("##:") && word.len() == 2;
        match (has_digit && word.len() >= 9, is_time) {
            (true, _) => out.push_str("<id>"),
            (_, true) => out.push_str("##"),
            _ => out.push_str(&word),
        }
        word.clear();
        out.push(c);
    }
    out
}
