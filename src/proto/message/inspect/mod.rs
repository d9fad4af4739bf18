//! What the conditions of mail rules look at (policy semantics §13.3): text, attachments; and the subject, which the
//! header alone tells.
//!
//! Text is decoded from transfer encoding (RFC 2045) and charset, HTML reduced to what is read, then folded
//! ([`Phrase`]). The body is every text part, those of attached texts and messages included: a rule shall not be
//! escaped by calling a text an attachment.
//!
//! Bounded whatever comes: parts and depth by the [`Scanner`], decoded octets by the caller's limit. What lies beyond,
//! or cannot be read, is not searched and makes the inspection incomplete. Nothing fails.
//!
//! [`pieces`] tells what somebody wrote in a reply from what they quote.

mod charset;
mod excerpt;
mod html;
mod parameter;
mod reply;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::cell::OnceCell;

use super::decode::{decode_base64, decode_quoted_printable, decode_text, plain_text};
use super::header::{Field, fields};
use super::mime::{Encoding, Labels};
use super::{Part, PartContent, Scanner};
use crate::mail::{Clear, Folded, NamePattern, Phrase, PhraseSet};

pub use excerpt::{Excerpt, outline, texts};
pub use reply::{Piece, pieces};

/// What was found in a message, parts of which it borrows.
#[derive(Clone, Debug)]
pub struct Inspection<'a> {
    /// Texts of the body that need not be folded to rule phrases out: most, and most phrases.
    clear: Vec<Clear<'a>>,
    /// The others.
    body: Folded,
    /// What is clear, as soon as somebody asks for more.
    late: OnceCell<Folded>,
    names: Vec<String>,
    folded_names: Folded,
    has_attachment: bool,
    is_encrypted: bool,
    is_incomplete: bool,
}

impl<'a> Inspection<'a> {
    /// Octets of decoded text that are inspected (policy semantics §13.3).
    pub const LIMIT: usize = 10 * 1024 * 1024;

    /// Inspects a message, or the start of one that `is_truncated`, up to `limit` octets of decoded text.
    pub fn of(content: impl Into<Cow<'a, [u8]>>, is_truncated: bool, limit: usize) -> Self {
        let content = content.into();
        let mut scanner = Scanner::new();
        scanner.push(&content);
        Self::of_parts(&Excerpt::start(content), &scanner.finish_structure(), is_truncated, limit)
    }

    /// The same for a message whose structure is known: `root` is the top-level part of its summary. Of `content` it is
    /// enough to have the [`outline`] and the [`texts`].
    pub fn of_parts(content: &Excerpt<'a>, root: &Part, is_truncated: bool, limit: usize) -> Self {
        let mut walk = Walk::new(is_truncated, limit);
        walk.part(content, root, 0);
        walk.finish()
    }

    /// The names of named parts, decoded (RFC 2231, RFC 2047). A part whose header names it differently has several.
    pub fn attachment_names(&self) -> &[String] {
        &self.names
    }

    /// Some part has the disposition `attachment`, or a file name and a type other than text, and is no inline image:
    /// one that the HTML shows, or that has a Content-ID and the disposition `inline`.
    pub fn has_attachment(&self) -> bool {
        self.has_attachment
    }

    /// Something in it is encrypted, by S/MIME (RFC 8551 §3.3) or PGP/MIME (RFC 3156 §4).
    pub fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// Not all of the body could be read: it was too long, or damaged, or in a form that is not known here.
    pub fn is_incomplete(&self) -> bool {
        self.is_incomplete
    }

    /// The numbers of the phrases that some text of the body or some attachment's name contains.
    pub fn find(&self, phrases: &PhraseSet) -> Vec<usize> {
        let mut found = phrases.find(&self.body);
        if !self.clear.iter().all(|text| phrases.rule_out(text)) {
            found.extend(phrases.find(self.late()));
        }
        if !self.names.is_empty() {
            found.extend(phrases.find(&self.folded_names));
        }
        found
    }

    /// Some text of the body contains the phrase.
    pub fn body_contains(&self, phrase: &Phrase) -> bool {
        phrase.is_in(&self.body) || phrase.is_in(self.late())
    }

    /// Does now what questions to come might take their time for: folds all text.
    pub fn prepared(self) -> Self {
        self.late();
        self
    }

    fn late(&self) -> &Folded {
        self.late.get_or_init(|| {
            // Bounded by the room for decoded octets: folding makes ASCII no longer.
            let mut folded = Folded::with_limit(usize::MAX);
            for text in &self.clear {
                folded.push(text.as_str());
                folded.separate();
            }
            folded
        })
    }

    /// Some attachment's name contains the phrase.
    pub fn attachment_name_contains(&self, phrase: &Phrase) -> bool {
        phrase.is_in(&self.folded_names)
    }

    /// Some attachment's name matches the pattern.
    pub fn attachment_name_matches(&self, pattern: &NamePattern) -> bool {
        self.folded_names.as_str().lines().any(|name| pattern.matches(name))
    }
}

/// What a field says cannot contain any of the phrases.
pub fn rules_out(field: &Field<'_>, phrases: &PhraseSet) -> bool {
    let text = plain_text(field.raw_value()).and_then(|text| Clear::of(text).ok());
    text.is_some_and(|text| phrases.rule_out(&text))
}

/// What the Subject fields of a header say, folded, for phrases to be looked for: all of them, if there are several.
pub fn subjects<'a>(header: impl Iterator<Item = Field<'a>>) -> Folded {
    let mut folded = Folded::with_limit(MAX_SUBJECTS);
    for field in header.filter(|field| field.is(b"Subject")) {
        match plain_text(field.raw_value()) {
            Some(text) => folded.push(text),
            None => folded.push(&decode_text(field.raw_value())),
        }
        folded.separate();
    }
    folded
}

/// An inspection in progress.
struct Walk<'a> {
    found: Inspection<'a>,
    /// Octets of decoded text that may still come.
    room: usize,
    /// Octets of names that may still come.
    name_room: usize,
    parts: usize,
    /// What the HTML parts refer to.
    shown: Vec<Vec<u8>>,
    /// Content-IDs of images that are attachments unless they are shown.
    images: Vec<Vec<u8>>,
}

impl<'a> Walk<'a> {
    fn new(is_truncated: bool, limit: usize) -> Self {
        let found = Inspection {
            clear: Vec::new(),
            // Folding makes text of two-octet charsets half as long again, and hostile text longer than that.
            body: Folded::with_limit(limit.saturating_mul(2)),
            late: OnceCell::new(),
            names: Vec::new(),
            folded_names: Folded::with_limit(MAX_NAMES.saturating_mul(2)),
            has_attachment: false,
            is_encrypted: false,
            is_incomplete: is_truncated,
        };
        Self { found, room: limit, name_room: MAX_NAMES, parts: 0, shown: Vec::new(), images: Vec::new() }
    }

    fn finish(mut self) -> Inspection<'a> {
        let is_attached = |id: &Vec<u8>| !self.shown.iter().any(|shown| shown.eq_ignore_ascii_case(id));
        self.found.has_attachment |= self.images.iter().any(is_attached);
        self.found.is_incomplete |= self.found.body.is_cut();
        self.found
    }

    /// The depth of the recursion is bounded by the scanner, and by `depth` where a decoded message is scanned again.
    fn part(&mut self, content: &Excerpt<'a>, part: &Part, depth: usize) {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            self.found.is_incomplete = true;
            return;
        }
        let labels = Labels::parse(content.get(part.header));
        self.label(&labels);
        match &part.content {
            PartContent::Multipart(parts) => parts.iter().for_each(|part| self.part(content, part, depth)),
            PartContent::Message(top) => self.message(content, top, depth),
            PartContent::Leaf => self.leaf(content, &labels, part.body, depth),
        }
    }

    /// A message inside the message: its subject is a text of the body.
    fn message(&mut self, content: &Excerpt<'a>, top: &Part, depth: usize) {
        for field in fields(content.get(top.header)).filter(|field| field.is(b"Subject")) {
            // Of these there may be any number, which only the folded text bounds.
            self.folded(&decode_text(field.raw_value()));
        }
        self.part(content, top, depth);
    }

    /// What the header alone says: names, attachment or not, encrypted or not.
    fn label(&mut self, labels: &Labels<'_>) {
        let mut names = parameter::values(&labels.disposition_parameters, "filename");
        names.extend(parameter::values(&labels.parameters, "name"));
        // RFC 2183 §2.8: an unknown disposition is treated as attachment.
        let has_disposition = labels.has_disposition() && !labels.is_inline();
        if has_disposition || (!names.is_empty() && !labels.is_any("text")) {
            match labels.id {
                Some(_) if labels.is_any("image") && labels.is_inline() => {}
                Some(id) if labels.is_any("image") => self.images.push(id.to_vec()),
                _ => self.found.has_attachment = true,
            }
        }
        for name in names {
            self.name(name);
        }
        if labels.is("multipart", "encrypted") {
            self.found.is_encrypted = true;
        }
        if labels.is("application", "pkcs7-mime") || labels.is("application", "x-pkcs7-mime") {
            match parameter::values(&labels.parameters, "smime-type").first().map(|kind| kind.to_ascii_lowercase()) {
                Some(kind) if OPAQUE.contains(&kind.as_str()) => self.found.is_incomplete = true,
                _ => self.found.is_encrypted = true,
            }
        }
    }

    fn name(&mut self, name: String) {
        if self.found.names.contains(&name) {
            return;
        }
        match self.name_room.checked_sub(name.len()) {
            Some(room) => self.name_room = room,
            None => return self.found.is_incomplete = true,
        }
        self.found.folded_names.push(name.trim());
        self.found.folded_names.separate();
        self.found.names.push(name);
    }

    fn leaf(&mut self, content: &Excerpt<'a>, labels: &Labels<'_>, body: (u64, u64), depth: usize) {
        if labels.is("message", "rfc822") || labels.is("message", "global") {
            return self.encoded_message(content, labels, body, depth);
        }
        if labels.is_any("multipart") || labels.is("message", "partial") {
            // Parts that the scanner did not open, and that a client may; or one piece of a message.
            self.found.is_incomplete = true;
        }
        if !excerpt::is_read(labels) {
            return;
        }
        let is_html = excerpt::is_html(labels);
        let octets = self.decoded(content, labels, body);
        let label = parameter::values(&labels.parameters, "charset").into_iter().next();
        let label = label.as_deref();
        let is_whole = if is_html {
            let (text, is_whole) = charset::decode(label, true, &octets);
            let limit = MAX_PARTS.saturating_sub(self.shown.len());
            self.shown.extend(html::content_ids(&text, limit));
            self.body(Cow::Owned(html::text(&text)));
            is_whole
        } else {
            let (text, is_whole) = match &octets {
                Cow::Borrowed(octets) => charset::decode(label, false, octets),
                Cow::Owned(octets) => {
                    let (text, is_whole) = charset::decode(label, false, octets);
                    (Cow::Owned(text.into_owned()), is_whole)
                }
            };
            self.body(text);
            is_whole
        };
        self.found.is_incomplete |= !is_whole;
    }

    /// RFC 2046 §5.2.1 forbids to encode a message, and so the scanner does not look into it; a client may.
    fn encoded_message(&mut self, content: &Excerpt<'a>, labels: &Labels<'_>, body: (u64, u64), depth: usize) {
        if labels.encoding == Encoding::Identity || depth >= MAX_DECODED_DEPTH {
            self.found.is_incomplete = true;
            return;
        }
        let octets = self.decoded(content, labels, body);
        let mut scanner = Scanner::new();
        scanner.push(&octets);
        self.message(&Excerpt::start(octets), &scanner.finish_structure(), depth + 1);
    }

    /// The body without its transfer encoding, as far as there is room.
    fn decoded(&mut self, content: &Excerpt<'a>, labels: &Labels<'_>, range: (u64, u64)) -> Cow<'a, [u8]> {
        // Octets that can make as many as there is room for; with lines of ordinary length it is less.
        let needed = match labels.encoding {
            Encoding::Identity => self.room,
            Encoding::Base64 => self.room.saturating_mul(2),
            Encoding::QuotedPrintable => self.room.saturating_mul(4),
        };
        let body = content.get(range);
        let seen = body.get(..needed).unwrap_or(body);
        let mut octets = match labels.encoding {
            Encoding::Identity => content.lasting((range.0, range.0.saturating_add(seen.len() as u64))),
            Encoding::Base64 => Cow::Owned(decode_base64(seen)),
            Encoding::QuotedPrintable => Cow::Owned(decode_quoted_printable(seen)),
        };
        self.found.is_incomplete |= seen.len() < body.len() || octets.len() > self.room || !labels.is_encoding_known;
        if octets.len() > self.room {
            octets = Cow::Owned(octets.get(..self.room).unwrap_or_default().to_vec());
        }
        self.room -= octets.len();
        octets
    }

    fn body(&mut self, text: Cow<'a, str>) {
        match Clear::of(text) {
            Ok(text) => self.found.clear.push(text),
            Err(text) => self.folded(&text),
        }
    }

    fn folded(&mut self, text: &str) {
        self.found.body.push(text);
        self.found.body.separate();
    }
}

/// Kinds of S/MIME content that is not encrypted but out of reach (RFC 8551 §3.2.2).
const OPAQUE: [&str; 3] = ["signed-data", "compressed-data", "certs-only"];

/// Parts that are looked at, those of decoded messages included; the scanner opens as many in one message.
const MAX_PARTS: usize = 999;

/// Messages that are decoded to look into them, one inside the other.
const MAX_DECODED_DEPTH: usize = 3;

/// Octets of all names together.
const MAX_NAMES: usize = 256 * 1024;

/// Octets of all subjects together.
const MAX_SUBJECTS: usize = 256 * 1024;
