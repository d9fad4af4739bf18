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
    let is_postmaster = account.address.local_part().is_postmaster();
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
    let is_identity =
        |who: &Identity| matches!(who, Identity::Account(id) if scope::matches_account(directory, entry, *id));
    reverse_path.into_iter().chain(from.authors).any(names) || from.sender.identities().iter().any(is_identity)
}

/// Who it is beyond doubt.
fn proven(sender: &Sender) -> Vec<Identity> {
    match sender.verification() {
        None | Some(Verification::Verified) => sender.identities(),
        Some(Verification::Pending | Verification::Provisional | Verification::Failed | Verification::Unavailable) => {
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::{AccountSettings, BlockAction, Blocked, Change, DomainBlocked, change, fixture};
    use crate::policy::sender::Evidence;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn pattern(text: &str) -> AddressPattern {
        match text.strip_prefix("*@") {
            Some(domain) => AddressPattern::Domain(Domain::parse(domain).unwrap()),
            None => AddressPattern::Address(address(text)),
        }
    }

    /// The entries of a list: `allow *@partner.test`, `drop pam@partner.test`.
    fn entries<'a>(list: &'a [&str], word: &'a str) -> impl Iterator<Item = AddressPattern> + 'a {
        list.iter().filter_map(move |entry| Some(pattern(entry.strip_prefix(word)?.trim())))
    }

    /// corp.test with alice and bob; both have these lists, and the domain those.
    fn lists(own: &[&str], domains: &[&str]) -> Directory {
        let mut blocked = Vec::new();
        for (word, action) in [("junk", BlockAction::Junk), ("drop", BlockAction::Drop)] {
            blocked.extend(entries(own, word).map(|sender| Blocked { sender, action }));
        }
        let allowed: Vec<_> = entries(own, "allow").collect();
        let settings = AccountSettings { blocked, allowed, ..AccountSettings::default() };
        let mut domain = fixture::domain(1, "corp.test");
        for action in [DomainBlockAction::Refuse, DomainBlockAction::Junk, DomainBlockAction::Drop] {
            domain.blocked.extend(entries(domains, action.name()).map(|sender| DomainBlocked { sender, action }));
        }
        domain.allowed = entries(domains, "allow").collect();
        let account = |id, name| Change::PutAccount(fixture::account(id, name).with_settings(settings.clone()));
        let changes = [Change::PutDomain(domain), account(1, "alice@corp.test"), account(2, "bob@corp.test")];
        let corp = fixture::corp(&["alice@corp.test", "bob@corp.test", "postmaster@corp.test"], &[], None);
        change::apply_all(&corp, &changes).unwrap().0
    }

    fn account(directory: &Directory, name: &str) -> AccountId {
        directory.account_at(&address(name)).unwrap().id
    }

    /// `pam`, somebody elsewhere, as what the word says: a claim, SPF passed, verified, forged; or bob, logged in.
    fn sender(directory: &Directory, text: &str) -> Sender {
        let path = |text| ReversePath::Address(address(text));
        let unauthenticated = |spf| Sender::unauthenticated(directory, None, path("pam@partner.test"), spf);
        let evidence =
            |from_aligned| Evidence { spf_passed: true, dkim_aligned: false, from_aligned, is_temporary: false };
        match text {
            "claim" => unauthenticated(false),
            "spf" => unauthenticated(true),
            "verified" => unauthenticated(true).with_evidence(evidence(true)),
            "forged" => unauthenticated(true).with_evidence(evidence(false)),
            "null" => Sender::unauthenticated(directory, None, ReversePath::Null, false),
            "bob" => Sender::authenticated(directory, account(directory, "bob@corp.test"), path("bob@corp.test")),
            "bob claimed" => Sender::unauthenticated(directory, None, path("bob@corp.test"), false),
            "system" => Sender::system(),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn what_lists_say_together() {
        for (case, own, domains, from, author, want) in [
            ("no lists", &[][..], &[][..], "verified", "", None),
            ("own block", &["junk *@partner.test"], &[], "claim", "", Some("its owner blocks *@partner.test (junk)")),
            ("own allow", &["allow *@partner.test"], &[], "verified", "", Some("its owner allows *@partner.test")),
            (
                "the address alone",
                &["allow pam@partner.test"],
                &[],
                "verified",
                "",
                Some("its owner allows pam@partner.test"),
            ),
            ("another address", &["allow eve@partner.test"], &[], "verified", "", None),
            (
                "domain blocks",
                &[],
                &["refuse pam@partner.test"],
                "claim",
                "",
                Some("domain corp.test blocks pam@partner.test (refuse)"),
            ),
            (
                "domain allows",
                &[],
                &["allow *@partner.test"],
                "verified",
                "",
                Some("domain corp.test allows *@partner.test"),
            ),
            // Precedence.
            (
                "own allow beats domain's block",
                &["allow pam@partner.test"],
                &["drop *@partner.test"],
                "verified",
                "",
                Some("its owner allows pam@partner.test"),
            ),
            (
                "own block beats domain's allow",
                &["drop pam@partner.test"],
                &["allow *@partner.test"],
                "verified",
                "",
                Some("its owner blocks pam@partner.test (drop)"),
            ),
            (
                "own block beats own allow",
                &["junk *@partner.test", "allow pam@partner.test"],
                &[],
                "verified",
                "",
                Some("its owner blocks *@partner.test (junk)"),
            ),
            (
                "domain's block beats its allow",
                &[],
                &["junk *@partner.test", "allow pam@partner.test"],
                "verified",
                "",
                Some("domain corp.test blocks *@partner.test (junk)"),
            ),
            (
                "what names others decides nothing",
                &["junk *@evil.test"],
                &["allow *@partner.test"],
                "verified",
                "",
                Some("domain corp.test allows *@partner.test"),
            ),
            // To be allowed a claim is not enough.
            ("claim", &["allow pam@partner.test"], &[], "claim", "", None),
            ("SPF alone", &["allow pam@partner.test"], &[], "spf", "", None),
            ("forged", &["allow pam@partner.test"], &[], "forged", "", None),
            (
                "forged, domain blocks",
                &["allow pam@partner.test"],
                &["junk *@partner.test"],
                "forged",
                "",
                Some("domain corp.test blocks *@partner.test (junk)"),
            ),
            ("an author is no proof", &["allow eve@evil.test"], &[], "verified", "eve@evil.test", None),
            ("null reverse-path", &["allow pam@partner.test"], &[], "null", "pam@partner.test", None),
            // To be blocked it is.
            (
                "author blocked",
                &["junk eve@evil.test"],
                &[],
                "verified",
                "eve@evil.test",
                Some("its owner blocks eve@evil.test (junk)"),
            ),
            (
                "author of a bounce",
                &[],
                &["refuse *@evil.test"],
                "null",
                "eve@evil.test",
                Some("domain corp.test blocks *@evil.test (refuse)"),
            ),
            // People here.
            ("login allowed", &["allow bob@corp.test"], &[], "bob", "", Some("its owner allows bob@corp.test")),
            ("login claimed", &["allow bob@corp.test"], &[], "bob claimed", "", None),
            (
                "login blocked",
                &[],
                &["junk bob@corp.test"],
                "bob",
                "",
                Some("domain corp.test blocks bob@corp.test (junk)"),
            ),
            ("this server", &["drop *@corp.test"], &["refuse *@corp.test"], "system", "postmaster@corp.test", None),
        ] {
            let directory = lists(own, domains);
            let alice = directory.account(account(&directory, "alice@corp.test")).unwrap();
            let authors: Vec<Address> = [author].iter().filter(|a| !a.is_empty()).map(|a| address(a)).collect();
            let from = Correspondent { sender: &sender(&directory, from), authors: &authors };
            let said = says(&directory, alice, from).map(|listed| listed.text(&directory, alice));
            assert_eq!(said.as_deref(), want, "{case}");
        }
    }

    #[test]
    fn what_a_domain_refuses() {
        let refused = || Access::Refused(Reason::SenderBlocked);
        for (case, own, domains, from, want) in [
            ("refused", &[][..], &["refuse *@partner.test"][..], "claim", refused()),
            ("refused though it is true", &[], &["refuse *@partner.test"], "verified", refused()),
            ("junk and drop are no refusal", &[], &["drop *@partner.test"], "claim", Access::Allowed),
            ("own entries refuse nothing", &["drop *@partner.test"], &[], "claim", Access::Allowed),
            ("own block comes first", &["junk *@partner.test"], &["refuse *@partner.test"], "claim", Access::Allowed),
            ("own allow, proven", &["allow pam@partner.test"], &["refuse *@partner.test"], "verified", Access::Allowed),
            ("own allow, SPF", &["allow pam@partner.test"], &["refuse *@partner.test"], "spf", Access::Provisional),
            (
                "own allow, DKIM may prove",
                &["allow pam@partner.test"],
                &["refuse *@partner.test"],
                "claim",
                Access::Pending,
            ),
            ("own allow, forged", &["allow pam@partner.test"], &["refuse *@partner.test"], "forged", refused()),
            ("others", &[], &["refuse *@evil.test"], "claim", Access::Allowed),
        ] {
            let directory = lists(own, domains);
            let sender = sender(&directory, from);
            let from = Correspondent { sender: &sender, authors: &[] };
            let access = |name| admits(&directory, directory.account(account(&directory, name)).unwrap(), from);
            assert_eq!(access("alice@corp.test"), want, "{case}");
            assert_eq!(access("postmaster@corp.test"), Access::Allowed, "{case}");
        }
    }

    #[test]
    fn filters_rest_only_if_everybody_allows() {
        let directory = lists(&["allow pam@partner.test"], &[]);
        let id = |name| account(&directory, name);
        for (case, from, accounts, want) in [
            ("all", "verified", &["alice@corp.test", "bob@corp.test"][..], true),
            ("one does not", "verified", &["alice@corp.test", "postmaster@corp.test"], false),
            ("not proven", "spf", &["alice@corp.test"], false),
            ("nobody", "verified", &[], false),
        ] {
            let sender = sender(&directory, from);
            let from = Correspondent { sender: &sender, authors: &[] };
            assert_eq!(all_allow(&directory, from, accounts.iter().map(|name| id(name))), want, "{case}");
        }
    }

    #[test]
    fn lists_are_bounded_and_name_who_can_send() {
        let too_long = vec![pattern("*@partner.test"); 1001];
        let domain = |allowed| Change::PutDomain(DomainRecord { allowed, ..fixture::domain(1, "corp.test") });
        let refused = |change| change::apply(&lists(&[], &[]), &change).unwrap_err().to_string();
        assert!(refused(domain(too_long)).contains("at most 1000 entries"));
        let group = AddressPattern::Group(crate::mail::GroupId::new(1).unwrap());
        assert!(refused(domain(vec![group])).contains("is an address, an account or a domain"));
        let second = DomainRecord {
            alias_of: crate::mail::DomainId::new(1),
            allowed: vec![pattern("*@partner.test")],
            ..fixture::domain(2, "second.test")
        };
        assert!(refused(Change::PutDomain(second)).contains("second name"));
    }
}
