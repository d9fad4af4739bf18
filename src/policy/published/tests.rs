use std::net::IpAddr;

use super::*;
use crate::directory::{DkimKey, DomainKeys, KeyPair, KeyState, PrivateKey};
use crate::mail::{Domain, DomainId, KeyAlgorithm, Timestamp};
use crate::proto::authres::SpfResult;

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn address() -> IpAddr {
    "192.0.2.25".parse().unwrap()
}

fn site() -> Site {
    Site {
        hostname: domain("mail.corp.test"),
        addresses: vec![address(), "2001:db8::25".parse().unwrap()],
        services: vec![(Service::Submissions, 465), (Service::Imaps, 1993)],
        sts: StsMode::Testing,
    }
}

fn keys() -> DomainKeys {
    let key = |algorithm: KeyAlgorithm, public: String| DkimKey {
        algorithm,
        selector: domain(&format!("p1-{}", algorithm.key_type())),
        public,
        private: PrivateKey::new(b"never".to_vec()),
    };
    let keys = vec![key(KeyAlgorithm::Rsa, "A".repeat(392)), key(KeyAlgorithm::Ed25519, "B".repeat(44))];
    let created = Timestamp::from_seconds(0);
    DomainKeys {
        id: DomainId::new(1).unwrap(),
        pairs: vec![KeyPair { name: "p1".to_owned(), state: KeyState::Active, created, keys }],
    }
}

fn all() -> Vec<Entry> {
    entries(&site(), &domain("corp.test"), Some(&keys()))
}

#[test]
fn a_domain_publishes_all_of_these() {
    let lines: Vec<String> = all().iter().map(Entry::to_string).collect();
    let key = format!("v=DKIM1; k=rsa; p={}", "A".repeat(392));
    let (first, rest) = key.split_at(255);
    for line in [
        "corp.test. IN MX 10 mail.corp.test.",
        "mail.corp.test. IN A 192.0.2.25",
        "mail.corp.test. IN AAAA 2001:db8::25",
        "; 25.2.0.192.in-addr.arpa. IN PTR mail.corp.test.",
        "; 5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. IN PTR mail.corp.test.",
        "corp.test. IN TXT \"v=spf1 mx -all\"",
        "mail.corp.test. IN TXT \"v=spf1 a -all\"",
        &format!("p1-rsa._domainkey.corp.test. IN TXT \"{first}\" \"{rest}\""),
        &format!("p1-ed25519._domainkey.corp.test. IN TXT \"v=DKIM1; k=ed25519; p={}\"", "B".repeat(44)),
        "_dmarc.corp.test. IN TXT \"v=DMARC1; p=quarantine; rua=mailto:postmaster@corp.test\"",
        "_smtp._tls.corp.test. IN TXT \"v=TLSRPTv1; rua=mailto:postmaster@corp.test\"",
        "_submissions._tcp.corp.test. IN SRV 0 1 465 mail.corp.test.",
        "_submission._tcp.corp.test. IN SRV 0 0 0 .",
        "_imaps._tcp.corp.test. IN SRV 0 1 1993 mail.corp.test.",
        "_pop3s._tcp.corp.test. IN SRV 0 0 0 .",
        "; autoconfig.corp.test. IN CNAME mail.corp.test.",
        "; mta-sts.corp.test. IN CNAME mail.corp.test.",
    ] {
        assert!(lines.iter().any(|l| l == line), "{line}\nin {lines:#?}");
    }
    let policy = sts_policy(&site()).unwrap();
    assert_eq!(policy, "version: STSv1\r\nmode: testing\r\nmx: mail.corp.test\r\nmax_age: 604800\r\n");
    let id = |site: &Site| {
        let all = entries(site, &domain("corp.test"), None);
        all.into_iter().find(|entry| entry.kind == Kind::MtaSts).map(|entry| entry.value)
    };
    let enforced = Site { sts: StsMode::Enforce, ..site() };
    assert_ne!(id(&site()), id(&enforced), "another policy, another id");
    assert_eq!(id(&Site { sts: StsMode::None, ..site() }), None);
    assert!(!format!("{lines:?}").contains("never"));
}

/// How the entry of a kind stands with these records in its place.
fn standing(kind: &str, records: &[&str], spf: &[(IpAddr, SpfResult)]) -> (Standing, bool) {
    let all = all();
    let place = all.iter().position(|entry| entry.kind.name() == kind).unwrap();
    let mut answers = Answers { spf: spf.to_vec(), ..Answers::default() };
    answers.entries = all.iter().map(|_| Answer::Unknown).collect();
    answers.entries[place] = match records {
        [] => Answer::Nothing,
        found => Answer::Found(found.iter().map(|text| (*text).to_owned()).collect()),
    };
    let found = compare(&site().hostname, &all, &answers).swap_remove(place);
    (found.standing, found.is_problem())
}

#[test]
fn records_that_are_there_are_judged() {
    use Standing::{Missing, Right, Unknown, Wrong};
    let rsa = format!("v=DKIM1; k=rsa; p={}", "A".repeat(392));
    let spaced = format!("v=DKIM1;p = {} {}", "A".repeat(200), "A".repeat(192));
    let (pass, fail, later) =
        ([(address(), SpfResult::Pass)], [(address(), SpfResult::SoftFail)], [(address(), SpfResult::TempError)]);
    for (case, kind, records, spf, want) in [
        ("ours", "mx", &["10 mail.corp.test."][..], &[][..], Right),
        ("in capitals, beside another", "mx", &["5 mx.other.test.", "10 MAIL.corp.test."], &[], Right),
        ("others'", "mx", &["10 mx.other.test."], &[], Wrong),
        ("one that ends like ours", "mx", &["10 xmail.corp.test."], &[], Wrong),
        ("null", "mx", &["0 ."], &[], Wrong),
        ("none", "mx", &[], &[], Missing),
        ("right", "host-address", &["192.0.2.25"], &[], Right),
        ("elsewhere", "host-address", &["192.0.2.1"], &[], Wrong),
        ("our name", "host-name", &["mail.corp.test."], &[], Right),
        ("a provider's", "host-name", &["25.pool.isp.test."], &[], Wrong),
        ("passes", "spf", &["google-site-verification=x", "v=spf1 mx -all"], &pass, Right),
        ("another that passes", "spf", &["V=SPF1 ip4:192.0.2.25 ~all"], &pass, Right),
        ("does not", "spf", &["v=spf1 -all"], &fail, Wrong),
        ("not known now", "spf", &["v=spf1 include:x.test -all"], &later, Unknown),
        ("nobody knows our address", "spf", &["v=spf1 mx -all"], &[], Unknown),
        ("two", "spf", &["v=spf1 mx -all", "v=spf1 a -all"], &pass, Wrong),
        ("another text alone", "spf", &["v=spf10 mx"], &pass, Missing),
        ("ours", "dkim", &[&rsa], &[], Right),
        ("with white space", "dkim", &[&spaced], &[], Right),
        ("another", "dkim", &["v=DKIM1; k=rsa; p=AAAA"], &[], Wrong),
        ("taken back", "dkim", &["v=DKIM1; p="], &[], Wrong),
        ("none", "dkim", &[], &[], Missing),
        ("stricter", "dmarc", &["v=DMARC1; p=reject"], &[], Right),
        ("without policy", "dmarc", &["v=DMARC1; rua=mailto:x@y.test"], &[], Wrong),
        ("two", "dmarc", &["v=DMARC1; p=none", "v=DMARC1; p=none"], &[], Wrong),
        ("their own id", "mta-sts", &["v=STSv1; id=20260101"], &[], Right),
        ("a bad id", "mta-sts", &["v=STSv1; id=2026-01-01"], &[], Wrong),
        ("elsewhere", "tls-reports", &["v=TLSRPTv1; rua=https://r.test/"], &[], Right),
        ("without address", "tls-reports", &["v=TLSRPTv1;"], &[], Wrong),
        ("ours with another weight", "service", &["10 5 465 mail.corp.test."], &[], Right),
        ("another port", "service", &["0 1 587 mail.corp.test."], &[], Wrong),
    ] {
        assert_eq!(standing(kind, records, spf).0, want, "{kind}: {case}");
    }
    for (kind, needed) in [("mx", true), ("spf", true), ("dkim", true), ("dmarc", true), ("mta-sts", false)] {
        assert_eq!(standing(kind, &[], &[]), (Missing, needed), "{kind}");
    }
    let names = vec![("192.0.2.77".parse().unwrap(), Answer::Nothing)];
    let found = compare(&site().hostname, &[], &Answers { names, ..Answers::default() });
    assert!(matches!(found.as_slice(), [one] if one.is_problem() && one.entry.name == "77.2.0.192.in-addr.arpa"));
}
