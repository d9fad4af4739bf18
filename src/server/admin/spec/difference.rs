//! What a change makes of an object: its shape before and after, for people and for the audit log.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::super::view::SuspensionView;
use super::{AccountSpec, AliasSpec, DepartmentSpec, DomainSpec, GroupSpec, OrganisationSpec, RelaySpec, RuleSpec};
use crate::directory::{Directory, Rule};
use crate::mail::{AccountId, Address, AliasId, DepartmentId, DomainId, GroupId, OrganisationId, RelayId, RuleId};
use crate::server::admin::published::KeysView;

/// An object that a change touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Object {
    /// An organisation.
    Organisation(OrganisationId),
    /// A domain.
    Domain(DomainId),
    /// The keys with which a domain signs.
    Keys(DomainId),
    /// A department.
    Department(DepartmentId),
    /// An account.
    Account(AccountId),
    /// The password of an account, which no shape shows.
    Password(AccountId),
    /// Whether the server has stopped the sending of an account, which no shape shows.
    Suspension(AccountId),
    /// An alias.
    Alias(AliasId),
    /// A group.
    Group(GroupId),
    /// A mail rule.
    Rule(RuleId),
    /// A trusted relay or gateway.
    Relay(RelayId),
}

/// An object that a change adds, removes or alters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    /// `account`, `group` …
    pub kind: String,
    /// Its id.
    pub id: u32,
    /// Its address, name, path or network; the old one if that changes.
    pub name: String,
    /// Its shape before; null if it is new.
    pub before: Value,
    /// Its shape after; null if it goes; `"changed"` for a password.
    pub after: Value,
}

impl Object {
    /// Its shape in two directories.
    pub fn difference(self, before: &Directory, after: &Directory) -> Difference {
        let both = [before, after];
        match self {
            Self::Organisation(id) => {
                let shapes = both.map(|d| d.organisation(id).map(|o| OrganisationSpec::describe(o)));
                self.between(shapes, |s| &s.name)
            }
            Self::Domain(id) => {
                let shapes = both.map(|d| d.domain_by_id(id).map(|found| DomainSpec::describe(found, d)));
                self.between(shapes, |s| &s.name)
            }
            Self::Keys(id) => {
                let name = after.domain_by_id(id).or(before.domain_by_id(id)).map(|d| d.name.clone());
                let shape = |d: &Directory| Some(KeysView::of(name.as_ref()?, d.keys(id)?));
                self.between(both.map(shape), |s| &s.domain)
            }
            Self::Department(id) => {
                let shapes = both.map(|d| d.department(id).map(|found| DepartmentSpec::describe(found, d)));
                self.between(shapes, |s| &s.path)
            }
            Self::Account(id) => {
                let shapes = both.map(|d| d.account(id).map(|found| AccountSpec::describe(found, d)));
                self.between(shapes, |s| &s.address)
            }
            Self::Password(id) => {
                let name = after.account(id).map(|a| a.address.to_string()).unwrap_or_default();
                let after = Value::from("changed");
                Difference { kind: self.kind().to_owned(), id: self.number(), name, before: Value::Null, after }
            }
            Self::Suspension(id) => {
                let name = after.account(id).map(|a| a.address.to_string()).unwrap_or_default();
                let suspension = |d: &Directory| d.account(id).and_then(|a| a.settings().suspended);
                let value = |d| suspension(d).map(SuspensionView::from).map_or(Value::Null, |v| json!(v));
                let [before, after] = both.map(value);
                Difference { kind: self.kind().to_owned(), id: self.number(), name, before, after }
            }
            Self::Alias(id) => {
                let alias = |d: &Directory| d.alias(id).and_then(|found| AliasSpec::describe(found, d));
                self.between(both.map(alias), |s| &s.address)
            }
            Self::Group(id) => {
                let shapes = both.map(|d| d.group(id).map(|found| GroupSpec::describe(found, d)));
                self.between(shapes, |s| &s.address)
            }
            Self::Rule(id) => {
                let shapes = both.map(|d| d.rule(id).map(|found| RuleSpec::describe(found, d)));
                self.between(shapes, |s| &s.name)
            }
            Self::Relay(id) => {
                let shapes = both.map(|d| d.relays().find(|r| r.id == id).map(|r| RelaySpec::describe(r)));
                self.between(shapes, |s| &s.network)
            }
        }
    }

    /// Whose it is. Relays are the server's.
    pub fn organisation(self, directory: &Directory) -> Option<OrganisationId> {
        let of = |address: &Address| address.domain().and_then(|d| directory.organisation_of(d));
        match self {
            Self::Organisation(id) => directory.organisation(id).map(|o| o.id),
            Self::Domain(id) | Self::Keys(id) => directory.domain_by_id(id).map(|d| d.organisation),
            Self::Department(id) => directory.department(id).map(|d| d.organisation),
            Self::Account(id) | Self::Password(id) | Self::Suspension(id) => directory.account_organisation(id),
            Self::Alias(id) => directory.alias(id).and_then(|a| of(&a.address)),
            Self::Group(id) => directory.group_organisation(id),
            Self::Rule(id) => directory.rule(id).map(|r: &std::sync::Arc<Rule>| r.organisation),
            Self::Relay(_) => None,
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Organisation(_) => "organisation",
            Self::Domain(_) => "domain",
            Self::Keys(_) => "domain-keys",
            Self::Department(_) => "department",
            Self::Account(_) => "account",
            Self::Password(_) => "password",
            Self::Suspension(_) => "suspension",
            Self::Alias(_) => "alias",
            Self::Group(_) => "group",
            Self::Rule(_) => "rule",
            Self::Relay(_) => "relay",
        }
    }

    fn number(self) -> u32 {
        match self {
            Self::Organisation(id) => id.number(),
            Self::Domain(id) | Self::Keys(id) => id.number(),
            Self::Department(id) => id.number(),
            Self::Account(id) | Self::Password(id) | Self::Suspension(id) => id.number(),
            Self::Alias(id) => id.number(),
            Self::Group(id) => id.number(),
            Self::Rule(id) => id.number(),
            Self::Relay(id) => id.number(),
        }
    }

    fn between<T: Serialize>(self, [before, after]: [Option<T>; 2], name: impl Fn(&T) -> &String) -> Difference {
        let known = before.as_ref().or(after.as_ref()).map(|shape| name(shape).clone());
        let value = |shape: Option<T>| shape.and_then(|s| serde_json::to_value(s).ok()).unwrap_or(Value::Null);
        Difference {
            kind: self.kind().to_owned(),
            id: self.number(),
            name: known.unwrap_or_default(),
            before: value(before),
            after: value(after),
        }
    }
}
