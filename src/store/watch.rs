//! Change events: who waits for news of a mailbox is woken after the commit.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::Store;
use crate::mail::{AccountId, MailboxId};

type Place = (AccountId, MailboxId);

/// Who watches what. A mailbox is in the map while somebody watches it.
#[derive(Debug, Default)]
pub(super) struct Watches {
    watched: Mutex<HashMap<Place, watch::Sender<()>>>,
}

impl Watches {
    fn watched(&self) -> MutexGuard<'_, HashMap<Place, watch::Sender<()>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for changes of one mailbox. A change between two waits is not missed.
#[derive(Debug)]
pub struct Watch {
    store: Store,
    place: Place,
    news: watch::Receiver<()>,
}

impl Store {
    /// From now on, changes of the mailbox wake the watch.
    pub fn watch(&self, account: AccountId, mailbox: MailboxId) -> Watch {
        let place = (account, mailbox);
        let mut watched = self.inner.watches.watched();
        let news = watched.entry(place).or_insert_with(|| watch::Sender::new(())).subscribe();
        drop(watched);
        Watch { store: self.clone(), place, news }
    }

    /// Wakes who watches these mailboxes. Called after the commit, so that who wakes sees it.
    pub(super) fn publish(&self, places: impl IntoIterator<Item = Place>) {
        let watched = self.inner.watches.watched();
        if watched.is_empty() {
            return;
        }
        for place in places {
            if let Some(sender) = watched.get(&place) {
                sender.send_replace(());
            }
        }
    }
}

impl Watch {
    /// Comes back when the mailbox has changed since the last call (or since the watch was made). Cancel-safe.
    pub async fn changed(&mut self) {
        if self.news.changed().await.is_err() {
            // The sender lives as long as this watch; if it ever did not, there would be no news.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = self.store.inner.watches.watched();
        // This watch's own receiver still counts.
        if watched.get(&self.place).is_some_and(|sender| sender.receiver_count() <= 1) {
            watched.remove(&self.place);
        }
    }
}
