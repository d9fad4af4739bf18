//! Authorities and certificates of the test's own.

use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};

/// Who makes certificates.
pub struct Authority {
    pub certificate: CertificateDer<'static>,
    /// Its SubjectPublicKeyInfo.
    pub key: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

/// A chain, the host's own certificate first, and its key.
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    /// The SubjectPublicKeyInfo of the first.
    pub public: Vec<u8>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate").der().clone();
        let public = key.subject_public_key_info();
        Self { certificate, key: public, issuer: Issuer::new(params, key) }
    }

    /// Its certificate, as files hold it.
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("an authority");
        roots
    }

    /// A certificate for these names; one that ended in 2020 if it is old.
    pub fn issue(&self, names: &[&str], is_old: bool) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        if is_old {
            (params.not_before, params.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1));
        }
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").der().clone();
        let public = key.subject_public_key_info();
        let chain = vec![certificate, self.certificate.clone()];
        Identity { chain, key: PrivateKeyDer::Pkcs8(key.serialize_der().into()), public }
    }
}

impl Identity {
    /// Without the authority's own certificate.
    pub fn alone(mut self) -> Self {
        self.chain.truncate(1);
        self
    }

    /// The chain and the key, as files hold them.
    pub fn pem(&self) -> (String, String) {
        let chain = self.chain.iter().map(|certificate| pem("CERTIFICATE", certificate)).collect();
        (chain, pem("PRIVATE KEY", self.key.secret_der()))
    }

    pub fn server(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .expect("an identity");
        Arc::new(config)
    }
}

/// RFC 7468 §2
fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(|line| format!("{}\n", String::from_utf8_lossy(line)));
    format!("-----BEGIN {label}-----\n{}-----END {label}-----\n", lines.collect::<String>())
}
