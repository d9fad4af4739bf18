//! What a filter hears of one SMTP session, and what it says to each command.

use std::sync::Arc;

use tokio::time::Instant;

use super::agreement::{Agreement, out_of_place};
use super::changes::verdict;
use super::link::Link;
use super::{Milter, Settings, macros, message};
use crate::hooks::{Answer, Content, Facts, Failure, Verdict};
use crate::proto::milter::{Client, Command, MacroStage, Steps};

/// What a filter hears of one SMTP session: first of the connection, then of each command, in their order.
#[derive(Debug)]
pub struct MilterSession {
    milter: Milter,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing is open yet.
    New,
    Open(Box<Open>),
    /// The filter wants to hear no more of the session.
    Accepted,
    /// The filter has failed, or a question was given up before its answer came.
    Broken,
}

/// A connection on which both have agreed.
#[derive(Debug)]
pub(super) struct Open {
    pub settings: Arc<Settings>,
    pub link: Link,
    pub agreement: Agreement,
    transaction: Transaction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transaction {
    None,
    /// It was told of MAIL.
    Open,
    /// It wants to hear no more of it.
    Accepted,
}

impl MilterSession {
    pub(super) fn new(milter: Milter) -> Self {
        Self { milter, state: State::New }
    }

    /// A client has connected. Opens the connection with the filter.
    pub async fn connect(&mut self, facts: &Facts) -> Result<Answer, Failure> {
        let client = Client::Ip(macros::client(facts), facts.peer.client.port());
        let command = Command::Connect { hostname: macros::client_name(facts).into(), client };
        self.tell(&CONNECT, command, facts).await
    }

    /// EHLO or HELO, also a second one.
    pub async fn hello(&mut self, facts: &Facts) -> Result<Answer, Failure> {
        let name = facts.helo.clone().unwrap_or_default();
        self.tell(&HELO, Command::Helo(name.into()), facts).await
    }

    /// MAIL. A transaction that was open before it is over.
    pub async fn mail(&mut self, facts: &Facts) -> Result<Answer, Failure> {
        let Some(envelope) = &facts.envelope else { return Ok(Answer::default()) };
        let command = Command::Mail { path: path(&envelope.reverse_path), parameters: octets(&envelope.parameters) };
        self.tell(&MAIL, command, facts).await
    }

    /// RCPT: the last recipient of the envelope.
    pub async fn rcpt(&mut self, facts: &Facts) -> Result<Answer, Failure> {
        let Some(recipient) = facts.envelope.as_ref().and_then(|envelope| envelope.recipients.last()) else {
            return Ok(Answer::default());
        };
        let command = Command::Rcpt { path: path(&recipient.address), parameters: octets(&recipient.parameters) };
        self.tell(&RCPT, command, facts).await
    }

    /// The message. With the answer the transaction is over.
    pub async fn message(&mut self, facts: &Facts, content: &Content<'_>) -> Result<Answer, Failure> {
        let Some(mut open) = self.take().await? else { return Ok(stopped()) };
        let answer = match open.transaction {
            Transaction::Accepted => stopped(),
            Transaction::None | Transaction::Open => message::ask(&mut open, facts, content).await?,
        };
        open.transaction = Transaction::None;
        self.state = State::Open(open);
        Ok(answer)
    }

    /// The transaction is over without a message.
    pub async fn abort(&mut self) -> Result<(), Failure> {
        if !matches!(self.state, State::Open(_)) {
            return Ok(());
        }
        let Some(mut open) = self.take().await? else { return Ok(()) };
        open.turn_to(Transaction::None).await?;
        self.state = State::Open(open);
        Ok(())
    }

    /// The SMTP session is over.
    pub async fn close(self) {
        if let State::Open(open) = self.state {
            open.link.close().await;
        }
    }

    /// Tells one command and waits for what the filter says to it.
    async fn tell(&mut self, step: &Step, command: Command, facts: &Facts) -> Result<Answer, Failure> {
        let Some(mut open) = self.take().await? else { return Ok(stopped()) };
        if matches!(command, Command::Mail { .. }) {
            open.turn_to(Transaction::Open).await?;
        }
        let answer = match open.transaction {
            Transaction::Accepted => stopped(),
            Transaction::None | Transaction::Open => {
                let until = open.link.until();
                let verdict = open.tell(step, &command, facts, until).await?;
                Answer { verdict, ..Answer::default() }
            }
        };
        let is_over = answer.verdict == Verdict::Stop;
        self.state = match step.scope {
            Scope::Session if is_over => {
                open.link.close().await;
                State::Accepted
            }
            Scope::Session | Scope::Transaction => {
                if is_over {
                    open.transaction = Transaction::Accepted;
                }
                State::Open(open)
            }
        };
        Ok(answer)
    }

    /// The connection, opened if there is none yet; `None` if there is nothing to ask. Until it is put back the session
    /// counts as broken: a question that is given up leaves an answer behind that belongs to no other.
    async fn take(&mut self) -> Result<Option<Box<Open>>, Failure> {
        match std::mem::replace(&mut self.state, State::Broken) {
            State::New => Open::new(self.milter.settings.clone()).await.map(|open| Some(Box::new(open))),
            State::Open(open) => Ok(Some(open)),
            State::Accepted => {
                self.state = State::Accepted;
                Ok(None)
            }
            State::Broken => Err(Failure::Unreachable("it has failed in this session".to_owned())),
        }
    }
}

impl Open {
    async fn new(settings: Arc<Settings>) -> Result<Self, Failure> {
        let mut link = Link::open(&settings).await?;
        let until = link.until();
        let agreement = Agreement::reach(&mut link, until).await?;
        tracing::debug!(milter = settings.name, ?agreement, "milter agrees");
        Ok(Self { settings, link, agreement, transaction: Transaction::None })
    }

    /// Tells one command, unless the filter does not want to hear it, and waits for its verdict, if it gives one.
    pub async fn tell(
        &mut self,
        step: &Step,
        command: &Command,
        facts: &Facts,
        until: Instant,
    ) -> Result<Verdict, Failure> {
        if self.agreement.steps.has(step.left_out) {
            return Ok(Verdict::Continue);
        }
        if let Some(stage) = step.macros {
            self.say_macros(stage, command.code(), facts);
        }
        self.link.say(command);
        if self.agreement.steps.has(step.silent) {
            self.link.flush(until).await?;
            return Ok(Verdict::Continue);
        }
        self.ask(until).await?;
        let (reply, _) = self.link.reply(until).await?;
        match verdict(&reply)? {
            Some(Verdict::Discard) if step.scope == Scope::Session => Err(out_of_place(&reply)),
            Some(verdict) => Ok(verdict),
            None => Err(out_of_place(&reply)),
        }
    }

    /// Sends what was said and has a reply, which nothing may have come before.
    pub async fn ask(&mut self, until: Instant) -> Result<(), Failure> {
        if self.link.has_input() {
            return Err(Failure::Protocol("a reply that nothing asked for".to_owned()));
        }
        self.link.flush(until).await
    }

    pub fn say_macros(&mut self, stage: MacroStage, code: u8, facts: &Facts) {
        let asked = self.agreement.macros.iter().find(|(of, _)| *of == stage);
        let values = match asked {
            Some((_, names)) => macros::values(names, facts),
            None => macros::values(self.settings.macros.at(stage), facts),
        };
        if !values.is_empty() {
            self.link.say(&Command::Macros { code, values });
        }
    }

    /// Leaves the transaction that there may be.
    async fn turn_to(&mut self, transaction: Transaction) -> Result<(), Failure> {
        if std::mem::replace(&mut self.transaction, transaction) == Transaction::Open {
            self.abort().await?;
        }
        Ok(())
    }

    /// The filter forgets the message. It gives no reply.
    pub async fn abort(&mut self) -> Result<(), Failure> {
        self.link.say(&Command::Abort);
        let until = self.link.until();
        self.link.flush(until).await
    }
}

/// A command as filters know it.
#[derive(Debug)]
pub(super) struct Step {
    /// The macros that go before it.
    pub macros: Option<MacroStage>,
    /// It is not told to a filter that has asked for this.
    pub left_out: Steps,
    /// Nor is there a reply from one that has asked for this.
    pub silent: Steps,
    /// What a filter accepts that accepts here.
    pub scope: Scope,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Session,
    Transaction,
}

const CONNECT: Step = Step {
    macros: Some(MacroStage::Connect),
    left_out: Steps::NO_CONNECT,
    silent: Steps::SILENT_CONNECT,
    scope: Scope::Session,
};
const HELO: Step = Step {
    macros: Some(MacroStage::Helo),
    left_out: Steps::NO_HELO,
    silent: Steps::SILENT_HELO,
    scope: Scope::Session,
};
const MAIL: Step = Step {
    macros: Some(MacroStage::Mail),
    left_out: Steps::NO_MAIL,
    silent: Steps::SILENT_MAIL,
    scope: Scope::Transaction,
};
const RCPT: Step = Step {
    macros: Some(MacroStage::Rcpt),
    left_out: Steps::NO_RCPT,
    silent: Steps::SILENT_RCPT,
    scope: Scope::Transaction,
};

fn stopped() -> Answer {
    Answer { verdict: Verdict::Stop, ..Answer::default() }
}

fn path(address: &str) -> Vec<u8> {
    format!("<{address}>").into_bytes()
}

fn octets(parameters: &[String]) -> Vec<Vec<u8>> {
    parameters.iter().map(|parameter| parameter.clone().into_bytes()).collect()
}
