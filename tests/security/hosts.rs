//! Hosts of the test's own: one for HTTPS that answers what it is told, and one for mail that goes as far as EHLO.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::certificates::Identity;

/// What a policy host does.
#[derive(Clone)]
pub enum Page {
    /// These octets, and the end.
    Octets(String),
    /// A head, and then content without end.
    Endless,
    /// Nothing, ever.
    Silence,
}

impl Page {
    pub fn policy(text: &str) -> Self {
        Self::with("200 OK", "text/plain; charset=utf-8", text)
    }

    pub fn with(status: &str, media_type: &str, text: &str) -> Self {
        Self::Octets(format!(
            "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nLocation: https://elsewhere.test/\r\n\
             Content-Length: {}\r\n\r\n{text}",
            text.len()
        ))
    }
}

/// A host for HTTPS.
#[derive(Clone)]
pub struct Web {
    pub port: u16,
    pub page: Arc<Mutex<Page>>,
    identity: Arc<Mutex<Option<Arc<rustls::ServerConfig>>>>,
    asked: Arc<AtomicUsize>,
    /// What came last, head and content.
    pub request: Arc<Mutex<Vec<u8>>>,
}

impl Web {
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let web = Self {
            port: listener.local_addr().expect("an address").port(),
            page: Arc::new(Mutex::new(Page::Silence)),
            identity: Arc::default(),
            asked: Arc::default(),
            request: Arc::default(),
        };
        let serving = web.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let web = serving.clone();
                tokio::spawn(async move { drop(web.serve(stream).await) });
            }
        });
        web
    }

    pub fn is(&self, identity: &Identity) {
        *self.identity.lock().expect("not poisoned") = Some(identity.server());
    }

    pub fn shows(&self, page: Page) {
        *self.page.lock().expect("not poisoned") = page;
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let config = self.identity.lock().expect("not poisoned").clone().expect("an identity");
        let mut stream = BufReader::new(TlsAcceptor::from(config).accept(stream).await?);
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            if stream.read_until(b'\n', &mut request).await? == 0 {
                return Ok(());
            }
        }
        let head = String::from_utf8_lossy(&request).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        let mut content = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut content).await?;
        request.extend(content);
        *self.request.lock().expect("not poisoned") = request;
        let page = self.page.lock().expect("not poisoned").clone();
        match page {
            Page::Octets(octets) => stream.write_all(octets.as_bytes()).await?,
            Page::Silence => std::future::pending().await,
            Page::Endless => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nversion: STSv1\r\n").await?;
                loop {
                    stream.write_all(&b"x: y\r\n".repeat(100)).await?;
                }
            }
        }
        stream.flush().await?;
        stream.shutdown().await
    }
}

/// A host for mail.
#[derive(Clone)]
pub struct MailHost {
    pub port: u16,
    /// `None`: it offers no STARTTLS.
    identity: Arc<Mutex<Option<Arc<rustls::ServerConfig>>>>,
}

impl MailHost {
    /// Each test has addresses of its own: `127.0.0.1` is enough, since the port is.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let host = Self { port: listener.local_addr().expect("an address").port(), identity: Arc::default() };
        let serving = host.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let host = serving.clone();
                tokio::spawn(async move { drop(host.serve(stream).await) });
            }
        });
        host
    }

    pub fn is(&self, identity: &Identity) {
        *self.identity.lock().expect("not poisoned") = Some(identity.server());
    }

    pub fn is_without_tls(&self) {
        *self.identity.lock().expect("not poisoned") = None;
    }

    async fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let config = self.identity.lock().expect("not poisoned").clone();
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 mx ESMTP\r\n").await?;
        if !dialog(&mut stream, config.is_some()).await? {
            return Ok(());
        }
        let config = config.expect("STARTTLS is offered with an identity only");
        let mut stream = BufReader::new(TlsAcceptor::from(config).accept(stream.into_inner()).await?);
        dialog(&mut stream, false).await.map(drop)
    }
}

/// Until QUIT, or STARTTLS, which is true.
async fn dialog<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    offers_tls: bool,
) -> std::io::Result<bool> {
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(false);
        }
        let answer: &[u8] = match line.trim_end().split(' ').next() {
            Some("EHLO") if offers_tls => b"250-mx\r\n250 STARTTLS\r\n",
            Some("STARTTLS") => b"220 go ahead\r\n",
            Some("QUIT") => b"221 bye\r\n",
            _ => b"250 mx\r\n",
        };
        stream.write_all(answer).await?;
        stream.flush().await?;
        match line.trim_end() {
            "STARTTLS" => return Ok(true),
            "QUIT" => return Ok(false),
            _ => {}
        }
    }
}
