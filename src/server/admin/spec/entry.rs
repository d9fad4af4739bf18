//! What the text forms of references (see [`crate::directory::text`]) stand for in a directory.
//!
//! An address hosted for another organisation is external (policy semantics §1). What a record refers to and is gone is
//! left out of its description.

use std::fmt;

use super::Problem;
use super::amount::moment;
use super::problem::INVALID;
use crate::directory::text::{DEPARTMENT, DEPARTMENT_ONLY};
pub(super) use crate::directory::text::{GROUP, account_text, department_text, group_text, pattern_text};
use crate::directory::{
    AccountState, AddressPattern, DepartmentScope, Directory, Grant, Owner, Right, SenderEntry, Subject, Target,
};
use crate::mail::{AccountId, Address, DepartmentId, Domain, GroupId, OrganisationId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A right of an account on the object that lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantSpec {
    /// Who has it.
    pub to: String,
    /// What it allows.
    pub right: Right,
}

/// Turns text into references, and remembers everything that is none.
pub(super) struct Resolver<'a> {
    pub directory: &'a Directory,
    /// Whose object it is; addresses of others are external to it.
    pub organisation: Option<OrganisationId>,
    problems: Vec<Problem>,
}

/// Whose an address is.
enum Found {
    Account(AccountId),
    Group(GroupId),
    External(Address),
    Nobody,
}

impl<'a> Resolver<'a> {
    pub fn new(directory: &'a Directory, organisation: Option<OrganisationId>) -> Self {
        Self { directory, organisation, problems: Vec::new() }
    }

    /// The result if nothing was wrong.
    pub fn finish<T>(self, resolved: T) -> Result<T, Vec<Problem>> {
        if self.problems.is_empty() { Ok(resolved) } else { Err(self.problems) }
    }

    pub fn refuse<T>(&mut self, field: fmt::Arguments<'_>, value: &str, allowed: &str) -> Option<T> {
        self.refuse_as(INVALID, field, value, allowed)
    }

    pub fn refuse_as<T>(&mut self, key: &str, field: fmt::Arguments<'_>, value: &str, allowed: &str) -> Option<T> {
        self.problems.push(Problem::keyed(key, field, value, allowed));
        None
    }

    /// Each text of a list by `one`, without those that repeat an earlier one. Lists beyond every limit keep their
    /// repetitions: they are refused anyway, and finding them takes quadratic time.
    pub fn list<T: PartialEq>(
        &mut self,
        field: &str,
        texts: &[String],
        mut one: impl FnMut(&mut Self, fmt::Arguments<'_>, &str) -> Option<T>,
    ) -> Vec<T> {
        let mut found: Vec<T> = Vec::with_capacity(texts.len());
        for (n, text) in texts.iter().enumerate() {
            if let Some(item) = one(self, format_args!("{field}[{n}]"), text)
                && (texts.len() > LONGEST_LIST || !found.contains(&item))
            {
                found.push(item);
            }
        }
        found
    }

    pub fn address(&mut self, field: fmt::Arguments<'_>, text: &str) -> Option<Address> {
        match Address::parse(text) {
            Ok(address) => Some(address),
            Err(e) => self.refuse(field, text, &format!("an address ({e})")),
        }
    }

    pub fn domain(&mut self, field: fmt::Arguments<'_>, text: &str) -> Option<Domain> {
        match Domain::parse(text) {
            Ok(domain) => Some(domain),
            Err(e) => self.refuse(field, text, &format!("a domain ({e})")),
        }
    }

    pub fn moment(&mut self, field: fmt::Arguments<'_>, text: Option<&str>) -> Option<Timestamp> {
        let text = text?;
        match moment(text) {
            Some(at) => Some(at),
            None => self.refuse(field, text, "a time such as \"2026-12-24T18:00:00Z\" or a date"),
        }
    }

    /// The organisation of this name; without a name the one that is known already, or the only one.
    pub fn organisation(&mut self, field: fmt::Arguments<'_>, name: Option<&str>) -> Option<OrganisationId> {
        let known = |name: &str| self.directory.organisations().find(|o| o.name == name).map(|o| o.id);
        match name {
            Some(name) => match known(name) {
                Some(id) => Some(id),
                None => self.refuse(field, name, "the name of an organisation"),
            },
            None => {
                let mut all = self.directory.organisations();
                match (all.next(), all.next()) {
                    (Some(only), None) => Some(only.id),
                    _ => self.refuse(field, "", "the name of an organisation, since there is not exactly one"),
                }
            }
        }
    }

    /// An account of the organisation.
    pub fn account(&mut self, field: fmt::Arguments<'_>, text: &str) -> Option<AccountId> {
        let address = self.address(field, text)?;
        match self.find(&address) {
            Found::Account(id) => Some(id),
            Found::Group(_) | Found::External(_) | Found::Nobody => {
                self.refuse(field, text, "the address of an account of the organisation")
            }
        }
    }

    pub fn group(&mut self, field: fmt::Arguments<'_>, text: &str) -> Option<GroupId> {
        let address = self.address(field, text.strip_prefix(GROUP).unwrap_or(text))?;
        match self.find(&address) {
            Found::Group(id) => Some(id),
            Found::Account(_) | Found::External(_) | Found::Nobody => {
                self.refuse(field, text, "the address of a group of the organisation")
            }
        }
    }

    /// A department by its path: `/Sales/East`.
    pub fn department(&mut self, field: fmt::Arguments<'_>, path: &str) -> Option<DepartmentId> {
        let found = self.organisation.and_then(|o| self.directory.department_at(o, path));
        match found {
            Some(department) => Some(department.id),
            None => self.refuse(field, path, "the path of a department, such as \"/Sales/East\""),
        }
    }

    /// An entry that starts with one of the two words for departments.
    fn department_scope(&mut self, field: fmt::Arguments<'_>, text: &str) -> Option<Option<DepartmentScope>> {
        let (path, subtree) = match (text.strip_prefix(DEPARTMENT), text.strip_prefix(DEPARTMENT_ONLY)) {
            (Some(path), _) => (path, true),
            (None, Some(path)) => (path, false),
            (None, None) => return None,
        };
        Some(self.department(field, path).map(|department| DepartmentScope { department, subtree }))
    }

    pub fn target(&mut self, field: fmt::Arguments<'_>, text: &str) -> Option<Target> {
        if text.starts_with(GROUP) {
            return self.group(field, text).map(Target::Group);
        }
        let address = self.address(field, text)?;
        match self.find(&address) {
            Found::Account(id) => Some(Target::Account(id)),
            Found::Group(id) => Some(Target::Group(id)),
            Found::External(address) => Some(Target::External(address)),
            Found::Nobody => self.refuse(field, text, NOBODY),
        }
    }

    pub fn subject(&mut self, field: fmt::Arguments<'_>, text: &str) -> Option<Subject> {
        if let Some(scope) = self.department_scope(field, text) {
            return scope.map(Subject::Department);
        }
        if text.starts_with(GROUP) {
            return self.group(field, text).map(Subject::Group);
        }
        let address = self.address(field, text)?;
        match self.find(&address) {
            Found::Account(id) => Some(Subject::Account(id)),
            Found::Group(id) => Some(Subject::Group(id)),
            Found::External(_) | Found::Nobody => {
                self.refuse(field, text, "an account, group or department of the organisation")
            }
        }
    }

    pub fn sender(&mut self, field: fmt::Arguments<'_>, text: &str) -> Option<SenderEntry> {
        if let Some(scope) = self.department_scope(field, text) {
            return scope.map(SenderEntry::Department);
        }
        if let Some((domain, below)) = self.domain_pattern(field, text) {
            return domain.map(|d| if below { SenderEntry::Subdomains(d) } else { SenderEntry::Domain(d) });
        }
        self.target(field, text).map(|target| match target {
            Target::Account(id) => SenderEntry::Account(id),
            Target::Group(id) => SenderEntry::Group(id),
            Target::External(address) => SenderEntry::External(address),
        })
    }

    /// Unlike [`Self::sender`] it takes addresses that nobody has: a pattern may wait for them.
    pub fn pattern(&mut self, field: fmt::Arguments<'_>, text: &str) -> Option<AddressPattern> {
        if let Some(scope) = self.department_scope(field, text) {
            return scope.map(AddressPattern::Department);
        }
        if let Some((domain, below)) = self.domain_pattern(field, text) {
            return domain.map(|d| if below { AddressPattern::Subdomains(d) } else { AddressPattern::Domain(d) });
        }
        if text.starts_with(GROUP) {
            return self.group(field, text).map(AddressPattern::Group);
        }
        let address = self.address(field, text)?;
        Some(match self.find(&address) {
            Found::Account(id) => AddressPattern::Account(id),
            Found::Group(id) => AddressPattern::Group(id),
            Found::External(_) | Found::Nobody => AddressPattern::Address(address),
        })
    }

    pub fn grants(&mut self, grants: &[GrantSpec]) -> Vec<Grant> {
        let mut found: Vec<Grant> = Vec::new();
        for (n, grant) in grants.iter().enumerate() {
            found.extend(
                self.account(format_args!("grants[{n}].to"), &grant.to).map(|to| Grant { to, right: grant.right }),
            );
        }
        found.sort_unstable_by_key(|g| (g.to, g.right));
        found.dedup();
        found
    }

    /// The domain of `*@d`, `*@*.d` or `*.d`, and whether its subdomains are meant; `None` for other text.
    fn domain_pattern(&mut self, field: fmt::Arguments<'_>, text: &str) -> Option<(Option<Domain>, bool)> {
        let (name, below) = match text.strip_prefix("*@*.").or_else(|| text.strip_prefix("*.")) {
            Some(name) => (name, true),
            None => (text.strip_prefix("*@")?, false),
        };
        Some((self.domain(field, name), below))
    }

    fn find(&self, address: &Address) -> Found {
        let directory = self.directory;
        let ours = |organisation| self.organisation.is_none() || organisation == self.organisation;
        if !ours(address.domain().and_then(|d| directory.organisation_of(d))) {
            return Found::External(address.clone());
        }
        if let Some(account) = directory.holder(address) {
            // One in the recycle bin keeps what refers to it, for its return.
            return if account.state == AccountState::Removing { Found::Nobody } else { Found::Account(account.id) };
        }
        match directory.owner(address) {
            Owner::Account(account) => Found::Account(account.id),
            Owner::Group(group) => Found::Group(group.id),
            Owner::Nobody => Found::Nobody,
            Owner::Foreign => Found::External(address.clone()),
        }
    }
}

/// As [`account_text`]; a reference that cannot be left out shows the id of what is gone.
pub(super) fn account_or_id(directory: &Directory, id: AccountId) -> String {
    account_text(directory, id).unwrap_or_else(|| format!("account {id}, which is gone"))
}

pub(super) fn target_text(directory: &Directory, target: &Target) -> Option<String> {
    match target {
        Target::Account(id) => account_text(directory, *id),
        Target::Group(id) => group_text(directory, *id),
        Target::External(address) => Some(address.to_string()),
    }
}

pub(super) fn subject_text(directory: &Directory, subject: Subject) -> Option<String> {
    match subject {
        Subject::Account(id) => account_text(directory, id),
        Subject::Group(id) => group_text(directory, id),
        Subject::Department(scope) => department_text(directory, scope),
    }
}

pub(super) fn sender_text(directory: &Directory, entry: &SenderEntry) -> Option<String> {
    match entry {
        SenderEntry::Account(id) => account_text(directory, *id),
        SenderEntry::Group(id) => group_text(directory, *id),
        SenderEntry::Department(scope) => department_text(directory, *scope),
        SenderEntry::External(address) => Some(address.to_string()),
        SenderEntry::Domain(domain) => Some(format!("*@{domain}")),
        SenderEntry::Subdomains(domain) => Some(format!("*@*.{domain}")),
    }
}

pub(super) fn grant_texts(directory: &Directory, grants: &[Grant]) -> Vec<GrantSpec> {
    let text = |g: &Grant| Some(GrantSpec { to: account_text(directory, g.to)?, right: g.right });
    grants.iter().filter_map(text).collect()
}

const NOBODY: &str = "an account or group of the organisation, or an external address; nobody has this one";
/// No list of entries may be longer, members apart.
const LONGEST_LIST: usize = 1000;
