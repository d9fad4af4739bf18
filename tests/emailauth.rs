//! Email authentication against a DNS of the test's own: SPF, DKIM and DMARC as the world has them, and as an attacker
//! would.

#![forbid(unsafe_code)]

#[path = "it/dns.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod dns;
#[path = "it/signer.rs"]
mod signer;

#[path = "emailauth/dkim.rs"]
mod dkim;
#[path = "emailauth/dmarc.rs"]
mod dmarc;
#[path = "emailauth/hostile.rs"]
mod hostile;
#[path = "emailauth/sign.rs"]
mod sign;
#[path = "emailauth/spf.rs"]
mod spf;

use std::time::Duration;

use posthouse::emailauth::{DkimInput, EmailAuth};
use posthouse::mail::{Address, ReversePath};
use posthouse::net::dns::Dns;
use posthouse::proto::authres::{AuthResults, SpfResult};
use posthouse::proto::message::{header::fields, header_from};

use dns::DnsServer;

const CLIENT: &str = "192.0.2.10";

/// A DNS and what asks it.
struct World {
    dns: DnsServer,
    auth: EmailAuth,
}

impl World {
    fn new() -> Self {
        Self::with_time(Duration::from_secs(10))
    }

    /// With that much time for each of SPF, DKIM and DMARC.
    fn with_time(time: Duration) -> Self {
        Self::with_times(time, Duration::from_secs(1))
    }

    /// With that much time for one question.
    fn with_question_time(time: Duration) -> Self {
        Self::with_times(Duration::from_secs(10), time)
    }

    fn with_times(time: Duration, of_question: Duration) -> Self {
        let dns = DnsServer::start();
        let resolver = Dns::new(&[dns.address()], of_question).expect("a resolver");
        Self { dns, auth: EmailAuth::with_time(resolver, time) }
    }

    /// SPF for that client and reverse-path.
    async fn spf(&self, client: &str, reverse_path: &str) -> SpfResult {
        let client = client.parse().expect("an address");
        self.auth.spf(client, "mx.sender.test", "mail.corp.test", &path(reverse_path)).await
    }

    /// Everything about a message, with SPF as given.
    async fn verify(&self, message: &[u8], spf: SpfResult, reverse_path: &str) -> AuthResults {
        let mut input = DkimInput::new();
        input.push(message);
        let from = header_from(message);
        assert!(fields(message).next().is_some(), "a message has a header");
        self.auth.verify(&input.finish(), spf, &path(reverse_path), &from).await
    }
}

fn path(text: &str) -> ReversePath {
    if text.is_empty() {
        return ReversePath::Null;
    }
    ReversePath::Address(Address::parse(text).expect("an address"))
}

/// A message with that From field.
fn message(from: &str) -> Vec<u8> {
    format!("From: {from}\r\nTo: staff@corp.test\r\nSubject: The plan\r\n\r\nFirst line \r\n\r\nLast\tline\r\n\r\n\r\n")
        .into()
}
