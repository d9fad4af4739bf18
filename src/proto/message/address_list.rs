//! Address lists (RFC 5322 §3.4) with the obsolete forms (§4.4) and broken ones: as IMAP address structures
//! (RFC 3501 §7.4.2), and as they are for those who decide by them.
//!
//! Whatever comes in, what goes out is a list of well-formed addresses. What is broken enough that others may read
//! another address than we do is marked. Deviation: an address without a domain has the empty string as its host,
//! since NIL there would start a group.

use super::wire;

/// Writes the addresses of `value` to `out`, without parentheses around all of them, at most `limit` of them and
/// about `octets` octets. Returns how many.
pub(super) fn write(value: &[u8], limit: usize, octets: usize, out: &mut Vec<u8>) -> usize {
    let mut writer = Writer { out, written: 0, in_group: false };
    let end = writer.out.len().saturating_add(octets);
    let mut input = Input::new(value);
    // One more for the end of a group.
    while writer.written + 1 < limit && writer.out.len() < end && input.peek().is_some() {
        mailbox_or_group(&mut input, &mut writer);
    }
    writer.end_group();
    writer.written
}

/// The addresses of `value` without their names, at most `limit` of them, and whether there are no others: nothing was
/// left out, and nothing may be read as another address.
pub(super) fn read(value: &[u8], limit: usize) -> (Vec<Mailbox>, bool) {
    let mut reader = Reader::default();
    let mut input = Input::new(value);
    while reader.mailboxes.len() < limit && input.peek().is_some() {
        mailbox_or_group(&mut input, &mut reader);
    }
    let is_all = input.peek().is_none() && !input.is_cut_off;
    let is_clear = reader.mailboxes.iter().all(|mailbox| !mailbox.is_ambiguous);
    (reader.mailboxes, is_all && is_clear)
}

/// Takes what is read.
trait Sink {
    fn address(&mut self, name: Option<&[u8]>, address: Mailbox);
    fn start_group(&mut self, name: &[u8]);
    fn end_group(&mut self);
    fn in_group(&self) -> bool;
}

/// Reads up to and with the next comma, colon of a group or its semicolon.
fn mailbox_or_group(input: &mut Input<'_>, writer: &mut impl Sink) {
    let mut words = Words::default();
    let mut comment = None;
    while let Some(b) = input.peek() {
        match b {
            b' ' | b'\t' | b'\r' | b'\n' => {
                input.at += 1;
                words.spaced = true;
            }
            b'(' => comment = Some(input.comment()),
            b'"' => words.push(&input.quoted(), true),
            b'<' => {
                input.at += 1;
                let mut address = angle(input);
                address.is_ambiguous |= words.name_another(&address);
                let name = words.phrase().or(comment);
                address.is_ambiguous |= input.skip_to_separator();
                if name.is_some() || !address.is_empty() {
                    writer.address(name.as_deref(), address);
                }
                return;
            }
            b',' => {
                input.at += 1;
                break;
            }
            b';' => {
                input.at += 1;
                finish(words, comment, writer);
                writer.end_group();
                return;
            }
            b':' if !writer.in_group() && !words.has_at => {
                input.at += 1;
                writer.start_group(&words.phrase().or(comment).unwrap_or_default());
                return;
            }
            b'@' => {
                input.at += 1;
                words.push(b"@", false);
                words.has_at = true;
                words.ats += 1;
            }
            b'[' => words.push(&input.domain_literal(), false),
            _ => words.push(input.atom(), false),
        }
    }
    finish(words, comment, writer);
}

/// Writes what stood there without angle brackets.
fn finish(words: Words, comment: Option<Vec<u8>>, writer: &mut impl Sink) {
    if words.all.is_empty() {
        return;
    }
    if words.has_at {
        // White space and quotes around the parts of an addr-spec are no part of it (RFC 5322 §4.4).
        let joined = words.joined();
        let at = words.last_at(&joined);
        let (mailbox, host) = joined.split_at(at);
        let address = Mailbox {
            route: None,
            mailbox: mailbox.to_vec(),
            host: host.get(1..).unwrap_or_default().to_vec(),
            is_ambiguous: words.ats > 1 || !words.are_one(),
        };
        return writer.address(comment.as_deref(), address);
    }
    let single = words.all.len() == 1 && !words.any_quoted;
    let phrase = words.phrase().unwrap_or_default();
    if single {
        let address = Mailbox { mailbox: phrase, ..Mailbox::default() };
        return writer.address(comment.as_deref(), address);
    }
    writer.address(Some(&phrase), Mailbox::default());
}

/// The inside of `<…>`: an optional source route (RFC 5322 §4.4) and an addr-spec. Ends behind `>`, or before a comma
/// if that is missing.
fn angle(input: &mut Input<'_>) -> Mailbox {
    let mut address = Mailbox::default();
    let mut text = Vec::new();
    let mut last_at = None;
    let starts_with_at = input.skip_space_and_peek() == Some(b'@');
    // Until the closing bracket says otherwise.
    address.is_ambiguous = true;
    let mut is_odd = starts_with_at;
    let mut after_space = false;
    while let Some(b) = input.peek() {
        // RFC 5322 §4.4 has white space beside dots and `@`; elsewhere it would join two words.
        is_odd |= after_space && !b"@.>( \t\r\n".contains(&b) && !matches!(text.last(), None | Some(b'@' | b'.'));
        after_space = matches!(b, b' ' | b'\t' | b'\r' | b'\n' | b'(');
        match b {
            b' ' | b'\t' | b'\r' | b'\n' => input.at += 1,
            b'(' => drop(input.comment()),
            b'"' => text.extend_from_slice(&input.quoted()),
            b'[' => text.extend_from_slice(&input.domain_literal()),
            b'>' => {
                input.at += 1;
                address.is_ambiguous = is_odd;
                break;
            }
            b':' if starts_with_at && address.route.is_none() => {
                input.at += 1;
                address.route = Some(std::mem::take(&mut text));
                last_at = None;
            }
            // A comma belongs to a source route only.
            b',' if !(starts_with_at && address.route.is_none()) => break,
            b'@' => {
                is_odd |= last_at.is_some();
                last_at = Some(text.len());
                text.push(b);
                input.at += 1;
            }
            b'<' | b',' | b';' | b':' => {
                is_odd = true;
                text.push(b);
                input.at += 1;
            }
            _ => text.extend_from_slice(input.atom()),
        }
    }
    match last_at {
        Some(at) => {
            address.host = text.get(at + 1..).unwrap_or_default().to_vec();
            text.truncate(at);
            address.mailbox = text;
        }
        None => address.mailbox = text,
    }
    address
}

/// An addr-spec in its two parts, unquoted.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    route: Option<Vec<u8>>,
    /// The local-part.
    pub mailbox: Vec<u8>,
    /// The domain, or a literal with its brackets.
    pub host: Vec<u8>,
    /// Not RFC 5322, and others may read another address here.
    is_ambiguous: bool,
}

impl Mailbox {
    fn is_empty(&self) -> bool {
        self.mailbox.is_empty() && self.host.is_empty()
    }
}

/// Words of a phrase or pieces of an addr-spec, until it is known which.
#[derive(Default)]
struct Words {
    all: Vec<(Vec<u8>, bool)>,
    spaced: bool,
    any_quoted: bool,
    has_at: bool,
    /// How many bare `@`.
    ats: usize,
}

impl Words {
    /// White space before the piece makes it a word of its own.
    fn push(&mut self, text: &[u8], quoted: bool) {
        match self.all.last_mut() {
            Some((last, _)) if !self.spaced && !quoted => last.extend_from_slice(text),
            _ => self.all.push((text.to_vec(), quoted)),
        }
        self.any_quoted |= quoted;
        self.spaced = false;
    }

    /// As a display name: one space between words.
    fn phrase(&self) -> Option<Vec<u8>> {
        let words: Vec<&[u8]> = self.all.iter().map(|(word, _)| word.as_slice()).collect();
        Some(words.join(&b' ')).filter(|phrase| !phrase.is_empty())
    }

    /// As an addr-spec: nothing between pieces.
    fn joined(&self) -> Vec<u8> {
        self.all.iter().flat_map(|(word, _)| word).copied().collect()
    }

    /// The pieces of an addr-spec may only be apart beside a dot or the `@` (RFC 5322 §4.4).
    fn are_one(&self) -> bool {
        self.all.windows(2).all(|pair| match pair {
            [(before, _), (after, _)] => {
                matches!(before.last(), Some(b'.' | b'@')) || matches!(after.first(), Some(b'.' | b'@'))
            }
            _ => true,
        })
    }

    /// A display name with a bare `@`, which RFC 5322 §3.2.5 does not allow, that is an address, but not this one.
    fn name_another(&self, address: &Mailbox) -> bool {
        let name = self.joined();
        let (_, host) = name.split_at(self.last_at(&name));
        let same = [&address.mailbox, b"@".as_slice(), &address.host].concat().eq_ignore_ascii_case(&name);
        self.has_at && host.contains(&b'.') && !same
    }

    fn last_at(&self, joined: &[u8]) -> usize {
        memchr::memrchr(b'@', joined).unwrap_or(joined.len())
    }
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    written: usize,
    in_group: bool,
}

impl Sink for Writer<'_> {
    fn address(&mut self, name: Option<&[u8]>, address: Mailbox) {
        self.out.push(b'(');
        wire::nstring(name, self.out);
        self.out.push(b' ');
        wire::nstring(address.route.as_deref(), self.out);
        self.out.push(b' ');
        wire::quoted(&address.mailbox, self.out);
        self.out.push(b' ');
        wire::quoted(&address.host, self.out);
        self.out.push(b')');
        self.written += 1;
    }

    /// RFC 3501 §7.4.2: a NIL host and the group's name as mailbox.
    fn start_group(&mut self, name: &[u8]) {
        self.out.extend_from_slice(b"(NIL NIL ");
        wire::quoted(name, self.out);
        self.out.extend_from_slice(b" NIL)");
        self.written += 1;
        self.in_group = true;
    }

    fn end_group(&mut self) {
        if std::mem::take(&mut self.in_group) {
            self.out.extend_from_slice(b"(NIL NIL NIL NIL)");
            self.written += 1;
        }
    }

    fn in_group(&self) -> bool {
        self.in_group
    }
}

#[derive(Default)]
struct Reader {
    mailboxes: Vec<Mailbox>,
    in_group: bool,
}

impl Sink for Reader {
    fn address(&mut self, _: Option<&[u8]>, address: Mailbox) {
        self.mailboxes.push(address);
    }

    fn start_group(&mut self, _: &[u8]) {
        self.in_group = true;
    }

    fn end_group(&mut self) {
        self.in_group = false;
    }

    fn in_group(&self) -> bool {
        self.in_group
    }
}

struct Input<'a> {
    octets: &'a [u8],
    at: usize,
    /// A comment or quoted-string had no end.
    is_cut_off: bool,
}

impl<'a> Input<'a> {
    fn new(octets: &'a [u8]) -> Self {
        Self { octets, at: 0, is_cut_off: false }
    }

    fn peek(&self) -> Option<u8> {
        self.octets.get(self.at).copied()
    }

    fn skip_space_and_peek(&mut self) -> Option<u8> {
        while self.peek().is_some_and(|b| b.is_ascii_whitespace()) {
            self.at += 1;
        }
        self.peek()
    }

    /// Octets up to the next one with a meaning; at least one.
    fn atom(&mut self) -> &'a [u8] {
        let rest = self.octets.get(self.at..).unwrap_or_default();
        let special = |b: &u8| b" \t\r\n(\"<>,;:@[".contains(b);
        let length = rest.iter().skip(1).position(special).map_or(rest.len(), |at| at + 1);
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    /// A quoted-string without its quotes (RFC 5322 §3.2.4).
    fn quoted(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.at += 1;
        while let Some(b) = self.peek() {
            self.at += 1;
            match b {
                b'"' => return out,
                b'\\' => {
                    out.extend(self.peek());
                    self.at += 1;
                }
                b'\r' | b'\n' => {}
                _ => out.push(b),
            }
        }
        self.is_cut_off = true;
        out
    }

    /// A comment without its parentheses, with those inside it (RFC 5322 §3.2.2).
    fn comment(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut depth = 0usize;
        while let Some(b) = self.peek() {
            self.at += 1;
            match b {
                b'\\' => {
                    out.extend(self.peek());
                    self.at += 1;
                    continue;
                }
                b'\r' | b'\n' => continue,
                b'(' => depth += 1,
                b')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return out.trim_ascii().to_vec();
            }
            if !(b == b'(' && depth == 1) {
                out.push(b);
            }
        }
        self.is_cut_off = true;
        out.trim_ascii().to_vec()
    }

    /// `[…]` with its brackets (RFC 5322 §3.4.1).
    fn domain_literal(&mut self) -> Vec<u8> {
        let rest = self.octets.get(self.at..).unwrap_or_default();
        let length = rest
            .iter()
            .position(|b| matches!(b, b']' | b'>' | b','))
            .map_or(rest.len(), |at| at + usize::from(rest.get(at) == Some(&b']')));
        self.at += length.max(1);
        rest.iter().take(length.max(1)).copied().filter(|b| !b.is_ascii_whitespace()).collect()
    }

    /// To behind the next comma, or to the semicolon, which ends a group. True if anything was passed over that is
    /// neither white space nor comment.
    fn skip_to_separator(&mut self) -> bool {
        let mut passed = false;
        while let Some(b) = self.peek() {
            match b {
                b',' => {
                    self.at += 1;
                    return passed;
                }
                b';' => return passed,
                b'(' => drop(self.comment()),
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                b'"' => {
                    passed = true;
                    drop(self.quoted());
                }
                _ => {
                    passed = true;
                    self.at += 1;
                }
            }
        }
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(value: &str) -> String {
        let mut out = Vec::new();
        write(value.as_bytes(), 100, 10_000, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn addresses_are_read_in_every_form() {
        let rows = [
            ("a@b.c", r#"(NIL NIL "a" "b.c")"#),
            (" A B <a@b.c> ", r#"("A B" NIL "a" "b.c")"#),
            (r#""Doe, \"J\"" <j@x>, k@y"#, r#"("Doe, \"J\"" NIL "j" "x")(NIL NIL "k" "y")"#),
            ("a@b (Al (x) B)", r#"("Al (x) B" NIL "a" "b")"#),
            ("(c) a@b", r#"("c" NIL "a" "b")"#),
            (r#""john doe"@x"#, r#"(NIL NIL "john doe" "x")"#),
            (r#"<"john@doe"@x>"#, r#"(NIL NIL "john@doe" "x")"#),
            ("a . b @ c . d", r#"(NIL NIL "a.b" "c.d")"#),
            ("<@r1,@r2:a@b>", r#"(NIL "@r1,@r2" "a" "b")"#),
            ("a@[1.2.3.4]", r#"(NIL NIL "a" "[1.2.3.4]")"#),
            ("<a@[IPv6:::1]>", r#"(NIL NIL "a" "[IPv6:::1]")"#),
            (
                "G: a@b, C <c@d>; e@f",
                r#"(NIL NIL "G" NIL)(NIL NIL "a" "b")("C" NIL "c" "d")(NIL NIL NIL NIL)(NIL NIL "e" "f")"#,
            ),
            ("undisclosed-recipients:;", r#"(NIL NIL "undisclosed-recipients" NIL)(NIL NIL NIL NIL)"#),
            ("G: a@b", r#"(NIL NIL "G" NIL)(NIL NIL "a" "b")(NIL NIL NIL NIL)"#),
            ("", ""),
            (" , ,", ""),
            ("<>", ""),
            ("(only a comment)", ""),
            ("root", r#"(NIL NIL "root" "")"#),
            ("<root>", r#"(NIL NIL "root" "")"#),
            ("John Doe", r#"("John Doe" NIL "" "")"#),
            ("X <>", r#"("X" NIL "" "")"#),
            ("X <a@b", r#"("X" NIL "a" "b")"#),
            ("X <a@b, c@d", r#"("X" NIL "a" "b")(NIL NIL "c" "d")"#),
            ("a@b <a@b>", r#"("a@b" NIL "a" "b")"#),
            ("J. Doe <a@b>", r#"("J. Doe" NIL "a" "b")"#),
            ("a@b c@d", r#"(NIL NIL "a@bc" "d")"#),
            ("=?utf-8?q?J=C3=B6?= <j@x>", r#"("=?utf-8?q?J=C3=B6?=" NIL "j" "x")"#),
            ("Jörg <j@x>", r#"("=?utf-8?B?SsO2cmc=?=" NIL "j" "x")"#),
            ("a@b,\r\n\tc@d", r#"(NIL NIL "a" "b")(NIL NIL "c" "d")"#),
            ("\"open <a@b>", r#"("open <a@b>" NIL "" "")"#),
            ("a@b; c@d", r#"(NIL NIL "a" "b")(NIL NIL "c" "d")"#),
            ("mailto:a@b", r#"(NIL NIL "mailto" NIL)(NIL NIL "a" "b")(NIL NIL NIL NIL)"#),
        ];
        for (value, want) in rows {
            assert_eq!(addresses(value), want, "{value}");
        }
    }

    #[test]
    fn count_and_octets_are_bounded() {
        let many = "G:".to_string() + &"a@b,".repeat(1000);
        let mut out = Vec::new();
        assert_eq!(write(many.as_bytes(), 10, 1 << 20, &mut out), 10);
        assert!(out.ends_with(b"(NIL NIL NIL NIL)"));
        let mut out = Vec::new();
        write(many.as_bytes(), 10_000, 100, &mut out);
        assert!(out.len() < 200);
    }
}
