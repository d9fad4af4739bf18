//! Email authentication: asks whether a message is from whom it claims to be from, and reports; what follows from the
//! answer is for `policy` to say. And signs what leaves, for those who ask the same.
//!
//! SPF (RFC 7208) over records read by `mail-auth`, DKIM (RFC 6376, 8301, 8463) verified by `mail-auth` with body hashes
//! made while the message streams by, DMARC (RFC 7489) over both, ARC (RFC 8617) beside them. Everything is bounded: each of the four in time,
//! SPF in lookups, DKIM in signatures and header fields, DMARC in author domains; what exceeds the time is a
//! `temperror`, what exceeds a number a `permerror`.

mod chain;
mod content;
mod dkim;
mod dmarc;
mod key;
mod sign;
mod spf;

pub use chain::seal;
pub use content::{DkimContent, DkimInput};
pub use key::{KeyError, NewKey, Signer, Signers, make_key};
pub use sign::dkim_fields;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use mail_auth::MessageAuthenticator;
use tokio::time::timeout;

use crate::mail::ReversePath;
use crate::net::dns::Dns;
use crate::proto::authres::{AuthResults, Dmarc, DmarcPolicy, DmarcResult, SpfResult};
use crate::proto::message::HeaderAddresses;

/// Asks the DNS about messages. One for the process.
#[derive(Clone)]
pub struct EmailAuth {
    dns: Dns,
    verifier: MessageAuthenticator,
    time: Duration,
    signers: Signers,
}

impl EmailAuth {
    /// Asks through `dns`; SPF, DKIM and DMARC take at most 10 seconds each.
    pub fn new(dns: Dns) -> Self {
        Self::with_time(dns, TIME)
    }

    /// The same with another limit of time for each of the three.
    pub fn with_time(dns: Dns, time: Duration) -> Self {
        let verifier = MessageAuthenticator(dns.resolver().clone());
        Self { dns, verifier, time, signers: Signers::default() }
    }

    /// What the DNS is asked through.
    pub fn dns(&self) -> &Dns {
        &self.dns
    }

    /// Keys of ours that have been read.
    pub fn signers(&self) -> &Signers {
        &self.signers
    }

    /// SPF for the domain of the reverse-path: may this client send for it? A null reverse-path has no domain, and
    /// that of EHLO stands for nobody here: [`SpfResult::None`].
    pub async fn spf(&self, client: IpAddr, helo: &str, our_hostname: &str, reverse_path: &ReversePath) -> SpfResult {
        let ReversePath::Address(address) = reverse_path else { return SpfResult::None };
        let Some(domain) = address.domain() else { return SpfResult::None };
        let query = spf::Query { client, helo, our_hostname, address, domain };
        timeout(self.time, spf::check(&self.dns, &query)).await.unwrap_or(SpfResult::TempError)
    }

    /// DKIM for the signatures of the message, and DMARC for its authors. `spf` is what [`EmailAuth::spf`] gave for
    /// this reverse-path.
    pub async fn verify(
        &self,
        content: &DkimContent,
        spf: SpfResult,
        reverse_path: &ReversePath,
        header_from: &HeaderAddresses,
    ) -> AuthResults {
        let dkim = dkim::verify(&self.verifier, &self.dns, content, self.time).await;
        let arc = chain::verify(&self.verifier, &self.dns, content, self.time).await;
        let envelope = match reverse_path {
            ReversePath::Address(address) => address.domain(),
            ReversePath::Null => None,
        };
        let evidence = dmarc::Evidence { spf, envelope, dkim: &dkim };
        let dmarc = timeout(self.time, dmarc::evaluate(&self.dns, header_from, &evidence)).await;
        let too_late = Dmarc { result: DmarcResult::TempError, policy: DmarcPolicy::None };
        AuthResults { spf, dmarc: dmarc.unwrap_or(too_late), dkim, arc }
    }
}

impl fmt::Debug for EmailAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmailAuth").field("dns", &self.dns).field("time", &self.time).finish_non_exhaustive()
    }
}

const TIME: Duration = Duration::from_secs(10);
