//! A remote host that behaves, but for what a test tells it to do.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What is done at a step.
#[derive(Clone, Debug)]
pub enum Act {
    /// Lines without their last CRLF.
    Say(&'static str),
    /// The same of what is made.
    SayText(String),
    /// And close.
    Last(&'static str),
    Close,
    Silence,
    /// One octet of a reply after the other.
    Drip,
    /// A line without end.
    EndlessLine,
    /// Lines without end.
    EndlessLines,
    Garbage,
    /// 220, and plaintext behind it.
    Inject,
    /// 220, and then no TLS.
    NoTls,
    /// This, and then nothing is read any more.
    Stall(&'static str),
}

/// What a remote does.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// At a command that starts so, `greeting`, or `content` (the reply to the end of DATA): these, one after the other,
    /// and the last for ever. Without one what a good host does.
    acts: Vec<(&'static str, VecDeque<Act>)>,
    /// What EHLO offers.
    offers: Vec<String>,
    /// A certificate for this name.
    tls: Option<String>,
    is_implicit: bool,
}

impl Script {
    pub fn offering(offers: &[&str]) -> Self {
        Self { offers: offers.iter().map(|&offer| offer.to_owned()).collect(), ..Self::default() }
    }

    pub fn on(mut self, step: &'static str, acts: &[Act]) -> Self {
        self.acts.push((step, acts.iter().cloned().collect()));
        self
    }

    /// STARTTLS is offered, with a certificate for that name.
    pub fn tls(mut self, name: &str) -> Self {
        self.tls = Some(name.to_owned());
        self.offers.push("STARTTLS".to_owned());
        self
    }

    /// TLS from the first octet.
    pub fn implicit(mut self) -> Self {
        self.is_implicit = true;
        self
    }
}

/// A remote; it ends with the test's runtime.
pub struct Remote {
    address: SocketAddr,
    seen: Arc<Seen>,
}

/// What has come.
#[derive(Default)]
struct Seen {
    lines: Mutex<Vec<String>>,
    contents: Mutex<Vec<Vec<u8>>>,
    connections: AtomicUsize,
    peers: Mutex<Vec<String>>,
}

impl Remote {
    /// On a free port of 127.0.0.2.
    pub async fn start(script: Script) -> Self {
        Self::at("127.0.0.2:0".parse().unwrap(), script).await
    }

    /// On another address with the same port.
    pub async fn beside(&self, ip: &str, script: Script) -> Self {
        Self::at(SocketAddr::new(ip.parse().unwrap(), self.address.port()), script).await
    }

    async fn at(address: SocketAddr, script: Script) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let acceptor = script.tls.as_deref().map(acceptor);
        let script = Arc::new(Mutex::new(script));
        let all = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                all.connections.fetch_add(1, Ordering::SeqCst);
                all.peers.lock().unwrap().push(peer.ip().to_string());
                let peer = Peer { script: script.clone(), seen: all.clone(), acceptor: acceptor.clone() };
                tokio::spawn(peer.serve(stream));
            }
        });
        Self { address, seen }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn ip(&self) -> String {
        self.address.ip().to_string()
    }

    /// The commands that came, of all sessions.
    pub fn lines(&self) -> Vec<String> {
        self.seen.lines.lock().unwrap().clone()
    }

    /// The same without EHLO and QUIT, in one line.
    pub fn transactions(&self) -> String {
        let lines = self.lines();
        let of_session = |line: &&String| !["EHLO", "HELO", "QUIT"].iter().any(|verb| line.starts_with(verb));
        lines.iter().filter(of_session).cloned().collect::<Vec<_>>().join("|")
    }

    /// The contents that came by DATA, as on the wire without the end, and by BDAT.
    pub fn contents(&self) -> Vec<Vec<u8>> {
        self.seen.contents.lock().unwrap().clone()
    }

    /// From where they came.
    pub fn peers(&self) -> Vec<String> {
        self.seen.peers.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

struct Peer {
    script: Arc<Mutex<Script>>,
    seen: Arc<Seen>,
    acceptor: Option<TlsAcceptor>,
}

/// The session goes on.
struct Goes;

impl Peer {
    async fn serve(self, stream: TcpStream) {
        let is_implicit = self.script.lock().unwrap().is_implicit;
        let mut stream: Box<dyn Stream> = match (&self.acceptor, is_implicit) {
            (Some(acceptor), true) => match acceptor.accept(stream).await {
                Ok(stream) => Box::new(stream),
                Err(_) => return,
            },
            _ => Box::new(stream),
        };
        let mut input = Vec::new();
        if self.act(&mut *stream, "greeting", "220 remote.test ESMTP").await.is_none() {
            return;
        }
        while let Some(line) = line(&mut *stream, &mut input).await {
            self.seen.lines.lock().unwrap().push(line.clone());
            let verb = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
            let goes = match verb.as_str() {
                "STARTTLS" => match self.start_tls(stream).await {
                    Some(secured) => {
                        stream = secured;
                        input.clear();
                        Some(Goes)
                    }
                    None => return,
                },
                "DATA" => self.data(&mut *stream, &mut input).await,
                "BDAT" => self.bdat(&mut *stream, &mut input, &line).await,
                "EHLO" => {
                    let offers: Vec<String> = self.script.lock().unwrap().offers.clone();
                    let mut all = vec!["remote.test".to_owned()];
                    all.extend(offers);
                    let last = all.len() - 1;
                    let line_of = |(n, text): (usize, String)| format!("250{}{text}", if n < last { '-' } else { ' ' });
                    let reply = all.into_iter().enumerate().map(line_of).collect::<Vec<_>>().join("\r\n");
                    self.act(&mut *stream, &line, &reply).await
                }
                "QUIT" => {
                    let _ = self.act(&mut *stream, &line, "221 bye").await;
                    None
                }
                _ => self.act(&mut *stream, &line, "250 2.0.0 ok").await,
            };
            if goes.is_none() {
                return;
            }
        }
    }

    /// What the script has for this step, or else this reply; `None` if the session is over.
    async fn act(&self, stream: &mut dyn Stream, step: &str, good: &str) -> Option<Goes> {
        let act = self.next(step).unwrap_or_else(|| Act::SayText(good.to_owned()));
        perform(stream, act).await
    }

    fn next(&self, step: &str) -> Option<Act> {
        let mut script = self.script.lock().unwrap();
        let (_, acts) = script.acts.iter_mut().find(|(on, _)| step.starts_with(on))?;
        if acts.len() > 1 { acts.pop_front() } else { acts.front().cloned() }
    }

    async fn start_tls(&self, mut stream: Box<dyn Stream>) -> Option<Box<dyn Stream>> {
        match (self.next("STARTTLS"), &self.acceptor) {
            (Some(Act::NoTls), _) => {
                stream.write_all(b"220 go\r\n").await.ok()?;
                let mut some = [0; 64];
                let _ = stream.read(&mut some).await;
                stream.write_all(b"I speak no TLS, sorry for that.\r\n").await.ok()?;
                None
            }
            (Some(act), _) => perform(&mut *stream, act).await.map(|Goes| stream),
            (None, Some(acceptor)) => {
                stream.write_all(b"220 2.0.0 go\r\n").await.ok()?;
                let secured = acceptor.accept(stream).await.ok()?;
                Some(Box::new(secured))
            }
            (None, None) => perform(&mut *stream, Act::Say("502 no")).await.map(|Goes| stream),
        }
    }

    async fn data(&self, stream: &mut dyn Stream, input: &mut Vec<u8>) -> Option<Goes> {
        let act = self.next("DATA").unwrap_or(Act::Say("354 go on"));
        let is_ready = matches!(&act, Act::Say(text) if text.starts_with("354"));
        perform(stream, act).await?;
        if !is_ready {
            return Some(Goes);
        }
        let end = loop {
            if input.starts_with(b".\r\n") {
                break 0;
            }
            if let Some(at) = input.windows(5).position(|w| w == b"\r\n.\r\n") {
                break at + 2;
            }
            more(stream, input).await?;
        };
        let content = input[..end].to_vec();
        input.drain(..end + 3);
        self.seen.contents.lock().unwrap().push(content);
        self.act(stream, "content", "250 2.0.0 taken").await
    }

    async fn bdat(&self, stream: &mut dyn Stream, input: &mut Vec<u8>, line: &str) -> Option<Goes> {
        let size: usize = line.split(' ').nth(1)?.parse().ok()?;
        while input.len() < size {
            more(stream, input).await?;
        }
        let content: Vec<u8> = input.drain(..size).collect();
        self.seen.contents.lock().unwrap().push(content);
        let step = if line.ends_with("LAST") { "LAST" } else { "BDAT" };
        self.act(stream, step, "250 2.0.0 taken").await
    }
}

async fn perform(stream: &mut dyn Stream, act: Act) -> Option<Goes> {
    let text = match act {
        Act::Say(text) => text.to_owned(),
        Act::SayText(text) => text,
        Act::Last(text) => {
            stream.write_all(format!("{text}\r\n").as_bytes()).await.ok()?;
            return None;
        }
        Act::Close => return None,
        Act::Silence => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            return None;
        }
        Act::Stall(text) => {
            stream.write_all(format!("{text}\r\n").as_bytes()).await.ok()?;
            tokio::time::sleep(Duration::from_secs(600)).await;
            return None;
        }
        Act::Drip => loop {
            stream.write_all(b"2").await.ok()?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        },
        Act::EndlessLine => loop {
            stream.write_all(&[b'2'; 1_000]).await.ok()?;
        },
        Act::EndlessLines => loop {
            stream.write_all(b"250-and so on\r\n").await.ok()?;
        },
        Act::Garbage => "\x1b[31mSSH-2.0-OpenSSH\x07".to_owned(),
        Act::Inject => "220 go\r\n250 injected".to_owned(),
        Act::NoTls => return None,
    };
    stream.write_all(format!("{text}\r\n").as_bytes()).await.ok()?;
    Some(Goes)
}

async fn line(stream: &mut dyn Stream, input: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(at) = input.windows(2).position(|w| w == b"\r\n") {
            let line = String::from_utf8_lossy(&input[..at]).into_owned();
            input.drain(..at + 2);
            return Some(line);
        }
        more(stream, input).await?;
    }
}

async fn more(stream: &mut dyn Stream, input: &mut Vec<u8>) -> Option<Goes> {
    let mut some = [0; 16 << 10];
    let n = stream.read(&mut some).await.ok().filter(|n| *n > 0)?;
    input.extend_from_slice(&some[..n]);
    Some(Goes)
}

fn acceptor(name: &str) -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
    let certificate = CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}
