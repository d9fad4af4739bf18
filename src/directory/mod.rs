//! Who exists, as one immutable snapshot: organisations, domains, departments, accounts, aliases, groups, mail rules and
//! trusted hosts. Every change is a [`Change`] checked by [`change::apply`] (policy semantics §1, §4 to §13). Pure.

pub mod change;
pub mod record;
pub mod text;

#[cfg(test)]
pub mod fixture;
mod lookup;
mod rule_index;
mod snapshot;

pub use change::{Change, Refusal};
pub use lookup::{Lookup, Owner, Principal, Step};
pub use record::{
    Account, AccountKind, AccountSettings, AccountState, Action, AddressPattern, AdminForward, Alias, Approvers,
    AutoReply, BlockAction, Blocked, Condition, CopyForm, Credentials, Department, DepartmentScope, Direction, DkimKey,
    DmarcHandling, DomainBlockAction, DomainBlocked, DomainKeys, DomainRecord, Edge, ExternalForward, Forward,
    ForwardTarget, Grant, Group, Hold, HoldOutcome, Incoming, KeyPair, KeyState, Listing, Members, Mode, Moderated,
    Moderation, MonitorCopy, Nested, Organisation, Peer, Place, PrivateKey, RecordError, Relay, RelayKind, Right, Rule,
    RuleScope, Scope, ScramVerifier, SenderEntry, Subject, Suspension, SuspensionCause, Target, is_subdomain,
};
pub use rule_index::{Clues, ContentClues, RuleIndex};
pub use snapshot::Directory;
