//! DANE: accepted and refused, each for its reason (RFC 7672).

use std::sync::Arc;

use sha2::{Digest, Sha256, Sha512};

use crate::certificates::{Authority, Identity};
use crate::dns::DnsServer;
use crate::hosts::MailHost;
use crate::{World, to};

/// A host `mx.dane.test` of `dane.test`, which is `identity`; nothing is published.
async fn world(identity: &Identity) -> (World, MailHost) {
    let host = MailHost::start().await;
    host.is(identity);
    let world = World::new(1, host.port).await;
    world.dns.mx("dane.test", 10, "mx.dane.test").address_of("mx.dane.test", "127.0.0.1");
    (world, host)
}

fn tlsa(host: &MailHost, name: &str) -> String {
    format!("_{}._tcp.{name}", host.port)
}

fn is_secured(sent: &Result<String, String>, by: &str) -> bool {
    sent.as_ref().is_ok_and(|tls| tls.starts_with("TLSv1.3") && tls.ends_with(by))
}

#[tokio::test]
async fn a_host_is_what_its_records_say() {
    let authority = Authority::new("Nobody knows it");
    // For DANE-EE neither name nor dates matter; for DANE-TA both do.
    let stranger = authority.issue(&["elsewhere.test"], true);
    let good = authority.issue(&["mx.dane.test"], false);
    let of_domain = authority.issue(&["dane.test"], false);
    let other = Authority::new("Another").issue(&["mx.dane.test"], false);
    let sha256 = |octets: &[u8]| Sha256::digest(octets).to_vec();
    let sha512 = |octets: &[u8]| Sha512::digest(octets).to_vec();
    let own = |identity: &Identity| identity.chain[0].to_vec();
    let root = authority.certificate.to_vec();
    let no_match = "4.7.5 TLS failed: DANE: no TLSA record matches the certificate";
    for (case, identity, (parameters, data), want) in [
        ("EE, certificate", &stranger, ((3, 0, 0), own(&stranger)), Ok(())),
        ("EE, certificate, SHA-256", &stranger, ((3, 0, 1), sha256(&own(&stranger))), Ok(())),
        ("EE, certificate, SHA-512", &stranger, ((3, 0, 2), sha512(&own(&stranger))), Ok(())),
        ("EE, key", &stranger, ((3, 1, 0), stranger.public.clone()), Ok(())),
        ("EE, key, SHA-256", &stranger, ((3, 1, 1), sha256(&stranger.public)), Ok(())),
        ("EE, key, SHA-512", &stranger, ((3, 1, 2), sha512(&stranger.public)), Ok(())),
        ("EE of another", &other, ((3, 1, 1), sha256(&good.public)), Err(no_match)),
        ("EE of the authority", &good, ((3, 1, 1), sha256(&authority.key)), Err(no_match)),
        ("TA, certificate", &good, ((2, 0, 0), root.clone()), Ok(())),
        ("TA, certificate, SHA-256", &good, ((2, 0, 1), sha256(&root)), Ok(())),
        ("TA, certificate, SHA-512", &good, ((2, 0, 2), sha512(&root)), Ok(())),
        ("TA, key", &good, ((2, 1, 0), authority.key.clone()), Ok(())),
        ("TA, key, SHA-256", &good, ((2, 1, 1), sha256(&authority.key)), Ok(())),
        ("TA, key, SHA-512", &good, ((2, 1, 2), sha512(&authority.key)), Ok(())),
        ("TA, name of the domain", &of_domain, ((2, 1, 1), sha256(&authority.key)), Ok(())),
        ("TA of another", &other, ((2, 1, 1), sha256(&authority.key)), Err(no_match)),
        (
            "TA, held whole, of another",
            &other,
            ((2, 0, 0), root.clone()),
            Err("4.7.5 TLS failed: DANE: the certificate leads to no trusted authority"),
        ),
        (
            "TA, dates",
            &stranger,
            ((2, 1, 1), sha256(&authority.key)),
            Err("4.7.5 TLS failed: DANE: the certificate has expired"),
        ),
    ] {
        let (world, host) = world(identity).await;
        world.dns.tlsa(&tlsa(&host, "mx.dane.test"), parameters, &data);
        let sent = world.send(&to("dane.test")).await;
        match want {
            Ok(()) => assert!(is_secured(&sent, "(DANE)"), "{case}: {sent:?}"),
            Err(text) => assert_eq!(sent, Err(text.to_owned()), "{case}"),
        }
    }
}

#[tokio::test]
async fn an_authority_need_not_be_sent_if_the_record_holds_it() {
    let authority = Authority::new("Nobody knows it");
    for (case, parameters, data, is_accepted) in [
        ("certificate", (2, 0, 0), authority.certificate.to_vec(), true),
        ("key", (2, 1, 0), authority.key.clone(), true),
        ("digest", (2, 1, 1), Sha256::digest(&authority.key).to_vec(), false),
    ] {
        let (world, host) = world(&authority.issue(&["mx.dane.test"], false).alone()).await;
        world.dns.tlsa(&tlsa(&host, "mx.dane.test"), parameters, &data);
        let sent = world.send(&to("dane.test")).await;
        assert_eq!(is_secured(&sent, "(DANE)"), is_accepted, "{case}: {sent:?}");
    }
    let (world, host) = world(&authority.issue(&["elsewhere.test"], false)).await;
    world.dns.tlsa(&tlsa(&host, "mx.dane.test"), (2, 0, 0), &authority.certificate);
    let refused = world.send(&to("dane.test")).await.unwrap_err();
    assert!(refused.starts_with("4.7.5 TLS failed: DANE: the certificate is not for"), "{refused}");
}

#[tokio::test]
async fn records_that_no_one_can_use_ask_for_tls_alone() {
    let identity = Authority::new("Nobody knows it").issue(&["elsewhere.test"], false);
    let (world, host) = world(&identity).await;
    world.dns.tlsa(&tlsa(&host, "mx.dane.test"), (1, 1, 1), &[0; 32]);
    let sent = world.send(&to("dane.test")).await;
    assert!(sent.as_ref().is_ok_and(|tls| tls.starts_with("TLSv1.3") && !tls.contains('(')), "{sent:?}");
    host.is_without_tls();
    assert_eq!(world.send(&to("dane.test")).await, Err("4.7.10 it offers no TLS, which is required".to_owned()));
    // One that can be used is enough to ask for proof.
    world.dns.tlsa(&tlsa(&host, "mx.dane.test"), (3, 1, 1), &[0; 32]);
    host.is(&identity);
    assert!(world.send(&to("dane.test")).await.is_err());
}

#[tokio::test]
async fn what_is_not_proven_does_not_count() {
    let identity = Authority::new("Nobody knows it").issue(&["elsewhere.test"], false);
    for (case, change) in [
        ("no records", (|_, _| {}) as fn(&DnsServer, &str)),
        ("unsigned zone", |dns, name| {
            dns.unsigned("dane.test").tlsa(name, (3, 1, 1), &[0; 32]);
        }),
        ("unsigned records", |dns, name| {
            dns.unsigned(name).tlsa(name, (3, 1, 1), &[0; 32]);
        }),
        ("unsigned address", |dns, name| {
            dns.unsigned("mx.dane.test").tlsa(name, (3, 1, 1), &[0; 32]);
        }),
    ] {
        let (world, host) = world(&identity).await;
        change(&world.dns, &tlsa(&host, "mx.dane.test"));
        let sent = world.send(&to("dane.test")).await;
        assert!(sent.as_ref().is_ok_and(|tls| tls.starts_with("TLSv1.3") && !tls.contains('(')), "{case}: {sent:?}");
        host.is_without_tls();
        assert_eq!(world.send(&to("dane.test")).await, Ok("in the clear".to_owned()), "{case}");
    }
}

#[tokio::test]
async fn answers_that_are_forged_or_missing_keep_mail_back() {
    let identity = Authority::new("Nobody knows it").issue(&["elsewhere.test"], false);
    let bogus = "the answer of the DNS is not signed as it should be";
    for (case, change, want) in [
        (
            "signed wrongly",
            (|dns, name| {
                dns.signed_wrongly(name).tlsa(name, (3, 1, 1), &[0; 32]);
            }) as fn(&DnsServer, &str),
            format!("4.7.5 DANE: TLSA records NAME: {bogus}"),
        ),
        (
            "signatures stripped",
            |dns, name| {
                dns.stripped(name).tlsa(name, (3, 1, 1), &[0; 32]);
            },
            format!("4.7.5 DANE: TLSA records NAME: {bogus}"),
        ),
        (
            "SERVFAIL",
            |dns, name| {
                dns.servfail(name);
            },
            "4.7.5 DANE: TLSA records NAME: no answer for now".to_owned(),
        ),
        (
            "silence",
            |dns, name| {
                dns.silence(name);
            },
            "4.7.5 DANE: TLSA records NAME: no answer for now".to_owned(),
        ),
        (
            "denied by a zone that has nothing to say",
            |dns, name| {
                dns.unsigned("evil.test").denied_by(name, "evil.test");
            },
            format!("4.7.5 DANE: TLSA records NAME: {bogus}"),
        ),
        (
            "address signed wrongly",
            |dns, _| {
                dns.signed_wrongly("mx.dane.test");
            },
            format!("4.7.5 DANE: address of mx.dane.test: {bogus}"),
        ),
        (
            "MX stripped",
            |dns, _| {
                dns.stripped("dane.test");
            },
            "4.4.3 the DNS gives no answer for dane.test".to_owned(),
        ),
    ] {
        let (world, host) = world(&identity).await;
        let name = tlsa(&host, "mx.dane.test");
        change(&world.dns, &name);
        assert_eq!(world.send(&to("dane.test")).await, Err(want.replace("NAME", &name)), "{case}");
    }
}

#[tokio::test]
async fn the_name_behind_a_proven_alias_comes_first() {
    let identity = Authority::new("Nobody knows it").issue(&["elsewhere.test"], false);
    let host = MailHost::start().await;
    host.is(&identity);
    let world = World::new(1, host.port).await;
    world.dns.mx("dane.test", 10, "mx.dane.test").alias("mx.dane.test", "real.other.test");
    world.dns.address_of("real.other.test", "127.0.0.1");
    world.dns.tlsa(&tlsa(&host, "mx.dane.test"), (3, 1, 1), &[0; 32]);
    assert!(world.send(&to("dane.test")).await.is_err(), "the name as it is written");
    world.dns.tlsa(&tlsa(&host, "real.other.test"), (3, 1, 1), &Sha256::digest(&identity.public));
    let sent = world.send(&to("dane.test")).await;
    assert!(is_secured(&sent, "(DANE)"), "{sent:?}");
}

#[tokio::test]
async fn a_resolver_without_dnssec_delays_nothing() {
    let identity = Authority::new("Nobody knows it").issue(&["elsewhere.test"], false);
    let host = MailHost::start().await;
    host.is(&identity);
    let dns = DnsServer::start();
    // The anchor of a root that this resolver does not hand on.
    let anchor = DnsServer::start().sign();
    let world = World::with(dns, Some(&anchor), (1, host.port)).await;
    world.dns.mx("dane.test", 10, "mx.dane.test").address_of("mx.dane.test", "127.0.0.1");
    world.dns.tlsa(&tlsa(&host, "mx.dane.test"), (3, 1, 1), &[0; 32]);
    let sent = world.send(&to("dane.test")).await;
    assert!(sent.as_ref().is_ok_and(|tls| tls.starts_with("TLSv1.3") && !tls.contains('(')), "{sent:?}");
}

#[tokio::test]
async fn once_proven_signatures_cannot_be_taken_away() {
    let identity = Authority::new("Nobody knows it").issue(&["elsewhere.test"], false);
    let (world, host) = world(&identity).await;
    world.dns.tlsa(&tlsa(&host, "mx.dane.test"), (3, 1, 1), &Sha256::digest(&identity.public));
    assert!(is_secured(&world.send(&to("dane.test")).await, "(DANE)"));
    for name in [".", "dane.test", "mx.dane.test", &tlsa(&host, "mx.dane.test")] {
        world.dns.stripped(name);
    }
    assert_eq!(world.send(&to("dane.test")).await, Err("4.4.3 the DNS gives no answer for dane.test".to_owned()));
    drop(Arc::clone(&world.security));
}
