//! T4: nested groups.

use super::*;
use crate::directory::{Edge, Mode, Nested};
use crate::mail::Timestamp;

/// A chain of groups of mode same-domain, all edges `inherit`, with alice at the end. Not through a change, which
/// refuses what is deeper than 10.
fn chain(levels: u32) -> Directory {
    let directory = acme();
    let alice = account(&directory, "alice");
    let first = directory.new_group_id(0).unwrap().number();
    let groups = (0..levels).map(|n| {
        let id = GroupId::new(first + n).unwrap();
        let mut group = Group::new(id, address(&format!("chain{}", n + 1)), Timestamp::from_millis(0));
        match GroupId::new(first + n + 1) {
            Some(next) if n + 1 < levels => group.members.groups = vec![Nested { group: next, edge: Edge::Inherit }],
            _ => group.members.accounts = vec![alice],
        }
        group
    });
    with_damaged_groups(&directory, &groups.collect::<Vec<_>>())
}

/// c1 and c2, each in the other.
fn cycle() -> Directory {
    let toml = "[[group]]\naddress = \"c1@corp.test\"\nmembers = [\"alice@corp.test\"]\n\
                [[group]]\naddress = \"c2@corp.test\"\nmembers = [\"bob@corp.test\"]";
    let directory = acme_and(toml);
    let nest = |outer: &str, inner: &str| {
        let mut group_ = (**directory.group(group(&directory, outer)).unwrap()).clone();
        group_.members.groups = vec![Nested { group: group(&directory, inner), edge: Edge::Inherit }];
        group_
    };
    with_damaged_groups(&directory, &[nest("c1", "c2"), nest("c2", "c1")])
}

/// A group that holds itself and alice.
fn selfish() -> Directory {
    let directory = acme_and("[[group]]\naddress = \"self@corp.test\"\nmembers = [\"alice@corp.test\"]");
    let mut own = (**directory.group(group(&directory, "self")).unwrap()).clone();
    own.members.groups = vec![Nested { group: own.id, edge: Edge::Inherit }];
    with_damaged_groups(&directory, &[own])
}

/// A group of anybody with members as in TOML.
fn outer(members: &str) -> Directory {
    acme_and(&format!("[[group]]\naddress = \"outer@corp.test\"\npermission = \"anyone\"\nmembers = [{members}]"))
}

fn nested(group: &str, edge: &str) -> String {
    format!("{{ group = \"{group}@corp.test\", edge = \"{edge}\" }}")
}

#[test]
fn nesting_of_policy_semantics() {
    let acme = acme();
    let with_bob = |group: &str, edge: &str| outer(&format!("\"bob@corp.test\", {}", nested(group, edge)));
    let both = outer(&format!("{}, {}", nested("g-out", "inherit"), nested("g-inh", "inherit")));
    let (cycle, selfish, ten, eleven) = (cycle(), selfish(), chain(10), chain(11));
    let hidden = with_bob("g-hid", "check");
    let (held, not_held) = (with_bob("g-mod", "check"), with_bob("g-mod", "inherit"));
    let empty = with_bob("g-emp", "check");
    // ID, target, sender, replies, delivered, closed, held
    for (id, directory, to, from, replies, delivered, closed, held) in [
        ("N01", &acme, "g-out", "auth bob", "250", "bob", "g-mem", ""),
        ("N02", &acme, "g-out", "auth alice", "250", "alice bob carol", "", ""),
        ("N03", &acme, "g-inh", "auth bob", "250", "alice bob carol", "", ""),
        ("N04", &acme, "g-out", "stranger spf=none", "250", "bob", "g-mem", ""),
        ("N05", &acme, "g-out", "pam spf=pass", "250", "bob", "g-mem", ""),
        ("N06", &acme, "g-only", "auth bob", "group.denied", "", "", ""),
        ("N07", &acme, "g-out carol", "auth bob", "250 250", "bob carol/direct", "g-mem", ""),
        ("N08", &both, "outer", "auth bob", "250", "alice bob carol", "", ""),
        ("N09", &cycle, "c1", "auth carol", "250", "alice bob", "", ""),
        ("N09 from the other end", &cycle, "c2", "auth carol", "250", "alice bob", "", ""),
        ("N10", &selfish, "self", "auth carol", "250", "alice", "", ""),
        ("N11", &ten, "chain1", "auth carol", "250", "alice", "", ""),
        ("N12", &eleven, "chain1", "auth carol", "group.empty", "", "", ""),
        ("N12, its second level", &eleven, "chain2", "auth carol", "250", "alice", "", ""),
        ("N13", &hidden, "outer", "auth carol", "250", "bob", "g-hid", ""),
        ("N14", &held, "outer", "auth carol", "250", "bob", "", "g-mod"),
        ("N15", &not_held, "outer", "auth carol", "250", "alice bob", "", ""),
        ("N16", &empty, "outer", "auth carol", "250", "bob", "", ""),
        ("N17", &acme, "g-only", "alice spf=none dkim=corp.test", "250", "alice carol", "", ""),
        ("N18", &acme, "g-only", "alice spf=none", "250 then group.unverified", "", "", ""),
    ] {
        let passage = send(directory, from, to);
        assert_eq!(passage.replies(), replies, "{id}: replies");
        assert_eq!(passage.delivered(directory), delivered, "{id}: delivered");
        assert_eq!(passage.closed(directory), closed, "{id}: closed");
        assert_eq!(passage.held(directory), held, "{id}: held");
    }
}

/// Whom a partial notice may reach: N04 nobody, for the sender is not answerable.
#[test]
fn partial_notices_go_to_answerable_senders() {
    let acme = acme();
    for (id, from, want) in [
        ("N01", "auth bob", true),
        ("N04", "stranger spf=none", false),
        ("N05", "pam spf=pass", true),
        ("a claim that failed", "pam spf=pass from=stranger", false),
        ("the null reverse-path", "<>", false),
        ("a login with the null reverse-path", "auth bob as <>", false),
    ] {
        assert_eq!(send(&acme, from, "g-out").sender.is_answerable(), want, "{id}");
    }
}

/// N14, after the approval: whoever has it is left out.
#[test]
fn n14_approval_does_not_deliver_twice() {
    let directory = outer(&format!("\"bob@corp.test\", {}", nested("g-mod", "check")));
    let passage = send(&directory, "auth carol", "outer");
    let moderated = directory.group(group(&directory, "g-mod")).unwrap();
    let has = |to: &Receiver| passage.expansion.deliveries.iter().any(|d| d.to == *to);
    let approved = super::super::expand_approved(&directory, &passage.sender, moderated, has);
    assert_eq!(sorted(approved.deliveries.iter().map(|d| receiver(&directory, &d.to))), "alice");
}

/// Policy semantics §8: what is open through one recipient is not closed through another, whichever comes first.
#[test]
fn a_group_open_through_one_recipient_is_not_reported_closed_through_another() {
    let acme = acme();
    for to in ["g-out g-inh", "g-inh g-out"] {
        let passage = send(&acme, "auth bob", to);
        assert_eq!(passage.delivered(&acme), "alice bob carol", "{to}");
        assert_eq!(passage.closed(&acme), "", "{to}");
    }
}

/// Policy semantics §6.6: to a session without login no refusal tells that a hidden group exists.
#[test]
fn refusals_of_a_hidden_group_look_like_an_unknown_user_to_outsiders() {
    let hide = |name: &str| with_group(&acme(), name, |g| g.hidden = true);
    let anyone = |name: &str| {
        with_group(&acme(), name, |g| {
            g.hidden = true;
            g.mode = Mode::Anyone;
        })
    };
    for (case, directory, to, from, want) in [
        ("nobody in it", anyone("g-emp"), "g-emp", "stranger", "user.unknown"),
        ("closed below", hide("g-only"), "g-only", "stranger", "user.unknown"),
        ("pending below", hide("g-only"), "g-only", "alice spf=none", "user.unknown"),
        ("open below", hide("g-only"), "g-only", "alice spf=pass", "250"),
        ("nobody in it, with a login", anyone("g-emp"), "g-emp", "auth bob", "group.empty"),
        ("closed below, with a login", hide("g-only"), "g-only", "auth bob", "group.denied"),
    ] {
        assert_eq!(send(&directory, from, to).replies(), want, "{case}");
    }
}
