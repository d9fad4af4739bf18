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

fn mails() -> impl Strategy<Value = Mail> {
    let from = select(vec!["stranger", "pam", "auth alice", "auth bob", "unauth alice@corp.test", "<>"]);
    let to = subsequence(vec!["alice", "bob", "erin", "pam", "g-any", "g-mod", "postmaster"], 1..7);
    (from, to).prop_map(|(from, to)| mail(from, &to.join(" ")))
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
