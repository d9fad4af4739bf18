//! What DNS block lists say of a session's client: asked at its first RCPT, and kept for its further ones.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::Role;
use super::session::Session;
use super::state::Transaction;
use crate::mail::ForwardPath;
use crate::policy::blocklist::{self, Listing, Refusal};

/// What lists have said, and of whom.
#[derive(Debug, Default)]
pub(super) struct Listed(Mutex<Option<(IpAddr, Arc<[Listing]>)>>);

impl Listed {
    /// What they have said of this client; nothing if they were not asked, or of the client of a gateway before it.
    pub fn of(&self, client: IpAddr) -> Arc<[Listing]> {
        self.known(client.to_canonical()).unwrap_or_else(|| Arc::new([]))
    }

    fn known(&self, client: IpAddr) -> Option<Arc<[Listing]>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|(address, _)| *address == client).map(|(_, listings)| listings.clone())
    }
}

/// Why lists refuse the client this recipient. They are asked about clients of port 25 that nobody here knows; postmaster
/// stays within reach of everybody (RFC 5321 §4.5.1).
pub(super) async fn refusal(session: &Session, transaction: &Transaction, to: &ForwardPath) -> Option<Arc<Refusal>> {
    if session.port.role != Role::Relay || transaction.greeted.login.is_some() {
        return None;
    }
    let client = blocklist::subject(&transaction.directory, transaction.client)?;
    let listings = match session.listed.known(client) {
        Some(listings) => listings,
        None => {
            let services = &session.services;
            let listings = services.blocklists.ask(services.email_auth.dns(), client).await;
            let known = (client, listings.clone());
            *session.listed.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
            listings
        }
    };
    blocklist::refusal(client, &listings).filter(|_| !to.is_postmaster()).map(Arc::new)
}
