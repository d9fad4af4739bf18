//! One connection: a plain or TLS stream with a bounded input buffer and an output buffer.
//!
//! While it waits for input, a connection holds no read buffer: buffers are made when octets arrive and given back
//! when they are consumed, so that an idle session costs little more than its state. A line ends with CRLF and with
//! nothing else (RFC 5321 §2.3.8, RFC 3501 §2.2). It fails with [`ReadError`], after which only
//! [`ReadError::LineTooLong`] leaves a connection that is of use.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BufMut;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncBufRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsStream;

use super::limits::{Admission, LimitReached};

/// Why no (more) input came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The peer closed, or the stream failed.
    #[error("connection closed")]
    Closed,
    /// Nothing came in time.
    #[error("timed out")]
    TimedOut,
    /// A line longer than allowed. What was read of it has been dropped; the rest of the line, with its CRLF, is what
    /// the next read gives.
    #[error("line too long")]
    LineTooLong,
}

impl From<io::Error> for ReadError {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

/// What a session may know of the TLS below it.
#[derive(Clone, Debug)]
pub struct TlsInfo {
    /// `TLSv1.3`, `TLSv1.2`
    pub version: &'static str,
    /// The cipher suite's IANA name.
    pub cipher: String,
    /// The `tls-exporter` channel binding (RFC 9266), 32 octets, if it can be had.
    pub exporter: Option<[u8; 32]>,
}

/// A connection. Idle, it holds at most 4 KiB of input and no output buffer.
pub struct Connection {
    stream: Stream,
    peer: SocketAddr,
    local: SocketAddr,
    tls: Option<Box<TlsInfo>>,
    /// Counts it; for those that a listener has accepted.
    admission: Option<Admission>,
    input: Vec<u8>,
    /// How much of `input` has been consumed.
    consumed: usize,
    /// The last read took all the room it had, so the next one is given more.
    hungry: bool,
    output: Vec<u8>,
    /// How much of `output` has been sent.
    sent: usize,
}

enum Stream {
    Plain(TcpStream),
    // Of either side. Boxed: a TLS stream is some 1.5 KiB, and sessions hold their connection by value across many awaits.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    /// From an accepted or connected socket.
    pub fn plain(stream: TcpStream) -> io::Result<Self> {
        let peer = canonical(stream.peer_addr()?);
        let local = canonical(stream.local_addr()?);
        stream.set_nodelay(true)?;
        // A phone that vanished during IDLE is noticed by keep-alive alone.
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
        SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        Ok(Self {
            stream: Stream::Plain(stream),
            peer,
            local,
            tls: None,
            admission: None,
            input: Vec::new(),
            consumed: 0,
            hungry: false,
            output: Vec::new(),
            sent: 0,
        })
    }

    /// The same connection with the addresses a PROXY protocol header gave.
    pub(super) fn with_addresses(mut self, peer: SocketAddr, local: SocketAddr) -> Self {
        self.peer = canonical(peer);
        self.local = canonical(local);
        self
    }

    /// The same connection over TLS.
    pub(super) fn with_tls(
        stream: TlsStream<TcpStream>,
        info: TlsInfo,
        (peer, local): (SocketAddr, SocketAddr),
        admission: Option<Admission>,
    ) -> Self {
        Self {
            stream: Stream::Tls(Box::new(stream)),
            peer,
            local,
            tls: Some(Box::new(info)),
            admission,
            input: Vec::new(),
            consumed: 0,
            hungry: false,
            output: Vec::new(),
            sent: 0,
        }
    }

    /// The socket, if nothing is buffered in either direction and there is no TLS yet.
    pub(super) fn into_plain(self) -> Option<TcpStream> {
        match self.stream {
            Stream::Plain(stream) if self.consumed == self.input.len() && self.output.is_empty() => Some(stream),
            Stream::Plain(_) | Stream::Tls(_) => None,
        }
    }

    /// The socket, for the PROXY protocol header before anything else is read.
    pub(super) fn plain_mut(&mut self) -> Option<&mut TcpStream> {
        match &mut self.stream {
            Stream::Plain(stream) if self.input.is_empty() => Some(stream),
            Stream::Plain(_) | Stream::Tls(_) => None,
        }
    }

    /// It counts against the limits for as long as it lives.
    pub(super) fn admit(&mut self, admission: Admission) {
        self.admission = Some(admission);
    }

    /// What counts it, for the same connection over TLS.
    pub(super) fn take_admission(&mut self) -> Option<Admission> {
        self.admission.take()
    }

    /// Counts it for the client for whom the peer speaks, and no longer for the peer; an error if that client has as
    /// many connections as it may.
    pub fn count_for(&mut self, client: IpAddr) -> Result<(), LimitReached> {
        self.admission.as_mut().map_or(Ok(()), |admission| admission.count_for(client))
    }

    /// The peer, as the socket or the PROXY protocol says.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Our end.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The TLS in use.
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.tls.as_deref()
    }

    /// Input that has been read and not consumed.
    pub fn buffered(&self) -> &[u8] {
        self.input.get(self.consumed..).unwrap_or_default()
    }

    /// Drops the first `n` octets of the buffered input.
    pub fn consume(&mut self, n: usize) {
        self.consumed = self.consumed.saturating_add(n).min(self.input.len());
        if self.consumed == self.input.len() {
            self.input.clear();
            self.consumed = 0;
        }
    }

    /// Waits until more input has come than is buffered now; reads at most 64 KiB at once. The caller bounds what it
    /// lets pile up. Cancel-safe: octets are in the buffer or not read.
    pub async fn fill(&mut self, limit: Duration) -> Result<(), ReadError> {
        let read = poll_fn(|cx| self.poll_fill(cx));
        timeout(limit, read).await.map_err(|_| ReadError::TimedOut)?
    }

    /// [`Connection::fill`] with a point in time instead of a duration.
    async fn fill_until(&mut self, deadline: Instant) -> Result<(), ReadError> {
        let read = poll_fn(|cx| self.poll_fill(cx));
        timeout_at(deadline, read).await.map_err(|_| ReadError::TimedOut)?
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ReadError>> {
        self.make_room();
        let before = self.input.len();
        let room = if self.hungry { READ_MAX } else { READ_FIRST };
        let polled = match &mut self.stream {
            Stream::Plain(stream) => {
                self.input.reserve(room);
                let mut input = (&mut self.input).limit(room);
                pin!(stream.read_buf(&mut input)).poll(cx).map_ok(|_| ())
            }
            Stream::Tls(stream) => poll_tls(stream, &mut self.input, cx),
        };
        let Poll::Ready(result) = polled else {
            if self.input.is_empty() {
                self.input = Vec::new();
            }
            return Poll::Pending;
        };
        result?;
        let read = self.input.len().saturating_sub(before);
        self.hungry = read >= room;
        Poll::Ready(if read == 0 { Err(ReadError::Closed) } else { Ok(()) })
    }

    /// Moves what is not consumed to the front, once that costs less than what it frees.
    fn make_room(&mut self) {
        if self.consumed >= self.input.len().saturating_sub(self.consumed) {
            self.input.drain(..self.consumed);
            self.consumed = 0;
        }
        if self.input.is_empty() && self.input.capacity() > BUFFER_KEPT && !self.hungry {
            self.input = Vec::new();
        }
    }

    /// Waits for a line that ends with CRLF (a bare LF does not end it) and appends it, without the CRLF, to `line`.
    /// [`ReadError::LineTooLong`] as soon as more than `max` octets came without CRLF; who wants to go on calls again
    /// until the rest of that line has come as `Ok`. The time limit is for the whole line. Cancel-safe: `line`
    /// changes only when the line is complete.
    pub async fn read_line(&mut self, line: &mut Vec<u8>, max: usize, limit: Duration) -> Result<(), ReadError> {
        let deadline = Instant::now() + limit;
        let mut searched = 0;
        loop {
            match find_line(self.buffered(), searched, max) {
                Search::Line(length) => {
                    line.extend_from_slice(self.buffered().get(..length).unwrap_or_default());
                    self.consume(length.saturating_add(2));
                    return Ok(());
                }
                Search::TooLong(octets) => {
                    self.consume(octets);
                    return Err(ReadError::LineTooLong);
                }
                Search::Incomplete => searched = self.buffered().len().saturating_sub(1),
            }
            self.fill_until(deadline).await?;
        }
    }

    /// Adds to the output buffer; nothing is sent before [`Connection::flush`].
    pub fn write(&mut self, octets: &[u8]) {
        self.output.extend_from_slice(octets);
    }

    /// Adds to the output buffer, without a copy if it is empty.
    pub fn write_owned(&mut self, octets: Vec<u8>) {
        if self.output.is_empty() {
            self.output = octets;
        } else {
            self.write(&octets);
        }
    }

    /// How much output waits. Who writes much flushes when this passes 64 KiB.
    pub fn unsent(&self) -> usize {
        self.output.len().saturating_sub(self.sent)
    }

    /// Sends the output buffer; an error if the peer does not take it within `limit`. Cancel-safe.
    pub async fn flush(&mut self, limit: Duration) -> Result<(), ReadError> {
        if self.output.is_empty() && matches!(self.stream, Stream::Plain(_)) {
            return Ok(());
        }
        self.send(&[], limit).await
    }

    /// Sends the output buffer and then `octets`, which are not copied. Not cancel-safe.
    pub async fn send(&mut self, octets: &[u8], limit: Duration) -> Result<(), ReadError> {
        timeout(limit, self.send_all(octets)).await.map_err(|_| ReadError::TimedOut)?
    }

    async fn send_all(&mut self, mut octets: &[u8]) -> Result<(), ReadError> {
        loop {
            let waiting = self.output.get(self.sent..).unwrap_or_default();
            if waiting.is_empty() && octets.is_empty() {
                break;
            }
            let slices = [IoSlice::new(waiting), IoSlice::new(octets)];
            let n = match &mut self.stream {
                Stream::Plain(stream) => stream.write_vectored(&slices).await?,
                Stream::Tls(stream) => stream.write_vectored(&slices).await?,
            };
            if n == 0 {
                return Err(ReadError::Closed);
            }
            let from_output = n.min(waiting.len());
            self.sent = self.sent.saturating_add(from_output);
            octets = octets.get(n.saturating_sub(from_output)..).unwrap_or_default();
        }
        self.output.clear();
        self.sent = 0;
        if self.output.capacity() > BUFFER_KEPT {
            self.output = Vec::new();
        }
        if let Stream::Tls(stream) = &mut self.stream {
            stream.flush().await?;
        }
        Ok(())
    }

    /// Sends the output, then ends the connection in order (TLS close_notify, FIN), within `limit`. What the peer
    /// still sends is read and dropped for a while, because closing over unread input resets the connection and may
    /// take the last reply with it.
    pub async fn close(mut self, limit: Duration) {
        let deadline = Instant::now() + limit;
        if timeout_at(deadline, self.send_all(&[])).await.is_err() {
            return;
        }
        let ended = match &mut self.stream {
            Stream::Plain(stream) => timeout_at(deadline, stream.shutdown()).await,
            Stream::Tls(stream) => timeout_at(deadline, stream.shutdown()).await,
        };
        if !matches!(ended, Ok(Ok(()))) {
            return;
        }
        let deadline = deadline.min(Instant::now() + DRAIN_TIME);
        let mut drained = 0;
        while drained < DRAIN_MAX {
            let unread = self.buffered().len();
            self.consume(unread);
            if self.fill_until(deadline).await.is_err() {
                return;
            }
            drained += self.buffered().len();
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("peer", &self.peer).field("tls", &self.tls).finish_non_exhaustive()
    }
}

/// Takes what rustls has decrypted, so that no buffer of ours waits for it.
fn poll_tls(stream: &mut TlsStream<TcpStream>, input: &mut Vec<u8>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    let mut stream = Pin::new(stream);
    let octets = ready!(stream.as_mut().poll_fill_buf(cx))?;
    let taken = octets.len().min(READ_MAX);
    input.extend_from_slice(octets.get(..taken).unwrap_or_default());
    stream.consume(taken);
    Poll::Ready(Ok(()))
}

#[derive(Debug, PartialEq, Eq)]
enum Search {
    /// A line of this many octets before its CRLF.
    Line(usize),
    /// So many octets belong to an overlong line and can be dropped; its CRLF is not among them.
    TooLong(usize),
    Incomplete,
}

/// Looks for the first CRLF in `input`, of which the first `searched` octets hold none.
fn find_line(input: &[u8], searched: usize, max: usize) -> Search {
    let fresh = input.get(searched..).unwrap_or_default();
    match memchr::memmem::find(fresh, b"\r\n").map(|at| at.saturating_add(searched)) {
        Some(length) if length <= max => Search::Line(length),
        Some(length) => Search::TooLong(length),
        None => {
            // A CR at the end may be half of the CRLF and does not count yet.
            let length = input.strip_suffix(b"\r").unwrap_or(input).len();
            if length > max { Search::TooLong(length) } else { Search::Incomplete }
        }
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

const READ_FIRST: usize = 4 << 10;
const READ_MAX: usize = 64 << 10;
const BUFFER_KEPT: usize = 4 << 10;
const DRAIN_MAX: usize = 256 << 10;
const DRAIN_TIME: Duration = Duration::from_secs(2);
const KEEPALIVE_IDLE: Duration = Duration::from_secs(300);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
