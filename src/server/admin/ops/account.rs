//! Accounts and their passwords.

use std::fmt;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::super::Actor;
use super::super::error::OpError;
use super::super::permission::{self, Reach};
use super::super::spec::{AccountSpec, Object};
use super::super::view::{AccountDetail, AccountView, Page};
use super::list::Listed;
use super::organisation::department_in;
use super::settings::resolved;
use super::{Admin, Plan, blocking, not_found, unhurried, used_up};
use crate::directory::change::{self, Change};
use crate::directory::{Account, AccountState, Credentials, Directory, Refusal};
use crate::login::{LoginFailure, hash_password};
use crate::mail::{AccountId, Address, Domain, Timestamp};
use crate::store;

/// An account to add.
#[derive(Clone)]
pub struct NewAccount {
    /// Primary address.
    pub address: Address,
    /// Password; without one nobody logs in until one is set.
    pub password: Option<String>,
    /// Everything else.
    pub shape: AccountSpec,
}

/// Without the password.
impl fmt::Debug for NewAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewAccount").field("address", &self.address).finish_non_exhaustive()
    }
}

impl NewAccount {
    /// An account with default settings.
    pub fn new(address: Address, password: String) -> Self {
        let shape = AccountSpec::new(address.to_string());
        Self { address, password: Some(password), shape }
    }
}

/// Which accounts a list has.
#[derive(Clone, Debug, Default)]
pub struct AccountFilter {
    /// Those with a primary address in it.
    pub domain: Option<Domain>,
    /// Those in this state.
    pub state: Option<AccountState>,
    /// Those directly in it.
    pub department: Option<String>,
}

impl Admin {
    /// Adds accounts with their default folders, all or none.
    pub async fn add_accounts(
        self: &Arc<Self>,
        actor: Actor,
        accounts: Vec<NewAccount>,
    ) -> Result<Vec<AccountView>, OpError> {
        accounts.iter().filter_map(|a| a.password.as_ref()).try_for_each(|p| check_password(p))?;
        let created = self.services.clock.now();
        // Refused before hashing, which takes 20 ms for each.
        let blank = vec![None; accounts.len()];
        let current = self.services.directory.current();
        let reach = Reach::of(&current, actor);
        if let Err(error) = accounts.iter().try_for_each(|a| reach.admits(&current, &a.address)) {
            return Err(self.refused(actor, "account.add", None, error).await);
        }
        let plan = plan_accounts(&current, &accounts, &blank, created)?;
        if let Err(error) = permission::fence(&current, actor, &plan.changes) {
            return Err(self.refused(actor, "account.add", None, error).await);
        }
        change::apply_all(&current, &plan.changes)?;

        let credentials = hash_each(accounts.iter().map(|a| a.password.clone()).collect()).await?;
        let addresses: Vec<Address> = accounts.iter().map(|a| a.address.clone()).collect();
        let owner = addresses.first().and_then(|a| self.owner(a));
        let directory = self
            .change(actor, "account.add", owner, move |d| plan_accounts(d, &accounts, &credentials, created))
            .await?;
        addresses.iter().map(|a| account_in(&directory, a).map(AccountView::of)).collect()
    }

    /// A part of the accounts, by id; all or those that a filter lets through.
    pub fn accounts(&self, actor: Actor, filter: &AccountFilter, listed: Listed) -> Result<Page<AccountView>, OpError> {
        let directory = self.services.directory.current();
        let reach = Reach::of(&directory, actor);
        let department = match &filter.department {
            Some(path) => Some(department_in(&directory, reach, None, path)?.id),
            None => None,
        };
        let wanted = directory.accounts().filter(|a| {
            filter.domain.as_ref().is_none_or(|d| a.address.domain() == Some(d))
                && filter.state.is_none_or(|state| a.state == state)
                && department.is_none_or(|id| a.departments.contains(&id))
                && reach.covers_address(&directory, &a.address)
        });
        Ok(listed.page(wanted.map(|a| (a.id.number(), AccountView::of(a)))))
    }

    /// One account, by its primary address.
    pub fn account(&self, actor: Actor, address: &Address) -> Result<AccountDetail, OpError> {
        let directory = self.services.directory.current();
        account_in(&directory, address).map(|account| detail(account, &directory, actor))
    }

    /// Sets a password; it counts from the next login on.
    pub async fn set_password(
        self: &Arc<Self>,
        actor: Actor,
        address: Address,
        password: String,
    ) -> Result<(), OpError> {
        check_password(&password)?;
        account_in(&self.services.directory.current(), &address)?;
        let credentials = self.services.authenticator.hash(password).await?;
        self.change(actor, "account.password", self.owner(&address), move |directory| {
            let account = account_in(directory, &address)?;
            let (id, credentials) = (account.id, Some(Box::new(credentials.clone())));
            Ok(Plan::one(Change::PutAccount(Account { credentials, ..account.clone() }), Object::Password(id)))
        })
        .await?;
        Ok(())
    }

    /// Removes an account with its aliases and mail. It stops to receive and to log in at once; its address is free
    /// when its mail is gone, which this waits for.
    pub async fn remove_account(self: &Arc<Self>, actor: Actor, address: Address) -> Result<(), OpError> {
        let wanted = address.clone();
        let directory = self
            .change(actor, "account.remove", self.owner(&address), move |directory| {
                let account = account_in(directory, &wanted)?;
                let removing = Account { state: AccountState::Removing, ..account.clone() };
                Ok(Plan::one(Change::PutAccount(removing), Object::Account(account.id)))
            })
            .await?;
        let id = account_in(&directory, &address)?.id;
        let admin = self.clone();
        unhurried(async move { admin.finish_removal(actor, id).await }).await
    }

    /// Goes on with removals that a stop interrupted. To be called once, after the start; an account whose mail
    /// cannot be removed stays as it is until the next start or the next `account remove`.
    pub async fn finish_removals(self: &Arc<Self>) {
        let directory = self.services.directory.current();
        for account in directory.accounts().filter(|a| a.state == AccountState::Removing) {
            if let Err(error) = self.finish_removal(Actor::Server, account.id).await {
                tracing::error!(account = %account.address, %error, "account cannot be removed");
            }
        }
    }

    async fn finish_removal(self: &Arc<Self>, actor: Actor, id: AccountId) -> Result<(), OpError> {
        match self.services.store.purge_account(id).await {
            Ok(()) | Err(store::Error::NotFound) => {}
            Err(e) => return Err(e.into()),
        }
        let removed = self
            .change(actor, "account.purged", None, move |directory| {
                directory.account(id).ok_or_else(|| not_found(format!("account {id}")))?;
                Ok(Plan::one(Change::RemoveAccount(id), Object::Account(id)))
            })
            .await;
        match removed {
            // Two removals of one account meet here.
            Ok(_) | Err(OpError::Refused(Refusal::NotFound(_))) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Default folders for accounts to come. Those of an account that in the end was not added are found again when
    /// its id is used by the next one.
    pub(super) async fn create_folders(&self, accounts: Vec<AccountId>) -> Result<(), OpError> {
        let mut creating = JoinSet::new();
        for account in accounts {
            let store = self.services.store.clone();
            creating.spawn(async move { store.create_account_folders(account).await });
        }
        while let Some(created) = creating.join_next().await {
            match created.map_err(|_| OpError::Unavailable)? {
                Ok(()) | Err(store::Error::Exists) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

/// The account as the actor may see it.
pub(super) fn detail(account: &Account, directory: &Directory, actor: Actor) -> AccountDetail {
    let whole = AccountDetail::of(account, directory);
    match Reach::of(directory, actor) {
        Reach::Everything | Reach::Organisation(_) => whole,
        Reach::Person(..) | Reach::Nothing => whole.for_owner(),
    }
}

/// The account with this primary address.
pub(super) fn account_in<'a>(directory: &'a Directory, address: &Address) -> Result<&'a Account, OpError> {
    directory.account_at(address).map(|a| &**a).ok_or_else(|| not_found(format!("account {address}")))
}

fn plan_accounts(
    directory: &Directory,
    accounts: &[NewAccount],
    credentials: &[Option<Credentials>],
    created: Timestamp,
) -> Result<Plan, OpError> {
    let mut plan = Plan::nothing();
    for (n, (new, credentials)) in (0..).zip(accounts.iter().zip(credentials)) {
        let id = directory.new_account_id(n).ok_or_else(used_up)?;
        let credentials = credentials.clone().map(Box::new);
        let blank = Account { credentials, ..Account::new(id, new.address.clone(), created) };
        plan.changes.push(Change::PutAccount(resolved(&new.shape, directory, &blank)?));
        plan.touched.push(Object::Account(id));
        plan.new_accounts.push(id);
    }
    Ok(plan)
}

/// Hashes those passwords that are there.
async fn hash_each(passwords: Vec<Option<String>>) -> Result<Vec<Option<Credentials>>, OpError> {
    let has: Vec<bool> = passwords.iter().map(Option::is_some).collect();
    let mut hashed = hash_all(passwords.into_iter().flatten().collect()).await?.into_iter();
    Ok(has.into_iter().map(|has| if has { hashed.next().flatten() } else { None }).collect())
}

/// Hashes passwords on as many threads as there are processors: each takes 19 MiB while it runs.
pub(super) async fn hash_all(passwords: Vec<String>) -> Result<Vec<Option<Credentials>>, OpError> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let share = passwords.len().div_ceil(processors).max(1);
    let shares: Vec<_> = passwords
        .chunks(share)
        .map(|share| {
            let share = share.to_vec();
            tokio::spawn(blocking(move || share.iter().map(|p| hash_password(p).map_err(OpError::from)).collect()))
        })
        .collect();
    let mut credentials = Vec::with_capacity(passwords.len());
    for share in shares {
        let hashed: Vec<Credentials> = share.await.map_err(|_| OpError::Unavailable)??;
        credentials.extend(hashed.into_iter().map(Some));
    }
    Ok(credentials)
}

/// A password that every protocol can carry: RFC 4616 §2 has no NUL, IMAP's quoted strings have no line ends.
pub(super) fn check_password(password: &str) -> Result<(), OpError> {
    let refuse = |message: String| Err(OpError::Invalid { field: "password", message });
    if password.is_empty() {
        refuse("password is empty".to_owned())
    } else if password.len() > LONGEST_PASSWORD {
        refuse(format!("password is longer than {LONGEST_PASSWORD} octets"))
    } else if password.chars().any(char::is_control) {
        refuse("password has a control character".to_owned())
    } else {
        Ok(())
    }
}

impl From<LoginFailure> for OpError {
    fn from(failure: LoginFailure) -> Self {
        match failure {
            LoginFailure::BadCredentials
            | LoginFailure::Disabled
            | LoginFailure::Locked
            | LoginFailure::Unavailable => Self::Unavailable,
        }
    }
}

const LONGEST_PASSWORD: usize = 1024;
