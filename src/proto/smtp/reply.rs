//! Replies (RFC 5321 §4.2) with enhanced status codes (RFC 2034, RFC 3463).

use std::borrow::Cow;

use crate::mail::EnhancedCode;

/// A reply: a code and one or more lines of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    enhanced: Option<EnhancedCode>,
    text: Cow<'static, str>,
}

impl Reply {
    /// A reply with an enhanced code. The lines of `text` are separated by LF; other control characters go out as
    /// `?`, so that no text can end the line early.
    pub fn new(code: u16, enhanced: EnhancedCode, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, enhanced: Some(enhanced), text: text.into() }
    }

    /// A reply that has none: 220, 334, 354 and the replies to EHLO and HELO (RFC 2034 §4).
    pub fn plain(code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, enhanced: None, text: text.into() }
    }

    /// The reply code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The enhanced status code.
    pub fn enhanced(&self) -> Option<EnhancedCode> {
        self.enhanced
    }

    /// The text, its lines separated by LF.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// True for 4yz and 5yz.
    pub fn is_negative(&self) -> bool {
        self.code >= 400
    }

    /// The wire form: `code-text` lines and a last `code text` line, the enhanced code on each.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut lines = self.text.split('\n').peekable();
        while let Some(line) = lines.next() {
            push_number(out, self.code);
            out.push(if lines.peek().is_some() { b'-' } else { b' ' });
            if let Some(enhanced) = self.enhanced {
                out.extend_from_slice(enhanced.to_string().as_bytes());
                out.push(b' ');
            }
            out.extend(line.bytes().map(|b| if b < b' ' || b == 0x7f { b'?' } else { b }));
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Reads one whole reply back; `None` if it is not one.
    pub fn parse(octets: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(octets).ok()?.strip_suffix("\r\n")?;
        let mut lines = text.split("\r\n").peekable();
        let mut reply: Option<(u16, Option<EnhancedCode>, String)> = None;
        while let Some(line) = lines.next() {
            let (code, rest) = line.split_at_checked(3)?;
            let code: u16 = code.parse().ok().filter(|c| (200..600).contains(c))?;
            let rest = rest.strip_prefix(if lines.peek().is_some() { '-' } else { ' ' })?;
            let (enhanced, rest) = match rest.split_once(' ').and_then(|(code, rest)| Some((enhanced(code)?, rest))) {
                Some((enhanced, rest)) if u16::from(enhanced.class()) == code / 100 => (Some(enhanced), rest),
                _ => (None, rest),
            };
            match &mut reply {
                None => reply = Some((code, enhanced, rest.to_owned())),
                Some((first, first_enhanced, text)) if *first == code && *first_enhanced == enhanced => {
                    text.push('\n');
                    text.push_str(rest);
                }
                Some(_) => return None,
            }
        }
        reply.map(|(code, enhanced, text)| Self { code, enhanced, text: text.into() })
    }
}

fn enhanced(text: &str) -> Option<EnhancedCode> {
    let mut parts = text.split('.');
    let class: u8 = parts.next()?.parse().ok().filter(|c| matches!(c, 2 | 4 | 5))?;
    let code = EnhancedCode::new(class, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    (parts.next().is_none() && code.to_string() == text).then_some(code)
}

fn push_number(out: &mut Vec<u8>, code: u16) {
    let digit = |n: u16| b'0' + (n % 10) as u8;
    out.extend_from_slice(&[digit(code / 100), digit(code / 10), digit(code)]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wire(reply: &Reply) -> String {
        let mut out = Vec::new();
        reply.encode(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn wire_form() {
        assert_eq!(wire(&Reply::plain(220, "mail.test ESMTP")), "220 mail.test ESMTP\r\n");
        assert_eq!(wire(&Reply::new(550, EnhancedCode::new(5, 1, 1), "No such user")), "550 5.1.1 No such user\r\n");
        assert_eq!(wire(&Reply::plain(250, "a\nb")), "250-a\r\n250 b\r\n");
        assert_eq!(wire(&Reply::new(214, EnhancedCode::new(2, 0, 0), "a\nb")), "214-2.0.0 a\r\n214 2.0.0 b\r\n");
        assert_eq!(wire(&Reply::plain(334, "")), "334 \r\n");
        assert_eq!(wire(&Reply::plain(250, "a\r250 x")), "250 a?250 x\r\n");
    }

    #[test]
    fn not_replies() {
        for octets in ["", "250 a", "25 a\r\n", "250-a\r\n", "250-a\r\n251 b\r\n", "250 a\r\n250 b\r\n", "999 a\r\n"] {
            assert_eq!(Reply::parse(octets.as_bytes()), None, "{octets:?}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(code in 200u16..600, enhanced: bool, subject in 0u16..1000, detail in 0u16..1000, text in "[a-z0-9.]{1,5}([ -~]{0,10}\n){0,3}[ -~]{0,8}") {
            let reply = match (enhanced, code / 100) {
                (true, class @ (2 | 4 | 5)) => Reply::new(code, EnhancedCode::new(class as u8, subject, detail), text),
                _ => Reply::plain(code, format!("x{text}").replace('\n', "\nx")),
            };
            prop_assert_eq!(Reply::parse(wire(&reply).as_bytes()), Some(reply));
        }
    }
}
