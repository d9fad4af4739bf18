//! SASL, the client's side: SCRAM-SHA-256 (RFC 5802, RFC 7677), PLAIN (RFC 4616) and LOGIN, to log in to other servers.
//!
//! [`Login`] takes the server's challenges, decoded from base64. SCRAM needs the password salted, which takes long and is
//! for the caller to do ([`salted`]) where it may block. It fails with [`Failure`].
//!
//! Deviation: the channel is not bound (`n,,`); the connection's certificate is what is checked.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::{Failure, Mechanism, Proof, saslprep};

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub enum ClientStep {
    /// Send this.
    Answer(Vec<u8>),
    /// Compute [`salted`] and give it to [`Login::salted`].
    Salt {
        /// What the server gave.
        salt: Vec<u8>,
        /// Between 4,096 (RFC 7677 §4) and a million.
        iterations: u32,
    },
}

/// One negotiation.
pub struct Login {
    state: State,
    user: String,
    password: String,
}

enum State {
    Plain,
    LoginName,
    LoginPassword,
    ScramFirst { bare: String, nonce: String },
    ScramSalt { bare: String, server_first: String },
    ScramFinal { server_final: Vec<u8> },
    Over,
}

impl Login {
    /// A mechanism out of those that a server offers, the best first; `None` if there is none that we speak.
    pub fn choose(offered: &[Mechanism]) -> Option<Mechanism> {
        [Mechanism::ScramSha256, Mechanism::Plain, Mechanism::Login].into_iter().find(|m| offered.contains(m))
    }

    /// Starts; gives the initial response if the mechanism has one. `nonce` is random, for this negotiation only.
    pub fn start(mechanism: Mechanism, user: &str, password: &str, nonce: [u8; 18]) -> (Self, Option<Vec<u8>>) {
        let login = |state| Self { state, user: user.to_owned(), password: password.to_owned() };
        match mechanism {
            Mechanism::Plain => (login(State::Plain), Some(format!("\0{user}\0{password}").into_bytes())),
            Mechanism::Login => (login(State::LoginName), None),
            Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => {
                let name = saslprep(user).unwrap_or_else(|| user.to_owned());
                let nonce = STANDARD.encode(nonce);
                let bare = format!("n={},r={nonce}", name.replace('=', "=3D").replace(',', "=2C"));
                let first = format!("n,,{bare}").into_bytes();
                (login(State::ScramFirst { bare, nonce }), Some(first))
            }
        }
    }

    /// Takes a challenge.
    pub fn respond(&mut self, challenge: &[u8]) -> Result<ClientStep, Failure> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Plain | State::Over | State::ScramSalt { .. } => Err(Failure::Malformed),
            State::LoginName => {
                self.state = State::LoginPassword;
                Ok(ClientStep::Answer(self.user.clone().into_bytes()))
            }
            State::LoginPassword => Ok(ClientStep::Answer(self.password.clone().into_bytes())),
            State::ScramFirst { bare, nonce } => {
                let server_first = String::from_utf8(challenge.to_vec()).map_err(|_| Failure::Malformed)?;
                let (salt, iterations) = server_parameters(&server_first, &nonce).ok_or(Failure::Malformed)?;
                self.state = State::ScramSalt { bare, server_first };
                Ok(ClientStep::Salt { salt, iterations })
            }
            State::ScramFinal { server_final } => {
                // The server shows that it knows the password, too (RFC 5802 §3).
                if !bool::from(challenge.ct_eq(&server_final)) {
                    return Err(Failure::WrongProof);
                }
                Ok(ClientStep::Answer(Vec::new()))
            }
        }
    }

    /// Takes the salted password; gives the client's proof.
    pub fn salted(&mut self, salted: &[u8; 32]) -> Result<Vec<u8>, Failure> {
        let State::ScramSalt { bare, server_first } = std::mem::replace(&mut self.state, State::Over) else {
            return Err(Failure::Malformed);
        };
        let proof = Proof::new(salted, &bare, &server_first, b"n,,");
        self.state = State::ScramFinal { server_final: proof.server_final };
        Ok(proof.client_final)
    }

    /// The server says that the login has succeeded, with what comes along (RFC 4954 §6). An error if it has not shown
    /// that it knows the password where it should have.
    pub fn succeeded(&mut self, additional: Option<&[u8]>) -> Result<(), Failure> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Plain | State::LoginPassword | State::Over => Ok(()),
            State::ScramFinal { server_final } if additional.is_some_and(|a| bool::from(a.ct_eq(&server_final))) => {
                Ok(())
            }
            State::LoginName | State::ScramFirst { .. } | State::ScramSalt { .. } | State::ScramFinal { .. } => {
                Err(Failure::WrongProof)
            }
        }
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// SaltedPassword: `Hi()` of RFC 5802 §2.2 over the prepared password. Takes up to a second.
pub fn salted(password: &str, salt: &[u8], iterations: u32) -> [u8; 32] {
    let password = saslprep(password).unwrap_or_else(|| password.to_owned());
    let mut salted = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, iterations, &mut salted);
    salted
}

/// `server-first-message`, if its nonce goes on from ours.
fn server_parameters(message: &str, nonce: &str) -> Option<(Vec<u8>, u32)> {
    let mut attributes = message.split(',');
    let theirs = attributes.next()?.strip_prefix("r=")?;
    if message.len() > 2_048 || theirs.strip_prefix(nonce).is_none_or(str::is_empty) {
        return None;
    }
    let salt = STANDARD.decode(attributes.next()?.strip_prefix("s=")?).ok()?;
    let iterations: u32 = attributes.next()?.strip_prefix("i=")?.parse().ok()?;
    ITERATIONS.contains(&iterations).then_some((salt, iterations))
}

/// Fewer let a server that is none find the password, more let it keep us busy.
const ITERATIONS: std::ops::RangeInclusive<u32> = 4_096..=1_000_000;

#[cfg(test)]
mod tests {
    use super::super::{Negotiation, Step, Verifier};
    use super::*;

    fn login(mechanism: Mechanism, password: &str) -> (Login, Option<Vec<u8>>) {
        Login::start(mechanism, "al,i=ce", password, [1; 18])
    }

    #[test]
    fn plain_and_login() {
        let (mut plain, initial) = login(Mechanism::Plain, "pencil");
        assert_eq!(initial.as_deref(), Some(&b"\0al,i=ce\0pencil"[..]));
        assert_eq!(plain.succeeded(None), Ok(()));
        let (mut login, initial) = login(Mechanism::Login, "pencil");
        assert_eq!(initial, None);
        assert_eq!(login.respond(b"Username:"), Ok(ClientStep::Answer(b"al,i=ce".to_vec())));
        assert_eq!(login.respond(b"Password:"), Ok(ClientStep::Answer(b"pencil".to_vec())));
        assert_eq!(login.respond(b"What else?"), Err(Failure::Malformed));
    }

    #[test]
    fn scram_with_our_server() {
        for (ours, additional, want) in
            [("pencil", false, Ok(())), ("pencil", true, Ok(())), ("pen", false, Err(Failure::WrongProof))]
        {
            let (mut client, first) = login(Mechanism::ScramSha256, ours);
            let (mut server, step) = Negotiation::start(Mechanism::ScramSha256, first.as_deref(), None, [7; 18]);
            assert!(matches!(step, Ok(Step::Verifier { authcid }) if authcid == "al,i=ce"));
            let verifier = Verifier::from_salted_password(&salted("pencil", b"salt", 4096), b"salt".to_vec(), 4096);
            let Ok(Step::Challenge(server_first)) = server.verifier(verifier) else { panic!("server-first") };
            let step = client.respond(&server_first).unwrap();
            let ClientStep::Salt { salt, iterations } = step else { panic!("{step:?}") };
            let client_final = client.salted(&salted(ours, &salt, iterations)).unwrap();
            let answer = match server.respond(&client_final) {
                Err(failure) => Err(failure),
                Ok(Step::Challenge(server_final)) if additional => client.succeeded(Some(&server_final)),
                Ok(Step::Challenge(server_final)) => client.respond(&server_final).map(drop),
                Ok(other) => panic!("{other:?}"),
            };
            assert_eq!(answer, want);
        }
    }

    #[test]
    fn server_that_does_not_know_the_password_is_none() {
        for (case, server_first) in [
            ("another nonce", "r=x,s=c2FsdA==,i=4096"),
            ("our nonce alone", "r=AQEBAQEBAQEBAQEBAQEBAQEB,s=c2FsdA==,i=4096"),
            ("too few", "r=AQEBAQEBAQEBAQEBAQEBAQEBx,s=c2FsdA==,i=1"),
            ("too many", "r=AQEBAQEBAQEBAQEBAQEBAQEBx,s=c2FsdA==,i=4000000000"),
            ("no salt", "r=AQEBAQEBAQEBAQEBAQEBAQEBx,i=4096"),
        ] {
            let (mut client, _) = login(Mechanism::ScramSha256, "pencil");
            assert_eq!(client.respond(server_first.as_bytes()), Err(Failure::Malformed), "{case}");
        }
        let (mut client, _) = login(Mechanism::ScramSha256, "pencil");
        assert_eq!(client.succeeded(None), Err(Failure::WrongProof), "nothing is shown");
        let (mut client, _) = login(Mechanism::ScramSha256, "pencil");
        client.respond(b"r=AQEBAQEBAQEBAQEBAQEBAQEBx,s=c2FsdA==,i=4096").unwrap();
        client.salted(&[1; 32]).unwrap();
        assert_eq!(client.succeeded(Some(b"v=AAAA")), Err(Failure::WrongProof));
    }
}
