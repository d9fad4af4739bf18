//! How references to objects are written: for people who read and write them, and for whoever reads logs.
//!
//! | text | stands for |
//! | --- | --- |
//! | `alice@corp.test` | the account or group that has the address; an external address if it is not hosted here |
//! | `group:g-mem@corp.test` | the group |
//! | `department:/Sales` | the department with those below it |
//! | `department-only:/Sales` | the department alone |
//! | `*@trusted.test` | every address of exactly this domain |
//! | `*@*.trusted.test`, `*.trusted.test` | every address of its subdomains |
//!
//! `None` for what is gone.

use super::{AddressPattern, DepartmentScope, Directory};
use crate::mail::{AccountId, GroupId};

/// An account's primary address.
pub fn account_text(directory: &Directory, id: AccountId) -> Option<String> {
    directory.account(id).map(|a| a.address.to_string())
}

/// A group.
pub fn group_text(directory: &Directory, id: GroupId) -> Option<String> {
    directory.group(id).map(|g| format!("{GROUP}{}", g.address))
}

/// A department, with or without those below it.
pub fn department_text(directory: &Directory, scope: DepartmentScope) -> Option<String> {
    let word = if scope.subtree { DEPARTMENT } else { DEPARTMENT_ONLY };
    directory.department_path(scope.department).map(|path| format!("{word}{path}"))
}

/// A pattern of addresses.
pub fn pattern_text(directory: &Directory, pattern: &AddressPattern) -> Option<String> {
    match pattern {
        AddressPattern::Account(id) => account_text(directory, *id),
        AddressPattern::Group(id) => group_text(directory, *id),
        AddressPattern::Department(scope) => department_text(directory, *scope),
        AddressPattern::Address(address) => Some(address.to_string()),
        AddressPattern::Domain(domain) => Some(format!("*@{domain}")),
        AddressPattern::Subdomains(domain) => Some(format!("*@*.{domain}")),
    }
}

/// Stands before the address of a group that is meant as a group.
pub const GROUP: &str = "group:";
/// Stands before the path of a department that is meant with those below it.
pub const DEPARTMENT: &str = "department:";
/// Stands before the path of a department that is meant alone.
pub const DEPARTMENT_ONLY: &str = "department-only:";
