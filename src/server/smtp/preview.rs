//! What a session would answer, without one: the decisions of MAIL and RCPT with the replies that the peer would read.
//! Rates, sizes and the room in the recipient's account are not looked at.

use std::net::{IpAddr, Ipv4Addr};

use super::{Role, answer, refusal, transaction};
use crate::directory::Directory;
use crate::mail::{AccountId, ForwardPath, ReversePath};
use crate::policy::reverse_path;
use crate::policy::sender::Sender;
use crate::proto::smtp::Reply;
use crate::routing::{self, Explanation};

/// Who would send.
pub(in crate::server) enum Client {
    /// Somebody logged in on a submission port.
    Login(AccountId),
    /// A host on port 25.
    Host {
        /// Its address; `None` for one that nobody has listed.
        address: Option<IpAddr>,
        /// SPF passed for the domain of the reverse-path.
        spf_passed: bool,
    },
}

/// What a session would answer.
pub(in crate::server) enum Preview {
    /// This to MAIL, and so no RCPT.
    Mail(Reply),
    /// This to RCPT, and why.
    Rcpt(Reply, Explanation),
}

/// What the transaction of `client` would hear.
pub(in crate::server) fn preview(
    directory: &Directory,
    client: &Client,
    reverse_path: ReversePath,
    to: &ForwardPath,
) -> Preview {
    let (role, login) = match client {
        Client::Login(account) => (Role::Submission, Some(*account)),
        Client::Host { .. } => (Role::Relay, None),
    };
    let submitter = transaction::submitter(directory, role, login, &reverse_path);
    let facts = reverse_path::Facts { submitter, declared_size: None, size_limit: u64::MAX };
    if let Some(reply) = refusal::verdict(reverse_path::decide(&facts)) {
        return Preview::Mail(reply);
    }
    let sender = match *client {
        Client::Login(account) => Sender::authenticated(directory, account, reverse_path),
        Client::Host { address, spf_passed } => {
            let relay = address.and_then(|a| directory.relay(a));
            Sender::unauthenticated(directory, relay, reverse_path, spf_passed)
        }
    };
    let explanation = routing::explain(directory, &sender, NO_ADDRESS, to);
    let refused = explanation.verdict.clone().err().and_then(refusal::verdict);
    Preview::Rcpt(refused.unwrap_or_else(answer::recipient), explanation)
}

/// No listener of ours has it, so that no address literal is ours.
const NO_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
