//! Small directories for tests: one organisation, its domain corp.test, accounts and aliases, with ids in the order of
//! their naming.

use super::{
    Account, AccountKind, AccountSettings, AccountState, Alias, Change, Credentials, Department, Directory,
    DomainRecord, Edge, ExternalForward, Group, Members, Mode, Moderated, Moderation, Nested, Organisation, change,
};
use crate::mail::{AccountId, Address, AliasId, DepartmentId, Domain, DomainId, GroupId, OrganisationId, Timestamp};

const NOW: Timestamp = Timestamp::from_millis(0);

/// The organisation with id 1.
pub fn organisation() -> Organisation {
    Organisation {
        id: OrganisationId::new(1).unwrap(),
        name: "acme".to_owned(),
        external_forward: ExternalForward::default(),
        hold_limit: None,
        record_monitor_reads: true,
        dmarc: crate::directory::DmarcHandling::None,
        trusted_sealers: Vec::new(),
        language: crate::mail::Language::default(),
        created: NOW,
    }
}

/// A domain of that organisation.
pub fn domain(id: u32, name: &str) -> DomainRecord {
    DomainRecord {
        id: DomainId::new(id).unwrap(),
        name: Domain::parse(name).unwrap(),
        organisation: OrganisationId::new(1).unwrap(),
        alias_of: None,
        catch_all: None,
        blocked: Vec::new(),
        allowed: Vec::new(),
        created: NOW,
    }
}

/// An active account.
pub fn account(id: u32, address: &str) -> Account {
    Account::new(AccountId::new(id).unwrap(), Address::parse(address).unwrap(), NOW)
}

/// An enabled alias.
pub fn alias(id: u32, address: &str, account: u32) -> Alias {
    Alias {
        id: AliasId::new(id).unwrap(),
        address: Address::parse(address).unwrap(),
        account: AccountId::new(account).unwrap(),
        enabled: true,
    }
}

/// corp.test with these accounts, all of the same credentials, and aliases, each with the number of its account.
pub fn corp(accounts: &[&str], aliases: &[(&str, u32)], credentials: Option<&Credentials>) -> Directory {
    let mut changes = vec![Change::PutOrganisation(organisation()), Change::PutDomain(domain(1, "corp.test"))];
    changes.extend((1..).zip(accounts).map(|(id, address)| {
        let credentials = credentials.cloned().map(Box::new);
        Change::PutAccount(Account { credentials, ..account(id, address) })
    }));
    changes.extend((1..).zip(aliases).map(|(id, (address, owner))| Change::PutAlias(alias(id, address, *owner))));
    change::apply_all(&Directory::default(), &changes).unwrap().0
}

/// The organisation of policy semantics §2 as far as it says who belongs where, followed by changes. Accounts have the
/// ids 1 to 12 and departments 1 to 4 in the order of the tables there.
pub fn acme(changes: &[Change]) -> Directory {
    let mut all = vec![
        Change::PutOrganisation(organisation()),
        Change::PutDomain(domain(1, "corp.test")),
        Change::PutDomain(domain(2, "branch.test")),
    ];
    let parents = [("Sales", None), ("East", Some(1)), ("Eng", None), ("HR", None)];
    all.extend((1..).zip(parents).map(|(id, (name, parent))| {
        Change::PutDepartment(Department {
            id: DepartmentId::new(id).unwrap(),
            organisation: OrganisationId::new(1).unwrap(),
            name: name.to_owned(),
            parent: parent.map(|id| DepartmentId::new(id).unwrap()),
            manager: None,
        })
    }));
    all.extend((1..).zip(STAFF).map(|(id, (address, department))| {
        let departments = department.map(|id| DepartmentId::new(id).unwrap()).into_iter().collect();
        let mut account = Account { departments, ..account(id, address) };
        match *address {
            "frank@corp.test" => account.state = AccountState::Frozen,
            "support@corp.test" => account.kind = AccountKind::Shared,
            "admin@corp.test" => {
                account = account.with_settings(AccountSettings { is_admin: true, ..AccountSettings::default() });
            }
            _ => {}
        }
        Change::PutAccount(account)
    }));
    all.push(Change::PutAlias(alias(1, "a.liu@corp.test", 1)));
    all.extend(groups().into_iter().map(Change::PutGroup));
    all.extend_from_slice(changes);
    change::apply_all(&Directory::default(), &all).unwrap().0
}

/// g-mem, g-any, g-out, g-ext and g-mod.
fn groups() -> Vec<Group> {
    let group = |id, name: &str, mode, accounts: &[u32]| Group {
        mode,
        members: Members {
            accounts: accounts.iter().map(|id| AccountId::new(*id).unwrap()).collect(),
            ..Members::default()
        },
        ..Group::new(GroupId::new(id).unwrap(), Address::parse(&format!("{name}@corp.test")).unwrap(), NOW)
    };
    let mem = group(1, "g-mem", Mode::Members, &[1, 3]);
    let any = group(2, "g-any", Mode::Anyone, &[1, 2, 3]);
    let mut out = group(3, "g-out", Mode::Anyone, &[2]);
    out.members.groups = vec![Nested { group: mem.id, edge: Edge::Check }];
    let mut ext = Group { external_members: true, ..group(4, "g-ext", Mode::SameDomain, &[1]) };
    ext.members.external = vec![Address::parse("pam@partner.test").unwrap()];
    let moderation =
        Moderation { when: Moderated::All, moderators: vec![AccountId::new(4).unwrap()], ..Moderation::default() };
    let moderated = Group { moderation, ..group(5, "g-mod", Mode::Anyone, &[1, 2]) };
    vec![mem, any, out, ext, moderated]
}

const STAFF: &[(&str, Option<u32>)] = &[
    ("alice@corp.test", Some(1)),
    ("bob@corp.test", Some(3)),
    ("carol@corp.test", Some(2)),
    ("dave@corp.test", Some(4)),
    ("erin@corp.test", Some(4)),
    ("frank@corp.test", Some(1)),
    ("hank@corp.test", Some(3)),
    ("ivy@corp.test", Some(3)),
    ("jack@corp.test", Some(3)),
    ("gina@branch.test", Some(3)),
    ("support@corp.test", Some(1)),
    ("admin@corp.test", None),
];
