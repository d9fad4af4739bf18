//! Signatures (RFC 6376, RFC 8463) and seals (RFC 8617) of ours, looked at by ourselves and by `mail-auth` on its own.

use std::sync::Arc;

use mail_auth::{AuthenticatedMessage, DkimResult as TheirResult, MessageAuthenticator};
use posthouse::emailauth::{DkimContent, DkimInput, Signer, dkim_fields, make_key, seal};
use posthouse::mail::{Domain, KeyAlgorithm, Timestamp};
use posthouse::proto::authres::{ArcChain, ArcResult, AuthResults, DkimResult, Identities, SpfResult};
use posthouse::proto::message::header_from;

use super::signer::{Key, Signer as Theirs};
use super::{World, message};

fn domain(name: &str) -> Domain {
    Domain::parse(name).expect("a domain")
}

/// A key that is published.
fn signer(world: &World, name: &str, algorithm: KeyAlgorithm) -> Arc<Signer> {
    let selector = domain(&format!("p1-{}", algorithm.key_type()));
    let made = make_key(algorithm).expect("a key");
    let record = format!("v=DKIM1; k={}; p={}", algorithm.key_type(), made.public);
    world.dns.txt(&format!("{selector}._domainkey.{name}"), &record);
    Arc::new(Signer::new(domain(name), selector, algorithm, &made.private).expect("a signer"))
}

/// As it is read from the store, in pieces.
fn content(message: &[u8]) -> DkimContent {
    let mut input = DkimInput::to_sign();
    message.chunks(7).for_each(|chunk| input.push(chunk));
    input.finish()
}

fn now() -> Timestamp {
    Timestamp::from_seconds(1_700_000_000)
}

fn signed(signers: &[Arc<Signer>], message: &[u8]) -> Vec<u8> {
    let fields = dkim_fields(signers, message, &content(message), now()).expect("a signature").expect("From");
    [&fields[..], message].concat()
}

/// What `mail-auth` says when it reads and verifies everything itself.
async fn theirs(world: &World, message: &[u8]) -> (Vec<bool>, TheirResult) {
    let verifier = MessageAuthenticator(world.auth.dns().resolver().clone());
    let parsed = AuthenticatedMessage::parse(message).expect("a message");
    let dkim = verifier.verify_dkim(&parsed).await;
    let dkim = dkim.iter().map(|output| *output.result() == TheirResult::Pass).collect();
    let arc = verifier.verify_arc(&parsed).await;
    (dkim, arc.result().clone())
}

async fn found(world: &World, message: &[u8]) -> AuthResults {
    world.verify(message, SpfResult::None, "").await
}

fn replaced(message: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(message.to_vec()).expect("ASCII");
    assert!(text.contains(from), "{from} in {text}");
    text.replacen(from, to, 1).into_bytes()
}

#[tokio::test]
async fn what_we_sign_verifies_until_something_is_changed() {
    let world = World::new();
    let signers = KeyAlgorithm::ALL.map(|algorithm| signer(&world, "corp.test", algorithm));
    let message = message("Alice <alice@corp.test>");
    let signed = signed(&signers, &message);
    let text = String::from_utf8(signed.clone()).expect("ASCII");
    assert_eq!(text.matches("DKIM-Signature: v=1;").count(), 2, "{text}");
    assert!(text.lines().all(|line| line.len() <= 100), "{text}");
    assert!(!text.contains("l="), "{text}");
    for (change, changed, want) in [
        ("nothing", signed.clone(), true),
        ("the body", replaced(&signed, "Last\tline", "Lost\tline"), false),
        ("text behind", [&signed[..], b"more\r\n"].concat(), false),
        ("the subject", replaced(&signed, "The plan", "A plan"), false),
        ("the author", replaced(&signed, "alice@corp", "bob@corp"), false),
        ("another From", [b"From: eve@corp.test\r\n", &signed[..]].concat(), false),
        ("another Subject", [b"Subject: Urgent\r\n", &signed[..]].concat(), false),
        ("a Cc", [b"Cc: eve@corp.test\r\n", &signed[..]].concat(), false),
        ("a Reply-To", [b"Reply-To: eve@corp.test\r\n", &signed[..]].concat(), false),
        ("another Content-Type", [b"Content-Type: text/html\r\n", &signed[..]].concat(), false),
        ("References", [b"References: <a@b>\r\n", &signed[..]].concat(), false),
        ("a trace field", [b"Received: from x by y; z\r\n", &signed[..]].concat(), true),
        ("a field of a list", [b"List-Id: <l.list.test>\r\n", &signed[..]].concat(), true),
        ("white space", replaced(&signed, "Last\tline", "Last  line "), true),
        ("empty lines behind", [&signed[..], b"\r\n\r\n"].concat(), true),
        ("a folded field", replaced(&signed, "Subject: The plan", "SUBJECT:The\r\n\tplan"), true),
    ] {
        let wanted = if want { DkimResult::Pass } else { DkimResult::Fail };
        let ours: Vec<_> = found(&world, &changed).await.dkim.into_iter().map(|s| s.result).collect();
        assert_eq!(ours, [wanted; 2], "{change}");
        assert_eq!(theirs(&world, &changed).await.0, [want; 2], "mail-auth: {change}");
    }
}

#[tokio::test]
async fn messages_of_every_shape_verify() {
    let world = World::new();
    let signers = [signer(&world, "corp.test", KeyAlgorithm::Ed25519)];
    let long = format!("References: {}\r\n", "<a@corp.test>\r\n\t".repeat(2_000)).replace("\t\r\n", "\t<b>\r\n");
    for (case, message) in [
        ("no body", b"From: a@corp.test\r\n\r\n".to_vec()),
        ("no blank line", b"From: a@corp.test\r\nSubject: x\r\n".to_vec()),
        ("empty lines only", b"From: a@corp.test\r\n\r\n\r\n\r\n".to_vec()),
        ("no line end", b"From: a@corp.test\r\n\r\nx".to_vec()),
        ("a list's", b"List-Id: <l.corp.test>\r\nFrom: a@corp.test\r\nList-Post: NO\r\n\r\nx\r\n".to_vec()),
        ("fields twice", b"To: a@b.test\r\nFrom: a@corp.test\r\nTo: c@d.test\r\n\r\nx\r\n".to_vec()),
        ("names in every case", b"fROM: a@corp.test\r\nsubject:\r\n x\r\n\r\nx\r\n".to_vec()),
        ("8-bit", "From: a@corp.test\r\nSubject: \u{fc}\r\n\r\n\u{fc}\r\n".into()),
        ("a long field", [long.as_bytes(), b"From: a@corp.test\r\n\r\nx\r\n"].concat()),
        ("a large body", [&b"From: a@corp.test\r\n\r\n"[..], &b"0123456789 abcdef\r\n".repeat(20_000)].concat()),
    ] {
        let signed = signed(&signers, &message);
        assert_eq!(found(&world, &signed).await.dkim[0].result, DkimResult::Pass, "{case}");
        assert_eq!(theirs(&world, &signed).await.0, [true], "mail-auth: {case}");
    }
    for (case, message) in [
        ("no author", b"To: a@b.test\r\n\r\nx\r\n".to_vec()),
        ("more fields than anybody reads", [&b"X: y\r\n".repeat(2_001)[..], b"From: a@corp.test\r\n\r\n"].concat()),
    ] {
        assert_eq!(dkim_fields(&signers, &message, &content(&message), now()), Ok(None), "{case}");
    }
}

/// Passes a message on as a host would: verified, sealed, with the seal before it.
async fn passed_on(world: &World, signer: &Signer, host: &str, message: &[u8]) -> Option<Vec<u8>> {
    let auth = found(world, message).await;
    let from = header_from(message).domains();
    let identities = Identities { mail_from: None, header_from: from.first() };
    let fields = seal(signer, message, &content(message), (&auth, &domain(host), identities), now());
    Some([&fields.expect("a key that signs")?[..], message].concat())
}

#[tokio::test]
async fn a_chain_of_three_hosts_holds_until_something_is_changed() {
    let world = World::new();
    world.dns.txt("_dmarc.ext.test", "v=DMARC1; p=reject");
    let original = Theirs::new(&world.dns, "ext.test", Key::Ed25519).sign(&message("Eve <eve@ext.test>"));
    let (rsa, ed) = (KeyAlgorithm::Rsa, KeyAlgorithm::Ed25519);
    let [first, second, third] =
        [("one.test", rsa), ("two.test", ed), ("three.test", rsa)].map(|(name, kind)| signer(&world, name, kind));
    assert_eq!(found(&world, &original).await.arc, ArcChain::default());
    let once = passed_on(&world, &first, "mx.one.test", &original).await.expect("a seal");
    let arc = found(&world, &once).await.arc;
    let sealer = |name| Some(domain(name));
    let want = ArcChain { result: ArcResult::Pass, instances: 1, sealer: sealer("one.test"), passed_dmarc: true };
    assert_eq!(arc, want, "{}", String::from_utf8_lossy(&once));
    // A list changes the body: the signature is gone, the first seal with it, and the next says so.
    let twice = passed_on(&world, &second, "mx.two.test", &once).await.expect("a seal");
    let thrice = passed_on(&world, &third, "mx.three.test", &twice).await.expect("a seal");
    let text = String::from_utf8(thrice.clone()).expect("ASCII");
    assert!(text.contains("ARC-Authentication-Results: i=3; mx.three.test;\r\n\tspf=none;\r\n\tdkim=pass"), "{text}");
    assert!(text.contains("cv=none;") && text.matches("cv=pass;").count() == 2, "{text}");
    assert!(text.contains("\tarc=pass (i=2)\r\n"), "{text}");
    for (change, changed, want) in [
        ("nothing", thrice.clone(), true),
        ("a trace field", [b"Received: from x by y; z\r\n", &thrice[..]].concat(), true),
        ("the body", replaced(&thrice, "Last\tline", "Lost\tline"), false),
        ("the subject", replaced(&thrice, "The plan", "A plan"), false),
        ("another Subject", [b"Subject: Urgent\r\n", &thrice[..]].concat(), false),
        ("results of the first", replaced(&thrice, "mx.one.test;", "mx.other.test;"), false),
        ("results of the last", replaced(&thrice, "dmarc=pass", "dmarc=fail"), false),
        ("the validation of one", replaced(&thrice, "cv=none", "cv=pass"), false),
        (
            "a set twice",
            passed_on(&world, &first, "mx.one.test", &original)
                .await
                .map(|m| [&m[..m.len() - original.len()], &thrice[..]].concat())
                .expect("a seal"),
            false,
        ),
        (
            "a seal lost",
            thrice
                .windows(9)
                .position(|w| w == b"ARC-Seal:")
                .map(|at| replaced(&thrice[at..], "ARC-Seal", "X-Seal"))
                .expect("a seal"),
            false,
        ),
        ("two numbers changed", replaced(&replaced(&thrice, "i=3;", "i=9;"), "i=3;", "i=9;"), false),
    ] {
        let arc = found(&world, &changed).await.arc;
        assert_eq!(arc.result, if want { ArcResult::Pass } else { ArcResult::Fail }, "{change}");
        assert_eq!(theirs(&world, &changed).await.1 == TheirResult::Pass, want, "mail-auth: {change}");
    }
}

#[tokio::test]
async fn a_chain_that_fails_is_said_so_once() {
    let world = World::new();
    let original = message("Eve <eve@ext.test>");
    let ours = signer(&world, "one.test", KeyAlgorithm::Ed25519);
    let once = passed_on(&world, &ours, "mx.one.test", &original).await.expect("a seal");
    let changed = replaced(&once, "The plan", "A plan");
    let twice = passed_on(&world, &ours, "mx.one.test", &changed).await.expect("a seal that says so");
    let text = String::from_utf8(twice.clone()).expect("ASCII");
    assert!(text.starts_with("ARC-Seal: i=2; a=ed25519-sha256;") && text.contains("cv=fail;"), "{text}");
    assert_eq!(found(&world, &twice).await.arc.result, ArcResult::Fail);
    assert_eq!(passed_on(&world, &ours, "mx.one.test", &twice).await, None, "RFC 8617 5.1.2");
    // What cannot be known now is not sealed as broken for ever.
    world.dns.remove("p1-ed25519._domainkey.one.test").servfail("p1-ed25519._domainkey.one.test");
    assert_eq!(found(&world, &once).await.arc.result, ArcResult::TempError);
    assert_eq!(passed_on(&world, &ours, "mx.one.test", &once).await, None);
}

/// A chain may have 50 links (RFC 8617 §5.1.1), and whoever sends more is not followed.
#[tokio::test]
async fn chains_end() {
    let world = World::new();
    let ours = signer(&world, "one.test", KeyAlgorithm::Ed25519);
    let mut message = message("Eve <eve@ext.test>");
    for _ in 0..50 {
        message = passed_on(&world, &ours, "mx.one.test", &message).await.expect("a seal");
    }
    assert_eq!(found(&world, &message).await.arc.result, ArcResult::Pass);
    assert_eq!(passed_on(&world, &ours, "mx.one.test", &message).await, None);
    let sets = b"ARC-Authentication-Results: i=51; x\r\nARC-Message-Signature: i=51; a=rsa-sha256; d=x; s=y; h=from; bh=eA==; b=eA==\r\nARC-Seal: i=51; a=rsa-sha256; cv=pass; d=x; s=y; b=eA==\r\n";
    assert_eq!(found(&world, &[&sets[..], &message].concat()).await.arc.result, ArcResult::Fail);
    for hostile in [
        "ARC-Seal: \r\n",
        "ARC-Seal: i=1; cv=none; a=rsa-sha1; d=x.test; s=y; b=eA==\r\nARC-Message-Signature: i=1; a=rsa-sha1; d=x.test; s=y; h=from; bh=eA==; b=eA==\r\nARC-Authentication-Results: i=1; x\r\n",
        "ARC-Seal: i=1; cv=none; a=rsa-sha256; d=..; s=; b=eA==\r\nARC-Message-Signature: i=1; l=3; a=rsa-sha256; d=x.test; s=y; h=from; bh=eA==; b=eA==\r\nARC-Authentication-Results: i=1; (((\r\n",
        "ARC-Seal: i=4294967297; cv=none; a=rsa-sha256; d=x.test; s=y; b=eA==\r\n",
    ] {
        let hostile = [hostile.as_bytes(), &super::message("Eve <eve@ext.test>")[..]].concat();
        assert_eq!(found(&world, &hostile).await.arc.result, ArcResult::Fail);
    }
}
