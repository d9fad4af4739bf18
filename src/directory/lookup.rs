//! What an address stands for (policy semantics §4.2), and whose it is (§5).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::snapshot::Holder;
use super::{Account, AccountKind, Directory, Group, Right};
use crate::mail::one_time;
use crate::mail::{AccountId, Address, AddressKey, Domain, GroupId, Host, OrganisationId};

/// What an address stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// An account.
    Account {
        /// The account, active or frozen.
        account: Arc<Account>,
        /// What stood behind the first `+`, if it was needed to find the account.
        detail: Option<String>,
        /// By which step.
        step: Step,
    },
    /// A group; a detail of its address means nothing.
    Group(Arc<Group>),
    /// The address of an account in the recycle bin that has an admin forward to hand its mail over to.
    HandedOver(Arc<Account>),
    /// The domain is hosted here, the address is nobody's or reserved.
    Unknown,
    /// The domain is not hosted here.
    Foreign,
}

/// Which step of the lookup found an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its own address or alias, steps 1 to 5.
    Own,
    /// `postmaster` or `abuse`, step 7.
    Postmaster,
    /// The catch-all, step 8.
    CatchAll,
}

/// Whose an address is: what its owner may claim, which neither postmaster nor catch-all is part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// An account, by its address, an alias or either with a detail, under any name of the domain.
    Account(Arc<Account>),
    /// A group.
    Group(Arc<Group>),
    /// Hosted here, and nobody's.
    Nobody,
    /// Not hosted here.
    Foreign,
}

/// Something with addresses of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Principal {
    /// An account or shared account.
    Account(AccountId),
    /// A group.
    Group(GroupId),
}

impl Directory {
    /// The lookup order of policy semantics §4.2. What has the form of a one-time address is nobody's, not even the
    /// catch-all's.
    pub fn lookup(&self, address: &Address) -> Lookup {
        let Some(domain) = address.domain().filter(|d| self.hosts(d)) else { return Lookup::Foreign };
        // A one-time address is for SMTP alone, which asks what it is before anything is looked up.
        if one_time::is_reserved(address.local_part().as_str()) {
            return Lookup::Unknown;
        }
        // Steps 1 to 6.
        match self.find(address, domain) {
            Some((Holder::Account(account), detail)) => {
                return Lookup::Account { account: account.clone(), detail, step: Step::Own };
            }
            Some((Holder::Group(group), _)) => return Lookup::Group(group.clone()),
            Some((Holder::Binned(account), _)) if account.settings().admin_forward.is_some() => {
                return Lookup::HandedOver(account.clone());
            }
            Some((Holder::Reserved | Holder::Binned(_), _)) => return Lookup::Unknown,
            None => {}
        }
        // Step 7.
        if address.local_part().as_str().eq_ignore_ascii_case("postmaster")
            && let Some(account) = self.postmaster(domain)
        {
            return Lookup::Account { account: account.clone(), detail: None, step: Step::Postmaster };
        }
        // Step 8.
        match self.catch_all(domain) {
            Some(account) => Lookup::Account { account: account.clone(), detail: None, step: Step::CatchAll },
            None => Lookup::Unknown,
        }
    }

    /// Whose an address is (policy semantics §5).
    pub fn owner(&self, address: &Address) -> Owner {
        let Some(domain) = address.domain().filter(|d| self.hosts(d)) else { return Owner::Foreign };
        match self.find(address, domain) {
            Some((Holder::Account(account), _)) => Owner::Account(account.clone()),
            Some((Holder::Group(group), _)) => Owner::Group(group.clone()),
            Some((Holder::Reserved | Holder::Binned(_), _)) | None => Owner::Nobody,
        }
    }

    /// The account that may log in under this name: primary address or enabled alias, without detail (policy semantics
    /// §5). A name without `@` is nobody's, and nobody logs in to a shared account.
    pub fn login(&self, name: &str) -> Option<&Arc<Account>> {
        match self.bound(&Address::parse(name).ok()?.key())? {
            Holder::Account(account) if account.kind == AccountKind::Person => Some(account),
            Holder::Account(_) | Holder::Group(_) | Holder::Reserved | Holder::Binned(_) => None,
        }
    }

    /// True if the account has the right on the principal.
    pub fn has_right(&self, account: AccountId, on: Principal, right: Right) -> bool {
        let grants = match on {
            Principal::Account(id) => self.account(id).map(|a| &a.settings().grants),
            Principal::Group(id) => self.group(id).map(|g| &g.grants),
        };
        grants.is_some_and(|grants| grants.iter().any(|g| g.to == account && g.right == right))
    }

    /// Who receives mail for `postmaster` of a hosted domain when the address is not bound (policy semantics §4.2
    /// step 7): the first active domain admin. An organisation without one gives it to its oldest active account.
    pub fn postmaster(&self, domain: &Domain) -> Option<&Arc<Account>> {
        let organisation = self.organisation_of(domain)?;
        self.active_admin(organisation).or_else(|| {
            let ours = |a: &&Arc<Account>| {
                a.state.is_active()
                    && a.kind == AccountKind::Person
                    && a.address.domain().and_then(|d| self.organisation_of(d)) == Some(organisation)
            };
            let here = |a: &&Arc<Account>| a.address.domain() == Some(domain);
            self.accounts().filter(ours).find(here).or_else(|| self.accounts().find(ours))
        })
    }

    /// The first active domain admin of an organisation.
    pub fn active_admin(&self, organisation: OrganisationId) -> Option<&Arc<Account>> {
        self.admins(organisation).find(|a| a.state.is_active())
    }

    /// Who receives mail for `postmaster` without a domain (RFC 5321 §4.5.1): the postmaster of the oldest domain.
    pub fn default_postmaster(&self) -> Option<&Arc<Account>> {
        let domain = &self.domains().next()?.name;
        let address = Address::parse(&format!("postmaster@{domain}")).ok()?;
        match self.bound(&address.key()) {
            Some(Holder::Account(account)) => Some(account),
            _ => self.postmaster(domain),
        }
    }

    /// Steps 1 to 6: who has the address, and the detail that had to be taken off to find out.
    fn find(&self, address: &Address, domain: &Domain) -> Option<(Holder<'_>, Option<String>)> {
        let local = address.local_part().as_str();
        if let Some(holder) = self.under_any_name(local, domain) {
            return Some((holder, None));
        }
        let (base, detail) = local.split_once('+').filter(|(base, _)| !base.is_empty())?;
        Some((self.under_any_name(base, domain)?, Some(detail.to_owned())))
    }

    /// Steps 1 to 4: explicit addresses win over those that a second name of a domain derives.
    fn under_any_name(&self, local: &str, domain: &Domain) -> Option<Holder<'_>> {
        let at = |domain: &Domain| self.bound(&AddressKey::new(local, &Host::Name(domain.clone())));
        at(domain).or_else(|| {
            let principal = self.principal_domain(domain).filter(|p| p.name != *domain)?;
            at(&principal.name)
        })
    }

    fn catch_all(&self, domain: &Domain) -> Option<&Arc<Account>> {
        let own = self.domain(domain)?.catch_all;
        let id = own.or_else(|| self.principal_domain(domain)?.catch_all)?;
        self.account(id).filter(|a| a.state.is_present())
    }
}
