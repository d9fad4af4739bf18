//! TLS by rustls: the server's certificate files and their reload, and the handshake of either side (RFC 8314, RFC 9325).
//!
//! TLS 1.2 and 1.3, no client certificates. A reload replaces certificate and key together or not at all: if the new
//! files cannot be used, the old pair stays in use and the error goes to the log.
//!
//! Deviation: no session tickets and no resumption, because some mail servers stumble over tickets on port 25; a
//! full handshake with an ECDSA key is cheap.
//! Deviation: the channel binding is given for TLS 1.3 only. Under TLS 1.2 it would need the extended master secret
//! (RFC 9266 §3), and rustls does not say whether that was negotiated.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, ConnectionCommon, ProtocolVersion, ServerConfig};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{Connection, ReadError, TlsInfo};

/// The server's certificate and key, replaced as a whole on reload. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Tls {
    inner: Arc<Inner>,
}

struct Inner {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<ServerConfig>>,
    /// The files as they were when they were last tried, whether that succeeded or not.
    tried: Mutex<[Stamp; 2]>,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read, or holds no PEM of the kind that is needed.
    #[error("{}: {cause}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: pem::Error,
    },
    /// The certificate file holds no certificate.
    #[error("{}: no certificate in it", .0.display())]
    NoCertificate(PathBuf),
    /// Certificate and key do not fit, or are of a kind rustls does not know.
    #[error("certificate {} with key {}: {cause}", certificate.display(), key.display())]
    Unusable {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
        /// Why.
        cause: rustls::Error,
    },
    /// A self-signed certificate could not be made.
    #[error("making a self-signed certificate: {0}")]
    SelfSigned(#[from] rcgen::Error),
    /// A self-signed certificate could not be written.
    #[error("writing {}: {cause}", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

impl Tls {
    /// From a PEM file with the certificate chain and one with its key (PKCS #8, PKCS #1 or SEC1).
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        // Stamps first: a change while the files are read is then noticed as a change.
        let tried = [Stamp::of(certificate), Stamp::of(key)];
        let config = load(certificate, key)?;
        Ok(Self {
            inner: Arc::new(Inner {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
                current: RwLock::new(Arc::new(config)),
                tried: Mutex::new(tried),
            }),
        })
    }

    /// From `self-signed.crt` and `self-signed.key` in `folder`, which are made for `hostname` if they are not there.
    pub fn self_signed(folder: &Path, hostname: &str) -> Result<Self, TlsError> {
        let certificate = folder.join("self-signed.crt");
        let key = folder.join("self-signed.key");
        if !certificate.exists() || !key.exists() {
            let made = rcgen::generate_simple_self_signed(vec![hostname.to_owned(), "localhost".to_owned()])?;
            write(&key, &made.signing_key.serialize_pem(), 0o600)?;
            write(&certificate, &made.cert.pem(), 0o644)?;
        }
        Self::from_files(&certificate, &key)
    }

    /// Reads the files again. On an error what was in use stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        let Inner { certificate, key, current, tried } = &*self.inner;
        *tried.lock().unwrap_or_else(PoisonError::into_inner) = [Stamp::of(certificate), Stamp::of(key)];
        let config = load(certificate, key)?;
        *current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        Ok(())
    }

    /// [`Tls::reload`] if one of the files is not what it was when they were last read; says whether it was.
    pub fn reload_if_changed(&self) -> Result<bool, TlsError> {
        let now = [Stamp::of(&self.inner.certificate), Stamp::of(&self.inner.key)];
        if *self.inner.tried.lock().unwrap_or_else(PoisonError::into_inner) == now {
            return Ok(false);
        }
        self.reload().map(|()| true)
    }

    /// Runs the handshake (implicit TLS, or after STARTTLS) within `limit`. Buffered plaintext input must have been
    /// refused by the caller before (RFC 3207 §4.2); with such input the connection ends here.
    pub async fn accept(&self, mut connection: Connection, limit: Duration) -> Result<Connection, ReadError> {
        let addresses = (connection.peer(), connection.local());
        let admission = connection.take_admission();
        let stream = connection.into_plain().ok_or(ReadError::Closed)?;
        let config = self.inner.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        // Boxed: the handshake's state is large and would stay part of every session's future.
        let handshake = Box::pin(TlsAcceptor::from(config).accept(stream));
        let stream = match timeout(limit, handshake).await {
            Err(_) => return Err(ReadError::TimedOut),
            Ok(Err(error)) => {
                tracing::debug!(peer = %addresses.0, %error, "TLS handshake failed");
                return Err(ReadError::Closed);
            }
            Ok(Ok(stream)) => stream,
        };
        let info = info(stream.get_ref().1);
        Ok(Connection::with_tls(stream.into(), info, addresses, admission))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("certificate", &self.inner.certificate).finish_non_exhaustive()
    }
}

/// What tells whether a file has changed; `None` if it cannot be seen.
#[derive(Debug, PartialEq, Eq)]
struct Stamp(Option<(u64, u64, SystemTime)>);

impl Stamp {
    fn of(path: &Path) -> Self {
        Self(fs::metadata(path).and_then(|m| Ok((m.ino(), m.len(), m.modified()?))).ok())
    }
}

fn load(certificate: &Path, key: &Path) -> Result<ServerConfig, TlsError> {
    let in_file = |path: &Path, cause| TlsError::File { path: path.to_owned(), cause };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| in_file(certificate, e))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(certificate.to_owned()));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| in_file(key, e))?;
    let unusable = |cause| TlsError::Unusable { certificate: certificate.to_owned(), key: key.to_owned(), cause };
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(unusable)?;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// Writes through a temporary file, so that a crash leaves no half of a key.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), TlsError> {
    let partial = path.with_extension("tmp");
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&partial)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&partial, path));
    written.map_err(|cause| TlsError::Write { path: path.to_owned(), cause })
}

/// Runs the client's side of the handshake over a connection of ours, within `limit`; what `config` makes of the
/// certificate decides. Buffered plaintext input must have been refused by the caller before (RFC 3207 §4.2); with such
/// input the connection ends here. An error says what failed; a peer that closes or is silent is one in words.
pub async fn connect(
    connection: Connection,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    limit: Duration,
) -> Result<Connection, rustls::Error> {
    let failed = |text: &str| rustls::Error::General(text.to_owned());
    let addresses = (connection.peer(), connection.local());
    let stream = connection.into_plain().ok_or_else(|| failed("unexpected input before the handshake"))?;
    // Boxed: the handshake's state is large and would stay part of every session's future.
    let handshake = Box::pin(TlsConnector::from(config).connect(name, stream));
    let stream = match timeout(limit, handshake).await {
        Err(_) => return Err(failed("no answer in the handshake")),
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
            return Err(cause.cloned().unwrap_or_else(|| failed("connection closed in the handshake")));
        }
    };
    let info = info(stream.get_ref().1);
    Ok(Connection::with_tls(stream.into(), info, addresses, None))
}

fn info<Data>(connection: &ConnectionCommon<Data>) -> TlsInfo {
    let modern = connection.protocol_version() == Some(ProtocolVersion::TLSv1_3);
    // RFC 9266 §2: the label, a context that is present and empty, 32 octets.
    let exporter =
        || connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"".as_slice())).ok();
    TlsInfo {
        version: if modern { "TLSv1.3" } else { "TLSv1.2" },
        cipher: connection.negotiated_cipher_suite().map(|suite| cipher_name(suite.suite())).unwrap_or_default(),
        exporter: if modern { exporter() } else { None },
    }
}

/// rustls calls the suites of TLS 1.3 `TLS13_…`; IANA calls them `TLS_…`.
fn cipher_name(suite: rustls::CipherSuite) -> String {
    let name = suite.as_str().unwrap_or("unknown");
    name.strip_prefix("TLS13_").map_or_else(|| name.to_owned(), |rest| format!("TLS_{rest}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rustls::RootCertStore;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::client::TlsStream;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);
    const NAME: &str = "mail.example.test";

    async fn pair() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Connection::plain(listener.accept().await.unwrap().0).unwrap(), client)
    }

    fn client_config(folder: &Path, versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(folder.join("self-signed.crt")).unwrap()).unwrap();
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    async fn handshake(tls: &Tls, client: ClientConfig) -> (Connection, TlsStream<TcpStream>) {
        let (server, stream) = pair().await;
        let name = ServerName::try_from(NAME).unwrap();
        let connector = TlsConnector::from(Arc::new(client));
        let (server, client) = tokio::join!(tls.accept(server, LONG), connector.connect(name, stream));
        (server.unwrap(), client.unwrap())
    }

    #[tokio::test]
    async fn lines_and_replies_travel_over_both_versions() {
        let folder = tempfile::tempdir().unwrap();
        let tls = Tls::self_signed(folder.path(), NAME).unwrap();
        for (version, name, cipher, bound) in [
            (&rustls::version::TLS13, "TLSv1.3", "TLS_AES_", true),
            (&rustls::version::TLS12, "TLSv1.2", "TLS_ECDHE_ECDSA_", false),
        ] {
            let (mut server, mut client) = handshake(&tls, client_config(folder.path(), &[version])).await;
            let info = server.tls().unwrap().clone();
            assert_eq!(info.version, name);
            assert!(info.cipher.starts_with(cipher), "{}", info.cipher);
            let ours = client.get_ref().1.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""));
            assert_eq!(info.exporter, bound.then(|| ours.unwrap()), "{name}");

            client.write_all(b"first\r\nsecond\r\n").await.unwrap();
            for expected in ["first", "second"] {
                let mut line = Vec::new();
                server.read_line(&mut line, 100, LONG).await.unwrap();
                assert_eq!(line, expected.as_bytes(), "{name}");
            }
            server.write_owned(vec![b'x'; 200 << 10]);
            server.write(b"end");
            let close = tokio::spawn(server.close(LONG));
            let mut got = Vec::new();
            client.read_to_end(&mut got).await.expect("close_notify comes before FIN");
            assert_eq!(got.len(), (200 << 10) + 3, "{name}");
            drop(client);
            close.await.unwrap();
        }
    }

    #[tokio::test]
    async fn self_signed_certificate_stays_the_same() {
        let folder = tempfile::tempdir().unwrap();
        Tls::self_signed(folder.path(), NAME).unwrap();
        let key = folder.path().join("self-signed.key");
        let before = fs::read(&key).unwrap();
        Tls::self_signed(folder.path(), NAME).unwrap();
        assert_eq!(fs::read(&key).unwrap(), before);
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn changed_files_are_used_and_broken_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let tls = Tls::self_signed(folder.path(), NAME).unwrap();
        let (certificate, key) = (folder.path().join("self-signed.crt"), folder.path().join("self-signed.key"));
        assert!(!tls.reload_if_changed().unwrap(), "nothing has changed");

        fs::write(&certificate, "not PEM").unwrap();
        assert!(tls.reload_if_changed().is_err());
        assert!(!tls.reload_if_changed().unwrap(), "the same broken file is reported once");
        fs::remove_file(&certificate).unwrap();
        fs::remove_file(&key).unwrap();
        assert!(tls.reload().is_err());

        Tls::self_signed(folder.path(), NAME).unwrap();
        assert!(tls.reload_if_changed().unwrap());
        // Succeeds only with the new certificate, which alone the client trusts.
        handshake(&tls, client_config(folder.path(), rustls::DEFAULT_VERSIONS)).await;
    }

    #[test]
    fn certificate_and_key_must_fit() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for folder in [&one, &other] {
            Tls::self_signed(folder.path(), NAME).unwrap();
        }
        let mixed = Tls::from_files(&one.path().join("self-signed.crt"), &other.path().join("self-signed.key"));
        assert!(matches!(mixed, Err(TlsError::Unusable { .. })), "{mixed:?}");
        let missing = Tls::from_files(&one.path().join("none"), &one.path().join("self-signed.key"));
        assert!(matches!(missing, Err(TlsError::File { .. })), "{missing:?}");
        fs::write(one.path().join("empty"), "").unwrap();
        let empty = Tls::from_files(&one.path().join("empty"), &one.path().join("self-signed.key"));
        assert!(matches!(empty, Err(TlsError::NoCertificate(_))), "{empty:?}");
    }

    #[tokio::test]
    async fn a_client_learns_why_a_handshake_fails() {
        let folder = tempfile::tempdir().unwrap();
        let tls = Tls::self_signed(folder.path(), NAME).unwrap();
        let config = || Arc::new(client_config(folder.path(), rustls::DEFAULT_VERSIONS));
        for (name, fails) in [(NAME, false), ("other.example.test", true)] {
            let (server, stream) = pair().await;
            let client = Connection::plain(stream).unwrap();
            let client = connect(client, config(), ServerName::try_from(name).unwrap(), LONG);
            let (server, client) = tokio::join!(tls.accept(server, LONG), client);
            assert_eq!(client.is_err(), fails, "{name}");
            match client {
                Ok(client) => assert_eq!(client.tls().unwrap().cipher, server.unwrap().tls().unwrap().cipher),
                Err(error) => assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "{name}: {error}"),
            }
        }
        for (case, says, limit) in
            [("no TLS", &b"220 hello\r\n"[..], LONG), ("silence", b"", Duration::from_millis(20))]
        {
            let (server, mut stream) = pair().await;
            stream.write_all(says).await.unwrap();
            let name = ServerName::try_from(NAME).unwrap();
            assert!(connect(server, config(), name, limit).await.is_err(), "{case}");
        }
        let (mut client, mut stream) = pair().await;
        stream.write_all(b"250 injected\r\n").await.unwrap();
        client.fill(LONG).await.unwrap();
        let error = connect(client, config(), ServerName::try_from(NAME).unwrap(), LONG).await.unwrap_err();
        assert!(error.to_string().contains("unexpected input"), "{error}");
    }

    #[tokio::test]
    async fn plaintext_before_the_handshake_ends_the_connection() {
        let folder = tempfile::tempdir().unwrap();
        let tls = Tls::self_signed(folder.path(), NAME).unwrap();
        let (mut server, mut client) = pair().await;
        client.write_all(b"QUIT\r\n").await.unwrap();
        server.fill(LONG).await.unwrap();
        assert_eq!(tls.accept(server, LONG).await.unwrap_err(), ReadError::Closed);
    }

    #[tokio::test]
    async fn peer_that_speaks_no_tls_is_refused_and_a_silent_one_not_awaited() {
        let folder = tempfile::tempdir().unwrap();
        let tls = Tls::self_signed(folder.path(), NAME).unwrap();
        let (server, mut client) = pair().await;
        client.write_all(b"EHLO client.example.test\r\n").await.unwrap();
        assert_eq!(tls.accept(server, LONG).await.unwrap_err(), ReadError::Closed);
        let (server, _client) = pair().await;
        assert_eq!(tls.accept(server, Duration::from_millis(20)).await.unwrap_err(), ReadError::TimedOut);
    }
}
