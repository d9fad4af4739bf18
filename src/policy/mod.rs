//! Decisions: facts to verdicts. Each file is one question with its `Facts` and its `decide`; what could not be learned
//! is a variant of the facts, and no error ever grants something (policy semantics §19).

pub mod administration;
pub mod answer;
pub mod auto_reply;
pub mod blocklist;
pub mod dmarc;
pub mod gateway;
pub mod group;
pub mod lists;
pub mod login;
pub mod message;
pub mod ownership;
pub mod published;
pub mod rate;
pub mod recipient;
pub mod reverse_path;
pub mod scope;
pub mod sender;

mod access;
mod verdict;

pub use access::Access;
pub use verdict::{Reason, Verdict};
