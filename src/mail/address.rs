//! Addresses: local-part, domain, and the normal form in which they are compared (policy semantics §4.1).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

/// Why a text is no address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AddressError {
    /// No `@`, or an empty part.
    #[error("address needs a local-part and a domain")]
    Incomplete,
    /// RFC 5321 §4.5.3.1.1: at most 64 octets.
    #[error("local-part is longer than 64 octets")]
    LocalPartTooLong,
    /// A character that RFC 5321 §4.1.2 allows neither bare nor quoted.
    #[error("local-part has a character that is not allowed")]
    LocalPart,
    /// Not a host name (RFC 5321 §2.3.5, IDNA), or longer than 255 octets.
    #[error("domain is not a valid host name")]
    Domain,
    /// Not an address literal (RFC 5321 §4.1.3).
    #[error("address literal is not valid")]
    Literal,
}

/// A local-part, unquoted, in its original spelling; 1 to 64 octets, no control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalPart(Box<str>);

impl LocalPart {
    /// From its wire form: `Dot-string` or `Quoted-string` (RFC 5321 §4.1.2), UTF-8 allowed (RFC 6531 §3.3).
    pub fn parse(s: &str) -> Result<Self, AddressError> {
        let text = match s.strip_prefix('"') {
            Some(rest) => unquote(rest)?,
            None if is_dot_string(s) => s.to_owned(),
            None => return Err(AddressError::LocalPart),
        };
        if text.is_empty() {
            return Err(AddressError::Incomplete);
        }
        if text.len() > 64 {
            return Err(AddressError::LocalPartTooLong);
        }
        Ok(Self(text.into()))
    }

    /// The unquoted text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whom nobody is kept from, in any case (RFC 5321 §4.5.1).
    pub fn is_postmaster(&self) -> bool {
        self.0.eq_ignore_ascii_case("postmaster")
    }
}

/// Quoted where RFC 5321 §4.1.2 needs it.
impl fmt::Display for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.0) {
            return f.write_str(&self.0);
        }
        f.write_str("\"")?;
        for c in self.0.chars() {
            if c == '"' || c == '\\' {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        f.write_str("\"")
    }
}

/// A domain name in lower-case A-labels, without trailing dot; 1 to 255 octets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Domain(Box<str>);

impl Domain {
    /// From a host name in any case, with A-labels or U-labels; one trailing dot is dropped.
    pub fn parse(s: &str) -> Result<Self, AddressError> {
        let s = s.strip_suffix('.').unwrap_or(s);
        let ascii = if s.is_ascii() && !s.contains("xn--") {
            s.to_ascii_lowercase()
        } else {
            idna::domain_to_ascii(s).map_err(|_| AddressError::Domain)?
        };
        let label = |l: &str| {
            (1..=63).contains(&l.len())
                && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !l.starts_with('-')
                && !l.ends_with('-')
        };
        if ascii.len() > 255 || !ascii.split('.').all(label) {
            return Err(AddressError::Domain);
        }
        Ok(Self(ascii.into()))
    }

    /// Lower-case A-labels.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Domain {
    type Error = AddressError;

    fn try_from(s: String) -> Result<Self, Self::Error> {
        Self::parse(&s)
    }
}

impl From<Domain> for String {
    fn from(d: Domain) -> String {
        d.0.into()
    }
}

/// An address literal (RFC 5321 §4.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressLiteral {
    /// `[192.0.2.1]` or `[IPv6:2001:db8::1]`
    Ip(IpAddr),
    /// `[tag:content]` with a tag that is not ours to understand.
    General(Box<str>),
}

impl AddressLiteral {
    /// From the text with its brackets.
    pub fn parse(s: &str) -> Result<Self, AddressError> {
        let inner = s.strip_prefix('[').and_then(|s| s.strip_suffix(']')).ok_or(AddressError::Literal)?;
        if let Ok(ip) = inner.parse::<Ipv4Addr>() {
            return Ok(Self::Ip(ip.into()));
        }
        let (tag, content) = inner.split_once(':').ok_or(AddressError::Literal)?;
        if tag.eq_ignore_ascii_case("IPv6") {
            return content.parse::<Ipv6Addr>().map(|ip| Self::Ip(ip.into())).map_err(|_| AddressError::Literal);
        }
        let dcontent = |b: u8| (33..=126).contains(&b) && !b"[\\]".contains(&b);
        let is_tag = !tag.is_empty()
            && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && tag.ends_with(|c: char| c.is_ascii_alphanumeric());
        if !is_tag || content.is_empty() || !content.bytes().all(dcontent) || inner.len() > 253 {
            return Err(AddressError::Literal);
        }
        Ok(Self::General(inner.into()))
    }
}

impl fmt::Display for AddressLiteral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(ip)) => write!(f, "[{ip}]"),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[IPv6:{ip}]"),
            Self::General(text) => write!(f, "[{text}]"),
        }
    }
}

/// What stands behind the `@`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A domain name.
    Name(Domain),
    /// An address literal.
    Literal(AddressLiteral),
}

impl Host {
    /// A domain name or a literal in brackets.
    pub fn parse(s: &str) -> Result<Self, AddressError> {
        if s.starts_with('[') { AddressLiteral::parse(s).map(Self::Literal) } else { Domain::parse(s).map(Self::Name) }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(d) => d.fmt(f),
            Host::Literal(l) => l.fmt(f),
        }
    }
}

/// `local-part@domain`. Equality is that of the [`AddressKey`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    local: LocalPart,
    host: Host,
}

impl Address {
    /// From the wire form, without angle brackets or source route.
    pub fn parse(s: &str) -> Result<Self, AddressError> {
        let at = match s.strip_prefix('"') {
            Some(rest) => 1 + end_of_quoted(rest).ok_or(AddressError::LocalPart)?,
            None => s.find('@').ok_or(AddressError::Incomplete)?,
        };
        let host = s[at..].strip_prefix('@').ok_or(AddressError::Incomplete)?;
        Ok(Self { local: LocalPart::parse(&s[..at])?, host: Host::parse(host)? })
    }

    /// An address from its parts.
    pub fn new(local: LocalPart, host: Host) -> Self {
        Self { local, host }
    }

    /// The local-part.
    pub fn local_part(&self) -> &LocalPart {
        &self.local
    }

    /// The domain or literal.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The domain, if it is not a literal.
    pub fn domain(&self) -> Option<&Domain> {
        match &self.host {
            Host::Name(d) => Some(d),
            Host::Literal(_) => None,
        }
    }

    /// True if every octet is ASCII, so that no SMTPUTF8 is needed (RFC 6531).
    pub fn is_ascii(&self) -> bool {
        self.local.0.is_ascii()
    }

    /// The form in which addresses are compared.
    pub fn key(&self) -> AddressKey {
        AddressKey::new(self.local.as_str(), &self.host)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.host)
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Address {}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(s: String) -> Result<Self, Self::Error> {
        Self::parse(&s)
    }
}

impl From<Address> for String {
    fn from(a: Address) -> String {
        a.to_string()
    }
}

/// The normal form of an address: local-part in NFC and folded case, domain in A-labels (policy semantics §4.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressKey(Box<str>);

impl AddressKey {
    /// The key of `local@host`, with `local` unquoted. A plus detail is part of `local`.
    pub fn new(local: &str, host: &Host) -> Self {
        let mut text = if local.is_ascii() { local.to_ascii_lowercase() } else { fold(local) };
        text.push('@');
        match host {
            Host::Name(domain) => text.push_str(domain.as_str()),
            Host::Literal(literal) => text.push_str(&literal.to_string()),
        }
        Self(text.into())
    }

    /// The normal form as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The reverse-path of MAIL FROM (RFC 5321 §4.1.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReversePath {
    /// `<>`
    Null,
    /// A mailbox.
    Address(Address),
}

/// With its angle brackets.
impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReversePath::Null => f.write_str("<>"),
            ReversePath::Address(a) => write!(f, "<{a}>"),
        }
    }
}

/// The forward-path of RCPT TO (RFC 5321 §4.1.1.3), without its source route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardPath {
    /// `<postmaster>` without a domain, in any case (RFC 5321 §4.5.1).
    Postmaster,
    /// A mailbox.
    Address(Address),
}

impl ForwardPath {
    /// True for the postmaster of whatever domain.
    pub fn is_postmaster(&self) -> bool {
        match self {
            ForwardPath::Postmaster => true,
            ForwardPath::Address(address) => address.local_part().is_postmaster(),
        }
    }
}

/// With its angle brackets.
impl fmt::Display for ForwardPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ForwardPath::Postmaster => f.write_str("<postmaster>"),
            ForwardPath::Address(a) => write!(f, "<{a}>"),
        }
    }
}

/// Case folding by way of lower, upper, lower: `ß`, `SS` and `ss`, `ς` and `σ` meet, as full folding has them.
fn fold(local: &str) -> String {
    let lower: String = local.nfc().collect::<String>().to_lowercase();
    lower.to_uppercase().to_lowercase().replace('ς', "σ").nfc().collect()
}

fn is_dot_string(s: &str) -> bool {
    let atext =
        |c: char| !c.is_ascii() && !c.is_control() || c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    s.split('.').all(|atom| !atom.is_empty() && atom.chars().all(atext))
}

/// The offset just behind the closing quote in `rest`, which starts behind the opening one.
fn end_of_quoted(rest: &str) -> Option<usize> {
    let mut escaped = false;
    for (i, b) in rest.bytes().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(i + 1),
            _ => {}
        }
    }
    None
}

/// `rest` starts behind the opening quote and must end with the closing one.
fn unquote(rest: &str) -> Result<String, AddressError> {
    if end_of_quoted(rest) != Some(rest.len()) {
        return Err(AddressError::LocalPart);
    }
    let mut text = String::with_capacity(rest.len());
    let mut escaped = false;
    for c in rest[..rest.len() - 1].chars() {
        match c {
            c if c.is_control() => return Err(AddressError::LocalPart),
            '\\' if !escaped => escaped = true,
            c => {
                escaped = false;
                text.push(c);
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (case, text, want) in [
            ("plain", "Alice@Corp.Test", Ok("Alice@corp.test")),
            ("needless quotes", "\"alice\"@corp.test", Ok("alice@corp.test")),
            ("needed quotes", "\"a b\\\"c\"@corp.test", Ok("\"a b\\\"c\"@corp.test")),
            ("at in quotes", "\"a@b\"@corp.test", Ok("\"a@b\"@corp.test")),
            ("trailing dot", "a@corp.test.", Ok("a@corp.test")),
            ("u-label", "a@b\u{fc}cher.test", Ok("a@xn--bcher-kva.test")),
            ("literal", "a@[192.0.2.1]", Ok("a@[192.0.2.1]")),
            ("ipv6 literal", "a@[ipv6:2001:DB8::1]", Ok("a@[IPv6:2001:db8::1]")),
            ("percent", "a%b@corp.test", Ok("a%b@corp.test")),
            ("no at", "alice", Err(AddressError::Incomplete)),
            ("two at", "a@b@c.test", Err(AddressError::Domain)),
            ("double dot", "a..b@corp.test", Err(AddressError::LocalPart)),
            ("space", "a b@corp.test", Err(AddressError::LocalPart)),
            ("empty domain", "a@", Err(AddressError::Domain)),
            ("empty label", "a@b..c", Err(AddressError::Domain)),
            ("bad literal", "a@[300.1.1.1]", Err(AddressError::Literal)),
            ("empty quotes", "\"\"@b.test", Err(AddressError::Incomplete)),
        ] {
            let got = Address::parse(text).map(|a| a.to_string());
            assert_eq!(got.as_deref().map_err(|e| *e), want, "{case}");
            if let Ok(text) = got {
                assert_eq!(Address::parse(&text).unwrap().to_string(), text, "{case}: round trip");
            }
        }
        assert_eq!(Address::parse(&format!("{}@b.test", "a".repeat(65))), Err(AddressError::LocalPartTooLong));
    }

    #[test]
    fn comparison_folds_case_and_normalises() {
        let key = |s| Address::parse(s).unwrap().key();
        assert_eq!(key("ALICE@corp.test"), key("alice@CORP.test"));
        assert_eq!(key("stra\u{df}e@corp.test"), key("STRASSE@corp.test"));
        assert_eq!(key("u\u{308}@corp.test"), key("\u{dc}@corp.test"));
        assert_ne!(key("a.b@corp.test"), key("ab@corp.test"));
    }
}
