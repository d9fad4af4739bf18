//! T5: expansion and single copies.

use super::*;
use crate::directory::{DepartmentScope, Forward, ForwardTarget, Scope};
use crate::mail::{OrganisationId, Timestamp};

fn department(directory: &Directory, path: &str, subtree: bool) -> DepartmentScope {
    let department = directory.department_at(OrganisationId::new(1).unwrap(), path).unwrap().id;
    DepartmentScope { department, subtree }
}

fn list(settings: &str) -> Directory {
    acme_and(&format!("[[group]]\naddress = \"list@corp.test\"\n{settings}"))
}

#[test]
fn expansion_of_policy_semantics() {
    let acme = acme();
    let no_echo = |name: &str| with_group(&acme, name, |g| g.deliver_to_sender = false);
    let lonely = list("deliver_to_sender = false\nmembers = [\"alice@corp.test\"]");
    let moved = {
        let eng = department(&acme, "/Eng", false).department;
        with_account(&acme, "carol", |a| a.departments = vec![eng])
    };
    let hank = account(&acme, "hank");
    let with_hank = with_group(&acme, "g-any", |g| g.members.accounts.push(hank));
    let ivy = list("members = [\"ivy@corp.test\", \"bob@corp.test\"]");
    let twice = list("members = [\"alice@corp.test\", \"a.liu@corp.test\"]");
    let pams = with_group(&acme, "g-ext", |g| g.members.external.push(address("PAM@PARTNER.TEST")));
    let support = list("members = [\"support@corp.test\"]");
    let misplaced = with_group(&acme, "g-dom", |g| g.members.external.push(address("pam")));
    let sales = with_group(&acme, "g-sal", |g| g.members.departments = vec![department(&acme, "/Sales", false)]);
    let excluded = with_group(&acme, "g-sal", |g| g.exclusions = vec![account(&acme, "alice")]);
    for (id, directory, from, to, replies, delivered) in [
        ("E01", &acme, "auth carol", "g-dom", "250", "alice bob"),
        ("E02", &acme, "auth alice", "g-dom", "250", "alice bob"),
        ("E03", &no_echo("g-dom"), "auth alice", "g-dom", "250", "bob"),
        ("E04", &lonely, "auth alice", "list", "250", "alice"),
        ("E05", &acme, "stranger", "alice g-any", "250 250", "alice/direct bob carol"),
        ("E06", &acme, "stranger", "alice a.liu", "250 250", "alice/direct"),
        ("E07", &acme, "stranger", "g-any alice+x", "250 250", "alice+x/direct bob carol"),
        ("E08", &acme, "auth bob", "g-emp", "group.empty", ""),
        ("E09", &acme, "auth bob", "g-frz", "group.empty", ""),
        ("E10", &acme, "auth bob", "g-sal", "250", "alice carol support"),
        ("E11", &moved, "auth bob", "g-sal", "250", "alice support"),
        ("E12", &acme, "auth alice", "g-ext", "250", "alice pam"),
        ("E13", &acme, "auth hank", "g-ext", "250", "alice"),
        ("E14", &with_hank, "stranger", "g-any", "250", "alice bob carol"),
        ("E15", &ivy, "auth bob", "list", "250", "bob ivy"),
        ("E20", &twice, "auth bob", "list", "250", "alice"),
        ("E21", &pams, "auth bob", "g-ext", "250", "alice pam"),
        ("E22", &support, "auth bob", "list", "250", "support"),
        ("E25", &misplaced, "auth bob", "g-dom", "250", "alice bob"),
        ("E26", &sales, "auth bob", "g-sal", "250", "alice support"),
        ("E27", &excluded, "auth bob", "g-sal", "250", "carol support"),
    ] {
        let passage = send(directory, from, to);
        assert_eq!(passage.replies(), replies, "{id}: replies");
        assert_eq!(passage.delivered(directory), delivered, "{id}: delivered");
    }
    assert_eq!(
        send(&acme, "auth alice", "g-ext").stored(&acme),
        "alice, pam for g-ext",
        "E12: failures go to managers"
    );
    assert_eq!(send(&acme, "auth hank", "g-ext").closed(&acme), "(outside)", "E13: partial notice");
    let passage = send(&misplaced, "auth bob", "g-dom");
    assert_eq!(passage.expansion.misplaced, [(group(&misplaced, "g-dom"), address("pam"))], "E25: logged");
}

/// E23: the forward of one member to another is no second copy.
#[test]
fn e23_a_forward_to_another_member_is_no_second_copy() {
    let acme = acme();
    let to = ForwardTarget { to: target(&acme, "bob"), confirmed: true };
    let directory = with_settings(&acme, "alice", |s| s.forward = Some(Forward { targets: vec![to], keep: false }));
    assert_eq!(send(&directory, "stranger", "g-any").stored(&directory), "bob, carol");
}

/// E18: 100,000 are delivered, one more is refused.
#[test]
fn e18_a_group_of_more_than_100_000_cannot_be_expanded() {
    let acme = acme();
    let first = acme.new_group_id(0).unwrap().number();
    let of = |n: u32, name: &str, numbers: std::ops::Range<u32>| {
        let mut group = Group::new(GroupId::new(first + n).unwrap(), address(name), Timestamp::from_millis(0));
        group.external_members = true;
        group.members.external = numbers.map(|n| address(&format!("m{n}@partner.test"))).collect();
        group
    };
    let nested = |ids: &[u32]| {
        let edge = crate::directory::Edge::Inherit;
        let nested = |n: &u32| crate::directory::Nested { group: GroupId::new(first + n).unwrap(), edge };
        ids.iter().map(nested).collect::<Vec<_>>()
    };
    let mut most = of(2, "most", 0..0);
    most.members.groups = nested(&[0, 1]);
    let mut all = of(3, "all", 100_000..100_001);
    all.members.groups = nested(&[0, 1]);
    // Some are in both, and count once.
    let parts = [of(0, "part1", 0..60_000), of(1, "part2", 50_000..100_000), most, all];
    let directory = with_damaged_groups(&acme, &parts);
    let passage = send(&directory, "auth bob", "most");
    assert_eq!((&*passage.replies(), passage.expansion.deliveries.len()), ("250", 100_000));
    assert_eq!(send(&directory, "auth bob", "all").replies(), "group.empty");
}

/// Policy semantics §6.3: `deliver_to_sender=off` never empties the result of a group, whatever else is addressed.
#[test]
fn deliver_to_sender_does_not_depend_on_the_order_of_recipients() {
    let directory = list("deliver_to_sender = false\nmembers = [\"alice@corp.test\", \"bob@corp.test\"]");
    for to in ["bob list", "list bob", "g-out list", "list g-out"] {
        let passage = send(&directory, "auth alice", to);
        let alices = passage.expansion.deliveries.iter().filter(|d| d.via == Via::Group(group(&directory, "list")));
        let alice = Receiver::Account(account(&directory, "alice"));
        assert_eq!(alices.filter(|d| d.to == alice).count(), 0, "{to}");
    }
    let lonely = list("deliver_to_sender = false\nmembers = [\"alice@corp.test\"]");
    for to in ["bob list", "list bob"] {
        assert_eq!(
            sorted(send(&lonely, "auth alice", to).plan.local.iter().map(|l| account_name(&lonely, l.account))),
            "alice bob",
            "{to}"
        );
    }
}

/// A group whose members' scopes all exclude the sender has nobody for it.
#[test]
fn members_who_do_not_take_the_sender_are_passed_over() {
    let directory = with_settings(&acme(), "bob", |s| s.receive_scope = Scope::Internal);
    assert_eq!(send(&directory, "stranger", "g-any").delivered(&directory), "alice carol");
    assert_eq!(send(&directory, "stranger", "g-out").replies(), "group.denied", "and the rest is closed");
    assert_eq!(send(&directory, "gina spf=pass", "g-any").delivered(&directory), "alice bob carol");
}
