//! TLS to other hosts: by courtesy, by demand, and with somebody in between.

use super::remote::{Act, Remote, Script};
use super::*;

/// What becomes of a message under that demand, and with how many connections.
async fn send(remote: &Remote, route: Route, requires_tls: bool) -> Outcome {
    let world = World::with(remote).await;
    let tls = if requires_tls { TlsWish::Required } else { TlsWish::AsPublished };
    let destination = Destination { route: Some(Arc::new(route)), tls, ..far() };
    match world.session(&destination).await {
        Err(outcome) => outcome,
        Ok(mut session) => {
            let (message, bob) = (world.message(MESSAGE).await, to(&["bob@far.test"]));
            let outgoing = Outgoing { requires_tls, ..outgoing(&bob, &message) };
            let outcome = session.send(&world.store, &outgoing, whenever()).await.remove(0);
            session.close().await;
            outcome
        }
    }
}

#[tokio::test]
async fn tls_is_used_as_demanded_and_offered() {
    let good = || Script::default().tls("mx.far.test");
    let on = |act: Act| good().on("STARTTLS", &[act]);
    let relayed = |tls: bool| Ok(tls);
    for (case, script, demand, want, connections) in [
        ("offered", good(), Demand::Published, relayed(true), 1),
        (
            "another name, which nobody asked to prove",
            Script::default().tls("other.test"),
            Demand::Published,
            relayed(true),
            1,
        ),
        ("not offered", Script::default(), Demand::Published, relayed(false), 1),
        ("not wanted", good(), Demand::Plain, relayed(false), 1),
        ("refused", on(Act::Say("454 4.7.0 not now")), Demand::Published, relayed(false), 1),
        ("fails", on(Act::NoTls), Demand::Published, relayed(false), 2),
        ("demanded", good(), Demand::Encrypted, relayed(true), 1),
        ("demanded, not offered", Script::default(), Demand::Encrypted, Err("4.7.10"), 1),
        ("demanded, refused", on(Act::Say("454 4.7.0 not now")), Demand::Encrypted, Err("4.7.10"), 1),
        ("demanded, fails", on(Act::NoTls), Demand::Encrypted, Err("4.7.5"), 1),
        ("somebody in between", on(Act::Inject), Demand::Published, Err("4.7.5"), 1),
        ("somebody in between, demanded", on(Act::Inject), Demand::Encrypted, Err("4.7.5"), 1),
    ] {
        let remote = Remote::start(script).await;
        let outcome = send(&remote, route(demand), false).await;
        let got = match outcome.end {
            End::Relayed => Ok(outcome.tls.as_deref().is_some_and(|tls| tls.starts_with("TLSv1.3 TLS_AES_"))),
            _ => Err((outcome.end, outcome.scope, outcome.status.to_string())),
        };
        assert_eq!(got, want.map_err(|s: &str| (End::Deferred, Scope::Host, s.to_owned())), "{case}: {}", outcome.text);
        assert_eq!(remote.connections(), connections, "{case}");
        assert_eq!(remote.contents().len(), usize::from(want.is_ok()), "{case}");
        if want == Ok(true) {
            // RFC 3207 §4.2: EHLO again.
            assert_eq!(remote.lines().iter().filter(|line| line.starts_with("EHLO")).count(), 2, "{case}");
        }
    }
}

#[tokio::test]
async fn routes_can_have_tls_from_the_first_octet() {
    let implicit = || Route { implicit_tls: true, ..route(Demand::Encrypted) };
    let remote = Remote::start(Script::default().tls("mx.far.test").implicit()).await;
    let outcome = send(&remote, implicit(), false).await;
    assert!(outcome.end == End::Relayed && outcome.tls.is_some(), "{}", outcome.text);
    assert!(!remote.lines().contains(&"STARTTLS".to_owned()));
    let remote = Remote::start(Script::default()).await;
    let outcome = send(&remote, implicit(), false).await;
    assert_eq!(brief(&outcome), (End::Deferred, Scope::Host, "4.7.5".to_owned()));
    assert_eq!(remote.connections(), 1);
}

#[tokio::test]
async fn requiretls_goes_to_proven_hosts_only() {
    for script in [
        Script::offering(&["REQUIRETLS"]),
        Script::offering(&["REQUIRETLS"]).tls("mx.far.test"),
        Script::default().tls("mx.far.test"),
    ] {
        let remote = Remote::start(script).await;
        let outcome = send(&remote, route(Demand::Published), true).await;
        assert_eq!(brief(&outcome), (End::Failed, Scope::Host, "5.7.10".to_owned()), "{}", outcome.text);
        assert_eq!(remote.transactions().replace("STARTTLS", ""), "");
    }
}
