//! The connection with a filter: commands out, replies in, each with an end.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};

use super::{Address, Settings};
use crate::hooks::Failure;
use crate::proto::milter::{Command, Packet, PacketError, PacketReader, Reply};

/// The connection. Dropped, it closes.
pub(super) struct Link {
    stream: Box<dyn Stream>,
    reader: PacketReader,
    /// What has come and is not consumed.
    input: Vec<u8>,
    output: Vec<u8>,
    /// How long a reply may take.
    timeout: Duration,
}

trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

impl Link {
    pub async fn open(settings: &Settings) -> Result<Self, Failure> {
        let until = Instant::now() + settings.connect_timeout;
        let stream = timeout_at(until, connect(&settings.address)).await.map_err(|_| Failure::Timeout)?;
        let stream = stream.map_err(unreachable)?;
        let (reader, timeout) = (PacketReader::default(), settings.timeout);
        Ok(Self { stream, reader, input: Vec::new(), output: Vec::new(), timeout })
    }

    /// When a reply that is waited for from now on is late.
    pub fn until(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// Adds a command to what goes out next.
    pub fn say(&mut self, command: &Command) {
        command.encode(&mut self.output);
    }

    /// Sends what was said.
    pub async fn flush(&mut self, until: Instant) -> Result<(), Failure> {
        let output = std::mem::take(&mut self.output);
        let written = timeout_at(until.min(self.until()), self.stream.write_all(&output));
        written.await.map_err(|_| Failure::Timeout)?.map_err(unreachable)
    }

    /// Waits for the next packet, and says how many octets it was. The time is for the whole of it: a filter that gives
    /// one octet after the other gains nothing.
    pub async fn reply(&mut self, until: Instant) -> Result<(Reply, usize), Failure> {
        let until = until.min(self.until());
        loop {
            if let Some(packet) = self.next_packet()? {
                let length = packet.payload.len().saturating_add(5);
                return Ok((Reply::parse(&packet).map_err(against_protocol)?, length));
            }
            self.input.reserve(READ);
            let read = timeout_at(until, self.stream.read_buf(&mut self.input)).await;
            if read.map_err(|_| Failure::Timeout)?.map_err(unreachable)? == 0 {
                return Err(Failure::Unreachable("the connection was lost".to_owned()));
            }
        }
    }

    /// Something came that nothing asked for.
    pub fn has_input(&self) -> bool {
        !self.input.is_empty() || !self.reader.is_empty()
    }

    /// Says goodbye.
    pub async fn close(mut self) {
        self.say(&Command::Quit);
        let until = Instant::now() + FAREWELL;
        // It is over, whatever comes of it.
        if self.flush(until).await.is_ok() {
            let _ = timeout_at(until, self.stream.shutdown()).await;
        }
    }

    fn next_packet(&mut self) -> Result<Option<Packet>, Failure> {
        let (taken, packet) = self.reader.push(&self.input);
        self.input.drain(..taken);
        if self.input.is_empty() {
            self.input = Vec::new();
        }
        packet.map_err(against_protocol)
    }
}

async fn connect(address: &Address) -> io::Result<Box<dyn Stream>> {
    Ok(match address {
        Address::Tcp(host, port) => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
        Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
    })
}

fn unreachable(error: io::Error) -> Failure {
    Failure::Unreachable(error.to_string())
}

fn against_protocol(error: PacketError) -> Failure {
    Failure::Protocol(error.to_string())
}

/// Octets that are read at once.
const READ: usize = 4 << 10;
/// A filter that reads nothing more is not waited for.
const FAREWELL: Duration = Duration::from_secs(1);
