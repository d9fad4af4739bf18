//! DKIM (RFC 6376).

use std::time::{Duration, Instant};

use mail_auth::dkim::Canonicalization::{Relaxed, Simple};
use mail_auth::{AuthenticatedMessage, DkimResult as TheirResult, MessageAuthenticator};
use posthouse::emailauth::DkimInput;
use posthouse::net::dns::Dns;
use posthouse::proto::authres::{DkimResult, SpfResult};
use posthouse::proto::message::header_from;
use proptest::prelude::*;

use super::signer::{Key, Signer, key_name};
use super::{World, message, path};

async fn results(world: &World, message: &[u8]) -> Vec<(String, DkimResult)> {
    let found = world.verify(message, SpfResult::None, "").await.dkim;
    found.into_iter().map(|s| (format!("{}/{}", s.domain, s.selector), s.result)).collect()
}

async fn result(world: &World, message: &[u8]) -> DkimResult {
    match results(world, message).await.as_slice() {
        [(_, result)] => *result,
        others => panic!("one signature was expected: {others:?}"),
    }
}

fn replaced(message: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(message.to_vec()).expect("ASCII");
    assert!(text.contains(from), "{from} in {text}");
    text.replacen(from, to, 1).into_bytes()
}

#[tokio::test]
async fn signatures_hold_until_something_is_changed() {
    let world = World::new();
    for key in [Key::Rsa, Key::Ed25519] {
        for (header, body) in [(Relaxed, Relaxed), (Relaxed, Simple), (Simple, Relaxed), (Simple, Simple)] {
            let case = format!("{key:?} {header:?}/{body:?}");
            let signer = Signer::new(&world.dns, "corp.test", key).canonicalization(header, body);
            let signed = signer.sign(&message("Alice <alice@corp.test>"));
            for (change, changed, want) in [
                ("nothing", signed.clone(), DkimResult::Pass),
                ("the body", replaced(&signed, "Last\tline", "Lost\tline"), DkimResult::Fail),
                ("text behind", [&signed[..], b"more\r\n"].concat(), DkimResult::Fail),
                ("a signed field", replaced(&signed, "The plan", "A plan"), DkimResult::Fail),
                ("the author", replaced(&signed, "alice@corp", "bob@corp"), DkimResult::Fail),
                ("a field not signed", [b"X-Spam: no\r\n", &signed[..]].concat(), DkimResult::Pass),
                ("empty lines behind", [&signed[..], b"\r\n\r\n"].concat(), DkimResult::Pass),
            ] {
                assert_eq!(result(&world, &changed).await, want, "{case}: {change}");
            }
            let spaced = replaced(&signed, "Last\tline", "Last  line ");
            let want = if body == Relaxed { DkimResult::Pass } else { DkimResult::Fail };
            assert_eq!(result(&world, &spaced).await, want, "{case}: white space in the body");
            let folded = replaced(&signed, "Subject: The plan", "SUBJECT:The\r\n\tplan");
            let want = if header == Relaxed { DkimResult::Pass } else { DkimResult::Fail };
            assert_eq!(result(&world, &folded).await, want, "{case}: a folded field");
        }
    }
}

#[tokio::test]
async fn signatures_that_are_not_taken() {
    let world = World::new();
    let signer = Signer::new(&world.dns, "corp.test", Key::Rsa);
    let plain = message("alice@corp.test");
    let signed = signer.sign(&plain);
    let with = |tag: &str| replaced(&signed, "v=1;", &format!("v=1; {tag}"));
    let without_from = Signer::new(&world.dns, "corp.test", Key::Rsa).headers(&["To", "Subject"]).sign(&plain);
    let weak = Signer::new(&world.dns, "corp.test", Key::WeakRsa).sign(&plain);
    let fields = format!("h=From:{}", "X:".repeat(300));
    for (case, message, want) in [
        ("expired", with("t=1; x=2;"), DkimResult::PermError),
        ("From is not signed", without_from, DkimResult::PermError),
        ("no version", replaced(&signed, "v=1;", "q=dns/txt;"), DkimResult::PermError),
        ("SHA-1", replaced(&signed, "rsa-sha256", "rsa-sha1"), DkimResult::Policy),
        ("a short key", weak, DkimResult::Policy),
        ("another algorithm than the key's", replaced(&signed, "rsa-sha256", "ed25519-sha256"), DkimResult::Fail),
        ("part of the body", with("l=5;"), DkimResult::Policy),
        ("somebody else's agent", with("i=a@evil.test;"), DkimResult::Fail),
        ("too many fields", replaced(&signed, "h=", &fields), DkimResult::PermError),
    ] {
        assert_eq!(result(&world, &message).await, want, "{case}");
    }
    for (case, message) in [
        ("no domain", replaced(&signed, "d=corp.test", "d=")),
        ("no name", replaced(&signed, "d=corp.test", "d=a..b")),
        ("no base64", with("bh=!;")),
        ("very long", replaced(&signed, "v=1;", &format!("v=1; n={};", "x".repeat(20_000)))),
        ("no signature", plain.clone()),
    ] {
        assert_eq!(results(&world, &message).await, [], "{case}");
    }
}

#[tokio::test]
async fn keys_can_be_missing() {
    let world = World::new();
    let signed = Signer::new(&world.dns, "corp.test", Key::Rsa).sign(&message("alice@corp.test"));
    let name = key_name("corp.test", Key::Rsa);
    assert_eq!(result(&world, &signed).await, DkimResult::Pass);
    for (record, want) in [
        ("v=DKIM1; k=rsa; p=", DkimResult::PermError),
        ("v=DKIM1; k=rsa; p=AAAA", DkimResult::PermError),
        ("v=DKIM2; k=rsa; p=AAAA", DkimResult::PermError),
        ("what", DkimResult::PermError),
    ] {
        world.dns.remove(&name).txt(&name, record);
        assert_eq!(result(&world, &signed).await, want, "{record}");
    }
    world.dns.remove(&name);
    assert_eq!(result(&world, &signed).await, DkimResult::PermError, "no such key");
    for (case, broken) in [
        ("SERVFAIL", world.dns.servfail(&name)),
        ("no answer", world.dns.silence(&name)),
        ("no DNS message", world.dns.garbage(&name)),
    ] {
        let _ = broken;
        assert_eq!(result(&world, &signed).await, DkimResult::TempError, "{case}");
    }
}

#[tokio::test]
async fn each_signature_has_its_own_result() {
    let world = World::new();
    let inner = Signer::new(&world.dns, "corp.test", Key::Ed25519).sign(&message("alice@corp.test"));
    let outer = Signer::new(&world.dns, "list.test", Key::Rsa).canonicalization(Simple, Simple).sign(&inner);
    let both = |first, second| vec![("list.test/rsa".to_owned(), first), ("corp.test/ed".to_owned(), second)];
    assert_eq!(results(&world, &outer).await, both(DkimResult::Pass, DkimResult::Pass));
    let respaced = replaced(&outer, "Last\tline", "Last line");
    assert_eq!(results(&world, &respaced).await, both(DkimResult::Fail, DkimResult::Pass));
    world.dns.servfail(&key_name("corp.test", Key::Ed25519));
    let found = world.verify(&outer, SpfResult::None, "").await;
    assert_eq!(found.signers().map(ToString::to_string).collect::<Vec<_>>(), ["list.test"]);
    assert!(found.has_dkim_temperror());
}

#[tokio::test]
async fn ten_signatures_are_looked_at() {
    let world = World::new();
    let mut signed = message("alice@corp.test");
    for n in 0..15 {
        signed = Signer::new(&world.dns, &format!("d{n}.test"), Key::Ed25519).sign(&signed);
    }
    let found = results(&world, &signed).await;
    assert_eq!(found.len(), 10);
    assert_eq!(found.first(), Some(&("d14.test/ed".to_owned(), DkimResult::Pass)));
    assert!(found.iter().all(|(_, result)| *result == DkimResult::Pass), "{found:?}");
}

#[tokio::test]
async fn slow_keys_leave_a_temperror() {
    let world = World::with_time(Duration::from_millis(300));
    let mut signed = message("alice@corp.test");
    for n in 0..10 {
        signed = Signer::new(&world.dns, &format!("d{n}.test"), Key::Ed25519).sign(&signed);
        world.dns.silence(&key_name(&format!("d{n}.test"), Key::Ed25519));
    }
    let started = Instant::now();
    let found = results(&world, &signed).await;
    assert!(found.len() == 10 && found.iter().all(|(_, result)| *result == DkimResult::TempError), "{found:?}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_length_is_taken_if_it_is_that_of_the_whole_body() {
    let world = World::new();
    for body in [Simple, Relaxed] {
        let signer = Signer::new(&world.dns, "corp.test", Key::Rsa).canonicalization(Relaxed, body).with_length();
        let signed = signer.sign(b"From: alice@corp.test\r\n\r\nOne line\r\n");
        assert_eq!(result(&world, &signed).await, DkimResult::Pass, "{body:?}");
        let longer = [&signed[..], b"and more\r\n"].concat();
        assert_eq!(result(&world, &longer).await, DkimResult::Policy, "{body:?}");
    }
}

#[tokio::test]
async fn messages_without_a_body_can_be_signed() {
    let world = World::new();
    for body in [Simple, Relaxed] {
        let signer = Signer::new(&world.dns, "corp.test", Key::Rsa).canonicalization(Relaxed, body);
        let signed = signer.sign(b"From: alice@corp.test\r\nSubject: x\r\n\r\n");
        assert_eq!(result(&world, &signed).await, DkimResult::Pass, "{body:?}");
        assert_eq!(result(&world, &signed[..signed.len() - 2]).await, DkimResult::Pass, "{body:?}, no blank line");
    }
}

#[tokio::test]
async fn a_large_message_is_verified_in_pieces() {
    let world = World::new();
    let mut plain = message("alice@corp.test");
    plain.extend(b"A line of some text,  with spaces \t in it \r\n\r\n".repeat(200_000));
    let signed = Signer::new(&world.dns, "corp.test", Key::Rsa).sign(&plain);
    let mut input = DkimInput::new();
    signed.chunks(7_777).for_each(|chunk| input.push(chunk));
    let content = input.finish();
    assert!(format!("{content:?}").len() < 10_000, "the body is not kept");
    let found = world.auth.verify(&content, SpfResult::None, &path(""), &header_from(&signed)).await;
    assert_eq!(found.dkim.first().map(|signature| signature.result), Some(DkimResult::Pass));
}

/// What `mail-auth` says of the whole message at once.
async fn theirs(world: &World, message: &[u8]) -> Option<bool> {
    let dns = Dns::new(&[world.dns.address()], Duration::from_millis(400)).expect("a resolver");
    let parsed = AuthenticatedMessage::parse(message)?;
    let outputs = MessageAuthenticator(dns.resolver().clone()).verify_dkim(&parsed).await;
    outputs.first().map(|output| *output.result() == TheirResult::Pass)
}

fn bodies() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\r\n".to_owned()),
        Just(" ".to_owned()),
        Just("\t".to_owned()),
        Just("\r\n.\r\n".to_owned()),
        "[a-z]{1,4}",
        "[ -~]{1,20}"
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// However a message is split, and whatever was done to it on the way, we agree with `mail-auth`.
    #[test]
    fn any_split_gives_what_the_whole_gives(
        body in bodies(), other in bodies(), is_changed: bool, is_simple: bool, sizes in prop::collection::vec(1usize..50, 1..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (ours, whole) = runtime.block_on(async {
            let world = World::new();
            let canonicalization = if is_simple { Simple } else { Relaxed };
            let signer = Signer::new(&world.dns, "corp.test", Key::Ed25519).canonicalization(canonicalization, canonicalization);
            let header = "From: alice@corp.test\r\nSubject: x\r\n\r\n";
            let mut signed = signer.sign(format!("{header}{body}").as_bytes());
            if is_changed {
                signed.truncate(signed.len() - body.len());
                signed.extend(other.as_bytes());
            }
            let mut input = DkimInput::new();
            let mut rest = signed.as_slice();
            for size in sizes.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (chunk, after) = rest.split_at((*size).min(rest.len()));
                input.push(chunk);
                rest = after;
            }
            let found = world.auth.verify(&input.finish(), SpfResult::None, &path(""), &header_from(&signed)).await;
            let ours = found.dkim.first().map(|signature| signature.result == DkimResult::Pass);
            (ours, theirs(&world, &signed).await)
        });
        prop_assert_eq!(ours, whole);
        prop_assert!(is_changed || ours == Some(true));
    }
}
