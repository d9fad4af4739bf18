//! A strict reader of ENVELOPE, BODY and BODYSTRUCTURE (RFC 3501 §9), which knows nothing of how they are written.

/// What the structure shows: the parts of a multipart, the message inside a message, or nothing inside.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Leaf { octets: u64 },
    Multipart(Vec<Shape>),
    Message { octets: u64, top: Box<Shape> },
}

pub(super) fn envelope(text: &[u8]) -> Result<(), String> {
    let mut reader = Reader { text, at: 0 };
    reader.envelope()?;
    reader.end()
}

pub(super) fn body(text: &[u8], extended: bool) -> Result<Shape, String> {
    let mut reader = Reader { text, at: 0 };
    let shape = reader.body(extended)?;
    reader.end()?;
    Ok(shape)
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn fail<T>(&self, want: &str) -> Result<T, String> {
        let (before, after) = self.text.split_at(self.at.min(self.text.len()));
        let show = String::from_utf8_lossy;
        Err(format!("{want} wanted at {}: {} <HERE> {}", self.at, show(before), show(after)))
    }

    fn end(&self) -> Result<(), String> {
        if self.at == self.text.len() { Ok(()) } else { self.fail("end") }
    }

    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn take(&mut self, text: &str) -> Result<(), String> {
        if !self.text[self.at..].starts_with(text.as_bytes()) {
            return self.fail(text);
        }
        self.at += text.len();
        Ok(())
    }

    fn is_nil(&mut self) -> bool {
        self.take("NIL").is_ok()
    }

    fn string(&mut self) -> Result<String, String> {
        self.take("\"")?;
        let mut out = String::new();
        loop {
            match self.peek() {
                b'"' => break,
                b'\\' => {
                    self.at += 1;
                    if !matches!(self.peek(), b'"' | b'\\') {
                        return self.fail("quoted special");
                    }
                }
                b'\t' | b' '..=b'~' => {}
                _ => return self.fail("printable ASCII"),
            }
            out.push(char::from(self.peek()));
            self.at += 1;
        }
        self.take("\"")?;
        Ok(out)
    }

    fn nstring(&mut self) -> Result<Option<String>, String> {
        if self.is_nil() { Ok(None) } else { self.string().map(Some) }
    }

    fn number(&mut self) -> Result<u64, String> {
        let digits: String =
            self.text[self.at..].iter().take_while(|b| b.is_ascii_digit()).map(|b| *b as char).collect();
        self.at += digits.len();
        match digits.parse::<u32>() {
            Ok(number) if digits == "0" || !digits.starts_with('0') => Ok(u64::from(number)),
            _ => self.fail("number"),
        }
    }

    fn envelope(&mut self) -> Result<(), String> {
        self.take("(")?;
        self.nstring()?;
        self.take(" ")?;
        self.nstring()?;
        for _ in 0..6 {
            self.take(" ")?;
            self.addresses()?;
        }
        self.take(" ")?;
        self.nstring()?;
        self.take(" ")?;
        self.nstring()?;
        self.take(")")
    }

    fn addresses(&mut self) -> Result<(), String> {
        if self.is_nil() {
            return Ok(());
        }
        self.take("(")?;
        let mut in_group = false;
        loop {
            self.take("(")?;
            let name = self.nstring()?;
            self.take(" ")?;
            let route = self.nstring()?;
            self.take(" ")?;
            let mailbox = self.nstring()?;
            self.take(" ")?;
            let host = self.nstring()?;
            self.take(")")?;
            match (mailbox, host) {
                (Some(_), Some(_)) => {}
                (Some(_), None) if !in_group && name.is_none() && route.is_none() => in_group = true,
                (None, None) if in_group && name.is_none() && route.is_none() => in_group = false,
                _ => return self.fail("group in order before"),
            }
            if self.peek() == b')' {
                break;
            }
        }
        if in_group {
            return self.fail("end of group");
        }
        self.take(")")
    }

    fn parameters(&mut self) -> Result<(), String> {
        if self.is_nil() {
            return Ok(());
        }
        self.take("(")?;
        loop {
            self.string()?;
            self.take(" ")?;
            self.string()?;
            if self.peek() == b')' {
                return self.take(")");
            }
            self.take(" ")?;
        }
    }

    fn extension(&mut self) -> Result<(), String> {
        self.take(" ")?;
        if !self.is_nil() {
            self.take("(")?;
            self.string()?;
            self.take(" ")?;
            self.parameters()?;
            self.take(")")?;
        }
        self.take(" ")?;
        if !self.is_nil() {
            self.take("(")?;
            self.string()?;
            while self.peek() == b' ' {
                self.take(" ")?;
                self.string()?;
            }
            self.take(")")?;
        }
        self.take(" ")?;
        self.nstring()?;
        Ok(())
    }

    fn body(&mut self, extended: bool) -> Result<Shape, String> {
        self.take("(")?;
        let shape = if self.peek() == b'(' { self.multipart(extended)? } else { self.single(extended)? };
        self.take(")")?;
        Ok(shape)
    }

    fn multipart(&mut self, extended: bool) -> Result<Shape, String> {
        let mut parts = Vec::new();
        while self.peek() == b'(' {
            parts.push(self.body(extended)?);
        }
        self.take(" ")?;
        self.string()?;
        if extended {
            self.take(" ")?;
            self.parameters()?;
            self.extension()?;
        }
        Ok(Shape::Multipart(parts))
    }

    fn single(&mut self, extended: bool) -> Result<Shape, String> {
        let main = self.string()?.to_ascii_lowercase();
        self.take(" ")?;
        let sub = self.string()?.to_ascii_lowercase();
        self.take(" ")?;
        self.parameters()?;
        self.take(" ")?;
        self.nstring()?;
        self.take(" ")?;
        self.nstring()?;
        self.take(" ")?;
        self.string()?;
        self.take(" ")?;
        let octets = self.number()?;
        let mut shape = Shape::Leaf { octets };
        match (main.as_str(), sub.as_str()) {
            ("multipart", _) | ("", _) | (_, "") => return self.fail("another type before"),
            ("text", _) => {
                self.take(" ")?;
                self.number()?;
            }
            ("message", "rfc822" | "global") => {
                self.take(" ")?;
                self.envelope()?;
                self.take(" ")?;
                let top = Box::new(self.body(extended)?);
                self.take(" ")?;
                self.number()?;
                shape = Shape::Message { octets, top };
            }
            _ => {}
        }
        if extended {
            self.take(" ")?;
            self.nstring()?;
            self.extension()?;
        }
        Ok(shape)
    }
}

#[test]
fn the_reader_refuses_what_is_malformed() {
    let good = r#"("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 3028 92)"#;
    assert_eq!(body(good.as_bytes(), false), Ok(Shape::Leaf { octets: 3028 }));
    for bad in [
        r#"("TEXT" "PLAIN" () NIL NIL "7BIT" 3028 92)"#,
        r#"("TEXT" "PLAIN" NIL NIL NIL NIL 3028 92)"#,
        r#"("TEXT" "PLAIN" NIL NIL NIL "7BIT" 3028)"#,
        r#"("TEXT" "PLAIN" NIL NIL NIL "7BIT" 3028 92"#,
        r#"(NIL "PLAIN" NIL NIL NIL "7BIT" 3028 92)"#,
        r#"("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 3028)"#,
        "(\"TEXT\" \"PL\u{e4}IN\" NIL NIL NIL \"7BIT\" 3028 92)",
        r#"( "mixed")"#,
    ] {
        assert!(body(bad.as_bytes(), false).is_err(), "{bad}");
    }
    assert!(envelope(br#"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"#).is_ok());
    assert!(envelope(br#"(NIL NIL () NIL NIL NIL NIL NIL NIL NIL)"#).is_err());
    assert!(envelope(br#"(NIL NIL NIL NIL NIL NIL NIL NIL NIL)"#).is_err());
    assert!(envelope(br#"(NIL NIL ((NIL NIL "g" NIL)) NIL NIL NIL NIL NIL NIL NIL)"#).is_err());
}
