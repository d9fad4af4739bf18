//! Milters as they hear sessions and messages: one of the tests' own that does all that the protocol has, one that
//! misbehaves, and those of Debian.

#![forbid(unsafe_code)]

#[path = "it/dns.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod dns;
#[path = "it/signer.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod signer;

#[path = "milter/broken.rs"]
mod broken;
#[path = "milter/daemons.rs"]
mod daemons;
#[path = "milter/filter.rs"]
mod filter;
#[path = "milter/message.rs"]
mod message;
#[path = "milter/negotiation.rs"]
mod negotiation;
#[path = "milter/session.rs"]
mod session;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use posthouse::hooks::milter::{Address, Macros, Milter, MilterSession, Settings};
use posthouse::hooks::{Answer, Content, Envelope, Facts, Failure, Peer, RecipientFacts, Secured, Verdict};
use posthouse::mail::{Clock, Timestamp};
use posthouse::store::engine::memory::Memory;
use posthouse::store::{Staging, Store};

/// Long enough for a busy machine, and nothing waits for it.
const LONG: Duration = Duration::from_secs(20);
/// What a test waits for.
const SHORT: Duration = Duration::from_millis(200);

const HEADER: &[u8] = b"From: Alice <alice@ext.test>\r\nTo: bob@corp.test,\r\n\tcarol@corp.test\r\nSubject:hello\r\n";
const BODY: &[u8] = b"Hello.\r\n\r\nBye.\r\n";

#[derive(Debug)]
struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000)
    }
}

fn settings(address: Address) -> Settings {
    Settings {
        name: "test".to_owned(),
        address,
        connect_timeout: LONG,
        timeout: LONG,
        macros: Macros::default(),
        max_body: 1 << 20,
    }
}

/// A session with the filter at that address.
fn session(address: Address) -> MilterSession {
    Milter::new(settings(address)).session()
}

/// The same with little patience.
fn impatient(address: Address) -> MilterSession {
    Milter::new(Settings { timeout: SHORT, ..settings(address) }).session()
}

/// A client that has said EHLO.
fn facts() -> Facts {
    Facts {
        time: Fixed.now(),
        hostname: "mail.corp.test".to_owned(),
        listener: "relay",
        peer: Peer { client: "192.0.2.10:4321".parse().unwrap(), local: "192.0.2.25:25".parse().unwrap() },
        tls: None,
        helo: Some("mx.ext.test".to_owned()),
        is_extended: true,
        login: None,
        envelope: None,
        authentication: None,
    }
}

/// The same within a transaction.
fn envelope(recipients: &[&str]) -> Facts {
    let recipient = |address: &&str| RecipientFacts { address: (*address).to_owned(), parameters: vec![] };
    let envelope = Envelope {
        id: None,
        reverse_path: "alice@ext.test".to_owned(),
        parameters: vec!["SIZE=100".to_owned(), "BODY=8BITMIME".to_owned()],
        recipients: recipients.iter().map(recipient).collect(),
        size: None,
    };
    Facts { envelope: Some(envelope), ..facts() }
}

/// A message that has come.
async fn staged(header: &[u8], body: &[u8]) -> Staging {
    static STARTS: AtomicU8 = AtomicU8::new(0);
    let drawn = [5, 5, STARTS.fetch_add(1, Ordering::Relaxed)];
    let store = Store::open(Arc::new(Memory::default()), Arc::new(Fixed), drawn).await.unwrap();
    let mut staging = store.stage();
    for octets in [header, b"\r\n", body] {
        staging.push(octets).await.unwrap();
    }
    staging
}

fn content<'a>(header: &[u8], staging: &'a Staging) -> Content<'a> {
    Content::new(header.to_vec(), staging, header.len() as u64 + 2)
}

/// What is asked of a filter, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Question {
    Connect,
    Hello,
    Mail,
    Rcpt,
    Message,
}

const QUESTIONS: [Question; 5] =
    [Question::Connect, Question::Hello, Question::Mail, Question::Rcpt, Question::Message];

/// Asks all questions up to the first that is not answered with going on, and says which that was.
async fn ask(
    session: &mut MilterSession,
    facts: &Facts,
    header: &[u8],
    body: &[u8],
) -> (Question, Result<Answer, Failure>) {
    let staging = staged(header, body).await;
    let mut facts = facts.clone();
    for question in QUESTIONS {
        let answer = match question {
            Question::Connect => session.connect(&facts).await,
            Question::Hello => session.hello(&facts).await,
            Question::Mail => session.mail(&facts).await,
            Question::Rcpt => session.rcpt(&facts).await,
            Question::Message => {
                if let Some(envelope) = &mut facts.envelope {
                    envelope.id = Some(staging.blob());
                    envelope.size = Some(staging.size());
                }
                session.message(&facts, &content(header, &staging)).await
            }
        };
        let goes_on = answer.as_ref().is_ok_and(|answer| *answer == Answer::default());
        if !goes_on || question == Question::Message {
            return (question, answer);
        }
    }
    unreachable!("the last question is always answered")
}

/// The same with the usual message for bob.
async fn ask_all(session: &mut MilterSession) -> (Question, Result<Answer, Failure>) {
    ask(session, &envelope(&["bob@corp.test"]), HEADER, BODY).await
}

fn verdict(verdict: Verdict) -> Answer {
    Answer { verdict, ..Answer::default() }
}
