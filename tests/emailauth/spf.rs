//! SPF (RFC 7208).

use std::time::Duration;

use posthouse::proto::authres::SpfResult::{self, Fail, Neutral, None, Pass, PermError, SoftFail, TempError};

use super::{CLIENT, World};

#[tokio::test]
async fn records_give_their_results() {
    let world = World::new();
    world.dns.address_of("host.test", CLIENT).address_of("host.test", "2001:db8::10");
    world.dns.address_of("near.test", "192.0.2.99").mx("exchange.test", 10, "host.test");
    world.dns.mx("exchange.test", 5, "near.test").txt("include.test", "v=spf1 ip4:192.0.2.10 -all");
    world.dns.txt("softly.test", "v=spf1 ~ip4:192.0.2.10 -all").txt("nested.test", "v=spf1 include:include.test -all");
    world.dns.ptr(CLIENT, "mx.named.test").address_of("mx.named.test", CLIENT);
    world.dns.ptr("192.0.2.77", "mx.named.test");
    world.dns.address_of("10.2.0.192.in-addr.listed.test", "127.0.0.2").address_of("alice.at.test", "127.0.0.2");
    world.dns.address_of("r10.r2.r0.r192.mx.sender.test", "127.0.0.2").servfail("broken.test");
    world.dns.alias("alias.test", "host.test").txt("recorded.test", "just text");
    for (record, client, want) in [
        ("v=spf1 -all", CLIENT, Fail),
        ("v=spf1 ~all", CLIENT, SoftFail),
        ("v=spf1 ?all", CLIENT, Neutral),
        ("v=spf1 +all", CLIENT, Pass),
        ("V=SPF1 -ALL", CLIENT, Fail),
        ("v=spf1", CLIENT, Neutral),
        ("v=spf1 ip4:192.0.2.0/24 -all", CLIENT, Pass),
        ("v=spf1 ip4:192.0.2.0/28 -all", "192.0.2.16", Fail),
        ("v=spf1 ip4:192.0.2.10 -all", "::ffff:192.0.2.10", Pass),
        ("v=spf1 ip6:2001:db8::/32 -all", "2001:db8:1::1", Pass),
        ("v=spf1 ip6:2001:db8::/32 -all", CLIENT, Fail),
        ("v=spf1 a:host.test -all", CLIENT, Pass),
        ("v=spf1 a:host.test -all", "2001:db8::10", Pass),
        ("v=spf1 a:host.test -all", "192.0.2.11", Fail),
        ("v=spf1 a:near.test/24 -all", CLIENT, Pass),
        ("v=spf1 a:alias.test -all", CLIENT, Pass),
        ("v=spf1 a:broken.test -all", CLIENT, TempError),
        ("v=spf1 ip4:192.0.2.10 a:broken.test -all", CLIENT, Pass),
        ("v=spf1 mx:exchange.test -all", CLIENT, Pass),
        ("v=spf1 mx:exchange.test -all", "192.0.2.98", Fail),
        ("v=spf1 mx:exchange.test/30 -all", "192.0.2.98", Pass),
        ("v=spf1 ptr:named.test -all", CLIENT, Pass),
        ("v=spf1 ptr:named.test -all", "192.0.2.77", Fail),
        ("v=spf1 ptr:med.test -all", CLIENT, Fail),
        ("v=spf1 exists:%{ir}.in-addr.listed.test -all", CLIENT, Pass),
        ("v=spf1 exists:%{l}.at.test -all", CLIENT, Pass),
        ("v=spf1 exists:%{o}.nowhere.test -all", CLIENT, Fail),
        ("v=spf1 include:include.test ~all", CLIENT, Pass),
        ("v=spf1 include:include.test ~all", "192.0.2.11", SoftFail),
        ("v=spf1 include:softly.test -all", CLIENT, Fail),
        ("v=spf1 ?include:nested.test -all", CLIENT, Neutral),
        ("v=spf1 -include:nested.test +all", CLIENT, Fail),
        ("v=spf1 include:recorded.test ~all", CLIENT, PermError),
        ("v=spf1 include:nowhere.test ~all", CLIENT, PermError),
        ("v=spf1 include:broken.test ~all", CLIENT, TempError),
        ("v=spf1 redirect=include.test", CLIENT, Pass),
        ("v=spf1 redirect=include.test", "192.0.2.11", Fail),
        ("v=spf1 redirect=nowhere.test", CLIENT, PermError),
        ("v=spf1 ip4:300.1.1.1 -all", CLIENT, PermError),
        ("v=spf1 nonsense:x -all", CLIENT, PermError),
        ("v=spf1 nonsense=x -all", CLIENT, Fail),
        ("v=spf1 +ip4:192.0.2.10/32  ~all ", CLIENT, Pass),
        ("v=spf1 ip4:192.0.2.10/33 -all", CLIENT, PermError),
        ("v=spf1 ip4 -all", CLIENT, PermError),
        ("v=spf1 ip6:192.0.2.10 -all", CLIENT, PermError),
        ("v=spf1 all:x", CLIENT, PermError),
        ("v=spf1 include -all", CLIENT, PermError),
        ("v=spf1 redirect=include.test redirect=include.test", CLIENT, PermError),
        ("v=spf1 -all redirect=include.test", CLIENT, Fail),
        ("v=spf1\t+all", CLIENT, None),
        ("v=spf10 -all", CLIENT, None),
        ("spf1 -all", CLIENT, None),
    ] {
        world.dns.remove("case.test").txt("case.test", record);
        assert_eq!(world.spf(client, "alice@case.test").await, want, "{record} for {client}");
    }
}

#[tokio::test]
async fn domains_without_an_answer() {
    let world = World::new();
    world.dns.servfail("servfail.test").silence("silence.test").garbage("garbage.test").endless_alias("alias.test");
    world.dns.txt("two.test", "v=spf1 +all").txt("two.test", "v=spf1 -all");
    world.dns.txt("others.test", "some=thing").txt("others.test", "v=spf1 +all").address_of("empty.test", CLIENT);
    for (domain, want) in [
        ("nowhere.test", None),
        ("empty.test", None),
        ("servfail.test", TempError),
        ("silence.test", TempError),
        ("garbage.test", TempError),
        ("two.test", PermError),
        ("others.test", Pass),
        ("label", None),
        ("[192.0.2.10]", None),
    ] {
        assert_eq!(world.spf(CLIENT, &format!("alice@{domain}")).await, want, "{domain}");
    }
    assert_ne!(world.spf(CLIENT, "alice@alias.test").await, Pass);
    let asked = world.dns.questions();
    assert_eq!(world.spf(CLIENT, "").await, None, "the null reverse-path");
    assert_eq!(world.dns.questions(), asked, "nobody is asked about it");
}

#[tokio::test]
async fn lookups_are_bounded() {
    let world = World::new();
    world.dns.txt("loop.test", "v=spf1 include:loop.test -all").txt("turn.test", "v=spf1 redirect=turn.test");
    for n in 0..12 {
        world.dns.txt(&format!("i{n}.test"), "v=spf1 -all").address_of(&format!("a{n}.test"), "203.0.113.1");
        world.dns.mx("many.test", n, &format!("a{n}.test"));
        if n < 10 {
            world.dns.mx("ten.test", n, &format!("a{n}.test"));
        }
    }
    let includes = |n: u32| (0..n).map(|n| format!(" include:i{n}.test")).collect::<String>();
    let fork = "v=spf1 include:fork.test include:fork.test include:fork.test -all";
    for (case, record, want) in [
        ("ten includes", format!("v=spf1{} +all", includes(10)), Pass),
        ("eleven includes", format!("v=spf1{} +all", includes(11)), PermError),
        ("include of itself", "v=spf1 include:loop.test +all".to_owned(), PermError),
        ("redirect to itself", "v=spf1 redirect=turn.test".to_owned(), PermError),
        ("two void lookups", "v=spf1 a:v1.test a:v2.test +all".to_owned(), Pass),
        ("three void lookups", "v=spf1 a:v1.test mx:v2.test exists:v3.test +all".to_owned(), PermError),
        ("ten exchanges", "v=spf1 mx:ten.test +all".to_owned(), Pass),
        ("twelve exchanges", "v=spf1 mx:many.test +all".to_owned(), PermError),
        ("forks", fork.to_owned(), PermError),
    ] {
        world.dns.remove("case.test").txt("case.test", &record).remove("fork.test").txt("fork.test", fork);
        let before = world.dns.questions();
        assert_eq!(world.spf(CLIENT, "alice@case.test").await, want, "{case}");
        let asked = world.dns.questions() - before;
        assert!(asked <= 40, "{case}: {asked} questions");
    }
}

#[tokio::test]
async fn the_whole_takes_bounded_time() {
    let world = World::with_time(Duration::from_millis(300));
    world.dns.txt("slow.test", "v=spf1 a:silent.test +all").silence("silent.test");
    let started = std::time::Instant::now();
    assert_eq!(world.spf(CLIENT, "alice@slow.test").await, SpfResult::TempError);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_can_ask_at_once() {
    let world = std::sync::Arc::new(World::with_question_time(Duration::from_secs(10)));
    let mut asking = tokio::task::JoinSet::new();
    for n in 0..500 {
        world.dns.txt(&format!("d{n}.test"), "v=spf1 ip4:192.0.2.10 -all");
        let world = world.clone();
        asking.spawn(async move { world.spf(CLIENT, &format!("alice@d{n}.test")).await });
    }
    assert_eq!(asking.join_all().await, [Pass; 500]);
}

#[tokio::test]
async fn long_records_come_over_tcp() {
    let world = World::new();
    let networks: String = (0..150).map(|n| format!(" ip4:198.51.{n}.0/24")).collect();
    world.dns.txt("long.test", &format!("v=spf1{networks} ip4:192.0.2.10 -all"));
    assert_eq!(world.spf(CLIENT, "alice@long.test").await, Pass);
}
