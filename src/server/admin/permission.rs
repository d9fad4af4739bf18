//! What a request or a change touches, and what whoever asks is to it: the facts for [`administration::decide`].
//!
//! Asked twice. Before a handler runs, about what path and query name, so that nothing is told of an object to whom it
//! is no business of; and before a change is made, about every object that it touches as it was and as it is to be, so
//! that what a body names is looked at too. Lists show what [`Reach`] covers.

use super::Actor;
use super::error::OpError;
use super::spec::{AccountSpec, GroupSpec};
use crate::directory::change::Change;
use crate::directory::{Account, Directory, Group, Listing};
use crate::mail::{AccountId, Address, Domain, OrganisationId};
use crate::policy::administration::{self, Facts, Forbidden, Operation, Relation};
use crate::policy::group::is_member;
use crate::policy::sender::Identity;

/// What a route touches, as its path and query name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touches {
    /// What is the server's.
    Server,
    /// What is an organisation's.
    Organisation(Whose),
    /// The domain in the path.
    Domain,
    /// The alias in the path.
    Alias,
    /// The account in the path.
    Account(Operation),
    /// The group in the path.
    Group(Operation),
    /// The held message in the path.
    Hold,
    /// What whoever asks may see, of all there is.
    Browse,
}

/// Which organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// That of whoever asks: lists of its objects, and new ones.
    Own,
    /// The one that the path names.
    InPath,
    /// The one that the query names, or else that of whoever asks.
    InQuery,
}

/// What a request names.
#[derive(Clone, Debug, Default)]
pub struct Named {
    /// The first thing in the path.
    pub object: Option<String>,
    /// `?organisation=`
    pub organisation: Option<String>,
    /// For a held message: whose it is, and who decides about it.
    pub hold: Option<(OrganisationId, Vec<AccountId>)>,
}

impl Touches {
    /// Lists of the own organisation's objects, and new ones.
    pub const OURS: Self = Self::Organisation(Whose::Own);
    /// An object of the organisation that the query names, or of the own one.
    pub const NAMED: Self = Self::Organisation(Whose::InQuery);
    /// The organisation in the path.
    pub const ORGANISATION: Self = Self::Organisation(Whose::InPath);
    /// What an admin sets of the account in the path.
    pub const ACCOUNT: Self = Self::Account(Operation::Organisation);
    /// What its owner sets as well.
    pub const OWN_SETTINGS: Self = Self::Account(Operation::OwnSettings);
    /// What its managers see and change of the group in the path.
    pub const GROUP: Self = Self::Group(Operation::ManageGroup);

    /// Who may in principle, for the description of the API.
    pub fn permitted(self) -> impl Iterator<Item = Relation> {
        Relation::ALL.into_iter().filter(move |relation| administration::allows(*relation, self.operation()))
    }

    /// What the request wants to do.
    pub fn operation(self) -> Operation {
        match self {
            Self::Server => Operation::Server,
            Self::Organisation(_) | Self::Domain | Self::Alias => Operation::Organisation,
            Self::Account(operation) | Self::Group(operation) => operation,
            Self::Hold => Operation::DecideHold,
            Self::Browse => Operation::Browse,
        }
    }

    /// May the account do it?
    pub fn permit(self, directory: &Directory, me: &Account, named: &Named) -> Result<(), Forbidden> {
        if !me.state.is_active() {
            return Err(Forbidden);
        }
        let relations = self.relations(directory, me, named);
        administration::decide(&Facts { operation: self.operation(), relations: &relations })
    }

    fn relations(self, directory: &Directory, me: &Account, named: &Named) -> Vec<Relation> {
        let own = directory.account_organisation(me.id);
        let object = named.object.as_deref();
        let by_name = |name: &str| directory.organisations().find(|o| o.name == name).map(|o| o.id);
        let address = || Address::parse(object?).ok();
        let domain = |address: &Address| address.domain().and_then(|d| directory.organisation_of(d));
        let owner = match self {
            Self::Server => None,
            Self::Organisation(Whose::Own) => own,
            Self::Organisation(Whose::InPath) => object.and_then(by_name),
            Self::Organisation(Whose::InQuery) | Self::Browse => named.organisation.as_deref().map_or(own, by_name),
            Self::Domain => object.and_then(|n| Domain::parse(n).ok()).and_then(|d| directory.organisation_of(&d)),
            Self::Alias | Self::Account(_) | Self::Group(_) => address().and_then(|a| domain(&a)),
            Self::Hold => named.hold.as_ref().map(|(organisation, _)| *organisation),
        };
        let mut relations = to_organisation(me, own, owner.as_slice());
        match self {
            Self::Account(_) => {
                let is_own = address().and_then(|a| directory.account_at(&a)).is_some_and(|a| a.id == me.id);
                relations.extend(is_own.then_some(Relation::Owner));
            }
            Self::Group(_) => {
                if let Some(group) = address().and_then(|a| directory.group_at(&a)) {
                    relations.extend(to_group(directory, me.id, group));
                }
            }
            Self::Hold => {
                let is_asked =
                    |(whose, approvers): &(_, Vec<AccountId>)| own == Some(*whose) && approvers.contains(&me.id);
                let is_asked = named.hold.as_ref().is_some_and(is_asked);
                relations.extend(is_asked.then_some(Relation::Approver));
            }
            Self::Server | Self::Organisation(_) | Self::Domain | Self::Alias | Self::Browse => {}
        }
        relations
    }
}

/// What an account of the organisation `own` is to an object of all of these.
fn to_organisation(me: &Account, own: Option<OrganisationId>, owners: &[OrganisationId]) -> Vec<Relation> {
    let is_ours = !owners.is_empty() && owners.iter().all(|owner| own == Some(*owner));
    let is_admin = is_ours && me.settings().is_admin;
    let admin = is_admin.then_some(Relation::DomainAdmin);
    admin.into_iter().chain(is_ours.then_some(Relation::Colleague)).collect()
}

fn to_group(directory: &Directory, me: AccountId, group: &Group) -> Vec<Relation> {
    if directory.account_organisation(me) != directory.group_organisation(group.id) {
        return Vec::new();
    }
    let is_manager = group.managers.contains(&me);
    let is_reader = match group.listing() {
        Listing::Managers => is_manager,
        Listing::Members => is_member(directory, group, &Identity::Account(me)),
        Listing::Organisation => true,
    };
    let manager = is_manager.then_some(Relation::Manager);
    manager.into_iter().chain(is_reader.then_some(Relation::Reader)).collect()
}

/// True if the actor may do this to the group.
pub fn may_with_group(directory: &Directory, actor: Actor, group: &Group, operation: Operation) -> bool {
    let account = match rights(actor) {
        Rights::All => return true,
        Rights::Of(account) => account,
        Rights::None => return false,
    };
    let Some(me) = directory.account(account) else { return false };
    let own = directory.account_organisation(account);
    let mut relations = to_organisation(me, own, directory.group_organisation(group.id).as_slice());
    relations.extend(to_group(directory, account, group));
    administration::decide(&Facts { operation, relations: &relations }).is_ok()
}

/// Whose rights an actor has.
enum Rights {
    /// All there are.
    All,
    /// Those of an account.
    Of(AccountId),
    /// None: what it may do is done, and it asks for nothing.
    None,
}

/// Without `_`, so that a new kind of actor is thought about.
fn rights(actor: Actor) -> Rights {
    match actor {
        Actor::Account { account, .. } => Rights::Of(account),
        Actor::Unix { .. } | Actor::Token { .. } | Actor::Server => Rights::All,
        Actor::Answer { .. } => Rights::None,
    }
}

/// How far an actor sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everything there is.
    Everything,
    /// One organisation, as its admin.
    Organisation(OrganisationId),
    /// One organisation, as an account that looks for what concerns it.
    Person(OrganisationId, AccountId),
    /// Nothing: the account is gone.
    Nothing,
}

impl Reach {
    /// The actor's.
    pub fn of(directory: &Directory, actor: Actor) -> Self {
        let id = match rights(actor) {
            Rights::All => return Self::Everything,
            Rights::Of(account) => account,
            Rights::None => return Self::Nothing,
        };
        match (directory.account(id), directory.account_organisation(id)) {
            (Some(account), Some(organisation)) if account.settings().is_admin => Self::Organisation(organisation),
            (Some(_), Some(organisation)) => Self::Person(organisation, id),
            (None, _) | (_, None) => Self::Nothing,
        }
    }

    /// The one organisation that is seen, if it is one.
    pub fn organisation(self) -> Option<OrganisationId> {
        match self {
            Self::Organisation(id) | Self::Person(id, _) => Some(id),
            Self::Everything | Self::Nothing => None,
        }
    }

    /// True if an object of the organisation is seen.
    pub fn covers(self, owner: Option<OrganisationId>) -> bool {
        match self {
            Self::Everything => true,
            Self::Organisation(id) | Self::Person(id, _) => owner == Some(id),
            Self::Nothing => false,
        }
    }

    /// True if an object with this address is seen.
    pub fn covers_address(self, directory: &Directory, address: &Address) -> bool {
        self.covers(address.domain().and_then(|d| directory.organisation_of(d)))
    }

    /// Refuses what a body names for another organisation, before anything is told about it. What is not hosted here
    /// is nobody's, and refused as such later.
    pub fn admits(self, directory: &Directory, address: &Address) -> Result<(), OpError> {
        let is_hosted = address.domain().is_some_and(|d| directory.hosts(d));
        if is_hosted && !self.covers_address(directory, address) { Err(OpError::Forbidden) } else { Ok(()) }
    }

    /// Names the organisation of an object that does not say whose it is, and refuses another's.
    pub fn settle(self, directory: &Directory, name: &mut Option<String>) -> Result<(), OpError> {
        let Some(own) = self.organisation() else {
            return if self == Self::Nothing { Err(OpError::Forbidden) } else { Ok(()) };
        };
        let own = directory.organisation(own).map(|o| &o.name).ok_or(OpError::Forbidden)?;
        if name.get_or_insert_with(|| own.clone()) == own { Ok(()) } else { Err(OpError::Forbidden) }
    }
}

/// May the actor make these changes? Each is looked at as the object was and as it is to be.
pub fn fence(directory: &Directory, actor: Actor, changes: &[Change]) -> Result<(), OpError> {
    let id = match rights(actor) {
        // The one change of an answer is drawn up by the server, for the account that the address is sealed to.
        Rights::All | Rights::None => return Ok(()),
        Rights::Of(account) => account,
    };
    let me = directory.account(id).ok_or(OpError::Forbidden)?;
    let own = directory.account_organisation(id);
    for change in changes {
        let (operation, owners) = touched(directory, change, own);
        let mut relations = to_organisation(me, own, &owners);
        match change {
            Change::PutAccount(account) => relations.extend((account.id == id).then_some(Relation::Owner)),
            Change::PutGroup(group) => {
                relations.extend(directory.group(group.id).into_iter().flat_map(|old| to_group(directory, id, old)));
            }
            _ => {}
        }
        administration::decide(&Facts { operation, relations: &relations }).map_err(|Forbidden| OpError::Forbidden)?;
    }
    Ok(())
}

/// What a change needs, and whose objects it touches. An address that is not hosted here counts as the actor's own.
fn touched(directory: &Directory, change: &Change, own: Option<OrganisationId>) -> (Operation, Vec<OrganisationId>) {
    let whose = |address: &Address| address.domain().and_then(|d| directory.organisation_of(d)).or(own);
    let all = |owners: &[Option<OrganisationId>]| owners.iter().flatten().copied().collect::<Vec<_>>();
    let (operation, owners) = match change {
        Change::PutOrganisation(new) => match directory.organisation(new.id) {
            // What is held lies on everybody's disk.
            Some(old) if old.hold_limit == new.hold_limit => (Operation::Organisation, vec![new.id]),
            Some(_) | None => (Operation::Server, vec![]),
        },
        Change::PutDomain(new) => match directory.domain_by_id(new.id) {
            Some(old) => (Operation::Organisation, vec![old.organisation, new.organisation]),
            None => (Operation::Server, vec![]),
        },
        Change::PutKeys(new) => {
            (Operation::Organisation, all(&[directory.domain_by_id(new.id).map(|d| d.organisation)]))
        }
        Change::PutDepartment(new) => {
            let old = directory.department(new.id).map(|d| d.organisation);
            (Operation::Organisation, all(&[Some(new.organisation), old]))
        }
        Change::RemoveDepartment(id) => {
            (Operation::Organisation, all(&[directory.department(*id).map(|d| d.organisation)]))
        }
        Change::PutAccount(new) => {
            let old = directory.account(new.id);
            let is_own_affair = old.is_some_and(|old| differs_in_own_settings_only(directory, old, new));
            let operation = if is_own_affair { Operation::OwnSettings } else { Operation::Organisation };
            (operation, all(&[whose(&new.address), old.and_then(|old| whose(&old.address))]))
        }
        Change::RemoveAccount(id) => (Operation::Organisation, all(&[directory.account_organisation(*id)])),
        Change::PutAlias(new) => {
            (Operation::Organisation, all(&[whose(&new.address), directory.account_organisation(new.account)]))
        }
        Change::RemoveAlias(id) => {
            (Operation::Organisation, all(&[directory.alias(*id).and_then(|old| whose(&old.address))]))
        }
        Change::PutGroup(new) => {
            let old = directory.group(new.id);
            let is_managed = old.is_some_and(|old| differs_in_managed_parts_only(directory, old, new));
            let operation = if is_managed { Operation::ManageGroup } else { Operation::Organisation };
            let new = new.aliases.iter().chain([&new.address]).map(whose);
            let owners: Vec<_> = new.chain([old.and_then(|old| whose(&old.address))]).collect();
            (operation, all(&owners))
        }
        Change::RemoveGroup(id) => (Operation::Organisation, all(&[directory.group_organisation(*id)])),
        Change::PutRule(new) => {
            (Operation::Organisation, all(&[Some(new.organisation), directory.rule(new.id).map(|r| r.organisation)]))
        }
        Change::RemoveRule(id) => (Operation::Organisation, all(&[directory.rule(*id).map(|r| r.organisation)])),
        Change::RemoveOrganisation(_) | Change::RemoveDomain(_) | Change::PutRelay(_) | Change::RemoveRelay(_) => {
            (Operation::Server, vec![])
        }
    };
    (operation, owners)
}

/// Compared as they are described, since what a record names and is gone goes with the next change, whoever makes it.
fn differs_in_own_settings_only(directory: &Directory, old: &Account, new: &Account) -> bool {
    // No shape shows it.
    if old.settings().suspended != new.settings().suspended {
        return false;
    }
    let after = AccountSpec::describe(new, directory);
    let AccountSpec { forward, vacation, blocked, allowed, .. } = after.clone();
    AccountSpec { forward, vacation, blocked, allowed, ..AccountSpec::describe(old, directory) } == after
}

/// See [`Operation::ManageGroup`].
fn differs_in_managed_parts_only(directory: &Directory, old: &Group, new: &Group) -> bool {
    let [old, new] = [old, new].map(|group| GroupSpec::describe(group, directory));
    old.address == new.address
        && old.aliases == new.aliases
        && old.department == new.department
        && old.managers == new.managers
        && old.grants == new.grants
}
