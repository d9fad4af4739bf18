//! Signs messages with DKIM and publishes the keys in the test's DNS.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mail_auth::common::crypto::{DkimKey, Ed25519Key, RsaKey, Sha256};
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::{Canonicalization, DkimSigner, Done};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use super::dns::DnsServer;

const RSA: &str = include_str!("keys/dkim_rsa.pem");
const WEAK: &str = include_str!("keys/dkim_weak.pem");

/// A domain's key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    Rsa,
    /// Shorter than RFC 8301 §3.2 allows.
    WeakRsa,
    Ed25519,
}

/// Signs as a domain. The selector is that of the key.
pub struct Signer {
    domain: String,
    key: Key,
    headers: Vec<&'static str>,
    canonicalization: (Canonicalization, Canonicalization),
    with_length: bool,
}

impl Signer {
    /// Signs From, To and Subject as `domain`, relaxed, and publishes the key.
    pub fn new(dns: &DnsServer, domain: &str, key: Key) -> Self {
        let record = match key {
            Key::Ed25519 => format!("v=DKIM1; k=ed25519; p={}", BASE64_STANDARD.encode(ed25519().public_key())),
            Key::Rsa | Key::WeakRsa => format!("v=DKIM1; k=rsa; p={}", BASE64_STANDARD.encode(rsa(key).public_key())),
        };
        dns.remove(&key_name(domain, key)).txt(&key_name(domain, key), &record);
        Self {
            domain: domain.to_owned(),
            key,
            headers: vec!["From", "To", "Subject"],
            canonicalization: (Canonicalization::Relaxed, Canonicalization::Relaxed),
            with_length: false,
        }
    }

    pub fn headers(mut self, headers: &[&'static str]) -> Self {
        self.headers = headers.to_vec();
        self
    }

    pub fn canonicalization(mut self, header: Canonicalization, body: Canonicalization) -> Self {
        self.canonicalization = (header, body);
        self
    }

    /// Says how much of the body is signed (`l=`).
    pub fn with_length(mut self) -> Self {
        self.with_length = true;
        self
    }

    /// The message with its signature before it.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let key = match self.key {
            Key::Ed25519 => DkimKey::Ed25519(ed25519()),
            Key::Rsa | Key::WeakRsa => DkimKey::Rsa(rsa(self.key)),
        };
        let signature = self.with_key(key).sign(message).expect("a signature");
        [signature.to_header().as_bytes(), message].concat()
    }

    fn with_key(&self, key: DkimKey) -> DkimSigner<DkimKey, Done> {
        DkimSigner::from_key(key)
            .domain(&self.domain)
            .selector(selector(self.key))
            .headers(self.headers.iter().copied())
            .header_canonicalization(self.canonicalization.0)
            .body_canonicalization(self.canonicalization.1)
            .body_length(self.with_length)
    }
}

/// Where a key is published.
pub fn key_name(domain: &str, key: Key) -> String {
    format!("{}._domainkey.{domain}", selector(key))
}

fn selector(key: Key) -> &'static str {
    match key {
        Key::Rsa => "rsa",
        Key::WeakRsa => "weak",
        Key::Ed25519 => "ed",
    }
}

fn rsa(key: Key) -> RsaKey<Sha256> {
    let pem = if key == Key::WeakRsa { WEAK } else { RSA };
    RsaKey::from_key_der(PrivateKeyDer::from_pem_slice(pem.as_bytes()).expect("PEM")).expect("a key")
}

fn ed25519() -> Ed25519Key {
    // RFC 8463 §A.1
    let decode = |text| BASE64_STANDARD.decode(text).expect("base64");
    let seed = decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=");
    let public = decode("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
    Ed25519Key::from_seed_and_public_key(&seed, &public).expect("a key")
}
