//! MIME header fields of a part (RFC 2045, 2046, 2183, 3282, 2557): what decides its structure, and its body fields
//! as IMAP has them (RFC 3501 §7.4.2), 7-bit.
//!
//! Parameters are passed on as received, RFC 2231 forms included, since every client decodes them. A Content-Type that
//! cannot be read counts as missing (RFC 2045 §5.2).

use std::borrow::Cow;

use super::header::{Field, fields};
use super::wire;

/// Names and values as received.
type Parameters<'a> = Vec<(&'a [u8], Cow<'a, [u8]>)>;

/// What the header of a part says.
#[derive(Debug, Default)]
pub(super) struct Mime {
    pub kind: Kind,
    /// For a multipart its subtype; else type, subtype, parameters, id, description and encoding.
    pub basic: Vec<u8>,
    /// For a multipart parameters, disposition, language and location; else the MD5 in place of the parameters.
    pub extension: Vec<u8>,
}

/// How a part's body is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// `text/*`: counted in lines.
    Text,
    /// Neither text nor anything with parts.
    #[default]
    Other,
    Multipart {
        boundary: Vec<u8>,
        is_digest: bool,
    },
    Message,
}

/// What a part may be, by its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Without a Content-Type it is a message (RFC 2046 §5.1.5).
    pub in_digest: bool,
    /// Nothing can lie inside: the limits on depth or count are reached.
    pub must_be_leaf: bool,
    /// Parameters and the like are left out: the limit on octets of the summary is reached.
    pub is_brief: bool,
}

impl Mime {
    /// Reads a part's header.
    pub fn parse(block: &[u8], place: Place) -> Self {
        let found = Found::collect(block);
        let content_type = found.content_type.and_then(ContentType::parse);
        let (kind, content_type) = decide(content_type, found.encoding, place);
        let mut mime = Self { kind, ..Self::default() };
        let basic = &mut mime.basic;
        let is_multipart = matches!(mime.kind, Kind::Multipart { .. });
        if !is_multipart {
            wire::quoted(content_type.main, basic);
            basic.push(b' ');
        }
        wire::quoted(content_type.sub, basic);
        if place.is_brief {
            if !is_multipart {
                mime.basic.extend_from_slice(b" NIL NIL NIL ");
                mime.basic.extend_from_slice(Encoding::parse(found.encoding).name());
            }
            mime.extension.extend_from_slice(b"NIL NIL NIL NIL");
            return mime;
        }
        if is_multipart {
            parameters(&content_type.parameters, &mut mime.extension);
        } else {
            basic.push(b' ');
            parameters(&content_type.parameters, basic);
            for text in [found.id, found.description] {
                basic.push(b' ');
                wire::nstring(text.map(bounded), basic);
            }
            basic.push(b' ');
            encoding(found.encoding, basic);
            wire::nstring(found.md5.map(bounded), &mut mime.extension);
        }
        let extension = &mut mime.extension;
        extension.push(b' ');
        disposition(found.disposition, extension);
        extension.push(b' ');
        language(found.language, extension);
        extension.push(b' ');
        wire::nstring(found.location.map(bounded), extension);
        mime
    }
}

/// Type, transfer encoding and charset of a part, to read its text.
pub(super) struct TextCoding {
    pub is_text: bool,
    pub charset: Option<Vec<u8>>,
    pub encoding: Encoding,
}

/// The transfer encodings that change octets (RFC 2045 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Base64,
    QuotedPrintable,
}

impl TextCoding {
    /// Reads a part's header.
    pub fn parse(block: &[u8]) -> Self {
        let found = Found::collect(block);
        let content_type = found.content_type.and_then(ContentType::parse);
        // A multipart that is asked about is one without parts, and so is shown as text.
        let is_textual = |main: &[u8]| main.eq_ignore_ascii_case(b"text") || main.eq_ignore_ascii_case(b"multipart");
        let is_text = content_type.as_ref().is_none_or(|t| is_textual(t.main));
        let charset = content_type.as_ref().and_then(|t| t.parameter(b"charset"));
        Self { is_text, charset, encoding: Encoding::parse(found.encoding) }
    }
}

/// What the header of a part says about its content.
#[derive(Debug)]
pub(super) struct Labels<'a> {
    /// `text/plain` without a type that can be read (RFC 2045 §5.2).
    main: &'a [u8],
    sub: &'a [u8],
    pub parameters: Parameters<'a>,
    /// Empty without one.
    disposition: &'a [u8],
    pub disposition_parameters: Parameters<'a>,
    /// Content-ID, without its angle brackets.
    pub id: Option<&'a [u8]>,
    pub encoding: Encoding,
    /// False for a transfer encoding that nobody here knows.
    pub is_encoding_known: bool,
}

impl<'a> Labels<'a> {
    /// Reads a part's header.
    pub fn parse(block: &'a [u8]) -> Self {
        let found = Found::collect(block);
        let content_type =
            found.content_type.and_then(ContentType::parse).unwrap_or_else(|| ContentType::plain("text", "plain"));
        let mut disposition = Input::new(found.disposition.unwrap_or_default());
        let encoding = token_of(found.encoding.unwrap_or_default());
        let id = |value: &'a [u8]| {
            let value = value.strip_prefix(b"<").unwrap_or(value);
            value.strip_suffix(b">").unwrap_or(value)
        };
        Self {
            main: content_type.main,
            sub: content_type.sub,
            parameters: content_type.parameters,
            disposition: disposition.token().unwrap_or_default(),
            disposition_parameters: disposition.parameters(),
            id: found.id.map(|value| id(bounded(value))).filter(|id| !id.is_empty()),
            encoding: Encoding::parse(found.encoding),
            is_encoding_known: ENCODINGS.iter().any(|known| known.eq_ignore_ascii_case(encoding)),
        }
    }

    /// The type is this, whatever the subtype.
    pub fn is_any(&self, main: &str) -> bool {
        self.main.eq_ignore_ascii_case(main.as_bytes())
    }

    /// The type and subtype are these.
    pub fn is(&self, main: &str, sub: &str) -> bool {
        self.is_any(main) && self.sub.eq_ignore_ascii_case(sub.as_bytes())
    }

    /// It has a disposition.
    pub fn has_disposition(&self) -> bool {
        !self.disposition.is_empty()
    }

    /// The disposition is `inline` (RFC 2183 §2.1).
    pub fn is_inline(&self) -> bool {
        self.disposition.eq_ignore_ascii_case(b"inline")
    }
}

impl Encoding {
    fn parse(value: Option<&[u8]>) -> Self {
        match value.map(token_of) {
            Some(name) if name.eq_ignore_ascii_case(b"base64") => Self::Base64,
            Some(name) if name.eq_ignore_ascii_case(b"quoted-printable") => Self::QuotedPrintable,
            _ => Self::Identity,
        }
    }

    fn name(self) -> &'static [u8] {
        match self {
            Self::Identity => b"\"7BIT\"",
            Self::Base64 => b"\"BASE64\"",
            Self::QuotedPrintable => b"\"QUOTED-PRINTABLE\"",
        }
    }
}

/// The kind of the part, and the type under which it is shown.
fn decide<'a>(given: Option<ContentType<'a>>, encoding: Option<&[u8]>, place: Place) -> (Kind, ContentType<'a>) {
    let Some(mut given) = given else {
        if place.in_digest && !place.must_be_leaf {
            return (Kind::Message, ContentType::plain("message", "rfc822"));
        }
        return (Kind::Text, ContentType::default());
    };
    let is = |name: &[u8], want: &[u8]| name.eq_ignore_ascii_case(want);
    if is(given.main, b"multipart") {
        let boundary = given.boundary().filter(|b| !b.is_empty() && b.len() <= MAX_BOUNDARY);
        return match boundary {
            Some(boundary) if !place.must_be_leaf => {
                let is_digest = is(given.sub, b"digest");
                (Kind::Multipart { boundary, is_digest }, given)
            }
            // RFC 2046 §5.1.1: the boundary is required; without it there are no parts to show.
            _ => (Kind::Text, ContentType::default()),
        };
    }
    if is(given.main, b"message") && (is(given.sub, b"rfc822") || is(given.sub, b"global")) {
        // RFC 2046 §5.2.1: no encoding other than 7bit, 8bit and binary is permitted, so the structure inside is
        // out of reach; RFC 3501 §7.4.2 has no message/rfc822 without envelope.
        if place.must_be_leaf || Encoding::parse(encoding) != Encoding::Identity {
            return (Kind::Other, ContentType::plain("application", "octet-stream"));
        }
        return (Kind::Message, given);
    }
    if is(given.main, b"text") {
        // RFC 2046 §4.1.2: the default charset.
        if !given.parameters.iter().any(|(name, _)| is(name, b"charset") || is(name, b"charset*")) {
            given.parameters.push(US_ASCII);
        }
        return (Kind::Text, given);
    }
    (Kind::Other, given)
}

/// Type, subtype and parameters as received.
struct ContentType<'a> {
    main: &'a [u8],
    sub: &'a [u8],
    parameters: Parameters<'a>,
}

/// RFC 2045 §5.2.
impl Default for ContentType<'_> {
    fn default() -> Self {
        Self { parameters: vec![US_ASCII], ..Self::plain("TEXT", "PLAIN") }
    }
}

impl<'a> ContentType<'a> {
    fn plain(main: &'static str, sub: &'static str) -> Self {
        Self { main: main.as_bytes(), sub: sub.as_bytes(), parameters: Vec::new() }
    }

    fn parse(value: &'a [u8]) -> Option<Self> {
        let mut input = Input::new(value);
        let main = input.token()?;
        input.skip_space();
        input.take(b'/').then_some(())?;
        input.skip_space();
        let sub = input.token()?;
        (main.len() <= MAX_NAME && sub.len() <= MAX_NAME).then_some(())?;
        Some(Self { main, sub, parameters: input.parameters() })
    }

    fn parameter(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.parameters.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_vec())
    }

    /// The boundary parameter; in pieces if it was continued (RFC 2231 §3).
    fn boundary(&self) -> Option<Vec<u8>> {
        if let Some(whole) = self.parameter(b"boundary") {
            return Some(whole);
        }
        let mut joined = Vec::new();
        for number in 0..10 {
            match self.parameter(format!("boundary*{number}").as_bytes()) {
                Some(piece) => joined.extend_from_slice(&piece),
                None => break,
            }
        }
        Some(joined)
    }
}

/// RFC 3501 §9: `body-fld-param`.
fn parameters(parameters: &[(&[u8], Cow<'_, [u8]>)], out: &mut Vec<u8>) {
    if parameters.is_empty() {
        return out.extend_from_slice(b"NIL");
    }
    for (at, (name, value)) in parameters.iter().enumerate() {
        out.push(if at == 0 { b'(' } else { b' ' });
        wire::quoted(name, out);
        out.push(b' ');
        wire::quoted(value, out);
    }
    out.push(b')');
}

/// RFC 3501 §9: `body-fld-enc`.
fn encoding(value: Option<&[u8]>, out: &mut Vec<u8>) {
    match value.map(token_of) {
        Some(name) if !name.is_empty() => wire::quoted(name, out),
        _ => out.extend_from_slice(b"\"7BIT\""),
    }
}

/// RFC 3501 §9: `body-fld-dsp`.
fn disposition(value: Option<&[u8]>, out: &mut Vec<u8>) {
    let Some(value) = value else { return out.extend_from_slice(b"NIL") };
    let mut input = Input::new(value);
    let Some(kind) = input.token() else { return out.extend_from_slice(b"NIL") };
    out.push(b'(');
    wire::quoted(kind, out);
    out.push(b' ');
    parameters(&input.parameters(), out);
    out.push(b')');
}

/// RFC 3501 §9: `body-fld-lang`.
fn language(value: Option<&[u8]>, out: &mut Vec<u8>) {
    let value = value.map(bounded).unwrap_or_default();
    let mut tags =
        value.split(|b| *b == b',').map(token_of).filter(|tag| !tag.is_empty()).take(MAX_LANGUAGES).peekable();
    if tags.peek().is_none() {
        return out.extend_from_slice(b"NIL");
    }
    for (at, tag) in tags.enumerate() {
        out.push(if at == 0 { b'(' } else { b' ' });
        wire::quoted(tag, out);
    }
    out.push(b')');
}

/// The first token of a value; empty if it starts with none.
fn token_of(value: &[u8]) -> &[u8] {
    Input::new(value).token().unwrap_or_default()
}

fn bounded(value: &[u8]) -> &[u8] {
    value.get(..value.len().min(MAX_VALUE)).unwrap_or_default().trim_ascii()
}

/// The first field of each kind.
#[derive(Default)]
struct Found<'a> {
    content_type: Option<&'a [u8]>,
    encoding: Option<&'a [u8]>,
    id: Option<&'a [u8]>,
    description: Option<&'a [u8]>,
    md5: Option<&'a [u8]>,
    disposition: Option<&'a [u8]>,
    language: Option<&'a [u8]>,
    location: Option<&'a [u8]>,
}

impl<'a> Found<'a> {
    fn collect(block: &'a [u8]) -> Self {
        let mut found = Self::default();
        for field in fields(block).take(MAX_FIELDS) {
            let Some(rest) = content_name(&field) else { continue };
            let kinds = [
                (&b"type"[..], &mut found.content_type),
                (b"transfer-encoding", &mut found.encoding),
                (b"id", &mut found.id),
                (b"description", &mut found.description),
                (b"md5", &mut found.md5),
                (b"disposition", &mut found.disposition),
                (b"language", &mut found.language),
                (b"location", &mut found.location),
            ];
            if let Some((_, first)) = kinds.into_iter().find(|(name, _)| rest.eq_ignore_ascii_case(name)) {
                first.get_or_insert(field.raw_value());
            }
        }
        found
    }
}

/// What follows `Content-` in the field's name.
fn content_name<'a>(field: &Field<'a>) -> Option<&'a [u8]> {
    let (head, rest) = field.name.split_at_checked(b"content-".len())?;
    (head.eq_ignore_ascii_case(b"content-") && rest.len() <= b"transfer-encoding".len()).then_some(rest)
}

/// A structured value (RFC 2045 §5.1). Line ends count as white space.
struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn new(value: &'a [u8]) -> Self {
        let mut input = Self { rest: bounded(value) };
        input.skip_space();
        input
    }

    /// White space and comments.
    fn skip_space(&mut self) {
        let mut depth = 0usize;
        while let [first, rest @ ..] = self.rest {
            match first {
                b'(' => depth += 1,
                b')' if depth > 0 => depth -= 1,
                b'\\' if depth > 0 => {
                    self.rest = rest.get(1..).unwrap_or_default();
                    continue;
                }
                _ if depth > 0 || first.is_ascii_whitespace() => {}
                _ => return,
            }
            self.rest = rest;
        }
    }

    fn take(&mut self, octet: u8) -> bool {
        match self.rest {
            [first, rest @ ..] if *first == octet => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn token(&mut self) -> Option<&'a [u8]> {
        let length = self
            .rest
            .iter()
            .position(|b| !TOKEN.get(usize::from(*b)).is_some_and(|is_token| *is_token))
            .unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(length);
        self.rest = rest;
        (!token.is_empty()).then_some(token)
    }

    /// `;name=value` as often as it comes. What is no parameter is skipped.
    fn parameters(&mut self) -> Parameters<'a> {
        let mut found = Vec::new();
        while found.len() < MAX_PARAMETERS {
            let Some(at) = memchr::memchr(b';', self.rest) else { break };
            self.rest = self.rest.get(at + 1..).unwrap_or_default();
            self.skip_space();
            let Some(name) = self.token() else { continue };
            self.skip_space();
            if !self.take(b'=') {
                continue;
            }
            self.skip_space();
            let value = if self.take(b'"') { self.quoted() } else { Cow::Borrowed(self.bare()) };
            found.push((name, value));
        }
        found
    }

    fn quoted(&mut self) -> Cow<'a, [u8]> {
        // Most have nothing that is left out.
        if let Some(end) = self.rest.iter().position(|b| b"\"\\\r\n".contains(b))
            && let Some((value, [b'"', rest @ ..])) = self.rest.split_at_checked(end)
        {
            self.rest = rest;
            return Cow::Borrowed(value);
        }
        let mut out = Vec::new();
        while let [first, rest @ ..] = self.rest {
            self.rest = rest;
            match (first, rest) {
                (b'"', _) => break,
                (b'\\', [escaped @ (b'"' | b'\\'), rest @ ..]) => {
                    out.push(*escaped);
                    self.rest = rest;
                }
                (b'\r' | b'\n', _) => {}
                _ => out.push(*first),
            }
        }
        Cow::Owned(out)
    }

    /// A value without quotes: also with characters that should be quoted, up to a semicolon or a comment.
    fn bare(&mut self) -> &'a [u8] {
        let ends = |(at, b): (usize, &u8)| {
            *b == b';' || (*b == b'(' && at > 0 && self.rest.get(at - 1).is_some_and(u8::is_ascii_whitespace))
        };
        let length = self.rest.iter().enumerate().position(ends).unwrap_or(self.rest.len());
        let (value, rest) = self.rest.split_at(length);
        self.rest = rest;
        value.trim_ascii()
    }
}

/// RFC 2045 §5.1: what a `token` is made of, by octet.
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut octet: u8 = 33;
    while octet < 127 {
        table[octet as usize] = !matches!(
            octet,
            b'(' | b')' | b'<' | b'>' | b'@' | b',' | b';' | b':' | b'\\' | b'"' | b'/' | b'[' | b']' | b'?' | b'='
        );
        octet += 1;
    }
    table
};

/// RFC 2046 §5.1.1 has 70; some mailers are longer.
pub(super) const MAX_BOUNDARY: usize = 250;

/// Fields of one header that are looked at.
const MAX_FIELDS: usize = 10_000;

/// Octets of one field's value that are looked at.
const MAX_VALUE: usize = 16 * 1024;

/// RFC 6838 §4.2: octets of a type, and of a subtype.
const MAX_NAME: usize = 127;

pub(super) const MAX_PARAMETERS: usize = 100;

/// RFC 2046 §4.1.2: the default charset.
const US_ASCII: (&[u8], Cow<'static, [u8]>) = (b"CHARSET", Cow::Borrowed(b"US-ASCII"));

/// RFC 2045 §6.1; none is 7bit.
const ENCODINGS: [&[u8]; 6] = [b"", b"7bit", b"8bit", b"binary", b"base64", b"quoted-printable"];

const MAX_LANGUAGES: usize = 50;
