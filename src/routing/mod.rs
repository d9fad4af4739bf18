//! Where a message goes (policy semantics §4 to §13): from forward-paths to recipients, from recipients through groups
//! to people, and what mail rules make of it.

pub mod rules;

mod expand;
mod explain;
mod plan;
mod resolve;

pub use expand::{
    Addressed, Closed, Delivery, Expansion, HeldGroup, MAX_DELIVERIES, MAX_DEPTH, Receiver, Skipped, Via, admit,
    expand, expand_approved,
};
pub use explain::{Explanation, Finding, explain, explain_question};
pub use plan::{FORWARD_HOPS, Facts, Folder, Junk, Local, Omitted, Plan, Remote, Return, plan};
pub use resolve::{
    Resolution, all_allow, all_refuse, destination, external_members, is_beyond_scope, look_up, refuses_all, resolve,
};

#[cfg(test)]
mod tests;
