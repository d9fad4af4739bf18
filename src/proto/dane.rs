//! DANE for SMTP (RFC 6698, RFC 7671, RFC 7672): TLSA records, and whether a certificate is one that they mean.
//!
//! Of an X.509 certificate (RFC 5280 §4.1) only what is compared is found: its issuer and its SubjectPublicKeyInfo.
//! Whether a chain of certificates holds is for the TLS library to say.

use std::fmt;

use sha2::{Digest, Sha256, Sha512};

/// The name of the records for a service on TCP (RFC 6698 §3).
pub fn record_name(port: u16, host: &str) -> String {
    format!("_{port}._tcp.{}.", host.trim_end_matches('.'))
}

/// A TLSA record that SMTP can use.
#[derive(Clone, PartialEq, Eq)]
pub struct Tlsa {
    /// Which certificate it means.
    pub usage: Usage,
    selector: Selector,
    matching: Matching,
    data: Vec<u8>,
}

/// Which certificate a record means (RFC 7671 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// One above the host's own: DANE-TA(2).
    TrustAnchor,
    /// The host's own, whatever else is in it: DANE-EE(3).
    EndEntity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Selector {
    Certificate,
    PublicKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Matching {
    Full,
    Sha256,
    Sha512,
}

impl Tlsa {
    /// From a record's fields; `None` if it is none that SMTP can use: a usage that needs public authorities (RFC 7672
    /// §3.1.3), an unknown parameter, a digest of another length, or data that is no certificate or key.
    pub fn new(usage: u8, selector: u8, matching: u8, data: Vec<u8>) -> Option<Self> {
        let usage = match usage {
            2 => Usage::TrustAnchor,
            3 => Usage::EndEntity,
            _ => return None,
        };
        let selector = match selector {
            0 => Selector::Certificate,
            1 => Selector::PublicKey,
            _ => return None,
        };
        let (matching, fits) = match (matching, selector) {
            (0, Selector::Certificate) => (Matching::Full, Certificate::parse(&data).is_some()),
            (0, Selector::PublicKey) => (Matching::Full, is_sequence(&data)),
            (1, _) => (Matching::Sha256, data.len() == 32),
            (2, _) => (Matching::Sha512, data.len() == 64),
            _ => return None,
        };
        fits.then_some(Self { usage, selector, matching, data })
    }

    /// True if the record means this certificate (RFC 6698 §2.1).
    pub fn matches(&self, certificate: &[u8]) -> bool {
        let selected = match self.selector {
            Selector::Certificate => Some(certificate),
            Selector::PublicKey => Certificate::parse(certificate).map(|parts| parts.public_key),
        };
        selected.is_some_and(|selected| match self.matching {
            Matching::Full => selected == self.data,
            Matching::Sha256 => Sha256::digest(selected).as_slice() == self.data,
            Matching::Sha512 => Sha512::digest(selected).as_slice() == self.data,
        })
    }

    /// The certificate, if the record holds it whole.
    pub fn certificate(&self) -> Option<&[u8]> {
        (self.selector == Selector::Certificate && self.matching == Matching::Full).then_some(&self.data)
    }

    /// The SubjectPublicKeyInfo, if the record holds it whole and nothing else.
    pub fn public_key(&self) -> Option<&[u8]> {
        (self.selector == Selector::PublicKey && self.matching == Matching::Full).then_some(&self.data)
    }
}

/// As reports and people write it: `3 1 1 8cb0…`; of whole certificates the beginning.
impl fmt::Display for Tlsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usage = if self.usage == Usage::TrustAnchor { 2 } else { 3 };
        write!(f, "{usage} {} {} ", self.selector as u8, self.matching as u8)?;
        self.data.iter().take(MAX_SHOWN).try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Tlsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tlsa({self})")
    }
}

/// What is compared of a certificate, each with its tag and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certificate<'a> {
    /// `issuer`.
    pub issuer: &'a [u8],
    /// `subjectPublicKeyInfo`.
    pub public_key: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// Finds them in DER (RFC 5280 §4.1); `None` if it is no certificate.
    pub fn parse(der: &'a [u8]) -> Option<Self> {
        let (outer, rest) = element(der)?;
        if outer.tag != SEQUENCE || !rest.is_empty() {
            return None;
        }
        let (body, _) = element(outer.content)?;
        if body.tag != SEQUENCE {
            return None;
        }
        let (first, after) = element(body.content)?;
        // Version 1 has no version.
        let after_serial = if first.tag == VERSION { element(after)?.1 } else { after };
        let (_signature, after) = element(after_serial)?;
        let (issuer, after) = element(after)?;
        let (_validity, after) = element(after)?;
        let (_subject, after) = element(after)?;
        let (key, _) = element(after)?;
        (issuer.tag == SEQUENCE && key.tag == SEQUENCE).then_some(Self { issuer: issuer.whole, public_key: key.whole })
    }
}

/// The content of a DER element of one SEQUENCE and nothing else, as trust anchors are given to the TLS library.
pub fn sequence_content(der: &[u8]) -> Option<&[u8]> {
    let (element, rest) = element(der)?;
    (element.tag == SEQUENCE && rest.is_empty()).then_some(element.content)
}

fn is_sequence(der: &[u8]) -> bool {
    sequence_content(der).is_some()
}

struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    whole: &'a [u8],
}

/// The first element and what follows it (X.690 §8.1, §10.1); lengths beyond 16 MiB are none.
fn element(der: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (tag, after_tag) = der.split_first()?;
    let (first, after) = after_tag.split_first()?;
    let (length, header) = if *first < 0x80 {
        (usize::from(*first), 2)
    } else {
        let count = usize::from(first & 0x7f);
        let octets = after.get(..count).filter(|octets| (1..=3).contains(&octets.len()))?;
        (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), count + 2)
    };
    let end = header + length;
    let (whole, rest) = der.split_at_checked(end)?;
    Some((Element { tag: *tag, content: whole.get(header..)?, whole }, rest))
}

const SEQUENCE: u8 = 0x30;
/// `[0] EXPLICIT`
const VERSION: u8 = 0xa0;
/// Octets of a record's data that are shown.
const MAX_SHOWN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(name: &str) -> (Vec<u8>, Vec<u8>) {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        (made.cert.der().to_vec(), rcgen::PublicKeyData::subject_public_key_info(&made.signing_key))
    }

    #[test]
    fn usages_selectors_and_matching_types() {
        let ((one, key), (other, _)) = (certificate("mx.example.test"), certificate("mx.example.test"));
        for usage in [2, 3] {
            for (selector, selected) in [(0, &one), (1, &key)] {
                let digests = [
                    (0, selected.clone()),
                    (1, Sha256::digest(selected).to_vec()),
                    (2, Sha512::digest(selected).to_vec()),
                ];
                for (matching, data) in digests {
                    let case = format!("{usage} {selector} {matching}");
                    let record = Tlsa::new(usage, selector, matching, data.clone()).expect(&case);
                    assert!(record.matches(&one), "{case}");
                    assert!(!record.matches(&other), "{case} of another certificate");
                    assert!(!record.matches(b"no certificate"), "{case} of none");
                    assert!(record.to_string().starts_with(&format!("{case} ")), "{record}");
                    let mut wrong = data;
                    wrong.pop();
                    assert_eq!(Tlsa::new(usage, selector, matching, wrong), None, "{case} cut");
                }
            }
        }
    }

    #[test]
    fn records_that_cannot_be_used() {
        let digest = vec![0; 32];
        for (case, usage, selector, matching) in [
            ("PKIX-TA", 0, 1, 1),
            ("PKIX-EE", 1, 1, 1),
            ("private", 255, 1, 1),
            ("unknown selector", 3, 2, 1),
            ("unknown matching", 3, 1, 3),
            ("digest of another length", 3, 1, 2),
            ("no certificate", 3, 0, 0),
            ("no key", 3, 1, 0),
        ] {
            assert_eq!(Tlsa::new(usage, selector, matching, digest.clone()), None, "{case}");
        }
    }

    #[test]
    fn a_certificate_is_walked_within_its_bounds() {
        let (der, key) = certificate("mx.example.test");
        let parts = Certificate::parse(&der).unwrap();
        assert_eq!(parts.public_key, key);
        assert!(sequence_content(parts.issuer).is_some());
        for cut in 0..der.len() {
            assert_eq!(Certificate::parse(&der[..cut]), None, "cut at {cut}");
        }
        assert_eq!(Certificate::parse(&[&der[..], b"x"].concat()), None, "something behind it");
        assert_eq!(Certificate::parse(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None, "huge length");
        assert_eq!(record_name(25, "mx.example.test."), "_25._tcp.mx.example.test.");
    }
}
