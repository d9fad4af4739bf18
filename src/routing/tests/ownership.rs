//! T2: sender ownership.

use super::*;
use crate::directory::AccountState;
use crate::policy::ownership::{self, Addition};
use crate::policy::reverse_path::{self, Submitter};

/// The reply to MAIL of somebody logged in.
fn mail(directory: &Directory, who: &str, path: &str) -> &'static str {
    let id = account(directory, who);
    let path = if path == "<>" { ReversePath::Null } else { ReversePath::Address(address(path)) };
    let submitter = match directory.account(id).unwrap().state {
        AccountState::Active if ownership::may_use(directory, id, &path) => Submitter::Owner,
        AccountState::Active => Submitter::NotOwner,
        _ => Submitter::Blocked,
    };
    let rate = crate::policy::rate::Rate::Within;
    key(&reverse_path::decide(&reverse_path::Facts { submitter, declared_size: None, size_limit: 1, rate }))
}

#[test]
fn reverse_paths_of_policy_semantics() {
    let acme = acme();
    let blocked = with_account(&acme, "alice", |a| a.state = AccountState::SendBlocked);
    for (id, directory, who, path, want) in [
        ("S01", &acme, "alice", "alice", "250"),
        ("S02", &acme, "alice", "a.liu", "250"),
        ("S03", &acme, "alice", "alice@corp-alias.test", "250"),
        ("S04", &acme, "alice", "alice+x", "250"),
        ("S05", &acme, "alice", "bob", "sender.not_owned"),
        ("S06", &acme, "bob", "support", "250"),
        ("S07", &acme, "alice", "support", "sender.not_owned"),
        ("S09", &acme, "bob", "dave", "sender.not_owned"),
        ("S12", &acme, "alice", "<>", "250"),
        ("S14", &acme, "alice", "g-any", "sender.not_owned"),
        ("S15", &acme, "alice", "old", "sender.not_owned"),
        ("S17", &acme, "gina", "gina@corp.test", "sender.not_owned"),
        ("S18", &blocked, "alice", "alice", "send.blocked"),
        ("an address elsewhere", &acme, "alice", "pam", "sender.not_owned"),
        ("the postmaster's address", &acme, "admin", "postmaster", "sender.not_owned"),
    ] {
        assert_eq!(mail(directory, who, path), want, "{id}");
    }
    assert_eq!(client(&acme, "alice").sender.class(), "O5", "S19: a claim and nothing else");
    assert!(client(&acme, "alice").sender.account().is_none(), "S19");
    assert_eq!(acme.login("a.liu@corp.test").map(|a| a.id), Some(account(&acme, "alice")), "S20");
}

#[test]
fn authors_of_policy_semantics() {
    let acme = acme();
    let refused = || Err(Reason::FromNotOwned);
    for (id, who, from, sender, want) in [
        ("S08", "bob", &["dave"][..], &[][..], Ok(Addition::Sender)),
        ("S08 with Sender", "bob", &["dave"], &["bob"], Ok(Addition::None)),
        ("S08 with the author as Sender", "bob", &["dave"], &["dave"], refused()),
        ("S10", "alice", &["bob"], &[], refused()),
        ("S11", "alice", &["alice", "bob"], &[], refused()),
        ("S12", "alice", &["alice"], &[], Ok(Addition::None)),
        ("S13", "alice", &["a.liu"], &[], Ok(Addition::None)),
        ("no From", "alice", &[], &[], Ok(Addition::From)),
        ("somebody else's Sender", "alice", &["alice"], &["bob"], refused()),
        ("a shared account's author", "bob", &["support"], &[], Ok(Addition::None)),
    ] {
        let addresses = |names: &[&str]| names.iter().map(|name| address(name)).collect::<Vec<_>>();
        let (from, sender) = (addresses(from), addresses(sender));
        let facts = ownership::Facts { from: &from, sender: &sender, is_unreadable: false };
        assert_eq!(ownership::decide(&acme, account(&acme, who), &facts), want, "{id}");
    }
}
