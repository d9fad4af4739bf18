//! MTA-STS: policies found, kept and held to, and policy hosts that misbehave (RFC 8461).

use std::time::Duration;

use crate::certificates::Authority;
use crate::hosts::{MailHost, Page, Web};
use crate::{World, to};

const ENFORCE: &str = "version: STSv1\r\nmode: enforce\r\nmx: *.sts.test\r\nmax_age: 86400\r\n";

/// `sts.test` with one host `mx.sts.test` and a policy host that shows `page`.
async fn world(page: Page) -> (World, Web, MailHost) {
    let (web, host) = (Web::start().await, MailHost::start().await);
    let world = World::new(web.port, host.port).await;
    // As most domains are: without DNSSEC.
    world.dns.unsigned("sts.test");
    world.dns.mx("sts.test", 10, "mx.sts.test").address_of("mx.sts.test", "127.0.0.1");
    world.dns.txt("_mta-sts.sts.test", "v=STSv1; id=1;").address_of("mta-sts.sts.test", "127.0.0.1");
    web.is(&world.authority.issue(&["mta-sts.sts.test"], false));
    web.shows(page);
    host.is(&world.authority.issue(&["mx.sts.test"], false));
    (world, web, host)
}

fn change_id(world: &World, id: &str) {
    world.dns.remove("_mta-sts.sts.test").txt("_mta-sts.sts.test", &format!("v=STSv1; id={id};"));
}

#[tokio::test]
async fn a_host_of_the_policy_must_prove_itself() {
    let (world, _web, host) = world(Page::policy(ENFORCE)).await;
    let sent = world.send(&to("sts.test")).await;
    assert!(sent.as_ref().is_ok_and(|tls| tls.starts_with("TLSv1.3") && tls.ends_with("(MTA-STS)")), "{sent:?}");
    let stranger = Authority::new("Nobody knows it");
    for (identity, want) in [
        (stranger.issue(&["mx.sts.test"], false), "the certificate leads to no trusted authority"),
        (world.authority.issue(&["mx.sts.test"], true), "the certificate has expired"),
        (world.authority.issue(&["other.sts.test"], false), "the certificate is not for mx.sts.test"),
    ] {
        host.is(&identity);
        assert_eq!(world.send(&to("sts.test")).await, Err(format!("4.7.5 TLS failed: MTA-STS: {want}")));
    }
    host.is_without_tls();
    assert_eq!(world.send(&to("sts.test")).await, Err("4.7.10 it offers no TLS, which is required".to_owned()));
}

#[tokio::test]
async fn a_host_that_the_policy_does_not_name_gets_nothing() {
    let (world, _web, _host) = world(Page::policy(&ENFORCE.replace("*.sts.test", "other.sts.test"))).await;
    let want = "4.7.5 MTA-STS: mx.sts.test is not among the hosts of the domain's policy";
    assert_eq!(world.send(&to("sts.test")).await, Err(want.to_owned()));
}

#[tokio::test]
async fn testing_and_none_refuse_nothing() {
    for mode in ["testing", "none"] {
        let (world, _web, host) = world(Page::policy(&ENFORCE.replace("enforce", mode))).await;
        host.is(&Authority::new("Nobody knows it").issue(&["elsewhere.test"], false));
        let sent = world.send(&to("sts.test")).await;
        assert!(sent.as_ref().is_ok_and(|tls| tls.starts_with("TLSv1.3") && !tls.contains('(')), "{mode}: {sent:?}");
        host.is_without_tls();
        assert_eq!(world.send(&to("sts.test")).await, Ok("in the clear".to_owned()), "{mode}");
    }
}

#[tokio::test]
async fn a_policy_is_kept_until_its_id_changes_or_it_ends() {
    let (mut world, web, host) = world(Page::policy(ENFORCE)).await;
    host.is_without_tls();
    let refused = Err("4.7.10 it offers no TLS, which is required".to_owned());
    for _ in 0..3 {
        assert_eq!(world.send(&to("sts.test")).await, refused);
    }
    assert_eq!(web.asked(), 1);
    world.restart().await;
    assert_eq!(world.send(&to("sts.test")).await, refused);
    assert_eq!(web.asked(), 1, "the store has it");

    // What cannot be fetched leaves what is kept, and is not asked for again at once.
    web.shows(Page::with("500 Broken", "text/plain", ""));
    change_id(&world, "2");
    for _ in 0..3 {
        assert_eq!(world.send(&to("sts.test")).await, refused);
    }
    assert_eq!(web.asked(), 2);
    world.clock.pass(Duration::from_secs(301));
    web.shows(Page::policy(&ENFORCE.replace("enforce", "testing")));
    assert_eq!(world.send(&to("sts.test")).await, Ok("in the clear".to_owned()));
    assert_eq!(web.asked(), 3);

    // Without a record what is kept still holds, to its end.
    web.shows(Page::policy(ENFORCE));
    change_id(&world, "3");
    assert_eq!(world.send(&to("sts.test")).await, refused);
    world.dns.remove("_mta-sts.sts.test");
    world.clock.pass(Duration::from_secs(86_399));
    assert_eq!(world.send(&to("sts.test")).await, refused);
    world.clock.pass(Duration::from_secs(1));
    assert_eq!(world.send(&to("sts.test")).await, Ok("in the clear".to_owned()));
    assert_eq!(web.asked(), 4);
}

#[tokio::test]
async fn a_policy_that_is_used_is_fetched_again_each_day() {
    let (world, web, host) = world(Page::policy(&ENFORCE.replace("86400", "200000"))).await;
    host.is_without_tls();
    assert!(world.send(&to("sts.test")).await.is_err());
    world.round().await;
    assert_eq!(web.asked(), 1);
    for day in 1..=5 {
        world.clock.pass(Duration::from_secs(86_400));
        world.round().await;
        assert_eq!(web.asked(), 1 + day);
    }
    assert!(world.send(&to("sts.test")).await.is_err(), "longer than its max_age");
    // One that holds for a day only is not left to end.
    change_id(&world, "2");
    web.shows(Page::policy(ENFORCE));
    assert!(world.send(&to("sts.test")).await.is_err());
    assert_eq!(web.asked(), 7);
    world.clock.pass(Duration::from_secs(43_200));
    world.round().await;
    assert_eq!(web.asked(), 8);
    // A domain that has stopped keeps nothing going.
    world.dns.remove("_mta-sts.sts.test");
    world.clock.pass(Duration::from_secs(86_400));
    world.round().await;
    assert_eq!(web.asked(), 8);
}

#[tokio::test]
async fn a_policy_host_that_misbehaves_has_no_policy() {
    let stranger = Authority::new("Nobody knows it").issue(&["mta-sts.sts.test"], false);
    let padded = format!("{ENFORCE}{}", "x: y\r\n".repeat(11_000));
    for (case, page) in [
        ("redirect", Page::with("301 Moved", "text/plain", ENFORCE)),
        ("not found", Page::with("404 Not Found", "text/plain", ENFORCE)),
        ("a page", Page::with("200 OK", "text/html", ENFORCE)),
        ("no media type", Page::Octets(format!("HTTP/1.1 200 OK\r\n\r\n{ENFORCE}"))),
        ("more than a year", Page::policy(&ENFORCE.replace("86400", "31557601"))),
        ("no policy", Page::policy("hello\r\n")),
        ("too long", Page::policy(&padded)),
        ("endless", Page::Endless),
        ("silent", Page::Silence),
        ("no HTTP", Page::Octets("220 mx ESMTP\r\n".to_owned())),
        ("a huge head", Page::Octets(format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(100_000)))),
        ("nothing", Page::Octets(String::new())),
    ] {
        let (world, web, host) = world(page).await;
        host.is_without_tls();
        assert_eq!(world.send(&to("sts.test")).await, Ok("in the clear".to_owned()), "{case}");
        assert_eq!(web.asked(), 1, "{case}");
    }
    let (world, web, host) = world(Page::policy(ENFORCE)).await;
    host.is_without_tls();
    for (id, case, identity) in [
        ("1", "nobody's certificate", stranger),
        ("2", "expired", world.authority.issue(&["mta-sts.sts.test"], true)),
        ("3", "of another name", world.authority.issue(&["sts.test"], false)),
    ] {
        change_id(&world, id);
        web.is(&identity);
        assert_eq!(world.send(&to("sts.test")).await, Ok("in the clear".to_owned()), "{case}");
    }
}

#[tokio::test]
async fn a_policy_with_dane_beside_it_does_not_overrule_it() {
    let (web, host) = (Web::start().await, MailHost::start().await);
    let world = World::new(web.port, host.port).await;
    let identity = Authority::new("Nobody knows it").issue(&["elsewhere.test"], false);
    world.dns.mx("sts.test", 10, "mx.sts.test").address_of("mx.sts.test", "127.0.0.1");
    world.dns.txt("_mta-sts.sts.test", "v=STSv1; id=1;").address_of("mta-sts.sts.test", "127.0.0.1");
    web.is(&world.authority.issue(&["mta-sts.sts.test"], false));
    web.shows(Page::policy(ENFORCE));
    host.is(&identity);
    let name = format!("_{}._tcp.mx.sts.test", host.port);
    world.dns.tlsa(&name, (3, 0, 0), &identity.chain[0]);
    let sent = world.send(&to("sts.test")).await;
    assert!(sent.as_ref().is_ok_and(|tls| tls.ends_with("(DANE)")), "{sent:?}");
    // RFC 8461 §2: a certificate that the policy would take does not make up for a record that it does not match.
    host.is(&world.authority.issue(&["mx.sts.test"], false));
    let want = "4.7.5 TLS failed: DANE: no TLSA record matches the certificate";
    assert_eq!(world.send(&to("sts.test")).await, Err(want.to_owned()));
}

#[tokio::test]
async fn a_policy_host_that_is_near_is_not_asked() {
    let (mut world, web, host) = world(Page::policy(ENFORCE)).await;
    host.is_without_tls();
    assert!(world.send(&to("sts.test")).await.is_err());
    let asked = web.asked();
    let (mut other, web_of_other, host) = self::world(Page::policy(ENFORCE)).await;
    other.asks_nobody_near();
    host.is_without_tls();
    assert_eq!(other.send(&to("sts.test")).await, Ok("in the clear".to_owned()));
    assert_eq!((asked, web_of_other.asked()), (1, 0));
    world.asks_nobody_near();
    assert!(world.send(&to("sts.test")).await.is_err(), "what is kept stays");
    assert_eq!(web.asked(), 1);
}
