//! Keys that sign (RFC 6376 §3.3, RFC 8301, RFC 8463): made, read and used.
//!
//! `ring` signs, with the arithmetic that TLS has brought along; since it makes no RSA keys,
//! those are made by `mail-auth`. What goes wrong is told without a word of the key.

use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use lru::LruCache;
use mail_auth::dkim::generate::DkimKeyPair;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use sha2::{Digest, Sha256};

use crate::mail::{Domain, KeyAlgorithm};

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The system gave no random octets, or none that make a key.
    #[error("a key could not be made")]
    Making,
    /// What is stored is no key of its kind.
    #[error("a stored key cannot be read")]
    Damaged,
    /// It would not sign.
    #[error("a key does not sign")]
    Signing,
}

/// A key that was made.
pub struct NewKey {
    /// PKCS#1 in DER for RSA, the seed for Ed25519.
    pub private: Vec<u8>,
    /// What is published (`p=`), base64.
    pub public: String,
}

/// Makes a key. One for RSA takes a good part of a second: not on a thread that others wait for.
pub fn make_key(algorithm: KeyAlgorithm) -> Result<NewKey, KeyError> {
    match algorithm {
        KeyAlgorithm::Rsa => {
            let pair = DkimKeyPair::generate_rsa(RSA_BITS).map_err(|_| KeyError::Making)?;
            let (private, public) = pair.into_inner();
            Ok(NewKey { private, public: BASE64_STANDARD.encode(subject_public_key_info(&public)) })
        }
        KeyAlgorithm::Ed25519 => {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed).map_err(|_| KeyError::Making)?;
            let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| KeyError::Making)?;
            let public = BASE64_STANDARD.encode(pair.public_key().as_ref());
            Ok(NewKey { private: seed.to_vec(), public })
        }
    }
}

/// A key that signs for a domain.
pub struct Signer {
    /// `d=`
    pub domain: Domain,
    /// `s=`
    pub selector: Domain,
    key: Key,
}

enum Key {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    /// From a stored key.
    pub fn new(domain: Domain, selector: Domain, algorithm: KeyAlgorithm, private: &[u8]) -> Result<Self, KeyError> {
        let key = match algorithm {
            KeyAlgorithm::Rsa => {
                RsaKeyPair::from_der(private).map(|pair| Key::Rsa(Box::new(pair))).map_err(|_| KeyError::Damaged)
            }
            KeyAlgorithm::Ed25519 => {
                Ed25519KeyPair::from_seed_unchecked(private).map(Key::Ed25519).map_err(|_| KeyError::Damaged)
            }
        }?;
        Ok(Self { domain, selector, key })
    }

    /// What it signs with.
    pub fn algorithm(&self) -> KeyAlgorithm {
        match self.key {
            Key::Rsa(_) => KeyAlgorithm::Rsa,
            Key::Ed25519(_) => KeyAlgorithm::Ed25519,
        }
    }

    /// Signs the SHA-256 of `data` (RFC 6376 §3.3, RFC 8463 §3); base64.
    pub(super) fn sign(&self, data: &[u8]) -> Result<String, KeyError> {
        match &self.key {
            Key::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), data, &mut signature)
                    .map_err(|_| KeyError::Signing)?;
                Ok(BASE64_STANDARD.encode(signature))
            }
            Key::Ed25519(pair) => Ok(BASE64_STANDARD.encode(pair.sign(&Sha256::digest(data)).as_ref())),
        }
    }
}

/// Without the key.
impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("domain", &self.domain).field("selector", &self.selector).finish_non_exhaustive()
    }
}

/// Keys that have been read, since reading one takes longer than signing with it. Clones share them.
#[derive(Clone)]
pub struct Signers(Arc<Mutex<LruCache<String, Arc<Signer>>>>);

impl Signers {
    /// The key of this record: `public` is what is published of it.
    pub fn get(
        &self,
        (domain, selector): (&Domain, &Domain),
        algorithm: KeyAlgorithm,
        private: &[u8],
        public: &str,
    ) -> Result<Arc<Signer>, KeyError> {
        let name = format!("{selector}._domainkey.{domain} {public}");
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&name) {
            return Ok(known.clone());
        }
        let signer = Arc::new(Signer::new(domain.clone(), selector.clone(), algorithm, private)?);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(name, signer.clone());
        Ok(signer)
    }
}

impl Default for Signers {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(LruCache::new(NonZero::new(KEPT).unwrap_or(NonZero::<usize>::MIN)))))
    }
}

impl std::fmt::Debug for Signers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signers").finish_non_exhaustive()
    }
}

/// What is published of an RSA key, by the examples of RFC 6376 and by what verifies: a SubjectPublicKeyInfo
/// (RFC 3279 §2.3.1) around the RSAPublicKey.
fn subject_public_key_info(rsa: &[u8]) -> Vec<u8> {
    let bits = der(0x03, &[&[0][..], rsa].concat());
    der(0x30, &[RSA_ENCRYPTION, &bits].concat())
}

/// One value in DER (X.690 §8.1): no longer than 64 KiB.
fn der(tag: u8, value: &[u8]) -> Vec<u8> {
    let [_, _, _, _, _, _, high, low] = (value.len() as u64).to_be_bytes();
    let head = match value.len() {
        0..=0x7f => vec![tag, low],
        0x80..=0xff => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [&head, value].concat()
}

/// AlgorithmIdentifier { rsaEncryption, NULL }
const RSA_ENCRYPTION: &[u8] = &[0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
const RSA_BITS: usize = 2_048;
/// Of some kilobytes each.
const KEPT: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_signs_and_what_is_damaged_is_told() {
        let name = |text| Domain::parse(text).unwrap();
        for algorithm in KeyAlgorithm::ALL {
            let made = make_key(algorithm).unwrap();
            let signers = Signers::default();
            let pair = (&name("corp.test"), &name("a-rsa"));
            let signer = signers.get(pair, algorithm, &made.private, &made.public).unwrap();
            assert_eq!(signer.algorithm(), algorithm);
            assert_ne!(signer.sign(b"x").unwrap(), signer.sign(b"y").unwrap());
            // Known by now, whatever it is given.
            assert!(Arc::ptr_eq(&signer, &signers.get(pair, algorithm, b"", &made.public).unwrap()));
            let cut = made.private.get(1..).unwrap();
            assert_eq!(signers.get(pair, algorithm, cut, "other").unwrap_err(), KeyError::Damaged);
            assert!(!format!("{signer:?}{signers:?}").contains("key"), "{signer:?}");
        }
    }

    #[test]
    fn lengths_have_their_shortest_form() {
        assert_eq!(der(4, &[7; 3]), [4, 3, 7, 7, 7]);
        assert_eq!(der(4, &[7; 200]).get(..3), Some(&[4, 0x81, 200][..]));
        assert_eq!(der(4, &[7; 300]).get(..4), Some(&[4, 0x82, 1, 44][..]));
    }
}
