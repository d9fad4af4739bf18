//! The loop of a session: a line, a command, a handler, a reply.
//!
//! Replies are collected and sent in one write when no complete command is left in the input (RFC 2920 §3.2). A
//! session ends with an [`End`], for which [`refusal::end`] has the last words.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::listed::Listed;
use super::state::{Chunks, Greeted, OrderError, State, Transaction, out_of_order};
use super::{Port, Role, answer, asking, auth, chunks, data, gateway, greeting, refusal, transaction};
use crate::directory::Directory;
use crate::hooks;
use crate::mail::{AccountId, ForwardPath, ReversePath};
use crate::net::{Connection, ReadError};
use crate::policy::gateway::Handover;
use crate::proto::smtp::{Command, CommandError, Reply, Syntax, XClient};
use crate::server::rates::Counted;
use crate::server::{Over, Services, SessionOwner, Shutdown};

/// One session over one stream; STARTTLS makes another.
#[derive(Debug)]
pub(super) struct Session {
    pub connection: Connection,
    pub port: Port,
    pub services: Arc<Services>,
    /// For whom a gateway speaks, as XCLIENT has said.
    pub handed_over: Option<XClient>,
    /// Whose session it is, once it is somebody's.
    pub owner: Option<SessionOwner>,
    /// For whom the connection counts, until there is a login.
    pub connected: Counted,
    /// What block lists say of the client, once they have been asked.
    pub listed: Listed,
    shutdown: Shutdown,
    state: State,
    /// What the client has said of itself, while a command is carried out.
    greeted: Option<Greeted>,
    errors: u32,
    failed_logins: u32,
    encoded: Vec<u8>,
    /// Refusals that went into the trace.
    traced: AtomicU32,
    /// Programs that take part.
    pub hooks: hooks::Line,
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// QUIT.
    Quit,
    /// The peer closed or does not take its replies.
    Gone,
    /// Another begins, over TLS.
    StartTls,
    /// Nothing came in time.
    TimedOut,
    /// The server stops.
    Stopping,
    /// Too many commands that are none.
    TooManyErrors,
    /// Too many wrong passwords.
    TooManyFailedLogins,
    /// Octets behind STARTTLS: somebody has put them there (RFC 3207 §4.2).
    InputBeforeTls,
    /// A line that does not end.
    LineFlood,
    /// A message much larger than the limit.
    TooBig,
    /// The client for whom a gateway speaks has as many connections as it may.
    TooManyConnections,
    /// The account whose session it is may have none any more.
    Account(Over),
}

impl From<ReadError> for End {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Closed => End::Gone,
            ReadError::TimedOut => End::TimedOut,
            ReadError::LineTooLong => End::LineFlood,
        }
    }
}

/// How long a line may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A command; AUTH with its initial response may be longer than others.
    Command,
    /// An answer to an AUTH challenge.
    Answer,
}

impl Line {
    fn max(self, buffered: &[u8]) -> usize {
        let is_auth = buffered.get(..5).is_some_and(|verb| verb.eq_ignore_ascii_case(b"AUTH "));
        if self == Line::Answer || is_auth { MAX_AUTH_LINE } else { MAX_COMMAND_LINE }
    }
}

impl Session {
    /// At its start, with nothing said.
    pub fn new(connection: Connection, port: Port, services: Arc<Services>, shutdown: Shutdown) -> Self {
        let state = State::Connected;
        let hooks = hooks::Line::new(&services.hooks, asking::listens(port.role));
        Self {
            connection,
            port,
            services,
            handed_over: None,
            owner: None,
            connected: Counted::Nobody,
            listed: Listed::default(),
            shutdown,
            state,
            greeted: None,
            errors: 0,
            failed_logins: 0,
            encoded: Vec::new(),
            traced: AtomicU32::new(0),
            hooks,
        }
    }

    /// Says this and ends, before there was a session.
    pub async fn turned_away(mut self, reply: &Reply) {
        tracing::info!(peer = %self.connection.peer(), code = reply.code(), reason = reply.text(), "connection refused");
        self.reply(reply);
        self.hooks.close().await;
        self.connection.close(CLOSE_TIME).await;
    }

    /// Counts the connection; `None` if its client has opened too many lately, and has been told so.
    pub async fn admitted(mut self) -> Option<Self> {
        let counted = self.counted(&self.services.directory.current(), None);
        if self.services.rates.connect(counted, self.services.clock.now()) {
            self.connected = counted;
            return Some(self);
        }
        tracing::info!(peer = %self.connection.peer(), "connection refused: too many within a minute");
        let reply = refusal::connection(self.services.hostname.as_str());
        self.reply(&reply);
        self.connection.close(CLOSE_TIME).await;
        None
    }

    /// For whom what is sent counts (policy semantics §18): for the account, or for the client without a login, unless it
    /// is listed as trusted relay or gateway.
    pub fn counted(&self, directory: &Directory, login: Option<AccountId>) -> Counted {
        let (rates, peer) = (&self.services.rates, self.connection.peer().ip());
        match login {
            Some(account) => directory.account(account).map_or(Counted::Nobody, |account| rates.account(account)),
            None if directory.relay(peer).is_some() => Counted::Nobody,
            None => rates.client(peer),
        }
    }

    /// The greeting; not repeated after STARTTLS.
    pub fn greet(&mut self) {
        let reply = answer::greeting(self.services.hostname.as_str());
        self.reply(&reply);
    }

    /// Runs to the end; gives the session that follows after STARTTLS.
    pub async fn run(mut self) -> Option<Self> {
        let end = match self.commands().await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        if end == End::StartTls {
            return self.over_tls().await;
        }
        if let Some(reply) = refusal::end(end, self.services.hostname.as_str()) {
            self.reply(&reply);
        }
        tracing::debug!(peer = %self.connection.peer(), ?end, "SMTP session ended");
        self.hooks.close().await;
        if end != End::Gone {
            self.connection.close(CLOSE_TIME).await;
        }
        None
    }

    async fn commands(&mut self) -> Result<std::convert::Infallible, End> {
        loop {
            if self.shutdown.is_stopping() {
                return Err(End::Stopping);
            }
            let reply = match self.line(Line::Command).await? {
                None => self.error(refusal::order(OrderError::LineTooLong)),
                Some(length) => match self.command(length) {
                    Ok(command) => self.execute(command).await?,
                    Err(error) => self.error(refusal::command(error)),
                },
            };
            self.reply(&reply);
            if self.errors > MAX_ERRORS {
                return Err(End::TooManyErrors);
            }
            if self.connection.unsent() > MAX_UNSENT {
                self.flush().await?;
            }
        }
    }

    /// Parses the buffered line of this length and takes it out of the buffer.
    fn command(&mut self, length: usize) -> Result<Command, CommandError> {
        let syntax = match self.port.role {
            Role::Relay => Syntax::Strict,
            Role::Submission => Syntax::Lenient,
        };
        let command = Command::parse(self.connection.buffered().get(..length).unwrap_or_default(), syntax);
        self.connection.consume(length.saturating_add(2));
        command
    }

    /// The table of command and state (RFC 5321 §4.1.4): what has no arm here is out of order.
    async fn execute(&mut self, command: Command) -> Result<Reply, End> {
        let state = std::mem::replace(&mut self.state, State::Connected);
        let had_transaction = state.has_transaction();
        self.greeted = state.greeted().cloned();
        let (state, reply) = match (command, state) {
            (Command::Ehlo(client), state) => greeting::ehlo(self, state, &client).await,
            (Command::Helo(client), state) => greeting::helo(self, state, &client).await,
            (Command::Rset, state) => (state.reset(), answer::ok()),
            (Command::Noop, state) => (state, answer::ok()),
            (Command::Help, state) => (state, answer::help()),
            (Command::Vrfy, state) => (state, answer::vrfy()),
            (Command::Expn, state) => (state, refusal::order(OrderError::Expansion)),
            (Command::Quit, _) => {
                self.reply(&answer::bye());
                return Err(End::Quit);
            }
            (Command::StartTls, State::Greeted(greeted)) => self.start_tls(greeted)?,
            (Command::Auth { mechanism, initial }, State::Greeted(greeted)) => {
                auth::auth(self, greeted, &mechanism, initial.as_deref()).await?
            }
            (Command::XClient(argument), state) => gateway::xclient(self, state, &argument).await?,
            (Command::Mail(mail), State::Greeted(greeted)) => transaction::mail(self, greeted, mail).await,
            (Command::Rcpt(rcpt), State::InTransaction(transaction)) => {
                transaction::rcpt(self, transaction, rcpt).await
            }
            (Command::Data, State::InTransaction(transaction)) => data::data(self, transaction).await?,
            (Command::Bdat { size, last }, State::InTransaction(transaction)) => {
                let chunks = Chunks::new(&self.services);
                chunks::bdat(self, transaction, chunks, size, last).await?
            }
            (Command::Bdat { size, last }, State::InChunks(transaction, chunks)) => {
                chunks::bdat(self, transaction, chunks, size, last).await?
            }
            (command, state) => {
                if let Command::Bdat { size, .. } = command {
                    // The chunk follows whatever the reply is (RFC 3030 §2).
                    chunks::discard(self, size).await?;
                }
                let reply = refusal::order(out_of_order(&command, &state));
                (state, self.error(reply))
            }
        };
        if had_transaction && !state.has_transaction() {
            self.hooks.reset().await;
        }
        self.state = state;
        Ok(reply)
    }

    /// STARTTLS (RFC 3207).
    fn start_tls(&mut self, greeted: Greeted) -> Result<(State, Reply), End> {
        let tls = self.connection.tls();
        if tls.is_some() {
            return Ok((State::Greeted(greeted), refusal::order(OrderError::TlsActive)));
        }
        if !answer::offers_starttls(&self.services, self.port, tls) {
            return Ok((State::Greeted(greeted), refusal::order(OrderError::TlsNotOffered)));
        }
        // RFC 3207 §4.2: plain octets must not be taken for what came through TLS.
        if !self.connection.buffered().is_empty() {
            return Err(End::InputBeforeTls);
        }
        self.reply(&answer::start_tls());
        Err(End::StartTls)
    }

    async fn over_tls(mut self) -> Option<Self> {
        self.flush().await.ok()?;
        let tls = self.services.tls.clone()?;
        let connection = tls.accept(self.connection, HANDSHAKE_TIME).await.ok()?;
        let (connected, hooks) = (self.connected, self.hooks);
        Some(Self { connected, hooks, ..Self::new(connection, self.port, self.services, self.shutdown) })
    }

    /// Waits for a line and gives its length without CRLF; it stays in the buffer. `None` for one that was longer
    /// than it may be, and has been skipped.
    pub async fn line(&mut self, line: Line) -> Result<Option<usize>, End> {
        let mut deadline = None;
        let mut searched = 0;
        loop {
            let buffered = self.connection.buffered();
            let max = line.max(buffered);
            match find_crlf(buffered, searched) {
                Some(length) if length <= max => return Ok(Some(length)),
                None if buffered.len() <= max.saturating_add(1) => {}
                _ => {
                    self.skip_line().await?;
                    return Ok(None);
                }
            }
            searched = buffered.len().saturating_sub(1);
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + self.services.limits.smtp_command);
            self.fill(deadline).await?;
        }
    }

    /// Drops input up to the next CRLF, so that the session is in step again.
    async fn skip_line(&mut self) -> Result<(), End> {
        let deadline = Instant::now() + self.services.limits.smtp_command;
        let mut skipped = 0_usize;
        loop {
            let buffered = self.connection.buffered();
            if let Some(length) = find_crlf(buffered, 0) {
                self.connection.consume(length.saturating_add(2));
                return Ok(());
            }
            // A CR at the end may be the first half of the line's end.
            let length = buffered.len().saturating_sub(usize::from(buffered.ends_with(b"\r")));
            skipped = skipped.saturating_add(length);
            self.connection.consume(length);
            if skipped > MAX_SKIPPED {
                return Err(End::LineFlood);
            }
            self.fill(deadline).await?;
        }
    }

    /// Sends what waits and reads more, between commands: a stop of the server ends the wait.
    async fn fill(&mut self, deadline: Instant) -> Result<(), End> {
        self.flush().await?;
        let remaining = deadline.saturating_duration_since(Instant::now());
        tokio::select! {
            biased;
            () = self.shutdown.stopped() => Err(End::Stopping),
            over = until_over(&self.services, self.owner) => Err(End::Account(over)),
            filled = self.connection.fill(remaining) => filled.map_err(End::from),
        }
    }

    /// Sends what waits and reads more of a message, if nothing is buffered.
    pub async fn fill_content(&mut self, deadline: Instant) -> Result<(), End> {
        if self.connection.buffered().is_empty() {
            self.flush().await?;
            let remaining = deadline.saturating_duration_since(Instant::now());
            tokio::select! {
                biased;
                over = until_over(&self.services, self.owner) => return Err(End::Account(over)),
                filled = self.connection.fill(remaining.min(self.services.limits.smtp_data)) => filled?,
            }
        }
        Ok(())
    }

    /// When a message that starts now must have come at the latest, however steadily it trickles.
    pub fn content_deadline() -> Instant {
        Instant::now() + CONTENT_TIME
    }

    /// What a gateway has said of its client.
    pub fn handover(&self) -> Handover {
        self.handed_over.as_ref().map_or(Handover::None, |client| Handover::By(client.address))
    }

    /// The client as traces name it: whom a gateway has handed over, or the peer.
    pub fn client(&self) -> IpAddr {
        let handed_over = self.handed_over.as_ref().and_then(|client| client.address);
        handed_over.unwrap_or_else(|| self.connection.peer().ip())
    }

    /// Adds a reply to the output.
    pub fn reply(&mut self, reply: &Reply) {
        self.encoded.clear();
        reply.encode(&mut self.encoded);
        self.connection.write(&self.encoded);
    }

    async fn flush(&mut self) -> Result<(), End> {
        // Who does not take replies gets no further one.
        self.connection.flush(self.services.limits.write).await.map_err(|_| End::Gone)
    }

    /// Counts the refusal of something that was no proper command.
    pub fn error(&mut self, reply: Reply) -> Reply {
        self.errors = self.errors.saturating_add(1);
        tracing::debug!(peer = %self.connection.peer(), code = reply.code(), text = reply.text(), "SMTP error");
        reply
    }

    /// Counts a failed login: each waits longer than the one before, and the last ends the session.
    pub async fn failed_login(&mut self) -> Result<(), End> {
        self.failed_logins = self.failed_logins.saturating_add(1);
        if self.failed_logins >= MAX_FAILED_LOGINS {
            return Err(End::TooManyFailedLogins);
        }
        tokio::time::sleep(FAILED_LOGIN_DELAY * self.failed_logins).await;
        Ok(())
    }

    /// The refusal of a message as a whole: the same, for all its recipients.
    pub fn log_refused_message(&self, reply: &Reply, transaction: &Transaction) {
        let recipients = transaction.recipients.iter().map(|recipient| given(&recipient.forward_path)).collect();
        self.log_refusals("DATA", reply, &transaction.sender.reverse_path, recipients);
    }

    /// One line in the log for each refusal of mail.
    pub fn log_refusal(&self, at: &str, reply: &Reply, reverse_path: &ReversePath, recipient: Option<&ForwardPath>) {
        self.log_refusals(at, reply, reverse_path, recipient.map(given).into_iter().collect());
    }

    fn log_refusals(&self, at: &str, reply: &Reply, reverse_path: &ReversePath, recipients: Vec<String>) {
        tracing::info!(
            peer = %self.connection.peer(),
            at,
            %reverse_path,
            recipient = recipients.first(),
            recipients = recipients.len(),
            code = reply.code(),
            status = reply.enhanced().map(tracing::field::display),
            reason = reply.text(),
            "message refused"
        );
        self.services.metrics.refused(at, reply.code());
        // A dictionary of names must not fill the disk: the log has them all, the trace the first of a session.
        if self.traced.fetch_add(1, Ordering::Relaxed) >= MAX_TRACED {
            return;
        }
        let origin = serde_json::json!({
            "time": self.services.clock.now().millis(),
            "client": self.client().to_string(),
            "helo": self.greeted.as_ref().map(|g| g.client.to_string()),
            "login": self.greeted.as_ref().and_then(|g| Some(g.login.as_ref()?.account.address.clone())),
            "reverse_path": reverse_path.to_string(),
            "at": at,
            "blocklists": &*self.listed.of(self.client()),
        });
        let status = reply.enhanced().map(|status| status.to_string()).unwrap_or_default();
        let text = format!("{} {status} {}", reply.code(), reply.text());
        let trace = crate::accept::record::refused(origin, reverse_path, recipients, &text, self.hooks.notes());
        let store = self.services.store.clone();
        // Nobody waits for it: a refusal that is not on disk yet when the power goes is told again by the client.
        tokio::spawn(async move {
            if let Err(error) = store.note_refusal(trace).await {
                tracing::debug!(%error, "refusal not recorded");
            }
        });
    }
}

/// A recipient as given.
pub(super) fn given(path: &ForwardPath) -> String {
    match path {
        ForwardPath::Postmaster => "postmaster".to_owned(),
        ForwardPath::Address(address) => address.to_string(),
    }
}

/// Comes back when the account of a session may have none any more.
async fn until_over(services: &Services, owner: Option<SessionOwner>) -> Over {
    match owner {
        Some(owner) => services.directory.until_over(owner).await,
        None => std::future::pending().await,
    }
}

/// The length of the first line, found at `from` or behind. Only CRLF ends a line (RFC 5321 §2.3.8).
fn find_crlf(buffered: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let cr = at.checked_add(memchr::memchr(b'\r', buffered.get(at..)?)?)?;
        match buffered.get(cr.checked_add(1)?) {
            Some(b'\n') => return Some(cr),
            _ => at = cr.checked_add(1)?,
        }
    }
}

/// RFC 5321 §4.5.3.1.4 asks for 512 octets, and the extensions of MAIL and RCPT for some 1,300 more.
const MAX_COMMAND_LINE: usize = 2048;
/// RFC 4954 §4.
const MAX_AUTH_LINE: usize = 12_288;
/// How much of a line without end is read before the session ends.
const MAX_SKIPPED: usize = 64 << 10;
/// How much output may wait while commands keep coming.
const MAX_UNSENT: usize = 64 << 10;
const MAX_ERRORS: u32 = 20;
const MAX_FAILED_LOGINS: u32 = 5;
/// Refusals of one session that are traced.
const MAX_TRACED: u32 = 100;
const FAILED_LOGIN_DELAY: Duration = Duration::from_millis(500);
const HANDSHAKE_TIME: Duration = Duration::from_secs(60);
const CLOSE_TIME: Duration = Duration::from_secs(10);
/// 64 MiB over a line of 20 KiB/s.
const CONTENT_TIME: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_crlf_ends_a_line() {
        for (buffered, want) in [
            (&b""[..], None),
            (b"a", None),
            (b"a\n", None),
            (b"a\r", None),
            (b"a\r\n", Some(1)),
            (b"a\rb\r\r\nc\r\n", Some(4)),
            (b"\r\n", Some(0)),
        ] {
            assert_eq!(find_crlf(buffered, 0), want, "{}", buffered.escape_ascii());
        }
    }
}
