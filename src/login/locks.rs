//! Locks after failed logins (policy semantics §17), in memory: a restart forgets them, and so does who has the most
//! recent 65,536 of a kind in between.
//!
//! Names that nobody has are counted and locked as accounts are, so that a lock tells nobody who exists. What counts
//! and what is locked are kept apart: to push out a lock, an attacker has to lock others, which takes ten failures
//! each. An address is what [`client_network`] makes of it.

use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use crate::mail::{AccountId, Timestamp, client_network};
use crate::policy::login::{Failures, Limit, OF_ACCOUNT, OF_PAIR};

/// Whom somebody says to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// An account, by whichever of its names.
    Account(AccountId),
    /// Nobody: a keyed hash of the name.
    Nobody([u8; 16]),
}

/// A lock on an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// The address that it is for; `None` for all.
    pub client: Option<IpAddr>,
    /// When it ends.
    pub until: Timestamp,
}

/// Counts failures and remembers locks. One for the process.
#[derive(Debug)]
pub struct Locks {
    tables: Mutex<Tables>,
}

#[derive(Debug)]
struct Tables {
    pairs: Table<(Subject, IpAddr)>,
    accounts: Table<Subject>,
}

/// Failures by `K`, and what they lock; bounded, see [`MAX_KEPT`].
#[derive(Debug)]
pub struct Table<K: Hash + Eq> {
    limit: Limit,
    failures: LruCache<K, Failures>,
    locked: LruCache<K, Timestamp>,
}

impl Default for Locks {
    fn default() -> Self {
        Self::new()
    }
}

impl Locks {
    /// Nobody has failed yet.
    pub fn new() -> Self {
        Self { tables: Mutex::new(Tables { pairs: Table::new(OF_PAIR), accounts: Table::new(OF_ACCOUNT) }) }
    }

    /// No login of `subject` from `client` is looked at now.
    pub fn is_locked(&self, subject: Subject, client: IpAddr, now: Timestamp) -> bool {
        self.until(subject, client, now).is_some()
    }

    /// When logins of `subject` from `client` are looked at again, if they are not now.
    pub fn until(&self, subject: Subject, client: IpAddr, now: Timestamp) -> Option<Timestamp> {
        let mut tables = self.tables();
        let pair = tables.pairs.until(&(subject, client_network(client)), now);
        pair.max(tables.accounts.until(&subject, now))
    }

    /// Counts a failure; the lock that begins with it. The lock of an account says more than that of a pair.
    pub fn failed(&self, subject: Subject, client: IpAddr, now: Timestamp) -> Option<Lock> {
        let network = client_network(client);
        let mut tables = self.tables();
        let pair = tables.pairs.add((subject, network), now).map(|until| Lock { client: Some(network), until });
        let account = tables.accounts.add(subject, now).map(|until| Lock { client: None, until });
        account.or(pair)
    }

    /// The locks on an account now.
    pub fn of(&self, account: AccountId, now: Timestamp) -> Vec<Lock> {
        let subject = Subject::Account(account);
        let mut tables = self.tables();
        let whole = tables.accounts.until(&subject, now).map(|until| Lock { client: None, until });
        let pairs = tables.pairs.locked.iter().filter(|((of, _), until)| *of == subject && now < **until);
        whole
            .into_iter()
            .chain(pairs.map(|((_, client), until)| Lock { client: Some(*client), until: *until }))
            .collect()
    }

    /// Forgets the locks on an account, and its failures.
    pub fn unlock(&self, account: AccountId) {
        let subject = Subject::Account(account);
        let mut tables = self.tables();
        tables.pairs.forget(|(of, _)| *of == subject);
        tables.accounts.forget(|of| *of == subject);
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq + Copy> Table<K> {
    /// Nothing has failed yet.
    pub fn new(limit: Limit) -> Self {
        // Not bounded by the cache itself, which would make room for the most at once.
        Self { limit, failures: LruCache::unbounded(), locked: LruCache::unbounded() }
    }

    /// Until when the key is locked; `None` if it is not.
    pub fn until(&mut self, key: &K, now: Timestamp) -> Option<Timestamp> {
        let until = *self.locked.peek(key)?;
        if now < until {
            return Some(until);
        }
        self.locked.pop(key);
        None
    }

    /// Counts a failure; until when it locks the key, if it does.
    pub fn add(&mut self, key: K, now: Timestamp) -> Option<Timestamp> {
        // A lock is not made longer by what came before it and was answered late.
        if self.until(&key, now).is_some() {
            return None;
        }
        let limit = self.limit;
        let locked = self.failures.get_or_insert_mut(key, Failures::default).add(now, limit);
        if let Some(until) = locked {
            self.failures.pop(&key);
            self.locked.put(key, until);
        }
        bound(&mut self.failures);
        bound(&mut self.locked);
        locked
    }

    fn forget(&mut self, is_it: impl Fn(&K) -> bool) {
        let failing: Vec<K> = self.failures.iter().map(|(key, _)| *key).filter(&is_it).collect();
        let locked: Vec<K> = self.locked.iter().map(|(key, _)| *key).filter(&is_it).collect();
        for key in failing {
            self.failures.pop(&key);
        }
        for key in locked {
            self.locked.pop(&key);
        }
    }
}

fn bound<K: Hash + Eq, V>(table: &mut LruCache<K, V>) {
    if table.len() > MAX_KEPT {
        table.pop_lru();
    }
}

/// Pairs and accounts that are counted, and as many that are locked: some 200 octets each, and 400 more for an account
/// whose last failures are many.
const MAX_KEPT: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn account(id: u32) -> Subject {
        Subject::Account(AccountId::new(id).unwrap())
    }

    fn ip(n: u8) -> IpAddr {
        [192, 0, 2, n].into()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn ten_failures_from_one_address_lock_that_pair_for_an_hour() {
        for subject in [account(1), Subject::Nobody([7; 16])] {
            let locks = Locks::new();
            for n in 0..9 {
                assert_eq!(locks.failed(subject, ip(1), at(n)), None);
                assert!(!locks.is_locked(subject, ip(1), at(n)));
            }
            let until = at(9 + 3600);
            assert_eq!(locks.failed(subject, ip(1), at(9)), Some(Lock { client: Some(ip(1)), until }));
            assert!(locks.is_locked(subject, ip(1), at(9)) && locks.is_locked(subject, ip(1), at(3608)));
            assert!(!locks.is_locked(subject, ip(2), at(9)), "another address");
            assert!(!locks.is_locked(account(2), ip(1), at(9)), "another account");
            assert!(!locks.is_locked(subject, ip(1), at(3609)));
            assert_eq!(locks.failed(subject, ip(1), at(3609)), None, "it starts from nothing");
        }
    }

    #[test]
    fn fifty_failures_from_anywhere_lock_the_account_for_a_quarter_of_an_hour() {
        let locks = Locks::new();
        for n in 0..49 {
            assert_eq!(locks.failed(account(1), ip(n / 9), at(n.into())), None, "{n}");
        }
        let lock = Lock { client: None, until: at(49 + 900) };
        assert_eq!(locks.failed(account(1), ip(200), at(49)), Some(lock));
        assert_eq!(locks.of(AccountId::new(1).unwrap(), at(49)), [lock]);
        assert!(locks.is_locked(account(1), ip(201), at(948)) && !locks.is_locked(account(1), ip(201), at(949)));
        assert_eq!(locks.of(AccountId::new(1).unwrap(), at(949)), []);
        assert_eq!(locks.of(AccountId::new(2).unwrap(), at(49)), []);
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let locks = Locks::new();
        for n in 0..10 {
            locks.failed(account(1), format!("2001:db8::{n}").parse().unwrap(), at(0));
        }
        assert!(locks.is_locked(account(1), "2001:db8::ffff".parse().unwrap(), at(1)));
        assert!(!locks.is_locked(account(1), "2001:db8:0:1::1".parse().unwrap(), at(1)));
    }

    #[test]
    fn unlocking_forgets_locks_and_failures() {
        let locks = Locks::new();
        for n in 0..60 {
            locks.failed(account(1), ip(n % 5), at(0));
            locks.failed(account(2), ip(1), at(0));
        }
        assert!(locks.of(AccountId::new(1).unwrap(), at(1)).len() > 1);
        locks.unlock(AccountId::new(1).unwrap());
        assert_eq!(locks.of(AccountId::new(1).unwrap(), at(1)), []);
        assert!(!locks.is_locked(account(1), ip(1), at(1)) && locks.is_locked(account(2), ip(1), at(1)));
        assert!((0..9).all(|_| locks.failed(account(1), ip(1), at(1)).is_none()), "counted from nothing");
    }

    #[test]
    fn memory_is_bounded_and_names_do_not_push_out_locks() {
        let locks = Locks::new();
        for _ in 0..10 {
            locks.failed(account(1), ip(1), at(0));
        }
        for n in 0..u32::try_from(MAX_KEPT).unwrap() + 100 {
            let mut name = [0; 16];
            name[..4].copy_from_slice(&n.to_be_bytes());
            locks.failed(Subject::Nobody(name), ip(1), at(1));
        }
        assert!(locks.is_locked(account(1), ip(1), at(1)));
        let tables = locks.tables();
        assert_eq!((tables.pairs.failures.len(), tables.accounts.failures.len()), (MAX_KEPT, MAX_KEPT));
        assert_eq!(tables.pairs.locked.len(), 1);
    }
}
