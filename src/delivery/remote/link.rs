//! Commands out, replies in, each with an end.

use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::time::Instant;

use super::security::Terms;
use crate::net::{Connection, ReadError, TlsInfo, tls};
use crate::proto::smtp::client::{RemoteReply, ReplyError, ReplyReader};

/// The connection with a host.
#[derive(Debug)]
pub(super) struct Link {
    connection: Connection,
    reader: ReplyReader,
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    #[error("the connection was lost")]
    Closed,
    #[error("no answer in time")]
    TimedOut,
    #[error("{0}")]
    NoReply(#[from] ReplyError),
}

impl From<ReadError> for Broken {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TimedOut => Self::TimedOut,
            ReadError::Closed | ReadError::LineTooLong => Self::Closed,
        }
    }
}

impl Link {
    pub fn new(connection: Connection) -> Self {
        Self { connection, reader: ReplyReader::default() }
    }

    pub fn tls(&self) -> Option<&TlsInfo> {
        self.connection.tls()
    }

    /// This machine is at both ends.
    pub fn is_to_ourselves(&self) -> bool {
        self.connection.peer().ip() == self.connection.local().ip()
    }

    /// Adds a command to what goes out with the next flush.
    pub fn say(&mut self, line: &str) {
        self.connection.write(line.as_bytes());
    }

    /// Sends what was said.
    pub async fn flush(&mut self, until: Instant) -> Result<(), Broken> {
        Ok(self.connection.flush(left(until)).await?)
    }

    /// Sends what was said, and these octets.
    pub async fn send(&mut self, octets: &[u8], until: Instant) -> Result<(), Broken> {
        Ok(self.connection.send(octets, left(until)).await?)
    }

    /// Waits for the next reply. The time is for the whole of it: a host that gives one octet after the other gains
    /// nothing.
    pub async fn reply(&mut self, until: Instant) -> Result<RemoteReply, Broken> {
        loop {
            let (taken, reply) = self.reader.push(self.connection.buffered());
            self.connection.consume(taken);
            if let Some(reply) = reply? {
                return Ok(reply);
            }
            self.connection.fill(left(until)).await?;
        }
    }

    /// Says one command and waits for its reply.
    pub async fn ask(&mut self, line: &str, until: Instant) -> Result<RemoteReply, Broken> {
        self.say(line);
        self.flush(until).await?;
        self.reply(until).await
    }

    /// Input waits that nothing asked for.
    pub fn has_input(&self) -> bool {
        !self.connection.buffered().is_empty() || !self.reader.is_empty()
    }

    /// The same connection over TLS.
    pub async fn secure(self, terms: &Terms, until: Instant) -> Result<Self, rustls::Error> {
        let name: ServerName<'static> = terms.name.clone();
        tls::connect(self.connection, terms.config.clone(), name, left(until)).await.map(Self::new)
    }

    /// Ends it in order.
    pub async fn close(self, limit: Duration) {
        self.connection.close(limit).await;
    }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}
