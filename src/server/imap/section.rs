//! The octets of BODY[...], RFC822, RFC822.HEADER and RFC822.TEXT (RFC 3501 §6.4.5, §7.4.2).

use crate::mail::BlobId;
use crate::proto::imap::{FetchItem, Partial, SectionText};
use crate::proto::message::{Section, Summary, header};
use crate::store::{Error, Message, Reader, Rest};

/// What a section consists of, before it is read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Octets {
    /// In memory.
    Ready(Vec<u8>),
    /// A range of the message: the prefix, if the range begins in it, and then the content.
    Range(Range),
}

/// Octets of the message as the client sees it: `prefix` and octets `from..to` of what stands behind it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Range {
    /// What comes first.
    pub prefix: Vec<u8>,
    /// What stands behind the message's prefix.
    pub rest: Rest,
    /// From here …
    pub from: u64,
    /// … to here.
    pub to: u64,
}

impl Range {
    /// How many octets.
    pub fn size(&self) -> u64 {
        (self.prefix.len() as u64).saturating_add(self.to.saturating_sub(self.from))
    }

    /// The part of it that `<first.count>` asks for; empty beyond the end.
    fn cut(self, partial: &Partial) -> Self {
        let (first, count) = (u64::from(partial.first), u64::from(partial.count.get()));
        let prefix = slice(&self.prefix, first, count).to_vec();
        let skip = first.saturating_sub(self.prefix.len() as u64);
        let from = self.from.saturating_add(skip).min(self.to);
        let left = count.saturating_sub(prefix.len() as u64);
        Self { prefix, rest: self.rest, from, to: from.saturating_add(left).min(self.to) }
    }
}

fn slice(octets: &[u8], first: u64, count: u64) -> &[u8] {
    let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(octets.len());
    octets.get(at(first)..at(first.saturating_add(count))).unwrap_or_default()
}

/// A stored message whose summary is decoded when it is first needed.
#[derive(Debug)]
pub struct Stored {
    /// The message.
    pub message: Message,
    summary: Option<Summary>,
}

impl Stored {
    /// Reads what is kept for the message, without its content.
    pub fn read(reader: &Reader<'_>, blob: BlobId) -> Result<Self, Error> {
        Ok(Self { message: reader.message(blob)?, summary: None })
    }

    /// Its structure.
    pub fn summary(&mut self) -> Result<&Summary, Error> {
        match &mut self.summary {
            Some(summary) => Ok(summary),
            none => Ok(none.insert(Summary::decode(&self.message.summary).ok_or(Error::Corrupt)?)),
        }
    }
}

/// The octets that `item` asks for; `None` if the message has no such part.
pub fn octets(reader: &Reader<'_>, stored: &mut Stored, item: &FetchItem) -> Result<Option<Octets>, Error> {
    let (numbers, text, partial): (Vec<u32>, _, _) = match item {
        FetchItem::Rfc822 => (Vec::new(), None, None),
        FetchItem::Rfc822Header => (Vec::new(), Some(&SectionText::Header), None),
        FetchItem::Rfc822Text => (Vec::new(), Some(&SectionText::Text), None),
        FetchItem::Section { section, partial, .. } => {
            (section.part.iter().map(|n| n.get()).collect(), section.text.as_ref(), partial.as_ref())
        }
        _ => return Ok(None),
    };
    let kind = match text {
        None => Section::Whole,
        Some(SectionText::Text) => Section::Text,
        Some(SectionText::Mime) => Section::Mime,
        Some(SectionText::Header | SectionText::HeaderFields(_) | SectionText::HeaderFieldsNot(_)) => Section::Header,
    };
    let (from, to) = match (numbers.is_empty(), kind) {
        (true, Section::Whole) => (0, stored.message.rest().size),
        _ => match stored.summary()?.range(&numbers, kind) {
            Some(range) => range,
            None => return Ok(None),
        },
    };
    let message = &stored.message;
    let rest = message.rest();
    // Header fields that were added on arrival stand before the content.
    let has_prefix = numbers.is_empty() && matches!(kind, Section::Whole | Section::Header);
    let prefix = if has_prefix { message.prefix.clone() } else { Vec::new() };
    let range = Range { prefix, rest, from, to: to.min(rest.size).max(from) };
    Ok(Some(match text {
        Some(SectionText::HeaderFields(names)) => {
            Octets::Ready(cut(header::select(&read_header(reader, range)?, &octet_names(names)), partial))
        }
        Some(SectionText::HeaderFieldsNot(names)) => {
            Octets::Ready(cut(header::select_not(&read_header(reader, range)?, &octet_names(names)), partial))
        }
        _ => Octets::Range(match partial {
            Some(partial) => range.cut(partial),
            None => range,
        }),
    }))
}

fn cut(octets: Vec<u8>, partial: Option<&Partial>) -> Vec<u8> {
    match partial {
        Some(partial) => slice(&octets, partial.first.into(), partial.count.get().into()).to_vec(),
        None => octets,
    }
}

fn octet_names(names: &[String]) -> Vec<&[u8]> {
    names.iter().map(|n| n.as_bytes()).collect()
}

/// A header, prefix and all; what lies beyond the limit is not looked at.
fn read_header(reader: &Reader<'_>, range: Range) -> Result<Vec<u8>, Error> {
    let mut octets = range.prefix;
    reader.rest(range.rest, range.from, range.to.min(range.from.saturating_add(MAX_HEADER)), &mut octets)?;
    Ok(octets)
}

/// As much of a header as selected fields are looked for in.
const MAX_HEADER: u64 = 256 << 10;

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn partial_ranges() {
        let rest = Rest { content: BlobId::from_octets([0; 12]), omitted: None, size: 20 };
        let range = |prefix: &str, from, to| Range { prefix: prefix.into(), rest, from, to };
        for (case, first, count, want) in [
            ("all", 0, 100, range("abc", 10, 20)),
            ("within the prefix", 1, 1, range("b", 10, 10)),
            ("over the seam", 2, 3, range("c", 10, 12)),
            ("within the content", 5, 2, range("", 12, 14)),
            ("at the end", 12, 9, range("", 19, 20)),
            ("beyond the end", 13, 9, range("", 20, 20)),
            ("far beyond the end", u32::MAX, u32::MAX, range("", 20, 20)),
        ] {
            let partial = Partial { first, count: NonZeroU32::new(count).unwrap() };
            assert_eq!(range("abc", 10, 20).cut(&partial), want, "{case}");
        }
    }
}
