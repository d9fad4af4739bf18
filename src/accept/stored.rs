//! What a stored message says of itself, for what is made of it later.

use super::desk::Desk;
use crate::mail::BlobId;
use crate::store::{self, Reader};

/// A stored message, as far as it was read.
pub struct Stored {
    /// The fields in front of the content.
    pub prefix: Vec<u8>,
    /// What stands behind them, or the start of it.
    pub content: Vec<u8>,
    /// Octets of all that stands behind them.
    pub size: u64,
}

impl Stored {
    /// The header as received, with the blank line that ends it.
    pub fn header(&self) -> &[u8] {
        let end = memchr::memmem::find(&self.content, b"\r\n\r\n").map_or(self.content.len(), |at| at + 4);
        self.content.get(..end).unwrap_or_default()
    }
}

/// Reads a form of a message, of its content at most so many octets.
pub async fn read(desk: &Desk, blob: BlobId, octets: u64) -> Result<Stored, store::Error> {
    desk.store
        .read(move |reader: &Reader<'_>| {
            let message = reader.message(blob)?;
            let mut content = Vec::new();
            reader.rest(message.rest(), 0, octets, &mut content)?;
            Ok(Stored { size: message.rest().size, prefix: message.prefix, content })
        })
        .await
}

/// Octets of a header that are looked at.
pub const HEADER: u64 = 256 << 10;
