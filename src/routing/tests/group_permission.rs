//! T3: group send permission.

use super::*;
use crate::directory::Mode;

#[test]
fn permissions_of_policy_semantics() {
    let acme = acme();
    let gina_alias = acme_and("[[alias]]\naddress = \"gina@corp.test\"\naccount = \"gina@branch.test\"");
    let bob = account(&acme, "bob");
    let managed = with_group(&acme, "g-mem", |g| g.managers = vec![bob]);
    let nested = {
        let inner = "[[group]]\naddress = \"g-dave@corp.test\"\nmembers = [\"dave@corp.test\"]";
        let directory = acme_and(inner);
        let dave = group(&directory, "g-dave");
        with_group(&directory, "g-mem", |g| {
            g.members.groups.push(crate::directory::Nested { group: dave, edge: crate::directory::Edge::Check });
        })
    };
    let pam_in = with_group(&acme, "g-mem", |g| g.members.external.push(address("pam")));
    let organisation = with_group(&acme, "g-dom", |g| g.mode = Mode::Organisation);
    let auth_dom = with_group(&acme, "g-dom", |g| g.require_auth = true);
    let auth_wl = with_group(&acme, "g-wl", |g| g.require_auth = true);
    for (id, directory, to, from, want) in [
        ("P01", &acme, "g-dom", "auth alice", "250"),
        ("P02", &acme, "g-dom", "auth alice as a.liu", "250"),
        ("P03", &acme, "g-dom", "auth carol", "250"),
        ("P04", &acme, "g-dom", "auth gina", "group.denied"),
        ("P05", &gina_alias, "g-dom", "auth gina", "250"),
        ("P06", &acme, "g-dom", "stranger", "group.denied"),
        ("P07", &acme, "g-dom", "alice spf=fail", "250 then group.unverified"),
        ("P08", &acme, "g-dom", "alice spf=none dkim=corp.test", "250"),
        ("P09", &acme, "g-dom", "alice spf=pass", "250"),
        ("P10", &acme, "g-dom", "nobody spf=pass", "group.denied"),
        ("P11", &acme, "g-dom", "<>", "group.denied"),
        ("P12", &acme, "g-dom", "frank spf=pass", "group.denied"),
        ("P13", &acme, "g-dom", "x@evil.test spf=pass from=alice", "group.denied"),
        ("P14", &acme, "g-dom", "alice spf=pass from=bob@ext.test", "250 then group.unverified"),
        ("P15", &acme, "g-dom", "alice spf=none dkim=ext.test", "250 then group.unverified"),
        ("P16", &acme, "g-dom", "relay alice", "250"),
        ("P17", &acme, "g-dom", "relay scanner", "group.denied"),
        ("P18", &acme, "g-dom", "gateway alice spf=fail", "250 then group.unverified"),
        ("P19", &acme, "g-dom", "auth alice as <>", "250"),
        ("P20", &acme, "g-dom", "auth bob as support", "250"),
        ("P21", &acme, "g-dom", "alice@corp-alias.test spf=pass", "250"),
        ("P22", &acme, "g-mem", "auth carol", "250"),
        ("P23", &acme, "g-mem", "auth bob", "group.denied"),
        ("P24", &acme, "g-mem", "auth alice as a.liu", "250"),
        ("P25", &managed, "g-mem", "auth bob", "group.denied"),
        ("P26", &acme, "g-mem", "auth admin", "group.denied"),
        ("P27", &nested, "g-mem", "auth dave", "250"),
        ("P28", &pam_in, "g-mem", "pam spf=pass", "250"),
        ("P29", &pam_in, "g-mem", "pam spf=fail", "250 then group.unverified"),
        ("P30", &acme, "g-any", "stranger", "250"),
        ("P31", &acme, "g-any", "<>", "250"),
        ("P32", &acme, "g-any", "alice spf=fail", "250"),
        ("P33", &acme, "g-wl", "auth bob", "250"),
        ("P34", &acme, "g-wl", "auth alice", "group.denied"),
        ("P35", &acme, "g-wl", "auth admin", "group.denied"),
        ("P36", &acme, "g-wl", "pam spf=pass", "250"),
        ("P37", &acme, "g-wl", "pam spf=softfail dkim=partner.test", "250"),
        ("P38", &acme, "g-wl", "pam spf=fail", "250 then group.unverified"),
        ("P39", &acme, "g-wl", "pam spf=temperror", "250 then group.retry"),
        ("P40", &acme, "g-wl", "any@trusted.test spf=pass", "250"),
        ("P41", &acme, "g-wl", "any@sub.trusted.test spf=pass", "group.denied"),
        ("P42", &acme, "g-wl", "bob spf=none", "250 then group.unverified"),
        ("P43", &acme, "g-wl", "PAM@Partner.Test spf=pass", "250"),
        ("P44", &acme, "g-mw", "auth alice", "250"),
        ("P45", &acme, "g-mw", "pam spf=pass", "250"),
        ("P46", &acme, "g-mw", "auth bob", "group.denied"),
        ("P47", &acme, "g-hid", "auth alice", "250"),
        ("P48", &acme, "g-hid", "auth bob", "group.denied"),
        ("P49", &acme, "g-hid", "stranger", "user.unknown"),
        ("P50", &acme, "g-hid", "alice spf=none", "user.unknown"),
        ("P51", &acme, "g-hid", "alice spf=pass", "250"),
        ("P52", &organisation, "g-dom", "auth gina", "250"),
        ("P53", &acme, "alice g-wl", "pam spf=none dkim=partner.test", "250 rcpt.split"),
        ("P54", &acme, "g-wl alice", "pam spf=none dkim=partner.test", "250 rcpt.split"),
        ("P55", &acme, "g-wl g-mw", "pam spf=none dkim=partner.test", "250 250"),
        ("P56", &acme, "alice g-mem", "auth bob", "250 group.denied"),
        ("P61", &auth_dom, "g-dom", "alice spf=pass dkim=corp.test", "group.denied"),
        ("P62", &auth_dom, "g-dom", "auth alice", "250"),
        ("P63", &auth_wl, "g-wl", "pam spf=pass", "group.denied"),
    ] {
        assert_eq!(send(directory, from, to).replies(), want, "{id}");
    }
}

/// P57: alice gets it, the group does not, and pam, who is answerable by SPF, is told.
#[test]
fn p57_failed_provisional_recipients_do_not_take_the_others_with_them() {
    let acme = acme();
    let passage = send(&acme, "pam spf=pass from=ceo@corp.test", "alice g-wl");
    assert_eq!(passage.replies(), "250 250");
    assert_eq!(passage.delivered(&acme), "alice/direct");
    assert_eq!(passage.failed, [Addressed::Group(group(&acme, "g-wl"))]);
}

/// P58: what cannot be decided is deferred.
#[test]
fn p58_unreadable_policy_defers() {
    let facts = |destination, room| recipient::Facts {
        may_relay: true,
        lacks_smtputf8: false,
        client_listed: None,
        destination,
        is_beyond_scope: false,
        room,
        count: 0,
        limit: 1,
        rate: Rate::Within,
        others: None,
    };
    let unavailable = Destination::Local(Access::Refused(Reason::PolicyUnavailable));
    for facts in [facts(unavailable, Room::Fits), facts(Destination::Local(Access::Allowed), Room::Unknown)] {
        assert_eq!(recipient::decide(&facts).map_err(|v| key(&v)), Err("policy.error"));
    }
}

/// P59 and P60: the whole transaction sees the directory that MAIL saw.
#[test]
fn p59_p60_a_change_concerns_the_next_transaction() {
    let before = acme();
    let (alice, bob) = (account(&before, "alice"), account(&before, "bob"));
    let after = with_group(&before, "g-mem", |g| {
        g.members.accounts.retain(|id| *id != alice);
        g.members.accounts.push(bob);
    });
    assert_eq!(send(&before, "auth bob", "g-mem").replies(), "group.denied", "P59");
    assert_eq!(send(&after, "auth bob", "g-mem").replies(), "250", "P59, next transaction");
    let passage = send(&before, "auth alice", "g-mem");
    assert_eq!((&*passage.replies(), &*passage.delivered(&before)), ("250", "alice carol"), "P60");
    assert_eq!(send(&after, "auth alice", "g-mem").replies(), "group.denied", "P60, next transaction");
}
