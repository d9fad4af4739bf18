//! Replies of other hosts (RFC 5321 §4.2), bounded and as lenient as is safe.
//!
//! Taken: lines that end with CRLF or LF, a code alone, a tab behind the code, a missing enhanced code, octets that are
//! no UTF-8. Not taken: a code that is none of 2yz to 5yz, lines of one reply with different codes, more than
//! [`MAX_LINES`] lines, a line of more than [`MAX_LINE`] octets.

use crate::mail::EnhancedCode;

/// One reply, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteReply {
    code: u16,
    enhanced: Option<EnhancedCode>,
    /// With their codes, without control characters.
    lines: Vec<String>,
}

/// Why what came is no reply. The session has no use after it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// A line that is none of a reply, cut and without control characters.
    #[error("not a reply: {0}")]
    Malformed(String),
    /// A line without end.
    #[error("a reply with a line of more than 2,048 octets")]
    LineTooLong,
    /// Lines without end.
    #[error("a reply of more than 100 lines")]
    TooManyLines,
}

/// Reads replies from octets that come in pieces of any size.
#[derive(Debug, Default)]
pub struct ReplyReader {
    lines: Vec<String>,
    code: Option<u16>,
    /// The start of the line that is not complete.
    line: Vec<u8>,
    /// How long it is; only a part of it is kept.
    length: usize,
}

impl RemoteReply {
    /// 200 to 599.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// 2, 3, 4 or 5.
    pub fn class(&self) -> u16 {
        self.code / 100
    }

    /// The enhanced code, if there is one and it is of the code's class (RFC 2034 §4).
    pub fn enhanced(&self) -> Option<EnhancedCode> {
        self.enhanced
    }

    /// The enhanced code; without one the class of the reply code with `0.0`. 3yz counts as success.
    pub fn status(&self) -> EnhancedCode {
        let class = match self.class() {
            4 => 4,
            5 => 5,
            _ => 2,
        };
        self.enhanced.unwrap_or(EnhancedCode::new(class, 0, 0))
    }

    /// The reply as it came, its lines separated by LF; at most 2,048 octets of it.
    pub fn text(&self) -> String {
        let mut text = self.lines.join("\n");
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        text
    }

    /// What stands behind the code, line by line.
    pub fn arguments(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(|line| line.get(4..).unwrap_or_default())
    }
}

impl ReplyReader {
    /// Takes octets up to the end of a reply; says how many, and gives the reply if it is whole. After an error the
    /// reader is of no use.
    pub fn push(&mut self, octets: &[u8]) -> (usize, Result<Option<RemoteReply>, ReplyError>) {
        let mut taken: usize = 0;
        while let Some(rest) = octets.get(taken..).filter(|rest| !rest.is_empty()) {
            let end = memchr::memchr(b'\n', rest);
            let piece = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            self.length = self.length.saturating_add(piece.len());
            let room = KEPT.saturating_sub(self.line.len()).min(piece.len());
            self.line.extend_from_slice(piece.get(..room).unwrap_or_default());
            taken = taken.saturating_add(piece.len());
            if self.length > MAX_LINE {
                return (taken, Err(ReplyError::LineTooLong));
            }
            if end.is_none() {
                break;
            }
            taken = taken.saturating_add(1);
            match self.end_line() {
                Ok(None) => {}
                done => return (taken, done),
            }
        }
        (taken, Ok(None))
    }

    /// True if nothing of a reply has come.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.length == 0
    }

    fn end_line(&mut self) -> Result<Option<RemoteReply>, ReplyError> {
        let line = std::mem::take(&mut self.line);
        self.length = 0;
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        let text = printable(line);
        let Some((code, is_last)) = head(line).filter(|(code, _)| self.code.is_none_or(|first| first == *code)) else {
            return Err(ReplyError::Malformed(text));
        };
        self.code = Some(code);
        if self.lines.len() >= MAX_LINES {
            return Err(ReplyError::TooManyLines);
        }
        self.lines.push(text);
        if !is_last {
            return Ok(None);
        }
        self.code = None;
        let lines = std::mem::take(&mut self.lines);
        let enhanced = lines.iter().find_map(|line| enhanced(line.get(4..)?, code));
        Ok(Some(RemoteReply { code, enhanced, lines }))
    }
}

/// The code of a line, and whether it is the last of its reply.
fn head(line: &[u8]) -> Option<(u16, bool)> {
    let (digits, rest) = line.split_at_checked(3)?;
    let [hundreds @ b'2'..=b'5', tens @ b'0'..=b'9', ones @ b'0'..=b'9'] = digits else { return None };
    let digit = |b: &u8| u16::from(b.wrapping_sub(b'0'));
    let code = digit(hundreds) * 100 + digit(tens) * 10 + digit(ones);
    match rest.first() {
        Some(b'-') => Some((code, false)),
        None | Some(b' ' | b'\t') => Some((code, true)),
        Some(_) => None,
    }
}

/// `class SP`, as RFC 2034 §4 has it: at the start of the text.
fn enhanced(text: &str, code: u16) -> Option<EnhancedCode> {
    let word = text.split([' ', '\t']).find(|word| !word.is_empty())?;
    word.parse().ok().filter(|enhanced: &EnhancedCode| u16::from(enhanced.class()) == code / 100)
}

/// As text of one line: a tab becomes a space, other control characters become `?`.
fn printable(line: &[u8]) -> String {
    let one = |c: char| match c {
        '\t' => ' ',
        c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => '?',
        c => c,
    };
    String::from_utf8_lossy(line).chars().map(one).collect()
}

const MAX_LINES: usize = 100;
const MAX_LINE: usize = 2_048;
/// Of a line; RFC 5321 §4.5.3.1.5 has 512 octets with its CRLF.
const KEPT: usize = 512;
const MAX_TEXT: usize = 2_048;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(octets: &[u8]) -> Result<Option<RemoteReply>, ReplyError> {
        ReplyReader::default().push(octets).1
    }

    #[test]
    fn replies_as_they_come() {
        for (case, octets, want) in [
            ("plain", &b"250 ok\r\n"[..], Some((250, "2.0.0", "250 ok"))),
            ("enhanced", b"550 5.1.1 no such user\r\n", Some((550, "5.1.1", "550 5.1.1 no such user"))),
            ("two lines", b"550-5.7.1 a\r\n550 5.7.1 b\r\n", Some((550, "5.7.1", "550-5.7.1 a\n550 5.7.1 b"))),
            ("enhanced later", b"450-hello\r\n450 4.2.2 full\r\n", Some((450, "4.2.2", "450-hello\n450 4.2.2 full"))),
            ("bare code", b"354\r\n", Some((354, "2.0.0", "354"))),
            ("bare LF", b"250-a\n250 b\n", Some((250, "2.0.0", "250-a\n250 b"))),
            ("tab", b"250\tok\r\n", Some((250, "2.0.0", "250 ok"))),
            ("class of another code", b"550 4.7.1 later\r\n", Some((550, "5.0.0", "550 4.7.1 later"))),
            ("no enhanced code", b"421 1.2.3.4 is blocked\r\n", Some((421, "4.0.0", "421 1.2.3.4 is blocked"))),
            ("enhanced code too long", b"550 5.1.1000 x\r\n", Some((550, "5.0.0", "550 5.1.1000 x"))),
            ("not UTF-8", b"550 caf\xe9\r\n", Some((550, "5.0.0", "550 caf\u{fffd}"))),
            ("controls", b"550 a\x1b[2Jb\0\xc2\x85\rc\r\n", Some((550, "5.0.0", "550 a?[2Jb???c"))),
            ("incomplete", b"250-a\r\n250 b", None),
        ] {
            let got = read(octets).unwrap().map(|r| (r.code(), r.status().to_string(), r.text()));
            assert_eq!(got, want.map(|(code, status, text)| (code, status.to_owned(), text.to_owned())), "{case}");
        }
    }

    #[test]
    fn what_is_no_reply() {
        let long = [&b"250 "[..], &[b'x'; 2_045]].concat();
        let many = b"250-x\r\n".repeat(101);
        let malformed = |text: &str| ReplyError::Malformed(text.to_owned());
        for (case, octets, want) in [
            ("text", &b"hello\r\n"[..], malformed("hello")),
            ("empty", b"\r\n", malformed("")),
            ("1yz", b"150 x\r\n", malformed("150 x")),
            ("6yz", b"600 x\r\n", malformed("600 x")),
            ("four digits", b"2500 x\r\n", malformed("2500 x")),
            ("another code", b"250-x\r\n550 y\r\n", malformed("550 y")),
            ("controls", b"SSH-2.0\x1b\r\n", malformed("SSH-2.0?")),
            ("endless line", &long, ReplyError::LineTooLong),
            ("endless lines", &many, ReplyError::TooManyLines),
        ] {
            assert_eq!(read(octets), Err(want), "{case}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let line = [b"250-".to_vec(), vec![b'x'; 2_000], b"\r\n".to_vec()].concat();
        let octets = [line.repeat(99), b"250 end\r\n".to_vec()].concat();
        let reply = read(&octets).unwrap().unwrap();
        assert!(reply.lines.iter().all(|line| line.len() <= KEPT), "a line is cut");
        assert_eq!(reply.text().len(), MAX_TEXT);
    }

    proptest! {
        #[test]
        fn the_same_however_it_is_split(
            lines in proptest::collection::vec("(250|550)[- ][ -~\u{80}-\u{ff}\t\u{1b}]{0,20}(\r\n|\n)|[a-z]{0,3}\r\n", 0..6),
            cuts in proptest::collection::vec(1usize..9, 1..9),
        ) {
            let octets = lines.concat().into_bytes();
            let all = |sizes: &mut dyn Iterator<Item = usize>| {
                let (mut reader, mut found, mut rest) = (ReplyReader::default(), Vec::new(), &octets[..]);
                while !rest.is_empty() {
                    let piece = &rest[..sizes.next().unwrap_or(1).min(rest.len())];
                    let (taken, reply) = reader.push(piece);
                    rest = &rest[taken..];
                    match reply {
                        Ok(None) => {}
                        Ok(Some(reply)) => found.push(Ok(reply)),
                        Err(error) => {
                            found.push(Err(error));
                            break;
                        }
                    }
                }
                (found, rest.len())
            };
            let whole = all(&mut std::iter::repeat(usize::MAX));
            prop_assert_eq!(&whole, &all(&mut cuts.iter().copied().cycle()));
            for reply in whole.0.iter().flatten() {
                prop_assert!(!reply.text().replace('\n', "").contains(char::is_control));
            }
        }
    }
}
