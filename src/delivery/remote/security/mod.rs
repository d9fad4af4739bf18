//! What a connection to another host must prove.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};

use super::destination::{Demand, Destination};
use crate::mail::EnhancedCode;

/// Answers what a connection must prove.
#[derive(Debug)]
pub struct Security {
    opportunistic: Arc<ClientConfig>,
}

/// What a domain publishes of its hosts (RFC 8461), looked up once for a session.
#[derive(Clone, Debug, Default)]
pub struct Published {}

/// Terms for the session with one host.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Whether TLS is used.
    pub mode: Mode,
    /// How; its verifier decides whether the certificate will do.
    pub config: Arc<ClientConfig>,
    /// The name that is asked for (SNI) and verified.
    pub name: ServerName<'static>,
    /// For logs and traces, such as `DANE`, `MTA-STS`, `verified`; `None` if nothing is proven.
    pub by: Option<&'static str>,
}

/// Whether TLS is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is not.
    Never,
    /// If the host offers it; if it then fails, the session may go on in another one without it.
    IfOffered,
    /// Without it nothing is sent.
    Required,
}

/// Why a host must not be used, or cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// RFC 3463, class 4 if it may be otherwise later.
    pub status: EnhancedCode,
    /// In our words.
    pub text: String,
}

/// How it went with TLS, for the reports of RFC 8460.
#[derive(Clone, Debug, PartialEq)]
pub enum Secured {
    /// As the terms want it.
    Yes,
    /// The host does not offer STARTTLS.
    NotOffered,
    /// The handshake failed, in words.
    Failed(rustls::Error),
}

impl Security {
    /// For a server that starts. An error means that the TLS library lacks what it should have.
    pub fn new() -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let verifier = Arc::new(Anybody { provider });
        let config = config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        Ok(Self { opportunistic: Arc::new(config) })
    }

    /// What the destination publishes. An error means that it cannot be told now.
    pub async fn published(&self, _destination: &Destination) -> Result<Published, Unusable> {
        Ok(Published::default())
    }

    /// The terms for one of its hosts: `host` is the name from the MX record, of the smarthost, or an address in
    /// brackets; `is_secure` says that DNSSEC has proven the records that led to it.
    pub async fn terms(
        &self,
        destination: &Destination,
        _published: &Published,
        host: &str,
        _is_secure: bool,
    ) -> Result<Terms, Unusable> {
        let demand = destination.route.as_ref().map_or(Demand::Published, |route| route.demand);
        let mode = match demand {
            Demand::Published => Mode::IfOffered,
            Demand::Encrypted | Demand::Verified => Mode::Required,
            Demand::Plain => Mode::Never,
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_owned();
        let name = ServerName::try_from(bare).map_err(|_| Unusable {
            status: EnhancedCode::new(5, 4, 4),
            text: format!("{host:?} is not a host name"),
        })?;
        Ok(Terms { mode, config: self.opportunistic.clone(), name, by: None })
    }

    /// Remembers how it went, for the reports that the destination asks for.
    pub fn note(&self, _destination: &Destination, _published: &Published, _host: &str, _secured: &Secured) {}
}

/// Takes any certificate: encryption without proof (RFC 7435).
#[derive(Debug)]
struct Anybody {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
