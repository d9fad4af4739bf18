//! The structure of a message, line by line, while it arrives (RFC 2046 §5.1.1).
//!
//! Memory is bounded whatever comes: the top-level header up to 256 KiB, the header of the part being read up to
//! 64 KiB, the head of an unfinished line, and for each part what its structure shows, up to 1 MiB together.
//! Beyond 1,000 parts or 50 levels nothing further is opened.
//!
//! Deviation: a delimiter is one only if nothing but white space follows the boundary, except behind the two dashes
//! of a close delimiter. RFC 2046 §5.1.1 lets any text follow, but then a boundary that starts like another one (`b1`
//! and `b10`) ends the wrong part.

use memchr::{memchr, memchr_iter};

use super::header::{Field, fields};
use super::mime::{Kind, MAX_BOUNDARY, Mime, Place};
use super::{Front, Part, PartContent, Summary, envelope, structure};

/// Follows a message as it arrives, chunk by chunk, with memory bounded whatever its size, and makes its [`Summary`].
#[derive(Debug)]
pub struct Scanner {
    nodes: Vec<Node>,
    /// The nodes that are being read, from the top to the innermost.
    open: Vec<Open>,
    /// How many of them have a boundary that still counts.
    boundaries: usize,
    in_header: bool,
    header_complete: bool,
    /// The top-level header.
    header: Vec<u8>,
    /// The header of the part being read, if that is not the top-level one.
    part_header: Vec<u8>,
    line: UnfinishedLine,
    /// Octets up to the start of the current line.
    position: u64,
    /// Line ends before `position`.
    line_ends: u64,
    /// Octets of the line end right before `position`.
    last_line_end: u64,
    /// Octets of the summary made so far.
    rendered: usize,
}

/// A part, seen or being read.
#[derive(Debug)]
pub(super) struct Node {
    pub header: (u64, u64),
    pub body: (u64, u64),
    pub lines: u64,
    /// Line ends before the body.
    line_ends_before: u64,
    pub mime: Mime,
    /// Of the message, if this is the top of one inside another.
    pub envelope: Vec<u8>,
    pub children: Vec<usize>,
    in_digest: bool,
    /// The top of a message inside another.
    is_message_top: bool,
}

#[derive(Debug)]
struct Open {
    node: usize,
    /// `None` if it has none or its close delimiter was seen.
    boundary: Option<Vec<u8>>,
    is_digest: bool,
}

/// The start of a line whose end has not come.
#[derive(Debug, Default)]
struct UnfinishedLine {
    head: Vec<u8>,
    length: u64,
    last: u8,
}

/// A line with its end, or the last one without.
struct Line<'a> {
    /// All of it, or at least as much as its use needs.
    head: &'a [u8],
    length: u64,
    end: u64,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// A scanner at the start of a message.
    pub fn new() -> Self {
        Self {
            nodes: vec![Node::new(0, false)],
            open: vec![Open { node: 0, boundary: None, is_digest: false }],
            boundaries: 0,
            in_header: true,
            header_complete: false,
            header: Vec::new(),
            part_header: Vec::new(),
            line: UnfinishedLine::default(),
            position: 0,
            line_ends: 0,
            last_line_end: 0,
            rendered: 0,
        }
    }

    /// Takes the next octets. The same result however the message is split.
    pub fn push(&mut self, mut octets: &[u8]) {
        while !octets.is_empty() {
            if !self.in_header && self.line.length == 0 {
                octets = self.skip_body(octets);
            }
            match memchr(b'\n', octets) {
                Some(at) => {
                    let (line, rest) = octets.split_at(at + 1);
                    self.end_line(line);
                    octets = rest;
                }
                None => {
                    self.keep(octets);
                    return;
                }
            }
        }
    }

    /// The header fields so far are complete (the blank line has been seen).
    pub fn header_complete(&self) -> bool {
        self.header_complete
    }

    /// The top-level header as received, with line ends and without the blank line; at most 256 KiB of it.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// The header is longer than what [`Scanner::header`] gives.
    pub fn is_header_cut(&self) -> bool {
        self.header.len() >= MAX_HEADER
    }

    /// The end. `prefix` holds the header fields that the server puts before the content (complete with CRLF, may be
    /// empty): they count for ENVELOPE; offsets in the summary are relative to the content alone.
    pub fn finish(mut self, prefix: &[u8]) -> Summary {
        self.end();
        self.summary(fields(prefix).chain(fields(&self.header)))
    }

    /// The end of a message that is kept in several forms. Offsets in a summary are relative to what its form leaves of
    /// the content.
    pub fn finish_forms(mut self, fronts: &[Front]) -> Vec<Summary> {
        self.end();
        fronts.iter().map(|front| self.form(front)).collect()
    }

    /// The end of a message of which only the structure is asked for.
    pub fn finish_structure(mut self) -> Part {
        self.end();
        self.structure()
    }

    /// The structure, after [`Scanner::end`].
    pub fn structure(&self) -> Part {
        part(&self.nodes, 0)
    }

    /// The end of the octets: the structure is known from here on. What finishes the scan implies it.
    pub fn end(&mut self) {
        if self.line.length > 0 {
            let line = std::mem::take(&mut self.line);
            self.line(&Line { head: &line.head, length: line.length, end: 0 });
        }
        self.end_header_early(self.position);
        self.close_from(0, Cut { at: self.position, line_ends: self.line_ends });
    }

    fn form(&self, front: &Front) -> Summary {
        let Some(omitted) = front.omitted else {
            return self.summary(fields(&front.prefix).chain(fields(&self.header)));
        };
        let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(self.header.len());
        let before = self.header.get(..at(omitted.from())).unwrap_or_default();
        let behind = self.header.get(at(omitted.to())..).unwrap_or_default();
        let mut summary = self.summary(fields(&front.prefix).chain(fields(&[before, behind].concat())));
        summary.root.map_offsets(&|at| omitted.place(at));
        summary
    }

    fn summary<'a>(&self, fields: impl Iterator<Item = Field<'a>>) -> Summary {
        let mut envelope = Vec::with_capacity(512);
        envelope::write(fields, &mut envelope);
        let (body, body_structure) = structure::write(&self.nodes);
        Summary { envelope, body, body_structure, root: part(&self.nodes, 0) }
    }

    /// Passes over lines of a body that cannot be delimiters; what is left starts with one that can, or is the start
    /// of an unfinished line.
    fn skip_body<'a>(&mut self, octets: &'a [u8]) -> &'a [u8] {
        if self.boundaries == 0 {
            // No delimiter can come any more: all that still counts is the number of octets and lines.
            self.position += octets.len() as u64;
            self.line_ends += memchr_iter(b'\n', octets).count() as u64;
            self.last_line_end = 0;
            return &[];
        }
        let mut start = 0;
        let mut lines = 0;
        for at in memchr_iter(b'\n', octets) {
            if octets.get(start) == Some(&b'-') && octets.get(start + 1) == Some(&b'-') {
                break;
            }
            start = at + 1;
            lines += 1;
        }
        let (passed, rest) = octets.split_at(start);
        if lines > 0 {
            self.position += start as u64;
            self.line_ends += lines;
            self.last_line_end = if passed.ends_with(b"\r\n") { 2 } else { 1 };
        }
        rest
    }

    fn keep(&mut self, octets: &[u8]) {
        let limit = if self.in_header { MAX_HEADER } else { MAX_DELIMITER_LINE };
        self.line.keep(octets, limit);
    }

    /// Takes the rest of a line, which ends with LF.
    fn end_line(&mut self, rest: &[u8]) {
        if self.line.length == 0 {
            let end = if rest.ends_with(b"\r\n") { 2 } else { 1 };
            return self.line(&Line { head: rest, length: rest.len() as u64, end });
        }
        let before = match rest {
            [.., before, _] => *before,
            _ => self.line.last,
        };
        self.keep(rest);
        let mut line = std::mem::take(&mut self.line);
        let end = if before == b'\r' { 2 } else { 1 };
        self.line(&Line { head: &line.head, length: line.length, end });
        if line.head.capacity() <= MAX_DELIMITER_LINE {
            line.head.clear();
            self.line.head = line.head;
        }
    }

    fn line(&mut self, line: &Line<'_>) {
        let start = self.position;
        // RFC 2046 §5.1.1: the line end before a delimiter belongs to it.
        let before = Cut {
            at: start.saturating_sub(self.last_line_end),
            line_ends: self.line_ends.saturating_sub(u64::from(self.last_line_end > 0)),
        };
        self.position += line.length;
        self.line_ends += u64::from(line.end > 0);
        self.last_line_end = line.end;
        if self.boundaries > 0
            && line.head.starts_with(b"--")
            && let Some((level, is_close)) = self.delimiter(line)
        {
            return self.at_delimiter(level, is_close, start, before);
        }
        if !self.in_header {
            return;
        }
        if line.length == line.end {
            self.end_header(self.position);
            return;
        }
        let (header, limit) = if self.header_complete {
            (&mut self.part_header, MAX_PART_HEADER)
        } else {
            (&mut self.header, MAX_HEADER)
        };
        let room = limit.saturating_sub(header.len());
        header.extend_from_slice(line.head.get(..line.head.len().min(room)).unwrap_or_default());
    }

    /// The level whose boundary this line is, the innermost first, and whether it is the close delimiter.
    fn delimiter(&self, line: &Line<'_>) -> Option<(usize, bool)> {
        if line.length > MAX_DELIMITER_LINE as u64 {
            return None;
        }
        let text = line.head.get(2..)?.trim_ascii_end();
        let after = |open: &Open| text.strip_prefix(open.boundary.as_deref()?);
        let levels = || self.open.iter().enumerate().rev();
        let exact = levels().find_map(|(level, open)| match after(open)? {
            b"" => Some((level, false)),
            b"--" => Some((level, true)),
            _ => None,
        });
        let closes = |open: &Open| after(open).is_some_and(|rest| rest.starts_with(b"--"));
        exact.or_else(|| levels().find(|(_, open)| closes(open)).map(|(level, _)| (level, true)))
    }

    /// Everything inside that level ends; the next part starts, or the epilogue.
    fn at_delimiter(&mut self, level: usize, is_close: bool, start: u64, before: Cut) {
        self.end_header_early(start);
        self.close_from(level + 1, before);
        let count = self.nodes.len();
        let Some(open) = self.open.last_mut() else { return };
        if is_close {
            open.boundary = None;
            self.boundaries -= 1;
        } else if count < MAX_PARTS {
            let in_digest = open.is_digest;
            if let Some(parent) = self.nodes.get_mut(open.node) {
                parent.children.push(count);
            }
            self.start_part(Node::new(self.position, in_digest));
        }
    }

    /// The open nodes from that level inwards end at `cut`.
    fn close_from(&mut self, level: usize, cut: Cut) {
        // What lies inside a part never reaches beyond it, even where a header runs into the delimiter.
        let mut limit = u64::MAX;
        for open in self.open.drain(level..) {
            self.boundaries -= usize::from(open.boundary.is_some());
            let count = self.nodes.len();
            let Some(node) = self.nodes.get_mut(open.node) else { continue };
            node.close(cut, limit);
            limit = node.body.1;
            if matches!(node.mime.kind, Kind::Multipart { .. }) && node.children.is_empty() {
                // RFC 3501 §9: `body-type-mpart` has at least one body.
                node.children.push(count);
                self.nodes.push(Node::empty(limit));
            }
        }
    }

    fn start_part(&mut self, node: Node) {
        self.open.push(Open { node: self.nodes.len(), boundary: None, is_digest: false });
        self.nodes.push(node);
        self.part_header.clear();
        self.in_header = true;
    }

    /// A header that a delimiter or the end of the message cuts off; it may be that of a message, whose own header
    /// ends here, too.
    fn end_header_early(&mut self, at: u64) {
        while self.in_header {
            self.end_header(at);
        }
    }

    /// The header of the innermost node ends before `at`; what it says decides how the body is read.
    fn end_header(&mut self, at: u64) {
        self.in_header = false;
        let is_top = !self.header_complete;
        self.header_complete = true;
        let depth = self.open.len();
        let count = self.nodes.len();
        let block = if is_top { &self.header } else { &self.part_header };
        let Some(open) = self.open.last_mut() else { return };
        let Some(node) = self.nodes.get_mut(open.node) else { return };
        let place = Place {
            in_digest: node.in_digest,
            must_be_leaf: depth > MAX_DEPTH || count >= MAX_PARTS,
            is_brief: self.rendered >= MAX_RENDERED,
        };
        node.mime = Mime::parse(block, place);
        node.header.1 = at;
        node.body = (at, at);
        node.line_ends_before = self.line_ends;
        if node.is_message_top {
            let block: &[u8] = if place.is_brief { b"" } else { block };
            envelope::write(fields(block), &mut node.envelope);
        }
        self.rendered += node.mime.basic.len() + node.mime.extension.len() + node.envelope.len();
        match &node.mime.kind {
            Kind::Multipart { boundary, is_digest } => {
                open.boundary = Some(boundary.clone());
                open.is_digest = *is_digest;
                self.boundaries += 1;
            }
            Kind::Message => {
                node.children.push(count);
                self.start_part(Node { is_message_top: true, ..Node::new(at, false) });
            }
            Kind::Text | Kind::Other => {}
        }
    }
}

/// A place where parts end: its offset, and the line ends before it.
#[derive(Clone, Copy)]
struct Cut {
    at: u64,
    line_ends: u64,
}

impl Node {
    fn new(start: u64, in_digest: bool) -> Self {
        Self {
            header: (start, start),
            body: (start, start),
            lines: 0,
            line_ends_before: 0,
            mime: Mime::default(),
            envelope: Vec::new(),
            children: Vec::new(),
            in_digest,
            is_message_top: false,
        }
    }

    /// A part with nothing in it.
    fn empty(at: u64) -> Self {
        let place = Place { in_digest: false, must_be_leaf: true, is_brief: false };
        Self { mime: Mime::parse(b"", place), ..Self::new(at, false) }
    }

    fn close(&mut self, cut: Cut, limit: u64) {
        self.header = (self.header.0.min(limit), self.header.1.min(limit));
        self.body.0 = self.header.1;
        self.body.1 = cut.at.max(self.body.0).min(limit);
        self.lines = cut.line_ends.saturating_sub(self.line_ends_before);
    }
}

impl UnfinishedLine {
    fn keep(&mut self, octets: &[u8], limit: usize) {
        let room = limit.saturating_sub(self.head.len());
        self.head.extend_from_slice(octets.get(..octets.len().min(room)).unwrap_or_default());
        self.length += octets.len() as u64;
        self.last = octets.last().copied().unwrap_or(self.last);
    }
}

fn part(nodes: &[Node], index: usize) -> Part {
    let Some(node) = nodes.get(index) else {
        return Part { header: (0, 0), body: (0, 0), content: PartContent::Leaf };
    };
    let mut children = node.children.iter().map(|child| part(nodes, *child));
    let content = match node.mime.kind {
        Kind::Multipart { .. } => PartContent::Multipart(children.collect()),
        Kind::Message => children.next().map_or(PartContent::Leaf, |child| PartContent::Message(Box::new(child))),
        Kind::Text | Kind::Other => PartContent::Leaf,
    };
    Part { header: node.header, body: node.body, content }
}

/// Octets of the top-level header that are kept.
pub(super) const MAX_HEADER: usize = 256 * 1024;

/// Octets of the header of any other part that are looked at.
const MAX_PART_HEADER: usize = 64 * 1024;

/// Parts in one message, all levels together.
const MAX_PARTS: usize = 1_000;

/// Levels below the top-level part.
const MAX_DEPTH: usize = 50;

/// Octets of body fields and envelopes; parts beyond are described in brief.
const MAX_RENDERED: usize = 1024 * 1024;

/// Octets of a line that may be a delimiter: two dashes, boundary, two dashes, white space.
const MAX_DELIMITER_LINE: usize = 1024;

const _: () = assert!(MAX_BOUNDARY + 6 < MAX_DELIMITER_LINE && MAX_DELIMITER_LINE < MAX_PART_HEADER);
