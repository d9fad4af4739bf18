//! One hook: what it is, when it is asked, and what happens when it does not answer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::breaker::Breaker;
use super::{Answer, Clamd, Failure, HttpHook, Milter, Rspamd, Stage, Teacher};
use crate::metrics::{ANSWER_SECONDS, Histogram};

/// All hooks, in the order in which they are asked.
#[derive(Debug)]
pub struct Hooks {
    /// In the order of the configuration.
    pub all: Vec<Arc<Hook>>,
    /// Teaches those that learn.
    pub teacher: Teacher,
}

impl Hooks {
    /// These, in this order.
    pub fn new(all: Vec<Arc<Hook>>) -> Self {
        let teacher = Teacher::new(&all);
        Self { all, teacher }
    }
}

/// None.
impl Default for Hooks {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

/// When a hook is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its name, for logs, traces and commands.
    pub name: String,
    /// Sessions of which it hears.
    pub listeners: Vec<Listens>,
    /// Stages at which it is asked.
    pub stages: Vec<Stage>,
    /// How long one answer may take, with all attempts.
    pub timeout: Duration,
    /// What happens without an answer.
    pub on_failure: OnFailure,
    /// Questions at once; more wait, within `timeout`.
    pub at_once: usize,
}

/// Whose sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Listens {
    /// Mail from elsewhere.
    Smtp,
    /// Mail of users.
    Submission,
}

/// What happens to mail of which a hook has said nothing. Never a refusal for good: what could not be learned is not
/// known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// The client is to come again.
    #[default]
    Defer,
    /// It goes on, marked by a field and in the trace.
    Accept,
}

/// What a hook speaks.
#[derive(Debug)]
pub enum Kind {
    /// The milter protocol.
    Milter(Milter),
    /// JSON over HTTP.
    Http(HttpHook),
    /// rspamd's HTTP interface.
    Rspamd(Rspamd),
    /// clamd's stream.
    Clamd(Clamd),
}

impl Kind {
    /// As in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Milter(_) => "milter",
            Kind::Http(_) => "http",
            Kind::Rspamd(_) => "rspamd",
            Kind::Clamd(_) => "clamd",
        }
    }
}

/// A hook.
#[derive(Debug)]
pub struct Hook {
    /// When it is asked.
    pub settings: Settings,
    /// What it speaks.
    pub kind: Kind,
    breaker: Mutex<Breaker>,
    slots: Semaphore,
    failed: AtomicU64,
    /// Of each stage at which it is asked.
    times: BTreeMap<Stage, Arc<Histogram>>,
}

/// What a hook has done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Questions.
    pub asked: u64,
    /// Those without an answer.
    pub failed: u64,
    /// All of them together have taken this long.
    pub took: Duration,
}

impl Hook {
    /// A hook of this kind.
    pub fn new(settings: Settings, kind: Kind) -> Self {
        let slots = Semaphore::new(settings.at_once.clamp(1, Semaphore::MAX_PERMITS));
        let times = settings.stages.iter().map(|stage| (*stage, Histogram::new(ANSWER_SECONDS).into())).collect();
        Self { settings, kind, breaker: Mutex::default(), slots, failed: AtomicU64::new(0), times }
    }

    /// Asks, within the bounds of time and number that are set, and remembers how it went.
    pub(super) async fn asked(
        &self,
        stage: Stage,
        question: impl Future<Output = Result<Answer, Failure>>,
    ) -> Result<Answer, Failure> {
        if !self.breaker().admits(Instant::now()) {
            return Err(Failure::Suspended);
        }
        // A milter says in between that it is still at it; each of its replies has its time.
        let longest = match self.kind {
            Kind::Milter(_) => self.settings.timeout.saturating_mul(10).min(LONGEST).max(self.settings.timeout),
            Kind::Http(_) | Kind::Rspamd(_) | Kind::Clamd(_) => self.settings.timeout,
        };
        let waits = Instant::now();
        let slot = tokio::time::timeout(longest, self.slots.acquire()).await;
        let Ok(Ok(_slot)) = slot else { return Err(Failure::Suspended) };
        let start = Instant::now();
        let left = longest.saturating_sub(start.duration_since(waits));
        let answer = tokio::time::timeout(left, question).await.unwrap_or(Err(Failure::Timeout));
        if let Some(times) = self.times.get(&stage) {
            times.took(start.elapsed());
        }
        match &answer {
            Ok(_) => self.breaker().answered(),
            // It is not the hook that has failed.
            Err(Failure::Store(_)) => {}
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                self.breaker().failed(start, Instant::now());
                tracing::warn!(hook = self.settings.name, %error, "a hook gives no answer");
            }
        }
        answer
    }

    /// It is left alone now, because it has failed repeatedly.
    pub fn is_suspended(&self) -> bool {
        self.breaker().is_open(Instant::now())
    }

    /// What it has done.
    pub fn counts(&self) -> Counts {
        let failed = self.failed.load(Ordering::Relaxed);
        self.times.values().fold(Counts { failed, ..Counts::default() }, |counts, times| Counts {
            asked: counts.asked.saturating_add(times.count()),
            took: counts.took.saturating_add(times.sum()),
            ..counts
        })
    }

    /// How long questions took at each stage, from when there was a place for them.
    pub fn times(&self) -> impl Iterator<Item = (Stage, &Arc<Histogram>)> {
        self.times.iter().map(|(stage, times)| (*stage, times))
    }

    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client waits ten minutes for the reply to its message (RFC 5321 §4.5.3.2.6), and there may be several hooks.
const LONGEST: Duration = Duration::from_secs(200);
