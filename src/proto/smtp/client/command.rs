//! Commands with parameters, as they go to a host: only what it offers (RFC 5321 §2.2.1).

use std::fmt::Write as _;

use super::Capabilities;
use crate::mail::{Address, ReversePath};
use crate::proto::smtp::{Body, Notify, Ret};

/// MAIL, with what is to be said if the host knows how.
#[derive(Clone, Debug)]
pub struct MailFrom<'a> {
    /// Who gets reports.
    pub reverse_path: &'a ReversePath,
    /// Octets of the message as it will be sent (RFC 1870 §6.1).
    pub size: u64,
    /// What the content is (RFC 6152).
    pub body: Body,
    /// An address or the header needs it (RFC 6531 §3.4).
    pub smtputf8: bool,
    /// RFC 3461 §4.3.
    pub ret: Option<Ret>,
    /// RFC 3461 §4.4, decoded.
    pub envelope_id: Option<&'a str>,
    /// RFC 8689 §4.
    pub requires_tls: bool,
    /// We have logged in to this host.
    pub is_authenticated: bool,
}

/// RCPT, with what is to be said if the host knows how.
#[derive(Clone, Debug)]
pub struct RcptTo<'a> {
    /// Who.
    pub address: &'a Address,
    /// RFC 3461 §4.1.
    pub notify: Option<Notify>,
    /// RFC 3461 §4.2: the value of ORCPT as a client gave it, type and address in xtext.
    pub original: Option<&'a str>,
}

impl MailFrom<'_> {
    /// The line with its CRLF.
    pub fn encode(&self, offered: &Capabilities) -> String {
        let mut line = format!("MAIL FROM:{}", self.reverse_path);
        let mut add = |offered: bool, parameter: String| {
            if offered {
                line.push(' ');
                line.push_str(&parameter);
            }
        };
        add(offered.size, format!("SIZE={}", self.size));
        add(offered.eight_bit_mime && self.body == Body::EightBitMime, "BODY=8BITMIME".to_owned());
        add(offered.smtputf8 && self.smtputf8, "SMTPUTF8".to_owned());
        add(offered.requiretls && self.requires_tls, "REQUIRETLS".to_owned());
        if let Some(ret) = self.ret {
            let ret = match ret {
                Ret::Full => "RET=FULL",
                Ret::Headers => "RET=HDRS",
            };
            add(offered.dsn, ret.to_owned());
        }
        if let Some(id) = self.envelope_id.map(xtext).filter(|id| (1..=MAX_ENVID).contains(&id.len())) {
            add(offered.dsn, format!("ENVID={id}"));
        }
        // RFC 4954 §5: nobody's identity is passed on, and that must be said where we are trusted.
        add(offered.auth && self.is_authenticated, "AUTH=<>".to_owned());
        line.push_str("\r\n");
        line
    }
}

impl RcptTo<'_> {
    /// The line with its CRLF.
    pub fn encode(&self, offered: &Capabilities) -> String {
        let mut line = format!("RCPT TO:<{}>", self.address);
        if offered.dsn {
            if let Some(notify) = self.notify {
                let words = [(notify.success, "SUCCESS"), (notify.failure, "FAILURE"), (notify.delay, "DELAY")];
                let words: Vec<&str> = words.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect();
                line.push_str(" NOTIFY=");
                line.push_str(&if words.is_empty() { "NEVER".to_owned() } else { words.join(",") });
            }
            if let Some(original) = self.original.and_then(|o| orcpt(o, offered.smtputf8)) {
                line.push_str(" ORCPT=");
                line.push_str(&original);
            }
        }
        line.push_str("\r\n");
        line
    }
}

/// `xtext` (RFC 3461 §4).
fn xtext(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        match b {
            b'+' | b'=' => drop(write!(out, "+{b:02X}")),
            b'!'..=b'~' => out.push(char::from(b)),
            _ => drop(write!(out, "+{b:02X}")),
        }
    }
    out
}

/// Characters beyond ASCII as RFC 6533 §3 writes them where they may not stand themselves. `None` for what no line can
/// hold.
fn orcpt(original: &str, smtputf8: bool) -> Option<String> {
    let mut out = String::with_capacity(original.len());
    for c in original.chars() {
        match c {
            '!'..='~' => out.push(c),
            c if c.is_ascii() || c.is_control() => return None,
            c if smtputf8 => out.push(c),
            c => drop(write!(out, "\\x{{{:02X}}}", u32::from(c))),
        }
    }
    (out.contains(';') && out.len() <= MAX_ORCPT).then_some(out)
}

/// RFC 3461 §4.4.
const MAX_ENVID: usize = 100;
/// RFC 3461 §4.2.
const MAX_ORCPT: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::smtp::{Command, Syntax};

    fn all() -> Capabilities {
        Capabilities {
            size: true,
            eight_bit_mime: true,
            smtputf8: true,
            dsn: true,
            requiretls: true,
            auth: true,
            ..Capabilities::default()
        }
    }

    #[test]
    fn parameters_only_where_they_are_offered() {
        let sender = ReversePath::Address(Address::parse("a@b.test").unwrap());
        let mail = MailFrom {
            reverse_path: &sender,
            size: 1234,
            body: Body::EightBitMime,
            smtputf8: true,
            ret: Some(Ret::Headers),
            envelope_id: Some("x+y=z 1"),
            requires_tls: true,
            is_authenticated: true,
        };
        assert_eq!(mail.encode(&Capabilities::default()), "MAIL FROM:<a@b.test>\r\n");
        assert_eq!(
            mail.encode(&all()),
            "MAIL FROM:<a@b.test> SIZE=1234 BODY=8BITMIME SMTPUTF8 REQUIRETLS RET=HDRS ENVID=x+2By+3Dz+201 AUTH=<>\r\n"
        );
        let plain = MailFrom {
            reverse_path: &ReversePath::Null,
            body: Body::SevenBit,
            smtputf8: false,
            ret: None,
            envelope_id: None,
            requires_tls: false,
            is_authenticated: false,
            ..mail
        };
        assert_eq!(plain.encode(&all()), "MAIL FROM:<> SIZE=1234\r\n");
    }

    #[test]
    fn recipients() {
        let address = Address::parse("\"a b\"@c.test").unwrap();
        let notify = |success, failure, delay| Some(Notify { success, failure, delay });
        let no_utf8 = Capabilities { smtputf8: false, ..all() };
        for (case, notify, original, offered, want) in [
            ("nothing", None, None, all(), ""),
            ("not offered", notify(true, true, true), Some("rfc822;x"), Capabilities::default(), ""),
            ("never", notify(false, false, false), None, all(), " NOTIFY=NEVER"),
            ("all", notify(true, true, true), None, all(), " NOTIFY=SUCCESS,FAILURE,DELAY"),
            ("original", None, Some("rfc822;a+2Bb@c.test"), all(), " ORCPT=rfc822;a+2Bb@c.test"),
            ("utf-8", None, Some("utf-8;\u{e4}@c.test"), all(), " ORCPT=utf-8;\u{e4}@c.test"),
            ("utf-8 in ASCII", None, Some("utf-8;\u{e4}@c.test"), no_utf8, " ORCPT=utf-8;\\x{E4}@c.test"),
            ("line end", None, Some("rfc822;a\r\nRSET"), all(), ""),
        ] {
            let line = RcptTo { address: &address, notify, original }.encode(&offered);
            assert_eq!(line, format!("RCPT TO:<\"a b\"@c.test>{want}\r\n"), "{case}");
            assert!(Command::parse(line.trim_end().as_bytes(), Syntax::Strict).is_ok(), "{case}: {line}");
        }
    }
}
