//! One raw connection of a test: blocking, with a time limit on every read, plain or TLS.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// How long a test waits for an answer before it fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    Gone,
}

/// A connection with its buffer.
pub struct Wire {
    stream: Stream,
    buffer: Vec<u8>,
    /// How long a read may take.
    pub patience: Duration,
    /// What went over the wire, for the message of a failed test.
    pub transcript: Vec<String>,
}

impl Wire {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        Self { stream: Stream::Plain(stream), buffer: Vec::new(), patience: PATIENCE, transcript: Vec::new() }
    }

    /// Handshakes now, trusting the certificate in `pem`.
    pub fn start_tls(&mut self, pem: &[u8]) -> io::Result<()> {
        self.start_tls_with("mail.example.test", pem)
    }

    /// The same with a host of this name.
    pub fn start_tls_with(&mut self, host: &'static str, pem: &[u8]) -> io::Result<()> {
        let Stream::Plain(tcp) = std::mem::replace(&mut self.stream, Stream::Gone) else {
            return Err(io::Error::other("TLS in TLS"));
        };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        tcp.set_read_timeout(Some(self.patience))?;
        let mut stream = StreamOwned::new(connection, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        self.stream = Stream::Tls(Box::new(stream));
        Ok(())
    }

    /// The `tls-exporter` channel binding (RFC 9266).
    pub fn exporter(&self) -> Option<Vec<u8>> {
        let Stream::Tls(s) = &self.stream else { return None };
        s.conn.export_keying_material(vec![0; 32], b"EXPORTER-Channel-Binding", Some(b"")).ok()
    }

    pub fn try_send(&mut self, octets: &[u8]) -> io::Result<()> {
        self.note("C", octets);
        match &mut self.stream {
            Stream::Plain(s) => {
                s.set_write_timeout(Some(self.patience))?;
                s.write_all(octets)
            }
            Stream::Tls(s) => {
                s.sock.set_write_timeout(Some(self.patience))?;
                s.write_all(octets)?;
                s.flush()
            }
            Stream::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    pub fn send(&mut self, octets: &[u8]) {
        if let Err(error) = self.try_send(octets) {
            panic!("send: {error}\n{}", self.story());
        }
    }

    /// Says that nothing more will be sent.
    pub fn end_sending(&mut self) {
        if let Stream::Plain(s) = &self.stream {
            let _ = s.shutdown(Shutdown::Write);
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        loop {
            match self.fill_once() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn fill_once(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 16 * 1024];
        let n = match &mut self.stream {
            Stream::Plain(s) => {
                s.set_read_timeout(Some(self.patience))?;
                s.read(&mut chunk)?
            }
            Stream::Tls(s) => {
                s.sock.set_read_timeout(Some(self.patience))?;
                s.read(&mut chunk)?
            }
            Stream::Gone => return Err(io::ErrorKind::NotConnected.into()),
        };
        self.buffer.extend_from_slice(&chunk[..n]);
        Ok(n)
    }

    /// The next line with its CRLF taken off; an error at the end, or when time is up.
    pub fn try_line(&mut self) -> io::Result<Vec<u8>> {
        let mut seen = 0;
        loop {
            if let Some(n) = self.buffer[seen..].iter().position(|b| *b == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..=seen + n).collect();
                line.pop();
                assert_eq!(line.pop(), Some(b'\r'), "a line must end in CRLF\n{}", self.story());
                self.note("S", &line);
                return Ok(line);
            }
            seen = self.buffer.len();
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Exactly `n` octets.
    pub fn try_octets(&mut self, n: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < n {
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.buffer.drain(..n).collect())
    }

    /// True if the peer closes in time; what it still sends is dropped.
    pub fn closes(&mut self) -> bool {
        let deadline = Instant::now() + self.patience;
        while Instant::now() < deadline {
            self.buffer.clear();
            match self.fill() {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return false;
                }
                Err(_) => return true,
            }
        }
        false
    }

    /// Everything up to the end of the connection; an error if it does not end in time.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.fill() {
                Ok(0) => return Ok(std::mem::take(&mut self.buffer)),
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Err(error);
                }
                Err(_) => return Ok(std::mem::take(&mut self.buffer)),
            }
        }
    }

    /// Sends in the background of reading, for streams larger than the buffers between us.
    pub fn plain(&self) -> Option<TcpStream> {
        match &self.stream {
            Stream::Plain(s) => s.try_clone().ok(),
            _ => None,
        }
    }

    fn note(&mut self, who: &str, octets: &[u8]) {
        let shown = octets.get(..400).unwrap_or(octets);
        self.transcript.push(format!("{who}: {}", shown.escape_ascii()));
        if self.transcript.len() > 200 {
            self.transcript.drain(..100);
        }
    }

    /// The transcript as text.
    pub fn story(&self) -> String {
        self.transcript.join("\n")
    }
}
