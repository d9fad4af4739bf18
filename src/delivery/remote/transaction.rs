//! One transaction: MAIL, RCPT for each recipient, the content (RFC 5321 §3.3), with PIPELINING (RFC 2920) and CHUNKING
//! (RFC 3030) where they are offered.
//!
//! Every recipient comes to an outcome of its own. A host that ends the session, by 421 or without a word, leaves those
//! without one deferred; once the whole content is out, their outcome says that the message may come twice.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::content::{Content, Place};
use super::courier::Timeouts;
use super::link::Broken;
use super::outcome::{End, Outcome, Scope};
use super::outgoing::Outgoing;
use super::session::{Manner, Session, unreadable};
use crate::mail::EnhancedCode;
use crate::proto::smtp::client::{ContentWriter, MailFrom, RcptTo, RemoteReply};

/// One transaction.
pub(super) struct Transaction<'a> {
    session: &'a mut Session,
    outgoing: &'a Outgoing<'a>,
    content: &'a Content<'a>,
    manner: Manner,
    outcomes: &'a mut [Option<Outcome>],
    /// The time is up for all of it.
    until: Instant,
    accepted: Vec<usize>,
    /// Those whom the host wants in another transaction.
    too_many: Vec<usize>,
}

/// A command with its reply to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Reset,
    Mail,
    Recipient(usize),
    Data,
}

/// What the envelope came to.
enum Envelope {
    /// The content may come by BDAT.
    Taken,
    /// 354.
    DataReady,
    /// No content goes out.
    Over,
}

impl<'a> Transaction<'a> {
    /// It ends at `until` at the latest.
    pub fn new(
        session: &'a mut Session,
        outgoing: &'a Outgoing<'a>,
        (content, manner): (&'a Content<'a>, Manner),
        outcomes: &'a mut [Option<Outcome>],
        until: Instant,
    ) -> Self {
        let until = until.min(Instant::now() + session.timeouts.transaction_of(outgoing.message.size()));
        Self { session, outgoing, content, manner, outcomes, until, accepted: Vec::new(), too_many: Vec::new() }
    }

    /// Runs it for these recipients; gives those who should have another one.
    pub async fn run(mut self, recipients: Vec<usize>) -> Vec<usize> {
        if recipients.is_empty() {
            return Vec::new();
        }
        match self.exchange(&recipients).await {
            Ok(()) => {}
            Err(outcome) => {
                // Whatever comes now would be read as the reply to something else.
                self.session.is_open = false;
                let open = |at: &usize| self.outcomes.get(*at).is_some_and(Option::is_none);
                let open: Vec<usize> = recipients.into_iter().filter(open).collect();
                self.set_all(&open, &outcome);
            }
        }
        let is_progress = !self.accepted.is_empty() && self.session.is_open;
        if is_progress { self.too_many } else { Vec::new() }
    }

    /// An error ends the session, and is the outcome of all who have none.
    async fn exchange(&mut self, recipients: &[usize]) -> Result<(), Outcome> {
        let envelope = self.envelope(recipients).await?;
        match envelope {
            Envelope::Over => Ok(()),
            Envelope::DataReady if self.accepted.is_empty() => self.end_empty().await,
            Envelope::DataReady => self.data().await,
            Envelope::Taken => self.chunks().await,
        }
    }

    /// Says MAIL and RCPT, as many at once as may be (RFC 2920 §3.1), and DATA unless the content comes by BDAT.
    async fn envelope(&mut self, recipients: &[usize]) -> Result<Envelope, Outcome> {
        let reset = self.session.needs_reset.then_some(Step::Reset);
        let data = (!self.session.offered.chunking).then_some(Step::Data);
        let steps = recipients.iter().map(|at| Step::Recipient(*at));
        let mut steps: VecDeque<Step> = reset.into_iter().chain([Step::Mail]).chain(steps).chain(data).collect();
        let at_once = if self.session.offered.pipelining { AT_ONCE } else { 1 };
        self.session.needs_reset = true;
        let mut refused: Option<Outcome> = None;
        let mut envelope = if data.is_some() { Envelope::Over } else { Envelope::Taken };
        while !steps.is_empty() {
            let mut batch: Vec<Step> = steps.drain(..at_once.min(steps.len())).collect();
            // Whoever is known to be refused is not asked for; DATA for nobody would be an error.
            if refused.is_some() || batch == [Step::Data] && self.accepted.is_empty() {
                break;
            }
            batch.iter().for_each(|step| self.say(*step));
            self.flush(batch.first().copied().unwrap_or(Step::Mail)).await?;
            for step in batch.drain(..) {
                let reply = self.reply(step).await?;
                match step {
                    Step::Reset if reply.class() != 2 => {
                        return Err(Outcome::of_reply(Scope::Host, &reply).deferred((5, 0)));
                    }
                    Step::Reset => {}
                    Step::Mail if reply.class() == 2 => {}
                    Step::Mail => refused = Some(negative(&reply)?),
                    Step::Recipient(at) => self.recipient(at, &reply, refused.as_ref())?,
                    Step::Data if reply.code() == 354 => envelope = Envelope::DataReady,
                    Step::Data => self.refuse_accepted(&reply)?,
                }
            }
        }
        if let Some(refused) = refused {
            self.set_all(recipients, &refused);
        }
        let nobody = self.accepted.is_empty() && matches!(envelope, Envelope::Taken);
        Ok(if nobody { Envelope::Over } else { envelope })
    }

    fn say(&mut self, step: Step) {
        let Session { link, offered, is_authenticated, .. } = &mut *self.session;
        match step {
            Step::Reset => link.say("RSET\r\n"),
            Step::Mail => {
                let mail = MailFrom {
                    reverse_path: self.outgoing.reverse_path,
                    size: self.outgoing.message.size(),
                    body: self.manner.body,
                    smtputf8: self.manner.smtputf8,
                    ret: self.outgoing.ret,
                    envelope_id: self.outgoing.envelope_id,
                    requires_tls: self.outgoing.requires_tls,
                    is_authenticated: *is_authenticated,
                };
                link.say(&mail.encode(offered));
            }
            Step::Recipient(at) => {
                if let Some(recipient) = self.outgoing.recipients.get(at) {
                    let original = recipient.original.as_deref();
                    let rcpt = RcptTo { address: &recipient.address, notify: recipient.notify, original };
                    link.say(&rcpt.encode(offered));
                }
            }
            Step::Data => link.say("DATA\r\n"),
        }
    }

    fn recipient(&mut self, at: usize, reply: &RemoteReply, refused: Option<&Outcome>) -> Result<(), Outcome> {
        if let Some(refused) = refused {
            self.set(at, refused.clone());
        } else if reply.class() == 2 {
            self.accepted.push(at);
        } else if is_too_many(reply, !self.accepted.is_empty()) {
            self.too_many.push(at);
            self.set(at, Outcome::of_reply(Scope::Message, reply).deferred((5, 3)));
        } else {
            self.set(at, negative(reply)?);
        }
        Ok(())
    }

    /// DATA or the content was answered with this, where nothing but a refusal makes sense.
    fn refuse_accepted(&mut self, reply: &RemoteReply) -> Result<(), Outcome> {
        if self.accepted.is_empty() {
            return Ok(());
        }
        let outcome = negative(reply)?;
        self.set_all(&self.accepted.clone(), &outcome);
        Ok(())
    }

    /// RFC 2920 §3.1: all recipients were refused, and the host waits for content all the same.
    async fn end_empty(&mut self) -> Result<(), Outcome> {
        let sent = self.session.link.send(b".\r\n", self.limit(self.timeouts().block)).await;
        sent.map_err(|broken| lost(&broken, "after DATA"))?;
        let until = self.limit(self.timeouts().end);
        self.session.link.reply(until).await.map_err(|broken| lost(&broken, "after an empty message"))?;
        Ok(())
    }

    async fn data(&mut self) -> Result<(), Outcome> {
        let mut writer = ContentWriter::data();
        let content = self.content;
        let mut place = content.start();
        let mut out = Vec::new();
        while let Some(piece) = self.next_piece(&mut place).await? {
            writer.push(&piece, &mut out);
            // The end goes out together with what stands before it.
            if !place.is_over() {
                self.block(&out).await?;
                out.clear();
            }
        }
        writer.finish(&mut out);
        self.block(&out).await?;
        self.end(None).await
    }

    /// BDAT for each piece, with PIPELINING one ahead of the replies (RFC 3030 §4.2).
    async fn chunks(&mut self) -> Result<(), Outcome> {
        let mut writer = ContentWriter::chunks();
        let content = self.content;
        let mut place = content.start();
        let mut out = Vec::new();
        let mut unanswered = 0_usize;
        let ahead = usize::from(self.session.offered.pipelining);
        while let Some(piece) = self.next_piece(&mut place).await? {
            writer.push(&piece, &mut out);
            if place.is_over() {
                break;
            }
            self.session.link.say(&format!("BDAT {}\r\n", out.len()));
            self.block(&out).await?;
            out.clear();
            unanswered = unanswered.saturating_add(1);
            if unanswered > ahead {
                unanswered = unanswered.saturating_sub(1);
                if let Some(refused) = self.chunk().await? {
                    self.set_all(&self.accepted.clone(), &refused);
                    for _ in 0..unanswered {
                        self.chunk().await?;
                    }
                    return Ok(());
                }
            }
        }
        writer.finish(&mut out);
        self.session.link.say(&format!("BDAT {} LAST\r\n", out.len()));
        self.block(&out).await?;
        let mut refused = None;
        for _ in 0..unanswered {
            let reply = self.chunk().await.map_err(|outcome| maybe_twice(outcome, &self.host()))?;
            refused = refused.or(reply);
        }
        self.end(refused).await
    }

    /// The reply to a BDAT that is not the last: why it was refused, if it was.
    async fn chunk(&mut self) -> Result<Option<Outcome>, Outcome> {
        let until = self.limit(self.timeouts().block);
        let reply = self.session.link.reply(until).await.map_err(|broken| lost(&broken, "after BDAT"))?;
        if reply.class() == 2 { Ok(None) } else { negative(&reply).map(Some) }
    }

    /// The reply to the whole content. `refused`: a part of it was, and why.
    async fn end(&mut self, refused: Option<Outcome>) -> Result<(), Outcome> {
        let until = self.limit(self.timeouts().end);
        let reply = self.session.link.reply(until).await;
        let reply = reply.map_err(|broken| maybe_twice(lost(&broken, "after the content"), &self.host()))?;
        let outcome = match refused {
            _ if reply.class() == 2 => Outcome::of_reply(Scope::Message, &reply),
            Some(refused) => refused,
            None => negative(&reply)?,
        };
        // RFC 5321 §4.1.1.4: taken or not, the transaction is over. After a part that was refused it may not be.
        self.session.needs_reset = reply.class() != 2 && self.session.offered.chunking;
        self.session.sent = self.session.sent.saturating_add(1);
        self.set_all(&self.accepted.clone(), &outcome);
        Ok(())
    }

    async fn next_piece(&mut self, place: &mut Place<'_>) -> Result<Option<Cow<'a, [u8]>>, Outcome> {
        self.content.read(place).await.map_err(unreadable)
    }

    /// Sends a piece of the content. If the host takes no more, it may have said why.
    async fn block(&mut self, octets: &[u8]) -> Result<(), Outcome> {
        for piece in octets.chunks(BLOCK) {
            let until = self.limit(self.timeouts().block);
            let Err(broken) = self.session.link.send(piece, until).await else { continue };
            let last_word = self.session.link.reply(self.limit(LAST_WORD)).await;
            return Err(match last_word {
                Ok(reply) if reply.class() >= 4 => negative(&reply).unwrap_or_else(|ended| ended),
                _ => lost(&broken, "while the content was sent"),
            });
        }
        Ok(())
    }

    async fn flush(&mut self, step: Step) -> Result<(), Outcome> {
        let until = self.limit(self.timeouts().mail);
        self.session.link.flush(until).await.map_err(|broken| lost(&broken, &format!("before {step}")))
    }

    async fn reply(&mut self, step: Step) -> Result<RemoteReply, Outcome> {
        let timeouts = self.timeouts();
        let limit = match step {
            Step::Reset | Step::Mail => timeouts.mail,
            Step::Recipient(_) => timeouts.rcpt,
            Step::Data => timeouts.data,
        };
        let until = self.limit(limit);
        let reply = self.session.link.reply(until).await.map_err(|broken| lost(&broken, &format!("after {step}")))?;
        // RFC 5321 §3.8: it closes the connection whatever it was the reply to.
        if reply.code() == CLOSING { Err(Outcome::of_reply(Scope::Host, &reply)) } else { Ok(reply) }
    }

    fn set(&mut self, at: usize, outcome: Outcome) {
        if let Some(open) = self.outcomes.get_mut(at) {
            *open = Some(outcome);
        }
    }

    fn set_all(&mut self, of: &[usize], outcome: &Outcome) {
        of.iter().for_each(|at| self.set(*at, outcome.clone()));
    }

    fn timeouts(&self) -> Timeouts {
        *self.session.timeouts
    }

    fn limit(&self, step: Duration) -> Instant {
        self.until.min(Instant::now() + step)
    }

    fn host(&self) -> String {
        self.session.host().name.clone()
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Reset => "RSET",
            Self::Mail => "MAIL",
            Self::Recipient(_) => "RCPT",
            Self::Data => "DATA",
        })
    }
}

/// A refusal of what was asked. An error if it is none, so that the host and we are out of step, or if it closes.
fn negative(reply: &RemoteReply) -> Result<Outcome, Outcome> {
    match reply.class() {
        4 | 5 if reply.code() != CLOSING => Ok(Outcome::of_reply(Scope::Message, reply)),
        4 | 5 => Err(Outcome::of_reply(Scope::Host, reply)),
        _ => Err(Outcome::of_reply(Scope::Host, reply).deferred((5, 0))),
    }
}

/// RFC 5321 §4.5.3.1.10: 452, or 552 with hosts that follow RFC 821, says that this transaction has enough recipients. With
/// another enhanced code it says something of this recipient.
fn is_too_many(reply: &RemoteReply, are_others_accepted: bool) -> bool {
    let detail = EnhancedCode::new(if reply.code() == 452 { 4 } else { 5 }, 5, 3);
    matches!(reply.code(), 452 | 552) && reply.enhanced().map_or(are_others_accepted, |enhanced| enhanced == detail)
}

fn lost(broken: &Broken, at: &str) -> Outcome {
    Outcome::ours(End::Deferred, Scope::Host, (4, 2), format!("{broken} {at}"))
}

/// RFC 5321 §4.5.3.2.6, RFC 1047: the reply that is lost may have said that the message is taken.
fn maybe_twice(outcome: Outcome, host: &str) -> Outcome {
    if outcome.is_reply {
        return outcome;
    }
    let text = format!("{}; {host} may have the message all the same, and then it comes twice", outcome.text);
    // Another host of the destination would make it twice for sure (RFC 1047).
    Outcome { text, scope: Scope::Message, ..outcome }
}

/// RFC 5321 §3.8.
const CLOSING: u16 = 421;
/// Commands at once: their replies must find room in the host's way to us, or both would wait for each other
/// (RFC 2920 §3.1).
const AT_ONCE: usize = 100;
/// At 3 minutes each, a host that takes 400 octets a second is not given up.
const BLOCK: usize = 64 << 10;
const LAST_WORD: Duration = Duration::from_secs(2);
