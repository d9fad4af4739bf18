//! What DKIM needs of a message, taken while it streams by: its header and the hashes of its body.
//!
//! Memory is bounded whatever the size of the message: the header up to 256 KiB and two running hashes. A message
//! without DKIM-Signature costs a look at its header.
//!
//! The hashes are SHA-256 over the whole body in each canonicalization that a signature asks for (RFC 6376 §3.4).
//! SHA-1 must not be used any more (RFC 8301 §3.1), and a signature that leaves part of the body open (`l=`) is not taken
//! (RFC 6376 §8.2), so that no other hash is ever needed.

use std::fmt;

use mail_auth::common::crypto::{HashContext, HashImpl, HashOutput, Sha256};
use mail_auth::common::headers::Writer;
use mail_auth::dkim::canonicalize::BodyHasher;
use mail_auth::dkim::{Canonicalization, Signature};
use memchr::memmem;

use crate::proto::message::header::{Field, fields};

/// Takes the octets of a message as they arrive.
#[derive(Debug, Default)]
pub struct DkimInput {
    state: State,
}

/// What DKIM needs of a message that has arrived.
#[derive(Debug, Default)]
pub struct DkimContent {
    /// With the line end of its last field; empty if there is nothing to verify.
    pub(super) header: Vec<u8>,
    pub(super) simple: Option<BodyHash>,
    pub(super) relaxed: Option<BodyHash>,
}

/// The hash of a canonicalized body and how many octets it covers.
#[derive(Debug)]
pub(super) struct BodyHash {
    pub sha256: Vec<u8>,
    pub octets: u64,
}

#[derive(Debug)]
enum State {
    /// The blank line has not come; before `searched` there is none.
    Header {
        header: Vec<u8>,
        searched: usize,
    },
    Body {
        header: Vec<u8>,
        simple: Option<Hasher>,
        relaxed: Option<Hasher>,
    },
    /// Nothing to verify, or too much.
    Nothing,
}

impl Default for State {
    fn default() -> Self {
        State::Header { header: Vec::new(), searched: 0 }
    }
}

impl DkimInput {
    /// At the start of a message.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next octets of header and body. The same result however the message is split.
    pub fn push(&mut self, octets: &[u8]) {
        match &mut self.state {
            State::Nothing => {}
            State::Body { simple, relaxed, .. } => {
                for hasher in [simple, relaxed].into_iter().flatten() {
                    hasher.0.write(octets);
                }
            }
            State::Header { header, searched } => {
                header.extend_from_slice(octets);
                match end_of_header(header, *searched) {
                    Some(end) => {
                        let body = header.split_off(end);
                        let header = std::mem::take(header);
                        self.state = body_of(header);
                        self.push(body.get(2..).unwrap_or_default());
                    }
                    None if header.len() > MAX_HEADER => self.state = State::Nothing,
                    None => *searched = header.len().saturating_sub(3),
                }
            }
        }
    }

    /// The end of the message.
    pub fn finish(mut self) -> DkimContent {
        if let State::Header { header, .. } = &mut self.state {
            // A message without a body, and perhaps without the end of its last line.
            let mut header = std::mem::take(header);
            if !header.ends_with(b"\r\n") {
                header.extend_from_slice(b"\r\n");
            }
            self.state = body_of(header);
        }
        match self.state {
            State::Body { header, simple, relaxed } => {
                DkimContent { header, simple: simple.map(Hasher::finish), relaxed: relaxed.map(Hasher::finish) }
            }
            State::Header { .. } | State::Nothing => DkimContent::default(),
        }
    }
}

impl DkimContent {
    pub(super) fn body_hash(&self, canonicalization: Canonicalization) -> Option<&BodyHash> {
        match canonicalization {
            Canonicalization::Simple => self.simple.as_ref(),
            Canonicalization::Relaxed => self.relaxed.as_ref(),
        }
    }
}

/// The signatures of a header, in the order of their fields; what lies beyond the limits is not looked at.
pub(super) fn signature_fields(header: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let is_short = |field: &Field<'_>| field.raw.len() <= MAX_SIGNATURE;
    fields(header).filter(|field| field.is(b"DKIM-Signature")).take(MAX_SIGNATURES).filter(is_short)
}

/// Where the blank line starts.
fn end_of_header(header: &[u8], searched: usize) -> Option<usize> {
    if header.starts_with(b"\r\n") {
        return Some(0);
    }
    memmem::find(header.get(searched..)?, b"\r\n\r\n").map(|at| searched + at + 2)
}

fn body_of(header: Vec<u8>) -> State {
    if header.len() > MAX_HEADER || fields(&header).nth(MAX_FIELDS).is_some() {
        return State::Nothing;
    }
    let (mut simple, mut relaxed) = (None, None);
    for field in signature_fields(&header) {
        let Ok(signature) = Signature::parse(field.raw_value()) else { continue };
        match signature.cb {
            Canonicalization::Simple => simple.get_or_insert_with(|| Hasher::new(Canonicalization::Simple)),
            Canonicalization::Relaxed => relaxed.get_or_insert_with(|| Hasher::new(Canonicalization::Relaxed)),
        };
    }
    if simple.is_none() && relaxed.is_none() {
        return State::Nothing;
    }
    State::Body { header, simple, relaxed }
}

/// Boxed, for most messages have none.
struct Hasher(Box<BodyHasher<Counted>>);

impl Hasher {
    fn new(canonicalization: Canonicalization) -> Self {
        let counted = Counted { hash: Sha256::hasher(), octets: 0 };
        Self(Box::new(BodyHasher::new(counted, canonicalization, 0)))
    }

    fn finish(self) -> BodyHash {
        let (counted, _) = self.0.finish();
        let octets = counted.octets;
        BodyHash { sha256: counted.complete().as_ref().to_vec(), octets }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

/// Counts what is hashed: the canonical body, of which `l=` speaks.
struct Counted {
    hash: <Sha256 as HashImpl>::Context,
    octets: u64,
}

impl Writer for Counted {
    fn write(&mut self, octets: &[u8]) {
        self.octets += octets.len() as u64;
        self.hash.write(octets);
    }
}

impl HashContext for Counted {
    fn complete(self) -> HashOutput {
        self.hash.complete()
    }
}

/// As the rest of the server reads it.
const MAX_HEADER: usize = 256 << 10;
/// A signature names the fields it covers; each name is looked for among all fields.
const MAX_FIELDS: usize = 2_000;
const MAX_SIGNATURE: usize = 16 << 10;
const MAX_SIGNATURES: usize = 10;
