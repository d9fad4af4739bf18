//! Signatures of what is sent to other programs and of what they answer: the symmetric ones of the Standard Webhooks
//! specification, version 1.0.0 ("Signature scheme"). The signed text is the id, the timestamp and the body, with dots
//! between; the signature is `v1,` and the HMAC-SHA-256 of it in base64.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A secret shared with another program.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The secret as it is written: `whsec_` and the octets in base64, or any text of at least 16 octets, which is the
    /// secret itself. `None` for what is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_end_matches(['\r', '\n']);
        let octets = match text.strip_prefix("whsec_") {
            Some(base64) => STANDARD.decode(base64).ok()?,
            None => text.as_bytes().to_vec(),
        };
        (octets.len() >= SHORTEST).then_some(Self(octets))
    }

    /// The signature of a body.
    pub fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let code = self.mac(id, timestamp, body).map(|mac| mac.finalize().into_bytes());
        format!("v1,{}", STANDARD.encode(code.unwrap_or_default()))
    }

    /// True if one of the signatures, which are separated by spaces, is that of the body. Takes as long for each that is
    /// wrong.
    pub fn verifies(&self, id: &str, timestamp: &str, body: &[u8], signatures: &str) -> bool {
        let codes = signatures.split(' ').take(MAX_SIGNATURES).filter_map(|text| text.strip_prefix("v1,"));
        let is_ours = |code: &str| {
            let Ok(code) = STANDARD.decode(code) else { return false };
            self.mac(id, timestamp, body).is_some_and(|mac| mac.verify_slice(&code).is_ok())
        };
        codes.filter(|code| is_ours(code)).count() > 0
    }

    /// `None` cannot be: HMAC takes keys of every length.
    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        Some(mac)
    }
}

/// Not shown.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

const SHORTEST: usize = 16;
const MAX_SIGNATURES: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    #[test]
    fn a_signature_is_that_of_the_specification() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let (id, timestamp, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(secret.sign(id, timestamp, body), signature);
        assert!(secret.verifies(id, timestamp, body, signature));
        assert!(secret.verifies(id, timestamp, body, &format!("v1a,abc v1,AAAA {signature}")));
        for (id, timestamp, body, signature) in [
            ("msg_other", timestamp, &body[..], signature),
            (id, "1614265331", body, signature),
            (id, timestamp, b"{}", signature),
            (id, timestamp, body, ""),
            (id, timestamp, body, "v1,"),
            (id, timestamp, body, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ] {
            assert!(!secret.verifies(id, timestamp, body, signature), "{id} {timestamp} {signature}");
        }
    }

    #[test]
    fn a_secret_has_sixteen_octets_at_least() {
        for (text, want) in
            [("0123456789abcdef", true), ("0123456789abcde\n", false), ("whsec_!", false), ("whsec_AAAA", false)]
        {
            assert_eq!(Secret::parse(text).is_some(), want, "{text}");
        }
    }
}
