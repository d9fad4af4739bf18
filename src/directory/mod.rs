//! Who exists, as one immutable snapshot: domains, accounts, aliases. Every change is a [`Change`] checked by
//! [`change::apply`] (policy semantics §1, §4, §5). Pure.

pub mod change;
pub mod record;
mod snapshot;

pub use change::{Change, Refusal};
pub use record::{Account, AccountState, Alias, DomainRecord, RecordError, ScramVerifier};
pub use snapshot::{Directory, Lookup};
