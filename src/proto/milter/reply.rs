//! What the filter sends (`SMFIR_*`).

use super::options::{MacroStage, Options, encode_macros, parse_macros};
use super::packet::{self, Packet, PacketError};
use super::text::{number, only_string, pair, push_string, push_strings, string};
use crate::mail::EnhancedCode;
use crate::proto::smtp::client::ReplyReader;

/// A reply, or a change at the end of the message. Strings have no NUL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// What the filter makes of the server's offer.
    Negotiated(Options),
    /// The macros that it wants, where libmilter says so with its options (`SMFIR_SETSYMLIST`).
    SetMacros(Vec<(MacroStage, Vec<String>)>),
    /// Go on.
    Continue,
    /// Go on, and do not ask about the rest.
    Accept,
    /// No.
    Reject,
    /// Not now.
    TempFail,
    /// Say yes and throw it away.
    Discard,
    /// This reply of SMTP.
    ReplyCode(Vec<u8>),
    /// The connection is to fail.
    ConnectionFail,
    /// The session is to end with 421.
    Shutdown,
    /// Send no more of the body.
    Skip,
    /// It takes a while.
    Progress,
    /// A field at the end of the header.
    AddField {
        /// Its name.
        name: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
    },
    /// A field in the header.
    InsertField {
        /// Where, from 0.
        index: u32,
        /// Its name.
        name: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
    },
    /// Another value for a field.
    ChangeField {
        /// Which of that name, from 1.
        index: u32,
        /// Its name.
        name: Vec<u8>,
        /// Its value; an empty one takes it away.
        value: Vec<u8>,
    },
    /// Another reverse-path.
    ChangeReversePath {
        /// With or without angle brackets.
        path: Vec<u8>,
        /// Its parameters, if any.
        parameters: Option<Vec<u8>>,
    },
    /// One more recipient.
    AddRecipient {
        /// With or without angle brackets.
        path: Vec<u8>,
        /// Its parameters, if any (`SMFIR_ADDRCPT_PAR`).
        parameters: Option<Vec<u8>>,
    },
    /// One less.
    RemoveRecipient(Vec<u8>),
    /// A piece of another body.
    ReplaceBody(Vec<u8>),
    /// Into quarantine, and why.
    Quarantine(Vec<u8>),
}

/// A reply of SMTP in a filter's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpReply {
    /// 400 to 599.
    pub code: u16,
    /// If it has one of the same class.
    pub enhanced: Option<EnhancedCode>,
    /// The lines with a space between them, without codes and control characters.
    pub text: String,
}

impl Reply {
    /// Its code.
    pub const fn code(&self) -> u8 {
        match self {
            Reply::Negotiated(_) => b'O',
            Reply::SetMacros(_) => b'l',
            Reply::Continue => b'c',
            Reply::Accept => b'a',
            Reply::Reject => b'r',
            Reply::TempFail => b't',
            Reply::Discard => b'd',
            Reply::ReplyCode(_) => b'y',
            Reply::ConnectionFail => b'f',
            Reply::Shutdown => b'4',
            Reply::Skip => b's',
            Reply::Progress => b'p',
            Reply::AddField { .. } => b'h',
            Reply::InsertField { .. } => b'i',
            Reply::ChangeField { .. } => b'm',
            Reply::ChangeReversePath { .. } => b'e',
            Reply::AddRecipient { parameters: None, .. } => b'+',
            Reply::AddRecipient { parameters: Some(_), .. } => b'2',
            Reply::RemoveRecipient(_) => b'-',
            Reply::ReplaceBody(_) => b'b',
            Reply::Quarantine(_) => b'q',
        }
    }

    /// The wire form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        packet::write(self.code(), out, |out| match self {
            Reply::Negotiated(options) => options.encode(out),
            Reply::SetMacros(macros) => encode_macros(macros, out),
            Reply::ReplyCode(text) | Reply::RemoveRecipient(text) | Reply::Quarantine(text) => push_string(text, out),
            Reply::AddField { name, value } => push_strings([name, value], out),
            Reply::InsertField { index, name, value } | Reply::ChangeField { index, name, value } => {
                out.extend_from_slice(&index.to_be_bytes());
                push_strings([name, value], out);
            }
            Reply::ChangeReversePath { path, parameters } | Reply::AddRecipient { path, parameters } => {
                push_strings([path].into_iter().chain(parameters), out);
            }
            Reply::ReplaceBody(octets) => out.extend_from_slice(octets),
            Reply::Continue
            | Reply::Accept
            | Reply::Reject
            | Reply::TempFail
            | Reply::Discard
            | Reply::ConnectionFail
            | Reply::Shutdown
            | Reply::Skip
            | Reply::Progress => {}
        });
    }

    /// Reads it.
    pub fn parse(packet: &Packet) -> Result<Self, PacketError> {
        if !CODES.contains(&packet.code) {
            return Err(PacketError::Unknown(packet.code));
        }
        read(packet.code, &packet.payload).ok_or(PacketError::Malformed(packet.code))
    }
}

fn read(code: u8, octets: &[u8]) -> Option<Reply> {
    let alone = |reply: Reply| octets.is_empty().then_some(reply);
    match code {
        b'O' => Options::parse(octets).map(Reply::Negotiated),
        b'l' => parse_macros(octets).map(Reply::SetMacros),
        b'c' => alone(Reply::Continue),
        b'a' => alone(Reply::Accept),
        b'r' => alone(Reply::Reject),
        b't' => alone(Reply::TempFail),
        b'd' => alone(Reply::Discard),
        b'f' => alone(Reply::ConnectionFail),
        b'4' => alone(Reply::Shutdown),
        b's' => alone(Reply::Skip),
        b'p' => alone(Reply::Progress),
        b'y' => only_string(octets).map(Reply::ReplyCode),
        b'-' => only_string(octets).map(Reply::RemoveRecipient),
        b'q' => only_string(octets).map(Reply::Quarantine),
        b'+' => only_string(octets).map(|path| Reply::AddRecipient { path, parameters: None }),
        b'2' => path(octets).map(|(path, parameters)| Reply::AddRecipient { path, parameters }),
        b'e' => path(octets).map(|(path, parameters)| Reply::ChangeReversePath { path, parameters }),
        b'b' => Some(Reply::ReplaceBody(octets.to_vec())),
        b'h' => pair(octets).map(|(name, value)| Reply::AddField { name, value }),
        b'i' => indexed(octets).map(|(index, name, value)| Reply::InsertField { index, name, value }),
        b'm' => indexed(octets).map(|(index, name, value)| Reply::ChangeField { index, name, value }),
        _ => None,
    }
}

/// A path, and perhaps parameters.
fn path(octets: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let (path, rest) = string(octets)?;
    let parameters = if rest.is_empty() { None } else { Some(only_string(rest)?) };
    Some((path.to_vec(), parameters))
}

fn indexed(octets: &[u8]) -> Option<(u32, Vec<u8>, Vec<u8>)> {
    let (index, rest) = number(octets)?;
    let (name, value) = pair(rest)?;
    Some((index, name, value))
}

impl SmtpReply {
    /// From what [`Reply::ReplyCode`] carries: one reply of 4yz or 5yz (RFC 5321 §4.2), of one or more lines, without
    /// the last line end. Where a filter doubles `%`, as libmilter has it, one is meant.
    pub fn parse(octets: &[u8]) -> Option<Self> {
        let octets = [octets, b"\r\n"].concat();
        let (taken, reply) = ReplyReader::default().push(&octets);
        let reply = reply.ok()?.filter(|reply| taken == octets.len() && matches!(reply.class(), 4 | 5))?;
        let enhanced = reply.enhanced();
        let code = enhanced.map(|code| code.to_string()).unwrap_or_default();
        let line = |line: &str| line.trim().strip_prefix(&code).unwrap_or(line).trim().replace("%%", "%");
        let lines: Vec<String> = reply.arguments().map(line).collect();
        Some(Self { code: reply.code(), enhanced, text: lines.join(" ") })
    }
}

const CODES: &[u8] = b"Olcartdy4fsphime+2-bq";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Actions, PacketReader, Steps};
    use super::*;

    fn wire(reply: &Reply) -> Vec<u8> {
        let mut out = Vec::new();
        reply.encode(&mut out);
        out
    }

    fn read_back(octets: &[u8]) -> Reply {
        let (taken, packet) = PacketReader::default().push(octets);
        assert_eq!(taken, octets.len());
        Reply::parse(&packet.unwrap().unwrap()).unwrap()
    }

    #[test]
    fn wire_form() {
        let macros = vec![(MacroStage::Connect, vec!["j".to_owned(), "{client_addr}".to_owned()])];
        let options = Options { version: 6, actions: Actions::QUARANTINE, steps: Steps::NO_BODY, macros };
        let macros = vec![(MacroStage::EndOfHeader, vec!["i".to_owned()])];
        for (reply, want) in [
            (Reply::Negotiated(options), &b"\0\0\0\x21O\0\0\0\x06\0\0\0\x20\0\0\0\x10\0\0\0\0j {client_addr}\0"[..]),
            (Reply::SetMacros(macros), b"\0\0\0\x07l\0\0\0\x06i\0"),
            (Reply::Continue, b"\0\0\0\x01c"),
            (Reply::Accept, b"\0\0\0\x01a"),
            (Reply::Reject, b"\0\0\0\x01r"),
            (Reply::TempFail, b"\0\0\0\x01t"),
            (Reply::Discard, b"\0\0\0\x01d"),
            (Reply::ReplyCode(b"550 no".into()), b"\0\0\0\x08y550 no\0"),
            (Reply::ConnectionFail, b"\0\0\0\x01f"),
            (Reply::Shutdown, b"\0\0\0\x014"),
            (Reply::Skip, b"\0\0\0\x01s"),
            (Reply::Progress, b"\0\0\0\x01p"),
            (Reply::AddField { name: b"X".into(), value: b"1".into() }, b"\0\0\0\x05hX\x001\0"),
            (Reply::InsertField { index: 1, name: b"X".into(), value: b" 1".into() }, b"\0\0\0\x0ai\0\0\0\x01X\0 1\0"),
            (Reply::ChangeField { index: 2, name: b"X".into(), value: vec![] }, b"\0\0\0\x08m\0\0\0\x02X\0\0"),
            (
                Reply::ChangeReversePath { path: b"<>".into(), parameters: Some(b"RET=HDRS".into()) },
                b"\0\0\0\x0de<>\0RET=HDRS\0",
            ),
            (Reply::ChangeReversePath { path: b"<a@b>".into(), parameters: None }, b"\0\0\0\x07e<a@b>\0"),
            (Reply::AddRecipient { path: b"<a@b>".into(), parameters: None }, b"\0\0\0\x07+<a@b>\0"),
            (
                Reply::AddRecipient { path: b"<a@b>".into(), parameters: Some(b"NOTIFY=NEVER".into()) },
                b"\0\0\0\x142<a@b>\0NOTIFY=NEVER\0",
            ),
            (Reply::RemoveRecipient(b"<a@b>".into()), b"\0\0\0\x07-<a@b>\0"),
            (Reply::ReplaceBody(b"a\0b".into()), b"\0\0\0\x04ba\0b"),
            (Reply::Quarantine(b"why".into()), b"\0\0\0\x05qwhy\0"),
        ] {
            let octets = wire(&reply);
            assert_eq!(octets, want, "{}", octets.escape_ascii());
            assert_eq!(read_back(&octets), reply);
        }
    }

    #[test]
    fn what_is_no_reply() {
        let parse = |code: u8, payload: &[u8]| Reply::parse(&Packet { code, payload: payload.to_vec() });
        for code in *b"zT\0\xff" {
            assert_eq!(parse(code, b""), Err(PacketError::Unknown(code)));
        }
        for (code, payload) in [
            (b'O', &b"\0\0\0\x06\0\0\0\0"[..]),
            (b'O', b"\0\0\0\x06\0\0\0\0\0\0\0\0\0\0\0\x07i\0"),
            (b'O', b"\0\0\0\x06\0\0\0\0\0\0\0\0\0\0\0\x01i"),
            (b'O', b"\0\0\0\x06\0\0\0\0\0\0\0\0\0\0\0\x01\r\n\0"),
            (b'c', b"x"),
            (b'y', b""),
            (b'y', b"550 no"),
            (b'y', b"550 no\0\0"),
            (b'h', b"X\0"),
            (b'h', b"X\x001\x002\0"),
            (b'i', b"\0\0\0"),
            (b'm', b"X\x001\0"),
            (b'e', b""),
            (b'2', b"a\0b\0c\0"),
            (b'q', b""),
        ] {
            assert_eq!(parse(code, payload), Err(PacketError::Malformed(code)), "{}", payload.escape_ascii());
        }
    }

    #[test]
    fn replies_of_smtp() {
        for (case, text, want) in [
            ("one line", "550 5.7.1 Spam", Some((550, Some((7, 1)), "Spam"))),
            ("no enhanced code", "451 later", Some((451, None, "later"))),
            ("code alone", "554", Some((554, None, ""))),
            (
                "several lines",
                "550-5.7.1 Spam\r\n550-5.7.1 and\r\n550 5.7.1 more",
                Some((550, Some((7, 1)), "Spam and more")),
            ),
            ("lines by LF", "450-a\n450 b", Some((450, None, "a b"))),
            ("enhanced code on the last line", "550-a\r\n550 5.7.1 b", Some((550, Some((7, 1)), "a b"))),
            ("class of another code", "550 4.7.1 x", Some((550, None, "4.7.1 x"))),
            ("doubled percent", "550 100%% spam", Some((550, None, "100% spam"))),
            ("control characters", "550 a\x1b[0m\rb", Some((550, None, "a?[0m?b"))),
            ("success", "250 2.0.0 fine", None),
            ("intermediate", "354 go on", None),
            ("two replies", "550 a\r\n250 b", None),
            ("a line end at the end", "550 a\r\n", None),
            ("other code in the second line", "550-a\r\n551 b", None),
            ("never ends", "550-a\r\n550-b", None),
            ("no code", "go away", None),
            ("three digits too many", "5501 x", None),
            ("empty", "", None),
        ] {
            let reply = SmtpReply::parse(text.as_bytes());
            let got = reply.as_ref().map(|r| (r.code, r.enhanced.map(|e| e.subject_and_detail()), r.text.as_str()));
            assert_eq!(got, want, "{case}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(reply in reply()) {
            prop_assert_eq!(read_back(&wire(&reply)), reply);
        }
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(1u8..=255, 0..20)
    }

    fn reply() -> impl Strategy<Value = Reply> {
        let parameters = || proptest::option::of(text());
        prop_oneof![
            (any::<u32>(), any::<u32>(), "[a-z{}_]{1,9}").prop_map(|(actions, steps, name)| {
                let macros = vec![(MacroStage::Rcpt, vec![name])];
                let (actions, steps) = (Actions::from_bits(actions), Steps::from_bits(steps));
                Reply::Negotiated(Options { version: 6, actions, steps, macros })
            }),
            text().prop_map(Reply::ReplyCode),
            (text(), text()).prop_map(|(name, value)| Reply::AddField { name, value }),
            (any::<u32>(), text(), text()).prop_map(|(index, name, value)| Reply::InsertField { index, name, value }),
            (any::<u32>(), text(), text()).prop_map(|(index, name, value)| Reply::ChangeField { index, name, value }),
            (text(), parameters()).prop_map(|(path, parameters)| Reply::ChangeReversePath { path, parameters }),
            (text(), parameters()).prop_map(|(path, parameters)| Reply::AddRecipient { path, parameters }),
            text().prop_map(Reply::RemoveRecipient),
            any::<Vec<u8>>().prop_map(Reply::ReplaceBody),
            text().prop_map(Reply::Quarantine),
        ]
    }
}
