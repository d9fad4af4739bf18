//! Two servers of ours and a Postfix: what others make of what we send, and we of what they do.

use super::eventually;
use super::network::{Network, accounts, apply, inbox, login, queue, report, send, submit, text};
use super::postfix::Postfix;
use crate::server::Server;

/// alice@a.test and bob@b.test; `more` is what else they have.
fn two(network: &Network, (of_alice, of_bob): (&str, &str)) -> (Server, Server) {
    let (a, b) = (network.server('a', ""), network.server('b', ""));
    accounts(&a, &[("alice@a.test", of_alice)]);
    accounts(&b, &[("bob@b.test", of_bob)]);
    (a, b)
}

/// pam of Postfix writes.
fn pam_sends(postfix: &Postfix, to: &str, subject: &str) {
    send(postfix.smtp(), "pam@p.test", to, subject, 10);
}

#[test]
fn mail_goes_in_every_direction_and_by_tls() {
    let network = Network::new();
    let ((a, b), postfix) = (two(&network, ("", "")), network.postfix(&[]));
    submit(&a, "alice@a.test", "bob@b.test", "a to b");
    submit(&a, "alice@a.test", "pam@p.test", "a to p");
    submit(&b, "bob@b.test", "alice@a.test", "b to a");
    submit(&b, "bob@b.test", "pam@p.test", "b to p");
    pam_sends(&postfix, "alice@a.test", "p to a");
    pam_sends(&postfix, "bob@b.test", "p to b");
    let of = |to: char, subject: &str| match to {
        'a' => inbox(&a, "alice@a.test", subject),
        'b' => inbox(&b, "bob@b.test", subject),
        _ => postfix.messages(subject),
    };
    for (from, to) in [('a', 'b'), ('a', 'p'), ('b', 'a'), ('b', 'p'), ('p', 'a'), ('p', 'b')] {
        let subject = format!("Subject: {from} to {to}");
        let found = || of(to, subject.trim_start_matches("Subject: "));
        eventually(&subject, || !found().is_empty());
        let found = found();
        assert_eq!(found.len(), 1, "{subject}");
        assert!(found[0].contains(&subject), "{}", found[0]);
        // The topmost is of the last hop.
        let received = found[0].split("Received: ").nth(1).expect("a Received field");
        assert!(received.contains(&format!("by mx.{to}.test")), "{received}");
        assert!(received.contains("ESMTPS"), "{received}");
    }
    for server in [&a, &b] {
        eventually("nothing waits", || queue(server).is_empty());
        server.assert_no_panic();
    }
}

#[test]
fn mail_waits_for_a_host_that_is_down() {
    let network = Network::new();
    let ((mut a, mut b), mut postfix) = (two(&network, ("", "")), network.postfix(&[]));
    let waits = |server: &Server| queue(server).iter().any(|item| item["attempts"].as_u64() > Some(1));
    let once = |server: &Server, user: &str, subject: &str| {
        eventually(subject, || !inbox(server, user, subject).is_empty());
        assert_eq!(inbox(server, user, subject).len(), 1, "{subject}");
    };

    assert_eq!(b.stop(), Some(0));
    submit(&a, "alice@a.test", "bob@b.test", "waits for b");
    pam_sends(&postfix, "bob@b.test", "waits at p for b");
    eventually("a has tried", || waits(&a));
    eventually("p has tried", || postfix.log().contains("status=deferred"));
    b.run();
    once(&b, "bob@b.test", "waits for b");
    eventually("waits at p for b", || {
        postfix.flush();
        !inbox(&b, "bob@b.test", "waits at p for b").is_empty()
    });
    once(&b, "bob@b.test", "waits at p for b");

    a.kill();
    pam_sends(&postfix, "alice@a.test", "waits at p for a");
    submit(&b, "bob@b.test", "alice@a.test", "waits at b for a");
    eventually("b has tried", || waits(&b));
    a.run();
    eventually("waits at p for a", || {
        postfix.flush();
        !inbox(&a, "alice@a.test", "waits at p for a").is_empty()
    });
    once(&a, "alice@a.test", "waits at p for a");
    once(&a, "alice@a.test", "waits at b for a");

    postfix.stop();
    submit(&a, "alice@a.test", "pam@p.test", "waits for p");
    eventually("a has tried", || waits(&a));
    assert!(queue(&a)[0]["note"].as_str().is_some_and(|note| note.contains("no connection")), "{:?}", queue(&a));
    postfix.run();
    eventually("waits for p", || !postfix.messages("waits for p").is_empty());
    assert_eq!(postfix.messages("waits for p").len(), 1);

    for server in [&a, &b] {
        eventually("nothing waits", || queue(server).is_empty());
        server.assert_no_panic();
    }
}

#[test]
fn bounces_of_every_kind_come_back() {
    let network = Network::new();
    let a = network.server('a', "");
    let b = network.server('b', "give_up_after = \"3 s\"\n");
    accounts(&a, &[("alice@a.test", ""), ("adam@a.test", "")]);
    accounts(&b, &[("bob@b.test", "")]);
    let postfix = network.postfix(&[]);
    // Nobody is there.
    network.dns.mx("gone.test", 10, "mx.gone.test").address_of("mx.gone.test", &network.ip('z').to_string());
    network.dns.mx("never.test", 0, ".");

    for to in ["nobody@b.test", "nobody@p.test", "x@never.test", "x@absent.test"] {
        submit(&a, "alice@a.test", to, "unknown");
    }
    submit(&a, "alice@a.test", "pam@p.test", "forbidden");
    send(login(&a, "adam@a.test"), "adam@a.test", "bob@b.test", "too large", 70_000);
    send(login(&a, "adam@a.test"), "adam@a.test", "pam@p.test", "too large", 110_000);
    submit(&b, "bob@b.test", "nobody@a.test", "unknown");
    submit(&b, "bob@b.test", "x@gone.test", "expires");
    for to in ["nobody@a.test", "nobody@b.test"] {
        pam_sends(&postfix, to, "unknown");
    }
    send(postfix.smtp(), "pam@p.test", "bob@b.test", "too large", 70_000);
    let mut smtp = postfix.smtp();
    let passed = "Received: from x.test by y.test; Thu, 1 Jan 2026 12:00:00 +0000\r\n".repeat(50);
    let message = passed + &text("pam@p.test", "alice@a.test", "many hops", 10);
    assert_eq!(smtp.send("pam@p.test", &["alice@a.test"], message.as_bytes()).code, 250);

    let of_alice = || inbox(&a, "alice@a.test", "delivery-status");
    eventually("alice has five reports", || of_alice().len() == 5);
    let unknown = |host: &str| format!("Remote-MTA: dns; mx.{host}.test");
    for (recipient, lines) in [
        ("nobody@b.test", &["Status: 5.1.1", &unknown("b"), "Diagnostic-Code: smtp; 550 5.1.1"][..]),
        ("nobody@p.test", &["Status: 5.1.1", &unknown("p"), "Diagnostic-Code: smtp; 550 5.1.1"]),
        ("pam@p.test", &["Status: 5.7.1", &unknown("p"), "Diagnostic-Code: smtp; 550 5.7.1 not here"]),
        ("x@never.test", &["Status: 5.1.10", "null MX"]),
        ("x@absent.test", &["Status: 5.1.2"]),
    ] {
        report(&of_alice(), recipient, lines);
    }
    let of_adam = || inbox(&a, "adam@a.test", "delivery-status");
    eventually("adam has two reports", || of_adam().len() == 2);
    // SIZE told it beforehand: it is not what they answered.
    for (recipient, text) in [("bob@b.test", "this host takes 65536"), ("pam@p.test", "this host takes 100000")] {
        report(&of_adam(), recipient, &["Status: 5.3.4", text]);
        assert!(of_adam().iter().all(|report| !report.contains("Diagnostic-Code: smtp")), "{:#?}", of_adam());
    }
    let of_bob = || inbox(&b, "bob@b.test", "delivery-status");
    eventually("bob has two reports", || of_bob().len() == 2);
    let lines = &["Status: 5.1.1", &unknown("a"), "Diagnostic-Code: smtp; 550 5.1.1"];
    report(&of_bob(), "nobody@a.test", lines);
    report(&of_bob(), "x@gone.test", &["Status: 5.4.7"]);
    let of_pam = || postfix.messages("delivery-status");
    eventually("pam has four reports", || of_pam().len() == 4);
    for (recipient, lines) in [
        ("nobody@a.test", &["Status: 5.1.1", "Diagnostic-Code: smtp; 550 5.1.1"][..]),
        ("nobody@b.test", &["Status: 5.1.1", "Diagnostic-Code: smtp; 550 5.1.1"]),
        ("bob@b.test", &["Status: 5.3.4"]),
        ("alice@a.test", &["Status: 5.4.6", "Diagnostic-Code: smtp; 554 5.4.6"]),
    ] {
        report(&of_pam(), recipient, lines);
    }
    for server in [&a, &b] {
        eventually("nothing waits", || queue(server).is_empty());
        server.assert_no_panic();
    }
}

#[test]
fn mail_that_would_come_back_to_its_host_is_a_failure() {
    let network = Network::new();
    let (a, b) = two(&network, ("", ""));
    // By its name, by its address, and at one that does not take it either.
    network.dns.mx("name.test", 10, "mx.a.test");
    network.dns.mx("address.test", 10, "alias.test").address_of("alias.test", &network.ip('a').to_string());
    network.dns.mx("backup.test", 20, "mx.a.test").mx("backup.test", 10, "mx.gone.test").mx(
        "backup.test",
        30,
        "mx.b.test",
    );
    network.dns.address_of("mx.gone.test", &network.ip('z').to_string());
    network.dns.mx("other.test", 10, "mx.b.test");
    for to in ["x@name.test", "x@address.test", "x@other.test", "x@backup.test"] {
        submit(&a, "alice@a.test", to, "comes back");
    }
    let reports = || inbox(&a, "alice@a.test", "delivery-status");
    eventually("alice has reports", || reports().len() == 3);
    for recipient in ["x@name.test", "x@address.test"] {
        report(&reports(), recipient, &["Status: 5.4.6"]);
    }
    report(&reports(), "x@other.test", &["Status: 5.7.1", "Remote-MTA: dns; mx.b.test"]);
    // Only the host that is down is tried, again and again.
    eventually("tried", || queue(&a).iter().any(|item| item["attempts"].as_u64() > Some(1)));
    assert_eq!(queue(&a).len(), 1);
    assert!(queue(&b).is_empty());
}

#[test]
fn forwards_in_a_circle_end() {
    let network = Network::new();
    let to = |address: &str, keep: bool| format!("admin_forward = {{ targets = [\"{address}\"], keep = {keep} }}\n");
    let (a, b) = (network.server('a', ""), network.server('b', ""));
    accounts(
        &a,
        &[
            ("alice@a.test", &to("bob@b.test", false)),
            ("ada@a.test", &to("bea@b.test", true)),
            ("eve@a.test", &to("circle@p.test", false)),
        ],
    );
    accounts(&b, &[("bob@b.test", &to("alice@a.test", false)), ("bea@b.test", &to("ada@a.test", true))]);
    let postfix = network.postfix(&[("circle@p.test", "eve@a.test")]);
    for to in ["alice@a.test", "ada@a.test", "eve@a.test"] {
        pam_sends(&postfix, to, "goes round");
    }
    for user in ["alice@a.test", "eve@a.test"] {
        eventually(user, || !inbox(&a, user, "goes round").is_empty());
    }
    eventually("ada and bea", || !inbox(&a, "ada@a.test", "Delivered-To: bea@b.test").is_empty());
    for server in [&a, &b] {
        eventually("nothing waits", || queue(server).is_empty());
        server.assert_no_panic();
    }
    let count = |server: &Server, user: &str| inbox(server, user, "goes round").len();
    // Who keeps a copy has the one that came back too.
    let counts = ["alice@a.test", "ada@a.test", "eve@a.test"].map(|user| count(&a, user));
    let of_b = ["bob@b.test", "bea@b.test"].map(|user| count(&b, user));
    assert_eq!((counts, of_b), ([1, 2, 1], [0, 1]));
    assert_eq!(postfix.messages("").len(), 0, "nobody hears of it");
}

#[test]
fn groups_and_forwards_reach_members_elsewhere() {
    let network = Network::new();
    let (a, b) = two(&network, ("", ""));
    accounts(&a, &[("ann@a.test", "admin_forward = { targets = [\"pam@p.test\"], keep = true }\n")]);
    apply(
        &a,
        "[[group]]\naddress = \"team@a.test\"\npermission = \"anyone\"\nexternal_members = true\n\
         members = [\"alice@a.test\", \"bob@b.test\", \"pam@p.test\"]\n",
    );
    let postfix = network.postfix(&[]);
    submit(&b, "bob@b.test", "team@a.test", "to the team");
    eventually("pam", || !postfix.messages("to the team").is_empty());
    eventually("alice", || inbox(&a, "alice@a.test", "to the team").len() == 1);
    submit(&b, "bob@b.test", "ann@a.test", "to ann");
    eventually("pam has what is ann's", || !postfix.messages("to ann").is_empty());
    let forwarded = postfix.messages("to ann").remove(0);
    assert!(forwarded.starts_with("Return-Path: <SRS0="), "{forwarded}");
    assert!(forwarded.lines().next().is_some_and(|line| line.contains("=b.test=bob@a.test>")), "{forwarded}");
    for server in [&a, &b] {
        eventually("nothing waits", || queue(server).is_empty());
        server.assert_no_panic();
    }
}
