//! What is told of messages, over the fixture of policy semantics §2.

use serde_json::{Value, json};

use super::super::tests::{ask, served};
use crate::accept::{HeldPart, HeldReason, Origin, StoredSender, StoredWishes};
use crate::directory::Directory;
use crate::mail::{AccountId, Address, BlobId, Flags, GroupId, MailboxId, OrganisationId, ReversePath, Timestamp};
use crate::policy::sender::Sender;
use crate::proto::authres::AuthResults;
use crate::server::Services;
use crate::server::admin::spec::directory_from_toml;
use crate::store::{Delivery, Form, HoldKind, NewHold, NewQueueItem, QueueSender, Remote, Target, TraceWrite};

const ACME: &str = include_str!("../../../../../tests/fixtures/acme.toml");

fn acme() -> Directory {
    directory_from_toml(ACME).unwrap()
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn account(text: &str) -> AccountId {
    acme().account_at(&address(text)).unwrap().id
}

/// A message from pam to the group g-mod: delivered to bob through it, queued for pam, a part held.
async fn accepted(services: &Services) -> BlobId {
    let (bob, directory) = (account("bob@corp.test"), acme());
    let group = directory.group_at(&address("g-mod@corp.test")).unwrap().id;
    services.store.create_account_folders(bob).await.unwrap();
    let mut staging = services.store.stage();
    staging.push(b"Subject: x\r\n\r\n").await.unwrap();
    let form = Form { prefix: Vec::new(), omitted: None, summary: Vec::new() };
    let target = Target { via: Some(group), ..Target::new(bob, MailboxId::INBOX, Flags::default()) };
    let mut delivery = Delivery::new(staging.finish(), 14, form, Timestamp::from_seconds(1_700_000_000), vec![target]);
    let id = delivery.content.blob();
    delivery.reverse_path = ReversePath::Address(address("pam@partner.test"));
    delivery.trace = Some(TraceWrite {
        record: json!({ "class": "O4", "subject": "x" }).to_string().into_bytes(),
        sender: Some("pam@partner.test".to_owned()),
        message_id: Some("one@partner.test".to_owned()),
        recipients: vec!["g-mod@corp.test".to_owned()],
        ..TraceWrite::default()
    });
    delivery.queue = vec![NewQueueItem {
        form: 0,
        reverse_path: ReversePath::Null,
        remote: Remote::new(address("stranger@ext.test"), QueueSender::Nobody),
    }];
    delivery.holds = vec![hold(HoldKind::Moderation, group), hold(HoldKind::Quarantine, group)];
    services.store.deliver(delivery).await.unwrap();
    id
}

fn hold(kind: HoldKind, group: GroupId) -> NewHold {
    let pam = ReversePath::Address(address("pam@partner.test"));
    let part = HeldPart {
        reason: HeldReason::Group { group, addressed: group },
        approvers: vec![account("dave@corp.test")],
        sender: StoredSender::of(&Sender::unauthenticated(&acme(), None, pam, false)),
        origin: Origin::default(),
        auth: AuthResults::default(),
        from: vec![address("pam@partner.test")],
        subject: "x".to_owned(),
        recipients: vec!["g-mod@corp.test".to_owned(), "bob@elsewhere.test".to_owned()],
        removed: Vec::new(),
        named: None,
        by_hooks: Vec::new(),
        silent: Vec::new(),
        wishes: StoredWishes::default(),
        asked: Vec::new(),
        is_answerable: false,
        is_junk: false,
        added: String::new(),
    };
    let organisation = OrganisationId::new(1).unwrap();
    NewHold { form: 0, organisation, kind, expires: None, data: part.encode(), limit: None }
}

fn ids(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().filter_map(|item| item["id"].as_str()).collect()
}

#[tokio::test]
async fn a_message_is_found_by_each_thing_that_is_known_of_it() {
    let (api, services) = served().await;
    services.directory.replace(acme());
    let id = accepted(&services).await.to_string();
    for (case, query, found) in [
        ("nothing given", String::new(), true),
        ("id", format!("?id={id}"), true),
        ("another id", "?id=00000000000000000001".to_owned(), false),
        ("sender", "?sender=PAM@partner.test".to_owned(), true),
        ("another sender", "?sender=bob@corp.test".to_owned(), false),
        ("recipient as addressed", "?recipient=g-mod@corp.test".to_owned(), true),
        ("account reached through the group", "?recipient=bob@corp.test".to_owned(), true),
        ("its address at the domain alias", "?recipient=bob@corp-alias.test".to_owned(), true),
        ("account not reached", "?recipient=alice@corp.test".to_owned(), false),
        ("Message-ID in brackets", "?message_id=%3Cone@partner.test%3E".to_owned(), true),
        ("day", "?from=2023-11-14&to=2023-11-15".to_owned(), true),
        ("day before", "?to=2023-11-14".to_owned(), false),
        ("all at once", "?sender=pam@partner.test&recipient=bob@corp.test&from=2023-11-14".to_owned(), true),
        ("older than itself", format!("?after={id}"), false),
    ] {
        let (status, page) = ask(&api, "GET", &format!("/api/v1/trace{query}"), "").await;
        assert_eq!(status, 200, "{case}: {page}");
        assert_eq!(ids(&page), if found { vec![&*id] } else { Vec::new() }, "{case}");
    }
    let (_, trace) = ask(&api, "GET", &format!("/api/v1/trace/{id}"), "").await;
    assert_eq!(trace["record"]["subject"], "x");
    let delivery = json!({
        "account": "bob@corp.test", "copy": "ordinary", "state": "delivered", "folder": "INBOX", "uid": 1,
        "via": "g-mod@corp.test",
    });
    assert_eq!(trace["deliveries"], json!([delivery]));
}

#[tokio::test]
async fn the_queue_is_listed_by_host() {
    let (api, services) = served().await;
    services.directory.replace(acme());
    let message = accepted(&services).await.to_string();
    for (query, want) in [("", 1), ("?host=EXT.test", 1), ("?host=partner.test", 0), ("?local=true", 0)] {
        let (status, page) = ask(&api, "GET", &format!("/api/v1/queue{query}"), "").await;
        assert_eq!((status, ids(&page).len()), (200, want), "{query}: {page}");
    }
    let (_, page) = ask(&api, "GET", "/api/v1/queue", "").await;
    let (_, item) = ask(&api, "GET", &format!("/api/v1/queue/{}", ids(&page)[0]), "").await;
    assert_eq!(item, page["items"][0]);
    for (key, want) in [
        ("message", json!(message)),
        ("recipient", json!("stranger@ext.test")),
        ("host", json!("ext.test")),
        ("kind", json!("remote")),
        ("reverse_path", json!("")),
        ("attempts", json!(0)),
    ] {
        assert_eq!(item[key], want, "{key}");
    }
}

#[tokio::test]
async fn the_first_decision_counts_and_is_recorded() {
    let (api, services) = served().await;
    services.directory.replace(acme());
    accepted(&services).await;
    let (_, page) = ask(&api, "GET", "/api/v1/holds", "").await;
    assert_eq!(ids(&page).len(), 2, "{page}");
    let (_, page) = ask(&api, "GET", "/api/v1/holds?organisation=acme&kind=moderation", "").await;
    let [id] = ids(&page)[..] else { panic!("{page}") };
    let (_, shown) = ask(&api, "GET", &format!("/api/v1/holds/{id}"), "").await;
    for (key, want) in [
        ("group", json!("g-mod@corp.test")),
        ("approvers", json!(["dave@corp.test"])),
        ("reverse_path", json!("pam@partner.test")),
        ("state", json!("pending")),
    ] {
        assert_eq!(shown[key], want, "{key} in {shown}");
    }
    let (status, _) = ask(&api, "POST", &format!("/api/v1/holds/{id}/refuse"), r#"{"text":"a\u0007b"}"#).await;
    assert_eq!(status, 422, "a text that could ring a bell");
    let (status, decided) = ask(&api, "POST", &format!("/api/v1/holds/{id}/refuse"), r#"{"text":"not here"}"#).await;
    assert_eq!((status, &decided["state"], &decided["text"]), (200, &json!("refused"), &json!("not here")));
    let (status, late) = ask(&api, "POST", &format!("/api/v1/holds/{id}/accept"), "{}").await;
    assert_eq!((status, &late["error"]["key"]), (409, &json!("already_decided")));
    let (_, page) = ask(&api, "GET", "/api/v1/holds?kind=moderation", "").await;
    assert_eq!(ids(&page).len(), 0, "decided ones are not waiting");
    let (_, page) = ask(&api, "GET", "/api/v1/holds?kind=moderation&all=true", "").await;
    assert_eq!(ids(&page).len(), 1);
    let (_, log) = ask(&api, "GET", "/api/v1/audit", "").await;
    assert_eq!(log["items"][0]["action"], "hold.refuse", "{log}");
    assert_eq!(shown["recipients"], json!(["g-mod@corp.test", "bob@elsewhere.test"]), "operators see all");
    assert!(log.to_string().contains("g-mod@corp.test"), "{log}");
    assert!(!log.to_string().contains("elsewhere.test"), "the organisation reads it: {log}");
    let (_, check) = ask(&api, "GET", "/api/v1/audit/verify", "").await;
    assert_eq!(check, json!({ "organisation": "acme", "intact": true, "records": 1, "first_bad": null }));
}

#[tokio::test]
async fn explain_gives_the_reply_of_a_session() {
    let (api, services) = served().await;
    services.directory.replace(acme());
    for (id, body, reply, deliveries) in [
        (
            "member to members",
            json!({ "from": "alice@corp.test", "to": "g-mem@corp.test", "auth": "alice@corp.test" }),
            "250 2.1.5 OK",
            json!(["alice@corp.test", "carol@corp.test"]),
        ),
        (
            "stranger to members",
            json!({ "from": "stranger@ext.test", "to": "g-mem@corp.test", "spf": "pass" }),
            "550 5.7.2 Not permitted to send to this group",
            json!([]),
        ),
        (
            "stranger to nobody",
            json!({ "from": "stranger@ext.test", "to": "nobody@corp.test" }),
            "550 5.1.1 No such user",
            json!([]),
        ),
        (
            "relaying",
            json!({ "from": "stranger@ext.test", "to": "pam@partner.test", "client": "192.0.2.1" }),
            "550 5.7.1 Relaying denied",
            json!([]),
        ),
        (
            "as somebody else",
            json!({ "from": "bob@corp.test", "to": "carol@corp.test", "auth": "alice@corp.test" }),
            "553 5.7.1 Sender address not owned by the authenticated user",
            json!([]),
        ),
        ("null reverse-path", json!({ "from": "", "to": "bob@corp.test" }), "250 2.1.5 OK", json!(["bob@corp.test"])),
    ] {
        let (status, answer) = ask(&api, "POST", "/api/v1/explain", &body.to_string()).await;
        assert_eq!((status, &answer["reply"]), (200, &json!(reply)), "{id}: {answer}");
        let to: Vec<_> = answer["deliveries"].as_array().unwrap().iter().map(|d| d["to"].clone()).collect();
        assert_eq!(json!(to), deliveries, "{id}");
        assert_eq!(answer["accepted"], reply.starts_with("250"), "{id}");
    }
}

#[tokio::test]
async fn questions_that_cannot_be_are_refused() {
    let (api, services) = served().await;
    services.directory.replace(acme());
    for (method, path, body, status, field) in [
        ("GET", "/trace?sender=alice", "", 422, Some("sender")),
        ("GET", "/trace?from=yesterday", "", 422, Some("from")),
        ("GET", "/trace?after=7", "", 400, None),
        ("GET", "/trace/xyz", "", 400, None),
        ("GET", "/trace/00000000000000000001", "", 404, None),
        ("GET", "/queue?host=a..b", "", 422, Some("host")),
        ("GET", "/queue/00000000000000000001", "", 404, None),
        ("GET", "/holds?kind=sale", "", 400, None),
        ("GET", "/holds?organisation=nobody", "", 404, None),
        ("POST", "/holds/00000000000000000001/accept", "{}", 404, None),
        ("GET", "/audit?organisation=nobody", "", 404, None),
        ("POST", "/explain", r#"{"from":"x","to":"bob@corp.test"}"#, 422, Some("from")),
        ("POST", "/explain", r#"{"from":"","to":"bob@corp.test","auth":"zoe@corp.test"}"#, 422, Some("auth")),
        ("POST", "/explain", r#"{"from":"","to":"bob@corp.test","spf":"maybe"}"#, 422, None),
    ] {
        let (got, answer) = ask(&api, method, &format!("/api/v1{path}"), body).await;
        assert_eq!(got, status, "{path} {body}: {answer}");
        assert_eq!(answer["error"]["field"].as_str(), field, "{path}");
    }
}
