//! Decisions: facts to verdicts. Each file is one question with its `Facts` and its `decide`; what could not be learned
//! is a variant of the facts, and no error ever grants something (policy semantics §19).

pub mod message;
pub mod recipient;
pub mod reverse_path;
mod verdict;

pub use verdict::{Reason, Verdict};
