//! What an inspection needs of a message: long bodies that are no text, as those of most attachments, stay unread.

use std::borrow::Cow;
use std::ops::Range;

use super::Labels;
use crate::proto::message::{Part, PartContent};

/// Octets of a message, in pieces that stand at their places. What lies beside them counts as empty.
#[derive(Clone, Debug, Default)]
pub struct Excerpt<'a> {
    /// By place, apart from each other.
    pieces: Vec<(u64, Cow<'a, [u8]>)>,
}

impl<'a> Excerpt<'a> {
    /// The start of a message, or all of it.
    pub fn start(content: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { pieces: vec![(0, content.into())] }
    }

    /// Adds octets that stand at `at`, where there are none yet.
    pub fn add(&mut self, at: u64, octets: Vec<u8>) {
        let place = self.pieces.partition_point(|(start, _)| *start < at);
        self.pieces.insert(place, (at, Cow::Owned(octets)));
    }

    /// How many octets there are.
    pub fn size(&self) -> usize {
        self.pieces.iter().map(|(_, octets)| octets.len()).sum()
    }

    /// The octets of a range, as far as one piece has them from its start on.
    pub(super) fn get(&self, range: (u64, u64)) -> &[u8] {
        let piece = self.piece(range);
        piece.and_then(|(octets, inside)| octets.get(inside)).unwrap_or_default()
    }

    /// The same, to outlive the excerpt.
    pub(super) fn lasting(&self, range: (u64, u64)) -> Cow<'a, [u8]> {
        match self.piece(range) {
            Some((Cow::Borrowed(octets), inside)) => Cow::Borrowed(octets.get(inside).unwrap_or_default()),
            Some((Cow::Owned(octets), inside)) => Cow::Owned(octets.get(inside).unwrap_or_default().to_vec()),
            None => Cow::Borrowed(&[]),
        }
    }

    /// The piece in which a range starts, and what of it is in the range.
    fn piece(&self, (start, end): (u64, u64)) -> Option<(&Cow<'a, [u8]>, Range<usize>)> {
        let before = self.pieces.partition_point(|(at, _)| *at <= start);
        let (at, octets) = before.checked_sub(1).and_then(|last| self.pieces.get(last))?;
        let place = |offset: u64| usize::try_from(offset.saturating_sub(*at)).unwrap_or(usize::MAX).min(octets.len());
        Some((octets, place(start)..place(end)))
    }
}

/// Everything but the long bodies of a message of so many octets; `root` is its top-level part.
pub fn outline(root: &Part, size: u64) -> Vec<Range<u64>> {
    let mut wanted = Vec::new();
    let mut at = 0;
    for part in long(root) {
        wanted.push(at..part.body.0);
        at = part.body.1;
    }
    wanted.push(at..size);
    wanted
}

/// The long bodies that are inspected: their headers, which the outline holds, tell.
pub fn texts(root: &Part, outline: &Excerpt<'_>) -> Vec<Range<u64>> {
    let read = long(root).into_iter().filter(|part| is_read(&Labels::parse(outline.get(part.header))));
    read.map(|part| part.body.0..part.body.1).collect()
}

/// The body of such a part is inspected if nothing lies inside it: a text, or what a client may take for more.
pub(super) fn is_read(labels: &Labels<'_>) -> bool {
    is_html(labels) || ["text", "multipart", "message"].iter().any(|main| labels.is_any(main))
}

pub(super) fn is_html(labels: &Labels<'_>) -> bool {
    labels.is("text", "html") || labels.is("application", "xhtml+xml")
}

/// The parts with long bodies, in their order.
fn long(part: &Part) -> Vec<&Part> {
    match &part.content {
        PartContent::Multipart(parts) => parts.iter().flat_map(long).collect(),
        PartContent::Message(top) => long(top),
        PartContent::Leaf if part.body.1.saturating_sub(part.body.0) > LONG => vec![part],
        PartContent::Leaf => Vec::new(),
    }
}

/// Octets that cost less to read than to ask whether they are needed.
const LONG: u64 = 16 << 10;
