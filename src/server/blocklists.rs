//! The DNS block lists that are asked about clients of port 25 (RFC 5782), and the tests that they must pass.
//!
//! All lists are asked at once, each as long as it may take. Answers are kept for a few minutes, those that are not known
//! for half of one, for the most recent 16,384 clients. A list is asked once its first test is over, for which a client
//! waits as it waits for an answer; after that every hour, and every minute while there is no answer.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::mail::{Clock, Timestamp};
use crate::net::dns::{Dns, DnsError};
use crate::policy::blocklist::{
    Action, Answer, Blocklist, LISTED_BY_ALL, LISTED_BY_NONE, Listing, Standing, Test, Unknown, answer, name,
    safe_text, test,
};

/// The lists. One for the process, shared by all SMTP sessions.
#[derive(Debug)]
pub struct Blocklists {
    lists: Vec<Arc<Watched>>,
    cache: Mutex<LruCache<IpAddr, Kept>>,
}

/// A list and how it stands.
#[derive(Debug)]
struct Watched {
    list: Blocklist,
    state: watch::Sender<State>,
}

/// How a list stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Whether it is asked.
    pub standing: Standing,
    /// What the last test has shown, and when.
    pub tested: Option<(Timestamp, Test)>,
}

#[derive(Debug)]
struct Kept {
    until: Instant,
    listings: Arc<[Listing]>,
}

impl Default for Blocklists {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Blocklists {
    /// These, none of them tested yet.
    pub fn new(lists: Vec<Blocklist>) -> Self {
        let watched = |list| Arc::new(Watched { list, state: watch::Sender::default() });
        let clients = NonZeroUsize::new(CLIENTS).unwrap_or(NonZeroUsize::MIN);
        Self { lists: lists.into_iter().map(watched).collect(), cache: Mutex::new(LruCache::new(clients)) }
    }

    /// The lists in the order of the configuration, and how they stand.
    pub fn states(&self) -> impl Iterator<Item = (&Blocklist, State)> {
        self.lists.iter().map(|watched| (&watched.list, *watched.state.borrow()))
    }

    /// What every list says of a client, in the order of the configuration.
    pub async fn ask(&self, dns: &Dns, client: IpAddr) -> Arc<[Listing]> {
        if self.lists.is_empty() {
            return Arc::new([]);
        }
        if let Some(kept) = self.kept(client) {
            return kept;
        }
        let mut asking = JoinSet::new();
        for (place, watched) in self.lists.iter().cloned().enumerate() {
            let dns = dns.clone();
            asking.spawn(async move { (place, watched.ask(&dns, client).await) });
        }
        let mut listings = asking.join_all().await;
        listings.sort_unstable_by_key(|(place, _)| *place);
        let listings: Arc<[Listing]> = listings.into_iter().map(|(_, listing)| listing).collect();
        self.keep(client, listings.clone());
        listings
    }

    fn kept(&self, client: IpAddr) -> Option<Arc<[Listing]>> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = cache.get(&client).filter(|kept| kept.until > Instant::now())?;
        Some(kept.listings.clone())
    }

    fn keep(&self, client: IpAddr, listings: Arc<[Listing]>) {
        let is_known = listings.iter().all(|listing| !matches!(listing.answer, Answer::Unknown(_)));
        let until = Instant::now() + if is_known { KEPT } else { KEPT_UNKNOWN };
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).put(client, Kept { until, listings });
    }

    /// Tests lists as long as the server runs.
    pub async fn keep_tested(self: Arc<Self>, dns: Dns, clock: Arc<dyn Clock>) {
        if self.lists.is_empty() {
            return;
        }
        let mut minute = tokio::time::interval(MINUTE);
        minute.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for minutes in 0_u64.. {
            minute.tick().await;
            let is_hour = minutes.is_multiple_of(MINUTES_OF_HOUR);
            let is_due = |state: State| is_hour || matches!(state.tested, None | Some((_, Test::NoAnswer)));
            self.test_those(is_due, &dns, clock.now()).await;
        }
    }

    /// Tests all lists now.
    pub async fn test(&self, dns: &Dns, now: Timestamp) {
        self.test_those(|_| true, dns, now).await;
    }

    async fn test_those(&self, is_due: impl Fn(State) -> bool, dns: &Dns, now: Timestamp) {
        let mut testing = JoinSet::new();
        for watched in self.lists.iter().filter(|watched| is_due(*watched.state.borrow())) {
            let (watched, dns) = (watched.clone(), dns.clone());
            testing.spawn(async move { watched.test(&dns, now).await });
        }
        // What a list that has failed has said counts no more.
        if testing.join_all().await.contains(&true) {
            self.cache.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}

impl Watched {
    /// What the list says of a client.
    async fn ask(&self, dns: &Dns, client: IpAddr) -> Listing {
        let until = Instant::now() + self.list.timeout;
        let answer = timeout_at(until, self.answer(dns, client)).await;
        let answer = answer.unwrap_or(Answer::Unknown(Unknown::NoAnswer));
        let is_told = self.list.action == Action::Refuse && matches!(answer, Answer::Listed(_));
        let text = if is_told { timeout_at(until, self.text(dns, client)).await.ok().flatten() } else { None };
        Listing { zone: self.list.zone.clone(), action: self.list.action, answer, text }
    }

    async fn answer(&self, dns: &Dns, client: IpAddr) -> Answer {
        let mut state = self.state.subscribe();
        // The sender lives as long as this; if it ever did not, the list would be off.
        let tested = state.wait_for(|state| state.tested.is_some()).await;
        match tested.map_or(Standing::Off, |state| state.standing) {
            Standing::On => answer(&self.list.codes, self.codes(dns, client).await.as_deref()),
            Standing::Off => Answer::Unknown(Unknown::Off),
            Standing::Untested => Answer::Unknown(Unknown::NoAnswer),
        }
    }

    /// The addresses at the client's name; `None` if there was no answer.
    async fn codes(&self, dns: &Dns, client: IpAddr) -> Option<Vec<Ipv4Addr>> {
        match dns.ipv4(&name(&self.list.zone, client)).await {
            Ok(codes) => Some(codes),
            Err(DnsError::NotFound) => Some(Vec::new()),
            Err(DnsError::Temporary) => None,
        }
    }

    async fn text(&self, dns: &Dns, client: IpAddr) -> Option<String> {
        let texts = dns.txt(&name(&self.list.zone, client)).await.ok()?;
        texts.first().and_then(|text| safe_text(text))
    }

    /// True if the list stands otherwise than before.
    async fn test(&self, dns: &Dns, now: Timestamp) -> bool {
        let (by_all, by_none) = tokio::join!(self.codes(dns, LISTED_BY_ALL), self.codes(dns, LISTED_BY_NONE));
        let found = test(by_all.as_deref(), by_none.as_deref());
        let before = *self.state.borrow();
        let state = State { standing: before.standing.after(found), tested: Some((now, found)) };
        self.state.send_replace(state);
        let (zone, is_news) = (&self.list.zone, before.tested.map(|(_, test)| test) != Some(found));
        match state.standing {
            Standing::On if before.standing == Standing::Off => tracing::info!(%zone, "block list is asked again"),
            Standing::Off if before.standing != Standing::Off => {
                tracing::warn!(%zone, ?found, "block list has failed its test and is not asked until it passes");
            }
            Standing::On | Standing::Off | Standing::Untested if is_news && found == Test::NoAnswer => {
                tracing::warn!(%zone, "block list could not be tested: no answer");
            }
            Standing::On | Standing::Off | Standing::Untested => {}
        }
        state.standing != before.standing
    }
}

/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(300);
/// How long it is kept that there was none.
const KEPT_UNKNOWN: Duration = Duration::from_secs(30);
const CLIENTS: usize = 16_384;
const MINUTE: Duration = Duration::from_secs(60);
const MINUTES_OF_HOUR: u64 = 60;
