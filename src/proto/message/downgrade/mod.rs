//! A message in another form for a host that does not take it as it is: bodies beyond ASCII (RFC 6152 §3) and lines
//! longer than SMTP has them (RFC 5321 §4.5.3.1.6) become quoted-printable or Base64, part by part, and the fields that
//! name the encoding with them. What they decode to stays the same.
//!
//! Two passes over the content: a [`Planner`] finds what must change, and a [`Rewriter`] changes it. Memory is bounded by
//! the number of parts and the size of one header. It fails with [`NotPossible`]: parts that are signed or encrypted are
//! left alone (RFC 1847 §2.1), and what may not be encoded (RFC 2046 §5.2) cannot be. Long lines of headers stay: there is
//! no other form that means the same to everybody.

mod encoder;

use encoder::Encoder;

use super::header::{contains, fields};
use super::mime::{Encoding, Labels};
use super::{Part, PartContent};

/// Why a message has no such form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPossible {
    /// It would break a signature, or what is encrypted.
    #[error("a part that must change is signed or encrypted")]
    Protected,
    /// A header has octets beyond ASCII.
    #[error("the header of a part has characters beyond ASCII")]
    Header,
    /// A part of a type that has no encoding, or in an encoding that is unknown or violated.
    #[error("a part that must change cannot be encoded")]
    Part,
}

/// Finds what must change.
#[derive(Debug)]
pub struct Planner {
    takes_eight_bit: bool,
    regions: Vec<Region>,
    /// The region that is being read.
    at: usize,
    position: u64,
    measure: Measure,
    /// The header that is being read.
    header: Vec<u8>,
    /// Of the part that is being read.
    part_header: Option<Vec<u8>>,
    header_edit: HeaderEdit,
    /// Where the last part that is signed or encrypted ends.
    protected_to: u64,
    edits: Vec<Edit>,
    failure: Option<NotPossible>,
}

/// What must change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    edits: Vec<Edit>,
}

/// Changes a content that comes in pieces of any size, from its first octet to its last.
#[derive(Debug)]
pub struct Rewriter<'a> {
    plan: &'a Plan,
    next: usize,
    position: u64,
    active: Option<Active>,
}

#[derive(Debug)]
enum Active {
    Header(Vec<u8>),
    Body(Encoder),
}

/// Octets `from..to` of the content, all of them in one region.
#[derive(Clone, Copy, Debug)]
struct Region {
    to: u64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Of a part whose body ends there.
    Header {
        body_to: u64,
        is_leaf: bool,
        is_message_top: bool,
    },
    Body,
    /// Preamble, delimiters, epilogue.
    Between,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edit {
    from: u64,
    to: u64,
    change: Change,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Header(HeaderEdit),
    Base64,
    QuotedPrintable,
    Rewrap,
    Requote,
    Mask,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct HeaderEdit {
    from: u64,
    to: u64,
    is_message_top: bool,
    encoding: Option<&'static str>,
    /// RFC 1428 §3: without a type nobody knows the charset.
    names_charset: bool,
}

/// What a region holds.
#[derive(Debug, Default)]
struct Measure {
    octets: u64,
    beyond: u64,
    line: u64,
    is_long: bool,
    after_cr: bool,
}

impl Planner {
    /// For a message of this structure. `takes_eight_bit`: only lines that are too long must change.
    pub fn new(root: &Part, takes_eight_bit: bool) -> Self {
        let mut regions = Vec::new();
        flatten(root, true, &mut regions);
        regions.push(Region { to: u64::MAX, kind: Kind::Between });
        Self {
            takes_eight_bit,
            regions,
            at: 0,
            position: 0,
            measure: Measure::default(),
            header: Vec::new(),
            part_header: None,
            header_edit: HeaderEdit::default(),
            protected_to: 0,
            edits: Vec::new(),
            failure: None,
        }
    }

    /// Looks at the next octets of the content, without its prefix.
    pub fn push(&mut self, mut octets: &[u8]) {
        while self.failure.is_none()
            && let Some(region) = self.regions.get(self.at).copied()
        {
            let room = usize::try_from(region.to.saturating_sub(self.position)).unwrap_or(usize::MAX);
            let (inside, rest) = octets.split_at(room.min(octets.len()));
            self.measure.push(inside);
            if matches!(region.kind, Kind::Header { .. }) {
                self.header.extend_from_slice(inside);
                if self.header.len() > MAX_HEADER {
                    self.failure = Some(NotPossible::Part);
                }
            }
            self.position = self.position.saturating_add(inside.len() as u64);
            octets = rest;
            if self.position < region.to {
                return;
            }
            self.end_region(region);
        }
    }

    /// What must change in all.
    pub fn finish(mut self) -> Result<Plan, NotPossible> {
        if let (None, Some(region)) = (self.failure, self.regions.get(self.at).copied()) {
            self.end_region(Region { to: self.position, ..region });
        }
        match self.failure {
            Some(failure) => Err(failure),
            None => {
                self.edits.sort_by_key(|edit| edit.from);
                Ok(Plan { edits: self.edits })
            }
        }
    }

    fn end_region(&mut self, region: Region) {
        let mut measure = std::mem::take(&mut self.measure);
        measure.end_line();
        let ended = match region.kind {
            Kind::Header { .. } => self.end_header(region, &measure),
            Kind::Body => self.end_body(region.to, &measure),
            Kind::Between if measure.is_long => Err(NotPossible::Part),
            Kind::Between => {
                if measure.beyond > 0 && !self.takes_eight_bit {
                    self.edit(region.to.saturating_sub(measure.octets), region.to, Change::Mask);
                }
                Ok(())
            }
        };
        self.failure = ended.err();
        self.at = self.at.saturating_add(1);
    }

    fn end_header(&mut self, region: Region, measure: &Measure) -> Result<(), NotPossible> {
        let Kind::Header { body_to, is_leaf, is_message_top } = region.kind else { return Ok(()) };
        let header = std::mem::take(&mut self.header);
        if measure.beyond > 0 && !self.takes_eight_bit {
            return Err(NotPossible::Header);
        }
        let labels = Labels::parse(&header);
        let from = region.to.saturating_sub(measure.octets);
        let mut edit = HeaderEdit { from, to: region.to, is_message_top, ..HeaderEdit::default() };
        edit.names_charset = is_message_top && !contains(&header, "Content-Type");
        let is_protected = self.is_protected(region.to);
        if !is_leaf && (labels.is("multipart", "signed") || labels.is("multipart", "encrypted")) {
            self.protected_to = self.protected_to.max(body_to);
        }
        // RFC 2045 §6.4: a container says what is in it.
        let declares = |name: &[u8]| {
            let field = fields(&header).find(|field| field.is(b"Content-Transfer-Encoding"));
            field.is_some_and(|field| field.value().eq_ignore_ascii_case(name))
        };
        if !self.takes_eight_bit && !is_protected && (declares(b"8bit") || declares(b"binary")) {
            edit.encoding = Some("7bit");
        }
        self.header_edit = edit;
        if !is_leaf {
            self.edit_header();
        }
        self.part_header = Some(header);
        Ok(())
    }

    fn end_body(&mut self, to: u64, measure: &Measure) -> Result<(), NotPossible> {
        let is_beyond = measure.beyond > 0 && !self.takes_eight_bit;
        let header = self.part_header.take();
        if !is_beyond && !measure.is_long {
            self.edit_header();
            return Ok(());
        }
        if self.is_protected(to) {
            return Err(NotPossible::Protected);
        }
        let header = header.ok_or(NotPossible::Part)?;
        let labels = Labels::parse(&header);
        // RFC 2046 §5.2: neither has an encoding of its own.
        if labels.is_any("multipart") || labels.is_any("message") || !labels.is_encoding_known {
            return Err(NotPossible::Part);
        }
        let change = match labels.encoding {
            Encoding::Base64 if measure.beyond > 0 => return Err(NotPossible::Part),
            Encoding::Base64 => Change::Rewrap,
            Encoding::QuotedPrintable => Change::Requote,
            // More than a third beyond ASCII is longer when quoted, and no easier to read.
            Encoding::Identity if labels.is_any("text") && measure.beyond <= measure.octets / 3 => {
                Change::QuotedPrintable
            }
            Encoding::Identity => Change::Base64,
        };
        match change {
            Change::QuotedPrintable => self.header_edit.encoding = Some("quoted-printable"),
            Change::Base64 => self.header_edit.encoding = Some("base64"),
            _ => self.header_edit.encoding = None,
        }
        self.header_edit.names_charset &= measure.beyond > 0;
        self.edit_header();
        self.edit(to.saturating_sub(measure.octets), to, change);
        Ok(())
    }

    fn is_protected(&self, to: u64) -> bool {
        to <= self.protected_to
    }

    fn edit_header(&mut self) {
        let edit = self.header_edit;
        if edit.encoding.is_some() {
            self.edit(edit.from, edit.to, Change::Header(edit));
        }
    }

    fn edit(&mut self, from: u64, to: u64, change: Change) {
        if from < to {
            self.edits.push(Edit { from, to, change });
        }
    }
}

impl Plan {
    /// At the start of the content.
    pub fn rewriter(&self) -> Rewriter<'_> {
        Rewriter { plan: self, next: 0, position: 0, active: None }
    }
}

impl Rewriter<'_> {
    /// Appends what becomes of the next octets to `out`.
    pub fn push(&mut self, mut octets: &[u8], out: &mut Vec<u8>) {
        while !octets.is_empty() {
            let edit = self.plan.edits.get(self.next).copied();
            let until = match edit {
                None => u64::MAX,
                Some(edit) if self.position < edit.from => edit.from,
                Some(edit) => edit.to,
            };
            let room = usize::try_from(until.saturating_sub(self.position)).unwrap_or(usize::MAX);
            let (inside, rest) = octets.split_at(room.min(octets.len()));
            self.position = self.position.saturating_add(inside.len() as u64);
            octets = rest;
            let Some(edit) = edit.filter(|edit| until == edit.to) else {
                out.extend_from_slice(inside);
                continue;
            };
            let active = self.active.get_or_insert_with(|| Active::new(edit.change));
            match active {
                Active::Header(header) => header.extend_from_slice(inside),
                Active::Body(encoder) => encoder.push(inside, out),
            }
            if self.position == edit.to {
                self.end_edit(out);
            }
        }
    }

    /// Appends what is left.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.end_edit(out);
    }

    fn end_edit(&mut self, out: &mut Vec<u8>) {
        let edit = self.plan.edits.get(self.next).map(|edit| edit.change);
        match (self.active.take(), edit) {
            (Some(Active::Body(encoder)), _) => encoder.finish(out),
            (Some(Active::Header(header)), Some(Change::Header(edit))) => edit.apply(&header, out),
            (Some(Active::Header(header)), _) => out.extend_from_slice(&header),
            (None, _) => {}
        }
        self.next = self.next.saturating_add(1);
    }
}

impl Active {
    fn new(change: Change) -> Self {
        Self::Body(match change {
            Change::Header(_) => return Self::Header(Vec::new()),
            Change::Base64 => Encoder::base64(),
            Change::QuotedPrintable => Encoder::quoted_printable(),
            Change::Rewrap => Encoder::rewrap(),
            Change::Requote => Encoder::requote(),
            Change::Mask => Encoder::Mask,
        })
    }
}

impl HeaderEdit {
    fn apply(&self, header: &[u8], out: &mut Vec<u8>) {
        let Some(encoding) = self.encoding else { return out.extend_from_slice(header) };
        let mut length = 0_usize;
        for field in fields(header) {
            length = length.saturating_add(field.raw.len());
            if !field.is(b"Content-Transfer-Encoding") {
                out.extend_from_slice(field.raw);
            }
        }
        let rest = header.get(length..).unwrap_or_default();
        if length > 0 && !header.get(..length).is_some_and(|fields| fields.ends_with(b"\n")) {
            out.extend_from_slice(b"\r\n");
        }
        if self.is_message_top && !contains(header, "MIME-Version") {
            out.extend_from_slice(b"MIME-Version: 1.0\r\n");
        }
        if self.names_charset && encoding != "7bit" {
            out.extend_from_slice(b"Content-Type: text/plain; charset=unknown-8bit\r\n");
        }
        out.extend_from_slice(format!("Content-Transfer-Encoding: {encoding}\r\n").as_bytes());
        out.extend_from_slice(rest);
    }
}

impl Measure {
    fn push(&mut self, octets: &[u8]) {
        self.octets = self.octets.saturating_add(octets.len() as u64);
        if !octets.is_ascii() {
            self.beyond = self.beyond.saturating_add(octets.iter().filter(|octet| !octet.is_ascii()).count() as u64);
        }
        let mut rest = octets;
        while let Some(at) = memchr::memchr(b'\n', rest) {
            self.piece(rest.get(..at).unwrap_or_default());
            self.end_line();
            rest = rest.get(at.saturating_add(1)..).unwrap_or_default();
        }
        self.piece(rest);
    }

    fn piece(&mut self, piece: &[u8]) {
        self.line = self.line.saturating_add(piece.len() as u64);
        self.after_cr = piece.last().map_or(self.after_cr, |last| *last == b'\r');
    }

    fn end_line(&mut self) {
        let line = self.line.saturating_sub(u64::from(self.after_cr));
        self.is_long |= line > MAX_LINE;
        self.line = 0;
        self.after_cr = false;
    }
}

/// The regions of a part and of all inside it, in order and without gaps.
fn flatten(part: &Part, is_message_top: bool, regions: &mut Vec<Region>) {
    let mut add = |to: u64, kind| regions.push(Region { to, kind });
    add(part.header.0, Kind::Between);
    let is_leaf = matches!(part.content, PartContent::Leaf);
    add(part.header.1, Kind::Header { body_to: part.body.1, is_leaf, is_message_top });
    match &part.content {
        PartContent::Leaf => add(part.body.1, Kind::Body),
        PartContent::Multipart(parts) => {
            parts.iter().for_each(|part| flatten(part, false, regions));
            regions.push(Region { to: part.body.1, kind: Kind::Between });
        }
        PartContent::Message(inner) => {
            flatten(inner, true, regions);
            regions.push(Region { to: part.body.1, kind: Kind::Between });
        }
    }
}

/// RFC 5321 §4.5.3.1.6: 1,000 octets with CRLF.
const MAX_LINE: u64 = 998;
const MAX_HEADER: usize = 256 << 10;

#[cfg(test)]
mod tests;
