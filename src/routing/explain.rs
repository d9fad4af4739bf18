//! What would happen to a message, step by step, and what decides it: the same functions as RCPT and the end of data,
//! with their findings in words for administrators.

use std::net::IpAddr;

use super::expand::{self, Addressed, Expansion, Receiver, Skipped, Via};
use super::plan::{Facts, Folder, Omitted, Plan, Return, plan};
use super::resolve::{self, Resolution};
use crate::directory::{Directory, Edge, Group, Step as LookupStep, Target};
use crate::mail::{AccountId, ForwardPath, GroupId};
use crate::policy::lists::{self, Correspondent, Level, Listed};
use crate::policy::rate::Rate;
use crate::policy::recipient::{self, Room, Standing};
use crate::policy::sender::{Claim, Identity, Origin, Sender, Verification};
use crate::policy::{Access, Reason, Verdict, group};

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about: `sender`, `lookup`, `group`, `list`, `member`, `verdict`, `delivery`, `forward`.
    pub about: &'static str,
    /// What was found.
    pub text: String,
}

/// What would happen.
#[derive(Debug)]
pub struct Explanation {
    /// In the order of evaluation.
    pub findings: Vec<Finding>,
    /// What RCPT would answer.
    pub verdict: Result<Standing, Verdict>,
    /// What would become of the message if it were accepted and verified.
    pub plan: Plan,
}

/// Explains one recipient for one sender. What only the message itself can tell counts as favourable: From agrees with
/// the reverse-path, and there is room.
pub fn explain(directory: &Directory, sender: &Sender, own_address: IpAddr, to: &ForwardPath) -> Explanation {
    let mut findings = Findings { directory, list: Vec::new() };
    findings.sender(sender);
    let resolution = resolve::resolve(directory, own_address, to);
    findings.lookup(&resolution);
    if let Resolution::Local(Addressed::Group(id)) = &resolution
        && let Some(group) = directory.group(*id)
    {
        findings.group(sender, group);
    }
    let facts = recipient::Facts {
        may_relay: matches!(sender.origin, Origin::Authenticated { .. } | Origin::TrustedRelay { .. }),
        lacks_smtputf8: false,
        client_listed: None,
        destination: resolve::destination(directory, sender, &resolution),
        is_beyond_scope: resolve::is_beyond_scope(directory, sender, &resolution),
        room: Room::Fits,
        count: 0,
        limit: 1,
        rate: Rate::Within,
        others: None,
    };
    let verdict = recipient::decide(&facts);
    if matches!(verdict, Err(Verdict::Refuse(Reason::SenderBlocked))) {
        findings.blocked(sender, &resolution);
    }
    findings.verdict(&verdict);
    let addressed = match resolution {
        Resolution::Local(addressed) => Some(addressed),
        Resolution::Foreign(address) => Some(Addressed::External(address)),
        Resolution::Unknown => None,
    };
    let plan = match (&verdict, addressed) {
        (Ok(_), Some(addressed)) => {
            let verified = sender.assuming(true);
            let expansion = expand::expand(directory, &verified, &[addressed]);
            findings.expansion(&expansion);
            let plan = plan(directory, &verified, &Facts::default(), &expansion.deliveries);
            findings.plan(&expansion, &plan);
            plan
        }
        _ => Plan::default(),
    };
    Explanation { findings: findings.list, verdict, plan }
}

/// The same for a one-time address, which goes to nobody; `asks` says what it is.
pub fn explain_question(
    directory: &Directory,
    sender: &Sender,
    destination: recipient::Destination,
    asks: String,
) -> Explanation {
    let mut findings = Findings { directory, list: Vec::new() };
    findings.sender(sender);
    findings.say("lookup", asks);
    let facts = recipient::Facts {
        may_relay: false,
        lacks_smtputf8: false,
        client_listed: None,
        destination,
        is_beyond_scope: false,
        room: Room::Fits,
        count: 0,
        limit: 1,
        rate: Rate::Within,
        others: None,
    };
    let verdict = recipient::decide(&facts);
    findings.verdict(&verdict);
    Explanation { findings: findings.list, verdict, plan: Plan::default() }
}

struct Findings<'a> {
    directory: &'a Directory,
    list: Vec<Finding>,
}

impl Findings<'_> {
    fn say(&mut self, about: &'static str, text: String) {
        self.list.push(Finding { about, text });
    }

    fn account(&self, id: AccountId) -> String {
        self.directory.account(id).map_or_else(|| format!("account {id}"), |a| a.address.to_string())
    }

    fn group_name(&self, id: GroupId) -> String {
        self.directory.group(id).map_or_else(|| format!("group {id}"), |g| g.address.to_string())
    }

    fn sender(&mut self, sender: &Sender) {
        let text = match &sender.origin {
            Origin::Authenticated { account, acting_as } => {
                let acting = match acting_as {
                    Some(crate::directory::Principal::Account(id)) => format!(", acting as {}", self.account(*id)),
                    Some(crate::directory::Principal::Group(id)) => format!(", acting as {}", self.group_name(*id)),
                    None => String::new(),
                };
                format!("authenticated as {}{acting}", self.account(*account))
            }
            Origin::TrustedRelay { account: Some(id) } => {
                format!("a trusted relay says that it is {}", self.account(*id))
            }
            Origin::TrustedRelay { account: None } => "a trusted relay, but nobody here has the address".to_owned(),
            Origin::Unauthenticated { claim, verification } => {
                let who = match claim {
                    Claim::Account(id) => format!("claims to be {}", self.account(*id)),
                    Claim::Nobody => "claims an address that nobody active here has".to_owned(),
                    Claim::External(address) => format!("claims to be {address}"),
                };
                let how = match verification {
                    Verification::Pending => "SPF did not pass: DKIM may verify it at the end of data",
                    Verification::Provisional => "SPF passed: verified if the From field agrees",
                    Verification::Verified => "verified",
                    Verification::Failed => "not verified",
                    Verification::Unavailable => "could not be verified now",
                };
                format!("{who}; {how}")
            }
            Origin::Null => "the null reverse-path: no identity".to_owned(),
            Origin::System => "this server itself".to_owned(),
        };
        self.say("sender", format!("{}: {text}", sender.class()));
    }

    fn lookup(&mut self, resolution: &Resolution) {
        let text = match resolution {
            Resolution::Unknown => "hosted domain, but nobody has the address, or it is reserved".to_owned(),
            Resolution::Foreign(address) => format!("{address} is not hosted here"),
            Resolution::Local(Addressed::External(address)) => format!("{address} is not hosted here"),
            Resolution::Local(Addressed::Group(id)) => format!("group {}", self.group_name(*id)),
            Resolution::Local(Addressed::Account { account, detail, step }) => {
                let how = match step {
                    LookupStep::Own => "",
                    LookupStep::Postmaster => ", as postmaster",
                    LookupStep::CatchAll => ", through the catch-all",
                };
                let detail = detail.as_ref().map_or_else(String::new, |d| format!(", detail {d:?}"));
                format!("account {}{how}{detail}", self.account(*account))
            }
        };
        self.say("lookup", text);
    }

    /// The permission of a group and of those below it that the sender asks.
    fn group(&mut self, sender: &Sender, addressed: &Group) {
        let mut work = vec![(addressed.id, None)];
        let mut seen = std::collections::HashSet::from([addressed.id]);
        while let Some((id, edge)) = work.pop() {
            let directory = self.directory;
            let Some(found) = directory.group(id) else { continue };
            let access = match edge {
                Some(Edge::Inherit) => Access::Allowed,
                Some(Edge::Check) | None => group::decide(directory, sender, found),
            };
            let edge_text = match edge {
                None => "addressed",
                Some(Edge::Check) => "nested, edge check",
                Some(Edge::Inherit) => "nested, edge inherit: not asked",
            };
            let answer = match &access {
                Access::Allowed => "open".to_owned(),
                Access::Provisional => "open if the From field agrees with the reverse-path".to_owned(),
                Access::Pending => "open if DKIM verifies the sender".to_owned(),
                Access::Refused(reason) => format!("closed: {reason:?}"),
            };
            let held = match edge {
                Some(Edge::Inherit) => false,
                _ => access.is_open() && group::is_held(directory, sender, found),
            };
            let moderation = if held { ", held for approval" } else { "" };
            self.say(
                "group",
                format!("{} ({edge_text}, mode {}): {answer}{moderation}", found.address, mode_name(found)),
            );
            if access.is_open() && !held {
                let inner = found.members.groups.iter().filter(|n| seen.insert(n.group));
                work.extend(inner.map(|n| (n.group, Some(n.edge))));
            }
        }
        let identities: Vec<String> = sender
            .identities()
            .iter()
            .map(|identity| match identity {
                Identity::Account(id) => self.account(*id),
                Identity::Group(id) => self.group_name(*id),
                Identity::External(address) => address.to_string(),
            })
            .collect();
        if !identities.is_empty() {
            self.say("group", format!("permissions were asked for {}", identities.join(" and ")));
        }
    }

    /// The entry for which a domain refuses the sender.
    fn blocked(&mut self, sender: &Sender, resolution: &Resolution) {
        let directory = self.directory;
        let from = Correspondent { sender, authors: &[] };
        match resolution {
            Resolution::Local(Addressed::Account { account, .. }) => {
                let account = directory.account(*account);
                let listed = account.and_then(|account| Some((account.id, lists::says(directory, account, from)?)));
                self.listed(listed.as_slice());
            }
            Resolution::Local(Addressed::Group(id)) => {
                let group = directory.group(*id);
                let text = group.and_then(|group| lists::group_text(directory, group, from));
                self.list.extend(text.map(|text| Finding { about: "list", text }));
            }
            Resolution::Local(Addressed::External(_)) | Resolution::Foreign(_) | Resolution::Unknown => {}
        }
    }

    /// The entries that decide for accounts.
    fn listed(&mut self, listed: &[(AccountId, Listed)]) {
        for (id, listed) in listed.iter().take(SHOWN) {
            if let Some(account) = self.directory.account(*id) {
                self.say("list", format!("{}: {}", account.address, listed.text(self.directory, account)));
            }
        }
    }

    fn verdict(&mut self, verdict: &Result<Standing, Verdict>) {
        let text = match verdict {
            Ok(Standing::Settled) => "accepted".to_owned(),
            Ok(Standing::Provisional) => "accepted, if the From field agrees at the end of data".to_owned(),
            Ok(Standing::Pending) => "accepted, if DKIM and the From field verify the sender".to_owned(),
            Ok(Standing::Alone) => "accepted as an answer, alone in its transaction".to_owned(),
            Err(Verdict::Refuse(reason)) => format!("refused: {reason:?}"),
            Err(Verdict::Defer(reason)) => format!("deferred: {reason:?}"),
            Err(Verdict::Accept) => "accepted".to_owned(),
        };
        self.say("verdict", text);
    }

    fn expansion(&mut self, expansion: &Expansion) {
        for (id, why) in expansion.skipped.iter().take(SHOWN) {
            let why = match why {
                Skipped::Frozen => "frozen, incoming reject",
                Skipped::ReceiveScope => "its receive scope excludes the sender",
                Skipped::IsSender => "is the sender, and the group does not deliver to the sender",
            };
            self.say("member", format!("{} is passed over: {why}", self.account(*id)));
        }
        for (group, address) in expansion.misplaced.iter().take(SHOWN) {
            let group = self.group_name(*group);
            self.say("member", format!("{address} is passed over: {group} allows no external members"));
        }
        for closed in &expansion.closed {
            let what = closed.inner.map_or_else(|| "external members".to_owned(), |id| self.group_name(id));
            self.say("member", format!("{what} not reached: {:?}", closed.reason));
        }
        for held in &expansion.held {
            let by: Vec<String> = self
                .directory
                .group(held.group)
                .map(|g| group::moderators(self.directory, g).iter().map(|id| self.account(*id)).collect())
                .unwrap_or_default();
            self.say("group", format!("{} waits for approval by {}", self.group_name(held.group), by.join(", ")));
        }
    }

    fn plan(&mut self, expansion: &Expansion, plan: &Plan) {
        self.listed(&plan.listed);
        for local in plan.local.iter().take(SHOWN) {
            let how = match local.via {
                Via::Direct => String::new(),
                Via::Postmaster => " as postmaster".to_owned(),
                Via::CatchAll => " through the catch-all".to_owned(),
                Via::Group(id) => {
                    let path: Vec<String> = expansion.path(id).iter().map(|g| self.group_name(*g)).collect();
                    format!(" through {}", path.join(" > "))
                }
            };
            let by: Vec<String> = local.forwarded_by.iter().map(|id| self.account(*id)).collect();
            let by = if by.is_empty() { String::new() } else { format!(", forwarded by {}", by.join(" > ")) };
            let folder = match local.folder {
                Folder::Inbox => "INBOX",
                Folder::Junk => "Junk",
            };
            self.say("delivery", format!("{} ({folder}){how}{by}", self.account(local.account)));
        }
        if plan.local.len() > SHOWN {
            self.say("delivery", format!("and {} more accounts", plan.local.len() - SHOWN));
        }
        for remote in plan.remote.iter().take(SHOWN) {
            let path = match &remote.reverse_path {
                Return::Sender => "the sender's reverse-path".to_owned(),
                Return::Rewritten(domain) => format!("a rewritten reverse-path at {domain}"),
                Return::Managers(id) => format!("failures to the managers of {}", self.group_name(*id)),
                Return::Administrators => "failures to an administrator".to_owned(),
            };
            self.say("delivery", format!("{} elsewhere, with {path}", remote.to));
        }
        for (id, why) in &plan.omitted {
            let why = match why {
                Omitted::Blocked(Level::Account) => "its owner has blocked the sender",
                Omitted::Blocked(Level::Domain) => "its domain has blocked the sender",
                Omitted::Forwarded => "forwarded, no copy kept",
            };
            self.say("delivery", format!("{} stores nothing: {why}", self.account(*id)));
        }
        for (id, target) in &plan.failed {
            let target = match target {
                Target::Account(id) => self.account(*id),
                Target::Group(id) => self.group_name(*id),
                Target::External(address) => address.to_string(),
            };
            self.say("forward", format!("{} cannot forward to {target} and keeps the message", self.account(*id)));
        }
        if plan.local.is_empty() && plan.remote.is_empty() && expansion.deliveries.iter().all(is_account) {
            self.say("delivery", "nobody stores a copy".to_owned());
        }
    }
}

fn is_account(delivery: &expand::Delivery) -> bool {
    matches!(delivery.to, Receiver::Account(_))
}

fn mode_name(group: &Group) -> &'static str {
    use crate::directory::Mode;
    match group.mode {
        Mode::SameDomain => "same-domain",
        Mode::Members => "members",
        Mode::Anyone => "anyone",
        Mode::Whitelist => "whitelist",
        Mode::MembersAndWhitelist => "members-and-whitelist",
        Mode::SameDomainAndWhitelist => "same-domain-and-whitelist",
        Mode::Organisation => "organisation",
    }
}

/// How many of a kind are told one by one.
const SHOWN: usize = 50;
