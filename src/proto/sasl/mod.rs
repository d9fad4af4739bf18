//! SASL (RFC 4422): PLAIN (RFC 4616), LOGIN, SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802,
//! RFC 7677; channel binding `tls-exporter`, RFC 9266).
//!
//! [`Negotiation`] takes the client's messages, decoded from base64, and says with each [`Step`] what is needed next:
//! an answer to a challenge, the truth of a password, or the verifier of an account. It knows no accounts. It fails
//! with [`Failure`] and is over then. [`Login`] is the client's side.

mod client;
mod prep;
mod scram;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub use client::{ClientStep, Login, salted};
pub use prep::saslprep;
pub use scram::{Proof, Verifier};

/// A mechanism of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// SCRAM with the TLS channel bound in.
    ScramSha256Plus,
    /// SCRAM.
    ScramSha256,
    /// Name and password in one message.
    Plain,
    /// Name and password in two messages; never a standard, but old Outlook knows nothing else.
    Login,
}

impl Mechanism {
    /// By its registered name, in any case.
    pub fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|m| name.eq_ignore_ascii_case(m.name().as_bytes()))
    }

    /// Its registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }

    /// Those that can be used, strongest first: with `exporter` (the TLS channel binding can be had) all of them.
    pub fn offered(exporter: bool) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |m| exporter || *m != Self::ScramSha256Plus)
    }

    const ALL: [Self; 4] = [Self::ScramSha256Plus, Self::ScramSha256, Self::Plain, Self::Login];
}

/// The client's initial response, out of the command's argument: base64, or `=` for an empty one (RFC 4954 §4,
/// RFC 4959 §3). `None` if it is neither.
pub fn decode_initial(argument: &[u8]) -> Option<Vec<u8>> {
    if argument == b"=" { Some(Vec::new()) } else { STANDARD.decode(argument).ok() }
}

/// A line that answers a challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `*`: the client gives up.
    Cancel,
    /// Decoded.
    Message(Vec<u8>),
    /// Not base64.
    Malformed,
}

impl Answer {
    /// From the line without its CRLF.
    pub fn parse(line: &[u8]) -> Self {
        match line {
            b"*" => Self::Cancel,
            _ => STANDARD.decode(line).map_or(Self::Malformed, Self::Message),
        }
    }
}

/// A challenge as it goes out, in base64.
pub fn encode(challenge: &[u8]) -> String {
    STANDARD.encode(challenge)
}

/// What a negotiation needs to go on.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this and give the answer to [`Negotiation::respond`].
    Challenge(Vec<u8>),
    /// The client claims to know this password; whether it is right ends the negotiation.
    Password(Credentials),
    /// Look for the verifier of this name and give it to [`Negotiation::verifier`].
    Verifier {
        /// The name to log in with.
        authcid: String,
    },
    /// The client has proved that it knows the password of the name whose verifier was given.
    Proved {
        /// The identity to act as; empty for the account's own.
        authzid: String,
    },
}

/// Name and password as the client sent them.
#[derive(PartialEq, Eq)]
pub struct Credentials {
    /// The identity to act as; empty for the account's own.
    pub authzid: String,
    /// The name to log in with.
    pub authcid: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("authcid", &self.authcid).finish_non_exhaustive()
    }
}

/// Why a negotiation has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Not what the mechanism's grammar allows, or longer than it may be.
    #[error("malformed SASL message")]
    Malformed,
    /// The proof is wrong.
    #[error("wrong proof")]
    WrongProof,
    /// The channel bindings do not agree: somebody may stand between (RFC 5802 §6).
    #[error("channel binding does not match")]
    ChannelBinding,
}

/// One negotiation, from the mechanism's name to its end.
#[derive(Debug)]
pub struct Negotiation {
    state: State,
    /// The `tls-exporter` binding, if the connection has one: then PLUS was offered.
    exporter: Option<[u8; 32]>,
    /// The server's part of the SCRAM nonce.
    nonce: [u8; 18],
}

#[derive(Debug)]
enum State {
    Plain,
    LoginName,
    LoginPassword { authcid: String },
    ScramFirst { plus: bool },
    ScramVerifier(scram::ClientFirst),
    ScramFinal(scram::Exchange),
    ScramAcknowledged { authzid: String },
    Over,
}

impl Negotiation {
    /// Starts with the client's initial response, if it sent one. `nonce` is random, for this negotiation only.
    pub fn start(
        mechanism: Mechanism,
        initial: Option<&[u8]>,
        exporter: Option<[u8; 32]>,
        nonce: [u8; 18],
    ) -> (Self, Result<Step, Failure>) {
        let state = match mechanism {
            Mechanism::Plain => State::Plain,
            Mechanism::Login => State::LoginName,
            Mechanism::ScramSha256 => State::ScramFirst { plus: false },
            Mechanism::ScramSha256Plus => State::ScramFirst { plus: true },
        };
        let mut negotiation = Self { state, exporter, nonce };
        let step = match (initial, mechanism) {
            (Some(message), _) => negotiation.respond(message),
            (None, Mechanism::Login) => Ok(Step::Challenge(LOGIN_NAME.to_vec())),
            // The client speaks first: an empty challenge asks it to (RFC 4422 §5.1).
            (None, _) => Ok(Step::Challenge(Vec::new())),
        };
        (negotiation, step)
    }

    /// Takes the client's answer to a challenge.
    pub fn respond(&mut self, message: &[u8]) -> Result<Step, Failure> {
        if message.len() > MAX_MESSAGE {
            self.state = State::Over;
            return Err(Failure::Malformed);
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::Plain => plain(message).map(Step::Password),
            State::LoginName => {
                self.state = State::LoginPassword { authcid: text(message, MAX_NAME)? };
                Ok(Step::Challenge(LOGIN_PASSWORD.to_vec()))
            }
            State::LoginPassword { authcid } => {
                let password = text(message, MAX_PASSWORD)?;
                Ok(Step::Password(Credentials { authzid: String::new(), authcid, password }))
            }
            State::ScramFirst { plus } => {
                let first = scram::ClientFirst::parse(message, plus, self.exporter.is_some())?;
                let authcid = first.authcid.clone();
                self.state = State::ScramVerifier(first);
                Ok(Step::Verifier { authcid })
            }
            State::ScramFinal(exchange) => {
                let (server_final, authzid) = exchange.finish(message, self.exporter.as_ref())?;
                self.state = State::ScramAcknowledged { authzid };
                Ok(Step::Challenge(server_final))
            }
            // The server's final message went out as a challenge, which the client answers with nothing (RFC 4954 §4).
            State::ScramAcknowledged { authzid } if message.is_empty() => Ok(Step::Proved { authzid }),
            State::ScramAcknowledged { .. } | State::ScramVerifier(_) | State::Over => Err(Failure::Malformed),
        }
    }

    /// Takes the verifier that [`Step::Verifier`] asked for.
    pub fn verifier(&mut self, verifier: Verifier) -> Result<Step, Failure> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::ScramVerifier(first) => {
                let (exchange, server_first) = first.answer(verifier, &self.nonce);
                self.state = State::ScramFinal(exchange);
                Ok(Step::Challenge(server_first))
            }
            _ => Err(Failure::Malformed),
        }
    }
}

/// `[authzid] NUL authcid NUL passwd` (RFC 4616 §2).
fn plain(message: &[u8]) -> Result<Credentials, Failure> {
    let mut parts = message.split(|b| *b == 0);
    let (Some(authzid), Some(authcid), Some(password), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Failure::Malformed);
    };
    let authzid = if authzid.is_empty() { String::new() } else { text(authzid, MAX_NAME)? };
    Ok(Credentials { authzid, authcid: text(authcid, MAX_NAME)?, password: text(password, MAX_PASSWORD)? })
}

/// 1 to `max` octets of UTF-8 without NUL.
fn text(octets: &[u8], max: usize) -> Result<String, Failure> {
    if octets.is_empty() || octets.len() > max || octets.contains(&0) {
        return Err(Failure::Malformed);
    }
    String::from_utf8(octets.to_vec()).map_err(|_| Failure::Malformed)
}

/// Non-empty, for Outlook; other clients do not look at them.
const LOGIN_NAME: &[u8] = b"Username:";
const LOGIN_PASSWORD: &[u8] = b"Password:";

/// RFC 4954 §4 lets a line have 12,288 octets of base64.
const MAX_MESSAGE: usize = 9216;
/// RFC 4616 §2 expects no more than 255 octets; an address has 320 at most.
const MAX_NAME: usize = 512;
/// What Argon2id is asked to hash.
const MAX_PASSWORD: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn start(mechanism: Mechanism, initial: Option<&[u8]>) -> (Negotiation, Result<Step, Failure>) {
        Negotiation::start(mechanism, initial, None, [0; 18])
    }

    fn password(authzid: &str, authcid: &str, password: &str) -> Result<Step, Failure> {
        Ok(Step::Password(Credentials {
            authzid: authzid.to_owned(),
            authcid: authcid.to_owned(),
            password: password.to_owned(),
        }))
    }

    #[test]
    fn plain_messages() {
        for (case, message, want) in [
            ("without authzid", &b"\0alice\0secret"[..], password("", "alice", "secret")),
            ("with authzid", b"bob\0alice\0secret", password("bob", "alice", "secret")),
            ("utf-8", "\0al\u{ef}ce\0\u{20ac}".as_bytes(), password("", "al\u{ef}ce", "\u{20ac}")),
            ("no password", b"\0alice\0", Err(Failure::Malformed)),
            ("no name", b"\0\0secret", Err(Failure::Malformed)),
            ("one NUL", b"alice\0secret", Err(Failure::Malformed)),
            ("NUL in the password", b"\0alice\0sec\0ret", Err(Failure::Malformed)),
            ("not utf-8", b"\0alice\0\xff", Err(Failure::Malformed)),
            ("empty", b"", Err(Failure::Malformed)),
        ] {
            assert_eq!(start(Mechanism::Plain, Some(message)).1, want, "{case}");
        }
        let long = [b"\0alice\0", &[b'a'; 2000][..]].concat();
        assert_eq!(start(Mechanism::Plain, Some(&long)).1, Err(Failure::Malformed));
    }

    #[test]
    fn plain_without_initial_response_gets_an_empty_challenge() {
        let (mut negotiation, step) = start(Mechanism::Plain, None);
        assert_eq!(step, Ok(Step::Challenge(Vec::new())));
        assert_eq!(negotiation.respond(b"\0a\0b"), password("", "a", "b"));
        assert_eq!(negotiation.respond(b"\0a\0b"), Err(Failure::Malformed), "it is over");
    }

    #[test]
    fn login_asks_for_name_and_password() {
        for initial in [None, Some(&b"alice"[..])] {
            let (mut negotiation, mut step) = start(Mechanism::Login, initial);
            if initial.is_none() {
                assert_eq!(step, Ok(Step::Challenge(b"Username:".to_vec())));
                step = negotiation.respond(b"alice");
            }
            assert_eq!(step, Ok(Step::Challenge(b"Password:".to_vec())));
            assert_eq!(negotiation.respond(b"secret"), password("", "alice", "secret"));
        }
    }

    #[test]
    fn names() {
        assert_eq!(Mechanism::parse(b"scram-sha-256-plus"), Some(Mechanism::ScramSha256Plus));
        assert_eq!(Mechanism::parse(b"CRAM-MD5"), None);
        let names = |exporter| Mechanism::offered(exporter).map(Mechanism::name).collect::<Vec<_>>().join(" ");
        assert_eq!(names(true), "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN");
        assert_eq!(names(false), "SCRAM-SHA-256 PLAIN LOGIN");
    }
}
