//! The command line against a running server: a company from a file, its objects, and what is told of its mail.

use std::process::Output;

use serde_json::Value;

use super::server::Server;
use super::smtp::Smtp;

const ACME: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/acme.toml");

fn acme() -> Server {
    let mut server = Server::prepared("");
    server.run();
    server.cli(&["apply", ACME], "");
    server
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn json(server: &Server, line: &str) -> Value {
    let text = server.cli(&words(line), "");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{line}: {e}\n{text}"))
}

fn outcome(output: &Output) -> (Option<i32>, String, String) {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_company_comes_from_a_file_and_changes_by_commands() {
    let mut server = Server::prepared("");
    server.run();
    let shown = server.cli(&["apply", ACME, "--dry-run"], "");
    assert!(shown.contains("+ group g-mem@corp.test\n"), "{shown}");
    assert!(server.cli(&["group", "list"], "").is_empty(), "a dry run changes nothing");
    let applied = server.cli(&["apply", ACME], "");
    assert_eq!(applied, shown.replace("would change", "changed"));
    assert_eq!(server.cli(&["apply", ACME], ""), "nothing to change\n");

    // What is written, and what a question about it shows then.
    for (command, question, want) in [
        ("domain catch-all branch.test gina@branch.test", "domain show branch.test", "gina@branch.test"),
        ("department add /Eng/Web", "department list", "/Eng/Web\t\n"),
        ("account state alice@corp.test send-blocked", "account list", "alice@corp.test\tsend-blocked\n"),
        ("account scope bob@corp.test --send internal", "account show bob@corp.test", "\"internal\"|internal"),
        ("account quota bob@corp.test 1GiB", "account show bob@corp.test", "1073741824"),
        ("account forward bob@corp.test carol@corp.test", "account show bob@corp.test", "carol@corp.test"),
        ("account vacation bob@corp.test --text away", "account show bob@corp.test", "away"),
        ("account grant support@corp.test carol@corp.test=read", "account show support@corp.test", "\"read\""),
        ("account block bob@corp.test *@evil.test=drop", "account show bob@corp.test", "*@evil.test"),
        ("account allow bob@corp.test *@partner.test", "account show bob@corp.test", "*@partner.test"),
        ("domain block corp.test *@evil.test", "domain show corp.test", "refuse"),
        ("domain allow corp.test pam@partner.test", "domain show corp.test", "pam@partner.test"),
        ("account department bob@corp.test /Eng/Web /HR", "account show bob@corp.test", "/Eng/Web /HR"),
        ("account address dave@corp.test david@corp.test", "group show g-mod@corp.test", "david@corp.test"),
        ("account add team@corp.test --shared", "account list", "team@corp.test\n"),
        ("alias add al@corp.test alice@corp.test", "alias list", "al@corp.test\talice@corp.test\n"),
        ("alias disable al@corp.test", "alias list", "al@corp.test\talice@corp.test\tdisabled\n"),
        ("group add g-new@corp.test --member bob@corp.test", "group list", "g-new@corp.test\tsame-domain\t1\n"),
        (
            "group members add g-new@corp.test group:g-mem@corp.test --edge check",
            "group members list g-new@corp.test",
            "group:g-mem@corp.test\tcheck\n",
        ),
        ("group permission g-new@corp.test whitelist", "group list", "g-new@corp.test\twhitelist\t2\n"),
        ("group whitelist add g-new@corp.test *@partner.test", "group show g-new@corp.test", "*@partner.test"),
        ("group permission g-new@corp.test --require-auth on", "group show g-new@corp.test", "true"),
        ("group set g-new@corp.test --description News", "group show g-new@corp.test", "News"),
        ("group moderation g-new@corp.test all --moderator erin@corp.test", "group show g-new@corp.test", "erin@"),
        ("rule add watch --priority 3 --copy erin@corp.test:m --keyword secret", "rule list", "3\twatch\tenabled\n"),
        ("rule disable watch", "rule list", "3\twatch\tdisabled\n"),
        ("relay add 192.0.2.0/24 gateway", "relay list", "192.0.2.0/24\tgateway\t"),
    ] {
        server.cli(&words(command), "");
        let answer = server.cli(&words(question), "");
        assert!(want.split('|').any(|want| answer.contains(want)), "{command}; {question}:\n{answer}");
    }
    server.cli(&words("group members remove g-new@corp.test bob@corp.test"), "");
    assert_eq!(json(&server, "group members list g-new@corp.test --json").as_array().map(Vec::len), Some(1));
    server.cli(&words("account forward bob@corp.test --off"), "");
    assert!(json(&server, "account show bob@corp.test --json").get("forward").is_none());
    for line in ["rule remove watch", "relay remove 192.0.2.0/24", "group remove g-new@corp.test"] {
        server.cli(&words(line), "");
    }
    assert_eq!(server.cli(&["rule", "list"], ""), "");

    let log = json(&server, "audit list --json");
    assert_eq!(log[0]["action"], "group.remove");
    assert_eq!(log[0]["entries"][0]["name"], "g-new@corp.test");
    let verified = server.cli(&["audit", "verify"], "");
    assert!(verified.ends_with("records, all as they were written\n"), "{verified}");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_message_is_explained_before_and_traced_after() {
    let mut server = acme();
    let explained =
        server.cli(&words("explain --from alice@corp.test --to g-mem@corp.test --auth alice@corp.test"), "");
    assert!(explained.starts_with("1. sender: O1: authenticated as alice@corp.test\n"), "{explained}");
    assert!(explained.contains("delivery: carol@corp.test (INBOX) through g-mem@corp.test"), "{explained}");
    assert!(explained.ends_with("RCPT is answered 250 2.1.5 OK\n"), "{explained}");
    let refused = server.cli(&words("explain --from stranger@ext.test --to g-mem@corp.test --client 192.0.2.1"), "");
    assert!(refused.ends_with("RCPT is answered 550 5.7.2 Not permitted to send to this group\n"), "{refused}");

    let message = b"From: stranger@ext.test\r\nTo: g-any@corp.test\r\nSubject: hello\r\n\
        Message-ID: <one@ext.test>\r\nDate: Sun, 01 Mar 2026 08:00:00 +0000\r\n\r\nHello.\r\n";
    let mut smtp = Smtp::open(server.address("smtp"));
    let reply = smtp.send("stranger@ext.test", &["g-any@corp.test"], message);
    assert_eq!(reply.code, 250, "{:?}", reply.lines);
    for filter in [
        "--sender stranger@ext.test",
        "--recipient g-any@corp.test",
        "--recipient a.liu@corp.test",
        "--message-id <one@ext.test>",
    ] {
        let found = json(&server, &format!("trace find {filter} --json"));
        assert_eq!(found.as_array().map(Vec::len), Some(1), "{filter}: {found}");
    }
    assert_eq!(server.cli(&words("trace find --recipient erin@corp.test"), ""), "");
    let line = server.cli(&words("trace find --sender stranger@ext.test"), "");
    let id = line.split('\t').next().unwrap_or_default();
    assert!(reply.lines.iter().any(|l| l.contains(id)), "{line} for {:?}", reply.lines);
    assert!(line.trim_end().ends_with("hello"), "{line}");
    let shown = server.cli(&["trace", "show", id], "");
    for account in ["alice", "bob", "carol"] {
        let delivery = format!("delivered\t{account}@corp.test\tINBOX through g-any@corp.test\n");
        assert!(shown.contains(&delivery), "{shown}");
    }
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_held_message_is_decided_once() {
    let mut server = acme();
    let message = b"From: stranger@ext.test\r\nTo: g-mod@corp.test\r\nSubject: may I\r\n\r\nHello.\r\n";
    let reply = Smtp::open(server.address("smtp")).send("stranger@ext.test", &["g-mod@corp.test"], message);
    assert_eq!(reply.code, 250, "{:?}", reply.lines);
    let line = server.cli(&["hold", "list"], "");
    let columns: Vec<&str> = line.trim_end().split('\t').collect();
    assert_eq!(columns.get(1..3), Some(&["moderation", "pending"][..]), "{line}");
    assert_eq!(columns.get(4..), Some(&["stranger@ext.test", "g-mod@corp.test", "may I"][..]), "{line}");
    server.cli(&["hold", "accept", columns[0]], "");
    assert_eq!(server.cli(&["hold", "list"], ""), "");
    let (code, _, error) = outcome(&server.try_cli(&["hold", "refuse", columns[0]], ""));
    assert_eq!((code, error.as_str()), (Some(1), "posthouse: already decided\n"));
    let found = json(&server, "trace find --recipient bob@corp.test --json");
    assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn bad_input_is_named_and_changes_nothing() {
    let mut server = acme();
    let file = server.path().join("bad.toml");
    let bad = "[[account]]\naddress = \"x@corp.test\"\nstate = \"asleep\"\n\n[[group]]\naddress = \"y@nowhere.test\"\n\
        members = [\"nobody@corp.test\"]\n";
    std::fs::write(&file, bad).expect("write");
    let (code, _, error) = outcome(&server.try_cli(&["apply", &file.display().to_string()], ""));
    assert_eq!(code, Some(1), "{error}");
    for part in ["line 3: account x@corp.test: state", "line 5: group y@nowhere.test"] {
        assert!(error.contains(part), "{part} in {error}");
    }
    for (line, want, message) in [
        ("account show x@corp.test", 1, "x@corp.test"),
        ("account add alice@corp.test --generate-password", 1, "address alice@corp.test is in use"),
        ("account state alice@corp.test asleep", 2, "asleep"),
        ("account forward bob@corp.test pam@partner.test", 1, "pam@partner.test"),
        ("account grant bob@corp.test alice@corp.test", 2, "send-as"),
        ("group members add g-mem@corp.test nobody@corp.test", 1, "nobody@corp.test"),
        ("group members add g-mem@corp.test group:g-out@corp.test", 1, "would hold itself"),
        ("rule add x --tag nothing", 2, "nothing"),
        ("relay add here gateway", 1, "here"),
        ("apply no-such-file.toml", 2, "no-such-file.toml"),
        ("trace show xyz", 1, "id"),
        ("hold show 00000000000000000001", 1, "not found"),
        ("explain --from x --to bob@corp.test", 1, "address"),
    ] {
        let (code, output, error) = outcome(&server.try_cli(&words(line), ""));
        assert_eq!(code, Some(want), "{line}: {output}{error}");
        assert!(error.contains(message), "{line}: {error}");
    }
    assert_eq!(server.cli(&["apply", ACME], ""), "nothing to change\n");
    assert_eq!(server.stop(), Some(0));
    let (code, _, error) = outcome(&server.try_cli(&["group", "list"], ""));
    assert_eq!(code, Some(3), "{error}");
}
