//! Policy semantics §3.2, last paragraph: no trusted relay is an MX of a hosted domain.

use std::time::{Duration, Instant};

use serde_json::json;

use super::acme::Acme;

/// Lists it; status, error key and message.
fn list(acme: &Acme, network: &str, query: &str) -> (u16, String, String) {
    let body = json!({ "network": network, "kind": "trusted-relay" }).to_string();
    let (status, answer) = acme.api("POST", &format!("/relays{query}"), &body);
    let text = |field: &str| answer["error"][field].as_str().unwrap_or_default().to_owned();
    (status, text("key"), text("message"))
}

fn unlist(acme: &Acme, network: &str) {
    let path = network.replace('/', "%2F");
    assert_eq!(acme.api("DELETE", &format!("/relays/{path}"), "").0, 204, "{network}");
}

#[test]
fn trusted_relay_that_is_an_mx_is_refused() {
    let acme = Acme::start();
    acme.dns.mx("corp.test", 10, "mx1.corp.test").mx("corp.test", 20, "mx2.corp.test");
    acme.dns.address_of("mx1.corp.test", "192.0.2.30").address_of("mx2.corp.test", "2001:db8::30");
    // Without an MX a domain's own address takes its mail (RFC 5321 §5.1), also under a second name.
    acme.dns.remove("branch.test").address_of("branch.test", "192.0.2.40");
    acme.dns.remove("corp-alias.test").mx("corp-alias.test", 0, ".");
    for (network, domain, host, address) in [
        ("192.0.2.30", "corp.test", "mx1.corp.test", "192.0.2.30"),
        ("192.0.2.16/28", "corp.test", "mx1.corp.test", "192.0.2.30"),
        ("2001:db8::/32", "corp.test", "mx2.corp.test", "2001:db8::30"),
        ("192.0.2.40", "branch.test", "branch.test", "192.0.2.40"),
    ] {
        for query in ["", "?force=true"] {
            let (status, key, message) = list(&acme, network, query);
            assert_eq!((status, key.as_str()), (409, "relay_is_mx"), "{network}{query}: {message}");
            assert!([domain, host, address].iter().all(|part| message.contains(part)), "{network}: {message}");
        }
    }
    assert_eq!(list(&acme, "192.0.2.31", "").0, 201, "another host");
    // As a gateway it may be one; and a gateway does not become a relay.
    let gateway = json!({ "network": "192.0.2.30", "kind": "gateway" }).to_string();
    assert_eq!(acme.api("POST", "/relays", &gateway).0, 201);
    let relay = gateway.replace("gateway", "trusted-relay");
    let (status, answer) = acme.api("PUT", "/relays/192.0.2.30%2F32", &relay);
    assert_eq!((status, answer["error"]["key"].as_str()), (409, Some("relay_is_mx")), "{answer}");
    // So by the command line, and by a file, of which nothing is applied then.
    let by_cli = acme.server.try_cli(&["relay", "add", "192.0.2.40", "trusted-relay"], "");
    let told = String::from_utf8_lossy(&by_cli.stderr).into_owned();
    assert!(by_cli.status.code() == Some(1) && told.contains("MX of branch.test"), "{told}");
    let file = "[[domain]]\nname = \"new.test\"\n[[relay]]\nnetwork = \"192.0.2.50\"\nkind = \"trusted-relay\"\n";
    acme.dns.address_of("new.test", "192.0.2.50");
    for arguments in [&["apply", "-", "--dry-run"][..], &["apply", "-"]] {
        let by_file = acme.server.try_cli(arguments, file);
        let told = String::from_utf8_lossy(&by_file.stderr).into_owned();
        assert!(by_file.status.code() == Some(1) && told.contains("MX of new.test"), "{told}");
    }
    assert_eq!(acme.api("GET", "/domains/new.test", "").0, 404);
}

#[test]
fn dns_that_does_not_tell_refuses_until_forced() {
    let acme = Acme::start();
    for broken in ["corp.test", "mx1.corp.test"] {
        acme.dns.remove("corp.test").mx("corp.test", 10, "mx1.corp.test").servfail(broken);
        let (status, key, message) = list(&acme, "192.0.2.60", "");
        assert_eq!((status, key.as_str()), (409, "mx_unknown"), "{broken}: {message}");
        assert!(message.contains("corp.test"), "{message}");
        acme.server.cli(&["relay", "add", "192.0.2.60", "trusted-relay", "--force"], "");
        unlist(&acme, "192.0.2.60/32");
        acme.dns.remove(broken);
    }
    assert_eq!(list(&acme, "192.0.2.60", "").0, 201);
}

#[test]
fn relay_that_has_become_an_mx_is_warned_of_at_the_start() {
    let mut acme = Acme::start();
    assert_eq!(list(&acme, "192.0.2.70", "").0, 201);
    acme.dns.remove("corp.test").mx("corp.test", 10, "mx1.corp.test").address_of("mx1.corp.test", "192.0.2.70");
    acme.server.stop();
    acme.server.run();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !acme.server.log().contains("outsiders pass for insiders") {
        assert!(Instant::now() < deadline, "no warning:\n{}", acme.server.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    let log = acme.server.log();
    let line = log.lines().find(|line| line.contains("outsiders pass for insiders")).expect("found");
    assert!(["192.0.2.70", "corp.test", "mx1.corp.test"].iter().all(|part| line.contains(part)), "{line}");
}
