//! The shape of every object as people read and write it: names and addresses instead of ids. The API answers and
//! takes it as JSON, a file for `apply` holds it as TOML, the audit log keeps it.
//!
//! A shape is resolved against a [`Directory`](crate::directory::Directory) to a record, which names every bad value,
//! and a record is described as a shape; describing what was resolved gives the shape back in its plainest form.
//! [`entry`] says how members, patterns and targets are written. Pure.

mod account;
mod amount;
mod difference;
mod entry;
mod file;
mod group;
mod lists;
mod organisation;
mod plan;
mod problem;
mod prune;
mod rule;

pub use account::{
    AccountSpec, AdminForwardSpec, AliasSpec, AutoReplySpec, ConfirmedTarget, ForwardSpec, ForwardTargetSpec,
    ScopeSpec, ScopeWord,
};
pub use amount::{Octets, moment};
pub use difference::{Difference, Object};
pub use entry::GrantSpec;
pub use file::File;
pub use group::{Authority, GroupSpec, MemberSpec, ModerationSpec, NestedSpec};
pub use lists::{BlockedSpec, DomainBlockedSpec};
pub use organisation::{DepartmentSpec, DomainSpec, OrganisationSpec, RelaySpec};
pub use plan::{FilePlan, NewPassword, directory_from_toml, plan};
pub use problem::Problem;
pub use rule::{
    ActionSpec, ApproversSpec, ConditionSpec, DepartmentManager, Everyone, HoldSpec, MonitorCopySpec, RuleScopeSpec,
    RuleSpec,
};

/// For `skip_serializing_if`: what is at its default need not be shown.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_true(value: &bool) -> bool {
    *value
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests;
