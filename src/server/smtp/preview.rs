//! What a session would answer, without one: the decisions of MAIL and RCPT with the replies that the peer would read.
//! Rates, sizes and the room in the recipient's account are not looked at.

use std::net::{IpAddr, Ipv4Addr};

use super::question::{self, Found, Open};
use super::{Role, answer, refusal, transaction};
use crate::directory::Directory;
use crate::mail::{AccountId, ForwardPath, ReversePath};
use crate::policy::rate::Rate;
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

/// What the transaction of `client` would hear. `question`: what `to` asks, if it is a one-time address.
pub(in crate::server) fn preview(
    directory: &Directory,
    client: &Client,
    reverse_path: ReversePath,
    to: &ForwardPath,
    question: Option<&Found>,
) -> Preview {
    let (role, login) = match client {
        Client::Login(account) => (Role::Submission, Some(*account)),
        Client::Host { .. } => (Role::Relay, None),
    };
    let submitter = transaction::submitter(directory, role, login, &reverse_path);
    let rate = Rate::Within;
    let facts = reverse_path::Facts { submitter, declared_size: None, size_limit: u64::MAX, rate };
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
    let explanation = match question {
        None => routing::explain(directory, &sender, NO_ADDRESS, to),
        Some(found) => {
            let destination = question::destination(found, sender.account(), &sender.reverse_path);
            routing::explain_question(directory, &sender, destination, asks(directory, found))
        }
    };
    let refused = explanation.verdict.clone().err().and_then(refusal::verdict);
    Preview::Rcpt(refused.unwrap_or_else(answer::recipient), explanation)
}

/// What a one-time address asks, in words.
fn asks(directory: &Directory, found: &Found) -> String {
    let name =
        |id: &AccountId| directory.account(*id).map_or_else(|| format!("account {id}"), |a| a.address.to_string());
    match found {
        Found::Open(Open::Decide { hold, approver, .. }) => {
            format!("one-time address: by answering, {} decides about the held message {hold}", name(approver))
        }
        Found::Open(Open::Confirm { account, target }) => {
            format!("one-time address: by answering, {target} confirms that {} may forward mail to it", name(account))
        }
        Found::Nothing => "one-time address that asks nothing: forged, expired, or answered already".to_owned(),
        Found::Unavailable => "one-time address, but what it asks cannot be read now".to_owned(),
    }
}

/// No listener of ours has it, so that no address literal is ours.
const NO_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
