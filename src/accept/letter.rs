//! A message that may be accepted, with everything that decides what becomes of it.

use serde::{Deserialize, Serialize};

use crate::directory::Directory;
use crate::hooks::Note;
use crate::mail::{AccountId, Address, BlobId, Notify, OrganisationId, Ret, ReversePath, Timestamp};
use crate::policy::blocklist::Listing;
use crate::policy::sender::{Evidence, Sender};
use crate::proto::authres::{AuthResults, SpfResult};
use crate::proto::message::HeaderAddresses;
use crate::routing::Addressed;

/// A recipient as given and where it leads.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// As given in RCPT.
    pub address: String,
    /// Where it leads.
    pub addressed: Addressed,
    /// What the sender wants to be told of (RFC 3461 §4.1); `None` if it did not say.
    pub notify: Option<Notify>,
    /// ORCPT (RFC 3461 §4.2), decoded: `addr-type;address`.
    pub original: Option<String>,
    /// A hook has named it: the sender knows nothing of it, and hears nothing of it.
    pub by_hook: bool,
}

/// A message, who sends it and to whom; its content is staged or stored.
#[derive(Debug)]
pub struct Letter<'a> {
    /// The message's id.
    pub id: BlobId,
    /// As it was at MAIL (policy semantics §19).
    pub directory: &'a Directory,
    /// Who sends, as far as it will ever be known.
    pub sender: &'a Sender,
    /// To whom.
    pub recipients: &'a [Recipient],
    /// The authors.
    pub from: &'a HeaderAddresses,
    /// The header as received.
    pub header: &'a [u8],
    /// Octets of the content as received.
    pub size: u64,
    /// The fields that stand before it.
    pub prefix: &'a [u8],
    /// What email authentication found.
    pub auth: &'a AuthResults,
    /// When it came.
    pub now: Timestamp,
    /// Where it came from, for the trace.
    pub origin: &'a Origin,
    /// What the sender asked for.
    pub wishes: Wishes<'a>,
    /// What hooks made of it.
    pub hooked: Hooked<'a>,
}

/// What hooks made of a message, beside its envelope and content.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hooked<'a> {
    /// The fields that they have put in front of it; the prefix has them too.
    pub added: &'a [u8],
    /// It is junk for whoever gets it.
    pub is_junk: bool,
    /// It waits for an administrator: because of which hook, and why.
    pub quarantine: Option<(&'a str, &'a str)>,
    /// Recipients that the sender has named and that they have taken away.
    pub removed: &'a [Recipient],
    /// What they have said.
    pub notes: &'a [Note],
}

/// What the sender asked for of a message as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes<'a> {
    /// ENVID (RFC 3461 §4.4), decoded.
    pub envelope_id: Option<&'a str>,
    /// RET (RFC 3461 §4.3).
    pub ret: Option<Ret>,
    /// REQUIRETLS (RFC 8689 §4.1).
    pub requires_tls: bool,
}

impl Recipient {
    /// Whether the sender wants to hear of a failure (RFC 3461 §4.1): unless NOTIFY leaves it out.
    pub fn wants_failure(&self) -> bool {
        self.notify.is_none_or(|notify| notify.failure)
    }
}

impl Letter<'_> {
    /// True if the account gets the message because a hook has named it, and not because the sender has.
    pub fn is_named_by_hook(&self, account: AccountId) -> bool {
        let leads_there =
            |r: &&Recipient| matches!(&r.addressed, Addressed::Account { account: id, .. } if *id == account);
        let mut named = self.recipients.iter().filter(leads_there).peekable();
        named.peek().is_some() && named.all(|recipient| recipient.by_hook)
    }

    /// Whether the sender wants to hear of a failure of the recipient that was given as this address; of what nobody gave,
    /// yes.
    pub fn wants_failure_of(&self, address: &Address) -> bool {
        self.given_as(address).is_none_or(Recipient::wants_failure)
    }

    /// True if a hook has named the recipient that was given as this address.
    pub fn is_by_hook(&self, address: &Address) -> bool {
        self.given_as(address).is_some_and(|recipient| recipient.by_hook)
    }

    fn given_as(&self, address: &Address) -> Option<&Recipient> {
        let is_it = |r: &&Recipient| match &r.addressed {
            // By whatever address it was given.
            Addressed::Group(id) => self.directory.group(*id).is_some_and(|g| g.address.key() == address.key()),
            Addressed::Account { .. } | Addressed::External(_) => {
                Address::parse(&r.address).is_ok_and(|given| given.key() == address.key())
            }
        };
        self.recipients.iter().find(is_it)
    }
}

/// True if an organisation may know that a message is for this recipient: who writes from outside has told it of its own
/// addresses alone, also if others are on the same envelope.
pub fn may_know(directory: &Directory, organisation: OrganisationId, sender: &Sender, recipient: &str) -> bool {
    let owner = || directory.organisation_of(Address::parse(recipient).ok()?.domain()?);
    sender.is_of(directory, organisation) || owner() == Some(organisation)
}

/// Where a message came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The client's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The name that the client gave itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub helo: String,
    /// Who was logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Address>,
    /// What block lists say of the client; empty if they were not asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocklists: Vec<Listing>,
}

/// What the end of data tells of an unauthenticated sender (policy semantics §3.3): SPF or an aligned signature vouch
/// for the reverse-path, and every author must be aligned with it.
pub fn evidence(
    directory: &Directory,
    reverse_path: &ReversePath,
    auth: &AuthResults,
    from: &HeaderAddresses,
) -> Evidence {
    let domain = match reverse_path {
        ReversePath::Address(address) => address.domain(),
        ReversePath::Null => None,
    };
    let Some(domain) = domain else {
        return Evidence { spf_passed: false, dkim_aligned: false, from_aligned: false, is_temporary: false };
    };
    let is_hosted = directory.hosts(domain);
    let is_aligned = |other| crate::mail::is_aligned(other, domain, is_hosted);
    Evidence {
        spf_passed: auth.spf == SpfResult::Pass,
        dkim_aligned: auth.signers().any(is_aligned),
        from_aligned: from.is_complete && from.addresses.iter().all(|address| address.domain().is_some_and(is_aligned)),
        is_temporary: auth.spf == SpfResult::TempError || auth.has_dkim_temperror(),
    }
}
