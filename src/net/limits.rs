//! How many connections may be open, in total and from one client. A client is an IPv4 address or an IPv6 /64, since
//! a /64 is what one customer is given.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::mail::{Network, client_network};

/// The limits and the connections counted against them. One for the process.
#[derive(Debug)]
pub struct ConnectionLimits {
    total: usize,
    per_client: usize,
    exempt: Vec<Network>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    clients: HashMap<IpAddr, usize>,
}

/// Which limit is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LimitReached {
    /// The server's.
    #[error("too many connections in total")]
    Total,
    /// The client's.
    #[error("too many connections from this address")]
    Client,
}

/// One counted connection; it stops counting when this is dropped.
#[derive(Debug)]
pub struct Admission {
    limits: Arc<ConnectionLimits>,
    client: Option<IpAddr>,
}

impl ConnectionLimits {
    /// `exempt` clients count in total, but have no limit of their own.
    pub fn new(total: usize, per_client: usize, exempt: Vec<Network>) -> Arc<Self> {
        Arc::new(Self { total, per_client, exempt, open: Mutex::default() })
    }

    /// Counts a connection of which the client may not be known yet.
    pub fn admit(self: &Arc<Self>) -> Result<Admission, LimitReached> {
        let mut open = self.open();
        if open.total >= self.total {
            return Err(LimitReached::Total);
        }
        open.total += 1;
        drop(open);
        Ok(Admission { limits: self.clone(), client: None })
    }

    /// Connections open now.
    pub fn open_connections(&self) -> usize {
        self.open().total
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admission {
    /// Counts the connection for its client as well. Called once, when the client is known.
    pub fn identify(&mut self, address: IpAddr) -> Result<(), LimitReached> {
        if self.client.is_some() { Ok(()) } else { self.count_for(address) }
    }

    /// From now on the connection counts for this client, for whom the one that opened it speaks, and no longer for
    /// that one. If the limit is reached, it goes on counting as before.
    pub fn count_for(&mut self, address: IpAddr) -> Result<(), LimitReached> {
        let address = address.to_canonical();
        let is_exempt = self.limits.exempt.iter().any(|network| network.contains(address));
        let client = (!is_exempt).then(|| client_network(address));
        if client == self.client {
            return Ok(());
        }
        let mut open = self.limits.open();
        if let Some(client) = client {
            let count = open.clients.entry(client).or_default();
            if *count >= self.limits.per_client {
                // The entry exists with a count above zero, unless the limit is zero: leave none behind.
                if *count == 0 {
                    open.clients.remove(&client);
                }
                return Err(LimitReached::Client);
            }
            *count += 1;
        }
        open.forget(std::mem::replace(&mut self.client, client));
        Ok(())
    }
}

impl Open {
    fn forget(&mut self, client: Option<IpAddr>) {
        let Some(client) = client else { return };
        if let Some(count) = self.clients.get_mut(&client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.clients.remove(&client);
            }
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut open = self.limits.open();
        open.total = open.total.saturating_sub(1);
        open.forget(self.client);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn total_is_a_limit() {
        let limits = ConnectionLimits::new(2, 10, Vec::new());
        let first = limits.admit().unwrap();
        let _second = limits.admit().unwrap();
        assert_eq!(limits.admit().unwrap_err(), LimitReached::Total);
        drop(first);
        assert!(limits.admit().is_ok());
    }

    #[test]
    fn clients_are_limited_each_alone() {
        let limits = ConnectionLimits::new(100, 2, vec!["127.0.0.0/8".parse().unwrap()]);
        let mut held = Vec::new();
        for (address, expected) in [
            ("192.0.2.1", Ok(())),
            ("192.0.2.1", Ok(())),
            ("192.0.2.1", Err(LimitReached::Client)),
            ("::ffff:192.0.2.1", Err(LimitReached::Client)),
            ("192.0.2.2", Ok(())),
            ("2001:db8::1", Ok(())),
            ("2001:db8::ffff:1", Ok(())),
            ("2001:db8::2", Err(LimitReached::Client)),
            ("2001:db8:0:1::2", Ok(())),
            ("127.0.0.1", Ok(())),
            ("127.0.0.1", Ok(())),
            ("127.0.0.1", Ok(())),
        ] {
            let mut admission = limits.admit().unwrap();
            assert_eq!(admission.identify(ip(address)), expected, "{address}");
            held.push(admission);
        }
        drop(held);
        assert_eq!(limits.open_connections(), 0);
        assert!(limits.open().clients.is_empty(), "nothing is kept for clients that left");
    }

    #[test]
    fn connection_counts_for_the_client_that_it_speaks_for() {
        let limits = ConnectionLimits::new(100, 1, vec!["192.0.2.1".parse().unwrap()]);
        let [gateway, client] = [ip("192.0.2.1"), ip("203.0.113.9")];
        let mut first = limits.admit().unwrap();
        let mut second = limits.admit().unwrap();
        assert_eq!((first.identify(gateway), second.identify(gateway)), (Ok(()), Ok(())));
        assert_eq!((first.count_for(client), first.count_for(client)), (Ok(()), Ok(())));
        assert_eq!(second.count_for(client), Err(LimitReached::Client));
        assert_eq!(first.count_for(ip("203.0.113.10")), Ok(()));
        assert_eq!(second.count_for(client), Ok(()), "the first speaks for another");
        drop((first, second));
        assert!(limits.open().clients.is_empty(), "nothing is kept");
    }

    #[test]
    fn refused_client_leaves_nothing() {
        let limits = ConnectionLimits::new(1, 0, Vec::new());
        assert_eq!(limits.admit().unwrap().identify(ip("192.0.2.1")), Err(LimitReached::Client));
        assert!(limits.open().clients.is_empty());
        assert_eq!(limits.open_connections(), 0);
    }
}
