//! Whether a host's certificate will do: checks that each say yes or no, some of which decide over the connection, and
//! all of which are remembered for the reports.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use crate::proto::dane::{Certificate, Tlsa, Usage, sequence_content};

/// One thing that a certificate must be.
#[derive(Debug)]
pub(super) struct Check {
    pub test: Test,
    /// Without it there is no connection.
    pub is_demanded: bool,
    /// Why the certificate is not that.
    flaw: Mutex<Option<Error>>,
}

/// What a certificate must be.
#[derive(Clone, Debug)]
pub(super) enum Test {
    /// One that TLSA records mean; if they mean one above it, also of one of these names (RFC 7672 §3.2.3).
    Dane { records: Vec<Tlsa>, names: Vec<ServerName<'static>> },
    /// One of this name that a trusted authority has made.
    Trusted { name: ServerName<'static> },
}

impl Check {
    pub fn new(test: Test, is_demanded: bool) -> Self {
        Self { test, is_demanded, flaw: Mutex::new(None) }
    }

    /// Why the last certificate was not what it must be.
    pub fn flaw(&self) -> Option<Error> {
        self.flaw.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// No TLSA record means the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no TLSA record matches the certificate")]
pub(super) struct NoMatch;

/// What failed, in words for a trace.
pub fn explain(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) => cause.to_string(),
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the certificate leads to no trusted authority".to_owned()
        }
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "the certificate has expired".to_owned()
        }
        Error::InvalidCertificate(CertificateError::NotValidForName) => {
            "the certificate is for another name".to_owned()
        }
        Error::InvalidCertificate(CertificateError::NotValidForNameContext { expected, .. }) => {
            format!("the certificate is not for {}", expected.to_str())
        }
        Error::General(text) => text.clone(),
        error => error.to_string(),
    }
}

/// A client's settings whose verifier runs these checks; without any, every certificate will do (RFC 7435).
pub(super) fn config(
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    checks: Arc<[Check]>,
) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let verifier = Arc::new(Verifier { provider, roots, checks });
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    // A resumed session shows no certificate, and then nothing would be checked.
    config.resumption = Resumption::disabled();
    Ok(config)
}

struct Verifier {
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    checks: Arc<[Check]>,
}

/// What a host shows.
#[derive(Clone, Copy)]
struct Shown<'a> {
    end_entity: &'a CertificateDer<'a>,
    intermediates: &'a [CertificateDer<'a>],
    now: UnixTime,
}

impl Verifier {
    fn run(&self, test: &Test, shown: Shown<'_>) -> Result<(), Error> {
        match test {
            Test::Trusted { name } => {
                let parsed = ParsedCertificate::try_from(shown.end_entity)?;
                self.signed_by(&self.roots, &parsed, shown)?;
                verify_server_name(&parsed, name)
            }
            Test::Dane { records, names } => self.dane(records, names, shown),
        }
    }

    /// RFC 7672 §3.1: one record that matches is enough.
    fn dane(&self, records: &[Tlsa], names: &[ServerName<'static>], shown: Shown<'_>) -> Result<(), Error> {
        // RFC 7672 §3.1.1: neither the name nor the dates matter.
        if records.iter().any(|record| record.usage == Usage::EndEntity && record.matches(shown.end_entity)) {
            return Ok(());
        }
        let anchors = anchors(records, shown);
        if anchors.is_empty() {
            return Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(NoMatch)))));
        }
        let parsed = ParsedCertificate::try_from(shown.end_entity)?;
        self.signed_by(&anchors, &parsed, shown)?;
        let mut result = Err(Error::InvalidCertificate(CertificateError::NotValidForName));
        for name in names {
            result = verify_server_name(&parsed, name);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    fn signed_by(&self, roots: &RootCertStore, parsed: &ParsedCertificate<'_>, shown: Shown<'_>) -> Result<(), Error> {
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(parsed, roots, shown.intermediates, shown.now, algorithms)
    }
}

/// The anchors that DANE-TA(2) records mean: certificates of the chain, those that a record holds whole, and for a key
/// that a record holds whole whoever the chain says has signed it (RFC 7671 §5.2).
fn anchors(records: &[Tlsa], shown: Shown<'_>) -> RootCertStore {
    let mut anchors = RootCertStore::empty();
    for record in records.iter().filter(|record| record.usage == Usage::TrustAnchor) {
        let sent = shown.intermediates.iter().filter(|certificate| record.matches(certificate)).cloned();
        let held = record.certificate().map(CertificateDer::from);
        anchors.add_parsable_certificates(
            sent.map(CertificateDer::into_owned).chain(held.map(CertificateDer::into_owned)),
        );
        let Some(key) = record.public_key().and_then(sequence_content) else { continue };
        let chain = std::iter::once(shown.end_entity).chain(shown.intermediates);
        let issuers = chain.filter_map(|certificate| sequence_content(Certificate::parse(certificate)?.issuer));
        anchors.roots.extend(issuers.map(|issuer| TrustAnchor {
            subject: issuer.to_vec().into(),
            subject_public_key_info: key.to_vec().into(),
            name_constraints: None,
        }));
    }
    anchors
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = Shown { end_entity, intermediates, now };
        let mut outcome = Ok(ServerCertVerified::assertion());
        for check in self.checks.iter() {
            let flaw = self.run(&check.test, shown).err();
            if let (true, true, Some(flaw)) = (check.is_demanded, outcome.is_ok(), &flaw) {
                outcome = Err(flaw.clone());
            }
            *check.flaw.lock().unwrap_or_else(PoisonError::into_inner) = flaw;
        }
        outcome
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("checks", &self.checks).finish_non_exhaustive()
    }
}
