//! Single copies: one message to a thousand members is stored once, and is in all mailboxes when the 250 arrives.

use std::path::Path;

use super::super::smtp::dot_stuffed;
use super::acme::{Acme, CLIENT};

const MEMBERS: usize = 1_000;

/// What one more mailbox costs on disk at most, beside the message.
const OCTETS_FOR_EACH: u64 = 200;

/// What does not depend on the number of mailboxes: log frames, the trace, the message's own record.
const OCTETS_BESIDE: u64 = 64 << 10;

#[test]
fn a_thousand_members_share_one_message() {
    let mut acme = Acme::start();
    let accounts: String = (0..MEMBERS).map(|n| format!("[[account]]\naddress = \"m{n}@branch.test\"\n")).collect();
    let members: Vec<String> = (0..MEMBERS).map(|n| format!("\"m{n}@branch.test\"")).collect();
    acme.apply(&format!(
        "{}{accounts}[[group]]\naddress = \"thousand@branch.test\"\npermission = \"anyone\"\nmembers = [{}]\n",
        "[[account]]\naddress = \"m0@branch.test\"\npassword = \"open sesame\"\n",
        members.join(", "),
        accounts = accounts.replacen("[[account]]\naddress = \"m0@branch.test\"\n", "", 1),
    ));

    // Lines that do not compress: what is stored is as large as what was sent.
    let mut prng = super::super::prng::Prng(7);
    let line = |_| (0..9).map(|_| format!("{:016x}", prng.next())).collect::<String>() + "\r\n";
    let body: String = (0..7_000).map(line).collect();
    let message = format!("From: a@ext.test\r\nTo: thousand@branch.test\r\nSubject: thousand\r\n\r\n{body}");
    let (entries, octets) = (acme.entries(), octets_below(&acme.server.data()));

    let mut session = acme.host(CLIENT);
    session.command("MAIL FROM:<a@ext.test>", 250);
    session.command("RCPT TO:<thousand@branch.test>", 250);
    session.command("DATA", 354);
    session.wire.send(&dot_stuffed(message.as_bytes()));
    let reply = session.expect(250).lines.join(" ");
    let id = reply.strip_prefix("2.0.0 Accepted ").expect("an id").to_owned();

    // Looked at after the reply, without waiting.
    assert_eq!(acme.get(&format!("/trace/{id}"))["delivery_count"], MEMBERS, "in the trace");
    assert_eq!(acme.entries() - entries, MEMBERS as u64, "in mailboxes");
    assert_eq!(acme.find("m0@branch.test", "INBOX", "thousand").len(), 1, "by IMAP");
    let grown = octets_below(&acme.server.data()).saturating_sub(octets);
    let (size, each) = (message.len() as u64, MEMBERS as u64 * OCTETS_FOR_EACH);
    println!("message of {size} octets to {MEMBERS} mailboxes: the store has grown by {grown}");
    assert!(grown <= size + each + OCTETS_BESIDE, "message of {size} octets: the store has grown by {grown}");
}

/// Octets of all files below a folder.
fn octets_below(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => octets_below(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
