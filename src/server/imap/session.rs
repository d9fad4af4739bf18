//! The session: its state, and the loop that reads a command, runs its handler, reports and answers
//! (RFC 3501 §3, §5.5, §7).
//!
//! Commands are answered one after the other in the order they came, however many come at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::{Services, SessionOwner, Shutdown};
use super::context::{Context, User};
use super::selected::Selected;
use super::status::{self, Done, Failure, Outcome, Reason};
use super::view::Expunges;
use super::{Port, append, authenticate, capability, copy, fetch, flags, folders, idle, list, search, select};
use crate::net::Connection;
use crate::proto::imap::response::{self, Code, Condition};
use crate::proto::imap::{self, Command, Frame, Framer, Limits, Literal, Numbering, Recovery, Tag, Tagged};

/// A session in progress.
pub struct Session {
    context: Context,
    state: State,
    /// BAD answers without another answer between them.
    errors: u32,
    failed_logins: u32,
}

/// What is true by now (RFC 3501 §3). Logout has no data: the loop ends.
enum State {
    NotAuthenticated,
    Authenticated(User),
    Selected(User, Box<Selected>),
}

/// How a session ended.
pub enum End {
    /// The connection is of no use.
    Lost,
    /// BYE is written.
    Closed(Connection),
    /// STARTTLS was answered: the handshake is next.
    StartTls(Connection),
}

/// What comes after a command.
enum Turn {
    Next,
    Close,
    StartTls,
}

impl Session {
    /// A session that nobody has logged in to.
    pub fn new(connection: Connection, port: Port, services: Arc<Services>, shutdown: Shutdown) -> Self {
        let log_in_by = Some(Instant::now() + services.limits.imap_login);
        let framer = Framer::new(Limits::NOT_AUTHENTICATED);
        let context = Context { connection, services, port, shutdown, framer, log_in_by, owner: None };
        Self { context, state: State::NotAuthenticated, errors: 0, failed_logins: 0 }
    }

    /// The greeting (RFC 3501 §7.1.1).
    pub fn greet(&mut self) {
        let list = capability::list(&self.context, false);
        let text = format!("{} Posthouse ready", self.context.services.hostname);
        self.context.say(|out| response::status(out, None, Condition::Ok, Some(&Code::Capability(&list)), &text));
    }

    /// Runs commands until the session ends.
    pub async fn run(mut self) -> End {
        loop {
            match self.turn().await {
                Ok(Turn::Next) | Err(Failure::Refused(_)) => {}
                Ok(Turn::Close) => return End::Closed(self.context.connection),
                Ok(Turn::StartTls) => return End::StartTls(self.context.connection),
                Err(Failure::Lost) => return End::Lost,
                Err(Failure::Bye(reason)) => {
                    tracing::debug!(peer = %self.context.connection.peer(), ?reason, "IMAP session ends");
                    self.context.say(|out| status::bye(out, reason));
                    return End::Closed(self.context.connection);
                }
            }
        }
    }

    /// One command.
    async fn turn(&mut self) -> Result<Turn, Failure> {
        if self.context.shutdown.is_stopping() {
            return Err(Failure::Bye(Reason::Stopping));
        }
        self.context.relieve().await?;
        match self.context.frame(self.context.services.limits.imap_idle).await? {
            Frame::Command(octets) => match Tagged::parse(&octets) {
                Ok(tagged) => {
                    drop(octets);
                    Box::pin(self.execute(tagged)).await
                }
                Err(rejected) => self.refuse(rejected.tag.as_ref(), Reason::Syntax(rejected.error)),
            },
            Frame::Append { octets, literal } => Box::pin(self.append(&octets, literal)).await,
            Frame::Refused(refused) => {
                let turn = self.refuse(refused.tag.as_ref(), Reason::Syntax(refused.error))?;
                match refused.recovery {
                    Recovery::Next => Ok(turn),
                    Recovery::Close => Err(Failure::Bye(Reason::Syntax(refused.error))),
                }
            }
            Frame::More | Frame::Continue | Frame::Line(_) | Frame::AppendEnd => Err(Failure::Lost),
        }
    }

    async fn execute(&mut self, tagged: Tagged) -> Result<Turn, Failure> {
        let Tagged { tag, command } = tagged;
        if !command.is_allowed_in(self.kind()) {
            return self.refuse(Some(&tag), Reason::WrongState);
        }
        match command {
            Command::Logout => return Ok(self.logout(&tag)),
            Command::StartTls => return self.start_tls(&tag).await,
            _ => {}
        }
        let name = command.name();
        let numbering = command.numbering();
        let expunges = if command.may_report_expunges() { Expunges::Allowed } else { Expunges::Held };
        if numbering == Some(Numbering::Uid) {
            // UIDs may name messages that this session has not announced, as a client learns them by COPYUID and
            // APPENDUID; the numbers must not move under a SEARCH that has some.
            self.report(Expunges::Held, Numbering::Uid).await?;
        }
        let outcome = self.act(&tag, command).await;
        self.answer(&tag, name, outcome, expunges, numbering.unwrap_or(Numbering::Sequence)).await
    }

    /// Reports what happened meanwhile, then completes the command.
    async fn answer(
        &mut self,
        tag: &Tag,
        name: &str,
        outcome: Outcome,
        expunges: Expunges,
        numbering: Numbering,
    ) -> Result<Turn, Failure> {
        match outcome {
            Ok(done) => {
                self.report(expunges, numbering).await?;
                self.errors = 0;
                self.context.say(|out| status::done(out, tag, name, &done));
                Ok(Turn::Next)
            }
            Err(Failure::Refused(reason)) => {
                self.report(expunges, numbering).await?;
                self.refuse(Some(tag), reason)
            }
            Err(failure) => Err(failure),
        }
    }

    async fn report(&mut self, expunges: Expunges, numbering: Numbering) -> Result<(), Failure> {
        match &mut self.state {
            State::Selected(_, selected) => selected.report(&mut self.context, expunges, numbering).await,
            State::NotAuthenticated | State::Authenticated(_) => Ok(()),
        }
    }

    /// Runs the command's handler.
    async fn act(&mut self, tag: &Tag, command: Command) -> Outcome {
        let logged_in = !matches!(self.state, State::NotAuthenticated);
        match command {
            Command::Noop | Command::Check => Ok(Done::Plain),
            Command::Capability => capability::capability(&mut self.context, logged_in),
            Command::Id(client) => capability::id(&mut self.context, &client),
            Command::Enable(_) => capability::enable(&mut self.context),
            Command::Namespace => capability::namespace(&mut self.context),
            Command::Login { user, password } => {
                let user = authenticate::login(&mut self.context, &user, &password).await;
                self.log_in(tag, user).await
            }
            Command::Authenticate { mechanism, initial_response } => {
                let user = authenticate::authenticate(&mut self.context, &mechanism, initial_response).await;
                self.log_in(tag, user).await
            }
            Command::Select(select) => self.select(select.mailbox, false).await,
            Command::Examine(select) => self.select(select.mailbox, true).await,
            Command::Create { mailbox, special_use } => {
                let (context, user) = self.user()?;
                folders::create(context, user, mailbox, special_use).await
            }
            Command::Delete(mailbox) => self.delete(mailbox).await,
            Command::Rename { from, to } => {
                let (context, user) = self.user()?;
                folders::rename(context, user, from, to).await
            }
            Command::Subscribe(mailbox) => {
                let (context, user) = self.user()?;
                folders::subscribe(context, user, mailbox, true).await
            }
            Command::Unsubscribe(mailbox) => {
                let (context, user) = self.user()?;
                folders::subscribe(context, user, mailbox, false).await
            }
            Command::Status { mailbox, items } => {
                let (context, user) = self.user()?;
                folders::status(context, user, mailbox, items).await
            }
            Command::List(list) => {
                let (context, user) = self.user()?;
                list::list(context, user, list).await
            }
            Command::Lsub(pattern) => {
                let (context, user) = self.user()?;
                list::lsub(context, user, pattern).await
            }
            Command::Idle => {
                let selected = match &mut self.state {
                    State::Selected(_, selected) => Some(&mut **selected),
                    State::NotAuthenticated | State::Authenticated(_) => None,
                };
                idle::idle(&mut self.context, selected).await
            }
            Command::Close | Command::Unselect => self.close(matches!(command, Command::Close)).await,
            // Both are answered before a handler is asked.
            Command::Logout | Command::StartTls => Err(Reason::WrongState.into()),
            Command::Expunge(_)
            | Command::Search(_)
            | Command::Fetch(_)
            | Command::Store(_)
            | Command::Copy { .. }
            | Command::Move { .. } => self.act_on_messages(tag, command).await,
        }
    }

    /// Runs the handler of a command for messages of the selected mailbox.
    async fn act_on_messages(&mut self, tag: &Tag, command: Command) -> Outcome {
        let State::Selected(user, selected) = &mut self.state else { return Err(Reason::WrongState.into()) };
        let context = &mut self.context;
        match command {
            Command::Expunge(set) => copy::expunge(context, selected, set).await,
            Command::Search(search) => search::search(context, selected, tag, search).await,
            Command::Fetch(fetch) => fetch::fetch(context, selected, fetch).await,
            Command::Store(store) => flags::store(context, selected, store).await,
            Command::Copy { numbering, set, mailbox } => {
                copy::copy(context, user, selected, numbering, &set, mailbox).await
            }
            Command::Move { numbering, set, mailbox } => {
                copy::move_messages(context, user, selected, numbering, &set, mailbox).await
            }
            _ => Err(Reason::WrongState.into()),
        }
    }

    /// APPEND, whose message is not a part of the command as it is read.
    async fn append(&mut self, octets: &[u8], literal: Literal) -> Result<Turn, Failure> {
        let (tag, append) = match imap::Append::parse(octets) {
            Ok((tag, append)) => (tag, append),
            Err(rejected) => {
                append::skip(&mut self.context, literal).await?;
                return self.refuse(rejected.tag.as_ref(), Reason::Syntax(rejected.error));
            }
        };
        let outcome = match self.user() {
            Ok((context, user)) => append::append(context, user, append, literal).await,
            Err(failure) => {
                append::skip(&mut self.context, literal).await?;
                Err(failure)
            }
        };
        self.answer(&tag, "APPEND", outcome, Expunges::Allowed, Numbering::Sequence).await
    }

    async fn log_in(&mut self, tag: &Tag, user: Result<User, Failure>) -> Outcome {
        match user {
            Ok(user) => {
                tracing::info!(peer = %self.context.connection.peer(), account = %user.account.address, "IMAP login");
                self.context.owner = Some(SessionOwner::of(&user.account));
                self.state = State::Authenticated(user);
                self.context.framer.set_limits(Limits::AUTHENTICATED);
                self.context.log_in_by = None;
                Ok(Done::Capability(capability::list(&self.context, true)))
            }
            Err(Failure::Refused(reason @ (Reason::BadCredentials | Reason::LoginLocked))) => {
                self.failed_logins = self.failed_logins.saturating_add(1);
                tracing::info!(peer = %self.context.connection.peer(), "IMAP login refused");
                if self.failed_logins >= SLOW_FROM {
                    tokio::time::sleep(SLOW).await;
                }
                if self.failed_logins < MAX_FAILED_LOGINS {
                    return Err(reason.into());
                }
                self.refuse(Some(tag), reason)?;
                Err(Failure::Bye(Reason::TooManyLogins))
            }
            Err(failure) => Err(failure),
        }
    }

    /// SELECT and EXAMINE leave the selected mailbox first, also if they fail then (RFC 3501 §6.3.1).
    async fn select(&mut self, mailbox: crate::mail::MailboxName, read_only: bool) -> Outcome {
        let user = self.user()?.1.clone();
        self.state = State::Authenticated(user.clone());
        let (selected, done) = select::select(&mut self.context, &user, mailbox, read_only).await?;
        self.state = State::Selected(user, Box::new(selected));
        Ok(done)
    }

    /// CLOSE expunges without a word, UNSELECT does not (RFC 3501 §6.4.2, RFC 3691).
    async fn close(&mut self, expunge: bool) -> Outcome {
        let State::Selected(user, selected) = &self.state else { return Err(Reason::WrongState.into()) };
        if expunge && !selected.read_only {
            copy::expunge_all(&self.context, selected).await?;
        }
        self.state = State::Authenticated(user.clone());
        Ok(Done::Plain)
    }

    /// DELETE of the mailbox that is selected here leaves it.
    async fn delete(&mut self, mailbox: crate::mail::MailboxName) -> Outcome {
        let (context, user) = self.user()?;
        let deleted = folders::delete(context, user, mailbox).await?;
        if let State::Selected(user, selected) = &self.state
            && selected.mailbox == deleted
        {
            self.state = State::Authenticated(user.clone());
        }
        Ok(Done::Plain)
    }

    fn logout(&mut self, tag: &Tag) -> Turn {
        self.context.say(|out| {
            response::status(out, None, Condition::Bye, None, "Logging out");
            status::done(out, tag, "LOGOUT", &Done::Plain);
        });
        Turn::Close
    }

    async fn start_tls(&mut self, tag: &Tag) -> Result<Turn, Failure> {
        if !capability::may_start_tls(&self.context) {
            return self.refuse(Some(tag), Reason::NoStartTls);
        }
        if !self.context.connection.buffered().is_empty() {
            // Commands that came in the clear must not run as if they had come under TLS.
            return Err(Failure::Bye(Reason::PlaintextAfterStartTls));
        }
        self.context.say(|out| response::status(out, Some(tag), Condition::Ok, None, "Begin TLS negotiation now"));
        self.context.flush().await?;
        Ok(Turn::StartTls)
    }

    /// Answers NO or BAD; too many BAD in a row end the session.
    fn refuse(&mut self, tag: Option<&Tag>, reason: Reason) -> Result<Turn, Failure> {
        let mut bad = false;
        self.context.say(|out| bad = status::refused(out, tag, reason));
        self.errors = if bad { self.errors.saturating_add(1) } else { 0 };
        if self.errors > MAX_ERRORS { Err(Failure::Bye(Reason::TooManyErrors)) } else { Ok(Turn::Next) }
    }

    fn user(&mut self) -> Result<(&mut Context, &User), Failure> {
        match &self.state {
            State::Authenticated(user) | State::Selected(user, _) => Ok((&mut self.context, user)),
            State::NotAuthenticated => Err(Reason::WrongState.into()),
        }
    }

    fn kind(&self) -> imap::State {
        match self.state {
            State::NotAuthenticated => imap::State::NotAuthenticated,
            State::Authenticated(_) => imap::State::Authenticated,
            State::Selected(..) => imap::State::Selected,
        }
    }
}

/// Failed logins from this one on are answered late, …
const SLOW_FROM: u32 = 3;
const SLOW: Duration = Duration::from_secs(2);
/// … and this one ends the session.
const MAX_FAILED_LOGINS: u32 = 5;

/// BAD answers in a row.
const MAX_ERRORS: u32 = 50;
