//! Recipients that hooks name: who is told of them, and with which reverse-path their copies leave.

use std::sync::Arc;

use posthouse::hooks::milter::{self, Macros};
use posthouse::hooks::{Hook, Hooks, Kind, Listens, Milter, OnFailure, Settings, Stage};
use posthouse::server::admin::Actor;
use posthouse::server::admin::ops::TraceFilter;
use serde_json::{Value, json};

use super::filter::Filter;
use super::milters::modifies;
use super::program::Program;
use super::{LONG, message, messages, server_with, traces};
use crate::dns::DnsServer;
use crate::inside::Inside;
use crate::outbound::eventually;
use crate::outbound::remote::Remote;
use crate::server::PASSWORD;
use crate::smtp::Smtp;

const BOB: &str = "bob@corp.test";
const STRANGER: &str = "stranger@ext.test";

/// What a test writes down of the world.
struct World {
    inside: Inside,
    /// The host of all domains elsewhere, which refuses what is for the archive.
    remote: Remote,
    _filter: Filter,
}

/// corp.test with alice, bob, carol, who is away, and ada, who administers it. The filter does this to each message.
fn world(modifications: &[(u8, &[u8])]) -> World {
    let filter = Filter::tcp(modifies(modifications));
    let milter = Milter::new(milter::Settings {
        name: "adds".to_owned(),
        address: filter.address.clone(),
        connect_timeout: LONG,
        timeout: LONG,
        macros: Macros::default(),
        max_body: 1 << 20,
    });
    let settings = Settings {
        name: "adds".to_owned(),
        listeners: vec![Listens::Smtp, Listens::Submission],
        stages: vec![Stage::Connect, Stage::Ehlo, Stage::Mail, Stage::Rcpt, Stage::Data],
        timeout: LONG,
        on_failure: OnFailure::Defer,
        at_once: 10,
    };
    let inside = Inside::hooked(Hooks::new(vec![Arc::new(Hook::new(settings, Kind::Milter(milter)))]));
    let account = |name: &str, more: &str| {
        format!("[[account]]\naddress = \"{name}@corp.test\"\npassword = \"{PASSWORD}\"\n{more}\n")
    };
    inside.apply(&format!(
        "[[organisation]]\nname = \"corp\"\n\n[[domain]]\nname = \"corp.test\"\norganisation = \"corp\"\n\n{}{}{}{}\
         [[group]]\naddress = \"circle@corp.test\"\nmembers = [\"carol@corp.test\"]\n\
         moderation = {{ when = \"all\", moderators = [\"bob@corp.test\"] }}\n\n\
         [[rule]]\nname = \"not to carol\"\norganisation = \"corp\"\nscope = [\"carol@corp.test\"]\n\
         conditions = [{{ keyword = {{ places = [\"subject\"], values = [\"forbidden\"] }} }}]\n\
         actions = [{{ reject = {{ text = \"not to her\" }} }}]\n\n\
         [[relay]]\nnetwork = \"127.0.0.1/32\"\nkind = \"gateway\"\n",
        account("ada", "admin = true"),
        account("alice", ""),
        account("bob", ""),
        account("carol", "quota = \"4 KiB\"\nvacation = { text = \"Away.\" }"),
    ));
    let remote = Remote::start();
    for domain in ["partner.test", "ext.test"] {
        inside.dns.mx(domain, 10, "mx.partner.test");
        inside.dns.txt(domain, "v=spf1 ip4:192.0.2.10 -all");
    }
    inside.dns.address_of("mx.partner.test", "127.0.0.2");
    remote.answer("RCPT TO:<archive@partner.test>", "550 5.7.1 not from you");
    inside.deliver_to(remote.address.port());
    World { inside, remote, _filter: filter }
}

impl World {
    /// Alice writes to bob, with a copy for carol by the header alone, and wants to hear of everything; gives the reply.
    fn alice_writes(&self, subject: &str, octets: usize) -> String {
        let mut smtp = self.inside.login("alice@corp.test");
        smtp.command("MAIL FROM:<alice@corp.test>", 250);
        smtp.command("RCPT TO:<bob@corp.test> NOTIFY=SUCCESS,FAILURE,DELAY", 250);
        smtp.command("DATA", 354);
        let filling = "0123456789abcdef\r\n".repeat(octets / 18);
        let reply = smtp.command(
            &format!(
                "From: alice@corp.test\r\nTo: {BOB}\r\nCc: carol@corp.test\r\nSubject: {subject}\r\n\r\n{filling}."
            ),
            250,
        );
        reply.text()
    }

    /// Somebody elsewhere, who is who it says it is, writes to bob; gives the reply.
    fn stranger_writes(&self, reverse_path: &str, to: &str, subject: &str) -> u16 {
        let mut smtp = Smtp::open(self.inside.smtp);
        smtp.command("XCLIENT ADDR=192.0.2.10 NAME=mx.ext.test HELO=mx.ext.test", 220);
        smtp.command("EHLO mx.ext.test", 250);
        let text = format!("From: {STRANGER}\r\nTo: {to}\r\nSubject: {subject}\r\n\r\nbody\r\n");
        smtp.send(reverse_path, &[to], text.as_bytes()).code
    }

    /// The reports that somebody here has got.
    fn reports(&self, user: &str) -> Vec<String> {
        self.inside.messages(&format!("{user}@corp.test"), "INBOX", "delivery-status")
    }

    /// The traces that somebody here finds of messages of this subject, or an operator.
    fn traces(&self, user: Option<&str>, recipient: Option<&str>, subject: &str) -> Vec<Value> {
        let address = |text: &str| posthouse::mail::Address::parse(text).expect("an address");
        let account = |user: &str| {
            let directory = self.inside.services.directory.current();
            directory.account_at(&address(&format!("{user}@corp.test"))).expect("an account").id
        };
        let client = "127.0.0.1:1".parse().expect("an address");
        let actor = user.map_or(Actor::Server, |user| Actor::Account { account: account(user), client });
        let filter = TraceFilter { recipient: recipient.map(address), ..TraceFilter::default() };
        let page = self.inside.run(self.inside.admin.traces(actor, filter, None, 100)).expect("traces");
        let all = page.items.into_iter().map(|view| serde_json::to_value(view).expect("JSON"));
        all.filter(|view| view["record"]["subject"] == subject).collect()
    }

    /// The reverse-path under which the host has got a message of this subject.
    fn reverse_path(&self, subject: &str) -> String {
        eventually(subject, || self.remote.heard().iter().any(|heard| heard.content.contains(subject)));
        let heard = self.remote.heard().into_iter().find(|heard| heard.content.contains(subject)).expect("it");
        heard.mail.trim_start_matches("MAIL FROM:<").split('>').next().expect("a path").to_owned()
    }
}

#[test]
fn whom_a_hook_adds_is_no_business_of_the_sender() {
    let world = world(&[(b'+', b"<carol@corp.test>\0"), (b'+', b"<archive@partner.test>\0")]);
    world.alice_writes("added", 100);
    for user in ["bob", "carol"] {
        assert_eq!(world.inside.messages(&format!("{user}@corp.test"), "INBOX", "Subject: added").len(), 1, "{user}");
    }
    // What fails elsewhere is told to an administrator.
    eventually("ada hears of it", || world.reports("ada").len() == 1);
    assert!(world.reports("ada")[0].contains("archive@partner.test"), "{:?}", world.reports("ada"));
    eventually("nothing waits", || world.inside.queue().is_empty());

    // She hears of bob, whom she has named, and neither of the others nor from them.
    let told = world.inside.messages("alice@corp.test", "INBOX", "Auto-Submitted");
    assert_eq!(told.len(), 1, "{told:?}");
    let of: Vec<&str> = told[0].lines().filter(|line| line.starts_with("Final-Recipient:")).collect();
    assert!(of.len() == 1 && of[0].ends_with(BOB), "{}", told[0]);
    assert!(told[0].contains("Action: delivered") && !told[0].contains("archive"), "{}", told[0]);

    let own = world.traces(Some("alice"), None, "added").remove(0);
    assert_eq!(own["record"]["recipients"], json!([BOB]), "{own}");
    assert!(!own.to_string().contains("carol") && !own.to_string().contains("archive"), "{own}");
    for (user, recipient, many) in [
        (Some("alice"), BOB, 1),
        (Some("alice"), "carol@corp.test", 0),
        (Some("alice"), "archive@partner.test", 0),
        (Some("bob"), "carol@corp.test", 0),
        (Some("carol"), "carol@corp.test", 1),
        (Some("ada"), "carol@corp.test", 1),
        (Some("ada"), "archive@partner.test", 1),
        (None, "archive@partner.test", 1),
    ] {
        assert_eq!(world.traces(user, Some(recipient), "added").len(), many, "{user:?} asks for {recipient}");
    }
    for user in [Some("ada"), None] {
        let seen = world.traces(user, None, "added").remove(0);
        let record = &seen["record"];
        assert_eq!(record["recipients"], json!([{ "address": BOB, "to": BOB }]), "{seen}");
        let added = ["carol@corp.test", "archive@partner.test"].map(|a| json!({ "address": a, "to": a }));
        assert_eq!(record["recipients_by_hooks"], json!(added), "{seen}");
    }
    let carols = world.traces(Some("carol"), None, "added").remove(0);
    assert_eq!(carols["record"]["recipients_by_hooks"], json!(["carol@corp.test"]), "{carols}");
}

#[test]
fn whom_a_hook_adds_and_who_stays_full_is_no_business_of_the_sender() {
    let world = world(&[(b'+', b"<carol@corp.test>\0")]);
    world.alice_writes("full", 5000);
    assert_eq!(world.inside.queue().len(), 1, "carol has no room");
    world.inside.pass(5 * 24 * 3600);
    world.inside.round();
    assert_eq!(world.inside.queue().len(), 0);
    assert!(world.reports("ada").iter().any(|report| report.contains("carol@corp.test")), "ada hears of it");
    let told = world.reports("alice");
    assert!(told.len() == 1 && told[0].contains("Action: delivered"), "of bob alone: {told:?}");
}

#[test]
fn what_a_rule_refuses_of_whom_a_hook_has_added_is_told_to_an_administrator() {
    let world = world(&[(b'+', b"<carol@corp.test>\0")]);
    world.alice_writes("forbidden", 100);
    eventually("ada hears of it", || world.reports("ada").len() == 1);
    assert!(world.reports("ada")[0].contains("carol@corp.test"), "{:?}", world.reports("ada"));
    eventually("alice hears of bob", || world.reports("alice").len() == 1);
    assert!(!world.reports("alice")[0].contains("Action: failed"), "{:?}", world.reports("alice"));
    assert_eq!(world.inside.messages("carol@corp.test", "INBOX", "forbidden").len(), 0);
}

#[test]
fn that_a_group_whom_a_hook_has_named_is_moderated_is_no_business_of_the_sender() {
    let world = world(&[(b'-', b"<bob@corp.test>\0"), (b'+', b"<circle@corp.test>\0")]);
    let reply = world.alice_writes("to the circle", 100);
    assert!(reply.contains("Accepted") && !reply.contains("held"), "{reply}");
    world.inside.pass(5 * 24 * 3600);
    world.inside.round();
    eventually("ada hears that nobody has decided", || world.reports("ada").len() == 1);
    assert!(world.reports("ada")[0].contains("circle@corp.test"), "{:?}", world.reports("ada"));
    assert_eq!(world.reports("alice").len(), 0);
}

#[test]
fn a_redirect_to_who_is_full_is_accepted_and_waits() {
    let world = world(&[(b'-', b"<bob@corp.test>\0"), (b'+', b"<carol@corp.test>\0")]);
    world.alice_writes("full", 5000);
    assert_eq!(world.inside.queue().len(), 1);
    world.inside.pass(5 * 24 * 3600);
    world.inside.round();
    assert!(world.reports("ada").iter().any(|report| report.contains("carol@corp.test")), "ada hears of it");
    assert_eq!(world.reports("alice").len(), 0);
}

#[test]
fn a_redirect_leaves_with_a_reverse_path_of_ours_and_its_bounces_are_an_administrators() {
    let world = world(&[(b'-', b"<bob@corp.test>\0"), (b'+', b"<pam@partner.test>\0")]);
    assert_eq!(world.stranger_writes(STRANGER, BOB, "from elsewhere"), 250);
    let path = world.reverse_path("from elsewhere");
    assert!(path.starts_with("SRS0") && path.ends_with("@corp.test"), "{path}");
    // Bounces to it do not come to the stranger, who has not heard of pam.
    assert_eq!(world.stranger_writes("", &path, "delivery-status"), 250);
    assert_eq!(world.reports("ada").len(), 1);

    // Nor do those of our own users come to them.
    world.alice_writes("from alice", 100);
    let path = world.reverse_path("from alice");
    assert!(path.starts_with("SRS0") && path.ends_with("@corp.test"), "{path}");
    assert_eq!(world.stranger_writes("", BOB, "a report"), 250);
    assert_eq!(world.reverse_path("a report"), "");
    assert_eq!(world.inside.messages(BOB, "INBOX", "from").len(), 0);

    world.remote.answer("RCPT TO:<pam@partner.test>", "550 5.7.1 not from you");
    for told in 2..4 {
        assert_eq!(world.stranger_writes(STRANGER, BOB, "refused"), 250);
        eventually("ada hears of each, which is nowhere else", || world.reports("ada").len() == told);
    }
    eventually("nothing waits", || world.inside.queue().is_empty());
    assert_eq!(world.remote.heard().len(), 3, "the stranger hears nothing");
    assert_eq!(world.reports("alice").len(), 0, "nor does alice: bob has no message");
    let record = world.traces(None, None, "from alice").remove(0)["record"].clone();
    assert_eq!(record["recipients"], json!([{ "address": BOB, "to": BOB, "removed_by_hook": true }]));
    assert_eq!(record["remote"][0]["as"], "named by a hook", "{record}");
    let own = world.traces(Some("alice"), None, "from alice").remove(0);
    assert_eq!(own["record"]["recipients"], json!([BOB]), "{own}");
    assert!(!own.to_string().contains("pam"), "{own}");
}

#[test]
fn who_is_named_by_the_sender_and_by_a_hook_is_the_senders() {
    let world = world(&[(b'-', b"<bob@corp.test>\0"), (b'+', b"<BOB@corp.test>\0")]);
    world.alice_writes("again", 100);
    assert_eq!(world.inside.messages(BOB, "INBOX", "Subject: again").len(), 1);
    eventually("alice hears of bob", || world.reports("alice").len() == 1);
    let record = world.traces(None, None, "again").remove(0)["record"].clone();
    assert_eq!(record["recipients"], json!([{ "address": BOB, "to": BOB }]));
    assert_eq!(record["recipients_by_hooks"], Value::Null);
}

#[test]
fn a_redirect_by_http_leaves_so_too() {
    let (dns, remote, program) = (DnsServer::start(), Remote::start(), Program::start());
    dns.mx("far.test", 10, "mx.far.test").address_of("mx.far.test", "127.0.0.2");
    let server = server_with(&format!(
        "{}[outbound]\nport = {}\nallow_loopback = true\n\n[[hook]]\nname = \"policy\"\nkind = \"http\"\nurl = \
         \"http://{}/\"\nsecret_file = \"{}\"\n",
        dns.config(),
        remote.address.port(),
        program.address,
        program.secret_file().display()
    ));
    program.says(json!({ "verdict": "redirect", "redirect": ["pat@far.test"] }));
    // Nobody administers example.test: nobody could be told of what fails.
    for (subject, path) in [("nobody", "MAIL FROM:<>"), ("somebody", "MAIL FROM:<SRS0")] {
        assert!(super::send(&server, subject).starts_with("250"), "{subject}");
        let has = || remote.heard().into_iter().find(|heard| heard.content.contains(&format!("body of {subject}")));
        eventually(subject, || has().is_some());
        let heard = has().expect("it");
        assert!(heard.mail.starts_with(path) && heard.rcpt[0].starts_with("RCPT TO:<pat@far.test>"), "{heard:?}");
        assert!(heard.content.ends_with(&String::from_utf8_lossy(&message(subject)).into_owned()), "{heard:?}");
        let admin = server.path().join("admin.toml");
        std::fs::write(&admin, "[[account]]\naddress = \"alice@example.test\"\nadmin = true\n").expect("written");
        server.cli(&["apply", &admin.display().to_string()], "");
    }
    assert_eq!(messages(&server, "alice", "INBOX", "body of").len(), 0);
    assert_eq!(traces(&server).len(), 2, "found by whom the sender has named");
}
