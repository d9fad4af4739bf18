//! Teaches the spam filters what users think: what was moved to Junk is spam, what was moved out of it is not.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use super::rspamd::{Opinion, Rspamd};
use super::{Failure, Hook, Kind};
use crate::mail::BlobId;
use crate::store::{self, Store};

/// A message and what its reader thinks of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lesson {
    /// What they think.
    pub opinion: Opinion,
    /// The form of the message that they have.
    pub blob: BlobId,
}

/// Takes lessons, and gives them when there is time. They are kept in memory alone: one that is lost is one of many.
pub struct Teacher {
    pupils: Vec<Arc<Hook>>,
    give: mpsc::Sender<Lesson>,
    waiting: Mutex<Option<mpsc::Receiver<Lesson>>>,
}

impl Teacher {
    /// For those of the hooks that learn.
    pub fn new(hooks: &[Arc<Hook>]) -> Self {
        let learns = |hook: &&Arc<Hook>| matches!(&hook.kind, Kind::Rspamd(rspamd) if rspamd.learn.is_some());
        let (give, waiting) = mpsc::channel(MOST);
        Self { pupils: hooks.iter().filter(learns).cloned().collect(), give, waiting: Mutex::new(Some(waiting)) }
    }

    /// Somebody learns.
    pub fn has_pupils(&self) -> bool {
        !self.pupils.is_empty()
    }

    /// Takes a lesson; if too many wait, it is dropped.
    pub fn give(&self, lesson: Lesson) {
        if self.has_pupils() && self.give.try_send(lesson).is_err() {
            tracing::warn!(blob = %lesson.blob, "spam filters are not taught: too much waits already");
        }
    }

    /// Gives the lessons, one after the other, for as long as the process runs. Only the first call does anything.
    pub async fn run(&self, store: &Store) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut waiting) = waiting else { return };
        while let Some(lesson) = waiting.recv().await {
            for pupil in &self.pupils {
                let Kind::Rspamd(rspamd) = &pupil.kind else { continue };
                let name = &pupil.settings.name;
                match teach(store, rspamd, lesson).await {
                    Ok(said) => {
                        tracing::info!(hook = name, blob = %lesson.blob, opinion = ?lesson.opinion, said, "taught")
                    }
                    Err(error) => tracing::warn!(hook = name, blob = %lesson.blob, %error, "not taught"),
                }
            }
        }
    }
}

async fn teach(store: &Store, rspamd: &Rspamd, lesson: Lesson) -> Result<String, Failure> {
    let octets = content(store, lesson.blob, rspamd.octets).await.map_err(Failure::Store)?;
    let mut pause = FIRST_PAUSE;
    for _ in 0..RETRIES {
        match rspamd.learn(lesson.opinion, octets.clone()).await {
            Err(Failure::Unreachable(_) | Failure::Timeout) => {}
            done => return done,
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(10);
    }
    rspamd.learn(lesson.opinion, octets).await
}

/// The message as it came, at most `limit` octets, without what this server has put in front of it.
async fn content(store: &Store, blob: BlobId, limit: u64) -> Result<Vec<u8>, store::Error> {
    store
        .read(move |reader| {
            let message = reader.message(blob)?;
            let mut out = Vec::new();
            reader.rest(message.rest(), 0, limit, &mut out)?;
            Ok(out)
        })
        .await
}

impl std::fmt::Debug for Teacher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Teacher").field("pupils", &self.pupils).finish_non_exhaustive()
    }
}

/// Lessons that may wait.
const MOST: usize = 1_000;
const RETRIES: u32 = 2;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
