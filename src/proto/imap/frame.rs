//! Where a command ends (RFC 3501 §4.3, RFC 7888): lines and literals, bounded before anything is allocated.
//!
//! The session feeds what has been received; the framer takes what belongs to the command, keeps it, and says what
//! comes next. The result is the same however the input is split. A line ends with CRLF only.
//!
//! ```text
//! loop {
//!     let (taken, frame) = framer.command(connection.buffered());
//!     connection.consume(taken);
//!     match frame {
//!         Frame::More => connection.fill(timeout).await?,
//!         Frame::Continue => write "+ OK" and flush,
//!         Frame::Command(octets) => Tagged::parse(&octets) and run,
//!         Frame::Append { octets, literal } => Append::parse(&octets), decide,
//!             refused and literal.synchronizing: framer.refuse_append(), reply;
//!             refused otherwise: drop literal.size octets, go on to AppendEnd, reply;
//!             accepted: "+ OK" if literal.synchronizing, stream literal.size octets, go on to AppendEnd, commit
//!         Frame::AppendEnd => the command is complete,
//!         Frame::Refused(refused) => reply BAD (or NO); close if refused.recovery says so
//!     }
//! }
//! ```

use super::command::Tag;
use super::cursor::{Cursor, is_tag_char};
use super::parse::ParseError;

/// What a command may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Octets of the command outside of literals.
    pub line: usize,
    /// Octets of one literal, other than APPEND's message.
    pub literal: usize,
    /// Octets of the command in total, without APPEND's message.
    pub total: usize,
}

impl Limits {
    /// Before authentication: 8 KiB each.
    pub const NOT_AUTHENTICATED: Limits = Limits { line: 8 << 10, literal: 8 << 10, total: 16 << 10 };
    /// After it: 64 KiB, 256 KiB in total.
    pub const AUTHENTICATED: Limits = Limits { line: 64 << 10, literal: 64 << 10, total: 256 << 10 };
}

/// A literal's announcement, `{size}` or `{size+}`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Literal {
    /// Octets that follow.
    pub size: u64,
    /// The client waits for a continuation request; without (`+`) it sends at once (RFC 7888).
    pub synchronizing: bool,
}

/// What comes next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// All input was taken, or none of it helps: read more.
    More,
    /// Send a continuation request (`+ `) and call again: the client waits to send a literal.
    Continue,
    /// A complete command, without its last CRLF, literals in place. For [`super::Tagged::parse`].
    Command(Vec<u8>),
    /// A line, without CRLF; only from [`Framer::line`].
    Line(Vec<u8>),
    /// APPEND up to the announcement of its message. The input goes on with the message: it is not for the framer,
    /// who continues behind it.
    Append {
        /// For [`super::Append::parse`].
        octets: Vec<u8>,
        /// The message. Its size is not bounded here.
        literal: Literal,
    },
    /// The CRLF behind APPEND's message: the command is complete.
    AppendEnd,
    /// The command cannot be read.
    Refused(Refused),
}

/// A command that was not read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The tag, if there is one to read.
    pub tag: Option<Tag>,
    /// Why.
    pub error: ParseError,
    /// What to do after the answer.
    pub recovery: Recovery,
}

/// How to go on after a refused command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recovery {
    /// The next command follows.
    Next,
    /// Where the next command begins cannot be known: BYE and close.
    Close,
}

/// Finds commands in a stream of octets. Between commands it holds no memory.
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    /// What has come of the command.
    octets: Vec<u8>,
    /// Where in `octets` the line begins that is being read: the command's start, or behind a literal.
    line_start: usize,
    /// Octets of the command outside of literals.
    line_octets: usize,
    /// Octets of a literal that are still to come.
    literal_left: usize,
    /// APPEND's tag while the line behind its message is read.
    append: Option<Option<Tag>>,
}

impl Framer {
    /// At the start of a command.
    pub fn new(limits: Limits) -> Self {
        Self { limits, octets: Vec::new(), line_start: 0, line_octets: 0, literal_left: 0, append: None }
    }

    /// Other limits from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Takes from `input` (what is buffered and not consumed): how many octets were taken, and what comes next. Call
    /// again with the rest after each frame but [`Frame::More`], also if the rest is empty.
    pub fn command(&mut self, input: &[u8]) -> (usize, Frame) {
        let mut taken = 0;
        loop {
            let rest = input.get(taken..).unwrap_or_default();
            let (n, literal) = split_at_most(rest, self.literal_left);
            self.octets.extend_from_slice(literal);
            self.literal_left -= n;
            taken += n;
            if self.literal_left > 0 {
                return (taken, Frame::More);
            }
            if n > 0 {
                self.line_start = self.octets.len();
            }
            let (n, line) = self.take_line(input.get(taken..).unwrap_or_default());
            taken += n;
            match line {
                Line::Open => return (taken, Frame::More),
                Line::TooLong => return (taken, self.refuse(ParseError::LineTooLong, Recovery::Close)),
                Line::Complete => {}
            }
            if let Some(frame) = self.line_end() {
                return (taken, frame);
            }
        }
    }

    /// As [`Framer::command`], for a line that is no command: DONE, or a response in AUTHENTICATE. Gives
    /// [`Frame::More`], [`Frame::Line`] or [`Frame::Refused`].
    pub fn line(&mut self, input: &[u8]) -> (usize, Frame) {
        let (taken, line) = self.take_line(input);
        match line {
            Line::Open => (taken, Frame::More),
            Line::TooLong => {
                self.reset();
                let refused = Refused { tag: None, error: ParseError::LineTooLong, recovery: Recovery::Close };
                (taken, Frame::Refused(refused))
            }
            Line::Complete => (taken, Frame::Line(self.reset())),
        }
    }

    /// APPEND with a synchronizing literal was refused: its message and the rest of the line do not come.
    pub fn refuse_append(&mut self) {
        self.reset();
    }

    /// True if no command has begun.
    pub fn is_idle(&self) -> bool {
        self.octets.is_empty() && self.append.is_none()
    }

    /// Takes the rest of a line. [`Line::Complete`]: its CRLF has been taken too, and is not in `octets`.
    fn take_line(&mut self, input: &[u8]) -> (usize, Line) {
        let allowed = self.limits.line.saturating_sub(self.line_octets);
        let (_, window) = split_at_most(input, allowed.saturating_add(1));
        let mut from = 0;
        while let Some(i) = memchr::memchr(b'\n', window.get(from..).unwrap_or_default()) {
            let end = from + i;
            let before = match end.checked_sub(1) {
                Some(i) => window.get(i),
                // The CR may have come earlier, but not as the end of a literal.
                None => self.octets.get(self.line_start..).and_then(<[u8]>::last),
            };
            if before == Some(&b'\r') && end < allowed {
                self.octets.extend_from_slice(window.get(..end).unwrap_or_default());
                self.octets.pop();
                self.line_octets += end + 1;
                return (end + 1, Line::Complete);
            }
            from = end + 1;
        }
        self.line_octets += window.len();
        self.octets.extend_from_slice(window);
        (window.len(), if window.len() > allowed { Line::TooLong } else { Line::Open })
    }

    /// What the end of a line means; `None` if the command goes on with a literal that is on its way.
    fn line_end(&mut self) -> Option<Frame> {
        let line = self.octets.get(self.line_start..).unwrap_or_default();
        let announced = announcement(line);
        if self.append.is_some() {
            return Some(self.append_end(announced));
        }
        let Some((announcement_length, literal)) = announced else { return Some(Frame::Command(self.reset())) };
        let before = self.octets.len() - announcement_length;
        if is_append_message(self.octets.get(..before).unwrap_or_default()) {
            self.octets.truncate(before);
            let tag = self.tag();
            let octets = self.reset();
            self.append = Some(tag);
            return Some(Frame::Append { octets, literal });
        }
        let size = usize::try_from(literal.size).unwrap_or(usize::MAX);
        let total = self.octets.len().saturating_add(size);
        if size > self.limits.literal || total > self.limits.total {
            return Some(self.refuse(ParseError::LiteralTooLarge, recovery(literal)));
        }
        self.octets.extend_from_slice(b"\r\n");
        self.line_start = self.octets.len();
        self.literal_left = size;
        literal.synchronizing.then_some(Frame::Continue)
    }

    /// The line behind APPEND's message must be empty: MULTIAPPEND (RFC 3502) is not offered.
    fn append_end(&mut self, announced: Option<(usize, Literal)>) -> Frame {
        if self.octets.is_empty() {
            self.reset();
            return Frame::AppendEnd;
        }
        self.refuse(ParseError::Trailing, announced.map_or(Recovery::Next, |(_, literal)| recovery(literal)))
    }

    fn refuse(&mut self, error: ParseError, recovery: Recovery) -> Frame {
        let tag = match self.append.take() {
            Some(tag) => tag,
            None => self.tag(),
        };
        self.reset();
        Frame::Refused(Refused { tag, error, recovery })
    }

    fn tag(&self) -> Option<Tag> {
        Tag::first(&self.octets)
    }

    /// Back to the start of a command; gives what has come of this one, with its memory.
    fn reset(&mut self) -> Vec<u8> {
        let fresh = Self::new(self.limits);
        std::mem::replace(self, fresh).octets
    }
}

/// How far a line has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Line {
    Open,
    Complete,
    TooLong,
}

/// The first `n` octets, or all if there are less, and how many these are.
fn split_at_most(octets: &[u8], n: usize) -> (usize, &[u8]) {
    let n = n.min(octets.len());
    (n, octets.get(..n).unwrap_or_default())
}

/// The client of a refused synchronizing literal does not send it (RFC 3501 §4.3); one that does not wait does
/// (RFC 7888 §4), and no one knows how much of it.
fn recovery(literal: Literal) -> Recovery {
    if literal.synchronizing { Recovery::Next } else { Recovery::Close }
}

/// The literal that the line announces at its end, and how long the announcement is. A size above the range of
/// `u64` is that range's end.
fn announcement(line: &[u8]) -> Option<(usize, Literal)> {
    let inner = line.strip_suffix(b"}")?;
    let (inner, synchronizing) = match inner.strip_suffix(b"+") {
        Some(inner) => (inner, false),
        None => (inner, true),
    };
    let start = memchr::memrchr(b'{', inner)?;
    let digits = inner.get(start + 1..)?;
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = digits.iter().fold(0u64, |n, d| n.saturating_mul(10).saturating_add(u64::from(d.wrapping_sub(b'0'))));
    Some((line.len() - start, Literal { size, synchronizing }))
}

/// True if what was read so far, up to a literal's announcement, is APPEND with its mailbox: then this literal is the
/// message, whether or not flags and date between them are right.
fn is_append_message(octets: &[u8]) -> bool {
    let mut cursor = Cursor::new(octets);
    cursor.take_while(is_tag_char);
    cursor.eat(b' ')
        && cursor.word(|b| b.is_ascii_alphabetic()) == "APPEND"
        && cursor.eat(b' ')
        && cursor.astring("mailbox").is_ok()
        && cursor.eat(b' ')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SMALL: Limits = Limits { line: 40, literal: 12, total: 64 };

    /// Runs a session over `input` given in pieces of the lengths `cuts`, as `Debug` text of what happened. A message
    /// of APPEND is taken from the input and shown; APPEND to `refused` is refused.
    fn run(limits: Limits, input: &[u8], cuts: &[usize]) -> Vec<String> {
        let mut framer = Framer::new(limits);
        let (mut seen, mut buffered, mut rest) = (Vec::new(), Vec::new(), input);
        let mut cuts = cuts.iter().cycle();
        let mut message_left = 0;
        loop {
            let n = buffered.len().min(message_left);
            message_left -= n;
            buffered.drain(..n);
            let (taken, frame) = if message_left > 0 { (0, Frame::More) } else { framer.command(&buffered) };
            assert!(taken <= buffered.len());
            buffered.drain(..taken);
            match frame {
                Frame::More => {
                    assert!(buffered.is_empty());
                    if rest.is_empty() {
                        return seen;
                    }
                    let n = cuts.next().map_or(1, |n| *n).clamp(1, rest.len());
                    buffered.extend_from_slice(&rest[..n]);
                    rest = &rest[n..];
                }
                Frame::Append { octets, literal } => {
                    let text = String::from_utf8_lossy(&octets).into_owned();
                    seen.push(format!("append {text:?} {literal:?}"));
                    if text.contains("refused") && literal.synchronizing {
                        framer.refuse_append();
                    } else {
                        message_left = literal.size as usize;
                    }
                }
                Frame::Command(octets) => seen.push(format!("command {:?}", String::from_utf8_lossy(&octets))),
                Frame::Refused(refused) => {
                    let tag = refused.tag.map_or("*".into(), |t| t.to_string());
                    seen.push(format!("{tag} {:?} {:?}", refused.error, refused.recovery));
                    if refused.recovery == Recovery::Close {
                        return seen;
                    }
                }
                other => seen.push(format!("{other:?}")),
            }
        }
    }

    #[test]
    fn frames() {
        let sync = |size| format!("{:?}", Literal { size, synchronizing: true });
        let now = |size| format!("{:?}", Literal { size, synchronizing: false });
        let cases: Vec<(&str, &str, Vec<String>)> = vec![
            ("two commands", "a NOOP\r\nb NOOP\r\n", vec![r#"command "a NOOP""#.into(), r#"command "b NOOP""#.into()]),
            ("empty line", "\r\n", vec![r#"command """#.into()]),
            ("bare LF and bare CR end nothing", "a\nb\rc\r\n", vec![r#"command "a\nb\rc""#.into()]),
            ("CR CR LF", "a\r\r\n", vec![r#"command "a\r""#.into()]),
            ("literal", "a LOGIN {1}\r\nx y\r\n", vec!["Continue".into(), r#"command "a LOGIN {1}\r\nx y""#.into()]),
            ("literal+", "a LOGIN {1+}\r\nx y\r\n", vec![r#"command "a LOGIN {1+}\r\nx y""#.into()]),
            ("empty literal", "a X {0}\r\n\r\n", vec!["Continue".into(), r#"command "a X {0}\r\n""#.into()]),
            ("CRLF in literal", "a X {4+}\r\n\r\n\r\n\r\n", vec![r#"command "a X {4+}\r\n\r\n\r\n""#.into()]),
            (
                "CR at the literal's end is not the line's",
                "a X {1+}\r\n\r\n \r\n",
                vec![r#"command "a X {1+}\r\n\r\n ""#.into()],
            ),
            (
                "literal announced by a literal's content is none",
                "a X {3+}\r\n{9} y\r\n",
                vec![r#"command "a X {3+}\r\n{9} y""#.into()],
            ),
            (
                "announcement split by a literal is none",
                "a X {2+}\r\n{9}\r\n",
                vec![r#"command "a X {2+}\r\n{9}""#.into()],
            ),
            ("no literal", "a X {}\r\nb {x}\r\n", vec![r#"command "a X {}""#.into(), r#"command "b {x}""#.into()]),
            (
                "refused literal",
                "a X {13}\r\nb NOOP\r\n",
                vec!["a LiteralTooLarge Next".into(), r#"command "b NOOP""#.into()],
            ),
            ("refused literal+", "a X {13+}\r\nb NOOP\r\n", vec!["a LiteralTooLarge Close".into()]),
            ("absurd literal", "a X {99999999999999999999999}\r\n", vec!["a LiteralTooLarge Next".into()]),
            (
                "total",
                "a {12+}\r\n123456789012{12+}\r\n123456789012{12+}\r\n123456789012{12+}\r\n123456789012\r\n",
                vec!["a LiteralTooLarge Close".into()],
            ),
            ("line too long", "a 345678901234567890123456789012345678901\r\n", vec!["a LineTooLong Close".into()]),
            ("longest line", "a 3456789012345678901234567890123456 89\r\n", vec!["a LineTooLong Close".into()]),
            (
                "append",
                "a append box (\\Seen) {9}\r\nmess\r\nage\r\nb NOOP\r\n",
                vec![
                    format!(r#"append "a append box (\\Seen) " {}"#, sync(9)),
                    "AppendEnd".into(),
                    r#"command "b NOOP""#.into(),
                ],
            ),
            (
                "append with a literal name",
                "a APPEND {3}\r\nbox {1+}\r\nm\r\n",
                vec!["Continue".into(), format!(r#"append "a APPEND {{3}}\r\nbox " {}"#, now(1)), "AppendEnd".into()],
            ),
            (
                "append larger than any literal",
                "a APPEND b {100+}\r\n",
                vec![format!(r#"append "a APPEND b " {}"#, now(100))],
            ),
            (
                "refused append",
                "a APPEND refused {9}\r\nb NOOP\r\n",
                vec![format!(r#"append "a APPEND refused " {}"#, sync(9)), r#"command "b NOOP""#.into()],
            ),
            (
                "multiappend",
                "a APPEND b {1+}\r\nm {1}\r\nb NOOP\r\n",
                vec![
                    format!(r#"append "a APPEND b " {}"#, now(1)),
                    "a Trailing Next".into(),
                    r#"command "b NOOP""#.into(),
                ],
            ),
            (
                "multiappend without waiting",
                "a APPEND b {1+}\r\nm {1+}\r\nm\r\n",
                vec![format!(r#"append "a APPEND b " {}"#, now(1)), "a Trailing Close".into()],
            ),
            ("append without a name", "a APPEND {13}\r\n", vec!["a LiteralTooLarge Next".into()]),
        ];
        for (case, input, want) in cases {
            assert_eq!(run(SMALL, input.as_bytes(), &[1000]), want, "{case}");
            assert_eq!(run(SMALL, input.as_bytes(), &[1]), want, "{case}, octet by octet");
        }
    }

    #[test]
    fn the_line_limit_counts_crlf() {
        for (n, fits) in [(38, true), (39, false)] {
            let line = format!("{}\r\n", "x".repeat(n));
            let got = run(SMALL, line.as_bytes(), &[7]);
            assert_eq!(got[0].starts_with("command"), fits, "{got:?}");
        }
    }

    #[test]
    fn lines_that_are_no_commands() {
        let mut framer = Framer::new(SMALL);
        assert_eq!(framer.line(b"DO"), (2, Frame::More));
        assert_eq!(framer.line(b"NE\r\nb NOOP\r\n"), (4, Frame::Line(b"DONE".to_vec())));
        assert_eq!(framer.line(b"x {5}\r\n"), (7, Frame::Line(b"x {5}".to_vec())));
        assert!(framer.is_idle());
        let (_, frame) = framer.line(&[b'x'; 100]);
        assert!(matches!(frame, Frame::Refused(Refused { recovery: Recovery::Close, .. })));
    }

    proptest! {
        #[test]
        fn frames_do_not_depend_on_the_split(
            pieces in proptest::collection::vec(
                prop_oneof![
                    Just("\r\n"), Just("\r"), Just("\n"), Just("{3}\r\n"), Just("{2+}\r\n"), Just("a APPEND b {4+}\r\n"),
                    Just("a APPEND refused {4}\r\n"), Just("abcd\r\n"), Just("a X "), Just("{"), Just("1+}"), Just("{13+}\r\n"),
                ],
                0..12,
            ),
            cuts in proptest::collection::vec(1usize..9, 1..9),
        ) {
            let input = pieces.concat().into_bytes();
            prop_assert_eq!(run(SMALL, &input, &cuts), run(SMALL, &input, &[1000]));
        }

        #[test]
        fn memory_stays_bounded(input in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut framer = Framer::new(SMALL);
            let mut rest = &input[..];
            loop {
                let (taken, frame) = framer.command(rest);
                prop_assert!(framer.octets.len() <= SMALL.total + SMALL.line);
                rest = &rest[taken..];
                if frame == Frame::More {
                    break;
                }
            }
        }
    }
}
