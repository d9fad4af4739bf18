//! A client for HTTP/1.1: what goes to other programs and hosts that speak it, over TCP, TLS or a Unix socket.
//!
//! A host that is asked by HTTPS is verified for the name that was asked for (RFC 9110 §4.3.4). No redirects, no cookies,
//! no cache, no proxies; everything is bounded in time and size. Connections can be kept for the next request to the same
//! host. One that was kept may end at the moment it is used (RFC 9112 §9.5): then the request is sent once more over a
//! fresh one, so that who asks for something to be done needs an id in it by which it is done once.

mod url;

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{HeaderMap, Method, Response, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::dns::Dns;
use url::Target;

pub use url::{Url, UrlError};

/// Asks by HTTP. Cheap to clone; clones share the connections that are kept.
#[derive(Clone)]
pub struct HttpClient {
    names: Names,
    tls: Arc<ClientConfig>,
    https_port: u16,
    /// Hosts may be on this machine, or in a network that is not the internet.
    may_be_near: bool,
    /// Connections that are kept for each host.
    keeps: usize,
    kept: Arc<Mutex<Kept>>,
}

/// Idle connections to each host, and since when.
type Kept = HashMap<Target, Vec<(Link, Instant)>>;

/// Who knows the addresses of hosts.
#[derive(Clone, Debug)]
pub enum Names {
    /// The system: `/etc/hosts`, and what else it is set up to ask.
    System,
    /// The DNS alone.
    Dns(Box<Dns>),
}

/// What is asked.
#[derive(Clone)]
pub struct Request {
    method: Method,
    url: Url,
    fields: HeaderMap,
    body: Bytes,
    is_valid: bool,
}

/// How long an answer may take, and be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For all of it, from finding the host to the last octet.
    pub time: Duration,
    /// Octets of the content.
    pub octets: usize,
    /// What becomes of content that is longer.
    pub excess: Excess,
}

/// What becomes of an answer that is longer than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// It is none: [`HttpError::TooLong`].
    Fails,
    /// Its beginning will do; so it is with content that breaks off or does not come in time.
    IsCut,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The content.
    pub body: Vec<u8>,
    fields: HeaderMap,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum HttpError {
    /// A field or a host name that cannot be sent.
    #[error("not a request that can be sent")]
    Request,
    /// The host has no address that could be found.
    #[error("{0} has no address")]
    NoAddress(String),
    /// No connection came about.
    #[error("no connection: {0}")]
    Connect(String),
    /// TLS failed, or the certificate will not do.
    #[error("TLS: {0}")]
    Tls(rustls::Error),
    /// The connection ended, or what came is no HTTP.
    #[error("no answer in HTTP: {0}")]
    Protocol(String),
    /// The answer is longer than it may be.
    #[error("the answer is too long")]
    TooLong,
    /// It took too long.
    #[error("no answer in time")]
    TimedOut,
}

impl HttpClient {
    /// Finds hosts through `names`, trusts these authorities ([`super::roots::roots`]) and keeps up to `keeps` idle
    /// connections to each host for half a minute. An error means that the TLS library lacks what it should have.
    pub fn new(names: Names, roots: RootCertStore, keeps: usize) -> Result<Self, rustls::Error> {
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let tls = builder.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth();
        Ok(Self { names, tls: Arc::new(tls), https_port: 443, may_be_near: true, keeps, kept: Arc::default() })
    }

    /// Where hosts listen for HTTPS if a URL does not say: 443, unless it is a test.
    pub fn with_https_port(self, port: u16) -> Self {
        Self { https_port: port, ..self }
    }

    /// Goes to no address of this machine or of a network of its own: for URLs that others have written.
    pub fn far_away(self) -> Self {
        Self { may_be_near: false, ..self }
    }

    /// Asks, and waits for the answer, whatever its status is. Whoever stops waiting ends the connection.
    pub async fn ask(&self, request: &Request, limits: Limits) -> Result<Answer, HttpError> {
        let deadline = Instant::now() + limits.time;
        timeout_at(deadline, self.exchange(request, (limits, deadline))).await.map_err(|_| HttpError::TimedOut)?
    }

    async fn exchange(&self, request: &Request, limits: (Limits, Instant)) -> Result<Answer, HttpError> {
        let target = &request.url.target;
        if let Some(mut link) = self.take_kept(target).await {
            match link.send(self.message(request)?).await {
                // RFC 9112 §9.3.1: what fails before any of the answer may be the end of a connection at rest.
                Err(error) if !error.is_parse() => {}
                sent => return self.answer(target, link, sent.map_err(protocol)?, limits).await,
            }
        }
        let message = self.message(request)?;
        let mut link = self.connect(target).await?;
        let response = link.send(message).await.map_err(protocol)?;
        self.answer(target, link, response, limits).await
    }

    fn message(&self, request: &Request) -> Result<hyper::Request<Full<Bytes>>, HttpError> {
        if !request.is_valid {
            return Err(HttpError::Request);
        }
        let mut message = hyper::Request::builder()
            .method(request.method.clone())
            .uri(&request.url.path)
            .header(header::HOST, request.url.target.authority())
            .header(header::USER_AGENT, "posthouse");
        if self.keeps == 0 {
            message = message.header(header::CONNECTION, "close");
        }
        if let Some(fields) = message.headers_mut() {
            fields.extend(request.fields.clone());
        }
        message.body(Full::new(request.body.clone())).map_err(|_| HttpError::Request)
    }

    /// Reads what comes after the head, and keeps the connection if it can be used again.
    async fn answer(
        &self,
        target: &Target,
        mut link: Link,
        response: Response<Incoming>,
        (limits, deadline): (Limits, Instant),
    ) -> Result<Answer, HttpError> {
        let (head, content) = response.into_parts();
        let mut body = Vec::new();
        let reading = driven(&mut link.connection, read(content, limits.octets, &mut body));
        let read = timeout_at(deadline, reading).await;
        match (read.unwrap_or(Err(HttpError::TimedOut)), limits.excess) {
            (Ok(()), _) => self.keep(target, link),
            (Err(error), Excess::Fails) => return Err(error),
            (Err(_), Excess::IsCut) => {}
        }
        Ok(Answer { status: head.status.as_u16(), body, fields: head.headers })
    }

    fn keep(&self, target: &Target, link: Link) {
        if self.keeps == 0 || link.sender.is_closed() {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever is not asked any more is not remembered.
        kept.retain(|_, links| {
            links.retain(|(link, since)| since.elapsed() < IDLE && !link.sender.is_closed());
            !links.is_empty()
        });
        let links = kept.entry(target.clone()).or_default();
        if links.len() < self.keeps {
            links.push((link, Instant::now()));
        }
    }

    /// A connection that is still of use.
    async fn take_kept(&self, target: &Target) -> Option<Link> {
        loop {
            let (mut link, since) =
                self.kept.lock().unwrap_or_else(PoisonError::into_inner).get_mut(target).and_then(Vec::pop)?;
            // The connection has not seen yet that its last answer was read, or that the host has ended it since.
            let ready = driven(&mut link.connection, link.sender.ready());
            if since.elapsed() < IDLE && matches!(timeout(SETTLE, ready).await, Ok(Ok(()))) {
                return Some(link);
            }
        }
    }

    async fn connect(&self, target: &Target) -> Result<Link, HttpError> {
        match target {
            Target::Socket(path) => Link::over(connect_unix(path).await?).await,
            Target::Host { host, port, is_secure: false } => {
                Link::over(self.connect_tcp(host, port.unwrap_or(80)).await?).await
            }
            Target::Host { host, port, is_secure: true } => {
                let name = ServerName::try_from(host.clone()).map_err(|_| HttpError::Request)?;
                let stream = self.connect_tcp(host, port.unwrap_or(self.https_port)).await?;
                // Boxed: the handshake's state is large.
                let stream = Box::pin(TlsConnector::from(self.tls.clone()).connect(name, stream));
                Link::over(stream.await.map_err(|error| tls_error(&error))?).await
            }
        }
    }

    /// To the first address that answers.
    async fn connect_tcp(&self, host: &str, port: u16) -> Result<TcpStream, HttpError> {
        let mut failure = HttpError::NoAddress(host.to_owned());
        for address in self.addresses(host, port).await.into_iter().take(MAX_ADDRESSES) {
            match timeout(CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // A request is written at once; without effect is no reason to fail.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => failure = HttpError::Connect(error.to_string()),
                Err(_) => failure = HttpError::Connect("timed out".to_owned()),
            }
        }
        Err(failure)
    }

    async fn addresses(&self, host: &str, port: u16) -> Vec<SocketAddr> {
        let mut addresses: Vec<SocketAddr> = match (host.parse::<IpAddr>(), &self.names) {
            (Ok(address), _) => vec![SocketAddr::new(address, port)],
            (Err(_), Names::System) => {
                tokio::net::lookup_host((host, port)).await.map(Iterator::collect).unwrap_or_default()
            }
            (Err(_), Names::Dns(dns)) => {
                let (v6, v4) = tokio::join!(dns.ipv6(host), dns.ipv4(host));
                let addresses = v4.unwrap_or_default().into_iter().map(IpAddr::V4);
                let addresses = addresses.chain(v6.unwrap_or_default().into_iter().map(IpAddr::V6));
                addresses.map(|address| SocketAddr::new(address, port)).collect()
            }
        };
        addresses.retain(|address| self.may_be_near || !is_near(address.ip()));
        addresses
    }
}

impl Request {
    /// Asks for what is at a URL.
    pub fn get(url: Url) -> Self {
        Self { method: Method::GET, url, fields: HeaderMap::new(), body: Bytes::new(), is_valid: true }
    }

    /// Sends content to a URL.
    pub fn post(url: Url, media_type: &str, body: Vec<u8>) -> Self {
        let request = Self { method: Method::POST, body: Bytes::from(body), ..Self::get(url) };
        request.with_field("Content-Type", media_type)
    }

    /// With a field more. One that cannot be sent makes [`HttpError::Request`] of the request.
    pub fn with_field(mut self, name: &str, value: &str) -> Self {
        match (header::HeaderName::from_bytes(name.as_bytes()), header::HeaderValue::from_str(value)) {
            (Ok(name), Ok(value)) => drop(self.fields.append(name, value)),
            _ => self.is_valid = false,
        }
        self
    }
}

impl Answer {
    /// The value of a field; of several, the first.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.to_str().ok()
    }

    /// The media type in lower case, without parameters; empty if none is given.
    pub fn media_type(&self) -> String {
        let given = self.field("Content-Type").unwrap_or_default();
        given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("names", &self.names).field("keeps", &self.keeps).finish_non_exhaustive()
    }
}

/// Fields and content are not shown: they may hold what is secret.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("method", &self.method).field("url", &self.url).finish_non_exhaustive()
    }
}

/// A connection to a host; it ends with this.
struct Link {
    sender: http1::SendRequest<Full<Bytes>>,
    connection: Connection,
}

/// What moves the octets of a connection, until it is over. Whoever uses the connection drives it: a task of its own would
/// be woken, and wake, three times for each request.
type Connection = Option<Pin<Box<dyn Future<Output = ()> + Send>>>;

impl Link {
    async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Self, HttpError> {
        let handshake = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await.map_err(protocol)?;
        Ok(Self { sender, connection: Some(Box::pin(async move { drop(connection.await) })) })
    }

    async fn send(&mut self, message: hyper::Request<Full<Bytes>>) -> Result<Response<Incoming>, hyper::Error> {
        driven(&mut self.connection, self.sender.send_request(message)).await
    }
}

/// Does what needs the connection to go on.
async fn driven<T>(connection: &mut Connection, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(done);
        }
        if connection.as_mut().is_some_and(|moving| moving.as_mut().poll(context).is_ready()) {
            *connection = None;
        }
        work.as_mut().poll(context)
    })
    .await
}

async fn connect_unix(path: &Path) -> Result<UnixStream, HttpError> {
    let connected = timeout(CONNECT, UnixStream::connect(path)).await;
    let connected = connected.map_err(|_| HttpError::Connect("timed out".to_owned()))?;
    connected.map_err(|error| HttpError::Connect(error.to_string()))
}

/// Appends content, as far as there is room for it.
async fn read(mut content: Incoming, most: usize, body: &mut Vec<u8>) -> Result<(), HttpError> {
    if content.size_hint().lower() > u64::try_from(most).unwrap_or(u64::MAX) {
        return Err(HttpError::TooLong);
    }
    while let Some(frame) = content.frame().await {
        let Ok(octets) = frame.map_err(protocol)?.into_data() else { continue };
        let room = most.saturating_sub(body.len());
        body.extend_from_slice(octets.get(..room.min(octets.len())).unwrap_or_default());
        if octets.len() > room {
            return Err(HttpError::TooLong);
        }
    }
    Ok(())
}

fn protocol(error: hyper::Error) -> HttpError {
    // The cause says more: "connection reset" rather than "connection error".
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    HttpError::Protocol(format!("{error}{cause}"))
}

/// An address of this machine, or of a network that is not the internet (RFC 6890).
fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            // "This network", and what providers share between their clients (RFC 6598).
            let is_other = first == 0 || first == 100 && second & 0xc0 == 64;
            is_other
                || v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
        }
        IpAddr::V6(v6) => {
            let is_own = v6.is_unique_local() || v6.is_unicast_link_local();
            is_own || v6.is_loopback() || v6.is_unspecified() || v6.is_multicast()
        }
    }
}

fn tls_error(error: &io::Error) -> HttpError {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    cause.map_or_else(|| HttpError::Connect(error.to_string()), |cause| HttpError::Tls(cause.clone()))
}

const CONNECT: Duration = Duration::from_secs(10);
const MAX_ADDRESSES: usize = 4;
/// Octets of an answer's head, at the most.
const MAX_HEAD: usize = 16 << 10;
/// How long a connection is kept without being used.
const IDLE: Duration = Duration::from_secs(30);
/// How long a kept connection may take to be ready.
const SETTLE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
