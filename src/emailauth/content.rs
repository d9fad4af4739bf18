//! What DKIM and ARC need of a message, taken while it streams by: its header and the hashes of its body.
//!
//! Memory is bounded whatever the size of the message: the header up to 256 KiB and two running hashes. A message
//! without DKIM-Signature and ARC-Message-Signature costs a look at its header.
//!
//! The hashes are SHA-256 over the whole body in each canonicalization that a signature asks for (RFC 6376 §3.4).
//! SHA-1 must not be used any more (RFC 8301 §3.1), and a signature that leaves part of the body open (`l=`) is not taken
//! (RFC 6376 §8.2), so that no other hash is ever needed.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mail_auth::arc;
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
    /// To be signed: its body is hashed whatever its header says.
    is_ours: bool,
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
    pub base64: String,
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
    /// At the start of a message that is to be verified.
    pub fn new() -> Self {
        Self::default()
    }

    /// At the start of a message that is to be signed or sealed.
    pub fn to_sign() -> Self {
        Self { is_ours: true, ..Self::default() }
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
                        self.state = body_of(header, self.is_ours);
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
            self.state = body_of(header, self.is_ours);
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
    /// `bh=` of a signature of ours, base64; `None` if the header is longer than anybody reads.
    pub(super) fn body(&self) -> Option<&str> {
        self.relaxed.as_ref().map(|hash| hash.base64.as_str())
    }

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

/// The message seals of a header (RFC 8617 §4.1.2), of which only the last one is about the body as it is.
pub(super) fn seal_fields<'a>(header: &'a [u8], name: &'static [u8]) -> impl Iterator<Item = Field<'a>> {
    let is_short = |field: &Field<'_>| field.raw.len() <= MAX_SIGNATURE;
    fields(header).filter(move |field| field.is(name)).take(MAX_SEALS + 1).filter(is_short)
}

fn body_of(header: Vec<u8>, is_ours: bool) -> State {
    if header.len() > MAX_HEADER || fields(&header).nth(MAX_FIELDS).is_some() {
        return State::Nothing;
    }
    let (mut simple, mut relaxed) = (None, is_ours.then(|| Hasher::new(Canonicalization::Relaxed)));
    let signed = signature_fields(&header).filter_map(|field| Signature::parse(field.raw_value()).ok()).map(|s| s.cb);
    let seals = seal_fields(&header, b"ARC-Message-Signature");
    let sealed = seals.filter_map(|field| arc::Signature::parse(field.raw_value()).ok()).map(|s| s.cb);
    for canonicalization in signed.chain(sealed) {
        match canonicalization {
            Canonicalization::Simple => simple.get_or_insert_with(|| Hasher::new(Canonicalization::Simple)),
            Canonicalization::Relaxed => relaxed.get_or_insert_with(|| Hasher::new(Canonicalization::Relaxed)),
        };
    }
    // A chain that cannot be read is one that fails.
    let is_sealed = ARC_FIELDS.iter().any(|name| seal_fields(&header, name.as_bytes()).next().is_some());
    if simple.is_none() && relaxed.is_none() && !is_sealed {
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
        let sha256 = counted.complete().as_ref().to_vec();
        BodyHash { base64: BASE64_STANDARD.encode(&sha256), sha256, octets }
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
/// The fields of a set, in the order in which they are sealed (RFC 8617 §5.1.1).
pub(super) const ARC_FIELDS: [&str; 3] = ["ARC-Authentication-Results", "ARC-Message-Signature", "ARC-Seal"];
/// RFC 8617 §5.1.1
pub(super) const MAX_SEALS: usize = 50;
