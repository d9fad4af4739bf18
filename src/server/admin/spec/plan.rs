//! What a file changes: every object it names becomes as it says, in one step.
//!
//! First come the new objects without what they refer to, in the order of the file, then every object as a whole: so
//! objects may refer to each other in any order, and a shape is resolved against a directory that has all of them. An
//! object that is as the file says already is not touched.

use std::collections::HashSet;

use super::file::File;
use super::prune;
use super::{
    AccountSpec, AliasSpec, Authority, DepartmentSpec, DomainSpec, GroupSpec, Object, Problem, RelaySpec, RuleSpec,
};
use crate::directory::change::{Change, Draft};
use crate::directory::{Account, Directory, Group, Refusal};
use crate::mail::{AccountId, Address, Domain, Timestamp};
use crate::server::admin::error::refusal_key;

/// What a file would do.
#[derive(Debug)]
pub struct FilePlan {
    /// In an order in which each is allowed.
    pub changes: Vec<Change>,
    /// The directory after them.
    pub directory: Directory,
    /// What they touch.
    pub touched: Vec<Object>,
    /// New accounts, in the order of their ids.
    pub new_accounts: Vec<AccountId>,
    /// The passwords that the file gives to new accounts.
    pub passwords: Vec<NewPassword>,
}

/// A password for a new account.
#[derive(Clone, PartialEq, Eq)]
pub struct NewPassword {
    /// Whose.
    pub account: AccountId,
    /// As written.
    pub password: String,
}

/// Without the password.
impl std::fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewPassword").field("account", &self.account).finish_non_exhaustive()
    }
}

/// The directory that a file describes, with ids in the order of the file.
pub fn directory_from_toml(text: &str) -> Result<Directory, Vec<Problem>> {
    let (file, problems) = File::parse(text);
    plan(&file, problems, &Directory::default(), Timestamp::from_millis(0)).map(|plan| plan.directory)
}

/// What `file` changes in `directory`; every problem, those that reading it had included, if there are any.
pub fn plan(
    file: &File<'_>,
    problems: Vec<Problem>,
    directory: &Directory,
    now: Timestamp,
) -> Result<FilePlan, Vec<Problem>> {
    let draft = Draft::new(directory);
    let mut planner = Planner {
        file,
        before: directory,
        draft,
        now,
        changes: Vec::new(),
        touched: Vec::new(),
        seen: HashSet::new(),
        new_accounts: Vec::new(),
        passwords: Vec::new(),
        problems,
    };
    planner.check_names();
    prune::addresses(&mut planner);
    planner.add_missing();
    planner.set_all();
    prune::places(&mut planner);
    let Planner { draft, changes, touched, new_accounts, passwords, mut problems, .. } = planner;
    if !problems.is_empty() {
        problems.sort_by_key(|p| p.line);
        problems.dedup();
        return Err(problems);
    }
    let (after, _) = draft.finish();
    Ok(FilePlan { changes, directory: after, touched, new_accounts, passwords })
}

pub(super) struct Planner<'a> {
    pub file: &'a File<'a>,
    pub before: &'a Directory,
    pub draft: Draft,
    now: Timestamp,
    changes: Vec<Change>,
    touched: Vec<Object>,
    seen: HashSet<Object>,
    new_accounts: Vec<AccountId>,
    passwords: Vec<NewPassword>,
    pub problems: Vec<Problem>,
}

impl Planner<'_> {
    /// Makes a change, or remembers why it cannot be.
    pub fn make(&mut self, kind: &str, n: usize, name: &str, change: Change) -> bool {
        match self.draft.apply(&change) {
            Ok(()) => {
                self.changes.push(change);
                true
            }
            Err(refusal) => {
                let problem = refused(&refusal);
                self.problems.extend(self.file.place(kind, n, name, vec![problem]));
                false
            }
        }
    }

    /// Makes a change that the file does not name; `false` if it is refused.
    pub fn try_change(&mut self, change: Change) -> Result<(), Refusal> {
        self.draft.apply(&change)?;
        self.changes.push(change);
        Ok(())
    }

    fn resolved<T>(&mut self, kind: &str, n: usize, name: &str, result: Result<T, Vec<Problem>>) -> Option<T> {
        match result {
            Ok(record) => Some(record),
            Err(problems) => {
                self.problems.extend(self.file.place(kind, n, name, problems));
                None
            }
        }
    }

    fn used_up(&mut self, kind: &str, n: usize, name: &str) {
        let problem = refused(&Refusal::Limit(format!("no further {kind} ids")));
        self.problems.extend(self.file.place(kind, n, name, vec![problem]));
    }

    /// No object twice.
    fn check_names(&mut self) {
        let file = self.file;
        let address =
            |text: &str| Address::parse(text).map_or_else(|_| text.to_owned(), |a| a.key().as_str().to_owned());
        let mut seen = HashSet::new();
        let mut twice = Vec::new();
        let mut see = |kind: &'static str, n: usize, name: &str, key: String| {
            if !seen.insert((kind, key)) {
                twice.push((kind, n, name.to_owned()));
            }
        };
        file.organisations.iter().for_each(|(n, s)| see("organisation", *n, &s.name, s.name.clone()));
        file.domains.iter().for_each(|(n, s)| see("domain", *n, &s.name, s.name.to_lowercase()));
        let path = |s: &DepartmentSpec| format!("{}:{}", s.organisation.as_deref().unwrap_or_default(), s.path);
        file.departments.iter().for_each(|(n, s)| see("department", *n, &s.path, path(s)));
        file.accounts.iter().for_each(|(n, s)| see("account", *n, &s.address, address(&s.address)));
        file.aliases.iter().for_each(|(n, s)| see("alias", *n, &s.address, address(&s.address)));
        file.groups.iter().for_each(|(n, s)| see("group", *n, &s.address, address(&s.address)));
        let rule = |s: &RuleSpec| format!("{}:{}", s.organisation.as_deref().unwrap_or_default(), s.name);
        file.rules.iter().for_each(|(n, s)| see("rule", *n, &s.name, rule(s)));
        file.relays.iter().for_each(|(n, s)| see("relay", *n, &s.network, s.network.clone()));
        for (kind, n, name) in twice {
            let problem = Problem::invalid("", "", "each object once; this one is in the file already");
            self.problems.extend(self.file.place(kind, n, &name, vec![problem]));
        }
    }

    /// New objects, without what they refer to.
    fn add_missing(&mut self) {
        self.put_organisations();
        // A second name needs the first.
        for second in [false, true] {
            for (n, spec) in self.file.domains.iter().filter(|(_, s)| s.alias_of.is_some() == second) {
                self.add_domain(*n, spec);
            }
        }
        let mut departments: Vec<&(usize, DepartmentSpec)> = self.file.departments.iter().collect();
        departments.sort_by_key(|(_, spec)| spec.path.matches('/').count());
        departments
            .iter()
            .for_each(|(n, spec)| self.put_department(*n, &DepartmentSpec { manager: None, ..spec.clone() }, true));
        self.file.accounts.iter().for_each(|(n, spec)| self.add_account(*n, spec));
        self.file.groups.iter().for_each(|(n, spec)| self.add_group(*n, spec));
        self.file.aliases.iter().for_each(|(n, spec)| self.put_alias(*n, spec));
    }

    /// Every object as the file says.
    fn set_all(&mut self) {
        self.file.domains.iter().for_each(|(n, spec)| self.set_domain(*n, spec));
        self.file.departments.iter().for_each(|(n, spec)| self.put_department(*n, spec, false));
        // Who becomes an admin comes before who ceases to be one: the last stays.
        let is_admin = |s: &AccountSpec| s.admin && s.state.is_active();
        for admins in [true, false] {
            for (n, spec) in self.file.accounts.iter().filter(|(_, s)| is_admin(s) == admins) {
                self.set_account(*n, spec);
            }
        }
        self.set_groups();
        self.file.rules.iter().for_each(|(n, spec)| self.put_rule(*n, spec));
        self.file.relays.iter().for_each(|(n, spec)| self.put_relay(*n, spec));
    }

    fn put_organisations(&mut self) {
        for (n, spec) in &self.file.organisations {
            let old = self.draft.directory().organisations().find(|o| o.name == spec.name).cloned();
            let id = old.as_ref().map(|o| o.id).or_else(|| self.draft.directory().new_organisation_id(0));
            let Some(id) = id else { return self.used_up("organisation", *n, &spec.name) };
            let record = spec.resolve(id, old.as_ref().map_or(self.now, |o| o.created));
            if old.is_none_or(|old| *old != record)
                && self.make("organisation", *n, &spec.name, Change::PutOrganisation(record))
            {
                self.touch(Object::Organisation(id));
            }
        }
    }

    fn add_domain(&mut self, n: usize, spec: &DomainSpec) {
        let directory = self.draft.directory();
        if Domain::parse(&spec.name).is_ok_and(|name| directory.domain(&name).is_some()) {
            return;
        }
        let Some(id) = directory.new_domain_id(0) else { return self.used_up("domain", n, &spec.name) };
        let bare = DomainSpec { catch_all: None, blocked: Vec::new(), allowed: Vec::new(), ..spec.clone() };
        let bare = bare.resolve(directory, id, self.now);
        let Some(record) = self.resolved("domain", n, &spec.name, bare) else { return };
        if self.make("domain", n, &spec.name, Change::PutDomain(record)) {
            self.touch(Object::Domain(id));
        }
    }

    fn set_domain(&mut self, n: usize, spec: &DomainSpec) {
        let directory = self.draft.directory();
        let name = Domain::parse(&spec.name).ok();
        let Some(old) = name.as_ref().and_then(|name| directory.domain(name)).cloned() else { return };
        let result = spec.resolve(directory, old.id, old.created);
        let Some(record) = self.resolved("domain", n, &spec.name, result) else { return };
        if *old != record && self.make("domain", n, &spec.name, Change::PutDomain(record)) {
            self.touch(Object::Domain(old.id));
        }
    }

    /// `only_new`: leaves those alone that exist.
    fn put_department(&mut self, n: usize, spec: &DepartmentSpec, only_new: bool) {
        let directory = self.draft.directory();
        let Some(spare) = directory.new_department_id(0) else { return self.used_up("department", n, &spec.path) };
        let result = spec.resolve(directory, spare);
        let Some(mut record) = self.resolved("department", n, &spec.path, result) else { return };
        let directory = self.draft.directory();
        let old = directory.department_at(record.organisation, &spec.path).cloned();
        if let Some(old) = old {
            record.id = old.id;
            if only_new || *old == record {
                return;
            }
        }
        let id = record.id;
        if self.make("department", n, &spec.path, Change::PutDepartment(record)) {
            self.touch(Object::Department(id));
        }
    }

    fn add_account(&mut self, n: usize, spec: &AccountSpec) {
        let directory = self.draft.directory();
        let Ok(address) = Address::parse(&spec.address) else {
            let result = spec.resolve(directory, &nobody(self.now));
            self.resolved("account", n, &spec.address, result);
            return;
        };
        if directory.account_at(&address).is_some() {
            return;
        }
        let Some(id) = directory.new_account_id(0) else { return self.used_up("account", n, &spec.address) };
        let account = Account { kind: spec.kind, ..Account::new(id, address, self.now) };
        if self.make("account", n, &spec.address, Change::PutAccount(account)) {
            self.new_accounts.push(id);
            self.touch(Object::Account(id));
            self.passwords.extend(spec.password.clone().map(|password| NewPassword { account: id, password }));
        }
    }

    fn set_account(&mut self, n: usize, spec: &AccountSpec) {
        let directory = self.draft.directory();
        let address = Address::parse(&spec.address).ok();
        let Some(old) = address.as_ref().and_then(|a| directory.account_at(a)).cloned() else { return };
        let result = spec.resolve(directory, &old);
        let Some(record) = self.resolved("account", n, &spec.address, result) else { return };
        if *old != record && self.make("account", n, &spec.address, Change::PutAccount(record)) {
            self.touch(Object::Account(old.id));
        }
    }

    fn put_alias(&mut self, n: usize, spec: &AliasSpec) {
        let directory = self.draft.directory();
        let old = Address::parse(&spec.address).ok().and_then(|a| directory.alias_at(&a)).cloned();
        let Some(spare) = directory.new_alias_id(0) else { return self.used_up("alias", n, &spec.address) };
        let result = spec.resolve(directory, old.as_ref().map_or(spare, |a| a.id));
        let Some(mut record) = self.resolved("alias", n, &spec.address, result) else { return };
        match old {
            Some(old) if *old == record => return,
            // An alias keeps its account; another's is another alias.
            Some(old) if old.account != record.account => {
                if !self.make("alias", n, &spec.address, Change::RemoveAlias(old.id)) {
                    return;
                }
                self.touch(Object::Alias(old.id));
                record.id = spare;
            }
            _ => {}
        }
        let id = record.id;
        if self.make("alias", n, &spec.address, Change::PutAlias(record)) {
            self.touch(Object::Alias(id));
        }
    }

    fn add_group(&mut self, n: usize, spec: &GroupSpec) {
        let directory = self.draft.directory();
        let Some(id) = directory.new_group_id(0) else { return self.used_up("group", n, &spec.address) };
        let Ok(address) = Address::parse(&spec.address) else {
            let blank = Group::new(id, nobody(self.now).address, self.now);
            let result = GroupSpec::new(spec.address.clone()).resolve(directory, &blank, Authority::Admin);
            self.resolved("group", n, &spec.address, result);
            return;
        };
        if directory.group_at(&address).is_some_and(|g| g.address == address) {
            return;
        }
        if self.make("group", n, &spec.address, Change::PutGroup(Group::new(id, address, self.now))) {
            self.touch(Object::Group(id));
        }
    }

    fn set_groups(&mut self) {
        let mut wanted = Vec::new();
        for (n, spec) in &self.file.groups {
            let directory = self.draft.directory();
            let Some(old) = Address::parse(&spec.address).ok().and_then(|a| directory.group_at(&a)).cloned() else {
                continue;
            };
            let result = spec.resolve(directory, &old, Authority::Admin);
            match self.resolved("group", *n, &spec.address, result) {
                Some(record) if *old != record => wanted.push((*n, spec, old, record)),
                _ => {}
            }
        }
        // Groups that change places would seem to hold each other for a moment.
        for (n, spec, old, record) in &wanted {
            if !old.members.groups.is_empty() && old.members.groups != record.members.groups {
                let mut bare = (**old).clone();
                bare.members.groups.clear();
                self.make("group", *n, &spec.address, Change::PutGroup(bare));
            }
        }
        for (n, spec, old, record) in wanted {
            if self.make("group", n, &spec.address, Change::PutGroup(record)) {
                self.touch(Object::Group(old.id));
            }
        }
    }

    fn put_rule(&mut self, n: usize, spec: &RuleSpec) {
        let directory = self.draft.directory();
        let Some(spare) = directory.new_rule_id(0) else { return self.used_up("rule", n, &spec.name) };
        let result = spec.resolve(directory, spare, self.now);
        let Some(mut record) = self.resolved("rule", n, &spec.name, result) else { return };
        let mut rules = self.draft.directory().rules().iter();
        if let Some(old) = rules.find(|r| r.organisation == record.organisation && r.name == record.name) {
            (record.id, record.created) = (old.id, old.created);
            if **old == record {
                return;
            }
        }
        let id = record.id;
        if self.make("rule", n, &spec.name, Change::PutRule(record)) {
            self.touch(Object::Rule(id));
        }
    }

    fn put_relay(&mut self, n: usize, spec: &RelaySpec) {
        let Some(spare) = self.draft.directory().new_relay_id(0) else {
            return self.used_up("relay", n, &spec.network);
        };
        let Some(mut record) = self.resolved("relay", n, &spec.network, spec.resolve(spare)) else { return };
        if let Some(old) = self.draft.directory().relays().find(|r| r.network == record.network) {
            record.id = old.id;
            if **old == record {
                return;
            }
        }
        let id = record.id;
        if self.make("relay", n, &spec.network, Change::PutRelay(record)) {
            self.touch(Object::Relay(id));
        }
    }

    /// Remembers what is not as it was.
    pub fn touch(&mut self, object: Object) {
        if self.seen.insert(object) {
            self.touched.push(object);
        }
    }
}

/// A refusal as a problem of the object that was refused.
pub(super) fn refused(refusal: &Refusal) -> Problem {
    Problem::keyed(refusal_key(refusal), "", "", refusal.to_string())
}

/// Stands for the old record of an object whose address cannot be read: only its problems are wanted.
fn nobody(now: Timestamp) -> Account {
    let local = crate::mail::Address::parse("nobody@invalid");
    let (id, address) = (AccountId::new(1), local);
    match (id, address) {
        (Some(id), Ok(address)) => Account::new(id, address, now),
        _ => unreachable!("constants that parse"),
    }
}
