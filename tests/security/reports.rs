//! Reports on TLS: what is counted, and that it arrives (RFC 8460).

use std::io::Read;
use std::time::Duration;

use flate2::read::GzDecoder;
use posthouse::delivery::remote::destination::Destination;
use posthouse::mail::TlsWish;
use posthouse::store::QueueList;
use serde_json::{Value, json};

use crate::certificates::Authority;
use crate::hosts::{MailHost, Page, Web};
use crate::{World, to};

const DAY: Duration = Duration::from_secs(86_400);

async fn world(rua: &str) -> (World, Web, MailHost) {
    let (web, host) = (Web::start().await, MailHost::start().await);
    let world = World::new(web.port, host.port).await;
    world.dns.unsigned("sts.test").mx("sts.test", 10, "mx.sts.test").address_of("mx.sts.test", "127.0.0.1");
    world.dns.txt("_smtp._tls.sts.test", &format!("v=TLSRPTv1; rua={}", rua.replace("PORT", &web.port.to_string())));
    world.dns.address_of("reports.sts.test", "127.0.0.1").address_of("mta-sts.sts.test", "127.0.0.1");
    web.is(&world.authority.issue(&["reports.sts.test", "mta-sts.sts.test"], false));
    host.is(&world.authority.issue(&["mx.sts.test"], false));
    (world, web, host)
}

/// The report in a request.
fn report(web: &Web) -> Value {
    let request = web.request.lock().expect("not poisoned").clone();
    let end = request.windows(4).position(|octets| octets == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
    assert!(head.starts_with("post /v1/report?x=1 http/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/tlsrpt+gzip\r\n"), "{head}");
    let mut text = String::new();
    GzDecoder::new(&request[end..]).read_to_string(&mut text).expect("gzip");
    serde_json::from_str(&text).expect("JSON")
}

fn policy(report: &Value, kind: &str) -> Value {
    let policies = report["policies"].as_array().expect("policies");
    policies.iter().find(|p| p["policy"]["policy-type"] == kind).unwrap_or_else(|| panic!("{kind} in {report}")).clone()
}

#[tokio::test]
async fn a_day_is_counted_and_posted_after_its_end() {
    let (mut world, web, host) = world("https://reports.sts.test:PORT/v1/report?x=1").await;
    assert!(world.send(&to("sts.test")).await.is_ok());
    host.is_without_tls();
    assert!(world.send(&to("sts.test")).await.is_ok());
    world.round().await;
    world.restart().await;
    // A policy that cannot be fetched, and one in testing that the host does not keep to.
    world.dns.txt("_mta-sts.sts.test", "v=STSv1; id=1;");
    web.shows(Page::with("404 Not Found", "text/plain", ""));
    assert!(world.send(&to("sts.test")).await.is_ok());
    world.dns.remove("_mta-sts.sts.test").txt("_mta-sts.sts.test", "v=STSv1; id=2;");
    web.shows(Page::policy("version: STSv1\nmode: testing\nmx: mx.sts.test\nmax_age: 604800\n"));
    for identity in [
        world.authority.issue(&["mx.sts.test"], false),
        world.authority.issue(&["mx.sts.test"], true),
        world.authority.issue(&["other.test"], false),
        Authority::new("Nobody knows it").issue(&["mx.sts.test"], false),
    ] {
        host.is(&identity);
        assert!(world.send(&to("sts.test")).await.is_ok());
    }
    world.round().await;
    let asked = web.asked();
    world.clock.pass(Duration::from_secs(11 * 3_600));
    world.round().await;
    assert_eq!(web.asked(), asked, "the day is not over");
    // The receiver is not there for once.
    web.shows(Page::with("503 Later", "text/plain", ""));
    world.clock.pass(Duration::from_secs(6 * 3_600));
    world.round().await;
    world.round().await;
    assert_eq!(web.asked(), asked + 1, "once in an hour");
    web.shows(Page::with("201 Created", "text/plain", ""));
    world.clock.pass(Duration::from_secs(3_601));
    world.round().await;
    assert_eq!(web.asked(), asked + 2);

    let report = report(&web);
    assert_eq!(report["organization-name"], "mail.sender.test");
    assert_eq!(report["contact-info"], "postmaster@mail.sender.test");
    let range = json!({ "start-datetime": "2027-01-15T00:00:00Z", "end-datetime": "2027-01-15T23:59:59Z" });
    assert_eq!(report["date-range"], range);
    let none = policy(&report, "no-policy-found");
    assert_eq!(none["summary"], json!({ "total-successful-session-count": 1, "total-failure-session-count": 2 }));
    let detail = json!({ "result-type": "starttls-not-supported", "failed-session-count": 2, "receiving-mx-hostname": "mx.sts.test" });
    assert_eq!(none["failure-details"], json!([detail]));
    let policies = report["policies"].as_array().expect("policies");
    let sts: Vec<&Value> = policies.iter().filter(|p| p["policy"]["policy-type"] == "sts").collect();
    let results = |policy: &Value| -> Vec<String> {
        let details = policy["failure-details"].as_array().expect("details").iter();
        details.map(|d| d["result-type"].as_str().expect("a result").to_owned()).collect()
    };
    assert_eq!(results(sts[0]), ["sts-policy-fetch-error"]);
    assert_eq!(results(sts[1]), ["certificate-host-mismatch", "certificate-expired", "certificate-not-trusted"]);
    assert_eq!(sts[1]["summary"], json!({ "total-successful-session-count": 1, "total-failure-session-count": 3 }));
    assert_eq!(sts[1]["policy"]["mx-host"], json!(["mx.sts.test"]));

    world.dns.remove("_mta-sts.sts.test");
    world.clock.pass(DAY);
    world.round().await;
    assert_eq!(web.asked(), asked + 2, "and it is done");
}

#[tokio::test]
async fn dane_is_counted_and_the_report_mailed() {
    let (world, _web, host) = world("mailto:tls@reports.sts.test").await;
    let identity = Authority::new("Nobody knows it").issue(&["elsewhere.test"], false);
    world.dns.mx("dane.test", 10, "mx.dane.test").address_of("mx.dane.test", "127.0.0.1");
    world.dns.txt("_smtp._tls.dane.test", "v=TLSRPTv1; rua=mailto:tls@reports.sts.test");
    let name = format!("_{}._tcp.mx.dane.test", host.port);
    world.dns.tlsa(&name, (3, 0, 0), &identity.chain[0]);
    assert!(world.send(&to("dane.test")).await.is_err());
    world.dns.remove(&name).servfail(&name);
    assert!(world.send(&to("dane.test")).await.is_err());
    world.round().await;
    world.clock.pass(DAY);
    world.round().await;
    let queue = world.store.queue(QueueList::All, None, 10).await.expect("the queue");
    assert_eq!(queue.items.len(), 1);
    let item = &queue.items[0];
    let shown = format!("{item:?}");
    assert!(shown.contains("reports.sts.test"), "{shown}");
    world.round().await;
    assert_eq!(world.store.queue(QueueList::All, None, 10).await.expect("the queue").items.len(), 1, "and once");
}

#[tokio::test]
async fn a_domain_that_does_not_ask_is_not_counted() {
    let (world, web, host) = world("https://reports.sts.test:PORT/v1/report?x=1").await;
    world.dns.remove("_smtp._tls.sts.test");
    host.is_without_tls();
    assert!(world.send(&to("sts.test")).await.is_ok());
    world.round().await;
    world.dns.txt("_smtp._tls.sts.test", &format!("v=TLSRPTv1; rua=https://reports.sts.test:{}/", web.port));
    world.clock.pass(DAY);
    world.round().await;
    assert_eq!(web.asked(), 0);
}

#[tokio::test]
async fn reports_are_not_reported_on() {
    let (world, web, host) = world("mailto:tls@sts.test,https://reports.sts.test:PORT/v1/report?x=1").await;
    web.shows(Page::with("200 OK", "text/plain", ""));
    assert!(world.send(&to("sts.test")).await.is_ok());
    world.round().await;
    world.clock.pass(DAY);
    world.round().await;
    assert_eq!(web.asked(), 1);
    // The report by mail is all that goes there on this day, and it gets there whatever becomes of TLS.
    host.is_without_tls();
    let report = Destination { tls: TlsWish::Optional, ..to("sts.test") };
    assert_eq!(world.send(&report).await, Ok("in the clear".to_owned()));
    let queue = world.store.queue(QueueList::All, None, 10).await.expect("the queue");
    assert!(format!("{:?}", queue.items).contains("tls: Optional"), "{:?}", queue.items);
    world.round().await;
    world.clock.pass(DAY);
    world.round().await;
    assert_eq!(web.asked(), 1, "there is nothing to report");
}
