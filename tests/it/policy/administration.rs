//! Who may do what over the admin API (policy semantics §1, §6.6, §8, §9, §11.1, §13.5, §14, §17): accounts log in with
//! address and password, and each sees and changes what it has to do with.

use serde_json::{Value, json};

use super::super::imap::Imap;
use super::super::server::PASSWORD;
use super::acme::Acme;
use super::person::{Answer, basic, basic_with, request};
use super::replies::OK;
use super::row::{HELD, auth, keep, row};

/// Another organisation on the same server, with an admin of its own.
const OTHER: &str = "[[organisation]]\nname = \"other\"\n[[domain]]\nname = \"other.test\"\norganisation = \"other\"\n\
    [[account]]\naddress = \"eve@other.test\"\nadmin = true\npassword = \"open sesame\"\n\
    [[account]]\naddress = \"oscar@other.test\"\npassword = \"open sesame\"\n";

const WATCH: &str = "[[rule]]\nname = \"watch\"\norganisation = \"acme\"\nscope = [\"alice@corp.test\"]\nactions = [{ copy = { monitor = \
    \"erin@corp.test\", folder = \"m\" } }]\n";

fn managed(group: &str, manager: &str) -> String {
    format!("[[group]]\naddress = \"{group}@corp.test\"\nmanagers = [\"{manager}@corp.test\"]\n")
}

/// The records since the log had so many, newest first.
fn records(acme: &Acme, since: usize) -> Vec<Value> {
    let mut all = acme.get("/audit?organisation=acme")["items"].as_array().cloned().expect("a list");
    all.truncate(all.len() - since);
    all
}

fn version(acme: &Acme) -> u64 {
    acme.get("/status")["directory_version"].as_u64().expect("a number")
}

#[test]
fn accounts_log_in_with_address_and_password() {
    let acme = Acme::start();
    let at = acme.server.address("admin");
    let own = "/accounts/alice@corp.test";
    for (case, fields, want) in [
        ("address", basic("alice"), (200, "")),
        ("alias", basic("a.liu"), (200, "")),
        ("another case", basic("ALICE@Corp.Test"), (200, "")),
        ("wrong password", basic_with("alice", "open sesam"), (401, "unauthorized")),
        ("nobody", basic("nobody"), (401, "unauthorized")),
        ("disabled alias", basic("old"), (401, "unauthorized")),
        ("shared account", basic("support"), (401, "unauthorized")),
        ("recycle bin", basic("zoe"), (401, "unauthorized")),
        ("frozen", basic("frank"), (403, "auth.disabled")),
        ("frozen, wrong password", basic_with("frank", "x"), (401, "unauthorized")),
        ("no credentials", String::new(), (401, "unauthorized")),
    ] {
        let answer = request(at, &fields, "GET", own, "");
        assert_eq!(answer.refusal(), want, "{case}: {answer:?}");
        let head = answer.head.to_ascii_lowercase();
        assert_eq!(head.contains("www-authenticate: basic realm="), want.0 == 401, "{case}: {head}");
    }
    // The token is the operator's, as before.
    let token = std::fs::read_to_string(acme.server.data().join("admin.token")).expect("a token");
    let bearer = format!("Authorization: Bearer {}\r\n", token.trim());
    assert_eq!(request(at, &bearer, "GET", "/status", "").status, 200);
    assert_eq!(acme.as_account("alice", "GET", "/status", "").refusal(), (403, "forbidden"));
    // A password that changes counts at once.
    let body = json!({ "password": "another one" }).to_string();
    assert_eq!(acme.as_account("bob", "PUT", "/accounts/bob@corp.test/password", &body).status, 204);
    let as_bob = |fields: &str| request(at, fields, "GET", "/accounts/bob@corp.test", "").status;
    assert_eq!((as_bob(&basic("bob")), as_bob(&basic_with("bob", "another one"))), (401, 200));
    assert!(!acme.server.log().contains(PASSWORD) && !acme.server.log().contains("another one"));
}

#[test]
fn credentials_that_are_none_let_nobody_in() {
    let acme = Acme::start();
    let at = acme.server.address("admin");
    let good = basic("alice");
    let token = good.trim_end().rsplit(' ').next().expect("a token").to_owned();
    for (case, fields) in [
        ("two fields", format!("{good}{}", basic("bob"))),
        ("the same twice", format!("{good}{good}")),
        ("a bearer before", format!("Authorization: Bearer x\r\n{good}")),
        ("two schemes in one", format!("Authorization: Bearer x, Basic {token}\r\n")),
        ("folded", format!("Authorization: Basic\r\n {token}\r\n")),
        ("no base64", "Authorization: Basic alice:open sesame\r\n".to_owned()),
        ("cut short", format!("Authorization: Basic {}\r\n", &token[..token.len() - 2])),
        ("trailing octets", format!("Authorization: Basic {token}AAAA\r\n")),
        ("header in the name", basic("alice@corp.test\r\nAuthorization: Bearer x\r\n")),
        ("NUL behind the password", basic_with("alice", &format!("{PASSWORD}\0"))),
        ("in the proxy's field", format!("Proxy-{good}")),
        ("not ASCII", "Authorization: Basic \u{fc}\r\n".to_owned()),
        ("name of 100 kB", basic(&"a".repeat(100_000))),
        ("password of 100 kB", basic_with("alice", &"p".repeat(100_000))),
        ("password of 40 kB", basic_with("alice", &"p".repeat(40_000))),
        ("in the query", String::new()),
    ] {
        let path = format!("/accounts/alice@corp.test?Authorization=Basic%20{token}");
        let path = if case == "in the query" { &path } else { "/accounts/alice@corp.test" };
        let answer = request(at, &fields, "GET", path, "");
        assert!([0, 400, 401, 431].contains(&answer.status), "{case}: {answer:?}");
    }
    assert_eq!(acme.as_account("alice", "GET", "/accounts/alice@corp.test", "").status, 200, "it goes on");
    acme.server.assert_no_panic();
}

#[test]
fn guessing_ends_after_ten_attempts() {
    let mut acme = Acme::start();
    let at = acme.server.address("admin");
    let ask = |fields: &str| request(at, fields, "GET", "/accounts/bob@corp.test", "");
    for user in ["bob", "nobody"] {
        for n in 0..10 {
            assert_eq!(ask(&basic_with(user, &format!("guess {n}"))).status, 401, "{user}, attempt {n}");
        }
        let locked = ask(&basic(user));
        assert_eq!(locked.refusal(), (429, "auth.locked"), "{user}: right or not");
        assert!(locked.head.to_ascii_lowercase().contains("retry-after: 3"), "{}", locked.head);
    }
    assert_eq!(acme.as_account("carol", "GET", "/accounts/carol@corp.test", "").status, 200, "somebody else");
    // One count for every protocol, and an administrator ends it.
    let refused = Imap::open(acme.server.address("imap")).command(&format!("LOGIN bob@corp.test \"{PASSWORD}\""));
    assert!(refused.tagged.starts_with("NO [LIMIT]"), "{}", refused.tagged);
    assert_eq!(acme.api("DELETE", "/accounts/bob@corp.test/locks", "").0, 204, "unlocked");
    assert!(acme.imap("bob").command("NOOP").is_ok(), "and in");
}

#[test]
fn owners_have_their_own_settings() {
    let acme = Acme::start();
    let own = |path: &str| format!("/accounts/alice@corp.test{path}");
    let concealed = "[[account]]\naddress = \"alice@corp.test\"\ndepartments = [\"/Sales\"]\nadmin_forward = { targets = \
        [\"erin@corp.test\"], concealed = true }\n";
    acme.apply(concealed);
    acme.apply(WATCH);

    let f05 =
        acme.as_account("alice", "PUT", &own("/forward"), &json!({ "targets": ["pam@partner.test"] }).to_string());
    assert_eq!(f05.refusal(), (403, "external_forward"), "F05: {:?}", f05.body);
    assert!(acme.get(&own("")).get("forward").is_none(), "F05: nothing is stored");
    assert_eq!(records(&acme, 0)[0]["refused"], "external_forward", "F05");

    let set = acme.as_account("alice", "PUT", &own("/forward"), &json!({ "targets": ["bob@corp.test"] }).to_string());
    let shown = acme.as_account("alice", "GET", &own(""), "");
    for answer in [&set, &shown] {
        assert_eq!(answer.status, 200, "F19: {answer:?}");
        assert_eq!(answer.body["forward"]["targets"], json!(["bob@corp.test"]), "F19: {answer:?}");
        let text = answer.body.to_string();
        for never in ["erin", "concealed", "admin_forward", "watch", "monitor"] {
            assert!(!text.contains(never), "F19: {never} in {text}");
        }
    }
    assert!(acme.get(&own("")).to_string().contains("erin@corp.test"), "F19: an admin sees it");

    for (method, path, body, status) in [
        ("PUT", own("/vacation"), json!({ "text": "away" }), 200),
        ("DELETE", own("/vacation"), Value::Null, 204),
        ("PUT", own("/blocked"), json!({ "blocked": [{ "sender": "*@evil.test" }] }), 200),
        ("PUT", own("/allowed"), json!({ "allowed": ["*@partner.test"] }), 200),
        ("DELETE", own("/forward"), Value::Null, 204),
        // What is an admin's.
        ("PUT", own("/quota"), json!({ "quota": 0 }), 403),
        ("PUT", own("/admin"), json!({ "admin": true }), 403),
        ("PUT", own("/scopes"), json!({ "send_scope": "any" }), 403),
        ("PUT", own("/state"), json!({ "state": "active" }), 403),
        ("PUT", own("/departments"), json!({ "departments": ["/HR"] }), 403),
        ("PUT", own("/address"), json!({ "address": "ceo@corp.test" }), 403),
        ("PUT", own("/grants"), json!({ "grants": [{ "to": "bob@corp.test", "right": "read" }] }), 403),
        ("DELETE", own("/admin-forward"), Value::Null, 403),
        ("DELETE", own("/admin-reply"), Value::Null, 403),
        ("PUT", own(""), json!({ "address": "alice@corp.test", "admin": true }), 403),
        ("DELETE", own(""), Value::Null, 403),
        ("GET", "/accounts/bob@corp.test".to_owned(), Value::Null, 403),
        ("PUT", "/accounts/bob@corp.test/forward".to_owned(), json!({ "targets": ["alice@corp.test"] }), 403),
        ("PUT", "/accounts/bob@corp.test/password".to_owned(), json!({ "password": "mine" }), 403),
        ("PUT", "/accounts/nobody@corp.test/password".to_owned(), json!({ "password": "mine" }), 403),
    ] {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = acme.as_account("alice", method, &path, &body);
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
    }
    assert!(acme.get(&own("")).to_string().contains("erin@corp.test"), "the concealed forward is still there");
}

#[test]
fn managers_change_their_group_and_nothing_beyond() {
    let acme = Acme::start();
    acme.apply(&managed("g-emp", "carol"));
    let add = |user: &str, member: Value| {
        acme.as_account(user, "POST", "/groups/g-emp@corp.test/members", &json!({ "members": [member] }).to_string())
    };
    let inherit = json!({ "group": "g-mem@corp.test", "edge": "inherit" });
    let before = acme.get("/groups/g-emp@corp.test");
    assert_eq!(add("carol", inherit.clone()).refusal(), (403, "inherit_needs_authority"), "N20");
    assert_eq!(acme.get("/groups/g-emp@corp.test"), before, "N20");
    assert_eq!(records(&acme, 0)[0]["refused"], "inherit_needs_authority", "N20");
    let n21 = add("carol", json!("group:g-mem@corp.test"));
    let check = json!({ "group": "g-mem@corp.test", "edge": "check" });
    assert_eq!((n21.status, &n21.body["members"]), (200, &json!([check])), "N21");
    assert_eq!(add("carol", inherit.clone()).refusal(), (403, "inherit_needs_authority"), "N20 over a check");

    let remove = || acme.as_account("carol", "DELETE", "/groups/g-emp@corp.test/members/group:g-mem@corp.test", "");
    assert_eq!(remove().status, 204);
    let n22 = add("admin", json!("group:g-mem@corp.test"));
    assert_eq!((n22.status, &n22.body["members"]), (200, &json!([inherit])), "N22: a domain admin");
    assert_eq!(add("carol", json!("bob@corp.test")).status, 200, "the edge stays as it is");
    assert!(acme.get("/groups/g-emp@corp.test").to_string().contains("inherit"), "N22");
    assert_eq!(remove().status, 204);
    acme.apply(
        "[[group]]\naddress = \"g-mem@corp.test\"\npermission = \"members\"\nmembers = [\"alice@corp.test\", \
         \"carol@corp.test\"]\nmanagers = [\"carol@corp.test\"]\n",
    );
    let n22 = add("carol", json!("group:g-mem@corp.test"));
    assert_eq!(n22.status, 200, "N22: {n22:?}");
    assert!(n22.body.to_string().contains("inherit"), "N22: a manager of both: {:?}", n22.body);

    let group = |part: &str| format!("/groups/g-emp@corp.test{part}");
    for (case, method, path, body, status) in [
        ("shows it", "GET", group(""), Value::Null, 200),
        ("permission", "PUT", group("/permission"), json!({ "permission": "whitelist" }), 200),
        ("whitelist", "POST", group("/whitelist"), json!({ "whitelist": ["*@partner.test"] }), 200),
        ("moderation", "PUT", group("/moderation"), json!({ "when": "all", "moderators": ["dave@corp.test"] }), 200),
        ("settings", "PUT", group("/settings"), json!({ "description": "ours", "hidden": true }), 200),
        ("nothing new", "PUT", group("/settings"), json!({ "managers": ["carol@corp.test"] }), 200),
        ("managers", "PUT", group("/settings"), json!({ "managers": ["carol@corp.test", "bob@corp.test"] }), 403),
        ("further addresses", "PUT", group("/settings"), json!({ "aliases": ["ceo@corp.test"] }), 403),
        ("department", "PUT", group("/settings"), json!({ "department": "/HR" }), 403),
        (
            "who may send as it",
            "PUT",
            group("/settings"),
            json!({ "grants": [{ "to": "carol@corp.test", "right": "send-as" }] }),
            403,
        ),
        ("address", "PUT", group(""), json!({ "address": "g-new@corp.test", "managers": ["carol@corp.test"] }), 403),
        ("removal", "DELETE", group(""), Value::Null, 403),
        ("another group", "PUT", "/groups/g-any@corp.test/settings".to_owned(), json!({ "hidden": true }), 403),
        ("a new group", "POST", "/groups".to_owned(), json!({ "address": "g-new@corp.test" }), 403),
    ] {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = acme.as_account("carol", method, &path, &body);
        assert_eq!(answer.status, status, "{case}: {answer:?}");
        if status == 403 {
            assert_eq!(records(&acme, 0)[0]["refused"], "forbidden", "{case}");
        }
    }
    assert!(acme.get("/groups/g-emp@corp.test")["managers"] == json!(["carol@corp.test"]));
}

#[test]
fn members_are_listed_for_those_who_may_know() {
    let acme = Acme::start();
    acme.apply(
        "[[group]]\naddress = \"g-dom@corp.test\"\nmembers = [\"alice@corp.test\", \"bob@corp.test\", \
         \"group:g-hid@corp.test\"]\nlisting = \"members\"\nmanagers = [\"dave@corp.test\"]\n",
    );
    let listed = |user: &str, group: &str| {
        let answer = acme.as_account(user, "GET", &format!("/groups/{group}@corp.test/members"), "");
        (answer.status, answer.body.to_string())
    };
    for (user, group, status) in [
        ("hank", "g-any", 200),
        ("gina@branch.test", "g-any", 200),
        ("alice", "g-dom", 200),
        ("dave", "g-dom", 200),
        ("hank", "g-dom", 403),
        ("bob", "g-hid", 403),
        ("hank", "g-hid", 403),
        ("admin", "g-hid", 200),
        ("hank", "no-such", 403),
    ] {
        assert_eq!(listed(user, group).0, status, "{group} to {user}");
    }
    assert!(!listed("alice", "g-dom").1.contains("g-hid"), "a hidden group within");
    assert!(listed("dave", "g-dom").1.contains("g-hid"), "its manager");
    let names = |user: &str| acme.as_account(user, "GET", "/groups", "").body.to_string();
    assert!(names("hank").contains("g-any@corp.test") && !names("hank").contains("g-hid"));
    assert!(!names("bob").contains("g-hid"), "not even to who is in it");
    assert!(names("admin").contains("g-hid"));
}

#[test]
fn moderators_decide_what_they_are_asked() {
    let mut acme = Acme::start();
    acme.apply(
        "[[group]]\naddress = \"g-mod@corp.test\"\npermission = \"anyone\"\nmembers = [\"alice@corp.test\", \
         \"bob@corp.test\"]\nmoderation = { when = \"all\", moderators = [\"dave@corp.test\", \"erin@corp.test\"] }\n",
    );
    let m11 = auth("M11", "carol").rcpt("g-mod", OK).end(HELD).got(&["dave:Approvals", "erin:Approvals"]).generated(2);
    let m11 = keep(&mut acme, &m11);
    assert_eq!(m11.faults, Vec::<String>::new(), "M11");
    let list = |user: &str| acme.as_account(user, "GET", "/holds", "").body["items"].clone();
    assert_eq!(list("bob"), json!([]), "nobody asked him");
    let id = list("erin")[0]["id"].as_str().expect("an id").to_owned();
    let path = |what: &str| format!("/holds/{id}{what}");
    for (method, path) in [("GET", path("")), ("POST", path("/accept")), ("POST", path("/refuse"))] {
        assert_eq!(acme.as_account("bob", method, &path, "{}").refusal(), (403, "forbidden"), "{method} {path}");
    }
    assert_eq!(acme.as_account("erin", "GET", &path(""), "").status, 200);
    let accepted = acme.as_account("dave", "POST", &path("/accept"), "{}");
    assert_eq!(accepted.status, 200, "M11: {accepted:?}");
    assert_eq!(accepted.body["decided_by"], "dave@corp.test", "M11");
    assert_eq!(acme.as_account("erin", "POST", &path("/refuse"), "{}").refusal(), (409, "already_decided"), "M11");
    for user in ["alice", "bob"] {
        assert_eq!(acme.find(user, "INBOX", &m11.nonce).len(), 1, "M11: {user}");
    }
    let decisions: Vec<_> = records(&acme, 0).into_iter().filter(|r| r["action"] == "hold.accept").collect();
    assert_eq!(decisions.len(), 1, "M11: {decisions:?}");
    assert_eq!(decisions[0]["actor"]["kind"], "account", "M11");
}

#[test]
fn own_log_has_the_own_messages_and_no_copy() {
    let mut acme = Acme::start();
    let log = |acme: &Acme, user: &str| acme.as_account(user, "GET", "/trace", "").body["items"].clone();
    let of = |items: &Value, id: &str| items.as_array().and_then(|all| all.iter().find(|i| i["id"] == id).cloned());
    let plain = keep(&mut acme, &row("W45").rcpt("alice", OK).got(&["alice"])).message.expect("accepted");
    acme.apply(WATCH);
    let copied = keep(&mut acme, &row("W45").rcpt("alice", OK).got(&["alice", "erin:m"])).message.expect("accepted");
    let sent = auth("W45", "alice").rcpt("g-any", OK).rcpt("pam@partner.test", OK).out("pam@partner.test", "alice");
    let sent = keep(&mut acme, &sent.got(&["alice", "bob", "carol", "erin:m"])).message.expect("accepted");
    let forged = row("W45").mail("alice@corp.test").rcpt("bob", OK).got(&["bob"]);
    let forged = keep(&mut acme, &forged).message.expect("accepted");

    let items = log(&acme, "alice");
    let [before, after] = [&plain, &copied].map(|id| of(&items, id).expect("in her log"));
    let fields = |item: &Value| item["record"].as_object().map(|r| r.keys().cloned().collect::<Vec<_>>());
    assert_eq!(fields(&before), fields(&after), "W45: with and without a copy");
    assert_eq!((&after["delivery_count"], &after["events"]), (&json!(1), &json!([])), "W45: {after}");
    assert_eq!(after["deliveries"][0]["account"], "alice@corp.test", "W45: {after}");
    assert_eq!(after["record"]["recipients"], json!(["alice@corp.test"]), "W45: {after}");
    let own = of(&items, &sent).expect("what she sent");
    assert_eq!(own["record"]["recipients"], json!(["g-any@corp.test", "pam@partner.test"]), "{own}");
    assert_eq!(own["deliveries"].as_array().map(Vec::len), Some(1), "not those behind the group: {own}");
    assert_eq!(of(&items, &forged), None, "what somebody sent under her name is not hers");
    for never in ["erin", "watch", "monitor", "carol", "copies", "rules"] {
        assert!(!items.to_string().contains(never), "W45: {never} in {items}");
    }
    let one = |user: &str, id: &str| acme.as_account(user, "GET", &format!("/trace/{id}"), "");
    assert_eq!(one("alice", &copied).body, after, "W45");
    assert_eq!(one("bob", &copied).status, 404, "another's message");
    assert_eq!(one("hank", &sent).status, 404, "another's message");
    let bobs = one("bob", &sent).body;
    assert_eq!(bobs["record"]["recipients"], json!([]), "who else got it: {bobs}");
    assert_eq!(bobs["deliveries"][0]["via"], "g-any@corp.test", "{bobs}");
    assert_eq!(log(&acme, "erin"), json!([]), "copies are in nobody's log, the monitor's included");
    let found = |query: &str| acme.as_account("alice", "GET", &format!("/trace?{query}"), "").body["items"].clone();
    assert_eq!(found("sender=stranger@ext.test").as_array().map(Vec::len), Some(2));
    assert_eq!(found("recipient=erin@corp.test"), json!([]));
    assert_eq!(found("recipient=pam@partner.test")[0]["id"], json!(sent));
    assert!(
        of(&acme.as_account("admin", "GET", "/trace", "").body["items"], &copied)
            .unwrap()
            .to_string()
            .contains("watch")
    );
}

#[test]
fn nobody_finds_out_who_else_was_addressed() {
    let mut acme = Acme::start();
    acme.apply(OTHER);
    acme.apply(WATCH);
    let row = row("blind copies").rcpt("alice", OK).rcpt("bob", OK).rcpt("g-any", OK).rcpt("oscar@other.test", OK);
    let sent = keep(&mut acme, &row.got(&["alice", "bob", "carol", "oscar@other.test", "erin:m"]));
    assert_eq!(sent.faults, Vec::<String>::new());
    let id = sent.message.expect("accepted");
    for (user, recipient, is_found) in [
        ("alice", "alice@corp.test", true),
        ("alice", "a.liu@corp.test", true),
        ("alice", "bob@corp.test", false),
        ("alice", "g-any@corp.test", false),
        ("alice", "oscar@other.test", false),
        ("erin", "erin@corp.test", false),
        ("admin", "bob@corp.test", true),
        ("admin", "carol@corp.test", true),
        ("admin", "g-any@corp.test", true),
        ("admin", "oscar@other.test", false),
        ("eve@other.test", "oscar@other.test", true),
        ("eve@other.test", "bob@corp.test", false),
    ] {
        let path = format!("/trace?recipient={recipient}&limit=1");
        let page = acme.as_account(user, "GET", &path, "").body;
        let wanted = if is_found { vec![json!(id)] } else { Vec::new() };
        let ids: Vec<Value> = page["items"].as_array().expect("a list").iter().map(|i| i["id"].clone()).collect();
        assert_eq!(ids, wanted, "{user} asks for {recipient}");
        assert_eq!(page["next"].is_string(), is_found, "{user} asks for {recipient}: {page}");
    }
    // Nor does a monitor read of those elsewhere.
    let uid = acme.find("erin", "m", &sent.nonce)[0];
    let copy = acme.fetch("erin", uid);
    assert!(copy.contains("bob@corp.test") && !copy.contains("other.test"), "{copy}");
}

#[test]
fn last_admin_stays_whoever_asks() {
    let acme = Acme::start();
    for (path, body) in [
        ("/accounts/admin@corp.test/state", json!({ "state": "frozen" })),
        ("/accounts/admin@corp.test/admin", json!({ "admin": false })),
    ] {
        let answer = acme.as_account("admin", "PUT", path, &body.to_string());
        assert_eq!(answer.refusal(), (409, "last_admin"), "A29: {answer:?}");
        assert_eq!(records(&acme, 0)[0]["refused"], "last_admin", "A29");
    }
    assert_eq!(acme.as_account("admin", "GET", "/accounts/admin@corp.test", "").body["state"], "active", "A29");
}

#[test]
fn domain_admins_have_their_organisation_and_no_other() {
    let acme = Acme::start();
    acme.apply(OTHER);
    let since = records(&acme, 0).len();
    let eve = |method: &str, path: &str, body: Value| -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        acme.as_account("eve@other.test", method, path, &body)
    };
    for (method, path, body) in [
        ("POST", "/accounts", json!({ "address": "olga@other.test", "password": "x" })),
        ("POST", "/departments", json!({ "path": "/Lab" })),
        ("PUT", "/accounts/olga@other.test/departments", json!({ "departments": ["/Lab"] })),
        ("POST", "/aliases", json!({ "address": "o@other.test", "account": "olga@other.test" })),
        ("POST", "/groups", json!({ "address": "all@other.test", "members": ["olga@other.test"] })),
        ("POST", "/rules", json!({ "name": "w", "actions": [{ "copy": { "monitor": "eve@other.test" } }] })),
        ("PUT", "/rules/w/enabled", json!({ "enabled": false })),
        ("GET", "/rules/w", Value::Null),
        ("GET", "/departments/%2FLab", Value::Null),
        ("PUT", "/organisations/other", json!({ "name": "other", "external_forward": "deny" })),
        ("PUT", "/domains/other.test/catch-all", json!({ "account": "eve@other.test" })),
        ("POST", "/explain", json!({ "from": "x@ext.test", "to": "all@other.test" })),
        ("GET", "/audit/verify", Value::Null),
        ("DELETE", "/aliases/o@other.test", Value::Null),
        ("DELETE", "/accounts/olga@other.test", Value::Null),
    ] {
        let answer = eve(method, path, body);
        assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
    }
    let at = version(&acme);
    for (case, method, path, body) in [
        ("rename into another", "PUT", "/accounts/oscar@other.test/address", json!({ "address": "oscar@corp.test" })),
        ("alias in another", "POST", "/aliases", json!({ "address": "x@corp.test", "account": "oscar@other.test" })),
        ("alias of another's", "POST", "/aliases", json!({ "address": "x@other.test", "account": "bob@corp.test" })),
        ("taken address", "POST", "/accounts", json!({ "address": "bob@corp.test", "password": "x" })),
        ("group alias", "PUT", "/groups/all@other.test/settings", json!({ "aliases": ["y@corp.test"] })),
        ("group moves", "PUT", "/groups/all@other.test", json!({ "address": "all@corp.test" })),
        ("rule", "POST", "/rules", json!({ "name": "x", "organisation": "acme", "actions": ["quarantine"] })),
        ("rule moves", "PUT", "/rules/w", json!({ "name": "w", "organisation": "acme", "actions": ["quarantine"] })),
        ("department", "POST", "/departments", json!({ "path": "/X", "organisation": "acme" })),
        ("department moves", "PUT", "/departments/%2FLab", json!({ "path": "/X", "organisation": "acme" })),
        ("a domain", "POST", "/domains", json!({ "name": "new.test", "organisation": "other" })),
        ("a relay", "POST", "/relays", json!({ "network": "192.0.2.0/24", "kind": "trusted-relay" })),
        ("explain", "POST", "/explain", json!({ "from": "x@ext.test", "to": "g-hid@corp.test" })),
    ] {
        assert_eq!(eve(method, path, body).refusal(), (403, "forbidden"), "{case}");
    }
    assert_eq!(version(&acme), at, "nothing has changed");
    assert_eq!(records(&acme, since), Vec::<Value>::new(), "what she does is in the log of her organisation");
    let own = acme.get("/audit?organisation=other")["items"].to_string();
    assert!(own.contains("\"refused\":\"forbidden\""), "{own}");
}

/// An object of acme in place of each parameter.
fn concrete(path: &str, hold: &str, message: &str) -> String {
    let object = match path.split('/').nth(1) {
        Some("accounts") => "bob@corp.test",
        Some("aliases") => "a.liu@corp.test",
        Some("groups") => "g-wl@corp.test",
        Some("domains") => "corp.test",
        Some("organisations") => "acme",
        Some("departments") => "%2FSales",
        Some("rules") => "watch",
        Some("relays") => "192.0.2.0%2F24",
        Some("holds") => hold,
        _ => message,
    };
    let filled = path.split('/').map(|part| match part {
        "{entry}" => "bob@corp.test",
        part if part.starts_with('{') => object,
        part => part,
    });
    filled.collect::<Vec<_>>().join("/")
}

/// A body that the route would take from somebody who may.
fn body_for(method: &str, path: &str) -> Value {
    match (method, path) {
        ("GET" | "DELETE", _) => Value::Null,
        ("POST", "/accounts") => json!({ "address": "mallory@corp.test", "password": "x" }),
        ("POST", "/accounts/batch") => json!({ "accounts": [{ "address": "mallory@corp.test", "password": "x" }] }),
        (_, "/accounts/{address}") => json!({ "address": "bob@corp.test", "admin": true }),
        (_, "/accounts/{address}/password") => json!({ "password": "mine" }),
        (_, "/accounts/{address}/address") => json!({ "address": "robert@corp.test" }),
        (_, "/accounts/{address}/state") => json!({ "state": "frozen" }),
        (_, "/accounts/{address}/admin") => json!({ "admin": true }),
        (_, "/accounts/{address}/departments") => json!({ "departments": [] }),
        (_, "/accounts/{address}/scopes") => json!({ "send_scope": "none" }),
        (_, "/accounts/{address}/quota") => json!({ "quota": 1 }),
        (_, "/accounts/{address}/send-limits") => json!({ "messages_per_minute": 1 }),
        (_, "/accounts/{address}/forward" | "/accounts/{address}/admin-forward") => {
            json!({ "targets": ["carol@corp.test"] })
        }
        (_, "/accounts/{address}/forward/ask") => json!({}),
        (_, "/accounts/{address}/vacation" | "/accounts/{address}/admin-reply") => json!({ "text": "away" }),
        (_, "/accounts/{address}/blocked") => json!({ "blocked": [{ "sender": "*@ext.test" }] }),
        (_, "/accounts/{address}/allowed" | "/domains/{name}/allowed") => json!({ "allowed": ["*@ext.test"] }),
        (_, "/domains/{name}/blocked") => json!({ "blocked": [{ "sender": "*@ext.test" }] }),
        (_, "/accounts/{address}/grants") => json!({ "grants": [{ "to": "carol@corp.test", "right": "read" }] }),
        ("POST", "/aliases") => json!({ "address": "new@corp.test", "account": "bob@corp.test" }),
        (_, "/aliases/{address}") => json!({ "address": "a.liu@corp.test", "account": "bob@corp.test" }),
        (_, "/aliases/{address}/enabled" | "/rules/{name}/enabled") => json!({ "enabled": false }),
        ("POST", "/groups") => json!({ "address": "g-new@corp.test" }),
        (_, "/groups/{address}") => json!({ "address": "g-wl@corp.test" }),
        (_, "/groups/{address}/members") => json!({ "members": ["hank@corp.test"] }),
        (_, "/groups/{address}/whitelist") => json!({ "whitelist": ["*@evil.test"] }),
        (_, "/groups/{address}/permission") => json!({ "permission": "anyone" }),
        (_, "/groups/{address}/moderation") => json!({ "when": "off" }),
        (_, "/groups/{address}/settings") => json!({ "managers": ["hank@corp.test", "carol@corp.test"] }),
        (_, "/rules" | "/rules/{name}") => {
            json!({ "name": "watch", "organisation": "acme", "actions": ["quarantine"] })
        }
        (_, "/departments" | "/departments/{path}") => json!({ "path": "/New", "organisation": "acme" }),
        (_, "/organisations" | "/organisations/{name}") => json!({ "name": "new" }),
        (_, "/domains" | "/domains/{name}") => json!({ "name": "corp.test", "catch_all": "bob@corp.test" }),
        (_, "/domains/{name}/catch-all") => json!({ "account": "bob@corp.test" }),
        (_, "/domains/{name}/dkim/rotate" | "/domains/{name}/dkim/activate" | "/domains/{name}/dns/check") => json!({}),
        (_, "/domains/{name}/dkim/retire") => json!({ "pair": "p" }),
        (_, "/relays" | "/relays/{network}") => json!({ "network": "192.0.2.0/24", "kind": "trusted-relay" }),
        (_, "/queue/hold" | "/queue/release" | "/queue/retry" | "/queue/remove") => json!({ "all": true }),
        (_, "/holds/{id}/accept" | "/holds/{id}/refuse") => json!({}),
        (_, "/hooks/{name}/test") => json!({ "message": "RnJvbTogYUBiLnRlc3QNCg0KeA0K" }),
        (_, "/explain") => json!({ "from": "x@ext.test", "to": "g-hid@corp.test" }),
        (_, "/apply" | "/blocklists/test" | "/webhooks/{name}/test") => json!({}),
        other => panic!("no body for {other:?}"),
    }
}

/// Every route there is, about objects that are not theirs: nothing is told, nothing changes, and it is recorded.
#[test]
fn no_route_takes_what_is_not_theirs() {
    let mut acme = Acme::start();
    acme.apply(WATCH);
    acme.apply(OTHER);
    acme.apply(&managed("g-emp", "carol"));
    let held = auth("U06", "carol").rcpt("g-mod", OK).end(HELD).got(&["dave:Approvals"]).generated(1);
    assert_eq!(keep(&mut acme, &held).faults, Vec::<String>::new());
    let hold = acme.get("/holds?organisation=acme")["items"][0]["id"].as_str().expect("an id").to_owned();
    let message = keep(&mut acme, &row("U06").rcpt("alice", OK).got(&["alice", "erin:m"])).message.expect("accepted");
    let (at, since) = (version(&acme), records(&acme, 0).len());
    let other_since = acme.get("/audit?organisation=other")["items"].as_array().expect("a list").len();
    let mut refused = 0;
    for route in posthouse::server::admin::routes() {
        let body = body_for(route.method, route.path);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        for user in ["hank", "carol", "eve@other.test"] {
            let mut path = concrete(route.path, &hold, &message);
            if route.query.as_ref().is_some_and(|query| query["properties"]["organisation"].is_object()) {
                path.push_str("?organisation=acme");
            }
            let answer = acme.as_account(user, route.method, &path, &body);
            let text = answer.body.to_string();
            let case = format!("{user}: {} {path}: {text}", route.method);
            // A list is of what they may see.
            let is_list = route.method == "GET" && !route.path.contains('{') && answer.status == 200;
            if is_list {
                for never in ["g-hid", "watch", "erin@", &message, &hold, "192.0.2"] {
                    assert!(!text.contains(never), "{case}");
                }
                assert!(user != "eve@other.test" || !text.contains("corp.test") && !text.contains("acme"), "{case}");
                continue;
            }
            // Whose managers show their members to the whole organisation, it may see them.
            let is_listed =
                route.method == "GET" && path.ends_with("/g-wl@corp.test/members") && user != "eve@other.test";
            match answer.status {
                200 if is_listed => {}
                404 if route.path == "/trace/{id}" => {}
                status => {
                    assert_eq!((status, answer.key()), (403, "forbidden"), "{case}");
                    assert!(!text.contains("bob") && !text.contains("watch"), "{case}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 200, "{refused}");
    assert_eq!(version(&acme), at, "nothing has changed");
    let hold = acme.get(&format!("/holds/{hold}"));
    assert_eq!(hold["state"], "pending", "{hold}");
    let of_acme = records(&acme, since);
    let of_other = acme.get("/audit?organisation=other")["items"].as_array().expect("a list").len() - other_since;
    assert_eq!(of_acme.len() + of_other, refused, "U06: one record of each");
    for record in of_acme {
        assert_eq!((&record["refused"], &record["actor"]["kind"]), (&json!("forbidden"), &json!("account")), "U06");
    }
    for organisation in ["acme", "other"] {
        assert_eq!(acme.get(&format!("/audit/verify?organisation={organisation}"))["intact"], true);
    }
    acme.server.assert_no_panic();
}
