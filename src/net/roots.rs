//! The authorities whose certificates are trusted: the system's, and those of a file.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::tls::TlsError;

/// The authorities of this system, found where OpenSSL has them (`SSL_CERT_FILE` and `SSL_CERT_DIR` count), and those in
/// the PEM file `extra`. What cannot be read of the system's is logged and left out; the file must be readable, and hold
/// a certificate that can be used.
pub fn roots(extra: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "an authority of this system cannot be read");
    }
    let (taken, left_out) = roots.add_parsable_certificates(found.certs);
    if taken == 0 {
        tracing::warn!(
            "this system trusts no authority (package ca-certificates): no policy of MTA-STS can be fetched, and no \
             route that demands a verified certificate used"
        );
    }
    tracing::debug!(taken, left_out, "authorities of this system");
    if let Some(path) = extra {
        add(&mut roots, path)?;
    }
    Ok(roots)
}

fn add(roots: &mut RootCertStore, path: &Path) -> Result<(), TlsError> {
    let unreadable = |cause| TlsError::File { path: path.to_owned(), cause };
    let certificates = CertificateDer::pem_file_iter(path).map_err(unreadable)?;
    let certificates: Vec<CertificateDer<'static>> = certificates.collect::<Result<_, _>>().map_err(unreadable)?;
    let (taken, _) = roots.add_parsable_certificates(certificates);
    if taken == 0 { Err(TlsError::NoCertificate(path.to_owned())) } else { Ok(()) }
}
