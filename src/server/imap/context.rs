//! What every handler works with: the connection, the services, what the listener allows.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::{Over, Services, SessionOwner, Shutdown};
use super::Port;
use super::status::{Failure, Reason};
use crate::directory::Account;
use crate::mail::AccountId;
use crate::net::{Connection, ReadError};
use crate::proto::imap::{Frame, Framer, response};

/// Connection and services of one session.
pub struct Context {
    /// The client.
    pub connection: Connection,
    /// The rest of the server.
    pub services: Arc<Services>,
    /// What the listener allows.
    pub port: Port,
    /// Says when the server stops.
    pub shutdown: Shutdown,
    /// Finds commands in the input.
    pub framer: Framer,
    /// When the client must have logged in; `None` once it has.
    pub log_in_by: Option<Instant>,
    /// Whose session it is, once it is somebody's.
    pub owner: Option<SessionOwner>,
}

/// Who has logged in.
#[derive(Clone, Debug)]
pub struct User {
    /// The account as it was at login.
    pub account: Arc<Account>,
}

impl User {
    /// The account's id.
    pub fn id(&self) -> AccountId {
        self.account.id
    }
}

impl Context {
    /// Lets `write` add to the output.
    pub fn say(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut out = Vec::new();
        write(&mut out);
        self.connection.write(&out);
    }

    /// Sends what waits.
    pub async fn flush(&mut self) -> Result<(), Failure> {
        // A peer that does not read is gone: there is nothing to tell it.
        self.connection.flush(self.services.limits.write).await.map_err(|_| Failure::Lost)
    }

    /// Sends what waits if it is much.
    pub async fn relieve(&mut self) -> Result<(), Failure> {
        if self.connection.unsent() > FLUSH_ABOVE { self.flush().await } else { Ok(()) }
    }

    /// The next frame of a command; waits for its beginning no longer than `timeout`, nor than the server runs.
    pub async fn frame(&mut self, timeout: Duration) -> Result<Frame, Failure> {
        loop {
            let (taken, frame) = self.framer.command(self.connection.buffered());
            self.connection.consume(taken);
            match frame {
                Frame::More => self.fill(timeout).await?,
                Frame::Continue => {
                    self.say(|out| response::continuation(out, "OK"));
                    self.flush().await?;
                }
                frame => return Ok(frame),
            }
        }
    }

    /// The next line that is no command. One that is too long ends the session.
    pub async fn line(&mut self, timeout: Duration) -> Result<Vec<u8>, Failure> {
        loop {
            let (taken, frame) = self.framer.line(self.connection.buffered());
            self.connection.consume(taken);
            match frame {
                Frame::More => self.fill(timeout).await?,
                Frame::Line(line) => return Ok(line),
                Frame::Refused(refused) => return Err(Failure::Bye(Reason::Syntax(refused.error))),
                _ => return Err(Failure::Lost),
            }
        }
    }

    /// Sends the output and waits for further input.
    pub async fn fill(&mut self, timeout: Duration) -> Result<(), Failure> {
        self.flush().await?;
        let timeout = if self.framer.is_idle() { timeout } else { timeout.min(BETWEEN_OCTETS) };
        let left = self.log_in_by.map(|by| by.saturating_duration_since(Instant::now()));
        let filled = tokio::select! {
            biased;
            () = self.shutdown.stopped(), if self.framer.is_idle() => return Err(Failure::Bye(Reason::Stopping)),
            reason = until_over(&self.services, self.owner) => return Err(Failure::Bye(reason)),
            filled = self.connection.fill(left.unwrap_or(timeout).min(timeout)) => filled,
        };
        match filled {
            Err(ReadError::TimedOut) if left.is_some() => Err(Failure::Bye(Reason::LoginTimeout)),
            filled => Ok(filled?),
        }
    }
}

/// Comes back when the account of a session may have none any more, and says why.
pub async fn until_over(services: &Services, owner: Option<SessionOwner>) -> Reason {
    let Some(owner) = owner else { return std::future::pending().await };
    match services.directory.until_over(owner).await {
        Over::Disabled => Reason::AccountDisabled,
        Over::Suspended => Reason::SendingStopped,
    }
}

/// Output above this goes out at once.
const FLUSH_ABOVE: usize = 64 << 10;

/// How long a client may pause within a command.
const BETWEEN_OCTETS: Duration = Duration::from_secs(300);
