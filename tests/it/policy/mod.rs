//! The decision tables of policy semantics §21 as a peer sees them: a server with the fixture of §2, sessions from chosen
//! addresses, a DNS of the test's own, DKIM signatures that verify or do not.
//!
//! Left to the tests of the pure functions, since no peer can bring them about: P58 (policy data unreadable), N09 and N10
//! (cycles, which the API refuses), E16 to E18 and E24 (time passes, or 100,001 members).

mod acme;
mod attacks;
mod audit;
mod auto_replies;
mod expansion;
mod follow_ups;
mod forwarding;
mod gateways;
mod group_permissions;
mod locking;
mod lookup;
mod mail_rules;
mod moderation;
mod nested_groups;
mod ownership;
mod relays;
mod replies;
mod row;
mod single_copy;
mod states;
mod transparency;

/// Rows that are not as the semantics say, and why. Each must fail, or it is to be taken off the list.
const KNOWN_GAPS: &[(&str, &str)] = &[("U05", "FETCH writes no record of the first look at a monitored copy")];

fn is_known_gap(id: &str) -> bool {
    KNOWN_GAPS.iter().any(|(row, _)| *row == id)
}
