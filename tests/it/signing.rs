//! What leaves is signed as its receivers see it (RFC 6376, RFC 8617), with keys that come and go; what the DNS has of a
//! domain is compared; and what DMARC says of what comes in counts as the organisation wants it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mail_auth::{AuthenticatedMessage, DkimResult as Theirs, MessageAuthenticator};
use posthouse::emailauth::{DkimInput, Signer as SealKey, make_key, seal};
use posthouse::mail::{Domain, KeyAlgorithm, Timestamp};
use posthouse::proto::authres::Identities;
use posthouse::server::admin::Actor;
use posthouse::server::admin::published::KeysView;
use posthouse::store::{AuditOrder, QueueList};

use super::dns::DnsServer;
use super::inside::Inside;
use super::server::Server;
use super::signer::{Key, Signer};
use super::smtp::Smtp;

/// Two organisations. bob forwards, friends has a member elsewhere, carol is somebody else's.
const WORLD: &str = r#"
[[organisation]]
name = "corp"
external_forward = "allow"
[[organisation]]
name = "other"
[[domain]]
name = "corp.test"
organisation = "corp"
[[domain]]
name = "example.test"
organisation = "corp"
[[domain]]
name = "other.test"
organisation = "other"
[[account]]
address = "alice@corp.test"
password = "open sesame"
[[account]]
address = "bob@corp.test"
password = "open sesame"
admin_forward = { targets = ["bob@home.test"] }
[[account]]
address = "carol@other.test"
password = "open sesame"
[[group]]
address = "friends@corp.test"
permission = "anyone"
external_members = true
members = ["alice@corp.test", "dan@elsewhere.test"]
[[relay]]
network = "127.0.0.1"
kind = "gateway"
"#;

const MESSAGE: &[u8] =
    b"From: Alice <alice@corp.test>\r\nTo: pam@partner.test\r\nSubject: The plan\r\n\r\nFirst line \r\n.dot\r\n\r\n";

fn domain(name: &str) -> Domain {
    Domain::parse(name).expect("a domain")
}

/// The world with keys that are published.
fn world() -> Inside {
    let inside = Inside::start();
    inside.apply(WORLD);
    inside.run(inside.admin.make_missing_keys());
    for name in ["corp.test", "example.test", "other.test"] {
        publish(&inside, name);
    }
    inside
}

fn keys(inside: &Inside, name: &str) -> KeysView {
    inside.admin.keys(&domain(name)).expect("keys")
}

/// Publishes all keys of a domain.
fn publish(inside: &Inside, name: &str) {
    for key in keys(inside, name).pairs.iter().flat_map(|pair| &pair.keys) {
        inside.dns.remove(&key.name).txt(&key.name, &key.record);
    }
}

/// What leaves: to whom, with which reverse-path, and the octets.
fn queued(inside: &Inside) -> Vec<(String, String, Vec<u8>)> {
    let store = &inside.services.store;
    let items = inside.run(store.queue(QueueList::All, None, 100)).expect("the queue").items;
    let octets = |blob| {
        let read = store.read(move |reader| {
            let message = reader.message(blob)?;
            let mut all = message.prefix.clone();
            reader.rest(message.rest(), 0, message.rest().size, &mut all)?;
            Ok(all)
        });
        inside.run(read).expect("a message")
    };
    items
        .iter()
        .map(|item| {
            let recipient = match &item.kind {
                posthouse::store::QueueKind::Remote(remote) => remote.recipient.to_string(),
                posthouse::store::QueueKind::Full(_) => String::new(),
            };
            (recipient, item.reverse_path.to_string(), octets(item.blob))
        })
        .collect()
}

/// What leaves for one recipient.
fn queued_for(inside: &Inside, recipient: &str) -> Vec<u8> {
    let mut all: Vec<_> = queued(inside).into_iter().filter(|(to, ..)| to == recipient).collect();
    assert_eq!(all.len(), 1, "one for {recipient}");
    all.remove(0).2
}

fn text(message: &[u8]) -> String {
    String::from_utf8_lossy(message).into_owned()
}

/// By `mail-auth` on its own: who signs with which key and whether that holds, and the chain.
fn verified(inside: &Inside, message: &[u8]) -> (Vec<(String, bool)>, Theirs) {
    let verifier = MessageAuthenticator(inside.services.email_auth.dns().resolver().clone());
    let parsed = AuthenticatedMessage::parse(message).expect("a message");
    inside.run(async {
        let dkim = verifier.verify_dkim(&parsed).await;
        let dkim = dkim.iter().map(|output| {
            let signature = output.signature().expect("a signature");
            (format!("{}/{}", signature.d, signature.s), *output.result() == Theirs::Pass)
        });
        (dkim.collect(), verifier.verify_arc(&parsed).await.result().clone())
    })
}

/// The selectors of a pair of a domain, as signatures name them.
fn names_of(keys: &KeysView, state: &str) -> BTreeSet<(String, bool)> {
    let pairs = keys.pairs.iter().filter(|pair| pair.state == state);
    let name = |key: &posthouse::server::admin::published::KeyView| {
        let selector = key.name.split('.').next().expect("a selector");
        (format!("{}/{selector}", keys.domain), true)
    };
    pairs.flat_map(|pair| &pair.keys).map(name).collect()
}

/// From a host elsewhere, through the gateway.
fn from_outside(inside: &Inside, from: &str, to: &[&str], message: &[u8]) -> (u16, String) {
    let mut smtp = Smtp::open(inside.smtp);
    smtp.command("XCLIENT ADDR=192.0.2.10 NAME=mx.ext.test", 220);
    smtp.command("EHLO mx.ext.test", 250);
    let reply = smtp.send(from, to, message);
    (reply.code, reply.lines.join(" "))
}

#[test]
fn submitted_mail_leaves_with_both_signatures() {
    let inside = world();
    let mut alice = inside.login("alice@corp.test");
    assert_eq!(alice.send("alice@corp.test", &["pam@partner.test", "carol@other.test"], MESSAGE).code, 250);
    let message = queued_for(&inside, "pam@partner.test");
    let (dkim, arc) = verified(&inside, &message);
    assert_eq!(dkim.into_iter().collect::<BTreeSet<_>>(), names_of(&keys(&inside, "corp.test"), "active"));
    assert_eq!(arc, Theirs::None, "nobody else's mail");
    for field in ["From:From", "Subject:Subject", "Date:Date", "Message-ID:Message-ID"] {
        assert!(text(&message).replace("\r\n\t ", "").contains(field), "{field} in {}", text(&message));
    }
    // What is changed on the way does not hold.
    let changed = text(&message).replace("The plan", "A plan");
    assert!(verified(&inside, changed.as_bytes()).0.iter().all(|(_, holds)| !holds));
}

#[test]
fn mail_that_stays_is_not_signed() {
    let inside = world();
    let mut alice = inside.login("alice@corp.test");
    assert_eq!(alice.send("alice@corp.test", &["carol@other.test"], MESSAGE).code, 250);
    let messages = inside.messages("carol@other.test", "INBOX", "plan");
    assert_eq!(messages.len(), 1);
    assert!(!messages[0].contains("DKIM-Signature") && !messages[0].contains("ARC-"), "{}", messages[0]);
}

#[test]
fn each_form_is_signed_as_it_leaves() {
    let inside = world();
    // To friends through the group, and to bob who forwards: two forms, one body.
    let mut alice = inside.login("alice@corp.test");
    let body = [MESSAGE, &b"0123456789 abcdef\r\n".repeat(40_000)[..]].concat();
    assert_eq!(alice.send("alice@corp.test", &["friends@corp.test", "bob@corp.test"], &body).code, 250);
    for recipient in ["dan@elsewhere.test", "bob@home.test"] {
        let message = queued_for(&inside, recipient);
        let (dkim, _) = verified(&inside, &message);
        assert_eq!(dkim.len(), 2, "{recipient}");
        assert!(dkim.iter().all(|(name, holds)| *holds && name.starts_with("corp.test/")), "{recipient}: {dkim:?}");
    }
    assert!(text(&queued_for(&inside, "bob@home.test")).contains("Delivered-To: bob@corp.test\r\n"));
}

#[test]
fn what_has_no_key_or_no_author_of_ours_leaves_unsigned() {
    let inside = Inside::start();
    inside.apply(WORLD);
    let mut alice = inside.login("alice@corp.test");
    assert_eq!(alice.send("alice@corp.test", &["pam@partner.test"], MESSAGE).code, 250);
    let message = text(&queued_for(&inside, "pam@partner.test"));
    assert!(!message.contains("DKIM-Signature"), "{message}");
}

#[test]
fn what_the_server_writes_is_signed_by_the_domain_above_its_name() {
    let inside = world();
    // It asks for consent: from postmaster@mail.example.test, of which example.test has the keys.
    inside.apply("[[account]]\naddress = \"alice@corp.test\"\nforward = { targets = [\"pam@partner.test\"] }\n");
    let message = queued_for(&inside, "pam@partner.test");
    assert!(text(&message).contains("From: Mail Delivery System <postmaster@mail.example.test>"), "{}", text(&message));
    let (dkim, _) = verified(&inside, &message);
    assert_eq!(dkim.into_iter().collect::<BTreeSet<_>>(), names_of(&keys(&inside, "example.test"), "active"));
}

#[test]
fn keys_wait_are_used_and_stay_published() {
    let inside = world();
    let name = domain("corp.test");
    let states = || -> Vec<String> { keys(&inside, "corp.test").pairs.into_iter().map(|pair| pair.state).collect() };
    let sent = |subject: &str| {
        let mut alice = inside.login("alice@corp.test");
        let message = text(MESSAGE).replace("pam@partner.test", &format!("{subject}@partner.test"));
        let to = format!("{subject}@partner.test");
        assert_eq!(alice.send("alice@corp.test", &[&to], message.as_bytes()).code, 250);
        queued_for(&inside, &to)
    };
    let active = || names_of(&keys(&inside, "corp.test"), "active");
    let signed = |message: &[u8]| verified(&inside, message).0.into_iter().collect::<BTreeSet<_>>();
    let first = active();
    inside.pass(60);
    inside.run(inside.admin.rotate_keys(Actor::Server, name.clone(), None)).expect("rotated");
    assert_eq!(states(), ["active", "pending"]);
    let again = inside.run(inside.admin.rotate_keys(Actor::Server, name.clone(), None));
    assert!(again.is_err(), "one waits already");
    let before = sent("before");
    assert_eq!(signed(&before), first, "the new pair waits");
    // Its time comes, but nobody has published it: the old one stays.
    inside.pass(48 * 3600);
    inside.run(inside.admin.turn_keys());
    assert_eq!(states(), ["active", "pending"], "the DNS does not have it");
    publish(&inside, "corp.test");
    inside.run(inside.admin.turn_keys());
    assert_eq!(states(), ["retired", "active"]);
    assert!(active().is_disjoint(&first));
    assert_eq!(signed(&sent("after")), active());
    assert_eq!(signed(&before), first, "what is on its way still holds");
    inside.pass(7 * 24 * 3600 - 1);
    inside.run(inside.admin.turn_keys());
    assert_eq!(states(), ["retired", "active"]);
    inside.pass(1);
    inside.run(inside.admin.turn_keys());
    assert_eq!(states(), ["active"]);
    // By command, without waiting for anybody.
    inside.run(inside.admin.rotate_keys(Actor::Server, name.clone(), None)).expect("rotated");
    inside.run(inside.admin.activate_keys(Actor::Server, name.clone())).expect("activated");
    assert_eq!(states(), ["retired", "active"]);
    for pair in keys(&inside, "corp.test").pairs {
        inside.run(inside.admin.retire_keys(Actor::Server, name.clone(), pair.name)).expect("retired");
    }
    assert_eq!(states(), ["retired"], "the one that was in use stays published");
    assert!(!text(&sent("unsigned")).contains("DKIM-Signature"));
    inside.run(inside.admin.make_missing_keys());
    assert_eq!(states(), ["retired"], "a domain that is to have none gets none");
}

#[test]
fn private_keys_are_told_to_nobody() {
    let inside = world();
    let name = domain("corp.test");
    // Pairs are called by the second.
    inside.pass(60);
    inside.run(inside.admin.rotate_keys(Actor::Server, name.clone(), None)).expect("rotated");
    let directory = inside.services.directory.current();
    let record = directory.domain(&name).expect("a domain");
    let all = directory.keys(record.id).expect("keys");
    let private: Vec<String> =
        all.pairs.iter().flat_map(|p| &p.keys).map(|k| BASE64_STANDARD.encode(k.private.octets())).collect();
    assert_eq!(private.len(), 4);
    let audited = inside.run(inside.services.store.audit(record.organisation, AuditOrder::NewestFirst(u64::MAX), 100));
    let audited: String = audited.expect("records").iter().map(|r| text(&r.record)).collect();
    assert!(audited.contains("domain.dkim.rotate") && audited.contains("domain-keys"), "{audited}");
    let dns = inside.admin.dns(&name).expect("records");
    for (place, shown) in [
        ("audit", audited),
        ("keys", serde_json::to_string(&keys(&inside, "corp.test")).expect("JSON")),
        ("dns", serde_json::to_string(&dns).expect("JSON")),
        ("debug", format!("{directory:?}{dns:?}{:?}", inside.services)),
    ] {
        for key in &private {
            let (start, _) = key.split_at(40);
            assert!(!shown.contains(start), "{place}");
        }
    }
}

/// A key of somebody else's that is published.
fn sealer(inside: &Inside, name: &str) -> SealKey {
    let made = make_key(KeyAlgorithm::Ed25519).expect("a key");
    inside.dns.txt(&format!("s1._domainkey.{name}"), &format!("v=DKIM1; k=ed25519; p={}", made.public));
    SealKey::new(domain(name), domain("s1"), KeyAlgorithm::Ed25519, &made.private).expect("a key")
}

/// Sealed by a list that says what it found.
fn sealed(inside: &Inside, key: &SealKey, message: &[u8]) -> Vec<u8> {
    let mut input = DkimInput::new();
    input.push(message);
    let from = posthouse::proto::message::header_from(message);
    let path = posthouse::mail::ReversePath::Null;
    let auth = &inside.services.email_auth;
    let auth = inside.run(auth.verify(&input.finish(), Default::default(), &path, &from));
    let mut content = DkimInput::to_sign();
    content.push(message);
    let (host, identities) = (domain("mx.list.test"), Identities::default());
    let now = Timestamp::from_seconds(1_700_000_000);
    let fields = seal(key, message, &content.finish(), (&auth, &host, identities), now);
    [&fields.expect("a key that signs").expect("a seal")[..], message].concat()
}

fn from_eve() -> Vec<u8> {
    text(MESSAGE).replace("Alice <alice@corp.test>", "Eve <eve@ext.test>").into_bytes()
}

#[test]
fn forwards_of_others_mail_are_sealed() {
    let inside = world();
    let signed = Signer::new(&inside.dns, "ext.test", Key::Ed25519).sign(&from_eve());
    inside.dns.txt("_dmarc.ext.test", "v=DMARC1; p=reject");
    assert_eq!(from_outside(&inside, "eve@ext.test", &["bob@corp.test", "friends@corp.test"], &signed).0, 250);
    for recipient in ["bob@home.test", "dan@elsewhere.test"] {
        let message = queued_for(&inside, recipient);
        let (dkim, arc) = verified(&inside, &message);
        assert_eq!(dkim, [("ext.test/ed".to_owned(), true)], "{recipient}: theirs alone");
        assert_eq!(arc, Theirs::Pass, "{recipient}: {}", text(&message));
        let shown = text(&message);
        for part in [
            "ARC-Seal: i=1; a=rsa-sha256; t=",
            "cv=none;\r\n\td=corp.test;",
            "ARC-Authentication-Results: i=1; mail.example.test;\r\n\tspf=none smtp.mailfrom=ext.test;",
            "dkim=pass header.d=ext.test",
            "dmarc=pass (p=reject) header.from=ext.test",
        ] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
    }
    for user in ["alice@corp.test", "bob@corp.test"] {
        let inbox = inside.messages(user, "INBOX", "plan");
        assert!(inbox.iter().all(|message| !message.contains("ARC-")), "{user} does not see that it left: {inbox:?}");
    }
}

#[test]
fn a_chain_grows_and_a_broken_one_is_called_broken() {
    let inside = world();
    let key = sealer(&inside, "list.test");
    let once = sealed(&inside, &key, &from_eve());
    assert_eq!(from_outside(&inside, "eve@ext.test", &["bob@corp.test"], &once).0, 250);
    let message = queued_for(&inside, "bob@home.test");
    assert!(text(&message).contains("ARC-Seal: i=2;") && text(&message).contains("cv=pass;"), "{}", text(&message));
    assert!(text(&message).contains("arc=pass (i=1)"), "{}", text(&message));
    assert_eq!(verified(&inside, &message).1, Theirs::Pass);
    let broken = text(&once).replace("The plan", "A plan");
    inside.apply("[[account]]\naddress = \"alice@corp.test\"\nadmin_forward = { targets = [\"alice@home.test\"] }\n");
    assert_eq!(from_outside(&inside, "eve@ext.test", &["alice@corp.test"], broken.as_bytes()).0, 250);
    let message = queued_for(&inside, "alice@home.test");
    assert!(text(&message).contains("ARC-Seal: i=2;") && text(&message).contains("cv=fail;"), "{}", text(&message));
    assert_ne!(verified(&inside, &message).1, Theirs::Pass);
}

#[test]
fn mail_that_fails_dmarc_is_noted_junk_or_refused() {
    let inside = world();
    let set = |corp: &str, other: &str| {
        inside.apply(&format!(
            "[[organisation]]\nname = \"corp\"\nexternal_forward = \"allow\"\ndmarc = \"{corp}\"\n[[organisation]]\nname = \"other\"\ndmarc = \"{other}\"\n"
        ));
    };
    let (alice, carol) = ("alice@corp.test", "carol@other.test");
    for (n, (policy, corp, other, to, code, in_inbox, in_junk)) in [
        ("reject", "none", "none", &[alice, carol][..], 250, &[alice, carol][..], &[][..]),
        ("reject", "junk", "none", &[alice, carol], 250, &[carol], &[alice]),
        ("reject", "reject", "none", &[alice], 550, &[], &[]),
        // One answer for both: it comes, and whose organisation would have refused it has it in Junk.
        ("reject", "reject", "none", &[alice, carol], 250, &[carol], &[alice]),
        ("reject", "reject", "reject", &[alice, carol], 550, &[], &[]),
        ("reject", "reject", "none", &["friends@corp.test"], 550, &[], &[]),
        ("quarantine", "reject", "junk", &[alice, carol], 250, &[], &[alice, carol]),
        ("quarantine", "junk", "none", &["friends@corp.test"], 250, &[], &[alice]),
        ("none", "reject", "reject", &[alice, carol], 250, &[alice, carol], &[]),
    ]
    .into_iter()
    .enumerate()
    {
        set(corp, other);
        let record = format!("v=DMARC1; p={policy}");
        inside.dns.remove("_dmarc.ext.test").txt("_dmarc.ext.test", &record);
        let subject = format!("case{n}x");
        let message = text(&from_eve()).replace("The plan", &subject);
        let (got, reply) = from_outside(&inside, "eve@ext.test", to, message.as_bytes());
        assert_eq!(got, code, "{n}: {reply}");
        assert!(code != 550 || reply.starts_with("5.7.26 "), "{n}: {reply}");
        for account in [alice, carol] {
            let inbox = inside.messages(account, "INBOX", &subject);
            assert_eq!(inbox.len(), usize::from(in_inbox.contains(&account)), "{n}: INBOX of {account}");
            assert_eq!(
                inside.messages(account, "Junk", &subject).len(),
                usize::from(in_junk.contains(&account)),
                "{n}: Junk of {account}"
            );
            for message in inbox {
                let result = format!("dmarc=fail (p={policy}) header.from=ext.test\r\n");
                assert!(message.contains("Authentication-Results: mail.example.test;"), "{n}: {message}");
                assert!(message.contains(&result), "{n}: {message}");
            }
        }
    }
}

#[test]
fn a_trusted_sealer_says_more_than_dmarc() {
    let inside = world();
    inside.dns.txt("_dmarc.ext.test", "v=DMARC1; p=reject");
    let key = sealer(&inside, "list.test");
    // It passed at the list, which changed it and sealed it again.
    let signed = Signer::new(&inside.dns, "ext.test", Key::Ed25519).sign(&from_eve());
    let passed = sealed(&inside, &key, &signed);
    inside.dns.remove("ed._domainkey.ext.test");
    let set = |sealers: &str| {
        inside.apply(&format!(
            "[[organisation]]\nname = \"corp\"\nexternal_forward = \"allow\"\ndmarc = \"reject\"\ntrusted_sealers = [{sealers}]\n"
        ));
    };
    for (case, sealers, want) in
        [("nobody is trusted", "", 550), ("another is", "\"x.test\"", 550), ("it is", "\"list.test\"", 250)]
    {
        set(sealers);
        assert_eq!(from_outside(&inside, "list@list.test", &["alice@corp.test"], &passed).0, want, "{case}");
    }
}

/// Publishes everything that a domain is to publish, for a host at 192.0.2.25.
fn publish_all(inside: &Inside, name: &str) {
    let dns = &inside.dns;
    for record in inside.admin.dns(&domain(name)).expect("records").records {
        match record.record.as_str() {
            "TXT" => drop(dns.remove(&record.name).txt(&record.name, &record.value)),
            "MX" => drop(dns.remove(&record.name).mx(&record.name, 10, "mail.example.test")),
            _ => {}
        }
    }
    // Both at one name.
    dns.remove(name).mx(name, 10, "mail.example.test").txt(name, "v=spf1 mx -all");
    dns.remove("mail.example.test")
        .address_of("mail.example.test", "192.0.2.25")
        .txt("mail.example.test", "v=spf1 a -all");
    dns.ptr("192.0.2.25", "mail.example.test");
}

#[test]
fn the_dns_is_compared_with_what_should_be_there() {
    let inside = world();
    let name = domain("corp.test");
    let check = || inside.run(inside.admin.check_dns(&name)).expect("a check");
    let missing = inside.run(async { inside.admin.last_dns_check(&name).await });
    assert_eq!(missing.expect("a state"), None, "it was not asked yet");
    publish_all(&inside, "corp.test");
    let right = check();
    assert_eq!(right.problems, 0, "{right:#?}");
    let standing = |purpose: &str| {
        let check = check();
        let found = check.records.iter().find(|record| record.record.purpose == purpose).expect("a record");
        (found.standing.clone(), check.problems)
    };
    assert_eq!(standing("service").0, "missing", "and no problem");
    let dns = &inside.dns;
    dns.remove("corp.test").mx("corp.test", 0, ".").txt("corp.test", "v=spf1 mx -all");
    // A null MX has no host: SPF by `mx` does not pass either.
    assert_eq!(standing("mx"), ("wrong".to_owned(), 2));
    dns.remove("corp.test").mx("corp.test", 10, "mail.example.test").txt("corp.test", "v=spf1 -all");
    assert_eq!(standing("spf"), ("wrong".to_owned(), 1));
    dns.txt("corp.test", "v=spf1 mx -all");
    assert_eq!(standing("spf"), ("wrong".to_owned(), 1), "two records");
    dns.servfail("corp.test");
    assert_eq!(standing("spf"), ("unknown".to_owned(), 0));
    publish_all(&inside, "corp.test");
    let key = keys(&inside, "corp.test").pairs[0].keys[0].name.clone();
    dns.remove(&key).txt(&key, "v=DKIM1; k=rsa; p=AAAA");
    assert_eq!(standing("dkim"), ("wrong".to_owned(), 1));
    dns.remove(&key);
    assert_eq!(standing("dkim"), ("missing".to_owned(), 1));
    publish_all(&inside, "corp.test");
    dns.remove("_dmarc.corp.test");
    assert_eq!(standing("dmarc"), ("missing".to_owned(), 1));
    publish_all(&inside, "corp.test");
    dns.remove("25.2.0.192.in-addr.arpa").ptr("192.0.2.25", "25.pool.isp.test");
    assert_eq!(standing("host-name"), ("wrong".to_owned(), 1));
    let kept = inside.run(inside.admin.last_dns_check(&name)).expect("a state").expect("a check");
    assert_eq!(kept.problems, 1, "the last one is kept");
    let shown = inside.run(inside.admin.domain(&name)).expect("a domain");
    assert_eq!(shown.dns.map(|dns| dns.problems), Some(1));
}

#[test]
fn a_new_domain_is_ready_to_sign_and_the_command_line_tells_what_to_publish() {
    let dns = DnsServer::start();
    let mut server = Server::prepared(&format!(
        "{}[publish]\naddresses = [\"192.0.2.25\"]\n\n[dkim]\nautomatic = true\n\n",
        dns.config()
    ));
    server.run();
    server.cli(&["domain", "add", "corp.test"], "");
    let listed = server.cli(&["domain", "dkim", "list", "corp.test"], "");
    let lines: Vec<Vec<&str>> = listed.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(
        lines.iter().map(|line| (line[1], line[3])).collect::<Vec<_>>(),
        [("active", "rsa-sha256"), ("active", "ed25519-sha256")]
    );
    let zone = server.cli(&["domain", "dns", "corp.test"], "");
    for line in [
        "corp.test. IN MX 10 mail.example.test.",
        "mail.example.test. IN A 192.0.2.25",
        "; 25.2.0.192.in-addr.arpa. IN PTR mail.example.test.",
        "_submissions._tcp.corp.test. IN SRV 0 1 465 mail.example.test.",
        "; https://mta-sts.corp.test/.well-known/mta-sts.txt:",
        ";   mode: testing",
    ] {
        assert!(zone.lines().any(|l| l == line), "{line} in {zone}");
    }
    assert!(
        zone.contains(&format!("{}. IN TXT \"v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A", lines[0][4])),
        "{zone}"
    );
    let checked = server.try_cli(&["domain", "check", "corp.test"], "");
    assert_eq!(checked.status.code(), Some(1), "{checked:?}");
    let said = text(&checked.stdout);
    assert!(said.contains("missing\tmx\tMX corp.test\n\twanted\t10 mail.example.test.\n"), "{said}");
    assert!(text(&checked.stderr).contains("findings"), "{checked:?}");
    server.assert_no_panic();
}

/// What opendkim (Debian) says of a message, or the fields that it puts before it.
fn opendkim(dir: &Path, config: &str, message: &[u8]) -> String {
    let (at, message_file) = (dir.join("opendkim.conf"), dir.join("message.eml"));
    fs::write(&at, config).expect("written");
    // It reads lines as the system ends them.
    fs::write(&message_file, text(message).replace("\r\n", "\n")).expect("written");
    // It shows the fields that it makes only if it tells much.
    let run = Command::new("/usr/sbin/opendkim").arg("-vv").arg("-x").arg(at).arg("-t").arg(message_file).output();
    let run = run.expect("opendkim, of tests/packages.txt");
    format!("{}{}", text(&run.stdout), text(&run.stderr))
}

#[test]
fn opendkim_verifies_what_we_sign() {
    let inside = world();
    // It does not take signatures of tomorrow.
    let since = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
    inside.pass(i64::try_from(since).expect("a time") - inside.services.clock.now().seconds());
    let mut alice = inside.login("alice@corp.test");
    assert_eq!(alice.send("alice@corp.test", &["pam@partner.test"], MESSAGE).code, 250);
    let message = queued_for(&inside, "pam@partner.test");
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("keys");
    let all = keys(&inside, "corp.test");
    let lines = all.pairs[0].keys.iter().map(|key| format!("{} {}\n", key.name, key.record));
    fs::write(&data, lines.collect::<String>()).expect("written");
    let config = format!("Mode v\nTestDNSData file:{}\n", data.display());
    for (key, algorithm) in all.pairs[0].keys.iter().zip(["rsa-sha256", "ed25519-sha256"]) {
        // It shows one signature of a message.
        let message = signed_with(&message, algorithm);
        let said = opendkim(dir.path(), &config, message.as_bytes());
        let selector = key.name.split('.').next().expect("a selector");
        let passed = format!("header.d=corp.test header.i=@corp.test header.a={algorithm} header.s={selector}");
        assert!(said.contains("dkim=pass") && said.contains(&passed), "{passed}: {said}");
        assert!(said.contains("succeeded"), "{said}");
        let said = opendkim(dir.path(), &config, message.replace("The plan", "A plan").as_bytes());
        assert!(said.contains("failed") && !said.contains("succeeded"), "{algorithm}: {said}");
    }
}

/// A message without the signatures of other algorithms.
fn signed_with(message: &[u8], algorithm: &str) -> String {
    let message = text(message);
    let (header, body) = message.split_once("\r\n\r\n").expect("a body");
    let mut fields: Vec<String> = Vec::new();
    for line in header.split("\r\n") {
        match fields.last_mut() {
            Some(field) if line.starts_with([' ', '\t']) => field.push_str(&format!("\r\n{line}")),
            _ => fields.push(line.to_owned()),
        }
    }
    let tag = format!("a={algorithm};");
    fields.retain(|field| !field.starts_with("DKIM-Signature:") || field.contains(&tag));
    assert_eq!(fields.iter().filter(|field| field.starts_with("DKIM-Signature:")).count(), 1, "{algorithm}");
    format!("{}\r\n\r\n{body}", fields.join("\r\n"))
}

#[test]
fn we_verify_what_opendkim_signs() {
    let inside = world();
    // The key that the signer has, published.
    let _ = Signer::new(&inside.dns, "ext.test", Key::Rsa);
    let dir = tempfile::tempdir().expect("a folder");
    let key = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/keys/dkim_rsa.pem");
    let config = format!(
        "Mode s\nDomain ext.test\nSelector rsa\nKeyFile {}\nRequireSafeKeys false\nSignatureAlgorithm \
         rsa-sha256\nCanonicalization relaxed/simple\n",
        key.display()
    );
    let message = [b"Date: Sun, 29 Nov 2026 02:00:00 +0000\r\n", &from_eve()[..]].concat();
    let said = opendkim(dir.path(), &config, &message);
    let (_, value) = said.split_once("hname='DKIM-Signature' hvalue='").expect("a signature");
    let (value, _) = value.split_once('\'').expect("its end");
    let signed = [format!("DKIM-Signature: {}\r\n", value.replace('\n', "\r\n")).as_bytes(), &message].concat();
    for (signed, result) in [(signed.clone(), "pass"), (text(&signed).replace(".dot", "dot").into_bytes(), "fail")] {
        assert_eq!(from_outside(&inside, "eve@ext.test", &["alice@corp.test"], &signed).0, 250);
        let inbox = inside.messages("alice@corp.test", "INBOX", "plan");
        let wanted = format!("dkim={result} header.d=ext.test\r\n\theader.s=rsa;");
        assert!(inbox.last().expect("a message").contains(&wanted), "{wanted}: {inbox:?}");
    }
}
