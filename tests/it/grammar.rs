//! FETCH responses read by the letter of the grammar (RFC 3501 §9), sharing nothing with the server's code: what this
//! reader takes, every client can read.

use std::collections::BTreeMap;

/// What one FETCH response says.
#[derive(Debug, Default)]
pub struct Fetch {
    pub uid: Option<u32>,
    pub size: Option<u64>,
    pub flags: Option<Vec<String>>,
    pub envelope: Option<Envelope>,
    pub body: Option<Body>,
    pub body_structure: Option<Body>,
    /// `BODY[section]` by section.
    pub sections: BTreeMap<String, Option<Vec<u8>>>,
}

/// ENVELOPE, as far as tests look into it.
#[derive(Debug, PartialEq)]
pub struct Envelope {
    pub subject: Option<Vec<u8>>,
    pub from: Vec<Address>,
    pub message_id: Option<Vec<u8>>,
}

pub type Address = [Option<Vec<u8>>; 4];

/// A part of a structure.
#[derive(Debug)]
pub enum Body {
    Multipart { parts: Vec<Body>, subtype: Vec<u8> },
    Message { octets: u64, inner: Box<Body> },
    Leaf { kind: Vec<u8>, octets: u64 },
}

impl Body {
    /// Section numbers of everything that can be fetched, with the sizes promised (none for multiparts).
    pub fn sections(&self) -> Vec<(String, Option<u64>)> {
        let mut all = Vec::new();
        match self {
            Body::Multipart { .. } => self.collect("", &mut all),
            // RFC 3501 §6.4.5: a message that is not multipart has one part, 1.
            _ => self.collect("1", &mut all),
        }
        all
    }

    fn collect(&self, path: &str, all: &mut Vec<(String, Option<u64>)>) {
        match self {
            Body::Multipart { parts, subtype } => {
                assert!(!subtype.is_empty(), "an empty subtype");
                for (n, part) in parts.iter().enumerate() {
                    let below = if path.is_empty() { format!("{}", n + 1) } else { format!("{path}.{}", n + 1) };
                    if matches!(part, Body::Multipart { .. }) {
                        all.push((below.clone(), None));
                    }
                    part.collect(&below, all);
                }
            }
            Body::Message { octets, inner } => {
                all.push((path.to_owned(), Some(*octets)));
                match inner.as_ref() {
                    Body::Multipart { .. } => inner.collect(path, all),
                    _ => inner.collect(&format!("{path}.1"), all),
                }
            }
            Body::Leaf { kind, octets } => {
                assert!(!kind.is_empty(), "an empty type");
                all.push((path.to_owned(), Some(*octets)));
            }
        }
    }
}

/// Reads `* n FETCH (...)`, without its last CRLF.
pub fn parse_fetch(response: &[u8]) -> Result<Fetch, String> {
    let mut reader = Reader { input: response, at: 0, depth: 0 };
    reader.fetch().map_err(|e| {
        let from = reader.at.saturating_sub(60);
        let near = response.get(from..(reader.at + 60).min(response.len())).unwrap_or_default();
        format!("{e} at octet {} near {}", reader.at, near.escape_ascii())
    })
}

struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    depth: usize,
}

type Parsed<T> = Result<T, String>;

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    fn looking_at(&self, text: &[u8]) -> bool {
        self.input[self.at..].starts_with(text)
    }

    fn take(&mut self, text: &[u8]) -> Parsed<()> {
        if self.looking_at(text) {
            self.at += text.len();
            Ok(())
        } else {
            Err(format!("expected {}", text.escape_ascii()))
        }
    }

    fn takes(&mut self, text: &[u8]) -> bool {
        let found = self.looking_at(text);
        if found {
            self.at += text.len();
        }
        found
    }

    fn fetch(&mut self) -> Parsed<Fetch> {
        self.take(b"* ")?;
        let mut fetch = Fetch::default();
        self.number()?;
        self.take(b" FETCH (")?;
        loop {
            self.item(&mut fetch)?;
            if self.takes(b")") {
                break;
            }
            self.take(b" ")?;
        }
        if self.at == self.input.len() { Ok(fetch) } else { Err("something after the end".to_owned()) }
    }

    fn item(&mut self, fetch: &mut Fetch) -> Parsed<()> {
        if self.takes(b"UID ") {
            fetch.uid = Some(u32::try_from(self.number()?).map_err(|e| e.to_string())?);
        } else if self.takes(b"RFC822.SIZE ") {
            fetch.size = Some(self.number()?);
        } else if self.takes(b"FLAGS (") {
            fetch.flags = Some(self.flags()?);
        } else if self.takes(b"INTERNALDATE ") {
            self.quoted()?;
        } else if self.takes(b"MODSEQ (") {
            self.number()?;
            self.take(b")")?;
        } else if self.takes(b"ENVELOPE ") {
            fetch.envelope = Some(self.envelope()?);
        } else if self.takes(b"BODYSTRUCTURE ") {
            fetch.body_structure = Some(self.body(true)?);
        } else if self.takes(b"BODY ") {
            fetch.body = Some(self.body(false)?);
        } else if self.takes(b"BODY[") {
            let start = self.at;
            while self.peek().is_some_and(|c| c != b']') {
                self.at += 1;
            }
            let section = String::from_utf8_lossy(&self.input[start..self.at]).into_owned();
            self.take(b"]")?;
            if self.takes(b"<") {
                self.number()?;
                self.take(b">")?;
            }
            self.take(b" ")?;
            let value = self.nstring(false)?;
            fetch.sections.insert(section, value);
        } else {
            return Err("an unknown item".to_owned());
        }
        Ok(())
    }

    fn flags(&mut self) -> Parsed<Vec<String>> {
        let mut all = Vec::new();
        while !self.takes(b")") {
            if !all.is_empty() {
                self.take(b" ")?;
            }
            let start = self.at;
            self.takes(b"\\");
            while self.peek().is_some_and(is_atom_char) {
                self.at += 1;
            }
            let flag = String::from_utf8_lossy(&self.input[start..self.at]).into_owned();
            if flag.trim_start_matches('\\').is_empty() {
                return Err("not a flag".to_owned());
            }
            all.push(flag);
        }
        Ok(all)
    }

    fn number(&mut self) -> Parsed<u64> {
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        let text = std::str::from_utf8(&self.input[start..self.at]).map_err(|e| e.to_string())?;
        text.parse().map_err(|e| format!("not a number: {e}"))
    }

    fn quoted(&mut self) -> Parsed<Vec<u8>> {
        self.take(b"\"")?;
        let mut out = Vec::new();
        loop {
            let c = self.peek().ok_or("an open quoted string")?;
            self.at += 1;
            match c {
                b'"' => return Ok(out),
                b'\\' => {
                    let escaped = self.peek().ok_or("an open quoted string")?;
                    if !matches!(escaped, b'"' | b'\\') {
                        return Err("only quoted-specials may be escaped".to_owned());
                    }
                    self.at += 1;
                    out.push(escaped);
                }
                b'\r' | b'\n' | 0 | 0x80.. => return Err(format!("octet {c:#x} in a quoted string")),
                _ => out.push(c),
            }
        }
    }

    /// A string; `seven_bit` for what stands in structures, which no client expects otherwise.
    fn string(&mut self, seven_bit: bool) -> Parsed<Vec<u8>> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => {
                self.take(b"{")?;
                let n = usize::try_from(self.number()?).map_err(|e| e.to_string())?;
                self.take(b"}\r\n")?;
                let value = self.input.get(self.at..self.at + n).ok_or("a literal beyond the end")?.to_vec();
                if value.contains(&0) {
                    return Err("NUL in a literal".to_owned());
                }
                if seven_bit && !value.is_ascii() {
                    return Err("octets above 127 in a structure".to_owned());
                }
                self.at += n;
                Ok(value)
            }
            _ => Err("expected a string".to_owned()),
        }
    }

    fn nstring(&mut self, seven_bit: bool) -> Parsed<Option<Vec<u8>>> {
        if self.takes(b"NIL") { Ok(None) } else { self.string(seven_bit).map(Some) }
    }

    fn envelope(&mut self) -> Parsed<Envelope> {
        self.take(b"(")?;
        let _date = self.nstring(true)?;
        self.take(b" ")?;
        let subject = self.nstring(true)?;
        let mut lists = Vec::new();
        for _ in 0..6 {
            self.take(b" ")?;
            lists.push(self.addresses()?);
        }
        self.take(b" ")?;
        let _in_reply_to = self.nstring(true)?;
        self.take(b" ")?;
        let message_id = self.nstring(true)?;
        self.take(b")")?;
        // RFC 3501 §7.4.2: Sender and Reply-To default to From.
        if !lists[0].is_empty() && (lists[1].is_empty() || lists[2].is_empty()) {
            return Err("From without Sender or Reply-To".to_owned());
        }
        Ok(Envelope { subject, from: lists.swap_remove(0), message_id })
    }

    fn addresses(&mut self) -> Parsed<Vec<Address>> {
        if self.takes(b"NIL") {
            return Ok(Vec::new());
        }
        self.take(b"(")?;
        let mut all = Vec::new();
        while !self.takes(b")") {
            self.take(b"(")?;
            let name = self.nstring(true)?;
            self.take(b" ")?;
            let route = self.nstring(true)?;
            self.take(b" ")?;
            let mailbox = self.nstring(true)?;
            self.take(b" ")?;
            let host = self.nstring(true)?;
            self.take(b")")?;
            all.push([name, route, mailbox, host]);
        }
        if all.is_empty() {
            return Err("an empty list of addresses".to_owned());
        }
        // RFC 3501 §7.4.2: a group starts with a name and no host, and ends with neither.
        let mut open = false;
        for [_, _, mailbox, host] in &all {
            match (mailbox, host) {
                (Some(_), None) if open => return Err("a group in a group".to_owned()),
                (Some(_), None) => open = true,
                (None, None) if !open => return Err("the end of no group".to_owned()),
                (None, None) => open = false,
                (None, Some(_)) => return Err("a host without mailbox".to_owned()),
                (Some(_), Some(_)) => {}
            }
        }
        if open { Err("a group without end".to_owned()) } else { Ok(all) }
    }

    fn body(&mut self, extended: bool) -> Parsed<Body> {
        self.depth += 1;
        if self.depth > 200 {
            return Err("nested too deep".to_owned());
        }
        self.take(b"(")?;
        let body = if self.peek() == Some(b'(') { self.multipart(extended)? } else { self.single(extended)? };
        self.take(b")")?;
        self.depth -= 1;
        Ok(body)
    }

    fn multipart(&mut self, extended: bool) -> Parsed<Body> {
        let mut parts = Vec::new();
        while self.peek() == Some(b'(') {
            parts.push(self.body(extended)?);
        }
        self.take(b" ")?;
        let subtype = self.string(true)?;
        if extended && self.takes(b" ") {
            self.parameters()?;
            self.disposition_and_on()?;
        }
        Ok(Body::Multipart { parts, subtype })
    }

    fn single(&mut self, extended: bool) -> Parsed<Body> {
        let kind = self.string(true)?.to_ascii_lowercase();
        self.take(b" ")?;
        let subtype = self.string(true)?.to_ascii_lowercase();
        self.take(b" ")?;
        self.parameters()?;
        self.take(b" ")?;
        self.nstring(true)?;
        self.take(b" ")?;
        self.nstring(true)?;
        self.take(b" ")?;
        let encoding = self.string(true)?;
        if encoding.is_empty() || subtype.is_empty() || kind.is_empty() {
            return Err("an empty type, subtype or encoding".to_owned());
        }
        self.take(b" ")?;
        let octets = self.number()?;
        let body = if kind == b"message" && subtype == b"rfc822" {
            self.take(b" ")?;
            self.envelope()?;
            self.take(b" ")?;
            let inner = self.body(extended)?;
            self.take(b" ")?;
            self.number()?;
            Body::Message { octets, inner: Box::new(inner) }
        } else if kind == b"message" && subtype == b"global" && self.looking_at(b" (") {
            // RFC 9051 §7.5.2 gives message/global the same form.
            self.take(b" ")?;
            self.envelope()?;
            self.take(b" ")?;
            let inner = self.body(extended)?;
            self.take(b" ")?;
            self.number()?;
            Body::Message { octets, inner: Box::new(inner) }
        } else {
            if kind == b"text" {
                self.take(b" ")?;
                self.number()?;
            }
            Body::Leaf { kind, octets }
        };
        if extended && self.takes(b" ") {
            self.nstring(true)?;
            self.disposition_and_on()?;
        }
        Ok(body)
    }

    fn parameters(&mut self) -> Parsed<()> {
        if self.takes(b"NIL") {
            return Ok(());
        }
        self.take(b"(")?;
        loop {
            self.string(true)?;
            self.take(b" ")?;
            self.string(true)?;
            if self.takes(b")") {
                return Ok(());
            }
            self.take(b" ")?;
        }
    }

    fn disposition_and_on(&mut self) -> Parsed<()> {
        if !self.takes(b" ") {
            return Ok(());
        }
        if !self.takes(b"NIL") {
            self.take(b"(")?;
            self.string(true)?;
            self.take(b" ")?;
            self.parameters()?;
            self.take(b")")?;
        }
        if !self.takes(b" ") {
            return Ok(());
        }
        if self.takes(b"(") {
            loop {
                self.string(true)?;
                if self.takes(b")") {
                    break;
                }
                self.take(b" ")?;
            }
        } else {
            self.nstring(true)?;
        }
        if self.takes(b" ") {
            self.nstring(true)?;
        }
        Ok(())
    }
}

fn is_atom_char(c: u8) -> bool {
    (0x21..0x7f).contains(&c) && !matches!(c, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}

#[test]
fn the_reader_is_strict() {
    for (text, good) in [
        ("* 1 FETCH (UID 1)", true),
        ("* 1 FETCH ()", false),
        ("* 1 FETCH (UID 1 )", false),
        ("* 1 FETCH (FLAGS ())", true),
        ("* 1 FETCH (FLAGS (\\Seen $x))", true),
        ("* 1 FETCH (ENVELOPE (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL))", true),
        ("* 1 FETCH (ENVELOPE (NIL NIL NIL NIL NIL NIL NIL NIL NIL))", false),
        ("* 1 FETCH (ENVELOPE (NIL NIL () NIL NIL NIL NIL NIL NIL NIL))", false),
        ("* 1 FETCH (BODY (\"text\" \"plain\" NIL NIL NIL \"7bit\" 3 1))", true),
        ("* 1 FETCH (BODY (\"text\" \"plain\" NIL NIL NIL \"7bit\" 3))", false),
        ("* 1 FETCH (BODY (\"text\" \"plain\" () NIL NIL \"7bit\" 3 1))", false),
        ("* 1 FETCH (BODY (\"text\" NIL NIL NIL NIL \"7bit\" 3 1))", false),
        ("* 1 FETCH (BODY (\"a\" \"b\" (\"c\" \"\u{e4}\") NIL NIL \"7bit\" 3))", false),
        ("* 1 FETCH (BODY ((\"a\" \"b\" NIL NIL NIL \"7bit\" 3) \"mixed\"))", true),
        ("* 1 FETCH (BODY (\"a\" \"b\" NIL NIL NIL \"7bit\" 3 NIL NIL NIL NIL))", false),
        ("* 1 FETCH (BODYSTRUCTURE (\"a\" \"b\" NIL NIL NIL \"7bit\" 3 NIL (\"x\" NIL) NIL NIL))", true),
        ("* 1 FETCH (BODY[] {3}\r\nabc)", true),
        ("* 1 FETCH (BODY[] {4}\r\nabc)", false),
    ] {
        let parsed = parse_fetch(text.as_bytes());
        assert_eq!(parsed.is_ok(), good, "{text}: {parsed:?}");
    }
}
