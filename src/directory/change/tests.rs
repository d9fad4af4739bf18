//! Changes and lookups against policy semantics §4 and §5, and against a plain model.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use proptest::prelude::*;

use super::*;
use crate::directory::{AccountState, ExternalForward, Lookup};
use crate::mail::{Domain, Timestamp};

const NOW: Timestamp = Timestamp::from_millis(0);

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn domain(id: u32, name: &str) -> Change {
    Change::PutDomain(DomainRecord {
        id: DomainId::new(id).unwrap(),
        name: Domain::parse(name).unwrap(),
        organisation: OrganisationId::new(1).unwrap(),
        alias_of: None,
        catch_all: None,
        blocked: Vec::new(),
        allowed: Vec::new(),
        created: NOW,
    })
}

fn organisation() -> Change {
    Change::PutOrganisation(Organisation {
        id: OrganisationId::new(1).unwrap(),
        name: "acme".to_owned(),
        external_forward: ExternalForward::default(),
        hold_limit: None,
        record_monitor_reads: true,
        dmarc: crate::directory::DmarcHandling::None,
        trusted_sealers: Vec::new(),
        language: crate::mail::Language::default(),
        created: NOW,
    })
}

fn account_in(id: u32, text: &str, state: AccountState) -> Account {
    Account { state, ..Account::new(AccountId::new(id).unwrap(), address(text), NOW) }
}

fn account(id: u32, text: &str) -> Change {
    Change::PutAccount(account_in(id, text, AccountState::Active))
}

fn removing(id: u32, text: &str) -> Change {
    Change::PutAccount(account_in(id, text, AccountState::Removing))
}

fn alias(id: u32, text: &str, account: u32) -> Change {
    Change::PutAlias(Alias {
        id: AliasId::new(id).unwrap(),
        address: address(text),
        account: AccountId::new(account).unwrap(),
        enabled: true,
    })
}

#[test]
fn names_of_one_time_addresses_are_nobodys() {
    let decide = "decide-0123456789abcdefghijaaaaaabaaaaaaaaaaaaaaaaaaaa@corp.test";
    let confirm = "Confirm-AAAAAABBBBBCCCCCCCCCCCCCCCCCCCC@corp.test";
    let caught = Change::PutDomain(DomainRecord {
        id: DomainId::new(1).unwrap(),
        name: Domain::parse("corp.test").unwrap(),
        organisation: OrganisationId::new(1).unwrap(),
        alias_of: None,
        catch_all: AccountId::new(1),
        blocked: Vec::new(),
        allowed: Vec::new(),
        created: NOW,
    });
    let directory = apply_all(&fixture(), &[caught]).unwrap().0;
    assert!(matches!(directory.lookup(&address("nobody@corp.test")), Lookup::Account { .. }), "the catch-all");
    for text in [decide, confirm] {
        assert_eq!(directory.lookup(&address(text)), Lookup::Unknown, "{text}");
        let id = directory.new_account_id(0).unwrap().number();
        for change in [account(id, text), alias(directory.new_alias_id(0).unwrap().number(), text, 1)] {
            let refusal = apply(&directory, &change).unwrap_err();
            assert_eq!(refusal, Refusal::AddressReserved(address(text)), "{text}");
        }
    }
}

fn fixture() -> Directory {
    let changes = [
        organisation(),
        domain(1, "corp.test"),
        domain(2, "branch.test"),
        account(1, "alice@corp.test"),
        account(2, "Bob@corp.test"),
        account(3, "alice+vip@corp.test"),
        account(4, "gina@branch.test"),
        removing(5, "zoe@corp.test"),
        alias(1, "a.liu@corp.test", 1),
        alias(2, "g@corp.test", 4),
    ];
    apply_all(&Directory::default(), &changes).unwrap().0
}

/// The account's number and the detail; `Err` with the reply's kind.
fn look(directory: &Directory, text: &str) -> Result<(u32, Option<String>), &'static str> {
    match directory.lookup(&address(text)) {
        Lookup::Account { account, detail, .. } => Ok((account.id.number(), detail)),
        Lookup::Group(_) => Err("group"),
        Lookup::HandedOver(_) => Err("handed over"),
        Lookup::Unknown => Err("unknown"),
        Lookup::Foreign => Err("foreign"),
    }
}

#[test]
fn lookups() {
    let directory = fixture();
    let detail = |d: &str| Some(d.to_owned());
    for (row, text, want) in [
        ("L01", "alice@corp.test", Ok((1, None))),
        ("L02", "ALICE@Corp.TEST", Ok((1, None))),
        ("L03", "\"alice\"@corp.test", Ok((1, None))),
        ("L04", "a.liu@corp.test", Ok((1, None))),
        ("L08", "alice+news@corp.test", Ok((1, detail("news")))),
        ("L09", "alice+vip@corp.test", Ok((3, None))),
        ("L10", "alice+@corp.test", Ok((1, detail("")))),
        ("L11", "+news@corp.test", Err("unknown")),
        ("L12", "alice+a+b@corp.test", Ok((1, detail("a+b")))),
        ("alias with detail", "a.liu+x@corp.test", Ok((1, detail("x")))),
        ("L14", "nobody@corp.test", Err("unknown")),
        ("L18", "alice@mail.corp.test", Err("foreign")),
        ("L19", "alice@branch.test", Err("unknown")),
        ("alias across domains", "g@corp.test", Ok((4, None))),
        ("L21", "POSTMASTER@corp.test", Ok((1, None))),
        ("postmaster of the domain's own account", "postmaster@branch.test", Ok((4, None))),
        ("no detail for postmaster", "postmaster+x@corp.test", Err("unknown")),
        ("L23", "zoe@corp.test", Err("unknown")),
        ("L23 with detail", "zoe+x@corp.test", Err("unknown")),
        ("L28", "alice%ext.test@corp.test", Err("unknown")),
        ("L29", "alic.e@corp.test", Err("unknown")),
        ("L31", "alice@[192.0.2.1]", Err("foreign")),
    ] {
        assert_eq!(look(&directory, text), want, "{row}: {text}");
    }
    assert_eq!(directory.default_postmaster().unwrap().id.number(), 1);
    assert!(Directory::default().default_postmaster().is_none());
}

#[test]
fn bound_postmaster_comes_first() {
    let (directory, _) = apply(&fixture(), &alias(3, "postmaster@corp.test", 2)).unwrap();
    assert_eq!(look(&directory, "postmaster@corp.test"), Ok((2, None)));
    assert_eq!(directory.default_postmaster().unwrap().id.number(), 2);
    let (directory, _) = apply(&directory, &removing(2, "bob@corp.test")).unwrap();
    assert_eq!(look(&directory, "postmaster@corp.test"), Err("unknown"), "reserved while its account is removed");
}

#[test]
fn login_names() {
    let directory = fixture();
    for (name, want) in [
        ("alice@corp.test", Some(1)),
        ("ALICE@corp.test", Some(1)),
        ("a.liu@corp.test", Some(1)),
        ("alice+news@corp.test", None),
        ("alice", None),
        ("postmaster@corp.test", None),
        ("zoe@corp.test", None),
        ("", None),
    ] {
        assert_eq!(directory.login(name).map(|a| a.id.number()), want, "{name}");
    }
}

#[test]
fn refusals() {
    let directory = fixture();
    let in_use = |text: &str| Refusal::AddressInUse(address(text));
    let not_found = |text: &str| Refusal::NotFound(text.to_owned());
    for (case, change, want) in [
        ("domain twice", domain(3, "CORP.test"), Refusal::NameInUse("domain corp.test".to_owned())),
        (
            "domain renamed",
            domain(2, "new.test"),
            Refusal::Invalid(
                "domain branch.test keeps its name, its organisation and what it is a second name of".to_owned(),
            ),
        ),
        (
            "domain with addresses",
            Change::RemoveDomain(DomainId::new(1).unwrap()),
            Refusal::InUse("domain corp.test is in use by 6 addresses".to_owned()),
        ),
        ("no such domain", Change::RemoveDomain(DomainId::new(9).unwrap()), not_found("domain 9")),
        ("address of an account", account(6, "BOB@corp.test"), in_use("bob@corp.test")),
        ("address of an alias", account(6, "a.liu@corp.test"), in_use("a.liu@corp.test")),
        ("address being removed", account(6, "zoe@corp.test"), Refusal::AddressReserved(address("zoe@corp.test"))),
        ("renamed onto another", account(1, "bob@corp.test"), in_use("bob@corp.test")),
        ("foreign domain", account(6, "x@else.test"), Refusal::ForeignDomain(address("x@else.test"))),
        ("literal", account(6, "x@[192.0.2.1]"), Refusal::ForeignDomain(address("x@[192.0.2.1]"))),
        ("no such account", Change::RemoveAccount(AccountId::new(9).unwrap()), not_found("account 9")),
        ("alias of nobody", alias(3, "x@corp.test", 9), not_found("account 9")),
        ("alias of one being removed", alias(3, "x@corp.test", 5), not_found("account 5")),
        ("alias in use", alias(3, "alice@corp.test", 2), in_use("alice@corp.test")),
        (
            "alias moved",
            alias(2, "x@corp.test", 1),
            Refusal::Invalid("alias g@corp.test keeps its address and its account".to_owned()),
        ),
        ("no such alias", Change::RemoveAlias(AliasId::new(9).unwrap()), not_found("alias 9")),
    ] {
        assert_eq!(apply(&directory, &change).unwrap_err(), want, "{case}");
    }
}

#[test]
fn account_has_at_most_five_aliases() {
    let mut directory = fixture();
    for n in 3..7 {
        directory = apply(&directory, &alias(n, &format!("a{n}@corp.test"), 1)).unwrap().0;
    }
    assert!(matches!(apply(&directory, &alias(7, "a7@corp.test", 1)), Err(Refusal::Limit(_))));
    assert!(apply(&directory, &alias(7, "a7@corp.test", 2)).is_ok());
}

#[test]
fn rename_frees_the_old_address_and_removal_takes_the_aliases() {
    let (directory, writes) = apply(&fixture(), &account(1, "alison@corp.test")).unwrap();
    assert_eq!(look(&directory, "alice@corp.test"), Err("unknown"));
    assert_eq!(look(&directory, "alison@corp.test"), Ok((1, None)));
    assert_eq!(look(&directory, "a.liu@corp.test"), Ok((1, None)));
    assert_eq!(writes.len(), 1);
    let (directory, writes) = apply(&directory, &Change::RemoveAccount(AccountId::new(1).unwrap())).unwrap();
    assert_eq!(look(&directory, "alison@corp.test"), Err("unknown"));
    assert_eq!(look(&directory, "a.liu@corp.test"), Err("unknown"));
    assert_eq!(writes, [(record::ACCOUNT, 1, None), (record::ALIAS, 1, None)]);
}

#[test]
fn several_changes_are_one_version_and_all_or_none() {
    let directory = fixture();
    assert_eq!(directory.version(), 1);
    let refused = apply_all(&directory, &[account(6, "x@corp.test"), account(7, "x@corp.test")]);
    assert_eq!(refused.unwrap_err(), Refusal::AddressInUse(address("x@corp.test")));
    assert_eq!(look(&directory, "x@corp.test"), Err("unknown"));
}

#[derive(Clone, Debug)]
enum Step {
    AddDomain(u8),
    RemoveDomain(u32),
    AddAccount(u8, u8),
    Rename(u32, u8, u8),
    Retire(u32),
    RemoveAccount(u32),
    AddAlias(u8, u8, u32),
    RemoveAlias(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let id = 1u32..8;
    prop_oneof![
        (0u8..3).prop_map(Step::AddDomain),
        id.clone().prop_map(Step::RemoveDomain),
        (0u8..6, 0u8..3).prop_map(|(l, d)| Step::AddAccount(l, d)),
        (id.clone(), 0u8..6, 0u8..3).prop_map(|(i, l, d)| Step::Rename(i, l, d)),
        id.clone().prop_map(Step::Retire),
        id.clone().prop_map(Step::RemoveAccount),
        (0u8..6, 0u8..3, id.clone()).prop_map(|(l, d, i)| Step::AddAlias(l, d, i)),
        id.prop_map(Step::RemoveAlias),
    ]
}

fn named(local: u8, domain: u8) -> String {
    format!("u{local}@d{domain}.test")
}

fn change_of(step: &Step, directory: &Directory) -> Change {
    let current = |id: &u32| directory.account(AccountId::new(*id).unwrap()).map(|a| (**a).clone());
    match step {
        Step::AddDomain(d) => domain(directory.new_domain_id(0).unwrap().number(), &format!("d{d}.test")),
        Step::RemoveDomain(id) => Change::RemoveDomain(DomainId::new(*id).unwrap()),
        Step::AddAccount(l, d) => account(directory.new_account_id(0).unwrap().number(), &named(*l, *d)),
        Step::Rename(id, l, d) => account(*id, &named(*l, *d)),
        Step::Retire(id) => match current(id) {
            Some(account) => Change::PutAccount(Account { state: AccountState::Removing, ..account }),
            None => Change::RemoveAccount(AccountId::new(*id).unwrap()),
        },
        Step::RemoveAccount(id) => Change::RemoveAccount(AccountId::new(*id).unwrap()),
        Step::AddAlias(l, d, id) => alias(directory.new_alias_id(0).unwrap().number(), &named(*l, *d), *id),
        Step::RemoveAlias(id) => Change::RemoveAlias(AliasId::new(*id).unwrap()),
    }
}

/// Every address is bound once, to an object that is there, in a hosted domain; nothing is bound besides.
fn check_bindings(directory: &Directory) {
    let mut bound = HashSet::new();
    for account in directory.accounts() {
        assert!(bound.insert(account.address.key()), "{} twice", account.address);
        assert!(directory.hosts(account.address.domain().unwrap()));
        assert_eq!(directory.account_at(&account.address), Some(account));
    }
    for alias in directory.aliases() {
        assert!(bound.insert(alias.address.key()), "{} twice", alias.address);
        assert!(directory.hosts(alias.address.domain().unwrap()));
        assert!(directory.account(alias.account).is_some(), "{} dangles", alias.address);
        assert_eq!(directory.alias_at(&alias.address), Some(alias));
    }
    assert_eq!(directory.addresses.len(), bound.len());
    assert_eq!(directory.domain_names.len(), directory.domains.len());
    for domain in directory.domains() {
        assert_eq!(directory.domain(&domain.name), Some(domain));
    }
}

proptest! {
    #[test]
    fn changes_keep_the_directory_sound_and_its_records_make_it_again(steps in proptest::collection::vec(step(), 0..60)) {
        let (mut directory, writes) = apply(&Directory::default(), &organisation()).unwrap();
        let mut stored: BTreeMap<(u8, u32), Vec<u8>> =
            writes.into_iter().filter_map(|(kind, id, value)| Some(((kind, id), value?))).collect();
        let mut given: BTreeSet<(u8, u32)> = BTreeSet::new();
        for step in &steps {
            let Ok((next, writes)) = apply(&directory, &change_of(step, &directory)) else { continue };
            prop_assert_eq!(next.version(), directory.version() + 1);
            for (kind, id, value) in writes {
                let is_new = !stored.contains_key(&(kind, id));
                prop_assert!(!is_new || kind == record::COUNTERS || given.insert((kind, id)), "id {} given twice", id);
                match value {
                    Some(value) => stored.insert((kind, id), value),
                    None => stored.remove(&(kind, id)),
                };
            }
            directory = next;
            check_bindings(&directory);
        }
        let records = stored.into_iter().map(|((kind, id), value)| (kind, id, value)).collect();
        let again = Directory::from_records(directory.version(), records).unwrap();
        prop_assert_eq!(format!("{:?}", again.accounts), format!("{:?}", directory.accounts));
        prop_assert_eq!(&again.domains, &directory.domains);
        prop_assert_eq!(&again.aliases, &directory.aliases);
        prop_assert_eq!(&again.addresses, &directory.addresses);
        prop_assert_eq!(&again.domain_names, &directory.domain_names);
        prop_assert_eq!(again.counters, directory.counters);
    }
}

#[test]
fn contradicting_records_make_no_directory() {
    let counters =
        (record::COUNTERS, 0, record::encode(&Counters { domain: 9, account: 9, alias: 9, ..Counters::default() }));
    let record_of = |change: &Change| match change {
        Change::PutOrganisation(o) => (record::ORGANISATION, o.id.number(), record::encode(o)),
        Change::PutDomain(d) => (record::DOMAIN, d.id.number(), record::encode(d)),
        Change::PutAccount(a) => (record::ACCOUNT, a.id.number(), record::encode(a)),
        Change::PutAlias(a) => (record::ALIAS, a.id.number(), record::encode(a)),
        _ => unreachable!("not used"),
    };
    let load = |changes: &[Change]| {
        let mut records: Vec<_> = changes.iter().map(record_of).collect();
        records.push(counters.clone());
        Directory::from_records(1, records).map(drop).map_err(|e| e.to_string())
    };
    let sound = [organisation(), domain(1, "corp.test"), account(1, "alice@corp.test"), alias(1, "a@corp.test", 1)];
    assert_eq!(load(&sound), Ok(()));
    for (case, extra, at) in [
        ("domain twice", domain(2, "corp.test"), "d/2"),
        ("address twice", account(2, "Alice@corp.test"), "a/2"),
        ("alias on an address", alias(2, "alice@corp.test", 1), "l/2"),
        ("alias of nobody", alias(2, "b@corp.test", 7), "l/2"),
        ("foreign domain", account(2, "alice@else.test"), "a/2"),
        ("id to be given again", account(9, "bob@corp.test"), "a/9"),
    ] {
        let records = [sound.to_vec(), vec![extra]].concat();
        assert_eq!(load(&records), Err(format!("directory record {at} contradicts another")), "{case}");
    }
    let (kind, _, value) = record_of(&sound[2]);
    let misplaced = Directory::from_records(1, vec![(kind, 4, value)]);
    assert_eq!(misplaced.unwrap_err().to_string(), "directory record a/4 cannot be read");
}
