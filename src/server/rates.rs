//! What accounts send and what clients without a login do, counted (policy semantics §18).
//!
//! One for the process, shared by all SMTP sessions. The messages of the last minute are in memory alone. The recipients
//! of a day are in memory while an account sends, and in a row of the store that grows in the commit which accepts a
//! message: that costs no commit of its own. Each table holds the most recent 65,536.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use crate::directory::Account;
use crate::mail::{AccountId, Network, Timestamp, client_network};
use crate::policy::rate::{Hit, LastMinute, Minutes, OfAccount, OfClient, Rate, Today};
use crate::store::{self, StateKey, Store};

/// The limits, from the configuration.
#[derive(Clone, Debug)]
pub struct RateLimits {
    /// Of accounts that have none of their own.
    pub account: OfAccount,
    /// Of clients without a login.
    pub client: OfClient,
    /// Clients that have none.
    pub exempt: Vec<Network>,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            account: OfAccount::default(),
            client: OfClient::default(),
            exempt: ["127.0.0.0/8", "::1"].into_iter().filter_map(|text| text.parse().ok()).collect(),
        }
    }
}

/// The counts.
#[derive(Debug)]
pub struct Rates {
    limits: RateLimits,
    accounts: Mutex<LruCache<AccountId, Usage>>,
    connections: Mutex<LruCache<IpAddr, LastMinute>>,
    messages: Mutex<LruCache<IpAddr, LastMinute>>,
}

/// What an account has sent.
#[derive(Debug, Default)]
struct Usage {
    messages: LastMinute,
    exceeded: Minutes,
    /// `None` until the row has been read.
    recipients: Option<Today>,
}

/// Whose message counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// An account's, which has this limit.
    Account(AccountId, OfAccount),
    /// A client's.
    Client(IpAddr),
    /// Nobody's: a trusted relay, a gateway, or a client that is exempt.
    Nobody,
}

impl Rates {
    /// Nobody has sent anything yet.
    pub fn new(limits: RateLimits) -> Arc<Self> {
        // Not bounded by the caches themselves, which would make room for the most at once.
        Arc::new(Self {
            limits,
            accounts: Mutex::new(LruCache::unbounded()),
            connections: Mutex::new(LruCache::unbounded()),
            messages: Mutex::new(LruCache::unbounded()),
        })
    }

    /// An account, with the limits that it has.
    pub fn account(&self, account: &Account) -> Counted {
        let (own, server) = (account.settings(), self.limits.account);
        let limits = OfAccount {
            messages_per_minute: own.messages_per_minute.unwrap_or(server.messages_per_minute),
            recipients_per_day: own.recipients_per_day.unwrap_or(server.recipients_per_day),
        };
        Counted::Account(account.id, limits)
    }

    /// A client without a login.
    pub fn client(&self, address: IpAddr) -> Counted {
        let is_exempt = self.limits.exempt.iter().any(|network| network.contains(address));
        if is_exempt { Counted::Nobody } else { Counted::Client(client_network(address)) }
    }

    /// Counts a connection; false if there are too many.
    pub fn connect(&self, who: Counted, now: Timestamp) -> bool {
        match who {
            Counted::Client(client) => take(&self.connections, client, self.limits.client.connections_per_minute, now),
            Counted::Account(..) | Counted::Nobody => true,
        }
    }

    /// A connection that was counted is one with a login.
    pub fn log_in(&self, who: Counted) {
        if let Counted::Client(client) = who
            && let Some(minute) = locked(&self.connections).peek_mut(&client)
        {
            minute.give_back();
        }
    }

    /// Counts a message.
    pub fn message(&self, who: Counted, now: Timestamp) -> Rate {
        let is_within = match who {
            Counted::Account(account, limits) => {
                let mut accounts = locked(&self.accounts);
                usage(&mut accounts, account).messages.take(limits.messages_per_minute, now)
            }
            Counted::Client(client) => take(&self.messages, client, self.limits.client.messages_per_minute, now),
            Counted::Nobody => true,
        };
        if is_within { Rate::Within } else { Rate::Exceeded }
    }

    /// The message that was counted last was none.
    pub fn no_message(&self, who: Counted) {
        match who {
            Counted::Account(account, _) => {
                if let Some(usage) = locked(&self.accounts).peek_mut(&account) {
                    usage.messages.give_back();
                }
            }
            Counted::Client(client) => {
                if let Some(minute) = locked(&self.messages).peek_mut(&client) {
                    minute.give_back();
                }
            }
            Counted::Nobody => {}
        }
    }

    /// A message of an account was refused because of the limit.
    pub fn message_refused(&self, account: AccountId, now: Timestamp) -> Hit {
        usage(&mut locked(&self.accounts), account).exceeded.exceed(now)
    }

    /// Counts recipients of a message of an account, until the message is accepted or given up. `None` beyond the limit.
    /// Fails if what the account has sent today cannot be read.
    pub async fn recipients(
        self: &Arc<Self>,
        store: &Store,
        (account, limits): (AccountId, OfAccount),
        weight: u32,
        now: Timestamp,
    ) -> Result<Option<Reserved>, store::Error> {
        self.load(store, account).await?;
        let mut accounts = locked(&self.accounts);
        let today = usage(&mut accounts, account).recipients.get_or_insert_default();
        let is_within = today.take(weight, limits.recipients_per_day, now);
        drop(accounts);
        let rates = self.clone();
        // Made only if it is: what is dropped gives back.
        Ok(is_within.then(|| Reserved { rates, account, weight, is_counted: false }))
    }

    /// Recipients of an account were refused because of the limit.
    pub fn recipients_refused(&self, (account, limits): (AccountId, OfAccount), weight: u32, now: Timestamp) -> Hit {
        let mut accounts = locked(&self.accounts);
        let today = usage(&mut accounts, account).recipients.get_or_insert_default();
        today.refuse(weight, limits.recipients_per_day, now)
    }

    /// Forgets how often an account has exceeded a limit, and the messages of its last minute; what it has sent today
    /// stays counted.
    pub fn forgive(&self, account: AccountId) {
        if let Some(usage) = locked(&self.accounts).peek_mut(&account) {
            (usage.messages, usage.exceeded) = (LastMinute::default(), Minutes::default());
            if let Some(today) = &mut usage.recipients {
                today.forgive();
            }
        }
    }

    async fn load(&self, store: &Store, account: AccountId) -> Result<(), store::Error> {
        let is_known = locked(&self.accounts).peek(&account).is_some_and(|usage| usage.recipients.is_some());
        if is_known {
            return Ok(());
        }
        let stored = match row(account) {
            Some(row) => store.state(row).await?,
            None => None,
        };
        let stored = stored.map(|octets| Today::decode(&octets)).unwrap_or_default();
        // Another session may have been first, and has counted since.
        usage(&mut locked(&self.accounts), account).recipients.get_or_insert(stored);
        Ok(())
    }
}

/// Recipients that count for an account; given back when this is dropped, unless their message is accepted.
#[derive(Debug)]
pub struct Reserved {
    rates: Arc<Rates>,
    account: AccountId,
    weight: u32,
    is_counted: bool,
}

impl Reserved {
    /// Takes what another counts.
    pub fn join(&mut self, mut other: Self) {
        self.weight = self.weight.saturating_add(std::mem::take(&mut other.weight));
    }

    /// Their message is about to be accepted: the row that is to grow in the same commit. [`Reserved::keep`] when that
    /// is made.
    pub fn count(&mut self, now: Timestamp) -> Option<(StateKey, Vec<u8>)> {
        let mut accounts = locked(&self.rates.accounts);
        let today = usage(&mut accounts, self.account).recipients.get_or_insert_default();
        today.accept(self.weight, now);
        self.is_counted = true;
        Some((row(self.account)?, today.encode()))
    }

    /// Their message is accepted.
    pub fn keep(mut self) {
        self.weight = 0;
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some(Usage { recipients: Some(today), .. }) = locked(&self.rates.accounts).peek_mut(&self.account) {
            if self.is_counted { today.take_back(self.weight) } else { today.give_back(self.weight) }
        }
    }
}

/// The row of an account's recipients of a day.
fn row(account: AccountId) -> Option<StateKey> {
    StateKey::new(format!("sent/{account}"))
}

fn take(table: &Mutex<LruCache<IpAddr, LastMinute>>, client: IpAddr, limit: u32, now: Timestamp) -> bool {
    let mut table = locked(table);
    // First, so that it is not the oldest and hides those behind it.
    let is_within = table.get_or_insert_mut(client, LastMinute::default).take(limit, now);
    // Who has been quiet for a minute needs no place.
    while let Some((oldest, mut minute)) = table.pop_lru() {
        if oldest == client || !minute.is_over(now) {
            table.put(oldest, minute);
            table.demote(&oldest);
            break;
        }
    }
    if table.len() > MAX_KEPT {
        table.pop_lru();
    }
    is_within
}

fn usage(accounts: &mut LruCache<AccountId, Usage>, account: AccountId) -> &mut Usage {
    if accounts.len() >= MAX_KEPT && !accounts.contains(&account) {
        accounts.pop_lru();
    }
    accounts.get_or_insert_mut(account, Usage::default)
}

fn locked<T>(table: &Mutex<T>) -> MutexGuard<'_, T> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Clients, or accounts, that are counted: some 100 octets each, and 8 more for each message of the last minute.
const MAX_KEPT: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn clients_are_counted_each_alone() {
        let rates = Rates::new(RateLimits::default());
        let [one, other] = [rates.client(ip("192.0.2.1")), rates.client(ip("192.0.2.2"))];
        assert_eq!(rates.client(ip("::ffff:192.0.2.1")), one);
        assert_eq!(rates.client(ip("2001:db8::1")), rates.client(ip("2001:db8::ffff:1")));
        assert_ne!(rates.client(ip("2001:db8::1")), rates.client(ip("2001:db8:0:1::1")));
        assert_eq!((rates.client(ip("127.0.0.9")), rates.client(ip("::1"))), (Counted::Nobody, Counted::Nobody));
        assert!((0..30).all(|_| rates.connect(one, at(0))) && !rates.connect(one, at(59)));
        assert!(rates.connect(other, at(59)) && rates.connect(one, at(60)));
        assert!((0..100).all(|_| rates.message(one, at(0)) == Rate::Within));
        assert_eq!((rates.message(one, at(1)), rates.message(other, at(1))), (Rate::Exceeded, Rate::Within));
        assert!((0..1000).all(|_| rates.connect(Counted::Nobody, at(0))));
    }

    #[test]
    fn connections_with_a_login_do_not_count() {
        let rates = Rates::new(RateLimits::default());
        let office = rates.client(ip("192.0.2.1"));
        for _ in 0..100 {
            assert!(rates.connect(office, at(0)));
            rates.log_in(office);
        }
    }

    #[test]
    fn ten_thousand_clients_leave_nothing_and_a_million_are_bounded() {
        let rates = Rates::new(RateLimits::default());
        let client = |n: u32| rates.client(IpAddr::V4((0x0a00_0000 + n).into()));
        for n in 0..10_000 {
            assert!(rates.connect(client(n), at(0)));
        }
        assert_eq!(locked(&rates.connections).len(), 10_000);
        assert!(rates.connect(client(0), at(60)));
        assert_eq!(locked(&rates.connections).len(), 1, "those of before have been quiet for a minute");
        for n in 0..u32::try_from(MAX_KEPT).unwrap() + 1000 {
            assert_eq!(rates.message(client(n), at(60)), Rate::Within);
        }
        assert_eq!(locked(&rates.messages).len(), MAX_KEPT);
    }
}
