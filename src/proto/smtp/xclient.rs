//! The argument of XCLIENT, the Postfix extension by which a gateway says for whom it speaks.
//!
//! `attribute=value` pairs, values in xtext (RFC 3461 §4); what the gateway does not know is `[UNAVAILABLE]` or
//! `[TEMPUNAVAIL]`. Deviations: LOGIN is refused unless it says that there is none, since nobody logs in on somebody
//! else's word; attributes that are left out are unknown, whatever an earlier XCLIENT said, so that two clients of one
//! gateway are never mixed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::CommandError;
use super::parameter::{number, xtext};

/// For whom a gateway speaks, as far as it knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct XClient {
    /// ADDR: the client's address.
    pub address: Option<IpAddr>,
    /// HELO: what the client said in EHLO or HELO.
    pub helo: Option<Box<str>>,
}

impl XClient {
    /// The attributes that are offered, as EHLO lists them.
    pub const OFFERED: &'static str = "NAME ADDR PORT PROTO HELO DESTADDR DESTPORT";

    /// From what stands behind the verb. [`CommandError::UnknownParameter`] for an attribute that is not offered, and
    /// [`CommandError::Parameter`] for one that is given twice or whose value is not of its kind.
    pub fn parse(argument: &[u8]) -> Result<Self, CommandError> {
        let mut client = Self::default();
        let mut seen: Vec<Vec<u8>> = Vec::new();
        for word in argument.split(|b| *b == b' ').filter(|word| !word.is_empty()) {
            let at = word.iter().position(|b| *b == b'=').ok_or(CommandError::Parameter)?;
            let (name, value) = word.split_at(at);
            let name = name.to_ascii_uppercase();
            let value = decoded(value.strip_prefix(b"=").unwrap_or_default())?;
            if seen.contains(&name) {
                return Err(CommandError::Parameter);
            }
            client.take(&name, value.as_deref())?;
            seen.push(name);
        }
        if seen.is_empty() { Err(CommandError::Argument) } else { Ok(client) }
    }

    fn take(&mut self, name: &[u8], value: Option<&str>) -> Result<(), CommandError> {
        match (name, value) {
            (b"ADDR", value) => self.address = value.map(address).transpose()?,
            (b"HELO", value) => self.helo = value.map(word).transpose()?,
            // A name of the client would have to be verified again, and nothing here depends on one.
            (b"NAME", value) => drop(value.map(word).transpose()?),
            (b"DESTADDR", value) => drop(value.map(address).transpose()?),
            (b"PORT" | b"DESTPORT", value) => drop(value.map(port).transpose()?),
            (b"PROTO", value) => drop(value.map(protocol).transpose()?),
            (b"LOGIN", None) => {}
            _ => return Err(CommandError::UnknownParameter),
        }
        Ok(())
    }
}

/// The text of a value; `None` for one that the gateway does not know.
fn decoded(value: &[u8]) -> Result<Option<String>, CommandError> {
    if value.eq_ignore_ascii_case(b"[UNAVAILABLE]") || value.eq_ignore_ascii_case(b"[TEMPUNAVAIL]") {
        return Ok(None);
    }
    let text = xtext(value).and_then(|octets| String::from_utf8(octets).ok());
    text.filter(|text| !text.is_empty()).map(Some).ok_or(CommandError::Parameter)
}

/// An IPv4 address as it is, or an IPv6 address behind `IPV6:`.
fn address(text: &str) -> Result<IpAddr, CommandError> {
    let six = text.get(..5).filter(|prefix| prefix.eq_ignore_ascii_case("IPV6:")).and_then(|_| text.get(5..));
    let parsed = match six {
        Some(six) => six.parse::<Ipv6Addr>().map(IpAddr::V6),
        None => text.parse::<Ipv4Addr>().map(IpAddr::V4),
    };
    parsed.map(|address| address.to_canonical()).map_err(|_| CommandError::Parameter)
}

/// A name as the client gave it: one printable word.
fn word(text: &str) -> Result<Box<str>, CommandError> {
    let is_word = text.len() <= MAX_NAME && !text.chars().any(|c| c.is_control() || c.is_whitespace());
    if is_word { Ok(text.into()) } else { Err(CommandError::Parameter) }
}

fn port(text: &str) -> Result<u64, CommandError> {
    number(text.as_bytes()).filter(|port| (1..=0xffff).contains(port)).ok_or(CommandError::Parameter)
}

fn protocol(text: &str) -> Result<(), CommandError> {
    let is_known = ["SMTP", "ESMTP"].iter().any(|known| known.eq_ignore_ascii_case(text));
    if is_known { Ok(()) } else { Err(CommandError::Parameter) }
}

/// RFC 1035 §2.3.4
const MAX_NAME: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(argument: &str) -> Result<XClient, CommandError> {
        XClient::parse(argument.as_bytes())
    }

    #[test]
    fn attributes_say_for_whom_a_gateway_speaks() {
        let four = XClient { address: Some([192, 0, 2, 10].into()), helo: Some("a.test".into()) };
        assert_eq!(parse("ADDR=192.0.2.10 helo=a.test NAME=x.test PORT=4025 PROTO=esmtp"), Ok(four));
        let six = |argument| parse(argument).map(|client| client.address);
        assert_eq!(six("ADDR=IPV6:2001:db8::1"), Ok(Some("2001:db8::1".parse().unwrap())));
        assert_eq!(six("addr=ipv6:2001:db8::1 DESTADDR=IPV6:::1 DESTPORT=25"), six("ADDR=IPV6:2001:db8::1"));
        assert_eq!(six("ADDR=IPV6:::ffff:192.0.2.10"), Ok(Some([192, 0, 2, 10].into())));
        for unknown in
            ["ADDR=[UNAVAILABLE]", "ADDR=[tempunavail] HELO=[UNAVAILABLE]", "NAME=[UNAVAILABLE]", "LOGIN=[UNAVAILABLE]"]
        {
            assert_eq!(parse(unknown), Ok(XClient::default()), "{unknown}");
        }
        assert_eq!(parse("HELO=a+2Btest").map(|c| c.helo), Ok(Some("a+test".into())));
    }

    #[test]
    fn what_is_odd_is_refused() {
        for (argument, want) in [
            ("", CommandError::Argument),
            ("   ", CommandError::Argument),
            ("ADDR", CommandError::Parameter),
            ("ADDR=", CommandError::Parameter),
            ("ADDR=host.test", CommandError::Parameter),
            ("ADDR=192.0.2.256", CommandError::Parameter),
            ("ADDR=192.0.2", CommandError::Parameter),
            ("ADDR=2001:db8::1", CommandError::Parameter),
            ("ADDR=IPV6:192.0.2.1", CommandError::Parameter),
            ("ADDR=192.0.2.1 ADDR=192.0.2.2", CommandError::Parameter),
            ("ADDR=192.0.2.1 addr=[UNAVAILABLE]", CommandError::Parameter),
            ("HELO=a+20b", CommandError::Parameter),
            ("HELO=a+0D+0ARCPT", CommandError::Parameter),
            ("HELO=a+2", CommandError::Parameter),
            ("HELO=+ff", CommandError::Parameter),
            ("PORT=0", CommandError::Parameter),
            ("PORT=65536", CommandError::Parameter),
            ("PORT=x", CommandError::Parameter),
            ("PROTO=LMTP", CommandError::Parameter),
            ("LOGIN=alice@corp.test", CommandError::UnknownParameter),
            ("FOO=bar", CommandError::UnknownParameter),
            ("FOO=[UNAVAILABLE]", CommandError::UnknownParameter),
            ("=x", CommandError::UnknownParameter),
        ] {
            assert_eq!(parse(argument), Err(want), "{argument}");
        }
        assert!(parse(&format!("HELO={}", "a".repeat(256))).is_err());
    }
}
