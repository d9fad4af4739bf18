//! Content: staged in chunks while it arrives, stored once, referenced by entries.
//!
//! The first chunk may end early, with the header, so that who asks for header fields need not read the body: of a new
//! client's first synchronisation that is the slowest part. Every further chunk but the last is of full size.

use std::ops::Range;

#[cfg(doc)]
use super::Message;
use super::engine::{Durability, Keyspace, Transaction, Write};
use super::{Error, Reader, Rest, Store, key, record};
use crate::mail::BlobId;

/// The size of every chunk but the first and the last.
const CHUNK: usize = 256 << 10;

/// A body smaller than this is read along with its header.
const WORTH_A_CHUNK: usize = 8 << 10;

/// A message being received: octets go to the engine in chunks as they come, at most one chunk (256 KiB) is in
/// memory. Dropped without [`Staging::finish`], or finished and never delivered, what it stored is deleted; after a
/// crash, at the next start.
#[derive(Debug)]
pub struct Staging {
    store: Store,
    blob: BlobId,
    tail: Vec<u8>,
    chunks: u32,
    size: u64,
    delivered: bool,
}

/// Staged content, ready to be delivered.
#[derive(Debug)]
pub struct Content {
    staging: Staging,
}

impl Store {
    /// Starts to receive a message.
    pub fn stage(&self) -> Staging {
        let blob = self.inner.blob_ids.next(self.inner.clock.now());
        Staging { store: self.clone(), blob, tail: Vec::new(), chunks: 0, size: 0, delivered: false }
    }

    /// Deletes content that the last process was receiving when it ended.
    pub(super) async fn drop_abandoned_content(&self) -> Result<(), Error> {
        let abandoned = self
            .read(|reader| {
                let mut found = Vec::new();
                let (from, to) = key::staging_range();
                reader.snapshot.range(Keyspace::Task, &from, &to, &mut |key, value| {
                    found.extend(key::parse_staging(key).zip(record::decode_count(value).ok()));
                    true
                })?;
                Ok(found)
            })
            .await?;
        for (blob, chunks) in abandoned {
            let writes = abandon(blob, chunks);
            self.transact(vec![], writes, Durability::Buffered, |_| Ok((vec![], ()))).await?;
        }
        Ok(())
    }
}

impl Staging {
    /// Takes further octets. Waits while the engine writes a full chunk; not durable yet.
    pub async fn push(&mut self, mut octets: &[u8]) -> Result<(), Error> {
        self.size += octets.len() as u64;
        while !octets.is_empty() {
            let (now, later) = octets.split_at(octets.len().min(CHUNK - self.tail.len()));
            self.tail.extend_from_slice(now);
            octets = later;
            if self.tail.len() == CHUNK {
                self.write_chunk().await?;
            }
        }
        Ok(())
    }

    /// Octets so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What has come so far, if all of it is in memory.
    pub fn in_memory(&self) -> Option<&[u8]> {
        (self.chunks == 0).then_some(&self.tail)
    }

    /// Appends octets `from..to` of what has come so far to `out`; a range beyond it is cut off.
    pub async fn read(&self, from: u64, to: u64, out: &mut Vec<u8>) -> Result<(), Error> {
        let range = from..to;
        for mut octets in self.read_ranges(vec![range]).await? {
            out.append(&mut octets);
        }
        Ok(())
    }

    /// The octets of each of these ranges, which are read together.
    pub async fn read_ranges(&self, ranges: Vec<Range<u64>>) -> Result<Vec<Vec<u8>>, Error> {
        let full = CHUNK as u64;
        let tail_at = u64::from(self.chunks) * full;
        let room = |range: &Range<u64>| usize::try_from(range.end.min(self.size).saturating_sub(range.start));
        let mut found: Vec<Vec<u8>> = ranges.iter().map(|range| Vec::with_capacity(room(range).unwrap_or(0))).collect();
        if ranges.iter().any(|range| range.start < range.end.min(tail_at)) {
            let (blob, chunks, ranges) = (self.blob, self.chunks, ranges.clone());
            let stored = self.store.read(move |reader| {
                for number in 0..chunks {
                    let start = u64::from(number) * full;
                    if ranges.iter().all(|range| range.end <= start || start + full <= range.start) {
                        continue;
                    }
                    let chunk = reader.chunk(blob, number)?.ok_or(Error::Corrupt)?;
                    for (range, octets) in ranges.iter().zip(&mut found) {
                        append(&chunk, start, range.start, range.end, octets);
                    }
                }
                Ok(found)
            });
            found = stored.await?;
        }
        for (range, octets) in ranges.iter().zip(&mut found) {
            append(&self.tail, tail_at, range.start, range.end, octets);
        }
        Ok(found)
    }

    /// The id that the message will have.
    pub fn blob(&self) -> BlobId {
        self.blob
    }

    /// No more octets.
    pub fn finish(self) -> Content {
        Content { staging: self }
    }

    async fn write_chunk(&mut self) -> Result<(), Error> {
        let (keyspace, key) = key::chunk(self.blob, self.chunks);
        // Counted before the write: what may be on disk must be known to whoever deletes it.
        self.chunks += 1;
        let writes = vec![
            Write::put(keyspace, key, std::mem::take(&mut self.tail)),
            Write { key: key::staging(self.blob), value: Some(record::encode_count(self.chunks)) },
        ];
        self.store.transact(vec![], writes, Durability::Buffered, |_| Ok((vec![], ()))).await
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.chunks > 0 && !self.delivered {
            // Nobody waits for the answer; if it fails, the next start deletes the content.
            drop(self.store.inner.engine.submit(Transaction {
                reads: vec![],
                writes: abandon(self.blob, self.chunks),
                decide: Box::new(|_| Ok(vec![])),
                durability: Durability::Buffered,
            }));
        }
    }
}

impl Content {
    /// The id of the message.
    pub fn blob(&self) -> BlobId {
        self.staging.blob
    }

    /// Octets of the content.
    pub fn size(&self) -> u64 {
        self.staging.size
    }

    /// The writes that make the content complete and take it off the list of what is being received, and the number of
    /// chunks there are then. If all of it is still in memory, the first chunk ends at `header`.
    pub(super) fn take_writes(&mut self, header: u64) -> (Vec<Write>, u32) {
        let staging = &mut self.staging;
        let mut writes = Vec::with_capacity(3);
        let mut chunks = staging.chunks;
        let tail = std::mem::take(&mut staging.tail);
        let at = usize::try_from(header).unwrap_or(0);
        let parts = if chunks == 0 && at > 0 && tail.len().saturating_sub(at) >= WORTH_A_CHUNK {
            let (header, body) = tail.split_at(at);
            vec![header.to_vec(), body.to_vec()]
        } else {
            vec![tail]
        };
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let (keyspace, key) = key::chunk(staging.blob, chunks);
            writes.push(Write::put(keyspace, key, part));
            chunks += 1;
        }
        if staging.chunks > 0 {
            writes.push(Write { key: key::staging(staging.blob), value: None });
        }
        (writes, chunks)
    }

    /// Says whether the content stays when this is dropped. It must stay as soon as a commit that refers to it may
    /// have been made.
    pub(super) fn keep(&mut self, keep: bool) {
        self.staging.delivered = keep;
    }
}

impl Reader<'_> {
    /// Appends octets `from..to` of what a form has behind its prefix ([`Message::rest`]) to `out`. Reads only the first
    /// chunk of the content and those that the range touches; a range beyond the end is cut off.
    pub fn rest(&self, rest: Rest, from: u64, to: u64, out: &mut Vec<u8>) -> Result<(), Error> {
        let Some(omitted) = rest.omitted else { return self.content(rest.content, from, to, out) };
        for (from, to) in omitted.around(from, to) {
            self.content(rest.content, from, to, out)?;
        }
        Ok(())
    }

    /// Appends octets `from..to` of a content to `out`.
    fn content(&self, blob: BlobId, from: u64, to: u64, out: &mut Vec<u8>) -> Result<(), Error> {
        if from >= to {
            return Ok(());
        }
        let Some(first) = self.chunk(blob, 0)? else { return Ok(()) };
        let first_end = first.len() as u64;
        append(&first, 0, from, to, out);
        let full = CHUNK as u64;
        let mut number = 1 + from.saturating_sub(first_end) / full;
        loop {
            let start = first_end.saturating_add((number - 1).saturating_mul(full));
            if start >= to {
                return Ok(());
            }
            let Some(chunk) = self.chunk(blob, u32::try_from(number).map_err(|_| Error::NotFound)?)? else {
                return Ok(());
            };
            append(&chunk, start, from, to, out);
            number += 1;
        }
    }

    fn chunk(&self, blob: BlobId, number: u32) -> Result<Option<Vec<u8>>, Error> {
        let (keyspace, key) = key::chunk(blob, number);
        self.snapshot.get(keyspace, &key)
    }
}

/// Appends what `from..to` of the content takes of a chunk that starts at `start`.
fn append(chunk: &[u8], start: u64, from: u64, to: u64, out: &mut Vec<u8>) {
    let within = |at: u64| at.saturating_sub(start).min(chunk.len() as u64) as usize;
    out.extend_from_slice(chunk.get(within(from)..within(to)).unwrap_or_default());
}

fn abandon(blob: BlobId, chunks: u32) -> Vec<Write> {
    let chunks = (0..chunks).map(|n| Write { key: key::chunk(blob, n), value: None });
    chunks.chain([Write { key: key::staging(blob), value: None }]).collect()
}
