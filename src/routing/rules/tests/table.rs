//! The rows of policy semantics T11 that do not need the content.

use super::*;

/// W01
fn w01() -> Rule {
    rule("alice/both/any", [copy("erin:m")])
}

fn everyone() -> Rule {
    rule("everyone/both/any", [copy("erin:m")])
}

fn x() -> Condition {
    keyword(Place::Subject, "x")
}

fn sender(pattern: AddressPattern) -> Condition {
    Condition::Sender(vec![pattern])
}

fn recipient(pattern: AddressPattern) -> Condition {
    Condition::Recipient(vec![pattern])
}

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn check(rows: Vec<(&str, Vec<Rule>, Mail, &str)>) {
    for (id, rules, mail, want) in rows {
        assert_eq!(tell(&with_rules(&rules), &mail), want, "{id}");
    }
}

#[test]
fn scope_direction_and_peer() {
    let sales = |text| rule(text, [copy("erin:m")]);
    check(vec![
        ("W01", vec![w01()], mail("stranger", "alice"), "to alice; copy erin:m"),
        ("W02", vec![w01()], mail("auth alice", "pam"), "to pam; copy erin:m"),
        ("W03", vec![everyone()], mail("auth alice", "bob"), "to bob; copy erin:m"),
        ("W04", vec![sales("/Sales/*")], mail("stranger", "carol"), "to carol; copy erin:m"),
        ("W05", vec![sales("/Sales")], mail("stranger", "carol"), "to carol"),
        ("W06", vec![everyone().except("alice")], mail("auth alice", "bob"), "to bob; copy erin:m"),
        ("W07", vec![everyone().except("alice")], mail("stranger", "alice"), "to alice"),
        ("W08", vec![sales("alice/sent")], mail("stranger", "alice"), "to alice"),
        ("W09", vec![sales("alice/received")], mail("auth alice", "pam"), "to pam"),
        ("W10", vec![sales("alice/both/external")], mail("auth alice", "bob"), "to bob"),
        ("W11", vec![sales("alice/both/external")], mail("auth alice", "bob pam"), "to bob pam; copy erin:m"),
        ("W12", vec![sales("alice/both/internal")], mail("auth alice", "bob pam"), "to bob pam; copy erin:m"),
        ("W13", vec![sales("bob/received/internal")], mail("unauth alice@corp.test", "bob"), "to bob"),
        ("W14", vec![sales("bob/received/external")], mail("unauth alice@corp.test", "bob"), "to bob; copy erin:m"),
        ("W15", vec![sales("g-mem")], mail("stranger", "carol"), "to carol; copy erin:m"),
        ("W16", vec![sales("g-any")], mail("stranger", "g-any"), "to alice bob carol; copy erin:m"),
        ("no member", vec![sales("g-mem")], mail("stranger", "bob"), "to bob"),
        ("nested member", vec![sales("g-out")], mail("stranger", "carol"), "to carol; copy erin:m"),
        ("excepted group", vec![everyone().except("g-mem")], mail("stranger", "carol"), "to carol"),
        ("excepted subtree", vec![everyone().except("/Sales/*")], mail("stranger", "carol"), "to carol"),
        ("external member", vec![sales("bob/sent/external")], mail("auth bob", "g-ext"), "to alice pam; copy erin:m"),
        ("internal group", vec![sales("alice/sent/external")], mail("auth alice", "g-any"), "to alice bob carol"),
        ("from bounces", vec![sales("bob/received/external")], mail("<>", "bob"), "to bob; copy erin:m"),
    ]);
}

#[test]
fn conditions_on_parties_and_size() {
    let size = || Condition::Size { min: Some(1 << 20), max: Some(5 << 20) };
    let sized = |octets| Mail { size: Some(octets), ..mail("stranger", "bob") };
    let (bob, any) = (AddressPattern::Account(account("bob")), AddressPattern::Group(group("g-any")));
    let (yes, no) = ("to bob; copy erin:m", "to bob");
    let from_ext = || sender(AddressPattern::Domain(domain("ext.test")));
    let from_top = || sender(AddressPattern::Subdomains(domain("top")));
    let from_pam = || sender(AddressPattern::Address(address("pam")));
    check(vec![
        ("W17", vec![everyone().when(from_ext())], mail("stranger", "bob"), yes),
        ("W18", vec![everyone().when(from_top())], mail("unauth a@b.top", "bob"), yes),
        ("W18 not", vec![everyone().when(from_top())], mail("stranger", "bob"), no),
        ("W19", vec![everyone().when(recipient(bob))], mail("auth alice", "g-any"), "to alice bob carol; copy erin:m"),
        ("W20", vec![everyone().when(recipient(any))], mail("auth alice", "g-any"), "to alice bob carol; copy erin:m"),
        ("W21", vec![everyone().when(size())], sized(1 << 20), no),
        ("W22", vec![everyone().when(size())], sized((1 << 20) + 1), yes),
        ("W22 upper bound", vec![everyone().when(size())], sized(5 << 20), no),
        ("W29", vec![everyone().when(from_ext()).when(size())], mail("stranger", "bob"), no),
        ("W30", vec![everyone().when(sender_of_two())], mail("stranger", "bob"), yes),
        ("W31", vec![everyone().when(from_ext()).unless(from_pam()).unless(from_ext())], mail("stranger", "bob"), no),
        ("W31 neither", vec![everyone().when(from_ext()).unless(from_pam())], mail("stranger", "bob"), yes),
        (
            "sender of a department",
            vec![everyone().when(sender(AddressPattern::Department(DepartmentScope {
                department: department("/Sales"),
                subtree: true,
            })))],
            mail("auth carol", "bob"),
            yes,
        ),
        (
            "recipient by alias",
            vec![everyone().when(recipient(AddressPattern::Address(address("a.liu"))))],
            mail("stranger", "alice"),
            "to alice; copy erin:m",
        ),
    ]);
}

fn sender_of_two() -> Condition {
    Condition::Sender(vec![AddressPattern::Address(address("pam")), AddressPattern::Address(address("stranger"))])
}

#[test]
fn copies_for_monitors() {
    let to = |text| rule("everyone", [copy(text)]);
    let chain = || vec![w01(), rule("erin", [copy("dave:n")])];
    let mutual = || vec![rule("alice", [copy("bob:m")]), rule("bob", [copy("alice:m")])];
    check(vec![
        ("W32", vec![to("erin:b").at(1), to("erin:a")], mail("stranger", "bob"), "to bob; copy erin:a by 2+1"),
        ("W33", vec![to("erin:m"), to("dave:m")], mail("stranger", "bob"), "to bob; copy erin:m; copy dave:m"),
        ("W34", vec![to("erin:m")], mail("stranger", "erin bob"), "to erin bob; copy erin:m"),
        ("W35", vec![to("erin")], mail("stranger", "erin bob"), "to erin bob"),
        ("W35 not a recipient", vec![to("erin")], mail("stranger", "bob"), "to bob; copy erin:INBOX"),
        ("W36", vec![to("erin:m")], mail("stranger", "erin"), "to erin"),
        ("W37", chain(), mail("stranger", "alice"), "to alice; copy erin:m"),
        ("W38", chain(), mail("auth erin", "pam"), "to pam; copy dave:n"),
        ("W39", mutual(), mail("auth alice", "pam"), "to pam; copy bob:m"),
        ("W49", vec![w01()], mail("auth alice", "bob pam"), "to bob pam; copy erin:m"),
        ("W69", vec![to("erin:m")], mail("auth alice", "bob carol g-any"), "to bob carol alice; copy erin:m"),
        (
            "two of one rule",
            vec![rule("alice", [copy("erin:m"), copy("erin:n")])],
            mail("stranger", "alice"),
            "to alice; copy erin:m",
        ),
    ]);
}

#[test]
fn actions_and_their_order() {
    let w50 = || rule("everyone", [reject()]).when(x());
    let w51 = || rule("alice/received", [reject()]).when(x());
    let w55 = || rule("alice/sent/external", [hold("dave")]);
    let on_alice = |action| rule("alice/received", [action]);
    let prio = |n: u32, rule: Rule| rule.at(n);
    let redirect = || Action::Redirect(vec![target("dave")]);
    let forward = || Action::Forward(vec![target("pam")]);
    check(vec![
        ("W50", vec![w50()], mail("stranger", "alice"), "refused"),
        ("W51", vec![w51()], mail("stranger", "alice bob"), "to bob; reject alice"),
        ("W52", vec![w51()], mail("pam", "alice bob"), "to bob; reject alice"),
        ("W53", vec![prio(0, w50()), prio(1, everyone())], mail("stranger", "alice"), "refused"),
        ("W53 reversed", vec![prio(1, w50()), prio(0, everyone())], mail("stranger", "alice"), "refused"),
        (
            "W54",
            vec![rule("everyone", [reject_with_copy("erin:r")]).when(x())],
            mail("stranger", "alice"),
            "refused; copy erin:r",
        ),
        ("W55", vec![w55()], mail("auth alice", "pam bob"), "to nobody; hold pam bob for dave"),
        (
            "W56, W57",
            vec![prio(0, w01()), prio(1, w55())],
            mail("auth alice", "pam bob"),
            "to nobody; hold pam bob for dave; then copy erin:m",
        ),
        ("W59", vec![on_alice(redirect())], mail("stranger", "alice bob"), "to bob; redirect alice to dave"),
        ("W60", vec![on_alice(tag())], mail("stranger", "alice bob"), "to alice bob; tag alice"),
        ("W61", vec![prio(0, rule("everyone", [Action::Stop])), prio(1, w01())], mail("stranger", "alice"), "to alice"),
        (
            "W62",
            vec![prio(0, w01()), prio(1, on_alice(Action::Discard))],
            mail("stranger", "alice"),
            "to nobody; copy erin:m",
        ),
        ("W63", vec![prio(0, on_alice(Action::Discard)), prio(1, w01())], mail("stranger", "alice"), "to nobody"),
        ("W64", vec![on_alice(Action::Junk)], mail("stranger", "alice"), "to alice's Junk"),
        ("W65", vec![on_alice(Action::Quarantine)], mail("stranger", "alice"), "to nobody; quarantine alice"),
        ("junk of what is sent", vec![rule("alice/sent", [Action::Junk])], mail("auth alice", "bob"), "to bob"),
        ("forward", vec![on_alice(forward())], mail("stranger", "alice"), "to alice; forward pam"),
        (
            "forward of what is refused",
            vec![prio(0, rule("alice", [forward()])), prio(1, w50())],
            mail("stranger", "alice"),
            "refused",
        ),
        (
            "discard with its own copy",
            vec![rule("alice", [Action::Discard, copy("erin:m")])],
            mail("stranger", "alice"),
            "to nobody; copy erin:m",
        ),
        (
            "rejection with an ordinary copy",
            vec![rule("alice/received", [copy("erin:m"), reject()])],
            mail("stranger", "alice bob"),
            "to bob; reject alice",
        ),
        ("rejection of a whole", vec![rule("alice/sent", [reject()])], mail("auth alice", "bob pam g-mod"), "refused"),
        (
            "rejection leaves what moderators hold",
            vec![rule("bob/received", [reject()])],
            mail("stranger", "bob g-mod"),
            "to nobody; reject bob",
        ),
        (
            "held for the rest as well",
            vec![rule("alice/sent", [hold("dave")])],
            mail("auth alice", "g-mod"),
            "to nobody; hold g-mod for dave",
        ),
        (
            "rejection and redirection",
            vec![on_alice(redirect()), rule("bob/received", [reject()])],
            mail("stranger", "alice bob"),
            "to nobody; redirect alice to dave; reject bob",
        ),
        (
            "rejection and discard",
            vec![on_alice(Action::Discard), rule("bob/received", [reject()])],
            mail("stranger", "alice bob"),
            "refused",
        ),
        ("first end counts", vec![rule("alice", [Action::Discard, reject()])], mail("stranger", "alice"), "to nobody"),
        (
            "stop flag",
            vec![Rule { stop: true, ..rule("everyone", [tag()]) }, w01()],
            mail("stranger", "alice"),
            "to alice; tag alice",
        ),
        (
            "the sender's event ends with the last part",
            vec![prio(0, rule("bob/received", [Action::Discard])), prio(1, w01())],
            mail("auth alice", "bob"),
            "to nobody",
        ),
        ("postmaster", vec![w50()], mail("stranger", "postmaster"), "to admin"),
        ("postmaster beside others", vec![w50()], mail("stranger", "postmaster alice"), "to admin; reject alice"),
        (
            "postmaster, sent",
            vec![rule("alice/sent", [reject()])],
            mail("auth alice", "postmaster bob pam"),
            "to admin; reject bob pam",
        ),
    ]);
}

#[test]
fn redirection_of_what_is_sent_takes_all_along() {
    let directory = with_rules(&[rule("alice/sent", [Action::Redirect(vec![target("dave")])])]);
    assert_eq!(tell(&directory, &mail("auth alice", "bob pam")), "to nobody; redirect bob pam to dave");
}

#[test]
fn monitors_that_are_gone() {
    let mut with_fallback = monitor("erin:m");
    with_fallback.fallback = Some(account("dave"));
    let with_fallback = rule("alice", [Action::Copy(with_fallback)]);
    for state in [crate::directory::AccountState::Binned, crate::directory::AccountState::Frozen] {
        for (id, rule, want) in [
            ("W42", w01(), "to alice; copy undelivered:m"),
            ("W42 with fallback", with_fallback.clone(), "to alice; copy dave:m"),
        ] {
            let directory = with_rules(&[rule]);
            let mut erin = (**directory.account(account("erin")).unwrap()).clone();
            erin.state = state;
            let (directory, _) = change::apply(&directory, &Change::PutAccount(erin)).unwrap();
            assert_eq!(tell(&directory, &mail("stranger", "alice")), want, "{id}, {state:?}");
        }
    }
}

#[test]
fn rules_that_are_not_in_force() {
    let at = |days: i64| Some(Timestamp::from_seconds(NOW.seconds() + days * DAY));
    for (id, rule, want) in [
        ("W43", Rule { enabled: false, ..w01() }, "to alice"),
        ("W68", Rule { valid_until: at(-1), ..w01() }, "to alice"),
        ("from tomorrow", Rule { valid_from: at(1), ..w01() }, "to alice"),
        ("between", Rule { valid_from: at(-1), valid_until: at(1), ..w01() }, "to alice; copy erin:m"),
        ("until now", Rule { valid_until: at(0), ..w01() }, "to alice"),
    ] {
        assert_eq!(tell(&with_rules(&[rule]), &mail("stranger", "alice")), want, "{id}");
    }
}

#[test]
fn w44_a_new_name_changes_nothing() {
    let directory = with_rules(&[w01()]);
    let mut alice = (**directory.account(account("alice")).unwrap()).clone();
    alice.address = address("alice2");
    let (directory, _) = change::apply(&directory, &Change::PutAccount(alice)).unwrap();
    assert_eq!(tell(&directory, &mail("stranger", "alice2")), "to alice2; copy erin:m");
}

#[test]
fn w47_a_forward_adds_no_copy() {
    use crate::directory::{AccountSettings, AdminForward};
    let directory = with_rules(&[everyone()]);
    let alice = (**directory.account(account("alice")).unwrap()).clone();
    let admin_forward = Some(AdminForward { targets: vec![target("pam")], keep: true, concealed: false });
    let alice = alice.with_settings(AccountSettings { admin_forward, ..AccountSettings::default() });
    let (directory, _) = change::apply(&directory, &Change::PutAccount(alice)).unwrap();
    assert_eq!(tell(&directory, &mail("stranger", "alice")), "to alice pam; copy erin:m");
}

#[test]
fn w46_what_the_server_makes_has_no_events() {
    let directory = with_rules(&[everyone(), rule("everyone", [reject()])]);
    let Passage { outcome, .. } = pass_with(&directory, &mail("<>", "alice"), Sender::system());
    assert_eq!(outcome, Outcome::default());
}

#[test]
fn w55_department_managers_approve() {
    let by_manager = Hold { approvers: Approvers::DepartmentManager, timeout_hours: 72, outcome: HoldOutcome::Reject };
    let rules = additions(&[rule("everyone/sent", [Action::Hold(by_manager)])]);
    for (case, manager, from, want) in [
        ("of the department", Some("dave"), "auth alice", "hold pam for dave"),
        ("of the one above", Some("dave"), "auth carol", "hold pam for dave"),
        ("the sender itself", Some("alice"), "auth alice", "hold pam for admin"),
        ("none", None, "auth alice", "hold pam for admin"),
        ("no department", Some("dave"), "auth admin", "hold pam for admin"),
    ] {
        let sales = Department {
            id: department("/Sales"),
            organisation: OrganisationId::new(1).unwrap(),
            name: "Sales".to_owned(),
            parent: None,
            manager: manager.map(account),
        };
        let directory = fixture::acme(&[&[Change::PutDepartment(sales)], &rules[..]].concat());
        assert_eq!(tell(&directory, &mail(from, "pam")), format!("to nobody; {want}"), "{case}");
    }
}

#[test]
fn w56_rules_after_the_hold_go_on_at_the_release() {
    let directory = with_rules(&[rule("alice/sent/external", [hold("dave")]), everyone(), w01().at(1)]);
    let mut mail = mail("auth alice", "pam bob");
    let Passage { outcome, .. } = pass(&directory, &mail);
    let [held] = &outcome.held[..] else { panic!("{:?}", outcome.held) };
    assert_eq!((held.copies.len(), outcome.copies.len()), (0, 0));
    mail.stage = Stage::Released { after: held.position, is_whole: held.part.is_whole };
    assert_eq!(tell(&directory, &mail), "to bob pam; copy erin:m by 2+3");
}

#[test]
fn a_part_held_for_its_recipient_goes_on_without_the_sender() {
    let directory = with_rules(&[rule("bob/received", [hold("dave")]), rule("alice/sent", [reject()]).at(1)]);
    let mut mail = mail("auth alice", "bob");
    let Passage { outcome, .. } = pass(&directory, &mail);
    let held = outcome.held.first().unwrap();
    mail.stage = Stage::Released { after: held.position, is_whole: held.part.is_whole };
    assert_eq!(tell(&directory, &mail), "to bob");
}

#[test]
fn w70_copies_of_moderated_mail_are_made_at_the_release() {
    let directory = with_rules(&[w01()]);
    for from in ["stranger", "auth alice"] {
        let mut mail = mail(from, "g-mod");
        assert_eq!(tell(&directory, &mail), "to nobody", "{from}");
        mail.stage = Stage::Moderated;
        assert_eq!(tell(&directory, &mail), "to alice bob; copy erin:m", "{from}");
    }
    let judged = with_rules(&[rule("alice/sent", [hold("dave"), tag()])]);
    let approved = Mail { stage: Stage::Moderated, ..mail("auth alice", "g-mod") };
    assert_eq!(tell(&judged, &approved), "to alice bob", "the sender's event was judged before");
}

#[test]
fn w72_the_201st_rule() {
    let rules: Vec<Rule> = (0..201).map(|_| everyone()).collect();
    let (last, first) = additions(&rules).split_last().map(|(l, f)| (l.clone(), f.to_vec())).unwrap();
    let directory = fixture::acme(&first);
    assert!(matches!(change::apply(&directory, &last), Err(crate::directory::Refusal::RuleLimit(200))));
}

#[test]
fn subject_prefixes_are_for_the_part_that_the_rule_means() {
    let prefix = |text: &str| Action::SubjectPrefix(text.to_owned());
    let directory = with_rules(&[
        rule("alice/received", [prefix("[a]")]),
        rule("bob/received", [prefix("[b]"), prefix("[c]")]),
        rule("alice/received", [prefix("[d]")]),
    ]);
    let Passage { outcome, .. } = pass(&directory, &mail("stranger", "alice bob carol"));
    let texts = |n| outcome.subject_prefixes_of(n).collect::<Vec<_>>().concat();
    assert_eq!([texts(0), texts(1), texts(2)], ["[a][d]", "[b][c]", ""]);

    for (text, good) in [("[x]", true), ("", false), (" ", false), ("a\r\nBcc: b", false), (&"x".repeat(101), false)] {
        let [change] = &additions(&[rule("alice", [prefix(text)])])[..] else { panic!() };
        assert_eq!(change::apply(&fixture::acme(&[]), change).is_ok(), good, "{text:?}");
    }
}

#[test]
fn mail_in_the_name_of_a_shared_account_is_its_mail() {
    use crate::directory::{AccountSettings, Grant, Right};
    let directory = with_rules(&[rule("support/sent", [copy("erin:m")])]);
    let support = (**directory.account(account("support")).unwrap()).clone();
    let grants = vec![Grant { to: account("bob"), right: Right::SendAs }];
    let support = support.with_settings(AccountSettings { grants, ..AccountSettings::default() });
    let (directory, _) = change::apply(&directory, &Change::PutAccount(support)).unwrap();
    let sender = Sender::authenticated(&directory, account("bob"), ReversePath::Address(address("support")));
    let Passage { outcome, .. } = pass_with(&directory, &mail("auth bob", "pam"), sender);
    assert_eq!(outcome.copies.len(), 1);
}
