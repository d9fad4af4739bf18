//! The octets of a message on the wire: DATA with its dot-stuffing (RFC 5321 §4.5.2), BDAT chunks (RFC 3030).
//!
//! One rule stands above all: only CRLF ends a line, and only CRLF `.` CRLF ends a message. A server which also takes
//! a bare LF or CR for a line end sees other messages than one which does not, and whoever knows the difference can
//! smuggle a message with a forged envelope between the two. So content with a bare CR or LF is neither repaired nor
//! passed on: it is read to its true end, so that the session stays in step, and refused as a whole. The same holds
//! for NUL, which SMTP and IMAP text cannot carry (RFC 5321 §4.1.1.4, RFC 3501 §9 `CHAR8`).
//!
//! Deviation: lines longer than the 1,000 octets of RFC 5321 §4.5.3.1.6 are taken as they are. Real mail has them,
//! and memory does not depend on them.

/// What makes content unacceptable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// CR without LF.
    BareCr,
    /// LF without CR.
    BareLf,
    /// NUL.
    Nul,
}

/// What one call of [`DataDecoder::decode`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Octets of the input that belong to the message or its end.
    pub consumed: usize,
    /// The end has been seen; what follows in the input are commands.
    pub complete: bool,
}

/// Decodes what follows DATA, however it is split. Holds no octets.
#[derive(Clone, Debug)]
pub struct DataDecoder {
    state: State,
    defect: Option<Defect>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// After CRLF, or at the very start.
    LineStart,
    /// Within a line.
    Text,
    /// After a CR within a line, or at its start.
    Cr,
    /// After a dot at the start of a line.
    Dot,
    /// After a dot and CR at the start of a line.
    DotCr,
    /// After the end.
    Complete,
}

impl DataDecoder {
    /// At the start of a message.
    #[expect(clippy::new_without_default, reason = "a decoder stands at a place, there is no neutral one")]
    pub fn new() -> Self {
        // The CRLF of the DATA line counts as the first half of CRLF `.` CRLF (RFC 5321 §4.1.1.4).
        Self { state: State::LineStart, defect: None }
    }

    /// The first defect so far: the message must be refused.
    pub fn defect(&self) -> Option<Defect> {
        self.defect
    }

    /// Appends the content within `input` to `out`, without the dots of dot-stuffing and without the end. After a
    /// defect nothing more is appended.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Decoded {
        let mut at = 0;
        while self.state != State::Complete {
            let Some(rest) = input.get(at..).filter(|r| !r.is_empty()) else {
                return Decoded { consumed: at, complete: false };
            };
            at += match self.state {
                State::Text => self.text(rest, out),
                State::LineStart if rest.first() != Some(&b'.') => {
                    self.state = State::Text;
                    0
                }
                _ => self.step(rest, out),
            };
        }
        Decoded { consumed: at, complete: true }
    }

    /// Takes octets up to the next one that matters, and that one.
    fn text(&mut self, rest: &[u8], out: &mut Vec<u8>) -> usize {
        let Some(i) = memchr::memchr3(b'\r', b'\n', 0, rest) else {
            self.emit(rest, out);
            return rest.len();
        };
        let (text, special) = rest.split_at(i);
        self.emit(text, out);
        match special {
            // The usual line end, in one step.
            [b'\r', b'\n', ..] => {
                self.emit(b"\r\n", out);
                self.state = State::LineStart;
                i + 2
            }
            [b'\r', ..] => {
                self.state = State::Cr;
                i + 1
            }
            [b'\n', ..] => {
                self.defect.get_or_insert(Defect::BareLf);
                i + 1
            }
            _ => {
                self.defect.get_or_insert(Defect::Nul);
                i + 1
            }
        }
    }

    /// Takes at most one octet, in a state where each matters.
    fn step(&mut self, rest: &[u8], out: &mut Vec<u8>) -> usize {
        let octet = rest.first().copied().unwrap_or_default();
        match (self.state, octet) {
            (State::LineStart, _) => self.state = State::Dot,
            (State::Dot, b'\r') => self.state = State::DotCr,
            (State::DotCr, b'\n') => self.state = State::Complete,
            (State::Cr, b'\n') => {
                self.emit(b"\r\n", out);
                self.state = State::LineStart;
            }
            // The dot was stuffed: what follows it is the line.
            (State::Dot, _) => {
                self.state = State::Text;
                return 0;
            }
            // A CR that no LF followed. The octet may be another CR, and belong to a line end.
            _ => {
                self.defect.get_or_insert(Defect::BareCr);
                self.state = State::Text;
                return 0;
            }
        }
        1
    }

    fn emit(&self, octets: &[u8], out: &mut Vec<u8>) {
        if self.defect.is_none() {
            out.extend_from_slice(octets);
        }
    }
}

/// Checks the content of BDAT chunks, however it is split.
#[derive(Clone, Debug, Default)]
pub struct ChunkChecker {
    after_cr: bool,
    defect: Option<Defect>,
}

impl ChunkChecker {
    /// At the start of a message.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next octets of the message, from this chunk or the next.
    pub fn push(&mut self, octets: &[u8]) {
        if self.defect.is_some() {
            return;
        }
        let mut rest = octets;
        while let Some((first, tail)) = rest.split_first() {
            if self.after_cr {
                self.after_cr = false;
                if *first != b'\n' {
                    self.defect = Some(Defect::BareCr);
                    return;
                }
                rest = tail;
                continue;
            }
            let Some(i) = memchr::memchr3(b'\r', b'\n', 0, rest) else { return };
            match rest.get(i) {
                Some(b'\r') => self.after_cr = true,
                Some(b'\n') => self.defect = Some(Defect::BareLf),
                _ => self.defect = Some(Defect::Nul),
            }
            if self.defect.is_some() {
                return;
            }
            rest = rest.get(i + 1..).unwrap_or_default();
        }
    }

    /// What has come cannot be acceptable any more.
    pub fn has_defect(&self) -> bool {
        self.defect.is_some()
    }

    /// The end of the last chunk: the first defect, if there is one.
    pub fn finish(&self) -> Option<Defect> {
        self.defect.or(self.after_cr.then_some(Defect::BareCr))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Decodes `input` in pieces of `step` octets; gives content, defect, and how much was consumed if complete.
    fn decode(input: &[u8], step: usize) -> (Vec<u8>, Option<Defect>, Option<usize>) {
        let mut decoder = DataDecoder::new();
        let mut out = Vec::new();
        let mut consumed = 0;
        for piece in input.chunks(step) {
            let decoded = decoder.decode(piece, &mut out);
            consumed += decoded.consumed;
            if decoded.complete {
                return (out, decoder.defect(), Some(consumed));
            }
            assert_eq!(decoded.consumed, piece.len());
        }
        (out, decoder.defect(), None)
    }

    #[test]
    fn ends_and_dots() {
        for (case, input, content, complete) in [
            ("empty message", &b".\r\n"[..], &b""[..], Some(3)),
            ("one line", b"a\r\n.\r\n", b"a\r\n", Some(6)),
            ("pipelined command", b"a\r\n.\r\nQUIT\r\n", b"a\r\n", Some(6)),
            ("stuffed dot", b"..\r\n.\r\n", b".\r\n", Some(7)),
            ("stuffed line", b"..a\r\n.\r\n", b".a\r\n", Some(8)),
            ("dot that was not stuffed", b".a\r\n.\r\n", b"a\r\n", Some(7)),
            ("dot within a line", b"a.\r\n.b.\r\n.\r\n", b"a.\r\nb.\r\n", Some(12)),
            ("blank lines", b"\r\n\r\n.\r\n", b"\r\n\r\n", Some(7)),
            ("no end", b"a\r\n.\r", b"a\r\n", None),
            ("dot without line end before it", b"a.\r\n", b"a.\r\n", None),
            ("8-bit", b"\xff\r\n.\r\n", b"\xff\r\n", Some(6)),
        ] {
            for step in 1..=input.len() {
                assert_eq!(decode(input, step), (content.to_vec(), None, complete), "{case}, in steps of {step}");
            }
        }
    }

    #[test]
    fn smuggling() {
        use Defect::{BareCr, BareLf, Nul};
        for (case, input, defect) in [
            ("LF . LF", &b"a\n.\nMAIL FROM:<x@y>\r\n.\r\n"[..], BareLf),
            ("LF . CRLF", b"a\n.\r\nMAIL FROM:<x@y>\r\n.\r\n", BareLf),
            ("CRLF . LF", b"a\r\n.\nMAIL FROM:<x@y>\r\n.\r\n", BareLf),
            ("CR . CR", b"a\r.\rMAIL FROM:<x@y>\r\n.\r\n", BareCr),
            ("CR . CRLF", b"a\r.\r\nMAIL FROM:<x@y>\r\n.\r\n", BareCr),
            ("CRLF . CR", b"a\r\n.\rMAIL FROM:<x@y>\r\n.\r\n", BareCr),
            ("CRLF . CR CRLF", b"a\r\n.\r\r\nMAIL FROM:<x@y>\r\n.\r\n", BareCr),
            ("CR CRLF . CRLF ends, with a defect", b"a\r\r\n.\r\n", BareCr),
            ("LF CR . CRLF", b"a\n\r.\r\nMAIL FROM:<x@y>\r\n.\r\n", BareLf),
            ("LF LF . CRLF", b"a\n\n.\r\nMAIL FROM:<x@y>\r\n.\r\n", BareLf),
            ("NUL before the dot", b"a\r\n\0.\r\nMAIL FROM:<x@y>\r\n.\r\n", Nul),
            ("NUL behind the dot", b"a\r\n.\0\r\nMAIL FROM:<x@y>\r\n.\r\n", Nul),
            ("LF first", b"\n.\r\nMAIL FROM:<x@y>\r\n.\r\n", BareLf),
            ("bare CR alone", b"a\rb\r\n.\r\n", BareCr),
            ("bare LF alone", b"a\nb\r\n.\r\n", BareLf),
        ] {
            for step in 1..=input.len() {
                let (_, found, complete) = decode(input, step);
                assert_eq!(found, Some(defect), "{case}, in steps of {step}");
                assert_eq!(complete, Some(input.len()), "{case}: ends only at the true end");
            }
        }
    }

    /// What a client does (RFC 5321 §4.5.2), line by line.
    fn stuff(content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in content.split_inclusive(|b| *b == b'\n') {
            if line.starts_with(b".") {
                out.push(b'.');
            }
            out.extend_from_slice(line);
        }
        out.extend_from_slice(b".\r\n");
        out
    }

    /// Text that is mostly what matters.
    fn octets() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(b'a'), Just(0)], 0..40)
    }

    proptest! {
        #[test]
        fn dot_stuffing_inverts(lines in proptest::collection::vec("[.a]{0,4}", 0..10)) {
            let content: Vec<u8> = lines.iter().flat_map(|l| format!("{l}\r\n").into_bytes()).collect();
            let wire = stuff(&content);
            prop_assert_eq!(decode(&wire, wire.len()), (content, None, Some(wire.len())));
        }

        #[test]
        fn any_split_gives_the_same(mut input in octets(), step in 1usize..8) {
            input.extend_from_slice(b"\r\n.\r\n");
            prop_assert_eq!(decode(&input, step), decode(&input, input.len()));
        }

        /// Against the definition: clean content, and the end at the first CRLF . CRLF.
        #[test]
        fn matches_the_definition(mut input in octets()) {
            input.extend_from_slice(b"\r\n.\r\n");
            let with_start = [b"\r\n", &input[..]].concat();
            let end = memchr::memmem::find(&with_start, b"\r\n.\r\n").unwrap() + 3;
            let (content, defect, complete) = decode(&input, input.len());
            prop_assert_eq!(complete, Some(end));
            let body = &input[..end - 3];
            let cleaned = String::from_utf8(body.to_vec()).unwrap().replace("\r\n", "");
            prop_assert_eq!(defect.is_some(), cleaned.contains(['\r', '\n', '\0']));
            if defect.is_none() {
                prop_assert!(!content.windows(2).any(|w| w[1] == b'\n' && w[0] != b'\r'));
            }
        }

        #[test]
        fn chunks_are_judged_alike(input in octets(), step in 1usize..8) {
            let mut whole = ChunkChecker::new();
            whole.push(&input);
            let mut split = ChunkChecker::new();
            input.chunks(step).for_each(|c| split.push(c));
            prop_assert_eq!(whole.finish(), split.finish());
            let cleaned = String::from_utf8(input).unwrap().replace("\r\n", "");
            prop_assert_eq!(whole.finish().is_some(), cleaned.contains(['\r', '\n', '\0']));
        }
    }
}
