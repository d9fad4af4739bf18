//! Lists of senders against what filters and mail rules say, over the fixture.

use std::collections::HashSet;

use super::*;
use crate::directory::{AddressPattern, DomainBlockAction, DomainBlocked};
use crate::policy::lists::Correspondent;
use crate::routing::{Junk, all_allow, all_refuse};

fn pattern(text: &str) -> AddressPattern {
    match text.strip_prefix("*@") {
        Some(domain) => AddressPattern::Domain(Domain::parse(domain).unwrap()),
        None => AddressPattern::Address(address(text)),
    }
}

/// corp.test does so with mail of evil.test.
fn blocking(directory: &Directory, action: DomainBlockAction) -> Directory {
    let mut record = (**directory.domain(&Domain::parse("corp.test").unwrap()).unwrap()).clone();
    record.blocked = vec![DomainBlocked { sender: pattern("*@evil.test"), action }];
    with(directory, Change::PutDomain(record))
}

#[test]
fn allowed_beats_filters_and_nothing_else() {
    let allows = with_settings(&acme(), "alice", |s| s.allowed = vec![pattern("pam@partner.test")]);
    let all = || Facts { junk: Junk::All, ..Facts::default() };
    let some = || Facts { junk: Junk::Some(HashSet::from([account(&allows, "alice")])), ..Facts::default() };
    let by_rule = || Facts { junk_by_rule: HashSet::from([account(&allows, "alice")]), ..all() };
    for (case, from, facts, want) in [
        ("no filter", "stranger", Facts::default(), "alice"),
        ("filter", "stranger", all(), "alice's Junk"),
        ("allowed by SPF", "pam spf=pass", all(), "alice"),
        ("allowed by DKIM", "pam dkim=partner.test", some(), "alice"),
        ("forged", "pam", all(), "alice's Junk"),
        ("SPF of another author", "pam spf=pass from=bob", all(), "alice's Junk"),
        ("rule", "pam spf=pass", by_rule(), "alice's Junk"),
    ] {
        assert_eq!(send_with(&allows, from, "alice", &facts).stored(&allows), want, "{case}");
    }
}

#[test]
fn domains_refuse_while_the_sender_can_be_told() {
    use DomainBlockAction::{Drop, Junk, Refuse};
    let acme = acme();
    let allows = with_settings(&acme, "alice", |s| s.allowed = vec![pattern("eve@evil.test")]);
    for (case, directory, from, to, replies, stored) in [
        ("refused", blocking(&acme, Refuse), "eve@evil.test spf=pass", "alice", "sender.listed", ""),
        ("group", blocking(&acme, Refuse), "eve@evil.test", "g-any", "sender.listed", ""),
        ("postmaster", blocking(&acme, Refuse), "eve@evil.test", "postmaster", "250", "admin"),
        ("another domain", blocking(&acme, Refuse), "eve@evil.test", "gina", "250", "gina"),
        ("junk", blocking(&acme, Junk), "eve@evil.test", "alice", "250", "alice's Junk"),
        ("drop", blocking(&acme, Drop), "eve@evil.test", "alice bob", "250 250", ""),
        ("allowed", blocking(&allows, Refuse), "eve@evil.test spf=pass", "alice", "250", "alice"),
        ("allowed, unproven", blocking(&allows, Refuse), "eve@evil.test", "alice", "250 then group.unverified", ""),
        ("others", blocking(&acme, Refuse), "stranger", "alice", "250", "alice"),
    ] {
        let passage = send(&directory, from, to);
        assert_eq!((passage.replies(), passage.stored(&directory)), (replies.to_owned(), stored.to_owned()), "{case}");
    }
}

#[test]
fn authors_are_known_at_the_end_of_data() {
    let directory = blocking(&acme(), DomainBlockAction::Refuse);
    let sender = client(&directory, "stranger").sender;
    let authors = [address("eve@evil.test")];
    let claimed = Correspondent { sender: &sender, authors: &authors };
    let to = |name: &str| match look_up(&directory, &address(name)) {
        Resolution::Local(addressed) => addressed,
        other => panic!("{other:?}"),
    };
    assert!(all_refuse(&directory, claimed, [&to("alice"), &to("g-any")]));
    assert!(!all_refuse(&directory, claimed, [&to("alice"), &to("gina")]), "one of them takes it");
    let facts = Facts { authors: authors.to_vec(), ..Facts::default() };
    let passage = send_with(&directory, "stranger", "alice gina", &facts);
    assert_eq!(passage.stored(&directory), "alice's Junk, gina", "and nobody else's copy is lost");
}

#[test]
fn a_group_is_allowed_if_each_member_allows() {
    let allow =
        |directory: &Directory, name| with_settings(directory, name, |s| s.allowed = vec![pattern("pam@partner.test")]);
    let alice = allow(&acme(), "alice");
    let both = allow(&alice, "carol");
    let sender = client(&alice, "pam spf=pass");
    let sender = sender.sender.with_evidence(sender.evidence);
    let from = Correspondent { sender: &sender, authors: &[] };
    let group = |directory: &Directory| [Addressed::Group(self::group(directory, "g-any"))];
    let three = allow(&both, "bob");
    assert!(!all_allow(&both, from, &group(&both)), "bob does not");
    assert!(all_allow(&three, from, &group(&three)));
}
