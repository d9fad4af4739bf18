//! What routes demand, and messages with REQUIRETLS (RFC 8689).

use std::sync::Arc;

use posthouse::delivery::remote::destination::{Demand, Destination, Route, Source};
use posthouse::mail::{Host, TlsWish};

use crate::certificates::Authority;
use crate::hosts::{MailHost, Page, Web};
use crate::{World, to};

fn by_route(domain: &str, demand: Demand, smarthost: Option<u16>) -> Destination {
    let smarthost = smarthost.map(|port| (Host::parse("mx.plain.test").expect("a host"), port));
    let route = Route {
        name: "test".to_owned(),
        smarthost,
        implicit_tls: false,
        demand,
        credentials: None,
        source: Source::default(),
    };
    Destination { route: Some(Arc::new(route)), ..to(domain) }
}

async fn world() -> (World, MailHost) {
    let host = MailHost::start().await;
    let world = World::new(1, host.port).await;
    world.dns.unsigned("plain.test").mx("plain.test", 10, "mx.plain.test").address_of("mx.plain.test", "127.0.0.1");
    (world, host)
}

#[tokio::test]
async fn routes_get_what_they_demand() {
    let (world, host) = world().await;
    let good = world.authority.issue(&["mx.plain.test"], false);
    let bad = Authority::new("Nobody knows it").issue(&["mx.plain.test"], false);
    let no_tls = "4.7.10 it offers no TLS, which is required";
    let untrusted = "4.7.5 TLS failed: verified: the certificate leads to no trusted authority";
    for (demand, of_good, of_bad, without) in [
        (Demand::Published, Ok(""), Ok(""), Ok("in the clear")),
        (Demand::Encrypted, Ok(""), Ok(""), Err(no_tls)),
        (Demand::Verified, Ok("(verified)"), Err(untrusted), Err(no_tls)),
        (Demand::Plain, Ok("in the clear"), Ok("in the clear"), Ok("in the clear")),
    ] {
        for smarthost in [None, Some(host.port)] {
            let destination = by_route("plain.test", demand, smarthost);
            for (case, identity, want) in
                [("good", Some(&good), of_good), ("bad", Some(&bad), of_bad), ("none", None, without)]
            {
                identity.map_or_else(|| host.is_without_tls(), |identity| host.is(identity));
                let sent = world.send(&destination).await;
                match (&sent, want) {
                    (Ok(tls), Ok("")) => {
                        assert!(tls.starts_with("TLSv1.3") && !tls.contains('('), "{demand:?} {case}: {tls}")
                    }
                    (Ok(tls), Ok(by)) => assert!(tls.ends_with(by), "{demand:?} {case}: {tls}"),
                    _ => assert_eq!(sent, want.map(str::to_owned).map_err(str::to_owned), "{demand:?} {case}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn requiretls_needs_a_host_that_is_proven() {
    let (world, host) = world().await;
    host.is(&world.authority.issue(&["mx.plain.test", "mx.signed.test"], false));
    world.dns.mx("signed.test", 10, "mx.signed.test").address_of("mx.signed.test", "127.0.0.1");
    let required = |destination: Destination| Destination { tls: TlsWish::Required, ..destination };
    let unknown = "5.7.10 REQUIRETLS: neither DNSSEC nor a policy of MTA-STS proves that mx.plain.test is the domain's";
    assert_eq!(world.send(&required(to("plain.test"))).await, Err(unknown.to_owned()));
    for destination in [to("signed.test"), by_route("plain.test", Demand::Published, Some(host.port))] {
        let sent = world.send(&required(destination)).await;
        assert!(sent.as_ref().is_ok_and(|tls| tls.ends_with("(verified)")), "{sent:?}");
    }
    let plain = world.send(&required(by_route("signed.test", Demand::Plain, None))).await;
    assert_eq!(plain, Err("5.7.10 REQUIRETLS: the route to this host is without TLS".to_owned()));
    host.is(&Authority::new("Nobody knows it").issue(&["mx.signed.test"], false));
    let want = "4.7.5 TLS failed: verified: the certificate leads to no trusted authority";
    assert_eq!(world.send(&required(to("signed.test"))).await, Err(want.to_owned()));
}

#[tokio::test]
async fn a_policy_in_testing_will_do_for_requiretls() {
    let (web, host) = (Web::start().await, MailHost::start().await);
    let world = World::new(web.port, host.port).await;
    world.dns.unsigned("plain.test").mx("plain.test", 10, "mx.plain.test").address_of("mx.plain.test", "127.0.0.1");
    world.dns.txt("_mta-sts.plain.test", "v=STSv1; id=1;").address_of("mta-sts.plain.test", "127.0.0.1");
    web.is(&world.authority.issue(&["mta-sts.plain.test"], false));
    web.shows(Page::policy("version: STSv1\nmode: testing\nmx: mx.plain.test\nmax_age: 86400\n"));
    host.is(&world.authority.issue(&["mx.plain.test"], false));
    let sent = world.send(&Destination { tls: TlsWish::Required, ..to("plain.test") }).await;
    assert!(sent.as_ref().is_ok_and(|tls| tls.ends_with("(verified)")), "{sent:?}");
}

#[tokio::test]
async fn a_report_on_tls_gets_past_what_is_published() {
    let host = MailHost::start().await;
    let world = World::new(1, host.port).await;
    let shown = world.authority.issue(&["mx.dane.test"], false);
    world.dns.mx("dane.test", 10, "mx.dane.test").address_of("mx.dane.test", "127.0.0.1");
    world.dns.tlsa(&format!("_{}._tcp.mx.dane.test", host.port), (3, 0, 0), &shown.chain[0]);
    host.is(&Authority::new("Nobody knows it").issue(&["elsewhere.test"], false));
    assert!(world.send(&to("dane.test")).await.is_err());
    let optional = Destination { tls: TlsWish::Optional, ..to("dane.test") };
    let sent = world.send(&optional).await;
    assert!(sent.as_ref().is_ok_and(|tls| tls.starts_with("TLSv1.3") && !tls.contains('(')), "{sent:?}");
    host.is_without_tls();
    assert_eq!(world.send(&optional).await, Ok("in the clear".to_owned()));
}
