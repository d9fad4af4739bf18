//! What the lists of an account and of its domain say of a sender: blocked, allowed, or nothing.
//!
//! The first of these that names the sender decides: what the account blocks, what it allows, what its domain blocks,
//! what that allows. So an account's own entry beats its domain's, and of one level block beats allow.
//!
//! To be blocked a claim is enough: the reverse-path, an author, or who has logged in. To be allowed the sender must be
//! proven, by authentication or verification (policy semantics §3), and it is the proven identity that the entry names: a
//! forged address gets past nothing.
//!
//! Allowed means that what filters take for junk is none for that account; a mail rule that moves a message to Junk is the
//! administrator's and stands, and what is refused for all stays refused. Nothing here keeps anybody from `postmaster`
//! (RFC 5321 §4.5.1).

use super::sender::{Identity, Origin, Sender, Verification};
use super::{Access, Reason, scope};
use crate::directory::text::pattern_text;
use crate::directory::{
    Account, AccountState, AddressPattern, Directory, DomainBlockAction, DomainRecord, Group, Owner,
};
use crate::mail::{AccountId, Address, Domain, ReversePath};

/// Who sends, as lists look at it.
#[derive(Clone, Copy, Debug)]
pub struct Correspondent<'a> {
    /// Who that is, as far as it is known.
    pub sender: &'a Sender,
    /// The addresses of From; none before the end of data.
    pub authors: &'a [Address],
}

/// What a list says of a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Whose list.
    pub level: Level,
    /// What it says.
    pub says: Says,
    /// The place of the entry that says it.
    place: usize,
}

/// Whose list it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The account's own.
    Account,
    /// That of the account's domain.
    Domain,
}

/// What a list says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// Its mail is no junk.
    Allowed,
    /// Its mail is not wanted.
    Blocked(DomainBlockAction),
}

/// What the lists say of this sender to this account.
pub fn says(directory: &Directory, account: &Account, from: Correspondent<'_>) -> Option<Listed> {
    of_account(directory, account, from).or_else(|| of_domain(directory, domain_of(directory, account)?, from))
}

/// What the account's own lists say. While it is frozen, what its owner has set rests (policy semantics §10.1).
pub fn of_account(directory: &Directory, account: &Account, from: Correspondent<'_>) -> Option<Listed> {
    if account.state == AccountState::Frozen {
        return None;
    }
    let settings = account.settings();
    let blocked = settings.blocked.iter().map(|entry| (&entry.sender, entry.action.into()));
    decide(directory, Level::Account, blocked, &settings.allowed, from)
}

/// What the lists of a domain say.
pub fn of_domain(directory: &Directory, domain: &DomainRecord, from: Correspondent<'_>) -> Option<Listed> {
    let blocked = domain.blocked.iter().map(|entry| (&entry.sender, entry.action));
    decide(directory, Level::Domain, blocked, &domain.allowed, from)
}

/// The domain whose lists hold for an account; `None` for `postmaster`.
pub fn domain_of<'a>(directory: &'a Directory, account: &Account) -> Option<&'a DomainRecord> {
    let is_postmaster = account.address.local_part().as_str().eq_ignore_ascii_case("postmaster");
    account.address.domain().filter(|_| !is_postmaster).and_then(|domain| record(directory, domain))
}

/// May this sender's mail come in for this account? No if its domain's list refuses it; an entry of the account's own that
/// allows the sender opens it again, which may depend on the sender proving true.
pub fn admits(directory: &Directory, account: &Account, from: Correspondent<'_>) -> Access {
    let refuses = |sender: &Sender| is_refusal(says(directory, account, Correspondent { sender, ..from }));
    if !refuses(from.sender) {
        return Access::Allowed;
    }
    match from.sender.verification() {
        Some(Verification::Provisional) if !refuses(&from.sender.assuming(true)) => Access::Provisional,
        Some(Verification::Pending) if !refuses(&from.sender.assuming(true)) => Access::Pending,
        _ => Access::Refused(Reason::SenderBlocked),
    }
}

/// May this sender's mail come in for this group? No if the list of its domain refuses it; all else is its members'.
pub fn admits_to_group(directory: &Directory, group: &Group, from: Correspondent<'_>) -> Access {
    let domain = group.address.domain().and_then(|domain| record(directory, domain));
    match domain.and_then(|domain| of_domain(directory, domain, from)) {
        listed if is_refusal(listed) => Access::Refused(Reason::SenderBlocked),
        _ => Access::Allowed,
    }
}

/// True if every one of these accounts allows the sender, and there is one: then no filter needs to look for junk.
pub fn all_allow(
    directory: &Directory,
    from: Correspondent<'_>,
    accounts: impl IntoIterator<Item = AccountId>,
) -> bool {
    let allows = |id| {
        let listed = directory.account(id).and_then(|account| says(directory, account, from));
        listed.is_some_and(|listed| listed.says == Says::Allowed)
    };
    let mut accounts = accounts.into_iter().peekable();
    accounts.peek().is_some() && accounts.all(allows)
}

/// True for a sender whom a list can allow.
pub fn is_proven(sender: &Sender) -> bool {
    !proven(sender).is_empty()
}

/// For which entry the domain of a group refuses the sender, for people.
pub fn group_text(directory: &Directory, group: &Group, from: Correspondent<'_>) -> Option<String> {
    let domain = record(directory, group.address.domain()?)?;
    Some(domain_text(directory, domain, of_domain(directory, domain, from)?))
}

impl Listed {
    /// Which list says what of whom, for people.
    pub fn text(self, directory: &Directory, account: &Account) -> String {
        match (self.level, domain_of(directory, account)) {
            (Level::Domain, Some(domain)) => domain_text(directory, domain, self),
            (Level::Account, _) | (Level::Domain, None) => {
                let settings = account.settings();
                let entry = match self.says {
                    Says::Allowed => settings.allowed.get(self.place),
                    Says::Blocked(_) => settings.blocked.get(self.place).map(|entry| &entry.sender),
                };
                text(directory, "its owner", self.says, entry)
            }
        }
    }
}

fn domain_text(directory: &Directory, domain: &DomainRecord, listed: Listed) -> String {
    let entry = match listed.says {
        Says::Allowed => domain.allowed.get(listed.place),
        Says::Blocked(_) => domain.blocked.get(listed.place).map(|entry| &entry.sender),
    };
    text(directory, &format!("domain {}", domain.name), listed.says, entry)
}

fn text(directory: &Directory, who: &str, says: Says, entry: Option<&AddressPattern>) -> String {
    let entry = entry.and_then(|entry| pattern_text(directory, entry)).unwrap_or_default();
    match says {
        Says::Allowed => format!("{who} allows {entry}"),
        Says::Blocked(action) => format!("{who} blocks {entry} ({})", action.name()),
    }
}

fn is_refusal(listed: Option<Listed>) -> bool {
    listed.is_some_and(|listed| listed.says == Says::Blocked(DomainBlockAction::Refuse))
}

/// A hosted domain; for a second name the first, which has the lists.
fn record<'a>(directory: &'a Directory, domain: &Domain) -> Option<&'a DomainRecord> {
    let record = directory.domain(domain)?;
    match record.alias_of {
        Some(principal) => directory.domain_by_id(principal).map(|found| &**found),
        None => Some(record),
    }
}

/// The lists of one level.
fn decide<'a>(
    directory: &Directory,
    level: Level,
    blocked: impl Iterator<Item = (&'a AddressPattern, DomainBlockAction)>,
    allowed: &[AddressPattern],
    from: Correspondent<'_>,
) -> Option<Listed> {
    let mut blocked = blocked.enumerate();
    if let Some((place, (_, action))) = blocked.find(|(_, (entry, _))| is_claimed(directory, entry, from)) {
        return Some(Listed { level, says: Says::Blocked(action), place });
    }
    if allowed.is_empty() {
        return None;
    }
    let proven = proven(from.sender);
    let names = |entry: &AddressPattern| proven.iter().any(|who| scope::matches_identity(directory, entry, who));
    allowed.iter().position(names).map(|place| Listed { level, says: Says::Allowed, place })
}

/// True if the entry names somebody whom the message says it is from. What this server sends is nobody's.
fn is_claimed(directory: &Directory, entry: &AddressPattern, from: Correspondent<'_>) -> bool {
    if from.sender.origin == Origin::System {
        return false;
    }
    let names = |address: &Address| {
        scope::matches_address(entry, address)
            || matches!(directory.owner(address), Owner::Account(owner) if
                scope::matches_account(directory, entry, owner.id))
    };
    let reverse_path = match &from.sender.reverse_path {
        ReversePath::Address(address) => Some(address),
        ReversePath::Null => None,
    };
    let is_identity = |who: &Identity| matches!(who, Identity::Account(id) if scope::matches_account(directory, entry, *id));
    reverse_path.into_iter().chain(from.authors).any(names) || from.sender.identities().iter().any(is_identity)
}

/// Who it is beyond doubt.
fn proven(sender: &Sender) -> Vec<Identity> {
    match sender.verification() {
        None | Some(Verification::Verified) => sender.identities(),
        Some(
            Verification::Pending | Verification::Provisional | Verification::Failed | Verification::Unavailable,
        ) => Vec::new(),
    }
}
