//! Policy semantics §22 over random organisations: any graph of groups, cycles and diamonds included, departments, modes,
//! moderation, hidden groups, external members, account states, scopes, forwards, and every origin of a sender. The
//! organisations are made as records, since a change refuses some of them.
//!
//! Invariants 7, 13 and 14 speak of rules and of what is stored; 12 is row P58 here, and injected read errors in the
//! tests of the server.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::directory::{
    AccountState, AdminForward, Alias, Department, DepartmentScope, DomainRecord, Edge, ExternalForward, Forward,
    ForwardTarget, Incoming, Mode, Moderated, Moderation, Nested, Organisation, Scope, SenderEntry,
};
use crate::mail::{AliasId, DepartmentId, DomainId, OrganisationId, Timestamp};

const PEOPLE: [&str; 5] = ["a0@corp.test", "a1@corp.test", "a2@corp.test", "a3@branch.test", "a4@other.test"];
const GROUPS: [&str; 5] = ["g0@corp.test", "g1@corp.test", "g2@corp.test", "g3@branch.test", "g4@other.test"];
const OUTSIDE: [&str; 2] = ["pam@partner.test", "sam@partner.test"];
const NOW: Timestamp = Timestamp::from_millis(0);

/// An account by choices; masks are over [`PEOPLE`], then [`GROUPS`], then [`OUTSIDE`].
#[derive(Clone, Debug)]
struct Person {
    state: u8,
    department: u8,
    receives: u8,
    sends: bool,
    incoming: u8,
    forwards: u16,
    keeps: bool,
    is_admins: bool,
}

/// A group by choices; masks likewise.
#[derive(Clone, Debug)]
struct Party {
    mode: u8,
    members: u8,
    nested: u8,
    inherits: u8,
    outside: u8,
    departments: u8,
    listed: u16,
    moderated: u8,
    moderators: u8,
    is_hidden: bool,
    takes_outside: bool,
    echoes: bool,
    requires_auth: bool,
}

#[derive(Clone, Debug)]
struct World {
    people: Vec<Person>,
    parties: Vec<Party>,
    /// Lists in reverse order.
    is_reversed: bool,
}

/// Who sends, by choices.
#[derive(Clone, Copy, Debug)]
struct From {
    kind: u8,
    who: usize,
    spf_passed: bool,
    evidence: Evidence,
}

fn sparse() -> impl Strategy<Value = u8> {
    (any::<u8>(), any::<u8>()).prop_map(|(a, b)| a & b)
}

fn person() -> impl Strategy<Value = Person> {
    let forwards = (any::<u16>(), any::<u16>(), any::<u16>()).prop_map(|(a, b, c)| a & b & c);
    let choices = (0..8u8, 0..4u8, 0..6u8, any::<bool>(), 0..4u8, forwards, any::<bool>(), any::<bool>());
    choices.prop_map(|(state, department, receives, sends, incoming, forwards, keeps, is_admins)| Person {
        state,
        department,
        receives,
        sends,
        incoming,
        forwards,
        keeps,
        is_admins,
    })
}

fn party() -> impl Strategy<Value = Party> {
    let who = (0..7u8, sparse(), sparse(), any::<u8>(), 0..4u8, sparse(), any::<u16>());
    let how = (0..6u8, sparse(), any::<bool>(), any::<bool>(), any::<bool>(), 0..4u8);
    (who, how).prop_map(|(who, how)| {
        let (mode, members, nested, inherits, outside, departments, listed) = who;
        let (moderated, moderators, is_hidden, takes_outside, echoes, requires_auth) = how;
        let requires_auth = requires_auth == 0;
        Party {
            mode,
            members,
            nested,
            inherits,
            outside,
            departments,
            listed,
            moderated,
            moderators,
            is_hidden,
            takes_outside,
            echoes,
            requires_auth,
        }
    })
}

fn world() -> impl Strategy<Value = World> {
    let people = proptest::collection::vec(person(), PEOPLE.len());
    let parties = proptest::collection::vec(party(), GROUPS.len());
    (people, parties).prop_map(|(people, parties)| World { people, parties, is_reversed: false })
}

fn from() -> impl Strategy<Value = From> {
    let evidence = (any::<bool>(), any::<bool>(), any::<bool>());
    (0..5u8, 0..9usize, any::<bool>(), evidence).prop_map(|(kind, who, spf_passed, (dkim_aligned, from_aligned, t))| {
        let is_temporary = t && !spf_passed;
        From { kind, who, spf_passed, evidence: Evidence { spf_passed, dkim_aligned, from_aligned, is_temporary } }
    })
}

/// An outsider whose claim is not true.
fn impostor() -> impl Strategy<Value = From> {
    from().prop_map(|from| {
        let evidence = Evidence { from_aligned: false, ..from.evidence };
        From { kind: 2 + from.kind % 3, evidence, ..from }
    })
}

fn recipients() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(0..12u8, 1..5)
}

impl World {
    fn directory(&self) -> Directory {
        static BASE: OnceLock<Vec<(u8, u32, Vec<u8>)>> = OnceLock::new();
        let mut records = BASE.get_or_init(base).clone();
        records.extend((0..).zip(&self.people).map(|(n, p)| (record::ACCOUNT, n + 1, record::encode(&p.account(n)))));
        records.extend(
            (0..)
                .zip(&self.parties)
                .map(|(n, p)| (record::GROUP, n + 1, record::encode(&p.group(n, self.is_reversed)))),
        );
        Directory::from_records(1, records).unwrap()
    }
}

/// Everything but accounts and groups.
fn base() -> Vec<(u8, u32, Vec<u8>)> {
    let organisation = |id: u32| Organisation {
        id: OrganisationId::new(id).unwrap(),
        name: format!("o{id}"),
        external_forward: ExternalForward::Allow,
        hold_limit: None,
        record_monitor_reads: true,
        dmarc: crate::directory::DmarcHandling::None,
        trusted_sealers: Vec::new(),
        language: crate::mail::Language::default(),
        created: NOW,
    };
    let domain = |id: u32, name: &str, organisation: u32, alias_of: Option<u32>| DomainRecord {
        id: DomainId::new(id).unwrap(),
        name: Domain::parse(name).unwrap(),
        organisation: OrganisationId::new(organisation).unwrap(),
        alias_of: alias_of.and_then(DomainId::new),
        catch_all: None,
        blocked: Vec::new(),
        allowed: Vec::new(),
        created: NOW,
    };
    let department = |id: u32, parent: Option<u32>| Department {
        id: DepartmentId::new(id).unwrap(),
        organisation: OrganisationId::new(1).unwrap(),
        name: format!("d{id}"),
        parent: parent.and_then(DepartmentId::new),
        manager: None,
    };
    let alias = |id: u32, name: &str, account: u32| Alias {
        id: AliasId::new(id).unwrap(),
        address: address(name),
        account: AccountId::new(account).unwrap(),
        enabled: true,
    };
    let mut changes = vec![
        Change::PutOrganisation(organisation(1)),
        Change::PutOrganisation(organisation(2)),
        Change::PutDomain(domain(1, "corp.test", 1, None)),
        Change::PutDomain(domain(2, "branch.test", 1, None)),
        Change::PutDomain(domain(3, "other.test", 2, None)),
        Change::PutDomain(domain(4, "corp-alias.test", 1, Some(1))),
        Change::PutDepartment(department(1, None)),
        Change::PutDepartment(department(2, Some(1))),
        Change::PutDepartment(department(3, None)),
    ];
    let created = |n: usize| (u32::try_from(n).unwrap() + 1, NOW);
    for (n, name) in PEOPLE.iter().enumerate() {
        let (id, now) = created(n);
        changes.push(Change::PutAccount(Account::new(AccountId::new(id).unwrap(), address(name), now)));
    }
    for (n, name) in GROUPS.iter().enumerate() {
        let (id, now) = created(n);
        changes.push(Change::PutGroup(Group::new(GroupId::new(id).unwrap(), address(name), now)));
    }
    changes.extend(
        [(1, "x0@corp.test", 1), (2, "x3@corp.test", 4)].map(|(n, name, of)| Change::PutAlias(alias(n, name, of))),
    );
    let (_, writes) = change::apply_all(&Directory::default(), &changes).unwrap();
    let kept = writes.into_iter().filter(|(kind, ..)| ![record::ACCOUNT, record::GROUP].contains(kind));
    kept.filter_map(|(kind, id, value)| Some((kind, id, value?))).collect()
}

/// The places of the bits that are set, below `limit`.
fn bits(mask: u16, limit: u32) -> impl Iterator<Item = u32> {
    (0..limit).filter(move |n| mask >> n & 1 == 1)
}

fn account_id(n: u32) -> AccountId {
    AccountId::new(n + 1).unwrap()
}

fn group_id(n: u32) -> GroupId {
    GroupId::new(n + 1).unwrap()
}

fn outside(n: u32) -> Address {
    address(OUTSIDE[n as usize % 2])
}

fn any_target(n: u32) -> Target {
    match n {
        0..5 => Target::Account(account_id(n)),
        5..10 => Target::Group(group_id(n - 5)),
        _ => Target::External(outside(n)),
    }
}

impl Person {
    fn account(&self, n: u32) -> Account {
        let mut account = Account::new(account_id(n), address(PEOPLE[n as usize]), NOW);
        account.state = match self.state {
            0 => AccountState::Frozen,
            1 => AccountState::SendBlocked,
            2 => AccountState::Binned,
            _ => AccountState::Active,
        };
        // Departments are the first organisation's.
        account.departments = DepartmentId::new(self.department.into()).filter(|_| n < 4).into_iter().collect();
        let targets: Vec<Target> = bits(self.forwards, 12).map(any_target).take(5).collect();
        let (mut forward, mut admin_forward) = (None, None);
        match (targets.is_empty(), self.is_admins) {
            (true, _) => {}
            (false, true) => admin_forward = Some(AdminForward { targets, keep: self.keeps, concealed: false }),
            (false, false) => {
                let targets = targets.into_iter().map(|to| ForwardTarget { to, confirmed: true }).collect();
                forward = Some(Forward { targets, keep: self.keeps });
            }
        }
        let settings = AccountSettings {
            receive_scope: match self.receives {
                0 => Scope::Internal,
                1 => Scope::None,
                2 => Scope::List(vec![crate::directory::AddressPattern::Address(outside(0))]),
                _ => Scope::Any,
            },
            send_scope: if self.sends { Scope::Any } else { Scope::Internal },
            incoming: match self.incoming {
                0 => Incoming::Store,
                1 => Incoming::Forward,
                2 => Incoming::StoreAndForward,
                _ => Incoming::Reject,
            },
            forward,
            admin_forward,
            ..AccountSettings::default()
        };
        account.with_settings(settings)
    }
}

impl Party {
    fn group(&self, n: u32, is_reversed: bool) -> Group {
        let mut group = Group::new(group_id(n), address(GROUPS[n as usize]), NOW);
        let edge = |inner: &u32| if self.inherits >> inner & 1 == 1 { Edge::Inherit } else { Edge::Check };
        group.mode = MODES[self.mode as usize];
        group.members.accounts = bits(self.members.into(), 5).map(account_id).collect();
        group.members.groups =
            bits(self.nested.into(), 5).map(|n| Nested { group: group_id(n), edge: edge(&n) }).collect();
        group.members.external = bits(self.outside.into(), 2).map(outside).collect();
        let scope = |n: u32| DepartmentScope { department: DepartmentId::new(n % 3 + 1).unwrap(), subtree: n > 2 };
        group.members.departments = bits(self.departments.into(), 6).map(scope).take(2).collect();
        group.whitelist = bits(self.listed, 14)
            .map(|n| match n {
                0..5 => SenderEntry::Account(account_id(n)),
                5..10 => SenderEntry::Group(group_id(n - 5)),
                10 | 11 => SenderEntry::External(outside(n)),
                12 => SenderEntry::Domain(Domain::parse("partner.test").unwrap()),
                _ => SenderEntry::Department(scope(0)),
            })
            .collect();
        group.moderation = Moderation {
            when: match self.moderated {
                0 => Moderated::All,
                1 => Moderated::External,
                2 => Moderated::NonMembers,
                _ => Moderated::Off,
            },
            moderators: bits(self.moderators.into(), 5).map(account_id).collect(),
            bypass: Vec::new(),
        };
        group.hidden = self.is_hidden;
        group.external_members = self.takes_outside;
        group.deliver_to_sender = self.echoes;
        group.require_auth = self.requires_auth;
        if is_reversed {
            group.members.accounts.reverse();
            group.members.groups.reverse();
            group.members.external.reverse();
            group.members.departments.reverse();
            group.whitelist.reverse();
        }
        group
    }
}

const MODES: [Mode; 7] = [
    Mode::SameDomain,
    Mode::Members,
    Mode::Anyone,
    Mode::Whitelist,
    Mode::MembersAndWhitelist,
    Mode::SameDomainAndWhitelist,
    Mode::Organisation,
];

impl From {
    /// As RCPT knows it.
    fn sender(&self, directory: &Directory) -> Sender {
        let claims = [&PEOPLE[..], &["nobody@corp.test", "g0@corp.test"], &OUTSIDE].concat();
        let path = ReversePath::Address(address(claims[self.who]));
        match self.kind {
            0 => Sender::authenticated(directory, account_id(u32::try_from(self.who % 5).unwrap()), path),
            1 => Sender::unauthenticated(directory, Some(RelayKind::TrustedRelay), path, self.spf_passed),
            2 => Sender::unauthenticated(directory, None, ReversePath::Null, false),
            _ => Sender::unauthenticated(directory, None, path, self.spf_passed),
        }
    }

    /// As the end of data knows it.
    fn settled(&self, directory: &Directory) -> Sender {
        self.sender(directory).with_evidence(self.evidence)
    }
}

/// The recipients that the sender may address.
fn open(directory: &Directory, sender: &Sender, recipients: &[u8]) -> Vec<Addressed> {
    let resolution = |n: &u8| match u32::from(*n) {
        n @ 0..5 => look_up(directory, &address(PEOPLE[n as usize])),
        n @ 5..10 => look_up(directory, &address(GROUPS[n as usize - 5])),
        n => Resolution::Local(Addressed::External(outside(n))),
    };
    let is_open = |resolution: &Resolution| match destination(directory, sender, resolution) {
        Destination::Local(access) => access.is_open(),
        Destination::Foreign | Destination::Question => true,
        Destination::Frozen(_) | Destination::Unknown => false,
    };
    let resolutions = recipients.iter().map(resolution).filter(is_open);
    let addressed = resolutions.filter_map(|resolution| match resolution {
        Resolution::Local(addressed) => Some(addressed),
        Resolution::Foreign(_) | Resolution::Unknown => None,
    });
    addressed.collect()
}

fn receivers(expansion: &Expansion) -> Vec<String> {
    let name = |to: &Receiver| match to {
        Receiver::Account(id) => id.to_string(),
        Receiver::External(address) => address.key().as_str().to_owned(),
    };
    expansion.deliveries.iter().map(|d| name(&d.to)).collect()
}

/// What does not depend on an order: who gets it, what waits, what is closed.
fn outcome(expansion: &Expansion) -> [BTreeSet<String>; 3] {
    let held = expansion.held.iter().map(|h| h.group.to_string());
    let closed = expansion.closed.iter().map(|c| format!("{:?}", c.inner));
    [receivers(expansion).into_iter().collect(), held.collect(), closed.collect()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Invariants 1, 2 and 8, and 10 as far as forwards go.
    #[test]
    fn every_transaction_ends_and_gives_each_person_one_copy(world in world(), from in from(), to in recipients()) {
        let directory = world.directory();
        let sender = from.settled(&directory);
        let to = open(&directory, &sender, &to);
        let expansion = expand(&directory, &sender, &to);
        let reached = receivers(&expansion);
        prop_assert_eq!(reached.iter().collect::<BTreeSet<_>>().len(), reached.len());
        for group in expansion.opened.keys() {
            let first = expansion.path(*group).first().copied();
            prop_assert!(to.iter().any(|to| matches!(to, Addressed::Group(id) if Some(*id) == first)), "{group:?}");
        }
        let plan = plan(&directory, &sender, &Facts::default(), &expansion.deliveries);
        let local: BTreeSet<AccountId> = plan.local.iter().map(|l| l.account).collect();
        let remote: BTreeSet<String> = plan.remote.iter().map(|r| r.to.to_string()).collect();
        prop_assert_eq!((local.len(), remote.len()), (plan.local.len(), plan.remote.len()));
        prop_assert!(remote.len() <= OUTSIDE.len());
        // Forwards never lose a message: somebody stores it, or it leaves.
        prop_assert!(reached.is_empty() || !local.is_empty() || !remote.is_empty());
    }

    /// Invariant 3.
    #[test]
    fn the_order_of_members_and_recipients_does_not_matter(
        world in world(), from in from(), mut to in recipients(), turn in 0..4usize
    ) {
        let directory = world.directory();
        let reversed = World { is_reversed: true, ..world }.directory();
        let sender = from.settled(&directory);
        let one = expand(&directory, &sender, &open(&directory, &sender, &to));
        let turn = turn % to.len();
        to.rotate_left(turn);
        to.reverse();
        let other = expand(&reversed, &sender, &open(&reversed, &sender, &to));
        prop_assert_eq!(outcome(&one), outcome(&other));
    }

    /// Invariant 4.
    #[test]
    fn a_claim_that_is_not_true_opens_nothing(world in world(), from in impostor(), to in recipients()) {
        let directory = world.directory();
        let sender = from.settled(&directory);
        let expansion = expand(&directory, &sender, &open(&directory, &sender, &to));
        for (id, above) in &expansion.opened {
            let consents = |above: &GroupId| {
                let above = directory.group(*above).unwrap();
                above.members.groups.contains(&Nested { group: *id, edge: Edge::Inherit })
            };
            let is_open = directory.group(*id).unwrap().mode == Mode::Anyone || above.as_ref().is_some_and(consents);
            prop_assert!(is_open, "{id:?}");
        }
        for delivery in &expansion.deliveries {
            if let Receiver::Account(id) = delivery.to {
                prop_assert_eq!(&directory.account(id).unwrap().settings().receive_scope, &Scope::Any);
            }
        }
    }

    /// Invariant 5, for the account's own addresses.
    #[test]
    fn each_address_of_a_login_gets_the_same_verdict(world in world(), group in 0..5u32, person in 0..5u32) {
        let directory = world.directory();
        let verdicts = |who: u32, addresses: &[&str]| {
            let verdict = |name: &&str| {
                let sender = Sender::authenticated(&directory, account_id(who), ReversePath::Address(address(name)));
                let destination = |resolution| destination(&directory, &sender, &Resolution::Local(resolution));
                let account = Addressed::Account {
                    account: account_id(person),
                    detail: None,
                    step: crate::directory::Step::Own,
                };
                (destination(Addressed::Group(group_id(group))), destination(account))
            };
            addresses.iter().map(verdict).collect::<Vec<_>>()
        };
        let forms = ["a0@corp.test", "x0@corp.test", "a0@corp-alias.test", "x0+y@corp-alias.test", "A0@corp.test"];
        for verdicts in [verdicts(0, &forms), verdicts(3, &["a3@branch.test", "x3@corp.test", "a3+y@branch.test"])] {
            prop_assert!(verdicts.windows(2).all(|pair| pair[0] == pair[1]), "{verdicts:?}");
        }
    }

    /// Invariant 6. A group that does not deliver to the sender is left out: somebody else in it takes away the copy
    /// that the sender gets for want of anybody else (row E04).
    #[test]
    fn another_member_takes_nobodys_copy_away(
        mut world in world(), from in from(), to in recipients(), group in 0..5usize, member in 0..5u8
    ) {
        world.parties.iter_mut().for_each(|party| party.echoes = true);
        let before = world.directory();
        world.parties[group].members |= 1 << member;
        let after = world.directory();
        let sender = from.settled(&before);
        let fewer = expand(&before, &sender, &open(&before, &sender, &to));
        let more = expand(&after, &sender, &open(&after, &sender, &to));
        let (fewer, more): (BTreeSet<_>, BTreeSet<_>) =
            (receivers(&fewer).into_iter().collect(), receivers(&more).into_iter().collect());
        prop_assert!(fewer.is_subset(&more), "{fewer:?} {more:?}");
    }

    /// Invariant 9, as far as it is decided here.
    #[test]
    fn only_a_sender_who_is_who_it_says_is_answerable(world in world(), from in from()) {
        let sender = from.settled(&world.directory());
        let vouched = (from.evidence.spf_passed || from.evidence.dkim_aligned) && from.evidence.from_aligned;
        if sender.is_answerable() {
            prop_assert!(sender.reverse_path != ReversePath::Null);
            prop_assert!(sender.class() == "O1" || (sender.class() == "O2" && sender.account().is_some()) || vouched);
        }
    }

    /// Policy semantics §6.4: what RCPT accepts for good reaches somebody, whatever the end of data tells; what it
    /// accepts on a claim does so if the claim is true.
    #[test]
    fn an_accepted_group_reaches_somebody(world in world(), from in from(), group in 0..5u32) {
        let directory = world.directory();
        let sender = from.sender(&directory);
        let addressed = Addressed::Group(group_id(group));
        let settled = match destination(&directory, &sender, &Resolution::Local(addressed.clone())) {
            Destination::Local(Access::Allowed) => vec![sender.assuming(true), sender.with_evidence(from.evidence)],
            Destination::Local(Access::Provisional | Access::Pending) => vec![sender.assuming(true)],
            _ => Vec::new(),
        };
        for sender in settled {
            let expansion = expand(&directory, &sender, std::slice::from_ref(&addressed));
            prop_assert!(!expansion.deliveries.is_empty() || !expansion.held.is_empty(), "{sender:?}");
        }
    }

    /// Invariant 11.
    #[test]
    fn to_outsiders_a_hidden_group_is_unknown_unless_it_is_open_to_them(
        mut world in world(), from in from(), group in 0..5u32
    ) {
        world.parties[group as usize].is_hidden = true;
        let directory = world.directory();
        let from = From { kind: 2 + from.kind % 3, ..from };
        let sender = from.sender(&directory);
        let answer = rcpt(&directory, &sender, GROUPS[group as usize], &[]);
        let is_for_anyone = MODES[world.parties[group as usize].mode as usize] == Mode::Anyone;
        match answer {
            Ok((_, Standing::Settled)) => prop_assert!(is_for_anyone),
            Ok((_, Standing::Provisional)) => prop_assert!(from.spf_passed),
            Ok((_, Standing::Alone)) => prop_assert!(false, "a group is no question"),
            Ok((_, Standing::Pending)) => prop_assert!(false, "a pending state reveals the group"),
            Err(key) => prop_assert_eq!(key, "user.unknown"),
        }
    }
}
