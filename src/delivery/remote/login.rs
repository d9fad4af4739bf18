//! AUTH with a host to which a route leads (RFC 4954).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::time::Instant;

use super::destination::Credentials;
use super::link::{Broken, Link};
use super::outcome::{End, Outcome, Scope};
use crate::proto::sasl::{ClientStep, Login, salted};
use crate::proto::smtp::client::{Capabilities, RemoteReply};

/// Logs in. `is_safe` says that nobody can listen. What stops it is the configuration, ours or the host's, so that
/// nothing is given up for it: it is deferred, and the log has it as an error.
pub(super) async fn login(
    link: &mut Link,
    offered: &Capabilities,
    credentials: &Credentials,
    is_safe: bool,
    limit: Duration,
) -> Result<(), Outcome> {
    let stopped = |text: &str| Outcome::ours(End::Deferred, Scope::Destination, (7, 0), text);
    if !is_safe {
        return Err(alert(stopped("no login without TLS, and there is none"), credentials));
    }
    let Some(mechanism) = Login::choose(&offered.mechanisms) else {
        return Err(alert(stopped("it offers no way to log in that we know"), credentials));
    };
    let mut nonce = [0; 18];
    getrandom::fill(&mut nonce).map_err(|_| stopped("no random numbers"))?;
    let (mut login, initial) = Login::start(mechanism, &credentials.user, &credentials.password, nonce);
    let mut line = format!("AUTH {}", mechanism.name());
    if let Some(initial) = initial {
        line.push(' ');
        line.push_str(&STANDARD.encode(initial));
    }
    for _ in 0..MAX_STEPS {
        line.push_str("\r\n");
        let reply = link.ask(&line, Instant::now() + limit).await.map_err(|broken| lost(&broken))?;
        match reply.class() {
            3 => {}
            2 => {
                return login
                    .succeeded(challenge(&reply).as_deref())
                    .map_err(|_| alert(stopped("it lets us in without knowing the password"), credentials));
            }
            _ => return Err(refused(&reply, credentials)),
        }
        let step = challenge(&reply).and_then(|challenge| login.respond(&challenge).ok());
        let answer = match step {
            Some(ClientStep::Answer(answer)) => Some(answer),
            Some(ClientStep::Salt { salt, iterations }) => {
                let password = credentials.password.clone();
                let salted = tokio::task::spawn_blocking(move || salted(&password, &salt, iterations)).await;
                salted.ok().and_then(|salted| login.salted(&salted).ok())
            }
            None => None,
        };
        // `*` gives up (RFC 4954 §4); what is said to it does not matter.
        line = answer.map_or_else(|| "*".to_owned(), |answer| STANDARD.encode(answer));
    }
    Err(alert(stopped("its login does not end"), credentials))
}

fn challenge(reply: &RemoteReply) -> Option<Vec<u8>> {
    let text = reply.arguments().next()?;
    // RFC 4954 §6: behind 235 the enhanced code stands before it, if it is there at all.
    let text = text.split(' ').rfind(|word| !word.is_empty()).unwrap_or_default();
    STANDARD.decode(text).ok()
}

fn refused(reply: &RemoteReply, credentials: &Credentials) -> Outcome {
    // 454 and 421 are the host's own trouble, and another host may have none.
    if reply.class() == 4 {
        return Outcome::of_reply(Scope::Host, reply);
    }
    alert(Outcome::of_reply(Scope::Destination, reply).deferred((7, 8)), credentials)
}

fn lost(broken: &Broken) -> Outcome {
    Outcome::ours(End::Deferred, Scope::Host, (4, 2), format!("{broken} while logging in"))
}

fn alert(outcome: Outcome, credentials: &Credentials) -> Outcome {
    tracing::error!(
        alert = "route-login",
        user = credentials.user,
        text = outcome.text,
        "login to a route's host fails"
    );
    outcome
}

/// SCRAM has three, LOGIN two.
const MAX_STEPS: usize = 5;
