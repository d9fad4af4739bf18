//! Works off the queue for other hosts: who is due, over which session, and what came of it.
//!
//! A *turn* is one session's work for one lane of a destination. It claims items, so that no other turn takes them,
//! sends them, writes down what came of each transaction in one commit, and then lets go of them. However a turn ends,
//! what it has claimed and not sent goes on with others. An item whose outcome cannot be written stays claimed until the
//! process ends: it may have been delivered, and a second copy is for the next start, when nothing else can be known.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::agenda::{Agenda, Places, Turn};
use super::attempt::Attempt;
use super::claims::{Claim, Claims, Ledger};
use super::courier::{self, Courier};
use super::destination::Destination;
use super::outcome::{End, Outcome};
use super::parcel::{Parcel, RECIPIENTS, parcels};
use super::parking::Parking;
use super::routes::Routes;
use super::schedule::Patience;
use super::session::Session;
use super::settling::{Reach, fate, log, unreached_by};
use crate::accept::sent;
use crate::accept::{self, Desk};
use crate::directory::Directory;
use crate::mail::Timestamp;
use crate::metrics::{Attempted, Metrics};
use crate::store::{Arrival, DestinationDue, DueItems, Error, Lane, QueueItem, Settlement};

/// How the queue is worked off.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many sessions there may be.
    pub places: Places,
    /// How patient the server is.
    pub patience: Patience,
    /// Messages over one session.
    pub messages_per_session: usize,
    /// Exceptions from the way that MX records show.
    pub routes: Routes,
}

/// The worker. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Relay {
    inner: Arc<Inner>,
}

struct Inner {
    desk: Desk,
    courier: Courier,
    settings: Settings,
    directory: Box<dyn Fn() -> Arc<Directory> + Send + Sync>,
    metrics: Metrics,
    agenda: Mutex<Agenda>,
    claims: Ledger,
    parking: Parking,
    woken: Notify,
    /// Turns end after the message that they send.
    is_stopping: AtomicBool,
}

/// What a turn has claimed.
enum Claimed {
    /// The next messages, none if nothing is due; and when something is that is not among them.
    Parcels(Vec<(Parcel, Claim)>, Option<Timestamp>),
    /// The destination has had as many messages in this minute as it may have, or its smarthost has enough sessions.
    NotNow,
}

impl Relay {
    /// For this desk; `directory` gives the directory as it is then.
    pub fn new(
        desk: Desk,
        courier: Courier,
        settings: Settings,
        metrics: Metrics,
        directory: impl Fn() -> Arc<Directory> + Send + Sync + 'static,
    ) -> Self {
        let agenda = Mutex::new(Agenda::new(settings.places, &settings.patience));
        let inner = Inner {
            desk,
            courier,
            settings,
            directory: Box::new(directory),
            metrics,
            agenda,
            claims: Ledger::default(),
            parking: Parking::default(),
            woken: Notify::new(),
            is_stopping: AtomicBool::new(false),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Works until `stopped` comes back; then no turn begins, and those that are under way are waited for.
    pub async fn run(self, stopped: impl Future<Output = ()>) {
        let inner = self.inner;
        let mut turns = JoinSet::new();
        let mut stopped = std::pin::pin!(stopped);
        let mut rescan = tokio::time::interval(RESCAN);
        let mut idle = tokio::time::interval(TICK);
        loop {
            let now = inner.now();
            while let Some(turn) = inner.begin(now) {
                turns.spawn(inner.clone().turn(turn));
            }
            let pause = inner.agenda().next().map_or(TICK, |next| until(now, next).min(TICK));
            tokio::select! {
                news = inner.desk.store.queue_arrivals() => {
                    news.wanted.iter().for_each(|host| inner.agenda().reached(host));
                    for Arrival { host, lane, due } in news.arrivals {
                        inner.arrived(&host, lane, due);
                    }
                    if news.is_incomplete {
                        turns.spawn(inner.clone().load());
                    }
                }
                Some(ended) = turns.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a turn of the queue did not end in order");
                    }
                }
                () = &mut stopped => break,
                () = inner.woken.notified() => {}
                // The first comes at once: it finds what the last process left.
                _ = rescan.tick() => {
                    turns.spawn(inner.clone().load());
                }
                // However much there is to do.
                _ = idle.tick() => inner.parking.close_idle(),
                () = sleep(pause.max(SHORTEST)) => {}
            }
        }
        inner.is_stopping.store(true, Ordering::Relaxed);
        while turns.join_next().await.is_some() {}
    }
}

impl Inner {
    /// Reads which destinations there are. Beside the work: there may be many.
    async fn load(self: Arc<Self>) {
        let mut after = None;
        loop {
            let page = match self.desk.store.queue_destinations(after.clone(), PAGE).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::error!(%error, "the queue's destinations cannot be read; tried again in a minute");
                    sleep(Duration::from_mins(1)).await;
                    continue;
                }
            };
            let Some(last) = page.last() else { return };
            after = Some(last.host.clone());
            for DestinationDue { host, ordinary, bulk } in page {
                for (lane, due) in [(Lane::Ordinary, ordinary), (Lane::Bulk, bulk)] {
                    if let Some(due) = due {
                        self.arrived(&host, lane, due);
                    }
                }
            }
            self.woken.notify_one();
        }
    }

    /// One session's work for a lane.
    async fn turn(self: Arc<Self>, turn: Turn) {
        let (host, lane) = (turn.host.clone(), turn.lane);
        let mut place = Place { inner: &self, turn };
        let claims = self.claims.of(&host);
        let mut line: Option<(Destination, Session)> = None;
        let mut sent = 0;
        while sent < self.settings.messages_per_session && !self.is_stopping.load(Ordering::Relaxed) {
            let (parcels, next) = match self.claim(&mut place.turn, &claims).await {
                Ok(Claimed::Parcels(parcels, next)) if parcels.is_empty() => {
                    self.comes_again(&host, lane, next);
                    return self.park(line, sent).await;
                }
                Ok(Claimed::Parcels(parcels, next)) => (parcels, next),
                // The lane comes again by itself.
                Ok(Claimed::NotNow) => return self.park(line, sent).await,
                Err(error) => {
                    tracing::error!(%host, %error, "the queue cannot be read; tried again in a while");
                    self.agenda().add(&host, lane, self.now().after(AFTER_ERROR));
                    break;
                }
            };
            let mut parcels = parcels.into_iter();
            let mut unreached = None;
            let mut reach = Reach::Reached;
            for (parcel, mut claim) in parcels.by_ref() {
                sent += 1;
                let outcomes;
                (outcomes, reach) = self.send(&mut line, &parcel, &mut claim).await;
                let outcome = if reach == Reach::Unreached { unreached_by(&outcomes) } else { None };
                unreached = outcome.map(|outcome| (parcel.destination.clone(), outcome));
                self.settle(&parcel.items, outcomes, claim).await;
                let is_over = unreached.is_some() || reach == Reach::Slow;
                if is_over || self.is_stopping.load(Ordering::Relaxed) {
                    break;
                }
            }
            let is_all_sent = parcels.len() == 0;
            // What was claimed with them can go on with others.
            drop(parcels);
            match (unreached, reach) {
                (Some((destination, outcome)), _) => {
                    self.agenda().unreached(&host, self.now());
                    self.put_off(&host, lane, &claims, &destination, &outcome).await;
                    break;
                }
                (None, Reach::Slow) => {
                    self.agenda().unreached(&host, self.now());
                    break;
                }
                (None, Reach::Reached | Reach::Unreached) => self.agenda().reached(&host),
            }
            // What has come since, or is to be tried again, has been announced: there is no need to look for it.
            if is_all_sent && next.is_none_or(|next| next > self.now()) {
                self.comes_again(&host, lane, next);
                return self.park(line, sent).await;
            }
        }
        self.look_again(&host, lane, &claims).await;
        self.park(line, sent).await;
    }

    /// Says when the lane has something next, as far as it is not claimed.
    async fn look_again(&self, host: &Arc<str>, lane: Lane, claims: &Claims) {
        match self.due(host, lane, claims, self.now(), 0).await {
            Ok(due) => self.comes_again(host, lane, due.next),
            Err(error) => {
                tracing::error!(%host, %error, "the queue cannot be read; tried again in a while");
                self.agenda().add(host, lane, self.now().after(AFTER_ERROR));
            }
        }
    }

    fn comes_again(&self, host: &Arc<str>, lane: Lane, next: Option<Timestamp>) {
        if let Some(due) = next {
            self.agenda().add(host, lane, due.max(self.now().after(SHORTEST)));
        }
    }

    /// Claims the next few messages of a lane, and lets another turn begin if there is more.
    async fn claim(&self, turn: &mut Turn, claims: &Arc<Claims>) -> Result<Claimed, Error> {
        let _claiming = claims.turn.lock().await;
        let (host, lane) = (&turn.host.clone(), turn.lane);
        let (now, arrivals) = (self.now(), claims.arrivals());
        let mut due = self.due(host, lane, claims, now, FEW).await?;
        if due.items.len() == FEW && self.parcels(&due.items).len() == 1 {
            // One message to many: all of them in one transaction.
            due = self.due(host, lane, claims, now, RECIPIENTS).await?;
        }
        // Without an item that can be read, what comes next is not passed over.
        let none = due.next.map_or(now, |next| next.min(now));
        claims.raise_floor(lane, due.items.first().map_or(none, |first| first.due), arrivals);
        let mut parcels = self.parcels(&due.items);
        let Some(first) = parcels.first() else { return Ok(Claimed::Parcels(Vec::new(), due.next)) };
        // A turn has one way to go.
        let smarthost = first.destination.smarthost().cloned();
        let all = parcels.len();
        parcels.retain(|parcel| parcel.destination.smarthost() == smarthost.as_ref());
        let smarthost = smarthost.map(|(host, port)| format!("{host}:{port}"));
        if !self.agenda().goes_by(turn, smarthost.as_deref(), now) {
            self.agenda().add(host, lane, now);
            return Ok(Claimed::NotNow);
        }
        let wanted = u32::try_from(parcels.len().min(AT_A_TIME)).unwrap_or(1);
        match self.agenda().allow(turn, wanted, now) {
            Ok(allowed) => parcels.truncate(usize::try_from(allowed).unwrap_or(0)),
            Err(later) => {
                self.agenda().add(host, lane, later);
                return Ok(Claimed::NotNow);
            }
        }
        let next = if parcels.len() < all { Some(now) } else { due.next };
        if next.is_some_and(|next| next <= now) {
            self.agenda().add(host, lane, now);
            self.woken.notify_one();
        }
        let claimed = parcels.into_iter().map(|parcel| {
            let claim = claims.take(lane, &parcel.items);
            (parcel, claim)
        });
        Ok(Claimed::Parcels(claimed.collect(), next))
    }

    async fn due(
        &self,
        host: &str,
        lane: Lane,
        claims: &Claims,
        now: Timestamp,
        limit: usize,
    ) -> Result<DueItems, Error> {
        self.desk.store.queue_due(host, lane, (claims.floor(lane), now), limit, claims.is_claimed()).await
    }

    fn parcels(&self, items: &[QueueItem]) -> Vec<Parcel> {
        parcels(&self.settings.routes, &(self.directory)(), items)
    }

    /// Sends a parcel; gives an outcome for each item, and what that says of the destination.
    async fn send(
        &self,
        line: &mut Option<(Destination, Session)>,
        parcel: &Parcel,
        claim: &mut Claim,
    ) -> (Vec<Outcome>, Reach) {
        let (timeouts, start) = (&self.courier.settings.timeouts, Instant::now());
        let attempt = match Attempt::new(&self.desk, parcel, timeouts).await {
            Ok(attempt) => attempt,
            Err(outcome) => return (vec![outcome; parcel.items.len()], Reach::Reached),
        };
        let (outcomes, is_reached) = self.over_hosts(line, parcel, attempt, claim).await;
        self.metrics.attempted(attempted(&outcomes), start.elapsed());
        let reach = match is_reached {
            false => Reach::Unreached,
            true if start.elapsed() < timeouts.slow => Reach::Reached,
            true if outcomes.iter().any(|outcome| outcome.end == End::Relayed) => Reach::Reached,
            true => Reach::Slow,
        };
        (outcomes, reach)
    }

    /// Over the session at hand, or one with the next host that takes mail; gives an outcome for each item, and whether a
    /// session could be had.
    async fn over_hosts(
        &self,
        line: &mut Option<(Destination, Session)>,
        parcel: &Parcel,
        mut attempt: Attempt<'_>,
        claim: &mut Claim,
    ) -> (Vec<Outcome>, bool) {
        let at_hand = match line.take() {
            Some((of, session)) if of.shares_sessions_with(&parcel.destination) => Some(session),
            other => {
                *line = other;
                self.parking.take(&parcel.destination)
            }
        };
        let mut is_reached = false;
        if let Some(session) = at_hand.filter(|session| self.is_usable(session)) {
            claim.keep();
            let session = attempt.over(session).await;
            self.replace(line, &parcel.destination, session);
            // A host that ended the session while it was parked is asked again.
            is_reached = attempt.is_done() || attempt.is_late();
        }
        if is_reached {
            return (attempt.outcomes(), true);
        }
        let mut hosts = match self.courier.hosts(&parcel.destination).await {
            Ok(hosts) => hosts,
            Err(outcome) => return (attempt.end(outcome), false),
        };
        for _ in 0..HOSTS {
            match self.courier.next(&mut hosts, attempt.until()).await {
                Ok(session) => {
                    is_reached = true;
                    claim.keep();
                    let session = attempt.over(session).await;
                    self.replace(line, &parcel.destination, session);
                    if attempt.is_done() || attempt.is_late() {
                        break;
                    }
                }
                // A host that will never take it, as without REQUIRETLS, has failed when no other is left.
                Err(_) if is_reached && !hosts.has_failed() => break,
                Err(outcome) => return (attempt.end(outcome), is_reached),
            }
        }
        (attempt.outcomes(), is_reached)
    }

    fn is_usable(&self, session: &Session) -> bool {
        session.is_open() && session.sent() < self.settings.messages_per_session
    }

    /// Keeps a session for the next message to the destination; the one that was kept is closed.
    fn replace(&self, line: &mut Option<(Destination, Session)>, destination: &Destination, session: Session) {
        let before = if session.is_open() { line.replace((destination.clone(), session)) } else { line.take() };
        if let Some((_, session)) = before {
            tokio::spawn(session.close());
        }
    }

    /// Writes down what came of an attempt, and makes what is to be told of it.
    async fn settle(&self, items: &[QueueItem], outcomes: Vec<Outcome>, mut claim: Claim) {
        let (now, directory) = (self.now(), (self.directory)());
        let (mut fates, mut attempted) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
        for (item, outcome) in items.iter().zip(outcomes) {
            let step = self.settings.patience.step(item, &outcome, now, courier::random());
            log(item, &outcome, &step);
            let (fate, one) = fate(&self.settings.patience, item, outcome, step, now);
            fates.push((item.id, fate));
            attempted.push(one);
        }
        let Some(first) = items.first() else { return };
        let settlement = Settlement {
            transaction: first.transaction,
            blob: first.blob,
            items: fates,
            tell: sent::reports(&directory, &attempted),
            event: sent::event(now, &attempted),
            audit: Vec::new(),
        };
        match self.desk.store.queue_settle(settlement).await {
            Ok(rows) => {
                claim.settled();
                for row in rows {
                    if let Err(error) = accept::follow_up(&self.desk, &directory, &row).await {
                        tracing::error!(id = %first.transaction, %error, "a report is not made yet; tried again");
                    }
                }
            }
            // See the module's documentation.
            Err(error) => {
                claim.keep();
                tracing::error!(id = %first.transaction, %error, "what came of an attempt is not written");
            }
        }
    }

    /// What else is due for a destination that could not be reached was tried with it.
    async fn put_off(&self, host: &Arc<str>, lane: Lane, claims: &Arc<Claims>, to: &Destination, outcome: &Outcome) {
        loop {
            let parcels = {
                let _turn = claims.turn.lock().await;
                let Ok(due) = self.due(host, lane, claims, self.now(), PUT_OFF).await else { return };
                let mut parcels = self.parcels(&due.items);
                parcels.retain(|parcel| parcel.destination == *to);
                let claimed = parcels.into_iter().map(|parcel| (claims.take(lane, &parcel.items), parcel.items));
                claimed.collect::<Vec<_>>()
            };
            if parcels.is_empty() {
                return;
            }
            let settling = parcels.into_iter().map(|(claim, items)| {
                let outcomes = vec![outcome.clone(); items.len()];
                Box::pin(async move { self.settle(&items, outcomes, claim).await })
            });
            let mut all: Vec<_> = settling.collect();
            // Beside each other, so that they share commits.
            poll_fn(|context| {
                all.retain_mut(|settling| settling.as_mut().poll(context).is_pending());
                if all.is_empty() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }

    /// Keeps a session for a while, if it can take more.
    async fn park(&self, line: Option<(Destination, Session)>, sent: usize) {
        let Some((destination, session)) = line else { return };
        if self.is_usable(&session) && sent < self.settings.messages_per_session {
            self.parking.park(destination, session).await;
        } else {
            session.close().await;
        }
    }

    /// Something is there for a destination. Of one of which nothing is remembered, everything is read.
    fn arrived(&self, host: &str, lane: Lane, due: Timestamp) {
        if let Some(claims) = self.claims.known(host) {
            claims.lower_floor(lane, due);
        }
        self.agenda().add(host, lane, due);
    }

    /// The next turn, if there is a place for one.
    fn begin(&self, now: Timestamp) -> Option<Turn> {
        self.agenda().begin(now)
    }

    fn agenda(&self) -> MutexGuard<'_, Agenda> {
        self.agenda.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        self.desk.clock.now()
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A place of the agenda, given back whatever ends the turn.
struct Place<'a> {
    inner: &'a Inner,
    turn: Turn,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.inner.agenda().end(&mut self.turn);
        if std::thread::panicking() {
            // Nobody else has announced what it had claimed.
            self.inner.agenda().add(&self.turn.host, self.turn.lane, self.inner.now());
        }
        self.inner.woken.notify_one();
    }
}

/// What an attempt has come to as a whole.
fn attempted(outcomes: &[Outcome]) -> Attempted {
    let is_any = |end| outcomes.iter().any(|outcome| outcome.end == end);
    match (is_any(End::Relayed), is_any(End::Deferred)) {
        (true, _) => Attempted::Relayed,
        (false, true) => Attempted::Deferred,
        (false, false) => Attempted::Failed,
    }
}

fn until(now: Timestamp, then: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(then.millis().saturating_sub(now.millis())).unwrap_or(0))
}

/// Items looked at to find the next messages …
const FEW: usize = 16;
/// … of which a turn takes so many, so that other sessions find something too.
const AT_A_TIME: usize = 4;
/// Hosts of a destination that a message is offered to in one attempt.
const HOSTS: usize = 5;
/// Items put off together.
const PUT_OFF: usize = 200;
/// How often all destinations are read, so that nothing waits for a reason that nobody thought of.
const RESCAN: Duration = Duration::from_mins(10);
/// Destinations read at a time.
const PAGE: usize = 1_000;
/// How often is looked what is due, since a clock may be set.
const TICK: Duration = Duration::from_millis(500);
const SHORTEST: Duration = Duration::from_millis(1);
const AFTER_ERROR: Duration = Duration::from_secs(10);
