//! What a filter wants changed, bounded, and such that each change is what it says and nothing else.

use super::agreement::{Agreement, out_of_place};
use crate::hooks::fields::is_field;
use crate::hooks::{Change, Failure, Said, Verdict};
use crate::mail::{Address, ReversePath};
use crate::proto::milter::{Actions, Reply, SmtpReply};

/// The changes of one message so far.
#[derive(Debug)]
pub(super) struct Changes {
    all: Vec<Change>,
    /// The pieces of another body.
    body: Option<Vec<u8>>,
    max_body: usize,
    /// Octets that everything but a body may still take.
    left: usize,
}

impl Changes {
    pub fn new(max_body: usize) -> Self {
        Self { all: Vec::new(), body: None, max_body, left: MAX_REPLIES }
    }

    /// Counts what has come, whatever it is.
    pub fn count(&mut self, reply: &Reply, length: usize) -> Result<(), Failure> {
        let counted = match reply {
            // It has a bound of its own; how it is cut into pieces is the filter's choice.
            Reply::ReplaceBody(octets) => length.saturating_sub(octets.len()),
            _ => length,
        };
        self.left = self.left.checked_sub(counted).ok_or_else(|| too_much("replies"))?;
        Ok(())
    }

    /// Takes a change.
    pub fn push(&mut self, reply: Reply, agreement: &Agreement) -> Result<(), Failure> {
        let Some(needed) = needed(&reply) else { return Err(out_of_place(&reply)) };
        if !agreement.actions.has(needed) {
            return Err(Failure::Protocol(format!("does what it did not ask for: {}", reply.code().escape_ascii())));
        }
        if self.all.len() >= MAX_CHANGES {
            return Err(too_much("changes"));
        }
        let change = match reply {
            Reply::ReplaceBody(octets) => return self.push_body(&octets),
            Reply::AddField { name, value } | Reply::InsertField { name, value, .. } => {
                let (name, value) = field(&name, value)?;
                Change::AddField { name, value }
            }
            Reply::ChangeField { index, name, value } => {
                let (name, value) = field(&name, value)?;
                let value = Some(value).filter(|value| !value.is_empty());
                Change::ChangeField { name, index: index.max(1), value }
            }
            Reply::ChangeReversePath { path, .. } => Change::ReversePath(match inner(&path) {
                "" => ReversePath::Null,
                _ => ReversePath::Address(address(&path)?),
            }),
            Reply::AddRecipient { path, .. } => Change::AddRecipient(address(&path)?),
            Reply::RemoveRecipient(path) => Change::RemoveRecipient(address(&path)?),
            Reply::Quarantine(why) => Change::Quarantine(one_line(&why)),
            other => return Err(out_of_place(&other)),
        };
        self.all.push(change);
        Ok(())
    }

    /// All of them, another body as the last.
    pub fn finish(mut self) -> Result<Vec<Change>, Failure> {
        if let Some(body) = self.body {
            self.all.push(Change::Body(body_lines(&body)?));
        }
        Ok(self.all)
    }

    fn push_body(&mut self, octets: &[u8]) -> Result<(), Failure> {
        let body = self.body.get_or_insert_default();
        if body.len().saturating_add(octets.len()) > self.max_body {
            return Err(too_much("octets of a body"));
        }
        body.extend_from_slice(octets);
        Ok(())
    }
}

/// What a reply says of the session, the command or the message; `None` if it does not say that.
pub(super) fn verdict(reply: &Reply) -> Result<Option<Verdict>, Failure> {
    let plain = |class| Said::new(class, None, None, "");
    Ok(Some(match reply {
        Reply::Continue => Verdict::Continue,
        Reply::Accept => Verdict::Stop,
        Reply::Reject => Verdict::Refuse(plain(5)),
        Reply::TempFail | Reply::ConnectionFail | Reply::Shutdown => Verdict::Defer(plain(4)),
        Reply::Discard => Verdict::Discard,
        Reply::ReplyCode(text) => {
            let reply = SmtpReply::parse(text);
            let reply = reply.ok_or_else(|| Failure::Protocol(format!("not a reply of SMTP: {}", one_line(text))))?;
            let said = |class| Said::new(class, Some(reply.code), reply.enhanced, &reply.text);
            if reply.code < 500 { Verdict::Defer(said(4)) } else { Verdict::Refuse(said(5)) }
        }
        _ => return Ok(None),
    }))
}

/// What a filter must have asked for to make this change.
fn needed(reply: &Reply) -> Option<Actions> {
    Some(match reply {
        Reply::AddField { .. } | Reply::InsertField { .. } => Actions::ADD_FIELDS,
        Reply::ChangeField { .. } => Actions::CHANGE_FIELDS,
        Reply::ReplaceBody(_) => Actions::REPLACE_BODY,
        Reply::ChangeReversePath { .. } => Actions::CHANGE_REVERSE_PATH,
        Reply::AddRecipient { parameters: None, .. } => Actions::ADD_RECIPIENTS,
        Reply::AddRecipient { parameters: Some(_), .. } => Actions::ADD_RECIPIENTS_WITH_PARAMETERS,
        Reply::RemoveRecipient(_) => Actions::REMOVE_RECIPIENTS,
        Reply::Quarantine(_) => Actions::QUARANTINE,
        _ => return None,
    })
}

fn field(name: &[u8], value: Vec<u8>) -> Result<(String, Vec<u8>), Failure> {
    match std::str::from_utf8(name) {
        Ok(text) if is_field(text, &value) => Ok((text.to_owned(), value)),
        _ => Err(Failure::Protocol(format!("not a header field: {}", one_line(name)))),
    }
}

fn address(path: &[u8]) -> Result<Address, Failure> {
    Address::parse(inner(path)).map_err(|_| Failure::Protocol(format!("not an address: {}", one_line(path))))
}

/// A path without angle brackets; what is no UTF-8 is no address either.
fn inner(path: &[u8]) -> &str {
    let text = std::str::from_utf8(path).unwrap_or("?").trim();
    text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text)
}

/// A body as a message can have it: each line ends with CRLF, also those to which a filter gave LF alone.
fn body_lines(octets: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::with_capacity(octets.len());
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.iter().any(|octet| matches!(octet, b'\r' | 0)) {
            return Err(Failure::Protocol("a body with a bare CR or NUL".to_owned()));
        }
        body.extend_from_slice(line);
        body.extend_from_slice(b"\r\n");
    }
    Ok(body)
}

fn too_much(what: &str) -> Failure {
    Failure::Protocol(format!("too many {what}"))
}

/// What a filter wrote, as one line of bounded length.
fn one_line(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    text.chars().take(MAX_LINE).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Changes of one message.
const MAX_CHANGES: usize = 1_000;
/// Octets of replies to one message, but for another body.
const MAX_REPLIES: usize = 4 << 20;
const MAX_LINE: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::EnhancedCode;
    use crate::proto::milter::Steps;

    fn agreement(actions: Actions) -> Agreement {
        Agreement { actions, steps: Steps::default(), macros: vec![] }
    }

    fn change(reply: Reply) -> Result<Vec<Change>, Failure> {
        let mut changes = Changes::new(1_000);
        changes.push(reply, &agreement(Actions::ALL))?;
        changes.finish()
    }

    #[test]
    fn what_is_no_change_is_refused() {
        let field = |name: &str, value: &str| Reply::AddField { name: name.into(), value: value.into() };
        for (case, reply) in [
            ("name with a colon", field("X: y", "z")),
            ("name with a line end", field("X\r\nBcc", "z")),
            ("no name", field("", "z")),
            ("another field", field("X", "a\r\nBcc: eve@evil.test")),
            ("another field by insertion", Reply::InsertField { index: 0, name: "X".into(), value: "a\nB: c".into() }),
            ("another field by change", Reply::ChangeField { index: 1, name: "X".into(), value: "a\nB: c".into() }),
            ("no name to remove", Reply::ChangeField { index: 1, name: "".into(), value: "".into() }),
            ("no address", Reply::AddRecipient { path: b"<nobody>".into(), parameters: None }),
            ("null recipient", Reply::AddRecipient { path: b"<>".into(), parameters: None }),
            ("two lines", Reply::RemoveRecipient(b"<a@b.test>\r\nRCPT TO:<c@d.test>".into())),
            ("no UTF-8", Reply::RemoveRecipient(b"<\xff@b.test>".into())),
            ("no reverse-path", Reply::ChangeReversePath { path: b"<a b@c.test>".into(), parameters: None }),
            ("bare CR in a body", Reply::ReplaceBody(b"a\rb".into())),
            ("NUL in a body", Reply::ReplaceBody(b"a\0b".into())),
            ("too long a body", Reply::ReplaceBody(vec![b'a'; 1_001])),
            ("a verdict", Reply::Accept),
            ("skip", Reply::Skip),
        ] {
            let refused = change(reply);
            assert!(matches!(&refused, Err(Failure::Protocol(text)) if !text.contains(char::is_control)), "{case}");
        }
    }

    #[test]
    fn what_was_not_asked_for_is_refused() {
        let parameters = Some(b"NOTIFY=NEVER".to_vec());
        for (reply, needed) in [
            (Reply::AddField { name: "X".into(), value: "1".into() }, Actions::ADD_FIELDS),
            (Reply::ChangeField { index: 1, name: "X".into(), value: "1".into() }, Actions::CHANGE_FIELDS),
            (Reply::ReplaceBody(b"x".into()), Actions::REPLACE_BODY),
            (Reply::ChangeReversePath { path: b"<>".into(), parameters: None }, Actions::CHANGE_REVERSE_PATH),
            (Reply::AddRecipient { path: b"a@b.test".into(), parameters: None }, Actions::ADD_RECIPIENTS),
            (Reply::AddRecipient { path: b"a@b.test".into(), parameters }, Actions::ADD_RECIPIENTS_WITH_PARAMETERS),
            (Reply::RemoveRecipient(b"a@b.test".into()), Actions::REMOVE_RECIPIENTS),
            (Reply::Quarantine(b"x".into()), Actions::QUARANTINE),
        ] {
            let mut changes = Changes::new(10);
            let without = Actions::ALL.without(needed);
            assert!(changes.push(reply.clone(), &agreement(without)).is_err(), "{reply:?}");
            assert_eq!(changes.push(reply.clone(), &agreement(needed)), Ok(()), "{reply:?}");
        }
    }

    #[test]
    fn bodies_have_whole_lines() {
        for (body, want) in [
            (&b""[..], &b""[..]),
            (b"a\r\nb\r\n", b"a\r\nb\r\n"),
            (b"a\nb", b"a\r\nb\r\n"),
            (b"\n.\n\r\n", b"\r\n.\r\n\r\n"),
        ] {
            assert_eq!(change(Reply::ReplaceBody(body.to_vec())), Ok(vec![Change::Body(want.to_vec())]));
        }
    }

    #[test]
    fn number_and_size_have_an_end() {
        let mut changes = Changes::new(10);
        let all = agreement(Actions::ALL);
        let field = Reply::AddField { name: "X".into(), value: "1".into() };
        for _ in 0..MAX_CHANGES {
            assert_eq!(changes.push(field.clone(), &all), Ok(()));
        }
        assert!(changes.push(field.clone(), &all).is_err());
        assert_eq!(changes.count(&field, MAX_REPLIES), Ok(()));
        assert!(changes.count(&Reply::Progress, 5).is_err());
    }

    #[test]
    fn verdicts() {
        let said = |class, code, status, text| Said::new(class, code, status, text);
        let status = Some(EnhancedCode::new(5, 7, 1));
        let code = |text: &str| Reply::ReplyCode(text.into());
        for (reply, want) in [
            (Reply::Continue, Some(Verdict::Continue)),
            (Reply::Accept, Some(Verdict::Stop)),
            (Reply::Reject, Some(Verdict::Refuse(said(5, None, None, "")))),
            (Reply::TempFail, Some(Verdict::Defer(said(4, None, None, "")))),
            (Reply::Shutdown, Some(Verdict::Defer(said(4, None, None, "")))),
            (Reply::ConnectionFail, Some(Verdict::Defer(said(4, None, None, "")))),
            (Reply::Discard, Some(Verdict::Discard)),
            (code("550 5.7.1 Spam"), Some(Verdict::Refuse(said(5, Some(550), status, "Spam")))),
            (code("550-5.7.1 a\r\n550 5.7.1 b"), Some(Verdict::Refuse(said(5, Some(550), status, "a b")))),
            (code("451 later"), Some(Verdict::Defer(said(4, Some(451), None, "later")))),
            (Reply::Progress, None),
            (Reply::Skip, None),
        ] {
            assert_eq!(verdict(&reply), Ok(want), "{reply:?}");
        }
        for text in ["250 ok", "550 a\r\n250 b", "x", ""] {
            assert!(matches!(verdict(&code(text)), Err(Failure::Protocol(_))), "{text}");
        }
    }
}
