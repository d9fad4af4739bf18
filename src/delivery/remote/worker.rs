//! Works off the queue for other hosts: who is due, over which session, and what came of it.
//!
//! A *turn* is one session's work for one lane of a destination. It claims items, so that no other turn takes them,
//! sends them, writes down what came of each transaction in one commit, and then lets go of them. An item whose outcome
//! cannot be written stays claimed until the process ends: it may have been delivered, and a second copy is for the
//! next start, when nothing else can be known.

use std::collections::{HashMap, HashSet};
use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use lru::LruCache;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::agenda::{Agenda, Places};
use super::courier::Courier;
use super::destination::Destination;
use super::outcome::{End, Outcome, Scope};
use super::outgoing::{Outgoing, OutgoingRecipient};
use super::routes::Routes;
use super::schedule::{Patience, Step, later};
use super::session::Session;
use crate::accept::sent::{self, Attempted, Happened};
use crate::accept::{self, Desk};
use crate::directory::Directory;
use crate::mail::{EnhancedCode, QueueId, Timestamp};
use crate::proto::message::header;
use crate::store::{Arrival, DestinationDue, Error, Fate, Lane, LastAttempt, QueueItem, QueueKind, Settlement};

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
    agenda: Mutex<Agenda>,
    claims: Mutex<LruCache<Arc<str>, Arc<Claims>>>,
    /// Sessions that wait for more to send.
    parked: Mutex<Vec<Parked>>,
    woken: Notify,
    /// Turns end after the message that they send.
    is_stopping: AtomicBool,
}

/// What is being sent to a destination.
#[derive(Debug, Default)]
struct Claims {
    /// Held from looking for items to claiming them.
    turn: tokio::sync::Mutex<()>,
    /// Those that are claimed, and when they were due.
    claimed: Mutex<HashMap<QueueId, Timestamp>>,
    floors: Mutex<Floors>,
}

/// Before when nothing is due any more, of each lane. Reading from the start would pass over all that was settled.
#[derive(Debug, Default)]
struct Floors {
    of: [i64; 2],
    /// How often something has come.
    arrivals: u64,
}

struct Parked {
    destination: Destination,
    session: Session,
    since: Instant,
}

/// What a turn has claimed.
enum Claimed {
    /// The next messages; none if nothing is due.
    Parcels(Vec<Parcel>),
    /// The destination has had as many messages in this minute as it may have.
    TooSoon,
}

/// Items that are sent in one transaction.
struct Parcel {
    destination: Destination,
    items: Vec<QueueItem>,
}

impl Relay {
    /// For this desk; `directory` gives the directory as it is then.
    pub fn new(
        desk: Desk,
        courier: Courier,
        settings: Settings,
        directory: impl Fn() -> Arc<Directory> + Send + Sync + 'static,
    ) -> Self {
        let agenda = Mutex::new(Agenda::new(settings.places, &settings.patience));
        let inner = Inner {
            desk,
            courier,
            settings,
            directory: Box::new(directory),
            agenda,
            claims: Mutex::new(LruCache::new(REMEMBERED)),
            parked: Mutex::default(),
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
        loop {
            let now = inner.now();
            while let Some((host, lane)) = inner.agenda().begin(now) {
                turns.spawn(inner.clone().turn(host, lane));
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
                () = sleep(pause.max(SHORTEST)) => inner.close_idle(),
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
    async fn turn(self: Arc<Self>, host: Arc<str>, lane: Lane) {
        let _place = Place { inner: &self, host: &host, lane };
        let claims = self.claims(&host);
        let mut line: Option<(Destination, Session)> = None;
        let mut sent = 0;
        while sent < self.settings.messages_per_session && !self.is_stopping.load(Ordering::Relaxed) {
            let parcels = match self.claim(&host, lane, &claims).await {
                Ok(Claimed::Parcels(parcels)) if parcels.is_empty() => break,
                Ok(Claimed::Parcels(parcels)) => parcels,
                // The lane comes again by itself.
                Ok(Claimed::TooSoon) => return self.park(line, sent).await,
                Err(error) => {
                    tracing::error!(%host, %error, "the queue cannot be read; tried again in a while");
                    self.agenda().add(&host, lane, later(self.now(), AFTER_ERROR));
                    break;
                }
            };
            let mut parcels = parcels.into_iter();
            let mut unreached = None;
            for parcel in parcels.by_ref() {
                sent += 1;
                let (outcomes, is_reached) = self.send(&mut line, &parcel).await;
                let outcome = if is_reached { None } else { unreached_by(&outcomes) };
                unreached = outcome.map(|outcome| (parcel.destination.clone(), outcome));
                self.settle(&parcel.items, outcomes, &claims).await;
                if unreached.is_some() || self.is_stopping.load(Ordering::Relaxed) {
                    break;
                }
            }
            // What was claimed with them can go on with others.
            parcels.for_each(|parcel| claims.give_back(lane, &parcel.items));
            match unreached {
                Some((destination, outcome)) => {
                    self.agenda().unreached(&host, self.now());
                    self.put_off(&host, lane, &claims, &destination, &outcome).await;
                    break;
                }
                None => self.agenda().reached(&host),
            }
        }
        self.look_again(&host, lane, &claims).await;
        self.park(line, sent).await;
    }

    /// Says when the lane has something next, as far as it is not claimed.
    async fn look_again(&self, host: &Arc<str>, lane: Lane, claims: &Claims) {
        match self.desk.store.queue_next(host, lane, claims.floor(lane), claims.is_claimed()).await {
            Ok(Some(due)) => self.agenda().add(host, lane, due.max(later(self.now(), SHORTEST))),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%host, %error, "the queue cannot be read; tried again in a while");
                self.agenda().add(host, lane, later(self.now(), AFTER_ERROR));
            }
        }
    }

    /// Claims the next few messages of a lane, and lets another turn begin if there is more.
    async fn claim(&self, host: &Arc<str>, lane: Lane, claims: &Claims) -> Result<Claimed, Error> {
        let _turn = claims.turn.lock().await;
        let (now, arrivals) = (self.now(), claims.arrivals());
        let mut items = self.due(host, lane, claims, now, FEW).await?;
        if items.len() == FEW && self.parcels(&items).len() == 1 {
            // One message to many: all of them in one transaction.
            items = self.due(host, lane, claims, now, RECIPIENTS).await?;
        }
        let is_all = items.len() < FEW;
        claims.raise_floor(lane, items.first().map_or(now, |first| first.due), arrivals);
        let mut parcels = self.parcels(&items);
        let wanted = u32::try_from(parcels.len().min(AT_A_TIME)).unwrap_or(1);
        let allowed = if parcels.is_empty() { Ok(0) } else { self.agenda().allow(host, wanted, now) };
        let has_more = match allowed {
            Ok(allowed) => {
                let allowed = usize::try_from(allowed).unwrap_or(0);
                let has_more = !is_all || parcels.len() > allowed;
                parcels.truncate(allowed);
                has_more.then_some(now)
            }
            Err(later) => {
                self.agenda().add(host, lane, later);
                return Ok(Claimed::TooSoon);
            }
        };
        parcels.iter().for_each(|parcel| claims.take(&parcel.items));
        if let (Some(due), false) = (has_more, items.is_empty()) {
            self.agenda().add(host, lane, due);
            self.woken.notify_one();
        }
        Ok(Claimed::Parcels(parcels))
    }

    async fn due(
        &self,
        host: &str,
        lane: Lane,
        claims: &Claims,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<QueueItem>, Error> {
        self.desk.store.queue_due(host, lane, (claims.floor(lane), now), limit, claims.is_claimed()).await
    }

    /// Items of one message and with one way to go are one transaction.
    fn parcels(&self, items: &[QueueItem]) -> Vec<Parcel> {
        let directory = (self.directory)();
        let mut parcels: Vec<Parcel> = Vec::new();
        for item in items {
            let QueueKind::Remote(remote) = &item.kind else { continue };
            let destination = Destination {
                host: remote.recipient.host().clone(),
                route: self.settings.routes.of(&directory, remote, &item.reverse_path),
                requires_tls: remote.requires_tls,
            };
            let fits = |parcel: &&mut Parcel| {
                parcel.destination == destination
                    && parcel.items.len() < RECIPIENTS
                    && parcel.items.first().is_some_and(|first| is_alike(first, item))
            };
            match parcels.iter_mut().find(fits) {
                Some(parcel) => parcel.items.push(item.clone()),
                None => parcels.push(Parcel { destination, items: vec![item.clone()] }),
            }
        }
        parcels
    }

    /// Sends a parcel over the session at hand, or one with the next host that takes mail; gives an outcome for each
    /// item, and whether a session could be had.
    async fn send(&self, line: &mut Option<(Destination, Session)>, parcel: &Parcel) -> (Vec<Outcome>, bool) {
        let mut try_of = match Try::new(&self.desk, parcel).await {
            Ok(try_of) => try_of,
            Err(outcome) => return (vec![outcome; parcel.items.len()], true),
        };
        let at_hand = match line.take() {
            Some((destination, session)) if destination == parcel.destination => Some(session),
            other => {
                *line = other;
                self.unpark(&parcel.destination)
            }
        };
        if let Some(session) = at_hand.filter(|session| self.is_usable(session)) {
            let session = try_of.over(session).await;
            self.replace(line, &parcel.destination, session);
            if try_of.is_done() {
                return (try_of.outcomes(), true);
            }
        }
        let mut hosts = match self.courier.hosts(&parcel.destination).await {
            Ok(hosts) => hosts,
            Err(outcome) => return (try_of.end(outcome), false),
        };
        let mut is_reached = false;
        for _ in 0..HOSTS {
            match self.courier.next(&mut hosts).await {
                Ok(session) => {
                    is_reached = true;
                    let session = try_of.over(session).await;
                    self.replace(line, &parcel.destination, session);
                    if try_of.is_done() {
                        break;
                    }
                }
                Err(outcome) => return (try_of.end(outcome), is_reached),
            }
        }
        (try_of.outcomes(), is_reached)
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
    async fn settle(&self, items: &[QueueItem], outcomes: Vec<Outcome>, claims: &Claims) {
        let (now, directory) = (self.now(), (self.directory)());
        let (mut fates, mut attempted) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
        for (item, outcome) in items.iter().zip(outcomes) {
            let step = self.settings.patience.step(item, &outcome, now, drawn());
            log(item, &outcome, &step);
            let (fate, one) = self.fate(item, outcome, step, now);
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
        };
        match self.desk.store.queue_settle(settlement).await {
            Ok(rows) => {
                claims.let_go(items);
                for row in rows {
                    if let Err(error) = accept::follow_up(&self.desk, &directory, &row).await {
                        tracing::error!(id = %first.transaction, %error, "a report is not made yet; tried again");
                    }
                }
            }
            // See the module's documentation.
            Err(error) => tracing::error!(id = %first.transaction, %error, "what came of an attempt is not written"),
        }
    }

    fn fate<'a>(&self, item: &'a QueueItem, outcome: Outcome, step: Step, now: Timestamp) -> (Fate, Attempted<'a>) {
        let status = match step {
            Step::Failed { status, .. } => status,
            Step::Relayed { .. } | Step::Again { .. } => outcome.status,
        };
        let host = outcome.host.map(|host| format!("{} [{}]", host.name, host.address));
        let Outcome { text, is_reply, tls, .. } = outcome;
        let attempt = LastAttempt { at: now, status, text, is_reply, host, tls };
        let (what, report) = match step {
            Step::Relayed { report } => (Happened::Relayed, report),
            Step::Failed { report, .. } => (Happened::Failed, report),
            Step::Again { due, report } => {
                let until = later(item.created, self.settings.patience.give_up_after);
                (Happened::Deferred { due, until }, report)
            }
        };
        let fate = match what {
            Happened::Deferred { due, .. } => Fate::Waits { due, last: attempt.clone(), is_announced: report },
            Happened::Relayed | Happened::Failed => Fate::Ends,
        };
        (fate, Attempted { item, what, attempt, report })
    }

    /// What else is due for a destination that could not be reached was tried with it.
    async fn put_off(&self, host: &Arc<str>, lane: Lane, claims: &Claims, to: &Destination, outcome: &Outcome) {
        loop {
            let parcels = {
                let _turn = claims.turn.lock().await;
                let Ok(items) = self.due(host, lane, claims, self.now(), PUT_OFF).await else { return };
                let mut parcels = self.parcels(&items);
                parcels.retain(|parcel| parcel.destination == *to);
                parcels.iter().for_each(|parcel| claims.take(&parcel.items));
                parcels
            };
            if parcels.is_empty() {
                return;
            }
            let settling = parcels.iter().map(|parcel| {
                let outcomes = vec![outcome.clone(); parcel.items.len()];
                Box::pin(self.settle(&parcel.items, outcomes, claims))
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

    /// Keeps a session for a while: more may come for its destination.
    async fn park(&self, line: Option<(Destination, Session)>, sent: usize) {
        let Some((destination, session)) = line else { return };
        if !self.is_usable(&session) || sent >= self.settings.messages_per_session {
            return session.close().await;
        }
        let too_many = {
            let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
            parked.push(Parked { destination, session, since: Instant::now() });
            if parked.len() > PARKED { Some(parked.remove(0)) } else { None }
        };
        if let Some(oldest) = too_many {
            oldest.session.close().await;
        }
    }

    /// A session that waits for this destination.
    fn unpark(&self, destination: &Destination) -> Option<Session> {
        let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        let at = parked.iter().rposition(|parked| parked.destination == *destination)?;
        Some(parked.remove(at).session)
    }

    fn close_idle(&self) {
        let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        while parked.first().is_some_and(|parked| parked.since.elapsed() >= IDLE) {
            tokio::spawn(parked.remove(0).session.close());
        }
    }

    /// Something is there for a destination. Of one of which nothing is remembered, everything is read.
    fn arrived(&self, host: &str, lane: Lane, due: Timestamp) {
        let known = self.claims.lock().unwrap_or_else(PoisonError::into_inner).peek(host).cloned();
        if let Some(claims) = known {
            claims.lower_floor(lane, due);
        }
        self.agenda().add(host, lane, due);
    }

    fn claims(&self, host: &Arc<str>) -> Arc<Claims> {
        let mut all = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(host) {
            return known.clone();
        }
        let claims = Arc::new(Claims::default());
        // One that is in use must not be forgotten: others would take what it has claimed.
        if all.len() >= all.cap().get()
            && let Some((host, oldest)) = all.pop_lru()
            && (Arc::strong_count(&oldest) > 1 || oldest.has_claims())
        {
            all.push(host, oldest);
            let more = all.cap().saturating_add(REMEMBERED.get());
            all.resize(more);
        }
        all.push(host.clone(), claims.clone());
        claims
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

impl Claims {
    /// Tells of an item whether it is claimed now, which is before the store is read: what is settled and let go of
    /// after a snapshot was taken is in that as it was, and would be sent again.
    fn is_claimed(&self) -> impl Fn(QueueId) -> bool + Send + 'static {
        let claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        let claimed: HashSet<QueueId> = claimed.keys().copied().collect();
        move |id| claimed.contains(&id)
    }

    fn take(&self, items: &[QueueItem]) {
        self.claimed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(items.iter().map(|item| (item.id, item.due)));
    }

    fn let_go(&self, items: &[QueueItem]) {
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        items.iter().for_each(|item| {
            claimed.remove(&item.id);
        });
    }

    /// The same for what has not been tried: others find it where it was.
    fn give_back(&self, lane: Lane, items: &[QueueItem]) {
        self.let_go(items);
        items.iter().for_each(|item| self.lower_floor(lane, item.due));
    }

    fn has_claims(&self) -> bool {
        !self.claimed.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn floor(&self, lane: Lane) -> Timestamp {
        let floors = self.floors.lock().unwrap_or_else(PoisonError::into_inner);
        Timestamp::from_millis(floors.of.get(lane as usize).copied().unwrap_or(0))
    }

    /// Nothing was due before `due` but for what is claimed, which may come back to its place. What has come since
    /// `arrivals` was not seen by who says so.
    fn raise_floor(&self, lane: Lane, due: Timestamp, arrivals: u64) {
        let claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner).values().min().copied();
        let mut floors = self.floors.lock().unwrap_or_else(PoisonError::into_inner);
        if floors.arrivals == arrivals
            && let Some(floor) = floors.of.get_mut(lane as usize)
        {
            *floor = claimed.map_or(due, |first| first.min(due)).millis();
        }
    }

    fn arrivals(&self) -> u64 {
        self.floors.lock().unwrap_or_else(PoisonError::into_inner).arrivals
    }

    /// Something has come with this time: the clock may have been set back, or its commit have taken longer than those
    /// that came after it.
    fn lower_floor(&self, lane: Lane, due: Timestamp) {
        let mut floors = self.floors.lock().unwrap_or_else(PoisonError::into_inner);
        floors.arrivals = floors.arrivals.wrapping_add(1);
        if let Some(floor) = floors.of.get_mut(lane as usize) {
            *floor = (*floor).min(due.millis());
        }
    }
}

/// A place of the agenda, given back whatever ends the turn.
struct Place<'a> {
    inner: &'a Inner,
    host: &'a str,
    lane: Lane,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.inner.agenda().end(self.host, self.lane);
        self.inner.woken.notify_one();
    }
}

/// A parcel on its way, and what came of each recipient so far.
struct Try<'a> {
    desk: &'a Desk,
    parcel: &'a Parcel,
    message: crate::store::Message,
    recipients: Vec<OutgoingRecipient>,
    outcomes: Vec<Option<Outcome>>,
}

impl<'a> Try<'a> {
    async fn new(desk: &'a Desk, parcel: &'a Parcel) -> Result<Self, Outcome> {
        let lost = |text: &str| Outcome::ours(End::Deferred, Scope::Message, (3, 0), text);
        let blob = parcel.items.first().map(|item| item.blob).ok_or_else(|| lost("there is nothing to send"))?;
        let mut message = desk.store.read(move |reader| reader.message(blob)).await.map_err(|error| {
            tracing::error!(%blob, %error, "a queued message cannot be read");
            lost("the message cannot be read from the store")
        })?;
        // RFC 5321 §4.4: whoever delivers writes Return-Path, and nobody sends it on.
        let fields = header::fields(&message.prefix).filter(|field| !field.is(b"Return-Path"));
        message.prefix = fields.flat_map(|field| field.raw.iter().copied()).collect();
        let recipient = |item: &QueueItem| match &item.kind {
            QueueKind::Remote(remote) => Some(OutgoingRecipient {
                address: remote.recipient.clone(),
                notify: remote.notify,
                original: remote.original.clone(),
            }),
            QueueKind::Full(_) => None,
        };
        let recipients = parcel.items.iter().filter_map(recipient).collect();
        Ok(Self { desk, parcel, message, recipients, outcomes: vec![None; parcel.items.len()] })
    }

    /// Sends to those for whom it is not decided.
    async fn over(&mut self, mut session: Session) -> Session {
        let left: Vec<usize> = (0..self.outcomes.len()).filter(|at| self.is_open(*at)).collect();
        let recipients: Vec<_> = left.iter().filter_map(|at| self.recipients.get(*at).cloned()).collect();
        let Some(QueueItem { kind: QueueKind::Remote(remote), reverse_path, .. }) = self.parcel.items.first() else {
            return session;
        };
        let outgoing = Outgoing {
            reverse_path,
            envelope_id: remote.envelope_id.as_deref(),
            ret: remote.ret,
            requires_tls: remote.requires_tls,
            recipients: &recipients,
            message: &self.message,
        };
        let got = session.send(&self.desk.store, &outgoing).await;
        for (at, outcome) in left.into_iter().zip(got) {
            if let Some(place) = self.outcomes.get_mut(at) {
                *place = Some(outcome);
            }
        }
        session
    }

    /// Another host may still take it.
    fn is_open(&self, at: usize) -> bool {
        self.outcomes.get(at).is_some_and(|outcome| {
            outcome.as_ref().is_none_or(|outcome| outcome.end != End::Relayed && outcome.scope == Scope::Host)
        })
    }

    fn is_done(&self) -> bool {
        (0..self.outcomes.len()).all(|at| !self.is_open(at))
    }

    /// No further host: those that are left come to `outcome`, unless a host has told more.
    fn end(mut self, outcome: Outcome) -> Vec<Outcome> {
        for at in 0..self.outcomes.len() {
            if self.is_open(at)
                && let Some(place) = self.outcomes.get_mut(at)
            {
                *place = Some(match place.take() {
                    Some(before) => before.or_more_telling(outcome.clone()),
                    None => outcome.clone(),
                });
            }
        }
        self.outcomes()
    }

    fn outcomes(self) -> Vec<Outcome> {
        let none = || Outcome::ours(End::Deferred, Scope::Host, (4, 2), "no host took the message");
        self.outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(none)).collect()
    }
}

/// Two items that one transaction can carry: the same form with the same envelope.
fn is_alike(one: &QueueItem, other: &QueueItem) -> bool {
    let (QueueKind::Remote(a), QueueKind::Remote(b)) = (&one.kind, &other.kind) else { return false };
    one.blob == other.blob
        && one.transaction == other.transaction
        && one.reverse_path == other.reverse_path
        && (&a.envelope_id, a.ret) == (&b.envelope_id, b.ret)
}

/// What the outcomes say of a destination with whose hosts no session could be had, if it may be otherwise later.
fn unreached_by(outcomes: &[Outcome]) -> Option<Outcome> {
    let says = |outcome: &Outcome| outcome.end == End::Deferred && outcome.scope != Scope::Message;
    outcomes.iter().all(says).then(|| outcomes.first().cloned()).flatten()
}

/// One line for each recipient.
fn log(item: &QueueItem, outcome: &Outcome, step: &Step) {
    let QueueKind::Remote(remote) = &item.kind else { return };
    let (result, due) = match step {
        Step::Relayed { .. } => ("relayed", None),
        Step::Failed { .. } => ("failed", None),
        Step::Again { due, .. } => ("deferred", Some(due.millis())),
    };
    let status: EnhancedCode = match step {
        Step::Failed { status, .. } => *status,
        Step::Relayed { .. } | Step::Again { .. } => outcome.status,
    };
    let host = outcome.host.as_ref().map(|host| format!("{} [{}]", host.name, host.address));
    tracing::info!(
        id = %item.transaction, item = %item.id, recipient = %remote.recipient, result, %status, host, due,
        tls = outcome.tls, attempt = item.attempts.saturating_add(1), text = ?outcome.text, "sent"
    );
}

fn until(now: Timestamp, then: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(then.millis().saturating_sub(now.millis())).unwrap_or(0))
}

/// For pauses that differ; without randomness they do not.
pub(in crate::delivery) fn drawn() -> u64 {
    let mut octets = [0; 8];
    let _ = getrandom::fill(&mut octets);
    u64::from_le_bytes(octets)
}

/// Items looked at to find the next messages …
const FEW: usize = 16;
/// … of which a turn takes so many, so that other sessions find something too.
const AT_A_TIME: usize = 4;
/// Recipients of one transaction (RFC 5321 §4.5.3.1.8: every host takes 100).
const RECIPIENTS: usize = 100;
/// Hosts of a destination that a message is offered to in one attempt.
const HOSTS: usize = 5;
/// Items put off together.
const PUT_OFF: usize = 200;
/// Destinations of which is remembered what is claimed.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();
/// How often all destinations are read, so that nothing waits for a reason that nobody thought of.
const RESCAN: Duration = Duration::from_mins(10);
/// Destinations read at a time.
const PAGE: usize = 1_000;
/// Sessions that wait for more, and how long. Postfix waits two seconds.
const PARKED: usize = 50;
const IDLE: Duration = Duration::from_secs(2);
/// How often is looked what is due, since a clock may be set.
const TICK: Duration = Duration::from_millis(500);
const SHORTEST: Duration = Duration::from_millis(1);
const AFTER_ERROR: Duration = Duration::from_secs(10);
