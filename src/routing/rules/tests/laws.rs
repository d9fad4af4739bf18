//! Properties of any set of rules (policy semantics §22).

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;

fn scopes() -> impl Strategy<Value = String> {
    let subjects = select(vec!["everyone", "alice", "bob", "erin", "g-any", "g-mem"]);
    let directions = select(vec!["both", "sent", "received"]);
    let peers = select(vec!["any", "internal", "external"]);
    (subjects, directions, peers).prop_map(|(subject, direction, peer)| format!("{subject}/{direction}/{peer}"))
}

fn conditions() -> impl Strategy<Value = Condition> {
    select(vec![
        keyword(Place::Subject, "marks"),
        keyword(Place::Body, "text"),
        keyword(Place::Body, "nowhere"),
        Condition::HasAttachment,
        Condition::Size { min: Some(1), max: None },
        Condition::Sender(vec![AddressPattern::Address(address("stranger"))]),
        Condition::Recipient(vec![AddressPattern::Group(group("g-any"))]),
    ])
}

fn copying() -> impl Strategy<Value = Action> {
    select(vec![copy("erin:m"), copy("erin"), copy("dave:n"), copy("bob:m"), copy("frank:m")])
}

fn ends() -> impl Strategy<Value = Action> {
    let redirect = Action::Redirect(vec![target("dave")]);
    select(vec![reject(), reject_with_copy("erin:r"), hold("dave"), redirect, Action::Quarantine, Action::Discard])
}

fn actions() -> impl Strategy<Value = Action> {
    let others = select(vec![tag(), Action::Junk, Action::Stop, Action::Forward(vec![target("pam")])]);
    prop_oneof![copying(), ends(), others]
}

fn rules_of(actions: impl Strategy<Value = Action>) -> impl Strategy<Value = Vec<Rule>> {
    let parts = (scopes(), prop::option::of(conditions()), prop::option::of(conditions()), 0..3_u32);
    let all = (parts, prop::collection::vec(actions, 1..3));
    let rules = all.prop_map(|((text, condition, exception, priority), actions)| Rule {
        conditions: condition.into_iter().collect(),
        exceptions: exception.into_iter().collect(),
        priority,
        ..rule(&text, actions)
    });
    prop::collection::vec(rules, 1..6)
}

/// Conditions of every kind, of which some hold for [`contents`].
fn any_condition() -> impl Strategy<Value = Condition> {
    let words =
        |least| prop::collection::vec(select(vec!["marks", "secret", "TEXT", "plan", "机密", " ", "x m"]), least..3);
    let places = prop::collection::vec(select(vec![Place::Subject, Place::Body, Place::AttachmentName]), 1..3);
    let phrases = |words: Vec<&str>| words.into_iter().map(Phrase::new).collect::<Vec<_>>();
    let domain = |name| Domain::parse(name).unwrap();
    let pattern = select(vec![
        AddressPattern::Domain(domain("ext.test")),
        AddressPattern::Domain(domain("corp.test")),
        AddressPattern::Subdomains(domain("test")),
        AddressPattern::Subdomains(domain("ext.test")),
        AddressPattern::Address(address("PAM@partner.test")),
        AddressPattern::Account(account("alice")),
        AddressPattern::Group(group("g-any")),
    ]);
    let patterns = || prop::collection::vec(pattern.clone(), 1..3);
    let bounds =
        select(vec![(Some(1), None), (Some(40), None), (None, Some(60)), (Some(40), Some(60)), (Some(999), None)]);
    let name = select(vec!["x-mailer", "Subject", "X-None"]);
    prop_oneof![
        (places, words(1)).prop_map(move |(places, w)| Condition::Keyword { places, values: phrases(w) }),
        patterns().prop_map(Condition::Sender),
        patterns().prop_map(Condition::Recipient),
        bounds.prop_map(|(min, max)| Condition::Size { min, max }),
        (name, words(0)).prop_map(move |(name, w)| Condition::Header { name: name.into(), contains: phrases(w) }),
        Just(Condition::HasAttachment),
        prop::collection::vec(select(vec!["*.pdf", "机*", "*.exe"]), 1..3)
            .prop_map(|names| Condition::AttachmentName(names.into_iter().map(NamePattern::new).collect())),
    ]
}

fn contents() -> impl Strategy<Value = &'static str> {
    select(vec![
        "Subject: x marks\r\n\r\ntext\r\n",
        "Subject: secret\r\nX-Mailer: the plan\r\n\r\nnothing",
        "Subject: =?utf-8?b?5py65a+G?=\r\n\r\nSecret \r\nplan, x  m\r\n",
        content::NAMED,
        content::BROKEN,
        content::INLINE,
        content::SMIME,
        "",
    ])
}

fn any_rules() -> impl Strategy<Value = Vec<Rule>> {
    let conditions = || prop::collection::vec(any_condition(), 0..3);
    let from = select(vec![None, Some(NOW), Some(Timestamp::from_seconds(2_000_000))]);
    let all = (scopes(), conditions(), prop::option::of(any_condition()), actions(), 0..3_u32, any::<bool>(), from);
    let rules = all.prop_map(|(text, conditions, exception, action, priority, uninspected, valid_from)| Rule {
        conditions,
        exceptions: exception.into_iter().collect(),
        priority,
        match_uninspected: uninspected,
        valid_from,
        ..rule(&text, [action])
    });
    prop::collection::vec(rules, 1..9)
}

fn mails() -> impl Strategy<Value = Mail> {
    let from = select(vec!["stranger", "pam", "auth alice", "auth bob", "unauth alice@corp.test", "<>"]);
    let to = subsequence(vec!["alice", "bob", "erin", "pam", "g-any", "g-mod", "postmaster"], 1..7);
    (from, to).prop_map(|(from, to)| mail(from, &to.join(" ")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_index_finds_what_asking_each_rule_finds(rules in any_rules(), mail in mails(), content in contents()) {
        let (directory, mail) = (with_rules(&rules), mail.with(content));
        let found = pass(&directory, &mail);
        let each = pass_by(&directory, &mail, mail.sender(&directory), |d, m, e| Candidates::one_by_one(d, m, e));
        prop_assert_eq!(found.outcome, each.outcome);
        prop_assert_eq!(found.needed_content, each.needed_content);
    }
}

proptest! {
    #[test]
    fn an_exception_never_adds_a_match(
        rules in rules_of(actions()),
        mail in mails(),
        exception in conditions(),
        subject in select(vec!["alice", "bob", "g-any", "/Sales/*"]),
    ) {
        for rule in rules {
            let matches = |rule: Rule| !pass(&with_rules(&[rule]), &mail).outcome.matched.is_empty();
            let before = matches(rule.clone());
            prop_assert!(before || !matches(rule.clone().unless(exception.clone())), "{rule:?}");
            prop_assert!(before || !matches(rule.clone().except(subject)), "{rule:?}");
        }
    }

    #[test]
    fn copies_change_nothing_else(rules in rules_of(copying()), mail in mails()) {
        let (with, without) = (pass(&with_rules(&rules), &mail), pass(&with_rules(&[]), &mail));
        let Outcome { matched, is_incomplete, copies, .. } = with.outcome.clone();
        prop_assert_eq!(with.outcome, Outcome { matched, is_incomplete, copies, ..Outcome::default() });
        prop_assert_eq!((with.plan.local, with.plan.remote), (without.plan.local, without.plan.remote));
    }

    #[test]
    fn nobody_gets_two_copies(rules in rules_of(actions()), mail in mails()) {
        let outcome = pass(&with_rules(&rules), &mail).outcome;
        for held in std::iter::once(&[][..]).chain(outcome.held.iter().map(|h| &h.copies[..])) {
            let receivers: Vec<AccountId> = outcome.copies.iter().chain(held).map(|c| c.to.unwrap_or(c.monitor)).collect();
            let distinct: BTreeSet<AccountId> = receivers.iter().copied().collect();
            prop_assert_eq!(receivers.len(), distinct.len());
        }
    }

    #[test]
    fn each_delivery_has_one_end(rules in rules_of(actions()), mail in mails()) {
        let Passage { outcome, expansion, .. } = pass(&with_rules(&rules), &mail);
        let parts = outcome.redirected.iter().map(|r| &r.part);
        let parts = parts.chain(outcome.quarantined.iter().map(|q| &q.part));
        let parts = parts.chain(outcome.rejected.iter().map(|r| &r.part)).chain(outcome.held.iter().map(|h| &h.part));
        let mut places: Vec<usize> = parts.flat_map(|p| p.deliveries.iter().copied()).collect();
        let discarded = outcome.ended.iter().filter(|(_, ended)| ended.by == End::Discarded);
        places.extend(discarded.map(|(place, _)| *place));
        places.sort_unstable();
        prop_assert_eq!(places, outcome.ended.keys().copied().collect::<Vec<_>>());
        for (place, delivery) in expansion.deliveries.iter().enumerate() {
            let is_exempt = delivery.via == crate::routing::Via::Postmaster;
            prop_assert!(!(is_exempt && (outcome.ended.contains_key(&place) || outcome.refused.is_some())));
        }
    }

    #[test]
    fn the_order_of_rules_of_equal_effect_does_not_matter(rules in rules_of(ends()), mail in mails(), end in ends()) {
        let same: Vec<Rule> = rules.into_iter().map(|r| Rule { priority: 0, actions: vec![end.clone()], ..r }).collect();
        let reversed: Vec<Rule> = same.iter().rev().cloned().collect();
        let (one, other) = (pass(&with_rules(&same), &mail), pass(&with_rules(&reversed), &mail));
        prop_assert_eq!(one.outcome.refused.is_some(), other.outcome.refused.is_some());
        prop_assert_eq!(one.outcome.ended(), other.outcome.ended());
        prop_assert_eq!((one.plan.local, one.plan.remote), (other.plan.local, other.plan.remote));
    }
}
