//! T8: forwarding.

use super::*;
use crate::directory::{AdminForward, ExternalForward, Forward, ForwardTarget};
use crate::routing::Junk;

/// The owner's forward to these.
fn forward(directory: &Directory, from: &str, to: &[&str], keep: bool) -> Directory {
    let targets = to.iter().map(|to| ForwardTarget { to: target(directory, to), confirmed: true }).collect();
    with_settings(directory, from, |s| s.forward = Some(Forward { targets, keep }))
}

fn admin_forward(directory: &Directory, from: &str, to: &str, keep: bool) -> Directory {
    let targets = vec![target(directory, to)];
    with_settings(directory, from, |s| s.admin_forward = Some(AdminForward { targets, keep, concealed: true }))
}

fn policy(directory: &Directory, external_forward: ExternalForward) -> Directory {
    let organisation = (**directory.organisations().next().unwrap()).clone();
    with(directory, Change::PutOrganisation(crate::directory::Organisation { external_forward, ..organisation }))
}

fn unconfirmed(directory: &Directory) -> Directory {
    with_settings(directory, "alice", |s| {
        s.forward.iter_mut().flat_map(|f| &mut f.targets).for_each(|t| t.confirmed = false);
    })
}

#[test]
fn forwards_of_policy_semantics() {
    let acme = acme();
    let open = policy(&acme, ExternalForward::Allow);
    let (f01, f02) = (forward(&acme, "alice", &["dave"], true), forward(&acme, "alice", &["dave"], false));
    let f03 = admin_forward(&acme, "alice", "pam", true);
    let outside = forward(&open, "alice", &["pam"], false);
    let denied = policy(&outside, ExternalForward::Deny);
    let admin_only = policy(&outside, ExternalForward::AdminOnly);
    let f07 = unconfirmed(&outside);
    let f08 = forward(&forward(&acme, "alice", &["bob"], false), "bob", &["alice"], false);
    let f11 = forward(&acme, "bob", &["g-mem"], false);
    let f12 = forward(&acme, "alice", &["g-mem"], false);
    let f19 = admin_forward(&forward(&acme, "alice", &["bob"], true), "alice", "erin", true);
    let (f23, f24) = (forward(&acme, "alice", &["frank"], false), forward(&acme, "alice", &["hank"], false));
    let several = forward(&open, "alice", &["dave", "pam", "erin"], false);
    let admin_outside = policy(&admin_forward(&acme, "alice", "pam", false), ExternalForward::Deny);
    for (id, directory, from, to, stored) in [
        ("F01", &f01, "stranger", "alice", "alice, dave"),
        ("F02", &f02, "stranger", "alice", "dave"),
        ("F03", &f03, "stranger", "alice", "alice, pam by corp.test"),
        ("F04", &f03, "<>", "alice", "alice, pam by corp.test"),
        ("F06", &denied, "stranger", "alice", "alice"),
        ("F06, admins alone", &admin_only, "stranger", "alice", "alice"),
        ("F06, not even admins", &admin_outside, "stranger", "alice", "alice"),
        ("F06, while it was allowed", &outside, "stranger", "alice", "pam by corp.test"),
        ("F07", &f07, "stranger", "alice", "alice"),
        ("F08", &f08, "stranger", "alice", "bob"),
        ("F08, both addressed", &f08, "stranger", "alice bob", "bob"),
        ("F11", &f11, "stranger", "bob", "bob"),
        ("F12", &f12, "stranger", "alice", "alice, carol"),
        ("F19", &f19, "stranger", "alice", "alice, bob, erin"),
        ("F23", &f23, "stranger", "alice", "alice"),
        ("F24", &f24, "stranger", "alice", "alice"),
        ("F24, who may", &f24, "auth bob", "alice", "hank"),
        ("several targets", &several, "stranger", "alice", "dave, erin, pam by corp.test"),
        ("the target is addressed too", &f02, "stranger", "alice dave", "dave"),
    ] {
        let passage = send(directory, from, to);
        assert_eq!(passage.replies().replace("250 250", "250"), "250", "{id}: replies");
        assert_eq!(passage.stored(directory), stored, "{id}: stored");
    }
}

/// F09 and F13: what the message itself says.
#[test]
fn f09_f13_looping_and_junk_messages_are_not_forwarded() {
    let directory = forward(&acme(), "alice", &["dave"], false);
    let been = |name: &str| {
        let delivered_to = vec![address(name)];
        Facts { delivered_to, ..Facts::default() }
    };
    for (id, facts, stored) in [
        ("F09", been("alice"), "alice"),
        ("F09 by an alias", been("a.liu"), "alice"),
        ("F09, somebody else's", been("bob"), "dave"),
        ("F13", Facts { junk: Junk::All, ..Facts::default() }, "alice's Junk"),
    ] {
        assert_eq!(send_with(&directory, "stranger", "alice", &facts).stored(&directory), stored, "{id}");
    }
}

/// F20: seven local forwards in a row.
#[test]
fn f20_a_chain_ends_at_the_fifth_hop() {
    let toml = (0..=7).map(|n| format!("[[account]]\naddress = \"hop{n}@corp.test\"\n")).collect::<String>();
    let mut directory = acme_and(&toml);
    for n in 0..7 {
        directory = forward(&directory, &format!("hop{n}"), &[&format!("hop{}", n + 1)], false);
    }
    let passage = send(&directory, "stranger", "hop0");
    assert_eq!(passage.stored(&directory), "hop5");
    assert_eq!(passage.plan.local.first().map(|l| l.forwarded_by.len()), Some(5), "a Delivered-To for each hop");
}
