//! Sessions that wait for more to send.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::destination::Destination;
use super::session::Session;

/// Sessions that are open and have nothing to send, each kept for a while: more may come for its destination.
#[derive(Debug, Default)]
pub(super) struct Parking(Mutex<Vec<Parked>>);

#[derive(Debug)]
struct Parked {
    destination: Destination,
    session: Session,
    since: Instant,
}

impl Parking {
    /// Keeps a session; of too many the oldest is closed.
    pub async fn park(&self, destination: Destination, session: Session) {
        let too_many = {
            let mut parked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            parked.push(Parked { destination, session, since: Instant::now() });
            if parked.len() > PARKED { Some(parked.remove(0)) } else { None }
        };
        if let Some(oldest) = too_many {
            oldest.session.close().await;
        }
    }

    /// A session that waits for this destination.
    pub fn take(&self, destination: &Destination) -> Option<Session> {
        let mut parked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = parked.iter().rposition(|parked| parked.destination.shares_sessions_with(destination))?;
        Some(parked.remove(at).session)
    }

    /// Closes those that have waited for long enough.
    pub fn close_idle(&self) {
        let mut parked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while parked.first().is_some_and(|parked| parked.since.elapsed() >= IDLE) {
            tokio::spawn(parked.remove(0).session.close());
        }
    }
}

/// Sessions that wait.
const PARKED: usize = 50;
/// How long. Postfix waits two seconds.
const IDLE: Duration = Duration::from_secs(2);
