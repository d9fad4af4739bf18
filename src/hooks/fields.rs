//! The fields of a message while hooks change them.

use crate::proto::message::compose::is_field_name;
use crate::proto::message::header;

/// A header, field by field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    fields: Vec<Field>,
    /// Something of what came with the message is not as it came.
    is_changed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    /// With its line ends.
    raw: Vec<u8>,
    from: From,
}

/// Who wrote a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// This server: hooks see it and cannot change it.
    Server,
    /// A hook.
    Hook,
    /// It came with the message.
    Message,
}

impl Fields {
    /// Those that this server puts in front, and those of the message.
    pub fn new(server: &[u8], message: &[u8]) -> Self {
        let of = |octets, from| header::fields(octets).map(move |field| Field { raw: field.raw.to_vec(), from });
        Self { fields: of(server, From::Server).chain(of(message, From::Message)).collect(), is_changed: false }
    }

    /// All of them, without the empty line.
    pub fn octets(&self) -> Vec<u8> {
        self.fields.iter().flat_map(|field| field.raw.iter().copied()).collect()
    }

    /// Those that hooks have added.
    pub fn added(&self) -> Vec<u8> {
        self.of(From::Hook)
    }

    /// Those of the message as they are now, if they are not as they came.
    pub fn changed(&self) -> Option<Vec<u8>> {
        self.is_changed.then(|| self.of(From::Message))
    }

    /// A field above all that came with the message, below those that this server has written.
    pub fn add(&mut self, name: &str, value: &[u8]) {
        let at = self.fields.iter().position(|field| field.from != From::Server).unwrap_or(self.fields.len());
        self.fields.insert(at, Field { raw: field(name, value), from: From::Hook });
    }

    /// The field of this name, counted from 1, gets another value or goes; one that is not there is added, if it has a
    /// value. False if it is one that cannot be changed.
    pub fn change(&mut self, name: &str, index: u32, value: Option<&[u8]>) -> bool {
        let index = usize::try_from(index.saturating_sub(1)).unwrap_or(usize::MAX);
        let places = self.fields.iter().enumerate().filter(|(_, field)| field.is(name)).map(|(at, _)| at);
        let Some(at) = places.clone().nth(index) else {
            if let Some(value) = value {
                self.add(name, value);
            }
            return true;
        };
        let Some(found) = self.fields.get_mut(at) else { return false };
        match (found.from, value) {
            (From::Server, _) => return false,
            (from, Some(value)) => {
                found.raw = field(name, value);
                self.is_changed |= from == From::Message;
            }
            (from, None) => {
                self.is_changed |= from == From::Message;
                self.fields.remove(at);
            }
        }
        true
    }

    fn of(&self, from: From) -> Vec<u8> {
        let fields = self.fields.iter().filter(|field| field.from == from);
        fields.flat_map(|field| field.raw.iter().copied()).collect()
    }
}

impl Field {
    fn is(&self, name: &str) -> bool {
        header::fields(&self.raw).next().is_some_and(|field| field.is(name.as_bytes()))
    }
}

/// A field, if its name and value can be one (RFC 5322 §2.2): a value of several lines has white space at the start of
/// each after the first, and no line has more than 998 octets. A leading space belongs to the value; without one, one is
/// written.
pub fn is_field(name: &str, value: &[u8]) -> bool {
    let is_line = |(at, line): (usize, &[u8])| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let is_whole = !line.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0));
        let is_folded = at == 0 || (matches!(line.first(), Some(b' ' | b'\t')) && !line.trim_ascii().is_empty());
        is_whole && is_folded && line.len() <= 998_usize.saturating_sub(name.len().saturating_add(2))
    };
    is_field_name(name) && value.len() <= MAX_VALUE && value.split(|octet| *octet == b'\n').enumerate().all(is_line)
}

fn field(name: &str, value: &[u8]) -> Vec<u8> {
    let space: &[u8] = if matches!(value.first(), Some(b' ' | b'\t')) { b"" } else { b" " };
    let mut raw = [name.as_bytes(), b":", space].concat();
    for (at, line) in value.split(|octet| *octet == b'\n').enumerate() {
        if at > 0 {
            raw.extend_from_slice(b"\r\n");
        }
        raw.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
    }
    raw.extend_from_slice(b"\r\n");
    raw
}

/// Octets of a value.
const MAX_VALUE: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b"Subject: one\r\nX-A: 1\r\n two\r\nnonsense\r\nx-a : 2\r\nTo: bob\r\n";

    fn text(octets: Vec<u8>) -> String {
        String::from_utf8(octets).unwrap()
    }

    #[test]
    fn a_header_that_nobody_changes_stays_octet_for_octet() {
        for header in [&b""[..], b"A: 1", b"A: 1\r\n", MESSAGE, b" odd\r\nA: 1\r\n"] {
            let fields = Fields::new(b"", header);
            assert_eq!((fields.octets(), fields.changed(), fields.added()), (header.to_vec(), None, vec![]));
        }
    }

    #[test]
    fn additions_stand_between_ours_and_theirs() {
        let mut fields = Fields::new(b"Authentication-Results: here\r\n", MESSAGE);
        fields.add("X-First", b"1");
        fields.add("X-Second", b" 2\n\tmore");
        assert_eq!(text(fields.added()), "X-Second: 2\r\n\tmore\r\nX-First: 1\r\n");
        assert!(fields.octets().starts_with(b"Authentication-Results: here\r\nX-Second: 2\r\n"));
        assert_eq!(fields.changed(), None);
    }

    #[test]
    fn what_came_is_changed_and_removed_and_that_is_known() {
        let mut fields = Fields::new(b"Authentication-Results: here\r\n", MESSAGE);
        assert!(fields.change("X-A", 2, Some(b"3")));
        assert!(fields.change("subject", 1, None));
        assert!(fields.change("X-None", 1, None), "nothing to do");
        assert!(!fields.change("Authentication-Results", 1, None), "ours stays");
        assert_eq!(text(fields.changed().unwrap()), "X-A: 1\r\n two\r\nnonsense\r\nX-A: 3\r\nTo: bob\r\n");
        assert!(fields.change("X-New", 1, Some(b"new")));
        assert_eq!(text(fields.added()), "X-New: new\r\n");
        assert!(fields.change("X-New", 1, Some(b"newer")));
        assert!(fields.change("X-New", 1, None));
        assert_eq!(fields.added(), b"");
    }

    #[test]
    fn nothing_becomes_a_field_that_would_be_two() {
        for (name, value, want) in [
            ("X-A", &b"1"[..], true),
            ("X-A", b"", true),
            ("X-A", b"one\r\n two", true),
            ("X-A", b"one\n\ttwo", true),
            ("X-A", b"one\r\nBcc: eve@evil.test", false),
            ("X-A", b"one\r\n\r\nbody", false),
            ("X-A", b"one\n \nbody", false),
            ("X-A", b"one\rBcc: eve", false),
            ("X-A", b"one\0", false),
            ("X-A", b"one\n", false),
            ("X-A: 1\r\nX-B", b"1", false),
            ("X A", b"1", false),
            ("", b"1", false),
            ("X-A", &[b'x'; 993], true),
            ("X-A", &[b'x'; 994], false),
        ] {
            assert_eq!(is_field(name, value), want, "{name:?} {}", value.escape_ascii());
        }
    }
}
