//! Mail rules against policy semantics T11, rows named by their IDs.
//!
//! Left for tests of the whole server, because they speak of bytes, replies, stores and time: W40, W41, W45, W46 and
//! W48 (what the owner sees), W51 and W52 (the DSN), W56 to W58 (what follows the decision), W60 (DKIM), W66, W67, W71
//! (the report). What is decided here of W42, W49, W55 to W57, W60, W65 and W70 has a row.

mod content;
mod laws;
mod table;

use super::*;
use crate::directory::{
    Action, AddressPattern, Approvers, Change, Condition, CopyForm, Department, DepartmentScope, Direction, Directory,
    Hold, HoldOutcome, MonitorCopy, Peer, Place, Rule, RuleScope, Subject, Target, change, fixture,
};
use crate::mail::{
    AccountId, DepartmentId, Domain, GroupId, MailboxName, NamePattern, OrganisationId, Phrase, ReversePath, RuleId,
};
use crate::policy::sender::{Evidence, Sender};
use crate::proto::message::inspect::Inspection;
use crate::routing::{
    Expansion, Facts, Plan, Receiver, Resolution, expand, expand_approved, look_up, plan as make_plan,
};

const NOW: Timestamp = Timestamp::from_seconds(1_000_000);
const DAY: i64 = 86_400;

/// A whole address, or the name of somebody in the fixture.
fn address(name: &str) -> Address {
    let address = match name {
        "pam" => "pam@partner.test".to_owned(),
        "stranger" => "stranger@ext.test".to_owned(),
        "gina" => "gina@branch.test".to_owned(),
        _ if name.contains('@') => name.to_owned(),
        _ => format!("{name}@corp.test"),
    };
    Address::parse(&address).unwrap()
}

fn account(name: &str) -> AccountId {
    fixture::acme(&[]).account_at(&address(name)).unwrap().id
}

fn group(name: &str) -> GroupId {
    fixture::acme(&[]).group_at(&address(name)).unwrap().id
}

fn department(path: &str) -> DepartmentId {
    fixture::acme(&[]).department_at(OrganisationId::new(1).unwrap(), path).unwrap().id
}

/// `/Sales` for a department alone, `/Sales/*` for one with its subtree, a group, or an account.
fn subject(name: &str) -> Subject {
    match name.strip_suffix("/*") {
        Some(path) => Subject::Department(DepartmentScope { department: department(path), subtree: true }),
        None if name.starts_with('/') => {
            Subject::Department(DepartmentScope { department: department(name), subtree: false })
        }
        None if name.starts_with("g-") => Subject::Group(group(name)),
        None => Subject::Account(account(name)),
    }
}

fn target(name: &str) -> Target {
    let directory = fixture::acme(&[]);
    match directory.account_at(&address(name)) {
        Some(account) => Target::Account(account.id),
        None => Target::External(address(name)),
    }
}

/// `erin:m`, or `erin` for no folder.
fn monitor(text: &str) -> MonitorCopy {
    let (name, folder) = match text.split_once(':') {
        Some((name, folder)) => (name, Some(MailboxName::parse(folder).unwrap())),
        None => (text, None),
    };
    MonitorCopy { monitor: account(name), folder, form: CopyForm::Block, fallback: None, require: false }
}

fn copy(text: &str) -> Action {
    Action::Copy(monitor(text))
}

fn hold(approver: &str) -> Action {
    let approvers = Approvers::Accounts(vec![account(approver)]);
    Action::Hold(Hold { approvers, timeout_hours: 72, outcome: HoldOutcome::Reject })
}

fn reject() -> Action {
    Action::Reject { text: None, copy: None }
}

fn reject_with_copy(text: &str) -> Action {
    Action::Reject { text: None, copy: Some(monitor(text)) }
}

fn tag() -> Action {
    Action::Tag { header: "X-Class".to_owned(), value: "a".to_owned() }
}

fn keyword(place: Place, text: &str) -> Condition {
    Condition::Keyword { places: vec![place], values: vec![Phrase::new(text)] }
}

/// Scope, direction and peer as in T11: `alice`, `alice/sent`, `everyone/both/external`. A department ends with a
/// colon: `/Sales/*:received`.
fn rule(text: &str, actions: impl Into<Vec<Action>>) -> Rule {
    let (scope, rest) = match text.starts_with('/') {
        true => text.split_once(':').unwrap_or((text, "")),
        false => text.split_once('/').unwrap_or((text, "")),
    };
    let (direction, peer) = rest.split_once('/').unwrap_or((rest, ""));
    Rule {
        id: RuleId::new(1).unwrap(),
        organisation: OrganisationId::new(1).unwrap(),
        name: "rule".to_owned(),
        enabled: true,
        priority: 0,
        scope: if scope == "everyone" { RuleScope::Everyone } else { RuleScope::Of(vec![subject(scope)]) },
        scope_except: Vec::new(),
        direction: match direction {
            "sent" => Direction::Sent,
            "received" => Direction::Received,
            _ => Direction::Both,
        },
        peer: match peer {
            "internal" => Peer::Internal,
            "external" => Peer::External,
            _ => Peer::Any,
        },
        conditions: Vec::new(),
        exceptions: Vec::new(),
        match_uninspected: false,
        actions: actions.into(),
        stop: false,
        remark: String::new(),
        valid_from: None,
        valid_until: None,
        created: NOW,
    }
}

impl Rule {
    fn when(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    fn unless(mut self, condition: Condition) -> Self {
        self.exceptions.push(condition);
        self
    }

    fn except(mut self, name: &str) -> Self {
        self.scope_except.push(subject(name));
        self
    }

    fn at(mut self, priority: u32) -> Self {
        self.priority = priority;
        self
    }
}

/// Changes that add the rules, with ids from 1 in their order.
fn additions(rules: &[Rule]) -> Vec<Change> {
    let numbered = (1..).zip(rules);
    numbered
        .map(|(n, rule)| {
            Change::PutRule(Rule { id: RuleId::new(n).unwrap(), name: format!("rule {n}"), ..rule.clone() })
        })
        .collect()
}

fn with_rules(rules: &[Rule]) -> Directory {
    fixture::acme(&additions(rules))
}

/// A message: `auth alice`, `unauth alice@corp.test` (SPF none), `stranger` (the same), `pam` (SPF pass); recipients
/// by name.
#[derive(Debug)]
struct Mail {
    from: &'static str,
    to: Vec<Address>,
    content: Vec<u8>,
    size: Option<u64>,
    stage: Stage,
}

fn mail(from: &'static str, to: &str) -> Mail {
    let to = to.split_whitespace().map(address).collect();
    let content = b"Subject: x marks\r\n\r\ntext\r\n".to_vec();
    Mail { from, to, content, size: None, stage: Stage::Arriving }
}

impl Mail {
    fn with(mut self, content: impl AsRef<[u8]>) -> Self {
        self.content = content.as_ref().to_vec();
        self
    }

    fn sender(&self, directory: &Directory) -> Sender {
        if let Some(name) = self.from.strip_prefix("auth ") {
            let account = directory.account_at(&address(name)).unwrap();
            return Sender::authenticated(directory, account.id, ReversePath::Address(account.address.clone()));
        }
        let path = match self.from {
            "<>" => ReversePath::Null,
            from => ReversePath::Address(address(from.strip_prefix("unauth ").unwrap_or(from))),
        };
        let passed = self.from == "pam";
        let evidence = Evidence { spf_passed: passed, dkim_aligned: false, from_aligned: true, is_temporary: false };
        Sender::unauthenticated(directory, None, path, passed).with_evidence(evidence)
    }
}

/// A message on its way through rules.
struct Passage {
    sender: Sender,
    expansion: Expansion,
    needed_content: bool,
    outcome: Outcome,
    plan: Plan,
}

fn pass(directory: &Directory, mail: &Mail) -> Passage {
    pass_with(directory, mail, mail.sender(directory))
}

fn pass_with(directory: &Directory, mail: &Mail, sender: Sender) -> Passage {
    pass_by(directory, mail, sender, |d, m, e| Candidates::of(d, m, e))
}

type Finding = for<'a> fn(&'a Directory, &Message<'_>, &[crate::routing::Delivery]) -> Candidates<'a>;

fn pass_by(directory: &Directory, mail: &Mail, sender: Sender, find: Finding) -> Passage {
    let addressed: Vec<Addressed> = mail.to.iter().map(|to| addressed(directory, to)).collect();
    let expansion = match (mail.stage, addressed.first()) {
        (Stage::Moderated, Some(Addressed::Group(id))) => {
            expand_approved(directory, &sender, directory.group(*id).unwrap(), |_| false)
        }
        _ => expand(directory, &sender, &addressed),
    };
    let from: Vec<Address> = match &sender.reverse_path {
        ReversePath::Address(address) => vec![address.clone()],
        ReversePath::Null => Vec::new(),
    };
    let message = Message {
        sender: &sender,
        header_from: &from,
        addressed: &addressed,
        forward_paths: &mail.to,
        awaits_moderators: !expansion.held.is_empty(),
        size: mail.size.unwrap_or(mail.content.len() as u64),
        header: &mail.content,
        now: NOW,
        stage: mail.stage,
    };
    let candidates = find(directory, &message, &expansion.deliveries);
    let needed_content = candidates.need_content();
    let content = needed_content.then(|| Inspection::of(&mail.content[..], false, Inspection::LIMIT));
    let outcome = evaluate(directory, &message, &expansion.deliveries, &candidates, content.as_ref());
    let facts = Facts { junk_by_rule: outcome.junk.clone(), ended: outcome.ended(), ..Facts::default() };
    let plan = make_plan(directory, &sender, &facts, &expansion.deliveries);
    Passage { sender, expansion, needed_content, outcome, plan }
}

fn addressed(directory: &Directory, to: &Address) -> Addressed {
    match look_up(directory, to) {
        Resolution::Local(addressed) => addressed,
        Resolution::Foreign(address) => Addressed::External(address),
        Resolution::Unknown => panic!("{to} is unknown"),
    }
}

/// What becomes of it in words: `to alice; copy erin:m`.
fn tell(directory: &Directory, mail: &Mail) -> String {
    let Passage { expansion, outcome, plan, .. } = pass(directory, mail);
    let name = |id: &AccountId| directory.account(*id).unwrap().address.local_part().as_str().to_owned();
    let receiver = |to: &Receiver| match to {
        Receiver::Account(id) => name(id),
        Receiver::External(address) => address.local_part().as_str().to_owned(),
    };
    let part = |part: &Part| {
        let names = part.deliveries.iter().map(|n| receiver(&expansion.deliveries[*n].to));
        names
            .chain((part.is_whole && mail.to.iter().any(|to| *to == address("g-mod"))).then(|| "g-mod".to_owned()))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let targets = |targets: &mut dyn Iterator<Item = &Target>| {
        let names = targets.map(|target| match target {
            Target::Account(id) => name(id),
            Target::Group(id) => directory.group(*id).unwrap().address.local_part().as_str().to_owned(),
            Target::External(address) => address.local_part().as_str().to_owned(),
        });
        names.collect::<Vec<_>>().join(" ")
    };
    let copies = |copies: &[Copy]| {
        let made = copies.iter().filter(|copy| copy.is_made(&plan)).map(|copy| {
            let folder = copy.folder.as_ref().map_or_else(|| "INBOX".to_owned(), ToString::to_string);
            let rules = copy.rules.iter().map(|id| id.to_string()).collect::<Vec<_>>().join("+");
            let rules = if copy.rules.len() > 1 { format!(" by {rules}") } else { String::new() };
            format!("copy {}:{folder}{rules}", copy.to.as_ref().map_or_else(|| "undelivered".to_owned(), name))
        });
        made.collect::<Vec<_>>()
    };
    let mut said = Vec::new();
    if outcome.refused.is_some() {
        said.push("refused".to_owned());
    } else {
        let local = plan.local.iter().map(|l| match l.folder {
            crate::routing::Folder::Inbox => name(&l.account),
            crate::routing::Folder::Junk => format!("{}'s Junk", name(&l.account)),
        });
        let remote = plan.remote.iter().map(|r| r.to.local_part().as_str().to_owned());
        let to: Vec<String> = local.chain(remote).collect();
        said.push(if to.is_empty() { "to nobody".to_owned() } else { format!("to {}", to.join(" ")) });
    }
    said.extend(copies(&outcome.copies));
    said.extend(
        (!outcome.forwards.is_empty())
            .then(|| format!("forward {}", targets(&mut outcome.forwards.iter().map(|f| &f.to)))),
    );
    said.extend(
        outcome.redirected.iter().map(|r| format!("redirect {} to {}", part(&r.part), targets(&mut r.to.iter()))),
    );
    said.extend(outcome.tags.iter().map(|t| format!("tag {}", part(&t.part))));
    said.extend(outcome.quarantined.iter().map(|q| format!("quarantine {}", part(&q.part))));
    said.extend(outcome.rejected.iter().map(|r| format!("reject {}", part(&r.part))));
    for held in &outcome.held {
        let approvers: Vec<String> = held.approvers.iter().map(name).collect();
        said.push(format!("hold {} for {}", part(&held.part), approvers.join(" ")));
        said.extend(copies(&held.copies).into_iter().map(|copy| format!("then {copy}")));
        said.extend((!held.forwards.is_empty()).then(|| "then forward".to_owned()));
    }
    said.join("; ")
}
