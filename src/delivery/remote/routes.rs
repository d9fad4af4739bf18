//! Which route a message takes.

use std::sync::Arc;

use super::destination::Route;
use crate::directory::Directory;
use crate::mail::{Domain, Host, ReversePath};
use crate::store::{QueueSender, Remote};

/// The routes, the first that fits applies.
#[derive(Clone, Debug, Default)]
pub struct Routes(pub Vec<Rule>);

/// For what a route is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Recipients; empty for all.
    pub to: Vec<Pattern>,
    /// Senders; empty for all. The domain of the account that has submitted the message, else of its reverse-path.
    pub from: Vec<Pattern>,
    /// The route.
    pub route: Arc<Route>,
}

/// Domains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// This one.
    Only(Domain),
    /// Those below this one: `.example.org`.
    Below(Domain),
}

impl Routes {
    /// The route of a message to this recipient, if one applies.
    pub fn of(&self, directory: &Directory, remote: &Remote, reverse_path: &ReversePath) -> Option<Arc<Route>> {
        if self.0.is_empty() {
            return None;
        }
        let to = remote.recipient.host();
        let from = sender(directory, remote, reverse_path);
        let fits = |patterns: &[Pattern], domain: Option<&Domain>| {
            patterns.is_empty() || domain.is_some_and(|domain| patterns.iter().any(|p| p.matches(domain)))
        };
        let to = match to {
            Host::Name(name) => Some(name),
            Host::Literal(_) => None,
        };
        let rule = self.0.iter().find(|rule| fits(&rule.to, to) && fits(&rule.from, from.as_ref()));
        rule.map(|rule| rule.route.clone())
    }
}

fn sender(directory: &Directory, remote: &Remote, reverse_path: &ReversePath) -> Option<Domain> {
    if let QueueSender::Account(account) = &remote.sender
        && let Some(account) = directory.account(*account)
    {
        return account.address.domain().cloned();
    }
    match reverse_path {
        ReversePath::Address(address) => address.domain().cloned(),
        ReversePath::Null => None,
    }
}

impl Pattern {
    /// True for a domain that it means.
    pub fn matches(&self, domain: &Domain) -> bool {
        match self {
            Pattern::Only(only) => only == domain,
            Pattern::Below(above) => {
                domain.as_str().strip_suffix(above.as_str()).is_some_and(|left| left.ends_with('.'))
            }
        }
    }
}
