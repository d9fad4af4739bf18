//! Accounts and their passwords.

use std::fmt;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::super::Actor;
use super::super::audit::Entry;
use super::super::error::OpError;
use super::super::view::{AccountDetail, AccountView, Page};
use super::{Admin, Plan, blocking, not_found, unhurried, used_up};
use crate::directory::change::{self, Change};
use crate::directory::{Account, AccountState, Directory, Refusal, ScramVerifier};
use crate::login::{LoginFailure, hash_password};
use crate::mail::{AccountId, Address, Domain, Timestamp};
use crate::store;

/// An account to add.
#[derive(Clone)]
pub struct NewAccount {
    /// Primary address.
    pub address: Address,
    /// Password.
    pub password: String,
}

/// Without the password.
impl fmt::Debug for NewAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewAccount").field("address", &self.address).finish_non_exhaustive()
    }
}

type Credentials = (String, ScramVerifier);

impl Admin {
    /// Adds accounts with their default folders, all or none.
    pub async fn add_accounts(
        self: &Arc<Self>,
        actor: Actor,
        accounts: Vec<NewAccount>,
    ) -> Result<Vec<AccountView>, OpError> {
        accounts.iter().try_for_each(|a| check_password(&a.password))?;
        let created = self.services.clock.now();
        let (addresses, passwords): (Vec<_>, Vec<_>) = accounts.into_iter().map(|a| (a.address, a.password)).unzip();
        // Refused before hashing, which takes 20 ms for each.
        let blank = vec![(String::new(), no_verifier()); addresses.len()];
        let plan = plan_accounts(&self.services.directory.current(), &addresses, &blank, created)?;
        change::apply_all(&self.services.directory.current(), &plan.changes)?;

        let credentials = hash_all(passwords).await?;
        let wanted = addresses.clone();
        let directory =
            self.change(actor, "account.add", move |d| plan_accounts(d, &wanted, &credentials, created)).await?;
        addresses.iter().map(|a| account_in(&directory, a).map(AccountView::of)).collect()
    }

    /// A part of the accounts, by id: those with an id above `after`, at most `limit`; all or one domain's.
    pub fn accounts(&self, domain: Option<&Domain>, after: u32, limit: usize) -> Page<AccountView> {
        let directory = self.services.directory.current();
        let in_domain = |a: &Account| domain.is_none_or(|d| a.address.domain() == Some(d));
        let mut wanted = directory.accounts().filter(|a| a.id.number() > after && in_domain(a));
        let items: Vec<_> = wanted.by_ref().take(limit).map(|a| AccountView::of(a)).collect();
        let next = wanted.next().and(items.last()).map(|a| a.id.number());
        Page { items, next }
    }

    /// One account, by its primary address.
    pub fn account(&self, address: &Address) -> Result<AccountDetail, OpError> {
        let directory = self.services.directory.current();
        let account = account_in(&directory, address)?;
        let aliases = directory.aliases().filter(|a| a.account == account.id).map(|a| a.address.clone()).collect();
        Ok(AccountDetail { account: AccountView::of(account), aliases })
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
        let (hash, scram) = blocking(move || hash_password(&password).map_err(OpError::from)).await?;
        self.change(actor, "account.password", move |directory| {
            let account = account_in(directory, &address)?;
            let account = Account { password: hash.clone(), scram: scram.clone(), ..account.clone() };
            Ok(Plan::one(Change::PutAccount(account), Entry::password(&address)))
        })
        .await?;
        Ok(())
    }

    /// Removes an account with its aliases and mail. It stops to receive and to log in at once; its address is free
    /// when its mail is gone, which this waits for.
    pub async fn remove_account(self: &Arc<Self>, actor: Actor, address: Address) -> Result<(), OpError> {
        let wanted = address.clone();
        let directory = self
            .change(actor, "account.remove", move |directory| {
                let account = account_in(directory, &wanted)?;
                let removing = Account { state: AccountState::Removing, ..account.clone() };
                let audit = Entry::new(&wanted, Some(&AccountView::of(account)), Some(&AccountView::of(&removing)));
                Ok(Plan::one(Change::PutAccount(removing), audit))
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
            .change(actor, "account.purged", move |directory| {
                let account = directory.account(id).ok_or_else(|| not_found(format!("account {id}")))?;
                let audit = Entry::new(&account.address, Some(&AccountView::of(account)), None);
                Ok(Plan::one(Change::RemoveAccount(id), audit))
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

/// The account with this primary address.
pub(super) fn account_in<'a>(directory: &'a Directory, address: &Address) -> Result<&'a Account, OpError> {
    directory.account_at(address).map(|a| &**a).ok_or_else(|| not_found(format!("account {address}")))
}

fn plan_accounts(
    directory: &Directory,
    addresses: &[Address],
    credentials: &[Credentials],
    created: Timestamp,
) -> Result<Plan, OpError> {
    let mut plan = Plan::default();
    for (n, (address, (password, scram))) in (0..).zip(addresses.iter().zip(credentials)) {
        let id = directory.new_account_id(n).ok_or_else(used_up)?;
        let account = Account {
            id,
            address: address.clone(),
            state: AccountState::Active,
            password: password.clone(),
            scram: scram.clone(),
            created,
        };
        plan.audit.push(Entry::new(address, None, Some(&AccountView::of(&account))));
        plan.changes.push(Change::PutAccount(account));
        plan.new_accounts.push(id);
    }
    Ok(plan)
}

/// Hashes passwords on as many threads as there are processors: each takes 19 MiB while it runs.
async fn hash_all(passwords: Vec<String>) -> Result<Vec<Credentials>, OpError> {
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
        credentials.extend(hashed);
    }
    Ok(credentials)
}

/// A password that every protocol can carry: RFC 4616 §2 has no NUL, IMAP's quoted strings have no line ends.
fn check_password(password: &str) -> Result<(), OpError> {
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

fn no_verifier() -> ScramVerifier {
    ScramVerifier { salt: String::new(), iterations: 0, stored_key: String::new(), server_key: String::new() }
}

impl From<LoginFailure> for OpError {
    fn from(failure: LoginFailure) -> Self {
        match failure {
            LoginFailure::BadCredentials | LoginFailure::Unavailable => Self::Unavailable,
        }
    }
}

const LONGEST_PASSWORD: usize = 1024;
