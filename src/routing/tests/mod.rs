//! Policy semantics §21 against the pure functions, over the fixture of §2; rows are named by their IDs.
//!
//! What a row says of the end of data is decided as the session decides it: the recipients that stood on a claim are
//! asked again once the evidence is there. Left for tests of the whole server, because they speak of replies to other
//! commands, stores, queues, IMAP or HTTP: L32, L33; S16, S20's password; P18's hand-over; N19 to N22 (the directory and
//! the admin API refuse them); E15 to E17, E19, E24, E28; A06 to A10, A12 to A15, A17, A28, A29; F05, F10, F14 to F18,
//! F21, F22.

mod expansion;
mod forwarding;
mod group_permission;
mod invariants;
mod lists;
mod lookup;
mod nested;
mod ownership;
mod states;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::OnceLock;

use super::{
    Addressed, Expansion, Facts, Plan, Receiver, Resolution, Return, Via, destination, expand, is_beyond_scope,
    look_up, plan, resolve,
};
use crate::directory::{
    Account, AccountSettings, Change, Directory, Group, Members, RelayKind, Target, change, record,
};
use crate::mail::{AccountId, Address, Domain, ForwardPath, GroupId, ReversePath, is_aligned};
use crate::policy::rate::Rate;
use crate::policy::recipient::{self, Destination, Room, Standing};
use crate::policy::sender::{Evidence, Sender, Verification};
use crate::policy::{Access, Reason, Verdict};
use crate::proto::smtp::{Command, Syntax};
use crate::server::admin::spec::directory_from_toml;

const ACME: &str = include_str!("../../../tests/fixtures/acme.toml");

/// The fixture.
fn acme() -> Directory {
    static FIXTURE: OnceLock<Directory> = OnceLock::new();
    FIXTURE.get_or_init(|| acme_and("")).clone()
}

/// The fixture with further objects.
fn acme_and(toml: &str) -> Directory {
    directory_from_toml(&format!("{ACME}\n{toml}")).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// A whole address, or the name of somebody in the fixture.
fn address(name: &str) -> Address {
    let text = match name {
        "pam" => "pam@partner.test".to_owned(),
        "stranger" => "stranger@ext.test".to_owned(),
        "gina" => "gina@branch.test".to_owned(),
        _ if name.contains('@') => name.to_owned(),
        _ => format!("{name}@corp.test"),
    };
    Address::parse(&text).unwrap()
}

fn account(directory: &Directory, name: &str) -> AccountId {
    directory.account_at(&address(name)).unwrap_or_else(|| panic!("no {name}")).id
}

fn group(directory: &Directory, name: &str) -> GroupId {
    directory.group_at(&address(name)).unwrap_or_else(|| panic!("no {name}")).id
}

/// Somebody of the fixture, or an external address.
fn target(directory: &Directory, name: &str) -> Target {
    let address = address(name);
    match (directory.account_at(&address), directory.group_at(&address)) {
        (Some(account), _) => Target::Account(account.id),
        (None, Some(group)) => Target::Group(group.id),
        (None, None) => Target::External(address),
    }
}

fn with(directory: &Directory, change: Change) -> Directory {
    change::apply(directory, &change).unwrap().0
}

fn with_account(directory: &Directory, name: &str, edit: impl FnOnce(&mut Account)) -> Directory {
    let mut account = (**directory.account(account(directory, name)).unwrap()).clone();
    edit(&mut account);
    with(directory, Change::PutAccount(account))
}

fn with_settings(directory: &Directory, name: &str, edit: impl FnOnce(&mut AccountSettings)) -> Directory {
    with_account(directory, name, |account| {
        let mut settings = account.settings().clone();
        edit(&mut settings);
        *account = account.clone().with_settings(settings);
    })
}

fn with_group(directory: &Directory, name: &str, edit: impl FnOnce(&mut Group)) -> Directory {
    let mut group = (**directory.group(group(directory, name)).unwrap()).clone();
    edit(&mut group);
    with(directory, Change::PutGroup(group))
}

fn with_catch_all(domain: &str, name: &str) -> Directory {
    let directory = acme();
    let mut record = (**directory.domain(&Domain::parse(domain).unwrap()).unwrap()).clone();
    record.catch_all = Some(account(&directory, name));
    with(&directory, Change::PutDomain(record))
}

/// The directory with these groups as they are, though a change would refuse them: as from a damaged store.
fn with_damaged_groups(directory: &Directory, groups: &[Group]) -> Directory {
    let mut changes: Vec<Change> = Vec::new();
    changes.extend(directory.organisations().map(|o| Change::PutOrganisation((**o).clone())));
    changes.extend(directory.domains().map(|d| Change::PutDomain((**d).clone())));
    changes.extend(directory.departments().map(|d| Change::PutDepartment((**d).clone())));
    changes.extend(directory.accounts().map(|a| Change::PutAccount((**a).clone())));
    changes.extend(directory.aliases().map(|a| Change::PutAlias((**a).clone())));
    let bare = |group: &Group| Group { members: Members::default(), ..group.clone() };
    let kept = directory.groups().map(|g| &**g).filter(|g| !groups.iter().any(|other| other.id == g.id));
    let all: Vec<Group> = kept.chain(groups).cloned().collect();
    changes.extend(all.iter().map(|g| Change::PutGroup(bare(g))));
    let (_, writes) = change::apply_all(&Directory::default(), &changes).unwrap();
    let whole = |id: u32| all.iter().find(|g| g.id.number() == id).map(record::encode);
    let records = writes
        .into_iter()
        .filter_map(|(kind, id, value)| Some((kind, id, if kind == record::GROUP { whole(id)? } else { value? })));
    Directory::from_records(1, records.collect()).unwrap()
}

/// Who sends, and what the end of data will tell of it.
struct Client {
    sender: Sender,
    evidence: Evidence,
}

/// `auth bob`, `auth bob as support`, `relay alice`, `<>`, or a claim: `alice spf=pass from=bob`,
/// `alice spf=temperror dkim=corp.test`. Without `from` the author is the reverse-path, without `spf` there is none.
fn client(directory: &Directory, text: &str) -> Client {
    let words: Vec<&str> = text.split_whitespace().collect();
    let value = |key: &str| words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    let path = |name: &str| if name == "<>" { ReversePath::Null } else { ReversePath::Address(address(name)) };
    let spf = value("spf").unwrap_or("none");
    let sender = match words[..] {
        ["auth", who] => Sender::authenticated(directory, account(directory, who), path(who)),
        ["auth", who, "as", other] => Sender::authenticated(directory, account(directory, who), path(other)),
        ["relay", who] => Sender::unauthenticated(directory, Some(RelayKind::TrustedRelay), path(who), false),
        ["gateway", who, ..] => Sender::unauthenticated(directory, Some(RelayKind::Gateway), path(who), spf == "pass"),
        [who, ..] => Sender::unauthenticated(directory, None, path(who), spf == "pass"),
        [] => panic!("nobody sends"),
    };
    let evidence = match &sender.reverse_path {
        ReversePath::Null => {
            Evidence { spf_passed: false, dkim_aligned: false, from_aligned: false, is_temporary: false }
        }
        ReversePath::Address(reverse_path) => {
            let of = reverse_path.domain().unwrap();
            let agrees = |domain: &Domain| is_aligned(domain, of, directory.hosts(of));
            Evidence {
                spf_passed: spf == "pass",
                dkim_aligned: value("dkim").is_some_and(|d| agrees(&Domain::parse(d).unwrap())),
                from_aligned: value("from").is_none_or(|from| agrees(address(from).domain().unwrap())),
                is_temporary: spf == "temperror",
            }
        }
    };
    Client { sender, evidence }
}

/// One transaction.
struct Passage {
    /// For each RCPT `250` or the key of the reply.
    replies: Vec<&'static str>,
    /// The reply to the data, if somebody was accepted.
    data: Option<&'static str>,
    /// Recipients that stood on a claim which is not true.
    failed: Vec<Addressed>,
    /// The sender as the end of data knows it.
    sender: Sender,
    expansion: Expansion,
    plan: Plan,
}

fn send(directory: &Directory, from: &str, to: &str) -> Passage {
    send_with(directory, from, to, &Facts::default())
}

fn send_with(directory: &Directory, from: &str, to: &str, facts: &Facts) -> Passage {
    let Client { sender, evidence } = client(directory, from);
    let mut accepted: Vec<(Addressed, Standing)> = Vec::new();
    let mut replies = Vec::new();
    for to in to.split_whitespace() {
        match rcpt(directory, &sender, to, &accepted) {
            Ok(recipient) => {
                accepted.push(recipient);
                replies.push("250");
            }
            Err(key) => replies.push(key),
        }
    }
    let sender = sender.with_evidence(evidence);
    let (mut kept, mut failed) = (Vec::new(), Vec::new());
    for (addressed, standing) in accepted {
        let now = destination(directory, &sender, &Resolution::Local(addressed.clone()));
        let stands = standing == Standing::Settled || !matches!(now, Destination::Local(Access::Refused(_)));
        if stands { kept.push(addressed) } else { failed.push(addressed) }
    }
    let unavailable = sender.verification() == Some(Verification::Unavailable);
    let data = match (kept.is_empty(), failed.is_empty()) {
        (true, true) => None,
        (true, false) => Some(if unavailable { "group.retry" } else { "group.unverified" }),
        (false, _) => Some("250"),
    };
    let expansion = expand(directory, &sender, &kept);
    let plan = plan(directory, &sender, facts, &expansion.deliveries);
    Passage { replies, data, failed, sender, expansion, plan }
}

/// RCPT as the session decides it; there is room.
fn rcpt(
    directory: &Directory,
    sender: &Sender,
    to: &str,
    others: &[(Addressed, Standing)],
) -> Result<(Addressed, Standing), &'static str> {
    let to = if to.contains(['@', '<']) || to == "postmaster" { to.to_owned() } else { address(to).to_string() };
    let (forward_path, lacks_smtputf8) = forward_path(&to)?;
    let resolution = resolve(directory, OWN_ADDRESS, &forward_path);
    let is_pending = others.iter().any(|(_, standing)| *standing == Standing::Pending);
    let facts = recipient::Facts {
        may_relay: matches!(sender.class(), "O1" | "O2"),
        lacks_smtputf8,
        client_listed: None,
        destination: destination(directory, sender, &resolution),
        is_beyond_scope: is_beyond_scope(directory, sender, &resolution),
        room: Room::Fits,
        count: others.len(),
        limit: 500,
        rate: Rate::Within,
        others: others.first().map(|_| if is_pending { Standing::Pending } else { Standing::Settled }),
    };
    let standing = recipient::decide(&facts).map_err(|verdict| key(&verdict))?;
    match resolution {
        Resolution::Local(addressed) => Ok((addressed, standing)),
        Resolution::Foreign(address) => Ok((Addressed::External(address), standing)),
        Resolution::Unknown => panic!("{to} is accepted though unknown"),
    }
}

/// The path of a RCPT command, and whether it needs SMTPUTF8.
fn forward_path(path: &str) -> Result<(ForwardPath, bool), &'static str> {
    match Command::parse(format!("RCPT TO:<{path}>").as_bytes(), Syntax::Strict) {
        Ok(Command::Rcpt(rcpt)) => Ok((rcpt.forward_path, rcpt.needs_smtputf8)),
        _ => Err("bad.syntax"),
    }
}

/// The key in the reply catalogue (policy semantics §20).
fn key(verdict: &Verdict) -> &'static str {
    let (reason, is_temporary) = match verdict {
        Verdict::Accept => return "250",
        Verdict::Refuse(reason) => (reason, false),
        Verdict::Defer(reason) => (reason, true),
    };
    match (reason, is_temporary) {
        (Reason::AuthenticationRequired, false) => "auth.required",
        (Reason::SenderNotOwned, false) => "sender.not_owned",
        (Reason::FromNotOwned, false) => "from.not_owned",
        (Reason::SendBlocked, false) => "send.blocked",
        (Reason::SendScope, false) => "send.scope",
        (Reason::ReceiveScope, false) => "recv.scope",
        (Reason::SenderBlocked, false) => "sender.listed",
        (Reason::Smtputf8Required, false) => "need.utf8",
        (Reason::RelayingDenied, false) => "relay.denied",
        (Reason::UserUnknown, false) => "user.unknown",
        (Reason::UserDisabled(None), false) => "user.disabled",
        (Reason::UserDisabled(Some(_)), false) => "user.disabled with text",
        (Reason::GroupDenied, false) => "group.denied",
        (Reason::GroupUnverified, false) => "group.unverified",
        (Reason::GroupRetry, true) => "group.retry",
        (Reason::GroupEmpty, false) => "group.empty",
        (Reason::SplitRecipient, true) => "rcpt.split",
        (Reason::TooManyRecipients, true) => "rcpt.toomany",
        (Reason::PolicyUnavailable, true) => "policy.error",
        _ => panic!("RCPT does not say {verdict:?}"),
    }
}

impl Passage {
    /// The replies in a row: `250`, `250 group.denied`, `250 then group.unverified`.
    fn replies(&self) -> String {
        let rcpt = self.replies.join(" ");
        match self.data {
            None | Some("250") => rcpt,
            Some(data) => format!("{rcpt} then {data}"),
        }
    }

    /// Who gets it, sorted: `alice/direct bob carol`.
    fn delivered(&self, directory: &Directory) -> String {
        sorted(self.expansion.deliveries.iter().map(|d| {
            let how = match d.via {
                Via::Direct => "/direct",
                Via::Postmaster => "/postmaster",
                Via::CatchAll => "/catch-all",
                Via::Group(_) => "",
            };
            let detail = d.detail.as_ref().map_or_else(String::new, |detail| format!("+{detail}"));
            format!("{}{detail}{how}", receiver(directory, &d.to))
        }))
    }

    /// The groups that stay closed; `(outside)` for external members.
    fn closed(&self, directory: &Directory) -> String {
        sorted(self.expansion.closed.iter().map(|closed| match closed.inner {
            Some(inner) => group_name(directory, inner),
            None => "(outside)".to_owned(),
        }))
    }

    /// The groups that wait for approval.
    fn held(&self, directory: &Directory) -> String {
        sorted(self.expansion.held.iter().map(|held| group_name(directory, held.group)))
    }

    /// Who stores it and where else it goes, sorted: `alice's Junk`, `pam by corp.test`.
    fn stored(&self, directory: &Directory) -> String {
        let local = self.plan.local.iter().map(|local| match local.folder {
            super::Folder::Inbox => account_name(directory, local.account),
            super::Folder::Junk => format!("{}'s Junk", account_name(directory, local.account)),
        });
        let remote = self.plan.remote.iter().map(|remote| {
            let by = match &remote.reverse_path {
                Return::Sender => String::new(),
                Return::Rewritten(domain) => format!(" by {domain}"),
                Return::Managers(group) => format!(" for {}", group_name(directory, *group)),
                Return::Administrators => " for an administrator".to_owned(),
            };
            format!("{}{by}", remote.to.local_part())
        });
        let mut all: Vec<String> = local.chain(remote).collect();
        all.sort();
        all.join(", ")
    }
}

fn sorted(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = names.collect();
    names.sort();
    names.join(" ")
}

fn receiver(directory: &Directory, to: &Receiver) -> String {
    match to {
        Receiver::Account(id) => account_name(directory, *id),
        Receiver::External(address) => address.local_part().to_string(),
    }
}

fn account_name(directory: &Directory, id: AccountId) -> String {
    directory.account(id).unwrap().address.local_part().to_string()
}

fn group_name(directory: &Directory, id: GroupId) -> String {
    directory.group(id).unwrap().address.local_part().to_string()
}

const OWN_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 25));
