//! Sections of BODY[…] (RFC 3501 §6.4.5): part numbers to octets of the content.

use super::{Part, PartContent, Summary};

/// What of a part, or of the message if there are no part numbers, is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Without a text: the whole message, or the part's body.
    Whole,
    /// HEADER, also for HEADER.FIELDS and HEADER.FIELDS.NOT: with the blank line.
    Header,
    /// TEXT.
    Text,
    /// MIME: the part's own header with the blank line.
    Mime,
}

impl Summary {
    /// The part with these numbers; the top-level part if there are none. `None` if it does not exist.
    pub fn part(&self, numbers: &[u32]) -> Option<&Part> {
        let (mut within, mut is_message) = (&self.root, true);
        let mut found = &self.root;
        for number in numbers {
            found = match &within.content {
                PartContent::Multipart(parts) => parts.get(usize::try_from(number.checked_sub(1)?).ok()?)?,
                // RFC 3501 §6.4.5: every message has at least one part number.
                _ if is_message && *number == 1 => within,
                _ => return None,
            };
            (within, is_message) = match &found.content {
                PartContent::Message(top) => (top.as_ref(), true),
                _ => (found, false),
            };
        }
        Some(found)
    }

    /// The octets of a section, relative to the content; `None` if it does not exist. With no numbers, [`Section::Whole`]
    /// and [`Section::Header`] start at 0, and what stands before the content belongs before them.
    pub fn range(&self, numbers: &[u32], section: Section) -> Option<(u64, u64)> {
        let part = self.part(numbers)?;
        if numbers.is_empty() {
            return match section {
                Section::Whole => Some((part.header.0, part.body.1)),
                Section::Header => Some(part.header),
                Section::Text => Some(part.body),
                // RFC 3501 §6.4.5: MIME must follow a part number.
                Section::Mime => None,
            };
        }
        match (section, &part.content) {
            (Section::Whole, _) => Some(part.body),
            (Section::Mime, _) => Some(part.header),
            // RFC 3501 §6.4.5: HEADER and TEXT refer to the message inside a message/rfc822 part.
            (Section::Header, PartContent::Message(top)) => Some(top.header),
            (Section::Text, PartContent::Message(top)) => Some(top.body),
            (Section::Header | Section::Text, _) => None,
        }
    }
}
