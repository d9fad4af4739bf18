//! What connections between real hosts must prove, and what becomes of mail where they do not: a smarthost that wants a
//! login, DANE, MTA-STS, REQUIRETLS.

use super::eventually;
use super::network::{Network, accounts, apply, inbox, queue, report, submit, text};
use crate::certificates::{Authority, Identity};
use crate::policy::auth_plain;
use crate::server::{PASSWORD, Server};
use crate::smtp::Smtp;

/// What is known of attempts for this recipient.
fn trace(server: &Server, recipient: &str) -> String {
    server.cli(&["trace", "find", "--recipient", recipient, "--json"], "")
}

/// Mail for this recipient waits, and this is why.
fn waits(server: &Server, recipient: &str, why: &str) {
    let is_so = || {
        let items = queue(server);
        let item = items.iter().find(|item| item["recipient"] == recipient);
        item.is_some_and(|item| item["note"].as_str().is_some_and(|note| note.contains(why)))
    };
    eventually(why, is_so);
}

/// The TLSA record of a host, which means this certificate.
fn tlsa(network: &Network, host: char, identity: &Identity) {
    let name = format!("_{}._tcp.mx.{host}.test", network.port);
    network.dns.tlsa(&name, (3, 0, 0), &identity.chain[0]);
}

#[test]
fn a_route_leads_through_a_smarthost_with_login_and_tls() {
    let network = Network::new();
    let identity = network.authority.issue(&["mx.b.test", "smart.b.test"], false);
    let b = network.server_that_is('b', "", &network.authority, &identity);
    network.dns.address_of("smart.b.test", "127.0.0.1");
    apply(&b, "[[domain]]\nname = \"c.test\"\norganisation = \"b\"\n");
    accounts(&b, &[("carol@c.test", "")]);
    let postfix = network.postfix(&[]);
    let route = |name: &str, (host, protocol): (&str, &str), tls: &str, password: &str| {
        format!(
            "\n[[outbound.route]]\nname = \"{name}\"\nfrom = [\"{name}.test\"]\nhost = \"{host}\"\nport = {}\n\
             tls = \"{tls}\"\nusername = \"carol@c.test\"\npassword_file = \"{password}.password\"\n",
            b.port(protocol)
        )
    };
    let routes = [
        route("c", ("smart.b.test", "submission"), "verified", "relay"),
        route("i", ("smart.b.test", "submissions"), "implicit", "relay"),
        route("w", ("smart.b.test", "submission"), "verified", "wrong"),
        // Its certificate is for other names.
        route("n", ("other.b.test", "submission"), "verified", "relay"),
    ];
    network.dns.address_of("other.b.test", "127.0.0.1");
    let a = network.server('a', &routes.concat());
    for domain in ["c.test", "i.test", "w.test", "n.test"] {
        apply(&a, &format!("[[domain]]\nname = \"{domain}\"\norganisation = \"a\"\n"));
        accounts(&a, &[(&format!("carol@{domain}"), "")]);
    }
    apply(&b, "[[domain]]\nname = \"i.test\"\norganisation = \"b\"\n");
    apply(&b, "[[alias]]\naddress = \"carol@i.test\"\naccount = \"carol@c.test\"\n");

    for domain in ["c", "i"] {
        let subject = format!("by the smarthost {domain}");
        submit(&a, &format!("carol@{domain}.test"), "pam@p.test", &subject);
        eventually(&subject, || !postfix.messages(&subject).is_empty());
        let message = postfix.messages(&subject).remove(0);
        let hops: Vec<&str> = message.split("Received: ").skip(1).collect();
        assert!(hops[0].contains("from mx.b.test") && hops[0].contains("by mx.p.test"), "{message}");
        assert!(hops[1].contains("by mx.b.test") && hops[1].contains("ESMTPSA"), "logged in, by TLS: {message}");
        assert!(hops[2].contains("by mx.a.test"), "{message}");
    }
    submit(&a, "carol@n.test", "pam@p.test", "to a stranger");
    waits(&a, "pam@p.test", "the certificate is not for other.b.test");
    submit(&a, "carol@w.test", "pia@p.test", "with a wrong password");
    waits(&a, "pia@p.test", "535");
    assert!(!b.log().contains("guessed") && !a.log().contains("guessed"));
    for server in [&a, &b] {
        server.assert_no_panic();
    }
}

#[test]
fn dane_decides_between_real_hosts() {
    let network = Network::new();
    let stranger = Authority::new("Nobody knows it");
    let of_b = network.identity('b');
    let b = network.server_that_is('b', "", &network.authority, &of_b);
    // No authority vouches for anybody: the DNS alone does.
    let a = network.server_that_trusts('a', "", &stranger);
    accounts(&a, &[("alice@a.test", "")]);
    accounts(&b, &[("bob@b.test", "")]);
    let postfix = network.postfix(&[]);
    tlsa(&network, 'b', &of_b);
    tlsa(&network, 'p', &stranger.issue(&["mx.p.test"], false));
    submit(&a, "alice@a.test", "bob@b.test", "the right record");
    eventually("bob has it", || inbox(&b, "bob@b.test", "the right record").len() == 1);
    eventually("a knows", || trace(&a, "bob@b.test").contains("(DANE)"));
    submit(&a, "alice@a.test", "pam@p.test", "another's record");
    waits(&a, "pam@p.test", "DANE: no TLSA record matches the certificate");
    assert_eq!(postfix.messages("").len(), 0);
    for server in [&a, &b] {
        server.assert_no_panic();
    }
}

#[test]
fn a_policy_decides_between_real_hosts() {
    let network = Network::new();
    let (a, b) = (network.server('a', ""), network.server('b', ""));
    accounts(&a, &[("alice@a.test", "")]);
    accounts(&b, &[("bob@b.test", "")]);
    let postfix = network.postfix(&[]);
    network.policy("b.test", 'w', "mx.b.test");
    network.policy("p.test", 'x', "other.p.test");
    submit(&a, "alice@a.test", "bob@b.test", "named by the policy");
    eventually("bob has it", || inbox(&b, "bob@b.test", "named by the policy").len() == 1);
    eventually("a knows", || trace(&a, "bob@b.test").contains("(MTA-STS)"));
    submit(&a, "alice@a.test", "pam@p.test", "not named");
    waits(&a, "pam@p.test", "MTA-STS: mx.p.test is not among the hosts of the domain's policy");
    assert_eq!(postfix.messages("").len(), 0);
    for server in [&a, &b] {
        server.assert_no_panic();
    }
}

#[test]
fn requiretls_goes_all_the_way_or_fails() {
    let network = Network::new();
    let (of_b, postfix) = (network.identity('b'), network.postfix(&[]));
    let b = network.server_that_is('b', "", &network.authority, &of_b);
    let a = network.server('a', "");
    accounts(&a, &[("alice@a.test", "")]);
    accounts(&b, &[("bob@b.test", "")]);
    tlsa(&network, 'b', &of_b);
    let submit_requiring_tls = |to: &str, subject: &str| {
        let mut smtp = Smtp::open(a.address("submission"));
        smtp.command("STARTTLS", 220);
        smtp.wire.start_tls_with("mx.a.test", network.authority.pem().as_bytes()).expect("TLS");
        smtp.command("EHLO client.example.test", 250);
        smtp.command(&auth_plain("alice@a.test", PASSWORD), 235);
        smtp.command("MAIL FROM:<alice@a.test> REQUIRETLS", 250);
        smtp.command(&format!("RCPT TO:<{to}>"), 250);
        smtp.command("DATA", 354);
        smtp.wire.send(text("alice@a.test", to, subject, 10).as_bytes());
        smtp.command(".", 250);
    };
    submit_requiring_tls("bob@b.test", "by TLS alone");
    eventually("bob has it", || inbox(&b, "bob@b.test", "by TLS alone").len() == 1);
    assert!(trace(&a, "bob@b.test").contains("(DANE)"));
    // Postfix proves itself by its certificate, and does not know the extension.
    submit_requiring_tls("pam@p.test", "not to pam");
    let reports = || inbox(&a, "alice@a.test", "delivery-status");
    eventually("alice knows", || reports().len() == 1);
    report(&reports(), "pam@p.test", &["Status: 5.7.30", "requires verified TLS all the way"]);
    assert_eq!(postfix.messages("").len(), 0);
    for server in [&a, &b] {
        eventually("nothing waits", || queue(server).is_empty());
        server.assert_no_panic();
    }
}

#[test]
fn nobody_hears_of_a_report_that_fails() {
    let network = Network::new();
    let b = network.server('b', "");
    accounts(&b, &[("bob@b.test", "admin_forward = { targets = [\"nobody@p.test\"], keep = false }\n")]);
    let postfix = network.postfix(&[]);
    // As a report comes, from nobody.
    let before = postfix.log().matches("nobody@p.test").count();
    let message = text("postmaster@elsewhere.test", "bob@b.test", "a report", 10);
    assert_eq!(Smtp::open(network.mail_at('b')).send("", &["bob@b.test"], message.as_bytes()).code, 250);
    eventually("it was refused", || postfix.log().matches("nobody@p.test").count() > before);
    eventually("nothing waits", || queue(&b).is_empty());
    assert_eq!((postfix.messages("").len(), inbox(&b, "bob@b.test", "").len()), (0, 0));
    b.assert_no_panic();
}
