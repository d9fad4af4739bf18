//! T7: account states and scopes.

use super::*;
use crate::directory::{
    AccountState, AddressPattern, AdminForward, BlockAction, Blocked, Forward, ForwardTarget, Incoming, Scope,
};

/// Frank, with what becomes of his mail, an admin forward to dave, and his own to bob.
fn frank(incoming: Incoming, by_admin: bool, by_owner: bool) -> Directory {
    let acme = acme();
    let dave = target(&acme, "dave");
    let bob = ForwardTarget { to: target(&acme, "bob"), confirmed: true };
    with_settings(&acme, "frank", |s| {
        s.incoming = incoming;
        s.admin_forward = by_admin.then(|| AdminForward { targets: vec![dave], keep: false, concealed: false });
        s.forward = by_owner.then(|| Forward { targets: vec![bob], keep: false });
    })
}

#[test]
fn states_and_scopes_of_policy_semantics() {
    let acme = acme();
    let with_text = with_settings(&acme, "frank", |s| s.refusal_text = Some("gone fishing".to_owned()));
    let alias = acme_and("[[alias]]\naddress = \"f.alias@corp.test\"\naccount = \"frank@corp.test\"");
    let blocked_sending = with_account(&acme, "alice", |a| a.state = AccountState::SendBlocked);
    let dave = target(&acme, "dave");
    let handed_over = with_settings(&acme, "zoe", |s| {
        s.admin_forward = Some(AdminForward { targets: vec![dave], keep: false, concealed: false });
    });
    let partners = AddressPattern::Domain(Domain::parse("partner.test").unwrap());
    let listed = with_settings(&acme, "hank", |s| s.send_scope = Scope::List(vec![partners]));
    let block = |action| {
        let sender = AddressPattern::Address(address("stranger"));
        with_settings(&acme, "alice", |s| s.blocked = vec![Blocked { sender, action }])
    };
    let closed_admin = with_settings(&acme, "admin", |s| s.receive_scope = Scope::Internal);
    let thawed = with_account(&frank(Incoming::Store, false, true), "frank", |a| a.state = AccountState::Active);
    for (id, directory, from, to, replies, stored) in [
        ("A01", &acme, "stranger", "frank", "user.disabled", ""),
        ("A02", &frank(Incoming::Store, false, false), "stranger", "frank", "250", "frank"),
        ("A03", &frank(Incoming::Forward, true, false), "stranger", "frank", "250", "dave"),
        ("A04", &frank(Incoming::StoreAndForward, true, false), "stranger", "frank", "250", "dave, frank"),
        ("A05", &with_text, "stranger", "frank", "user.disabled with text", ""),
        ("A11", &frank(Incoming::Store, false, true), "stranger", "frank", "250", "frank"),
        ("A12", &thawed, "stranger", "frank", "250", "bob"),
        ("A16", &blocked_sending, "stranger", "alice", "250", "alice"),
        ("A18", &handed_over, "stranger", "zoe", "250", "dave"),
        ("A19", &alias, "stranger", "f.alias", "user.disabled", ""),
        ("A20", &acme, "stranger", "hank", "recv.scope", ""),
        ("A20, though SPF passes", &acme, "pam spf=pass", "hank", "recv.scope", ""),
        ("A21", &acme, "auth alice", "hank", "250", "hank"),
        ("A22", &acme, "auth gina", "hank", "250", "hank"),
        ("A23", &acme, "alice spf=none", "hank", "250 then group.unverified", ""),
        ("A23 with DKIM", &acme, "alice spf=none dkim=corp.test", "hank", "250", "hank"),
        ("A24", &acme, "<>", "hank", "recv.scope", ""),
        ("A25", &acme, "auth hank", "pam", "send.scope", ""),
        ("A26", &acme, "auth hank", "gina", "250", "gina"),
        ("A27", &listed, "auth hank", "pam", "250", "pam"),
        ("A27, elsewhere", &listed, "auth hank", "stranger", "send.scope", ""),
        ("A30", &block(BlockAction::Drop), "stranger", "alice", "250", ""),
        ("A30 with junk", &block(BlockAction::Junk), "stranger", "alice", "250", "alice's Junk"),
        ("A30, somebody else", &block(BlockAction::Drop), "pam spf=pass", "alice", "250", "alice"),
        ("A31", &closed_admin, "stranger", "postmaster@corp.test", "250", "admin"),
        ("A31 by its own address", &closed_admin, "stranger", "admin", "recv.scope", ""),
    ] {
        let passage = send(directory, from, to);
        assert_eq!(passage.replies(), replies, "{id}: replies");
        assert_eq!(passage.stored(directory), stored, "{id}: stored");
    }
}

/// A28: what this server itself sends has no scope before it.
#[test]
fn a28_system_mail_passes_the_receive_scope() {
    let acme = acme();
    assert!(rcpt(&acme, &Sender::system(), "hank", &[]).is_ok());
}
