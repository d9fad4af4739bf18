//! The one way in: a message being received and its envelope become a committed plan. SMTP DATA, BDAT and IMAP APPEND
//! all end here.

use crate::mail::{BlobId, Timestamp};
use crate::proto::message::Scanner;
use crate::store::{self, Placed, Staging, Store, Target};

/// A message on its way in: staged and scanned as its octets come.
#[derive(Debug)]
pub struct Incoming {
    staging: Staging,
    scanner: Scanner,
}

impl Incoming {
    /// Starts to receive.
    pub fn new(store: &Store) -> Self {
        Self { staging: store.stage(), scanner: Scanner::new() }
    }

    /// The next octets of the content.
    pub async fn push(&mut self, octets: &[u8]) -> Result<(), store::Error> {
        self.scanner.push(octets);
        self.staging.push(octets).await
    }

    /// Octets so far.
    pub fn size(&self) -> u64 {
        self.staging.size()
    }

    /// The id of the message.
    pub fn id(&self) -> BlobId {
        self.staging.blob()
    }

    /// The header as received, at most 256 KiB of it.
    pub fn header(&self) -> &[u8] {
        self.scanner.header()
    }

    /// Commits the message to its mailboxes; `prefix` is the header fields that stand before the content. On `Ok`
    /// it is on disk and in every target.
    pub async fn commit(
        self,
        store: &Store,
        prefix: Vec<u8>,
        internal_date: Timestamp,
        targets: Vec<Target>,
    ) -> Result<Vec<Placed>, store::Error> {
        let summary = self.scanner.finish(&prefix);
        let header = summary.root.header.1;
        let (content, summary) = (self.staging.finish(), summary.encode());
        store.deliver(store::Delivery { content, prefix, summary, header, internal_date, targets }).await
    }
}
