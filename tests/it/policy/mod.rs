//! The decision tables of policy semantics §21 as a peer sees them: a server with the fixture of §2, sessions from chosen
//! addresses, a DNS of the test's own, DKIM signatures that verify or do not.
//!
//! Most rows run against a process of its own. Those in which time passes or the disk fails run against sessions within
//! this process (`passing_time`); for those of data that no API writes the store is edited while the server is stopped
//! (`edited`). `coverage` holds the list of all rows, and of those that are not shown here with the reason.

mod acme;
mod administration;
mod answers;
mod attacks;
mod audit;
mod auto_replies;
mod blocklists;
mod conditions;
mod coverage;
mod edited;
mod expansion;
mod follow_ups;
mod forms;
mod forwarding;
mod gateways;
mod group_permissions;
mod lists;
mod locking;
mod lookup;
mod mail_rules;
mod moderation;
mod nested_groups;
mod ownership;
mod passing_time;
mod person;
mod rates;
mod relays;
mod replies;
mod row;
mod single_copy;
mod states;
mod transparency;

pub use acme::auth_plain;

/// Rows that are not as the semantics say, and why. Each must fail, or it is to be taken off the list.
const KNOWN_GAPS: &[(&str, &str)] = &[];

fn is_known_gap(id: &str) -> bool {
    KNOWN_GAPS.iter().any(|(row, _)| *row == id)
}
