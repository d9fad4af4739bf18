//! Shapes and files against the fixture of policy semantics §2 and the example of a whole company.

use serde_json::json;

use super::*;
use crate::directory::{AccountState, Directory, Edge, Group, Mode};
use crate::mail::{AccountId, Address, Timestamp};

const ACME: &str = include_str!("../../../../tests/fixtures/acme.toml");
const EXAMPLE: &str = include_str!("../../../../conf/example-org.toml");
const NOW: Timestamp = Timestamp::from_millis(7);

fn directory(text: &str) -> Directory {
    directory_from_toml(text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

/// What a file does to a directory.
fn apply(directory: &Directory, text: &str) -> Result<FilePlan, Vec<Problem>> {
    let (file, problems) = File::parse(text);
    plan(&file, problems, directory, NOW)
}

/// The problems as lines of text.
fn problems(directory: &Directory, text: &str) -> Vec<String> {
    apply(directory, text).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

fn differences(before: &Directory, plan: &FilePlan) -> Vec<String> {
    let line = |d: Difference| {
        let sign = if d.before.is_null() {
            "+"
        } else if d.after.is_null() {
            "-"
        } else {
            "~"
        };
        format!("{sign} {} {}", d.kind, d.name)
    };
    plan.touched.iter().map(|object| line(object.difference(before, &plan.directory))).collect()
}

#[test]
fn fixture_is_whole() {
    let directory = directory(ACME);
    assert_eq!(directory.domains().count(), 3);
    assert_eq!(directory.departments().count(), 4);
    assert_eq!(directory.account_count(), 13);
    assert_eq!(directory.groups().count(), 14);
    assert_eq!(directory.account_at(&address("alice@corp.test")).unwrap().id.number(), 1);
    assert_eq!(directory.account_at(&address("zoe@corp.test")).unwrap().state, AccountState::Binned);
    assert_eq!(directory.group_at(&address("g-mw@corp.test")).unwrap().mode, Mode::MembersAndWhitelist);
    assert!(!directory.alias_at(&address("old@corp.test")).unwrap().enabled);
    let edge = |group: &str| directory.group_at(&address(group)).unwrap().members.groups[0].edge;
    assert_eq!((edge("g-out@corp.test"), edge("g-inh@corp.test")), (Edge::Check, Edge::Inherit));
}

#[test]
fn what_is_described_resolves_to_the_same_record() {
    for text in [ACME, EXAMPLE] {
        let d = directory(text);
        for old in d.accounts() {
            let shape = AccountSpec::describe(old, &d);
            assert_eq!(shape.resolve(&d, old).as_ref(), Ok(&**old));
            let json = serde_json::to_value(&shape).unwrap();
            assert_eq!(serde_json::from_value::<AccountSpec>(json.clone()).unwrap(), shape, "{json}");
        }
        for old in d.groups() {
            let shape = GroupSpec::describe(old, &d);
            let blank = Group::new(old.id, old.address.clone(), old.created);
            assert_eq!(shape.resolve(&d, &blank, Authority::Admin).as_ref(), Ok(&**old));
            let json = serde_json::to_value(&shape).unwrap();
            assert_eq!(serde_json::from_value::<GroupSpec>(json.clone()).unwrap(), shape, "{json}");
        }
        for old in d.rules() {
            let shape = RuleSpec::describe(old, &d);
            assert_eq!(shape.resolve(&d, old.id, old.created).as_ref(), Ok(&**old));
            let json = serde_json::to_value(&shape).unwrap();
            assert_eq!(serde_json::from_value::<RuleSpec>(json.clone()).unwrap(), shape, "{json}");
        }
        for old in d.departments() {
            assert_eq!(DepartmentSpec::describe(old, &d).resolve(&d, old.id).as_ref(), Ok(&**old));
        }
        for old in d.domains() {
            assert_eq!(DomainSpec::describe(old, &d).resolve(&d, old.id, old.created).as_ref(), Ok(&**old));
        }
        for old in d.aliases() {
            assert_eq!(AliasSpec::describe(old, &d).unwrap().resolve(&d, old.id).as_ref(), Ok(&**old));
        }
    }
}

#[test]
fn applying_twice_changes_nothing() {
    for text in [ACME, EXAMPLE] {
        let first = apply(&Directory::default(), text).unwrap();
        assert!(!first.changes.is_empty());
        let second = apply(&first.directory, text).unwrap();
        assert!(second.changes.is_empty(), "{:?}", second.changes);
        assert_eq!(second.touched, []);
    }
}

#[test]
fn objects_may_refer_to_each_other_in_any_order() {
    let blocks =
        |text: &str| -> Vec<String> { text.split("\n[[").skip(1).map(|block| format!("[[{block}\n")).collect() };
    let mut reversed = blocks(ACME);
    reversed.reverse();
    let (forth, back) = (directory(ACME), directory(&reversed.concat()));
    let shapes = |d: &Directory| {
        let mut shapes: Vec<String> =
            d.groups().map(|g| serde_json::to_string(&GroupSpec::describe(g, d)).unwrap()).collect();
        shapes.extend(d.accounts().map(|a| serde_json::to_string(&AccountSpec::describe(a, d)).unwrap()));
        shapes.sort();
        shapes
    };
    // The order of members is that of ids, which differs.
    let sorted = |d: &Directory| {
        shapes(d)
            .iter()
            .map(|s| {
                let mut c: Vec<char> = s.chars().collect();
                c.sort_unstable();
                c
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(sorted(&forth), sorted(&back));
}

#[test]
fn a_bad_file_names_every_bad_line() {
    let text = "\
[[account]]
address = \"new@corp.test\"
quota = \"100 MB\"
state = \"asleep\"
colour = \"red\"

[[account]]
address = \"other@corp.test\"
departments = [\"/Sales\", \"/Nowhere\"]
forward = { targets = [\"nobody@corp.test\", \"pam@partner.test\"] }

[[group]]
address = \"g@corp.test\"
whitelist = [
    \"bob@corp.test\",
    \"bob at corp\",
    \"*@bad..test\",
]

[[group]]
address = \"g@elsewhere.test\"

[[alias]]
address = \"bob@corp.test\"
account = \"alice@corp.test\"

[[rule]]
name = \"x\"
actions = [{ copy = { monitor = \"pam@partner.test\" } }]

[[gruop]]
address = \"g@corp.test\"

[[account]]
address = \"OTHER@corp.test\"
";
    let found = apply(&directory(ACME), text).unwrap_err();
    let lines: Vec<usize> = found.iter().filter_map(|p| p.line).collect();
    assert_eq!(lines, [3, 4, 5, 9, 10, 16, 17, 20, 23, 29, 31, 34], "{found:#?}");
    let by_line = |line: usize| found.iter().find(|p| p.line == Some(line)).unwrap();
    assert_eq!((by_line(9).field.as_str(), by_line(9).value.as_str()), ("departments[1]", "/Nowhere"));
    assert_eq!(by_line(16).object, "group g@corp.test");
    assert_eq!(by_line(20).key, "foreign_domain");
    assert_eq!(by_line(23).key, "address_in_use");
    assert!(by_line(4).allowed.contains("frozen"), "{}", by_line(4));
    assert!(
        problems(&directory(ACME), "[[account]]\naddress = \"x@corp.test\"\npassword = 918273\n")
            .iter()
            .all(|p| !p.contains("918273"))
    );
    assert!(problems(&directory(ACME), "[[account]\naddress = ").iter().all(|p| p.starts_with("line ")));
}

#[test]
fn a_change_is_shown_and_made() {
    let acme = directory(ACME);
    let text = "\
[[account]]
address = \"alice@corp.test\"
departments = [\"/Eng\"]

[[alias]]
address = \"a.liu@corp.test\"
account = \"bob@corp.test\"

[[department]]
path = \"/Eng/New\"
manager = \"new@corp.test\"

[[account]]
address = \"new@corp.test\"
departments = [\"/Eng/New\"]
";
    let plan = apply(&acme, text).unwrap();
    let mut shown = differences(&acme, &plan);
    shown.sort();
    assert_eq!(
        shown,
        [
            "+ account new@corp.test",
            "+ alias a.liu@corp.test",
            "+ department /Eng/New",
            "- alias a.liu@corp.test",
            "~ account alice@corp.test",
        ]
    );
    assert_eq!(plan.new_accounts.len(), 1);
    let alice = acme.account_at(&address("alice@corp.test")).unwrap().id;
    let after = plan.directory.account(alice).unwrap();
    assert_eq!(AccountSpec::describe(after, &plan.directory).departments, ["/Eng"]);
    let difference = Object::Account(alice).difference(&acme, &plan.directory);
    assert_eq!(
        (&difference.before["departments"], &difference.after["departments"]),
        (&json!(["/Sales"]), &json!(["/Eng"]))
    );
}

#[test]
fn groups_may_change_places_in_one_file() {
    let file = |outer: &str, inner: &str| {
        format!(
            "[[group]]\naddress = \"{outer}@corp.test\"\nmembers = [\"group:{inner}@corp.test\"]\n\
             [[group]]\naddress = \"{inner}@corp.test\"\nmembers = [\"alice@corp.test\"]\n"
        )
    };
    let first = apply(&directory(ACME), &file("one", "two")).unwrap().directory;
    let second = apply(&first, &file("two", "one")).unwrap().directory;
    assert_eq!(second.group_at(&address("one@corp.test")).unwrap().members.groups, []);
    assert_eq!(second.group_at(&address("two@corp.test")).unwrap().members.groups.len(), 1);
}

#[test]
fn admins_may_change_in_one_file_but_not_all_go() {
    let acme = directory(ACME);
    let demoted = "[[account]]\naddress = \"admin@corp.test\"\n";
    assert!(problems(&acme, demoted)[0].contains("last active admin"));
    let replaced = format!("{demoted}[[account]]\naddress = \"bob@corp.test\"\nadmin = true\n");
    assert!(apply(&acme, &replaced).is_ok());
}

#[test]
fn pruning_removes_what_the_file_does_not_name() {
    let acme = directory(ACME);
    let text = "\
[[organisation]]
name = \"acme\"
prune = true

[[domain]]
name = \"corp.test\"

[[account]]
address = \"admin@corp.test\"
admin = true

[[account]]
address = \"alice@corp.test\"

[[alias]]
address = \"a.liu@corp.test\"
account = \"alice@corp.test\"

[[alias]]
address = \"g-any@corp.test\"
account = \"alice@corp.test\"
";
    let plan = apply(&acme, text).unwrap();
    let after = &plan.directory;
    assert_eq!(after.groups().count(), 0);
    assert_eq!(after.aliases().count(), 2, "old@corp.test goes");
    let bob = after.account_at(&address("bob@corp.test")).unwrap();
    assert_eq!(bob.state, AccountState::Binned, "never purged");
    assert_eq!(after.account_count(), acme.account_count());
    assert!(after.domain(&crate::mail::Domain::parse("corp-alias.test").unwrap()).is_none());
    assert!(after.domain(&crate::mail::Domain::parse("branch.test").unwrap()).is_some(), "gina is binned there");
    assert!(apply(after, text).unwrap().changes.is_empty());
    let without = text.replace("prune = true\n", "");
    assert_eq!(apply(&acme, &without).unwrap_err().len(), 1, "g-any is a group's");
}

#[test]
fn inner_groups_get_the_edge_that_authority_allows() {
    let acme = directory(ACME);
    let outer = acme.group_at(&address("g-any@corp.test")).unwrap();
    let bob = acme.account_at(&address("bob@corp.test")).unwrap().id;
    let manager_of_inner = {
        let text = "[[group]]\naddress = \"g-mem@corp.test\"\npermission = \"members\"\n\
                    members = [\"alice@corp.test\"]\nmanagers = [\"bob@corp.test\"]\n";
        apply(&acme, text).unwrap().directory
    };
    let wanted = |edge| MemberSpec::Nested(NestedSpec { group: "g-mem@corp.test".to_owned(), edge });
    let resolve = |directory: &Directory, member: MemberSpec, authority| {
        let mut shape = GroupSpec::describe(outer, directory);
        shape.members.push(member);
        let group = shape.resolve(directory, outer, authority);
        group.map(|g| g.members.groups[0].edge).map_err(|p| p[0].key.clone())
    };
    let plain = || MemberSpec::Entry("group:g-mem@corp.test".to_owned());
    let (inherit, refused) = (Some(Edge::Inherit), Err("inherit_needs_authority".to_owned()));
    for (row, directory, member, authority, want) in [
        ("N20", &acme, wanted(inherit), Authority::Account(bob), refused),
        ("N21", &acme, plain(), Authority::Account(bob), Ok(Edge::Check)),
        (
            "N21 without group:",
            &acme,
            MemberSpec::Entry("g-mem@corp.test".to_owned()),
            Authority::Account(bob),
            Ok(Edge::Check),
        ),
        ("N22", &acme, plain(), Authority::Admin, Ok(Edge::Inherit)),
        ("check by an admin", &acme, wanted(Some(Edge::Check)), Authority::Admin, Ok(Edge::Check)),
        ("manager of the inner", &manager_of_inner, wanted(inherit), Authority::Account(bob), Ok(Edge::Inherit)),
        ("manager of the inner, plain", &manager_of_inner, plain(), Authority::Account(bob), Ok(Edge::Inherit)),
    ] {
        assert_eq!(resolve(directory, member, authority), want, "{row}");
    }
    // An edge that is there already needs no authority to stay.
    let nested = acme.group_at(&address("g-inh@corp.test")).unwrap();
    let shape = GroupSpec::describe(nested, &acme);
    assert_eq!(shape.resolve(&acme, nested, Authority::Account(AccountId::new(99).unwrap())).as_ref(), Ok(&**nested));
}

#[test]
fn entries_are_written_in_one_way_each() {
    let acme = directory(ACME);
    let mut shape = GroupSpec::new("g@corp.test".to_owned());
    let written = [
        ("A.Liu@CORP-alias.test", "alice@corp.test"),
        ("g-mem@corp.test", "group:g-mem@corp.test"),
        ("department:/Sales", "department:/Sales"),
        ("department-only:/Sales/East", "department-only:/Sales/East"),
        ("pam@Partner.test", "pam@partner.test"),
        ("*@Trusted.test", "*@trusted.test"),
        ("*@*.trusted.test", "*@*.trusted.test"),
        ("*.top", "*@*.top"),
    ];
    shape.whitelist = written.iter().map(|(text, _)| (*text).to_owned()).collect();
    let blank = Group::new(crate::mail::GroupId::new(99).unwrap(), address("g@corp.test"), NOW);
    let group = shape.resolve(&acme, &blank, Authority::Admin).unwrap();
    let described = GroupSpec::describe(&group, &acme);
    assert_eq!(described.whitelist, written.map(|(_, plain)| plain));
    for (case, bad) in [
        ("nobody here", "nobody@corp.test"),
        ("no address", "alice"),
        ("no such department", "department:/Nowhere"),
        ("no group", "group:alice@corp.test"),
        ("no domain", "*@"),
    ] {
        shape.whitelist = vec![bad.to_owned()];
        let problems = shape.resolve(&acme, &blank, Authority::Admin).unwrap_err();
        assert_eq!((problems.len(), problems[0].field.as_str()), (1, "whitelist[0]"), "{case}");
    }
}

#[test]
fn another_organisation_is_outside() {
    let text = format!(
        "{ACME}\n[[organisation]]\nname = \"other\"\n[[domain]]\nname = \"other.test\"\norganisation = \"other\"\n\
         [[account]]\naddress = \"olga@other.test\"\n[[group]]\naddress = \"all@other.test\"\n\
         members = [\"olga@other.test\", \"alice@corp.test\"]\n"
    )
    .replace("path = ", "organisation = \"acme\"\npath = ")
    .replace("name = \"corp.test\"", "name = \"corp.test\"\norganisation = \"acme\"")
    .replace("name = \"branch.test\"", "name = \"branch.test\"\norganisation = \"acme\"");
    let d = directory(&text);
    let group = d.group_at(&address("all@other.test")).unwrap();
    assert_eq!(group.members.external, [address("alice@corp.test")]);
    let managed = "[[group]]\naddress = \"all@other.test\"\nmanagers = [\"alice@corp.test\"]\n";
    assert_eq!(problems(&d, managed).len(), 1);
}

#[test]
fn a_large_file_takes_time_in_proportion() {
    let mut text = ACME.to_owned();
    for n in 0..2000 {
        text.push_str(&format!("[[account]]\naddress = \"u{n}@corp.test\"\ndepartments = [\"/Sales/East\"]\n"));
    }
    let plan = apply(&Directory::default(), &text).unwrap();
    assert_eq!(plan.new_accounts.len(), 2013);
    assert!(apply(&plan.directory, &text).unwrap().changes.is_empty());
}
