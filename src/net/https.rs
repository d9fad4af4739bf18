//! A client for HTTPS that asks for little: one request over one connection, to a host whose certificate is verified for
//! the name that was asked for (RFC 9110 §4.3.4). No redirects, no cookies, no cache, no proxies; everything is bounded
//! in time and size.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, Uri, header};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::dns::Dns;

/// Asks hosts over HTTPS.
#[derive(Clone)]
pub struct Https {
    dns: Dns,
    config: Arc<ClientConfig>,
    port: u16,
    /// Hosts may be on this machine or network.
    may_be_near: bool,
}

/// What a host answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The media type in lower case, without parameters; empty if none is given.
    pub media_type: String,
    /// The content.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum HttpsError {
    /// Not `https://` with a host name.
    #[error("not a URL that can be asked")]
    Url,
    /// The host has no address that could be found, or none to which a connection may go.
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

/// What is asked.
struct Question<'a> {
    method: Method,
    host: &'a str,
    port: u16,
    path: &'a str,
    media_type: Option<&'static str>,
    body: Vec<u8>,
}

impl Https {
    /// Finds hosts through `dns` and verifies them as `config` does. `port` is where they listen if nothing else is said.
    /// Unless they `may_be_near`, no connection goes to an address of this machine or of a network of its own: others say
    /// who is asked, and what is here trusts who comes from here.
    pub fn new(dns: Dns, config: Arc<ClientConfig>, port: u16, may_be_near: bool) -> Self {
        Self { dns, config, port, may_be_near }
    }

    /// Reads what lies at `path` on a host, at most `limit` octets, within `time` for all of it.
    pub async fn get(&self, host: &str, path: &str, limit: usize, time: Duration) -> Result<Answer, HttpsError> {
        let question =
            Question { method: Method::GET, host, port: self.port, path, media_type: None, body: Vec::new() };
        timeout(time, self.ask(question, limit)).await.map_err(|_| HttpsError::TimedOut)?
    }

    /// Posts content to a URL, within `time`, and gives the status. What is answered beyond it is not read.
    pub async fn post(
        &self,
        url: &str,
        media_type: &'static str,
        body: Vec<u8>,
        time: Duration,
    ) -> Result<u16, HttpsError> {
        let url: Uri = url.parse().map_err(|_| HttpsError::Url)?;
        let (Some("https"), Some(host)) = (url.scheme_str(), url.host()) else { return Err(HttpsError::Url) };
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let port = url.port_u16().unwrap_or(self.port);
        let question = Question { method: Method::POST, host, port, path, media_type: Some(media_type), body };
        let sent = async {
            let (response, connection) = self.send(question).await?;
            connection.abort();
            Ok(response.status().as_u16())
        };
        timeout(time, sent).await.map_err(|_| HttpsError::TimedOut)?
    }

    async fn ask(&self, question: Question<'_>, limit: usize) -> Result<Answer, HttpsError> {
        let (response, connection) = self.send(question).await?;
        let status = response.status().as_u16();
        let media_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let media_type = media_type.to_ascii_lowercase();
        if response.body().size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
            return Err(HttpsError::TooLong);
        }
        let body = Limited::new(response.into_body(), limit).collect().await;
        connection.abort();
        let body = body.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                HttpsError::TooLong
            } else {
                HttpsError::Protocol(error.to_string())
            }
        })?;
        Ok(Answer { status, media_type, body: body.to_bytes().to_vec() })
    }

    /// Gives the answer's head, and the connection's task, which ends with the returned handle's owner.
    async fn send(&self, question: Question<'_>) -> Result<(Response<Incoming>, Aborting), HttpsError> {
        let name = ServerName::try_from(question.host.to_owned()).map_err(|_| HttpsError::Url)?;
        let stream = self.connect(question.host, question.port).await?;
        let stream = Box::pin(TlsConnector::from(self.config.clone()).connect(name, stream));
        let stream = stream.await.map_err(|error| tls_error(&error))?;
        let protocol = |error: hyper::Error| HttpsError::Protocol(error.to_string());
        let (mut sender, connection) =
            http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await.map_err(protocol)?;
        let connection = Aborting(tokio::spawn(async move { drop(connection.await) }));
        let mut request = Request::builder()
            .method(question.method)
            .uri(question.path)
            .header(header::HOST, question.host)
            .header(header::USER_AGENT, "posthouse")
            .header(header::CONNECTION, "close");
        if let Some(media_type) = question.media_type {
            request = request.header(header::CONTENT_TYPE, media_type);
        }
        let request = request.body(Full::new(Bytes::from(question.body))).map_err(|_| HttpsError::Url)?;
        let response = sender.send_request(request).await.map_err(protocol)?;
        Ok((response, connection))
    }

    /// To the first address that answers.
    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, HttpsError> {
        let (v6, v4) = tokio::join!(self.dns.ipv6(host), self.dns.ipv4(host));
        let addresses = v4.unwrap_or_default().into_iter().map(IpAddr::V4);
        let addresses = addresses.chain(v6.unwrap_or_default().into_iter().map(IpAddr::V6));
        let addresses = addresses.filter(|address| self.may_be_near || !is_near(*address));
        let mut failure = HttpsError::NoAddress(host.to_owned());
        for address in addresses.take(MAX_ADDRESSES) {
            match timeout(CONNECT, TcpStream::connect(SocketAddr::new(address, port))).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failure = HttpsError::Connect(error.to_string()),
                Err(_) => failure = HttpsError::Connect("timed out".to_owned()),
            }
        }
        Err(failure)
    }
}

impl fmt::Debug for Https {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Https").field("port", &self.port).finish_non_exhaustive()
    }
}

/// A task that ends when nobody waits for it any more.
struct Aborting(JoinHandle<()>);

impl Aborting {
    fn abort(&self) {
        self.0.abort();
    }
}

impl Drop for Aborting {
    fn drop(&mut self) {
        self.0.abort();
    }
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

fn tls_error(error: &io::Error) -> HttpsError {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    cause.map_or_else(|| HttpsError::Connect(error.to_string()), |cause| HttpsError::Tls(cause.clone()))
}

const CONNECT: Duration = Duration::from_secs(10);
const MAX_ADDRESSES: usize = 4;
/// Octets of an answer's head, at the most.
const MAX_HEAD: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_is_told_from_the_internet() {
        for (address, want) in [
            ("127.0.0.1", true),
            ("127.255.0.9", true),
            ("0.0.0.0", true),
            ("0.1.2.3", true),
            ("10.0.0.1", true),
            ("172.16.0.1", true),
            ("172.32.0.1", false),
            ("192.168.1.1", true),
            ("169.254.169.254", true),
            ("100.64.0.1", true),
            ("100.128.0.1", false),
            ("224.0.0.1", true),
            ("255.255.255.255", true),
            ("9.9.9.9", false),
            ("::1", true),
            ("::", true),
            ("::ffff:127.0.0.1", true),
            ("::ffff:9.9.9.9", false),
            ("fe80::1", true),
            ("fd00::1", true),
            ("ff02::1", true),
            ("2620:fe::fe", false),
        ] {
            assert_eq!(is_near(address.parse().unwrap()), want, "{address}");
        }
    }
}
