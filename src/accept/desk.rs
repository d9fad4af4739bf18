//! What accepting works with.

use std::sync::Arc;

use tokio::sync::{Mutex, Semaphore};

use crate::emailauth::Signers;
use crate::mail::srs::SrsKey;
use crate::mail::{AccountId, Clock, Domain, MailboxId, MailboxName, SpecialUse};
use crate::store::{self, Store};

/// What accepting works with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Desk {
    /// Where mail rests.
    pub store: Store,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Our host name.
    pub hostname: Domain,
    /// Under which reverse-paths are rewritten.
    pub srs: SrsKey,
    /// Keys that sign what leaves.
    pub signers: Signers,
    /// Whose turn it is.
    pub turns: Turns,
}

/// What may be done only so often at once. One for the process; a clone is the same one.
#[derive(Clone, Debug)]
pub struct Turns {
    /// Whole messages that are held in memory to be attached to another.
    pub(super) whole: Arc<Semaphore>,
    /// Held from reading what was asked or told lately to writing it.
    pub(super) asking: Arc<Mutex<()>>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { whole: Arc::new(Semaphore::new(WHOLE_AT_ONCE)), asking: Arc::default() }
    }
}

/// Each takes about three times its message's size while it is made.
const WHOLE_AT_ONCE: usize = 2;

impl Desk {
    /// The account's Junk folder, or INBOX if it has none.
    pub async fn junk(&self, account: AccountId) -> Result<MailboxId, store::Error> {
        let folders = self.store.read(move |reader| reader.folders(account)).await?;
        let junk = folders.folders.iter().find(|f| f.special_use == Some(SpecialUse::Junk));
        Ok(junk.map_or(MailboxId::INBOX, |f| f.id))
    }

    /// The account's folder of this name, made if it is missing.
    pub async fn folder(&self, account: AccountId, name: &MailboxName) -> Result<MailboxId, store::Error> {
        loop {
            let wanted = name.clone();
            let found = self.store.read(move |r| Ok(r.folders(account)?.find(&wanted).map(|f| f.id))).await?;
            if let Some(id) = found {
                return Ok(id);
            }
            match self.store.create_folder(account, name.clone(), None).await {
                Ok(folder) => return Ok(folder.id),
                // Somebody was first.
                Err(store::Error::Exists) => {}
                Err(error) => return Err(error),
            }
        }
    }
}
