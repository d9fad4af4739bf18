//! What an attacker writes into headers and into the DNS.

use std::time::{Duration, Instant};

use posthouse::emailauth::DkimInput;
use posthouse::proto::authres::SpfResult;
use posthouse::proto::message::header_from;
use proptest::prelude::*;

use super::signer::{Key, Signer};
use super::{CLIENT, World, message, path};

/// Text of the field's own making, and any.
fn records() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "v=spf1",
            " ",
            "include:",
            "a:",
            "mx/",
            "exists:",
            "redirect=",
            "%{",
            "}",
            "%{d2r}",
            "%{l1r-}",
            "%{p}",
            "%%",
            "/33",
            "//129",
            "-all",
            "ip4:",
            "ip6:",
            "case.test",
            "v=DKIM1;",
            "p=",
            "k=rsa;",
            "v=DMARC1;",
            "p=reject;",
            "sp=",
            "rua=",
            ";",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,6}",
        any::<String>().prop_map(|text| text.chars().take(4).collect()),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn no_record_does_harm(spf in records(), dkim in records(), dmarc in records(), helo in any::<String>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let world = World::with_time(Duration::from_secs(2));
            let signed = Signer::new(&world.dns, "case.test", Key::Rsa).sign(&message("alice@case.test"));
            let long: String = spf.repeat(20).chars().take(900).collect();
            world.dns.txt("case.test", &format!("v=spf1 {spf}")).txt("long.test", &format!("v=spf1 {long}"));
            world.dns.remove("rsa._domainkey.case.test").txt("rsa._domainkey.case.test", &dkim);
            world.dns.txt("_dmarc.case.test", &format!("v=DMARC1; {dmarc}"));
            let client = CLIENT.parse().expect("an address");
            for from in ["alice@case.test", "\"a@b %{i}\"@case.test", "\u{f6}@long.test"] {
                world.auth.spf(client, &helo, "mail.corp.test", &path(from)).await;
            }
            world.verify(&signed, SpfResult::None, "alice@case.test").await;
        });
    }

    #[test]
    fn no_header_does_harm(tags in records(), octets in prop::collection::vec(any::<u8>(), 0..300)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let world = World::with_time(Duration::from_secs(2));
            let header = format!("DKIM-Signature: v=1; d=case.test; s=rsa; h=from; b=AAAA; bh=AAAA; {tags}\r\nFrom: a@b.test\r\n");
            let found = world.verify(&[header.as_bytes(), &octets].concat(), SpfResult::None, "").await;
            assert!(found.signers().next().is_none(), "{found:?}");
            let header = [b"DKIM-Signature: v=1; d=case.test; s=rsa; h=from; ".as_slice(), &octets, b"\r\n\r\n"].concat();
            let found = world.verify(&header, SpfResult::None, "").await;
            assert!(found.signers().next().is_none(), "{found:?}");
        });
    }
}

#[tokio::test]
async fn great_headers_cost_little() {
    let world = World::new();
    let signed = Signer::new(&world.dns, "corp.test", Key::Ed25519).sign(&message("alice@corp.test"));
    let fields: String = (0..3_000).map(|n| format!("X-{n}: y\r\n")).collect();
    let names: String = (0..2_000).map(|n| format!("X-{n}:")).collect();
    let text = String::from_utf8(signed).expect("ASCII");
    let greedy = text.replacen("h=", &format!("h={names}"), 1);
    let pending = format!("From: a@b.test\r\nX: {}", "x".repeat(1 << 20));
    for (case, message) in [
        ("many fields", format!("{fields}{text}")),
        ("many names", format!("{greedy}{}", fields.repeat(3))),
        ("both, ten times", format!("{}{fields}{text}", greedy.split("From:").next().expect("a field").repeat(10))),
        ("a header without end", pending),
    ] {
        let started = Instant::now();
        let found = world.verify(message.as_bytes(), SpfResult::None, "").await;
        assert!(found.signers().next().is_none(), "{case}: {found:?}");
        assert!(started.elapsed() < Duration::from_secs(2), "{case} took {:?}", started.elapsed());
    }
}

#[test]
fn what_has_no_signature_is_not_kept() {
    let mut input = DkimInput::new();
    input.push(&message("alice@corp.test"));
    input.push(&[b'x'; 100_000]);
    assert!(format!("{input:?}").len() < 200, "{input:?}");
    let mut endless = DkimInput::new();
    for _ in 0..2_000 {
        endless.push(&[b'x'; 1_000]);
    }
    assert!(format!("{endless:?}").len() < 200);
    assert!(!header_from(b"").is_complete);
}
