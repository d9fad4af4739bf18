//! A position in a command, and the tokens of RFC 3501 §9.

use std::borrow::Cow;

use super::parse::ParseError;

pub(super) type Parsed<T> = Result<T, ParseError>;

/// `tag` is of these: ASTRING-CHAR without `+`.
pub(super) fn is_tag_char(b: u8) -> bool {
    b != b'+' && is_astring_char(b)
}

/// ASTRING-CHAR: ATOM-CHAR or `]`.
pub(super) fn is_astring_char(b: u8) -> bool {
    b.is_ascii_graphic() && !b"(){%*\"\\".contains(&b)
}

/// ATOM-CHAR
pub(super) fn is_atom_char(b: u8) -> bool {
    b != b']' && is_astring_char(b)
}

/// What of a command has not been read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(super) fn take_one(&mut self) -> Option<u8> {
        self.take(1).first().copied()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn eat(&mut self, octet: u8) -> bool {
        let found = self.peek() == Some(octet);
        if found {
            self.take(1);
        }
        found
    }

    pub(super) fn expect(&mut self, octet: u8, what: &'static str) -> Parsed<()> {
        if self.eat(octet) { Ok(()) } else { Err(ParseError::Expected(what)) }
    }

    pub(super) fn space(&mut self) -> Parsed<()> {
        self.expect(b' ', "space")
    }

    pub(super) fn end(&self) -> Parsed<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(ParseError::Trailing) }
    }

    /// The next `n` octets, or as many as there are.
    fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(n.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    pub(super) fn take_while(&mut self, fits: impl Fn(u8) -> bool) -> &'a [u8] {
        let n = self.rest.iter().position(|b| !fits(*b)).unwrap_or(self.rest.len());
        self.take(n)
    }

    /// As [`Cursor::take_while`], in upper case: for names without case.
    pub(super) fn word(&mut self, fits: impl Fn(u8) -> bool) -> String {
        self.take_while(fits).iter().map(|b| char::from(b.to_ascii_uppercase())).collect()
    }

    pub(super) fn atom(&mut self, what: &'static str) -> Parsed<&'a str> {
        let octets = self.take_while(is_atom_char);
        match std::str::from_utf8(octets) {
            Ok(atom) if !atom.is_empty() => Ok(atom),
            _ => Err(ParseError::Expected(what)),
        }
    }

    pub(super) fn astring(&mut self, what: &'static str) -> Parsed<Cow<'a, [u8]>> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(what),
            _ => match self.take_while(is_astring_char) {
                [] => Err(ParseError::Expected(what)),
                octets => Ok(Cow::Borrowed(octets)),
            },
        }
    }

    /// An astring that is UTF-8.
    pub(super) fn text(&mut self, what: &'static str) -> Parsed<String> {
        let octets = self.astring(what)?.into_owned();
        String::from_utf8(octets).map_err(|_| ParseError::Expected(what))
    }

    pub(super) fn string(&mut self, what: &'static str) -> Parsed<Cow<'a, [u8]>> {
        match self.peek() {
            Some(b'"') => self.quoted().map(Cow::Owned),
            Some(b'{') => self.literal().map(Cow::Borrowed),
            _ => Err(ParseError::Expected(what)),
        }
    }

    /// QUOTED-CHAR (RFC 3501 §9); also 8-bit octets (see the deviation in `mod.rs`).
    fn quoted(&mut self) -> Parsed<Vec<u8>> {
        self.expect(b'"', "quoted string")?;
        let mut text = Vec::new();
        loop {
            text.extend_from_slice(self.take_while(|b| !matches!(b, b'"' | b'\\' | b'\r' | b'\n' | 0)));
            match *self.take(1) {
                [b'"'] => return Ok(text),
                [b'\\'] => match *self.take(1) {
                    [escaped @ (b'"' | b'\\')] => text.push(escaped),
                    _ => return Err(ParseError::Expected("quoted string")),
                },
                [0] => return Err(ParseError::Nul),
                _ => return Err(ParseError::Expected("quoted string")),
            }
        }
    }

    fn literal(&mut self) -> Parsed<&'a [u8]> {
        self.expect(b'{', "literal")?;
        let size = self.number64("literal")?;
        self.eat(b'+');
        for octet in *b"}\r\n" {
            self.expect(octet, "literal")?;
        }
        let size = usize::try_from(size).map_err(|_| ParseError::LiteralTooLarge)?;
        let octets = self.take(size);
        if octets.len() < size {
            return Err(ParseError::Expected("literal"));
        }
        // RFC 3501 §9 CHAR8: a literal other than BINARY's holds no NUL.
        if octets.contains(&0) { Err(ParseError::Nul) } else { Ok(octets) }
    }

    pub(super) fn number64(&mut self, what: &'static str) -> Parsed<u64> {
        let digits = self.take_while(|b| b.is_ascii_digit());
        std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok()).ok_or(ParseError::Expected(what))
    }

    pub(super) fn number(&mut self, what: &'static str) -> Parsed<u32> {
        self.number64(what)?.try_into().map_err(|_| ParseError::Expected(what))
    }

    /// `(item item ...)`, at least one.
    pub(super) fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        self.expect(b'(', "parenthesized list")?;
        let mut items = vec![item(self)?];
        while !self.eat(b')') {
            self.space()?;
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// As [`Cursor::list`]; may be empty.
    pub(super) fn list_or_none<T>(&mut self, item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        if self.rest.starts_with(b"()") {
            self.take(2);
            return Ok(Vec::new());
        }
        self.list(item)
    }
}
