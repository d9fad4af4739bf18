//! Which hosts are tried, in which order, and what is said when there are none.

use std::time::Instant;

use super::remote::{Act, Remote, Script};
use super::*;

/// What becomes of mail for `far.test` with these records, and how often the remote is called.
async fn with(records: impl FnOnce(&World, &Remote)) -> (Outcome, usize) {
    let remote = Remote::start(Script::default()).await;
    let world = World::new(remote.port()).await;
    records(&world, &remote);
    let outcome = world.send(&["bob@far.test"], MESSAGE).await.remove(0);
    (outcome, remote.connections())
}

fn of_destination(end: End, status: &str) -> (End, Scope, String) {
    (end, Scope::Destination, status.to_owned())
}

#[tokio::test]
async fn what_the_dns_says_decides() {
    type Records = fn(&World, &Remote);
    let goes = || (End::Relayed, Scope::Message, "2.0.0".to_owned());
    let fails = |status: &str| of_destination(End::Failed, status);
    let waits = |status: &str| of_destination(End::Deferred, status);
    let rows: [(&str, Records, (End, Scope, String)); 22] = [
        ("no such domain", |_, _| {}, fails("5.1.2")),
        (
            "null MX",
            |w, r| {
                w.dns.mx("far.test", 0, ".").address_of("far.test", &r.ip());
            },
            fails("5.1.10"),
        ),
        (
            "no MX",
            |w, r| {
                w.dns.address_of("far.test", &r.ip());
            },
            goes(),
        ),
        (
            "no MX, text only",
            |w, _| {
                w.dns.txt("far.test", "v=spf1 -all");
            },
            fails("5.1.2"),
        ),
        (
            "SERVFAIL",
            |w, _| {
                w.dns.servfail("far.test");
            },
            waits("4.4.3"),
        ),
        (
            "alias",
            |w, r| {
                w.dns.alias("far.test", "near.test").mx("near.test", 1, "mx.test").address_of("mx.test", &r.ip());
            },
            goes(),
        ),
        (
            "MX without address",
            |w, _| {
                w.dns.mx("far.test", 1, "gone.test");
            },
            fails("5.4.4"),
        ),
        (
            "MX without address, another with",
            |w, r| {
                w.dns.mx("far.test", 1, "gone.test").mx("far.test", 2, "mx.test").address_of("mx.test", &r.ip());
            },
            goes(),
        ),
        (
            "address of the MX not known now",
            |w, _| {
                w.dns.mx("far.test", 1, "mx.test").servfail("mx.test").mx("far.test", 2, "gone.test");
            },
            waits("4.4.3"),
        ),
        (
            "MX names an address",
            |w, r| {
                w.dns.mx("far.test", 1, &r.ip());
            },
            fails("5.4.4"),
        ),
        (
            "MX names no host",
            |w, _| {
                w.dns.mx("far.test", 1, "x-.test");
            },
            fails("5.4.4"),
        ),
        (
            "null MX beside another",
            |w, r| {
                w.dns.mx("far.test", 0, ".").mx("far.test", 1, "mx.test").address_of("mx.test", &r.ip());
            },
            goes(),
        ),
        (
            "multicast",
            |w, _| {
                w.dns.mx("far.test", 1, "mx.test").address_of("mx.test", "224.0.0.1");
            },
            fails("5.4.4"),
        ),
        (
            "unspecified",
            |w, _| {
                w.dns.mx("far.test", 1, "mx.test").address_of("mx.test", "0.0.0.0");
            },
            fails("5.4.4"),
        ),
        (
            "unspecified IPv6",
            |w, _| {
                w.dns.mx("far.test", 1, "mx.test").address_of("mx.test", "::");
            },
            fails("5.4.4"),
        ),
        (
            "ourselves first",
            |w, r| {
                w.dns.mx("far.test", 1, "MAIL.corp.test").mx("far.test", 2, "mx.test");
                w.dns.address_of("mx.test", &r.ip());
            },
            fails("5.4.6"),
        ),
        (
            "ourselves among equals",
            |w, r| {
                w.dns.mx("far.test", 1, "mail.corp.test").mx("far.test", 1, "mx.test");
                w.dns.address_of("mx.test", &r.ip());
            },
            fails("5.4.6"),
        ),
        (
            "ourselves last",
            |w, r| {
                w.dns.mx("far.test", 2, "mail.corp.test").mx("far.test", 1, "mx.test");
                w.dns.address_of("mx.test", &r.ip());
            },
            goes(),
        ),
        (
            "our address",
            |w, _| {
                w.dns.mx("far.test", 1, "mx.test").address_of("mx.test", "127.0.0.77");
            },
            fails("5.4.6"),
        ),
        (
            "our address behind another name, first",
            |w, r| {
                w.dns.mx("far.test", 1, "other.test").address_of("other.test", "::ffff:127.0.0.77");
                w.dns.mx("far.test", 2, "mx.test").address_of("mx.test", &r.ip());
            },
            fails("5.4.6"),
        ),
        (
            "IPv6 that does not work",
            |w, r| {
                w.dns.mx("far.test", 1, "mx.test").address_of("mx.test", "::1").address_of("mx.test", &r.ip());
            },
            goes(),
        ),
        (
            "endless alias",
            |w, _| {
                w.dns.endless_alias("far.test");
            },
            fails("5.1.2"),
        ),
    ];
    for (case, records, want) in rows {
        let (outcome, connections) = with(|world, remote| {
            records(world, remote);
        })
        .await;
        assert_eq!(brief(&outcome), want, "{case}: {}", outcome.text);
        assert_eq!(connections, usize::from(want.0 == End::Relayed), "{case}");
    }
}

#[tokio::test]
async fn loopback_is_nobodys_mail_host() {
    let remote = Remote::start(Script::default()).await;
    let mut world = World::with(&remote).await;
    world.courier.settings.may_be_loopback = false;
    world.dns.mx("six.test", 1, "mx.six.test").address_of("mx.six.test", "::1");
    for host in ["far.test", "six.test", "[127.0.0.2]", "[IPv6:::1]", "[IPv6:::ffff:127.0.0.2]"] {
        let outcome = world.session(&destination(host)).await.unwrap_err();
        assert_eq!(brief(&outcome), of_destination(End::Failed, "5.4.4"), "{host}");
    }
    assert_eq!(remote.connections(), 0);
}

#[tokio::test]
async fn literals_need_no_dns() {
    let remote = Remote::start(Script::default()).await;
    let world = World::new(remote.port()).await;
    let session = world.session(&destination("[127.0.0.2]")).await.unwrap();
    assert_eq!(session.host().name, "[127.0.0.2]");
    let outcome = world.session(&destination("[x400:c=de]")).await.unwrap_err();
    assert_eq!(brief(&outcome), of_destination(End::Failed, "5.1.2"));
    assert_eq!(world.dns.questions(), 0);
}

#[tokio::test]
async fn a_dns_that_does_not_answer_is_asked_later() {
    let remote = Remote::start(Script::default()).await;
    type Set = for<'a> fn(&'a DnsServer, &str) -> &'a DnsServer;
    for silence in [DnsServer::silence as Set, DnsServer::garbage] {
        let mut world = World::new(remote.port()).await;
        world.courier.dns = Dns::new(&[world.dns.address()], SHORT).unwrap();
        silence(&world.dns, "far.test");
        let start = Instant::now();
        let outcome = world.session(&far()).await.unwrap_err();
        assert_eq!(brief(&outcome), of_destination(End::Deferred, "4.4.3"), "{}", outcome.text);
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn a_thousand_mx_cost_what_a_few_do() {
    let world = World::new(1).await;
    for n in 0..1_000_u16 {
        world.dns.mx("far.test", n, &format!("mx{n}.far.test"));
    }
    let outcome = world.session(&far()).await.unwrap_err();
    assert_eq!(brief(&outcome), of_destination(End::Failed, "5.4.4"));
    // MX by UDP and by TCP, two for each of twenty names, and what is asked twice.
    assert!(world.dns.questions() <= 90, "{}", world.dns.questions());
}

#[tokio::test]
async fn a_hundred_addresses_cost_what_ten_do() {
    let script = Script::default().on("greeting", &[Act::Last("554 5.3.2 not here")]);
    let remote = Remote::start(script.clone()).await;
    let world = World::new(remote.port()).await;
    let mut others = Vec::new();
    for n in 3..40 {
        others.push(remote.beside(&format!("127.0.0.{n}"), script.clone()).await);
    }
    for n in 2..40 {
        world.dns.mx("far.test", n, &format!("mx{n}.test")).address_of(&format!("mx{n}.test"), &format!("127.0.0.{n}"));
    }
    let outcome = world.session(&far()).await.unwrap_err();
    assert_eq!(brief(&outcome), (End::Failed, Scope::Host, "5.3.2".to_owned()));
    let connections: usize = others.iter().map(Remote::connections).sum::<usize>() + remote.connections();
    assert_eq!(connections, 10);
}

#[tokio::test]
async fn hosts_are_tried_one_after_the_other() {
    let busy = || Script::default().on("greeting", &[Act::Last("421 4.7.0 too busy")]);
    let never = || Script::default().on("greeting", &[Act::Last("554 5.7.1 not you")]);
    let deferred = Err((End::Deferred, Scope::Host, "4.7.0".to_owned()));
    let failed = Err((End::Failed, Scope::Host, "5.7.1".to_owned()));
    for (case, first, second, want) in [
        ("busy, good", busy(), Script::default(), Ok("mx2.test")),
        ("never, good", never(), Script::default(), Ok("mx2.test")),
        ("busy, never", busy(), never(), deferred.clone()),
        ("never, busy", never(), busy(), deferred),
        ("never, never", never(), never(), failed),
    ] {
        let remote = Remote::start(first).await;
        let _other = remote.beside("127.0.0.3", second).await;
        let world = World::new(remote.port()).await;
        world.dns.mx("far.test", 1, "mx1.test").address_of("mx1.test", &remote.ip());
        world.dns.mx("far.test", 2, "mx2.test").address_of("mx2.test", "127.0.0.3");
        world.dns.mx("far.test", 3, "mx3.test").address_of("mx3.test", "127.0.0.4");
        if want.is_err() {
            // A host that does not answer tells less than one that does.
            let outcome = world.session(&far()).await.unwrap_err();
            let heard = brief(&outcome);
            assert_eq!((heard.0, outcome.is_reply || heard.2 == "4.4.1"), (End::Deferred, true), "{case}");
            world.dns.remove("mx3.test");
        }
        let got = world.session(&far()).await;
        match (got, want) {
            (Ok(session), Ok(name)) => assert_eq!(session.host().name, name, "{case}"),
            (Err(outcome), Err(want)) => assert_eq!(brief(&outcome), want, "{case}"),
            (other, _) => panic!("{case}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_courier_goes_on_where_it_was() {
    let remote = Remote::start(Script::default()).await;
    let second = remote.beside("127.0.0.3", Script::default()).await;
    let world = World::new(remote.port()).await;
    world.dns.mx("far.test", 1, "mx1.test").address_of("mx1.test", &remote.ip());
    world.dns.mx("far.test", 2, "mx2.test").address_of("mx2.test", &second.ip());
    let mut hosts = world.courier.hosts(&far()).await.unwrap();
    for name in ["mx1.test", "mx2.test"] {
        let session = world.courier.next(&mut hosts, whenever()).await.unwrap();
        assert_eq!(session.host().name, name);
    }
    let outcome = world.courier.next(&mut hosts, whenever()).await.unwrap_err();
    assert_eq!(brief(&outcome), (End::Deferred, Scope::Host, "4.4.1".to_owned()), "none has refused anything");
}

#[tokio::test]
async fn equals_share_the_load() {
    let remote = Remote::start(Script::default()).await;
    let second = remote.beside("127.0.0.3", Script::default()).await;
    let world = World::new(remote.port()).await;
    world.dns.mx("far.test", 1, "mx1.test").address_of("mx1.test", &remote.ip());
    world.dns.mx("far.test", 1, "mx2.test").address_of("mx2.test", &second.ip());
    for _ in 0..32 {
        world.session(&far()).await.unwrap();
    }
    assert!(remote.connections() > 2 && second.connections() > 2, "{}", remote.connections());
}
