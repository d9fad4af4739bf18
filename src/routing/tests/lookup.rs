//! T1: address forms and lookup.

use super::*;
use crate::directory::Step;

/// What a forward-path leads to in words.
fn resolved(directory: &Directory, path: &str) -> String {
    let path = match forward_path(path) {
        Ok((path, _)) => path,
        Err(key) => return key.to_owned(),
    };
    match resolve(directory, OWN_ADDRESS, &path) {
        Resolution::Unknown => "nothing".to_owned(),
        Resolution::Foreign(_) | Resolution::Local(Addressed::External(_)) => "foreign".to_owned(),
        Resolution::Local(Addressed::Group(id)) => group_name(directory, id),
        Resolution::Local(Addressed::Account { account, detail, step }) => {
            let how = match step {
                Step::Own => "",
                Step::Postmaster => " as postmaster",
                Step::CatchAll => " by catch-all",
            };
            let detail = detail.map_or_else(String::new, |detail| format!(", detail {detail:?}"));
            format!("{}{how}{detail}", account_name(directory, account))
        }
    }
}

#[test]
fn lookup_of_policy_semantics() {
    let acme = acme();
    let vip = acme_and("[[account]]\naddress = \"alice+vip@corp.test\"");
    let dave = with_catch_all("corp.test", "dave");
    let info = acme_and(
        "[[account]]\naddress = \"info@corp.test\"\n\
         [[alias]]\naddress = \"info@corp-alias.test\"\naccount = \"bob@corp.test\"",
    );
    let long = format!("{}@corp.test", "a".repeat(65));
    for (id, directory, to, leads_to, reply) in [
        ("L01", &acme, "alice@corp.test", "alice", "250"),
        ("L02", &acme, "ALICE@Corp.TEST", "alice", "250"),
        ("L03", &acme, "\"alice\"@corp.test", "alice", "250"),
        ("L04", &acme, "a.liu@corp.test", "alice", "250"),
        ("L05", &acme, "alice@corp-alias.test", "alice", "250"),
        ("L06", &acme, "a.liu@corp-alias.test", "alice", "250"),
        ("L07", &acme, "g-any@corp-alias.test", "g-any", "250"),
        ("L08", &acme, "alice+news@corp.test", "alice, detail \"news\"", "250"),
        ("L09", &vip, "alice+vip@corp.test", "alice+vip", "250"),
        ("L10", &acme, "alice+@corp.test", "alice, detail \"\"", "250"),
        ("L11", &acme, "+news@corp.test", "nothing", "user.unknown"),
        ("L12", &acme, "alice+a+b@corp.test", "alice, detail \"a+b\"", "250"),
        ("L13", &acme, "g-any+x@corp.test", "g-any", "250"),
        ("L14", &acme, "nobody@corp.test", "nothing", "user.unknown"),
        ("L15", &dave, "nobody@corp.test", "dave by catch-all", "250"),
        ("L16", &dave, "nobody+x@corp.test", "dave by catch-all", "250"),
        ("L17", &dave, "nobody@corp-alias.test", "dave by catch-all", "250"),
        ("L18", &acme, "alice@mail.corp.test", "foreign", "relay.denied"),
        ("L19", &acme, "alice@branch.test", "nothing", "user.unknown"),
        ("L20", &acme, "postmaster", "admin as postmaster", "250"),
        ("L21", &acme, "POSTMASTER@corp-alias.test", "admin as postmaster", "250"),
        ("L22", &dave, "old@corp.test", "nothing", "user.unknown"),
        ("L23", &acme, "zoe@corp.test", "nothing", "user.unknown"),
        ("L24", &dave, "zoe@corp.test", "nothing", "user.unknown"),
        ("L24 with detail", &dave, "zoe+x@corp.test", "nothing", "user.unknown"),
        ("L25", &acme, &*long, "bad.syntax", "bad.syntax"),
        ("L26", &acme, "älice@corp.test", "nothing", "need.utf8"),
        ("L27", &acme, "@relay.test:alice@corp.test", "alice", "250"),
        ("L28", &acme, "alice%ext.test@corp.test", "nothing", "user.unknown"),
        ("L29", &acme, "alic.e@corp.test", "nothing", "user.unknown"),
        ("L30", &info, "info@corp-alias.test", "bob", "250"),
        ("L30 under its own name", &info, "info@corp.test", "info", "250"),
        ("L31", &acme, "alice@[192.0.2.25]", "foreign", "relay.denied"),
        ("L31 of postmaster", &acme, "postmaster@[192.0.2.25]", "admin as postmaster", "250"),
        ("L31 of another host", &acme, "postmaster@[192.0.2.26]", "foreign", "relay.denied"),
    ] {
        assert_eq!(resolved(directory, to), leads_to, "{id}: where {to} leads");
        let answered = rcpt(directory, &client(directory, "stranger").sender, to, &[]).map_or_else(|k| k, |_| "250");
        assert_eq!(answered, reply, "{id}: the reply to {to}");
    }
    assert_eq!(send(&acme, "auth alice", "pam").replies(), "250", "L34");
    assert_eq!(resolved(&acme, "pam@partner.test"), "foreign", "L34");
}
