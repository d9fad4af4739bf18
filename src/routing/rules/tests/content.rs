//! The rows of policy semantics T11 that look into the message.

use std::sync::Arc;

use super::*;
use crate::directory::RuleIndex;
use crate::proto::message::header::fields;

fn rejecting(condition: Condition) -> Rule {
    rule("alice", [reject()]).when(condition)
}

fn is_refused(rule: Rule, content: impl AsRef<[u8]>) -> bool {
    pass(&with_rules(&[rule]), &mail("stranger", "alice").with(content)).outcome.refused.is_some()
}

pub const SMIME: &str = "Subject: s\r\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\r\nsecret";
pub const BROKEN: &str = "Subject: s\r\nContent-Type: text/plain; charset=iso-2022-jp\r\n\r\ncaf\u{e9} secret";
pub const INLINE: &str = "Content-Type: multipart/related; boundary=b\r\n\r\n\
    --b\r\nContent-Type: text/html\r\n\r\n<img src=\"cid:logo@x\">\r\n\
    --b\r\nContent-Type: image/png; name=logo.png\r\nContent-Disposition: inline\r\nContent-ID: <logo@x>\r\n\r\nx\r\n\
    --b--\r\n";
pub const NAMED: &str = "Content-Type: application/pdf\r\nContent-Disposition: attachment;\r\n \
    filename*0*=utf-8''%E6%9C%BA;\r\n filename*1*=%E5%AF%86%20;\r\n filename*2=\"plan.pdf\"\r\n\r\nx";
const UTF16: &str = "Content-Type: text/html; charset=utf-16\r\nContent-Transfer-Encoding: base64\r\n\r\n\
    PABwAD4AcABsACYAIwA5ADcAOwBuADwALwBwAD4A\r\n";

#[test]
fn what_the_message_says() {
    let keywords = |place, values: &[&str]| Condition::Keyword {
        places: vec![place],
        values: values.iter().map(|v| Phrase::new(*v)).collect(),
    };
    let body = |text| keyword(Place::Body, text);
    let from_ext = Condition::Sender(vec![AddressPattern::Domain(Domain::parse("ext.test").unwrap())]);
    let header = |name: &str, contains: &[&str]| Condition::Header {
        name: name.to_owned(),
        contains: contains.iter().map(|v| Phrase::new(*v)).collect(),
    };
    for (id, condition, content, want) in [
        ("W23", keyword(Place::Subject, "机密"), "Subject: =?GB18030?B?u/rD3A==?=\r\n\r\n", true),
        ("W24", body("PLAN"), UTF16, true),
        ("W24 markup", body("<p>"), UTF16, false),
        ("W25", keyword(Place::AttachmentName, "机密 plan"), NAMED, true),
        ("W25 pattern", Condition::AttachmentName(["*.exe", "机?*.pdf"].map(NamePattern::new).to_vec()), NAMED, true),
        ("W26", body("ＡＢＣ"), "\r\nthe abc text", true),
        ("W27", Condition::HasAttachment, INLINE, false),
        ("W27 attached", Condition::HasAttachment, NAMED, true),
        ("W28", body("secret"), SMIME, false),
        ("W28 sender", from_ext, SMIME, true),
        ("W30", keywords(Place::Body, &["x", "y"]), "\r\nwhy", true),
        ("W30 neither", keywords(Place::Body, &["x", "y"]), "\r\nno", false),
        ("header", header("x-mailer", &[]), "X-Mailer: a\r\n\r\n", true),
        ("no header", header("x-mailer", &[]), "\r\nX-Mailer: a\r\n", false),
        ("header contains", header("X-Mailer", &["q", "Grün"]), "X-Mailer: =?utf-8?q?GR=C3=9CN?=\r\n\r\n", true),
        ("header contains neither", header("X-Mailer", &["q"]), "X-Mailer: a\r\n\r\n", false),
        ("subject alone", keyword(Place::Subject, "text"), "Subject: s\r\n\r\ntext", false),
    ] {
        assert_eq!(is_refused(rejecting(condition), content), want, "{id}");
    }
}

#[test]
fn what_could_not_be_inspected() {
    let body = || rejecting(keyword(Place::Body, "nowhere"));
    let matching = || Rule { match_uninspected: true, ..body() };
    let excepted =
        || Rule { match_uninspected: true, ..rule("alice", [reject()]).unless(keyword(Place::Body, "nowhere")) };
    for (case, rule, content, want) in [
        ("not decoded", body(), BROKEN, false),
        ("not decoded, counts", matching(), BROKEN, true),
        ("an exception never holds for it", excepted(), BROKEN, true),
        ("encrypted", matching(), SMIME, false),
        ("decoded", matching(), "\r\nsomewhere", false),
        ("found in what was decoded", rejecting(keyword(Place::Body, "secret")), BROKEN, true),
    ] {
        assert_eq!(is_refused(rule, content), want, "{case}");
    }
    let outcome = |rule, content: &str| pass(&with_rules(&[rule]), &mail("stranger", "alice").with(content)).outcome;
    assert!(outcome(body(), BROKEN).is_incomplete);
    assert!(!outcome(body(), SMIME).is_incomplete);
}

#[test]
fn content_that_is_missing_is_not_inspected() {
    let directory = with_rules(&[rejecting(keyword(Place::Body, "text"))]);
    let mail = mail("stranger", "alice");
    let Passage { sender, expansion, .. } = pass(&directory, &mail);
    let message = Message {
        sender: &sender,
        header_from: &[],
        addressed: &[],
        forward_paths: &mail.to,
        awaits_moderators: false,
        size: 1,
        header: &mail.content,
        now: NOW,
        stage: Stage::Arriving,
    };
    let candidates = Candidates::of(&directory, &message, &expansion.deliveries);
    let outcome = evaluate(&directory, &message, &expansion.deliveries, &candidates, None);
    assert!(outcome.is_incomplete && outcome.refused.is_none());
}

#[test]
fn content_is_read_only_for_rules_that_need_it() {
    let body = || keyword(Place::Body, "x");
    let from_pam = || Condition::Sender(vec![AddressPattern::Address(address("pam"))]);
    for (case, rule, want) in [
        ("body", rejecting(body()), true),
        ("exception", rule("alice", [reject()]).unless(Condition::HasAttachment), true),
        ("subject", rejecting(keyword(Place::Subject, "x")), false),
        ("disabled", Rule { enabled: false, ..rejecting(body()) }, false),
        ("another's", rule("bob", [reject()]).when(body()), false),
        ("other direction", rule("alice/sent", [reject()]).when(body()), false),
        ("other peer", rule("alice/both/internal", [reject()]).when(body()), false),
        ("false already", rejecting(body()).when(from_pam()), false),
        ("excepted already", rejecting(body()).unless(keyword(Place::Subject, "x")), false),
    ] {
        assert_eq!(pass(&with_rules(&[rule]), &mail("stranger", "alice")).needed_content, want, "{case}");
    }
}

#[test]
fn a_field_that_is_there_often_brings_up_its_rules_once() {
    let asks = |name: &str| Rule {
        conditions: vec![Condition::Header { name: name.to_owned(), contains: Vec::new() }],
        ..rule("everyone", [tag()])
    };
    let rules: Vec<Arc<Rule>> = ["X-A", "X-B", "x-a", "X-C"].map(|name| Arc::new(asks(name))).to_vec();
    let header = "x-b: 1\r\nX-A: 1\r\nX-a: 2\r\nX-B: 2\r\n".repeat(100);
    let (mut places, _) = evaluate::by_header(&RuleIndex::of(&rules), fields(header.as_bytes()));
    places.sort_unstable();
    assert_eq!(places, [0, 1, 2]);
}
